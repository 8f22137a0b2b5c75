/* Reading the text of a value that is on a board, without a JSON parser and without a terminating NUL. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"

/* The amount found, or "none". The text lies in memory of exactly its size, so that ASan sees who reads on. */
static const char *amount_of(const char *text)
{
    static char found[64];
    size_t length = strlen(text);
    char *exact = malloc(length ? length : 1);
    memcpy(exact, text, length);
    const char *token = NULL;
    size_t token_length = 0;
    bool is_there = value_peek_amount(exact, length, &token, &token_length);
    if (is_there) {
        assert_true(token_length < sizeof found);
        memcpy(found, token, token_length);
        found[token_length] = '\0';
    }
    free(exact);
    return is_there ? found : "none";
}

static void test_an_amount_is_found_only_where_the_state_is_ok(void **state)
{
    (void)state;
    assert_string_equal(amount_of("{\"as_of\":1000,\"v\":7}"), "7");
    assert_string_equal(amount_of("{\"as_of\":-5,\"v\":-1.5e+20,\"ver\":3}"), "-1.5e+20");
    assert_string_equal(amount_of("{\"as_of\":1000,\"v\":\"1284300.50\",\"level\":\"warn\"}"),
                        "\"1284300.50\"");
    const char *const others[] = {
        "{\"as_of\":1000,\"state\":\"invalid\",\"reason\":\"r\",\"v\":7}",
        "{\"as_of\":1000,\"v\":\"running\"}",
        "{\"as_of\":1000,\"v\":{\"a\":1}}",
        "{\"as_of\":1000,\"v\":\"\"}",
        "{\"as_of\":1000,\"v\":true}",
        "{\"as_of\":1000}",
        "{\"v\":7,\"as_of\":1000}",
        "",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_string_equal(amount_of(others[i]), "none");
    }
}

static void test_no_cut_text_has_an_amount(void **state)
{
    (void)state;
    const char whole[] = "{\"as_of\":1000,\"v\":\"12.50\"}";
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        char cut[sizeof whole] = "";
        memcpy(cut, whole, length);
        assert_string_equal(amount_of(cut), "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_amount_is_found_only_where_the_state_is_ok),
        cmocka_unit_test(test_no_cut_text_has_an_amount),
    };
    return cmocka_run_group_tests_name("value_text", tests, NULL, NULL);
}
