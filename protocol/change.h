/**
 * What a producer says: decode a change envelope. Whether the catalogue knows
 * the field and likes the value is catalog/'s business (catalog_admit).
 * Spec: PROTOCOL.md, "Changes". Schema: schema/change.json.
 */
#ifndef SOPHIA_PROTOCOL_CHANGE_H
#define SOPHIA_PROTOCOL_CHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/limits.h"
#include "protocol/result.h"

/** What the producer says about the value beside the value itself. */
enum value_state {
    VALUE_OK,
    VALUE_PARTIAL,     /* right, but some inputs are missing; reason says which */
    VALUE_NO_DATA,     /* there is no value; reason says why */
    VALUE_INVALID,     /* the last input was refused; the last good value is kept */
    VALUE_UNREACHABLE, /* the source cannot be read; the last value is kept */
    VALUE_STATE_COUNT
};

const char *value_state_name(enum value_state state);
MUST_CHECK enum result value_state_parse(const char *text, enum value_state *out_state);

struct change {
    char field[FIELD_MAX_BYTES + 1]; /* "kpi" or "kpi#row" */
    bool is_delete;                  /* remove this table row */
    bool is_demo;                    /* set by the demo source only, never decoded */
    json_t *value;                   /* owned reference or NULL; number, decimal string, object */
    json_t *target;                  /* owned reference or NULL: number or decimal string */
    json_t *base;                    /* owned reference or NULL: what `compare` compares with */
    json_t *points;                  /* owned reference or NULL: [[as_of_ms, value], ...] for history */
    double numerator, denominator;   /* used when has_ratio; value is NULL then */
    bool has_ratio;
    bool has_as_of;
    int64_t as_of_ms; /* Unix milliseconds, the source's clock */
    bool has_version;
    uint64_t version;       /* decides order; without it arrival order decides */
    bool is_version_hidden; /* it orders readings, not values: not told to viewers; never decoded */
    enum value_state state;
    char reason[REASON_MAX_BYTES + 1];
};

/**
 * Decode one envelope.
 *
 * Owns:   on RESULT_OK the caller calls change_finish(); on failure nothing.
 * Result: MALFORMED (no object, or it says two things at once), MISSING_FIELD, WRONG_TYPE,
 *         OUT_OF_RANGE, TOO_BIG and TOO_DEEP (the value), UNKNOWN_TYPE (an unknown member);
 *         out_problem then points to static text naming the member, or is NULL.
 */
MUST_CHECK enum result change_decode(const json_t *envelope, struct change *out_change,
                                     const char **out_problem);
/** Releases the references. Safe on a zeroed struct and on NULL. */
void change_finish(struct change *change);

/**
 * "1284300.5" -> fixed scale decimal text, as "1284300.50". Accepts a JSON
 * string of the form -?digits(.digits)?, an integer or a real (printed with 15
 * significant digits first). Never uses floating point arithmetic on a string.
 * Result: WRONG_TYPE, OUT_OF_RANGE (more than 15 significant digits, or more
 *         non-zero decimals than `decimals`).
 */
MUST_CHECK enum result decimal_normalise(const json_t *value, int decimals, char *out_text, size_t out_size);

/** RFC 3339 ("2026-11-21T10:00:00.123Z", offsets allowed) to Unix milliseconds. */
MUST_CHECK enum result time_parse(const char *text, int64_t *out_ms);

#endif
