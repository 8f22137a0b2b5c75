/**
 * The two clocks. Intervals use the monotonic one; wall time is for display,
 * as_of and logs. Modules below io/ take the time as an argument instead.
 */
#ifndef SOPHIA_BASE_CLOCK_H
#define SOPHIA_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
/** Unix milliseconds. */
int64_t clock_wall_ms(void);

/** One moment on both clocks, read once per loop turn and handed down. */
struct moment {
    uint64_t monotonic_ms;
    int64_t wall_ms;
};
struct moment clock_moment(void);

/** Fill with random bytes from the kernel; aborts the process if it cannot. */
void random_fill(void *out, unsigned long length);
uint64_t random_u64(void);

#endif
