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
#include "transports/cache_endpoint.h"
#include "transports/history_endpoint.h"
#include "transports/http_reply.h"

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct http_endpoints {
    struct http_endpoints_options options;
    uint64_t started_ms; /* monotonic */
    struct metric *unauthenticated;
    struct history_endpoint *history; /* owned, with routes of their own */
    struct cache_endpoint *cache;
};

/* ---- answering ---- */

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
    http_set_header(exchange, "Cache-Control", "private, no-cache"); /* others may see something else */
    if (tag_matches(http_header(exchange, "if-none-match"), tag)) {
        http_answer(exchange, 304, NULL, NULL, 0, false);
    } else {
        http_answer(exchange, 200, JSON_TYPE, text, length, false);
    }
}

static bool admit(const struct http_endpoints *endpoints, struct http_exchange *exchange,
                  struct access_grant *out_grant)
{
    return http_reply_admit(endpoints->options.access, endpoints->unauthenticated, exchange, out_grant);
}

/* For what says the same to everybody. */
static bool may_read(const struct http_endpoints *endpoints, struct http_exchange *exchange)
{
    struct access_grant grant;
    return admit(endpoints, exchange, &grant);
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

static void print_board(const struct board_definition *board, struct audience audience, struct bytes *out)
{
    const char *separator = "";
    append_text_member(out, "{\"id\":", board->id);
    append_text_member(out, ",\"title\":", board->title);
    append_text_member(out, ",\"question\":", board->question ? board->question : "");
    bytes_append_text(out, ",\"kpis\":[");
    for (size_t i = 0; i < board->kpi_count; i++) {
        if (view_sight(board->kpis[i], audience) != SIGHT_NONE) {
            append_text_member(out, separator, board->kpis[i]->id);
            separator = ",";
        }
    }
    bytes_append_text(out, "]}");
}

static void on_boards(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    struct access_grant grant;
    const struct catalog *catalog =
        admit(endpoints, exchange, &grant) ? catalog_or_503(endpoints, exchange) : NULL;
    if (!catalog) {
        return;
    }
    struct audience audience = pipeline_audience(endpoints->options.pipeline, http_reply_roles(&grant));
    const char *separator = "";
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    append_text_member(&body, "{\"catalog\":", catalog_hash(catalog));
    bytes_append_text(&body,
                      endpoints->options.is_demo ? ",\"demo\":true,\"dashboards\":[" : ",\"dashboards\":[");
    for (size_t i = 0; i < catalog_board_count(catalog); i++) {
        const struct board_definition *board = catalog_board_at(catalog, i);
        if (view_is_permitted(board, audience)) {
            bytes_append_text(&body, separator);
            print_board(board, audience, &body);
            separator = ",";
        }
    }
    bytes_append_text(&body, "]}");
    http_set_header(exchange, "Cache-Control", "private, no-cache");
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

static void on_snapshot(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const char *text = NULL;
    size_t length = 0;
    struct position position;
    struct access_grant grant;
    if (!admit(endpoints, exchange, &grant)) {
        return;
    }
    enum result result = pipeline_snapshot(endpoints->options.pipeline, http_reply_roles(&grant),
                                           http_path_part(exchange, 0), &text, &length, &position);
    if (result != RESULT_OK) {
        http_reply_no_board(endpoints->options.access, exchange, &grant, AUDIT_READ, "http", result);
        return;
    }
    http_reply_note(endpoints->options.access, exchange, &grant, AUDIT_READ, "http",
                    http_path_part(exchange, 0), NULL);
    char tag[POSITION_TEXT_MAX_BYTES + 3] = "\"";
    size_t printed = position_print(&position, tag + 1);
    tag[1 + printed] = '"';
    tag[2 + printed] = '\0';
    answer_tagged(exchange, tag, text, length);
}

static void on_definition(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const char *text = NULL, *view = NULL;
    size_t length = 0;
    struct access_grant grant;
    const struct catalog *catalog =
        admit(endpoints, exchange, &grant) ? catalog_or_503(endpoints, exchange) : NULL;
    if (!catalog) {
        return;
    }
    enum result result = pipeline_definition(endpoints->options.pipeline, http_reply_roles(&grant),
                                             http_path_part(exchange, 0), &text, &length, &view);
    if (result != RESULT_OK) {
        http_reply_no_board(endpoints->options.access, exchange, &grant, AUDIT_READ, "http", result);
        return;
    }
    char tag[64];
    (void)snprintf(tag, sizeof tag, "\"%s-%s\"", catalog_hash(catalog), view); /* 16 and 8 digits */
    answer_tagged(exchange, tag, text, length);
}

/* ---- health ---- */

struct age_counts {
    size_t of[FRESHNESS_COUNT];
    bool is_first; /* of the KPIs listed */
    int64_t now_ms;
    struct bytes *list;       /* KPIs that are not fresh, or NULL: only count */
    struct audience audience; /* that is told which */
};

static void count_age(void *context, const struct kpi_age *age)
{
    struct age_counts *counts = context;
    counts->of[age->freshness]++;
    if (!counts->list || age->freshness == FRESHNESS_FRESH || !pipeline_may_see(age->kpi, counts->audience)) {
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

static void print_links(const struct upstreams *upstreams, enum upstream upstream, struct bytes *out)
{
    const char *separator = "";
    bytes_append_text(out, ",\"links\":{");
    for (size_t i = 0; i < upstreams->link_count; i++) {
        const struct upstream_link *link = &upstreams->links[i];
        if (link->upstream != upstream) {
            continue;
        }
        bool is_up = link->is_up(link->link);
        append_text_member(out, separator, link->name);
        bytes_append_format(out, ":{\"up\":%s", is_up ? "true" : "false");
        if (!is_up) {
            append_text_member(out, ",\"reason\":", link->reason(link->link));
        }
        bytes_append_byte(out, '}');
        separator = ",";
    }
    bytes_append_byte(out, '}');
}

static void print_breakers(const struct upstreams *upstreams, enum upstream upstream, struct bytes *out)
{
    const char *separator = "";
    uint64_t now_ms = upstreams->now_ms();
    bytes_append_text(out, ",\"breakers\":{");
    for (size_t i = 0; i < upstreams->breaker_count; i++) {
        const struct upstream_breaker *breaker = &upstreams->breakers[i];
        if (breaker->upstream != upstream) {
            continue;
        }
        append_text_member(out, separator, breaker->name);
        append_text_member(out, ":{\"state\":", breaker_state_name(breaker_state(breaker->breaker, now_ms)));
        bytes_append_format(out, ",\"failures\":%u,\"next_probe_ms\":%llu}", breaker->breaker->failures,
                            (unsigned long long)breaker_next_probe_ms(breaker->breaker, now_ms));
        separator = ",";
    }
    bytes_append_byte(out, '}');
}

/** Reasons name hosts: not for the basic level. */
static void print_upstreams(const struct upstreams *upstreams, struct bytes *out)
{
    const char *separator = "";
    bytes_append_text(out, ",\"upstreams\":{");
    for (int i = 0; i < UPSTREAM_COUNT; i++) {
        enum upstream upstream = (enum upstream)i;
        enum upstream_state state = upstream_state(upstreams, upstream);
        if (state == UPSTREAM_OFF) {
            continue;
        }
        append_text_member(out, separator, upstream_name(upstream));
        append_text_member(out, ":{\"state\":", upstream_state_name(state));
        if (state != UPSTREAM_UP) {
            append_text_member(out, ",\"reason\":", upstream_reason(upstreams, upstream));
        }
        print_links(upstreams, upstream, out);
        print_breakers(upstreams, upstream, out);
        bytes_append_byte(out, '}');
        separator = ",";
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
    print_upstreams(options->health->upstreams, out);
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
        listener_max_connections(options->listener), options->max_viewers, options->heartbeat_ms,
        VIEWER_MESSAGE_MAX_BYTES, SUBSCRIPTIONS_MAX, INGEST_BODY_MAX_BYTES, INGEST_ITEMS_MAX);
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
    if (detail != DETAIL_BASIC && endpoints->options.admin_listener && !http_is_admin(exchange)) {
        http_problem(exchange, 403, result_name(RESULT_FORBIDDEN), "this level is for the admin port");
        return;
    }
    if (detail != DETAIL_BASIC && !may_read(endpoints, exchange)) {
        return;
    }
    const char *reason = "";
    enum health_state state = health_judge(endpoints->options.health, endpoints->options.pipeline, &reason);
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    print_status(state, reason, &body);
    if (detail >= DETAIL_DETAILED) {
        print_detailed(endpoints, &body);
    }
    if (detail == DETAIL_DIAGNOSTIC) {
        print_diagnostic(endpoints, &body);
    }
    bytes_append_byte(&body, '}');
    http_reply_body(exchange, is_serving(state) ? 200 : 503, JSON_TYPE, &body);
}

static void on_live(void *context, struct http_exchange *exchange)
{
    static const char body[] = "{\"status\":\"live\"}";
    (void)context;
    http_set_header(exchange, "Cache-Control", "no-store");
    http_answer(exchange, 200, JSON_TYPE, body, sizeof body - 1, true);
}

/*
 * Ready is about taking new viewers: degraded is ready, and says so. A slow loop is not a reason to lose all of
 * them, and neither are upstreams that are down for every gateway alike.
 */
static void on_ready(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    const char *reason = "";
    enum health_state state = health_judge(endpoints->options.health, endpoints->options.pipeline, &reason);
    http_set_header(exchange, "Cache-Control", "no-store");
    if (state == HEALTH_INITIALIZING || state == HEALTH_OFFLINE) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "unavailable", reason);
        return;
    }
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    bytes_append_text(&body, "{\"status\":\"ready\"");
    if (reason[0] != '\0') {
        append_text_member(&body, ",\"degraded\":", reason);
    }
    bytes_append_byte(&body, '}');
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

/* ---- data flow and metrics ---- */

static void on_flow_health(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    struct access_grant grant;
    if (!admit(endpoints, exchange, &grant)) {
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
        counts.audience = pipeline_audience(options->pipeline, http_reply_roles(&grant));
        pipeline_each_age(options->pipeline, count_age, &counts);
    }
    print_status(state, reason, &body);
    bytes_append_format(&body, ",\"now\":%lld,\"durable\":%s", (long long)counts.now_ms,
                        pipeline_is_durable(options->pipeline) ? "true" : "false");
    print_sources(options->pipeline, &body);
    print_upstreams(options->health->upstreams, &body);
    print_freshness(&counts, &body);
    bytes_append_text(&body, ",\"not_fresh\":[");
    bytes_append(&body, list.at, list.length);
    bytes_append_text(&body, "]}");
    body.failed = body.failed || bytes_failed(&list);
    bytes_finish(&list);
    http_set_header(exchange, "Cache-Control", "no-store");
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

static void on_flow_metrics(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    if (!may_read(endpoints, exchange)) {
        return;
    }
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    const int64_t now_ms = endpoints->options.now().wall_ms;
    access_tick(endpoints->options.access, now_ms / 1000);
    bytes_append_format(&body, "{\"now\":%lld", (long long)now_ms);
    append_text_member(&body, ",\"node\":", endpoints->options.node);
    bytes_append_text(&body, ",\"metrics\":");
    metrics_print_json(endpoints->options.metrics, &body);
    bytes_append_byte(&body, '}');
    http_set_header(exchange, "Cache-Control", "no-store");
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

static void on_metrics(void *context, struct http_exchange *exchange)
{
    struct http_endpoints *endpoints = context;
    struct bytes body;
    bytes_init(&body, BODY_MAX_BYTES);
    access_tick(endpoints->options.access, endpoints->options.now().wall_ms / 1000);
    metrics_print(endpoints->options.metrics, &body);
    http_set_header(exchange, "Cache-Control", "no-store");
    http_reply_body(exchange, 200, PROMETHEUS_TYPE, &body);
}

/* ---- life cycle ---- */

struct get_route {
    const char *pattern;
    void (*on_request)(void *context, struct http_exchange *exchange);
};

static void add_gets(struct http_endpoints *endpoints, struct listener *listener,
                     const struct get_route *routes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        listener_add_http(listener, &(struct http_route){
                                        .methods = HTTP_GET,
                                        .pattern = routes[i].pattern,
                                        .context = endpoints,
                                        .on_request = routes[i].on_request,
                                    });
    }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void add_routes(struct http_endpoints *endpoints)
{
    static const struct get_route for_viewers[] = {
        {"/api/v1/dashboards", on_boards},
        {"/api/v1/dashboards/{id}", on_snapshot},
        {"/api/v1/dashboards/{id}/definition", on_definition},
    };
    static const struct get_route for_operators[] = {
        {"/api/v1/data-flow/health", on_flow_health},
        {"/api/v1/data-flow/metrics", on_flow_metrics},
        {"/metrics", on_metrics},
    };
    static const struct get_route for_probes[] = {
        {"/health", on_health},
        {"/health/live", on_live},
        {"/health/ready", on_ready},
    };
    struct listener *open = endpoints->options.listener;
    struct listener *admin = endpoints->options.admin_listener;
    add_gets(endpoints, open, for_viewers, COUNT(for_viewers));
    add_gets(endpoints, admin ? admin : open, for_operators, COUNT(for_operators));
    add_gets(endpoints, open, for_probes, COUNT(for_probes));
    if (admin) {
        add_gets(endpoints, admin, for_probes, COUNT(for_probes));
    }
}

static bool create_parts(struct http_endpoints *endpoints)
{
    const struct http_endpoints_options *options = &endpoints->options;
    const struct history_endpoint_options history = {
        .listener = options->listener,
        .pipeline = options->pipeline,
        .access = options->access,
        .metrics = options->metrics,
        .reader = options->history,
    };
    const struct cache_endpoint_options cache = {
        .listener = options->admin_listener ? options->admin_listener : options->listener,
        .access = options->access,
        .metrics = options->metrics,
        .cache = options->cache,
    };
    endpoints->history = history_endpoint_create(&history);
    endpoints->cache = cache_endpoint_create(&cache);
    return endpoints->history && endpoints->cache;
}

struct http_endpoints *http_endpoints_create(const struct http_endpoints_options *options)
{
    struct http_endpoints *endpoints = calloc(1, sizeof *endpoints);
    if (!endpoints) {
        return NULL;
    }
    endpoints->options = *options;
    endpoints->started_ms = options->now().monotonic_ms;
    endpoints->unauthenticated = http_reply_unauthenticated(options->metrics);
    if (!create_parts(endpoints)) {
        goto fail;
    }
    add_routes(endpoints);
    return endpoints;

fail:
    http_endpoints_destroy(endpoints);
    return NULL;
}

void http_endpoints_destroy(struct http_endpoints *endpoints)
{
    if (endpoints) {
        history_endpoint_destroy(endpoints->history);
        cache_endpoint_destroy(endpoints->cache);
        free(endpoints);
    }
}
