/*
 * A source lost part of its history: every board that shows its KPIs begins a new
 * order. One journal call per board; the text they borrow is this file's own, so
 * that boards and definitions may go meanwhile.
 */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline_internal.h"
#include "protocol/limits.h"

/* The call of pipeline_restart_source(). */
struct restart {
    struct pending pending;
    struct pipeline *pipeline; /* NULL when it went first: the source has its answer then */
    pipeline_restarted_fn *done;
    void *context;
    size_t outstanding; /* boards, plus one while they are drawn up */
    enum result worst;
};

/* One board's share. */
struct board_restart {
    struct restart *restart;
    char board[BOARD_ID_MAX_BYTES + 1];
    char *lineage;
    struct journal_field *removed, *forgotten; /* owned, room for every field of the board; the text too */
    size_t removed_count, forgotten_count;
};

static void restart_finish_one(struct restart *restart, enum result outcome)
{
    if (outcome != RESULT_OK && outcome != RESULT_UNCHANGED) {
        restart->worst = outcome;
    }
    if (--restart->outstanding > 0) {
        return;
    }
    if (restart->pipeline) {
        list_remove(&restart->pending.node);
        restart->done(restart->context, restart->worst);
    }
    free(restart);
}

static void restart_abandon(struct pending *pending)
{
    struct restart *restart = LIST_ITEM(pending, struct restart, pending);
    restart->pipeline = NULL;
    restart->done(restart->context, RESULT_UNAVAILABLE);
}

static void fields_free(struct journal_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)fields[i].field);
    }
    free(fields);
}

static void board_restart_destroy(struct board_restart *share)
{
    if (share) {
        fields_free(share->removed, share->removed_count);
        fields_free(share->forgotten, share->forgotten_count);
        free(share->lineage);
        free(share);
    }
}

static void on_board_restarted(void *context, enum result outcome)
{
    struct board_restart *share = context;
    struct restart *restart = share->restart;
    board_restart_destroy(share);
    restart_finish_one(restart, outcome);
}

static struct board_restart *board_restart_create(const struct board *board, const char *lineage)
{
    size_t count = 1; /* never an empty allocation */
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_change(board, &cursor, &entry)) {
        count++;
    }
    struct board_restart *share = calloc(1, sizeof *share);
    if (!share) {
        return NULL;
    }
    snprintf(share->board, sizeof share->board, "%s", board_id(board));
    share->lineage = strdup(lineage);
    share->removed = calloc(count, sizeof *share->removed);
    share->forgotten = calloc(count, sizeof *share->forgotten);
    if (!share->lineage || !share->removed || !share->forgotten) {
        board_restart_destroy(share);
        return NULL;
    }
    return share;
}

/* Whose fields are to be judged, and how. */
struct judgement {
    const char *source_kind;
    bool (*keeps)(void *context, const char *field);
    void *context;
};

/* A copy is kept as its original is. */
static bool is_kept(const struct judgement *judgement, const struct kpi *kpi, const char *field)
{
    char original[FIELD_MAX_BYTES + 1];
    const char *row = strchr(field, '#');
    const char *id = kpi->derived_of ? kpi->derived_of->id : kpi->id;
    snprintf(original, sizeof original, "%s%s", id, row ? row : "");
    return judgement->keeps(judgement->context, original);
}

static bool is_of_source(const struct kpi *kpi, const char *source_kind)
{
    const struct kpi *original = kpi && kpi->derived_of ? kpi->derived_of : kpi;
    return original && strcmp(original->source_kind, source_kind) == 0;
}

/* A tombstone has a version of the old history too: it always leaves. */
static bool board_restart_fill(struct board_restart *share, const struct pipeline *pipeline,
                               const struct board *board, const struct judgement *judgement)
{
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_change(board, &cursor, &entry)) {
        const struct kpi *kpi = catalog_kpi_of_field(pipeline->catalog, entry.field);
        if (!is_of_source(kpi, judgement->source_kind)) {
            continue;
        }
        char *field = strndup(entry.field, entry.field_length);
        if (!field) {
            return false;
        }
        bool stays = entry.value && is_kept(judgement, kpi, field);
        struct journal_field *list = stays ? share->forgotten : share->removed;
        size_t *count = stays ? &share->forgotten_count : &share->removed_count;
        list[(*count)++] = (struct journal_field){.field = field, .field_length = entry.field_length};
    }
    return true;
}

static void board_restart_submit(struct restart *restart, const char *board, const char *lineage,
                                 const struct judgement *judgement)
{
    struct pipeline *pipeline = restart->pipeline;
    struct topic *topic = hub_topic(pipeline->hub, board);
    struct journal *journal = pipeline_open_journal_of(pipeline, board);
    restart->outstanding++;
    if (!topic || !journal) {
        restart_finish_one(restart, RESULT_UNAVAILABLE);
        return;
    }
    struct board_restart *share = board_restart_create(topic_board(topic), lineage);
    if (!share || !board_restart_fill(share, pipeline, topic_board(topic), judgement)) {
        board_restart_destroy(share);
        restart_finish_one(restart, RESULT_NO_MEMORY);
        return;
    }
    share->restart = restart;
    const struct journal_restart call = {
        .board = share->board,
        .lineage = share->lineage,
        .removed = share->removed,
        .removed_count = share->removed_count,
        .forgotten = share->forgotten,
        .forgotten_count = share->forgotten_count,
    };
    journal_restart(journal, &call, on_board_restarted, share);
}

static bool board_has_source(const struct board_definition *definition, const char *source_kind)
{
    for (size_t i = 0; i < definition->kpi_count; i++) {
        if (is_of_source(definition->kpis[i], source_kind)) {
            return true;
        }
    }
    return false;
}

void pipeline_restart_source(struct pipeline *pipeline, const char *source_kind, const char *lineage,
                             bool (*keeps)(void *context, const char *field), pipeline_restarted_fn *done,
                             void *context)
{
    struct restart *restart = calloc(1, sizeof *restart);
    if (!restart) {
        done(context, RESULT_NO_MEMORY);
        return;
    }
    restart->pipeline = pipeline;
    restart->done = done;
    restart->context = context;
    restart->worst = RESULT_OK;
    restart->outstanding = 1;
    restart->pending.abandon = restart_abandon;
    list_append(&pipeline->pendings, &restart->pending.node);
    const struct judgement judgement = {.source_kind = source_kind, .keeps = keeps, .context = context};
    for (size_t i = 0; i < catalog_board_count(pipeline->catalog); i++) {
        const struct board_definition *definition = catalog_board_at(pipeline->catalog, i);
        if (board_has_source(definition, source_kind)) {
            board_restart_submit(restart, definition->id, lineage, &judgement);
        }
    }
    restart_finish_one(restart, RESULT_OK);
}
