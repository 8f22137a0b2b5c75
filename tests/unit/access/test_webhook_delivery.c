/* Greetings, events, and what names them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/webhook_delivery.h"
#include "webhook_sender.h"

static struct webhook *open_with(enum webhook_provider provider)
{
    const char *secret = "whsec_AAAA";
    const struct webhook_options options = {.provider = provider,
                                            .secrets = &secret,
                                            .secret_count = 1,
                                            .public_url = "https://kpi.example/hooks/a"};
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    assert_non_null(webhook);
    return webhook;
}

static struct webhook *webhook;
static struct sent_webhook sent;
static struct webhook_delivery delivery;

/* Reads one; header may be NULL. */
static enum result read_one(enum webhook_provider provider, const char *body, const char *header,
                            const char *value)
{
    webhook = open_with(provider);
    sender_begin(&sent, body);
    if (header) {
        (void)sender_add(&sent, header, value, false);
    }
    const struct webhook_request request = sender_request(&sent);
    return webhook_delivery_read(webhook, &request, &delivery);
}

static void close_one(void)
{
    webhook_delivery_finish(&delivery);
    webhook_destroy(webhook);
}

static void test_slack_is_answered_with_its_challenge(void **state)
{
    (void)state;
    assert_int_equal(read_one(WEBHOOK_SLACK,
                              "{\"token\":\"t\",\"challenge\":\"3eZbrw1a\",\"type\":\"url_verification\"}",
                              NULL, NULL),
                     RESULT_OK);
    assert_int_equal(delivery.kind, WEBHOOK_CHALLENGE);
    assert_string_equal(delivery.challenge, "3eZbrw1a");
    assert_int_equal(webhook_event_count(&delivery), 0);
    close_one();
    static const char *const others[] = {
        "{\"type\":\"event_callback\",\"challenge\":\"x\"}",
        "{\"challenge\":\"x\"}",
        "payload=url_verification",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(read_one(WEBHOOK_SLACK, others[i], NULL, NULL), RESULT_OK);
        assert_int_equal(delivery.kind, WEBHOOK_EVENTS);
        assert_int_equal(webhook_event_count(&delivery), 1);
        close_one();
    }
    assert_int_equal(read_one(WEBHOOK_SLACK, "{\"type\":\"url_verification\"}", NULL, NULL),
                     RESULT_MALFORMED);
    webhook_destroy(webhook);
    assert_int_equal(
        read_one(WEBHOOK_GITHUB, "{\"type\":\"url_verification\",\"challenge\":\"x\"}", NULL, NULL),
        RESULT_OK);
    assert_int_equal(delivery.kind, WEBHOOK_EVENTS);
    close_one();
}

static void test_greetings_are_not_events(void **state)
{
    (void)state;
    assert_int_equal(read_one(WEBHOOK_GITHUB, "{\"zen\":\"...\"}", "x-github-event", "ping"), RESULT_OK);
    assert_int_equal(delivery.kind, WEBHOOK_PING);
    assert_int_equal(webhook_event_count(&delivery), 0);
    close_one();
    assert_int_equal(read_one(WEBHOOK_GITHUB, "{\"zen\":\"...\"}", "x-github-event", "push"), RESULT_OK);
    assert_int_equal(delivery.kind, WEBHOOK_EVENTS);
    close_one();
    assert_int_equal(read_one(WEBHOOK_FIGMA, "{\"event_type\":\"PING\"}", NULL, NULL), RESULT_OK);
    assert_int_equal(delivery.kind, WEBHOOK_PING);
    close_one();
    assert_int_equal(read_one(WEBHOOK_ASANA, "{\"events\":[]}", NULL, NULL), RESULT_OK); /* its heartbeat */
    assert_int_equal(delivery.kind, WEBHOOK_EVENTS);
    assert_int_equal(webhook_event_count(&delivery), 0);
    close_one();
}

static void test_some_providers_send_several_events_at_once(void **state)
{
    (void)state;
    assert_int_equal(read_one(WEBHOOK_HUBSPOT,
                              "[{\"eventId\":1,\"subscriptionType\":\"contact.creation\"},{\"eventId\":2}]",
                              NULL, NULL),
                     RESULT_OK);
    assert_int_equal(webhook_event_count(&delivery), 2);
    assert_int_equal(json_integer_value(json_object_get(webhook_event(&delivery, 1), "eventId")), 2);
    assert_string_equal(webhook_event_type(webhook, &delivery, 0), "contact.creation");
    assert_null(webhook_event_type(webhook, &delivery, 1));
    close_one();
    assert_int_equal(
        read_one(WEBHOOK_ASANA, "{\"events\":[{\"action\":\"changed\"},{\"action\":\"added\"}]}", NULL, NULL),
        RESULT_OK);
    assert_int_equal(webhook_event_count(&delivery), 2);
    assert_string_equal(webhook_event_type(webhook, &delivery, 1), "added");
    close_one();
    assert_int_equal(read_one(WEBHOOK_HUBSPOT, "{\"eventId\":1}", NULL, NULL), RESULT_OK);
    assert_int_equal(webhook_event_count(&delivery), 1);
    assert_ptr_equal(webhook_event(&delivery, 0), delivery.body);
    close_one();
}

static void test_the_kind_of_event_is_where_the_provider_puts_it(void **state)
{
    (void)state;
    static const struct {
        enum webhook_provider provider;
        const char *body, *header, *value, *type;
    } cases[] = {
        {WEBHOOK_GITHUB, "{\"type\":\"x\"}", "x-github-event", "push", "push"},
        {WEBHOOK_GITHUB, "{\"type\":\"x\"}", NULL, NULL, NULL},
        {WEBHOOK_SLACK, "{\"type\":\"event_callback\",\"event\":{\"type\":\"message\"}}", NULL, NULL,
         "message"},
        {WEBHOOK_SLACK, "{\"type\":\"app_rate_limited\"}", NULL, NULL, NULL},
        {WEBHOOK_LINEAR, "{\"type\":\"Issue\"}", "linear-event", "Comment",
         "Issue"}, /* the header is not signed */
        {WEBHOOK_VERCEL, "{\"type\":\"deployment.succeeded\"}", NULL, NULL, "deployment.succeeded"},
        {WEBHOOK_FIGMA, "{\"event_type\":\"FILE_UPDATE\"}", NULL, NULL, "FILE_UPDATE"},
        {WEBHOOK_STANDARD, "{\"type\":\"invoice.paid\"}", NULL, NULL, "invoice.paid"},
        {WEBHOOK_STANDARD, "{\"type\":7}", NULL, NULL, NULL},
        {WEBHOOK_HMAC, "a=1", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_one(cases[i].provider, cases[i].body, cases[i].header, cases[i].value),
                         RESULT_OK);
        const char *type = webhook_event_type(webhook, &delivery, 0);
        if ((type == NULL) != (cases[i].type == NULL) || (type && strcmp(type, cases[i].type) != 0)) {
            fail_msg("%s: %s", cases[i].body, type ? type : "(none)");
        }
        close_one();
    }
}

/* The key of event `index`; all zero when nothing names it. */
static void key_of(enum webhook_provider provider, const char *body, const char *header, const char *value,
                   size_t index, unsigned char out_key[WEBHOOK_KEY_BYTES])
{
    memset(out_key, 0, WEBHOOK_KEY_BYTES);
    assert_int_equal(read_one(provider, body, header, value), RESULT_OK);
    (void)webhook_event_key(webhook, &delivery, index, out_key); /* the test looks at the key */
    close_one();
}

static void test_an_event_is_named_by_what_the_provider_repeats(void **state)
{
    (void)state;
    static const unsigned char none[WEBHOOK_KEY_BYTES];
    static const struct {
        enum webhook_provider provider;
        const char *header, *value; /* of the first */
        const char *body;
        const char *again_value, *again_body; /* the same event, sent again */
        const char *other_value, *other_body; /* another event */
    } cases[] = {
        {WEBHOOK_GITHUB, "x-github-delivery", "72d3162e", "{\"a\":1}", "72d3162e", "{\"a\":1}", "72d3162f",
         "{\"a\":1}"},
        {WEBHOOK_LINEAR, "linear-delivery", "234d1a4e", "{\"webhookTimestamp\":1}", "234d1a4e",
         "{\"webhookTimestamp\":2}", "234d1a4f", "{\"webhookTimestamp\":1}"},
        {WEBHOOK_STANDARD, "webhook-id", "msg_1", "{}", "msg_1", "{\"retry\":1}", "msg_2", "{}"},
        {WEBHOOK_SLACK, NULL, NULL, "{\"event_id\":\"Ev1\",\"event_time\":1}", NULL,
         "{\"event_id\":\"Ev1\",\"event_time\":2}", NULL, "{\"event_id\":\"Ev2\",\"event_time\":1}"},
        {WEBHOOK_HUBSPOT, NULL, NULL,
         "[{\"eventId\":1,\"subscriptionId\":2,\"occurredAt\":3,\"attemptNumber\":0}]", NULL,
         "[{\"attemptNumber\":1,\"occurredAt\":3,\"subscriptionId\":2,\"eventId\":1}]", NULL,
         "[{\"eventId\":1,\"subscriptionId\":2,\"occurredAt\":4}]"},
        {WEBHOOK_ASANA, NULL, NULL,
         "{\"events\":[{\"resource\":{\"gid\":\"1\"},\"action\":\"changed\",\"created_at\":\"t\",\"user\":{\"gid\":\"9\"}}]}",
         NULL,
         "{\"events\":[{\"user\":{\"gid\":\"9\"},\"created_at\":\"t\",\"action\":\"changed\",\"resource\":{\"gid\":\"1\"}}]}",
         NULL, "{\"events\":[{\"resource\":{\"gid\":\"1\"},\"action\":\"changed\",\"created_at\":\"t\"}]}"},
        {WEBHOOK_VERCEL, NULL, NULL, "{\"id\":\"evt_1\"}", NULL, "{\"id\":\"evt_1\",\"x\":1}", NULL,
         "{\"id\":\"evt_2\"}"},
        {WEBHOOK_FIGMA, NULL, NULL, "{\"webhook_id\":\"1\",\"timestamp\":\"t\",\"file_key\":\"f\"}", NULL,
         "{\"webhook_id\":\"1\",\"timestamp\":\"t\",\"file_key\":\"f\",\"retries\":1}", NULL,
         "{\"webhook_id\":1,\"timestamp\":\"t\",\"file_key\":\"f\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char first[WEBHOOK_KEY_BYTES], again[WEBHOOK_KEY_BYTES], other[WEBHOOK_KEY_BYTES];
        key_of(cases[i].provider, cases[i].body, cases[i].header, cases[i].value, 0, first);
        key_of(cases[i].provider, cases[i].again_body, cases[i].header, cases[i].again_value, 0, again);
        key_of(cases[i].provider, cases[i].other_body, cases[i].header, cases[i].other_value, 0, other);
        assert_memory_not_equal(first, none, sizeof none);
        assert_memory_equal(first, again, sizeof first);
        assert_memory_not_equal(first, other, sizeof first);
    }
}

static void test_without_a_name_there_is_no_key(void **state)
{
    (void)state;
    static const struct {
        enum webhook_provider provider;
        const char *body, *header, *value;
    } cases[] = {
        {WEBHOOK_GITHUB, "{}", NULL, NULL},
        {WEBHOOK_GITHUB, "{}", "x-github-delivery", ""},
        {WEBHOOK_SLACK, "{\"type\":\"app_rate_limited\"}", NULL, NULL},
        {WEBHOOK_SLACK, "command=%2Fkpi", NULL, NULL},
        {WEBHOOK_ASANA, "{\"events\":[{\"action\":\"changed\"}]}", NULL, NULL},
        {WEBHOOK_HMAC, "{\"id\":\"1\"}", NULL, NULL},
        {WEBHOOK_BEARER, "{\"id\":\"1\"}", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char key[WEBHOOK_KEY_BYTES];
        assert_int_equal(read_one(cases[i].provider, cases[i].body, cases[i].header, cases[i].value),
                         RESULT_OK);
        assert_false(webhook_event_key(webhook, &delivery, 0, key));
        close_one();
    }
}

static void test_a_body_has_its_limits(void **state)
{
    (void)state;
    char deep[SENDER_BODY_BYTES] = "";
    memset(deep, '[', WEBHOOK_DEPTH_MAX + 1);
    assert_int_equal(read_one(WEBHOOK_GITHUB, deep, NULL, NULL), RESULT_TOO_DEEP);
    webhook_destroy(webhook);
    char *many = calloc(1, WEBHOOK_EVENTS_MAX * 2 + 8);
    assert_non_null(many);
    many[0] = '[';
    for (size_t i = 0; i <= WEBHOOK_EVENTS_MAX; i++) {
        memcpy(many + 1 + i * 2, "1,", 2);
    }
    many[2 + WEBHOOK_EVENTS_MAX * 2] = ']';
    webhook = open_with(WEBHOOK_HUBSPOT);
    sender_begin(&sent, "");
    struct webhook_request request = sender_request(&sent);
    request.body = many;
    request.body_length = strlen(many);
    assert_int_equal(webhook_delivery_read(webhook, &request, &delivery), RESULT_TOO_MANY);
    many[request.body_length - 3] = ']'; /* one less */
    request.body_length -= 2;
    assert_int_equal(webhook_delivery_read(webhook, &request, &delivery), RESULT_OK);
    assert_int_equal(webhook_event_count(&delivery), WEBHOOK_EVENTS_MAX);
    close_one();
    free(many);
    webhook_delivery_finish(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slack_is_answered_with_its_challenge),
        cmocka_unit_test(test_greetings_are_not_events),
        cmocka_unit_test(test_some_providers_send_several_events_at_once),
        cmocka_unit_test(test_the_kind_of_event_is_where_the_provider_puts_it),
        cmocka_unit_test(test_an_event_is_named_by_what_the_provider_repeats),
        cmocka_unit_test(test_without_a_name_there_is_no_key),
        cmocka_unit_test(test_a_body_has_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
