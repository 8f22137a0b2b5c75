/**
 * What hub.c and viewer.c share: the structs behind their public headers.
 * Nobody outside fanout/ includes this.
 */
#ifndef SOPHIA_FANOUT_HUB_INTERNAL_H
#define SOPHIA_FANOUT_HUB_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/wheel.h"
#include "fanout/hub.h"

/** A viewer's cursor on one board. What every flush reads is in front, in one cache line. */
struct subscription {
    struct list_node in_topic;
    struct viewer *viewer;
    struct topic *topic;
    struct topic_view *view;
    uint64_t cursor;          /* the viewer was told up to this offset */
    uint64_t next_send_ms;    /* monotonic; not before */
    uint32_t min_interval_ms; /* 0 = no limit */
    bool needs_snapshot;
    bool is_hidden;
    bool
        is_ahead; /* another node told it more than our board knows yet: `cursor` and the nonce are checked once we do */

    struct list_node in_viewer;
    struct wheel_entry due; /* armed while the viewer's rate holds it back */
    double max_rate;        /* as granted, for the echo */
    uint32_t ahead_nonce;
    uint64_t ahead_until_ms; /* monotonic; then it gets what we have */
};

/*
 * A pass over the members of a list, in slices. Members may come and go in between: the step_over functions keep `next` on
 * the list.
 */
struct walk {
    struct list_node queued; /* in hub.walks until the pass is over */
    const struct walk_kind *kind;
    struct list_node *head; /* of the members */
    struct list_node *next; /* the next to be visited; NULL: not begun */
};

struct answer {
    struct answer *next;
    struct frame *frame;
};

/*
 * OPEN -> CLOSING -> destroyed. CLOSING: the transport was asked to close, nothing more is written.
 */
enum viewer_state { VIEWER_OPEN, VIEWER_CLOSING };

struct viewer {
    struct hub *hub;
    const struct viewer_ops *ops;
    void *transport;
    struct answer *answers; /* oldest first */
    uint8_t form;           /* enum wire_form */
    uint8_t state;          /* enum viewer_state */
    bool awaits_writable;
    bool is_welcome; /* before that it hears nothing unasked */
    uint8_t subscription_count;
    uint16_t answer_count;
    uint32_t answer_bytes;
    struct answer **answers_end;
    struct list_node in_hub;
    struct list_node subscriptions; /* struct subscription.in_viewer */
    char *roles;                    /* of its token, separated by blanks; NULL: came in without one */
};

/** What one kind of viewer sees of a topic, and what was encoded for it. */
struct topic_view {
    struct list_node in_topic;
    struct topic *topic;
    struct view *rules; /* owned; NULL: everything */
    struct encoder_cache cache;
    struct frame *heartbeats[WIRE_FORM_COUNT]; /* of the slice under way */
    uint32_t watchers;                         /* subscriptions */
    bool is_outdated;                          /* its definitions are not in force any more */
};

struct topic {
    struct list_node in_hub;
    struct walk flush_walk; /* queued while a flush is due now, or under way */
    struct walk heartbeat_walk;
    struct list_node
        flushed_now; /* in hub.flushed_now from the end of a pass until its last frame has left */
    struct hub *hub;
    struct board *board;
    struct list_node views; /* struct topic_view.in_topic; asked for longest ago first */
    size_t view_count;
    uint64_t epoch;                 /* of the board when it was last looked at: a rebase may change it */
    struct list_node subscriptions; /* struct subscription.in_topic */
    uint32_t subscription_count;
    bool may_lag;             /* another process may have told a viewer more than this board knows yet */
    struct wheel_entry flush; /* armed while changes gather */
    uint64_t flushed;         /* viewers at or beyond this offset are at the head */
    uint64_t flush_from;      /* where the newest flush began: its shared frame starts here */
    uint64_t pass_flushed; /* `flushed` when the newest pass began: it leaves no reading viewer behind this */
    bool has_changed_since; /* since the pass under way began: those it told first need another */
    uint64_t promised_us;   /* when the changes that gather should leave; 0 = none gather */
    uint64_t leaving_us;    /* the same, of the changes that the pass under way began with */
};

struct hub_metrics {
    struct metric *viewers[WIRE_FORM_COUNT];
    struct metric *deflating;
    struct metric *subscriptions;
    struct metric *updates;
    struct metric *snapshots;
    struct metric *heartbeats;
    struct metric *answers;
    struct metric *bytes;
    struct metric *coalesced;
    struct metric *slow;
    struct metric *flushes;
    struct metric *push_seconds;
    struct metric *resync_first;
    struct metric *resync_unknown;
    struct metric *resync_reset;
    struct metric *resync_failover;
    struct metric *resumed;
    struct metric *views;
    struct metric *views_refused;
    struct metric *views_changed;
    struct metric *views_ended;
};

struct hub {
    struct hub_options options;
    struct hub_host host;
    struct encoder *encoder;
    struct map topics; /* board id -> struct topic */
    struct list_node topic_list;
    struct list_node viewers;
    uint32_t viewer_count;
    uint32_t subscription_count;
    bool is_cut_off;                           /* the order that processes share cannot be heard */
    struct list_node walks;                    /* what is to be done now, first come first served */
    struct walk idle_walk;                     /* heartbeats for viewers that watch nothing */
    struct list_node flushed_now;              /* topics */
    struct frame *heartbeats[WIRE_FORM_COUNT]; /* of the slice under way, for viewers that watch nothing */
    uint64_t slice_ends_us;
    bool is_due_late; /* viewers held back by their rate had no turn in the last slice */
    struct wheel flush_wheel;
    struct wheel due_wheel;
    uint64_t next_heartbeat_ms;
    uint64_t wake_ms;                              /* asked of the host; UINT64_MAX = nothing */
    struct source_health sources[HUB_SOURCES_MAX]; /* name and reason are owned */
    size_t source_count;
    char *node;
    char *build;
    char *catalog;
    bool is_demo;
    struct hub_metrics metrics;
    struct bytes scratch;
};

void hub_wake(struct hub *hub, uint64_t monotonic_ms);
/** This viewer leaves the list that idle_walk visits. */
void hub_step_over(struct hub *hub, const struct viewer *viewer);
/** This subscription leaves its topic. */
void topic_step_over(struct topic *topic, const struct subscription *subscription);
/** A cursor ahead of the board: does it stand on the board's history, now that the board has got there? */
void subscription_judge_ahead(struct subscription *subscription);
/** Write what this subscription is due, or note why not. */
void subscription_serve(struct subscription *subscription, struct moment now);
/** Remove from topic and viewer, and free. */
void subscription_destroy(struct subscription *subscription);
bool viewer_can_write(struct viewer *viewer);
/** Write a shared frame; the caller has checked viewer_can_write. */
bool viewer_write(struct viewer *viewer, struct frame *frame, struct metric *count);
/** Write a frame to this viewer alone, in order with its other answers. NULL, for want of memory, closes it. */
void viewer_say_frame(struct viewer *viewer, struct frame *frame);
/** Tell one viewer the heartbeat of its board, now or with its answers. */
void topic_heartbeat_one(const struct topic_view *view, struct viewer *viewer, struct moment now);
/** Flush at the next turn, whatever gathers. */
void topic_make_urgent(struct hub *hub, struct topic *topic);
void topic_views_init(struct topic *topic);
void topic_views_finish(struct topic *topic);
/** What is encoded is of no use any more. */
void topic_views_clear(const struct topic *topic);
void topic_views_forget_heartbeats(const struct topic *topic);

#endif
