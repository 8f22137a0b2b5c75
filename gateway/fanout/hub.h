/**
 * Who watches what, and the flush: which viewers are told of a change, when.
 *
 * Changes gather per board for its flush window; then every viewer at the head
 * gets the same frame, written from here. A viewer that cannot be written to, asked
 * for a lower rate, or is hidden stays behind its cursor and later gets one
 * overlay for its whole range.
 *
 * Cost: a flush is O(changed fields) once plus O(1) per viewer of the board. It goes in slices of HUB_SLICE_US at most: between
 * two of them the loop reads, and what changed meanwhile goes to those not yet told, merged.
 * Loop: loop thread. Never reads a clock: the moment is passed in.
 */
#ifndef SOPHIA_FANOUT_HUB_H
#define SOPHIA_FANOUT_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "fanout/encoder.h"
#include "fanout/viewer.h"
#include "protocol/limits.h"
#include "state/board.h"
#include "views/view.h"

struct hub_options {
    uint32_t max_viewers;
    uint32_t max_topics;
    uint32_t heartbeat_ms;
    uint32_t deflate_min_bytes; /* smaller messages are not deflated; 0: none is */
};

/** How long hub_run() may go on. With what is held then leaving, and one encoding, the loop is busy for 5 ms at most. */
enum { HUB_SLICE_US = 3000 };

/** What the hub needs from its owner. */
struct hub_host {
    void *context;
    /** Call hub_run() at this monotonic time, or earlier. The earliest request counts. */
    void (*wake_at)(void *context, uint64_t monotonic_ms);
    /** Monotonic microseconds. */
    uint64_t (*now_us)(void *context);
    /** Between these two calls transports may keep what viewers are sent, and write it together. NULL: they may not. */
    void (*hold_writes)(void *context);
    void (*release_writes)(void *context);
};

struct hub;
struct topic;
struct topic_view;

/** Owns: metrics and host->context outlive the hub. NULL when memory ran out. */
struct hub *hub_create(const struct hub_options *options, const struct hub_host *host,
                       struct metrics *metrics, struct moment now);
/** Viewers must be gone. NULL is allowed. */
void hub_destroy(struct hub *hub);

struct encoder *hub_encoder(struct hub *hub);
/** What heartbeats and welcomes say. The strings are copied. */
void hub_set_identity(struct hub *hub, const char *node, const char *build, bool is_demo);
/** New definitions are in force: every viewer hears it at the next turn. */
void hub_set_catalog(struct hub *hub, const char *hash, struct moment now);

/** Owns: borrows the board until hub_remove_topic. NULL when full or out of memory. */
struct topic *hub_add_topic(struct hub *hub, struct board *board);
/** Its viewers are told unknown_board; those by WebSocket stay connected, event streams end. */
void hub_remove_topic(struct hub *hub, struct topic *topic);
struct topic *hub_topic(const struct hub *hub, const char *board);
/** Other processes order this board too: a viewer whose position is ahead of it waits a moment for the board to get there. */
void topic_set_may_lag(struct topic *topic, bool may_lag);
/** The order that other processes share cannot be heard now: who is ahead of a board waits for as long, instead of going back to what we have. */
void hub_set_cut_off(struct hub *hub, bool is_cut_off);
struct board *topic_board(struct topic *topic);

/**
 * Views of one board that are watched at one time, and how many more are kept for who comes next or asks by HTTP. Definitions
 * and tokens decide how many there can be; a viewer that would need one more is refused.
 */
enum { TOPIC_VIEWS_MAX = BOARD_VIEWS_MAX, TOPIC_VIEWS_IDLE_MAX = 4 };

/** With whose eyes a board is seen. */
struct rights {
    struct catalog *catalog; /* in force */
    const struct board_definition *board;
    struct audience audience; /* that is permitted to watch it */
};

/**
 * The view of this topic with these rights, shared by all who see the same. rights NULL: everything, for a board without definitions.
 * Owns:   the topic. It stays while somebody watches it, and at least until the next is asked for.
 * Result: FULL, NO_MEMORY.
 */
MUST_CHECK enum result topic_find_view(struct topic *topic, const struct rights *rights,
                                       struct topic_view **out_view);
struct encoder_cache *topic_view_cache(struct topic_view *view);
/** NULL: everything. */
struct view *topic_view_rules(struct topic_view *view);

/** How a viewer with these roles (as viewer_set_roles()) sees the topic now. Result: FORBIDDEN when it may not; those of topic_find_view(). */
typedef enum result hub_judge_fn(void *context, const char *roles, struct topic *topic,
                                 struct topic_view **out_view);
/**
 * Other definitions are in force. Whoever sees something else than before gets a snapshot at the next turn; a subscription that is
 * not permitted any more ends with error 4103, and so does the event stream it was for.
 */
void hub_rejudge(struct hub *hub, hub_judge_fn *judge, void *context, struct moment now);
/** The same for one viewer whose roles have changed, at once. */
void viewer_rejudge(struct viewer *viewer, hub_judge_fn *judge, void *context, struct moment now);

/** The board has moved on; tell viewers within coalesce_ms (0 = end of this turn). */
void hub_board_changed(struct hub *hub, struct topic *topic, uint32_t coalesce_ms, struct moment now);
/** The board started afresh (new epoch): everyone gets a snapshot. */
void hub_board_reset(struct hub *hub, struct topic *topic, struct moment now);
/**
 * The board was exchanged (board_reload()): what it had published after `common` may never have been. Viewers
 * at or before it stay and get one overlay, all others a snapshot; has_common false: everyone.
 */
void hub_board_rebased(struct hub *hub, struct topic *topic, bool has_common, uint64_t common,
                       struct moment now);

/** Flush what is due, serve who is due, send heartbeats: a slice of it, after which the host is asked for the next. */
void hub_run(struct hub *hub, struct moment now);

enum { HUB_SOURCES_MAX = 16 };
/** A source's sign of life. A change of is_up is told to every viewer at the next turn. reason: NULL while up; copied. */
void hub_report_source(struct hub *hub, const char *name, bool is_up, const char *reason, struct moment now);
size_t hub_sources(const struct hub *hub, const struct source_health **out_sources);

/** welcome to this viewer. clock_ms: echo of its clock, when it sent one. */
void hub_welcome(struct hub *hub, struct viewer *viewer, const int64_t *clock_ms, struct moment now);

/** Ask every viewer to come back after its own share of window_ms. url may be NULL. */
void hub_drain(struct hub *hub, uint32_t window_ms, const char *url);
/** Close whoever is left. */
void hub_close_all(struct hub *hub, enum close_reason reason);
uint32_t hub_viewer_count(const struct hub *hub);
uint32_t topic_viewer_count(const struct topic *topic);

#endif
