/*
 * One frame at a time: its head byte by byte, because it may be cut anywhere; then its payload in what pieces
 * come. A head is judged once it is whole, except for its first two bytes: they say enough to refuse a peer that speaks
 * something else before it is waited for.
 */
#include "protocol/ws_reader.h"

#include <string.h>

#include "protocol/bytes.h"

enum {
    FIN = 0x80,
    RSV1 = 0x40,
    RSV_OTHERS = 0x30,
    MASKED = 0x80,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
    MASK_BYTES = 4,
};

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

const char *ws_fault_name(enum ws_fault fault)
{
    static const char *const names[WS_FAULT_COUNT] = {
        [WS_FAULT_UNMASKED] = "unmasked frame",
        [WS_FAULT_RESERVED_BIT] = "reserved bit",
        [WS_FAULT_OPCODE] = "unknown opcode",
        [WS_FAULT_FRAGMENTED_CONTROL] = "fragmented control frame",
        [WS_FAULT_LONG_CONTROL] = "long control frame",
        [WS_FAULT_NOTHING_TO_CONTINUE] = "nothing to continue",
        [WS_FAULT_INTERLEAVED] = "interleaved messages",
        [WS_FAULT_LENGTH] = "bad length",
        [WS_FAULT_TOO_BIG] = "too big",
        [WS_FAULT_CLOSE] = "bad close frame",
    };
    return names[fault];
}

uint16_t ws_fault_code(enum ws_fault fault)
{
    return fault == WS_FAULT_TOO_BIG ? 1009 : 1002;
}

static enum opcode opcode_of(const struct ws_reader *reader)
{
    return (enum opcode)(reader->head[0] & 15);
}

static bool is_control(const struct ws_reader *reader)
{
    return (reader->head[0] & 8) != 0;
}

static uint8_t short_length(const struct ws_reader *reader)
{
    return reader->head[1] & 0x7f;
}

static void fail(struct ws_reader *reader, enum ws_fault fault, struct ws_event *out_event)
{
    reader->has_ended = true;
    *out_event = (struct ws_event){.kind = WS_EVENT_FAULT, .fault = fault};
}

/** What the first two bytes say. False: a fault. */
static bool check_start(struct ws_reader *reader, struct ws_event *out_event)
{
    uint8_t first = reader->head[0];
    enum opcode opcode = opcode_of(reader);
    bool is_known = opcode <= BINARY || (opcode >= CLOSE && opcode <= PONG);
    if ((first & RSV_OTHERS) || (is_control(reader) && (first & RSV1))) {
        fail(reader, WS_FAULT_RESERVED_BIT, out_event);
    } else if (!is_known) {
        fail(reader, WS_FAULT_OPCODE, out_event);
    } else if (!(reader->head[1] & MASKED)) {
        fail(reader, WS_FAULT_UNMASKED, out_event);
    } else if (is_control(reader) && !(first & FIN)) {
        fail(reader, WS_FAULT_FRAGMENTED_CONTROL, out_event);
    } else if (is_control(reader) && short_length(reader) > WS_CONTROL_MAX_BYTES) {
        fail(reader, WS_FAULT_LONG_CONTROL, out_event);
    } else if (opcode == CONTINUATION && !reader->in_message) {
        fail(reader, WS_FAULT_NOTHING_TO_CONTINUE, out_event);
    } else if (!is_control(reader) && opcode != CONTINUATION && reader->in_message) {
        fail(reader, WS_FAULT_INTERLEAVED, out_event);
    } else {
        return true;
    }
    return false;
}

static uint8_t head_bytes(const struct ws_reader *reader)
{
    uint8_t extended = short_length(reader) == LENGTH_16 ? 2 : short_length(reader) == LENGTH_64 ? 8 : 0;
    return (uint8_t)(2 + extended + MASK_BYTES);
}

/** The head is whole: the payload's length. False: a fault. */
static bool take_length(struct ws_reader *reader, uint64_t frame_max_bytes, struct ws_event *out_event)
{
    static const uint64_t shortest[] = {[0] = 0, [2] = LENGTH_16, [8] = 65536};
    unsigned extended = (unsigned)head_bytes(reader) - 2 - MASK_BYTES;
    uint64_t length = extended == 0 ? short_length(reader) : 0;
    for (unsigned i = 0; i < extended; i++) {
        length = length << 8 | reader->head[2 + i];
    }
    if (length < shortest[extended] || length > INT64_MAX) {
        fail(reader, WS_FAULT_LENGTH, out_event);
        return false;
    }
    if (!is_control(reader) && length > frame_max_bytes) {
        fail(reader, WS_FAULT_TOO_BIG, out_event);
        return false;
    }
    reader->left = length;
    return true;
}

static void start_payload(struct ws_reader *reader)
{
    reader->in_payload = true;
    reader->mask_at = 0;
    reader->control_length = 0;
    enum opcode opcode = opcode_of(reader);
    if (opcode == TEXT || opcode == BINARY) {
        reader->is_binary = opcode == BINARY;
    }
}

/** Bytes used; the payload has begun, or *out_event is a fault, or they were not enough. */
static size_t read_head(struct ws_reader *reader, const char *bytes, size_t length, uint64_t frame_max_bytes,
                        struct ws_event *out_event)
{
    size_t used = 0;
    while (used < length) {
        reader->head[reader->head_length++] = (uint8_t)bytes[used++];
        if (reader->head_length == 2 && !check_start(reader, out_event)) {
            break;
        }
        if (reader->head_length > 2 && reader->head_length == head_bytes(reader)) {
            if (take_length(reader, frame_max_bytes, out_event)) {
                start_payload(reader);
            }
            break;
        }
    }
    return used;
}

static void unmask(struct ws_reader *reader, char *bytes, size_t length)
{
    const uint8_t *mask = reader->head + reader->head_length - MASK_BYTES;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (char)((uint8_t)bytes[i] ^ mask[(reader->mask_at + i) & 3]);
    }
    reader->mask_at = (uint8_t)((reader->mask_at + length) & 3);
}

static void end_frame(struct ws_reader *reader)
{
    reader->in_payload = false;
    reader->head_length = 0;
}

static void tell_data(struct ws_reader *reader, const char *at, size_t length, struct ws_event *out_event)
{
    bool is_end = reader->left == 0;
    bool is_final = (reader->head[0] & FIN) != 0;
    *out_event = (struct ws_event){
        .kind = WS_EVENT_DATA,
        .at = at,
        .length = length,
        .is_binary = reader->is_binary,
        .has_rsv1 = (reader->head[0] & RSV1) != 0,
        .is_last_of_frame = is_end,
        .is_last_of_message = is_end && is_final,
    };
    if (is_end) {
        reader->in_message = !is_final;
        end_frame(reader);
    }
}

static bool is_text(const char *text, size_t length)
{
    while (length > 0) {
        size_t taken = utf8_sequence((const unsigned char *)text, length);
        if (taken == 0) {
            return false;
        }
        text += taken;
        length -= taken;
    }
    return true;
}

/** RFC 6455, 7.4, and what was registered since: 1004 to 1006 and 1015 are never sent. */
static bool may_be_sent(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

static void tell_close(struct ws_reader *reader, struct ws_event *out_event)
{
    const uint8_t *payload = (const uint8_t *)reader->control;
    size_t length = reader->control_length;
    uint16_t code = WS_NO_CODE;
    if (length >= 2) {
        code = (uint16_t)(payload[0] << 8 | payload[1]);
    }
    if (length == 1 || (length >= 2 && (!may_be_sent(code) || !is_text(reader->control + 2, length - 2)))) {
        fail(reader, WS_FAULT_CLOSE, out_event);
        return;
    }
    reader->has_ended = true;
    *out_event = (struct ws_event){.kind = WS_EVENT_CLOSE,
                                   .code = code,
                                   .at = reader->control + (length >= 2 ? 2 : 0),
                                   .length = length >= 2 ? length - 2 : 0};
}

static void tell_control(struct ws_reader *reader, struct ws_event *out_event)
{
    enum opcode opcode = opcode_of(reader);
    if (opcode == CLOSE) {
        tell_close(reader, out_event);
    } else {
        *out_event = (struct ws_event){.kind = opcode == PING ? WS_EVENT_PING : WS_EVENT_PONG,
                                       .at = reader->control,
                                       .length = reader->control_length};
    }
    end_frame(reader);
}

void ws_reader_next(struct ws_reader *reader, char *bytes, size_t length, uint64_t frame_max_bytes,
                    size_t *out_used, struct ws_event *out_event)
{
    *out_event = (struct ws_event){.kind = WS_EVENT_NONE};
    *out_used = length; /* of a connection that has ended: dropped */
    if (reader->has_ended) {
        return;
    }
    size_t used = reader->in_payload ? 0 : read_head(reader, bytes, length, frame_max_bytes, out_event);
    *out_used = used;
    if (!reader->in_payload) {
        return; /* a fault, or more is needed */
    }
    size_t taken = reader->left < length - used ? (size_t)reader->left : length - used;
    if (taken == 0 && reader->left > 0) {
        return;
    }
    char *payload = bytes + used;
    unmask(reader, payload, taken);
    reader->left -= taken;
    *out_used = used + taken;
    if (!is_control(reader)) {
        tell_data(reader, payload, taken, out_event);
        return;
    }
    memcpy(reader->control + reader->control_length, payload, taken);
    reader->control_length = (uint8_t)(reader->control_length + taken);
    if (reader->left == 0) {
        tell_control(reader, out_event);
    }
}
