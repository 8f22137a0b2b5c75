/**
 * A small document of another server, fetched without blocking: GET over HTTPS, or over HTTP on this machine. Hides libcurl.
 *
 * One at a time. No redirects, no proxies, no cookies, no credentials; certificates are verified, TLS 1.2 at the least. What a server can
 * make grow is capped: the body, the time for all of it, the kept ETag.
 *
 * Loop: loop thread; names are looked up on threads of libcurl's own.
 */
#ifndef SOPHIA_IO_HTTP_FETCH_H
#define SOPHIA_IO_HTTP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"

struct http_fetch;

enum {
    HTTP_FETCH_URL_MAX_BYTES = 1024,
    HTTP_FETCH_ETAG_MAX_BYTES = 256,
    HTTP_FETCH_PROBLEM_BYTES = 320,
};

struct http_fetch_options {
    struct loop *loop;
    const char *url;     /* one that http_fetch_may_use(); outlives this, as does the next */
    const char *ca_file; /* PEM; NULL: those of the system */
    uint32_t timeout_ms; /* for name, connection and all of the answer */
    size_t max_bytes;    /* of the body, > 0 */
    void *context;
    /** An answer 200: its body, borrowed; body NULL: 304, it is what it was. May start the next one, not destroy. */
    void (*on_body)(void *context, const char *body, size_t length);
    /** Anything else: one line for people, with the host. May start the next one, not destroy. */
    void (*on_failure)(void *context, const char *problem);
};

/** https with any host, http with a loopback address or localhost; no user, password or fragment. */
bool http_fetch_may_use(const char *url);

/** NULL when memory ran out or libcurl cannot be used. */
struct http_fetch *http_fetch_create(const struct http_fetch_options *options);
/** Nothing is heard afterwards. NULL is allowed. */
void http_fetch_destroy(struct http_fetch *fetch);

/** Ask for it, unless that is under way. After a body with an ETag it asks whether there is another. */
void http_fetch_start(struct http_fetch *fetch);
bool http_fetch_is_busy(const struct http_fetch *fetch);
/** The body could not be used: the next request asks for it whole. */
void http_fetch_forget(struct http_fetch *fetch);

#endif
