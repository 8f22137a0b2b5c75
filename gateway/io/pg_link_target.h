/**
 * Where a link dials: one host at a time out of what a connection string names.
 *
 * Name look-ups are not libpq's (it would block): whoever dials resolves the host and passes the address.
 * Only pg_link*.c include this.
 */
#ifndef SOPHIA_IO_PG_LINK_TARGET_H
#define SOPHIA_IO_PG_LINK_TARGET_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "io/pg_link.h"

enum { PG_REASON_MAX_BYTES = 240 };

struct pg_target {
    PQconninfoOption *options; /* owned; what was given, over the environment's defaults */
    char host[256];            /* picked; a directory or "" for a unix socket */
    char address[64];          /* of the host, when the string has it (hostaddr) */
    char port[6];
    bool needs_lookup; /* host is a name: connect with its address */
};

/**
 * Pick the host number `attempt` (they take turns) of a connection string.
 * Errors: false with a reason when it cannot be used; the reason never repeats any part of the string, because
 *         a password with an unescaped '@' or '/' ends up in the wrong part of a URI.
 */
bool pg_target_init(struct pg_target *target, const char *conninfo, size_t attempt,
                    char reason[PG_REASON_MAX_BYTES]);
void pg_target_finish(struct pg_target *target);

/** Begins a connection. address: of the host, when it needs a look-up. NULL when memory ran out. */
PGconn *pg_target_connect(const struct pg_target *target, const char *address, const char *link_name);

/** "user@host:port/database", as far as known. */
void pg_target_print(const struct pg_target *target, const PGconn *connection, char *out, size_t size);

/**
 * Why a connection could not be made, and what to do about it: one line for people.
 * text: libpq's message, with verbosity PQERRORS_VERBOSE, which has the SQLSTATE and does not depend on the server's language.
 */
void pg_reason_of_failure(const struct pg_target *target, const PGconn *connection, const char *text,
                          char out[PG_REASON_MAX_BYTES]);
/** "what [place]: remedy". */
void pg_reason_print(const struct pg_target *target, const PGconn *connection, const char *what,
                     const char *remedy, char out[PG_REASON_MAX_BYTES]);
/** The first line of text, control characters as spaces, cut to fit. */
void pg_first_line(const char *text, char *out, size_t size);

#endif
