/**
 * All the sources of this process: which there are is the configuration's to say.
 *
 * Where several processes share one order, what one reads for all (queries, notifications) is read by
 * whoever holds a lease in Redis.
 */
#ifndef SOPHIA_SOURCE_SET_H
#define SOPHIA_SOURCE_SET_H

#include <stdbool.h>

#include "access/access.h"
#include "base/metrics.h"
#include "config/config.h"
#include "data_path.h"
#include "health.h"
#include "io/listener.h"
#include "io/loop.h"
#include "pipeline.h"

struct source_set;

struct source_set_options {
    const struct config *config;
    struct loop *loop;
    struct listener *listener;
    struct listener *ingest_listener; /* the same, or the one for producers */
    struct pipeline *pipeline;
    const struct access *access;
    struct metrics *metrics;
    struct health *health;
    struct data_path *data_path;
    const char *node;
};

/** Owns: everything in options outlives the set. NULL when memory ran out. */
struct source_set *source_set_create(const struct source_set_options *options);
/** False after logging which could not. */
bool source_set_start(struct source_set *set);
/** Read again what sources keep in files of their own: secrets of webhooks. False after logging what stays as it was. */
bool source_set_reload(struct source_set *set);
/** No submission begins after this. NULL is allowed. */
void source_set_stop(struct source_set *set);
/** After the journals. NULL is allowed. */
void source_set_destroy(struct source_set *set);

#endif
