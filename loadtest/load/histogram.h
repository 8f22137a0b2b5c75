/**
 * Times with three significant digits, from 1 us to 60 s: buckets that are linear within a power of two, as in Gil
 * Tene's HdrHistogram (Debian 12 packages none for C). Recording is two shifts and an add; a bucket is never wider than
 * 1/1024 of its value.
 */
#ifndef SOPHIA_LOADTEST_LOAD_HISTOGRAM_H
#define SOPHIA_LOADTEST_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 2048, /* values below this have a bucket each; above, half as many per power of two */
    HISTOGRAM_MAX_US = 60000000,
    HISTOGRAM_BUCKETS = HISTOGRAM_STEPS + 15 * (HISTOGRAM_STEPS / 2), /* up to 2^26 us */
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_us; /* exact, also beyond HISTOGRAM_MAX_US */
    uint64_t sum_us;
};

void histogram_clear(struct histogram *histogram);
/** Longer than HISTOGRAM_MAX_US counts as that long; max_us keeps the truth. */
void histogram_record(struct histogram *histogram, uint64_t value_us, uint64_t times);
/**
 * The largest value that is equivalent to the one at `quantile` (0 .. 1) of all recorded ones, never more than max_us.
 * 0 when nothing was recorded: ask count first.
 */
uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile);

#endif
