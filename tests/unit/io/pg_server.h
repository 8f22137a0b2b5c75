/**
 * Servers for tests of gateway/io/pg_*: a private PostgreSQL on a free port (a cluster of its own in a temporary
 * directory, run by an unprivileged user), and a fake one that says what a test wants and then nothing.
 */
#ifndef SOPHIA_TESTS_IO_PG_SERVER_H
#define SOPHIA_TESTS_IO_PG_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pg_server_process {
    char directory[64];
    uint16_t port;
    pid_t pid; /* 0: not running */
};

/** initdb and start; pg_hba.conf: everybody by password except user postgres, and nobody as "outsider". Asserts. */
void pg_server_start(struct pg_server_process *server);
/** As a standby without a primary, or as itself again. */
void pg_server_restart(struct pg_server_process *server, bool as_standby);
void pg_server_halt(struct pg_server_process *server);
void pg_server_resume(struct pg_server_process *server);
/** psql -c, as postgres; asserts that it worked. */
void pg_server_sql(const struct pg_server_process *server, const char *sql);
void pg_server_remove(struct pg_server_process *server);

struct fake_pg {
    uint16_t port;
    int listening;
    pthread_t thread;
    const char *answer; /* to the start-up packet */
    size_t length;
};

void fake_pg_start(struct fake_pg *fake, const char *answer, size_t length);
void fake_pg_stop(struct fake_pg *fake);

#endif
