/* Log lines, caught from standard error: one whole JSON object each, whatever a peer sends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static char heard[20000];

static int saved_stderr;
static int pipe_out;

static void catch_lines(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(ends[1]);
    pipe_out = ends[0];
}

static size_t caught(void)
{
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    (void)close(saved_stderr);
    size_t length = 0;
    ssize_t got;
    while ((got = read(pipe_out, heard + length, sizeof heard - 1 - length)) > 0) {
        length += (size_t)got;
    }
    (void)close(pipe_out);
    heard[length] = '\0';
    return length;
}

static json_t *caught_object(void)
{
    size_t length = caught();
    assert_true(length > 0);
    assert_ptr_equal(strchr(heard, '\n'), heard + length - 1); /* one line, ended */
    json_error_t error;
    json_t *object = json_loads(heard, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        fail_msg("%s in %s", error.text, heard);
    }
    return object;
}

static void test_line_is_one_json_object(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    catch_lines();
    log_warn("redis subscribe failed", LOG_TEXT("channel", "sales"), LOG_INT("retry_in_ms", 800),
             LOG_REAL("share", 0.25), LOG_BOOL("again", true), LOG_TEXT("none", NULL),
             LOG_REAL("nan", (double)NAN));
    json_t *object = caught_object();
    assert_string_equal(json_string_value(json_object_get(object, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(object, "message")), "redis subscribe failed");
    assert_string_equal(json_string_value(json_object_get(object, "channel")), "sales");
    assert_int_equal(json_integer_value(json_object_get(object, "retry_in_ms")), 800);
    assert_true(json_real_value(json_object_get(object, "share")) == 0.25);
    assert_true(json_is_true(json_object_get(object, "again")));
    assert_true(json_is_null(json_object_get(object, "none")));
    assert_true(json_is_null(json_object_get(object, "nan")));
    const char *time = json_string_value(json_object_get(object, "time"));
    assert_int_equal(strlen(time), strlen("2026-07-28T12:00:00.123Z"));
    assert_int_equal(time[10], 'T');
    json_decref(object);
}

static void test_peer_text_is_escaped(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    catch_lines();
    log_info("x", LOG_TEXT("evil", "\"}\n{\"level\":\"error\",\\ \x01\x7f \xff\xc3\x28 \xc3\xa4"));
    json_t *object = caught_object();
    assert_string_equal(json_string_value(json_object_get(object, "evil")),
                        "\"}\n{\"level\":\"error\",\\ \x01\x7f \xef\xbf\xbd\xef\xbf\xbd( \xc3\xa4");
    json_decref(object);
}

static void test_long_value_is_cut_between_characters(void **state)
{
    (void)state;
    char text[400];
    for (size_t i = 0; i + 1 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa4", 2);
    }
    text[sizeof text - 2] = '\0';
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    catch_lines();
    log_info("x", LOG_TEXT("even", text), LOG_TEXT("odd", text + 1));
    json_t *object = caught_object();
    assert_int_equal(json_string_length(json_object_get(object, "even")), 256);
    const char *odd = json_string_value(json_object_get(object, "odd"));
    assert_memory_equal(odd, "\xef\xbf\xbd", 3); /* it began in half a character */
    assert_int_equal(strlen(odd), 3 + 254);
    json_decref(object);
}

static void test_line_over_the_cap_stays_valid(void **state)
{
    (void)state;
    char text[257];
    memset(text, 1, sizeof text - 1); /* each becomes six bytes */
    text[256] = '\0';
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    catch_lines();
    log_info("x", LOG_TEXT("a", text), LOG_TEXT("b", text), LOG_TEXT("c", text), LOG_TEXT("d", text),
             LOG_TEXT("e", text), LOG_TEXT("f", text), LOG_INT("g", 1));
    json_t *object = caught_object();
    assert_non_null(json_object_get(object, "e"));
    assert_null(json_object_get(object, "f"));
    assert_null(json_object_get(object, "g"));
    assert_true(json_is_true(json_object_get(object, "cut")));
    json_decref(object);
}

static void test_lower_levels_are_silent(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_WARN, LOG_FORMAT_JSON);
    catch_lines();
    log_info("no");
    log_debug("no");
    log_error("yes");
    json_t *object = caught_object();
    assert_string_equal(json_string_value(json_object_get(object, "message")), "yes");
    json_decref(object);
}

static void test_text_form_stays_one_line(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    catch_lines();
    log_warn("peer left", LOG_TEXT("peer", "10.0.0.1"), LOG_TEXT("name", "two words\n"),
             LOG_TEXT("empty", ""), LOG_INT("n", -3));
    (void)caught();
    assert_string_equal(strchr(heard, ' '),
                        " warn  peer left peer=10.0.0.1 name=\"two words\\n\" empty=\"\" n=-3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_is_one_json_object),
        cmocka_unit_test(test_peer_text_is_escaped),
        cmocka_unit_test(test_long_value_is_cut_between_characters),
        cmocka_unit_test(test_line_over_the_cap_stays_valid),
        cmocka_unit_test(test_lower_levels_are_silent),
        cmocka_unit_test(test_text_form_stays_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
