/* Who is told what, and when: one behaviour of the fan-out per test, by a pretended transport and clock. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "../support/board_copy.h"
#include "../support/chance.h"
#include "../support/fake_loop.h"
#include "../support/fake_viewer.h"
#include "../support/live_board.h"

enum { HEARTBEAT_MS = 10000, MAX_VIEWERS = 600 };

static const struct board_options roomy = {.max_fields = 1000, .max_tombstones = 100, .max_positions = 2000};
static const struct viewer_quality plain = {.has_max_rate = false};

struct fixture {
    struct fake_loop loop;
    struct live_board live;
};

static void fixture_open(struct fixture *f)
{
    fake_loop_open(&f->loop, MAX_VIEWERS, HEARTBEAT_MS);
    hub_set_identity(f->loop.hub, "node-1", "0.1", false);
    hub_set_catalog(f->loop.hub, "c0ffee", f->loop.now);
    fake_loop_turn(&f->loop);
    live_board_open(&f->live, &f->loop, "board", &roomy, NULL, 0);
    live_board_set(&f->live, "k.a", "{\"v\":1}", 0);
    live_board_set(&f->live, "k.b", "{\"v\":1}", 0);
    fake_loop_turn(&f->loop);
}

static void fixture_close(struct fixture *f)
{
    live_board_close(&f->live);
    fake_loop_close(&f->loop);
}

static void subscribe(struct fixture *f, struct fake_viewer *fake, const struct position *position,
                      const struct viewer_quality *quality)
{
    assert_int_equal(
        viewer_subscribe(fake->viewer, live_board_view(&f->live), position, quality, f->loop.now), RESULT_OK);
}

/* A viewer that watches the board and holds its snapshot. */
static struct board_copy *join(struct fixture *f, struct fake_viewer *fake, enum wire_form form)
{
    fake_viewer_open(fake, f->loop.hub, form);
    assert_non_null(fake->viewer);
    struct board_copy *copy = fake_viewer_watch(fake, "board", NULL, 0);
    subscribe(f, fake, NULL, &plain);
    board_copy_assert_equal(copy, f->live.board);
    fake_viewer_forget(fake);
    return copy;
}

static void set_quality(struct fixture *f, struct fake_viewer *fake, double max_rate, int hidden)
{
    const struct viewer_quality quality = {.has_max_rate = max_rate >= 0,
                                           .max_rate = max_rate,
                                           .has_hidden = hidden >= 0,
                                           .is_hidden = hidden > 0};
    assert_int_equal(viewer_set_quality(fake->viewer, f->live.topic, &quality, f->loop.now), RESULT_OK);
}

/* ---- flushes ---- */

static void test_a_change_is_encoded_once_for_all_viewers_and_both_wire_forms(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    enum { VIEWERS = 100 };
    static struct fake_viewer fakes[VIEWERS];
    for (int i = 0; i < VIEWERS; i++) {
        join(&f, &fakes[i], i % 2 ? WIRE_SSE : WIRE_WS);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"snapshot\""), 1);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 1);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_frames_total", "kind=\"update\""), VIEWERS);
    for (int i = 0; i < VIEWERS; i++) {
        assert_ptr_equal(fakes[i].last_frame, fakes[i % 2].last_frame);
        assert_int_equal(fake_viewer_count(&fakes[i]), 1);
        board_copy_assert_equal(&fakes[i].boards[0].copy, f.live.board);
    }
    for (int i = 0; i < VIEWERS; i++) {
        fake_viewer_close(&fakes[i]);
    }
    fixture_close(&f);
}

static void test_viewers_that_inflate_share_one_deflated_frame_and_small_ones_with_the_others(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    enum { VIEWERS = 20 };
    static struct fake_viewer fakes[VIEWERS];
    for (int i = 0; i < VIEWERS; i++) {
        join(&f, &fakes[i], i % 2 ? WIRE_WS_DEFLATE : WIRE_WS);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_viewers", "form=\"ws\""), VIEWERS);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_deflate_viewers", NULL), VIEWERS / 2);
    unsigned long before = fake_loop_metric(&f.loop, "gw_deflate_bytes_total", "at=\"before\"");
    unsigned long after = fake_loop_metric(&f.loop, "gw_deflate_bytes_total", "at=\"after\"");
    live_board_set(&f.live, "k.a", "{\"v\":\"0000000000000000000000000000000000000000\"}", 0);
    fake_loop_turn(&f.loop);
    for (int i = 0; i < VIEWERS; i++) {
        assert_ptr_equal(fakes[i].last_frame, fakes[i % 2].last_frame);
        assert_int_equal(fakes[i].deflated, (i % 2) * 2); /* the snapshot and this update */
        board_copy_assert_equal(&fakes[i].boards[0].copy, f.live.board);
    }
    assert_true(fakes[1].last_frame != fakes[0].last_frame);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 1);
    before = fake_loop_metric(&f.loop, "gw_deflate_bytes_total", "at=\"before\"") - before;
    after = fake_loop_metric(&f.loop, "gw_deflate_bytes_total", "at=\"after\"") - after;
    assert_true(before > FAKE_LOOP_DEFLATE_MIN_BYTES && before < 3 * FAKE_LOOP_DEFLATE_MIN_BYTES); /* once */
    assert_int_equal(after, fakes[1].last_frame->length);
    assert_true(after < before);
    fake_loop_pass(&f.loop, HEARTBEAT_MS);
    for (int i = 0; i < VIEWERS; i++) {
        assert_ptr_equal(fakes[i].last_frame, fakes[0].last_frame); /* nobody deflates heartbeats */
    }
    for (int i = 0; i < VIEWERS; i++) {
        fake_viewer_close(&fakes[i]);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_viewers", "form=\"ws\""), 0);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_deflate_viewers", NULL), 0);
    fixture_close(&f);
}

static void test_changes_gather_for_the_most_urgent_window(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 200);
    fake_loop_pass(&f.loop, 50);
    live_board_set(&f.live, "k.b", "{\"v\":2}", 100);
    fake_loop_pass(&f.loop, 99);
    assert_int_equal(fake_viewer_count(&fake), 0);
    fake_loop_pass(&f.loop, 5);
    assert_int_equal(fake_viewer_count(&fake), 1);
    assert_int_equal(copy->offset, 4);
    fake_loop_pass(&f.loop, 500);
    assert_int_equal(fake_viewer_count(&fake), 1);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 500);
    live_board_set(&f.live, "k.b", "{\"v\":3}", 0); /* takes the waiting one along */
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 2);
    fake_loop_pass(&f.loop, 1000);
    assert_int_equal(fake_viewer_count(&fake), 2);
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* A window is granted, not suffered: only what comes after its end is delay. */
static void test_push_delay_counts_from_the_end_of_the_window(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    const struct metric *push = metrics_find(f.loop.metrics, "gw_push_seconds", NULL);
    assert_non_null(push);
    struct metric_buckets before;
    metric_buckets(push, &before);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 250);
    fake_loop_pass(&f.loop, 260);
    struct metric_buckets on_time;
    metric_buckets(push, &on_time);
    assert_true(metric_buckets_quantile(&on_time, &before, 1.0) <= 0.005); /* one tick of the wheel */
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0);
    f.loop.now.monotonic_ms += 400; /* the loop was busy elsewhere */
    fake_loop_turn(&f.loop);
    struct metric_buckets late;
    metric_buckets(push, &late);
    assert_true(metric_buckets_quantile(&late, &on_time, 1.0) >= 0.25);
    fixture_close(&f);
}

static void test_a_window_that_begins_after_a_long_silence_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    fake_loop_pass(&f.loop, HEARTBEAT_MS - 100);
    for (int i = 0; i < 5; i++) {
        size_t before = fake_viewer_count_of(&fake, "update");
        live_board_set(&f.live, "k.a", "{\"v\":2}", 30);
        fake_loop_pass(&f.loop, 29);
        assert_int_equal(fake_viewer_count_of(&fake, "update"), before);
        fake_loop_pass(&f.loop, 8);
        assert_int_equal(fake_viewer_count_of(&fake, "update"), before + 1);
        fake_loop_pass(&f.loop, 7300);
    }
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_an_update_says_when_its_oldest_change_was_accepted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    int64_t accepted_ms = f.loop.now.wall_ms;
    live_board_set(&f.live, "k.a", "{\"v\":2}", 100);
    fake_loop_pass(&f.loop, 60);
    live_board_set(&f.live, "k.b", "{\"v\":2}", 100);
    fake_loop_pass(&f.loop, 60);
    const json_t *update = fake_viewer_message(&fake, 0);
    assert_int_equal(json_integer_value(json_object_get(update, "changed_at")), accepted_ms);
    assert_string_equal(message_text(update, "del"), "[]");
    assert_string_equal(message_text(update, "demo"), "(none)");
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- viewers that lag ---- */

static void test_a_slow_viewer_gets_one_merged_update_with_the_latest_values(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer slow, fast;
    struct board_copy *copy = join(&f, &slow, WIRE_WS);
    join(&f, &fast, WIRE_WS);
    slow.is_writable = false;
    for (int i = 0; i < 50; i++) {
        char value[32];
        snprintf(value, sizeof value, "{\"v\":%d}", i);
        live_board_set(&f.live, i % 2 ? "k.a" : "k.b", value, 0);
        fake_loop_turn(&f.loop);
    }
    assert_int_equal(fake_viewer_count(&fast), 50);
    assert_int_equal(fake_viewer_count(&slow), 0);
    assert_true(slow.awaits_writable);
    fake_viewer_drain(&slow, f.loop.now);
    assert_int_equal(fake_viewer_count(&slow), 1);
    assert_string_equal(message_text(fake_viewer_message(&slow, 0), "set"),
                        "{\"k.a\":{\"rev\":52,\"v\":49},\"k.b\":{\"rev\":51,\"v\":48}}");
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_drain(&slow, f.loop.now);
    fake_loop_pass(&f.loop, 100);
    assert_int_equal(fake_viewer_count(&slow), 1);
    fake_viewer_close(&slow);
    fake_viewer_close(&fast);
    fixture_close(&f);
}

/* ---- slices ---- */

enum { SLICED = 100, PER_SLICE = 32 };

static void slices_open(struct fixture *f, struct fake_viewer *fakes)
{
    fixture_open(f);
    for (int i = 0; i < SLICED; i++) {
        join(f, &fakes[i], WIRE_WS);
    }
    f->loop.us_per_look = HUB_SLICE_US; /* one look at the clock, and the slice is over */
}

static void slices_close(struct fixture *f, struct fake_viewer *fakes)
{
    for (int i = 0; i < SLICED; i++) {
        if (fakes[i].viewer) {
            board_copy_assert_equal(&fakes[i].boards[0].copy, f->live.board);
            assert_false(fakes[i].has_gap);
            fake_viewer_close(&fakes[i]);
        }
    }
    fixture_close(f);
}

static void test_a_long_flush_leaves_the_loop_its_turn(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    for (int told = PER_SLICE; told < SLICED; told += PER_SLICE) {
        assert_true(fake_loop_slice(&f.loop));
        assert_int_equal(fake_viewer_count(&fakes[told - 1]), 1);
        assert_int_equal(fake_viewer_count(&fakes[told]), 0);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_flushes_total", NULL), 1); /* the fixture's own */
    assert_true(fake_loop_slice(&f.loop));
    assert_false(fake_loop_slice(&f.loop));
    assert_int_equal(fake_loop_metric(&f.loop, "gw_flushes_total", NULL), 2);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 1);
    slices_close(&f, fakes);
}

static void test_what_changes_between_slices_reaches_the_rest_merged_and_the_first_afterwards(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    assert_true(fake_loop_slice(&f.loop));
    live_board_set(&f.live, "k.b", "{\"v\":3}", 0);
    fake_loop_turn(&f.loop);
    for (int i = 0; i < SLICED; i++) {
        assert_int_equal(fake_viewer_count(&fakes[i]), i < PER_SLICE ? 2 : 1);
    }
    /* To the first change, over both, and what the first were not told. */
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 3);
    slices_close(&f, fakes);
}

static void test_a_pass_may_end_and_the_next_be_done_in_one_slice(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    for (int round = 0; round < 3; round++) {
        f.loop.us_per_look = HUB_SLICE_US;
        live_board_set(&f.live, "k.a", round % 2 ? "{\"v\":2}" : "{\"v\":4}", 0);
        assert_true(fake_loop_slice(&f.loop));
        live_board_set(&f.live, "k.b", round % 2 ? "{\"v\":3}" : "{\"v\":5}", 0);
        f.loop.us_per_look = 0;
        assert_true(fake_loop_slice(&f.loop));
        assert_false(fake_loop_slice(&f.loop));
        assert_int_equal(fake_viewer_count(&fakes[0]), 2 * (round + 1));
        assert_int_equal(fake_viewer_count(&fakes[SLICED - 1]), round + 1);
    }
    slices_close(&f, fakes);
}

static void test_viewers_may_leave_and_come_between_slices(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    assert_true(fake_loop_slice(&f.loop));
    fake_viewer_close(&fakes[PER_SLICE]); /* whose turn is next */
    fake_viewer_close(&fakes[PER_SLICE + 1]);
    fake_viewer_close(&fakes[0]);
    fake_viewer_close(&fakes[SLICED - 1]);
    struct board_copy *late = join(&f, &fakes[0], WIRE_SSE);
    fake_loop_turn(&f.loop);
    board_copy_assert_equal(late, f.live.board);
    assert_int_equal(fake_viewer_count(&fakes[0]), 0); /* its snapshot had it all */
    /* All of them, in the middle of a pass. */
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0);
    assert_true(fake_loop_slice(&f.loop));
    for (int i = 0; i < SLICED; i++) {
        if (fakes[i].viewer) {
            fake_viewer_close(&fakes[i]);
        }
    }
    fake_loop_turn(&f.loop);
    slices_close(&f, fakes);
}

static void test_a_board_may_go_between_slices(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    struct live_board other;
    live_board_open(&other, &f.loop, "other", &roomy, NULL, 0);
    for (int i = 0; i < SLICED; i++) {
        assert_int_equal(viewer_subscribe(fakes[i].viewer, live_board_view(&other), NULL, &plain, f.loop.now),
                         RESULT_OK);
    }
    live_board_set(&other, "k.o", "{\"v\":1}", 0);
    assert_true(fake_loop_slice(&f.loop));
    live_board_close(&other);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    slices_close(&f, fakes);
}

static void test_each_viewer_hears_one_heartbeat_in_slices_too(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    unsigned runs = f.loop.runs;
    fake_loop_pass(&f.loop, HEARTBEAT_MS);
    assert_true(f.loop.runs - runs >= SLICED / PER_SLICE);
    for (int i = 0; i < SLICED; i++) {
        assert_int_equal(fake_viewer_count_of(&fakes[i], "heartbeat"), 1);
    }
    slices_close(&f, fakes);
}

static void test_endless_flushes_do_not_starve_a_viewer_with_a_rate(void **state)
{
    (void)state;
    static struct fake_viewer fakes[SLICED];
    struct fixture f;
    slices_open(&f, fakes);
    struct live_board other;
    live_board_open(&other, &f.loop, "other", &roomy, NULL, 0);
    struct fake_viewer paced;
    fake_viewer_open(&paced, f.loop.hub, WIRE_WS);
    const struct viewer_quality slow = {.has_max_rate = true, .max_rate = 10};
    assert_int_equal(viewer_subscribe(paced.viewer, live_board_view(&other), NULL, &slow, f.loop.now),
                     RESULT_OK);
    live_board_set(&other, "k.o", "{\"v\":1}", 0);
    fake_loop_turn(&f.loop);
    fake_viewer_forget(&paced);
    live_board_set(&other, "k.o", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&paced), 0); /* not before its time */
    fake_loop_pass(&f.loop, 80);
    live_board_set(&f.live, "k.a", "{\"v\":1}", 0);
    f.loop.now.monotonic_ms += 40; /* now it is due, and so is a flush of many slices */
    f.loop.now.wall_ms += 40;
    assert_true(fake_loop_slice(&f.loop));
    assert_int_equal(fake_viewer_count(&paced), 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    assert_true(fake_loop_slice(&f.loop));
    assert_int_equal(fake_viewer_count(&paced), 1);
    assert_int_equal(fake_viewer_count(&fakes[SLICED - 1]), 0); /* the flush is still under way */
    fake_loop_turn(&f.loop);
    fake_viewer_close(&paced);
    live_board_close(&other);
    slices_close(&f, fakes);
}

static void test_viewers_that_lag_together_share_one_encoding(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fakes[10];
    for (int i = 0; i < 10; i++) {
        join(&f, &fakes[i], WIRE_WS);
        fakes[i].is_writable = false;
    }
    for (int i = 0; i < 5; i++) {
        live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
        fake_loop_turn(&f.loop);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 0);
    for (int i = 0; i < 10; i++) {
        fake_viewer_drain(&fakes[i], f.loop.now);
        board_copy_assert_equal(&fakes[i].boards[0].copy, f.live.board);
        assert_ptr_equal(fakes[i].last_frame, fakes[0].last_frame);
    }
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""), 1);
    for (int i = 0; i < 10; i++) {
        fake_viewer_close(&fakes[i]);
    }
    fixture_close(&f);
}

static void test_a_rate_limited_viewer_gets_merged_updates_at_its_rate(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, 0.5, -1);
    assert_string_equal(message_text(fake_viewer_message(&fake, -1), "max_rate"), "0.5");
    assert_string_equal(message_text(fake_viewer_message(&fake, -1), "resume"), "whole");
    fake_viewer_forget(&fake);
    for (int i = 0; i < 1000; i++) {
        live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
        fake_loop_pass(&f.loop, 10);
    }
    assert_in_range(fake_viewer_count_of(&fake, "update"), 5, 6); /* 10 s at one per 2 s */
    fake_loop_pass(&f.loop, 2100); /* the last change arrives without another one */
    board_copy_assert_equal(copy, f.live.board);
    size_t count = fake_viewer_count_of(&fake, "update");
    fake_loop_pass(&f.loop, 9000);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0); /* after quiet at once */
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), count + 1);
    live_board_set(&f.live, "k.a", "{\"v\":4}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), count + 1);
    set_quality(&f, &fake, 0, -1); /* the limit is lifted */
    assert_int_equal(fake_viewer_count_of(&fake, "update"), count + 2);
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_the_granted_rate_is_echoed_exactly(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, 0.1, -1);
    assert_float_equal(json_number_value(json_object_get(fake_viewer_message(&fake, -1), "max_rate")), 0.1,
                       1e-12);
    set_quality(&f, &fake, -1, 1); /* what is not named stays */
    assert_float_equal(json_number_value(json_object_get(fake_viewer_message(&fake, -1), "max_rate")), 0.1,
                       1e-12);
    assert_string_equal(message_text(fake_viewer_message(&fake, -1), "hidden"), "true");
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_a_hidden_viewer_hears_heartbeats_only_and_catches_up_when_shown(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, -1, 1);
    fake_viewer_forget(&fake);
    for (int i = 0; i < 50; i++) {
        live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
        fake_loop_pass(&f.loop, 500);
    }
    assert_int_equal(fake_viewer_count(&fake), 2); /* 25 s */
    assert_int_equal(fake_viewer_count_of(&fake, "heartbeat"), 2);
    set_quality(&f, &fake, -1, 0);
    assert_int_equal(fake_viewer_count(&fake), 4);
    assert_string_equal(message_text(fake_viewer_message(&fake, 2), "resume"), "update");
    assert_string_equal(message_text(fake_viewer_message(&fake, 3), "type"), "update");
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_a_hidden_viewer_with_a_rate_stays_hidden_when_its_time_comes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, 1, 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0);
    fake_loop_turn(&f.loop); /* armed */
    set_quality(&f, &fake, -1, 1);
    fake_loop_pass(&f.loop, 3000);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 1);
    set_quality(&f, &fake, -1, 0);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 2);
    live_board_set(&f.live, "k.a", "{\"v\":4}", 0);
    fake_loop_turn(&f.loop);
    set_quality(&f, &fake, -1, 1);
    set_quality(&f, &fake, -1, 0); /* shown again too early: the rate still counts */
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 2);
    fake_loop_pass(&f.loop, 1011);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 3);
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_a_viewer_shown_again_before_its_time_is_served_when_it_comes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, 0.25, 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    set_quality(&f, &fake, -1, 1);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0);
    fake_loop_pass(&f.loop, 1000);
    set_quality(&f, &fake, -1, 0); /* outside of hub_run: nothing but this asks for the wake-up */
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 1);
    fake_loop_pass(&f.loop, 2999);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 1);
    fake_loop_pass(&f.loop, 12);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 2);
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- resuming ---- */

static const char *resume_from(struct fixture *f, const struct position *position, struct fake_viewer *fake,
                               enum wire_form form)
{
    fake_viewer_open(fake, f->loop.hub, form);
    subscribe(f, fake, position, &plain);
    return form == WIRE_WS ? message_text(fake_viewer_message(fake, 0), "resume") : "";
}

static void test_a_known_position_resumes_with_one_update_or_none(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer first, second;
    struct board_copy *copy = join(&f, &first, WIRE_WS);
    struct position left_at = board_copy_position(copy);
    assert_string_equal(resume_from(&f, &left_at, &second, WIRE_WS), "whole");
    assert_int_equal(fake_viewer_count(&second), 1);
    fake_viewer_close(&second);
    struct board_copy held;
    board_copy_clone(copy, &held);
    for (int i = 0; i < 1000; i++) {
        char value[32];
        snprintf(value, sizeof value, "{\"v\":%d}", i);
        live_board_set(&f.live, i % 3 ? "k.a" : "k.c", value, 0);
        fake_loop_turn(&f.loop);
    }
    assert_string_equal(resume_from(&f, &left_at, &second, WIRE_WS), "update");
    assert_int_equal(fake_viewer_count(&second), 2);
    assert_true(board_copy_take(&held, fake_viewer_message(&second, 1)));
    board_copy_assert_equal(&held, f.live.board);
    fake_viewer_close(&second);
    (void)resume_from(&f, &left_at, &second, WIRE_SSE);
    assert_int_equal(fake_viewer_count(&second), 1);
    assert_string_equal(message_text(fake_viewer_message(&second, 0), "type"), "update");
    char text[POSITION_TEXT_MAX_BYTES + 1];
    position_print(&f.live.at, text);
    assert_string_equal(json_string_value(json_array_get(second.ids, 0)), text);
    assert_string_equal(json_string_value(json_array_get(second.events, 0)), "update");
    fake_viewer_close(&second);
    board_copy_finish(&held);
    fake_viewer_close(&first);
    fixture_close(&f);
}

static void test_other_positions_resume_with_a_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    const struct position at = f.live.at;
    const struct position unknown[] = {
        {.epoch = at.epoch, .offset = at.offset, .nonce = at.nonce + 1},
        {.epoch = at.epoch + 1, .offset = at.offset, .nonce = at.nonce},
        {.epoch = at.epoch, .offset = at.offset + 1, .nonce = at.nonce},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(resume_from(&f, &unknown[i], &fake, WIRE_WS), "snapshot");
        assert_int_equal(fake_viewer_count(&fake), 2);
        assert_string_equal(message_text(fake_viewer_message(&fake, 1), "type"), "snapshot");
        fake_viewer_close(&fake);
    }
    assert_string_equal(resume_from(&f, NULL, &fake, WIRE_WS), "snapshot");
    fake_viewer_close(&fake);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_resync_total", "reason=\"unknown_position\""), 3);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_resync_total", "reason=\"first\""), 1);
    fixture_close(&f);
}

static void test_nothing_missed_is_a_heartbeat_on_an_event_stream_even_when_it_cannot_take_bytes_yet(
    void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    fake_viewer_open(&fake, f.loop.hub, WIRE_SSE);
    fake.is_writable = false;
    subscribe(&f, &fake, &f.live.at, &plain);
    assert_int_equal(fake_viewer_count(&fake), 0);
    fake_viewer_drain(&fake, f.loop.now);
    assert_int_equal(fake_viewer_count(&fake), 1);
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "type"), "heartbeat");
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_joining_while_changes_gather_misses_none_and_repeats_none(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct position before = f.live.at;
    live_board_set(&f.live, "k.a", "{\"v\":2}", 100);
    struct position between = f.live.at;
    struct fake_viewer fresh, resumed, whole;
    struct board_copy *copy = join(&f, &fresh, WIRE_WS); /* its snapshot holds the change */
    assert_string_equal(resume_from(&f, &before, &resumed, WIRE_WS), "whole");
    assert_string_equal(resume_from(&f, &between, &whole, WIRE_WS), "whole");
    live_board_set(&f.live, "k.b", "{\"v\":2}", 100);
    fake_loop_pass(&f.loop, 120);
    board_copy_assert_equal(copy, f.live.board);
    assert_int_equal(fake_viewer_count(&fresh), 1);
    assert_int_equal(fake_viewer_count(&resumed), 2);
    assert_int_equal(fake_viewer_count(&whole), 2);
    assert_string_equal(message_text(fake_viewer_message(&resumed, 1), "from"), "2");
    assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"update\""),
                     1); /* wherever they joined */
    fake_viewer_close(&fresh);
    fake_viewer_close(&resumed);
    fake_viewer_close(&whole);
    fixture_close(&f);
}

static void test_a_snapshot_replaces_an_update_whose_tombstones_were_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    fake_loop_open(&f.loop, MAX_VIEWERS, HEARTBEAT_MS);
    const struct board_options tight = {.max_fields = 100, .max_tombstones = 2, .max_positions = 100};
    live_board_open(&f.live, &f.loop, "board", &tight, NULL, 0);
    for (int i = 0; i < 6; i++) {
        char field[16];
        snprintf(field, sizeof field, "t.rows#%d", i);
        live_board_draft(&f.live, field, "{}");
    }
    live_board_publish(&f.live, 0);
    fake_loop_turn(&f.loop);
    struct fake_viewer early, late;
    struct board_copy *early_copy = join(&f, &early, WIRE_WS);
    live_board_draft(&f.live, "t.rows#0", NULL);
    live_board_draft(&f.live, "t.rows#1", NULL);
    live_board_draft(&f.live, "t.rows#2", NULL);
    live_board_publish(&f.live, 100);
    struct board_copy *late_copy = join(&f, &late, WIRE_WS); /* it knows that rows 0 to 2 are gone */
    live_board_set(&f.live, "t.rows#3", "{\"v\":1}", 100);
    fake_loop_pass(&f.loop, 120);
    assert_string_equal(message_text(fake_viewer_message(&early, 0), "type"), "snapshot");
    assert_string_equal(message_text(fake_viewer_message(&late, 0), "type"), "update");
    board_copy_assert_equal(early_copy, f.live.board);
    board_copy_assert_equal(late_copy, f.live.board);
    fake_viewer_close(&early);
    fake_viewer_close(&late);
    fixture_close(&f);
}

static void test_a_second_subscribe_replaces_the_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    set_quality(&f, &fake, 0.01, 1);
    subscribe(&f, &fake, &f.live.at, &plain);
    assert_string_equal(message_text(fake_viewer_message(&fake, -1), "max_rate"), "0");
    assert_string_equal(message_text(fake_viewer_message(&fake, -1), "hidden"), "false");
    assert_int_equal(viewer_subscription_count(fake.viewer), 1);
    assert_int_equal(topic_viewer_count(f.live.topic), 1);
    fake_viewer_forget(&fake);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 1);
    fake_viewer_close(&fake);
    assert_int_equal(topic_viewer_count(f.live.topic), 0);
    fixture_close(&f);
}

static void test_unsubscribing_ends_updates(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    assert_int_equal(viewer_unsubscribe(fake.viewer, f.live.topic), RESULT_OK);
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "type"), "unsubscribed");
    assert_int_equal(viewer_unsubscribe(fake.viewer, f.live.topic), RESULT_NOT_SUBSCRIBED);
    assert_int_equal(viewer_set_quality(fake.viewer, f.live.topic, &plain, f.loop.now),
                     RESULT_NOT_SUBSCRIBED);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 1);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- a board that starts afresh or goes ---- */

static void test_a_reset_board_sends_everyone_a_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fakes[4];
    for (int i = 0; i < 4; i++) {
        join(&f, &fakes[i], i == 3 ? WIRE_SSE : WIRE_WS);
    }
    set_quality(&f, &fakes[1], 0.01, 1);
    fakes[2].is_writable = false;
    f.live.at = (struct position){.epoch = 0x777, .offset = 0, .nonce = 3};
    board_reset(f.live.board, f.live.at);
    hub_board_reset(f.loop.hub, f.live.topic, f.loop.now);
    live_board_set(&f.live, "k.z", "{\"v\":9}", 500);
    fake_loop_turn(&f.loop);
    fake_viewer_drain(&fakes[2], f.loop.now);
    for (int i = 0; i < 4; i++) {
        board_copy_assert_equal(&fakes[i].boards[0].copy, f.live.board);
        assert_int_equal(fake_viewer_count_of(&fakes[i], "snapshot"), 1);
        fake_viewer_close(&fakes[i]);
    }
    fixture_close(&f);
}

static void test_a_rebased_board_keeps_who_was_not_told_what_is_gone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer current, slow, hidden, resumed;
    join(&f, &current, WIRE_WS);
    join(&f, &slow, WIRE_WS);
    join(&f, &hidden, WIRE_WS);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    struct position before = board_copy_position(&current.boards[0].copy);
    live_board_save(&f.live);
    slow.is_writable = false;
    set_quality(&f, &hidden, 0, 1);
    fake_viewer_forget(&hidden);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0); /* is lost */
    fake_loop_turn(&f.loop);
    fake_viewer_forget(&current);
    assert_true(live_board_fail_over(&f.live));
    live_board_set(&f.live, "k.b", "{\"v\":4}", 500);
    assert_string_equal(resume_from(&f, &before, &resumed, WIRE_WS), "whole"); /* the rest is gathering */
    fake_loop_turn(&f.loop);
    fake_viewer_drain(&slow, f.loop.now);
    set_quality(&f, &hidden, 0, 0);
    assert_int_equal(fake_viewer_count_of(&current, "snapshot"), 1);
    assert_int_equal(fake_viewer_count_of(&slow, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&hidden, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&resumed, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&resumed, "update"), 1);
    fake_viewer_close(&resumed);
    struct fake_viewer *all[] = {&current, &slow, &hidden};
    assert_int_equal(fake_loop_metric(&f.loop, "gw_resync_total", "reason=\"failover\""), 1);
    assert_int_equal(fake_loop_metric(&f.loop, "gw_resync_total", "reason=\"new_epoch\""), 0);
    for (int i = 0; i < 3; i++) {
        board_copy_assert_equal(&all[i]->boards[0].copy, f.live.board);
        assert_false(all[i]->has_gap);
        fake_viewer_close(all[i]);
    }
    fixture_close(&f);
}

/* It comes from a node that was told more than this one yet. */
static void test_a_viewer_that_is_ahead_waits_for_the_board_to_get_there(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer right, wrong, stream, impatient;
    struct position ahead = f.live.at;
    ahead.offset += 2;
    ahead.nonce = (ahead.nonce * 31 + 7) * 31 + 7; /* as live_board draws them */
    struct position elsewhere = ahead;
    elsewhere.nonce++;
    topic_set_may_lag(f.live.topic, true);
    struct position never = ahead;
    never.offset += 100;
    assert_string_equal(resume_from(&f, &ahead, &right, WIRE_WS), "whole");
    assert_string_equal(resume_from(&f, &elsewhere, &wrong, WIRE_WS), "whole");
    assert_string_equal(resume_from(&f, &never, &impatient, WIRE_WS), "whole");
    fake_viewer_open(&stream, f.loop.hub, WIRE_SSE);
    subscribe(&f, &stream, &ahead, &plain);
    assert_int_equal(fake_viewer_count(&stream), 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&stream), 0); /* one more to go */
    live_board_set(&f.live, "k.b", "{\"v\":3}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&right, "update") + fake_viewer_count_of(&right, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&wrong, "snapshot"), 1); /* another history */
    live_board_set(&f.live, "k.a", "{\"v\":4}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&right, "update"), 1);
    assert_int_equal(fake_viewer_count_of(&stream, "update"), 1);
    assert_int_equal(fake_viewer_count_of(&right, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&impatient, "snapshot"), 0);
    fake_loop_pass(&f.loop, 5900);
    assert_int_equal(fake_viewer_count_of(&impatient, "snapshot"), 0);
    assert_int_equal(fake_viewer_count_of(&impatient, "heartbeat"), 0);
    fake_loop_pass(&f.loop, 200);
    assert_int_equal(fake_viewer_count_of(&impatient, "snapshot"), 1);
    fake_viewer_close(&right);
    fake_viewer_close(&wrong);
    fake_viewer_close(&impatient);
    fake_viewer_close(&stream);
    fixture_close(&f);
}

static void test_a_viewer_that_is_ahead_waits_while_the_order_cannot_be_heard(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer patient, caught_up;
    struct position ahead = f.live.at;
    ahead.offset += 1;
    ahead.nonce = ahead.nonce * 31 + 7; /* as live_board draws it */
    struct position never = ahead;
    never.offset += 100;
    topic_set_may_lag(f.live.topic, true);
    hub_set_cut_off(f.loop.hub, true);
    assert_string_equal(resume_from(&f, &never, &patient, WIRE_WS), "whole");
    assert_string_equal(resume_from(&f, &ahead, &caught_up, WIRE_WS), "whole");
    fake_loop_pass(&f.loop, 60000);
    assert_int_equal(fake_viewer_count_of(&patient, "snapshot"), 0); /* it would go back */
    assert_int_equal(fake_viewer_count_of(&caught_up, "snapshot"), 0);
    hub_set_cut_off(f.loop.hub, false);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&patient, "snapshot"), 0); /* there may be more to come */
    fake_loop_pass(&f.loop, 6100);
    assert_int_equal(fake_viewer_count_of(&patient, "snapshot"), 1); /* another history */
    assert_int_equal(fake_viewer_count_of(&caught_up, "snapshot"), 0);
    fake_viewer_close(&patient);
    fake_viewer_close(&caught_up);
    fixture_close(&f);
}

/* The image names the position everyone holds: there is nothing to say. */
static void test_a_rebase_to_where_everyone_stands_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    hub_board_rebased(f.loop.hub, f.live.topic, true, board_position(f.live.board).offset, f.loop.now);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 0);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count_of(&fake, "update"), 1);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_viewers_of_a_removed_board_are_told_and_stay(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer idle, waiting, broken, stream;
    join(&f, &idle, WIRE_WS);
    join(&f, &waiting, WIRE_WS);
    join(&f, &broken, WIRE_WS);
    join(&f, &stream, WIRE_SSE);
    waiting.is_writable = false;
    broken.fails_writes = true;
    live_board_set(&f.live, "k.a", "{\"v\":2}", 300); /* a flush is pending */
    hub_remove_topic(f.loop.hub, f.live.topic);
    f.live.topic = NULL;
    assert_null(hub_topic(f.loop.hub, "board"));
    fake_loop_pass(&f.loop, 1000);
    fake_viewer_drain(&waiting, f.loop.now);
    assert_string_equal(message_text(fake_viewer_message(&idle, 0), "name"), "unknown_board");
    assert_string_equal(message_text(fake_viewer_message(&waiting, 0), "board"), "board");
    assert_int_equal(fake_viewer_count(&waiting), 1);
    assert_false(idle.is_closed);
    assert_int_equal(viewer_subscription_count(idle.viewer), 0);
    assert_string_equal(message_text(fake_viewer_message(&stream, 0), "name"), "unknown_board");
    assert_true(stream.is_closed); /* there is nothing else it could show */
    fake_viewer_close(&idle);
    fake_viewer_close(&waiting);
    fake_viewer_close(&broken);
    fake_viewer_close(&stream);
    fixture_close(&f);
}

/* ---- answers and closing ---- */

static void say(struct fake_viewer *fake, const char *text)
{
    struct bytes message;
    bytes_init(&message, 1000);
    bytes_append_text(&message, text);
    viewer_say(fake->viewer, "pong", &message);
    bytes_finish(&message);
}

static void test_answers_keep_their_order_and_come_before_updates(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    fake.is_writable = false;
    say(&fake, "{\"n\":1}");
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    say(&fake, "{\"n\":2}");
    fake.is_writable = true; /* writable again, but the call-back is still to come */
    say(&fake, "{\"n\":3}");
    assert_int_equal(fake_viewer_count(&fake), 0);
    fake_viewer_drain(&fake, f.loop.now);
    assert_int_equal(fake_viewer_count(&fake), 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_integer_value(json_object_get(fake_viewer_message(&fake, i), "n")), i + 1);
    }
    assert_string_equal(message_text(fake_viewer_message(&fake, 3), "type"), "update");
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_unread_answers_close_with_too_slow_at_the_cap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    fake.is_writable = false;
    for (int i = 0; i < VIEWER_ANSWERS_MAX; i++) {
        say(&fake, "{\"n\":1}");
        assert_false(fake.is_closed);
    }
    say(&fake, "{\"n\":1}");
    assert_true(fake.is_closed);
    assert_int_equal(fake.reason, CLOSE_TOO_SLOW);
    assert_true(viewer_is_closing(fake.viewer));
    say(&fake, "{\"n\":1}");
    fake_viewer_close(&fake);

    join(&f, &fake, WIRE_WS);
    fake.is_writable = false;
    char large[1000] = "{\"n\":\"";
    memset(large + 6, 'x', 900);
    strcpy(large + 906, "\"}");
    int said = 0;
    while (!fake.is_closed) {
        say(&fake, large);
        said++;
    }
    /* 64 answers of 908 bytes fit below the byte cap, so the count decides; larger ones would not. */
    assert_int_equal(said, VIEWER_ANSWERS_MAX + 1);
    assert_int_equal(fake.reason, CLOSE_TOO_SLOW);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_nothing_is_written_after_a_close_or_a_failed_write(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer closed, broken, last;
    join(&f, &closed, WIRE_WS);
    join(&f, &broken, WIRE_WS);
    join(&f, &last, WIRE_WS);
    viewer_close(closed.viewer, CLOSE_RATE_LIMITED);
    viewer_close(closed.viewer, CLOSE_NORMAL);
    assert_int_equal(closed.reason, CLOSE_RATE_LIMITED);
    broken.fails_writes = true;
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_turn(&f.loop);
    assert_true(viewer_is_closing(broken.viewer));
    assert_int_equal(fake_viewer_count(&last), 1);
    live_board_set(&f.live, "k.a", "{\"v\":3}", 0);
    hub_set_catalog(f.loop.hub, "beef", f.loop.now);
    fake_loop_pass(&f.loop, 3 * HEARTBEAT_MS);
    hub_drain(f.loop.hub, 100, NULL);
    hub_close_all(f.loop.hub, CLOSE_MOVED);
    assert_int_equal(viewer_subscribe(closed.viewer, live_board_view(&f.live), NULL, &plain, f.loop.now),
                     RESULT_CLOSED);
    assert_int_equal(fake_viewer_count(&closed), 0);
    assert_int_equal(fake_viewer_count(&broken), 0);
    assert_int_equal(last.reason, CLOSE_MOVED);
    fake_viewer_close(&closed);
    fake_viewer_close(&broken);
    fake_viewer_close(&last);
    fixture_close(&f);
}

static void test_an_event_stream_is_told_why_it_ends(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer told, full, broken;
    join(&f, &told, WIRE_SSE);
    join(&f, &full, WIRE_SSE);
    join(&f, &broken, WIRE_SSE);
    full.is_writable = false;
    broken.fails_writes = true;
    hub_close_all(f.loop.hub, CLOSE_MOVED);
    assert_string_equal(message_text(fake_viewer_message(&told, 0), "code"), "4400");
    assert_string_equal(json_string_value(json_array_get(told.events, 0)), "error");
    assert_true(told.is_closed && full.is_closed && broken.is_closed);
    assert_int_equal(fake_viewer_count(&full), 0);
    fake_viewer_close(&told);
    fake_viewer_close(&full);
    fake_viewer_close(&broken);
    fixture_close(&f);
}

static void test_viewers_and_subscriptions_have_caps(void **state)
{
    (void)state;
    struct fake_loop loop;
    fake_loop_open(&loop, 2, HEARTBEAT_MS);
    struct fake_viewer fakes[3];
    for (int i = 0; i < 3; i++) {
        fake_viewer_open(&fakes[i], loop.hub, WIRE_WS);
        assert_true((fakes[i].viewer != NULL) == (i < 2));
    }
    struct live_board boards[FAKE_LOOP_TOPICS];
    for (int i = 0; i < FAKE_LOOP_TOPICS; i++) {
        char id[8];
        snprintf(id, sizeof id, "b%d", i);
        live_board_open(&boards[i], &loop, id, &roomy, NULL, 0);
        assert_int_equal(
            viewer_subscribe(fakes[0].viewer, live_board_view(&boards[i]), NULL, &plain, loop.now),
            RESULT_OK);
    }
    struct board *beyond = board_create("beyond", &roomy, (struct position){.epoch = 1});
    assert_null(hub_add_topic(loop.hub, beyond));
    board_destroy(beyond);
    assert_int_equal(viewer_subscription_count(fakes[0].viewer), FAKE_LOOP_TOPICS);
    for (int i = 0; i < 3; i++) {
        fake_viewer_close(&fakes[i]);
    }
    assert_int_equal(hub_viewer_count(loop.hub), 0);
    for (int i = 0; i < FAKE_LOOP_TOPICS; i++) {
        live_board_close(&boards[i]);
    }
    fake_loop_close(&loop);
}

/* ---- heartbeats ---- */

static void test_heartbeats_come_at_their_period_with_the_boards_position(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer ws, sse;
    join(&f, &ws, WIRE_WS);
    join(&f, &sse, WIRE_SSE);
    hub_report_source(f.loop.hub, "http", true, NULL, f.loop.now);
    int64_t heard_ms = f.loop.now.wall_ms;
    fake_loop_pass(&f.loop, HEARTBEAT_MS - 1);
    assert_int_equal(fake_viewer_count(&ws), 0);
    fake_loop_pass(&f.loop, 1 + 9 * HEARTBEAT_MS);
    assert_int_equal(fake_viewer_count_of(&ws, "heartbeat"), 10);
    assert_int_equal(fake_viewer_count_of(&sse, "heartbeat"), 10);
    const json_t *beat = fake_viewer_message(&ws, -1);
    assert_int_equal(json_integer_value(json_object_get(beat, "now")), f.loop.now.wall_ms);
    assert_string_equal(message_text(beat, "catalog"), "c0ffee");
    assert_string_equal(message_text(beat, "board"), "board");
    assert_string_equal(message_text(beat, "to"), "2");
    char expected[100];
    snprintf(expected, sizeof expected, "{\"http\":{\"heard\":%lld,\"up\":true}}", (long long)heard_ms);
    assert_string_equal(message_text(beat, "sources"), expected);
    assert_string_equal(json_string_value(json_array_get(sse.ids, 0)), ""); /* it moves no position */
    fake_viewer_close(&ws);
    fake_viewer_close(&sse);
    fixture_close(&f);
}

static void test_a_heartbeat_runs_ahead_of_changes_that_still_gather(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    struct board_copy *copy = join(&f, &fake, WIRE_WS);
    fake_loop_pass(&f.loop, HEARTBEAT_MS - 50);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 100);
    fake_loop_pass(&f.loop, 60);
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "type"), "heartbeat");
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "to"), "3");
    assert_int_equal(copy->offset, 2);
    fake_loop_pass(&f.loop, 60);
    board_copy_assert_equal(copy, f.live.board);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_a_viewer_without_boards_hears_heartbeats_once_it_is_welcome(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer stranger, guest;
    fake_viewer_open(&stranger, f.loop.hub, WIRE_WS);
    fake_viewer_open(&guest, f.loop.hub, WIRE_WS);
    const int64_t clock_ms = 77;
    hub_welcome(f.loop.hub, guest.viewer, &clock_ms, f.loop.now);
    const json_t *welcome = fake_viewer_message(&guest, 0);
    assert_string_equal(message_text(welcome, "type"), "welcome");
    assert_string_equal(message_text(welcome, "clock"), "77");
    assert_string_equal(message_text(welcome, "node"), "node-1");
    assert_string_equal(message_text(welcome, "heartbeat_ms"), "10000");
    fake_loop_pass(&f.loop, 2 * HEARTBEAT_MS);
    assert_int_equal(fake_viewer_count_of(&guest, "heartbeat"), 2);
    assert_string_equal(message_text(fake_viewer_message(&guest, 1), "board"), "(none)");
    assert_int_equal(fake_viewer_count(&stranger), 0); /* it may yet be refused */
    fake_viewer_close(&stranger);
    fake_viewer_close(&guest);
    fixture_close(&f);
}

static void test_a_new_catalog_and_a_source_that_turns_are_told_at_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    hub_set_catalog(f.loop.hub, "beef", f.loop.now);
    fake_loop_turn(&f.loop);
    assert_string_equal(message_text(fake_viewer_message(&fake, 0), "catalog"), "beef");
    hub_report_source(f.loop.hub, "pg", true, NULL, f.loop.now); /* not a turn: it was taken for up */
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 1);
    hub_report_source(f.loop.hub, "pg", false, "connection refused", f.loop.now);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 2);
    const json_t *pg = json_object_get(json_object_get(fake_viewer_message(&fake, 1), "sources"), "pg");
    assert_string_equal(message_text(pg, "up"), "false");
    assert_string_equal(message_text(pg, "reason"), "connection refused");
    hub_report_source(f.loop.hub, "pg", false, "still", f.loop.now);
    fake_loop_turn(&f.loop);
    assert_int_equal(fake_viewer_count(&fake), 2);
    hub_report_source(f.loop.hub, "pg", true, "ignored", f.loop.now);
    fake_loop_turn(&f.loop);
    pg = json_object_get(json_object_get(fake_viewer_message(&fake, 2), "sources"), "pg");
    assert_string_equal(message_text(pg, "up"), "true");
    assert_string_equal(message_text(pg, "reason"), "(none)");
    fake_loop_pass(&f.loop, HEARTBEAT_MS - 1);
    assert_int_equal(fake_viewer_count(&fake), 3);
    fake_loop_pass(&f.loop, 1);
    assert_int_equal(fake_viewer_count(&fake), 4);
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        hub_report_source(f.loop.hub, name, true, NULL, f.loop.now);
    }
    const struct source_health *sources = NULL;
    assert_int_equal(hub_sources(f.loop.hub, &sources), HUB_SOURCES_MAX);
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_demo_is_said_in_every_frame(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct fake_viewer fake;
    join(&f, &fake, WIRE_WS);
    hub_set_identity(f.loop.hub, "node-1", "0.1", true);
    hub_welcome(f.loop.hub, fake.viewer, NULL, f.loop.now);
    subscribe(&f, &fake, NULL, &plain);
    live_board_set(&f.live, "k.a", "{\"v\":2}", 0);
    fake_loop_pass(&f.loop, HEARTBEAT_MS);
    const char *types[] = {"welcome", "snapshot", "update", "heartbeat"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fake_viewer_count_of(&fake, types[i]), 1);
    }
    for (int i = 0; i < (int)fake_viewer_count(&fake); i++) {
        const json_t *message = fake_viewer_message(&fake, i);
        bool is_answer = strcmp(message_text(message, "type"), "subscribed") == 0;
        assert_string_equal(message_text(message, "demo"), is_answer ? "(none)" : "true");
    }
    fake_viewer_close(&fake);
    fixture_close(&f);
}

/* ---- snapshots in the cache ---- */

static void print_history(void *context, const char *board, const struct view *view, struct bytes *out)
{
    assert_null(view); /* a board without definitions */
    const int *points = context;
    assert_string_equal(board, "board");
    if (*points > 0) {
        bytes_append_format(out, "{\"k.a\":[[1,%d]]}", *points);
    }
}

static void test_a_snapshot_tells_the_present_time_and_the_history(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    int points = 0;
    encoder_set_history(hub_encoder(f.loop.hub), print_history, &points);
    struct fake_viewer fake;
    fake_viewer_open(&fake, f.loop.hub, WIRE_WS);
    const struct {
        uint64_t wait_ms;
        int points;
        const char *history;
        unsigned encodes;
    } cases[] = {
        {0, 0, "{}", 1},
        {900, 5, "{}", 1}, /* a crowd within a second shares */
        {9000, 6, "{\"k.a\":[[1,6]]}", 2},
        {3600000, 7, "{\"k.a\":[[1,7]]}", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.loop.now.wall_ms += (int64_t)cases[i].wait_ms;
        points = cases[i].points;
        subscribe(&f, &fake, NULL, &plain);
        const json_t *snapshot = fake_viewer_message(&fake, -1);
        assert_string_equal(message_text(snapshot, "history"), cases[i].history);
        int64_t told_ms = json_integer_value(json_object_get(snapshot, "now"));
        assert_in_range(f.loop.now.wall_ms - told_ms, 0, ENCODER_SNAPSHOT_MAX_AGE_MS);
        assert_int_equal(fake_loop_metric(&f.loop, "gw_encodes_total", "message=\"snapshot\""),
                         cases[i].encodes);
    }
    const char *text = NULL;
    size_t length = 0;
    assert_int_equal(encoder_snapshot_text(hub_encoder(f.loop.hub),
                                           topic_view_cache(live_board_view(&f.live)), f.live.board,
                                           f.loop.now.wall_ms, &text, &length),
                     RESULT_OK);
    assert_memory_equal(text, "{\"type\":\"snapshot\"", 18);
    assert_int_equal(text[length - 1], '}');
    fake_viewer_close(&fake);
    fixture_close(&f);
}

static void test_more_ranges_than_the_cache_holds_are_still_right(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    enum { VIEWERS = ENCODER_CACHE_RANGES * 2 + 3 };
    struct fake_viewer fakes[VIEWERS];
    for (int i = 0; i < VIEWERS; i++) {
        join(&f, &fakes[i], i % 2 ? WIRE_SSE : WIRE_WS);
        fakes[i].is_writable = false; /* each stays behind somewhere else */
        char field[16];
        snprintf(field, sizeof field, "k.x%d", i);
        live_board_set(&f.live, field, "{\"v\":1}", 0);
        fake_loop_turn(&f.loop);
    }
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < VIEWERS; i++) {
            fake_viewer_drain(&fakes[i], f.loop.now);
            board_copy_assert_equal(&fakes[i].boards[0].copy, f.live.board);
            assert_int_equal(fakes[i].boards[0].copy.updates, 1);
        }
    }
    for (int i = 0; i < VIEWERS; i++) {
        fake_viewer_close(&fakes[i]);
    }
    fixture_close(&f);
}

/* ---- drain ---- */

static void test_a_drain_spreads_the_viewers_over_its_window(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    enum { VIEWERS = 500, WINDOW_MS = 5000, BUCKET_MS = 100 };
    static struct fake_viewer fakes[VIEWERS];
    for (int i = 0; i < VIEWERS; i++) {
        join(&f, &fakes[i], i % 5 ? WIRE_WS : WIRE_SSE);
        fakes[i].is_writable = i % 7 != 0;
    }
    hub_drain(f.loop.hub, WINDOW_MS, "wss://other.example/ws");
    unsigned buckets[WINDOW_MS / BUCKET_MS + 1] = {0};
    for (int i = 0; i < VIEWERS; i++) {
        fake_viewer_drain(&fakes[i], f.loop.now);
        assert_int_equal(fake_viewer_count(&fakes[i]), 1);
        const json_t *moved = fake_viewer_message(&fakes[i], 0);
        assert_string_equal(message_text(moved, "type"), "moved");
        assert_string_equal(message_text(moved, "url"), "wss://other.example/ws");
        json_int_t delay = json_integer_value(json_object_get(moved, "reconnect_in_ms"));
        assert_in_range(delay, 0, WINDOW_MS);
        buckets[delay / BUCKET_MS]++;
    }
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        assert_in_range(buckets[i], 0, VIEWERS / 20);
    }
    hub_close_all(f.loop.hub, CLOSE_MOVED);
    for (int i = 0; i < VIEWERS; i++) {
        assert_int_equal(fakes[i].reason, CLOSE_MOVED);
        fake_viewer_close(&fakes[i]);
    }
    fixture_close(&f);
}

/* ---- memory ---- */

static void wake_never(void *context, uint64_t monotonic_ms)
{
    (void)context;
    (void)monotonic_ms;
}

static void test_creating_a_hub_survives_every_failed_allocation(void **state)
{
    (void)state;
    const struct hub_options options = {.max_viewers = 1, .max_topics = 1, .heartbeat_ms = 1000};
    const struct hub_host host = {.wake_at = wake_never};
    const struct moment now = {.monotonic_ms = 1, .wall_ms = 1};
    struct board *board = board_create("board", &roomy, (struct position){.epoch = 1});
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct metrics *metrics = metrics_create();
        allocations_fail_one_after(i);
        struct hub *hub = hub_create(&options, &host, metrics, now);
        struct topic *topic = hub ? hub_add_topic(hub, board) : NULL;
        if (hub) {
            hub_set_identity(hub, "node", "build", false);
            hub_report_source(hub, "http", false, "why", now);
        }
        has_failed = allocations_recover();
        assert_true(topic || has_failed);
        hub_destroy(hub);
        metrics_destroy(metrics);
    }
    board_destroy(board);
}

static void print_long_history(void *context, const char *board, const struct view *view, struct bytes *out)
{
    (void)view;
    (void)context;
    (void)board;
    bytes_append_text(out, "{\"k.a\":[[1,1]");
    for (int i = 0; i < 1000; i++) {
        bytes_append_text(out, ",[2,2]");
    }
    bytes_append_text(out, "]}");
}

/* Whatever allocation fails, a viewer is either whole afterwards or closed; it never waits for something lost. */
static void test_a_viewer_is_whole_or_closed_after_any_failed_allocation(void **state)
{
    (void)state;
    for (int form = 0; form < WIRE_FORM_COUNT; form++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            bool has_failed = true;
            for (int i = 0; has_failed; i++) {
                struct fixture f;
                fixture_open(&f);
                struct fake_viewer fake, beside;
                join(&f, &beside, WIRE_WS);
                encoder_set_history(hub_encoder(f.loop.hub), print_long_history, NULL);
                f.loop.now.wall_ms += 5000; /* the snapshot has to be encoded again */
                fake_viewer_open(&fake, f.loop.hub, (enum wire_form)form);
                struct board_copy *copy = fake_viewer_watch(&fake, "board", NULL, 0);
                if (for_good) {
                    allocations_fail_all_after(i);
                } else {
                    allocations_fail_one_after(i);
                }
                enum result result =
                    viewer_subscribe(fake.viewer, live_board_view(&f.live), NULL, &plain, f.loop.now);
                hub_board_changed(f.loop.hub, f.live.topic, 0, f.loop.now);
                fake.is_writable = false;
                say(&fake, "{\"n\":1}");
                fake_loop_pass(&f.loop, HEARTBEAT_MS + 1);
                if (!fake.is_closed) {
                    fake_viewer_drain(&fake, f.loop.now);
                }
                has_failed = allocations_recover();
                assert_true(result == RESULT_OK || result == RESULT_NO_MEMORY);
                if (!fake.is_closed && result == RESULT_OK) {
                    board_copy_assert_equal(copy, f.live.board);
                } else {
                    assert_true(has_failed);
                }
                if (!beside.is_closed) {
                    live_board_set(&f.live, "k.a", "{\"v\":7}", 0);
                    fake_loop_turn(&f.loop);
                    board_copy_assert_equal(&beside.boards[0].copy, f.live.board);
                }
                fake_viewer_close(&fake);
                fake_viewer_close(&beside);
                fixture_close(&f);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_is_encoded_once_for_all_viewers_and_both_wire_forms),
        cmocka_unit_test(test_viewers_that_inflate_share_one_deflated_frame_and_small_ones_with_the_others),
        cmocka_unit_test(test_changes_gather_for_the_most_urgent_window),
        cmocka_unit_test(test_push_delay_counts_from_the_end_of_the_window),
        cmocka_unit_test(test_a_window_that_begins_after_a_long_silence_is_kept),
        cmocka_unit_test(test_an_update_says_when_its_oldest_change_was_accepted),
        cmocka_unit_test(test_a_slow_viewer_gets_one_merged_update_with_the_latest_values),
        cmocka_unit_test(test_a_long_flush_leaves_the_loop_its_turn),
        cmocka_unit_test(test_what_changes_between_slices_reaches_the_rest_merged_and_the_first_afterwards),
        cmocka_unit_test(test_a_pass_may_end_and_the_next_be_done_in_one_slice),
        cmocka_unit_test(test_viewers_may_leave_and_come_between_slices),
        cmocka_unit_test(test_a_board_may_go_between_slices),
        cmocka_unit_test(test_each_viewer_hears_one_heartbeat_in_slices_too),
        cmocka_unit_test(test_endless_flushes_do_not_starve_a_viewer_with_a_rate),
        cmocka_unit_test(test_viewers_that_lag_together_share_one_encoding),
        cmocka_unit_test(test_a_rate_limited_viewer_gets_merged_updates_at_its_rate),
        cmocka_unit_test(test_the_granted_rate_is_echoed_exactly),
        cmocka_unit_test(test_a_hidden_viewer_hears_heartbeats_only_and_catches_up_when_shown),
        cmocka_unit_test(test_a_hidden_viewer_with_a_rate_stays_hidden_when_its_time_comes),
        cmocka_unit_test(test_a_viewer_shown_again_before_its_time_is_served_when_it_comes),
        cmocka_unit_test(test_a_known_position_resumes_with_one_update_or_none),
        cmocka_unit_test(test_other_positions_resume_with_a_snapshot),
        cmocka_unit_test(
            test_nothing_missed_is_a_heartbeat_on_an_event_stream_even_when_it_cannot_take_bytes_yet),
        cmocka_unit_test(test_joining_while_changes_gather_misses_none_and_repeats_none),
        cmocka_unit_test(test_a_snapshot_replaces_an_update_whose_tombstones_were_forgotten),
        cmocka_unit_test(test_a_second_subscribe_replaces_the_first),
        cmocka_unit_test(test_unsubscribing_ends_updates),
        cmocka_unit_test(test_a_reset_board_sends_everyone_a_snapshot),
        cmocka_unit_test(test_a_rebased_board_keeps_who_was_not_told_what_is_gone),
        cmocka_unit_test(test_a_viewer_that_is_ahead_waits_for_the_board_to_get_there),
        cmocka_unit_test(test_a_viewer_that_is_ahead_waits_while_the_order_cannot_be_heard),
        cmocka_unit_test(test_a_rebase_to_where_everyone_stands_is_silent),
        cmocka_unit_test(test_viewers_of_a_removed_board_are_told_and_stay),
        cmocka_unit_test(test_answers_keep_their_order_and_come_before_updates),
        cmocka_unit_test(test_unread_answers_close_with_too_slow_at_the_cap),
        cmocka_unit_test(test_nothing_is_written_after_a_close_or_a_failed_write),
        cmocka_unit_test(test_an_event_stream_is_told_why_it_ends),
        cmocka_unit_test(test_viewers_and_subscriptions_have_caps),
        cmocka_unit_test(test_heartbeats_come_at_their_period_with_the_boards_position),
        cmocka_unit_test(test_a_heartbeat_runs_ahead_of_changes_that_still_gather),
        cmocka_unit_test(test_a_viewer_without_boards_hears_heartbeats_once_it_is_welcome),
        cmocka_unit_test(test_a_new_catalog_and_a_source_that_turns_are_told_at_once),
        cmocka_unit_test(test_demo_is_said_in_every_frame),
        cmocka_unit_test(test_a_snapshot_tells_the_present_time_and_the_history),
        cmocka_unit_test(test_more_ranges_than_the_cache_holds_are_still_right),
        cmocka_unit_test(test_a_drain_spreads_the_viewers_over_its_window),
        cmocka_unit_test(test_creating_a_hub_survives_every_failed_allocation),
        cmocka_unit_test(test_a_viewer_is_whole_or_closed_after_any_failed_allocation),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
