/*
 * A board is a layout of tiles on 12 columns. Headline tiles are the single values above the first row that
 * opens a section; there are at most 12 of them, because a page of numbers where everything is important
 * has nothing important on it.
 */
#include "catalog/board_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "catalog/nearest_word.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum {
    GRID_COLUMNS = 12,
    HEADLINE_TILES_MAX = 12,
    BOARD_KPIS_MAX = 1024,
    ORDER_DEFAULT = 100,
    ORDER_MAX = 10000
};

static const struct member_rule board_rules[] = {
    {"id", MEMBER_TEXT, true},     {"title", MEMBER_TEXT, true},     {"question", MEMBER_TEXT, true},
    {"roles", MEMBER_ARRAY, true}, {"order", MEMBER_INTEGER, false}, {"layout", MEMBER_ARRAY, true},
    {"also", MEMBER_ARRAY, false},
};
static const struct member_rule row_rules[] = {{"row", MEMBER_ARRAY, true}, {"section", MEMBER_TEXT, false}};
static const struct member_rule tile_rules[] = {{"kpi", MEMBER_TEXT, true}, {"span", MEMBER_INTEGER, true}};

/** What reading a layout must remember from row to row. */
struct layout {
    struct board_definition *board;
    const struct map *kpis;
    size_t capacity; /* of board->kpis */
    size_t headline_tiles;
    bool is_in_section;
};

static bool shows(const struct board_definition *board, const struct kpi *kpi)
{
    for (size_t i = 0; i < board->kpi_count; i++) {
        if (board->kpis[i] == kpi) {
            return true;
        }
    }
    return false;
}

static void add_kpi(struct layout *layout, struct kpi *kpi, const struct place *place)
{
    struct board_definition *board = layout->board;
    if (shows(board, kpi)) {
        return;
    }
    if (board->kpi_count == BOARD_KPIS_MAX) {
        place_say(place, NULL, "a board shows at most %d KPIs", BOARD_KPIS_MAX);
        return;
    }
    if (board->kpi_count == layout->capacity) {
        size_t capacity = layout->capacity ? layout->capacity * 2 : 32;
        struct kpi **kpis = realloc(board->kpis, capacity * sizeof *kpis);
        if (!kpis) {
            place_say_no_memory(place);
            return;
        }
        board->kpis = kpis;
        layout->capacity = capacity;
    }
    board->kpis[board->kpi_count++] = kpi;
}

static struct kpi *find_kpi(const struct layout *layout, const char *id, const struct place *place,
                            const char *member)
{
    struct kpi *kpi = map_get(layout->kpis, id, strlen(id));
    if (kpi) {
        return kpi;
    }
    struct nearest_word choice = {.word = id};
    size_t cursor = 0;
    const char *key;
    size_t key_length;
    void *known;
    while (map_next(layout->kpis, &cursor, &key, &key_length, &known)) {
        nearest_word_offer(&choice, ((const struct kpi *)known)->id);
    }
    if (choice.nearest) {
        place_say(place, member, "unknown KPI \"%.96s\" (did you mean \"%s\"?)", id, choice.nearest);
    } else {
        place_say(place, member, "unknown KPI \"%.96s\"", id);
    }
    return NULL;
}

/** The tile's columns, 0 when it is not usable. */
static int64_t read_tile(struct layout *layout, const json_t *tile, const struct place *place)
{
    if (!place_check_members(place, tile, tile_rules, COUNT_OF(tile_rules))) {
        return 0;
    }
    struct kpi *kpi = find_kpi(layout, json_string_value(json_object_get(tile, "kpi")), place, "kpi");
    if (kpi && shows(layout->board, kpi)) {
        place_say(place, "kpi", "\"%s\" has a tile already", kpi->id);
    } else if (kpi) {
        add_kpi(layout, kpi, place);
        layout->headline_tiles +=
            !layout->is_in_section && !kpi_has_rows(kpi) && kpi->type != KPI_MIX ? 1 : 0;
    }
    return place_integer(place, tile, "span", 1, GRID_COLUMNS, 0);
}

static void read_row(struct layout *layout, const json_t *row, const struct place *place)
{
    if (!place_check_members(place, row, row_rules, COUNT_OF(row_rules))) {
        return;
    }
    layout->is_in_section = layout->is_in_section || json_object_get(row, "section");
    const json_t *tiles = json_object_get(row, "row");
    int64_t columns = 0;
    for (size_t i = 0; i < json_array_size(tiles); i++) {
        struct place at = place_enter_index(place, "row", i);
        columns += read_tile(layout, json_array_get(tiles, i), &at);
    }
    if (columns > GRID_COLUMNS) {
        place_say(place, NULL, "the spans add up to %lld; a row has %d columns", (long long)columns,
                  GRID_COLUMNS);
    }
}

static void read_layout(struct layout *layout, const json_t *raw, const struct place *place)
{
    const json_t *rows = json_object_get(raw, "layout");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        struct place at = place_enter_index(place, "layout", i);
        read_row(layout, json_array_get(rows, i), &at);
    }
    if (layout->headline_tiles > HEADLINE_TILES_MAX) {
        place_say(place, "layout",
                  "%zu headline tiles; a board has at most %d (rows after a \"section\" do not count)",
                  layout->headline_tiles, HEADLINE_TILES_MAX);
    }
}

static void read_also(struct layout *layout, const json_t *raw, const struct place *place)
{
    const json_t *also = json_object_get(raw, "also");
    if (!also || !place_check_texts(place, raw, "also")) {
        return;
    }
    for (size_t i = 0; i < json_array_size(also); i++) {
        struct place at = place_enter_index(place, "also", i);
        struct kpi *kpi = find_kpi(layout, json_string_value(json_array_get(also, i)), &at, NULL);
        if (kpi) {
            add_kpi(layout, kpi, &at);
        }
    }
}

static void add_companions(struct layout *layout, const struct place *place)
{
    size_t count = layout->board->kpi_count; /* companions have no companions of their own */
    for (size_t i = 0; i < count; i++) {
        const struct kpi *kpi = layout->board->kpis[i];
        for (size_t j = 0; j < kpi->companion_count; j++) {
            add_kpi(layout, kpi->companions[j], place);
        }
    }
}

static void read_members(struct board_definition *board, const json_t *raw, const struct map *kpis,
                         struct role_table *roles, const struct place *place)
{
    struct layout layout = {.board = board, .kpis = kpis};
    bool is_well_formed = place_check_members(place, raw, board_rules, COUNT_OF(board_rules));
    board->roles = role_table_read(roles, raw, place);
    board->raw = json_incref((json_t *)(uintptr_t)raw);
    (void)place_integer(place, raw, "order", 0, ORDER_MAX, ORDER_DEFAULT);
    board->title = place_copy_text(place, raw, "title");
    board->question = place_copy_text(place, raw, "question");
    read_layout(&layout, raw, place);
    read_also(&layout, raw, place);
    add_companions(&layout, place);
    if (is_well_formed && board->kpi_count == 0) {
        place_say(place, NULL, "the board shows no KPI");
    }
}

struct board_definition *board_read(const json_t *raw, const struct map *kpis, struct role_table *roles,
                                    const struct place *place)
{
    const char *id = json_string_value(json_object_get(raw, "id"));
    if (!id) {
        place_say(place, "id", "is missing");
        return NULL;
    }
    if (!is_board_id(id)) {
        place_say(place, "id", "\"%.64s\" is not a board id: a-z, 0-9, _ and -, starting with a letter", id);
        return NULL;
    }
    struct place at = place_enter(place, id);
    struct board_definition *board = calloc(1, sizeof *board);
    if (!board || !(board->id = strdup(id))) {
        free(board);
        place_say_no_memory(&at);
        return NULL;
    }
    read_members(board, raw, kpis, roles, &at);
    return board;
}

void board_definition_destroy(struct board_definition *board)
{
    if (board) {
        free(board->id);
        free(board->title);
        free(board->question);
        free(board->kpis);
        json_decref(board->raw);
        free(board);
    }
}

int board_order(const json_t *raw)
{
    const json_t *order = json_object_get(raw, "order");
    return order ? (int)json_integer_value(order) : ORDER_DEFAULT;
}

/* ---- what viewers get ---- */

static json_t *seconds(int64_t ms)
{
    return ms % 1000 == 0 ? json_integer(ms / 1000) : json_real((double)ms / 1000.0);
}

static json_t *serve_limits(const struct freshness_class *class)
{
    if (class->never_ages) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:o}", "fresh_s", seconds(class->fresh_ms), "stale_s",
                     seconds(class->stale_ms), "expired_s", seconds(class->expired_ms));
}

struct audience {
    bool (*sees)(const void *context, const struct kpi *kpi);
    const void *context;
};

static bool serve_kpis(const struct board_definition *board, const struct audience *audience, json_t *kpis,
                       json_t *classes)
{
    for (size_t i = 0; i < board->kpi_count; i++) {
        const struct kpi *kpi = board->kpis[i];
        const char *class = kpi->freshness->name;
        if (!audience->sees(audience->context, kpi)) {
            continue;
        }
        if (json_object_set(kpis, kpi->id, kpi->definition) != 0) {
            return false;
        }
        if (!json_object_get(classes, class) &&
            json_object_set_new(classes, class, serve_limits(kpi->freshness)) != 0) {
            return false;
        }
    }
    return true;
}

/* A list of KPI ids, or of objects that name one as `kpi`, without those that are not among kpis. NULL: memory ran out. */
static json_t *only_seen(const json_t *list, const json_t *kpis)
{
    json_t *seen = json_array();
    for (size_t i = 0; seen && i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        const char *id = json_string_value(json_is_object(item) ? json_object_get(item, "kpi") : item);
        if (id && json_object_get(kpis, id) && json_array_append(seen, item) != 0) {
            json_decref(seen);
            return NULL;
        }
    }
    return seen;
}

/* Rows whose tiles are all hidden go, with their heading. */
static json_t *serve_layout(const json_t *layout, const json_t *kpis)
{
    json_auto_t *rows = json_array();
    for (size_t i = 0; rows && i < json_array_size(layout); i++) {
        const json_t *row = json_array_get(layout, i);
        json_t *tiles = only_seen(json_object_get(row, "row"), kpis);
        if (!tiles) {
            return NULL;
        }
        if (json_array_size(tiles) == 0) {
            json_decref(tiles);
            continue;
        }
        json_t *copy = json_copy((json_t *)(uintptr_t)row); /* only read */
        if (!copy || json_object_set_new(copy, "row", tiles) != 0 || json_array_append_new(rows, copy) != 0) {
            return NULL;
        }
    }
    return TAKE(rows);
}

/* `with` of a KPI names others, which may be hidden. */
static bool hide_companions(json_t *kpis)
{
    const char *id;
    json_t *kpi;
    void *next;
    json_object_foreach_safe(kpis, next, id, kpi) {
        const json_t *with = json_object_get(kpi, "with");
        json_t *seen = with ? only_seen(with, kpis) : NULL;
        if (!with) {
            continue;
        }
        json_t *copy = seen ? json_copy(kpi) : NULL;
        if (!copy || json_object_set_new(copy, "with", seen) != 0 ||
            json_object_set_new(kpis, id, copy) != 0) {
            return false;
        }
    }
    return true;
}

char *board_serve(const struct board_definition *board, const char *hash, const char *view,
                  bool (*sees)(const void *context, const struct kpi *kpi), const void *context)
{
    const struct audience audience = {.sees = sees, .context = context};
    json_auto_t *kpis = json_object();
    json_auto_t *classes = json_object();
    if (!kpis || !classes || !serve_kpis(board, &audience, kpis, classes)) {
        return NULL;
    }
    json_auto_t *layout = serve_layout(json_object_get(board->raw, "layout"), kpis);
    if (!layout || !hide_companions(kpis)) {
        return NULL;
    }
    json_auto_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:O, s:O}", "id", board->id, "title", board->title,
                  "question", board->question, "catalog", hash, "view", view, "roles",
                  json_object_get(board->raw, "roles"), "layout", layout, "kpis", kpis, "classes", classes);
    return body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
}
