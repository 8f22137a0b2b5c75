/* Names are compared with the options, bits with the definitions: an option may name a role that is in no definition. */
#include "views/audience.h"

#include <stdbool.h>
#include <string.h>

#define EVERYBODY "everybody"

static bool list_has(const char *const *list, const char *name, size_t length)
{
    for (; list && *list; list++) {
        if (strlen(*list) == length && memcmp(*list, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_every_role(const char *const *list)
{
    return list_has(list, "*", 1);
}

static void add_role(struct audience *audience, const struct audience_rules *rules,
                     const struct catalog *catalog, const char *name, size_t length)
{
    audience->roles |= catalog_role(catalog, name, length);
    if (list_has(rules->business_roles, name, length)) {
        audience->plain |= 1U << PRIVACY_BUSINESS;
    }
    if (list_has(rules->personal_roles, name, length)) {
        audience->plain |= 1U << PRIVACY_PERSONAL;
    }
}

static bool is_wildcard(const char *name, size_t length)
{
    return length == 1 && *name == '*';
}

struct audience audience_of(const struct audience_rules *rules, const struct catalog *catalog,
                            const char *words)
{
    struct audience audience = {.plain = 1U << PRIVACY_PUBLIC};
    audience.plain |= is_every_role(rules->business_roles) ? 1U << PRIVACY_BUSINESS : 0;
    audience.plain |= is_every_role(rules->personal_roles) ? 1U << PRIVACY_PERSONAL : 0;
    add_role(&audience, rules, catalog, EVERYBODY, sizeof EVERYBODY - 1);
    if (!words && is_every_role(rules->open_roles)) {
        audience.roles = UINT64_MAX;
    }
    for (const char *const *role = words ? NULL : rules->open_roles; role && *role; role++) {
        if (!is_wildcard(*role, strlen(*role))) {
            add_role(&audience, rules, catalog, *role, strlen(*role));
        }
    }
    while (words && *words != '\0') {
        size_t length = strcspn(words, " ");
        if (length > 0 && !is_wildcard(words, length)) {
            add_role(&audience, rules, catalog, words, length);
        }
        words += length + strspn(words + length, " ");
    }
    return audience;
}
