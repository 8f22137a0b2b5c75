/*
 * Time passes without calls, so what is stored may be out of date: settled()
 * says what it has become, and everything else starts from that.
 */
#include "io/breaker.h"

void breaker_init(struct breaker *breaker, const struct breaker_options *options)
{
    *breaker = (struct breaker){.options = *options};
}

/* A probe that was not answered by its deadline failed then, whenever that is noticed. */
static struct breaker settled(const struct breaker *breaker, uint64_t now_ms)
{
    struct breaker now = *breaker;
    if (now.state == BREAKER_HALF_OPEN && now_ms - now.changed_at_ms >= now.options.probe_ms) {
        now.state = BREAKER_OPEN;
        now.changed_at_ms += now.options.probe_ms;
        now.opened_total++;
    }
    return now;
}

static bool is_probe_due(const struct breaker *settled_breaker, uint64_t now_ms)
{
    return settled_breaker->state == BREAKER_OPEN &&
           now_ms - settled_breaker->changed_at_ms >= settled_breaker->options.open_ms;
}

static void open_now(struct breaker *breaker, uint64_t now_ms)
{
    breaker->state = BREAKER_OPEN;
    breaker->changed_at_ms = now_ms;
    breaker->opened_total++;
}

bool breaker_allow(struct breaker *breaker, uint64_t now_ms)
{
    *breaker = settled(breaker, now_ms);
    if (is_probe_due(breaker, now_ms)) {
        breaker->state = BREAKER_HALF_OPEN;
        breaker->changed_at_ms = now_ms;
        return true;
    }
    return breaker->state == BREAKER_CLOSED;
}

void breaker_succeed(struct breaker *breaker, uint64_t now_ms)
{
    *breaker = settled(breaker, now_ms);
    breaker->failures = 0;
    if (breaker->state != BREAKER_CLOSED) {
        breaker->state = BREAKER_CLOSED;
        breaker->changed_at_ms = now_ms;
    }
}

void breaker_fail(struct breaker *breaker, uint64_t now_ms)
{
    *breaker = settled(breaker, now_ms);
    if (breaker->failures < UINT32_MAX) {
        breaker->failures++;
    }
    /* While open it is news of a request from before: it must not put the probe off. */
    if (breaker->state == BREAKER_HALF_OPEN ||
        (breaker->state == BREAKER_CLOSED && breaker->failures >= breaker->options.failures)) {
        open_now(breaker, now_ms);
    }
}

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ms)
{
    struct breaker now = settled(breaker, now_ms);
    return is_probe_due(&now, now_ms) ? BREAKER_HALF_OPEN : now.state;
}

uint64_t breaker_next_probe_ms(const struct breaker *breaker, uint64_t now_ms)
{
    struct breaker now = settled(breaker, now_ms);
    if (now.state == BREAKER_CLOSED || is_probe_due(&now, now_ms)) {
        return 0;
    }
    uint64_t due = now.changed_at_ms + now.options.open_ms;
    if (now.state == BREAKER_HALF_OPEN) {
        due += now.options.probe_ms; /* when the one that is out gets no answer */
    }
    return due - now_ms;
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[BREAKER_STATE_COUNT] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_HALF_OPEN] = "half_open", [BREAKER_OPEN] = "open"};
    return names[state];
}
