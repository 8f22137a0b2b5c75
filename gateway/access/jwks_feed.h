/**
 * The keys of an issuer, from the address where it serves them (JWKS): fetched at the start, again and again, and out of turn when a token
 * names a key that nobody knows.
 *
 * Whatever fails, the keys before stay. A set with secrets in it is refused: what everybody may fetch makes no token good.
 * Metrics: gw_auth_key_fetches_total{result}, gw_auth_key_fetch_age_seconds, gw_auth_key_wishes_total{result}.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_ACCESS_JWKS_FEED_H
#define SOPHIA_ACCESS_JWKS_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "access/jwk.h"
#include "base/metrics.h"
#include "io/loop.h"

struct jwks_feed;

enum {
    JWKS_FEED_TIMEOUT_MS = 10000,
    JWKS_FEED_WISH_EVERY_MS = 10000, /* fetched no more often than that for keys that are not known */
};

struct jwks_feed_options {
    struct loop *loop;
    struct metrics *metrics;
    const char *url;     /* outlives the feed, as does the next */
    const char *ca_file; /* NULL: those of the system */
    uint32_t refresh_s;  /* a tenth more or less, so that many gateways do not come at once */
    void *context;
    /** Other keys than before; the callee's to destroy. */
    void (*on_keys)(void *context, struct jwk_set *keys);
};

/** Fetches with the next turn of the loop. NULL when memory ran out. */
struct jwks_feed *jwks_feed_create(const struct jwks_feed_options *options);
/** NULL is allowed. */
void jwks_feed_destroy(struct jwks_feed *feed);

/** Fetch now. */
void jwks_feed_refresh(struct jwks_feed *feed);
/** Somebody needs a key that is not there. True: it may be by and by, a fetch is under way. */
bool jwks_feed_wish(struct jwks_feed *feed);
/** Are they no longer sure: not confirmed for three times refresh_s? */
bool jwks_feed_is_late(const struct jwks_feed *feed);
/** Bring the ages up to date. */
void jwks_feed_tick(struct jwks_feed *feed);

#endif
