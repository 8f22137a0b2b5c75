/**
 * Tokens and people that are shut out before their tokens end, as lists of lines:
 *
 *     jti:4e1c0fd2                         the token with this jti
 *     sub:alice@example.com                every token of this subject
 *     sub:alice@example.com before 1795258800   those issued (iat) before this Unix second, and those that do not say when
 *
 * An entry without "before" wins over one with it, a later time over an earlier. There may be a list per origin; what is on any of
 * them is revoked.
 *
 * Cost: one look-up per list and member of a token; about 100 bytes an entry.
 */
#ifndef SOPHIA_ACCESS_REVOCATIONS_H
#define SOPHIA_ACCESS_REVOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/result.h"

enum {
    REVOCATIONS_MAX = 20000, /* of one list: read in some milliseconds */
    REVOCATIONS_MAX_BYTES = 4 << 20,
    REVOCATIONS_PROBLEM_BYTES = 128,
};

/* A list. */

struct revocation_list;

/** Empty. NULL when memory ran out. */
struct revocation_list *revocation_list_create(void);
/** NULL is allowed. */
void revocation_list_destroy(struct revocation_list *list);
/** One line, without its end. Result: MALFORMED, FULL at REVOCATIONS_MAX, NO_MEMORY. */
MUST_CHECK enum result revocation_list_add(struct revocation_list *list, const char *line, size_t length);
size_t revocation_list_count(const struct revocation_list *list);
/**
 * A whole text; empty lines and those that begin with # say nothing. The last line must have its end: it may be being written.
 * Errors: NULL with one sentence in out_problem that quotes nothing; a list with one wrong line is none.
 */
struct revocation_list *revocation_list_read(const char *text, size_t length,
                                             char out_problem[REVOCATIONS_PROBLEM_BYTES]);

/* What is in force. */

enum revocation_origin { REVOKED_BY_FILE, REVOKED_BY_REDIS, REVOCATION_ORIGIN_COUNT };

struct revocations {
    struct revocation_list *lists[REVOCATION_ORIGIN_COUNT]; /* owned; NULL: empty */
};

void revocations_finish(struct revocations *revocations);
/** Takes the list, in place of the one before. */
void revocations_set(struct revocations *revocations, enum revocation_origin origin,
                     struct revocation_list *list);
/** id: "" when the token has none. issued_s: its iat, 0 when it does not say. */
bool revocations_cover(const struct revocations *revocations, const char *subject, const char *id,
                       int64_t issued_s);

#endif
