/**
 * The part of the loop that only io/ and tests use: single turns, and waiting
 * until everything that is being closed is closed, for a library that
 * shares the loop and needs turns to let go of it.
 */
#ifndef SOPHIA_IO_LOOP_HANDLES_H
#define SOPHIA_IO_LOOP_HANDLES_H

#include <stdbool.h>

#include "io/loop.h"

/** One turn; waits for the next event when may_wait. */
void loop_run_once(struct loop *loop, bool may_wait);
/** Run turns, without waiting, until no handle of any owner is being closed. */
void loop_finish_closing(struct loop *loop);

#endif
