/* The deflater against zlib's inflate with the window that the handshake promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "fanout/deflate.h"

static char message[DEFLATE_MAX_BYTES];
static uint8_t deflated[2 * DEFLATE_MAX_BYTES];
static unsigned char inflated[DEFLATE_MAX_BYTES + 1];

/* Rows as a board has them: alike, not the same. */
static void fill_with_rows(void)
{
    size_t at = 0;
    for (unsigned row = 0; at < sizeof message; row++) {
        char text[64];
        int length = snprintf(text, sizeof text, "{\"k.%u\":{\"as_of\":%u,\"v\":\"%u\"}}", row % 97,
                              row * 7919, row * row);
        for (int i = 0; i < length && at < sizeof message; i++) {
            message[at++] = text[i];
        }
    }
}

static void fill_with_noise(void)
{
    uint32_t noise = 1;
    for (size_t i = 0; i < sizeof message; i++) {
        noise = noise * 1664525 + 1013904223;
        message[i] = (char)(noise >> 24);
    }
}

/* As a viewer that keeps no window does. */
static void assert_inflates_to(size_t payload, size_t length)
{
    z_stream stream = {0};
    assert_int_equal(inflateInit2(&stream, -DEFLATE_WINDOW_BITS), Z_OK);
    memcpy(deflated + payload, "\0\0\xff\xff", 4);
    stream.next_in = deflated;
    stream.avail_in = (uInt)payload + 4;
    stream.next_out = inflated;
    stream.avail_out = sizeof inflated;
    assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(sizeof inflated - stream.avail_out, length);
    assert_memory_equal(inflated, message, length);
    (void)inflateEnd(&stream); /* it fails only for a stream that is none */
}

static void test_every_size_comes_back_from_an_empty_window(void **state)
{
    (void)state;
    struct deflater *deflater = deflater_create();
    static const size_t sizes[] = {1,         2,
                                   3,         64,
                                   65,        511,
                                   512,       4095,
                                   4096,      4097,
                                   16384,     32768,
                                   65536,     DEFLATE_MAX_BYTES - 1,
                                   2,         1,
                                   65535,     5,
                                   100 * 100, DEFLATE_MAX_BYTES};
    for (int noisy = 0; noisy < 2; noisy++) {
        noisy ? fill_with_noise() : fill_with_rows();
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t payload = 0;
            assert_true(deflater_run(deflater, message, sizes[i], deflated, sizeof deflated - 4, &payload));
            assert_inflates_to(payload, sizes[i]);
        }
    }
    deflater_destroy(deflater);
    deflater_destroy(NULL);
}

static void test_rows_become_much_smaller(void **state)
{
    (void)state;
    struct deflater *deflater = deflater_create();
    size_t payload = 0;
    fill_with_rows();
    assert_true(deflater_run(deflater, message, 20000, deflated, sizeof deflated, &payload));
    assert_in_range(payload, 100, 20000 / 3);
    deflater_destroy(deflater);
}

static void test_what_does_not_fit_is_refused_and_spoils_nothing(void **state)
{
    (void)state;
    struct deflater *deflater = deflater_create();
    size_t payload = 12345;
    for (size_t length = 0; length < 3000; length += 7) {
        fill_with_noise();
        memset(deflated, 0xa5, sizeof deflated);
        assert_false(deflater_run(deflater, message, length, deflated, length, &payload));
        assert_int_equal(payload, 12345);
        assert_int_equal(deflated[length], 0xa5);
        fill_with_rows();
        assert_true(deflater_run(deflater, message, 3000, deflated, sizeof deflated, &payload));
        assert_inflates_to(payload, 3000);
        payload = 12345;
    }
    deflater_destroy(deflater);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_comes_back_from_an_empty_window),
        cmocka_unit_test(test_rows_become_much_smaller),
        cmocka_unit_test(test_what_does_not_fit_is_refused_and_spoils_nothing),
    };
    return cmocka_run_group_tests_name("deflate", tests, NULL, NULL);
}
