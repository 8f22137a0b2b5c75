/* A list: it is read at load and once for each word of a token, and is short. */
#include "catalog/role_table.h"

#include <string.h>

void role_table_init(struct role_table *table)
{
    memset(table, 0, sizeof *table);
    strcpy(table->names[table->count++], "everybody"); /* fits */
}

uint64_t role_table_bit(const struct role_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strlen(table->names[i]) == length && memcmp(table->names[i], name, length) == 0) {
            return UINT64_C(1) << i;
        }
    }
    return 0;
}

/** Tokens may list roles in one text, so a name has no blanks. "*" is what options call all of them. */
static bool is_role(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= ROLE_MAX_BYTES && !strchr(name, ' ') && strcmp(name, "*") != 0;
}

static uint64_t take_name(struct role_table *table, const char *name, const struct place *place)
{
    size_t length = strlen(name);
    uint64_t bit = role_table_bit(table, name, length);
    if (bit == 0 && !is_role(name)) {
        place_say(place, "roles", "\"%.64s\" is not a role: 1 to %d bytes without blanks", name,
                  ROLE_MAX_BYTES);
    } else if (bit == 0 && table->count == DEFINITION_ROLES_MAX) {
        place_say(place, "roles", "\"%s\" is one role more than the %d that all definitions may name", name,
                  DEFINITION_ROLES_MAX);
    } else if (bit == 0) {
        bit = UINT64_C(1) << table->count;
        memcpy(table->names[table->count++], name, length + 1);
    }
    return bit;
}

uint64_t role_table_read(struct role_table *table, const json_t *object, const struct place *place)
{
    const json_t *names = json_object_get(object, "roles");
    uint64_t bits = 0;
    if (!names || !place_check_texts(place, object, "roles")) {
        return 0;
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        bits |= take_name(table, json_string_value(json_array_get(names, i)), place);
    }
    return bits;
}
