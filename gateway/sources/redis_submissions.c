/*
 * A submission outlives whoever sent it: finish() takes the owner out, the
 * pipeline's answer frees it.
 */
#include "sources/redis_submissions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { TELL_EVERY_MS = 10000, PLACE_BYTES = 128 };

struct submission {
    struct list_node node;
    struct redis_submissions *owner; /* NULL: gone */
    struct batch *batch;             /* owned */
    redis_submitted_fn *done;
    void *context, *subject;
    char place[PLACE_BYTES];
};

void redis_submissions_init(struct redis_submissions *submissions, struct pipeline *pipeline,
                            struct metrics *metrics, struct moment (*now)(void))
{
    *submissions = (struct redis_submissions){.pipeline = pipeline, .now = now};
    list_init(&submissions->outstanding);
    static const char name[] = "gw_redis_messages_total";
    static const char help[] = "Changes that came by Redis, by what became of them; messages that said none";
    char label[64];
    for (int result = 0; result < RESULT_COUNT; result++) {
        (void)snprintf(label, sizeof label, "result=\"%s\"", result_name((enum result)result));
        submissions->results[result] = metrics_counter(metrics, name, label, help);
    }
    submissions->dropped = metrics_counter(metrics, name, "result=\"dropped\"", help);
    submissions->leftover = metrics_counter(metrics, name, "result=\"leftover\"", help);
}

void redis_submissions_finish(struct redis_submissions *submissions)
{
    while (!list_is_empty(&submissions->outstanding)) {
        struct submission *submission = LIST_ITEM(submissions->outstanding.next, struct submission, node);
        list_remove(&submission->node);
        submission->owner = NULL;
    }
}

/* ---- telling ---- */

static void tell(struct redis_submissions *submissions, const char *place, const char *field,
                 const char *result, const char *detail)
{
    uint64_t now = submissions->now().monotonic_ms;
    if (submissions->told_at_ms != 0 && now - submissions->told_at_ms < TELL_EVERY_MS) {
        submissions->untold++;
        return;
    }
    log_warn("redis message not used", LOG_TEXT("from", place), LOG_TEXT("field", field),
             LOG_TEXT("result", result), LOG_TEXT("detail", detail),
             LOG_INT("others_not_told", submissions->untold));
    submissions->told_at_ms = now;
    submissions->untold = 0;
}

void redis_submissions_refuse(struct redis_submissions *submissions, const char *place, enum result result,
                              const char *problem)
{
    metric_add(submissions->results[result], 1);
    tell(submissions, place, "", result_name(result), problem);
}

void redis_submissions_drop(struct redis_submissions *submissions, const char *place)
{
    metric_add(submissions->dropped, 1);
    tell(submissions, place, "", "dropped", "too many messages wait; the oldest go");
}

static void count_leftover(struct redis_submissions *submissions, const char *place,
                           const struct redis_leftover *leftover)
{
    if (leftover->count > 0) {
        metric_add(submissions->leftover, 1);
        tell(submissions, place, leftover->first, "leftover", "no column of what this feeds has this name");
    }
}

static bool is_worth_sending_again(enum result outcome)
{
    return outcome == RESULT_UNAVAILABLE || outcome == RESULT_NO_MEMORY;
}

/* Counts every change; the outcome of the whole. */
static enum result judge(struct redis_submissions *submissions, const char *place,
                         const struct submission_item *items, size_t count)
{
    enum result whole = RESULT_OK;
    for (size_t i = 0; i < count; i++) {
        enum result outcome = items[i].outcome;
        metric_add(submissions->results[outcome], 1);
        if (is_worth_sending_again(outcome)) {
            whole = outcome;
        } else if (!result_is_settled(outcome)) {
            tell(submissions, place, items[i].change.field, result_name(outcome), items[i].detail);
        }
    }
    return whole;
}

/* ---- submitting ---- */

static const char *problem_of(enum result result)
{
    switch (result) {
    case RESULT_TOO_BIG:
        return "a message may have 1 MiB";
    case RESULT_TOO_DEEP:
        return "a message may be nested 16 deep";
    case RESULT_TOO_MANY:
        return "a message may hold 1,000 changes";
    case RESULT_MALFORMED:
        return "it is not JSON, names a member twice, or is an empty list";
    default:
        return "";
    }
}

static void on_answer(void *context, struct submission_item *items, size_t count)
{
    struct submission *submission = context;
    struct redis_submissions *owner = submission->owner;
    list_remove(&submission->node);
    if (owner) {
        enum result whole = judge(owner, submission->place, items, count);
        submission->done(submission->context, submission->subject, whole);
    }
    batch_destroy(submission->batch);
    free(submission);
}

void redis_submissions_take(struct redis_submissions *submissions, const char *place,
                            const struct redis_meaning *meaning, const char *text, size_t length,
                            redis_submitted_fn *done, void *context, void *subject)
{
    struct submission *submission = calloc(1, sizeof *submission);
    struct batch *batch = batch_create();
    struct redis_leftover leftover = {0};
    enum result result = submission && batch ? redis_payload_decode(meaning, text, length, batch, &leftover)
                                             : RESULT_NO_MEMORY;
    if (result != RESULT_OK) {
        batch_destroy(batch);
        free(submission);
        redis_submissions_refuse(submissions, place, result, problem_of(result));
        done(context, subject, result == RESULT_NO_MEMORY ? result : RESULT_OK);
        return;
    }
    count_leftover(submissions, place, &leftover);
    *submission = (struct submission){
        .owner = submissions, .batch = batch, .done = done, .context = context, .subject = subject};
    (void)snprintf(submission->place, sizeof submission->place, "%s", place); /* a longer name is cut */
    list_append(&submissions->outstanding, &submission->node);
    pipeline_submit(submissions->pipeline, batch->items, batch->count, on_answer, submission);
}
