/*
 * The event loop on libuv. Handles are allocated one by one because libuv
 * keeps them until their close callback has run, later than our destroy.
 *
 * Deferred calls run from a prepare and a check handle: before the poll, after
 * timers, and after the poll's callbacks. Both are unreferenced: only something
 * deferred keeps an otherwise empty loop alive.
 */
#include "io/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#include "base/log.h"
#include "io/loop_handles.h"

struct loop {
    uv_loop_t uv;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_idle_t
        no_wait; /* active while something is deferred: there is a next turn, and its poll does not sleep */
    struct loop_deferred *first;
    struct loop_deferred *last;
    bool is_finishing; /* no new watches: see loop_finish_closing() */
};

struct loop_timer {
    uv_timer_t uv; /* first: the close callback frees the handle's address */
    loop_fn *on_due;
    void *context;
};

struct loop_signal {
    uv_signal_t uv; /* first, as above */
    loop_fn *on_signal;
    void *context;
};

struct loop_watch {
    uv_poll_t uv; /* first, as above */
    loop_watch_fn *on_event;
    void *context;
};

static void ignore_tick(uv_idle_t *handle)
{
    (void)handle; /* its being active is its whole effect */
}

static struct loop_deferred *pop_deferred(struct loop *loop)
{
    struct loop_deferred *deferred = loop->first;
    loop->first = deferred->next;
    if (loop->first == NULL) {
        loop->last = NULL;
    }
    return deferred;
}

static void run_deferred(struct loop *loop)
{
    /* What is deferred from here on waits for the next turn: no call can keep this one from ending. */
    const struct loop_deferred *end = loop->last;
    bool is_end = loop->first == NULL;
    while (!is_end && loop->first != NULL) {
        struct loop_deferred *deferred = pop_deferred(loop);
        is_end = deferred == end;
        loop_fn *call = deferred->call;
        deferred->call = NULL;
        deferred->next = NULL;
        call(deferred->context); /* may free the object that holds the node */
    }
    if (loop->first == NULL) {
        (void)uv_idle_stop(&loop->no_wait); /* never fails */
    }
}

static void on_before_poll(uv_prepare_t *handle)
{
    run_deferred(handle->data);
}

static void on_after_poll(uv_check_t *handle)
{
    run_deferred(handle->data);
}

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return NULL;
    }
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        log_error("event loop failed", LOG_TEXT("err", uv_strerror(status)));
        free(loop);
        return NULL;
    }
    /* These only link a handle into the loop: they cannot fail. */
    (void)uv_prepare_init(&loop->uv, &loop->before_poll);
    (void)uv_check_init(&loop->uv, &loop->after_poll);
    (void)uv_idle_init(&loop->uv, &loop->no_wait);
    loop->before_poll.data = loop;
    loop->after_poll.data = loop;
    (void)uv_prepare_start(&loop->before_poll, on_before_poll);
    (void)uv_check_start(&loop->after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&loop->before_poll);
    uv_unref((uv_handle_t *)&loop->after_poll);
    return loop;
}

static void look_for_closing(uv_handle_t *handle, void *out_found)
{
    if (uv_is_closing(handle)) {
        *(bool *)out_found = true;
    }
}

/*
 * Timers of whoever is still there fire here too. What they open must not be watched: libwebsockets closes
 * descriptors before their handles are gone, a new one gets the same number, and libuv, which keeps one entry per
 * number, aborts the process when epoll does not know what it believes to be there.
 */
void loop_finish_closing(struct loop *loop)
{
    loop->is_finishing = true;
    for (;;) {
        bool is_closing = false;
        uv_walk(&loop->uv, look_for_closing, &is_closing);
        if (!is_closing) {
            loop->is_finishing = false;
            return;
        }
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* says whether handles are left */
    }
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    loop_finish_closing(loop);
    while (loop->first != NULL) {
        run_deferred(loop);
    }
    uv_close((uv_handle_t *)&loop->before_poll, NULL);
    uv_close((uv_handle_t *)&loop->after_poll, NULL);
    uv_close((uv_handle_t *)&loop->no_wait, NULL);
    loop_finish_closing(loop);
    /* A name look-up that nobody waits for any more still holds a thread; it ends by its own timeout. */
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    int status = uv_loop_close(&loop->uv);
    assert(status == 0); /* a timer, signal or watch was not destroyed */
    (void)status;
    free(loop);
}

void loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* says whether handles are left; the caller stopped it */
}

void loop_run_once(struct loop *loop, bool may_wait)
{
    (void)uv_run(&loop->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

void loop_update_now(struct loop *loop)
{
    uv_update_time(&loop->uv);
}

void *loop_foreign(struct loop *loop)
{
    return &loop->uv;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void on_timer(uv_timer_t *handle)
{
    struct loop_timer *timer = (struct loop_timer *)handle;
    timer->on_due(timer->context);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *on_due, void *context)
{
    struct loop_timer *timer = calloc(1, sizeof *timer);
    if (timer == NULL) {
        return NULL;
    }
    (void)uv_timer_init(&loop->uv, &timer->uv); /* cannot fail */
    timer->on_due = on_due;
    timer->context = context;
    return timer;
}

void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms)
{
    (void)uv_timer_start(&timer->uv, on_timer, delay_ms, 0); /* fails only on a closing handle */
}

void loop_timer_disarm(struct loop_timer *timer)
{
    (void)uv_timer_stop(&timer->uv); /* never fails */
}

bool loop_timer_is_armed(const struct loop_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->uv) != 0;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer != NULL) {
        uv_close((uv_handle_t *)&timer->uv, free_handle);
    }
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred, loop_fn *call, void *context)
{
    if (deferred->call != NULL) {
        return; /* queued already */
    }
    deferred->call = call;
    deferred->context = context;
    deferred->next = NULL;
    if (loop->last != NULL) {
        loop->last->next = deferred;
    } else {
        loop->first = deferred;
    }
    loop->last = deferred;
    (void)uv_idle_start(&loop->no_wait, ignore_tick); /* cannot fail with a callback */
}

static void on_signal_arrived(uv_signal_t *handle, int signal_number)
{
    (void)signal_number;
    struct loop_signal *watch = (struct loop_signal *)handle;
    watch->on_signal(watch->context);
}

void loop_cancel_deferred(struct loop *loop, struct loop_deferred *deferred)
{
    if (deferred->call == NULL) {
        return;
    }
    struct loop_deferred *before = NULL;
    for (struct loop_deferred *at = loop->first; at != deferred; at = at->next) {
        before = at;
    }
    *(before != NULL ? &before->next : &loop->first) = deferred->next;
    if (loop->last == deferred) {
        loop->last = before;
    }
    deferred->call = NULL;
    deferred->next = NULL;
}

struct loop_signal *loop_signal_create(struct loop *loop, int signal_number, loop_fn *on_signal,
                                       void *context)
{
    struct loop_signal *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    int status = uv_signal_init(&loop->uv, &watch->uv);
    if (status != 0) {
        log_error("signal watch failed", LOG_INT("signal", signal_number),
                  LOG_TEXT("err", uv_strerror(status)));
        free(watch);
        return NULL;
    }
    watch->on_signal = on_signal;
    watch->context = context;
    status = uv_signal_start(&watch->uv, on_signal_arrived, signal_number);
    if (status != 0) {
        log_error("signal watch failed", LOG_INT("signal", signal_number),
                  LOG_TEXT("err", uv_strerror(status)));
        loop_signal_destroy(watch);
        return NULL;
    }
    return watch;
}

void loop_signal_destroy(struct loop_signal *watch)
{
    if (watch != NULL) {
        uv_close((uv_handle_t *)&watch->uv, free_handle);
    }
}

static void on_poll(uv_poll_t *handle, int status, int uv_events)
{
    struct loop_watch *watch = (struct loop_watch *)handle;
    int events =
        (uv_events & UV_READABLE ? LOOP_READABLE : 0) | (uv_events & UV_WRITABLE ? LOOP_WRITABLE : 0);
    watch->on_event(watch->context, events, status < 0);
}

struct loop_watch *loop_watch_create(struct loop *loop, int fd, int events, loop_watch_fn *on_event,
                                     void *context)
{
    struct loop_watch *watch = loop->is_finishing ? NULL : calloc(1, sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    int status = uv_poll_init(&loop->uv, &watch->uv, fd);
    if (status != 0) {
        log_error("descriptor watch failed", LOG_TEXT("err", uv_strerror(status)));
        free(watch);
        return NULL;
    }
    watch->on_event = on_event;
    watch->context = context;
    loop_watch_change(watch, events);
    return watch;
}

void loop_watch_change(struct loop_watch *watch, int events)
{
    int uv_events = (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0);
    if (uv_events == 0) {
        (void)uv_poll_stop(&watch->uv); /* fails only on a closing handle, as does the start */
    } else {
        (void)uv_poll_start(&watch->uv, uv_events, on_poll);
    }
}

void loop_watch_destroy(struct loop_watch *watch)
{
    if (watch != NULL) {
        /* Closing stops the poll at once, so the caller may close or hand on the descriptor now. */
        uv_close((uv_handle_t *)&watch->uv, free_handle);
    }
}
