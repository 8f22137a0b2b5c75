/*
 * A ring of entries in the order they began, which with one life time is also the order in which they end, and an open-addressing
 * index of ring places. An abandoned entry leaves the index at once and the ring when its turn comes.
 *
 * Invariants: capacity is a power of two; the index has twice as many slots, so a probe always ends; a slot is the place
 * plus one, 0 is free; an entry is in the index unless it is dead.
 */
#include "access/replay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

struct entry {
    unsigned char key[REPLAY_KEY_BYTES];
    uint64_t began_ms;
    enum replay_state state; /* never REPLAY_NEW */
    bool is_dead;            /* abandoned */
};

struct replay {
    struct entry *ring; /* owned; NULL while nothing was ever in it */
    uint32_t *index;    /* owned; 2 * capacity slots */
    size_t capacity;    /* of the ring */
    size_t max_keys;
    size_t first; /* place of the oldest entry */
    size_t used;  /* entries in the ring, dead ones included */
    size_t count; /* living ones */
    uint64_t keep_ms;
    uint64_t dropped;
};

struct replay *replay_create(size_t max_keys, uint64_t keep_ms)
{
    assert(max_keys >= 2 && max_keys <= UINT32_MAX / 4 && (max_keys & (max_keys - 1)) == 0);
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay) {
        replay->max_keys = max_keys;
        replay->keep_ms = keep_ms;
    }
    return replay;
}

void replay_destroy(struct replay *replay)
{
    if (replay) {
        free(replay->ring);
        free(replay->index);
        free(replay);
    }
}

/* ---- the index ---- */

static size_t slots(const struct replay *replay)
{
    return replay->capacity * 2;
}

/** Where the key's probe begins: it is a hash already. */
static size_t home(const struct replay *replay, const unsigned char *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return (size_t)word & (slots(replay) - 1);
}

/** The slot that holds the key, or the free one where it would be put. */
static size_t find_slot(const struct replay *replay, const unsigned char *key)
{
    size_t slot = home(replay, key);
    while (replay->index[slot] != 0 &&
           memcmp(replay->ring[replay->index[slot] - 1].key, key, REPLAY_KEY_BYTES) != 0) {
        slot = (slot + 1) & (slots(replay) - 1);
    }
    return slot;
}

/** Empties a slot and moves up what was probed past it. */
static void free_slot(struct replay *replay, size_t slot)
{
    const size_t mask = slots(replay) - 1;
    replay->index[slot] = 0;
    for (size_t next = (slot + 1) & mask; replay->index[next] != 0; next = (next + 1) & mask) {
        size_t wanted = home(replay, replay->ring[replay->index[next] - 1].key);
        if (((next - wanted) & mask) >= ((next - slot) & mask)) {
            replay->index[slot] = replay->index[next];
            replay->index[next] = 0;
            slot = next;
        }
    }
}

static struct entry *find(const struct replay *replay, const unsigned char *key)
{
    size_t slot = replay->capacity > 0 ? find_slot(replay, key) : 0;
    return replay->capacity > 0 && replay->index[slot] != 0 ? &replay->ring[replay->index[slot] - 1] : NULL;
}

/* ---- the ring ---- */

static void kill_entry(struct replay *replay, struct entry *entry)
{
    free_slot(replay, find_slot(replay, entry->key));
    entry->is_dead = true;
    replay->count--;
}

static void remove_oldest(struct replay *replay)
{
    struct entry *oldest = &replay->ring[replay->first];
    if (!oldest->is_dead) {
        kill_entry(replay, oldest);
    }
    replay->first = (replay->first + 1) & (replay->capacity - 1);
    replay->used--;
}

static void expire(struct replay *replay, uint64_t now_ms)
{
    while (replay->used > 0) {
        const struct entry *oldest = &replay->ring[replay->first];
        bool is_over = now_ms >= oldest->began_ms && now_ms - oldest->began_ms >= replay->keep_ms;
        if (!oldest->is_dead && !is_over) {
            return;
        }
        remove_oldest(replay);
    }
}

static bool grow(struct replay *replay)
{
    size_t capacity = replay->capacity > 0 ? replay->capacity * 2 : CAPACITY_MIN;
    capacity = capacity < replay->max_keys ? capacity : replay->max_keys;
    struct entry *ring = calloc(capacity, sizeof *ring);
    uint32_t *index = calloc(capacity * 2, sizeof *index);
    if (!ring || !index) {
        free(ring);
        free(index);
        return false;
    }
    size_t used = 0;
    for (size_t i = 0; i < replay->used; i++) {
        const struct entry *entry = &replay->ring[(replay->first + i) & (replay->capacity - 1)];
        if (!entry->is_dead) {
            ring[used++] = *entry;
        }
    }
    free(replay->ring);
    free(replay->index);
    replay->ring = ring;
    replay->index = index;
    replay->capacity = capacity;
    replay->first = 0;
    replay->used = used;
    for (size_t i = 0; i < used; i++) {
        index[find_slot(replay, ring[i].key)] = (uint32_t)i + 1;
    }
    return true;
}

/** A place at the end of the ring; false when memory ran out. */
static bool make_room(struct replay *replay)
{
    if (replay->used < replay->capacity) {
        return true;
    }
    if (replay->capacity < replay->max_keys) {
        return grow(replay);
    }
    replay->dropped += replay->ring[replay->first].is_dead ? 0 : 1;
    remove_oldest(replay);
    return true;
}

/* ---- calls ---- */

enum replay_state replay_look(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES],
                              uint64_t now_ms)
{
    expire(replay, now_ms);
    const struct entry *entry = find(replay, key);
    return entry ? entry->state : REPLAY_NEW;
}

enum result replay_begin(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES], uint64_t now_ms)
{
    expire(replay, now_ms);
    if (find(replay, key)) {
        return RESULT_OK;
    }
    if (!make_room(replay)) {
        return RESULT_NO_MEMORY;
    }
    size_t place = (replay->first + replay->used) & (replay->capacity - 1);
    struct entry *entry = &replay->ring[place];
    *entry = (struct entry){.began_ms = now_ms, .state = REPLAY_UNDER_WAY};
    memcpy(entry->key, key, REPLAY_KEY_BYTES);
    replay->index[find_slot(replay, key)] = (uint32_t)place + 1;
    replay->used++;
    replay->count++;
    return RESULT_OK;
}

void replay_finish(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES])
{
    struct entry *entry = find(replay, key);
    if (entry) {
        entry->state = REPLAY_DONE;
    }
}

void replay_abandon(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES])
{
    struct entry *entry = find(replay, key);
    if (entry && entry->state == REPLAY_UNDER_WAY) {
        kill_entry(replay, entry);
    }
}

size_t replay_count(const struct replay *replay)
{
    return replay->count;
}

uint64_t replay_dropped(const struct replay *replay)
{
    return replay->dropped;
}
