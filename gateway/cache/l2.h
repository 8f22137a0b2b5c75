/**
 * L2: values shared through Redis, and the lease that lets one process of all compute a slow one.
 *
 * Keys: <prefix>cache:<key> (a head with version, lifetime and as_of, then the bytes) and <prefix>lease:<key>. Ages come from the
 * server's own remaining lifetime, so no two clocks are ever compared. The write of a value with a version is refused by a
 * small script when what is there is newer and within its TTL.
 *
 * A breaker keeps a server that does not answer from costing every read its patience.
 *
 * Loop: loop thread. Callbacks run from the link, never before the call has returned.
 */
#ifndef SOPHIA_CACHE_L2_H
#define SOPHIA_CACHE_L2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache_value.h"
#include "io/breaker.h"
#include "io/redis_link.h"

struct l2;
/** A command whose answer is awaited. */
struct l2_request;

enum { L2_TOKEN_BYTES = 16, L2_HEAD_BYTES = 60 };

/** prefix is copied; breaker options are those of the configuration. NULL when memory ran out. */
struct l2 *l2_create(const char *prefix, const struct breaker_options *breaker, uint64_t (*now_ms)(void));
/** Requests are forgotten; their replies may still come. NULL is allowed. */
void l2_destroy(struct l2 *l2);
/** The link commands go through, borrowed; NULL: none. */
void l2_set_link(struct l2 *l2, struct redis_link *link);
/** The link came up. */
void l2_on_up(struct l2 *l2);
const struct breaker *l2_breaker(const struct l2 *l2);

enum l2_outcome {
    L2_YES,  /* found, leased, tracking */
    L2_NO,   /* not there, leased by another */
    L2_DOWN, /* no answer, or not one that could be understood */
};

/** value: borrowed, with L2_YES only. */
typedef void l2_read_fn(void *context, enum l2_outcome outcome, struct cache_value *value, uint64_t age_ms);
typedef void l2_done_fn(void *context, enum l2_outcome outcome);

/** The callback is never called. Counts as a failure of the server. */
void l2_give_up(struct l2 *l2, struct l2_request *request);

/** NULL, here and below: down, refused by the breaker, or no memory; the callback is not called. */
struct l2_request *l2_read(struct l2 *l2, const char *key, size_t max_bytes, l2_read_fn *on_read,
                           void *context);
/** token: L2_TOKEN_BYTES. */
struct l2_request *l2_lease(struct l2 *l2, const char *key, const char *token, uint64_t lease_ms,
                            l2_done_fn *on_lease, void *context);
/** When it is still ours. Nobody hears how that went: it runs out by itself. */
void l2_release(struct l2 *l2, const char *key, const char *token);

struct l2_lifetime {
    uint64_t age_ms;
    uint64_t ttl_ms;  /* while what is there is younger than this, a lower version does not replace it */
    uint64_t hard_ms; /* kept for this and a tenth */
};
typedef void l2_refused_fn(void *context, const char *key);
/** on_refused: what is there is newer. Not called otherwise: without L2 the value is merely not shared. */
void l2_write(struct l2 *l2, const char *key, const struct cache_value *value,
              const struct l2_lifetime *lifetime, l2_refused_fn *on_refused, void *context);
void l2_remove(struct l2 *l2, const char *key);
/** Removes every key that begins so ("default:"), in steps. */
void l2_remove_all(struct l2 *l2, const char *beginning);
/** Tell the caches of other processes. False: it could not be sent. */
bool l2_publish(struct l2 *l2, const char *channel, const char *payload);
/** Have writes of others below <prefix>cache: told to this connection (CLIENT TRACKING, BCAST). */
struct l2_request *l2_track(struct l2 *l2, uint64_t client_id, l2_done_fn *on_tracking, void *context);

/** The key within a Redis key of ours; NULL when it is none. */
const char *l2_key_within(const struct l2 *l2, const char *redis_key, size_t length);

#endif
