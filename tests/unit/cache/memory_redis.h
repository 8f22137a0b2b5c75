/**
 * A Redis in memory behind the functions of io/redis_link.h: the few commands the cache uses, BCAST tracking over a
 * redirect, and faults on demand. What the cache's scripts do is written down here a second time, in C.
 *
 * Commands take effect when they are sent; replies and messages come from memory_redis_settle().
 */
#ifndef SOPHIA_TESTS_MEMORY_REDIS_H
#define SOPHIA_TESTS_MEMORY_REDIS_H

#include <stdbool.h>
#include <stdint.h>

/** Forget everything; links may be created. now_ms: the server's clock. */
void memory_redis_reset(uint64_t (*now_ms)(void));
/** Deliver until nothing is left to deliver. Links that are down and not held down come up. */
void memory_redis_settle(void);
/** The connections of this name ("cache", "cache-tracker") break and stay down until memory_redis_mend(). */
void memory_redis_cut(const char *name);
void memory_redis_mend(void);
/** Replies and messages do not come; connections stay. */
void memory_redis_stall(bool is_stalled);
/** Messages overtake replies: they come over another connection. */
void memory_redis_hurry_messages(bool is_hurried);
void memory_redis_flush_all(void);
bool memory_redis_has(const char *key);
void memory_redis_set(const char *key, const char *text, uint64_t lifetime_ms);
/** Commands received that begin with this word. */
unsigned memory_redis_count(const char *command);
/** Commands whose reply is outstanding. */
unsigned memory_redis_pending(void);

#endif
