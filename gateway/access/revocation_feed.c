/*
 * The set is read page by page (SSCAN), so that a long one holds up neither Redis nor this process, into a list of its own that takes the
 * place of the one before at its end. News that arrive meanwhile go into both. It is subscribed first and read then: what
 * is added in between is heard.
 *
 * Two links of its own: a subscriber cannot ask (RESP2), and what is asked here must not outlive the one who asks.
 */
#include "access/revocation_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/revocation_file.h"
#include "base/log.h"
#include "protocol/result.h"

enum {
    LOOK_MS = 250,
    READ_AGAIN_MS = 10000,
    ACT_MS = 50,
    PAGE = 1000,
    MAX_OUTSTANDING = 4,
    KEY_BYTES = 256,
};

#define PAGE_TEXT "1000"

struct revocation_feed {
    struct revocation_feed_options options;
    struct revocations revocations;
    struct revocation_file file;
    struct loop_timer *look, *act;
    char key[KEY_BYTES];
    struct redis_link *reader, *news;
    struct revocation_list *reading; /* NULL: the set is not being read */
    size_t seen, wrong;              /* members, of the reading */
    uint64_t read_again_ms;
    bool is_told; /* that the set cannot be used */
    struct metric *entries[REVOCATION_ORIGIN_COUNT];
    struct metric *reads[REVOCATION_ORIGIN_COUNT][2]; /* refused, ok */
    struct metric *heard[2];
};

static void on_act(void *context)
{
    const struct revocation_feed *feed = context;
    feed->options.on_change(feed->options.context);
}

/** Many news at once are acted on once. */
static void changed(struct revocation_feed *feed, enum revocation_origin origin)
{
    const struct revocation_list *list = feed->revocations.lists[origin];
    metric_set(feed->entries[origin], list ? (double)revocation_list_count(list) : 0);
    if (!loop_timer_is_armed(feed->act)) {
        loop_timer_arm(feed->act, ACT_MS);
    }
}

/* ---- the file ---- */

static bool read_file(struct revocation_feed *feed)
{
    char problem[REVOCATIONS_PROBLEM_BYTES];
    struct revocation_list *list = revocation_file_read(feed->options.file, &feed->file, problem);
    metric_add(feed->reads[REVOKED_BY_FILE][list ? 1 : 0], 1);
    if (!list) {
        log_error("revocations refused, the ones before stay", LOG_TEXT("revoked_file", feed->options.file),
                  LOG_TEXT("err", problem));
        return false;
    }
    revocations_set(&feed->revocations, REVOKED_BY_FILE, list);
    changed(feed, REVOKED_BY_FILE);
    log_info("revocations read", LOG_TEXT("revoked_file", feed->options.file),
             LOG_INT("entries", revocation_list_count(list)));
    return true;
}

/* ---- the set ---- */

static void end_reading(struct revocation_feed *feed)
{
    revocation_list_destroy(feed->reading);
    feed->reading = NULL;
}

static void refuse_set(struct revocation_feed *feed, const char *problem)
{
    end_reading(feed);
    metric_add(feed->reads[REVOKED_BY_REDIS][0], 1);
    if (!feed->is_told) {
        feed->is_told = true;
        log_error("revocations refused, the ones before stay", LOG_TEXT("redis_key", feed->key),
                  LOG_TEXT("err", problem));
    }
}

static void take_set(struct revocation_feed *feed)
{
    revocations_set(&feed->revocations, REVOKED_BY_REDIS, feed->reading);
    feed->reading = NULL;
    metric_add(feed->reads[REVOKED_BY_REDIS][1], 1);
    changed(feed, REVOKED_BY_REDIS);
    if (feed->wrong == 0) {
        feed->is_told = false;
    } else if (!feed->is_told) {
        feed->is_told = true;
        log_warn("revocations that are neither \"jti:...\" nor \"sub:...\", continuing",
                 LOG_TEXT("redis_key", feed->key), LOG_INT("members", feed->wrong));
    }
}

static void on_page(void *context, const struct redisReply *reply);

static void ask_page(struct revocation_feed *feed, const char *cursor)
{
    const char *words[] = {"SSCAN", feed->key, cursor, "COUNT", PAGE_TEXT};
    if (redis_link_send(feed->reader, on_page, feed, 5, words, NULL) != RESULT_OK) {
        end_reading(feed); /* again when it is up */
    }
}

/** False when no more fit. */
static bool take_members(struct revocation_feed *feed, const struct redisReply *members)
{
    for (size_t i = 0; i < redis_reply_count(members); i++) {
        size_t length = 0;
        const char *line = redis_reply_text(redis_reply_at(members, i), &length);
        enum result result =
            line ? revocation_list_add(feed->reading, line, length) : (enum result)RESULT_MALFORMED;
        feed->wrong += result == RESULT_MALFORMED ? 1 : 0;
        if (++feed->seen > 2 * REVOCATIONS_MAX || (result != RESULT_OK && result != RESULT_MALFORMED)) {
            return false;
        }
    }
    return true;
}

static void on_page(void *context, const struct redisReply *reply)
{
    struct revocation_feed *feed = context;
    if (!reply) {
        end_reading(feed);
        return;
    }
    const char *cursor = redis_reply_text(redis_reply_at(reply, 0), NULL);
    if (redis_reply_count(reply) != 2 || !cursor) {
        const char *words = redis_reply_text(reply, NULL);
        refuse_set(feed, words ? words : "no answer to SSCAN");
    } else if (!take_members(feed, redis_reply_at(reply, 1))) {
        refuse_set(feed, result_name(RESULT_FULL));
    } else if (strcmp(cursor, "0") == 0) {
        take_set(feed);
    } else {
        ask_page(feed, cursor);
    }
}

static void read_set(struct revocation_feed *feed)
{
    if (feed->reading || !redis_link_is_up(feed->reader)) {
        return;
    }
    feed->read_again_ms = loop_now_ms(feed->options.loop) + READ_AGAIN_MS;
    feed->reading = revocation_list_create();
    feed->seen = feed->wrong = 0;
    if (!feed->reading) {
        refuse_set(feed, result_name(RESULT_NO_MEMORY));
        return;
    }
    ask_page(feed, "0");
}

/** A reading that is under way may have passed what is asked for: another one follows it. */
static void read_anew(struct revocation_feed *feed)
{
    feed->read_again_ms = 0;
    read_set(feed);
}

/* ---- links ---- */

static void on_reader_up(void *context)
{
    read_set(context);
}

static void on_down(void *context, const char *reason)
{
    (void)context;
    (void)reason; /* shown by who shows links */
}

static void on_subscribed(void *context, const char *channel)
{
    struct revocation_feed *feed = context;
    (void)channel;
    read_anew(feed); /* what was added before we could hear of it */
}

static enum result add_news(struct revocation_feed *feed, const char *line, size_t length)
{
    struct revocation_list **list = &feed->revocations.lists[REVOKED_BY_REDIS];
    if (!*list) {
        *list = revocation_list_create();
    }
    enum result result = *list ? revocation_list_add(*list, line, length) : (enum result)RESULT_NO_MEMORY;
    if (result == RESULT_OK && feed->reading) {
        result = revocation_list_add(feed->reading, line, length);
    }
    return result;
}

static void on_message(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t payload_length)
{
    struct revocation_feed *feed = context;
    (void)pattern;
    (void)channel;
    (void)channel_length;
    if (!payload || payload_length == 0) {
        read_anew(feed); /* something was taken off it */
        return;
    }
    enum result result = add_news(feed, payload, payload_length);
    metric_add(feed->heard[result == RESULT_OK ? 1 : 0], 1);
    if (result == RESULT_OK) {
        changed(feed, REVOKED_BY_REDIS);
    } else if (!feed->is_told) {
        feed->is_told = true;
        log_error("revocation refused", LOG_TEXT("channel", feed->key), LOG_TEXT("err", result_name(result)));
    }
}

static bool open_links(struct revocation_feed *feed)
{
    const struct revocation_feed_options *options = &feed->options;
    const struct redis_link_options reader = {
        .name = "revocations", .server = options->redis, .max_outstanding = MAX_OUTSTANDING};
    const struct redis_link_options news = {
        .name = "revocation-news", .server = options->redis, .max_outstanding = MAX_OUTSTANDING};
    const struct redis_link_events on_reader = {.context = feed, .on_up = on_reader_up, .on_down = on_down};
    const struct redis_link_events on_news = {
        .context = feed, .on_down = on_down, .on_message = on_message, .on_subscribed = on_subscribed};
    int length = snprintf(feed->key, sizeof feed->key, "%s%s", options->prefix, options->redis_key);
    feed->reader = redis_link_create(options->loop, options->metrics, &reader, &on_reader);
    feed->news = redis_link_create(options->loop, options->metrics, &news, &on_news);
    if (length < 0 || (size_t)length >= sizeof feed->key || !feed->reader || !feed->news ||
        redis_link_subscribe(feed->news, REDIS_CHANNEL, feed->key) != RESULT_OK) {
        return false;
    }
    redis_link_start(feed->reader);
    redis_link_start(feed->news);
    return true;
}

/* ---- life ---- */

static void on_look(void *context)
{
    struct revocation_feed *feed = context;
    if (feed->options.file && revocation_file_changed(feed->options.file, &feed->file)) {
        (void)read_file(feed); /* told there */
    }
    if (feed->reader && loop_now_ms(feed->options.loop) >= feed->read_again_ms) {
        read_set(feed);
    }
    loop_timer_arm(feed->look, LOOK_MS);
}

static void register_metrics(struct revocation_feed *feed)
{
    static const char *const from[REVOCATION_ORIGIN_COUNT] = {
        [REVOKED_BY_FILE] = "from=\"file\"", [REVOKED_BY_REDIS] = "from=\"redis\""};
    static const char *const results[2] = {"result=\"refused\"", "result=\"ok\""};
    struct metrics *metrics = feed->options.metrics;
    for (int origin = 0; origin < REVOCATION_ORIGIN_COUNT; origin++) {
        feed->entries[origin] = metrics_gauge(metrics, "gw_auth_revocations", from[origin],
                                              "Tokens and subjects that are shut out.");
        for (unsigned i = 0; i < 2; i++) {
            char labels[64];
            (void)snprintf(labels, sizeof labels, "%s,%s", from[origin], results[i]); /* fits */
            feed->reads[origin][i] = metrics_counter(metrics, "gw_auth_revocation_reads_total", labels,
                                                     "Times that a list of revocations was read.");
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        feed->heard[i] = metrics_counter(metrics, "gw_auth_revocation_news_total", results[i],
                                         "Revocations heard by the channel of Redis.");
    }
}

struct revocation_feed *revocation_feed_create(const struct revocation_feed_options *options)
{
    struct revocation_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        goto fail;
    }
    feed->options = *options;
    register_metrics(feed);
    feed->look = loop_timer_create(options->loop, on_look, feed);
    feed->act = loop_timer_create(options->loop, on_act, feed);
    if (!feed->look || !feed->act || (options->file && !read_file(feed)) ||
        (options->redis && !open_links(feed))) {
        goto fail;
    }
    loop_timer_arm(feed->look, LOOK_MS);
    return feed;

fail:
    log_error("revocations failed");
    revocation_feed_destroy(feed);
    return NULL;
}

void revocation_feed_destroy(struct revocation_feed *feed)
{
    if (feed) {
        redis_link_destroy(feed->news);
        redis_link_destroy(feed->reader); /* ends the reading */
        end_reading(feed);
        loop_timer_destroy(feed->look);
        loop_timer_destroy(feed->act);
        revocations_finish(&feed->revocations);
        free(feed);
    }
}

bool revocation_feed_reload(struct revocation_feed *feed)
{
    if (feed->reader) {
        read_anew(feed);
    }
    return !feed->options.file || read_file(feed);
}

const struct revocations *revocation_feed_list(const struct revocation_feed *feed)
{
    return &feed->revocations;
}

const struct redis_link *revocation_feed_reader(const struct revocation_feed *feed)
{
    return feed->reader;
}

const struct redis_link *revocation_feed_news(const struct revocation_feed *feed)
{
    return feed->news;
}
