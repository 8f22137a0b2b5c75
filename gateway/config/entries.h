/**
 * Options that are lists of maps: tls.certificates, ingest.keys, admin.keys, webhooks.hooks, postgres.notifications, redis.channels, redis.streams. Internal to config/.
 *
 * Each map is one struct of an array that struct config points to; a table in forms.c says which key is
 * which member, so that reading, printing, comparing and freeing are written once.
 */
#ifndef SOPHIA_CONFIG_ENTRIES_H
#define SOPHIA_CONFIG_ENTRIES_H

#include "config/yaml_walk.h"

void entries_read(const struct walk *walk, const struct option *option, const yaml_node_t *node,
                  const struct origin *origin);
/** After "key:", as YAML that entries_read() reads. */
void entries_print(struct bytes *out, const struct option *option, const struct config *config);
/** The lines of the example file. */
void entries_print_example(struct bytes *out, const struct option *option);
bool entries_are_same(const struct option *option, const struct config *left, const struct config *right);
/** Each gets the other's. */
void entries_swap(const struct option *option, struct config *left, struct config *right);
/** The fields that the catalogue does not hold become findings. */
void entries_check(const struct loading *loading, const struct catalog *catalog);
void entries_finish(const struct option *option, struct config *config);

#endif
