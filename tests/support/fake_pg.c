/* One query at a time. */
#include "fake_pg.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct pg_result {
    const char *const (*rows)[FAKE_PG_COLUMNS];
    size_t count;
};

struct fake_pg fake_pg;

void fake_pg_reset(void)
{
    memset(&fake_pg, 0, sizeof fake_pg);
}

struct pg_pool *fake_pg_pool(void)
{
    static char pool;
    return (struct pg_pool *)(void *)&pool;
}

enum result pg_pool_query(struct pg_pool *pool, const struct pg_query *query, pg_result_fn *on_result,
                          void *context)
{
    assert(pool == fake_pg_pool() && query->param_count == 1 && !fake_pg.on_result);
    fake_pg.asked++;
    if (fake_pg.refusal != RESULT_OK) {
        return fake_pg.refusal;
    }
    (void)snprintf(fake_pg.sql, sizeof fake_pg.sql, "%s", query->sql);
    (void)snprintf(fake_pg.param, sizeof fake_pg.param, "%s", query->params[0]);
    fake_pg.on_result = on_result;
    fake_pg.context = context;
    return RESULT_OK;
}

static void answer(const struct pg_result *result, const struct pg_failure *failure)
{
    pg_result_fn *on_result = fake_pg.on_result;
    assert(on_result);
    fake_pg.on_result = NULL;
    on_result(fake_pg.context, result, failure);
}

void fake_pg_answer(const char *const (*rows)[FAKE_PG_COLUMNS], size_t count)
{
    const struct pg_result result = {.rows = rows, .count = count};
    answer(&result, NULL);
}

void fake_pg_fail(enum result result)
{
    const struct pg_failure failure = {.result = result, .sqlstate = "57014", .message = "said by the test"};
    answer(NULL, &failure);
}

size_t pg_row_count(const struct pg_result *result)
{
    return result->count;
}

const char *pg_text(const struct pg_result *result, size_t row, size_t column, size_t *out_length)
{
    assert(row < result->count && column < FAKE_PG_COLUMNS && !out_length);
    return result->rows[row][column];
}
