/* Numbers are gathered in one table of metrics first; the JSON, the table and the expectations all read that. */
#include "loadtest/load/load_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum metric {
    METRIC_ERRORS,
    METRIC_CONNECT_ERRORS,
    METRIC_LOST,
    METRIC_VIOLATIONS,
    METRIC_RESYNCS,
    METRIC_BEHIND,
    METRIC_COPIES,
    METRIC_DELIVERIES,
    METRIC_CHANGES,
    METRIC_FRAME_BYTES,
    METRIC_CPU_PER_DELIVERY,
    METRIC_CPU_PER_CHANGE_VIEWER,
    METRIC_P50,
    METRIC_P90,
    METRIC_P99,
    METRIC_P999,
    METRIC_MAX,
    METRIC_CONNECT_S,
    METRIC_CONNECT_CPU,
    METRIC_STORM_S,
    METRIC_LATE,
    METRIC_RSS_PER_VIEWER,
    METRIC_COUNT
};

static const char *const metric_names[METRIC_COUNT] = {
    "errors",
    "connect_errors",
    "lost",
    "violations",
    "resyncs",
    "behind",
    "copies",
    "deliveries",
    "changes",
    "frame_bytes",
    "cpu_us_per_delivery",
    "cpu_us_per_change_viewer",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "connect_s",
    "connect_cpu_us",
    "storm_s",
    "producer_late_ms",
    "rss_kib_per_viewer",
};

/** NAN: not measured. */
struct metrics_table {
    double at[METRIC_COUNT];
};

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static double quantile_ms(const struct load_tally *tally, double quantile)
{
    return tally->latency.count > 0 ? (double)histogram_quantile_us(&tally->latency, quantile) / 1e3 : NAN;
}

static double span_s(uint64_t from_us, uint64_t to_us)
{
    return from_us != 0 && to_us != 0 ? (double)(to_us - from_us) / 1e6 : NAN;
}

static double per_viewer_kib(const struct load_run *run)
{
    return run->rss_empty_kib > 0 && run->rss_idle_kib > 0
               ? share((double)run->rss_idle_kib - (double)run->rss_empty_kib, run->scenario->viewers)
               : NAN;
}

static struct metrics_table gather(const struct load_run *run)
{
    const struct load_tally *tally = run->tally;
    struct metrics_table metrics;
    double errors = 0;
    for (size_t i = 0; i < LOAD_ERROR_COUNT; i++) {
        errors += (double)tally->errors[i];
    }
    double *at = metrics.at;
    at[METRIC_ERRORS] = errors;
    at[METRIC_CONNECT_ERRORS] = (double)tally->connect_errors;
    at[METRIC_LOST] = (double)run->lost;
    at[METRIC_VIOLATIONS] = (double)load_verify_violations(run->verify);
    at[METRIC_RESYNCS] = (double)tally->resyncs;
    at[METRIC_BEHIND] = run->behind;
    at[METRIC_COPIES] = run->copies;
    at[METRIC_DELIVERIES] = (double)tally->deliveries;
    at[METRIC_CHANGES] = (double)run->changes;
    at[METRIC_FRAME_BYTES] = share((double)tally->delivered_bytes, (double)tally->deliveries);
    at[METRIC_CPU_PER_DELIVERY] =
        run->has_servers ? share(run->window.servers_us, (double)tally->deliveries) : NAN;
    at[METRIC_CPU_PER_CHANGE_VIEWER] =
        run->has_servers ? share(run->window.servers_us, (double)run->change_viewers) : NAN;
    at[METRIC_P50] = quantile_ms(tally, 0.5);
    at[METRIC_P90] = quantile_ms(tally, 0.9);
    at[METRIC_P99] = quantile_ms(tally, 0.99);
    at[METRIC_P999] = quantile_ms(tally, 0.999);
    at[METRIC_MAX] = quantile_ms(tally, 1);
    at[METRIC_CONNECT_S] = span_s(tally->first_connect_us, tally->all_ready_us);
    at[METRIC_CONNECT_CPU] =
        run->has_servers ? share(run->connecting.servers_us, run->scenario->viewers) : NAN;
    at[METRIC_STORM_S] = span_s(tally->storm_us, tally->storm_over_us);
    at[METRIC_LATE] = (double)run->late_us / 1e3;
    at[METRIC_RSS_PER_VIEWER] = per_viewer_kib(run);
    return metrics;
}

/* ---- expectations ---- */

/** METRIC_COUNT: none of that name. */
static enum metric metric_of(const char *expectation, bool *out_is_least)
{
    *out_is_least = strncmp(expectation, "min_", 4) == 0;
    const char *name = *out_is_least ? expectation + 4 : expectation;
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (strcmp(metric_names[i], name) == 0) {
            return (enum metric)i;
        }
    }
    return METRIC_COUNT;
}

bool load_report_knows(const char *expectation)
{
    bool is_least;
    return metric_of(expectation, &is_least) != METRIC_COUNT;
}

/** Three decimals are what is measured; null where nothing was. */
static json_t *number(double value)
{
    if (isnan(value)) {
        return json_null();
    }
    return value == floor(value) ? json_integer((json_int_t)value) : json_real(round(value * 1e3) / 1e3);
}

static bool expect(json_t *list, const struct metrics_table *metrics, const char *name, double wanted)
{
    bool is_least;
    enum metric metric = metric_of(name, &is_least);
    double got = metric < METRIC_COUNT ? metrics->at[metric] : NAN;
    bool is_held = is_least ? got >= wanted : got <= wanted; /* never with NAN */
    json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:b}", "name", name, "wanted", number(wanted),
                                          "got", number(got), "held", is_held));
    return is_held;
}

static json_t *judge(const struct load_run *run, const struct metrics_table *metrics, bool *out_held)
{
    static const struct {
        const char *name;
        double wanted;
    } always[] = {{"errors", 0}, {"lost", 0}, {"violations", 0}, {"behind", 0}, {"min_deliveries", 1}};
    const struct scenario *scenario = run->scenario;
    bool is_silent = scenario->viewers == 0 || scenario->producer == PRODUCER_NONE || scenario->rate <= 0;
    json_t *list = json_array();
    *out_held = true;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        bool is_about_changes = strncmp(always[i].name, "min_", 4) == 0;
        if (!json_object_get(scenario->expect, always[i].name) && !(is_about_changes && is_silent)) {
            *out_held = expect(list, metrics, always[i].name, always[i].wanted) && *out_held;
        }
    }
    const char *name;
    json_t *wanted;
    json_object_foreach((json_t *)(uintptr_t)scenario->expect, name, wanted) {
        *out_held = expect(list, metrics, name, json_number_value(wanted)) && *out_held;
    }
    return list;
}

/* ---- JSON ---- */

static json_t *counts(const uint64_t *values, size_t count, const char *(*name_of)(size_t))
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        if (values[i] > 0) {
            json_object_set_new(object, name_of(i), json_integer((json_int_t)values[i]));
        }
    }
    return object;
}

static const char *error_name_at(size_t i)
{
    return load_error_name((enum load_error)i);
}

static const char *violation_name_at(size_t i)
{
    return violation_name((enum violation)i);
}

static json_t *examples(const struct load_verify *verify)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < verify->example_count; i++) {
        json_t *text = json_string(verify->examples[i]);
        json_array_append_new(list, text ? text : json_string("(not UTF-8)"));
    }
    return list;
}

static void add_counts(json_t *report, const struct load_run *run)
{
    const struct load_tally *tally = run->tally;
    json_object_set_new(report, "errors", counts(tally->errors, LOAD_ERROR_COUNT, error_name_at));
    json_object_set_new(report, "violations_by_kind",
                        counts(run->verify->violations, VIOLATION_COUNT, violation_name_at));
    json_object_set_new(report, "examples", examples(run->verify));
    json_object_set_new(report, "messages",
                        json_pack("{s:I, s:I, s:I, s:I, s:I}", "snapshots", (json_int_t)tally->snapshots,
                                  "updates", (json_int_t)tally->updates, "merged", (json_int_t)tally->merged,
                                  "heartbeats", (json_int_t)tally->heartbeats, "distinct",
                                  (json_int_t)run->distinct_messages));
    json_object_set_new(report, "returned",
                        json_pack("{s:I, s:I, s:I, s:I}", "viewers", (json_int_t)tally->returned, "whole",
                                  (json_int_t)tally->resumed[RESUME_WHOLE], "update",
                                  (json_int_t)tally->resumed[RESUME_UPDATE], "snapshot",
                                  (json_int_t)tally->resumed[RESUME_SNAPSHOT]));
}

static void add_memory(json_t *report, const struct load_run *run, const struct metrics_table *metrics)
{
    bool has = run->has_servers;
    json_object_set_new(report, "rss_kib",
                        json_pack("{s:o, s:o, s:o, s:o}", "empty",
                                  number(has ? (double)run->rss_empty_kib : NAN), "idle",
                                  number(has ? (double)run->rss_idle_kib : NAN), "end",
                                  number(has ? (double)run->rss_end_kib : NAN), "per_viewer",
                                  number(metrics->at[METRIC_RSS_PER_VIEWER])));
    json_object_set_new(report, "sockets_kib",
                        json_pack("{s:I, s:I, s:I}", "empty", (json_int_t)run->sockets_empty_kib, "idle",
                                  (json_int_t)run->sockets_idle_kib, "end",
                                  (json_int_t)run->sockets_end_kib));
}

static void add_times(json_t *report, const struct load_run *run, const struct metrics_table *metrics)
{
    const struct histogram *connecting = &run->tally->connecting;
    json_object_set_new(report, "latency_ms",
                        json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "p50", number(metrics->at[METRIC_P50]),
                                  "p90", number(metrics->at[METRIC_P90]), "p99",
                                  number(metrics->at[METRIC_P99]), "p999", number(metrics->at[METRIC_P999]),
                                  "max", number(metrics->at[METRIC_MAX]), "values",
                                  (json_int_t)run->tally->latency.count));
    json_object_set_new(
        report, "read_ms",
        json_pack("{s:o, s:o}", "p50", number((double)histogram_quantile_us(&run->tally->reading, 0.5) / 1e3),
                  "p99", number((double)histogram_quantile_us(&run->tally->reading, 0.99) / 1e3)));
    json_object_set_new(report, "connect",
                        json_pack("{s:o, s:o, s:o, s:o, s:o}", "seconds",
                                  number(metrics->at[METRIC_CONNECT_S]), "cpu_us_each",
                                  number(metrics->at[METRIC_CONNECT_CPU]), "errors",
                                  number(metrics->at[METRIC_CONNECT_ERRORS]), "p50_ms",
                                  number((double)histogram_quantile_us(connecting, 0.5) / 1e3), "p99_ms",
                                  number((double)histogram_quantile_us(connecting, 0.99) / 1e3)));
}

json_t *load_report_make(const struct load_run *run, bool *out_held)
{
    static const enum metric plain[] = {METRIC_DELIVERIES,
                                        METRIC_CHANGES,
                                        METRIC_FRAME_BYTES,
                                        METRIC_CPU_PER_DELIVERY,
                                        METRIC_CPU_PER_CHANGE_VIEWER,
                                        METRIC_LOST,
                                        METRIC_VIOLATIONS,
                                        METRIC_RESYNCS,
                                        METRIC_BEHIND,
                                        METRIC_COPIES,
                                        METRIC_LATE,
                                        METRIC_STORM_S};
    struct metrics_table metrics = gather(run);
    const struct load_cpu *window = &run->window;
    json_t *report = json_pack("{s:s, s:i, s:o}", "scenario", run->scenario->name, "viewers",
                               (int)run->scenario->viewers, "seconds", number(run->seconds));
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        json_object_set_new(report, metric_names[plain[i]], number(metrics.at[plain[i]]));
    }
    add_times(report, run, &metrics);
    add_memory(report, run, &metrics);
    add_counts(report, run);
    json_object_set_new(report, "stolen", number(share(window->stolen_us, window->whole_us)));
    json_object_set_new(report, "other_cpu", number(load_cpu_others(window)));
    json_object_set_new(report, "server_cpu", number(share(window->servers_us, run->seconds * 1e6)));
    json_object_set_new(report, "own_cpu", number(share(window->own_us, run->seconds * 1e6)));
    json_object_set_new(report, "expectations", judge(run, &metrics, out_held));
    return report;
}

/* ---- the table ---- */

static const char *text_of(const json_t *value, char out_text[64])
{
    if (json_is_integer(value)) {
        snprintf(out_text, 64, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(out_text, 64, "%.3f", json_real_value(value));
    } else {
        snprintf(out_text, 64, "-");
    }
    return out_text;
}

static void print_object(const char *name, const json_t *object)
{
    char text[64];
    const char *key;
    json_t *value;
    printf("  %-26s", name);
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        printf(" %s %s ", key, text_of(value, text));
    }
    printf("\n");
}

void load_report_print(const json_t *report)
{
    static const char *const hidden[] = {"scenario", "expectations", "examples"};
    char text[64], wanted[64];
    const char *name;
    json_t *value;
    size_t i;
    printf("%s\n", json_string_value(json_object_get(report, "scenario")));
    json_object_foreach((json_t *)(uintptr_t)report, name, value) {
        bool is_hidden = false;
        for (i = 0; i < sizeof hidden / sizeof *hidden; i++) {
            is_hidden = is_hidden || strcmp(hidden[i], name) == 0;
        }
        if (json_is_object(value) && json_object_size(value) > 0) {
            print_object(name, value);
        } else if (!is_hidden && !json_is_object(value)) {
            printf("  %-26s %s\n", name, text_of(value, text));
        }
    }
    json_array_foreach(json_object_get(report, "examples"), i, value) {
        printf("  violation: %s\n", json_string_value(value));
    }
    json_array_foreach(json_object_get(report, "expectations"), i, value) {
        if (!json_is_true(json_object_get(value, "held"))) {
            printf("  BROKEN: %s is %s, wanted %s\n", json_string_value(json_object_get(value, "name")),
                   text_of(json_object_get(value, "got"), text),
                   text_of(json_object_get(value, "wanted"), wanted));
        }
    }
}
