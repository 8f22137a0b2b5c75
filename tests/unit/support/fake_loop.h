/**
 * A pretended loop: a clock that jumps from one requested wake-up to the next, and calls hub_run() only then.
 */
#ifndef SOPHIA_TESTS_FAKE_LOOP_H
#define SOPHIA_TESTS_FAKE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "fanout/hub.h"

enum { FAKE_LOOP_TOPICS = 8, FAKE_LOOP_DEFLATE_MIN_BYTES = 100 };

struct fake_loop {
    struct metrics *metrics;
    struct hub *hub;
    struct moment now;
    uint64_t wake_ms; /* earliest request; UINT64_MAX = none */
    unsigned runs;
    uint32_t us_per_look; /* set by the test: how far the fine clock moves each time the hub looks at it */
    uint64_t looked_us;
};

void fake_loop_open(struct fake_loop *loop, uint32_t max_viewers, uint32_t heartbeat_ms);
void fake_loop_close(struct fake_loop *loop);
/** Run the hub once, as it asked for. false: it did not. */
bool fake_loop_slice(struct fake_loop *loop);
/** Let the time pass, running the hub whenever it asked for it. */
void fake_loop_pass(struct fake_loop *loop, uint64_t ms);
/** What is due at this very moment. */
void fake_loop_turn(struct fake_loop *loop);
/** Value of a counter or gauge; 0 when there is none. */
unsigned long fake_loop_metric(const struct fake_loop *loop, const char *name, const char *labels);
/** A board of the hub; fails the test when there is none. */
struct board *fake_loop_board(const struct fake_loop *loop, const char *id);
/** The wire text that a board holds for a field, or "(none)". */
const char *fake_loop_value(const struct fake_loop *loop, const char *board, const char *field);

#endif
