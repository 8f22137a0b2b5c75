/* The door: what each type of KPI accepts, how it is written, and what is refused with which words. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "definition_files.h"

#define NOW_MS 1763719200000LL
#define DEFINE(id, members)                                                                                               \
    "{\"id\":\"" id                                                                                                       \
    "\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"source\":{\"kind\":\"http\"}," members \
    "}"

static struct catalog *catalog;

static int load(void **context)
{
    (void)context;
    catalog =
        definitions_must_load(
            DEFINE(
                "t.money",
                "\"type\":\"gauge\",\"unit\":\"money\",\"currency\":\"USD\",\"range\":[0,1000000]") "," DEFINE("t.score",
                                                                                                               "\"type\":\"gauge\",\"unit\":\"score\",\"range\":[0,100]") "," DEFINE("t.count", "\"type\":\"counter\",\"unit\":\"integer\"") "," DEFINE("t.scaled", "\"type\":\"gauge\",\"unit\":\"percent\",\"scale\":0.01,\"range\":[0,1]") "," DEFINE("t.huge", "\"type\":\"gauge\",\"unit\":\"number\",\"scale\":10") "," DEFINE("t.text", "\"type\":\"gauge\",\"unit\":\"text\"") "," DEFINE("t.state", "\"type\":\"state\",\"states\":{\"up\":{\"title\":\"up\",\"level\":\"ok\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                             "\"slow\":{\"title\":\"slow\",\"level\":\"warn\"},\"down\":{\"title\":\"down\",\"level\":\"crit\"}}") "," DEFINE("t.mix", "\"type\":\"mix\",\"unit\":\"integer\",\"range\":[0,100],\"parts\":[{\"key\":\"a\",\"title\":\"A\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       "{\"key\":\"b\",\"title\":\"B\"}]") "," DEFINE("t.feed",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      "\"type\":\"feed\",\"cap\":5,\"columns\":[{\"key\":\"x\",\"title\":\"X\",\"unit\":\"text\"}]") "," DEFINE("t.rows",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "\"type\":\"table\",\"cap\":5,\"currency\":\"USD\",\"columns\":["
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "{\"key\":\"name\",\"title\":\"N\",\"unit\":\"text\",\"required\":true},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "{\"key\":\"amount\",\"title\":\"A\",\"unit\":\"money\"},{\"key\":\"n\",\"title\":\"N\",\"unit\":\"integer\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "{\"key\":\"at\",\"title\":\"T\",\"unit\":\"time\"},{\"key\":\"s\",\"title\":\"S\",\"unit\":\"severity\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "{\"key\":\"st\",\"title\":\"S\",\"unit\":\"state\"},{\"key\":\"p\",\"title\":\"P\",\"unit\":\"percent\"}]"),
            "t.money");
    return 0;
}

static int unload(void **context)
{
    (void)context;
    catalog_unref(catalog);
    return 0;
}

/** One change through decoder and door. */
struct passage {
    enum result result;
    struct bytes text; /* NUL-terminated */
    struct admitted_value value;
    char detail[REASON_MAX_BYTES + 1];
};

static struct passage pass_change(const struct change *change)
{
    struct passage passage = {.result = RESULT_OK};
    bytes_init(&passage.text, 65536);
    bytes_append_text(&passage.text, "before");
    const struct kpi *kpi = catalog_kpi_of_field(catalog, change->field);
    assert_non_null(kpi);
    passage.result = catalog_admit(kpi, change, NOW_MS, &passage.text, &passage.value, passage.detail);
    assert_memory_equal(passage.text.at, "before", 6);
    if (passage.result != RESULT_OK) {
        assert_int_equal(passage.text.length, 6);
    }
    bytes_append_byte(&passage.text, '\0');
    return passage;
}

static struct passage pass(const char *envelope)
{
    json_t *json = json_loads(envelope, 0, NULL);
    assert_non_null(json);
    struct change change;
    const char *problem = NULL;
    enum result decoded = change_decode(json, &change, &problem);
    if (decoded != RESULT_OK) {
        fail_msg("%s does not decode: %s %s", envelope, result_name(decoded), problem);
    }
    struct passage passage = pass_change(&change);
    change_finish(&change);
    json_decref(json);
    return passage;
}

static void assert_written(const char *envelope, const char *expected)
{
    struct passage passage = pass(envelope);
    if (passage.result != RESULT_OK) {
        fail_msg("%s: %s: %s", envelope, result_name(passage.result), passage.detail);
    }
    assert_string_equal(passage.text.at + 6, expected);
    bytes_finish(&passage.text);
}

static void assert_refused(const char *envelope, enum result result, const char *detail)
{
    struct passage passage = pass(envelope);
    assert_string_equal(result_name(passage.result), result_name(result));
    assert_string_equal(passage.detail, detail);
    bytes_finish(&passage.text);
}

static void test_money_is_text_of_fixed_scale(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.money\",\"value\":\"1284.5\",\"as_of\":5,\"version\":4}",
                   "{\"as_of\":5,\"v\":\"1284.50\",\"ver\":4");
    assert_written("{\"field\":\"t.money\",\"value\":12,\"as_of\":5,\"target\":\"20\",\"base\":10.5}",
                   "{\"as_of\":5,\"v\":\"12.00\",\"target\":\"20.00\",\"base\":\"10.50\"");
    assert_refused("{\"field\":\"t.money\",\"value\":\"12.345\"}", RESULT_OUT_OF_RANGE,
                   "value has more than 15 digits or more than 2 decimals");
    assert_refused("{\"field\":\"t.money\",\"value\":\"dear\"}", RESULT_WRONG_TYPE,
                   "value must be a decimal such as \"1284300.50\"");
    assert_refused("{\"field\":\"t.money\",\"value\":1000001}", RESULT_OUT_OF_RANGE,
                   "value 1000001 is above 1000000");
    assert_refused("{\"field\":\"t.money\",\"num\":1,\"den\":2}", RESULT_WRONG_TYPE,
                   "num and den are for ratios; this KPI takes a value");
}

static void test_numbers(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.score\",\"value\":83.5,\"as_of\":5}", "{\"as_of\":5,\"v\":83.5");
    assert_written("{\"field\":\"t.score\",\"value\":0.1,\"as_of\":5}", "{\"as_of\":5,\"v\":0.1");
    assert_written("{\"field\":\"t.score\",\"value\":-0.0,\"as_of\":5}", "{\"as_of\":5,\"v\":0");
    assert_written("{\"field\":\"t.scaled\",\"value\":75,\"as_of\":5,\"target\":80}",
                   "{\"as_of\":5,\"v\":0.75,\"target\":0.8");
    assert_written("{\"field\":\"t.count\",\"value\":9007199254740991,\"as_of\":5}",
                   "{\"as_of\":5,\"v\":9007199254740991");
    assert_refused("{\"field\":\"t.score\",\"value\":132}", RESULT_OUT_OF_RANGE, "value 132 is above 100");
    assert_refused("{\"field\":\"t.score\",\"value\":-1}", RESULT_OUT_OF_RANGE, "value -1 is below 0");
    assert_refused("{\"field\":\"t.score\",\"value\":\"83\"}", RESULT_WRONG_TYPE,
                   "value must be a number, not a text");
    assert_refused("{\"field\":\"t.score\",\"value\":{}}", RESULT_WRONG_TYPE,
                   "value must be a number, not an object");
    assert_refused("{\"field\":\"t.count\",\"value\":1.5}", RESULT_WRONG_TYPE,
                   "value 1.5 must be a whole number");
    assert_refused("{\"field\":\"t.count\",\"value\":1e300}", RESULT_OUT_OF_RANGE,
                   "value is beyond the integers that stay exact");
}

static void test_infinity_cannot_pass(void **context)
{
    (void)context;
    char envelope[128];
    (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.huge\",\"value\":%.17g}", DBL_MAX);
    assert_refused(envelope, RESULT_OUT_OF_RANGE, "value is not a finite number");
    (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.huge\",\"value\":1,\"target\":%.17g}", DBL_MAX);
    assert_refused(envelope, RESULT_OUT_OF_RANGE, "target is not a finite number");
}

static void test_ratios_keep_their_parts(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.scaled\",\"num\":1,\"den\":3,\"as_of\":5}",
                   "{\"as_of\":5,\"v\":0.333333333333333,\"num\":1,\"den\":3");
    assert_written(
        "{\"field\":\"t.scaled\",\"num\":1,\"den\":0,\"as_of\":5}",
        "{\"as_of\":5,\"state\":\"nodata\",\"reason\":\"the denominator is 0\",\"num\":1,\"den\":0");
    assert_refused("{\"field\":\"t.scaled\",\"num\":3,\"den\":2}", RESULT_OUT_OF_RANGE,
                   "num / den 1.5 is above 1");
    assert_refused("{\"field\":\"t.count\",\"num\":3,\"den\":2}", RESULT_WRONG_TYPE,
                   "num and den are for ratios; this KPI takes a value");
}

static void test_what_thresholds_get_to_see(void **context)
{
    (void)context;
    struct passage passage = pass("{\"field\":\"t.money\",\"value\":\"90.25\",\"target\":100,\"as_of\":7}");
    assert_true(passage.value.has_number && passage.value.has_target && !passage.value.has_base);
    assert_true(passage.value.number > 90.24 && passage.value.number < 90.26);
    assert_true(passage.value.target > 99.9 && passage.value.target < 100.1);
    assert_int_equal(passage.value.as_of_ms, 7);
    assert_int_equal(passage.value.state, VALUE_OK);
    bytes_finish(&passage.text);
    passage = pass("{\"field\":\"t.scaled\",\"num\":1,\"den\":0}");
    assert_false(passage.value.has_number);
    assert_int_equal(passage.value.state, VALUE_NO_DATA);
    assert_int_equal(passage.value.as_of_ms, NOW_MS);
    bytes_finish(&passage.text);
}

static void test_a_missing_value_is_no_data_never_zero(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.score\",\"value\":null,\"as_of\":5}",
                   "{\"as_of\":5,\"state\":\"nodata\",\"reason\":\"the source has no value\"");
    assert_written(
        "{\"field\":\"t.score\",\"value\":null,\"as_of\":5,\"state\":\"nodata\",\"reason\":\"holiday\"}",
        "{\"as_of\":5,\"state\":\"nodata\",\"reason\":\"holiday\"");
}

static void test_states_beside_values_pass_through(void **context)
{
    (void)context;
    assert_written(
        "{\"field\":\"t.score\",\"value\":5,\"as_of\":5,\"state\":\"partial\",\"reason\":\"2 of 3 regions\"}",
        "{\"as_of\":5,\"state\":\"partial\",\"reason\":\"2 of 3 regions\",\"v\":5");
    assert_written("{\"field\":\"t.score\",\"as_of\":5,\"state\":\"unreachable\",\"reason\":\"timeout\"}",
                   "{\"as_of\":5,\"state\":\"unreachable\",\"reason\":\"timeout\"");
}

static void test_as_of_may_be_a_little_ahead(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.score\",\"value\":5,\"as_of\":1763719500000}",
                   "{\"as_of\":1763719500000,\"v\":5");
    assert_written("{\"field\":\"t.score\",\"value\":5}", "{\"as_of\":1763719200000,\"v\":5");
    assert_refused("{\"field\":\"t.score\",\"value\":5,\"as_of\":1763719501000}", RESULT_FUTURE,
                   "as_of is 301 s ahead of the gateway's clock");
}

static void test_states_are_known_words_with_a_level(void **context)
{
    (void)context;
    static const struct {
        const char *word;
        enum threshold_level level;
    } cases[] = {{"up", LEVEL_OK}, {"slow", LEVEL_WARN}, {"down", LEVEL_CRIT}};
    for (size_t i = 0; i < 3; i++) {
        char envelope[128];
        (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.state\",\"value\":\"%s\"}", cases[i].word);
        struct passage passage = pass(envelope);
        const struct kpi *kpi = catalog_kpi_of_field(catalog, "t.state");
        struct threshold_memory memory = {0};
        assert_int_equal(passage.result, RESULT_OK);
        assert_int_equal(threshold_evaluate(&kpi->threshold, &memory, passage.value.number, 0, 0, 0),
                         cases[i].level);
        bytes_finish(&passage.text);
    }
    assert_refused("{\"field\":\"t.state\",\"value\":\"sideways\"}", RESULT_OUT_OF_RANGE,
                   "\"sideways\" is not a state of this KPI");
    assert_refused("{\"field\":\"t.state\",\"value\":3}", RESULT_WRONG_TYPE,
                   "value must be a state's name, not a number");
    assert_refused("{\"field\":\"t.state\",\"value\":\"up\",\"target\":3}", RESULT_WRONG_TYPE,
                   "only a number has a target");
}

static void test_a_mix_is_whole(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.mix\",\"value\":{\"b\":2,\"a\":1},\"as_of\":5}",
                   "{\"as_of\":5,\"v\":{\"a\":1,\"b\":2}");
    assert_refused("{\"field\":\"t.mix\",\"value\":{\"a\":1}}", RESULT_MISSING_FIELD,
                   "part \"b\" is missing");
    assert_refused("{\"field\":\"t.mix\",\"value\":{\"a\":1,\"b\":2,\"c\":3}}", RESULT_UNKNOWN_FIELD,
                   "\"c\" is not a part of this mix");
    assert_refused("{\"field\":\"t.mix\",\"value\":{\"a\":1,\"b\":101}}", RESULT_OUT_OF_RANGE,
                   "b 101 is above 100");
    assert_refused("{\"field\":\"t.mix\",\"value\":7}", RESULT_WRONG_TYPE,
                   "value must be an object of parts, not a number");
}

static void test_rows_follow_their_columns(void **context)
{
    (void)context;
    assert_written(
        "{\"field\":\"t.rows#1\",\"as_of\":5,\"value\":{\"p\":0.5,\"st\":\"up\",\"s\":\"warning\","
        "\"at\":\"1970-01-01T00:00:01Z\",\"n\":3,\"amount\":7,\"name\":\"A\\\"B\"}}",
        "{\"as_of\":5,\"v\":{\"name\":\"A\\\"B\",\"amount\":\"7.00\",\"n\":3,\"at\":1000,\"s\":\"warning\",\"st\":\"up\","
        "\"p\":0.5}");
    assert_written("{\"field\":\"t.rows#1\",\"as_of\":5,\"value\":{\"name\":\"A\",\"n\":null}}",
                   "{\"as_of\":5,\"v\":{\"name\":\"A\"}");
}

static void test_rows_that_do_not_fit_are_refused_by_name(void **context)
{
    (void)context;
    static const struct {
        const char *row;
        enum result result;
        const char *detail;
    } cases[] = {
        {"{\"n\":1}", RESULT_MISSING_FIELD, "column \"name\" is missing"},
        {"{\"name\":null}", RESULT_MISSING_FIELD, "column \"name\" is missing"},
        {"{\"name\":\"A\",\"color\":1}", RESULT_UNKNOWN_FIELD, "\"color\" is not a column of this KPI"},
        {"{\"name\":5}", RESULT_WRONG_TYPE, "column \"name\" must be a text, not a number"},
        {"{\"name\":\"A\",\"n\":1.5}", RESULT_WRONG_TYPE, "n 1.5 must be a whole number"},
        {"{\"name\":\"A\",\"n\":\"1\"}", RESULT_WRONG_TYPE, "column \"n\" must be a number, not a text"},
        {"{\"name\":\"A\",\"p\":true}", RESULT_WRONG_TYPE,
         "column \"p\" must be a number, not true or false"},
        {"{\"name\":\"A\",\"s\":\"dire\"}", RESULT_OUT_OF_RANGE,
         "column \"s\" must be \"info\", \"warning\" or \"critical\""},
        {"{\"name\":\"A\",\"at\":\"noon\"}", RESULT_WRONG_TYPE, "column \"at\" is not an RFC 3339 time"},
        {"{\"name\":\"A\",\"at\":-5}", RESULT_OUT_OF_RANGE, "column \"at\" is not a time"},
        {"{\"name\":\"A\",\"amount\":\"x\"}", RESULT_WRONG_TYPE,
         "amount must be a decimal such as \"1284300.50\""},
        {"7", RESULT_WRONG_TYPE, "a row must be an object of columns, not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char envelope[256];
        (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.rows#1\",\"value\":%s}", cases[i].row);
        assert_refused(envelope, cases[i].result, cases[i].detail);
    }
}

static void test_long_texts_are_refused(void **context)
{
    (void)context;
    char envelope[2048];
    (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.rows#1\",\"value\":{\"name\":\"%01025d\"}}", 0);
    assert_refused(envelope, RESULT_TOO_BIG, "column \"name\" is longer than 1024 bytes");
    (void)snprintf(envelope, sizeof envelope, "{\"field\":\"t.text\",\"value\":\"%01025d\"}", 0);
    assert_refused(envelope, RESULT_TOO_BIG, "value is longer than 1024 bytes");
    assert_written("{\"field\":\"t.text\",\"value\":\"1.2.3\",\"as_of\":5}", "{\"as_of\":5,\"v\":\"1.2.3\"");
}

static void test_only_rows_of_tables_can_be_deleted(void **context)
{
    (void)context;
    assert_written("{\"field\":\"t.rows#1\",\"delete\":true}", "");
    assert_refused("{\"field\":\"t.feed#1\",\"delete\":true}", RESULT_WRONG_TYPE,
                   "only rows of a table can be deleted");
}

static void test_invented_values_say_so(void **context)
{
    (void)context;
    struct change change = {
        .field = "t.score", .is_demo = true, .has_as_of = true, .as_of_ms = 5, .value = json_integer(1)};
    struct passage passage = pass_change(&change);
    assert_string_equal(passage.text.at + 6, "{\"as_of\":5,\"v\":1,\"demo\":true");
    bytes_finish(&passage.text);
    change_finish(&change);
}

static void test_a_full_buffer_is_refused_and_left_alone(void **context)
{
    (void)context;
    struct change change = {.field = "t.score", .value = json_integer(1)};
    struct admitted_value value = {.as_of_ms = 77};
    char detail[REASON_MAX_BYTES + 1];
    struct bytes text;
    bytes_init(&text, 8);
    const struct kpi *kpi = catalog_kpi_of_field(catalog, "t.score");
    assert_int_equal(catalog_admit(kpi, &change, NOW_MS, &text, &value, detail), RESULT_NO_MEMORY);
    assert_int_equal(text.length, 0);
    assert_int_equal(value.as_of_ms, 77);
    bytes_finish(&text);
    change_finish(&change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_money_is_text_of_fixed_scale),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_infinity_cannot_pass),
        cmocka_unit_test(test_ratios_keep_their_parts),
        cmocka_unit_test(test_what_thresholds_get_to_see),
        cmocka_unit_test(test_a_missing_value_is_no_data_never_zero),
        cmocka_unit_test(test_states_beside_values_pass_through),
        cmocka_unit_test(test_as_of_may_be_a_little_ahead),
        cmocka_unit_test(test_states_are_known_words_with_a_level),
        cmocka_unit_test(test_a_mix_is_whole),
        cmocka_unit_test(test_rows_follow_their_columns),
        cmocka_unit_test(test_rows_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(test_long_texts_are_refused),
        cmocka_unit_test(test_only_rows_of_tables_can_be_deleted),
        cmocka_unit_test(test_invented_values_say_so),
        cmocka_unit_test(test_a_full_buffer_is_refused_and_left_alone),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
