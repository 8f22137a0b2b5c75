/* The names of results. The table is indexed by the enum; a missing row fails the unit test. */
#include "protocol/result.h"

#include <stddef.h>

static const char *const names[RESULT_COUNT] = {
    [RESULT_OK] = "ok",
    [RESULT_NO_MEMORY] = "no_memory",
    [RESULT_TOO_BIG] = "too_big",
    [RESULT_FULL] = "full",
    [RESULT_MALFORMED] = "malformed",
    [RESULT_INVALID_TEXT] = "invalid_text",
    [RESULT_TOO_DEEP] = "too_deep",
    [RESULT_UNKNOWN_TYPE] = "unknown_type",
    [RESULT_MISSING_FIELD] = "missing_field",
    [RESULT_WRONG_TYPE] = "wrong_type",
    [RESULT_OUT_OF_RANGE] = "out_of_range",
    [RESULT_UNKNOWN_FIELD] = "unknown_field",
    [RESULT_UNKNOWN_BOARD] = "unknown_board",
    [RESULT_UNKNOWN_POSITION] = "unknown_position",
    [RESULT_FUTURE] = "future",
    [RESULT_NOT_SUBSCRIBED] = "not_subscribed",
    [RESULT_TOO_MANY] = "too_many",
    [RESULT_FORBIDDEN] = "forbidden",
    [RESULT_UNAUTHENTICATED] = "unauthenticated",
    [RESULT_EXPIRED] = "expired",
    [RESULT_UNCHANGED] = "unchanged",
    [RESULT_OLDER] = "older",
    [RESULT_OTHER_LINEAGE] = "other_lineage",
    [RESULT_UNAVAILABLE] = "unavailable",
    [RESULT_CLOSED] = "closed",
    [RESULT_IO] = "io",
};

const char *result_name(enum result result)
{
    if ((unsigned)result >= RESULT_COUNT || names[result] == NULL) {
        return "unknown_result";
    }
    return names[result];
}

bool result_is_settled(enum result outcome)
{
    return outcome == RESULT_OK || outcome == RESULT_UNCHANGED || outcome == RESULT_OLDER;
}
