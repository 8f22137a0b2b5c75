/**
 * The texts that the journal's script writes and nodes read: publications on the channel and in the tail,
 * stored fields, tail ids. redis_journal.lua is the other end.
 *
 *   publication   1 P BOARD EPOCH FROM TO NONCE COUNT\n   then COUNT times
 *                 REV VERSION FIELD_BYTES VALUE_BYTES\n   ("-" instead of VALUE_BYTES: removed), field and
 *                 value, nothing between
 *   moved         1 M BOARD EPOCH\n                       the order began afresh or moved: read the board
 *   stored field  VERSION PUBLISHED OFFSET TEXT           TEXT is "v" and the value, or "d"
 *
 * Pure: bytes to structs. Whatever decodes is fit for a board: JSON objects, printable names, rising revs.
 */
#ifndef SOPHIA_JOURNAL_REDIS_WIRE_H
#define SOPHIA_JOURNAL_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/overlay.h"
#include "protocol/result.h"

struct wire_message {
    bool is_moved;     /* else a publication */
    const char *board; /* borrowed from the text, as all text of the publication; not NUL-terminated */
    size_t board_length;
    struct overlay publication; /* moved: only to.epoch is set */
    uint64_t *versions;         /* owned; of publication.entries */
    size_t version_capacity;
};

void wire_message_init(struct wire_message *message);
/** NULL is allowed. */
void wire_message_finish(struct wire_message *message);
/** Result: MALFORMED, NO_MEMORY. The message may be decoded into again and again. */
MUST_CHECK enum result wire_decode_message(const char *text, size_t length, struct wire_message *message);

struct wire_stored {
    uint64_t version;
    uint64_t offset;
    const char *value; /* borrowed; NULL = tombstone */
    size_t value_length;
};
/** Result: MALFORMED. */
MUST_CHECK enum result wire_decode_stored(const char *text, size_t length, struct wire_stored *out_stored);

/** "offset-nonce" into these two members of out_position. Result: MALFORMED. */
MUST_CHECK enum result wire_decode_id(const char *text, size_t length, struct position *out_position);
/** Decimal digits only, no leading zero but "0" itself, at most `most`. Result: MALFORMED. */
MUST_CHECK enum result wire_decode_number(const char *text, size_t length, uint64_t most,
                                          uint64_t *out_number);
/** 16 lower-case hex digits, not 0. Result: MALFORMED. */
MUST_CHECK enum result wire_decode_epoch(const char *text, size_t length, uint64_t *out_epoch);
bool wire_is_field(const char *text, size_t length);

#endif
