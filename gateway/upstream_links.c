/* One function per question and kind of link. */
#include "upstream_links.h"

static bool redis_is_up(const void *link)
{
    return redis_link_is_up(link);
}

static const char *redis_reason(const void *link)
{
    return redis_link_reason(link);
}

static uint64_t redis_rtt_us(const void *link)
{
    return redis_link_rtt_us(link);
}

void upstreams_add_redis_link(struct upstreams *upstreams, const char *name, const struct redis_link *link)
{
    const struct upstream_link seen = {
        .upstream = UPSTREAM_REDIS,
        .name = name,
        .link = link,
        .is_up = redis_is_up,
        .reason = redis_reason,
        .rtt_us = redis_rtt_us,
    };
    upstreams_add_link(upstreams, &seen);
}

static bool pg_is_up(const void *link)
{
    return pg_link_is_up(link);
}

static const char *pg_reason(const void *link)
{
    return pg_link_reason(link);
}

void upstreams_add_pg_link(struct upstreams *upstreams, const char *name, const struct pg_link *link)
{
    const struct upstream_link seen = {
        .upstream = UPSTREAM_POSTGRES,
        .name = name,
        .link = link,
        .is_up = pg_is_up,
        .reason = pg_reason,
    };
    upstreams_add_link(upstreams, &seen);
}

static bool pool_is_up(const void *pool)
{
    return pg_pool_is_up(pool);
}

/* The listening link knows the server's own words; the pool's connections fail for the same reasons. */
static const char *pool_reason(const void *pool)
{
    return pg_pool_is_up(pool) ? "" : "no connection for queries";
}

void upstreams_add_pg_pool(struct upstreams *upstreams, const struct pg_pool *pool)
{
    const struct upstream_link seen = {
        .upstream = UPSTREAM_POSTGRES,
        .name = "pool",
        .link = pool,
        .is_up = pool_is_up,
        .reason = pool_reason,
    };
    upstreams_add_link(upstreams, &seen);
    upstreams_add_breaker(upstreams, UPSTREAM_POSTGRES, upstream_name(UPSTREAM_POSTGRES),
                          pg_pool_breaker(pool));
}
