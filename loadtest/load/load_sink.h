/**
 * Where a producer writes: the gateway's ingest, a Redis channel, or the state table in PostgreSQL. Everything waits; it has a
 * thread of its own.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_SINK_H
#define SOPHIA_LOADTEST_LOAD_LOAD_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/load_scenario.h"
#include "loadtest/load/load_stream.h"

#define LOAD_REDIS_CHANNEL "load-changes"

/** Where the three are. */
struct load_sink_options {
    enum producer_kind kind;
    uint32_t slots;                    /* requests at one moment */
    uint32_t value_bytes;              /* text beside each moment; then the fields are rows */
    const struct load_address *ingest; /* borrowed */
    const char *ingest_key;            /* NULL: none */
    const char *redis;                 /* HOST:PORT */
    const char *postgres;              /* URL or connection string */
};

/** One change: `value_us` is what the field becomes. */
struct load_write {
    const char *field;
    uint64_t value_us;
};

struct load_sink;

/** NULL: out_problem says why. */
struct load_sink *load_sink_open(const struct load_sink_options *options,
                                 char out_problem[SCENARIO_PROBLEM_BYTES]);
void load_sink_close(struct load_sink *sink);

/** One request leaves, or what of it leaves at once. slot: below `slots`, its answer was taken. */
void load_sink_begin(struct load_sink *sink, uint32_t slot, const struct load_write *writes, uint32_t count);
/** Wait for its answer. How many changes were accepted as new values; false: not all were taken in. */
bool load_sink_finish(struct load_sink *sink, uint32_t slot, uint32_t *out_accepted);

#endif
