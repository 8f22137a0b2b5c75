/**
 * What the cache tells about itself, by class.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_CACHE_CACHE_METRICS_H
#define SOPHIA_CACHE_CACHE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "cache/cache.h"
#include "cache/l1.h"

/** How a read was answered. */
enum cache_lookup {
    LOOKUP_FRESH, /* L1, within its TTL: the only hits */
    LOOKUP_STALE,
    LOOKUP_STALE_ERROR,
    LOOKUP_NOTHING,
    LOOKUP_MISS, /* fresh, but from L2 or L3 */
    LOOKUP_FAILED,
    LOOKUP_COUNT
};

enum cache_load_result { LOADED_VALUE, LOADED_NOTHING, LOADED_FAILED, LOADED_COUNT };

enum { CACHE_RATE_SECONDS = 60 };

struct cache_class_metrics {
    struct metric *lookups[LOOKUP_COUNT];
    struct metric *loads[LOADED_COUNT];
    struct metric *load_seconds;
    struct metric *hit_rate;
    struct metric *waiters;
    struct metric *bytes;
    struct metric *oldest_served;
    uint64_t fresh, total;                                               /* lookups so far */
    uint64_t fresh_at[CACHE_RATE_SECONDS], total_at[CACHE_RATE_SECONDS]; /* those a minute of seconds ago */
    uint64_t oldest_ms, oldest_before_ms; /* of this minute and the one before */
};

struct cache_metrics {
    struct cache_class_metrics classes[CACHE_CLASSES_MAX];
    size_t class_count;
    struct metric *evictions[L1_REASON_COUNT];
    uint64_t evictions_told[L1_REASON_COUNT];
    struct metric *invalidations;
    struct metric *lease_losses;
    struct metric *tracking;
    unsigned second;
};

void cache_metrics_init(struct cache_metrics *of, struct metrics *metrics, const struct cache_class *classes,
                        size_t class_count, size_t budget_bytes);
void cache_metrics_looked_up(struct cache_metrics *of, size_t class, const struct cache_answer *answer);
/** Once a second: rates, bytes, evictions. */
void cache_metrics_sample(struct cache_metrics *of, const struct l1 *l1);

#endif
