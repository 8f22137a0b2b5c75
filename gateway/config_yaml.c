/*
 * Walks a YAML document of sections and options. Uses libyaml's document interface, whose nodes know their
 * line and column. The walk is as deep as the options are (three levels), so an alias that contains itself
 * cannot lead it astray.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "catalog/definition_reader.h"
#include "catalog/nearest_word.h"
#include "config_options.h"
#include "protocol/limits.h"

enum { LIST_ITEMS_MAX = 64, MAPPINGS_MAX = 256, MEMBERS_MAX = 512, MEMBER_NAME_MAX_BYTES = 96 };

struct walk {
    struct loading *loading;
    yaml_document_t *document;
};

static struct origin origin_of(const yaml_node_t *node)
{
    return (struct origin){
        .is_set = true, .line = node->start_mark.line + 1, .column = node->start_mark.column + 1};
}

/** The text of a scalar; NULL for other nodes. Text with a NUL inside is cut there, and judged as such. */
static const char *text_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool is_null(const yaml_node_t *node)
{
    const char *text = text_of(node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a map"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a single value";
}

/** The pairs of a map. */
struct pairs {
    const yaml_node_pair_t *at, *end;
};

static struct pairs pairs_of(const yaml_node_t *node)
{
    return (struct pairs){node->data.mapping.pairs.start, node->data.mapping.pairs.top};
}

/** The key's text, or NULL with a finding. */
static const char *key_of(const struct walk *walk, const yaml_node_t *key)
{
    const char *text = text_of(key);
    if (!text) {
        struct origin origin = origin_of(key);
        loading_say(walk->loading, &origin, NULL, "a key must be a word, not %s", kind_of(key));
    }
    return text;
}

/* ---- ingest.mappings ---- */

static bool is_field_name(const char *text)
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
    struct origin origin = origin_of(value);
    const char *name = key_of(walk, key);
    const char *field = text_of(value);
    if (!name) {
        return;
    }
    if (name[0] == '\0' || strlen(name) > MEMBER_NAME_MAX_BYTES) {
        origin = origin_of(key);
        loading_say(walk->loading, &origin, "ingest.mappings", "a member's name has 1 to %d bytes",
                    MEMBER_NAME_MAX_BYTES);
    } else if (has_member(mapping, name)) {
        origin = origin_of(key);
        loading_say(walk->loading, &origin, "ingest.mappings", "member \"%.96s\" is given twice", name);
    } else if (!field || !is_field_name(field)) {
        loading_say(walk->loading, &origin, "ingest.mappings", "member \"%.96s\": %s%.96s%s", name,
                    field ? "\"" : "", field ? field : "must be a field",
                    field ? "\" is not a field, such as exec.revenue_mtd" : ", such as exec.revenue_mtd");
    } else {
        struct ingest_member member = {.member = strdup(name), .field = strdup(field)};
        members[mapping->member_count++] =
            member; /* counted even when half built: whoever frees takes NULL */
        if (!member.member || !member.field) {
            loading_say_no_memory(walk->loading);
        }
    }
}

static void read_members(const struct walk *walk, struct ingest_mapping *mapping, const yaml_node_t *node)
{
    struct origin origin = origin_of(node);
    if (node->type != YAML_MAPPING_NODE) {
        loading_say(walk->loading, &origin, "ingest.mappings",
                    "source \"%.96s\" must be a map of members to fields", mapping->source_name);
        return;
    }
    struct pairs pairs = pairs_of(node);
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
    struct origin origin = origin_of(key);
    const char *name = key_of(walk, key);
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

static void read_mappings(const struct walk *walk, const yaml_node_t *node, const struct origin *origin)
{
    struct config_ingest *ingest = &walk->loading->config->ingest;
    if (node->type != YAML_MAPPING_NODE) {
        loading_say(walk->loading, origin, "ingest.mappings", "must be a map of sources, not %s",
                    kind_of(node));
        return;
    }
    struct pairs pairs = pairs_of(node);
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

/* ---- options ---- */

static void read_list(const struct walk *walk, size_t index, const yaml_node_t *node,
                      const struct origin *origin)
{
    const char *name = config_options[index].name;
    const char *texts[LIST_ITEMS_MAX];
    size_t count = 0;
    if (node->type != YAML_SEQUENCE_NODE) {
        loading_say(walk->loading, origin, name, "must be a list, such as [\"a\", \"b\"], not %s",
                    kind_of(node));
        return;
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        const yaml_node_t *entry = yaml_document_get_node(walk->document, *item);
        struct origin at = origin_of(entry);
        const char *text = text_of(entry);
        if (!text || text[0] == '\0' || count == LIST_ITEMS_MAX) {
            loading_say(walk->loading, &at, name, "must hold texts, at most %d", LIST_ITEMS_MAX);
            return;
        }
        texts[count++] = text;
    }
    loading_set_list(walk->loading, index, texts, count, origin);
}

static void read_single(const struct walk *walk, size_t index, const yaml_node_t *node,
                        const struct origin *origin)
{
    const struct option *option = &config_options[index];
    const char *text = text_of(node);
    if (!text) {
        loading_say(walk->loading, origin, option->name, "must be a single value, not %s", kind_of(node));
    } else if (strlen(text) != node->data.scalar.length) {
        loading_say(walk->loading, origin, option->name, "contains control characters");
    } else {
        loading_set_text(walk->loading, index, text, origin);
    }
}

static void read_option(const struct walk *walk, size_t index, const yaml_node_t *key,
                        const yaml_node_t *node)
{
    const struct option *option = &config_options[index];
    struct loading *loading = walk->loading;
    struct origin origin = origin_of(node);
    if (loading->origins[index].is_set) {
        struct origin again = origin_of(key);
        loading_say(loading, &again, option->name, "is given twice, first in line %zu",
                    loading->origins[index].line);
        return;
    }
    if (is_null(node)) {
        if (option->fallback) {
            loading_say(loading, &origin, option->name, "has no value; without the line it is %s",
                        option->fallback);
        }
        return; /* unset is what these options are by default */
    }
    loading->origins[index] = origin;
    if (option->kind == OPTION_MAPPINGS) {
        read_mappings(walk, node, &origin);
    } else if (option->kind == OPTION_LIST) {
        read_list(walk, index, node, &origin);
    } else {
        read_single(walk, index, node, &origin);
    }
}

static void say_unknown_option(const struct walk *walk, const char *section, const char *key,
                               const yaml_node_t *node)
{
    struct origin origin = origin_of(node);
    struct nearest_word choice = {.word = key};
    size_t length = strlen(section);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strncmp(config_options[i].name, section, length) == 0 && config_options[i].name[length] == '.') {
            nearest_word_offer(&choice, option_key(&config_options[i]));
        }
    }
    if (choice.nearest) {
        loading_say(walk->loading, &origin, section, "unknown option \"%.64s\" (did you mean \"%s\"?)", key,
                    choice.nearest);
    } else {
        loading_say(walk->loading, &origin, section, "unknown option \"%.64s\"", key);
    }
}

static void read_entry(const struct walk *walk, const char *section, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key_node = yaml_document_get_node(walk->document, pair->key);
    const char *key = key_of(walk, key_node);
    if (!key) {
        return;
    }
    char name[2 * OPTION_NAME_BYTES];
    int length = snprintf(name, sizeof name, "%s.%s", section, key);
    size_t index = length < (int)sizeof name ? option_find(name) : OPTION_COUNT;
    if (index == OPTION_COUNT) {
        say_unknown_option(walk, section, key, key_node);
    } else {
        read_option(walk, index, key_node, yaml_document_get_node(walk->document, pair->value));
    }
}

/* ---- sections ---- */

static bool is_section(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strncmp(config_options[i].name, name, length) == 0 && config_options[i].name[length] == '.') {
            return true;
        }
    }
    return false;
}

static void say_unknown_section(const struct walk *walk, const char *name, const yaml_node_t *node)
{
    struct origin origin = origin_of(node);
    struct nearest_word choice = {.word = name};
    char sections[OPTION_COUNT][OPTION_NAME_BYTES];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        option_section(&config_options[i], sections[i]);
        nearest_word_offer(&choice, sections[i]);
    }
    if (choice.nearest) {
        loading_say(walk->loading, &origin, NULL, "unknown section \"%.64s\" (did you mean \"%s\"?)", name,
                    choice.nearest);
    } else {
        loading_say(walk->loading, &origin, NULL, "unknown section \"%.64s\"", name);
    }
}

static void read_section(const struct walk *walk, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    const yaml_node_t *node = yaml_document_get_node(walk->document, pair->value);
    const char *section = key_of(walk, key);
    if (!section) {
        return;
    }
    if (!is_section(section)) {
        say_unknown_section(walk, section, key);
    } else if (node->type == YAML_MAPPING_NODE) {
        for (struct pairs pairs = pairs_of(node); pairs.at < pairs.end; pairs.at++) {
            read_entry(walk, section, pairs.at);
        }
    } else if (!is_null(node)) { /* a section with every line commented out is null */
        struct origin origin = origin_of(node);
        loading_say(walk->loading, &origin, section, "must be a map of options, not %s", kind_of(node));
    }
}

static void read_document(struct loading *loading, yaml_document_t *document)
{
    const struct walk walk = {.loading = loading, .document = document};
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || is_null(root)) {
        return; /* an empty file: the defaults */
    }
    if (root->type != YAML_MAPPING_NODE) {
        struct origin origin = origin_of(root);
        loading_say(loading, &origin, NULL, "must be a map of sections, not %s", kind_of(root));
        return;
    }
    for (struct pairs pairs = pairs_of(root); pairs.at < pairs.end; pairs.at++) {
        read_section(&walk, pairs.at);
    }
}

/* ---- text ---- */

static void say_not_yaml(const struct loading *loading, const yaml_parser_t *parser)
{
    struct origin origin = {
        .is_set = true, .line = parser->problem_mark.line + 1, .column = parser->problem_mark.column + 1};
    loading_say(loading, &origin, NULL, "this is not YAML: %s%s%s", parser->problem ? parser->problem : "",
                parser->context ? " " : "", parser->context ? parser->context : "");
}

static bool next_document(const struct loading *loading, yaml_parser_t *parser, yaml_document_t *out_document)
{
    if (yaml_parser_load(parser, out_document)) {
        return true;
    }
    say_not_yaml(loading, parser);
    return false;
}

static void refuse_second_document(const struct loading *loading, yaml_parser_t *parser)
{
    yaml_document_t document;
    if (!next_document(loading, parser, &document)) {
        return;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root) {
        struct origin origin = origin_of(root);
        loading_say(loading, &origin, NULL, "a second document; the file holds one");
    }
    yaml_document_delete(&document);
}

void loading_read_yaml(struct loading *loading, const char *text, size_t length)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        loading_say_no_memory(loading);
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    if (next_document(loading, &parser, &document)) {
        bool is_empty = yaml_document_get_root_node(&document) == NULL;
        read_document(loading, &document);
        yaml_document_delete(&document);
        if (!is_empty) {
            refuse_second_document(loading, &parser);
        }
    }
    yaml_parser_delete(&parser);
}
