/* Static files: loaded from a tree made for the test, asked for over a real socket. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "io/listener.h"
#include "io/loop_handles.h"
#include "transports/static_files.h"

struct fixture {
    char directory[64];
    struct loop *loop;
    struct metrics *metrics;
    struct listener *listener;
    struct static_files *files;
    char heard[100000];
    size_t heard_length;
};

static const char script[] =
    "console.log('hello hello hello hello hello hello hello hello hello hello hello');\n";

static void write_file(const struct fixture *f, const char *path, const char *content, size_t length)
{
    char name[512];
    (void)snprintf(name, sizeof name, "%s/%s", f->directory, path);
    for (char *slash = strchr(name + strlen(f->directory) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(name, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static int remove_tree(const char *directory)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

static int start(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    *f = (struct fixture){.directory = "/tmp/test_static_files.XXXXXX"};
    *state = f;
    assert_non_null(mkdtemp(f->directory));
    write_file(f, "index.html", "<!doctype html>", 15);
    write_file(f, "main.js", script, sizeof script - 1);
    write_file(f, "assets/0123abcd/app.js", script, sizeof script - 1);
    write_file(f, "assets/nothex00/app.js", script, sizeof script - 1);
    write_file(f, "deep/er/index.html", "deeper", 6);
    write_file(f, "empty.txt", "", 0);
    write_file(f, "one.bin", "x", 1);
    write_file(f, ".secret", "no", 2);
    write_file(f, "with space.txt", "space", 5);
    f->files = static_files_load(f->directory);
    assert_non_null(f->files);
    f->loop = loop_create();
    f->metrics = metrics_create();
    const struct listener_options options = {.host = "127.0.0.1",
                                             .max_connections = 10,
                                             .send_buffer_bytes = 16384,
                                             .ping_after_s = 25,
                                             .hang_up_after_s = 75,
                                             .request_timeout_s = 5};
    f->listener = listener_create(f->loop, f->metrics, &options);
    assert_non_null(f->listener);
    static_files_add_routes(f->files, f->listener);
    assert_int_equal(listener_start(f->listener), RESULT_OK);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    listener_destroy(f->listener);
    static_files_destroy(f->files);
    loop_destroy(f->loop);
    metrics_destroy(f->metrics);
    return remove_tree(f->directory);
}

/** GET with more header lines; hears until the gateway closes. */
static const char *ask(struct fixture *f, const char *method, const char *path, const char *headers)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(f->listener))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&wait, 1, 1000), 1);
    char request[1024];
    int length =
        snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
                 method, path, headers);
    assert_int_equal(send(fd, request, (size_t)length, 0), length);
    uint64_t end = clock_monotonic_ms() + 2000;
    f->heard_length = 0;
    while (clock_monotonic_ms() < end) {
        loop_run_once(f->loop, false);
        ssize_t got = recv(fd, f->heard + f->heard_length, sizeof f->heard - 1 - f->heard_length, 0);
        if (got == 0) {
            break;
        }
        f->heard_length += got > 0 ? (size_t)got : 0;
        (void)poll(NULL, 0, 1);
    }
    (void)close(fd);
    f->heard[f->heard_length] = '\0';
    return f->heard;
}

static void expect(const char *heard, const char *needle)
{
    if (strstr(heard, needle) == NULL) {
        print_error("expected:\n");
        print_error("%s\n", needle != NULL ? needle : "");
        fail_msg("in:\n%s", heard != NULL ? heard : "");
    }
}

static const char *body_of(const char *heard)
{
    const char *end = strstr(heard, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void copy_etag(const char *heard, char out_etag[64])
{
    const char *at = strstr(heard, "\r\nETag: ");
    assert_non_null(at);
    at += 8;
    size_t length = strcspn(at, "\r");
    assert_true(length < 64);
    memcpy(out_etag, at, length);
    out_etag[length] = '\0';
}

static void test_files_are_served_with_type_and_caching(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(static_files_count(f->files), 8);
    const char *heard = ask(f, "GET", "/main.js", "");
    expect(heard, "HTTP/1.1 200 OK\r\n");
    expect(heard, "\r\nContent-Type: text/javascript; charset=utf-8\r\n");
    expect(heard, "\r\nCache-Control: no-cache\r\n");
    expect(heard, "\r\nVary: Accept-Encoding\r\n");
    assert_null(strstr(heard, "Content-Encoding"));
    assert_string_equal(body_of(heard), script);
    expect(ask(f, "GET", "/assets/0123abcd/app.js", ""),
           "\r\nCache-Control: public, max-age=31536000, immutable\r\n");
    expect(ask(f, "GET", "/assets/nothex00/app.js", ""), "\r\nCache-Control: no-cache\r\n");
    expect(ask(f, "GET", "/with%20space.txt", ""), "\r\n\r\nspace");
    expect(ask(f, "GET", "/empty.txt", "Accept-Encoding: gzip\r\n"), "Content-Length: 0\r\n\r\n");
    expect(ask(f, "GET", "/one.bin", "Accept-Encoding: gzip\r\n"), "application/octet-stream");
}

static void test_directories_have_an_index(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(body_of(ask(f, "GET", "/", "")), "<!doctype html>");
    expect(f->heard, "text/html; charset=utf-8");
    assert_string_equal(body_of(ask(f, "GET", "/deep/er/", "")), "deeper");
    expect(ask(f, "GET", "/deep/", ""), "HTTP/1.1 404 ");
    expect(ask(f, "GET", "/deep/er", ""), "HTTP/1.1 404 ");
}

static void test_nothing_else_is_reachable(void **state)
{
    struct fixture *f = *state;
    expect(ask(f, "GET", "/.secret", ""), "HTTP/1.1 404 ");
    expect(ask(f, "GET", "/../etc/passwd", ""), "HTTP/1.1 400 ");
    expect(ask(f, "GET", "/%2e%2e/etc/passwd", ""), "HTTP/1.1 400 ");
    expect(ask(f, "GET", "//etc/passwd", ""), "HTTP/1.1 404 ");
    expect(ask(f, "GET", "/main.js/", ""), "HTTP/1.1 404 ");
    expect(ask(f, "POST", "/main.js", "Content-Length: 0\r\n"), "HTTP/1.1 405 ");
    expect(f->heard, "\r\nAllow: GET, HEAD\r\n");
    expect(ask(f, "DELETE", "/main.js", ""), "HTTP/1.1 405 ");
}

static void test_gzip_is_sent_to_who_accepts_it(void **state)
{
    struct fixture *f = *state;
    static const char *const yes[] = {"gzip", "br, gzip", "deflate,GZIP;q=0.5", "*",
                                      "identity;q=0.5, *;q=0.1"};
    static const char *const no[] = {"br", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "x-gzipped", ""};
    char header[128];
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        (void)snprintf(header, sizeof header, "Accept-Encoding: %s\r\n", yes[i]);
        expect(ask(f, "GET", "/main.js", header), "\r\nContent-Encoding: gzip\r\n");
    }
    const char *body = body_of(f->heard);
    char plain[1000];
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)body,
                       .avail_in = (uInt)(f->heard_length - (size_t)(body - f->heard)),
                       .next_out = (Bytef *)plain,
                       .avail_out = sizeof plain};
    assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, sizeof script - 1);
    assert_memory_equal(plain, script, sizeof script - 1);
    assert_int_equal(inflateEnd(&stream), Z_OK);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        (void)snprintf(header, sizeof header, "Accept-Encoding: %s\r\n", no[i]);
        assert_string_equal(body_of(ask(f, "GET", "/main.js", header)), script);
    }
}

static void test_etag_is_quoted_per_form_and_answers_304(void **state)
{
    struct fixture *f = *state;
    char plain[64];
    char gzip[64];
    char header[256];
    copy_etag(ask(f, "GET", "/main.js", ""), plain);
    copy_etag(ask(f, "GET", "/main.js", "Accept-Encoding: gzip\r\n"), gzip);
    assert_int_equal(plain[0], '"');
    assert_int_equal(plain[strlen(plain) - 1], '"');
    assert_string_not_equal(plain, gzip);

    (void)snprintf(header, sizeof header, "If-None-Match: \"x\", W/%s\r\n", plain);
    const char *heard = ask(f, "GET", "/main.js", header);
    expect(heard, "HTTP/1.1 304 Not Modified\r\n");
    expect(heard, "\r\nVary: Accept-Encoding\r\n");
    expect(heard, plain);
    assert_null(strstr(heard, "Content-Length"));
    assert_string_equal(body_of(heard), "");
    expect(ask(f, "GET", "/main.js", "If-None-Match: *\r\n"), "HTTP/1.1 304 ");
    (void)snprintf(header, sizeof header, "If-None-Match: %s\r\nAccept-Encoding: gzip\r\n", plain);
    expect(ask(f, "GET", "/main.js", header), "HTTP/1.1 200 ");
    expect(ask(f, "GET", "/main.js", "If-None-Match: \"x\"\r\n"), "HTTP/1.1 200 ");
}

static void test_head_tells_the_length_without_the_body(void **state)
{
    struct fixture *f = *state;
    char length[64];
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", sizeof script - 1);
    const char *heard = ask(f, "HEAD", "/main.js", "");
    expect(heard, length);
    assert_string_equal(body_of(heard), "");
}

static void test_tree_that_cannot_be_read_whole_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_null(static_files_load("/nowhere/at/all"));
    write_file(f, "1/2/3/4/5/6/7/8/9/too_deep.txt", "x", 1);
    assert_null(static_files_load(f->directory));
}

static void test_link_that_loops_ends(void **state)
{
    struct fixture *f = *state;
    char name[128];
    (void)snprintf(name, sizeof name, "%s/deep/self", f->directory);
    assert_int_equal(symlink(".", name), 0);
    assert_null(static_files_load(f->directory));
}

static void test_too_many_files_are_refused(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < STATIC_FILES_MAX - 8; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "many/%d", i);
        write_file(f, name, "x", 1);
    }
    struct static_files *files = static_files_load(f->directory);
    assert_non_null(files);
    assert_int_equal(static_files_count(files), STATIC_FILES_MAX);
    static_files_destroy(files);
    write_file(f, "many/more", "x", 1);
    assert_null(static_files_load(f->directory));
}

static void test_too_many_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    char name[128];
    (void)snprintf(name, sizeof name, "%s/huge.bin", f->directory);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, STATIC_FILES_MAX_BYTES), 0); /* with the others, over the cap */
    (void)close(fd);
    assert_null(static_files_load(f->directory));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_files_are_served_with_type_and_caching),
        TEST(test_directories_have_an_index),
        TEST(test_nothing_else_is_reachable),
        TEST(test_gzip_is_sent_to_who_accepts_it),
        TEST(test_etag_is_quoted_per_form_and_answers_304),
        TEST(test_head_tells_the_length_without_the_body),
        TEST(test_tree_that_cannot_be_read_whole_is_refused),
        TEST(test_link_that_loops_ends),
        TEST(test_too_many_files_are_refused),
        TEST(test_too_many_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
