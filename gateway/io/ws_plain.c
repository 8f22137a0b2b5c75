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
 * - A write while output is pending corrupts the stream: who writes asks ws_can_write() first.
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
 * - Its permessage-deflate keeps windows per connection and aborts the process on legal input. Ours, below, is a name
 *   and nothing else: an extension makes the library let RSV1 through, and one whose callback returns 0 leaves every
 *   payload as it came (as without extensions, lws_ext_cb_active() then returns 0). Messages are inflated in ws.c, when whole;
 *   frames that viewers share are deflated by whoever built them.
 * - RSV1 on a control frame goes unnoticed where the extension was negotiated: the library does not show pings.
 *
 * Invariant: a struct plain_ws lives from its adoption to LWS_CALLBACK_CLOSED (or the failed adoption).
 */
#include <errno.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/deflate_offer.h"
#include "io/loop_handles.h"
#include "io/ws_internal.h"

enum {
    RX_BUFFER_BYTES = 128,   /* per connection; 4096 by default. Messages are reassembled in ws.c. */
    TX_PACKET_BYTES = 65536, /* most bytes of one write; without it the line above would limit writes too */
    RSV1 = 0x40,             /* of a frame's first byte: the message is compressed (RFC 7692, section 6) */
};

struct plain_ws {
    struct ws ws;    /* first */
    struct lws *wsi; /* NULL before the handshake is answered */
};

struct plain_state {
    struct lws_context *context; /* NULL once destroyed: libwebsockets clears it */
    struct lws_vhost *vhost;
    struct lws_protocols
        protocols[WS_ROUTES_MAX + 2]; /* [0] refuses everything; a zeroed one ends the list */
    void *foreign_loops[1];
    struct plain_ws *adopting; /* whose handshake is being fed right now */
    struct send_batch *batch;
};

static struct plain_state *state_of(const struct listener *listener)
{
    return listener->ws_service->carrier_state;
}

static struct lws *wsi_of(const struct ws *ws)
{
    return ((const struct plain_ws *)ws)->wsi;
}

static bool is_idle(const struct ws *ws)
{
    return !lws_partial_buffered(wsi_of(ws));
}

static void await_writable(struct ws *ws)
{
    (void)lws_callback_on_writable(wsi_of(ws)); /* it fails only for closed sockets */
}

/* Closing. */

static void send_close(struct ws *ws, enum close_reason reason)
{
    const char *name = close_reason_name(reason);
    unsigned char text[64];
    size_t length = strnlen(name, sizeof text);
    memcpy(text, name, length);
    lws_close_reason(wsi_of(ws), (enum lws_close_status)close_reason_code(reason), text, length);
    lws_set_timeout(wsi_of(ws), PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free ws */
}

static void kill_now(struct ws *ws)
{
    /* Makes every further write fail, so that libwebsockets does not wait to flush what it holds. */
    (void)shutdown((int)lws_get_socket_fd(wsi_of(ws)), SHUT_RDWR);          /* it may be gone already */
    lws_set_timeout(wsi_of(ws), PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* frees ws */
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
    if (!rest || lws_write(wsi_of(ws), rest, length - taken, LWS_WRITE_RAW) < 0) {
        ws_kill_later(ws);
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
        ws_kill_later(ws);
    } else if (item->taken < (ssize_t)length) {
        keep_rest(ws, item, item->taken > 0 ? (size_t)item->taken : 0, length);
    }
}

static void write_items(struct listener *listener, struct send_item *items, size_t count)
{
    struct send_batch *batch = state_of(listener)->batch;
    send_batch_run(batch, items, count);
    for (size_t i = 0; i < count; i++) {
        write_done(items[i].owner, &items[i]);
    }
    metric_set(listener->uses_io_uring, send_batch_uses_uring(batch));
}

/* Receiving. */

/** libwebsockets reads little more than RX_BUFFER_BYTES at once. It refuses RSV2, RSV3, and RSV1 where nothing was negotiated. */
static void receive(struct ws *ws, const char *piece, size_t length)
{
    const struct ws_piece whole = {
        .at = piece,
        .length = length,
        .is_binary = lws_frame_is_binary(wsi_of(ws)) != 0,
        .has_rsv1 = (lws_get_reserved_bits(wsi_of(ws)) & RSV1) != 0,
        .is_last_of_frame = lws_remaining_packet_payload(wsi_of(ws)) == 0,
        .is_last_of_message = lws_is_final_fragment(wsi_of(ws)) != 0,
    };
    ws_receive(ws, &whole);
}

/* permessage-deflate. */

#if !defined(LWS_WITHOUT_EXTENSIONS)

static int on_extension(struct lws_context *context, const struct lws_extension *extension, struct lws *wsi,
                        enum lws_extension_callback_reasons reason, void *user, void *in, size_t length)
{
    /* Parameters that the library copies into its answer when the request, which is ours, has them. A value is part of the name. */
    static const struct lws_ext_options parameters[] = {{"server_no_context_takeover", EXTARG_NONE},
                                                        {"client_no_context_takeover", EXTARG_NONE},
                                                        {DEFLATE_ANSWER_WINDOW, EXTARG_NONE},
                                                        {NULL, EXTARG_NONE}};
    const struct plain_state *plain = lws_context_user(context);
    (void)extension;
    (void)wsi;
    (void)user;
    (void)length;
    if (reason == LWS_EXT_CB_CONSTRUCT) {
        if (plain->adopting == NULL) {
            return -1; /* did not come through ws_adopt */
        }
        *(const struct lws_ext_options **)in = parameters;
        plain->adopting->ws.deflates = true;
    }
    return 0;
}

static const struct lws_extension extensions[] = {
    {.name = "permessage-deflate", .callback = on_extension},
    {.name = NULL},
};

#endif

/* Events of libwebsockets. */

static int established(struct plain_state *plain, struct lws *wsi)
{
    struct plain_ws *adopted = plain->adopting;
    if (adopted == NULL) {
        return -1; /* did not come through ws_adopt */
    }
    plain->adopting = NULL;
    adopted->wsi = wsi;
    lws_set_opaque_user_data(wsi, &adopted->ws);
    ws_opened(&adopted->ws);
    return 0;
}

/** libwebsockets ends connections with broken frames by itself; what it told the peer is all that we hear of it. */
static bool was_refused(const struct ws *ws)
{
    const unsigned char *payload = lws_get_close_payload(wsi_of(ws));
    int length = lws_get_close_length(wsi_of(ws));
    return ws->state == WS_OPEN && length >= 2 &&
           (payload[0] << 8 | payload[1]) == close_reason_code(CLOSE_PROTOCOL_ERROR);
}

static void closed(struct ws *ws)
{
    if (was_refused(ws)) {
        ws_refuse_message(ws, CLOSE_PROTOCOL_ERROR);
    }
    lws_set_opaque_user_data(wsi_of(ws), NULL);
    ws_closed(ws);
    free(ws);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user;
    if (reason == LWS_CALLBACK_ESTABLISHED) {
        return established(lws_context_user(lws_get_context(wsi)), wsi);
    }
    if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION) {
        const struct plain_state *plain = lws_context_user(lws_get_context(wsi));
        return plain->adopting != NULL ? 0 : 1;
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
        ws_seen(ws);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        ws_drained(ws);
        break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (ws->state == WS_OPEN) {
            ws_peer_closes(ws);
        }
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
        const struct plain_state *plain = lws_context_user(lws_get_context(wsi));
        return reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE && plain->adopting != NULL ? 0 : -1;
    }
    case LWS_CALLBACK_WSI_DESTROY: /* arrives here whatever the connection's protocol */
        return on_event(wsi, reason, user, in, length);
    default:
        return 0;
    }
}

/* Adoption. */

static char *build_handshake(const struct ws_handshake *handshake, size_t *out_length)
{
    struct bytes text;
    const char *extension = handshake->extension;
    bytes_init(&text, 1024 + handshake->rest_length);
    bytes_append_format(
        &text,
        "GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n%s%s%s\r\n",
        handshake->key, handshake->route->subprotocol, extension ? "Sec-WebSocket-Extensions: " : "",
        extension ? extension : "", extension ? "\r\n" : "");
    bytes_append(&text, handshake->rest, handshake->rest_length);
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

static void adopt(struct listener *listener, const struct ws_handshake *handshake)
{
    struct plain_state *plain = state_of(listener);
    struct plain_ws *adopted = calloc(1, sizeof *adopted);
    size_t length = 0;
    char *request = build_handshake(handshake, &length);
    if (adopted == NULL || request == NULL) {
        free(adopted);
        free(request);
        (void)close(handshake->fd);
        listener_address_left(listener, handshake->address);
        return;
    }
    ws_init(&adopted->ws, listener, handshake);
    plain->adopting = adopted;
    lws_set_log_level(0, emit_lws_log);
    /* Answers the handshake before it returns; on failure it has closed fd. */
    (void)lws_adopt_socket_vhost_readbuf(plain->vhost, handshake->fd, request, length);
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    if (plain->adopting != NULL) {
        plain->adopting = NULL;
        log_warn("handshake not taken over", LOG_INT("fd", handshake->fd));
        listener_address_left(listener, handshake->address);
        free(adopted);
    }
    free(request);
}

/* The service. */

static bool has_protocol(const struct plain_state *plain, const char *name)
{
    for (const struct lws_protocols *protocol = plain->protocols; protocol->name != NULL; protocol++) {
        if (strcmp(protocol->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void fill_protocols(struct plain_state *plain, const struct listener *listener)
{
    unsigned count = 0;
    plain->protocols[count++] =
        (struct lws_protocols){.name = "http", .callback = refuse_event, .rx_buffer_size = RX_BUFFER_BYTES};
    for (unsigned i = 0; i < listener->ws_route_count; i++) {
        const char *name = listener->ws_routes[i].subprotocol;
        if (!has_protocol(plain, name)) {
            plain->protocols[count++] = (struct lws_protocols){.name = name,
                                                               .callback = on_event,
                                                               .rx_buffer_size = RX_BUFFER_BYTES,
                                                               .tx_packet_size = TX_PACKET_BYTES};
        }
    }
}

static bool create_context(struct listener *listener, struct plain_state *plain)
{
    /* Without a hang-up time libwebsockets keeps no validity timers. */
    static const lws_retry_bo_t no_validity_timers = {0};
    plain->foreign_loops[0] = loop_foreign(listener->loop);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = plain->protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = plain->foreign_loops,
        .user = plain,
        .retry_and_idle_policy = &no_validity_timers,
        .alpn = "http/1.1",
        .pcontext = &plain->context,
    };
#if !defined(LWS_WITHOUT_EXTENSIONS)
    info.extensions = extensions;
#endif
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    plain->context = lws_create_context(&info);
    if (plain->context == NULL) {
        return false;
    }
    plain->vhost = lws_create_vhost(plain->context, &info);
    return plain->vhost != NULL;
}

static bool start(struct listener *listener)
{
    struct plain_state *plain = calloc(1, sizeof *plain);
    if (plain == NULL) {
        log_error("websocket service failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return false;
    }
    listener->ws_service->carrier_state = plain;
    fill_protocols(plain, listener);
    plain->batch = send_batch_create(listener->options.uses_io_uring);
    if (plain->batch) {
        metric_set(listener->uses_io_uring, send_batch_uses_uring(plain->batch));
    }
    if (!plain->batch || !create_context(listener, plain)) {
        log_error("websocket service failed", LOG_TEXT("err", "no libwebsockets context"));
        return false;
    }
    return true;
}

static void stop(struct listener *listener)
{
    struct plain_state *plain = state_of(listener);
    if (plain == NULL) {
        return;
    }
    if (plain->context != NULL) {
        lws_context_destroy(plain->context);
        loop_finish_closing(listener->loop); /* the close of one handle starts that of the next */
    }
    if (plain->context != NULL) {
        lws_context_destroy(plain->context); /* 4.1 frees the context only now */
    }
    send_batch_destroy(plain->batch);
    free(plain);
    listener->ws_service->carrier_state = NULL;
}

const struct ws_carrier ws_plain_carrier = {
    .start = start,
    .stop = stop,
    .adopt = adopt,
    .is_idle = is_idle,
    .write = write_items,
    .await_writable = await_writable,
    .send_close = send_close,
    .kill = kill_now,
};
