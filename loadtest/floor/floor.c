/*
 * The floor of fan-out: what it costs to put the same bytes into many sockets with nothing around it. A gateway's cost
 * per delivery means little by itself (it is mostly the kernel's, and every machine has another one); divided by the
 * floor, measured in the same minutes on the same machine, it says what the gateway adds.
 *
 *     floor --path send|uring|tls --viewers N --bytes B --rounds R [--every MS] [--outstanding K] [--send-buffer BYTES]
 *     floor --path handshake [--rounds R]
 *
 *   send    one send() per viewer        uring   the same, 256 of them per system call
 *   tls     one SSL_write() per viewer   handshake   TLS handshakes in memory, the server's part: full, and resumed
 *
 * A process of its own receives. Rounds start at fixed times, MS apart, so that it keeps up: a socket whose buffer is
 * full is another measurement; how often that happened is reported as "partial". K messages per round and viewer, one
 * send each, are what a server does that tells every change by itself.
 *
 * Prints one line of JSON. The processor time is that of the sending process alone, over all rounds but the first few;
 * "stolen" and "other_cpu" are the shares of the machine that a hypervisor and other processes took meanwhile.
 * Ends with 0; with 1 when a receiver did not get every byte; with 2 for a wrong command line; with 77 when this
 * machine or this build has no such path.
 */
#include "loadtest/floor/floor_receivers.h"
#include "loadtest/floor/floor_ways.h"
#include "loadtest/load/load_machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    EXIT_UNAVAILABLE = 77,
    ACCEPT_MS = 20000,
    ACCEPT_LOOK_MS = 200,
    LISTEN_BACKLOG = 1024,
    UNCOUNTED_PER_COUNTED = 10, /* one round in ten comes first and is not measured: pages, caches, windows */
    PACE_US = 20,               /* per message when --every does not say: some three times what one costs */
    PACE_MIN_MS = 10,
    BYTES_MAX = 1 << 20,
};

struct floor_options {
    const struct floor_way *way; /* NULL: handshakes */
    uint64_t viewers;
    uint64_t bytes;
    uint64_t rounds;
    uint64_t every_ms;
    uint64_t outstanding;
    uint64_t send_buffer_bytes; /* SO_SNDBUF, which the gateway sets as well */
};

struct floor_run {
    const struct floor_options *options;
    void *state; /* the way's */
    int *fds;
    char *message;
    struct floor_receivers receivers;
    uint64_t partial;
    uint64_t late_rounds; /* began after their time, because the one before took too long */
    double cpu_us;
    double seconds;
    double stolen;
    double other;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool complain(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    return false;
}

/* ---- connections ---- */

static bool descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return complain("getrlimit");
    }
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 || complain("setrlimit");
}

static int listen_anywhere(struct sockaddr_in *out_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        complain("listen");
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    *out_address = address;
    return fd;
}

/* Waits for the next connection, but not for receivers that have ended. */
static bool viewer_await(const struct floor_run *run, int listener)
{
    struct pollfd wanted = {.fd = listener, .events = POLLIN};
    for (int waited_ms = 0; waited_ms < ACCEPT_MS; waited_ms += ACCEPT_LOOK_MS) {
        if (poll(&wanted, 1, ACCEPT_LOOK_MS) == 1) {
            return true;
        }
        if (!floor_receivers_run(&run->receivers)) {
            break;
        }
    }
    fprintf(stderr, "floor: the receivers do not connect\n");
    return false;
}

/* What the gateway sets as well (tune_accepted() of gateway/io/listener.c). */
static bool viewer_tune(int fd, int send_buffer_bytes)
{
    const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_SNDBUF, send_buffer_bytes},
        {SOL_SOCKET, SO_KEEPALIVE, 1},    {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 75000},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0) {
            return complain("setsockopt");
        }
    }
    return true;
}

static bool viewer_accept(struct floor_run *run, size_t viewer, int listener)
{
    if (!viewer_await(run, listener)) {
        return false;
    }
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return complain("accept");
    }
    run->fds[viewer] = fd;
    if (!viewer_tune(fd, (int)run->options->send_buffer_bytes)) {
        return false;
    }
    if (run->options->way->join && !run->options->way->join(run->state, viewer, fd)) {
        return false;
    }
    /* Not before: the handshake of a way may wait. */
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 || complain("fcntl");
}

static bool viewers_accept(struct floor_run *run)
{
    const struct floor_options *options = run->options;
    struct sockaddr_in address;
    int listener = listen_anywhere(&address);
    bool is_met = listener >= 0 &&
                  floor_receivers_init(&run->receivers, options->viewers, options->way, run->state, &address);
    for (size_t i = 0; is_met && i < options->viewers; i++) {
        is_met = viewer_accept(run, i, listener);
    }
    if (listener >= 0) {
        close(listener);
    }
    return is_met;
}

/* ---- rounds ---- */

static uint64_t uncounted_rounds(const struct floor_options *options)
{
    return 1 + options->rounds / UNCOUNTED_PER_COUNTED;
}

static void sleep_until(double due_s)
{
    const struct timespec due = {.tv_sec = (time_t)due_s,
                                 .tv_nsec = (long)((due_s - (double)(time_t)due_s) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
    }
}

/* Change by change, as they would come in, not viewer by viewer. */
static bool round_send(struct floor_run *run)
{
    const struct floor_options *options = run->options;
    for (uint64_t i = 0; i < options->outstanding; i++) {
        if (!options->way->round(run->state, run->fds, options->viewers, run->message, options->bytes,
                                 &run->partial)) {
            return false;
        }
    }
    return true;
}

static bool rounds_send(struct floor_run *run, uint64_t rounds)
{
    double began_s = now_s();
    for (uint64_t i = 0; i < rounds; i++) {
        double due_s = began_s + (double)(i * run->options->every_ms) / 1e3;
        if (now_s() < due_s) {
            sleep_until(due_s);
        } else {
            run->late_rounds += i > 0; /* the first one is due when it begins */
        }
        if (!round_send(run)) {
            return false;
        }
    }
    /* The last one's time is waited for too: a window has as much rest in it as the rounds have. */
    sleep_until(began_s + (double)(rounds * run->options->every_ms) / 1e3);
    return true;
}

/* Every byte so far must be there; of each viewer as many. */
static bool bytes_check(const struct floor_run *run, uint64_t rounds)
{
    const struct floor_options *options = run->options;
    uint64_t each = rounds * options->outstanding * options->way->wire_bytes(options->bytes);
    if (!floor_receivers_wait(&run->receivers, each * options->viewers)) {
        fprintf(stderr, "floor: %" PRIu64 " of %" PRIu64 " bytes arrived\n",
                atomic_load(&run->receivers.received->bytes), each * options->viewers);
        return false;
    }
    for (size_t i = 0; i < options->viewers; i++) {
        if (run->receivers.received->each[i] != each) {
            fprintf(stderr, "floor: receiver %zu got %" PRIu64 " of %" PRIu64 " bytes\n", i,
                    run->receivers.received->each[i], each);
            return false;
        }
    }
    return true;
}

/* The receivers take the place of the servers: what neither they nor we used was somebody else's. */
static void window_take(struct floor_run *run, const struct load_cpu *window)
{
    run->stolen = window->whole_us > 0 ? window->stolen_us / window->whole_us : 0;
    run->other = load_cpu_others(window);
    run->cpu_us = window->own_us;
}

static bool rounds_measure(struct floor_run *run)
{
    struct load_servers receivers = {.pids = {run->receivers.pid}, .count = 1};
    struct load_cpu from, to;
    uint64_t uncounted = uncounted_rounds(run->options);
    if (!rounds_send(run, uncounted) || !bytes_check(run, uncounted)) {
        return false;
    }
    run->partial = 0;
    run->late_rounds = 0;
    load_idlers_find(&receivers);
    double began_s = now_s();
    if (!load_cpu_read(&receivers, &from) || !rounds_send(run, run->options->rounds) ||
        !load_cpu_read(&receivers, &to)) {
        fprintf(stderr, "floor: not measured\n");
        return false;
    }
    run->seconds = now_s() - began_s;
    const struct load_cpu window = load_cpu_between(&from, &to);
    window_take(run, &window);
    return bytes_check(run, uncounted + run->options->rounds);
}

static void run_print(const struct floor_run *run)
{
    const struct floor_options *options = run->options;
    uint64_t deliveries = options->viewers * options->rounds * options->outstanding;
    double each_us = run->cpu_us / (double)deliveries;
    /* A delivery of the floor carries one change, so both numbers are the same here; a gateway's are not. */
    printf("{\"path\":\"%s\",\"viewers\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"rounds\":%" PRIu64
           ",\"outstanding\":%" PRIu64 ",\"every_ms\":%" PRIu64 ",\"deliveries\":%" PRIu64
           ",\"cpu_us_per_delivery\":%.4f,\"cpu_us_per_change_viewer\":%.4f,\"partial\":%" PRIu64
           ",\"late_rounds\":%" PRIu64 ",\"seconds\":%.3f,\"stolen\":%.4f,\"other_cpu\":%.4f}\n",
           options->way->name, options->viewers, options->bytes, options->rounds, options->outstanding,
           options->every_ms, deliveries, each_us, each_us, run->partial, run->late_rounds, run->seconds,
           run->stolen, run->other);
}

static int viewers_measure(const struct floor_options *options)
{
    struct floor_run run = {.options = options};
    enum floor_result result = options->way->open(options->viewers, &run.state);
    if (result != FLOOR_OK) {
        return result == FLOOR_UNAVAILABLE ? EXIT_UNAVAILABLE : EXIT_FAILURE;
    }
    run.fds = calloc(options->viewers, sizeof *run.fds);
    run.message = malloc(options->bytes);
    bool is_measured = run.fds && run.message;
    if (is_measured) {
        memset(run.message, 'v', options->bytes);
        is_measured = descriptors_raise() && viewers_accept(&run) && rounds_measure(&run);
    }
    if (is_measured) {
        run_print(&run);
    }
    floor_receivers_finish(&run.receivers); /* what it still has open ends with it, and ours with us */
    options->way->close(run.state);
    free(run.message);
    free(run.fds);
    return is_measured ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int handshakes_measure(uint64_t rounds)
{
    struct load_servers nobody = {.count = 0};
    struct floor_run run = {0};
    struct load_cpu from, to;
    struct floor_handshakes made;
    load_idlers_find(&nobody);
    double began_s = now_s();
    if (!load_cpu_read(&nobody, &from) || !floor_handshakes_measure(rounds, &made) ||
        !load_cpu_read(&nobody, &to)) {
        fprintf(stderr, "floor: not measured\n");
        return EXIT_FAILURE;
    }
    const struct load_cpu window = load_cpu_between(&from, &to);
    window_take(&run, &window);
    printf("{\"path\":\"handshake\",\"rounds\":%" PRIu64 ",\"cpu_us_full\":%.1f,\"cpu_us_resumed\":%.1f,"
           "\"seconds\":%.3f,\"stolen\":%.4f,\"other_cpu\":%.4f}\n",
           rounds, made.full_us, made.resumed_us, now_s() - began_s, run.stolen, run.other);
    return EXIT_SUCCESS;
}

/* ---- command line ---- */

static int usage(void)
{
    fprintf(
        stderr,
        "usage: floor --path send|uring|tls --viewers N --bytes B --rounds R [--every MS] [--outstanding K]\n"
        "             [--send-buffer BYTES]\n"
        "       floor --path handshake [--rounds R]\n");
    return EXIT_USAGE;
}

static bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < least || number > most) {
        fprintf(stderr, "floor: %s is not a number from %" PRIu64 " to %" PRIu64 "\n", text, least, most);
        return false;
    }
    *out_number = number;
    return true;
}

/* False: there is no such path. "handshake" is one without a way. */
static bool path_read(const char *name, const struct floor_way **out_way)
{
    static const struct floor_way *const ways[] = {&floor_send, &floor_uring, &floor_tls};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(name, ways[i]->name) == 0) {
            *out_way = ways[i];
            return true;
        }
    }
    *out_way = NULL;
    return strcmp(name, "handshake") == 0;
}

static bool options_read(int argc, char **argv, struct floor_options *options)
{
    static const struct option names[] = {
        {"path", required_argument, NULL, 'p'},        {"viewers", required_argument, NULL, 'v'},
        {"bytes", required_argument, NULL, 'b'},       {"rounds", required_argument, NULL, 'r'},
        {"every", required_argument, NULL, 'e'},       {"outstanding", required_argument, NULL, 'o'},
        {"send-buffer", required_argument, NULL, 's'}, {NULL, 0, NULL, 0},
    };
    bool is_right = true, has_path = false;
    int name;
    while (is_right && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'p':
            is_right = has_path = path_read(optarg, &options->way);
            break;
        case 'v':
            is_right = number_read(optarg, 1, 1000000, &options->viewers);
            break;
        case 'b':
            is_right = number_read(optarg, 1, BYTES_MAX, &options->bytes);
            break;
        case 'r':
            is_right = number_read(optarg, 1, 1000000, &options->rounds);
            break;
        case 'e':
            is_right = number_read(optarg, 1, 60000, &options->every_ms);
            break;
        case 'o':
            is_right = number_read(optarg, 1, 1000, &options->outstanding);
            break;
        case 's':
            is_right = number_read(optarg, 4096, 1 << 24, &options->send_buffer_bytes);
            break;
        default:
            is_right = false;
        }
    }
    return is_right && has_path && optind == argc;
}

int main(int argc, char **argv)
{
    struct floor_options options = {
        .viewers = 1000, .bytes = 512, .rounds = 100, .outstanding = 1, .send_buffer_bytes = 65536};
    if (!options_read(argc, argv, &options)) {
        return usage();
    }
    if (options.every_ms == 0) {
        uint64_t paced_ms = options.viewers * options.outstanding * PACE_US / 1000;
        options.every_ms = paced_ms > PACE_MIN_MS ? paced_ms : PACE_MIN_MS;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    return options.way ? viewers_measure(&options) : handshakes_measure(options.rounds);
}
