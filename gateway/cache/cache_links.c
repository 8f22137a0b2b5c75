/*
 * Two links to Redis: one for commands, one that hears what other processes wrote. The server tells the second
 * about keys written by anybody but the first (CLIENT TRACKING ... REDIRECT BCAST NOLOOP). That holds only while both connections live,
 * and the server does not say when it ends, so either link going down ends the trust in L1, and it
 * returns when tracking has been confirmed anew.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/cache_internal.h"

#define INVALIDATE_CHANNEL "__redis__:invalidate"

enum { MAX_OUTSTANDING = 4096, TOKEN_LENGTH = 16 };

static void set_trust(struct cache *cache, bool is_trusted)
{
    if (cache->l1.is_trusted == is_trusted) {
        return;
    }
    if (is_trusted) {
        l1_trust(&cache->l1);
        log_info("cache hears the writes of other processes");
    } else {
        l1_distrust(&cache->l1, cache_now_ms(cache));
        log_warn("cache hears no writes of other processes, values are good for a second");
    }
    metric_set(cache->counts.tracking, is_trusted ? 1 : 0);
}

/* ---- tracking ---- */

static void on_tracking(void *context, enum l2_outcome outcome)
{
    struct cache *cache = context;
    struct cache_links *links = &cache->links;
    links->tracking = NULL;
    bool is_same = links->is_subscribed && redis_link_client_id(links->tracker) == links->tracked_id;
    if (outcome == L2_YES && is_same) {
        set_trust(cache, true);
    }
}

void cache_links_track(struct cache *cache)
{
    struct cache_links *links = &cache->links;
    if (cache->l1.is_trusted || links->tracking || !links->is_subscribed ||
        !redis_link_is_up(links->commands)) {
        return;
    }
    links->tracked_id = redis_link_client_id(links->tracker);
    links->tracking = l2_track(cache->l2, links->tracked_id, on_tracking, cache);
}

static void on_commands_up(void *context)
{
    struct cache *cache = context;
    l2_on_up(cache->l2);
    cache_links_track(cache);
}

static void on_commands_down(void *context, const char *reason)
{
    (void)reason; /* the link logs it */
    set_trust(context, false);
}

static void on_tracker_up(void *context)
{
    (void)context; /* its subscriptions are not confirmed yet */
}

static void on_tracker_down(void *context, const char *reason)
{
    struct cache *cache = context;
    (void)reason;
    cache->links.is_subscribed = false;
    set_trust(cache, false);
}

static void on_subscribed(void *context, const char *channel)
{
    struct cache *cache = context;
    if (strcmp(channel, INVALIDATE_CHANNEL) == 0) {
        cache->links.is_subscribed = true;
        cache_links_track(cache);
    }
}

/* ---- what is told ---- */

static void key_changed(struct cache *cache, const char *key)
{
    struct flight *flight = flights_find(&cache->flights, key);
    metric_add(cache->counts.invalidations, 1);
    (void)l1_mark_changed(&cache->l1, key); /* it need not be here */
    if (flight) {
        cache_load_key_changed(flight);
    }
}

static void all_changed(struct cache *cache)
{
    metric_add(cache->counts.invalidations, l1_mark_shared_changed(&cache->l1));
    LIST_EACH(node, &cache->flights.all) {
        struct flight *flight = LIST_ITEM(node, struct flight, in_table);
        if (flight->is_current) {
            cache_load_key_changed(flight);
        }
    }
}

static void on_invalidation(struct cache *cache, const char *name, size_t length)
{
    char key[CACHE_KEY_MAX_BYTES + 1];
    const char *within = name ? l2_key_within(cache->l2, name, length) : NULL;
    if (!name) {
        all_changed(cache);
        return;
    }
    size_t key_length = within ? length - (size_t)(within - name) : 0;
    if (within && key_length <= CACHE_KEY_MAX_BYTES) {
        memcpy(key, within, key_length);
        key[key_length] = '\0';
        key_changed(cache, key);
    }
}

/* "<token of the process><k or c><key or class>" */
static void on_cleared(struct cache *cache, const char *payload, size_t length)
{
    char text[TOKEN_LENGTH + 1 + CACHE_KEY_MAX_BYTES + 1];
    if (length <= TOKEN_LENGTH + 1 || length >= sizeof text ||
        memcmp(payload, cache->links.token, TOKEN_LENGTH) == 0) {
        return;
    }
    memcpy(text, payload, length);
    text[length] = '\0';
    const char *name = text + TOKEN_LENGTH + 1;
    if (text[TOKEN_LENGTH] == 'k') {
        (void)cache_drop(cache, name); /* what was held is the other process's to tell */
    } else if (text[TOKEN_LENGTH] == 'c') {
        size_t class = cache_class_find(cache->options.classes, cache->options.class_count, name);
        if (class < cache->options.class_count) {
            (void)cache_drop_class(cache, class); /* likewise */
        }
    }
}

static void on_message(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t payload_length)
{
    struct cache *cache = context;
    (void)pattern;
    if (channel_length == strlen(INVALIDATE_CHANNEL) &&
        memcmp(channel, INVALIDATE_CHANNEL, channel_length) == 0) {
        on_invalidation(cache, payload, payload_length);
    } else if (payload) {
        on_cleared(cache, payload, payload_length);
    }
}

void cache_links_tell(struct cache *cache, char kind, const char *what)
{
    char payload[TOKEN_LENGTH + 1 + CACHE_KEY_MAX_BYTES + 1];
    if (!cache->l2) {
        return;
    }
    /* Keys have their limit. */
    (void)snprintf(payload, sizeof payload, "%s%c%s", cache->links.token, kind, what);
    if (!l2_publish(cache->l2, cache->links.clear_channel, payload)) {
        log_warn("other processes could not be told to clear their caches");
    }
}

/* ---- life cycle ---- */

static bool links_create(struct cache *cache)
{
    struct cache_links *links = &cache->links;
    const struct redis_link_options command_options = {
        .name = "cache", .server = cache->options.redis, .max_outstanding = MAX_OUTSTANDING};
    const struct redis_link_options tracker_options = {
        .name = "cache-tracker", .server = cache->options.redis, .max_outstanding = MAX_OUTSTANDING};
    const struct redis_link_events command_events = {
        .context = cache, .on_up = on_commands_up, .on_down = on_commands_down};
    const struct redis_link_events tracker_events = {.context = cache,
                                                     .on_up = on_tracker_up,
                                                     .on_down = on_tracker_down,
                                                     .on_message = on_message,
                                                     .on_subscribed = on_subscribed};
    links->commands = redis_link_create(cache->loop, cache->metrics, &command_options, &command_events);
    links->tracker = redis_link_create(cache->loop, cache->metrics, &tracker_options, &tracker_events);
    return links->commands && links->tracker &&
           redis_link_subscribe(links->tracker, REDIS_CHANNEL, INVALIDATE_CHANNEL) == RESULT_OK &&
           redis_link_subscribe(links->tracker, REDIS_CHANNEL, links->clear_channel) == RESULT_OK;
}

enum result cache_links_open(struct cache *cache)
{
    static const char suffix[] = "cache-clear";
    struct cache_links *links = &cache->links;
    const struct cache_options *options = &cache->options;
    if (!options->redis) {
        return RESULT_OK;
    }
    size_t size = strlen(options->prefix) + sizeof suffix;
    (void)snprintf(links->token, sizeof links->token, "%016" PRIx64, random_u64());
    links->clear_channel = malloc(size);
    cache->l2 = l2_create(options->prefix, &options->breaker, options->now_ms);
    if (!links->clear_channel || !cache->l2) {
        return RESULT_NO_MEMORY;
    }
    (void)snprintf(links->clear_channel, size, "%s%s", options->prefix, suffix);
    if (!links_create(cache)) {
        return RESULT_NO_MEMORY;
    }
    l2_set_link(cache->l2, links->commands);
    l1_distrust(&cache->l1, cache_now_ms(cache)); /* until tracking is on */
    redis_link_start(links->commands);
    redis_link_start(links->tracker);
    return RESULT_OK;
}

void cache_links_close(struct cache *cache)
{
    l2_destroy(cache->l2); /* first: replies that the links still give must not find it */
    cache->l2 = NULL;
    redis_link_destroy(cache->links.tracker);
    redis_link_destroy(cache->links.commands);
    free(cache->links.clear_channel);
}
