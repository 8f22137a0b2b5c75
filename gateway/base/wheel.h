/**
 * Timer wheel: many deadlines behind one loop timer.
 *
 * Intrusive, no allocation. Resolution is one tick (tick_ms); a deadline never
 * fires early and at most one tick late. Deadlines beyond one turn of the
 * wheel wait for a later turn. Cost: O(1) to arm and disarm; a run costs the
 * ticks that passed plus what is due.
 */
#ifndef SOPHIA_BASE_WHEEL_H
#define SOPHIA_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { WHEEL_SLOTS = 512 };

struct wheel_entry {
    struct list_node node;
    uint64_t due_ms;
};

struct wheel {
    struct list_node slots[WHEEL_SLOTS];
    uint32_t tick_ms;
    uint64_t now_tick;
    uint64_t count;         /* armed entries */
    struct list_node ready; /* due, not taken yet; still armed */
};

void wheel_init(struct wheel *wheel, uint32_t tick_ms, uint64_t now_ms);
void wheel_entry_init(struct wheel_entry *entry);
/** Arm, or move when armed already. */
void wheel_arm(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms);
void wheel_disarm(struct wheel *wheel, struct wheel_entry *entry);
bool wheel_entry_is_armed(const struct wheel_entry *entry);
/**
 * Disarm and hand out every entry due at now_ms, one call of on_due each. on_due
 * may arm, disarm and free any entry, this one included.
 */
void wheel_run(struct wheel *wheel, uint64_t now_ms, void (*on_due)(void *context, struct wheel_entry *entry),
               void *context);
/** wheel_run in pieces: first what is due at now_ms gets ready, then each call takes one entry, disarmed; NULL at the end. */
void wheel_advance(struct wheel *wheel, uint64_t now_ms);
struct wheel_entry *wheel_take(struct wheel *wheel);
/** When to run it next; 0 while something is ready, UINT64_MAX when nothing is armed. */
uint64_t wheel_next_due_ms(const struct wheel *wheel);

#endif
