/*
 * Bucket of a value: its index itself below HISTOGRAM_STEPS; above, the leading 11 bits, one block of half
 * HISTOGRAM_STEPS for each further power of two. The inverse gives the highest value of a bucket, so a quantile is never
 * told better than it was.
 */
#include "loadtest/load/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { HALF = HISTOGRAM_STEPS / 2 };

static uint32_t bucket_of(uint64_t value_us)
{
    if (value_us < HISTOGRAM_STEPS) {
        return (uint32_t)value_us;
    }
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(value_us); /* >= 12 */
    uint32_t shift = bits - 11;                               /* leaves HALF .. HISTOGRAM_STEPS - 1 */
    return shift * HALF + (uint32_t)(value_us >> shift);      /* shift 1 begins at HISTOGRAM_STEPS */
}

static uint64_t highest_of(uint32_t bucket)
{
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    uint32_t shift = bucket / HALF - 1;
    uint64_t lead = bucket - shift * HALF;
    return ((lead + 1) << shift) - 1;
}

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_record(struct histogram *histogram, uint64_t value_us, uint64_t times)
{
    uint32_t bucket = bucket_of(value_us < HISTOGRAM_MAX_US ? value_us : HISTOGRAM_MAX_US);
    assert(bucket < HISTOGRAM_BUCKETS);
    histogram->counts[bucket] += times;
    histogram->count += times;
    histogram->sum_us += value_us * times;
    if (times > 0 && value_us > histogram->max_us) {
        histogram->max_us = value_us;
    }
}

uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile)
{
    assert(quantile >= 0 && quantile <= 1);
    if (histogram->count == 0) {
        return 0;
    }
    /* 0.404 * 20,000 is a little more than 8,080. */
    double rank = ceil((double)histogram->count * quantile - 1e-6);
    uint64_t wanted = rank > 1 ? (uint64_t)rank : 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            /* The last bucket has no upper end. */
            uint64_t highest = i < bucket_of(HISTOGRAM_MAX_US) ? highest_of(i) : UINT64_MAX;
            return highest < histogram->max_us ? highest : histogram->max_us;
        }
    }
    return histogram->max_us;
}
