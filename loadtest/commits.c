/*
 * One writer at a fixed rate: every commit sets one field of the state table to the wall time in microseconds at which
 * the statement was sent.
 *
 *     commits CONNINFO FIELDS PER_SECOND SECONDS
 *
 * Fields are load.g01 .. load.gNN, one after the other. Prints how many commits there were and how long they took.
 */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void commit(PGconn *connection, unsigned field)
{
    static const char sql[] =
        "insert into sophia.kpi_state (field, value) values ($1, to_jsonb($2::bigint)) "
        "on conflict (field) do update set value = excluded.value, as_of = now(), deleted = false";
    char name[32], value[32];
    snprintf(name, sizeof name, "load.g%02u", field);
    snprintf(value, sizeof value, "%llu", (unsigned long long)clock_us(CLOCK_REALTIME));
    const char *const params[] = {name, value};
    PGresult *result = PQexecParams(connection, sql, 2, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fprintf(stderr, "commits: %s", PQerrorMessage(connection));
        exit(EXIT_FAILURE);
    }
    PQclear(result);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: commits CONNINFO FIELDS PER_SECOND SECONDS\n");
        return 2;
    }
    unsigned fields = (unsigned)strtoul(argv[2], NULL, 10);
    uint64_t per_second = strtoull(argv[3], NULL, 10), total = per_second * strtoull(argv[4], NULL, 10);
    PGconn *connection = PQconnectdb(argv[1]);
    if (PQstatus(connection) != CONNECTION_OK || fields == 0 || per_second == 0) {
        fprintf(stderr, "commits: %s", PQerrorMessage(connection));
        return EXIT_FAILURE;
    }
    uint64_t began_us = clock_us(CLOCK_MONOTONIC), busy_us = 0;
    for (uint64_t i = 0; i < total; i++) {
        const uint64_t due_us = began_us + i * 1000000 / per_second;
        const struct timespec due = {.tv_sec = (time_t)(due_us / 1000000),
                                     .tv_nsec = (long)(due_us % 1000000) * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        uint64_t at_us = clock_us(CLOCK_MONOTONIC);
        commit(connection, (unsigned)(i % fields) + 1);
        busy_us += clock_us(CLOCK_MONOTONIC) - at_us;
    }
    printf("{\"commits\":%llu,\"mean_ms\":%.3f}\n", (unsigned long long)total,
           total ? (double)busy_us / (double)total / 1000 : 0);
    PQfinish(connection);
    return EXIT_SUCCESS;
}
