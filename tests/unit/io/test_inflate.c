/* Payloads as any client may deflate them, broken ones, and bombs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "io/inflate.h"

enum { MAX_BYTES = 16384, PAYLOAD_MAX_BYTES = 1 << 20 };

static char payload[PAYLOAD_MAX_BYTES + 8];
static size_t payload_length;
static char text[1 << 20];

/* flush Z_SYNC_FLUSH: as RFC 7692, 7.2.1 says; Z_FINISH: a last block and the zero byte of 7.2.3.4. */
static void deflate_text(size_t length, int level, int window_bits, int strategy, int flush)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, level, Z_DEFLATED, -window_bits, 8, strategy), Z_OK);
    stream.next_in = (Bytef *)text;
    stream.avail_in = (uInt)length;
    stream.next_out = (Bytef *)payload;
    stream.avail_out = PAYLOAD_MAX_BYTES;
    assert_int_equal(deflate(&stream, flush), flush == Z_FINISH ? Z_STREAM_END : Z_OK);
    payload_length = PAYLOAD_MAX_BYTES - stream.avail_out;
    if (flush == Z_FINISH) {
        payload[payload_length++] = '\0';
    } else {
        payload_length -= 4;
    }
    (void)deflateEnd(&stream); /* Z_DATA_ERROR: the stream goes on */
}

static void fill_text(size_t length)
{
    for (size_t i = 0; i < length; i++) {
        text[i] = "{\"type\":\"hello\",\"token\":42}"[i * i % 27];
    }
}

static enum result run(struct inflater *inflater, size_t max_bytes, size_t *out_length)
{
    const char *out_text = NULL;
    enum result result = inflater_run(inflater, payload, payload_length, max_bytes, &out_text, out_length);
    if (result == RESULT_OK) {
        assert_memory_equal(out_text, text, *out_length);
    }
    return result;
}

static void assert_works(struct inflater *inflater)
{
    size_t length = 0;
    fill_text(300);
    deflate_text(300, 6, 15, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH);
    assert_int_equal(run(inflater, MAX_BYTES, &length), RESULT_OK);
    assert_int_equal(length, 300);
}

static void test_every_kind_of_payload_comes_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 4095, 4096, 4097, 8192, MAX_BYTES};
    static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY};
    struct inflater *inflater = inflater_create();
    fill_text(MAX_BYTES);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int level = 0; level <= 9; level += 3) {
            for (int window_bits = 9; window_bits <= 15; window_bits += 3) {
                for (int strategy = 0; strategy < 3; strategy++) {
                    for (int finish = 0; finish < 2; finish++) {
                        size_t length = 12345;
                        deflate_text(sizes[i], level, window_bits, strategies[strategy],
                                     finish ? Z_FINISH : Z_SYNC_FLUSH);
                        assert_int_equal(run(inflater, MAX_BYTES, &length), RESULT_OK);
                        assert_int_equal(length, sizes[i]);
                    }
                }
            }
        }
    }
    inflater_destroy(inflater);
    inflater_destroy(NULL);
}

static void test_messages_in_several_streams_are_one(void **state)
{
    (void)state;
    struct inflater *inflater = inflater_create();
    char both[2000];
    size_t at = 0;
    fill_text(500);
    for (int part = 0; part < 2; part++) {
        deflate_text(500, 6, 15, Z_DEFAULT_STRATEGY, Z_FINISH);
        memcpy(both + at, payload, payload_length);
        at += payload_length - (part == 0 ? 1 : 0);
    }
    memcpy(payload, both, at);
    payload_length = at;
    memcpy(text + 500, text, 500);
    size_t length = 0;
    assert_int_equal(run(inflater, MAX_BYTES, &length), RESULT_OK);
    assert_int_equal(length, 1000);
    inflater_destroy(inflater);
}

static void test_the_cap_is_exact_and_a_bomb_stops_at_it(void **state)
{
    (void)state;
    struct inflater *inflater = inflater_create();
    size_t length = 0;
    fill_text(5000);
    deflate_text(5000, 6, 15, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH);
    assert_int_equal(run(inflater, 5000, &length), RESULT_OK);
    assert_int_equal(length, 5000);
    assert_int_equal(run(inflater, 4999, &length), RESULT_TOO_BIG);
    assert_int_equal(run(inflater, 1, &length), RESULT_TOO_BIG);
    assert_int_equal(run(inflater, 5000, &length), RESULT_OK);
    memset(text, 0, sizeof text);
    deflate_text(sizeof text, 9, 15, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH);
    assert_true(payload_length < 1100); /* a megabyte in a kilobyte */
    assert_int_equal(run(inflater, MAX_BYTES, &length), RESULT_TOO_BIG);
    assert_works(inflater);
    inflater_destroy(inflater);
}

static void test_a_payload_cut_short_is_none(void **state)
{
    (void)state;
    struct inflater *inflater = inflater_create();
    for (int strategy = 0; strategy < 2; strategy++) {
        fill_text(700);
        deflate_text(700, 6, 15, strategy ? Z_FIXED : Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH);
        size_t whole = payload_length;
        for (payload_length = 0; payload_length < whole; payload_length++) {
            size_t length = 0;
            const char *ignored = NULL;
            assert_int_equal(inflater_run(inflater, payload, payload_length, MAX_BYTES, &ignored, &length),
                             RESULT_MALFORMED);
        }
    }
    assert_works(inflater);
    inflater_destroy(inflater);
}

static void test_garbage_and_references_to_earlier_messages_are_malformed(void **state)
{
    (void)state;
    struct inflater *inflater = inflater_create();
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\xff", 1},                  /* no such kind of block */
        {"\x06\x00", 2},              /* the same */
        {"\x00\x05\x00\x00\x00x", 6}, /* a length that its complement contradicts */
        {"\x4b\x04\x22\x00", 4},      /* refers to what is not there */
        {"{\"type\":\"hello\"}", 16},
    };
    const char *ignored = NULL;
    size_t length = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            inflater_run(inflater, cases[i].bytes, cases[i].length, MAX_BYTES, &ignored, &length),
            RESULT_MALFORMED);
        assert_works(inflater);
    }
    /* A client that ignores client_no_context_takeover: its second message refers to the first. */
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    fill_text(1000);
    for (int message = 0; message < 2; message++) {
        stream.next_in = (Bytef *)text;
        stream.avail_in = 1000;
        stream.next_out = (Bytef *)payload;
        stream.avail_out = PAYLOAD_MAX_BYTES;
        assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
        payload_length = PAYLOAD_MAX_BYTES - stream.avail_out - 4;
        assert_int_equal(inflater_run(inflater, payload, payload_length, MAX_BYTES, &ignored, &length),
                         message == 0 ? RESULT_OK : RESULT_MALFORMED);
    }
    (void)deflateEnd(&stream); /* Z_DATA_ERROR: the stream goes on */
    assert_works(inflater);
    inflater_destroy(inflater);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_payload_comes_back),
        cmocka_unit_test(test_messages_in_several_streams_are_one),
        cmocka_unit_test(test_the_cap_is_exact_and_a_bomb_stops_at_it),
        cmocka_unit_test(test_a_payload_cut_short_is_none),
        cmocka_unit_test(test_garbage_and_references_to_earlier_messages_are_malformed),
    };
    return cmocka_run_group_tests_name("inflate", tests, NULL, NULL);
}
