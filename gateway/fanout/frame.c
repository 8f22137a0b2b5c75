/*
 * Wrapping only: the message text is already encoded.
 */
#include "fanout/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WS_TEXT_FINAL = 0x81,
    WS_DEFLATED = 0x40, /* RSV1 (RFC 7692, section 6) */
    WS_HEADER_MAX_BYTES = 10,
    WS_LENGTH_16 = 126,
    WS_LENGTH_64 = 127,
    WRAP_MAX_BYTES = 160, /* event name, position and the fixed words of an SSE event */
};

/* RFC 6455 section 5.2, server to client: no mask. */
static size_t ws_header(uint8_t first, size_t payload, uint8_t *out)
{
    out[0] = first;
    if (payload < WS_LENGTH_16) {
        out[1] = (uint8_t)payload;
        return 2;
    }
    if (payload <= UINT16_MAX) {
        out[1] = WS_LENGTH_16;
        out[2] = (uint8_t)(payload >> 8);
        out[3] = (uint8_t)payload;
        return 4;
    }
    out[1] = WS_LENGTH_64;
    for (int i = 0; i < 8; i++) {
        out[2 + i] = (uint8_t)((uint64_t)payload >> (56 - 8 * i));
    }
    return 10;
}

static size_t sse_header(const char *event, const struct position *position, char *out, size_t size)
{
    char id[POSITION_TEXT_MAX_BYTES + 1] = "";
    if (position) {
        position_print(position, id);
    }
    int length = snprintf(out, size, "%s%s%sevent: %s\ndata: ", position ? "id: " : "", id,
                          position ? "\n" : "", event);
    assert(length > 0 && (size_t)length < size);
    return (size_t)length;
}

struct frame *frame_create(enum wire_form form, const char *event, const struct position *position,
                           const char *message, size_t length)
{
    static const char sse_end[] = "\n\n";
    struct frame *frame = malloc(sizeof *frame + WRAP_MAX_BYTES + length);
    if (!frame) {
        return NULL;
    }
    size_t before = form == WIRE_SSE ? sse_header(event, position, (char *)frame->bytes, WRAP_MAX_BYTES - 2)
                                     : ws_header(WS_TEXT_FINAL, length, frame->bytes);
    memcpy(frame->bytes + before, message, length);
    size_t total = before + length;
    if (form == WIRE_SSE) {
        memcpy(frame->bytes + total, sse_end, sizeof sse_end - 1);
        total += sizeof sse_end - 1;
    }
    frame->references = 1;
    frame->length = (uint32_t)total;
    return frame;
}

struct frame *frame_create_deflated(struct deflater *deflater, const char *message, size_t length)
{
    struct frame *frame =
        length <= DEFLATE_MAX_BYTES ? malloc(sizeof *frame + WS_HEADER_MAX_BYTES + length) : NULL;
    if (!frame) {
        return NULL;
    }
    size_t payload = 0;
    if (!deflater_run(deflater, message, length, frame->bytes + WS_HEADER_MAX_BYTES, length, &payload)) {
        free(frame);
        return NULL;
    }
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t before = ws_header(WS_TEXT_FINAL | WS_DEFLATED, payload, header);
    memmove(frame->bytes + before, frame->bytes + WS_HEADER_MAX_BYTES, payload);
    memcpy(frame->bytes, header, before);
    frame->references = 1;
    frame->length = (uint32_t)(before + payload);
    /* A slow viewer may keep it for long: give back what was not needed. */
    struct frame *smaller = realloc(frame, sizeof *frame + before + payload);
    return smaller ? smaller : frame;
}

struct frame *frame_ref(struct frame *frame)
{
    frame->references++;
    return frame;
}

void frame_unref(struct frame *frame)
{
    if (frame && --frame->references == 0) {
        free(frame);
    }
}
