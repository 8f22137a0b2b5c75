/**
 * One connected reader: its subscriptions, its cursors, its answers.
 *
 * A subscription is a cursor: the offset up to which the viewer was told. What
 * it misses is computed when it can be written to, so a viewer that does not
 * read costs a cursor, not a queue. Only answers to the viewer's own messages wait
 * in a (capped) queue.
 *
 * Closing is a request: viewer_close() asks the transport, the transport's
 * closed callback calls viewer_destroy().
 * Loop: loop thread.
 */
#ifndef SOPHIA_FANOUT_VIEWER_H
#define SOPHIA_FANOUT_VIEWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "fanout/frame.h"
#include "protocol/bytes.h"
#include "protocol/close_reason.h"
#include "protocol/gateway_message.h"
#include "protocol/result.h"
#include "protocol/viewer_message.h"

struct hub;
struct topic;
struct topic_view;
struct viewer;

/** What a viewer needs from its transport. None of these may call back into the viewer before returning. */
struct viewer_ops {
    /** can_write will be asked soon: a moment to bring what it reads nearer. NULL: there is nothing to bring. */
    void (*approach)(const void *transport);
    bool (*can_write)(void *transport);
    /** Only after can_write. RESULT_CLOSED: the connection failed, its closed callback follows later. It may keep a reference. */
    enum result (*write)(void *transport, struct frame *frame);
    /** viewer_on_writable() is called once, later. */
    void (*request_writable)(void *transport);
    void (*close)(void *transport, enum close_reason reason);
    /** It may not watch this board any more: its roles, or the definitions, are others. NULL: nobody wants to know. */
    void (*on_withdrawn)(void *transport, const char *board);
};

enum {
    VIEWER_ANSWERS_MAX = 64, /* answers waiting to be written; one more closes with 4302 */
    VIEWER_ANSWERS_MAX_BYTES = 65536,
};

/** NULL when memory ran out or the hub is full. */
struct viewer *viewer_create(struct hub *hub, enum wire_form form, const struct viewer_ops *ops,
                             void *transport);
/** The transport is gone. Forgets every subscription. NULL is allowed. */
void viewer_destroy(struct viewer *viewer);

/**
 * As whom it came in: the roles of its token, separated by blanks; NULL: without one. Copied. What it watches already is not
 * looked at again: see viewer_rejudge() in hub.h.
 * False: memory ran out, nothing has changed.
 */
bool viewer_set_roles(struct viewer *viewer, const char *roles);
const char *viewer_roles(const struct viewer *viewer);

/**
 * Watch a board, or watch it anew from another position.
 *
 * view: what it may see of the board (topic_find_view()).
 * position: the last one the viewer holds, or NULL; one made under another view is unknown. The answer (WebSocket form) and what was
 * missed are written at once when the transport can.
 * Result: TOO_MANY at SUBSCRIPTIONS_MAX, NO_MEMORY, CLOSED when the viewer is closing.
 * Spec:   PROTOCOL.md, "Resuming".
 */
MUST_CHECK enum result viewer_subscribe(struct viewer *viewer, struct topic_view *view,
                                        const struct position *position, const struct viewer_quality *quality,
                                        struct moment now);
/** Result: NOT_SUBSCRIBED. */
MUST_CHECK enum result viewer_set_quality(struct viewer *viewer, struct topic *topic,
                                          const struct viewer_quality *quality, struct moment now);
MUST_CHECK enum result viewer_unsubscribe(struct viewer *viewer, struct topic *topic);

/** Send one encoded message to this viewer alone, in order with its other answers. event: its SSE name. */
void viewer_say(struct viewer *viewer, const char *event, const struct bytes *message);
/** error_encode + viewer_say. */
void viewer_say_error(struct viewer *viewer, enum close_reason reason, const char *board, const char *detail);

/** The transport can take bytes again. */
void viewer_on_writable(struct viewer *viewer, struct moment now);
/** Idempotent. */
void viewer_close(struct viewer *viewer, enum close_reason reason);
bool viewer_is_closing(const struct viewer *viewer);
uint32_t viewer_subscription_count(const struct viewer *viewer);

#endif
