/* The schedule: what is due is recognised, what is not is not, and boards get their weights. */
#include "loadtest/load/load_schedule.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

static struct scenario read_scenario(const char *text)
{
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    struct scenario scenario = {0};
    enum result result = scenario_read(json_loads(text, 0, NULL), &scenario, problem);
    if (result != RESULT_OK) {
        fail_msg("%s", problem);
    }
    return scenario;
}

static void check_every_change_is_recognised(const char *text)
{
    struct scenario scenario = read_scenario(text);
    struct load_schedule schedule;
    assert_true(load_schedule_init(&schedule, &scenario));
    schedule.start_us = 1790000000000000;
    for (uint64_t number = 0; number < 3000; number++) {
        uint32_t board, first;
        uint64_t tick = number / scenario.outstanding;
        load_schedule_request(&schedule, number, &board, &first);
        for (uint32_t i = 0; i < scenario.batch; i++) {
            uint32_t field = (first + i) % scenario.boards[board].field_count;
            assert_true(load_schedule_has(&schedule, board, field, load_schedule_due_us(&schedule, tick)));
            assert_false(
                load_schedule_has(&schedule, board, field, load_schedule_due_us(&schedule, tick) + 1));
        }
    }
    load_schedule_finish(&schedule);
    scenario_finish(&scenario);
}

static void test_every_change_is_recognised(void **state)
{
    (void)state;
    check_every_change_is_recognised("{\"name\":\"a\",\"boards\":{\"count\":1},"
                                     "\"producer\":{\"kind\":\"ingest\",\"rate\":333}}");
    check_every_change_is_recognised(
        "{\"name\":\"a\",\"boards\":{\"count\":7},\"fields\":5,"
        "\"producer\":{\"kind\":\"ingest\",\"rate\":77.7,\"outstanding\":3,\"batch\":2}}");
    check_every_change_is_recognised(
        "{\"name\":\"a\",\"boards\":[{\"board\":\"a\",\"changes\":9},{\"board\":\"b\"}],"
        "\"producer\":{\"kind\":\"ingest\",\"rate\":1000,\"outstanding\":4}}");
}

static void test_a_value_of_another_field_is_not_due(void **state)
{
    (void)state;
    struct scenario scenario = read_scenario(
        "{\"name\":\"a\",\"boards\":{\"count\":2},\"producer\":{\"kind\":\"ingest\",\"rate\":100}}");
    struct load_schedule schedule;
    assert_true(load_schedule_init(&schedule, &scenario));
    schedule.start_us = 1790000000000000;
    for (uint64_t tick = 0; tick < 100; tick++) {
        uint32_t due_board, due_field, found = 0;
        load_schedule_request(&schedule, tick, &due_board, &due_field);
        for (uint32_t board = 0; board < 2; board++) {
            for (uint32_t field = 0; field < 6; field++) {
                found += load_schedule_has(&schedule, board, field, load_schedule_due_us(&schedule, tick));
            }
        }
        assert_int_equal(found, 1);
        assert_true(
            load_schedule_has(&schedule, due_board, due_field, load_schedule_due_us(&schedule, tick)));
    }
    assert_false(load_schedule_has(&schedule, 0, 0, schedule.start_us - 10000));
    load_schedule_finish(&schedule);
    scenario_finish(&scenario);
}

static void test_boards_change_by_their_weights(void **state)
{
    (void)state;
    enum { REQUESTS = 1000 };
    struct scenario scenario = read_scenario("{\"name\":\"a\",\"boards\":[{\"board\":\"a\",\"changes\":8},"
                                             "{\"board\":\"b\"},{\"board\":\"c\"}]}");
    struct load_schedule schedule;
    uint32_t requests[3] = {0}, fields[6] = {0};
    assert_true(load_schedule_init(&schedule, &scenario));
    for (uint64_t number = 0; number < REQUESTS; number++) {
        uint32_t board, field;
        load_schedule_request(&schedule, number, &board, &field);
        requests[board]++;
        fields[field] += board == 0;
    }
    print_message("  %u %u %u\n", requests[0], requests[1], requests[2]);
    assert_in_range(requests[0], 790, 810);
    assert_in_range(requests[1], 90, 110);
    for (size_t i = 0; i < 6; i++) {
        assert_in_range(fields[i], 100, 170);
    }
    load_schedule_finish(&schedule);
    scenario_finish(&scenario);
}

static void test_equal_boards_take_turns_and_all_their_fields(void **state)
{
    (void)state;
    struct scenario scenario = read_scenario("{\"name\":\"a\",\"boards\":{\"count\":6}}");
    struct load_schedule schedule;
    uint32_t seen[6][6] = {{0}};
    assert_true(load_schedule_init(&schedule, &scenario));
    for (uint64_t number = 0; number < 36; number++) {
        uint32_t board, field;
        load_schedule_request(&schedule, number, &board, &field);
        seen[board][field]++;
    }
    for (size_t i = 0; i < 36; i++) {
        assert_int_equal(seen[i / 6][i % 6], 1);
    }
    load_schedule_finish(&schedule);
    scenario_finish(&scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_change_is_recognised),
        cmocka_unit_test(test_a_value_of_another_field_is_not_due),
        cmocka_unit_test(test_boards_change_by_their_weights),
        cmocka_unit_test(test_equal_boards_take_turns_and_all_their_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
