/*
 * Subscriptions of a link, and what comes by them. They are remembered by name and asked for one by one; a server that
 * refuses one is left, because a subscription that is silently missing is worse than no connection.
 */
#include "io/redis_link_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *const subscribe_words[SUBSCRIPTION_KINDS][2] = {
    [REDIS_CHANNEL] = {"UNSUBSCRIBE", "SUBSCRIBE"},
    [REDIS_PATTERN] = {"PUNSUBSCRIBE", "PSUBSCRIBE"},
    [REDIS_SHARD_CHANNEL] = {"SUNSUBSCRIBE", "SSUBSCRIBE"},
};

static void queue_subscription(struct redis_link *link, enum redis_subscription kind, bool is_wanted,
                               const char *channel, size_t length)
{
    const char *words[] = {subscribe_words[kind][is_wanted ? 1 : 0], channel};
    const size_t lengths[] = {strlen(words[0]), length};
    if (redis_link_queue(link, 2, words, lengths) != RESULT_OK) {
        redis_link_drop_later(
            link, "too many unsent subscriptions, or no memory for them"); /* the next attempt asks again */
    }
}

void redis_link_queue_subscriptions(struct redis_link *link)
{
    for (size_t kind = 0; kind < SUBSCRIPTION_KINDS; kind++) {
        const char *channel = NULL;
        size_t length = 0;
        void *unused = NULL;
        for (size_t cursor = 0; map_next(&link->subscriptions[kind], &cursor, &channel, &length, &unused);) {
            queue_subscription(link, (enum redis_subscription)kind, true, channel, length);
        }
    }
}

static bool is_subscribe_word(const char *word)
{
    return strcmp(word, "subscribe") == 0 || strcmp(word, "psubscribe") == 0 ||
           strcmp(word, "ssubscribe") == 0;
}

/* What tracking redirects here has no text but an array of keys, or nil for all of them. */
static void deliver_invalidation(struct redis_link *link, const struct redisReply *keys)
{
    static const char channel[] = "__redis__:invalidate";
    size_t length = 0;
    if (redis_reply_type(keys) == REDIS_NIL) {
        link->events.on_message(link->events.context, NULL, channel, sizeof channel - 1, NULL, 0);
    }
    for (size_t i = 0; i < redis_reply_count(keys) && redis_link_is_open(link); i++) {
        const char *key = redis_reply_text(redis_reply_at(keys, i), &length);
        if (key != NULL) {
            link->events.on_message(link->events.context, NULL, channel, sizeof channel - 1, key, length);
        }
    }
}

static void deliver(struct redis_link *link, const char *pattern, const struct redisReply *channel,
                    const struct redisReply *payload)
{
    size_t channel_length = 0, payload_length = 0;
    const char *channel_text = redis_reply_text(channel, &channel_length);
    if (channel_text != NULL && strcmp(channel_text, "__redis__:invalidate") == 0 &&
        link->events.on_message != NULL) {
        deliver_invalidation(link, payload);
        return;
    }
    const char *payload_text = redis_reply_text(payload, &payload_length);
    if (channel_text != NULL && payload_text != NULL && link->events.on_message != NULL) {
        link->events.on_message(link->events.context, pattern, channel_text, channel_length, payload_text,
                                payload_length);
    }
}

void redis_link_take_push(struct redis_link *link, const struct redisReply *reply)
{
    const char *word = redis_reply_text(redis_reply_at(reply, 0), NULL);
    if (redis_reply_type(reply) == REDIS_STATUS) {
        link->pinged_at_ms = 0; /* PONG of a server that holds no subscription of ours yet */
    } else if (redis_reply_type(reply) == REDIS_ERROR) {
        char reason[REDIS_REASON_BYTES];
        const char *said = redis_reply_text(reply, NULL);
        (void)snprintf(reason, sizeof reason, "redis at %s refused a subscription: %.200s%s", link->where,
                       said,
                       strncmp(said, "NOPERM", 6) == 0 ? " (an ACL must allow the channels, e.g. &*)" : "");
        redis_link_drop(link, reason);
    } else if (word == NULL) {
        redis_link_drop(link,
                        "redis sent something that is neither a message nor an answer to a subscription");
    } else if (strcmp(word, "message") == 0 || strcmp(word, "smessage") == 0) {
        deliver(link, NULL, redis_reply_at(reply, 1), redis_reply_at(reply, 2));
    } else if (strcmp(word, "pmessage") == 0) {
        deliver(link, redis_reply_text(redis_reply_at(reply, 1), NULL), redis_reply_at(reply, 2),
                redis_reply_at(reply, 3));
    } else if (strcmp(word, "pong") == 0) {
        link->pinged_at_ms = 0;
    } else if (is_subscribe_word(word)) {
        const char *channel = redis_reply_text(redis_reply_at(reply, 1), NULL);
        if (channel != NULL && link->events.on_subscribed != NULL) {
            link->events.on_subscribed(link->events.context, channel);
        }
    }
}

enum result redis_link_subscribe(struct redis_link *link, enum redis_subscription kind, const char *channel)
{
    if (!link->is_subscriber) {
        link->is_subscriber = true;
        if (link->state == LINK_UP && link->pending_count > 0) {
            link->pending_count = 0; /* a PING: its PONG is understood as one */
            link->pinged_at_ms = clock_monotonic_ms();
        }
    }
    struct map *subscriptions = &link->subscriptions[kind];
    size_t length = strlen(channel);
    if (map_get(subscriptions, channel, length) != NULL) {
        return RESULT_OK;
    }
    enum result result = map_put(subscriptions, channel, length, link);
    if (result == RESULT_OK && redis_link_is_up(link)) {
        queue_subscription(link, kind, true, channel, length);
    }
    return result;
}

enum result redis_link_unsubscribe(struct redis_link *link, enum redis_subscription kind, const char *channel)
{
    size_t length = strlen(channel);
    if (map_remove(&link->subscriptions[kind], channel, length) != NULL && redis_link_is_up(link)) {
        queue_subscription(link, kind, false, channel, length);
    }
    return RESULT_OK;
}
