/**
 * How long what kind of value may be served: one row per class, and what a row says about an age.
 *
 * Loop: pure.
 */
#ifndef SOPHIA_CACHE_CACHE_CLASS_H
#define SOPHIA_CACHE_CACHE_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CACHE_CLASSES_MAX = 16, CACHE_CLASS_NAME_MAX_BYTES = 64 };

struct cache_class {
    const char *name;
    uint64_t ttl_ms;
    uint64_t stale_ms;       /* after the TTL: served while it is refreshed */
    uint64_t stale_error_ms; /* after the TTL: served while the loader fails */
    uint64_t negative_ms;    /* how long "no such thing" holds; 0: not kept */
    bool is_eager;           /* refreshed at 80 % of the TTL when it was read since it was loaded */
    double
        early_factor; /* XFetch's beta: a read refreshes early by chance, the sooner the slower the load; 0: never */
    bool is_shared;              /* kept in L2 */
    double min_share, max_share; /* of the L1 budget */
};

/** The classes of DESIGN: executive_kpis, gong_summaries, competitive_data, llm_responses, default. */
extern const struct cache_class cache_default_classes[];
extern const size_t cache_default_class_count;

/** The row that a key ("class:rest") belongs to; count when there is none. */
size_t cache_class_of_key(const struct cache_class *classes, size_t count, const char *key);
/** The row of this name; count when there is none. */
size_t cache_class_find(const struct cache_class *classes, size_t count, const char *name);
/** From this age on nobody gets it. */
uint64_t cache_class_hard_ms(const struct cache_class *class);
/**
 * A TTL for one entry, so that what was loaded together does not end together: within a tenth of nine tenths
 * of the class's. Never longer: what is called fresh is younger than the TTL. random: any word.
 */
uint64_t cache_class_jittered_ttl_ms(const struct cache_class *class, uint64_t random);
/** XFetch (Vattani et al., VLDB 2015): is it this reader's turn to refresh early? */
bool cache_class_is_early(const struct cache_class *class, uint64_t age_ms, uint64_t ttl_ms, uint64_t load_ms,
                          uint64_t random);

#endif
