/*
 * The whole cache with a clock of its own, a loader that answers when told to, and a Redis in memory. Two caches are two
 * processes. What the real Redis does is tests/integration/cache.test.mjs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "memory_redis.h"
#include "support/allocations.h"
#include "support/chance.h"

enum { NODES = 2, LOADS_MAX = 64, WAITERS = 1000 };

static const struct cache_class classes[] = {
    {.name = "plain",
     .ttl_ms = 100000,
     .stale_ms = 50000,
     .stale_error_ms = 400000,
     .negative_ms = 5000,
     .is_shared = true,
     .max_share = 1},
    {.name = "eager",
     .ttl_ms = 100000,
     .stale_ms = 50000,
     .stale_error_ms = 50000,
     .is_eager = true,
     .is_shared = true,
     .max_share = 1},
    {.name = "own", .ttl_ms = 100000, .stale_ms = 50000, .stale_error_ms = 400000, .max_share = 1},
};

static uint64_t now_ms;

static uint64_t fake_now_ms(void)
{
    return now_ms;
}

/* ---- a source that is asked, and answers when the test says so ---- */

struct loader {
    struct cache_source source;
    unsigned asked;
    bool is_instant;
    enum result result; /* what it says */
    const char *text;   /* NULL: no such thing */
    uint64_t version;
    size_t pending_count;
    struct {
        cache_loaded_fn *loaded;
        void *context;
    } pending[LOADS_MAX];
};

static struct cache_value *value_of(const char *text, uint64_t version)
{
    return text ? cache_value_create(text, strlen(text), version, 1700000000000) : NULL;
}

static void loader_answer(struct loader *loader, enum result result, const char *text)
{
    assert_true(loader->pending_count > 0);
    cache_loaded_fn *loaded = loader->pending[0].loaded;
    void *context = loader->pending[0].context;
    loader->pending_count--;
    memmove(&loader->pending[0], &loader->pending[1], loader->pending_count * sizeof loader->pending[0]);
    loaded(context, result, result == RESULT_OK ? value_of(text, loader->version) : NULL);
}

static void load(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context)
{
    struct loader *loader = context;
    assert_non_null(strchr(key, ':'));
    assert_true(loader->pending_count < LOADS_MAX);
    loader->asked++;
    loader->pending[loader->pending_count].loaded = loaded;
    loader->pending[loader->pending_count++].context = cache_context;
    if (loader->is_instant) {
        loader_answer(loader, loader->result, loader->text);
    }
}

/* ---- readers ---- */

struct reader {
    unsigned answers;
    enum cache_status status;
    enum result result;
    uint64_t age_ms;
    char tier[4];
    char text[64];
};

static void on_answer(void *context, const struct cache_answer *answer)
{
    struct reader *reader = context;
    reader->answers++;
    reader->status = answer->status;
    reader->result = answer->result;
    reader->age_ms = answer->age_ms;
    (void)snprintf(reader->tier, sizeof reader->tier, "%s", answer->tier);
    (void)snprintf(reader->text, sizeof reader->text, "%s",
                   answer->value ? cache_value_bytes(answer->value, NULL) : "");
    assert_true((answer->value != NULL) == (answer->status < CACHE_NOTHING));
}

/* ---- the two processes ---- */

static struct node {
    struct loop *loop;
    struct metrics *metrics;
    struct cache *cache;
    struct loader loader;
} nodes[NODES];

static const struct redis_server server = {.host = "unused"};

static struct cache_options options_with(const struct redis_server *redis)
{
    return (struct cache_options){
        .budget_bytes = 1 << 20,
        .max_value_bytes = 1000,
        .max_loads = 4,
        .max_waiters = WAITERS,
        .load_timeout_ms = 5000,
        .classes = classes,
        .class_count = sizeof classes / sizeof *classes,
        .redis = redis,
        .prefix = "t:",
        .breaker = {.failures = 5, .open_ms = 60000, .probe_ms = 2000},
        .now_ms = fake_now_ms,
    };
}

static void node_open(struct node *node, const struct redis_server *redis)
{
    const struct cache_options options = options_with(redis);
    memset(node, 0, sizeof *node);
    node->loader.source = (struct cache_source){.load = load, .context = &node->loader};
    node->loader.is_instant = true;
    node->loader.text = "one";
    node->loop = loop_create();
    node->metrics = metrics_create();
    node->cache = cache_create(node->loop, node->metrics, &options);
    assert_non_null(node->cache);
}

static void node_close(struct node *node)
{
    cache_destroy(node->cache);
    assert_int_equal(node->loader.pending_count, 0);
    metrics_destroy(node->metrics);
    loop_destroy(node->loop);
}

static int open_alone(void **state)
{
    (void)state;
    now_ms = 1000000;
    memory_redis_reset(fake_now_ms);
    node_open(&nodes[0], NULL);
    return 0;
}

static int close_alone(void **state)
{
    (void)state;
    node_close(&nodes[0]);
    return 0;
}

static int open_two(void **state)
{
    (void)state;
    now_ms = 1000000;
    memory_redis_reset(fake_now_ms);
    for (size_t i = 0; i < NODES; i++) {
        node_open(&nodes[i], &server);
    }
    memory_redis_settle();
    assert_true(cache_is_tracking(nodes[0].cache) && cache_is_tracking(nodes[1].cache));
    return 0;
}

static int close_two(void **state)
{
    (void)state;
    for (size_t i = 0; i < NODES; i++) {
        node_close(&nodes[i]);
    }
    memory_redis_reset(fake_now_ms);
    return 0;
}

static void get(size_t i, const char *key, struct reader *reader)
{
    cache_get(nodes[i].cache, key, &nodes[i].loader.source, on_answer, reader);
}

/* A read that is answered as soon as Redis has been. */
static struct reader read_at(size_t i, const char *key)
{
    struct reader reader = {0};
    get(i, key, &reader);
    memory_redis_settle();
    assert_int_equal(reader.answers, 1);
    return reader;
}

static void pass(uint64_t ms)
{
    for (uint64_t end_ms = now_ms + ms; now_ms < end_ms;) {
        now_ms += end_ms - now_ms < 5 ? end_ms - now_ms : 5;
        for (size_t i = 0; i < NODES; i++) {
            if (nodes[i].cache) {
                cache_run(nodes[i].cache);
            }
        }
        memory_redis_settle();
    }
}

static void assert_read(const struct reader *reader, enum cache_status status, const char *tier,
                        const char *text)
{
    if (reader->status != status || strcmp(reader->tier, tier) != 0 || strcmp(reader->text, text) != 0) {
        fail_msg("%s from %s: %s, instead of %s from %s: %s", cache_status_name(reader->status), reader->tier,
                 reader->text, cache_status_name(status), tier, text);
    }
}

static void read_expecting(size_t i, const char *key, enum cache_status status, const char *tier,
                           const char *text)
{
    struct reader reader = read_at(i, key);
    assert_read(&reader, status, tier, text);
}

static double counted(size_t i, const char *name, const char *labels)
{
    return metric_read(metrics_find(nodes[i].metrics, name, labels));
}

/* ---- one process ---- */

static void test_second_read_is_answered_from_memory(void **state)
{
    (void)state;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
    now_ms += 70000;
    struct reader reader = read_at(0, "own:a");
    assert_read(&reader, CACHE_FRESH, "l1", "one");
    assert_int_equal(reader.age_ms, 70000);
    assert_int_equal(nodes[0].loader.asked, 1);
    assert_int_equal(counted(0, "gw_cache_lookups_total", "class=\"own\",result=\"fresh\""), 1);
    assert_int_equal(counted(0, "gw_cache_lookups_total", "class=\"own\",result=\"miss\""), 1);
    assert_int_equal(counted(0, "gw_cache_loads_total", "class=\"own\",result=\"value\""), 1);
}

static void test_thousand_readers_of_one_key_cause_one_load(void **state)
{
    (void)state;
    static struct reader readers[WAITERS];
    memset(readers, 0, sizeof readers);
    nodes[0].loader.is_instant = false;
    for (size_t i = 0; i < WAITERS; i++) {
        get(0, "own:a", &readers[i]);
    }
    assert_int_equal(nodes[0].loader.asked, 1);
    struct reader refused = {0};
    get(0, "own:a", &refused);
    assert_int_equal(refused.status, CACHE_FAILED);
    assert_int_equal(refused.result, RESULT_TOO_MANY);
    loader_answer(&nodes[0].loader, RESULT_OK, "all");
    for (size_t i = 0; i < WAITERS; i++) {
        assert_int_equal(readers[i].answers, 1);
        assert_read(&readers[i], CACHE_FRESH, "l3", "all");
    }
    assert_int_equal(counted(0, "gw_cache_waiters_total", "class=\"own\""), WAITERS);
}

static void test_stale_value_is_served_while_it_is_refreshed_once(void **state)
{
    (void)state;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
    now_ms += 101000;
    nodes[0].loader.is_instant = false;
    read_expecting(0, "own:a", CACHE_STALE, "l1", "one");
    read_expecting(0, "own:a", CACHE_STALE, "l1", "one");
    assert_int_equal(nodes[0].loader.asked, 2);
    loader_answer(&nodes[0].loader, RESULT_OK, "two");
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "two");
    assert_int_equal(counted(0, "gw_cache_lookups_total", "class=\"own\",result=\"stale\""), 2);
}

static void test_value_past_its_stale_time_is_served_only_when_the_loader_fails(void **state)
{
    (void)state;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
    now_ms += 200000;
    nodes[0].loader.is_instant = false;
    struct reader reader = {0};
    get(0, "own:a", &reader);
    assert_int_equal(reader.answers, 0);
    loader_answer(&nodes[0].loader, RESULT_UNAVAILABLE, NULL);
    assert_read(&reader, CACHE_STALE_ERROR, "l1", "one");
    assert_int_equal(reader.result, RESULT_UNAVAILABLE);
    assert_int_equal(reader.age_ms, 200000);
    read_expecting(0, "own:a", CACHE_STALE_ERROR, "l1", "one"); /* not asked again at once */
    assert_int_equal(nodes[0].loader.asked, 2);
    now_ms += 1000;
    nodes[0].loader.is_instant = true;
    nodes[0].loader.text = "two";
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "two");
}

static void test_failure_without_anything_held_is_told_and_not_kept(void **state)
{
    (void)state;
    nodes[0].loader.result = RESULT_FORBIDDEN;
    struct reader reader = read_at(0, "own:a");
    assert_read(&reader, CACHE_FAILED, "", "");
    assert_int_equal(reader.result, RESULT_FORBIDDEN);
    nodes[0].loader.result = RESULT_OK;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
}

static void test_nothing_is_remembered_for_a_short_time(void **state)
{
    (void)state;
    nodes[0].loader.text = NULL;
    read_expecting(0, "plain:a", CACHE_NOTHING, "l3", "");
    read_expecting(0, "plain:a", CACHE_NOTHING, "l1", "");
    assert_int_equal(nodes[0].loader.asked, 1);
    now_ms += 5000;
    nodes[0].loader.text = "now";
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "now");
    nodes[0].loader.text = NULL; /* a class that does not remember: what was held is gone all the same */
    read_expecting(0, "own:b", CACHE_NOTHING, "l3", "");
    read_expecting(0, "own:b", CACHE_NOTHING, "l3", "");
}

static void test_row_that_vanished_is_not_served_on(void **state)
{
    (void)state;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
    now_ms += 200000;
    nodes[0].loader.text = NULL;
    read_expecting(0, "own:a", CACHE_NOTHING, "l3", "");
    nodes[0].loader.result = RESULT_UNAVAILABLE;
    read_expecting(0, "own:a", CACHE_FAILED, "", "");
}

static void test_load_under_way_when_its_key_is_forgotten_serves_but_is_not_kept(void **state)
{
    (void)state;
    struct reader before = {0}, after = {0};
    bool was_held = true;
    nodes[0].loader.is_instant = false;
    get(0, "own:a", &before);
    assert_int_equal(cache_forget(nodes[0].cache, "own:a", &was_held), RESULT_OK);
    assert_false(was_held);
    get(0, "own:a", &after);
    assert_int_equal(nodes[0].loader.asked, 2); /* the later reader must not get what was read before */
    loader_answer(&nodes[0].loader, RESULT_OK, "old");
    assert_read(&before, CACHE_FRESH, "l3", "old");
    assert_int_equal(after.answers, 0);
    loader_answer(&nodes[0].loader, RESULT_OK, "new");
    assert_read(&after, CACHE_FRESH, "l3", "new");
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "new");
}

static void test_clearing_a_class_forgets_what_is_held_and_what_is_coming(void **state)
{
    (void)state;
    struct reader reader = {0};
    size_t count = 9;
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "one");
    read_expecting(0, "own:b", CACHE_FRESH, "l3", "one");
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    nodes[0].loader.is_instant = false;
    get(0, "own:c", &reader);
    assert_int_equal(cache_clear_class(nodes[0].cache, "own", &count), RESULT_OK);
    assert_int_equal(count, 2);
    loader_answer(&nodes[0].loader, RESULT_OK, "old");
    assert_read(&reader, CACHE_FRESH, "l3", "old");
    nodes[0].loader.is_instant = true;
    nodes[0].loader.text = "two";
    read_expecting(0, "own:a", CACHE_FRESH, "l3", "two");
    read_expecting(0, "own:c", CACHE_FRESH, "l3", "two");
    read_expecting(0, "plain:a", CACHE_FRESH, "l1", "one");
    assert_int_equal(cache_clear_class(nodes[0].cache, "ow", &count), RESULT_UNKNOWN_FIELD);
}

static void test_pushed_value_wins_over_an_older_load(void **state)
{
    (void)state;
    struct reader reader = {0};
    nodes[0].loader.is_instant = false;
    nodes[0].loader.version = 5;
    get(0, "own:a", &reader);
    assert_int_equal(cache_put(nodes[0].cache, "own:a", value_of("six", 6)), RESULT_OK);
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "six");
    loader_answer(&nodes[0].loader, RESULT_OK, "five");
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "six");
    assert_int_equal(cache_put(nodes[0].cache, "own:a", value_of("five", 5)), RESULT_OLDER);
    assert_int_equal(cache_put(nodes[0].cache, "own:a", value_of("seven", 7)), RESULT_OK);
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "seven");
}

static void test_pushed_value_without_a_version_wins_over_a_load_that_began_before(void **state)
{
    (void)state;
    struct reader reader = {0};
    nodes[0].loader.is_instant = false;
    get(0, "own:a", &reader);
    assert_int_equal(cache_put(nodes[0].cache, "own:a", value_of("pushed", 0)), RESULT_OK);
    loader_answer(&nodes[0].loader, RESULT_OK, "before");
    assert_int_equal(reader.answers, 1);
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "pushed");
}

static void test_bad_keys_and_values_are_refused_by_name(void **state)
{
    (void)state;
    static char key[CACHE_KEY_MAX_BYTES + 2];
    static char text[1002];
    bool was_held = false;
    memset(key, 'k', sizeof key - 1);
    memcpy(key, "own:", 4);
    memset(text, 'x', sizeof text - 1);
    struct reader reader = read_at(0, key);
    assert_int_equal(reader.result, RESULT_TOO_BIG);
    reader = read_at(0, "unknown:a");
    assert_int_equal(reader.result, RESULT_UNKNOWN_FIELD);
    assert_int_equal(cache_put(nodes[0].cache, "own", value_of("1", 1)), RESULT_UNKNOWN_FIELD);
    assert_int_equal(cache_put(nodes[0].cache, "own:a", value_of(text, 1)), RESULT_TOO_BIG);
    assert_int_equal(cache_forget(nodes[0].cache, key, &was_held), RESULT_TOO_BIG);
    nodes[0].loader.text = text;
    reader = read_at(0, "own:a");
    assert_int_equal(reader.status, CACHE_FAILED);
    assert_int_equal(reader.result, RESULT_TOO_BIG);
    key[CACHE_KEY_MAX_BYTES] = '\0';
    nodes[0].loader.text = "longest";
    read_expecting(0, key, CACHE_FRESH, "l3", "longest");
}

static void test_one_load_too_many_is_refused_unless_something_is_held(void **state)
{
    (void)state;
    struct reader readers[4] = {0};
    read_expecting(0, "own:held", CACHE_FRESH, "l3", "one");
    now_ms += 200000;
    nodes[0].loader.is_instant = false;
    for (int i = 0; i < 4; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "own:%d", i);
        get(0, key, &readers[i]);
    }
    struct reader reader = read_at(0, "own:5");
    assert_int_equal(reader.status, CACHE_FAILED);
    assert_int_equal(reader.result, RESULT_FULL);
    reader = read_at(0, "own:held");
    assert_read(&reader, CACHE_STALE_ERROR, "l1", "one");
    for (int i = 0; i < 4; i++) {
        loader_answer(&nodes[0].loader, RESULT_OK, "1");
        assert_int_equal(readers[i].answers, 1);
    }
}

static void test_readers_of_a_load_that_hangs_are_answered_at_the_deadline(void **state)
{
    (void)state;
    struct reader first = {0};
    nodes[0].loader.is_instant = false;
    get(0, "own:a", &first);
    pass(4900);
    assert_int_equal(first.answers, 0);
    pass(200);
    assert_int_equal(first.answers, 1);
    assert_int_equal(first.status, CACHE_FAILED);
    assert_int_equal(first.result, RESULT_UNAVAILABLE);
    struct reader late = read_at(0, "own:a"); /* does not wait for what hangs */
    assert_int_equal(late.result, RESULT_UNAVAILABLE);
    assert_int_equal(nodes[0].loader.asked, 1);
    loader_answer(&nodes[0].loader, RESULT_OK, "late");
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "late");
}

static void test_eager_entries_are_refreshed_before_they_are_stale(void **state)
{
    (void)state;
    read_expecting(0, "eager:a", CACHE_FRESH, "l3", "one");
    for (int i = 0; i < 60; i++) {
        pass(5000);
        struct reader reader = read_at(0, "eager:a");
        assert_int_equal(reader.status, CACHE_FRESH);
        assert_true(reader.age_ms <= 82000);
    }
    assert_in_range(nodes[0].loader.asked, 4, 6); /* every 64 to 80 s */
}

static void test_waiters_hear_of_the_end_and_late_loads_are_harmless(void **state)
{
    (void)state;
    struct reader reader = {0};
    nodes[0].loader.is_instant = false;
    get(0, "own:a", &reader);
    cache_destroy(nodes[0].cache);
    nodes[0].cache = NULL;
    assert_int_equal(reader.answers, 1);
    assert_int_equal(reader.status, CACHE_FAILED);
    assert_int_equal(reader.result, RESULT_CLOSED);
    loader_answer(&nodes[0].loader, RESULT_OK, "late");
}

struct again {
    struct reader reader;
    unsigned depth;
};

static void get_again(void *context, const struct cache_answer *answer)
{
    struct again *again = context;
    bool was_held = false;
    on_answer(&again->reader, answer);
    if (again->depth++ < 3) {
        assert_int_equal(cache_forget(nodes[0].cache, "own:a", &was_held), RESULT_OK);
        cache_get(nodes[0].cache, "own:a", &nodes[0].loader.source, get_again, again);
    }
}

static void test_answers_may_read_and_forget(void **state)
{
    (void)state;
    struct again again = {.depth = 0};
    cache_get(nodes[0].cache, "own:a", &nodes[0].loader.source, get_again, &again);
    assert_int_equal(again.reader.answers,
                     4); /* each load lasts until its answers are given: max_loads of them */
    assert_int_equal(nodes[0].loader.asked, 4);
}

static void test_hit_rate_counts_fresh_answers_from_memory_only(void **state)
{
    (void)state;
    (void)read_at(0, "own:a");
    for (int i = 0; i < 3; i++) {
        (void)read_at(0, "own:a");
    }
    pass(1100);
    assert_true(counted(0, "sophia_cache_hit_rate", "class=\"own\"") == 0.75);
    pass(101000); /* more than a minute: the reads above no longer count */
    (void)read_at(0, "own:a");
    assert_int_equal(counted(0, "gw_cache_lookups_total", "class=\"own\",result=\"stale\""), 1);
    pass(1100);
    assert_true(counted(0, "sophia_cache_hit_rate", "class=\"own\"") == 0);
    assert_true(counted(0, "gw_cache_oldest_served_seconds", "class=\"own\"") >= 101);
    assert_true(counted(0, "gw_cache_bytes", "class=\"own\"") > 0);
}

static void test_memory_running_out_answers_every_reader_once(void **state)
{
    (void)state;
    for (int allowed = 0;; allowed++) {
        struct reader readers[3] = {0};
        bool was_held = false;
        allocations_fail_all_after(allowed);
        nodes[0].loader.is_instant = false;
        get(0, "own:a", &readers[0]);
        get(0, "own:a", &readers[1]);
        bool has_failed = allocations_recover();
        if (nodes[0].loader.pending_count > 0) {
            loader_answer(&nodes[0].loader, RESULT_OK, "1");
        }
        get(0, "own:a", &readers[2]);
        if (nodes[0].loader.pending_count > 0) {
            loader_answer(&nodes[0].loader, RESULT_OK, "1");
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(readers[i].answers, 1);
        }
        assert_int_equal(readers[2].status, CACHE_FRESH);
        assert_int_equal(cache_forget(nodes[0].cache, "own:a", &was_held), RESULT_OK);
        if (!has_failed) {
            break;
        }
    }
}

static void test_cache_that_cannot_be_built_leaves_nothing(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    memory_redis_reset(fake_now_ms);
    for (int allowed = 0;; allowed++) {
        struct metrics *metrics = metrics_create();
        const struct cache_options options = options_with(&server);
        memory_redis_reset(fake_now_ms);
        allocations_fail_one_after(allowed);
        struct cache *cache = cache_create(loop, metrics, &options);
        bool has_failed = allocations_recover();
        cache_destroy(cache);
        metrics_destroy(metrics);
        if (!has_failed) {
            assert_non_null(cache);
            break;
        }
    }
    memory_redis_reset(fake_now_ms);
    loop_destroy(loop);
}

/* ---- two processes ---- */

static void test_what_one_process_loaded_the_other_reads_with_its_age(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    pass(30000);
    struct reader reader = read_at(1, "plain:a");
    assert_read(&reader, CACHE_FRESH, "l2", "one");
    assert_in_range(reader.age_ms, 29900, 30100);
    assert_int_equal(nodes[1].loader.asked, 0);
    now_ms += 45000; /* 75 s old: fresh here only until 80 to 100 s from its birth, not from its arrival */
    reader = read_at(1, "plain:a");
    assert_read(&reader, CACHE_FRESH, "l1", "one");
    now_ms += 25000;
    reader = read_at(1, "plain:a");
    assert_int_equal(reader.status, CACHE_STALE);
}

static void test_write_of_one_process_is_heard_by_the_other(void **state)
{
    (void)state;
    nodes[1].loader.text = "two";
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "one");
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("pushed", 3)), RESULT_OK);
    memory_redis_settle();
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "pushed");
    read_expecting(0, "plain:a", CACHE_FRESH, "l2",
                   "pushed"); /* it hears its own script as well: one look is enough */
    read_expecting(0, "plain:a", CACHE_FRESH, "l1", "pushed");
    assert_true(counted(1, "gw_cache_invalidations_total", NULL) >= 1);
}

static void test_write_heard_during_a_load_keeps_its_result_out(void **state)
{
    (void)state;
    struct reader reader = {0};
    nodes[1].loader.is_instant = false;
    get(1, "plain:a", &reader);
    memory_redis_settle(); /* not in Redis: the source is at work */
    assert_int_equal(nodes[1].loader.pending_count, 1);
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("pushed", 0)), RESULT_OK);
    memory_redis_settle();
    loader_answer(&nodes[1].loader, RESULT_OK, "before");
    memory_redis_settle();
    assert_read(&reader, CACHE_FRESH, "l3", "before"); /* it had asked before the write */
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "pushed");
    read_expecting(0, "plain:a", CACHE_FRESH, "l1", "pushed");
}

static void test_write_heard_before_the_reply_it_overtook_keeps_that_out(void **state)
{
    (void)state;
    struct reader reader = {0};
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    memory_redis_hurry_messages(true);
    get(1, "plain:a", &reader); /* the reply, with "one", is on its way */
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("pushed", 0)), RESULT_OK);
    memory_redis_settle();
    assert_read(&reader, CACHE_FRESH, "l2", "one");
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "pushed");
}

static void plant(const char *key, uint64_t version, uint64_t age_ms, const char *text)
{
    char planted[128];
    const uint64_t lifetime_ms = 550000; /* of "plain": 500 s and a tenth */
    (void)snprintf(planted, sizeof planted, "sg1 %020llu %013llu +0000000000000000000\n%s",
                   (unsigned long long)version, (unsigned long long)lifetime_ms, text);
    memory_redis_set(key, planted, lifetime_ms - age_ms);
    memory_redis_settle();
}

static void test_copy_in_redis_that_is_older_than_what_is_held_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("six", 6)), RESULT_OK);
    memory_redis_settle();
    plant("t:cache:plain:a", 5, 0, "five");
    nodes[0].loader.text = "asked";
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "asked");
    pass(1000);
    plant("t:cache:plain:a", 0, 5000, "earlier");
    nodes[0].loader.text = "asked again";
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "asked again");
    plant("t:cache:plain:a", 7, 0, "seven");
    read_expecting(0, "plain:a", CACHE_FRESH, "l2", "seven");
}

static void test_own_message_does_not_clear_what_was_loaded_since(void **state)
{
    (void)state;
    size_t count = 0;
    assert_int_equal(cache_clear_class(nodes[0].cache, "own", &count), RESULT_OK);
    struct reader reader = {0};
    get(0, "own:a", &reader);
    memory_redis_settle();
    read_expecting(0, "own:a", CACHE_FRESH, "l1", "one");
}

static void test_lower_version_never_replaces_a_higher_one_in_either_tier(void **state)
{
    (void)state;
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("nine", 9)), RESULT_OK);
    memory_redis_settle();
    assert_int_equal(cache_put(nodes[1].cache, "plain:a", value_of("eight", 8)),
                     RESULT_OK); /* knows no better */
    memory_redis_settle();
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "nine");
    read_expecting(0, "plain:a", CACHE_FRESH, "l2", "nine"); /* it heard of its own write */
    read_expecting(0, "plain:a", CACHE_FRESH, "l1", "nine");
}

static void test_forgetting_and_clearing_reach_every_process(void **state)
{
    (void)state;
    bool was_held = false;
    size_t count = 0;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    read_expecting(0, "plain:b", CACHE_FRESH, "l3", "one");
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "one");
    read_expecting(1, "plain:b", CACHE_FRESH, "l2", "one");
    assert_int_equal(cache_forget(nodes[0].cache, "plain:a", &was_held), RESULT_OK);
    assert_true(was_held);
    memory_redis_settle();
    assert_false(memory_redis_has("t:cache:plain:a"));
    nodes[1].loader.result = RESULT_UNAVAILABLE;
    read_expecting(1, "plain:a", CACHE_FAILED, "", ""); /* truly gone, not kept for errors */
    assert_int_equal(cache_clear_class(nodes[0].cache, "plain", &count), RESULT_OK);
    assert_int_equal(count, 1);
    memory_redis_settle();
    assert_false(memory_redis_has("t:cache:plain:b"));
    read_expecting(1, "plain:b", CACHE_FAILED, "", "");
}

static void test_slow_loads_are_done_by_one_process(void **state)
{
    (void)state;
    struct reader readers[NODES] = {0};
    nodes[0].loader.is_instant = nodes[1].loader.is_instant = false;
    get(0, "plain:a", &readers[0]);
    memory_redis_settle();
    get(1, "plain:a", &readers[1]);
    memory_redis_settle();
    pass(400);
    assert_int_equal(nodes[0].loader.asked, 1);
    assert_int_equal(nodes[1].loader.asked, 0);
    assert_true(counted(1, "gw_cache_lease_losses_total", NULL) == 1);
    loader_answer(&nodes[0].loader, RESULT_OK, "once");
    memory_redis_settle();
    pass(10); /* the invalidation wakes who waits; it does not sleep its pause out */
    assert_read(&readers[0], CACHE_FRESH, "l3", "once");
    assert_int_equal(readers[1].answers, 1);
    assert_read(&readers[1], CACHE_FRESH, "l2", "once");
    assert_int_equal(nodes[1].loader.asked, 0);
    assert_false(memory_redis_has("t:lease:plain:a"));
}

static void test_lease_of_a_process_that_hangs_holds_nobody_up_for_long(void **state)
{
    (void)state;
    struct reader readers[NODES] = {0};
    nodes[0].loader.is_instant = false;
    get(0, "plain:a", &readers[0]);
    memory_redis_settle();
    get(1, "plain:a", &readers[1]);
    pass(2400);
    assert_int_equal(readers[1].answers, 0);
    pass(300); /* half of the deadline is over */
    assert_int_equal(readers[1].answers, 1);
    assert_read(&readers[1], CACHE_FRESH, "l3", "one");
    loader_answer(&nodes[0].loader, RESULT_OK, "one");
    memory_redis_settle();
}

static void test_lease_of_a_load_that_failed_passes_on_at_once(void **state)
{
    (void)state;
    struct reader readers[NODES] = {0};
    nodes[0].loader.is_instant = false;
    get(0, "plain:a", &readers[0]);
    memory_redis_settle();
    get(1, "plain:a", &readers[1]);
    memory_redis_settle();
    loader_answer(&nodes[0].loader, RESULT_UNAVAILABLE, NULL);
    memory_redis_settle();
    pass(130);
    assert_int_equal(readers[0].status, CACHE_FAILED);
    assert_int_equal(readers[1].answers, 1);
    assert_read(&readers[1], CACHE_FRESH, "l3", "one");
}

static void test_fast_loads_take_no_lease(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one"); /* the first of its class: not known to be fast */
    unsigned before = memory_redis_count("SET");
    read_expecting(0, "plain:b", CACHE_FRESH, "l3", "one");
    assert_int_equal(memory_redis_count("SET"), before + 1); /* the value */
}

static void test_without_the_tracker_nothing_older_than_a_second_is_trusted(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "one");
    memory_redis_cut("cache-tracker");
    assert_false(cache_is_tracking(nodes[1].cache));
    assert_int_equal(cache_put(nodes[0].cache, "plain:a", value_of("pushed", 3)), RESULT_OK);
    read_expecting(1, "plain:a", CACHE_FRESH, "l1", "one"); /* within the second */
    pass(1000);
    struct reader reader = read_at(1, "plain:a");
    assert_int_equal(reader.status, CACHE_STALE);
    memory_redis_settle();
    read_expecting(1, "plain:a", CACHE_FRESH, "l1", "pushed"); /* refreshed from L2: good for a second */
    pass(1000);
    reader = read_at(1, "plain:a");
    assert_int_equal(reader.status, CACHE_STALE);
    memory_redis_mend();
    memory_redis_settle();
    assert_true(cache_is_tracking(nodes[0].cache) && cache_is_tracking(nodes[1].cache));
    read_expecting(1, "plain:a", CACHE_FRESH, "l2", "pushed"); /* what was held is not trusted any more */
    pass(70000);
    read_expecting(1, "plain:a", CACHE_FRESH, "l1", "pushed");
    assert_int_equal(nodes[1].loader.asked, 0);
}

static void test_commands_link_going_down_ends_the_trust_too(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    memory_redis_cut("cache");
    assert_false(cache_is_tracking(nodes[0].cache));
    pass(1100);
    nodes[0].loader.text = "two";
    struct reader reader = read_at(0, "plain:a");
    assert_int_equal(reader.status, CACHE_STALE);
    read_expecting(0, "plain:a", CACHE_FRESH, "l1", "two"); /* from the source, L2 being away */
    memory_redis_mend();
    memory_redis_settle();
    assert_true(cache_is_tracking(nodes[0].cache));
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "two"); /* L2 holds what is older: not taken */
}

static void test_flushed_redis_costs_one_load_and_keeps_values_for_errors(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    memory_redis_flush_all();
    memory_redis_settle();
    nodes[0].loader.result = RESULT_UNAVAILABLE;
    read_expecting(0, "plain:a", CACHE_STALE_ERROR, "l1", "one");
    pass(1000);
    nodes[0].loader.result = RESULT_OK;
    nodes[0].loader.text = "two";
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "two");
}

static void test_stalled_redis_costs_a_quarter_second_then_nothing(void **state)
{
    (void)state;
    char key[32];
    memory_redis_stall(true);
    for (int i = 0; i < 5; i++) {
        struct reader reader = {0};
        (void)snprintf(key, sizeof key, "plain:%d", i);
        get(0, key, &reader);
        pass(200);
        assert_int_equal(reader.answers, 0);
        pass(60);
        assert_int_equal(reader.answers, 1);
        assert_read(&reader, CACHE_FRESH, "l3", "one");
    }
    assert_int_equal(cache_breaker(nodes[0].cache)->state, BREAKER_OPEN);
    struct reader reader = {0};
    get(0, "plain:9", &reader);
    assert_int_equal(reader.answers, 1); /* no longer asked */
    memory_redis_stall(false);
    memory_redis_settle();
}

static void test_copy_past_its_ttl_is_served_from_redis_while_it_is_refreshed(void **state)
{
    (void)state;
    read_expecting(0, "plain:a", CACHE_FRESH, "l3", "one");
    pass(110000);
    nodes[1].loader.is_instant = false;
    struct reader reader = read_at(1, "plain:a");
    assert_read(&reader, CACHE_STALE, "l2", "one");
    assert_in_range(reader.age_ms, 109900, 110100);
    assert_int_equal(nodes[1].loader.asked, 1);
    loader_answer(&nodes[1].loader, RESULT_OK, "two");
    memory_redis_settle();
    read_expecting(1, "plain:a", CACHE_FRESH, "l1", "two");
    pass(200000);
    struct reader failing = {0};
    get(0, "plain:a",
        &failing); /* the copy of the other process, older than the stale time, when the source fails */
    nodes[0].loader.result = RESULT_UNAVAILABLE;
    memory_redis_settle();
    assert_int_equal(failing.status, CACHE_STALE_ERROR);
}

static void test_refresh_by_one_process_serves_the_other(void **state)
{
    (void)state;
    read_expecting(0, "eager:a", CACHE_FRESH, "l3", "one");
    read_expecting(1, "eager:a", CACHE_FRESH, "l2", "one");
    for (int i = 0; i < 100; i++) {
        pass(5000);
        for (size_t n = 0; n < NODES; n++) {
            struct reader reader = read_at(n, "eager:a");
            assert_int_equal(reader.status, CACHE_FRESH);
        }
    }
    /* 500 s with a refresh every 64 to 80 s, by whoever is first. */
    assert_in_range(nodes[0].loader.asked + nodes[1].loader.asked, 6, 10);
}

static void test_foreign_text_under_a_key_is_a_miss(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "sg1 ", "something else that is longer than the head of a value would be at all",
        "sg1 0000000000000000000x 0000000000000 +0000000000000000000\n",
        "sg1 00000000000000000001 000000000000x +0000000000000000000\nvalue"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "t:cache:plain:%zu", i);
        memory_redis_set(key, texts[i], 60000);
        read_expecting(0, key + 8, CACHE_FRESH, "l3", "one");
    }
}

/* ---- a random run: nothing stale is called fresh ---- */

enum { RUN_KEYS = 6, RUN_STEPS = 60000, WRITES_MAX = 4096 };

/* Every version that was pushed for a key, and when. */
static struct {
    uint64_t version;
    uint64_t at_ms[WRITES_MAX];
} truth[RUN_KEYS];

static bool is_cut; /* the links for commands: what is pushed now is told when they are back */

struct judge {
    size_t node, key;
    uint64_t asked_ms;
    bool is_done;
};

/* The text of a value is "<version> <when it was loaded>". */
static void judge_answer(void *context, const struct cache_answer *answer)
{
    struct judge *judge = context;
    judge->is_done = true;
    if (answer->status != CACHE_FRESH) {
        return;
    }
    unsigned long long version = 0, loaded_ms = 0;
    assert_int_equal(sscanf(cache_value_bytes(answer->value, NULL), "%llu %llu", &version, &loaded_ms), 2);
    uint64_t age_ms = now_ms - loaded_ms;
    if (age_ms >= 100000) {
        fail_msg("a value loaded %llu ms ago was called fresh", (unsigned long long)age_ms);
    }
    if (answer->age_ms + 300 < age_ms) {
        fail_msg("age %llu ms was told as %llu", (unsigned long long)age_ms,
                 (unsigned long long)answer->age_ms);
    }
    /* While the node hears, everything delivered counts; deaf, everything older than a second. */
    uint64_t bound_ms = judge->asked_ms;
    if (!cache_is_tracking(nodes[judge->node].cache)) {
        bound_ms -= 1000 + 300;
    }
    uint64_t known = truth[judge->key].version;
    while (known > 0 && truth[judge->key].at_ms[known % WRITES_MAX] > bound_ms) {
        known--;
    }
    if (version < known) {
        fail_msg("version %llu was called fresh, %llu had been told", version, (unsigned long long)known);
    }
}

static void load_truth(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context)
{
    char text[64];
    uint64_t version = truth[atoi(strchr(key, ':') + 1)].version;
    (void)context;
    (void)snprintf(text, sizeof text, "%llu %llu", (unsigned long long)version, (unsigned long long)now_ms);
    loaded(cache_context, RESULT_OK, value_of(text, version));
}

static const struct cache_source truth_source = {.load = load_truth};

static void push(struct chance *chance)
{
    char key[32], text[64];
    size_t i = chance_below(chance, RUN_KEYS);
    uint64_t version = ++truth[i].version;
    truth[i].at_ms[version % WRITES_MAX] = is_cut ? UINT64_MAX : now_ms;
    (void)snprintf(key, sizeof key, "plain:%zu", i);
    (void)snprintf(text, sizeof text, "%llu %llu", (unsigned long long)version, (unsigned long long)now_ms);
    assert_int_equal(cache_put(nodes[chance_below(chance, NODES)].cache, key, value_of(text, version)),
                     RESULT_OK);
}

static void random_read(struct chance *chance)
{
    char key[32];
    struct judge judge = {
        .node = chance_below(chance, NODES), .key = chance_below(chance, RUN_KEYS), .asked_ms = now_ms};
    (void)snprintf(key, sizeof key, "plain:%zu", judge.key);
    cache_get(nodes[judge.node].cache, key, &truth_source, judge_answer, &judge);
    for (int i = 0; i < 4000 && !judge.is_done; i++) {
        pass(5);
    }
    assert_true(judge.is_done);
}

static void mend(void)
{
    memory_redis_mend();
    memory_redis_settle();
    is_cut = false;
    for (size_t i = 0; i < RUN_KEYS; i++) {
        for (size_t version = 0; version < WRITES_MAX; version++) {
            uint64_t *at_ms = &truth[i].at_ms[version];
            *at_ms = *at_ms == UINT64_MAX ? now_ms : *at_ms;
        }
    }
}

static void random_step(struct chance *chance)
{
    uint32_t what = chance_below(chance, 1000);
    if (what < 60) {
        push(chance);
    } else if (what < 65) {
        memory_redis_cut("cache-tracker");
    } else if (what < 70) {
        memory_redis_cut("cache");
        is_cut = true;
    } else if (what < 90) {
        mend();
    } else if (what < 92) {
        memory_redis_flush_all();
    } else if (what < 300) {
        pass(chance_below(chance, 200));
    } else if (what < 310) {
        now_ms += chance_below(chance, 120000);
        pass(5);
    } else {
        random_read(chance);
    }
    memory_redis_settle();
}

static void test_stale_is_never_called_fresh(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("cache honesty", 11);
    memset(truth, 0, sizeof truth);
    is_cut = false;
    for (int step = 0; step < RUN_STEPS; step++) {
        random_step(&chance);
    }
    mend();
    assert_true(counted(0, "gw_cache_lookups_total", "class=\"plain\",result=\"fresh\"") > RUN_STEPS / 20);
}

#define ALONE(name) cmocka_unit_test_setup_teardown(name, open_alone, close_alone)
#define TWO(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(test_second_read_is_answered_from_memory),
        ALONE(test_thousand_readers_of_one_key_cause_one_load),
        ALONE(test_stale_value_is_served_while_it_is_refreshed_once),
        ALONE(test_value_past_its_stale_time_is_served_only_when_the_loader_fails),
        ALONE(test_failure_without_anything_held_is_told_and_not_kept),
        ALONE(test_nothing_is_remembered_for_a_short_time),
        ALONE(test_row_that_vanished_is_not_served_on),
        ALONE(test_load_under_way_when_its_key_is_forgotten_serves_but_is_not_kept),
        ALONE(test_clearing_a_class_forgets_what_is_held_and_what_is_coming),
        ALONE(test_pushed_value_wins_over_an_older_load),
        ALONE(test_pushed_value_without_a_version_wins_over_a_load_that_began_before),
        ALONE(test_bad_keys_and_values_are_refused_by_name),
        ALONE(test_one_load_too_many_is_refused_unless_something_is_held),
        ALONE(test_readers_of_a_load_that_hangs_are_answered_at_the_deadline),
        ALONE(test_eager_entries_are_refreshed_before_they_are_stale),
        ALONE(test_waiters_hear_of_the_end_and_late_loads_are_harmless),
        ALONE(test_answers_may_read_and_forget),
        ALONE(test_hit_rate_counts_fresh_answers_from_memory_only),
        ALONE(test_memory_running_out_answers_every_reader_once),
        cmocka_unit_test(test_cache_that_cannot_be_built_leaves_nothing),
        TWO(test_what_one_process_loaded_the_other_reads_with_its_age),
        TWO(test_write_of_one_process_is_heard_by_the_other),
        TWO(test_write_heard_during_a_load_keeps_its_result_out),
        TWO(test_write_heard_before_the_reply_it_overtook_keeps_that_out),
        TWO(test_copy_in_redis_that_is_older_than_what_is_held_is_not_taken),
        TWO(test_own_message_does_not_clear_what_was_loaded_since),
        TWO(test_lower_version_never_replaces_a_higher_one_in_either_tier),
        TWO(test_forgetting_and_clearing_reach_every_process),
        TWO(test_slow_loads_are_done_by_one_process),
        TWO(test_lease_of_a_process_that_hangs_holds_nobody_up_for_long),
        TWO(test_lease_of_a_load_that_failed_passes_on_at_once),
        TWO(test_fast_loads_take_no_lease),
        TWO(test_without_the_tracker_nothing_older_than_a_second_is_trusted),
        TWO(test_commands_link_going_down_ends_the_trust_too),
        TWO(test_flushed_redis_costs_one_load_and_keeps_values_for_errors),
        TWO(test_stalled_redis_costs_a_quarter_second_then_nothing),
        TWO(test_copy_past_its_ttl_is_served_from_redis_while_it_is_refreshed),
        TWO(test_refresh_by_one_process_serves_the_other),
        TWO(test_foreign_text_under_a_key_is_a_miss),
        TWO(test_stale_is_never_called_fresh),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
