/*
 * Answers and streams: heads, what is sent at once, what is kept for a peer that takes its time, and the budget for
 * all that is kept.
 */
#include "io/http.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "base/clock.h"
#include "io/exchange.h"

enum {
    EXTRA_HEADERS_MAX = 16,
    WRITE_MIN_MS = 30000,       /* to take an answer */
    WRITE_MIN_BYTES_PER_MS = 8, /* and this much more for a long one */
};

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
    while (exchange_has_output(exchange)) {
        struct iovec pieces[2] = {
            {.iov_base = exchange->out.at != NULL ? exchange->out.at + exchange->out_sent : NULL,
             .iov_len = exchange->out.length - exchange->out_sent},
            {.iov_base = (void *)(uintptr_t)exchange->borrowed, .iov_len = exchange->borrowed_length},
        };
        struct msghdr message = {.msg_iov = pieces[0].iov_len > 0 ? pieces : pieces + 1,
                                 .msg_iovlen = pieces[0].iov_len > 0 ? 2 : 1};
        ssize_t sent = exchange_write(exchange, &message);
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
    if (exchange_has_output(exchange)) { /* a "100 Continue" that the kernel did not take yet */
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
    return !is_static && !exchange->is_head && length > HELD_SMALL_BYTES &&
           exchange->listener->held_bytes[HELD_ANSWER] > HELD_MAX_BYTES;
}

void exchange_refuse_overloaded(struct http_exchange *exchange, const char *detail)
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
        exchange_refuse_overloaded(exchange, "too many peers are slow to take their answers");
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
    exchange_arm(exchange,
                 WRITE_MIN_MS + length / WRITE_MIN_BYTES_PER_MS); /* in all; not extended per byte */
    if (!send_answer(exchange, &head, body, has_body ? length : 0, is_static)) {
        return;
    }
    if (exchange_has_output(exchange)) {
        exchange_hold(exchange, HELD_ANSWER, exchange->out.length);
        exchange_update_watch(exchange);
    } else {
        exchange_finish_answer(exchange);
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
    exchange_update_watch(exchange);
    return RESULT_OK;
}

bool http_stream_can_write(struct http_exchange *exchange)
{
    return exchange->state == STREAMING && !exchange_has_output(exchange);
}

enum result http_stream_write(struct http_exchange *exchange, const void *from, size_t length)
{
    assert(http_stream_can_write(exchange));
    struct bytes nothing;
    bytes_init(&nothing, 1);
    if (!send_answer(exchange, &nothing, from, length, false)) {
        return RESULT_CLOSED;
    }
    exchange_update_watch(exchange);
    return RESULT_OK;
}

void http_stream_request_writable(struct http_exchange *exchange)
{
    if (exchange->state == STREAMING) {
        exchange->wants_writable = true;
        exchange_update_watch(exchange);
    }
}

void http_stream_close(struct http_exchange *exchange)
{
    if (exchange->state != STREAMING) {
        return;
    }
    exchange->state = WRITING; /* what is pending may still leave; on_closed follows at the end of the turn */
    exchange_arm(exchange, LINGER_MS);
    exchange_later(exchange);
    exchange_update_watch(exchange);
}
