/* What is known, for how long, and what makes room when the table is full; and the same against a plain list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "access/replay.h"
#include "support/allocations.h"

enum { KEEP_MS = 1000 };

/* Keys that all begin their probe at the same place: the worst case of the index. */
static void colliding_key(unsigned number, unsigned char out_key[REPLAY_KEY_BYTES])
{
    memset(out_key, 0, REPLAY_KEY_BYTES);
    memcpy(out_key + 8, &number, sizeof number);
}

static void spread_key(unsigned number, unsigned char out_key[REPLAY_KEY_BYTES])
{
    colliding_key(number, out_key);
    uint64_t word = number * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(out_key, &word, sizeof word);
}

static enum replay_state look(struct replay *replay, unsigned number, uint64_t now_ms)
{
    unsigned char key[REPLAY_KEY_BYTES];
    colliding_key(number, key);
    return replay_look(replay, key, now_ms);
}

static void begin(struct replay *replay, unsigned number, uint64_t now_ms)
{
    unsigned char key[REPLAY_KEY_BYTES];
    colliding_key(number, key);
    assert_int_equal(replay_begin(replay, key, now_ms), RESULT_OK);
}

static void end(struct replay *replay, unsigned number, bool is_done)
{
    unsigned char key[REPLAY_KEY_BYTES];
    colliding_key(number, key);
    if (is_done) {
        replay_finish(replay, key);
    } else {
        replay_abandon(replay, key);
    }
}

static void test_a_key_is_new_once(void **state)
{
    (void)state;
    struct replay *replay = replay_create(8, KEEP_MS);
    assert_int_equal(look(replay, 1, 0), REPLAY_NEW);
    begin(replay, 1, 0);
    assert_int_equal(look(replay, 1, 0), REPLAY_UNDER_WAY);
    assert_int_equal(look(replay, 2, 0), REPLAY_NEW);
    end(replay, 1, true);
    assert_int_equal(look(replay, 1, 0), REPLAY_DONE);
    end(replay, 1, false); /* too late */
    begin(replay, 1, 5);   /* changes nothing */
    assert_int_equal(look(replay, 1, 5), REPLAY_DONE);
    assert_int_equal(replay_count(replay), 1);
    replay_destroy(replay);
    replay_destroy(NULL);
}

static void test_what_came_to_nothing_is_new_again(void **state)
{
    (void)state;
    struct replay *replay = replay_create(8, KEEP_MS);
    begin(replay, 1, 0);
    begin(replay, 2, 0);
    end(replay, 1, false);
    assert_int_equal(look(replay, 1, 0), REPLAY_NEW);
    assert_int_equal(look(replay, 2, 0), REPLAY_UNDER_WAY);
    assert_int_equal(replay_count(replay), 1);
    begin(replay, 1, 10);
    end(replay, 1, true);
    assert_int_equal(look(replay, 1, KEEP_MS + 9), REPLAY_DONE); /* of its second beginning */
    end(replay, 7, true);                                        /* never begun */
    end(replay, 7, false);
    assert_int_equal(look(replay, 7, 10), REPLAY_NEW);
    replay_destroy(replay);
}

static void test_a_key_is_forgotten_in_time(void **state)
{
    (void)state;
    struct replay *replay = replay_create(8, KEEP_MS);
    begin(replay, 1, 100);
    end(replay, 1, true);
    begin(replay, 2, 600);
    assert_int_equal(look(replay, 1, 100 + KEEP_MS - 1), REPLAY_DONE);
    assert_int_equal(look(replay, 1, 100 + KEEP_MS), REPLAY_NEW);
    assert_int_equal(look(replay, 2, 100 + KEEP_MS), REPLAY_UNDER_WAY);
    assert_int_equal(replay_count(replay), 1);
    assert_int_equal(replay_dropped(replay), 0); /* it was its time */
    replay_destroy(replay);
}

static void test_at_the_cap_the_oldest_makes_room(void **state)
{
    (void)state;
    enum { CAP = 32 };
    struct replay *replay = replay_create(CAP, KEEP_MS);
    for (unsigned i = 0; i < CAP; i++) {
        begin(replay, i, i);
        end(replay, i, true);
    }
    assert_int_equal(replay_count(replay), CAP);
    assert_int_equal(replay_dropped(replay), 0);
    for (unsigned i = CAP; i < 3 * CAP; i++) {
        begin(replay, i, i);
        assert_int_equal(replay_count(replay), CAP);
        assert_int_equal(replay_dropped(replay), i - CAP + 1);
        assert_int_equal(look(replay, i - CAP, i), REPLAY_NEW);
        assert_int_equal(look(replay, i - CAP + 1, i), i < 2 * CAP - 1 ? REPLAY_DONE : REPLAY_UNDER_WAY);
    }
    replay_destroy(replay);
}

static void test_an_abandoned_key_takes_no_room_from_others(void **state)
{
    (void)state;
    struct replay *replay = replay_create(4, KEEP_MS);
    for (unsigned i = 0; i < 100; i++) {
        begin(replay, i, i);
        end(replay, i, false);
    }
    assert_int_equal(replay_count(replay), 0);
    assert_int_equal(replay_dropped(replay), 0);
    replay_destroy(replay);
}

/* ---- against a plain list ---- */

enum { MODEL_CAP = 16, MODEL_KEYS = 64, MODEL_KEEP_MS = 40 };

struct model {
    uint64_t began_ms[MODEL_KEYS];
    uint64_t sequence[MODEL_KEYS];
    enum replay_state states[MODEL_KEYS];
    uint64_t next;
};

static void model_expire(struct model *model, uint64_t now_ms)
{
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        if (model->states[i] != REPLAY_NEW && now_ms - model->began_ms[i] >= MODEL_KEEP_MS) {
            model->states[i] = REPLAY_NEW;
        }
    }
}

static size_t model_count(const struct model *model)
{
    size_t count = 0;
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        count += model->states[i] != REPLAY_NEW;
    }
    return count;
}

static void model_begin(struct model *model, unsigned number, uint64_t now_ms)
{
    if (model->states[number] != REPLAY_NEW) {
        return;
    }
    model->states[number] = REPLAY_UNDER_WAY;
    model->began_ms[number] = now_ms;
    model->sequence[number] = model->next++;
}

/* Nothing is abandoned here: an abandoned key keeps its place in the ring, and the list has no such places. */
static void test_it_behaves_as_a_list_would(void **state)
{
    (void)state;
    for (int spreads = 0; spreads < 2; spreads++) {
        struct replay *replay = replay_create(MODEL_CAP, MODEL_KEEP_MS);
        struct model model = {0};
        uint64_t random = 88172645463325252U, now_ms = 0;
        for (int step = 0; step < 20000; step++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            unsigned number = (unsigned)(random >> 8) % MODEL_KEYS;
            unsigned char key[REPLAY_KEY_BYTES];
            (spreads ? spread_key : colliding_key)(number, key);
            now_ms += random >> 60 == 0 ? 25 : (random >> 59) & 1;
            model_expire(&model, now_ms);
            assert_int_equal(replay_look(replay, key, now_ms), model.states[number]);
            if (model.states[number] == REPLAY_NEW && model_count(&model) == MODEL_CAP) {
                unsigned oldest = MODEL_KEYS;
                for (unsigned i = 0; i < MODEL_KEYS; i++) {
                    bool is_older = oldest == MODEL_KEYS || model.sequence[i] < model.sequence[oldest];
                    oldest = model.states[i] != REPLAY_NEW && is_older ? i : oldest;
                }
                model.states[oldest] = REPLAY_NEW;
            }
            model_begin(&model, number, now_ms);
            assert_int_equal(replay_begin(replay, key, now_ms), RESULT_OK);
            if (random & 1) {
                replay_finish(replay, key);
                model.states[number] = REPLAY_DONE;
            }
            assert_int_equal(replay_count(replay), model_count(&model));
        }
        assert_true(replay_dropped(replay) > 100);
        replay_destroy(replay);
    }
}

static void test_without_memory_nothing_is_remembered_and_nothing_lost(void **state)
{
    (void)state;
    allocations_fail_all_after(0);
    assert_null(replay_create(64, KEEP_MS));
    assert_true(allocations_recover());
    struct replay *replay = replay_create(64, KEEP_MS);
    for (unsigned i = 0; i < 16; i++) {
        begin(replay, i, 0);
    }
    unsigned char key[REPLAY_KEY_BYTES];
    colliding_key(16, key);
    for (int after = 0; after < 2; after++) { /* of growing: the ring, the index */
        allocations_fail_one_after(after);
        assert_int_equal(replay_begin(replay, key, 0), RESULT_NO_MEMORY);
        assert_true(allocations_recover());
    }
    assert_int_equal(look(replay, 16, 0), REPLAY_NEW);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(look(replay, i, 0), REPLAY_UNDER_WAY);
    }
    begin(replay, 16, 0);
    assert_int_equal(replay_count(replay), 17);
    replay_destroy(replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_new_once),
        cmocka_unit_test(test_what_came_to_nothing_is_new_again),
        cmocka_unit_test(test_a_key_is_forgotten_in_time),
        cmocka_unit_test(test_at_the_cap_the_oldest_makes_room),
        cmocka_unit_test(test_an_abandoned_key_takes_no_room_from_others),
        cmocka_unit_test(test_it_behaves_as_a_list_would),
        cmocka_unit_test(test_without_memory_nothing_is_remembered_and_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
