/**
 * The roles that definitions name, as bits: who may see what is then one AND.
 *
 * Bit 0 is `everybody`, whom every viewer that was let in belongs to, whatever else it is.
 */
#ifndef SOPHIA_CATALOG_ROLE_TABLE_H
#define SOPHIA_CATALOG_ROLE_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/definition_reader.h"

enum {
    DEFINITION_ROLES_MAX = 64, /* different ones in all definitions, `everybody` included */
    ROLE_MAX_BYTES = 64,
};

struct role_table {
    char names[DEFINITION_ROLES_MAX][ROLE_MAX_BYTES + 1];
    size_t count;
};

void role_table_init(struct role_table *table);
/** The bits of the member `roles`, an array of names; new ones are added. What is wrong with it is a finding. */
uint64_t role_table_read(struct role_table *table, const json_t *object, const struct place *place);
/** The bit of a role; 0 when no definition names it. */
uint64_t role_table_bit(const struct role_table *table, const char *name, size_t length);

#endif
