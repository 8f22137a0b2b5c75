/* A viewer's words: messages come out whole however the bytes arrive, and what ends a connection is told apart. */
#include "loadtest/load/load_viewer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG_BYTES = 700000 };

struct bed {
    struct scenario scenario;
    struct load_wire wire;
    struct load_address address;
    struct load_viewer viewer;
    int server; /* the other end */
    char seen[4096];
    size_t messages, longest, wire_bytes;
};

static void on_message(void *context, struct load_viewer *viewer, const struct load_message *message,
                       uint64_t now_us)
{
    struct bed *bed = context;
    (void)viewer;
    assert_true(now_us > 0);
    size_t used = strlen(bed->seen);
    snprintf(bed->seen + used, sizeof bed->seen - used, "%.*s|%.*s;", (int)message->id_length, message->id,
             message->length < 100 ? (int)message->length : 0, message->text);
    bed->messages++;
    bed->longest = message->length > bed->longest ? message->length : bed->longest;
    bed->wire_bytes += message->wire_bytes;
}

static int set_up(void **state)
{
    static struct bed bed;
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    int ends[2];
    bed = (struct bed){0};
    assert_int_equal(
        scenario_read(json_loads("{\"name\":\"a\",\"boards\":[{\"board\":\"b\"}],\"max_rate\":2}", 0, NULL),
                      &bed.scenario, problem),
        RESULT_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_true(load_address_parse("http://127.0.0.1:80", 19, &bed.address));
    bed.wire = (struct load_wire){
        .scenario = &bed.scenario, .addresses = &bed.address, .on_message = on_message, .context = &bed};
    assert_true(load_wire_init(&bed.wire));
    bed.viewer = (struct load_viewer){.stream.fd = ends[0]};
    bed.server = ends[1];
    *state = &bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    load_viewer_close(&bed->viewer);
    (void)close(bed->server);
    load_wire_finish(&bed->wire);
    scenario_finish(&bed->scenario);
    return 0;
}

/** What the viewer has said so far. */
static const char *heard(const struct bed *bed)
{
    static char text[4096];
    ssize_t got = recv(bed->server, text, sizeof text - 1, MSG_DONTWAIT);
    text[got > 0 ? got : 0] = '\0';
    for (ssize_t i = 0; i < got; i++) { /* the zeros of masks, so that it is one text */
        text[i] = text[i] == '\0' ? '.' : text[i];
    }
    return text;
}

static enum load_reading give(struct bed *bed, const char *bytes, size_t length)
{
    assert_int_equal(send(bed->server, bytes, length, 0), length);
    return load_viewer_read(&bed->wire, &bed->viewer, SIZE_MAX);
}

static void open_ws(struct bed *bed)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_true(load_viewer_greet(&bed->wire, &bed->viewer));
    assert_non_null(strstr(heard(bed), "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
    assert_int_equal(give(bed, answer, sizeof answer - 1), LOAD_READING_ON);
    assert_int_equal(bed->viewer.state, LOAD_VIEWER_OPEN);
}

static void test_a_ws_viewer_says_hello_and_what_it_wants(void **state)
{
    struct bed *bed = *state;
    open_ws(bed);
    const char *text = heard(bed);
    assert_non_null(strstr(text, "\"type\":\"hello\""));
    assert_non_null(strstr(text, "{\"type\":\"subscribe\",\"board\":\"b\",\"max_rate\":2}"));
}

static void test_it_comes_back_with_its_position(void **state)
{
    struct bed *bed = *state;
    bed->viewer.cursor =
        (struct load_cursor){.has_position = true, .at = {.epoch = 0xaa, .offset = 12, .nonce = 0xb}};
    open_ws(bed);
    assert_non_null(strstr(heard(bed), "\"position\":\"00000000000000aa.12.0000000b\""));
    bed->viewer.is_sse = true;
    assert_true(load_viewer_greet(&bed->wire, &bed->viewer));
    const char *text = heard(bed);
    assert_non_null(strstr(text, "GET /api/v1/dashboards/b/events?max_rate=2 HTTP/1.1\r\n"));
    assert_non_null(strstr(text, "Last-Event-ID: 00000000000000aa.12.0000000b\r\n"));
}

static void test_frames_come_out_whole_byte_by_byte(void **state)
{
    static const char bytes[] = "\x81\x02{}\x81\x04[\"a]\x89\x01p\x81\x00\x81\x03xyz";
    struct bed *bed = *state;
    open_ws(bed);
    (void)heard(bed);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        assert_int_equal(give(bed, bytes + i, 1), LOAD_READING_ON);
    }
    assert_string_equal(bed->seen, "|{};|[\"a];|;|xyz;");
    assert_int_equal(bed->wire_bytes, sizeof bytes - 1 - 3);
    assert_string_equal(heard(bed), "\x8a\x81....p"); /* the pong, with what the ping carried */
    assert_null(bed->viewer.rest);
}

static void test_several_frames_of_one_read_come_out_in_order(void **state)
{
    static const char bytes[] = "HTTP/1.1 101 x\r\n\r\n\x81\x01"
                                "a\x81\x01"
                                "b\x81\x05"
                                "c";
    struct bed *bed = *state;
    bed->viewer.state = LOAD_VIEWER_GREETING;
    assert_int_equal(give(bed, bytes, sizeof bytes - 1), LOAD_READING_ON);
    assert_string_equal(bed->seen, "|a;|b;");
    assert_int_equal(bed->viewer.rest_length, 3);
    assert_int_equal(give(bed, "defg", 4), LOAD_READING_ON);
    assert_string_equal(bed->seen, "|a;|b;|cdefg;");
}

static void test_a_frame_larger_than_the_buffer_comes_out(void **state)
{
    struct bed *bed = *state;
    char *bytes = calloc(1, BIG_BYTES + 10);
    assert_non_null(bytes);
    bytes[0] = (char)0x81;
    bytes[1] = 127;
    for (int i = 0; i < 4; i++) {
        bytes[9 - i] = (char)(BIG_BYTES >> (8 * i) & 0xff);
    }
    open_ws(bed);
    for (size_t at = 0; at < BIG_BYTES + 10;) { /* as much as a socket takes at a time */
        ssize_t sent = send(bed->server, bytes + at, BIG_BYTES + 10 - at, MSG_DONTWAIT);
        assert_true(sent > 0);
        at += (size_t)sent;
        assert_int_equal(load_viewer_read(&bed->wire, &bed->viewer, SIZE_MAX), LOAD_READING_ON);
    }
    free(bytes);
    assert_int_equal(bed->messages, 1);
    assert_int_equal(bed->longest, BIG_BYTES);
}

static void test_events_come_out_with_their_ids(void **state)
{
    static const char bytes[] =
        "HTTP/1.1 200 OK\r\nA: b\r\n\r\nretry: 1000\n\nid: 1.2.3\nevent: update\ndata: {\"id: \":1}\n\n"
        "event: heartbeat\ndata: {}\n\n: words\n\n";
    struct bed *bed = *state;
    bed->viewer.is_sse = true;
    bed->viewer.state = LOAD_VIEWER_GREETING;
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        assert_int_equal(give(bed, bytes + i, 1), LOAD_READING_ON);
    }
    assert_string_equal(bed->seen, "1.2.3|{\"id: \":1};|{};");
}

static void test_a_limit_is_kept(void **state)
{
    struct bed *bed = *state;
    open_ws(bed);
    assert_int_equal(send(bed->server,
                          "\x81\x03"
                          "abc\x81\x03"
                          "def",
                          10, 0),
                     10);
    assert_int_equal(load_viewer_read(&bed->wire, &bed->viewer, 7), LOAD_READING_LIMITED);
    assert_string_equal(bed->seen, "|abc;");
    assert_int_equal(load_viewer_read(&bed->wire, &bed->viewer, 7), LOAD_READING_ON);
    assert_string_equal(bed->seen, "|abc;|def;");
}

static void test_ends_are_told_apart(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum load_reading reading;
    } cases[] = {
        {"\x88\x02\x03\xe8", 4, LOAD_READING_CLOSED}, /* a close frame */
        {"\x82\x01x", 3, LOAD_READING_BROKEN},        /* binary */
        {"\x01\x01x", 3, LOAD_READING_BROKEN},        /* a fragment */
        {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, LOAD_READING_BROKEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bed *bed = *state;
        open_ws(bed);
        assert_int_equal(give(bed, cases[i].bytes, cases[i].length), cases[i].reading);
        tear_down(state);
        set_up(state);
    }
}

static void test_a_refusal_and_an_end_are_told(void **state)
{
    static const char refusal[] = "HTTP/1.1 503 Busy\r\n\r\n";
    struct bed *bed = *state;
    assert_true(load_viewer_greet(&bed->wire, &bed->viewer));
    assert_int_equal(give(bed, refusal, sizeof refusal - 1), LOAD_READING_REFUSED);
    assert_int_equal(shutdown(bed->server, SHUT_RDWR), 0);
    assert_int_equal(load_viewer_read(&bed->wire, &bed->viewer, SIZE_MAX), LOAD_READING_CLOSED);
}

/* However late it is read. */
static void test_a_byte_is_received_when_it_is_in_the_socket(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &length), 0);
    const struct load_address address = {.at = at};
    struct load_stream stream = {.fd = -1};
    assert_true(load_stream_open(&stream, &address, 0, 0));
    int server = accept(listening, NULL, NULL);
    assert_true(server >= 0);

    /* The kernel begins to stamp some time after it was asked to. */
    bool is_stamped = false;
    char byte;
    uint64_t received_us = 0;
    for (unsigned i = 0; i < 200 && !is_stamped; i++) {
        uint64_t before_us = load_now_us();
        assert_int_equal(send(server, "x", 1, MSG_NOSIGNAL), 1);
        struct pollfd wait = {.fd = stream.fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, 5000), 1);
        uint64_t there_us = load_now_us();
        while (load_now_us() < there_us + 5000) {
        }
        assert_int_equal(load_stream_read(&stream, &byte, 1, &received_us), 1);
        is_stamped = received_us + 1 >= before_us && received_us <= there_us + 1;
    }
    assert_true(is_stamped);
    assert_int_equal(load_stream_read(&stream, &byte, 1, &received_us), -1);
    assert_int_equal(received_us, 0);
    load_stream_close(&stream);
    (void)close(server);
    (void)close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_ws_viewer_says_hello_and_what_it_wants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_comes_back_with_its_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames_come_out_whole_byte_by_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_frames_of_one_read_come_out_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_frame_larger_than_the_buffer_comes_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_come_out_with_their_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_limit_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refusal_and_an_end_are_told, set_up, tear_down),
        cmocka_unit_test(test_a_byte_is_received_when_it_is_in_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
