/**
 * Changes by HTTP: POST /api/v1/data-flow/ingest.
 *
 * One request is one transaction. The answer says per item what became of it, and is
 * given when the journal has answered. Each item is judged alone; a refused one never
 * hides the others.
 * Spec: PROTOCOL.md, "Changes".
 */
#ifndef SOPHIA_SOURCES_HTTP_INGEST_H
#define SOPHIA_SOURCES_HTTP_INGEST_H

#include <stddef.h>
#include <stdint.h>

#include "access/access.h"
#include "base/metrics.h"
#include "io/listener.h"
#include "pipeline.h"
#include "sources/source.h"

/** A member of `data` and the field it becomes: "revenue" -> "exec.revenue_mtd". */
struct ingest_member {
    const char *member;
    const char *field;
};

/** How {"source_name": ..., "data": {...}} is turned into changes. */
struct ingest_mapping {
    const char *source_name;
    const struct ingest_member *members;
    size_t member_count;
};

struct http_ingest_options {
    struct listener *listener;
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    const struct ingest_mapping *mappings; /* borrowed */
    size_t mapping_count;
    uint32_t max_outstanding; /* requests waiting for the journal; one more is answered 503 */
};

/**
 * Adds the route; until start and after stop it answers 503.
 * Owns: everything in options outlives the source. Destroy it after the listener and before the pipeline's journal.
 * Errors: NULL when memory ran out.
 */
struct source *http_ingest_create(const struct http_ingest_options *options);

#endif
