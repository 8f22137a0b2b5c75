/*
 * Listening sockets and what all connections of a port share: limits, the
 * timer wheel, counters.
 *
 * Our own sockets instead of libwebsockets' listener, because its SO_REUSEPORT
 * is compiled out of the packaged build (a second process could not bind) and
 * because it sets no SO_SNDBUF: one stalled viewer could pin megabytes of kernel
 * memory. The HTTP half is ours as well (http.c); ws.c says why.
 */
#include "io/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "io/connection.h"
#include "protocol/bytes.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    WHEEL_TICK_MS = 100,
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 15,
    DESCRIPTORS_CEILING =
        1 << 20, /* libwebsockets allocates tables by this limit; "unlimited" would be gigabytes */
};

static const char *const kind_labels[KIND_COUNT] = {"kind=\"http\"", "kind=\"ws\"", "kind=\"sse\""};

static const char *const refusal_labels[REFUSED_COUNT] = {
    [REFUSED_MAX_CONNECTIONS] = "reason=\"max_connections\"",
    [REFUSED_ORIGIN] = "reason=\"origin\"",
    [REFUSED_HANDSHAKE] = "reason=\"handshake\"",
    [REFUSED_NOT_FOUND] = "reason=\"not_found\"",
    [REFUSED_METHOD] = "reason=\"method\"",
    [REFUSED_LENGTH_REQUIRED] = "reason=\"length_required\"",
    [REFUSED_TOO_BIG] = "reason=\"too_big\"",
    [REFUSED_MEDIA_TYPE] = "reason=\"media_type\"",
    [REFUSED_EXPECTATION] = "reason=\"expectation\"",
    [REFUSED_MALFORMED] = "reason=\"malformed\"",
    [REFUSED_TIMEOUT] = "reason=\"timeout\"",
    [REFUSED_OVERLOADED] = "reason=\"overloaded\"",
    [REFUSED_BY_ROUTE] = "reason=\"route\"",
};

static const char *const hang_up_labels[HUNG_UP_COUNT] = {
    [HUNG_UP_UNREAD] = "reason=\"unread\"",
    [HUNG_UP_SILENT] = "reason=\"silent\"",
};

static void register_metrics(struct listener *listener, struct metrics *metrics)
{
    static const char *const code_labels[] = {"code=\"1xx\"", "code=\"2xx\"", "code=\"3xx\"", "code=\"4xx\"",
                                              "code=\"5xx\""};
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        listener->connections[i] =
            metrics_gauge(metrics, "gw_connections", kind_labels[i], "Open connections.");
    }
    listener->accepted = metrics_counter(metrics, "gw_accepted_total", NULL, "Connections accepted.");
    listener->merged_frames =
        metrics_counter(metrics, "gw_merged_frames_total", NULL,
                        "Frames that left in one write with an earlier one of their viewer.");
    listener->uses_io_uring =
        metrics_gauge(metrics, "gw_io_uring", NULL, "1 while frames for many viewers leave by io_uring.");
    for (unsigned i = 0; i < REFUSED_COUNT; i++) {
        listener->refused[i] = metrics_counter(metrics, "gw_refused_total", refusal_labels[i],
                                               "Connections, handshakes and requests refused, by reason.");
    }
    for (unsigned i = 0; i < HUNG_UP_COUNT; i++) {
        listener->hung_up[i] =
            metrics_counter(metrics, "gw_hung_up_total", hang_up_labels[i],
                            "Peers given up on: left an HTTP answer unread, or left pings unanswered.");
    }
    for (unsigned i = 0; i < 5; i++) {
        listener->requests[i] = metrics_counter(metrics, "gw_http_requests_total", code_labels[i],
                                                "HTTP requests answered, by status class.");
    }
    listener->seconds = metrics_histogram(metrics, "gw_http_seconds", NULL,
                                          "From the complete request to its answer, in seconds.",
                                          METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
}

void listener_count(struct listener *listener, enum connection_kind kind, int change)
{
    listener->counts[kind] += (uint32_t)change;
    metric_set(listener->connections[kind], listener->counts[kind]);
}

void listener_refused(struct listener *listener, enum refusal refusal)
{
    metric_add(listener->refused[refusal], 1);
}

void listener_hung_up(struct listener *listener, enum hang_up why)
{
    metric_add(listener->hung_up[why], 1);
}

/* The wheel. */

static void on_wheel_entry(void *context, struct wheel_entry *entry)
{
    (void)context;
    struct deadline *deadline = LIST_ITEM(entry, struct deadline, entry);
    deadline->on_due(deadline->owner);
}

static void wake_wheel(struct listener *listener)
{
    uint64_t due_ms = wheel_next_due_ms(&listener->wheel);
    if (due_ms >= listener->wheel_wakes_ms) {
        return;
    }
    uint64_t now_ms = loop_now_ms(listener->loop);
    listener->wheel_wakes_ms = due_ms;
    loop_timer_arm(listener->wheel_timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void on_wheel_timer(void *context)
{
    struct listener *listener = context;
    listener->wheel_wakes_ms = UINT64_MAX;
    wheel_run(&listener->wheel, loop_now_ms(listener->loop), on_wheel_entry, listener);
    wake_wheel(listener);
}

void deadline_init(struct deadline *deadline, loop_fn *on_due, void *owner)
{
    wheel_entry_init(&deadline->entry);
    deadline->on_due = on_due;
    deadline->owner = owner;
}

void deadline_arm(struct listener *listener, struct deadline *deadline, uint64_t delay_ms)
{
    uint64_t due_ms = loop_now_ms(listener->loop) + delay_ms;
    wheel_arm(&listener->wheel, &deadline->entry, due_ms);
    /* The common case, a deadline later than the next wake-up, costs no scan of the wheel. */
    if (due_ms < listener->wheel_wakes_ms) {
        wake_wheel(listener);
    }
}

void deadline_disarm(struct listener *listener, struct deadline *deadline)
{
    wheel_disarm(&listener->wheel, &deadline->entry);
}

/* Addresses. */

static bool ipv4_is_loopback(const unsigned char bytes[4])
{
    return bytes[0] == 127;
}

bool address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)address;
        return ipv4_is_loopback((const unsigned char *)&in4->sin_addr);
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && ipv4_is_loopback(in6->sin6_addr.s6_addr + 12));
    }
    return false;
}

static void address_text(const struct sockaddr_storage *address, char out_text[PEER_TEXT_BYTES])
{
    const void *bytes = NULL;
    int family = address->ss_family;
    if (family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        bytes = in6;
        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            bytes = in6->s6_addr + 12;
            family = AF_INET;
        }
    }
    if (bytes == NULL || inet_ntop(family, bytes, out_text, PEER_TEXT_BYTES) == NULL) {
        out_text[0] = '\0';
    }
}

void peer_address_text(int fd, char out_text[PEER_TEXT_BYTES])
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    out_text[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
        address_text(&address, out_text);
    }
}

/* Accepting. */

static void set_int_option(int fd, int level, int option, int value)
{
    /* An option the kernel refuses costs comfort, never correctness. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static void tune_accepted(const struct listener *listener, int fd)
{
    set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int_option(fd, SOL_SOCKET, SO_SNDBUF, (int)listener->options.send_buffer_bytes);
    set_int_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_int_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    /*
     * Also bounds a peer that keeps its window shut although its kernel answers,
     * so it must not be shorter than the time a viewer may stop reading.
     */
    set_int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)listener->options.hang_up_after_s * 1000);
}

/** What exchange answers look like, without an exchange: there is no room for one. */
static void append_full(const struct listener *listener, struct bytes *out)
{
    static const char body[] = "{\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"unavailable\","
                               "\"detail\":\"too many connections\"}";
    bytes_append_text(out, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nCache-Control: no-store\r\n"
                           "Content-Type: application/problem+json\r\nConnection: close\r\n");
    const char *const *extra = listener->options.extra_headers;
    for (; extra != NULL && *extra != NULL; extra++) {
        bytes_append_text(out, *extra);
        bytes_append_text(out, "\r\n");
    }
    bytes_append_format(out, "Content-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
}

static void refuse_full(struct listener *listener, int fd)
{
    struct bytes answer;
    bytes_init(&answer, 4096);
    append_full(listener, &answer);
    listener_refused(listener, REFUSED_MAX_CONNECTIONS);
    if (!bytes_failed(&answer)) {
        (void)send(fd, answer.at, answer.length, MSG_DONTWAIT | MSG_NOSIGNAL); /* a courtesy */
    }
    bytes_finish(&answer);
    (void)close(fd);
}

/** Out of descriptors: accept with the spare one and hang up, or the loop would spin on the same connection. */
static bool accept_with_spare(struct listener *listener)
{
    if (listener->spare_fd >= 0) {
        (void)close(listener->spare_fd);
    }
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        refuse_full(listener, fd);
    }
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/** False when the queue is empty. */
static bool accept_one(struct listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            return accept_with_spare(listener);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (listener_connection_count(listener) >= listener->options.max_connections) {
        refuse_full(listener, fd);
        return true;
    }
    metric_add(listener->accepted, 1);
    tune_accepted(listener, fd);
    http_serve(listener, fd);
    return true;
}

static void on_acceptable(void *context, int events, bool failed)
{
    (void)events;
    (void)failed; /* accept says what is wrong */
    struct listener *listener = context;
    for (int i = 0; i < ACCEPTS_PER_TURN && listener->fd >= 0; i++) {
        if (!accept_one(listener)) {
            break;
        }
    }
}

/* Life cycle. */

struct listener *listener_create(struct loop *loop, struct metrics *metrics,
                                 const struct listener_options *options)
{
    assert(options->hang_up_after_s > options->ping_after_s);
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        log_error("listener failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    listener->loop = loop;
    listener->options = *options;
    listener->fd = -1;
    listener->spare_fd = -1;
    listener->wheel_wakes_ms = UINT64_MAX;
    list_init(&listener->exchanges);
    loop_update_now(loop);
    wheel_init(&listener->wheel, WHEEL_TICK_MS, loop_now_ms(loop));
    listener->wheel_timer = loop_timer_create(loop, on_wheel_timer, listener);
    if (listener->wheel_timer == NULL) {
        log_error("listener failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        listener_destroy(listener);
        return NULL;
    }
    register_metrics(listener, metrics);
    return listener;
}

void listener_add_http(struct listener *listener, const struct http_route *route)
{
    assert(listener->route_count < LISTENER_ROUTES_MAX && listener->ws_service == NULL);
    assert(route->pattern[0] == '/' && route->on_request != NULL);
    listener->routes[listener->route_count++] = *route;
}

void listener_add_ws(struct listener *listener, const struct ws_route *route)
{
    assert(listener->ws_route_count < WS_ROUTES_MAX && listener->ws_service == NULL);
    assert(route->subprotocol != NULL && strlen(route->subprotocol) < 64);
    listener->ws_routes[listener->ws_route_count++] = *route;
}

static int open_socket(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->ai_family == AF_INET6) {
        set_int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* "::" also means every IPv4 address */
    }
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static enum result bind_address(struct listener *listener)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)listener->options.port); /* at most 5 digits */
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(listener->options.host, port, &hints, &found);
    if (status != 0) {
        log_error("listen failed", LOG_TEXT("host", listener->options.host),
                  LOG_INT("port", listener->options.port), LOG_TEXT("err", gai_strerror(status)));
        return RESULT_IO;
    }
    listener->fd = open_socket(found);
    int error = errno;
    freeaddrinfo(found);
    if (listener->fd < 0) {
        log_error("listen failed", LOG_TEXT("host", listener->options.host),
                  LOG_INT("port", listener->options.port), LOG_TEXT("err", strerror(error)));
        return RESULT_IO;
    }
    socklen_t length = sizeof listener->address;
    (void)getsockname(listener->fd, (struct sockaddr *)&listener->address,
                      &length); /* a bound socket has a name */
    return RESULT_OK;
}

/** libwebsockets sizes its tables by the soft limit when its context is created. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return; /* then the present limit holds */
    }
    rlim_t wanted = limit.rlim_max < DESCRIPTORS_CEILING ? limit.rlim_max : DESCRIPTORS_CEILING;
    if (limit.rlim_cur != wanted) {
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            log_warn("descriptor limit not raised, continuing", LOG_TEXT("err", strerror(errno)));
        }
    }
}

enum result listener_start(struct listener *listener)
{
    raise_descriptor_limit();
    if (!ws_service_start(listener)) {
        return RESULT_IO;
    }
    enum result result = bind_address(listener);
    if (result != RESULT_OK) {
        return result;
    }
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    listener->watch = loop_watch_create(listener->loop, listener->fd, LOOP_READABLE, on_acceptable, listener);
    if (listener->watch == NULL) {
        listener_stop_accepting(listener);
        return RESULT_NO_MEMORY;
    }
    return RESULT_OK;
}

uint16_t listener_port(const struct listener *listener)
{
    const struct sockaddr_storage *address = &listener->address;
    if (address->ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

bool listener_is_loopback(const struct listener *listener)
{
    return address_is_loopback(&listener->address);
}

void listener_stop_accepting(struct listener *listener)
{
    listener->is_draining = true;
    if (listener->fd < 0) {
        return;
    }
    if (listener->watch != NULL) {
        /* Closing resets what waits in the queue: take it in first. What comes meanwhile may not keep us here. */
        for (int i = 0; i < BACKLOG && accept_one(listener); i++) {
        }
    }
    loop_watch_destroy(listener->watch);
    listener->watch = NULL;
    (void)close(listener->fd);
    listener->fd = -1;
}

uint32_t listener_connection_count(const struct listener *listener)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        count += listener->counts[i];
    }
    return count;
}

uint32_t listener_busy_count(const struct listener *listener)
{
    return http_busy_count(listener);
}

void listener_destroy(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_stop_accepting(listener);
    http_close_all(listener);
    ws_service_stop(listener);
    loop_timer_destroy(listener->wheel_timer);
    if (listener->spare_fd >= 0) {
        (void)close(listener->spare_fd);
    }
    free(listener);
}
