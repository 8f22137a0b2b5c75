/*
 * Boards forget: feeds trim their oldest rows, tombstones fall off the end. Redis does not know their rules,
 * so one node per board walks the stored fields once a minute and removes those its board does not know any
 * more. A field may have changed since it was looked at: the script removes it only at the offset that was
 * judged.
 */
#include "journal/redis_journal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { SCAN_COUNT_WANTED = 500, CURSOR_BYTES = 24, URGENT_HOLD_MS = 1000 };

struct sweep_field {
    size_t name_at, name_length;
    uint64_t offset;
    bool is_readable;
};

struct sweep {
    struct call call; /* first */
    uint64_t epoch;   /* what was looked at belongs to it */
    char epoch_text[EPOCH_TEXT_BYTES + 1];
    char cursor[CURSOR_BYTES];
    struct bytes names;
    struct sweep_field *fields;
    size_t count;
    size_t seen, removed; /* in the whole walk */
};

static void scan_next(struct sweep *sweep);
static void scan_go_on(struct sweep *sweep);

static void sweep_finish(struct sweep *sweep)
{
    sweep->call.journal->is_sweeping = false;
    bytes_finish(&sweep->names);
    free(sweep->fields);
    call_finish(&sweep->call);
}

static bool sweep_build(struct call *call, struct arguments *arguments)
{
    const struct sweep *sweep = (const struct sweep *)call;
    if (!arguments_reserve(arguments, 1 + 2 * sweep->count, sweep->count)) {
        return false;
    }
    arguments_add_text(arguments, sweep->epoch_text);
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sweep_field *field = &sweep->fields[i];
        arguments_add(arguments, sweep->names.at + field->name_at, field->name_length);
        if (field->is_readable) {
            arguments_add_number(arguments, field->offset);
        } else {
            arguments_add_text(arguments, "");
        }
    }
    return true;
}

static bool may_go_on(const struct sweep *sweep)
{
    const struct redis_board *board = sweep->call.board;
    return !sweep->call.journal->is_destroying && board->is_open && board->is_live &&
           board->at.epoch == sweep->epoch;
}

static void sweep_on_reply(struct call *call, const struct redisReply *reply)
{
    struct sweep *sweep = (struct sweep *)call;
    if (redis_reply_type(reply) == REDIS_INTEGER) {
        sweep->removed += (size_t)redis_reply_integer(reply);
        metric_add(call->journal->metrics.swept, (uint64_t)redis_reply_integer(reply));
        scan_go_on(sweep);
    } else {
        sweep_finish(sweep);
    }
}

static void scan_go_on(struct sweep *sweep)
{
    if (!may_go_on(sweep)) {
        sweep_finish(sweep);
    } else if (strcmp(sweep->cursor, "0") != 0) {
        scan_next(sweep);
    } else {
        sweep->call.board->fields_after_sweep = sweep->seen - sweep->removed;
        sweep_finish(sweep);
    }
}

static const struct call_kind sweep_kind = {"sweep", sweep_build, sweep_on_reply};

static void field_judge(struct sweep *sweep, const struct redisReply *name_reply,
                        const struct redisReply *value_reply)
{
    const struct redis_board *board = sweep->call.board;
    const struct journal_host *host = &board->journal->host;
    struct wire_stored stored = {.offset = 0};
    size_t name_length = 0, length = 0;
    const char *name = redis_reply_text(name_reply, &name_length);
    const char *text = redis_reply_text(value_reply, &length);
    if (!name || !text || name_length == 0) {
        return; /* the guard */
    }
    bool is_readable = wire_decode_stored(text, length, &stored) == RESULT_OK;
    bool is_forgotten = is_readable && stored.offset <= board->at.offset &&
                        !host->knows_field(host->context, board->id, name, name_length);
    if (is_forgotten || !is_readable) {
        sweep->fields[sweep->count++] = (struct sweep_field){
            .name_at = sweep->names.length,
            .name_length = name_length,
            .offset = stored.offset,
            .is_readable = is_readable,
        };
        bytes_append(&sweep->names, name, name_length);
    }
}

static void on_scanned(void *context, const struct redisReply *reply)
{
    struct sweep *sweep = context;
    const struct redisReply *found = redis_reply_at(reply, 1);
    size_t cursor_length = 0;
    const char *cursor = redis_reply_text(redis_reply_at(reply, 0), &cursor_length);
    if (!may_go_on(sweep) || !cursor || cursor_length >= CURSOR_BYTES) {
        sweep_finish(sweep);
        return;
    }
    memcpy(sweep->cursor, cursor, cursor_length + 1);
    sweep->seen += redis_reply_count(found) / 2;
    free(sweep->fields);
    sweep->count = 0;
    sweep->fields = calloc(redis_reply_count(found) / 2 + 1, sizeof *sweep->fields);
    bytes_clear(&sweep->names);
    for (size_t i = 0; sweep->fields && i + 1 < redis_reply_count(found); i += 2) {
        field_judge(sweep, redis_reply_at(found, i), redis_reply_at(found, i + 1));
    }
    if (!sweep->fields || bytes_failed(&sweep->names)) {
        sweep_finish(sweep);
    } else if (sweep->count > 0) {
        call_send(&sweep->call);
    } else {
        scan_go_on(sweep);
    }
}

static void scan_next(struct sweep *sweep)
{
    char count[NUMBER_BYTES];
    snprintf(count, sizeof count, "%d", SCAN_COUNT_WANTED);
    const char *const argv[] = {"HSCAN", sweep->call.board->state_key, sweep->cursor, "COUNT", count};
    if (redis_link_send(sweep->call.journal->commands, on_scanned, sweep, 5, argv, NULL) != RESULT_OK) {
        sweep_finish(sweep);
    }
}

/* Another node may have it already: then there is nothing to do for a while. */
static void on_claimed(void *context, const struct redisReply *reply)
{
    struct sweep *sweep = context;
    if (redis_reply_type(reply) == REDIS_STATUS && may_go_on(sweep)) {
        scan_next(sweep);
    } else {
        sweep_finish(sweep);
    }
}

static void sweep_start(struct redis_board *board)
{
    struct redis_journal *journal = board->journal;
    struct sweep *sweep = call_create(sizeof *sweep, board, &sweep_kind);
    if (!sweep) {
        return; /* at the next turn */
    }
    sweep->epoch = board->at.epoch;
    snprintf(sweep->epoch_text, sizeof sweep->epoch_text, "%016" PRIx64, sweep->epoch);
    snprintf(sweep->cursor, sizeof sweep->cursor, "0");
    bytes_init(&sweep->names, journal->options.max_fields * (FIELD_MAX_BYTES + 1));
    journal->is_sweeping = true;
    char key[KEY_MAX_BYTES], hold_ms[NUMBER_BYTES];
    snprintf(key, sizeof key, "%s{%s}:%s:sweep", journal->prefix, journal->tags[board->partition], board->id);
    snprintf(hold_ms, sizeof hold_ms, "%u",
             board->is_sweep_urgent ? URGENT_HOLD_MS : journal->options.sweep_ms / 4 * 3);
    const char *const argv[] = {"SET", key, "1", "PX", hold_ms, "NX"};
    size_t argc = board->is_sweep_urgent ? 5 : 6; /* urgent: whoever else has it */
    board->is_sweep_urgent = false;
    if (redis_link_send(journal->commands, on_claimed, sweep, argc, argv, NULL) != RESULT_OK) {
        sweep_finish(sweep);
    }
}

void sweep_look(struct redis_board *board, size_t held)
{
    /* Not at every change of a board that is large by itself. */
    size_t most = board->journal->options.max_fields;
    if (held > most / 2 && held > board->fields_after_sweep + most / 8) {
        board->sweep_due_ms = 0;
        board->is_sweep_urgent = true;
    }
}

void sweep_tick(struct redis_journal *journal)
{
    uint64_t now_ms = loop_now_ms(journal->loop);
    uint32_t period_ms = journal->options.sweep_ms;
    LIST_EACH(node, &journal->boards) {
        struct redis_board *board = LIST_ITEM(node, struct redis_board, node);
        if (journal->is_sweeping) {
            return;
        }
        if (board->is_live && now_ms >= board->sweep_due_ms) {
            board->sweep_due_ms = now_ms + period_ms - period_ms / 8 + random_u64() % (period_ms / 4 + 1);
            sweep_start(board);
        }
    }
}
