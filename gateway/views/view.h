/**
 * What one kind of viewer sees of one board: which KPIs, and what in them is masked.
 *
 * Viewers that see the same have the same view, whatever roles that comes from, and share its encodings. A view is of one set of
 * definitions and never changes. A field whose KPI the board does not show is seen by nobody.
 */
#ifndef SOPHIA_VIEWS_VIEW_H
#define SOPHIA_VIEWS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "protocol/bytes.h"
#include "views/audience.h"

struct view;

enum { VIEW_TEXT_BYTES = 8 };

/** May it watch the board at all? */
bool view_is_permitted(const struct board_definition *board, struct audience audience);
/**
 * Names what it sees: equal where the same is seen, also in another process with the same definitions.
 * Cost: a few operations for each KPI of the board.
 */
uint64_t view_id_of(const struct board_definition *board, struct audience audience);

/** Owns: a reference to the catalogue, which the board is of. NULL when memory ran out. */
struct view *view_create(struct catalog *catalog, const struct board_definition *board,
                         struct audience audience);
/** NULL is allowed. */
void view_destroy(struct view *view);

uint64_t view_id(const struct view *view);
/** What positions of this view are told by: the nonce that is sent is the board's XOR this. Never 0. NULL view: 0. */
uint32_t view_mark(const struct view *view);
/** The mark as text, NUL-terminated: member `view` of messages. NULL view: "". */
const char *view_text(const struct view *view);

enum sight { SIGHT_NONE, SIGHT_MASKED, SIGHT_PLAIN };
/** How a KPI is seen where a board shows it. */
enum sight view_sight(const struct kpi *kpi, struct audience audience);
/** How this KPI is seen; NONE when the board does not show it. */
enum sight view_of_kpi(const struct view *view, const struct kpi *kpi);
/** The same for a field, and whose it is. out_kpi is written unless the answer is NONE. Cost: one look-up. */
enum sight view_of_field(const struct view *view, const char *field, size_t length,
                         const struct kpi **out_kpi);
/** mask_value() for this view. */
bool view_mask_value(const struct view *view, const struct kpi *kpi, const char *value, size_t length,
                     struct bytes *out);

/** The board's definition as this view sees it (catalog_serve_board()). Lives as long as the view. NULL when memory ran out. */
const char *view_definition(struct view *view, size_t *out_length);

#endif
