/*
 * Definitions come into force: boards appear, change and go. Everything that
 * can fail comes first; then every board is adapted in one transaction of its
 * own: fields whose KPI has left it are removed, KPIs that another board showed
 * already start with what is known of them.
 */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pipeline_internal.h"
#include "protocol/limits.h"

static enum row_rule row_rule_of(const struct kpi *kpi)
{
    switch (kpi->type) {
    case KPI_TABLE:
        return ROWS_TABLE;
    case KPI_FEED:
        return ROWS_FEED;
    case KPI_SERIES:
        return ROWS_SERIES;
    default:
        return ROWS_NONE;
    }
}

static enum result board_define(struct pipeline *pipeline, struct board *board,
                                const struct board_definition *definition)
{
    for (size_t i = 0; i < definition->kpi_count; i++) {
        const struct kpi *kpi = definition->kpis[i];
        enum result result = RESULT_OK;
        if (kpi_has_rows(kpi)) {
            result = board_set_rows(board, kpi->id, row_rule_of(kpi), kpi->cap);
        }
        if (result == RESULT_OK && kpi->history_points > 0) {
            result = history_define(pipeline->history, kpi->id, kpi->history_points, kpi->history_step_ms);
        }
        if (result != RESULT_OK) {
            return result;
        }
    }
    return RESULT_OK;
}

/* What a process tells of itself has no order across processes. */
static struct journal *journal_for(const struct pipeline *pipeline, const struct board_definition *definition)
{
    for (size_t i = 0; i < definition->kpi_count; i++) {
        if (strcmp(definition->kpis[i]->source_kind, "internal") == 0) {
            return pipeline->local;
        }
    }
    return pipeline->shared;
}

/* false: it cannot be ordered, nothing has changed. */
static bool board_open(struct pipeline *pipeline, const struct board_definition *definition,
                       struct position *out_at)
{
    struct journal *journal = journal_for(pipeline, definition);
    if (!journal || journal_open(journal, definition->id, out_at) != RESULT_OK) {
        return false;
    }
    if (map_put(&pipeline->journals, definition->id, strlen(definition->id), journal) != RESULT_OK) {
        journal_close(journal, definition->id);
        return false;
    }
    return true;
}

static struct board *board_found(struct pipeline *pipeline, const struct board_definition *definition)
{
    struct position at;
    if (!board_open(pipeline, definition, &at)) {
        return NULL;
    }
    const struct board_options options = {
        .max_fields = pipeline->options.max_fields_per_board,
        .max_tombstones = pipeline->options.max_tombstones_per_board,
        .max_positions = pipeline->options.max_positions_per_board,
    };
    struct journal *journal = pipeline_journal_of(pipeline, definition->id);
    struct board *board = board_create(definition->id, &options, at);
    struct topic *topic = board ? hub_add_topic(pipeline->hub, board) : NULL;
    if (!topic) {
        journal_close(journal, definition->id);
        (void)map_remove(&pipeline->journals, definition->id, strlen(definition->id));
        board_destroy(board);
        return NULL;
    }
    topic_set_may_lag(topic, journal->is_shared);
    return board;
}

/* What a reload does to the fields of one board: one transaction, with text of its own. */
struct rewrite {
    char board[BOARD_ID_MAX_BYTES + 1];
    struct journal_item *items; /* owned; field and value of one item are one allocation */
    size_t count, capacity;
    bool has_failed; /* memory ran out: some fields are missing from it */
};

/* value NULL: the field goes. No producer removed it: if its KPI returns, any version is news. */
static void rewrite_add(struct rewrite *rewrite, const struct overlay_entry *entry, const char *value,
                        size_t value_length, uint64_t version)
{
    if (rewrite->count == rewrite->capacity) {
        size_t capacity = rewrite->capacity ? rewrite->capacity * 2 : 64;
        struct journal_item *grown = realloc(rewrite->items, capacity * sizeof *grown);
        if (!grown) {
            rewrite->has_failed = true;
            return;
        }
        rewrite->items = grown;
        rewrite->capacity = capacity;
    }
    char *text = malloc(entry->field_length + value_length + 1);
    if (!text) {
        rewrite->has_failed = true;
        return;
    }
    memcpy(text, entry->field, entry->field_length);
    if (value) {
        memcpy(text + entry->field_length, value, value_length);
    }
    rewrite->items[rewrite->count++] = (struct journal_item){
        .field = text,
        .field_length = entry->field_length,
        .value = value ? text + entry->field_length : NULL,
        .value_length = value_length,
        .rule = value ? VERSION_GIVEN : VERSION_FORGOTTEN,
        .version = version,
    };
}

/* Holds nothing of the pipeline's: that may be gone when a journal answers. */
static void on_rewrite_done(void *context, struct journal_item *items, size_t count)
{
    struct rewrite *rewrite = context;
    for (size_t i = 0; i < count; i++) {
        /* Filled with what is known there already: another process was first. */
        rewrite->has_failed = rewrite->has_failed || !result_is_settled(items[i].outcome);
        free((char *)(uintptr_t)items[i].field);
    }
    if (rewrite->has_failed) {
        log_error("board not wholly adapted to new definitions", LOG_TEXT("board", rewrite->board));
    }
    free(rewrite->items);
    free(rewrite);
}

/* A KPI that another board showed already starts here with what is known of it. */
static void rewrite_fill(const struct pipeline *pipeline, struct rewrite *rewrite, const struct kpi *kpi,
                         const struct kpi *before)
{
    if (!before || before->type != kpi->type || pipeline_shows(before, rewrite->board)) {
        return;
    }
    const struct board *from = pipeline_first_board(pipeline, before);
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (from && board_next_field(from, &cursor, &entry)) {
        uint64_t version = 0;
        if (catalog_kpi_of_field(pipeline->catalog, entry.field) == kpi &&
            board_version(from, entry.field, entry.field_length, &version)) {
            rewrite_add(rewrite, &entry, entry.value, entry.value_length, version);
        }
    }
}

/* Fields whose KPI has left this board go away on every screen. */
static void rewrite_prune(const struct pipeline *pipeline, struct rewrite *rewrite)
{
    const struct board *board = topic_board(hub_topic(pipeline->hub, rewrite->board));
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_field(board, &cursor, &entry)) {
        const struct kpi *kpi = catalog_kpi_of_field(pipeline->catalog, entry.field);
        if (!kpi || !pipeline_shows(kpi, rewrite->board)) {
            rewrite_add(rewrite, &entry, NULL, 0, 0);
        }
    }
}

/* Everything a board shows, for a journal that does not know it. */
static void rewrite_carry(const struct pipeline *pipeline, struct rewrite *rewrite)
{
    const struct board *board = topic_board(hub_topic(pipeline->hub, rewrite->board));
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_field(board, &cursor, &entry)) {
        const struct kpi *kpi = catalog_kpi_of_field(pipeline->catalog, entry.field);
        uint64_t version = 0;
        if (kpi && pipeline_shows(kpi, rewrite->board) &&
            board_version(board, entry.field, entry.field_length, &version)) {
            rewrite_add(rewrite, &entry, entry.value, entry.value_length, version);
        }
    }
}

static bool must_move(const struct pipeline *pipeline, const struct board_definition *definition)
{
    return pipeline_journal_of(pipeline, definition->id) != journal_for(pipeline, definition);
}

/* old is the catalogue before, whose boards still hold what they showed under it; NULL: nothing is to be filled. */
static struct rewrite *rewrite_create(const struct pipeline *pipeline,
                                      const struct board_definition *definition, const struct catalog *old)
{
    struct rewrite *rewrite = calloc(1, sizeof *rewrite);
    if (!rewrite) {
        log_error("board not adapted to new definitions", LOG_TEXT("board", definition->id));
        return NULL;
    }
    snprintf(rewrite->board, sizeof rewrite->board, "%s", definition->id);
    if (must_move(pipeline, definition)) {
        rewrite_carry(pipeline, rewrite);
    } else {
        rewrite_prune(pipeline, rewrite);
    }
    for (size_t i = 0; old && i < definition->kpi_count; i++) {
        const struct kpi *kpi = definition->kpis[i];
        rewrite_fill(pipeline, rewrite, kpi, catalog_kpi(old, kpi->id, strlen(kpi->id)));
    }
    return rewrite;
}

static void rewrite_submit(struct pipeline *pipeline, struct rewrite *rewrite)
{
    struct journal *journal = pipeline_open_journal_of(pipeline, rewrite->board);
    if (rewrite->count == 0 || !journal) {
        rewrite->has_failed = rewrite->has_failed || rewrite->count > 0;
        on_rewrite_done(rewrite, rewrite->items, rewrite->count);
        return;
    }
    const struct journal_transaction transaction = {
        .board = rewrite->board,
        .items = rewrite->items,
        .count = rewrite->count,
    };
    journal_submit(journal, &transaction, on_rewrite_done, rewrite);
}

/*
 * Only after a reload of our own: another process may have newer definitions, and what it shows must not be
 * removed by one that merely started with older ones.
 */
void pipeline_prune(struct pipeline *pipeline, const char *board)
{
    for (size_t i = 0; pipeline->definitions > 1 && i < catalog_board_count(pipeline->catalog); i++) {
        const struct board_definition *definition = catalog_board_at(pipeline->catalog, i);
        if (board && strcmp(definition->id, board) != 0) {
            continue;
        }
        struct rewrite *rewrite = rewrite_create(pipeline, definition, NULL);
        if (rewrite) {
            rewrite_submit(pipeline, rewrite);
        }
    }
}

/* A board that begins or ceases to show what a process tells of itself is ordered by the other journal from now on. */
static void board_move(struct pipeline *pipeline, const struct board_definition *definition)
{
    struct topic *topic = hub_topic(pipeline->hub, definition->id);
    struct journal *before = pipeline_journal_of(pipeline, definition->id);
    struct position at;
    if (!board_open(pipeline, definition, &at)) {
        log_error("board not moved to its journal", LOG_TEXT("board", definition->id));
        return;
    }
    if (before) {
        journal_close(before, definition->id);
    }
    board_reset(topic_board(topic), at);
    topic_set_may_lag(topic, pipeline_journal_of(pipeline, definition->id)->is_shared);
    hub_board_reset(pipeline->hub, topic, pipeline->options.now());
}

/* Every rewrite is drawn up before the first is submitted: a KPI may move from one board to another. */
static void boards_adapt(struct pipeline *pipeline, const struct catalog *old)
{
    size_t count = catalog_board_count(pipeline->catalog);
    struct rewrite **rewrites = calloc(count ? count : 1, sizeof *rewrites);
    if (!rewrites) {
        log_error("boards not adapted to new definitions");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rewrites[i] = rewrite_create(pipeline, catalog_board_at(pipeline->catalog, i), old);
    }
    for (size_t i = 0; i < count; i++) {
        if (must_move(pipeline, catalog_board_at(pipeline->catalog, i))) {
            board_move(pipeline, catalog_board_at(pipeline->catalog, i));
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (rewrites[i]) {
            rewrite_submit(pipeline, rewrites[i]);
        }
    }
    free(rewrites);
}

/* Boards founded for a catalogue that did not come into force. */
static void boards_withdraw(struct pipeline *pipeline, const struct catalog *refused)
{
    for (size_t i = 0; i < catalog_board_count(refused); i++) {
        const char *id = catalog_board_at(refused, i)->id;
        struct topic *topic = hub_topic(pipeline->hub, id);
        if (topic && !(pipeline->catalog && catalog_board(pipeline->catalog, id))) {
            pipeline_retire_board(pipeline, topic);
        }
    }
}

static void boards_retire(struct pipeline *pipeline, const struct catalog *old)
{
    for (size_t i = 0; old && i < catalog_board_count(old); i++) {
        const char *id = catalog_board_at(old, i)->id;
        struct topic *topic = hub_topic(pipeline->hub, id);
        if (topic && !catalog_board(pipeline->catalog, id)) {
            pipeline_retire_board(pipeline, topic);
        }
    }
    for (size_t i = 0; old && i < catalog_kpi_count(old); i++) {
        const char *id = catalog_kpi_at(old, i)->id;
        const struct kpi *kpi = catalog_kpi(pipeline->catalog, id, strlen(id));
        if (!kpi || kpi->history_points == 0) {
            history_drop(pipeline->history, id);
        }
        if (!kpi) {
            free(map_remove(&pipeline->memories, id, strlen(id)));
        }
    }
}

enum result pipeline_set_catalog(struct pipeline *pipeline, struct catalog *catalog)
{
    /* First everything that can fail. */
    for (size_t i = 0; i < catalog_board_count(catalog); i++) {
        const struct board_definition *definition = catalog_board_at(catalog, i);
        struct topic *topic = hub_topic(pipeline->hub, definition->id);
        struct board *board = topic ? topic_board(topic) : board_found(pipeline, definition);
        enum result result = board ? board_define(pipeline, board, definition) : RESULT_NO_MEMORY;
        if (result != RESULT_OK) {
            boards_withdraw(pipeline, catalog);
            return result;
        }
    }
    struct catalog *old = pipeline->catalog;
    pipeline->catalog = catalog_ref(catalog);
    pipeline->definitions++;
    pipeline->generation++;
    if (old) {
        boards_adapt(pipeline, old);
    }
    boards_retire(pipeline, old);
    if (old) {
        pipeline_rejudge_all(pipeline);
    }
    catalog_unref(old);
    metric_add(pipeline->reloads, 1);
    hub_set_catalog(pipeline->hub, catalog_hash(catalog), pipeline->options.now());
    return RESULT_OK;
}
