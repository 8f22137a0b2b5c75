/**
 * Plain NOTIFY channels of existing databases (postgres.notifications): a payload names a row, the row is read
 * through the cache by the mapping's query, and told.
 *
 *     {"relation": "public.deals", "key": "42", "revision": 7}            the row is read
 *     {"relation": "public.deals", "key": "42", "revision": 7, "value": 3} a small value comes along
 *
 * A notification is not truth: what was named once is read again whenever notifications may have been lost.
 * A payload that is none of this is counted and logged, and nothing else.
 *
 * Loop: loop thread; calls back from the cache, the pool and the pipeline.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_NOTIFICATIONS_H
#define SOPHIA_SOURCES_POSTGRES_NOTIFICATIONS_H

#include "base/clock.h"
#include "base/metrics.h"
#include "cache/cache.h"
#include "io/loop.h"
#include "io/pg_pool.h"
#include "pipeline.h"
#include "sources/postgres_mapping.h"

struct postgres_notifications;

struct postgres_notifications_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct pg_pool *pool;
    struct cache *cache; /* NULL: every notification reads the row itself */
    struct metrics *metrics;
    const struct postgres_mapping *mappings; /* borrowed */
    size_t mapping_count;
    struct moment (*now)(void);
    void *context;
    /** A board refused a value because it knows another lineage: pipeline_restart_source() is the owner's. */
    void (*on_other_lineage)(void *context);
};

/** Metrics: gw_pg_notifications_total{result}, gw_pg_notification_keys. NULL when memory ran out. */
struct postgres_notifications *postgres_notifications_create(
    const struct postgres_notifications_options *options);
/** As postgres_rollups_set_active(): inactive, it remembers what is named but reads and tells nothing. Becoming active reads. */
void postgres_notifications_set_active(struct postgres_notifications *notifications, bool is_active,
                                       const char *lineage);
/** Is this one of the mapped KPIs? */
bool postgres_notifications_feeds(const struct postgres_notifications *notifications, const struct kpi *kpi);
void postgres_notifications_hear(struct postgres_notifications *notifications, const char *channel,
                                 const char *payload);
/** Notifications may have been lost: read again what was named before, and the rows that boards show. */
void postgres_notifications_read_again(struct postgres_notifications *notifications);
/** No submission begins after this. */
void postgres_notifications_stop(struct postgres_notifications *notifications);
/** Pool and cache may still answer, or refuse, what was asked of them; the cache does not ask again. NULL is allowed. */
void postgres_notifications_destroy(struct postgres_notifications *notifications);

#endif
