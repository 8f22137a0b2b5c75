/*
 * The ingest door with a fake connection and the real pipeline: what is answered, what reaches the
 * board, and what happens when somebody leaves in between.
 */
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
#include "sources/http_ingest.h"
#include "support/fake_http.h"
#include "support/small_gateway.h"

#define PATH "/api/v1/data-flow/ingest"

static struct small_gateway gateway;
static struct access *access_rules;
static struct source *ingest;

static const struct ingest_member crm_members[] = {
    {"revenue", "exec.revenue_mtd"},
    {"health", "exec.customer_health"},
};
static const struct ingest_mapping mappings[] = {
    {"crm_export", crm_members, sizeof crm_members / sizeof *crm_members},
};

static void open_door(const char *key)
{
    const struct access_options access_options = {.keys.ingest = key};
    fake_http_reset();
    small_gateway_init(&gateway, DEFINITIONS);
    access_rules = access_create(&access_options);
    assert_non_null(access_rules);
    const struct http_ingest_options options = {
        .pipeline = gateway.pipeline,
        .access = access_rules,
        .metrics = gateway.metrics,
        .mappings = mappings,
        .mapping_count = 1,
        .max_outstanding = 2,
    };
    ingest = http_ingest_create(&options);
    assert_non_null(ingest);
    assert_int_equal(ingest->ops->start(ingest), RESULT_OK);
}

static int setup(void **state)
{
    (void)state;
    open_door(NULL);
    return 0;
}

static int setup_with_key(void **state)
{
    (void)state;
    open_door("s3cret");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (ingest) {
        ingest->ops->stop(ingest);
        ingest->ops->destroy(ingest);
    }
    small_gateway_finish(&gateway);
    access_destroy(access_rules);
    return 0;
}

static struct http_exchange posted(const char *body)
{
    struct http_exchange exchange = {.body = body};
    fake_http_send(PATH, &exchange);
    return exchange;
}

/* Posts, checks status, and hands out the parsed answer. */
static json_t *answer_of(const char *body, int status)
{
    struct http_exchange exchange = posted(body);
    assert_int_equal(exchange.answers, 1);
    assert_int_equal(exchange.status, status);
    json_t *answer = json_loads(exchange.text, 0, NULL);
    assert_non_null(answer);
    fake_http_finish(&exchange);
    return answer;
}

static const char *item_text(const json_t *answer, size_t index, const char *member)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(answer, "items"), index), member));
    return text ? text : "";
}

static json_int_t count_of(const json_t *answer, const char *member)
{
    const json_t *count = json_object_get(answer, member);
    assert_true(json_is_integer(count));
    return json_integer_value(count);
}

static void assert_problem(const char *body, int status, const char *code)
{
    struct http_exchange exchange = posted(body);
    assert_int_equal(exchange.status, status);
    assert_string_equal(exchange.code, code);
    fake_http_finish(&exchange);
}

static void test_accepted_change_is_on_the_board(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of("{\"field\":\"exec.revenue_mtd\",\"value\":\"1284300.50\"}", 200);
    assert_int_equal(count_of(answer, "accepted"), 1);
    assert_int_equal(count_of(answer, "refused"), 0);
    assert_true(json_is_false(json_object_get(answer, "durable")));
    assert_string_equal(item_text(answer, 0, "result"), "accepted");
    assert_string_equal(item_text(answer, 0, "field"), "exec.revenue_mtd");
    const char *value = small_gateway_value(&gateway, "executive", "exec.revenue_mtd");
    assert_non_null(value);
    assert_non_null(strstr(value, "\"v\":\"1284300.50\""));
}

static void test_each_item_has_its_own_result(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of("[{\"field\":\"exec.customer_health\",\"value\":81,\"version\":5},"
                                    "{\"field\":\"exec.customer_health\",\"value\":81,\"version\":4},"
                                    "{\"field\":\"exec.win_rate\",\"value\":7},"
                                    "{\"field\":\"exec.nothing\",\"value\":7},"
                                    "{\"field\":\"exec.team_productivity\",\"valeu\":7}]",
                                    200);
    assert_int_equal(count_of(answer, "accepted"), 1);
    assert_int_equal(count_of(answer, "older"), 1);
    assert_int_equal(count_of(answer, "refused"), 3);
    assert_string_equal(item_text(answer, 0, "result"), "accepted");
    assert_string_equal(item_text(answer, 1, "result"), "older");
    assert_string_equal(item_text(answer, 2, "result"), "out_of_range");
    assert_string_equal(item_text(answer, 3, "result"), "unknown_field");
    assert_string_equal(item_text(answer, 4, "result"), "unknown_type");
    assert_string_equal(item_text(answer, 4, "field"), "exec.team_productivity");
    assert_string_not_equal(item_text(answer, 4, "detail"), "");
}

static void test_same_version_again_is_unchanged(void **state)
{
    (void)state;
    static const char body[] = "{\"field\":\"exec.customer_health\",\"value\":81,\"version\":5}";
    json_decref(answer_of(body, 200));
    json_auto_t *answer = answer_of(body, 200);
    assert_int_equal(count_of(answer, "unchanged"), 1);
}

static void test_what_cannot_be_ordered_now_is_to_be_sent_again(void **state)
{
    (void)state;
    static const char body[] =
        "[{\"field\":\"exec.customer_health\",\"value\":81},{\"field\":\"exec.nothing\",\"value\":7}]";
    pipeline_set_journals(gateway.pipeline, NULL, NULL);
    struct http_exchange exchange = posted(body);
    assert_int_equal(exchange.status, 503);
    assert_string_equal(fake_http_header(&exchange, "Retry-After"), "2");
    json_auto_t *answer = json_loads(exchange.text, 0, NULL);
    assert_string_equal(item_text(answer, 0, "result"), "unavailable");
    assert_string_equal(item_text(answer, 1, "result"), "unknown_field");
    assert_int_equal(count_of(answer, "accepted"), 0);
    fake_http_finish(&exchange);
}

static void test_mapped_data_becomes_changes_and_unknown_members_are_told(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of(
        "{\"source_name\":\"crm_export\",\"data\":{\"revenue\":\"10.00\",\"health\":70,\"shoe_size\":43}}",
        200);
    assert_int_equal(count_of(answer, "accepted"), 2);
    assert_int_equal(count_of(answer, "refused"), 1);
    assert_string_equal(item_text(answer, 2, "field"), "shoe_size");
    assert_string_equal(item_text(answer, 2, "result"), "unknown_field");
    assert_non_null(small_gateway_value(&gateway, "executive", "exec.customer_health"));
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_ingest_unknown_members_total", NULL)) == 1.0);
}

static void test_unknown_source_name_is_refused(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of("{\"source_name\":\"erp\",\"data\":{\"revenue\":1}}", 400);
    assert_string_equal(item_text(answer, 0, "result"), "unknown_field");
    assert_string_equal(item_text(answer, 0, "field"), "erp");
    assert_string_equal(json_string_value(json_object_get(answer, "code")), "malformed");
}

static void test_both_shapes_may_share_an_array(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of("[{\"source_name\":\"crm_export\",\"data\":{\"health\":70}},"
                                    "{\"field\":\"exec.win_rate\",\"num\":3,\"den\":4}]",
                                    200);
    assert_int_equal(count_of(answer, "accepted"), 2);
}

static void test_what_is_not_json_is_malformed(void **state)
{
    (void)state;
    static const char *const bodies[] = {"",
                                         "{",
                                         "7",
                                         "\"text\"",
                                         "[]",
                                         "{\"field\":\"a.b\",\"field\":\"a.b\"}",
                                         "{\"field\":\"exec.win_rate\",\"value\":NaN}",
                                         "{} {}",
                                         "{\"field\":\"exec.win_rate\",\"value\":1e999}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_problem(bodies[i], 400, "malformed");
    }
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_ingest_requests_total",
                                         "answer=\"malformed\"")) == 9.0);
}

static void test_nothing_readable_is_400_with_the_items(void **state)
{
    (void)state;
    json_auto_t *answer = answer_of("[7, {\"field\":\"no\"}]", 400);
    assert_int_equal(count_of(answer, "refused"), 2);
    assert_int_equal(json_array_size(json_object_get(answer, "items")), 2);
    assert_int_equal(count_of(answer, "status"), 400);
}

/* depth counts the brackets: {"field":..,"value":{"a":{...}}} */
static char *nested_body(int depth)
{
    char *body = calloc(1, 1024);
    assert_non_null(body);
    strcat(body, "{\"field\":\"exec.win_rate\",\"value\":");
    for (int i = 1; i < depth; i++) {
        strcat(body, "{\"a[{\":");
    }
    strcat(body, "1");
    for (int i = 1; i < depth; i++) {
        strcat(body, "}");
    }
    strcat(body, "}");
    return body;
}

static void test_depth_is_limited_before_parsing(void **state)
{
    (void)state;
    char *at_limit = nested_body(INGEST_MAX_DEPTH);
    char *beyond = nested_body(INGEST_MAX_DEPTH + 1);
    json_auto_t *answer = answer_of(at_limit, 200); /* readable, though this KPI takes no object */
    assert_string_equal(item_text(answer, 0, "result"), "wrong_type");
    assert_problem(beyond, 400, "too_deep");
    free(at_limit);
    free(beyond);
}

static char *many_items(size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(json_array_append_new(list, json_pack("{s:s, s:i}", "field", "exec.customer_health",
                                                               "value", (int)i % 100)),
                         0);
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static void test_a_thousand_items_are_taken_and_one_more_is_not(void **state)
{
    (void)state;
    char *fits = many_items(INGEST_ITEMS_MAX);
    char *too_many = many_items(INGEST_ITEMS_MAX + 1);
    json_auto_t *answer = answer_of(fits, 200);
    assert_int_equal(json_array_size(json_object_get(answer, "items")), INGEST_ITEMS_MAX);
    assert_problem(too_many, 413, "too_many");
    free(fits);
    free(too_many);
}

static void test_mapped_members_count_towards_the_limit(void **state)
{
    (void)state;
    json_t *data = json_object();
    for (int i = 0; i <= INGEST_ITEMS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(json_object_set_new(data, name, json_integer(i)), 0);
    }
    json_auto_t *body = json_pack("{s:s, s:o}", "source_name", "crm_export", "data", data);
    char *text = json_dumps(body, 0);
    assert_problem(text, 413, "too_many");
    free(text);
}

static void test_without_a_key_only_loopback_comes_in(void **state)
{
    (void)state;
    struct http_exchange remote = {.body = "{}", .is_remote = true};
    fake_http_send(PATH, &remote);
    assert_int_equal(remote.status, 403);
    assert_string_equal(remote.code, "forbidden");
    fake_http_finish(&remote);
}

static void test_without_a_key_neither_proxy_nor_browser_comes_in(void **state)
{
    (void)state;
    static const char *const signs[] = {"origin", "forwarded", "x-forwarded-for", "x-real-ip"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        struct http_exchange exchange = {.body = "{}", .extra_name = signs[i]};
        fake_http_send(PATH, &exchange);
        assert_int_equal(exchange.status, 403);
        fake_http_finish(&exchange);
    }
}

static void test_with_a_key_it_is_asked_for(void **state)
{
    (void)state;
    struct http_exchange none = {.body = "{}"};
    struct http_exchange wrong = {.body = "{}", .authorization = "Bearer nope"};
    struct http_exchange right = {.body = "{\"field\":\"exec.customer_health\",\"value\":1}",
                                  .authorization = "Bearer s3cret",
                                  .is_remote = true};
    fake_http_send(PATH, &none);
    fake_http_send(PATH, &wrong);
    fake_http_send(PATH, &right);
    assert_int_equal(none.status, 401);
    assert_non_null(strstr(fake_http_header(&none, "WWW-Authenticate"), "Bearer"));
    assert_int_equal(wrong.status, 401);
    assert_int_equal(right.status, 200);
    fake_http_finish(&none);
    fake_http_finish(&wrong);
    fake_http_finish(&right);
}

static void test_answer_waits_for_the_journal(void **state)
{
    (void)state;
    small_gateway_hold();
    struct http_exchange exchange = {.body = "{\"field\":\"exec.customer_health\",\"value\":66}"};
    fake_http_send(PATH, &exchange);
    assert_int_equal(exchange.answers, 0);
    small_gateway_release();
    assert_int_equal(exchange.status, 200);
    fake_http_finish(&exchange);
}

static void test_change_is_applied_though_the_peer_left(void **state)
{
    (void)state;
    small_gateway_hold();
    struct http_exchange exchange = {.body = "{\"field\":\"exec.customer_health\",\"value\":66}"};
    fake_http_send(PATH, &exchange);
    fake_http_leave(&exchange);
    small_gateway_release();
    assert_int_equal(exchange.answers, 0);
    assert_non_null(strstr(small_gateway_value(&gateway, "executive", "exec.customer_health"), "\"v\":66"));
}

static void test_waiting_requests_are_bounded(void **state)
{
    (void)state;
    static const char body[] = "{\"field\":\"exec.customer_health\",\"value\":66}";
    small_gateway_hold();
    struct http_exchange first = posted(body);
    struct http_exchange second = {.body = body};
    fake_http_send(PATH, &second);
    struct http_exchange third = posted(body);
    assert_int_equal(third.status, 503);
    assert_string_equal(fake_http_header(&third, "Retry-After"), "1");
    fake_http_leave(&first); /* posted() copied it: nothing may be answered there */
    fake_http_leave(&second);
    small_gateway_release();
    struct http_exchange fourth = posted(body);
    assert_int_equal(fourth.status, 200);
    fake_http_finish(&third);
    fake_http_finish(&fourth);
}

static void test_destroying_the_source_leaves_waiting_requests_alone(void **state)
{
    (void)state;
    small_gateway_hold();
    struct http_exchange exchange = {.body = "{\"field\":\"exec.customer_health\",\"value\":66}"};
    fake_http_send(PATH, &exchange);
    ingest->ops->stop(ingest);
    ingest->ops->destroy(ingest);
    ingest = NULL;
    small_gateway_release();
    assert_int_equal(exchange.answers, 0);
}

static void test_stopped_source_answers_unavailable(void **state)
{
    (void)state;
    ingest->ops->stop(ingest);
    assert_problem("{\"field\":\"exec.customer_health\",\"value\":66}", 503, "unavailable");
}

static void test_route_says_its_limits(void **state)
{
    (void)state;
    const struct http_route *route = fake_http_route(PATH);
    assert_non_null(route);
    assert_int_equal(route->methods, HTTP_POST);
    assert_int_equal(route->body_max_bytes, INGEST_BODY_MAX_BYTES);
    assert_true(route->needs_json);
}

static void test_items_are_counted_by_result(void **state)
{
    (void)state;
    json_decref(answer_of(
        "[{\"field\":\"exec.customer_health\",\"value\":1},{\"field\":\"exec.nothing\",\"value\":1}]", 200));
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_ingest_total", "result=\"accepted\"")) == 1.0);
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_ingest_total", "result=\"unknown_field\"")) ==
                1.0);
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DOOR(test_accepted_change_is_on_the_board),
        WITH_DOOR(test_each_item_has_its_own_result),
        WITH_DOOR(test_same_version_again_is_unchanged),
        WITH_DOOR(test_what_cannot_be_ordered_now_is_to_be_sent_again),
        WITH_DOOR(test_mapped_data_becomes_changes_and_unknown_members_are_told),
        WITH_DOOR(test_unknown_source_name_is_refused),
        WITH_DOOR(test_both_shapes_may_share_an_array),
        WITH_DOOR(test_what_is_not_json_is_malformed),
        WITH_DOOR(test_nothing_readable_is_400_with_the_items),
        WITH_DOOR(test_depth_is_limited_before_parsing),
        WITH_DOOR(test_a_thousand_items_are_taken_and_one_more_is_not),
        WITH_DOOR(test_mapped_members_count_towards_the_limit),
        WITH_DOOR(test_without_a_key_only_loopback_comes_in),
        WITH_DOOR(test_without_a_key_neither_proxy_nor_browser_comes_in),
        cmocka_unit_test_setup_teardown(test_with_a_key_it_is_asked_for, setup_with_key, teardown),
        WITH_DOOR(test_answer_waits_for_the_journal),
        WITH_DOOR(test_change_is_applied_though_the_peer_left),
        WITH_DOOR(test_waiting_requests_are_bounded),
        WITH_DOOR(test_destroying_the_source_leaves_waiting_requests_alone),
        WITH_DOOR(test_stopped_source_answers_unavailable),
        WITH_DOOR(test_route_says_its_limits),
        WITH_DOOR(test_items_are_counted_by_result),
    };
    return cmocka_run_group_tests_name("http_ingest", tests, NULL, NULL);
}
