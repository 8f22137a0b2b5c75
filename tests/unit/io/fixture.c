/* See fixture.h. The routes: what each test needs, no more. */
#include "fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop_handles.h"

static char big_body[300000];

static void on_hello(void *context, struct http_exchange *exchange)
{
    (void)context;
    char text[256];
    const char *name = http_query(exchange, "name");
    (void)snprintf(text, sizeof text, "hello %s from %s %d", name != NULL ? name : "-",
                   http_peer_address(exchange), http_peer_is_loopback(exchange));
    http_answer(exchange, 200, "text/plain", text, strlen(text), false);
}

static void on_echo(void *context, struct http_exchange *exchange)
{
    (void)context;
    size_t length = 0;
    const char *body = http_body(exchange, &length);
    http_answer(exchange, 200, "application/json", body, length, false);
}

/** A route that looks at the head first: "?no" stays out. */
static bool on_head(void *context, struct http_exchange *exchange)
{
    (void)context;
    if (http_query(exchange, "no") == NULL) {
        return true;
    }
    http_problem(exchange, 403, "forbidden", NULL);
    return false;
}

static void on_part(void *context, struct http_exchange *exchange)
{
    (void)context;
    char text[256];
    (void)snprintf(text, sizeof text, "[%s][%s]", http_path_part(exchange, 0), http_path_part(exchange, 1));
    http_answer(exchange, 200, "text/plain", text, strlen(text), false);
}

static void on_rest(void *context, struct http_exchange *exchange)
{
    (void)context;
    const char *rest = http_path_part(exchange, 0);
    http_answer(exchange, 200, "text/plain", rest, strlen(rest), false);
}

static void on_big(void *context, struct http_exchange *exchange)
{
    (void)context;
    http_set_header(exchange, "X-Big", "yes");
    http_answer(exchange, 200, "text/plain", big_body, sizeof big_body,
                http_query(exchange, "static") != NULL);
}

static void on_kept_gone(void *owner)
{
    struct fixture *f = owner;
    f->gone++;
    f->kept = NULL;
}

static void on_kept(void *context, struct http_exchange *exchange)
{
    struct fixture *f = context;
    f->kept = exchange;
    if (http_query(exchange, "deaf") == NULL) {
        http_on_gone(exchange, on_kept_gone, f);
    }
}

static void on_stream_writable(void *owner)
{
    ((struct fixture *)owner)->stream_writable++;
}

static void on_stream_closed(void *owner)
{
    struct fixture *f = owner;
    f->stream_closed++;
    f->stream = NULL;
}

static void on_stream(void *context, struct http_exchange *exchange)
{
    static const struct http_stream_events events = {.on_writable = on_stream_writable,
                                                     .on_closed = on_stream_closed};
    struct fixture *f = context;
    if (http_stream_start(exchange, "text/event-stream", &events, f) == RESULT_OK) {
        f->stream = exchange;
    }
}

static void *on_open(void *context, struct ws *ws)
{
    struct fixture *f = context;
    if (f->refuse_open) {
        return NULL;
    }
    f->ws = ws;
    f->opened++;
    return f;
}

static void on_message(void *owner, const char *text, size_t length)
{
    struct fixture *f = owner;
    assert_true(length <= MESSAGE_MAX);
    f->messages++;
    memcpy(f->message, text, length);
    f->message[length] = '\0';
    f->message_length = length;
    if (f->close_on_message) {
        ws_close(f->ws, CLOSE_MALFORMED);
    }
}

static void on_refused(void *owner, enum close_reason reason)
{
    struct fixture *f = owner;
    f->refused_reason = reason;
}

static void on_writable(void *owner)
{
    ((struct fixture *)owner)->writable++;
}

static void on_closed(void *owner)
{
    struct fixture *f = owner;
    f->closed++;
    f->ws = NULL;
}

static void add_routes(struct fixture *f)
{
    const struct http_route routes[] = {
        {.methods = HTTP_GET, .pattern = "/hello", .on_request = on_hello},
        {.methods = HTTP_POST,
         .pattern = "/echo",
         .body_max_bytes = 200000,
         .needs_json = true,
         .on_request = on_echo},
        {.methods = HTTP_POST, .pattern = "/small", .body_max_bytes = 10, .on_request = on_echo},
        {.methods = HTTP_POST,
         .pattern = "/asked",
         .body_max_bytes = 10,
         .on_head = on_head,
         .on_request = on_echo},
        {.methods = HTTP_GET, .pattern = "/part/{a}/and/{b}", .on_request = on_part},
        {.methods = HTTP_DELETE, .pattern = "/part/{a}/and/{b}", .on_request = on_part},
        {.methods = HTTP_GET, .pattern = "/big", .on_request = on_big},
        {.methods = HTTP_GET, .pattern = "/kept", .on_request = on_kept},
        {.methods = HTTP_GET, .pattern = "/stream", .on_request = on_stream},
        {.methods = HTTP_GET, .pattern = "/files/*", .on_request = on_rest},
    };
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        struct http_route route = routes[i];
        route.context = f;
        listener_add_http(f->listener, &route);
    }
    const struct ws_route ws = {.path = "/ws",
                                .subprotocol = "kpi.v1",
                                .message_max_bytes = MESSAGE_MAX,
                                .fragments_max = FRAGMENTS_MAX,
                                .context = f,
                                .on_open = on_open,
                                .on_message = on_message,
                                .on_refused = on_refused,
                                .on_writable = on_writable,
                                .on_closed = on_closed};
    listener_add_ws(f->listener, &ws);
}

void fixture_start(struct fixture *f, const struct listener_options *changes)
{
    static const char *const extra[] = {"X-Extra: one", "X-Content-Type-Options: nosniff", NULL};
    static const char *const origins[] = {"https://dash.example", NULL};
    static const char *const hosts[] = {"h", "gw.example", NULL};
    *f = (struct fixture){0};
    for (size_t i = 0; i < sizeof big_body; i++) {
        big_body[i] = (char)('a' + i % 23);
    }
    struct listener_options options = {.host = "127.0.0.1",
                                       .max_connections = 100,
                                       .send_buffer_bytes = 16384,
                                       .accepts_deflate = true,
                                       .ping_after_s = 25,
                                       .hang_up_after_s = 75,
                                       .request_timeout_s = 1,
                                       .extra_headers = extra,
                                       .allowed_origins = origins,
                                       .allowed_hosts = hosts};
    if (changes != NULL) {
        options.max_connections = changes->max_connections > 0 ? changes->max_connections : 100;
        options.request_timeout_s = changes->request_timeout_s > 0 ? changes->request_timeout_s : 1;
        options.ping_after_s = changes->ping_after_s > 0 ? changes->ping_after_s : 25;
        options.hang_up_after_s = changes->hang_up_after_s > 0 ? changes->hang_up_after_s : 75;
        options.max_connections_per_address = changes->max_connections_per_address;
        options.accepts_per_s = changes->accepts_per_s;
    }
    f->loop = loop_create();
    assert_non_null(f->loop);
    f->metrics = metrics_create();
    assert_non_null(f->metrics);
    f->listener = listener_create(f->loop, f->metrics, &options);
    assert_non_null(f->listener);
    add_routes(f);
    assert_int_equal(listener_start(f->listener), RESULT_OK);
    f->heard = calloc(1, HEARD_MAX + 1);
    assert_non_null(f->heard);
}

void fixture_stop(struct fixture *f)
{
    listener_destroy(f->listener);
    loop_destroy(f->loop); /* asserts that nothing is left in it */
    metrics_destroy(f->metrics);
    free(f->heard);
}

int dial(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int receive_bytes =
        65536; /* fixed: a kernel that finds ever more room makes "not reading" a matter of luck */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(f->listener))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int status = connect(fd, (struct sockaddr *)&address, sizeof address);
    assert_true(status == 0 || errno == EINPROGRESS);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&wait, 1, 2000), 1);
    return fd;
}

void say_bytes(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

void forget(struct fixture *f)
{
    f->heard_length = 0;
    f->heard[0] = '\0';
}

/** One turn and one read. -1 at EOF or reset. */
static int listen_once(struct fixture *f, int fd)
{
    loop_run_once(f->loop, false);
    ssize_t got = recv(fd, f->heard + f->heard_length, HEARD_MAX - f->heard_length, MSG_DONTWAIT);
    if (got > 0) {
        f->heard_length += (size_t)got;
        f->heard[f->heard_length] = '\0';
        return 1;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        return -1;
    }
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    (void)poll(&wait, 1, 1);
    return 0;
}

bool hear_until(struct fixture *f, int fd, const char *needle, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (memmem(f->heard, f->heard_length, needle, strlen(needle)) == NULL) {
        if (listen_once(f, fd) < 0 || clock_monotonic_ms() > end) {
            return memmem(f->heard, f->heard_length, needle, strlen(needle)) != NULL;
        }
    }
    return true;
}

bool hear_bytes(struct fixture *f, int fd, size_t length, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (f->heard_length < length) {
        if (listen_once(f, fd) < 0 || clock_monotonic_ms() > end) {
            return f->heard_length >= length;
        }
    }
    return true;
}

bool hear_end(struct fixture *f, int fd, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (clock_monotonic_ms() <= end) {
        if (listen_once(f, fd) < 0) {
            return true;
        }
    }
    return false;
}

void spend(struct fixture *f, int ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)ms;
    while (clock_monotonic_ms() <= end) {
        loop_run_once(f->loop, false);
        (void)poll(NULL, 0, 1);
    }
}

bool await(struct fixture *f, const unsigned *counter, unsigned at_least, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (*counter < at_least && clock_monotonic_ms() <= end) {
        loop_run_once(f->loop, false);
        (void)poll(NULL, 0, 1);
    }
    return *counter >= at_least;
}

double refused(const struct fixture *f, const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    struct metric *metric = metrics_find(f->metrics, "gw_refused_total", labels);
    assert_non_null(metric);
    return metric_read(metric);
}
