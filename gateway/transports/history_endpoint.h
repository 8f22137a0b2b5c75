/**
 * GET /api/v1/kpis/{id}/history: what memory keeps, and beyond that, where the KPI has a query, what the database has.
 *
 * Spec: PROTOCOL.md, "History".
 */
#ifndef SOPHIA_TRANSPORTS_HISTORY_ENDPOINT_H
#define SOPHIA_TRANSPORTS_HISTORY_ENDPOINT_H

#include <stddef.h>

#include "access/access.h"
#include "base/metrics.h"
#include "history_reader.h"
#include "io/listener.h"
#include "pipeline.h"

struct history_endpoint;

struct history_endpoint_options {
    struct listener *listener;
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    struct history_reader *reader; /* NULL: memory is all there is */
};

/** Adds its route. Owns: everything in options outlives it. NULL when memory ran out. */
struct history_endpoint *history_endpoint_create(const struct history_endpoint_options *options);
/** After the listener is gone; reads under way may still be answered. NULL is allowed. */
void history_endpoint_destroy(struct history_endpoint *endpoint);

#endif
