/* Wire forms byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "fanout/frame.h"

static void assert_ws_frame(size_t length, const uint8_t *header, size_t header_length)
{
    char *message = malloc(length + 1);
    assert_non_null(message);
    memset(message, 'x', length + 1);
    struct frame *frame = frame_create(WIRE_WS, "update", NULL, message, length);
    assert_non_null(frame);
    assert_int_equal(frame->length, header_length + length);
    assert_memory_equal(frame->bytes, header, header_length);
    assert_memory_equal(frame->bytes + header_length, message, length);
    frame_unref(frame);
    free(message);
}

static void test_websocket_headers_use_the_shortest_length_form(void **state)
{
    (void)state;
    assert_ws_frame(0, (const uint8_t[]){0x81, 0}, 2);
    assert_ws_frame(1, (const uint8_t[]){0x81, 1}, 2);
    assert_ws_frame(125, (const uint8_t[]){0x81, 125}, 2);
    assert_ws_frame(126, (const uint8_t[]){0x81, 126, 0, 126}, 4);
    assert_ws_frame(258, (const uint8_t[]){0x81, 126, 1, 2}, 4);
    assert_ws_frame(65535, (const uint8_t[]){0x81, 126, 0xff, 0xff}, 4);
    assert_ws_frame(65536, (const uint8_t[]){0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 10);
    assert_ws_frame(0x123456, (const uint8_t[]){0x81, 127, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56}, 10);
}

static void assert_sse(const char *event, const struct position *position, const char *message,
                       const char *expected)
{
    struct frame *frame = frame_create(WIRE_SSE, event, position, message, strlen(message));
    assert_non_null(frame);
    assert_int_equal(frame->length, strlen(expected));
    assert_memory_equal(frame->bytes, expected, frame->length);
    frame_unref(frame);
}

static void test_an_event_stream_carries_id_event_and_data(void **state)
{
    (void)state;
    const struct position position = {.epoch = 0x6f1c0d9e2b7a4455, .offset = 1284, .nonce = 0x9f3a2b1c};
    assert_sse("update", &position, "{\"a\":1}",
               "id: 6f1c0d9e2b7a4455.1284.9f3a2b1c\nevent: update\ndata: {\"a\":1}\n\n");
    assert_sse("heartbeat", NULL, "{}", "event: heartbeat\ndata: {}\n\n");
    const struct position longest = {.epoch = UINT64_MAX, .offset = 9007199254740991, .nonce = UINT32_MAX};
    assert_sse("snapshot", &longest, "{}",
               "id: ffffffffffffffff.9007199254740991.ffffffff\nevent: snapshot\ndata: {}\n\n");
}

static void test_a_deflated_frame_has_rsv1_and_is_smaller_or_there_is_none(void **state)
{
    (void)state;
    static char message[DEFLATE_MAX_BYTES + 1];
    static const size_t sizes[] = {100, 126, 1000, 65535, 65536, DEFLATE_MAX_BYTES};
    struct deflater *deflater = deflater_create();
    assert_non_null(deflater);
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = (char)('a' + i % 19);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct frame *frame = frame_create_deflated(deflater, message, sizes[i]);
        assert_non_null(frame);
        size_t header = frame->bytes[1] < 126 ? 2 : 4;
        size_t payload = header == 2 ? frame->bytes[1] : (size_t)(frame->bytes[2] << 8 | frame->bytes[3]);
        assert_int_equal(frame->bytes[0], 0xc1);
        assert_int_equal(frame->length, header + payload);
        assert_true(frame->length < sizes[i]);
        uint8_t expected[1000];
        size_t length = 0;
        assert_true(deflater_run(deflater, message, sizes[i], expected, sizeof expected, &length));
        assert_int_equal(payload, length);
        assert_memory_equal(frame->bytes + header, expected, length);
        frame_unref(frame);
    }
    assert_null(frame_create_deflated(deflater, message, DEFLATE_MAX_BYTES + 1));
    assert_null(frame_create_deflated(deflater, "{\"a\":1}", 7));
    assert_null(frame_create_deflated(deflater, "", 0));
    deflater_destroy(deflater);
}

static void test_a_frame_lives_as_long_as_someone_holds_it(void **state)
{
    (void)state;
    struct frame *frame = frame_create(WIRE_WS, "update", NULL, "{}", 2);
    assert_ptr_equal(frame_ref(frame), frame);
    frame_unref(frame);
    assert_memory_equal(frame->bytes + 2, "{}", 2);
    frame_unref(frame);
    frame_unref(NULL);
}

static void test_without_memory_there_is_no_frame(void **state)
{
    (void)state;
    allocations_fail_one_after(0);
    assert_null(frame_create(WIRE_SSE, "update", NULL, "{}", 2));
    assert_true(allocations_recover());
    struct deflater *deflater = deflater_create();
    allocations_fail_one_after(0);
    assert_null(frame_create_deflated(deflater, "{}", 2));
    assert_true(allocations_recover());
    deflater_destroy(deflater);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_websocket_headers_use_the_shortest_length_form),
        cmocka_unit_test(test_an_event_stream_carries_id_event_and_data),
        cmocka_unit_test(test_a_deflated_frame_has_rsv1_and_is_smaller_or_there_is_none),
        cmocka_unit_test(test_a_frame_lives_as_long_as_someone_holds_it),
        cmocka_unit_test(test_without_memory_there_is_no_frame),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
