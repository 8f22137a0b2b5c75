/**
 * What cache.c (reads, writes, time), cache_load.c (one load from beginning to end) and cache_links.c (what
 * comes from Redis unasked) share. Nobody else includes it.
 */
#ifndef SOPHIA_CACHE_CACHE_INTERNAL_H
#define SOPHIA_CACHE_CACHE_INTERNAL_H

#include "base/wheel.h"
#include "cache/cache.h"
#include "cache/cache_metrics.h"
#include "cache/flights.h"
#include "cache/l1.h"
#include "cache/l2.h"

enum {
    CACHE_REFRESH_RETRY_MS = 1000, /* after a failed refresh: before the loader is asked again */
};

struct cache_links {
    struct redis_link *commands, *tracker;
    bool is_subscribed;
    struct l2_request *tracking; /* CLIENT TRACKING on its way */
    uint64_t tracked_id;         /* the connection it names */
    char *clear_channel;         /* "<prefix>cache-clear": what was forgotten, told to all processes */
    char token[17];              /* this process, in what it tells */
};

struct cache {
    struct cache_options options;
    struct metrics *metrics;
    struct loop *loop;
    struct loop_timer *timer;
    uint64_t armed_for_ms; /* UINT64_MAX: not armed */
    uint64_t next_sample_ms;
    struct wheel timers; /* of loads */
    struct l1 l1;
    struct flights flights;
    struct l2 *l2; /* NULL: none */
    struct cache_links links;
    uint64_t load_ms[CACHE_CLASSES_MAX]; /* what loads of a class take, weighted to the newest */
    bool has_loaded[CACHE_CLASSES_MAX];
    struct cache_metrics counts;
    bool is_closing;
};

uint64_t cache_now_ms(const struct cache *cache);
/** Something is due at due_ms. */
void cache_wake_at(struct cache *cache, uint64_t due_ms);
bool cache_uses_l2(const struct cache *cache, size_t class);
/** For a key that cannot be loaded now: what is held, if it may be served; otherwise FAILED. */
struct cache_answer cache_answer_without_load(struct cache *cache, const char *key, enum result why);
/** Out of L1, and who comes now does not wait for a load under way. Was it held? */
bool cache_drop(struct cache *cache, const char *key);
/** The same for all keys of a class. How many were held. */
size_t cache_drop_class(struct cache *cache, size_t class);

/* ---- cache_load.c ---- */

struct cache_load;
/** Result: FULL, NO_MEMORY. is_refresh: what is held is good, so only a later copy of L2 is one. */
MUST_CHECK enum result cache_load_create(struct cache *cache, const char *key, size_t class,
                                         const struct cache_source *source, bool is_refresh,
                                         struct cache_load **out_load);
/** May end it, and answer its waiters. */
void cache_load_start(struct cache_load *load);
struct flight *cache_load_flight(struct cache_load *load);
/** Its deadline has passed: who comes now does not wait for it. */
bool cache_load_is_late(const struct flight *flight);
/** Another process wrote the key: a load that waits for that looks at once, one that reads is detached. */
void cache_load_key_changed(struct flight *flight);
/** The cache is going: waiters hear CLOSED; a source at work keeps the load. */
void cache_load_abandon(struct flight *flight);
/** A wheel entry of a load is due. */
void cache_load_on_due(void *cache, struct wheel_entry *entry);
/** Write to L2; L1 is told when that was refused. */
void cache_write_l2(struct cache *cache, const char *key, size_t class, const struct cache_value *value);

/* ---- cache_links.c ---- */

/** Result: NO_MEMORY. */
MUST_CHECK enum result cache_links_open(struct cache *cache);
void cache_links_close(struct cache *cache);
/** Ask for tracking, unless it is on or cannot be yet. */
void cache_links_track(struct cache *cache);
/** Other processes' caches are told that a key or a class ("k<key>", "c<class>") is gone. */
void cache_links_tell(struct cache *cache, char kind, const char *what);

#endif
