/**
 * A viewer with a pretended transport: keeps what is written to it as parsed messages, applies boards to its
 * copies, refuses bytes when told to. Fails the test when the gateway breaks the transport's contract.
 */
#ifndef SOPHIA_TESTS_FAKE_VIEWER_H
#define SOPHIA_TESTS_FAKE_VIEWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "board_copy.h"
#include "fanout/viewer.h"

enum { FAKE_BOARDS_MAX = 4 };

struct fake_viewer {
    struct viewer *viewer;
    enum wire_form form;
    bool is_writable;     /* set by the test */
    bool fails_writes;    /* set by the test: the connection is broken */
    bool awaits_writable; /* the gateway asked to be called back */
    bool is_closed;       /* the gateway asked for the end, or a write failed */
    enum close_reason reason;
    json_t *messages;               /* array of what was written, oldest first */
    json_t *events, *ids;           /* arrays: SSE event name and id of each ("" = none) */
    const struct frame *last_frame; /* identity only: it may be gone */
    size_t bytes;
    unsigned deflated; /* frames among those written */
    struct {
        const char *board;
        struct board_copy copy;
    } boards[FAKE_BOARDS_MAX]; /* board NULL = free */
    bool keeps_messages;       /* false: only the copies are kept, for long runs */
    bool has_gap;              /* an update did not fit the copy */
};

void fake_viewer_open(struct fake_viewer *fake, struct hub *hub, enum wire_form form);
/** The transport is gone. */
void fake_viewer_close(struct fake_viewer *fake);
/** Apply what arrives for this board to a copy. */
struct board_copy *fake_viewer_watch(struct fake_viewer *fake, const char *board,
                                     const struct row_limit *limits, size_t limit_count);
/** The transport can take bytes again: calls back if that was asked for. */
void fake_viewer_drain(struct fake_viewer *fake, struct moment now);

/** Count of messages, and one of them: from the start, or from the end when negative. Borrowed. */
size_t fake_viewer_count(const struct fake_viewer *fake);
const json_t *fake_viewer_message(const struct fake_viewer *fake, int index);
/** Its member `name` as text; numbers and booleans printed as JSON. Lives until the next call. */
const char *message_text(const json_t *message, const char *name);
size_t fake_viewer_count_of(const struct fake_viewer *fake, const char *type);
void fake_viewer_forget(struct fake_viewer *fake);

#endif
