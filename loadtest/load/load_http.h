/** One kept-alive HTTP connection, one request at a time, waiting for the answer: for producers and for snapshots. */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_HTTP_H
#define SOPHIA_LOADTEST_LOAD_LOAD_HTTP_H

#include <stdbool.h>

#include "loadtest/load/load_stream.h"
#include "protocol/bytes.h"

enum { LOAD_HTTP_ANSWER_MAX_BYTES = 32 * 1024 * 1024 };

struct load_http {
    struct load_address address;
    int fd;              /* -1: not connected */
    struct bytes answer; /* head and body of the newest answer */
    const char *body;    /* in answer, ends with a NUL byte */
    size_t body_length;
    int status; /* 0: none came */
};

void load_http_init(struct load_http *http, const struct load_address *address);
void load_http_finish(struct load_http *http);

/** key: of the bearer token, or NULL. body NULL: GET. False: not sent; the connection is closed then. */
bool load_http_send(struct load_http *http, const char *path, const char *key, const struct bytes *body);
/** Wait for the answer to what was sent, 10 s at most. False: none, or it cannot be read. */
bool load_http_receive(struct load_http *http);

#endif
