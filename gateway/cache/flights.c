/* A map for the current flights, a list for all of them. */
#include "cache/flights.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    struct list_node in_flight;
    cache_answer_fn *answer;
    void *context;
};

void flights_init(struct flights *flights, size_t max_flights, size_t max_waiters)
{
    *flights = (struct flights){.max_flights = max_flights, .max_waiters = max_waiters};
    map_init(&flights->current, max_flights);
    list_init(&flights->all);
}

void flights_finish(struct flights *flights)
{
    assert(flights->count == 0);
    map_finish(&flights->current);
}

struct flight *flights_find(const struct flights *flights, const char *key)
{
    return map_get(&flights->current, key, strlen(key));
}

enum result flights_add(struct flights *flights, struct flight *flight, const char *key)
{
    size_t length = strlen(key);
    assert(length <= CACHE_KEY_MAX_BYTES && !flights_find(flights, key));
    if (flights->count == flights->max_flights) {
        return RESULT_FULL;
    }
    enum result result = map_put(&flights->current, key, length, flight);
    if (result != RESULT_OK) {
        return result;
    }
    memcpy(flight->key, key, length + 1);
    list_init(&flight->waiters);
    flight->waiter_count = 0;
    flight->is_current = true;
    list_append(&flights->all, &flight->in_table);
    flights->count++;
    return RESULT_OK;
}

enum result flights_join(struct flights *flights, struct flight *flight, cache_answer_fn *answer,
                         void *context)
{
    if (flight->waiter_count == flights->max_waiters) {
        return RESULT_TOO_MANY;
    }
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        return RESULT_NO_MEMORY;
    }
    *waiter = (struct waiter){.answer = answer, .context = context};
    list_append(&flight->waiters, &waiter->in_flight);
    flight->waiter_count++;
    return RESULT_OK;
}

void flights_detach(struct flights *flights, struct flight *flight)
{
    if (flight->is_current) {
        flight->is_current = false;
        (void)map_remove(&flights->current, flight->key, strlen(flight->key)); /* it is there */
    }
}

void flights_detach_all(struct flights *flights, const char *beginning)
{
    size_t length = strlen(beginning);
    LIST_EACH(node, &flights->all) {
        struct flight *flight = LIST_ITEM(node, struct flight, in_table);
        if (strncmp(flight->key, beginning, length) == 0) {
            flights_detach(flights, flight);
        }
    }
}

void flights_remove(struct flights *flights, struct flight *flight)
{
    assert(list_is_empty(&flight->waiters));
    flights_detach(flights, flight);
    list_remove(&flight->in_table);
    flights->count--;
}

void flights_answer(struct flight *flight, const struct cache_answer *answer)
{
    size_t count = flight->waiter_count; /* those who join from an answer are behind these */
    while (count-- > 0) {
        struct waiter *waiter = LIST_ITEM(flight->waiters.next, struct waiter, in_flight);
        list_remove(&waiter->in_flight);
        flight->waiter_count--;
        waiter->answer(waiter->context, answer);
        free(waiter);
    }
}
