/* What the script writes decodes; what it would not have written is refused whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../support/allocations.h"
#include "journal/json_object.h"
#include "journal/partitions.h"
#include "journal/redis_wire.h"
#include "protocol/limits.h"

static const char good[] = "1 P board 00000000000000ff 4 7 4294967295 2\n"
                           "5 18446744073709551615 3 7\nk.a{\"v\":1}"
                           "7 0 5 -\nk#b c";

static void test_a_publication_decodes(void **state)
{
    (void)state;
    struct wire_message message;
    wire_message_init(&message);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(wire_decode_message(good, strlen(good), &message), RESULT_OK);
        assert_false(message.is_moved);
        assert_int_equal(message.board_length, 5);
        assert_memory_equal(message.board, "board", 5);
        assert_int_equal(message.publication.from, 4);
        assert_true(message.publication.to.epoch == 0xff && message.publication.to.offset == 7 &&
                    message.publication.to.nonce == UINT32_MAX);
        assert_int_equal(message.publication.count, 2);
        const struct overlay_entry *set = &message.publication.entries[0], *gone = set + 1;
        assert_true(message.versions[0] == UINT64_MAX && message.versions[1] == 0);
        assert_int_equal(set->rev, 5);
        assert_int_equal(set->value_length, 7);
        assert_memory_equal(set->value, "{\"v\":1}", 7);
        assert_int_equal(gone->field_length, 5);
        assert_memory_equal(gone->field, "k#b c", 5);
        assert_null(gone->value);
    }
    static const char moved[] = "1 M board 00000000000000ff\n";
    assert_int_equal(wire_decode_message(moved, strlen(moved), &message), RESULT_OK);
    assert_true(message.is_moved && message.publication.to.epoch == 0xff);
    wire_message_finish(&message);
    wire_message_finish(NULL);
}

static void test_publications_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1 P ",
        "2 P board 00000000000000ff 4 5 9 1\n5 1 1 -\nk",
        "1 X board 00000000000000ff\n",
        "1 M board 00000000000000ff",
        "1 M board 00000000000000ff\nmore",
        "1 M board 0000000000000000\n",
        "1 M board 00000000000000FF\n",
        "1 M  00000000000000ff\n",
        "1 M bo\x01rd 00000000000000ff\n",
        "1 P board 00000000000000ff 4 5 9 0\n",                              /* nothing in it */
        "1 P board 00000000000000ff 4 5 9 1\n",                              /* an entry is missing */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 1 -\nk ",                   /* something behind it */
        "1 P board 00000000000000ff 4 6 9 1\n5 1 1 -\nk",                    /* does not reach its end */
        "1 P board 00000000000000ff 5 5 9 1\n5 1 1 -\nk",                    /* from nowhere */
        "1 P board 00000000000000ff 4 5 4294967296 1\n5 1 1 -\nk",           /* nonce too long */
        "1 P board 00000000000000ff 04 5 9 1\n5 1 1 -\nk",                   /* leading zero */
        "1 P board 00000000000000ff 4 9007199254740992 9 1\n5 1 1 -\nk",     /* beyond 2^53 */
        "1 P board 00000000000000ff 4 5 9 1\n5 18446744073709551616 1 -\nk", /* version beyond 2^64 */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 0 -\n",                     /* no name */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 1 -\n\n",                   /* a name that cannot be */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 2 -\nk",                    /* shorter than it says */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 1 2\nk{",                   /* not JSON */
        "1 P board 00000000000000ff 4 5 9 1\n5 1 1 2\nk[]",
        "1 P board 00000000000000ff 4 5 9 1\n5 1 1 3\nk{} ",
        "1 P board 00000000000000ff 4 6 9 2\n6 1 1 -\nk6 1 1 -\nl", /* revs do not rise */
        "1 P board 00000000000000ff 4 6 9 999999999\n5 1 1 -\nk6 1 1 -\nl",
    };
    struct wire_message message;
    wire_message_init(&message);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (wire_decode_message(bad[i], strlen(bad[i]), &message) != RESULT_MALFORMED) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    for (size_t length = 0; length < strlen(good); length++) {
        assert_int_equal(wire_decode_message(good, length, &message), RESULT_MALFORMED);
    }
    wire_message_finish(&message);
}

static void test_decoding_survives_every_failed_allocation(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct wire_message message;
        wire_message_init(&message);
        allocations_fail_one_after(i);
        enum result result = wire_decode_message(good, strlen(good), &message);
        has_failed = allocations_recover();
        assert_int_equal(result, has_failed ? RESULT_NO_MEMORY : RESULT_OK);
        assert_int_equal(wire_decode_message(good, strlen(good), &message), RESULT_OK);
        wire_message_finish(&message);
    }
}

static void test_stored_fields_decode(void **state)
{
    (void)state;
    struct wire_stored stored;
    static const char value[] = "18446744073709551615 3 9007199254740991 v{\"v\":1}", gone[] = "0 0 5 d";
    assert_int_equal(wire_decode_stored(value, strlen(value), &stored), RESULT_OK);
    assert_true(stored.version == UINT64_MAX && stored.offset == INTEGER_MAX_EXACT);
    assert_int_equal(stored.value_length, 7);
    assert_int_equal(wire_decode_stored(gone, strlen(gone), &stored), RESULT_OK);
    assert_true(stored.version == 0 && stored.offset == 5 && !stored.value);
    static const char *const bad[] = {"",         "1 1 1",    "1 1 1 ",     "1 1 1 x",  "1 1 1 dd",
                                      "1 1 d",    "a 1 1 d",  "1 1 1 v",    "1 1 1 v1", "1 1 1 v{} ",
                                      "1 1 1 v{", "1  1 1 d", "1 1 -1 v{}", "1 1 1 D",  "who wrote this"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (wire_decode_stored(bad[i], strlen(bad[i]), &stored) != RESULT_MALFORMED) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}

static void test_tail_ids_decode(void **state)
{
    (void)state;
    struct position position = {.epoch = 7};
    assert_int_equal(wire_decode_id("12-4294967295", 13, &position), RESULT_OK);
    assert_true(position.epoch == 7 && position.offset == 12 && position.nonce == UINT32_MAX);
    assert_int_equal(wire_decode_id("12", 2, &position), RESULT_MALFORMED);
    assert_int_equal(wire_decode_id("-12", 3, &position), RESULT_MALFORMED);
    assert_int_equal(wire_decode_id("12-", 3, &position), RESULT_MALFORMED);
    assert_int_equal(wire_decode_id("12-4294967296", 13, &position), RESULT_MALFORMED);
}

/* ---- JSON ---- */

static void test_only_json_objects_pass(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "{}",
        "{\"v\":1}",
        "{\"as_of\":1763719200123,\"v\":\"1284300.50\",\"x\":[1,-2.5e+10,true,false,null,{\"\":[]}]}",
        "{ \"a\" : 0 , \"b\":[ ] }",
        "{\"\\u00e9\\\"\\\\\\/\\b\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}",
    };
    static const char *const no[] = {
        "",
        "{",
        "}",
        "[]",
        "1",
        " {}",
        "{} ",
        "{}{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf5\x80\x80\x80\"}",
        "{\"a\":\"\xe2\x82\"}",
        "{\"a\":[1}",
        "{\"a\":-}",
        "{\"a\":1]",
        "{\"a\" 1}",
        "{\"a\":NaN}",
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!text_is_json_object(yes[i], strlen(yes[i]))) {
            fail_msg("refused: %s", yes[i]);
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        if (text_is_json_object(no[i], strlen(no[i]))) {
            fail_msg("accepted: %s", no[i]);
        }
    }
    assert_false(text_is_json_object("{\"a\":1\0}", 8));
    char deep[128];
    for (int depth = 1; depth <= JSON_OBJECT_MAX_DEPTH + 1; depth++) {
        int length = snprintf(deep, sizeof deep, "{\"a\":%.*s1%.*s}", depth - 1, "[[[[[[[[[[[[[[[[[[",
                              depth - 1, "]]]]]]]]]]]]]]]]]]");
        assert_int_equal(text_is_json_object(deep, (size_t)length), depth <= JSON_OBJECT_MAX_DEPTH);
    }
}

/* ---- partitions ---- */

static void test_partitions_spread_and_stay(void **state)
{
    (void)state;
    char tags[PARTITION_COUNT][PARTITION_TAG_MAX_BYTES + 1];
    partition_tags(tags);
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        assert_true(tags[i][0] != '\0');
        assert_int_equal(partition_slot(tags[i], strlen(tags[i])) / 256, i);
    }
    /* CRC16 as Redis Cluster has it, and what must be so for ever. */
    assert_int_equal(partition_slot("123456789", 9), 0x31c3);
    assert_int_equal(partition_slot("foo", 3), 12182);
    assert_int_equal(partition_of("executive"), partition_slot("executive", 9) / 256);
    size_t counts[PARTITION_COUNT] = {0};
    for (unsigned i = 0; i < 6400; i++) {
        char board[16];
        snprintf(board, sizeof board, "board-%u", i);
        counts[partition_of(board)]++;
    }
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        assert_in_range(counts[i], 50, 150);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_publication_decodes),
        cmocka_unit_test(test_publications_of_another_form_are_refused),
        cmocka_unit_test(test_decoding_survives_every_failed_allocation),
        cmocka_unit_test(test_stored_fields_decode),
        cmocka_unit_test(test_tail_ids_decode),
        cmocka_unit_test(test_only_json_objects_pass),
        cmocka_unit_test(test_partitions_spread_and_stay),
    };
    return cmocka_run_group_tests_name("redis_wire", tests, NULL, NULL);
}
