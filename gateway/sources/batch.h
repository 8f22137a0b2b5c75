/**
 * Changes gathered for one submission by a source that makes them itself.
 *
 * A batch is filled, submitted, and freed when the pipeline is done with it.
 */
#ifndef SOPHIA_SOURCES_BATCH_H
#define SOPHIA_SOURCES_BATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline.h"

struct batch {
    struct submission_item *items; /* owned */
    size_t count, capacity;
    bool failed; /* memory ran out: something is missing in it */
};

struct batch *batch_create(void);
void batch_destroy(struct batch *batch);
/** For one inside another struct, which is zeroed to begin with. */
void batch_finish(struct batch *batch);

/** A zeroed item, or NULL when memory ran out. Valid until the next call. */
struct submission_item *batch_add_item(struct batch *batch);
/** A zeroed change for this field, or NULL when memory ran out. Valid until the next call. */
struct change *batch_add(struct batch *batch, const char *field, int64_t as_of_ms);
/** The same with its value. Owns: takes the reference, NULL included (memory ran out: nothing is added). */
struct change *batch_put(struct batch *batch, const char *field, int64_t as_of_ms, json_t *value);

#endif
