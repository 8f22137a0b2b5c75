/* Each kind of violation, injected, is found; what is right is not complained about. */
#include "loadtest/load/load_verify.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EPOCH "00000000000000aa"

struct bed {
    struct scenario scenario;
    struct load_schedule schedule;
    struct load_verify verify;
    struct load_cursor cursor;
    struct load_copy copy;
};

static int set_up(void **state)
{
    static struct bed bed;
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    bed = (struct bed){0};
    json_t *json =
        json_loads("{\"name\":\"a\",\"boards\":[{\"board\":\"b\",\"fields\":[\"k.a\",\"k.b\",\"k.c\"]},"
                   "{\"board\":\"other\"}],\"producer\":{\"kind\":\"ingest\",\"rate\":1000}}",
                   0, NULL);
    assert_int_equal(scenario_read(json, &bed.scenario, problem), RESULT_OK);
    assert_true(load_schedule_init(&bed.schedule, &bed.scenario));
    assert_int_equal(load_verify_init(&bed.verify, &bed.scenario, &bed.schedule), RESULT_OK);
    *state = &bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    load_copy_finish(&bed->copy);
    load_verify_finish(&bed->verify);
    load_schedule_finish(&bed->schedule);
    scenario_finish(&bed->scenario);
    return 0;
}

static struct load_frame decode(struct bed *bed, const char *text)
{
    struct load_frame frame;
    assert_int_equal(load_frame_decode(text, strlen(text), &frame), RESULT_OK);
    assert_int_equal(load_verify_frame(&bed->verify, &frame), RESULT_OK);
    return frame;
}

/** One more distinct message, which reaches one viewer. */
static enum load_taking take(struct bed *bed, const char *text)
{
    struct load_frame frame = decode(bed, text);
    enum load_taking taking = load_cursor_take(&bed->verify, &bed->cursor, &frame);
    if (taking == LOAD_TAKEN) {
        assert_int_equal(load_copy_take(&bed->verify, &bed->copy, &frame), RESULT_OK);
    }
    load_frame_finish(&frame);
    return taking;
}

static const char *update(uint64_t from, uint64_t to, const char *nonce, const char *set)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "{\"type\":\"update\",\"board\":\"b\",\"epoch\":\"" EPOCH "\",\"from\":%" PRIu64
             ",\"to\":%" PRIu64 ",\"nonce\":\"%s\",\"set\":%s,\"del\":[],\"changed_at\":1}",
             from, to, nonce, set);
    return text;
}

static const char *snapshot(uint64_t to, const char *nonce, const char *set)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "{\"type\":\"snapshot\",\"board\":\"b\",\"epoch\":\"" EPOCH "\",\"to\":%" PRIu64
             ",\"nonce\":\"%s\",\"set\":%s,\"history\":{},\"now\":1}",
             to, nonce, set);
    return text;
}

static const char *heartbeat(uint64_t to, const char *nonce)
{
    static char text[512];
    snprintf(text, sizeof text,
             "{\"type\":\"heartbeat\",\"now\":1,\"catalog\":\"c\",\"board\":\"b\",\"epoch\":\"" EPOCH
             "\",\"to\":%" PRIu64 ",\"nonce\":\"%s\",\"sources\":{}}",
             to, nonce);
    return text;
}

static void begin(struct bed *bed)
{
    assert_int_equal(
        take(bed, snapshot(2, "00000002", "{\"k.a\":{\"rev\":1,\"v\":1},\"k.b\":{\"rev\":2,\"v\":2}}")),
        LOAD_TAKEN);
}

/** Exactly `count` of one kind and nothing else. */
static void assert_violations(const struct bed *bed, enum violation kind, uint64_t count)
{
    for (uint32_t i = 0; i < bed->verify.example_count; i++) {
        print_message("  %s\n", bed->verify.examples[i]);
    }
    assert_int_equal(bed->verify.violations[kind], count);
    assert_int_equal(load_verify_violations(&bed->verify), count);
}

static void test_what_is_right_is_taken(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5}}")), LOAD_TAKEN);
    assert_int_equal(take(bed, heartbeat(3, "00000003")), LOAD_IGNORED);
    /* Merged, and from before where the viewer is: allowed. */
    assert_int_equal(
        take(bed,
             update(1, 5, "00000005",
                    "{\"k.a\":{\"rev\":4,\"v\":6},\"k.b\":{\"rev\":2,\"v\":2},\"k.c\":{\"rev\":5,\"v\":7}}")),
        LOAD_TAKEN);
    assert_int_equal(take(bed, heartbeat(6, "00000006")), LOAD_IGNORED); /* changes are held back */
    struct load_frame head = decode(bed, snapshot(5, "00000005",
                                                  "{\"k.b\":{\"v\":2,\"rev\":2},\"k.a\":{\"rev\":4,\"v\":6},"
                                                  "\"k.c\":{\"rev\":5,\"v\":7}}"));
    assert_true(load_copy_check(&bed->verify, &bed->copy, &head));
    assert_int_equal(load_cursor_lost(&bed->cursor, &head), 0);
    load_frame_finish(&head);
    assert_violations(bed, VIOLATION_GAP, 0);
}

static void test_a_lost_message_is_a_gap_and_lost_values(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(3, 4, "00000004", "{\"k.a\":{\"rev\":4,\"v\":6}}")), LOAD_RESUME);
    struct load_frame head = decode(bed, snapshot(4, "00000004",
                                                  "{\"k.a\":{\"rev\":4,\"v\":6},\"k.b\":{\"rev\":2,\"v\":2},"
                                                  "\"k.c\":{\"rev\":3,\"v\":1}}"));
    assert_int_equal(load_cursor_lost(&bed->cursor, &head), 2);
    load_frame_finish(&head);
    assert_violations(bed, VIOLATION_GAP, 1);
}

static void test_a_lost_message_with_a_false_from_is_missing_fields(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    struct load_frame shown_to_another =
        decode(bed, update(2, 3, "00000003", "{\"k.b\":{\"rev\":3,\"v\":5}}"));
    load_frame_finish(&shown_to_another);
    assert_int_equal(take(bed, update(2, 4, "00000004", "{\"k.a\":{\"rev\":4,\"v\":6}}")), LOAD_TAKEN);
    assert_violations(bed, VIOLATION_MISSING, 1);
}

static void test_an_update_without_its_newest_change_is_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 3, "00000003", "{}")), LOAD_TAKEN);
    assert_violations(bed, VIOLATION_MISSING, 1);
}

static void test_a_lost_message_nobody_saw_shows_in_the_copy(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 4, "00000004", "{\"k.a\":{\"rev\":4,\"v\":6}}")), LOAD_TAKEN);
    struct load_frame head =
        decode(bed, snapshot(4, "00000004", "{\"k.a\":{\"rev\":4,\"v\":6},\"k.b\":{\"rev\":3,\"v\":5}}"));
    assert_false(load_copy_check(&bed->verify, &bed->copy, &head));
    load_frame_finish(&head);
    assert_violations(bed, VIOLATION_CONTENT, 1);
}

static void test_a_field_too_many_shows_in_the_copy(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    struct load_frame head = {.type = FRAME_SNAPSHOT, .board = "b", .count = 0};
    assert_false(load_copy_check(&bed->verify, &bed->copy, &head));
    assert_violations(bed, VIOLATION_CONTENT, 1);
}

static void test_an_update_from_the_past_goes_back(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5}}")), LOAD_TAKEN);
    assert_int_equal(take(bed, update(1, 2, "00000002", "{\"k.b\":{\"rev\":2,\"v\":2}}")), LOAD_IGNORED);
    assert_violations(bed, VIOLATION_BACK, 1);
}

static void test_a_viewer_that_came_back_may_hear_of_the_past(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    bed->cursor.is_resuming = true;
    assert_int_equal(take(bed, update(1, 2, "00000002", "{\"k.b\":{\"rev\":2,\"v\":2}}")), LOAD_IGNORED);
    assert_violations(bed, VIOLATION_BACK, 0);
}

static void test_another_epoch_is_a_gap(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    bed->cursor.at.epoch++;
    assert_int_equal(take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5}}")), LOAD_RESUME);
    assert_violations(bed, VIOLATION_GAP, 1);
}

static void test_two_nonces_of_one_offset_are_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5}}")), LOAD_TAKEN);
    struct load_frame twin = decode(bed, update(2, 3, "00000033", "{\"k.a\":{\"rev\":3,\"v\":5}}"));
    load_frame_finish(&twin);
    assert_violations(bed, VIOLATION_NONCE, 1);
}

static void test_a_heartbeat_of_another_history_is_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    bed->cursor.at.nonce = 7; /* as if what it has came from elsewhere */
    assert_int_equal(take(bed, heartbeat(2, "00000002")), LOAD_RESTART);
    assert_violations(bed, VIOLATION_HEARTBEAT, 1);
}

static void test_swapped_values_are_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5}}")), LOAD_TAKEN);
    struct load_frame twin = decode(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":6}}"));
    load_frame_finish(&twin);
    assert_violations(bed, VIOLATION_VALUE, 1);
}

static void test_a_value_that_was_due_elsewhere_is_found(void **state)
{
    struct bed *bed = *state;
    char set[120];
    begin(bed);
    bed->schedule.start_us = 1790000000000000;
    /* Boards take turns: requests 0 and 2 are of board b, its first and second field. */
    snprintf(set, sizeof set, "{\"k.a\":{\"rev\":3,\"v\":%" PRIu64 "}}",
             load_schedule_due_us(&bed->schedule, 0));
    assert_int_equal(take(bed, update(2, 3, "00000003", set)), LOAD_TAKEN);
    assert_violations(bed, VIOLATION_VALUE, 0);
    snprintf(set, sizeof set, "{\"k.a\":{\"rev\":4,\"v\":%" PRIu64 "}}",
             load_schedule_due_us(&bed->schedule, 2));
    assert_int_equal(take(bed, update(3, 4, "00000004", set)), LOAD_TAKEN);
    assert_violations(bed, VIOLATION_VALUE, 1);
}

static void test_an_older_value_for_a_newer_rev_is_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    (void)take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":1790000000000002}}"));
    (void)take(bed, update(3, 4, "00000004", "{\"k.a\":{\"rev\":4,\"v\":1790000000000001}}"));
    assert_violations(bed, VIOLATION_VALUE, 1);
}

static void test_a_rev_outside_the_range_is_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    (void)take(bed, update(2, 4, "00000004", "{\"k.a\":{\"rev\":5,\"v\":5},\"k.b\":{\"rev\":4,\"v\":5}}"));
    (void)take(bed, update(4, 6, "00000006", "{\"k.b\":{\"rev\":3,\"v\":5},\"k.c\":{\"rev\":6,\"v\":5}}"));
    assert_violations(bed, VIOLATION_REV, 2);
}

static void test_two_fields_with_one_rev_are_found(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    (void)take(bed, update(2, 3, "00000003", "{\"k.a\":{\"rev\":3,\"v\":5},\"k.b\":{\"rev\":3,\"v\":5}}"));
    assert_violations(bed, VIOLATION_REV, 1);
}

static void test_what_cannot_be_read_is_found(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"update\"",
        "{\"board\":\"b\"}",
        "{\"type\":\"update\",\"board\":\"b\",\"epoch\":\"" EPOCH
        "\",\"to\":3,\"nonce\":\"00000003\",\"set\":{},\"del\":[]}",
        "{\"type\":\"snapshot\",\"board\":\"b\",\"epoch\":\"xyz\",\"to\":3,\"nonce\":\"00000003\",\"set\":{}}",
        "{\"type\":\"heartbeat\",\"now\":1,\"board\":\"nobody\",\"epoch\":\"" EPOCH
        "\",\"to\":3,\"nonce\":\"00000003\"}",
    };
    struct bed *bed = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct load_frame frame = decode(bed, texts[i]);
        assert_int_equal(frame.type, FRAME_BROKEN);
        load_frame_finish(&frame);
    }
    assert_violations(bed, VIOLATION_FORMAT, sizeof texts / sizeof *texts);
}

static void test_a_removed_field_need_not_be_named(void **state)
{
    struct bed *bed = *state;
    begin(bed);
    assert_int_equal(
        take(bed,
             "{\"type\":\"update\",\"board\":\"b\",\"epoch\":\"" EPOCH
             "\",\"from\":2,\"to\":3,\"nonce\":\"00000003\",\"set\":{},\"del\":[\"k.a\"],\"changed_at\":1}"),
        LOAD_TAKEN);
    struct load_frame head = decode(bed, snapshot(3, "00000003", "{\"k.b\":{\"rev\":2,\"v\":2}}"));
    assert_true(load_copy_check(&bed->verify, &bed->copy, &head));
    load_frame_finish(&head);
    assert_violations(bed, VIOLATION_MISSING, 0);
}

static void test_the_memo_parses_what_is_equal_once(void **state)
{
    (void)state;
    static struct load_memo memo;
    char text[1024];
    bool is_new;
    for (uint64_t i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%s", update(i, i + 1, "00000001", "{\"k.a\":{\"rev\":1,\"v\":1}}"));
        for (int again = 0; again < 3; again++) {
            const struct load_frame *frame = load_memo_look(&memo, text, strlen(text), &is_new);
            assert_non_null(frame);
            assert_int_equal(is_new, again == 0);
            assert_int_equal(frame->from, i);
        }
    }
    assert_int_equal(memo.parsed, 1000);
    load_memo_finish(&memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_right_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_message_is_a_gap_and_lost_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_message_with_a_false_from_is_missing_fields, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_update_without_its_newest_change_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_message_nobody_saw_shows_in_the_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_field_too_many_shows_in_the_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_update_from_the_past_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_viewer_that_came_back_may_hear_of_the_past, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_epoch_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_nonces_of_one_offset_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_heartbeat_of_another_history_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_swapped_values_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_value_that_was_due_elsewhere_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_older_value_for_a_newer_rev_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_rev_outside_the_range_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_fields_with_one_rev_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_removed_field_need_not_be_named, set_up, tear_down),
        cmocka_unit_test(test_the_memo_parses_what_is_equal_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
