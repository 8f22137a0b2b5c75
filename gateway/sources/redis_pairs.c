/* Written with jansson, so that the text is JSON whatever the names and values are. */
#include "sources/redis_pairs.h"

#include <jansson.h>
#include <string.h>

#include "protocol/json_depth.h"
#include "protocol/limits.h"

static json_t *value_of(const char *text, size_t length)
{
    json_t *value = json_is_deeper(text, length, INGEST_MAX_DEPTH)
                        ? NULL
                        : json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    return value ? value : json_stringn(text, length);
}

char *redis_pairs_print(const struct redisReply *reply, size_t *out_length)
{
    size_t count = redis_reply_count(reply);
    json_auto_t *object = json_object();
    if (!object || count % 2 != 0) {
        return NULL;
    }
    for (size_t i = 0; i < count; i += 2) {
        size_t length = 0;
        const char *name = redis_reply_text(redis_reply_at(reply, i), NULL);
        const char *text = redis_reply_text(redis_reply_at(reply, i + 1), &length);
        if (!name || !text || json_object_set_new(object, name, value_of(text, length)) != 0) {
            return NULL;
        }
    }
    char *printed = json_dumps(object, JSON_COMPACT);
    if (printed) {
        *out_length = strlen(printed);
    }
    return printed;
}

const char *redis_pairs_find(const struct redisReply *reply, const char *name, size_t *out_length)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        const char *found = redis_reply_text(redis_reply_at(reply, i), NULL);
        if (found && strcmp(found, name) == 0) {
            return redis_reply_text(redis_reply_at(reply, i + 1), out_length);
        }
    }
    return NULL;
}
