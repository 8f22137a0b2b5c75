/*
 * The door for webhooks with a fake connection and the real pipeline: what reaches the board, what is remembered, and what
 * happens when somebody leaves in between. How each provider signs is tests/unit/access/'s matter.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sources/webhooks.h"
#include "support/fake_http.h"
#include "support/small_gateway.h"
#include "unit/access/webhook_sender.h"

#define ROUTE "/hooks/{name}"
#define HEALTH "exec.customer_health"
#define CALLS "exec.calls_today"

enum { RATE_PER_S = WEBHOOKS_RATE_MAX_PER_S };

static struct small_gateway gateway;
static struct source *source;
static char directory[64];

/* ---- hooks ---- */

static char *no_files[] = {NULL};
static char secret_path[128], older_path[128], asana_path[128], nowhere_path[128];
static char *github_files[] = {secret_path, older_path, NULL};
static char *one_file[] = {secret_path, NULL};
static char *asana_files[] = {asana_path, NULL};
static char *nowhere_files[] = {nowhere_path, NULL};
static char *push_only[] = {(char[]){"push"}, NULL};
static struct webhooks_field github_fields[] = {{HEALTH, "/score"}, {CALLS, NULL}};
static struct webhooks_field hubspot_fields[] = {{HEALTH, "/propertyValue"}, {CALLS, NULL}};
static struct webhooks_field value_fields[] = {{HEALTH, "/score"}};
static struct webhooks_field count_fields[] = {{CALLS, NULL}};

static const struct webhooks_hook hooks[] = {
    {.name = "git",
     .provider = WEBHOOK_GITHUB,
     .secret_files = github_files,
     .events = push_only,
     .fields = github_fields,
     .field_count = 2},
    {.name = "crm",
     .provider = WEBHOOK_HUBSPOT,
     .secret_files = one_file,
     .public_url = "https://kpi.example/hooks/crm",
     .fields = hubspot_fields,
     .field_count = 2},
    {.name = "slack",
     .provider = WEBHOOK_SLACK,
     .secret_files = one_file,
     .fields = count_fields,
     .field_count = 1},
    {.name = "relay",
     .provider = WEBHOOK_BEARER,
     .secret_files = one_file,
     .fields = value_fields,
     .field_count = 1},
    {.name = "tasks",
     .provider = WEBHOOK_ASANA,
     .secret_files = asana_files,
     .fields = count_fields,
     .field_count = 1},
    {.name = "far",
     .provider = WEBHOOK_ASANA,
     .secret_files = nowhere_files,
     .fields = count_fields,
     .field_count = 1},
};

static void write_secret(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/sophia-hooks-XXXXXX");
    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(secret_path, sizeof secret_path, "%s/secret", directory);
    (void)snprintf(older_path, sizeof older_path, "%s/older", directory);
    (void)snprintf(asana_path, sizeof asana_path, "%s/asana", directory);
    (void)snprintf(nowhere_path, sizeof nowhere_path, "%s/nowhere/asana", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory); /* our own name: no quoting needed */
    return system(command);
}

static int setup(void **state)
{
    (void)state;
    fake_http_reset();
    small_gateway_init(&gateway, DEFINITIONS);
    small_now = (struct moment){.monotonic_ms = 1000000, .wall_ms = 1700000000000};
    write_secret(secret_path, "today\n");
    write_secret(older_path, "yesterday\n");
    (void)unlink(asana_path); /* it need not be there */
    const struct webhooks_source_options options = {
        .pipeline = gateway.pipeline,
        .metrics = gateway.metrics,
        .hooks = hooks,
        .hook_count = sizeof hooks / sizeof *hooks,
        .body_max_bytes = 65536,
        .rate_per_s = RATE_PER_S,
        .max_outstanding = 2,
        .now = small_gateway_now,
    };
    source = webhooks_source_create(&options);
    assert_non_null(source);
    assert_int_equal(source->ops->start(source), RESULT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (source) {
        source->ops->stop(source);
        source->ops->destroy(source);
    }
    small_gateway_finish(&gateway);
    return 0;
}

/* ---- sending ---- */

struct sending {
    struct http_exchange exchange;
    struct fake_request_header headers[4];
    char signature[128];
};

static void begin(struct sending *sending, const char *name, const char *body)
{
    memset(sending, 0, sizeof *sending);
    sending->exchange.part = name;
    sending->exchange.body = body;
    sending->exchange.sent = sending->headers;
    sending->exchange.is_remote = true;
}

static void add(struct sending *sending, const char *name, const char *value)
{
    assert_true(sending->exchange.sent_count < 4);
    sending->headers[sending->exchange.sent_count++] = (struct fake_request_header){name, value};
}

static void sign_as_github(struct sending *sending, const char *secret, const char *delivery,
                           const char *event)
{
    memcpy(sending->signature, "sha256=", 8);
    sender_hmac("SHA256", secret, sending->exchange.body, sending->signature + 7,
                sizeof sending->signature - 7);
    add(sending, "x-hub-signature-256", sending->signature);
    add(sending, "x-github-delivery", delivery);
    add(sending, "x-github-event", event);
}

static void sign_as_hubspot(struct sending *sending, const char *time)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "POSThttps://kpi.example/hooks/crm%s%s", sending->exchange.body, time);
    sender_hmac_base64("today", text, sending->signature, sizeof sending->signature);
    add(sending, "x-hubspot-signature-v3", sending->signature);
    add(sending, "x-hubspot-request-timestamp", time);
}

static void sign_as_slack(struct sending *sending)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "v0:1700000000:%s", sending->exchange.body);
    memcpy(sending->signature, "v0=", 4);
    sender_hmac("SHA256", "today", text, sending->signature + 3, sizeof sending->signature - 3);
    add(sending, "x-slack-signature", sending->signature);
    add(sending, "x-slack-request-timestamp", "1700000000");
}

/* Sends it and checks status and, for 200, what became of it; frees the answer. */
static void assert_sent(struct sending *sending, int status, const char *result)
{
    fake_http_send(ROUTE, &sending->exchange);
    assert_int_equal(sending->exchange.answers, 1);
    if (sending->exchange.status != status) {
        fail_msg("answered %d: %s", sending->exchange.status, sending->exchange.text);
    }
    if (status == 200) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "{\"result\":\"%s\"}", result);
        assert_string_equal(sending->exchange.text, expected);
    } else {
        assert_string_equal(sending->exchange.code, result);
        assert_string_equal(sending->exchange.text, ""); /* no detail */
    }
    fake_http_finish(&sending->exchange);
}

static void assert_github(const char *body, const char *delivery, int status, const char *result)
{
    struct sending sending;
    begin(&sending, "git", body);
    sign_as_github(&sending, "today", delivery, "push");
    assert_sent(&sending, status, result);
}

static double counted(const char *hook, const char *result)
{
    char labels[128];
    (void)snprintf(labels, sizeof labels, "hook=\"%s\",result=\"%s\"", hook, result);
    const struct metric *metric = metrics_find(gateway.metrics, "gw_webhooks_total", labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static double changes(const char *result)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "result=\"%s\"", result);
    return metric_read(metrics_find(gateway.metrics, "gw_webhook_changes_total", labels));
}

static void assert_value(const char *field, const char *expected)
{
    const char *value = small_gateway_value(&gateway, "executive", field);
    char member[64];
    (void)snprintf(member, sizeof member, "\"v\":%s", expected);
    if (!value || !strstr(value, member)) {
        fail_msg("%s: %s, not %s", field, value ? value : "nothing", expected);
    }
}

static void assert_no_value(const char *field)
{
    const char *value = small_gateway_value(&gateway, "executive", field);
    if (value && strstr(value, "\"v\":")) {
        fail_msg("%s: %s", field, value);
    }
}

/* ---- what is taken ---- */

static void test_a_genuine_webhook_reaches_the_board(void **state)
{
    (void)state;
    assert_github("{\"score\":81}", "d1", 200, "accepted");
    assert_value(HEALTH, "81");
    assert_value(CALLS, "1");
    assert_true(counted("git", "accepted") == 1);
    assert_true(changes("accepted") == 2);
    assert_github("{\"score\":82}", "d2", 200, "accepted");
    assert_value(HEALTH, "82");
    assert_value(CALLS, "2");
}

static void test_the_older_secret_is_as_good_until_it_goes(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "git", "{\"score\":70}");
    sign_as_github(&sending, "yesterday", "d1", "push");
    assert_sent(&sending, 200, "accepted");
    write_secret(secret_path, "tomorrow\n");
    write_secret(older_path, "today\n");
    assert_true(webhooks_source_reload(source));
    assert_github("{\"score\":71}", "d2", 200, "accepted");
    begin(&sending, "git", "{\"score\":72}");
    sign_as_github(&sending, "yesterday", "d3", "push");
    assert_sent(&sending, 401, "unauthenticated");
    begin(&sending, "git", "{\"score\":73}");
    sign_as_github(&sending, "tomorrow", "d4", "push");
    assert_sent(&sending, 200, "accepted");
    assert_value(HEALTH, "73");
    assert_int_equal(unlink(secret_path), 0);
    assert_false(webhooks_source_reload(source)); /* and what was known stays in force */
    begin(&sending, "git", "{\"score\":74}");
    sign_as_github(&sending, "tomorrow", "d5", "push");
    assert_sent(&sending, 200, "accepted");
}

static void test_the_signed_time_is_the_age_of_the_value(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "crm", "[{\"eventId\":1,\"propertyValue\":77}]");
    sign_as_hubspot(&sending, "1699999900000");
    assert_sent(&sending, 200, "accepted");
    const char *value = small_gateway_value(&gateway, "executive", HEALTH);
    assert_non_null(value);
    assert_non_null(strstr(value, "\"as_of\":1699999900000"));
}

static void test_events_of_other_kinds_mean_nothing(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "git", "{\"score\":81}");
    sign_as_github(&sending, "today", "d1", "star");
    assert_sent(&sending, 200, "accepted");
    assert_no_value(HEALTH);
    assert_no_value(CALLS);
    assert_true(changes("accepted") == 0);
}

static void test_a_value_that_is_not_there_is_passed_over(void **state)
{
    (void)state;
    assert_github("{\"other\":1}", "d1", 200, "accepted");
    assert_no_value(HEALTH);
    assert_value(CALLS, "1");
    assert_true(metric_read(metrics_find(gateway.metrics, "gw_webhook_values_absent_total", NULL)) == 1);
}

static void test_a_value_that_does_not_fit_is_refused_and_shown(void **state)
{
    (void)state;
    assert_github("{\"score\":81}", "d1", 200, "accepted");
    assert_github("{\"score\":{\"a\":1}}", "d2", 200, "accepted");
    assert_value(HEALTH, "81");
    assert_non_null(strstr(small_gateway_value(&gateway, "executive", HEALTH), "\"state\":\"invalid\""));
    assert_value(CALLS, "2");
    assert_true(changes("accepted") == 3);
}

static void test_a_body_that_is_not_json_can_be_counted(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "slack", "command=%2Fkpi&text=");
    sign_as_slack(&sending);
    assert_sent(&sending, 200, "accepted");
    assert_value(CALLS, "1");
    assert_github("a=1", "d1", 400, "malformed"); /* where a value is wanted, it cannot */
    assert_value(CALLS, "1");
    assert_github("{\"score\":81}", "d1", 200, "accepted"); /* and the delivery is not used up */
}

/* ---- what is not ---- */

static void test_who_is_not_genuine_learns_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *secret;
        const char *reason;
        size_t leave_out;
    } cases[] = {{"nonsense", "wrong_signature", 0}, {"today", "missing_header", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sending sending;
        begin(&sending, "git", "{\"score\":81}");
        sign_as_github(&sending, cases[i].secret, "d1", "push");
        sending.exchange.sent_count -= cases[i].leave_out;
        assert_sent(&sending, 401, "unauthenticated");
        assert_true(counted("git", cases[i].reason) == 1);
    }
    struct sending sending;
    begin(&sending, "git", "{\"score\":81}");
    sign_as_github(&sending, "today", "d1", "push");
    add(&sending, "x-hub-signature-256", "sha256=00");
    assert_sent(&sending, 401, "unauthenticated");
    assert_true(counted("git", "repeated_header") == 1);
    begin(&sending, "crm", "[]");
    sign_as_hubspot(&sending, "1699999699999");
    assert_sent(&sending, 401, "unauthenticated");
    assert_true(counted("crm", "too_old") == 1);
    begin(&sending, "nobody", "{}");
    assert_sent(&sending, 404, "not_found");
    assert_true(counted("", "unknown_hook") == 1);
    assert_no_value(HEALTH);
    assert_no_value(CALLS);
}

static void test_a_delivery_is_applied_once(void **state)
{
    (void)state;
    assert_github("{\"score\":81}", "d1", 200, "accepted");
    assert_github("{\"score\":82}", "d2", 200, "accepted");
    assert_github("{\"score\":81}", "d1", 200, "repeated"); /* sent again */
    assert_github("{\"score\":81}", "d9", 200,
                  "repeated"); /* replayed under another name, which is not signed */
    assert_value(HEALTH, "82");
    assert_value(CALLS, "2");
    assert_true(counted("git", "repeated") == 2);
    small_now.monotonic_ms += 72ULL * 3600 * 1000; /* as long as it is remembered */
    assert_github("{\"score\":81}", "d1", 200, "accepted");
}

static void test_the_same_event_in_another_delivery_is_applied_once(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "crm", "[{\"eventId\":1,\"propertyValue\":71},{\"eventId\":2,\"propertyValue\":72}]");
    sign_as_hubspot(&sending, "1700000000000");
    assert_sent(&sending, 200, "accepted");
    assert_value(CALLS, "2");
    begin(&sending, "crm", "[{\"eventId\":1,\"propertyValue\":71},{\"eventId\":3,\"propertyValue\":73}]");
    sign_as_hubspot(&sending, "1700000001000");
    assert_sent(&sending, 200, "accepted");
    assert_value(HEALTH, "73");
    assert_value(CALLS, "3");
    begin(&sending, "crm", "[{\"eventId\":1,\"propertyValue\":71}]");
    sign_as_hubspot(&sending, "1700000002000");
    assert_sent(&sending, 200, "repeated");
    assert_value(HEALTH, "73");
    assert_value(CALLS, "3");
}

static void test_nothing_tells_two_deliveries_with_a_token_apart(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sending sending;
        begin(&sending, "relay", "{\"score\":60}");
        add(&sending, "authorization", "Bearer today");
        assert_sent(&sending, 200, "accepted");
    }
    assert_value(HEALTH, "60");
    assert_true(changes("accepted") == 1 && changes("unchanged") == 1);
}

static void test_beyond_its_rate_a_hook_is_asked_to_wait(void **state)
{
    (void)state;
    char body[64], delivery[32];
    for (int i = 0; i < RATE_PER_S; i++) {
        (void)snprintf(body, sizeof body, "{\"score\":50,\"n\":%d}", i);
        (void)snprintf(delivery, sizeof delivery, "d%d", i);
        assert_github(body, delivery, 200, "accepted");
    }
    struct sending sending;
    begin(&sending, "git", "{\"score\":99}");
    sign_as_github(&sending, "today", "late", "push");
    fake_http_send(ROUTE, &sending.exchange);
    assert_int_equal(sending.exchange.status, 429);
    assert_string_equal(fake_http_header(&sending.exchange, "Retry-After"), "1");
    fake_http_finish(&sending.exchange);
    assert_github("{\"score\":50,\"n\":0}", "d0", 200, "repeated"); /* costs nothing of it */
    begin(&sending, "relay", "{\"score\":61}");
    add(&sending, "authorization", "Bearer today");
    assert_sent(&sending, 200, "accepted"); /* another hook */
    small_now.monotonic_ms += 1000 / RATE_PER_S;
    assert_github("{\"score\":99}", "late", 200, "accepted");
    assert_true(counted("git", "rate_limited") == 1);
}

static void test_more_changes_than_a_submission_holds_are_refused(void **state)
{
    (void)state;
    enum { EVENTS = 999 }; /* and a count makes 1000 */
    char *body = calloc(1, EVENTS * 20 + 32);
    assert_non_null(body);
    for (int extra = 1; extra >= 0; extra--) {
        body[0] = '\0';
        size_t length = 0;
        for (int i = 0; i < EVENTS + extra; i++) {
            length += (size_t)sprintf(body + length, "%s{\"propertyValue\":7}", i > 0 ? "," : "[");
        }
        body[length] = ']';
        body[length + 1] = '\0';
        char *text = calloc(1, length + 128);
        assert_non_null(text);
        (void)sprintf(text, "POSThttps://kpi.example/hooks/crm%s1700000000000", body);
        struct sending sending;
        begin(&sending, "crm", body);
        sender_hmac_base64("today", text, sending.signature, sizeof sending.signature);
        add(&sending, "x-hubspot-signature-v3", sending.signature);
        add(&sending, "x-hubspot-request-timestamp", "1700000000000");
        assert_sent(&sending, extra ? 413 : 200, extra ? "too_many" : "accepted");
        free(text);
    }
    free(body);
    assert_value(CALLS, "999");
}

/* ---- greetings ---- */

static void test_slack_gets_its_challenge_back(void **state)
{
    (void)state;
    struct sending sending;
    begin(&sending, "slack", "{\"type\":\"url_verification\",\"challenge\":\"3eZbrw1a\"}");
    fake_http_send(ROUTE, &sending.exchange);
    assert_int_equal(sending.exchange.status, 401); /* not without a signature */
    fake_http_finish(&sending.exchange);
    begin(&sending, "slack", "{\"type\":\"url_verification\",\"challenge\":\"3eZbrw1a\"}");
    sign_as_slack(&sending);
    fake_http_send(ROUTE, &sending.exchange);
    assert_int_equal(sending.exchange.status, 200);
    assert_string_equal(sending.exchange.text, "3eZbrw1a");
    assert_string_equal(sending.exchange.type, "text/plain; charset=utf-8");
    fake_http_finish(&sending.exchange);
    assert_no_value(CALLS);
    assert_true(counted("slack", "greeting") == 1);
    begin(&sending, "git", "{\"zen\":\"a\"}");
    sign_as_github(&sending, "today", "d1", "ping");
    assert_sent(&sending, 200, "greeting");
}

static void assert_asana(const char *secret, int status, const char *result)
{
    struct sending sending;
    char body[128];
    static int number;
    (void)snprintf(body, sizeof body, "{\"events\":[{\"resource\":{\"gid\":\"%d\"},\"action\":\"added\"}]}",
                   number++);
    begin(&sending, "tasks", body);
    sender_hmac("SHA256", secret, body, sending.signature, sizeof sending.signature);
    add(&sending, "x-hook-signature", sending.signature);
    assert_sent(&sending, status, result);
}

static void test_asana_shakes_hands_once(void **state)
{
    (void)state;
    assert_asana("b537207f20cbfa02", 401, "unauthenticated");
    assert_true(counted("tasks", "no_secret") == 1);
    struct sending sending;
    begin(&sending, "tasks", "{}");
    add(&sending, "x-hook-secret", "b537207f20cbfa02");
    fake_http_send(ROUTE, &sending.exchange);
    assert_int_equal(sending.exchange.status, 200);
    assert_string_equal(fake_http_header(&sending.exchange, "X-Hook-Secret"), "b537207f20cbfa02");
    fake_http_finish(&sending.exchange);
    assert_asana("b537207f20cbfa02", 200, "accepted");
    assert_value(CALLS, "1");
    begin(&sending, "tasks", "{}");
    add(&sending, "x-hook-secret", "0000000000000000");
    assert_sent(&sending, 403, "forbidden");
    assert_string_equal(fake_http_header(&sending.exchange, "X-Hook-Secret"), "");
    assert_asana("0000000000000000", 401, "unauthenticated");
    assert_asana("b537207f20cbfa02", 200, "accepted");
}

static void test_a_secret_that_another_process_was_given_is_found(void **state)
{
    (void)state;
    write_secret(asana_path, "b537207f20cbfa02");
    assert_asana("b537207f20cbfa02", 200, "accepted");
}

static void offer_in_vain(const char *hook, int status)
{
    struct sending sending;
    begin(&sending, hook, "{}");
    add(&sending, "x-hook-secret", "b537207f20cbfa02");
    fake_http_send(ROUTE, &sending.exchange);
    assert_int_equal(sending.exchange.status, status);
    assert_string_equal(fake_http_header(&sending.exchange, "X-Hook-Secret"), "");
    fake_http_finish(&sending.exchange);
}

static void test_a_secret_that_cannot_be_kept_is_not_sent_back(void **state)
{
    (void)state;
    offer_in_vain("far", 500); /* no such directory */
    assert_true(counted("far", "not_kept") == 1);
    assert_int_equal(mkdir(asana_path, 0700), 0); /* something is there already */
    offer_in_vain("tasks", 403);
    assert_int_equal(rmdir(asana_path), 0);
    assert_asana("b537207f20cbfa02", 401, "unauthenticated");
}

static void test_before_the_handshake_files_are_looked_at_at_a_limited_rate(void **state)
{
    (void)state;
    for (int i = 0; i < RATE_PER_S; i++) {
        assert_asana("b537207f20cbfa02", 401, "unauthenticated");
    }
    assert_asana("b537207f20cbfa02", 429, "rate_limited");
}

/* ---- a journal that takes its time ---- */

static void test_a_copy_of_what_is_under_way_has_to_wait(void **state)
{
    (void)state;
    struct sending first;
    small_gateway_hold();
    begin(&first, "git", "{\"score\":81}");
    sign_as_github(&first, "today", "d1", "push");
    fake_http_send(ROUTE, &first.exchange);
    assert_int_equal(first.exchange.answers, 0);
    assert_github("{\"score\":81}", "d1", 503, "unavailable");
    assert_github("{\"score\":82}", "d1", 503, "unavailable"); /* the same event, signed anew */
    assert_true(counted("git", "under_way") == 2);
    small_gateway_release();
    assert_int_equal(first.exchange.status, 200);
    fake_http_finish(&first.exchange);
    assert_github("{\"score\":81}", "d1", 200, "repeated");
    assert_github("{\"score\":82}", "d1", 200, "repeated");
    assert_value(HEALTH, "81");
}

static void test_what_the_journal_could_not_take_may_come_again(void **state)
{
    (void)state;
    assert_github("{\"score\":80}", "d0", 200, "accepted");
    struct sending sending;
    small_gateway_hold();
    begin(&sending, "git", "{\"score\":81}");
    sign_as_github(&sending, "today", "d1", "push");
    fake_http_send(ROUTE, &sending.exchange);
    small_gateway_cut_off();
    assert_int_equal(sending.exchange.status, 503);
    assert_string_equal(fake_http_header(&sending.exchange, "Retry-After"), "2");
    fake_http_finish(&sending.exchange);
    assert_true(counted("git", "unavailable") == 1);
    assert_value(HEALTH, "80");
    assert_github("{\"score\":81}", "d1", 200, "accepted");
    assert_value(HEALTH, "81");
    assert_value(CALLS, "2"); /* what was not taken is not counted */
}

static void test_one_too_many_is_asked_to_come_again(void **state)
{
    (void)state;
    struct sending sendings[2];
    small_gateway_hold();
    static const char *const bodies[] = {"{\"score\":81}", "{\"score\":82}"};
    static const char *const ids[] = {"d1", "d2"};
    for (size_t i = 0; i < 2; i++) {
        begin(&sendings[i], "git", bodies[i]);
        sign_as_github(&sendings[i], "today", ids[i], "push");
        fake_http_send(ROUTE, &sendings[i].exchange);
    }
    assert_github("{\"score\":83}", "d3", 503, "unavailable");
    small_gateway_release();
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sendings[i].exchange.status, 200);
        fake_http_finish(&sendings[i].exchange);
    }
    assert_github("{\"score\":83}", "d3", 200, "accepted");
}

static void test_whoever_leaves_first(void **state)
{
    (void)state;
    struct sending sending;
    small_gateway_hold();
    begin(&sending, "git", "{\"score\":81}");
    sign_as_github(&sending, "today", "d1", "push");
    fake_http_send(ROUTE, &sending.exchange);
    fake_http_leave(&sending.exchange); /* the peer */
    small_gateway_release();
    assert_int_equal(sending.exchange.answers, 0);
    assert_value(HEALTH, "81");
    assert_github("{\"score\":81}", "d1", 200, "repeated");

    small_gateway_hold();
    begin(&sending, "git", "{\"score\":82}");
    sign_as_github(&sending, "today", "d2", "push");
    fake_http_send(ROUTE, &sending.exchange);
    source->ops->stop(source); /* the source */
    source->ops->destroy(source);
    source = NULL;
    small_gateway_release();
    assert_int_equal(sending.exchange.answers, 0);
    assert_value(HEALTH, "82");
}

static void test_a_stopped_source_takes_nothing(void **state)
{
    (void)state;
    source->ops->stop(source);
    assert_github("{\"score\":81}", "d1", 503, "unavailable");
    assert_no_value(HEALTH);
    assert_int_equal(source->ops->start(source), RESULT_OK);
    assert_github("{\"score\":81}", "d1", 200, "accepted");
}

/* ---- the cap of what is remembered ---- */

static void test_the_oldest_delivery_makes_room(void **state)
{
    (void)state;
    char body[64], delivery[32];
    for (int i = 0; i <= WEBHOOKS_REMEMBERED; i++) {
        (void)snprintf(body, sizeof body, "{\"score\":50,\"n\":%d}", i);
        (void)snprintf(delivery, sizeof delivery, "d%d", i);
        assert_github(body, delivery, 200, "accepted");
        small_now.monotonic_ms += 1000 / RATE_PER_S;
    }
    const struct metric *forgotten =
        metrics_find(gateway.metrics, "gw_webhook_forgotten_early_total", "hook=\"git\"");
    const struct metric *remembered = metrics_find(gateway.metrics, "gw_webhook_remembered", "hook=\"git\"");
    assert_true(metric_read(forgotten) == 2); /* the first delivery, and its name */
    assert_true(metric_read(remembered) == 2.0 * WEBHOOKS_REMEMBERED);
    assert_github("{\"score\":50,\"n\":1}", "d1", 200, "repeated");
    assert_github("{\"score\":50,\"n\":0}", "d0", 200, "accepted");
}

/* ---- making one ---- */

static void test_a_hook_without_its_secret_is_not_served(void **state)
{
    (void)state;
    static const struct webhooks_hook bare = {.name = "bare",
                                              .provider = WEBHOOK_GITHUB,
                                              .secret_files = no_files,
                                              .fields = count_fields,
                                              .field_count = 1};
    const struct webhooks_source_options options = {
        .pipeline = gateway.pipeline,
        .metrics = gateway.metrics,
        .hooks = &bare,
        .hook_count = 1,
        .rate_per_s = 1,
        .max_outstanding = 1,
        .now = small_gateway_now,
    };
    assert_null(webhooks_source_create(&options));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_genuine_webhook_reaches_the_board),
        TEST(test_the_older_secret_is_as_good_until_it_goes),
        TEST(test_the_signed_time_is_the_age_of_the_value),
        TEST(test_events_of_other_kinds_mean_nothing),
        TEST(test_a_value_that_is_not_there_is_passed_over),
        TEST(test_a_value_that_does_not_fit_is_refused_and_shown),
        TEST(test_a_body_that_is_not_json_can_be_counted),
        TEST(test_who_is_not_genuine_learns_nothing),
        TEST(test_a_delivery_is_applied_once),
        TEST(test_the_same_event_in_another_delivery_is_applied_once),
        TEST(test_nothing_tells_two_deliveries_with_a_token_apart),
        TEST(test_beyond_its_rate_a_hook_is_asked_to_wait),
        TEST(test_more_changes_than_a_submission_holds_are_refused),
        TEST(test_slack_gets_its_challenge_back),
        TEST(test_asana_shakes_hands_once),
        TEST(test_a_secret_that_another_process_was_given_is_found),
        TEST(test_a_secret_that_cannot_be_kept_is_not_sent_back),
        TEST(test_before_the_handshake_files_are_looked_at_at_a_limited_rate),
        TEST(test_a_copy_of_what_is_under_way_has_to_wait),
        TEST(test_what_the_journal_could_not_take_may_come_again),
        TEST(test_one_too_many_is_asked_to_come_again),
        TEST(test_whoever_leaves_first),
        TEST(test_a_stopped_source_takes_nothing),
        TEST(test_the_oldest_delivery_makes_room),
        TEST(test_a_hook_without_its_secret_is_not_served),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
