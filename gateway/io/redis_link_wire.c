/*
 * hiredis gives the reader only. Its connection (0.14) knows no keepalive interval, no TCP_USER_TIMEOUT, no
 * cap on output or replies, and resolves names while the loop waits.
 */
#include "io/redis_link_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 16 << 10 };

/* As data-path measurements say: a cut line is noticed after 4 s with data under way, 11 s without. */
enum { KEEPALIVE_IDLE_S = 5, KEEPALIVE_INTERVAL_S = 2, KEEPALIVE_COUNT = 3, USER_TIMEOUT_MS = 4000 };

void redis_wire_init(struct redis_wire *wire)
{
    *wire = (struct redis_wire){.fd = -1};
    bytes_init(&wire->out, REDIS_WIRE_OUTPUT_BYTES);
}

void redis_wire_close(struct redis_wire *wire)
{
    if (wire->fd >= 0) {
        (void)close(wire->fd); /* nothing of ours is lost: what matters was answered */
        wire->fd = -1;
    }
    if (wire->reader != NULL) {
        redisReaderFree(wire->reader);
        wire->reader = NULL;
    }
    bytes_finish(&wire->out);
    bytes_init(&wire->out, REDIS_WIRE_OUTPUT_BYTES);
    wire->written = 0;
    wire->reply_bytes = 0;
    wire->has_too_many = false;
}

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif
static void *(*create_array)(const redisReadTask *,
                             element_count); /* hiredis' own: the same for every reader */

/* Memory for the elements is taken as soon as their number is known, which a server is free to invent. */
static void *create_capped_array(const redisReadTask *task, element_count elements)
{
    if (elements > REDIS_WIRE_REPLY_ELEMENTS) {
        ((struct redis_wire *)task->privdata)->has_too_many = true;
        return NULL;
    }
    return create_array(task, elements);
}

static bool open_reader(struct redis_wire *wire)
{
    wire->reader = redisReaderCreate();
    if (wire->reader == NULL) {
        return false;
    }
    wire->functions = *wire->reader->fn;
    create_array = wire->functions.createArray;
    wire->functions.createArray = create_capped_array;
    wire->reader->fn = &wire->functions;
    wire->reader->privdata = wire;
    return true;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value); /* without it a dead line is noticed later */
}

static enum result dial(struct redis_wire *wire, const struct sockaddr *address, socklen_t length)
{
    wire->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd < 0) {
        return RESULT_IO;
    }
    if (!open_reader(wire)) {
        redis_wire_close(wire);
        return RESULT_NO_MEMORY;
    }
    if (address->sa_family != AF_UNIX) {
        set_option(wire->fd, IPPROTO_TCP, TCP_NODELAY, 1);
        set_option(wire->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(wire->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
        set_option(wire->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
        set_option(wire->fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
        set_option(wire->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    }
    if (connect(wire->fd, address, length) != 0 && errno != EINPROGRESS) {
        int saved = errno;
        redis_wire_close(wire);
        errno = saved;
        return RESULT_IO;
    }
    return RESULT_OK;
}

enum result redis_wire_dial(struct redis_wire *wire, const char *address, uint16_t port)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &ip4.sin_addr) == 1) {
        return dial(wire, (const struct sockaddr *)&ip4, sizeof ip4);
    }
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET6, address, &ip6.sin6_addr) == 1) {
        return dial(wire, (const struct sockaddr *)&ip6, sizeof ip6);
    }
    errno = EAFNOSUPPORT;
    return RESULT_IO;
}

enum result redis_wire_dial_unix(struct redis_wire *wire, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return RESULT_IO;
    }
    strcpy(address.sun_path, path);
    return dial(wire, (const struct sockaddr *)&address, sizeof address);
}

int redis_wire_error(const struct redis_wire *wire)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        return errno;
    }
    return error;
}

/* What was written leaves from the front when it is the larger part: each byte is moved once at most. */
static void compact(struct redis_wire *wire)
{
    if (wire->written < wire->out.length - wire->written) {
        return;
    }
    wire->out.length -= wire->written;
    if (wire->out.length > 0) {
        memmove(wire->out.at, wire->out.at + wire->written, wire->out.length);
    }
    wire->written = 0;
}

enum result redis_wire_append(struct redis_wire *wire, size_t argc, const char *const *argv,
                              const size_t *lengths)
{
    struct bytes *out = &wire->out;
    size_t before = out->length;
    size_t needed = 0;
    bytes_append_format(out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc && !bytes_failed(out); i++) {
        size_t length = lengths != NULL ? lengths[i] : strlen(argv[i]);
        needed += length;
        bytes_append_format(out, "$%zu\r\n", length);
        bytes_append(out, argv[i], length);
        bytes_append(out, "\r\n", 2);
    }
    if (!bytes_failed(out)) {
        return RESULT_OK;
    }
    out->length = before;
    out->failed = false;
    return needed >= out->cap || before + needed + argc * 32 > out->cap ? RESULT_FULL : RESULT_NO_MEMORY;
}

bool redis_wire_has_output(const struct redis_wire *wire)
{
    return wire->written < wire->out.length;
}

bool redis_wire_flush(struct redis_wire *wire)
{
    while (redis_wire_has_output(wire)) {
        ssize_t sent = send(wire->fd, wire->out.at + wire->written, wire->out.length - wire->written,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            compact(wire);
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        wire->written += (size_t)sent;
    }
    compact(wire);
    return true;
}

enum redis_wire_read redis_wire_fill(struct redis_wire *wire)
{
    char chunk[READ_BYTES];
    ssize_t got = recv(wire->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? REDIS_WIRE_NOTHING
                                                                         : REDIS_WIRE_FAILED;
    }
    if (got == 0) {
        return REDIS_WIRE_END;
    }
    wire->reply_bytes += (size_t)got;
    (void)redisReaderFeed(wire->reader, chunk, (size_t)got); /* remembers its failure for the next reply */
    return REDIS_WIRE_SOME;
}

bool redis_wire_next(struct redis_wire *wire, redisReply **out_reply, const char **out_error)
{
    void *reply = NULL;
    if (redisReaderGetReply(wire->reader, &reply) != REDIS_OK) {
        *out_error = wire->has_too_many ? "a reply of too many elements" : wire->reader->errstr;
        return false;
    }
    if (reply != NULL) {
        wire->reply_bytes = wire->reader->len - wire->reader->pos;
    } else if (wire->reply_bytes > REDIS_WIRE_REPLY_BYTES) {
        *out_error = "a reply of too many bytes";
        return false;
    }
    *out_reply = reply;
    return true;
}
