/* Registered once; rates are differences over a ring of one minute. */
#include "cache/cache_metrics.h"

#include <stdio.h>
#include <string.h>

static const char *const lookup_names[LOOKUP_COUNT] = {
    [LOOKUP_FRESH] = "fresh",     [LOOKUP_STALE] = "stale", [LOOKUP_STALE_ERROR] = "stale_error",
    [LOOKUP_NOTHING] = "nothing", [LOOKUP_MISS] = "miss",   [LOOKUP_FAILED] = "failed"};
static const char *const loaded_names[LOADED_COUNT] =
    {[LOADED_VALUE] = "value", [LOADED_NOTHING] = "nothing", [LOADED_FAILED] = "failed"};

static void register_class(struct cache_class_metrics *of, struct metrics *metrics, const char *class)
{
    char labels[CACHE_CLASS_NAME_MAX_BYTES + 64];
    for (int i = 0; i < LOOKUP_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "class=\"%s\",result=\"%s\"", class, lookup_names[i]);
        of->lookups[i] = metrics_counter(
            metrics, "gw_cache_lookups_total", labels,
            "Reads of the cache, by how they were answered; fresh ones are answered from L1 within the TTL.");
    }
    for (int i = 0; i < LOADED_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "class=\"%s\",result=\"%s\"", class, loaded_names[i]);
        of->loads[i] = metrics_counter(metrics, "gw_cache_loads_total", labels,
                                       "Loads from the source behind the cache, by what they brought.");
    }
    (void)snprintf(labels, sizeof labels, "class=\"%s\"", class);
    of->load_seconds = metrics_histogram(metrics, "gw_cache_load_seconds", labels, "How long loads took.",
                                         METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    of->hit_rate =
        metrics_gauge(metrics, "sophia_cache_hit_rate", labels,
                      "Reads answered fresh from L1 in the last minute, as a share of all. Stale is no hit.");
    of->waiters = metrics_counter(metrics, "gw_cache_waiters_total", labels,
                                  "Reads that waited for a load which another read had begun.");
    of->bytes =
        metrics_gauge(metrics, "gw_cache_bytes", labels, "Bytes in L1, keys and bookkeeping included.");
    of->oldest_served = metrics_gauge(metrics, "gw_cache_oldest_served_seconds", labels,
                                      "Greatest age of a value served in the last one to two minutes.");
}

void cache_metrics_init(struct cache_metrics *of, struct metrics *metrics, const struct cache_class *classes,
                        size_t class_count, size_t budget_bytes)
{
    *of = (struct cache_metrics){.class_count = class_count};
    for (size_t i = 0; i < class_count; i++) {
        register_class(&of->classes[i], metrics, classes[i].name);
    }
    for (int i = 0; i < L1_REASON_COUNT; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"", l1_reason_name((enum l1_reason)i));
        of->evictions[i] =
            metrics_counter(metrics, "gw_cache_evictions_total", labels,
                            "Entries that left L1: no room, above the class's share, too old, cleared.");
    }
    of->invalidations = metrics_counter(metrics, "gw_cache_invalidations_total", NULL,
                                        "Keys that another process was heard to write.");
    of->lease_losses = metrics_counter(metrics, "gw_cache_lease_losses_total", NULL,
                                       "Loads that waited because another process was loading the same key.");
    of->tracking = metrics_gauge(metrics, "gw_cache_tracking", NULL,
                                 "1 while writes of other processes are heard, and when there is no L2.");
    metric_set(metrics_gauge(metrics, "gw_cache_budget_bytes", NULL, "What L1 may hold."),
               (double)budget_bytes);
}

static enum cache_lookup lookup_of(const struct cache_answer *answer)
{
    switch (answer->status) {
    case CACHE_FRESH:
        return strcmp(answer->tier, "l1") == 0 ? LOOKUP_FRESH : LOOKUP_MISS;
    case CACHE_STALE:
        return LOOKUP_STALE;
    case CACHE_STALE_ERROR:
        return LOOKUP_STALE_ERROR;
    case CACHE_NOTHING:
        return LOOKUP_NOTHING;
    case CACHE_FAILED:
    case CACHE_STATUS_COUNT:
        break;
    }
    return LOOKUP_FAILED;
}

void cache_metrics_looked_up(struct cache_metrics *of, size_t class, const struct cache_answer *answer)
{
    struct cache_class_metrics *row = &of->classes[class];
    enum cache_lookup lookup = lookup_of(answer);
    metric_add(row->lookups[lookup], 1);
    row->total++;
    row->fresh += lookup == LOOKUP_FRESH ? 1 : 0;
    row->oldest_ms = answer->age_ms > row->oldest_ms ? answer->age_ms : row->oldest_ms;
}

static void sample_class(struct cache_class_metrics *row, unsigned second)
{
    unsigned slot = second % CACHE_RATE_SECONDS;
    uint64_t fresh = row->fresh - row->fresh_at[slot];
    uint64_t total = row->total - row->total_at[slot];
    row->fresh_at[slot] = row->fresh;
    row->total_at[slot] = row->total;
    if (total > 0) { /* otherwise there is no rate, and the last one stays */
        metric_set(row->hit_rate, (double)fresh / (double)total);
    }
    uint64_t oldest_ms = row->oldest_ms > row->oldest_before_ms ? row->oldest_ms : row->oldest_before_ms;
    metric_set(row->oldest_served, (double)oldest_ms / 1000);
    if (slot == CACHE_RATE_SECONDS - 1) {
        row->oldest_before_ms = row->oldest_ms;
        row->oldest_ms = 0;
    }
}

void cache_metrics_sample(struct cache_metrics *of, const struct l1 *l1)
{
    uint64_t left[L1_REASON_COUNT] = {0};
    for (size_t i = 0; i < of->class_count; i++) {
        sample_class(&of->classes[i], of->second);
        metric_set(of->classes[i].bytes, (double)l1_class_bytes(l1, i));
        for (int reason = 0; reason < L1_REASON_COUNT; reason++) {
            left[reason] += l1->counts[i].left[reason];
        }
    }
    for (int reason = 0; reason < L1_REASON_COUNT; reason++) {
        metric_add(of->evictions[reason], left[reason] - of->evictions_told[reason]);
        of->evictions_told[reason] = left[reason];
    }
    of->second++;
}
