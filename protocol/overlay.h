/**
 * An overlay: what changed on one board over a range of offsets.
 *
 * A board is a flat map field -> value and a value is whole, so overlays
 * compose exactly: per field the later entry wins, and a deletion is an entry.
 * compose is associative and idempotent; apply(compose(a, b)) equals
 * apply(b) after apply(a). tests/unit/protocol/test_overlay.c proves it on
 * random cases. Spec: PROTOCOL.md, "Overlays".
 */
#ifndef SOPHIA_PROTOCOL_OVERLAY_H
#define SOPHIA_PROTOCOL_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/position.h"
#include "protocol/result.h"

/** One field's newest value, or its deletion. Text is borrowed, not owned. */
struct overlay_entry {
    const char *field;
    size_t field_length;
    const char *value; /* JSON object text without "rev"; NULL when deleted */
    size_t value_length;
    uint64_t rev; /* offset of the field's last change */
};

/**
 * from is exclusive, to.offset inclusive: it takes a board at any offset c
 * with from <= c <= to.offset to the position `to`. A snapshot has
 * is_snapshot set and replaces the board whatever it held.
 */
struct overlay {
    uint64_t from;
    struct position to;
    bool is_snapshot;
    const char *view;              /* borrowed; of a snapshot: names what its viewers see; NULL: not told */
    struct overlay_entry *entries; /* owned array, each field at most once */
    size_t count;
    size_t capacity;
};

void overlay_init(struct overlay *overlay);
/** Frees the array, not the borrowed text. NULL is allowed. */
void overlay_finish(struct overlay *overlay);
void overlay_clear(struct overlay *overlay);

/**
 * Append one entry. The caller guarantees the field is not in it yet.
 * Result: RESULT_NO_MEMORY.
 */
MUST_CHECK enum result overlay_add(struct overlay *overlay, const struct overlay_entry *entry);

/**
 * a then b as one overlay, into an initialised, empty out_overlay; it borrows the
 * text of both. b must continue a: same epoch, b->from <= a->to.offset <= b->to.offset;
 * or b is a snapshot, which wins whole.
 * Cost:   O(a->count + b->count).
 * Result: RESULT_UNKNOWN_POSITION when b does not continue a, or both end at one offset with
 *         different nonces (two histories); RESULT_NO_MEMORY. A snapshot keeps no deletions.
 */
MUST_CHECK enum result overlay_compose(const struct overlay *a, const struct overlay *b,
                                       struct overlay *out_overlay);

#endif
