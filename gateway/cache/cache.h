/**
 * What is read rather than pushed: L1 in this process, L2 in Redis, L3 whatever
 * the caller loads from (PostgreSQL).
 *
 * Read path: L1 -> L2 -> load. One load per key at a time in this process, and, by a lease in Redis, in the
 * cluster for slow loads. A value past its TTL is served as stale while it is refreshed, or while the loader fails, within the
 * limits of its class; it is never called fresh. A newer version is never overwritten by an older one.
 * Other processes' writes are heard by BCAST tracking; while that connection is down nothing in L1 is trusted for longer than a second.
 *
 * Keys: "class:rest", at most CACHE_KEY_MAX_BYTES; the class must be known. Values: opaque bytes, at most max_value_bytes.
 * Loop: loop thread; answers may be called before cache_get() returns (an L1 hit).
 */
#ifndef SOPHIA_CACHE_CACHE_H
#define SOPHIA_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "cache/cache_class.h"
#include "cache/cache_value.h"
#include "io/breaker.h"
#include "io/loop.h"
#include "io/redis_link.h"
#include "protocol/limits.h"
#include "protocol/result.h"

enum { CACHE_KEY_MAX_BYTES = CACHE_NAME_MAX_BYTES };

struct cache;

enum cache_status {
    CACHE_FRESH,       /* within its TTL */
    CACHE_STALE,       /* past its TTL, being refreshed */
    CACHE_STALE_ERROR, /* past its TTL or changed since, and the loader fails */
    CACHE_NOTHING,     /* the source has no such thing */
    CACHE_FAILED,      /* nothing to serve: result says why */
    CACHE_STATUS_COUNT
};
const char *cache_status_name(enum cache_status status);

struct cache_answer {
    enum cache_status status;
    enum result
        result; /* OK; with STALE_ERROR and FAILED why: UNAVAILABLE, TOO_MANY (waiters), FULL (loads), TOO_BIG, UNKNOWN_FIELD (class), CLOSED, what the loader said */
    struct cache_value *value; /* borrowed for the call (ref it to keep it); NULL with NOTHING and FAILED */
    uint64_t age_ms;           /* since it was loaded, in whichever process */
    const char *tier;          /* "l1", "l2", "l3"; "" with FAILED */
};
typedef void cache_answer_fn(void *context, const struct cache_answer *answer);

/** Told once by the loader. result OK with value NULL: there is no such thing. Takes the reference. */
typedef void cache_loaded_fn(void *cache_context, enum result result, struct cache_value *value);
/** Where a miss is answered from. load() ends in loaded(), now or later, exactly once, also after the cache is gone. */
struct cache_source {
    void (*load)(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context);
    void *context; /* outlives the cache, and every load it began */
};

struct cache_options {
    size_t budget_bytes; /* L1, keys and bookkeeping included */
    size_t max_value_bytes;
    size_t max_loads;   /* keys being loaded at one time; one more is answered FAILED/FULL (or stale) */
    size_t max_waiters; /* per key */
    uint64_t load_timeout_ms;
    const struct cache_class *classes; /* borrowed */
    size_t class_count;
    const struct redis_server *redis; /* L2 and invalidations, over two links of its own; NULL: none */
    const char *prefix;               /* of keys and channels in Redis, e.g. "sophia:" */
    struct breaker_options breaker;   /* around L2 */
    uint64_t (*now_ms)(void);         /* monotonic: clock_monotonic_ms; tests pass their own */
};

/** NULL when memory ran out. */
struct cache *cache_create(struct loop *loop, struct metrics *metrics, const struct cache_options *options);
/**
 * Waiters hear FAILED/CLOSED from here. Loads under way may end later. Before the loop and whatever the sources
 * ask are destroyed; not from an answer. NULL is allowed.
 */
void cache_destroy(struct cache *cache);

/** source is borrowed and must outlive the cache, as the key may be refreshed later. answer exactly once. */
void cache_get(struct cache *cache, const char *key, const struct cache_source *source,
               cache_answer_fn *answer, void *context);
/** A pushed change: replaces what is held in L1 and L2 unless that is newer. Takes the reference. Result: OLDER, NO_MEMORY, TOO_BIG, UNKNOWN_FIELD (class). */
MUST_CHECK enum result cache_put(struct cache *cache, const char *key, struct cache_value *value);
/** The next read loads anew; a load under way serves its waiters but is not kept. In L1 and L2, in every process. Result: UNKNOWN_FIELD (class), TOO_BIG. out_was_held: in L1, here. */
MUST_CHECK enum result cache_forget(struct cache *cache, const char *key, bool *out_was_held);
/** The same for a class. Result: UNKNOWN_FIELD when there is no such class. out_count: entries of L1 that went. */
MUST_CHECK enum result cache_clear_class(struct cache *cache, const char *class_name, size_t *out_count);
bool cache_has_class(const struct cache *cache, const char *class_name);

/** Does what is due. Called by a timer of the cache's own; tests that bring their own clock call it. */
void cache_run(struct cache *cache);
/** Of L2, for metrics and tiles; NULL without L2. */
const struct breaker *cache_breaker(const struct cache *cache);
/** Its two links, for health; NULL without L2. */
const struct redis_link *cache_commands_link(const struct cache *cache);
const struct redis_link *cache_tracker_link(const struct cache *cache);
/** Are the writes of other processes heard? True without L2. */
bool cache_is_tracking(const struct cache *cache);

#endif
