/**
 * How long to wait before the next attempt: full jitter, so that a thousand
 * clients of one dead server do not come back in step.
 *
 * Loop: pure; the random word is passed in.
 */
#ifndef SOPHIA_IO_BACKOFF_H
#define SOPHIA_IO_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t base_ms;  /* ceiling of the first wait */
    uint32_t limit_ms; /* ceiling of every wait */
    uint32_t attempts; /* failed in a row */
};

void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t limit_ms);
/** Uniform in 0..min(limit, base * 2^attempts), but never below a tenth of base; counts the attempt. */
uint32_t backoff_next_ms(struct backoff *backoff, uint64_t random);
/** It worked. */
void backoff_reset(struct backoff *backoff);

#endif
