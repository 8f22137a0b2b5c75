/*
 * GETs of one target at a fixed rate over kept-alive connections, and how long the answers took.
 *
 *     http_gets --port PORT --target /PATH [--rate 1000] [--seconds 10] [--connections 16] [--must TEXT]...
 *
 * Times count from when a request was due, not from when it could be sent: a server that falls behind makes the later
 * requests late, and those are the ones it must answer for. Requests that are due while every connection waits are sent
 * as soon as one is free. Every answer must be a 200 with a Content-Length and hold each TEXT.
 *
 * Prints one line of JSON; "sent_late_p99_ms" is how much of the time had passed when a request was sent, which is what
 * this program and the machine add. Ends with 0; with 1 when a connection broke or an answer was not as it must be;
 * with 2 for a wrong command line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    ANSWER_BYTES_MAX = 1 << 18,
    REQUEST_BYTES_MAX = 2048,
    CONNECTIONS_MAX = 1000,
    MUST_MAX = 8,
    EVENTS = 64,
    SILENCE_NS = 1000000000, /* of this many, SILENCES in a row end the run */
    SILENCES = 10,
};

struct gets_options {
    uint64_t port;
    const char *target;
    uint64_t rate;
    uint64_t seconds;
    uint64_t connections;
    const char *must[MUST_MAX];
    size_t must_count;
};

struct connection {
    int fd;
    uint64_t due_ns; /* of the request it waits for */
    size_t length;   /* of what has come of the answer */
    char *answer;    /* ANSWER_BYTES_MAX */
};

struct gets {
    const struct gets_options *options;
    char request[REQUEST_BYTES_MAX];
    size_t request_length;
    int epoll;
    struct connection *connections;
    struct connection **free; /* a stack */
    size_t free_count;
    uint64_t began_ns;
    uint64_t wanted;
    uint64_t asked;
    uint64_t answered;
    uint64_t wrong; /* answers that lack what they must hold */
    size_t answer_bytes;
    uint32_t *took_us; /* `answered` of them */
    uint32_t *late_us; /* `asked` of them */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool complain(const char *what)
{
    fprintf(stderr, "http_gets: %s: %s\n", what, strerror(errno));
    return false;
}

/* ---- asking ---- */

static uint64_t due_ns(const struct gets *gets, uint64_t request)
{
    return gets->began_ns + request * 1000000000 / gets->options->rate;
}

static bool connection_open(struct gets *gets, struct connection *connection)
{
    const int on = 1;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)gets->options->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connection->answer = malloc(ANSWER_BYTES_MAX);
    if (connection->fd < 0 || !connection->answer ||
        connect(connection->fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(gets->epoll, EPOLL_CTL_ADD, connection->fd, &wanted) != 0) {
        return complain("connect");
    }
    gets->free[gets->free_count++] = connection;
    return true;
}

/* Sends what is due, as far as connections are free. */
static bool gets_ask(struct gets *gets)
{
    uint64_t now = now_ns();
    while (gets->free_count > 0 && gets->asked < gets->wanted && due_ns(gets, gets->asked) <= now) {
        struct connection *connection = gets->free[--gets->free_count];
        connection->due_ns = due_ns(gets, gets->asked);
        connection->length = 0;
        gets->late_us[gets->asked++] = (uint32_t)((now - connection->due_ns) / 1000);
        /* One small request on an idle connection: it is taken whole or the connection is broken. */
        if (send(connection->fd, gets->request, gets->request_length, MSG_NOSIGNAL) !=
            (ssize_t)gets->request_length) {
            return complain("send");
        }
    }
    return true;
}

/* ---- listening ---- */

/* Length of the whole answer, 0 when its head is not there yet; false when it is no answer that can be read. */
static bool answer_measure(const struct connection *connection, size_t *out_length)
{
    static const char status[] = "HTTP/1.1 200 ", name[] = "\r\ncontent-length:";
    const char *end = memmem(connection->answer, connection->length, "\r\n\r\n", 4);
    if (!end) {
        *out_length = 0;
        return connection->length < ANSWER_BYTES_MAX;
    }
    if (memcmp(connection->answer, status, sizeof status - 1) != 0) {
        return false;
    }
    for (const char *at = connection->answer; at < end; at++) {
        if (*at == '\r' && strncasecmp(at, name, sizeof name - 1) == 0) {
            unsigned long long length = strtoull(at + sizeof name - 1, NULL, 10);
            size_t head = (size_t)(end + 4 - connection->answer);
            *out_length = head + (size_t)length;
            return length <= ANSWER_BYTES_MAX - head;
        }
    }
    return false;
}

static bool answer_holds(const struct gets *gets, const struct connection *connection)
{
    for (size_t i = 0; i < gets->options->must_count; i++) {
        const char *must = gets->options->must[i];
        if (!memmem(connection->answer, connection->length, must, strlen(must))) {
            return false;
        }
    }
    return true;
}

static void answer_take(struct gets *gets, struct connection *connection, uint64_t now)
{
    gets->took_us[gets->answered++] = (uint32_t)((now - connection->due_ns) / 1000);
    gets->wrong += !answer_holds(gets, connection);
    gets->answer_bytes = connection->length;
    connection->length = 0;
    gets->free[gets->free_count++] = connection;
}

static bool connection_read(struct gets *gets, struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->answer + connection->length,
                       ANSWER_BYTES_MAX - connection->length, MSG_DONTWAIT);
    uint64_t now = now_ns();
    if (got < 0 && errno == EAGAIN) {
        return true;
    }
    if (got <= 0) {
        errno = got == 0 ? ECONNRESET : errno;
        return complain("recv");
    }
    connection->length += (size_t)got;
    size_t whole = 0;
    if (!answer_measure(connection, &whole) || (whole > 0 && connection->length > whole)) {
        fprintf(stderr, "http_gets: an answer cannot be used: %.*s\n",
                (int)(connection->length < 200 ? connection->length : 200), connection->answer);
        return false;
    }
    if (whole > 0 && connection->length == whole) {
        answer_take(gets, connection, now);
    }
    return true;
}

/* Until something comes, or the next request is due; *silences counts waits that ended with neither. */
static bool gets_listen(struct gets *gets, int *silences)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_sec = 1};
    bool is_timed = gets->free_count > 0 && gets->asked < gets->wanted;
    if (is_timed) {
        uint64_t now = now_ns(), due = due_ns(gets, gets->asked);
        uint64_t left = due > now ? due - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(left / SILENCE_NS), .tv_nsec = (long)(left % SILENCE_NS)};
    }
    int count = epoll_pwait2(gets->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
        if (!connection_read(gets, events[i].data.ptr)) {
            return false;
        }
    }
    *silences = count > 0 || is_timed ? 0 : *silences + 1;
    if (*silences == SILENCES) {
        fprintf(stderr, "http_gets: no answer for %d s\n", SILENCES);
        return false;
    }
    return true;
}

static bool gets_run(struct gets *gets)
{
    int silences = 0;
    gets->began_ns = now_ns();
    while (gets->answered < gets->wanted) {
        if (!gets_ask(gets) || !gets_listen(gets, &silences)) {
            return false;
        }
    }
    return true;
}

/* ---- telling ---- */

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* Of sorted times; the smallest one that at least this share does not exceed. */
static double quantile_ms(const uint32_t *sorted_us, uint64_t count, double share)
{
    uint64_t rank = (uint64_t)((double)count * share);
    return sorted_us[rank < count ? rank : count - 1] / 1000.0;
}

static void gets_print(struct gets *gets)
{
    uint64_t count = gets->answered;
    qsort(gets->took_us, count, sizeof *gets->took_us, compare);
    qsort(gets->late_us, count, sizeof *gets->late_us, compare);
    printf("{\"requests\":%" PRIu64 ",\"rate\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"bytes\":%zu,"
           "\"wrong\":%" PRIu64 ",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f,"
           "\"sent_late_p99_ms\":%.3f}\n",
           count, gets->options->rate, gets->options->connections, gets->answer_bytes, gets->wrong,
           quantile_ms(gets->took_us, count, 0.5), quantile_ms(gets->took_us, count, 0.99),
           quantile_ms(gets->took_us, count, 0.999), quantile_ms(gets->took_us, count, 1),
           quantile_ms(gets->late_us, count, 0.99));
}

/* ---- start ---- */

static bool gets_init(struct gets *gets, const struct gets_options *options)
{
    int length =
        snprintf(gets->request, sizeof gets->request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%" PRIu64 "\r\n\r\n", options->target, options->port);
    if (length < 0 || (size_t)length >= sizeof gets->request) {
        fprintf(stderr, "http_gets: the target is too long\n");
        return false;
    }
    gets->options = options;
    gets->request_length = (size_t)length;
    gets->wanted = options->rate * options->seconds;
    gets->epoll = epoll_create1(EPOLL_CLOEXEC);
    gets->connections = calloc(options->connections, sizeof *gets->connections);
    gets->free = calloc(options->connections, sizeof(struct connection *));
    gets->took_us = calloc(gets->wanted, sizeof *gets->took_us);
    gets->late_us = calloc(gets->wanted, sizeof *gets->late_us);
    /* The kernel may wake a sleeper 50 us late unless asked not to. */
    if (gets->epoll < 0 || !gets->connections || !gets->free || !gets->took_us || !gets->late_us ||
        prctl(PR_SET_TIMERSLACK, 1) != 0) {
        return complain("start");
    }
    for (size_t i = 0; i < options->connections; i++) {
        gets->connections[i].fd = -1;
    }
    for (size_t i = 0; i < options->connections; i++) {
        if (!connection_open(gets, &gets->connections[i])) {
            return false;
        }
    }
    return true;
}

static void gets_finish(struct gets *gets)
{
    for (size_t i = 0; gets->connections && i < gets->options->connections; i++) {
        if (gets->connections[i].fd >= 0) {
            close(gets->connections[i].fd);
        }
        free(gets->connections[i].answer);
    }
    free(gets->connections);
    free(gets->free);
    free(gets->took_us);
    free(gets->late_us);
    if (gets->epoll >= 0) {
        close(gets->epoll);
    }
}

static bool number_read(const char *text, uint64_t most, uint64_t *out_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number == 0 || number > most) {
        fprintf(stderr, "http_gets: %s is not a number from 1 to %" PRIu64 "\n", text, most);
        return false;
    }
    *out_number = number;
    return true;
}

static bool options_read(int argc, char **argv, struct gets_options *options)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},
        {"target", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"must", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    bool is_right = true;
    int name;
    while (is_right && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'p':
            is_right = number_read(optarg, UINT16_MAX, &options->port);
            break;
        case 't':
            options->target = optarg;
            break;
        case 'r':
            is_right = number_read(optarg, 100000, &options->rate);
            break;
        case 's':
            is_right = number_read(optarg, 600, &options->seconds);
            break;
        case 'c':
            is_right = number_read(optarg, CONNECTIONS_MAX, &options->connections);
            break;
        case 'm':
            is_right = options->must_count < MUST_MAX;
            if (is_right) {
                options->must[options->must_count++] = optarg;
            }
            break;
        default:
            is_right = false;
        }
    }
    return is_right && options->port != 0 && options->target && optind == argc;
}

int main(int argc, char **argv)
{
    struct gets_options options = {.rate = 1000, .seconds = 10, .connections = 16};
    if (!options_read(argc, argv, &options)) {
        fprintf(stderr,
                "usage: http_gets --port PORT --target /PATH [--rate N] [--seconds S] [--connections N] "
                "[--must TEXT]...\n");
        return EXIT_USAGE;
    }
    struct gets gets = {.options = &options, .epoll = -1};
    bool is_done = gets_init(&gets, &options) && gets_run(&gets);
    if (is_done) {
        gets_print(&gets);
    }
    is_done = is_done && gets.wrong == 0;
    gets_finish(&gets);
    return is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}
