/*
 * A message waits in a queue until this process forwards, the journal is attached and there is room in flight; usually
 * that is at once. The queue is capped by count and bytes, and the oldest goes first: newer values replace older ones.
 * A process that does not forward keeps in it what is younger than two lease times, because that is what the one that
 * just died may not have forwarded.
 *
 * The clock of everything here is one timer of 250 ms.
 */
#include "sources/redis_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/redis_lease.h"
#include "protocol/limits.h"
#include "sources/redis_rereads.h"
#include "sources/redis_streams.h"

#define NAME "redis"

enum {
    TICK_MS = 250,
    HEARTBEAT_EVERY_MS = 5000,
    HEARTBEAT_WITHIN_MS = 2000,
    LEASE_TTL_MS = 3000,
    WAITING_MAX = 10000,
    WAITING_MAX_BYTES = 16 << 20,
    IN_FLIGHT_MAX = 512,
    HEARTBEAT_CHANNEL_BYTES = 256,
    REASON_BYTES = 700,
};

struct message {
    struct list_node node;
    uint64_t heard_at_ms;
    enum redis_mapping_kind kind; /* channel or pattern: how it came */
    size_t length;
    char *payload; /* behind the name, in the same allocation */
    char name[];   /* of the channel or pattern */
};

struct heartbeat {
    char channel[HEARTBEAT_CHANNEL_BYTES];
    bool is_subscribed; /* the server has confirmed it */
    bool is_on_its_way; /* PUBLISH is not answered yet */
    bool is_awaited;    /* it is answered: the message must come */
    uint64_t sent_at_ms;
    uint64_t awaited_since_ms;
    uint64_t number;
};

struct redis_source {
    struct source source;
    struct redis_source_options options;
    struct redis_submissions submissions;
    struct redis_feeds feeds;
    struct redis_rereads rereads;
    struct redis_calls calls;
    struct redis_streams *streams; /* NULL: none */
    struct redis_link *subscriber; /* while started */
    struct redis_lease *lease;     /* NULL: not shared */
    struct loop_timer *timer;
    struct heartbeat heartbeat;
    struct list_node waiting;
    size_t waiting_count, waiting_bytes, in_flight;
    bool is_started, is_active, is_pumping;
    uint64_t generation; /* of the pipeline when everything was read last */
    struct metric *waiting_gauge, *heartbeats_lost;
    bool was_reported, was_up;
    char reason[REASON_BYTES];
};

/* ---- health ---- */

static const char *problem_of(const struct redis_source *redis)
{
    if (!redis_link_is_up(redis->subscriber)) {
        return redis_link_reason(redis->subscriber);
    }
    return redis->streams ? redis_streams_problem(redis->streams) : NULL;
}

static void report(struct redis_source *redis)
{
    const char *problem = problem_of(redis);
    bool is_up = problem == NULL;
    if (redis->was_reported && redis->was_up == is_up && (is_up || strcmp(redis->reason, problem) == 0)) {
        return;
    }
    redis->was_reported = true;
    redis->was_up = is_up;
    (void)snprintf(redis->reason, sizeof redis->reason, "%s", is_up ? "" : problem);
    pipeline_report_source(redis->options.pipeline, NAME, is_up, is_up ? NULL : redis->reason);
}

static void on_streams_health(void *context)
{
    struct redis_source *redis = context;
    if (redis->subscriber && redis->streams) {
        report(redis);
    }
}

/* ---- messages that wait ---- */

static void message_destroy(struct redis_source *redis, struct message *message)
{
    list_remove(&message->node);
    redis->waiting_count--;
    redis->waiting_bytes -= message->length;
    free(message);
}

static struct message *oldest_waiting(struct redis_source *redis)
{
    return list_is_empty(&redis->waiting) ? NULL : LIST_ITEM(redis->waiting.next, struct message, node);
}

static void keep_message(struct redis_source *redis, const struct redis_feed *feed, const char *payload,
                         size_t length)
{
    size_t name_bytes = strlen(feed->name) + 1;
    struct message *message = malloc(sizeof *message + name_bytes + length);
    if (!message) {
        redis_submissions_drop(&redis->submissions, feed->name);
        return;
    }
    message->heard_at_ms = redis->options.now().monotonic_ms;
    message->kind = feed->kind;
    message->length = length;
    message->payload = message->name + name_bytes;
    memcpy(message->name, feed->name, name_bytes);
    memcpy(message->payload, payload, length);
    list_append(&redis->waiting, &message->node);
    redis->waiting_count++;
    redis->waiting_bytes += length;
    while (redis->waiting_count > WAITING_MAX || redis->waiting_bytes > WAITING_MAX_BYTES) {
        struct message *oldest = oldest_waiting(redis);
        if (redis->is_active) {
            redis_submissions_drop(&redis->submissions, oldest->name);
        }
        message_destroy(redis, oldest);
    }
}

/* What another process has surely forwarded. */
static void forget_old(struct redis_source *redis)
{
    uint64_t now = redis->options.now().monotonic_ms;
    uint64_t kept_ms = 2 * (uint64_t)redis->options.lease_ttl_ms;
    for (struct message *oldest = oldest_waiting(redis); oldest && now - oldest->heard_at_ms > kept_ms;
         oldest = oldest_waiting(redis)) {
        message_destroy(redis, oldest);
    }
}

static void pump(struct redis_source *redis);

static void on_submitted(void *context, void *subject, enum result outcome)
{
    (void)subject;
    (void)outcome; /* what the journal could not take is counted; keys are read again when it is back */
    struct redis_source *redis = context;
    redis->in_flight--;
    pump(redis);
}

static void submit(struct redis_source *redis, const struct message *message)
{
    const struct redis_feed *feed =
        redis_feeds_find(&redis->feeds, message->kind, message->name, strlen(message->name));
    if (!feed) {
        return; /* the definitions have changed: nobody listens any more */
    }
    const struct redis_meaning meaning = {
        .catalog = pipeline_catalog(redis->options.pipeline),
        .form = feed->form,
        .fields = (const char *const *)feed->fields,
        .field_count = feed->field_count,
    };
    redis->in_flight++;
    redis_submissions_take(&redis->submissions, feed->name, &meaning, message->payload, message->length,
                           on_submitted, redis, NULL);
}

static bool may_submit(const struct redis_source *redis)
{
    return redis->is_active && redis->in_flight < IN_FLIGHT_MAX &&
           pipeline_generation(redis->options.pipeline) != 0;
}

static void pump(struct redis_source *redis)
{
    if (redis->is_pumping) {
        return; /* an answer that came at once: the loop below goes on */
    }
    redis->is_pumping = true;
    for (struct message *oldest = oldest_waiting(redis); oldest && may_submit(redis);
         oldest = oldest_waiting(redis)) {
        submit(redis, oldest);
        message_destroy(redis, oldest);
    }
    redis->is_pumping = false;
    metric_set(redis->waiting_gauge, (double)redis->waiting_count);
}

/* ---- heartbeat ---- */

static void lose_heartbeat(struct redis_source *redis, const char *reason)
{
    redis->heartbeat.is_awaited = false;
    metric_add(redis->heartbeats_lost, 1);
    redis_link_reject(redis->subscriber, reason);
}

static void on_published(void *context, void *subject, const struct redisReply *reply)
{
    (void)subject;
    struct redis_source *redis = context;
    struct heartbeat *heartbeat = &redis->heartbeat;
    heartbeat->is_on_its_way = false;
    if (redis_reply_type(reply) == REDIS_INTEGER) {
        heartbeat->awaited_since_ms = redis->options.now().monotonic_ms;
    } else {
        heartbeat->is_awaited = false; /* nothing was published: says nothing about the subscription */
        if (reply) {
            log_warn("redis heartbeat not sent, allow PUBLISH to it", LOG_TEXT("channel", heartbeat->channel),
                     LOG_TEXT("err", redis_reply_text(reply, NULL)));
        }
    }
}

static void send_heartbeat(struct redis_source *redis)
{
    struct heartbeat *heartbeat = &redis->heartbeat;
    char number[24];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)++heartbeat->number);
    const char *const words[] = {"PUBLISH", heartbeat->channel, number};
    heartbeat->sent_at_ms = redis->options.now().monotonic_ms;
    heartbeat->is_on_its_way = heartbeat->is_awaited =
        redis_calls_send(&redis->calls, redis->options.commands, on_published, redis, NULL, 3, words) ==
        RESULT_OK;
}

static void take_heartbeat(struct redis_source *redis, const char *payload, size_t length)
{
    char number[24];
    int expected = snprintf(number, sizeof number, "%llu", (unsigned long long)redis->heartbeat.number);
    if (length == (size_t)expected && memcmp(payload, number, length) == 0) {
        redis->heartbeat.is_awaited = false;
    }
}

static void check_heartbeat(struct redis_source *redis)
{
    struct heartbeat *heartbeat = &redis->heartbeat;
    uint64_t now = redis->options.now().monotonic_ms;
    if (!heartbeat->is_subscribed || !redis_link_is_up(redis->subscriber)) {
        return;
    }
    if (heartbeat->is_awaited && !heartbeat->is_on_its_way &&
        now - heartbeat->awaited_since_ms >= HEARTBEAT_WITHIN_MS) {
        lose_heartbeat(redis, "redis subscription delivers nothing: our own heartbeat did not come back");
    } else if (!heartbeat->is_on_its_way && !heartbeat->is_awaited &&
               now - heartbeat->sent_at_ms >= HEARTBEAT_EVERY_MS) {
        send_heartbeat(redis);
    }
}

/* ---- subscriptions ---- */

static enum redis_subscription subscription_of(const struct redis_feed *feed)
{
    return feed->kind == REDIS_MAPPING_PATTERN ? REDIS_PATTERN : REDIS_CHANNEL;
}

static void subscribe_new(struct redis_source *redis, const struct redis_feeds *before)
{
    for (size_t i = 0; i < redis->feeds.count; i++) {
        struct redis_feed *feed = redis->feeds.at[i];
        const struct redis_feed *old = redis_feeds_find(before, feed->kind, feed->name, strlen(feed->name));
        if (old) {
            continue;
        }
        enum result result = redis_link_subscribe(redis->subscriber, subscription_of(feed), feed->name);
        if (result != RESULT_OK) {
            log_error("redis channel not subscribed", LOG_TEXT("channel", feed->name),
                      LOG_TEXT("err", result_name(result)));
        }
    }
}

static void unsubscribe_old(struct redis_source *redis, const struct redis_feeds *before)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct redis_feed *feed = before->at[i];
        if (!redis_feeds_find(&redis->feeds, feed->kind, feed->name, strlen(feed->name))) {
            enum result result = redis_link_unsubscribe(redis->subscriber, subscription_of(feed), feed->name);
            (void)result; /* what still comes is not found among the feeds */
        }
    }
}

/* The definitions may have changed. */
static void refill_feeds(struct redis_source *redis)
{
    struct redis_feeds feeds;
    redis_feeds_init(&feeds);
    if (redis_feeds_fill(&feeds, pipeline_catalog(redis->options.pipeline), redis->options.channels,
                         redis->options.channel_count) != RESULT_OK) {
        redis_feeds_finish(&feeds);
        log_error("redis channels stay as they were, no memory");
        return;
    }
    redis_rereads_forget(&redis->rereads);
    struct redis_feeds before = redis->feeds;
    redis->feeds = feeds;
    subscribe_new(redis, &before);
    unsubscribe_old(redis, &before);
    redis_feeds_finish(&before);
}

static void want_rereads(struct redis_source *redis, struct redis_feed *feed)
{
    if (redis->is_active) {
        redis_rereads_want(&redis->rereads, feed);
    }
}

static void on_subscribed(void *context, const char *channel)
{
    struct redis_source *redis = context;
    if (strcmp(channel, redis->heartbeat.channel) == 0) {
        redis->heartbeat.is_subscribed = true;
        redis->heartbeat.sent_at_ms = 0; /* at once: is it really alive? */
    }
    size_t length = strlen(channel);
    struct redis_feed *feed = redis_feeds_find(&redis->feeds, REDIS_MAPPING_CHANNEL, channel, length);
    struct redis_feed *pattern = redis_feeds_find(&redis->feeds, REDIS_MAPPING_PATTERN, channel, length);
    /* Subscribed first, read then: what is published in between comes by the subscription. */
    if (feed) {
        want_rereads(redis, feed);
    }
    if (pattern) {
        want_rereads(redis, pattern);
    }
}

static void on_message(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t length)
{
    struct redis_source *redis = context;
    if (!pattern && strcmp(channel, redis->heartbeat.channel) == 0) {
        take_heartbeat(redis, payload, length);
        return;
    }
    struct redis_feed *feed =
        pattern ? redis_feeds_find(&redis->feeds, REDIS_MAPPING_PATTERN, pattern, strlen(pattern))
                : redis_feeds_find(&redis->feeds, REDIS_MAPPING_CHANNEL, channel, channel_length);
    if (!feed) {
        return;
    }
    feed->heard++;
    if (length > INGEST_BODY_MAX_BYTES) {
        redis_submissions_refuse(&redis->submissions, feed->name, RESULT_TOO_BIG, "a message may have 1 MiB");
        return;
    }
    keep_message(redis, feed, payload, length);
    pump(redis);
}

static void forget_heartbeat(struct redis_source *redis)
{
    redis->heartbeat.is_subscribed = false;
    redis->heartbeat.is_awaited = false;
}

static void on_up(void *context)
{
    forget_heartbeat(context);
    report(context);
}

static void on_down(void *context, const char *reason)
{
    (void)reason; /* report() asks the link */
    forget_heartbeat(context);
    report(context);
}

/* ---- who forwards ---- */

static void set_active(struct redis_source *redis, bool is_active)
{
    if (redis->is_active == is_active) {
        return;
    }
    redis->is_active = is_active;
    if (redis->options.is_shared && redis->is_started) {
        log_info(is_active ? "redis messages are forwarded by this process"
                           : "redis messages are forwarded by another process",
                 LOG_TEXT("node", redis->options.node));
    }
    if (is_active) {
        forget_old(redis);
        pump(redis);
        redis_rereads_want(&redis->rereads, NULL);
    }
    if (redis->streams) {
        redis_streams_set_active(redis->streams, is_active);
    }
}

static void on_lease(void *context)
{
    struct redis_source *redis = context;
    set_active(redis, redis->is_started && redis_lease_is_held(redis->lease));
}

/* ---- the timer ---- */

/* What was told may be lost: another journal, a journal that came back, other definitions. */
static void check_generation(struct redis_source *redis)
{
    uint64_t generation = pipeline_generation(redis->options.pipeline);
    if (generation == 0 || generation == redis->generation) {
        return;
    }
    redis->generation = generation;
    refill_feeds(redis);
    want_rereads(redis, NULL);
}

static void on_tick(void *context)
{
    struct redis_source *redis = context;
    loop_timer_arm(redis->timer, TICK_MS);
    check_generation(redis);
    check_heartbeat(redis);
    if (redis->is_active) {
        redis_rereads_run(&redis->rereads);
    } else {
        forget_old(redis);
    }
    pump(redis);
    report(redis);
}

/* ---- life ---- */

static bool open_streams(struct redis_source *redis)
{
    const struct redis_source_options *options = &redis->options;
    if (options->stream_count == 0) {
        return true;
    }
    const struct redis_streams_options streams = {
        .loop = options->loop,
        .metrics = options->metrics,
        .pipeline = options->pipeline,
        .server = options->server,
        .submissions = &redis->submissions,
        .prefix = options->prefix,
        .mappings = options->streams,
        .count = options->stream_count,
        .is_shared = options->is_shared,
        .on_health = on_streams_health,
        .context = redis,
    };
    redis->streams = redis_streams_create(&streams);
    return redis->streams != NULL;
}

static bool open_lease(struct redis_source *redis)
{
    if (!redis->options.is_shared) {
        return true;
    }
    char key[256];
    (void)snprintf(key, sizeof key, "%slease:redis-source", redis->options.prefix);
    redis->lease = redis_lease_create(redis->options.loop, redis->options.commands, key,
                                      redis->options.lease_ttl_ms, on_lease, redis);
    return redis->lease != NULL;
}

static bool open_subscriber(struct redis_source *redis)
{
    const struct redis_link_options options = {
        .name = "channels", .server = redis->options.server, .max_outstanding = 1};
    const struct redis_link_events events = {
        .context = redis,
        .on_up = on_up,
        .on_down = on_down,
        .on_message = on_message,
        .on_subscribed = on_subscribed,
    };
    redis->subscriber = redis_link_create(redis->options.loop, redis->options.metrics, &options, &events);
    return redis->subscriber &&
           redis_link_subscribe(redis->subscriber, REDIS_CHANNEL, redis->heartbeat.channel) == RESULT_OK;
}

static enum result redis_start(struct source *source)
{
    struct redis_source *redis = (struct redis_source *)source;
    redis->is_started = true;
    redis->generation = 0; /* the first tick fills the feeds */
    redis_link_start(redis->subscriber);
    set_active(redis, !redis->options.is_shared || redis_lease_is_held(redis->lease));
    report(redis);
    loop_timer_arm(redis->timer, 0);
    return RESULT_OK;
}

static void redis_stop(struct source *source)
{
    struct redis_source *redis = (struct redis_source *)source;
    redis->is_started = false;
    set_active(redis, false);
    loop_timer_disarm(redis->timer);
}

static void redis_destroy(struct source *source)
{
    struct redis_source *redis = (struct redis_source *)source;
    if (!redis) {
        return;
    }
    redis_submissions_finish(&redis->submissions); /* before the streams: no answer reaches them from here */
    redis_rereads_finish(&redis->rereads);
    redis_calls_finish(&redis->calls);
    redis_lease_destroy(redis->lease);
    redis_streams_destroy(redis->streams);
    redis_link_destroy(redis->subscriber);
    loop_timer_destroy(redis->timer);
    while (oldest_waiting(redis)) {
        message_destroy(redis, oldest_waiting(redis));
    }
    redis_feeds_finish(&redis->feeds);
    free(redis);
}

static const struct source_ops redis_ops = {
    .name = NAME,
    .start = redis_start,
    .stop = redis_stop,
    .destroy = redis_destroy,
};

static void begin(struct redis_source *redis, const struct redis_source_options *options)
{
    redis->source.ops = &redis_ops;
    redis->options = *options;
    if (redis->options.lease_ttl_ms == 0) {
        redis->options.lease_ttl_ms = LEASE_TTL_MS;
    }
    list_init(&redis->waiting);
    redis_feeds_init(&redis->feeds);
    redis_calls_init(&redis->calls);
    redis_submissions_init(&redis->submissions, options->pipeline, options->metrics, options->now);
    redis_rereads_init(&redis->rereads, options->commands, &redis->submissions, &redis->feeds);
    /* Processes of one machine may share a name. */
    (void)snprintf(redis->heartbeat.channel, sizeof redis->heartbeat.channel, "%sheartbeat:%.128s:%08x",
                   options->prefix, options->node, (unsigned)random_u64());
    redis->waiting_gauge = metrics_gauge(options->metrics, "gw_redis_messages_waiting", NULL,
                                         "Messages of Redis that wait for the journal or for their turn");
    redis->heartbeats_lost = metrics_counter(options->metrics, "gw_redis_heartbeats_lost_total", NULL,
                                             "Messages to ourselves that did not come back in time");
}

struct source *redis_source_create(const struct redis_source_options *options)
{
    struct redis_source *redis = calloc(1, sizeof *redis);
    if (!redis) {
        return NULL;
    }
    begin(redis, options);
    redis->timer = loop_timer_create(options->loop, on_tick, redis);
    if (!redis->timer || !open_subscriber(redis) || !open_lease(redis) || !open_streams(redis)) {
        redis_destroy(&redis->source);
        return NULL;
    }
    return &redis->source;
}

struct redis_link *redis_source_subscriber(const struct source *source)
{
    return ((const struct redis_source *)source)->subscriber;
}

struct redis_link *redis_source_streams(const struct source *source)
{
    const struct redis_source *redis = (const struct redis_source *)source;
    return redis->streams ? redis_streams_link(redis->streams) : NULL;
}
