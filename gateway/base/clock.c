/*
 * The two clocks and the kernel's random numbers.
 *
 * Neither can fail on a system we run on: both Linux clocks always exist, and
 * getrandom only waits at boot. Running on without randomness would make map
 * keys and epochs guessable, so that failure ends the process.
 */
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec now = {0};
    (void)clock_gettime(id, &now); /* fails only for an unknown id or a bad pointer */
    return now;
}

uint64_t clock_monotonic_us(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct moment clock_moment(void)
{
    return (struct moment){.monotonic_ms = clock_monotonic_ms(), .wall_ms = clock_wall_ms()};
}

void random_fill(void *out, unsigned long length)
{
    unsigned char *at = out;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            abort();
        }
        at += got;
        length -= (unsigned long)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;
    random_fill(&value, sizeof value);
    return value;
}
