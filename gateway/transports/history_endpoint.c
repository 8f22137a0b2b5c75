/*
 * Memory answers at once. When it holds fewer points than were asked for, and the KPI has a query, the answer waits for the
 * cache; when that has nothing to give, memory answers all the same and says so.
 */
#include "transports/history_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/limits.h"
#include "transports/http_reply.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, DIGITS_MAX = 4 };

struct history_endpoint {
    struct history_endpoint_options options;
    struct metric *unauthenticated;
    struct metric *answers[2]; /* from memory, through the cache */
};

/* One request that waits for the cache. */
struct history_request {
    struct history_endpoint *endpoint;
    struct http_exchange *exchange; /* NULL once the peer has left */
    size_t wanted;
    char kpi[KPI_ID_MAX_BYTES + 1];
};

/* ---- answering ---- */

/* points: the array's text. cache: the member, or NULL. */
static void answer_points(struct http_exchange *exchange, const char *kpi, const char *points, size_t length,
                          uint64_t step_ms, const struct cache_answer *cache)
{
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    bytes_append_text(&body, "{\"kpi\":");
    bytes_append_json_string(&body, kpi, strlen(kpi));
    bytes_append_text(&body, ",\"points\":");
    bytes_append(&body, points, length);
    bytes_append_text(&body, ",\"step_ms\":");
    bytes_append_u64(&body, step_ms);
    if (cache) {
        bool has_value = cache->value != NULL;
        bytes_append_format(&body, ",\"cache\":{\"status\":\"%s\",\"age_ms\":%llu,\"tier\":\"%s\"",
                            cache_status_name(cache->status), (unsigned long long)cache->age_ms,
                            has_value ? cache->tier : "memory");
        if (cache->result != RESULT_OK) {
            bytes_append_format(&body, ",\"reason\":\"%s\"", result_name(cache->result));
        }
        bytes_append_byte(&body, '}');
    }
    bytes_append_byte(&body, '}');
    http_set_header(exchange, "Cache-Control", "private, no-cache"); /* others may not see it */
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

static void answer_from_memory(struct history_endpoint *endpoint, struct http_exchange *exchange,
                               const char *kpi, size_t wanted, const struct cache_answer *cache)
{
    struct bytes points;
    uint64_t step_ms = 0;
    bytes_init(&points, BODY_MAX_BYTES);
    if (!pipeline_history(endpoint->options.pipeline, kpi, wanted, &points, &step_ms)) {
        bytes_append_text(&points, "[]");
    }
    answer_points(exchange, kpi, points.at, points.length, step_ms, cache);
    bytes_finish(&points);
    metric_add(endpoint->answers[0], 1);
}

/* RFC 9211 and RFC 9111, for proxies and people with curl. */
static void set_cache_headers(struct http_exchange *exchange, const struct cache_answer *answer)
{
    char age[32], status[96];
    bool is_hit = answer->value && strcmp(answer->tier, "l3") != 0;
    (void)snprintf(age, sizeof age, "%llu", (unsigned long long)(answer->age_ms / 1000)); /* fits */
    (void)snprintf(status, sizeof status, "sophia-gateway; %s; detail=%s%s%s",
                   is_hit ? "hit" : "fwd=uri-miss", cache_status_name(answer->status),
                   answer->tier[0] ? "/" : "", answer->tier);
    http_set_header(exchange, "Cache-Status", status);
    if (answer->value) {
        http_set_header(exchange, "Age", age);
    }
}

/* ---- through the cache ---- */

static void on_gone(void *owner)
{
    ((struct history_request *)owner)->exchange = NULL;
}

static void on_read(void *context, const struct cache_answer *answer)
{
    struct history_request *request = context;
    if (request->exchange) {
        struct history_endpoint *endpoint = request->endpoint;
        set_cache_headers(request->exchange, answer);
        if (answer->value) {
            uint64_t step_ms = 0;
            size_t length = 0;
            const char *points = cache_value_bytes(answer->value, &length);
            /* For the step. */
            (void)pipeline_history_count(endpoint->options.pipeline, request->kpi, &step_ms);
            answer_points(request->exchange, request->kpi, points, length, step_ms, answer);
            metric_add(endpoint->answers[1], 1);
        } else {
            answer_from_memory(endpoint, request->exchange, request->kpi, request->wanted, answer);
        }
    }
    free(request);
}

static void read_through_cache(struct history_endpoint *endpoint, struct http_exchange *exchange,
                               const struct kpi *kpi, size_t wanted)
{
    struct history_request *request = calloc(1, sizeof *request);
    if (!request) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "unavailable", "no memory for another read");
        return;
    }
    request->endpoint = endpoint;
    request->exchange = exchange;
    request->wanted = wanted;
    (void)snprintf(request->kpi, sizeof request->kpi, "%s", kpi->id); /* ids have their limit */
    http_on_gone(exchange, on_gone, request); /* before the read, which may answer at once */
    history_reader_get(endpoint->options.reader, kpi, wanted, on_read, request);
}

/* ---- asking ---- */

/* A whole number from 1, or 0 when it is none. */
static size_t count_of(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= DIGITS_MAX && text[digits] == '\0' ? strtoul(text, NULL, 10) : 0;
}

/* How many points the query asks for; without one, what the definition keeps. 0: that is no number. */
static size_t points_wanted(const struct http_exchange *exchange, const struct kpi *kpi)
{
    const char *points = http_query(exchange, "points");
    const char *days = http_query(exchange, "days");
    uint64_t wanted = points ? count_of(points) : days ? count_of(days) : HISTORY_POINTS_MAX;
    if (!points && !days && kpi->history_points > 0) {
        wanted = kpi->history_points;
    }
    if (!points && days && kpi->history_step_ms > 0) {
        wanted = (wanted * DAY_MS + kpi->history_step_ms - 1) / kpi->history_step_ms;
    }
    return wanted < HISTORY_READ_POINTS_MAX ? (size_t)wanted : HISTORY_READ_POINTS_MAX;
}

static bool memory_suffices(const struct history_endpoint *endpoint, const struct kpi *kpi, size_t wanted)
{
    uint64_t step_ms = 0;
    if (!endpoint->options.reader || !kpi->history_query) {
        return true; /* it is all there is */
    }
    return pipeline_history_count(endpoint->options.pipeline, kpi->id, &step_ms) >= wanted;
}

static void on_history(void *context, struct http_exchange *exchange)
{
    struct history_endpoint *endpoint = context;
    const char *id = http_path_part(exchange, 0);
    struct access_grant grant;
    if (!http_reply_admit(endpoint->options.access, endpoint->unauthenticated, exchange, &grant)) {
        return;
    }
    const struct catalog *catalog = pipeline_catalog(endpoint->options.pipeline);
    if (!catalog) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "unavailable", "no definitions are in force yet");
        return;
    }
    const struct kpi *kpi = catalog_kpi(catalog, id, strlen(id));
    /* Who may not see it is not told that there is one. */
    bool is_seen =
        kpi && pipeline_may_see(kpi, pipeline_audience(endpoint->options.pipeline, http_reply_roles(&grant)));
    http_reply_note(endpoint->options.access, exchange, &grant, AUDIT_READ, "http", id,
                    is_seen ? NULL : result_name(kpi ? RESULT_FORBIDDEN : RESULT_UNKNOWN_FIELD));
    if (!is_seen) {
        http_problem(exchange, 404, result_name(RESULT_UNKNOWN_FIELD), "there is no such KPI");
        return;
    }
    size_t wanted = points_wanted(exchange, kpi);
    if (wanted == 0) {
        http_problem(exchange, 400, result_name(RESULT_OUT_OF_RANGE),
                     "points and days are whole numbers from 1");
        return;
    }
    if (memory_suffices(endpoint, kpi, wanted)) {
        answer_from_memory(endpoint, exchange, id, wanted, NULL);
    } else {
        read_through_cache(endpoint, exchange, kpi, wanted);
    }
}

struct history_endpoint *history_endpoint_create(const struct history_endpoint_options *options)
{
    static const char help[] = "Answers to reads of history, by where their points came from.";
    struct history_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (!endpoint) {
        return NULL;
    }
    endpoint->options = *options;
    endpoint->unauthenticated = http_reply_unauthenticated(options->metrics);
    endpoint->answers[0] =
        metrics_counter(options->metrics, "gw_history_reads_total", "from=\"memory\"", help);
    endpoint->answers[1] =
        metrics_counter(options->metrics, "gw_history_reads_total", "from=\"cache\"", help);
    listener_add_http(options->listener, &(struct http_route){
                                             .methods = HTTP_GET,
                                             .pattern = "/api/v1/kpis/{id}/history",
                                             .context = endpoint,
                                             .on_request = on_history,
                                         });
    return endpoint;
}

void history_endpoint_destroy(struct history_endpoint *endpoint)
{
    free(endpoint);
}
