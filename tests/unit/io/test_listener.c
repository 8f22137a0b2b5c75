/* Ports, limits, WebSocket handshakes, frames and closes over real loopback sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "fixture.h"
#include "io/send_batch.h"

#define HANDSHAKE                                                                                          \
    "GET /ws HTTP/1.1\r\nHost: gw.example:81\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                         \
    "Sec-WebSocket-Protocol: other, kpi.v1\r\n"

static int start(void **state)
{
    static struct fixture fixture;
    fixture_start(&fixture, NULL);
    *state = &fixture;
    return 0;
}

static int stop(void **state)
{
    fixture_stop(*state);
    return 0;
}

static int shake_hands(struct fixture *f)
{
    unsigned opened = f->opened;
    int fd = dial(f);
    forget(f);
    say(fd, HANDSHAKE "\r\n");
    assert_true(hear_until(f, fd, "\r\n\r\n", 1000));
    assert_non_null(strstr(f->heard, "HTTP/1.1 101 "));
    assert_int_equal(f->opened, opened + 1);
    forget(f);
    return fd;
}

/** A masked frame as a client sends it. */
static void say_frame(int fd, unsigned char first, const char *payload, size_t length)
{
    static unsigned char frame[70000];
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    size_t at = 2;
    frame[0] = first;
    if (length < 126) {
        frame[1] = (unsigned char)(0x80 | length);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        at = 4;
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) {
        frame[at + i] = (unsigned char)payload[i] ^ mask[i % 4];
    }
    say_bytes(fd, frame, at + length);
}

static void say_text(int fd, const char *text)
{
    say_frame(fd, 0x81, text, strlen(text));
}

/** The gateway must close with this code, and the reason's name. */
static void expect_close(struct fixture *f, int fd, enum close_reason reason)
{
    const char *name = close_reason_name(reason);
    size_t length = 4 + strlen(name);
    if (!hear_bytes(f, fd, length, 3000)) {
        fail_msg("no close frame for %s, heard %zu bytes", name, f->heard_length);
    }
    const unsigned char *frame = (const unsigned char *)f->heard;
    assert_int_equal(frame[0], 0x88);
    assert_int_equal(frame[1], length - 2);
    assert_int_equal(frame[2] << 8 | frame[3], close_reason_code(reason));
    assert_memory_equal(frame + 4, name, strlen(name));
}

static void test_handshake_is_answered_by_the_rules(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, HANDSHAKE "Origin: https://dash.example\r\n\r\n");
    assert_true(hear_until(f, fd, "\r\n\r\n", 1000));
    assert_non_null(strstr(f->heard, "HTTP/1.1 101 Switching Protocols\r\n"));
    assert_non_null(strstr(f->heard, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(f->heard, "Sec-WebSocket-Protocol: kpi.v1\r\n"));
    assert_null(strstr(f->heard, "Sec-WebSocket-Extensions"));
    assert_int_equal(f->opened, 1);
    assert_true(metric_read(metrics_find(f->metrics, "gw_connections", "kind=\"ws\"")) == 1);
    assert_true(metric_read(metrics_find(f->metrics, "gw_connections", "kind=\"http\"")) == 0);
    (void)close(fd);
    assert_true(await(f, &f->closed, 1, 2000));
    assert_int_equal(listener_connection_count(f->listener), 0);
}

#define START "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: kpi.v1\r\n"

static void test_handshake_refusals(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *request;
        const char *expected;
        const char *reason;
    } cases[] = {
        {START UPGRADE VERSION KEY "\r\n", "HTTP/1.1 400 ", "handshake"},
        {START UPGRADE VERSION KEY "Sec-WebSocket-Protocol: kpi.v2, KPI.V1\r\n\r\n", "subprotocol_required",
         "handshake"},
        {START UPGRADE KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "handshake"},
        {START UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY PROTOCOL "\r\n",
         "\r\nSec-WebSocket-Version: 13\r\n", "handshake"},
        {START VERSION KEY PROTOCOL "\r\n", "HTTP/1.1 426 ", "handshake"},
        {START UPGRADE VERSION PROTOCOL "\r\n", "HTTP/1.1 400 ", "handshake"},
        {START UPGRADE VERSION "Sec-WebSocket-Key: short\r\n" PROTOCOL "\r\n", "HTTP/1.1 400 ", "handshake"},
        {START UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" PROTOCOL "\r\n",
         "HTTP/1.1 400 ", "handshake"},
        {START UPGRADE VERSION KEY KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "handshake"},
        {"GET /ws HTTP/1.1\r\nHost: h\r\n" UPGRADE VERSION KEY PROTOCOL "\r\n", "HTTP/1.1 400 ", "handshake"},
        {"GET /ws HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\n" UPGRADE VERSION KEY PROTOCOL "\r\n",
         "HTTP/1.1 400 ", "handshake"},
        {"POST /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nContent-Length: 0\r\n" UPGRADE VERSION KEY
             PROTOCOL "\r\n",
         "HTTP/1.1 405 ", "method"},
        {START UPGRADE VERSION KEY PROTOCOL "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 400 ", "handshake"},
        {"GET /other HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" UPGRADE VERSION KEY PROTOCOL "\r\n",
         "HTTP/1.1 404 ", "not_found"},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" UPGRADE VERSION KEY PROTOCOL "\r\n",
         "HTTP/1.1 404 ", "not_found"},
        {START "Upgrade: h2c\r\n" VERSION KEY PROTOCOL "HTTP2-Settings: AAMAAABk\r\n\r\n", "HTTP/1.1 426 ",
         "handshake"},
        {START UPGRADE VERSION KEY PROTOCOL "Origin: https://evil.example\r\n\r\n", "HTTP/1.1 403 ",
         "origin"},
        {START UPGRADE VERSION KEY PROTOCOL "Origin: null\r\n\r\n", "HTTP/1.1 403 ", "origin"},
        {START UPGRADE VERSION KEY PROTOCOL "Origin: http://h:82\r\n\r\n", "HTTP/1.1 403 ", "origin"},
        {START UPGRADE VERSION KEY PROTOCOL "Origin: http://h\r\nOrigin: http://h\r\n\r\n", "HTTP/1.1 403 ",
         "origin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double before = refused(f, cases[i].reason);
        int fd = dial(f);
        forget(f);
        say(fd, cases[i].request);
        bool is_closed = hear_end(f, fd, 2000);
        if (strstr(f->heard, cases[i].expected) == NULL ||
            strstr(f->heard, "application/problem+json") == NULL) {
            fail_msg("request:\n%s\nexpected \"%s\", heard:\n%s", cases[i].request, cases[i].expected,
                     f->heard);
        }
        assert_true(is_closed);
        assert_true(refused(f, cases[i].reason) == before + 1);
        (void)close(fd);
    }
    assert_int_equal(f->opened, 0);
}

static void test_origin_of_the_same_host_is_welcome(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, HANDSHAKE "Origin: http://GW.example:81\r\n\r\n");
    assert_true(hear_until(f, fd, "HTTP/1.1 101 ", 1000));
    (void)close(fd);
}

static void test_messages_arrive_whole(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    say_text(fd, "{\"type\":\"ping\"}");
    assert_true(await(f, &f->messages, 1, 1000));
    assert_string_equal(f->message, "{\"type\":\"ping\"}");

    char text[MESSAGE_MAX + 1];
    for (size_t i = 0; i < MESSAGE_MAX; i++) {
        text[i] = (char)('0' + i % 10);
    }
    text[MESSAGE_MAX] = '\0';
    say_text(fd, text); /* many times the receive buffer, exactly the cap */
    assert_true(await(f, &f->messages, 2, 1000));
    assert_string_equal(f->message, text);

    say_text(fd, "");
    assert_true(await(f, &f->messages, 3, 1000));
    assert_int_equal(f->message_length, 0);
    (void)close(fd);
}

static void test_fragments_are_joined_around_a_ping(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    say_frame(fd, 0x01, "abc", 3);
    say_frame(fd, 0x00, "", 0);
    say_frame(fd, 0x89, "hi", 2);
    say_frame(fd, 0x8a, "", 0); /* an unasked pong */
    say_frame(fd, 0x00, "def", 3);
    spend(f, 30);
    assert_int_equal(f->messages, 0);
    say_frame(fd, 0x80, "ghi", 3);
    assert_true(await(f, &f->messages, 1, 1000));
    assert_string_equal(f->message, "abcdefghi");
    assert_true(hear_bytes(f, fd, 4, 1000));
    assert_memory_equal(f->heard, "\x8a\x02hi", 4);
    (void)close(fd);
}

static void test_frames_behind_the_handshake_are_not_lost(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    static const char request[] = HANDSHAKE "\r\n"
                                            "\x81\x82\x00\x00\x00\x00"
                                            "ok"
                                            "\x81\x83\x00\x00\x00\x00"
                                            "two";
    say_bytes(fd, request, sizeof request - 1);
    assert_true(await(f, &f->messages, 2, 1000));
    assert_string_equal(f->message, "two");
    (void)close(fd);
}

static void test_message_over_the_cap_is_1009(void **state)
{
    struct fixture *f = *state;
    char text[MESSAGE_MAX + 1];
    memset(text, 'x', sizeof text);
    int fd = shake_hands(f);
    say_frame(fd, 0x81, text, sizeof text);
    expect_close(f, fd, CLOSE_TOO_BIG);
    (void)close(fd);

    fd = shake_hands(f);
    say_frame(fd, 0x01, text, MESSAGE_MAX);
    say_frame(fd, 0x80, text, 1);
    expect_close(f, fd, CLOSE_TOO_BIG);
    (void)close(fd);
    assert_int_equal(f->messages, 0);
}

static void test_too_many_fragments_are_1009(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    say_frame(fd, 0x01, "a", 1);
    for (int i = 1; i < FRAGMENTS_MAX; i++) {
        say_frame(fd, 0x00, "a", 1);
    }
    spend(f, 20);
    assert_int_equal(f->heard_length, 0);
    say_frame(fd, 0x00, "", 0);
    expect_close(f, fd, CLOSE_TOO_BIG);
    (void)close(fd);
}

static void test_binary_is_1003(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    say_frame(fd, 0x82, "x", 1);
    expect_close(f, fd, CLOSE_UNSUPPORTED_DATA);
    assert_int_equal(f->messages, 0);
    (void)close(fd);
}

static void test_close_code_is_sent_and_nothing_is_heard_after_it(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    f->close_on_message = true;
    say_text(fd, "one");
    say_text(fd, "two");
    expect_close(f, fd, CLOSE_MALFORMED);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->closed, 0); /* the peer may still answer */
    say_frame(fd, 0x88, "\x0f\xa0", 2);
    assert_true(hear_end(f, fd, 1000));
    assert_true(await(f, &f->closed, 1, 1000));
    (void)close(fd);
}

static void test_peer_that_does_not_answer_a_close_is_cut(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    ws_close(f->ws, CLOSE_MOVED);
    ws_close(f->ws, CLOSE_OVERLOADED); /* the first reason stands */
    assert_false(ws_can_write(f->ws));
    expect_close(f, fd, CLOSE_MOVED);
    assert_true(await(f, &f->closed, 1, 2200));
    assert_true(hear_end(f, fd, 500));
    (void)close(fd);
}

static void test_refused_by_its_owner_is_closed_with_4300(void **state)
{
    struct fixture *f = *state;
    f->refuse_open = true;
    int fd = dial(f);
    forget(f);
    say(fd, HANDSHAKE "\r\n");
    assert_true(hear_until(f, fd, "\r\n\r\n", 1000));
    size_t head = (size_t)(strstr(f->heard, "\r\n\r\n") + 4 - f->heard);
    assert_true(hear_bytes(f, fd, head + 4, 1000));
    assert_memory_equal(f->heard + head, "\x88", 1);
    assert_memory_equal(f->heard + head + 2, "\x10\xcc", 2);
    (void)close(fd);
    spend(f, 50);
    assert_int_equal(f->closed, 0);
    assert_int_equal(listener_connection_count(f->listener), 0);
}

static void test_peers_close_is_echoed(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    say_frame(fd, 0x88, "\x03\xe8", 2);
    assert_true(hear_end(f, fd, 1000));
    assert_memory_equal(f->heard, "\x88\x02\x03\xe8", 4);
    assert_true(await(f, &f->closed, 1, 1000));
    (void)close(fd);
}

/** A server frame of `length` bytes of one letter; returns its wire length. */
static size_t build_frame(char *frame, char letter, size_t length)
{
    frame[0] = (char)0x81;
    frame[1] = 126;
    frame[2] = (char)(length >> 8);
    frame[3] = (char)length;
    memset(frame + 4, letter, length);
    return length + 4;
}

/** Write until the connection is choked and stays so. Returns the number of frames. */
static unsigned choke(struct fixture *f, size_t payload)
{
    static char frame[70000];
    unsigned frames = 0;
    for (int calm = 0; calm < 10; calm++) {
        while (ws_can_write(f->ws)) {
            size_t length = build_frame(frame, (char)('a' + frames % 26), payload);
            assert_int_equal(ws_write(f->ws, frame, length), RESULT_OK);
            assert_true(++frames < 100000);
            calm = 0;
        }
        spend(f, 10); /* the kernels may find more room */
    }
    return frames;
}

static void check_frames(const struct fixture *f, unsigned frames, size_t payload)
{
    for (unsigned i = 0; i < frames; i++) {
        char expected[4];
        (void)build_frame(expected, 'x', 0);
        const char *frame = f->heard + i * (payload + 4);
        assert_int_equal((unsigned char)frame[0], 0x81);
        assert_int_equal((unsigned char)frame[2] << 8 | (unsigned char)frame[3], payload);
        assert_int_equal(frame[4], 'a' + (int)(i % 26));
        assert_int_equal(frame[payload + 3], 'a' + (int)(i % 26));
    }
}

static void test_slow_reader_gets_whole_frames_and_is_told_when_drained(void **state)
{
    struct fixture *f = *state;
    static const size_t payloads[] = {60000, 3000, 60000, 200};
    int fd = shake_hands(f);
    for (unsigned round = 0; round < 4; round++) {
        size_t payload = payloads[round];
        unsigned frames = choke(f, payload);
        ws_request_writable(f->ws);
        spend(f, 60);
        assert_int_equal(f->writable, round);
        say_frame(fd, 0x89, "hi", 2); /* the pong must not split a frame */
        forget(f);
        assert_true(hear_bytes(f, fd, frames * (payload + 4) + 4, 5000));
        check_frames(f, frames, payload);
        assert_memory_equal(f->heard + frames * (payload + 4), "\x8a\x02hi", 4);
        assert_true(await(f, &f->writable, round + 1, 1000));
    }
    (void)close(fd);
    assert_true(await(f, &f->closed, 1, 1000));
}

/** choke(), by held writes of several frames each. */
static unsigned choke_held(struct fixture *f, size_t payload)
{
    enum { HELD = SEND_PARTS_MAX + 3 }; /* more than one write takes */
    static char frames[HELD][70000];
    unsigned count = 0;
    for (int calm = 0; calm < 10; calm++) {
        while (ws_can_write(f->ws)) {
            ws_hold(f->listener);
            for (int i = 0; i < HELD && ws_can_write(f->ws); i++) {
                size_t length = build_frame(frames[i], (char)('a' + count % 26), payload);
                assert_int_equal(ws_write(f->ws, frames[i], length), RESULT_OK);
                assert_true(++count < 100000);
            }
            ws_release(f->listener);
            calm = 0;
        }
        spend(f, 10); /* the kernels may find more room */
    }
    return count;
}

static void slow_reader_of_held_frames(bool uses_io_uring)
{
    static const size_t payloads[] = {60000, 200, 3000};
    static struct fixture f;
    fixture_start(&f, &(struct listener_options){.uses_io_uring = uses_io_uring});
    int fd = shake_hands(&f);
    for (unsigned round = 0; round < 3; round++) {
        size_t payload = payloads[round];
        unsigned frames = choke_held(&f, payload);
        ws_request_writable(f.ws);
        forget(&f);
        assert_true(hear_bytes(&f, fd, frames * (payload + 4), 5000));
        check_frames(&f, frames, payload);
        assert_true(await(&f, &f.writable, round + 1, 1000));
    }
    assert_true(metric_read(metrics_find(f.metrics, "gw_merged_frames_total", NULL)) > 0);
    (void)close(fd);
    assert_true(await(&f, &f.closed, 1, 1000));
    fixture_stop(&f);
}

static void test_held_frames_reach_a_slow_reader_whole(void **state)
{
    (void)state;
    slow_reader_of_held_frames(false);
    slow_reader_of_held_frames(true); /* by send as well where the kernel has no io_uring */
}

static void broken_connections_among_held_writes(bool uses_io_uring)
{
    enum { CONNECTIONS = SEND_BATCH_MAX + 20 };
    static struct fixture f;
    fixture_start(&f, &(struct listener_options){.uses_io_uring = uses_io_uring, .max_connections = 200});
    int fds[CONNECTIONS];
    struct ws *connections[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = shake_hands(&f);
        connections[i] = f.ws;
    }
    /* Every tenth is reset by its peer; the loop has not heard of it when frames are written. */
    const struct linger reset = {.l_onoff = 1};
    for (int i = 0; i < CONNECTIONS; i += 10) {
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fds[i]);
    }
    char frame[104];
    size_t length = build_frame(frame, 'h', 100);
    ws_hold(f.listener);
    for (int i = 0; i < CONNECTIONS; i++) {
        assert_true(ws_can_write(connections[i]));
        assert_int_equal(ws_write(connections[i], frame, length), RESULT_OK);
    }
    ws_release(f.listener);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 10 != 0) {
            forget(&f);
            assert_true(hear_bytes(&f, fds[i], length, 1000));
            assert_memory_equal(f.heard, frame, length);
        }
    }
    assert_true(await(&f, &f.closed, (CONNECTIONS + 9) / 10, 1000));
    assert_int_equal(f.closed, (CONNECTIONS + 9) / 10);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 10 != 0) {
            (void)close(fds[i]);
        }
    }
    assert_true(await(&f, &f.closed, CONNECTIONS, 2000));
    fixture_stop(&f);
}

static void test_broken_connections_do_not_disturb_held_writes_to_others(void **state)
{
    (void)state;
    broken_connections_among_held_writes(false);
    broken_connections_among_held_writes(true);
}

static void test_choked_connection_sends_its_close_after_the_data(void **state)
{
    struct fixture *f = *state;
    enum { PAYLOAD = 60000 };
    int fd = shake_hands(f);
    unsigned frames = choke(f, PAYLOAD);
    ws_close(f->ws, CLOSE_MOVED);
    spend(f, 100);
    forget(f);
    size_t data = frames * (PAYLOAD + 4);
    assert_true(hear_bytes(f, fd, data + 4, 3000));
    check_frames(f, frames, PAYLOAD);
    assert_memory_equal(f->heard + data, "\x88", 1);
    assert_memory_equal(f->heard + data + 2, "\x11\x30", 2);
    assert_true(await(f, &f->closed, 1, 2500));
    (void)close(fd);
}

static void test_choked_connection_that_never_drains_is_cut(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands(f);
    (void)choke(f, 60000);
    ws_close(f->ws, CLOSE_MOVED);
    assert_true(await(f, &f->closed, 1, 2800));
    assert_int_equal(listener_connection_count(f->listener), 0);
    (void)close(fd);
}

static void test_viewer_that_reads_slowly_stays_and_one_that_stops_is_gone(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.ping_after_s = 1, .hang_up_after_s = 3});
    int fd = shake_hands(f);
    (void)choke(f, 60000);
    char piece[20000]; /* some 100 KB a second: on loopback a window opens by 64 KB, the size of a segment */
    for (int i = 0; i < 30; i++) { /* 6 s: no ping can have reached it */
        assert_true(recv(fd, piece, sizeof piece, MSG_DONTWAIT) > 0);
        spend(f, 200);
        assert_int_equal(f->closed, 0);
        while (ws_can_write(f->ws)) {
            static char frame[70000];
            assert_int_equal(ws_write(f->ws, frame, build_frame(frame, 'm', 60000)), RESULT_OK);
        }
    }
    assert_true(
        await(f, &f->closed, 1, 6000)); /* once the window is full nothing moves, for us or for the kernel */
    (void)close(fd);
}

static void test_answered_pings_keep_a_viewer_and_silence_ends_it(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.ping_after_s = 1, .hang_up_after_s = 3});
    int polite = shake_hands(f);
    for (int i = 0; i < 4; i++) {
        assert_true(hear_bytes(f, polite, 3, 1500));
        assert_memory_equal(f->heard, "\x89\x01p", 3);
        say_frame(polite, 0x8a, "p", 1);
        forget(f);
    }
    assert_int_equal(f->closed, 0);
    assert_false(await(f, &f->closed, 1, 2500)); /* silent from here: two pings, then gone */
    assert_true(await(f, &f->closed, 1, 1000));
    assert_true(metric_read(metrics_find(f->metrics, "gw_hung_up_total", "reason=\"silent\"")) == 1);
    (void)close(polite);
}

static void test_viewer_that_stops_reading_for_a_while_stays(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.ping_after_s = 1, .hang_up_after_s = 5});
    int fd = shake_hands(f);
    unsigned frames = choke(f, 60000);
    spend(f, 4000); /* its kernel lives, its program does not read, no ping can reach it */
    assert_int_equal(f->closed, 0);
    forget(f);
    assert_true(hear_bytes(f, fd, frames * 60004, 2000));
    check_frames(f, frames, 60000);
    say_text(fd, "alive");
    assert_true(await(f, &f->messages, 1, 500));
    assert_false(await(f, &f->closed, 1, 2000));
    (void)close(fd);
}

static void test_connections_over_the_limit_are_turned_away(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.max_connections = 2});
    int first = dial(f);
    int second = shake_hands(f);
    int third = dial(f);
    forget(f);
    assert_true(hear_end(f, third, 1000));
    assert_non_null(strstr(f->heard, "HTTP/1.1 503 "));
    assert_non_null(strstr(f->heard, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(f->heard, "\r\nContent-Type: application/problem+json\r\n"));
    assert_non_null(strstr(f->heard, "\"code\":\"unavailable\""));
    assert_true(refused(f, "max_connections") == 1);
    (void)close(first);
    spend(f, 30);
    int fourth = shake_hands(f);
    (void)close(second);
    (void)close(third);
    (void)close(fourth);
}

/** Our end of a client's connection: both are in this process. */
static int other_end(int client)
{
    struct sockaddr_storage mine, peer;
    socklen_t length = sizeof mine;
    assert_int_equal(getsockname(client, (struct sockaddr *)&mine, &length), 0);
    for (int fd = 0; fd < 1024; fd++) {
        length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && memcmp(&mine, &peer, length) == 0) {
            return fd;
        }
    }
    fail_msg("nobody accepted it");
    return -1;
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
    return value;
}

static void test_accepted_sockets_inherit_their_options(void **state)
{
    struct fixture *f = *state;
    int client = shake_hands(f);
    int fd = other_end(client);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), 2 * 16384); /* the kernel doubles it */
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 75000);
    (void)close(client);
}

static double addresses(const struct fixture *f)
{
    return metric_read(metrics_find(f->metrics, "gw_addresses", NULL));
}

static void test_connections_over_the_limit_of_an_address_are_turned_away(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.max_connections_per_address = 3});
    int idle = dial(f);
    int ws = shake_hands(f); /* a connection that became a WebSocket still counts, once */
    int answered = dial(f);
    say(answered, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    forget(f);
    assert_true(hear_until(f, answered, "\r\n\r\n", 1000));
    assert_true(addresses(f) == 1);
    int fourth = dial(f);
    say(fourth, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    forget(f);
    assert_true(hear_end(f, fourth, 1000));
    assert_non_null(strstr(f->heard, "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_non_null(strstr(f->heard, "\r\nRetry-After: 5\r\n"));
    assert_non_null(strstr(f->heard, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(f->heard, "\"code\":\"too_many_connections\""));
    assert_true(refused(f, "max_per_address") == 1);
    assert_true(refused(f, "max_connections") == 0);
    (void)close(ws);
    assert_true(await(f, &f->closed, 1, 1000));
    ws = shake_hands(f);
    (void)close(answered);
    (void)close(fourth);
    (void)close(ws);
    (void)close(idle);
    assert_true(await(f, &f->closed, 2, 1000));
    spend(f, 30);
    assert_int_equal(listener_connection_count(f->listener), 0);
    assert_true(addresses(f) == 0); /* the table is empty again */
}

static void test_connections_come_in_at_the_rate_and_none_is_refused(void **state)
{
    enum { CLIENTS = 30, RATE = 50 /* so five at once, the others take half a second */ };
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.accepts_per_s = RATE});
    const struct metric *accepted = metrics_find(f->metrics, "gw_accepted_total", NULL);
    const struct metric *pauses = metrics_find(f->metrics, "gw_accept_pause_seconds", NULL);
    const struct metric *waiting = metrics_find(f->metrics, "gw_accept_waiting", NULL);
    int clients[CLIENTS];
    uint64_t start_ms = clock_monotonic_ms();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = dial(f);
        say(clients[i], "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    double most_waiting = 0;
    while (metric_read(accepted) < CLIENTS) {
        uint64_t elapsed_ms = clock_monotonic_ms() - start_ms;
        double due = (double)RATE / 10 + (double)RATE * (double)elapsed_ms / 1000 + 1;
        if (metric_read(accepted) > due || elapsed_ms > 5000) {
            fail_msg("%g accepted after %llu ms", metric_read(accepted), (unsigned long long)elapsed_ms);
        }
        spend(f, 5);
        most_waiting = metric_read(waiting) > most_waiting ? metric_read(waiting) : most_waiting;
    }
    assert_true(clock_monotonic_ms() - start_ms >= (CLIENTS - RATE / 10 - 1) * 1000 / RATE);
    assert_true(metric_read(pauses) > 0);
    assert_true(most_waiting > 0 && most_waiting < CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        forget(f);
        assert_true(hear_until(f, clients[i], "\r\n\r\n", 1000));
        assert_non_null(strstr(f->heard, "HTTP/1.1 200 "));
        (void)close(clients[i]);
    }
    spend(f, 100); /* the queue is found empty once tokens are back */
    int last = shake_hands(f);
    spend(f, 100);
    assert_true(metric_read(waiting) == 0);
    (void)close(last);
}

static void test_stop_accepting_takes_in_what_waits_for_its_turn(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.accepts_per_s = 1});
    int clients[5];
    for (int i = 0; i < 5; i++) {
        clients[i] = dial(f);
        say(clients[i], "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    spend(f, 50);
    assert_true(metric_read(metrics_find(f->metrics, "gw_accepted_total", NULL)) == 1);
    listener_stop_accepting(f->listener);
    for (int i = 0; i < 5; i++) {
        forget(f);
        assert_true(hear_until(f, clients[i], "\r\n\r\n", 1000));
        assert_non_null(strstr(f->heard, "HTTP/1.1 200 "));
        (void)close(clients[i]);
    }
}

static void test_fewer_descriptors_mean_fewer_connections(void **state)
{
    struct fixture *f = *state;
    /* For the rest of this process: a hard limit does not rise again. */
    const struct rlimit few = {.rlim_cur = 500, .rlim_max = 4096};
    struct rlimit after;
    fixture_stop(f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    fixture_start(f, &(struct listener_options){.max_connections = 4000});
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, few.rlim_max); /* raised as far as it goes */
    assert_int_equal(listener_max_connections(f->listener), 4096 - 512);
    fixture_stop(f);
    fixture_start(f, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, 100 + 512); /* no more than it takes */
    assert_int_equal(listener_max_connections(f->listener), 100);
}

static void test_stop_accepting_keeps_connections(void **state)
{
    struct fixture *f = *state;
    int ws = shake_hands(f);
    int http = dial(f);
    listener_stop_accepting(f->listener);
    forget(f);
    say(http, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(hear_until(f, http, "\r\nConnection: close\r\n", 1000));
    say_text(ws, "still here");
    assert_true(await(f, &f->messages, 1, 1000));
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    assert_int_equal(getpeername(ws, (struct sockaddr *)&address, &length), 0);
    assert_int_not_equal(connect(late, (struct sockaddr *)&address, length), 0);
    (void)close(late);
    (void)close(ws);
    (void)close(http);
}

static void test_two_listeners_share_a_port(void **state)
{
    struct fixture *f = *state;
    const struct listener_options options = {.host = "127.0.0.1",
                                             .port = listener_port(f->listener),
                                             .max_connections = 1,
                                             .send_buffer_bytes = 16384,
                                             .ping_after_s = 25,
                                             .hang_up_after_s = 75,
                                             .request_timeout_s = 1};
    struct listener *other = listener_create(f->loop, f->metrics, &options);
    assert_non_null(other);
    assert_int_equal(listener_start(other), RESULT_OK);
    assert_true(listener_is_loopback(other));
    listener_destroy(other);
    int fd = shake_hands(f); /* the first one is not disturbed */
    (void)close(fd);
}

static void test_bad_address_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const hosts[] = {"localhost", "256.0.0.1", "192.0.2.1"};
    for (size_t i = 0; i < 3; i++) {
        const struct listener_options options = {.host = hosts[i], .ping_after_s = 1, .hang_up_after_s = 2};
        struct listener *listener = listener_create(f->loop, f->metrics, &options);
        assert_int_equal(listener_start(listener), RESULT_IO);
        listener_destroy(listener);
    }
}

static void test_destroy_ends_every_kind_of_connection(void **state)
{
    struct fixture *f = *state;
    int open = shake_hands(f);
    int choked = shake_hands(f);
    (void)choke(f, 60000);
    int closing = shake_hands(f);
    ws_close(f->ws, CLOSE_MOVED);
    int idle = dial(f);
    int half = dial(f);
    say(half, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    int kept = dial(f);
    say(kept, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\n");
    int stream = dial(f);
    say(stream, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    int big = dial(f);
    say(big, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 50);
    assert_int_equal(listener_connection_count(f->listener), 8);
    listener_destroy(f->listener);
    f->listener = NULL;
    assert_int_equal(f->closed, 3);
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->stream_closed, 1);
    int fds[] = {open, choked, closing, idle, half, kept, stream, big};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        assert_true(hear_end(f, fds[i], 1000));
        (void)close(fds[i]);
    }
}

/* ---- permessage-deflate ---- */

#define OFFER "Sec-WebSocket-Extensions: "

static int shake_hands_with(struct fixture *f, const char *headers, const char *answer)
{
    char expected[200];
    char request[800];
    unsigned opened = f->opened;
    int fd = dial(f);
    forget(f);
    snprintf(request, sizeof request, HANDSHAKE "%s\r\n", headers);
    say(fd, request);
    assert_true(hear_until(f, fd, "\r\n\r\n", 1000));
    assert_int_equal(f->opened, opened + 1);
    assert_int_equal(ws_deflates(f->ws), answer != NULL);
    snprintf(expected, sizeof expected, "\r\n" OFFER "%s\r\n", answer ? answer : "");
    if (answer ? strstr(f->heard, expected) == NULL : strstr(f->heard, OFFER) != NULL) {
        fail_msg("%s: %s", headers, f->heard);
    }
    forget(f);
    return fd;
}

static int shake_hands_deflating(struct fixture *f)
{
    return shake_hands_with(f, OFFER "permessage-deflate; client_max_window_bits\r\n",
                            "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
}

static size_t deflate_text(const char *text, size_t length, char *out, size_t size)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)text; /* it only reads */
    stream.avail_in = (uInt)length;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)size;
    assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    (void)deflateEnd(&stream); /* Z_DATA_ERROR: the stream goes on */
    return size - stream.avail_out - 4;
}

static double inflated(const struct fixture *f, const char *labels)
{
    return metric_read(metrics_find(f->metrics, "gw_inflate_total", labels));
}

static void test_compression_is_agreed_upon_by_the_rules(void **state)
{
    struct fixture *f = *state;
    static const char answer[] = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    static const char with_window[] = "permessage-deflate; server_no_context_takeover; "
                                      "client_no_context_takeover; server_max_window_bits=12";
    static const struct {
        const char *headers;
        const char *answer;
    } cases[] = {
        {"", NULL},
        {OFFER "permessage-deflate\r\n", answer},
        {"sec-websocket-extensions:permessage-deflate; server_no_context_takeover\r\n", answer},
        {OFFER "foo; a=b\r\n" OFFER "permessage-deflate; client_no_context_takeover\r\n", answer},
        {OFFER "permessage-deflate; server_max_window_bits=15; client_max_window_bits=10\r\n", with_window},
        {OFFER "permessage-deflate; server_max_window_bits=9\r\n", NULL},
        {OFFER "permessage-deflate; server_max_window_bits=9, permessage-deflate\r\n", answer},
        {OFFER "permessage-deflate; unknown\r\n", NULL},
        {OFFER "deflate-frame\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = shake_hands_with(f, cases[i].headers, cases[i].answer);
        say_text(fd, "plain");
        assert_true(await(f, &f->messages, (unsigned)i + 1, 1000));
        assert_string_equal(f->message, "plain");
        (void)close(fd);
        assert_true(await(f, &f->closed, (unsigned)i + 1, 1000));
    }
}

static void test_compressed_messages_arrive_whole(void **state)
{
    struct fixture *f = *state;
    char text[MESSAGE_MAX];
    char payload[2 * MESSAGE_MAX];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(' ' + i * i % 89);
    }
    int fd = shake_hands_deflating(f);
    unsigned told = 0;
    for (size_t length = 0; length <= MESSAGE_MAX; length += 125) {
        say_frame(fd, 0xc1, payload, deflate_text(text, length, payload, sizeof payload));
        assert_true(await(f, &f->messages, ++told, 1000));
        assert_int_equal(f->message_length, length);
        assert_memory_equal(f->message, text, length);
    }
    /* In pieces around a ping, with an empty one; then a plain one, which may not be inflated. */
    size_t length = deflate_text(text, MESSAGE_MAX, payload, sizeof payload);
    say_frame(fd, 0x41, payload, 1);
    say_frame(fd, 0x00, "", 0);
    say_frame(fd, 0x89, "ping", 4);
    say_frame(fd, 0x00, payload + 1, length / 2);
    say_frame(fd, 0x80, payload + 1 + length / 2, length - 1 - length / 2);
    assert_true(await(f, &f->messages, ++told, 1000));
    assert_int_equal(f->message_length, MESSAGE_MAX);
    assert_memory_equal(f->message, text, MESSAGE_MAX);
    say_text(fd, "plain");
    assert_true(await(f, &f->messages, ++told, 1000));
    assert_string_equal(f->message, "plain");
    assert_true(inflated(f, "result=\"ok\"") == told - 1);
    (void)close(fd);
}

static void test_compressed_message_behind_the_handshake_is_not_lost(void **state)
{
    struct fixture *f = *state;
    char payload[100];
    char request[800];
    size_t length = deflate_text("first", 5, payload, sizeof payload);
    int at = snprintf(request, sizeof request, HANDSHAKE OFFER "permessage-deflate\r\n\r\n");
    request[at++] = '\xc1';
    request[at++] = (char)(0x80 | length);
    memset(request + at, 0, 4); /* a mask that changes nothing */
    memcpy(request + at + 4, payload, length);
    int fd = dial(f);
    say_bytes(fd, request, (size_t)at + 4 + length);
    assert_true(await(f, &f->messages, 1, 1000));
    assert_string_equal(f->message, "first");
    (void)close(fd);
}

static void refuse_compressed(struct fixture *f, const char *payload, size_t length, enum close_reason reason)
{
    int fd = shake_hands_deflating(f);
    say_frame(fd, 0xc1, payload, length);
    expect_close(f, fd, reason);
    assert_int_equal(f->refused_reason, reason);
    (void)close(fd);
}

static void test_compressed_messages_over_a_cap_are_1009(void **state)
{
    struct fixture *f = *state;
    static char zeros[1 << 20];
    char payload[4 * MESSAGE_MAX];
    size_t length = deflate_text(zeros, MESSAGE_MAX + 1, payload, sizeof payload);
    assert_true(length < 50);
    refuse_compressed(f, payload, length, CLOSE_TOO_BIG);
    length = deflate_text(zeros, sizeof zeros / 2, payload, sizeof payload); /* half a megabyte */
    assert_true(length < MESSAGE_MAX);
    refuse_compressed(f, payload, length, CLOSE_TOO_BIG);
    assert_true(inflated(f, "result=\"too_big\"") == 2);
    refuse_compressed(f, zeros, MESSAGE_MAX + 1, CLOSE_TOO_BIG); /* it is not even looked at */
    assert_true(inflated(f, "result=\"too_big\"") == 2);
    assert_int_equal(f->messages, 0);
}

static void test_compressed_messages_that_are_broken_are_1007(void **state)
{
    struct fixture *f = *state;
    char payload[200];
    refuse_compressed(f, "\xff\xff\xff", 3, CLOSE_INVALID_TEXT);
    refuse_compressed(f, "{\"type\":\"hello\"}", 16, CLOSE_INVALID_TEXT);
    size_t length = deflate_text("{\"type\":\"hello\"}", 16, payload, sizeof payload);
    refuse_compressed(f, payload, length - 2, CLOSE_INVALID_TEXT);
    refuse_compressed(f, "", 0, CLOSE_INVALID_TEXT);
    assert_true(inflated(f, "result=\"malformed\"") == 4);
    assert_int_equal(f->messages, 0);
}

static void test_rsv_bits_out_of_place_end_the_connection(void **state)
{
    struct fixture *f = *state;
    int fd = shake_hands_deflating(f);
    say_frame(fd, 0x01, "a", 1);
    say_frame(fd, 0xc0, "b", 1); /* RSV1 on a continuation */
    expect_close(f, fd, CLOSE_PROTOCOL_ERROR);
    (void)close(fd);
    static const unsigned char cases[] = {0xa1, 0x91, 0xe1, 0xd1,
                                          0xf1}; /* RSV2, RSV3, with and without RSV1 */
    for (size_t i = 0; i < sizeof cases; i++) {
        fd = shake_hands_deflating(f);
        say_frame(fd, cases[i], "x", 1);
        assert_true(hear_bytes(f, fd, 4, 3000));
        const unsigned char *frame = (const unsigned char *)f->heard;
        assert_int_equal(frame[0], 0x88);
        assert_int_equal(frame[2] << 8 | frame[3], 1002);
        (void)close(fd);
    }
    assert_int_equal(f->messages, 0);
}

static void test_frames_that_break_the_rules_are_told_to_the_owner(void **state)
{
    struct fixture *f = *state;
    static const unsigned char firsts[] = {0x83, 0x8b, 0x09, 0x80,
                                           0xc1}; /* opcodes, a ping in parts, a lone part, RSV1 */
    for (size_t i = 0; i < sizeof firsts; i++) {
        unsigned closed = f->closed;
        f->refused_reason = CLOSE_NORMAL;
        int fd = shake_hands(f);
        say_frame(fd, firsts[i], "x", 1);
        assert_true(hear_bytes(f, fd, 4, 3000));
        (void)close(fd);
        assert_true(await(f, &f->closed, closed + 1, 3000));
        if (f->refused_reason != CLOSE_PROTOCOL_ERROR) {
            fail_msg("0x%02x: %s", firsts[i], close_reason_name(f->refused_reason));
        }
    }
    unsigned closed = f->closed;
    f->refused_reason = CLOSE_NORMAL;
    (void)close(shake_hands(f)); /* who just leaves has broken no rule */
    assert_true(await(f, &f->closed, closed + 1, 3000));
    assert_int_equal(f->refused_reason, CLOSE_NORMAL);
}

static void test_garbage_frames_end_in_a_close_never_in_a_crash(void **state)
{
    struct fixture *f = *state;
    static const unsigned char cases[][8] = {
        {0x83, 0x80, 0, 0, 0, 0},                         /* reserved opcode */
        {0xc1, 0x80, 0, 0, 0, 0},                         /* RSV1 without an extension */
        {0x09, 0x80, 0, 0, 0, 0},                         /* fragmented ping */
        {0x89, 0xfe, 0x01, 0, 0, 0, 0},                   /* long ping */
        {0x80, 0x80, 0, 0, 0, 0},                         /* continuation of nothing */
        {0x88, 0x81, 0, 0, 0, 0, 'x'},                    /* one-byte close */
        {0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, /* length of 2^64 */
    };
    int beside = shake_hands(f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = shake_hands(f);
        say_bytes(fd, cases[i], sizeof cases[i]);
        (void)hear_end(f, fd, 100);
        (void)close(fd);
        spend(f, 10);
    }
    unsigned before = f->messages;
    say_text(beside, "alive");
    assert_true(await(f, &f->messages, before + 1, 1000));
    (void)close(beside);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_is_answered_by_the_rules),
        TEST(test_handshake_refusals),
        TEST(test_origin_of_the_same_host_is_welcome),
        TEST(test_messages_arrive_whole),
        TEST(test_fragments_are_joined_around_a_ping),
        TEST(test_frames_behind_the_handshake_are_not_lost),
        TEST(test_message_over_the_cap_is_1009),
        TEST(test_too_many_fragments_are_1009),
        TEST(test_binary_is_1003),
        TEST(test_close_code_is_sent_and_nothing_is_heard_after_it),
        TEST(test_peer_that_does_not_answer_a_close_is_cut),
        TEST(test_refused_by_its_owner_is_closed_with_4300),
        TEST(test_peers_close_is_echoed),
        TEST(test_slow_reader_gets_whole_frames_and_is_told_when_drained),
        cmocka_unit_test(test_held_frames_reach_a_slow_reader_whole),
        cmocka_unit_test(test_broken_connections_do_not_disturb_held_writes_to_others),
        TEST(test_choked_connection_sends_its_close_after_the_data),
        TEST(test_choked_connection_that_never_drains_is_cut),
        TEST(test_viewer_that_reads_slowly_stays_and_one_that_stops_is_gone),
        TEST(test_answered_pings_keep_a_viewer_and_silence_ends_it),
        TEST(test_viewer_that_stops_reading_for_a_while_stays),
        TEST(test_connections_over_the_limit_are_turned_away),
        TEST(test_connections_over_the_limit_of_an_address_are_turned_away),
        TEST(test_connections_come_in_at_the_rate_and_none_is_refused),
        TEST(test_stop_accepting_takes_in_what_waits_for_its_turn),
        TEST(test_accepted_sockets_inherit_their_options),
        TEST(test_fewer_descriptors_mean_fewer_connections),
        TEST(test_stop_accepting_keeps_connections),
        TEST(test_two_listeners_share_a_port),
        TEST(test_bad_address_is_refused),
        TEST(test_destroy_ends_every_kind_of_connection),
        TEST(test_compression_is_agreed_upon_by_the_rules),
        TEST(test_compressed_messages_arrive_whole),
        TEST(test_compressed_message_behind_the_handshake_is_not_lost),
        TEST(test_compressed_messages_over_a_cap_are_1009),
        TEST(test_compressed_messages_that_are_broken_are_1007),
        TEST(test_rsv_bits_out_of_place_end_the_connection),
        TEST(test_frames_that_break_the_rules_are_told_to_the_owner),
        TEST(test_garbage_frames_end_in_a_close_never_in_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
