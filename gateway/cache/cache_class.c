/* The table of data classes, and arithmetic on its rows. */
#include "cache/cache_class.h"

#include <math.h>
#include <string.h>

#define SECONDS(n) ((uint64_t)(n)*1000)
#define HOURS(n) SECONDS((n)*3600)

/* min_share: LLM answers, the largest values, push out nothing that a board shows. */
const struct cache_class cache_default_classes[] = {
    {.name = "executive_kpis",
     .ttl_ms = SECONDS(300),
     .stale_ms = SECONDS(300),
     .stale_error_ms = HOURS(1),
     .negative_ms = SECONDS(15),
     .is_eager = true,
     .is_shared = true,
     .min_share = 0.15,
     .max_share = 0.60},
    {.name = "gong_summaries",
     .ttl_ms = SECONDS(1800),
     .stale_ms = SECONDS(600),
     .stale_error_ms = HOURS(24),
     .negative_ms = SECONDS(60),
     .early_factor = 1,
     .is_shared = true,
     .min_share = 0.10,
     .max_share = 0.60},
    {.name = "competitive_data",
     .ttl_ms = SECONDS(3600),
     .stale_ms = SECONDS(3600),
     .stale_error_ms = HOURS(24),
     .negative_ms = SECONDS(300),
     .is_eager = true,
     .is_shared = true,
     .min_share = 0.10,
     .max_share = 0.60},
    /* A key is the hash of model, prompt and inputs: its answer does not change, so stale is no use. */
    {.name = "llm_responses",
     .ttl_ms = SECONDS(7200),
     .negative_ms = SECONDS(30),
     .is_shared = true,
     .max_share = 0.30},
    {.name = "default",
     .ttl_ms = SECONDS(1800),
     .stale_ms = SECONDS(600),
     .stale_error_ms = HOURS(24),
     .negative_ms = SECONDS(60),
     .is_shared = true,
     .min_share = 0.10,
     .max_share = 0.60},
};
const size_t cache_default_class_count = sizeof cache_default_classes / sizeof *cache_default_classes;

static size_t find(const struct cache_class *classes, size_t count, const char *name, size_t length)
{
    size_t i = 0;
    while (i < count && (strlen(classes[i].name) != length || memcmp(classes[i].name, name, length) != 0)) {
        i++;
    }
    return i;
}

size_t cache_class_of_key(const struct cache_class *classes, size_t count, const char *key)
{
    const char *colon = strchr(key, ':');
    return colon ? find(classes, count, key, (size_t)(colon - key)) : count;
}

size_t cache_class_find(const struct cache_class *classes, size_t count, const char *name)
{
    return find(classes, count, name, strlen(name));
}

uint64_t cache_class_hard_ms(const struct cache_class *class)
{
    return class->ttl_ms +
           (class->stale_ms > class->stale_error_ms ? class->stale_ms : class->stale_error_ms);
}

uint64_t cache_class_jittered_ttl_ms(const struct cache_class *class, uint64_t random)
{
    uint64_t fifth = class->ttl_ms / 5;
    return class->ttl_ms - (fifth > 0 ? random % (fifth + 1) : 0);
}

bool cache_class_is_early(const struct cache_class *class, uint64_t age_ms, uint64_t ttl_ms, uint64_t load_ms,
                          uint64_t random)
{
    if (class->early_factor <= 0) {
        return false;
    }
    double chance = (double)((random >> 11) + 1) / 9007199254740992.0; /* (0, 1] */
    return (double)age_ms - (double)load_ms * class->early_factor * log(chance) >= (double)ttl_ms;
}
