/*
 * Walks a YAML document of sections and options. Uses libyaml's document interface, whose nodes know their
 * line and column. The walk is as deep as the options are (four levels at most), so an alias that contains itself
 * cannot lead it astray.
 */
#include "config/yaml_walk.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/nearest_word.h"
#include "config/entries.h"
#include "config/mappings.h"

enum { LIST_ITEMS_MAX = 64 };

/* ---- nodes ---- */

struct origin node_origin(const yaml_node_t *node)
{
    return (struct origin){
        .is_set = true, .line = node->start_mark.line + 1, .column = node->start_mark.column + 1};
}

const char *node_text(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool node_is_cut(const yaml_node_t *node)
{
    const char *text = node_text(node);
    return text && strlen(text) != node->data.scalar.length;
}

static bool node_is_null(const yaml_node_t *node)
{
    const char *text = node_text(node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

const char *node_kind(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a map"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a single value";
}

struct pairs node_pairs(const yaml_node_t *node)
{
    return (struct pairs){node->data.mapping.pairs.start, node->data.mapping.pairs.top};
}

const char *node_key(const struct walk *walk, const yaml_node_t *key)
{
    const char *text = node_text(key);
    if (!text) {
        struct origin origin = node_origin(key);
        loading_say(walk->loading, &origin, NULL, "a key must be a word, not %s", node_kind(key));
    }
    return text;
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
                    node_kind(node));
        return;
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        const yaml_node_t *entry = yaml_document_get_node(walk->document, *item);
        struct origin at = node_origin(entry);
        const char *text = node_text(entry);
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
    const char *text = node_text(node);
    if (!text) {
        loading_say(walk->loading, origin, option->name, "must be a single value, not %s", node_kind(node));
    } else if (node_is_cut(node)) {
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
    struct origin origin = node_origin(node);
    if (loading->origins[index].is_set) {
        struct origin again = node_origin(key);
        loading_say(loading, &again, option->name, "is given twice, first in line %zu",
                    loading->origins[index].line);
        return;
    }
    if (node_is_null(node)) {
        if (option->fallback) {
            loading_say(loading, &origin, option->name, "has no value; without the line it is %s",
                        option->fallback);
        }
        return; /* unset is what these options are by default */
    }
    loading->origins[index] = origin;
    if (option->kind == OPTION_MAPPINGS) {
        mappings_read(walk, node, &origin);
    } else if (option->kind == OPTION_ENTRIES) {
        entries_read(walk, option, node, &origin);
    } else if (option->kind == OPTION_LIST) {
        read_list(walk, index, node, &origin);
    } else {
        read_single(walk, index, node, &origin);
    }
}

static void say_unknown_option(const struct walk *walk, const char *section, const char *key,
                               const yaml_node_t *node)
{
    struct origin origin = node_origin(node);
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
    const char *key = node_key(walk, key_node);
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
    struct origin origin = node_origin(node);
    struct nearest_word choice = {.word = name};
    char sections[OPTION_COUNT][OPTION_NAME_BYTES];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        option_section(&config_options[i], sections[i]);
        nearest_word_offer(&choice, sections[i][0] != '\0' ? sections[i] : config_options[i].name);
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
    const char *section = node_key(walk, key);
    if (!section) {
        return;
    }
    size_t index = option_find(section);
    if (index < OPTION_COUNT && !strchr(section, '.')) { /* one without a section */
        read_option(walk, index, key, node);
    } else if (!is_section(section)) {
        say_unknown_section(walk, section, key);
    } else if (node->type == YAML_MAPPING_NODE) {
        for (struct pairs pairs = node_pairs(node); pairs.at < pairs.end; pairs.at++) {
            read_entry(walk, section, pairs.at);
        }
    } else if (!node_is_null(node)) { /* a section with every line commented out is null */
        struct origin origin = node_origin(node);
        loading_say(walk->loading, &origin, section, "must be a map of options, not %s", node_kind(node));
    }
}

static void read_document(struct loading *loading, yaml_document_t *document)
{
    const struct walk walk = {.loading = loading, .document = document};
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || node_is_null(root)) {
        return; /* an empty file: the defaults */
    }
    if (root->type != YAML_MAPPING_NODE) {
        struct origin origin = node_origin(root);
        loading_say(loading, &origin, NULL, "must be a map of sections, not %s", node_kind(root));
        return;
    }
    for (struct pairs pairs = node_pairs(root); pairs.at < pairs.end; pairs.at++) {
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
        struct origin origin = node_origin(root);
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
