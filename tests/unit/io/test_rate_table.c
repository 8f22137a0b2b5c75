/* Rates per address: what is one address, what waits how long, who is forgotten, memory running out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../support/allocations.h"
#include "io/rate_table.h"

enum { SECOND_US = 1000000 };

static uint64_t take(struct rate_table *table, const char *text, uint32_t tokens, uint64_t now_us)
{
    struct ip_address address;
    assert_true(ip_address_parse(text, strlen(text), &address));
    return rate_table_take(table, &address, tokens, now_us);
}

static void test_each_address_has_its_own_rate(void **state)
{
    (void)state;
    struct rate_table table;
    rate_table_init(&table, 100, 2, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(take(&table, "192.0.2.1", 1, 0), 0);
    }
    assert_int_equal(take(&table, "192.0.2.1", 1, 0), SECOND_US / 2);
    assert_int_equal(take(&table, "192.0.2.2", 1, 0), 0);
    assert_int_equal(take(&table, "192.0.2.1", 1, SECOND_US / 2), 0);
    assert_int_equal(take(&table, "192.0.2.1", 1, SECOND_US / 2), SECOND_US / 2);
    assert_int_equal(take(&table, "2001:db8::1", 4, 0), 0);
    assert_true(take(&table, "2001:db8::ffff", 1, 0) > 0); /* of the same /64 */
    assert_int_equal(take(&table, "2001:db8:0:1::1", 1, 0), 0);
    assert_int_equal(table.addresses.count, 4);
    rate_table_finish(&table);
}

static void test_more_than_a_burst_is_a_burst_and_none_is_taken_in_vain(void **state)
{
    (void)state;
    struct rate_table table;
    rate_table_init(&table, 100, 1, 4);
    assert_int_equal(take(&table, "192.0.2.1", 1, 0), 0);
    assert_int_equal(take(&table, "192.0.2.1", 1000, 0), SECOND_US);
    assert_int_equal(take(&table, "192.0.2.1", 3, 0), 0); /* are still there */
    assert_int_equal(take(&table, "192.0.2.1", 1000, 4 * SECOND_US), 0);
    assert_int_equal(take(&table, "192.0.2.1", 1, 4 * SECOND_US), SECOND_US);
    rate_table_finish(&table);
}

static void test_a_full_table_forgets_who_was_quiet_for_longest(void **state)
{
    (void)state;
    struct rate_table table;
    rate_table_init(&table, 2, 1, 1);
    assert_int_equal(take(&table, "192.0.2.1", 1, 0), 0);
    assert_int_equal(take(&table, "192.0.2.2", 1, 0), 0);
    assert_true(take(&table, "192.0.2.1", 1, 1) > 0); /* heard of again */
    assert_int_equal(take(&table, "192.0.2.3", 1, 2), 0);
    assert_int_equal(table.forgotten, 1);
    assert_int_equal(table.addresses.count, 2);
    assert_true(take(&table, "192.0.2.1", 1, 3) > 0);
    assert_int_equal(take(&table, "192.0.2.2", 1, 4), 0); /* begins anew */
    assert_int_equal(table.forgotten, 2);
    rate_table_finish(&table);
}

static void test_without_a_limit_nothing_is_kept(void **state)
{
    (void)state;
    struct rate_table table;
    rate_table_init(&table, 100, 0, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(take(&table, "192.0.2.1", 100, 0), 0);
    }
    assert_int_equal(table.addresses.count, 0);
    rate_table_finish(&table);
}

static void test_without_memory_everybody_is_let_in(void **state)
{
    (void)state;
    for (int count = 0; count < 3; count++) {
        struct rate_table table;
        rate_table_init(&table, 100, 1, 1);
        allocations_fail_all_after(count);
        uint64_t wait_us = take(&table, "192.0.2.1", 1, 0);
        (void)allocations_recover();
        assert_int_equal(wait_us, 0);
        rate_table_finish(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_address_has_its_own_rate),
        cmocka_unit_test(test_more_than_a_burst_is_a_burst_and_none_is_taken_in_vain),
        cmocka_unit_test(test_a_full_table_forgets_who_was_quiet_for_longest),
        cmocka_unit_test(test_without_a_limit_nothing_is_kept),
        cmocka_unit_test(test_without_memory_everybody_is_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
