/*
 * Reading what libpq received, and putting its SQLSTATEs into our results.
 */
#include "io/pg_link_internal.h"

#include <stdlib.h>
#include <string.h>

struct sqlstate_rule {
    const char *prefix;
    enum result result;
};

/* The first that fits. */
static const struct sqlstate_rule sqlstate_rules[] = {
    {"42501", RESULT_FORBIDDEN},    {"28", RESULT_FORBIDDEN},       {"42P01", RESULT_UNKNOWN_TYPE},
    {"42703", RESULT_UNKNOWN_TYPE}, {"42883", RESULT_UNKNOWN_TYPE}, {"3F000", RESULT_UNKNOWN_TYPE},
    {"08", RESULT_UNAVAILABLE},     {"53", RESULT_UNAVAILABLE},     {"57", RESULT_UNAVAILABLE},
    {"58", RESULT_UNAVAILABLE},     {"40", RESULT_UNAVAILABLE},     {"55P03", RESULT_UNAVAILABLE},
};

static enum result result_of_sqlstate(const char *sqlstate)
{
    if (*sqlstate == '\0') {
        return RESULT_UNAVAILABLE; /* libpq's own: the connection went */
    }
    for (size_t i = 0; i < sizeof sqlstate_rules / sizeof *sqlstate_rules; i++) {
        if (strncmp(sqlstate, sqlstate_rules[i].prefix, strlen(sqlstate_rules[i].prefix)) == 0) {
            return sqlstate_rules[i].result;
        }
    }
    return RESULT_MALFORMED;
}

bool pg_result_is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

void pg_failure_read(const PGresult *result, struct pg_failure *out_failure, char *line, size_t size)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    pg_first_line(message ? message : PQresultErrorMessage(result), line, size);
    *out_failure = (struct pg_failure){.message = line};
    if (state) {
        strncpy(out_failure->sqlstate, state, sizeof out_failure->sqlstate - 1);
    }
    out_failure->result = result_of_sqlstate(out_failure->sqlstate);
}

size_t pg_row_count(const struct pg_result *result)
{
    return (size_t)PQntuples(result->libpq);
}

size_t pg_column_count(const struct pg_result *result)
{
    return (size_t)PQnfields(result->libpq);
}

const char *pg_column_name(const struct pg_result *result, size_t column)
{
    return PQfname(result->libpq, (int)column);
}

int pg_column(const struct pg_result *result, const char *name)
{
    for (int i = 0; i < PQnfields(result->libpq); i++) {
        if (strcmp(PQfname(result->libpq, i), name) == 0) {
            return i; /* PQfnumber() would fold the case of what we ask for */
        }
    }
    return -1;
}

uint32_t pg_column_type(const struct pg_result *result, size_t column)
{
    return PQftype(result->libpq, (int)column);
}

const char *pg_text(const struct pg_result *result, size_t row, size_t column, size_t *out_length)
{
    if (PQgetisnull(result->libpq, (int)row, (int)column)) {
        return NULL;
    }
    if (out_length) {
        *out_length = (size_t)PQgetlength(result->libpq, (int)row, (int)column);
    }
    return PQgetvalue(result->libpq, (int)row, (int)column);
}
