/*
 * The request is judged whole before the stream starts, so that a refusal is an
 * ordinary HTTP answer; after that the viewer is like any other.
 */
#include "transports/sse_transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fanout/hub.h"
#include "protocol/viewer_message.h"
#include "transports/http_reply.h"

struct sse_transport {
    struct sse_transport_options options;
    struct metric *opened;
    struct metric *refused;
};

struct sse_viewer {
    struct sse_transport *transport;
    struct http_exchange *exchange;
    struct viewer *viewer;
    struct token_session *session; /* NULL: came in without a token */
};

static bool ops_can_write(void *context)
{
    const struct sse_viewer *viewer = context;
    return http_stream_can_write(viewer->exchange);
}

static enum result ops_write(void *context, struct frame *frame)
{
    const struct sse_viewer *viewer = context;
    return http_stream_write(viewer->exchange, frame->bytes, frame->length);
}

static void ops_request_writable(void *context)
{
    const struct sse_viewer *viewer = context;
    http_stream_request_writable(viewer->exchange);
}

static void ops_close(void *context, enum close_reason reason)
{
    const struct sse_viewer *viewer = context;
    if (viewer->session && close_reason_is_about_token(reason)) {
        audit_note(access_audit(viewer->transport->options.access),
                   &(struct audit_event){.action = AUDIT_WITHDRAW,
                                         .refusal = close_reason_name(reason),
                                         .by = "token",
                                         .subject = token_session_subject(viewer->session),
                                         .address = http_peer_address(viewer->exchange),
                                         .over = "sse"});
    }
    /* The error event before said why. */
    http_stream_close(viewer->exchange);
}

static void ops_on_withdrawn(void *context, const char *board)
{
    const struct sse_viewer *viewer = context;
    const struct access *access = viewer->transport->options.access;
    struct access_grant grant = {.has_token = viewer->session != NULL};
    if (viewer->session) {
        (void)snprintf(grant.claims.subject, sizeof grant.claims.subject, "%s",
                       token_session_subject(viewer->session)); /* it came from claims */
    }
    http_reply_note(access, viewer->exchange, &grant, AUDIT_WITHDRAW, "sse", board,
                    result_name(RESULT_FORBIDDEN));
}

static const struct viewer_ops viewer_ops = {
    .on_withdrawn = ops_on_withdrawn,
    .can_write = ops_can_write,
    .write = ops_write,
    .request_writable = ops_request_writable,
    .close = ops_close,
};

static void on_writable(void *owner)
{
    const struct sse_viewer *viewer = owner;
    viewer_on_writable(viewer->viewer, clock_moment());
}

static void sse_viewer_destroy(struct sse_viewer *viewer)
{
    if (viewer) {
        token_session_end(viewer->session);
        viewer_destroy(viewer->viewer);
        free(viewer);
    }
}

static void on_closed(void *owner)
{
    sse_viewer_destroy(owner);
}

/* Last-Event-ID, which an EventSource sends by itself, is newer than the query it repeats. */
static bool position_of(const struct http_exchange *exchange, struct position *out_position)
{
    const char *text = http_header(exchange, "last-event-id");
    if (!text || !*text) {
        text = http_query(exchange, "position");
    }
    return text && position_parse(text, strlen(text), out_position) == RESULT_OK;
}

static bool quality_of(const struct http_exchange *exchange, struct viewer_quality *out_quality)
{
    const char *text = http_query(exchange, "max_rate");
    *out_quality = (struct viewer_quality){.has_max_rate = false};
    if (!text) {
        return true;
    }
    char *end = NULL;
    double rate = strtod(text, &end);
    bool is_plain =
        text[strspn(text, "0123456789.")] == '\0'; /* strtod() also takes blanks, signs, hex and inf */
    if (!is_plain || end == text || *end || (rate > 0 && rate < 0.01) || rate > 100) {
        return false;
    }
    out_quality->has_max_rate = true;
    out_quality->max_rate = rate;
    return true;
}

/** NULL when memory ran out or the hub is full. */
static struct sse_viewer *sse_viewer_create(struct sse_transport *transport, struct http_exchange *exchange,
                                            const struct access_grant *grant)
{
    struct sse_viewer *viewer = calloc(1, sizeof *viewer);
    if (!viewer) {
        return NULL;
    }
    viewer->transport = transport;
    viewer->exchange = exchange;
    viewer->viewer = viewer_create(pipeline_hub(transport->options.pipeline), WIRE_SSE, &viewer_ops, viewer);
    if (viewer->viewer && grant->has_token) {
        viewer->session = token_session_begin(transport->options.sessions, viewer->viewer, &grant->claims);
    }
    if (!viewer->viewer ||
        (grant->has_token && (!viewer->session || !viewer_set_roles(viewer->viewer, grant->claims.roles)))) {
        goto fail;
    }
    return viewer;

fail:
    sse_viewer_destroy(viewer);
    return NULL;
}

static void stream_open(struct sse_transport *transport, struct http_exchange *exchange,
                        const struct access_grant *grant, const char *board, const struct position *position,
                        const struct viewer_quality *quality)
{
    static const struct http_stream_events events = {.on_writable = on_writable, .on_closed = on_closed};
    static const char retry[] = "retry: 1000\n\n";
    struct sse_viewer *viewer = sse_viewer_create(transport, exchange, grant);
    if (!viewer) {
        metric_add(transport->refused, 1);
        http_set_header(exchange, "Retry-After", "5");
        http_problem(exchange, 503, "overloaded", "no room for another viewer");
        return;
    }
    http_set_header(exchange, "Cache-Control", "no-cache");
    http_set_header(exchange, "X-Accel-Buffering", "no");
    if (http_stream_start(exchange, "text/event-stream", &events, viewer) != RESULT_OK) {
        sse_viewer_destroy(viewer);
        return;
    }
    metric_add(transport->opened, 1);
    if (http_stream_can_write(exchange) &&
        http_stream_write(exchange, retry, sizeof retry - 1) != RESULT_OK) {
        return; /* on_closed follows */
    }
    http_reply_note(transport->options.access, exchange, grant, AUDIT_SUBSCRIBE, "sse", board, NULL);
    enum result result = pipeline_join(transport->options.pipeline, viewer->viewer, board, position, quality);
    if (result != RESULT_OK) { /* not for want of rights: those were looked at before */
        viewer_close(viewer->viewer, result == RESULT_FULL ? CLOSE_OVERLOADED : CLOSE_INTERNAL);
    }
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct sse_transport *transport = context;
    const char *board = http_path_part(exchange, 0);
    struct position position;
    struct viewer_quality quality;
    struct access_grant grant;
    if (!http_reply_admit(transport->options.access, transport->refused, exchange, &grant)) {
        return;
    }
    enum result result = pipeline_may_watch(transport->options.pipeline, http_reply_roles(&grant), board);
    if (result != RESULT_OK) {
        http_reply_no_board(transport->options.access, exchange, &grant, AUDIT_SUBSCRIBE, "sse", result);
        return;
    }
    if (!quality_of(exchange, &quality)) {
        http_problem(exchange, 400, "invalid_message", "max_rate must be 0 or 0.01 to 100");
        return;
    }
    bool has_position = position_of(exchange, &position);
    stream_open(transport, exchange, &grant, board, has_position ? &position : NULL, &quality);
}

struct sse_transport *sse_transport_create(const struct sse_transport_options *options)
{
    static const char help[] = "Event streams, by outcome.";
    struct sse_transport *transport = calloc(1, sizeof *transport);
    if (!transport) {
        return NULL;
    }
    transport->options = *options;
    transport->opened = metrics_counter(options->metrics, "gw_sse_total", "result=\"opened\"", help);
    transport->refused = metrics_counter(options->metrics, "gw_sse_total", "result=\"refused\"", help);
    const struct http_route route = {
        .methods = HTTP_GET,
        .pattern = "/api/v1/dashboards/{id}/events",
        .context = transport,
        .on_request = on_request,
    };
    listener_add_http(options->listener, &route);
    return transport;
}

void sse_transport_destroy(struct sse_transport *transport)
{
    free(transport);
}
