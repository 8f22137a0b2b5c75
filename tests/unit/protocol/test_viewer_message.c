/* What a viewer says, by the vectors; and what happens when memory runs out while decoding. */
#include "protocol/viewer_message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static const char *const type_names[VIEWER_MESSAGE_TYPE_COUNT] = {
    [VIEWER_HELLO] = "hello",     [VIEWER_SUBSCRIBE] = "subscribe",
    [VIEWER_QUALITY] = "quality", [VIEWER_UNSUBSCRIBE] = "unsubscribe",
    [VIEWER_REFRESH] = "refresh", [VIEWER_PING] = "ping",
    [VIEWER_REPORT] = "report",
};

static void set(json_t *object, const char *name, json_t *value)
{
    assert_int_equal(json_object_set_new(object, name, value), 0);
}

/** The decoded message in the words of the vectors. */
static json_t *describe(const struct viewer_message *message)
{
    json_t *object = json_object();
    set(object, "result", json_string("ok"));
    set(object, "type", json_string(type_names[message->type]));
    if (message->board[0] != '\0') {
        set(object, "board", json_string(message->board));
    }
    if (message->has_position) {
        char text[POSITION_TEXT_MAX_BYTES + 1];
        (void)position_print(&message->position, text);
        set(object, "position", json_string(text));
    }
    if (message->quality.has_max_rate) {
        set(object, "max_rate", json_real(message->quality.max_rate));
    }
    if (message->quality.has_hidden) {
        set(object, "hidden", json_boolean(message->quality.is_hidden));
    }
    if (message->token != NULL) {
        set(object, "token", json_string(message->token));
    }
    if (message->client[0] != '\0') {
        set(object, "client", json_string(message->client));
    }
    if (message->has_clock) {
        set(object, "clock", json_integer(message->clock_ms));
    }
    if (message->delay_count > 0) {
        json_t *delays = json_array();
        for (uint32_t i = 0; i < message->delay_count; i++) {
            assert_int_equal(json_array_append_new(delays, json_real(message->delays_ms[i])), 0);
        }
        set(object, "delay_ms", delays);
    }
    return object;
}

/** 5 and 5.0 are one number to JSON but two to json_equal. */
static json_t *with_reals(const json_t *expect)
{
    json_t *copy = json_deep_copy(expect);
    json_t *rate = json_object_get(copy, "max_rate");
    if (rate != NULL) {
        set(copy, "max_rate", json_real(json_number_value(rate)));
    }
    json_t *delays = json_object_get(copy, "delay_ms");
    for (size_t i = 0; i < json_array_size(delays); i++) {
        json_t *real = json_real(json_number_value(json_array_get(delays, i)));
        assert_int_equal(json_array_set_new(delays, i, real), 0);
    }
    return copy;
}

static void check_message(const struct vector *vector, const struct viewer_message *message)
{
    json_t *found = describe(message);
    json_t *expected = with_reals(vector->expect);
    if (!json_equal(found, expected)) {
        char *text = json_dumps(found, JSON_COMPACT);
        fail_msg("%s: decoded as %s", vector->file, text);
    }
    json_decref(found);
    json_decref(expected);
}

static void run_vector(const struct vector *vector, void *context)
{
    (void)context;
    struct viewer_message message = {.clock_ms = 77};
    const char *problem = "untouched";
    enum result result = viewer_message_decode(vector->text, vector->length, &message, &problem);
    if (strcmp(result_name(result), vector->result) != 0) {
        fail_msg("%s: %s (%s), expected %s", vector->file, result_name(result), problem ? problem : "-",
                 vector->result);
    }
    if (result == RESULT_OK) {
        assert_null(problem);
        check_message(vector, &message);
        viewer_message_finish(&message);
        assert_null(message.token);
        return;
    }
    assert_int_equal(message.clock_ms, 77); /* outputs are written only on success */
    const char *expected = json_string_value(json_object_get(vector->expect, "problem"));
    if ((problem == NULL) != (expected == NULL) || (problem != NULL && strcmp(problem, expected) != 0)) {
        fail_msg("%s: blames %s", vector->file, problem ? problem : "nothing");
    }
}

static void test_vectors(void **state)
{
    (void)state;
    assert_true(vectors_each("viewer", run_vector, NULL) >= 70);
}

/** Only our own allocation: jansson 2.14 asserts when memory runs out in a token (lex_unget_unsave). */
static void test_no_memory_for_the_token(void **state)
{
    (void)state;
    const char text[] = "{\"type\":\"refresh\",\"token\":\"secret\"}";
    struct viewer_message message;
    const char *problem;
    allocations_fail_after(0);
    enum result result = viewer_message_decode(text, sizeof text - 1, &message, &problem);
    allocations_fail_after(-1);
    assert_int_equal(result, RESULT_NO_MEMORY);
    assert_int_equal(viewer_message_decode(text, sizeof text - 1, &message, &problem), RESULT_OK);
    assert_string_equal(message.token, "secret");
    viewer_message_finish(&message);
}

static void test_finish_accepts_nothing(void **state)
{
    (void)state;
    struct viewer_message message = {0};
    viewer_message_finish(&message);
    viewer_message_finish(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_no_memory_for_the_token),
        cmocka_unit_test(test_finish_accepts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
