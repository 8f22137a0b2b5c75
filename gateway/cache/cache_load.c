/*
 * One load, from the first question to the last answer. At any moment exactly one thing is awaited:
 *
 *   L2 --(there, fresh)-------------------------------------------> over
 *   L2 --(not there)--> LEASE --(ours)--> SOURCE --(loaded)-------> over
 *                         |--(another's)--> PAUSE --> L2 again, until half the deadline is gone; then SOURCE
 *   no L2, or no answer within its patience ----------> SOURCE
 *
 * A lease is asked for when loads of the class are slow; the rest is not worth the way to Redis. At the
 * deadline waiters get what there is, and the load goes on without them: its result is still worth keeping.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/cache_internal.h"

enum {
    L2_PATIENCE_MS = 250,
    SLOW_LOAD_MS = 50, /* loads of a class that take this long are worth a lease */
    PAUSE_FIRST_MS = 15,
    PAUSE_MAX_MS = 120,
    SAME_LOAD_MS = 1000, /* two ages closer than this may be of one load */
    CLOCK_SLACK_MS = 100,
};

enum load_step { STEP_L2, STEP_LEASE, STEP_PAUSE, STEP_SOURCE };

struct load_timer {
    struct wheel_entry entry;
    struct cache_load *load;
    void (*on_due)(struct cache_load *load);
};

struct cache_load {
    struct flight flight;
    struct cache *cache; /* NULL once it is gone */
    const struct cache_source *source;
    size_t class;
    enum load_step step;
    struct l2_request *request; /* in STEP_L2 and STEP_LEASE */
    struct load_timer step_due, deadline;
    uint64_t began_ms, asked_ms, pause_ms;
    bool is_refresh, has_lease, is_late;
    char token[L2_TOKEN_BYTES];
    struct cache_value *fallback; /* owned: a copy of L2 that is past its TTL */
    uint64_t fallback_age_ms, fallback_at_ms;
};

static void ask_l2(struct cache_load *load);
static void ask_source(struct cache_load *load);
static void on_step_due(struct cache_load *load);
static void on_deadline(struct cache_load *load);

struct flight *cache_load_flight(struct cache_load *load)
{
    return &load->flight;
}

static struct cache_load *load_of(const struct flight *flight)
{
    return LIST_ITEM(flight, struct cache_load, flight);
}

bool cache_load_is_late(const struct flight *flight)
{
    return load_of(flight)->is_late;
}

static const struct cache_class *class_of(const struct cache_load *load)
{
    return &load->cache->options.classes[load->class];
}

/* ---- beginning and end ---- */

static void timer_init(struct load_timer *timer, struct cache_load *load, void (*on_due)(struct cache_load *))
{
    wheel_entry_init(&timer->entry);
    timer->load = load;
    timer->on_due = on_due;
}

static void arm(struct load_timer *timer, uint64_t delay_ms)
{
    struct cache *cache = timer->load->cache;
    wheel_arm(&cache->timers, &timer->entry, cache_now_ms(cache) + delay_ms);
    cache_wake_at(cache, wheel_next_due_ms(&cache->timers));
}

static void disarm(struct load_timer *timer)
{
    wheel_disarm(&timer->load->cache->timers, &timer->entry);
}

enum result cache_load_create(struct cache *cache, const char *key, size_t class,
                              const struct cache_source *source, bool is_refresh,
                              struct cache_load **out_load)
{
    struct cache_load *load = calloc(1, sizeof *load);
    if (!load) {
        return RESULT_NO_MEMORY;
    }
    enum result result = flights_add(&cache->flights, &load->flight, key);
    if (result != RESULT_OK) {
        free(load);
        return result;
    }
    load->cache = cache;
    load->source = source;
    load->class = class;
    load->is_refresh = is_refresh;
    load->began_ms = cache_now_ms(cache);
    load->pause_ms = PAUSE_FIRST_MS;
    timer_init(&load->step_due, load, on_step_due);
    timer_init(&load->deadline, load, on_deadline);
    arm(&load->deadline, cache->options.load_timeout_ms);
    *out_load = load;
    return RESULT_OK;
}

void cache_load_start(struct cache_load *load)
{
    if (cache_uses_l2(load->cache, load->class)) {
        ask_l2(load);
    } else {
        ask_source(load);
    }
}

static void release_lease(struct cache_load *load)
{
    if (load->has_lease) {
        load->has_lease = false;
        l2_release(load->cache->l2, load->flight.key, load->token);
    }
}

static void answer_waiters(struct cache_load *load, const struct cache_answer *answer)
{
    for (size_t i = 0; i < load->flight.waiter_count; i++) {
        cache_metrics_looked_up(&load->cache->counts, load->class, answer);
    }
    flights_answer(&load->flight, answer);
}

/* The last step. The answer's value is the caller's, or L1's: an answer may replace that, so it is held here. */
static void load_end(struct cache_load *load, const struct cache_answer *answer)
{
    struct cache *cache = load->cache;
    struct cache_value *held = cache_value_ref(answer->value);
    release_lease(load);
    disarm(&load->step_due);
    disarm(&load->deadline);
    flights_detach(&cache->flights, &load->flight); /* a reader that comes from an answer begins anew */
    answer_waiters(load, answer);
    flights_remove(&cache->flights, &load->flight);
    cache_value_unref(load->fallback);
    cache_value_unref(held);
    free(load);
}

/* What there is when the load brings nothing. */
static struct cache_answer answer_of_failure(struct cache_load *load, enum result why)
{
    struct cache *cache = load->cache;
    struct cache_answer answer = cache_answer_without_load(cache, load->flight.key, why);
    uint64_t age_ms = load->fallback_age_ms + (cache_now_ms(cache) - load->fallback_at_ms);
    const struct cache_class *class = class_of(load);
    if (answer.status == CACHE_FAILED && load->fallback && age_ms < class->ttl_ms + class->stale_error_ms) {
        answer = (struct cache_answer){.status = CACHE_STALE_ERROR,
                                       .result = why,
                                       .value = load->fallback,
                                       .age_ms = age_ms,
                                       .tier = "l2"};
    }
    return answer;
}

void cache_load_abandon(struct flight *flight)
{
    struct cache_load *load = load_of(flight);
    struct cache *cache = load->cache;
    const struct cache_answer answer = {.status = CACHE_FAILED, .result = RESULT_CLOSED, .tier = ""};
    answer_waiters(load, &answer);
    disarm(&load->step_due);
    disarm(&load->deadline);
    flights_remove(&cache->flights, flight);
    cache_value_unref(load->fallback);
    load->fallback = NULL;
    load->cache = NULL;
    if (load->step != STEP_SOURCE) {
        free(load); /* its request is forgotten with L2 */
    }
}

/* ---- L2 ---- */

static void on_refused(void *context, const char *key)
{
    struct cache *cache = context;
    (void)l1_mark_changed(&cache->l1, key); /* it may have left */
}

void cache_write_l2(struct cache *cache, const char *key, size_t class, const struct cache_value *value)
{
    if (!cache_uses_l2(cache, class)) {
        return;
    }
    const struct cache_class *row = &cache->options.classes[class];
    const struct l2_lifetime lifetime = {.ttl_ms = row->ttl_ms, .hard_ms = cache_class_hard_ms(row)};
    l2_write(cache->l2, key, value, &lifetime, on_refused, cache);
}

static bool is_fresh_copy(struct cache_load *load, const struct cache_value *value, uint64_t age_ms,
                          uint64_t random)
{
    const struct cache *cache = load->cache;
    const struct l1_entry *entry = l1_find(&cache->l1, load->flight.key);
    if (age_ms >= cache_class_jittered_ttl_ms(class_of(load), random)) {
        return false;
    }
    if (!entry || !entry->value) {
        return true;
    }
    /* L2 may have missed a write: what is held here tells. */
    uint64_t held_ms = l1_age_ms(entry, cache_now_ms(cache));
    if (cache_value_version(entry->value) > cache_value_version(value) || age_ms > held_ms + CLOCK_SLACK_MS) {
        return false;
    }
    return !load->is_refresh || age_ms + SAME_LOAD_MS < held_ms;
}

static struct l1_facts facts_of(const struct cache_load *load, uint64_t age_ms, uint64_t random)
{
    return (struct l1_facts){.age_ms = age_ms,
                             .load_ms = (uint32_t)load->cache->load_ms[load->class],
                             .source = load->source,
                             .random = random};
}

static void keep(struct cache_load *load, struct cache_value *value, const struct l1_facts *facts)
{
    struct cache *cache = load->cache;
    if (load->flight.is_current) {
        /* Whatever the result: the reader is answered; L1 does without it. */
        (void)l1_put(&cache->l1, load->flight.key, load->class, value, facts, cache_now_ms(cache));
        cache_wake_at(cache, l1_next_due_ms(&cache->l1));
    }
}

/* A copy past its TTL: good for readers who may have it so, and if the source fails. */
static void take_stale_copy(struct cache_load *load, struct cache_value *value, uint64_t age_ms)
{
    struct cache *cache = load->cache;
    const struct l1_facts facts = facts_of(load, age_ms, 0);
    cache_value_unref(load->fallback);
    load->fallback = cache_value_ref(value);
    load->fallback_age_ms = age_ms;
    load->fallback_at_ms = cache_now_ms(cache);
    const struct cache_class *class = class_of(load);
    bool is_servable = age_ms >= class->ttl_ms && age_ms < class->ttl_ms + class->stale_ms;
    if (!is_servable || l1_find(&cache->l1, load->flight.key)) {
        return; /* what is held was judged before */
    }
    keep(load, value, &facts);
    const struct cache_answer answer = {
        .status = CACHE_STALE, .result = RESULT_OK, .value = value, .age_ms = age_ms, .tier = "l2"};
    answer_waiters(load, &answer);
}

static void ask_lease(struct cache_load *load);

static void on_l2_read(void *context, enum l2_outcome outcome, struct cache_value *value, uint64_t age_ms)
{
    struct cache_load *load = context;
    uint64_t random = random_u64();
    load->request = NULL;
    disarm(&load->step_due);
    if (outcome == L2_YES && is_fresh_copy(load, value, age_ms, random)) {
        const struct l1_facts facts = facts_of(load, age_ms, random);
        const struct cache_answer answer = {
            .status = CACHE_FRESH, .result = RESULT_OK, .value = value, .age_ms = age_ms, .tier = "l2"};
        keep(load, value, &facts);
        load_end(load, &answer);
        return;
    }
    if (outcome == L2_YES) {
        take_stale_copy(load, value, age_ms);
    }
    if (outcome == L2_DOWN) {
        ask_source(load);
    } else {
        ask_lease(load);
    }
}

static void ask_l2(struct cache_load *load)
{
    struct cache *cache = load->cache;
    load->step = STEP_L2;
    load->request = l2_read(cache->l2, load->flight.key, cache->options.max_value_bytes, on_l2_read, load);
    if (load->request) {
        arm(&load->step_due, L2_PATIENCE_MS);
    } else {
        ask_source(load);
    }
}

/* ---- lease ---- */

static bool is_slow(const struct cache_load *load)
{
    return !load->cache->has_loaded[load->class] || load->cache->load_ms[load->class] >= SLOW_LOAD_MS;
}

static void on_lease(void *context, enum l2_outcome outcome)
{
    struct cache_load *load = context;
    struct cache *cache = load->cache;
    load->request = NULL;
    disarm(&load->step_due);
    load->has_lease = outcome == L2_YES;
    bool may_wait = cache_now_ms(cache) - load->began_ms < cache->options.load_timeout_ms / 2;
    if (outcome != L2_NO || !may_wait) {
        ask_source(load);
        return;
    }
    if (load->pause_ms == PAUSE_FIRST_MS) {
        metric_add(cache->counts.lease_losses, 1);
    }
    load->step = STEP_PAUSE;
    arm(&load->step_due, load->pause_ms);
    load->pause_ms = 2 * load->pause_ms < PAUSE_MAX_MS ? 2 * load->pause_ms : PAUSE_MAX_MS;
}

static void ask_lease(struct cache_load *load)
{
    struct cache *cache = load->cache;
    load->step = STEP_LEASE;
    random_fill(load->token, sizeof load->token);
    load->request = is_slow(load) ? l2_lease(cache->l2, load->flight.key, load->token,
                                             cache->options.load_timeout_ms, on_lease, load)
                                  : NULL;
    if (load->request) {
        arm(&load->step_due, L2_PATIENCE_MS);
    } else {
        ask_source(load);
    }
}

void cache_load_key_changed(struct flight *flight)
{
    struct cache_load *load = load_of(flight);
    switch (load->step) {
    case STEP_PAUSE:
        arm(&load->step_due, 0);
        break;
    case STEP_LEASE:
        break; /* nothing that was read is used but as stale */
    case STEP_L2:
    case STEP_SOURCE:
        flights_detach(&load->cache->flights, flight);
        break;
    }
}

/* ---- the source ---- */

static void measure(struct cache_load *load, enum cache_load_result result)
{
    struct cache *cache = load->cache;
    uint64_t took_ms = cache_now_ms(cache) - load->asked_ms;
    struct cache_class_metrics *metrics = &cache->counts.classes[load->class];
    metric_add(metrics->loads[result], 1);
    metric_observe(metrics->load_seconds, (double)took_ms / 1000);
    if (result != LOADED_FAILED) {
        uint64_t before_ms = cache->has_loaded[load->class] ? cache->load_ms[load->class] : took_ms;
        cache->load_ms[load->class] = (before_ms * 3 + took_ms) / 4;
        cache->has_loaded[load->class] = true;
    }
}

static void end_with_value(struct cache_load *load, struct cache_value *value)
{
    struct cache *cache = load->cache;
    struct l1_facts facts = facts_of(load, 0, random_u64());
    struct cache_answer answer = {.status = CACHE_FRESH, .value = value, .tier = "l3"};
    measure(load, LOADED_VALUE);
    facts.load_ms = (uint32_t)cache->load_ms[load->class];
    enum result result = load->flight.is_current ? l1_put(&cache->l1, load->flight.key, load->class, value,
                                                          &facts, cache_now_ms(cache))
                                                 : RESULT_CLOSED;
    if (result == RESULT_OLDER) { /* pushed while the source worked */
        answer = cache_answer_without_load(cache, load->flight.key, RESULT_OLDER);
    } else if (load->flight.is_current) {
        cache_write_l2(cache, load->flight.key, load->class, value);
        cache_wake_at(cache, l1_next_due_ms(&cache->l1));
    }
    load_end(load, &answer);
}

static void end_with_nothing(struct cache_load *load)
{
    struct cache *cache = load->cache;
    const struct cache_answer answer = {.status = CACHE_NOTHING, .tier = "l3"};
    struct l1_entry *entry = l1_find(&cache->l1, load->flight.key);
    measure(load, LOADED_NOTHING);
    if (load->flight.is_current && entry && class_of(load)->negative_ms == 0) {
        l1_remove(&cache->l1, entry, L1_EXPIRED);
    } else if (load->flight.is_current && class_of(load)->negative_ms > 0) {
        const struct l1_facts facts = facts_of(load, 0, 0);
        keep(load, NULL, &facts);
    }
    if (load->flight.is_current && cache_uses_l2(cache, load->class)) {
        l2_remove(cache->l2, load->flight.key);
    }
    load_end(load, &answer);
}

static void end_with_failure(struct cache_load *load, enum result why)
{
    struct cache *cache = load->cache;
    struct l1_entry *entry = l1_find(&cache->l1, load->flight.key);
    measure(load, LOADED_FAILED);
    if (entry) {
        entry->has_failed = true;
        entry->failed_ms = (int64_t)cache_now_ms(cache);
    }
    const struct cache_answer answer = answer_of_failure(load, why);
    load_end(load, &answer);
}

static void on_loaded(void *context, enum result result, struct cache_value *value)
{
    struct cache_load *load = context;
    size_t length = 0;
    assert(load->step == STEP_SOURCE && (result == RESULT_OK || !value));
    if (value) {
        (void)cache_value_bytes(value, &length);
    }
    if (!load->cache) {
        free(load);
    } else if (result != RESULT_OK) {
        end_with_failure(load, result);
    } else if (!value) {
        end_with_nothing(load);
    } else if (length > load->cache->options.max_value_bytes) {
        end_with_failure(load, RESULT_TOO_BIG);
    } else {
        end_with_value(load, value);
    }
    cache_value_unref(value);
}

static void ask_source(struct cache_load *load)
{
    load->step = STEP_SOURCE;
    load->asked_ms = cache_now_ms(load->cache);
    load->source->load(load->source->context, load->flight.key, on_loaded, load);
}

/* ---- time ---- */

static void on_step_due(struct cache_load *load)
{
    switch (load->step) {
    case STEP_L2:
    case STEP_LEASE:
        l2_give_up(load->cache->l2, load->request);
        load->request = NULL;
        ask_source(load);
        break;
    case STEP_PAUSE:
        ask_l2(load);
        break;
    case STEP_SOURCE:
        break;
    }
}

static void on_deadline(struct cache_load *load)
{
    const struct cache_answer answer = answer_of_failure(load, RESULT_UNAVAILABLE);
    struct cache_value *held = cache_value_ref(answer.value);
    load->is_late = true;
    answer_waiters(load, &answer);
    cache_value_unref(held);
}

void cache_load_on_due(void *context, struct wheel_entry *entry)
{
    (void)context;
    struct load_timer *timer = LIST_ITEM(entry, struct load_timer, entry);
    timer->on_due(timer->load);
}
