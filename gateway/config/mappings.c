/* The mappings of http_ingest: source -> member of its data -> field. */
#include "config/mappings.h"

#include <stdlib.h>
#include <string.h>

#include "base/one_line.h"
#include "catalog/definition_reader.h"
#include "catalog/nearest_word.h"
#include "protocol/limits.h"

enum { MAPPINGS_MAX = 256, MEMBERS_MAX = 512, MEMBER_NAME_MAX_BYTES = 96 };

/* ---- reading ---- */

bool is_field_name(const char *text)
{
    char id[KPI_ID_MAX_BYTES + 1];
    size_t length = strcspn(text, "#");
    if (length > KPI_ID_MAX_BYTES) {
        return false;
    }
    memcpy(id, text, length);
    id[length] = '\0';
    size_t row = strlen(text) - length;
    return is_kpi_id(id) && (row == 0 || (row >= 2 && row <= ROW_KEY_MAX_BYTES + 1));
}

static bool has_member(const struct ingest_mapping *mapping, const char *name)
{
    for (size_t i = 0; i < mapping->member_count; i++) {
        if (strcmp(mapping->members[i].member, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_member(const struct walk *walk, struct ingest_mapping *mapping, struct ingest_member *members,
                       const yaml_node_pair_t *pair)
{
    const yaml_node_t *value = yaml_document_get_node(walk->document, pair->value);
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    struct origin origin = node_origin(value);
    const char *name = node_key(walk, key);
    const char *field = node_text(value);
    if (!name) {
        return;
    }
    if (name[0] == '\0' || strlen(name) > MEMBER_NAME_MAX_BYTES) {
        origin = node_origin(key);
        loading_say(walk->loading, &origin, "ingest.mappings", "a member's name has 1 to %d bytes",
                    MEMBER_NAME_MAX_BYTES);
    } else if (has_member(mapping, name)) {
        origin = node_origin(key);
        loading_say(walk->loading, &origin, "ingest.mappings", "member \"%.96s\" is given twice", name);
    } else if (!field || !is_field_name(field)) {
        loading_say(walk->loading, &origin, "ingest.mappings", "member \"%.96s\": %s%.96s%s", name,
                    field ? "\"" : "", field ? field : "must be a field",
                    field ? "\" is not a field, such as exec.revenue_mtd" : ", such as exec.revenue_mtd");
    } else {
        struct ingest_member member = {.member = strdup(name), .field = strdup(field)};
        /* Counted even when half built: whoever frees takes NULL. */
        members[mapping->member_count++] = member;
        if (!member.member || !member.field) {
            loading_say_no_memory(walk->loading);
        }
    }
}

static void read_members(const struct walk *walk, struct ingest_mapping *mapping, const yaml_node_t *node)
{
    struct origin origin = node_origin(node);
    if (node->type != YAML_MAPPING_NODE) {
        loading_say(walk->loading, &origin, "ingest.mappings",
                    "source \"%.96s\" must be a map of members to fields", mapping->source_name);
        return;
    }
    struct pairs pairs = node_pairs(node);
    size_t count = (size_t)(pairs.end - pairs.at);
    if (count > MEMBERS_MAX) {
        loading_say(walk->loading, &origin, "ingest.mappings", "source \"%.96s\" has more than %d members",
                    mapping->source_name, MEMBERS_MAX);
        return;
    }
    struct ingest_member *members = calloc(count + 1, sizeof *members);
    if (!members) {
        loading_say_no_memory(walk->loading);
        return;
    }
    mapping->members = members;
    for (; pairs.at < pairs.end && walk->loading->report->count == 0; pairs.at++) {
        add_member(walk, mapping, members, pairs.at);
    }
}

static bool has_source(const struct config_ingest *ingest, const char *name)
{
    for (size_t i = 0; i < ingest->mapping_count; i++) {
        if (strcmp(ingest->mappings[i].source_name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void read_mapping(const struct walk *walk, const yaml_node_pair_t *pair)
{
    struct config_ingest *ingest = &walk->loading->config->ingest;
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    struct origin origin = node_origin(key);
    const char *name = node_key(walk, key);
    if (!name) {
        return;
    }
    if (name[0] == '\0' || strlen(name) > MEMBER_NAME_MAX_BYTES || has_source(ingest, name)) {
        loading_say(walk->loading, &origin, "ingest.mappings",
                    "source \"%.96s\" is given twice, or is no name", name);
        return;
    }
    struct ingest_mapping *mapping = &ingest->mappings[ingest->mapping_count];
    mapping->source_name = strdup(name);
    if (!mapping->source_name) {
        loading_say_no_memory(walk->loading);
        return;
    }
    ingest->mapping_count++;
    read_members(walk, mapping, yaml_document_get_node(walk->document, pair->value));
}

void mappings_read(const struct walk *walk, const yaml_node_t *node, const struct origin *origin)
{
    struct config_ingest *ingest = &walk->loading->config->ingest;
    if (node->type != YAML_MAPPING_NODE) {
        loading_say(walk->loading, origin, "ingest.mappings", "must be a map of sources, not %s",
                    node_kind(node));
        return;
    }
    struct pairs pairs = node_pairs(node);
    size_t count = (size_t)(pairs.end - pairs.at);
    if (count > MAPPINGS_MAX) {
        loading_say(walk->loading, origin, "ingest.mappings", "has more than %d sources", MAPPINGS_MAX);
        return;
    }
    ingest->mappings = calloc(count + 1, sizeof *ingest->mappings);
    if (!ingest->mappings) {
        loading_say_no_memory(walk->loading);
        return;
    }
    for (; pairs.at < pairs.end; pairs.at++) {
        read_mapping(walk, pairs.at);
    }
}

/* ---- the rest of their life ---- */

static void print_quoted(struct bytes *out, const char *text)
{
    bytes_append_json_string(out, text, strlen(text)); /* a JSON string is a YAML string */
}

void mappings_print(struct bytes *out, const struct config_ingest *ingest)
{
    if (ingest->mapping_count == 0) {
        bytes_append_text(out, "{}");
    }
    for (size_t i = 0; i < ingest->mapping_count; i++) {
        const struct ingest_mapping *mapping = &ingest->mappings[i];
        bytes_append_text(out, "\n    ");
        print_quoted(out, mapping->source_name);
        bytes_append_text(out, mapping->member_count > 0 ? ":" : ": {}");
        for (size_t j = 0; j < mapping->member_count; j++) {
            bytes_append_text(out, "\n      ");
            print_quoted(out, mapping->members[j].member);
            bytes_append_text(out, ": ");
            print_quoted(out, mapping->members[j].field);
        }
    }
}

static bool same_mapping(const struct ingest_mapping *left, const struct ingest_mapping *right)
{
    bool is_same =
        strcmp(left->source_name, right->source_name) == 0 && left->member_count == right->member_count;
    for (size_t i = 0; is_same && i < left->member_count; i++) {
        is_same = strcmp(left->members[i].member, right->members[i].member) == 0 &&
                  strcmp(left->members[i].field, right->members[i].field) == 0;
    }
    return is_same;
}

bool mappings_are_same(const struct config_ingest *left, const struct config_ingest *right)
{
    bool is_same = left->mapping_count == right->mapping_count;
    for (size_t i = 0; is_same && i < left->mapping_count; i++) {
        is_same = same_mapping(&left->mappings[i], &right->mappings[i]);
    }
    return is_same;
}

void say_unknown_field(const struct loading *loading, const char *place, const char *field,
                       const struct catalog *catalog)
{
    const struct origin in_file = {0};
    struct nearest_word choice = {.word = field};
    for (size_t i = 0; i < catalog_kpi_count(catalog); i++) {
        nearest_word_offer(&choice, catalog_kpi_at(catalog, i)->id);
    }
    if (choice.nearest) {
        loading_say(loading, &in_file, place, "no KPI has the field \"%.200s\" (did you mean \"%s\"?)", field,
                    choice.nearest);
    } else {
        loading_say(loading, &in_file, place, "no KPI has the field \"%.200s\"", field);
    }
}

static void check_member(const struct loading *loading, const struct ingest_mapping *mapping,
                         const struct ingest_member *member, const struct catalog *catalog)
{
    if (!catalog_kpi_of_field(catalog, member->field)) {
        char place[512];
        (void)snprintf(place, sizeof place, "ingest.mappings.%.96s.%.96s", mapping->source_name,
                       member->member);
        make_one_line(place);
        say_unknown_field(loading, place, member->field, catalog);
    }
}

void mappings_check(const struct loading *loading, const struct catalog *catalog)
{
    const struct config_ingest *ingest = &loading->config->ingest;
    for (size_t i = 0; i < ingest->mapping_count; i++) {
        const struct ingest_mapping *mapping = &ingest->mappings[i];
        for (size_t j = 0; j < mapping->member_count; j++) {
            check_member(loading, mapping, &mapping->members[j], catalog);
        }
    }
}

void mappings_finish(struct config_ingest *ingest)
{
    for (size_t i = 0; i < ingest->mapping_count; i++) {
        struct ingest_mapping *mapping = &ingest->mappings[i];
        for (size_t j = 0; j < mapping->member_count; j++) {
            /* const for those who only read; the texts are ours */
            free((void *)(uintptr_t)mapping->members[j].member);
            free((void *)(uintptr_t)mapping->members[j].field);
        }
        free((void *)(uintptr_t)mapping->members);
        free((void *)(uintptr_t)mapping->source_name);
    }
    free(ingest->mappings);
}
