/*
 * Overlays: an array of entries, and how two of them become one. Composing
 * indexes the later overlay by field, copies what it does not overwrite from
 * the earlier one, then the later one whole, so entries stay in order of last
 * change when both inputs were. Values are never looked into.
 *
 * A snapshot never holds deletions: it replaces everything, so what it does
 * not name does not exist.
 */
#include "protocol/overlay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

void overlay_init(struct overlay *overlay)
{
    *overlay = (struct overlay){0};
}

void overlay_finish(struct overlay *overlay)
{
    if (overlay == NULL) {
        return;
    }
    free(overlay->entries);
    *overlay = (struct overlay){0};
}

void overlay_clear(struct overlay *overlay)
{
    struct overlay_entry *entries = overlay->entries;
    size_t capacity = overlay->capacity;
    *overlay = (struct overlay){.entries = entries, .capacity = capacity};
}

static bool reserve(struct overlay *overlay, size_t capacity)
{
    if (capacity <= overlay->capacity) {
        return true;
    }
    struct overlay_entry *entries = reallocarray(overlay->entries, capacity, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    overlay->entries = entries;
    overlay->capacity = capacity;
    return true;
}

enum result overlay_add(struct overlay *overlay, const struct overlay_entry *entry)
{
    if (overlay->count == overlay->capacity) {
        size_t capacity = overlay->capacity > 0 ? overlay->capacity * 2 : FIRST_CAPACITY;
        if (!reserve(overlay, capacity)) {
            return RESULT_NO_MEMORY;
        }
    }
    overlay->entries[overlay->count++] = *entry;
    return RESULT_OK;
}

/* ---- which fields an overlay names: open addressing, at most half full ---- */

struct field_index {
    const struct overlay_entry **slots;
    size_t mask;
};

/* FNV-1a. Field names come from producers we know and a board's size is capped: a keyed hash buys nothing. */
static size_t field_hash(const struct overlay_entry *entry)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < entry->field_length; i++) {
        hash = (hash ^ (unsigned char)entry->field[i]) * 0x100000001b3u;
    }
    return (size_t)(hash ^ hash >> 32);
}

static bool same_field(const struct overlay_entry *a, const struct overlay_entry *b)
{
    return a->field_length == b->field_length && memcmp(a->field, b->field, a->field_length) == 0;
}

static const struct overlay_entry **find_slot(const struct field_index *index,
                                              const struct overlay_entry *entry)
{
    size_t at = field_hash(entry) & index->mask;
    while (index->slots[at] != NULL && !same_field(index->slots[at], entry)) {
        at = (at + 1) & index->mask;
    }
    return &index->slots[at];
}

static bool index_fields(struct field_index *index, const struct overlay *overlay)
{
    size_t size = 4;
    while (size < overlay->count * 2) {
        size *= 2;
    }
    index->slots = calloc(size, sizeof *index->slots);
    if (index->slots == NULL) {
        return false;
    }
    index->mask = size - 1;
    for (size_t i = 0; i < overlay->count; i++) {
        *find_slot(index, &overlay->entries[i]) = &overlay->entries[i];
    }
    return true;
}

/* ---- composing ---- */

static void copy_entry(struct overlay *out, const struct overlay_entry *entry)
{
    if (!out->is_snapshot || entry->value != NULL) {
        out->entries[out->count++] = *entry; /* overlay_compose reserved room for both inputs */
    }
}

static void copy_entries(struct overlay *out, const struct overlay *from, const struct field_index *unless)
{
    for (size_t i = 0; i < from->count; i++) {
        if (unless == NULL || *find_slot(unless, &from->entries[i]) == NULL) {
            copy_entry(out, &from->entries[i]);
        }
    }
}

static bool continues(const struct overlay *a, const struct overlay *b)
{
    if (b->is_snapshot) {
        return true;
    }
    if (a->to.epoch != b->to.epoch || b->from > a->to.offset || a->to.offset > b->to.offset) {
        return false;
    }
    /* One offset with two nonces is two histories. */
    return a->to.offset != b->to.offset || a->to.nonce == b->to.nonce;
}

enum result overlay_compose(const struct overlay *a, const struct overlay *b, struct overlay *out_overlay)
{
    assert(out_overlay->count == 0 && out_overlay != a && out_overlay != b);
    if (!continues(a, b)) {
        return RESULT_UNKNOWN_POSITION;
    }
    size_t from_a = b->is_snapshot ? 0 : a->count;
    if (!reserve(out_overlay, from_a + b->count)) {
        return RESULT_NO_MEMORY;
    }
    struct field_index index = {0};
    if (from_a > 0 && !index_fields(&index, b)) {
        return RESULT_NO_MEMORY;
    }
    out_overlay->from = b->is_snapshot ? b->from : a->from;
    out_overlay->to = b->to;
    out_overlay->is_snapshot = a->is_snapshot || b->is_snapshot;
    if (from_a > 0) {
        copy_entries(out_overlay, a, &index);
    }
    copy_entries(out_overlay, b, NULL);
    free(index.slots);
    return RESULT_OK;
}
