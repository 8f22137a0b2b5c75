/*
 * The GET routes. Each handler answers at once from memory; the only cost that
 * grows is that of a body, and each has a cap. Nothing is cached here: a
 * snapshot's text is the encoder's, a definition's the catalogue's.
 */
#include "transports/http_endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/freshness.h"
#include "fanout/hub.h"
#include "protocol/bytes.h"
#include "protocol/limits.h"

#define JSON_TYPE "application/json"
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { BODY_MAX_BYTES = 16 * 1024 * 1024 };

struct http_endpoints {
    struct http_endpoints_options options;
    uint64_t started_ms; /* monotonic */
    struct metric *unauthenticated;
};

/* ---- answering ---- */

static void answer_body(struct http_exchange *exchange, int status, const char *type, struct bytes *body)
{
    if (bytes_failed(body)) {
        http_problem(exchange, 500, result_name(RESULT_NO_MEMORY), "the answer did not fit");
    } else {
        http_answer(exchange, status, type, body->at, body->length, false);
    }
    bytes_finish(body);
}

/* Does the header's list hold this quoted tag? Weak comparison, RFC 9110 section 13.1.2. */
static bool tag_matches(const char *header, const char *tag)
{
    size_t length = strlen(tag);
    while (header && *header != '\0') {
        header += strspn(header, " \t,");
        if (*header == '*') {
            return true;
        }
        header += strncmp(header, "W/", 2) == 0 ? 2 : 0;
        const char *end = *header == '"' ? strchr(header + 1, '"') : NULL;
        if (!end) {
            return false;
        }
        if ((size_t)(end + 1 - header) == length && memcmp(header, tag, length) == 0) {
            return true;
        }
        header = end + 1;
    }
    return false;
}

/* The body, or 304 when the peer holds it already. tag: with its quotes. */
static void answer_tagged(struct http_exchange *exchange, const char *tag, const char *text, size_t length)
{
    http_set_header(exchange, "ETag", tag);
    http_set_header(exchange, "Cache-Control", "no-cache");
    if (tag_matches(http_header(exchange, "if-none-match"), tag)) {
        http_answer(exchange, 304, NULL, NULL, 0, false);
    } else {
        http_answer(exchange, 200, JSON_TYPE, text, length, false);
    }
}

/* May this peer read? If not, it has been answered. */
static bool may_read(struct http_endpoints *endpoints, struct http_exchange *exchange)
{
    const struct access *access = endpoints->options.access;
    if (!access_viewer_needs_token(access) ||
        access_check_viewer_header(access, http_header(exchange, "authorization")) == RESULT_OK) {
        return true;
    }
    metric_add(endpoints->unauthenticated, 1);
    http_set_header(exchange, "WWW-Authenticate", "Bearer realm=\"viewer\"");
    http_set_header(exchange, "Cache-Control", "no-store");
    http_problem(exchange, 401, "unauthenticated", "the viewer key is missing or wrong");
    return false;
}

/* The definitions, or NULL after answering 503. */
static const struct catalog *catalog_or_503(struct http_endpoints *endpoints, struct http_exchange *exchange)
{
    const struct catalog *catalog = pipeline_catalog(endpoints->options.pipeline);
    if (!catalog) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "unavailable", "no definitions are in force yet");
    }
    return catalog;
}

static void append_text_member(struct bytes *out, const char *lead, const char *text)
{
    bytes_append_text(out, lead);
    bytes_append_json_string(out, text, strlen(text));
}

/* ---- boards ---- */

static void print_board(const struct board_definition *board, struct bytes *out)
{
    append_text_member(out, "{\"id\":", board->id);
    append_text_member(out, ",\"title\":", board->title);
    append_text_member(out, ",\"question\":", board->question ? board->question : "");
    bytes_append_text(out, ",\"kpis\":[");
    for (size_t i = 0; i < board->kpi_count; i++) {
        append_text_member(out, i ? "," : "", board->kpis[i]->id);
    }
    bytes_append_text(out, "]}");
}

static void on_boards(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const struct catalog *catalog =
        may_read(endpoints, exchange) ? catalog_or_503(endpoints, exchange) : NULL;
    if (!catalog) {
        return;
    }
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    append_text_member(&body, "{\"catalog\":", catalog_hash(catalog));
    bytes_append_text(&body,
                      endpoints->options.is_demo ? ",\"demo\":true,\"dashboards\":[" : ",\"dashboards\":[");
    for (size_t i = 0; i < catalog_board_count(catalog); i++) {
        bytes_append_text(&body, i ? "," : "");
        print_board(catalog_board_at(catalog, i), &body);
    }
    bytes_append_text(&body, "]}");
    http_set_header(exchange, "Cache-Control", "no-cache");
    answer_body(exchange, 200, JSON_TYPE, &body);
}

static void on_snapshot(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const char *text = NULL;
    size_t length = 0;
    struct position position;
    if (!may_read(endpoints, exchange)) {
        return;
    }
    enum result result = pipeline_snapshot(endpoints->options.pipeline, http_path_part(exchange, 0), &text,
                                           &length, &position);
    if (result == RESULT_UNKNOWN_BOARD) {
        http_problem(exchange, 404, result_name(result), "there is no such board");
        return;
    }
    if (result != RESULT_OK) {
        http_problem(exchange, 500, result_name(result), "the snapshot could not be encoded");
        return;
    }
    char tag[POSITION_TEXT_MAX_BYTES + 3] = "\"";
    size_t printed = position_print(&position, tag + 1);
    tag[1 + printed] = '"';
    tag[2 + printed] = '\0';
    answer_tagged(exchange, tag, text, length);
}

static void on_definition(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const struct catalog *catalog =
        may_read(endpoints, exchange) ? catalog_or_503(endpoints, exchange) : NULL;
    if (!catalog) {
        return;
    }
    const struct board_definition *board = catalog_board(catalog, http_path_part(exchange, 0));
    if (!board) {
        http_problem(exchange, 404, result_name(RESULT_UNKNOWN_BOARD), "there is no such board");
        return;
    }
    char tag[64];
    (void)snprintf(tag, sizeof tag, "\"%s\"", catalog_hash(catalog)); /* 16 digits */
    answer_tagged(exchange, tag, board->served, board->served_length);
}

/* A whole number from 1 to HISTORY_POINTS_MAX; absent means all. 0: it is neither. */
static size_t points_wanted(const char *query)
{
    if (!query) {
        return HISTORY_POINTS_MAX;
    }
    size_t digits = strspn(query, "0123456789");
    if (digits == 0 || digits > 4 || query[digits] != '\0') {
        return 0;
    }
    size_t wanted = strtoul(query, NULL, 10);
    return wanted < HISTORY_POINTS_MAX ? wanted : HISTORY_POINTS_MAX;
}

static void on_history(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const struct catalog *catalog =
        may_read(endpoints, exchange) ? catalog_or_503(endpoints, exchange) : NULL;
    if (!catalog) {
        return;
    }
    const char *id = http_path_part(exchange, 0);
    size_t wanted = points_wanted(http_query(exchange, "points"));
    if (!catalog_kpi(catalog, id, strlen(id))) {
        http_problem(exchange, 404, result_name(RESULT_UNKNOWN_FIELD), "there is no such KPI");
        return;
    }
    if (wanted == 0) {
        http_problem(exchange, 400, result_name(RESULT_OUT_OF_RANGE), "points must be a whole number from 1");
        return;
    }
    struct bytes body;
    uint64_t step_ms = 0;
    bytes_init(&body, BODY_MAX_BYTES);
    append_text_member(&body, "{\"kpi\":", id);
    bytes_append_text(&body, ",\"points\":");
    if (!pipeline_history(endpoints->options.pipeline, id, wanted, &body, &step_ms)) {
        bytes_append_text(&body, "[]");
    }
    bytes_append_text(&body, ",\"step_ms\":");
    bytes_append_u64(&body, step_ms);
    bytes_append_byte(&body, '}');
    http_set_header(exchange, "Cache-Control", "no-cache");
    answer_body(exchange, 200, JSON_TYPE, &body);
}

/* ---- health ---- */

struct age_counts {
    size_t of[FRESHNESS_COUNT];
    bool is_first; /* of the KPIs listed */
    int64_t now_ms;
    struct bytes *list; /* KPIs that are not fresh, or NULL: only count */
};

static void count_age(void *context, const struct kpi_age *age)
{
    struct age_counts *counts = context;
    counts->of[age->freshness]++;
    if (!counts->list || age->freshness == FRESHNESS_FRESH) {
        return;
    }
    append_text_member(counts->list, counts->is_first ? "{\"kpi\":" : ",{\"kpi\":", age->kpi->id);
    bytes_append_format(counts->list, ",\"state\":\"%s\"", freshness_name(age->freshness));
    if (age->as_of_ms > 0) {
        bytes_append_text(counts->list, ",\"as_of\":");
        bytes_append_i64(counts->list, age->as_of_ms);
        bytes_append_text(counts->list, ",\"age_ms\":");
        bytes_append_i64(counts->list, counts->now_ms > age->as_of_ms ? counts->now_ms - age->as_of_ms : 0);
    }
    bytes_append_byte(counts->list, '}');
    counts->is_first = false;
}

static void print_freshness(const struct age_counts *counts, struct bytes *out)
{
    bytes_append_text(out, ",\"freshness\":{");
    for (int freshness = 0; freshness < FRESHNESS_COUNT; freshness++) {
        bytes_append_format(out, "%s\"%s\":%zu", freshness ? "," : "",
                            freshness_name((enum freshness)freshness), counts->of[freshness]);
    }
    bytes_append_byte(out, '}');
}

static void print_sources(struct pipeline *pipeline, struct bytes *out)
{
    const struct source_health *sources = NULL;
    size_t count = hub_sources(pipeline_hub(pipeline), &sources);
    bytes_append_text(out, ",\"sources\":{");
    for (size_t i = 0; i < count; i++) {
        append_text_member(out, i ? "," : "", sources[i].name);
        bytes_append_format(out, ":{\"up\":%s,\"heard\":", sources[i].is_up ? "true" : "false");
        bytes_append_i64(out, sources[i].heard_ms);
        if (!sources[i].is_up && sources[i].reason) {
            append_text_member(out, ",\"reason\":", sources[i].reason);
        }
        bytes_append_byte(out, '}');
    }
    bytes_append_byte(out, '}');
}

static void print_status(enum health_state state, const char *reason, struct bytes *out)
{
    bytes_append_format(out, "{\"status\":\"%s\"", health_state_name(state));
    if (reason[0] != '\0') {
        append_text_member(out, ",\"reason\":", reason);
    }
}

static void print_detailed(struct http_endpoints *endpoints, struct bytes *out)
{
    const struct http_endpoints_options *options = &endpoints->options;
    struct moment now = options->now();
    struct age_counts counts = {.list = NULL};
    const struct catalog *catalog = pipeline_catalog(options->pipeline);
    if (catalog) {
        pipeline_each_age(options->pipeline, count_age, &counts);
    }
    bytes_append_format(
        out, ",\"now\":%lld,\"uptime_s\":%llu,\"demo\":%s,\"durable\":%s,\"viewers\":%u",
        (long long)now.wall_ms, (unsigned long long)((now.monotonic_ms - endpoints->started_ms) / 1000),
        options->is_demo ? "true" : "false", pipeline_is_durable(options->pipeline) ? "true" : "false",
        hub_viewer_count(pipeline_hub(options->pipeline)));
    print_sources(options->pipeline, out);
    print_freshness(&counts, out);
}

static void print_diagnostic(struct http_endpoints *endpoints, struct bytes *out)
{
    const struct http_endpoints_options *options = &endpoints->options;
    const struct catalog *catalog = pipeline_catalog(options->pipeline);
    append_text_member(out, ",\"node\":", options->node);
    append_text_member(out, ",\"build\":", options->build);
    append_text_member(out, ",\"catalog\":", catalog ? catalog_hash(catalog) : "");
    bytes_append_format(out,
                        ",\"loop_lag_p99_ms\":%.3f,\"memory\":{\"resident_bytes\":%.0f},"
                        "\"process\":{\"cpu_seconds\":%.2f,\"open_fds\":%.0f},\"connections\":%u",
                        options->health->loop_lag_p99_s * 1000.0,
                        metrics_sum(options->metrics, "process_resident_memory_bytes"),
                        metrics_sum(options->metrics, "process_cpu_seconds_total"),
                        metrics_sum(options->metrics, "process_open_fds"),
                        listener_connection_count(options->listener));
    bytes_append_format(
        out,
        ",\"limits\":{\"connections\":%u,\"viewers\":%u,\"heartbeat_ms\":%u,\"message_bytes\":%d,"
        "\"subscriptions\":%d,\"ingest_bytes\":%d,\"ingest_items\":%d}",
        options->max_connections, options->max_viewers, options->heartbeat_ms, VIEWER_MESSAGE_MAX_BYTES,
        SUBSCRIPTIONS_MAX, INGEST_BODY_MAX_BYTES, INGEST_ITEMS_MAX);
}

enum detail { DETAIL_BASIC, DETAIL_DETAILED, DETAIL_DIAGNOSTIC, DETAIL_COUNT };

static enum detail detail_of(const char *word)
{
    static const char *const words[DETAIL_COUNT] = {"basic", "detailed", "diagnostic"};
    for (int detail = 0; word && detail < DETAIL_COUNT; detail++) {
        if (strcmp(word, words[detail]) == 0) {
            return (enum detail)detail;
        }
    }
    return word ? DETAIL_COUNT : DETAIL_BASIC;
}

static bool is_serving(enum health_state state)
{
    return state == HEALTH_HEALTHY || state == HEALTH_DEGRADED;
}

static void on_health(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    enum detail detail = detail_of(http_query(exchange, "level"));
    http_set_header(exchange, "Cache-Control", "no-store");
    if (detail == DETAIL_COUNT) {
        http_problem(exchange, 400, result_name(RESULT_OUT_OF_RANGE),
                     "level is basic, detailed or diagnostic");
        return;
    }
    if (detail != DETAIL_BASIC && !may_read(endpoints, exchange)) {
        return;
    }
    const char *reason = "";
    enum health_state state = health_judge(endpoints->options.health, endpoints->options.pipeline, &reason);
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    print_status(state, detail == DETAIL_BASIC ? "" : reason, &body);
    if (detail >= DETAIL_DETAILED) {
        print_detailed(endpoints, &body);
    }
    if (detail == DETAIL_DIAGNOSTIC) {
        print_diagnostic(endpoints, &body);
    }
    bytes_append_byte(&body, '}');
    answer_body(exchange, is_serving(state) ? 200 : 503, JSON_TYPE, &body);
}

static void on_live(void *context, struct http_exchange *exchange)
{
    static const char body[] = "{\"status\":\"live\"}";
    (void)context;
    http_set_header(exchange, "Cache-Control", "no-store");
    http_answer(exchange, 200, JSON_TYPE, body, sizeof body - 1, true);
}

/* Ready is about taking new viewers, so degraded is ready and a slow loop is not a reason to lose all of them. */
static void on_ready(void *context, struct http_exchange *exchange)
{
    static const char ready[] = "{\"status\":\"ready\"}";
    struct http_endpoints *endpoints = context;
    const char *reason = "";
    enum health_state state = health_judge(endpoints->options.health, endpoints->options.pipeline, &reason);
    http_set_header(exchange, "Cache-Control", "no-store");
    if (state == HEALTH_INITIALIZING || state == HEALTH_OFFLINE) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "unavailable", reason);
        return;
    }
    http_answer(exchange, 200, JSON_TYPE, ready, sizeof ready - 1, true);
}

/* ---- data flow and metrics ---- */

static void on_flow_health(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    if (!may_read(endpoints, exchange)) {
        return;
    }
    const struct http_endpoints_options *options = &endpoints->options;
    const char *reason = "";
    enum health_state state = health_judge(options->health, options->pipeline, &reason);
    struct bytes body, list;
    bytes_init(&body, BODY_MAX_BYTES);
    bytes_init(&list, BODY_MAX_BYTES);
    struct age_counts counts = {.is_first = true, .now_ms = options->now().wall_ms, .list = &list};
    if (pipeline_catalog(options->pipeline)) {
        pipeline_each_age(options->pipeline, count_age, &counts);
    }
    print_status(state, reason, &body);
    bytes_append_format(&body, ",\"now\":%lld,\"durable\":%s", (long long)counts.now_ms,
                        pipeline_is_durable(options->pipeline) ? "true" : "false");
    print_sources(options->pipeline, &body);
    print_freshness(&counts, &body);
    bytes_append_text(&body, ",\"not_fresh\":[");
    bytes_append(&body, list.at, list.length);
    bytes_append_text(&body, "]}");
    body.failed = body.failed || bytes_failed(&list);
    bytes_finish(&list);
    http_set_header(exchange, "Cache-Control", "no-store");
    answer_body(exchange, 200, JSON_TYPE, &body);
}

static void on_flow_metrics(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    if (!may_read(endpoints, exchange)) {
        return;
    }
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    bytes_append_format(&body, "{\"now\":%lld,\"metrics\":", (long long)endpoints->options.now().wall_ms);
    metrics_print_json(endpoints->options.metrics, &body);
    bytes_append_byte(&body, '}');
    http_set_header(exchange, "Cache-Control", "no-store");
    answer_body(exchange, 200, JSON_TYPE, &body);
}

static void on_metrics(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    metrics_print(endpoints->options.metrics, &body);
    http_set_header(exchange, "Cache-Control", "no-store");
    answer_body(exchange, 200, PROMETHEUS_TYPE, &body);
}

/* ---- life cycle ---- */

static void add_routes(struct http_endpoints *endpoints)
{
    static const struct {
        const char *pattern;
        void (*on_request)(void *context, struct http_exchange *exchange);
    } routes[] = {
        {"/api/v1/dashboards", on_boards},
        {"/api/v1/dashboards/{id}", on_snapshot},
        {"/api/v1/dashboards/{id}/definition", on_definition},
        {"/api/v1/kpis/{id}/history", on_history},
        {"/api/v1/data-flow/health", on_flow_health},
        {"/api/v1/data-flow/metrics", on_flow_metrics},
        {"/health", on_health},
        {"/health/live", on_live},
        {"/health/ready", on_ready},
        {"/metrics", on_metrics},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        listener_add_http(endpoints->options.listener, &(struct http_route){
                                                           .methods = HTTP_GET,
                                                           .pattern = routes[i].pattern,
                                                           .context = endpoints,
                                                           .on_request = routes[i].on_request,
                                                       });
    }
}

struct http_endpoints *http_endpoints_create(const struct http_endpoints_options *options)
{
    struct http_endpoints *endpoints = calloc(1, sizeof *endpoints);
    if (!endpoints) {
        return NULL;
    }
    endpoints->options = *options;
    endpoints->started_ms = options->now().monotonic_ms;
    endpoints->unauthenticated = metrics_counter(options->metrics, "gw_http_unauthenticated_total", NULL,
                                                 "Reads refused for want of a good viewer key.");
    add_routes(endpoints);
    return endpoints;
}

void http_endpoints_destroy(struct http_endpoints *endpoints)
{
    free(endpoints);
}
