/**
 * A byte stream to a gateway: the only place where a viewer's bytes come and go. Plain TCP so far; TLS belongs behind
 * these functions, with its state in struct load_stream.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_STREAM_H
#define SOPHIA_LOADTEST_LOAD_LOAD_STREAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Where a gateway listens. */
struct load_address {
    struct sockaddr_in at;
    char host[80]; /* as in a Host header: name and port */
};

/** http://HOST:PORT; false when it is not that, or HOST is unknown. */
bool load_address_parse(const char *url, size_t length, struct load_address *out_address);

struct load_stream {
    int fd; /* -1: closed */
};

/**
 * Begin to connect, without waiting. On loopback, viewer `number` comes from an address of its own range, because one address
 * has 28,000 ports. receive_bytes: of the kernel's buffer, 0 for its default.
 * False: errno says why.
 */
bool load_stream_open(struct load_stream *stream, const struct load_address *address, uint32_t number,
                      int receive_bytes);
/** As recv() without waiting. *out_received_us: when the kernel had the last of these bytes, as load_now_us(); 0: it does not say. */
ssize_t load_stream_read(struct load_stream *stream, void *into, size_t size, uint64_t *out_received_us);
/** As send() without waiting. */
ssize_t load_stream_write(struct load_stream *stream, const void *from, size_t length);
void load_stream_close(struct load_stream *stream);

#endif
