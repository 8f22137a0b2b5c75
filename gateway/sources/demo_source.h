/**
 * Invented data for trying the gateway out: deterministic, marked in every value, and
 * loud. Off unless asked for. What it tells is demo_story.h's business; this is the clock
 * that makes it speak.
 */
#ifndef SOPHIA_SOURCES_DEMO_SOURCE_H
#define SOPHIA_SOURCES_DEMO_SOURCE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "pipeline.h"
#include "sources/source.h"

/** Speeds beyond these are cut. */
#define DEMO_SPEED_MIN 0.01
#define DEMO_SPEED_MAX 1000.0

struct demo_source_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct metrics *metrics;
    uint64_t seed;
    double speed;               /* demo seconds per second; 1 = a business day in ten minutes */
    struct moment (*now)(void); /* clock_moment; tests pass a fixed one */
};

/** Owns: everything in options outlives the source. NULL when memory ran out. */
struct source *demo_source_create(const struct demo_source_options *options);

/** Tell the next demo second now: what the timer does. For tests. */
void demo_source_step(struct source *source);

#endif
