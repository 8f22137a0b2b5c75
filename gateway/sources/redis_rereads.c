/*
 * Two commands per key: TYPE says which one reads it. Any failure leaves the key due, for the next run.
 */
#include "sources/redis_rereads.h"

#include <stdlib.h>
#include <string.h>

#include "sources/redis_pairs.h"

enum { TRIES_MAX = 5 };

void redis_rereads_init(struct redis_rereads *rereads, struct redis_link *commands,
                        struct redis_submissions *submissions, struct redis_feeds *feeds)
{
    *rereads = (struct redis_rereads){.commands = commands, .submissions = submissions, .feeds = feeds};
    redis_calls_init(&rereads->calls);
}

void redis_rereads_forget(struct redis_rereads *rereads)
{
    redis_calls_finish(&rereads->calls);
}

void redis_rereads_finish(struct redis_rereads *rereads)
{
    redis_rereads_forget(rereads);
}

static void want(struct redis_feed *feed)
{
    for (size_t i = 0; i < feed->reread_count; i++) {
        feed->rereads[i].is_due = true;
        feed->rereads[i].tries = 0;
    }
}

void redis_rereads_want(struct redis_rereads *rereads, struct redis_feed *feed)
{
    if (feed) {
        want(feed);
        return;
    }
    for (size_t i = 0; i < rereads->feeds->count; i++) {
        want(rereads->feeds->at[i]);
    }
}

/* ---- what was read ---- */

static void on_submitted(void *context, void *subject, enum result outcome)
{
    (void)context;
    (void)subject;
    (void)outcome; /* what is not ordered now is read again when the journal is back */
}

/* name: of the hash entry, or NULL. */
static void take(struct redis_rereads *rereads, const struct redis_reread *reread, const char *name,
                 const char *text, size_t length)
{
    const char *const own = reread->field;
    const struct redis_feed *feed = reread->feed;
    const struct redis_meaning meaning = {
        .catalog = pipeline_catalog(rereads->submissions->pipeline),
        .form = feed->form,
        .fields = own ? &own : (const char *const *)feed->fields,
        .field_count = own ? 1 : feed->field_count,
        .name = name,
    };
    redis_submissions_take(rereads->submissions, reread->key, &meaning, text, length, on_submitted, NULL,
                           NULL);
}

static const struct kpi *kpi_of(const struct redis_rereads *rereads, const char *field)
{
    return catalog_kpi(pipeline_catalog(rereads->submissions->pipeline), field, strcspn(field, "#"));
}

/* Does one message say all there is to say? */
static bool is_single(const struct redis_rereads *rereads, const struct redis_feed *feed)
{
    if (feed->form == REDIS_FORM_ENVELOPE) {
        return false;
    }
    for (size_t i = 0; i < feed->field_count; i++) {
        const struct kpi *kpi = kpi_of(rereads, feed->fields[i]);
        if (kpi && kpi_has_rows(kpi) && !strchr(feed->fields[i], '#')) {
            return false;
        }
    }
    return true;
}

/* May this reading be used? If not, it is settled whether there is another one. */
static bool accept(const struct redis_rereads *rereads, struct redis_reread *reread,
                   const struct redisReply *reply)
{
    reread->is_asked = false;
    if (redis_reply_type(reply) == REDIS_ERROR) {
        reread->is_due = true; /* the key changed its type meanwhile, or the link went down */
        return false;
    }
    if (reread->heard == reread->feed->heard) {
        return true;
    }
    if (is_single(rereads, reread->feed)) {
        return false; /* what was heard is as new, or newer */
    }
    reread->is_due = reread->tries < TRIES_MAX;
    return !reread->is_due;
}

static void on_text(void *context, void *subject, const struct redisReply *reply)
{
    size_t length = 0;
    const char *text = redis_reply_text(reply, &length);
    if (accept(context, subject, reply) && text) {
        take(context, subject, NULL, text, length);
    }
}

static void on_hash(void *context, void *subject, const struct redisReply *reply)
{
    const struct redis_reread *reread = subject;
    if (!accept(context, subject, reply)) {
        return;
    }
    if (is_single(context, reread->feed)) {
        size_t length = 0;
        char *text = redis_reply_count(reply) > 0 ? redis_pairs_print(reply, &length) : NULL;
        if (text) {
            take(context, reread, NULL, text, length);
        }
        free(text);
        return;
    }
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        size_t length = 0;
        const char *text = redis_reply_text(redis_reply_at(reply, i + 1), &length);
        const char *name = redis_reply_text(redis_reply_at(reply, i), NULL);
        if (text && name) {
            take(context, reread, name, text, length);
        }
    }
}

static void on_list(void *context, void *subject, const struct redisReply *reply)
{
    if (!accept(context, subject, reply)) {
        return;
    }
    for (size_t i = redis_reply_count(reply); i > 0; i--) { /* oldest first, as they were said */
        size_t length = 0;
        const char *text = redis_reply_text(redis_reply_at(reply, i - 1), &length);
        if (text) {
            take(context, subject, NULL, text, length);
        }
    }
}

/* ---- asking ---- */

static bool ask(struct redis_rereads *rereads, redis_call_fn *on_reply, struct redis_reread *reread,
                size_t argc, const char *const *argv)
{
    reread->is_asked = redis_calls_send(&rereads->calls, rereads->commands, on_reply, rereads, reread, argc,
                                        argv) == RESULT_OK;
    reread->is_due = !reread->is_asked;
    return reread->is_asked;
}

static void on_type(void *context, void *subject, const struct redisReply *reply)
{
    struct redis_rereads *rereads = context;
    struct redis_reread *reread = subject;
    const char *said = redis_reply_text(reply, NULL);
    const char *type = redis_reply_type(reply) == REDIS_STATUS ? said : "";
    const char *const as_text[] = {"GET", reread->key};
    const char *const as_hash[] = {"HGETALL", reread->key};
    const char *const as_list[] = {"LRANGE", reread->key, "0", "999"};
    reread->is_asked = false;
    if (strcmp(type, "string") == 0) {
        (void)ask(rereads, on_text, reread, 2, as_text); /* stays due when it was not taken */
    } else if (strcmp(type, "hash") == 0) {
        (void)ask(rereads, on_hash, reread, 2, as_hash);
    } else if (strcmp(type, "list") == 0) {
        (void)ask(rereads, on_list, reread, 4, as_list);
    } else if (!reply) {
        reread->is_due = true; /* the link went down */
    } else if (strcmp(type, "none") != 0) {
        redis_submissions_refuse(rereads->submissions, reread->key, RESULT_WRONG_TYPE,
                                 redis_reply_type(reply) == REDIS_ERROR
                                     ? said
                                     : "a key to read again is a string, a hash or a list");
    }
}

static bool ask_type(struct redis_rereads *rereads, struct redis_reread *reread)
{
    reread->tries++;
    reread->heard = reread->feed->heard;
    const char *const words[] = {"TYPE", reread->key};
    return ask(rereads, on_type, reread, 2, words);
}

void redis_rereads_run(struct redis_rereads *rereads)
{
    if (!redis_link_is_up(rereads->commands)) {
        return;
    }
    for (size_t i = 0; i < rereads->feeds->count; i++) {
        struct redis_feed *feed = rereads->feeds->at[i];
        for (size_t k = 0; k < feed->reread_count; k++) {
            struct redis_reread *reread = &feed->rereads[k];
            if (reread->is_due && !reread->is_asked && !ask_type(rereads, reread)) {
                return;
            }
        }
    }
}
