/*
 * Hash map: open addressing with linear probing, keyed SipHash-2-4 so that
 * producers cannot choose colliding names.
 *
 * A removed entry leaves a tombstone unless the slot behind it is empty; a
 * rehash, which happens only in map_put, drops them all. So map_remove never
 * moves an entry and is safe during a walk.
 *
 * Invariants: at least a quarter of the slots is empty, so probing ends;
 * count <= used; count <= max_count.
 */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct map_slot {
    char *key; /* owned, NUL-terminated copy; NULL = empty, TOMBSTONE = removed */
    size_t key_length;
    uint64_t hash;
    void *value; /* borrowed */
};

enum { MIN_CAPACITY = 8 };

static char tombstone_mark;
#define TOMBSTONE (&tombstone_mark)

static uint64_t rotate_left(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] = rotate_left(v[2], 32);
}

static uint64_t read_le64(const unsigned char *from, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

static void sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

/** SipHash-2-4 (Aumasson and Bernstein, 2012). */
static uint64_t siphash(const uint64_t key[2], const void *from, size_t length)
{
    const unsigned char *at = from;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
                     key[1] ^ 0x7465646279746573U};
    size_t whole = length / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        sip_absorb(v, read_le64(at + i, 8));
    }
    uint64_t last = (uint64_t)length << 56;
    if (length > whole) {
        last |= read_le64(at + whole, length - whole);
    }
    sip_absorb(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(const void *key, size_t length)
{
    static uint64_t process_key[2];
    static bool is_seeded;
    if (!is_seeded) {
        random_fill(process_key, sizeof process_key);
        is_seeded = true;
    }
    return siphash(process_key, key, length);
}

void map_init(struct map *map, size_t max_count)
{
    assert(max_count > 0 && max_count <= SIZE_MAX / 8);
    *map = (struct map){.max_count = max_count};
}

static bool is_live(const struct map_slot *slot)
{
    return slot->key != NULL && slot->key != TOMBSTONE;
}

void map_finish(struct map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (is_live(&map->slots[i])) {
            free(map->slots[i].key);
        }
    }
    free(map->slots);
    *map = (struct map){.max_count = map->max_count};
}

/** The live slot of this key, or NULL. */
static struct map_slot *find(const struct map *map, uint64_t hash, const char *key, size_t key_length)
{
    if (map->capacity == 0) {
        return NULL;
    }
    for (size_t i = hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (slot->key == NULL) {
            return NULL;
        }
        if (slot->key != TOMBSTONE && slot->hash == hash && slot->key_length == key_length &&
            memcmp(slot->key, key, key_length) == 0) {
            return slot;
        }
    }
}

/** The first slot of the probe sequence that holds no live entry. */
static struct map_slot *find_free(struct map_slot *slots, size_t capacity, uint64_t hash)
{
    size_t i = hash & (capacity - 1);
    while (is_live(&slots[i])) {
        i = (i + 1) & (capacity - 1);
    }
    return &slots[i];
}

/** New slots, at most half full, without tombstones. */
static bool rehash(struct map *map)
{
    size_t capacity = MIN_CAPACITY;
    while (capacity / 2 < map->count + 1) {
        capacity *= 2;
    }
    struct map_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (is_live(&map->slots[i])) {
            *find_free(slots, capacity, map->slots[i].hash) = map->slots[i];
        }
    }
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    map->used = map->count;
    return true;
}

static char *copy_key(const char *key, size_t key_length)
{
    char *copy = malloc(key_length + 1);
    if (copy != NULL) {
        if (key_length > 0) {
            memcpy(copy, key, key_length);
        }
        copy[key_length] = '\0';
    }
    return copy;
}

void *map_get(const struct map *map, const char *key, size_t key_length)
{
    const struct map_slot *slot = find(map, map_hash(key, key_length), key, key_length);
    return slot != NULL ? slot->value : NULL;
}

enum result map_put(struct map *map, const char *key, size_t key_length, void *value)
{
    assert(value != NULL); /* map_get could not tell it from absent */
    uint64_t hash = map_hash(key, key_length);
    struct map_slot *slot = find(map, hash, key, key_length);
    if (slot != NULL) {
        slot->value = value;
        return RESULT_OK;
    }
    if (map->count >= map->max_count) {
        return RESULT_FULL;
    }
    if (map->used + 1 > map->capacity / 4 * 3 && !rehash(map)) {
        return RESULT_NO_MEMORY;
    }
    char *copy = copy_key(key, key_length);
    if (copy == NULL) {
        return RESULT_NO_MEMORY;
    }
    slot = find_free(map->slots, map->capacity, hash);
    if (slot->key == NULL) {
        map->used++;
    }
    *slot = (struct map_slot){.key = copy, .key_length = key_length, .hash = hash, .value = value};
    map->count++;
    return RESULT_OK;
}

/** Empty this removed slot, and the tombstones before it, when nothing can be probed past them. */
static void clear_tombstones(struct map *map, size_t at)
{
    size_t mask = map->capacity - 1;
    if (map->slots[(at + 1) & mask].key != NULL) {
        return;
    }
    while (map->slots[at].key == TOMBSTONE) {
        map->slots[at].key = NULL;
        map->used--;
        at = (at - 1) & mask;
    }
}

void *map_remove(struct map *map, const char *key, size_t key_length)
{
    struct map_slot *slot = find(map, map_hash(key, key_length), key, key_length);
    if (slot == NULL) {
        return NULL;
    }
    void *value = slot->value;
    free(slot->key);
    *slot = (struct map_slot){.key = TOMBSTONE};
    map->count--;
    clear_tombstones(map, (size_t)(slot - map->slots));
    return value;
}

bool map_next(const struct map *map, size_t *cursor, const char **out_key, size_t *out_key_length,
              void **out_value)
{
    while (*cursor < map->capacity) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (is_live(slot)) {
            if (out_key != NULL) {
                *out_key = slot->key;
                *out_key_length = slot->key_length;
            }
            *out_value = slot->value;
            return true;
        }
    }
    return false;
}
