/*
 * The door for other people's programs. A request is checked in the order of what it costs and gives away: is there such a
 * hook and a proof (by the head alone), is the proof genuine (over the raw bytes), has it been here before, is it too
 * much; only then is it looked at for changes. Whoever is not genuine learns nothing but that.
 *
 * Replay is judged before the rate: a copy of an old delivery must not use up what new ones are allowed.
 *
 * What is remembered of a delivery is under way until the journal has answered. When it could not take the changes, all of it
 * is forgotten and the sender asked to come again; a copy that arrives meanwhile is asked to come again too, as nobody knows
 * yet whether there is anything to repeat.
 *
 * Counts live here, not in the journal, which knows only values: they begin at 0 with the process, and the configuration
 * sees to it that one process alone counts. Hooks that count into the same field share its count.
 *
 * While a hook has no secret (Asana, before its handshake) nothing can be genuine: the hook's rate then bounds how often a
 * peer makes us look at files.
 */
#include "sources/webhooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/replay.h"
#include "access/webhook_delivery.h"
#include "access/webhook_secrets.h"
#include "base/list.h"
#include "base/log.h"
#include "base/token_bucket.h"
#include "sources/batch.h"
#include "sources/webhooks_changes.h"

#define NAME "webhooks"
#define REMEMBER_MS (72ULL * 3600 * 1000) /* as long as the slowest sender tries again */

/* What became of a delivery that was genuine; after the reasons why one is not. */
enum outcome {
    OUTCOME_ACCEPTED = WEBHOOK_REASON_COUNT, /* handed to the pipeline, or nothing in it to hand */
    OUTCOME_GREETING,                        /* a challenge, ping or handshake was answered */
    OUTCOME_REPEATED,                        /* was here before: answered again, not applied again */
    OUTCOME_UNDER_WAY,                       /* is here already, and not decided */
    OUTCOME_MALFORMED,                       /* genuine, but not what the hook can read */
    OUTCOME_TOO_MUCH,                        /* holds more than one submission may */
    OUTCOME_LIMITED,                         /* beyond the hook's rate */
    OUTCOME_UNASKED,                         /* a handshake when there is a secret */
    OUTCOME_NOT_KEPT,                        /* a handshake whose secret could not be stored */
    OUTCOME_UNAVAILABLE,                     /* the journal, or this source, cannot take it now */
    OUTCOME_COUNT
};

static const char *outcome_name(int outcome)
{
    static const char *const names[OUTCOME_COUNT] = {
        [OUTCOME_ACCEPTED] = "accepted",    [OUTCOME_GREETING] = "greeting",
        [OUTCOME_REPEATED] = "repeated",    [OUTCOME_UNDER_WAY] = "under_way",
        [OUTCOME_MALFORMED] = "malformed",  [OUTCOME_TOO_MUCH] = "too_much",
        [OUTCOME_LIMITED] = "rate_limited", [OUTCOME_UNASKED] = "unasked_handshake",
        [OUTCOME_NOT_KEPT] = "not_kept",    [OUTCOME_UNAVAILABLE] = "unavailable",
    };
    return outcome < WEBHOOK_REASON_COUNT ? webhook_reason_name((enum webhook_reason)outcome)
                                          : names[outcome];
}

struct hook {
    const struct webhooks_hook *mapping; /* borrowed */
    struct webhook *webhook;             /* owned */
    struct replay *deliveries;           /* owned: by what was signed */
    struct replay *events;               /* owned: by what names them */
    struct token_bucket rate;
    uint64_t **counts; /* owned; by field, into the source's counters; NULL where the field does not count */
    struct metric *outcomes[OUTCOME_COUNT];
    struct metric *remembered;
    struct metric *forgotten;
    uint64_t told_forgotten; /* of what forgotten counts */
};

/* Events counted for one field, whichever hook they came by. */
struct counter {
    const char *field; /* borrowed */
    uint64_t count;
};

struct webhooks_source {
    struct source source;
    struct webhooks_source_options options;
    struct hook hooks[WEBHOOKS_MAX];
    size_t hook_count;
    struct counter *counters; /* owned; room for every field of every hook, so that they never move */
    size_t counter_count;
    bool is_open;
    struct list_node deliveries; /* struct delivery.in_source */
    uint32_t outstanding;
    struct metric *changes[RESULT_COUNT];
    struct metric *absent;
    struct metric *unknown;
};

/* One that the pipeline works on. */
struct delivery {
    struct list_node in_source;
    struct webhooks_source *source; /* NULL: the source is gone */
    struct http_exchange *exchange; /* NULL: the peer is gone */
    struct hook *hook;
    struct batch *batch; /* owned */
    size_t counted;      /* events that its counts hold */
    bool has_key;
    unsigned char key[WEBHOOK_KEY_BYTES];
    size_t event_count;
    unsigned char (*event_keys)[WEBHOOK_KEY_BYTES]; /* owned: of those that are new */
};

/* ---- answers ---- */

static void count(struct hook *hook, int outcome)
{
    metric_add(hook->outcomes[outcome], 1);
}

static void answer_result(struct http_exchange *exchange, const char *result)
{
    char body[64];
    int length = snprintf(body, sizeof body, "{\"result\":\"%s\"}", result); /* short names */
    http_set_header(exchange, "Cache-Control", "no-store");
    http_answer(exchange, 200, "application/json", body, (size_t)length, false);
}

static void come_again(struct http_exchange *exchange, int status, const char *code)
{
    http_set_header(exchange, "Retry-After", status == 429 ? "1" : "2");
    http_problem(exchange, status, code, NULL);
}

static void answer_outcome(struct http_exchange *exchange, int outcome)
{
    switch (outcome) {
    case OUTCOME_ACCEPTED:
    case OUTCOME_GREETING:
    case OUTCOME_REPEATED:
        answer_result(exchange, outcome_name(outcome));
        return;
    case OUTCOME_MALFORMED:
        http_problem(exchange, 400, "malformed", NULL);
        return;
    case OUTCOME_TOO_MUCH:
        http_problem(exchange, 413, "too_many", NULL);
        return;
    case OUTCOME_LIMITED:
        come_again(exchange, 429, "rate_limited");
        return;
    case OUTCOME_UNASKED:
        http_problem(exchange, 403, "forbidden", NULL);
        return;
    case OUTCOME_NOT_KEPT:
        http_problem(exchange, 500, "not_kept", NULL);
        return;
    case OUTCOME_UNDER_WAY:
    case OUTCOME_UNAVAILABLE:
    case WEBHOOK_NO_MEMORY:
        come_again(exchange, 503, "unavailable");
        return;
    default: /* not genuine: why is ours to know */
        http_problem(exchange, 401, "unauthenticated", NULL);
        return;
    }
}

static void end_with(struct hook *hook, struct http_exchange *exchange, int outcome)
{
    count(hook, outcome);
    answer_outcome(exchange, outcome);
}

/* ---- what was sent ---- */

static const char *look_up(void *context, const char *name, unsigned *out_count)
{
    const struct http_exchange *exchange = context;
    *out_count = http_header_count(exchange, name);
    return http_header(exchange, name);
}

static struct webhook_request request_of(struct http_exchange *exchange)
{
    struct webhook_request request = {.method = "POST", .header = look_up, .context = exchange};
    request.body = http_body(exchange, &request.body_length);
    return request;
}

static struct hook *find_hook(struct webhooks_source *source, const char *name)
{
    for (size_t i = 0; i < source->hook_count; i++) {
        if (strcmp(source->hooks[i].mapping->name, name) == 0) {
            return &source->hooks[i];
        }
    }
    return NULL;
}

/* ---- deliveries under way ---- */

static void delivery_destroy(struct delivery *delivery)
{
    if (!delivery) {
        return;
    }
    list_remove(&delivery->in_source);
    if (delivery->source) {
        delivery->source->outstanding--;
    }
    batch_destroy(delivery->batch);
    free(delivery->event_keys);
    free(delivery);
}

static struct delivery *delivery_create(struct webhooks_source *source, struct hook *hook,
                                        struct http_exchange *exchange, size_t events)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery) {
        return NULL;
    }
    delivery->source = source;
    delivery->hook = hook;
    delivery->exchange = exchange;
    list_append(&source->deliveries, &delivery->in_source);
    source->outstanding++;
    delivery->batch = batch_create();
    delivery->event_keys = calloc(events + 1, sizeof *delivery->event_keys);
    if (!delivery->batch || !delivery->event_keys) {
        delivery_destroy(delivery);
        return NULL;
    }
    return delivery;
}

static void on_peer_gone(void *owner)
{
    struct delivery *delivery = owner;
    delivery->exchange = NULL;
}

/* ---- what came before ---- */

static void tell_memory(struct hook *hook)
{
    uint64_t forgotten = replay_dropped(hook->deliveries) + replay_dropped(hook->events);
    metric_add(hook->forgotten, forgotten - hook->told_forgotten);
    hook->told_forgotten = forgotten;
    metric_set(hook->remembered, (double)(replay_count(hook->deliveries) + replay_count(hook->events)));
}

static bool remember(struct delivery *delivery, uint64_t now_ms)
{
    struct hook *hook = delivery->hook;
    bool is_kept = !delivery->has_key || replay_begin(hook->deliveries, delivery->key, now_ms) == RESULT_OK;
    for (size_t i = 0; i < delivery->event_count && is_kept; i++) {
        is_kept = replay_begin(hook->events, delivery->event_keys[i], now_ms) == RESULT_OK;
    }
    return is_kept;
}

static void add_to_counts(struct hook *hook, int64_t events)
{
    for (size_t i = 0; i < hook->mapping->field_count; i++) {
        if (hook->counts[i]) {
            *hook->counts[i] += (uint64_t)events; /* what is taken away was added before */
        }
    }
}

/** Decided: it is known from now on, or it never was. */
static void settle(struct delivery *delivery, bool is_applied)
{
    void (*end)(struct replay *, const unsigned char *) = is_applied ? replay_finish : replay_abandon;
    struct hook *hook = delivery->hook;
    if (delivery->has_key) {
        end(hook->deliveries, delivery->key);
    }
    for (size_t i = 0; i < delivery->event_count; i++) {
        end(hook->events, delivery->event_keys[i]);
    }
    add_to_counts(hook, is_applied ? 0 : -(int64_t)delivery->counted);
    tell_memory(hook);
}

/**
 * Looks at each event's name: fills is_known, by event, and the keys of those that are new. REPLAY_DONE when there are
 * events and all are known.
 */
static enum replay_state look_at_events(struct delivery *delivery, const struct webhook_delivery *read,
                                        uint64_t now_ms, bool *is_known)
{
    struct hook *hook = delivery->hook;
    size_t events = webhook_event_count(read), known = 0;
    for (size_t i = 0; i < events; i++) {
        unsigned char *key = delivery->event_keys[delivery->event_count];
        if (!webhook_event_key(hook->webhook, read, i, key)) {
            continue;
        }
        enum replay_state state = replay_look(hook->events, key, now_ms);
        if (state == REPLAY_UNDER_WAY) {
            return state;
        }
        is_known[i] = state == REPLAY_DONE;
        known += is_known[i];
        delivery->event_count += state == REPLAY_NEW;
    }
    return events > 0 && known == events ? REPLAY_DONE : REPLAY_NEW;
}

/* ---- submitting ---- */

static bool is_to_be_sent_again(const struct submission_item *items, size_t item_count)
{
    for (size_t i = 0; i < item_count; i++) {
        if (items[i].outcome == RESULT_UNAVAILABLE) {
            return true;
        }
    }
    return false;
}

static void on_submitted(void *context, struct submission_item *items, size_t item_count)
{
    struct delivery *delivery = context;
    struct webhooks_source *source = delivery->source;
    if (source) {
        bool is_applied = !is_to_be_sent_again(items, item_count);
        for (size_t i = 0; i < item_count; i++) {
            metric_add(source->changes[items[i].outcome], 1);
        }
        settle(delivery, is_applied);
        count(delivery->hook, is_applied ? OUTCOME_ACCEPTED : OUTCOME_UNAVAILABLE);
        if (delivery->exchange) {
            answer_outcome(delivery->exchange, is_applied ? OUTCOME_ACCEPTED : OUTCOME_UNAVAILABLE);
        }
    }
    delivery_destroy(delivery);
}

static void submit(struct delivery *delivery)
{
    struct pipeline *pipeline = delivery->source->options.pipeline;
    struct batch *batch = delivery->batch;
    pipeline_report_source(pipeline, NAME, true, NULL);
    http_on_gone(delivery->exchange, on_peer_gone,
                 delivery); /* before the submit, which may answer at once */
    if (batch->count == 0) {
        on_submitted(delivery, NULL, 0);
    } else {
        pipeline_submit(pipeline, batch->items, batch->count, on_submitted, delivery);
    }
}

static int outcome_of(enum result result)
{
    return result == RESULT_TOO_MANY    ? OUTCOME_TOO_MUCH
           : result == RESULT_NO_MEMORY ? OUTCOME_UNAVAILABLE
                                        : OUTCOME_MALFORMED;
}

/** Changes of the events that are new. OUTCOME_ACCEPTED, or why there are none. */
static int read_changes(struct delivery *delivery, const struct webhook_delivery *read,
                        const struct webhook_verdict *verdict, const bool *is_known)
{
    struct hook *hook = delivery->hook;
    const struct webhooks_reading reading = {
        .hook = hook->mapping,
        .webhook = hook->webhook,
        .delivery = read,
        .is_known = is_known,
        .has_as_of = verdict->has_time,
        .as_of_ms = verdict->time_ms,
        .counts = hook->counts,
    };
    struct webhooks_read done;
    enum result result = webhooks_read_changes(&reading, delivery->batch, &done);
    if (result != RESULT_OK) {
        return outcome_of(result);
    }
    metric_add(delivery->source->absent, done.absent);
    delivery->counted = done.events;
    add_to_counts(hook, (int64_t)done.events);
    return OUTCOME_ACCEPTED;
}

/** What becomes of a delivery that is genuine and new; OUTCOME_ACCEPTED: it is to be submitted. */
static int prepare(struct delivery *delivery, const struct webhook_delivery *read,
                   const struct webhook_verdict *verdict, const struct moment *now)
{
    bool is_known[WEBHOOK_EVENTS_MAX] = {false};
    enum replay_state state = look_at_events(delivery, read, now->monotonic_ms, is_known);
    if (state != REPLAY_NEW) {
        return state == REPLAY_DONE ? OUTCOME_REPEATED : OUTCOME_UNDER_WAY;
    }
    if (!token_bucket_take(&delivery->hook->rate, now->monotonic_ms * 1000)) {
        return OUTCOME_LIMITED;
    }
    int outcome = read_changes(delivery, read, verdict, is_known);
    if (outcome == OUTCOME_ACCEPTED && !remember(delivery, now->monotonic_ms)) {
        settle(delivery, false);
        return OUTCOME_UNAVAILABLE;
    }
    return outcome;
}

static void take_events(struct webhooks_source *source, struct hook *hook, struct http_exchange *exchange,
                        const struct webhook_delivery *read, const struct webhook_verdict *verdict)
{
    const struct moment now = source->options.now();
    enum replay_state state =
        verdict->has_key ? replay_look(hook->deliveries, verdict->key, now.monotonic_ms) : REPLAY_NEW;
    if (state != REPLAY_NEW) {
        end_with(hook, exchange, state == REPLAY_DONE ? OUTCOME_REPEATED : OUTCOME_UNDER_WAY);
        return;
    }
    bool is_room = source->outstanding < source->options.max_outstanding;
    struct delivery *delivery =
        is_room ? delivery_create(source, hook, exchange, webhook_event_count(read)) : NULL;
    if (!delivery) {
        end_with(hook, exchange, OUTCOME_UNAVAILABLE);
        return;
    }
    delivery->has_key = verdict->has_key;
    memcpy(delivery->key, verdict->key, sizeof delivery->key);
    int outcome = prepare(delivery, read, verdict, &now);
    if (outcome == OUTCOME_ACCEPTED) {
        submit(delivery);
    } else {
        delivery_destroy(delivery);
        end_with(hook, exchange, outcome);
    }
}

/* ---- greetings ---- */

/** Replaces the webhook by one with the secrets that the files hold now. False: it stays, and why is logged. */
static bool reopen(struct hook *hook)
{
    char problem[WEBHOOK_PROBLEM_BYTES];
    const struct webhook_options options = webhooks_options_of(hook->mapping);
    struct webhook *webhook =
        webhook_open(&options, (const char *const *)hook->mapping->secret_files, problem);
    if (!webhook) {
        log_error("webhook secrets refused", LOG_TEXT("hook", hook->mapping->name), LOG_TEXT("err", problem));
        return false;
    }
    webhook_destroy(hook->webhook);
    hook->webhook = webhook;
    return true;
}

/** Asana's first request: keep the secret it brings, and send it back. */
static void take_handshake(struct hook *hook, struct http_exchange *exchange, const char *secret)
{
    const char *file = hook->mapping->secret_files[0];
    enum result result = webhook_has_secret(hook->webhook) ? RESULT_FULL : webhook_secret_store(file, secret);
    if (result == RESULT_OK && !reopen(hook)) {
        result = RESULT_NO_MEMORY;
    }
    if (result == RESULT_OK) {
        log_info("webhook handshake done", LOG_TEXT("hook", hook->mapping->name), LOG_TEXT("file", file));
        http_set_header(exchange, WEBHOOK_HANDSHAKE_HEADER, secret);
        end_with(hook, exchange, OUTCOME_GREETING);
        return;
    }
    if (result == RESULT_IO) {
        log_error("webhook secret could not be kept", LOG_TEXT("hook", hook->mapping->name),
                  LOG_TEXT("file", file), LOG_TEXT("err", strerror(errno)));
    }
    end_with(hook, exchange, result == RESULT_FULL ? OUTCOME_UNASKED : OUTCOME_NOT_KEPT);
}

static void answer_challenge(struct hook *hook, struct http_exchange *exchange, const char *challenge)
{
    count(hook, OUTCOME_GREETING);
    http_set_header(exchange, "Cache-Control", "no-store");
    http_answer(exchange, 200, "text/plain; charset=utf-8", challenge, strlen(challenge), false);
}

static void take_genuine(struct webhooks_source *source, struct hook *hook, struct http_exchange *exchange,
                         const struct webhook_request *request, const struct webhook_verdict *verdict)
{
    struct webhook_delivery read;
    if (webhook_delivery_read(hook->webhook, request, &read) != RESULT_OK) {
        end_with(hook, exchange, OUTCOME_MALFORMED);
        return;
    }
    switch (read.kind) {
    case WEBHOOK_CHALLENGE:
        answer_challenge(hook, exchange, read.challenge);
        break;
    case WEBHOOK_PING:
        end_with(hook, exchange, OUTCOME_GREETING);
        break;
    case WEBHOOK_EVENTS:
        take_events(source, hook, exchange, &read, verdict);
        break;
    }
    webhook_delivery_finish(&read);
}

/* ---- the door ---- */

/** refusal: why it is not genuine, or NULL. */
static void note(const struct webhooks_source *source, const struct hook *hook,
                 struct http_exchange *exchange, const char *refusal)
{
    if (source->options.audit) {
        audit_note(source->options.audit, &(struct audit_event){.action = AUDIT_WEBHOOK,
                                                                .refusal = refusal,
                                                                .by = refusal ? NULL : "signature",
                                                                .address = http_peer_address(exchange),
                                                                .over = "http",
                                                                .target = hook->mapping->name});
    }
}

/** By the head alone: is there anything to check? If not, it has been answered. */
static bool on_head(void *context, struct http_exchange *exchange)
{
    struct webhooks_source *source = context;
    struct hook *hook = find_hook(source, http_path_part(exchange, 0));
    const struct webhook_request request = {.method = "POST", .header = look_up, .context = exchange};
    if (!hook) {
        metric_add(source->unknown, 1);
        http_problem(exchange, 404, "not_found", NULL);
        return false;
    }
    if (!source->is_open) {
        end_with(hook, exchange, OUTCOME_UNAVAILABLE);
        return false;
    }
    if (!webhook_has_proof(hook->webhook, &request) && !webhook_offered_secret(hook->webhook, &request)) {
        note(source, hook, exchange, outcome_name(WEBHOOK_MISSING_HEADER));
        end_with(hook, exchange, WEBHOOK_MISSING_HEADER);
        return false;
    }
    return true;
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct webhooks_source *source = context;
    struct hook *hook = find_hook(source, http_path_part(exchange, 0)); /* there, as on_head() says */
    const struct webhook_request request = request_of(exchange);
    const struct moment now = source->options.now();
    if (!source->is_open) { /* it was when the head came */
        end_with(hook, exchange, OUTCOME_UNAVAILABLE);
        return;
    }
    if (!webhook_has_secret(hook->webhook)) {
        if (!token_bucket_take(&hook->rate, now.monotonic_ms * 1000)) {
            end_with(hook, exchange, OUTCOME_LIMITED);
            return;
        }
        (void)reopen(hook); /* another process of ours may have been greeted; what is wrong is logged */
    }
    const char *offered = webhook_offered_secret(hook->webhook, &request);
    if (offered) {
        take_handshake(hook, exchange, offered);
        return;
    }
    struct webhook_verdict verdict;
    enum result result = webhook_check(hook->webhook, &request, now.wall_ms, &verdict);
    note(source, hook, exchange, result == RESULT_OK ? NULL : outcome_name((int)verdict.reason));
    if (result != RESULT_OK) {
        end_with(hook, exchange, (int)verdict.reason);
        return;
    }
    take_genuine(source, hook, exchange, &request, &verdict);
}

/* ---- life cycle ---- */

static enum result webhooks_start(struct source *base)
{
    struct webhooks_source *source = (struct webhooks_source *)base;
    source->is_open = true;
    pipeline_report_source(source->options.pipeline, NAME, true, NULL);
    for (size_t i = 0; i < source->hook_count; i++) {
        if (!webhook_has_secret(source->hooks[i].webhook)) {
            log_warn("webhook waits for its handshake: whoever sends one first is trusted",
                     LOG_TEXT("hook", source->hooks[i].mapping->name));
        }
    }
    return RESULT_OK;
}

static void webhooks_stop(struct source *base)
{
    struct webhooks_source *source = (struct webhooks_source *)base;
    source->is_open = false;
}

static void hook_finish(struct hook *hook)
{
    webhook_destroy(hook->webhook);
    replay_destroy(hook->deliveries);
    replay_destroy(hook->events);
    free(hook->counts);
}

static void webhooks_destroy(struct source *base)
{
    struct webhooks_source *source = (struct webhooks_source *)base;
    if (!source) {
        return;
    }
    while (!list_is_empty(&source->deliveries)) {
        struct delivery *delivery = LIST_ITEM(source->deliveries.next, struct delivery, in_source);
        list_remove(&delivery->in_source);
        delivery->source = NULL;
        delivery->hook = NULL;
    }
    for (size_t i = 0; i < source->hook_count; i++) {
        hook_finish(&source->hooks[i]);
    }
    free(source->counters);
    free(source);
}

static void register_hook_metrics(struct hook *hook, struct metrics *metrics)
{
    char labels[160];
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        if (outcome == WEBHOOK_GENUINE) { /* told by what became of it */
            continue;
        }
        (void)snprintf(labels, sizeof labels, "hook=\"%s\",result=\"%s\"", hook->mapping->name,
                       outcome_name(outcome)); /* short names */
        hook->outcomes[outcome] = metrics_counter(metrics, "gw_webhooks_total", labels,
                                                  "Webhooks by hook, and what became of them.");
    }
    (void)snprintf(labels, sizeof labels, "hook=\"%s\"", hook->mapping->name);
    hook->remembered = metrics_gauge(metrics, "gw_webhook_remembered", labels,
                                     "Deliveries and events that would be told for repeated ones.");
    hook->forgotten = metrics_counter(
        metrics, "gw_webhook_forgotten_early_total", labels,
        "Deliveries and events forgotten before their time, because more came than are remembered.");
}

static void register_metrics(struct webhooks_source *source)
{
    struct metrics *metrics = source->options.metrics;
    char labels[64];
    source->unknown = metrics_counter(metrics, "gw_webhooks_total", "hook=\"\",result=\"unknown_hook\"",
                                      "Webhooks by hook, and what became of them.");
    for (size_t i = 0; i < source->hook_count; i++) {
        register_hook_metrics(&source->hooks[i], metrics);
    }
    for (int result = 0; result < RESULT_COUNT; result++) {
        (void)snprintf(labels, sizeof labels, "result=\"%s\"",
                       result == RESULT_OK ? "accepted" : result_name((enum result)result)); /* short names */
        source->changes[result] = metrics_counter(metrics, "gw_webhook_changes_total", labels,
                                                  "Changes that webhooks brought, by what became of them.");
    }
    source->absent = metrics_counter(metrics, "gw_webhook_values_absent_total", NULL,
                                     "Values that a hook maps and an event did not hold.");
}

static uint64_t *counter_of(struct webhooks_source *source, const char *field)
{
    size_t i = 0;
    while (i < source->counter_count && strcmp(source->counters[i].field, field) != 0) {
        i++;
    }
    if (i == source->counter_count) {
        source->counters[source->counter_count++].field = field;
    }
    return &source->counters[i].count;
}

static bool hook_init(struct webhooks_source *source, struct hook *hook, const struct webhooks_hook *mapping)
{
    const struct webhooks_source_options *options = &source->options;
    hook->mapping = mapping;
    hook->deliveries = replay_create(WEBHOOKS_REMEMBERED, REMEMBER_MS);
    hook->events = replay_create(WEBHOOKS_REMEMBERED, REMEMBER_MS);
    hook->counts = calloc(mapping->field_count + 1, sizeof *hook->counts);
    for (size_t i = 0; hook->counts && i < mapping->field_count; i++) {
        const struct webhooks_field *field = &mapping->fields[i];
        hook->counts[i] = field->pointer ? NULL : counter_of(source, field->field);
    }
    token_bucket_init(&hook->rate, options->rate_per_s, options->rate_per_s,
                      options->now().monotonic_ms * 1000);
    return hook->deliveries && hook->events && hook->counts && reopen(hook);
}

static const struct source_ops webhooks_ops = {
    .name = NAME,
    .start = webhooks_start,
    .stop = webhooks_stop,
    .destroy = webhooks_destroy,
};

struct source *webhooks_source_create(const struct webhooks_source_options *options)
{
    struct webhooks_source *source = calloc(1, sizeof *source);
    if (!source) {
        return NULL;
    }
    source->source.ops = &webhooks_ops;
    source->options = *options;
    list_init(&source->deliveries);
    size_t fields = 0;
    for (size_t i = 0; i < options->hook_count; i++) {
        fields += options->hooks[i].field_count;
    }
    source->counters = calloc(fields + 1, sizeof *source->counters);
    if (!source->counters) {
        webhooks_destroy(&source->source);
        return NULL;
    }
    for (size_t i = 0; i < options->hook_count && i < WEBHOOKS_MAX; i++) {
        source->hook_count++; /* counted even when half made: destroying takes it */
        if (!hook_init(source, &source->hooks[i], &options->hooks[i])) {
            webhooks_destroy(&source->source);
            return NULL;
        }
    }
    register_metrics(source);
    listener_add_http(options->listener, &(struct http_route){
                                             .methods = HTTP_POST,
                                             .pattern = "/hooks/{name}",
                                             .body_max_bytes = options->body_max_bytes,
                                             .context = source,
                                             .on_head = on_head,
                                             .on_request = on_request,
                                         });
    return &source->source;
}

void webhooks_files_to_come(const struct webhooks_hook *hooks, size_t hook_count,
                            const char *out_files[WEBHOOKS_MAX + 1])
{
    size_t files = 0;
    for (size_t i = 0; i < hook_count && i < WEBHOOKS_MAX; i++) {
        const char *file = hooks[i].provider == WEBHOOK_ASANA ? hooks[i].secret_files[0] : NULL;
        if (file && access(file, F_OK) != 0) {
            out_files[files++] = file;
        }
    }
    out_files[files] = NULL;
}

bool webhooks_source_reload(struct source *base)
{
    struct webhooks_source *source = (struct webhooks_source *)base;
    bool is_done = true;
    for (size_t i = 0; i < source->hook_count; i++) {
        is_done = reopen(&source->hooks[i]) && is_done;
    }
    return is_done;
}
