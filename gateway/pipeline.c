/*
 * Who owns what, what the journal calls, what is read of KPIs. How a
 * submission is judged is in pipeline_submission.c, the viewers' door in pipeline_viewers.c, how definitions come into
 * force in pipeline_definitions.c, how a source's boards start afresh in pipeline_restart.c.
 */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pipeline_internal.h"
#include "protocol/limits.h"

static void register_metrics(struct pipeline *pipeline, struct metrics *metrics)
{
    static const char help[] = "Changes that came in, by what became of them.";
    char labels[64];
    for (int result = 0; result < RESULT_COUNT; result++) {
        snprintf(labels, sizeof labels, "result=\"%s\"",
                 result == RESULT_OK ? "accepted" : result_name((enum result)result));
        pipeline->changes[result] = metrics_counter(metrics, "gw_changes_total", labels, help);
    }
    pipeline->marked_invalid = metrics_counter(metrics, "sophia_data_validation_failures_total", NULL,
                                               "Refused values that turned a KPI's state to invalid.");
    pipeline->damaged =
        metrics_counter(metrics, "gw_board_damage_total", NULL,
                        "Publications a board could not store whole (full or out of memory).");
    pipeline->reloads =
        metrics_counter(metrics, "gw_catalog_loads_total", NULL, "Definition sets put in force.");
    pipeline->denials = metrics_counter(
        metrics, "gw_role_denials_total", NULL,
        "Requests for a board or KPI, however they came, that the viewer's roles do not cover.");
}

static void print_history(void *context, const char *board, const struct view *view, struct bytes *out);

struct pipeline *pipeline_create(const struct pipeline_options *options, struct hub *hub,
                                 struct metrics *metrics)
{
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline) {
        return NULL;
    }
    pipeline->options = *options;
    pipeline->hub = hub;
    map_init(&pipeline->memories, options->max_kpis);
    map_init(&pipeline->journals, options->max_boards);
    list_init(&pipeline->pendings);
    pipeline->generation = 1;
    pipeline->history = history_create(options->max_kpis);
    if (!pipeline->history) {
        pipeline_destroy(pipeline);
        return NULL;
    }
    register_metrics(pipeline, metrics);
    encoder_set_history(hub_encoder(hub), print_history, pipeline);
    return pipeline;
}

void pipeline_retire_board(struct pipeline *pipeline, struct topic *topic)
{
    struct board *board = topic_board(topic);
    struct journal *journal = pipeline_journal_of(pipeline, board_id(board));
    if (journal) {
        journal_close(journal, board_id(board));
    }
    (void)map_remove(&pipeline->journals, board_id(board), strlen(board_id(board)));
    hub_remove_topic(pipeline->hub, topic);
    board_destroy(board);
}

void pipeline_destroy(struct pipeline *pipeline)
{
    if (!pipeline) {
        return;
    }
    while (!list_is_empty(&pipeline->pendings)) {
        struct pending *pending = LIST_ITEM(pipeline->pendings.next, struct pending, node);
        list_remove(&pending->node);
        pending->abandon(pending);
    }
    for (size_t i = 0; pipeline->catalog && i < catalog_board_count(pipeline->catalog); i++) {
        struct topic *topic = hub_topic(pipeline->hub, catalog_board_at(pipeline->catalog, i)->id);
        if (topic) {
            pipeline_retire_board(pipeline, topic);
        }
    }
    encoder_set_history(hub_encoder(pipeline->hub), NULL, NULL);
    catalog_unref(pipeline->catalog);
    history_destroy(pipeline->history);
    size_t cursor = 0;
    void *memory = NULL;
    while (map_next(&pipeline->memories, &cursor, NULL, NULL, &memory)) {
        free(memory);
    }
    map_finish(&pipeline->memories);
    map_finish(&pipeline->journals);
    free(pipeline);
}

void pipeline_set_journals(struct pipeline *pipeline, struct journal *local, struct journal *shared)
{
    pipeline->local = local;
    pipeline->shared = shared;
    pipeline->is_attached = shared && !shared->is_shared;
    if (shared && shared->is_shared) {
        pipeline_report_source(pipeline, "journal", false, "not attached yet");
        hub_set_cut_off(pipeline->hub, true);
    }
    if (!shared) {
        map_finish(&pipeline->journals);
    }
}

bool pipeline_is_durable(const struct pipeline *pipeline)
{
    return pipeline->shared && pipeline->shared->is_durable;
}

uint64_t pipeline_generation(const struct pipeline *pipeline)
{
    return pipeline->is_attached ? pipeline->generation : 0;
}

bool pipeline_has_been_attached(const struct pipeline *pipeline)
{
    return pipeline->is_attached || pipeline->has_been_attached;
}

struct journal *pipeline_journal_of(const struct pipeline *pipeline, const char *board)
{
    return map_get(&pipeline->journals, board, strlen(board));
}

struct journal *pipeline_open_journal_of(const struct pipeline *pipeline, const char *board)
{
    struct journal *journal = pipeline_journal_of(pipeline, board);
    return journal && journal->is_shared && !pipeline->is_attached ? NULL : journal;
}

bool pipeline_is_shared(const struct pipeline *pipeline, const struct kpi *kpi)
{
    for (size_t i = 0; i < kpi->board_count; i++) {
        const struct journal *journal = pipeline_journal_of(pipeline, kpi->boards[i]->id);
        if (journal && journal->is_shared) {
            return true;
        }
    }
    return false;
}

const struct catalog *pipeline_catalog(const struct pipeline *pipeline)
{
    return pipeline->catalog;
}

struct hub *pipeline_hub(struct pipeline *pipeline)
{
    return pipeline->hub;
}

void pipeline_report_source(struct pipeline *pipeline, const char *name, bool is_up, const char *reason)
{
    hub_report_source(pipeline->hub, name, is_up, reason, pipeline->options.now());
}

struct board *pipeline_first_board(const struct pipeline *pipeline, const struct kpi *kpi)
{
    struct board *first = NULL;
    for (size_t i = 0; i < kpi->board_count; i++) {
        struct topic *topic = hub_topic(pipeline->hub, kpi->boards[i]->id);
        const struct journal *journal = topic ? pipeline_journal_of(pipeline, kpi->boards[i]->id) : NULL;
        if (journal && journal->is_shared) {
            return topic_board(topic);
        }
        first = first || !topic ? first : topic_board(topic);
    }
    return first;
}

bool pipeline_shows(const struct kpi *kpi, const char *board)
{
    for (size_t i = 0; i < kpi->board_count; i++) {
        if (strcmp(kpi->boards[i]->id, board) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what the journal calls ---- */

static bool host_known_version(void *context, const char *board, const char *field, size_t field_length,
                               uint64_t *out_version)
{
    struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, board);
    return topic && board_version(topic_board(topic), field, field_length, out_version);
}

static bool host_is_same(void *context, const char *board, const char *field, size_t field_length,
                         const char *value, size_t value_length, uint64_t version)
{
    struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, board);
    size_t length = 0;
    const char *known = topic ? board_value(topic_board(topic), field, field_length, &length) : NULL;
    if (!known || length != value_length || memcmp(known, value, length) != 0) {
        return false;
    }
    board_set_version(topic_board(topic), field, field_length, version);
    return true;
}

/* The most urgent of the fields decides how long the others may gather. */
static uint32_t coalesce_of(const struct pipeline *pipeline, const struct overlay *publication)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < publication->count && least > 0; i++) {
        const struct overlay_entry *entry = &publication->entries[i];
        const char *row = memchr(entry->field, '#', entry->field_length);
        size_t kpi_length = row ? (size_t)(row - entry->field) : entry->field_length;
        const struct kpi *kpi = catalog_kpi(pipeline->catalog, entry->field, kpi_length);
        bool is_set = kpi && kpi->coalesce_ms != COALESCE_UNSET;
        uint32_t wanted = is_set ? kpi->coalesce_ms : pipeline->options.coalesce_ms;
        least = wanted < least ? wanted : least;
    }
    return least;
}

/* Recent points are not shared; what every node hears of is the values, so each keeps its own points of those. */
static void history_learn(struct pipeline *pipeline, const struct overlay_entry *entry)
{
    const struct kpi *kpi = catalog_kpi(pipeline->catalog, entry->field, entry->field_length);
    const char *token = NULL;
    size_t length = 0;
    int64_t as_of_ms = 0;
    enum value_state state = VALUE_OK;
    if (kpi && kpi->history_points > 0 && kpi->type != KPI_STATE && entry->value &&
        value_peek_amount(entry->value, entry->value_length, &token, &length) &&
        value_peek(entry->value, entry->value_length, &as_of_ms, &state)) {
        /* Decoration: a miss is a gap. */
        (void)history_record(pipeline->history, kpi->id, as_of_ms, token, length);
    }
}

static bool is_shared_board(const struct pipeline *pipeline, const char *board)
{
    const struct journal *journal = pipeline_journal_of(pipeline, board);
    return journal && journal->is_shared;
}

static void host_on_publication(void *context, const char *board, const struct overlay *publication,
                                const uint64_t *versions)
{
    struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, board);
    if (!topic) {
        metric_add(pipeline->damaged, 1);
        return;
    }
    struct moment now = pipeline->options.now();
    enum result result = board_apply(topic_board(topic), publication, versions, now.wall_ms);
    if (result != RESULT_OK) {
        metric_add(pipeline->damaged, 1);
        log_error("board could not store a publication", LOG_TEXT("board", board),
                  LOG_TEXT("err", result_name(result)));
    }
    bool learns = is_shared_board(pipeline, board);
    for (size_t i = 0; learns && i < publication->count; i++) {
        history_learn(pipeline, &publication->entries[i]);
    }
    hub_board_changed(pipeline->hub, topic, coalesce_of(pipeline, publication), now);
}

static void host_on_image(void *context, const char *board, const struct journal_image *image)
{
    struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, board);
    if (!topic) {
        return; /* it was retired while the journal read it */
    }
    const struct board_image content = {
        .at = image->at,
        .entries = image->entries,
        .versions = image->versions,
        .count = image->count,
        .known = image->known,
        .known_count = image->known_count,
        .floor = image->floor,
    };
    struct moment now = pipeline->options.now();
    bool has_common = false;
    uint64_t common = 0;
    enum result result = board_reload(topic_board(topic), &content, now.wall_ms, &has_common, &common);
    if (result != RESULT_OK) {
        metric_add(pipeline->damaged, 1);
        log_error("board could not store an image", LOG_TEXT("board", board),
                  LOG_TEXT("err", result_name(result)));
    }
    for (size_t i = 0; i < image->count; i++) {
        history_learn(pipeline, &image->entries[i]);
    }
    pipeline->generation++;
    hub_board_rebased(pipeline->hub, topic, has_common, common, now);
    pipeline_prune(pipeline, board);
}

static void host_on_restart(void *context, const struct position *at, const struct journal_restart *restart)
{
    struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, restart->board);
    if (!topic) {
        return;
    }
    struct board *board = topic_board(topic);
    board_restart(board, *at);
    for (size_t i = 0; i < restart->removed_count; i++) {
        board_drop(board, restart->removed[i].field, restart->removed[i].field_length);
    }
    for (size_t i = 0; i < restart->forgotten_count; i++) {
        board_set_version(board, restart->forgotten[i].field, restart->forgotten[i].field_length, 0);
    }
    pipeline->generation++;
    hub_board_reset(pipeline->hub, topic, pipeline->options.now());
}

static void host_on_attached(void *context, bool is_attached, const char *reason)
{
    struct pipeline *pipeline = context;
    pipeline->is_attached = is_attached;
    pipeline->has_been_attached = pipeline->has_been_attached || is_attached;
    pipeline->generation += is_attached ? 1 : 0;
    pipeline_report_source(pipeline, "journal", is_attached, reason);
    hub_set_cut_off(pipeline->hub, !is_attached);
    if (is_attached) {
        pipeline_prune(pipeline, NULL); /* what a reload could not do meanwhile */
    }
}

static bool host_knows_field(void *context, const char *board, const char *field, size_t field_length)
{
    const struct pipeline *pipeline = context;
    struct topic *topic = hub_topic(pipeline->hub, board);
    uint64_t version = 0;
    return !topic || board_version(topic_board(topic), field, field_length, &version);
}

struct journal_host pipeline_journal_host(struct pipeline *pipeline)
{
    return (struct journal_host){
        .context = pipeline,
        .known_version = host_known_version,
        .is_same = host_is_same,
        .on_publication = host_on_publication,
        .on_image = host_on_image,
        .on_restart = host_on_restart,
        .on_attached = host_on_attached,
        .knows_field = host_knows_field,
    };
}

/* ---- what HTTP asks for ---- */

bool pipeline_history(const struct pipeline *pipeline, const char *kpi, size_t max_points, struct bytes *out,
                      uint64_t *out_step_ms)
{
    *out_step_ms = history_step_ms(pipeline->history, kpi);
    return history_print(pipeline->history, kpi, max_points, out);
}

size_t pipeline_history_count(const struct pipeline *pipeline, const char *kpi, uint64_t *out_step_ms)
{
    *out_step_ms = history_step_ms(pipeline->history, kpi);
    return history_count(pipeline->history, kpi);
}

static void print_history(void *context, const char *board, const struct view *view, struct bytes *out)
{
    const struct pipeline *pipeline = context;
    const struct board_definition *definition = catalog_board(pipeline->catalog, board);
    bool is_first = true;
    bytes_append_byte(out, '{');
    for (size_t i = 0; definition && i < definition->kpi_count; i++) {
        const struct kpi *kpi = definition->kpis[i];
        if (kpi->history_points == 0 || (view && view_of_kpi(view, kpi) == SIGHT_NONE)) {
            continue;
        }
        bytes_append_format(out, "%s\"%s\":", is_first ? "" : ",", kpi->id);
        if (!history_print(pipeline->history, kpi->id, kpi->history_points, out)) {
            bytes_append_text(out, "[]");
        }
        is_first = false;
    }
    bytes_append_byte(out, '}');
}

bool pipeline_each_field(const struct pipeline *pipeline, const char *kpi,
                         void (*visit)(void *context, const char *field, size_t length), void *context)
{
    const struct kpi *found = catalog_kpi(pipeline->catalog, kpi, strlen(kpi));
    const struct board *board = found ? pipeline_first_board(pipeline, found) : NULL;
    if (!board) {
        return false;
    }
    size_t length = 0;
    if (board_value(board, kpi, strlen(kpi), &length)) {
        visit(context, kpi, strlen(kpi));
    }
    const void *cursor = NULL;
    struct overlay_entry row;
    while (board_next_row(board, kpi, strlen(kpi), &cursor, &row)) {
        visit(context, row.field, row.field_length);
    }
    return true;
}

/* ---- ages ---- */

static bool source_is_up(const struct pipeline *pipeline, const char *name)
{
    const struct source_health *sources = NULL;
    size_t count = hub_sources(pipeline->hub, &sources);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sources[i].name, name) == 0) {
            return sources[i].is_up;
        }
    }
    return true;
}

struct age_scan {
    int64_t newest_ms;
    enum value_state state;
    bool is_found;
};

static void age_take(struct age_scan *scan, const char *text, size_t length)
{
    int64_t as_of_ms = 0;
    enum value_state state = VALUE_OK;
    if (value_peek(text, length, &as_of_ms, &state) && (!scan->is_found || as_of_ms > scan->newest_ms)) {
        *scan = (struct age_scan){.newest_ms = as_of_ms, .state = state, .is_found = true};
    }
}

static void age_visit(const struct pipeline *pipeline, const struct kpi *kpi, const struct age_scan *scan,
                      void (*visit)(void *context, const struct kpi_age *age), void *context)
{
    const struct kpi_age age = {
        .kpi = kpi,
        .as_of_ms = scan->newest_ms,
        .freshness = scan->is_found ? freshness_of(kpi->freshness, scan->state, scan->newest_ms,
                                                   source_is_up(pipeline, kpi->source_kind),
                                                   pipeline->options.now().wall_ms)
                                    : FRESHNESS_NO_DATA,
    };
    visit(context, &age);
}

void pipeline_each_age(const struct pipeline *pipeline,
                       void (*visit)(void *context, const struct kpi_age *age), void *context)
{
    for (size_t i = 0; i < catalog_kpi_count(pipeline->catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(pipeline->catalog, i);
        const struct board *board = pipeline_first_board(pipeline, kpi);
        if (!board || strcmp(kpi->source_kind, "internal") == 0) {
            continue;
        }
        struct age_scan scan = {.is_found = false};
        size_t length = 0;
        const char *text = board_value(board, kpi->id, strlen(kpi->id), &length);
        if (text) {
            age_take(&scan, text, length);
        }
        const void *cursor = NULL;
        struct overlay_entry row;
        while (board_next_row(board, kpi->id, strlen(kpi->id), &cursor, &row)) {
            age_take(&scan, row.value, row.value_length);
        }
        age_visit(pipeline, kpi, &scan, visit, context);
    }
}
