/* Each reason has its counter from the start, so that a series of zeros can be told from one that is missing. */
#include "access/token_door.h"

#include <stdio.h>
#include <stdlib.h>

#include "access/jwk_file.h"
#include "access/jwks_feed.h"
#include "access/token_cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/result.h"

struct token_door {
    struct token_door_options options;
    struct jwk_set *keys;      /* NULL: not fetched yet */
    struct jwks_feed *feed;    /* NULL: they are read from a file */
    int64_t written_s;         /* when their file was, or they came */
    struct token_cache *known; /* NULL: none are remembered */
    struct metric *results[JWT_REASON_COUNT];
    struct metric *reloads[2]; /* refused, done */
    struct metric *age;
    struct metric *looked_up[2]; /* miss, hit */
    struct metric *evictions;
    struct metric *entries;
};

static void register_metrics(struct token_door *door, struct metrics *metrics)
{
    static const char *const reloads[2] = {"result=\"refused\"", "result=\"ok\""};
    for (int reason = 0; reason < JWT_REASON_COUNT; reason++) {
        char label[64];
        (void)snprintf(label, sizeof label, "result=\"%s\"", jwt_reason_name((enum jwt_reason)reason));
        door->results[reason] = metrics_counter(metrics, "gw_auth_tokens_total", label,
                                                "Signed tokens of viewers, by what was found.");
    }
    for (unsigned i = 0; i < 2; i++) {
        door->reloads[i] = metrics_counter(metrics, "gw_auth_key_reloads_total", reloads[i],
                                           "Times that the keys of tokens were read again.");
    }
    static const char *const lookups[2] = {"result=\"miss\"", "result=\"hit\""};
    for (unsigned i = 0; i < 2; i++) {
        door->looked_up[i] = metrics_counter(
            metrics, "gw_auth_token_cache_total", lookups[i],
            "Signed tokens shown: a miss was verified, signature included; a hit had been found good before.");
    }
    door->evictions = metrics_counter(metrics, "gw_auth_token_cache_evictions_total", NULL,
                                      "Good tokens forgotten before their end, for want of room.");
    door->entries =
        metrics_gauge(metrics, "gw_auth_token_cache_entries", NULL, "Good tokens that are remembered.");
    door->age =
        metrics_gauge(metrics, "gw_auth_key_age_seconds", NULL,
                      "Since the file with the keys of tokens was written, or their issuer told of others.");
}

/** NULL with problem. */
static struct jwk_set *read_keys(const struct token_door *door, int64_t *out_written_s,
                                 char problem[JWK_PROBLEM_BYTES])
{
    struct jwk_file file;
    struct jwk_set *keys = jwk_file_read(door->options.jwk_file, JWK_TO_VERIFY, &file, problem);
    if (keys) {
        *out_written_s = file.written_s;
    }
    return keys;
}

static void log_keys(const char *message, const struct token_door *door)
{
    log_info(message, LOG_TEXT("jwk_file", door->options.jwk_file),
             LOG_INT("keys", jwk_set_count(door->keys)));
}

static void take_keys(struct token_door *door, struct jwk_set *keys)
{
    jwk_set_destroy(door->keys);
    door->keys = keys;
    if (door->known) { /* what a key that is gone has signed is not good any more */
        token_cache_clear(door->known);
        metric_set(door->entries, 0);
    }
    token_door_tick(door, clock_wall_ms() / 1000);
}

static void on_keys(void *context, struct jwk_set *keys)
{
    struct token_door *door = context;
    door->written_s = clock_wall_ms() / 1000;
    take_keys(door, keys);
}

/** The keys, or where they will come from. */
static bool open_source(struct token_door *door, struct metrics *metrics)
{
    const struct token_door_options *options = &door->options;
    char problem[JWK_PROBLEM_BYTES] = "";
    if (options->jwks_url) {
        const struct jwks_feed_options feed = {
            .loop = options->loop,
            .metrics = metrics,
            .url = options->jwks_url,
            .ca_file = options->ca_file,
            .refresh_s = options->refresh_s,
            .context = door,
            .on_keys = on_keys,
        };
        door->feed = jwks_feed_create(&feed);
        return door->feed != NULL;
    }
    door->keys = read_keys(door, &door->written_s, problem);
    if (!door->keys) {
        log_error("token keys failed", LOG_TEXT("jwk_file", options->jwk_file), LOG_TEXT("err", problem));
        return false;
    }
    log_keys("token keys loaded", door);
    return true;
}

struct token_door *token_door_create(const struct token_door_options *options, struct metrics *metrics)
{
    struct token_door *door = calloc(1, sizeof *door);
    if (!door) {
        log_error("token keys failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    door->options = *options;
    if (!open_source(door, metrics)) {
        goto fail;
    }
    door->known = options->max_cached > 0 ? token_cache_create(options->max_cached) : NULL;
    if (options->max_cached > 0 && !door->known) {
        log_error("token keys failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        goto fail;
    }
    register_metrics(door, metrics);
    token_door_tick(door, clock_wall_ms() / 1000);
    return door;

fail:
    token_door_destroy(door);
    return NULL;
}

void token_door_destroy(struct token_door *door)
{
    if (door) {
        jwks_feed_destroy(door->feed);
        jwk_set_destroy(door->keys);
        token_cache_destroy(door->known);
        free(door);
    }
}

bool token_door_reload(struct token_door *door)
{
    char problem[JWK_PROBLEM_BYTES];
    if (door->feed) {
        jwks_feed_refresh(door->feed);
        return true;
    }
    struct jwk_set *fresh = read_keys(door, &door->written_s, problem);
    metric_add(door->reloads[fresh ? 1 : 0], 1);
    if (!fresh) {
        log_error("token keys refused, the ones before stay", LOG_TEXT("jwk_file", door->options.jwk_file),
                  LOG_TEXT("err", problem));
        return false;
    }
    take_keys(door, fresh);
    log_keys("token keys reloaded", door);
    return true;
}

/** A token that was good before: true when it is known, and then whether it still is. */
static bool is_known(struct token_door *door, const unsigned char *digest, int64_t now_s,
                     struct jwt_claims *out_claims, enum jwt_reason *out_reason)
{
    struct jwt_claims claims;
    int64_t leeway_s = door->options.rules.leeway_s;
    if (!token_cache_find(door->known, digest, &claims) || now_s + leeway_s < claims.not_before_s) {
        return false; /* the second: the clock was set back, jwt_verify() says the word */
    }
    *out_reason = now_s >= claims.expires_s + leeway_s ? JWT_EXPIRED : JWT_OK;
    if (*out_reason == JWT_OK) {
        *out_claims = claims;
    } else {
        token_cache_drop(door->known, digest);
    }
    return true;
}

static enum jwt_reason check(struct token_door *door, const char *token, size_t length, int64_t now_s,
                             struct jwt_claims *out_claims)
{
    unsigned char digest[TOKEN_DIGEST_BYTES];
    enum jwt_reason reason = JWT_TOO_BIG;
    bool may_know = door->known && length <= TOKEN_MAX_BYTES && token_digest(token, length, digest);
    if (may_know && is_known(door, digest, now_s, out_claims, &reason)) {
        metric_add(door->looked_up[1], 1);
        return reason;
    }
    metric_add(door->looked_up[0], 1);
    if (!door->keys) {
        return JWT_KEYS_COMING;
    }
    reason = jwt_verify(token, length, door->keys, &door->options.rules, now_s, out_claims);
    if (reason == JWT_UNKNOWN_KID && door->feed && jwks_feed_wish(door->feed)) {
        return JWT_KEYS_COMING;
    }
    if (may_know && reason == JWT_OK && token_cache_keep(door->known, digest, out_claims)) {
        metric_add(door->evictions, 1);
    }
    return reason;
}

static bool is_revoked(const struct token_door *door, const struct jwt_claims *claims)
{
    const struct revocations *revoked = door->options.revoked;
    return revoked && revocations_cover(revoked, claims->subject, claims->id, claims->issued_s);
}

enum jwt_reason token_door_check(struct token_door *door, const char *token, size_t length, int64_t now_s,
                                 struct jwt_claims *out_claims)
{
    struct jwt_claims claims;
    enum jwt_reason reason = check(door, token, length, now_s, &claims);
    /* Known or not: what is remembered is what was signed. */
    if (reason == JWT_OK && is_revoked(door, &claims)) {
        reason = JWT_REVOKED;
    }
    if (reason == JWT_OK) {
        *out_claims = claims;
    }
    metric_add(door->results[reason], 1);
    if (door->known) {
        metric_set(door->entries, (double)token_cache_count(door->known));
    }
    return reason;
}

bool token_door_has_keys(const struct token_door *door)
{
    return door->keys != NULL;
}

bool token_door_is_late(const struct token_door *door)
{
    return door->feed && jwks_feed_is_late(door->feed);
}

void token_door_tick(struct token_door *door, int64_t now_s)
{
    metric_set(door->age, door->keys ? (double)(now_s - door->written_s) : 0);
    if (door->feed) {
        jwks_feed_tick(door->feed);
    }
}
