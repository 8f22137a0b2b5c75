/* PROXY headers: good ones of both versions in every number of pieces, and those that are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TEXT(literal) literal, sizeof(literal) - 1

struct good {
    const char *bytes;
    size_t length;
    const char *client; /* "": not known */
    bool is_local;
};

static const struct good goods[] = {
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n"), "192.0.2.1", false},
    {TEXT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255", false},
    {TEXT("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), "2001:db8::1", false},
    {TEXT("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1", false},
    {TEXT("PROXY UNKNOWN\r\n"), "", false},
    {TEXT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "", false},
    {TEXT(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb"), "192.0.2.1", false},
    {TEXT(SIGNATURE "\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb\x04\x00\x01\x00"),
     "192.0.2.1", false}, /* with a TLV */
    {TEXT(SIGNATURE "\x21\x21\x00\x24"
                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                    "\0\x01\0\x02"),
     "2001:db8::1", false},
    {TEXT(SIGNATURE "\x20\x00\x00\x00"), "", true},
    {TEXT(SIGNATURE "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb"), "", true},
    {TEXT(SIGNATURE "\x21\x00\x00\x03"
                    "abc"),
     "", false},
};

/** In memory of its own length, so that a step beyond it is seen. */
static enum proxy_header_state parse(const char *bytes, size_t length, struct proxy_header *out_header)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    enum proxy_header_state state = proxy_header_parse(copy, length, out_header);
    free(copy);
    return state;
}

static void test_good_headers_name_the_client_and_are_partial_until_their_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        struct proxy_header header;
        char with_more[600];
        char text[IP_ADDRESS_TEXT_BYTES];
        for (size_t length = 0; length < goods[i].length; length++) {
            if (parse(goods[i].bytes, length, &header) != PROXY_HEADER_PARTIAL) {
                fail_msg("header %zu after %zu bytes", i, length);
            }
        }
        memcpy(with_more, goods[i].bytes, goods[i].length);
        memcpy(with_more + goods[i].length, "GET /\n", 6);
        for (size_t more = 0; more <= 6; more += 6) {
            assert_int_equal(parse(with_more, goods[i].length + more, &header), PROXY_HEADER_WHOLE);
            assert_int_equal(header.length, goods[i].length);
            assert_int_equal(header.is_local, goods[i].is_local);
            ip_address_print(&header.client, text);
            assert_string_equal(text, goods[i].client);
        }
    }
}

static void test_bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {TEXT("GET / HTTP/1.1\r\n")},
        {TEXT("\x16\x03\x01\x02")},
        {TEXT("proxy ")},
        {TEXT("PROXY\r\n")},
        {TEXT("PROXY \r\n")},
        {TEXT("PROXY  UNKNOWN\r\n")},
        {TEXT("PROXY UNKNOWN\n")},
        {TEXT("PROXY UNKNOWNX\r\n")},
        {TEXT("PROXY TCP4\r\n")},
        {TEXT("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n")},
        {TEXT("PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n")},
        {TEXT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n")},
        {TEXT("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.300 192.0.2.2 1 2\r\n")},
        {TEXT("PROXY TCP4 192.0.2.1 \0 1 2\r\n")},
        {TEXT("\r\n\r\n\0\r\nQUIT\r")},
        {TEXT(SIGNATURE "\x31\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb")}, /* version 3 */
        {TEXT(SIGNATURE "\x22\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb")}, /* no command */
        {TEXT(SIGNATURE "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb")}, /* UDP */
        {TEXT(SIGNATURE "\x21\x41\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb")},
        {TEXT(SIGNATURE "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01")}, /* too short */
        {TEXT(SIGNATURE "\x21\x21\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb")},
        {TEXT(SIGNATURE "\x21\x11\xff\xff")}, /* longer than anybody needs */
        {TEXT(SIGNATURE "\x21\x11\x03\xf1")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proxy_header header = {.length = 4711};
        if (parse(cases[i].bytes, cases[i].length, &header) != PROXY_HEADER_BAD || header.length != 4711) {
            fail_msg("header %zu was taken", i);
        }
    }
}

static void test_nobody_can_make_us_read_without_end(void **state)
{
    (void)state;
    char line[200] = "PROXY ";
    struct proxy_header header;
    memset(line + 6, 'x', sizeof line - 6);
    assert_int_equal(parse(line, 106, &header), PROXY_HEADER_PARTIAL);
    assert_int_equal(parse(line, 107, &header), PROXY_HEADER_BAD);
    char longest[PROXY_HEADER_MAX_BYTES] = SIGNATURE "\x20\x00\x03\xf0";
    assert_int_equal(parse(longest, sizeof longest - 1, &header), PROXY_HEADER_PARTIAL);
    assert_int_equal(parse(longest, sizeof longest, &header), PROXY_HEADER_WHOLE);
    assert_int_equal(header.length, PROXY_HEADER_MAX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_headers_name_the_client_and_are_partial_until_their_end),
        cmocka_unit_test(test_bad_headers_are_refused),
        cmocka_unit_test(test_nobody_can_make_us_read_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
