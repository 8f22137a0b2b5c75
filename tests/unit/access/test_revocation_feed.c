/* Revocations from a file and from a real redis-server: what is read, heard, refused and kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/revocation_feed.h"
#include "io/loop_handles.h"
#include "support/fake_redis.h"
#include "support/real_redis.h"

static struct loop *loop;
static struct metrics *metrics;
static struct real_redis redis;
static struct redis_server server;
static struct revocation_feed *feed;
static unsigned changes;
static char path[64];

static void write_file(const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void on_change(void *context)
{
    (void)context;
    changes++;
}

static void start(const struct redis_server *with_redis, const char *file)
{
    const struct revocation_feed_options options = {
        .loop = loop,
        .metrics = metrics,
        .file = file,
        .redis = with_redis,
        .prefix = "t:",
        .redis_key = "revoked",
        .on_change = on_change,
    };
    feed = revocation_feed_create(&options);
}

static int setup(void **context)
{
    (void)context;
    loop = loop_create();
    metrics = metrics_create();
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
    (void)snprintf(path, sizeof path, "/tmp/sophia-revoked-XXXXXX");
    changes = 0;
    return close(mkstemp(path));
}

static int teardown(void **context)
{
    (void)context;
    revocation_feed_destroy(feed);
    feed = NULL;
    loop_run_once(loop, false);
    loop_destroy(loop);
    metrics_destroy(metrics);
    real_redis_stop(&redis);
    return unlink(path);
}

static double counted(const char *name, const char *labels)
{
    const struct metric *metric = metrics_find(metrics, name, labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static bool is_revoked(const char *subject)
{
    return revocations_cover(revocation_feed_list(feed), subject, "", 0);
}

static void await_count(const char *name, const char *labels, double at_least)
{
    for (int i = 0; i < 1000 && counted(name, labels) < at_least; i++) {
        spend(loop, 5);
    }
    if (counted(name, labels) < at_least) {
        fail_msg("%s{%s} is %f", name, labels, counted(name, labels));
    }
}

static void await_revoked(const char *subject, bool wanted)
{
    for (int i = 0; i < 1000 && is_revoked(subject) != wanted; i++) {
        spend(loop, 5);
    }
    assert_true(is_revoked(subject) == wanted);
}

#define READS "gw_auth_revocation_reads_total"
#define OF_REDIS "from=\"redis\",result=\"ok\""
#define REFUSED_OF_REDIS "from=\"redis\",result=\"refused\""

/** From here on it reads the set, and hears of news. */
static void await_subscription(void)
{
    for (int i = 0; i < 1000 && !strstr(REDIS_ASK(&redis, "PUBSUB", "NUMSUB", "t:revoked"), "\r\n:1\r\n");
         i++) {
        spend(loop, 5);
    }
    await_count(READS, OF_REDIS, 1);
}

/* ---- the file ---- */

static void test_a_file_that_changes_is_read_again(void **context)
{
    (void)context;
    write_file("sub:alice\n");
    start(NULL, path);
    assert_non_null(feed);
    assert_true(is_revoked("alice"));
    assert_null(revocation_feed_reader(feed));
    assert_true(await(loop, &changes, 1, 2000));
    write_file("sub:alice\nsub:bob\n");
    assert_true(await(loop, &changes, 2, 2000));
    assert_true(is_revoked("bob"));
    assert_int_equal(counted("gw_auth_revocations", "from=\"file\""), 2);
    write_file("sub:carol\nnonsense\n");
    await_count(READS, "from=\"file\",result=\"refused\"", 1);
    assert_true(is_revoked("bob"));
    assert_false(is_revoked("carol"));
    assert_false(revocation_feed_reload(feed));
    write_file("sub:carol\n");
    assert_true(revocation_feed_reload(feed));
    assert_true(is_revoked("carol"));
    assert_false(is_revoked("bob"));
}

static void test_a_wrong_file_is_no_start(void **context)
{
    (void)context;
    write_file("alice\n");
    start(NULL, path);
    assert_null(feed);
    start(NULL, "/nowhere/revoked");
    assert_null(feed);
}

/* ---- Redis ---- */

static void test_the_set_is_read_whole_and_news_are_heard_at_once(void **context)
{
    (void)context;
    char subject[32];
    for (int i = 0; i < 25; i++) { /* 2,500 members: more than a page */
        char words[100][32];
        const char *add[103] = {"SADD", "t:revoked"};
        for (int j = 0; j < 100; j++) {
            (void)snprintf(words[j], sizeof words[j], "sub:user %d", i * 100 + j);
            add[2 + j] = words[j];
        }
        add[102] = NULL;
        (void)real_redis_ask(&redis, add);
    }
    (void)REDIS_ASK(&redis, "SADD", "t:revoked", "not an entry");
    start(&server, NULL);
    assert_non_null(feed);
    await_subscription();
    for (int i = 0; i < 2500; i++) {
        (void)snprintf(subject, sizeof subject, "user %d", i);
        assert_true(is_revoked(subject));
    }
    assert_int_equal(counted("gw_auth_revocations", "from=\"redis\""), 2500);
    unsigned before = changes;
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "sub:alice");
    await_revoked("alice", true);
    assert_true(await(loop, &changes, before + 1, 1000)); /* told a moment later */
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "alice");
    await_count("gw_auth_revocation_news_total", "result=\"refused\"", 1);
    assert_int_equal(counted("gw_auth_revocation_news_total", "result=\"ok\""), 1);
}

static void test_what_is_taken_off_the_set_is_let_in_again(void **context)
{
    (void)context;
    (void)REDIS_ASK(&redis, "SADD", "t:revoked", "sub:alice", "sub:bob");
    start(&server, NULL);
    await_subscription();
    await_revoked("bob", true);
    (void)REDIS_ASK(&redis, "SREM", "t:revoked", "sub:bob");
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "");
    await_revoked("bob", false);
    assert_true(is_revoked("alice"));
}

static void test_a_set_that_cannot_be_used_changes_nothing(void **context)
{
    (void)context;
    (void)REDIS_ASK(&redis, "SADD", "t:revoked", "sub:alice");
    start(&server, NULL);
    await_subscription();
    await_revoked("alice", true);
    (void)REDIS_ASK(&redis, "DEL", "t:revoked");
    (void)REDIS_ASK(&redis, "SET", "t:revoked", "sub:bob");
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "");
    await_count(READS, REFUSED_OF_REDIS, 1);
    assert_true(is_revoked("alice"));
    assert_false(is_revoked("bob"));
    (void)REDIS_ASK(&redis, "DEL", "t:revoked");
    (void)REDIS_ASK(&redis, "EVAL",
                    "for i = 0, 20000 do redis.call('SADD', KEYS[1], 'sub:user ' .. i) end return 1", "1",
                    "t:revoked");
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "");
    await_count(READS, REFUSED_OF_REDIS, 2);
    assert_true(is_revoked("alice"));
    assert_false(is_revoked("user 7"));
    (void)REDIS_ASK(&redis, "SREM", "t:revoked", "sub:user 7");
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "");
    await_revoked("alice", false);
    assert_true(is_revoked("user 8"));
    /* full: no news fit any more, and are counted */
    (void)REDIS_ASK(&redis, "PUBLISH", "t:revoked", "sub:dave");
    await_count("gw_auth_revocation_news_total", "result=\"refused\"", 1);
    assert_int_equal(counted("gw_auth_revocations", "from=\"redis\""), REVOCATIONS_MAX);
}

static void test_what_redis_said_stays_while_it_is_away(void **context)
{
    (void)context;
    (void)REDIS_ASK(&redis, "SADD", "t:revoked", "sub:alice");
    start(&server, NULL);
    await_subscription();
    await_revoked("alice", true);
    real_redis_kill(&redis);
    for (int i = 0; i < 1000 && (redis_link_is_up(revocation_feed_news(feed)) ||
                                 redis_link_is_up(revocation_feed_reader(feed)));
         i++) {
        spend(loop, 5);
    }
    assert_true(is_revoked("alice"));
    real_redis_restart(&redis, NULL);
    (void)REDIS_ASK(&redis, "SADD", "t:revoked", "sub:bob");
    await_revoked("bob", true); /* read again at the connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_that_changes_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_wrong_file_is_no_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_set_is_read_whole_and_news_are_heard_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_taken_off_the_set_is_let_in_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_set_that_cannot_be_used_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_redis_said_stays_while_it_is_away, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
