/**
 * ingest.mappings: read, printed, compared, freed. Internal to config/.
 */
#ifndef SOPHIA_CONFIG_MAPPINGS_H
#define SOPHIA_CONFIG_MAPPINGS_H

#include "config/yaml_walk.h"

/** Is it spelt like a field, "exec.revenue_mtd" or "exec.top_deals#D001"? */
bool is_field_name(const char *text);

void mappings_read(const struct walk *walk, const yaml_node_t *node, const struct origin *origin);
/** Below "mappings:", as YAML that mappings_read() reads. */
void mappings_print(struct bytes *out, const struct config_ingest *ingest);
bool mappings_are_same(const struct config_ingest *left, const struct config_ingest *right);
/** The fields that the catalogue does not hold become findings. */
void mappings_check(const struct loading *loading, const struct catalog *catalog);
/** Says that no KPI has this field, with the nearest that has one. */
void say_unknown_field(const struct loading *loading, const char *place, const char *field,
                       const struct catalog *catalog);
void mappings_finish(struct config_ingest *ingest);

#endif
