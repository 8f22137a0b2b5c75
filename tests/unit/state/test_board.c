/* The board against an independent viewer's copy, its limits, and what happens when memory runs out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "../support/board_copy.h"
#include "../support/chance.h"
#include "state/board.h"

enum { DRAFT_MAX = 64, NAME_BYTES = 64, FEED_CAP = 4, SERIES_CAP = 5 };

static const struct row_limit limits[] = {
    {.kpi = "t.rows", .rule = ROWS_TABLE, .cap = 100},
    {.kpi = "f.events", .rule = ROWS_FEED, .cap = FEED_CAP},
    {.kpi = "s.points", .rule = ROWS_SERIES, .cap = SERIES_CAP},
};
enum { LIMIT_COUNT = sizeof limits / sizeof limits[0] };

/* A publication in the making, and the board it is for. */
struct fixture {
    struct board *board;
    struct position at;
    int64_t now_ms;
    struct overlay draft;
    uint64_t versions[DRAFT_MAX];
    char names[DRAFT_MAX][NAME_BYTES];
    char values[DRAFT_MAX][NAME_BYTES];
};

static const struct board_options roomy = {.max_fields = 1000, .max_tombstones = 1000, .max_positions = 1000};

static bool rows_declared(struct board *board)
{
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        if (board_set_rows(board, limits[i].kpi, limits[i].rule, limits[i].cap) != RESULT_OK) {
            return false;
        }
    }
    return true;
}

static void fixture_open(struct fixture *f, const struct board_options *options)
{
    memset(f, 0, sizeof *f);
    f->at = (struct position){.epoch = 0xabc, .offset = 0, .nonce = 7};
    f->board = board_create("board", options, f->at);
    assert_non_null(f->board);
    assert_true(rows_declared(f->board));
    overlay_init(&f->draft);
}

static void fixture_close(struct fixture *f)
{
    overlay_finish(&f->draft);
    board_destroy(f->board);
}

static void draft_add(struct fixture *f, const char *field, const char *value, uint64_t version)
{
    size_t i = f->draft.count;
    assert_true(i < DRAFT_MAX);
    snprintf(f->names[i], NAME_BYTES, "%s", field);
    snprintf(f->values[i], NAME_BYTES, "%s", value ? value : "");
    f->versions[i] = version;
    const struct overlay_entry entry = {
        .field = f->names[i],
        .field_length = strlen(field),
        .value = value ? f->values[i] : NULL,
        .value_length = value ? strlen(value) : 0,
        .rev = f->at.offset + i + 1,
    };
    assert_int_equal(overlay_add(&f->draft, &entry), RESULT_OK);
}

static enum result draft_apply(struct fixture *f)
{
    f->draft.from = f->at.offset;
    f->at.offset += f->draft.count;
    f->at.nonce += 11;
    f->draft.to = f->at;
    enum result result = board_apply(f->board, &f->draft, f->versions, f->now_ms);
    overlay_clear(&f->draft);
    return result;
}

static void set(struct fixture *f, const char *field, const char *value)
{
    draft_add(f, field, value, f->at.offset + 1);
    assert_int_equal(draft_apply(f), RESULT_OK);
}

static void del(struct fixture *f, const char *field)
{
    draft_add(f, field, NULL, f->at.offset + 1);
    assert_int_equal(draft_apply(f), RESULT_OK);
}

/* What the gateway does for a viewer at a position. */
static enum result catch_up(const struct board *board, struct board_copy *copy)
{
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t changed_at_ms = 0;
    enum result result = RESULT_UNKNOWN_POSITION;
    if (copy->has_position) {
        struct position position = board_copy_position(copy);
        result = board_knows(board, &position);
    }
    if (result == RESULT_OK) {
        result = board_overlay_since(board, copy->offset, &overlay, &changed_at_ms);
    }
    enum result known = result;
    if (result == RESULT_UNKNOWN_POSITION) {
        result = board_snapshot(board, &overlay);
    }
    assert_int_equal(result, RESULT_OK);
    json_t *message = overlay_message(&overlay);
    assert_true(board_copy_take(copy, message));
    json_decref(message);
    overlay_finish(&overlay);
    return known;
}

/* ---- property: whatever was missed, one overlay makes a copy equal to the board ---- */

static const char *some_field(struct chance *chance, char out[NAME_BYTES])
{
    switch (chance_below(chance, 4)) {
    case 0:
        snprintf(out, NAME_BYTES, "k.value%u", chance_below(chance, 10));
        break;
    case 1:
        snprintf(out, NAME_BYTES, "t.rows#%c", 'a' + (char)chance_below(chance, 12));
        break;
    case 2:
        snprintf(out, NAME_BYTES, "f.events#%u", chance_below(chance, 40));
        break;
    default:
        snprintf(out, NAME_BYTES, "s.points#%03u", chance_below(chance, 40));
        break;
    }
    return out;
}

static bool is_drafted(const struct fixture *f, const char *field)
{
    for (size_t i = 0; i < f->draft.count; i++) {
        if (strcmp(f->names[i], field) == 0) {
            return true;
        }
    }
    return false;
}

static void apply_something(struct fixture *f, struct chance *chance)
{
    uint32_t count = 1 + chance_below(chance, chance_percent(chance, 10) ? 20 : 3);
    for (uint32_t i = 0; i < count; i++) {
        char field[NAME_BYTES];
        char value[NAME_BYTES];
        some_field(chance, field);
        if (is_drafted(f, field)) {
            continue;
        }
        bool may_go = field[0] == 't';
        snprintf(value, sizeof value, "{\"v\":%u}", chance_below(chance, 1000));
        draft_add(f, field, may_go && chance_percent(chance, 40) ? NULL : value, chance_below(chance, 1000));
    }
    f->now_ms += chance_below(chance, 50);
    assert_int_equal(draft_apply(f), RESULT_OK);
}

enum { COPIES = 6 };

static void run_copies(struct fixture *f, struct chance *chance, unsigned rounds)
{
    struct board_copy copies[COPIES];
    struct board_copy tight; /* takes every single change: the unconflated reading */
    board_copy_init(&tight, limits, LIMIT_COUNT);
    for (int i = 0; i < COPIES; i++) {
        board_copy_init(&copies[i], limits, LIMIT_COUNT);
    }
    for (unsigned round = 0; round < rounds; round++) {
        apply_something(f, chance);
        catch_up(f->board, &tight);
        board_copy_assert_equal(&tight, f->board);
        struct board_copy *copy = &copies[chance_below(chance, COPIES)];
        if (chance_percent(chance, 30)) {
            catch_up(f->board, copy);
            board_copy_assert_equal(copy, f->board);
            assert_true(json_equal(copy->fields, tight.fields));
        }
    }
    for (int i = 0; i < COPIES; i++) {
        catch_up(f->board, &copies[i]);
        board_copy_assert_equal(&copies[i], f->board);
        board_copy_finish(&copies[i]);
    }
    board_copy_finish(&tight);
}

static void test_every_lagging_copy_catches_up_with_one_overlay(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("lagging copies", 1);
    for (int run = 0; run < 30; run++) {
        struct fixture f;
        fixture_open(&f, &roomy);
        run_copies(&f, &chance, 120);
        fixture_close(&f);
    }
}

static void test_copies_converge_when_tombstones_and_positions_are_few(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("few tombstones", 2);
    for (uint32_t run = 0; run < 30; run++) {
        const struct board_options tight = {.max_fields = 60,
                                            .max_tombstones = chance_below(&chance, 4),
                                            .max_positions = 1 + chance_below(&chance, 9)};
        struct fixture f;
        fixture_open(&f, &tight);
        run_copies(&f, &chance, 120);
        fixture_close(&f);
    }
}

/* A frame may begin before the viewer's offset: the shared frame of a flush does. */
static void test_an_overlay_from_before_the_copy_changes_nothing_else(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("early from", 3);
    struct fixture f;
    fixture_open(&f, &roomy);
    struct board_copy copy;
    board_copy_init(&copy, limits, LIMIT_COUNT);
    catch_up(f.board, &copy);
    for (int round = 0; round < 300; round++) {
        apply_something(&f, &chance);
        struct overlay overlay;
        overlay_init(&overlay);
        int64_t changed_at_ms = 0;
        uint64_t from = chance_below(&chance, (uint32_t)copy.offset + 1);
        assert_int_equal(board_overlay_since(f.board, from, &overlay, &changed_at_ms), RESULT_OK);
        json_t *message = overlay_message(&overlay);
        assert_true(board_copy_take(&copy, message));
        board_copy_assert_equal(&copy, f.board);
        json_decref(message);
        overlay_finish(&overlay);
    }
    board_copy_finish(&copy);
    fixture_close(&f);
}

/* ---- trimming ---- */

static void test_rows_trimmed_before_their_kpi_is_removed_leave_lagging_copies(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    struct board_copy lagging, current;
    board_copy_init(&lagging, limits, LIMIT_COUNT);
    board_copy_init(&current, limits, LIMIT_COUNT);
    for (int i = 0; i < FEED_CAP; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "f.events#%d", i);
        set(&f, field, "{\"v\":1}");
    }
    catch_up(f.board, &lagging);
    set(&f, "f.events#new", "{\"v\":2}"); /* pushes #0 out */
    catch_up(f.board, &current);
    const char *rows[] = {"f.events#1", "f.events#2", "f.events#3", "f.events#new"};
    for (size_t i = 0; i < 4; i++) {
        draft_add(&f, rows[i], NULL, 99);
    }
    assert_int_equal(draft_apply(&f), RESULT_OK);
    assert_int_equal(catch_up(f.board, &lagging), RESULT_UNKNOWN_POSITION); /* it still holds #0 */
    board_copy_assert_equal(&lagging, f.board);
    assert_int_equal(catch_up(f.board, &current), RESULT_OK);
    board_copy_assert_equal(&current, f.board);
    board_copy_finish(&lagging);
    board_copy_finish(&current);
    fixture_close(&f);
}

static void test_a_larger_cap_does_not_bring_trimmed_rows_back_on_lagging_copies(void **state)
{
    (void)state;
    struct row_limit wider[LIMIT_COUNT];
    memcpy(wider, limits, sizeof wider);
    wider[2].cap = SERIES_CAP + 3;
    struct fixture f;
    fixture_open(&f, &roomy);
    struct board_copy lagging;
    board_copy_init(&lagging, wider, LIMIT_COUNT);
    for (int i = 0; i < SERIES_CAP; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "s.points#%d", i);
        set(&f, field, "{\"v\":1}");
    }
    catch_up(f.board, &lagging);
    set(&f, "s.points#9", "{\"v\":1}");
    assert_int_equal(board_row_count(f.board, "s.points", 8), SERIES_CAP);
    assert_int_equal(board_set_rows(f.board, "s.points", ROWS_SERIES, SERIES_CAP + 3), RESULT_OK);
    assert_int_equal(catch_up(f.board, &lagging), RESULT_UNKNOWN_POSITION);
    board_copy_assert_equal(&lagging, f.board);
    board_copy_finish(&lagging);
    fixture_close(&f);
}

static void test_a_smaller_cap_trims_at_the_next_change(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    for (int i = 0; i < FEED_CAP; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "f.events#%d", i);
        set(&f, field, "{\"v\":1}");
    }
    assert_int_equal(board_set_rows(f.board, "f.events", ROWS_FEED, 2), RESULT_OK);
    assert_int_equal(board_row_count(f.board, "f.events", 8), FEED_CAP);
    set(&f, "f.events#9", "{\"v\":1}");
    assert_int_equal(board_row_count(f.board, "f.events", 8), 2);
    size_t length = 0;
    assert_null(board_value(f.board, "f.events#2", 10, &length));
    assert_non_null(board_value(f.board, "f.events#3", 10, &length));
    fixture_close(&f);
}

static void test_a_series_keeps_the_greatest_keys_and_a_feed_the_newest_rows(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    const char *keys[] = {"5", "1", "9", "3", "7", "0", "8"};
    for (size_t i = 0; i < 7; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "s.points#%s", keys[i]);
        set(&f, field, "{\"v\":1}");
        snprintf(field, sizeof field, "f.events#%s", keys[i]);
        set(&f, field, "{\"v\":1}");
    }
    const void *cursor = NULL;
    struct overlay_entry row;
    char series[32] = "";
    while (board_next_row(f.board, "s.points", 8, &cursor, &row)) {
        strcat(series, strchr(row.field, '#') + 1);
    }
    assert_string_equal(series, "59378"); /* oldest change first; 1 and 0 are gone */
    char feed[32] = "";
    cursor = NULL;
    while (board_next_row(f.board, "f.events", 8, &cursor, &row)) {
        strcat(feed, strchr(row.field, '#') + 1);
    }
    assert_string_equal(feed, "3708");
    cursor = NULL;
    assert_false(board_next_row(f.board, "k.other", 7, &cursor, &row));
    fixture_close(&f);
}

/* ---- positions ---- */

static void test_positions_of_other_histories_are_unknown(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    struct position start = f.at;
    assert_int_equal(board_knows(f.board, &start), RESULT_OK);
    set(&f, "k.value1", "{\"v\":1}");
    draft_add(&f, "k.value1", "{\"v\":2}", 1);
    draft_add(&f, "k.value2", "{\"v\":2}", 1);
    assert_int_equal(draft_apply(&f), RESULT_OK);
    assert_int_equal(board_knows(f.board, &start), RESULT_OK);
    assert_int_equal(board_knows(f.board, &f.at), RESULT_OK);
    struct position other = f.at;
    other.nonce++;
    assert_int_equal(board_knows(f.board, &other), RESULT_UNKNOWN_POSITION);
    other = f.at;
    other.epoch++;
    assert_int_equal(board_knows(f.board, &other), RESULT_UNKNOWN_POSITION);
    other = f.at;
    other.offset++;
    assert_int_equal(board_knows(f.board, &other), RESULT_UNKNOWN_POSITION);
    other = f.at;
    other.offset--; /* inside a publication: no viewer was ever there */
    assert_int_equal(board_knows(f.board, &other), RESULT_UNKNOWN_POSITION);
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t changed_at_ms = 5;
    assert_int_equal(board_overlay_since(f.board, f.at.offset + 1, &overlay, &changed_at_ms),
                     RESULT_UNKNOWN_POSITION);
    assert_int_equal(board_overlay_since(f.board, f.at.offset, &overlay, &changed_at_ms), RESULT_OK);
    assert_int_equal(overlay.count, 0);
    assert_int_equal(changed_at_ms, 5);
    overlay_finish(&overlay);
    fixture_close(&f);
}

static void test_the_newest_positions_are_remembered_up_to_the_cap(void **state)
{
    (void)state;
    for (size_t cap = 1; cap <= 70; cap += 23) {
        const struct board_options options = {.max_fields = 10, .max_tombstones = 10, .max_positions = cap};
        struct fixture f;
        fixture_open(&f, &options);
        struct position past[200];
        for (size_t i = 0; i < 200; i++) {
            past[i] = f.at;
            for (size_t j = 0; j <= i; j++) {
                bool is_kept = i - j < cap;
                assert_int_equal(board_knows(f.board, &past[j]),
                                 is_kept ? RESULT_OK : RESULT_UNKNOWN_POSITION);
            }
            set(&f, "k.value1", "{\"v\":1}");
        }
        fixture_close(&f);
    }
}

static void test_a_forgotten_tombstone_makes_older_positions_unknown(void **state)
{
    (void)state;
    const struct board_options options = {.max_fields = 100, .max_tombstones = 2, .max_positions = 100};
    struct fixture f;
    fixture_open(&f, &options);
    set(&f, "t.rows#a", "{}");
    set(&f, "t.rows#b", "{}");
    set(&f, "t.rows#c", "{}");
    struct position before = f.at;
    del(&f, "t.rows#a");
    struct position between = f.at;
    del(&f, "t.rows#b");
    assert_int_equal(board_knows(f.board, &before), RESULT_OK);
    del(&f, "t.rows#c"); /* the tombstone of a is forgotten */
    assert_int_equal(board_knows(f.board, &before), RESULT_UNKNOWN_POSITION);
    assert_int_equal(board_knows(f.board, &between), RESULT_OK);
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t changed_at_ms = 0;
    assert_int_equal(board_overlay_since(f.board, before.offset, &overlay, &changed_at_ms),
                     RESULT_UNKNOWN_POSITION);
    assert_int_equal(board_overlay_since(f.board, between.offset, &overlay, &changed_at_ms), RESULT_OK);
    assert_int_equal(overlay.count, 2);
    overlay_finish(&overlay);
    assert_int_equal(board_field_count(f.board), 0);
    fixture_close(&f);
}

static void test_a_row_that_returns_is_no_tombstone_any_more(void **state)
{
    (void)state;
    const struct board_options options = {.max_fields = 100, .max_tombstones = 2, .max_positions = 100};
    struct fixture f;
    fixture_open(&f, &options);
    struct position start = f.at;
    for (int i = 0; i < 10; i++) {
        set(&f, "t.rows#a", "{}");
        assert_int_equal(board_row_count(f.board, "t.rows", 6), 1);
        del(&f, "t.rows#a");
        assert_int_equal(board_row_count(f.board, "t.rows", 6), 0);
    }
    assert_int_equal(board_knows(f.board, &start), RESULT_OK);
    fixture_close(&f);
}

static void test_a_publication_that_does_not_continue_is_refused_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    set(&f, "k.value1", "{\"v\":1}");
    struct position at = f.at;
    draft_add(&f, "k.value1", "{\"v\":2}", 5);
    f.at.epoch++;
    assert_int_equal(draft_apply(&f), RESULT_UNKNOWN_POSITION);
    f.at = at;
    f.at.offset++;
    draft_add(&f, "k.value1", "{\"v\":2}", 5);
    assert_int_equal(draft_apply(&f), RESULT_UNKNOWN_POSITION);
    size_t length = 0;
    assert_string_equal(board_value(f.board, "k.value1", 8, &length), "{\"v\":1}");
    struct position still = board_position(f.board);
    assert_true(position_equal(&still, &at));
    assert_false(board_is_damaged(f.board));
    fixture_close(&f);
}

/* ---- limits ---- */

static void test_a_full_board_forgets_tombstones_first_and_then_refuses(void **state)
{
    (void)state;
    const struct board_options options = {.max_fields = 3, .max_tombstones = 3, .max_positions = 100};
    struct fixture f;
    fixture_open(&f, &options);
    set(&f, "t.rows#a", "{}");
    struct position early = f.at;
    del(&f, "t.rows#a");
    set(&f, "t.rows#b", "{}");
    set(&f, "t.rows#c", "{}");
    assert_int_equal(board_knows(f.board, &early), RESULT_OK);
    set(&f, "t.rows#d", "{}"); /* takes the tombstone's place */
    assert_int_equal(board_knows(f.board, &early), RESULT_UNKNOWN_POSITION);
    assert_false(board_is_damaged(f.board));
    draft_add(&f, "t.rows#b", "{\"v\":2}", 9);
    draft_add(&f, "t.rows#e", "{}", 9);
    assert_int_equal(draft_apply(&f), RESULT_FULL);
    assert_true(board_is_damaged(f.board));
    struct position at = board_position(f.board);
    assert_true(position_equal(&at, &f.at));
    size_t length = 0;
    assert_string_equal(board_value(f.board, "t.rows#b", 8, &length), "{\"v\":2}");
    assert_int_equal(length, 7);
    assert_null(board_value(f.board, "t.rows#e", 8, &length));
    set(&f, "t.rows#b", "{\"v\":3}"); /* a field that is there still changes */
    fixture_close(&f);
}

static void test_a_reset_forgets_everything_but_the_row_rules(void **state)
{
    (void)state;
    const struct board_options options = {
        .max_fields = LIMIT_COUNT, .max_tombstones = 3, .max_positions = 100};
    struct fixture f;
    fixture_open(&f, &options);
    struct position old = f.at;
    set(&f, "t.rows#a", "{}");
    set(&f, "t.rows#b", "{}");
    set(&f, "f.events#b", "{}");
    draft_add(&f, "k.value1", "{}", 1);
    assert_int_equal(draft_apply(&f), RESULT_FULL);
    f.at = (struct position){.epoch = 0xdef, .offset = 0, .nonce = 1};
    board_reset(f.board, f.at);
    assert_false(board_is_damaged(f.board));
    assert_int_equal(board_field_count(f.board), 0);
    assert_int_equal(board_row_count(f.board, "t.rows", 6), 0);
    assert_int_equal(board_knows(f.board, &old), RESULT_UNKNOWN_POSITION);
    assert_int_equal(board_knows(f.board, &f.at), RESULT_OK);
    uint64_t version = 0;
    assert_false(board_version(f.board, "t.rows#a", 8, &version));
    set(&f, "f.events#b", "{}");
    assert_int_equal(board_row_count(f.board, "f.events", 8), 1);
    struct board_copy copy;
    board_copy_init(&copy, limits, LIMIT_COUNT);
    catch_up(f.board, &copy);
    board_copy_assert_equal(&copy, f.board);
    board_copy_finish(&copy);
    fixture_close(&f);
}

/* ---- versions and times ---- */

static void test_versions_outlive_values_and_may_precede_them(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    uint64_t version = 0;
    assert_false(board_version(f.board, "t.rows#a", 8, &version));
    draft_add(&f, "t.rows#a", "{}", 5);
    draft_add(&f, "t.rows#b", NULL, 9); /* the removal overtook its row */
    assert_int_equal(draft_apply(&f), RESULT_OK);
    assert_true(board_version(f.board, "t.rows#a", 8, &version));
    assert_int_equal(version, 5);
    assert_true(board_version(f.board, "t.rows#b", 8, &version));
    assert_int_equal(version, 9);
    assert_int_equal(board_field_count(f.board), 1);
    draft_add(&f, "t.rows#a", NULL, 6);
    assert_int_equal(draft_apply(&f), RESULT_OK);
    draft_add(&f, "t.rows#a", NULL, 8);
    assert_int_equal(draft_apply(&f), RESULT_OK);
    assert_true(board_version(f.board, "t.rows#a", 8, &version));
    assert_int_equal(version, 8);
    board_set_version(f.board, "t.rows#a", 8, 3);
    assert_true(board_version(f.board, "t.rows#a", 8, &version));
    assert_int_equal(version, 3);
    board_set_version(f.board, "t.rows#z", 8, 3);
    assert_false(board_version(f.board, "t.rows#z", 8, &version));
    fixture_close(&f);
}

static void test_an_overlay_tells_when_its_oldest_change_was_accepted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    f.now_ms = 1000;
    set(&f, "k.value1", "{}");
    f.now_ms = 2000;
    set(&f, "k.value2", "{}");
    f.now_ms = 3000;
    set(&f, "k.value3", "{}");
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t changed_at_ms = 0;
    assert_int_equal(board_overlay_since(f.board, 1, &overlay, &changed_at_ms), RESULT_OK);
    assert_int_equal(changed_at_ms, 2000);
    assert_int_equal(overlay.count, 2);
    f.now_ms = 4000;
    set(&f, "k.value2", "{}");
    assert_int_equal(board_overlay_since(f.board, 1, &overlay, &changed_at_ms), RESULT_OK);
    assert_int_equal(changed_at_ms, 3000);
    assert_int_equal(overlay.count, 2);
    overlay_finish(&overlay);
    fixture_close(&f);
}

/* The pipeline may remove fields by the names that the board itself lent. */
static void test_fields_may_be_removed_by_their_own_text(void **state)
{
    (void)state;
    for (size_t max_tombstones = 0; max_tombstones < 4; max_tombstones++) {
        const struct board_options options = {
            .max_fields = 50, .max_tombstones = max_tombstones, .max_positions = 100};
        struct fixture f;
        fixture_open(&f, &options);
        for (int i = 0; i < 20; i++) {
            char field[NAME_BYTES];
            snprintf(field, sizeof field, "k.value%d", i);
            set(&f, field, "{}");
        }
        const void *cursor = NULL;
        struct overlay_entry entry;
        while (board_next_field(f.board, &cursor, &entry)) {
            entry.value = NULL;
            entry.value_length = 0;
            entry.rev = f.at.offset + f.draft.count + 1;
            assert_int_equal(overlay_add(&f.draft, &entry), RESULT_OK);
        }
        assert_int_equal(draft_apply(&f), RESULT_OK);
        assert_int_equal(board_field_count(f.board), 0);
        fixture_close(&f);
    }
}

/* ---- memory ---- */

static void test_creating_a_board_survives_every_failed_allocation(void **state)
{
    (void)state;
    const struct position at = {.epoch = 1, .nonce = 1};
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        allocations_fail_one_after(i);
        struct board *board = board_create("board", &roomy, at);
        bool is_whole = board && rows_declared(board);
        has_failed = allocations_recover();
        assert_true(is_whole != has_failed);
        board_destroy(board);
    }
    board_destroy(NULL);
}

/* Memory runs out somewhere in a publication: the board is damaged and says so, and viewers still equal it. */
static void test_copies_equal_the_board_after_any_failed_allocation(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("no memory", 4);
    unsigned damaged = 0;
    for (int i = 0; i < 400; i++) {
        const struct board_options options = {.max_fields = 40, .max_tombstones = 3, .max_positions = 20};
        struct fixture f;
        fixture_open(&f, &options);
        struct board_copy copy;
        board_copy_init(&copy, limits, LIMIT_COUNT);
        for (int round = 0; round < 4; round++) {
            apply_something(&f, &chance);
        }
        catch_up(f.board, &copy);
        for (int j = 0; j < 8; j++) {
            char field[NAME_BYTES];
            if (!is_drafted(&f, some_field(&chance, field))) {
                draft_add(&f, field, field[0] == 't' && chance_percent(&chance, 50) ? NULL : "{\"v\":7}", 1);
            }
        }
        allocations_fail_one_after((int)chance_below(&chance, 30));
        enum result result = draft_apply(&f);
        (void)allocations_recover();
        assert_true(result == RESULT_OK || result == RESULT_NO_MEMORY);
        assert_int_equal(board_is_damaged(f.board), result != RESULT_OK);
        damaged += result != RESULT_OK ? 1 : 0;
        catch_up(f.board, &copy);
        board_copy_assert_equal(&copy, f.board);
        board_copy_finish(&copy);
        fixture_close(&f);
    }
    assert_true(damaged > 50);
}

static void test_overlays_report_that_memory_ran_out(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &roomy);
    set(&f, "k.value1", "{}");
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t changed_at_ms = 0;
    allocations_fail_one_after(0);
    assert_int_equal(board_overlay_since(f.board, 0, &overlay, &changed_at_ms), RESULT_NO_MEMORY);
    allocations_fail_one_after(0);
    assert_int_equal(board_snapshot(f.board, &overlay), RESULT_NO_MEMORY);
    assert_true(allocations_recover());
    assert_int_equal(board_snapshot(f.board, &overlay), RESULT_OK);
    assert_int_equal(overlay.count, 1);
    overlay_finish(&overlay);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_lagging_copy_catches_up_with_one_overlay),
        cmocka_unit_test(test_copies_converge_when_tombstones_and_positions_are_few),
        cmocka_unit_test(test_an_overlay_from_before_the_copy_changes_nothing_else),
        cmocka_unit_test(test_rows_trimmed_before_their_kpi_is_removed_leave_lagging_copies),
        cmocka_unit_test(test_a_larger_cap_does_not_bring_trimmed_rows_back_on_lagging_copies),
        cmocka_unit_test(test_a_smaller_cap_trims_at_the_next_change),
        cmocka_unit_test(test_a_series_keeps_the_greatest_keys_and_a_feed_the_newest_rows),
        cmocka_unit_test(test_positions_of_other_histories_are_unknown),
        cmocka_unit_test(test_the_newest_positions_are_remembered_up_to_the_cap),
        cmocka_unit_test(test_a_forgotten_tombstone_makes_older_positions_unknown),
        cmocka_unit_test(test_a_row_that_returns_is_no_tombstone_any_more),
        cmocka_unit_test(test_a_publication_that_does_not_continue_is_refused_whole),
        cmocka_unit_test(test_a_full_board_forgets_tombstones_first_and_then_refuses),
        cmocka_unit_test(test_a_reset_forgets_everything_but_the_row_rules),
        cmocka_unit_test(test_versions_outlive_values_and_may_precede_them),
        cmocka_unit_test(test_an_overlay_tells_when_its_oldest_change_was_accepted),
        cmocka_unit_test(test_fields_may_be_removed_by_their_own_text),
        cmocka_unit_test(test_creating_a_board_survives_every_failed_allocation),
        cmocka_unit_test(test_copies_equal_the_board_after_any_failed_allocation),
        cmocka_unit_test(test_overlays_report_that_memory_ran_out),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
