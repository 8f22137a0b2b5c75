/*
 * Timer wheel with one turn of WHEEL_SLOTS ticks. An entry lies in the slot of
 * its due tick modulo the slots; entries of a later turn are passed over.
 *
 * Invariants: now_tick has been run; an armed entry lies in a slot whose tick
 * is after now_tick, or is ready.
 */
#include "base/wheel.h"

#include <assert.h>

/** First tick at which due_ms has passed. */
static uint64_t due_tick(const struct wheel *wheel, uint64_t due_ms)
{
    return due_ms / wheel->tick_ms + (due_ms % wheel->tick_ms != 0 ? 1 : 0);
}

void wheel_init(struct wheel *wheel, uint32_t tick_ms, uint64_t now_ms)
{
    assert(tick_ms > 0);
    for (unsigned i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&wheel->slots[i]);
    }
    wheel->tick_ms = tick_ms;
    wheel->now_tick = now_ms / tick_ms;
    wheel->count = 0;
    list_init(&wheel->ready);
}

void wheel_entry_init(struct wheel_entry *entry)
{
    list_init(&entry->node);
    entry->due_ms = 0;
}

bool wheel_entry_is_armed(const struct wheel_entry *entry)
{
    return !list_is_empty(&entry->node);
}

void wheel_arm(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms)
{
    wheel_disarm(wheel, entry);
    entry->due_ms = due_ms;
    uint64_t tick = due_tick(wheel, due_ms);
    if (tick <= wheel->now_tick) {
        tick = wheel->now_tick + 1; /* the present tick has been run */
    }
    list_append(&wheel->slots[tick % WHEEL_SLOTS], &entry->node);
    wheel->count++;
}

void wheel_disarm(struct wheel *wheel, struct wheel_entry *entry)
{
    if (wheel_entry_is_armed(entry)) {
        list_remove(&entry->node);
        wheel->count--;
    }
}

static void collect_due(struct wheel *wheel, struct list_node *slot, uint64_t tick)
{
    LIST_EACH_SAFE(node, slot) {
        struct wheel_entry *entry = LIST_ITEM(node, struct wheel_entry, node);
        if (due_tick(wheel, entry->due_ms) <= tick) {
            list_remove(node);
            list_append(&wheel->ready, node);
        }
    }
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / wheel->tick_ms;
    if (now_tick <= wheel->now_tick) {
        return;
    }
    uint64_t passed = now_tick - wheel->now_tick;
    uint64_t visits = passed < WHEEL_SLOTS ? passed : WHEEL_SLOTS; /* after a long sleep one turn finds all */
    for (uint64_t i = 1; i <= visits; i++) {
        collect_due(wheel, &wheel->slots[(wheel->now_tick + i) % WHEEL_SLOTS], now_tick);
    }
    wheel->now_tick = now_tick;
}

struct wheel_entry *wheel_take(struct wheel *wheel)
{
    if (list_is_empty(&wheel->ready)) {
        return NULL;
    }
    struct wheel_entry *entry = LIST_ITEM(wheel->ready.next, struct wheel_entry, node);
    wheel_disarm(wheel, entry);
    return entry;
}

void wheel_run(struct wheel *wheel, uint64_t now_ms, void (*on_due)(void *context, struct wheel_entry *entry),
               void *context)
{
    wheel_advance(wheel, now_ms);
    /* Taken one by one: on_due may disarm, re-arm or free what waits behind it. */
    for (struct wheel_entry *entry = wheel_take(wheel); entry; entry = wheel_take(wheel)) {
        on_due(context, entry);
    }
}

uint64_t wheel_next_due_ms(const struct wheel *wheel)
{
    if (wheel->count == 0) {
        return UINT64_MAX;
    }
    if (!list_is_empty(&wheel->ready)) {
        return 0;
    }
    /* The first occupied slot; if all in it belong to a later turn, the run finds nothing and asks again. */
    for (uint64_t tick = wheel->now_tick + 1; tick < wheel->now_tick + WHEEL_SLOTS; tick++) {
        if (!list_is_empty(&wheel->slots[tick % WHEEL_SLOTS])) {
            return tick * wheel->tick_ms;
        }
    }
    return (wheel->now_tick + WHEEL_SLOTS) * wheel->tick_ms;
}
