/**
 * HTTP requests and answers, without libwebsockets in sight.
 *
 * A route is a method set and a path pattern; the handler gets the request
 * whole (body included, capped) and answers now, or keeps the exchange and
 * answers later, or turns it into a stream (SSE). 404, 405 with Allow, 411, 413,
 * 415 and 431 are answered here; HEAD is GET without the body.
 */
#ifndef SOPHIA_IO_HTTP_H
#define SOPHIA_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/result.h"

struct http_exchange;

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_DELETE = 4, HTTP_OPTIONS = 8 };

struct http_route {
    int methods;           /* set of enum http_method; HEAD comes with GET */
    const char *pattern;   /* "/health", "/api/v1/dashboards/{id}/events"; a trailing "*" matches the rest */
    size_t body_max_bytes; /* for POST; larger is answered 413 before it is read */
    bool needs_json;       /* POST without a JSON content type is answered 415 */
    bool is_not_for_pages; /* of other origins: 403, also for those that are listed, which may read only */
    void *context;
    /** Optional, for a trailing "*": is there anything at this path? No is 404 for every method, not 405. */
    bool (*exists)(void *context, const char *path);
    /**
     * Optional: the head of a request is here, its body is not. True lets it in; false after answering it, and
     * the connection closes then if there is a body.
     */
    bool (*on_head)(void *context, struct http_exchange *exchange);
    void (*on_request)(void *context, struct http_exchange *exchange);
};

/** The request. Text is NUL-terminated, decoded, and lives until the answer is complete. */
const char *http_path(const struct http_exchange *exchange);
/** What {name} matched (index by order of appearance), or the "*" rest; percent-decoded; "" when absent. */
const char *http_path_part(const struct http_exchange *exchange, size_t index);
/** Query parameter, percent-decoded, or NULL. */
const char *http_query(const struct http_exchange *exchange, const char *name);
/** The first header of this name, in lower case; NULL when absent. */
const char *http_header(const struct http_exchange *exchange, const char *name);
/** How many headers of this name there are: http_header() is the first. */
unsigned http_header_count(const struct http_exchange *exchange, const char *name);
const char *http_body(const struct http_exchange *exchange, size_t *out_length);
/** The client's: behind a proxy we trust the one that it names. "" when the proxy does not know it, which is not loopback. */
const char *http_peer_address(const struct http_exchange *exchange);
bool http_peer_is_loopback(const struct http_exchange *exchange);

/** Did it come in by the port for producers and operators? */
bool http_is_admin(const struct http_exchange *exchange);

/** Extra answer headers, before http_answer/http_stream_start. Copied. At most 16. */
void http_set_header(struct http_exchange *exchange, const char *name, const char *value);

/**
 * Answer and finish. body is copied, or borrowed until the answer is sent when
 * is_static (memory that outlives the listener). Exactly one answer per exchange.
 */
void http_answer(struct http_exchange *exchange, int status, const char *content_type, const void *body,
                 size_t length, bool is_static);
/** application/problem+json: {title, status, code, detail?}. code is a stable name. */
void http_problem(struct http_exchange *exchange, int status, const char *code, const char *detail);

/**
 * Be told that the peer left before the answer was given: drop the exchange then, do not answer it.
 * Needed by whoever keeps an exchange after on_request returned.
 */
void http_on_gone(struct http_exchange *exchange, void (*on_gone)(void *owner), void *owner);

/** A stream that stays open: the exchange of an SSE viewer. The same write rules as ws.h. */
struct http_stream_events {
    void (*on_writable)(void *owner);
    void (*on_closed)(void *owner); /* exactly once; the exchange is invalid after it returns */
};
/** Send the head (200, content_type, no length) and keep the connection. RESULT_CLOSED: gone, no events follow. */
MUST_CHECK enum result http_stream_start(struct http_exchange *exchange, const char *content_type,
                                         const struct http_stream_events *events, void *owner);
bool http_stream_can_write(struct http_exchange *exchange);
MUST_CHECK enum result http_stream_write(struct http_exchange *exchange, const void *from, size_t length);
void http_stream_request_writable(struct http_exchange *exchange);
/** Safe in any callback; on_closed follows. */
void http_stream_close(struct http_exchange *exchange);

#endif
