/* Scenarios: what they say, what replaces it, and what is refused by name. */
#include "loadtest/load/load_scenario.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void test_a_small_scenario_gets_defaults(void **state)
{
    (void)state;
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    struct scenario scenario;
    json_t *json = parse("{\"name\":\"a\",\"boards\":[{\"board\":\"load-1\"}],\"max_rate\":null}");
    assert_int_equal(scenario_read(json, &scenario, problem), RESULT_OK);
    assert_int_equal(scenario.viewers, 100);
    assert_int_equal(scenario.producer, PRODUCER_NONE);
    assert_true(scenario.sse_share == 0 && scenario.max_rate == 0);
    assert_int_equal(scenario.boards[0].field_count, 6);
    assert_string_equal(scenario.boards[0].fields[5], "load_1.g06");
    scenario_finish(&scenario);
}

static void test_members_are_replaced_also_inside_parts(void **state)
{
    (void)state;
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    struct scenario scenario;
    json_t *json =
        parse("{\"name\":\"a\",\"viewers\":5,\"boards\":{\"count\":3},\"producer\":{\"kind\":\"sql\"}}");
    assert_int_equal(scenario_set(json, "viewers=7"), RESULT_OK);
    assert_int_equal(scenario_set(json, "producer.kind=ingest"), RESULT_OK);
    assert_int_equal(scenario_set(json, "producer.value_bytes=100"), RESULT_OK);
    assert_int_equal(scenario_set(json, "slow.share=0.5"), RESULT_OK);
    assert_int_equal(scenario_set(json, "transport={\"ws\":3,\"sse\":1}"), RESULT_OK);
    assert_int_equal(scenario_set(json, "viewers"), RESULT_MALFORMED);
    assert_int_equal(scenario_set(json, "viewers.more=1"), RESULT_MALFORMED);
    assert_int_equal(scenario_read(json, &scenario, problem), RESULT_OK);
    assert_int_equal(scenario.viewers, 7);
    assert_int_equal(scenario.producer, PRODUCER_INGEST);
    assert_true(scenario.slow_share == 0.5 && scenario.sse_share == 0.25);
    assert_int_equal(scenario.board_count, 3);
    assert_string_equal(scenario.boards[2].id, "load-3");
    assert_string_equal(scenario.boards[2].fields[0], "load_3.rows#r001");
    scenario_finish(&scenario);
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result result;
        const char *word;
    } cases[] = {
        {"{\"boards\":{\"count\":1}}", RESULT_MISSING_FIELD, "name"},
        {"{\"name\":\"a\"}", RESULT_MISSING_FIELD, "boards"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"viewer\":1}", RESULT_UNKNOWN_FIELD, "viewer"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"viewers\":\"1\"}", RESULT_WRONG_TYPE, "viewers"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"viewers\":1.5}", RESULT_OUT_OF_RANGE, "viewers"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"seconds\":0}", RESULT_OUT_OF_RANGE, "seconds"},
        {"{\"name\":\"a\",\"boards\":[{\"share\":1}]}", RESULT_WRONG_TYPE, "boards"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"transport\":\"tcp\"}", RESULT_WRONG_TYPE, "transport"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"producer\":{\"kind\":\"x\"}}", RESULT_OUT_OF_RANGE,
         "kind"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"producer\":{\"kind\":\"sql\",\"speed\":1}}",
         RESULT_UNKNOWN_FIELD, "speed"},
        {"{\"name\":\"a\",\"boards\":{\"count\":1},\"slow\":5}", RESULT_WRONG_TYPE, "slow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char problem[SCENARIO_PROBLEM_BYTES] = "";
        struct scenario scenario;
        enum result result = scenario_read(parse(cases[i].text), &scenario, problem);
        print_message("  %s: %s\n", result_name(result), problem);
        assert_string_equal(result_name(result), result_name(cases[i].result));
        assert_non_null(strstr(problem, cases[i].word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_scenario_gets_defaults),
        cmocka_unit_test(test_members_are_replaced_also_inside_parts),
        cmocka_unit_test(test_what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
