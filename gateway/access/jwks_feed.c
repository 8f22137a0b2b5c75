/*
 * One timer: the next fetch. After a failure it comes with full jitter, from a second up to a minute, never later than in turn. What was
 * fetched is compared by its digest with what is in force: an issuer without ETags that says the same again makes nobody
 * verify anything anew.
 */
#include "access/jwks_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/token_cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/backoff.h"
#include "io/http_fetch.h"

enum { RETRY_BASE_MS = 1000, RETRY_LIMIT_MS = 60000, LATE_AFTER = 3 };

enum fetched { FETCHED_NEW, FETCHED_SAME, FETCHED_REFUSED, FETCH_FAILED, FETCHED_COUNT };

struct jwks_feed {
    struct jwks_feed_options options;
    struct http_fetch *fetch;
    struct loop_timer *timer;
    struct backoff backoff;
    unsigned char digest[TOKEN_DIGEST_BYTES]; /* of the text in force */
    bool has_keys;
    bool has_wished;
    bool is_told; /* that it fails */
    uint64_t wished_ms;
    uint64_t confirmed_ms; /* by the issuer; before the first: when we began */
    struct metric *fetches[FETCHED_COUNT];
    struct metric *wishes[2]; /* limited, fetched */
    struct metric *age;
};

static uint64_t now_ms(const struct jwks_feed *feed)
{
    return loop_now_ms(feed->options.loop);
}

/** Uniform within a tenth of the interval, either way. */
static uint64_t refresh_in_ms(const struct jwks_feed *feed)
{
    uint64_t refresh_ms = (uint64_t)feed->options.refresh_s * 1000;
    return refresh_ms - refresh_ms / 10 + random_u64() % (refresh_ms / 5 + 1);
}

/* ---- what came of it ---- */

static void confirmed(struct jwks_feed *feed, enum fetched what)
{
    metric_add(feed->fetches[what], 1);
    backoff_reset(&feed->backoff);
    feed->confirmed_ms = now_ms(feed);
    feed->is_told = false;
    jwks_feed_tick(feed);
    loop_timer_arm(feed->timer, refresh_in_ms(feed));
}

static void failed(struct jwks_feed *feed, enum fetched what, const char *problem)
{
    uint64_t retry_ms = backoff_next_ms(&feed->backoff, random_u64());
    uint64_t refresh_ms = refresh_in_ms(feed);
    metric_add(feed->fetches[what], 1);
    loop_timer_arm(feed->timer, retry_ms < refresh_ms ? retry_ms : refresh_ms);
    if (!feed->is_told) { /* once until it works again: the counter has the rest */
        feed->is_told = true;
        log_error(feed->has_keys ? "token keys not fetched, the ones before stay" : "token keys not fetched",
                  LOG_TEXT("jwks_url", feed->options.url), LOG_TEXT("err", problem));
    }
}

static bool has_secret(const struct jwk_set *keys)
{
    for (size_t i = 0; i < jwk_set_count(keys); i++) {
        if (jwk_algorithm(jwk_set_at(keys, i)) == JWK_HS256) {
            return true;
        }
    }
    return false;
}

/** NULL with problem. */
static struct jwk_set *read_keys(const char *text, size_t length, char problem[JWK_PROBLEM_BYTES])
{
    struct jwk_set *keys = jwk_set_read(text, length, JWK_TO_VERIFY, problem);
    if (keys && has_secret(keys)) {
        jwk_set_destroy(keys);
        (void)snprintf(problem, JWK_PROBLEM_BYTES, "holds a secret (\"kty\": \"oct\")"); /* fits */
        return NULL;
    }
    return keys;
}

static void on_body(void *context, const char *body, size_t length)
{
    struct jwks_feed *feed = context;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    char problem[JWK_PROBLEM_BYTES] = "memory ran out";
    bool has_digest = body && token_digest(body, length, digest);
    if (!body || (has_digest && feed->has_keys && memcmp(digest, feed->digest, sizeof digest) == 0)) {
        confirmed(feed, FETCHED_SAME);
        return;
    }
    struct jwk_set *keys = has_digest ? read_keys(body, length, problem) : NULL;
    if (!keys) {
        http_fetch_forget(feed->fetch); /* or its ETag would call it the one we have */
        failed(feed, FETCHED_REFUSED, problem);
        return;
    }
    memcpy(feed->digest, digest, sizeof digest);
    feed->has_keys = true;
    log_info("token keys fetched", LOG_TEXT("jwks_url", feed->options.url),
             LOG_INT("keys", jwk_set_count(keys)));
    feed->options.on_keys(feed->options.context, keys);
    confirmed(feed, FETCHED_NEW);
}

static void on_failure(void *context, const char *problem)
{
    failed(context, FETCH_FAILED, problem);
}

/* ---- when ---- */

void jwks_feed_refresh(struct jwks_feed *feed)
{
    loop_timer_disarm(feed->timer); /* armed again by what comes of it */
    http_fetch_start(feed->fetch);
}

static void on_due(void *context)
{
    jwks_feed_refresh(context);
}

bool jwks_feed_wish(struct jwks_feed *feed)
{
    if (http_fetch_is_busy(feed->fetch)) {
        return true;
    }
    if (feed->has_wished && now_ms(feed) - feed->wished_ms < JWKS_FEED_WISH_EVERY_MS) {
        metric_add(feed->wishes[0], 1);
        return false;
    }
    feed->has_wished = true;
    feed->wished_ms = now_ms(feed);
    metric_add(feed->wishes[1], 1);
    jwks_feed_refresh(feed);
    return http_fetch_is_busy(feed->fetch);
}

bool jwks_feed_is_late(const struct jwks_feed *feed)
{
    return now_ms(feed) - feed->confirmed_ms > (uint64_t)feed->options.refresh_s * LATE_AFTER * 1000;
}

void jwks_feed_tick(struct jwks_feed *feed)
{
    metric_set(feed->age, (double)(now_ms(feed) - feed->confirmed_ms) / 1000);
}

/* ---- life ---- */

static void register_metrics(struct jwks_feed *feed)
{
    static const char *const results[FETCHED_COUNT] = {
        [FETCHED_NEW] = "result=\"new\"",
        [FETCHED_SAME] = "result=\"same\"",
        [FETCHED_REFUSED] = "result=\"refused\"",
        [FETCH_FAILED] = "result=\"failed\"",
    };
    static const char *const wishes[2] = {"result=\"limited\"", "result=\"fetched\""};
    struct metrics *metrics = feed->options.metrics;
    for (unsigned i = 0; i < FETCHED_COUNT; i++) {
        feed->fetches[i] = metrics_counter(metrics, "gw_auth_key_fetches_total", results[i],
                                           "Times that the keys of tokens were fetched from their issuer.");
    }
    for (unsigned i = 0; i < 2; i++) {
        feed->wishes[i] =
            metrics_counter(metrics, "gw_auth_key_wishes_total", wishes[i],
                            "Tokens with an unknown key: was it fetched for, or too soon again.");
    }
    feed->age = metrics_gauge(metrics, "gw_auth_key_fetch_age_seconds", NULL,
                              "Since the issuer last told or confirmed the keys of tokens.");
}

struct jwks_feed *jwks_feed_create(const struct jwks_feed_options *options)
{
    struct jwks_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        return NULL;
    }
    feed->options = *options;
    const struct http_fetch_options fetch = {
        .loop = options->loop,
        .url = options->url,
        .ca_file = options->ca_file,
        .timeout_ms = JWKS_FEED_TIMEOUT_MS,
        .max_bytes = JWK_SET_MAX_BYTES,
        .context = feed,
        .on_body = on_body,
        .on_failure = on_failure,
    };
    backoff_init(&feed->backoff, RETRY_BASE_MS, RETRY_LIMIT_MS);
    feed->confirmed_ms = now_ms(feed);
    feed->timer = loop_timer_create(options->loop, on_due, feed);
    feed->fetch = feed->timer ? http_fetch_create(&fetch) : NULL;
    if (!feed->fetch) {
        jwks_feed_destroy(feed);
        return NULL;
    }
    register_metrics(feed);
    loop_timer_arm(feed->timer, 0);
    return feed;
}

void jwks_feed_destroy(struct jwks_feed *feed)
{
    if (feed) {
        http_fetch_destroy(feed->fetch);
        loop_timer_destroy(feed->timer);
        free(feed);
    }
}
