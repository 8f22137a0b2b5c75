/** What /proc says: processor time and memory of the gateways, of ourselves, and of everybody else. */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_MACHINE_H
#define SOPHIA_LOADTEST_LOAD_LOAD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { LOAD_PIDS_MAX = 64 };

/** Processes whose use of the processors is known; zeroed to begin with. */
struct load_servers {
    pid_t pids[LOAD_PIDS_MAX];
    uint32_t count;
    pid_t aside
        [LOAD_PIDS_MAX]; /* take part, but are not what is measured: databases, and what load_idlers_find() found */
    uint32_t aside_count;
};

/** Running sums; subtract two. */
struct load_cpu {
    double servers_us; /* user and system time of all threads, past ones included */
    double own_us;     /* ours */
    double busy_us, stolen_us,
        whole_us;    /* of all processors: used by anybody, taken by the hypervisor, in all */
    double aside_us; /* the part of busy_us that those aside used */
};

/**
 * Puts aside the processes there are now that run only when nobody else wants to (SCHED_IDLE), such as those of awake.mjs:
 * what they use is nobody's loss. At most LOAD_PIDS_MAX; more count as others.
 *
 * Cost: a look at every process.
 */
void load_idlers_find(struct load_servers *servers);

/** Share of the machine that was used by neither the servers nor us nor those aside; 0 or more. */
double load_cpu_others(const struct load_cpu *window);

/** False: a server is gone, or /proc cannot be read. */
bool load_cpu_read(const struct load_servers *servers, struct load_cpu *out_cpu);
struct load_cpu load_cpu_between(const struct load_cpu *from, const struct load_cpu *to);
/** Resident memory of all servers in KiB; 0 when there are none, or one is gone. */
uint64_t load_rss_kib(const struct load_servers *servers);
/** What the kernel holds in TCP buffers, of everybody on the machine, in KiB. */
uint64_t load_socket_kib(void);

#endif
