/**
 * Reading the nodes of a YAML document. Internal to config/.
 */
#ifndef SOPHIA_CONFIG_YAML_WALK_H
#define SOPHIA_CONFIG_YAML_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "config/options.h"

struct walk {
    struct loading *loading;
    yaml_document_t *document;
};

/** The pairs of a map. */
struct pairs {
    const yaml_node_pair_t *at, *end;
};

struct origin node_origin(const yaml_node_t *node);
/** The text of a scalar; NULL for other nodes. Text with a NUL inside is cut there; node_is_cut() tells. */
const char *node_text(const yaml_node_t *node);
bool node_is_cut(const yaml_node_t *node);
/** "a map", "a list", "a single value" */
const char *node_kind(const yaml_node_t *node);
struct pairs node_pairs(const yaml_node_t *node);
/** The key's text, or NULL with a finding. */
const char *node_key(const struct walk *walk, const yaml_node_t *key);

#endif
