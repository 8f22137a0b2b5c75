/**
 * Everything left of the sources and transports, small and without a loop: hub, pipeline,
 * a memory journal that can be held back, and the definitions that ship with the gateway.
 */
#ifndef SOPHIA_TESTS_SMALL_GATEWAY_H
#define SOPHIA_TESTS_SMALL_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "fanout/hub.h"
#include "journal/journal.h"
#include "pipeline.h"

struct small_gateway {
    struct metrics *metrics;
    struct hub *hub;
    struct pipeline *pipeline;
    struct journal *journal;
};

/** Fails the test when anything cannot be made. definitions: a directory, or NULL for none in force. */
void small_gateway_init(struct small_gateway *gateway, const char *definitions);
void small_gateway_finish(struct small_gateway *gateway);

/** The clock of everything in it. */
extern struct moment small_now;
struct moment small_gateway_now(void);

/** Submissions wait from now on; release lets them through, in order. */
void small_gateway_hold(void);
void small_gateway_release(void);
/** As release, but what was held is answered UNAVAILABLE: the journal was cut off. */
void small_gateway_cut_off(void);

/** A field's wire text on a board, or NULL. Lives until the next change. */
const char *small_gateway_value(const struct small_gateway *gateway, const char *board, const char *field);

#endif
