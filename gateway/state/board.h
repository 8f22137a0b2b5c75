/**
 * One board: what is true now.
 *
 * A flat map field -> value, with the fields also linked in the order of their
 * last change. A publication goes in, an overlay since any offset comes out; the
 * overlay costs what changed since then, not what the board holds. There is no
 * log of changes: a field keeps the offset of its last change and that is enough.
 *
 * Loop: loop thread; never calls back.
 */
#ifndef SOPHIA_STATE_BOARD_H
#define SOPHIA_STATE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/overlay.h"
#include "protocol/position.h"
#include "protocol/result.h"

struct board;

struct board_options {
    size_t max_fields;     /* live fields and tombstones together */
    size_t max_tombstones; /* removed rows remembered for viewers that lag; the oldest is forgotten first */
    size_t max_positions;  /* nonces remembered; an older position is answered with a snapshot */
};

/** How the rows of a KPI are limited. Both ends trim alike (PROTOCOL.md, "Trimming"). */
enum row_rule {
    ROWS_NONE,   /* not a KPI with rows */
    ROWS_TABLE,  /* leave by deletion only */
    ROWS_FEED,   /* keep the cap rows with the highest rev */
    ROWS_SERIES, /* keep the cap rows with the greatest keys in byte order */
};

/** Owns: a copy of id. at: the position an empty board starts from. NULL when memory ran out. */
struct board *board_create(const char *id, const struct board_options *options, struct position at);
void board_destroy(struct board *board);

const char *board_id(const struct board *board);
struct position board_position(const struct board *board);
size_t board_field_count(const struct board *board);
/** Names and values of all live fields: what a snapshot carries, less a few dozen bytes per field. */
size_t board_text_bytes(const struct board *board);

/**
 * Declare the row rule of a KPI, before its first row or at a reload. A smaller
 * cap trims at the next change. After a larger cap or another rule, a viewer
 * that has not trimmed as this board has gets a snapshot.
 */
MUST_CHECK enum result board_set_rows(struct board *board, const char *kpi, enum row_rule rule, uint32_t cap);

/**
 * Apply one publication: entries with rising rev, from = our offset.
 * versions[i] is what the journal compared for entries[i]; changed_at_ms: wall time at which it was accepted.
 *
 * Owns:   copies the text.
 * Cost:   O(entries), plus the row count of a series that is over its cap.
 *         The text may be that of this board's own fields; a removed one is gone afterwards.
 * Result: UNKNOWN_POSITION when it does not continue this board (epoch differs or from is not our
 *         offset); FULL or NO_MEMORY when a value could not be stored: the board then is at the new
 *         position without it, and board_is_damaged() says so until the next board_reset().
 */
MUST_CHECK enum result board_apply(struct board *board, const struct overlay *publication,
                                   const uint64_t *versions, int64_t changed_at_ms);

/** Forget everything and start at another position (new epoch). Row rules stay. */
void board_reset(struct board *board, struct position at);
bool board_is_damaged(const struct board *board);

/** A whole board as somebody else holds it. Text is borrowed. */
struct board_image {
    struct position at;
    const struct overlay_entry *entries; /* rising rev; value NULL = tombstone */
    const uint64_t *versions;            /* of entries */
    size_t count;
    const struct position *known; /* older positions of the same order, rising offset */
    size_t known_count;
    uint64_t floor; /* the newest rev of a tombstone that is not among the entries any more; 0 = all are */
};

/**
 * Become the image. Row rules stay and trim. Positions are known as far as the image names them or
 * both histories share them. changed_at_ms: wall time, for fields whose value is another now.
 *
 * out_common: the highest offset up to which the board before and the image are one history (same epoch,
 *         equal nonce). A viewer at or below it is taken to the image by board_overlay_since(), any other needs a
 *         snapshot. *out_has_common false: every viewer does.
 * Result: FULL or NO_MEMORY when a field could not be stored: the board is at the image's position
 *         without it, damaged, and *out_has_common is false.
 */
MUST_CHECK enum result board_reload(struct board *board, const struct board_image *image,
                                    int64_t changed_at_ms, bool *out_has_common, uint64_t *out_common);

/**
 * The order starts afresh (new epoch, at.offset beyond ours) and fields stay: no position before `at` is known.
 * Follow with board_drop() and board_set_version() for those that do not.
 */
void board_restart(struct board *board, struct position at);
/** A field, live or tombstone, leaves without a trace. Only when every viewer gets a snapshot anyway. */
void board_drop(struct board *board, const char *field, size_t field_length);

/** A field's current wire text (without rev) or NULL; lives until the next change. */
const char *board_value(const struct board *board, const char *field, size_t field_length,
                        size_t *out_length);
/** The version of a field or of its tombstone. false when neither is known. */
bool board_version(const struct board *board, const char *field, size_t field_length, uint64_t *out_version);
/** What the journal shall compare with from now on, where it is not the newest change's version. 0: anything is news. */
void board_set_version(struct board *board, const char *field, size_t field_length, uint64_t version);
/** Live rows of a KPI; 0 when it has no row rule. */
size_t board_row_count(const struct board *board, const char *kpi, size_t kpi_length);

/** Do we know this position: the epoch is ours, the nonce for that offset matches, no tombstone after it was forgotten? */
MUST_CHECK enum result board_knows(const struct board *board, const struct position *position);

/**
 * What a viewer at `from` has missed, into an initialised overlay.
 *
 * Owns:   the overlay borrows the board's text until the next board_apply() or board_reset().
 * Cost:   proportional to the fields that changed after `from`.
 * Result: UNKNOWN_POSITION when a tombstone after `from` was forgotten or from is ahead; NO_MEMORY.
 *         out_changed_at_ms: when the oldest change carried was accepted; untouched when there is none.
 * Spec:   PROTOCOL.md, "Resuming".
 */
MUST_CHECK enum result board_overlay_since(const struct board *board, uint64_t from,
                                           struct overlay *out_overlay, int64_t *out_changed_at_ms);

/** The whole board as an overlay that replaces. Same ownership. */
MUST_CHECK enum result board_snapshot(const struct board *board, struct overlay *out_overlay);

/** Visit live fields, oldest change first: start with *cursor = NULL; false at the end. */
bool board_next_field(const struct board *board, const void **cursor, struct overlay_entry *out_entry);
/** Visit live fields and tombstones (value NULL) alike. */
bool board_next_change(const struct board *board, const void **cursor, struct overlay_entry *out_entry);
/** As board_next_field, over the live rows of one KPI. */
bool board_next_row(const struct board *board, const char *kpi, size_t kpi_length, const void **cursor,
                    struct overlay_entry *out_entry);

#endif
