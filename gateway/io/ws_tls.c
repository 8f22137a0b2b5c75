/*
 * WebSockets over TLS: frames of our own on a TLS connection that http.c has brought through its handshake.
 *
 * libwebsockets cannot take over a connection whose TLS handshake somebody else made, and the kernel's TLS, which would
 * hide it from the library, is not everywhere. So frames are read by protocol/ws_reader, and written as they are: those that go
 * to many viewers stay shared and unencrypted, only the record is made per viewer.
 *
 * What the socket does not take is kept in `rest` and nothing else is written before it, because a record that was begun must be
 * gone on with (tls_write). Control frames queue behind it: one close frame, and the newest ping's answer.
 *
 * Of all pings in one record only the newest is answered: a record holds 2,700 of them, and an answer each, with a record and a
 * system call of its own, would keep all others waiting for 20 ms.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/ws_internal.h"
#include "protocol/ws_reader.h"

enum {
    READ_BYTES = 4096, /* of a record at once; on the stack */
    CONTROL_FRAME_BYTES = 2 + WS_CONTROL_MAX_BYTES,
    FIN = 0x80,
    OPCODE_CLOSE = 8,
    OPCODE_PONG = 10,
};

struct tls_ws {
    struct ws ws; /* first */
    struct tls_connection *tls;
    struct loop_watch *watch;
    struct list_node node; /* in tls_state.all */
    struct bytes *rest;    /* taken by ws_write(), not by the socket; NULL: nothing */
    size_t rest_sent;
    char *pong; /* a frame that is owed, CONTROL_FRAME_BYTES long at most; NULL: none */
    uint8_t pong_length;
    uint8_t watched;      /* set of enum loop_event */
    uint8_t tls_wants;    /* the same: what reading waits for besides input */
    bool has_peer_closed; /* its close frame is here */
    struct ws_reader reader;
};

struct tls_state {
    struct list_node all;
    char record[TLS_RECORD_MAX_BYTES]; /* where the frames of one write are put together */
};

static struct tls_state *state_of(const struct listener *listener)
{
    return listener->ws_service->carrier_state;
}

static struct tls_ws *of(struct ws *ws)
{
    return (struct tls_ws *)ws;
}

static bool is_idle(const struct ws *ws)
{
    return ((const struct tls_ws *)ws)->rest == NULL;
}

static void update_watch(struct tls_ws *tws)
{
    int events = 0;
    if (tws->ws.state != WS_KILLED) {
        bool wants_write = tws->rest != NULL || tws->ws.wants_writable || tws->ws.state == WS_DRAINING;
        events = LOOP_READABLE | tws->tls_wants | (wants_write ? LOOP_WRITABLE : 0);
    }
    if (tws->watch != NULL && events != tws->watched) {
        tws->watched = (uint8_t)events;
        loop_watch_change(tws->watch, events);
    }
}

static void await_writable(struct ws *ws)
{
    update_watch(of(ws));
}

/** Once: there is nobody to write to, or to read from. */
static void fail(struct tls_ws *tws)
{
    ws_kill_later(&tws->ws);
    update_watch(tws);
}

/* Writing. */

static void drop_rest(struct tls_ws *tws)
{
    if (tws->rest != NULL) {
        bytes_finish(tws->rest);
        free(tws->rest);
        tws->rest = NULL;
        tws->rest_sent = 0;
    }
}

/** How much the socket took; what is left of a connection that failed does not matter. */
static size_t offer(struct tls_ws *tws, const char *from, size_t length)
{
    size_t taken = 0;
    switch (tls_write(tws->tls, from, length, &taken)) {
    case TLS_DONE:
    case TLS_WANTS_READ: /* not while nothing is renegotiated; the next event tries again */
    case TLS_WANTS_WRITE:
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        fail(tws);
        taken = length;
        break;
    }
    return taken;
}

static void keep(struct tls_ws *tws, const char *from, size_t length)
{
    if (tws->rest == NULL) {
        tws->rest = malloc(sizeof *tws->rest);
        if (tws->rest == NULL) {
            fail(tws);
            return;
        }
        bytes_init(tws->rest, SIZE_MAX - 1);
        tws->rest_sent = 0;
    }
    /* As much as its writers held: they write nothing more until it is gone, but control frames, which are few. */
    bytes_append(tws->rest, from, length);
    if (bytes_failed(tws->rest)) {
        fail(tws);
    }
}

/** All of it: to the socket, or kept. */
static void put(struct tls_ws *tws, const char *from, size_t length)
{
    size_t taken = tws->rest == NULL ? offer(tws, from, length) : 0;
    if (taken < length) {
        keep(tws, from + taken, length - taken);
    }
}

static void write_item(struct tls_state *state, const struct send_item *item)
{
    struct tls_ws *tws = of(item->owner);
    size_t used = 0;
    if (item->part_count == 1) {
        put(tws, item->parts[0].iov_base, item->parts[0].iov_len);
        return;
    }
    for (unsigned i = 0; i < item->part_count; i++) {
        const char *at = item->parts[i].iov_base;
        size_t left = item->parts[i].iov_len;
        while (left > 0) {
            size_t room = sizeof state->record - used;
            size_t piece = left < room ? left : room;
            memcpy(state->record + used, at, piece);
            used += piece;
            at += piece;
            left -= piece;
            if (used == sizeof state->record) {
                put(tws, state->record, used);
                used = 0;
            }
        }
    }
    if (used > 0) {
        put(tws, state->record, used);
    }
}

static void write_items(struct listener *listener, struct send_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tls_ws *tws = of(items[i].owner);
        if (tws->ws.state != WS_KILLED) {
            write_item(state_of(listener), &items[i]);
            update_watch(tws);
        }
    }
}

/** A control frame in `out`: its length. */
static size_t control_frame(unsigned opcode, const char *payload, size_t length,
                            char out[CONTROL_FRAME_BYTES])
{
    assert(length <= WS_CONTROL_MAX_BYTES);
    out[0] = (char)(FIN | opcode);
    out[1] = (char)length;
    memcpy(out + 2, payload, length);
    return 2 + length;
}

static void put_close(struct tls_ws *tws, uint16_t code, const char *text, size_t length)
{
    char payload[WS_CONTROL_MAX_BYTES], frame[CONTROL_FRAME_BYTES];
    size_t room = sizeof payload - 2;
    length = length < room ? length : room;
    payload[0] = (char)(code >> 8);
    payload[1] = (char)(code & 0xff);
    memcpy(payload + 2, text, length);
    size_t payload_length = code == WS_NO_CODE ? 0 : 2 + length;
    put(tws, frame, control_frame(OPCODE_CLOSE, payload, payload_length, frame));
}

/* Closing. */

/** Both have said it, and what was to be sent is: the end. */
static void settle(struct tls_ws *tws)
{
    bool is_over =
        tws->ws.state == WS_PEER_CLOSING || (tws->ws.state == WS_CLOSE_SENT && tws->has_peer_closed);
    if (is_over && tws->rest == NULL) {
        tls_say_goodbye(tws->tls);
        ws_kill_later(&tws->ws);
    }
}

static void send_close(struct ws *ws, enum close_reason reason)
{
    struct tls_ws *tws = of(ws);
    const char *name = close_reason_name(reason);
    put_close(tws, close_reason_code(reason), name, strlen(name));
    settle(tws);
    update_watch(tws);
}

static void discard(struct tls_ws *tws)
{
    list_remove(&tws->node);
    loop_watch_destroy(tws->watch);
    tls_close(tws->tls);
    (void)close(tws->ws.fd); /* what was owed to the peer is sent, or given up */
    drop_rest(tws);
    free(tws->pong);
    free(tws);
}

static void kill_now(struct ws *ws)
{
    ws_closed(ws);
    discard(of(ws));
}

/* Receiving. */

/** RFC 6455, 5.5.3: of several pings, the newest may be the one that is answered. */
static void answer_ping(struct tls_ws *tws, const char *payload, size_t length)
{
    ws_seen(&tws->ws);
    if (tws->ws.state != WS_OPEN) {
        return;
    }
    if (tws->pong == NULL) {
        tws->pong = malloc(CONTROL_FRAME_BYTES);
    }
    if (tws->pong != NULL) { /* without memory this one is not answered */
        tws->pong_length = (uint8_t)control_frame(OPCODE_PONG, payload, length, tws->pong);
    }
}

/** Where nothing is written before it. */
static void put_pong(struct tls_ws *tws)
{
    if (tws->pong == NULL || tws->rest != NULL) {
        return;
    }
    if (tws->ws.state == WS_OPEN) {
        put(tws, tws->pong, tws->pong_length);
    }
    free(tws->pong);
    tws->pong = NULL;
}

static void on_close_frame(struct tls_ws *tws, const struct ws_event *event)
{
    tws->has_peer_closed = true;
    if (tws->ws.state == WS_OPEN) {
        ws_peer_closes(&tws->ws);
        put_close(tws, event->code, event->at, event->length);
    }
    settle(tws); /* in the states between, our own close frame is on its way */
}

static void on_fault(struct tls_ws *tws, enum ws_fault fault)
{
    if (tws->ws.state == WS_OPEN) {
        log_debug("websocket frames are wrong", LOG_TEXT("err", ws_fault_name(fault)));
        ws_refuse_message(&tws->ws, fault == WS_FAULT_TOO_BIG ? CLOSE_TOO_BIG : CLOSE_PROTOCOL_ERROR);
    }
}

static void on_data(struct tls_ws *tws, const struct ws_event *event)
{
    if (event->has_rsv1 && !tws->ws.deflates) {
        on_fault(tws, WS_FAULT_RESERVED_BIT);
        return;
    }
    const struct ws_piece piece = {
        .at = event->at,
        .length = event->length,
        .is_binary = event->is_binary,
        .has_rsv1 = event->has_rsv1,
        .is_last_of_frame = event->is_last_of_frame,
        .is_last_of_message = event->is_last_of_message,
    };
    ws_receive(&tws->ws, &piece);
}

static void take_input(struct tls_ws *tws, char *bytes, size_t length)
{
    struct ws_event event;
    do {
        size_t used = 0;
        ws_reader_next(&tws->reader, bytes, length, tws->ws.route->message_max_bytes, &used, &event);
        bytes += used;
        length -= used;
        switch (event.kind) {
        case WS_EVENT_NONE:
            break;
        case WS_EVENT_DATA:
            on_data(tws, &event);
            break;
        case WS_EVENT_PING:
            answer_ping(tws, event.at, event.length);
            break;
        case WS_EVENT_PONG:
            ws_seen(&tws->ws);
            break;
        case WS_EVENT_CLOSE:
            on_close_frame(tws, &event);
            break;
        case WS_EVENT_FAULT:
            on_fault(tws, event.fault);
            break;
        }
    } while (event.kind != WS_EVENT_NONE);
}

/** One read. False when there is nothing more to read now. */
static bool read_once(struct tls_ws *tws)
{
    char buffer[READ_BYTES];
    size_t length = 0;
    tws->tls_wants = 0;
    switch (tls_read(tws->tls, buffer, sizeof buffer, &length)) {
    case TLS_DONE:
        take_input(tws, buffer, length);
        return tws->ws.state != WS_KILLED;
    case TLS_WANTS_READ:
        break;
    case TLS_WANTS_WRITE: /* to answer the peer's new key */
        tws->tls_wants = LOOP_WRITABLE;
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        fail(tws);
        break;
    }
    return false;
}

/** One record, to its end: the socket does not show the rest of one that was begun. It does show the next one, in the next turn. */
static void read_input(struct tls_ws *tws)
{
    while (read_once(tws) && tls_has_input(tws->tls)) {
    }
    put_pong(tws);
}

/* Events. */

static void write_rest(struct tls_ws *tws)
{
    if (tws->rest != NULL) {
        const char *from = tws->rest->at + tws->rest_sent;
        tws->rest_sent += offer(tws, from, tws->rest->length - tws->rest_sent);
        if (tws->rest_sent < tws->rest->length) {
            return;
        }
        drop_rest(tws);
    }
    put_pong(tws);
    settle(tws);
    if (tws->rest == NULL && tws->ws.state != WS_KILLED) {
        ws_drained(&tws->ws);
    }
}

static void on_socket(void *context, int events, bool failed)
{
    struct tls_ws *tws = context;
    if (failed) {
        fail(tws);
        return;
    }
    if (events & LOOP_WRITABLE) {
        write_rest(tws);
    }
    if (tws->ws.state != WS_KILLED && (events & (LOOP_READABLE | tws->tls_wants))) {
        read_input(tws);
    }
    update_watch(tws);
}

/* Adoption. */

/** The answer of RFC 6455, 4.2.2. False when memory ran out. */
static bool put_answer(struct tls_ws *tws, const struct ws_handshake *handshake)
{
    char accept[TLS_ACCEPT_BYTES];
    struct bytes answer;
    if (!tls_websocket_accept(handshake->key, accept)) {
        return false;
    }
    bytes_init(&answer, 1024);
    bytes_append_format(&answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n",
                        accept, handshake->route->subprotocol);
    if (handshake->extension != NULL) {
        bytes_append_format(&answer, "Sec-WebSocket-Extensions: %s\r\n", handshake->extension);
    }
    bytes_append_text(&answer, "\r\n");
    bool is_whole = !bytes_failed(&answer);
    if (is_whole) {
        put(tws, answer.at, answer.length);
    }
    bytes_finish(&answer);
    return is_whole && tws->ws.state != WS_KILLED;
}

static void adopt(struct listener *listener, const struct ws_handshake *handshake)
{
    struct tls_ws *tws = calloc(1, sizeof *tws);
    if (tws == NULL) {
        tls_close(handshake->tls);
        (void)close(handshake->fd);
        listener_address_left(listener, handshake->address);
        return;
    }
    ws_init(&tws->ws, listener, handshake);
    tws->tls = handshake->tls;
    tws->ws.deflates = handshake->extension != NULL;
    list_append(&state_of(listener)->all, &tws->node);
    tws->watched = LOOP_READABLE;
    tws->watch = loop_watch_create(listener->loop, handshake->fd, LOOP_READABLE, on_socket, tws);
    if (tws->watch == NULL || !put_answer(tws, handshake)) {
        list_remove(&tws->ws.close_node);
        listener_address_left(listener, handshake->address);
        discard(tws);
        return;
    }
    ws_opened(&tws->ws);
    if (handshake->rest_length > 0) {
        take_input(tws, handshake->rest, handshake->rest_length);
        put_pong(tws);
    }
    if (tws->ws.state != WS_KILLED && tls_has_input(tws->tls)) {
        read_input(tws);
    }
    update_watch(tws);
}

/* Life. */

static bool start(struct listener *listener)
{
    struct tls_state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        log_error("websocket service failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return false;
    }
    list_init(&state->all);
    listener->ws_service->carrier_state = state;
    return true;
}

static void stop(struct listener *listener)
{
    struct tls_state *state = state_of(listener);
    if (state == NULL) {
        return;
    }
    while (!list_is_empty(&state->all)) {
        kill_now(&LIST_ITEM(state->all.next, struct tls_ws, node)->ws);
    }
    free(state);
    listener->ws_service->carrier_state = NULL;
}

const struct ws_carrier ws_tls_carrier = {
    .start = start,
    .stop = stop,
    .adopt = adopt,
    .is_idle = is_idle,
    .write = write_items,
    .await_writable = await_writable,
    .send_close = send_close,
    .kill = kill_now,
};
