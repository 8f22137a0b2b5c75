/*
 * The map holds the KPIs that are seen, by id. The id of a view is a sum over them, so that the order of a layout does not
 * matter; how a KPI is masked is in its fingerprint and in the classes that are not plain.
 */
#include "views/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "views/masking.h"

struct view {
    struct catalog *catalog; /* a reference */
    const struct board_definition *board;
    struct audience audience;
    struct map seen; /* KPI id -> const struct kpi */
    uint64_t id;
    char text[VIEW_TEXT_BYTES + 1];
    char *definition; /* made when it is first asked for */
    size_t definition_length;
};

bool view_is_permitted(const struct board_definition *board, struct audience audience)
{
    return (board->roles & audience.roles) != 0;
}

/** Text can be masked, a number cannot. */
static bool is_maskable(const struct kpi *kpi)
{
    return kpi_has_rows(kpi) ||
           ((kpi->type == KPI_GAUGE || kpi->type == KPI_COUNTER) && kpi->unit == UNIT_TEXT);
}

enum sight view_sight(const struct kpi *kpi, struct audience audience)
{
    if ((kpi->roles & audience.roles) == 0) {
        return SIGHT_NONE;
    }
    if ((kpi->privacies & ~audience.plain) == 0) {
        return SIGHT_PLAIN;
    }
    return is_maskable(kpi) ? SIGHT_MASKED : SIGHT_NONE;
}

/** SplitMix64's last step: neighbouring sums lead to unlike ids. */
static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

uint64_t view_id_of(const struct board_definition *board, struct audience audience)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < board->kpi_count; i++) {
        const struct kpi *kpi = board->kpis[i];
        if (view_sight(kpi, audience) != SIGHT_NONE) {
            sum += mix(kpi->fingerprint + (kpi->privacies & ~audience.plain));
        }
    }
    return mix(sum + 1);
}

uint64_t view_id(const struct view *view)
{
    return view->id;
}

uint32_t view_mark(const struct view *view)
{
    uint32_t mark = view ? (uint32_t)(view->id ^ view->id >> 32) : 0;
    return view && mark == 0 ? 1 : mark;
}

const char *view_text(const struct view *view)
{
    return view ? view->text : "";
}

struct view *view_create(struct catalog *catalog, const struct board_definition *board,
                         struct audience audience)
{
    struct view *view = calloc(1, sizeof *view);
    if (!view) {
        return NULL;
    }
    view->catalog = catalog_ref(catalog);
    view->board = board;
    view->audience = audience;
    view->id = view_id_of(board, audience);
    (void)snprintf(view->text, sizeof view->text, "%08x", view_mark(view)); /* 8 digits */
    map_init(&view->seen, board->kpi_count ? board->kpi_count : 1);
    for (size_t i = 0; i < board->kpi_count; i++) {
        struct kpi *kpi = board->kpis[i];
        if (view_sight(kpi, audience) != SIGHT_NONE &&
            map_put(&view->seen, kpi->id, strlen(kpi->id), kpi) != RESULT_OK) {
            view_destroy(view);
            return NULL;
        }
    }
    return view;
}

void view_destroy(struct view *view)
{
    if (view) {
        map_finish(&view->seen);
        free(view->definition);
        catalog_unref(view->catalog);
        free(view);
    }
}

enum sight view_of_kpi(const struct view *view, const struct kpi *kpi)
{
    const struct kpi *seen = map_get(&view->seen, kpi->id, strlen(kpi->id));
    return seen ? view_sight(seen, view->audience) : SIGHT_NONE;
}

enum sight view_of_field(const struct view *view, const char *field, size_t length,
                         const struct kpi **out_kpi)
{
    const char *mark = memchr(field, '#', length);
    const struct kpi *kpi = map_get(&view->seen, field, mark ? (size_t)(mark - field) : length);
    if (!kpi || kpi_has_rows(kpi) != (mark != NULL)) {
        return SIGHT_NONE;
    }
    *out_kpi = kpi;
    return view_sight(kpi, view->audience);
}

bool view_mask_value(const struct view *view, const struct kpi *kpi, const char *value, size_t length,
                     struct bytes *out)
{
    return mask_value(kpi, view->audience.plain, value, length, out);
}

static bool sees(const void *context, const struct kpi *kpi)
{
    return view_of_kpi(context, kpi) != SIGHT_NONE;
}

const char *view_definition(struct view *view, size_t *out_length)
{
    if (!view->definition) {
        view->definition = catalog_serve_board(view->catalog, view->board, view->text, sees, view);
        view->definition_length = view->definition ? strlen(view->definition) : 0;
    }
    *out_length = view->definition_length;
    return view->definition;
}
