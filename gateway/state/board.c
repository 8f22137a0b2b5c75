/*
 * A board keeps every field twice reachable: by name, and in the list
 * `changed`, oldest change first. Invariants:
 *
 *  - `changed` is sorted by rev, strictly rising, tombstones included;
 *  - a tombstone is a field without value; it is also in `tombstones`, same order;
 *  - a live row is in its group's `rows`, same order;
 *  - floor: an overlay from below it would leave rows on the viewer's screen that
 *    are gone here. It is the rev of the newest tombstone that was forgotten, or
 *    where a KPI trimmed its rows, once trimming no longer tells viewers the same;
 *  - positions[] holds the ends of the newest publications, oldest first.
 */
#include "state/board.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct row_group {
    enum row_rule rule;
    uint32_t cap;
    uint32_t count;
    uint64_t trimmed_at;   /* rev of the newest change that pushed a row out; 0 = none */
    struct list_node rows; /* struct board_field.row, oldest change first */
};

struct board_field {
    struct list_node changed; /* in board.changed */
    struct list_node row;     /* in a group's rows when live, in board.tombstones when removed */
    struct row_group *group;  /* NULL for a field that is not a row */
    char *value;              /* owned; NULL = tombstone */
    uint32_t value_length;
    uint32_t name_length;
    uint64_t rev;
    uint64_t version;      /* what the journal compared */
    int64_t changed_at_ms; /* wall time at which the change was accepted */
    char name[];
};

struct known_position {
    uint64_t offset;
    uint32_t nonce;
};

struct board {
    char *id;
    struct board_options options;
    struct position at;
    struct map fields; /* name -> struct board_field */
    struct map groups; /* KPI id -> struct row_group */
    struct list_node changed;
    struct list_node tombstones;
    size_t live_count;
    size_t text_bytes; /* names and values of live fields */
    size_t tombstone_count;
    uint64_t floor;
    struct known_position *positions; /* ring, owned, grows by doubling up to options.max_positions */
    size_t position_capacity;
    size_t position_first;
    size_t position_count;
    bool is_damaged;
};

static size_t kpi_length_of(const char *field, size_t length)
{
    const char *mark = memchr(field, '#', length);
    return mark ? (size_t)(mark - field) : length;
}

/* ---- known positions ---- */

static bool positions_grow(struct board *board)
{
    if (board->position_capacity >= board->options.max_positions) {
        return false;
    }
    size_t capacity = board->position_capacity ? board->position_capacity * 2 : 16;
    if (capacity > board->options.max_positions) {
        capacity = board->options.max_positions;
    }
    struct known_position *grown = malloc(capacity * sizeof *grown);
    if (!grown) {
        return false;
    }
    for (size_t i = 0; i < board->position_count; i++) {
        grown[i] = board->positions[(board->position_first + i) % board->position_capacity];
    }
    free(board->positions);
    board->positions = grown;
    board->position_capacity = capacity;
    board->position_first = 0;
    return true;
}

/* Forgetting an old position costs its viewer a snapshot, so a failed growth is lived with. */
static void positions_push(struct board *board, struct position at)
{
    if (board->position_count == board->position_capacity && !positions_grow(board)) {
        if (board->position_capacity == 0) {
            return;
        }
        board->position_first = (board->position_first + 1) % board->position_capacity;
        board->position_count--;
    }
    size_t slot = (board->position_first + board->position_count) % board->position_capacity;
    board->positions[slot] = (struct known_position){.offset = at.offset, .nonce = at.nonce};
    board->position_count++;
}

static const struct known_position *positions_find(const struct board *board, uint64_t offset)
{
    size_t low = 0;
    size_t high = board->position_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct known_position *known =
            &board->positions[(board->position_first + middle) % board->position_capacity];
        if (known->offset == offset) {
            return known;
        }
        if (known->offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- fields ---- */

static void field_destroy(struct board_field *field)
{
    free(field->value);
    free(field);
}

/* Take a field out of everything and free it. */
static void field_forget(struct board *board, struct board_field *field)
{
    list_remove(&field->changed);
    list_remove(&field->row);
    if (field->value) {
        board->live_count--;
        board->text_bytes -= field->name_length + field->value_length;
        if (field->group) {
            field->group->count--;
        }
    } else {
        board->tombstone_count--;
    }
    (void)map_remove(&board->fields, field->name, field->name_length);
    field_destroy(field);
}

static struct board_field *field_create(struct board *board, const char *name, size_t length)
{
    struct board_field *field = calloc(1, sizeof *field + length + 1);
    if (!field) {
        return NULL;
    }
    memcpy(field->name, name, length);
    field->name_length = (uint32_t)length;
    list_init(&field->changed);
    list_init(&field->row);
    size_t kpi_length = kpi_length_of(name, length);
    if (kpi_length < length) {
        field->group = map_get(&board->groups, name, kpi_length);
    }
    return field;
}

static void floor_raise(struct board *board, uint64_t to)
{
    if (to > board->floor) {
        board->floor = to;
    }
}

static void oldest_tombstone_forget(struct board *board)
{
    struct board_field *oldest = LIST_ITEM(board->tombstones.next, struct board_field, row);
    floor_raise(board, oldest->rev);
    field_forget(board, oldest);
}

static bool group_trims(const struct row_group *group)
{
    return group->rule == ROWS_FEED || group->rule == ROWS_SERIES;
}

/* The row a group gives up when it is over its cap. */
static struct board_field *group_victim(struct row_group *group)
{
    struct board_field *victim = LIST_ITEM(group->rows.next, struct board_field, row);
    if (group->rule != ROWS_SERIES) {
        return victim;
    }
    LIST_EACH(node, &group->rows) {
        struct board_field *row = LIST_ITEM(node, struct board_field, row);
        if (strcmp(row->name, victim->name) < 0) {
            victim = row;
        }
    }
    return victim;
}

static void group_trim(struct board *board, struct row_group *group, uint64_t rev)
{
    while (group_trims(group) && group->count > group->cap) {
        field_forget(board, group_victim(group));
        group->trimmed_at = rev;
    }
}

static void field_remove_value(struct board *board, struct board_field *field)
{
    board->text_bytes -= field->name_length + field->value_length;
    free(field->value);
    field->value = NULL;
    field->value_length = 0;
    board->live_count--;
    if (field->group) {
        field->group->count--;
    }
    list_remove(&field->row);
    list_append(&board->tombstones, &field->row);
    board->tombstone_count++;
}

/* value is owned by the field from here on. */
static void field_put_value(struct board *board, struct board_field *field, char *value, size_t length)
{
    if (!field->value) {
        board->live_count++;
        if (field->rev != 0) { /* it was a tombstone, not a new field */
            board->tombstone_count--;
        }
        if (field->group) {
            field->group->count++;
        }
    }
    board->text_bytes += length + (field->value ? 0 : field->name_length) - field->value_length;
    free(field->value);
    field->value = value;
    field->value_length = (uint32_t)length;
    list_remove(&field->row);
    if (field->group) {
        list_append(&field->group->rows, &field->row);
    }
}

/* What a change brings beside its entry. */
struct stamp {
    uint64_t version;
    int64_t changed_at_ms;
};

static void field_touch(struct board *board, struct board_field *field, uint64_t rev,
                        const struct stamp *stamp)
{
    field->rev = rev;
    field->version = stamp->version;
    field->changed_at_ms = stamp->changed_at_ms;
    list_remove(&field->changed);
    list_append(&board->changed, &field->changed);
}

static enum result field_find_or_add(struct board *board, const struct overlay_entry *entry,
                                     struct board_field **out_field)
{
    struct board_field *field = map_get(&board->fields, entry->field, entry->field_length);
    if (field) {
        *out_field = field;
        return RESULT_OK;
    }
    while (board->fields.count >= board->options.max_fields && board->tombstone_count > 0) {
        oldest_tombstone_forget(board);
    }
    field = field_create(board, entry->field, entry->field_length);
    if (!field) {
        return RESULT_NO_MEMORY;
    }
    enum result result = map_put(&board->fields, field->name, field->name_length, field);
    if (result != RESULT_OK) {
        field_destroy(field);
        return result;
    }
    *out_field = field;
    return RESULT_OK;
}

/* A removal may overtake the row it removes: its version is remembered even when there is no row. */
static void apply_removal(struct board *board, const struct overlay_entry *entry, const struct stamp *stamp)
{
    struct board_field *field = NULL;
    if (field_find_or_add(board, entry, &field) != RESULT_OK) {
        return; /* only a field that nobody holds has to be added, so nothing stays on a screen */
    }
    if (field->value) {
        if (field->group && group_trims(field->group)) {
            floor_raise(board, field->group->trimmed_at); /* who has not trimmed yet will have no reason to */
        }
        field_remove_value(board, field);
    } else {
        board->tombstone_count += field->rev == 0 ? 1 : 0;
        list_remove(&field->row);
        list_append(&board->tombstones, &field->row);
    }
    field_touch(board, field, entry->rev, stamp);
    while (board->tombstone_count > board->options.max_tombstones) {
        oldest_tombstone_forget(board);
    }
}

static enum result apply_value(struct board *board, const struct overlay_entry *entry,
                               const struct stamp *stamp)
{
    char *value = malloc(entry->value_length + 1);
    if (!value) {
        return RESULT_NO_MEMORY;
    }
    memcpy(value, entry->value, entry->value_length);
    value[entry->value_length] = '\0';
    struct board_field *field = NULL;
    enum result result = field_find_or_add(board, entry, &field);
    if (result != RESULT_OK) {
        free(value);
        return result;
    }
    field_put_value(board, field, value, entry->value_length);
    field_touch(board, field, entry->rev, stamp);
    if (field->group) {
        group_trim(board, field->group, entry->rev);
    }
    return RESULT_OK;
}

/* The worst result; whoever could not be stored has damaged the board. */
static enum result entries_apply(struct board *board, const struct overlay_entry *entries,
                                 const uint64_t *versions, size_t count, int64_t changed_at_ms)
{
    enum result worst = RESULT_OK;
    for (size_t i = 0; i < count; i++) {
        const struct stamp stamp = {.version = versions[i], .changed_at_ms = changed_at_ms};
        enum result result = RESULT_OK;
        if (entries[i].value) {
            result = apply_value(board, &entries[i], &stamp);
        } else {
            apply_removal(board, &entries[i], &stamp);
        }
        if (result != RESULT_OK) {
            worst = result;
            board->is_damaged = true;
        }
    }
    return worst;
}

/* ---- the interface ---- */

struct board *board_create(const char *id, const struct board_options *options, struct position at)
{
    assert(options->max_fields > 0 && options->max_positions > 0);
    struct board *board = calloc(1, sizeof *board);
    if (!board) {
        return NULL;
    }
    board->options = *options;
    map_init(&board->fields, options->max_fields);
    map_init(&board->groups, options->max_fields);
    list_init(&board->changed);
    list_init(&board->tombstones);
    board->id = strdup(id);
    if (!board->id) {
        goto fail;
    }
    board->at = at;
    positions_push(board, at);
    if (board->position_count == 0) {
        goto fail;
    }
    return board;

fail:
    board_destroy(board);
    return NULL;
}

static void board_forget_fields(struct board *board)
{
    LIST_EACH_SAFE(node, &board->changed) {
        field_forget(board, LIST_ITEM(node, struct board_field, changed));
    }
}

void board_destroy(struct board *board)
{
    if (!board) {
        return;
    }
    board_forget_fields(board);
    map_finish(&board->fields);
    size_t cursor = 0;
    void *group = NULL;
    while (map_next(&board->groups, &cursor, NULL, NULL, &group)) {
        free(group);
    }
    map_finish(&board->groups);
    free(board->positions);
    free(board->id);
    free(board);
}

const char *board_id(const struct board *board)
{
    return board->id;
}

struct position board_position(const struct board *board)
{
    return board->at;
}

size_t board_field_count(const struct board *board)
{
    return board->live_count;
}

size_t board_text_bytes(const struct board *board)
{
    return board->text_bytes;
}

/* Rows that came before their rule: other nodes may show a KPI that is new here. */
static void group_adopt(struct board *board, struct row_group *group, const char *kpi, size_t kpi_length)
{
    LIST_EACH(node, &board->changed) {
        struct board_field *field = LIST_ITEM(node, struct board_field, changed);
        size_t length = kpi_length_of(field->name, field->name_length);
        if (length == field->name_length || length != kpi_length || memcmp(field->name, kpi, length) != 0) {
            continue;
        }
        field->group = group;
        group->trimmed_at = board->at.offset; /* nobody knows what was trimmed */
        if (field->value) {
            group->count++;
            list_append(&group->rows, &field->row);
        }
    }
}

enum result board_set_rows(struct board *board, const char *kpi, enum row_rule rule, uint32_t cap)
{
    size_t length = strlen(kpi);
    struct row_group *group = map_get(&board->groups, kpi, length);
    if (!group) {
        group = calloc(1, sizeof *group);
        if (!group) {
            return RESULT_NO_MEMORY;
        }
        list_init(&group->rows);
        enum result result = map_put(&board->groups, kpi, length, group);
        if (result != RESULT_OK) {
            free(group);
            return result;
        }
        group_adopt(board, group, kpi, length);
    }
    if (rule != group->rule || cap > group->cap) {
        floor_raise(board, group->trimmed_at); /* under the new rule, trimming keeps other rows */
    }
    group->rule = rule;
    group->cap = cap;
    return RESULT_OK;
}

enum result board_apply(struct board *board, const struct overlay *publication, const uint64_t *versions,
                        int64_t changed_at_ms)
{
    if (publication->to.epoch != board->at.epoch || publication->from != board->at.offset ||
        publication->to.offset < publication->from) {
        return RESULT_UNKNOWN_POSITION;
    }
    enum result result =
        entries_apply(board, publication->entries, versions, publication->count, changed_at_ms);
    board->at = publication->to;
    positions_push(board, publication->to);
    return result;
}

void board_reset(struct board *board, struct position at)
{
    board_forget_fields(board);
    size_t cursor = 0;
    void *group = NULL;
    while (map_next(&board->groups, &cursor, NULL, NULL, &group)) {
        ((struct row_group *)group)->trimmed_at = 0;
    }
    board->position_first = 0;
    board->position_count = 0;
    board->floor = 0;
    board->is_damaged = false;
    board->at = at;
    positions_push(board, at);
}

/* ---- another history ---- */

/*
 * Positions of ours that lie on the image's history as well, where they end in `common`. Nonces are drawn
 * per publication, so one that is equal at an offset says that everything before it is equal.
 */
static bool common_find(const struct board *board, const struct board_image *image, uint64_t *out_common)
{
    for (size_t i = image->known_count + 1; i-- > 0;) {
        const struct position *theirs = i == image->known_count ? &image->at : &image->known[i];
        const struct known_position *ours =
            theirs->epoch == board->at.epoch ? positions_find(board, theirs->offset) : NULL;
        if (ours && ours->nonce == theirs->nonce) {
            *out_common = theirs->offset;
            return true;
        }
    }
    return false;
}

/* Keep ours up to where the image begins to name them, then take the image's. */
static void positions_merge(struct board *board, const struct board_image *image, bool has_common)
{
    /* At most what is in common. */
    uint64_t limit = image->known_count ? image->known[0].offset : image->at.offset;
    size_t kept = 0;
    while (has_common && kept < board->position_count &&
           board->positions[(board->position_first + kept) % board->position_capacity].offset < limit) {
        kept++;
    }
    board->position_count = kept;
    for (size_t i = 0; i < image->known_count; i++) {
        const struct position *known = &image->known[i];
        bool rises = i == 0 || known->offset > image->known[i - 1].offset;
        if (known->epoch == image->at.epoch && known->offset < image->at.offset && rises) {
            positions_push(board, *known);
        }
    }
    positions_push(board, image->at);
}

/*
 * What was trimmed, and when, the image does not say. So a later removal, or another cap, takes it that rows
 * were pushed out at the image's very end; and a tombstone of a row that is not a table's rules out who
 * stands before it.
 */
static void trims_presume(struct board *board, uint64_t offset)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&board->groups, &cursor, NULL, NULL, &value)) {
        struct row_group *group = value;
        group->trimmed_at = group_trims(group) ? offset : 0;
    }
    LIST_EACH(node, &board->tombstones) {
        const struct board_field *field = LIST_ITEM(node, const struct board_field, row);
        bool is_row = memchr(field->name, '#', field->name_length) != NULL;
        if (is_row && !(field->group && field->group->rule == ROWS_TABLE)) {
            floor_raise(board, field->rev);
        }
    }
}

enum result board_reload(struct board *board, const struct board_image *image, int64_t changed_at_ms,
                         bool *out_has_common, uint64_t *out_common)
{
    uint64_t common = 0;
    bool has_common = !board->is_damaged && common_find(board, image, &common);
    positions_merge(board, image, has_common);
    board_forget_fields(board);
    board->floor = image->floor;
    board->is_damaged = false;
    board->at = image->at;
    enum result worst = entries_apply(board, image->entries, image->versions, image->count, changed_at_ms);
    trims_presume(board, image->at.offset);
    *out_has_common = has_common && worst == RESULT_OK;
    *out_common = common;
    return worst;
}

void board_restart(struct board *board, struct position at)
{
    board->position_first = 0;
    board->position_count = 0;
    board->at = at;
    positions_push(board, at);
}

void board_drop(struct board *board, const char *field, size_t field_length)
{
    struct board_field *found = map_get(&board->fields, field, field_length);
    if (found) {
        field_forget(board, found);
    }
}

bool board_is_damaged(const struct board *board)
{
    return board->is_damaged;
}

const char *board_value(const struct board *board, const char *field, size_t field_length, size_t *out_length)
{
    const struct board_field *found = map_get(&board->fields, field, field_length);
    if (!found || !found->value) {
        return NULL;
    }
    *out_length = found->value_length;
    return found->value;
}

bool board_version(const struct board *board, const char *field, size_t field_length, uint64_t *out_version)
{
    const struct board_field *found = map_get(&board->fields, field, field_length);
    if (!found) {
        return false;
    }
    *out_version = found->version;
    return true;
}

void board_set_version(struct board *board, const char *field, size_t field_length, uint64_t version)
{
    struct board_field *found = map_get(&board->fields, field, field_length);
    if (found) {
        found->version = version;
    }
}

size_t board_row_count(const struct board *board, const char *kpi, size_t kpi_length)
{
    const struct row_group *group = map_get(&board->groups, kpi, kpi_length);
    return group ? group->count : 0;
}

enum result board_knows(const struct board *board, const struct position *position)
{
    if (position->epoch != board->at.epoch || position->offset < board->floor) {
        return RESULT_UNKNOWN_POSITION;
    }
    const struct known_position *known = positions_find(board, position->offset);
    return known && known->nonce == position->nonce ? RESULT_OK : RESULT_UNKNOWN_POSITION;
}

static struct overlay_entry entry_of(const struct board_field *field)
{
    return (struct overlay_entry){
        .field = field->name,
        .field_length = field->name_length,
        .value = field->value,
        .value_length = field->value_length,
        .rev = field->rev,
    };
}

enum result board_overlay_since(const struct board *board, uint64_t from, struct overlay *out_overlay,
                                int64_t *out_changed_at_ms)
{
    if (from < board->floor || from > board->at.offset) {
        return RESULT_UNKNOWN_POSITION;
    }
    overlay_clear(out_overlay);
    out_overlay->from = from;
    out_overlay->to = board->at;
    out_overlay->is_snapshot = false;
    int64_t oldest = INT64_MAX;
    for (const struct list_node *node = board->changed.prev; node != &board->changed; node = node->prev) {
        const struct board_field *field = LIST_ITEM(node, const struct board_field, changed);
        if (field->rev <= from) {
            break;
        }
        if (field->changed_at_ms < oldest) {
            oldest = field->changed_at_ms;
        }
        const struct overlay_entry entry = entry_of(field);
        enum result result = overlay_add(out_overlay, &entry);
        if (result != RESULT_OK) {
            return result;
        }
    }
    if (oldest != INT64_MAX) {
        *out_changed_at_ms = oldest;
    }
    return RESULT_OK;
}

enum result board_snapshot(const struct board *board, struct overlay *out_overlay)
{
    overlay_clear(out_overlay);
    out_overlay->from = 0;
    out_overlay->to = board->at;
    out_overlay->is_snapshot = true;
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_field(board, &cursor, &entry)) {
        enum result result = overlay_add(out_overlay, &entry);
        if (result != RESULT_OK) {
            return result;
        }
    }
    return RESULT_OK;
}

bool board_next_field(const struct board *board, const void **cursor, struct overlay_entry *out_entry)
{
    const struct list_node *node = *cursor ? ((const struct list_node *)*cursor)->next : board->changed.next;
    while (node != &board->changed && !LIST_ITEM(node, const struct board_field, changed)->value) {
        node = node->next;
    }
    if (node == &board->changed) {
        return false;
    }
    *cursor = node;
    *out_entry = entry_of(LIST_ITEM(node, const struct board_field, changed));
    return true;
}

bool board_next_change(const struct board *board, const void **cursor, struct overlay_entry *out_entry)
{
    const struct list_node *node = *cursor ? ((const struct list_node *)*cursor)->next : board->changed.next;
    if (node == &board->changed) {
        return false;
    }
    *cursor = node;
    *out_entry = entry_of(LIST_ITEM(node, const struct board_field, changed));
    return true;
}

bool board_next_row(const struct board *board, const char *kpi, size_t kpi_length, const void **cursor,
                    struct overlay_entry *out_entry)
{
    const struct row_group *group = map_get(&board->groups, kpi, kpi_length);
    if (!group) {
        return false;
    }
    const struct list_node *node = *cursor ? ((const struct list_node *)*cursor)->next : group->rows.next;
    if (node == &group->rows) {
        return false;
    }
    *cursor = node;
    *out_entry = entry_of(LIST_ITEM(node, const struct board_field, row));
    return true;
}
