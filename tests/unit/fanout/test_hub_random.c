/*
 * Hundreds of viewers with every kind of weather against one board: after quiet each holds exactly the board.
 * On the way their copies check that offsets and revs only rise; here that a transaction never arrives in halves.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/board_copy.h"
#include "../support/chance.h"
#include "../support/fake_loop.h"
#include "../support/fake_viewer.h"
#include "../support/live_board.h"

enum { HEARTBEAT_MS = 1000, VIEWERS = 200 };

static const struct row_limit limits[] = {
    {.kpi = "t.rows", .rule = ROWS_TABLE, .cap = 100},
    {.kpi = "f.events", .rule = ROWS_FEED, .cap = 5},
    {.kpi = "s.points", .rule = ROWS_SERIES, .cap = 6},
};
enum { LIMIT_COUNT = sizeof limits / sizeof limits[0] };

struct crowd {
    struct fake_loop loop;
    struct live_board live;
    struct chance chance;
    struct fake_viewer fakes[VIEWERS];
    unsigned transactions;
    unsigned failovers;
    bool is_busy; /* passes take several slices, or several of them fit one */
};

static struct viewer_quality some_quality(struct chance *chance)
{
    static const double rates[] = {0, 0, 100, 20, 3, 0.7};
    return (struct viewer_quality){
        .has_max_rate = chance_percent(chance, 50),
        .max_rate = rates[chance_below(chance, 6)],
        .has_hidden = chance_percent(chance, 50),
        .is_hidden = chance_percent(chance, 50),
    };
}

/* Both halves of a transaction change together, always. */
static void check_halves(const struct board_copy *copy)
{
    const json_t *left = json_object_get(json_object_get(copy->fields, "pair.left"), "v");
    const json_t *right = json_object_get(json_object_get(copy->fields, "pair.right"), "v");
    if (json_integer_value(left) != json_integer_value(right)) {
        fail_msg("a transaction was split: %lld and %lld", (long long)json_integer_value(left),
                 (long long)json_integer_value(right));
    }
}

static void change_something(struct crowd *crowd)
{
    struct chance *chance = &crowd->chance;
    static const uint32_t windows[] = {0, 0, 5, 40, 250};
    char field[LIVE_TEXT_BYTES];
    char value[LIVE_TEXT_BYTES];
    bool is_pair = chance_percent(chance, 30);
    snprintf(value, sizeof value, "{\"v\":%u}", ++crowd->transactions);
    if (is_pair) {
        live_board_draft(&crowd->live, "pair.left", value);
    }
    for (uint32_t i = 1 + chance_below(chance, 4); i > 0; i--) {
        switch (chance_below(chance, 4)) {
        case 0:
            snprintf(field, sizeof field, "k.value%u", chance_below(chance, 20));
            live_board_draft(&crowd->live, field, value);
            break;
        case 1:
            snprintf(field, sizeof field, "t.rows#%u", chance_below(chance, 20));
            live_board_draft(&crowd->live, field, chance_percent(chance, 40) ? NULL : value);
            break;
        case 2:
            snprintf(field, sizeof field, "f.events#%u", chance_below(chance, 50));
            live_board_draft(&crowd->live, field, value);
            break;
        default:
            snprintf(field, sizeof field, "s.points#%03u", chance_below(chance, 50));
            live_board_draft(&crowd->live, field, value);
            break;
        }
    }
    if (is_pair) {
        live_board_draft(&crowd->live, "pair.right", value);
    }
    live_board_publish(&crowd->live, windows[chance_below(chance, 5)]);
}

static void subscribe(struct crowd *crowd, struct fake_viewer *fake, const struct position *position)
{
    const struct viewer_quality quality = some_quality(&crowd->chance);
    assert_int_equal(
        viewer_subscribe(fake->viewer, live_board_view(&crowd->live), position, &quality, crowd->loop.now),
        RESULT_OK);
}

/* The connection breaks and comes back; what the viewer holds stays, as it does in a page. */
static void reconnect(struct crowd *crowd, struct fake_viewer *fake)
{
    struct board_copy held;
    board_copy_clone(&fake->boards[0].copy, &held);
    enum wire_form form = fake->form;
    fake_viewer_close(fake);
    fake_viewer_open(fake, crowd->loop.hub, form);
    fake->keeps_messages = false;
    struct board_copy *copy = fake_viewer_watch(fake, "board", limits, LIMIT_COUNT);
    board_copy_finish(copy);
    *copy = held;
    fake->is_writable = chance_percent(&crowd->chance, 80);
    struct position position;
    if (held.has_position) {
        position = board_copy_position(&held);
    }
    subscribe(crowd, fake, held.has_position && chance_percent(&crowd->chance, 90) ? &position : NULL);
}

static void weather(struct crowd *crowd, struct fake_viewer *fake)
{
    struct chance *chance = &crowd->chance;
    if (fake->is_closed) {
        reconnect(crowd, fake);
        return;
    }
    switch (chance_below(chance, 12)) {
    case 0:
        reconnect(crowd, fake);
        break;
    case 1:
        fake->fails_writes = true;
        break;
    case 2: {
        const struct viewer_quality quality = some_quality(chance);
        assert_int_equal(viewer_set_quality(fake->viewer, crowd->live.topic, &quality, crowd->loop.now),
                         RESULT_OK);
        break;
    }
    case 3:
    case 4:
    case 5:
        fake->is_writable = false;
        break;
    default:
        fake_viewer_drain(fake, crowd->loop.now);
        break;
    }
}

static void settle(struct crowd *crowd)
{
    for (int i = 0; i < VIEWERS; i++) {
        struct fake_viewer *fake = &crowd->fakes[i];
        if (fake->fails_writes || fake->is_closed) {
            reconnect(crowd, fake);
        }
        const struct viewer_quality shown = {.has_hidden = true, .is_hidden = false};
        assert_int_equal(viewer_set_quality(fake->viewer, crowd->live.topic, &shown, crowd->loop.now),
                         RESULT_OK);
        fake_viewer_drain(fake, crowd->loop.now);
    }
    fake_loop_pass(&crowd->loop, 2000); /* the slowest rate is 0.7 a second */
}

static void crowd_run(struct crowd *crowd, unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        if (chance_percent(&crowd->chance, 70)) {
            change_something(crowd);
        }
        for (int i = 0; i < 20; i++) {
            weather(crowd, &crowd->fakes[chance_below(&crowd->chance, VIEWERS)]);
        }
        if (chance_percent(&crowd->chance, 2)) {
            crowd->live.at = (struct position){.epoch = chance_next(&crowd->chance) | 1, .nonce = step};
            board_reset(crowd->live.board, crowd->live.at);
            hub_board_reset(crowd->loop.hub, crowd->live.topic, crowd->loop.now);
        }
        if (chance_percent(&crowd->chance, 12)) {
            live_board_save(&crowd->live);
        }
        if (chance_percent(&crowd->chance, 6) && live_board_fail_over(&crowd->live)) {
            crowd->failovers++;
        }
        static const uint32_t speeds[] = {HUB_SLICE_US, HUB_SLICE_US / 3, 0};
        crowd->loop.us_per_look = crowd->is_busy ? speeds[chance_below(&crowd->chance, 3)] : 0;
        if (chance_percent(&crowd->chance, 30)) {
            (void)fake_loop_slice(&crowd->loop); /* and the rest of the pass after the next weather */
        } else {
            fake_loop_pass(&crowd->loop, chance_below(&crowd->chance, 30));
        }
        for (int i = 0; i < VIEWERS; i++) {
            check_halves(&crowd->fakes[i].boards[0].copy);
            assert_false(crowd->fakes[i].has_gap);
        }
    }
    settle(crowd);
    for (int i = 0; i < VIEWERS; i++) {
        board_copy_assert_equal(&crowd->fakes[i].boards[0].copy, crowd->live.board);
        assert_false(crowd->fakes[i].has_gap);
    }
}

static void test_every_viewer_converges_in_any_weather(void **state)
{
    (void)state;
    static struct crowd crowd;
    for (uint64_t run = 0; run < 6; run++) {
        crowd.chance = chance_seeded("weather", 100 + run);
        crowd.transactions = 0;
        crowd.failovers = 0;
        fake_loop_open(&crowd.loop, VIEWERS, HEARTBEAT_MS);
        crowd.is_busy = run % 2 != 0;
        const struct board_options options = {
            .max_fields = 400,
            .max_tombstones = run % 3 == 0 ? 3 : 50,
            .max_positions = run % 2 == 0 ? 8 : 500,
        };
        live_board_open(&crowd.live, &crowd.loop, "board", &options, limits, LIMIT_COUNT);
        for (int i = 0; i < VIEWERS; i++) {
            fake_viewer_open(&crowd.fakes[i], crowd.loop.hub, (enum wire_form)(i % WIRE_FORM_COUNT));
            crowd.fakes[i].keeps_messages = false;
            fake_viewer_watch(&crowd.fakes[i], "board", limits, LIMIT_COUNT);
            subscribe(&crowd, &crowd.fakes[i], NULL);
        }
        crowd_run(&crowd, 150);
        unsigned updates = 0;
        unsigned deflated = 0;
        for (int i = 0; i < VIEWERS; i++) {
            updates += crowd.fakes[i].boards[0].copy.updates;
            deflated += crowd.fakes[i].deflated;
            fake_viewer_close(&crowd.fakes[i]);
        }
        assert_true(crowd.failovers > 0);
        assert_true(fake_loop_metric(&crowd.loop, "gw_resync_total", "reason=\"failover\"") > 0);
        assert_true(deflated > 100);
        assert_true(updates > 1000); /* the weather was not so bad that nothing was tested */
        live_board_close(&crowd.live);
        fake_loop_close(&crowd.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_viewer_converges_in_any_weather),
    };
    return cmocka_run_group_tests_name("hub_random", tests, NULL, NULL);
}
