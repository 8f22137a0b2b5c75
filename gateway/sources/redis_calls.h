/**
 * Commands on a link whose reply may come after the one who asked is gone: links are destroyed after sources.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_SOURCES_REDIS_CALLS_H
#define SOPHIA_SOURCES_REDIS_CALLS_H

#include "base/list.h"
#include "io/redis_link.h"

struct redis_calls {
    struct list_node outstanding;
};

/** reply NULL: the link went down. */
typedef void redis_call_fn(void *context, void *subject, const struct redisReply *reply);

void redis_calls_init(struct redis_calls *calls);
/** No callback from here on. */
void redis_calls_finish(struct redis_calls *calls);
/** Result: as redis_link_send(), and NO_MEMORY; there is no callback then. */
MUST_CHECK enum result redis_calls_send(struct redis_calls *calls, struct redis_link *link,
                                        redis_call_fn *on_reply, void *context, void *subject, size_t argc,
                                        const char *const *argv);

#endif
