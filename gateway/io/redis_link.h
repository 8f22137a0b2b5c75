/**
 * One connection to Redis that keeps itself alive. Hides hiredis.
 *
 * Connects (TCP, unix socket, or whatever a Sentinel says the master is),
 * authenticates, selects the database, checks that it talks to a master, pings,
 * and reconnects with full jitter. Commands are pipelined: replies come in order.
 * A link is for commands or for subscriptions, not both (RESP2): the first
 * redis_link_subscribe() decides.
 *
 * Two hiredis 0.14 facts shape it: its async API asserts on pushes it does not know (SSUBSCRIBE) and frees
 * itself in callbacks, so this uses the plain non-blocking context and reader; and it knows no RESP3.
 *
 * What a server can make grow is capped: a reply over 64 MiB or a million elements, or 32 MiB that it does not
 * take off our hands, end the connection or refuse the command.
 *
 * Loop: loop thread. No callback runs before the call that causes it has returned,
 *       except on_reply(NULL) from redis_link_destroy(). Every function may be called from every callback.
 */
#ifndef SOPHIA_IO_REDIS_LINK_H
#define SOPHIA_IO_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "io/loop.h"
#include "protocol/result.h"

struct redis_link;
struct redisReply;

/** Where and how. Borrowed texts outlive every link made from it. */
struct redis_server {
    const char *host; /* unused with unix_path or sentinels */
    uint16_t port;
    const char *unix_path; /* NULL: TCP */
    const char *username;  /* NULL: AUTH with the password alone */
    const char *password;  /* NULL: none. Never logged */
    uint32_t database;
    const char *const *sentinels; /* "host:port", NULL-terminated; NULL or empty: none */
    const char *sentinel_master;
    const char *sentinel_password; /* NULL: none */
    uint32_t connect_timeout_ms;   /* name look-up, TCP, AUTH, SELECT and ROLE together */
    uint32_t ping_after_ms;        /* silent for this long: PING */
    uint32_t reply_timeout_ms;     /* oldest command without a reply for this long: the link is dead */
    uint32_t reconnect_base_ms, reconnect_limit_ms;
};

struct redis_link_options {
    const char *name; /* "journal", "channels", "cache": label link="..." of its metrics, and in the log */
    const struct redis_server *server;
    size_t max_outstanding; /* commands without a reply, > 0; one more is refused */
    /** Commands of this link wait at the server for so long on purpose (BLOCK): later is late, and the time is no round trip. */
    uint32_t waits_ms;
};

struct redis_link_events {
    void *context;
    /** Ready for commands; subscriptions are asked for again, not yet confirmed. */
    void (*on_up)(void *context);
    /** reason: one line for people, names host and remedy where known. Also after each failed attempt. */
    void (*on_down)(void *context, const char *reason);
    /**
     * A message; pattern NULL unless it came by PSUBSCRIBE. NULL callback: for links without subscriptions.
     * An invalidation (channel __redis__:invalidate) has an array of keys as its payload: called once for each;
     * payload NULL: all keys (the server sent nil, after FLUSHALL).
     */
    void (*on_message)(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t payload_length);
    /** The server confirmed a subscription. May be NULL. */
    void (*on_subscribed)(void *context, const char *channel);
};

/** reply NULL: there will be none, the link went down (the command may or may not have been carried out). */
typedef void redis_reply_fn(void *context, const struct redisReply *reply);

/**
 * Metrics: gw_redis_link_up{link}, gw_redis_reconnects_total{link}, gw_redis_rtt_seconds{link},
 * gw_redis_refused_total{link} (commands that were not taken). Borrows the name and the server; copies the rest.
 * NULL when memory ran out.
 */
struct redis_link *redis_link_create(struct loop *loop, struct metrics *metrics,
                                     const struct redis_link_options *options,
                                     const struct redis_link_events *events);
void redis_link_start(struct redis_link *link);
bool redis_link_is_up(const struct redis_link *link);
/** Why it is down; "" while up. */
const char *redis_link_reason(const struct redis_link *link);
/** Exponentially weighted round trip of pings and commands, in microseconds; 0 before the first. */
uint64_t redis_link_rtt_us(const struct redis_link *link);
/** CLIENT ID of the connection, asked for before on_up (a subscribed RESP2 connection cannot ask); 0 while down. */
uint64_t redis_link_client_id(const struct redis_link *link);
/** major * 10000 + minor * 100 + patch of the server it is or was last connected to; 0 before the first. */
uint32_t redis_link_server_version(const struct redis_link *link);
/** Does that server run in cluster mode? */
bool redis_link_server_is_cluster(const struct redis_link *link);
/** Drop the connection and dial anew, told as down with this reason: for an owner that found the server unfit (a policy, a silent subscription). */
void redis_link_reject(struct redis_link *link, const char *reason);
/** Outstanding commands hear on_reply(NULL) from here; nothing is heard afterwards. NULL is allowed. */
void redis_link_destroy(struct redis_link *link);

/**
 * Result: UNAVAILABLE while down, FULL at max_outstanding or with too much unsent, NO_MEMORY; on_reply is then
 * not called. The reply lives until the callback returns.
 * lengths NULL: the arguments are NUL-terminated. on_reply NULL: nobody cares.
 */
MUST_CHECK enum result redis_link_send(struct redis_link *link, redis_reply_fn *on_reply, void *context,
                                       size_t argc, const char *const *argv, const size_t *lengths);

enum redis_subscription { REDIS_CHANNEL, REDIS_PATTERN, REDIS_SHARD_CHANNEL };
/** Remembered and asked for again after every reconnect. Result: NO_MEMORY, FULL (a million of a kind). */
MUST_CHECK enum result redis_link_subscribe(struct redis_link *link, enum redis_subscription kind,
                                            const char *channel);
MUST_CHECK enum result redis_link_unsubscribe(struct redis_link *link, enum redis_subscription kind,
                                              const char *channel);

/* ---- reading a reply; all take NULL ---- */

enum redis_reply_type { REDIS_NIL, REDIS_TEXT, REDIS_STATUS, REDIS_INTEGER, REDIS_ARRAY, REDIS_ERROR };
/** NULL is REDIS_ERROR. */
enum redis_reply_type redis_reply_type(const struct redisReply *reply);
/** Text, status and error; NULL otherwise. NUL-terminated, but may hold NULs. out_length may be NULL. */
const char *redis_reply_text(const struct redisReply *reply, size_t *out_length);
int64_t redis_reply_integer(const struct redisReply *reply);
/** Elements of an array; 0 otherwise. */
size_t redis_reply_count(const struct redisReply *reply);
const struct redisReply *redis_reply_at(const struct redisReply *reply, size_t index);

#endif
