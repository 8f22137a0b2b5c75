/*
 * Classes are few (tens), so a linear search is enough. The variants that follow a cadence live in the same
 * table under a name that no file can spell, because '@' is not allowed in a class name.
 */
#include "catalog/class_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/nearest_word.h"

enum {
    MS_PER_SECOND = 1000,
    LIMIT_MAX_S = 10 * 366 * 86400,
    VARIANTS_MAX = DEFINITION_KPIS_MAX, /* at most one per KPI */
    VARIANT_NAME_BYTES = 96,
};

static const struct member_rule class_rules[] = {
    {"about", MEMBER_TEXT, false},      {"fresh_s", MEMBER_INTEGER, false},
    {"stale_s", MEMBER_INTEGER, false}, {"expired_s", MEMBER_INTEGER, false},
    {"never_ages", MEMBER_BOOL, false}, {"cadence_factors", MEMBER_ARRAY, false},
};

void class_table_init(struct class_table *table)
{
    *table = (struct class_table){0};
}

static void entry_free(struct class_entry *entry)
{
    if (entry) {
        free(entry->limits.name);
        free(entry);
    }
}

void class_table_finish(struct class_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        entry_free(table->entries[i]);
    }
    free(table->entries);
    *table = (struct class_table){0};
}

static struct class_entry *find(const struct class_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->entries[i]->limits.name, name) == 0) {
            return table->entries[i];
        }
    }
    return NULL;
}

static bool make_room(struct class_table *table)
{
    if (table->count < table->capacity) {
        return true;
    }
    size_t capacity = table->capacity ? table->capacity * 2 : 16;
    struct class_entry **entries = realloc(table->entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    table->entries = entries;
    table->capacity = capacity;
    return true;
}

/** The new entry with its name set, or NULL with a finding. */
static struct class_entry *add(struct class_table *table, const char *name, const struct place *place)
{
    struct class_entry *entry = make_room(table) ? calloc(1, sizeof *entry) : NULL;
    if (entry) {
        entry->limits.name = strdup(name);
    }
    if (!entry || !entry->limits.name) {
        entry_free(entry);
        place_say_no_memory(place);
        return NULL;
    }
    table->entries[table->count++] = entry;
    return entry;
}

static void read_factors(struct cadence_factors *factors, const json_t *list, const struct place *place)
{
    const json_t *fresh = json_array_get(list, 0);
    const json_t *stale = json_array_get(list, 1);
    const json_t *expired = json_array_get(list, 2);
    if (json_array_size(list) != 3 || !json_is_number(fresh) || !json_is_number(stale) ||
        !json_is_number(expired)) {
        place_say(place, "cadence_factors", "must be three numbers: fresh, stale, expired");
        return;
    }
    *factors = (struct cadence_factors){.is_set = true,
                                        .fresh = json_number_value(fresh),
                                        .stale = json_number_value(stale),
                                        .expired = json_number_value(expired)};
    if (factors->fresh < 1 || factors->stale < factors->fresh || factors->expired < factors->stale ||
        factors->expired > 1000) {
        place_say(place, "cadence_factors", "must rise from fresh to stale to expired, within 1..1000");
    }
}

static void read_limits(struct freshness_class *limits, const json_t *class, const struct place *place)
{
    static const char *const names[] = {"fresh_s", "stale_s", "expired_s"};
    int64_t seconds[3];
    for (size_t i = 0; i < 3; i++) {
        if (!json_object_get(class, names[i])) {
            place_say(place, names[i], "is missing: a class has limits unless never_ages is true");
            return;
        }
        seconds[i] = place_integer(place, class, names[i], 1, LIMIT_MAX_S, 0);
    }
    if (seconds[0] > seconds[1] || seconds[1] > seconds[2]) {
        place_say(place, NULL, "limits must rise: fresh_s <= stale_s <= expired_s");
    }
    limits->fresh_ms = seconds[0] * MS_PER_SECOND;
    limits->stale_ms = seconds[1] * MS_PER_SECOND;
    limits->expired_ms = seconds[2] * MS_PER_SECOND;
}

static void refuse_limits(const json_t *class, const struct place *place)
{
    static const char *const names[] = {"fresh_s", "stale_s", "expired_s", "cadence_factors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (json_object_get(class, names[i])) {
            place_say(place, names[i], "has no meaning in a class that never ages");
        }
    }
}

static void read_class(struct class_table *table, const char *name, const json_t *class,
                       const struct place *place)
{
    if (!is_member_key(name)) {
        place_say(place, NULL, "a class name is made of a-z, 0-9 and _, starting with a letter");
        return;
    }
    /* Even when it is wrong: its KPIs are not to blame. */
    struct class_entry *entry = add(table, name, place);
    if (!entry || !place_check_members(place, class, class_rules, sizeof class_rules / sizeof *class_rules)) {
        return;
    }
    if (json_is_true(json_object_get(class, "never_ages"))) {
        entry->limits.never_ages = true;
        refuse_limits(class, place);
        return;
    }
    read_limits(&entry->limits, class, place);
    const json_t *factors = json_object_get(class, "cadence_factors");
    if (factors) {
        read_factors(&entry->factors, factors, place);
    }
}

static void add_default(struct class_table *table, const struct place *place)
{
    struct class_entry *entry = add(table, DEFAULT_CLASS_NAME, place);
    if (entry) { /* a time to live of 1800 s, like every class: x 1.2, x 2, x 12 */
        entry->limits.fresh_ms = 2160LL * MS_PER_SECOND;
        entry->limits.stale_ms = 3600LL * MS_PER_SECOND;
        entry->limits.expired_ms = 21600LL * MS_PER_SECOND;
    }
}

void class_table_read(struct class_table *table, const json_t *classes, const struct place *place)
{
    if (json_object_size(classes) > DEFINITION_CLASSES_MAX) {
        place_say(place, NULL, "has more than %d classes", DEFINITION_CLASSES_MAX);
        return;
    }
    const char *name;
    json_t *class;
    /* Only reads; the macro has no const form. */
    json_object_foreach((json_t *)(uintptr_t)classes, name, class) {
        struct place at = place_enter(place, name);
        read_class(table, name, class, &at);
    }
    if (!find(table, DEFAULT_CLASS_NAME)) {
        add_default(table, place);
    }
}

static int64_t scaled_ms(double factor, int64_t cadence_s)
{
    return (int64_t)(factor * (double)cadence_s * MS_PER_SECOND + 0.5);
}

static bool is_own_cadence(const struct class_entry *class, int64_t cadence_s)
{
    return class->limits.fresh_ms == scaled_ms(class->factors.fresh, cadence_s) &&
           class->limits.stale_ms == scaled_ms(class->factors.stale, cadence_s) &&
           class->limits.expired_ms == scaled_ms(class->factors.expired, cadence_s);
}

static const struct freshness_class *variant(struct class_table *table, const struct class_entry *class,
                                             int64_t cadence_s, const struct place *place)
{
    char name[VARIANT_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s@%llds", class->limits.name, (long long)cadence_s);
    struct class_entry *entry = find(table, name);
    if (!entry && table->count < DEFINITION_CLASSES_MAX + VARIANTS_MAX) {
        struct cadence_factors factors = class->factors;
        entry = add(table, name, place);
        if (entry) {
            entry->limits.fresh_ms = scaled_ms(factors.fresh, cadence_s);
            entry->limits.stale_ms = scaled_ms(factors.stale, cadence_s);
            entry->limits.expired_ms = scaled_ms(factors.expired, cadence_s);
        }
    }
    return entry ? &entry->limits : NULL;
}

static void say_unknown_class(const struct class_table *table, const char *name, const struct place *place)
{
    struct nearest_word choice = {.word = name};
    for (size_t i = 0; i < table->count; i++) {
        nearest_word_offer(&choice, table->entries[i]->limits.name);
    }
    if (choice.nearest) {
        place_say(place, "class", "unknown class \"%.64s\" (did you mean \"%s\"?)", name, choice.nearest);
    } else {
        place_say(place, "class", "unknown class \"%.64s\"", name);
    }
}

const struct freshness_class *class_table_limits(struct class_table *table, const char *name,
                                                 int64_t cadence_s, const struct place *place)
{
    if (table->count == 0) {
        return NULL; /* the file of classes could not be read: told once, not per KPI */
    }
    const struct class_entry *entry = find(table, name ? name : DEFAULT_CLASS_NAME);
    if (!entry || strchr(entry->limits.name, '@')) {
        say_unknown_class(table, name ? name : DEFAULT_CLASS_NAME, place);
        return NULL;
    }
    if (!entry->factors.is_set || cadence_s == 0 || is_own_cadence(entry, cadence_s)) {
        return &entry->limits;
    }
    return variant(table, entry, cadence_s, place);
}
