/**
 * What a message of Redis says: JSON text to changes.
 *
 * Judges the text and its form; whether the catalogue likes the values is the pipeline's business.
 * Format: docs/redis.md, "What a message says".
 */
#ifndef SOPHIA_SOURCES_REDIS_PAYLOAD_H
#define SOPHIA_SOURCES_REDIS_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "protocol/result.h"
#include "sources/batch.h"
#include "sources/redis_mapping.h"

/** How a message is meant. */
struct redis_meaning {
    const struct catalog *catalog;
    enum redis_mapping_form form;
    const char *const *fields; /* KPI form: every KPI, or "kpi#row", that it feeds */
    size_t field_count;
    const char
        *name; /* of the hash entry it was read from: row key, or field, of a message that names none; NULL */
    uint64_t version; /* of changes that say none, hidden from viewers; 0: none */
};

/** What stands in a message and is used by nothing. */
struct redis_leftover {
    size_t count;
    char first[64]; /* its name, cut */
};

/**
 * Appends to the batch. Items that could not be read carry their outcome and detail. Default as_of: the pipeline's.
 * Result: TOO_BIG, TOO_DEEP, MALFORMED (not JSON, or nothing in it), TOO_MANY, NO_MEMORY: nothing of it is to be used.
 */
MUST_CHECK enum result redis_payload_decode(const struct redis_meaning *meaning, const char *text,
                                            size_t length, struct batch *batch,
                                            struct redis_leftover *out_leftover);

/** The version that a stream's entry id ("ms-sequence") stands for: rises with it; 0 when it fits no version. */
uint64_t redis_stream_version(const char *id);

#endif
