/*
 * A read looks at L1 and is answered from there, or joins the load of its key. Whatever L1 says is judged at this moment; no timer
 * is needed for a value to stop being fresh.
 *
 * Invariants: one current load per key; every reader is answered once; CACHE_FRESH only for what l1_judge()
 * calls fresh, or what was loaded since the reader came.
 */
#include "cache/cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/cache_internal.h"

enum { TIMER_TICK_MS = 5, SAMPLE_MS = 1000 };

const char *cache_status_name(enum cache_status status)
{
    static const char *const names[CACHE_STATUS_COUNT] = {[CACHE_FRESH] = "fresh",
                                                          [CACHE_STALE] = "stale",
                                                          [CACHE_STALE_ERROR] = "stale_error",
                                                          [CACHE_NOTHING] = "nothing",
                                                          [CACHE_FAILED] = "failed"};
    return names[status];
}

uint64_t cache_now_ms(const struct cache *cache)
{
    return cache->options.now_ms();
}

bool cache_uses_l2(const struct cache *cache, size_t class)
{
    return cache->l2 && cache->options.classes[class].is_shared;
}

static size_t class_of(const struct cache *cache, const char *key)
{
    return cache_class_of_key(cache->options.classes, cache->options.class_count, key);
}

bool cache_has_class(const struct cache *cache, const char *class_name)
{
    return cache_class_find(cache->options.classes, cache->options.class_count, class_name) <
           cache->options.class_count;
}

/* Is this a key at all, and of which class? */
static enum result check_key(const struct cache *cache, const char *key, size_t *out_class)
{
    if (strnlen(key, CACHE_KEY_MAX_BYTES + 1) > CACHE_KEY_MAX_BYTES) {
        return RESULT_TOO_BIG;
    }
    size_t class = class_of(cache, key);
    if (class == cache->options.class_count) {
        return RESULT_UNKNOWN_FIELD;
    }
    *out_class = class;
    return RESULT_OK;
}

/* ---- time ---- */

void cache_wake_at(struct cache *cache, uint64_t due_ms)
{
    if (due_ms >= cache->armed_for_ms) {
        return;
    }
    uint64_t now_ms = cache_now_ms(cache);
    cache->armed_for_ms = due_ms;
    loop_update_now(cache->loop); /* the timer counts from the loop's idea of now */
    loop_timer_arm(cache->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void refresh(struct cache *cache, const struct l1_entry *entry, bool is_good)
{
    struct cache_load *load = NULL;
    if (!entry->source || flights_find(&cache->flights, entry->key) ||
        cache_load_create(cache, entry->key, entry->class, entry->source, is_good, &load) != RESULT_OK) {
        return; /* on its way; or a later read tries again */
    }
    cache_load_start(load);
}

static void on_refresh_due(void *context, struct l1_entry *entry)
{
    refresh(context, entry, true);
}

void cache_run(struct cache *cache)
{
    uint64_t now_ms = cache_now_ms(cache);
    cache->armed_for_ms = UINT64_MAX;
    wheel_run(&cache->timers, now_ms, cache_load_on_due, cache);
    l1_run(&cache->l1, now_ms, on_refresh_due, cache);
    if (now_ms >= cache->next_sample_ms) {
        cache->next_sample_ms = now_ms + SAMPLE_MS;
        cache_metrics_sample(&cache->counts, &cache->l1);
        cache_links_track(cache);
    }
    cache_wake_at(cache, wheel_next_due_ms(&cache->timers));
    cache_wake_at(cache, l1_next_due_ms(&cache->l1));
    cache_wake_at(cache, cache->next_sample_ms);
}

static void on_timer(void *context)
{
    cache_run(context);
}

/* ---- answering ---- */

/* value NULL: CACHE_NOTHING. */
static struct cache_answer answer_of(const struct cache *cache, const struct l1_entry *entry,
                                     enum cache_status status, enum result result)
{
    return (struct cache_answer){
        .status = entry->value ? status : CACHE_NOTHING,
        .result = result,
        .value = entry->value,
        .age_ms = l1_age_ms(entry, cache_now_ms(cache)),
        .tier = "l1",
    };
}

struct cache_answer cache_answer_without_load(struct cache *cache, const char *key, enum result why)
{
    struct l1_entry *entry = l1_find(&cache->l1, key);
    enum l1_state state = entry ? l1_judge(&cache->l1, entry, cache_now_ms(cache)) : L1_OVER;
    if (state == L1_FRESH) { /* pushed while the load was under way */
        return answer_of(cache, entry, CACHE_FRESH, RESULT_OK);
    }
    if (state != L1_OVER) {
        return answer_of(cache, entry, CACHE_STALE_ERROR, why);
    }
    return (struct cache_answer){.status = CACHE_FAILED, .result = why, .tier = ""};
}

/* The reader is answered; the value lives as long as the answer needs it. */
static void give(struct cache *cache, size_t class, struct cache_answer *answer, cache_answer_fn *fn,
                 void *context)
{
    cache_metrics_looked_up(&cache->counts, class, answer);
    fn(context, answer);
}

/* Joins the load of this key, which is begun if there is none. */
static void wait_for_load(struct cache *cache, const char *key, size_t class,
                          const struct cache_source *source, cache_answer_fn *answer, void *context)
{
    struct cache_load *begun = NULL;
    struct flight *flight = flights_find(&cache->flights, key);
    enum result result = RESULT_OK;
    if (flight && cache_load_is_late(flight)) {
        result = RESULT_UNAVAILABLE;
    } else if (!flight) {
        result = cache_load_create(cache, key, class, source, false, &begun);
        flight = result == RESULT_OK ? cache_load_flight(begun) : NULL;
    } else {
        metric_add(cache->counts.classes[class].waiters, 1);
    }
    if (result == RESULT_OK) {
        result = flights_join(&cache->flights, flight, answer, context);
    }
    if (begun) {
        cache_load_start(begun); /* if nobody could join, what it brings is kept all the same */
    }
    if (result != RESULT_OK) {
        struct cache_answer without = cache_answer_without_load(cache, key, result);
        give(cache, class, &without, answer, context);
    }
}

static bool has_just_failed(const struct l1_entry *entry, uint64_t now_ms)
{
    return entry->has_failed && (int64_t)now_ms - entry->failed_ms < CACHE_REFRESH_RETRY_MS;
}

/* Answers from L1 and refreshes behind the reader's back; false when L1 alone cannot answer. */
static bool answer_from_l1(struct cache *cache, struct l1_entry *entry, cache_answer_fn *answer,
                           void *context)
{
    uint64_t now_ms = cache_now_ms(cache);
    enum l1_state state = l1_judge(&cache->l1, entry, now_ms);
    bool has_failed = has_just_failed(entry, now_ms);
    if (state == L1_OVER || (state == L1_STALE_ERROR && !has_failed)) {
        return false;
    }
    const struct cache_class *class = &cache->options.classes[entry->class];
    enum cache_status status = state == L1_FRESH ? CACHE_FRESH : has_failed ? CACHE_STALE_ERROR : CACHE_STALE;
    enum result result = status == CACHE_STALE_ERROR ? RESULT_UNAVAILABLE : RESULT_OK;
    struct cache_answer given = answer_of(cache, entry, status, result);
    size_t class_index = entry->class;
    bool is_early = state == L1_FRESH && entry->value &&
                    class->early_factor > 0 && /* spares the random word */
                    cache_class_is_early(class, given.age_ms, entry->ttl_ms, entry->load_ms, random_u64());
    l1_touch(entry);
    cache_value_ref(given.value); /* the refresh may replace it before the answer is given */
    if ((state == L1_STALE || is_early) && !has_failed) {
        refresh(cache, entry, is_early);
    }
    give(cache, class_index, &given, answer, context);
    cache_value_unref(given.value);
    return true;
}

void cache_get(struct cache *cache, const char *key, const struct cache_source *source,
               cache_answer_fn *answer, void *context)
{
    size_t class = 0;
    enum result result = cache->is_closing ? RESULT_CLOSED : check_key(cache, key, &class);
    if (result != RESULT_OK) {
        answer(context, &(struct cache_answer){.status = CACHE_FAILED, .result = result, .tier = ""});
        return;
    }
    struct l1_entry *entry = l1_find(&cache->l1, key);
    if (entry) {
        entry->source = source;
    }
    if (!entry || !answer_from_l1(cache, entry, answer, context)) {
        wait_for_load(cache, key, class, source, answer, context);
    }
}

/* ---- writing and forgetting ---- */

enum result cache_put(struct cache *cache, const char *key, struct cache_value *value)
{
    size_t class = 0;
    size_t length = 0;
    const struct l1_facts facts = {.random = random_u64()};
    (void)cache_value_bytes(value, &length);
    enum result result = check_key(cache, key, &class);
    if (result == RESULT_OK) {
        result = length > cache->options.max_value_bytes
                     ? RESULT_TOO_BIG
                     : l1_put(&cache->l1, key, class, value, &facts, cache_now_ms(cache));
    }
    if (result == RESULT_OK) {
        struct flight *flight = flights_find(&cache->flights, key);
        if (flight) {
            flights_detach(&cache->flights, flight); /* what it brings may be older */
        }
        cache_write_l2(cache, key, class, value);
        cache_wake_at(cache, l1_next_due_ms(&cache->l1));
    }
    cache_value_unref(value);
    return result;
}

bool cache_drop(struct cache *cache, const char *key)
{
    struct l1_entry *entry = l1_find(&cache->l1, key);
    struct flight *flight = flights_find(&cache->flights, key);
    if (entry) {
        l1_remove(&cache->l1, entry, L1_CLEARED);
    }
    if (flight) {
        flights_detach(&cache->flights, flight);
    }
    return entry != NULL;
}

enum result cache_forget(struct cache *cache, const char *key, bool *out_was_held)
{
    size_t class = 0;
    enum result result = check_key(cache, key, &class);
    if (result != RESULT_OK) {
        return result;
    }
    *out_was_held = cache_drop(cache, key);
    if (cache_uses_l2(cache, class)) {
        l2_remove(cache->l2, key);
    }
    cache_links_tell(cache, 'k', key);
    return RESULT_OK;
}

/* "class:", as its keys begin. */
struct beginning {
    char text[CACHE_CLASS_NAME_MAX_BYTES + 2];
};

static struct beginning beginning_of(const struct cache *cache, size_t class)
{
    struct beginning beginning;
    (void)snprintf(beginning.text, sizeof beginning.text,
                   "%s:", cache->options.classes[class].name); /* fits: asserted */
    return beginning;
}

size_t cache_drop_class(struct cache *cache, size_t class)
{
    flights_detach_all(&cache->flights, beginning_of(cache, class).text);
    return l1_clear_class(&cache->l1, class);
}

enum result cache_clear_class(struct cache *cache, const char *class_name, size_t *out_count)
{
    size_t class = cache_class_find(cache->options.classes, cache->options.class_count, class_name);
    if (class == cache->options.class_count) {
        return RESULT_UNKNOWN_FIELD;
    }
    *out_count = cache_drop_class(cache, class);
    if (cache_uses_l2(cache, class)) {
        l2_remove_all(cache->l2, beginning_of(cache, class).text);
    }
    cache_links_tell(cache, 'c', class_name);
    return RESULT_OK;
}

/* ---- life cycle ---- */

const struct breaker *cache_breaker(const struct cache *cache)
{
    return cache->l2 ? l2_breaker(cache->l2) : NULL;
}

const struct redis_link *cache_commands_link(const struct cache *cache)
{
    return cache->links.commands;
}

const struct redis_link *cache_tracker_link(const struct cache *cache)
{
    return cache->links.tracker;
}

bool cache_is_tracking(const struct cache *cache)
{
    return cache->l1.is_trusted;
}

struct cache *cache_create(struct loop *loop, struct metrics *metrics, const struct cache_options *options)
{
    for (size_t i = 0; i < options->class_count; i++) {
        assert(strlen(options->classes[i].name) <= CACHE_CLASS_NAME_MAX_BYTES);
    }
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        return NULL;
    }
    cache->options = *options;
    cache->metrics = metrics;
    cache->loop = loop;
    cache->armed_for_ms = UINT64_MAX;
    uint64_t now_ms = cache_now_ms(cache);
    wheel_init(&cache->timers, TIMER_TICK_MS, now_ms);
    flights_init(&cache->flights, options->max_loads, options->max_waiters);
    cache_metrics_init(&cache->counts, metrics, options->classes, options->class_count,
                       options->budget_bytes);
    cache->timer = loop_timer_create(loop, on_timer, cache);
    if (l1_init(&cache->l1, options->budget_bytes, options->classes, options->class_count, now_ms) !=
            RESULT_OK ||
        !cache->timer || cache_links_open(cache) != RESULT_OK) {
        goto fail;
    }
    metric_set(cache->counts.tracking, cache->l1.is_trusted ? 1 : 0);
    cache->next_sample_ms = now_ms + SAMPLE_MS;
    cache_wake_at(cache, cache->next_sample_ms);
    return cache;

fail:
    cache_destroy(cache);
    return NULL;
}

void cache_destroy(struct cache *cache)
{
    if (!cache) {
        return;
    }
    cache->is_closing = true;
    while (!list_is_empty(&cache->flights.all)) {
        cache_load_abandon(LIST_ITEM(cache->flights.all.next, struct flight, in_table));
    }
    cache_links_close(cache);
    flights_finish(&cache->flights);
    l1_finish(&cache->l1);
    loop_timer_destroy(cache->timer);
    free(cache);
}
