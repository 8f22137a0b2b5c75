/*
 * Properties of overlays on random cases. The oracle is a plain map: a board
 * is an array "field number -> value number", and applying an overlay assigns
 * to it. SEED in the environment repeats a run.
 */
#include "protocol/overlay.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vectors.h"

enum { FIELDS = 24, VALUES = 50, ROUNDS = 3000, HISTORY = 60 };

static uint64_t random_state;
static char field_names[FIELDS][16];
static char value_texts[VALUES][16];

/** xorshift64*: small, seedable, the same everywhere. */
static uint64_t draw(uint64_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545f4914f6cdd1du >> 16) % below;
}

static int prepare(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    random_state = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    random_state |= 1;
    print_message("SEED=%llu\n", (unsigned long long)random_state);
    for (int i = 0; i < FIELDS; i++) {
        (void)snprintf(field_names[i], sizeof field_names[i], "kpi.f%d", i);
    }
    for (int i = 0; i < VALUES; i++) {
        (void)snprintf(value_texts[i], sizeof value_texts[i], "{\"v\":%d}", i);
    }
    return 0;
}

/* ---- the oracle ---- */

struct board {
    const char *values[FIELDS]; /* NULL: not there */
    uint64_t offset;
};

static int field_number(const struct overlay_entry *entry)
{
    return atoi(entry->field + 5);
}

static void apply(const struct overlay *overlay, struct board *board)
{
    if (overlay->is_snapshot) {
        memset(board->values, 0, sizeof board->values);
    }
    for (size_t i = 0; i < overlay->count; i++) {
        board->values[field_number(&overlay->entries[i])] = overlay->entries[i].value;
    }
    board->offset = overlay->to.offset;
}

static void assert_same_board(const struct board *a, const struct board *b)
{
    assert_int_equal(a->offset, b->offset);
    for (int i = 0; i < FIELDS; i++) {
        assert_ptr_equal(a->values[i], b->values[i]);
    }
}

static void assert_same_overlay(const struct overlay *a, const struct overlay *b)
{
    assert_int_equal(a->from, b->from);
    assert_true(position_equal(&a->to, &b->to));
    assert_int_equal(a->is_snapshot, b->is_snapshot);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->entries[i].rev, b->entries[i].rev);
        assert_ptr_equal(a->entries[i].value, b->entries[i].value);
        assert_int_equal(a->entries[i].field_length, b->entries[i].field_length);
        assert_memory_equal(a->entries[i].field, b->entries[i].field, a->entries[i].field_length);
    }
}

/* ---- random material ---- */

static void add(struct overlay *overlay, int field, const char *value, uint64_t rev)
{
    const struct overlay_entry entry = {
        .field = field_names[field],
        .field_length = strlen(field_names[field]),
        .value = value,
        .value_length = value != NULL ? strlen(value) : 0,
        .rev = rev,
    };
    assert_int_equal(overlay_add(overlay, &entry), RESULT_OK);
}

static const char *draw_value(bool may_be_deletion)
{
    return may_be_deletion && draw(3) == 0 ? NULL : value_texts[draw(VALUES)];
}

/** Any overlay that continues offset `from`; the nonce follows from the offset so that histories agree. */
static void draw_overlay(struct overlay *overlay, uint64_t at, bool is_snapshot)
{
    overlay_init(overlay);
    overlay->is_snapshot = is_snapshot;
    overlay->from = is_snapshot ? 0 : at - draw(at + 1);
    overlay->to = (struct position){.epoch = 7, .offset = at + draw(10)};
    overlay->to.nonce = (uint32_t)overlay->to.offset * 3;
    int field = (int)draw(4);
    while (field < FIELDS) {
        add(overlay, field, draw_value(!is_snapshot), overlay->to.offset);
        field += 1 + (int)draw(6);
    }
}

static struct overlay composed(const struct overlay *a, const struct overlay *b)
{
    struct overlay out;
    overlay_init(&out);
    assert_int_equal(overlay_compose(a, b, &out), RESULT_OK);
    return out;
}

static struct board draw_board(void)
{
    struct board board = {0};
    for (int i = 0; i < FIELDS; i++) {
        board.values[i] = draw(2) == 0 ? NULL : value_texts[draw(VALUES)];
    }
    return board;
}

/* ---- properties of any overlays ---- */

static void test_composing_is_associative(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct overlay a, b, c;
        draw_overlay(&a, 100, draw(4) == 0);
        draw_overlay(&b, a.to.offset, draw(8) == 0);
        draw_overlay(&c, b.to.offset, draw(8) == 0);
        struct overlay ab = composed(&a, &b);
        struct overlay bc = composed(&b, &c);
        struct overlay ab_c = composed(&ab, &c);
        if (bc.is_snapshot || bc.from <= a.to.offset) {
            struct overlay a_bc = composed(&a, &bc);
            assert_same_overlay(&ab_c, &a_bc);
            overlay_finish(&a_bc);
        }
        overlay_finish(&ab_c);
        overlay_finish(&bc);
        overlay_finish(&ab);
        overlay_finish(&c);
        overlay_finish(&b);
        overlay_finish(&a);
    }
}

static void test_composing_is_idempotent(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct overlay a;
        draw_overlay(&a, 100, draw(4) == 0);
        struct overlay aa = composed(&a, &a);
        assert_same_overlay(&a, &aa);
        overlay_finish(&aa);
        overlay_finish(&a);
    }
}

static void test_composing_equals_applying_in_sequence(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct overlay a, b;
        draw_overlay(&a, 100, draw(4) == 0);
        draw_overlay(&b, a.to.offset, draw(8) == 0);
        struct overlay ab = composed(&a, &b);
        struct board in_sequence = draw_board();
        struct board at_once = in_sequence;
        apply(&a, &in_sequence);
        apply(&b, &in_sequence);
        apply(&ab, &at_once);
        assert_same_board(&in_sequence, &at_once);
        overlay_finish(&ab);
        overlay_finish(&b);
        overlay_finish(&a);
    }
}

static void test_a_snapshot_never_holds_deletions(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct overlay snapshot, update;
        draw_overlay(&snapshot, 100, true);
        draw_overlay(&update, snapshot.to.offset, false);
        struct overlay both = composed(&snapshot, &update);
        assert_true(both.is_snapshot);
        for (size_t i = 0; i < both.count; i++) {
            assert_non_null(both.entries[i].value);
        }
        overlay_finish(&both);
        overlay_finish(&update);
        overlay_finish(&snapshot);
    }
}

/* ---- properties of the overlays of one history ---- */

struct history {
    int fields[HISTORY + 1]; /* what changed at offset i, from 1 */
    const char *values[HISTORY + 1];
};

static struct history draw_history(void)
{
    struct history history = {0};
    for (int i = 1; i <= HISTORY; i++) {
        history.fields[i] = (int)draw(FIELDS);
        history.values[i] = draw_value(true);
    }
    return history;
}

static struct board board_at(const struct history *history, uint64_t offset)
{
    struct board board = {.offset = offset};
    for (uint64_t i = 1; i <= offset; i++) {
        board.values[history->fields[i]] = history->values[i];
    }
    return board;
}

/** What changed in (from, to]: per field the last change. */
static struct overlay overlay_of(const struct history *history, uint64_t from, uint64_t to)
{
    struct overlay overlay;
    overlay_init(&overlay);
    overlay.from = from;
    overlay.to = (struct position){.epoch = 7, .offset = to, .nonce = (uint32_t)to * 3};
    bool is_seen[FIELDS] = {false};
    for (uint64_t i = to; i > from; i--) {
        if (!is_seen[history->fields[i]]) {
            is_seen[history->fields[i]] = true;
            add(&overlay, history->fields[i], history->values[i], i);
        }
    }
    return overlay;
}

static void test_a_conflated_viewer_ends_where_an_unconflated_one_does(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct history history = draw_history();
        uint64_t from = draw(HISTORY + 1);
        struct board board = board_at(&history, from);
        struct overlay merged = overlay_of(&history, from, from);
        for (uint64_t at = from; at < HISTORY;) {
            uint64_t to = at + 1 + draw(HISTORY - at);
            struct overlay step = overlay_of(&history, at - draw(at + 1), to);
            struct overlay both = composed(&merged, &step);
            overlay_finish(&merged);
            overlay_finish(&step);
            merged = both;
            at = to;
        }
        assert_int_equal(merged.from, from);
        apply(&merged, &board);
        struct board expected = board_at(&history, HISTORY);
        assert_same_board(&board, &expected);
        overlay_finish(&merged);
    }
}

static void test_an_overlay_takes_every_state_in_its_range_to_its_end(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS / 10; round++) {
        struct history history = draw_history();
        uint64_t from = draw(HISTORY + 1);
        uint64_t middle = from + draw(HISTORY - from + 1);
        struct overlay first = overlay_of(&history, from, middle);
        struct overlay second = overlay_of(&history, draw(middle + 1), HISTORY);
        struct overlay both = composed(&first, &second);
        struct board expected = board_at(&history, HISTORY);
        for (uint64_t c = from; c <= HISTORY; c++) {
            struct board board = board_at(&history, c);
            apply(&both, &board);
            assert_same_board(&board, &expected);
        }
        overlay_finish(&both);
        overlay_finish(&second);
        overlay_finish(&first);
    }
}

/* ---- refusals, and the array ---- */

static enum result compose_result(const struct overlay *a, const struct overlay *b)
{
    struct overlay out;
    overlay_init(&out);
    enum result result = overlay_compose(a, b, &out);
    assert_int_equal(out.count, 0);
    overlay_finish(&out);
    return result;
}

static void test_what_does_not_continue_is_refused(void **state)
{
    (void)state;
    const struct overlay a = {.from = 5, .to = {.epoch = 7, .offset = 9, .nonce = 1}};
    struct overlay b = {.from = 9, .to = {.epoch = 7, .offset = 12, .nonce = 2}};
    assert_int_equal(compose_result(&a, &b), RESULT_OK);
    b.from = 10;
    assert_int_equal(compose_result(&a, &b), RESULT_UNKNOWN_POSITION); /* a gap */
    b.from = 9;
    b.to.epoch = 8;
    assert_int_equal(compose_result(&a, &b), RESULT_UNKNOWN_POSITION); /* another order */
    b.is_snapshot = true;
    assert_int_equal(compose_result(&a, &b), RESULT_OK); /* wins whatever there was */
    b = (struct overlay){.from = 3, .to = {.epoch = 7, .offset = 8, .nonce = 1}};
    assert_int_equal(compose_result(&a, &b), RESULT_UNKNOWN_POSITION); /* ends earlier */
    b.to.offset = 9;
    assert_int_equal(compose_result(&a, &b), RESULT_OK);
    b.to.nonce = 2;
    assert_int_equal(compose_result(&a, &b), RESULT_UNKNOWN_POSITION); /* two histories */
}

static void test_many_fields_compose(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static char names[MANY][16];
    struct overlay a, b;
    overlay_init(&a);
    overlay_init(&b);
    a.to = (struct position){.epoch = 7, .offset = 1, .nonce = 1};
    b.to = (struct position){.epoch = 7, .offset = 2, .nonce = 2};
    b.from = 1;
    for (int i = 0; i < MANY; i++) {
        int length = snprintf(names[i], sizeof names[i], "k.t#%d", i);
        struct overlay_entry entry = {
            .field = names[i], .field_length = (size_t)length, .rev = 1, .value = "{}", .value_length = 2};
        assert_int_equal(overlay_add(&a, &entry), RESULT_OK);
        entry.rev = 2;
        if (i % 2 == 0) {
            assert_int_equal(overlay_add(&b, &entry), RESULT_OK);
        }
    }
    struct overlay both = composed(&a, &b);
    assert_int_equal(both.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(both.entries[i].rev, i < MANY / 2 ? 1 : 2);
    }
    overlay_finish(&both);
    overlay_finish(&a);
    overlay_finish(&b);
}

static void test_clear_keeps_the_memory_and_forgets_the_rest(void **state)
{
    (void)state;
    struct overlay overlay;
    draw_overlay(&overlay, 100, true);
    const struct overlay_entry *entries = overlay.entries;
    overlay_clear(&overlay);
    assert_int_equal(overlay.count, 0);
    assert_int_equal(overlay.to.epoch, 0);
    assert_false(overlay.is_snapshot);
    add(&overlay, 1, value_texts[0], 1);
    assert_ptr_equal(overlay.entries, entries);
    overlay_finish(&overlay);
    overlay_finish(&overlay);
    overlay_finish(NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    struct overlay a, b, out;
    draw_overlay(&a, 100, false);
    draw_overlay(&b, a.to.offset, false);
    overlay_init(&out);
    for (int allocations = 0; allocations < 2; allocations++) {
        allocations_fail_after(allocations);
        enum result result = overlay_compose(&a, &b, &out);
        allocations_fail_after(-1);
        assert_int_equal(result, RESULT_NO_MEMORY);
        assert_int_equal(out.count, 0);
        overlay_finish(&out);
    }
    allocations_fail_after(0);
    enum result result = overlay_add(&out, &a.entries[0]);
    allocations_fail_after(-1);
    assert_int_equal(result, RESULT_NO_MEMORY);
    assert_int_equal(out.count, 0);
    overlay_finish(&b);
    overlay_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composing_is_associative),
        cmocka_unit_test(test_composing_is_idempotent),
        cmocka_unit_test(test_composing_equals_applying_in_sequence),
        cmocka_unit_test(test_a_snapshot_never_holds_deletions),
        cmocka_unit_test(test_a_conflated_viewer_ends_where_an_unconflated_one_does),
        cmocka_unit_test(test_an_overlay_takes_every_state_in_its_range_to_its_end),
        cmocka_unit_test(test_what_does_not_continue_is_refused),
        cmocka_unit_test(test_many_fields_compose),
        cmocka_unit_test(test_clear_keeps_the_memory_and_forgets_the_rest),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
