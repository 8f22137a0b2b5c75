/**
 * Names and values of a hash or a stream entry as one JSON object: a value that is JSON stands as it is, any other as text.
 */
#ifndef SOPHIA_SOURCES_REDIS_PAIRS_H
#define SOPHIA_SOURCES_REDIS_PAIRS_H

#include <stddef.h>

#include "io/redis_link.h"

/** reply: name, value, name, value, ... NULL when it is not that, holds what is not UTF-8, or memory ran out. free() it. */
char *redis_pairs_print(const struct redisReply *reply, size_t *out_length);
/** The value of a name, or NULL. */
const char *redis_pairs_find(const struct redisReply *reply, const char *name, size_t *out_length);

#endif
