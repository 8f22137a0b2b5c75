/* What the whole machine did comes in clock ticks of 10 ms: good for seconds, not for less. */
#include "loadtest/load/load_machine.h"

#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

static bool read_text(const char *path, char out_text[TEXT_BYTES])
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    size_t length = fread(out_text, 1, TEXT_BYTES - 1, file);
    (void)fclose(file); /* nothing was written */
    out_text[length] = '\0';
    return length > 0;
}

static double tick_us(void)
{
    return 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static bool process_us(pid_t pid, double *out_us)
{
    clockid_t clock;
    struct timespec used;
    /* The clock of a process counts nanoseconds where /proc/PID/stat has ticks: 10 ms are much in a short or quiet window. */
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return false;
    }
    *out_us = (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
    return true;
}

static bool machine_us(struct load_cpu *cpu)
{
    char text[TEXT_BYTES];
    uint64_t ticks[8]; /* user nice system idle iowait irq softirq steal */
    if (!read_text("/proc/stat", text) ||
        sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64,
               &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8) {
        return false;
    }
    for (size_t i = 0; i < 8; i++) {
        double us = (double)ticks[i] * tick_us();
        cpu->whole_us += us;
        cpu->busy_us += i == 3 || i == 4 || i == 7 ? 0 : us;
    }
    cpu->stolen_us = (double)ticks[7] * tick_us();
    return true;
}

void load_idlers_find(struct load_servers *servers)
{
    DIR *processes = opendir("/proc");
    for (const struct dirent *entry; processes && (entry = readdir(processes)) != NULL;) {
        long pid = strtol(entry->d_name, NULL, 10); /* 0 for what is no process, which would mean us */
        if (pid > 0 && servers->aside_count < LOAD_PIDS_MAX && sched_getscheduler((pid_t)pid) == SCHED_IDLE) {
            servers->aside[servers->aside_count++] = (pid_t)pid;
        }
    }
    if (processes) {
        (void)closedir(processes); /* nothing was written */
    }
}

bool load_cpu_read(const struct load_servers *servers, struct load_cpu *out_cpu)
{
    struct load_cpu cpu = {0};
    struct timespec own;
    for (uint32_t i = 0; i < servers->count; i++) {
        double us;
        if (!process_us(servers->pids[i], &us)) {
            return false;
        }
        cpu.servers_us += us;
    }
    for (uint32_t i = 0; i < servers->aside_count; i++) {
        double us;
        cpu.aside_us += process_us(servers->aside[i], &us) ? us : 0;
    }
    if (!machine_us(&cpu) || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) != 0) {
        return false;
    }
    cpu.own_us = (double)own.tv_sec * 1e6 + (double)own.tv_nsec / 1e3;
    *out_cpu = cpu;
    return true;
}

struct load_cpu load_cpu_between(const struct load_cpu *from, const struct load_cpu *to)
{
    return (struct load_cpu){
        .servers_us = to->servers_us - from->servers_us,
        .own_us = to->own_us - from->own_us,
        .busy_us = to->busy_us - from->busy_us,
        .stolen_us = to->stolen_us - from->stolen_us,
        .whole_us = to->whole_us - from->whole_us,
        .aside_us = to->aside_us - from->aside_us,
    };
}

double load_cpu_others(const struct load_cpu *window)
{
    double others_us = window->busy_us - window->servers_us - window->own_us - window->aside_us;
    /* Some are known by the nanosecond and the whole by ticks: a difference below one says nothing. */
    return others_us > 0 && window->whole_us > 0 ? others_us / window->whole_us : 0;
}

uint64_t load_rss_kib(const struct load_servers *servers)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < servers->count; i++) {
        char path[64], text[TEXT_BYTES];
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)servers->pids[i]);
        const char *rss = read_text(path, text) ? strstr(text, "\nRss:") : NULL;
        if (!rss) {
            return 0;
        }
        sum += strtoull(rss + sizeof "\nRss:" - 1, NULL, 10);
    }
    return sum;
}

uint64_t load_socket_kib(void)
{
    char text[TEXT_BYTES];
    const char *tcp = read_text("/proc/net/sockstat", text) ? strstr(text, "\nTCP:") : NULL;
    const char *pages = tcp ? strstr(tcp, " mem ") : NULL;
    return pages ? strtoull(pages + 5, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024 : 0;
}
