/*
 * Each second: read the counters into a ring, compare with the ring's past, and
 * submit one transaction. Rates and shares are differences over the window that the
 * KPI's definition names; quantiles are differences of histogram buckets.
 *
 * KPIs that the catalogue does not contain are not sent, so a deployment may drop
 * any of them. At most one submission is on its way; a sample that finds it
 * unanswered is skipped, and the values age on the screen.
 */
#include "sources/internal_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "cache/cache_class.h"
#include "fanout/hub.h"
#include "io/process_stats.h"
#include "sources/batch.h"

#define NAME "internal"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum {
    SAMPLE_MS = 1000,
    LAG_PROBE_MS = 100,
    COUNTER_SAMPLES = 301, /* five minutes and the sample to subtract */
    BUCKET_SAMPLES = 61,   /* one minute */
    ROWS_EVERY = 2, /* rows that did not change are sent at every second sample: the class allows 3 s */
    ROWS_MAX = 1000,
};

/* ---- what is read ---- */

enum counter {
    HANDSHAKES,
    HANDSHAKES_REFUSED,
    FRAMES,
    UPDATES,
    BYTES_OUT,
    COALESCED,
    SLOW,
    SLOW_CLOSED,
    RESYNCS,
    CHANGES,
    CHANGES_GOOD,
    CHANGES_ACCEPTED,
    INVALID,
    REQUESTS,
    ERRORS,
    AUTH_REFUSED,
    EVICTIONS,
    LOOKUPS,
    CPU,
    LOOKUPS_FRESH,   /* computed: over the classes of the cache */
    DELIVERIES,      /* computed: COALESCED + UPDATES */
    CHANGES_REFUSED, /* computed: CHANGES - CHANGES_GOOD */
    COUNTER_COUNT
};

/* labels NULL: the sum of the family. Several rows add up. */
static const struct {
    enum counter into;
    const char *name;
    const char *labels;
} feeds[] = {
    {HANDSHAKES, "gw_accepted_total", NULL},
    {HANDSHAKES_REFUSED, "gw_refused_total", "reason=\"max_connections\""},
    {HANDSHAKES_REFUSED, "gw_refused_total", "reason=\"max_per_address\""},
    {HANDSHAKES_REFUSED, "gw_refused_total", "reason=\"origin\""},
    {HANDSHAKES_REFUSED, "gw_refused_total", "reason=\"handshake\""},
    {FRAMES, "gw_frames_total", NULL},
    {UPDATES, "gw_frames_total", "kind=\"update\""},
    {BYTES_OUT, "gw_bytes_total", NULL},
    {COALESCED, "gw_coalesced_total", NULL},
    {SLOW, "gw_slow_total", NULL},
    {SLOW_CLOSED, "gw_viewer_closes_total", "reason=\"too_slow\""},
    {RESYNCS, "gw_resync_total", "reason=\"unknown_position\""},
    {RESYNCS, "gw_resync_total", "reason=\"new_epoch\""},
    {CHANGES, "gw_changes_total", NULL},
    {CHANGES_GOOD, "gw_changes_total", "result=\"accepted\""},
    {CHANGES_GOOD, "gw_changes_total", "result=\"unchanged\""},
    {CHANGES_GOOD, "gw_changes_total", "result=\"older\""},
    {CHANGES_ACCEPTED, "gw_changes_total", "result=\"accepted\""},
    {INVALID, "sophia_data_validation_failures_total", NULL},
    {REQUESTS, "gw_http_requests_total", NULL},
    {ERRORS, "gw_http_requests_total", "code=\"5xx\""},
    {AUTH_REFUSED, "gw_auth_total", "result=\"refused\""},
    {AUTH_REFUSED, "gw_http_unauthenticated_total", NULL},
    {AUTH_REFUSED, "gw_ingest_requests_total", "answer=\"unauthenticated\""},
    {AUTH_REFUSED, "gw_ingest_requests_total", "answer=\"forbidden\""},
    {EVICTIONS, "gw_cache_evictions_total", NULL},
    {LOOKUPS, "gw_cache_lookups_total", NULL},
};

enum histogram { PUSH, CLIENT_DELAY, HTTP, LOOP_LAG, LISTEN_LAG, HISTOGRAM_COUNT };

static const char *const histogram_names[HISTOGRAM_COUNT] = {
    [PUSH] = "gw_push_seconds",
    [CLIENT_DELAY] = "gw_client_delay_seconds",
    [HTTP] = "gw_http_seconds",
    [LOOP_LAG] = "gw_loop_lag_seconds",
    [LISTEN_LAG] = "gw_listen_lag_seconds",
};

struct sample {
    uint64_t at_ms; /* monotonic */
    double counters[COUNTER_COUNT];
};

/* ---- what is told ---- */

enum measure_kind {
    RATE,     /* counter per second over the window, times scale */
    COUNT,    /* counter's growth over the window */
    SHARE,    /* counter's growth divided by that of `of` */
    QUANTILE, /* of a histogram over its last minute, in ms */
};

struct measure {
    const char *kpi;
    enum measure_kind kind;
    int what; /* enum counter, or enum histogram for QUANTILE */
    enum counter of;
    unsigned window_s;
    double scale;       /* QUANTILE: which one */
    const char *absent; /* reason when the window holds nothing to divide by */
};

static const struct measure measures[] = {
    {"ops.handshakes", RATE, HANDSHAKES, 0, 10, 1, NULL},
    {"ops.handshakes_refused", SHARE, HANDSHAKES_REFUSED, HANDSHAKES, 60, 1,
     "no handshakes in the last minute"},
    {"ops.push_p99", QUANTILE, PUSH, 0, 60, 0.99, "nothing was pushed in the last minute"},
    {"ops.push_p95", QUANTILE, PUSH, 0, 60, 0.95, "nothing was pushed in the last minute"},
    {"ops.push_p50", QUANTILE, PUSH, 0, 60, 0.50, "nothing was pushed in the last minute"},
    {"ops.client_delay_p95", QUANTILE, CLIENT_DELAY, 0, 60, 0.95, "no page reported in the last minute"},
    {"ops.http_p95", QUANTILE, HTTP, 0, 60, 0.95, "no requests in the last minute"},
    {"ops.deltas", RATE, FRAMES, 0, 10, 1, NULL},
    {"ops.bytes_out", RATE, BYTES_OUT, 0, 10, 1, NULL},
    {"ops.coalesced", SHARE, COALESCED, DELIVERIES, 60, 1, "nothing was delivered in the last minute"},
    {"ops.slow_closed", COUNT, SLOW_CLOSED, 0, 300, 1, NULL},
    {"ops.resyncs", COUNT, RESYNCS, 0, 300, 1, NULL},
    {"ops.ingest", RATE, CHANGES_ACCEPTED, 0, 10, 1, NULL},
    {"ops.ingest_success", SHARE, CHANGES_GOOD, CHANGES, 60, 1, "no changes in the last minute"},
    {"ops.ingest_rejected", RATE, CHANGES_REFUSED, 0, 60, 1, NULL},
    {"ops.validation", RATE, INVALID, 0, 60, 60, NULL},
    {"ops.loop_lag_p99", QUANTILE, LOOP_LAG, 0, 60, 0.99, "not measured yet"},
    {"ops.cpu", RATE, CPU, 0, 10, 1, NULL},
    {"ops.error_ratio", SHARE, ERRORS, REQUESTS, 300, 1, "no requests in the last 5 minutes"},
    {"ops.auth", RATE, AUTH_REFUSED, 0, 60, 60, NULL},
};

/* What this version does not have. Told once per set of definitions: "no data" does not age. */
static const struct {
    const char *kpi;
    const char *reason;
} absent_kpis[] = {
    {"ops.dead_letters", "not configured"},
    {"ops.dead_letters_oldest", "not configured"},
    {"ops.empty_results", "not configured"},
    {"ops.availability_30d", "not measured in this version"},
    {"ops.error_budget", "not measured in this version"},
    {"ops.slack_queue", "not configured"},
    {"ops.cert_days", "TLS is not configured"},
    {"ops.key_age", "not configured"},
};

#define NOT_CONFIGURED "not configured"

/* Told while their upstream, or the cache, is configured. */
static const struct measure postgres_measures[] = {
    {"ops.postgres_lag", QUANTILE, LISTEN_LAG, 0, 60, 0.95, "nothing changed in the last minute"},
};
static const struct measure cache_measures[] = {
    {"ops.l1_hit", SHARE, LOOKUPS_FRESH, LOOKUPS, 60, 1, "no lookups in the last minute"},
    {"ops.l1_evictions", RATE, EVICTIONS, 0, 60, 1, NULL},
};

/* A row of ops.freshness as it was told last. */
struct told_row {
    enum freshness freshness;
    uint64_t seen_in; /* number of the sample that found it */
};

struct internal_source {
    struct source source;
    struct internal_source_options options;
    struct loop_timer *timer;
    struct loop_timer *lag_timer;
    uint64_t lag_due_us;
    uint64_t samples_taken;
    struct sample samples[COUNTER_SAMPLES];
    struct metric_buckets buckets[HISTOGRAM_COUNT][BUCKET_SAMPLES];
    double own[COUNTER_COUNT]; /* our own changes, subtracted from the totals */
    struct process_stats process;
    struct map rows;       /* KPI id -> struct told_row */
    char told_catalog[32]; /* hash of the definitions that absent_kpis were told for */
    struct flight *flight;
    struct metric *lag, *resident, *cpu_seconds, *open_fds, *skipped, *refused;
};

/* A submission on its way; outlives the source if it must. */
struct flight {
    struct internal_source *internal; /* NULL: the source is gone */
    struct batch *batch;
};

/* ---- sampling ---- */

static const struct sample *sample_ago(const struct internal_source *internal, unsigned seconds)
{
    uint64_t newest = internal->samples_taken - 1;
    uint64_t back = seconds < newest ? seconds : newest;
    return &internal->samples[(newest - back) % COUNTER_SAMPLES];
}

static double growth(const struct internal_source *internal, enum counter counter, unsigned window_s)
{
    double grown =
        sample_ago(internal, 0)->counters[counter] - sample_ago(internal, window_s)->counters[counter];
    return grown > 0 ? grown : 0;
}

static double elapsed_s(const struct internal_source *internal, unsigned window_s)
{
    return (double)(sample_ago(internal, 0)->at_ms - sample_ago(internal, window_s)->at_ms) / 1000.0;
}

/* A class that was not looked up adds nothing. */
static double fresh_lookups(const struct metrics *metrics)
{
    double sum = 0;
    for (size_t i = 0; i < cache_default_class_count; i++) {
        char labels[CACHE_CLASS_NAME_MAX_BYTES + 32];
        (void)snprintf(labels, sizeof labels, "class=\"%s\",result=\"fresh\"", cache_default_classes[i].name);
        sum += metric_read(metrics_find(metrics, "gw_cache_lookups_total", labels));
    }
    return sum;
}

static void read_counters(struct internal_source *internal, struct sample *sample)
{
    const struct metrics *metrics = internal->options.metrics;
    memset(sample->counters, 0, sizeof sample->counters);
    for (size_t i = 0; i < sizeof feeds / sizeof *feeds; i++) {
        double value = feeds[i].labels ? metric_read(metrics_find(metrics, feeds[i].name, feeds[i].labels))
                                       : metrics_sum(metrics, feeds[i].name);
        sample->counters[feeds[i].into] += value;
    }
    for (int counter = 0; counter < COUNTER_COUNT; counter++) {
        sample->counters[counter] -= internal->own[counter];
    }
    sample->counters[CPU] = (double)internal->process.cpu_us / 1e6;
    sample->counters[LOOKUPS_FRESH] = fresh_lookups(metrics);
    sample->counters[DELIVERIES] = sample->counters[COALESCED] + sample->counters[UPDATES];
    sample->counters[CHANGES_REFUSED] = sample->counters[CHANGES] - sample->counters[CHANGES_GOOD];
}

static void read_process(struct internal_source *internal)
{
    uint64_t seconds_before = internal->process.cpu_us / 1000000u;
    internal->process = process_stats_read();
    metric_set(internal->resident, (double)internal->process.resident_bytes);
    metric_set(internal->open_fds, internal->process.open_fds);
    metric_add(internal->cpu_seconds, internal->process.cpu_us / 1000000u - seconds_before);
}

static void take_sample(struct internal_source *internal, struct moment now)
{
    read_process(internal);
    struct sample *sample = &internal->samples[internal->samples_taken % COUNTER_SAMPLES];
    sample->at_ms = now.monotonic_ms;
    read_counters(internal, sample);
    for (int histogram = 0; histogram < HISTOGRAM_COUNT; histogram++) {
        struct metric_buckets *buckets =
            &internal->buckets[histogram][internal->samples_taken % BUCKET_SAMPLES];
        const struct metric *metric =
            metrics_find(internal->options.metrics, histogram_names[histogram], NULL);
        memset(buckets, 0, sizeof *buckets);
        if (metric) {
            metric_buckets(metric, buckets);
        }
    }
    internal->samples_taken++;
}

/* Seconds, or -1 when nothing was observed in the last minute. */
static double quantile_of(const struct internal_source *internal, int histogram, double quantile)
{
    uint64_t newest = internal->samples_taken - 1;
    uint64_t back = newest < BUCKET_SAMPLES - 1 ? newest : BUCKET_SAMPLES - 1;
    const struct metric_buckets *now = &internal->buckets[histogram][newest % BUCKET_SAMPLES];
    const struct metric_buckets *before = &internal->buckets[histogram][(newest - back) % BUCKET_SAMPLES];
    struct metric_buckets nothing = {.bucket_count = now->bucket_count, .bounds = now->bounds};
    if (now->bucket_count == 0) {
        return -1;
    }
    /* A histogram that did not exist then, or a first sample: everything so far counts. */
    return metric_buckets_quantile(now, back == 0 || before->bucket_count == 0 ? &nothing : before, quantile);
}

/* ---- telling ---- */

static bool is_defined(const struct internal_source *internal, const char *kpi)
{
    return catalog_kpi(pipeline_catalog(internal->options.pipeline), kpi, strlen(kpi)) != NULL;
}

static void put_number(const struct internal_source *internal, struct batch *batch, const char *kpi,
                       double number, int64_t now_ms)
{
    if (is_defined(internal, kpi)) {
        bool is_whole = number == nearbyint(number) && fabs(number) < 1e15;
        (void)batch_put(batch, kpi, now_ms, is_whole ? json_integer((json_int_t)number) : json_real(number));
    }
}

static void put_absent(const struct internal_source *internal, struct batch *batch, const char *kpi,
                       const char *reason, int64_t now_ms)
{
    struct change *change = is_defined(internal, kpi) ? batch_add(batch, kpi, now_ms) : NULL;
    if (change) {
        change->state = VALUE_NO_DATA;
        (void)snprintf(change->reason, sizeof change->reason, "%s", reason); /* our own short texts */
    }
}

static void put_text(const struct internal_source *internal, struct batch *batch, const char *kpi,
                     const char *text, int64_t now_ms)
{
    if (is_defined(internal, kpi)) {
        (void)batch_put(batch, kpi, now_ms, json_string(text));
    }
}

/* NAN: there is nothing to tell. */
static double measure_value(const struct internal_source *internal, const struct measure *measure)
{
    switch (measure->kind) {
    case RATE: {
        double seconds = elapsed_s(internal, measure->window_s);
        return seconds > 0 ? growth(internal, (enum counter)measure->what, measure->window_s) / seconds *
                                 measure->scale
                           : 0;
    }
    case COUNT:
        return growth(internal, (enum counter)measure->what, measure->window_s);
    case SHARE: {
        double part = growth(internal, (enum counter)measure->what, measure->window_s);
        double whole = growth(internal, measure->of, measure->window_s);
        return whole > 0 ? fmin(part / whole, 1) : (double)NAN;
    }
    case QUANTILE: {
        double seconds = quantile_of(internal, measure->what, measure->scale);
        return seconds >= 0 ? seconds * 1000 : (double)NAN;
    }
    }
    return (double)NAN;
}

static void put_measures(const struct internal_source *internal, struct batch *batch,
                         const struct measure *list, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        double value = measure_value(internal, &list[i]);
        if (isnan(value)) {
            put_absent(internal, batch, list[i].kpi, list[i].absent, now_ms);
        } else {
            put_number(internal, batch, list[i].kpi, value, now_ms);
        }
    }
}

static void put_against(const struct internal_source *internal, struct batch *batch, const char *kpi,
                        double number, double target, int64_t now_ms)
{
    size_t before = batch->count;
    put_number(internal, batch, kpi, number, now_ms);
    if (batch->count > before && target > 0) {
        batch->items[batch->count - 1].change.target = json_integer((json_int_t)target);
    }
}

static void put_connections(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    double connections = metrics_sum(internal->options.metrics, "gw_connections");
    double viewers = hub_viewer_count(pipeline_hub(internal->options.pipeline));
    double resident = (double)internal->process.resident_bytes;
    put_against(internal, batch, "ops.connections", connections, internal->options.max_connections, now_ms);
    put_against(internal, batch, "ops.rss", resident, (double)internal->process.limit_bytes, now_ms);
    /* A viewer may be counted more than once in ten seconds; there are no more slow viewers than viewers. */
    put_against(internal, batch, "ops.slow_clients", fmin(growth(internal, SLOW, 10), viewers), viewers,
                now_ms);
    if (connections > 0) {
        put_number(internal, batch, "ops.connection_bytes", round(resident / connections), now_ms);
    } else {
        put_absent(internal, batch, "ops.connection_bytes", "no connections", now_ms);
    }
}

static void put_states(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    const char *reason = "";
    enum health_state state = health_judge(internal->options.health, internal->options.pipeline, &reason);
    put_text(internal, batch, "ops.state", health_state_name(state), now_ms);
    put_text(internal, batch, "ops.slack", "off", now_ms); /* its word for "not used" */
}

/* ---- upstreams ---- */

/** Tells the state; false: it is not configured, which is what `kpis` say then. */
static bool put_upstream(const struct internal_source *internal, struct batch *batch, enum upstream upstream,
                         const char *kpi, const char *const kpis[2], int64_t now_ms)
{
    enum upstream_state state = upstream_state(internal->options.health->upstreams, upstream);
    put_text(internal, batch, kpi, upstream_state_name(state), now_ms);
    for (size_t i = 0; state == UPSTREAM_OFF && i < 2; i++) {
        put_absent(internal, batch, kpis[i], NOT_CONFIGURED, now_ms);
    }
    return state != UPSTREAM_OFF;
}

static void put_redis(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    static const char *const kpis[2] = {"ops.redis_rtt", "ops.redis_reconnects"};
    if (!put_upstream(internal, batch, UPSTREAM_REDIS, "ops.redis", kpis, now_ms)) {
        return;
    }
    uint64_t rtt_us = upstream_rtt_us(internal->options.health->upstreams, UPSTREAM_REDIS);
    if (rtt_us > 0) {
        put_number(internal, batch, kpis[0], (double)rtt_us / 1000.0, now_ms);
    } else {
        put_absent(internal, batch, kpis[0], "no answer was measured yet", now_ms);
    }
    put_number(internal, batch, kpis[1], metrics_sum(internal->options.metrics, "gw_redis_reconnects_total"),
               now_ms);
}

static void put_postgres(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    static const char *const kpis[2] = {"ops.postgres_lag", "ops.postgres_pool"};
    if (put_upstream(internal, batch, UPSTREAM_POSTGRES, "ops.postgres", kpis, now_ms)) {
        put_measures(internal, batch, postgres_measures, COUNT_OF(postgres_measures), now_ms);
        put_number(internal, batch, kpis[1], metrics_sum(internal->options.metrics, "gw_pool_use"), now_ms);
    }
}

static void put_cache(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    double budget = metrics_sum(internal->options.metrics, "gw_cache_budget_bytes");
    if (budget > 0) {
        put_measures(internal, batch, cache_measures, COUNT_OF(cache_measures), now_ms);
        put_against(internal, batch, "ops.l1_bytes", metrics_sum(internal->options.metrics, "gw_cache_bytes"),
                    budget, now_ms);
    } else {
        put_absent(internal, batch, "ops.l1_hit", NOT_CONFIGURED, now_ms);
        put_absent(internal, batch, "ops.l1_evictions", NOT_CONFIGURED, now_ms);
        put_absent(internal, batch, "ops.l1_bytes", NOT_CONFIGURED, now_ms);
    }
}

/* What does not age is told once, and again when other definitions come into force. */
static void put_constants(struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    const char *hash = catalog_hash(pipeline_catalog(internal->options.pipeline));
    if (strcmp(internal->told_catalog, hash) == 0) {
        return;
    }
    (void)snprintf(internal->told_catalog, sizeof internal->told_catalog, "%s", hash); /* 16 digits */
    char release[160];
    /* A longer one is cut. */
    (void)snprintf(release, sizeof release, "%s on %s", internal->options.build, internal->options.node);
    put_text(internal, batch, "ops.release", release, now_ms);
    for (size_t i = 0; i < sizeof absent_kpis / sizeof *absent_kpis; i++) {
        put_absent(internal, batch, absent_kpis[i].kpi, absent_kpis[i].reason, now_ms);
    }
}

/* ---- rows ---- */

static void put_sources(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    const struct source_health *sources = NULL;
    size_t count = hub_sources(pipeline_hub(internal->options.pipeline), &sources);
    if (!is_defined(internal, "ops.sources")) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char field[FIELD_MAX_BYTES + 1];
        json_t *row = json_pack("{s:s}", "status", sources[i].is_up ? "up" : "down");
        if (row && sources[i].heard_ms > 0) {
            double age_s = (double)(now_ms - sources[i].heard_ms) / 1000.0;
            /* Without memory: an empty cell. */
            (void)json_object_set_new(row, "last_sync", json_integer(sources[i].heard_ms));
            (void)json_object_set_new(row, "age", json_real(fmax(age_s, 0)));
        }
        (void)snprintf(field, sizeof field, "ops.sources#%s", sources[i].name); /* our own short names */
        (void)batch_put(batch, field, now_ms, row);
    }
}

static void put_breakers(const struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    const struct upstreams *upstreams = internal->options.health->upstreams;
    if (!upstreams || !is_defined(internal, "ops.breakers")) {
        return;
    }
    uint64_t monotonic_ms = upstreams->now_ms();
    for (size_t i = 0; i < upstreams->breaker_count; i++) {
        const struct upstream_breaker *breaker = &upstreams->breakers[i];
        enum breaker_state state = breaker_state(breaker->breaker, monotonic_ms);
        uint64_t wait_ms = breaker_next_probe_ms(breaker->breaker, monotonic_ms);
        char field[FIELD_MAX_BYTES + 1];
        json_t *row = json_pack("{s:s, s:I}", "state", breaker_state_name(state), "failures",
                                (json_int_t)breaker->breaker->failures);
        if (row && wait_ms > 0) {
            /* Without memory: an empty cell. */
            (void)json_object_set_new(row, "next_probe", json_integer(now_ms + (json_int_t)wait_ms));
        }
        (void)snprintf(field, sizeof field, "ops.breakers#%s", breaker->name); /* our own short names */
        (void)batch_put(batch, field, now_ms, row);
    }
}

struct freshness_walk {
    struct internal_source *internal;
    struct batch *batch;
    int64_t now_ms;
};

static struct told_row *row_of(struct internal_source *internal, const char *kpi, bool *out_is_new)
{
    struct told_row *row = map_get(&internal->rows, kpi, strlen(kpi));
    *out_is_new = row == NULL;
    if (!row) {
        row = calloc(1, sizeof *row);
        if (row && map_put(&internal->rows, kpi, strlen(kpi), row) != RESULT_OK) {
            free(row);
            row = NULL;
        }
    }
    return row;
}

static void put_age(void *context, const struct kpi_age *age)
{
    struct freshness_walk *walk = context;
    struct internal_source *internal = walk->internal;
    bool is_new = false;
    struct told_row *row = age->freshness == FRESHNESS_FRESH ? NULL : row_of(internal, age->kpi->id, &is_new);
    if (!row) {
        return;
    }
    bool is_due = is_new || row->freshness != age->freshness || internal->samples_taken % ROWS_EVERY == 0;
    row->freshness = age->freshness;
    row->seen_in = internal->samples_taken;
    if (!is_due) {
        return;
    }
    char field[FIELD_MAX_BYTES + 1];
    json_t *value = json_pack("{s:s, s:s, s:s}", "kpi", age->kpi->id, "state", freshness_name(age->freshness),
                              "class", age->kpi->freshness->name);
    if (value && age->as_of_ms > 0) {
        double age_s = fmax((double)(walk->now_ms - age->as_of_ms) / 1000.0, 0);
        (void)json_object_set_new(value, "age", json_real(age_s)); /* else: an empty cell */
    }
    (void)snprintf(field, sizeof field, "ops.freshness#%s", age->kpi->id); /* both parts have their limits */
    (void)batch_put(walk->batch, field, walk->now_ms, value);
}

/* Rows of KPIs that are fresh again, or gone, leave the table. */
static void remove_rows(struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    size_t cursor = 0;
    const char *kpi = NULL;
    size_t length = 0;
    void *value = NULL;
    while (map_next(&internal->rows, &cursor, &kpi, &length, &value)) {
        struct told_row *row = value;
        if (row->seen_in == internal->samples_taken) {
            continue;
        }
        char field[FIELD_MAX_BYTES + 1];
        (void)snprintf(field, sizeof field, "ops.freshness#%.*s", (int)length, kpi);
        struct change *change = batch_add(batch, field, now_ms);
        if (!change) {
            return; /* once more at the next sample */
        }
        change->is_delete = true;
        free(map_remove(&internal->rows, kpi, length));
    }
}

static void put_freshness(struct internal_source *internal, struct batch *batch, int64_t now_ms)
{
    struct freshness_walk walk = {.internal = internal, .batch = batch, .now_ms = now_ms};
    if (!is_defined(internal, "ops.freshness")) {
        return;
    }
    pipeline_each_age(internal->options.pipeline, put_age, &walk);
    remove_rows(internal, batch, now_ms);
}

/* ---- submitting ---- */

static void count_own(struct internal_source *internal, const struct submission_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_good = items[i].outcome == RESULT_OK || items[i].outcome == RESULT_UNCHANGED;
        internal->own[CHANGES] += 1;
        internal->own[CHANGES_GOOD] += is_good ? 1 : 0;
        internal->own[CHANGES_ACCEPTED] += items[i].outcome == RESULT_OK ? 1 : 0;
        metric_add(internal->refused, is_good ? 0 : 1);
    }
}

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct flight *flight = context;
    if (flight->internal) {
        count_own(flight->internal, items, count);
        flight->internal->flight = NULL;
    }
    batch_destroy(flight->batch);
    free(flight);
}

static void submit(struct internal_source *internal, struct batch *batch)
{
    struct flight *flight = calloc(1, sizeof *flight);
    if (!flight) {
        metric_add(internal->skipped, 1);
        batch_destroy(batch);
        return;
    }
    flight->internal = internal;
    flight->batch = batch;
    internal->flight = flight;
    pipeline_submit(internal->options.pipeline, batch->items, batch->count, on_submitted, flight);
}

void internal_source_sample(struct source *source)
{
    struct internal_source *internal = (struct internal_source *)source;
    struct moment now = internal->options.now();
    take_sample(internal, now);
    double lag_s = quantile_of(internal, LOOP_LAG, 0.99);
    struct health *health = internal->options.health;
    health->loop_lag_p99_s = lag_s > 0 ? lag_s : 0;
    upstreams_publish(health->upstreams);
    pipeline_report_source(internal->options.pipeline, NAME, true, NULL);
    struct batch *batch =
        pipeline_catalog(internal->options.pipeline) && !internal->flight ? batch_create() : NULL;
    if (!batch) {
        metric_add(internal->skipped, 1);
        return;
    }
    put_states(internal, batch, now.wall_ms);
    put_measures(internal, batch, measures, COUNT_OF(measures), now.wall_ms);
    put_redis(internal, batch, now.wall_ms);
    put_postgres(internal, batch, now.wall_ms);
    put_cache(internal, batch, now.wall_ms);
    put_connections(internal, batch, now.wall_ms);
    put_constants(internal, batch, now.wall_ms);
    put_sources(internal, batch, now.wall_ms);
    put_breakers(internal, batch, now.wall_ms);
    put_freshness(internal, batch, now.wall_ms);
    submit(internal, batch);
}

/* ---- timers ---- */

static void on_sample_due(void *context)
{
    struct internal_source *internal = context;
    loop_timer_arm(internal->timer, SAMPLE_MS);
    internal_source_sample(&internal->source);
}

static void arm_lag_probe(struct internal_source *internal)
{
    loop_update_now(internal->options.loop); /* or the delay would count from the start of this turn */
    internal->lag_due_us = clock_monotonic_us() + LAG_PROBE_MS * 1000u;
    loop_timer_arm(internal->lag_timer, LAG_PROBE_MS);
}

static void on_lag_probe(void *context)
{
    struct internal_source *internal = context;
    uint64_t now_us = clock_monotonic_us();
    uint64_t late_us = now_us > internal->lag_due_us ? now_us - internal->lag_due_us : 0;
    metric_observe(internal->lag, (double)late_us / 1e6);
    arm_lag_probe(internal);
}

/* ---- life cycle ---- */

static enum result internal_start(struct source *source)
{
    struct internal_source *internal = (struct internal_source *)source;
    arm_lag_probe(internal);
    loop_timer_arm(internal->timer, 0);
    return RESULT_OK;
}

static void internal_stop(struct source *source)
{
    struct internal_source *internal = (struct internal_source *)source;
    loop_timer_disarm(internal->timer);
    loop_timer_disarm(internal->lag_timer);
}

static void internal_destroy(struct source *source)
{
    struct internal_source *internal = (struct internal_source *)source;
    if (!internal) {
        return;
    }
    if (internal->flight) {
        internal->flight->internal = NULL;
    }
    loop_timer_destroy(internal->timer);
    loop_timer_destroy(internal->lag_timer);
    size_t cursor = 0;
    const char *kpi = NULL;
    size_t length = 0;
    void *row = NULL;
    while (map_next(&internal->rows, &cursor, &kpi, &length, &row)) {
        free(row);
    }
    map_finish(&internal->rows);
    free(internal);
}

static void register_metrics(struct internal_source *internal)
{
    struct metrics *metrics = internal->options.metrics;
    char labels[160];
    (void)snprintf(labels, sizeof labels, "version=\"%s\"", internal->options.build); /* our own text */
    metric_set(metrics_gauge(metrics, "gw_build_info", labels, "Always 1; the labels say what is running."),
               1);
    internal->lag = metrics_histogram(metrics, "gw_loop_lag_seconds", NULL,
                                      "How late a timer of the event loop fires, probed ten times a second.",
                                      METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    internal->resident = metrics_gauge(metrics, "process_resident_memory_bytes", NULL, "Resident memory.");
    internal->cpu_seconds = metrics_counter(metrics, "process_cpu_seconds_total", NULL,
                                            "User and system time, in whole seconds.");
    internal->open_fds = metrics_gauge(metrics, "process_open_fds", NULL, "Open file descriptors.");
    internal->skipped = metrics_counter(metrics, "gw_internal_skipped_total", NULL,
                                        "Samples of the gateway's own metrics that were not submitted.");
    internal->refused = metrics_counter(metrics, "gw_internal_refused_total", NULL,
                                        "Values of the operations board that its own definitions refused.");
}

static const struct source_ops internal_ops = {
    .name = NAME,
    .start = internal_start,
    .stop = internal_stop,
    .destroy = internal_destroy,
};

struct source *internal_source_create(const struct internal_source_options *options)
{
    struct internal_source *internal = calloc(1, sizeof *internal);
    if (!internal) {
        return NULL;
    }
    internal->source.ops = &internal_ops;
    internal->options = *options;
    map_init(&internal->rows, ROWS_MAX);
    register_metrics(internal);
    internal->timer = loop_timer_create(options->loop, on_sample_due, internal);
    internal->lag_timer = loop_timer_create(options->loop, on_lag_probe, internal);
    if (!internal->timer || !internal->lag_timer) {
        internal_destroy(&internal->source);
        return NULL;
    }
    return &internal->source;
}
