/*
 * A growing array of submission items. Field names come from our own tables,
 * so one that does not fit is our own mistake.
 */
#include "sources/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct batch *batch_create(void)
{
    return calloc(1, sizeof(struct batch));
}

void batch_finish(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        change_finish(&batch->items[i].change);
    }
    free(batch->items);
    *batch = (struct batch){0};
}

void batch_destroy(struct batch *batch)
{
    if (batch) {
        batch_finish(batch);
        free(batch);
    }
}

static bool batch_grow(struct batch *batch)
{
    size_t capacity = batch->capacity ? batch->capacity * 2 : 64;
    struct submission_item *grown = realloc(batch->items, capacity * sizeof *grown);
    if (!grown) {
        batch->failed = true;
        return false;
    }
    batch->items = grown;
    batch->capacity = capacity;
    return true;
}

struct submission_item *batch_add_item(struct batch *batch)
{
    if (batch->count == batch->capacity && !batch_grow(batch)) {
        return NULL;
    }
    struct submission_item *item = &batch->items[batch->count++];
    memset(item, 0, sizeof *item);
    return item;
}

struct change *batch_add(struct batch *batch, const char *field, int64_t as_of_ms)
{
    struct submission_item *item = batch_add_item(batch);
    if (!item) {
        return NULL;
    }
    size_t length = strlen(field);
    assert(length < sizeof item->change.field);
    memcpy(item->change.field, field, length + 1);
    item->change.has_as_of = true;
    item->change.as_of_ms = as_of_ms;
    return &item->change;
}

struct change *batch_put(struct batch *batch, const char *field, int64_t as_of_ms, json_t *value)
{
    struct change *change = value ? batch_add(batch, field, as_of_ms) : NULL;
    if (!change) {
        batch->failed = true;
        json_decref(value);
        return NULL;
    }
    change->value = value;
    return change;
}
