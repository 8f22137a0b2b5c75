/*
 * One board's position in the shared order, and how it keeps up.
 *
 * A board is live while every message continues its position. Whenever that is in doubt (a gap, another
 * epoch, a link that went, the position check) one question settles it: "sync", answered atomically with the
 * publications since our position, or with the advice to read the whole board, which is one MULTI. Messages
 * heard while the question is under way are kept; those from before it are part of the answer. So a message,
 * forged ones included, causes one question.
 */
#include "journal/redis_journal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/limits.h"

static bool is_behind(const struct redis_board *board, const struct position *at)
{
    return !board->has_position || board->at.epoch != at->epoch || board->at.offset < at->offset;
}

struct redis_board *board_find(struct redis_journal *journal, const char *id, size_t length)
{
    return map_get(&journal->by_id, id, length);
}

void board_ref(struct redis_board *board)
{
    board->users++;
}

void board_unref(struct redis_board *board)
{
    if (--board->users == 0) {
        free(board);
    }
}

/* ---- those who wait for a position ---- */

/* Telling may submit again or close the board, so the due ones are taken out first. */
static void tell_due(struct redis_board *board, bool all)
{
    struct list_node due;
    list_init(&due);
    LIST_EACH_SAFE(node, &board->waiters) {
        struct waiter *waiter = LIST_ITEM(node, struct waiter, node);
        if (all || !is_behind(board, &waiter->at)) {
            list_remove(node);
            list_append(&due, node);
        }
    }
    board_ref(board);
    while (!list_is_empty(&due)) {
        struct waiter *waiter = LIST_ITEM(due.next, struct waiter, node);
        list_remove(&waiter->node);
        waiter->tell(waiter);
    }
    board_unref(board);
}

void board_release_waiters(struct redis_board *board)
{
    tell_due(board, true);
}

void board_wait(struct redis_board *board, struct waiter *waiter)
{
    waiter->since_ms = loop_now_ms(board->journal->loop);
    list_append(&board->waiters, &waiter->node);
    if (!board->is_open || !board->journal->is_attached) {
        tell_due(board, true);
        return;
    }
    if (board->has_position && board->at.epoch != waiter->at.epoch) {
        board_sync(board); /* its order was started afresh */
        return;
    }
    tell_due(board, false);
}

/* ---- messages ---- */

static void buffer_clear(struct redis_board *board)
{
    LIST_EACH_SAFE(node, &board->buffer) {
        list_remove(node);
        free(LIST_ITEM(node, struct buffered, node));
    }
    board->buffered_bytes = 0;
}

/* Too much, or no memory: what is under way is then not enough. */
static void buffer_add(struct redis_board *board, const char *text, size_t length)
{
    bool fits = board->buffered_bytes + length <= board->journal->options.max_buffered_bytes;
    struct buffered *buffered = fits ? malloc(sizeof *buffered + length) : NULL;
    if (!buffered) {
        buffer_clear(board);
        board->must_ask_again = true;
        return;
    }
    list_init(&buffered->node);
    buffered->length = length;
    memcpy(buffered->text, text, length);
    list_append(&board->buffer, &buffered->node);
    board->buffered_bytes += length;
}

static bool continues(const struct redis_board *board, const struct overlay *publication)
{
    return board->has_position && publication->to.epoch == board->at.epoch &&
           publication->from == board->at.offset;
}

static void publication_apply(struct redis_board *board, const struct wire_message *message)
{
    struct redis_journal *journal = board->journal;
    board->at = message->publication.to;
    metric_add(journal->metrics.publications, 1);
    journal->host.on_publication(journal->host.context, board->id, &message->publication, message->versions);
}

/* A message for a board that is live. */
static void live_take(struct redis_board *board, const struct wire_message *message)
{
    const struct overlay *publication = &message->publication;
    if (!message->is_moved && continues(board, publication)) {
        publication_apply(board, message);
        return;
    }
    bool is_known = !message->is_moved && publication->to.epoch == board->at.epoch &&
                    publication->to.offset < board->at.offset;
    bool is_ours = !message->is_moved && position_equal(&publication->to, &board->at);
    if (!is_known && !is_ours) {
        board->was_gap = !message->is_moved;
        board_sync(board);
    }
}

void board_take_message(struct redis_board *board, struct wire_message *message, const char *text,
                        size_t length)
{
    if (board->is_asking) {
        buffer_add(board, text, length);
    } else if (board->is_live) {
        live_take(board, message);
        tell_due(board, false);
    } /* else it is part of what will be asked for */
}

static void buffer_drain(struct redis_board *board)
{
    struct redis_journal *journal = board->journal;
    while (board->is_live && !list_is_empty(&board->buffer)) {
        struct buffered *buffered = LIST_ITEM(board->buffer.next, struct buffered, node);
        list_remove(&buffered->node);
        if (wire_decode_message(buffered->text, buffered->length, &journal->message) == RESULT_OK) {
            live_take(board, &journal->message);
        } else {
            board_sync(board); /* it decoded when it came: memory ran out */
        }
        free(buffered);
    }
}

/* ---- sync ---- */

struct sync_call {
    struct call call;
    struct position from; /* epoch 0: the whole board */
};

static bool sync_build(struct call *call, struct arguments *arguments)
{
    struct sync_call *sync = (struct sync_call *)call;
    const struct redis_journal *journal = call->journal;
    if (!arguments_reserve(arguments, 7, 4)) {
        return false;
    }
    /* The epoch in a number's place: as long as one, and as short-lived. */
    char *epoch = arguments->numbers[arguments->number_count++];
    int length = sync->from.epoch ? snprintf(epoch, NUMBER_BYTES, "%016" PRIx64, sync->from.epoch) : 0;
    arguments_add(arguments, NULL, (size_t)length);
    arguments_add_number(arguments, sync->from.offset);
    arguments_add_number(arguments, sync->from.nonce);
    arguments_add_text(arguments, journal->options.check_nonce ? "1" : "0");
    arguments_add_text(arguments, publish_command(journal));
    arguments_add_text(arguments, call->board->id);
    arguments_add_number(arguments, journal->options.max_fields);
    return true;
}

bool journal_read_position(const struct redisReply *reply, size_t at, struct position *out_position)
{
    size_t epoch_length = 0, offset_length = 0, nonce_length = 0;
    const char *epoch = redis_reply_text(redis_reply_at(reply, at), &epoch_length);
    const char *offset = redis_reply_text(redis_reply_at(reply, at + 1), &offset_length);
    const char *nonce = redis_reply_text(redis_reply_at(reply, at + 2), &nonce_length);
    uint64_t word = 0;
    if (!epoch || !offset || !nonce ||
        wire_decode_epoch(epoch, epoch_length, &out_position->epoch) != RESULT_OK ||
        wire_decode_number(offset, offset_length, INTEGER_MAX_EXACT, &out_position->offset) != RESULT_OK ||
        wire_decode_number(nonce, nonce_length, UINT32_MAX, &word) != RESULT_OK) {
        return false;
    }
    out_position->nonce = (uint32_t)word;
    return true;
}

/* true: we are where Redis said it is. */
static bool entries_take(struct redis_board *board, const struct redisReply *reply)
{
    struct redis_journal *journal = board->journal;
    struct position at;
    if (!journal_read_position(reply, 1, &at)) {
        return false;
    }
    for (size_t i = 4; i < redis_reply_count(reply); i++) {
        size_t length = 0;
        const char *text = redis_reply_text(redis_reply_at(reply, i), &length);
        if (!text || wire_decode_message(text, length, &journal->message) != RESULT_OK) {
            journal_complain(journal, board->tail_key, "an entry is no publication");
            return false;
        }
        if (!continues(board, &journal->message.publication)) {
            return false;
        }
        publication_apply(board, &journal->message);
    }
    bool is_same = board->at.epoch == at.epoch && board->at.offset == at.offset;
    return is_same && (board->at.nonce == at.nonce || !journal->options.check_nonce);
}

/* Elements of what a read is answered with. */
enum { READ_META, READ_GUARD, READ_TAIL, READ_STATE };

struct image_field {
    struct overlay_entry entry;
    uint64_t version;
};

static int by_rev(const void *a, const void *b)
{
    const struct image_field *left = a, *right = b;
    return left->entry.rev < right->entry.rev ? -1 : left->entry.rev > right->entry.rev;
}

/* What is ours of the stored fields, in order of their last change. */
static size_t fields_read(struct redis_board *board, const struct redisReply *stored, uint64_t most,
                          struct image_field *out_fields)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < redis_reply_count(stored); i += 2) {
        struct wire_stored value;
        size_t field_length = 0, length = 0;
        const char *field = redis_reply_text(redis_reply_at(stored, i), &field_length);
        const char *text = redis_reply_text(redis_reply_at(stored, i + 1), &length);
        if (field && field_length == 0) {
            continue; /* the guard */
        }
        if (!field || !text || !wire_is_field(field, field_length) ||
            wire_decode_stored(text, length, &value) != RESULT_OK || value.offset == 0 ||
            value.offset > most) {
            journal_complain(board->journal, board->state_key, "a field is not ours");
            continue;
        }
        out_fields[count++] = (struct image_field){
            .version = value.version,
            .entry = {.field = field,
                      .field_length = field_length,
                      .value = value.value,
                      .value_length = value.value_length,
                      .rev = value.offset},
        };
    }
    qsort(out_fields, count, sizeof *out_fields, by_rev);
    return count;
}

/* Of the tail's entries only the ids. */
static size_t known_read(const struct redisReply *tail, const struct position *at, struct position *out_known)
{
    size_t count = 0;
    for (size_t i = 0; i < redis_reply_count(tail); i++) {
        size_t length = 0;
        const char *text = redis_reply_text(redis_reply_at(redis_reply_at(tail, i), 0), &length);
        struct position known = {.epoch = at->epoch};
        if (text && wire_decode_id(text, length, &known) == RESULT_OK && known.offset < at->offset) {
            out_known[count++] = known;
        }
    }
    return count;
}

static void image_give(struct redis_board *board, struct journal_image *image,
                       const struct image_field *fields, size_t field_count, struct overlay_entry *entries,
                       uint64_t *versions)
{
    struct redis_journal *journal = board->journal;
    for (size_t i = 0; i < field_count; i++) {
        if (image->count > 0 && entries[image->count - 1].rev == fields[i].entry.rev) {
            journal_complain(journal, board->state_key, "two fields share an offset");
            continue;
        }
        entries[image->count] = fields[i].entry;
        versions[image->count++] = fields[i].version;
    }
    image->entries = entries;
    image->versions = versions;
    board->at = image->at;
    board->has_position = true;
    metric_add(journal->metrics.images, 1);
    journal->host.on_image(journal->host.context, board->id, image);
}

/* Where the board stands. false: parts of it are missing or do not belong together; a sync cures that. */
static bool image_position(const struct redisReply *reply, struct journal_image *image)
{
    const struct redisReply *meta = redis_reply_at(reply, READ_META);
    const char *epoch = redis_reply_text(redis_reply_at(meta, 0), NULL);
    const char *guard = redis_reply_text(redis_reply_at(reply, READ_GUARD), NULL);
    size_t floor_length = 0;
    const char *floor = redis_reply_text(redis_reply_at(meta, 3), &floor_length);
    if (!journal_read_position(meta, 0, &image->at) || !guard || strcmp(guard, epoch) != 0) {
        return false;
    }
    if (floor && wire_decode_number(floor, floor_length, image->at.offset, &image->floor) != RESULT_OK) {
        image->floor = image->at.offset; /* unreadable: whoever stands below gets a snapshot */
    }
    return true;
}

static bool image_take(struct redis_board *board, const struct redisReply *reply)
{
    struct journal_image image = {.count = 0};
    const struct redisReply *tail = redis_reply_at(reply, READ_TAIL),
                            *stored = redis_reply_at(reply, READ_STATE);
    if (!image_position(reply, &image)) {
        return false;
    }
    size_t most = redis_reply_count(stored) / 2 + 1;
    struct image_field *fields = calloc(most, sizeof *fields);
    struct overlay_entry *entries = calloc(most, sizeof *entries);
    uint64_t *versions = calloc(most, sizeof *versions);
    struct position *known = calloc(redis_reply_count(tail) + 1, sizeof *known);
    bool is_ready = fields && entries && versions && known;
    if (is_ready) {
        image.known = known;
        image.known_count = known_read(tail, &image.at, known);
        image_give(board, &image, fields, fields_read(board, stored, image.at.offset, fields), entries,
                   versions);
    }
    free(fields);
    free(entries);
    free(versions);
    free(known);
    return is_ready;
}

static void too_big_log(struct redis_board *board, const struct redisReply *reply)
{
    char what[96];
    const char *count = redis_reply_text(redis_reply_at(reply, 1), NULL);
    snprintf(what, sizeof what, "holds %.20s fields, more than the %zu a board may have", count ? count : "?",
             board->journal->options.max_fields);
    journal_complain(board->journal, board->state_key, what);
}

enum sync_end { SYNC_DONE, SYNC_READ, SYNC_RETRY };

static enum sync_end sync_take(struct redis_board *board, const struct redisReply *reply)
{
    struct redis_journal *journal = board->journal;
    const char *kind = redis_reply_text(redis_reply_at(reply, 0), NULL);
    if (kind && strcmp(kind, "entries") == 0) {
        struct position before = board->at;
        if (!entries_take(board, reply)) {
            return SYNC_READ;
        }
        bool was_missed = board->was_gap && !position_equal(&before, &board->at);
        metric_add(journal->metrics.gaps_repaired, was_missed ? 1 : 0);
        return SYNC_DONE;
    }
    if (kind && strcmp(kind, "read") == 0) {
        return SYNC_READ;
    }
    if (kind && strcmp(kind, "too_big") == 0) {
        too_big_log(board, reply);
    } else {
        journal_log_error(journal, "sync", reply);
    }
    return SYNC_RETRY;
}

/* Only the position check noticed, again and again: the subscription is confirmed but dead. */
static void silence_judge(struct redis_board *board)
{
    struct redis_journal *journal = board->journal;
    struct partition *partition = &journal->partitions[board->partition];
    if (board->is_asked_by_check && ++partition->silent_checks >= SILENT_CHECKS_MAX) {
        partition->silent_checks = 0;
        redis_link_reject(journal->subscriber,
                          "the subscription is silent although publications were missed");
    }
}

/* What was asked has been answered, or not. */
static void board_settle(struct redis_board *board, bool is_good)
{
    board->is_asking = false;
    if (!is_good) {
        buffer_clear(board);
        board->ask_after_ms = loop_now_ms(board->journal->loop) + RETRY_MS;
        return;
    }
    if (board->must_ask_again) {
        buffer_clear(board);
        board_sync(board);
        return;
    }
    silence_judge(board);
    board->is_asked_by_check = false;
    board->was_gap = false;
    board->is_live = true;
    board->suspect = 0;
    buffer_drain(board);
    tell_due(board, true); /* whoever waits was answered on the same connection before this sync was */
    journal_update_attachment(board->journal);
}

static void on_read(void *context, const struct redisReply *reply)
{
    struct redis_board *board = context;
    struct redis_journal *journal = board->journal;
    if (!journal->is_destroying && board->is_open) {
        bool was_gap = board->has_position && board->was_gap;
        bool is_good = redis_reply_type(reply) == REDIS_ARRAY && image_take(board, reply);
        metric_add(journal->metrics.gaps_reloaded, is_good && was_gap ? 1 : 0);
        board_settle(board, is_good);
    }
    board_unref(board);
}

/* All or nothing: a MULTI that is not ended would swallow whatever is sent next. */
static void board_read(struct redis_board *board)
{
    struct redis_journal *journal = board->journal;
    static const char *const multi[] = {"MULTI"}, *const exec[] = {"EXEC"};
    const char *const meta[] = {"HMGET", board->meta_key, "epoch", "offset", "nonce", "floor"};
    const char *const guard[] = {"HGET", board->state_key, ""};
    const char *const tail[] = {"XRANGE", board->tail_key, "-", "+"};
    const char *const state[] = {"HGETALL", board->state_key};
    const struct {
        const char *const *argv;
        size_t argc;
    } commands[] = {{multi, 1}, {meta, 6}, {guard, 3}, {tail, 4}, {state, 2}, {exec, 1}};
    size_t count = sizeof commands / sizeof *commands, sent = 0;
    while (sent < count) {
        bool is_last = sent + 1 == count;
        if (redis_link_send(journal->commands, is_last ? on_read : NULL, board, commands[sent].argc,
                            commands[sent].argv, NULL) != RESULT_OK) {
            break;
        }
        sent++;
    }
    if (sent == count) {
        board_ref(board);
        return;
    }
    if (sent > 0) {
        redis_link_reject(journal->commands, "a read of a board could not be sent whole");
    }
    board_settle(board, false);
}

static void sync_on_reply(struct call *call, const struct redisReply *reply)
{
    struct redis_board *board = call->board;
    if (!call->journal->is_destroying && board->is_open) {
        enum sync_end end = reply ? sync_take(board, reply) : SYNC_RETRY;
        if (end == SYNC_READ) {
            board_read(board);
        } else {
            board_settle(board, end == SYNC_DONE);
        }
    }
    call_finish(call);
}

static const struct call_kind sync_kind = {"sync", sync_build, sync_on_reply};

void board_sync(struct redis_board *board)
{
    board->is_live = false;
    if (board->is_asking) {
        board->must_ask_again = true;
        return;
    }
    board->ask_after_ms = loop_now_ms(board->journal->loop) + RETRY_MS;
    if (!journal_can_sync(board->journal, board)) {
        return; /* asked again when it can */
    }
    struct sync_call *sync = call_create(sizeof *sync, board, &sync_kind);
    if (!sync) {
        return;
    }
    board->ask_after_ms = 0;
    if (board->has_position) {
        sync->from = board->at;
    }
    board->is_asking = true;
    board->must_ask_again = false;
    call_send(&sync->call);
}

/* ---- in doubt ---- */

void board_lose(struct redis_board *board)
{
    board->is_live = false;
    board->must_ask_again = board->is_asking;
    board->was_gap = board->has_position;
    buffer_clear(board);
}

void board_check(struct redis_board *board, bool is_known, const struct position *at)
{
    if (!board->is_live) {
        return;
    }
    bool is_same = is_known && at->epoch == board->at.epoch && at->offset == board->at.offset &&
                   (at->nonce == board->at.nonce || !board->journal->options.check_nonce);
    if (is_same) {
        return;
    }
    if (is_known && at->epoch == board->at.epoch && at->offset > board->at.offset) {
        board->suspect = at->offset; /* its message may be in the socket: the next tick tells */
        return;
    }
    /* Behind us it may be an answer overtaken by messages: the sync finds nothing missing then. */
    board->was_gap = true;
    board_sync(board);
}

void board_tick(struct redis_board *board)
{
    uint64_t now_ms = loop_now_ms(board->journal->loop);
    if (board->is_live && board->suspect > board->at.offset) {
        board->is_asked_by_check = true;
        board->was_gap = true;
        board_sync(board);
    }
    board->suspect = 0;
    if (!board->is_live && !board->is_asking && now_ms >= board->ask_after_ms) {
        board_sync(board);
    }
    if (board->is_live && !list_is_empty(&board->waiters)) {
        const struct waiter *oldest = LIST_ITEM(board->waiters.next, struct waiter, node);
        if (now_ms - oldest->since_ms > board->journal->options.wait_ms) {
            board->was_gap = true;
            board_sync(board);
        }
    }
}

void board_retire(struct redis_board *board)
{
    board->is_open = false;
    board->is_live = false;
    list_remove(&board->node);
    buffer_clear(board);
    tell_due(board, true);
    board_unref(board);
}
