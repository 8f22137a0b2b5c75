/* The texts of RFC 4648, section 10, and those that are nearly base64. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "access/base64.h"

static void test_the_texts_of_the_standard(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[16];
        unsigned char bytes[16];
        size_t length = 99, count = strlen(pairs[i][0]);
        base64_encode((const unsigned char *)pairs[i][0], count, text);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(strlen(text) + 1, BASE64_TEXT_BYTES(count));
        assert_true(base64_decode(BASE64_STANDARD, text, strlen(text), bytes, sizeof bytes, &length));
        assert_int_equal(length, count);
        assert_memory_equal(bytes, pairs[i][0], count);
        text[strcspn(text, "=")] = '\0';
        assert_true(base64_decode(BASE64_URL, text, strlen(text), bytes, sizeof bytes, &length));
        assert_int_equal(length, count);
        assert_memory_equal(bytes, pairs[i][0], count);
    }
}

static void test_the_alphabets_differ_in_two_letters(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0xfb, 0xff, 0xbf};
    unsigned char out[3];
    size_t length = 0;
    assert_true(base64_decode(BASE64_STANDARD, "+/+/", 4, out, sizeof out, &length));
    assert_memory_equal(out, bytes, 3);
    assert_true(base64_decode(BASE64_URL, "-_-_", 4, out, sizeof out, &length));
    assert_memory_equal(out, bytes, 3);
    assert_false(base64_decode(BASE64_STANDARD, "-_-_", 4, out, sizeof out, &length));
    assert_false(base64_decode(BASE64_URL, "+/+/", 4, out, sizeof out, &length));
}

static void test_nothing_else_is_base64(void **state)
{
    (void)state;
    static const struct {
        enum base64_alphabet alphabet;
        const char *text;
    } cases[] = {
        {BASE64_STANDARD, "Zg"},    {BASE64_STANDARD, "Zg="},
        {BASE64_STANDARD, "Zg==="}, {BASE64_STANDARD, "Zh=="},
        {BASE64_STANDARD, "Zm9="},  {BASE64_STANDARD, "===="},
        {BASE64_STANDARD, "Z=g="},  {BASE64_STANDARD, "Zg==Zg=="},
        {BASE64_STANDARD, "Zm 9v"}, {BASE64_STANDARD, "Zm9v\n"},
        {BASE64_STANDARD, " Zm9"},  {BASE64_STANDARD, "Zm\xc3\xb6"},
        {BASE64_URL, "Zg=="},       {BASE64_URL, "Z"},
        {BASE64_URL, "Zh"},         {BASE64_URL, "Zm9vY"},
        {BASE64_URL, "Zm9"},
    };
    unsigned char out[16];
    size_t length = 7;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (base64_decode(cases[i].alphabet, cases[i].text, strlen(cases[i].text), out, sizeof out,
                          &length)) {
            fail_msg("\"%s\" was decoded", cases[i].text);
        }
    }
    assert_int_equal(length, 7);
    assert_false(base64_decode(BASE64_STANDARD, "Zm\0v", 4, out, sizeof out, &length));
}

static void test_bytes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    unsigned char out[4] = {1, 2, 3, 4};
    size_t length = 0;
    assert_false(base64_decode(BASE64_STANDARD, "Zm9v", 4, out, 2, &length));
    assert_int_equal(out[2], 3);
    assert_true(base64_decode(BASE64_STANDARD, "Zm9v", 4, out, 3, &length));
    assert_int_equal(out[3], 4);
    assert_true(base64_decode(BASE64_STANDARD, "", 0, out, 0, &length));
    assert_int_equal(length, 0);
}

static void test_every_length_comes_back_from_the_url_alphabet(void **context)
{
    (void)context;
    unsigned char bytes[64], back[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(255 - i * 37);
    }
    for (size_t length = 0; length <= sizeof bytes; length++) {
        struct bytes text;
        size_t decoded = SIZE_MAX;
        bytes_init(&text, 256);
        base64url_append(&text, bytes, length);
        assert_int_equal(text.length, (length * 4 + 2) / 3);
        assert_true(base64_decode(BASE64_URL, text.at ? text.at : "", text.length, back, length, &decoded));
        assert_int_equal(decoded, length);
        assert_memory_equal(back, bytes, length);
        if (length > 0) {
            assert_false(base64_decode(BASE64_URL, text.at, text.length, back, length - 1, &decoded));
        }
        bytes_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_comes_back_from_the_url_alphabet),
        cmocka_unit_test(test_the_texts_of_the_standard),
        cmocka_unit_test(test_the_alphabets_differ_in_two_letters),
        cmocka_unit_test(test_nothing_else_is_base64),
        cmocka_unit_test(test_bytes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
