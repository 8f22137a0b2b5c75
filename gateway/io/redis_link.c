/*
 * The life of a link. One attempt goes through the states below; whatever goes wrong on the way ends in redis_link_drop(),
 * the only place that closes a connection, answers what is outstanding and tells the owner.
 *
 *   IDLE -> WAITING -> RESOLVING -> CONNECTING -> GREETING -> UP
 *             ^            ^------ a Sentinel named the master ---'
 *             '---- redis_link_drop: backoff, or at once the next Sentinel ----'
 *
 * Calls from the owner never run callbacks: what they break is dropped at the end of the loop turn. destroy()
 * frees at the end of the turn as well; after every callback it is checked whether the link is still alive.
 * Commands queued in one turn are written together at its end.
 */
#include "io/redis_link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/redis_link_internal.h"

enum {
    INTERNAL_COMMANDS = REDIS_GREETING_STEP_COUNT + 1, /* room beside max_outstanding: the greeting, a PING */
    READS_PER_TURN = 64,                               /* 1 MiB; the other descriptors get their turn then */
    MAX_SUBSCRIPTIONS = 1 << 20,
};

static void attempt(struct redis_link *link);
static void on_turn_end_write(void *context);

/* ---- outstanding commands ---- */

static struct pending *oldest_pending(struct redis_link *link)
{
    return link->pending_count > 0 ? &link->pending[link->pending_first] : NULL;
}

static void push_pending(struct redis_link *link, redis_reply_fn *on_reply, void *context)
{
    assert(link->pending_count < link->pending_capacity);
    size_t at = (link->pending_first + link->pending_count) % link->pending_capacity;
    link->pending[at] =
        (struct pending){.on_reply = on_reply, .context = context, .sent_at_us = clock_monotonic_us()};
    link->pending_count++;
}

static struct pending pop_pending(struct redis_link *link)
{
    struct pending oldest = link->pending[link->pending_first];
    link->pending_first = (link->pending_first + 1) % link->pending_capacity;
    link->pending_count--;
    return oldest;
}

static void answer_all_without_reply(struct redis_link *link)
{
    while (link->pending_count > 0) {
        struct pending lost = pop_pending(link);
        if (lost.on_reply != NULL) {
            lost.on_reply(lost.context, NULL);
        }
    }
}

/* ---- time ---- */

static void arm(struct redis_link *link, uint64_t delay_ms)
{
    link->timer_due_ms = clock_monotonic_ms() + delay_ms;
    loop_update_now(link->loop);
    loop_timer_arm(link->timer, delay_ms);
}

/* When a connection that is up must be looked at. */
static uint64_t due_ms(struct redis_link *link)
{
    const struct redis_server *server = link->options.server;
    const struct pending *oldest = oldest_pending(link);
    if (oldest != NULL) {
        return oldest->sent_at_us / 1000 + server->reply_timeout_ms + link->options.waits_ms;
    }
    if (link->pinged_at_ms != 0) {
        /* The PONG comes behind messages that are on their way: any of them is a sign of life. */
        uint64_t last_ms = link->pinged_at_ms > link->heard_at_ms ? link->pinged_at_ms : link->heard_at_ms;
        return last_ms + server->reply_timeout_ms;
    }
    return link->heard_at_ms + server->ping_after_ms;
}

static void arm_look(struct redis_link *link)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t due = due_ms(link);
    arm(link, due > now ? due - now : 0);
}

/* ---- writing ---- */

static void watch_for(struct redis_link *link)
{
    int events = LOOP_READABLE | (redis_wire_has_output(&link->wire) ? LOOP_WRITABLE : 0);
    loop_watch_change(link->watch, events);
}

static void drop_with_errno(struct redis_link *link, const char *what, int error)
{
    char reason[REDIS_REASON_BYTES];
    (void)snprintf(reason, sizeof reason, "%s at %s: %s: %s",
                   link->greeting.is_sentinel ? "sentinel" : "redis", link->where, what, strerror(error));
    redis_link_drop(link, reason);
}

static void on_turn_end_write(void *context)
{
    struct redis_link *link = context;
    if (link->state != LINK_UP && link->state != LINK_GREETING) {
        return;
    }
    if (!redis_wire_flush(&link->wire)) {
        drop_with_errno(link, "write failed", errno);
        return;
    }
    watch_for(link);
}

enum result redis_link_queue(struct redis_link *link, size_t argc, const char *const *argv,
                             const size_t *lengths)
{
    enum result result = redis_wire_append(&link->wire, argc, argv, lengths);
    if (result == RESULT_OK) {
        loop_defer(link->loop, &link->writing, on_turn_end_write, link);
    }
    return result;
}

/* ---- going down ---- */

static bool has_sentinels(const struct redis_link *link)
{
    return link->options.server->sentinels != NULL && link->options.server->sentinels[0] != NULL;
}

static size_t sentinel_count(const struct redis_link *link)
{
    size_t count = 0;
    while (link->options.server->sentinels[count] != NULL) {
        count++;
    }
    return count;
}

/* Up for longer than it would have been waited for. */
static bool is_stable(const struct redis_link *link)
{
    return link->state == LINK_UP &&
           clock_monotonic_ms() - link->up_at_ms >= link->options.server->reconnect_limit_ms;
}

static void close_connection(struct redis_link *link)
{
    resolve_cancel(link->resolution);
    link->resolution = NULL;
    loop_watch_destroy(link->watch);
    link->watch = NULL;
    redis_wire_close(&link->wire);
    loop_cancel_deferred(link->loop, &link->writing);
    loop_cancel_deferred(link->loop, &link->dropping);
    link->is_dropping = false;
    link->pinged_at_ms = 0;
    link->steps_left = 0;
}

static void log_down(struct redis_link *link, const char *reason, bool was_stable)
{
    if (was_stable || strcmp(reason, link->told) != 0) {
        log_warn("redis link down", LOG_TEXT("link", link->options.name), LOG_TEXT("reason", reason));
        (void)snprintf(link->told, sizeof link->told, "%s", reason);
    }
}

static void log_up(struct redis_link *link)
{
    log_info("redis link up", LOG_TEXT("link", link->options.name), LOG_TEXT("server", link->where));
    link->told[0] = '\0';
}

/* A Sentinel that does not help: the next one is asked at once, until all were. */
static bool ask_next_sentinel(struct redis_link *link)
{
    if (!link->greeting.is_sentinel) {
        return false;
    }
    size_t count = sentinel_count(link);
    link->sentinel = (link->sentinel + 1) % count;
    if (++link->asked >= count) {
        return false;
    }
    link->state = LINK_WAITING;
    arm(link, 0);
    return true;
}

void redis_link_drop(struct redis_link *link, const char *reason)
{
    char told[REDIS_REASON_BYTES]; /* reason may be link->reason, or belong to the wire */
    (void)snprintf(told, sizeof told, "%s", reason);
    bool was_up = link->state == LINK_UP;
    bool was_stable = is_stable(link);
    close_connection(link);
    if (ask_next_sentinel(link)) {
        link->pending_count = 0; /* only the greeting, which has no listener */
        return;
    }
    link->state = LINK_WAITING;
    link->asked = 0;
    link->greeting.is_sentinel = false;
    metric_set(link->up, 0);
    if (was_stable) {
        backoff_reset(&link->backoff); /* one that comes up and falls at once keeps its distance */
    }
    link->attempts++;
    arm(link, backoff_next_ms(&link->backoff, random_u64()));
    link->is_flapping = was_up && !was_stable;
    log_down(link, told, was_stable);
    (void)snprintf(link->reason, sizeof link->reason, "%s", told);
    answer_all_without_reply(link);
    if (!link->is_destroyed && link->state != LINK_UP && link->events.on_down != NULL) {
        link->events.on_down(link->events.context, told);
    }
}

static void on_turn_end_drop(void *context)
{
    struct redis_link *link = context;
    char reason[REDIS_REASON_BYTES];
    (void)snprintf(reason, sizeof reason, "%s", link->reason);
    link->reason[0] = '\0';
    redis_link_drop(link, reason);
}

/* From a call of the owner: dead at once, told at the end of the turn. */
void redis_link_drop_later(struct redis_link *link, const char *reason)
{
    if (link->is_dropping || link->state != LINK_UP) {
        return;
    }
    link->is_dropping = true;
    (void)snprintf(link->reason, sizeof link->reason, "%s", reason);
    loop_defer(link->loop, &link->dropping, on_turn_end_drop, link);
}

/* ---- replies ---- */

static void go_up(struct redis_link *link)
{
    link->state = LINK_UP;
    link->up_at_ms = clock_monotonic_ms();
    link->heard_at_ms = link->up_at_ms;
    link->reason[0] = '\0';
    link->asked = 0;
    metric_set(link->up, 1);
    if (link->was_up) {
        metric_add(link->reconnects, 1);
    }
    link->was_up = true;
    if (!link->is_flapping) {
        log_up(link);
    }
    redis_link_queue_subscriptions(link);
    arm_look(link);
    if (link->events.on_up != NULL) {
        link->events.on_up(link->events.context);
    }
}

/* The Sentinel has said where the master is. */
static void turn_to_master(struct redis_link *link)
{
    close_connection(link);
    link->pending_count = 0;
    link->greeting.is_sentinel = false;
    attempt(link);
}

/* Steps that this connection needs are answered in their order; the context of each is its number. */
static void on_greeting_reply(void *context, const struct redisReply *reply)
{
    (void)context;
    (void)reply; /* judged by take_greeting() */
}

static void take_greeting(struct redis_link *link, enum redis_greeting_step step,
                          const struct redisReply *reply)
{
    char reason[REDIS_REASON_BYTES];
    if (!redis_greeting_accept(&link->greeting, step, reply, reason)) {
        redis_link_drop(link, reason);
    } else if (--link->steps_left == 0) {
        if (link->greeting.is_sentinel) {
            turn_to_master(link);
        } else {
            go_up(link);
        }
    }
}

static void measure(struct redis_link *link, const struct pending *answered)
{
    if (link->options.waits_ms != 0) {
        return;
    }
    uint64_t took_us = clock_monotonic_us() - answered->sent_at_us;
    link->rtt_us = link->rtt_us == 0 ? took_us : (link->rtt_us * 7 + took_us) / 8;
    metric_observe(link->rtt, (double)took_us / 1e6);
}

/* The server turned into a replica while we were connected. */
static bool says_read_only(const struct redisReply *reply)
{
    const char *text = redis_reply_text(reply, NULL);
    return redis_reply_type(reply) == REDIS_ERROR && text != NULL && strncmp(text, "READONLY", 8) == 0;
}

static void take_answer(struct redis_link *link, const struct redisReply *reply)
{
    if (link->pending_count == 0) {
        const char *text = redis_reply_text(reply, NULL);
        char reason[REDIS_REASON_BYTES];
        (void)snprintf(reason, sizeof reason, "redis at %s said what was not asked: %.200s", link->where,
                       text != NULL ? text : "");
        redis_link_drop(link, reason);
        return;
    }
    struct pending answered = pop_pending(link);
    if (answered.on_reply == on_greeting_reply) {
        take_greeting(link, (enum redis_greeting_step)(uintptr_t)answered.context, reply);
        return;
    }
    measure(link, &answered);
    if (answered.on_reply != NULL) {
        answered.on_reply(answered.context, reply);
    }
    if (!link->is_destroyed && says_read_only(reply)) {
        char reason[REDIS_REASON_BYTES];
        (void)snprintf(reason, sizeof reason, "redis at %s has become a replica", link->where);
        redis_link_drop_later(link, reason);
    }
}

bool redis_link_is_open(const struct redis_link *link)
{
    return !link->is_destroyed && !link->is_dropping &&
           (link->state == LINK_UP || link->state == LINK_GREETING);
}

/* Every whole reply that is there. */
static void take_replies(struct redis_link *link)
{
    while (redis_link_is_open(link)) {
        redisReply *reply = NULL;
        const char *error = NULL;
        if (!redis_wire_next(&link->wire, &reply, &error)) {
            char reason[REDIS_REASON_BYTES];
            (void)snprintf(reason, sizeof reason, "redis at %s sent what is not to be used: %s", link->where,
                           error);
            redis_link_drop(link, reason);
            return;
        }
        if (reply == NULL) {
            return;
        }
        link->heard_at_ms = clock_monotonic_ms();
        if (link->state == LINK_UP && link->is_subscriber) {
            redis_link_take_push(link, reply);
        } else {
            take_answer(link, reply);
        }
        freeReplyObject(reply);
    }
}

static void drop_ended(struct redis_link *link)
{
    char reason[REDIS_REASON_BYTES];
    (void)snprintf(reason, sizeof reason,
                   link->state == LINK_UP ? "redis at %s closed the connection"
                                          : "redis at %s closed the connection before it answered",
                   link->where);
    redis_link_drop(link, reason);
}

static void read_some(struct redis_link *link)
{
    for (int i = 0; i < READS_PER_TURN && redis_link_is_open(link); i++) {
        switch (redis_wire_fill(&link->wire)) {
        case REDIS_WIRE_NOTHING:
            return;
        case REDIS_WIRE_END:
            drop_ended(link);
            return;
        case REDIS_WIRE_FAILED:
            drop_with_errno(link, "read failed", errno);
            return;
        case REDIS_WIRE_SOME:
            take_replies(link);
            break;
        }
    }
}

/* ---- connecting ---- */

static void queue_greeting(struct redis_link *link)
{
    link->state = LINK_GREETING;
    link->steps_left = 0;
    for (unsigned step = 0; step < REDIS_GREETING_STEP_COUNT; step++) {
        const char *words[REDIS_GREETING_MAX_WORDS];
        char scratch[64];
        size_t count =
            redis_greeting_command(&link->greeting, (enum redis_greeting_step)step, words, scratch);
        if (count == 0) {
            continue;
        }
        if (redis_link_queue(link, count, words, NULL) != RESULT_OK) {
            redis_link_drop(link, "no memory to greet redis");
            return;
        }
        push_pending(link, on_greeting_reply, (void *)(uintptr_t)step);
        link->steps_left++;
    }
}

static void on_connected(struct redis_link *link)
{
    int error = redis_wire_error(&link->wire);
    if (error != 0) {
        drop_with_errno(link, "connect failed", error);
        return;
    }
    loop_watch_change(link->watch, LOOP_READABLE);
    queue_greeting(link);
}

static void on_socket(void *context, int events, bool failed)
{
    struct redis_link *link = context;
    if (failed) {
        int error = redis_wire_error(&link->wire);
        drop_with_errno(link, link->state == LINK_CONNECTING ? "connect failed" : "connection lost",
                        error != 0 ? error : ECONNRESET);
        return;
    }
    if (link->state == LINK_CONNECTING) {
        on_connected(link);
        return;
    }
    if ((events & LOOP_WRITABLE) != 0) {
        on_turn_end_write(link);
    }
    if ((events & LOOP_READABLE) != 0 && redis_link_is_open(link)) {
        read_some(link);
    }
    if (redis_link_is_open(link) && link->state == LINK_UP && link->timer_due_ms > due_ms(link)) {
        arm_look(link);
    }
}

static void dialled(struct redis_link *link, enum result result)
{
    if (result != RESULT_OK) {
        drop_with_errno(link, "connect failed", result == RESULT_NO_MEMORY ? ENOMEM : errno);
        return;
    }
    link->state = LINK_CONNECTING;
    link->watch = loop_watch_create(link->loop, link->wire.fd, LOOP_WRITABLE, on_socket, link);
    if (link->watch == NULL) {
        drop_with_errno(link, "connect failed", ENOMEM);
    }
}

static void on_address(void *context, const char *address, const char *error)
{
    struct redis_link *link = context;
    link->resolution = NULL; /* it frees itself */
    if (address == NULL) {
        char reason[REDIS_REASON_BYTES];
        (void)snprintf(reason, sizeof reason, "%s at %s: the name was not found: %.200s",
                       link->greeting.is_sentinel ? "sentinel" : "redis", link->where, error);
        redis_link_drop(link, reason);
        return;
    }
    dialled(link, redis_wire_dial(&link->wire, address, link->port));
}

static void dial_place(struct redis_link *link, const char *host, uint16_t port)
{
    (void)snprintf(link->where, sizeof link->where, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                   port);
    link->port = port;
    link->state = LINK_RESOLVING;
    link->resolution = resolve_start_at(link->loop, host, link->attempts, on_address, link);
    if (link->resolution == NULL) {
        drop_with_errno(link, "connect failed", ENOMEM);
    }
}

static void dial_sentinel(struct redis_link *link)
{
    const char *place = link->options.server->sentinels[link->sentinel];
    char host[REDIS_HOST_BYTES];
    uint16_t port = 0;
    if (!redis_split_place(place, 26379, host, &port)) {
        char reason[REDIS_REASON_BYTES];
        (void)snprintf(reason, sizeof reason, "sentinel \"%.200s\" is not host:port: check redis.sentinels",
                       place);
        redis_link_drop(link, reason);
        return;
    }
    dial_place(link, host, port);
}

/* Dial what is next: a Sentinel, the master it named, or the server of the configuration. */
static void attempt(struct redis_link *link)
{
    const struct redis_server *server = link->options.server;
    arm(link, server->connect_timeout_ms);
    if (link->greeting.is_sentinel) {
        dial_sentinel(link);
    } else if (has_sentinels(link)) {
        dial_place(link, link->greeting.master_host, link->greeting.master_port);
    } else if (server->unix_path != NULL) {
        (void)snprintf(link->where, sizeof link->where, "%s", server->unix_path);
        dialled(link, redis_wire_dial_unix(&link->wire, server->unix_path));
    } else {
        dial_place(link, server->host, server->port);
    }
}

/* ---- the timer ---- */

static void ping(struct redis_link *link)
{
    const char *words[] = {"PING"};
    if (redis_link_queue(link, 1, words, NULL) != RESULT_OK) {
        redis_link_drop(link, "no memory to ping redis");
        return;
    }
    if (link->is_subscriber) {
        link->pinged_at_ms = clock_monotonic_ms();
    } else {
        push_pending(link, NULL, NULL);
    }
    arm_look(link);
}

static void drop_silent(struct redis_link *link, uint32_t waited_ms)
{
    char reason[REDIS_REASON_BYTES];
    (void)snprintf(reason, sizeof reason, "%s at %s has not answered for %u ms",
                   link->greeting.is_sentinel ? "sentinel" : "redis", link->where, waited_ms);
    redis_link_drop(link, reason);
}

static void look(struct redis_link *link)
{
    /* If it was us who slept, the answer waits in the socket. */
    read_some(link);
    if (!redis_link_is_open(link)) {
        return;
    }
    if (link->is_flapping && is_stable(link)) {
        link->is_flapping = false;
        log_up(link);
    }
    if (clock_monotonic_ms() < due_ms(link)) {
        arm_look(link);
    } else if (link->pending_count > 0 || link->pinged_at_ms != 0) {
        drop_silent(link, link->options.server->reply_timeout_ms + link->options.waits_ms);
    } else {
        ping(link);
    }
}

static void on_timer(void *context)
{
    struct redis_link *link = context;
    switch (link->state) {
    case LINK_WAITING:
        link->greeting.is_sentinel = has_sentinels(link);
        attempt(link);
        break;
    case LINK_UP:
        look(link);
        break;
    case LINK_IDLE:
        break;
    default:
        drop_silent(link, link->options.server->connect_timeout_ms);
        break;
    }
}

/* ---- the owner's side ---- */

static void register_metrics(struct redis_link *link, struct metrics *metrics)
{
    char label[80];
    (void)snprintf(label, sizeof label, "link=\"%s\"", link->options.name);
    link->up = metrics_gauge(metrics, "gw_redis_link_up", label, "1 while this connection to Redis works");
    link->reconnects =
        metrics_counter(metrics, "gw_redis_reconnects_total", label, "Times a connection to Redis came back");
    link->rtt = metrics_histogram(metrics, "gw_redis_rtt_seconds", label, "From a command to its reply",
                                  METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    link->refused = metrics_counter(metrics, "gw_redis_refused_total", label,
                                    "Commands not taken: Redis was down or too many were outstanding");
}

static void link_free(void *context)
{
    struct redis_link *link = context;
    for (size_t kind = 0; kind < SUBSCRIPTION_KINDS; kind++) {
        map_finish(&link->subscriptions[kind]);
    }
    redis_wire_close(&link->wire);
    free(link->pending);
    free(link);
}

struct redis_link *redis_link_create(struct loop *loop, struct metrics *metrics,
                                     const struct redis_link_options *options,
                                     const struct redis_link_events *events)
{
    assert(options->max_outstanding > 0);
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return NULL;
    }
    link->loop = loop;
    link->options = *options;
    link->events = *events;
    link->greeting.server = options->server;
    link->greeting.link_name = link->options.name;
    link->greeting.where = link->where;
    redis_wire_init(&link->wire);
    backoff_init(&link->backoff, options->server->reconnect_base_ms, options->server->reconnect_limit_ms);
    for (size_t kind = 0; kind < SUBSCRIPTION_KINDS; kind++) {
        map_init(&link->subscriptions[kind], MAX_SUBSCRIPTIONS);
    }
    (void)snprintf(link->reason, sizeof link->reason, "not connected yet");
    link->pending_capacity = options->max_outstanding + INTERNAL_COMMANDS;
    link->pending = calloc(link->pending_capacity, sizeof *link->pending);
    link->timer = loop_timer_create(loop, on_timer, link);
    if (link->pending == NULL || link->timer == NULL) {
        loop_timer_destroy(link->timer);
        link_free(link);
        return NULL;
    }
    register_metrics(link, metrics);
    return link;
}

void redis_link_start(struct redis_link *link)
{
    if (link->state == LINK_IDLE) {
        link->state = LINK_WAITING;
        arm(link, 0);
    }
}

void redis_link_destroy(struct redis_link *link)
{
    if (link == NULL || link->is_destroyed) {
        return;
    }
    link->is_destroyed = true;
    close_connection(link);
    loop_timer_destroy(link->timer);
    link->state = LINK_IDLE;
    metric_set(link->up, 0);
    answer_all_without_reply(link);
    loop_defer(link->loop, &link->freeing, link_free, link);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == LINK_UP && !link->is_dropping;
}

const char *redis_link_reason(const struct redis_link *link)
{
    return link->reason;
}

uint64_t redis_link_client_id(const struct redis_link *link)
{
    return link->state == LINK_UP ? link->greeting.client_id : 0;
}

uint64_t redis_link_rtt_us(const struct redis_link *link)
{
    return link->rtt_us;
}

uint32_t redis_link_server_version(const struct redis_link *link)
{
    return link->greeting.version;
}

bool redis_link_server_is_cluster(const struct redis_link *link)
{
    return link->greeting.is_cluster;
}

void redis_link_reject(struct redis_link *link, const char *reason)
{
    redis_link_drop_later(link, reason);
}

enum result redis_link_send(struct redis_link *link, redis_reply_fn *on_reply, void *context, size_t argc,
                            const char *const *argv, const size_t *lengths)
{
    assert(!link->is_subscriber);
    enum result result = RESULT_UNAVAILABLE;
    if (redis_link_is_up(link)) {
        result = link->pending_count >= link->options.max_outstanding
                     ? RESULT_FULL
                     : redis_link_queue(link, argc, argv, lengths);
    }
    if (result != RESULT_OK) {
        metric_add(link->refused, 1);
        return result;
    }
    push_pending(link, on_reply, context);
    if (link->pending_count == 1 && link->timer_due_ms > due_ms(link)) {
        arm_look(link);
    }
    return RESULT_OK;
}
