/**
 * One encoded message with its wire header: immutable and reference counted.
 *
 * The same frame is written to every viewer that is due the same bytes; nobody
 * copies it, whoever needs it longer holds a reference.
 */
#ifndef SOPHIA_FANOUT_FRAME_H
#define SOPHIA_FANOUT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "fanout/deflate.h"
#include "protocol/position.h"

/** How bytes look on the wire. One encoding of a message serves all forms; only the wrapping differs. */
enum wire_form {
    WIRE_WS,  /* RFC 6455 text frame, unmasked, unfragmented */
    WIRE_SSE, /* one event of a text/event-stream */
    WIRE_WS_DEFLATE, /* the viewer negotiated permessage-deflate: it takes WIRE_WS, and frames with a deflated payload */
    WIRE_FORM_COUNT
};

struct frame {
    uint32_t references;
    uint32_t length; /* of bytes */
    uint8_t bytes[];
};

/**
 * Wrap one message for a wire.
 * event: SSE event name; position: SSE id, or NULL for none. Both are ignored for WebSocket.
 * WIRE_WS_DEFLATE: not deflated; that is frame_create_deflated()'s.
 * Owns: the caller holds one reference. NULL when memory ran out.
 */
struct frame *frame_create(enum wire_form form, const char *event, const struct position *position,
                           const char *message, size_t length);
/** For WIRE_WS_DEFLATE. NULL: it would not be smaller, is larger than DEFLATE_MAX_BYTES, or memory ran out; send it plain. */
struct frame *frame_create_deflated(struct deflater *deflater, const char *message, size_t length);
struct frame *frame_ref(struct frame *frame);
/** NULL is allowed. */
void frame_unref(struct frame *frame);

#endif
