/*
 * overlays.json and freshness.json against PROTOCOL.md: a reader of kpi.v1
 * written as plainly as the text puts it, over JSON objects. It keeps the
 * vectors honest, and shows on them that composing equals applying in sequence.
 */
#include "protocol/overlay.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static json_int_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value != NULL ? value : "";
}

/* ---- the plain reader ---- */

static bool is_row_of(const char *field, const char *kpi)
{
    size_t length = strlen(kpi);
    return strncmp(field, kpi, length) == 0 && field[length] == '#';
}

/** The row to give up first, and how many there are. */
static const char *first_to_go(json_t *fields, const char *kpi, bool is_feed, json_int_t *out_rows)
{
    const char *worst = NULL;
    const char *field;
    json_t *value;
    *out_rows = 0;
    json_object_foreach(fields, field, value) {
        if (!is_row_of(field, kpi)) {
            continue;
        }
        ++*out_rows;
        bool is_worse =
            worst == NULL || (is_feed ? integer(value, "rev") < integer(json_object_get(fields, worst), "rev")
                                      : strcmp(field, worst) < 0);
        worst = is_worse ? field : worst;
    }
    return worst;
}

static void trim(json_t *fields, const json_t *rules)
{
    const char *kpi;
    json_t *rule;
    json_object_foreach((json_t *)(uintptr_t)rules, kpi, rule) { /* only reads; the macro has no const form */
        bool is_feed = strcmp(text(rule, "type"), "feed") == 0;
        if (!is_feed && strcmp(text(rule, "type"), "series") != 0) {
            continue;
        }
        json_int_t rows;
        const char *worst = first_to_go(fields, kpi, is_feed, &rows);
        while (rows > integer(rule, "cap")) {
            assert_int_equal(json_object_del(fields, worst), 0);
            worst = first_to_go(fields, kpi, is_feed, &rows);
        }
    }
}

static const char *action_for(const json_t *frame, const json_t *position)
{
    if (strcmp(text(frame, "type"), "snapshot") == 0) {
        return "applied";
    }
    if (!json_is_object(position) || strcmp(text(frame, "epoch"), text(position, "epoch")) != 0 ||
        integer(frame, "from") > integer(position, "offset")) {
        return "gap";
    }
    return integer(frame, "to") <= integer(position, "offset") ? "dropped" : "applied";
}

static void apply(const json_t *frame, const json_t *rules, json_t *fields)
{
    if (strcmp(text(frame, "type"), "snapshot") == 0) {
        assert_int_equal(json_object_clear(fields), 0);
    }
    assert_int_equal(json_object_update(fields, json_object_get(frame, "set")), 0);
    size_t index;
    json_t *name;
    json_array_foreach(json_object_get(frame, "del"), index, name) {
        (void)json_object_del(fields, json_string_value(name)); /* it may not be there */
    }
    trim(fields, rules);
}

static json_t *position_of(const json_t *frame)
{
    return json_pack("{s:s, s:I, s:s}", "epoch", text(frame, "epoch"), "offset", integer(frame, "to"),
                     "nonce", text(frame, "nonce"));
}

static void assert_json(const json_t *found, const json_t *expected, const char *name)
{
    if (!json_equal(found, expected)) {
        fail_msg("%s: found %s, expected %s", name, json_dumps(found, JSON_COMPACT),
                 json_dumps(expected, JSON_COMPACT));
    }
}

static void run_case(const json_t *item)
{
    const json_t *start = json_object_get(item, "start");
    const json_t *expect = json_object_get(item, "expect");
    json_t *fields = json_deep_copy(json_object_get(start, "fields"));
    json_t *position = json_deep_copy(json_object_get(start, "position"));
    json_t *actions = json_array();
    size_t index;
    json_t *frame;
    json_array_foreach(json_object_get(item, "frames"), index, frame) {
        const char *action = action_for(frame, position);
        assert_int_equal(json_array_append_new(actions, json_string(action)), 0);
        if (strcmp(action, "applied") == 0) {
            apply(frame, json_object_get(item, "rules"), fields);
            json_decref(position);
            position = position_of(frame);
        }
    }
    assert_json(actions, json_object_get(expect, "actions"), text(item, "name"));
    assert_json(position, json_object_get(expect, "position"), text(item, "name"));
    assert_json(fields, json_object_get(expect, "fields"), text(item, "name"));
    json_decref(actions);
    json_decref(position);
    json_decref(fields);
}

static void test_overlays(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("overlays");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        run_case(item);
    }
    assert_true(index >= 20);
    json_decref(cases);
}

/* ---- the same frames through overlay_compose ---- */

/** Values are the vectors' own texts; entries borrow them from `texts`. */
static void add_entry(struct overlay *overlay, const char *field, json_t *value, json_t *texts)
{
    struct overlay_entry entry = {.field = field, .field_length = strlen(field)};
    if (value != NULL) {
        char *dumped = json_dumps(value, JSON_COMPACT);
        json_t *kept = json_string(dumped);
        free(dumped);
        assert_int_equal(json_array_append_new(texts, kept), 0);
        entry.value = json_string_value(kept);
        entry.value_length = json_string_length(kept);
    }
    assert_int_equal(overlay_add(overlay, &entry), RESULT_OK);
}

static struct overlay overlay_of(const json_t *frame, json_t *texts)
{
    struct overlay overlay;
    overlay_init(&overlay);
    overlay.is_snapshot = strcmp(text(frame, "type"), "snapshot") == 0;
    overlay.from = (uint64_t)integer(frame, "from");
    overlay.to.epoch = strtoull(text(frame, "epoch"), NULL, 16);
    overlay.to.offset = (uint64_t)integer(frame, "to");
    overlay.to.nonce = (uint32_t)strtoul(text(frame, "nonce"), NULL, 16);
    const char *field;
    json_t *value;
    json_object_foreach(json_object_get(frame, "set"), field, value) {
        add_entry(&overlay, field, value, texts);
    }
    size_t index;
    json_array_foreach(json_object_get(frame, "del"), index, value) {
        add_entry(&overlay, json_string_value(value), NULL, texts);
    }
    return overlay;
}

static json_t *frame_of(const struct overlay *overlay)
{
    json_t *set = json_object();
    json_t *del = json_array();
    for (size_t i = 0; i < overlay->count; i++) {
        const struct overlay_entry *entry = &overlay->entries[i];
        json_t *field = json_stringn(entry->field, entry->field_length);
        if (entry->value == NULL) {
            assert_int_equal(json_array_append(del, field), 0);
        } else {
            json_t *value = json_loadb(entry->value, entry->value_length, 0, NULL);
            assert_int_equal(json_object_set_new(set, json_string_value(field), value), 0);
        }
        json_decref(field);
    }
    return json_pack("{s:s, s:o, s:o}", "type", overlay->is_snapshot ? "snapshot" : "update", "set", set,
                     "del", del);
}

/** All frames of a case as one; false when some frame does not continue the one before. */
static bool compose_frames(const json_t *frames, json_t *texts, struct overlay *out_overlay)
{
    *out_overlay = overlay_of(json_array_get(frames, 0), texts);
    for (size_t i = 1; i < json_array_size(frames); i++) {
        struct overlay next = overlay_of(json_array_get(frames, i), texts);
        struct overlay both;
        overlay_init(&both);
        enum result result = overlay_compose(out_overlay, &next, &both);
        overlay_finish(out_overlay);
        overlay_finish(&next);
        *out_overlay = both;
        if (result != RESULT_OK) {
            return false;
        }
    }
    return true;
}

static bool all_applied(const json_t *actions)
{
    for (size_t i = 0; i < json_array_size(actions); i++) {
        if (strcmp(json_string_value(json_array_get(actions, i)), "applied") != 0) {
            return false;
        }
    }
    return true;
}

static void test_merged_frames_end_in_the_same_state(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("overlays");
    size_t index;
    json_t *item;
    int merged = 0;
    json_array_foreach(cases, index, item) {
        const json_t *expect = json_object_get(item, "expect");
        if (!all_applied(json_object_get(expect, "actions"))) {
            continue;
        }
        json_t *texts = json_array();
        struct overlay overlay;
        assert_true(compose_frames(json_object_get(item, "frames"), texts, &overlay));
        json_t *frame = frame_of(&overlay);
        json_t *fields = json_deep_copy(json_object_get(json_object_get(item, "start"), "fields"));
        apply(frame, json_object_get(item, "rules"), fields);
        assert_json(fields, json_object_get(expect, "fields"), text(item, "name"));
        merged++;
        json_decref(fields);
        json_decref(frame);
        overlay_finish(&overlay);
        json_decref(texts);
    }
    assert_true(merged >= 15);
    json_decref(cases);
}

/* ---- freshness ---- */

static const char *freshness(const json_t *item)
{
    static const char *const by_producer[] = {"nodata", "invalid", "unreachable"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text(item, "state"), by_producer[i]) == 0) {
            return by_producer[i];
        }
    }
    if (json_is_null(json_object_get(item, "fresh_s"))) {
        return "fresh";
    }
    json_int_t age_ms = integer(item, "now") - integer(item, "as_of");
    if (json_is_false(json_object_get(item, "source_up")) && age_ms > integer(item, "fresh_s") * 1000) {
        return "unreachable";
    }
    if (age_ms > integer(item, "expired_s") * 1000) {
        return "expired";
    }
    if (age_ms > integer(item, "stale_s") * 1000) {
        return "stale";
    }
    return age_ms > integer(item, "fresh_s") * 1000 ? "ageing" : "fresh";
}

static void test_freshness(void **state)
{
    (void)state;
    json_t *cases = vectors_cases("freshness");
    size_t index;
    json_t *item;
    json_array_foreach(cases, index, item) {
        print_message("  %s\n", text(item, "name"));
        assert_string_equal(freshness(item), text(item, "expect"));
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlays),
        cmocka_unit_test(test_merged_frames_end_in_the_same_state),
        cmocka_unit_test(test_freshness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
