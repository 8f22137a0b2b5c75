/**
 * Counters, gauges and histograms, and their Prometheus text form.
 *
 * A metric is registered once by the module that counts it and is then a
 * plain add on a handle: no look-up on the hot path. Labels are fixed at
 * registration (one handle per label set), so a peer cannot create series.
 * Families print in registration order, samples of a family contiguously.
 * The registry is the loop thread's.
 */
#ifndef SOPHIA_BASE_METRICS_H
#define SOPHIA_BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"

struct metrics;
struct metric;

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);

/**
 * labels: NULL, or text as it will appear between the braces: `result="ok",form="ws"`.
 * Registering the same name and labels again returns the same handle; the same
 * name with another kind or help is our own mistake (assert).
 * Owns: the registry owns the handle; name, help and labels are copied.
 * Errors: NULL when memory ran out; every metric_* function accepts NULL and does nothing.
 */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help);
/** bounds: ascending upper bounds in the metric's base unit (seconds, bytes), borrowed forever. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help, const double *bounds, size_t bound_count);

/** Latency bounds in seconds from 100 us to 10 s, for metrics_histogram. */
extern const double METRICS_LATENCY_BOUNDS[];
extern const size_t METRICS_LATENCY_BOUND_COUNT;

void metric_add(struct metric *metric, uint64_t amount);  /* counter */
void metric_set(struct metric *metric, double value);     /* gauge */
void metric_observe(struct metric *metric, double value); /* histogram */
void metric_observe_n(struct metric *metric, double value, uint64_t times);

/** Counter's or gauge's value; a histogram's count of observations. */
double metric_read(const struct metric *metric);
/** A handle by exact name and labels, or NULL: for views (internal source, tests). */
struct metric *metrics_find(const struct metrics *metrics, const char *name, const char *labels);
/** Sum over all label sets of a counter or gauge family; 0 when unknown. */
double metrics_sum(const struct metrics *metrics, const char *name);

/** A histogram's buckets at one moment, so that two moments can be subtracted. */
enum { METRICS_MAX_BUCKETS = 32 };
struct metric_buckets {
    uint64_t counts[METRICS_MAX_BUCKETS]; /* per bucket, not cumulative; last = above all bounds */
    size_t bucket_count;
    const double *bounds;
};
void metric_buckets(const struct metric *metric, struct metric_buckets *out_buckets);
/** Quantile (0..1) of now minus before, linear inside a bucket; NaN-free: 0 observations -> -1. */
double metric_buckets_quantile(const struct metric_buckets *now, const struct metric_buckets *before,
                               double quantile);

/**
 * A label that metrics_print() gives to every series, for processes that answer at one address in turn. Once; no
 * series may have a label of this name. value: any text. False: memory ran out, there is no such label.
 */
bool metrics_label_all(struct metrics *metrics, const char *name, const char *value);
/** Prometheus text format 0.0.4. */
void metrics_print(const struct metrics *metrics, struct bytes *out);
/** Visit counters and gauges as JSON: {"name{labels}": value, ...}, histograms as count/sum. */
void metrics_print_json(const struct metrics *metrics, struct bytes *out);

#endif
