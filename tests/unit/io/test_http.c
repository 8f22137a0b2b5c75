/* HTTP over real loopback sockets: what goes in as bytes comes out as bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "io/loop_handles.h"

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

static void expect_heard(const struct fixture *f, const char *needle)
{
    if (strstr(f->heard, needle) == NULL) {
        fail_msg("expected \"%s\" in:\n%s", needle, f->heard);
    }
}

static unsigned count_heard(const struct fixture *f, const char *needle)
{
    unsigned count = 0;
    for (const char *at = strstr(f->heard, needle); at != NULL; at = strstr(at + 1, needle)) {
        count++;
    }
    return count;
}

/** One request on its own connection; hears the answer until the gateway closes or body_end shows. */
static void ask(struct fixture *f, const char *request, const char *expected)
{
    int fd = dial(f);
    forget(f);
    say(fd, request);
    if (!hear_until(f, fd, expected, 2000)) {
        fail_msg("request:\n%s\nexpected \"%s\", heard:\n%s", request, expected, f->heard);
    }
    (void)close(fd);
    spend(f, 5);
}

static void test_answer_has_correct_head(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /hello?name=J%C3%BCrgen+x HTTP/1.1\r\nHost: h\r\n\r\n",
        "hello J\xc3\xbcrgen x from 127.0.0.1 1");
    expect_heard(f, "HTTP/1.1 200 OK\r\nDate: ");
    expect_heard(f, " GMT\r\nContent-Type: text/plain\r\n");
    expect_heard(f, "\r\nX-Extra: one\r\nX-Content-Type-Options: nosniff\r\n");
    expect_heard(f, "\r\nConnection: keep-alive\r\nContent-Length: 32\r\n\r\n");
}

struct outcome {
    const char *request;
    const char *expected;
    const char *reason; /* whose refusal counter rises, or NULL */
    bool closes;
};

static void check_outcome(struct fixture *f, const struct outcome *outcome)
{
    double before = outcome->reason != NULL ? refused(f, outcome->reason) : 0;
    int fd = dial(f);
    forget(f);
    say(fd, outcome->request);
    if (!hear_until(f, fd, outcome->expected, 1500)) {
        fail_msg("request:\n%s\nexpected \"%s\", heard:\n%s", outcome->request, outcome->expected, f->heard);
    }
    if (outcome->reason != NULL) {
        assert_true(refused(f, outcome->reason) == before + 1);
    }
    if (hear_end(f, fd, outcome->closes ? 1500 : 30) != outcome->closes) {
        fail_msg("request:\n%s\nexpected %s", outcome->request, outcome->closes ? "a close" : "no close");
    }
    (void)close(fd);
    spend(f, 2);
}

static void test_refusals(void **state)
{
    static const struct outcome outcomes[] = {
        {"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "not_found", false},
        {"POST /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "\r\nAllow: GET, HEAD\r\n", "method",
         false},
        {"PUT /part/1/and/2 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nAllow: GET, HEAD, DELETE\r\n", "method",
         false},
        {"BREW /hello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 ", "method", false},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\r\n", "HTTP/1.1 411 ",
         "length_required", true},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         "HTTP/1.1 411 ", "length_required", true},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
         "HTTP/1.1 411 ", "length_required", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 411 ",
         "length_required", true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 ", "too_big", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 413 ", "too_big", true},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}",
         "HTTP/1.1 415 ", "media_type", true},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: application/jsonp\r\n\r\n{}",
         "HTTP/1.1 415 ", "media_type", true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}", "HTTP/1.1 400 ", "malformed",
         true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2 2\r\n\r\n{}", "HTTP/1.1 400 ", "malformed",
         true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
         "HTTP/1.1 400 ", "malformed", true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 400 ",
         "malformed", true},
        {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost : h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET hello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET  /hello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 ", "malformed", true},
        {"GET /hello%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /hello?a=%4 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /files/../hello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /files/%2e%2e/hello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /files/..%2fhello HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"GET /files/%2E HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "malformed", true},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: tea\r\n\r\n", "HTTP/1.1 417 ",
         "expectation", true},
    };
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        check_outcome(*state, &outcomes[i]);
    }
}

static void test_accepted_forms(void **state)
{
    static const struct outcome outcomes[] = {
        {"GET /part/a%20b/and/c HTTP/1.1\r\nHost: h\r\n\r\n", "[a b][c]", NULL, false},
        {"DELETE /part/a/and/c HTTP/1.1\r\nHost: h\r\n\r\n", "[a][c]", NULL, false},
        {"GET /files/a/b...c/%C3%A4 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\na/b...c/\xc3\xa4", NULL, false},
        {"GET /files/ HTTP/1.1\r\nHost: h\r\n\r\n", "Content-Length: 0\r\n\r\n", NULL, false},
        {"GET http://h/hello HTTP/1.1\r\nHost: h\r\n\r\n", "hello - from", NULL, false},
        {"\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n", "hello - from", NULL, false},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "\r\nConnection: close\r\n", NULL,
         true},
        {"GET /hello HTTP/1.0\r\n\r\n", "\r\nConnection: close\r\n", NULL, true},
        {"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: keep-alive\r\n", NULL,
         false},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
         "\r\n\r\n{}", NULL, false},
        {"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\n", NULL,
         false},
        /* Names that are prefixes of known ones hang libwebsockets' own parser. */
        {"GET /hello HTTP/1.1\r\nA: 1\r\nHost: h\r\nX: 2\r\nContent: 3\r\nH: 4\r\n\r\n", "hello - from", NULL,
         false},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
         "\r\n\r\n",
         "HTTP/1.1 200 OK\r\n", NULL, false},
    };
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        check_outcome(*state, &outcomes[i]);
    }
}

static void test_refusal_body_is_a_problem(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
        "{\"title\":\"Not Found\",\"status\":404,\"code\":\"not_found\"}");
    expect_heard(f, "\r\nContent-Type: application/problem+json\r\n");
}

static void test_head_is_get_without_body(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\nHEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(hear_until(f, fd, "404 Not Found", 1000));
    spend(f, 10);
    assert_false(hear_end(f, fd, 20));
    expect_heard(f, "Content-Length: 24\r\n\r\nHTTP/1.1 404 Not Found"); /* no body between the two */
    assert_string_equal(f->heard + f->heard_length - 4, "\r\n\r\n");
    (void)close(fd);
}

static void test_keep_alive_and_pipelining_keep_order(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "GET /part/1/and/x HTTP/1.1\r\nHost: h\r\n\r\n"
            "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n[2]"
            "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"
            "GET /part/4/and/x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(hear_until(f, fd, "[4][x]", 3000));
    assert_int_equal(count_heard(f, "HTTP/1.1 200 OK"), 4);
    const char *one = strstr(f->heard, "[1][x]");
    const char *two = strstr(f->heard, "\r\n\r\n[2]");
    const char *big = strstr(f->heard, "X-Big: yes");
    assert_true(one != NULL && two != NULL && big != NULL && one < two && two < big);
    forget(f);
    say(fd, "GET /part/5/and/x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(hear_until(f, fd, "[5][x]", 1000));
    (void)close(fd);
}

static void test_request_split_into_single_bytes(void **state)
{
    struct fixture *f = *state;
    static const char request[] = "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd";
    int fd = dial(f);
    forget(f);
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        say_bytes(fd, request + i, 1);
        spend(f, 1);
    }
    assert_true(hear_until(f, fd, "\r\n\r\nabcd", 1000));
    (void)close(fd);
}

static void test_large_body_arrives_whole(void **state)
{
    struct fixture *f = *state;
    enum { LENGTH = 150000 };
    char head[256];
    int length = snprintf(
        head, sizeof head,
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
        LENGTH);
    int fd = dial(f);
    forget(f);
    say_bytes(fd, head, (size_t)length);
    for (int i = 0; i < LENGTH / 1000; i++) {
        char piece[1000];
        memset(piece, 'a' + i % 26, sizeof piece);
        say_bytes(fd, piece, sizeof piece);
        spend(f, 0);
    }
    assert_true(hear_until(f, fd, "\r\n\r\n", 2000));
    size_t head_length = (size_t)(strstr(f->heard, "\r\n\r\n") + 4 - f->heard);
    assert_true(hear_bytes(f, fd, head_length + LENGTH, 3000));
    for (int i = 0; i < LENGTH; i++) {
        assert_int_equal(f->heard[head_length + (size_t)i], 'a' + i / 1000 % 26);
    }
    (void)close(fd);
}

static void check_big_answer(struct fixture *f, const char *request)
{
    int fd = dial(f);
    forget(f);
    say(fd, request);
    spend(f, 50); /* not reading: the gateway must keep the rest */
    assert_true(hear_until(f, fd, "\r\n\r\n", 2000));
    size_t head_length = (size_t)(strstr(f->heard, "\r\n\r\n") + 4 - f->heard);
    assert_true(hear_bytes(f, fd, head_length + 300000, 5000));
    assert_int_equal(f->heard_length, head_length + 300000);
    for (size_t i = 0; i < 300000; i++) {
        assert_int_equal(f->heard[head_length + i], (char)('a' + i % 23));
    }
    (void)close(fd);
}

static void test_large_answer_drains_without_blocking(void **state)
{
    check_big_answer(*state, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    check_big_answer(*state, "GET /big?static=1 HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void test_expect_continue_is_answered_at_once(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_true(hear_until(f, fd, "HTTP/1.1 100 Continue\r\n\r\n", 500));
    say(fd, "abcd");
    assert_true(hear_until(f, fd, "\r\n\r\nabcd", 500));
    (void)close(fd);
}

static void test_slow_head_and_slow_body_time_out(void **state)
{
    struct fixture *f = *state;
    static const char *const slow[] = {"GET /hello HTTP/1.1\r\nHos",
                                       "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab"};
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(f);
        forget(f);
        say(fd, slow[i]);
        spend(f, 900);
        say(fd, "t"); /* one more byte buys no time */
        assert_true(hear_until(f, fd, "HTTP/1.1 408 ", 700));
        assert_true(hear_end(f, fd, 2000));
        (void)close(fd);
    }
    assert_true(refused(f, "timeout") == 2);
    int silent = dial(f);
    assert_true(hear_end(f, silent, 3000));
    (void)close(silent);
    assert_true(metric_read(metrics_find(f->metrics, "gw_hung_up_total", "reason=\"idle\"")) == 1);
    assert_true(refused(f, "timeout") == 2);
}

static void test_empty_lines_buy_no_time(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    for (int i = 0; i < 3; i++) { /* of a second, 0.9 */
        say(fd, "\r\n");
        spend(f, 300);
    }
    say(fd, "\r\n");
    assert_true(hear_until(f, fd, "HTTP/1.1 408 ", 700));
    assert_true(hear_end(f, fd, 2000));
    (void)close(fd);
    assert_true(refused(f, "timeout") == 1);
}

static void test_head_over_the_cap_is_431(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
    static char filler[16384];
    memset(filler, 'x', sizeof filler);
    say_bytes(fd, filler, sizeof filler);
    assert_true(hear_until(f, fd, "HTTP/1.1 431 ", 1000));
    assert_true(hear_end(f, fd, 1500));
    (void)close(fd);

    fd = dial(f);
    forget(f);
    say(fd, "GET /hello HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ");
    say_bytes(fd, filler, 8192);
    say(fd, "\r\n\r\n");
    assert_true(hear_until(f, fd, "hello - from", 1000));
    (void)close(fd);
}

static void test_kept_exchange_is_answered_later_in_order(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 50);
    assert_non_null(f->kept);
    assert_false(hear_bytes(f, fd, 1, 20));
    http_answer(f->kept, 202, "text/plain", "kept", 4, false);
    assert_true(hear_until(f, fd, "hello - from", 1000));
    assert_true(strstr(f->heard, "kept") < strstr(f->heard, "hello"));
    assert_int_equal(f->gone, 0);
    (void)close(fd);
}

static void test_waiting_costs_no_processor_time(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    static char flood[1 << 20];
    memset(flood, 'x', sizeof flood);
    forget(f);
    say(fd, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 20);
    assert_non_null(f->kept);
    (void)send(fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL); /* more than is read ahead */
    spend(f, 50);
    struct loop_timer *stop_timer = loop_timer_create(f->loop, (loop_fn *)loop_stop, f->loop);
    loop_timer_arm(stop_timer, 300);
    clock_t before = clock();
    loop_run(f->loop);
    assert_true(clock() - before < CLOCKS_PER_SEC / 10); /* a spinning loop would use all 300 ms */
    loop_timer_destroy(stop_timer);
    http_answer(f->kept, 200, "text/plain", "kept", 4, false);
    assert_true(hear_until(f, fd, "kept", 1000));
    (void)close(fd);
}

static void test_kept_exchange_hears_that_the_peer_left(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 20);
    assert_non_null(f->kept);
    (void)close(fd);
    assert_true(await(f, &f->gone, 1, 1000));
    assert_int_equal(listener_connection_count(f->listener), 0);
}

static void test_kept_exchange_may_be_answered_after_a_reset(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "GET /kept?deaf=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 20);
    assert_non_null(f->kept);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    (void)close(fd);
    spend(f, 30);
    http_answer(f->kept, 200, "text/plain", "late", 4, false);
    spend(f, 10);
    assert_int_equal(listener_connection_count(f->listener), 0);
}

static void test_half_closed_client_gets_its_answer(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(hear_end(f, fd, 3000));
    expect_heard(f, "hello - from");
    (void)close(fd);
}

static void test_stream_writes_drain_and_end(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\nignored");
    assert_true(hear_until(f, fd, "\r\n\r\n", 1000));
    expect_heard(f, "\r\nContent-Type: text/event-stream\r\n");
    expect_heard(f, "\r\nConnection: close\r\n");
    assert_null(strstr(f->heard, "Content-Length"));
    assert_true(metric_read(metrics_find(f->metrics, "gw_connections", "kind=\"sse\"")) == 1);

    static char chunk[50000];
    unsigned writes = 0;
    while (http_stream_can_write(f->stream)) { /* nobody reads: the kernel's buffers fill */
        memset(chunk, 'a' + (int)(writes % 26), sizeof chunk);
        assert_int_equal(http_stream_write(f->stream, chunk, sizeof chunk), RESULT_OK);
        assert_true(++writes < 1000);
    }
    http_stream_request_writable(f->stream);
    spend(f, 50);
    assert_int_equal(f->stream_writable, 0);
    forget(f);
    assert_true(hear_bytes(f, fd, writes * sizeof chunk, 5000));
    assert_true(await(f, &f->stream_writable, 1, 1000));
    for (size_t i = 0; i < writes * sizeof chunk; i += 1000) {
        assert_int_equal(f->heard[i], 'a' + (int)(i / sizeof chunk % 26));
    }
    assert_true(http_stream_can_write(f->stream));
    assert_int_equal(http_stream_write(f->stream, "last", 4), RESULT_OK);
    http_stream_close(f->stream);
    assert_false(http_stream_can_write(f->stream));
    assert_true(hear_end(f, fd, 1500));
    expect_heard(f, "last");
    assert_true(await(f, &f->stream_closed, 1, 1000));
    (void)close(fd);
    spend(f, 20);
    assert_int_equal(f->stream_closed, 1);
}

static void test_stream_hears_that_the_viewer_left(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 20);
    assert_non_null(f->stream);
    (void)close(fd);
    assert_true(await(f, &f->stream_closed, 1, 1000));
    assert_int_equal(listener_connection_count(f->listener), 0);
    assert_true(metric_read(metrics_find(f->metrics, "gw_connections", "kind=\"sse\"")) == 0);
}

static void test_stream_outlives_the_request_timeout(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 2200);
    assert_non_null(f->stream);
    assert_int_equal(http_stream_write(f->stream, "still", 5), RESULT_OK);
    assert_true(hear_until(f, fd, "still", 500));
    (void)close(fd);
}

static double answered(const struct fixture *f, const char *code)
{
    return metric_read(metrics_find(f->metrics, "gw_http_requests_total", code));
}

static void test_pipelined_requests_wait_their_turn(void **state)
{
    enum { REQUESTS = 300 };
    struct fixture *f = *state;
    int greedy = dial(f);
    int modest = dial(f);
    spend(f, 5);
    for (int i = 0; i < REQUESTS; i++) {
        say(greedy, "HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    say(modest, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int turn = 0; turn < 3; turn++) {
        loop_run_once(f->loop, false);
    }
    assert_true(answered(f, "code=\"2xx\"") < 10);
    char heard[64];
    assert_true(recv(modest, heard, sizeof heard, MSG_DONTWAIT) > 0);

    assert_int_equal(shutdown(greedy, SHUT_WR), 0); /* every request was made before: every one is answered */
    forget(f);
    assert_true(hear_end(f, greedy, 3000));
    assert_int_equal(count_heard(f, "HTTP/1.1 200 OK"), REQUESTS);
    (void)close(greedy);
    (void)close(modest);
}

static void test_empty_lines_cost_no_more_than_their_bytes(void **state)
{
    struct fixture *f = *state;
    static char lines[40000];
    for (size_t i = 0; i < sizeof lines; i++) {
        lines[i] = i % 2 == 0 ? '\r' : '\n';
    }
    int fd = dial(f);
    clock_t began = clock();
    for (int i = 0; i < 200; i++) {
        say_bytes(fd, lines, sizeof lines);
        loop_run_once(f->loop, false);
        loop_run_once(f->loop, false);
    }
    assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 0.5); /* by moving the rest each time: seconds */
    forget(f);
    say(fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(hear_until(f, fd, "hello -", 1000));
    (void)close(fd);
}

static void test_route_refuses_by_the_head_alone(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    forget(f);
    say(fd, "POST /asked HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd"
            "POST /asked?no HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
            "POST /asked?no HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_true(hear_end(f, fd, 2000)); /* although the last body never came */
    assert_non_null(strstr(f->heard, "\r\n\r\nabcd"));
    assert_int_equal(count_heard(f, "HTTP/1.1 403 "), 2);
    assert_int_equal(count_heard(f, "Connection: keep-alive"), 2);
    assert_int_equal(count_heard(f, "Connection: close"), 1);
    assert_int_equal(count_heard(f, "100 Continue"), 0);
    (void)close(fd);
}

/** As many of the same request as it takes until one is refused; the descriptors, and how many. */
static size_t crowd_until_refused(struct fixture *f, const char *request, int *fds, size_t most)
{
    for (size_t count = 0; count < most; count++) {
        fds[count] = dial(f);
        say(fds[count], request);
        loop_run_once(f->loop, false);
        spend(f, 1);
        if (refused(f, "overloaded") > 0) {
            return count + 1;
        }
    }
    return 0;
}

static void leave_all(struct fixture *f, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    spend(f, 20);
}

/** meanwhile: a request of the other kind, with a body or an answer that has to be kept; each has room of its own. */
static void expect_crowd_is_bounded(struct fixture *f, const char *request, const char *meanwhile,
                                    const char *after)
{
    enum { MOST = 400 };
    int fds[MOST];
    fixture_stop(f);
    fixture_start(f, &(struct listener_options){.max_connections = 1000, .request_timeout_s = 20});
    size_t count = crowd_until_refused(f, request, fds, MOST);
    assert_true(count > 200);
    forget(f);
    assert_true(hear_until(f, fds[count - 1], "\"code\":\"overloaded\"", 1000));
    expect_heard(f, "HTTP/1.1 503 ");
    expect_heard(f, "Retry-After: 1\r\n");
    assert_null(strstr(f->heard, "X-Big"));
    ask(f, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n", "hello"); /* what needs no room is still answered */
    ask(f, meanwhile, "HTTP/1.1 200 OK");
    ask(f, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK");
    leave_all(f, fds, count);
    ask(f, after, "HTTP/1.1 200 OK");
    assert_true(refused(f, "overloaded") == 1);
}

static void test_bodies_on_their_way_are_bounded(void **state)
{
    expect_crowd_is_bounded(
        *state,
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n",
        "GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
}

static void test_unread_answers_are_bounded(void **state)
{
    expect_crowd_is_bounded(*state, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
                            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                            "Content-Length: 2\r\n\r\n{}",
                            "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void test_busy_are_those_with_a_request(void **state)
{
    struct fixture *f = *state;
    int idle = dial(f);
    int half = dial(f);
    int kept = dial(f);
    int stream = dial(f);
    say(half, "GET /hello HTTP/1.1\r\n");
    say(kept, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\n");
    say(stream, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    spend(f, 20);
    assert_non_null(f->kept);
    assert_non_null(f->stream);
    assert_int_equal(listener_busy_count(f->listener), 2);
    http_answer(f->kept, 200, NULL, NULL, 0, true);
    say(half, "Host: h\r\n\r\n");
    spend(f, 20);
    assert_int_equal(listener_busy_count(f->listener), 0);
    leave_all(f, (int[]){idle, half, kept, stream}, 4);
}

static void test_a_name_that_is_not_ours_is_misdirected(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421 ");
    assert_non_null(strstr(f->heard, "host_not_allowed"));
    assert_non_null(strstr(f->heard, "Connection: close"));
    ask(f, "POST /echo HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 421 ");
    ask(f, "GET /ws HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 421 ");
    assert_true(refused(f, "host") == 3);
    ask(f, "GET /hello HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "HTTP/1.1 200 ");
    ask(f, "GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ");
    assert_true(refused(f, "host") == 3);
}

static void test_pages_of_listed_origins_may_read(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /hello HTTP/1.1\r\nHost: h\r\nOrigin: https://dash.example\r\n\r\n", "HTTP/1.1 200 ");
    assert_non_null(strstr(f->heard, "\r\nAccess-Control-Allow-Origin: https://dash.example\r\n"));
    assert_non_null(strstr(f->heard, "\r\nVary: Origin\r\n"));
    static const char *const others[] = {
        "GET /hello HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: h\r\nOrigin: https://dash.example\r\nOrigin: https://evil.example\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n", /* our own page needs no leave */
        "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ask(f, others[i],
            "HTTP/1.1 200 "); /* whoever it is may ask; a browser hides the answer from the page */
        assert_null(strstr(f->heard, "Access-Control"));
        assert_non_null(strstr(f->heard, "\r\nVary: Origin\r\n"));
    }
    ask(f, "GET /nowhere HTTP/1.1\r\nHost: h\r\nOrigin: https://dash.example\r\n\r\n", "HTTP/1.1 404 ");
    assert_non_null(strstr(f->heard, "\r\nAccess-Control-Allow-Origin: https://dash.example\r\n"));
}

static void test_a_listed_page_may_ask_to_read_but_not_to_write(void **state)
{
    struct fixture *f = *state;
#define PREFLIGHT(origin)                                                                                \
    "OPTIONS /hello HTTP/1.1\r\nHost: h\r\nOrigin: " origin "\r\nAccess-Control-Request-Method: GET\r\n" \
    "Access-Control-Request-Headers: authorization\r\n\r\n"
    ask(f, PREFLIGHT("https://dash.example"), "HTTP/1.1 204 ");
    assert_non_null(strstr(f->heard, "\r\nAccess-Control-Allow-Origin: https://dash.example\r\n"));
    assert_non_null(strstr(f->heard, "\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n"));
    assert_non_null(strstr(f->heard, "\r\nAccess-Control-Allow-Headers: Authorization, "));
    assert_null(strstr(f->heard, "POST"));
    ask(f, PREFLIGHT("https://evil.example"), "HTTP/1.1 405 ");
    assert_null(strstr(f->heard, "Access-Control"));
    ask(f, "OPTIONS /hello HTTP/1.1\r\nHost: h\r\nOrigin: https://dash.example\r\n\r\n", "HTTP/1.1 405 ");
    int fd = dial(f); /* the connection serves on */
    say(fd, PREFLIGHT("https://dash.example") "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(hear_end(f, fd, 2000));
    assert_non_null(strstr(f->heard, "HTTP/1.1 204 "));
    const char *second = strstr(f->heard, "HTTP/1.1 200 ");
    assert_non_null(second);
    assert_null(strstr(second, "Access-Control")); /* what was said to the page is not said again */
}

static void test_requests_are_counted(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n", "hello");
    ask(f, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "404");
    assert_true(answered(f, "code=\"2xx\"") == 1);
    assert_true(answered(f, "code=\"4xx\"") == 1);
    assert_true(metric_read(metrics_find(f->metrics, "gw_http_seconds", NULL)) == 1);
    assert_true(metric_read(metrics_find(f->metrics, "gw_accepted_total", NULL)) == 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_answer_has_correct_head),
        TEST(test_refusals),
        TEST(test_accepted_forms),
        TEST(test_refusal_body_is_a_problem),
        TEST(test_head_is_get_without_body),
        TEST(test_keep_alive_and_pipelining_keep_order),
        TEST(test_request_split_into_single_bytes),
        TEST(test_large_body_arrives_whole),
        TEST(test_large_answer_drains_without_blocking),
        TEST(test_expect_continue_is_answered_at_once),
        TEST(test_slow_head_and_slow_body_time_out),
        TEST(test_empty_lines_buy_no_time),
        TEST(test_head_over_the_cap_is_431),
        TEST(test_kept_exchange_is_answered_later_in_order),
        TEST(test_waiting_costs_no_processor_time),
        TEST(test_kept_exchange_hears_that_the_peer_left),
        TEST(test_kept_exchange_may_be_answered_after_a_reset),
        TEST(test_half_closed_client_gets_its_answer),
        TEST(test_stream_writes_drain_and_end),
        TEST(test_stream_hears_that_the_viewer_left),
        TEST(test_stream_outlives_the_request_timeout),
        TEST(test_pipelined_requests_wait_their_turn),
        TEST(test_empty_lines_cost_no_more_than_their_bytes),
        TEST(test_route_refuses_by_the_head_alone),
        TEST(test_bodies_on_their_way_are_bounded),
        TEST(test_unread_answers_are_bounded),
        TEST(test_busy_are_those_with_a_request),
        TEST(test_a_name_that_is_not_ours_is_misdirected),
        TEST(test_pages_of_listed_origins_may_read),
        TEST(test_a_listed_page_may_ask_to_read_but_not_to_write),
        TEST(test_requests_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
