/**
 * Where revocations come from, kept up to date: a file, looked at four times a second, and a set in Redis, whose news come by a channel
 * of the same name and which is read whole at each connection and every ten seconds.
 *
 * A file or set that is wrong or too large changes nothing: the list before stays. So does what Redis said while it is away.
 * Metrics: gw_auth_revocations{from}, gw_auth_revocation_reads_total{from,result}, gw_auth_revocation_news_total{result}.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_ACCESS_REVOCATION_FEED_H
#define SOPHIA_ACCESS_REVOCATION_FEED_H

#include "access/revocations.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "io/redis_link.h"

struct revocation_feed;

struct revocation_feed_options {
    struct loop *loop;
    struct metrics *metrics;
    const char *file;                 /* NULL: none; outlives the feed, as does what follows */
    const struct redis_server *redis; /* NULL: none */
    const char *prefix;               /* of redis_key */
    const char *redis_key;            /* of the set, and of the channel */
    loop_fn *on_change;               /* something may be revoked that was not; at most every 50 ms */
    void *context;
};

/** Reads the file. NULL after logging why, a file that is wrong included. */
struct revocation_feed *revocation_feed_create(const struct revocation_feed_options *options);
/** NULL is allowed. */
void revocation_feed_destroy(struct revocation_feed *feed);
/** Read all again. False: the file cannot be used and its list before stays; logged and counted. */
bool revocation_feed_reload(struct revocation_feed *feed);
/** What is in force; as old as the feed. */
const struct revocations *revocation_feed_list(const struct revocation_feed *feed);
/** For who shows links: where the set is read, and where its news come; NULL without Redis. */
const struct redis_link *revocation_feed_reader(const struct revocation_feed *feed);
const struct redis_link *revocation_feed_news(const struct revocation_feed *feed);

#endif
