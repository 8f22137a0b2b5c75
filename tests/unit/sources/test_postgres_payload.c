/* What is read without a server: payloads of notifications, snapshots, and the statements of the state table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sources/postgres_notification_payload.h"
#include "sources/postgres_state_rows.h"

static void test_a_payload_names_a_row(void **state)
{
    (void)state;
    struct notification_payload payload;
    assert_int_equal(
        payload_decode("{\"relation\":\"a.b\",\"key\":\"k\",\"revision\":7,\"more\":[1]}", &payload),
        RESULT_OK);
    assert_string_equal(payload.relation, "a.b");
    assert_string_equal(payload.key, "k");
    assert_true(payload.has_revision && payload.revision == 7);
    assert_null(payload.value);
    payload_finish(&payload);
    assert_int_equal(payload_decode("{\"key\":-42,\"revision\":null}", &payload), RESULT_OK);
    assert_string_equal(payload.key, "-42");
    assert_string_equal(payload.relation, "");
    assert_false(payload.has_revision);
    payload_finish(&payload);
}

static void test_a_payload_that_is_none_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result result;
    } cases[] = {
        {"", RESULT_MALFORMED},
        {"7", RESULT_MALFORMED},
        {"[]", RESULT_MALFORMED},
        {"{\"key\":\"a\",\"key\":\"b\"}", RESULT_MALFORMED},
        {"{\"key\":\"a\"} x", RESULT_MALFORMED},
        {"{}", RESULT_MISSING_FIELD},
        {"{\"key\":\"\"}", RESULT_WRONG_TYPE},
        {"{\"key\":1.5}", RESULT_WRONG_TYPE},
        {"{\"key\":\"a\",\"relation\":7}", RESULT_WRONG_TYPE},
        {"{\"key\":\"a\",\"revision\":\"7\"}", RESULT_WRONG_TYPE},
        {"{\"key\":\"a\",\"revision\":0}", RESULT_OUT_OF_RANGE},
        {"{\"key\":\"a\",\"revision\":9007199254740992}", RESULT_OUT_OF_RANGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct notification_payload payload;
        assert_int_equal(payload_decode(cases[i].text, &payload), cases[i].result);
    }
    char text[300] = "{\"key\":\"";
    memset(text + strlen(text), 'k', ROW_KEY_MAX_BYTES + 1);
    strcat(text, "\"}");
    struct notification_payload payload;
    assert_int_equal(payload_decode(text, &payload), RESULT_TOO_BIG);
}

static void test_a_value_that_comes_along_is_a_change(void **state)
{
    (void)state;
    struct notification_payload payload;
    struct change change;
    assert_int_equal(
        payload_decode("{\"key\":\"k\",\"revision\":7,\"value\":\"12.50\",\"as_of\":1763719200000}",
                       &payload),
        RESULT_OK);
    assert_int_equal(payload_change(&payload, "a.b", &change), RESULT_OK);
    assert_string_equal(change.field, "a.b");
    assert_true(change.has_version && change.version == 7);
    assert_true(change.has_as_of && change.as_of_ms == 1763719200000);
    assert_string_equal(json_string_value(change.value), "12.50");
    change_finish(&change);
    payload_finish(&payload);
    assert_int_equal(payload_decode("{\"key\":\"k\",\"delete\":true}", &payload), RESULT_OK);
    assert_int_equal(payload_change(&payload, "a.b#k", &change), RESULT_OK);
    assert_true(change.is_delete && !change.has_version);
    change_finish(&change);
    payload_finish(&payload);
}

static void test_a_snapshot_tells_what_had_ended(void **state)
{
    (void)state;
    uint64_t lowest = 0, next = 0;
    assert_true(state_snapshot_parse("100:105:100,103", &lowest, &next));
    assert_true(lowest == 100 && next == 105);
    assert_true(state_snapshot_parse("18446744073709551610:18446744073709551615:", &lowest, &next));
    assert_true(lowest == 18446744073709551610ULL && next == 18446744073709551615ULL);
    static const char *const bad[] = {"", "100", "100:", ":100:", "100:105", "x:y:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(state_snapshot_parse(bad[i], &lowest, &next));
    }
}

static void test_the_table_is_named_in_the_statements(void **state)
{
    (void)state;
    struct state_sql sql;
    assert_true(state_sql_init(&sql, "acme.kpis"));
    assert_non_null(strstr(sql.page, " from acme.kpis k "));
    assert_non_null(strstr(sql.news, " from acme.kpis k "));
    assert_non_null(strstr(sql.news, " from acme.kpis_gone g "));
    assert_non_null(strstr(sql.news, " from acme.kpis_version)"));
    state_sql_finish(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_payload_names_a_row),
        cmocka_unit_test(test_a_payload_that_is_none_is_told_apart),
        cmocka_unit_test(test_a_value_that_comes_along_is_a_change),
        cmocka_unit_test(test_a_snapshot_tells_what_had_ended),
        cmocka_unit_test(test_the_table_is_named_in_the_statements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
