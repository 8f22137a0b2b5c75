/* A call outlives its owner: finish() takes the owner out of it, the reply frees it. */
#include "sources/redis_calls.h"

#include <stdlib.h>

struct call {
    struct list_node node;
    redis_call_fn *on_reply; /* NULL: the owner is gone */
    void *context, *subject;
};

void redis_calls_init(struct redis_calls *calls)
{
    list_init(&calls->outstanding);
}

void redis_calls_finish(struct redis_calls *calls)
{
    while (!list_is_empty(&calls->outstanding)) {
        struct call *call = LIST_ITEM(calls->outstanding.next, struct call, node);
        list_remove(&call->node);
        call->on_reply = NULL;
    }
}

static void on_reply(void *context, const struct redisReply *reply)
{
    struct call *call = context;
    list_remove(&call->node);
    if (call->on_reply) {
        call->on_reply(call->context, call->subject, reply);
    }
    free(call);
}

enum result redis_calls_send(struct redis_calls *calls, struct redis_link *link, redis_call_fn *callback,
                             void *context, void *subject, size_t argc, const char *const *argv)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        return RESULT_NO_MEMORY;
    }
    *call = (struct call){.on_reply = callback, .context = context, .subject = subject};
    list_init(&call->node);
    enum result result = redis_link_send(link, on_reply, call, argc, argv, NULL);
    if (result != RESULT_OK) {
        free(call);
        return result;
    }
    list_append(&calls->outstanding, &call->node);
    return RESULT_OK;
}
