/*
 * The follower of the state table. One read at a time, and the next only when everything the one before brought has
 * been answered: what is in memory is bounded by one page, and PostgreSQL is not asked faster than the order takes.
 *
 *   idle -> identifying -> idle          which history is this server in?
 *   idle -> reading -> submitting -> idle   what is new, or page after page of everything
 *                          '-> restarting -> idle   boards remember another history
 *
 * Versions decide what is applied, so reading a row twice, or on several nodes, changes nothing.
 *
 * A field that a board shows and the table lacks has left it without a tombstone (restored, purged while nobody
 * looked). It is removed with a version between those drawn before the full read and those after, and only once every
 * transaction that had drawn one by then has ended: whoever writes the field again wins.
 */
#include "sources/postgres_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "sources/batch.h"
#include "sources/postgres_state_rows.h"

enum {
    LINEAGE_SIZE = 96,
    SUBMISSION_ITEMS = 500, /* a transaction that does not fit any more begins the next submission */
    MAX_FIELDS = 1 << 20,   /* known from one full read */
    MAX_COMPLAINTS = 1000,  /* fields that were logged */
    BUSY_MS = 500, /* after a change the next is likely: one read without news does not slow the poll down */
    PROBLEM_RETRY_MS = 1000, /* the table is missing, or may not be read */
    RESTART_RETRY_MS =
        1000, /* boards do not stay in the order we started: somebody else reads another server */
    READ_EXPIRES_MS = 120000,   /* notes of changed relations are kept for 5 minutes */
    HORIZON_STALLED_MS = 60000, /* no transaction number came free for so long */
    HORIZON_WINDOW = 50000,     /* or so many have been given out meanwhile */
};

enum phase { PHASE_IDLE, PHASE_IDENTIFYING, PHASE_READING, PHASE_SUBMITTING, PHASE_RESTARTING };

enum row_result {
    ROW_APPLIED,
    ROW_REPEATED,
    ROW_REFUSED,
    ROW_UNKNOWN,
    ROW_FOREIGN,
    ROW_REMOVED,
    ROW_RESULT_COUNT
};

/* A full read, page by page. */
struct full_read {
    char *snapshot; /* owned; of the first page: what is new is asked from there */
    uint64_t version;
    uint64_t generation;
    char after[FIELD_MAX_BYTES + 1];
    struct map seen;    /* fields of the table; the value is the state itself */
    bool is_incomplete; /* seen lacks some */
    bool is_last_page;
    bool is_broken; /* the link went: the next page could be another server's */
};

/* Fields to remove when all transactions up to `until` have ended. */
struct suspects {
    struct map fields;
    uint64_t version;
    uint64_t until; /* a number that was given out after the version was drawn */
};

struct horizon {
    uint64_t lowest;
    uint64_t since_ms;
    bool is_stalled;
};

struct postgres_state {
    struct postgres_state_options options;
    struct pg_link *link;
    struct loop_timer *timer;
    struct state_sql sql;
    enum phase phase;
    bool is_link_up, is_stopped;
    bool is_woken; /* while something was under way */
    bool is_full;  /* the read under way is a page of a full one */
    bool wants_full;
    bool wants_restart;          /* somebody else was told OTHER_LINEAGE */
    bool is_fallback;            /* the lineage is only the server's start */
    char lineage[LINEAGE_SIZE];  /* of the link; "" not known */
    char followed[LINEAGE_SIZE]; /* of the last full read */
    char *snapshot;              /* owned; of the last read, NULL: none */
    uint64_t generation;         /* of the pipeline at the last full read */
    uint64_t read_at_ms;         /* last complete read */
    uint64_t woken_at_us;        /* 0: not by a notification */
    uint32_t wait_ms;
    uint64_t found_at_ms; /* when a read last brought something */
    uint32_t restarts;    /* in a row */
    struct full_read full;
    struct suspects suspects;
    struct horizon horizon;
    struct list_node flights;
    bool has_other_lineage, is_unavailable; /* what the submissions of this read came back with */
    struct restart *restart;
    struct map complaints;
    char problem[240];
    struct metric *polls[2], *rows[ROW_RESULT_COUNT], *horizon_age, *horizon_stalled, *lag;
};

/* A submission on its way; outlives the follower if it must. */
struct flight {
    struct list_node node;
    struct postgres_state *state; /* NULL: gone */
    struct batch *batch;
    bool is_removal;
};

struct restart {
    struct postgres_state *state; /* NULL: gone */
    char lineage[LINEAGE_SIZE];
};

static void step(struct postgres_state *state);

static uint64_t now_ms(const struct postgres_state *state)
{
    return state->options.now().monotonic_ms;
}

static void step_after(struct postgres_state *state, uint64_t ms)
{
    state->phase = PHASE_IDLE;
    if (!state->is_stopped) {
        loop_timer_arm(state->timer, state->is_woken ? 0 : ms);
    }
}

static void on_due(void *context)
{
    step(context);
}

/* ---- telling ---- */

static void complain(struct postgres_state *state, const char *field, const char *why)
{
    if (map_get(&state->complaints, field, strlen(field)) ||
        map_put(&state->complaints, field, strlen(field), state) != RESULT_OK) {
        return; /* told already, or enough was told */
    }
    log_warn("state row refused", LOG_TEXT("table", state->options.table), LOG_TEXT("field", field),
             LOG_TEXT("reason", why));
}

static void set_problem(struct postgres_state *state, const char *problem)
{
    if (strcmp(state->problem, problem) != 0) {
        (void)snprintf(state->problem, sizeof state->problem, "%s", problem);
        state->options.on_problem(state->options.context, *problem ? state->problem : NULL);
    }
}

static void tell_failure(struct postgres_state *state, const struct pg_failure *failure)
{
    char problem[sizeof state->problem];
    const char *table = state->options.table;
    switch (failure->result) {
    case RESULT_UNKNOWN_TYPE:
        (void)snprintf(problem, sizeof problem, "%.60s cannot be read, run deploy/sql/install.sql: %.120s",
                       table, failure->message);
        break;
    case RESULT_FORBIDDEN:
        (void)snprintf(problem, sizeof problem,
                       "%.60s may not be read, grant sophia_gateway to the role: %.120s", table,
                       failure->message);
        break;
    default:
        (void)snprintf(problem, sizeof problem, "%.60s cannot be read: %.150s", table, failure->message);
    }
    set_problem(state, problem);
}

static void watch_horizon(struct postgres_state *state, const char *snapshot)
{
    uint64_t lowest = 0, next = 0;
    struct horizon *horizon = &state->horizon;
    if (!state_snapshot_parse(snapshot, &lowest, &next)) {
        return;
    }
    if (lowest != horizon->lowest || lowest == next) {
        *horizon =
            (struct horizon){.lowest = lowest, .since_ms = now_ms(state), .is_stalled = horizon->is_stalled};
    }
    uint64_t age_ms = now_ms(state) - horizon->since_ms;
    bool is_stalled = age_ms > HORIZON_STALLED_MS || next - lowest > HORIZON_WINDOW;
    if (is_stalled && !horizon->is_stalled) {
        log_warn(
            "pg_horizon_stalled: a transaction stays open and reads get wider; select * from sophia.doctor",
            LOG_INT("age_ms", age_ms), LOG_INT("transactions", next - lowest));
    }
    horizon->is_stalled = is_stalled;
    metric_set(state->horizon_age, (double)age_ms / 1000);
    metric_set(state->horizon_stalled, is_stalled);
}

/* ---- submitting ---- */

static void on_all_submitted(struct postgres_state *state);

static void judge(struct postgres_state *state, const struct submission_item *item, bool is_removal)
{
    const char *field = item->change.field;
    switch (item->outcome) {
    case RESULT_OTHER_LINEAGE:
        state->has_other_lineage = true;
        return;
    case RESULT_UNAVAILABLE:
    case RESULT_NO_MEMORY:
        state->is_unavailable = true;
        return;
    default:
        break;
    }
    if (!result_is_settled(item->outcome)) {
        metric_add(state->rows[ROW_REFUSED], 1);
        complain(state, field, *item->detail ? item->detail : result_name(item->outcome));
        return;
    }
    enum row_result applied = is_removal ? ROW_REMOVED : ROW_APPLIED;
    metric_add(state->rows[item->outcome == RESULT_OK ? applied : ROW_REPEATED], 1);
    if (item->change.state != VALUE_INVALID) {
        (void)map_remove(&state->complaints, field, strlen(field)); /* a next time is news */
    }
}

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct flight *flight = context;
    struct postgres_state *state = flight->state;
    for (size_t i = 0; state && i < count; i++) {
        judge(state, &items[i], flight->is_removal);
    }
    if (state) {
        list_remove(&flight->node);
    }
    batch_destroy(flight->batch);
    free(flight);
    if (state && list_is_empty(&state->flights) && state->phase == PHASE_SUBMITTING) {
        on_all_submitted(state);
    }
}

/* Owns: takes the batch. */
static void submit(struct postgres_state *state, struct batch *batch, bool is_removal)
{
    struct flight *flight = batch && batch->count > 0 ? calloc(1, sizeof *flight) : NULL;
    if (!flight) {
        state->is_unavailable = state->is_unavailable || (batch && batch->count > 0);
        batch_destroy(batch);
        return;
    }
    flight->state = state;
    flight->batch = batch;
    flight->is_removal = is_removal;
    list_append(&state->flights, &flight->node);
    pipeline_submit_from(state->options.pipeline, state->lineage, batch->items, batch->count, on_submitted,
                         flight);
}

/* Rows on their way into submissions; those of one transaction stay together where they fit. */
struct gathering {
    struct postgres_state *state;
    struct batch *batch;
    uint64_t transaction;
};

static void gather(struct gathering *gathering, struct change *change, uint64_t transaction)
{
    struct batch *batch = gathering->batch;
    if (batch && batch->count >= SUBMISSION_ITEMS &&
        (transaction != gathering->transaction || batch->count >= INGEST_ITEMS_MAX)) {
        submit(gathering->state, TAKE(gathering->batch), false);
    }
    if (!gathering->batch) {
        gathering->batch = batch_create();
    }
    struct change *slot = gathering->batch ? batch_add(gathering->batch, change->field, 0) : NULL;
    if (!slot) {
        gathering->state->is_unavailable = true; /* as when the order cannot take it: read again */
        change_finish(change);
        return;
    }
    *slot = *change;
    gathering->transaction = transaction;
}

/* Begin; nothing that is answered at once may finish the read before all is submitted. */
static void submitting_begin(struct postgres_state *state)
{
    state->phase = PHASE_READING;
    state->has_other_lineage = false;
    state->is_unavailable = false;
}

static void submitting_end(struct postgres_state *state)
{
    state->phase = PHASE_SUBMITTING;
    if (list_is_empty(&state->flights)) {
        on_all_submitted(state);
    }
}

/* The KPI that this table feeds, or NULL and counted. */
static const struct kpi *kpi_of_row(struct postgres_state *state, const char *field)
{
    const struct kpi *kpi = catalog_kpi_of_field(pipeline_catalog(state->options.pipeline), field);
    if (!kpi) {
        metric_add(state->rows[ROW_UNKNOWN], 1);
        complain(state, field, "no KPI has this field");
        return NULL;
    }
    if (strcmp(kpi->source_kind, "pg") != 0 || kpi->source_query) {
        metric_add(state->rows[ROW_FOREIGN], 1);
        complain(state, field,
                 kpi->source_query ? "its KPI is read by a query" : "its KPI has another source");
        return NULL;
    }
    return kpi;
}

static void take_row(struct gathering *gathering, const struct pg_result *result, size_t row)
{
    struct postgres_state *state = gathering->state;
    const char *field = state_row_field(result, row);
    const struct kpi *kpi = kpi_of_row(state, field);
    if (!kpi) {
        return;
    }
    char detail[REASON_MAX_BYTES + 1];
    struct change change;
    if (state_row_read(result, row, kpi, &change, detail) != RESULT_OK) {
        metric_add(state->rows[ROW_REFUSED], 1);
        complain(state, field, detail);
    }
    gather(gathering, &change, state_row_transaction(result, row));
}

/* ---- fields that left the table ---- */

static void suspect(void *context, const char *field, size_t length)
{
    struct postgres_state *state = context;
    if (!map_get(&state->full.seen, field, length) &&
        map_put(&state->suspects.fields, field, length, state) != RESULT_OK) {
        return; /* no memory: at the next full read */
    }
}

static void suspects_clear(struct postgres_state *state)
{
    map_finish(&state->suspects.fields);
    map_init(&state->suspects.fields, MAX_FIELDS);
}

static void find_suspects(struct postgres_state *state)
{
    const struct catalog *catalog = pipeline_catalog(state->options.pipeline);
    suspects_clear(state);
    state->suspects.version = state->full.version + 1;
    for (size_t i = 0; !state->full.is_incomplete && i < catalog_kpi_count(catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        if (strcmp(kpi->source_kind, "pg") == 0 && !kpi->source_query &&
            state->options.owns(state->options.context, kpi)) {
            (void)pipeline_each_field(state->options.pipeline, kpi->id, suspect,
                                      state); /* no board: nothing */
        }
    }
}

static void remove_field(struct postgres_state *state, struct batch *batch, const char *field)
{
    const struct kpi *kpi = catalog_kpi_of_field(pipeline_catalog(state->options.pipeline), field);
    struct change *change = kpi ? batch_add(batch, field, state->options.now().wall_ms) : NULL;
    if (!change) {
        return; /* the KPI left as well */
    }
    change->has_version = true;
    change->version = state->suspects.version;
    change->is_delete = kpi_has_rows(kpi);
    if (!change->is_delete) {
        change->state = VALUE_NO_DATA;
        (void)snprintf(change->reason, sizeof change->reason, "its row is gone from %.80s",
                       state->options.table);
    }
}

static void submit_removals(struct postgres_state *state)
{
    struct batch *batch = NULL;
    const char *field = NULL;
    size_t length = 0;
    void *value = NULL;
    for (size_t cursor = 0; map_next(&state->suspects.fields, &cursor, &field, &length, &value);) {
        char name[FIELD_MAX_BYTES + 1];
        (void)snprintf(name, sizeof name, "%.*s", (int)length, field);
        batch = batch ? batch : batch_create();
        if (batch) {
            remove_field(state, batch, name);
        }
        if (batch && batch->count >= SUBMISSION_ITEMS) {
            submit(state, TAKE(batch), true);
        }
    }
    submit(state, batch, true);
    suspects_clear(state);
}

/*
 * Which transaction number had not been given out yet? A number of our own tells; a snapshot does not, its end is
 * only that of the transactions that are over.
 */
static void on_bound(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct postgres_state *state = context;
    const char *number = result && pg_row_count(result) == 1 ? pg_text(result, 0, 0, NULL) : NULL;
    (void)failure; /* then they are looked for again */
    if (number) {
        state->suspects.until = strtoull(number, NULL, 10);
    } else {
        suspects_clear(state);
        state->wants_full = true;
    }
    step_after(state, number ? 0 : PROBLEM_RETRY_MS);
}

static void bound_suspects(struct postgres_state *state)
{
    const struct pg_query query = {.sql = "select pg_current_xact_id()"};
    state->phase = PHASE_READING;
    if (pg_link_query(state->link, &query, on_bound, state) != RESULT_OK) {
        on_bound(state, NULL, NULL);
    }
}

/* After a read of what is new: it saw whatever had been written by transactions that have ended. */
static void look_at_suspects(struct postgres_state *state, const char *snapshot)
{
    struct suspects *suspects = &state->suspects;
    uint64_t lowest = 0, next = 0;
    if (suspects->fields.count == 0 || !state_snapshot_parse(snapshot, &lowest, &next)) {
        return;
    }
    if (lowest > suspects->until) {
        submit_removals(state);
    }
}

/* ---- reading everything ---- */

static void full_finish(struct full_read *full)
{
    free(full->snapshot);
    map_finish(&full->seen);
    *full = (struct full_read){0};
    map_init(&full->seen, MAX_FIELDS);
}

static void on_answer(void *context, const struct pg_result *result, const struct pg_failure *failure);

static void ask(struct postgres_state *state, const char *sql, const char *parameter)
{
    const char *const parameters[] = {parameter};
    const struct pg_query query = {.sql = sql,
                                   .param_count = 1,
                                   .params = parameters,
                                   .prepared_as = sql == state->sql.news ? "sophia_news" : NULL};
    metric_add(state->polls[state->is_full], 1);
    state->phase = PHASE_READING;
    if (pg_link_query(state->link, &query, on_answer, state) != RESULT_OK) {
        step_after(state, PROBLEM_RETRY_MS); /* the link is going down, or there is no memory */
    }
}

static void begin_full(struct postgres_state *state)
{
    full_finish(&state->full);
    state->full.generation = pipeline_generation(state->options.pipeline);
    state->is_full = true;
    ask(state, state->sql.page, "");
}

static void see(struct full_read *full, const struct pg_result *result, size_t row,
                struct postgres_state *state)
{
    const char *field = state_row_field(result, row);
    bool is_there = !state_row_is_deleted(result, row) || !strchr(field, '#');
    if (is_there && map_put(&full->seen, field, strlen(field), state) != RESULT_OK) {
        full->is_incomplete = true;
    }
    (void)snprintf(full->after, sizeof full->after, "%s", field);
}

static void take_page(struct postgres_state *state, const struct pg_result *result)
{
    struct full_read *full = &state->full;
    size_t count = pg_row_count(result);
    if (!full->snapshot) {
        full->snapshot = strdup(state_header_snapshot(result));
        full->version = state_header_version(result);
    }
    full->is_last_page = count < STATE_PAGE_ROWS + 1;
    submitting_begin(state);
    struct gathering gathering = {.state = state};
    for (size_t row = 1; row < count; row++) {
        see(full, result, row, state);
        take_row(&gathering, result, row);
    }
    submit(state, gathering.batch, false);
    submitting_end(state);
}

static bool keeps(void *context, const char *field)
{
    const struct postgres_state *state = ((const struct restart *)context)->state;
    const struct kpi *kpi = catalog_kpi_of_field(pipeline_catalog(state->options.pipeline), field);
    bool is_row_of_ours =
        kpi && kpi_has_rows(kpi) && !kpi->source_query && state->options.owns(state->options.context, kpi);
    return !is_row_of_ours || state->full.is_incomplete || map_get(&state->full.seen, field, strlen(field));
}

static void on_restarted(void *context, enum result outcome)
{
    struct restart *restart = context;
    struct postgres_state *state = restart->state;
    if (state) {
        if (outcome == RESULT_OK) {
            (void)snprintf(state->followed, sizeof state->followed, "%s", restart->lineage);
            state->wants_restart = false;
        }
        state->restart = NULL;
        state->wants_full = true;
        state->is_woken = false;
        step_after(state, outcome != RESULT_OK || state->restarts > 1 ? RESTART_RETRY_MS : 0);
    }
    free(restart);
}

static void restart_boards(struct postgres_state *state)
{
    struct restart *restart = calloc(1, sizeof *restart);
    if (!restart) {
        step_after(state, RESTART_RETRY_MS);
        return;
    }
    restart->state = state;
    state->restart = restart;
    state->phase = PHASE_RESTARTING;
    state->restarts++;
    log_warn("the database's history is another one, boards start afresh",
             LOG_TEXT("lineage", state->lineage),
             LOG_TEXT("before", *state->followed ? state->followed : NULL));
    (void)snprintf(restart->lineage, sizeof restart->lineage, "%s", state->lineage);
    pipeline_restart_source(state->options.pipeline, "pg", state->lineage, keeps, on_restarted, restart);
}

static void snapshot_replace(struct postgres_state *state, char *snapshot)
{
    free(state->snapshot);
    state->snapshot = snapshot;
    state->read_at_ms = now_ms(state);
}

static void finish_full(struct postgres_state *state)
{
    struct full_read *full = &state->full;
    bool is_other = *state->followed && strcmp(state->followed, state->lineage) != 0;
    if (state->has_other_lineage || state->wants_restart || is_other) {
        restart_boards(state);
        return;
    }
    state->restarts = 0;
    (void)snprintf(state->followed, sizeof state->followed, "%s", state->lineage);
    state->wants_full = full->snapshot == NULL; /* no memory for it */
    state->generation = full->generation;
    snapshot_replace(state, TAKE(full->snapshot));
    find_suspects(state);
    full_finish(full);
    state->wait_ms = state->options.poll_min_ms;
    state->options.on_all_relations(state->options.context);
    if (state->suspects.fields.count > 0) {
        bound_suspects(state);
    } else {
        step_after(state, 0); /* what was written while this went on */
    }
}

static void continue_full(struct postgres_state *state)
{
    if (state->is_unavailable || state->full.is_broken) {
        state->wants_full = true;
        step_after(state, state->options.poll_max_ms);
    } else if (!state->full.is_last_page) {
        ask(state, state->sql.page, state->full.after);
    } else {
        finish_full(state);
    }
}

/* ---- reading what is new ---- */

static void choose_wait(struct postgres_state *state, bool has_found)
{
    const struct postgres_state_options *options = &state->options;
    uint64_t now = now_ms(state);
    state->found_at_ms = has_found ? now : state->found_at_ms;
    bool is_busy = state->found_at_ms != 0 && now - state->found_at_ms < BUSY_MS;
    uint32_t longer_ms =
        state->wait_ms < options->poll_max_ms / 2 ? state->wait_ms * 2 : options->poll_max_ms;
    state->wait_ms = is_busy ? options->poll_min_ms : longer_ms;
}

static void take_news(struct postgres_state *state, const struct pg_result *result)
{
    size_t count = pg_row_count(result), values = 0;
    const char *snapshot = state_header_snapshot(result);
    watch_horizon(state, snapshot);
    submitting_begin(state);
    struct gathering gathering = {.state = state};
    for (size_t row = 1; row < count; row++) {
        const char *field = state_row_field(result, row);
        if (state_row_kind(result, row) == STATE_RELATION) {
            state->options.on_relation(state->options.context, field);
        } else if (++values <= STATE_NEWS_ROWS) {
            (void)map_remove(&state->suspects.fields, field, strlen(field));
            take_row(&gathering, result, row);
        }
    }
    submit(state, gathering.batch, false);
    look_at_suspects(state, snapshot);
    choose_wait(state, count > 1);
    char *copy = strdup(snapshot);
    state->wants_full = state->wants_full || values > STATE_NEWS_ROWS || !copy;
    snapshot_replace(state, copy);
    submitting_end(state);
}

static void on_all_submitted(struct postgres_state *state)
{
    if (state->is_stopped) {
        state->phase = PHASE_IDLE;
        return;
    }
    if (state->is_full) {
        continue_full(state);
        return;
    }
    if (state->is_unavailable || state->has_other_lineage) {
        state->wants_full = true;
    }
    step_after(state, state->is_unavailable ? state->options.poll_max_ms : state->wait_ms);
}

static void read_failed(struct postgres_state *state, const struct pg_failure *failure)
{
    bool is_gone = *failure->sqlstate == '\0'; /* with its connection, which tells for itself */
    state->is_woken = false;
    if (!is_gone) {
        tell_failure(state, failure);
        state->wants_full = true;
    }
    if (!is_gone && state->wants_restart && *state->lineage) {
        state->full.is_incomplete = true; /* no table: what others feed cannot wait for it */
        restart_boards(state);
    } else {
        step_after(state, PROBLEM_RETRY_MS);
    }
}

static void on_answer(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct postgres_state *state = context;
    if (state->is_stopped) {
        state->phase = PHASE_IDLE;
        return;
    }
    if (failure) {
        read_failed(state, failure);
        return;
    }
    set_problem(state, "");
    if (state->woken_at_us != 0) {
        metric_observe(state->lag, (double)(clock_monotonic_us() - state->woken_at_us) / 1e6);
        state->woken_at_us = 0;
    }
    if (state->is_full) {
        take_page(state, result);
    } else {
        take_news(state, result);
    }
}

/* ---- which server ---- */

static void identify(struct postgres_state *state);

static void on_identity(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct postgres_state *state = context;
    const char *lineage = result && pg_row_count(result) == 1 ? pg_text(result, 0, 0, NULL) : NULL;
    state->phase = PHASE_IDLE;
    if (state->is_stopped || !state->is_link_up) {
        return;
    }
    if (lineage) {
        (void)snprintf(state->lineage, sizeof state->lineage, "%s", lineage);
        state->wants_full = state->wants_full || strcmp(state->lineage, state->followed) != 0;
        state->options.on_lineage(state->options.context, state->lineage);
        step(state);
    } else if (!state->is_fallback) {
        log_warn("the server does not tell its timeline, its start time counts instead",
                 LOG_TEXT("reason", failure ? failure->message : "no answer"));
        state->is_fallback = true;
        identify(state);
    } else {
        step_after(state, PROBLEM_RETRY_MS);
    }
}

static void identify(struct postgres_state *state)
{
    const struct pg_query query = {.sql =
                                       state->is_fallback ? state_lineage_fallback_sql : state_lineage_sql};
    state->phase = PHASE_IDENTIFYING;
    if (pg_link_query(state->link, &query, on_identity, state) != RESULT_OK) {
        step_after(state, PROBLEM_RETRY_MS);
    }
}

/* What to do next, when nothing is under way. */
static void step(struct postgres_state *state)
{
    if (state->phase != PHASE_IDLE || state->is_stopped || !state->is_link_up) {
        return;
    }
    state->is_woken = false;
    if (!*state->lineage) {
        identify(state);
        return;
    }
    uint64_t generation = pipeline_generation(state->options.pipeline);
    if (generation == 0 || !pipeline_catalog(state->options.pipeline)) {
        step_after(state, state->options.poll_max_ms);
        return;
    }
    bool is_expired = now_ms(state) - state->read_at_ms > READ_EXPIRES_MS;
    if (state->wants_full || !state->snapshot || is_expired || generation != state->generation) {
        begin_full(state);
        return;
    }
    state->is_full = false;
    ask(state, state->sql.news, state->snapshot);
}

void postgres_state_wake(struct postgres_state *state)
{
    state->wait_ms = state->options.poll_min_ms;
    if (state->woken_at_us == 0 && *state->lineage) {
        state->woken_at_us = clock_monotonic_us();
    }
    state->is_woken = true;
    if (state->phase == PHASE_IDLE && *state->problem == '\0') {
        step(state);
    }
}

void postgres_state_restart_boards(struct postgres_state *state)
{
    if (!state->wants_restart && state->phase != PHASE_RESTARTING) {
        state->wants_restart = true;
        state->wants_full = true;
        postgres_state_wake(state);
    }
}

void postgres_state_link_up(struct postgres_state *state)
{
    state->is_link_up = true;
    step(state);
}

void postgres_state_link_down(struct postgres_state *state)
{
    state->is_link_up = false;
    state->full.is_broken = true;
    state->lineage[0] = '\0';
    state->is_fallback = false;
    state->woken_at_us = 0;
    loop_timer_disarm(state->timer);
    state->options.on_lineage(state->options.context, "");
}

/* ---- life ---- */

static void register_metrics(struct postgres_state *state, struct metrics *metrics)
{
    static const char *const rows[ROW_RESULT_COUNT] = {
        [ROW_APPLIED] = "result=\"applied\"",      [ROW_REPEATED] = "result=\"repeated\"",
        [ROW_REFUSED] = "result=\"refused\"",      [ROW_UNKNOWN] = "result=\"unknown_field\"",
        [ROW_FOREIGN] = "result=\"other_source\"", [ROW_REMOVED] = "result=\"removed\"",
    };
    static const char polls[] = "Reads of the state table: of what is new, and pages of everything.";
    state->polls[false] = metrics_counter(metrics, "gw_pg_polls_total", "kind=\"news\"", polls);
    state->polls[true] = metrics_counter(metrics, "gw_pg_polls_total", "kind=\"full\"", polls);
    for (size_t i = 0; i < ROW_RESULT_COUNT; i++) {
        state->rows[i] = metrics_counter(metrics, "gw_pg_rows_total", rows[i],
                                         "Rows read from the state table, by what became of them.");
    }
    state->horizon_age = metrics_gauge(metrics, "gw_pg_horizon_age_seconds", NULL,
                                       "For how long the oldest open transaction has held the horizon.");
    state->horizon_stalled = metrics_gauge(metrics, "gw_pg_horizon_stalled", NULL,
                                           "1: held for over a minute, or over 50,000 transactions.");
    state->lag = metrics_histogram(metrics, "gw_listen_lag_seconds", NULL,
                                   "From a notification to the answer of the read that it caused.",
                                   METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
}

struct postgres_state *postgres_state_create(const struct postgres_state_options *options)
{
    struct postgres_state *state = calloc(1, sizeof *state);
    if (!state) {
        return NULL;
    }
    state->options = *options;
    state->wants_full = true;
    state->wait_ms = options->poll_min_ms;
    list_init(&state->flights);
    map_init(&state->full.seen, MAX_FIELDS);
    map_init(&state->suspects.fields, MAX_FIELDS);
    map_init(&state->complaints, MAX_COMPLAINTS);
    register_metrics(state, options->metrics);
    state->timer = loop_timer_create(options->loop, on_due, state);
    if (!state->timer || !state_sql_init(&state->sql, options->table)) {
        postgres_state_destroy(state);
        return NULL;
    }
    return state;
}

void postgres_state_set_link(struct postgres_state *state, struct pg_link *link)
{
    state->link = link;
}

void postgres_state_stop(struct postgres_state *state)
{
    state->is_stopped = true;
    loop_timer_disarm(state->timer);
}

void postgres_state_destroy(struct postgres_state *state)
{
    if (!state) {
        return;
    }
    assert(!state->link || state->is_stopped); /* else an answer could still come */
    LIST_EACH(node, &state->flights) {
        LIST_ITEM(node, struct flight, node)->state = NULL;
    }
    if (state->restart) {
        state->restart->state = NULL;
    }
    loop_timer_destroy(state->timer);
    state_sql_finish(&state->sql);
    map_finish(&state->full.seen);
    map_finish(&state->suspects.fields);
    map_finish(&state->complaints);
    free(state->full.snapshot);
    free(state->snapshot);
    free(state);
}
