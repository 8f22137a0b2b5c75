/**
 * What the files of pg_link share: libpq's results, and what they say.
 * Only pg_link*.c include this.
 */
#ifndef SOPHIA_IO_PG_LINK_INTERNAL_H
#define SOPHIA_IO_PG_LINK_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "io/pg_link.h"
#include "io/pg_link_target.h"

struct pg_result {
    const PGresult *libpq;
};

bool pg_result_is_good(const PGresult *result);
/** result is not good. The message is put into line. */
void pg_failure_read(const PGresult *result, struct pg_failure *out_failure, char *line, size_t size);

#endif
