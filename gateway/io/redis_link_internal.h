/**
 * What a link is made of, for redis_link.c (its life) and redis_link_pushes.c (subscriptions and what comes by them).
 */
#ifndef SOPHIA_IO_REDIS_LINK_INTERNAL_H
#define SOPHIA_IO_REDIS_LINK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "io/backoff.h"
#include "io/redis_link.h"
#include "io/redis_link_greeting.h"
#include "io/redis_link_wire.h"
#include "io/resolve.h"

enum { SUBSCRIPTION_KINDS = REDIS_SHARD_CHANNEL + 1 };

enum link_state { LINK_IDLE, LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_GREETING, LINK_UP };

/* A command without a reply. */
struct pending {
    redis_reply_fn *on_reply; /* NULL: nobody cares */
    void *context;
    uint64_t sent_at_us;
};

struct redis_link {
    struct loop *loop;
    struct redis_link_options options;
    struct redis_link_events events;
    struct metric *up, *reconnects, *rtt, *refused;

    enum link_state state;
    bool is_subscriber;
    bool is_destroyed; /* freed at the end of this turn */
    bool is_dropping;  /* a drop is queued; dead for the owner already */
    bool was_up;       /* at least once */
    bool is_flapping;  /* came up and fell at once: told once, not each time */
    struct backoff backoff;
    struct loop_timer *timer; /* wait, deadline of an attempt, or the next look at a connection that is up */
    uint64_t timer_due_ms;
    struct resolution *resolution;
    struct loop_watch *watch;
    struct redis_wire wire;
    struct loop_deferred writing, dropping, freeing;

    struct redis_greeting greeting;
    char where[REDIS_HOST_BYTES + 16];
    uint16_t port;          /* of the target being dialled */
    size_t sentinel, asked; /* index of the one to ask; how many were asked in this attempt */
    uint32_t attempts;      /* which address of a name is next */
    unsigned steps_left;    /* greeting replies to come */
    uint64_t up_at_ms;
    uint64_t heard_at_ms;  /* last whole reply */
    uint64_t pinged_at_ms; /* subscriber: PING without a PONG; 0: none */
    uint64_t rtt_us;
    char reason[REDIS_REASON_BYTES]; /* "" while up */
    char told[REDIS_REASON_BYTES];   /* in the log, last */

    struct pending *pending; /* ring */
    size_t pending_capacity, pending_first, pending_count;
    struct map subscriptions[SUBSCRIPTION_KINDS]; /* channel -> the link itself; only the names matter */
};

/** Connected and alive for its owner: greeting or up, no drop queued. Ask after every callback. */
bool redis_link_is_open(const struct redis_link *link);
/** To be written at the end of this turn. Result: as redis_wire_append(). */
MUST_CHECK enum result redis_link_queue(struct redis_link *link, size_t argc, const char *const *argv,
                                        const size_t *lengths);
/** The end of this connection, now; calls back. */
void redis_link_drop(struct redis_link *link, const char *reason);
/** The same at the end of this turn, from calls of the owner. */
void redis_link_drop_later(struct redis_link *link, const char *reason);

/** Ask for every subscription: the connection is new. */
void redis_link_queue_subscriptions(struct redis_link *link);
/** What a subscriber hears, answers included. */
void redis_link_take_push(struct redis_link *link, const struct redisReply *reply);

#endif
