/*
 * Created in the order of the list below, stopped and destroyed in the opposite one.
 */
#include "source_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/redis_lease.h"
#include "sources/demo_source.h"
#include "sources/http_ingest.h"
#include "sources/internal_source.h"
#include "sources/postgres_source.h"
#include "sources/redis_source.h"
#include "sources/webhooks.h"
#include "upstream_links.h"

enum {
    SOURCES_MAX = 8,
    WEBHOOKS_OUTSTANDING_MAX = 256,
    LEASE_TTL_MS = 3000, /* how long nobody reads when the one who did is gone */
    LEASE_KEY_MAX = 256,
};

struct source_set {
    struct source *sources[SOURCES_MAX];
    size_t count;
    struct source *postgres;
    struct source *webhooks;
    struct redis_lease *postgres_lease; /* NULL: this process is alone */
};

static bool add(struct source_set *set, struct source *source)
{
    if (source) {
        set->sources[set->count++] = source;
    }
    return source != NULL;
}

static bool add_ingest(struct source_set *set, const struct source_set_options *options)
{
    const struct config_ingest *ingest = &options->config->ingest;
    const struct http_ingest_options ingest_options = {
        .listener = options->ingest_listener,
        .pipeline = options->pipeline,
        .access = options->access,
        .metrics = options->metrics,
        .mappings = ingest->mappings,
        .mapping_count = ingest->mapping_count,
        .max_outstanding = ingest->max_outstanding,
    };
    return add(set, http_ingest_create(&ingest_options));
}

static bool add_webhooks(struct source_set *set, const struct source_set_options *options)
{
    const struct config_webhooks *webhooks = &options->config->webhooks;
    const struct webhooks_source_options webhooks_options = {
        .listener = options->listener,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .audit = access_audit(options->access),
        .hooks = webhooks->hooks,
        .hook_count = webhooks->hook_count,
        .body_max_bytes = webhooks->body_max_bytes,
        .rate_per_s = webhooks->rate_per_s,
        .max_outstanding = WEBHOOKS_OUTSTANDING_MAX,
        .now = clock_moment,
    };
    if (webhooks->hook_count == 0) {
        return true;
    }
    set->webhooks = webhooks_source_create(&webhooks_options);
    return add(set, set->webhooks);
}

static bool add_internal(struct source_set *set, const struct source_set_options *options)
{
    const struct internal_source_options internal_options = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .health = options->health,
        .build = GATEWAY_VERSION,
        .node = options->node,
        .max_connections = options->config->listen.max_connections,
        .now = clock_moment,
    };
    return add(set, internal_source_create(&internal_options));
}

static bool add_demo(struct source_set *set, const struct source_set_options *options)
{
    const struct config_demo *demo = &options->config->demo;
    const struct demo_source_options demo_options = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .seed = demo->seed,
        .speed = demo->speed,
        .now = clock_moment,
    };
    return !demo->enabled || add(set, demo_source_create(&demo_options));
}

/* ---- PostgreSQL ---- */

static bool is_postgres_leader(void *context)
{
    const struct source_set *set = context;
    return redis_lease_is_held(set->postgres_lease);
}

static void on_postgres_lease(void *context)
{
    struct source_set *set = context;
    log_info(redis_lease_is_held(set->postgres_lease) ? "reading queries for all processes"
                                                      : "another process reads queries");
    if (set->postgres) {
        postgres_source_leader_changed(set->postgres);
    }
}

/* Several processes share one order only through Redis. */
static bool lease_postgres(struct source_set *set, const struct source_set_options *options)
{
    if (options->config->journal_kind != JOURNAL_REDIS) {
        return true;
    }
    char key[LEASE_KEY_MAX];
    snprintf(key, sizeof key, "%slease:postgres", options->config->redis.prefix);
    set->postgres_lease = redis_lease_create(options->loop, data_path_commands(options->data_path), key,
                                             LEASE_TTL_MS, on_postgres_lease, set);
    return set->postgres_lease != NULL;
}

static bool add_postgres(struct source_set *set, const struct source_set_options *options)
{
    const struct config_postgres *postgres = &options->config->postgres;
    if (!data_path_postgres(options->data_path)) {
        return true;
    }
    if (!lease_postgres(set, options)) {
        return false;
    }
    const struct postgres_source_options postgres_options = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .server = data_path_postgres(options->data_path),
        .pool = data_path_pool(options->data_path),
        .cache = data_path_cache(options->data_path),
        .table = postgres->state_table,
        .poll_min_ms = postgres->poll_min_ms,
        .poll_max_ms = postgres->poll_max_ms,
        .mappings = postgres->notifications,
        .mapping_count = postgres->notification_count,
        .has_rollups = postgres->rollups,
        .is_leader = set->postgres_lease ? is_postgres_leader : NULL,
        .leader_context = set,
        .now = clock_moment,
    };
    set->postgres = postgres_source_create(&postgres_options);
    if (!add(set, set->postgres)) {
        return false;
    }
    struct upstreams *upstreams = data_path_upstreams(options->data_path);
    upstreams_add_pg_link(upstreams, "listen", postgres_source_listener(set->postgres));
    upstreams_add_pg_link(upstreams, "state", postgres_source_follower(set->postgres));
    return true;
}

/* ---- Redis ---- */

static bool add_redis(struct source_set *set, const struct source_set_options *options)
{
    const struct config_redis *redis = &options->config->redis;
    if (!data_path_redis(options->data_path)) {
        return true;
    }
    const struct redis_source_options redis_options = {
        .loop = options->loop,
        .pipeline = options->pipeline,
        .metrics = options->metrics,
        .server = data_path_redis(options->data_path),
        .commands = data_path_commands(options->data_path),
        .prefix = redis->prefix,
        .node = options->node,
        .channels = redis->channels,
        .channel_count = redis->channel_count,
        .streams = redis->streams,
        .stream_count = redis->stream_count,
        .is_shared = options->config->journal_kind == JOURNAL_REDIS,
        .lease_ttl_ms = LEASE_TTL_MS,
        .now = clock_moment,
    };
    struct source *source = redis_source_create(&redis_options);
    if (!add(set, source)) {
        return false;
    }
    struct upstreams *upstreams = data_path_upstreams(options->data_path);
    upstreams_add_redis_link(upstreams, "channels", redis_source_subscriber(source));
    if (redis_source_streams(source)) {
        upstreams_add_redis_link(upstreams, "streams", redis_source_streams(source));
    }
    return true;
}

/* ---- the set ---- */

struct source_set *source_set_create(const struct source_set_options *options)
{
    struct source_set *set = calloc(1, sizeof *set);
    if (set && !(add_ingest(set, options) && add_webhooks(set, options) && add_internal(set, options) &&
                 add_demo(set, options) && add_postgres(set, options) && add_redis(set, options))) {
        source_set_destroy(set);
        return NULL;
    }
    return set;
}

bool source_set_start(struct source_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->sources[i]->ops->start(set->sources[i]) != RESULT_OK) {
            log_error("source could not start", LOG_TEXT("source", set->sources[i]->ops->name));
            return false;
        }
    }
    return true;
}

bool source_set_reload(struct source_set *set)
{
    return !set->webhooks || webhooks_source_reload(set->webhooks);
}

void source_set_stop(struct source_set *set)
{
    for (size_t i = set ? set->count : 0; i > 0; i--) {
        set->sources[i - 1]->ops->stop(set->sources[i - 1]);
    }
}

void source_set_destroy(struct source_set *set)
{
    if (!set) {
        return;
    }
    redis_lease_destroy(set->postgres_lease); /* it calls the source */
    set->postgres_lease = NULL;
    for (size_t i = set->count; i > 0; i--) {
        set->sources[i - 1]->ops->destroy(set->sources[i - 1]);
    }
    free(set);
}
