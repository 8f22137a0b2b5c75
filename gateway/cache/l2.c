/*
 * Every command carries a small struct of ours, because the link answers each exactly once, whatever has become of
 * who asked: l2_give_up() and l2_destroy() only cut the callback off.
 *
 * A write or removal that did not get through leaves a copy in Redis that is older than what this process knows. Its key is
 * remembered, and removed as soon as the server answers again.
 */
#include "cache/l2.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

enum {
    HEAD_VERSION_AT = 4,
    HEAD_LIFETIME_AT = 25,
    HEAD_AS_OF_AT = 39,
    NUMBER_MAX = 24,
    SCAN_KEYS_MAX = 4096, /* of one step; the server is asked for far fewer */
    MISSED_MAX = 1000,
};

struct l2 {
    char *values; /* "<prefix>cache:" */
    char *leases; /* "<prefix>lease:" */
    struct redis_link *link;
    struct breaker breaker;
    uint64_t (*now_ms)(void);
    struct list_node requests;
    struct map missed; /* keys of Redis whose copy is older than it should be; no values */
    bool has_forgotten;
};

struct l2_request {
    struct list_node in_l2;
    struct l2 *l2; /* NULL once destroyed */
    void (*on_reply)(struct l2_request *request, const struct redisReply *reply);
    l2_read_fn *on_read;
    l2_done_fn *on_done;
    l2_refused_fn *on_refused;
    void *context;
    size_t max_bytes;
    char text[]; /* of a clearing: the pattern; of a write: the key; of a removal: the key of Redis */
};

/* PTTL and GET at one moment. */
static const char read_script[] = "return {redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[1])}";

/*
 * ARGV: version, TTL, age, remaining lifetime, the value. Versions have 20 digits, so text order is
 * their order.
 */
static const char write_script[] =
    "local head = redis.call('GETRANGE', KEYS[1], 0, 59) "
    "if #head == 60 and string.sub(head, 1, 4) == 'sg1 ' then "
    "local age = tonumber(string.sub(head, 26, 38)) - redis.call('PTTL', KEYS[1]) "
    "local version = string.sub(head, 5, 24) "
    "if version > ARGV[1] and age < tonumber(ARGV[2]) then return 0 end "
    "if version == ARGV[1] and age < tonumber(ARGV[3]) then return 0 end "
    "end "
    "redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[4]) "
    "return 1";

static const char release_script[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/* ---- life cycle ---- */

static char *joined(const char *first, const char *second)
{
    size_t first_length = strlen(first);
    size_t second_size = strlen(second) + 1;
    char *text = malloc(first_length + second_size);
    if (text) {
        memcpy(text, first, first_length);
        memcpy(text + first_length, second, second_size);
    }
    return text;
}

struct l2 *l2_create(const char *prefix, const struct breaker_options *breaker, uint64_t (*now_ms)(void))
{
    struct l2 *l2 = calloc(1, sizeof *l2);
    if (!l2) {
        return NULL;
    }
    list_init(&l2->requests);
    map_init(&l2->missed, MISSED_MAX);
    l2->now_ms = now_ms;
    breaker_init(&l2->breaker, breaker);
    l2->values = joined(prefix, "cache:");
    l2->leases = joined(prefix, "lease:");
    if (!l2->values || !l2->leases) {
        goto fail;
    }
    return l2;

fail:
    l2_destroy(l2);
    return NULL;
}

static void request_forget(struct l2_request *request)
{
    list_remove(&request->in_l2);
    request->l2 = NULL;
    request->on_read = NULL;
    request->on_done = NULL;
    request->on_refused = NULL;
}

void l2_destroy(struct l2 *l2)
{
    if (!l2) {
        return;
    }
    while (!list_is_empty(&l2->requests)) {
        request_forget(LIST_ITEM(l2->requests.next, struct l2_request, in_l2));
    }
    map_finish(&l2->missed);
    free(l2->values);
    free(l2->leases);
    free(l2);
}

void l2_set_link(struct l2 *l2, struct redis_link *link)
{
    l2->link = link;
}

const struct breaker *l2_breaker(const struct l2 *l2)
{
    return &l2->breaker;
}

const char *l2_key_within(const struct l2 *l2, const char *redis_key, size_t length)
{
    size_t prefix_length = strlen(l2->values);
    bool is_ours = length > prefix_length && memcmp(redis_key, l2->values, prefix_length) == 0;
    return is_ours ? redis_key + prefix_length : NULL;
}

/* ---- sending ---- */

static struct l2_request *request_create(struct l2 *l2, const char *text)
{
    size_t size = strlen(text) + 1;
    struct l2_request *request = calloc(1, sizeof *request + size);
    if (request) {
        request->l2 = l2;
        memcpy(request->text, text, size);
        list_append(&l2->requests, &request->in_l2);
    }
    return request;
}

static void request_destroy(struct l2_request *request)
{
    list_remove(&request->in_l2);
    free(request);
}

static void remove_missed(struct l2 *l2);

static void on_link_reply(void *context, const struct redisReply *reply)
{
    struct l2_request *request = context;
    struct l2 *l2 = request->l2;
    if (!l2) {
        request_destroy(request);
        return;
    }
    if (reply) {
        breaker_succeed(&l2->breaker, l2->now_ms());
        remove_missed(l2);
    } else {
        breaker_fail(&l2->breaker, l2->now_ms());
    }
    request->on_reply(request, reply);
}

/* Sends, or destroys the request and returns NULL. */
static struct l2_request *request_send(struct l2_request *request, size_t argc, const char *const *argv,
                                       const size_t *lengths)
{
    if (!request) {
        return NULL;
    }
    struct l2 *l2 = request->l2;
    bool is_up = l2->link && redis_link_is_up(l2->link) && breaker_allow(&l2->breaker, l2->now_ms());
    if (is_up && redis_link_send(l2->link, on_link_reply, request, argc, argv, lengths) == RESULT_OK) {
        return request;
    }
    if (is_up) {
        breaker_fail(&l2->breaker, l2->now_ms()); /* a probe was let through, and has to be told of */
    }
    request_destroy(request);
    return NULL;
}

void l2_on_up(struct l2 *l2)
{
    breaker_succeed(&l2->breaker, l2->now_ms());
    remove_missed(l2); /* before anything is read through this connection */
}

void l2_give_up(struct l2 *l2, struct l2_request *request)
{
    breaker_fail(&l2->breaker, l2->now_ms());
    request_forget(request);
}

static void finish_done(struct l2_request *request, enum l2_outcome outcome)
{
    l2_done_fn *on_done = request->on_done;
    void *context = request->context;
    request_destroy(request);
    if (on_done) {
        on_done(context, outcome);
    }
}

static void log_refusal(const struct redisReply *reply)
{
    if (reply && redis_reply_type(reply) == REDIS_ERROR) {
        log_warn("redis refused a command of the cache, continuing",
                 LOG_TEXT("err", redis_reply_text(reply, NULL)));
    }
}

/* For replies that nobody waits for. */
static void on_ignored(struct l2_request *request, const struct redisReply *reply)
{
    log_refusal(reply);
    request_destroy(request);
}

/* A command that nobody waits for. */
static bool send_ignored(struct l2 *l2, size_t argc, const char *const *argv)
{
    struct l2_request *request = request_create(l2, "");
    if (request) {
        request->on_reply = on_ignored;
    }
    return request_send(request, argc, argv, NULL) != NULL;
}

/* OK is yes, nil is no. */
static void on_status(struct l2_request *request, const struct redisReply *reply)
{
    enum redis_reply_type type = redis_reply_type(reply);
    log_refusal(reply);
    finish_done(request, type == REDIS_STATUS ? L2_YES : type == REDIS_NIL ? L2_NO : L2_DOWN);
}

/* ---- what did not get through ---- */

static void miss(struct l2 *l2, const char *name)
{
    static char mark;
    bool is_kept = name && map_put(&l2->missed, name, strlen(name), &mark) == RESULT_OK;
    if (!is_kept && !l2->has_forgotten) {
        l2->has_forgotten = true; /* once per outage */
        log_warn("cache cannot remember all that redis missed, old copies end by their lifetime");
    }
}

static void on_remove_reply(struct l2_request *request, const struct redisReply *reply)
{
    log_refusal(reply);
    if (!reply) {
        miss(request->l2, request->text);
    }
    request_destroy(request);
}

/* name: of the key in Redis. */
static void remove_key(struct l2 *l2, const char *name)
{
    struct l2_request *request = request_create(l2, name);
    if (request) {
        request->on_reply = on_remove_reply;
    }
    if (!request_send(request, 2, (const char *const[]){"UNLINK", name}, NULL)) {
        miss(l2, name);
    }
}

static void remove_missed(struct l2 *l2)
{
    if (l2->missed.count == 0) {
        return;
    }
    l2->has_forgotten = false;
    struct map missed = l2->missed; /* what fails now is missed anew */
    size_t cursor = 0;
    const char *name = NULL;
    size_t length = 0;
    void *value = NULL;
    map_init(&l2->missed, MISSED_MAX);
    while (map_next(&missed, &cursor, &name, &length, &value)) {
        remove_key(l2, name);
    }
    map_finish(&missed);
}

/* ---- values ---- */

/* A number that fills these bytes, with or without a sign. */
static bool parse_number(const char *at, size_t length, int64_t *out_number)
{
    char text[NUMBER_MAX];
    char *end = NULL;
    memcpy(text, at, length);
    text[length] = '\0';
    *out_number = (int64_t)strtoll(text, &end, 10);
    return *end == '\0';
}

/* What a key of ours holds; NULL when it is not of this form, or memory ran out. */
static struct cache_value *value_decode(const char *text, size_t length, int64_t *out_lifetime_ms)
{
    char version[NUMBER_MAX] = "";
    int64_t as_of_ms = 0;
    if (length < L2_HEAD_BYTES || memcmp(text, "sg1 ", 4) != 0 || text[L2_HEAD_BYTES - 1] != '\n' ||
        !parse_number(text + HEAD_LIFETIME_AT, 13, out_lifetime_ms) ||
        !parse_number(text + HEAD_AS_OF_AT, 20, &as_of_ms)) {
        return NULL;
    }
    memcpy(version, text + HEAD_VERSION_AT, 20);
    if (strspn(version, "0123456789") != 20) {
        return NULL;
    }
    return cache_value_create(text + L2_HEAD_BYTES, length - L2_HEAD_BYTES, strtoull(version, NULL, 10),
                              as_of_ms);
}

static void on_read_reply(struct l2_request *request, const struct redisReply *reply)
{
    l2_read_fn *on_read = request->on_read;
    void *context = request->context;
    size_t max_bytes = request->max_bytes;
    request_destroy(request);
    const struct redisReply *found = redis_reply_at(reply, 1);
    if (redis_reply_count(reply) != 2 || redis_reply_type(found) != REDIS_TEXT) {
        bool is_answer = redis_reply_count(reply) == 2 && redis_reply_type(found) == REDIS_NIL;
        on_read(context, is_answer ? L2_NO : L2_DOWN, NULL, 0);
        return;
    }
    size_t length = 0;
    int64_t lifetime_ms = 0;
    int64_t left_ms = redis_reply_integer(redis_reply_at(reply, 0));
    const char *text = redis_reply_text(found, &length);
    struct cache_value *value =
        left_ms > 0 && length <= max_bytes + L2_HEAD_BYTES ? value_decode(text, length, &lifetime_ms) : NULL;
    bool is_plausible = value && lifetime_ms >= left_ms;
    on_read(context, is_plausible ? L2_YES : L2_NO, is_plausible ? value : NULL,
            is_plausible ? (uint64_t)(lifetime_ms - left_ms) : 0);
    cache_value_unref(value);
}

static char *value_key(const struct l2 *l2, const char *key)
{
    return joined(l2->values, key);
}

struct l2_request *l2_read(struct l2 *l2, const char *key, size_t max_bytes, l2_read_fn *on_read,
                           void *context)
{
    char *name = value_key(l2, key);
    struct l2_request *request = name ? request_create(l2, "") : NULL;
    if (request) {
        const char *const argv[] = {"EVAL", read_script, "1", name};
        request->on_reply = on_read_reply;
        request->on_read = on_read;
        request->context = context;
        request->max_bytes = max_bytes;
        request = request_send(request, 4, argv, NULL);
    }
    free(name);
    return request;
}

/* Head and bytes; NULL when memory ran out, or the lifetime is longer than 300 years. */
static char *value_encode(const struct cache_value *value, uint64_t lifetime_ms, size_t *out_length)
{
    char head[2 * L2_HEAD_BYTES];
    size_t length = 0;
    const char *bytes = cache_value_bytes(value, &length);
    int printed = snprintf(head, sizeof head, "sg1 %020" PRIu64 " %013" PRIu64 " %+020" PRId64 "\n",
                           cache_value_version(value), lifetime_ms, cache_value_as_of_ms(value));
    char *text = printed == L2_HEAD_BYTES ? malloc(L2_HEAD_BYTES + length) : NULL;
    if (text) {
        memcpy(text, head, L2_HEAD_BYTES);
        memcpy(text + L2_HEAD_BYTES, bytes, length);
        *out_length = L2_HEAD_BYTES + length;
    }
    return text;
}

static void on_write_reply(struct l2_request *request, const struct redisReply *reply)
{
    log_refusal(reply);
    if (redis_reply_type(reply) == REDIS_ERROR) {
        AUTO_FREE char *name = joined(request->l2->values, request->text);
        miss(request->l2, name);
    }
    if (redis_reply_type(reply) == REDIS_INTEGER && redis_reply_integer(reply) == 0) {
        request->on_refused(request->context, request->text);
    }
    request_destroy(request);
}

static uint64_t lifetime_of(const struct l2_lifetime *lifetime)
{
    return lifetime->hard_ms + lifetime->hard_ms / 10;
}

/*
 * A value without a version is what its source says now: it replaces whatever is there. It goes by a plain SET because a
 * script's writes come back as invalidations, NOLOOP or not (seen with 7.0.15: the script is another client to the
 * server), and then the next read asks Redis for what is held already.
 */
static struct l2_request *send_write(struct l2_request *request, const char *name,
                                     const struct cache_value *value, const struct l2_lifetime *lifetime)
{
    char version[NUMBER_MAX], ttl[NUMBER_MAX], age[NUMBER_MAX], left[NUMBER_MAX];
    uint64_t lifetime_ms = lifetime_of(lifetime);
    (void)snprintf(version, sizeof version, "%020" PRIu64, cache_value_version(value)); /* all fit */
    (void)snprintf(ttl, sizeof ttl, "%" PRIu64, lifetime->ttl_ms);
    (void)snprintf(age, sizeof age, "%" PRIu64, lifetime->age_ms);
    (void)snprintf(left, sizeof left, "%" PRIu64, lifetime_ms - lifetime->age_ms);
    size_t length = 0;
    AUTO_FREE char *text = value_encode(value, lifetime_ms, &length);
    if (!text) {
        request_destroy(request);
        return NULL;
    }
    if (cache_value_version(value) == 0) {
        const char *const argv[] = {"SET", name, text, "PX", left};
        const size_t lengths[] = {3, strlen(name), length, 2, strlen(left)};
        return request_send(request, 5, argv, lengths);
    }
    const char *const argv[] = {"EVAL", write_script, "1", name, version, ttl, age, left, text};
    const size_t lengths[] = {4,
                              sizeof write_script - 1,
                              1,
                              strlen(name),
                              strlen(version),
                              strlen(ttl),
                              strlen(age),
                              strlen(left),
                              length};
    return request_send(request, 9, argv, lengths);
}

void l2_write(struct l2 *l2, const char *key, const struct cache_value *value,
              const struct l2_lifetime *lifetime, l2_refused_fn *on_refused, void *context)
{
    if (lifetime->age_ms >= lifetime_of(lifetime)) {
        return;
    }
    AUTO_FREE char *name = value_key(l2, key);
    struct l2_request *request = name ? request_create(l2, key) : NULL;
    if (request) {
        request->on_reply = on_write_reply;
        request->on_refused = on_refused;
        request->context = context;
        request = send_write(request, name, value, lifetime);
    }
    if (!request) {
        miss(l2, name);
    }
}

void l2_remove(struct l2 *l2, const char *key)
{
    AUTO_FREE char *name = value_key(l2, key);
    if (name) {
        remove_key(l2, name);
    }
}

/* ---- removing many ---- */

static void scan_on(struct l2 *l2, const char *pattern, const char *cursor);

static void unlink_found(struct l2 *l2, const struct redisReply *keys)
{
    size_t count = redis_reply_count(keys);
    count = count < SCAN_KEYS_MAX ? count : SCAN_KEYS_MAX;
    const char **argv = count > 0 ? calloc(count + 1, sizeof *argv) : NULL;
    if (!argv) {
        return;
    }
    argv[0] = "UNLINK";
    for (size_t i = 0; i < count; i++) {
        argv[i + 1] = redis_reply_text(redis_reply_at(keys, i), NULL);
    }
    (void)send_ignored(l2, count + 1, argv);
    free(argv);
}

static void on_scan_reply(struct l2_request *request, const struct redisReply *reply)
{
    struct l2 *l2 = request->l2;
    const char *cursor = redis_reply_text(redis_reply_at(reply, 0), NULL);
    if (redis_reply_count(reply) == 2 && cursor) {
        unlink_found(l2, redis_reply_at(reply, 1));
        if (strcmp(cursor, "0") != 0) {
            scan_on(l2, request->text, cursor);
        }
    } else {
        log_warn("cache could not be cleared in redis, values end by their lifetime");
    }
    request_destroy(request);
}

static void scan_on(struct l2 *l2, const char *pattern, const char *cursor)
{
    struct l2_request *request = request_create(l2, pattern);
    if (request) {
        request->on_reply = on_scan_reply;
    }
    const char *const argv[] = {"SCAN", cursor, "MATCH", pattern, "COUNT", "500"};
    if (!request_send(request, 6, argv, NULL)) {
        log_warn("cache could not be cleared in redis, values end by their lifetime");
    }
}

/* What matches this text literally, and anything behind it. */
static char *pattern_of(const char *first, const char *second)
{
    char *text = joined(first, second);
    char *pattern = text ? malloc(2 * strlen(text) + 2) : NULL;
    char *to = pattern;
    for (const char *from = text; pattern && *from != '\0'; from++) {
        if (strchr("*?[]^\\", *from)) {
            *to++ = '\\';
        }
        *to++ = *from;
    }
    if (pattern) {
        memcpy(to, "*", 2);
    }
    free(text);
    return pattern;
}

void l2_remove_all(struct l2 *l2, const char *beginning)
{
    char *pattern = pattern_of(l2->values, beginning);
    if (pattern) {
        scan_on(l2, pattern, "0");
    }
    free(pattern);
}

bool l2_publish(struct l2 *l2, const char *channel, const char *payload)
{
    return send_ignored(l2, 3, (const char *const[]){"PUBLISH", channel, payload});
}

/* ---- leases ---- */

struct l2_request *l2_lease(struct l2 *l2, const char *key, const char *token, uint64_t lease_ms,
                            l2_done_fn *on_lease, void *context)
{
    char lifetime[NUMBER_MAX];
    (void)snprintf(lifetime, sizeof lifetime, "%" PRIu64, lease_ms); /* fits */
    char *name = joined(l2->leases, key);
    struct l2_request *request = name ? request_create(l2, "") : NULL;
    if (request) {
        const char *const argv[] = {"SET", name, token, "NX", "PX", lifetime};
        const size_t lengths[] = {3, strlen(name), L2_TOKEN_BYTES, 2, 2, strlen(lifetime)};
        request->on_reply = on_status;
        request->on_done = on_lease;
        request->context = context;
        request = request_send(request, 6, argv, lengths);
    }
    free(name);
    return request;
}

void l2_release(struct l2 *l2, const char *key, const char *token)
{
    char *name = joined(l2->leases, key);
    struct l2_request *request = name ? request_create(l2, "") : NULL;
    if (request) {
        const char *const argv[] = {"EVAL", release_script, "1", name, token};
        const size_t lengths[] = {4, sizeof release_script - 1, 1, strlen(name), L2_TOKEN_BYTES};
        request->on_reply = on_ignored;
        (void)request_send(request, 5, argv, lengths); /* it runs out by itself */
    }
    free(name);
}

/* ---- tracking ---- */

struct l2_request *l2_track(struct l2 *l2, uint64_t client_id, l2_done_fn *on_tracking, void *context)
{
    char id[NUMBER_MAX];
    (void)snprintf(id, sizeof id, "%" PRIu64, client_id); /* fits */
    /* Off first: the same prefix twice is refused as an overlap. */
    if (!send_ignored(l2, 3, (const char *const[]){"CLIENT", "TRACKING", "OFF"})) {
        return NULL;
    }
    struct l2_request *request = request_create(l2, "");
    if (request) {
        request->on_reply = on_status;
        request->on_done = on_tracking;
        request->context = context;
    }
    /* NOLOOP: what this process writes it holds already. */
    const char *const argv[] = {"CLIENT", "TRACKING", "ON",       "REDIRECT", id,
                                "BCAST",  "PREFIX",   l2->values, "NOLOOP"};
    return request_send(request, 9, argv, NULL);
}
