/*
 * Metrics registry. Families and their series are singly linked lists in
 * registration order; registration searches them, counting never does.
 *
 * It does not know time, rates or threads. Names and labels are our own text:
 * a wrong one is an assertion, so a bad exposition cannot reach a scraper.
 */
#include "base/metrics.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

struct metric {
    struct metric *next; /* same family */
    enum kind kind;
    char *labels;         /* owned; "" when there are none */
    uint64_t count;       /* counter: value; histogram: observations */
    double value;         /* gauge: value; histogram: sum */
    const double *bounds; /* histogram, borrowed */
    size_t bound_count;
    uint64_t buckets[]; /* histogram: bound_count + 1, not cumulative */
};

struct family {
    struct family *next;
    enum kind kind;
    char *name; /* owned */
    char *help; /* owned */
    struct metric *first;
    struct metric *last;
};

struct metrics {
    struct family *first;
    struct family *last;
    char *label; /* of every series when printed; NULL: none */
};

const double METRICS_LATENCY_BOUNDS[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                         0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
const size_t METRICS_LATENCY_BOUND_COUNT = sizeof METRICS_LATENCY_BOUNDS / sizeof METRICS_LATENCY_BOUNDS[0];

struct metrics *metrics_create(void)
{
    return calloc(1, sizeof(struct metrics));
}

static void family_destroy(struct family *family)
{
    struct metric *metric = family->first;
    while (metric != NULL) {
        struct metric *next = metric->next;
        free(metric->labels);
        free(metric);
        metric = next;
    }
    free(family->name);
    free(family->help);
    free(family);
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    struct family *family = metrics->first;
    while (family != NULL) {
        struct family *next = family->next;
        family_destroy(family);
        family = next;
    }
    free(metrics->label);
    free(metrics);
}

/** Length of the name at text that the text format allows, 0 when there is none. */
static size_t name_length(const char *text)
{
    size_t length = 0;
    while (isalpha((unsigned char)text[length]) || text[length] == '_' || text[length] == ':' ||
           (length > 0 && isdigit((unsigned char)text[length]))) {
        length++;
    }
    return length;
}

/** The end of the quoted label value at text, or NULL. */
static const char *skip_label_value(const char *text)
{
    if (*text != '"') {
        return NULL;
    }
    for (text++; *text != '"'; text++) {
        if (*text == '\\' && text[1] != '\0' && strchr("\\\"n", text[1]) != NULL) {
            text++;
        } else if (*text == '\0' || *text == '\n' || *text == '\\') {
            return NULL;
        }
    }
    return text + 1;
}

static bool labels_are_valid(const char *labels)
{
    while (*labels != '\0') {
        size_t length = name_length(labels);
        if (length == 0 || labels[length] != '=') {
            return false;
        }
        const char *end = skip_label_value(labels + length + 1);
        if (end == NULL || (*end != '\0' && (*end != ',' || end[1] == '\0'))) {
            return false;
        }
        labels = *end == ',' ? end + 1 : end;
    }
    return true;
}

static struct family *find_family(const struct metrics *metrics, const char *name)
{
    struct family *family = metrics->first;
    while (family != NULL && strcmp(family->name, name) != 0) {
        family = family->next;
    }
    return family;
}

static struct metric *find_series(const struct family *family, const char *labels)
{
    struct metric *metric = family->first;
    while (metric != NULL && strcmp(metric->labels, labels) != 0) {
        metric = metric->next;
    }
    return metric;
}

static struct family *add_family(struct metrics *metrics, enum kind kind, const char *name, const char *help)
{
    struct family *family = calloc(1, sizeof *family);
    if (family == NULL) {
        return NULL;
    }
    family->kind = kind;
    family->name = strdup(name);
    family->help = strdup(help);
    if (family->name == NULL || family->help == NULL) {
        family_destroy(family);
        return NULL;
    }
    *(metrics->last != NULL ? &metrics->last->next : &metrics->first) = family;
    metrics->last = family;
    return family;
}

static struct metric *add_series(struct family *family, const char *labels, const double *bounds,
                                 size_t bound_count)
{
    size_t buckets = family->kind == HISTOGRAM ? bound_count + 1 : 0;
    struct metric *metric = calloc(1, sizeof *metric + buckets * sizeof metric->buckets[0]);
    if (metric == NULL) {
        return NULL;
    }
    metric->labels = strdup(labels);
    if (metric->labels == NULL) {
        free(metric);
        return NULL;
    }
    metric->kind = family->kind;
    metric->bounds = bounds;
    metric->bound_count = bound_count;
    *(family->last != NULL ? &family->last->next : &family->first) = metric;
    family->last = metric;
    return metric;
}

static struct metric *find_or_add(struct metrics *metrics, enum kind kind, const char *name,
                                  const char *labels, const char *help, const double *bounds,
                                  size_t bound_count)
{
    const char *label_text = labels != NULL ? labels : "";
    assert(name_length(name) > 0 && name[name_length(name)] == '\0');
    assert(labels_are_valid(label_text));
    struct family *family = find_family(metrics, name);
    if (family == NULL) {
        family = add_family(metrics, kind, name, help);
        if (family == NULL) {
            return NULL;
        }
    }
    assert(family->kind == kind && strcmp(family->help, help) == 0);
    struct metric *metric = find_series(family, label_text);
    if (metric == NULL) {
        metric = add_series(family, label_text, bounds, bound_count);
    }
    return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help)
{
    return find_or_add(metrics, COUNTER, name, labels, help, NULL, 0);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help)
{
    return find_or_add(metrics, GAUGE, name, labels, help, NULL, 0);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help, const double *bounds, size_t bound_count)
{
    assert(bound_count > 0 && bound_count < METRICS_MAX_BUCKETS);
    for (size_t i = 1; i < bound_count; i++) {
        assert(bounds[i - 1] < bounds[i]);
    }
    return find_or_add(metrics, HISTOGRAM, name, labels, help, bounds, bound_count);
}

void metric_add(struct metric *metric, uint64_t amount)
{
    if (metric != NULL) {
        assert(metric->kind == COUNTER);
        metric->count += amount;
    }
}

void metric_set(struct metric *metric, double value)
{
    if (metric != NULL) {
        assert(metric->kind == GAUGE);
        metric->value = value;
    }
}

void metric_observe(struct metric *metric, double value)
{
    metric_observe_n(metric, value, 1);
}

void metric_observe_n(struct metric *metric, double value, uint64_t times)
{
    if (metric == NULL || times == 0) {
        return;
    }
    assert(metric->kind == HISTOGRAM);
    size_t bucket = 0;
    while (bucket < metric->bound_count && value > metric->bounds[bucket]) {
        bucket++;
    }
    metric->buckets[bucket] += times;
    metric->count += times;
    metric->value += value * (double)times;
}

double metric_read(const struct metric *metric)
{
    if (metric == NULL) {
        return 0;
    }
    return metric->kind == GAUGE ? metric->value : (double)metric->count;
}

struct metric *metrics_find(const struct metrics *metrics, const char *name, const char *labels)
{
    const struct family *family = find_family(metrics, name);
    return family != NULL ? find_series(family, labels != NULL ? labels : "") : NULL;
}

double metrics_sum(const struct metrics *metrics, const char *name)
{
    const struct family *family = find_family(metrics, name);
    double sum = 0;
    for (const struct metric *metric = family != NULL ? family->first : NULL; metric != NULL;
         metric = metric->next) {
        sum += metric_read(metric);
    }
    return sum;
}

void metric_buckets(const struct metric *metric, struct metric_buckets *out_buckets)
{
    *out_buckets = (struct metric_buckets){0};
    if (metric == NULL) {
        return;
    }
    assert(metric->kind == HISTOGRAM);
    out_buckets->bucket_count = metric->bound_count + 1;
    out_buckets->bounds = metric->bounds;
    memcpy(out_buckets->counts, metric->buckets, out_buckets->bucket_count * sizeof metric->buckets[0]);
}

double metric_buckets_quantile(const struct metric_buckets *now, const struct metric_buckets *before,
                               double quantile)
{
    uint64_t total = 0;
    for (size_t i = 0; i < now->bucket_count; i++) {
        total += now->counts[i] - before->counts[i];
    }
    if (total == 0) {
        return -1;
    }
    double rank = quantile * (double)total;
    double below = 0;
    for (size_t i = 0; i + 1 < now->bucket_count; i++) {
        double in_bucket = (double)(now->counts[i] - before->counts[i]);
        if (in_bucket > 0 && below + in_bucket >= rank) {
            double low = i > 0 ? now->bounds[i - 1] : 0;
            return low + (now->bounds[i] - low) * (rank > below ? (rank - below) / in_bucket : 0);
        }
        below += in_bucket;
    }
    return now->bounds[now->bucket_count - 2]; /* above all bounds: the last one is all we know */
}

/** The shortest of 15 or 17 digits that reads back as the same number. */
static void append_real(struct bytes *out, double value)
{
    if (isnan(value)) {
        bytes_append_text(out, "NaN");
    } else if (isinf(value)) {
        bytes_append_text(out, value > 0 ? "+Inf" : "-Inf");
    } else {
        char text[32];
        (void)snprintf(text, sizeof text, "%.15g", value); /* at most 24 characters */
        if (strtod(text, NULL) != value) {
            (void)snprintf(text, sizeof text, "%.17g", value);
        }
        bytes_append_text(out, text);
    }
}

static void append_help(struct bytes *out, const char *help)
{
    for (; *help != '\0'; help++) {
        if (*help == '\\') {
            bytes_append_text(out, "\\\\");
        } else if (*help == '\n') {
            bytes_append_text(out, "\\n");
        } else {
            bytes_append_byte(out, *help);
        }
    }
}

bool metrics_label_all(struct metrics *metrics, const char *name, const char *value)
{
    assert(metrics->label == NULL);
    size_t size = strlen(name) + 2 * strlen(value) + sizeof "=\"\"";
    char *at = metrics->label = malloc(size);
    if (at == NULL) {
        return false;
    }
    at += snprintf(at, size, "%s=\"", name); /* sized above */
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            *at++ = '\\';
        }
        *at++ = *value == '\n' ? 'n' : *value;
    }
    *at++ = '"';
    *at = '\0';
    return true;
}

/** What a sample is printed with. */
struct sample_name {
    const char *common; /* label of every series, or NULL */
    const char *name;
    const char *labels; /* "" when there are none */
};

/** name + suffix + {common,labels,more} + a space; more is NULL or one further label. */
static void append_sample_name(struct bytes *out, const struct sample_name *sample, const char *suffix,
                               const char *more)
{
    const char *const labels[] = {sample->common, sample->labels[0] != '\0' ? sample->labels : NULL, more};
    const char *separator = "{";
    bytes_append_text(out, sample->name);
    bytes_append_text(out, suffix);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        if (labels[i] != NULL) {
            bytes_append_text(out, separator);
            bytes_append_text(out, labels[i]);
            separator = ",";
        }
    }
    bytes_append_text(out, separator[0] == ',' ? "} " : " ");
}

static void print_histogram(const struct sample_name *sample, const struct metric *metric, struct bytes *out)
{
    uint64_t cumulative = 0;
    for (size_t i = 0; i <= metric->bound_count; i++) {
        char le[48] = "le=\"+Inf\"";
        if (i < metric->bound_count) {
            (void)snprintf(le, sizeof le, "le=\"%.15g\"", metric->bounds[i]);
        }
        cumulative += metric->buckets[i];
        append_sample_name(out, sample, "_bucket", le);
        bytes_append_u64(out, cumulative);
        bytes_append_byte(out, '\n');
    }
    append_sample_name(out, sample, "_sum", NULL);
    append_real(out, metric->value);
    bytes_append_byte(out, '\n');
    append_sample_name(out, sample, "_count", NULL);
    bytes_append_u64(out, metric->count);
    bytes_append_byte(out, '\n');
}

static void print_series(const struct sample_name *sample, const struct metric *metric, struct bytes *out)
{
    if (metric->kind == HISTOGRAM) {
        print_histogram(sample, metric, out);
        return;
    }
    append_sample_name(out, sample, "", NULL);
    if (metric->kind == COUNTER) {
        bytes_append_u64(out, metric->count);
    } else {
        append_real(out, metric->value);
    }
    bytes_append_byte(out, '\n');
}

void metrics_print(const struct metrics *metrics, struct bytes *out)
{
    static const char *const kind_names[] = {"counter", "gauge", "histogram"};
    for (const struct family *family = metrics->first; family != NULL; family = family->next) {
        if (family->first == NULL) {
            continue; /* memory ran out between family and series */
        }
        bytes_append_format(out, "# HELP %s ", family->name);
        append_help(out, family->help);
        bytes_append_format(out, "\n# TYPE %s %s\n", family->name, kind_names[family->kind]);
        for (const struct metric *metric = family->first; metric != NULL; metric = metric->next) {
            const struct sample_name sample = {
                .common = metrics->label, .name = family->name, .labels = metric->labels};
            print_series(&sample, metric, out);
        }
    }
}

/** "name{labels}": as one JSON string; labels hold quotes, so they are escaped here. */
static void append_json_name(struct bytes *out, const char *name, const char *labels)
{
    size_t size = strlen(name) + strlen(labels) + sizeof "{}";
    char *text = malloc(size);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    (void)snprintf(text, size, labels[0] != '\0' ? "%s{%s}" : "%s%s", name, labels); /* sized above */
    bytes_append_json_string(out, text, strlen(text));
    bytes_append_byte(out, ':');
    free(text);
}

static void append_json_real(struct bytes *out, double value)
{
    if (isfinite(value)) {
        bytes_append_format(out, "%.15g", value);
    } else {
        bytes_append_text(out, "null");
    }
}

static void print_series_json(const char *name, const struct metric *metric, struct bytes *out)
{
    append_json_name(out, name, metric->labels);
    switch (metric->kind) {
    case COUNTER:
        bytes_append_u64(out, metric->count);
        break;
    case GAUGE:
        append_json_real(out, metric->value);
        break;
    case HISTOGRAM:
        bytes_append_text(out, "{\"count\":");
        bytes_append_u64(out, metric->count);
        bytes_append_text(out, ",\"sum\":");
        append_json_real(out, metric->value);
        bytes_append_byte(out, '}');
        break;
    }
}

void metrics_print_json(const struct metrics *metrics, struct bytes *out)
{
    const char *separator = "{";
    for (const struct family *family = metrics->first; family != NULL; family = family->next) {
        for (const struct metric *metric = family->first; metric != NULL; metric = metric->next) {
            bytes_append_text(out, separator);
            print_series_json(family->name, metric, out);
            separator = ",";
        }
    }
    bytes_append_text(out, metrics->first != NULL && separator[0] == ',' ? "}" : "{}");
}
