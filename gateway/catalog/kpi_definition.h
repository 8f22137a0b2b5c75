/**
 * One KPI definition: JSON in, struct kpi out. Rules between several KPIs
 * (unique ids, derived values, companions) are catalog.c's.
 */
#ifndef SOPHIA_CATALOG_KPI_DEFINITION_H
#define SOPHIA_CATALOG_KPI_DEFINITION_H

#include <jansson.h>
#include <stddef.h>

#include "catalog/catalog.h"
#include "catalog/class_table.h"
#include "catalog/definition_reader.h"
#include "catalog/role_table.h"

/**
 * Reads and validates one definition; `place` is the file, index the position in its list.
 *
 * Errors: NULL when it has no usable id or memory ran out. With other findings the KPI comes back
 *         half filled, so that boards that show it are not blamed for it; the catalogue is refused anyway.
 */
struct kpi *kpi_read(const json_t *raw, size_t index, struct class_table *classes, struct role_table *roles,
                     const struct place *place);
void kpi_destroy(struct kpi *kpi);

#endif
