/**
 * What an operator asks the cache to forget: one key, or a class of them.
 * Spec: PROTOCOL.md, "Clearing the cache". Schema: schema/clear_request.json.
 */
#ifndef SOPHIA_PROTOCOL_CLEAR_REQUEST_H
#define SOPHIA_PROTOCOL_CLEAR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/limits.h"
#include "protocol/result.h"

struct clear_request {
    bool is_class; /* else a key */
    char name[CACHE_NAME_MAX_BYTES + 1];
};

/**
 * Result: MALFORMED (not JSON, not an object, duplicate member), TOO_DEEP, MISSING_FIELD (neither member, or both),
 *         UNKNOWN_TYPE (another member), WRONG_TYPE, OUT_OF_RANGE (empty, too long, or with a NUL).
 *         out_problem: static text, what is wrong, for people.
 */
MUST_CHECK enum result clear_request_decode(const char *text, size_t length,
                                            struct clear_request *out_request, const char **out_problem);

#endif
