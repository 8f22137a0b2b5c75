/* The rules of PROTOCOL.md in the order in which it states them; clarity before speed. */
#include "board_copy.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/gateway_message.h"

void board_copy_init(struct board_copy *copy, const struct row_limit *limits, size_t limit_count)
{
    *copy = (struct board_copy){.limits = limits, .limit_count = limit_count, .fields = json_object()};
}

void board_copy_finish(struct board_copy *copy)
{
    json_decref(copy->fields);
    copy->fields = NULL;
}

void board_copy_clone(const struct board_copy *from, struct board_copy *out_copy)
{
    *out_copy = *from;
    out_copy->fields = json_copy(from->fields);
}

static uint64_t integer_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        fail_msg("member %s is not an integer", key);
    }
    return (uint64_t)json_integer_value(value);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text) {
        fail_msg("member %s is not a string", key);
    }
    return text;
}

/* The row that has to go, by the rule; NULL when the KPI is within its cap. */
static const char *row_beyond_cap(json_t *fields, const struct row_limit *limit)
{
    size_t prefix = strlen(limit->kpi);
    size_t count = 0;
    const char *worst = NULL;
    uint64_t worst_rev = 0;
    const char *field;
    json_t *value;
    json_object_foreach(fields, field, value) {
        if (strncmp(field, limit->kpi, prefix) != 0 || field[prefix] != '#') {
            continue;
        }
        count++;
        uint64_t rev = integer_of(value, "rev");
        bool is_worse = limit->rule == ROWS_SERIES ? worst && strcmp(field, worst) < 0 : rev < worst_rev;
        if (!worst || is_worse) {
            worst = field;
            worst_rev = rev;
        }
    }
    return count > limit->cap ? worst : NULL;
}

static void trim(const struct board_copy *copy, json_t *fields)
{
    for (size_t i = 0; i < copy->limit_count; i++) {
        const struct row_limit *limit = &copy->limits[i];
        const char *field = NULL;
        while ((limit->rule == ROWS_FEED || limit->rule == ROWS_SERIES) &&
               (field = row_beyond_cap(fields, limit)) != NULL) {
            json_object_del(fields, field);
        }
    }
}

static void set_fields(struct board_copy *copy, const json_t *message)
{
    json_t *set = json_object_get(message, "set");
    assert_true(json_is_object(set));
    uint64_t to = integer_of(message, "to");
    const char *field;
    json_t *value;
    json_object_foreach(set, field, value) {
        uint64_t rev = integer_of(value, "rev");
        const json_t *held = json_object_get(copy->fields, field);
        if (rev > to || rev == 0 || (held && integer_of(held, "rev") > rev)) {
            fail_msg("rev %" PRIu64 " of %s: held %" PRIu64 ", to %" PRIu64, rev, field,
                     held ? integer_of(held, "rev") : 0, to);
        }
        json_object_set(copy->fields, field, value);
    }
}

static void delete_fields(struct board_copy *copy, const json_t *message)
{
    const json_t *del = json_object_get(message, "del");
    assert_true(json_is_array(del));
    for (size_t i = 0; i < json_array_size(del); i++) {
        const char *field = json_string_value(json_array_get(del, i));
        assert_non_null(field);
        if (json_object_get(json_object_get(message, "set"), field)) {
            fail_msg("%s is in set and in del", field);
        }
        json_object_del(copy->fields, field);
    }
}

static void move_to(struct board_copy *copy, const json_t *message)
{
    snprintf(copy->epoch, sizeof copy->epoch, "%s", text_of(message, "epoch"));
    snprintf(copy->nonce, sizeof copy->nonce, "%s", text_of(message, "nonce"));
    copy->offset = integer_of(message, "to");
    copy->has_position = true;
}

static void take_snapshot(struct board_copy *copy, const json_t *message)
{
    if (copy->has_position && !copy->may_go_back && strcmp(copy->epoch, text_of(message, "epoch")) == 0 &&
        integer_of(message, "to") < copy->offset) {
        fail_msg("snapshot goes back from %" PRIu64 " to %" PRIu64, copy->offset, integer_of(message, "to"));
    }
    const char *view = json_string_value(json_object_get(message, "view"));
    copy->mark = view ? (uint32_t)strtoul(view, NULL, 16) : 0;
    json_object_clear(copy->fields);
    set_fields(copy, message);
    trim(copy, copy->fields);
    move_to(copy, message);
    copy->snapshots++;
}

bool board_copy_take(struct board_copy *copy, const json_t *message)
{
    if (strcmp(text_of(message, "type"), "snapshot") == 0) {
        take_snapshot(copy, message);
        return true;
    }
    assert_string_equal(text_of(message, "type"), "update");
    uint64_t from = integer_of(message, "from");
    uint64_t to = integer_of(message, "to");
    assert_true(from <= to);
    if (!copy->has_position || strcmp(copy->epoch, text_of(message, "epoch")) != 0 || from > copy->offset) {
        copy->gaps++;
        return false;
    }
    if (to <= copy->offset) {
        copy->dropped++;
        return true;
    }
    set_fields(copy, message);
    delete_fields(copy, message);
    trim(copy, copy->fields);
    move_to(copy, message);
    copy->updates++;
    return true;
}

struct position board_copy_position(const struct board_copy *copy)
{
    char text[POSITION_TEXT_MAX_BYTES + 1];
    int length = snprintf(text, sizeof text, "%s.%" PRIu64 ".%s", copy->epoch, copy->offset, copy->nonce);
    struct position position = {0};
    assert_int_equal(position_parse(text, (size_t)length, &position), RESULT_OK);
    return position;
}

json_t *overlay_message(const struct overlay *overlay)
{
    struct bytes text;
    bytes_init(&text, 64 * 1024 * 1024);
    overlay_encode("board", overlay, 1, false, NULL, &text);
    assert_false(bytes_failed(&text));
    json_error_t error;
    json_t *message = json_loadb(text.at, text.length, JSON_REJECT_DUPLICATES, &error);
    if (!message) {
        fail_msg("%s: %.*s", error.text, (int)text.length, text.at);
    }
    bytes_finish(&text);
    return message;
}

void board_copy_assert_equal(const struct board_copy *copy, const struct board *board)
{
    struct overlay overlay;
    overlay_init(&overlay);
    assert_int_equal(board_snapshot(board, &overlay), RESULT_OK);
    json_t *truth = overlay_message(&overlay);
    size_t text_bytes = 0;
    for (size_t i = 0; i < overlay.count; i++) {
        text_bytes += overlay.entries[i].field_length + overlay.entries[i].value_length;
    }
    assert_int_equal(board_text_bytes(board), text_bytes);
    overlay_finish(&overlay);
    json_t *set = json_object_get(truth, "set");
    trim(copy, set); /* a cap that became smaller trims the board at its next change only */
    struct position held = board_copy_position(copy);
    struct position at = board_position(board);
    at.nonce ^= copy->mark;
    if (!position_equal(&held, &at) || !json_equal(set, copy->fields)) {
        char *expected = json_dumps(set, JSON_SORT_KEYS | JSON_COMPACT);
        char *found = json_dumps(copy->fields, JSON_SORT_KEYS | JSON_COMPACT);
        print_error("board at %" PRIu64 ": %s\ncopy at %" PRIu64 ": %s\n", at.offset, expected, held.offset,
                    found);
        free(expected);
        free(found);
        fail_msg("the copy differs from the board");
    }
    json_decref(truth);
}
