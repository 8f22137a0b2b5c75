/**
 * A viewer's copy of one board: an independent reading of PROTOCOL.md, "Overlays" and "Trimming", against
 * which the gateway is checked. Takes messages as JSON; shares no code with state/ or protocol/overlay.
 */
#ifndef SOPHIA_TESTS_BOARD_COPY_H
#define SOPHIA_TESTS_BOARD_COPY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/position.h"
#include "state/board.h"

struct row_limit {
    const char *kpi;
    enum row_rule rule;
    uint32_t cap;
};

struct board_copy {
    const struct row_limit *limits; /* borrowed */
    size_t limit_count;
    json_t *fields; /* owned: field -> value */
    bool has_position;
    char epoch[17];
    char nonce[9];
    uint64_t offset;
    uint32_t mark;    /* of the view that the newest snapshot told of: nonces are told XOR it */
    bool may_go_back; /* a snapshot may: the node that sends it lags behind the one it came from */
    unsigned snapshots, updates, dropped, gaps;
};

void board_copy_init(struct board_copy *copy, const struct row_limit *limits, size_t limit_count);
void board_copy_finish(struct board_copy *copy);
/** Starts as another copy is: a viewer that was left behind here. */
void board_copy_clone(const struct board_copy *from, struct board_copy *out_copy);

/**
 * Take a snapshot or update. Fails the test when an offset or a field's rev goes back, or a snapshot of the
 * same epoch is older than what is held. false: a gap; the copy is unchanged.
 */
bool board_copy_take(struct board_copy *copy, const json_t *message);
struct position board_copy_position(const struct board_copy *copy);

/** Fails the test unless position, fields, values and revs are the board's. */
void board_copy_assert_equal(const struct board_copy *copy, const struct board *board);

/** The message the gateway would send for an overlay, parsed: an owned reference. */
json_t *overlay_message(const struct overlay *overlay);

#endif
