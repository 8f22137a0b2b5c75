/**
 * Changes by Redis: channels, patterns and streams.
 *
 * Pub/sub is lossy, and the gateway says so: what was missed while a subscription was down comes back from keys that
 * hold the newest message, where definitions or configuration name them. Streams lose nothing. A subscription that
 * delivers nothing any more is found by a message to ourselves.
 *
 * With a shared journal one process forwards for all, by a lease; the others remember the newest messages, for
 * the moment they take over.
 *
 * Metrics: gw_redis_messages_total{result}, gw_redis_messages_waiting, gw_redis_heartbeats_lost_total, and those of its links.
 * Format of messages and what may be lost: docs/redis.md.
 */
#ifndef SOPHIA_SOURCES_REDIS_SOURCE_H
#define SOPHIA_SOURCES_REDIS_SOURCE_H

#include "base/clock.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "io/redis_link.h"
#include "pipeline.h"
#include "sources/redis_mapping.h"
#include "sources/source.h"

struct redis_source_options {
    struct loop *loop;
    struct pipeline *pipeline;
    struct metrics *metrics;
    const struct redis_server *server;
    struct redis_link
        *commands;      /* for leases, keys to read again, heartbeats; the owner's, and started by it */
    const char *prefix; /* of our own keys and channels: "sophia:" */
    const char *node;   /* name of this process */
    const struct redis_mapping *channels; /* channels and patterns */
    size_t channel_count;
    const struct redis_mapping *streams;
    size_t stream_count;
    bool is_shared;             /* the journal is one for all processes: one of them forwards */
    uint32_t lease_ttl_ms;      /* how long after the death of that process another one takes over; 0: 3 s */
    struct moment (*now)(void); /* clock_moment */
};

/**
 * Owns: everything in options outlives the source. Destroy it before the pipeline's journal and before the command link.
 * NULL when memory ran out.
 */
struct source *redis_source_create(const struct redis_source_options *options);

/** Its own connections, for who shows them. streams: NULL when there are none. */
struct redis_link *redis_source_subscriber(const struct source *source);
struct redis_link *redis_source_streams(const struct source *source);

#endif
