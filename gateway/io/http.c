/*
 * HTTP/1.x, one exchange at a time per connection: read a request whole, let
 * its route answer, send the answer, go on to the next (pipelined) request.
 *
 * Deliberately small: no chunked bodies (411), no ranges, no HTTP/2. What is
 * refused before its body was read closes the connection after a short linger, so the
 * refusal is not destroyed by a reset.
 *
 * Invariants: an exchange is freed only by its deferred call, at the end of a loop
 * turn, so callers up the stack may hold it; fd is -1 once the socket is closed or
 * handed on; nothing of request N+1 is looked at before the answer to N is sent, and not
 * in the same call: a client that pipelines thousands waits its turn like all others.
 *
 * How an answer is put together and leaves is http_answer.c; TLS or not is a matter of http_socket.c.
 */
#include "io/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/exchange.h"
#include "io/proxy_header.h"

enum {
    READ_BYTES = 65536,
    UNREAD_MAX_BYTES = READ_BYTES + REQUEST_HEAD_MAX_BYTES,
    PIPELINE_MAX_BYTES = REQUEST_HEAD_MAX_BYTES, /* read ahead of the request at hand */
    KEEP_ALIVE_IDLE_MS = 30000,
    LINGER_BYTES = 4 << 20,
    HANDSHAKES_SLICE_US = 2000, /* of one turn, for TLS handshakes: those already connected are waiting */
};

_Static_assert((int)READ_BYTES >= (int)TLS_RECORD_MAX_BYTES,
               "a read leaves part of a record behind, which the socket does not show");

static void advance(struct http_exchange *exchange);
static void on_readable(struct http_exchange *exchange);
static void on_turn_end(void *context);

/* Ends. */

void exchange_later(struct http_exchange *exchange)
{
    loop_defer(exchange->listener->loop, &exchange->deferred, on_turn_end, exchange);
}

void exchange_hold(struct http_exchange *exchange, enum held held, size_t bytes)
{
    exchange->held_bytes[held] += bytes;
    exchange->listener->held_bytes[held] += bytes;
}

static void release_request(struct http_exchange *exchange)
{
    for (int held = 0; held < HELD_COUNT; held++) {
        exchange->listener->held_bytes[held] -= exchange->held_bytes[held];
        exchange->held_bytes[held] = 0;
    }
    free(exchange->request);
    free(exchange->parts_text);
    free(exchange->body);
    exchange->request = NULL;
    exchange->route = NULL;
    exchange->parts_text = NULL;
    exchange->part_count = 0;
    exchange->body = NULL;
    exchange->body_length = 0;
    exchange->body_expected = 0;
    exchange->is_head = false;
    exchange->on_gone = NULL;
    bytes_finish(&exchange->extra);
    exchange->extra_count = 0;
    if (exchange->peer_is_proxy) { /* its next request may be somebody else's */
        listener_address_left(exchange->listener, exchange->address);
        exchange->address = NULL;
    }
}

static void stop_watching(struct http_exchange *exchange)
{
    loop_watch_destroy(exchange->watch);
    exchange->watch = NULL;
    exchange->watched = 0;
    deadline_disarm(exchange->listener, &exchange->deadline);
}

static void close_socket(struct http_exchange *exchange)
{
    stop_watching(exchange);
    if (exchange->tls != NULL) {
        tls_say_goodbye(exchange->tls);
        tls_close(exchange->tls);
        exchange->tls = NULL;
    }
    if (exchange->fd >= 0) {
        (void)close(exchange->fd); /* nothing was owed to the peer */
        exchange->fd = -1;
        listener_count(exchange->listener, exchange->kind, -1);
        listener_address_left(exchange->listener, exchange->address);
        exchange->address = NULL;
    }
}

void exchange_die(struct http_exchange *exchange)
{
    close_socket(exchange);
    exchange->state = DEAD;
    exchange_later(exchange);
}

void exchange_release_socket(struct http_exchange *exchange, struct ws_handshake *out_handshake)
{
    out_handshake->fd = exchange->fd;
    out_handshake->tls = exchange->tls;
    out_handshake->address = exchange->address;
    out_handshake->client = exchange->client;
    stop_watching(exchange);
    exchange->fd = -1;
    exchange->tls = NULL;
    exchange->address = NULL;
    listener_count(exchange->listener, exchange->kind, -1);
    exchange->state = DEAD;
    exchange_later(exchange);
}

static void tell_stream_closed(struct http_exchange *exchange)
{
    if (exchange->events.on_closed != NULL && !exchange->is_stream_told) {
        exchange->is_stream_told = true;
        exchange->events.on_closed(exchange->owner);
    }
}

static void destroy(struct http_exchange *exchange)
{
    list_remove(&exchange->node);
    release_request(exchange);
    bytes_finish(&exchange->in);
    bytes_finish(&exchange->out);
    free(exchange);
}

static void on_turn_end(void *context)
{
    struct http_exchange *exchange = context;
    if (exchange->state != STREAMING) {
        tell_stream_closed(exchange);
    }
    if (exchange->state == DEAD) {
        destroy(exchange);
    } else {
        advance(exchange);
    }
}

/** The peer left, or the socket failed. */
static void lose_peer(struct http_exchange *exchange)
{
    if (exchange->state == HANDLING) {
        void (*on_gone)(void *owner) = exchange->on_gone;
        exchange->on_gone = NULL;
        close_socket(exchange);
        exchange->state = on_gone != NULL ? DEAD : GONE;
        if (on_gone != NULL) {
            exchange_later(exchange);
            on_gone(exchange->owner);
        }
        return;
    }
    exchange_die(exchange);
}

/* Watching. */

static int wanted_events(const struct http_exchange *exchange)
{
    int events = exchange->tls_wants;
    if (exchange->state == SHAKING_HANDS) {
        return events;
    }
    if (!exchange->has_eof && exchange->in.length < PIPELINE_MAX_BYTES) {
        events |= LOOP_READABLE;
    }
    if (exchange_has_output(exchange) || (exchange->state == STREAMING && exchange->wants_writable)) {
        events |= LOOP_WRITABLE;
    }
    return events;
}

void exchange_update_watch(struct http_exchange *exchange)
{
    if (exchange->watch == NULL) {
        return;
    }
    int events = wanted_events(exchange);
    if (events != exchange->watched) {
        exchange->watched = events;
        loop_watch_change(exchange->watch, events);
    }
}

void exchange_arm(struct http_exchange *exchange, uint64_t delay_ms)
{
    deadline_arm(exchange->listener, &exchange->deadline, delay_ms);
}

static uint64_t request_timeout_ms(const struct http_exchange *exchange)
{
    return (uint64_t)exchange->listener->options.request_timeout_s * 1000;
}

/* After an answer. */

static void linger(struct http_exchange *exchange)
{
    /* Half close, then read and drop until the peer closes: a close with unread input would reset the answer away. */
    exchange->state = LINGERING;
    exchange->tls_wants = 0;
    bytes_finish(&exchange->in);
    if (!exchange_end_output(exchange) || exchange->has_eof) {
        exchange_die(exchange);
        return;
    }
    exchange_arm(exchange, LINGER_MS);
    exchange_update_watch(exchange);
}

void exchange_finish_answer(struct http_exchange *exchange)
{
    release_request(exchange);
    if (exchange->must_close || (exchange->has_eof && exchange->in.length == 0)) {
        linger(exchange);
        return;
    }
    exchange->state = READING_HEAD;
    exchange->scanned = 0;
    exchange->has_begun = exchange->in.length > 0;
    exchange_arm(exchange, exchange->has_begun ? request_timeout_ms(exchange) : KEEP_ALIVE_IDLE_MS);
    exchange_update_watch(exchange);
    if (exchange->in.length > 0) {
        exchange_later(exchange); /* a pipelined request may be waiting */
    }
}

static void continue_writing(struct http_exchange *exchange)
{
    if (!exchange_flush(exchange)) {
        return;
    }
    if (!exchange_has_output(exchange)) {
        exchange_finish_answer(exchange);
    } else {
        exchange_update_watch(exchange);
    }
}

/* The request. */

const char *http_path(const struct http_exchange *exchange)
{
    return exchange->request->path;
}

const char *http_path_part(const struct http_exchange *exchange, size_t index)
{
    return index < exchange->part_count ? exchange->parts[index] : "";
}

const char *http_query(const struct http_exchange *exchange, const char *name)
{
    return request_parameter(exchange->request, name);
}

const char *http_header(const struct http_exchange *exchange, const char *name)
{
    return request_header(exchange->request, name);
}

unsigned http_header_count(const struct http_exchange *exchange, const char *name)
{
    return request_header_count(exchange->request, name);
}

const char *http_body(const struct http_exchange *exchange, size_t *out_length)
{
    *out_length = exchange->body_length;
    return exchange->body != NULL ? exchange->body : "";
}

const char *http_peer_address(const struct http_exchange *exchange)
{
    /* A cache: printed once, and only for those who want to know. */
    char *text = ((struct http_exchange *)(uintptr_t)exchange)->client_text;
    if (text[0] == '\0') {
        ip_address_print(&exchange->client, text);
    }
    return text;
}

bool http_peer_is_loopback(const struct http_exchange *exchange)
{
    return ip_address_is_loopback(&exchange->client);
}

bool http_is_admin(const struct http_exchange *exchange)
{
    return exchange->listener->options.is_admin;
}

/* Reading. */

static void consume(struct http_exchange *exchange, size_t length)
{
    struct bytes *in = &exchange->in;
    in->length -= length;
    if (in->length > 0) {
        memmove(in->at, in->at + length, in->length);
    } else {
        bytes_finish(in); /* an idle connection holds no buffer */
    }
    exchange->scanned = 0;
}

enum head_scan { HEAD_PARTIAL, HEAD_WHOLE, HEAD_BAD };

/** Look for the empty line from where the last look ended. */
static enum head_scan scan_head(struct http_exchange *exchange, size_t *out_length)
{
    const struct bytes *in = &exchange->in;
    for (size_t i = exchange->scanned; i < in->length; i++) {
        if (in->at[i] != '\n') {
            continue;
        }
        if (i == 0 || in->at[i - 1] != '\r') {
            return HEAD_BAD; /* a bare line feed: waiting for the rest would only time out */
        }
        if (i >= 3 && in->at[i - 2] == '\n' && in->at[i - 3] == '\r') {
            *out_length = i + 1;
            return i + 1 > REQUEST_HEAD_MAX_BYTES ? HEAD_PARTIAL : HEAD_WHOLE;
        }
    }
    exchange->scanned = in->length;
    return HEAD_PARTIAL;
}

static void refuse_head(struct http_exchange *exchange, int status)
{
    switch (status) {
    case 414:
    case 431:
        exchange_refuse(exchange, REFUSED_TOO_BIG, status, "head_too_big", NULL, true);
        break;
    case 503:
        exchange_die(exchange); /* no memory for the request */
        break;
    case 505:
        exchange_refuse(exchange, REFUSED_MALFORMED, status, "version_not_supported", NULL, true);
        break;
    default:
        exchange_refuse(exchange, REFUSED_MALFORMED, 400, "malformed_request", NULL, true);
        break;
    }
}

static void start_body(struct http_exchange *exchange)
{
    if (exchange->body_expected > 0) {
        bool is_room = exchange->body_expected <= HELD_SMALL_BYTES ||
                       exchange->listener->held_bytes[HELD_BODY] + exchange->body_expected <= HELD_MAX_BYTES;
        exchange->body = is_room ? malloc(exchange->body_expected + 1) : NULL;
        if (exchange->body == NULL) {
            exchange_refuse_overloaded(exchange, "too many bodies are on their way");
            return;
        }
        exchange_hold(exchange, HELD_BODY, exchange->body_expected);
    }
    exchange->state = READING_BODY;
}

static void begin_request(struct http_exchange *exchange, size_t head_length)
{
    int status = request_parse(exchange->in.at, head_length, &exchange->request);
    if (status != 0) {
        refuse_head(exchange, status);
        return;
    }
    consume(exchange, head_length);
    const struct request *request = exchange->request;
    exchange->must_close =
        request_has_token(request, "connection", "close") ||
        (request->minor_version < 1 && !request_has_token(request, "connection", "keep-alive"));
    if (exchange_admit(exchange)) {
        start_body(exchange);
    }
}

/** Those before a request mean nothing (RFC 9112, 2.2). All at once: each consume moves what follows. */
static void skip_empty_lines(struct http_exchange *exchange)
{
    const struct bytes *in = &exchange->in;
    size_t length = 0;
    while (in->length - length >= 2 && memcmp(in->at + length, "\r\n", 2) == 0) {
        length += 2;
    }
    if (length > 0) {
        consume(exchange, length);
    }
}

/** False when more input is needed. */
static bool read_head(struct http_exchange *exchange)
{
    skip_empty_lines(exchange);
    size_t length = 0;
    switch (scan_head(exchange, &length)) {
    case HEAD_WHOLE:
        begin_request(exchange, length);
        return true;
    case HEAD_BAD:
        refuse_head(exchange, 400);
        return true;
    case HEAD_PARTIAL:
        break;
    }
    if (exchange->in.length >= REQUEST_HEAD_MAX_BYTES) {
        refuse_head(exchange, 431);
        return true;
    }
    return false;
}

/** The same for the body; a whole request goes to its route. */
static bool read_body(struct http_exchange *exchange)
{
    size_t missing = exchange->body_expected - exchange->body_length;
    size_t taken = missing < exchange->in.length ? missing : exchange->in.length;
    if (taken > 0) {
        memcpy(exchange->body + exchange->body_length, exchange->in.at, taken);
        exchange->body_length += taken;
        consume(exchange, taken);
    }
    if (exchange->body_length < exchange->body_expected) {
        return false;
    }
    if (exchange->body != NULL) {
        exchange->body[exchange->body_length] = '\0';
    }
    exchange->state = HANDLING;
    exchange->complete_us = clock_monotonic_us();
    deadline_disarm(exchange->listener, &exchange->deadline);
    exchange->route->on_request(exchange->route->context, exchange);
    return true;
}

/** Take what was read as far as it goes, but at most one request: the next one waits for the end of the turn. */
static void advance(struct http_exchange *exchange)
{
    bool is_short = false; /* of input */
    if (exchange->state == READING_HEAD) {
        is_short = exchange->in.length == 0 || !read_head(exchange);
    }
    if (exchange->state == READING_BODY) {
        is_short = !read_body(exchange);
    } else if (exchange->state == WRITING && !exchange_has_output(exchange)) {
        exchange_finish_answer(exchange); /* a stream that was closed */
    }
    if (is_short && exchange->has_eof) {
        exchange_die(exchange); /* the rest of the request will not come */
    }
    exchange_update_watch(exchange);
}

/* Events. */

static void take_input(struct http_exchange *exchange, const char *from, size_t length)
{
    if (exchange->state == STREAMING) {
        return; /* means nothing */
    }
    if (exchange->state == LINGERING) {
        exchange->lingered += length;
        if (exchange->lingered > LINGER_BYTES) {
            exchange_die(exchange);
        }
        return;
    }
    if (exchange->state == READING_HEAD && !exchange->has_begun) {
        /* For the whole request; not extended per byte, nor per empty line in front of it. */
        exchange->has_begun = true;
        exchange_arm(exchange, request_timeout_ms(exchange));
    }
    bytes_append(&exchange->in, from, length);
    if (bytes_failed(&exchange->in)) {
        exchange_die(exchange);
        return;
    }
    advance(exchange);
}

static void take_eof(struct http_exchange *exchange)
{
    exchange->has_eof = true;
    switch (exchange->state) {
    case HANDLING:
        if (exchange->on_gone != NULL) {
            lose_peer(exchange);
        } else {
            /* Perhaps only its sending half is closed: the answer still goes out. */
            exchange->must_close = true;
        }
        break;
    case WRITING:
        exchange->must_close = exchange->must_close || exchange->in.length == 0;
        break;
    case READING_HEAD:
    case READING_BODY:
        exchange_later(exchange); /* whole requests may be left to answer */
        break;
    default:
        exchange_die(exchange);
        return;
    }
    exchange_update_watch(exchange);
}

static void read_input(struct http_exchange *exchange)
{
    char buffer[READ_BYTES];
    /* Room for a whole record, too: nobody reads when PIPELINE_MAX_BYTES wait. */
    size_t room = UNREAD_MAX_BYTES - exchange->in.length;
    ssize_t got = exchange_read(exchange, buffer, room < sizeof buffer ? room : sizeof buffer);
    if (got > 0) {
        take_input(exchange, buffer, (size_t)got);
    } else if (got == 0) {
        take_eof(exchange);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        lose_peer(exchange);
    }
}

/** OpenSSL knows an HTTP request when it sees one; what it read of it is gone, and needed by nobody. */
static void refuse_plain(struct http_exchange *exchange)
{
    tls_close(exchange->tls);
    exchange->tls = NULL;
    exchange_refuse(exchange, REFUSED_MALFORMED, 400, "tls_required",
                    "this port speaks TLS: use https:// or wss://", true);
}

/**
 * A step of a handshake is a signature and a key exchange, and one ClientHello that was heard is easily said again by hundreds
 * in the same moment. Whoever is put off stays readable, so the next turn sees it again.
 */
static bool may_shake_hands(struct listener *listener)
{
    uint64_t now_ms = loop_now_ms(listener->loop);
    if (listener->shaking_ms != now_ms) {
        listener->shaking_ms = now_ms;
        listener->shaken_us = 0;
    }
    if (listener->shaken_us < HANDSHAKES_SLICE_US) {
        return true;
    }
    metric_add(listener->handshakes_put_off, 1);
    return false;
}

static enum tls_result shake_timed(struct http_exchange *exchange)
{
    uint64_t began_us = clock_monotonic_us();
    enum tls_result result = tls_handshake(exchange->tls);
    exchange->listener->shaken_us += clock_monotonic_us() - began_us;
    return result;
}

static void shake_hands(struct http_exchange *exchange)
{
    if (!may_shake_hands(exchange->listener)) {
        return;
    }
    switch (shake_timed(exchange)) {
    case TLS_DONE:
        exchange->tls_wants = 0;
        exchange->state = READING_HEAD;
        read_input(exchange); /* the request may have come along */
        break;
    case TLS_WANTS_READ:
        exchange->tls_wants = LOOP_READABLE;
        break;
    case TLS_WANTS_WRITE:
        exchange->tls_wants = LOOP_WRITABLE;
        break;
    case TLS_FAILED:
        if (tls_met_plain_http(exchange->tls)) {
            refuse_plain(exchange);
        } else {
            exchange_die(exchange);
        }
        break;
    case TLS_CLOSED:
        exchange_die(exchange);
        break;
    }
    exchange_update_watch(exchange);
}

static void begin_speaking(struct http_exchange *exchange)
{
    exchange->state = exchange->tls != NULL ? SHAKING_HANDS : READING_HEAD;
    exchange->tls_wants = exchange->tls != NULL ? LOOP_READABLE : 0;
}

/** Now it is known whose connection it is. False when that client has too many, or comes too often. */
static bool take_proxy_header(struct http_exchange *exchange, const struct proxy_header *header)
{
    if (header->is_local) {
        return true; /* the proxy's own: it looks whether we are there */
    }
    exchange->peer = header->client;
    exchange->client = header->client;
    exchange->peer_is_proxy = trusted_networks_contain(&exchange->listener->trusted, &exchange->peer);
    return exchange->peer_is_proxy ||
           (exchange_take_rate(exchange, 1, true) && exchange_count_client(exchange));
}

/**
 * What a trusted proxy says before the client's first byte. Its bytes are looked at first and taken then, so that
 * none of TLS or HTTP is; those of a header that is not whole are taken as well, or the socket would stay readable.
 */
static void read_proxy_header(struct http_exchange *exchange)
{
    char buffer[PROXY_HEADER_MAX_BYTES];
    struct proxy_header header;
    const size_t before = exchange->in.length;
    ssize_t got = recv(exchange->fd, buffer, sizeof buffer, MSG_DONTWAIT | MSG_PEEK);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            exchange_die(exchange); /* connected and gone, as a check of the port does */
        }
        return;
    }
    bytes_append(&exchange->in, buffer, (size_t)got);
    enum proxy_header_state state = bytes_failed(&exchange->in)
                                        ? PROXY_HEADER_BAD
                                        : proxy_header_parse(exchange->in.at, exchange->in.length, &header);
    size_t taken = state == PROXY_HEADER_WHOLE ? header.length - before : (size_t)got;
    if (state == PROXY_HEADER_BAD || recv(exchange->fd, buffer, taken, MSG_DONTWAIT) != (ssize_t)taken) {
        listener_refused(exchange->listener, REFUSED_PROXY_HEADER);
        exchange_die(exchange);
        return;
    }
    if (state == PROXY_HEADER_PARTIAL) {
        return;
    }
    bytes_finish(&exchange->in);
    begin_speaking(exchange);
    if (take_proxy_header(exchange, &header)) {
        on_readable(exchange); /* the handshake or request may have come along */
    }
}

static void on_readable(struct http_exchange *exchange)
{
    if (exchange->state == READING_PROXY_HEADER) {
        read_proxy_header(exchange);
    } else if (exchange->state == SHAKING_HANDS) {
        shake_hands(exchange);
    } else {
        read_input(exchange);
    }
}

static void on_socket_writable(struct http_exchange *exchange)
{
    if (exchange->state == WRITING) {
        continue_writing(exchange);
        return;
    }
    if (!exchange_flush(exchange)) {
        return;
    }
    if (exchange->state == STREAMING && exchange->wants_writable && !exchange_has_output(exchange)) {
        exchange->wants_writable = false;
        exchange->events.on_writable(exchange->owner);
    }
    exchange_update_watch(exchange);
}

static void on_socket(void *context, int events, bool failed)
{
    struct http_exchange *exchange = context;
    if (failed) {
        lose_peer(exchange);
        return;
    }
    if (events & exchange->tls_wants) {
        on_readable(exchange); /* whatever the event: it is reading that waits for it */
        return;
    }
    if (events & LOOP_WRITABLE) {
        on_socket_writable(exchange);
    }
    if ((events & LOOP_READABLE) && exchange->watch != NULL && (exchange->watched & LOOP_READABLE)) {
        on_readable(exchange);
    }
}

/** A peer that does not read, an idle connection, a linger that is over. */
static void give_up(struct http_exchange *exchange)
{
    if (exchange->state == WRITING && !exchange->is_stream_told) {
        listener_hung_up(exchange->listener, HUNG_UP_UNREAD);
    } else if (exchange->state == READING_HEAD) {
        listener_hung_up(exchange->listener, HUNG_UP_IDLE);
    }
    exchange_die(exchange);
}

static void on_deadline(void *owner)
{
    struct http_exchange *exchange = owner;
    bool is_late_request =
        (exchange->state == READING_HEAD && exchange->has_begun) || exchange->state == READING_BODY;
    if (exchange->state == SHAKING_HANDS) {
        tls_gave_up(exchange->tls);
        listener_refused(exchange->listener, REFUSED_TIMEOUT);
        exchange_die(exchange); /* in which words could it be told? */
    } else if (exchange->state == READING_PROXY_HEADER) {
        listener_refused(exchange->listener, REFUSED_TIMEOUT);
        exchange_die(exchange);
    } else if (is_late_request) {
        exchange_refuse(exchange, REFUSED_TIMEOUT, 408, "request_timeout", NULL, true);
    } else {
        give_up(exchange);
    }
}

static void start_watching(struct http_exchange *exchange)
{
    exchange->watched = wanted_events(exchange);
    exchange->watch =
        loop_watch_create(exchange->listener->loop, exchange->fd, exchange->watched, on_socket, exchange);
    if (exchange->watch == NULL) {
        exchange_die(exchange);
    }
}

void http_serve(struct listener *listener, const struct arrival *arrival)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    struct tls_connection *tls = exchange != NULL && listener->options.tls != NULL
                                     ? tls_accept(listener->options.tls, arrival->fd)
                                     : NULL;
    if (exchange == NULL || (listener->options.tls != NULL && tls == NULL)) {
        free(exchange);
        (void)close(arrival->fd);
        listener_address_left(listener, arrival->address);
        return;
    }
    exchange->listener = listener;
    exchange->fd = arrival->fd;
    exchange->peer = arrival->from;
    exchange->client = arrival->from;
    exchange->peer_is_proxy = arrival->is_proxy;
    exchange->address = arrival->address;
    exchange->tls = tls;
    if (listener->options.takes_proxy_protocol) {
        exchange->state = READING_PROXY_HEADER;
    } else {
        begin_speaking(exchange);
    }
    bytes_init(&exchange->in, UNREAD_MAX_BYTES);
    bytes_init(&exchange->extra, REQUEST_HEAD_MAX_BYTES);
    bytes_init(&exchange->out, 1);
    list_append(&listener->exchanges, &exchange->node);
    deadline_init(&exchange->deadline, on_deadline, exchange);
    exchange_arm(exchange, request_timeout_ms(exchange));
    listener_count(listener, exchange->kind, 1);
    /*
     * When many connect at once the request has arrived before its turn to be accepted: looking first saves whoever
     * goes on to be a WebSocket, or is answered and gone, the watch, which is six system calls. Not in a drain, which
     * takes in a whole queue in one call.
     */
    if (!listener->is_draining) {
        on_readable(exchange);
    }
    if (exchange->fd >= 0) {
        start_watching(exchange);
    }
}

/** A request is being read or answered; false for one that idles, for a stream, and for what has ended. */
static bool is_busy(const struct http_exchange *exchange)
{
    switch (exchange->state) {
    case READING_PROXY_HEADER: /* there is no request yet */
    case SHAKING_HANDS:
        return false;
    case READING_HEAD:
        return exchange->in.length > 0;
    case READING_BODY:
    case HANDLING:
    case WRITING:
    case LINGERING: /* a reset could still destroy the answer */
        return true;
    case STREAMING:
    case GONE:
    case DEAD:
        break;
    }
    return false;
}

uint32_t http_busy_count(const struct listener *listener)
{
    uint32_t count = 0;
    LIST_EACH(node, &listener->exchanges) {
        count += is_busy(LIST_ITEM(node, struct http_exchange, node)) ? 1 : 0;
    }
    return count;
}

void http_close_all(struct listener *listener)
{
    LIST_EACH_SAFE(node, &listener->exchanges) {
        struct http_exchange *exchange = LIST_ITEM(node, struct http_exchange, node);
        if (exchange->state != DEAD && exchange->state != GONE) {
            lose_peer(exchange);
        }
        /* The end of the turn is now: the loop may not run another one. */
        tell_stream_closed(exchange);
        loop_cancel_deferred(listener->loop, &exchange->deferred);
        destroy(exchange);
    }
}
