/*
 * Many viewers of one board that say how long values took to reach them.
 *
 *     viewers PORT BOARD VIEWERS SECONDS [PREFIX]
 *
 * Values of fields that begin with PREFIX (default: every one) are the wall time in microseconds at which they were
 * sent; each receipt of one by each viewer is one measurement. "ready" is printed when all have their
 * snapshot, one line of JSON at the end. Frames are searched, not parsed: this must not be what is measured.
 * Only updates of one text frame are understood, which is what the gateway sends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 65536,
    EVENTS = 256,
    DELAYS_MAX = 1 << 26,
    GOOD_TO_GO_MS = 20000,
};

struct viewer {
    int fd;
    bool is_open;  /* the handshake was answered */
    bool is_ready; /* it has its snapshot */
    size_t length;
    char *buffer; /* BUFFER_BYTES */
};

struct tally {
    uint32_t *delays_us;
    size_t count;
    size_t frames;
    uint64_t from_us; /* values sent earlier do not count */
    size_t ready;
    const char *prefix;
    size_t prefix_length;
};

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "viewers: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- speaking ---- */

static void say(const struct viewer *viewer, const char *text)
{
    char frame[256] = {(char)0x81};
    size_t length = strlen(text);
    if (length > 125) {
        errno = EMSGSIZE;
        die("message");
    }
    frame[1] = (char)(0x80 | (int)length); /* masked with zeros */
    memcpy(frame + 6, text, length);
    if (send(viewer->fd, frame, length + 6, 0) != (ssize_t)(length + 6)) {
        die("send");
    }
}

static void viewer_open(struct viewer *viewer, uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const char handshake[] =
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: kpi.v1\r\n\r\n";
    viewer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    viewer->buffer = malloc(BUFFER_BYTES);
    if (viewer->fd < 0 || !viewer->buffer ||
        connect(viewer->fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        send(viewer->fd, handshake, sizeof handshake - 1, 0) != (ssize_t)(sizeof handshake - 1)) {
        die("connect");
    }
}

/* ---- listening ---- */

static void measure(struct tally *tally, const char *text, size_t length, uint64_t now_us)
{
    static const char mark[] = "\"v\":";
    const char *end = text + length;
    const char *at = text;
    tally->frames++;
    while ((at = memmem(at, (size_t)(end - at), tally->prefix, tally->prefix_length)) != NULL) {
        const char *value = memmem(at, (size_t)(end - at), mark, sizeof mark - 1);
        if (!value) {
            return;
        }
        uint64_t sent_us = strtoull(value + sizeof mark - 1, NULL, 10);
        if (sent_us >= tally->from_us && sent_us <= now_us && tally->count < DELAYS_MAX) {
            tally->delays_us[tally->count++] = (uint32_t)(now_us - sent_us);
        }
        at = value;
    }
}

static void frame_take(struct viewer *viewer, struct tally *tally, unsigned char opcode, const char *text,
                       size_t length, uint64_t now_us)
{
    static const char update[] = "{\"type\":\"update\"", snapshot[] = "{\"type\":\"snapshot\"";
    if (opcode == 0x89) { /* ping: a pong of our own will do */
        const char pong[6] = {(char)0x8a, (char)0x80};
        (void)send(viewer->fd, pong, sizeof pong, 0);
    } else if (length > sizeof update && memcmp(text, update, sizeof update - 1) == 0) {
        measure(tally, text, length, now_us);
    } else if (length > sizeof snapshot && memcmp(text, snapshot, sizeof snapshot - 1) == 0 &&
               !viewer->is_ready) {
        viewer->is_ready = true;
        tally->ready++;
    }
}

/* Takes whole frames off the front; returns how many bytes that were. */
static size_t frames_take(struct viewer *viewer, struct tally *tally, uint64_t now_us)
{
    size_t at = 0;
    while (viewer->length - at >= 2) {
        const unsigned char *head = (const unsigned char *)viewer->buffer + at;
        size_t length = head[1] & 0x7f, header = 2;
        if (length == 126) {
            if (viewer->length - at < 4) {
                break;
            }
            length = (size_t)head[2] << 8 | head[3];
            header = 4;
        } else if (length == 127) {
            errno = EMSGSIZE;
            die("a frame of more than 64 KiB");
        }
        if (viewer->length - at < header + length) {
            break;
        }
        frame_take(viewer, tally, head[0], (const char *)head + header, length, now_us);
        at += header + length;
    }
    return at;
}

static void viewer_read(struct viewer *viewer, struct tally *tally, const char *subscribe)
{
    ssize_t got =
        recv(viewer->fd, viewer->buffer + viewer->length, BUFFER_BYTES - viewer->length, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        die("a viewer lost its connection");
    }
    uint64_t now_us = wall_us();
    viewer->length += (size_t)got;
    size_t taken = 0;
    if (!viewer->is_open) {
        const char *end = memmem(viewer->buffer, viewer->length, "\r\n\r\n", 4);
        if (!end) {
            return;
        }
        if (memcmp(viewer->buffer, "HTTP/1.1 101", 12) != 0) {
            errno = EPROTO;
            die("the handshake was refused");
        }
        viewer->is_open = true;
        say(viewer, "{\"type\":\"hello\"}");
        say(viewer, subscribe);
        taken = (size_t)(end + 4 - viewer->buffer);
    } else {
        taken = frames_take(viewer, tally, now_us);
    }
    viewer->length -= taken;
    memmove(viewer->buffer, viewer->buffer + taken, viewer->length);
}

static void listen_until(int poll, struct viewer *viewers, struct tally *tally, const char *subscribe,
                         uint64_t end_us, size_t ready)
{
    struct epoll_event events[EVENTS];
    /* Real viewers are elsewhere: being woken for every frame would be paid by the gateway. Adds up to a millisecond. */
    const struct timespec rest = {.tv_nsec = 1000000};
    while (wall_us() < end_us && tally->ready < ready) {
        int count = epoll_wait(poll, events, EVENTS, 20);
        for (int i = 0; i < count; i++) {
            viewer_read(&viewers[events[i].data.u32], tally, subscribe);
        }
        if (count < EVENTS) {
            nanosleep(&rest, NULL);
        }
    }
}

/* ---- telling ---- */

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static double quantile_ms(const struct tally *tally, double quantile)
{
    if (tally->count == 0) {
        return -1;
    }
    return tally->delays_us[(size_t)((double)(tally->count - 1) * quantile)] / 1000.0;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: viewers PORT BOARD VIEWERS SECONDS [PREFIX]\n");
        return 2;
    }
    size_t count = strtoul(argv[3], NULL, 10);
    struct tally tally = {.delays_us = malloc(sizeof(uint32_t) * DELAYS_MAX)};
    char prefix[128], subscribe[120];
    snprintf(prefix, sizeof prefix, "\"%s", argc == 6 ? argv[5] : "");
    snprintf(subscribe, sizeof subscribe, "{\"type\":\"subscribe\",\"board\":\"%.64s\"}", argv[2]);
    tally.prefix = prefix;
    tally.prefix_length = strlen(prefix);
    struct viewer *viewers = calloc(count, sizeof *viewers);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    if (!viewers || !tally.delays_us || poll < 0) {
        die("start");
    }
    for (uint32_t i = 0; i < count; i++) {
        viewer_open(&viewers[i], (uint16_t)strtoul(argv[1], NULL, 10));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, viewers[i].fd, &event) != 0) {
            die("epoll_ctl");
        }
    }
    listen_until(poll, viewers, &tally, subscribe, wall_us() + GOOD_TO_GO_MS * 1000, count);
    if (tally.ready < count) {
        fprintf(stderr, "viewers: only %zu of %zu got a snapshot\n", tally.ready, count);
        return EXIT_FAILURE;
    }
    printf("ready\n");
    fflush(stdout);
    tally.from_us = wall_us();
    listen_until(poll, viewers, &tally, subscribe, tally.from_us + strtoull(argv[4], NULL, 10) * 1000000,
                 SIZE_MAX);
    qsort(tally.delays_us, tally.count, sizeof(uint32_t), compare);
    printf("{\"viewers\":%zu,\"frames\":%zu,\"values\":%zu,\"p50_ms\":%.2f,\"p95_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"max_ms\":%.2f}\n",
           count, tally.frames, tally.count, quantile_ms(&tally, 0.5), quantile_ms(&tally, 0.95),
           quantile_ms(&tally, 0.99), quantile_ms(&tally, 1));
    return EXIT_SUCCESS;
}
