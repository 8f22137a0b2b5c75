/*
 * Freshness from as_of, the class limits and the state: the order of precedence of PROTOCOL.md, "Freshness".
 * An age below zero (a source clock that runs ahead) is fresh: the door refuses clocks that are far ahead.
 */
#include "catalog/freshness.h"

#include <assert.h>

static const char *const freshness_names[FRESHNESS_COUNT] = {
    [FRESHNESS_FRESH] = "fresh",
    [FRESHNESS_AGEING] = "ageing",
    [FRESHNESS_STALE] = "stale",
    [FRESHNESS_EXPIRED] = "expired",
    [FRESHNESS_NO_DATA] = "nodata",
    [FRESHNESS_INVALID] = "invalid",
    [FRESHNESS_UNREACHABLE] = "unreachable",
};

const char *freshness_name(enum freshness freshness)
{
    assert((unsigned)freshness < FRESHNESS_COUNT);
    return freshness_names[freshness];
}

static enum freshness freshness_of_age(const struct freshness_class *limits, int64_t age_ms,
                                       bool source_is_up)
{
    if (limits->never_ages || age_ms <= limits->fresh_ms) {
        return FRESHNESS_FRESH;
    }
    if (!source_is_up) {
        return FRESHNESS_UNREACHABLE;
    }
    if (age_ms <= limits->stale_ms) {
        return FRESHNESS_AGEING;
    }
    return age_ms <= limits->expired_ms ? FRESHNESS_STALE : FRESHNESS_EXPIRED;
}

enum freshness freshness_of(const struct freshness_class *limits, enum value_state state, int64_t as_of_ms,
                            bool source_is_up, int64_t now_ms)
{
    switch (state) {
    case VALUE_NO_DATA:
        return FRESHNESS_NO_DATA;
    case VALUE_INVALID:
        return FRESHNESS_INVALID;
    case VALUE_UNREACHABLE:
        return FRESHNESS_UNREACHABLE;
    case VALUE_OK:
    case VALUE_PARTIAL:
    case VALUE_STATE_COUNT:
        break;
    }
    int64_t age_ms = 0;
    if (__builtin_sub_overflow(now_ms, as_of_ms, &age_ms)) {
        age_ms = now_ms > as_of_ms ? INT64_MAX : INT64_MIN;
    }
    return freshness_of_age(limits, age_ms, source_is_up);
}
