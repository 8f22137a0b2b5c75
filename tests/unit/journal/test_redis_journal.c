/*
 * The shared journal against a real Redis: every node's copy of a board ends as every other's, whatever is
 * done to the messages, the script, the server and its data.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/allocations.h"
#include "../support/chance.h"
#include "../support/real_redis.h"
#include "base/clock.h"
#include "journal_node.h"
#include "journal/partitions.h"
#include "journal/redis_journal_internal.h"

enum { SOON_MS = 5000, NAME_BYTES = 32, ROUNDS = 1500 };

static const char *const one_board[] = {"board", NULL};

struct fixture {
    struct real_redis redis;
    struct loop *loop;
    struct redis_server server;
    struct redis_journal_options options;
    struct node a, b;
    char meta[KEY_MAX_BYTES], state[KEY_MAX_BYTES], tail[KEY_MAX_BYTES], channel[KEY_MAX_BYTES];
};

static struct redis_server server_at(uint16_t port)
{
    return (struct redis_server){
        .host = "127.0.0.1",
        .port = port,
        .connect_timeout_ms = 2000,
        .ping_after_ms = 1000,
        .reply_timeout_ms = 2000,
        .reconnect_base_ms = 20,
        .reconnect_limit_ms = 100,
    };
}

static void keys_of_board(struct fixture *f)
{
    char tags[PARTITION_COUNT][PARTITION_TAG_MAX_BYTES + 1];
    partition_tags(tags);
    const char *tag = tags[partition_of("board")];
    snprintf(f->meta, KEY_MAX_BYTES, "test:{%s}:board:meta", tag);
    snprintf(f->state, KEY_MAX_BYTES, "test:{%s}:board:state", tag);
    snprintf(f->tail, KEY_MAX_BYTES, "test:{%s}:board:tail", tag);
    snprintf(f->channel, KEY_MAX_BYTES, "test:{%s}:publications", tag);
}

static void prepare_with(struct fixture *f, const char *const *extra)
{
    memset(f, 0, sizeof *f);
    real_redis_start(&f->redis, extra);
    f->loop = loop_create();
    f->server = server_at(f->redis.port);
    f->server.unix_path = f->redis.unix_path;
    f->options = redis_journal_defaults;
    f->options.server = &f->server;
    f->options.prefix = "test:";
    f->options.check_ms = 200;
    keys_of_board(f);
}

static void prepare(struct fixture *f)
{
    prepare_with(f, NULL);
}

static bool node_is_attached(void *context)
{
    return ((struct node *)context)->is_attached;
}

static void start_node(struct fixture *f, struct node *node)
{
    node_start(node, f->loop, &f->options, one_board);
    run_until(f->loop, node_is_attached, node, SOON_MS, "attached");
}

static void setup_two(struct fixture *f)
{
    prepare(f);
    start_node(f, &f->a);
    start_node(f, &f->b);
}

static void finish(struct fixture *f)
{
    node_stop(&f->a);
    node_stop(&f->b);
    real_redis_stop(&f->redis);
    loop_destroy(f->loop);
}

static bool are_equal(void *context)
{
    struct fixture *f = context;
    return f->a.is_attached && f->b.is_attached && copies_are_equal(&f->a.boards[0], &f->b.boards[0]);
}

static void converge(struct fixture *f, const char *what)
{
    run_until(f->loop, are_equal, f, SOON_MS, what);
}

/* ---- submitting ---- */

struct submission {
    struct journal_item items[1000];
    size_t count;
    bool is_done;
};

static void on_done(void *context, struct journal_item *items, size_t count)
{
    struct submission *submission = context;
    assert_ptr_equal(items, submission->items);
    assert_int_equal(count, submission->count);
    assert_false(submission->is_done);
    submission->is_done = true;
}

static bool is_done(void *context)
{
    return ((struct submission *)context)->is_done;
}

static struct journal_item item(const char *field, enum version_rule rule, uint64_t version,
                                const char *value)
{
    return (struct journal_item){
        .field = field,
        .field_length = strlen(field),
        .value = value,
        .value_length = value ? strlen(value) : 0,
        .rule = rule,
        .version = version,
        .outcome = RESULT_COUNT,
    };
}

static void submit_to(struct node *node, struct submission *submission, const char *lineage)
{
    const struct journal_transaction transaction = {
        .board = "board", .items = submission->items, .count = submission->count, .lineage = lineage};
    submission->is_done = false;
    journal_submit(node->journal, &transaction, on_done, submission);
}

static enum result submit_with(struct node *node, const char *lineage, const char *field,
                               enum version_rule rule, uint64_t version, const char *value)
{
    struct submission submission = {.count = 1};
    submission.items[0] = item(field, rule, version, value);
    submit_to(node, &submission, lineage);
    run_until(node->loop, is_done, &submission, SOON_MS, "done");
    return submission.items[0].outcome;
}

static enum result submit(struct node *node, const char *field, enum version_rule rule, uint64_t version,
                          const char *value)
{
    return submit_with(node, NULL, field, rule, version, value);
}

/* Another node whose messages never arrive: the script publishes to a channel that nobody hears. */
static void apply_unheard(struct fixture *f, const char *field, const char *value)
{
    static unsigned word = 1000;
    char text[256], nonce[16];
    snprintf(text, sizeof text, "v%s", value);
    snprintf(nonce, sizeof nonce, "%u", ++word);
    const char *reply =
        ASK(&f->redis, "EVAL", redis_journal_script, "4", f->meta, f->state, f->tail, "unheard", "apply",
            "00000000000000ff", nonce, "", "PUBLISH", "1000", "4096", "board", field, "N", "0", text);
    assert_true(reply[0] != '-');
}

/* ---- order and versions ---- */

static void test_outcomes_follow_the_version_rules(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    const uint64_t big = UINT64_C(9007199254740993); /* doubles do not know it */
    assert_int_equal(submit(&f.a, "k.g", VERSION_GIVEN, big, "{\"v\":1}"), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.g", VERSION_GIVEN, big, "{\"v\":2}"), RESULT_UNCHANGED);
    assert_int_equal(submit(&f.b, "k.g", VERSION_GIVEN, big - 1, "{\"v\":2}"), RESULT_OLDER);
    assert_int_equal(submit(&f.b, "k.g", VERSION_GIVEN, big + 1, "{\"v\":2}"), RESULT_OK);
    assert_int_equal(node_version(&f.b, "board", "k.g"), big + 1);
    assert_int_equal(submit(&f.b, "k.g", VERSION_NEXT, 0, "{\"v\":3}"), RESULT_OK);
    assert_int_equal(node_version(&f.b, "board", "k.g"), big + 2);
    assert_int_equal(submit(&f.b, "k.m", VERSION_GIVEN, UINT64_MAX, "{\"v\":3}"), RESULT_OK);
    assert_int_equal(submit(&f.b, "k.m", VERSION_NEXT, 0, "{\"v\":4}"), RESULT_OK);
    assert_int_equal(node_version(&f.b, "board", "k.m"), UINT64_MAX);

    /* The same text with a higher version is recorded, without a publication. */
    uint64_t offset = f.b.boards[0].at.offset;
    assert_int_equal(submit(&f.b, "k.s", VERSION_GIVEN, 1, "{\"v\":\"a\"}"), RESULT_OK);
    assert_int_equal(submit(&f.b, "k.s", VERSION_GIVEN, 3, "{\"v\":\"a\"}"), RESULT_UNCHANGED);
    assert_int_equal(submit(&f.b, "k.s", VERSION_GIVEN, 2, "{\"v\":\"b\"}"), RESULT_OLDER);
    assert_int_equal(submit(&f.b, "k.s", VERSION_NEXT, 0, "{\"v\":\"a\"}"), RESULT_UNCHANGED);
    assert_int_equal(f.b.boards[0].at.offset, offset + 1);
    /* A mark is for the text that its node shows: 1 was published, 3 recorded, both are this text. */
    assert_int_equal(submit(&f.a, "k.s", VERSION_KEPT, 4, "{\"v\":\"m\"}"), RESULT_OLDER);
    assert_int_equal(submit(&f.a, "k.s", VERSION_KEPT, 0, "{\"v\":\"m\"}"), RESULT_OLDER);
    assert_int_equal(submit(&f.a, "k.s", VERSION_KEPT, 1, "{\"v\":\"m\"}"), RESULT_OK);
    assert_int_equal(node_version(&f.a, "board", "k.s"), 3);
    assert_int_equal(submit(&f.a, "k.s", VERSION_KEPT, 1, "{\"v\":\"n\"}"), RESULT_OLDER);
    assert_int_equal(submit(&f.a, "k.s", VERSION_KEPT, 3, "{\"v\":\"n\"}"), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.new", VERSION_KEPT, 0, "{\"v\":\"n\"}"), RESULT_OK);

    assert_int_equal(submit(&f.a, "k.s", VERSION_FORGOTTEN, 0, "{\"v\":\"f\"}"), RESULT_OK);
    assert_int_equal(node_version(&f.a, "board", "k.s"), 0);
    assert_int_equal(submit(&f.a, "k.s", VERSION_FORGOTTEN, 0, "{\"v\":\"f\"}"), RESULT_UNCHANGED);
    assert_int_equal(submit(&f.a, "k.new", VERSION_GIVEN, 8, "{\"v\":\"n\"}"), RESULT_UNCHANGED);
    assert_int_equal(submit(&f.a, "k.new", VERSION_FORGOTTEN, 0, "{\"v\":\"n\"}"), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.s", VERSION_GIVEN, 1, "{\"v\":\"g\"}"), RESULT_OK);
    /* A removal keeps its version: what is older stays away. */
    assert_int_equal(submit(&f.a, "k.s", VERSION_GIVEN, 5, NULL), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.s", VERSION_GIVEN, 4, "{\"v\":\"late\"}"), RESULT_OLDER);
    assert_null(node_text(&f.a, "board", "k.s"));
    converge(&f, "after version rules");
    finish(&f);
}

static void test_a_transaction_is_one_publication(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct submission submission = {.count = 5};
    submission.items[0] = item("k.a", VERSION_NEXT, 0, "{\"v\":1}");
    submission.items[1] = item("k.b", VERSION_GIVEN, 7, "{\"v\":1}");
    submission.items[2] = item("k.a", VERSION_NEXT, 0, "{\"v\":2}");
    submission.items[3] = item("k.c", VERSION_NEXT, 0, NULL);
    submission.items[4] = item("k.b", VERSION_GIVEN, 6, "{\"v\":2}");
    unsigned before = f.b.boards[0].publications;
    uint64_t offset = f.b.boards[0].at.offset;
    submit_to(&f.a, &submission, NULL);
    run_until(f.loop, is_done, &submission, SOON_MS, "done");
    assert_string_equal(node_text(&f.a, "board", "k.a"), "{\"v\":2}"); /* there before done was called */
    assert_int_equal(submission.items[4].outcome, RESULT_OLDER);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(submission.items[i].outcome, RESULT_OK);
    }
    converge(&f, "one transaction");
    assert_int_equal(f.b.boards[0].publications, before + 1);
    assert_int_equal(f.b.boards[0].at.offset, offset + 4);
    assert_int_equal(node_version(&f.b, "board", "k.a"), 2);
    finish(&f);
}

static void test_the_same_change_from_two_nodes_is_applied_once(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct submission from_a = {.count = 1}, from_b = {.count = 1};
    from_a.items[0] = from_b.items[0] = item("k.a", VERSION_GIVEN, 4, "{\"v\":1}");
    submit_to(&f.a, &from_a, "one");
    submit_to(&f.b, &from_b, "one");
    run_until(f.loop, is_done, &from_a, SOON_MS, "a done");
    run_until(f.loop, is_done, &from_b, SOON_MS, "b done");
    converge(&f, "the same change twice");
    assert_int_equal((from_a.items[0].outcome == RESULT_OK) + (from_b.items[0].outcome == RESULT_OK), 1);
    assert_int_equal(
        (from_a.items[0].outcome == RESULT_UNCHANGED) + (from_b.items[0].outcome == RESULT_UNCHANGED), 1);
    assert_int_equal(f.a.boards[0].at.offset, 1);
    finish(&f);
}

struct random_run {
    struct fixture *f;
    struct chance chance;
    struct submission pool[32];
    char names[32][8][NAME_BYTES];
    char values[32][8][NAME_BYTES];
    uint64_t newest[12]; /* highest version given per field "g.N" */
    size_t sent;
    bool with_faults;
};

static void random_fault(struct random_run *run)
{
    struct fixture *f = run->f;
    switch (chance_below(&run->chance, 5)) {
    case 0:
        (void)ASK(&f->redis, "CLIENT", "KILL", "TYPE", "pubsub");
        break;
    case 1:
        (void)ASK(&f->redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
        break;
    case 2:
        (void)ASK(&f->redis, "SCRIPT", "FLUSH");
        break;
    case 3:
        (void)ASK(&f->redis, "DEL", f->tail);
        break;
    default:
        apply_unheard(f, "o.unheard", chance_percent(&run->chance, 50) ? "{\"v\":1}" : "{\"v\":2}");
    }
}

static void random_submit(struct random_run *run, size_t at)
{
    struct submission *submission = &run->pool[at];
    submission->count = 1 + chance_below(&run->chance, 8);
    for (size_t i = 0; i < submission->count; i++) {
        uint32_t field = chance_below(&run->chance, 12);
        bool is_given = chance_percent(&run->chance, 60);
        uint64_t version = 1 + chance_below(&run->chance, 100000);
        static const enum version_rule others[] = {VERSION_NEXT, VERSION_NEXT, VERSION_KEPT,
                                                   VERSION_FORGOTTEN};
        snprintf(run->names[at][i], NAME_BYTES, "%c.%u", is_given ? 'g' : 'o', field);
        snprintf(run->values[at][i], NAME_BYTES, "{\"v\":%" PRIu64 "}", version);
        bool is_removal = chance_percent(&run->chance, 10);
        submission->items[i] =
            item(run->names[at][i], is_given ? VERSION_GIVEN : others[chance_below(&run->chance, 4)],
                 is_given ? version : chance_below(&run->chance, 3), is_removal ? NULL : run->values[at][i]);
        if (is_given && version > run->newest[field]) {
            run->newest[field] = version;
        }
    }
    submit_to(chance_percent(&run->chance, 50) ? &run->f->a : &run->f->b, submission, NULL);
}

static bool random_pump(void *context)
{
    struct random_run *run = context;
    bool is_idle = true;
    if (!run->f->a.is_attached || !run->f->b.is_attached) {
        return false;
    }
    for (size_t i = 0; i < 32; i++) {
        if (run->pool[i].is_done && run->sent < ROUNDS) {
            run->sent++;
            random_submit(run, i);
            if (run->with_faults && chance_percent(&run->chance, 4)) {
                random_fault(run);
            }
        }
        is_idle = is_idle && run->pool[i].is_done;
    }
    return is_idle && run->sent == ROUNDS;
}

static struct random_run *random_submits(struct fixture *f, bool with_faults)
{
    struct random_run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->f = f;
    run->with_faults = with_faults;
    run->chance = chance_seeded("redis journal", 20261121);
    for (size_t i = 0; i < 32; i++) {
        run->pool[i].is_done = true;
    }
    run_until(f->loop, random_pump, run, 60000, "random submits");
    converge(f, "after random submits");
    return run;
}

static void test_nodes_converge_under_random_submits(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct random_run *run = random_submits(&f, false);
    /* A node that joins sees the same. */
    struct node late = {0};
    start_node(&f, &late);
    assert_true(copies_are_equal(&late.boards[0], &f.a.boards[0]));
    assert_true(late.boards[0].known_count > 100);
    for (unsigned i = 0; i < 12; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "g.%u", i);
        assert_true(node_version(&late, "board", field) == run->newest[i]);
    }
    node_stop(&late);
    assert_int_equal((int)node_metric(&f.a, "gw_journal_gaps_total", "outcome=\"reloaded\""), 0);
    assert_int_equal((int)node_metric(&f.a, "gw_journal_malformed_total", NULL), 0);
    free(run);
    finish(&f);
}

static void test_nodes_converge_through_random_faults(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct random_run *run = random_submits(&f, true);
    struct node late = {0};
    start_node(&f, &late);
    assert_true(copies_are_equal(&late.boards[0], &f.a.boards[0]));
    node_stop(&late);
    print_message("repaired %d, reloaded %d, attached %u times\n",
                  (int)node_metric(&f.a, "gw_journal_gaps_total", "outcome=\"repaired\""),
                  (int)node_metric(&f.a, "gw_journal_gaps_total", "outcome=\"reloaded\""), f.a.attachments);
    assert_int_equal((int)node_metric(&f.a, "gw_journal_malformed_total", NULL), 0);
    free(run);
    finish(&f);
}

/* ---- what is missed ---- */

static void test_a_gap_is_repaired_by_the_next_message(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.options.check_ms = 60000;
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    converge(&f, "before the gap");
    apply_unheard(&f, "k.missed", "{\"v\":2}");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":3}"), RESULT_OK);
    converge(&f, "after the gap");
    assert_string_equal(node_text(&f.b, "board", "k.missed"), "{\"v\":2}");
    assert_string_equal(node_text(&f.b, "board", "k.a"), "{\"v\":3}");
    assert_int_equal((int)node_metric(&f.b, "gw_journal_gaps_total", "outcome=\"repaired\""), 1);
    assert_int_equal(f.b.boards[0].images, 1);
    finish(&f);
}

static bool b_has_missed(void *context)
{
    struct fixture *f = context;
    const char *text = node_text(&f->b, "board", "k.missed");
    return text && strcmp(text, "{\"v\":2}") == 0;
}

static bool subscribers_came_back(void *context)
{
    struct fixture *f = context;
    return f->a.attachments >= 2 && f->b.attachments >= 2 && are_equal(f);
}

static void test_the_position_check_finds_a_silent_subscription(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    apply_unheard(&f, "k.missed", "{\"v\":2}");
    run_until(f.loop, b_has_missed, &f, SOON_MS, "the check found it");
    converge(&f, "the other node's check as well");
    assert_int_equal((int)node_metric(&f.b, "gw_journal_gaps_total", "outcome=\"repaired\""), 1);
    assert_true(node_metric(&f.b, "gw_journal_position_checks_total", NULL) > 0);
    /* Again and again: the subscription itself is not trusted any more. */
    apply_unheard(&f, "k.missed", "{\"v\":3}");
    run_until(f.loop, subscribers_came_back, &f, SOON_MS, "the subscribers connected anew");
    assert_int_equal(submit(&f.a, "k.missed", VERSION_NEXT, 0, "{\"v\":2}"), RESULT_OK);
    converge(&f, "after the subscribers came back");
    finish(&f);
}

static void test_killed_connections_lose_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    for (int i = 0; i < 5; i++) {
        char value[NAME_BYTES];
        (void)ASK(&f.redis, "CLIENT", "KILL", "TYPE", i % 2 ? "normal" : "pubsub", "SKIPME", "yes");
        apply_unheard(&f, "k.a", "{\"v\":\"meanwhile\"}");
        snprintf(value, sizeof value, "{\"v\":%d}", i);
        apply_unheard(&f, "k.b", value);
        run_for(f.loop, 50);
        converge(&f, "after connections were killed");
        run_until(f.loop, node_is_attached, &f.a, SOON_MS, "attached again");
    }
    assert_int_equal(f.a.boards[0].images, 1);
    assert_string_equal(node_text(&f.a, "board", "k.b"), "{\"v\":4}");
    finish(&f);
}

static bool has_new_epoch(void *context)
{
    struct fixture *f = context;
    return are_equal(f) && f->a.boards[0].images >= 2 && f->b.boards[0].images >= 2;
}

static void test_a_flushed_redis_begins_a_new_epoch(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    assert_int_equal(submit(&f.a, "k.a", VERSION_GIVEN, 5, "{\"v\":1}"), RESULT_OK);
    converge(&f, "before");
    uint64_t epoch = f.a.boards[0].at.epoch;
    assert_string_equal(ASK(&f.redis, "FLUSHALL"), "OK");
    run_until(f.loop, has_new_epoch, &f, SOON_MS, "a new epoch");
    assert_true(f.a.boards[0].at.epoch != epoch);
    assert_null(node_text(&f.a, "board", "k.a"));
    /* No version is known any more: the source fills it in. */
    assert_int_equal(submit(&f.b, "k.a", VERSION_GIVEN, 5, "{\"v\":1}"), RESULT_OK);
    converge(&f, "after");
    /* Part of it gone counts as all gone. */
    assert_string_equal(ASK(&f.redis, "DEL", f.meta), "1");
    assert_int_equal(submit(&f.b, "k.b", VERSION_GIVEN, 1, "{\"v\":1}"), RESULT_OK);
    converge(&f, "without meta");
    assert_null(node_text(&f.a, "board", "k.a"));
    assert_string_equal(node_text(&f.a, "board", "k.b"), "{\"v\":1}");
    finish(&f);
}

/* ---- failover ---- */

struct failover {
    struct fixture f;
    struct real_redis replica;
};

static bool replica_has_all(void *context)
{
    struct failover *o = context;
    char offset[32];
    snprintf(offset, sizeof offset, "%s", ASK(&o->replica, "HGET", o->f.meta, "offset"));
    return strcmp(offset, ASK(&o->f.redis, "HGET", o->f.meta, "offset")) == 0;
}

/*
 * 100 publications are replicated, ten more only reach the node; the replica takes over at the same address
 * and publishes 15 of its own.
 */
static void fail_over(struct failover *o, bool check_nonce)
{
    struct fixture *f = &o->f;
    char port[8], value[NAME_BYTES];
    prepare(f);
    f->server = server_at(f->redis.port);
    f->options.check_nonce = check_nonce;
    start_node(f, &f->a);
    start_node(f, &f->b);
    real_redis_start(&o->replica, NULL);
    snprintf(port, sizeof port, "%u", f->redis.port);
    for (int i = 0; i < 100; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "k.%d", i % 20);
        snprintf(value, sizeof value, "{\"v\":%d}", i);
        assert_int_equal(submit(&f->a, field, VERSION_NEXT, 0, value), RESULT_OK);
    }
    assert_string_equal(ASK(&f->redis, "CONFIG", "SET", "repl-diskless-sync-delay", "0"), "OK");
    assert_string_equal(ASK(&o->replica, "REPLICAOF", "127.0.0.1", port), "OK");
    run_until(f->loop, replica_has_all, o, SOON_MS, "replicated");
    assert_string_equal(ASK(&o->replica, "REPLICAOF", "NO", "ONE"), "OK");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(submit(&f->a, "k.phantom", VERSION_NEXT, 0, i % 2 ? "{\"v\":1}" : "{\"v\":2}"),
                         RESULT_OK);
    }
    converge(f, "before the failover");
}

/* The old master dies, the promoted replica answers at its address. */
static void take_over(struct failover *o, int publications)
{
    struct fixture *f = &o->f;
    char value[NAME_BYTES];
    real_redis_stop(&f->redis);
    f->redis = o->replica;
    for (int i = 0; i < publications; i++) {
        snprintf(value, sizeof value, "{\"v\":%d}", 1000 + i);
        apply_unheard(f, "k.0", value);
    }
    f->server.port = o->replica.port; /* as if a Sentinel had said so: read at every dial */
}

static void test_a_failover_that_lost_its_tail_is_noticed(void **state)
{
    (void)state;
    struct failover o;
    fail_over(&o, true);
    uint64_t epoch = o.f.a.boards[0].at.epoch;
    take_over(&o, 15);
    run_until(o.f.loop, has_new_epoch, &o.f, SOON_MS, "both nodes read the board again");
    assert_null(node_text(&o.f.a, "board", "k.phantom"));
    assert_string_equal(node_text(&o.f.a, "board", "k.0"), "{\"v\":1014}");
    /* The epoch goes on, and what both histories share is known: those viewers need no snapshot. */
    assert_true(o.f.a.boards[0].at.epoch == epoch);
    assert_int_equal(o.f.a.boards[0].common, 100);
    assert_int_equal(submit(&o.f.b, "k.new", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    converge(&o.f, "after the failover");
    finish(&o.f);
}

static void test_after_a_failover_offsets_still_rise(void **state)
{
    (void)state;
    struct failover o;
    fail_over(&o, true);
    take_over(&o,
              3); /* the new master stands at 103, the nodes at 110: on_image checks that they do not fall */
    run_until(o.f.loop, has_new_epoch, &o.f, SOON_MS, "both nodes read the board again");
    assert_true(o.f.a.boards[0].at.offset > 110);
    assert_null(node_text(&o.f.a, "board", "k.phantom"));
    assert_int_equal(o.f.a.boards[0].common, 100);
    finish(&o.f);
}

static void test_without_the_nonce_check_the_same_failover_diverges(void **state)
{
    (void)state;
    struct failover o;
    fail_over(&o, false);
    unsigned attachments = o.f.a.attachments;
    take_over(&o, 15);
    run_until(o.f.loop, node_is_attached, &o.f.a, SOON_MS, "attached");
    run_for(o.f.loop, 1500);
    assert_true(o.f.a.attachments > attachments);
    assert_int_equal(submit(&o.f.a, "k.new", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    struct node fresh = {0};
    start_node(&o.f, &fresh);
    /* The node believes that it recovered: it holds what the new master never heard of. */
    assert_int_equal(o.f.a.boards[0].images, 1);
    assert_non_null(node_text(&o.f.a, "board", "k.phantom"));
    assert_null(node_text(&fresh, "board", "k.phantom"));
    assert_false(copies_are_equal(&fresh.boards[0], &o.f.a.boards[0]));
    node_stop(&fresh);
    finish(&o.f);
}

/* ---- restart ---- */

struct restarting {
    bool is_done;
    enum result outcome;
};

static void on_restarted(void *context, enum result outcome)
{
    struct restarting *restarting = context;
    assert_false(restarting->is_done);
    restarting->is_done = true;
    restarting->outcome = outcome;
}

static bool is_restarted(void *context)
{
    return ((struct restarting *)context)->is_done;
}

static enum result restart(struct node *node, const struct journal_restart *wanted)
{
    struct restarting restarting = {.is_done = false};
    journal_restart(node->journal, wanted, on_restarted, &restarting);
    run_until(node->loop, is_restarted, &restarting, SOON_MS, "restarted");
    return restarting.outcome;
}

static void test_another_lineage_is_refused_until_the_board_is_restarted(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.b.forgotten = "k.trimmed";
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    assert_int_equal(submit_with(&f.a, "pg/1", "k.stays", VERSION_GIVEN, 9, "{\"v\":1}"), RESULT_OK);
    assert_int_equal(submit_with(&f.a, "pg/1", "k.goes", VERSION_GIVEN, 9, "{\"v\":1}"), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.other", VERSION_GIVEN, 9, "{\"v\":1}"), RESULT_OK);
    assert_int_equal(submit(&f.a, "k.trimmed1", VERSION_GIVEN, 9, "{\"v\":1}"), RESULT_OK);
    assert_int_equal(submit_with(&f.b, "pg/2", "k.stays", VERSION_GIVEN, 10, "{\"v\":2}"),
                     RESULT_OTHER_LINEAGE);
    struct position before = f.b.boards[0].at;
    const struct journal_field removed[] = {{"k.goes", 6}}, forgotten[] = {{"k.stays", 7}};
    const struct journal_restart wanted = {
        .board = "board",
        .lineage = "pg/2",
        .removed = removed,
        .removed_count = 1,
        .forgotten = forgotten,
        .forgotten_count = 1,
    };
    assert_int_equal(restart(&f.b, &wanted), RESULT_OK);
    /* Told after this node's board has it. */
    assert_true(f.b.boards[0].at.epoch != before.epoch);
    assert_true(f.b.boards[0].at.offset >= before.offset);
    assert_string_equal(node_text(&f.b, "board", "k.stays"), "{\"v\":1}");
    assert_int_equal(node_version(&f.b, "board", "k.stays"), 0);
    assert_null(node_text(&f.b, "board", "k.goes"));
    assert_int_equal(node_version(&f.b, "board", "k.goes"), 0);
    assert_int_equal(node_version(&f.b, "board", "k.other"), 9);
    assert_string_equal(ASK(&f.redis, "HEXISTS", f.state, "k.trimmed1"), "0");
    run_until(f.loop, are_equal, &f, SOON_MS, "the other node follows");
    assert_int_equal(restart(&f.a, &wanted), RESULT_UNCHANGED);
    assert_int_equal(submit_with(&f.a, "pg/2", "k.stays", VERSION_GIVEN, 3, "{\"v\":3}"), RESULT_OK);
    assert_int_equal(submit_with(&f.a, "pg/1", "k.stays", VERSION_GIVEN, 30, "{\"v\":3}"),
                     RESULT_OTHER_LINEAGE);
    converge(&f, "after the restart");
    finish(&f);
}

/* ---- what must not grow ---- */

static bool is_swept(void *context)
{
    struct fixture *f = context;
    double swept = node_metric(&f->a, "gw_journal_swept_total", NULL) +
                   node_metric(&f->b, "gw_journal_swept_total", NULL);
    return (int)swept >= 31; /* 30 rows and one that nobody can read */
}

static void test_redis_holds_no_more_than_boards_do(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.options.sweep_ms = 500;
    f.a.forgotten = f.b.forgotten = "k.row";
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    assert_int_equal(submit(&f.a, "k.kept", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    for (int i = 0; i < 30; i++) {
        char field[NAME_BYTES];
        snprintf(field, sizeof field, "k.row%d", i);
        assert_int_equal(submit(&f.a, field, VERSION_NEXT, 0, i == 20 ? NULL : "{\"v\":1}"), RESULT_OK);
    }
    assert_string_equal(ASK(&f.redis, "HSET", f.state, "k.garbage", "who wrote this"), "1");
    run_until(f.loop, is_swept, &f, SOON_MS, "swept");
    assert_string_equal(ASK(&f.redis, "HLEN", f.state), "2"); /* the guard and k.kept */
    /* Whoever joins is told how far back removals are no longer known. */
    struct node late = {0};
    start_node(&f, &late);
    assert_int_equal(late.boards[0].floor, 22);
    node_stop(&late);
    finish(&f);
}

static size_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtoul(at + strlen(name), NULL, 10);
}

/* A feed that turns over for as long as one likes. */
static void test_memory_in_redis_stays_bounded(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.options.max_fields = 4000;
    f.options.tail_offsets = 1000;
    f.a.forgotten = f.b.forgotten = "k.row";
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    struct submission *submission = calloc(1, sizeof *submission);
    char(*names)[NAME_BYTES] = calloc(100, sizeof *names);
    assert_true(submission && names);
    size_t most_fields = 0, refused = 0, entries = 0, bytes = 0, bytes_before = 0;
    for (int round = 0; round < 150; round++) {
        submission->count = 100;
        for (size_t i = 0; i < 100; i++) {
            snprintf(names[i], NAME_BYTES, "k.row%zu", (size_t)round * 100 + i);
            submission->items[i] = item(names[i], VERSION_GIVEN, 1, "{\"v\":\"some text that takes room\"}");
        }
        submit_to(&f.a, submission, NULL);
        run_until(f.loop, is_done, submission, SOON_MS, "done");
        for (size_t i = 0; i < 100; i++) {
            refused += submission->items[i].outcome != RESULT_OK ? 1 : 0;
        }
        run_for(f.loop, 25);
        size_t fields = strtoul(ASK(&f.redis, "HLEN", f.state), NULL, 10);
        most_fields = fields > most_fields ? fields : most_fields;
        if (round == 74 || round == 149) {
            bytes_before = bytes;
            bytes = number_after(ASK(&f.redis, "INFO", "memory"), "used_memory:");
        }
    }
    entries = strtoul(ASK(&f.redis, "XLEN", f.tail), NULL, 10);
    print_message(
        "at most %zu fields, %zu tail entries, %zu KiB at half time, %zu KiB at the end, %zu refused\n",
        most_fields, entries, bytes_before / 1024, bytes / 1024, refused);
    assert_true(most_fields <= 4001);
    assert_int_equal(refused, 0);
    assert_true(entries < 120); /* ten transactions of 100, and what a stream node holds */
    assert_true(bytes < bytes_before + 512 * 1024);
    free(names);
    free(submission);
    finish(&f);
}

static void test_a_full_board_refuses_new_fields_only(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.options.max_fields = 2;
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    struct submission submission = {.count = 3};
    submission.items[0] = item("k.a", VERSION_NEXT, 0, "{\"v\":1}");
    submission.items[1] = item("k.b", VERSION_NEXT, 0, "{\"v\":1}");
    submission.items[2] = item("k.c", VERSION_NEXT, 0, "{\"v\":1}");
    submit_to(&f.a, &submission, NULL);
    run_until(f.loop, is_done, &submission, SOON_MS, "done");
    assert_int_equal(submission.items[1].outcome, RESULT_OK);
    assert_int_equal(submission.items[2].outcome, RESULT_FULL);
    assert_int_equal(submit(&f.b, "k.c", VERSION_NEXT, 0, "{\"v\":2}"), RESULT_FULL);
    assert_int_equal(submit(&f.b, "k.b", VERSION_NEXT, 0, "{\"v\":2}"), RESULT_OK);
    converge(&f, "full");
    finish(&f);
}

static void test_too_much_at_once_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    f.options.max_outstanding = 4;
    f.options.max_transaction_bytes = 4096;
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    struct submission *six = calloc(6, sizeof *six);
    assert_non_null(six);
    for (size_t i = 0; i < 6; i++) {
        six[i].count = 1;
        six[i].items[0] = item("k.a", VERSION_GIVEN, i + 1, "{\"v\":1}");
        submit_to(&f.a, &six[i], NULL);
        assert_false(six[i].is_done);
    }
    for (size_t i = 0; i < 6; i++) {
        run_until(f.loop, is_done, &six[i], SOON_MS, "done");
        assert_true((six[i].items[0].outcome == RESULT_UNAVAILABLE) == (i >= 4));
    }
    assert_int_equal((int)node_metric(&f.a, "gw_journal_refused_total", "reason=\"outstanding\""), 2);
    char *value = calloc(1, 5000);
    assert_non_null(value);
    memset(value, ' ', 4999);
    value[0] = '{';
    value[4998] = '}';
    assert_int_equal(submit(&f.a, "k.big", VERSION_NEXT, 0, value), RESULT_TOO_BIG);
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":2}"), RESULT_OK);
    converge(&f, "after too much");
    free(value);
    free(six);
    finish(&f);
}

/* ---- servers that are not fit, or not there ---- */

static bool is_refused_for_policy(void *context)
{
    const struct node *node = context;
    return !node->is_attached && strstr(node->reason, "set maxmemory-policy noeviction") != NULL;
}

static void test_an_evicting_redis_is_refused_until_it_is_cured(void **state)
{
    (void)state;
    struct fixture f;
    prepare(&f);
    assert_string_equal(ASK(&f.redis, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), "OK");
    node_start(&f.a, f.loop, &f.options, one_board);
    node_start(&f.b, f.loop, &f.options, one_board);
    run_until(f.loop, is_refused_for_policy, &f.a, SOON_MS, "refused");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_UNAVAILABLE);
    assert_string_equal(ASK(&f.redis, "CONFIG", "SET", "maxmemory-policy", "noeviction"), "OK");
    run_until(f.loop, node_is_attached, &f.a, SOON_MS, "healed");
    run_until(f.loop, node_is_attached, &f.b, SOON_MS, "healed");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    /* Also when somebody changes it later. */
    assert_string_equal(ASK(&f.redis, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl"), "OK");
    run_until(f.loop, is_refused_for_policy, &f.b, SOON_MS, "refused later");
    assert_string_equal(ASK(&f.redis, "CONFIG", "SET", "maxmemory-policy", "noeviction"), "OK");
    run_until(f.loop, node_is_attached, &f.b, SOON_MS, "healed again");
    converge(&f, "cured");
    finish(&f);
}

static bool all_are_done(void *context)
{
    struct submission *all = context;
    for (size_t i = 0; i < 20; i++) {
        if (!all[i].is_done) {
            return false;
        }
    }
    return true;
}

static void test_a_flushed_script_is_loaded_again_in_order(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct submission *all = calloc(20, sizeof *all);
    char values[20][NAME_BYTES];
    assert_non_null(all);
    for (int round = 0; round < 3; round++) {
        assert_string_equal(ASK(&f.redis, "SCRIPT", "FLUSH"), "OK");
        for (size_t i = 0; i < 20; i++) {
            snprintf(values[i], NAME_BYTES, "{\"v\":%zu}", (size_t)round * 100 + i);
            all[i].count = 1;
            all[i].items[0] = item("k.a", VERSION_NEXT, 0, values[i]);
            submit_to(&f.a, &all[i], NULL);
        }
        run_until(f.loop, all_are_done, all, SOON_MS, "all done");
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(all[i].items[0].outcome, RESULT_OK);
        }
        assert_string_equal(node_text(&f.a, "board", "k.a"), values[19]);
    }
    converge(&f, "after script flushes");
    free(all);
    finish(&f);
}

static bool is_detached(void *context)
{
    return !((struct node *)context)->is_attached;
}

static void test_a_dead_redis_answers_unavailable_and_heals(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    assert_int_equal(submit(&f.a, "k.a", VERSION_GIVEN, 5, "{\"v\":1}"), RESULT_OK);
    struct submission cut = {.count = 1};
    cut.items[0] = item("k.a", VERSION_GIVEN, 6, "{\"v\":2}");
    real_redis_kill(&f.redis);
    submit_to(&f.a, &cut, NULL);
    run_until(f.loop, is_done, &cut, SOON_MS, "cut off");
    assert_int_equal(cut.items[0].outcome, RESULT_UNAVAILABLE);
    run_until(f.loop, is_detached, &f.a, SOON_MS, "detached");
    run_until(f.loop, is_detached, &f.b, SOON_MS, "detached");
    assert_true(strlen(f.a.reason) > 0);
    assert_int_equal(submit(&f.a, "k.a", VERSION_GIVEN, 6, "{\"v\":2}"), RESULT_UNAVAILABLE);
    assert_string_equal(node_text(&f.a, "board", "k.a"), "{\"v\":1}"); /* the screen keeps what it has */
    real_redis_restart(&f.redis, NULL);
    run_until(f.loop, are_equal, &f, SOON_MS, "both attached again");
    assert_int_equal(f.a.attachments, 2);
    assert_null(node_text(&f.a, "board", "k.a")); /* nothing was saved: a new epoch */
    assert_int_equal(submit(&f.a, "k.a", VERSION_GIVEN, 6, "{\"v\":2}"), RESULT_OK);
    converge(&f, "healed");
    finish(&f);
}

static void test_foreign_content_is_counted_and_survived(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    assert_true(ASK(&f.redis, "PUBLISH", f.channel, "hello")[0] != '-');
    assert_true(ASK(&f.redis, "PUBLISH", f.channel, "1 P board 00000000000000aa 7 8 9 1\n8 1 1 -\nx")[0] !=
                '-');
    assert_true(ASK(&f.redis, "PUBLISH", f.channel, "1 M board 00000000000000aa\n")[0] != '-');
    run_for(f.loop, 100);
    assert_int_equal((int)node_metric(&f.b, "gw_journal_malformed_total", NULL), 1);
    assert_int_equal(f.b.boards[0].images, 1); /* a question each, no reading again */
    assert_int_equal(submit(&f.b, "k.a", VERSION_NEXT, 0, "{\"v\":2}"), RESULT_OK);
    converge(&f, "after foreign messages");
    /* Fields that are not ours do not reach a board; the others do. */
    assert_string_equal(ASK(&f.redis, "HSET", f.state, "k.x", "7 7 1 v{\"v\":"), "1");
    assert_string_equal(ASK(&f.redis, "HSET", f.state, "k.y", "7 7 99999 v{}"), "1");
    struct node late = {0};
    start_node(&f, &late);
    assert_string_equal(node_text(&late, "board", "k.a"), "{\"v\":2}");
    assert_null(node_text(&late, "board", "k.x"));
    assert_null(node_text(&late, "board", "k.y"));
    assert_int_equal((int)node_metric(&late, "gw_journal_malformed_total", NULL), 2);
    node_stop(&late);
    /* Keys of another type, tails that do not fit: the board begins again. */
    assert_string_equal(ASK(&f.redis, "SET", f.tail, "mine"), "OK");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":3}"), RESULT_OK);
    converge(&f, "with another tail");
    assert_string_equal(ASK(&f.redis, "SET", f.state, "mine"), "OK");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":4}"), RESULT_OK);
    converge(&f, "with another state");
    assert_string_equal(ASK(&f.redis, "HSET", f.meta, "offset", "minus one"), "0");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":5}"), RESULT_OK);
    converge(&f, "with another meta");
    assert_string_equal(node_text(&f.b, "board", "k.a"), "{\"v\":5}");
    finish(&f);
}

/* ---- a cluster ---- */

static void test_a_cluster_shard_is_used_with_its_own_channels(void **state)
{
    (void)state;
    struct fixture f;
    char nodes[128], bus_port[8];
    snprintf(bus_port, sizeof bus_port, "%d", 20000 + getpid() % 10000); /* its own would be port + 10000 */
    const char *const clustered[] = {"--cluster-enabled", "yes", "--cluster-port", bus_port, NULL};
    prepare_with(&f, clustered);
    assert_string_equal(ASK(&f.redis, "CLUSTER", "ADDSLOTSRANGE", "0", "16383"), "OK");
    start_node(&f, &f.a);
    start_node(&f, &f.b);
    assert_string_equal(ASK(&f.redis, "PUBSUB", "SHARDCHANNELS"), f.channel);
    assert_string_equal(ASK(&f.redis, "PUBSUB", "CHANNELS"), "");
    assert_int_equal(submit(&f.a, "k.a", VERSION_NEXT, 0, "{\"v\":1}"), RESULT_OK);
    converge(&f, "in a cluster");
    assert_string_equal(node_text(&f.b, "board", "k.a"), "{\"v\":1}");
    assert_int_equal((int)node_metric(&f.b, "gw_journal_gaps_total", "outcome=\"repaired\""), 0);
    snprintf(nodes, sizeof nodes, "%s/nodes.conf", f.redis.directory);
    assert_int_equal(unlink(nodes), 0);
    finish(&f);
}

/* ---- memory ---- */

static void test_creation_survives_every_failed_allocation(void **state)
{
    (void)state;
    const struct redis_server server = server_at(1);
    struct redis_journal_options options = redis_journal_defaults;
    options.server = &server;
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        struct loop *loop = loop_create();
        struct metrics *metrics = metrics_create();
        const struct journal_host host = {.context = NULL};
        struct position at;
        allocations_fail_one_after(i);
        struct journal *journal = redis_journal_create(loop, metrics, &host, &options);
        bool is_open = journal && journal_open(journal, "board", &at) == RESULT_OK;
        has_failed = allocations_recover();
        assert_true(is_open || has_failed);
        journal_destroy(journal);
        metrics_destroy(metrics);
        loop_destroy(loop);
    }
}

static void test_submitting_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    bool has_failed = true;
    unsigned refused = 0;
    for (int i = 0; has_failed; i++) {
        struct submission submission = {.count = 3};
        submission.items[0] = item("k.a", VERSION_GIVEN, (uint64_t)i + 1, i % 2 ? "{\"v\":1}" : "{\"v\":2}");
        submission.items[1] = item("k.b", VERSION_NEXT, 0, i % 2 ? "{\"v\":1}" : "{\"v\":2}");
        submission.items[2] = item("k.c", VERSION_NEXT, 0, NULL);
        allocations_fail_one_after(i);
        submit_to(&f.a, &submission, NULL);
        has_failed = allocations_recover();
        run_until(f.loop, is_done, &submission, SOON_MS, "done whatever failed");
        enum result outcome = submission.items[0].outcome;
        assert_true(outcome == RESULT_OK || outcome == RESULT_NO_MEMORY || outcome == RESULT_UNAVAILABLE);
        assert_true(has_failed || outcome == RESULT_OK);
        refused += outcome != RESULT_OK ? 1 : 0;
        run_until(f.loop, are_equal, &f, SOON_MS, "equal whatever failed");
    }
    assert_true(refused >= 2);
    finish(&f);
}

/* ---- boards come and go ---- */

static bool has_second_image(void *context)
{
    return ((struct node *)context)->boards[0].images >= 2;
}

static void test_boards_come_and_go_while_work_is_outstanding(void **state)
{
    (void)state;
    struct fixture f;
    setup_two(&f);
    struct submission cut = {.count = 1};
    cut.items[0] = item("k.a", VERSION_GIVEN, 6, "{\"v\":2}");
    submit_to(&f.a, &cut, NULL);
    journal_close(f.a.journal, "board");
    run_until(f.loop, is_done, &cut, SOON_MS, "answered though closed");
    assert_int_equal(cut.items[0].outcome, RESULT_OK);
    assert_true(f.a.is_attached);
    struct position at;
    assert_int_equal(journal_open(f.a.journal, "board", &at), RESULT_OK);
    f.a.boards[0].at = at;
    run_until(f.loop, has_second_image, &f.a, SOON_MS, "read again");
    converge(&f, "opened again");
    assert_int_equal(f.a.attachments, 1); /* no detour through detached for one more board */
    /* Destroying answers what is outstanding. */
    submit_to(&f.a, &cut, NULL);
    journal_destroy(f.a.journal);
    f.a.journal = NULL;
    assert_true(cut.is_done);
    assert_int_equal(cut.items[0].outcome, RESULT_UNAVAILABLE);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes_follow_the_version_rules),
        cmocka_unit_test(test_a_transaction_is_one_publication),
        cmocka_unit_test(test_the_same_change_from_two_nodes_is_applied_once),
        cmocka_unit_test(test_nodes_converge_under_random_submits),
        cmocka_unit_test(test_nodes_converge_through_random_faults),
        cmocka_unit_test(test_a_gap_is_repaired_by_the_next_message),
        cmocka_unit_test(test_the_position_check_finds_a_silent_subscription),
        cmocka_unit_test(test_killed_connections_lose_nothing),
        cmocka_unit_test(test_a_flushed_redis_begins_a_new_epoch),
        cmocka_unit_test(test_a_failover_that_lost_its_tail_is_noticed),
        cmocka_unit_test(test_after_a_failover_offsets_still_rise),
        cmocka_unit_test(test_without_the_nonce_check_the_same_failover_diverges),
        cmocka_unit_test(test_another_lineage_is_refused_until_the_board_is_restarted),
        cmocka_unit_test(test_redis_holds_no_more_than_boards_do),
        cmocka_unit_test(test_memory_in_redis_stays_bounded),
        cmocka_unit_test(test_a_full_board_refuses_new_fields_only),
        cmocka_unit_test(test_too_much_at_once_is_refused),
        cmocka_unit_test(test_an_evicting_redis_is_refused_until_it_is_cured),
        cmocka_unit_test(test_a_flushed_script_is_loaded_again_in_order),
        cmocka_unit_test(test_a_dead_redis_answers_unavailable_and_heals),
        cmocka_unit_test(test_foreign_content_is_counted_and_survived),
        cmocka_unit_test(test_a_cluster_shard_is_used_with_its_own_channels),
        cmocka_unit_test(test_creation_survives_every_failed_allocation),
        cmocka_unit_test(test_submitting_survives_every_failed_allocation),
        cmocka_unit_test(test_boards_come_and_go_while_work_is_outstanding),
    };
    return cmocka_run_group_tests_name("redis_journal", tests, NULL, NULL);
}
