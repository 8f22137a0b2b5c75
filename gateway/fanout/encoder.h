/**
 * At most one encoding per range, view and wire form.
 *
 * The hub asks for "the frame that takes a viewer from here to the head"; the
 * first to ask pays, the rest share. A cache belongs to one board and is
 * valid for one head; a new head empties it.
 *
 * A cache belongs to one view of its board as well: what a view does not see is left out, and what it sees masked is masked, before
 * anything is encoded. Positions are told with the mark of the view (view_mark()).
 */
#ifndef SOPHIA_FANOUT_ENCODER_H
#define SOPHIA_FANOUT_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "fanout/frame.h"
#include "protocol/bytes.h"
#include "protocol/result.h"
#include "state/board.h"
#include "views/view.h"

struct encoder;

/** ENCODE_MAX_BYTES caps one message: a snapshot of the largest board definition allows. */
enum { ENCODE_MAX_BYTES = 16 * 1024 * 1024, ENCODER_CACHE_RANGES = 16, ENCODER_SNAPSHOT_MAX_AGE_MS = 1000 };

struct encoder_range {
    uint64_t from;
    bool is_snapshot;
    int64_t encoded_at_ms; /* wall time; snapshots only */
    struct frame *forms[WIRE_FORM_COUNT];
    char *message; /* owned: the JSON text all forms wrap */
    size_t message_length;
};

struct encoder_cache {
    const struct view *view; /* borrowed; NULL: everything */
    struct position head;    /* what the ranges lead to */
    size_t count;
    size_t oldest; /* replaced next when full */
    struct encoder_range ranges[ENCODER_CACHE_RANGES];
};

/** deflate_min_bytes: smaller messages are not deflated; 0: none is. */
struct encoder *encoder_create(struct metrics *metrics, uint32_t deflate_min_bytes);
void encoder_destroy(struct encoder *encoder);
/** Every frame says demo: true from now on, or no longer. Empty the caches afterwards. */
void encoder_set_demo(struct encoder *encoder, bool is_demo);

void encoder_cache_init(struct encoder_cache *cache, const struct view *view);
void encoder_cache_finish(struct encoder_cache *cache);
void encoder_cache_clear(struct encoder_cache *cache);

/** Writes the JSON object of recent points for a board's snapshot, of what `view` sees; appends nothing if there is none. */
typedef void encoder_history_fn(void *context, const char *board, const struct view *view, struct bytes *out);
void encoder_set_history(struct encoder *encoder, encoder_history_fn *print, void *context);

/**
 * The update that takes a viewer from offset `from` to the board's position.
 * Owns:   the cache; borrow it for the write, frame_ref() to keep it.
 * Result: UNKNOWN_POSITION (send a snapshot), NO_MEMORY, TOO_BIG.
 */
MUST_CHECK enum result encoder_update(struct encoder *encoder, struct encoder_cache *cache,
                                      const struct board *board, uint64_t from, enum wire_form form,
                                      struct frame **out_frame);
/**
 * The board as it is. now_ms: wall time. It is encoded anew when the time in the cached one is older
 * than ENCODER_SNAPSHOT_MAX_AGE_MS.
 */
MUST_CHECK enum result encoder_snapshot(struct encoder *encoder, struct encoder_cache *cache,
                                        const struct board *board, int64_t now_ms, enum wire_form form,
                                        struct frame **out_frame);
/** The snapshot's bare JSON text, for HTTP; lives until the board changes or a snapshot is asked for again. */
MUST_CHECK enum result encoder_snapshot_text(struct encoder *encoder, struct encoder_cache *cache,
                                             const struct board *board, int64_t now_ms, const char **out_text,
                                             size_t *out_length);

#endif
