/* See fake_redis.h. Sockets are non-blocking; one step is one turn of the loop and one millisecond. */
#include "fake_redis.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop_handles.h"

static void step(struct loop *loop)
{
    loop_run_once(loop, false);
    const struct timespec pause = {.tv_nsec = 500 * 1000};
    nanosleep(&pause, NULL);
}

void spend(struct loop *loop, int ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)ms;
    while (clock_monotonic_ms() < end) {
        step(loop);
    }
}

bool await(struct loop *loop, const unsigned *counter, unsigned wanted, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (*counter < wanted && clock_monotonic_ms() < end) {
        step(loop);
    }
    return *counter >= wanted;
}

void fake_redis_open(struct fake_redis *fake, struct loop *loop)
{
    fake->loop = loop;
    fake->fd = -1;
    fake->heard_length = 0;
    fake->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fake->listening >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fake->listening, (struct sockaddr *)&address, sizeof address), 0);
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(fake->listening, (struct sockaddr *)&address, &length), 0);
    fake->port = ntohs(address.sin_port);
    assert_int_equal(listen(fake->listening, 16), 0);
}

void fake_redis_close(struct fake_redis *fake)
{
    fake_redis_hang_up(fake, false);
    if (fake->listening >= 0) {
        (void)close(fake->listening);
        fake->listening = -1;
    }
}

void fake_redis_hang_up(struct fake_redis *fake, bool reset)
{
    if (fake->fd < 0) {
        return;
    }
    if (reset) {
        const struct linger linger = {.l_onoff = 1};
        (void)setsockopt(fake->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    (void)close(fake->fd);
    fake->fd = -1;
}

bool fake_redis_accept(struct fake_redis *fake, int timeout_ms)
{
    fake_redis_hang_up(fake, false);
    fake_redis_forget(fake);
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    while (clock_monotonic_ms() < end) {
        fake->fd = accept4(fake->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fake->fd >= 0) {
            return true;
        }
        step(fake->loop);
    }
    return false;
}

void fake_redis_forget(struct fake_redis *fake)
{
    fake->heard_length = 0;
    fake->heard[0] = '\0';
}

bool fake_redis_hear(struct fake_redis *fake, const char *text, int timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + (uint64_t)timeout_ms;
    for (;;) {
        ssize_t got =
            recv(fake->fd, fake->heard + fake->heard_length, sizeof fake->heard - 1 - fake->heard_length, 0);
        if (got > 0) {
            fake->heard_length += (size_t)got;
            fake->heard[fake->heard_length] = '\0';
        }
        if (memmem(fake->heard, fake->heard_length, text, strlen(text)) != NULL) {
            return true;
        }
        if (clock_monotonic_ms() >= end) {
            return false;
        }
        step(fake->loop);
    }
}

void fake_redis_say_bytes(struct fake_redis *fake, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fake->fd, at, length, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN) {
            return; /* the link has hung up: what the test looks at tells */
        }
        step(fake->loop);
    }
}

void fake_redis_say(struct fake_redis *fake, const char *text)
{
    fake_redis_say_bytes(fake, text, strlen(text));
}

bool fake_redis_greet(struct fake_redis *fake, int timeout_ms)
{
    if (!fake_redis_accept(fake, timeout_ms) || !fake_redis_hear(fake, "server\r\n", timeout_ms)) {
        return false;
    }
    fake_redis_forget(fake);
    fake_redis_say(fake, "+OK\r\n:17\r\n"
                         "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
                         "$46\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nx\r\n");
    return true;
}
