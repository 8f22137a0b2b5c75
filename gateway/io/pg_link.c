/*
 * A PostgreSQL connection on the loop. libpq is only ever asked to do what cannot block: names are resolved
 * before it hears of them, and its socket is watched.
 *
 *   stopped -> waiting -> resolving -> connecting -> checking -> up
 *                 ^-----------'------------'------------'--------'   (any failure)
 *
 * Every failure, wherever it is noticed, is noted by link_break() and carried out by go_down() at the end of the
 * turn, so nothing that is on the stack loses its connection, and no callback runs inside a call of its owner.
 *
 * Session settings are made by the first query instead of the start-up packet's "options", which poolers refuse; the
 * same query tells a standby.
 */
#include "io/pg_link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "io/backoff.h"
#include "io/pg_link_internal.h"
#include "io/pg_params.h"
#include "io/resolve.h"

#define OLDEST_SERVER 130000
#define CHECK_SQL                                                                                           \
    "select pg_is_in_recovery(), set_config('statement_timeout', $1, false), "                              \
    "set_config('idle_in_transaction_session_timeout', $2, false), set_config('DateStyle', 'ISO', false), " \
    "set_config('TimeZone', 'UTC', false), set_config('IntervalStyle', 'iso_8601', false), "                \
    "set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false)"

enum link_state { LINK_STOPPED, LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_CHECKING, LINK_UP };

struct request {
    struct list_node node;
    const char *sql;
    const char *prepared_as;
    pg_result_fn *on_result;
    void *context;
    size_t param_count;
    const char *params[]; /* their text follows */
};

enum { PREPARED_MAX = 4 };

/* What the server knows by name on this connection. */
struct prepared {
    const char *names[PREPARED_MAX];
    size_t count;
    bool is_under_way; /* current is being prepared, and runs next */
    bool is_useless;   /* the server lost one: a pooler gives each transaction another connection */
};

struct pg_link {
    struct loop *loop;
    struct pg_link_options options;
    struct pg_link_events events;
    enum link_state state;
    struct loop_timer *timer; /* waiting: dial; until up: give up; up: a query without an answer */
    struct backoff backoff;
    size_t attempts; /* hosts take turns */
    struct pg_target target;
    struct resolution *resolution;
    PGconn *connection;
    struct loop_watch *watch;
    int watched; /* events */
    struct list_node queue;
    size_t queued;
    struct request *current; /* sent */
    PGresult *result;        /* of current; its end has not come yet */
    struct prepared prepared;
    bool is_breaking;
    struct loop_deferred breaking;
    char reason[PG_REASON_MAX_BYTES];     /* "" while up */
    char last_words[PG_REASON_MAX_BYTES]; /* what the server said before it hung up */
    struct metric *is_up, *reconnects;
};

/* ---- failing ---- */

static void set_timer(struct pg_link *link, uint64_t ms)
{
    loop_timer_arm(link->timer, ms);
}

static void close_connection(struct pg_link *link)
{
    resolve_cancel(TAKE(link->resolution));
    loop_watch_destroy(TAKE(link->watch)); /* before libpq closes the descriptor */
    PQclear(TAKE(link->result));
    PQfinish(TAKE(link->connection));
    link->prepared = (struct prepared){0};
    pg_target_finish(&link->target);
}

static void request_fail(struct request *request, const struct pg_failure *failure)
{
    request->on_result(request->context, NULL, failure);
    free(request);
}

static void fail_requests(struct pg_link *link, const char *reason)
{
    const struct pg_failure failure = {.result = RESULT_UNAVAILABLE, .message = reason};
    struct list_node failing;
    list_init(&failing);
    if (link->current) {
        list_append(&failing, &TAKE(link->current)->node);
    }
    while (!list_is_empty(&link->queue)) {
        struct list_node *first = link->queue.next;
        list_remove(first);
        list_append(&failing, first);
    }
    link->queued = 0;
    while (!list_is_empty(&failing)) {
        struct request *request = LIST_ITEM(failing.next, struct request, node);
        list_remove(&request->node);
        request_fail(request, &failure);
    }
}

/* Once per reason: a server that is down for an hour is one line, not thousands. */
static void tell_down(const struct pg_link *link, const char *before, uint32_t retry_in_ms)
{
    if (strcmp(before, link->reason) != 0) {
        log_warn("postgres link down", LOG_TEXT("link", link->options.name), LOG_TEXT("reason", link->reason),
                 LOG_INT("retry_in_ms", retry_in_ms));
    }
}

static void go_down(void *context)
{
    struct pg_link *link = context;
    uint32_t retry_in_ms = backoff_next_ms(&link->backoff, random_u64());
    close_connection(link);
    link->state = LINK_WAITING;
    link->is_breaking = false;
    metric_set(link->is_up, 0);
    metric_add(link->reconnects, 1);
    set_timer(link, retry_in_ms);
    char before[PG_REASON_MAX_BYTES];
    (void)snprintf(before, sizeof before, "%s", link->reason);
    (void)snprintf(link->reason, sizeof link->reason, "%s", link->last_words);
    link->last_words[0] = '\0';
    tell_down(link, before, retry_in_ms);
    fail_requests(link, link->reason);
    link->events.on_down(link->events.context, link->reason);
}

/* The first reason counts: what follows is its echo. */
static void link_break(struct pg_link *link, const char *reason)
{
    if (link->is_breaking) {
        return;
    }
    link->is_breaking = true;
    (void)snprintf(link->last_words, sizeof link->last_words, "%s", reason);
    loop_timer_disarm(link->timer);
    loop_watch_destroy(TAKE(link->watch));
    loop_defer(link->loop, &link->breaking, go_down, link);
}

static void link_break_for(struct pg_link *link, const char *what, const char *remedy)
{
    char reason[PG_REASON_MAX_BYTES];
    pg_reason_print(&link->target, link->connection, what, remedy, reason);
    link_break(link, reason);
}

/* What libpq says, or what the server said before. */
static void link_break_lost(struct pg_link *link)
{
    char reason[PG_REASON_MAX_BYTES];
    if (*link->last_words) {
        char words[PG_REASON_MAX_BYTES];
        (void)snprintf(words, sizeof words, "%s", link->last_words);
        pg_reason_print(&link->target, link->connection, words, "", reason);
    } else {
        pg_reason_of_failure(&link->target, link->connection, PQerrorMessage(link->connection), reason);
    }
    link_break(link, reason);
}

/* ---- queries ---- */

static void watch(struct pg_link *link, int events)
{
    if (link->watch && link->watched != events) {
        loop_watch_change(link->watch, events);
        link->watched = events;
    }
}

static void flush(struct pg_link *link)
{
    if (link->is_breaking) {
        return;
    }
    int status = PQflush(link->connection);
    if (status < 0) {
        link_break_lost(link);
    } else {
        watch(link, status > 0 ? LOOP_READABLE | LOOP_WRITABLE : LOOP_READABLE);
    }
}

static bool is_prepared(const struct prepared *prepared, const char *name)
{
    for (size_t i = 0; i < prepared->count; i++) {
        if (strcmp(prepared->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* By name, or to be given one first, or as it is. */
static bool send_by_libpq(struct pg_link *link, const struct request *request)
{
    struct prepared *prepared = &link->prepared;
    const char *name = prepared->is_useless ? NULL : request->prepared_as;
    int count = (int)request->param_count;
    if (name && is_prepared(prepared, name)) {
        return PQsendQueryPrepared(link->connection, name, count, request->params, NULL, NULL, 0);
    }
    if (name && prepared->count < PREPARED_MAX) {
        prepared->is_under_way = true;
        return PQsendPrepare(link->connection, name, request->sql, 0, NULL);
    }
    return PQsendQueryParams(link->connection, request->sql, count, NULL, request->params, NULL, NULL, 0);
}

static void send_current(struct pg_link *link)
{
    if (!send_by_libpq(link, link->current)) {
        link_break_lost(link);
        return;
    }
    if (link->state == LINK_UP) {
        uint32_t timeout_ms = link->options.server->statement_timeout_ms;
        set_timer(link, timeout_ms + timeout_ms / 2);
    }
    flush(link);
}

static void send_next(struct pg_link *link)
{
    if (link->current || list_is_empty(&link->queue) || link->is_breaking) {
        return;
    }
    struct request *request = LIST_ITEM(link->queue.next, struct request, node);
    list_remove(&request->node);
    link->queued--;
    link->current = request;
    send_current(link);
}

/* The name, not the statement, is at fault: unknown or taken (a pooler in between), or the columns are others now. */
static bool is_fault_of_name(const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return sqlstate && (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0 ||
                        strcmp(sqlstate, "0A000") == 0);
}

/* After the end of a result: is current to be sent again, now that it has its name, or because names are useless here? */
static bool wants_again(struct pg_link *link)
{
    struct prepared *prepared = &link->prepared;
    if (!link->current->prepared_as || prepared->is_useless) {
        return false;
    }
    bool was_under_way = prepared->is_under_way;
    prepared->is_under_way = false;
    if (is_fault_of_name(link->result)) {
        prepared->is_useless = true;
        log_info("postgres link works without prepared statements", LOG_TEXT("link", link->options.name),
                 LOG_TEXT("statement", link->current->prepared_as));
        return true;
    }
    bool is_ready = was_under_way && link->result && pg_result_is_good(link->result);
    if (is_ready) {
        prepared->names[prepared->count++] = link->current->prepared_as;
    }
    return is_ready;
}

static void finish_current(struct pg_link *link)
{
    struct request *request = TAKE(link->current);
    PGresult *libpq = TAKE(link->result);
    if (link->state == LINK_UP) {
        loop_timer_disarm(link->timer);
    }
    if (libpq && pg_result_is_good(libpq)) {
        const struct pg_result result = {.libpq = libpq};
        request->on_result(request->context, &result, NULL);
        free(request);
    } else {
        char line[PG_REASON_MAX_BYTES];
        struct pg_failure failure;
        pg_failure_read(libpq, &failure, line, sizeof line);
        request_fail(request, &failure);
    }
    PQclear(libpq);
}

static bool is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

static void take_results(struct pg_link *link)
{
    while (link->current && !link->is_breaking && !PQisBusy(link->connection)) {
        PGresult *next = PQgetResult(link->connection);
        if (!next && wants_again(link)) {
            PQclear(TAKE(link->result));
            send_current(link);
            continue;
        }
        if (!next) {
            finish_current(link);
            send_next(link);
            continue;
        }
        bool is_stuck = is_copy(PQresultStatus(next)); /* would be handed out again for ever */
        PQclear(link->result);
        link->result = next;
        const char *severity = PQresultErrorField(next, PG_DIAG_SEVERITY_NONLOCALIZED);
        if (severity && strcmp(severity, "FATAL") == 0) {
            pg_first_line(PQresultErrorField(next, PG_DIAG_MESSAGE_PRIMARY), link->last_words,
                          sizeof link->last_words);
        }
        if (is_stuck) {
            link_break_for(link, "a query asked for COPY", "only statements that return rows are possible");
        }
    }
}

static void take_notifications(struct pg_link *link)
{
    while (!link->is_breaking) {
        PGnotify *notify = PQnotifies(link->connection);
        if (!notify) {
            return;
        }
        if (link->events.on_notify) {
            link->events.on_notify(link->events.context, notify->relname, notify->extra);
        }
        PQfreemem(notify);
    }
}

static void serve(struct pg_link *link, bool failed)
{
    bool is_alive = PQconsumeInput(link->connection) != 0;
    take_results(link);
    take_notifications(link);
    if (link->is_breaking) {
        return;
    }
    if (!is_alive || failed || PQstatus(link->connection) == CONNECTION_BAD) {
        link_break_lost(link);
    } else {
        flush(link);
    }
}

/* Warnings are not ours to tell; a FATAL on an idle connection comes this way, just before it closes. */
static void on_notice(void *context, const PGresult *notice)
{
    struct pg_link *link = context;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && strcmp(severity, "FATAL") == 0) {
        pg_first_line(PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY), link->last_words,
                      sizeof link->last_words);
    }
}

static struct request *request_create(const struct pg_query *query, pg_result_fn *on_result, void *context)
{
    struct request *request = calloc(1, sizeof *request + pg_params_size(query));
    if (request) {
        request->sql = query->sql;
        request->prepared_as = query->prepared_as;
        request->on_result = on_result;
        request->context = context;
        request->param_count = query->param_count;
        pg_params_copy(query, request->params);
    }
    return request;
}

static enum result enqueue(struct pg_link *link, const struct pg_query *query, pg_result_fn *on_result,
                           void *context)
{
    struct request *request = request_create(query, on_result, context);
    if (!request) {
        return RESULT_NO_MEMORY;
    }
    list_append(&link->queue, &request->node);
    link->queued++;
    send_next(link);
    return RESULT_OK;
}

enum result pg_link_query(struct pg_link *link, const struct pg_query *query, pg_result_fn *on_result,
                          void *context)
{
    if (!pg_link_is_up(link)) {
        return RESULT_UNAVAILABLE;
    }
    if (link->queued >= link->options.max_queued) {
        return RESULT_FULL;
    }
    return enqueue(link, query, on_result, context);
}

/* ---- connecting ---- */

static void come_up(struct pg_link *link)
{
    link->state = LINK_UP;
    link->reason[0] = '\0';
    link->last_words[0] = '\0';
    loop_timer_disarm(link->timer);
    backoff_reset(&link->backoff);
    metric_set(link->is_up, 1);
    char place[PG_REASON_MAX_BYTES];
    pg_target_print(&link->target, link->connection, place, sizeof place);
    log_info("postgres link up", LOG_TEXT("link", link->options.name), LOG_TEXT("server", place),
             LOG_INT("version", PQserverVersion(link->connection)));
    link->events.on_up(link->events.context);
}

static void on_checked(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct pg_link *link = context;
    if (failure) {
        if (*failure->sqlstate) { /* else the connection went, and says so itself */
            link_break_for(link, failure->message, "");
        }
        return;
    }
    const char *is_standby = pg_row_count(result) == 1 ? pg_text(result, 0, 0, NULL) : NULL;
    if (!is_standby || *is_standby != 'f') {
        link_break_for(link, "this server is a standby", "point postgres.url at the primary");
        return;
    }
    come_up(link);
}

static void check(struct pg_link *link)
{
    int version = PQserverVersion(link->connection);
    if (version < OLDEST_SERVER) {
        char what[80];
        (void)snprintf(what, sizeof what, "PostgreSQL %d is too old", version / 10000);
        link_break_for(link, what, "13 or newer is needed");
        return;
    }
    link->state = LINK_CHECKING;
    (void)PQsetErrorVerbosity(link->connection, PQERRORS_DEFAULT);
    if (PQsetnonblocking(link->connection, 1) != 0) {
        link_break_lost(link);
        return;
    }
    char timeout[16];
    (void)snprintf(timeout, sizeof timeout, "%u", link->options.server->statement_timeout_ms);
    const struct pg_query query = {
        .sql = CHECK_SQL, .param_count = 2, .params = (const char *const[]){timeout, timeout}};
    if (enqueue(link, &query, on_checked, link) != RESULT_OK) {
        link_break_for(link, "out of memory", "");
    }
}

static void on_event(void *context, int events, bool failed);

/* libpq may change sockets between two polls (the next address, TLS refused), so each has a watch of its own. */
static void watch_connecting(struct pg_link *link, int events)
{
    link->watch = loop_watch_create(link->loop, PQsocket(link->connection), events, on_event, link);
    link->watched = events;
    if (!link->watch) {
        link_break_for(link, "out of memory", "");
    }
}

static void poll_connection(struct pg_link *link)
{
    loop_watch_destroy(TAKE(link->watch));
    switch (PQconnectPoll(link->connection)) {
    case PGRES_POLLING_READING:
        watch_connecting(link, LOOP_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        watch_connecting(link, LOOP_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        watch_connecting(link, LOOP_READABLE);
        if (!link->is_breaking) {
            check(link);
        }
        break;
    default:
        link_break_lost(link);
    }
}

static void on_event(void *context, int events, bool failed)
{
    struct pg_link *link = context;
    (void)events; /* PQconsumeInput() and PQflush() are both cheap when there is nothing to do */
    if (link->state == LINK_CONNECTING) {
        poll_connection(link);
    } else {
        serve(link, failed);
    }
}

static void dial(struct pg_link *link, const char *address)
{
    link->connection = pg_target_connect(&link->target, address, link->options.name);
    if (!link->connection) {
        link_break_for(link, "out of memory", "");
        return;
    }
    (void)PQsetErrorVerbosity(link->connection, PQERRORS_VERBOSE); /* has the SQLSTATE in it */
    (void)PQsetNoticeReceiver(link->connection, on_notice, link);
    if (PQstatus(link->connection) == CONNECTION_BAD) {
        link_break_lost(link);
        return;
    }
    link->state = LINK_CONNECTING;
    watch_connecting(link, LOOP_WRITABLE); /* as libpq asks for before the first PQconnectPoll() */
}

static void on_resolved(void *context, const char *address, const char *error)
{
    struct pg_link *link = context;
    link->resolution = NULL;
    if (address) {
        dial(link, address);
        return;
    }
    char what[160];
    (void)snprintf(what, sizeof what, "host name not found (%s)", error);
    link_break_for(link, what, "correct the host in postgres.url, or the name service");
}

static void begin(struct pg_link *link)
{
    char reason[PG_REASON_MAX_BYTES];
    set_timer(link, link->options.server->connect_timeout_ms);
    link->state = LINK_RESOLVING;
    if (!pg_target_init(&link->target, link->options.server->conninfo, link->attempts++, reason)) {
        link_break(link, reason);
        return;
    }
    if (!link->target.needs_lookup) {
        dial(link, NULL);
        return;
    }
    link->resolution = resolve_start(link->loop, link->target.host, on_resolved, link);
    if (!link->resolution) {
        link_break_for(link, "out of memory", "");
    }
}

static void on_due(void *context)
{
    struct pg_link *link = context;
    switch (link->state) {
    case LINK_WAITING:
        begin(link);
        break;
    case LINK_UP:
        link_break_for(link, "no answer to a query", "is the network cut, or the server stopped?");
        break;
    default:
        link_break_for(link, "connecting took too long", "is the host up, or a firewall dropping packets?");
    }
}

/* ---- life ---- */

struct pg_link *pg_link_create(struct loop *loop, struct metrics *metrics,
                               const struct pg_link_options *options, const struct pg_link_events *events)
{
    struct pg_link *link = calloc(1, sizeof *link);
    if (!link) {
        return NULL;
    }
    char labels[80];
    (void)snprintf(labels, sizeof labels, "link=\"%s\"", options->name);
    link->loop = loop;
    link->options = *options;
    link->events = *events;
    list_init(&link->queue);
    backoff_init(&link->backoff, options->server->reconnect_base_ms, options->server->reconnect_limit_ms);
    (void)snprintf(link->reason, sizeof link->reason, "not connected yet");
    link->is_up = metrics_gauge(metrics, "gw_pg_link_up", labels, "Connections to PostgreSQL that are up.");
    link->reconnects = metrics_counter(metrics, "gw_pg_reconnects_total", labels,
                                       "Connections to PostgreSQL that were lost or could not be made.");
    link->timer = loop_timer_create(loop, on_due, link);
    if (!link->timer) {
        pg_link_destroy(link);
        return NULL;
    }
    return link;
}

void pg_link_start(struct pg_link *link)
{
    assert(link->state == LINK_STOPPED);
    link->state = LINK_WAITING;
    set_timer(link, 0);
}

bool pg_link_is_up(const struct pg_link *link)
{
    return link->state == LINK_UP && !link->is_breaking;
}

const char *pg_link_reason(const struct pg_link *link)
{
    return link->reason;
}

size_t pg_link_load(const struct pg_link *link)
{
    return link->queued + (link->current ? 1 : 0);
}

void pg_link_reject(struct pg_link *link, const char *reason)
{
    if (link->state != LINK_STOPPED && link->state != LINK_WAITING) {
        link_break_for(link, reason, "");
    }
}

void pg_link_destroy(struct pg_link *link)
{
    if (!link) {
        return;
    }
    loop_cancel_deferred(link->loop, &link->breaking);
    close_connection(link);
    link->state = LINK_STOPPED;
    fail_requests(link, "stopping");
    loop_timer_destroy(link->timer);
    free(link);
}
