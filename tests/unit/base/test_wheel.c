/* Timer wheel: a random schedule against a plain array, and callbacks that meddle. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/wheel.h"

enum { ENTRIES = 200, TICK_MS = 10 };

struct item {
    struct wheel_entry entry;
    uint64_t due_ms;  /* UINT64_MAX: not armed */
    uint64_t wait_ms; /* due_ms, or when it was armed if that is later */
    unsigned fired;
};

struct schedule {
    struct wheel wheel;
    struct item items[ENTRIES];
    uint64_t now_ms;
    uint32_t seed;
};

static uint32_t next_random(struct schedule *schedule)
{
    schedule->seed = schedule->seed * 1664525 + 1013904223;
    return schedule->seed >> 8;
}

static void on_due(void *context, struct wheel_entry *entry)
{
    struct schedule *schedule = context;
    struct item *item = LIST_ITEM(entry, struct item, entry);
    assert_false(wheel_entry_is_armed(entry));
    assert_true(item->due_ms != UINT64_MAX);
    assert_true(schedule->now_ms >= item->due_ms); /* never early */
    item->due_ms = UINT64_MAX;
    item->fired++;
}

static void arm(struct schedule *schedule, struct item *item, uint64_t due_ms)
{
    item->due_ms = due_ms;
    item->wait_ms = due_ms > schedule->now_ms ? due_ms : schedule->now_ms;
    wheel_arm(&schedule->wheel, &item->entry, due_ms);
    assert_true(wheel_entry_is_armed(&item->entry));
}

static void check_nobody_is_late(struct schedule *schedule)
{
    uint64_t armed = 0;
    uint64_t earliest = UINT64_MAX;
    for (int i = 0; i < ENTRIES; i++) {
        const struct item *item = &schedule->items[i];
        if (item->due_ms != UINT64_MAX) {
            assert_true(schedule->now_ms <= item->wait_ms + TICK_MS); /* at most a tick late */
            armed++;
            earliest = item->wait_ms < earliest ? item->wait_ms : earliest;
        }
    }
    assert_int_equal(schedule->wheel.count, armed);
    uint64_t wake_ms = wheel_next_due_ms(&schedule->wheel);
    assert_true(armed > 0 ? wake_ms <= earliest + TICK_MS : wake_ms == UINT64_MAX);
    assert_true(wake_ms > schedule->now_ms - schedule->now_ms % TICK_MS); /* never the tick that was run */
}

static void test_random_schedule_fires_in_time(void **state)
{
    (void)state;
    struct schedule *schedule = calloc(1, sizeof *schedule);
    schedule->seed = 7;
    schedule->now_ms = 123456;
    wheel_init(&schedule->wheel, TICK_MS, schedule->now_ms);
    for (int i = 0; i < ENTRIES; i++) {
        wheel_entry_init(&schedule->items[i].entry);
        schedule->items[i].due_ms = UINT64_MAX;
    }
    for (int step = 0; step < 20000; step++) {
        struct item *item = &schedule->items[next_random(schedule) % ENTRIES];
        uint32_t dice = next_random(schedule) % 10;
        if (dice < 5) { /* up to four turns ahead, or in the past */
            arm(schedule, item, schedule->now_ms + next_random(schedule) % (TICK_MS * WHEEL_SLOTS * 4) - 50);
        } else if (dice < 7) {
            item->due_ms = UINT64_MAX;
            wheel_disarm(&schedule->wheel, &item->entry);
        } else {
            schedule->now_ms += dice == 9 ? next_random(schedule) % 20000 : next_random(schedule) % 50;
            wheel_run(&schedule->wheel, schedule->now_ms, on_due, schedule);
        }
        check_nobody_is_late(schedule);
    }
    free(schedule);
}

static void test_waking_when_told_is_enough(void **state)
{
    (void)state;
    struct schedule *schedule = calloc(1, sizeof *schedule);
    wheel_init(&schedule->wheel, TICK_MS, 0);
    uint64_t total = 0;
    for (int i = 0; i < ENTRIES; i++) {
        wheel_entry_init(&schedule->items[i].entry);
        arm(schedule, &schedule->items[i], (uint64_t)i * (uint64_t)i * 3 + 1);
    }
    unsigned wakes = 0;
    while (schedule->wheel.count > 0) {
        schedule->now_ms = wheel_next_due_ms(&schedule->wheel);
        wheel_run(&schedule->wheel, schedule->now_ms, on_due, schedule);
        check_nobody_is_late(schedule);
        assert_true(++wakes < 120000 / TICK_MS); /* fewer than one a tick */
    }
    for (int i = 0; i < ENTRIES; i++) {
        total += schedule->items[i].fired;
    }
    assert_int_equal(total, ENTRIES);
    assert_true(wheel_next_due_ms(&schedule->wheel) == UINT64_MAX);
    free(schedule);
}

struct meddling {
    struct wheel wheel;
    struct wheel_entry *entries[4];
    unsigned calls;
};

static void meddle(void *context, struct wheel_entry *entry)
{
    struct meddling *m = context;
    m->calls++;
    assert_ptr_equal(entry, m->entries[0]);
    wheel_disarm(&m->wheel, m->entries[1]); /* due in the same run: must not fire */
    wheel_disarm(&m->wheel, m->entries[2]);
    free(m->entries[2]);
    wheel_arm(&m->wheel, m->entries[3], 5000); /* due in the same run, moved */
    free(entry);
    m->entries[0] = NULL;
}

static void test_callback_may_disarm_move_and_free_what_is_due_too(void **state)
{
    (void)state;
    struct meddling m = {0};
    wheel_init(&m.wheel, TICK_MS, 0);
    for (int i = 0; i < 4; i++) {
        m.entries[i] = malloc(sizeof *m.entries[i]);
        wheel_entry_init(m.entries[i]);
        wheel_arm(&m.wheel, m.entries[i], 15);
    }
    wheel_run(&m.wheel, 100, meddle, &m);
    assert_int_equal(m.calls, 1);
    assert_false(wheel_entry_is_armed(m.entries[1]));
    assert_true(wheel_entry_is_armed(m.entries[3]));
    assert_int_equal(m.wheel.count, 1);
    free(m.entries[1]);
    free(m.entries[3]);
}

static void rearm(void *context, struct wheel_entry *entry)
{
    struct schedule *schedule = context;
    schedule->items[0].fired++;
    wheel_arm(&schedule->wheel, entry, 0);
}

static void test_rearming_for_now_waits_for_the_next_tick(void **state)
{
    (void)state;
    struct schedule *schedule = calloc(1, sizeof *schedule);
    wheel_init(&schedule->wheel, TICK_MS, 0);
    wheel_entry_init(&schedule->items[0].entry);
    wheel_arm(&schedule->wheel, &schedule->items[0].entry, 0);
    wheel_run(&schedule->wheel, 10, rearm, schedule);
    wheel_run(&schedule->wheel, 19, rearm, schedule);
    assert_int_equal(schedule->items[0].fired, 1);
    wheel_run(&schedule->wheel, 20, rearm, schedule);
    assert_int_equal(schedule->items[0].fired, 2);
    wheel_arm(&schedule->wheel, &schedule->items[0].entry, UINT64_MAX);
    wheel_run(&schedule->wheel, 1000000, rearm, schedule);
    assert_int_equal(schedule->items[0].fired, 2);
    free(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedule_fires_in_time),
        cmocka_unit_test(test_waking_when_told_is_enough),
        cmocka_unit_test(test_callback_may_disarm_move_and_free_what_is_due_too),
        cmocka_unit_test(test_rearming_for_now_waits_for_the_next_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
