/*
 * Boards that change equally often take turns, so that as many requests as there are boards touch each of them once. Others
 * are dealt out by the fractional parts of multiples of the golden ratio, which fill the weights evenly from the first
 * request on and need no state. Fields take turns on their board.
 */
#include "loadtest/load/load_schedule.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

uint64_t load_now_us(void)
{
    static uint64_t offset_us;
    if (offset_us == 0) { /* the first call comes before there are threads */
        struct timespec wall;
        (void)clock_gettime(CLOCK_REALTIME, &wall); /* cannot fail for this clock */
        offset_us = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000 - clock_monotonic_us();
    }
    return offset_us + clock_monotonic_us();
}

bool load_schedule_init(struct load_schedule *schedule, const struct scenario *scenario)
{
    *schedule = (struct load_schedule){.scenario = scenario,
                                       .limits = calloc(scenario->board_count, sizeof *schedule->limits)};
    if (!schedule->limits) {
        return false;
    }
    double sum = 0;
    for (uint32_t i = 0; i < scenario->board_count; i++) {
        sum += scenario->boards[i].changes;
        schedule->limits[i] = sum;
        schedule->takes_turns =
            i == 0 || (schedule->takes_turns && scenario->boards[i].changes == scenario->boards[0].changes);
    }
    if (scenario->rate > 0) {
        schedule->tick_us = 1e6 * scenario->outstanding * scenario->batch / scenario->rate;
    }
    return true;
}

void load_schedule_finish(struct load_schedule *schedule)
{
    free(schedule->limits);
    schedule->limits = NULL;
}

uint64_t load_schedule_due_us(const struct load_schedule *schedule, uint64_t tick)
{
    return schedule->start_us + (uint64_t)((double)tick * schedule->tick_us);
}

static uint32_t board_by_weight(const struct load_schedule *schedule, uint64_t number)
{
    static const double golden = 0.6180339887498949;
    uint32_t count = schedule->scenario->board_count;
    double turn = (double)number * golden;
    double point = (turn - floor(turn)) * schedule->limits[count - 1];
    uint32_t low = 0, high = count - 1;
    while (low < high) { /* the first board whose limit is beyond the point */
        uint32_t middle = low + (high - low) / 2;
        if (schedule->limits[middle] > point) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void load_schedule_request(const struct load_schedule *schedule, uint64_t number, uint32_t *out_board,
                           uint32_t *out_field)
{
    const struct scenario *scenario = schedule->scenario;
    uint32_t count = scenario->board_count;
    *out_board = schedule->takes_turns ? (uint32_t)(number % count) : board_by_weight(schedule, number);
    uint64_t turn = schedule->takes_turns ? number / count : number;
    *out_field = (uint32_t)(turn * scenario->batch % scenario->boards[*out_board].field_count);
}

static bool tick_has(const struct load_schedule *schedule, uint64_t tick, uint32_t board, uint32_t field)
{
    const struct scenario *scenario = schedule->scenario;
    uint32_t fields = scenario->boards[board].field_count;
    for (uint32_t i = 0; i < scenario->outstanding; i++) {
        uint32_t due_board, first;
        load_schedule_request(schedule, tick * scenario->outstanding + i, &due_board, &first);
        if (due_board == board && (field + fields - first) % fields < scenario->batch) {
            return true;
        }
    }
    return false;
}

bool load_schedule_has(const struct load_schedule *schedule, uint32_t board, uint32_t field,
                       uint64_t value_us)
{
    if (value_us < schedule->start_us || schedule->tick_us <= 0 ||
        field >= schedule->scenario->boards[board].field_count) {
        return false;
    }
    uint64_t near = (uint64_t)((double)(value_us - schedule->start_us) / schedule->tick_us);
    for (uint64_t tick = near > 0 ? near - 1 : 0; tick <= near + 1; tick++) { /* rounding */
        if (load_schedule_due_us(schedule, tick) == value_us && tick_has(schedule, tick, board, field)) {
            return true;
        }
    }
    return false;
}
