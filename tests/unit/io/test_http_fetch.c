/* Documents of another server, which is a scripted one in the same thread: what is taken, refused and given up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/http_fetch.h"
#include "io/loop_handles.h"

enum { MOST = 1000, TIMEOUT_MS = 400 };

static struct loop *loop;
static struct http_fetch *fetch;
static int listening, peer;
static char url[64], heard[4096], body[MOST + 1], problem[HTTP_FETCH_PROBLEM_BYTES];
static unsigned bodies, failures;
static bool is_same;

static void on_body(void *context, const char *text, size_t length)
{
    (void)context;
    bodies++;
    is_same = text == NULL;
    assert_true(length <= MOST);
    if (text) {
        memcpy(body, text, length);
        body[length] = '\0';
    }
}

static void on_failure(void *context, const char *words)
{
    (void)context;
    failures++;
    (void)snprintf(problem, sizeof problem, "%s", words);
}

static int setup(void **context)
{
    (void)context;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    loop = loop_create();
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listening, 4), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/keys", ntohs(address.sin_port));
    const struct http_fetch_options options = {
        .loop = loop,
        .url = url,
        .timeout_ms = TIMEOUT_MS,
        .max_bytes = MOST,
        .on_body = on_body,
        .on_failure = on_failure,
    };
    fetch = http_fetch_create(&options);
    assert_non_null(fetch);
    peer = -1;
    bodies = failures = 0;
    return 0;
}

static void hang_up(void)
{
    if (peer >= 0) {
        assert_int_equal(close(peer), 0);
        peer = -1;
    }
}

static int teardown(void **context)
{
    (void)context;
    http_fetch_destroy(fetch);
    hang_up();
    assert_int_equal(close(listening), 0);
    loop_run_once(loop, false);
    loop_destroy(loop);
    return 0;
}

static void turn(void)
{
    loop_run_once(loop, false);
    usleep(1000);
}

/** Wait for a request, whole. */
static void hear(void)
{
    size_t length = 0;
    for (int i = 0; i < 3000 && !strstr(heard, "\r\n\r\n"); i++) {
        turn();
        if (peer < 0) {
            peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            continue;
        }
        ssize_t count = read(peer, heard + length, sizeof heard - 1 - length);
        length += count > 0 ? (size_t)count : 0;
        heard[length] = '\0';
    }
    assert_non_null(strstr(heard, "\r\n\r\n"));
}

static void say(const char *text)
{
    size_t length = strlen(text);
    assert_int_equal(send(peer, text, length, MSG_NOSIGNAL), length);
}

static void await_end(void)
{
    unsigned before = bodies + failures;
    for (int i = 0; i < 3000 && bodies + failures == before; i++) {
        turn();
    }
    assert_int_equal(bodies + failures, before + 1);
    assert_false(http_fetch_is_busy(fetch));
}

/** One request and its answer. */
static void exchange(const char *answer)
{
    heard[0] = '\0';
    http_fetch_start(fetch);
    assert_true(http_fetch_is_busy(fetch));
    http_fetch_start(fetch); /* one at a time */
    hear();
    say(answer);
    await_end();
}

static void test_a_body_is_handed_over(void **context)
{
    (void)context;
    exchange("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_string_equal(body, "hello");
    assert_memory_equal(heard, "GET /keys HTTP/1.1\r\n", 20);
    assert_non_null(strstr(heard, "\r\nUser-Agent: sophia-gateway/"));
    assert_null(strstr(heard, "If-None-Match"));
    exchange(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"); /* the same connection */
    assert_string_equal(body, "abc");
    exchange("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_string_equal(body, "");
    assert_int_equal(bodies, 3);
}

static void test_an_etag_is_asked_about_until_it_is_forgotten(void **context)
{
    (void)context;
    exchange("HTTP/1.1 200 OK\r\netag:   \"a b\"  \r\nContent-Length: 1\r\n\r\nx");
    exchange("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_non_null(strstr(heard, "\r\nIf-None-Match: \"a b\"\r\n"));
    assert_true(is_same);
    exchange("HTTP/1.1 500 Oh\r\nETag: \"c\"\r\nContent-Length: 0\r\n\r\n");
    exchange("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny");
    assert_non_null(strstr(heard, "\r\nIf-None-Match: \"a b\"\r\n"));
    exchange("HTTP/1.1 200 OK\r\nETag: \"d\"\r\nContent-Length: 1\r\n\r\ny");
    assert_null(strstr(heard, "If-None-Match"));
    http_fetch_forget(fetch);
    exchange("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_null(strstr(heard, "If-None-Match"));
    assert_string_equal(problem, "the answer was 304, not 200");
}

static void test_a_long_etag_is_not_kept(void **context)
{
    (void)context;
    char answer[512];
    (void)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nETag: \"%0*d\"\r\nContent-Length: 1\r\n\r\nx",
                   HTTP_FETCH_ETAG_MAX_BYTES - 1, 1);
    exchange(answer);
    exchange("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_null(strstr(heard, "If-None-Match"));
}

static void test_what_is_no_document_is_a_failure(void **context)
{
    (void)context;
    static const struct {
        const char *answer, *problem;
    } rows[] = {
        {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "the answer was 404, not 200"},
        {"HTTP/1.1 302 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "the answer was 302, not 200"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "the answer is larger than 1000 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", "the answer is larger than 1000 bytes"},
        {"SSH-2.0-OpenSSH\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        exchange(rows[i].answer);
        assert_int_equal(failures, i + 1);
        if (rows[i].problem) {
            assert_string_equal(problem, rows[i].problem);
        }
        hang_up();
    }
    assert_int_equal(bodies, 0);
}

static void test_a_body_that_does_not_end_is_cut(void **context)
{
    (void)context;
    char text[700];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    heard[0] = '\0';
    http_fetch_start(fetch);
    hear();
    say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    say(text);
    for (int i = 0; i < 20; i++) {
        turn();
    }
    assert_int_equal(failures, 0);
    say(text);
    await_end();
    assert_string_equal(problem, "the answer is larger than 1000 bytes");
}

static void test_a_silent_server_is_given_up(void **context)
{
    (void)context;
    heard[0] = '\0';
    http_fetch_start(fetch);
    hear();
    await_end();
    assert_int_equal(failures, 1);
    assert_non_null(strstr(problem, "timed out"));
}

static void test_a_connection_that_is_cut_is_a_failure(void **context)
{
    (void)context;
    heard[0] = '\0';
    http_fetch_start(fetch);
    hear();
    say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    hang_up();
    await_end();
    assert_int_equal(failures, 1);
    exchange("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_string_equal(body, "ok");
}

static void test_it_may_end_in_the_middle(void **context)
{
    (void)context;
    heard[0] = '\0';
    http_fetch_start(fetch);
    hear(); /* teardown destroys it */
    assert_true(http_fetch_is_busy(fetch));
}

static void test_addresses(void **context)
{
    (void)context;
    static const char *const good[] = {
        "https://login.example/keys", "https://login.example:8443/a?b=c", "http://127.0.0.1/keys",
        "http://127.9.9.9:80/",       "http://localhost:8080/keys",       "http://[::1]/keys",
        "HTTPS://LOGIN.EXAMPLE/",
    };
    static const char *const bad[] = {
        "http://login.example/keys",
        "http://128.0.0.1/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "https://user@login.example/",
        "https://user:password@login.example/",
        "https://login.example/#keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "login.example/keys",
        "/keys",
        "",
        "https://",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!http_fetch_may_use(good[i])) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (http_fetch_may_use(bad[i])) {
            fail_msg("%s", bad[i]);
        }
    }
    char text[HTTP_FETCH_URL_MAX_BYTES + 2];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "https://login.example/", 22);
    assert_false(http_fetch_may_use(text));
    text[sizeof text - 2] = '\0';
    assert_true(http_fetch_may_use(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_body_is_handed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_etag_is_asked_about_until_it_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_etag_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_document_is_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_that_does_not_end_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_server_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_connection_that_is_cut_is_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_may_end_in_the_middle, setup, teardown),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
