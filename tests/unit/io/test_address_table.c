/* Connections per address: what counts as one address, the limit, the cap, memory running out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../support/allocations.h"
#include "io/address_table.h"

static struct ip_address from(const char *text)
{
    struct ip_address address;
    assert_true(ip_address_parse(text, strlen(text), &address));
    return address;
}

static enum result enter(struct address_table *table, const char *text, struct address **out_address)
{
    struct ip_address address = from(text);
    return address_table_enter(table, &address, out_address);
}

static struct address *let_in(struct address_table *table, const char *text)
{
    struct address *address = NULL;
    assert_int_equal(enter(table, text, &address), RESULT_OK);
    return address;
}

static void test_limit_holds_per_address_and_ends_when_one_leaves(void **state)
{
    (void)state;
    struct address_table table;
    address_table_init(&table, 100, 2);
    struct address *first = let_in(&table, "192.0.2.1");
    struct address *second = let_in(&table, "192.0.2.1");
    struct address *other = let_in(&table, "192.0.2.2");
    struct address *third = NULL;
    assert_int_equal(enter(&table, "192.0.2.1", &third), RESULT_TOO_MANY);
    assert_null(third);
    address_table_leave(&table, second);
    third = let_in(&table, "192.0.2.1");
    assert_int_equal(table.addresses.count, 2);
    address_table_leave(&table, first);
    address_table_leave(&table, third);
    address_table_leave(&table, other);
    address_table_leave(&table, NULL);
    assert_int_equal(table.addresses.count, 0);
    address_table_finish(&table);
}

static void test_what_is_one_address(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        const char *two;
        bool is_same;
    } cases[] = {
        {"192.0.2.1", "::ffff:192.0.2.1", true}, /* how a socket for both families sees it */
        {"192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true}, /* one /64 */
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"::1", "127.0.0.1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address_table table;
        address_table_init(&table, 10, 5);
        struct address *one = let_in(&table, cases[i].one);
        struct address *two = let_in(&table, cases[i].two);
        if ((one == two) != cases[i].is_same) {
            fail_msg("%s and %s", cases[i].one, cases[i].two);
        }
        address_table_leave(&table, one);
        address_table_leave(&table, two);
        address_table_finish(&table);
    }
}

static void test_full_table_takes_no_new_address(void **state)
{
    (void)state;
    struct address_table table;
    address_table_init(&table, 2, 10);
    struct address *one = let_in(&table, "192.0.2.1");
    struct address *two = let_in(&table, "192.0.2.2");
    struct address *three = NULL;
    assert_int_equal(enter(&table, "192.0.2.3", &three), RESULT_FULL);
    struct address *again = let_in(&table, "192.0.2.2"); /* known ones come and go */
    address_table_leave(&table, two);
    address_table_leave(&table, again);
    three = let_in(&table, "192.0.2.3");
    address_table_leave(&table, three);
    address_table_leave(&table, one);
    address_table_finish(&table);
}

static void test_coming_and_going_leaves_nothing_behind(void **state)
{
    (void)state;
    struct address_table table;
    address_table_init(&table, 50, 1);
    for (uint32_t i = 0; i < 20000; i++) {
        const unsigned char bytes[4] = {10, 0, (unsigned char)(i >> 8), (unsigned char)i};
        struct ip_address client = ip_address_of_bytes(4, bytes);
        struct address *address = NULL;
        assert_int_equal(address_table_enter(&table, &client, &address), RESULT_OK);
        address_table_leave(&table, address);
    }
    assert_int_equal(table.addresses.count, 0);
    assert_true(table.addresses.capacity <= 128);
    address_table_finish(&table);
}

static void test_without_a_limit_nothing_is_kept(void **state)
{
    (void)state;
    struct address_table table;
    address_table_init(&table, 1, 0);
    assert_null(let_in(&table, "192.0.2.1"));
    assert_null(let_in(&table, "192.0.2.2"));
    assert_int_equal(table.addresses.count, 0);
    address_table_finish(&table);
}

static void test_memory_running_out_lets_nobody_in_and_loses_nothing(void **state)
{
    (void)state;
    for (int failing = 0;; failing++) {
        struct address_table table;
        address_table_init(&table, 10, 2);
        struct address *address = NULL;
        allocations_fail_one_after(failing);
        enum result result = enter(&table, "192.0.2.1", &address);
        bool has_failed = allocations_recover();
        if (!has_failed) {
            assert_int_equal(result, RESULT_OK);
            address_table_leave(&table, address);
            address_table_finish(&table);
            assert_true(failing >= 2);
            break;
        }
        assert_int_equal(result, RESULT_NO_MEMORY);
        assert_int_equal(table.addresses.count, 0);
        address_table_finish(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_holds_per_address_and_ends_when_one_leaves),
        cmocka_unit_test(test_what_is_one_address),
        cmocka_unit_test(test_full_table_takes_no_new_address),
        cmocka_unit_test(test_coming_and_going_leaves_nothing_behind),
        cmocka_unit_test(test_without_a_limit_nothing_is_kept),
        cmocka_unit_test(test_memory_running_out_lets_nobody_in_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
