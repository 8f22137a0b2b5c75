/**
 * Writes what the schedule says, in a thread of its own: viewers that keep the reader busy must not make changes late. What is
 * late all the same keeps the moment it was due (load_schedule.h), so that waiting is measured and not left out.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_PRODUCER_H
#define SOPHIA_LOADTEST_LOAD_LOAD_PRODUCER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/load_frame.h"
#include "loadtest/load/load_schedule.h"
#include "loadtest/load/load_sink.h"

struct load_producer {
    const struct scenario *scenario; /* borrowed */
    struct load_schedule *schedule;  /* borrowed */
    struct load_sink *sink;          /* owned */
    pthread_t thread;
    bool is_running;
    uint64_t end_us; /* what is due before this is written, however late; set before the start */
    atomic_bool must_stop, is_done;    /* give up; everything was written */
    _Atomic uint64_t accepted, failed; /* changes */
    _Atomic uint64_t late_us;          /* the most that a request left after it was due */
    _Atomic uint64_t *by_board;        /* owned: accepted changes */
    struct load_last {                 /* what a field became last; read once the thread has ended */
        uint64_t value_us;             /* 0: nothing */
        bool is_doubtful;              /* a change of it failed: nobody knows */
    } * *last;                         /* owned, by board and field */
};

/** False: out_problem says why. */
bool load_producer_init(struct load_producer *producer, const struct scenario *scenario,
                        struct load_schedule *schedule, const struct load_sink_options *where,
                        char out_problem[SCENARIO_PROBLEM_BYTES]);
/** Gives every field a first value. False: it was not taken in. */
bool load_producer_fill(struct load_producer *producer);
/** From schedule->start_us to end_us. False: no thread. */
bool load_producer_start(struct load_producer *producer, uint64_t end_us);
/** What is not written by now is not written any more and counts as failed. */
void load_producer_stop(struct load_producer *producer);
void load_producer_finish(struct load_producer *producer);

/** Is the head's value the last one of the field? True where nobody knows. After the end. */
bool load_producer_agrees(const struct load_producer *producer, uint32_t board,
                          const struct load_entry *entry);

#endif
