/*
 * What WebSockets have in common, whatever carries them: states, closing, pings, messages out of frames, and writes that are
 * held and leave together.
 *
 * Closes go through a timer: a connection is never torn down under a callback of its own.
 *
 * Invariants: on_closed is called once if on_open returned an owner; nothing is held while carriers run.
 */
#include "io/ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/inflate.h"
#include "io/socket_progress.h"
#include "io/ws_internal.h"

static const struct ws_carrier *carrier_of(const struct ws *ws)
{
    return ws->listener->ws_service->carrier;
}

void ws_set_state(struct ws *ws, enum ws_state state)
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

void ws_kill_later(struct ws *ws)
{
    if (ws->state < WS_KILLED) {
        ws_set_state(ws, WS_KILLED);
        queue_close(ws);
    }
}

static void start_close(struct ws *ws)
{
    const struct ws_carrier *carrier = carrier_of(ws);
    if (ws->state == WS_KILLED) {
        carrier->kill(ws);
    } else if (!carrier->is_idle(ws)) {
        if (ws->state == WS_CLOSE_QUEUED) {
            ws_set_state(ws, WS_DRAINING);
            deadline_arm(ws->listener, &ws->deadline, WS_DRAIN_BEFORE_CLOSE_MS);
        }
        carrier->await_writable(ws);
    } else {
        ws_set_state(ws, WS_CLOSE_SENT);
        deadline_arm(ws->listener, &ws->deadline, WS_CLOSE_ANSWER_MS);
        carrier->send_close(ws, (enum close_reason)ws->reason);
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
        ws_set_state(ws, WS_CLOSE_QUEUED);
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
    /* A slow reader may have minutes of output before the ping that it would answer. */
    if (silent_ms >= (uint64_t)options->ping_after_s * 1000 &&
        socket_makes_progress(ws->fd, &ws->acked_bytes)) {
        ws_seen(ws);
        silent_ms = 0;
    }
    if (silent_ms >= (uint64_t)options->hang_up_after_s * 1000) {
        listener_hung_up(ws->listener, HUNG_UP_SILENT);
        ws_kill_later(ws);
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
        ws_kill_later(ws);
        break;
    case WS_OPENING:
    case WS_CLOSE_QUEUED:
    case WS_KILLED:
        break;
    }
}

/* Writing. */

static void write_held(struct listener *listener)
{
    struct ws_service *service = listener->ws_service;
    size_t count = service->held_count;
    service->held_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct ws *ws = service->held[i].owner;
        ws->held = NULL;
    }
    service->carrier->write(listener, service->held, count);
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
    return ws->state == WS_OPEN && carrier_of(ws)->is_idle(ws);
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
    struct send_item item = {.fd = ws->fd, .owner = ws, .part_count = 1};
    item.parts[0] = part;
    service->carrier->write(ws->listener, &item, 1);
    return ws->state == WS_KILLED ? RESULT_CLOSED : RESULT_OK;
}

void ws_request_writable(struct ws *ws)
{
    if (ws->state == WS_OPEN) {
        ws->wants_writable = true;
        carrier_of(ws)->await_writable(ws);
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
    ws->is_compressed = false;
}

/** The owner counts it, and may close by itself; the second close is none. */
void ws_refuse_message(struct ws *ws, enum close_reason reason)
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
            ws_refuse_message(ws, CLOSE_OVERLOADED);
            return false;
        }
        bytes_init(ws->message, ws->route->message_max_bytes);
    }
    bytes_append(ws->message, piece, length);
    if (bytes_failed(ws->message)) {
        bool is_over_cap = length > ws->message->cap - ws->message->length;
        ws_refuse_message(ws, is_over_cap ? CLOSE_TOO_BIG : CLOSE_OVERLOADED);
        return false;
    }
    return true;
}

/** False: it was refused. */
static bool expand(struct ws *ws, const char **text, size_t *length)
{
    struct listener *listener = ws->listener;
    switch (inflater_run(listener->ws_service->inflater, *text, *length, ws->route->message_max_bytes, text,
                         length)) {
    case RESULT_OK:
        metric_add(listener->inflated[INFLATED], 1);
        return true;
    case RESULT_TOO_BIG:
        metric_add(listener->inflated[INFLATE_TOO_BIG], 1);
        ws_refuse_message(ws, CLOSE_TOO_BIG);
        return false;
    case RESULT_NO_MEMORY:
        metric_add(listener->inflated[INFLATE_NO_MEMORY], 1);
        ws_refuse_message(ws, CLOSE_OVERLOADED);
        return false;
    default:
        metric_add(listener->inflated[INFLATE_MALFORMED], 1);
        ws_refuse_message(ws, CLOSE_INVALID_TEXT);
        return false;
    }
}

static void deliver(struct ws *ws, const char *text, size_t length)
{
    /* Taken off first: on_message may close this connection, even kill the reassembly. */
    struct bytes *message = ws->message;
    bool is_compressed = ws->is_compressed;
    ws->message = NULL;
    drop_message(ws);
    if (!is_compressed || expand(ws, &text, &length)) {
        ws->route->on_message(ws->owner, text, length);
    }
    if (message != NULL) {
        bytes_finish(message);
        free(message);
    }
}

/** RSV1 belongs on the first frame of a message only. */
static bool check_reserved(struct ws *ws, bool is_set)
{
    bool is_first_frame = ws->fragments == 0; /* fragments counts those that are whole */
    if (is_first_frame) {
        ws->is_compressed = is_set;
    }
    return is_first_frame || !is_set;
}

void ws_seen(struct ws *ws)
{
    ws->last_seen_ms = loop_now_ms(ws->listener->loop);
}

void ws_receive(struct ws *ws, const struct ws_piece *piece)
{
    if (ws->state != WS_OPEN) {
        return;
    }
    ws_seen(ws);
    if (piece->is_binary) {
        ws_refuse_message(ws, CLOSE_UNSUPPORTED_DATA);
        return;
    }
    bool is_first = !ws->in_message;
    ws->in_message = true;
    if (!check_reserved(ws, piece->has_rsv1)) {
        ws_refuse_message(ws, CLOSE_PROTOCOL_ERROR);
        return;
    }
    if (piece->is_last_of_frame && ++ws->fragments > ws->route->fragments_max) {
        ws_refuse_message(ws, CLOSE_TOO_BIG);
    } else if (is_first && piece->is_last_of_message && piece->length <= ws->route->message_max_bytes) {
        deliver(ws, piece->at, piece->length);
    } else if (keep_piece(ws, piece->at, piece->length) && piece->is_last_of_message) {
        deliver(ws, ws->message->length > 0 ? ws->message->at : "", ws->message->length);
    }
}

bool ws_deflates(const struct ws *ws)
{
    return ws->deflates;
}

const char *ws_peer_address(const struct ws *ws)
{
    static char text[IP_ADDRESS_TEXT_BYTES]; /* not kept: few ask, and there are many connections */
    ip_address_print(&ws->client, text);
    return text;
}

/* What carriers tell. */

void ws_init(struct ws *ws, struct listener *listener, const struct ws_handshake *handshake)
{
    ws->listener = listener;
    ws->route = handshake->route;
    ws->address = handshake->address;
    ws->client = handshake->client;
    ws->fd = handshake->fd;
    list_init(&ws->close_node);
    deadline_init(&ws->deadline, on_deadline, ws);
}

void ws_opened(struct ws *ws)
{
    ws_set_state(ws, WS_OPEN);
    listener_count(ws->listener, KIND_WS, 1);
    ws_seen(ws);
    arm_liveness(ws);
    ws->owner = ws->route->on_open(ws->route->context, ws);
    if (ws->owner == NULL) {
        ws_close(ws, CLOSE_OVERLOADED);
    }
}

void ws_closed(struct ws *ws)
{
    struct listener *listener = ws->listener;
    assert(!ws->held); /* carriers run in their own turns of the loop */
    deadline_disarm(listener, &ws->deadline);
    list_remove(&ws->close_node);
    if (ws->state < WS_KILLED) {
        ws_set_state(ws, WS_KILLED); /* nothing may be written while on_closed runs */
    }
    void *owner = ws->owner;
    ws->owner = NULL;
    if (owner != NULL) {
        ws->route->on_closed(owner);
    }
    drop_message(ws);
    listener_count(listener, KIND_WS, -1);
    listener_address_left(listener, ws->address);
}

void ws_drained(struct ws *ws)
{
    if (ws->state == WS_DRAINING && carrier_of(ws)->is_idle(ws)) {
        queue_close(ws); /* not from here: a close from under a carrier's callback sends no frame */
    } else if (ws->wants_writable && ws_can_write(ws)) {
        ws->wants_writable = false;
        ws->route->on_writable(ws->owner);
    }
}

void ws_peer_closes(struct ws *ws)
{
    ws_set_state(ws, WS_PEER_CLOSING);
    deadline_arm(ws->listener, &ws->deadline, WS_CLOSE_ANSWER_MS);
}

/* The service. */

void ws_adopt(struct listener *listener, const struct ws_handshake *handshake)
{
    listener->ws_service->carrier->adopt(listener, handshake);
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
    service->carrier = listener->options.tls != NULL ? &ws_tls_carrier : &ws_plain_carrier;
    service->close_timer = loop_timer_create(listener->loop, on_close_timer, service);
    service->inflater = inflater_create();
    if (service->close_timer == NULL || service->inflater == NULL) {
        log_error("websocket service failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return false;
    }
    return service->carrier->start(listener);
}

void ws_service_stop(struct listener *listener)
{
    struct ws_service *service = listener->ws_service;
    if (service == NULL) {
        return;
    }
    service->carrier->stop(listener);
    loop_timer_destroy(service->close_timer);
    inflater_destroy(service->inflater);
    free(service);
    listener->ws_service = NULL;
}
