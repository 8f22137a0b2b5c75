/**
 * The freshness classes of a catalogue, and the limits each KPI gets from its
 * class: some classes take theirs from the KPI's own cadence.
 */
#ifndef SOPHIA_CATALOG_CLASS_TABLE_H
#define SOPHIA_CATALOG_CLASS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/definition_reader.h"
#include "catalog/freshness.h"

/** The class of a KPI that names none. */
#define DEFAULT_CLASS_NAME "default"

/** How the limits follow from a KPI's cadence. */
struct cadence_factors {
    bool is_set;
    double fresh, stale, expired;
};

struct class_entry {
    struct freshness_class limits;
    struct cadence_factors factors;
};

struct class_table {
    struct class_entry **entries; /* owned; each stays where it is, KPIs point at its limits */
    size_t count;
    size_t capacity;
};

/** Allocates nothing. */
void class_table_init(struct class_table *table);
void class_table_finish(struct class_table *table);

/** Reads the members of a `classes` object; adds the default class when it is not among them. */
void class_table_read(struct class_table *table, const json_t *classes, const struct place *place);

/**
 * The limits for a KPI of this class with this cadence (0 = none). A class that follows the
 * cadence yields a class of its own per other cadence, named `hourly@600s`.
 * Errors: NULL with a finding about the member `class`; without one when no class could be read at all.
 */
const struct freshness_class *class_table_limits(struct class_table *table, const char *name,
                                                 int64_t cadence_s, const struct place *place);

#endif
