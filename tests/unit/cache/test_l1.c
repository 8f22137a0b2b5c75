/*
 * L1: the budget, the classes' limits by age, trust, refreshes, memory running out. A random run with a clock of its
 * own is judged by an oracle that remembers when each value was made and when it was changed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cache/l1.h"
#include "support/allocations.h"
#include "support/chance.h"

enum { PLAIN, EAGER, LARGE, OWN, CLASSES };

static const struct cache_class classes[CLASSES] = {
    [PLAIN] = {.name = "plain",
               .ttl_ms = 100000,
               .stale_ms = 50000,
               .stale_error_ms = 400000,
               .negative_ms = 5000,
               .is_shared = true,
               .max_share = 1},
    [EAGER] = {.name = "eager",
               .ttl_ms = 100000,
               .stale_ms = 50000,
               .stale_error_ms = 50000,
               .is_eager = true,
               .is_shared = true,
               .max_share = 1},
    [LARGE] = {.name = "large", .ttl_ms = 100000, .is_shared = true, .max_share = 0.25},
    [OWN] = {.name = "own", .ttl_ms = 100000, .stale_error_ms = 50000, .max_share = 1},
};

static struct l1 l1;
static uint64_t now_ms;

static void open_l1(size_t budget)
{
    now_ms = 5000;
    assert_int_equal(l1_init(&l1, budget, classes, CLASSES, now_ms), RESULT_OK);
}

static int close_l1(void **state)
{
    (void)state;
    l1_finish(&l1);
    return 0;
}

static int open_usual(void **state)
{
    (void)state;
    open_l1(1 << 20);
    return 0;
}

/* random 0: the whole TTL. */
static enum result put_version(const char *key, size_t class, const char *text, uint64_t version,
                               uint64_t age_ms)
{
    struct cache_value *value = cache_value_create(text, strlen(text), version, 0);
    const struct l1_facts facts = {.age_ms = age_ms};
    assert_non_null(value);
    enum result result = l1_put(&l1, key, class, value, &facts, now_ms);
    cache_value_unref(value);
    return result;
}

static void put(const char *key, size_t class, const char *text)
{
    assert_int_equal(put_version(key, class, text, 0, 0), RESULT_OK);
}

static enum l1_state judged(const char *key)
{
    const struct l1_entry *entry = l1_find(&l1, key);
    return entry ? l1_judge(&l1, entry, now_ms) : L1_OVER;
}

static const char *text_of(const char *key)
{
    const struct l1_entry *entry = l1_find(&l1, key);
    return entry && entry->value ? cache_value_bytes(entry->value, NULL) : "";
}

static void test_value_is_fresh_then_stale_then_for_errors_then_over(void **state)
{
    (void)state;
    static const struct {
        uint64_t at_ms;
        enum l1_state expected;
    } steps[] = {{0, L1_FRESH},      {99999, L1_FRESH},        {100000, L1_STALE},
                 {149999, L1_STALE}, {150000, L1_STALE_ERROR}, {499999, L1_STALE_ERROR},
                 {500000, L1_OVER}};
    put("plain:a", PLAIN, "1");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        now_ms = 5000 + steps[i].at_ms;
        assert_int_equal(judged("plain:a"), steps[i].expected);
    }
}

static void test_nothing_is_fresh_for_its_time_and_has_no_stale_life(void **state)
{
    (void)state;
    const struct l1_facts facts = {.age_ms = 0};
    assert_int_equal(l1_put(&l1, "plain:a", PLAIN, NULL, &facts, now_ms), RESULT_OK);
    now_ms += 4999;
    assert_int_equal(judged("plain:a"), L1_FRESH);
    now_ms += 1;
    assert_int_equal(judged("plain:a"), L1_OVER);
}

static void test_age_of_another_process_counts(void **state)
{
    (void)state;
    assert_int_equal(put_version("plain:a", PLAIN, "1", 0, 99000), RESULT_OK); /* older than this clock */
    assert_int_equal(l1_age_ms(l1_find(&l1, "plain:a"), now_ms), 99000);
    assert_int_equal(judged("plain:a"), L1_FRESH);
    now_ms += 1000;
    assert_int_equal(judged("plain:a"), L1_STALE);
}

static void test_newer_value_is_not_replaced_by_an_older_one_while_it_is_fresh(void **state)
{
    (void)state;
    assert_int_equal(put_version("plain:a", PLAIN, "six", 6, 0), RESULT_OK);
    assert_int_equal(put_version("plain:a", PLAIN, "five", 5, 0), RESULT_OLDER);
    assert_string_equal(text_of("plain:a"), "six");
    assert_int_equal(put_version("plain:a", PLAIN, "six again", 6, 0), RESULT_OK);
    now_ms += 100000;
    assert_int_equal(put_version("plain:a", PLAIN, "five", 5, 0), RESULT_OK); /* the source went back */
    assert_string_equal(text_of("plain:a"), "five");
}

static void test_what_changed_elsewhere_is_served_for_errors_only(void **state)
{
    (void)state;
    put("plain:a", PLAIN, "1");
    assert_true(l1_mark_changed(&l1, "plain:a"));
    assert_false(l1_mark_changed(&l1, "plain:b"));
    assert_int_equal(judged("plain:a"), L1_STALE_ERROR);
    put("plain:a", PLAIN, "2");
    assert_int_equal(judged("plain:a"), L1_FRESH);
}

static void test_without_trust_nothing_shared_is_fresh_for_longer_than_a_second(void **state)
{
    (void)state;
    put("plain:before", PLAIN, "1");
    put("own:before", OWN, "1");
    now_ms += 10000;
    l1_distrust(&l1, now_ms);
    now_ms += 500;
    l1_distrust(&l1, now_ms); /* told twice: the second counts from the first */
    put("plain:during", PLAIN, "1");
    assert_int_equal(judged("plain:before"), L1_FRESH);
    now_ms += 500;
    assert_int_equal(judged("plain:before"), L1_STALE);
    assert_int_equal(judged("plain:during"), L1_FRESH);
    now_ms += 500;
    assert_int_equal(judged("plain:during"), L1_STALE);
    assert_int_equal(judged("own:before"), L1_FRESH);
    put("plain:during", PLAIN, "2");
    l1_trust(&l1);
    assert_int_equal(judged("plain:during"), L1_STALE_ERROR); /* it may have changed unheard */
    put("plain:during", PLAIN, "3");
    now_ms += 90000;
    assert_int_equal(judged("plain:during"), L1_FRESH);
    assert_int_equal(judged("own:before"), L1_STALE_ERROR);
}

static void test_budget_is_never_exceeded(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("l1 budget", 8);
    static char text[4000];
    memset(text, 'x', sizeof text - 1);
    open_l1(200000);
    for (int i = 0; i < 20000; i++) {
        char key[32];
        size_t class = chance_below(&chance, CLASSES);
        (void)snprintf(key, sizeof key, "%s:%u", classes[class].name, chance_below(&chance, 1000));
        const char *value = &text[sizeof text - 1 - chance_below(&chance, sizeof text - 1)];
        put(key, class, value);
        assert_true(l1_bytes(&l1) <= 200000);
        assert_true(l1_class_bytes(&l1, LARGE) <= 50000);
        if (l1_find(&l1, key)) {
            l1_touch(l1_find(&l1, key));
        }
    }
    uint64_t room = 0, share = 0;
    for (size_t class = 0; class < CLASSES; class ++) {
        room += l1.counts[class].left[L1_ROOM];
        share += l1.counts[class].left[L1_SHARE];
    }
    assert_true(room > 0 && share > 0);
    size_t bytes = 0;
    size_t cursor = 0;
    void *found = NULL;
    while (map_next(&l1.entries, &cursor, NULL, NULL, &found)) {
        bytes += ((struct l1_entry *)found)->policy.bytes;
    }
    assert_int_equal(bytes, l1_bytes(&l1));
}

static void test_value_larger_than_its_class_may_be_is_refused_and_the_one_before_leaves(void **state)
{
    (void)state;
    static char text[60000];
    memset(text, 'x', sizeof text - 1);
    open_l1(200000);
    put("large:a", LARGE, "small");
    assert_int_equal(put_version("large:a", LARGE, text, 0, 0), RESULT_TOO_BIG);
    assert_null(l1_find(&l1, "large:a"));
    assert_int_equal(l1_bytes(&l1), 0);
}

struct refreshes {
    unsigned count;
    char key[32];
};

static void on_refresh(void *context, struct l1_entry *entry)
{
    struct refreshes *refreshes = context;
    refreshes->count++;
    (void)snprintf(refreshes->key, sizeof refreshes->key, "%s", entry->key);
}

static unsigned run_until(uint64_t at_ms, struct refreshes *refreshes)
{
    unsigned before = refreshes->count;
    while (now_ms < at_ms) {
        now_ms += 500;
        l1_run(&l1, now_ms, on_refresh, refreshes);
    }
    return refreshes->count - before;
}

static void test_eager_entries_that_were_read_are_refreshed_at_four_fifths(void **state)
{
    (void)state;
    struct refreshes refreshes = {0};
    put("eager:read", EAGER, "1");
    put("eager:unread", EAGER, "1");
    put("plain:read", PLAIN, "1");
    l1_touch(l1_find(&l1, "eager:read"));
    l1_touch(l1_find(&l1, "plain:read"));
    assert_int_equal(run_until(5000 + 79000, &refreshes), 0);
    assert_int_equal(run_until(5000 + 81500, &refreshes), 1);
    assert_string_equal(refreshes.key, "eager:read");
    put("eager:read", EAGER, "2"); /* refreshed, and not read since */
    assert_int_equal(run_until(5000 + 300000, &refreshes), 0);
}

static void test_entries_past_every_limit_leave_by_themselves(void **state)
{
    (void)state;
    struct refreshes refreshes = {0};
    const struct l1_facts facts = {.age_ms = 0};
    put("plain:a", PLAIN, "1");
    put("large:a", LARGE, "1");
    assert_int_equal(l1_put(&l1, "plain:none", PLAIN, NULL, &facts, now_ms), RESULT_OK);
    (void)run_until(5000 + 7000, &refreshes);
    assert_null(l1_find(&l1, "plain:none"));
    (void)run_until(5000 + 102000, &refreshes);
    assert_null(l1_find(&l1, "large:a"));
    assert_non_null(l1_find(&l1, "plain:a"));
    (void)run_until(5000 + 502000, &refreshes);
    assert_null(l1_find(&l1, "plain:a"));
    assert_int_equal(l1_bytes(&l1), 0);
    assert_int_equal(l1_next_due_ms(&l1), UINT64_MAX);
    assert_int_equal(l1.counts[PLAIN].left[L1_EXPIRED], 2);
}

static void test_clearing_a_class_leaves_the_others(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s:%d", i % 2 ? "plain" : "own", i);
        put(key, i % 2 ? PLAIN : OWN, "1");
    }
    assert_int_equal(l1_clear_class(&l1, PLAIN), 25);
    assert_int_equal(l1_class_bytes(&l1, PLAIN), 0);
    assert_int_equal(l1.counts[PLAIN].left[L1_CLEARED], 25);
    assert_int_equal(judged("own:0"), L1_FRESH);
    assert_int_equal(l1_clear_class(&l1, PLAIN), 0);
}

/* ---- a random run ---- */

enum { RUN_KEYS = 40, RUN_STEPS = 200000 };

/* What is known of a key independently of L1. */
struct known {
    bool is_held, is_changed;
    int64_t born_ms, obtained_ms;
    size_t class;
};

static struct known known[RUN_KEYS];
static bool is_heard;
static int64_t deaf_since_ms;

static const char *run_key(size_t i, size_t *out_class)
{
    static char key[32];
    *out_class = i % CLASSES;
    (void)snprintf(key, sizeof key, "%s:%zu", classes[*out_class].name, i);
    return key;
}

/* May it be called fresh at all; must it be? */
static void check_fresh(size_t i)
{
    size_t class = 0;
    const char *key = run_key(i, &class);
    const struct known *of = &known[i];
    bool is_fresh = judged(key) == L1_FRESH;
    int64_t age_ms = (int64_t)now_ms - of->born_ms;
    int64_t ttl_ms = (int64_t)classes[class].ttl_ms;
    int64_t unheard_ms = of->obtained_ms > deaf_since_ms ? of->obtained_ms : deaf_since_ms;
    bool is_verified = is_heard || !classes[class].is_shared || (int64_t)now_ms - unheard_ms < 1000;
    bool may = of->is_held && !of->is_changed && is_verified && age_ms < ttl_ms;
    bool must = may && age_ms < ttl_ms * 8 / 10;
    if ((is_fresh && !may) || (!is_fresh && must)) {
        fail_msg("%s is %s: age %lld, changed %d, heard %d", key, is_fresh ? "fresh" : "not fresh",
                 (long long)age_ms, of->is_changed, is_heard);
    }
}

static void run_step(struct chance *chance)
{
    size_t i = chance_below(chance, RUN_KEYS);
    size_t class = 0;
    const char *key = run_key(i, &class);
    struct known *of = &known[i];
    uint32_t what = chance_below(chance, 100);
    if (what < 15) {
        const struct l1_facts facts = {.age_ms = chance_below(chance, 120000), .random = chance_next(chance)};
        struct cache_value *value = cache_value_create("v", 1, 0, 0);
        assert_int_equal(l1_put(&l1, key, class, value, &facts, now_ms), RESULT_OK);
        cache_value_unref(value);
        *of = (struct known){.is_held = true,
                             .born_ms = (int64_t)now_ms - (int64_t)facts.age_ms,
                             .obtained_ms = (int64_t)now_ms};
    } else if (what < 20) {
        of->is_changed = l1_mark_changed(&l1, key) || of->is_changed;
    } else if (what < 21) {
        is_heard = chance_percent(chance, 50);
        if (is_heard) {
            l1_trust(&l1);
        } else {
            deaf_since_ms = l1.is_trusted ? (int64_t)now_ms : deaf_since_ms;
            l1_distrust(&l1, now_ms);
        }
    } else if (what < 60) {
        now_ms += chance_below(chance, 3000);
    }
}

static void test_nothing_stale_is_ever_called_fresh(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("l1 honesty", 9);
    struct refreshes refreshes = {0};
    unsigned fresh = 0;
    memset(known, 0, sizeof known);
    is_heard = true;
    for (int step = 0; step < RUN_STEPS; step++) {
        bool was_heard = is_heard;
        run_step(&chance);
        for (size_t i = 0; is_heard && !was_heard && i < RUN_KEYS; i++) {
            known[i].is_changed = known[i].is_changed || classes[i % CLASSES].is_shared;
        }
        size_t i = chance_below(&chance, RUN_KEYS);
        size_t class = 0;
        check_fresh(i);
        fresh += judged(run_key(i, &class)) == L1_FRESH ? 1 : 0;
        if (step % 50 == 0) {
            l1_run(&l1, now_ms, on_refresh, &refreshes);
        }
    }
    assert_true(fresh > RUN_STEPS / 20);
}

static void test_memory_running_out_leaves_l1_as_it_was(void **state)
{
    (void)state;
    const struct l1_facts facts = {.age_ms = 0};
    put("plain:a", PLAIN, "1");
    size_t before = l1_bytes(&l1);
    struct cache_value *value = cache_value_create("2", 1, 0, 0);
    for (int allowed = 0;; allowed++) {
        allocations_fail_all_after(allowed);
        enum result result = l1_put(&l1, "plain:b", PLAIN, value, &facts, now_ms);
        if (!allocations_recover()) {
            assert_int_equal(result, RESULT_OK);
            break;
        }
        assert_int_equal(result, RESULT_NO_MEMORY);
        assert_null(l1_find(&l1, "plain:b"));
        assert_int_equal(l1_bytes(&l1), before);
    }
    cache_value_unref(value);
    allocations_fail_all_after(0);
    value = cache_value_create("2", 1, 0, 0);
    assert_true(allocations_recover());
    assert_null(value);
    struct l1 other;
    allocations_fail_all_after(0);
    enum result result = l1_init(&other, 1000, classes, CLASSES, 0);
    assert_true(allocations_recover());
    assert_int_equal(result, RESULT_NO_MEMORY);
    l1_finish(&other);
}

#define L1_TEST(name) cmocka_unit_test_setup_teardown(name, open_usual, close_l1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        L1_TEST(test_value_is_fresh_then_stale_then_for_errors_then_over),
        L1_TEST(test_nothing_is_fresh_for_its_time_and_has_no_stale_life),
        L1_TEST(test_age_of_another_process_counts),
        L1_TEST(test_newer_value_is_not_replaced_by_an_older_one_while_it_is_fresh),
        L1_TEST(test_what_changed_elsewhere_is_served_for_errors_only),
        L1_TEST(test_without_trust_nothing_shared_is_fresh_for_longer_than_a_second),
        cmocka_unit_test_teardown(test_budget_is_never_exceeded, close_l1),
        cmocka_unit_test_teardown(
            test_value_larger_than_its_class_may_be_is_refused_and_the_one_before_leaves, close_l1),
        L1_TEST(test_eager_entries_that_were_read_are_refreshed_at_four_fifths),
        L1_TEST(test_entries_past_every_limit_leave_by_themselves),
        L1_TEST(test_clearing_a_class_leaves_the_others),
        L1_TEST(test_nothing_stale_is_ever_called_fresh),
        L1_TEST(test_memory_running_out_leaves_l1_as_it_was),
    };
    return cmocka_run_group_tests_name("l1", tests, NULL, NULL);
}
