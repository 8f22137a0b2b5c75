/* Reading a reply without knowing hiredis; what is not there reads as an error, 0 or NULL. */
#include "io/redis_link.h"

#include <hiredis/hiredis.h>

enum redis_reply_type redis_reply_type(const struct redisReply *reply)
{
    switch (reply != NULL ? reply->type : REDIS_REPLY_ERROR) {
    case REDIS_REPLY_STRING:
        return REDIS_TEXT;
    case REDIS_REPLY_STATUS:
        return REDIS_STATUS;
    case REDIS_REPLY_INTEGER:
        return REDIS_INTEGER;
    case REDIS_REPLY_ARRAY:
        return REDIS_ARRAY;
    case REDIS_REPLY_NIL:
        return REDIS_NIL;
    default:
        return REDIS_ERROR;
    }
}

const char *redis_reply_text(const struct redisReply *reply, size_t *out_length)
{
    bool is_text = reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
                                     reply->type == REDIS_REPLY_ERROR);
    if (out_length != NULL) {
        *out_length = is_text ? reply->len : 0;
    }
    return is_text ? reply->str : NULL;
}

int64_t redis_reply_integer(const struct redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
}

size_t redis_reply_count(const struct redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const struct redisReply *redis_reply_at(const struct redisReply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? reply->element[index] : NULL;
}
