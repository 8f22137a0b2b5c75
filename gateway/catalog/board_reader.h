/**
 * One board definition: JSON in, struct board_definition out, and the body
 * that viewers fetch.
 */
#ifndef SOPHIA_CATALOG_BOARD_READER_H
#define SOPHIA_CATALOG_BOARD_READER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/map.h"
#include "catalog/catalog.h"
#include "catalog/definition_reader.h"
#include "catalog/role_table.h"

/**
 * Reads and validates one board; kpis maps id -> struct kpi. The board shows the KPIs of
 * its layout, those of `also`, and the companions of both, each once, in that order.
 * Errors: NULL when it has no usable id or memory ran out; other findings are only told.
 */
struct board_definition *board_read(const json_t *raw, const struct map *kpis, struct role_table *roles,
                                    const struct place *place);
void board_definition_destroy(struct board_definition *board);

/** Where the board stands in a list of boards; equal numbers go by id. */
int board_order(const json_t *raw);

/** As catalog_serve_board(); hash: of the catalogue. */
char *board_serve(const struct board_definition *board, const char *hash, const char *view,
                  bool (*sees)(const void *context, const struct kpi *kpi), const void *context);

#endif
