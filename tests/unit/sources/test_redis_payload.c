/* What a message of Redis says, form by form, with the definitions that ship. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "sources/redis_payload.h"

static struct catalog *catalog;
static struct batch *batch;
static struct redis_leftover leftover;

static int load(void **state)
{
    (void)state;
    struct catalog_report report;
    catalog_report_init(&report);
    catalog = catalog_load(DEFINITIONS, &report);
    assert_non_null(catalog);
    catalog_report_finish(&report);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    catalog_unref(catalog);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    batch_destroy(batch);
    batch = NULL;
    return 0;
}

static enum result decode(const struct redis_meaning *meaning, const char *text)
{
    batch_destroy(batch);
    batch = batch_create();
    assert_non_null(batch);
    return redis_payload_decode(meaning, text, strlen(text), batch, &leftover);
}

/* As a message for these KPIs (second may be NULL); all of it must be readable. */
static void decode_for(const char *first, const char *second, const char *text)
{
    const char *const fields[] = {first, second};
    const struct redis_meaning meaning = {
        .catalog = catalog, .form = REDIS_FORM_KPI, .fields = fields, .field_count = second ? 2 : 1};
    enum result result = decode(&meaning, text);
    if (result != RESULT_OK) {
        fail_msg("%s: %s", text, result_name(result));
    }
}

static const struct change *change_at(size_t index)
{
    assert_true(index < batch->count);
    if (batch->items[index].outcome != RESULT_OK) {
        fail_msg("%s: %s", result_name(batch->items[index].outcome), batch->items[index].detail);
    }
    return &batch->items[index].change;
}

static void assert_value(const struct change *change, const char *json)
{
    json_auto_t *expected = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    char *text = json_dumps(change->value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!json_equal(expected, change->value)) {
        fail_msg("expected %s, got %s", json, text ? text : "nothing");
    }
    free(text);
}

static void assert_refused(size_t index, enum result outcome, const char *detail)
{
    assert_true(index < batch->count);
    assert_string_equal(result_name(batch->items[index].outcome), result_name(outcome));
    if (!strstr(batch->items[index].detail, detail)) {
        fail_msg("expected \"%s\" in \"%s\"", detail, batch->items[index].detail);
    }
}

static void test_bare_value_is_the_kpi(void **state)
{
    (void)state;
    decode_for("know.search_p95", NULL, "41.5");
    assert_int_equal(batch->count, 1);
    assert_string_equal(change_at(0)->field, "know.search_p95");
    assert_value(change_at(0), "41.5");
    assert_false(change_at(0)->has_as_of);
    assert_false(change_at(0)->has_version);
    decode_for("exec.revenue_mtd", NULL, "\"1284300.50\"");
    assert_value(change_at(0), "\"1284300.50\"");
    decode_for("know.search_p95", NULL, " null ");
    assert_int_equal(change_at(0)->state, VALUE_NO_DATA);
}

static void test_object_is_an_envelope_without_its_field(void **state)
{
    (void)state;
    decode_for("know.search_p95", NULL, "{\"value\":41.5,\"as_of\":1763719200123,\"version\":7,\"base\":40}");
    assert_value(change_at(0), "41.5");
    assert_true(change_at(0)->as_of_ms == 1763719200123);
    assert_int_equal(change_at(0)->version, 7);
    assert_false(change_at(0)->is_version_hidden);
    decode_for("exec.win_rate", NULL, "{\"num\":3,\"den\":4,\"as_of\":\"2026-11-21T10:00:00Z\"}");
    assert_true(change_at(0)->has_ratio);
    decode_for("know.search_p95", NULL, "{\"field\":\"know.search_p95\",\"value\":1}");
    assert_value(change_at(0), "1");
    decode_for("know.search_p95", NULL, "{\"field\":\"know.recall_p95\",\"value\":1}");
    assert_refused(0, RESULT_OUT_OF_RANGE, "another KPI");
    decode_for("know.search_p95", NULL, "{\"value\":1,\"as_off\":1}");
    assert_true(batch->items[0].outcome != RESULT_OK);
}

static void test_object_of_a_mix_is_its_value(void **state)
{
    (void)state;
    decode_for("exec.customer_health_mix", NULL, "{\"healthy\":78,\"attention\":15,\"at_risk\":7}");
    assert_value(change_at(0), "{\"healthy\":78,\"attention\":15,\"at_risk\":7}");
    decode_for("exec.customer_health_mix", NULL, "{\"value\":{\"healthy\":1},\"version\":2}");
    assert_value(change_at(0), "{\"healthy\":1}");
    assert_int_equal(change_at(0)->version, 2);
}

static void test_flat_row_takes_the_columns_of_each_kpi(void **state)
{
    (void)state;
    decode_for("exec.insights", "know.insights",
               "{\"id\":17,\"title\":\"Churn\",\"body\":\"b\",\"type\":\"trend\",\"confidence\":0.9,"
               "\"at\":\"2026-11-21T10:00:00Z\",\"nonsense\":1}");
    assert_int_equal(batch->count, 2);
    assert_string_equal(change_at(0)->field, "exec.insights#17");
    assert_value(change_at(0), "{\"title\":\"Churn\",\"body\":\"b\",\"confidence\":0.9}");
    assert_string_equal(change_at(1)->field, "know.insights#17");
    assert_value(change_at(1), "{\"title\":\"Churn\",\"type\":\"trend\",\"confidence\":0.9}");
    assert_true(change_at(0)->has_as_of);
    assert_true(change_at(0)->as_of_ms == change_at(1)->as_of_ms);
    assert_int_equal(leftover.count, 1);
    assert_string_equal(leftover.first, "nonsense");
}

static void test_name_of_a_column_is_the_column(void **state)
{
    (void)state;
    decode_for("exec.alerts", NULL,
               "{\"key\":\"a1\",\"severity\":\"critical\",\"title\":\"t\",\"state\":\"open\",\"version\":3}");
    assert_value(change_at(0), "{\"severity\":\"critical\",\"title\":\"t\",\"state\":\"open\"}");
    assert_int_equal(change_at(0)->state, VALUE_OK);
    assert_int_equal(change_at(0)->version, 3);
    assert_int_equal(leftover.count, 0);
}

static void test_row_may_be_an_envelope_or_a_deletion(void **state)
{
    (void)state;
    decode_for(
        "ops.platform", NULL,
        "[{\"key\":\"search\",\"value\":{\"state\":\"ok\"},\"as_of\":1},{\"key\":\"old\",\"delete\":true}]");
    assert_int_equal(batch->count, 2);
    assert_string_equal(change_at(0)->field, "ops.platform#search");
    assert_value(change_at(0), "{\"state\":\"ok\"}");
    assert_string_equal(change_at(1)->field, "ops.platform#old");
    assert_true(change_at(1)->is_delete);
}

static void test_row_without_key_is_refused_alone(void **state)
{
    (void)state;
    decode_for(
        "exec.alerts", NULL,
        "[{\"title\":\"t\"},7,{\"key\":\"a\",\"title\":\"t\"},{\"key\":null,\"title\":\"t\"},{\"key\":\"\"}]");
    assert_int_equal(batch->count, 5);
    assert_refused(0, RESULT_MISSING_FIELD, "key (or id)");
    assert_refused(1, RESULT_WRONG_TYPE, "a row is an object");
    assert_string_equal(change_at(2)->field, "exec.alerts#a");
    assert_refused(3, RESULT_MISSING_FIELD, "key (or id)");
    assert_refused(4, RESULT_OUT_OF_RANGE, "field");
}

static void test_key_that_is_too_long_is_refused_not_cut(void **state)
{
    (void)state;
    char text[2 * FIELD_MAX_BYTES + 64];
    char key[FIELD_MAX_BYTES + 40];
    for (size_t length = ROW_KEY_MAX_BYTES - 1; length < sizeof key; length++) {
        memset(key, 'k', length);
        key[length] = '\0';
        (void)snprintf(text, sizeof text, "{\"key\":\"%s\",\"title\":\"t\"}", key);
        decode_for("exec.alerts", NULL, text);
        assert_int_equal(batch->items[0].outcome == RESULT_OK, length <= ROW_KEY_MAX_BYTES);
    }
}

static void test_mapping_may_fix_the_row(void **state)
{
    (void)state;
    decode_for("ops.platform#search", NULL, "{\"state\":\"ok\",\"key\":\"other\"}");
    assert_string_equal(change_at(0)->field, "ops.platform#search");
}

static void test_entry_of_a_hash_names_what_the_message_does_not(void **state)
{
    (void)state;
    const char *const fields[] = {"ops.platform"};
    struct redis_meaning meaning = {
        .catalog = catalog, .form = REDIS_FORM_KPI, .fields = fields, .field_count = 1, .name = "search"};
    assert_int_equal(decode(&meaning, "{\"state\":\"ok\"}"), RESULT_OK);
    assert_string_equal(change_at(0)->field, "ops.platform#search");
    assert_int_equal(decode(&meaning, "{\"state\":\"ok\",\"id\":\"own\"}"), RESULT_OK);
    assert_string_equal(change_at(0)->field, "ops.platform#own");
    meaning.form = REDIS_FORM_ENVELOPE;
    meaning.name = "know.search_p95";
    assert_int_equal(decode(&meaning, "{\"value\":3}"), RESULT_OK);
    assert_string_equal(change_at(0)->field, "know.search_p95");
    meaning.name = "\xff\xfe";
    assert_int_equal(decode(&meaning, "{\"value\":3}"), RESULT_OK);
    assert_refused(0, RESULT_OUT_OF_RANGE, "UTF-8");
}

static void test_envelopes_name_their_fields(void **state)
{
    (void)state;
    const struct redis_meaning meaning = {.catalog = catalog, .form = REDIS_FORM_ENVELOPE, .version = 99};
    assert_int_equal(decode(&meaning,
                            "[{\"field\":\"a.b\",\"value\":1,\"version\":5},{\"field\":\"a.c\",\"value\":2},"
                            "{\"value\":3},4]"),
                     RESULT_OK);
    assert_int_equal(batch->count, 4);
    assert_int_equal(change_at(0)->version, 5);
    assert_false(change_at(0)->is_version_hidden);
    assert_int_equal(change_at(1)->version, 99); /* of the stream's entry */
    assert_true(change_at(1)->is_version_hidden);
    assert_refused(2, RESULT_MISSING_FIELD, "field");
    assert_refused(3, RESULT_MALFORMED, "object");
}

static void test_kpi_without_definition_is_refused(void **state)
{
    (void)state;
    decode_for("no.such", NULL, "1");
    assert_refused(0, RESULT_UNKNOWN_FIELD, "no definition");
}

static void test_unusable_messages_are_refused_as_a_whole(void **state)
{
    (void)state;
    const char *const fields[] = {"know.search_p95"};
    const struct redis_meaning meaning = {
        .catalog = catalog, .form = REDIS_FORM_KPI, .fields = fields, .field_count = 1};
    static const char *const bad[] = {"",     "degraded",          "[]",         "{\"a\":1,\"a\":2}", "1 2",
                                      "\xff", "{\"value\":1e999}", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_string_equal(result_name(decode(&meaning, bad[i])), "malformed");
    }
    char deep[64] = "";
    for (int i = 0; i < 17; i++) {
        strcat(deep, "[");
    }
    assert_string_equal(result_name(decode(&meaning, deep)), "too_deep");
    char *big = malloc(INGEST_BODY_MAX_BYTES + 2);
    memset(big, ' ', INGEST_BODY_MAX_BYTES + 1);
    big[INGEST_BODY_MAX_BYTES + 1] = '\0';
    assert_string_equal(result_name(decode(&meaning, big)), "too_big");
    strcpy(big, "[1");
    for (int i = 0; i < INGEST_ITEMS_MAX; i++) {
        strcat(big, ",1");
    }
    strcat(big, "]");
    assert_string_equal(result_name(decode(&meaning, big)), "too_many");
    free(big);
}

static void test_stream_id_is_a_version(void **state)
{
    (void)state;
    assert_true(redis_stream_version("1763719200123-0") == 1763719200123ULL * 4096);
    assert_true(redis_stream_version("1763719200123-1") == 1763719200123ULL * 4096 + 1);
    assert_true(redis_stream_version("1763719200123-9999") == 1763719200123ULL * 4096 + 4095);
    assert_true(redis_stream_version("2199023255551-4095") == INTEGER_MAX_EXACT);
    assert_true(redis_stream_version("2199023255552-0") == 0);
    assert_true(redis_stream_version("0-1") == 1);
    assert_true(redis_stream_version("x") == 0);
    assert_true(redis_stream_version("18446744073709551615-18446744073709551615") == 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, clear)
    const struct CMUnitTest tests[] = {
        CASE(test_bare_value_is_the_kpi),
        CASE(test_object_is_an_envelope_without_its_field),
        CASE(test_object_of_a_mix_is_its_value),
        CASE(test_flat_row_takes_the_columns_of_each_kpi),
        CASE(test_name_of_a_column_is_the_column),
        CASE(test_row_may_be_an_envelope_or_a_deletion),
        CASE(test_row_without_key_is_refused_alone),
        CASE(test_key_that_is_too_long_is_refused_not_cut),
        CASE(test_mapping_may_fix_the_row),
        CASE(test_entry_of_a_hash_names_what_the_message_does_not),
        CASE(test_envelopes_name_their_fields),
        CASE(test_kpi_without_definition_is_refused),
        CASE(test_unusable_messages_are_refused_as_a_whole),
        CASE(test_stream_id_is_a_version),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
