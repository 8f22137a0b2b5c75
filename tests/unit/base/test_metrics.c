/* Metrics: the exposition against the rules of the Prometheus text format, quantiles, memory running out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/allocations.h"
#include "base/metrics.h"

static char *print(const struct metrics *metrics, void (*how)(const struct metrics *, struct bytes *))
{
    struct bytes out;
    bytes_init(&out, 1 << 20);
    how(metrics, &out);
    bytes_append_byte(&out, '\0');
    assert_false(bytes_failed(&out));
    size_t length;
    return bytes_take(&out, &length);
}

static void test_exposition_is_exact(void **state)
{
    (void)state;
    static const double bounds[] = {0.1, 1, 2.5};
    struct metrics *metrics = metrics_create();
    struct metric *ok = metrics_counter(metrics, "gw_x_total", "result=\"ok\"", "Line one\nand a \\ back.");
    struct metric *gauge = metrics_gauge(metrics, "gw_g", NULL, "A gauge.");
    struct metric *seconds = metrics_histogram(metrics, "gw_s", "form=\"ws\"", "Times.", bounds, 3);
    struct metric *bad =
        metrics_counter(metrics, "gw_x_total", "result=\"b\\\"ad\"", "Line one\nand a \\ back.");
    metric_add(ok, 18446744073709551615U);
    metric_add(bad, 2);
    metric_set(gauge, 0.1);
    metric_observe(seconds, 0.1); /* a bound belongs to its bucket */
    metric_observe_n(seconds, 2, 3);
    metric_observe(seconds, 99);
    char *text = print(metrics, metrics_print);
    assert_string_equal(text, "# HELP gw_x_total Line one\\nand a \\\\ back.\n"
                              "# TYPE gw_x_total counter\n"
                              "gw_x_total{result=\"ok\"} 18446744073709551615\n"
                              "gw_x_total{result=\"b\\\"ad\"} 2\n"
                              "# HELP gw_g A gauge.\n"
                              "# TYPE gw_g gauge\n"
                              "gw_g 0.1\n"
                              "# HELP gw_s Times.\n"
                              "# TYPE gw_s histogram\n"
                              "gw_s_bucket{form=\"ws\",le=\"0.1\"} 1\n"
                              "gw_s_bucket{form=\"ws\",le=\"1\"} 1\n"
                              "gw_s_bucket{form=\"ws\",le=\"2.5\"} 4\n"
                              "gw_s_bucket{form=\"ws\",le=\"+Inf\"} 5\n"
                              "gw_s_sum{form=\"ws\"} 105.1\n"
                              "gw_s_count{form=\"ws\"} 5\n");
    free(text);
    metrics_destroy(metrics);
}

static void test_special_numbers_have_their_names(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric *gauge = metrics_gauge(metrics, "g", NULL, "");
    static const struct {
        double value;
        const char *text;
        const char *json;
    } cases[] = {{(double)NAN, "g NaN\n", "null"},
                 {(double)INFINITY, "g +Inf\n", "null"},
                 {-(double)INFINITY, "g -Inf\n", "null"},
                 {1.0 / 3, "g 0.33333333333333331\n", "0.333333333333333"},
                 {-0.5, "g -0.5\n", "-0.5"},
                 {1e300, "g 1e+300\n", "1e+300"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        metric_set(gauge, cases[i].value);
        char *text = print(metrics, metrics_print);
        assert_non_null(strstr(text, cases[i].text));
        free(text);
        text = print(metrics, metrics_print_json);
        assert_non_null(strstr(text, cases[i].json));
        free(text);
    }
    metrics_destroy(metrics);
}

static void test_same_name_and_labels_are_one_handle(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric *a = metrics_counter(metrics, "x_total", "k=\"1\"", "h");
    struct metric *b = metrics_counter(metrics, "x_total", "k=\"2\"", "h");
    assert_ptr_equal(a, metrics_counter(metrics, "x_total", "k=\"1\"", "h"));
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(b, metrics_find(metrics, "x_total", "k=\"2\""));
    assert_null(metrics_find(metrics, "x_total", NULL));
    assert_null(metrics_find(metrics, "y_total", NULL));
    metric_add(a, 3);
    metric_add(b, 4);
    assert_true(metrics_sum(metrics, "x_total") == 7);
    assert_true(metrics_sum(metrics, "y_total") == 0);
    metrics_destroy(metrics);
}

static bool aborts(const char *name, const char *labels)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers catch it */
        (void)close(STDERR_FILENO);
        struct metrics *metrics = metrics_create();
        (void)metrics_counter(metrics, name, labels, "h"); /* the return value is not what is tested */
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

static void test_wrong_registration_is_an_assertion(void **state)
{
    (void)state;
    static const char *const bad_labels[] = {"k",        "k=1",        "k=\"1",     "k=\"1\",",
                                             "1k=\"1\"", "k=\"a\nb\"", "k=\"\\x\"", ",k=\"1\""};
    for (size_t i = 0; i < sizeof bad_labels / sizeof bad_labels[0]; i++) {
        assert_true(aborts("x_total", bad_labels[i]));
    }
    assert_true(aborts("1x", NULL));
    assert_true(aborts("a-b", NULL));
    assert_true(aborts("", NULL));
    assert_false(aborts("x:y_total", "k=\"\",l=\"a,b}\\\\\""));
}

static void test_null_handles_do_nothing(void **state)
{
    (void)state;
    metric_add(NULL, 1);
    metric_set(NULL, 1);
    metric_observe(NULL, 1);
    assert_true(metric_read(NULL) == 0);
    struct metric_buckets buckets;
    metric_buckets(NULL, &buckets);
    assert_true(metric_buckets_quantile(&buckets, &buckets, 0.5) == -1);
    metrics_destroy(NULL);
}

static void test_quantile_of_a_difference(void **state)
{
    (void)state;
    static const double bounds[] = {1, 2, 4};
    struct metrics *metrics = metrics_create();
    struct metric *metric = metrics_histogram(metrics, "h", NULL, "h", bounds, 3);
    struct metric_buckets before;
    struct metric_buckets now;
    metric_observe_n(metric, 0.5, 1000); /* before: must not count */
    metric_buckets(metric, &before);
    metric_buckets(metric, &now);
    assert_true(metric_buckets_quantile(&now, &before, 0.5) == -1);
    metric_observe_n(metric, 1.5, 10);
    metric_buckets(metric, &now);
    assert_true(fabs(metric_buckets_quantile(&now, &before, 0.5) - 1.5) < 1e-9);
    assert_true(fabs(metric_buckets_quantile(&now, &before, 1) - 2) < 1e-9);
    assert_true(fabs(metric_buckets_quantile(&now, &before, 0) - 1) < 1e-9);
    metric_observe_n(metric, 100, 90);
    metric_buckets(metric, &now);
    assert_true(metric_buckets_quantile(&now, &before, 0.95) == 4);
    metrics_destroy(metrics);
}

static void test_json_is_valid_and_complete(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    char *text = print(metrics, metrics_print_json);
    assert_string_equal(text, "{}");
    free(text);
    metric_add(metrics_counter(metrics, "x_total", "k=\"a\\\"b\"", "h"), 7);
    metric_set(metrics_gauge(metrics, "g", NULL, "h"), 2.5);
    metric_observe(
        metrics_histogram(metrics, "s", NULL, "h", METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT), 3);
    text = print(metrics, metrics_print_json);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_int_equal(json_object_size(json), 3);
    assert_int_equal(json_integer_value(json_object_get(json, "x_total{k=\"a\\\"b\"}")), 7);
    assert_true(json_real_value(json_object_get(json, "g")) == 2.5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "s"), "count")), 1);
    assert_int_equal(json_number_value(json_object_get(json_object_get(json, "s"), "sum")), 3);
    json_decref(json);
    free(text);
    metrics_destroy(metrics);
}

static void test_a_label_of_all_series_is_printed_with_each(void **state)
{
    (void)state;
    static const double bounds[] = {1};
    struct metrics *metrics = metrics_create();
    assert_non_null(metrics);
    assert_true(metrics_label_all(metrics, "node", "a\"b\\c\nd"));
    metric_add(metrics_counter(metrics, "a_total", "k=\"1\"", "h"), 7);
    metric_set(metrics_gauge(metrics, "g", NULL, "h"), 2);
    metric_observe(metrics_histogram(metrics, "s", NULL, "h", bounds, 1), 0.5);
    char *text = print(metrics, metrics_print);
    assert_string_equal(text, "# HELP a_total h\n# TYPE a_total counter\n"
                              "a_total{node=\"a\\\"b\\\\c\\nd\",k=\"1\"} 7\n"
                              "# HELP g h\n# TYPE g gauge\ng{node=\"a\\\"b\\\\c\\nd\"} 2\n"
                              "# HELP s h\n# TYPE s histogram\n"
                              "s_bucket{node=\"a\\\"b\\\\c\\nd\",le=\"1\"} 1\n"
                              "s_bucket{node=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 1\n"
                              "s_sum{node=\"a\\\"b\\\\c\\nd\"} 0.5\ns_count{node=\"a\\\"b\\\\c\\nd\"} 1\n");
    assert_true(metrics_sum(metrics, "a_total") == 7.0); /* look-ups do not know it */
    assert_non_null(metrics_find(metrics, "a_total", "k=\"1\""));
    free(text);
    metrics_destroy(metrics);
}

static void register_some(struct metrics *metrics)
{
    metric_add(metrics_counter(metrics, "a_total", "k=\"1\"", "h"), 1);
    metric_add(metrics_counter(metrics, "a_total", "k=\"2\"", "h"), 1);
    metric_observe(
        metrics_histogram(metrics, "s", NULL, "h", METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT), 1);
}

static void test_registration_survives_no_memory(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int which = 0; has_failed; which++) {
        allocations_fail_one_after(which);
        struct metrics *metrics = metrics_create();
        if (metrics == NULL) {
            assert_int_equal(which, 0);
            assert_true(allocations_recover());
            continue;
        }
        register_some(metrics);
        has_failed = allocations_recover();
        char *text = print(metrics, metrics_print); /* what is there is whole */
        assert_null(strstr(text, "TYPE a_total counter\n#"));
        free(text);
        register_some(metrics); /* and the rest can still come */
        assert_true(metrics_sum(metrics, "a_total") >= 2);
        assert_true(metric_read(metrics_find(metrics, "s", NULL)) >= 1);
        metrics_destroy(metrics);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exposition_is_exact),
        cmocka_unit_test(test_special_numbers_have_their_names),
        cmocka_unit_test(test_same_name_and_labels_are_one_handle),
        cmocka_unit_test(test_wrong_registration_is_an_assertion),
        cmocka_unit_test(test_null_handles_do_nothing),
        cmocka_unit_test(test_quantile_of_a_difference),
        cmocka_unit_test(test_json_is_valid_and_complete),
        cmocka_unit_test(test_a_label_of_all_series_is_printed_with_each),
        cmocka_unit_test(test_registration_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
