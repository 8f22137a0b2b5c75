/*
 * Encode what we say. Everything is appended directly: the shape of each
 * message is fixed, values arrive as JSON text and are passed on unread, and
 * overlay_encode is on the hot path. Failure lives in the buffer
 * (bytes_failed), so no append is checked here.
 */
#include "protocol/gateway_message.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static void append_string(struct bytes *out, const char *text)
{
    bytes_append_json_string(out, text, strlen(text));
}

/** `,"name":` with the name spelled by us, so it needs no escaping. */
static void append_name(struct bytes *out, const char *name)
{
    bytes_append_text(out, ",\"");
    bytes_append_text(out, name);
    bytes_append_text(out, "\":");
}

static void append_text_member(struct bytes *out, const char *name, const char *text)
{
    append_name(out, name);
    append_string(out, text);
}

static void append_integer_member(struct bytes *out, const char *name, int64_t value)
{
    append_name(out, name);
    bytes_append_i64(out, value);
}

static void append_boolean_member(struct bytes *out, const char *name, bool value)
{
    append_name(out, name);
    bytes_append_text(out, value ? "true" : "false");
}

static void append_end(struct bytes *out, bool is_demo)
{
    bytes_append_text(out, is_demo ? ",\"demo\":true}" : "}");
}

static void append_hex(struct bytes *out, uint64_t value, unsigned digits)
{
    char text[16];
    for (unsigned i = digits; i-- > 0;) {
        text[i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    bytes_append(out, text, digits);
}

static void append_epoch(struct bytes *out, const struct position *position)
{
    bytes_append_text(out, ",\"epoch\":\"");
    append_hex(out, position->epoch, 16);
    bytes_append_byte(out, '"');
}

static void append_to(struct bytes *out, const struct position *position)
{
    bytes_append_text(out, ",\"to\":");
    bytes_append_u64(out, position->offset);
    bytes_append_text(out, ",\"nonce\":\"");
    append_hex(out, position->nonce, 8);
    bytes_append_byte(out, '"');
}

/* ---- answers ---- */

void welcome_encode(const struct welcome_message *message, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"welcome\",\"protocol\":\"" PROTOCOL_NAME "\"");
    append_integer_member(out, "now", message->now_ms);
    append_text_member(out, "node", message->node);
    append_text_member(out, "build", message->build);
    append_text_member(out, "catalog", message->catalog);
    append_integer_member(out, "heartbeat_ms", message->heartbeat_ms);
    bytes_append_text(out, ",\"limits\":{\"message_bytes\":");
    bytes_append_u64(out, VIEWER_MESSAGE_MAX_BYTES);
    append_integer_member(out, "subscriptions", SUBSCRIPTIONS_MAX);
    append_integer_member(out, "messages_per_second", VIEWER_MESSAGES_PER_SECOND);
    bytes_append_byte(out, '}');
    if (message->has_clock) {
        append_integer_member(out, "clock", message->clock_ms);
    }
    append_end(out, message->is_demo);
}

static const char *resume_name(enum resume_outcome outcome)
{
    switch (outcome) {
    case RESUME_SNAPSHOT:
        return "snapshot";
    case RESUME_UPDATE:
        return "update";
    case RESUME_WHOLE:
        break;
    }
    return "whole";
}

void subscribed_encode(const struct subscribed_message *message, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"subscribed\"");
    append_text_member(out, "board", message->board);
    append_text_member(out, "resume", resume_name(message->resume));
    bytes_append_format(out, ",\"max_rate\":%.15g", message->max_rate);
    append_boolean_member(out, "hidden", message->is_hidden);
    bytes_append_byte(out, '}');
}

void unsubscribed_encode(const char *board, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"unsubscribed\"");
    append_text_member(out, "board", board);
    bytes_append_byte(out, '}');
}

void refreshed_encode(struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"refreshed\"}");
}

void expiring_encode(uint64_t expires_in_ms, uint64_t closes_in_ms, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"expiring\",\"expires_in_ms\":");
    bytes_append_u64(out, expires_in_ms);
    bytes_append_text(out, ",\"closes_in_ms\":");
    bytes_append_u64(out, closes_in_ms);
    bytes_append_byte(out, '}');
}

void pong_encode(int64_t clock_ms, int64_t now_ms, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"pong\"");
    append_integer_member(out, "clock", clock_ms);
    append_integer_member(out, "now", now_ms);
    bytes_append_byte(out, '}');
}

/* ---- snapshot and update ---- */

/** Values are kept without their rev, because it changes per board; it is spliced in as the first member. */
static void append_value(struct bytes *out, const struct overlay_entry *entry)
{
    assert(entry->value_length >= 2 && entry->value[0] == '{');
    bytes_append_text(out, "{\"rev\":");
    bytes_append_u64(out, entry->rev);
    if (entry->value_length > 2) {
        bytes_append_byte(out, ',');
    }
    bytes_append(out, entry->value + 1, entry->value_length - 1);
}

static void append_set(struct bytes *out, const struct overlay *overlay)
{
    bytes_append_text(out, ",\"set\":{");
    bool is_first = true;
    for (size_t i = 0; i < overlay->count; i++) {
        const struct overlay_entry *entry = &overlay->entries[i];
        if (entry->value == NULL) {
            continue;
        }
        if (!is_first) {
            bytes_append_byte(out, ',');
        }
        is_first = false;
        bytes_append_json_string(out, entry->field, entry->field_length);
        bytes_append_byte(out, ':');
        append_value(out, entry);
    }
    bytes_append_byte(out, '}');
}

static void append_del(struct bytes *out, const struct overlay *overlay)
{
    bytes_append_text(out, ",\"del\":[");
    bool is_first = true;
    for (size_t i = 0; i < overlay->count; i++) {
        const struct overlay_entry *entry = &overlay->entries[i];
        if (entry->value != NULL) {
            continue;
        }
        if (!is_first) {
            bytes_append_byte(out, ',');
        }
        is_first = false;
        bytes_append_json_string(out, entry->field, entry->field_length);
    }
    bytes_append_byte(out, ']');
}

void overlay_encode(const char *board, const struct overlay *overlay, int64_t changed_at_ms, bool is_demo,
                    const char *history, struct bytes *out)
{
    bytes_append_text(out, overlay->is_snapshot ? "{\"type\":\"snapshot\"" : "{\"type\":\"update\"");
    append_text_member(out, "board", board);
    append_epoch(out, &overlay->to);
    if (!overlay->is_snapshot) {
        bytes_append_text(out, ",\"from\":");
        bytes_append_u64(out, overlay->from);
    }
    append_to(out, &overlay->to);
    append_set(out, overlay);
    if (overlay->is_snapshot) {
        append_name(out, "history");
        bytes_append_text(out, history != NULL ? history : "{}");
        append_integer_member(out, "now", changed_at_ms);
        if (overlay->view) {
            append_text_member(out, "view", overlay->view);
        }
    } else {
        append_del(out, overlay);
        append_integer_member(out, "changed_at", changed_at_ms);
    }
    append_end(out, is_demo);
}

/* ---- the rest ---- */

static void append_source(struct bytes *out, const struct source_health *source)
{
    append_string(out, source->name);
    bytes_append_text(out, source->is_up ? ":{\"up\":true" : ":{\"up\":false");
    append_integer_member(out, "heard", source->heard_ms);
    if (source->reason != NULL) {
        append_text_member(out, "reason", source->reason);
    }
    bytes_append_byte(out, '}');
}

void heartbeat_encode(const struct heartbeat_message *message, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"heartbeat\"");
    append_integer_member(out, "now", message->now_ms);
    append_text_member(out, "catalog", message->catalog);
    if (message->board != NULL) {
        append_text_member(out, "board", message->board);
        append_epoch(out, &message->position);
        append_to(out, &message->position);
    }
    bytes_append_text(out, ",\"sources\":{");
    for (size_t i = 0; i < message->source_count; i++) {
        if (i > 0) {
            bytes_append_byte(out, ',');
        }
        append_source(out, &message->sources[i]);
    }
    bytes_append_byte(out, '}');
    append_end(out, message->is_demo);
}

void moved_encode(uint32_t reconnect_in_ms, const char *url, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"moved\"");
    append_integer_member(out, "reconnect_in_ms", reconnect_in_ms);
    if (url != NULL) {
        append_text_member(out, "url", url);
    }
    bytes_append_byte(out, '}');
}

/** Text of a peer, cut to max_bytes between two characters, never inside one. */
static void append_cut_member(struct bytes *out, const char *name, const char *text, size_t max_bytes)
{
    size_t length = strnlen(text, max_bytes + 1);
    if (length > max_bytes) {
        length = max_bytes;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    append_name(out, name);
    bytes_append_json_string(out, text, length);
}

void error_encode(enum close_reason reason, const char *board, const char *detail, struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"error\"");
    append_integer_member(out, "code", close_reason_code(reason));
    append_text_member(out, "name", close_reason_name(reason));
    append_text_member(out, "message", close_reason_message(reason));
    append_boolean_member(out, "retry", close_reason_may_retry(reason));
    if (board != NULL) {
        append_cut_member(out, "board", board, BOARD_ID_MAX_BYTES);
    }
    if (detail != NULL) {
        append_cut_member(out, "detail", detail, REASON_MAX_BYTES);
    }
    bytes_append_byte(out, '}');
}
