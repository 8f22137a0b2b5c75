/* Parses the two wire forms byte by byte, as a peer would. */
#include "fake_viewer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static bool can_write(void *transport)
{
    const struct fake_viewer *fake = transport;
    return fake->is_writable && !fake->is_closed;
}

/* RFC 7692: raw deflate that refers to nothing before it; the receiver adds the four bytes. */
static const char *inflated(struct fake_viewer *fake, const char *payload, size_t *length)
{
    static unsigned char with_trailer[DEFLATE_MAX_BYTES + 4];
    static char text[4 * DEFLATE_MAX_BYTES];
    z_stream stream = {0};
    assert_true(*length <= DEFLATE_MAX_BYTES);
    memcpy(with_trailer, payload, *length);
    memcpy(with_trailer + *length, "\0\0\xff\xff", 4);
    assert_int_equal(inflateInit2(&stream, -DEFLATE_WINDOW_BITS), Z_OK);
    stream.next_in = with_trailer;
    stream.avail_in = (uInt)*length + 4;
    stream.next_out = (Bytef *)text;
    stream.avail_out = sizeof text;
    assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(stream.avail_in, 0);
    *length = sizeof text - stream.avail_out;
    (void)inflateEnd(&stream); /* it fails only for a stream that is none */
    fake->deflated++;
    return text;
}

/* RFC 6455: one final, unmasked text frame in the shortest length form. */
static const char *ws_payload(struct fake_viewer *fake, const struct frame *frame, size_t *out_length)
{
    assert_true(frame->length >= 2);
    bool is_deflated = fake->form == WIRE_WS_DEFLATE && frame->bytes[0] == 0xc1;
    assert_int_equal(frame->bytes[0], is_deflated ? 0xc1 : 0x81);
    size_t header = 2;
    uint64_t length = frame->bytes[1];
    if (length >= 126) {
        size_t more = length == 126 ? 2 : 8;
        uint64_t least = length == 126 ? 126 : 65536;
        assert_true(length <= 127);
        length = 0;
        for (size_t i = 0; i < more; i++) {
            length = length << 8 | frame->bytes[2 + i];
        }
        assert_true(length >= least);
        header += more;
    }
    assert_int_equal(header + length, frame->length);
    *out_length = (size_t)length;
    const char *payload = (const char *)frame->bytes + header;
    return is_deflated ? inflated(fake, payload, out_length) : payload;
}

/* "id: <position>\n" if there is one, "event: <name>\n", "data: <text>\n\n". */
static const char *sse_payload(struct fake_viewer *fake, const struct frame *frame, size_t *out_length)
{
    const char *at = (const char *)frame->bytes;
    const char *end = at + frame->length;
    char id[64] = "";
    char event[32] = "";
    assert_true(frame->length > 2 && memcmp(end - 2, "\n\n", 2) == 0);
    int used = 0;
    if (strncmp(at, "id: ", 4) == 0) {
        assert_int_equal(sscanf(at, "id: %63[0-9a-f.]\n%n", id, &used), 1);
        at += used;
    }
    used = 0;
    assert_int_equal(sscanf(at, "event: %31[a-z]%n", event, &used), 1);
    at += used;
    assert_memory_equal(at, "\ndata: ", 7);
    at += 7;
    *out_length = (size_t)(end - 2 - at);
    assert_null(memchr(at, '\n', *out_length));
    if (fake->keeps_messages) {
        json_array_append_new(fake->events, json_string(event));
        json_array_append_new(fake->ids, json_string(id));
    }
    return at;
}

static void apply(struct fake_viewer *fake, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *board = json_string_value(json_object_get(message, "board"));
    if (!board || (strcmp(type, "snapshot") != 0 && strcmp(type, "update") != 0)) {
        return;
    }
    for (int i = 0; i < FAKE_BOARDS_MAX; i++) {
        if (fake->boards[i].board && strcmp(fake->boards[i].board, board) == 0) {
            fake->has_gap = !board_copy_take(&fake->boards[i].copy, message) || fake->has_gap;
        }
    }
}

static enum result write_frame(void *transport, struct frame *frame)
{
    struct fake_viewer *fake = transport;
    assert_true(can_write(fake)); /* never after the end, never unasked */
    if (fake->fails_writes) {
        fake->is_closed = true;
        return RESULT_CLOSED;
    }
    size_t length = 0;
    const char *text =
        fake->form == WIRE_SSE ? sse_payload(fake, frame, &length) : ws_payload(fake, frame, &length);
    json_error_t error;
    json_t *message = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!message) {
        fail_msg("%s: %.*s", error.text, (int)length, text);
    }
    apply(fake, message);
    if (fake->keeps_messages) {
        json_array_append(fake->messages, message);
    }
    json_decref(message);
    fake->last_frame = frame;
    fake->bytes += frame->length;
    return RESULT_OK;
}

static void request_writable(void *transport)
{
    struct fake_viewer *fake = transport;
    assert_false(fake->is_closed);
    assert_false(fake->awaits_writable);
    fake->awaits_writable = true;
}

static void close_transport(void *transport, enum close_reason reason)
{
    struct fake_viewer *fake = transport;
    assert_false(fake->is_closed);
    fake->is_closed = true;
    fake->reason = reason;
}

static const struct viewer_ops ops = {
    .can_write = can_write,
    .write = write_frame,
    .request_writable = request_writable,
    .close = close_transport,
};

void fake_viewer_open(struct fake_viewer *fake, struct hub *hub, enum wire_form form)
{
    *fake = (struct fake_viewer){
        .form = form,
        .is_writable = true,
        .keeps_messages = true,
        .messages = json_array(),
        .events = json_array(),
        .ids = json_array(),
    };
    fake->viewer = viewer_create(hub, form, &ops, fake);
}

void fake_viewer_close(struct fake_viewer *fake)
{
    viewer_destroy(fake->viewer);
    json_decref(fake->messages);
    json_decref(fake->events);
    json_decref(fake->ids);
    for (int i = 0; i < FAKE_BOARDS_MAX; i++) {
        if (fake->boards[i].board) {
            board_copy_finish(&fake->boards[i].copy);
        }
    }
    *fake = (struct fake_viewer){0};
}

struct board_copy *fake_viewer_watch(struct fake_viewer *fake, const char *board,
                                     const struct row_limit *limits, size_t limit_count)
{
    int i = 0;
    while (fake->boards[i].board) {
        i++;
        assert_true(i < FAKE_BOARDS_MAX);
    }
    fake->boards[i].board = board;
    board_copy_init(&fake->boards[i].copy, limits, limit_count);
    return &fake->boards[i].copy;
}

void fake_viewer_drain(struct fake_viewer *fake, struct moment now)
{
    fake->is_writable = true;
    if (fake->awaits_writable && !fake->is_closed) {
        fake->awaits_writable = false;
        viewer_on_writable(fake->viewer, now);
    }
}

size_t fake_viewer_count(const struct fake_viewer *fake)
{
    return json_array_size(fake->messages);
}

const json_t *fake_viewer_message(const struct fake_viewer *fake, int index)
{
    size_t count = fake_viewer_count(fake);
    size_t at = index >= 0 ? (size_t)index : count - (size_t)-index;
    const json_t *message = json_array_get(fake->messages, at);
    if (!message) {
        fail_msg("message %d of %zu", index, count);
    }
    return message;
}

const char *message_text(const json_t *message, const char *name)
{
    static char text[4096];
    const json_t *value = json_object_get(message, name);
    if (json_is_string(value)) {
        snprintf(text, sizeof text, "%s", json_string_value(value));
    } else {
        char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        snprintf(text, sizeof text, "%s", dumped ? dumped : "(none)");
        free(dumped);
    }
    return text;
}

size_t fake_viewer_count_of(const struct fake_viewer *fake, const char *type)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(fake->messages); i++) {
        const char *is = json_string_value(json_object_get(json_array_get(fake->messages, i), "type"));
        count += is && strcmp(is, type) == 0 ? 1 : 0;
    }
    return count;
}

void fake_viewer_forget(struct fake_viewer *fake)
{
    json_array_clear(fake->messages);
    json_array_clear(fake->events);
    json_array_clear(fake->ids);
}
