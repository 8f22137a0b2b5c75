/**
 * Several processes of this program on one port: the first one starts the others, restarts what dies, and
 * passes on the signals it gets. It serves nothing itself.
 *
 *   worker:  started -> listening -> ended -(wait: full jitter, 100 ms to 10 s)-> started
 *
 * SIGTERM, SIGINT: all workers drain together; a second one stops them at once. SIGHUP: all reload.
 * SIGTERM to one worker by hand drains it, and a fresh one takes its place. A worker whose supervisor
 * is gone drains and ends.
 *
 * Workers find themselves by the environment: SOPHIA_GATEWAY_WORKER says which one they are and whose,
 * SOPHIA_NODE_NAME gives them a name of their own, SOPHIA_LISTEN_PORT the port when any was asked for. The secret that
 * TLS tickets are sealed with comes through a pipe whose number is in SOPHIA_GATEWAY_SECRET_FD: all open each other's.
 */
#ifndef SOPHIA_SUPERVISOR_H
#define SOPHIA_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "io/tls_tickets.h"

enum { SUPERVISOR_WORKERS_MAX = 64 };

struct supervisor_options {
    char *const *argv; /* of main: workers get the same */
    unsigned workers;  /* 1..SUPERVISOR_WORKERS_MAX */
    const char *host;  /* IP address to listen on */
    uint16_t port;     /* 0: any free one, the same for all */
    const char *node;  /* what "-1", "-2" is added to; NULL: the host's name */
    uint32_t grace_ms; /* a drain takes this long at most; a worker that takes much longer is killed */
};

/**
 * Runs until told to stop and all workers have ended. Changes signal masks: before anything else runs.
 * Result: the exit code: 0 when all ended cleanly; else that of the first that could not start, or 1.
 */
int supervisor_run(const struct supervisor_options *options);

/** Which worker this process is, from 1; 0: it has no supervisor. */
unsigned worker_number(void);
/** A worker ties its life to its supervisor's. False: that has ended already, and nobody would stop us. */
bool worker_join(void);
/** The secret all workers of this supervisor have, once. False: there is no supervisor, or it gave none. */
bool worker_take_secret(struct tls_secret *out_secret);
/** Tells the supervisor that this worker serves. */
void worker_say_listening(void);

#endif
