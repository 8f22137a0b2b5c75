/*
 * The HTTP door for producers. Who knocks is judged by the head alone, before a
 * body of theirs takes memory. A body is measured (size by the route, nesting
 * by a scan) before it is parsed, decoded item by item, submitted as one
 * transaction, and answered when the pipeline is done with it.
 *
 * A request lives until the pipeline answers, whoever leaves first: a peer that
 * hangs up takes its exchange with it (exchange = NULL), a source that is
 * destroyed takes itself out (ingest = NULL). What was submitted is applied in
 * either case.
 */
#include "sources/http_ingest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/audit.h"
#include "base/list.h"
#include "base/log.h"
#include "protocol/bytes.h"
#include "protocol/json_depth.h"
#include "protocol/limits.h"

#define NAME "http"
#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"

enum {
    /* 1,000 items, each with an escaped field and detail */
    ANSWER_MAX_BYTES = 4 * 1024 * 1024,
};

/* Why a whole request was turned away; the label of a counter. */
enum turned_away {
    AWAY_MALFORMED,
    AWAY_TOO_DEEP,
    AWAY_TOO_MANY,
    AWAY_KEY,
    AWAY_FORBIDDEN,
    AWAY_BUSY,
    AWAY_COUNT
};

static const struct {
    int status;
    const char *code;
    const char *detail;
} away_answers[AWAY_COUNT] = {
    [AWAY_MALFORMED] = {400, "malformed", "the body is not one JSON object or array"},
    [AWAY_TOO_DEEP] = {400, "too_deep", "the body is nested deeper than 16"},
    [AWAY_TOO_MANY] = {413, "too_many", "a request holds at most 1000 changes"},
    [AWAY_KEY] = {401, "unauthenticated", "the ingest key is missing or wrong"},
    [AWAY_FORBIDDEN] =
        {403, "forbidden",
         "no ingest key is configured, so producers must come from loopback, without proxy or browser"},
    [AWAY_BUSY] = {503, "unavailable", "too many requests are waiting, or the gateway is stopping"},
};

struct http_ingest {
    struct source source;
    struct http_ingest_options options;
    bool is_open;
    struct list_node requests; /* struct request.in_ingest */
    uint32_t outstanding;
    struct metric *items[RESULT_COUNT];
    struct metric *unknown_members;
    struct metric *turned_away[AWAY_COUNT];
    struct metric *answered;
};

struct request {
    struct list_node in_ingest;
    struct http_ingest *ingest;     /* NULL: the source is gone */
    struct http_exchange *exchange; /* NULL: the peer is gone */
    struct submission_item *items;
    size_t count, capacity;
    size_t readable; /* items that could be read as a change */
};

/* ---- requests ---- */

static struct request *request_create(struct http_ingest *ingest, struct http_exchange *exchange)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request) {
        return NULL;
    }
    request->ingest = ingest;
    request->exchange = exchange;
    list_append(&ingest->requests, &request->in_ingest);
    ingest->outstanding++;
    return request;
}

static void request_destroy(struct request *request)
{
    list_remove(&request->in_ingest);
    if (request->ingest) {
        request->ingest->outstanding--;
    }
    for (size_t i = 0; i < request->count; i++) {
        change_finish(&request->items[i].change);
    }
    free(request->items);
    free(request);
}

static void on_peer_gone(void *owner)
{
    struct request *request = owner;
    request->exchange = NULL;
}

/* The next item, zeroed; NULL when the request is at its cap or memory ran out. */
static struct submission_item *request_add(struct request *request)
{
    if (request->count == request->capacity) {
        size_t capacity = request->capacity ? request->capacity * 2 : 8;
        capacity = capacity < INGEST_ITEMS_MAX ? capacity : INGEST_ITEMS_MAX;
        if (capacity == request->count) {
            return NULL;
        }
        struct submission_item *grown = realloc(request->items, capacity * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        request->items = grown;
        request->capacity = capacity;
    }
    struct submission_item *item = &request->items[request->count++];
    memset(item, 0, sizeof *item);
    return item;
}

/* ---- decoding ---- */

/* What the producer called it, for the answer; cut, as it may be anything. */
static void item_name(struct submission_item *item, const char *name)
{
    (void)snprintf(item->change.field, sizeof item->change.field, "%s",
                   name ? name : ""); /* a cut is meant */
}

static void item_refuse(struct submission_item *item, enum result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void item_refuse(struct submission_item *item, enum result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(item->detail, sizeof item->detail, format, arguments); /* a longer detail is cut */
    va_end(arguments);
    item->outcome = result;
}

static bool take_change(struct request *request, const json_t *envelope)
{
    struct submission_item *item = request_add(request);
    if (!item) {
        return false;
    }
    const char *problem = NULL;
    enum result result = change_decode(envelope, &item->change, &problem);
    if (result == RESULT_OK) {
        request->readable++;
        return true;
    }
    item_name(item, json_string_value(json_object_get(envelope, "field")));
    item_refuse(item, result, "%s", problem ? problem : "a change is a JSON object");
    return true;
}

static const struct ingest_mapping *find_mapping(const struct http_ingest *ingest, const char *source_name)
{
    for (size_t i = 0; i < ingest->options.mapping_count; i++) {
        if (strcmp(ingest->options.mappings[i].source_name, source_name) == 0) {
            return &ingest->options.mappings[i];
        }
    }
    return NULL;
}

static const char *mapped_field(const struct ingest_mapping *mapping, const char *member)
{
    for (size_t i = 0; i < mapping->member_count; i++) {
        if (strcmp(mapping->members[i].member, member) == 0) {
            return mapping->members[i].field;
        }
    }
    return NULL;
}

/* One member of `data`: a change of the field it is mapped to, through the same decoder as any other. */
static bool take_member(struct request *request, const struct ingest_mapping *mapping, const char *member,
                        json_t *value)
{
    const char *field = mapped_field(mapping, member);
    if (field) {
        json_auto_t *envelope = json_pack("{s:s, s:O}", "field", field, "value", value);
        return envelope && take_change(request, envelope);
    }
    struct submission_item *item = request_add(request);
    if (!item) {
        return false;
    }
    item_name(item, member);
    item_refuse(item, RESULT_UNKNOWN_FIELD, "the mapping of this source does not know this member");
    metric_add(request->ingest->unknown_members, 1);
    return true;
}

static bool refuse_whole(struct request *request, const char *name, enum result result, const char *detail)
{
    struct submission_item *item = request_add(request);
    if (!item) {
        return false;
    }
    item_name(item, name);
    item_refuse(item, result, "%s", detail);
    return true;
}

/* {"source_name": ..., "data": {...}} */
static bool take_mapped(struct request *request, const json_t *envelope)
{
    const char *source_name = json_string_value(json_object_get(envelope, "source_name"));
    json_t *data = json_object_get(envelope, "data");
    if (!source_name) {
        return refuse_whole(request, NULL, RESULT_WRONG_TYPE, "source_name must be a text");
    }
    if (!json_is_object(data)) {
        return refuse_whole(request, source_name, data ? RESULT_WRONG_TYPE : RESULT_MISSING_FIELD,
                            "data must be an object");
    }
    if (json_object_size(envelope) != 2) {
        return refuse_whole(request, source_name, RESULT_UNKNOWN_TYPE,
                            "only source_name and data are known here");
    }
    const struct ingest_mapping *mapping = find_mapping(request->ingest, source_name);
    if (!mapping) {
        return refuse_whole(request, source_name, RESULT_UNKNOWN_FIELD,
                            "the configuration has no mapping for this source_name");
    }
    if (json_object_size(data) == 0) {
        return refuse_whole(request, source_name, RESULT_MISSING_FIELD, "data has no members");
    }
    const char *member;
    json_t *value;
    json_object_foreach(data, member, value) {
        if (!take_member(request, mapping, member, value)) {
            return false;
        }
    }
    return true;
}

static bool take_one(struct request *request, const json_t *envelope)
{
    bool is_mapped = json_object_get(envelope, "source_name") != NULL;
    return is_mapped ? take_mapped(request, envelope) : take_change(request, envelope);
}

/* An item did not fit: one too many, or our own memory. */
static enum turned_away why_not_taken(const struct request *request)
{
    return request->count == INGEST_ITEMS_MAX ? AWAY_TOO_MANY : AWAY_BUSY;
}

/* AWAY_COUNT: decoded. */
static enum turned_away request_decode(struct request *request, const char *text, size_t length)
{
    if (json_is_deeper(text, length, INGEST_MAX_DEPTH)) {
        return AWAY_TOO_DEEP;
    }
    json_auto_t *body = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (!body || (json_is_array(body) && json_array_size(body) == 0)) {
        return AWAY_MALFORMED;
    }
    if (json_is_object(body)) {
        return take_one(request, body) ? AWAY_COUNT : why_not_taken(request);
    }
    if (json_array_size(body) > INGEST_ITEMS_MAX) {
        return AWAY_TOO_MANY;
    }
    for (size_t i = 0; i < json_array_size(body); i++) {
        if (!take_one(request, json_array_get(body, i))) {
            return why_not_taken(request);
        }
    }
    return AWAY_COUNT;
}

/* ---- answering ---- */

static const char *outcome_name(enum result outcome)
{
    return outcome == RESULT_OK ? "accepted" : result_name(outcome);
}

struct tally {
    size_t accepted, unchanged, older, refused;
};

static struct tally count_outcomes(const struct submission_item *items, size_t count)
{
    struct tally tally = {0};
    for (size_t i = 0; i < count; i++) {
        switch (items[i].outcome) {
        case RESULT_OK:
            tally.accepted++;
            break;
        case RESULT_UNCHANGED:
            tally.unchanged++;
            break;
        case RESULT_OLDER:
            tally.older++;
            break;
        default:
            tally.refused++;
            break;
        }
    }
    return tally;
}

static void print_answer(const struct request *request, bool is_durable, struct bytes *out)
{
    struct tally tally = count_outcomes(request->items, request->count);
    bytes_append_byte(out, '{');
    if (request->readable == 0) {
        bytes_append_text(out, "\"title\":\"Bad Request\",\"status\":400,\"code\":\"malformed\","
                               "\"detail\":\"nothing in the body could be read as a change\",");
    }
    bytes_append_format(
        out, "\"accepted\":%zu,\"unchanged\":%zu,\"older\":%zu,\"refused\":%zu,\"durable\":%s,\"items\":[",
        tally.accepted, tally.unchanged, tally.older, tally.refused, is_durable ? "true" : "false");
    for (size_t i = 0; i < request->count; i++) {
        const struct submission_item *item = &request->items[i];
        bytes_append_text(out, i ? ",{\"field\":" : "{\"field\":");
        bytes_append_json_string(out, item->change.field, strlen(item->change.field));
        bytes_append_format(out, ",\"result\":\"%s\"", outcome_name(item->outcome));
        if (item->detail[0] != '\0') {
            bytes_append_text(out, ",\"detail\":");
            bytes_append_json_string(out, item->detail, strlen(item->detail));
        }
        bytes_append_byte(out, '}');
    }
    bytes_append_text(out, "]}");
}

/* What cannot be ordered now is the sender's to send again, all of it: what was accepted is unchanged then. */
static bool is_to_be_sent_again(const struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        if (request->items[i].outcome == RESULT_UNAVAILABLE) {
            return true;
        }
    }
    return false;
}

static void request_answer(struct request *request)
{
    struct bytes body;
    bytes_init(&body, ANSWER_MAX_BYTES);
    print_answer(request, pipeline_is_durable(request->ingest->options.pipeline), &body);
    http_set_header(request->exchange, "Cache-Control", "no-store");
    if (bytes_failed(&body)) {
        http_problem(request->exchange, 500, result_name(RESULT_NO_MEMORY),
                     "the changes were judged; the answer did not fit");
    } else if (request->readable == 0) {
        http_answer(request->exchange, 400, PROBLEM_TYPE, body.at, body.length, false);
    } else if (is_to_be_sent_again(request)) {
        http_set_header(request->exchange, "Retry-After", "2");
        http_answer(request->exchange, 503, JSON_TYPE, body.at, body.length, false);
    } else {
        http_answer(request->exchange, 200, JSON_TYPE, body.at, body.length, false);
    }
    bytes_finish(&body);
    metric_add(request->ingest->answered, 1);
}

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct request *request = context;
    struct http_ingest *ingest = request->ingest;
    for (size_t i = 0; ingest && i < count; i++) {
        metric_add(ingest->items[items[i].outcome], 1);
    }
    if (ingest && request->exchange) {
        request_answer(request);
    }
    request_destroy(request);
}

static void turn_away(struct http_ingest *ingest, struct http_exchange *exchange, enum turned_away why)
{
    metric_add(ingest->turned_away[why], 1);
    if (why == AWAY_KEY) {
        http_set_header(exchange, "WWW-Authenticate", "Bearer realm=\"ingest\"");
    } else if (why == AWAY_BUSY) {
        http_set_header(exchange, "Retry-After", "1");
    }
    http_problem(exchange, away_answers[why].status, away_answers[why].code, away_answers[why].detail);
}

/*
 * Does the request come from a program on this machine? A proxy here speaks for whoever is behind it, and a page
 * in a browser here for whoever wrote the page (its Host proves nothing: names can be made to lead to 127.0.0.1).
 */
static bool is_local(const struct http_exchange *exchange)
{
    static const char *const signs[] = {"origin", "forwarded", "x-forwarded-for", "x-real-ip"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (http_header(exchange, signs[i])) {
            return false;
        }
    }
    return http_peer_is_loopback(exchange);
}

static void note(const struct access *access, const struct http_exchange *exchange, enum result result)
{
    const char *granted = access_ingest_needs_key(access) ? "ingest_key" : "local";
    if (access_audit(access)) {
        audit_note(access_audit(access),
                   &(struct audit_event){.action = AUDIT_INGEST,
                                         .refusal = result == RESULT_OK ? NULL : result_name(result),
                                         .by = result == RESULT_OK ? granted : NULL,
                                         .address = http_peer_address(exchange),
                                         .over = "http"});
    }
}

/* May this peer send changes? If not, it has been answered. */
static bool on_head(void *context, struct http_exchange *exchange)
{
    struct http_ingest *ingest = context;
    const struct access *access = ingest->options.access;
    enum result result =
        access_check_ingest(access, http_header(exchange, "authorization"), is_local(exchange));
    note(access, exchange, result);
    if (result == RESULT_OK) {
        return true;
    }
    turn_away(ingest, exchange, access_ingest_needs_key(access) ? AWAY_KEY : AWAY_FORBIDDEN);
    return false;
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct http_ingest *ingest = context;
    bool is_room = ingest->is_open && ingest->outstanding < ingest->options.max_outstanding;
    struct request *request = is_room ? request_create(ingest, exchange) : NULL;
    if (!request) {
        turn_away(ingest, exchange, AWAY_BUSY);
        return;
    }
    size_t length = 0;
    const char *text = http_body(exchange, &length);
    enum turned_away why = request_decode(request, text, length);
    if (why != AWAY_COUNT) {
        request_destroy(request);
        turn_away(ingest, exchange, why);
        return;
    }
    pipeline_report_source(ingest->options.pipeline, NAME, true, NULL);
    http_on_gone(exchange, on_peer_gone, request); /* before the submit, which may answer at once */
    pipeline_submit(ingest->options.pipeline, request->items, request->count, on_submitted, request);
}

/* ---- life cycle ---- */

static enum result ingest_start(struct source *source)
{
    struct http_ingest *ingest = (struct http_ingest *)source;
    ingest->is_open = true;
    pipeline_report_source(ingest->options.pipeline, NAME, true, NULL);
    if (!access_ingest_needs_key(ingest->options.access)) {
        log_warn("ingest accepts producers from loopback only, no ingest key is configured");
    }
    return RESULT_OK;
}

static void ingest_stop(struct source *source)
{
    struct http_ingest *ingest = (struct http_ingest *)source;
    ingest->is_open = false;
}

static void ingest_destroy(struct source *source)
{
    struct http_ingest *ingest = (struct http_ingest *)source;
    if (!ingest) {
        return;
    }
    while (!list_is_empty(&ingest->requests)) {
        struct request *request = LIST_ITEM(ingest->requests.next, struct request, in_ingest);
        list_remove(&request->in_ingest);
        request->ingest = NULL;
    }
    free(ingest);
}

static void register_metrics(struct http_ingest *ingest, struct metrics *metrics)
{
    char labels[64];
    for (int result = 0; result < RESULT_COUNT; result++) {
        /* Short names: they fit. */
        (void)snprintf(labels, sizeof labels, "result=\"%s\"", outcome_name((enum result)result));
        ingest->items[result] =
            metrics_counter(metrics, "gw_ingest_total", labels,
                            "Changes that producers sent by HTTP, by what became of them.");
    }
    ingest->unknown_members = metrics_counter(metrics, "gw_ingest_unknown_members_total", NULL,
                                              "Members of mapped ingest data that no mapping knows.");
    static const char help[] = "Ingest requests, by how the whole request was answered.";
    ingest->answered = metrics_counter(metrics, "gw_ingest_requests_total", "answer=\"judged\"", help);
    for (int why = 0; why < AWAY_COUNT; why++) {
        (void)snprintf(labels, sizeof labels, "answer=\"%s\"", away_answers[why].code);
        ingest->turned_away[why] = metrics_counter(metrics, "gw_ingest_requests_total", labels, help);
    }
}

static const struct source_ops http_ops = {
    .name = NAME,
    .start = ingest_start,
    .stop = ingest_stop,
    .destroy = ingest_destroy,
};

struct source *http_ingest_create(const struct http_ingest_options *options)
{
    struct http_ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest) {
        return NULL;
    }
    ingest->source.ops = &http_ops;
    ingest->options = *options;
    list_init(&ingest->requests);
    register_metrics(ingest, options->metrics);
    listener_add_http(options->listener, &(struct http_route){
                                             .methods = HTTP_POST,
                                             .pattern = "/api/v1/data-flow/ingest",
                                             .body_max_bytes = INGEST_BODY_MAX_BYTES,
                                             .needs_json = true,
                                             .is_not_for_pages = true,
                                             .context = ingest,
                                             .on_head = on_head,
                                             .on_request = on_request,
                                         });
    return &ingest->source;
}
