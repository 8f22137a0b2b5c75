/* Frames of a client: every rule of RFC 6455, section 5, whatever pieces the bytes come in. */
#include "protocol/ws_reader.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

enum { FRAME_MAX = 100000, INPUT_MAX = 300000, EVENTS_MAX = 64, FIN = 0x80, RSV1 = 0x40 };

/** What a reader said: payloads joined per frame. */
struct heard {
    struct ws_event last; /* its payload is gone */
    unsigned counts[WS_EVENT_FAULT + 1];
    unsigned messages, frames;
    char data[INPUT_MAX]; /* of data frames, in order */
    size_t data_length;
    char control[WS_CONTROL_MAX_BYTES]; /* of the last control frame */
    size_t control_length;
};

struct input {
    char bytes[INPUT_MAX];
    size_t length;
};

static struct heard heard;
static struct input input;

static void add_bytes(const void *bytes, size_t length)
{
    assert_true(input.length + length <= sizeof input.bytes);
    memcpy(input.bytes + input.length, bytes, length);
    input.length += length;
}

static void add_masked(const char *payload, size_t length)
{
    static const unsigned char mask[4] = {0xa1, 0x00, 0x5c, 0xff};
    add_bytes(mask, sizeof mask);
    for (size_t i = 0; i < length; i++) {
        char byte = (char)((unsigned char)payload[i] ^ mask[i & 3]);
        add_bytes(&byte, 1);
    }
}

/** A good head: the shortest form of the length, masked. */
static void add_frame(unsigned first, const char *payload, size_t length)
{
    unsigned char head[10] = {(unsigned char)first};
    size_t size = 2;
    if (length < 126) {
        head[1] = (unsigned char)(0x80 | length);
    } else if (length < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(length >> 8);
        head[3] = (unsigned char)length;
        size = 4;
    } else {
        head[1] = 0x80 | 127;
        for (unsigned i = 0; i < 8; i++) {
            head[2 + i] = (unsigned char)((uint64_t)length >> (56 - 8 * i));
        }
        size = 10;
    }
    add_bytes(head, size);
    add_masked(payload, length);
}

static void add_text(unsigned first, const char *payload)
{
    add_frame(first, payload, strlen(payload));
}

static void note(const struct ws_event *event)
{
    heard.last = *event;
    heard.counts[event->kind]++;
    if (event->kind == WS_EVENT_DATA) {
        memcpy(heard.data + heard.data_length, event->at, event->length);
        heard.data_length += event->length;
        heard.frames += event->is_last_of_frame;
        heard.messages += event->is_last_of_message;
    } else if (event->kind != WS_EVENT_FAULT) {
        memcpy(heard.control, event->at, event->length);
        heard.control_length = event->length;
    }
}

/** Feed the input in pieces of this size to a fresh reader, and forget it. */
static void read_in_pieces(size_t piece)
{
    static char copy[INPUT_MAX]; /* reading unmasks in place */
    struct ws_reader reader = {0};
    heard = (struct heard){0};
    memcpy(copy, input.bytes, input.length);
    for (size_t at = 0; at < input.length; at += piece) {
        size_t length = input.length - at < piece ? input.length - at : piece;
        char *from = copy + at;
        struct ws_event event;
        do {
            size_t used = 0;
            ws_reader_next(&reader, from, length, FRAME_MAX, &used, &event);
            assert_true(used <= length);
            from += used;
            length -= used;
            if (event.kind != WS_EVENT_NONE) {
                note(&event);
            }
        } while (event.kind != WS_EVENT_NONE);
        assert_int_equal(length, 0); /* WS_EVENT_NONE promises it */
    }
}

static const size_t pieces[] = {1, 2, 3, 5, 7, 13, 127, INPUT_MAX};
#define EACH_PIECE(i) for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)

static void expect_fault(enum ws_fault fault)
{
    EACH_PIECE(i) {
        read_in_pieces(pieces[i]);
        if (heard.counts[WS_EVENT_FAULT] != 1 || heard.last.fault != fault) {
            fail_msg("expected \"%s\" once, got %u faults, the last \"%s\"", ws_fault_name(fault),
                     heard.counts[WS_EVENT_FAULT], ws_fault_name(heard.last.fault));
        }
        assert_int_equal(ws_fault_code(fault), fault == WS_FAULT_TOO_BIG ? 1009 : 1002);
    }
    input.length = 0;
}

static int fresh(void **state)
{
    (void)state;
    input.length = 0;
    return 0;
}

static void test_messages_of_every_length_arrive_whole(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 124, 125, 126, 127, 128, 4096, 65535, 65536, FRAME_MAX};
    static char payload[FRAME_MAX];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (char)('a' + i % 23);
    }
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        input.length = 0;
        add_frame(FIN | 1, payload, lengths[l]);
        add_text(FIN | 1, "next");
        EACH_PIECE(i) {
            read_in_pieces(pieces[i]);
            assert_int_equal(heard.messages, 2);
            assert_int_equal(heard.frames, 2);
            assert_int_equal(heard.counts[WS_EVENT_FAULT], 0);
            assert_int_equal(heard.data_length, lengths[l] + 4);
            assert_memory_equal(heard.data, payload, lengths[l]);
            assert_memory_equal(heard.data + lengths[l], "next", 4);
            assert_false(heard.last.is_binary);
        }
    }
}

static void test_fragments_go_on_around_control_frames(void **state)
{
    (void)state;
    add_text(2, "one ");
    add_text(FIN | 9, "are you there");
    add_text(0, "two ");
    add_text(FIN | 10, "");
    add_text(FIN | 0, "three");
    EACH_PIECE(i) {
        read_in_pieces(pieces[i]);
        assert_int_equal(heard.messages, 1);
        assert_int_equal(heard.frames, 3);
        assert_int_equal(heard.counts[WS_EVENT_PING], 1);
        assert_int_equal(heard.counts[WS_EVENT_PONG], 1);
        assert_int_equal(heard.data_length, 13);
        assert_memory_equal(heard.data, "one two three", 13);
        assert_true(heard.last.is_binary); /* a continuation is what its message is */
    }
    input.length = 0;
    add_text(FIN | 9, "are you there");
    read_in_pieces(4);
    assert_int_equal(heard.control_length, 13);
    assert_memory_equal(heard.control, "are you there", 13);
}

static void test_rsv1_is_told_for_the_frame_that_has_it(void **state)
{
    (void)state;
    add_text(RSV1 | 1, "squeezed");
    read_in_pieces(INPUT_MAX);
    assert_true(heard.last.has_rsv1);
    add_text(FIN | 0, "rest");
    read_in_pieces(INPUT_MAX);
    assert_false(heard.last.has_rsv1);
    assert_int_equal(heard.messages, 1);
}

static void test_control_frames_of_the_longest_kind_are_whole(void **state)
{
    (void)state;
    char payload[WS_CONTROL_MAX_BYTES];
    memset(payload, 'p', sizeof payload);
    add_frame(FIN | 9, payload, sizeof payload);
    add_frame(FIN | 10, payload, sizeof payload);
    EACH_PIECE(i) {
        read_in_pieces(pieces[i]);
        assert_int_equal(heard.counts[WS_EVENT_PING], 1);
        assert_int_equal(heard.counts[WS_EVENT_PONG], 1);
        assert_int_equal(heard.control_length, sizeof payload);
        assert_memory_equal(heard.control, payload, sizeof payload);
    }
}

static void test_close_says_code_and_reason_and_ends_the_reading(void **state)
{
    (void)state;
    add_text(FIN | 8, "\x0f\xa0gr\xc3\xbc\xc3\x9f"
                      "e"); /* 4000, and a reason that is not ASCII */
    add_text(FIN | 1, "too late");
    EACH_PIECE(i) {
        read_in_pieces(pieces[i]);
        assert_int_equal(heard.counts[WS_EVENT_CLOSE], 1);
        assert_int_equal(heard.last.code, 4000);
        assert_int_equal(heard.control_length, 7);
        assert_memory_equal(heard.control,
                            "gr\xc3\xbc\xc3\x9f"
                            "e",
                            7);
        assert_int_equal(heard.counts[WS_EVENT_DATA], 0);
    }
    input.length = 0;
    add_frame(FIN | 8, "", 0);
    read_in_pieces(1);
    assert_int_equal(heard.last.kind, WS_EVENT_CLOSE);
    assert_int_equal(heard.last.code, WS_NO_CODE);
    assert_int_equal(heard.control_length, 0);
}

static void test_close_codes_that_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 65536; code++) {
        /* RFC 6455, 7.4, and the registry it began */
        bool is_good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                       (code >= 3000 && code <= 4999);
        char payload[2] = {(char)(code >> 8), (char)code};
        input.length = 0;
        add_frame(FIN | 8, payload, 2);
        read_in_pieces(INPUT_MAX);
        assert_int_equal(heard.last.kind, is_good ? WS_EVENT_CLOSE : WS_EVENT_FAULT);
        if (is_good) {
            assert_int_equal(heard.last.code, code);
        }
    }
}

static void test_close_frames_that_are_wrong(void **state)
{
    (void)state;
    add_frame(FIN | 8, "\x03", 1);
    expect_fault(WS_FAULT_CLOSE);
    add_text(FIN | 8, "\x03\xe8\xff");
    expect_fault(WS_FAULT_CLOSE);
    add_text(FIN | 8, "\x03\xe8"
                      "cut \xe2\x82");
    expect_fault(WS_FAULT_CLOSE);
}

static void test_unmasked_frames_are_refused(void **state)
{
    (void)state;
    add_bytes("\x81\x02hi", 4);
    expect_fault(WS_FAULT_UNMASKED);
}

static void test_reserved_bits_are_refused(void **state)
{
    (void)state;
    add_text(FIN | 0x20 | 1, "x");
    expect_fault(WS_FAULT_RESERVED_BIT);
    add_text(FIN | 0x10 | 1, "x");
    expect_fault(WS_FAULT_RESERVED_BIT);
    add_text(FIN | RSV1 | 9, "x"); /* a control frame is never compressed */
    expect_fault(WS_FAULT_RESERVED_BIT);
}

static void test_unknown_opcodes_are_refused(void **state)
{
    (void)state;
    static const unsigned unknown[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        add_text(FIN | unknown[i], "x");
        expect_fault(WS_FAULT_OPCODE);
    }
}

static void test_control_frames_are_short_and_in_one_piece(void **state)
{
    (void)state;
    char payload[126] = {0};
    for (unsigned opcode = 8; opcode <= 10; opcode++) {
        add_frame(FIN | opcode, payload, sizeof payload);
        expect_fault(WS_FAULT_LONG_CONTROL);
        add_text(opcode, "x");
        expect_fault(WS_FAULT_FRAGMENTED_CONTROL);
    }
}

static void test_continuations_belong_to_a_message(void **state)
{
    (void)state;
    add_text(FIN | 0, "of what?");
    expect_fault(WS_FAULT_NOTHING_TO_CONTINUE);
    add_text(FIN | 1, "whole");
    add_text(FIN | 0, "of what?");
    expect_fault(WS_FAULT_NOTHING_TO_CONTINUE);
    add_text(1, "begun");
    add_text(FIN | 1, "another");
    expect_fault(WS_FAULT_INTERLEAVED);
}

static void test_lengths_are_in_their_shortest_form(void **state)
{
    (void)state;
    add_bytes("\x81\xfe\x00\x7d", 4);
    add_masked("x", 1);
    expect_fault(WS_FAULT_LENGTH);
    add_bytes("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", 10);
    add_masked("x", 1);
    expect_fault(WS_FAULT_LENGTH);
    add_bytes("\x81\xff\x80\x00\x00\x00\x00\x01\x00\x00", 10);
    add_masked("x", 1);
    expect_fault(WS_FAULT_LENGTH);
}

static void test_frames_over_the_cap_are_refused_before_their_payload(void **state)
{
    (void)state;
    unsigned char head[10] = {0x81, 0xff};
    for (unsigned i = 0; i < 8; i++) {
        head[2 + i] = (unsigned char)((uint64_t)(FRAME_MAX + 1) >> (56 - 8 * i));
    }
    add_bytes(head, sizeof head);
    add_masked("", 0);
    expect_fault(WS_FAULT_TOO_BIG);
}

static void test_nothing_is_read_after_a_fault(void **state)
{
    (void)state;
    add_text(FIN | 1, "good");
    add_bytes("\x81\x02hi", 4);
    add_text(FIN | 1, "good");
    add_text(FIN | 8, "\x03\xe8");
    EACH_PIECE(i) {
        read_in_pieces(pieces[i]);
        assert_int_equal(heard.messages, 1);
        assert_int_equal(heard.counts[WS_EVENT_FAULT], 1);
        assert_int_equal(heard.counts[WS_EVENT_CLOSE], 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(test_messages_of_every_length_arrive_whole),
        TEST(test_fragments_go_on_around_control_frames),
        TEST(test_rsv1_is_told_for_the_frame_that_has_it),
        TEST(test_control_frames_of_the_longest_kind_are_whole),
        TEST(test_close_says_code_and_reason_and_ends_the_reading),
        TEST(test_close_codes_that_may_be_sent),
        TEST(test_close_frames_that_are_wrong),
        TEST(test_unmasked_frames_are_refused),
        TEST(test_reserved_bits_are_refused),
        TEST(test_unknown_opcodes_are_refused),
        TEST(test_control_frames_are_short_and_in_one_piece),
        TEST(test_continuations_belong_to_a_message),
        TEST(test_lengths_are_in_their_shortest_form),
        TEST(test_frames_over_the_cap_are_refused_before_their_payload),
        TEST(test_nothing_is_read_after_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
