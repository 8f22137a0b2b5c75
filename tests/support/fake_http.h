/**
 * io/http.h and the routing half of io/listener.h without a socket: a test makes an
 * exchange, hands it to the route that matches, and looks at the answer. Link it instead of io's own.
 */
#ifndef SOPHIA_TESTS_FAKE_HTTP_H
#define SOPHIA_TESTS_FAKE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "io/http.h"

enum { FAKE_HEADERS_MAX = 24 };

struct fake_header {
    char name[64];
    char value[256];
};

/** A header of a request, its name in lower case; several of one name are several of these. */
struct fake_request_header {
    const char *name, *value;
};

struct http_exchange {
    /* the request; set by the test */
    const struct fake_request_header *sent; /* looked at before the members below; borrowed */
    size_t sent_count;
    const char *part; /* what {id} matched */
    const char *query_name, *query_value;
    const char *authorization, *if_none_match;
    const char *extra_name; /* a header that is there, whatever its value */
    const char *body;
    size_t body_length;
    bool is_remote; /* the peer is not on loopback */
    /* the answer; read by the test */
    int answers; /* how many were given */
    int status;
    char type[64];
    char *text; /* owned, NUL-terminated */
    size_t length;
    char code[64]; /* of a problem */
    struct fake_header headers[FAKE_HEADERS_MAX];
    size_t header_count;
    void (*on_gone)(void *owner);
    void *gone_owner;
};

/** Forget all routes. */
void fake_http_reset(void);
/** The route registered for this pattern, or NULL. */
const struct http_route *fake_http_route(const char *pattern);
/** Hand a request to its route. The exchange is the caller's; fake_http_finish() frees its text. */
void fake_http_send(const char *pattern, struct http_exchange *exchange);
void fake_http_finish(struct http_exchange *exchange);
/** The peer hangs up. */
void fake_http_leave(struct http_exchange *exchange);
/** Value of an answer header, or "". */
const char *fake_http_header(const struct http_exchange *exchange, const char *name);

#endif
