/*
 * What a source is told here stays in the process; viewers hear the kind only. SQL is kept as text: whether it is right is
 * seen when it is asked, because definitions are checked where no database is.
 */
#include "catalog/kpi_source.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum source_kind { SOURCE_PG, SOURCE_REDIS, SOURCE_HTTP, SOURCE_INTERNAL, SOURCE_DERIVED };
static const char *const source_names[] = {"pg", "redis", "http", "internal", "derived", NULL};

static const struct member_rule pg_rules[] = {
    {"kind", MEMBER_TEXT, true},
    {"relations", MEMBER_ARRAY, false},
    {"query", MEMBER_QUERY, false},
    {"channel", MEMBER_TEXT, false},
};
static const struct member_rule redis_rules[] = {
    {"kind", MEMBER_TEXT, true},
    {"channel", MEMBER_TEXT, true},
    {"key", MEMBER_TEXT, false},
};
static const struct member_rule http_rules[] = {{"kind", MEMBER_TEXT, true}, {"name", MEMBER_TEXT, false}};
static const struct member_rule internal_rules[] = {
    {"kind", MEMBER_TEXT, true},
    {"metric", MEMBER_TEXT, true},
    {"quantile", MEMBER_NUMBER, false},
    {"window_s", MEMBER_INTEGER, false},
};
static const struct member_rule derived_rules[] = {{"kind", MEMBER_TEXT, true}, {"of", MEMBER_TEXT, true}};

static const struct {
    const struct member_rule *rules;
    size_t count;
} source_rules[] = {
    [SOURCE_PG] = {pg_rules, COUNT_OF(pg_rules)},
    [SOURCE_REDIS] = {redis_rules, COUNT_OF(redis_rules)},
    [SOURCE_HTTP] = {http_rules, COUNT_OF(http_rules)},
    [SOURCE_INTERNAL] = {internal_rules, COUNT_OF(internal_rules)},
    [SOURCE_DERIVED] = {derived_rules, COUNT_OF(derived_rules)},
};

/** "schema.table", as changes of a relation are told. */
static bool is_relation(const char *text)
{
    const char *dot = strchr(text, '.');
    return dot && dot != text && dot[1] != '\0' && !strchr(dot + 1, '.') && !strpbrk(text, " \"'");
}

static void read_relations(struct kpi *kpi, const json_t *source, const struct place *at)
{
    const json_t *relations = json_object_get(source, "relations");
    size_t count = json_array_size(relations);
    if (count == 0 || !place_check_texts(at, source, "relations")) {
        return;
    }
    kpi->source_relations = calloc(count, sizeof *kpi->source_relations);
    for (size_t i = 0; kpi->source_relations && i < count; i++) {
        const char *name = json_string_value(json_array_get(relations, i));
        if (!is_relation(name)) {
            struct place item = place_enter_index(at, "relations", i);
            place_say(&item, NULL, "must be schema.table");
        }
        char *copy = strdup(name);
        if (!copy) {
            break;
        }
        kpi->source_relations[kpi->source_relation_count++] = copy;
    }
    if (kpi->source_relation_count < count) {
        place_say_no_memory(at);
    }
}

/** A query that nothing wakes would only be asked by the clock; relations without a query would do nothing. */
static void read_pg(struct kpi *kpi, const json_t *source, const struct place *at)
{
    bool has_query = json_object_get(source, "query") != NULL;
    bool has_relations = json_object_get(source, "relations") != NULL;
    if (has_query && !has_relations) {
        place_say(at, "relations", "is missing: which tables the query reads");
    } else if (has_relations && !has_query) {
        place_say(at, "query",
                  "is missing: a KPI without one is fed from the state table and has no relations");
    }
    kpi->source_query = place_copy_query(at, source, "query");
    read_relations(kpi, source, at);
}

void kpi_source_read(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *source = json_object_get(raw, "source");
    struct place at = place_enter(place, "source");
    if (!json_is_object(source)) {
        return; /* place_check_members() has spoken */
    }
    if (!json_is_string(json_object_get(source, "kind"))) {
        place_say(&at, "kind", "is missing");
        return;
    }
    int kind = place_word(&at, source, "kind", source_names);
    if (kind < 0 || !place_check_members(&at, source, source_rules[kind].rules, source_rules[kind].count)) {
        return;
    }
    kpi->source_kind = place_copy_text(&at, source, "kind");
    kpi->source_channel = place_copy_text(&at, source, "channel");
    kpi->source_key = place_copy_text(&at, source, "key");
    if (kind == SOURCE_PG) {
        read_pg(kpi, source, &at);
    }
}

void kpi_source_finish(struct kpi *kpi)
{
    for (size_t i = 0; i < kpi->source_relation_count; i++) {
        free(kpi->source_relations[i]);
    }
    free(kpi->source_relations);
    free(kpi->source_query);
    free(kpi->source_channel);
    free(kpi->source_key);
    free(kpi->source_kind);
}
