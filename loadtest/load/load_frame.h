/**
 * One message of the gateway, read far enough to be checked. Thousands of viewers get the same bytes, so a message is
 * parsed once and found again by comparing bytes (memo).
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_FRAME_H
#define SOPHIA_LOADTEST_LOAD_LOAD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/gateway_message.h"
#include "protocol/position.h"
#include "protocol/result.h"

enum load_frame_type {
    FRAME_OTHER, /* nothing to check: welcome, pong, what is yet to be invented */
    FRAME_SUBSCRIBED,
    FRAME_SNAPSHOT,
    FRAME_UPDATE,
    FRAME_HEARTBEAT,
    FRAME_MOVED,
    FRAME_ERROR,
    FRAME_BROKEN, /* not JSON, or a member of the above is missing or of the wrong type */
};

struct load_entry {
    const char *field; /* borrowed from the frame */
    uint32_t index;    /* of the field on its board; set by load_verify_frame() */
    uint64_t rev;
    uint64_t hash;     /* of the value without rev, members in order of their names; 0 for a deletion */
    uint64_t value_us; /* the moment that the value carries; 0: none */
};

struct load_frame {
    enum load_frame_type type;
    char board[BOARD_ID_MAX_BYTES + 1]; /* empty: none */
    uint32_t board_index;               /* set by load_verify_frame(); UINT32_MAX: not ours */
    bool has_position;
    struct position to;
    uint64_t from;
    struct load_entry *entries; /* owned; deletions last */
    uint32_t count, removed;    /* entries; how many of them are deletions */
    uint32_t moments;           /* entries with a value_us */
    enum resume_outcome resume;
    int64_t code;      /* of an error */
    void *owned_names; /* the parsed text that fields borrow from */
};

/** Decode one message; FRAME_BROKEN is a type, not a failure. Result: NO_MEMORY. */
MUST_CHECK enum result load_frame_decode(const char *text, size_t length, struct load_frame *out_frame);
void load_frame_finish(struct load_frame *frame);

enum { LOAD_MEMO_SLOTS = 256 };

struct load_memo_slot {
    char *text; /* owned */
    size_t length, capacity;
    struct load_frame frame;
};

/** The newest messages, one for each value of a hash of their beginning, which holds the position. */
struct load_memo {
    struct load_memo_slot slots[LOAD_MEMO_SLOTS];
    uint64_t parsed; /* how many were not found */
};

/**
 * The message as a frame. Owns: it is the memo's, until another takes its place. out_is_new: it was just parsed.
 * NULL: out of memory.
 */
struct load_frame *load_memo_look(struct load_memo *memo, const char *text, size_t length, bool *out_is_new);
void load_memo_finish(struct load_memo *memo);

#endif
