/*
 * A board that is exchanged for another history of itself. The store here is an independent one: it trims nothing and
 * keeps what was published; two of its copies that go on differently are what a failover leaves behind.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "../support/board_copy.h"
#include "../support/chance.h"
#include "state/board.h"

enum { TEXT_BYTES = 24, FIELDS_MAX = 256, POSITIONS_MAX = 400, DRAFT_MAX = 32, COPIES = 12 };

static const struct row_limit limits[] = {
    {.kpi = "t.rows", .rule = ROWS_TABLE, .cap = 100},
    {.kpi = "f.events", .rule = ROWS_FEED, .cap = 4},
    {.kpi = "s.points", .rule = ROWS_SERIES, .cap = 5},
};
enum { LIMIT_COUNT = sizeof limits / sizeof limits[0] };

struct stored {
    char field[TEXT_BYTES];
    char value[TEXT_BYTES];
    bool is_removed;
    uint64_t version;
    uint64_t rev;
};

struct store {
    struct position at;
    struct stored fields[FIELDS_MAX]; /* rising rev */
    size_t count;
    struct position known[POSITIONS_MAX]; /* rising, without `at` */
    size_t known_count;
    uint64_t floor;
};

static struct store the_store, other; /* large: not on the stack */

static void store_put(struct store *store, const char *field, const char *value, uint64_t version)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->fields[i].field, field) == 0) {
            store->count--;
            memmove(&store->fields[i], &store->fields[i + 1], (store->count - i) * sizeof store->fields[0]);
            break;
        }
    }
    assert_true(store->count < FIELDS_MAX);
    struct stored *stored = &store->fields[store->count++];
    memset(stored, 0, sizeof *stored);
    snprintf(stored->field, TEXT_BYTES, "%s", field);
    snprintf(stored->value, TEXT_BYTES, "%s", value ? value : "");
    stored->is_removed = !value;
    stored->version = version;
    stored->rev = ++store->at.offset;
}

static struct overlay_entry entry_of(const struct stored *stored)
{
    return (struct overlay_entry){
        .field = stored->field,
        .field_length = strlen(stored->field),
        .value = stored->is_removed ? NULL : stored->value,
        .value_length = strlen(stored->value),
        .rev = stored->rev,
    };
}

struct draft {
    char fields[DRAFT_MAX][TEXT_BYTES];
    char values[DRAFT_MAX][TEXT_BYTES]; /* "" = removed */
    size_t count;
};

static void draft_add(struct draft *draft, const char *field, const char *value)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->fields[i], field) == 0) {
            return;
        }
    }
    assert_true(draft->count < DRAFT_MAX);
    snprintf(draft->fields[draft->count], TEXT_BYTES, "%s", field);
    snprintf(draft->values[draft->count], TEXT_BYTES, "%s", value ? value : "");
    draft->count++;
}

/* Into the store, and as one publication into the board unless that is NULL: it hears nothing then. */
static void publish(struct store *store, struct board *board, const struct draft *draft,
                    struct chance *chance)
{
    struct position before = store->at;
    assert_true(store->known_count < POSITIONS_MAX);
    store->known[store->known_count++] = before;
    for (size_t i = 0; i < draft->count; i++) {
        store_put(store, draft->fields[i], draft->values[i][0] ? draft->values[i] : NULL, store->at.offset);
    }
    store->at.nonce = (uint32_t)chance_next(chance);
    if (!board) {
        return;
    }
    struct overlay publication;
    overlay_init(&publication);
    uint64_t versions[DRAFT_MAX];
    publication.from = before.offset;
    publication.to = store->at;
    for (size_t i = store->count - draft->count; i < store->count; i++) {
        versions[publication.count] = store->fields[i].version;
        const struct overlay_entry entry = entry_of(&store->fields[i]);
        assert_int_equal(overlay_add(&publication, &entry), RESULT_OK);
    }
    assert_int_equal(board_apply(board, &publication, versions, 5), RESULT_OK);
    overlay_finish(&publication);
}

/* What the boards trimmed goes, and some tombstones with a note of it. The board must be in step with the store. */
static void sweep(struct store *store, const struct board *board, struct chance *chance,
                  uint32_t tombstones_percent)
{
    for (size_t i = store->count; i-- > 0;) {
        const struct stored *stored = &store->fields[i];
        size_t length = 0;
        bool is_held = board_value(board, stored->field, strlen(stored->field), &length) != NULL;
        bool goes = stored->is_removed ? chance_percent(chance, tombstones_percent) : !is_held;
        if (!goes) {
            continue;
        }
        if (stored->is_removed && stored->rev > store->floor) {
            store->floor = stored->rev;
        }
        store->count--;
        memmove(&store->fields[i], &store->fields[i + 1], (store->count - i) * sizeof store->fields[0]);
    }
}

static void draw_up_something(struct draft *draft, struct chance *chance)
{
    char field[TEXT_BYTES];
    char value[TEXT_BYTES];
    for (uint32_t i = 1 + chance_below(chance, 4); i > 0; i--) {
        snprintf(value, sizeof value, "{\"v\":%u}", chance_below(chance, 100000));
        switch (chance_below(chance, 4)) {
        case 0:
            snprintf(field, sizeof field, "k.value%u", chance_below(chance, 10));
            draft_add(draft, field, value);
            break;
        case 1:
            snprintf(field, sizeof field, "t.rows#%u", chance_below(chance, 12));
            draft_add(draft, field, chance_percent(chance, 40) ? NULL : value);
            break;
        case 2:
            snprintf(field, sizeof field, "f.events#%u", chance_below(chance, 40));
            draft_add(draft, field, value);
            break;
        default:
            snprintf(field, sizeof field, "s.points#%03u", chance_below(chance, 40));
            draft_add(draft, field, value);
            break;
        }
    }
}

/* As a reload of definitions does: what is held of a KPI with rows leaves, what was trimmed is swept. */
static void draw_up_the_end_of_a_feed(struct draft *draft, struct store *store, const struct board *board,
                                      struct chance *chance)
{
    sweep(store, board, chance, 0);
    const char *kpi = chance_percent(chance, 50) ? "f.events" : "s.points";
    const void *cursor = NULL;
    struct overlay_entry row;
    while (board_next_row(board, kpi, strlen(kpi), &cursor, &row)) {
        draft_add(draft, row.field, NULL);
    }
}

static void change_something(struct store *store, struct board *board, struct chance *chance)
{
    struct draft draft = {.count = 0};
    if (board && chance_percent(chance, 3)) {
        draw_up_the_end_of_a_feed(&draft, store, board, chance);
    }
    if (draft.count == 0) {
        draw_up_something(&draft, chance);
    }
    publish(store, board, &draft, chance);
}

static struct board *board_open(const struct board_options *options)
{
    struct board *board = board_create("board", options, (struct position){.epoch = 0x77, .nonce = 1});
    assert_non_null(board);
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        assert_int_equal(board_set_rows(board, limits[i].kpi, limits[i].rule, limits[i].cap), RESULT_OK);
    }
    return board;
}

static void store_open(struct store *store)
{
    memset(store, 0, sizeof *store);
    store->at = (struct position){.epoch = 0x77, .nonce = 1};
}

static enum result reload(struct board *board, const struct store *store, size_t tail, bool *out_has_common,
                          uint64_t *out_common)
{
    struct overlay_entry entries[FIELDS_MAX];
    uint64_t versions[FIELDS_MAX];
    for (size_t i = 0; i < store->count; i++) {
        entries[i] = entry_of(&store->fields[i]);
        versions[i] = store->fields[i].version;
    }
    size_t known_count = tail < store->known_count ? tail : store->known_count;
    const struct board_image image = {
        .at = store->at,
        .entries = entries,
        .versions = versions,
        .count = store->count,
        .known = store->known + (store->known_count - known_count),
        .known_count = known_count,
        .floor = store->floor,
    };
    return board_reload(board, &image, 9, out_has_common, out_common);
}

static void reload_whole(struct board *board, const struct store *store, bool *out_has_common,
                         uint64_t *out_common)
{
    assert_int_equal(reload(board, store, SIZE_MAX, out_has_common, out_common), RESULT_OK);
}

/* What a viewer gets: one overlay where its cursor stays, else (or when the board cannot) a snapshot. */
static bool serve(const struct board *board, struct board_copy *copy, bool stays)
{
    struct overlay overlay;
    overlay_init(&overlay);
    int64_t at_ms = 0;
    stays = stays && board_overlay_since(board, copy->offset, &overlay, &at_ms) == RESULT_OK;
    if (!stays) {
        assert_int_equal(board_snapshot(board, &overlay), RESULT_OK);
        copy->has_position = false; /* another history: its offsets may lie below */
    }
    json_t *message = overlay_message(&overlay);
    assert_true(board_copy_take(copy, message));
    json_decref(message);
    overlay_finish(&overlay);
    return stays;
}

static bool is_known(const struct board *board, const struct board_copy *copy)
{
    struct position position = board_copy_position(copy);
    return board_knows(board, &position) == RESULT_OK;
}

/* Does the copy hold what the board does? As board_copy_assert_equal, without failing. */
static bool is_equal(const struct board_copy *copy, const struct board *board)
{
    struct board_copy fresh;
    board_copy_init(&fresh, limits, LIMIT_COUNT);
    serve(board, &fresh, false);
    bool equal = json_equal(fresh.fields, copy->fields);
    board_copy_finish(&fresh);
    return equal;
}

/* The board must be what one is that heard everything the store says from the start. */
static void assert_is_truth(const struct board *board, const struct store *store,
                            const struct board_options *options)
{
    struct board *fresh = board_open(options);
    bool has_common;
    uint64_t common;
    reload_whole(fresh, store, &has_common, &common);
    struct board_copy copy;
    board_copy_init(&copy, limits, LIMIT_COUNT);
    serve(fresh, &copy, false);
    board_copy_assert_equal(&copy, board);
    for (size_t i = 0; i < store->count; i++) {
        uint64_t version = 0;
        const char *field = store->fields[i].field;
        if (board_version(board, field, strlen(field), &version)) {
            assert_int_equal(version, store->fields[i].version);
        }
    }
    board_copy_finish(&copy);
    board_destroy(fresh);
}

struct tally {
    unsigned stayed, told, diverged_without_nonce;
};

/* With the nonce left out, this is what would count as common. */
static bool common_without_nonce(const struct store *before, const struct store *after, uint64_t *out_common)
{
    for (size_t i = after->known_count + 1; i-- > 0;) {
        uint64_t theirs = i == after->known_count ? after->at.offset : after->known[i].offset;
        for (size_t j = before->known_count + 1; j-- > 0;) {
            if ((j == before->known_count ? before->at.offset : before->known[j].offset) == theirs) {
                *out_common = theirs;
                return true;
            }
        }
    }
    return false;
}

static void copies_forget(struct board_copy *copies)
{
    for (int i = 0; i < COPIES; i++) {
        board_copy_finish(&copies[i]);
    }
}

/* Some history, a fork, two ways on: the board and its viewers go the first, then the second turns out true. */
static void run_failover(struct chance *chance, const struct board_options *options, struct tally *tally)
{
    struct board *board = board_open(options);
    struct board_copy copies[COPIES];
    store_open(&the_store);
    for (int i = 0; i < COPIES; i++) {
        board_copy_init(&copies[i], limits, LIMIT_COUNT);
        serve(board, &copies[i], false);
    }
    uint32_t before = chance_below(chance, 80);
    uint32_t lost = chance_below(chance, 12);
    for (uint32_t i = 0; i < before + lost; i++) {
        if (i == before) {
            other = the_store;
        }
        change_something(&the_store, board, chance);
        if (i < before && chance_percent(chance, 3)) {
            sweep(&the_store, board, chance, chance_below(chance, 60));
        }
        struct board_copy *copy = &copies[chance_below(chance, COPIES)];
        serve(board, copy, is_known(board, copy));
    }
    if (lost == 0) {
        other = the_store;
    }
    for (uint32_t i = chance_below(chance, 12); i > 0; i--) {
        change_something(&other, NULL, chance);
    }
    uint64_t forked_at = other.known_count > before ? other.known[before].offset : other.at.offset;
    uint64_t mistaken = 0;
    bool has_mistaken = common_without_nonce(&the_store, &other, &mistaken);
    bool has_common = false;
    uint64_t common = 0;
    size_t tail = chance_percent(chance, 70) ? SIZE_MAX : chance_below(chance, 15);
    assert_int_equal(reload(board, &other, tail, &has_common, &common), RESULT_OK);
    assert_true(!has_common || common <= forked_at);
    assert_true(tail != SIZE_MAX || options->max_positions < 100 || (has_common && common == forked_at));
    if (tail == SIZE_MAX) {
        assert_is_truth(board, &other, options);
    }
    for (int i = 0; i < COPIES; i++) {
        struct board_copy blind;
        board_copy_clone(&copies[i], &blind);
        if (has_mistaken && blind.offset <= mistaken && blind.offset > forked_at &&
            blind.offset <= other.at.offset && serve(board, &blind, true)) {
            tally->diverged_without_nonce += is_equal(&blind, board) ? 0 : 1;
        }
        board_copy_finish(&blind);
        /* Nobody beyond the fork finds its position known. */
        assert_true(copies[i].offset <= forked_at || !is_known(board, &copies[i]));
        if (i % 2 == 0) {
            continue; /* away: comes back with its position, below */
        }
        bool may_stay = has_common && copies[i].offset <= common;
        *(serve(board, &copies[i], may_stay) ? &tally->stayed : &tally->told) += 1;
        board_copy_assert_equal(&copies[i], board);
    }
    for (uint32_t i = chance_below(chance, 20); i > 0; i--) {
        change_something(&other, board, chance);
    }
    for (int i = 0; i < COPIES; i++) {
        serve(board, &copies[i], is_known(board, &copies[i]));
        board_copy_assert_equal(&copies[i], board);
    }
    copies_forget(copies);
    board_destroy(board);
}

static void test_after_a_failover_every_viewer_converges(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("failover", 11);
    struct tally tally = {.stayed = 0};
    for (int run = 0; run < 300; run++) {
        const struct board_options roomy = {
            .max_fields = 1000, .max_tombstones = 1000, .max_positions = 1000};
        run_failover(&chance, &roomy, &tally);
    }
    print_message("stayed %u, snapshots %u, would have diverged without the nonce %u\n", tally.stayed,
                  tally.told, tally.diverged_without_nonce);
    assert_true(tally.stayed > 500 && tally.told > 300);
    assert_true(tally.diverged_without_nonce > 10);
}

static void test_the_same_with_few_tombstones_and_positions(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("tight failover", 12);
    struct tally tally = {.stayed = 0};
    for (uint32_t run = 0; run < 300; run++) {
        const struct board_options tight = {.max_fields = 100,
                                            .max_tombstones = chance_below(&chance, 4),
                                            .max_positions = 1 + chance_below(&chance, 20)};
        run_failover(&chance, &tight, &tally);
    }
    assert_true(tally.stayed > 100 && tally.told > 300);
}

/* A node that loads the image answers viewers of the others, wherever they stand. */
static void test_a_board_that_starts_from_an_image_resumes_everyone_it_knows(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("newcomer", 13);
    const struct board_options options = {.max_fields = 1000, .max_tombstones = 30, .max_positions = 60};
    unsigned resumed = 0;
    for (int run = 0; run < 100; run++) {
        struct board *old = board_open(&options);
        struct board *young = board_open(&options);
        struct board_copy copies[COPIES];
        store_open(&the_store);
        for (int i = 0; i < COPIES; i++) {
            board_copy_init(&copies[i], limits, LIMIT_COUNT);
            serve(old, &copies[i], false);
        }
        for (int i = 0; i < 100; i++) {
            change_something(&the_store, old, &chance);
            struct board_copy *copy = &copies[chance_below(&chance, COPIES)];
            serve(old, copy, is_known(old, copy));
            if (chance_percent(&chance, 3)) {
                sweep(&the_store, old, &chance, 30);
            }
        }
        bool has_common;
        uint64_t common;
        reload_whole(young, &the_store, &has_common, &common);
        for (int i = 0; i < COPIES; i++) {
            resumed += serve(young, &copies[i], is_known(young, &copies[i])) ? 1 : 0;
            board_copy_assert_equal(&copies[i], young);
            board_copy_assert_equal(&copies[i], old);
        }
        copies_forget(copies);
        board_destroy(old);
        board_destroy(young);
    }
    assert_true(resumed > 300);
}

static void test_nothing_missed_means_nothing_told(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("nothing missed", 14);
    const struct board_options options = {.max_fields = 100, .max_tombstones = 10, .max_positions = 10};
    struct board *board = board_open(&options);
    store_open(&the_store);
    for (int i = 0; i < 30; i++) {
        change_something(&the_store, board, &chance);
    }
    bool has_common = false;
    uint64_t common = 0;
    assert_int_equal(reload(board, &the_store, 0, &has_common, &common), RESULT_OK);
    assert_true(has_common);
    assert_int_equal(common, the_store.at.offset);
    /* Positions from before are still known: the board keeps its own where both histories agree. */
    const struct position earlier = the_store.known[the_store.known_count - 3];
    assert_int_equal(board_knows(board, &earlier), RESULT_OK);
    board_destroy(board);
}

static void test_another_epoch_has_nothing_in_common(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("another epoch", 15);
    const struct board_options options = {.max_fields = 100, .max_tombstones = 10, .max_positions = 10};
    struct board *board = board_open(&options);
    store_open(&the_store);
    for (int i = 0; i < 10; i++) {
        change_something(&the_store, board, &chance);
    }
    const struct position before = board_position(board);
    the_store.at.epoch = 0x78;
    for (size_t i = 0; i < the_store.known_count; i++) {
        the_store.known[i].epoch = 0x78;
    }
    bool has_common = true;
    uint64_t common = 0;
    reload_whole(board, &the_store, &has_common, &common);
    assert_false(has_common);
    assert_int_equal(board_knows(board, &before), RESULT_UNKNOWN_POSITION);
    board_destroy(board);
}

static void test_a_board_that_could_not_load_says_so_and_keeps_nobody(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("no memory", 16);
    const struct board_options options = {.max_fields = 1000, .max_tombstones = 10, .max_positions = 100};
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct board *board = board_open(&options);
        store_open(&the_store);
        for (int j = 0; j < 10; j++) {
            change_something(&the_store, board, &chance);
        }
        struct board_copy copy;
        board_copy_init(&copy, limits, LIMIT_COUNT);
        serve(board, &copy, false);
        change_something(&the_store, NULL, &chance);
        bool has_common = true;
        uint64_t common = 0;
        allocations_fail_one_after(i);
        enum result result = reload(board, &the_store, SIZE_MAX, &has_common, &common);
        has_failed = allocations_recover();
        assert_int_equal(board_is_damaged(board), result != RESULT_OK);
        assert_true(result == RESULT_OK || !has_common);
        serve(board, &copy, has_common && copy.offset <= common);
        board_copy_assert_equal(&copy, board);
        change_something(&the_store, board, &chance);
        serve(board, &copy, true);
        reload_whole(board, &the_store, &has_common, &common);
        assert_false(board_is_damaged(board));
        assert_true(has_common ==
                    (result == RESULT_OK)); /* who was told a damaged board lacks what it lacked */
        serve(board, &copy, has_common && copy.offset <= common);
        board_copy_assert_equal(&copy, board);
        assert_is_truth(board, &the_store, &options);
        board_copy_finish(&copy);
        board_destroy(board);
    }
    /* Full is told in the same way. */
    const struct board_options small = {.max_fields = 3, .max_tombstones = 10, .max_positions = 100};
    struct board *board = board_open(&small);
    bool has_common = true;
    uint64_t common = 0;
    assert_int_equal(reload(board, &the_store, SIZE_MAX, &has_common, &common), RESULT_FULL);
    assert_false(has_common);
    board_destroy(board);
}

static void test_rows_that_came_before_their_rule_obey_it(void **state)
{
    (void)state;
    const struct board_options options = {.max_fields = 100, .max_tombstones = 10, .max_positions = 100};
    struct board *board = board_create("board", &options, (struct position){.epoch = 0x77, .nonce = 1});
    struct chance chance = chance_seeded("late rule", 17);
    store_open(&the_store);
    for (int i = 0; i < 9; i++) {
        struct draft draft = {.count = 0};
        char field[TEXT_BYTES];
        snprintf(field, sizeof field, "f.events#%d", i);
        draft_add(&draft, field, "{\"v\":1}");
        publish(&the_store, board, &draft, &chance);
    }
    struct board_copy lagging;
    board_copy_init(&lagging, limits, 0); /* its page knows no rule yet either */
    serve(board, &lagging, false);
    lagging.limits = limits;
    lagging.limit_count = LIMIT_COUNT;
    assert_int_equal(board_set_rows(board, "f.events", ROWS_FEED, 4), RESULT_OK);
    assert_int_equal(board_row_count(board, "f.events", 8), 9);
    struct draft draft = {.count = 0};
    draft_add(&draft, "f.events#9", "{\"v\":1}");
    publish(&the_store, board, &draft, &chance);
    assert_int_equal(board_row_count(board, "f.events", 8), 4);
    serve(board, &lagging, true);
    board_copy_assert_equal(&lagging, board);
    board_copy_finish(&lagging);
    board_destroy(board);
}

static void test_a_restart_keeps_fields_and_forgets_positions(void **state)
{
    (void)state;
    struct chance chance = chance_seeded("restart", 18);
    const struct board_options options = {.max_fields = 100, .max_tombstones = 10, .max_positions = 100};
    struct board *board = board_open(&options);
    store_open(&the_store);
    for (int i = 0; i < 30; i++) {
        change_something(&the_store, board, &chance);
    }
    struct draft draft = {.count = 0};
    draft_add(&draft, "k.gone", "{\"v\":1}");
    draft_add(&draft, "k.kept", "{\"v\":2}");
    draft_add(&draft, "f.events#gone", "{\"v\":3}");
    publish(&the_store, board, &draft, &chance);
    const struct position before = board_position(board);
    size_t fields = board_field_count(board);
    size_t rows = board_row_count(board, "f.events", 8);
    const struct position at = {.epoch = 0x99, .offset = before.offset + 1, .nonce = 5};
    board_restart(board, at);
    board_drop(board, "k.gone", 6);
    board_drop(board, "f.events#gone", 13);
    board_drop(board, "k.never", 7);
    board_set_version(board, "k.kept", 6, 0);
    const struct position now = board_position(board);
    assert_true(position_equal(&now, &at));
    assert_int_equal(board_knows(board, &before), RESULT_UNKNOWN_POSITION);
    assert_int_equal(board_knows(board, &at), RESULT_OK);
    assert_int_equal(board_field_count(board), fields - 2);
    assert_int_equal(board_row_count(board, "f.events", 8), rows - 1);
    uint64_t version = 9;
    assert_false(board_version(board, "k.gone", 6, &version)); /* not even a tombstone */
    assert_true(board_version(board, "k.kept", 6, &version));
    assert_int_equal(version, 0);
    struct board_copy copy;
    board_copy_init(&copy, limits, LIMIT_COUNT);
    serve(board, &copy, false);
    the_store.at = at;
    change_something(&the_store, board, &chance);
    serve(board, &copy, true);
    board_copy_assert_equal(&copy, board);
    board_copy_finish(&copy);
    board_destroy(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_failover_every_viewer_converges),
        cmocka_unit_test(test_the_same_with_few_tombstones_and_positions),
        cmocka_unit_test(test_a_board_that_starts_from_an_image_resumes_everyone_it_knows),
        cmocka_unit_test(test_nothing_missed_means_nothing_told),
        cmocka_unit_test(test_another_epoch_has_nothing_in_common),
        cmocka_unit_test(test_a_board_that_could_not_load_says_so_and_keeps_nobody),
        cmocka_unit_test(test_rows_that_came_before_their_rule_obey_it),
        cmocka_unit_test(test_a_restart_keeps_fields_and_forgets_positions),
    };
    return cmocka_run_group_tests_name("board_reload", tests, NULL, NULL);
}
