/* A tick's requests leave one right after the other, then their answers are awaited; the next tick leaves when it is due or,
 * late, at once. */
#include "loadtest/load/load_producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum { FILL_AT_ONCE = 250, LOOK_UP_US = 50000 };

bool load_producer_init(struct load_producer *producer, const struct scenario *scenario,
                        struct load_schedule *schedule, const struct load_sink_options *where,
                        char out_problem[SCENARIO_PROBLEM_BYTES])
{
    *producer = (struct load_producer){.scenario = scenario, .schedule = schedule};
    snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "out of memory");
    producer->by_board = calloc(scenario->board_count, sizeof *producer->by_board);
    producer->last = calloc(scenario->board_count, sizeof *producer->last);
    bool has_all = producer->by_board && producer->last;
    for (uint32_t i = 0; has_all && i < scenario->board_count; i++) {
        producer->last[i] = calloc(scenario->boards[i].field_count, sizeof **producer->last);
        has_all = producer->last[i] != NULL;
    }
    producer->sink = has_all ? load_sink_open(where, out_problem) : NULL;
    if (!producer->sink) {
        load_producer_finish(producer);
        return false;
    }
    return true;
}

void load_producer_finish(struct load_producer *producer)
{
    load_producer_stop(producer);
    load_sink_close(producer->sink);
    for (uint32_t i = 0; producer->last && i < producer->scenario->board_count; i++) {
        free(producer->last[i]);
    }
    free(producer->last);
    free(producer->by_board);
    *producer = (struct load_producer){0};
}

/* ---- first values ---- */

static bool fill_now(struct load_producer *producer, const struct load_write *writes, uint32_t count)
{
    uint32_t accepted;
    load_sink_begin(producer->sink, 0, writes, count);
    return load_sink_finish(producer->sink, 0, &accepted);
}

bool load_producer_fill(struct load_producer *producer)
{
    struct load_write writes[FILL_AT_ONCE];
    uint32_t count = 0, most = producer->scenario->value_bytes > 0 ? FILL_AT_ONCE / 5 : FILL_AT_ONCE;
    uint64_t now_us = load_now_us();
    bool is_taken = true;
    for (uint32_t i = 0; i < producer->scenario->board_count; i++) {
        const struct scenario_board *board = &producer->scenario->boards[i];
        for (uint32_t j = 0; is_taken && j < board->field_count; j++) {
            producer->last[i][j].value_us = now_us;
            writes[count++] = (struct load_write){.field = board->fields[j], .value_us = now_us};
            if (count == most) {
                is_taken = fill_now(producer, writes, count);
                count = 0;
            }
        }
    }
    return is_taken && (count == 0 || fill_now(producer, writes, count));
}

/* ---- the thread ---- */

static bool wait_until(struct load_producer *producer, uint64_t due_us)
{
    for (uint64_t now_us; !atomic_load(&producer->must_stop);) {
        now_us = load_now_us();
        if (now_us >= due_us) {
            return true;
        }
        uint64_t rest_us = due_us - now_us < LOOK_UP_US ? due_us - now_us : LOOK_UP_US;
        const struct timespec rest = {.tv_nsec = (long)rest_us * 1000};
        (void)nanosleep(&rest, NULL); /* woken early: it looks again */
    }
    return false;
}

static void begin(struct load_producer *producer, struct load_write *writes, uint64_t tick, uint32_t slot)
{
    uint32_t number, first;
    load_schedule_request(producer->schedule, tick * producer->scenario->outstanding + slot, &number, &first);
    const struct scenario_board *board = &producer->scenario->boards[number];
    uint64_t value_us = load_schedule_due_us(producer->schedule, tick);
    for (uint32_t i = 0; i < producer->scenario->batch; i++) {
        uint32_t field = (first + i) % board->field_count;
        writes[i] = (struct load_write){.field = board->fields[field], .value_us = value_us};
        producer->last[number][field].value_us = value_us;
    }
    load_sink_begin(producer->sink, slot, writes, producer->scenario->batch);
}

static void finish(struct load_producer *producer, uint64_t tick, uint32_t slot)
{
    uint32_t number, first, accepted;
    load_schedule_request(producer->schedule, tick * producer->scenario->outstanding + slot, &number, &first);
    if (!load_sink_finish(producer->sink, slot, &accepted)) {
        atomic_fetch_add(&producer->failed, producer->scenario->batch);
        for (uint32_t i = 0; i < producer->scenario->batch; i++) {
            producer->last[number][(first + i) % producer->scenario->boards[number].field_count].is_doubtful =
                true;
        }
    }
    atomic_fetch_add(&producer->accepted, accepted);
    atomic_fetch_add(&producer->by_board[number], accepted);
}

static void *run(void *context)
{
    struct load_producer *producer = context;
    struct load_write writes[INGEST_ITEMS_MAX];
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* else it wakes up to 50 us late, which would be measured */
    uint64_t tick = 0, due_us;
    for (; (due_us = load_schedule_due_us(producer->schedule, tick)) < producer->end_us; tick++) {
        if (!wait_until(producer, due_us)) {
            break;
        }
        uint64_t late_us = load_now_us() - due_us;
        if (late_us > atomic_load(&producer->late_us)) {
            atomic_store(&producer->late_us, late_us);
        }
        for (uint32_t slot = 0; slot < producer->scenario->outstanding; slot++) {
            begin(producer, writes, tick, slot);
        }
        for (uint32_t slot = 0; slot < producer->scenario->outstanding; slot++) {
            finish(producer, tick, slot);
        }
    }
    for (; load_schedule_due_us(producer->schedule, tick) < producer->end_us; tick++) { /* given up */
        atomic_fetch_add(&producer->failed,
                         (uint64_t)producer->scenario->outstanding * producer->scenario->batch);
    }
    atomic_store(&producer->is_done, true);
    return NULL;
}

bool load_producer_start(struct load_producer *producer, uint64_t end_us)
{
    producer->end_us = end_us;
    if (producer->scenario->rate <= 0) {
        atomic_store(&producer->is_done, true);
        return true;
    }
    producer->is_running = pthread_create(&producer->thread, NULL, run, producer) == 0;
    return producer->is_running;
}

void load_producer_stop(struct load_producer *producer)
{
    if (producer->is_running) {
        atomic_store(&producer->must_stop, true);
        (void)pthread_join(producer->thread, NULL); /* it is ours and was not joined before */
        producer->is_running = false;
    }
}

bool load_producer_agrees(const struct load_producer *producer, uint32_t board,
                          const struct load_entry *entry)
{
    if (entry->index >= producer->scenario->boards[board].field_count) {
        return true;
    }
    const struct load_last *last = &producer->last[board][entry->index];
    return last->is_doubtful || last->value_us == entry->value_us;
}
