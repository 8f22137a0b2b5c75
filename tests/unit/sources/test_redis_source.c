/*
 * Messages and streams of a real redis-server become values on boards: through faults of the subscription, restarts, a journal
 * that is away, and two processes of which one forwards.
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
#include "../support/fake_redis.h"
#include "../support/real_redis.h"
#include "io/loop_handles.h"
#include "sources/redis_source.h"
#include "support/small_gateway.h"

/* One process: its own pipeline and links, sharing the loop and the server with others. */
struct node {
    struct small_gateway gateway;
    struct redis_link *commands;
    struct redis_source_options options;
    struct source *source;
};

static struct loop *loop;
static struct real_redis redis;
static struct redis_server server;
static struct node a, b;

static void node_open(struct node *node)
{
    static const struct redis_link_events no_events;
    const struct redis_link_options link = {.name = "commands", .server = &server, .max_outstanding = 1024};
    *node = (struct node){0};
    small_gateway_init(&node->gateway, DEFINITIONS);
    node->commands = redis_link_create(loop, node->gateway.metrics, &link, &no_events);
    assert_non_null(node->commands);
    redis_link_start(node->commands);
    node->options = (struct redis_source_options){
        .loop = loop,
        .pipeline = node->gateway.pipeline,
        .metrics = node->gateway.metrics,
        .server = &server,
        .commands = node->commands,
        .prefix = "t:",
        .node = "node",
        .lease_ttl_ms = 600,
        .now = clock_moment,
    };
}

static void node_start(struct node *node)
{
    node->source = redis_source_create(&node->options);
    assert_non_null(node->source);
    assert_int_equal(node->source->ops->start(node->source), RESULT_OK);
}

static void node_stop(struct node *node)
{
    if (node->source) {
        node->source->ops->stop(node->source);
        node->source->ops->destroy(node->source);
        node->source = NULL;
    }
}

static void node_close(struct node *node)
{
    if (node->gateway.metrics) {
        node_stop(node);
        redis_link_destroy(node->commands);
        loop_run_once(loop, false);
        small_gateway_finish(&node->gateway);
        *node = (struct node){0};
    }
}

static int setup(void **state)
{
    (void)state;
    small_now = clock_moment();
    loop = loop_create();
    assert_non_null(loop);
    real_redis_start(&redis, NULL);
    server = (struct redis_server){
        .host = "127.0.0.1",
        .port = redis.port,
        .connect_timeout_ms = 1000,
        .ping_after_ms = 500,
        .reply_timeout_ms = 1500,
        .reconnect_base_ms = 20,
        .reconnect_limit_ms = 50,
    };
    node_open(&a);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    node_close(&a);
    node_close(&b);
    loop_destroy(loop);
    real_redis_stop(&redis);
    return 0;
}

static double messages(const struct node *node, const char *result)
{
    char label[64];
    (void)snprintf(label, sizeof label, "result=\"%s\"", result);
    return metric_read(metrics_find(node->gateway.metrics, "gw_redis_messages_total", label));
}

/* Waits until the field's text contains the words; NULL: until it is gone. */
static void await_value(const struct node *node, const char *board, const char *field, const char *words)
{
    const char *value = NULL;
    for (int i = 0; i < 1000; i++) {
        value = small_gateway_value(&node->gateway, board, field);
        if (words ? value && strstr(value, words) : !value) {
            return;
        }
        spend(loop, 5);
    }
    fail_msg("%s is %s, not %s", field, value ? value : "nothing", words ? words : "nothing");
}

static void await_count(const struct node *node, const char *result, double wanted)
{
    for (int i = 0; i < 1000 && messages(node, result) < wanted; i++) {
        spend(loop, 5);
    }
    assert_true(messages(node, result) == wanted);
}

/* Until the server knows this many subscriptions to a channel. */
static void await_subscribers(const char *channel, int count)
{
    char expected[32];
    (void)snprintf(expected, sizeof expected, "\r\n:%d\r\n", count);
    for (int i = 0; i < 1000; i++) {
        if (strstr(REDIS_ASK(&redis, "PUBSUB", "NUMSUB", channel), expected)) {
            return;
        }
        spend(loop, 5);
    }
    fail_msg("%s has not got %d subscribers", channel, count);
}

static void set_attached(const struct node *node, bool is_attached)
{
    const struct journal_host host = pipeline_journal_host(node->gateway.pipeline);
    host.on_attached(host.context, is_attached, is_attached ? "" : "away");
}

/* ---- channels ---- */

static void test_channels_of_definitions_feed_their_kpis(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:insight", 1);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "41.5");
    await_value(&a, "knowledge", "know.search_p95", "41.5");
    (void)REDIS_ASK(&redis, "PUBLISH", "event:insight",
                    "{\"id\":\"i1\",\"title\":\"Churn\",\"body\":\"long\",\"type\":\"trend\"}");
    await_value(&a, "executive", "exec.insights#i1", "long");
    await_value(&a, "knowledge", "know.insights#i1", "trend");
    assert_true(messages(&a, "ok") == 3);
}

static void test_bad_messages_are_counted_and_the_rest_runs(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:alert", 1);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "degraded");
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "-5");
    (void)REDIS_ASK(&redis, "PUBLISH", "event:alert", "{\"title\":\"no key\"}");
    (void)REDIS_ASK(&redis, "PUBLISH", "event:alert",
                    "{\"key\":\"a\",\"title\":\"t\",\"severity\":\"critical\",\"extra\":1}");
    await_value(&a, "executive", "exec.alerts#a", "critical");
    assert_true(messages(&a, "malformed") == 1);
    assert_true(messages(&a, "out_of_range") == 1);
    assert_true(messages(&a, "missing_field") == 1);
    assert_true(messages(&a, "leftover") == 1);
    assert_true(messages(&a, "ok") == 1);
}

static void test_configured_channels_and_patterns(void **state)
{
    (void)state;
    static const struct redis_mapping mappings[] = {
        {.kind = REDIS_MAPPING_CHANNEL, .name = "rev", .form = REDIS_FORM_KPI, .kpi = "exec.revenue_mtd"},
        {.kind = REDIS_MAPPING_PATTERN, .name = "changes.*", .form = REDIS_FORM_ENVELOPE},
        {.kind = REDIS_MAPPING_CHANNEL,
         .name = "event:insight",
         .form = REDIS_FORM_KPI,
         .kpi = "exec.alerts"},
        {.kind = REDIS_MAPPING_CHANNEL, .name = "event:alert", .form = REDIS_FORM_ENVELOPE},
    };
    a.options.channels = mappings;
    a.options.channel_count = 4;
    node_start(&a);
    await_subscribers("event:alert", 1);
    (void)REDIS_ASK(&redis, "PUBLISH", "rev", "{\"value\":\"10.50\",\"version\":2}");
    await_value(&a, "executive", "exec.revenue_mtd", "10.50");
    (void)REDIS_ASK(&redis, "PUBLISH", "changes.sales",
                    "[{\"field\":\"exec.revenue_mtd\",\"value\":\"11.50\",\"version\":3},"
                    "{\"field\":\"exec.revenue_mtd\",\"value\":\"9.50\",\"version\":1}]");
    await_value(&a, "executive", "exec.revenue_mtd", "11.50");
    /* the configuration adds to what definitions say */
    (void)REDIS_ASK(&redis, "PUBLISH", "event:insight",
                    "{\"key\":\"k\",\"title\":\"t\",\"severity\":\"info\"}");
    await_value(&a, "executive", "exec.insights#k", "t");
    await_value(&a, "executive", "exec.alerts#k", "info");
    /* except that envelopes take the channel */
    (void)REDIS_ASK(&redis, "PUBLISH", "event:alert", "{\"field\":\"know.search_p95\",\"value\":7}");
    await_value(&a, "knowledge", "know.search_p95", "7");
}

static void test_keys_are_read_after_every_reconnect(void **state)
{
    (void)state;
    static const struct redis_mapping mappings[] = {
        {REDIS_MAPPING_CHANNEL, "text", REDIS_FORM_KPI, "know.search_p95", "text.now", REDIS_FROM_NEWEST},
        {REDIS_MAPPING_CHANNEL, "members", REDIS_FORM_KPI, "know.recall_p95", "members.now",
         REDIS_FROM_NEWEST},
        {REDIS_MAPPING_CHANNEL, "rows", REDIS_FORM_KPI, "exec.alerts", "rows.now", REDIS_FROM_NEWEST},
        {REDIS_MAPPING_CHANNEL, "list", REDIS_FORM_KPI, "exec.insights", "list.now", REDIS_FROM_NEWEST},
        {REDIS_MAPPING_PATTERN, "any.*", REDIS_FORM_ENVELOPE, NULL, "any.now", REDIS_FROM_NEWEST},
        {REDIS_MAPPING_CHANNEL, "wrong", REDIS_FORM_KPI, "exec.win_rate", "wrong.now", REDIS_FROM_NEWEST},
        {REDIS_MAPPING_CHANNEL, "none", REDIS_FORM_KPI, "exec.win_rate", "none.now", REDIS_FROM_NEWEST},
    };
    a.options.channels = mappings;
    a.options.channel_count = 7;
    (void)REDIS_ASK(&redis, "SET", "text.now", "{\"value\":41,\"as_of\":1763719200123}");
    (void)REDIS_ASK(&redis, "HSET", "members.now", "value", "512.5", "as_of", "2026-01-01T00:00:00Z");
    (void)REDIS_ASK(&redis, "HSET", "rows.now", "a", "{\"title\":\"first\",\"severity\":\"info\"}", "b",
                    "{\"title\":\"second\",\"severity\":\"info\"}");
    (void)REDIS_ASK(&redis, "LPUSH", "list.now", "{\"key\":\"old\",\"title\":\"x\"}",
                    "{\"key\":\"new\",\"title\":\"y\"}");
    (void)REDIS_ASK(&redis, "HSET", "any.now", "exec.revenue_mtd", "{\"value\":\"1.25\"}");
    (void)REDIS_ASK(&redis, "SADD", "wrong.now", "x");
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"as_of\":1763719200123");
    await_value(&a, "knowledge", "know.recall_p95", "512.5");
    await_value(&a, "executive", "exec.alerts#b", "second");
    await_value(&a, "executive", "exec.alerts#a", "first");
    await_value(&a, "executive", "exec.insights#new", "y");
    await_value(&a, "executive", "exec.revenue_mtd", "1.25");
    await_count(&a, "wrong_type", 1);

    (void)REDIS_ASK(&redis, "SET", "text.now", "42");
    (void)REDIS_ASK(&redis, "HSET", "rows.now", "a", "{\"title\":\"changed\",\"severity\":\"info\"}");
    (void)REDIS_ASK(&redis, "CLIENT", "KILL", "TYPE", "pubsub"); /* what was published meanwhile is lost */
    await_value(&a, "knowledge", "know.search_p95", "42");
    await_value(&a, "executive", "exec.alerts#a", "changed");

    (void)REDIS_ASK(&redis, "SET", "text.now", "43");
    set_attached(&a, false);
    set_attached(&a, true); /* what was told before may be gone */
    await_value(&a, "knowledge", "know.search_p95", "43");
}

static void test_messages_wait_while_the_journal_is_away(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:insight", 1);
    set_attached(&a, false);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "1");
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "2");
    spend(loop, 400);
    assert_null(small_gateway_value(&a.gateway, "knowledge", "know.search_p95"));
    assert_true(metric_read(metrics_find(a.gateway.metrics, "gw_redis_messages_waiting", NULL)) == 2);
    set_attached(&a, true);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":2");
    assert_true(messages(&a, "ok") == 2);
    assert_true(messages(&a, "unavailable") == 0);
}

static void test_oldest_of_too_many_waiting_messages_go(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:insight", 1);
    set_attached(&a, false);
    assert_non_null(strstr(
        REDIS_ASK(&redis, "EVAL",
                  "for i = 1, 10005 do redis.call('PUBLISH', 'kpi:know.search_p95', i) end return 1", "0"),
        ":1"));
    await_count(&a, "dropped", 5);
    set_attached(&a, true);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":10005");
    assert_true(messages(&a, "ok") == 10000);
}

static void test_submissions_may_outlive_the_source(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:insight", 1);
    small_gateway_hold();
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "1");
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "2");
    spend(loop, 100);
    node_stop(&a);
    small_gateway_release();
    await_value(&a, "knowledge", "know.search_p95", "\"v\":2");
}

static void test_subscription_that_delivers_nothing_is_found(void **state)
{
    (void)state;
    /* Commands go to the real server; the subscriber talks to one that confirms, answers pings and delivers nothing. */
    struct fake_redis *deaf = calloc(1, sizeof *deaf);
    fake_redis_open(deaf, loop);
    struct redis_server deaf_server = server;
    deaf_server.port = deaf->port;
    deaf_server.ping_after_ms = 60000;
    a.options.server = &deaf_server;
    node_start(&a);
    assert_true(fake_redis_greet(deaf, 1000));
    assert_true(fake_redis_hear(deaf, "t:heartbeat:node:", 1000));
    spend(loop, 20);
    assert_true(fake_redis_hear(deaf, "\r\n", 100));
    const char *channel = strstr(deaf->heard, "t:heartbeat:node:");
    char confirmation[200];
    (void)snprintf(confirmation, sizeof confirmation, "*3\r\n$9\r\nsubscribe\r\n$25\r\n%.25s\r\n:1\r\n",
                   channel);
    fake_redis_say(deaf, confirmation);
    const struct metric *lost = metrics_find(a.gateway.metrics, "gw_redis_heartbeats_lost_total", NULL);
    spend(loop, 1500);
    assert_true(metric_read(lost) == 0);
    for (int i = 0; i < 500 && metric_read(lost) == 0; i++) {
        spend(loop, 5);
    }
    assert_true(metric_read(lost) == 1);
    assert_true(fake_redis_greet(deaf, 1000)); /* it dials anew */
    node_stop(&a);
    fake_redis_close(deaf);
    free(deaf);
}

static void test_health_names_what_is_wrong_and_heals(void **state)
{
    (void)state;
    node_start(&a);
    await_subscribers("event:insight", 1);
    const struct metric *up = metrics_find(a.gateway.metrics, "gw_redis_link_up", "link=\"channels\"");
    assert_true(metric_read(up) == 1);
    real_redis_kill(&redis);
    for (int i = 0; i < 400 && metric_read(up) != 0; i++) {
        spend(loop, 5);
    }
    assert_true(metric_read(up) == 0);
    assert_non_null(strstr(redis_link_reason(redis_source_subscriber(a.source)), "127.0.0.1:"));
    real_redis_restart(&redis, NULL);
    await_subscribers("event:insight", 1);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "6");
    await_value(&a, "knowledge", "know.search_p95", "6");
}

/* ---- streams ---- */

static const struct redis_mapping streams[] = {
    {.kind = REDIS_MAPPING_STREAM,
     .name = "s1",
     .form = REDIS_FORM_ENVELOPE,
     .stream_from = REDIS_FROM_OLDEST},
    {.kind = REDIS_MAPPING_STREAM,
     .name = "s2",
     .form = REDIS_FORM_KPI,
     .kpi = "know.recall_p95",
     .stream_from = REDIS_FROM_NEWEST},
};

static void use_streams(struct node *node, bool is_shared)
{
    node->options.streams = streams;
    node->options.stream_count = 2;
    node->options.is_shared = is_shared;
}

static void add_to_s1(int value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "{\"field\":\"know.search_p95\",\"value\":%d}", value);
    (void)REDIS_ASK(&redis, "XADD", "s1", "*", "payload", text);
}

static void await_position(const char *key, const char *not_this)
{
    for (int i = 0; i < 1000; i++) {
        const char *position = REDIS_ASK(&redis, "GET", key);
        if (position[0] == '$' && position[1] != '-' && (!not_this || !strstr(position, not_this))) {
            return;
        }
        spend(loop, 5);
    }
    fail_msg("%s is not stored", key);
}

static void test_streams_are_read_from_where_they_are_told(void **state)
{
    (void)state;
    add_to_s1(1);
    (void)REDIS_ASK(&redis, "XADD", "s2", "*", "value", "99");
    use_streams(&a, false);
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    assert_null(small_gateway_value(&a.gateway, "knowledge", "know.recall_p95"));
    (void)REDIS_ASK(&redis, "XADD", "s2", "*", "value", "100", "reason", "why");
    await_value(&a, "knowledge", "know.recall_p95", "100");
    (void)REDIS_ASK(&redis, "XADD", "s1", "*", "field", "know.store_p95", "value", "3", "version", "7");
    await_value(&a, "knowledge", "know.store_p95", "\"ver\":7");
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    assert_null(
        strstr(small_gateway_value(&a.gateway, "knowledge", "know.search_p95"), "\"ver\"")); /* hidden */
}

static void test_position_survives_a_restart_without_loss_or_repeat(void **state)
{
    (void)state;
    use_streams(&a, true);
    add_to_s1(1);
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    await_position("t:stream-position:s1", NULL);
    await_position("t:stream-position:s2", NULL);
    spend(loop, 50);
    node_close(&a);
    add_to_s1(2);
    add_to_s1(3);
    (void)REDIS_ASK(&redis, "XADD", "s2", "*", "value", "50");
    node_open(&a);
    use_streams(&a, true);
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":3");
    await_value(&a, "knowledge", "know.recall_p95", "50");
    await_count(&a, "ok", 3); /* not the one from before */
}

static void test_memory_journal_reads_the_oldest_again(void **state)
{
    (void)state;
    use_streams(&a, false);
    add_to_s1(1);
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    node_close(&a);
    node_open(&a);
    use_streams(&a, false);
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
}

static void test_position_waits_for_the_journal(void **state)
{
    (void)state;
    use_streams(&a, true);
    node_start(&a);
    add_to_s1(1);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    await_position("t:stream-position:s1", NULL);
    char before[100];
    (void)snprintf(before, sizeof before, "%s", REDIS_ASK(&redis, "GET", "t:stream-position:s1"));
    small_gateway_hold(); /* the journal takes its time */
    add_to_s1(2);
    add_to_s1(3);
    spend(loop, 300);
    assert_string_equal(REDIS_ASK(&redis, "GET", "t:stream-position:s1"), before);
    set_attached(&a, false); /* and is gone: what it did not take comes again */
    small_gateway_release();
    spend(loop, 300);
    set_attached(&a, true);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":3");
    await_position("t:stream-position:s1", before + 4);
}

static void test_key_that_is_no_stream_does_not_stop_the_others(void **state)
{
    (void)state;
    (void)REDIS_ASK(&redis, "SET", "s2", "x");
    use_streams(&a, false);
    node_start(&a);
    add_to_s1(1);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    add_to_s1(2);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":2");
    (void)REDIS_ASK(&redis, "XADD", "becomes-s2", "*", "value", "1");
    (void)REDIS_ASK(&redis, "RENAME", "becomes-s2", "s2");
    /* It is looked at again after five seconds, and read from its end on: what is added before is not for us. */
    const char *value = NULL;
    int added = 1;
    while (added < 50 && !value) {
        (void)REDIS_ASK(&redis, "XADD", "s2", "*", "value", "77");
        added++;
        spend(loop, 200);
        value = small_gateway_value(&a.gateway, "knowledge", "know.recall_p95");
    }
    assert_non_null(value);
    assert_non_null(strstr(value, "\"v\":77"));
    assert_true(messages(&a, "ok") >= 2 + 1 && messages(&a, "ok") < 2 + added); /* two came by s1 */
}

static void test_many_entries_are_all_taken_in_order(void **state)
{
    (void)state;
    use_streams(&a, true);
    (void)REDIS_ASK(
        &redis, "EVAL",
        "for i = 1, 1234 do redis.call('XADD', 's1', '*', 'field', 'know.search_p95', 'value', i) end", "0");
    node_start(&a);
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1234");
    await_count(&a, "ok", 1234);
    real_redis_kill(&redis);
    spend(loop, 100);
    real_redis_restart(&redis, NULL);
    add_to_s1(5); /* all is lost, positions too; what comes is taken */
    await_value(&a, "knowledge", "know.search_p95", "\"v\":5");
}

/* ---- two processes ---- */

static void test_one_of_two_forwards_and_the_other_takes_over(void **state)
{
    (void)state;
    a.options.is_shared = true;
    node_start(&a);
    await_subscribers("event:insight", 1);
    spend(loop, 400);
    node_open(&b);
    b.options.is_shared = true;
    node_start(&b);
    await_subscribers("event:insight", 2);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "1");
    await_value(&a, "knowledge", "know.search_p95", "\"v\":1");
    spend(loop, 100);
    assert_null(small_gateway_value(&b.gateway, "knowledge", "know.search_p95"));
    /* Nobody forwards for a moment; what is published then is remembered by whoever takes over. */
    (void)REDIS_ASK(&redis, "SET", "t:lease:redis-source", "somebody else", "PX", "900");
    spend(loop, 400);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "2");
    spend(loop, 100);
    assert_null(strstr(small_gateway_value(&a.gateway, "knowledge", "know.search_p95"), "\"v\":2"));
    assert_null(small_gateway_value(&b.gateway, "knowledge", "know.search_p95"));
    spend(loop, 1000);
    bool is_a = strstr(small_gateway_value(&a.gateway, "knowledge", "know.search_p95"), "\"v\":2") != NULL;
    struct node *forwards = is_a ? &a : &b;
    struct node *waits = is_a ? &b : &a;
    await_value(forwards, "knowledge", "know.search_p95", "\"v\":2");
    /* One that stops hands over at once. */
    node_stop(forwards);
    spend(loop, 300);
    (void)REDIS_ASK(&redis, "PUBLISH", "kpi:know.search_p95", "3");
    await_value(waits, "knowledge", "know.search_p95", "\"v\":3");
}

static void test_every_failing_allocation_is_survived(void **state)
{
    (void)state;
    use_streams(&a, true);
    bool has_failed = true;
    for (int count = 0; has_failed; count++) {
        allocations_fail_one_after(count);
        struct source *source = redis_source_create(&a.options);
        has_failed = allocations_recover();
        assert_true(has_failed || source);
        if (source) {
            source->ops->destroy(source);
        }
        loop_run_once(loop, false);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_channels_of_definitions_feed_their_kpis),
        CASE(test_bad_messages_are_counted_and_the_rest_runs),
        CASE(test_configured_channels_and_patterns),
        CASE(test_keys_are_read_after_every_reconnect),
        CASE(test_messages_wait_while_the_journal_is_away),
        CASE(test_oldest_of_too_many_waiting_messages_go),
        CASE(test_submissions_may_outlive_the_source),
        CASE(test_subscription_that_delivers_nothing_is_found),
        CASE(test_health_names_what_is_wrong_and_heals),
        CASE(test_streams_are_read_from_where_they_are_told),
        CASE(test_position_survives_a_restart_without_loss_or_repeat),
        CASE(test_memory_journal_reads_the_oldest_again),
        CASE(test_position_waits_for_the_journal),
        CASE(test_key_that_is_no_stream_does_not_stop_the_others),
        CASE(test_many_entries_are_all_taken_in_order),
        CASE(test_one_of_two_forwards_and_the_other_takes_over),
        CASE(test_every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
