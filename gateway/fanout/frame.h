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

#include "protocol/position.h"

/** How bytes look on the wire. One encoding of a message serves all forms; only the wrapping differs. */
enum wire_form {
    WIRE_WS,  /* RFC 6455 text frame, unmasked, unfragmented */
    WIRE_SSE, /* one event of a text/event-stream */
    WIRE_FORM_COUNT
};

struct frame {
    uint32_t references;
    uint32_t length; /* of bytes */
    uint8_t bytes[];
};

/**
 * Wrap one message for a wire.
 * event: SSE event name; position: SSE id, or NULL for none. Both are ignored for WIRE_WS.
 * Owns: the caller holds one reference. NULL when memory ran out.
 */
struct frame *frame_create(enum wire_form form, const char *event, const struct position *position,
                           const char *message, size_t length);
struct frame *frame_ref(struct frame *frame);
/** NULL is allowed. */
void frame_unref(struct frame *frame);

#endif
