/*
 * Wires links, follower, queries and notifications together, and tells how the source is. Up means: the state table is followed,
 * and, when channels are mapped, their notifications are heard. Without the listener values still come by polling.
 */
#include "sources/postgres_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sources/postgres_notifications.h"
#include "sources/postgres_rollups.h"
#include "sources/postgres_state.h"

#define NAME "pg"
#define DOORBELL "sophia_doorbell"

enum {
    TICK_MS = 1000,
    PURGE_EVERY_MS = 60000,
    MAX_QUEUED = 64,
    CHANNEL_MAX = 63,
    STATEMENT_TIMEOUT_MAX_MS =
        4000, /* what these links ask takes milliseconds; a frozen path is given up on after 6 s */
};

struct postgres_source {
    struct source source;
    struct postgres_source_options options;
    struct pg_server server; /* as the options say, with a shorter time-out */
    struct pg_link *listener, *follower;
    struct postgres_state *state;
    struct postgres_rollups *rollups; /* NULL: not wanted */
    struct postgres_notifications *notifications;
    struct loop_timer *tick, *heartbeat; /* heartbeat: send one, or it did not come back */
    char self[CHANNEL_MAX + 1];          /* the channel only we listen on */
    char listen_self[96];
    char **listens; /* statements, one per mapped channel; NULL-terminated */
    char lineage[96];
    char problem[256];      /* of the state table; "" none */
    size_t unconfirmed;     /* LISTENs not answered yet */
    bool is_listening;      /* all of them were */
    bool is_heartbeat_sent; /* and not back */
    bool is_purging, is_stopped;
    uint64_t purged_at_ms;
    struct metric *listening, *heartbeats_lost;
};

static void report(struct postgres_source *pg)
{
    const char *reason = NULL;
    if (!pg_link_is_up(pg->follower)) {
        reason = *pg_link_reason(pg->follower) ? pg_link_reason(pg->follower) : "connecting";
    } else if (*pg->problem) {
        reason = pg->problem;
    } else if (pg->options.mapping_count > 0 && !pg->is_listening) {
        reason = pg_link_is_up(pg->listener) ? "listening begins" : pg_link_reason(pg->listener);
    }
    if (!pg->is_stopped) {
        pipeline_report_source(pg->options.pipeline, NAME, reason == NULL, reason);
    }
}

/* Who reads for all processes, from which history. */
static void share_out(struct postgres_source *pg)
{
    bool is_leader = !pg->options.is_leader || pg->options.is_leader(pg->options.leader_context);
    bool is_active = is_leader && *pg->lineage && !pg->is_stopped;
    if (pg->rollups) {
        postgres_rollups_set_active(pg->rollups, is_active, is_active ? pg->lineage : NULL);
    }
    postgres_notifications_set_active(pg->notifications, is_active, pg->lineage);
}

void postgres_source_leader_changed(struct source *source)
{
    share_out((struct postgres_source *)source);
}

/* ---- the state table ---- */

static void on_lineage(void *context, const char *lineage)
{
    struct postgres_source *pg = context;
    (void)snprintf(pg->lineage, sizeof pg->lineage, "%s", lineage);
    share_out(pg);
}

static void on_relation(void *context, const char *relation)
{
    struct postgres_source *pg = context;
    if (pg->rollups) {
        postgres_rollups_relation_changed(pg->rollups, relation);
    }
}

static void on_all_relations(void *context)
{
    struct postgres_source *pg = context;
    if (pg->rollups) {
        postgres_rollups_refresh_all(pg->rollups);
    }
    postgres_notifications_read_again(pg->notifications);
}

static void on_problem(void *context, const char *reason)
{
    struct postgres_source *pg = context;
    (void)snprintf(pg->problem, sizeof pg->problem, "%s", reason ? reason : "");
    if (reason) {
        log_warn("postgres state table cannot be followed", LOG_TEXT("reason", reason));
    } else {
        log_info("postgres state table is followed", LOG_TEXT("table", pg->options.table));
    }
    report(pg);
}

static bool owns(void *context, const struct kpi *kpi)
{
    const struct postgres_source *pg = context;
    return !kpi->source_channel && !postgres_notifications_feeds(pg->notifications, kpi);
}

static void on_other_lineage(void *context)
{
    postgres_state_restart_boards(((struct postgres_source *)context)->state);
}

static void on_follower_up(void *context)
{
    struct postgres_source *pg = context;
    postgres_state_link_up(pg->state);
    report(pg);
}

static void on_follower_down(void *context, const char *reason)
{
    struct postgres_source *pg = context;
    (void)reason; /* logged by the link, told by report() */
    postgres_state_link_down(pg->state);
    report(pg);
}

/* ---- listening ---- */

static void on_heartbeat_sent(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    (void)context;
    (void)result;
    (void)failure; /* then it does not come back, which is what counts */
}

static void send_heartbeat(struct postgres_source *pg)
{
    const char *const parameters[] = {pg->self};
    const struct pg_query query = {.sql = "select pg_notify($1, '')", .param_count = 1, .params = parameters};
    pg->is_heartbeat_sent = pg_link_query(pg->listener, &query, on_heartbeat_sent, pg) == RESULT_OK;
    loop_timer_arm(pg->heartbeat,
                   pg->is_heartbeat_sent ? POSTGRES_HEARTBEAT_ANSWER_MS : pg->options.heartbeat_ms);
}

static void on_heartbeat_due(void *context)
{
    struct postgres_source *pg = context;
    if (!pg->is_listening) {
        return;
    }
    if (pg->is_heartbeat_sent) {
        metric_add(pg->heartbeats_lost, 1);
        pg_link_reject(
            pg->listener,
            "a notification to ourselves did not come back (cut off, frozen, or a pooler in between)");
        return;
    }
    send_heartbeat(pg);
}

static void listening_begins(struct postgres_source *pg)
{
    pg->is_listening = true;
    metric_set(pg->listening, 1);
    send_heartbeat(pg);
    postgres_state_wake(pg->state); /* what was written before the LISTEN */
    postgres_notifications_read_again(pg->notifications);
    report(pg);
}

static void on_listening(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct postgres_source *pg = context;
    (void)result;
    if (pg->unconfirmed == 0 || pg->is_stopped) {
        return; /* of a connection that is gone */
    }
    if (failure) {
        pg->unconfirmed = 0;
        if (*failure->sqlstate) {
            pg_link_reject(pg->listener, failure->message);
        }
        return;
    }
    if (--pg->unconfirmed == 0) {
        listening_begins(pg);
    }
}

static void listen_on(struct postgres_source *pg, const char *statement)
{
    const struct pg_query query = {.sql = statement};
    pg->unconfirmed++;
    if (pg_link_query(pg->listener, &query, on_listening, pg) != RESULT_OK) {
        pg->unconfirmed = 0;
        pg_link_reject(pg->listener, "out of memory");
    }
}

static void on_listener_up(void *context)
{
    struct postgres_source *pg = context;
    pg->unconfirmed = 0;
    listen_on(pg, "listen " DOORBELL);
    listen_on(pg, pg->listen_self);
    for (char **listen = pg->listens; *listen; listen++) {
        listen_on(pg, *listen);
    }
}

static void on_listener_down(void *context, const char *reason)
{
    struct postgres_source *pg = context;
    (void)reason; /* logged by the link, told by report() */
    pg->is_listening = false;
    pg->is_heartbeat_sent = false;
    pg->unconfirmed = 0;
    metric_set(pg->listening, 0);
    loop_timer_disarm(pg->heartbeat);
    report(pg);
}

static void on_notify(void *context, const char *channel, const char *payload)
{
    struct postgres_source *pg = context;
    if (pg->is_stopped) {
        return;
    }
    if (strcmp(channel, DOORBELL) == 0) {
        postgres_state_wake(pg->state);
    } else if (strcmp(channel, pg->self) == 0) {
        pg->is_heartbeat_sent = false;
        loop_timer_arm(pg->heartbeat, pg->options.heartbeat_ms);
    } else {
        postgres_notifications_hear(pg->notifications, channel, payload);
    }
}

/* ---- by the clock ---- */

static void on_purged(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct postgres_source *pg = context;
    (void)result;
    pg->is_purging = false;
    if (failure && *failure->sqlstate && !*pg->problem) {
        log_warn("postgres purge failed, continuing", LOG_TEXT("reason", failure->message));
    }
}

static void purge(struct postgres_source *pg)
{
    uint64_t now_ms = pg->options.now().monotonic_ms;
    if (pg->is_purging || !pg_link_is_up(pg->listener) || now_ms - pg->purged_at_ms < PURGE_EVERY_MS) {
        return;
    }
    const struct pg_query query = {.sql = "select sophia.purge()"};
    pg->purged_at_ms = now_ms;
    pg->is_purging = pg_link_query(pg->listener, &query, on_purged, pg) == RESULT_OK;
}

static void on_tick(void *context)
{
    struct postgres_source *pg = context;
    loop_timer_arm(pg->tick, TICK_MS);
    share_out(pg);
    purge(pg);
    report(pg);
}

/* ---- life ---- */

static enum result postgres_start(struct source *source)
{
    struct postgres_source *pg = (struct postgres_source *)source;
    pipeline_report_source(pg->options.pipeline, NAME, false, "not connected yet");
    pg_link_start(pg->listener);
    pg_link_start(pg->follower);
    loop_timer_arm(pg->tick, TICK_MS);
    return RESULT_OK;
}

static void postgres_stop(struct source *source)
{
    struct postgres_source *pg = (struct postgres_source *)source;
    pg->is_stopped = true;
    share_out(pg);
    postgres_state_stop(pg->state);
    postgres_notifications_stop(pg->notifications);
    loop_timer_disarm(pg->tick);
    loop_timer_disarm(pg->heartbeat);
}

static void postgres_destroy(struct source *source)
{
    struct postgres_source *pg = (struct postgres_source *)source;
    if (!pg) {
        return;
    }
    pg->is_stopped = true;
    if (pg->state) {
        postgres_state_stop(pg->state);
    }
    pg_link_destroy(pg->listener); /* what is in flight ends here */
    pg_link_destroy(pg->follower);
    postgres_state_destroy(pg->state);
    postgres_rollups_destroy(pg->rollups);
    postgres_notifications_destroy(pg->notifications);
    loop_timer_destroy(pg->tick);
    loop_timer_destroy(pg->heartbeat);
    for (char **listen = pg->listens; listen && *listen; listen++) {
        free(*listen);
    }
    free(pg->listens);
    free(pg);
}

static const struct source_ops postgres_ops = {
    .name = NAME,
    .start = postgres_start,
    .stop = postgres_stop,
    .destroy = postgres_destroy,
};

static bool is_named_before(const struct postgres_source_options *options, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(options->mappings[i].channel, options->mappings[index].channel) == 0) {
            return true;
        }
    }
    return false;
}

/* "listen "name"", a quote in the name doubled. */
static char *listen_statement(const char *channel)
{
    char *text = malloc(2 * strlen(channel) + sizeof "listen \"\"");
    if (!text) {
        return NULL;
    }
    char *to = stpcpy(text, "listen \"");
    for (const char *from = channel; *from; from++) {
        *to++ = *from;
        if (*from == '"') {
            *to++ = '"';
        }
    }
    (void)stpcpy(to, "\"");
    return text;
}

static bool build_listens(struct postgres_source *pg)
{
    const struct postgres_source_options *options = &pg->options;
    uint64_t word = random_u64();
    (void)snprintf(pg->self, sizeof pg->self, "sophia_self_%016" PRIx64, word);
    (void)snprintf(pg->listen_self, sizeof pg->listen_self, "listen %s", pg->self);
    pg->listens = calloc(options->mapping_count + 1, sizeof *pg->listens);
    size_t count = 0;
    for (size_t i = 0; pg->listens && i < options->mapping_count; i++) {
        if (!is_named_before(options, i) &&
            !(pg->listens[count++] = listen_statement(options->mappings[i].channel))) {
            return false;
        }
    }
    return pg->listens != NULL;
}

static bool build_links(struct postgres_source *pg)
{
    const struct postgres_source_options *options = &pg->options;
    const struct pg_link_options listen = {
        .name = "listen", .server = &pg->server, .max_queued = MAX_QUEUED + options->mapping_count};
    const struct pg_link_options follow = {.name = "follow", .server = &pg->server, .max_queued = 4};
    const struct pg_link_events on_listen = {
        .context = pg, .on_up = on_listener_up, .on_down = on_listener_down, .on_notify = on_notify};
    const struct pg_link_events on_follow = {
        .context = pg, .on_up = on_follower_up, .on_down = on_follower_down};
    pg->listener = pg_link_create(options->loop, options->metrics, &listen, &on_listen);
    pg->follower = pg_link_create(options->loop, options->metrics, &follow, &on_follow);
    return pg->listener && pg->follower;
}

static bool build_parts(struct postgres_source *pg)
{
    const struct postgres_source_options *options = &pg->options;
    const struct postgres_state_options state = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .table = options->table,
        .poll_min_ms = options->poll_min_ms,
        .poll_max_ms = options->poll_max_ms,
        .now = options->now,
        .context = pg,
        .on_lineage = on_lineage,
        .on_relation = on_relation,
        .on_all_relations = on_all_relations,
        .on_problem = on_problem,
        .owns = owns,
    };
    const struct postgres_rollups_options rollups = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .pool = options->pool,
        .metrics = options->metrics,
        .now = options->now,
        .on_other_lineage = on_other_lineage,
        .context = pg,
    };
    const struct postgres_notifications_options notifications = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .pool = options->pool,
        .cache = options->cache,
        .metrics = options->metrics,
        .mappings = options->mappings,
        .mapping_count = options->mapping_count,
        .now = options->now,
        .context = pg,
        .on_other_lineage = on_other_lineage,
    };
    pg->state = postgres_state_create(&state);
    pg->rollups = options->has_rollups ? postgres_rollups_create(&rollups) : NULL;
    pg->notifications = postgres_notifications_create(&notifications);
    return pg->state && (pg->rollups || !options->has_rollups) && pg->notifications;
}

struct source *postgres_source_create(const struct postgres_source_options *options)
{
    struct postgres_source *pg = calloc(1, sizeof *pg);
    if (!pg) {
        return NULL;
    }
    pg->source.ops = &postgres_ops;
    pg->options = *options;
    pg->server = *options->server;
    if (pg->server.statement_timeout_ms > STATEMENT_TIMEOUT_MAX_MS) {
        pg->server.statement_timeout_ms = STATEMENT_TIMEOUT_MAX_MS;
    }
    pg->options.heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : POSTGRES_HEARTBEAT_MS;
    pg->listening = metrics_gauge(options->metrics, "gw_pg_listening", NULL,
                                  "1: notifications are heard. 0: values come by polling.");
    pg->heartbeats_lost = metrics_counter(options->metrics, "gw_pg_heartbeats_lost_total", NULL,
                                          "Notifications to ourselves that did not come back.");
    pg->tick = loop_timer_create(options->loop, on_tick, pg);
    pg->heartbeat = loop_timer_create(options->loop, on_heartbeat_due, pg);
    if (!pg->tick || !pg->heartbeat || !build_listens(pg) || !build_links(pg) || !build_parts(pg)) {
        postgres_destroy(&pg->source);
        return NULL;
    }
    postgres_state_set_link(pg->state, pg->follower);
    return &pg->source;
}

struct pg_link *postgres_source_listener(struct source *source)
{
    return ((struct postgres_source *)source)->listener;
}

struct pg_link *postgres_source_follower(struct source *source)
{
    return ((struct postgres_source *)source)->follower;
}
