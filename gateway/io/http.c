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
 * TLS or not is a matter of "The socket" below; everything else reads, writes and closes through it.
 */
#include "io/http.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/exchange.h"

enum {
    READ_BYTES = 65536,
    UNREAD_MAX_BYTES = READ_BYTES + REQUEST_HEAD_MAX_BYTES,
    PIPELINE_MAX_BYTES = REQUEST_HEAD_MAX_BYTES, /* read ahead of the request at hand */
    EXTRA_HEADERS_MAX = 16,
    KEEP_ALIVE_IDLE_MS = 30000,
    WRITE_MIN_MS = 30000,       /* to take an answer */
    WRITE_MIN_BYTES_PER_MS = 8, /* and this much more for a long one */
    HELD_MAX_BYTES = 64 << 20,  /* bodies and copied answers of all peers; more is refused */
    SMALL_ANSWER_BYTES = 16384, /* never refused for that */
    LINGER_MS = 1000,
    LINGER_BYTES = 4 << 20,
};

_Static_assert((int)READ_BYTES >= (int)TLS_RECORD_MAX_BYTES,
               "a read leaves part of a record behind, which the socket does not show");

static void advance(struct http_exchange *exchange);
static void on_turn_end(void *context);

/* The socket. */

/** As recv(): -1 with errno, 0 at the end. */
static ssize_t read_tls(struct http_exchange *exchange, void *to, size_t size)
{
    size_t length = 0;
    exchange->tls_wants = 0;
    switch (tls_read(exchange->tls, to, size, &length)) {
    case TLS_DONE:
        return (ssize_t)length;
    case TLS_WANTS_WRITE: /* to answer the peer's new key: reading goes on after that */
        exchange->tls_wants = LOOP_WRITABLE;
        errno = EAGAIN;
        return -1;
    case TLS_WANTS_READ:
        errno = EAGAIN;
        return -1;
    case TLS_CLOSED:
        return 0;
    case TLS_FAILED:
        break;
    }
    errno = EPROTO;
    return -1;
}

static ssize_t read_socket(struct http_exchange *exchange, void *to, size_t size)
{
    /* What comes while lingering is dropped: no use to decrypt it. */
    if (exchange->tls != NULL && exchange->state != LINGERING) {
        return read_tls(exchange, to, size);
    }
    return recv(exchange->fd, to, size, MSG_DONTWAIT);
}

/** As sendmsg(). The pieces become one record, up to its size: a record costs a system call. */
static ssize_t write_tls(struct http_exchange *exchange, const struct msghdr *message)
{
    char record[TLS_RECORD_MAX_BYTES];
    size_t length = 0, taken = 0;
    for (size_t i = 0; i < message->msg_iovlen && length < sizeof record; i++) {
        size_t room = sizeof record - length;
        size_t piece = message->msg_iov[i].iov_len < room ? message->msg_iov[i].iov_len : room;
        if (piece > 0) { /* an empty one has no address */
            memcpy(record + length, message->msg_iov[i].iov_base, piece);
            length += piece;
        }
    }
    switch (tls_write(exchange->tls, record, length, &taken)) {
    case TLS_DONE:
        return (ssize_t)taken;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE:
        errno = EAGAIN;
        return taken > 0 ? (ssize_t)taken : -1;
    case TLS_CLOSED:
    case TLS_FAILED:
        break;
    }
    errno = EPIPE;
    return -1;
}

static ssize_t write_socket(struct http_exchange *exchange, const struct msghdr *message)
{
    return exchange->tls != NULL ? write_tls(exchange, message)
                                 : sendmsg(exchange->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/** Nothing more will be sent. False when the connection is gone. */
static bool end_output(struct http_exchange *exchange)
{
    if (exchange->tls != NULL) {
        tls_say_goodbye(exchange->tls);
    }
    return shutdown(exchange->fd, SHUT_WR) == 0;
}

/* Ends. */

static void later(struct http_exchange *exchange)
{
    loop_defer(exchange->listener->loop, &exchange->deferred, on_turn_end, exchange);
}

static void hold(struct http_exchange *exchange, size_t bytes)
{
    exchange->held_bytes += bytes;
    exchange->listener->held_bytes += bytes;
}

static void release_request(struct http_exchange *exchange)
{
    exchange->listener->held_bytes -= exchange->held_bytes;
    exchange->held_bytes = 0;
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
    later(exchange);
}

void exchange_release_socket(struct http_exchange *exchange, struct ws_handshake *out_handshake)
{
    out_handshake->fd = exchange->fd;
    out_handshake->tls = exchange->tls;
    out_handshake->address = exchange->address;
    stop_watching(exchange);
    exchange->fd = -1;
    exchange->tls = NULL;
    exchange->address = NULL;
    listener_count(exchange->listener, exchange->kind, -1);
    exchange->state = DEAD;
    later(exchange);
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
            later(exchange);
            on_gone(exchange->owner);
        }
        return;
    }
    exchange_die(exchange);
}

/* Watching. */

static bool has_output(const struct http_exchange *exchange)
{
    return exchange->out_sent < exchange->out.length || exchange->borrowed_length > 0;
}

static int wanted_events(const struct http_exchange *exchange)
{
    int events = exchange->tls_wants;
    if (exchange->state == SHAKING_HANDS) {
        return events;
    }
    if (!exchange->has_eof && exchange->in.length < PIPELINE_MAX_BYTES) {
        events |= LOOP_READABLE;
    }
    if (has_output(exchange) || (exchange->state == STREAMING && exchange->wants_writable)) {
        events |= LOOP_WRITABLE;
    }
    return events;
}

static void update_watch(struct http_exchange *exchange)
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

static void arm(struct http_exchange *exchange, uint64_t delay_ms)
{
    deadline_arm(exchange->listener, &exchange->deadline, delay_ms);
}

static uint64_t request_timeout_ms(const struct http_exchange *exchange)
{
    return (uint64_t)exchange->listener->options.request_timeout_s * 1000;
}

/* Sending. */

static bool send_failed(struct http_exchange *exchange)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return false;
    }
    exchange_die(exchange);
    return true;
}

bool exchange_flush(struct http_exchange *exchange)
{
    while (has_output(exchange)) {
        struct iovec pieces[2] = {
            {.iov_base = exchange->out.at != NULL ? exchange->out.at + exchange->out_sent : NULL,
             .iov_len = exchange->out.length - exchange->out_sent},
            {.iov_base = (void *)(uintptr_t)exchange->borrowed, .iov_len = exchange->borrowed_length},
        };
        struct msghdr message = {.msg_iov = pieces[0].iov_len > 0 ? pieces : pieces + 1,
                                 .msg_iovlen = pieces[0].iov_len > 0 ? 2 : 1};
        ssize_t sent = write_socket(exchange, &message);
        if (sent < 0) {
            return !send_failed(exchange);
        }
        size_t copied = (size_t)sent < pieces[0].iov_len ? (size_t)sent : pieces[0].iov_len;
        exchange->out_sent += copied;
        if (exchange->borrowed_length > 0) {
            exchange->borrowed += (size_t)sent - copied;
            exchange->borrowed_length -= (size_t)sent - copied;
        }
    }
    bytes_finish(&exchange->out);
    exchange->out_sent = 0;
    return true;
}

static void linger(struct http_exchange *exchange)
{
    /* Half close, then read and drop until the peer closes: a close with unread input would reset the answer away. */
    exchange->state = LINGERING;
    exchange->tls_wants = 0;
    bytes_finish(&exchange->in);
    if (!end_output(exchange) || exchange->has_eof) {
        exchange_die(exchange);
        return;
    }
    arm(exchange, LINGER_MS);
    update_watch(exchange);
}

static void finish_answer(struct http_exchange *exchange)
{
    release_request(exchange);
    if (exchange->must_close || (exchange->has_eof && exchange->in.length == 0)) {
        linger(exchange);
        return;
    }
    exchange->state = READING_HEAD;
    exchange->scanned = 0;
    arm(exchange, exchange->in.length > 0 ? request_timeout_ms(exchange) : KEEP_ALIVE_IDLE_MS);
    update_watch(exchange);
    if (exchange->in.length > 0) {
        later(exchange); /* a pipelined request may be waiting */
    }
}

static void continue_writing(struct http_exchange *exchange)
{
    if (!exchange_flush(exchange)) {
        return;
    }
    if (!has_output(exchange)) {
        finish_answer(exchange);
    } else {
        update_watch(exchange);
    }
}

/* Answering. */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {207, "Multi-Status"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].status == status) {
            return table[i].text;
        }
    }
    return "Answer";
}

static const char *date_now(struct listener *listener)
{
    int64_t second = clock_wall_ms() / 1000;
    if (second != listener->date_second) {
        listener->date_second = second;
        time_t time = (time_t)second;
        struct tm utc = {0};
        (void)gmtime_r(&time, &utc); /* fails only for years beyond int */
        (void)strftime(listener->date, sizeof listener->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    }
    return listener->date;
}

static void append_header(struct bytes *head, const char *name, const char *value)
{
    bytes_append_text(head, name);
    bytes_append_text(head, ": ");
    bytes_append_text(head, value);
    bytes_append_text(head, "\r\n");
}

static void append_common(struct http_exchange *exchange, struct bytes *head, int status,
                          const char *content_type)
{
    bytes_append_format(head, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    append_header(head, "Date", date_now(exchange->listener));
    if (content_type != NULL) {
        append_header(head, "Content-Type", content_type);
    }
    for (const char *const *extra = exchange->listener->options.extra_headers;
         extra != NULL && *extra != NULL; extra++) {
        bytes_append_text(head, *extra);
        bytes_append_text(head, "\r\n");
    }
    if (exchange->tls != NULL && exchange->listener->options.hsts_max_age_s > 0) {
        bytes_append_format(head, "Strict-Transport-Security: max-age=%u\r\n",
                            (unsigned)exchange->listener->options.hsts_max_age_s);
    }
    if (exchange->extra.length > 0) {
        bytes_append(head, exchange->extra.at, exchange->extra.length);
    }
    if (bytes_failed(&exchange->extra)) {
        head->failed = true; /* a lost header may be one that protects */
    }
    const char *connection = exchange->must_close ? "close" : "keep-alive";
    append_header(head, "Connection", status == 426 ? "upgrade, close" : connection);
}

static void append_head(struct http_exchange *exchange, struct bytes *head, int status,
                        const char *content_type, size_t length)
{
    append_common(exchange, head, status, length > 0 || status == 200 ? content_type : NULL);
    if (status >= 200 && status != 204 && status != 304) {
        bytes_append_format(head, "Content-Length: %zu\r\n", length);
    }
    bytes_append_text(head, "\r\n");
}

static void count_answer(struct http_exchange *exchange, int status)
{
    struct listener *listener = exchange->listener;
    metric_add(listener->requests[status / 100 - 1], 1);
    if (exchange->complete_us > 0) {
        metric_observe(listener->seconds, (double)(clock_monotonic_us() - exchange->complete_us) / 1e6);
        exchange->complete_us = 0;
    }
}

/** Put head and body into the output; what the kernel takes at once is never copied. */
static bool send_answer(struct http_exchange *exchange, struct bytes *head, const char *body, size_t length,
                        bool is_static)
{
    if (has_output(exchange)) { /* a "100 Continue" that the kernel did not take yet */
        exchange->out.cap = exchange->out.length + head->length;
        bytes_append(&exchange->out, head->at, head->length);
        bytes_finish(head);
        if (bytes_failed(&exchange->out)) {
            exchange_die(exchange);
            return false;
        }
    } else {
        bytes_finish(&exchange->out);
        exchange->out = *head; /* moved */
        exchange->out_sent = 0;
    }
    exchange->borrowed = body;
    exchange->borrowed_length = length;
    if (!exchange_flush(exchange)) {
        return false;
    }
    if (exchange->borrowed_length > 0 && !is_static) {
        /* The caller's memory ends with this call: keep a copy of the rest. */
        exchange->out.cap = exchange->out.length + exchange->borrowed_length;
        bytes_append(&exchange->out, exchange->borrowed, exchange->borrowed_length);
        exchange->borrowed_length = 0;
        if (bytes_failed(&exchange->out)) {
            exchange_die(exchange);
            return false;
        }
    }
    return true;
}

/** Too much is held for slow peers already: a body that may have to be kept is not begun. */
static bool is_overloaded(const struct http_exchange *exchange, size_t length, bool is_static)
{
    return !is_static && !exchange->is_head && length > SMALL_ANSWER_BYTES &&
           exchange->listener->held_bytes > HELD_MAX_BYTES;
}

static void refuse_overloaded(struct http_exchange *exchange, const char *detail)
{
    bytes_finish(&exchange->extra); /* they were about another answer */
    exchange->extra_count = 0;
    http_set_header(exchange, "Retry-After", "1");
    exchange_refuse(exchange, REFUSED_OVERLOADED, 503, "overloaded", detail, exchange->state != HANDLING);
}

void http_answer(struct http_exchange *exchange, int status, const char *content_type, const void *body,
                 size_t length, bool is_static)
{
    assert(exchange->state == HANDLING || exchange->state == GONE);
    assert(status >= 200 && status < 600);
    if (exchange->state == HANDLING && is_overloaded(exchange, length, is_static)) {
        refuse_overloaded(exchange, "too many peers are slow to take their answers");
        return;
    }
    count_answer(exchange, status);
    if (exchange->state == GONE) {
        exchange_die(exchange);
        return;
    }
    if (exchange->listener->is_draining) {
        exchange->must_close = true;
    }
    struct bytes head;
    bytes_init(&head, REQUEST_HEAD_MAX_BYTES);
    append_head(exchange, &head, status, content_type, length);
    if (bytes_failed(&head)) {
        bytes_finish(&head);
        exchange_die(exchange);
        return;
    }
    bool has_body = !exchange->is_head && status != 204 && status != 304;
    exchange->state = WRITING;
    exchange->on_gone = NULL;
    arm(exchange, WRITE_MIN_MS + length / WRITE_MIN_BYTES_PER_MS); /* in all; not extended per byte */
    if (!send_answer(exchange, &head, body, has_body ? length : 0, is_static)) {
        return;
    }
    if (has_output(exchange)) {
        hold(exchange, exchange->out.length);
        update_watch(exchange);
    } else {
        finish_answer(exchange);
    }
}

static void answer_problem(struct http_exchange *exchange, int status, const char *code, const char *detail)
{
    struct bytes body;
    bytes_init(&body, 4096);
    const char *title = status_text(status);
    bytes_append_text(&body, "{\"title\":");
    bytes_append_json_string(&body, title, strlen(title));
    bytes_append_format(&body, ",\"status\":%d,\"code\":", status);
    bytes_append_json_string(&body, code, strlen(code));
    if (detail != NULL) {
        bytes_append_text(&body, ",\"detail\":");
        bytes_append_json_string(&body, detail, strnlen(detail, 512));
    }
    bytes_append_byte(&body, '}');
    bool failed = bytes_failed(&body);
    http_answer(exchange, status, "application/problem+json", failed ? "{}" : body.at,
                failed ? 2 : body.length, false);
    bytes_finish(&body);
}

void http_problem(struct http_exchange *exchange, int status, const char *code, const char *detail)
{
    listener_refused(exchange->listener, REFUSED_BY_ROUTE);
    answer_problem(exchange, status, code, detail);
}

void exchange_refuse(struct http_exchange *exchange, enum refusal refusal, int status, const char *code,
                     const char *detail, bool must_close)
{
    listener_refused(exchange->listener, refusal);
    exchange->must_close = exchange->must_close || must_close;
    exchange->state = HANDLING;
    answer_problem(exchange, status, code, detail);
}

void http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
    assert(exchange->extra_count < EXTRA_HEADERS_MAX);
    assert(strpbrk(value, "\r\n") == NULL);
    exchange->extra_count++;
    append_header(&exchange->extra, name, value);
}

void http_on_gone(struct http_exchange *exchange, void (*on_gone)(void *owner), void *owner)
{
    assert(exchange->state == HANDLING);
    exchange->on_gone = on_gone;
    exchange->owner = owner;
}

/* Streams. */

enum result http_stream_start(struct http_exchange *exchange, const char *content_type,
                              const struct http_stream_events *events, void *owner)
{
    assert(exchange->state == HANDLING || exchange->state == GONE);
    exchange->must_close = true; /* without a length the end of the connection is the end of the body */
    if (exchange->is_head || exchange->state == GONE) {
        http_answer(exchange, 200, content_type, NULL, 0, true);
        return RESULT_CLOSED;
    }
    count_answer(exchange, 200);
    struct bytes head;
    bytes_init(&head, REQUEST_HEAD_MAX_BYTES);
    append_common(exchange, &head, 200, content_type);
    bytes_append_text(&head, "\r\n");
    exchange->on_gone = NULL;
    if (bytes_failed(&head)) {
        bytes_finish(&head);
        exchange_die(exchange);
        return RESULT_CLOSED;
    }
    if (!send_answer(exchange, &head, NULL, 0, true)) {
        return RESULT_CLOSED;
    }
    listener_count(exchange->listener, exchange->kind, -1);
    exchange->kind = KIND_SSE;
    listener_count(exchange->listener, exchange->kind, 1);
    exchange->state = STREAMING;
    exchange->events = *events;
    exchange->owner = owner;
    deadline_disarm(exchange->listener, &exchange->deadline);
    bytes_finish(&exchange->in); /* nothing the client sends from now on means anything */
    update_watch(exchange);
    return RESULT_OK;
}

bool http_stream_can_write(struct http_exchange *exchange)
{
    return exchange->state == STREAMING && !has_output(exchange);
}

enum result http_stream_write(struct http_exchange *exchange, const void *from, size_t length)
{
    assert(http_stream_can_write(exchange));
    struct bytes nothing;
    bytes_init(&nothing, 1);
    if (!send_answer(exchange, &nothing, from, length, false)) {
        return RESULT_CLOSED;
    }
    update_watch(exchange);
    return RESULT_OK;
}

void http_stream_request_writable(struct http_exchange *exchange)
{
    if (exchange->state == STREAMING) {
        exchange->wants_writable = true;
        update_watch(exchange);
    }
}

void http_stream_close(struct http_exchange *exchange)
{
    if (exchange->state != STREAMING) {
        return;
    }
    exchange->state = WRITING; /* what is pending may still leave; on_closed follows at the end of the turn */
    arm(exchange, LINGER_MS);
    later(exchange);
    update_watch(exchange);
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

const char *http_body(const struct http_exchange *exchange, size_t *out_length)
{
    *out_length = exchange->body_length;
    return exchange->body != NULL ? exchange->body : "";
}

const char *http_peer_address(const struct http_exchange *exchange)
{
    /* A cache: getpeername is asked once, and only for those who want to know. */
    char *peer = ((struct http_exchange *)(uintptr_t)exchange)->peer;
    if (peer[0] == '\0' && exchange->fd >= 0) {
        peer_address_text(exchange->fd, peer);
    }
    return peer;
}

bool http_peer_is_loopback(const struct http_exchange *exchange)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    return exchange->fd >= 0 && getpeername(exchange->fd, (struct sockaddr *)&address, &length) == 0 &&
           address_is_loopback(&address);
}

bool http_is_head(const struct http_exchange *exchange)
{
    return exchange->is_head;
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
        bool is_room = exchange->listener->held_bytes + exchange->body_expected <= HELD_MAX_BYTES;
        exchange->body = is_room ? malloc(exchange->body_expected + 1) : NULL;
        if (exchange->body == NULL) {
            refuse_overloaded(exchange, "too many bodies are on their way");
            return;
        }
        hold(exchange, exchange->body_expected);
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
    } else if (exchange->state == WRITING && !has_output(exchange)) {
        finish_answer(exchange); /* a stream that was closed */
    }
    if (is_short && exchange->has_eof) {
        exchange_die(exchange); /* the rest of the request will not come */
    }
    update_watch(exchange);
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
    if (exchange->state == READING_HEAD && exchange->in.length == 0) {
        arm(exchange, request_timeout_ms(exchange)); /* for the whole request; not extended per byte */
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
            exchange->must_close =
                true; /* perhaps only its sending half is closed: the answer still goes out */
        }
        break;
    case WRITING:
        exchange->must_close = exchange->must_close || exchange->in.length == 0;
        break;
    case READING_HEAD:
    case READING_BODY:
        later(exchange); /* whole requests may be left to answer */
        break;
    default:
        exchange_die(exchange);
        return;
    }
    update_watch(exchange);
}

static void read_input(struct http_exchange *exchange)
{
    char buffer[READ_BYTES];
    /* Room for a whole record, too: nobody reads when PIPELINE_MAX_BYTES wait. */
    size_t room = UNREAD_MAX_BYTES - exchange->in.length;
    ssize_t got = read_socket(exchange, buffer, room < sizeof buffer ? room : sizeof buffer);
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

static void shake_hands(struct http_exchange *exchange)
{
    switch (tls_handshake(exchange->tls)) {
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
    update_watch(exchange);
}

static void on_readable(struct http_exchange *exchange)
{
    if (exchange->state == SHAKING_HANDS) {
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
    if (exchange->state == STREAMING && exchange->wants_writable && !has_output(exchange)) {
        exchange->wants_writable = false;
        exchange->events.on_writable(exchange->owner);
    }
    update_watch(exchange);
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

static void on_deadline(void *owner)
{
    struct http_exchange *exchange = owner;
    bool is_late_request =
        (exchange->state == READING_HEAD && exchange->in.length > 0) || exchange->state == READING_BODY;
    if (exchange->state == SHAKING_HANDS) {
        tls_gave_up(exchange->tls);
        listener_refused(exchange->listener, REFUSED_TIMEOUT);
        exchange_die(exchange); /* in which words could it be told? */
    } else if (is_late_request) {
        exchange_refuse(exchange, REFUSED_TIMEOUT, 408, "request_timeout", NULL, true);
    } else {
        if (exchange->state == WRITING && !exchange->is_stream_told) {
            listener_hung_up(exchange->listener, HUNG_UP_UNREAD);
        }
        exchange_die(exchange); /* an idle connection, a peer that does not read, a linger that is over */
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

void http_serve(struct listener *listener, int fd, struct address *address)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    struct tls_connection *tls =
        exchange != NULL && listener->options.tls != NULL ? tls_accept(listener->options.tls, fd) : NULL;
    if (exchange == NULL || (listener->options.tls != NULL && tls == NULL)) {
        free(exchange);
        (void)close(fd);
        listener_address_left(listener, address);
        return;
    }
    exchange->listener = listener;
    exchange->fd = fd;
    exchange->address = address;
    exchange->tls = tls;
    exchange->state = tls != NULL ? SHAKING_HANDS : READING_HEAD;
    exchange->tls_wants = tls != NULL ? LOOP_READABLE : 0;
    bytes_init(&exchange->in, UNREAD_MAX_BYTES);
    bytes_init(&exchange->extra, REQUEST_HEAD_MAX_BYTES);
    bytes_init(&exchange->out, 1);
    list_append(&listener->exchanges, &exchange->node);
    deadline_init(&exchange->deadline, on_deadline, exchange);
    arm(exchange, request_timeout_ms(exchange));
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
    case SHAKING_HANDS: /* there is no request yet */
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
