/*
 * Full jitter: uniform below a ceiling that doubles. The floor keeps a refused
 * connection from being dialled again in the same millisecond.
 */
#include "io/backoff.h"

void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t limit_ms)
{
    *backoff = (struct backoff){.base_ms = base_ms, .limit_ms = limit_ms};
}

static uint64_t ceiling_ms(const struct backoff *backoff)
{
    uint64_t ceiling = backoff->base_ms;
    for (uint32_t i = 0; i < backoff->attempts && ceiling < backoff->limit_ms; i++) {
        ceiling *= 2;
    }
    return ceiling < backoff->limit_ms ? ceiling : backoff->limit_ms;
}

uint32_t backoff_next_ms(struct backoff *backoff, uint64_t random)
{
    uint64_t wait = random % (ceiling_ms(backoff) + 1);
    if (backoff->attempts < UINT32_MAX) {
        backoff->attempts++;
    }
    uint32_t floor = backoff->base_ms / 10;
    return wait < floor ? floor : (uint32_t)wait;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->attempts = 0;
}
