/* What we say: each encoder's text is byte for byte the text of its vector. */
#include "protocol/gateway_message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static const struct position position = {.epoch = 0x6f1c0d9e2b7a4455, .offset = 1284, .nonce = 0x9f3a2b1c};
static const int64_t now_ms = 1795255391000;

#define ENTRY(name, json, revision)                                         \
    {                                                                       \
        .field = (name), .field_length = sizeof(name) - 1, .value = (json), \
        .value_length = sizeof(json) - 1, .rev = (revision),                \
    }
#define DELETION(name, revision)                                              \
    {                                                                         \
        .field = (name), .field_length = sizeof(name) - 1, .rev = (revision), \
    }

struct wanted {
    const char *file;
    char *text;
};

static void keep_text(const struct vector *vector, void *context)
{
    struct wanted *wanted = context;
    const char *name = strrchr(vector->file, '/') + 1;
    if (strlen(name) == strlen(wanted->file) + 5 && strncmp(name, wanted->file, strlen(wanted->file)) == 0) {
        wanted->text = strdup(vector->text);
    }
}

static void assert_vector(const char *file, struct bytes *out)
{
    struct wanted wanted = {.file = file};
    (void)vectors_each("gateway", keep_text, &wanted);
    assert_non_null(wanted.text);
    bytes_append_byte(out, '\0');
    assert_false(bytes_failed(out));
    assert_string_equal(out->at, wanted.text);
    free(wanted.text);
    bytes_clear(out);
}

static void test_answers(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    struct welcome_message welcome = {
        .now_ms = now_ms, .node = "gw-1", .build = "0.1.0", .catalog = "c0ffee12", .heartbeat_ms = 5000};
    welcome_encode(&welcome, &out);
    assert_vector("welcome", &out);
    welcome.has_clock = true;
    welcome.clock_ms = now_ms - 100;
    welcome.is_demo = true;
    welcome_encode(&welcome, &out);
    assert_vector("welcome_clock_demo", &out);

    subscribed_encode(&(struct subscribed_message){.board = "executive", .resume = RESUME_SNAPSHOT}, &out);
    assert_vector("subscribed_snapshot", &out);
    subscribed_encode(
        &(struct subscribed_message){.board = "executive", .resume = RESUME_UPDATE, .max_rate = 0.5}, &out);
    assert_vector("subscribed_update", &out);
    subscribed_encode(
        &(struct subscribed_message){
            .board = "executive", .resume = RESUME_WHOLE, .max_rate = 12, .is_hidden = true},
        &out);
    assert_vector("subscribed_whole_hidden", &out);

    unsubscribed_encode("executive", &out);
    assert_vector("unsubscribed", &out);
    refreshed_encode(&out);
    assert_vector("refreshed", &out);
    expiring_encode(60000, 90000, &out);
    assert_vector("expiring", &out);
    pong_encode(now_ms - 100, now_ms, &out);
    assert_vector("pong", &out);
    pong_encode(0, now_ms, &out);
    assert_vector("pong_without_clock", &out);
    bytes_finish(&out);
}

static void test_snapshots(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    struct overlay_entry entries[] = {
        ENTRY("exec.revenue_mtd",
              "{\"v\":\"1284300.50\",\"as_of\":1795255380000,\"target\":\"1500000.00\",\"level\":\"warn\"}",
              1280),
        ENTRY("exec.margin", "{\"v\":0.333333333333333,\"as_of\":1795255380000,\"num\":1,\"den\":3}", 1281),
        ENTRY("exec.top_deals#D001",
              "{\"v\":{\"name\":\"\xc3\x85se & <b>S\xc3\xb6hne</b>\",\"amount\":\"90000.00\"},"
              "\"as_of\":1795255390000,\"ver\":7}",
              1284),
        ENTRY("exec.churn", "{\"state\":\"nodata\",\"reason\":\"the query returned no rows\"}", 1279),
    };
    struct overlay overlay = {.to = position, .is_snapshot = true, .entries = entries, .count = 4};
    overlay_encode("executive", &overlay, now_ms, false,
                   "{\"exec.revenue_mtd\":[[1795255300000,\"1280000.00\"],[1795255380000,\"1284300.50\"]]}",
                   &out);
    assert_vector("snapshot", &out);

    struct overlay empty = {.to = {.epoch = position.epoch}, .is_snapshot = true};
    overlay_encode("operations", &empty, now_ms, false, NULL, &out);
    assert_vector("snapshot_empty", &out);

    struct overlay_entry seen[] = {ENTRY(
        "comp.feed#m1",
        "{\"as_of\":1795255380000,\"v\":{\"source\":\"calls\",\"context\":\"asked A* about pricing\"}}", 7)};
    struct overlay view = {.to = {.epoch = position.epoch, .offset = 7, .nonce = position.nonce},
                           .is_snapshot = true,
                           .view = "0a1b2c3d",
                           .entries = seen,
                           .count = 1};
    overlay_encode("competitive", &view, now_ms, false, NULL, &out);
    assert_vector("snapshot_view", &out);

    struct overlay_entry demo_entries[] = {
        DELETION("exec.gone", 1),
        ENTRY("exec.margin", "{\"v\":0.5,\"as_of\":1795255380000,\"demo\":true}", 1),
    };
    struct overlay demo = {.to = position, .is_snapshot = true, .entries = demo_entries, .count = 2};
    demo.to.offset = 1;
    overlay_encode("executive", &demo, now_ms, true, NULL, &out);
    assert_vector("snapshot_demo", &out);
    bytes_finish(&out);
}

static void test_updates(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    struct overlay_entry both[] = {
        DELETION("exec.top_deals#D001", 1286),
        ENTRY("exec.revenue_mtd", "{\"v\":\"1284400.00\",\"as_of\":1795255391000}", 1285),
    };
    struct overlay overlay = {
        .from = 1284, .to = {position.epoch, 1286, 0x0badcafe}, .entries = both, .count = 2};
    overlay_encode("executive", &overlay, now_ms + 10, false, NULL, &out);
    assert_vector("update", &out);
    overlay_encode("executive", &overlay, now_ms + 10, true, NULL, &out);
    assert_vector("update_demo", &out);

    overlay.to.offset = 1285;
    overlay.entries = both + 1;
    overlay.count = 1;
    overlay_encode("executive", &overlay, now_ms + 10, false, NULL, &out);
    assert_vector("update_only_set", &out);

    struct overlay_entry deletions[] = {DELETION("exec.top_deals#D001", 1285),
                                        DELETION("exec.top_deals#D \"2\"\\", 1285)};
    overlay.entries = deletions;
    overlay.count = 2;
    overlay_encode("executive", &overlay, now_ms + 10, false, NULL, &out);
    assert_vector("update_only_del", &out);

    struct overlay_entry bare[] = {ENTRY("exec.margin", "{}", 1285)};
    overlay.entries = bare;
    overlay.count = 1;
    overlay_encode("executive", &overlay, now_ms + 10, false, NULL, &out);
    assert_vector("update_empty_value", &out);
    bytes_finish(&out);
}

static void test_heartbeats(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    const struct source_health sources[] = {
        {.name = "http", .is_up = true, .heard_ms = now_ms - 1000},
        {.name = "postgres", .reason = "connection refused", .heard_ms = 1795255000000},
        {.name = "redis", .reason = "never connected"},
    };
    struct heartbeat_message heartbeat = {.now_ms = now_ms,
                                          .catalog = "c0ffee12",
                                          .board = "executive",
                                          .position = position,
                                          .sources = sources,
                                          .source_count = 3};
    heartbeat_encode(&heartbeat, &out);
    assert_vector("heartbeat_board", &out);

    heartbeat_encode(&(struct heartbeat_message){.now_ms = now_ms, .catalog = "c0ffee12"}, &out);
    assert_vector("heartbeat_without_board", &out);

    const struct source_health demo = {.name = "demo", .is_up = true, .heard_ms = now_ms - 1000};
    heartbeat_encode(
        &(struct heartbeat_message){
            .now_ms = now_ms, .catalog = "c0ffee12", .is_demo = true, .sources = &demo, .source_count = 1},
        &out);
    assert_vector("heartbeat_demo", &out);
    bytes_finish(&out);
}

static void test_moves_and_errors(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    moved_encode(1500, NULL, &out);
    assert_vector("moved", &out);
    moved_encode(0, "wss://gw-2.example/ws", &out);
    assert_vector("moved_url", &out);
    error_encode(CLOSE_UNKNOWN_BOARD, "marketing", NULL, &out);
    assert_vector("error_unknown_board", &out);
    error_encode(CLOSE_INVALID_MESSAGE, NULL, "max_rate", &out);
    assert_vector("error_invalid_message", &out);
    error_encode(CLOSE_OVERLOADED, NULL, NULL, &out);
    assert_vector("error_overloaded", &out);
    bytes_finish(&out);
}

static const char *text_of(const struct bytes *out, const char *member, json_t **out_json)
{
    *out_json = json_loadb(out->at, out->length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(*out_json);
    return json_string_value(json_object_get(*out_json, member));
}

static void test_a_peers_text_is_cut_between_characters_and_escaped(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 4096);
    char detail[400];
    memset(detail, 'x', sizeof detail);
    memcpy(detail + REASON_MAX_BYTES - 2, "\xe2\x82\xac", 3); /* a euro sign across the limit */
    detail[sizeof detail - 1] = '\0';
    error_encode(CLOSE_INVALID_MESSAGE, NULL, detail, &out);
    json_t *json;
    assert_int_equal(strlen(text_of(&out, "detail", &json)), REASON_MAX_BYTES - 2);
    json_decref(json);
    bytes_clear(&out);

    detail[REASON_MAX_BYTES] = '\0'; /* now the text itself ends inside the euro sign */
    error_encode(CLOSE_INVALID_MESSAGE, detail, "\"},\n\xff", &out);
    assert_string_equal(text_of(&out, "detail", &json), "\"},\n\xef\xbf\xbd");
    assert_int_equal(strlen(json_string_value(json_object_get(json, "board"))), BOARD_ID_MAX_BYTES);
    json_decref(json);
    bytes_finish(&out);
}

static void test_a_message_that_does_not_fit_fails_whole(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 200; cap++) {
        struct bytes out;
        bytes_init(&out, cap);
        error_encode(CLOSE_UNKNOWN_BOARD, "marketing", NULL, &out);
        if (!bytes_failed(&out)) {
            assert_memory_equal(out.at + out.length - 1, "}", 1);
            bytes_finish(&out);
            return;
        }
        assert_true(out.length <= cap);
        bytes_finish(&out);
    }
    fail_msg("an error message takes more than 200 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_heartbeats),
        cmocka_unit_test(test_moves_and_errors),
        cmocka_unit_test(test_a_peers_text_is_cut_between_characters_and_escaped),
        cmocka_unit_test(test_a_message_that_does_not_fit_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
