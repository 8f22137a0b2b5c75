/* One load per key, its waiters, its end; against counts kept beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cache/flights.h"
#include "support/allocations.h"
#include "support/chance.h"

static struct flights flights;
static const struct cache_answer anything = {.status = CACHE_FRESH, .tier = "l3"};

static void count_answer(void *context, const struct cache_answer *answer)
{
    assert_ptr_equal(answer, &anything);
    ++*(unsigned *)context;
}

static int open_flights(void **state)
{
    (void)state;
    flights_init(&flights, 3, 4);
    return 0;
}

static int close_flights(void **state)
{
    (void)state;
    flights_finish(&flights);
    return 0;
}

static void test_second_reader_joins_the_flight_of_the_first(void **state)
{
    (void)state;
    struct flight flight;
    unsigned answers = 0;
    assert_null(flights_find(&flights, "a:1"));
    assert_int_equal(flights_add(&flights, &flight, "a:1"), RESULT_OK);
    assert_ptr_equal(flights_find(&flights, "a:1"), &flight);
    assert_int_equal(flights_join(&flights, &flight, count_answer, &answers), RESULT_OK);
    assert_int_equal(flights_join(&flights, &flight, count_answer, &answers), RESULT_OK);
    flights_answer(&flight, &anything);
    assert_int_equal(answers, 2);
    flights_answer(&flight, &anything);
    assert_int_equal(answers, 2);
    flights_remove(&flights, &flight);
    assert_null(flights_find(&flights, "a:1"));
}

static void test_detached_flight_keeps_its_waiters_and_the_next_reader_begins_anew(void **state)
{
    (void)state;
    struct flight first, second;
    unsigned of_first = 0, of_second = 0;
    assert_int_equal(flights_add(&flights, &first, "a:1"), RESULT_OK);
    assert_int_equal(flights_join(&flights, &first, count_answer, &of_first), RESULT_OK);
    flights_detach(&flights, &first);
    flights_detach(&flights, &first);
    assert_false(first.is_current);
    assert_null(flights_find(&flights, "a:1"));
    assert_int_equal(flights_add(&flights, &second, "a:1"), RESULT_OK);
    assert_int_equal(flights_join(&flights, &second, count_answer, &of_second), RESULT_OK);
    flights_answer(&first, &anything);
    flights_remove(&flights, &first);
    assert_ptr_equal(flights_find(&flights, "a:1"), &second); /* the end of the first did not touch it */
    assert_int_equal(of_first, 1);
    assert_int_equal(of_second, 0);
    flights_answer(&second, &anything);
    flights_remove(&flights, &second);
    assert_int_equal(of_second, 1);
}

static void test_flights_and_waiters_have_caps(void **state)
{
    (void)state;
    struct flight of[4];
    unsigned answers = 0;
    assert_int_equal(flights_add(&flights, &of[0], "a:1"), RESULT_OK);
    assert_int_equal(flights_add(&flights, &of[1], "a:2"), RESULT_OK);
    flights_detach(&flights, &of[1]); /* counts all the same */
    assert_int_equal(flights_add(&flights, &of[2], "a:2"), RESULT_OK);
    assert_int_equal(flights_add(&flights, &of[3], "a:3"), RESULT_FULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(flights_join(&flights, &of[0], count_answer, &answers), RESULT_OK);
    }
    assert_int_equal(flights_join(&flights, &of[0], count_answer, &answers), RESULT_TOO_MANY);
    flights_answer(&of[0], &anything);
    assert_int_equal(answers, 4);
    flights_remove(&flights, &of[1]);
    assert_int_equal(flights_add(&flights, &of[3], "a:3"), RESULT_OK);
    flights_remove(&flights, &of[0]);
    flights_remove(&flights, &of[2]);
    flights_remove(&flights, &of[3]);
}

static void test_detaching_by_beginning_takes_a_class_only(void **state)
{
    (void)state;
    struct flight of[3];
    assert_int_equal(flights_add(&flights, &of[0], "a:1"), RESULT_OK);
    assert_int_equal(flights_add(&flights, &of[1], "a:2"), RESULT_OK);
    assert_int_equal(flights_add(&flights, &of[2], "ab:1"), RESULT_OK);
    flights_detach_all(&flights, "a:");
    assert_false(of[0].is_current || of[1].is_current);
    assert_true(of[2].is_current);
    for (int i = 0; i < 3; i++) {
        flights_remove(&flights, &of[i]);
    }
}

struct rejoin {
    struct flight *flight;
    unsigned answers;
};

static void join_twice(void *context, const struct cache_answer *answer)
{
    struct rejoin *rejoin = context;
    (void)answer;
    if (++rejoin->answers < 3) {
        assert_int_equal(flights_join(&flights, rejoin->flight, join_twice, rejoin), RESULT_OK);
    }
}

static void test_who_joins_from_an_answer_waits_for_the_next(void **state)
{
    (void)state;
    struct flight flight;
    struct rejoin rejoin = {.flight = &flight};
    assert_int_equal(flights_add(&flights, &flight, "a:1"), RESULT_OK);
    assert_int_equal(flights_join(&flights, &flight, join_twice, &rejoin), RESULT_OK);
    for (unsigned answers = 1; answers <= 3; answers++) {
        flights_answer(&flight, &anything);
        assert_int_equal(rejoin.answers, answers);
    }
    flights_remove(&flights, &flight);
}

static void test_memory_running_out_joins_and_adds_nobody(void **state)
{
    (void)state;
    struct flight flight;
    unsigned answers = 0;
    for (int allowed = 0;; allowed++) {
        allocations_fail_all_after(allowed);
        enum result result = flights_add(&flights, &flight, "a:1");
        if (!allocations_recover()) {
            assert_int_equal(result, RESULT_OK);
            break;
        }
        assert_int_equal(result, RESULT_NO_MEMORY);
        assert_null(flights_find(&flights, "a:1"));
        assert_int_equal(flights.count, 0);
    }
    allocations_fail_all_after(0);
    enum result result = flights_join(&flights, &flight, count_answer, &answers);
    assert_true(allocations_recover());
    assert_int_equal(result, RESULT_NO_MEMORY);
    assert_int_equal(flight.waiter_count, 0);
    flights_remove(&flights, &flight);
}

enum { RUN_FLIGHTS = 12, RUN_KEYS = 8, RUN_STEPS = 50000 };

/* Random arrivals, changes and ends: every reader is answered once, by the flight that was current when it came. */
static void test_every_waiter_is_answered_once_by_its_own_flight(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("flights", 10);
    static struct flight pool[RUN_FLIGHTS];
    static bool is_used[RUN_FLIGHTS];
    unsigned expected[RUN_FLIGHTS] = {0};
    unsigned answers[RUN_FLIGHTS] = {0};
    flights_init(&flights, RUN_FLIGHTS, 1000);
    for (int step = 0; step < RUN_STEPS; step++) {
        char key[8];
        (void)snprintf(key, sizeof key, "a:%u", chance_below(&chance, RUN_KEYS));
        struct flight *flight = flights_find(&flights, key);
        size_t i = chance_below(&chance, RUN_FLIGHTS);
        uint32_t what = chance_below(&chance, 100);
        if (what < 60 && flight) {
            assert_string_equal(flight->key, key);
            if (flights_join(&flights, flight, count_answer, &answers[flight - pool]) == RESULT_OK) {
                expected[flight - pool]++;
            }
        } else if (what < 60 && !is_used[i]) {
            assert_int_equal(flights_add(&flights, &pool[i], key), RESULT_OK);
            is_used[i] = true;
        } else if (what < 75 && flight) {
            flights_detach(&flights, flight);
        } else if (what < 90 && is_used[i]) {
            flights_answer(&pool[i], &anything);
            assert_int_equal(answers[i], expected[i]);
            flights_remove(&flights, &pool[i]);
            is_used[i] = false;
        }
    }
    for (size_t i = 0; i < RUN_FLIGHTS; i++) {
        if (is_used[i]) {
            flights_answer(&pool[i], &anything);
            assert_int_equal(answers[i], expected[i]);
            flights_remove(&flights, &pool[i]);
        }
    }
    flights_finish(&flights);
}

#define FLIGHTS_TEST(name) cmocka_unit_test_setup_teardown(name, open_flights, close_flights)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLIGHTS_TEST(test_second_reader_joins_the_flight_of_the_first),
        FLIGHTS_TEST(test_detached_flight_keeps_its_waiters_and_the_next_reader_begins_anew),
        FLIGHTS_TEST(test_flights_and_waiters_have_caps),
        FLIGHTS_TEST(test_detaching_by_beginning_takes_a_class_only),
        FLIGHTS_TEST(test_who_joins_from_an_answer_waits_for_the_next),
        FLIGHTS_TEST(test_memory_running_out_joins_and_adds_nobody),
        cmocka_unit_test(test_every_waiter_is_answered_once_by_its_own_flight),
    };
    return cmocka_run_group_tests_name("flights", tests, NULL, NULL);
}
