/*
 * WebSockets on libwebsockets.
 *
 * libwebsockets gets a socket only after http.c has read and checked the
 * handshake; it is then fed a canonical request made of the checked key and
 * nothing else the client wrote. So its HTTP server, whose 4.1.6 form cannot
 * keep an answer open (state "doing transaction" never reads: a client that
 * sends one more byte, or hangs up, makes the loop spin), hangs on header
 * names such as "A:", accepts h2c and takes any Content-Length, is out of reach.
 *
 * Oddities of libwebsockets that this file answers, each measured or read in its source:
 * - A write while output is pending corrupts the stream: ws_write asserts that nothing is.
 * - lws_write costs a tenth of a send() on top of it: frames go to the socket past it, and only what the socket
 *   does not take is given to lws_write, which keeps it and finishes it before anything of its own.
 * - lws_write of text writes into the bytes before the payload: LWS_WRITE_RAW writes nothing.
 * - A close frame is sent only when lws_close_reason is followed by a synchronous kill
 *   from outside its callbacks: closes go through a timer.
 * - With output pending that way would skip the close frame: we wait for the drain first.
 * - Its ping timers are one sorted list, O(n) to insert: pings are ours, on the wheel. An empty pong
 *   is not reported, so our ping carries a byte.
 * - Teardown on a shared loop takes two destroy calls around loop turns.
 * - Adopting with bytes already read logs a line at error level each time: muted for that call.
 *
 * Invariants: a struct ws lives from ws_adopt to LWS_CALLBACK_CLOSED (or the failed adoption);
 * on_closed is called once if on_open returned an owner.
 */
#include "io/ws.h"

#include <assert.h>
#include <errno.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/connection.h"
#include "io/loop_handles.h"
#include "io/send_batch.h"
#include "protocol/bytes.h"

enum {
    RX_BUFFER_BYTES = 128,   /* per connection; 4096 by default. Messages are reassembled here. */
    TX_PACKET_BYTES = 65536, /* most bytes of one write; without it the line above would limit writes too */
    DRAIN_BEFORE_CLOSE_MS = 2000,
    CLOSE_ANSWER_MS = 1500, /* how long the peer may take to answer our close frame */
};

/*
 * States: OPENING -> OPEN -> CLOSE_QUEUED -> (DRAINING ->) CLOSE_SENT -> gone; any -> KILLED -> gone;
 * OPEN -> PEER_CLOSING -> gone. set_state() is the only place that changes it.
 */
enum ws_state {
    WS_OPENING,
    WS_OPEN,
    WS_PEER_CLOSING,
    WS_CLOSE_QUEUED,
    WS_DRAINING,
    WS_CLOSE_SENT,
    WS_KILLED
};

/* What every write reads is in front, in one cache line. */
struct ws {
    struct lws *wsi;        /* NULL before the handshake is answered */
    struct send_item *held; /* of ws_service.held: what leaves at the release; NULL: nothing */
    struct listener *listener;
    int fd;         /* owned by wsi */
    uint8_t state;  /* enum ws_state */
    uint8_t reason; /* enum close_reason, once closing */
    bool in_message;
    bool wants_writable; /* libwebsockets also calls back unasked, after each drained piece */
    const struct ws_route *route;
    void *owner;                 /* NULL: nobody to tell */
    struct list_node close_node; /* in ws_service.closing while CLOSE_QUEUED or KILLED and not acted upon */
    struct deadline deadline;    /* OPEN: ping or hang-up; closing: patience */
    uint64_t last_seen_ms;       /* the peer's last message or pong */
    struct bytes *message;       /* fragments so far; NULL between messages */
    struct address *address;     /* where it comes from; NULL: not counted */
    uint32_t fragments;
};

struct ws_service {
    struct lws_context *context; /* NULL once destroyed: libwebsockets clears it */
    struct lws_vhost *vhost;
    struct lws_protocols
        protocols[WS_ROUTES_MAX + 2]; /* [0] refuses everything; a zeroed one ends the list */
    void *foreign_loops[1];
    struct ws *adopting; /* whose handshake is being fed right now */
    struct list_node closing;
    struct loop_timer *close_timer;
    struct send_batch *batch;
    bool is_holding;
    size_t held_count;
    struct send_item held[SEND_BATCH_MAX];
};

static void set_state(struct ws *ws, enum ws_state state)
{
    assert(state > (enum ws_state)ws->state); /* states only move forward */
    ws->state = (uint8_t)state;
}

/* Closing. */

static void queue_close(struct ws *ws)
{
    struct ws_service *service = ws->listener->ws_service;
    list_remove(&ws->close_node);
    list_append(&service->closing, &ws->close_node);
    loop_timer_arm(service->close_timer, 0);
}

/** Without a close frame; what is still buffered is dropped. */
static void kill_later(struct ws *ws)
{
    if (ws->state < WS_KILLED) {
        set_state(ws, WS_KILLED);
        queue_close(ws);
    }
}

static void send_close(struct ws *ws)
{
    enum close_reason reason = (enum close_reason)ws->reason;
    const char *name = close_reason_name(reason);
    unsigned char text[64];
    size_t length = strnlen(name, sizeof text);
    memcpy(text, name, length);
    set_state(ws, WS_CLOSE_SENT);
    deadline_arm(ws->listener, &ws->deadline, CLOSE_ANSWER_MS);
    lws_close_reason(ws->wsi, (enum lws_close_status)close_reason_code(reason), text, length);
    lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free ws */
}

static void start_close(struct ws *ws)
{
    if (ws->state == WS_KILLED) {
        /* Makes every further write fail, so that libwebsockets does not wait to flush what it holds. */
        (void)shutdown((int)lws_get_socket_fd(ws->wsi), SHUT_RDWR);          /* it may be gone already */
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free ws */
    } else if (lws_partial_buffered(ws->wsi)) {
        if (ws->state == WS_CLOSE_QUEUED) {
            set_state(ws, WS_DRAINING);
            deadline_arm(ws->listener, &ws->deadline, DRAIN_BEFORE_CLOSE_MS);
        }
        (void)lws_callback_on_writable(ws->wsi); /* it fails only for closed sockets */
    } else {
        send_close(ws);
    }
}

static void on_close_timer(void *context)
{
    struct ws_service *service = context;
    while (!list_is_empty(&service->closing)) {
        struct ws *ws = LIST_ITEM(service->closing.next, struct ws, close_node);
        list_remove(&ws->close_node);
        start_close(ws);
    }
}

void ws_close(struct ws *ws, enum close_reason reason)
{
    if (ws->state < WS_PEER_CLOSING) {
        set_state(ws, WS_CLOSE_QUEUED);
        ws->reason = (uint8_t)reason;
        queue_close(ws);
    }
}

/* Pings, and the patience of closing. */

static void arm_liveness(struct ws *ws)
{
    const struct listener_options *options = &ws->listener->options;
    uint64_t silent_ms = loop_now_ms(ws->listener->loop) - ws->last_seen_ms;
    uint64_t hang_up_ms = (uint64_t)options->hang_up_after_s * 1000;
    uint64_t ping_ms = (uint64_t)options->ping_after_s * 1000;
    if (silent_ms < ping_ms) {
        deadline_arm(ws->listener, &ws->deadline, ping_ms - silent_ms);
    } else {
        /* Again until the end: a ping skipped because output was pending must not be the only one. */
        uint64_t left_ms = hang_up_ms > silent_ms ? hang_up_ms - silent_ms : 0;
        deadline_arm(ws->listener, &ws->deadline, left_ms < ping_ms ? left_ms : ping_ms);
    }
}

static void check_liveness(struct ws *ws)
{
    static const unsigned char ping[] = {0x89, 1, 'p'};
    const struct listener_options *options = &ws->listener->options;
    uint64_t silent_ms = loop_now_ms(ws->listener->loop) - ws->last_seen_ms;
    if (silent_ms >= (uint64_t)options->hang_up_after_s * 1000) {
        listener_hung_up(ws->listener, HUNG_UP_SILENT);
        kill_later(ws);
        return;
    }
    if (silent_ms >= (uint64_t)options->ping_after_s * 1000 && ws_can_write(ws) &&
        ws_write(ws, ping, sizeof ping) != RESULT_OK) {
        return; /* it is being closed */
    }
    arm_liveness(ws);
}

static void on_deadline(void *owner)
{
    struct ws *ws = owner;
    switch ((enum ws_state)ws->state) {
    case WS_OPEN:
        check_liveness(ws);
        break;
    case WS_DRAINING:
    case WS_CLOSE_SENT:
    case WS_PEER_CLOSING:
        kill_later(ws);
        break;
    case WS_OPENING:
    case WS_CLOSE_QUEUED:
    case WS_KILLED:
        break;
    }
}

/* Writing. */

/* What the socket did not take: kept by libwebsockets until it does. */
static void keep_rest(struct ws *ws, const struct send_item *item, size_t taken, size_t length)
{
    unsigned char *rest =
        (unsigned char *)item->parts[0].iov_base + taken; /* a raw write only reads (lws_issue_raw) */
    unsigned char *copy = NULL;
    if (item->part_count > 1) { /* in one piece: the second lws_write would find output pending */
        copy = malloc(length);
        size_t at = 0;
        for (unsigned i = 0; copy && i < item->part_count; i++) {
            memcpy(copy + at, item->parts[i].iov_base, item->parts[i].iov_len);
            at += item->parts[i].iov_len;
        }
        rest = copy ? copy + taken : NULL;
    }
    if (!rest || lws_write(ws->wsi, rest, length - taken, LWS_WRITE_RAW) < 0) {
        kill_later(ws);
    }
    free(copy);
}

static void write_done(struct ws *ws, const struct send_item *item)
{
    size_t length = 0;
    for (unsigned i = 0; i < item->part_count; i++) {
        length += item->parts[i].iov_len;
    }
    if (item->taken < 0 && item->taken != -EAGAIN) {
        kill_later(ws);
    } else if (item->taken < (ssize_t)length) {
        keep_rest(ws, item, item->taken > 0 ? (size_t)item->taken : 0, length);
    }
}

static void write_held(struct listener *listener)
{
    struct ws_service *service = listener->ws_service;
    send_batch_run(service->batch, service->held, service->held_count);
    for (size_t i = 0; i < service->held_count; i++) {
        struct ws *ws = service->held[i].owner;
        ws->held = NULL;
        write_done(ws, &service->held[i]);
    }
    service->held_count = 0;
    metric_set(listener->uses_io_uring, send_batch_uses_uring(service->batch));
}

void ws_hold(struct listener *listener)
{
    if (listener->ws_service) {
        listener->ws_service->is_holding = true;
    }
}

void ws_release(struct listener *listener)
{
    struct ws_service *service = listener->ws_service;
    if (service && service->is_holding) {
        service->is_holding = false;
        write_held(listener);
    }
}

bool ws_can_write(struct ws *ws)
{
    if (ws->held && ws->held->part_count == SEND_PARTS_MAX) {
        write_held(ws->listener);
    }
    return ws->state == WS_OPEN && !lws_partial_buffered(ws->wsi);
}

static void hold(struct ws *ws, struct iovec part)
{
    struct ws_service *service = ws->listener->ws_service;
    if (ws->held) {
        metric_add(ws->listener->merged_frames, 1);
    } else {
        if (service->held_count == SEND_BATCH_MAX) {
            write_held(ws->listener);
        }
        ws->held = &service->held[service->held_count++];
        ws->held->fd = ws->fd;
        ws->held->owner = ws;
        ws->held->part_count = 0;
    }
    ws->held->parts[ws->held->part_count++] = part;
}

enum result ws_write(struct ws *ws, const void *frame, size_t length)
{
    assert(ws->state == WS_OPEN); /* the other half of ws_can_write() is a wait for memory */
    struct ws_service *service = ws->listener->ws_service;
    const struct iovec part = {.iov_base = (void *)(uintptr_t)frame, .iov_len = length};
    if (service->is_holding) {
        hold(ws, part);
        return RESULT_OK;
    }
    struct send_item item = {.fd = ws->fd, .part_count = 1};
    item.parts[0] = part;
    send_batch_run(service->batch, &item, 1);
    write_done(ws, &item);
    return ws->state == WS_KILLED ? RESULT_CLOSED : RESULT_OK;
}

void ws_request_writable(struct ws *ws)
{
    if (ws->state == WS_OPEN) {
        ws->wants_writable = true;
        (void)lws_callback_on_writable(ws->wsi); /* it fails only for closed sockets */
    }
}

/* Receiving. */

static void drop_message(struct ws *ws)
{
    if (ws->message != NULL) {
        bytes_finish(ws->message);
        free(ws->message);
        ws->message = NULL;
    }
    ws->fragments = 0;
    ws->in_message = false;
}

/** The owner counts it, and may close by itself; the second close is none. */
static void refuse_message(struct ws *ws, enum close_reason reason)
{
    if (ws->route->on_refused != NULL) {
        ws->route->on_refused(ws->owner, reason);
    }
    ws_close(ws, reason);
}

static bool keep_piece(struct ws *ws, const char *piece, size_t length)
{
    if (ws->message == NULL) {
        ws->message = malloc(sizeof *ws->message);
        if (ws->message == NULL) {
            refuse_message(ws, CLOSE_OVERLOADED);
            return false;
        }
        bytes_init(ws->message, ws->route->message_max_bytes);
    }
    bytes_append(ws->message, piece, length);
    if (bytes_failed(ws->message)) {
        bool is_over_cap = length > ws->message->cap - ws->message->length;
        refuse_message(ws, is_over_cap ? CLOSE_TOO_BIG : CLOSE_OVERLOADED);
        return false;
    }
    return true;
}

static void deliver(struct ws *ws, const char *text, size_t length)
{
    /* Taken off first: on_message may close this connection, even kill the reassembly. */
    struct bytes *message = ws->message;
    ws->message = NULL;
    drop_message(ws);
    ws->route->on_message(ws->owner, text, length);
    if (message != NULL) {
        bytes_finish(message);
        free(message);
    }
}

/** One piece of a frame: libwebsockets hands out at most RX_BUFFER_BYTES at once. */
static void receive(struct ws *ws, const char *piece, size_t length)
{
    if (ws->state != WS_OPEN) {
        return;
    }
    ws->last_seen_ms = loop_now_ms(ws->listener->loop);
    if (lws_frame_is_binary(ws->wsi)) {
        refuse_message(ws, CLOSE_UNSUPPORTED_DATA);
        return;
    }
    bool is_first = !ws->in_message;
    bool is_final = lws_is_final_fragment(ws->wsi) != 0;
    ws->in_message = true;
    if (lws_remaining_packet_payload(ws->wsi) == 0 && ++ws->fragments > ws->route->fragments_max) {
        refuse_message(ws, CLOSE_TOO_BIG);
    } else if (is_first && is_final && length <= ws->route->message_max_bytes) {
        deliver(ws, piece, length);
    } else if (keep_piece(ws, piece, length) && is_final) {
        deliver(ws, ws->message->length > 0 ? ws->message->at : "", ws->message->length);
    }
}

/* Events of libwebsockets. */

static int established(struct ws_service *service, struct lws *wsi)
{
    struct ws *ws = service->adopting;
    if (ws == NULL) {
        return -1; /* did not come through ws_adopt */
    }
    service->adopting = NULL;
    ws->wsi = wsi;
    ws->fd = (int)lws_get_socket_fd(wsi);
    lws_set_opaque_user_data(wsi, ws);
    set_state(ws, WS_OPEN);
    listener_count(ws->listener, KIND_WS, 1);
    ws->last_seen_ms = loop_now_ms(ws->listener->loop);
    arm_liveness(ws);
    ws->owner = ws->route->on_open(ws->route->context, ws);
    if (ws->owner == NULL) {
        ws_close(ws, CLOSE_OVERLOADED);
    }
    return 0;
}

static void closed(struct ws *ws)
{
    struct listener *listener = ws->listener;
    assert(!ws->held); /* libwebsockets runs in its own turns of the loop */
    lws_set_opaque_user_data(ws->wsi, NULL);
    deadline_disarm(listener, &ws->deadline);
    list_remove(&ws->close_node);
    if (ws->state < WS_KILLED) {
        set_state(ws, WS_KILLED); /* nothing may be written while on_closed runs */
    }
    void *owner = ws->owner;
    ws->owner = NULL;
    if (owner != NULL) {
        ws->route->on_closed(owner);
    }
    drop_message(ws);
    listener_count(listener, KIND_WS, -1);
    listener_address_left(listener, ws->address);
    free(ws);
}

static void writable(struct ws *ws)
{
    if (ws->state == WS_DRAINING && !lws_partial_buffered(ws->wsi)) {
        queue_close(ws); /* not from here: a close from this callback sends no frame */
    } else if (ws->wants_writable && ws_can_write(ws)) {
        ws->wants_writable = false;
        ws->route->on_writable(ws->owner);
    }
}

static void peer_closes(struct ws *ws)
{
    if (ws->state == WS_OPEN) {
        set_state(ws, WS_PEER_CLOSING);
        deadline_arm(ws->listener, &ws->deadline, CLOSE_ANSWER_MS);
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user;
    if (reason == LWS_CALLBACK_ESTABLISHED) {
        return established(lws_context_user(lws_get_context(wsi)), wsi);
    }
    if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION) {
        const struct ws_service *service = lws_context_user(lws_get_context(wsi));
        return service->adopting != NULL ? 0 : 1;
    }
    struct ws *ws = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
    if (ws == NULL) {
        return 0;
    }
    switch ((int)reason) { /* every other reason is none of our business */
    case LWS_CALLBACK_RECEIVE:
        receive(ws, in, length);
        break;
    case LWS_CALLBACK_RECEIVE_PONG:
        ws->last_seen_ms = loop_now_ms(ws->listener->loop);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        writable(ws);
        break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        peer_closes(ws);
        break;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: /* when a connection ended without the former */
        closed(ws);
        break;
    default:
        break;
    }
    return 0;
}

/** protocols[0]: plain HTTP never gets here, and a WebSocket that names no subprotocol must not. */
static int refuse_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                        size_t length)
{
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    case LWS_CALLBACK_ESTABLISHED: {
        const struct ws_service *service = lws_context_user(lws_get_context(wsi));
        return reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE && service->adopting != NULL ? 0 : -1;
    }
    case LWS_CALLBACK_WSI_DESTROY: /* arrives here whatever the connection's protocol */
        return on_event(wsi, reason, user, in, length);
    default:
        return 0;
    }
}

/* Adoption. */

static struct ws *ws_create(struct listener *listener, const struct ws_route *route)
{
    struct ws *ws = calloc(1, sizeof *ws);
    if (ws != NULL) {
        ws->listener = listener;
        ws->route = route;
        list_init(&ws->close_node);
        deadline_init(&ws->deadline, on_deadline, ws);
    }
    return ws;
}

static char *build_handshake(const struct ws_route *route, const char *key, const char *rest,
                             size_t rest_length, size_t *out_length)
{
    struct bytes text;
    bytes_init(&text, 1024 + rest_length);
    bytes_append_format(
        &text,
        "GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
        key, route->subprotocol);
    bytes_append(&text, rest, rest_length);
    if (bytes_failed(&text)) {
        bytes_finish(&text);
        return NULL;
    }
    return bytes_take(&text, out_length);
}

static void emit_lws_log(int level, const char *line)
{
    char text[200];
    size_t length = strcspn(line, "\r\n");
    length = length < sizeof text ? length : sizeof text - 1;
    memcpy(text, line, length);
    text[length] = '\0';
    if (level & LLL_ERR) {
        log_warn("libwebsockets", LOG_TEXT("detail", text));
    } else {
        log_debug("libwebsockets", LOG_TEXT("detail", text));
    }
}

void ws_adopt(struct listener *listener, const struct ws_route *route, int fd, struct address *address,
              const char *key, const char *rest, size_t rest_length)
{
    struct ws_service *service = listener->ws_service;
    struct ws *ws = ws_create(listener, route);
    size_t length = 0;
    char *handshake = build_handshake(route, key, rest, rest_length, &length);
    if (ws == NULL || handshake == NULL) {
        free(ws);
        free(handshake);
        (void)close(fd);
        listener_address_left(listener, address);
        return;
    }
    ws->address = address;
    service->adopting = ws;
    lws_set_log_level(0, emit_lws_log);
    /* Answers the handshake before it returns; on failure it has closed fd. */
    (void)lws_adopt_socket_vhost_readbuf(service->vhost, fd, handshake, length);
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    if (service->adopting != NULL) {
        service->adopting = NULL;
        log_warn("handshake not taken over", LOG_INT("fd", fd));
        listener_address_left(listener, address);
        free(ws);
    }
    free(handshake);
}

/* The service. */

static bool has_protocol(const struct ws_service *service, const char *name)
{
    for (const struct lws_protocols *protocol = service->protocols; protocol->name != NULL; protocol++) {
        if (strcmp(protocol->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void fill_protocols(struct ws_service *service, const struct listener *listener)
{
    unsigned count = 0;
    service->protocols[count++] =
        (struct lws_protocols){.name = "http", .callback = refuse_event, .rx_buffer_size = RX_BUFFER_BYTES};
    for (unsigned i = 0; i < listener->ws_route_count; i++) {
        const char *name = listener->ws_routes[i].subprotocol;
        if (!has_protocol(service, name)) {
            service->protocols[count++] = (struct lws_protocols){.name = name,
                                                                 .callback = on_event,
                                                                 .rx_buffer_size = RX_BUFFER_BYTES,
                                                                 .tx_packet_size = TX_PACKET_BYTES};
        }
    }
}

static bool create_context(struct listener *listener, struct ws_service *service)
{
    /* Without a hang-up time libwebsockets keeps no validity timers. */
    static const lws_retry_bo_t no_validity_timers = {0};
    service->foreign_loops[0] = loop_foreign(listener->loop);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = service->protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = service->foreign_loops,
        .user = service,
        .retry_and_idle_policy = &no_validity_timers,
        .alpn = "http/1.1",
        .pcontext = &service->context,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    service->context = lws_create_context(&info);
    if (service->context == NULL) {
        return false;
    }
    service->vhost = lws_create_vhost(service->context, &info);
    return service->vhost != NULL;
}

bool ws_service_start(struct listener *listener)
{
    struct ws_service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        log_error("websocket service failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return false;
    }
    listener->ws_service = service;
    list_init(&service->closing);
    fill_protocols(service, listener);
    service->close_timer = loop_timer_create(listener->loop, on_close_timer, service);
    service->batch = send_batch_create(listener->options.uses_io_uring);
    if (service->batch) {
        metric_set(listener->uses_io_uring, send_batch_uses_uring(service->batch));
    }
    if (service->close_timer == NULL || !service->batch || !create_context(listener, service)) {
        log_error("websocket service failed", LOG_TEXT("err", "no libwebsockets context"));
        return false;
    }
    return true;
}

void ws_service_stop(struct listener *listener)
{
    struct ws_service *service = listener->ws_service;
    if (service == NULL) {
        return;
    }
    if (service->context != NULL) {
        lws_context_destroy(service->context);
        loop_finish_closing(listener->loop); /* the close of one handle starts that of the next */
    }
    if (service->context != NULL) {
        lws_context_destroy(service->context); /* 4.1 frees the context only now */
    }
    loop_timer_destroy(service->close_timer);
    send_batch_destroy(service->batch);
    free(service);
    listener->ws_service = NULL;
}
