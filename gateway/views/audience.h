/**
 * Who watches, as far as that decides what is seen: roles as bits of the definitions in force, and what need not be masked.
 *
 * Deny by default: a role that no definition names opens nothing, and an empty list of an option is nobody.
 */
#ifndef SOPHIA_VIEWS_AUDIENCE_H
#define SOPHIA_VIEWS_AUDIENCE_H

#include <stdint.h>

#include "catalog/catalog.h"

struct audience {
    uint64_t roles; /* bits of catalog_role() */
    unsigned plain; /* 1 << enum privacy of what is not masked; public always is */
};

/** What the configuration says. Lists of role names that end with NULL, borrowed; "*" in one is every role. */
struct audience_rules {
    const char *const *open_roles;     /* of who came in without a token of its own */
    const char *const *business_roles; /* who sees business content plain */
    const char *const *personal_roles; /* likewise personal; "*" in open_roles counts for neither */
};

/**
 * words: the roles of a token, separated by blanks; NULL: it came in without one. A role named "*" in a token is only a name.
 * Cost: a few comparisons for each role.
 */
struct audience audience_of(const struct audience_rules *rules, const struct catalog *catalog,
                            const char *words);

#endif
