/**
 * Viewers over WebSocket: the conversation of kpi.v1.
 *
 * Decodes what a viewer says, answers or closes by the table of codes, and lends
 * the hub a way to write. Per connection: hello first, a message rate, a number of
 * refused messages.
 * Spec: PROTOCOL.md, "WebSocket", "Codes".
 */
#ifndef SOPHIA_TRANSPORTS_WS_TRANSPORT_H
#define SOPHIA_TRANSPORTS_WS_TRANSPORT_H

#include <stdint.h>

#include "access/access.h"
#include "base/metrics.h"
#include "io/listener.h"
#include "io/loop.h"
#include "pipeline.h"
#include "transports/token_sessions.h"

struct ws_transport;

struct ws_transport_options {
    struct loop *loop;
    struct listener *listener;
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    struct token_sessions *sessions; /* of viewers with a token */
    uint32_t hello_timeout_ms;
};

/** Adds the route /ws. Owns: everything in options outlives it. NULL when memory ran out. */
struct ws_transport *ws_transport_create(const struct ws_transport_options *options);
/**
 * Between these two calls frames are kept, and leave together: for the hub (hub_host). Spares system calls, and writes several
 * frames for one viewer as one. NULL is allowed.
 */
void ws_transport_hold(struct ws_transport *transport);
void ws_transport_release(struct ws_transport *transport);

/** After the listener is gone. NULL is allowed. */
void ws_transport_destroy(struct ws_transport *transport);

#endif
