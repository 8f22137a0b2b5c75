/**
 * Hash map from byte strings to pointers, with a cap on its size.
 *
 * Open addressing, SipHash-2-4 with a per-process random key (field names come
 * from producers). The map copies its keys and borrows its values.
 * Cost: O(1) expected; iteration is O(capacity).
 */
#ifndef SOPHIA_BASE_MAP_H
#define SOPHIA_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/result.h"

struct map_slot;

struct map {
    struct map_slot *slots; /* owned */
    size_t capacity;        /* power of two, or 0 */
    size_t count;           /* live entries */
    size_t used;            /* live entries and tombstones */
    size_t max_count;       /* cap; set by map_init */
};

/** Allocates nothing until the first put. */
void map_init(struct map *map, size_t max_count);
/** Frees slots and keys, not the values. NULL is allowed. */
void map_finish(struct map *map);

/** The value, or NULL. */
void *map_get(const struct map *map, const char *key, size_t key_length);
/** Insert or replace. Result: RESULT_FULL at the cap, RESULT_NO_MEMORY. */
MUST_CHECK enum result map_put(struct map *map, const char *key, size_t key_length, void *value);
/** Remove and return the value, or NULL when absent. */
void *map_remove(struct map *map, const char *key, size_t key_length);

/**
 * Visit entries in no order: start with *cursor = 0; false at the end. out_key
 * and out_key_length may both be NULL. The
 * visited entry may be removed during the walk, nothing may be put.
 */
bool map_next(const struct map *map, size_t *cursor, const char **out_key, size_t *out_key_length,
              void **out_value);

/** SipHash-2-4 with the process's key; also used where a keyed hash of text is needed. */
uint64_t map_hash(const void *key, size_t length);

#endif
