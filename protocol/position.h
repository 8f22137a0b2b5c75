/**
 * A position names one state of one board: epoch, offset, nonce.
 *
 * The epoch is new whenever a board's order starts afresh. The offset counts
 * applied changes. The nonce is a random word drawn with each publication; two
 * histories that share epoch and offset but not the nonce have diverged.
 * Spec: PROTOCOL.md, "Positions". Text form: epoch.offset.nonce, as
 * "6f1c0d9e2b7a4455.1284.9f3a2b1c".
 */
#ifndef SOPHIA_PROTOCOL_POSITION_H
#define SOPHIA_PROTOCOL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/limits.h"
#include "protocol/result.h"

struct position {
    uint64_t epoch;  /* printed as 16 lower-case hex digits; never 0 */
    uint64_t offset; /* <= INTEGER_MAX_EXACT */
    uint32_t nonce;  /* printed as 8 lower-case hex digits */
};

/** Result: RESULT_MALFORMED unless all of text is exactly one position. */
MUST_CHECK enum result position_parse(const char *text, size_t length, struct position *out_position);
/** Writes at most POSITION_TEXT_MAX_BYTES + 1 bytes, NUL included; returns the length. */
size_t position_print(const struct position *position, char out_text[POSITION_TEXT_MAX_BYTES + 1]);
bool position_equal(const struct position *a, const struct position *b);

#endif
