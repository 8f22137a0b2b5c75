/*
 * One script does all: take the key when it is free, renew it when it is ours. A renewal that is not answered
 * in time is a loss: the lease is given up before the key expires, never after.
 */
#include "io/redis_lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char *const hold_script =
    "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end "
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end "
    "return 0";
static const char *const release_script =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

struct redis_lease {
    struct loop *loop;
    struct redis_link *link; /* borrowed */
    char *key;               /* owned */
    char token[17];
    char ttl_text[12];
    uint32_t ttl_ms;
    loop_fn *on_change;
    void *context;
    struct loop_timer *timer; /* next renewal, or the end of what is held */
    struct loop_deferred freeing;
    uint64_t asked_at_ms; /* when the request was sent that is under way */
    uint64_t held_until_ms;
    unsigned requests; /* under way: the lease lives until they are answered */
    bool is_held;
    bool is_destroyed;
};

static void set_held(struct redis_lease *lease, bool is_held)
{
    if (lease->is_held != is_held) {
        lease->is_held = is_held;
        lease->on_change(lease->context);
    }
}

static void free_when_unused(struct redis_lease *lease)
{
    if (lease->is_destroyed && lease->requests == 0) {
        loop_cancel_deferred(lease->loop, &lease->freeing);
        free(lease->key);
        free(lease);
    }
}

static void on_reply(void *context, const struct redisReply *reply)
{
    struct redis_lease *lease = context;
    lease->requests--;
    if (!lease->is_destroyed) {
        if (redis_reply_type(reply) == REDIS_INTEGER) {
            bool is_ours = redis_reply_integer(reply) == 1;
            /* Counted from the request: the key expires later than that in any case. */
            lease->held_until_ms = is_ours ? lease->asked_at_ms + lease->ttl_ms : 0;
            set_held(lease, is_ours && clock_monotonic_ms() < lease->held_until_ms);
        }
        return; /* no answer: the timer ends it when its time is over */
    }
    free_when_unused(lease);
}

static bool ask(struct redis_lease *lease, const char *script, bool with_ttl)
{
    const char *words[] = {"EVAL", script, "1", lease->key, lease->token, lease->ttl_text};
    if (redis_link_send(lease->link, on_reply, lease, with_ttl ? 6 : 5, words, NULL) != RESULT_OK) {
        return false;
    }
    lease->requests++;
    return true;
}

static void on_timer(void *context)
{
    struct redis_lease *lease = context;
    uint64_t now = clock_monotonic_ms();
    uint64_t next = lease->ttl_ms / 3;
    if (lease->requests == 0) {
        if (ask(lease, hold_script, true)) {
            lease->asked_at_ms = now;
        } else if (!lease->is_held && next > 200) {
            next = 200; /* Redis is away: be there when it is back */
        }
    }
    if (lease->is_held && lease->held_until_ms < now + next) {
        next = lease->held_until_ms > now ? lease->held_until_ms - now : 0;
    }
    loop_timer_arm(lease->timer, next > 0 ? next : 1);
    if (lease->is_held && now >= lease->held_until_ms) {
        set_held(lease, false); /* last: the owner may destroy the lease */
    }
}

struct redis_lease *redis_lease_create(struct loop *loop, struct redis_link *link, const char *key,
                                       uint32_t ttl_ms, loop_fn *on_change, void *context)
{
    struct redis_lease *lease = calloc(1, sizeof *lease);
    if (lease == NULL) {
        return NULL;
    }
    lease->loop = loop;
    lease->link = link;
    lease->ttl_ms = ttl_ms;
    lease->on_change = on_change;
    lease->context = context;
    (void)snprintf(lease->token, sizeof lease->token, "%016llx", (unsigned long long)random_u64());
    (void)snprintf(lease->ttl_text, sizeof lease->ttl_text, "%u", ttl_ms);
    lease->key = strdup(key);
    lease->timer = loop_timer_create(loop, on_timer, lease);
    if (lease->key == NULL || lease->timer == NULL) {
        loop_timer_destroy(lease->timer);
        free(lease->key);
        free(lease);
        return NULL;
    }
    loop_timer_arm(lease->timer, 0);
    return lease;
}

bool redis_lease_is_held(const struct redis_lease *lease)
{
    return lease->is_held;
}

static void free_at_turn_end(void *context)
{
    free_when_unused(context);
}

void redis_lease_destroy(struct redis_lease *lease)
{
    if (lease == NULL || lease->is_destroyed) {
        return;
    }
    lease->is_destroyed = true;
    loop_timer_destroy(lease->timer);
    if (lease->is_held) {
        (void)ask(lease, release_script, false); /* else it expires by itself */
    }
    lease->is_held = false;
    loop_defer(lease->loop, &lease->freeing, free_at_turn_end, lease);
}
