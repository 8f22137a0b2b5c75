/*
 * Figures of this process from /proc, the control group and getrusage(). A
 * file that is missing (another kernel, a strict container) leaves its figure at 0.
 */
#include "io/process_stats.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The n-th number (from 0) of a one-line file; 0 when there is none, as for "max". */
static uint64_t read_number(const char *path, int index)
{
    FILE *file = fopen(path, "re");
    unsigned long long number = 0;
    if (!file) {
        return 0;
    }
    for (int i = 0; i <= index; i++) {
        if (fscanf(file, "%llu", &number) != 1) {
            number = 0;
            break;
        }
    }
    (void)fclose(file); /* nothing was written */
    return number;
}

static uint64_t page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (uint64_t)bytes : 4096;
}

static uint64_t memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    uint64_t machine = pages > 0 ? (uint64_t)pages * page_bytes() : 0;
    uint64_t group = read_number("/sys/fs/cgroup/memory.max", 0);
    return group > 0 && (machine == 0 || group < machine) ? group : machine;
}

static uint32_t count_open_fds(void)
{
    /* Linux says it since 6.2. Reading the directory took 7 ms of every second with 9,000 connections. */
    struct stat status;
    if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0) {
        return (uint32_t)status.st_size;
    }
    DIR *directory = opendir("/proc/self/fd");
    uint32_t count = 0;
    if (!directory) {
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(directory);        /* it was open */
    return count > 0 ? count - 1 : 0; /* not the one we opened to count */
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

struct process_stats process_stats_read(void)
{
    return (struct process_stats){
        .resident_bytes = read_number("/proc/self/statm", 1) * page_bytes(),
        .limit_bytes = memory_limit(),
        .cpu_us = cpu_us(),
        .open_fds = count_open_fds(),
    };
}
