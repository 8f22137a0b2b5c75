/* Version rules, numbering, one publication per submission, and what a failed allocation leaves behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/allocations.h"
#include "journal/memory_journal.h"

enum { FIELDS = 8, NAME_BYTES = 16, TEXT_BYTES = 16 };

/* Stands for the board: fields "k.0" to "k.7" and the newest publication. */
struct host {
    bool is_known[FIELDS];
    char texts[FIELDS][TEXT_BYTES]; /* "" = removed */
    uint64_t versions[FIELDS];
    unsigned publications;
    unsigned dones;
    bool may_step_back; /* versions need not rise: they are kept or forgotten */
    unsigned restarts;
    const struct journal_restart *restart; /* the newest */
    struct position from;                  /* where the newest publication had to begin */
    struct position to;
    size_t count;
    char fields[FIELDS * 4][NAME_BYTES];
    char values[FIELDS * 4][TEXT_BYTES]; /* "" = removed */
};

static size_t index_of(const char *field)
{
    return (size_t)(field[2] - '0');
}

static bool known_version(void *context, const char *board, const char *field, size_t field_length,
                          uint64_t *out_version)
{
    const struct host *host = context;
    (void)board;
    assert_int_equal(field_length, 3);
    *out_version = host->versions[index_of(field)];
    return host->is_known[index_of(field)];
}

static bool is_same(void *context, const char *board, const char *field, size_t field_length,
                    const char *value, size_t value_length, uint64_t version)
{
    struct host *host = context;
    size_t at = index_of(field);
    (void)board;
    assert_int_equal(field_length, 3);
    if (strlen(host->texts[at]) != value_length || memcmp(host->texts[at], value, value_length) != 0) {
        return false;
    }
    host->versions[at] = version;
    return true;
}

static void on_publication(void *context, const char *board, const struct overlay *publication,
                           const uint64_t *versions)
{
    struct host *host = context;
    assert_string_equal(board, "board");
    assert_false(publication->is_snapshot);
    assert_true(publication->count > 0);
    assert_int_equal(publication->from, host->from.offset);
    assert_true(publication->to.epoch == host->from.epoch);
    uint64_t rev = publication->from;
    bool is_seen[FIELDS] = {false};
    for (size_t i = 0; i < publication->count; i++) {
        const struct overlay_entry *entry = &publication->entries[i];
        size_t at = index_of(entry->field);
        assert_true(entry->rev > rev && entry->rev <= publication->to.offset);
        assert_false(is_seen[at]);
        assert_true(!host->is_known[at] || host->may_step_back || versions[i] > host->versions[at]);
        is_seen[at] = true;
        rev = entry->rev;
        host->is_known[at] = true;
        host->versions[at] = versions[i];
        snprintf(host->texts[at], TEXT_BYTES, "%.*s", (int)entry->value_length,
                 entry->value ? entry->value : "");
        snprintf(host->fields[i], NAME_BYTES, "%.*s", (int)entry->field_length, entry->field);
        snprintf(host->values[i], TEXT_BYTES, "%.*s", (int)entry->value_length,
                 entry->value ? entry->value : "");
    }
    assert_int_equal(rev, publication->to.offset); /* the last change is always told */
    host->count = publication->count;
    host->from = host->to = publication->to;
    host->publications++;
}

static void on_restart(void *context, const struct position *at, const struct journal_restart *restart)
{
    struct host *host = context;
    assert_true(at->epoch != host->from.epoch && at->epoch != 0);
    assert_true(at->offset > host->from.offset); /* what viewers hold has lower revs */
    host->from = host->to = *at;
    host->restart = restart;
    host->restarts++;
}

static void on_restarted(void *context, enum result outcome)
{
    *(enum result *)context = outcome;
}

static void on_done(void *context, struct journal_item *items, size_t count)
{
    struct host *host = context;
    (void)items;
    assert_true(count > 0);
    host->dones++;
}

static struct journal *journal_for(struct host *host)
{
    memset(host, 0, sizeof *host);
    const struct journal_host table = {.context = host,
                                       .known_version = known_version,
                                       .is_same = is_same,
                                       .on_publication = on_publication,
                                       .on_restart = on_restart};
    struct journal *journal = memory_journal_create(&table, 2);
    assert_non_null(journal);
    assert_int_equal(journal_open(journal, "board", &host->from), RESULT_OK);
    assert_int_equal(host->from.offset, 0);
    assert_true(host->from.epoch != 0);
    return journal;
}

static struct journal_item item(const char *field, const char *value, uint64_t version)
{
    return (struct journal_item){
        .field = field,
        .field_length = strlen(field),
        .value = value,
        .value_length = value ? strlen(value) : 0,
        .rule = version ? VERSION_GIVEN : VERSION_NEXT,
        .version = version,
        .outcome = RESULT_UNAVAILABLE,
    };
}

static void submit_from(struct journal *journal, struct host *host, const char *lineage,
                        struct journal_item *items, size_t count)
{
    unsigned dones = host->dones;
    const struct journal_transaction transaction = {
        .board = "board", .items = items, .count = count, .lineage = lineage};
    journal_submit(journal, &transaction, on_done, host);
    assert_int_equal(host->dones, dones + 1);
}

static void submit(struct journal *journal, struct host *host, struct journal_item *items, size_t count)
{
    submit_from(journal, host, NULL, items, count);
}

static enum result submit_one(struct journal *journal, struct host *host, const char *field,
                              const char *value, uint64_t version)
{
    struct journal_item one = item(field, value, version);
    submit(journal, host, &one, 1);
    return one.outcome;
}

static void test_a_newer_version_wins_and_others_are_told_so(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 5), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.0", "{2}", 5), RESULT_UNCHANGED);
    assert_int_equal(submit_one(journal, &host, "k.0", "{2}", 4), RESULT_OLDER);
    assert_int_equal(host.publications, 1);
    assert_int_equal(submit_one(journal, &host, "k.0", "{3}", 6), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.0", NULL, 6), RESULT_UNCHANGED);
    assert_int_equal(submit_one(journal, &host, "k.0", NULL, 7), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.0", "{4}", 7), RESULT_UNCHANGED);
    assert_int_equal(host.publications, 3);
    assert_int_equal(host.to.offset, 3);
    journal_destroy(journal);
}

static void test_the_same_text_is_not_told_again_but_its_version_counts(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    assert_int_equal(submit_one(journal, &host, "k.0", "{a}", 1), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.0", "{a}", 3), RESULT_UNCHANGED);
    assert_int_equal(submit_one(journal, &host, "k.0", "{b}", 2), RESULT_OLDER);
    assert_int_equal(host.publications, 1);
    assert_int_equal(host.versions[0], 3);
    struct journal_item items[] = {item("k.0", "{b}", 4), item("k.0", "{b}", 6), item("k.0", "{c}", 5),
                                   item("k.0", "{b}", 0)};
    submit(journal, &host, items, 4);
    assert_int_equal(items[0].outcome, RESULT_OK);
    assert_int_equal(items[1].outcome, RESULT_UNCHANGED);
    assert_int_equal(items[2].outcome, RESULT_OLDER);
    assert_int_equal(items[3].outcome, RESULT_UNCHANGED);
    assert_int_equal(host.versions[0], 7);
    assert_int_equal(host.to.offset, 2);
    struct journal_item back[] = {item("k.0", NULL, 8),
                                  item("k.0", "{b}", 9)}; /* what is gone is not the same */
    submit(journal, &host, back, 2);
    assert_int_equal(back[1].outcome, RESULT_OK);
    assert_string_equal(host.texts[0], "{b}");
    journal_destroy(journal);
}

static void test_without_a_version_the_last_to_arrive_wins(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 0), RESULT_OK);
    assert_int_equal(host.versions[0], 1);
    assert_int_equal(submit_one(journal, &host, "k.0", "{2}", 0), RESULT_OK);
    assert_int_equal(host.versions[0], 2);
    assert_int_equal(submit_one(journal, &host, "k.1", "{1}", 70), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.1", "{2}", 0), RESULT_OK);
    assert_int_equal(host.versions[1], 71);
    assert_string_equal(host.values[0], "{2}");
    journal_destroy(journal);
}

static void test_one_submission_is_one_publication_with_rising_revs(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct position start = host.from;
    struct journal_item items[] = {item("k.0", "{0}", 0), item("k.1", NULL, 0), item("k.2", "{2}", 9)};
    submit(journal, &host, items, 3);
    assert_int_equal(host.publications, 1);
    assert_int_equal(host.count, 3);
    assert_int_equal(host.to.offset, 3);
    assert_true(host.to.epoch == start.epoch);
    assert_string_equal(host.values[1], "");
    struct position first = host.to;
    items[0] = item("k.0", "{1}", 0);
    submit(journal, &host, items, 1);
    assert_true(host.to.nonce != first.nonce || host.to.offset != first.offset);
    struct journal_item refused[] = {item("k.2", "{3}", 9), item("k.2", "{3}", 8)};
    submit(journal, &host, refused, 2); /* nothing to tell: no publication, no offset */
    assert_int_equal(host.publications, 2);
    assert_int_equal(refused[0].outcome, RESULT_UNCHANGED);
    assert_int_equal(refused[1].outcome, RESULT_OLDER);
    assert_int_equal(submit_one(journal, &host, "k.2", "{4}", 10), RESULT_OK);
    assert_int_equal(host.to.offset, 5);
    journal_destroy(journal);
}

static void test_a_field_named_twice_leaves_once_with_its_last_value(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct journal_item items[] = {
        item("k.0", "{a}", 3), item("k.1", "{x}", 0), item("k.0", "{b}", 2), item("k.0", "{c}", 3),
        item("k.0", "{d}", 4), item("k.1", NULL, 0),  item("k.1", "{y}", 0), item("k.0", "{e}", 0),
    };
    submit(journal, &host, items, 8);
    const enum result expected[] = {RESULT_OK, RESULT_OK, RESULT_OLDER, RESULT_UNCHANGED,
                                    RESULT_OK, RESULT_OK, RESULT_OK,    RESULT_OK};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(items[i].outcome, expected[i]);
    }
    assert_int_equal(host.count, 2);
    assert_string_equal(host.fields[0], "k.1");
    assert_string_equal(host.values[0], "{y}");
    assert_string_equal(host.fields[1], "k.0");
    assert_string_equal(host.values[1], "{e}");
    assert_int_equal(host.versions[0], 5);
    assert_int_equal(host.versions[1], 3);
    assert_int_equal(host.to.offset, 6);
    journal_destroy(journal);
}

static void test_boards_have_their_own_order_and_a_cap(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct position other, third, again;
    assert_int_equal(journal_open(journal, "other", &other), RESULT_OK);
    assert_true(other.epoch != host.from.epoch);
    assert_int_equal(journal_open(journal, "third", &third), RESULT_FULL);
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 0), RESULT_OK);
    /* Opened again, its board is empty: whoever holds the old values must not find its position known. */
    assert_int_equal(journal_open(journal, "board", &again), RESULT_OK);
    assert_true(again.epoch != host.to.epoch);
    assert_int_equal(again.offset, 0);
    host.from = again;
    memset(host.texts, 0, sizeof host.texts);
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 0), RESULT_OK);
    assert_int_equal(host.to.offset, 1);
    assert_false(journal->is_durable);
    journal_destroy(journal);
    journal_destroy(NULL);
}

static struct journal_item ruled(const char *field, const char *value, enum version_rule rule,
                                 uint64_t version)
{
    struct journal_item one = item(field, value, version);
    one.rule = rule;
    return one;
}

static void test_a_kept_version_stays_and_is_a_condition(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    host.may_step_back = true;
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 5), RESULT_OK);
    struct journal_item mark = ruled("k.0", "{!}", VERSION_KEPT, 4);
    submit(journal, &host, &mark, 1);
    assert_int_equal(mark.outcome, RESULT_OLDER); /* the value it marks is gone */
    mark.version = 5;
    submit(journal, &host, &mark, 1);
    assert_int_equal(mark.outcome, RESULT_OK);
    assert_int_equal(host.versions[0], 5);
    assert_string_equal(host.values[0], "{!}");
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 5), RESULT_UNCHANGED);
    struct journal_item unknown[] = {ruled("k.1", "{!}", VERSION_KEPT, 1),
                                     ruled("k.1", "{!}", VERSION_KEPT, 0), item("k.1", "{1}", 1)};
    submit(journal, &host, unknown, 3);
    assert_int_equal(unknown[0].outcome, RESULT_OLDER);
    assert_int_equal(unknown[1].outcome, RESULT_OK);
    assert_int_equal(unknown[2].outcome, RESULT_OK);
    /* Items see what earlier ones of their transaction did. */
    struct journal_item both[] = {item("k.2", "{1}", 9), ruled("k.2", "{!}", VERSION_KEPT, 9),
                                  ruled("k.2", "{?}", VERSION_KEPT, 0)};
    submit(journal, &host, both, 3);
    assert_int_equal(both[1].outcome, RESULT_OK);
    assert_int_equal(both[2].outcome, RESULT_OLDER);
    assert_int_equal(host.versions[2], 9);
    assert_string_equal(host.values[0], "{!}");
    journal_destroy(journal);
}

static void test_after_a_forgotten_version_any_is_news(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    host.may_step_back = true;
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 50), RESULT_OK);
    struct journal_item gone = ruled("k.0", NULL, VERSION_FORGOTTEN, 0);
    submit(journal, &host, &gone, 1);
    assert_int_equal(gone.outcome, RESULT_OK);
    assert_int_equal(host.versions[0], 0);
    assert_string_equal(host.values[0], "");
    assert_int_equal(submit_one(journal, &host, "k.0", "{1}", 1), RESULT_OK);
    assert_int_equal(submit_one(journal, &host, "k.1", "{1}", 0), RESULT_OK);
    struct journal_item filled =
        ruled("k.3", "{1}", VERSION_GIVEN, 0); /* none is known: even the lowest is news */
    submit(journal, &host, &filled, 1);
    assert_int_equal(filled.outcome, RESULT_OK);
    journal_destroy(journal);
}

static void test_a_board_keeps_to_the_lineage_it_was_told_first(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct journal_item items[] = {item("k.0", "{1}", 5), item("k.1", "{1}", 5)};
    submit_from(journal, &host, "a/1", items, 2);
    assert_int_equal(items[0].outcome, RESULT_OK);
    items[0] = item("k.0", "{2}", 6);
    items[1] = item("k.1", "{2}", 4);
    submit_from(journal, &host, "a/2", items, 2);
    assert_int_equal(items[0].outcome, RESULT_OTHER_LINEAGE);
    assert_int_equal(items[1].outcome, RESULT_OTHER_LINEAGE);
    assert_int_equal(host.publications, 1);
    submit(journal, &host, items, 1); /* a producer without a history of its own */
    assert_int_equal(items[0].outcome, RESULT_OK);
    items[0] = item("k.0", "{3}", 7);
    submit_from(journal, &host, "a/1", items, 1);
    assert_int_equal(items[0].outcome, RESULT_OK);
    journal_destroy(journal);
}

static void test_a_restart_begins_a_new_epoch_under_a_new_lineage(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct journal_item one = item("k.0", "{1}", 5);
    submit_from(journal, &host, "a/1", &one, 1);
    const struct journal_field removed = {.field = "k.0", .field_length = 3};
    struct journal_restart restart = {
        .board = "board", .lineage = "a/1", .removed = &removed, .removed_count = 1};
    enum result outcome = RESULT_IO;
    journal_restart(journal, &restart, on_restarted, &outcome);
    assert_int_equal(outcome, RESULT_UNCHANGED);
    assert_int_equal(host.restarts, 0);
    restart.lineage = "a/2";
    journal_restart(journal, &restart, on_restarted, &outcome);
    assert_int_equal(outcome, RESULT_OK);
    assert_int_equal(host.restarts, 1);
    assert_ptr_equal(host.restart, &restart);
    submit_from(journal, &host, "a/1", &one, 1);
    assert_int_equal(one.outcome, RESULT_OTHER_LINEAGE);
    one = item("k.0", "{2}", 6);
    submit_from(journal, &host, "a/2", &one, 1);
    assert_int_equal(one.outcome, RESULT_OK);
    journal_destroy(journal);
}

static void test_a_closed_board_leaves_its_place_and_its_lineage(void **state)
{
    (void)state;
    struct host host;
    struct journal *journal = journal_for(&host);
    struct position other;
    assert_int_equal(journal_open(journal, "other", &other), RESULT_OK);
    struct journal_item one = item("k.0", "{1}", 5);
    submit_from(journal, &host, "a/1", &one, 1);
    journal_close(journal, "other");
    journal_close(journal, "never opened");
    assert_int_equal(journal_open(journal, "third", &other), RESULT_OK);
    journal_close(journal, "board");
    memset(&host, 0, sizeof host);
    assert_int_equal(journal_open(journal, "board", &host.from), RESULT_OK);
    submit_from(journal, &host, "a/2", &one, 1);
    assert_int_equal(one.outcome, RESULT_OK);
    assert_false(journal->is_shared);
    journal_destroy(journal);
}

static void test_opening_survives_every_failed_allocation(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        const struct journal_host table = {.known_version = known_version, .on_publication = on_publication};
        struct position at;
        allocations_fail_one_after(i);
        struct journal *journal = memory_journal_create(&table, 2);
        bool is_open = journal && journal_open(journal, "board", &at) == RESULT_OK;
        has_failed = allocations_recover();
        assert_true(is_open != has_failed);
        journal_destroy(journal);
    }
}

static void test_lineages_survive_every_failed_allocation(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct host host;
        struct journal *journal = journal_for(&host);
        struct journal_item one = item("k.0", "{1}", 5);
        const struct journal_restart restart = {.board = "board", .lineage = "a/2"};
        enum result outcome = RESULT_IO;
        allocations_fail_one_after(i);
        submit_from(journal, &host, "a/1", &one, 1);
        journal_restart(journal, &restart, on_restarted, &outcome);
        has_failed = allocations_recover();
        assert_true(one.outcome == RESULT_OK || (has_failed && one.outcome == RESULT_NO_MEMORY));
        assert_true(outcome == RESULT_OK || (has_failed && outcome == RESULT_NO_MEMORY));
        assert_int_equal(host.restarts, outcome == RESULT_OK ? 1 : 0);
        journal_restart(journal, &restart, on_restarted, &outcome);
        assert_int_equal(host.restarts, 1);
        journal_destroy(journal);
    }
}

/* An item is accepted and published, or told no_memory: never one without the other. */
static void test_a_submission_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        bool has_failed = true;
        for (int i = 0; has_failed; i++) {
            struct host host;
            struct journal *journal = journal_for(&host);
            struct journal_item items[20];
            char names[20][NAME_BYTES];
            char values[20][TEXT_BYTES];
            for (size_t j = 0; j < 20; j++) {
                snprintf(names[j], NAME_BYTES, "k.%zu", j % FIELDS);
                snprintf(values[j], TEXT_BYTES, "{1%zu}", j);
                items[j] = item(names[j], values[j], 0);
            }
            if (for_good) {
                allocations_fail_all_after(i);
            } else {
                allocations_fail_one_after(i);
            }
            submit(journal, &host, items, 20);
            has_failed = allocations_recover();
            size_t accepted = 0;
            for (size_t j = 0; j < 20; j++) {
                assert_true(items[j].outcome == RESULT_OK || items[j].outcome == RESULT_NO_MEMORY);
                accepted += items[j].outcome == RESULT_OK ? 1 : 0;
                assert_true(items[j].outcome != RESULT_OK || host.is_known[j % FIELDS]);
            }
            assert_int_equal(accepted, host.to.offset);
            assert_int_equal(host.publications, accepted > 0 ? 1 : 0);
            assert_true(has_failed || accepted == 20);
            assert_int_equal(submit_one(journal, &host, "k.0", "{2}", 0), RESULT_OK);
            assert_int_equal(host.to.offset, accepted + 1);
            journal_destroy(journal);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_newer_version_wins_and_others_are_told_so),
        cmocka_unit_test(test_the_same_text_is_not_told_again_but_its_version_counts),
        cmocka_unit_test(test_without_a_version_the_last_to_arrive_wins),
        cmocka_unit_test(test_one_submission_is_one_publication_with_rising_revs),
        cmocka_unit_test(test_a_field_named_twice_leaves_once_with_its_last_value),
        cmocka_unit_test(test_boards_have_their_own_order_and_a_cap),
        cmocka_unit_test(test_a_kept_version_stays_and_is_a_condition),
        cmocka_unit_test(test_after_a_forgotten_version_any_is_news),
        cmocka_unit_test(test_a_board_keeps_to_the_lineage_it_was_told_first),
        cmocka_unit_test(test_a_restart_begins_a_new_epoch_under_a_new_lineage),
        cmocka_unit_test(test_a_closed_board_leaves_its_place_and_its_lineage),
        cmocka_unit_test(test_opening_survives_every_failed_allocation),
        cmocka_unit_test(test_lineages_survive_every_failed_allocation),
        cmocka_unit_test(test_a_submission_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("memory_journal", tests, NULL, NULL);
}
