/**
 * One connection to PostgreSQL that keeps itself alive. Hides libpq.
 *
 * Non-blocking throughout: names are resolved off the loop, connecting and
 * queries are polled. One query is in flight, others wait in order. Reconnects
 * with full jitter. Refuses a standby and a server older than 13 with a reason
 * that says so. Every connection gets the TCP settings of docs/postgres.md ("Half-open links"):
 * keepalives alone do not find a dead peer while data is unacknowledged, tcp_user_timeout does.
 *
 * Loop: loop thread. No callback runs before the call that causes it has returned,
 *       except on_result from pg_link_destroy().
 */
#ifndef SOPHIA_IO_PG_LINK_H
#define SOPHIA_IO_PG_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "io/loop.h"
#include "protocol/result.h"

struct pg_link;
struct pg_result;

/** Where and how. Borrowed texts outlive every link made from it. */
struct pg_server {
    const char *conninfo; /* URI or keywords, as libpq takes it. A secret: never logged */
    uint32_t connect_timeout_ms;
    uint32_t statement_timeout_ms; /* the server's; ours is half as long again, then the link is dead */
    uint32_t reconnect_base_ms, reconnect_limit_ms;
};

struct pg_link_options {
    const char *name; /* "listen", "pool-1": in application_name and the log */
    const struct pg_server *server;
    size_t max_queued; /* queries waiting; one more is refused */
};

struct pg_link_events {
    void *context;
    void (*on_up)(void *context);
    /** reason: one line for people, names the object and the remedy, never the password. Also after each failed attempt. */
    void (*on_down)(void *context, const char *reason);
    /** NULL: for links that do not LISTEN. */
    void (*on_notify)(void *context, const char *channel, const char *payload);
};

struct pg_query {
    const char
        *sql; /* one statement; must live until the query was sent, so use string literals or owned text */
    size_t param_count;
    const char *const *params; /* text form, NULL = null; copied */
    /** For what is asked many times a second: NULL, or the name under which a connection parses and plans the statement once. Lives as sql does. */
    const char *prepared_as;
};

/** Why a query gave no result. */
struct pg_failure {
    enum result
        result; /* UNAVAILABLE: connection, time-out, shutdown, resources (classes 08, 53, 57, 58, 40); FORBIDDEN: 42501, 28; UNKNOWN_TYPE: a missing object (42P01, 42703, 42883, 3F000); MALFORMED: the rest */
    char sqlstate[6];    /* "" when there is none */
    const char *message; /* first line, one line */
};

/** Exactly one of result and failure is set. Both are borrowed for the call. */
typedef void pg_result_fn(void *context, const struct pg_result *result, const struct pg_failure *failure);

struct pg_link *pg_link_create(struct loop *loop, struct metrics *metrics,
                               const struct pg_link_options *options, const struct pg_link_events *events);
void pg_link_start(struct pg_link *link);
bool pg_link_is_up(const struct pg_link *link);
const char *pg_link_reason(const struct pg_link *link);
/** Queries waiting or in flight. */
size_t pg_link_load(const struct pg_link *link);
/** Drop the connection and dial anew, told as down with this reason: for an owner that found it deaf. */
void pg_link_reject(struct pg_link *link, const char *reason);
/** Waiting queries hear UNAVAILABLE from here. NULL is allowed. Not from one of its own callbacks. */
void pg_link_destroy(struct pg_link *link);

/** Result: UNAVAILABLE while down, FULL, NO_MEMORY; on_result is then not called. */
MUST_CHECK enum result pg_link_query(struct pg_link *link, const struct pg_query *query,
                                     pg_result_fn *on_result, void *context);

/* ---- reading a result ---- */

size_t pg_row_count(const struct pg_result *result);
size_t pg_column_count(const struct pg_result *result);
const char *pg_column_name(const struct pg_result *result, size_t column);
/** Column index by name, or -1. */
int pg_column(const struct pg_result *result, const char *name);
/** The type's OID, to tell numbers, json, arrays and text apart. */
uint32_t pg_column_type(const struct pg_result *result, size_t column);
/** Text form; NULL when null. out_length may be NULL. */
const char *pg_text(const struct pg_result *result, size_t row, size_t column, size_t *out_length);

#endif
