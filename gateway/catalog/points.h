/**
 * Numbers for the history room: how a KPI's value is written as one JSON token,
 * and the recent points a producer sent along.
 */
#ifndef SOPHIA_CATALOG_POINTS_H
#define SOPHIA_CATALOG_POINTS_H

#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"

enum { POINT_TEXT_MAX = 32 };

/** Money as a quoted decimal with the KPI's scale, everything else with 15 digits. Returns the length. */
size_t kpi_number_print(const struct kpi *kpi, double number, char out_text[POINT_TEXT_MAX]);

/**
 * Visit the change's points in order, scaled and printed like values. A point that is not
 * [milliseconds, number or decimal string] is passed over: points are decoration. Returns how many were passed over.
 */
size_t kpi_points_each(const struct kpi *kpi, const struct change *change,
                       void (*visit)(void *context, int64_t as_of_ms, const char *text, size_t length),
                       void *context);

#endif
