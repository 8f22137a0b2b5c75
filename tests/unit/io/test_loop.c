/* The loop's own promises: deferral, timers that destroy themselves, watches handed on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/loop_handles.h"

struct fixture {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_deferred deferred[3];
    char order[16];
    size_t count;
};

static int start(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.loop = loop_create()};
    assert_non_null(fixture.loop);
    *state = &fixture;
    return 0;
}

static int stop(void **state)
{
    loop_destroy(((struct fixture *)*state)->loop); /* asserts that it is empty */
    return 0;
}

static void note(struct fixture *f, char letter)
{
    assert_true(f->count + 1 < sizeof f->order);
    f->order[f->count++] = letter;
}

static void note_a(void *context)
{
    note(context, 'a');
}

static void note_b(void *context)
{
    note(context, 'b');
}

static void defer_b_again(void *context)
{
    struct fixture *f = context;
    note(f, 'd');
    loop_defer(f->loop, &f->deferred[2], note_b, f);
}

static void on_timer(void *context)
{
    struct fixture *f = context;
    loop_defer(f->loop, &f->deferred[0], defer_b_again, f);
    loop_defer(f->loop, &f->deferred[1], note_a, f);
    loop_defer(f->loop, &f->deferred[1], note_b, f); /* queued already: the first stands */
    note(f, 't');
    loop_timer_destroy(f->timer); /* from its own callback */
    f->timer = NULL;
}

static void test_deferred_calls_run_in_order_after_the_callback(void **state)
{
    struct fixture *f = *state;
    f->timer = loop_timer_create(f->loop, on_timer, f);
    loop_timer_arm(f->timer, 0);
    assert_true(loop_timer_is_armed(f->timer));
    for (int i = 0; i < 10 && f->count < 4; i++) {
        loop_run_once(f->loop, false);
    }
    assert_string_equal(f->order, "tdab"); /* what was deferred meanwhile comes in the next turn */
}

static void free_itself(void *context)
{
    struct loop_deferred *deferred = context;
    free(deferred);
}

static void test_deferred_call_may_free_its_node(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        struct loop_deferred *deferred = calloc(1, sizeof *deferred);
        loop_defer(f->loop, deferred, free_itself, deferred);
    }
    loop_run_once(f->loop, false);
}

static void test_cancelled_call_does_not_run(void **state)
{
    struct fixture *f = *state;
    for (int gone = 0; gone < 3; gone++) {
        f->count = 0;
        for (int i = 0; i < 3; i++) {
            loop_defer(f->loop, &f->deferred[i], i == gone ? note_a : note_b, f);
        }
        loop_cancel_deferred(f->loop, &f->deferred[gone]);
        loop_cancel_deferred(f->loop, &f->deferred[gone]);
        loop_run_once(f->loop, false);
        assert_int_equal(f->count, 2);
        assert_memory_equal(f->order, "bb", 2);
    }
}

static void test_timer_fires_once_and_can_be_moved(void **state)
{
    struct fixture *f = *state;
    struct loop_timer *timer = loop_timer_create(f->loop, note_a, f);
    struct loop_timer *end = loop_timer_create(f->loop, (loop_fn *)loop_stop, f->loop);
    loop_timer_arm(timer, 10000);
    loop_timer_arm(timer, 5); /* replaces the deadline */
    loop_timer_arm(end, 30);
    uint64_t before = loop_now_ms(f->loop);
    loop_run(f->loop);
    loop_update_now(f->loop);
    assert_true(loop_now_ms(f->loop) >= before + 30);
    assert_int_equal(f->count, 1);
    assert_false(loop_timer_is_armed(timer));
    loop_timer_arm(timer, 5);
    loop_timer_disarm(timer);
    loop_timer_arm(end, 20);
    loop_run(f->loop);
    assert_int_equal(f->count, 1);
    loop_timer_destroy(timer);
    loop_timer_destroy(end);
    loop_timer_destroy(NULL);
}

static void on_signal(void *context)
{
    struct fixture *f = context;
    note(f, 's');
    loop_stop(f->loop);
}

static void test_signal_arrives_in_the_loop(void **state)
{
    struct fixture *f = *state;
    struct loop_signal *watch = loop_signal_create(f->loop, SIGUSR1, on_signal, f);
    assert_non_null(watch);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(f->loop);
    assert_int_equal(f->count, 1);
    loop_signal_destroy(watch);
}

static void on_readable(void *context, int events, bool failed)
{
    assert_false(failed);
    assert_int_equal(events, LOOP_READABLE);
    note(context, 'r');
}

static void test_watch_can_be_handed_on(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct loop_watch *watch = loop_watch_create(f->loop, ends[0], LOOP_READABLE, on_readable, f);
    assert_non_null(watch);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_run_once(f->loop, false);
    assert_int_equal(f->count, 1);
    loop_watch_change(watch, 0);
    loop_run_once(f->loop, false);
    assert_int_equal(f->count, 1);
    loop_watch_change(watch, LOOP_READABLE);
    loop_watch_destroy(watch);
    watch =
        loop_watch_create(f->loop, ends[0], LOOP_READABLE, on_readable, f); /* same descriptor, same turn */
    assert_non_null(watch);
    loop_run_once(f->loop, false);
    assert_int_equal(f->count, 2);
    loop_watch_destroy(watch);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_deferred_calls_run_in_order_after_the_callback),
        TEST(test_deferred_call_may_free_its_node),
        TEST(test_cancelled_call_does_not_run),
        TEST(test_timer_fires_once_and_can_be_moved),
        TEST(test_signal_arrives_in_the_loop),
        TEST(test_watch_can_be_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
