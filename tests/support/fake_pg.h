/**
 * io/pg_pool.h as far as a reader of queries sees it: the test looks at what was asked and says what comes back. Link it
 * instead of io's own.
 */
#ifndef SOPHIA_TESTS_FAKE_PG_H
#define SOPHIA_TESTS_FAKE_PG_H

#include <stddef.h>

#include "io/pg_pool.h"

enum { FAKE_PG_COLUMNS = 2 };

struct fake_pg {
    enum result refusal; /* set by the test: what pg_pool_query() says; OK: taken */
    unsigned asked;
    char sql[2000];
    char param[64];          /* the first */
    pg_result_fn *on_result; /* NULL: nothing is waiting */
    void *context;
};

extern struct fake_pg fake_pg;

void fake_pg_reset(void);
/** Any pointer that is not NULL will do: fake_pg looks at none. */
struct pg_pool *fake_pg_pool(void);
/** rows: texts by row and column. */
void fake_pg_answer(const char *const (*rows)[FAKE_PG_COLUMNS], size_t count);
void fake_pg_fail(enum result result);

#endif
