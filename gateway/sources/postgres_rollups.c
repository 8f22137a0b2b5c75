/*
 * One timer for all queries: it wakes for the next one that is due, and twice a second to see whether the definitions or the
 * journal's generation changed. Readings are objects of their own, because the pool and the pipeline answer when they like:
 * after a reload, or after this reader is gone, an answer finds that nobody wants it.
 *
 * A reading that the clock asks for first takes a transaction id. Without it nothing may have been committed since the
 * reading before, both would have the same version, and the newer one - with a younger as_of - would be no news.
 */
#include "sources/postgres_rollups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/backoff.h"
#include "sources/postgres_rollup_result.h"

enum {
    GAP_MS = 50,          /* between two readings of one query, at least */
    COST_FACTOR = 4,      /* and at least this many times what the one before took */
    LOOK_MS = 500,        /* definitions and generation are looked at this often */
    IN_FLIGHT_MAX = 3,    /* queries at one time: the pool is for others too */
    RETRY_LINK_MS = 500,  /* the database cannot be reached: asking costs nothing then */
    RETRY_FULL_MS = 50,   /* the pool has its queue full */
    RETRY_BASE_MS = 1000, /* the query itself fails */
    RETRY_LIMIT_MS = 30000,
    NEVER_AGES_MS = 600000, /* events: the clock only repeats what a change has told */
    INTERVAL_MIN_MS = 1000,
    LOG_AGAIN_MS = 60000,
};

/** One distinct query. */
struct rollup {
    struct postgres_rollups *owner;
    char *statement;         /* owned */
    const struct kpi **kpis; /* owned list of the catalogue's; those with this query */
    size_t kpi_count;
    uint64_t interval_ms;
    struct reading *reading; /* in flight, or NULL */
    bool is_changed;         /* a relation changed after the last reading began */
    bool is_refused;         /* problem holds a reason, which has been told */
    uint64_t refresh_ms;     /* when the clock asks */
    uint64_t earliest_ms;    /* not before, whoever asks */
    struct backoff backoff;
    uint64_t logged_ms; /* when the problem was logged */
    char problem[REASON_MAX_BYTES + 1];
};

struct postgres_rollups {
    struct postgres_rollups_options options;
    struct loop_timer *timer;
    struct catalog
        *catalog; /* owned reference: the definitions that `rollups` is made of; NULL before the first */
    struct rollup *rollups;
    size_t count;
    size_t next; /* who may begin first at the next turn */
    size_t in_flight;
    uint64_t generation; /* of the pipeline at the last look */
    bool is_active;
    bool is_reported; /* the source has been told down */
    char *lineage;
    struct metric *reads[RESULT_COUNT], *seconds, *failing, *refused, *empty;
};

/** A query on its way, and then its submission. Frees itself; `rollup` is NULL once nobody wants it. */
struct reading {
    struct rollup *rollup;
    char *statement; /* owned: the pool borrows it until it is sent */
    uint64_t began_ms;
    struct rollup_items items;
    bool is_mark; /* the items are marks of a failure */
};

static uint64_t now_ms(const struct postgres_rollups *rollups)
{
    return rollups->options.now().monotonic_ms;
}

/* ---- what is due ---- */

static uint64_t due_ms(const struct rollup *rollup)
{
    uint64_t wanted = rollup->is_changed ? 0 : rollup->refresh_ms;
    return wanted > rollup->earliest_ms ? wanted : rollup->earliest_ms;
}

static void rearm(struct postgres_rollups *rollups)
{
    if (!rollups->is_active) {
        loop_timer_disarm(rollups->timer);
        return;
    }
    uint64_t now = now_ms(rollups);
    uint64_t next = now + LOOK_MS;
    bool may_ask = rollups->in_flight < IN_FLIGHT_MAX && rollups->generation != 0;
    for (size_t i = 0; may_ask && i < rollups->count; i++) {
        const struct rollup *rollup = &rollups->rollups[i];
        if (!rollup->reading && due_ms(rollup) < next) {
            next = due_ms(rollup);
        }
    }
    loop_timer_arm(rollups->timer, next > now ? next - now : 0);
}

/** +-10 %: roll-ups of many processes and queries do not stay in step. */
static uint64_t jittered(uint64_t ms)
{
    return ms - ms / 10 + random_u64() % (ms / 5 + 1);
}

static void refresh_in(struct rollup *rollup, uint64_t ms)
{
    rollup->refresh_ms = now_ms(rollup->owner) + ms;
}

/* ---- health ---- */

static void report(struct postgres_rollups *rollups)
{
    const struct rollup *worst = NULL;
    size_t failing = 0;
    for (size_t i = 0; i < rollups->count; i++) {
        if (rollups->rollups[i].is_refused) {
            failing++;
            worst = worst ? worst : &rollups->rollups[i];
        }
    }
    metric_set(rollups->failing, (double)failing);
    if (worst || rollups->is_reported) {
        pipeline_report_source(rollups->options.pipeline, "rollups", !worst, worst ? worst->problem : NULL);
    }
    rollups->is_reported = worst != NULL;
}

static void problem_log(struct rollup *rollup, bool is_refused, const char *problem)
{
    const char *kpi = rollup->kpis[0]->id;
    uint64_t now = now_ms(rollup->owner);
    if (!is_refused) {
        log_info("roll-up is well again", LOG_TEXT("kpi", kpi));
    } else if (!rollup->is_refused || now - rollup->logged_ms >= LOG_AGAIN_MS) {
        rollup->logged_ms = now;
        log_warn("roll-up cannot be shown as it is", LOG_TEXT("kpi", kpi), LOG_TEXT("reason", problem));
    }
}

/** "" when all is well again. A reason that only changes its words is logged now and then. */
static void problem_set(struct rollup *rollup, const char *problem)
{
    bool is_refused = problem[0] != '\0';
    if (is_refused == rollup->is_refused && strcmp(problem, rollup->problem) == 0) {
        return;
    }
    problem_log(rollup, is_refused, problem);
    rollup->is_refused = is_refused;
    (void)snprintf(rollup->problem, sizeof rollup->problem, "%s", problem);
    report(rollup->owner);
}

/* ---- the life of a reading ---- */

static void reading_destroy(struct reading *reading)
{
    batch_finish(&reading->items.batch);
    free(reading->statement);
    free(reading);
}

/** Its rollup no longer waits for it; when to ask again has been said. */
static void reading_end(struct reading *reading)
{
    struct rollup *rollup = reading->rollup;
    if (rollup) {
        uint64_t now = now_ms(rollup->owner);
        uint64_t gap = COST_FACTOR * (now - reading->began_ms);
        rollup->earliest_ms = reading->began_ms + (gap > GAP_MS ? gap : GAP_MS);
        rollup->reading = NULL;
        rollup->owner->in_flight--;
        rearm(rollup->owner);
    }
    reading_destroy(reading);
}

static void reading_orphan(struct rollup *rollup)
{
    if (rollup->reading) {
        rollup->reading->rollup = NULL;
        rollup->reading = NULL;
        rollup->owner->in_flight--;
    }
}

/** What became of a reading that could be read: the first refusal is the roll-up's problem. */
static void outcomes_judge(struct rollup *rollup, struct rollup_items *items)
{
    struct postgres_rollups *rollups = rollup->owner;
    bool is_other_lineage = false;
    bool is_unavailable = false;
    for (size_t i = 0; i < items->batch.count; i++) {
        const struct submission_item *item = &items->batch.items[i];
        is_other_lineage |= item->outcome == RESULT_OTHER_LINEAGE;
        is_unavailable |= item->outcome == RESULT_UNAVAILABLE || item->outcome == RESULT_NO_MEMORY;
        if (result_is_settled(item->outcome) || item->outcome == RESULT_OTHER_LINEAGE ||
            item->outcome == RESULT_UNAVAILABLE) {
            continue;
        }
        if (items->refused++ == 0) {
            (void)snprintf(items->problem, sizeof items->problem, "%.60s: %.96s", item->change.field,
                           item->detail[0] ? item->detail : result_name(item->outcome));
        }
    }
    metric_add(rollups->refused, items->refused);
    problem_set(rollup, items->problem);
    if (is_other_lineage || is_unavailable) {
        refresh_in(rollup, RETRY_LINK_MS);
    }
    if (is_other_lineage && rollups->options.on_other_lineage) {
        rollups->options.on_other_lineage(rollups->options.context);
    }
}

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct reading *reading = context;
    (void)items; /* reading->items, which is freed with it */
    (void)count;
    if (reading->rollup && !reading->is_mark) {
        outcomes_judge(reading->rollup, &reading->items);
    }
    reading_end(reading);
}

static void reading_submit(struct reading *reading)
{
    struct postgres_rollups *rollups = reading->rollup->owner;
    if (reading->items.batch.count == 0) {
        on_submitted(reading, NULL, 0);
        return;
    }
    pipeline_submit_from(rollups->options.pipeline, rollups->lineage, reading->items.batch.items,
                         reading->items.batch.count, on_submitted, reading);
}

/* ---- failures ---- */

/** What a person can do about it, by the kind of failure. */
static const char *remedy_of(const struct pg_failure *failure)
{
    switch (failure->result) {
    case RESULT_UNKNOWN_TYPE:
        return "run deploy/sql/install.sql or correct source.query";
    case RESULT_FORBIDDEN:
        return "grant select to the gateway's role (deploy/sql/90_roles.sql)";
    case RESULT_UNAVAILABLE:
        return "see the server's log, and postgres.statement_timeout_ms";
    default:
        return "correct source.query";
    }
}

static void failure_mark(struct reading *reading, const struct pg_failure *failure)
{
    struct rollup *rollup = reading->rollup;
    char reason[REASON_MAX_BYTES + 1];
    (void)snprintf(reason, sizeof reason, "%.92s; %.65s",
                   failure->message ? failure->message : "the query failed", remedy_of(failure));
    refresh_in(rollup, backoff_next_ms(&rollup->backoff, random_u64()));
    problem_set(rollup, reason);
    reading->is_mark = true;
    enum value_state state = failure->result == RESULT_MALFORMED ? VALUE_INVALID : VALUE_UNREACHABLE;
    if (rollup_items_mark(rollup->kpis, rollup->kpi_count, rollup->owner->options.pipeline, state, reason,
                          &reading->items) != RESULT_OK) {
        log_error("roll-up could not be marked: no memory, continuing", LOG_TEXT("kpi", rollup->kpis[0]->id));
    }
    reading_submit(reading);
}

/** The connection went, or a transaction had to give way: the source tells the one, the other passes. Nothing is wrong with the query. */
static bool is_passing(const struct pg_failure *failure)
{
    return failure->result == RESULT_UNAVAILABLE &&
           (failure->sqlstate[0] == '\0' || strncmp(failure->sqlstate, "08", 2) == 0 ||
            strncmp(failure->sqlstate, "57P", 3) == 0 || strncmp(failure->sqlstate, "40", 2) == 0);
}

static void reading_failed(struct reading *reading, const struct pg_failure *failure)
{
    struct rollup *rollup = reading->rollup;
    metric_add(rollup->owner->reads[failure->result], 1);
    if (is_passing(failure)) {
        refresh_in(rollup, RETRY_LINK_MS);
        reading_end(reading);
        return;
    }
    failure_mark(reading, failure);
}

static void on_rows(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct reading *reading = context;
    struct rollup *rollup = reading->rollup;
    if (!rollup) {
        reading_destroy(reading);
        return;
    }
    if (failure) {
        reading_failed(reading, failure);
        return;
    }
    struct postgres_rollups *rollups = rollup->owner;
    metric_observe(rollups->seconds, (double)(now_ms(rollups) - reading->began_ms) / 1000.0);
    enum result outcome = rollup_items_read(result, rollup->kpis, rollup->kpi_count,
                                            rollups->options.pipeline, &reading->items);
    metric_add(rollups->reads[outcome], 1);
    if (outcome != RESULT_OK) {
        const struct pg_failure unreadable = {.result = RESULT_MALFORMED,
                                              .message = "the answer cannot be read"};
        failure_mark(reading, &unreadable);
        return;
    }
    metric_add(rollups->empty, reading->items.rows == 0 ? 1 : 0);
    backoff_reset(&rollup->backoff);
    refresh_in(rollup, jittered(rollup->interval_ms));
    reading_submit(reading);
}

/* ---- asking ---- */

/** The pool would not take it. */
static void reading_refused(struct reading *reading, enum result why)
{
    metric_add(reading->rollup->owner->reads[why], 1);
    refresh_in(reading->rollup, why == RESULT_FULL ? RETRY_FULL_MS : RETRY_LINK_MS);
    reading_end(reading);
}

static void rows_ask(struct reading *reading)
{
    const struct pg_query query = {.sql = reading->statement};
    enum result result = pg_pool_query(reading->rollup->owner->options.pool, &query, on_rows, reading);
    if (result != RESULT_OK) {
        reading_refused(reading, result);
    }
}

static void on_transaction_id(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct reading *reading = context;
    (void)result; /* that there is one is enough */
    if (!reading->rollup) {
        reading_destroy(reading);
    } else if (failure) {
        reading_failed(reading, failure);
    } else {
        rows_ask(reading);
    }
}

static void transaction_id_ask(struct reading *reading)
{
    static const struct pg_query query = {.sql = "select pg_catalog.pg_current_xact_id()"};
    enum result result =
        pg_pool_query(reading->rollup->owner->options.pool, &query, on_transaction_id, reading);
    if (result != RESULT_OK) {
        reading_refused(reading, result);
    }
}

static void rollup_read(struct rollup *rollup)
{
    struct postgres_rollups *rollups = rollup->owner;
    struct reading *reading = calloc(1, sizeof *reading);
    uint64_t now = now_ms(rollups);
    if (!reading || !(reading->statement = strdup(rollup->statement))) {
        free(reading);
        rollup->is_changed = false;
        refresh_in(rollup, RETRY_BASE_MS);
        return;
    }
    bool is_by_clock = now >= rollup->refresh_ms;
    reading->rollup = rollup;
    reading->began_ms = now;
    rollup->reading = reading;
    rollup->is_changed = false;
    rollups->in_flight++;
    if (is_by_clock) {
        transaction_id_ask(reading);
    } else {
        rows_ask(reading);
    }
}

static void read_due(struct postgres_rollups *rollups)
{
    uint64_t now = now_ms(rollups);
    size_t first = rollups->next;
    for (size_t i = 0; i < rollups->count && rollups->in_flight < IN_FLIGHT_MAX; i++) {
        size_t at = (first + i) % rollups->count;
        struct rollup *rollup = &rollups->rollups[at];
        if (!rollup->reading && due_ms(rollup) <= now) {
            rollups->next = (at + 1) % rollups->count;
            rollup_read(rollup);
        }
    }
}

/* ---- from definitions to queries ---- */

static bool is_read_here(const struct kpi *kpi)
{
    return kpi->source_query && kpi->board_count > 0;
}

static uint64_t interval_of(const struct kpi *kpi)
{
    int64_t cadence_s = json_integer_value(json_object_get(kpi->definition, "cadence_s"));
    int64_t ms = kpi->freshness->never_ages ? NEVER_AGES_MS : kpi->freshness->fresh_ms * 2 / 5;
    ms = cadence_s > 0 ? cadence_s * 800 : ms;
    return ms > INTERVAL_MIN_MS ? (uint64_t)ms : INTERVAL_MIN_MS;
}

static void rollups_clear(struct postgres_rollups *rollups)
{
    for (size_t i = 0; i < rollups->count; i++) {
        reading_orphan(&rollups->rollups[i]);
        free(rollups->rollups[i].statement);
        free(rollups->rollups[i].kpis);
    }
    free(rollups->rollups);
    rollups->rollups = NULL;
    rollups->count = 0;
    rollups->next = 0;
    catalog_unref(rollups->catalog);
    rollups->catalog = NULL;
}

static struct rollup *find_query(const struct postgres_rollups *rollups, const char *query)
{
    for (size_t i = 0; i < rollups->count; i++) {
        if (strcmp(rollups->rollups[i].kpis[0]->source_query, query) == 0) {
            return &rollups->rollups[i];
        }
    }
    return NULL;
}

static bool kpi_join(struct rollup *rollup, const struct kpi *kpi)
{
    const struct kpi **grown = realloc(rollup->kpis, (rollup->kpi_count + 1) * sizeof *grown);
    if (!grown) {
        return false;
    }
    grown[rollup->kpi_count++] = kpi;
    rollup->kpis = grown;
    uint64_t interval_ms = interval_of(kpi);
    if (rollup->interval_ms == 0 || interval_ms < rollup->interval_ms) {
        rollup->interval_ms = interval_ms;
    }
    return true;
}

static bool kpi_add(struct postgres_rollups *rollups, const struct kpi *kpi)
{
    struct rollup *rollup = find_query(rollups, kpi->source_query);
    if (rollup) {
        return kpi_join(rollup, kpi);
    }
    rollup = &rollups->rollups[rollups->count]; /* room for one per KPI */
    rollup->owner = rollups;
    rollup->refresh_ms = now_ms(rollups);
    backoff_init(&rollup->backoff, RETRY_BASE_MS, RETRY_LIMIT_MS);
    if (!kpi_join(rollup, kpi)) {
        return false;
    }
    rollups->count++;
    rollup->statement = rollup_statement(kpi->source_query);
    return rollup->statement != NULL;
}

/** After a failure there are no queries, and the next look tries again. */
static void rollups_build(struct postgres_rollups *rollups, const struct catalog *catalog)
{
    rollups_clear(rollups);
    size_t count = catalog_kpi_count(catalog);
    rollups->rollups = calloc(count > 0 ? count : 1, sizeof *rollups->rollups);
    bool is_built = rollups->rollups != NULL;
    for (size_t i = 0; is_built && i < count; i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        is_built = !is_read_here(kpi) || kpi_add(rollups, kpi);
    }
    if (!is_built) {
        rollups_clear(rollups);
        log_error("roll-ups are not read: no memory, trying again");
        return;
    }
    rollups->catalog = catalog_ref((struct catalog *)(uintptr_t)catalog); /* counting is not changing */
    report(rollups);
}

void postgres_rollups_refresh_all(struct postgres_rollups *rollups)
{
    uint64_t now = now_ms(rollups);
    for (size_t i = 0; i < rollups->count; i++) {
        rollups->rollups[i].refresh_ms = now;
    }
    rearm(rollups);
}

static void look(struct postgres_rollups *rollups)
{
    const struct catalog *catalog = pipeline_catalog(rollups->options.pipeline);
    uint64_t generation = pipeline_generation(rollups->options.pipeline);
    if (catalog && catalog != rollups->catalog) {
        rollups_build(rollups, catalog);
    }
    if (generation != rollups->generation) {
        rollups->generation = generation;
        postgres_rollups_refresh_all(rollups);
    }
}

static void on_due(void *context)
{
    struct postgres_rollups *rollups = context;
    look(rollups);
    if (rollups->generation != 0) { /* 0: nothing can be submitted */
        read_due(rollups);
    }
    rearm(rollups);
}

/* ---- the whole ---- */

static void metrics_register(struct postgres_rollups *rollups, struct metrics *metrics)
{
    for (int i = 0; i < RESULT_COUNT; i++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "result=\"%s\"", result_name((enum result)i));
        rollups->reads[i] =
            metrics_counter(metrics, "gw_rollup_reads_total", labels, "Roll-up queries by outcome.");
    }
    rollups->seconds = metrics_histogram(metrics, "gw_rollup_seconds", NULL,
                                         "Time from asking a roll-up query to its answer.",
                                         METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    rollups->failing = metrics_gauge(metrics, "gw_rollups_failing", NULL,
                                     "Roll-up queries whose answer cannot be shown as it is.");
    rollups->refused = metrics_counter(metrics, "gw_rollup_rows_refused_total", NULL,
                                       "Rows of roll-up queries that were refused.");
    rollups->empty =
        metrics_counter(metrics, "sophia_empty_results_total", NULL, "Reads that found nothing.");
}

struct postgres_rollups *postgres_rollups_create(const struct postgres_rollups_options *options)
{
    struct postgres_rollups *rollups = calloc(1, sizeof *rollups);
    if (!rollups) {
        return NULL;
    }
    rollups->options = *options;
    rollups->timer = loop_timer_create(options->loop, on_due, rollups);
    if (!rollups->timer) {
        free(rollups);
        return NULL;
    }
    metrics_register(rollups, options->metrics);
    return rollups;
}

void postgres_rollups_destroy(struct postgres_rollups *rollups)
{
    if (!rollups) {
        return;
    }
    loop_timer_destroy(rollups->timer);
    rollups_clear(rollups);
    free(rollups->lineage);
    free(rollups);
}

static void deactivate(struct postgres_rollups *rollups)
{
    rollups->is_active = false;
    rollups_clear(rollups); /* what is read belongs to the process that reads now */
    report(rollups);
    rearm(rollups);
}

void postgres_rollups_set_active(struct postgres_rollups *rollups, bool is_active, const char *lineage)
{
    if (!is_active) {
        if (rollups->is_active) {
            deactivate(rollups);
        }
        return;
    }
    bool is_same = rollups->is_active && rollups->lineage && strcmp(rollups->lineage, lineage) == 0;
    char *copy = is_same ? NULL : strdup(lineage);
    if (is_same || !copy) {
        return; /* no memory: the owner says it again with its next full read */
    }
    if (rollups->is_active) {
        deactivate(rollups); /* readings of another history must not be told as this one's */
    }
    free(rollups->lineage);
    rollups->lineage = copy;
    rollups->is_active = true;
    look(rollups);
    rearm(rollups);
}

static bool reads(const struct rollup *rollup, const char *relation)
{
    for (size_t k = 0; k < rollup->kpi_count; k++) {
        for (size_t i = 0; i < rollup->kpis[k]->source_relation_count; i++) {
            if (strcmp(rollup->kpis[k]->source_relations[i], relation) == 0) {
                return true;
            }
        }
    }
    return false;
}

void postgres_rollups_relation_changed(struct postgres_rollups *rollups, const char *relation)
{
    if (!rollups->is_active) {
        return;
    }
    for (size_t i = 0; i < rollups->count; i++) {
        struct rollup *rollup = &rollups->rollups[i];
        rollup->is_changed |= reads(rollup, relation);
    }
    rearm(rollups);
}
