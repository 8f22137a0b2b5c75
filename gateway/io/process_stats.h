/**
 * What the operating system says about this process.
 *
 * Loop: reads a few small files below /proc and /sys, which never block.
 */
#ifndef SOPHIA_IO_PROCESS_STATS_H
#define SOPHIA_IO_PROCESS_STATS_H

#include <stdint.h>

struct process_stats {
    uint64_t resident_bytes;
    uint64_t limit_bytes; /* of the control group, or the memory of the machine */
    uint64_t cpu_us;      /* user and system time since the start */
    uint32_t open_fds;
};

/** What cannot be read is 0. */
struct process_stats process_stats_read(void);

#endif
