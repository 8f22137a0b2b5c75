/*
 * Every vector, and everything that is nearly one. What is refused is refused for its own reason.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "access/replay.h"
#include "access/webhook.h"
#include "support/allocations.h"
#include "webhook_sender.h"

#define HUBSPOT_SECRET "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
#define HUBSPOT_URL "https://www.example.com/webhook_uri"
#define SLACK_BODY                                                                                                 \
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"                \
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="                 \
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" \
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
#define HUBSPOT_BODY                                                                                           \
    "[{\"eventId\":1,\"subscriptionId\":12345,\"portalId\":62515,\"occurredAt\":1564113600000,"                \
    "\"subscriptionType\":\"contact.creation\",\"attemptNumber\":0,\"objectId\":123,\"changeSource\":\"CRM\"," \
    "\"changeFlag\":\"NEW\",\"appId\":54321}]"

struct vector {
    const char *name;
    enum webhook_provider provider;
    const char *secret;
    const char *method, *body;
    const char *signature_header, *signature;
    const char *time_header, *time; /* NULL: none */
    const char *id_header, *id;     /* signed; NULL: none */
    int64_t time_ms, window_ms;     /* 0: it has none */
    bool is_hex;
};

/* The first five are published by the vendor or with its SDK. */
static const struct vector vectors[] = {
    {.name = "GitHub",
     .provider = WEBHOOK_GITHUB,
     .secret = "It's a Secret to Everybody",
     .method = "POST",
     .body = "Hello, World!",
     .signature_header = "x-hub-signature-256",
     .signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
     .is_hex = true},
    {.name = "Slack",
     .provider = WEBHOOK_SLACK,
     .secret = "8f742231b10e8888abcd99yyyzzz85a5",
     .method = "POST",
     .body = SLACK_BODY,
     .signature_header = "x-slack-signature",
     .signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
     .time_header = "x-slack-request-timestamp",
     .time = "1531420618",
     .time_ms = 1531420618000,
     .window_ms = 300000,
     .is_hex = true},
    {.name = "HubSpot v1",
     .provider = WEBHOOK_HUBSPOT_V1,
     .secret = HUBSPOT_SECRET,
     .method = "POST",
     .body = HUBSPOT_BODY,
     .signature_header = "x-hubspot-signature",
     .signature = "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de",
     .is_hex = true},
    {.name = "HubSpot v2 GET",
     .provider = WEBHOOK_HUBSPOT_V2,
     .secret = HUBSPOT_SECRET,
     .method = "GET",
     .body = "",
     .signature_header = "x-hubspot-signature",
     .signature = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e",
     .is_hex = true},
    {.name = "HubSpot v2 POST",
     .provider = WEBHOOK_HUBSPOT_V2,
     .secret = HUBSPOT_SECRET,
     .method = "POST",
     .body = "{\"example_field\":\"example_value\"}",
     .signature_header = "x-hubspot-signature",
     .signature = "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900",
     .is_hex = true},
    {.name = "HubSpot v3 POST",
     .provider = WEBHOOK_HUBSPOT,
     .secret = HUBSPOT_SECRET,
     .method = "POST",
     .body = "{\"example_field\":\"example_value\"}",
     .signature_header = "x-hubspot-signature-v3",
     .signature = "rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=",
     .time_header = "x-hubspot-request-timestamp",
     .time = "1700000000000",
     .time_ms = 1700000000000,
     .window_ms = 300000},
    {.name = "Linear",
     .provider = WEBHOOK_LINEAR,
     .secret = "lin_wh_test",
     .method = "POST",
     .body =
         "{\"action\":\"create\",\"type\":\"Issue\",\"webhookTimestamp\":1700000000000,\"webhookId\":\"w1\"}",
     .signature_header = "linear-signature",
     .signature = "dacd4986432d635f4453bdfbe6a26f4b3f071067529daf016a8b1c5823f06c8a",
     .time_ms = 1700000000000,
     .window_ms = 60000,
     .is_hex = true},
    {.name = "Asana",
     .provider = WEBHOOK_ASANA,
     .secret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81",
     .method = "POST",
     .body =
         "{\"events\":[{\"action\":\"changed\",\"resource\":{\"gid\":\"1\",\"resource_type\":\"task\"}}]}",
     .signature_header = "x-hook-signature",
     .signature = "9d011c08342193ed633bc26618fc8517e1c2176a886ff68a76428e7f27f45b81",
     .is_hex = true},
    {.name = "Vercel",
     .provider = WEBHOOK_VERCEL,
     .secret = "vercel_test_secret",
     .method = "POST",
     .body =
         "{\"id\":\"evt_1\",\"type\":\"deployment.succeeded\",\"createdAt\":1700000000000,\"payload\":{}}",
     .signature_header = "x-vercel-signature",
     .signature = "3f2fdc5bd4cb13af53de65fd6c57ea5e6cbeb01c",
     .is_hex = true},
    {.name = "Standard Webhooks",
     .provider = WEBHOOK_STANDARD,
     .secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
     .method = "POST",
     .body = "{\"test\": 2432232314}",
     .signature_header = "webhook-signature",
     .signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
     .time_header = "webhook-timestamp",
     .time = "1614265330",
     .id_header = "webhook-id",
     .id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
     .time_ms = 1614265330000,
     .window_ms = 300000},
};

#define EACH_VECTOR(vector) \
    for (const struct vector *vector = vectors; vector < vectors + sizeof vectors / sizeof *vectors; vector++)

static const int64_t any_time_ms = 1700000000000;

static int64_t time_of(const struct vector *vector)
{
    return vector->window_ms ? vector->time_ms : any_time_ms;
}

static struct webhook *open_with(enum webhook_provider provider, const char *const *secrets, size_t count)
{
    const struct webhook_options options = {
        .provider = provider,
        .secrets = secrets,
        .secret_count = count,
        .public_url = webhook_needs_url(provider) ? HUBSPOT_URL : NULL,
    };
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    if (!webhook) {
        fail_msg("%s: %s", webhook_provider_words[provider], problem);
    }
    return webhook;
}

static struct webhook *open_for(const struct vector *vector)
{
    return open_with(vector->provider, &vector->secret, 1);
}

static void send(const struct vector *vector, struct sent_webhook *sent)
{
    sender_begin(sent, vector->body);
    sent->method = vector->method;
    (void)sender_add(sent, vector->signature_header, vector->signature, true);
    if (vector->time_header) {
        (void)sender_add(sent, vector->time_header, vector->time, true);
    }
    if (vector->id_header) {
        (void)sender_add(sent, vector->id_header, vector->id, true);
    }
}

static enum webhook_reason reason_at(const struct webhook *webhook, const struct sent_webhook *sent,
                                     int64_t now_ms)
{
    const struct webhook_request request = sender_request(sent);
    struct webhook_verdict verdict;
    enum result result = webhook_check(webhook, &request, now_ms, &verdict);
    assert_int_equal(result == RESULT_OK, verdict.reason == WEBHOOK_GENUINE);
    return verdict.reason;
}

static void assert_reason(const char *name, const struct webhook *webhook, const struct sent_webhook *sent,
                          int64_t now_ms, enum webhook_reason expected)
{
    enum webhook_reason reason = reason_at(webhook, sent, now_ms);
    if (reason != expected) {
        fail_msg("%s: %s, not %s", name, webhook_reason_name(reason), webhook_reason_name(expected));
    }
}

/* ---- the vectors ---- */

static void test_every_vector_is_genuine(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        struct webhook_verdict verdict;
        send(vector, &sent);
        const struct webhook_request request = sender_request(&sent);
        assert_true(webhook_has_proof(webhook, &request));
        enum result result = webhook_check(webhook, &request, time_of(vector), &verdict);
        if (result != RESULT_OK) {
            fail_msg("%s: %s", vector->name, webhook_reason_name(verdict.reason));
        }
        assert_int_equal(verdict.has_time, vector->window_ms > 0);
        assert_int_equal(verdict.time_ms, vector->time_ms);
        assert_true(verdict.has_key);
        webhook_destroy(webhook);
    }
}

static void test_no_bit_of_a_body_may_change(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        for (size_t bit = 0; bit < sent.body_length * 8; bit++) {
            sent.body[bit / 8] = (char)(sent.body[bit / 8] ^ (1 << bit % 8));
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
            sent.body[bit / 8] = (char)(sent.body[bit / 8] ^ (1 << bit % 8));
        }
        assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_GENUINE);
        webhook_destroy(webhook);
    }
}

static void test_no_bit_of_a_signed_header_may_change(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        for (size_t i = 0; i < SENDER_HEADERS_MAX && sent.headers[i].name; i++) {
            char *value = sent.headers[i].value;
            size_t bits = strlen(value) * 8;
            for (size_t bit = 0; bit < bits; bit++) {
                value[bit / 8] = (char)(value[bit / 8] ^ (1 << bit % 8));
                if (reason_at(webhook, &sent, time_of(vector)) == WEBHOOK_GENUINE) {
                    fail_msg("%s: genuine with bit %zu of %s flipped", vector->name, bit,
                             sent.headers[i].name);
                }
                value[bit / 8] = (char)(value[bit / 8] ^ (1 << bit % 8));
            }
        }
        assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_GENUINE);
        webhook_destroy(webhook);
    }
}

static void test_a_body_may_not_be_cut_or_grow(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        size_t length = sent.body_length;
        for (size_t cut = 0; cut < length; cut++) {
            sent.body_length = cut;
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        }
        sent.body_length = length + 1; /* its NUL */
        assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        webhook_destroy(webhook);
    }
}

static void test_old_and_future_ones_are_not_of_now(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        const int64_t time_ms = time_of(vector), window_ms = vector->window_ms;
        bool has_window = window_ms > 0;
        assert_reason(vector->name, webhook, &sent, time_ms + window_ms, WEBHOOK_GENUINE);
        assert_reason(vector->name, webhook, &sent, time_ms - window_ms, WEBHOOK_GENUINE);
        assert_reason(vector->name, webhook, &sent, time_ms + window_ms + 1,
                      has_window ? WEBHOOK_TOO_OLD : WEBHOOK_GENUINE);
        assert_reason(vector->name, webhook, &sent, time_ms - window_ms - 1,
                      has_window ? WEBHOOK_TOO_NEW : WEBHOOK_GENUINE);
        assert_reason(vector->name, webhook, &sent, time_ms + 86400000,
                      has_window ? WEBHOOK_TOO_OLD : WEBHOOK_GENUINE);
        webhook_destroy(webhook);
    }
}

static void test_a_wrong_secret_is_refused(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        const char *coded = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
        const char *secret = vector->provider == WEBHOOK_STANDARD ? coded : "another secret";
        struct webhook *webhook = open_with(vector->provider, &secret, 1);
        struct sent_webhook sent;
        send(vector, &sent);
        assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        webhook_destroy(webhook);
    }
}

static void test_any_of_several_secrets_will_do(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        const char *other = vector->provider == WEBHOOK_STANDARD ? "whsec_AAAA" : "another secret";
        for (size_t place = 0; place < WEBHOOK_SECRETS_MAX; place++) {
            const char *secrets[WEBHOOK_SECRETS_MAX] = {other, other, other, other};
            secrets[place] = vector->secret;
            struct webhook *webhook = open_with(vector->provider, secrets, WEBHOOK_SECRETS_MAX);
            struct sent_webhook sent;
            send(vector, &sent);
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_GENUINE);
            sent.body[0] ^= 1;
            sent.body_length = sent.body_length > 0 ? sent.body_length : 1;
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
            webhook_destroy(webhook);
        }
    }
}

static void test_each_header_must_be_there_once(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        for (size_t i = 0; i < SENDER_HEADERS_MAX && sent.headers[i].name; i++) {
            const struct webhook_request request = sender_request(&sent);
            struct webhook_verdict verdict;
            sent.headers[i].count = 0;
            assert_false(webhook_has_proof(webhook, &request));
            assert_int_equal(webhook_check(webhook, &request, time_of(vector), &verdict),
                             RESULT_UNAUTHENTICATED);
            assert_int_equal(verdict.reason, WEBHOOK_MISSING_HEADER);
            sent.headers[i].count = 2;
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_REPEATED_HEADER);
            sent.headers[i].count = 1;
            char first = sent.headers[i].value[0];
            sent.headers[i].value[0] = '\0';
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_MISSING_HEADER);
            sent.headers[i].value[0] = first;
        }
        assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_GENUINE);
        webhook_destroy(webhook);
    }
}

static void test_a_signature_has_one_form(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        char *value = sender_find(&sent, vector->signature_header)->value;
        size_t length = strlen(value);
        for (size_t cut = 1; cut < length; cut++) { /* truncated */
            value[cut] = '\0';
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
            value[cut] = vector->signature[cut];
        }
        static const char *const tails[] = {"0", "=", ",", "\t"};
        for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
            (void)snprintf(value, SENDER_VALUE_BYTES, "%s%s", vector->signature, tails[i]);
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        }
        static const char *const prefixes[] = {"sha1=", "sha256:", "v1=", "v2,", "V0=", "0"};
        const char *bare = vector->signature + (vector->signature[0] == 's'   ? 7
                                                : vector->signature[0] == 'v' ? 3
                                                                              : 0);
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
            (void)snprintf(value, SENDER_VALUE_BYTES, "%s%s", prefixes[i], bare);
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        }
        if (vector->is_hex) {
            (void)snprintf(value, SENDER_VALUE_BYTES, "%s", vector->signature);
            for (char *at = value + (bare - vector->signature); *at != '\0'; at++) {
                *at = (char)toupper((unsigned char)*at);
            }
            assert_reason(vector->name, webhook, &sent, time_of(vector), WEBHOOK_WRONG_SIGNATURE);
        }
        webhook_destroy(webhook);
    }
}

static void key_of(const struct webhook *webhook, const struct sent_webhook *sent, int64_t now_ms,
                   unsigned char out_key[WEBHOOK_KEY_BYTES])
{
    const struct webhook_request request = sender_request(sent);
    struct webhook_verdict verdict;
    assert_int_equal(webhook_check(webhook, &request, now_ms, &verdict), RESULT_OK);
    memcpy(out_key, verdict.key, WEBHOOK_KEY_BYTES);
}

static void test_a_replayed_vector_is_known(void **state)
{
    (void)state;
    struct replay *replay = replay_create(16, 72 * 3600 * 1000ULL);
    EACH_VECTOR(vector)
    {
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        unsigned char key[WEBHOOK_KEY_BYTES];
        send(vector, &sent);
        key_of(webhook, &sent, time_of(vector), key);
        assert_int_equal(replay_look(replay, key, 1000), REPLAY_NEW);
        assert_int_equal(replay_begin(replay, key, 1000), RESULT_OK);
        replay_finish(replay, key);
        key_of(webhook, &sent, time_of(vector) + 1, key);
        assert_int_equal(replay_look(replay, key, 2000), REPLAY_DONE);
        webhook_destroy(webhook);
    }
    assert_int_equal(replay_count(replay), sizeof vectors / sizeof *vectors);
    replay_destroy(replay);
}

static void test_a_method_is_signed_where_the_provider_signs_it(void **state)
{
    (void)state;
    EACH_VECTOR(vector)
    {
        bool is_signed = vector->provider == WEBHOOK_HUBSPOT || vector->provider == WEBHOOK_HUBSPOT_V2;
        struct webhook *webhook = open_for(vector);
        struct sent_webhook sent;
        send(vector, &sent);
        sent.method = "PUT";
        assert_reason(vector->name, webhook, &sent, time_of(vector),
                      is_signed ? WEBHOOK_WRONG_SIGNATURE : WEBHOOK_GENUINE);
        webhook_destroy(webhook);
    }
}

/* ---- times ---- */

static void test_a_time_is_plain_digits(void **state)
{
    (void)state;
    static const char *const times[] = {"+1531420618",  "-1531420618", "1531420618 ",      "0x5b47a88a",
                                        "1531420618.0", "1e9",         "9999999999999999", "now"};
    const char *secret = "shh";
    struct webhook *webhook = open_with(WEBHOOK_SLACK, &secret, 1);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct sent_webhook sent;
        char text[128], signature[128] = "v0=";
        (void)snprintf(text, sizeof text, "v0:%s:{}", times[i]);
        sender_hmac("SHA256", secret, text, signature + 3, sizeof signature - 3);
        sender_begin(&sent, "{}");
        (void)sender_add(&sent, "x-slack-signature", signature, true);
        (void)sender_add(&sent, "x-slack-request-timestamp", times[i], true);
        assert_reason(times[i], webhook, &sent, 1531420618000, WEBHOOK_MALFORMED_TIME);
    }
    webhook_destroy(webhook);
}

static void assert_linear(const char *body, enum webhook_reason expected)
{
    const char *secret = "lin_wh_test";
    struct webhook *webhook = open_with(WEBHOOK_LINEAR, &secret, 1);
    struct sent_webhook sent;
    char signature[128];
    sender_begin(&sent, body);
    sender_hmac("SHA256", secret, body, signature, sizeof signature);
    (void)sender_add(&sent, "linear-signature", signature, true);
    (void)sender_add(&sent, "linear-timestamp", "1700000000000", false); /* unsigned: must not count */
    assert_reason(body, webhook, &sent, 1700000000000, expected);
    webhook_destroy(webhook);
}

static void test_the_time_of_linear_is_in_the_body(void **state)
{
    (void)state;
    assert_linear("{\"webhookTimestamp\":1700000000000}", WEBHOOK_GENUINE);
    assert_linear("{\"webhookTimestamp\":1699999939999}", WEBHOOK_TOO_OLD);
    assert_linear("{\"webhookTimestamp\":1700000060001}", WEBHOOK_TOO_NEW);
    assert_linear("{\"webhookTimestamp\":\"1700000000000\"}", WEBHOOK_MALFORMED_TIME);
    assert_linear("{\"webhookTimestamp\":-1}", WEBHOOK_MALFORMED_TIME);
    assert_linear("{\"webhookTimestamp\":9999999999999999}", WEBHOOK_MALFORMED_TIME);
    assert_linear("{\"webhookTimestamp\":1700000000000,\"webhookTimestamp\":1}", WEBHOOK_MALFORMED_TIME);
    assert_linear("{}", WEBHOOK_MALFORMED_TIME);
    assert_linear("not JSON", WEBHOOK_MALFORMED_TIME);
}

/* ---- providers with something of their own ---- */

static void test_hubspot_signs_some_letters_of_the_address_decoded(void **state)
{
    (void)state;
    const char *secret = HUBSPOT_SECRET;
    const struct webhook_options options = {
        .provider = WEBHOOK_HUBSPOT,
        .secrets = &secret,
        .secret_count = 1,
        .public_url = "https://kpi.example/hooks/a%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B?q=%20%26%3D%25%3a",
    };
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    assert_non_null(webhook);
    struct sent_webhook sent;
    char signature[128];
    sender_begin(&sent, "{}");
    sender_hmac_base64(secret, "POSThttps://kpi.example/hooks/a:/?@!$'()*,;?q=%20%26%3D%25%3a{}1700000000000",
                       signature, sizeof signature);
    (void)sender_add(&sent, "x-hubspot-signature-v3", signature, true);
    (void)sender_add(&sent, "x-hubspot-request-timestamp", "1700000000000", true);
    assert_reason("HubSpot", webhook, &sent, 1700000000000, WEBHOOK_GENUINE);
    webhook_destroy(webhook);
}

static void test_standard_webhooks_may_bring_several_signatures(void **state)
{
    (void)state;
    const struct vector *vector = &vectors[sizeof vectors / sizeof *vectors - 1];
    assert_int_equal(vector->provider, WEBHOOK_STANDARD);
    struct webhook *webhook = open_for(vector);
    struct sent_webhook sent;
    unsigned char alone[WEBHOOK_KEY_BYTES], among[WEBHOOK_KEY_BYTES];
    send(vector, &sent);
    key_of(webhook, &sent, vector->time_ms, alone);
    char *value = sender_find(&sent, "webhook-signature")->value;
    (void)snprintf(value, SENDER_VALUE_BYTES, "v1a,other v1,AAAA  %s v1,", vector->signature);
    key_of(webhook, &sent, vector->time_ms, among);
    assert_memory_equal(alone, among, WEBHOOK_KEY_BYTES);
    size_t length = 0;
    for (int i = 0; i < 16; i++) { /* as many as are looked at */
        length += (size_t)snprintf(value + length, SENDER_VALUE_BYTES - length, "v1,AAAA ");
    }
    (void)snprintf(value + length, SENDER_VALUE_BYTES - length, "%s", vector->signature);
    assert_reason("beyond the cap", webhook, &sent, vector->time_ms, WEBHOOK_WRONG_SIGNATURE);
    webhook_destroy(webhook);
}

static void test_figma_proves_itself_by_a_passcode(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum webhook_reason reason;
    } cases[] = {
        {"{\"event_type\":\"FILE_UPDATE\",\"passcode\":\"open sesame\"}", WEBHOOK_GENUINE},
        {"{\"passcode\":\"open sesamf\"}", WEBHOOK_WRONG_SIGNATURE},
        {"{\"passcode\":\"open sesame \"}", WEBHOOK_WRONG_SIGNATURE},
        {"{\"passcode\":\"\"}", WEBHOOK_WRONG_SIGNATURE},
        {"{\"passcode\":[\"open sesame\"]}", WEBHOOK_MALFORMED_PROOF},
        {"{\"passcode\":\"x\",\"passcode\":\"open sesame\"}", WEBHOOK_MALFORMED_PROOF},
        {"{\"event_type\":\"FILE_UPDATE\"}", WEBHOOK_MALFORMED_PROOF},
        {"[\"open sesame\"]", WEBHOOK_MALFORMED_PROOF},
        {"passcode=open sesame", WEBHOOK_MALFORMED_PROOF},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", WEBHOOK_MALFORMED_PROOF},
        {"", WEBHOOK_MALFORMED_PROOF},
    };
    const char *secrets[] = {"newer", "open sesame"};
    struct webhook *webhook = open_with(WEBHOOK_FIGMA, secrets, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sent_webhook sent;
        sender_begin(&sent, cases[i].body);
        assert_reason(cases[i].body, webhook, &sent, any_time_ms, cases[i].reason);
    }
    webhook_destroy(webhook);
}

static void assert_bearer(const char *header_option, const char *header, const char *value,
                          enum webhook_reason expected)
{
    const char *secrets[] = {"token-of-today", "token-of-yesterday"};
    const struct webhook_options options = {
        .provider = WEBHOOK_BEARER, .secrets = secrets, .secret_count = 2, .signature_header = header_option};
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    assert_non_null(webhook);
    struct sent_webhook sent;
    struct webhook_verdict verdict;
    sender_begin(&sent, "{}");
    (void)sender_add(&sent, header, value, true);
    const struct webhook_request request = sender_request(&sent);
    enum result result = webhook_check(webhook, &request, any_time_ms, &verdict);
    assert_int_equal(result == RESULT_OK, verdict.reason == WEBHOOK_GENUINE);
    if (verdict.reason != expected) {
        fail_msg("%s: %s: %s", header, value, webhook_reason_name(verdict.reason));
    }
    assert_false(verdict.has_key);
    webhook_destroy(webhook);
}

static void test_a_token_stands_in_its_header(void **state)
{
    (void)state;
    assert_bearer(NULL, "authorization", "Bearer token-of-today", WEBHOOK_GENUINE);
    assert_bearer(NULL, "authorization", "bearer  token-of-yesterday", WEBHOOK_GENUINE);
    assert_bearer(NULL, "authorization", "Bearer token-of-toda", WEBHOOK_WRONG_SIGNATURE);
    assert_bearer(NULL, "authorization", "Bearer token-of-todax", WEBHOOK_WRONG_SIGNATURE);
    assert_bearer(NULL, "authorization", "Bearer ", WEBHOOK_WRONG_SIGNATURE);
    assert_bearer(NULL, "authorization", "Basic token-of-today", WEBHOOK_MALFORMED_PROOF);
    assert_bearer(NULL, "authorization", "token-of-today", WEBHOOK_MALFORMED_PROOF);
    assert_bearer(NULL, "x-api-key", "token-of-today", WEBHOOK_MISSING_HEADER);
    assert_bearer("X-Api-Key", "x-api-key", "token-of-today", WEBHOOK_GENUINE);
    assert_bearer("X-Api-Key", "x-api-key", "Bearer token-of-today", WEBHOOK_WRONG_SIGNATURE);
}

static void test_whoever_can_sign_a_body_has_a_form(void **state)
{
    (void)state;
    const char *secret = "shared";
    const struct webhook_options options = {
        .provider = WEBHOOK_HMAC,
        .secrets = &secret,
        .secret_count = 1,
        .signature_header = "X-Relay-Signature",
        .signature_prefix = "hmac ",
        .encoding = WEBHOOK_BASE64,
        .time_header = "X-Relay-Time",
    };
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    assert_non_null(webhook);
    struct sent_webhook sent;
    char signature[128] = "hmac ";
    sender_begin(&sent, "a=1");
    sender_hmac_base64(secret, "1700000000.a=1", signature + 5, sizeof signature - 5);
    (void)sender_add(&sent, "x-relay-signature", signature, true);
    (void)sender_add(&sent, "x-relay-time", "1700000000", true);
    assert_reason("hmac", webhook, &sent, 1700000000000, WEBHOOK_GENUINE);
    assert_reason("hmac", webhook, &sent, 1700000300001, WEBHOOK_TOO_OLD);
    sender_find(&sent, "x-relay-time")->value[9] = '1';
    assert_reason("hmac", webhook, &sent, 1700000000000, WEBHOOK_WRONG_SIGNATURE);
    webhook_destroy(webhook);
}

static void test_asana_brings_its_secret(void **state)
{
    (void)state;
    struct webhook *webhook = open_with(WEBHOOK_ASANA, NULL, 0);
    struct sent_webhook sent;
    assert_false(webhook_has_secret(webhook));
    sender_begin(&sent, "{}");
    struct sent_header *offer = sender_add(&sent, "x-hook-secret", "b537207f20cbfa02357cf448134da559", false);
    const struct webhook_request request = sender_request(&sent);
    assert_string_equal(webhook_offered_secret(webhook, &request), "b537207f20cbfa02357cf448134da559");
    offer->count = 2;
    assert_null(webhook_offered_secret(webhook, &request));
    offer->count = 1;
    (void)snprintf(offer->value, sizeof offer->value, "short");
    assert_null(webhook_offered_secret(webhook, &request));
    (void)snprintf(offer->value, sizeof offer->value, "with a blank in it 123456");
    assert_null(webhook_offered_secret(webhook, &request));
    memset(offer->value, 'a', 257);
    assert_null(webhook_offered_secret(webhook, &request));
    offer->value[256] = '\0';
    assert_non_null(webhook_offered_secret(webhook, &request));
    (void)sender_add(&sent, "x-hook-signature", "00", true);
    assert_null(webhook_offered_secret(webhook, &request));
    assert_reason("before the handshake", webhook, &sent, any_time_ms, WEBHOOK_NO_SECRET);
    webhook_destroy(webhook);

    const char *secret = "shh";
    webhook = open_with(WEBHOOK_GITHUB, &secret, 1);
    sent.headers[1].count = 0;
    (void)snprintf(offer->value, sizeof offer->value, "b537207f20cbfa02357cf448134da559");
    assert_null(webhook_offered_secret(webhook, &request));
    webhook_destroy(webhook);
}

/* ---- making one ---- */

static void assert_not_made(const struct webhook_options *options, const char *expected)
{
    const char *problem = NULL;
    assert_null(webhook_create(options, &problem));
    assert_string_equal(problem, expected);
}

static void test_what_cannot_work_is_said_at_once(void **state)
{
    (void)state;
    static char endless[WEBHOOK_SECRET_MAX_BYTES + 2];
    memset(endless, 'a', WEBHOOK_SECRET_MAX_BYTES + 1);
    const char *secrets[] = {"a", "b", "c", "d", "e"};
    const char *too_long = endless, *empty = "", *unpadded = "whsec_MfKQ9r8", *nothing = "whsec_";
    assert_not_made(&(struct webhook_options){.provider = WEBHOOK_GITHUB}, "has no secret");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_GITHUB, .secrets = secrets, .secret_count = 5},
        "has too many secrets");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_GITHUB, .secrets = &too_long, .secret_count = 1},
        "is too long");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_GITHUB, .secrets = &empty, .secret_count = 1},
        "is empty");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_STANDARD, .secrets = &unpadded, .secret_count = 1},
        "is not a secret of this kind, \"whsec_\" and base64");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_STANDARD, .secrets = &nothing, .secret_count = 1},
        "is not a secret of this kind, \"whsec_\" and base64");
    assert_not_made(
        &(struct webhook_options){.provider = WEBHOOK_HUBSPOT, .secrets = secrets, .secret_count = 1},
        "needs public_url, the whole address that the provider calls");
    assert_not_made(&(struct webhook_options){.provider = WEBHOOK_HUBSPOT,
                                              .secrets = secrets,
                                              .secret_count = 1,
                                              .public_url = "kpi.example/hooks/hubspot"},
                    "needs public_url, the whole address that the provider calls");
    assert_not_made(
        &(struct webhook_options){
            .provider = WEBHOOK_GONG, .secrets = secrets, .secret_count = 1, .public_url = HUBSPOT_URL},
        "is not a public RSA key of 2048 bits or more, in base64 or PEM");
    assert_not_made(
        &(struct webhook_options){
            .provider = WEBHOOK_HMAC, .secrets = secrets, .secret_count = 1, .signature_header = ""},
        "names no header");
    webhook_destroy(NULL);
}

static void test_every_name_is_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < WEBHOOK_REASON_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(webhook_reason_name((enum webhook_reason)i),
                                    webhook_reason_name((enum webhook_reason)j));
        }
    }
    for (int i = 0; i < WEBHOOK_PROVIDER_COUNT; i++) {
        assert_non_null(webhook_provider_words[i]);
    }
    assert_null(webhook_provider_words[WEBHOOK_PROVIDER_COUNT]);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    const char *secret = "shared";
    const struct webhook_options all[] = {
        {.provider = WEBHOOK_HUBSPOT, .secrets = &secret, .secret_count = 1, .public_url = HUBSPOT_URL},
        {.provider = WEBHOOK_HMAC,
         .secrets = &secret,
         .secret_count = 1,
         .signature_header = "x-a",
         .signature_prefix = "p=",
         .time_header = "x-b",
         .id_header = "x-c"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct webhook *webhook = NULL;
        unsigned failures = 0;
        for (int after = 0; !webhook; after++) {
            const char *problem = NULL;
            allocations_fail_all_after(after);
            webhook = webhook_create(&all[i], &problem);
            bool has_failed = allocations_recover();
            assert_int_equal(webhook == NULL, has_failed);
            if (has_failed) {
                assert_string_equal(problem, "memory ran out");
                failures++;
            }
        }
        assert_true(failures >= 2);
        webhook_destroy(webhook);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_vector_is_genuine),
        cmocka_unit_test(test_no_bit_of_a_body_may_change),
        cmocka_unit_test(test_no_bit_of_a_signed_header_may_change),
        cmocka_unit_test(test_a_body_may_not_be_cut_or_grow),
        cmocka_unit_test(test_old_and_future_ones_are_not_of_now),
        cmocka_unit_test(test_a_wrong_secret_is_refused),
        cmocka_unit_test(test_any_of_several_secrets_will_do),
        cmocka_unit_test(test_each_header_must_be_there_once),
        cmocka_unit_test(test_a_signature_has_one_form),
        cmocka_unit_test(test_a_replayed_vector_is_known),
        cmocka_unit_test(test_a_method_is_signed_where_the_provider_signs_it),
        cmocka_unit_test(test_a_time_is_plain_digits),
        cmocka_unit_test(test_the_time_of_linear_is_in_the_body),
        cmocka_unit_test(test_hubspot_signs_some_letters_of_the_address_decoded),
        cmocka_unit_test(test_standard_webhooks_may_bring_several_signatures),
        cmocka_unit_test(test_figma_proves_itself_by_a_passcode),
        cmocka_unit_test(test_a_token_stands_in_its_header),
        cmocka_unit_test(test_whoever_can_sign_a_body_has_a_form),
        cmocka_unit_test(test_asana_brings_its_secret),
        cmocka_unit_test(test_what_cannot_work_is_said_at_once),
        cmocka_unit_test(test_every_name_is_its_own),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
