/* A link against a scripted server and against a real one: greeting, faults, caps, subscriptions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "../support/allocations.h"
#include "../support/fake_redis.h"
#include "../support/real_redis.h"
#include "base/clock.h"
#include "io/loop.h"
#include "io/loop_handles.h"
#include "io/redis_lease.h"
#include "io/redis_link.h"

struct fixture {
    struct loop *loop;
    struct metrics *metrics;
    struct fake_redis fake;
    struct redis_server server;
    struct redis_link_options options;
    struct redis_link *link;
    unsigned ups, downs, messages, subscribed, replies, lost;
    char reason[700];
    char message[200]; /* pattern|channel|payload */
    char texts[2000];  /* of replies, each with a space behind */
    bool destroys_on_reply, destroys_on_down, rejects_on_up;
};

static void on_up(void *context)
{
    struct fixture *f = context;
    f->ups++;
    if (f->rejects_on_up) {
        redis_link_reject(f->link, "unfit");
        assert_false(redis_link_is_up(f->link));
    }
}

static void on_down(void *context, const char *reason)
{
    struct fixture *f = context;
    f->downs++;
    (void)snprintf(f->reason, sizeof f->reason, "%s", reason);
    assert_false(redis_link_is_up(f->link));
    assert_string_equal(redis_link_reason(f->link), reason);
    if (f->destroys_on_down) {
        redis_link_destroy(f->link);
        f->link = NULL;
    }
}

static void on_message(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t payload_length)
{
    struct fixture *f = context;
    f->messages++;
    (void)snprintf(f->message, sizeof f->message, "%s|%.*s|%.*s", pattern != NULL ? pattern : "",
                   (int)channel_length, channel, (int)payload_length, payload);
}

static void on_subscribed(void *context, const char *channel)
{
    (void)channel;
    ((struct fixture *)context)->subscribed++;
}

static void on_reply(void *context, const struct redisReply *reply)
{
    struct fixture *f = context;
    if (reply == NULL) {
        f->lost++;
        return;
    }
    f->replies++;
    char text[100] = "";
    if (redis_reply_type(reply) == REDIS_INTEGER) {
        (void)snprintf(text, sizeof text, "%lld ", (long long)redis_reply_integer(reply));
    } else if (redis_reply_text(reply, NULL) != NULL) {
        (void)snprintf(text, sizeof text, "%.90s ", redis_reply_text(reply, NULL));
    }
    if (strlen(f->texts) + strlen(text) < sizeof f->texts) {
        strcat(f->texts, text);
    }
    if (f->destroys_on_reply) {
        redis_link_destroy(f->link);
        f->link = NULL;
    }
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->loop = loop_create();
    f->metrics = metrics_create();
    fake_redis_open(&f->fake, f->loop);
    f->server = (struct redis_server){
        .host = "127.0.0.1",
        .port = f->fake.port,
        .connect_timeout_ms = 1000,
        .ping_after_ms = 300,
        .reply_timeout_ms = 400,
        .reconnect_base_ms = 20,
        .reconnect_limit_ms = 50,
    };
    f->options = (struct redis_link_options){.name = "test", .server = &f->server, .max_outstanding = 100};
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    redis_link_destroy(f->link);
    fake_redis_close(&f->fake);
    loop_destroy(f->loop);
    metrics_destroy(f->metrics);
    free(f);
    return 0;
}

static void create(struct fixture *f)
{
    const struct redis_link_events events = {.context = f,
                                             .on_up = on_up,
                                             .on_down = on_down,
                                             .on_message = on_message,
                                             .on_subscribed = on_subscribed};
    f->link = redis_link_create(f->loop, f->metrics, &f->options, &events);
    assert_non_null(f->link);
}

static void connect_link(struct fixture *f)
{
    create(f);
    unsigned before = f->ups + f->downs;
    redis_link_start(f->link);
    assert_int_equal(f->ups + f->downs, before); /* nothing is told before the call has returned */
}

static enum result send_words(struct fixture *f, const char *first, const char *second)
{
    const char *words[] = {first, second};
    return redis_link_send(f->link, on_reply, f, second != NULL ? 2 : 1, words, NULL);
}

static double metric_of(const struct fixture *f, const char *name)
{
    return metric_read(metrics_find(f->metrics, name, "link=\"test\""));
}

/* ---- scripted ---- */

static void up_with_fake(struct fixture *f)
{
    connect_link(f);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(await(f->loop, &f->ups, 1, 1000));
    assert_true(redis_link_is_up(f->link));
    assert_string_equal(redis_link_reason(f->link), "");
}

static void test_replies_come_in_order_to_who_asked(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(redis_link_server_version(f->link), 70015);
    assert_false(redis_link_server_is_cluster(f->link));
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    assert_int_equal(send_words(f, "GET", "b"), RESULT_OK);
    const char *binary[] = {"SET", "k\0k", ""};
    const size_t lengths[] = {3, 3, 0};
    assert_int_equal(redis_link_send(f->link, NULL, NULL, 3, binary, lengths), RESULT_OK);
    assert_int_equal(send_words(f, "INCR", "c"), RESULT_OK);
    assert_true(fake_redis_hear(&f->fake, "*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n", 500));
    const char expected[] = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"
                            "*3\r\n$3\r\nSET\r\n$3\r\nk\0k\r\n$0\r\n\r\n*2\r\n$4\r\nINCR";
    assert_memory_equal(f->fake.heard, expected, sizeof expected - 1);
    fake_redis_say(&f->fake, "$1\r\nx\r\n$1\r\ny\r\n+OK\r\n:7\r\n");
    assert_true(await(f->loop, &f->replies, 3, 500));
    assert_string_equal(f->texts, "x y 7 ");
    assert_true(redis_link_rtt_us(f->link) > 0);
    assert_true(metric_of(f, "gw_redis_rtt_seconds") == 4);
    assert_true(metric_of(f, "gw_redis_link_up") == 1);
}

static void test_bytes_that_trickle_make_the_same_reply(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    const char *reply = "$11\r\nhello world\r\n";
    for (const char *at = reply; *at != '\0'; at++) {
        fake_redis_say_bytes(&f->fake, at, 1);
        spend(f->loop, 2);
    }
    assert_true(await(f->loop, &f->replies, 1, 500));
    assert_string_equal(f->texts, "hello world ");
}

static void test_silence_is_asked_with_a_ping(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    for (int i = 0; i < 2; i++) {
        assert_true(fake_redis_hear(&f->fake, "PING", 1000));
        fake_redis_forget(&f->fake);
        fake_redis_say(&f->fake, "+PONG\r\n");
    }
    spend(f->loop, 200);
    assert_true(redis_link_is_up(f->link));
    assert_int_equal(f->downs, 0);
}

static void test_server_that_answers_nothing_any_more_is_left(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    uint64_t since = clock_monotonic_ms();
    assert_true(await(f->loop, &f->downs, 1, 3000)); /* 300 ms silence + 400 ms for the PING */
    uint64_t took = clock_monotonic_ms() - since;
    assert_in_range(took, 600, 1500);
    assert_non_null(strstr(f->reason, "has not answered for 400 ms"));
    assert_true(metric_of(f, "gw_redis_link_up") == 0);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(await(f->loop, &f->ups, 2, 1000));
    assert_true(metric_of(f, "gw_redis_reconnects_total") == 1);
}

static void test_reply_that_never_ends_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    fake_redis_say(&f->fake, "$1000\r\n");
    for (int i = 0; i < 400 && f->downs == 0; i++) {
        fake_redis_say(&f->fake, "x");
        spend(f->loop, 5);
    }
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->lost, 1);
    assert_int_equal(f->replies, 0);
}

static void test_reset_answers_what_was_outstanding_and_reconnects(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    }
    assert_true(fake_redis_hear(&f->fake, "GET", 500));
    fake_redis_hang_up(&f->fake, true);
    assert_true(await(f->loop, &f->downs, 1, 1000));
    assert_int_equal(f->lost, 3);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_UNAVAILABLE);
    assert_true(metric_of(f, "gw_redis_refused_total") == 1);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(await(f->loop, &f->ups, 2, 1000));
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
}

static void test_more_than_may_be_outstanding_is_refused(void **state)
{
    struct fixture *f = *state;
    f->options.max_outstanding = 5;
    up_with_fake(f);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    }
    assert_int_equal(send_words(f, "GET", "a"), RESULT_FULL);
    fake_redis_say(&f->fake, ":1\r\n");
    assert_true(await(f->loop, &f->replies, 1, 500));
    for (int round = 0; round < 20; round++) { /* around the ring */
        assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
        assert_int_equal(send_words(f, "GET", "a"), RESULT_FULL);
        fake_redis_say(&f->fake, ":1\r\n");
        assert_true(await(f->loop, &f->replies, 2 + (unsigned)round, 500));
    }
}

static void test_output_that_nobody_takes_is_capped(void **state)
{
    struct fixture *f = *state;
    f->server.reply_timeout_ms = 60000;
    up_with_fake(f);
    char *big = malloc(8 << 20);
    memset(big, 'x', 8 << 20);
    const char *words[] = {"SET", "k", big};
    const size_t lengths[] = {3, 1, 8 << 20};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(redis_link_send(f->link, on_reply, f, 3, words, lengths), RESULT_OK);
    }
    assert_int_equal(redis_link_send(f->link, on_reply, f, 3, words, lengths), RESULT_FULL);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK); /* what fits still goes */
    free(big);
}

static void test_huge_reply_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    f->server.reply_timeout_ms = 60000;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    fake_redis_say(&f->fake, "$2000000000\r\n");
    char *chunk = calloc(1, 1 << 20);
    for (int i = 0; i < 80 && f->downs == 0; i++) {
        fake_redis_say_bytes(&f->fake, chunk, 1 << 20);
        if (f->downs != 0) {
            break;
        }
    }
    free(chunk);
    assert_true(await(f->loop, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "too many bytes"));
    assert_int_equal(f->lost, 1);
}

static void test_huge_array_is_not_allocated(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    fake_redis_say(&f->fake, "*2000000000\r\n");
    assert_true(await(f->loop, &f->downs, 1, 1000));
    assert_non_null(strstr(f->reason, "too many elements"));
}

static void test_what_is_not_redis_is_named(void **state)
{
    struct fixture *f = *state;
    connect_link(f);
    assert_true(fake_redis_accept(&f->fake, 1000));
    assert_true(fake_redis_hear(&f->fake, "INFO", 500));
    fake_redis_say(&f->fake, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_true(await(f->loop, &f->downs, 1, 1000));
    char place[40];
    (void)snprintf(place, sizeof place, "127.0.0.1:%u", f->fake.port);
    assert_non_null(strstr(f->reason, place));
    assert_non_null(strstr(f->reason, "not to be used"));
}

static void test_unasked_reply_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    fake_redis_say(&f->fake, "+what\r\n");
    assert_true(await(f->loop, &f->downs, 1, 1000));
    assert_non_null(strstr(f->reason, "said what was not asked: what"));
}

static void test_server_that_never_greets_back_times_out(void **state)
{
    struct fixture *f = *state;
    f->server.connect_timeout_ms = 200;
    connect_link(f);
    assert_true(fake_redis_accept(&f->fake, 1000));
    assert_true(await(f->loop, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "has not answered for 200 ms"));
    assert_int_equal(f->ups, 0);
}

static void test_refused_connections_are_tried_again_for_ever(void **state)
{
    struct fixture *f = *state;
    fake_redis_close(&f->fake);
    connect_link(f);
    assert_true(await(f->loop, &f->downs, 10, 3000));
    assert_non_null(strstr(f->reason, "connect failed: Connection refused"));
    assert_int_equal(f->ups, 0);
}

/* Answers to the greeting: what a link that did not come up says. */
static void greet_with(struct fixture *f, const char *answer, const char *expected)
{
    unsigned before = f->downs;
    assert_true(fake_redis_accept(&f->fake, 1000));
    assert_true(fake_redis_hear(&f->fake, "INFO", 500));
    fake_redis_say(&f->fake, answer);
    assert_true(await(f->loop, &f->downs, before + 1, 1000));
    if (strstr(f->reason, expected) == NULL) {
        fail_msg("expected \"%s\" in \"%s\"", expected, f->reason);
    }
    assert_null(strstr(f->reason, "sesame"));
}

static void test_each_unfit_server_gets_its_reason(void **state)
{
    struct fixture *f = *state;
    connect_link(f);
    greet_with(f, "-NOAUTH Authentication required.\r\n", "set redis.password");
    greet_with(f, "+OK\r\n:1\r\n*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.9\r\n:6380\r\n$9\r\nconnected\r\n:1\r\n",
               "is a replica of 10.0.0.9:6380: name its master");
    greet_with(f, "+OK\r\n:1\r\n*2\r\n$8\r\nsentinel\r\n*0\r\n", "is a Sentinel: list it in redis.sentinels");
    greet_with(f, "+OK\r\n:1\r\n*1\r\n$6\r\nmaster\r\n$22\r\nredis_version:6.0.16\r\n\r\n",
               "is version 6.0.16: 6.2 or later is needed");
    greet_with(f, "+OK\r\n:1\r\n*1\r\n$6\r\nmaster\r\n$3\r\nfoo\r\n", "does not tell its version");
    greet_with(f, "+OK\r\n:1\r\n-NOPERM this user has no permissions to run the 'role' command\r\n",
               "forbids ROLE to user default: allow it (ACL SETUSER default +role)");
    greet_with(f, "-NOPERM no\r\n-NOPERM no\r\n*1\r\n$6\r\nmaster\r\n-NOPERM no\r\n", "+info");
    greet_with(f, "+OK\r\n:1\r\n-LOADING Redis is loading the dataset in memory\r\n",
               "is loading its data set");
    greet_with(f, "-DENIED Redis is running in protected mode\r\n", "protected mode");
    greet_with(f, "+OK\r\n:1\r\n:3\r\n", "is it Redis?");
    greet_with(f, "+OK\r\n:1\r\n-ERR bad\x01\xff\r\n", "refused ROLE: ERR bad??");
    f->server.password = "open sesame";
    greet_with(f, "-ERR unknown command `AUTH`, with args beginning with: `open sesame`\r\n",
               "refused the password: check redis.password");
    greet_with(f, "-ERR Client sent AUTH, but no password is set\r\n", "has no password set");
    greet_with(f, "-WRONGPASS invalid username-password pair\r\n", "refused the password");
    greet_with(f, "-ERR max number of clients reached\r\n", "max number of clients");
    f->server.username = "gateway";
    f->server.database = 3;
    greet_with(f, "-WRONGPASS invalid username-password pair\r\n", "check redis.username and redis.password");
    greet_with(f, "+OK\r\n+OK\r\n:1\r\n-ERR DB index is out of range\r\n",
               "has no database 3: check redis.database");
    assert_int_equal(f->ups, 0);
}

static void test_master_that_turns_replica_is_left(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "SET", "a"), RESULT_OK);
    fake_redis_say(&f->fake, "-READONLY You can't write against a read only replica.\r\n");
    assert_true(await(f->loop, &f->downs, 1, 1000));
    assert_int_equal(f->replies, 1); /* the error itself is heard */
    assert_non_null(strstr(f->reason, "has become a replica"));
}

static void test_rejecting_is_told_later_and_keeps_its_distance(void **state)
{
    struct fixture *f = *state;
    f->rejects_on_up = true;
    connect_link(f);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(fake_redis_greet(&f->fake, 1000));
        assert_true(await(f->loop, &f->downs, i, 1000));
        assert_string_equal(f->reason, "unfit");
    }
    assert_int_equal(f->ups, 3);
}

static void test_a_link_may_be_destroyed_from_its_callbacks(void **state)
{
    struct fixture *f = *state;
    f->destroys_on_reply = true;
    up_with_fake(f);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    }
    fake_redis_say(&f->fake, ":1\r\n:2\r\n:3\r\n:4\r\n");
    spend(f->loop, 100);
    assert_null(f->link);
    assert_int_equal(f->replies, 1);
    assert_int_equal(f->lost, 3);
    f->destroys_on_reply = false;
    f->destroys_on_down = true;
    f->ups = 0;
    up_with_fake(f);
    fake_redis_hang_up(&f->fake, false);
    assert_true(await(f->loop, &f->downs, 1, 1000));
    assert_null(f->link);
    spend(f->loop, 100);
}

static void test_destroying_answers_what_is_outstanding(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    redis_link_destroy(f->link);
    f->link = NULL;
    assert_int_equal(f->lost, 1);
    assert_int_equal(f->downs, 0);
}

static void test_waking_late_reads_before_it_judges(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    assert_int_equal(send_words(f, "GET", "a"), RESULT_OK);
    assert_true(fake_redis_hear(&f->fake, "GET", 500));
    fake_redis_forget(&f->fake);
    const struct timespec sleep = {.tv_nsec = 700 * 1000 * 1000};
    assert_int_equal(send(f->fake.fd, ":5\r\n", 4, 0), 4);
    nanosleep(&sleep, NULL); /* we were stopped; the answer waits in the socket, the deadline is over */
    loop_run_once(f->loop, false);
    assert_int_equal(f->replies, 1);
    spend(f->loop, 50);
    assert_int_equal(f->downs, 0);
}

static void test_subscriptions_are_asked_for_again(void **state)
{
    struct fixture *f = *state;
    create(f);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_CHANNEL, "a"), RESULT_OK);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_CHANNEL, "gone"), RESULT_OK);
    assert_int_equal(redis_link_unsubscribe(f->link, REDIS_CHANNEL, "gone"), RESULT_OK);
    redis_link_start(f->link);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(fake_redis_hear(&f->fake, "$9\r\nSUBSCRIBE\r\n$1\r\na\r\n", 500));
    assert_int_equal(redis_link_subscribe(f->link, REDIS_PATTERN, "p*"), RESULT_OK);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_SHARD_CHANNEL, "s"), RESULT_OK);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_SHARD_CHANNEL, "s"), RESULT_OK);
    assert_true(fake_redis_hear(&f->fake, "$10\r\nSSUBSCRIBE\r\n$1\r\ns\r\n", 500));
    fake_redis_say(&f->fake, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                             "*4\r\n$8\r\npmessage\r\n$2\r\np*\r\n$2\r\npx\r\n$2\r\nhi\r\n");
    assert_true(await(f->loop, &f->messages, 1, 500));
    assert_string_equal(f->message, "p*|px|hi");
    assert_int_equal(f->subscribed, 1);
    fake_redis_say(&f->fake, "*3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$0\r\n\r\n");
    assert_true(await(f->loop, &f->messages, 2, 500));
    assert_string_equal(f->message, "|s|");
    assert_true(fake_redis_hear(&f->fake, "PING", 1000));
    fake_redis_say(&f->fake, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    fake_redis_hang_up(&f->fake, true);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(fake_redis_hear(&f->fake, "SSUBSCRIBE\r\n$1\r\ns\r\n", 500));
    assert_non_null(strstr(f->fake.heard, "$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"));
    assert_non_null(strstr(f->fake.heard, "$10\r\nPSUBSCRIBE\r\n$2\r\np*\r\n"));
    assert_null(strstr(f->fake.heard, "gone"));
    fake_redis_say(&f->fake, "-NOPERM this user has no permissions to access one of the channels\r\n");
    assert_true(await(f->loop, &f->downs, 2, 500));
    assert_non_null(strstr(f->reason, "refused a subscription: NOPERM"));
}

static void test_silent_subscriber_is_left_though_nothing_was_expected(void **state)
{
    struct fixture *f = *state;
    create(f);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_CHANNEL, "a"), RESULT_OK);
    redis_link_start(f->link);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(await(f->loop, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "has not answered for 400 ms"));
}

/* ---- Sentinel ---- */

static void test_sentinels_are_asked_in_turn_for_the_master(void **state)
{
    struct fixture *f = *state;
    struct fake_redis *sentinel = calloc(1, sizeof *sentinel);
    fake_redis_open(sentinel, f->loop);
    char dead[40], place[40], answer[80], port[8];
    struct fake_redis *closed = calloc(1, sizeof *closed);
    fake_redis_open(closed, f->loop);
    (void)snprintf(dead, sizeof dead, "127.0.0.1:%u", closed->port);
    fake_redis_close(closed);
    free(closed);
    (void)snprintf(place, sizeof place, "localhost:%u", sentinel->port);
    const char *sentinels[] = {dead, place, NULL};
    f->server.host = NULL;
    f->server.sentinels = sentinels;
    f->server.sentinel_master = "sophia";
    f->server.sentinel_password = "sesame";
    connect_link(f);
    bool was_asked =
        false; /* localhost may be ::1 first, where nobody listens: the next attempt takes the other */
    was_asked = fake_redis_accept(sentinel, 3000);
    assert_true(was_asked);
    unsigned downs = f->downs;
    assert_true(fake_redis_hear(sentinel, "$23\r\nget-master-addr-by-name\r\n$6\r\nsophia\r\n", 500));
    assert_non_null(strstr(sentinel->heard, "AUTH\r\n$6\r\nsesame\r\n"));
    fake_redis_say(sentinel, "+OK\r\n+OK\r\n*-1\r\n");
    assert_true(await(f->loop, &f->downs, downs + 1, 3000));
    assert_non_null(strstr(f->reason, "knows no master named sophia: check redis.sentinel_master"));

    assert_true(fake_redis_accept(sentinel, 3000));
    assert_true(fake_redis_hear(sentinel, "sophia\r\n", 500));
    (void)snprintf(port, sizeof port, "%u", f->fake.port);
    (void)snprintf(answer, sizeof answer, "+OK\r\n+OK\r\n*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n",
                   strlen(port), port);
    fake_redis_say(sentinel, answer);
    assert_true(fake_redis_greet(&f->fake, 1000));
    assert_true(await(f->loop, &f->ups, 1, 1000));

    fake_redis_hang_up(&f->fake,
                       false); /* where the master is now is asked anew, first of who knew it last */
    assert_true(fake_redis_accept(sentinel, 3000));
    fake_redis_close(sentinel);
    free(sentinel);
}

/* ---- a real server ---- */

static void test_real_server_over_tcp_and_unix_socket(void **state)
{
    struct fixture *f = *state;
    struct real_redis redis;
    real_redis_start(&redis, (const char *const[]){"--requirepass", "sesame", NULL});
    f->server.port = redis.port;
    connect_link(f);
    assert_true(await(f->loop, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "wants a password"));
    f->server.password = "wrong";
    assert_true(await(f->loop, &f->downs, f->downs + 2, 2000));
    assert_non_null(strstr(f->reason, "refused the password"));
    f->server.password = "sesame";
    f->server.database = 9;
    assert_true(await(f->loop, &f->ups, 1, 2000));
    assert_int_equal(send_words(f, "INCR", "n"), RESULT_OK);
    assert_true(await(f->loop, &f->replies, 1, 1000));
    assert_int_equal(send_words(f, "CLIENT", "GETNAME"), RESULT_OK);
    assert_true(await(f->loop, &f->replies, 2, 1000));
    assert_string_equal(f->texts, "1 sophia-gateway:test ");
    redis_link_destroy(f->link);
    f->server.unix_path = redis.unix_path;
    f->server.host = NULL;
    connect_link(f);
    assert_true(await(f->loop, &f->ups, 2, 2000));
    assert_int_equal(send_words(f, "INCR", "n"), RESULT_OK);
    assert_true(await(f->loop, &f->replies, 3, 1000));
    assert_string_equal(f->texts, "1 sophia-gateway:test 2 ");
    real_redis_stop(&redis);
}

static void test_real_server_restarts_and_freezes(void **state)
{
    struct fixture *f = *state;
    struct real_redis redis;
    real_redis_start(&redis, NULL);
    f->server.port = redis.port;
    f->server.host = "localhost";
    connect_link(f);
    assert_true(await(f->loop, &f->ups, 1, 2000));
    real_redis_kill(&redis);
    assert_true(await(f->loop, &f->downs, 1, 2000));
    spend(f->loop, 100);
    real_redis_restart(&redis, NULL);
    assert_true(await(f->loop, &f->ups, 2, 5000));
    unsigned downs = f->downs;
    kill(redis.pid, SIGSTOP);
    assert_true(await(f->loop, &f->downs, downs + 1, 5000));
    kill(redis.pid, SIGCONT);
    assert_true(await(f->loop, &f->ups, 3, 5000));
    real_redis_stop(&redis);
}

static void test_real_replica_is_refused_until_it_is_promoted(void **state)
{
    struct fixture *f = *state;
    struct real_redis master, replica;
    real_redis_start(&master, NULL);
    char of[40];
    (void)snprintf(of, sizeof of, "127.0.0.1 %u", master.port);
    real_redis_start(&replica, (const char *const[]){"--replicaof", of, NULL});
    f->server.port = replica.port;
    connect_link(f);
    assert_true(await(f->loop, &f->downs, 1, 2000));
    assert_non_null(strstr(f->reason, "is a replica of 127.0.0.1:"));
    assert_string_equal(REDIS_ASK(&replica, "REPLICAOF", "NO", "ONE"), "+OK\r\n");
    assert_true(await(f->loop, &f->ups, 1, 3000));
    real_redis_stop(&replica);
    real_redis_stop(&master);
}

static void test_real_messages_arrive(void **state)
{
    struct fixture *f = *state;
    struct real_redis redis;
    real_redis_start(&redis, NULL);
    f->server.port = redis.port;
    create(f);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_CHANNEL, "news"), RESULT_OK);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_PATTERN, "x.*"), RESULT_OK);
    assert_int_equal(redis_link_subscribe(f->link, REDIS_SHARD_CHANNEL, "shard"), RESULT_OK);
    redis_link_start(f->link);
    assert_true(await(f->loop, &f->subscribed, 3, 2000));
    assert_string_equal(REDIS_ASK(&redis, "PUBLISH", "news", "one"), ":1\r\n");
    assert_true(await(f->loop, &f->messages, 1, 1000));
    assert_string_equal(f->message, "|news|one");
    assert_string_equal(REDIS_ASK(&redis, "PUBLISH", "x.y", "two"), ":1\r\n");
    assert_true(await(f->loop, &f->messages, 2, 1000));
    assert_string_equal(f->message, "x.*|x.y|two");
    spend(f->loop, 1000); /* pings in between */
    assert_true(redis_link_is_up(f->link));
    assert_string_equal(REDIS_ASK(&redis, "CLIENT", "KILL", "TYPE", "pubsub"), ":1\r\n");
    assert_true(await(f->loop, &f->subscribed, 6, 2000));
    (void)REDIS_ASK(&redis, "PUBLISH", "news", "three");
    assert_true(await(f->loop, &f->messages, 3, 1000));
    real_redis_stop(&redis);
}

/* ---- lease ---- */

struct holder {
    struct redis_lease *lease;
    unsigned changes;
};

static void on_change(void *context)
{
    ((struct holder *)context)->changes++;
}

static void test_one_of_two_holds_a_lease_and_hands_it_over(void **state)
{
    struct fixture *f = *state;
    struct real_redis redis;
    real_redis_start(&redis, NULL);
    f->server.port = redis.port;
    connect_link(f);
    assert_true(await(f->loop, &f->ups, 1, 2000));
    struct holder a = {0}, b = {0};
    a.lease = redis_lease_create(f->loop, f->link, "lease", 300, on_change, &a);
    assert_true(await(f->loop, &a.changes, 1, 1000));
    assert_true(redis_lease_is_held(a.lease));
    b.lease = redis_lease_create(f->loop, f->link, "lease", 300, on_change, &b);
    spend(f->loop, 700); /* renewed, so it does not expire */
    assert_true(redis_lease_is_held(a.lease));
    assert_false(redis_lease_is_held(b.lease));
    redis_lease_destroy(a.lease); /* gives it back */
    assert_true(await(f->loop, &b.changes, 1, 250));
    assert_true(redis_lease_is_held(b.lease));
    real_redis_kill(&redis);
    assert_true(await(f->loop, &b.changes, 2, 1000)); /* nobody holds it without Redis */
    assert_false(redis_lease_is_held(b.lease));
    redis_lease_destroy(b.lease);
    redis_link_destroy(f->link);
    f->link = NULL;
    real_redis_stop(&redis);
}

static void test_a_lease_outlives_its_request_under_way(void **state)
{
    struct fixture *f = *state;
    up_with_fake(f);
    struct holder a = {0};
    a.lease = redis_lease_create(f->loop, f->link, "lease", 300, on_change, &a);
    assert_true(fake_redis_hear(&f->fake, "EVAL", 500));
    redis_lease_destroy(a.lease);
    redis_link_destroy(f->link); /* answers the request: the lease is freed once */
    f->link = NULL;
    spend(f->loop, 20);
    assert_int_equal(a.changes, 0);
}

static void test_every_failing_allocation_is_survived(void **state)
{
    struct fixture *f = *state;
    const struct redis_link_events events = {.context = f, .on_up = on_up, .on_down = on_down};
    bool has_failed = true;
    for (int count = 0; has_failed; count++) {
        allocations_fail_one_after(count);
        struct redis_link *link = redis_link_create(f->loop, f->metrics, &f->options, &events);
        struct redis_lease *lease =
            link != NULL ? redis_lease_create(f->loop, link, "lease", 300, on_change, NULL) : NULL;
        enum result result = link != NULL ? redis_link_subscribe(link, REDIS_CHANNEL, "a") : RESULT_NO_MEMORY;
        has_failed = allocations_recover();
        assert_true(has_failed || (lease != NULL && result == RESULT_OK));
        redis_lease_destroy(lease);
        redis_link_destroy(link);
        loop_run_once(f->loop, false);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(test_replies_come_in_order_to_who_asked),
        CASE(test_bytes_that_trickle_make_the_same_reply),
        CASE(test_silence_is_asked_with_a_ping),
        CASE(test_server_that_answers_nothing_any_more_is_left),
        CASE(test_reply_that_never_ends_is_not_waited_for),
        CASE(test_reset_answers_what_was_outstanding_and_reconnects),
        CASE(test_more_than_may_be_outstanding_is_refused),
        CASE(test_output_that_nobody_takes_is_capped),
        CASE(test_huge_reply_ends_the_connection),
        CASE(test_huge_array_is_not_allocated),
        CASE(test_what_is_not_redis_is_named),
        CASE(test_unasked_reply_ends_the_connection),
        CASE(test_server_that_never_greets_back_times_out),
        CASE(test_refused_connections_are_tried_again_for_ever),
        CASE(test_each_unfit_server_gets_its_reason),
        CASE(test_master_that_turns_replica_is_left),
        CASE(test_rejecting_is_told_later_and_keeps_its_distance),
        CASE(test_a_link_may_be_destroyed_from_its_callbacks),
        CASE(test_destroying_answers_what_is_outstanding),
        CASE(test_waking_late_reads_before_it_judges),
        CASE(test_subscriptions_are_asked_for_again),
        CASE(test_silent_subscriber_is_left_though_nothing_was_expected),
        CASE(test_sentinels_are_asked_in_turn_for_the_master),
        CASE(test_real_server_over_tcp_and_unix_socket),
        CASE(test_real_server_restarts_and_freezes),
        CASE(test_real_replica_is_refused_until_it_is_promoted),
        CASE(test_real_messages_arrive),
        CASE(test_one_of_two_holds_a_lease_and_hands_it_over),
        CASE(test_a_lease_outlives_its_request_under_way),
        CASE(test_every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
