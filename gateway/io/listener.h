/**
 * Ports: our own SO_REUSEPORT listening sockets, what carries WebSockets behind
 * them, and the routes that HTTP requests and WebSocket upgrades take.
 *
 * Everything libwebsockets needs is behind this header, http.h and ws.h; the
 * reasons for each odd step are in listener.c. No other room includes it.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_IO_LISTENER_H
#define SOPHIA_IO_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "io/forwarded.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/ws.h"
#include "protocol/result.h"

struct listener;
struct tls;

struct listener_options {
    const char *host;         /* address to bind, as "127.0.0.1", "::", "0.0.0.0" */
    uint16_t port;            /* 0 = any free port; listener_port() tells which */
    uint32_t backlog;         /* connections the kernel keeps for us; 0 = as many as it allows */
    uint32_t max_connections; /* accepted beyond it: answered 503 or closed, counted */
    uint32_t
        max_connections_per_address; /* accepted beyond it: answered 429 and closed, counted; 0 = no limit */
    uint32_t requests_per_s_per_address; /* more is answered 429; 0 = no limit */
    uint32_t accepts_per_s;              /* more wait in the backlog; 0 = no limit */
    uint32_t send_buffer_bytes;          /* SO_SNDBUF of accepted sockets */
    bool accepts_deflate;                /* permessage-deflate, of WebSockets that offer it */
    bool uses_io_uring;                  /* for writes to many WebSockets, where the kernel allows it */
    uint32_t ping_after_s;               /* protocol ping after this long without a sign of life */
    uint32_t hang_up_after_s;            /* and gone after this long */
    uint32_t request_timeout_s;          /* slow headers and bodies, and TLS handshakes */
    struct tls *tls;                     /* borrowed: the port speaks TLS; NULL: plain */
    uint32_t hsts_max_age_s;             /* over TLS: for Strict-Transport-Security; 0: do not send it */
    const char *const *extra_headers;    /* NULL-terminated "Name: value" pairs sent on every HTTP answer */
    const char *const *allowed_origins;  /* as origins of doors.h */
    const char *const *allowed_hosts;    /* as hosts of doors.h */
    const char *const
        *trusted_proxies; /* NULL-terminated networks, as ip_network_parse() reads them; NULL: none */
    enum forwarded_form forwarded_form; /* which header tells whom a trusted proxy serves */
    bool is_admin;              /* a port for producers and operators: counted apart, without WebSockets */
    uint32_t other_connections; /* of other ports of this process: descriptors are kept for them, too */
    bool takes_proxy_protocol; /* connections begin with a PROXY header, and come from trusted proxies only */
};

/** Owns: the caller keeps the strings alive. Errors: NULL, after logging why. */
struct listener *listener_create(struct loop *loop, struct metrics *metrics,
                                 const struct listener_options *options);

/** Routes must be added before listener_start. See http.h and ws.h. */
void listener_add_http(struct listener *listener, const struct http_route *route);
void listener_add_ws(struct listener *listener, const struct ws_route *route);

/** Bind and accept. RESULT_IO after logging the address and the reason. */
MUST_CHECK enum result listener_start(struct listener *listener);
uint16_t listener_port(const struct listener *listener);
/** Is the bound address a loopback address? */
bool listener_is_loopback(const struct listener *listener);

/** Drain, step 1: close the listening sockets, keep connections. */
void listener_stop_accepting(struct listener *listener);
/** Of the options; fewer, once started, when the process may not open so many descriptors. */
uint32_t listener_max_connections(const struct listener *listener);
/** Open connections of any kind. */
uint32_t listener_connection_count(const struct listener *listener);

/** HTTP requests being read or answered; streams and idle connections are not among them. */
uint32_t listener_busy_count(const struct listener *listener);

/** Closes what is left. Runs the loop as long as libwebsockets needs; not inside a callback. */
void listener_destroy(struct listener *listener);

#endif
