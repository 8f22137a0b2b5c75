/*
 * In integers: one token is a million units, so that a rate per second adds `per_s` units each microsecond and
 * nothing is lost to rounding however often it is asked.
 */
#include "base/token_bucket.h"

#include <assert.h>

enum { UNITS_PER_TOKEN = 1000000 };

static uint64_t capacity(const struct token_bucket *bucket)
{
    return (uint64_t)bucket->burst * UNITS_PER_TOKEN;
}

static void fill(struct token_bucket *bucket, uint64_t now_us)
{
    uint64_t elapsed_us = now_us > bucket->filled_us ? now_us - bucket->filled_us : 0;
    uint64_t missing = capacity(bucket) - bucket->credit;
    /* Compared, not multiplied: after a long rest the product would overflow. */
    bool is_full = elapsed_us >= missing / bucket->per_s + 1;
    bucket->credit = is_full ? capacity(bucket) : bucket->credit + elapsed_us * bucket->per_s;
    bucket->filled_us += elapsed_us;
}

void token_bucket_init(struct token_bucket *bucket, uint32_t per_s, uint32_t burst, uint64_t now_us)
{
    assert(burst > 0);
    *bucket = (struct token_bucket){.per_s = per_s, .burst = burst, .filled_us = now_us};
    bucket->credit = capacity(bucket);
}

bool token_bucket_take(struct token_bucket *bucket, uint64_t now_us)
{
    if (bucket->per_s == 0) {
        return true;
    }
    fill(bucket, now_us);
    if (bucket->credit < UNITS_PER_TOKEN) {
        return false;
    }
    bucket->credit -= UNITS_PER_TOKEN;
    return true;
}

uint64_t token_bucket_wait_us(struct token_bucket *bucket, uint32_t tokens, uint64_t now_us)
{
    if (bucket->per_s == 0) {
        return 0;
    }
    fill(bucket, now_us);
    uint64_t wanted = (uint64_t)(tokens < bucket->burst ? tokens : bucket->burst) * UNITS_PER_TOKEN;
    if (bucket->credit >= wanted) {
        return 0;
    }
    return (wanted - bucket->credit + bucket->per_s - 1) / bucket->per_s;
}
