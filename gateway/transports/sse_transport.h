/**
 * Viewers over Server-Sent Events: one board per stream, nothing to say but the
 * request. A plain EventSource resumes by itself, because every snapshot and update
 * carries its position as the event's id.
 * Spec: PROTOCOL.md, "Server-Sent Events".
 */
#ifndef SOPHIA_TRANSPORTS_SSE_TRANSPORT_H
#define SOPHIA_TRANSPORTS_SSE_TRANSPORT_H

#include "access/access.h"
#include "base/metrics.h"
#include "io/listener.h"
#include "pipeline.h"
#include "transports/token_sessions.h"

struct sse_transport;

struct sse_transport_options {
    struct listener *listener;
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    struct token_sessions *sessions; /* of viewers with a token */
};

/** Adds the route. Owns: everything in options outlives it. NULL when memory ran out. */
struct sse_transport *sse_transport_create(const struct sse_transport_options *options);
/** After the listener is gone. NULL is allowed. */
void sse_transport_destroy(struct sse_transport *transport);

#endif
