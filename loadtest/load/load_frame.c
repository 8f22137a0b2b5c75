/*
 * jansson reads the text; entries borrow their names from its tree, which the frame keeps. A value is known by a hash of its
 * text with sorted members, so that a snapshot and an update that say the same compare equal however they were written.
 */
#include "loadtest/load/load_frame.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Smaller numbers are no moments: 1e15 us is the year 2001. */
static const json_int_t EARLIEST_US = 1000000000000000;

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    }
    return hash ? hash : 1;
}

/* ---- one value ---- */

static uint64_t moment_of(const json_t *value)
{
    const json_t *v = json_object_get(value, "v");
    if (json_is_object(v)) {
        v = json_object_get(v, "sent");
    }
    json_int_t number = json_is_real(v) ? (json_int_t)json_real_value(v) : json_integer_value(v);
    return number >= EARLIEST_US ? (uint64_t)number : 0;
}

static bool entry_read(const char *field, json_t *value, struct load_entry *out_entry)
{
    const json_t *rev = json_object_get(value, "rev");
    if (!json_is_integer(rev) || json_integer_value(rev) <= 0) {
        return false;
    }
    *out_entry = (struct load_entry){
        .field = field, .rev = (uint64_t)json_integer_value(rev), .value_us = moment_of(value)};
    json_t *rest = json_copy(value);
    json_object_del(rest, "rev");
    char *text = json_dumps(rest, JSON_SORT_KEYS | JSON_COMPACT);
    out_entry->hash = text ? hash_of(text, strlen(text)) : 0;
    free(text);
    json_decref(rest);
    return out_entry->hash != 0;
}

static bool entries_read(json_t *set, const json_t *del, struct load_frame *frame)
{
    size_t count = json_object_size(set) + json_array_size(del);
    frame->entries = calloc(count + 1, sizeof *frame->entries);
    if (!frame->entries) {
        return false;
    }
    const char *field;
    json_t *value;
    json_object_foreach(set, field, value) {
        if (!entry_read(field, value, &frame->entries[frame->count])) {
            return false;
        }
        frame->moments += frame->entries[frame->count++].value_us != 0;
    }
    for (size_t i = 0; i < json_array_size(del); i++) {
        field = json_string_value(json_array_get(del, i));
        if (!field) {
            return false;
        }
        frame->entries[frame->count++] = (struct load_entry){.field = field};
        frame->removed++;
    }
    return true;
}

/* ---- one message ---- */

static bool position_read(const json_t *message, struct load_frame *frame)
{
    const json_t *to = json_object_get(message, "to");
    const char *epoch = json_string_value(json_object_get(message, "epoch"));
    const char *nonce = json_string_value(json_object_get(message, "nonce"));
    char text[POSITION_TEXT_MAX_BYTES + 1];
    if (!epoch || !nonce || !json_is_integer(to)) {
        return false;
    }
    int length = snprintf(text, sizeof text, "%s.%lld.%s", epoch, (long long)json_integer_value(to), nonce);
    frame->has_position = length > 0 && (size_t)length < sizeof text &&
                          position_parse(text, (size_t)length, &frame->to) == RESULT_OK;
    return frame->has_position;
}

static bool overlay_read(const json_t *message, struct load_frame *frame)
{
    json_t *set = json_object_get(message, "set");
    const json_t *del = json_object_get(message, "del"), *from = json_object_get(message, "from");
    bool is_update = frame->type == FRAME_UPDATE;
    if (!position_read(message, frame) || !json_is_object(set) || frame->board[0] == '\0' ||
        (is_update && (!json_is_array(del) || !json_is_integer(from) || json_integer_value(from) < 0))) {
        return false;
    }
    frame->from = is_update ? (uint64_t)json_integer_value(from) : 0;
    return entries_read(set, is_update ? del : NULL, frame);
}

static bool subscribed_read(const json_t *message, struct load_frame *frame)
{
    const char *resume = json_string_value(json_object_get(message, "resume"));
    if (!resume) {
        return false;
    }
    frame->resume = strcmp(resume, "snapshot") == 0 ? RESUME_SNAPSHOT
                    : strcmp(resume, "update") == 0 ? RESUME_UPDATE
                                                    : RESUME_WHOLE;
    return true;
}

static enum load_frame_type type_of(const json_t *message)
{
    static const struct {
        const char *name;
        enum load_frame_type type;
    } types[] = {{"update", FRAME_UPDATE}, {"snapshot", FRAME_SNAPSHOT},     {"heartbeat", FRAME_HEARTBEAT},
                 {"moved", FRAME_MOVED},   {"subscribed", FRAME_SUBSCRIBED}, {"error", FRAME_ERROR}};
    const char *name = json_string_value(json_object_get(message, "type"));
    if (!name) {
        return FRAME_BROKEN;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) {
            return types[i].type;
        }
    }
    return FRAME_OTHER;
}

static bool members_read(const json_t *message, struct load_frame *frame)
{
    switch (frame->type) {
    case FRAME_SNAPSHOT:
    case FRAME_UPDATE:
        return overlay_read(message, frame);
    case FRAME_SUBSCRIBED:
        return subscribed_read(message, frame);
    case FRAME_HEARTBEAT:
        return frame->board[0] == '\0' || position_read(message, frame);
    case FRAME_ERROR:
        frame->code = json_integer_value(json_object_get(message, "code"));
        return true;
    case FRAME_OTHER:
    case FRAME_MOVED:
    case FRAME_BROKEN:
        break;
    }
    return true;
}

enum result load_frame_decode(const char *text, size_t length, struct load_frame *out_frame)
{
    struct load_frame frame = {.type = FRAME_BROKEN, .board_index = UINT32_MAX};
    json_t *message = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(message)) {
        const char *board = json_string_value(json_object_get(message, "board"));
        frame.type = type_of(message);
        snprintf(frame.board, sizeof frame.board, "%s", board ? board : "");
        frame.owned_names = message;
        if (!members_read(message, &frame)) {
            frame.type = FRAME_BROKEN;
        }
    } else {
        json_decref(message);
    }
    *out_frame = frame;
    return RESULT_OK;
}

void load_frame_finish(struct load_frame *frame)
{
    free(frame->entries);
    json_decref(frame->owned_names);
    *frame = (struct load_frame){0};
}

/* ---- the memo ---- */

/* The position stands within the first 192 bytes of a snapshot, update and heartbeat. */
static size_t slot_of(const char *text, size_t length)
{
    uint64_t hash = length, word;
    size_t end = length < 192 ? length : 192;
    for (size_t at = 0; at + sizeof word <= end; at += sizeof word) {
        memcpy(&word, text + at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash % LOAD_MEMO_SLOTS;
}

struct load_frame *load_memo_look(struct load_memo *memo, const char *text, size_t length, bool *out_is_new)
{
    struct load_memo_slot *slot = &memo->slots[slot_of(text, length)];
    *out_is_new = false;
    if (slot->text && slot->length == length && memcmp(slot->text, text, length) == 0) {
        return &slot->frame;
    }
    if (length > slot->capacity || !slot->text) {
        char *grown = realloc(slot->text, length + 1);
        if (!grown) {
            return NULL;
        }
        slot->text = grown;
        slot->capacity = length;
    }
    load_frame_finish(&slot->frame);
    memcpy(slot->text, text, length);
    slot->length = length;
    if (load_frame_decode(text, length, &slot->frame) != RESULT_OK) {
        slot->length = 0;
        return NULL;
    }
    memo->parsed++;
    *out_is_new = true;
    return &slot->frame;
}

void load_memo_finish(struct load_memo *memo)
{
    for (size_t i = 0; i < LOAD_MEMO_SLOTS; i++) {
        free(memo->slots[i].text);
        load_frame_finish(&memo->slots[i].frame);
    }
}
