/**
 * A query's parameters, copied into one block with whoever carries them.
 * Only pg_link.c and pg_pool.c include this.
 */
#ifndef SOPHIA_IO_PG_PARAMS_H
#define SOPHIA_IO_PG_PARAMS_H

#include <stddef.h>

#include "io/pg_link.h"

/** Bytes behind a struct that ends in `const char *params[]`. */
size_t pg_params_size(const struct pg_query *query);
/** out_params has room for pg_params_size() bytes. */
void pg_params_copy(const struct pg_query *query, const char **out_params);

#endif
