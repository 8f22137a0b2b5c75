/*
 * Threshold levels. A better level is told at once, but only when the number is better than the limit it
 * leaves by the hysteresis; a worse level is told after it has held for_ms. When a number wanders between
 * warn and crit while it waits, the time counts for the milder of the two, which has held all along.
 */
#include "catalog/threshold.h"

#include <assert.h>
#include <math.h>

static const char *const level_names[LEVEL_COUNT] = {
    [LEVEL_OK] = "ok",
    [LEVEL_WARN] = "warn",
    [LEVEL_CRIT] = "crit",
};

const char *threshold_level_name(enum threshold_level level)
{
    assert((unsigned)level < LEVEL_COUNT);
    return level_names[level];
}

/** What the limits are compared with; NAN when a part is missing or the quotient has no meaning. */
static double measured(const struct threshold *threshold, double number, double target, double base)
{
    switch (threshold->basis) {
    case BASIS_VALUE:
        return number;
    case BASIS_VS_TARGET:
        return target == 0.0 ? NAN : number / target;
    case BASIS_VS_BASE:
        return base == 0.0 ? NAN : (number - base) / fabs(base);
    }
    return NAN;
}

static bool is_beyond(const struct threshold *threshold, double number, double limit, bool is_held)
{
    double slack = is_held ? threshold->hysteresis : 0.0;
    if (threshold->direction == GOOD_UP) {
        return number < limit + slack;
    }
    return is_held && slack > 0.0 ? number > limit - slack : number >= limit;
}

static enum threshold_level level_now(const struct threshold *threshold, enum threshold_level held,
                                      double number)
{
    if (is_beyond(threshold, number, threshold->crit, held >= LEVEL_CRIT)) {
        return LEVEL_CRIT;
    }
    if (is_beyond(threshold, number, threshold->warn, held >= LEVEL_WARN)) {
        return LEVEL_WARN;
    }
    return LEVEL_OK;
}

static void settle(struct threshold_memory *memory, enum threshold_level level)
{
    memory->level = level;
    memory->pending = level;
    memory->pending_since_ms = 0;
}

/** A worse level waits in `pending` until it has held for_ms. */
static void wait_for_worse(const struct threshold *threshold, struct threshold_memory *memory,
                           enum threshold_level worse, uint64_t now_ms)
{
    if (memory->pending <= memory->level) {
        memory->pending = worse;
        memory->pending_since_ms = now_ms;
    } else if (worse < memory->pending) {
        memory->pending = worse;
    }
    if (now_ms - memory->pending_since_ms < threshold->for_ms) {
        return;
    }
    settle(memory, memory->pending);
    if (worse > memory->level) {
        memory->pending = worse;
        memory->pending_since_ms = now_ms;
    }
}

enum threshold_level threshold_evaluate(const struct threshold *threshold, struct threshold_memory *memory,
                                        double number, double target, double base, uint64_t now_ms)
{
    double value = threshold->is_set ? measured(threshold, number, target, base) : NAN;
    if (isnan(value)) {
        settle(memory, LEVEL_OK);
        return LEVEL_OK;
    }
    enum threshold_level level = level_now(threshold, memory->level, value);
    if (level <= memory->level || threshold->for_ms == 0) {
        settle(memory, level);
    } else {
        wait_for_worse(threshold, memory, level, now_ms);
    }
    return memory->level;
}
