/**
 * Is what viewers get what PROTOCOL.md promises? Three nets, from cheap to thorough:
 *
 *   cursor   every viewer: positions continue, never go back, and end at the head
 *   board    every distinct message: offsets, nonces and values agree with every other message about the board, and a
 *            message names what changed in its range: its newest offset, and each field that another message told of
 *   copy     some viewers: the whole board, composed of overlays, compared with a snapshot at the end
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_VERIFY_H
#define SOPHIA_LOADTEST_LOAD_LOAD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "loadtest/load/load_frame.h"
#include "loadtest/load/load_schedule.h"

enum violation {
    VIOLATION_FORMAT,    /* a message that cannot be read, or is about a board nobody asked for */
    VIOLATION_GAP,       /* an update that does not continue what the viewer has */
    VIOLATION_BACK,      /* an update or snapshot from before what the viewer has */
    VIOLATION_HEARTBEAT, /* it tells of another history than the viewer has */
    VIOLATION_NONCE,     /* two nonces for one offset of one epoch */
    VIOLATION_REV,       /* a rev outside the message's range, or two fields with one rev */
    VIOLATION_MISSING, /* another message said that a field changed in this one's range; this one does not name it */
    VIOLATION_VALUE, /* two values for one rev, an older value for a newer rev, or one that was never due there */
    VIOLATION_CONTENT, /* a viewer's composed board is not the gateway's */
    VIOLATION_COUNT
};

const char *violation_name(enum violation violation);

enum { LOAD_EXAMPLES = 8, LOAD_EXAMPLE_BYTES = 240 };

struct load_board; /* what is known of one board */

struct load_verify {
    const struct scenario *scenario;      /* borrowed */
    const struct load_schedule *schedule; /* borrowed; NULL: values are somebody else's */
    struct load_board *boards;            /* owned, in the scenario's order */
    struct map by_id;
    uint64_t violations[VIOLATION_COUNT];
    char examples[LOAD_EXAMPLES][LOAD_EXAMPLE_BYTES]; /* the first ones, in words */
    uint32_t example_count;
};

MUST_CHECK enum result load_verify_init(struct load_verify *verify, const struct scenario *scenario,
                                        const struct load_schedule *schedule);
void load_verify_finish(struct load_verify *verify);
uint64_t load_verify_violations(const struct load_verify *verify);
void load_violation(struct load_verify *verify, enum violation violation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Check one distinct message and learn from it; names its board and its fields by number. Result: NO_MEMORY. */
MUST_CHECK enum result load_verify_frame(struct load_verify *verify, struct load_frame *frame);

/** Where one viewer is. */
struct load_cursor {
    bool has_position;
    bool
        is_resuming; /* it came back with its position and has heard nothing yet: the other node may be behind */
    struct position at;
};

enum load_taking {
    LOAD_TAKEN,
    LOAD_IGNORED, /* already known, or no position in it */
    LOAD_RESUME,  /* a gap: subscribe again with the position */
    LOAD_RESTART, /* another history: subscribe again without one */
};

/** A snapshot, update or heartbeat reaches a viewer. */
enum load_taking load_cursor_take(struct load_verify *verify, struct load_cursor *cursor,
                                  const struct load_frame *frame);

/** One viewer's board, composed. */
struct load_copy {
    struct load_held {
        uint64_t rev, hash; /* rev 0: not there */
    } * held;               /* owned, by field number */
    uint32_t capacity;
};

/** A message that was LOAD_TAKEN. Result: NO_MEMORY. */
MUST_CHECK enum result load_copy_take(struct load_verify *verify, struct load_copy *copy,
                                      const struct load_frame *frame);
/** Against a snapshot of the same position; false and a violation when they differ. */
bool load_copy_check(struct load_verify *verify, const struct load_copy *copy, const struct load_frame *head);
void load_copy_finish(struct load_copy *copy);

/** How many fields of the head changed after the viewer's position: final values that it never saw. */
uint64_t load_cursor_lost(const struct load_cursor *cursor, const struct load_frame *head);

#endif
