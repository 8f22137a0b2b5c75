/* Each reason has its counter from the start, so that a series of zeros can be told from one that is missing. */
#include "access/token_door.h"

#include <stdio.h>
#include <stdlib.h>

#include "access/jwk_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/result.h"

struct token_door {
    struct token_door_options options;
    struct jwk_set *keys;
    int64_t written_s; /* when their file was */
    struct metric *results[JWT_REASON_COUNT];
    struct metric *reloads[2]; /* refused, done */
    struct metric *age;
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
    door->age = metrics_gauge(metrics, "gw_auth_key_age_seconds", NULL,
                              "Since the file with the keys of tokens was written.");
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

struct token_door *token_door_create(const struct token_door_options *options, struct metrics *metrics)
{
    char problem[JWK_PROBLEM_BYTES];
    struct token_door *door = calloc(1, sizeof *door);
    if (!door) {
        log_error("token keys failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    door->options = *options;
    door->keys = read_keys(door, &door->written_s, problem);
    if (!door->keys) {
        log_error("token keys failed", LOG_TEXT("jwk_file", options->jwk_file), LOG_TEXT("err", problem));
        goto fail;
    }
    register_metrics(door, metrics);
    token_door_tick(door, clock_wall_ms() / 1000);
    log_keys("token keys loaded", door);
    return door;

fail:
    token_door_destroy(door);
    return NULL;
}

void token_door_destroy(struct token_door *door)
{
    if (door) {
        jwk_set_destroy(door->keys);
        free(door);
    }
}

bool token_door_reload(struct token_door *door)
{
    char problem[JWK_PROBLEM_BYTES];
    struct jwk_set *fresh = read_keys(door, &door->written_s, problem);
    metric_add(door->reloads[fresh ? 1 : 0], 1);
    if (!fresh) {
        log_error("token keys refused, the ones before stay", LOG_TEXT("jwk_file", door->options.jwk_file),
                  LOG_TEXT("err", problem));
        return false;
    }
    jwk_set_destroy(door->keys);
    door->keys = fresh;
    token_door_tick(door, clock_wall_ms() / 1000);
    log_keys("token keys reloaded", door);
    return true;
}

enum jwt_reason token_door_check(struct token_door *door, const char *token, size_t length, int64_t now_s,
                                 struct jwt_claims *out_claims)
{
    enum jwt_reason reason = jwt_verify(token, length, door->keys, &door->options.rules, now_s, out_claims);
    metric_add(door->results[reason], 1);
    return reason;
}

void token_door_tick(struct token_door *door, int64_t now_s)
{
    metric_set(door->age, (double)(now_s - door->written_s));
}
