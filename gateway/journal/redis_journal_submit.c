/*
 * Transactions and restarts: sent at once, one behind the other, and answered when this node's board has
 * caught up with what Redis decided.
 */
#include "journal/redis_journal_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char *const rule_letters[] =
    {[VERSION_NEXT] = "N", [VERSION_GIVEN] = "G", [VERSION_KEPT] = "K", [VERSION_FORGOTTEN] = "F"};

/* ---- a transaction ---- */

struct submit {
    struct call call; /* first */
    struct waiter waiter;
    struct journal_transaction transaction; /* its texts are the caller's until done */
    journal_done_fn *done;
    void *context;
    uint64_t since_us;
    size_t bytes;
    char *texts; /* owned: every value with its leading "v" */
};

static size_t transaction_bytes(const struct journal_transaction *transaction)
{
    size_t bytes = 0;
    for (size_t i = 0; i < transaction->count; i++) {
        bytes += transaction->items[i].field_length + transaction->items[i].value_length + 2 * NUMBER_BYTES;
    }
    return bytes;
}

static void transaction_fail(const struct journal_transaction *transaction, enum result outcome)
{
    for (size_t i = 0; i < transaction->count; i++) {
        transaction->items[i].outcome = outcome;
    }
}

static void submit_finish(struct submit *submit)
{
    struct redis_journal *journal = submit->call.journal;
    journal->outstanding--;
    journal->outstanding_bytes -= submit->bytes;
    submit->done(submit->context, submit->transaction.items, submit->transaction.count);
    free(submit->texts);
    call_finish(&submit->call);
}

static bool submit_build(struct call *call, struct arguments *arguments)
{
    struct submit *submit = (struct submit *)call;
    const struct redis_journal_options *options = &call->journal->options;
    const struct journal_transaction *transaction = &submit->transaction;
    if (!arguments_reserve(arguments, 5 + 4 * transaction->count, 2 + transaction->count)) {
        return false;
    }
    arguments_add_text(arguments, transaction->lineage ? transaction->lineage : "");
    arguments_add_text(arguments, publish_command(call->journal));
    arguments_add_number(arguments, options->max_fields);
    arguments_add_number(arguments, options->tail_offsets);
    arguments_add_text(arguments, call->board->id);
    char *text = submit->texts;
    for (size_t i = 0; i < transaction->count; i++) {
        const struct journal_item *item = &transaction->items[i];
        arguments_add(arguments, item->field, item->field_length);
        arguments_add_text(arguments, rule_letters[item->rule]);
        arguments_add_number(arguments, item->version);
        if (!item->value) {
            arguments_add_text(arguments, "d");
            continue;
        }
        text[0] = 'v';
        memcpy(text + 1, item->value, item->value_length);
        arguments_add(arguments, text, item->value_length + 1);
        text += item->value_length + 1;
    }
    return true;
}

static bool outcomes_read(struct submit *submit, const struct redisReply *reply)
{
    static const enum result outcomes[] = {RESULT_OK, RESULT_UNCHANGED, RESULT_OLDER, RESULT_OTHER_LINEAGE,
                                           RESULT_FULL};
    size_t length = 0;
    const char *digits = redis_reply_text(redis_reply_at(reply, 3), &length);
    if (!digits || length != submit->transaction.count) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        size_t digit = (size_t)(unsigned char)digits[i] - '0';
        if (digit >= sizeof outcomes / sizeof *outcomes) {
            return false;
        }
        submit->transaction.items[i].outcome = outcomes[digit];
    }
    return true;
}

static void submit_tell(struct waiter *waiter)
{
    struct submit *submit = LIST_ITEM(waiter, struct submit, waiter);
    metric_observe(submit->call.journal->metrics.submit_seconds,
                   (double)(clock_monotonic_us() - submit->since_us) / 1e6);
    submit_finish(submit);
}

static void submit_on_reply(struct call *call, const struct redisReply *reply)
{
    struct submit *submit = (struct submit *)call;
    struct redis_journal *journal = call->journal;
    if (!journal_read_position(reply, 0, &submit->waiter.at) || !outcomes_read(submit, reply)) {
        if (reply) {
            journal_log_error(journal, "apply", reply);
        }
        transaction_fail(&submit->transaction, RESULT_UNAVAILABLE);
        submit_finish(submit);
        return;
    }
    sweep_look(call->board, (size_t)redis_reply_integer(redis_reply_at(reply, 4)));
    board_wait(call->board, &submit->waiter);
}

static const struct call_kind submit_kind = {"apply", submit_build, submit_on_reply};

static struct submit *submit_create(struct redis_board *board, const struct journal_transaction *transaction,
                                    journal_done_fn *done, void *context, size_t bytes)
{
    struct submit *submit = call_create(sizeof *submit, board, &submit_kind);
    if (!submit) {
        return NULL;
    }
    list_init(&submit->waiter.node);
    submit->waiter.tell = submit_tell;
    submit->transaction = *transaction;
    submit->done = done;
    submit->context = context;
    submit->since_us = clock_monotonic_us();
    submit->bytes = bytes;
    submit->texts = malloc(bytes);
    if (!submit->texts) {
        call_finish(&submit->call);
        return NULL;
    }
    return submit;
}

void redis_journal_submit(struct journal *base, const struct journal_transaction *transaction,
                          journal_done_fn *done, void *context)
{
    struct redis_journal *journal = (struct redis_journal *)base;
    struct redis_board *board = board_find(journal, transaction->board, strlen(transaction->board));
    size_t bytes = transaction_bytes(transaction);
    assert(board);
    struct submit *submit = submit_create(board, transaction, done, context, bytes);
    if (!submit) {
        transaction_fail(transaction, RESULT_NO_MEMORY);
        done(context, transaction->items, transaction->count);
        return;
    }
    bool is_over = journal->outstanding >= journal->options.max_outstanding ||
                   journal->outstanding_bytes + bytes > journal->options.max_outstanding_bytes;
    journal->outstanding++;
    journal->outstanding_bytes += bytes;
    if (bytes > journal->options.max_transaction_bytes) {
        metric_add(journal->metrics.refused_too_big, 1);
        transaction_fail(transaction, RESULT_TOO_BIG);
        submit_finish(submit);
    } else if (is_over || !journal->is_attached) {
        metric_add(is_over ? journal->metrics.refused_outstanding : journal->metrics.refused_detached, 1);
        call_refuse(&submit->call);
    } else {
        call_send(&submit->call);
    }
}

/* ---- a restart: first which fields nobody knows any more, then the script ---- */

struct restart {
    struct call call; /* first */
    struct waiter waiter;
    struct journal_restart wanted; /* its texts are the caller's until done */
    journal_restarted_fn *done;
    void *context;
    struct bytes unknown; /* names, one behind the other */
    size_t *unknown_ends;
    size_t unknown_count;
    uint64_t unknown_up_to;
};

static void restart_finish(struct restart *restart, enum result outcome)
{
    restart->call.journal->outstanding--;
    restart->done(restart->context, outcome);
    bytes_finish(&restart->unknown);
    free(restart->unknown_ends);
    call_finish(&restart->call);
}

static void fields_add(struct arguments *arguments, const struct journal_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        arguments_add(arguments, fields[i].field, fields[i].field_length);
    }
}

static bool restart_build(struct call *call, struct arguments *arguments)
{
    const struct restart *restart = (const struct restart *)call;
    const struct journal_restart *wanted = &restart->wanted;
    size_t count = wanted->removed_count + restart->unknown_count + wanted->forgotten_count;
    if (!arguments_reserve(arguments, 6 + count, 3)) {
        return false;
    }
    arguments_add_text(arguments, wanted->lineage);
    arguments_add_text(arguments, publish_command(call->journal));
    arguments_add_text(arguments, call->board->id);
    arguments_add_number(arguments, wanted->removed_count);
    arguments_add_number(arguments, restart->unknown_count);
    arguments_add_number(arguments, restart->unknown_up_to);
    fields_add(arguments, wanted->removed, wanted->removed_count);
    for (size_t i = 0, from = 0; i < restart->unknown_count; from = restart->unknown_ends[i++]) {
        arguments_add(arguments, restart->unknown.at + from, restart->unknown_ends[i] - from);
    }
    fields_add(arguments, wanted->forgotten, wanted->forgotten_count);
    return true;
}

static void restart_tell(struct waiter *waiter)
{
    restart_finish(LIST_ITEM(waiter, struct restart, waiter), RESULT_OK);
}

static void restart_on_reply(struct call *call, const struct redisReply *reply)
{
    struct restart *restart = (struct restart *)call;
    const char *outcome = redis_reply_text(redis_reply_at(reply, 3), NULL);
    if (!journal_read_position(reply, 0, &restart->waiter.at) || !outcome) {
        if (reply) {
            journal_log_error(call->journal, "restart", reply);
        }
        restart_finish(restart, RESULT_UNAVAILABLE);
    } else if (outcome[0] == '1') {
        restart_finish(restart, RESULT_UNCHANGED);
    } else {
        board_wait(call->board, &restart->waiter);
    }
}

static const struct call_kind restart_kind = {"restart", restart_build, restart_on_reply};

/* Only what this node would have heard of by now: anything newer is not unknown but not here yet. */
static bool unknown_gather(struct restart *restart, const struct redisReply *names)
{
    const struct journal_host *host = &restart->call.journal->host;
    const struct redis_board *board = restart->call.board;
    size_t count = redis_reply_count(names);
    restart->unknown_up_to = board->has_position ? board->at.offset : 0;
    restart->unknown_ends = calloc(count + 1, sizeof *restart->unknown_ends);
    for (size_t i = 0; i < count && restart->unknown_ends; i++) {
        size_t length = 0;
        const char *name = redis_reply_text(redis_reply_at(names, i), &length);
        if (name && length > 0 && !host->knows_field(host->context, board->id, name, length)) {
            bytes_append(&restart->unknown, name, length);
            restart->unknown_ends[restart->unknown_count++] = restart->unknown.length;
        }
    }
    return restart->unknown_ends && !bytes_failed(&restart->unknown);
}

static void on_names(void *context, const struct redisReply *reply)
{
    struct restart *restart = context;
    struct redis_journal *journal = restart->call.journal;
    if (redis_reply_type(reply) != REDIS_ARRAY || journal->is_destroying) {
        restart_finish(restart, RESULT_UNAVAILABLE);
    } else if (!unknown_gather(restart, reply)) {
        restart_finish(restart, RESULT_NO_MEMORY);
    } else {
        call_send(&restart->call);
    }
}

void redis_journal_restart(struct journal *base, const struct journal_restart *wanted,
                           journal_restarted_fn *done, void *context)
{
    struct redis_journal *journal = (struct redis_journal *)base;
    struct redis_board *board = board_find(journal, wanted->board, strlen(wanted->board));
    assert(board);
    struct restart *restart = call_create(sizeof *restart, board, &restart_kind);
    if (!restart) {
        done(context, RESULT_NO_MEMORY);
        return;
    }
    list_init(&restart->waiter.node);
    restart->waiter.tell = restart_tell;
    restart->wanted = *wanted;
    restart->done = done;
    restart->context = context;
    bytes_init(&restart->unknown, journal->options.max_fields * (FIELD_MAX_BYTES + 1));
    journal->outstanding++;
    const char *const argv[] = {"HKEYS", board->state_key};
    bool is_over = journal->outstanding > journal->options.max_outstanding;
    if (!journal->is_attached || is_over ||
        redis_link_send(journal->commands, on_names, restart, 2, argv, NULL) != RESULT_OK) {
        metric_add(is_over ? journal->metrics.refused_outstanding : journal->metrics.refused_detached, 1);
        call_refuse(&restart->call);
    }
}
