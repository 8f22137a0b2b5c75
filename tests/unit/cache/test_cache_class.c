/* The rows of the table and the arithmetic on them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "cache/cache_class.h"
#include "support/chance.h"

static const struct cache_class *named(const char *name)
{
    size_t i = cache_class_find(cache_default_classes, cache_default_class_count, name);
    assert_true(i < cache_default_class_count);
    return &cache_default_classes[i];
}

static void test_classes_hold_for_as_long_as_designed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t ttl_s;
        bool is_eager;
    } expected[] = {{"executive_kpis", 300, true},
                    {"gong_summaries", 1800, false},
                    {"competitive_data", 3600, true},
                    {"llm_responses", 7200, false},
                    {"default", 1800, false}};
    assert_int_equal(cache_default_class_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < cache_default_class_count; i++) {
        assert_int_equal(named(expected[i].name)->ttl_ms, expected[i].ttl_s * 1000);
        assert_int_equal(named(expected[i].name)->is_eager, expected[i].is_eager);
    }
    assert_int_equal(named("llm_responses")->stale_ms, 0);
    assert_int_equal(named("llm_responses")->stale_error_ms, 0);
}

static void test_shares_fit_the_budget(void **state)
{
    (void)state;
    double minimum = 0;
    for (size_t i = 0; i < cache_default_class_count; i++) {
        const struct cache_class *class = &cache_default_classes[i];
        minimum += class->min_share;
        assert_true(class->min_share <= class->max_share && class->max_share <= 1);
        assert_true(strlen(class->name) <= CACHE_CLASS_NAME_MAX_BYTES);
    }
    assert_true(minimum <= 1);
}

static void test_class_of_a_key_is_what_stands_before_the_colon(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *class;
    } cases[] = {{"default:a", "default"},
                 {"executive_kpis:", "executive_kpis"},
                 {"default:a:b", "default"},
                 {"default", NULL},
                 {"defaul:a", NULL},
                 {"defaultx:a", NULL},
                 {":a", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t found = cache_class_of_key(cache_default_classes, cache_default_class_count, cases[i].key);
        if (cases[i].class) {
            assert_string_equal(cache_default_classes[found].name, cases[i].class);
        } else {
            assert_int_equal(found, cache_default_class_count);
        }
    }
}

static void test_jitter_is_a_tenth_each_way_and_never_longer_than_the_ttl(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("jitter", 6);
    const struct cache_class *class = named("default");
    uint64_t least = UINT64_MAX, most = 0;
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t ttl_ms = cache_class_jittered_ttl_ms(class, chance_next(&chance));
        least = ttl_ms < least ? ttl_ms : least;
        most = ttl_ms > most ? ttl_ms : most;
        sum += (double)ttl_ms;
    }
    assert_true(most <= class->ttl_ms && most > class->ttl_ms * 99 / 100);
    assert_true(least >= class->ttl_ms * 8 / 10 && least < class->ttl_ms * 81 / 100);
    assert_true(fabs(sum / 10000 / (double)class->ttl_ms - 0.9) < 0.01);
    const struct cache_class none = {.ttl_ms = 0};
    assert_int_equal(cache_class_jittered_ttl_ms(&none, 77), 0);
}

static void test_early_refreshes_become_likely_as_the_end_comes_near(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("early", 7);
    const struct cache_class class = {.ttl_ms = 10000, .early_factor = 1};
    static const struct {
        uint64_t age_ms;
        double expected; /* exp(-(ttl - age) / load) */
    } cases[] = {{5000, 0.0000}, {9000, 0.1353}, {9500, 0.3679}, {9900, 0.8187}, {10000, 1.0000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int early = 0;
        for (int n = 0; n < 20000; n++) {
            early += cache_class_is_early(&class, cases[i].age_ms, 10000, 500, chance_next(&chance)) ? 1 : 0;
        }
        double share = early / 20000.0;
        if (fabs(share - cases[i].expected) > 0.015) {
            fail_msg("age %u: %.4f instead of %.4f", (unsigned)cases[i].age_ms, share, cases[i].expected);
        }
    }
    const struct cache_class never = {.ttl_ms = 10000};
    assert_false(cache_class_is_early(&never, 20000, 10000, 500, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_hold_for_as_long_as_designed),
        cmocka_unit_test(test_shares_fit_the_budget),
        cmocka_unit_test(test_class_of_a_key_is_what_stands_before_the_colon),
        cmocka_unit_test(test_jitter_is_a_tenth_each_way_and_never_longer_than_the_ttl),
        cmocka_unit_test(test_early_refreshes_become_likely_as_the_end_comes_near),
    };
    return cmocka_run_group_tests_name("cache_class", tests, NULL, NULL);
}
