/*
 * The journal and the cache have links of their own: a subscriber cannot ask (RESP2), and a slow reply to one must
 * not hold up the other. What is left, leases, shares one command link.
 */
#include "data_path.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cache/cache_class.h"
#include "journal/memory_journal.h"
#include "journal/redis_journal.h"
#include "upstream_links.h"

enum {
    CONNECT_TIMEOUT_MS = 3000,
    PING_AFTER_MS = 2000, /* with the next: a dead Redis is found within 5 s */
    REPLY_TIMEOUT_MS = 3000,
    RECONNECT_BASE_MS = 100,
    RECONNECT_LIMIT_MS = 2000,
    MAX_COMMANDS = 1024,
    MAX_WAITING_QUERIES = 1024,
    MAX_LOADS = 256,
    MAX_WAITERS = 4096,
};

struct data_path {
    struct redis_server redis;
    struct pg_server postgres;
    bool has_redis, has_postgres;
    struct redis_link *commands;
    struct pg_pool *pool;
    struct cache *cache;
    struct journal *local, *redis_journal;
    struct upstreams upstreams;
};

static struct redis_server redis_server_of(const struct config_redis *config)
{
    return (struct redis_server){
        .host = config->host,
        .port = config->port,
        .unix_path = config->unix_path,
        .username = config->username,
        .password = config->password,
        .database = config->database,
        .sentinels = config->sentinels[0] ? (const char *const *)config->sentinels : NULL,
        .sentinel_master = config->sentinel_master,
        .sentinel_password = config->sentinel_password,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .ping_after_ms = PING_AFTER_MS,
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .reconnect_base_ms = RECONNECT_BASE_MS,
        .reconnect_limit_ms = RECONNECT_LIMIT_MS,
    };
}

static struct breaker_options breaker_of(const struct config_breaker *config)
{
    return (struct breaker_options){
        .failures = config->failures,
        .open_ms = config->open_s * 1000U,
        .probe_ms = config->probe_ms,
    };
}

static bool build_journals(struct data_path *path, struct loop *loop, struct metrics *metrics,
                           const struct config *config, const struct journal_host *host)
{
    path->local = memory_journal_create(host, DATA_PATH_MAX_BOARDS);
    if (!path->local || config->journal_kind != JOURNAL_REDIS) {
        return path->local != NULL;
    }
    struct redis_journal_options options = redis_journal_defaults;
    options.server = &path->redis;
    options.prefix = config->redis.prefix;
    options.max_boards = DATA_PATH_MAX_BOARDS;
    options.max_fields = (size_t)config->limits.fields_per_board * 2; /* those not swept yet count as well */
    /* Not an option: only tests/faults/failover.test.mjs sets it, to show what nonces are for. */
    options.check_nonce = !getenv("SOPHIA_GATEWAY_IGNORE_NONCES");
    path->redis_journal = redis_journal_create(loop, metrics, host, &options);
    return path->redis_journal != NULL;
}

static bool build_commands(struct data_path *path, struct loop *loop, struct metrics *metrics)
{
    if (!path->has_redis) {
        return true;
    }
    const struct redis_link_options options = {
        .name = "commands", .server = &path->redis, .max_outstanding = MAX_COMMANDS};
    const struct redis_link_events events = {.context = path};
    path->commands = redis_link_create(loop, metrics, &options, &events);
    if (!path->commands) {
        return false;
    }
    redis_link_start(path->commands);
    upstreams_add_redis_link(&path->upstreams, "commands", path->commands);
    return true;
}

static bool build_pool(struct data_path *path, struct loop *loop, struct metrics *metrics,
                       const struct config *config)
{
    if (!path->has_postgres) {
        return true;
    }
    const struct pg_pool_options options = {
        .server = &path->postgres,
        .size = config->postgres.pool_size,
        .max_waiting = MAX_WAITING_QUERIES,
        .breaker = breaker_of(&config->breaker),
        .now_ms = clock_monotonic_ms,
    };
    path->pool = pg_pool_create(loop, metrics, &options);
    if (!path->pool) {
        return false;
    }
    pg_pool_start(path->pool);
    upstreams_add_pg_pool(&path->upstreams, path->pool);
    return true;
}

static bool build_cache(struct data_path *path, struct loop *loop, struct metrics *metrics,
                        const struct config *config)
{
    if (!config->cache.enabled) {
        return true;
    }
    const struct cache_options options = {
        .budget_bytes = config->cache.l1_bytes,
        .max_value_bytes = config->cache.max_value_bytes,
        .max_loads = MAX_LOADS,
        .max_waiters = MAX_WAITERS,
        .load_timeout_ms = config->cache.load_timeout_ms,
        .classes = cache_default_classes,
        .class_count = cache_default_class_count,
        .redis = path->has_redis ? &path->redis : NULL,
        .prefix = config->redis.prefix,
        .breaker = breaker_of(&config->breaker),
        .now_ms = clock_monotonic_ms,
    };
    path->cache = cache_create(loop, metrics, &options);
    if (path->cache && cache_breaker(path->cache)) {
        upstreams_add_breaker(&path->upstreams, UPSTREAM_REDIS, "cache", cache_breaker(path->cache));
        upstreams_add_redis_link(&path->upstreams, "cache", cache_commands_link(path->cache));
        upstreams_add_redis_link(&path->upstreams, "cache-tracker", cache_tracker_link(path->cache));
    }
    return path->cache != NULL;
}

struct data_path *data_path_create(struct loop *loop, struct metrics *metrics, const struct config *config,
                                   const struct journal_host *host)
{
    struct data_path *path = calloc(1, sizeof *path);
    if (!path) {
        return NULL;
    }
    upstreams_init(&path->upstreams, metrics, clock_monotonic_ms);
    path->has_redis = config_uses_redis(config);
    path->has_postgres = config_uses_postgres(config);
    path->redis = redis_server_of(&config->redis);
    path->postgres = (struct pg_server){
        .conninfo = config->postgres.url,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .statement_timeout_ms = config->postgres.statement_timeout_ms,
        .reconnect_base_ms = RECONNECT_BASE_MS,
        .reconnect_limit_ms = RECONNECT_LIMIT_MS,
    };
    if (!build_journals(path, loop, metrics, config, host) || !build_commands(path, loop, metrics) ||
        !build_pool(path, loop, metrics, config) || !build_cache(path, loop, metrics, config)) {
        data_path_destroy(path);
        return NULL;
    }
    return path;
}

void data_path_close_journals(struct data_path *path)
{
    journal_destroy(path->redis_journal);
    journal_destroy(path->local);
    path->redis_journal = NULL;
    path->local = NULL;
}

void data_path_destroy(struct data_path *path)
{
    if (!path) {
        return;
    }
    data_path_close_journals(path);
    cache_destroy(path->cache); /* before what its loads ask */
    pg_pool_destroy(path->pool);
    redis_link_destroy(path->commands);
    free(path);
}

struct journal *data_path_local_journal(const struct data_path *path)
{
    return path->local;
}

struct journal *data_path_shared_journal(const struct data_path *path)
{
    return path->redis_journal ? path->redis_journal : path->local;
}

const struct redis_server *data_path_redis(const struct data_path *path)
{
    return path->has_redis ? &path->redis : NULL;
}

const struct pg_server *data_path_postgres(const struct data_path *path)
{
    return path->has_postgres ? &path->postgres : NULL;
}

struct pg_pool *data_path_pool(const struct data_path *path)
{
    return path->pool;
}

struct redis_link *data_path_commands(const struct data_path *path)
{
    return path->commands;
}

struct cache *data_path_cache(const struct data_path *path)
{
    return path->cache;
}

struct upstreams *data_path_upstreams(struct data_path *path)
{
    return &path->upstreams;
}
