/**
 * How old may a value be, and what do we call it then.
 *
 * Computed from the source's as_of, so a value that stops being refreshed keeps
 * ageing even when nothing is received. Spec: PROTOCOL.md, "Values", Freshness;
 * cases: protocol/vectors/freshness.json.
 */
#ifndef SOPHIA_CATALOG_FRESHNESS_H
#define SOPHIA_CATALOG_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/change.h"

struct freshness_class {
    char *name;
    bool never_ages;    /* events: no limits */
    int64_t fresh_ms;   /* age <= fresh_ms: fresh */
    int64_t stale_ms;   /* age <= stale_ms: ageing */
    int64_t expired_ms; /* age <= expired_ms: stale; beyond: expired */
};

enum freshness {
    FRESHNESS_FRESH,
    FRESHNESS_AGEING,
    FRESHNESS_STALE,
    FRESHNESS_EXPIRED,
    FRESHNESS_NO_DATA,
    FRESHNESS_INVALID,
    FRESHNESS_UNREACHABLE,
    FRESHNESS_COUNT
};

const char *freshness_name(enum freshness freshness);

enum freshness freshness_of(const struct freshness_class *limits, enum value_state state, int64_t as_of_ms,
                            bool source_is_up, int64_t now_ms);

#endif
