/* One write per item, by either way: how much was taken, what failed, and in which order the parts leave. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/send_batch.h"

struct pair {
    int near, far;
};

static struct pair pair_open(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    return (struct pair){.near = fds[0], .far = fds[1]};
}

static void pair_close(const struct pair *pair)
{
    (void)close(pair->near);
    (void)close(pair->far);
}

static void item_add(struct send_item *item, const char *text)
{
    item->parts[item->part_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
}

static void expect_heard(const struct pair *pair, const char *expected)
{
    char heard[256] = "";
    ssize_t got = recv(pair->far, heard, sizeof heard - 1, 0);
    assert_int_equal(got, strlen(expected));
    assert_string_equal(heard, expected);
}

static void every_item_is_written(struct send_batch *batch)
{
    struct pair pairs[SEND_BATCH_MAX];
    static struct send_item items[SEND_BATCH_MAX];
    char texts[SEND_BATCH_MAX][8];
    for (int i = 0; i < SEND_BATCH_MAX; i++) {
        pairs[i] = pair_open();
        items[i] = (struct send_item){.fd = pairs[i].near};
        snprintf(texts[i], sizeof texts[i], "<%d>", i);
        for (int part = 0; part <= i % SEND_PARTS_MAX; part++) {
            item_add(&items[i], texts[i]);
        }
    }
    send_batch_run(batch, items, SEND_BATCH_MAX);
    for (int i = 0; i < SEND_BATCH_MAX; i++) {
        char expected[SEND_PARTS_MAX * 8] = "";
        for (int part = 0; part <= i % SEND_PARTS_MAX; part++) {
            strcat(expected, texts[i]);
        }
        assert_int_equal(items[i].taken, strlen(expected));
        expect_heard(&pairs[i], expected);
        pair_close(&pairs[i]);
    }
}

static void each_item_fails_alone(struct send_batch *batch)
{
    enum { FULL, GONE, CLOSED, GOOD, COUNT };
    static char big[1 << 22];
    struct pair pairs[COUNT];
    struct send_item items[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pairs[i] = pair_open();
        items[i] = (struct send_item){.fd = pairs[i].near};
        item_add(&items[i], "x");
    }
    while (send(pairs[FULL].near, big, sizeof big, MSG_DONTWAIT) > 0) {
    }
    (void)shutdown(pairs[GONE].near, SHUT_WR);
    items[CLOSED].fd = -1;
    send_batch_run(batch, items, COUNT);
    assert_int_equal(items[FULL].taken, -EAGAIN);
    assert_int_equal(items[GONE].taken, -EPIPE);
    assert_int_equal(items[CLOSED].taken, -EBADF);
    assert_int_equal(items[GOOD].taken, 1);
    for (int i = 0; i < COUNT; i++) {
        pair_close(&pairs[i]);
    }
}

static void a_short_write_says_how_much(struct send_batch *batch)
{
    static char big[1 << 22];
    struct pair pairs[2] = {pair_open(), pair_open()};
    struct send_item items[2] = {{.fd = pairs[0].near}, {.fd = pairs[1].near}};
    for (int i = 0; i < 2; i++) {
        items[i].parts[0] = (struct iovec){.iov_base = big, .iov_len = sizeof big};
        items[i].part_count = 1;
    }
    send_batch_run(batch, items, 2);
    for (int i = 0; i < 2; i++) {
        ssize_t heard = 0, got = 0;
        static char sink[65536];
        while ((got = recv(pairs[i].far, sink, sizeof sink, 0)) > 0) {
            heard += got;
        }
        assert_in_range(items[i].taken, 1, sizeof big - 1);
        assert_int_equal(items[i].taken, heard);
        pair_close(&pairs[i]);
    }
}

static void test_by_send(void **state)
{
    (void)state;
    struct send_batch *batch = send_batch_create(false);
    assert_false(send_batch_uses_uring(batch));
    every_item_is_written(batch);
    each_item_fails_alone(batch);
    a_short_write_says_how_much(batch);
    send_batch_run(batch, NULL, 0);
    send_batch_destroy(batch);
}

static void test_by_io_uring(void **state)
{
    (void)state;
    struct send_batch *batch = send_batch_create(true);
    assert_non_null(batch);
    if (!send_batch_uses_uring(batch)) {
        send_batch_destroy(batch);
        skip(); /* this kernel does not let us */
    }
    for (int round = 0; round < 3; round++) {
        every_item_is_written(batch);
        each_item_fails_alone(batch);
        a_short_write_says_how_much(batch);
        send_batch_run(batch, NULL, 0);
    }
    assert_true(send_batch_uses_uring(batch));
    send_batch_destroy(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_send),
        cmocka_unit_test(test_by_io_uring),
    };
    return cmocka_run_group_tests_name("send_batch", tests, NULL, NULL);
}
