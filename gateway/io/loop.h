/**
 * The only event loop. Hides libuv: timers, deferred work, signals, file
 * descriptors. Everything here belongs to the loop thread.
 */
#ifndef SOPHIA_IO_LOOP_H
#define SOPHIA_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_signal;
struct loop_watch;

struct loop *loop_create(void);
/** Every timer, signal and watch must have been destroyed before. Runs the loop until it is empty. */
void loop_destroy(struct loop *loop);

/** Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/** Monotonic ms, cached once per loop turn; loop_update_now() refreshes it. */
uint64_t loop_now_ms(const struct loop *loop);
void loop_update_now(struct loop *loop);

typedef void loop_fn(void *context);

/** A one-shot timer that can be armed again and again. NULL when memory ran out. */
struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *on_due, void *context);
/** Fire once after delay_ms (0 = next turn). Arming again replaces the old deadline. */
void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_disarm(struct loop_timer *timer);
bool loop_timer_is_armed(const struct loop_timer *timer);
/** May be called from its own callback. NULL is allowed. */
void loop_timer_destroy(struct loop_timer *timer);

/**
 * Call once at the end of this loop turn, after every callback has returned:
 * where objects are freed that a callback up the stack may still hold.
 * Never fails: the node lives in the caller's object.
 */
struct loop_deferred {
    struct loop_deferred *next;
    loop_fn *call; /* NULL while not queued */
    void *context;
};
void loop_defer(struct loop *loop, struct loop_deferred *deferred, loop_fn *call, void *context);
/** Take it out of the queue again; does nothing when it is not queued. */
void loop_cancel_deferred(struct loop *loop, struct loop_deferred *deferred);

struct loop_signal *loop_signal_create(struct loop *loop, int signal_number, loop_fn *on_signal,
                                       void *context);
void loop_signal_destroy(struct loop_signal *watch);

enum loop_event { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
typedef void loop_watch_fn(void *context, int events, bool failed);
/** Watch a descriptor that the caller keeps owning. events: set of enum loop_event. */
struct loop_watch *loop_watch_create(struct loop *loop, int fd, int events, loop_watch_fn *on_event,
                                     void *context);
void loop_watch_change(struct loop_watch *watch, int events);
void loop_watch_destroy(struct loop_watch *watch);

/** The uv_loop_t, for libraries that must share it (libwebsockets). Only io/ calls this. */
void *loop_foreign(struct loop *loop);

#endif
