/**
 * What this process shares with others: the connections to Redis and
 * PostgreSQL, and what stands on them: the journals, the query pool, the cache,
 * and a command link for leases.
 *
 * Loop: loop thread. Nothing here blocks: an upstream that is down is dialled again and again.
 */
#ifndef SOPHIA_DATA_PATH_H
#define SOPHIA_DATA_PATH_H

#include "base/metrics.h"
#include "cache/cache.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/pg_pool.h"
#include "io/redis_link.h"
#include "journal/journal.h"
#include "upstreams.h"

enum { DATA_PATH_MAX_BOARDS = DEFINITION_FILES_MAX }; /* of journals, pipeline and hub alike */

struct data_path;

/** Owns: config, loop, metrics and host->context outlive it. NULL when memory ran out. */
struct data_path *data_path_create(struct loop *loop, struct metrics *metrics, const struct config *config,
                                   const struct journal_host *host);
/** The journals answer what is outstanding and are gone. First of all at the end; again does nothing. */
void data_path_close_journals(struct data_path *path);
/** After the sources and transports that use it. NULL is allowed. */
void data_path_destroy(struct data_path *path);

/** Boards of this process alone. */
struct journal *data_path_local_journal(const struct data_path *path);
/** Boards of all processes; the local one when journal.kind is memory. */
struct journal *data_path_shared_journal(const struct data_path *path);

/** NULL when Redis, or PostgreSQL, is not configured. */
const struct redis_server *data_path_redis(const struct data_path *path);
const struct pg_server *data_path_postgres(const struct data_path *path);
struct pg_pool *data_path_pool(const struct data_path *path);
/** For leases and the like, not for bulk. */
struct redis_link *data_path_commands(const struct data_path *path);
/** Never NULL unless the cache is switched off. */
struct cache *data_path_cache(const struct data_path *path);
/** Never NULL. Whoever makes further links adds them. */
struct upstreams *data_path_upstreams(struct data_path *path);

#endif
