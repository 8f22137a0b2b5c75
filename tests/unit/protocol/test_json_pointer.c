/* The document and pointers of RFC 6901, section 5, and pointers that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "protocol/json_pointer.h"

static const char document_text[] =
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
    "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}";

static json_t *document;

static int read_document(void **state)
{
    (void)state;
    document = json_loads(document_text, 0, NULL);
    return document ? 0 : -1;
}

static int free_document(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

static void test_the_pointers_of_the_standard(void **state)
{
    (void)state;
    static const struct {
        const char *pointer;
        int number;
    } cases[] = {{"/", 0},     {"/a~1b", 1}, {"/c%d", 2}, {"/e^f", 3}, {"/g|h", 4},
                 {"/i\\j", 5}, {"/k\"l", 6}, {"/ ", 7},   {"/m~0n", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *value = json_pointer_get(document, cases[i].pointer);
        if (!json_is_integer(value) || json_integer_value(value) != cases[i].number) {
            fail_msg("%s is not %d", cases[i].pointer, cases[i].number);
        }
    }
    assert_ptr_equal(json_pointer_get(document, ""), document);
    assert_ptr_equal(json_pointer_get(document, "/foo"), json_object_get(document, "foo"));
    assert_string_equal(json_string_value(json_pointer_get(document, "/foo/0")), "bar");
    assert_string_equal(json_string_value(json_pointer_get(document, "/foo/1")), "baz");
}

static void test_nothing_is_where_nothing_stands(void **state)
{
    (void)state;
    static const char *const pointers[] = {
        "/foo/2",   "/foo/-",      "/foo/01", "/foo/-1", "/foo/", "/foo/0/",         "/nothing",
        "/foo/bar", "/foo/0/more", "/ /x",    "//",      "/FOO",  "/foo/0000000000", "/foo/4294967296"};
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
        assert_true(json_pointer_is_valid(pointers[i]));
        if (json_pointer_get(document, pointers[i])) {
            fail_msg("there is something at %s", pointers[i]);
        }
    }
    assert_null(json_pointer_get(NULL, "/foo"));
}

static void test_what_is_no_pointer(void **state)
{
    (void)state;
    static const char *const texts[] = {"foo", "0", "~0", "/m~n", "/m~", "/~2", " /foo", "#/foo"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (json_pointer_is_valid(texts[i]) || json_pointer_get(document, texts[i])) {
            fail_msg("\"%s\" was taken for a pointer", texts[i]);
        }
    }
}

static void test_length_and_depth_have_an_end(void **state)
{
    (void)state;
    char pointer[JSON_POINTER_MAX_BYTES + 2] = "/";
    memset(pointer + 1, 'a', JSON_POINTER_MAX_BYTES);
    assert_false(json_pointer_is_valid(pointer));
    pointer[JSON_POINTER_MAX_BYTES] = '\0';
    assert_true(json_pointer_is_valid(pointer));
    assert_null(json_pointer_get(document, pointer));
    memset(pointer, '/', JSON_POINTER_MAX_STEPS + 1);
    pointer[JSON_POINTER_MAX_STEPS + 1] = '\0';
    assert_false(json_pointer_is_valid(pointer));
    pointer[JSON_POINTER_MAX_STEPS] = '\0';
    assert_true(json_pointer_is_valid(pointer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_pointers_of_the_standard),
        cmocka_unit_test(test_nothing_is_where_nothing_stands),
        cmocka_unit_test(test_what_is_no_pointer),
        cmocka_unit_test(test_length_and_depth_have_an_end),
    };
    return cmocka_run_group_tests(tests, read_document, free_document);
}
