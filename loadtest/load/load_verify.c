/*
 * A board is known by its newest field values and by a ring of its newest offsets: which field changed there, and with which
 * nonce it was published. Everything is learned from the messages themselves; nothing of gateway/ is used, so a mistake there
 * is not repeated here.
 */
#include "loadtest/load/load_verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RING = 4096, /* offsets remembered per board */
    FIELDS_MAX_PER_BOARD = 1000000,
};

struct load_field {
    uint64_t rev, hash, value_us; /* the newest that any message told */
    uint64_t named_in;            /* number of the last message that named it */
    bool is_removed;              /* a message said so: a snapshot does not name it any more */
};

struct load_offset {
    uint64_t offset; /* 0: nothing is known */
    uint32_t field;  /* number + 1; 0: not known */
    uint32_t nonce;
    bool has_nonce;
};

struct load_board {
    const char *id;
    uint64_t epoch;
    struct map numbers;        /* name -> number + 1 */
    struct load_field *fields; /* owned */
    uint32_t count, capacity;
    struct load_offset *ring; /* owned; NULL until it is needed */
    uint64_t messages;        /* distinct ones so far */
};

static const char *const violation_names[VIOLATION_COUNT] = {
    "format", "gap", "back", "heartbeat", "nonce", "rev", "missing", "value", "content"};

const char *violation_name(enum violation violation)
{
    return violation_names[violation];
}

void load_violation(struct load_verify *verify, enum violation violation, const char *format, ...)
{
    verify->violations[violation]++;
    if (verify->example_count < LOAD_EXAMPLES) {
        char *text = verify->examples[verify->example_count++];
        int length = snprintf(text, LOAD_EXAMPLE_BYTES, "%s: ", violation_names[violation]);
        va_list args;
        va_start(args, format);
        vsnprintf(text + length, LOAD_EXAMPLE_BYTES - (size_t)length, format, args);
        va_end(args);
    }
}

uint64_t load_verify_violations(const struct load_verify *verify)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        sum += verify->violations[i];
    }
    return sum;
}

/* ---- boards and their fields ---- */

/** The field's number on its board, learned when it is new. */
static enum result field_number(struct load_board *board, const char *name, uint32_t *out_number)
{
    size_t length = strlen(name);
    uintptr_t known = (uintptr_t)map_get(&board->numbers, name, length);
    if (known != 0) {
        *out_number = (uint32_t)(known - 1);
        return RESULT_OK;
    }
    if (board->count == board->capacity) {
        uint32_t capacity = board->capacity > 0 ? board->capacity * 2 : 16;
        struct load_field *fields = reallocarray(board->fields, capacity, sizeof *fields);
        if (!fields) {
            return RESULT_NO_MEMORY;
        }
        board->fields = fields;
        board->capacity = capacity;
    }
    enum result result = map_put(&board->numbers, name, length, (void *)((uintptr_t)board->count + 1));
    if (result == RESULT_OK) {
        *out_number = board->count;
        board->fields[board->count++] = (struct load_field){0};
    }
    return result;
}

static enum result board_init(struct load_board *board, const struct scenario_board *plan)
{
    board->id = plan->id;
    map_init(&board->numbers, FIELDS_MAX_PER_BOARD);
    for (uint32_t i = 0; i < plan->field_count; i++) { /* the schedule counts them in this order */
        uint32_t number;
        enum result result = field_number(board, plan->fields[i], &number);
        if (result != RESULT_OK) {
            return result;
        }
    }
    return RESULT_OK;
}

enum result load_verify_init(struct load_verify *verify, const struct scenario *scenario,
                             const struct load_schedule *schedule)
{
    *verify = (struct load_verify){.scenario = scenario,
                                   .schedule = schedule,
                                   .boards = calloc(scenario->board_count, sizeof *verify->boards)};
    map_init(&verify->by_id, scenario->board_count);
    enum result result = verify->boards ? RESULT_OK : RESULT_NO_MEMORY;
    for (uint32_t i = 0; result == RESULT_OK && i < scenario->board_count; i++) {
        const char *id = scenario->boards[i].id;
        result = board_init(&verify->boards[i], &scenario->boards[i]);
        if (result == RESULT_OK) {
            result = map_put(&verify->by_id, id, strlen(id), (void *)((uintptr_t)i + 1));
        }
    }
    if (result != RESULT_OK) {
        load_verify_finish(verify);
    }
    return result;
}

void load_verify_finish(struct load_verify *verify)
{
    for (uint32_t i = 0; verify->boards && i < verify->scenario->board_count; i++) {
        map_finish(&verify->boards[i].numbers);
        free(verify->boards[i].fields);
        free(verify->boards[i].ring);
    }
    free(verify->boards);
    map_finish(&verify->by_id);
    verify->boards = NULL;
}

/* ---- one distinct message ---- */

static struct load_offset *offset_at(struct load_board *board, uint64_t offset)
{
    struct load_offset *slot = &board->ring[offset % RING];
    if (slot->offset < offset) {
        *slot = (struct load_offset){.offset = offset};
    }
    return slot->offset == offset ? slot : NULL; /* NULL: forgotten */
}

static void check_nonce(struct load_verify *verify, struct load_board *board, const struct position *at)
{
    struct load_offset *slot = at->offset > 0 ? offset_at(board, at->offset) : NULL;
    if (!slot) {
        return;
    }
    if (slot->has_nonce && slot->nonce != at->nonce) {
        load_violation(verify, VIOLATION_NONCE, "%s at %" PRIu64 ": %08x and %08x", board->id, at->offset,
                       slot->nonce, at->nonce);
    }
    slot->nonce = at->nonce;
    slot->has_nonce = true;
}

static void check_rev(struct load_verify *verify, struct load_board *board, const struct load_frame *frame,
                      const struct load_entry *entry)
{
    if (entry->rev > frame->to.offset || (frame->type == FRAME_UPDATE && entry->rev <= frame->from)) {
        load_violation(verify, VIOLATION_REV, "%s: rev %" PRIu64 " of %s is not in %" PRIu64 " .. %" PRIu64,
                       board->id, entry->rev, entry->field, frame->from, frame->to.offset);
        return;
    }
    struct load_offset *slot = offset_at(board, entry->rev);
    if (slot && slot->field != 0 && slot->field != entry->index + 1) {
        load_violation(verify, VIOLATION_REV, "%s: two fields changed at %" PRIu64 ", one is %s", board->id,
                       entry->rev, entry->field);
    } else if (slot) {
        slot->field = entry->index + 1;
    }
}

static bool was_due(const struct load_verify *verify, uint32_t board, const struct load_entry *entry)
{
    const struct load_schedule *schedule = verify->schedule;
    /* What was there before the first change was due is somebody else's. */
    return !schedule || schedule->start_us == 0 || entry->value_us < schedule->start_us ||
           load_schedule_has(schedule, board, entry->index, entry->value_us);
}

static void check_value(struct load_verify *verify, struct load_board *board, uint32_t number,
                        const struct load_entry *entry)
{
    struct load_field *field = &board->fields[entry->index];
    if (entry->rev == field->rev && entry->hash != field->hash) {
        load_violation(verify, VIOLATION_VALUE, "%s: %s has two values at rev %" PRIu64, board->id,
                       entry->field, entry->rev);
    } else if (entry->rev > field->rev && entry->value_us != 0 && entry->value_us < field->value_us) {
        load_violation(verify, VIOLATION_VALUE, "%s: %s went back by %" PRIu64 " us at rev %" PRIu64,
                       board->id, entry->field, field->value_us - entry->value_us, entry->rev);
    } else if (entry->value_us != 0 && !was_due(verify, number, entry)) {
        load_violation(verify, VIOLATION_VALUE, "%s: %" PRIu64 " was never due for %s", board->id,
                       entry->value_us, entry->field);
    }
    if (entry->rev > field->rev) {
        field->rev = entry->rev;
        field->hash = entry->hash;
        field->value_us = entry->value_us;
    }
}

/** The newest offset is a change of some field, and nothing changed that field later: it must be there, or a deletion. */
static void check_newest(struct load_verify *verify, const struct load_board *board,
                         const struct load_frame *frame)
{
    bool is_there = frame->type != FRAME_UPDATE || frame->to.offset == frame->from || frame->removed > 0;
    for (uint32_t i = 0; !is_there && i < frame->count; i++) {
        is_there = frame->entries[i].rev == frame->to.offset;
    }
    if (!is_there) {
        load_violation(verify, VIOLATION_MISSING,
                       "%s: the update from %" PRIu64 " to %" PRIu64 " lacks its newest change", board->id,
                       frame->from, frame->to.offset);
    }
}

/** What changed in the message's range, as far as other messages told, must be in it. */
static void check_whole(struct load_verify *verify, struct load_board *board, const struct load_frame *frame)
{
    uint64_t first = frame->type == FRAME_UPDATE ? frame->from + 1 : 1;
    if (frame->to.offset >= RING && first <= frame->to.offset - RING) {
        first = frame->to.offset - RING + 1;
    }
    for (uint64_t offset = first; offset <= frame->to.offset; offset++) {
        const struct load_offset *slot = &board->ring[offset % RING];
        const struct load_field *field =
            slot->offset == offset && slot->field != 0 ? &board->fields[slot->field - 1] : NULL;
        if (field && !field->is_removed && field->named_in != board->messages) {
            load_violation(verify, VIOLATION_MISSING,
                           "%s: a field changed at %" PRIu64 ", the message from %" PRIu64 " to %" PRIu64
                           " does not name it",
                           board->id, offset, frame->from, frame->to.offset);
            return;
        }
    }
}

static bool board_prepare(struct load_board *board, uint64_t epoch)
{
    if (!board->ring) {
        board->ring = calloc(RING, sizeof *board->ring);
    } else if (board->epoch != epoch) { /* what was known was another order */
        memset(board->ring, 0, RING * sizeof *board->ring);
        memset(board->fields, 0, board->count * sizeof *board->fields);
    }
    board->epoch = epoch;
    return board->ring != NULL;
}

static enum result check_entries(struct load_verify *verify, struct load_board *board,
                                 struct load_frame *frame)
{
    board->messages++;
    for (uint32_t i = 0; i < frame->count; i++) {
        enum result result = field_number(board, frame->entries[i].field, &frame->entries[i].index);
        if (result != RESULT_OK) {
            return result;
        }
        board->fields[frame->entries[i].index].named_in = board->messages;
        board->fields[frame->entries[i].index].is_removed = frame->entries[i].rev == 0;
    }
    for (uint32_t i = 0; i < frame->count - frame->removed; i++) {
        check_rev(verify, board, frame, &frame->entries[i]);
        check_value(verify, board, frame->board_index, &frame->entries[i]);
    }
    if (frame->type == FRAME_UPDATE && frame->from > frame->to.offset) {
        load_violation(verify, VIOLATION_FORMAT, "%s: an update from %" PRIu64 " to %" PRIu64, board->id,
                       frame->from, frame->to.offset);
    } else {
        check_newest(verify, board, frame);
        check_whole(verify, board, frame);
    }
    return RESULT_OK;
}

enum result load_verify_frame(struct load_verify *verify, struct load_frame *frame)
{
    if (frame->type == FRAME_BROKEN) {
        load_violation(verify, VIOLATION_FORMAT, "a message of %s cannot be read",
                       frame->board[0] ? frame->board : "no board");
        return RESULT_OK;
    }
    if (frame->board[0] == '\0') {
        return RESULT_OK;
    }
    uintptr_t known = (uintptr_t)map_get(&verify->by_id, frame->board, strlen(frame->board));
    if (known == 0) {
        load_violation(verify, VIOLATION_FORMAT, "a message of %s, which nobody watches", frame->board);
        frame->type = FRAME_BROKEN;
        return RESULT_OK;
    }
    frame->board_index = (uint32_t)(known - 1);
    struct load_board *board = &verify->boards[frame->board_index];
    if (!frame->has_position) {
        return RESULT_OK;
    }
    if (!board_prepare(board, frame->to.epoch)) {
        return RESULT_NO_MEMORY;
    }
    check_nonce(verify, board, &frame->to);
    return frame->type == FRAME_HEARTBEAT ? RESULT_OK : check_entries(verify, board, frame);
}

/* ---- one viewer ---- */

static enum load_taking take_update(struct load_verify *verify, struct load_cursor *cursor,
                                    const struct load_frame *frame)
{
    if (!cursor->has_position || frame->to.epoch != cursor->at.epoch || frame->from > cursor->at.offset) {
        load_violation(verify, VIOLATION_GAP, "%s: at %" PRIu64 ", the update begins at %" PRIu64,
                       frame->board, cursor->has_position ? cursor->at.offset : 0, frame->from);
        return LOAD_RESUME;
    }
    if (frame->to.offset <= cursor->at.offset) {
        if (!cursor->is_resuming) {
            load_violation(verify, VIOLATION_BACK, "%s: at %" PRIu64 ", the update ends at %" PRIu64,
                           frame->board, cursor->at.offset, frame->to.offset);
        }
        return LOAD_IGNORED;
    }
    cursor->at = frame->to;
    cursor->is_resuming = false;
    return LOAD_TAKEN;
}

static enum load_taking take_heartbeat(struct load_verify *verify, struct load_cursor *cursor,
                                       const struct load_frame *frame)
{
    if (!frame->has_position || !cursor->has_position || cursor->is_resuming) {
        return LOAD_IGNORED;
    }
    bool is_same = frame->to.epoch == cursor->at.epoch && frame->to.offset >= cursor->at.offset &&
                   (frame->to.offset > cursor->at.offset || frame->to.nonce == cursor->at.nonce);
    if (!is_same) {
        load_violation(verify, VIOLATION_HEARTBEAT,
                       "%s: at %" PRIu64 " %08x, the heartbeat at %" PRIu64 " %08x", frame->board,
                       cursor->at.offset, cursor->at.nonce, frame->to.offset, frame->to.nonce);
    }
    return is_same ? LOAD_IGNORED : LOAD_RESTART;
}

enum load_taking load_cursor_take(struct load_verify *verify, struct load_cursor *cursor,
                                  const struct load_frame *frame)
{
    if (frame->type == FRAME_UPDATE) {
        return take_update(verify, cursor, frame);
    }
    if (frame->type == FRAME_HEARTBEAT) {
        return take_heartbeat(verify, cursor, frame);
    }
    if (cursor->has_position && !cursor->is_resuming && frame->to.epoch == cursor->at.epoch &&
        frame->to.offset < cursor->at.offset) {
        load_violation(verify, VIOLATION_BACK, "%s: at %" PRIu64 ", the snapshot is of %" PRIu64,
                       frame->board, cursor->at.offset, frame->to.offset);
    }
    *cursor = (struct load_cursor){.has_position = true, .at = frame->to};
    return LOAD_TAKEN;
}

uint64_t load_cursor_lost(const struct load_cursor *cursor, const struct load_frame *head)
{
    bool is_other = !cursor->has_position || cursor->at.epoch != head->to.epoch;
    uint64_t lost = 0;
    for (uint32_t i = 0; i < head->count; i++) {
        lost += is_other || head->entries[i].rev > cursor->at.offset;
    }
    return lost;
}

/* ---- one viewer's board ---- */

enum result load_copy_take(struct load_verify *verify, struct load_copy *copy, const struct load_frame *frame)
{
    uint32_t count = verify->boards[frame->board_index].count;
    if (count > copy->capacity) {
        struct load_held *held = reallocarray(copy->held, count, sizeof *held);
        if (!held) {
            return RESULT_NO_MEMORY;
        }
        memset(held + copy->capacity, 0, (count - copy->capacity) * sizeof *held);
        copy->held = held;
        copy->capacity = count;
    }
    if (frame->type == FRAME_SNAPSHOT && copy->held) {
        memset(copy->held, 0, copy->capacity * sizeof *copy->held);
    }
    for (uint32_t i = 0; i < frame->count; i++) {
        const struct load_entry *entry = &frame->entries[i];
        copy->held[entry->index] = (struct load_held){.rev = entry->rev, .hash = entry->hash};
    }
    return RESULT_OK;
}

bool load_copy_check(struct load_verify *verify, const struct load_copy *copy, const struct load_frame *head)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < copy->capacity; i++) {
        held += copy->held[i].rev != 0;
    }
    for (uint32_t i = 0; i < head->count; i++) {
        const struct load_entry *entry = &head->entries[i];
        bool is_same = entry->index < copy->capacity && copy->held[entry->index].rev == entry->rev &&
                       copy->held[entry->index].hash == entry->hash;
        if (!is_same) {
            load_violation(verify, VIOLATION_CONTENT,
                           "%s: %s of a viewer is at rev %" PRIu64 ", not %" PRIu64, head->board,
                           entry->field, entry->index < copy->capacity ? copy->held[entry->index].rev : 0,
                           entry->rev);
            return false;
        }
    }
    if (held != head->count) {
        load_violation(verify, VIOLATION_CONTENT, "%s: a viewer has %u fields, the board %u", head->board,
                       held, head->count);
    }
    return held == head->count;
}

void load_copy_finish(struct load_copy *copy)
{
    free(copy->held);
    *copy = (struct load_copy){0};
}
