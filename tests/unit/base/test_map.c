/* Map: against an array as oracle, at its cap, through tombstones, with memory running out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/allocations.h"
#include "base/map.h"

static int values[1000];

static void put(struct map *map, const char *key, int *value)
{
    assert_int_equal(map_put(map, key, strlen(key), value), RESULT_OK);
}

static void test_put_get_replace_remove(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 10);
    assert_null(map_get(&map, "a", 1));
    assert_null(map_remove(&map, "a", 1));
    put(&map, "a", &values[0]);
    put(&map, "", &values[1]);
    put(&map, "a", &values[2]);
    assert_ptr_equal(map_get(&map, "a", 1), &values[2]);
    assert_ptr_equal(map_get(&map, "", 0), &values[1]);
    assert_null(map_get(&map, "ab", 2));
    assert_int_equal(map.count, 2);
    assert_ptr_equal(map_remove(&map, "a", 1), &values[2]);
    assert_null(map_get(&map, "a", 1));
    assert_int_equal(map.count, 1);
    map_finish(&map);
    map_finish(NULL);
}

static void test_keys_are_copied_and_may_hold_any_byte(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 10);
    char key[] = {'x', '\0', 'y'};
    assert_int_equal(map_put(&map, key, 3, &values[0]), RESULT_OK);
    assert_int_equal(map_put(&map, "x\0z", 3, &values[1]), RESULT_OK);
    key[2] = 'q';
    assert_ptr_equal(map_get(&map, "x\0y", 3), &values[0]);
    assert_ptr_equal(map_get(&map, "x\0z", 3), &values[1]);
    assert_null(map_get(&map, "x", 1));
    map_finish(&map);
}

static void test_cap_refuses_new_keys_only(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 3);
    put(&map, "1", &values[1]);
    put(&map, "2", &values[2]);
    put(&map, "3", &values[3]);
    assert_int_equal(map_put(&map, "4", 1, &values[4]), RESULT_FULL);
    assert_null(map_get(&map, "4", 1));
    put(&map, "3", &values[5]);
    assert_ptr_equal(map_remove(&map, "1", 1), &values[1]);
    put(&map, "4", &values[4]);
    assert_int_equal(map.count, 3);
    map_finish(&map);
}

static void test_churn_does_not_grow_the_map(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 1000000);
    for (int i = 0; i < 20000; i++) { /* a window of four live keys among ever new ones */
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        put(&map, key, &values[i % 1000]);
        if (i >= 4) {
            (void)snprintf(key, sizeof key, "%d", i - 4);
            assert_ptr_equal(map_remove(&map, key, strlen(key)), &values[(i - 4) % 1000]);
        }
        assert_true(map.used >= map.count && map.used < map.capacity);
    }
    assert_true(map.capacity <= 16);
    map_finish(&map);
}

static void test_random_operations_match_an_array(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 300);
    int *oracle[500] = {0};
    size_t count = 0;
    uint32_t seed = 12345;
    for (int step = 0; step < 200000; step++) {
        seed = seed * 1664525 + 1013904223;
        unsigned which = (seed >> 8) % 500;
        char key[16];
        size_t length = (size_t)snprintf(key, sizeof key, "key.%u", which);
        if ((seed >> 28) < 8) {
            enum result expected = oracle[which] == NULL && count == 300 ? RESULT_FULL : RESULT_OK;
            assert_int_equal(map_put(&map, key, length, &values[step % 1000]), expected);
            if (expected == RESULT_OK) {
                count += oracle[which] == NULL ? 1 : 0;
                oracle[which] = &values[step % 1000];
            }
        } else if ((seed >> 28) < 13) {
            assert_ptr_equal(map_remove(&map, key, length), oracle[which]);
            count -= oracle[which] != NULL ? 1 : 0;
            oracle[which] = NULL;
        } else {
            assert_ptr_equal(map_get(&map, key, length), oracle[which]);
        }
        assert_int_equal(map.count, count);
    }
    map_finish(&map);
}

static void test_walk_visits_each_once_and_allows_removal(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 1000);
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        put(&map, key, &values[i]);
    }
    int seen[200] = {0};
    size_t cursor = 0;
    const char *key;
    size_t length;
    void *value;
    while (map_next(&map, &cursor, &key, &length, &value)) {
        int index = (int)((int *)value - values);
        assert_int_equal(strlen(key), length);
        seen[index]++;
        if (index % 2 == 0) {
            assert_ptr_equal(map_remove(&map, key, length), value);
        }
    }
    for (int i = 0; i < 200; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(map.count, 100);
    map_finish(&map);
}

static void test_no_memory_leaves_the_map_as_it_was(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 1000);
    unsigned failures = 0;
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        for (int which = 0; which < 3; which++) {
            allocations_fail_one_after(which);
            enum result result = map_put(&map, key, strlen(key), &values[i]);
            (void)allocations_recover(); /* a put may need fewer allocations */
            if (result == RESULT_OK) {
                break;
            }
            assert_int_equal(result, RESULT_NO_MEMORY);
            assert_null(map_get(&map, key, strlen(key)));
            assert_int_equal(map.count, i);
            failures++;
        }
        assert_ptr_equal(map_get(&map, key, strlen(key)), &values[i]);
    }
    assert_true(failures > 100);
    map_finish(&map);
}

static void test_hash_is_stable_and_sees_every_byte(void **state)
{
    (void)state;
    char text[40] = {0};
    for (size_t length = 0; length <= sizeof text; length++) {
        uint64_t before = map_hash(text, length);
        assert_true(before == map_hash(text, length));
        for (size_t i = 0; i < length; i++) {
            text[i] ^= 1;
            assert_true(before != map_hash(text, length));
            text[i] ^= 1;
        }
        if (length > 0) {
            assert_true(before != map_hash(text, length - 1));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_replace_remove),
        cmocka_unit_test(test_keys_are_copied_and_may_hold_any_byte),
        cmocka_unit_test(test_cap_refuses_new_keys_only),
        cmocka_unit_test(test_churn_does_not_grow_the_map),
        cmocka_unit_test(test_random_operations_match_an_array),
        cmocka_unit_test(test_walk_visits_each_once_and_allows_removal),
        cmocka_unit_test(test_no_memory_leaves_the_map_as_it_was),
        cmocka_unit_test(test_hash_is_stable_and_sees_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
