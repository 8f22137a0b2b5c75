/**
 * Who waits for what: at most one current load per key, and the readers waiting for it.
 *
 * A load whose key changed under it is detached: its own waiters are served, the next reader begins another. Detached loads count
 * against the cap as well.
 *
 * Loop: loop thread; calls back from flights_answer() only.
 */
#ifndef SOPHIA_CACHE_FLIGHTS_H
#define SOPHIA_CACHE_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/map.h"
#include "cache/cache.h"

/** Embedded in whatever does the load. */
struct flight {
    struct list_node in_table;
    struct list_node waiters;
    size_t waiter_count;
    bool is_current; /* readers may join, the result may be kept */
    char key[CACHE_KEY_MAX_BYTES + 1];
};

struct flights {
    struct map current; /* key -> struct flight */
    struct list_node all;
    size_t count, max_flights, max_waiters;
};

void flights_init(struct flights *flights, size_t max_flights, size_t max_waiters);
/** There are no flights left. */
void flights_finish(struct flights *flights);

/** The current one, or NULL. */
struct flight *flights_find(const struct flights *flights, const char *key);
/** It becomes the key's current one; there is none before. Result: FULL, NO_MEMORY. */
MUST_CHECK enum result flights_add(struct flights *flights, struct flight *flight, const char *key);
/** Result: TOO_MANY, NO_MEMORY. */
MUST_CHECK enum result flights_join(struct flights *flights, struct flight *flight, cache_answer_fn *answer,
                                    void *context);
/** Its key changed. Detaching twice is harmless. */
void flights_detach(struct flights *flights, struct flight *flight);
/** Every current one whose key begins so. */
void flights_detach_all(struct flights *flights, const char *beginning);
/** It is over. Its waiters have been answered. */
void flights_remove(struct flights *flights, struct flight *flight);
/** Answers those who wait now; who joins meanwhile waits on. The flight itself must outlive the call. */
void flights_answer(struct flight *flight, const struct cache_answer *answer);

#endif
