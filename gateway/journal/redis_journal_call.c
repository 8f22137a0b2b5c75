/*
 * Script calls. They keep their order whatever happens: when the script is gone (SCRIPT FLUSH), calls that
 * Redis refused for that wait until all that were sent before are back, and go again in the order they had,
 * newer ones behind them.
 */
#include "journal/redis_journal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

bool arguments_reserve(struct arguments *arguments, size_t count, size_t numbers)
{
    size_t wanted = arguments->count + count;
    if (wanted > arguments->capacity) {
        const char **argv = reallocarray(arguments->argv, wanted, sizeof *argv);
        if (!argv) {
            return false;
        }
        arguments->argv = argv;
        size_t *lengths = reallocarray(arguments->lengths, wanted, sizeof *lengths);
        if (!lengths) {
            return false;
        }
        arguments->lengths = lengths;
        arguments->capacity = wanted;
    }
    wanted = arguments->number_count + numbers;
    if (wanted > arguments->number_capacity) {
        char(*grown)[NUMBER_BYTES] = reallocarray(arguments->numbers, wanted, sizeof *grown);
        if (!grown) {
            return false;
        }
        arguments->numbers = grown;
        arguments->number_capacity = wanted;
    }
    return true;
}

void arguments_add(struct arguments *arguments, const char *text, size_t length)
{
    arguments->argv[arguments->count] = text;
    arguments->lengths[arguments->count++] = length;
}

void arguments_add_text(struct arguments *arguments, const char *text)
{
    arguments_add(arguments, text, strlen(text));
}

/* The block of numbers may still move, so the argument points to it only when all are there. */
void arguments_add_number(struct arguments *arguments, uint64_t number)
{
    char *text = arguments->numbers[arguments->number_count++];
    int length = snprintf(text, NUMBER_BYTES, "%" PRIu64, number);
    arguments_add(arguments, NULL, (size_t)length);
}

static void arguments_settle(struct arguments *arguments)
{
    for (size_t i = 0, number = 0; i < arguments->count; i++) {
        if (!arguments->argv[i]) {
            arguments->argv[i] = arguments->numbers[number++];
        }
    }
}

void *call_create(size_t size, struct redis_board *board, const struct call_kind *kind)
{
    struct call *call = calloc(1, size);
    if (!call) {
        return NULL;
    }
    list_init(&call->node);
    call->journal = board->journal;
    call->board = board;
    call->kind = kind;
    call->word = (uint32_t)random_u64() | 1;
    board_ref(board);
    return call;
}

void call_finish(struct call *call)
{
    list_remove(&call->node);
    board_unref(call->board);
    free(call);
}

static void tell_failed(void *context)
{
    struct redis_journal *journal = context;
    while (!list_is_empty(&journal->failed)) {
        struct call *call = LIST_ITEM(journal->failed.next, struct call, node);
        list_remove(&call->node);
        call->kind->on_reply(call, NULL);
    }
}

void call_refuse(struct call *call)
{
    struct redis_journal *journal = call->journal;
    list_remove(&call->node);
    list_append(&journal->failed, &call->node);
    loop_defer(journal->loop, &journal->tell_failed, tell_failed, journal);
}

void calls_fail_waiting(struct redis_journal *journal)
{
    LIST_EACH_SAFE(node, &journal->again) {
        call_refuse(LIST_ITEM(node, struct call, node));
    }
    if (journal->is_destroying) {
        loop_cancel_deferred(journal->loop, &journal->tell_failed);
        tell_failed(journal);
    }
}

static void on_script_reply(void *context, const struct redisReply *reply);

static bool build(struct call *call, bool with_text, char epoch[EPOCH_TEXT_BYTES + 1])
{
    struct redis_journal *journal = call->journal;
    struct arguments *arguments = &journal->arguments;
    arguments->count = 0;
    arguments->number_count = 0;
    if (!arguments_reserve(arguments, 3 + KEYS_PER_CALL + 3, 1)) {
        return false;
    }
    snprintf(epoch, EPOCH_TEXT_BYTES + 1, "%016" PRIx64, random_u64() | 1);
    arguments_add_text(arguments, with_text ? "EVAL" : "EVALSHA");
    arguments_add_text(arguments, with_text ? redis_journal_script : journal->sha);
    arguments_add_text(arguments, "4");
    arguments_add_text(arguments, call->board->meta_key);
    arguments_add_text(arguments, call->board->state_key);
    arguments_add_text(arguments, call->board->tail_key);
    arguments_add_text(arguments, journal->partitions[call->board->partition].channel);
    arguments_add_text(arguments, call->kind->command);
    arguments_add_text(arguments, epoch);
    arguments_add_number(arguments, call->word);
    return call->kind->build(call, arguments);
}

static void send_now(struct call *call, bool with_text)
{
    struct redis_journal *journal = call->journal;
    struct arguments *arguments = &journal->arguments;
    char epoch[EPOCH_TEXT_BYTES + 1];
    enum result result = RESULT_NO_MEMORY;
    list_remove(&call->node);
    if (build(call, with_text, epoch)) {
        arguments_settle(arguments);
        result = redis_link_send(journal->commands, on_script_reply, call, arguments->count, arguments->argv,
                                 arguments->lengths);
    }
    if (result == RESULT_OK) {
        list_append(&journal->sent, &call->node);
    } else {
        call_refuse(call);
    }
}

void call_send(struct call *call)
{
    struct redis_journal *journal = call->journal;
    if (journal->phase != SERVER_READY) {
        call_refuse(call);
    } else if (!list_is_empty(&journal->again)) {
        list_append(&journal->again, &call->node);
    } else {
        send_now(call, false);
    }
}

/* The first brings the script along. */
static void send_again(struct redis_journal *journal)
{
    struct list_node waiting;
    list_init(&waiting);
    while (!list_is_empty(&journal->again)) {
        struct list_node *node = journal->again.next;
        list_remove(node);
        list_append(&waiting, node);
    }
    for (bool with_text = true; !list_is_empty(&waiting); with_text = false) {
        send_now(LIST_ITEM(waiting.next, struct call, node), with_text);
    }
}

static bool is_noscript(const struct redisReply *reply)
{
    return redis_reply_type(reply) == REDIS_ERROR && reply &&
           strncmp(redis_reply_text(reply, NULL), "NOSCRIPT", 8) == 0;
}

static void on_script_reply(void *context, const struct redisReply *reply)
{
    struct call *call = context;
    struct redis_journal *journal = call->journal;
    list_remove(&call->node);
    if (is_noscript(reply)) {
        list_append(&journal->again, &call->node);
    } else {
        call->kind->on_reply(call, reply);
    }
    if (list_is_empty(&journal->sent) && !list_is_empty(&journal->again) && !journal->is_destroying) {
        send_again(journal);
    }
}
