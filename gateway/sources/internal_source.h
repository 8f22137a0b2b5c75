/**
 * The gateway watching itself: its own metrics, sampled every second, become the
 * KPIs of the operations board. Works with no upstream at all.
 *
 * Also measures what no other module can: the lateness of the event loop and the
 * process's memory, processor time and descriptors.
 */
#ifndef SOPHIA_SOURCES_INTERNAL_SOURCE_H
#define SOPHIA_SOURCES_INTERNAL_SOURCE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "health.h"
#include "io/loop.h"
#include "pipeline.h"
#include "sources/source.h"

struct internal_source_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct metrics *metrics;
    struct health *health;      /* its loop_lag_p99_s is ours to write; its upstreams are told */
    const char *build;          /* version, for ops.release and gw_build_info; borrowed */
    const char *node;           /* name of this process; borrowed */
    uint32_t max_connections;   /* what ops.connections is measured against */
    struct moment (*now)(void); /* clock_moment */
};

/** Owns: everything in options outlives the source. NULL when memory ran out. */
struct source *internal_source_create(const struct internal_source_options *options);

/** Take one sample and submit it now: what the timer does each second. For tests. */
void internal_source_sample(struct source *source);

#endif
