/*
 * Listening sockets and what all connections of a port share: limits, the
 * timer wheel, counters.
 *
 * Our own sockets instead of libwebsockets' listener, because its SO_REUSEPORT
 * is compiled out of the packaged build (a second process could not bind) and
 * because it sets no SO_SNDBUF: one stalled viewer could pin megabytes of kernel
 * memory. The HTTP half is ours as well (http.c); ws_plain.c says why.
 */
#include "io/listener.h"

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

#include "base/clock.h"
#include "base/log.h"
#include "io/connection.h"
#include "io/request.h"
#include "protocol/bytes.h"

enum {
    ACCEPTS_PER_TURN = 64,
    ACCEPT_SLICE_US = 2000,    /* and for no longer than this: those already connected are waiting */
    ACCEPT_BURST_MS = 100,     /* how much of listen.accepts_per_s may come at once */
    ACCEPT_PAUSE_MIN_MS = 10,  /* wait for this much of it, not for one connection at a time */
    DRAIN_ACCEPTS_MAX = 65536, /* taken in before the listening socket is closed */
    WHEEL_TICK_MS = 100,
    RATES_MAX = 16384, /* addresses, of 150 bytes each */
    RATE_BURST_S = 4,  /* so many seconds' worth at once: a page with all it needs */
    TLS_TICK_MS = 5000,
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 15,
    DESCRIPTORS_RESERVED = 512, /* for all that is no connection of a port: upstreams, files, the loop */
};

static const char *const kind_labels[KIND_COUNT] = {"kind=\"http\"", "kind=\"ws\"", "kind=\"sse\""};
static const char admin_kind_label[] = "kind=\"admin\""; /* of all connections of such a port */

static const char *const refusal_labels[REFUSED_COUNT] = {
    [REFUSED_MAX_CONNECTIONS] = "reason=\"max_connections\"",
    [REFUSED_MAX_PER_ADDRESS] = "reason=\"max_per_address\"",
    [REFUSED_RATE_PER_ADDRESS] = "reason=\"rate_per_address\"",
    [REFUSED_UNTRUSTED_PROXY] = "reason=\"untrusted_proxy\"",
    [REFUSED_PROXY_HEADER] = "reason=\"proxy_header\"",
    [REFUSED_HOST] = "reason=\"host\"",
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
    [HUNG_UP_IDLE] = "reason=\"idle\"",
};

static const char *const inflate_labels[INFLATE_RESULT_COUNT] = {
    [INFLATED] = "result=\"ok\"",
    [INFLATE_MALFORMED] = "result=\"malformed\"",
    [INFLATE_TOO_BIG] = "result=\"too_big\"",
    [INFLATE_NO_MEMORY] = "result=\"no_memory\"",
};

/** What the ports of a process would overwrite for each other; what they count adds up. */
static void register_gauges(struct listener *listener, struct metrics *metrics)
{
    listener->uses_io_uring =
        metrics_gauge(metrics, "gw_io_uring", NULL, "1 while frames for many viewers leave by io_uring.");
    listener->accept_waiting = metrics_gauge(
        metrics, "gw_accept_waiting", NULL,
        "Connections in the kernel's queue when accepting last paused; 0 once it was found empty.");
    listener->address_count =
        metrics_gauge(metrics, "gw_addresses", NULL,
                      "Peer addresses with connections; 0 while listen.max_connections_per_address is off.");
    listener->rate_count =
        metrics_gauge(metrics, "gw_rate_addresses", NULL,
                      "Addresses whose rate is kept; 0 while listen.requests_per_s_per_address is off.");
    listener->rates_forgotten =
        metrics_counter(metrics, "gw_rate_addresses_forgotten_total", NULL,
                        "Addresses whose rate was forgotten to make room for others.");
}

static void register_metrics(struct listener *listener, struct metrics *metrics)
{
    static const char *const code_labels[] = {"code=\"1xx\"", "code=\"2xx\"", "code=\"3xx\"", "code=\"4xx\"",
                                              "code=\"5xx\""};
    static const char connections_help[] = "Open connections.";
    if (listener->options.is_admin) {
        listener->connections[KIND_HTTP] =
            metrics_gauge(metrics, "gw_connections", admin_kind_label, connections_help);
    } else {
        register_gauges(listener, metrics);
        for (unsigned i = 0; i < KIND_COUNT; i++) {
            listener->connections[i] =
                metrics_gauge(metrics, "gw_connections", kind_labels[i], connections_help);
        }
    }
    listener->accepted = metrics_counter(metrics, "gw_accepted_total", NULL, "Connections accepted.");
    listener->merged_frames =
        metrics_counter(metrics, "gw_merged_frames_total", NULL,
                        "Frames that left in one write with an earlier one of their viewer.");
    for (unsigned i = 0; i < INFLATE_RESULT_COUNT; i++) {
        listener->inflated[i] = metrics_counter(metrics, "gw_inflate_total", inflate_labels[i],
                                                "Compressed messages from viewers, by what became of them.");
    }
    listener->accept_pause_seconds =
        metrics_histogram(metrics, "gw_accept_pause_seconds", NULL,
                          "Pauses in accepting, for listen.accepts_per_s, in seconds.",
                          METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    listener->handshakes_put_off =
        metrics_counter(metrics, "gw_tls_handshakes_put_off_total", NULL,
                        "Times that a TLS handshake waited for the next turn, because those of this one had "
                        "taken long enough.");
    for (unsigned i = 0; i < REFUSED_COUNT; i++) {
        listener->refused[i] = metrics_counter(metrics, "gw_refused_total", refusal_labels[i],
                                               "Connections, handshakes and requests refused, by reason.");
    }
    for (unsigned i = 0; i < HUNG_UP_COUNT; i++) {
        listener->hung_up[i] = metrics_counter(
            metrics, "gw_hung_up_total", hang_up_labels[i],
            "Peers given up on: left an HTTP answer unread, left pings unanswered, or sent no "
            "request.");
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

/* Accepting. */

static void set_int_option(int fd, int level, int option, int value)
{
    /* An option the kernel refuses costs comfort, never correctness. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/**
 * What accepted sockets are to have is set once, on the listening one: Linux hands all of these down. Set on each
 * accepted socket they were six system calls for every connection.
 */
static void tune_listening(const struct listener *listener, int fd)
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

struct turned_away {
    enum refusal refusal;
    const char *status; /* and title */
    const char *body;
};

static const struct turned_away too_many = {
    .refusal = REFUSED_MAX_CONNECTIONS,
    .status = "503 Service Unavailable",
    .body = "{\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"unavailable\","
            "\"detail\":\"too many connections\"}",
};

static const struct turned_away too_many_from_there = {
    .refusal = REFUSED_MAX_PER_ADDRESS,
    .status = "429 Too Many Requests",
    .body = "{\"title\":\"Too Many Requests\",\"status\":429,\"code\":\"too_many_connections\","
            "\"detail\":\"too many connections from this address\"}",
};

static const struct turned_away too_fast = {
    .refusal = REFUSED_RATE_PER_ADDRESS,
    .status = "429 Too Many Requests",
    .body = "{\"title\":\"Too Many Requests\",\"status\":429,\"code\":\"rate_limited\","
            "\"detail\":\"too many requests from this address\"}",
};

/** What exchange answers look like, without an exchange: there is no room for one. */
static void append_turned_away(const struct listener *listener, const struct turned_away *why,
                               struct bytes *out)
{
    bytes_append_format(out, "HTTP/1.1 %s\r\n", why->status);
    bytes_append_text(out, "Retry-After: 5\r\nCache-Control: no-store\r\n"
                           "Content-Type: application/problem+json\r\nConnection: close\r\n");
    const char *const *extra = listener->options.extra_headers;
    for (; extra != NULL && *extra != NULL; extra++) {
        bytes_append_text(out, *extra);
        bytes_append_text(out, "\r\n");
    }
    bytes_append_format(out, "Content-Length: %zu\r\n\r\n%s", strlen(why->body), why->body);
}

static void turn_away(struct listener *listener, int fd, const struct turned_away *why)
{
    listener_refused(listener, why->refusal);
    /* Over TLS the words would need a handshake, which costs what we do not have. */
    if (listener->options.tls != NULL) {
        (void)close(fd);
        return;
    }
    struct bytes answer;
    bytes_init(&answer, 4096);
    append_turned_away(listener, why, &answer);
    /* Courtesies both: with its request unread the close would be a reset, which may destroy the answer. */
    (void)recv(fd, NULL, REQUEST_HEAD_MAX_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (!bytes_failed(&answer)) {
        (void)send(fd, answer.at, answer.length, MSG_DONTWAIT | MSG_NOSIGNAL);
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
        turn_away(listener, fd, &too_many);
    }
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

uint64_t listener_rate_wait_us(struct listener *listener, const struct ip_address *client, uint32_t tokens)
{
    struct rate_table *rates = &listener->rates;
    uint64_t forgotten = rates->forgotten;
    uint64_t wait_us = rate_table_take(rates, client, tokens, clock_monotonic_us());
    metric_set(listener->rate_count, (double)rates->addresses.count);
    metric_add(listener->rates_forgotten, rates->forgotten - forgotten);
    return wait_us;
}

enum result listener_address_came(struct listener *listener, const struct ip_address *client,
                                  struct address **out_address)
{
    enum result result = address_table_enter(&listener->addresses, client, out_address);
    if (result == RESULT_OK && *out_address != NULL) {
        metric_set(listener->address_count, (double)listener->addresses.addresses.count);
    }
    return result;
}

void listener_address_left(struct listener *listener, struct address *address)
{
    if (address != NULL) {
        address_table_leave(&listener->addresses, address);
        metric_set(listener->address_count, (double)listener->addresses.addresses.count);
    }
}

/** Serve it, or turn it away. A proxy is nobody's address: whom it serves is counted when that is known. */
static void admit(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct arrival arrival = {.fd = fd, .from = ip_address_of_socket(peer)};
    arrival.is_proxy = trusted_networks_contain(&listener->trusted, &arrival.from);
    if (listener->options.takes_proxy_protocol && !arrival.is_proxy) {
        listener_refused(listener, REFUSED_UNTRUSTED_PROXY);
        (void)close(fd);
        return;
    }
    if (listener_connection_count(listener) >= listener->max_connections) {
        turn_away(listener, fd, &too_many);
        return;
    }
    if (!arrival.is_proxy) {
        if (listener_rate_wait_us(listener, &arrival.from, 1) > 0) {
            turn_away(listener, fd, &too_fast);
            return;
        }
        enum result result = listener_address_came(listener, &arrival.from, &arrival.address);
        if (result != RESULT_OK) {
            turn_away(listener, fd, result == RESULT_TOO_MANY ? &too_many_from_there : &too_many);
            return;
        }
    }
    metric_add(listener->accepted, 1);
    http_serve(listener, &arrival);
}

/** False when the queue is empty. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            return accept_with_spare(listener);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    admit(listener, fd, &peer);
    return true;
}

/** What the kernel says about a listening socket: connections in its queue, and how many that takes. */
static void read_queue(const struct listener *listener, uint32_t *out_waiting, uint32_t *out_most)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    (void)getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &length); /* a TCP socket has this */
    *out_waiting = info.tcpi_unacked;
    *out_most = info.tcpi_sacked;
}

/* Out of tokens. Nothing is refused: who comes now waits in the kernel's queue, which costs us nothing meanwhile. */
static void pause_accepting(struct listener *listener, uint64_t now_us)
{
    uint32_t waiting = 0, most = 0;
    uint32_t tokens = listener->options.accepts_per_s * ACCEPT_PAUSE_MIN_MS / 1000;
    uint64_t wait_us = token_bucket_wait_us(&listener->accepts, tokens > 0 ? tokens : 1, now_us);
    read_queue(listener, &waiting, &most);
    metric_set(listener->accept_waiting, waiting);
    listener->paused_us = now_us;
    loop_watch_change(listener->watch, 0);
    loop_timer_arm(listener->accept_timer, wait_us / 1000 + 1);
}

static void on_accept_timer(void *context)
{
    struct listener *listener = context;
    metric_observe(listener->accept_pause_seconds,
                   (double)(clock_monotonic_us() - listener->paused_us) / 1e6);
    loop_watch_change(listener->watch, LOOP_READABLE);
}

static void accept_slice(void *context)
{
    struct listener *listener = context;
    uint64_t now_us = clock_monotonic_us();
    uint64_t end_us = now_us + ACCEPT_SLICE_US;
    for (int i = 0; i < ACCEPTS_PER_TURN && listener->fd >= 0 && now_us < end_us; i++) {
        if (token_bucket_wait_us(&listener->accepts, 1, now_us) > 0) {
            pause_accepting(listener, now_us);
            return;
        }
        if (!accept_one(listener)) {
            metric_set(listener->accept_waiting, 0);
            return;
        }
        (void)token_bucket_take(&listener->accepts, now_us); /* only now: an empty queue costs none */
        now_us = clock_monotonic_us();
    }
}

/*
 * At the end of the turn, for two reasons: what connected viewers have sent comes first, and libuv goes through
 * all events of the turn that are still to be handled whenever a watch is closed (4 % of a storm's time).
 */
static void on_acceptable(void *context, int events, bool failed)
{
    (void)events;
    (void)failed; /* accept says what is wrong */
    struct listener *listener = context;
    loop_defer(listener->loop, &listener->accepting, accept_slice, listener);
}

/* Life cycle. */

static void on_tls_due(void *owner)
{
    struct listener *listener = owner;
    tls_tick(listener->options.tls);
    deadline_arm(listener, &listener->tls_deadline, TLS_TICK_MS);
}

/* The configuration was checked: what cannot be read, or is too much, is our own mistake. */
static void read_trusted(struct listener *listener)
{
    const char *const *texts = listener->options.trusted_proxies;
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        assert(i < TRUSTED_NETWORKS_MAX);
        bool is_read = ip_network_parse(texts[i], &listener->trusted.networks[i]);
        assert(is_read);
        listener->trusted.count += is_read ? 1 : 0;
    }
}

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
    listener->max_connections = options->max_connections;
    read_trusted(listener);
    listener->fd = -1;
    listener->spare_fd = -1;
    listener->wheel_wakes_ms = UINT64_MAX;
    list_init(&listener->exchanges);
    loop_update_now(loop);
    wheel_init(&listener->wheel, WHEEL_TICK_MS, loop_now_ms(loop));
    deadline_init(&listener->tls_deadline, on_tls_due, listener);
    listener->wheel_timer = loop_timer_create(loop, on_wheel_timer, listener);
    listener->accept_timer = loop_timer_create(loop, on_accept_timer, listener);
    rate_table_init(&listener->rates, RATES_MAX, options->requests_per_s_per_address,
                    options->requests_per_s_per_address * RATE_BURST_S);
    address_table_init(&listener->addresses, options->max_connections > 0 ? options->max_connections : 1,
                       options->max_connections_per_address);
    if (listener->wheel_timer == NULL || listener->accept_timer == NULL) {
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
    assert(!listener->options.is_admin);
    assert(route->subprotocol != NULL && strlen(route->subprotocol) < 64);
    listener->ws_routes[listener->ws_route_count++] = *route;
}

static int open_socket(const struct listener *listener, const struct addrinfo *address)
{
    int backlog = listener->options.backlog > 0 ? (int)listener->options.backlog : SOMAXCONN;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->ai_family == AF_INET6) {
        set_int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* "::" also means every IPv4 address */
    }
    tune_listening(listener, fd);
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
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
    listener->fd = open_socket(listener, found);
    int error = errno;
    freeaddrinfo(found);
    if (listener->fd < 0) {
        log_error("listen failed", LOG_TEXT("host", listener->options.host),
                  LOG_INT("port", listener->options.port), LOG_TEXT("err", strerror(error)));
        return RESULT_IO;
    }
    socklen_t length = sizeof listener->address;
    /* A bound socket has a name. */
    (void)getsockname(listener->fd, (struct sockaddr *)&listener->address, &length);
    listener->doors = (struct doors){.origins = listener->options.allowed_origins,
                                     .hosts = listener->options.allowed_hosts,
                                     .is_local = listener_is_loopback(listener)};
    uint32_t waiting = 0, most = 0;
    read_queue(listener, &waiting, &most);
    if (most < listener->options.backlog) {
        log_warn("listen.backlog is more than the system allows (net.core.somaxconn), continuing",
                 LOG_INT("backlog", listener->options.backlog), LOG_INT("most", most));
    }
    return RESULT_OK;
}

/*
 * The soft limit becomes what the connections need, up or down. Not more: libwebsockets sizes its tables by it when its
 * context is created, and the packaged library looks through one of them, all of it, at each connection that comes or
 * goes: with 20,000 entries a tenth of the time of 9,000 handshakes, and the limit of a container is often a million.
 */
static void fit_descriptor_limit(struct listener *listener)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return; /* then the present limit holds */
    }
    rlim_t wanted = (rlim_t)listener->options.max_connections + listener->options.other_connections +
                    DESCRIPTORS_RESERVED;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_warn("descriptor limit not changed, continuing", LOG_TEXT("err", strerror(errno)));
        (void)getrlimit(RLIMIT_NOFILE, &limit); /* it just worked */
    }
    if (limit.rlim_cur < wanted) {
        /* Turned away with an answer, and with descriptors left for upstreams to be reached again. */
        rlim_t rest = limit.rlim_cur / 2;
        rlim_t room = limit.rlim_cur > DESCRIPTORS_RESERVED ? limit.rlim_cur - DESCRIPTORS_RESERVED : 0;
        room = room > rest ? room : rest;
        if (room < listener->max_connections) {
            listener->max_connections = (uint32_t)room;
        }
        log_warn(
            "descriptor limit (RLIMIT_NOFILE) is too low for listen.max_connections, fewer are let in, continuing",
            LOG_INT("limit", limit.rlim_cur), LOG_INT("needed", wanted),
            LOG_INT("max_connections", listener->max_connections));
    }
}

enum result listener_start(struct listener *listener)
{
    fit_descriptor_limit(listener);
    if (!listener->options.is_admin && !ws_service_start(listener)) {
        return RESULT_IO;
    }
    enum result result = bind_address(listener);
    if (result != RESULT_OK) {
        return result;
    }
    uint32_t burst = listener->options.accepts_per_s / (1000 / ACCEPT_BURST_MS);
    token_bucket_init(&listener->accepts, listener->options.accepts_per_s, burst > 0 ? burst : 1,
                      clock_monotonic_us());
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    listener->watch = loop_watch_create(listener->loop, listener->fd, LOOP_READABLE, on_acceptable, listener);
    if (listener->watch == NULL) {
        listener_stop_accepting(listener);
        return RESULT_NO_MEMORY;
    }
    if (listener->options.tls != NULL) {
        deadline_arm(listener, &listener->tls_deadline, TLS_TICK_MS);
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
    struct ip_address address = ip_address_of_socket(&listener->address);
    return ip_address_is_loopback(&address);
}

void listener_stop_accepting(struct listener *listener)
{
    listener->is_draining = true;
    if (listener->fd < 0) {
        return;
    }
    if (listener->watch != NULL) {
        /*
         * Closing resets what waits in the queue: take it in first, tokens or not. What comes meanwhile may not keep
         * us here.
         */
        for (int i = 0; i < DRAIN_ACCEPTS_MAX && accept_one(listener); i++) {
        }
    }
    loop_cancel_deferred(listener->loop, &listener->accepting);
    loop_timer_disarm(listener->accept_timer);
    loop_watch_destroy(listener->watch);
    listener->watch = NULL;
    (void)close(listener->fd);
    listener->fd = -1;
}

uint32_t listener_max_connections(const struct listener *listener)
{
    return listener->max_connections;
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
    address_table_finish(&listener->addresses);
    rate_table_finish(&listener->rates);
    loop_timer_destroy(listener->wheel_timer);
    loop_timer_destroy(listener->accept_timer);
    if (listener->spare_fd >= 0) {
        (void)close(listener->spare_fd);
    }
    free(listener);
}
