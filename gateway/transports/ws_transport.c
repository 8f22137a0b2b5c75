/*
 * One struct ws_viewer per connection, from the handshake until the closed
 * callback. It holds what the conversation needs (was hello said, how fast does
 * it talk, how often was it wrong); everything about boards is in its viewer.
 *
 * Connections that have not said hello wait in a list, oldest first: all have
 * the same time, so one timer for the first of them is enough.
 */
#include "transports/ws_transport.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "access/audit.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/token_bucket.h"
#include "fanout/deflate.h"
#include "fanout/hub.h"
#include "io/deflate_offer.h"
#include "protocol/limits.h"
#include "protocol/viewer_message.h"
#include "transports/delay_reports.h"

/* Frames held at once: viewers that lag each at another place have a frame each. */
enum { FRAMES_KEPT_MAX = 64 };

struct ws_transport {
    struct ws_transport_options options;
    struct loop_timer *hello_timer;
    struct list_node waiting; /* struct ws_viewer.waiting */
    struct metric *messages[VIEWER_MESSAGE_TYPE_COUNT];
    struct metric *errors[CLOSE_REASON_COUNT];
    struct metric *closes[CLOSE_REASON_COUNT];
    struct metric *auth_ok, *auth_refused;
    struct delay_reports reports;
    bool is_holding;
    size_t kept_count;
    struct frame *kept[FRAMES_KEPT_MAX]; /* references, to what is held */
};

struct ws_viewer {
    struct ws_transport *transport;
    struct ws *ws;
    struct viewer *viewer;
    struct token_session *session; /* NULL: came in without a token */
    struct list_node waiting;      /* in ws_transport.waiting until hello */
    uint64_t hello_due_ms;
    uint64_t report_due_ms;
    struct token_bucket messages; /* it may send */
    uint8_t error_count;
    bool has_hello;
};

_Static_assert((int)DEFLATE_WINDOW_BITS == (int)DEFLATE_OFFER_WINDOW_BITS,
               "the handshake promises another window than is used");

enum { MESSAGE_BURST = 2 * VIEWER_MESSAGES_PER_SECOND };

/* ---- the audit ---- */

/** refusal: NULL, or why not. */
static void note(const struct ws_viewer *viewer, enum audit_action action, const char *target,
                 const char *refusal)
{
    const struct access *access = viewer->transport->options.access;
    struct audit *audit = access_audit(access);
    if (audit) {
        bool is_known = viewer->has_hello || !refusal;
        const struct access_grant grant = {.has_token = viewer->session != NULL};
        audit_note(audit, &(struct audit_event){
                              .action = action,
                              .refusal = refusal,
                              .by = is_known ? access_grant_name(access, &grant) : NULL,
                              .subject = viewer->session ? token_session_subject(viewer->session) : NULL,
                              .address = ws_peer_address(viewer->ws),
                              .over = "ws",
                              .target = target,
                          });
    }
}

/* ---- what the hub uses ---- */

void ws_transport_hold(struct ws_transport *transport)
{
    if (transport) {
        transport->is_holding = true;
        ws_hold(transport->options.listener);
    }
}

void ws_transport_release(struct ws_transport *transport)
{
    if (!transport) {
        return;
    }
    ws_release(transport->options.listener);
    transport->is_holding = false;
    while (transport->kept_count > 0) {
        frame_unref(transport->kept[--transport->kept_count]);
    }
}

static void ops_approach(const void *context)
{
    const struct ws_viewer *viewer = context;
    __builtin_prefetch(viewer->ws);
}

/* Makes room for what is written next. Here and not then: this viewer may be unable to take more once what is held has left. */
static bool ops_can_write(void *context)
{
    const struct ws_viewer *viewer = context;
    if (viewer->transport->kept_count == FRAMES_KEPT_MAX) {
        ws_transport_release(viewer->transport);
        ws_transport_hold(viewer->transport);
    }
    return ws_can_write(viewer->ws);
}

/* The hub may drop its frame before the release. The same frame for many viewers in a row is kept once. */
static void keep(struct ws_transport *transport, struct frame *frame)
{
    if (transport->kept_count > 0 && transport->kept[transport->kept_count - 1] == frame) {
        return;
    }
    assert(transport->kept_count < FRAMES_KEPT_MAX); /* ops_can_write() was asked */
    transport->kept[transport->kept_count++] = frame_ref(frame);
}

static enum result ops_write(void *context, struct frame *frame)
{
    const struct ws_viewer *viewer = context;
    if (viewer->transport->is_holding) {
        keep(viewer->transport, frame);
    }
    return ws_write(viewer->ws, frame->bytes, frame->length);
}

static void ops_request_writable(void *context)
{
    const struct ws_viewer *viewer = context;
    ws_request_writable(viewer->ws);
}

static void ops_close(void *context, enum close_reason reason)
{
    const struct ws_viewer *viewer = context;
    metric_add(viewer->transport->closes[reason], 1);
    if (viewer->has_hello && close_reason_is_about_token(reason)) {
        note(viewer, AUDIT_WITHDRAW, NULL, close_reason_name(reason));
    }
    ws_close(viewer->ws, reason);
}

static void ops_on_withdrawn(void *context, const char *board)
{
    note(context, AUDIT_WITHDRAW, board, result_name(RESULT_FORBIDDEN));
}

static const struct viewer_ops viewer_ops = {
    .approach = ops_approach,
    .can_write = ops_can_write,
    .write = ops_write,
    .request_writable = ops_request_writable,
    .close = ops_close,
    .on_withdrawn = ops_on_withdrawn,
};

/* ---- refusing ---- */

/* 42xx and the three below leave the connection open (PROTOCOL.md, "Codes"). */
static bool is_fatal(enum close_reason reason)
{
    uint16_t code = close_reason_code(reason);
    bool is_request_only = code >= 4200 && code < 4300;
    return !is_request_only && reason != CLOSE_UNKNOWN_TYPE && reason != CLOSE_INVALID_MESSAGE &&
           reason != CLOSE_FORBIDDEN;
}

static void refuse(struct ws_viewer *viewer, enum close_reason reason, const char *board, const char *detail)
{
    metric_add(viewer->transport->errors[reason], 1);
    if (is_fatal(reason)) {
        viewer_close(viewer->viewer, reason);
        return;
    }
    viewer_say_error(viewer->viewer, reason, board, detail);
    if (++viewer->error_count >= VIEWER_ERRORS_MAX) {
        viewer_close(viewer->viewer, CLOSE_TOO_MANY_ERRORS);
    }
}

/* ---- hello ---- */

static void hello_timer_arm(struct ws_transport *transport)
{
    if (list_is_empty(&transport->waiting)) {
        loop_timer_disarm(transport->hello_timer);
        return;
    }
    const struct ws_viewer *first = LIST_ITEM(transport->waiting.next, struct ws_viewer, waiting);
    uint64_t now_ms = clock_monotonic_ms();
    loop_timer_arm(transport->hello_timer, first->hello_due_ms > now_ms ? first->hello_due_ms - now_ms : 0);
}

static void on_hello_due(void *context)
{
    struct ws_transport *transport = context;
    uint64_t now_ms = clock_monotonic_ms();
    while (!list_is_empty(&transport->waiting)) {
        struct ws_viewer *first = LIST_ITEM(transport->waiting.next, struct ws_viewer, waiting);
        if (first->hello_due_ms > now_ms) {
            break;
        }
        list_remove(&first->waiting);
        refuse(first, CLOSE_HELLO_TIMEOUT, NULL, NULL);
    }
    hello_timer_arm(transport);
}

static enum close_reason reason_of_admission(enum result result, const char *token)
{
    switch (result) {
    case RESULT_EXPIRED:
        return CLOSE_TOKEN_EXPIRED;
    case RESULT_NO_MEMORY:
    case RESULT_UNAVAILABLE:
        return CLOSE_OVERLOADED;
    default: /* an empty token is one that is wrong */
        return token ? CLOSE_TOKEN_INVALID : CLOSE_TOKEN_REQUIRED;
    }
}

/** May this viewer stay, and as whom? If not, it is told and closed. action: what it asked for. */
static bool admit(struct ws_viewer *viewer, enum audit_action action, const char *token,
                  struct access_grant *out_grant)
{
    struct ws_transport *transport = viewer->transport;
    enum result result = access_admit(transport->options.access, token, clock_wall_ms() / 1000, out_grant);
    if (access_viewer_needs_token(transport->options.access)) {
        metric_add(result == RESULT_OK ? transport->auth_ok : transport->auth_refused, 1);
    }
    if (result != RESULT_OK) {
        enum close_reason reason = reason_of_admission(result, token);
        note(viewer, action, NULL, close_reason_name(reason));
        refuse(viewer, reason, NULL, NULL);
    }
    return result == RESULT_OK;
}

static bool session_begin(struct ws_viewer *viewer, const struct access_grant *grant)
{
    if (grant->has_token) {
        if (!viewer_set_roles(viewer->viewer, grant->claims.roles)) {
            refuse(viewer, CLOSE_OVERLOADED, NULL, NULL);
            return false;
        }
        viewer->session =
            token_session_begin(viewer->transport->options.sessions, viewer->viewer, &grant->claims);
        if (!viewer->session) {
            refuse(viewer, CLOSE_OVERLOADED, NULL, NULL);
            return false;
        }
    }
    return true;
}

/** A connection stays its subject's: a token of somebody else, or the shared key instead of a token, opens no other one. */
static bool session_renew(struct ws_viewer *viewer, const struct access_grant *grant)
{
    enum result result = grant->has_token == (viewer->session != NULL) ? RESULT_OK : RESULT_FORBIDDEN;
    if (result == RESULT_OK && viewer->session) {
        result = token_session_renew(viewer->session, &grant->claims);
    }
    if (result != RESULT_OK) {
        note(viewer, AUDIT_REFRESH, NULL, result == RESULT_NO_MEMORY ? result_name(result) : "other_subject");
        refuse(viewer, result == RESULT_NO_MEMORY ? CLOSE_OVERLOADED : CLOSE_TOKEN_INVALID, NULL, NULL);
    }
    return result == RESULT_OK;
}

static void on_hello(struct ws_viewer *viewer, const struct viewer_message *message)
{
    if (viewer->has_hello) {
        refuse(viewer, CLOSE_INVALID_MESSAGE, NULL, "hello was said already");
        return;
    }
    struct access_grant grant;
    if (!admit(viewer, AUDIT_CONNECT, message->token, &grant)) {
        return;
    }
    if (!session_begin(viewer, &grant)) {
        return;
    }
    viewer->has_hello = true;
    note(viewer, AUDIT_CONNECT, NULL, NULL);
    viewer->report_due_ms = delay_reports_first_due_ms(clock_monotonic_ms());
    list_remove(&viewer->waiting);
    hub_welcome(pipeline_hub(viewer->transport->options.pipeline), viewer->viewer,
                message->has_clock ? &message->clock_ms : NULL, clock_moment());
}

/* ---- the other messages ---- */

static enum close_reason reason_of(enum result result)
{
    switch (result) {
    case RESULT_UNKNOWN_BOARD:
        return CLOSE_UNKNOWN_BOARD;
    case RESULT_TOO_MANY:
        return CLOSE_TOO_MANY_SUBSCRIPTIONS;
    case RESULT_NOT_SUBSCRIBED:
        return CLOSE_NOT_SUBSCRIBED;
    case RESULT_FORBIDDEN:
        return CLOSE_FORBIDDEN;
    case RESULT_FULL: /* of views */
        return CLOSE_OVERLOADED;
    default:
        return CLOSE_INTERNAL;
    }
}

static void answer_result(struct ws_viewer *viewer, const struct viewer_message *message, enum result result)
{
    if (result != RESULT_OK && result != RESULT_CLOSED) {
        refuse(viewer, reason_of(result), message->board, NULL);
    }
}

static void on_subscribe(struct ws_viewer *viewer, const struct viewer_message *message)
{
    enum result result = pipeline_join(viewer->transport->options.pipeline, viewer->viewer, message->board,
                                       message->has_position ? &message->position : NULL, &message->quality);
    if (result != RESULT_CLOSED) {
        note(viewer, AUDIT_SUBSCRIBE, message->board, result == RESULT_OK ? NULL : result_name(result));
    }
    answer_result(viewer, message, result);
}

static struct topic *topic_of(const struct ws_viewer *viewer, const struct viewer_message *message)
{
    return hub_topic(pipeline_hub(viewer->transport->options.pipeline), message->board);
}

static void on_quality(struct ws_viewer *viewer, const struct viewer_message *message)
{
    struct topic *topic = topic_of(viewer, message);
    answer_result(viewer, message,
                  topic ? viewer_set_quality(viewer->viewer, topic, &message->quality, clock_moment())
                        : RESULT_UNKNOWN_BOARD);
}

static void on_unsubscribe(struct ws_viewer *viewer, const struct viewer_message *message)
{
    struct topic *topic = topic_of(viewer, message);
    answer_result(viewer, message, topic ? viewer_unsubscribe(viewer->viewer, topic) : RESULT_UNKNOWN_BOARD);
}

static void say(struct ws_viewer *viewer, const char *event, struct bytes *message)
{
    viewer_say(viewer->viewer, event, message);
    bytes_finish(message);
}

static void on_refresh(struct ws_viewer *viewer, const struct viewer_message *message)
{
    struct access_grant grant;
    if (!admit(viewer, AUDIT_REFRESH, message->token, &grant) || !session_renew(viewer, &grant)) {
        return;
    }
    if (grant.has_token && !viewer_set_roles(viewer->viewer, grant.claims.roles)) {
        refuse(viewer, CLOSE_OVERLOADED, NULL, NULL);
        return;
    }
    note(viewer, AUDIT_REFRESH, NULL, NULL);
    struct bytes answer;
    bytes_init(&answer, VIEWER_MESSAGE_MAX_BYTES);
    refreshed_encode(&answer);
    say(viewer, "refreshed", &answer);
    pipeline_rejudge(viewer->transport->options.pipeline, viewer->viewer);
}

static void on_ping(struct ws_viewer *viewer, const struct viewer_message *message)
{
    struct bytes answer;
    bytes_init(&answer, VIEWER_MESSAGE_MAX_BYTES);
    pong_encode(message->has_clock ? message->clock_ms : 0, clock_wall_ms(), &answer);
    say(viewer, "pong", &answer);
}

static void on_report(struct ws_viewer *viewer, const struct viewer_message *message)
{
    (void)delay_reports_take(&viewer->transport->reports, message, clock_monotonic_ms(),
                             &viewer->report_due_ms); /* one that came too soon is counted as such */
}

static void dispatch(struct ws_viewer *viewer, const struct viewer_message *message)
{
    metric_add(viewer->transport->messages[message->type], 1);
    if (!viewer->has_hello && message->type != VIEWER_HELLO) {
        bool needs_token = access_viewer_needs_token(viewer->transport->options.access);
        refuse(viewer, needs_token ? CLOSE_TOKEN_REQUIRED : CLOSE_INVALID_MESSAGE, NULL, "say hello first");
        return;
    }
    switch (message->type) {
    case VIEWER_HELLO:
        on_hello(viewer, message);
        break;
    case VIEWER_SUBSCRIBE:
        on_subscribe(viewer, message);
        break;
    case VIEWER_QUALITY:
        on_quality(viewer, message);
        break;
    case VIEWER_UNSUBSCRIBE:
        on_unsubscribe(viewer, message);
        break;
    case VIEWER_REFRESH:
        on_refresh(viewer, message);
        break;
    case VIEWER_PING:
        on_ping(viewer, message);
        break;
    case VIEWER_REPORT:
        on_report(viewer, message);
        break;
    case VIEWER_MESSAGE_TYPE_COUNT:
        break;
    }
}

/* ---- what the connection tells us ---- */

static void on_message(void *owner, const char *text, size_t length)
{
    struct ws_viewer *viewer = owner;
    if (viewer_is_closing(viewer->viewer)) {
        return;
    }
    if (!token_bucket_take(&viewer->messages, clock_monotonic_us())) {
        refuse(viewer, CLOSE_RATE_LIMITED, NULL, NULL);
        return;
    }
    struct viewer_message message;
    const char *problem = NULL;
    enum result result = viewer_message_decode(text, length, &message, &problem);
    if (result != RESULT_OK) {
        refuse(viewer, close_reason_of_result(result), NULL, problem);
        return;
    }
    /* What one message is answered with leaves in one write: "subscribed" and a snapshot, of each who comes in a storm. */
    ws_transport_hold(viewer->transport);
    dispatch(viewer, &message);
    ws_transport_release(viewer->transport);
    viewer_message_finish(&message);
}

static void on_refused(void *owner, enum close_reason reason)
{
    refuse(owner, reason, NULL, NULL);
}

static void *on_open(void *context, struct ws *ws)
{
    struct ws_transport *transport = context;
    struct ws_viewer *viewer = calloc(1, sizeof *viewer);
    if (!viewer) {
        return NULL;
    }
    viewer->transport = transport;
    viewer->ws = ws;
    enum wire_form form = ws_deflates(ws) ? WIRE_WS_DEFLATE : WIRE_WS;
    viewer->viewer = viewer_create(pipeline_hub(transport->options.pipeline), form, &viewer_ops, viewer);
    if (!viewer->viewer) {
        free(viewer);
        return NULL;
    }
    viewer->hello_due_ms = clock_monotonic_ms() + transport->options.hello_timeout_ms;
    token_bucket_init(&viewer->messages, VIEWER_MESSAGES_PER_SECOND, MESSAGE_BURST, clock_monotonic_us());
    list_append(&transport->waiting, &viewer->waiting);
    if (!loop_timer_is_armed(transport->hello_timer)) {
        hello_timer_arm(transport);
    }
    return viewer;
}

static void on_writable(void *owner)
{
    const struct ws_viewer *viewer = owner;
    viewer_on_writable(viewer->viewer, clock_moment());
}

static void on_closed(void *owner)
{
    struct ws_viewer *viewer = owner;
    list_remove(&viewer->waiting);
    token_session_end(viewer->session);
    viewer_destroy(viewer->viewer);
    free(viewer);
}

/* ---- life ---- */

static void register_metrics(struct ws_transport *transport)
{
    static const char *const types[VIEWER_MESSAGE_TYPE_COUNT] = {
        [VIEWER_HELLO] = "type=\"hello\"",     [VIEWER_SUBSCRIBE] = "type=\"subscribe\"",
        [VIEWER_QUALITY] = "type=\"quality\"", [VIEWER_UNSUBSCRIBE] = "type=\"unsubscribe\"",
        [VIEWER_REFRESH] = "type=\"refresh\"", [VIEWER_PING] = "type=\"ping\"",
        [VIEWER_REPORT] = "type=\"report\"",
    };
    struct metrics *metrics = transport->options.metrics;
    for (int type = 0; type < VIEWER_MESSAGE_TYPE_COUNT; type++) {
        transport->messages[type] = metrics_counter(metrics, "gw_viewer_messages_total", types[type],
                                                    "Messages viewers sent, by type.");
    }
    struct bytes labels;
    bytes_init(&labels, 128);
    for (int reason = 0; reason < CLOSE_REASON_COUNT; reason++) {
        bytes_clear(&labels);
        bytes_append_format(&labels, "reason=\"%s\"", close_reason_name((enum close_reason)reason));
        bytes_append_byte(&labels, '\0');
        transport->errors[reason] = metrics_counter(metrics, "gw_viewer_refused_total", labels.at,
                                                    "Viewer messages refused, by reason.");
    }
    for (int reason = 0; reason < CLOSE_REASON_COUNT; reason++) {
        bytes_clear(&labels);
        bytes_append_format(&labels, "reason=\"%s\"", close_reason_name((enum close_reason)reason));
        bytes_append_byte(&labels, '\0');
        transport->closes[reason] = metrics_counter(metrics, "gw_viewer_closes_total", labels.at,
                                                    "Viewers closed by the gateway, by reason.");
    }
    bytes_finish(&labels);
    delay_reports_init(&transport->reports, metrics);
    transport->auth_ok = metrics_counter(metrics, "gw_auth_total", "result=\"ok\"", "Viewer tokens checked.");
    transport->auth_refused =
        metrics_counter(metrics, "gw_auth_total", "result=\"refused\"", "Viewer tokens checked.");
}

struct ws_transport *ws_transport_create(const struct ws_transport_options *options)
{
    struct ws_transport *transport = calloc(1, sizeof *transport);
    if (!transport) {
        return NULL;
    }
    transport->options = *options;
    list_init(&transport->waiting);
    transport->hello_timer = loop_timer_create(options->loop, on_hello_due, transport);
    if (!transport->hello_timer) {
        ws_transport_destroy(transport);
        return NULL;
    }
    register_metrics(transport);
    const struct ws_route route = {
        .path = "/ws",
        .subprotocol = PROTOCOL_NAME,
        .message_max_bytes = VIEWER_MESSAGE_MAX_BYTES,
        .fragments_max = VIEWER_MESSAGE_MAX_FRAGMENTS,
        .context = transport,
        .on_open = on_open,
        .on_message = on_message,
        .on_refused = on_refused,
        .on_writable = on_writable,
        .on_closed = on_closed,
    };
    listener_add_ws(options->listener, &route);
    return transport;
}

void ws_transport_destroy(struct ws_transport *transport)
{
    if (!transport) {
        return;
    }
    assert(list_is_empty(&transport->waiting));
    loop_timer_destroy(transport->hello_timer);
    free(transport);
}
