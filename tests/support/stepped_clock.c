/*
 * A wall clock that a test sets, for LD_PRELOAD: the file named by TEST_CLOCK_AHEAD holds how many milliseconds are added to it,
 * as an int64_t (whole seconds count). The file is mapped, so that it counts from the moment it is written. Monotonic clocks are left alone, as when
 * somebody sets the machine's clock.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now);
int gettimeofday(struct timeval *now, void *zone);
time_t time(time_t *out_now);

static const volatile int64_t *added_ms;

__attribute__((constructor)) static void clock_open(void)
{
    const char *path = getenv("TEST_CLOCK_AHEAD");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *added_ms, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at == MAP_FAILED) {
        abort(); /* a test of nothing */
    }
    added_ms = at;
    (void)close(fd); /* the map stays */
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && added_ms) {
        int64_t ms = *added_ms;
        now->tv_sec += (time_t)(ms / 1000);
    }
    return (int)result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec at;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &at);
    *now = (struct timeval){.tv_sec = at.tv_sec, .tv_usec = (suseconds_t)(at.tv_nsec / 1000)};
    return result;
}

time_t time(time_t *out_now)
{
    struct timespec at = {0};
    (void)clock_gettime(CLOCK_REALTIME, &at);
    if (out_now) {
        *out_now = at.tv_sec;
    }
    return at.tv_sec;
}
