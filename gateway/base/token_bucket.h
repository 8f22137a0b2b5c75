/**
 * How often something may happen: so many times a second, with a bounded burst after a rest.
 *
 * Pure: the caller passes the monotonic time in.
 */
#ifndef SOPHIA_BASE_TOKEN_BUCKET_H
#define SOPHIA_BASE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
    uint64_t credit;    /* in millionths of a token */
    uint64_t filled_us; /* when credit was last brought up to date */
    uint32_t per_s;     /* 0 = no limit */
    uint32_t burst;     /* most tokens at one time, at least 1 */
};

/** Starts full. */
void token_bucket_init(struct token_bucket *bucket, uint32_t per_s, uint32_t burst, uint64_t now_us);
/** Take one token; false when there is none. */
bool token_bucket_take(struct token_bucket *bucket, uint64_t now_us);
/** How long until `tokens` are there, at most the burst; 0 when they are. */
uint64_t token_bucket_wait_us(struct token_bucket *bucket, uint32_t tokens, uint64_t now_us);

#endif
