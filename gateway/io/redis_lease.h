/**
 * "I do this for all nodes": a key in Redis that one process holds and renews
 * (SET NX PX with a random token; renewed and released by token only).
 *
 * It saves work, it never decides correctness: two holders for a moment must be harmless.
 * Without Redis nobody holds it.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_IO_REDIS_LEASE_H
#define SOPHIA_IO_REDIS_LEASE_H

#include "io/redis_link.h"

struct redis_lease;

/** link: a command link, borrowed. on_change(context) is called when is_held changes. Renewed every ttl_ms / 3. */
struct redis_lease *redis_lease_create(struct loop *loop, struct redis_link *link, const char *key,
                                       uint32_t ttl_ms, loop_fn *on_change, void *context);
bool redis_lease_is_held(const struct redis_lease *lease);
/** Gives it back when the link is up. Before the link is destroyed. NULL is allowed. */
void redis_lease_destroy(struct redis_lease *lease);

#endif
