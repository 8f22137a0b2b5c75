/*
 * The pipeline over a journal that others submit to and that answers when it likes: two nodes on one store, held calls,
 * exchanged boards, definitions that change meanwhile.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/memory_journal.h"
#include "pipeline.h"
#include "support/allocations.h"
#include "support/board_copy.h"
#include "support/chance.h"
#include "support/definition_set.h"
#include "support/fake_loop.h"
#include "support/fake_viewer.h"
#include "support/shared_journal.h"

static const struct row_limit limits[] = {
    {.kpi = "s.deals", .rule = ROWS_TABLE, .cap = TABLE_CAP},
    {.kpi = "s.events", .rule = ROWS_FEED, .cap = FEED_CAP},
    {.kpi = "s.line", .rule = ROWS_SERIES, .cap = SERIES_CAP},
};
enum { LIMIT_COUNT = sizeof limits / sizeof limits[0], SUBMITS_MAX = 16 };

#define OWN                                                                  \
    "{\"id\": \"s.own\", \"type\": \"gauge\", \"unit\": \"number\", " COMMON \
    ", \"source\": {\"kind\": \"internal\", \"metric\": \"gw_x\"}, \"class\": \"quick\"}"

static const struct board_text both_boards[] = {{"main", "s.total s.slow s.usual s.deals s.events s.line"},
                                                {"side", "s.total s.copy"},
                                                {"mine", "s.own s.usual"},
                                                {NULL, NULL}};
static const struct board_text main_only[] = {{"main", "s.total s.usual"}, {NULL, NULL}};
#define EVERY_KPI ALL_KPIS "," OWN

static struct fake_loop *the_loop; /* pipeline_options.now has no context */

static struct moment loop_now(void)
{
    return the_loop->now;
}

/* One submission and its answer. */
struct submit {
    struct submission_item *items;
    size_t count;
    unsigned dones;
    char outcomes[1024];
};

struct node {
    struct fake_loop loop;
    struct journal *local;
    struct shared_journal *shared;
    struct pipeline *pipeline;
    struct submit submits[SUBMITS_MAX];
    size_t submit_count;
};

static void node_put_in_force(struct node *node, const char *kpis, const struct board_text *boards)
{
    struct catalog *catalog = catalog_of(kpis, boards);
    assert_int_equal(pipeline_set_catalog(node->pipeline, catalog), RESULT_OK);
    catalog_unref(catalog);
    fake_loop_turn(&node->loop);
}

static const char *const every_role[] = {"*", NULL};

/* Not attached yet. */
static void node_open(struct node *node, struct shared_store *store)
{
    memset(node, 0, sizeof *node);
    const struct pipeline_options options = {
        .max_boards = 8,
        .max_kpis = 20,
        .max_fields_per_board = 2000,
        .max_tombstones_per_board = 100,
        .max_positions_per_board = 100,
        .audience = {.open_roles = every_role, .business_roles = every_role},
        .max_text_bytes_per_board = 1000000,
        .coalesce_ms = 50,
        .now = loop_now,
    };
    fake_loop_open(&node->loop, 50, 10000);
    the_loop = &node->loop;
    node->pipeline = pipeline_create(&options, node->loop.hub, node->loop.metrics);
    assert_non_null(node->pipeline);
    const struct journal_host host = pipeline_journal_host(node->pipeline);
    node->local = memory_journal_create(&host, 8);
    assert_non_null(node->local);
    node->shared = shared_journal_create(store, &host);
    pipeline_set_journals(node->pipeline, node->local, shared_journal_base(node->shared));
    node_put_in_force(node, EVERY_KPI, both_boards);
}

static void submits_forget(struct node *node)
{
    for (size_t i = 0; i < node->submit_count; i++) {
        struct submit *submit = &node->submits[i];
        assert_int_equal(submit->dones, 1);
        for (size_t j = 0; j < submit->count; j++) {
            change_finish(&submit->items[j].change);
        }
        free(submit->items);
    }
    node->submit_count = 0;
}

static void node_close(struct node *node)
{
    pipeline_set_journals(node->pipeline, NULL, NULL);
    journal_destroy(shared_journal_base(node->shared));
    journal_destroy(node->local);
    submits_forget(node);
    pipeline_destroy(node->pipeline);
    fake_loop_close(&node->loop);
}

static void on_done(void *context, struct submission_item *items, size_t count)
{
    struct submit *submit = context;
    assert_ptr_equal(items, submit->items);
    assert_int_equal(count, submit->count);
    submit->dones++;
    submit->outcomes[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(submit->outcomes);
        snprintf(submit->outcomes + used, sizeof submit->outcomes - used, "%s%s", used ? " " : "",
                 result_name(items[i].outcome));
    }
}

static struct submit *begin_from(struct node *node, const char *lineage, const char *array)
{
    if (node->submit_count == SUBMITS_MAX) {
        submits_forget(node);
    }
    struct submit *submit = &node->submits[node->submit_count++];
    memset(submit, 0, sizeof *submit);
    json_error_t error;
    json_t *changes = json_loads(array, 0, &error);
    if (!changes) {
        fail_msg("%s in %s", error.text, array);
    }
    submit->count = json_array_size(changes);
    submit->items = calloc(submit->count + 1, sizeof *submit->items);
    for (size_t i = 0; i < submit->count; i++) {
        const char *problem = NULL;
        assert_int_equal(change_decode(json_array_get(changes, i), &submit->items[i].change, &problem),
                         RESULT_OK);
    }
    json_decref(changes);
    the_loop = &node->loop;
    pipeline_submit_from(node->pipeline, lineage, submit->items, submit->count, on_done, submit);
    return submit;
}

static struct submit *begin(struct node *node, const char *array)
{
    return begin_from(node, NULL, array);
}

static void expect(const struct submit *submit, const char *outcomes)
{
    assert_int_equal(submit->dones, 1);
    assert_string_equal(submit->outcomes, outcomes);
}

static struct board_copy *join(struct node *node, struct fake_viewer *fake, const char *board)
{
    fake_viewer_open(fake, node->loop.hub, WIRE_WS);
    struct board_copy *copy = fake_viewer_watch(fake, board, limits, LIMIT_COUNT);
    const struct viewer_quality quality = {.has_max_rate = false};
    the_loop = &node->loop;
    assert_int_equal(pipeline_join(node->pipeline, fake->viewer, board, NULL, &quality), RESULT_OK);
    fake_viewer_forget(fake);
    return copy;
}

/* ---- attaching ---- */

static const struct source_health *journal_health(const struct node *node)
{
    const struct source_health *sources = NULL;
    size_t count = hub_sources(node->loop.hub, &sources);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sources[i].name, "journal") == 0) {
            return &sources[i];
        }
    }
    fail_msg("the journal is not reported");
    return NULL;
}

static void test_nothing_is_taken_while_the_journal_is_detached(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    assert_int_equal(pipeline_generation(node.pipeline), 0);
    assert_false(pipeline_has_been_attached(node.pipeline));
    assert_false(journal_health(&node)->is_up);
    expect(begin(&node, "[" CHANGE("s.slow", "1") "," CHANGE("s.unknown", "1") "]"),
           "unavailable unknown_field");
    expect(begin(&node, "[" CHANGE("s.own", "1") "]"), "ok"); /* ordered in this process */
    shared_journal_attach(node.shared);
    uint64_t first = pipeline_generation(node.pipeline);
    assert_true(first > 0);
    assert_true(journal_health(&node)->is_up);
    expect(begin(&node, "[" CHANGE("s.slow", "1") "]"), "ok");
    shared_journal_detach(node.shared, "redis is away");
    assert_int_equal(pipeline_generation(node.pipeline), 0);
    assert_true(pipeline_has_been_attached(node.pipeline));
    assert_string_equal(journal_health(&node)->reason, "redis is away");
    expect(begin(&node, "[" CHANGE("s.slow", "2") "]"), "unavailable");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.slow"),
                        "{\"as_of\":1000,\"v\":1}"); /* still served */
    shared_journal_attach(node.shared);
    assert_true(pipeline_generation(node.pipeline) > first);
    node_close(&node);
    shared_store_destroy(store);
}

static void test_an_item_is_not_ok_while_one_of_its_boards_missed_it(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    /* s.usual is on a board of each journal. */
    expect(begin(&node, "[" CHANGE("s.usual", "1") "]"), "unavailable");
    shared_journal_attach(node.shared);
    expect(begin(&node, "[" CHANGE("s.usual", "1") "]"), "ok");
    assert_string_equal(fake_loop_value(&node.loop, "mine", "s.usual"),
                        fake_loop_value(&node.loop, "main", "s.usual"));
    node_close(&node);
    shared_store_destroy(store);
}

/* ---- several nodes ---- */

static void test_what_one_node_takes_every_node_shows(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node a, b;
    node_open(&a, store);
    node_open(&b, store);
    shared_journal_attach(a.shared);
    shared_journal_attach(b.shared);
    struct fake_viewer fake;
    struct board_copy *copy = join(&b, &fake, "main");
    expect(begin(&a, "[" CHANGE_V("s.total", "7", "3") "," CHANGE("s.own", "1") "]"), "ok ok");
    the_loop = &b.loop;
    fake_loop_pass(&b.loop, 100);
    board_copy_assert_equal(copy, fake_loop_board(&b.loop, "main"));
    assert_string_equal(fake_loop_value(&b.loop, "side", "s.copy"), "{\"as_of\":1000,\"v\":7,\"ver\":3}");
    assert_string_equal(fake_loop_value(&b.loop, "mine", "s.own"), "(none)"); /* each process has its own */
    expect(begin(&b, "[" CHANGE_V("s.total", "7", "3") "," CHANGE_V("s.total", "6", "2") "]"),
           "unchanged older");
    struct position at = board_position(fake_loop_board(&a.loop, "main"));
    struct position there = board_position(fake_loop_board(&b.loop, "main"));
    assert_true(position_equal(&at, &there));
    fake_viewer_close(&fake);
    node_close(&a);
    node_close(&b);
    shared_store_destroy(store);
}

static void test_a_node_that_starts_gets_the_board_and_knows_its_positions(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node a, b;
    node_open(&a, store);
    shared_journal_attach(a.shared);
    struct fake_viewer fake;
    struct board_copy *copy = join(&a, &fake, "main");
    expect(begin(&a, "[" CHANGE("s.total", "1") "," CHANGE("s.deals#a", ROW) "]"), "ok ok");
    fake_loop_pass(&a.loop, 100);
    struct position left_at = board_copy_position(copy);
    expect(begin(&a, "[" CHANGE("s.total", "2") "," REMOVAL("s.deals#a") "]"), "ok ok");
    node_open(&b, store);
    shared_journal_attach(b.shared);
    fake_loop_turn(&b.loop);
    struct fake_viewer moved;
    fake_viewer_open(&moved, b.loop.hub, WIRE_WS);
    const struct viewer_quality quality = {.has_max_rate = false};
    assert_int_equal(pipeline_join(b.pipeline, moved.viewer, "main", &left_at, &quality), RESULT_OK);
    fake_loop_pass(&b.loop, 100);
    assert_string_equal(message_text(fake_viewer_message(&moved, 0), "resume"), "update");
    assert_int_equal(fake_viewer_count_of(&moved, "update"), 1);
    assert_int_equal(fake_viewer_count_of(&moved, "snapshot"), 0);
    assert_string_equal(message_text(fake_viewer_message(&moved, -1), "del"), "[\"s.deals#a\"]");
    fake_viewer_close(&moved);
    fake_viewer_close(&fake);
    node_close(&a);
    node_close(&b);
    shared_store_destroy(store);
}

static void assert_history(struct node *node, const char *expected)
{
    struct bytes text;
    bytes_init(&text, 1000);
    uint64_t step_ms = 0;
    assert_true(pipeline_history(node->pipeline, "s.total", 120, &text, &step_ms));
    bytes_append_byte(&text, '\0');
    assert_string_equal(text.at, expected);
    bytes_finish(&text);
}

static void test_every_node_keeps_points_of_what_was_accepted(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node a, b, c;
    node_open(&a, store);
    node_open(&b, store);
    shared_journal_attach(a.shared);
    shared_journal_attach(b.shared);
    expect(begin(&a, "[{\"field\":\"s.total\",\"value\":3,\"as_of\":30000,\"version\":5}]"), "ok");
    expect(begin(&b, "[{\"field\":\"s.total\",\"value\":4,\"as_of\":40000,\"version\":6}]"), "ok");
    expect(begin(&b, "[{\"field\":\"s.total\",\"value\":9,\"as_of\":50000,\"version\":2}]"), "older");
    expect(begin(&b, "[{\"field\":\"s.total\",\"value\":2000,\"as_of\":60000,\"version\":7}]"),
           "out_of_range");
    assert_history(&a, "[[30000,3],[40000,4]]");
    assert_history(&b, "[[30000,3],[40000,4]]");
    expect(begin(&b, "[{\"field\":\"s.total\",\"value\":5,\"as_of\":70000,\"version\":7}]"), "ok");
    node_open(&c, store);
    shared_journal_attach(c.shared);
    assert_history(&c, "[[70000,5]]"); /* it starts with the newest */
    node_close(&a);
    node_close(&b);
    node_close(&c);
    shared_store_destroy(store);
}

/* ---- answers that come later ---- */

static void test_nothing_is_unchanged_against_a_board_that_lags(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    expect(begin(&node, "[" CHANGE("s.total", "1") "]"), "ok");
    shared_journal_hold(node.shared, true);
    struct submit *there = begin(&node, "[" CHANGE("s.total", "2") "]");
    struct submit *back = begin(&node, "[" CHANGE("s.total", "1") "]"); /* the board still says so */
    assert_int_equal(there->dones + back->dones, 0);
    shared_journal_work_all(node.shared);
    expect(there, "ok");
    expect(back, "ok");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":1}");
    assert_string_equal(fake_loop_value(&node.loop, "side", "s.copy"), "{\"as_of\":1000,\"v\":1}");
    struct submit *again = begin(&node, "[" CHANGE("s.total", "1") "," REMOVAL("s.deals#none") "]");
    struct position at = board_position(fake_loop_board(&node.loop, "side"));
    shared_journal_work_all(node.shared);
    assert_string_equal(again->outcomes, "unchanged ok");
    struct position still = board_position(fake_loop_board(&node.loop, "side"));
    assert_true(position_equal(&at, &still));
    node_close(&node);
    shared_store_destroy(store);
}

static void test_boards_may_be_answered_in_any_order(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    shared_journal_hold(node.shared, true);
    struct submit *submit = begin(&node, "[" CHANGE("s.total", "1") "," CHANGE("s.slow", "2") "]");
    assert_int_equal(shared_journal_waiting(node.shared), 2); /* main and side */
    shared_journal_work(node.shared, 1);
    assert_int_equal(submit->dones, 0);
    assert_string_equal(fake_loop_value(&node.loop, "side", "s.total"), "{\"as_of\":1000,\"v\":1}");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "(none)");
    shared_journal_refuse_all(node.shared);
    expect(submit, "unavailable unavailable");
    submit = begin(&node, "[" CHANGE("s.total", "1") "," CHANGE("s.slow", "2") "]");
    shared_journal_work_all(node.shared);
    expect(submit, "ok ok");
    node_close(&node);
    shared_store_destroy(store);
}

static void test_a_mark_never_covers_a_newer_value(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    expect(begin(&node, "[" CHANGE("s.total", "1") "]"), "ok");
    shared_journal_hold(node.shared, true);
    begin(&node, "[" CHANGE("s.total", "2") "]");
    struct submit *refused =
        begin(&node, "[" CHANGE("s.total", "2000") "]"); /* marks what the board shows: 1 */
    struct submit *lost = begin(
        &node, "[{\"field\":\"s.total\",\"state\":\"unreachable\",\"reason\":\"r\"}]"); /* so does this */
    shared_journal_work_all(node.shared);
    expect(refused, "out_of_range");
    expect(lost, "older");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":2}");
    refused = begin(&node, "[" CHANGE("s.total", "3") "," CHANGE("s.total", "2000") "]");
    shared_journal_work_all(node.shared);
    expect(refused, "ok out_of_range");
    assert_non_null(strstr(fake_loop_value(&node.loop, "main", "s.total"), "\"v\":3"));
    assert_non_null(strstr(fake_loop_value(&node.loop, "side", "s.total"), "invalid"));
    assert_non_null(strstr(fake_loop_value(&node.loop, "side", "s.copy"), "invalid"));
    refused = begin(&node, "[" CHANGE_V("s.slow", "3", "8") "," CHANGE_V("s.slow", "\"x\"", "9") "]");
    shared_journal_work_all(node.shared);
    expect(refused, "ok wrong_type");
    struct submit *late =
        begin(&node, "[" CHANGE_V("s.slow", "\"x\"", "7") "]"); /* of yesterday: marks nothing */
    struct submit *cured = begin(&node, "[" CHANGE_V("s.slow", "4", "9") "]");
    shared_journal_work_all(node.shared);
    expect(late, "wrong_type");
    expect(cured, "ok");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":4,\"ver\":9}");
    node_close(&node);
    shared_store_destroy(store);
}

/* ---- histories that were lost ---- */

static void test_after_a_failover_only_those_who_saw_the_lost_tail_are_told(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    expect(begin(&node, "[" CHANGE_V("s.total", "1", "1") "," CHANGE_V("s.slow", "1", "1") "]"), "ok ok");
    fake_loop_pass(&node.loop, 600);
    struct fake_viewer current, behind, side;
    struct board_copy *copy = join(&node, &current, "main");
    struct board_copy *late = join(&node, &behind, "main");
    struct board_copy *other = join(&node, &side, "side");
    shared_store_save(store);
    behind.is_writable = false;
    expect(begin(&node, "[" CHANGE_V("s.slow", "2", "2") "," CHANGE_V("s.deals#phantom", ROW, "1") "]"),
           "ok ok");
    fake_loop_pass(&node.loop, 600);
    uint64_t before = pipeline_generation(node.pipeline);
    shared_journal_detach(node.shared, "failing over");
    shared_store_lose_tail(store);
    shared_journal_attach(node.shared);
    assert_true(pipeline_generation(node.pipeline) > before);
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.deals#phantom"), "(none)");
    expect(begin(&node, "[" CHANGE_V("s.slow", "2", "2") "]"), "ok"); /* its source reads everything again */
    fake_loop_pass(&node.loop, 600);
    fake_viewer_drain(&behind, node.loop.now);
    board_copy_assert_equal(copy, fake_loop_board(&node.loop, "main"));
    board_copy_assert_equal(late, fake_loop_board(&node.loop, "main"));
    board_copy_assert_equal(other, fake_loop_board(&node.loop, "side"));
    assert_int_equal(copy->snapshots, 2);
    assert_int_equal(late->snapshots, 1); /* it had not been told what is gone */
    assert_int_equal(other->snapshots, 1);
    assert_int_equal(fake_loop_metric(&node.loop, "gw_resync_total", "reason=\"failover\""), 1);
    fake_viewer_close(&current);
    fake_viewer_close(&behind);
    fake_viewer_close(&side);
    node_close(&node);
    shared_store_destroy(store);
}

struct restarted {
    unsigned dones;
    enum result outcome;
    char asked[512];
};

/* s.total and the deal "a" survived in the source. */
static bool keeps(void *context, const char *field)
{
    struct restarted *restarted = context;
    size_t used = strlen(restarted->asked);
    snprintf(restarted->asked + used, sizeof restarted->asked - used, "%s ", field);
    return strcmp(field, "s.total") == 0 || strcmp(field, "s.deals#a") == 0;
}

static void on_restarted(void *context, enum result outcome)
{
    struct restarted *restarted = context;
    restarted->dones++;
    restarted->outcome = outcome;
}

static void test_a_source_with_another_history_starts_its_boards_afresh(void **state)
{
    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        struct shared_store *store = shared_store_create();
        struct node node;
        node_open(&node, store);
        shared_journal_attach(node.shared);
        expect(begin_from(&node, "pg/1",
                          "[" CHANGE_V("s.total", "1", "50") "," CHANGE_V("s.usual", "1", "60") "," CHANGE_V(
                              "s.deals#a", ROW, "7") "," CHANGE_V("s.deals#b", ROW,
                                                                  "7") "," REMOVAL_V("s.deals#c", "9") "]"),
               "ok ok ok ok ok");
        expect(begin(&node, "[" CHANGE_V("s.own", "1", "5") "]"), "ok");
        fake_loop_pass(&node.loop, 100);
        struct fake_viewer main_viewer, mine_viewer;
        struct board_copy *main_copy = join(&node, &main_viewer, "main");
        struct board_copy *mine_copy = join(&node, &mine_viewer, "mine");
        const char *after = "[" CHANGE_V("s.total", "2", "40") "," CHANGE_V(
            "s.usual", "2", "60") "," CHANGE_V("s.deals#b", "{\"name\":\"y\"}", "1") "]";
        expect(begin_from(&node, "pg/2", after), "other_lineage other_lineage other_lineage");
        shared_journal_hold(node.shared, waits == 1);
        uint64_t before = pipeline_generation(node.pipeline);
        struct restarted restarted = {.dones = 0};
        pipeline_restart_source(node.pipeline, "http", "pg/2", keeps, on_restarted, &restarted);
        assert_int_equal(restarted.dones, waits ? 0 : 1);
        while (shared_journal_waiting(node.shared) > 0) {
            shared_journal_work(node.shared, shared_journal_waiting(node.shared) - 1);
        }
        assert_int_equal(restarted.dones, 1);
        assert_int_equal(restarted.outcome, RESULT_OK);
        assert_true(pipeline_generation(node.pipeline) > before);
        assert_null(strstr(restarted.asked, "s.copy")); /* asked by its original's name */
        assert_null(strstr(restarted.asked, "s.own"));
        assert_null(strstr(restarted.asked, "s.deals#c")); /* a tombstone leaves unasked */
        assert_string_equal(fake_loop_value(&node.loop, "main", "s.usual"), "(none)");
        assert_string_equal(fake_loop_value(&node.loop, "mine", "s.usual"), "(none)");
        assert_string_equal(fake_loop_value(&node.loop, "main", "s.deals#b"), "(none)");
        assert_non_null(strstr(fake_loop_value(&node.loop, "side", "s.copy"), "\"v\":1"));
        assert_non_null(strstr(fake_loop_value(&node.loop, "mine", "s.own"), "\"v\":1"));
        uint64_t version = 0;
        assert_false(board_version(fake_loop_board(&node.loop, "main"), "s.deals#c", 9, &version));
        struct submit *again = begin_from(&node, "pg/2", after);
        shared_journal_work_all(node.shared);
        expect(again, "ok ok ok");
        assert_string_equal(fake_loop_value(&node.loop, "side", "s.copy"),
                            "{\"as_of\":1000,\"v\":2,\"ver\":40}");
        expect(begin(&node, "[" CHANGE_V("s.own", "2", "4") "]"), "older"); /* not of this source */
        fake_loop_pass(&node.loop, 100);
        board_copy_assert_equal(main_copy, fake_loop_board(&node.loop, "main"));
        board_copy_assert_equal(mine_copy, fake_loop_board(&node.loop, "mine"));
        assert_int_equal(main_copy->snapshots, 2);
        struct restarted twice = {.dones = 0};
        pipeline_restart_source(node.pipeline, "http", "pg/2", keeps, on_restarted, &twice);
        shared_journal_work_all(node.shared);
        assert_int_equal(twice.outcome, RESULT_OK); /* and nothing happened */
        assert_int_equal(twice.dones, 1);
        assert_string_equal(fake_loop_value(&node.loop, "mine", "s.usual"),
                            "{\"as_of\":1000,\"v\":2,\"ver\":60}");
        fake_viewer_close(&main_viewer);
        fake_viewer_close(&mine_viewer);
        node_close(&node);
        shared_store_destroy(store);
    }
}

static void test_a_restart_is_answered_whatever_happens(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    struct restarted restarted = {.dones = 0};
    pipeline_restart_source(node.pipeline, "http", "pg/2", keeps, on_restarted, &restarted);
    assert_int_equal(restarted.dones, 1);
    assert_int_equal(restarted.outcome, RESULT_UNAVAILABLE); /* detached */
    shared_journal_attach(node.shared);
    pipeline_restart_source(node.pipeline, "nobody", "pg/2", keeps, on_restarted, &restarted);
    assert_int_equal(restarted.dones, 2);
    assert_int_equal(restarted.outcome, RESULT_OK); /* no board to restart */
    expect(begin(&node, "[" CHANGE("s.total", "1") "]"), "ok");
    shared_journal_hold(node.shared, true);
    pipeline_restart_source(node.pipeline, "http", "pg/3", keeps, on_restarted, &restarted);
    node_put_in_force(&node, TOTAL "," USUAL, main_only); /* a board goes while its restart is outstanding */
    shared_journal_work(node.shared, 0);
    shared_journal_refuse_all(node.shared);
    assert_int_equal(restarted.dones, 3);
    assert_int_equal(restarted.outcome, RESULT_UNAVAILABLE);
    pipeline_restart_source(node.pipeline, "http", "pg/4", keeps, on_restarted, &restarted);
    assert_int_equal(restarted.dones, 3);
    node_close(&node); /* the journal goes first */
    assert_int_equal(restarted.dones, 4);
    shared_store_destroy(store);

    store = shared_store_create();
    node_open(&node, store);
    shared_journal_attach(node.shared);
    shared_journal_hold(node.shared, true);
    pipeline_restart_source(node.pipeline, "http", "pg/5", keeps, on_restarted, &restarted);
    pipeline_destroy(node.pipeline); /* the pipeline goes first */
    assert_int_equal(restarted.dones, 5);
    assert_int_equal(restarted.outcome, RESULT_UNAVAILABLE);
    journal_destroy(shared_journal_base(node.shared));
    journal_destroy(node.local);
    fake_loop_close(&node.loop);
    shared_store_destroy(store);
}

static void test_a_restart_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct node node;
        node_open(&node, store);
        shared_journal_attach(node.shared);
        expect(begin(&node, "[" CHANGE("s.total", "1") "," CHANGE("s.usual", "1") "]"),
               i == 0 ? "ok ok" : "unchanged ok");
        struct restarted restarted = {.dones = 0};
        char lineage[16];
        snprintf(lineage, sizeof lineage, "pg/%d", i);
        allocations_fail_one_after(i);
        pipeline_restart_source(node.pipeline, "http", lineage, keeps, on_restarted, &restarted);
        has_failed = allocations_recover();
        assert_int_equal(restarted.dones, 1);
        assert_true(restarted.outcome == RESULT_OK || (has_failed && restarted.outcome == RESULT_NO_MEMORY));
        node_close(&node);
    }
    shared_store_destroy(store);
}

/* ---- what the store may forget ---- */

static void count_field(void *context, const char *field, size_t length)
{
    char *seen = context;
    size_t used = strlen(seen);
    snprintf(seen + used, 256 - used, "%.*s ", (int)length, field);
}

static void test_fields_are_told_and_swept(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    for (int i = 0; i < 8; i++) {
        char text[100];
        snprintf(text, sizeof text, "[{\"field\":\"s.events#%d\",\"value\":{\"name\":\"x\"}}]", i);
        expect(begin(&node, text), "ok");
    }
    expect(begin(&node, "[" CHANGE("s.total", "1") "," CHANGE("s.deals#a", ROW) "," REMOVAL("s.deals#a") "]"),
           "ok ok ok");
    char seen[256] = "";
    assert_true(pipeline_each_field(node.pipeline, "s.events", count_field, seen));
    assert_string_equal(seen, "s.events#5 s.events#6 s.events#7 ");
    seen[0] = '\0';
    assert_true(pipeline_each_field(node.pipeline, "s.total", count_field, seen));
    assert_true(pipeline_each_field(node.pipeline, "s.deals", count_field, seen));
    assert_true(pipeline_each_field(node.pipeline, "s.slow", count_field, seen));
    assert_string_equal(seen, "s.total ");
    assert_false(pipeline_each_field(node.pipeline, "s.none", count_field, seen));
    assert_int_equal(shared_store_field_count(store, "main"), 10);
    shared_store_sweep(store, node.shared);
    assert_int_equal(shared_store_field_count(store, "main"), 5); /* trimmed rows go, the tombstone stays */
    node_close(&node);
    shared_store_destroy(store);
}

/* ---- any weather ---- */

enum { KEYS = 9, FAKES = 6 };
static const char *const keys[KEYS] = {"s.total",    "s.slow",     "s.usual",  "s.deals#a", "s.deals#b",
                                       "s.events#1", "s.events#2", "s.line#1", "s.line#2"};

struct storm {
    struct chance chance;
    struct shared_store *store;
    struct node nodes[2];
    struct fake_viewer fakes[FAKES]; /* the first half watches main, on both nodes by turns */
    uint64_t versions[KEYS];         /* the newest that the source has; its value is the version */
    bool is_gone[KEYS];
    bool has_saved;
};

static void storm_change(char out[200], size_t key, uint64_t version, bool is_gone)
{
    if (is_gone) {
        snprintf(out, 200, "[{\"field\":\"%s\",\"delete\":true,\"version\":%llu}]", keys[key],
                 (unsigned long long)version);
    } else if (strchr(keys[key], '#')) {
        snprintf(out, 200,
                 "[{\"field\":\"%s\",\"value\":{\"name\":\"%llu\"},\"as_of\":1000,\"version\":%llu}]",
                 keys[key], (unsigned long long)version, (unsigned long long)version);
    } else {
        snprintf(out, 200, "[{\"field\":\"%s\",\"value\":%llu,\"as_of\":1000,\"version\":%llu}]", keys[key],
                 (unsigned long long)(version % 1000), (unsigned long long)version);
    }
}

static struct node *some_node(struct storm *storm)
{
    return &storm->nodes[chance_below(&storm->chance, 2)];
}

static void storm_begin(struct node *node, const char *text)
{
    if (node->submit_count == SUBMITS_MAX) {
        the_loop = &node->loop;
        shared_journal_work_all(node->shared);
    }
    begin(node, text);
}

static void storm_submit(struct storm *storm)
{
    char text[200];
    size_t key = chance_below(&storm->chance, KEYS);
    struct node *node = some_node(storm);
    if (chance_percent(&storm->chance, 15) && storm->versions[key] > 1) {
        storm_change(text, key, 1 + chance_below(&storm->chance, (uint32_t)storm->versions[key] - 1),
                     false); /* late */
    } else if (chance_percent(&storm->chance, 10)) {
        snprintf(text, sizeof text, "[{\"field\":\"%s\",\"value\":\"?\",\"version\":%llu}]", keys[key],
                 (unsigned long long)storm->versions[key] + 1); /* refused; marks what is there */
    } else {
        storm->is_gone[key] = strncmp(keys[key], "s.deals", 7) == 0 && chance_percent(&storm->chance, 30);
        storm_change(text, key, ++storm->versions[key], storm->is_gone[key]);
    }
    storm_begin(node, text);
    if (chance_percent(&storm->chance, 20)) {
        storm_begin(&storm->nodes[node == &storm->nodes[0]], text); /* both nodes forward it */
    }
}

static void both_detach(struct storm *storm)
{
    for (int i = 0; i < 2; i++) {
        the_loop = &storm->nodes[i].loop;
        shared_journal_refuse_all(storm->nodes[i].shared);
        shared_journal_detach(storm->nodes[i].shared, "storm");
    }
}

static void both_attach(struct storm *storm)
{
    for (int i = 0; i < 2; i++) {
        the_loop = &storm->nodes[i].loop;
        shared_journal_attach(storm->nodes[i].shared);
    }
}

static void storm_watch(struct storm *storm, int i, bool resumes)
{
    struct fake_viewer *fake = &storm->fakes[i];
    struct node *node = some_node(storm);
    const char *board = i < FAKES / 2 ? "main" : "side";
    struct board_copy held;
    if (resumes) {
        board_copy_clone(&fake->boards[0].copy, &held);
        fake_viewer_close(fake);
    }
    fake_viewer_open(fake, node->loop.hub, WIRE_WS);
    fake->keeps_messages = false;
    struct board_copy *copy = fake_viewer_watch(fake, board, limits, LIMIT_COUNT);
    struct position position = {.epoch = 0};
    if (resumes) {
        board_copy_finish(copy);
        *copy = held;
        position = board_copy_position(copy);
    }
    copy->may_go_back = true; /* a node that is cut off sends what it has in the end */
    fake->is_writable = chance_percent(&storm->chance, 80);
    const struct viewer_quality quality = {.has_max_rate = false};
    the_loop = &node->loop;
    assert_int_equal(pipeline_join(node->pipeline, fake->viewer, board, resumes ? &position : NULL, &quality),
                     RESULT_OK);
}

static void storm_step(struct storm *storm)
{
    struct chance *chance = &storm->chance;
    struct node *node = some_node(storm);
    the_loop = &node->loop;
    switch (chance_below(chance, 14)) {
    case 0:
        shared_journal_hold(node->shared, chance_percent(chance, 60));
        break;
    case 1:
        shared_journal_refuse_all(node->shared);
        shared_journal_detach(node->shared, "storm");
        break;
    case 2:
        shared_journal_attach(node->shared);
        break;
    case 3:
        shared_store_save(storm->store);
        storm->has_saved = true;
        break;
    case 4:
        if (storm->has_saved && chance_percent(chance, 40)) {
            both_detach(storm);
            shared_store_lose_tail(storm->store);
            both_attach(storm);
        }
        break;
    case 5: {
        int i = (int)chance_below(chance, FAKES);
        if (storm->fakes[i].boards[0].copy.has_position) {
            storm_watch(storm, i, true);
        }
        break;
    }
    case 6:
        fake_viewer_drain(&storm->fakes[chance_below(chance, FAKES)], node->loop.now);
        break;
    case 7:
        if (shared_journal_waiting(node->shared) > 0) {
            shared_journal_work(node->shared, 0); /* one board's calls keep their order */
        }
        break;
    default:
        storm_submit(storm);
        break;
    }
    the_loop = &node->loop;
    fake_loop_pass(&node->loop, chance_below(chance, 60));
}

/* Both attach, the source tells everything it has, time passes. */
static void storm_settle(struct storm *storm)
{
    for (int i = 0; i < 2; i++) {
        shared_journal_hold(storm->nodes[i].shared, false);
        the_loop = &storm->nodes[i].loop;
        shared_journal_work_all(storm->nodes[i].shared);
    }
    both_attach(storm);
    for (size_t key = 0; key < KEYS; key++) {
        char text[200];
        if (storm->versions[key] > 0) {
            /* Every other one once more as it was; one that a refusal has marked needs a newer version. */
            storm_change(text, key, key % 2 ? ++storm->versions[key] : storm->versions[key],
                         storm->is_gone[key]);
            storm_begin(&storm->nodes[key % 2], text);
        }
    }
    for (int i = 0; i < 2; i++) {
        the_loop = &storm->nodes[i].loop;
        fake_loop_pass(&storm->nodes[i].loop, 1000);
    }
    for (int i = 0; i < FAKES; i++) {
        fake_viewer_drain(&storm->fakes[i], storm->nodes[0].loop.now);
    }
    for (int i = 0; i < 2; i++) {
        fake_loop_pass(&storm->nodes[i].loop, 1000);
    }
}

static void storm_check(struct storm *storm)
{
    for (size_t key = 0; key < KEYS; key++) {
        char version[40];
        snprintf(version, sizeof version, "\"ver\":%llu", (unsigned long long)storm->versions[key]);
        for (int i = 0; i < 2; i++) {
            const char *text = fake_loop_value(&storm->nodes[i].loop, "main", keys[key]);
            bool is_there = storm->versions[key] > 0 && !storm->is_gone[key];
            if (is_there && (!strstr(text, version) || (key % 2 && strstr(text, "invalid")))) {
                fail_msg("%s on node %d is %s, the source says %s", keys[key], i, text, version);
            }
            assert_true(is_there || strstr(text, "\"v\":") == NULL);
        }
    }
    for (int i = 0; i < FAKES; i++) {
        const char *board = i < FAKES / 2 ? "main" : "side";
        for (int j = 0; j < 2; j++) { /* both boards are the same one */
            board_copy_assert_equal(&storm->fakes[i].boards[0].copy,
                                    fake_loop_board(&storm->nodes[j].loop, board));
        }
        assert_false(storm->fakes[i].has_gap);
    }
}

static void test_two_nodes_and_their_viewers_converge_in_any_weather(void **state)
{
    (void)state;
    static struct storm storm;
    unsigned updates = 0;
    unsigned snapshots = 0;
    for (uint64_t run = 0; run < 40; run++) {
        memset(&storm, 0, sizeof storm);
        storm.chance = chance_seeded("storm", 500 + run);
        storm.store = shared_store_create();
        node_open(&storm.nodes[0], storm.store);
        node_open(&storm.nodes[1], storm.store);
        both_attach(&storm);
        for (int i = 0; i < FAKES; i++) {
            storm_watch(&storm, i, false);
        }
        for (int step = 0; step < 150; step++) {
            storm_step(&storm);
        }
        storm_settle(&storm);
        storm_check(&storm);
        for (int i = 0; i < FAKES; i++) {
            updates += storm.fakes[i].boards[0].copy.updates;
            snapshots += storm.fakes[i].boards[0].copy.snapshots;
            fake_viewer_close(&storm.fakes[i]);
        }
        node_close(&storm.nodes[0]);
        node_close(&storm.nodes[1]);
        shared_store_destroy(storm.store);
    }
    print_message("updates %u, snapshots %u\n", updates, snapshots);
    assert_true(updates > 500 && snapshots > 40 * FAKES);
}

/* ---- definitions that change while something is outstanding ---- */

static void test_what_comes_back_for_a_kpi_that_left_is_removed_again(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    struct fake_viewer fake;
    struct board_copy *copy = join(&node, &fake, "main");
    shared_journal_hold(node.shared, true);
    struct submit *submit = begin(&node, "[" CHANGE("s.slow", "1") "," CHANGE("s.total", "2") "]");
    node_put_in_force(&node, TOTAL "," USUAL, main_only); /* side and mine go, s.slow leaves main */
    assert_null(hub_topic(node.loop.hub, "side"));
    while (shared_journal_waiting(node.shared) > 0) {
        shared_journal_work(node.shared, shared_journal_waiting(node.shared) - 1);
    }
    expect(submit, "ok ok");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.slow"), "(none)");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":2}");
    fake_loop_pass(&node.loop, 600);
    board_copy_assert_equal(copy, fake_loop_board(&node.loop, "main"));
    fake_viewer_close(&fake);
    node_close(&node);
    shared_store_destroy(store);
}

static void test_a_reload_while_detached_is_made_up_for(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    expect(begin(&node, "[" CHANGE("s.slow", "1") "," CHANGE("s.total", "2") "]"), "ok ok");
    shared_journal_detach(node.shared, "away");
    node_put_in_force(&node, TOTAL "," USUAL, main_only);
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.slow"), "{\"as_of\":1000,\"v\":1}");
    shared_journal_attach(node.shared);
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.slow"), "(none)");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":2}");
    node_close(&node);
    shared_store_destroy(store);
}

static void test_a_board_goes_to_the_other_journal_with_its_values(void **state)
{
    (void)state;
    struct shared_store *store = shared_store_create();
    struct node node;
    node_open(&node, store);
    shared_journal_attach(node.shared);
    expect(begin(&node,
                 "[" CHANGE_V("s.usual", "1", "5") "," CHANGE("s.own", "2") "," CHANGE("s.total", "3") "]"),
           "ok ok ok");
    struct fake_viewer fake;
    struct board_copy *copy = join(&node, &fake, "side");
    shared_journal_hold(node.shared, true);
    begin(&node, "[" CHANGE("s.total", "4") "]"); /* outstanding at the journal that the board leaves */
    node_put_in_force(&node, EVERY_KPI,
                      (const struct board_text[]){{"main", "s.total s.slow s.usual"},
                                                  {"side", "s.total s.own"},
                                                  {"mine", "s.usual"},
                                                  {NULL, NULL}});
    assert_string_equal(fake_loop_value(&node.loop, "side", "s.total"), "{\"as_of\":1000,\"v\":3}");
    assert_string_equal(fake_loop_value(&node.loop, "side", "s.own"),
                        "{\"as_of\":1000,\"v\":2}"); /* as on mine before */
    shared_journal_work_all(node.shared);
    assert_string_equal(fake_loop_value(&node.loop, "mine", "s.usual"), "{\"as_of\":1000,\"v\":1,\"ver\":5}");
    assert_string_equal(fake_loop_value(&node.loop, "main", "s.total"), "{\"as_of\":1000,\"v\":4}");
    fake_loop_pass(&node.loop, 100);
    board_copy_assert_equal(copy, fake_loop_board(&node.loop, "side"));
    fake_viewer_close(&fake);
    node_close(&node);
    shared_store_destroy(store);
}

/* ---- the end ---- */

static void test_what_is_outstanding_at_the_end_is_answered_once(void **state)
{
    (void)state;
    for (int pipeline_first = 0; pipeline_first < 2; pipeline_first++) {
        struct shared_store *store = shared_store_create();
        struct node node;
        node_open(&node, store);
        shared_journal_attach(node.shared);
        shared_journal_hold(node.shared, true);
        struct submit *half = begin(&node, "[" CHANGE("s.total", "1") "]");
        struct submit *none = begin(&node, "[" CHANGE("s.slow", "1") "]");
        shared_journal_work(node.shared, 0);
        if (pipeline_first) {
            pipeline_destroy(node.pipeline);
            expect(half, "unavailable");
            expect(none, "unavailable");
            journal_destroy(shared_journal_base(node.shared));
            journal_destroy(node.local);
            submits_forget(&node);
            fake_loop_close(&node.loop);
        } else {
            pipeline_set_journals(node.pipeline, NULL, NULL);
            expect(begin(&node, "[" CHANGE("s.slow", "2") "]"), "unavailable");
            node_close(&node);
        }
        shared_store_destroy(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_taken_while_the_journal_is_detached),
        cmocka_unit_test(test_an_item_is_not_ok_while_one_of_its_boards_missed_it),
        cmocka_unit_test(test_what_one_node_takes_every_node_shows),
        cmocka_unit_test(test_a_node_that_starts_gets_the_board_and_knows_its_positions),
        cmocka_unit_test(test_every_node_keeps_points_of_what_was_accepted),
        cmocka_unit_test(test_nothing_is_unchanged_against_a_board_that_lags),
        cmocka_unit_test(test_boards_may_be_answered_in_any_order),
        cmocka_unit_test(test_a_mark_never_covers_a_newer_value),
        cmocka_unit_test(test_after_a_failover_only_those_who_saw_the_lost_tail_are_told),
        cmocka_unit_test(test_a_source_with_another_history_starts_its_boards_afresh),
        cmocka_unit_test(test_a_restart_is_answered_whatever_happens),
        cmocka_unit_test(test_a_restart_survives_every_failed_allocation),
        cmocka_unit_test(test_fields_are_told_and_swept),
        cmocka_unit_test(test_two_nodes_and_their_viewers_converge_in_any_weather),
        cmocka_unit_test(test_what_comes_back_for_a_kpi_that_left_is_removed_again),
        cmocka_unit_test(test_a_reload_while_detached_is_made_up_for),
        cmocka_unit_test(test_a_board_goes_to_the_other_journal_with_its_values),
        cmocka_unit_test(test_what_is_outstanding_at_the_end_is_answered_once),
    };
    return cmocka_run_group_tests_name("pipeline_shared", tests, NULL, NULL);
}
