/*
 * Connections that are all kept open, a queue in front of them, and a breaker in front of the queue. A query that
 * fails because its connection went is not counted on its own: the connection's end is one failure, however
 * many queries it took along.
 */
#include "io/pg_pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "io/pg_params.h"

#define MAX_CONNECTIONS 64

struct connection {
    struct pg_pool *pool;
    struct pg_link *link;
    struct query *query; /* at work; NULL: free, or down */
    char name[16];
};

struct query {
    struct list_node node;
    struct pg_pool *pool;
    struct connection *connection; /* NULL while waiting */
    pg_result_fn *on_result;
    void *context;
    uint64_t since_ms;
    const char *sql;
    size_t param_count;
    const char *params[]; /* their text follows */
};

enum refusal { REFUSED_DOWN, REFUSED_BREAKER, REFUSED_FULL, REFUSAL_COUNT };

struct pg_pool {
    struct pg_pool_options options;
    struct connection *connections; /* options.size */
    struct breaker breaker;
    struct list_node waiting;
    size_t waiting_count;
    size_t busy_count;
    bool is_stopping;
    struct metric *use, *waiting_gauge, *refused[REFUSAL_COUNT], *seconds;
};

static void show(struct pg_pool *pool)
{
    metric_set(pool->use, pg_pool_use(pool));
    metric_set(pool->waiting_gauge, (double)pool->waiting_count);
}

static struct query *query_create(struct pg_pool *pool, const struct pg_query *from, pg_result_fn *on_result,
                                  void *context)
{
    struct query *query = calloc(1, sizeof *query + pg_params_size(from));
    if (!query) {
        return NULL;
    }
    *query = (struct query){
        .pool = pool,
        .on_result = on_result,
        .context = context,
        .since_ms = pool->options.now_ms(),
        .sql = from->sql,
        .param_count = from->param_count,
    };
    list_init(&query->node);
    pg_params_copy(from, query->params);
    return query;
}

static void query_end(struct query *query, const struct pg_result *result, const struct pg_failure *failure)
{
    struct pg_pool *pool = query->pool;
    metric_observe(pool->seconds, (double)(pool->options.now_ms() - query->since_ms) / 1000);
    query->on_result(query->context, result, failure);
    free(query);
}

static void query_fail(struct query *query, enum result result, const char *message)
{
    const struct pg_failure failure = {.result = result, .message = message};
    query_end(query, NULL, &failure);
}

static void count(struct pg_pool *pool, const struct pg_failure *failure)
{
    uint64_t now_ms = pool->options.now_ms();
    if (!failure || failure->result != RESULT_UNAVAILABLE) {
        breaker_succeed(&pool->breaker, now_ms);
    } else if (*failure->sqlstate) {
        breaker_fail(&pool->breaker, now_ms);
    }
}

static void serve_waiting(struct pg_pool *pool);

static void on_result(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct query *query = context;
    struct pg_pool *pool = query->pool;
    query->connection->query = NULL;
    pool->busy_count--;
    if (!pool->is_stopping) {
        count(pool, failure);
    }
    query_end(query, result, failure);
    serve_waiting(pool);
    show(pool);
}

static struct connection *free_connection(const struct pg_pool *pool)
{
    for (size_t i = 0; i < pool->options.size; i++) {
        struct connection *connection = &pool->connections[i];
        if (!connection->query && pg_link_is_up(connection->link)) {
            return connection;
        }
    }
    return NULL;
}

/* Result: as pg_link_query(); the query is still the caller's when it is not OK. */
static enum result query_send(struct query *query, struct connection *connection)
{
    const struct pg_query plain = {
        .sql = query->sql, .param_count = query->param_count, .params = query->params};
    enum result result = pg_link_query(connection->link, &plain, on_result, query);
    if (result == RESULT_OK) {
        query->connection = connection;
        connection->query = query;
        query->pool->busy_count++;
    }
    return result;
}

static void serve_waiting(struct pg_pool *pool)
{
    while (!pool->is_stopping && pool->waiting_count > 0) {
        struct connection *connection = free_connection(pool);
        if (!connection) {
            return;
        }
        struct query *query = LIST_ITEM(pool->waiting.next, struct query, node);
        list_remove(&query->node);
        pool->waiting_count--;
        enum result result = query_send(query, connection);
        if (result != RESULT_OK) {
            query_fail(query, result, result_name(result));
        }
    }
}

static void fail_waiting(struct pg_pool *pool, const char *reason)
{
    struct list_node failing;
    list_init(&failing);
    while (!list_is_empty(&pool->waiting)) {
        struct list_node *first = pool->waiting.next;
        list_remove(first);
        list_append(&failing, first);
    }
    pool->waiting_count = 0;
    while (!list_is_empty(&failing)) {
        struct query *query = LIST_ITEM(failing.next, struct query, node);
        list_remove(&query->node);
        query_fail(query, RESULT_UNAVAILABLE, reason);
    }
}

static void on_up(void *context)
{
    struct connection *connection = context;
    struct pg_pool *pool = connection->pool;
    breaker_succeed(&pool->breaker, pool->options.now_ms());
    serve_waiting(pool);
    show(pool);
}

static void on_down(void *context, const char *reason)
{
    struct connection *connection = context;
    struct pg_pool *pool = connection->pool;
    breaker_fail(&pool->breaker, pool->options.now_ms());
    if (!pg_pool_is_up(pool)) {
        fail_waiting(pool, reason);
    }
    show(pool);
}

static bool connection_open(struct pg_pool *pool, struct loop *loop, struct metrics *metrics, size_t index)
{
    struct connection *connection = &pool->connections[index];
    connection->pool = pool;
    (void)snprintf(connection->name, sizeof connection->name, "pool-%u", (unsigned)(index + 1) % 1000);
    const struct pg_link_options options = {
        .name = connection->name, .server = pool->options.server, .max_queued = 1};
    const struct pg_link_events events = {.context = connection, .on_up = on_up, .on_down = on_down};
    connection->link = pg_link_create(loop, metrics, &options, &events);
    return connection->link != NULL;
}

static void register_metrics(struct pg_pool *pool, struct metrics *metrics)
{
    static const char *const reasons[REFUSAL_COUNT] = {"reason=\"down\"", "reason=\"breaker\"",
                                                       "reason=\"full\""};
    pool->use = metrics_gauge(metrics, "gw_pool_use", NULL, "Share of the pool's connections at work.");
    pool->waiting_gauge =
        metrics_gauge(metrics, "gw_pool_waiting", NULL, "Queries waiting for a free connection.");
    pool->seconds = metrics_histogram(metrics, "gw_pg_query_seconds", NULL,
                                      "Time from asking the pool to the answer, waiting included.",
                                      METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    for (size_t i = 0; i < REFUSAL_COUNT; i++) {
        pool->refused[i] = metrics_counter(metrics, "gw_pool_refused_total", reasons[i],
                                           "Queries that the pool did not take.");
    }
}

struct pg_pool *pg_pool_create(struct loop *loop, struct metrics *metrics,
                               const struct pg_pool_options *options)
{
    assert(options->size > 0 && options->size <= MAX_CONNECTIONS);
    struct pg_pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        return NULL;
    }
    pool->options = *options;
    list_init(&pool->waiting);
    breaker_init(&pool->breaker, &options->breaker);
    register_metrics(pool, metrics);
    pool->connections = calloc(options->size, sizeof *pool->connections);
    if (!pool->connections) {
        goto fail;
    }
    for (size_t i = 0; i < options->size; i++) {
        if (!connection_open(pool, loop, metrics, i)) {
            goto fail;
        }
    }
    return pool;

fail:
    pg_pool_destroy(pool);
    return NULL;
}

void pg_pool_start(struct pg_pool *pool)
{
    for (size_t i = 0; i < pool->options.size; i++) {
        pg_link_start(pool->connections[i].link);
    }
}

void pg_pool_destroy(struct pg_pool *pool)
{
    if (!pool) {
        return;
    }
    pool->is_stopping = true;
    for (size_t i = 0; pool->connections && i < pool->options.size; i++) {
        pg_link_destroy(pool->connections[i].link); /* its query ends here */
        pool->connections[i].link = NULL;
    }
    fail_waiting(pool, "stopping");
    free(pool->connections);
    free(pool);
}

bool pg_pool_is_up(const struct pg_pool *pool)
{
    for (size_t i = 0; !pool->is_stopping && i < pool->options.size; i++) {
        if (pg_link_is_up(pool->connections[i].link)) {
            return true;
        }
    }
    return false;
}

const struct breaker *pg_pool_breaker(const struct pg_pool *pool)
{
    return &pool->breaker;
}

double pg_pool_use(const struct pg_pool *pool)
{
    return (double)pool->busy_count / (double)pool->options.size;
}

static enum result refuse(struct pg_pool *pool, enum refusal why, enum result result)
{
    metric_add(pool->refused[why], 1);
    return result;
}

enum result pg_pool_query(struct pg_pool *pool, const struct pg_query *plain, pg_result_fn *on_answer,
                          void *context)
{
    if (pool->is_stopping || !pg_pool_is_up(pool)) {
        return refuse(pool, REFUSED_DOWN, RESULT_UNAVAILABLE);
    }
    struct connection *connection = free_connection(pool);
    if (!connection && pool->waiting_count >= pool->options.max_waiting) {
        return refuse(pool, REFUSED_FULL, RESULT_FULL);
    }
    struct query *query = query_create(pool, plain, on_answer, context);
    if (!query) {
        return RESULT_NO_MEMORY;
    }
    if (!breaker_allow(&pool->breaker, pool->options.now_ms())) {
        free(query);
        return refuse(pool, REFUSED_BREAKER, RESULT_UNAVAILABLE);
    }
    enum result result = RESULT_OK;
    if (connection) {
        result = query_send(query, connection);
    } else {
        list_append(&pool->waiting, &query->node);
        pool->waiting_count++;
    }
    if (result != RESULT_OK) {
        free(query);
    }
    show(pool);
    return result;
}
