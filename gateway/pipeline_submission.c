/*
 * A submission walks through four steps: judge every item against the
 * catalogue and stage one wire text per board it touches; hand each board's
 * staged items to its journal as one transaction; the pipeline applies what the
 * journal publishes; answer the producer when every journal call is done.
 *
 * A journal may answer later. Until then definitions may change and boards go, even
 * the pipeline may: what is outstanding points at nothing but its own text.
 *
 * A refused value of a known KPI is staged too, as the last good value in state
 * invalid: the screen must say that the number on it is no longer the newest.
 */
#include "pipeline.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/points.h"
#include "pipeline_internal.h"
#include "protocol/limits.h"

enum {
    ARENA_MAX_BYTES = 32 * 1024 * 1024, /* wire text of one submission: 1,000 items on a few boards each */
    STAGED_MAX = INGEST_ITEMS_MAX * 8,
};

/* One wire text for one board. */
struct staged {
    size_t item;                   /* index of the submission's item, or NO_ITEM */
    struct topic *topic;           /* NULL once it is handed over: the board may go */
    size_t field_at, field_length; /* in the arena */
    size_t value_at, value_length; /* value_length 0 = remove */
    enum version_rule rule;
    uint64_t version;
    enum result outcome; /* what the journal said */
};

enum { NO_ITEM = -1 };

struct submission {
    struct pending pending;
    struct pipeline *pipeline; /* NULL when it went first: the producer has its answer then */
    struct submission_item *items;
    size_t count;
    pipeline_done_fn *done;
    void *context;
    char *lineage; /* owned; NULL: none */
    struct bytes arena;
    struct staged *staged;
    size_t staged_count, staged_capacity;
    size_t outstanding;   /* journal calls not done yet, plus one while judging */
    uint64_t definitions; /* under which it was judged */
};

/* The journal items of one board, and which staged entries they came from. */
struct transaction {
    struct submission *submission;
    char board[BOARD_ID_MAX_BYTES + 1];
    size_t *staged;
    struct journal_item items[];
};

static struct kpi_memory *memory_of(struct pipeline *pipeline, const struct kpi *kpi)
{
    size_t length = strlen(kpi->id);
    struct kpi_memory *memory = map_get(&pipeline->memories, kpi->id, length);
    if (!memory) {
        memory = calloc(1, sizeof *memory);
        if (memory && map_put(&pipeline->memories, kpi->id, length, memory) != RESULT_OK) {
            free(memory);
            memory = NULL;
        }
    }
    return memory;
}

/* ---- handing over to the journal ---- */

/* What a producer has to act on comes first: sent again, what was accepted elsewhere is unchanged. */
static int weight_of(enum result outcome)
{
    switch (outcome) {
    case RESULT_OLDER:
        return 0;
    case RESULT_UNCHANGED:
        return 1;
    case RESULT_OK:
        return 2;
    case RESULT_OTHER_LINEAGE:
        return 4;
    default:
        return 3;
    }
}

/* One outcome per item, from those of the boards that show its KPI. */
static void outcomes_fold(struct submission *submission)
{
    for (size_t i = 0; i < submission->staged_count; i++) {
        const struct staged *staged = &submission->staged[i];
        if (staged->item != (size_t)NO_ITEM) {
            submission->items[staged->item].outcome = RESULT_OLDER; /* the lightest */
        }
    }
    for (size_t i = 0; i < submission->staged_count; i++) {
        const struct staged *staged = &submission->staged[i];
        enum result *outcome =
            staged->item != (size_t)NO_ITEM ? &submission->items[staged->item].outcome : NULL;
        if (outcome && weight_of(staged->outcome) > weight_of(*outcome)) {
            *outcome = staged->outcome;
        }
    }
}

static void submission_destroy(struct submission *submission)
{
    bytes_finish(&submission->arena);
    free(submission->staged);
    free(submission->lineage);
    free(submission);
}

static void submission_answer(struct submission *submission)
{
    outcomes_fold(submission);
    for (size_t i = 0; i < submission->count; i++) {
        metric_add(submission->pipeline->changes[submission->items[i].outcome], 1);
    }
    submission->done(submission->context, submission->items, submission->count);
}

/* The pipeline goes: whatever a journal has not said by now is answered UNAVAILABLE. */
static void submission_abandon(struct pending *pending)
{
    struct submission *submission = LIST_ITEM(pending, struct submission, pending);
    submission_answer(submission);
    submission->pipeline = NULL;
}

static void submission_finish_one(struct submission *submission)
{
    if (--submission->outstanding > 0) {
        return;
    }
    struct pipeline *pipeline = submission->pipeline;
    if (pipeline) {
        list_remove(&submission->pending.node);
        if (submission->definitions != pipeline->definitions) {
            /* It may have brought back what the definitions since then removed. */
            pipeline_prune(pipeline, NULL);
        }
        submission_answer(submission);
    }
    submission_destroy(submission);
}

/* Points the producer sent, and the value itself when its KPI keeps points. */
struct history_target {
    struct history *history;
    const char *kpi;
};

static void history_take(void *context, int64_t as_of_ms, const char *text, size_t length)
{
    const struct history_target *target = context;
    /* Decoration: a miss is a gap. */
    (void)history_record(target->history, target->kpi, as_of_ms, text, length);
}

static void on_transaction_done(void *context, struct journal_item *items, size_t count)
{
    struct transaction *transaction = context;
    struct submission *submission = transaction->submission;
    for (size_t i = 0; i < count; i++) {
        submission->staged[transaction->staged[i]].outcome = items[i].outcome;
    }
    free(transaction->staged);
    free(transaction);
    submission_finish_one(submission);
}

/* Nothing can be ordered: say so for everything that was staged for this board. */
static void transaction_refuse(struct submission *submission, const struct topic *topic, enum result outcome)
{
    for (size_t i = 0; i < submission->staged_count; i++) {
        struct staged *staged = &submission->staged[i];
        if (staged->topic == topic) {
            staged->topic = NULL;
            staged->outcome = outcome;
        }
    }
}

static void transaction_submit(struct submission *submission, struct topic *topic)
{
    const char *board = board_id(topic_board(topic));
    struct journal *journal = pipeline_open_journal_of(submission->pipeline, board);
    if (!journal) {
        transaction_refuse(submission, topic, RESULT_UNAVAILABLE);
        return;
    }
    struct transaction *transaction =
        calloc(1, sizeof *transaction + submission->staged_count * sizeof transaction->items[0]);
    size_t *indexes = calloc(submission->staged_count, sizeof *indexes);
    if (!transaction || !indexes) {
        free(transaction);
        free(indexes);
        transaction_refuse(submission, topic, RESULT_NO_MEMORY);
        return;
    }
    transaction->submission = submission;
    transaction->staged = indexes;
    snprintf(transaction->board, sizeof transaction->board, "%s", board);
    size_t count = 0;
    for (size_t i = 0; i < submission->staged_count; i++) {
        struct staged *staged = &submission->staged[i];
        if (staged->topic != topic) {
            continue;
        }
        staged->topic = NULL;
        indexes[count] = i;
        transaction->items[count++] = (struct journal_item){
            .field = submission->arena.at + staged->field_at,
            .field_length = staged->field_length,
            .value = staged->value_length ? submission->arena.at + staged->value_at : NULL,
            .value_length = staged->value_length,
            .rule = staged->rule,
            .version = staged->version,
        };
    }
    const struct journal_transaction call = {
        .board = transaction->board,
        .items = transaction->items,
        .count = count,
        .lineage = submission->lineage,
    };
    submission->outstanding++;
    journal_submit(journal, &call, on_transaction_done, transaction);
}

static void submission_hand_over(struct submission *submission)
{
    for (size_t i = 0; i < submission->staged_count; i++) {
        submission->staged[i].outcome = RESULT_UNAVAILABLE; /* until the journal says */
    }
    for (size_t i = 0; i < submission->staged_count; i++) {
        if (submission->staged[i].topic) {
            transaction_submit(submission, submission->staged[i].topic);
        }
    }
}

/* ---- judging ---- */

static struct staged *stage(struct submission *submission)
{
    if (submission->staged_count == submission->staged_capacity) {
        size_t capacity = submission->staged_capacity ? submission->staged_capacity * 2 : 16;
        capacity = capacity < STAGED_MAX ? capacity : STAGED_MAX;
        struct staged *grown = capacity > submission->staged_count
                                   ? realloc(submission->staged, capacity * sizeof *grown)
                                   : NULL;
        if (!grown) {
            return NULL;
        }
        submission->staged = grown;
        submission->staged_capacity = capacity;
    }
    struct staged *staged = &submission->staged[submission->staged_count++];
    memset(staged, 0, sizeof *staged);
    return staged;
}

/* One change as one KPI sees it: under the KPI's own name (a derived KPI has another), on the board to compare with. */
struct candidate {
    size_t item; /* whose outcome the journal's answer becomes, or NO_ITEM */
    const struct kpi *kpi;
    const struct change *change;
    struct board *board;
    size_t field_length;
    char field[FIELD_MAX_BYTES + 1];
    size_t value_at, value_length; /* wire text in the arena; value_length 0 = remove */
    bool is_mark;                  /* not a producer's value but the last good one, marked */
    bool
        is_open; /* others submit as well, or the versions may be of another history: the journal decides alone */
    bool is_late; /* the board knows a version as high */
};

static bool candidate_init(struct candidate *candidate, const struct submission *submission, size_t index,
                           const struct kpi *kpi)
{
    const struct change *change = &submission->items[index].change;
    const char *row = strchr(change->field, '#');
    int length = snprintf(candidate->field, sizeof candidate->field, "%s%s", kpi->id, row ? row : "");
    candidate->item = index;
    candidate->kpi = kpi;
    candidate->change = change;
    candidate->board = pipeline_first_board(submission->pipeline, kpi);
    candidate->field_length = (size_t)length;
    candidate->value_at = 0;
    candidate->value_length = 0;
    candidate->is_mark = false;
    candidate->is_open = submission->lineage || pipeline_is_shared(submission->pipeline, kpi);
    candidate->is_late = false;
    return length > 0 && (size_t)length < sizeof candidate->field && candidate->board;
}

/*
 * The field's text as this submission leaves it so far: what an earlier item staged, else what the board
 * holds; NULL when there is none. Lives until the arena grows.
 */
static const char *text_so_far(const struct submission *submission, const struct candidate *candidate,
                               size_t *out_length)
{
    for (size_t i = submission->staged_count; i-- > 0;) {
        const struct staged *staged = &submission->staged[i];
        if (staged->field_length == candidate->field_length &&
            memcmp(submission->arena.at + staged->field_at, candidate->field, candidate->field_length) == 0) {
            *out_length = staged->value_length;
            return staged->value_length ? submission->arena.at + staged->value_at : NULL;
        }
    }
    return board_value(candidate->board, candidate->field, candidate->field_length, out_length);
}

static bool is_there(const struct submission *submission, const struct candidate *candidate)
{
    size_t length = 0;
    return text_so_far(submission, candidate, &length) != NULL;
}

/* Which version a staged text has on one board. */
struct stamp {
    enum version_rule rule;
    uint64_t version;
};

/*
 * A mark is not a producer's value: sent again when what stood against it is cured, a refused change must be
 * news. So the field keeps the version of the value that the mark is on, and a mark on what is no longer the newest
 * is dropped by the journal.
 */
static struct stamp mark_stamp(const struct submission *submission, const struct candidate *candidate,
                               struct topic *topic)
{
    for (size_t i = submission->staged_count; i-- > 0;) {
        const struct staged *staged = &submission->staged[i];
        if (staged->topic == topic && staged->field_length == candidate->field_length &&
            memcmp(submission->arena.at + staged->field_at, candidate->field, candidate->field_length) == 0) {
            return (struct stamp){.rule = staged->rule == VERSION_NEXT ? VERSION_NEXT : VERSION_KEPT,
                                  .version = staged->version};
        }
    }
    struct stamp stamp = {.rule = VERSION_KEPT};
    /* Stays 0 when none is known. */
    (void)board_version(topic_board(topic), candidate->field, candidate->field_length, &stamp.version);
    return stamp;
}

static struct stamp stamp_of(const struct submission *submission, const struct candidate *candidate,
                             struct topic *topic)
{
    if (candidate->is_mark) {
        return mark_stamp(submission, candidate, topic);
    }
    if (candidate->change->has_version) {
        return (struct stamp){.rule = VERSION_GIVEN, .version = candidate->change->version};
    }
    return (struct stamp){.rule = VERSION_NEXT};
}

static enum result stage_on_boards(struct submission *submission, const struct candidate *candidate)
{
    size_t field_at = submission->arena.length;
    bytes_append(&submission->arena, candidate->field, candidate->field_length);
    if (bytes_failed(&submission->arena)) {
        return RESULT_TOO_BIG;
    }
    for (size_t i = 0; i < candidate->kpi->board_count; i++) {
        struct topic *topic = hub_topic(submission->pipeline->hub, candidate->kpi->boards[i]->id);
        if (!topic) {
            return RESULT_UNKNOWN_BOARD;
        }
        const struct stamp stamp = stamp_of(submission, candidate, topic);
        struct staged *staged = stage(submission);
        if (!staged) {
            return RESULT_NO_MEMORY;
        }
        *staged = (struct staged){
            .item = candidate->item,
            .topic = topic,
            .field_at = field_at,
            .field_length = candidate->field_length,
            .value_at = candidate->value_at,
            .value_length = candidate->value_length,
            .rule = stamp.rule,
            .version = stamp.version,
        };
    }
    return RESULT_OK;
}

/* What the board says of this version. Known here is known to the journal too, unless it lost part of its order. */
static enum result version_judge(const struct candidate *candidate)
{
    const struct change *change = candidate->change;
    uint64_t known = 0;
    if (!change->has_version ||
        !board_version(candidate->board, candidate->field, candidate->field_length, &known) ||
        change->version > known) {
        return RESULT_OK;
    }
    return change->version == known ? RESULT_UNCHANGED : RESULT_OLDER;
}

static void rows_count(struct submission *submission, const struct kpi *kpi, int32_t by)
{
    struct kpi_memory *memory = memory_of(submission->pipeline, kpi);
    if (memory) { /* out of memory: the cap is checked against the board alone */
        memory->new_rows += by;
    }
}

/* A removal with a version may overtake its row, so it is told to the journal even when there is no row. */
static enum result removal_judge(struct submission *submission, const struct candidate *candidate,
                                 char *detail)
{
    if (candidate->kpi->type != KPI_TABLE) {
        snprintf(detail, REASON_MAX_BYTES + 1, "only rows of a table can be deleted");
        return RESULT_WRONG_TYPE;
    }
    bool removes = is_there(submission, candidate);
    if (!removes && !candidate->change->has_version && !candidate->is_open) {
        return RESULT_UNCHANGED;
    }
    enum result result = stage_on_boards(submission, candidate);
    if (result == RESULT_OK && removes) {
        rows_count(submission, candidate->kpi, -1);
    }
    return result;
}

static bool table_is_full(struct submission *submission, const struct kpi *kpi, const struct board *board)
{
    const struct kpi_memory *memory = memory_of(submission->pipeline, kpi);
    int64_t rows =
        (int64_t)board_row_count(board, kpi->id, strlen(kpi->id)) + (memory ? memory->new_rows : 0);
    return rows >= kpi->cap;
}

static void level_append(struct pipeline *pipeline, const struct candidate *candidate,
                         const struct admitted_value *value, uint64_t now_ms, struct bytes *text)
{
    const struct kpi *kpi = candidate->kpi;
    struct kpi_memory *memory = kpi->threshold.is_set && !kpi_has_rows(kpi) ? memory_of(pipeline, kpi) : NULL;
    if (!memory) {
        return;
    }
    struct threshold_memory aside = memory->threshold;
    enum threshold_level level =
        threshold_evaluate(&kpi->threshold, candidate->is_late ? &aside : &memory->threshold,
                           value->has_number ? value->number : NAN, value->has_target ? value->target : NAN,
                           value->has_base ? value->base : NAN, now_ms);
    if (level != LEVEL_OK) {
        bytes_append_format(text, ",\"level\":\"%s\"", threshold_level_name(level));
    }
}

static void history_feed(struct pipeline *pipeline, const struct kpi *kpi, const struct change *change,
                         const struct admitted_value *value)
{
    if (kpi->history_points == 0) {
        return;
    }
    struct history_target target = {.history = pipeline->history, .kpi = kpi->id};
    /* Passed over points are gaps in a sparkline. */
    (void)kpi_points_each(kpi, change, history_take, &target);
    char text[POINT_TEXT_MAX];
    /* A state's number is its level. Values that a shared journal accepts come back to every node: see pipeline.c. */
    bool is_amount = value->has_number && kpi->type != KPI_STATE && !pipeline_is_shared(pipeline, kpi);
    size_t length = is_amount ? kpi_number_print(kpi, value->number, text) : 0;
    if (length > 0 && value->state == VALUE_OK) {
        history_take(&target, value->as_of_ms, text, length);
    }
}

/* Ends the wire text that was begun at value_at. */
static enum result value_close(struct submission *submission, struct candidate *candidate)
{
    bytes_append_byte(&submission->arena, '}');
    candidate->value_length = submission->arena.length - candidate->value_at;
    return bytes_failed(&submission->arena) || candidate->value_length > VALUE_MAX_BYTES ? RESULT_TOO_BIG
                                                                                         : RESULT_OK;
}

/* Would staging this text change anything? */
static bool is_news(const struct submission *submission, const struct candidate *candidate)
{
    size_t length = 0;
    const char *known = text_so_far(submission, candidate, &length);
    return !known || length != candidate->value_length ||
           memcmp(known, submission->arena.at + candidate->value_at, length) != 0;
}

/* The last good value, or none, in another state: v and as_of stay. */
static enum result value_remark(struct submission *submission, struct candidate *candidate,
                                enum value_state state, const char *why)
{
    char last[VALUE_MAX_BYTES];
    size_t length = 0;
    const char *text = text_so_far(submission, candidate, &length);
    if (text) {
        assert(length <= sizeof last);
        memcpy(last, text, length); /* it may lie in the arena, which is appended to */
    }
    candidate->value_at = submission->arena.length;
    enum result result = value_mark(text ? last : NULL, length, state, why,
                                    submission->pipeline->options.now().wall_ms, &submission->arena);
    return result == RESULT_OK ? value_close(submission, candidate) : result;
}

/* Refused rows that do not exist leave no trace. */
static void stage_invalid(struct submission *submission, struct candidate *candidate, const char *why)
{
    if (kpi_has_rows(candidate->kpi) && !is_there(submission, candidate)) {
        return;
    }
    if (value_remark(submission, candidate, VALUE_INVALID, why) != RESULT_OK ||
        (!candidate->is_open && !is_news(submission, candidate))) {
        return;
    }
    candidate->item = (size_t)NO_ITEM; /* the item keeps its refusal */
    candidate->is_mark = true;
    if (stage_on_boards(submission, candidate) == RESULT_OK) {
        metric_add(submission->pipeline->marked_invalid, 1);
    }
}

/* The producer says that what it last sent no longer holds, and has nothing newer. */
static bool is_remark(const struct change *change)
{
    bool has_value = change->value || change->has_ratio;
    return !has_value && (change->state == VALUE_INVALID || change->state == VALUE_UNREACHABLE);
}

/* Would the value make a board larger than a snapshot can be? One submission may overshoot by its own size. */
static bool is_over_budget(const struct submission *submission, const struct candidate *candidate)
{
    size_t before = 0;
    (void)text_so_far(submission, candidate, &before); /* no text: 0 bytes */
    if (candidate->value_length <= before) {
        return false;
    }
    for (size_t i = 0; i < candidate->kpi->board_count; i++) {
        struct topic *topic = hub_topic(submission->pipeline->hub, candidate->kpi->boards[i]->id);
        if (topic && board_text_bytes(topic_board(topic)) + candidate->value_length - before >
                         submission->pipeline->options.max_text_bytes_per_board) {
            return true;
        }
    }
    return false;
}

/* Admit the value and stage it. */
static enum result value_judge(struct submission *submission, struct candidate *candidate, char *detail)
{
    struct pipeline *pipeline = submission->pipeline;
    const struct kpi *kpi = candidate->kpi;
    struct moment now = pipeline->options.now();
    struct admitted_value value = {.has_number = false};
    candidate->value_at = submission->arena.length;
    enum result result =
        catalog_admit(kpi, candidate->change, now.wall_ms, &submission->arena, &value, detail);
    if (result != RESULT_OK) {
        return result;
    }
    if (is_remark(candidate->change) && is_there(submission, candidate)) {
        submission->arena.length = candidate->value_at;
        result = value_remark(submission, candidate, candidate->change->state, candidate->change->reason);
        /* Of a value that may be gone by then. */
        candidate->is_mark = candidate->is_open && !candidate->change->has_version;
    } else {
        level_append(pipeline, candidate, &value, now.monotonic_ms, &submission->arena);
        result = value_close(submission, candidate);
    }
    if (result == RESULT_OK && is_over_budget(submission, candidate)) {
        snprintf(detail, REASON_MAX_BYTES + 1, "the board is at its limit of bytes");
        result = RESULT_FULL;
    }
    if (result != RESULT_OK) {
        return result;
    }
    if (!candidate->is_late) {
        history_feed(pipeline, kpi, candidate->change, &value);
    }
    /* A higher version is told even when its text is known: a late one in between must not pass for newer. */
    bool is_told = candidate->is_open || candidate->change->has_version || is_news(submission, candidate);
    return is_told ? stage_on_boards(submission, candidate) : RESULT_UNCHANGED;
}

static enum result candidate_judge(struct submission *submission, struct candidate *candidate, char *detail)
{
    /* Older and repeated versions are sorted out before they touch threshold memory; the journal has the last word. */
    enum result known = version_judge(candidate);
    candidate->is_late = known != RESULT_OK;
    if (candidate->is_late && !candidate->is_open) {
        return known;
    }
    if (candidate->change->is_delete) {
        return removal_judge(submission, candidate, detail);
    }
    /* A table refuses rows beyond its cap; feeds and series trim themselves. */
    bool adds_row = candidate->kpi->type == KPI_TABLE && !is_there(submission, candidate);
    if (adds_row && table_is_full(submission, candidate->kpi, candidate->board)) {
        snprintf(detail, REASON_MAX_BYTES + 1, "the table holds its %u rows", candidate->kpi->cap);
        return RESULT_FULL;
    }
    enum result result = value_judge(submission, candidate, detail);
    if (result == RESULT_OK && adds_row) {
        rows_count(submission, candidate->kpi, 1);
    }
    if (result != RESULT_OK && result != RESULT_UNCHANGED && !candidate->is_late) {
        stage_invalid(submission, candidate, detail[0] ? detail : result_name(result));
    }
    return result;
}

/*
 * KPIs that copy this one, judged on their own: a refused value marks them too, and one that came into the
 * catalogue later takes a value that is old news here. The producer's answer is about its own field, so nothing is
 * reported from here.
 */
static void derived_judge(struct submission *submission, size_t index, const struct kpi *kpi)
{
    for (size_t i = 0; i < kpi->derived_count; i++) {
        char detail[REASON_MAX_BYTES + 1] = "";
        struct candidate candidate;
        if (candidate_init(&candidate, submission, index, kpi->derived[i])) {
            candidate.item = (size_t)NO_ITEM;
            (void)candidate_judge(submission, &candidate, detail);
        }
    }
}

static void item_judge(struct submission *submission, size_t index)
{
    struct submission_item *item = &submission->items[index];
    const struct kpi *kpi = catalog_kpi_of_field(submission->pipeline->catalog, item->change.field);
    if (!kpi) {
        item->outcome = RESULT_UNKNOWN_FIELD;
        snprintf(item->detail, sizeof item->detail, "no KPI of the catalogue owns this field");
        return;
    }
    if (kpi->derived_of) {
        item->outcome = RESULT_FORBIDDEN;
        snprintf(item->detail, sizeof item->detail, "this KPI is a copy of %s: set that one",
                 kpi->derived_of->id);
        return;
    }
    struct candidate candidate;
    if (!candidate_init(&candidate, submission, index, kpi)) {
        item->outcome = RESULT_UNKNOWN_FIELD;
        snprintf(item->detail, sizeof item->detail, "no board shows this KPI");
        return;
    }
    item->outcome = candidate_judge(submission, &candidate, item->detail);
    if (item->outcome != RESULT_FULL) {
        derived_judge(submission, index, kpi);
    }
}

static void new_rows_forget(struct pipeline *pipeline)
{
    size_t cursor = 0;
    void *memory = NULL;
    while (map_next(&pipeline->memories, &cursor, NULL, NULL, &memory)) {
        ((struct kpi_memory *)memory)->new_rows = 0;
    }
}

static struct submission *submission_create(struct pipeline *pipeline, const char *lineage,
                                            struct submission_item *items, size_t count,
                                            pipeline_done_fn *done, void *context)
{
    struct submission *submission = calloc(1, sizeof *submission);
    if (!submission) {
        return NULL;
    }
    submission->lineage = lineage ? strdup(lineage) : NULL;
    if (lineage && !submission->lineage) {
        free(submission);
        return NULL;
    }
    submission->pending.abandon = submission_abandon;
    list_append(&pipeline->pendings, &submission->pending.node);
    submission->definitions = pipeline->definitions;
    submission->pipeline = pipeline;
    submission->items = items;
    submission->count = count;
    submission->done = done;
    submission->context = context;
    submission->outstanding = 1;
    bytes_init(&submission->arena, ARENA_MAX_BYTES);
    return submission;
}

void pipeline_submit(struct pipeline *pipeline, struct submission_item *items, size_t count,
                     pipeline_done_fn *done, void *context)
{
    pipeline_submit_from(pipeline, NULL, items, count, done, context);
}

void pipeline_submit_from(struct pipeline *pipeline, const char *lineage, struct submission_item *items,
                          size_t count, pipeline_done_fn *done, void *context)
{
    struct submission *submission = submission_create(pipeline, lineage, items, count, done, context);
    if (!submission) {
        for (size_t i = 0; i < count; i++) {
            items[i].outcome = RESULT_NO_MEMORY;
        }
        done(context, items, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].outcome == RESULT_OK) {
            item_judge(submission, i);
        }
    }
    new_rows_forget(pipeline);
    submission_hand_over(submission);
    submission_finish_one(submission);
}
