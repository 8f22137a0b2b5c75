/* One connection to PostgreSQL, against a real server and a fake one: what it promises, and what it says when it fails. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop_handles.h"
#include "io/pg_link.h"
#include "pg_server.h"
#include "../support/allocations.h"

#define SECRET "hunter2secret"

struct fixture {
    struct pg_server_process process;
    struct loop *loop;
    struct metrics *metrics;
    struct loop_timer *tick; /* so that a turn ends */
    struct pg_server server;
    struct pg_link *link;
    char conninfo[256];
    unsigned ups, downs, notices, answers;
    char reason[512];
    char channel[64], payload[64];
    char text[256]; /* first cell of the last result */
    size_t rows;
    struct pg_failure failure; /* of the last failure; its message is in text */
    enum result again;         /* of a query asked from within a result */
    int log;                   /* what was logged: the file behind standard error */
    int terminal;
};

static void on_tick(void *context)
{
    struct fixture *f = context;
    loop_timer_arm(f->tick, 5);
}

static void on_up(void *context)
{
    ((struct fixture *)context)->ups++;
}

static void on_down(void *context, const char *reason)
{
    struct fixture *f = context;
    f->downs++;
    (void)snprintf(f->reason, sizeof f->reason, "%s", reason);
    assert_string_equal(pg_link_reason(f->link), reason);
}

static void on_notify(void *context, const char *channel, const char *payload)
{
    struct fixture *f = context;
    f->notices++;
    (void)snprintf(f->channel, sizeof f->channel, "%s", channel);
    (void)snprintf(f->payload, sizeof f->payload, "%s", payload);
}

static void on_result(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct fixture *f = context;
    assert_true((result == NULL) != (failure == NULL));
    f->answers++;
    if (failure) {
        f->failure = *failure;
        (void)snprintf(f->text, sizeof f->text, "%s", failure->message);
        return;
    }
    f->failure = (struct pg_failure){.result = RESULT_OK};
    f->rows = pg_row_count(result);
    const char *text = f->rows > 0 && pg_column_count(result) > 0 ? pg_text(result, 0, 0, NULL) : "";
    (void)snprintf(f->text, sizeof f->text, "%s", text ? text : "null");
}

static bool turn_until(struct fixture *f, const unsigned *counter, unsigned at_least, unsigned within_ms)
{
    uint64_t end = clock_monotonic_ms() + within_ms;
    while (*counter < at_least && clock_monotonic_ms() < end) {
        loop_run_once(f->loop, true);
    }
    return *counter >= at_least;
}

static struct pg_server_process shared_process;

static int start_server(void **state)
{
    (void)state;
    pg_server_start(&shared_process);
    pg_server_sql(&shared_process, "create role member login password '" SECRET "';"
                                   "create role outsider login password '" SECRET "';"
                                   "create role crowded login password '" SECRET "' connection limit 0;"
                                   "create table locked_away(a int);");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    pg_server_remove(&shared_process);
    return 0;
}

static int start(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    *f = (struct fixture){.loop = loop_create(), .metrics = metrics_create()};
    f->process = shared_process;
    f->tick = loop_timer_create(f->loop, on_tick, f);
    assert_non_null(f->tick);
    loop_timer_arm(f->tick, 0);
    char name[] = "/tmp/sophia-log-XXXXXX";
    f->log = mkstemp(name);
    assert_true(f->log >= 0);
    (void)unlink(name);
    (void)fflush(stderr);
    f->terminal = dup(STDERR_FILENO);
    (void)dup2(f->log, STDERR_FILENO);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    pg_link_destroy(f->link);
    loop_timer_destroy(f->tick);
    loop_destroy(f->loop);
    metrics_destroy(f->metrics);
    (void)dup2(f->terminal, STDERR_FILENO);
    close(f->terminal);
    close(f->log);
    return 0;
}

static void link_create(struct fixture *f)
{
    f->server = (struct pg_server){
        .conninfo = f->conninfo,
        .connect_timeout_ms = 1000,
        .statement_timeout_ms = 400,
        .reconnect_base_ms = 20,
        .reconnect_limit_ms = 100,
    };
    const struct pg_link_options options = {.name = "test", .server = &f->server, .max_queued = 3};
    const struct pg_link_events events = {
        .context = f, .on_up = on_up, .on_down = on_down, .on_notify = on_notify};
    f->link = pg_link_create(f->loop, f->metrics, &options, &events);
    assert_non_null(f->link);
    pg_link_start(f->link);
}

static void link_to(struct fixture *f, const char *user, const char *database)
{
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://%s:" SECRET "@127.0.0.1:%u/%s", user,
                   f->process.port, database);
    link_create(f);
}

static void link_up(struct fixture *f)
{
    link_to(f, "member", "postgres");
    if (!turn_until(f, &f->ups, 1, 5000)) {
        fail_msg("the link did not come up: %s", f->reason);
    }
    assert_string_equal(pg_link_reason(f->link), "");
    assert_true(pg_link_is_up(f->link));
}

static void ask(struct fixture *f, const char *sql)
{
    const struct pg_query query = {.sql = sql};
    assert_int_equal(pg_link_query(f->link, &query, on_result, f), RESULT_OK);
}

/* What was logged so far holds `wanted`, and never the password. */
static void assert_logged(const struct fixture *f, const char *wanted)
{
    static char log[65536];
    ssize_t length = pread(f->log, log, sizeof log - 1, 0);
    assert_true(length >= 0);
    log[length] = '\0';
    if (!strstr(log, wanted)) {
        fail_msg("not logged: %s\nin: %s", wanted, log);
    }
    assert_null(strstr(log, SECRET));
}

static void assert_down_with(struct fixture *f, const char *const *parts)
{
    assert_true(turn_until(f, &f->downs, 2, 5000)); /* it keeps trying */
    assert_int_equal(f->ups, 0);
    for (size_t i = 0; parts[i]; i++) {
        if (!strstr(f->reason, parts[i])) {
            fail_msg("no \"%s\" in: %s", parts[i], f->reason);
        }
        assert_logged(f, parts[i]);
    }
    assert_null(strstr(f->reason, SECRET));
    assert_false(pg_link_is_up(f->link));
    const struct pg_query query = {.sql = "select 1"};
    assert_int_equal(pg_link_query(f->link, &query, on_result, f), RESULT_UNAVAILABLE);
}

/* ---- queries ---- */

static void on_columns(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct fixture *f = context;
    assert_null(failure);
    assert_int_equal(pg_row_count(result), 1);
    assert_int_equal(pg_column_count(result), 3);
    assert_int_equal(pg_column(result, "Number"), 0);
    assert_int_equal(pg_column(result, "number"), -1);
    assert_string_equal(pg_column_name(result, 1), "words");
    assert_int_equal(pg_column_type(result, 0), 23); /* int4 */
    size_t length = 0;
    assert_string_equal(pg_text(result, 0, 1, &length), "it's \"ö\"");
    assert_int_equal(length, strlen("it's \"ö\""));
    assert_null(pg_text(result, 0, 2, NULL));
    f->answers++;
}

static void test_a_query_with_parameters_is_answered(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    const char *const params[] = {"42", "it's \"ö\"", NULL};
    const struct pg_query query = {.sql = "select $1::int as \"Number\", $2::text as words, $3::date as day",
                                   .param_count = 3,
                                   .params = params};
    assert_int_equal(pg_link_query(f->link, &query, on_columns, f), RESULT_OK);
    assert_int_equal(f->answers, 0); /* not before the call has returned */
    assert_true(turn_until(f, &f->answers, 1, 2000));
}

/* Asks under a name and waits for the answer, which is in f->text or f->failure. */
static void ask_prepared(struct fixture *f, const char *name, const char *sql)
{
    const char *const params[] = {"42"};
    const struct pg_query query = {.sql = sql, .param_count = 1, .params = params, .prepared_as = name};
    unsigned before = f->answers;
    f->failure = (struct pg_failure){.result = RESULT_OK};
    assert_int_equal(pg_link_query(f->link, &query, on_result, f), RESULT_OK);
    assert_true(turn_until(f, &f->answers, before + 1, 3000));
}

static void ask_and_wait(struct fixture *f, const char *sql)
{
    unsigned before = f->answers;
    ask(f, sql);
    assert_true(turn_until(f, &f->answers, before + 1, 3000));
}

static void assert_prepared(struct fixture *f, const char *names)
{
    ask_and_wait(f,
                 "select coalesce(string_agg(name, ' ' order by name), 'none') from pg_prepared_statements");
    assert_string_equal(f->text, names);
}

static void test_a_statement_with_a_name_is_prepared_once(void **state)
{
    struct fixture *f = *state;
    static const char sum[] = "select $1::int + (select count(*) from pg_prepared_statements)";
    link_up(f);
    for (unsigned i = 0; i < 3; i++) {
        ask_prepared(f, "sum", sum);
        assert_string_equal(f->text, "43");
    }
    assert_prepared(f, "sum");
    static const char *const more[] = {"a", "b", "c", "d", "e"}; /* more than there are places */
    for (unsigned i = 0; i < 5; i++) {
        ask_prepared(f, more[i], "select $1::text");
        assert_string_equal(f->text, "42");
    }
    assert_prepared(f, "a b c sum");
}

static void test_a_statement_that_cannot_be_prepared_fails_as_any_other(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    for (unsigned i = 0; i < 2; i++) {
        ask_prepared(f, "broken", "select * from nowhere where 1 = $1::int");
        assert_int_equal(f->failure.result, RESULT_UNKNOWN_TYPE);
        assert_string_equal(f->failure.sqlstate, "42P01");
    }
    ask_prepared(f, "fails", "select 1 / ($1::int - 42)");
    assert_string_equal(f->failure.sqlstate, "22012");
    ask_prepared(f, "fails", "select 1 / ($1::int - 42)");
    assert_string_equal(f->failure.sqlstate, "22012");
    assert_prepared(f, "fails");
    assert_int_equal(f->downs, 0);
}

/* As behind a pooler that gives each transaction another connection. */
static void test_a_lost_name_costs_no_answer(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask_prepared(f, "sum", "select $1::int + 1");
    ask_and_wait(f, "deallocate all");
    ask_prepared(f, "sum", "select $1::int + 1");
    assert_string_equal(f->text, "43");
    assert_int_equal(f->failure.result, RESULT_OK);
    assert_logged(f, "without prepared statements");
    ask_prepared(f, "sum", "select $1::int + 1");
    assert_string_equal(f->text, "43");
    assert_prepared(f, "none");
    pg_link_reject(f->link, "another connection"); /* may well keep names */
    assert_true(turn_until(f, &f->ups, 2, 5000));
    ask_prepared(f, "sum", "select $1::int + 1");
    assert_prepared(f, "sum");
}

static void test_a_name_that_is_taken_costs_no_answer(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask_and_wait(f, "prepare sum as select 'somebody else'");
    ask_prepared(f, "sum", "select $1::int + 1");
    assert_string_equal(f->text, "43");
}

static void ask_again(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct fixture *f = context;
    on_result(f, result, failure);
    const struct pg_query query = {.sql = "select 'nested'"};
    f->again = pg_link_query(f->link, &query, on_result, f);
}

static void test_queries_wait_in_order_and_the_queue_has_an_end(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    const struct pg_query first = {.sql = "select 'first'"};
    assert_int_equal(pg_link_query(f->link, &first, ask_again, f), RESULT_OK);
    ask(f, "select 2");
    ask(f, "select 3");
    ask(f, "select 4");
    assert_int_equal(pg_link_load(f->link), 4);
    assert_int_equal(pg_link_query(f->link, &first, on_result, f), RESULT_FULL);
    assert_true(turn_until(f, &f->answers, 1, 2000));
    assert_string_equal(f->text, "first");
    assert_int_equal(f->again, RESULT_FULL); /* three were waiting still */
    assert_true(turn_until(f, &f->answers, 4, 2000));
    assert_string_equal(f->text, "4");
    assert_int_equal(pg_link_load(f->link), 0);
}

static void test_failures_are_told_apart(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        enum result result;
        const char *sqlstate;
    } cases[] = {
        {"select * from nowhere", RESULT_UNKNOWN_TYPE, "42P01"},
        {"select a from locked_away", RESULT_FORBIDDEN, "42501"},
        {"select no_such_function()", RESULT_UNKNOWN_TYPE, "42883"},
        {"select nothing", RESULT_UNKNOWN_TYPE, "42703"},
        {"select 1/0", RESULT_MALFORMED, "22012"},
        {"select from where", RESULT_MALFORMED, "42601"},
        {"select 1; select 2", RESULT_MALFORMED, "42601"},
        {"select pg_sleep(5)", RESULT_UNAVAILABLE, "57014"}, /* statement_timeout */
    };
    link_up(f);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned before = f->answers;
        ask(f, cases[i].sql);
        assert_true(turn_until(f, &f->answers, before + 1, 3000));
        assert_int_equal(f->failure.result, cases[i].result);
        assert_string_equal(f->failure.sqlstate, cases[i].sqlstate);
        assert_null(strchr(f->text, '\n'));
    }
    assert_int_equal(f->downs, 0);
    ask(f, "select 'fine'");
    unsigned before = f->answers;
    assert_true(turn_until(f, &f->answers, before + 1, 2000));
    assert_string_equal(f->text, "fine");
}

static void test_every_session_is_set_up(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask(f,
        "select concat_ws('|', current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'), "
        "current_setting('TimeZone'), current_setting('client_encoding'), current_setting('application_name'), "
        "timestamptz '2026-11-21 10:00+01')");
    assert_true(turn_until(f, &f->answers, 1, 2000));
    assert_string_equal(f->text, "400ms|400ms|UTC|UTF8|sophia-gateway/test|2026-11-21 09:00:00+00");
}

/* The one socket of this process that leads to the server. */
static int socket_to(uint16_t port)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port) {
            return fd;
        }
    }
    return -1;
}

static int tcp_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static void test_half_open_links_are_found_by_the_kernel(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    int fd = socket_to(f->process.port);
    assert_true(fd >= 0);
    assert_int_equal(tcp_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(tcp_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 5);
    assert_int_equal(tcp_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 2);
    assert_int_equal(tcp_option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(tcp_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 4000);
}

static void test_notifications_arrive_on_an_idle_link(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask(f, "listen \"Bell\"");
    assert_true(turn_until(f, &f->answers, 1, 2000));
    pg_server_sql(&f->process, "notify \"Bell\", 'ding'");
    assert_true(turn_until(f, &f->notices, 1, 2000));
    assert_string_equal(f->channel, "Bell");
    assert_string_equal(f->payload, "ding");
}

static void test_copy_ends_the_link_instead_of_the_process(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask(f, "copy (select 1) to stdout");
    assert_true(turn_until(f, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "COPY"));
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
    assert_true(turn_until(f, &f->ups, 2, 2000));
}

/* ---- losing it ---- */

static void test_a_session_ended_by_the_server_comes_back(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    pg_server_sql(&f->process,
                  "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'member'");
    assert_true(turn_until(f, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "terminating connection"));
    assert_true(turn_until(f, &f->ups, 2, 2000));
    assert_string_equal(pg_link_reason(f->link), "");
}

static void test_all_queries_of_a_lost_link_hear_of_it(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask(f, "select pg_terminate_backend(pg_backend_pid())");
    ask(f, "select 2");
    ask(f, "select 3");
    assert_true(turn_until(f, &f->answers, 3, 2000));
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
    assert_true(turn_until(f, &f->downs, 1, 100));
}

static pid_t backend_of(struct fixture *f)
{
    unsigned before = f->answers;
    ask(f, "select pg_backend_pid()");
    assert_true(turn_until(f, &f->answers, before + 1, 2000));
    return atoi(f->text);
}

static void test_a_frozen_server_is_given_up_on(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    pid_t backend = backend_of(f);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    uint64_t since = clock_monotonic_ms();
    ask(f, "select 1");
    bool is_down = turn_until(f, &f->downs, 1, 3000);
    uint64_t took = clock_monotonic_ms() - since;
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_true(is_down);
    assert_true(took >= 590 && took < 1500); /* 1.5 times the statement_timeout */
    assert_non_null(strstr(f->reason, "no answer"));
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
}

static void test_a_rejected_link_dials_anew(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    pg_link_reject(f->link, "deaf");
    assert_int_equal(f->downs, 0); /* not before the call has returned */
    assert_false(pg_link_is_up(f->link));
    assert_true(turn_until(f, &f->downs, 1, 1000));
    assert_non_null(strstr(f->reason, "deaf"));
    assert_true(turn_until(f, &f->ups, 2, 2000));
}

static void test_destroying_a_link_answers_its_queries(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    ask(f, "select pg_sleep(0.2)");
    ask(f, "select 2");
    pg_link_destroy(f->link);
    f->link = NULL;
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->failure.result, RESULT_UNAVAILABLE);
}

static void test_a_restart_of_the_server_heals(void **state)
{
    struct fixture *f = *state;
    link_up(f);
    pg_server_halt(&shared_process);
    assert_true(turn_until(f, &f->downs, 2, 5000));
    assert_non_null(strstr(f->reason, "refused"));
    pg_server_resume(&shared_process);
    assert_true(turn_until(f, &f->ups, 2, 5000));
}

/* ---- reasons ---- */

static void test_refused(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://member:" SECRET "@127.0.0.1:1/db");
    link_create(f);
    assert_down_with(f, (const char *[]){"connection refused", "member@127.0.0.1:1/db", "running", NULL});
}

static void test_wrong_password(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo,
                   "host=127.0.0.1 port=%u user=member password=not" SECRET " dbname=postgres",
                   f->process.port);
    link_create(f);
    assert_down_with(
        f, (const char *[]){"wrong password", "member@127.0.0.1", "/postgres", "postgres.url_file", NULL});
}

static void test_password_missing(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://member@127.0.0.1:%u/postgres",
                   f->process.port);
    link_create(f);
    assert_down_with(f, (const char *[]){"password is needed", "member@127.0.0.1", "postgres.url", NULL});
}

static void test_no_such_database(void **state)
{
    struct fixture *f = *state;
    link_to(f, "member", "nowhere");
    assert_down_with(f, (const char *[]){"no such database", "/nowhere", "create it", NULL});
}

static void test_not_in_pg_hba(void **state)
{
    struct fixture *f = *state;
    link_to(f, "outsider", "postgres");
    assert_down_with(f, (const char *[]){"outsider@127.0.0.1", "pg_hba.conf", "reload", NULL});
}

static void test_too_many_connections(void **state)
{
    struct fixture *f = *state;
    link_to(f, "crowded", "postgres");
    assert_down_with(f, (const char *[]){"too many connections", "crowded@", "pool_size", NULL});
}

static void test_host_not_found(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://member:" SECRET "@no-such-host.invalid/db");
    link_create(f);
    assert_down_with(f, (const char *[]){"host name not found", "member@no-such-host.invalid:5432/db", NULL});
}

static void test_unescaped_password_is_not_repeated(void **state)
{
    struct fixture *f = *state;
    static const char *const urls[] = {"postgres://member:a/" SECRET "@127.0.0.1/db",
                                       "postgres://member:a@" SECRET "@127.0.0.1/db",
                                       ("host=127.0.0.1 password=a " SECRET)};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        (void)snprintf(f->conninfo, sizeof f->conninfo, "%s", urls[i]);
        f->downs = 0;
        link_create(f);
        assert_down_with(f, (const char *[]){"postgres.url", "%XX", NULL});
        pg_link_destroy(f->link);
        f->link = NULL;
    }
}

static void test_a_standby_is_refused(void **state)
{
    struct fixture *f = *state;
    pg_server_restart(&shared_process, true);
    link_to(f, "member", "postgres");
    assert_down_with(f, (const char *[]){"standby", "member@127.0.0.1", "primary", NULL});
    pg_server_restart(&shared_process, false);
    assert_true(turn_until(f, &f->ups, 1, 5000));
}

static void test_hosts_take_turns(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo,
                   "host=127.0.0.1,127.0.0.1 port=1,%u user=member password=" SECRET " dbname=postgres",
                   f->process.port);
    link_create(f);
    assert_true(turn_until(f, &f->ups, 1, 3000));
    assert_int_equal(f->downs, 1);
    assert_non_null(strstr(f->reason, "refused"));
}

static void test_names_are_looked_up(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://member:" SECRET "@localhost:%u/postgres",
                   f->process.port);
    link_create(f);
    assert_true(turn_until(f, &f->ups, 1, 3000));
}

static void test_a_unix_socket_will_do(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "host=%s port=%u user=postgres dbname=postgres",
                   f->process.directory, f->process.port);
    link_create(f);
    assert_true(turn_until(f, &f->ups, 1, 3000));
}

static void link_to_fake(struct fixture *f, const struct fake_pg *fake)
{
    (void)snprintf(f->conninfo, sizeof f->conninfo,
                   "postgres://member:" SECRET "@127.0.0.1:%u/db?sslmode=disable", fake->port);
    link_create(f);
}

static void test_an_old_server_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char hello[] = "R\0\0\0\x08\0\0\0\0"
                                "S\0\0\0\x18server_version\00012.3\0"
                                "Z\0\0\0\x05I";
    struct fake_pg fake;
    fake_pg_start(&fake, hello, sizeof hello - 1);
    link_to_fake(f, &fake);
    assert_down_with(f,
                     (const char *[]){"PostgreSQL 12 is too old", "13 or newer", "member@127.0.0.1", NULL});
    pg_link_destroy(f->link);
    f->link = NULL;
    fake_pg_stop(&fake);
}

static void test_a_server_that_never_answers_is_given_up_on(void **state)
{
    struct fixture *f = *state;
    struct fake_pg fake;
    fake_pg_start(&fake, "", 0);
    link_to_fake(f, &fake);
    assert_down_with(f, (const char *[]){"connecting took too long", "member@127.0.0.1", NULL});
    pg_link_destroy(f->link);
    f->link = NULL;
    fake_pg_stop(&fake);
}

static void test_something_else_on_that_port_is_told(void **state)
{
    struct fixture *f = *state;
    struct fake_pg fake;
    fake_pg_start(&fake, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    link_to_fake(f, &fake);
    assert_down_with(f, (const char *[]){"member@127.0.0.1", NULL});
    pg_link_destroy(f->link);
    f->link = NULL;
    fake_pg_stop(&fake);
}

static void test_a_down_server_is_one_line_in_the_log(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->conninfo, sizeof f->conninfo, "postgres://member@127.0.0.1:1/db");
    link_create(f);
    assert_true(turn_until(f, &f->downs, 6, 3000));
    assert_true(lseek(f->log, 0, SEEK_END) < 600);
}

static void test_memory_may_run_out_at_any_allocation(void **state)
{
    struct fixture *f = *state;
    f->server =
        (struct pg_server){.conninfo = "postgres://member@127.0.0.1:1/db", .connect_timeout_ms = 1000};
    const struct pg_link_options options = {.name = "test", .server = &f->server, .max_queued = 3};
    const struct pg_link_events events = {.context = f, .on_up = on_up, .on_down = on_down};
    bool failed = true;
    for (int i = 0; failed; i++) {
        allocations_fail_one_after(i);
        struct pg_link *link = pg_link_create(f->loop, f->metrics, &options, &events);
        failed = allocations_recover();
        assert_true(failed || link);
        pg_link_destroy(link);
        assert_true(i < 100);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(test_a_query_with_parameters_is_answered),
        CASE(test_a_statement_with_a_name_is_prepared_once),
        CASE(test_a_statement_that_cannot_be_prepared_fails_as_any_other),
        CASE(test_a_lost_name_costs_no_answer),
        CASE(test_a_name_that_is_taken_costs_no_answer),
        CASE(test_queries_wait_in_order_and_the_queue_has_an_end),
        CASE(test_failures_are_told_apart),
        CASE(test_every_session_is_set_up),
        CASE(test_half_open_links_are_found_by_the_kernel),
        CASE(test_notifications_arrive_on_an_idle_link),
        CASE(test_copy_ends_the_link_instead_of_the_process),
        CASE(test_a_session_ended_by_the_server_comes_back),
        CASE(test_all_queries_of_a_lost_link_hear_of_it),
        CASE(test_a_frozen_server_is_given_up_on),
        CASE(test_a_rejected_link_dials_anew),
        CASE(test_destroying_a_link_answers_its_queries),
        CASE(test_a_restart_of_the_server_heals),
        CASE(test_refused),
        CASE(test_wrong_password),
        CASE(test_password_missing),
        CASE(test_no_such_database),
        CASE(test_not_in_pg_hba),
        CASE(test_too_many_connections),
        CASE(test_host_not_found),
        CASE(test_unescaped_password_is_not_repeated),
        CASE(test_a_standby_is_refused),
        CASE(test_hosts_take_turns),
        CASE(test_names_are_looked_up),
        CASE(test_a_unix_socket_will_do),
        CASE(test_an_old_server_is_refused),
        CASE(test_a_server_that_never_answers_is_given_up_on),
        CASE(test_something_else_on_that_port_is_told),
        CASE(test_a_down_server_is_one_line_in_the_log),
        CASE(test_memory_may_run_out_at_any_allocation),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
