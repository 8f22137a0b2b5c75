/**
 * Which change is due when: a pure function of its number, so that whoever receives a value can tell whether it was ever
 * due for that field, without a log of what was sent.
 *
 * Changes are grouped: a tick is `outstanding` requests that are due at one moment, a request is `batch` changes of one
 * board. A value is the moment of its tick in microseconds of `load_now_us`.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_SCHEDULE_H
#define SOPHIA_LOADTEST_LOAD_LOAD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/load_scenario.h"

struct load_schedule {
    const struct scenario *scenario; /* borrowed */
    double *limits;                  /* owned: per board, running sum of `changes` */
    bool takes_turns;                /* all boards change equally often */
    double tick_us;
    uint64_t start_us; /* when tick 0 is due */
};

/** Unix microseconds that never jump: the wall clock as it was at the first call, advanced by the monotonic one. */
uint64_t load_now_us(void);

/** False: out of memory. Set start_us before the first change. */
bool load_schedule_init(struct load_schedule *schedule, const struct scenario *scenario);
void load_schedule_finish(struct load_schedule *schedule);

uint64_t load_schedule_due_us(const struct load_schedule *schedule, uint64_t tick);
/** Request `number` belongs to tick number / outstanding. Its changes are of this board, `batch` fields from out_field on. */
void load_schedule_request(const struct load_schedule *schedule, uint64_t number, uint32_t *out_board,
                           uint32_t *out_field);
/** Was this value ever due for this field? `field` counts in the scenario's order. */
bool load_schedule_has(const struct load_schedule *schedule, uint32_t board, uint32_t field,
                       uint64_t value_us);

#endif
