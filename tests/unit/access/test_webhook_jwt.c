/* Tokens of Gong: genuine ones, and every way to forge one that has been tried elsewhere. The keys are made here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/webhook.h"
#include "webhook_sender.h"

#define URL "https://kpi.example/hooks/gong"
#define BODY "{\"callData\":{\"metaData\":{\"id\":\"7782342274025937895\"}}}"
#define RS256 "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"

static const int64_t now_ms = 1700000000000;
static EVP_PKEY *key, *other_key;
static char public_text[1024], other_public_text[1024];

static int make_keys(void **state)
{
    (void)state;
    key = EVP_RSA_gen(2048);
    other_key = EVP_RSA_gen(2048);
    if (!key || !other_key) {
        return -1;
    }
    sender_public_key(key, public_text, sizeof public_text);
    sender_public_key(other_key, other_public_text, sizeof other_public_text);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return 0;
}

static struct webhook *open_with(const char *const *secrets, size_t count)
{
    const struct webhook_options options = {
        .provider = WEBHOOK_GONG, .secrets = secrets, .secret_count = count, .public_url = URL};
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    if (!webhook) {
        fail_msg("%s", problem);
    }
    return webhook;
}

/* Claims as Gong sends them; NULL leaves out. */
static const char *claims_of(const char *url, const char *body, const char *expiry)
{
    static char claims[1024];
    char hash[65];
    sender_sha256(body, hash);
    (void)snprintf(claims, sizeof claims,
                   "{\"iss\":\"gong\",\"exp\":%s,\"webhook_url\":\"%s\",\"body_sha256\":\"%s\"}", expiry, url,
                   hash);
    return claims;
}

static const char *good_claims(void)
{
    return claims_of(URL, BODY, "1700000060");
}

static enum webhook_reason check_header(const char *const *secrets, size_t count, const char *authorization,
                                        int64_t at_ms)
{
    struct webhook *webhook = open_with(secrets, count);
    struct sent_webhook sent;
    struct webhook_verdict verdict;
    sender_begin(&sent, BODY);
    (void)sender_add(&sent, "authorization", authorization, true);
    const struct webhook_request request = sender_request(&sent);
    enum result result = webhook_check(webhook, &request, at_ms, &verdict);
    assert_int_equal(result == RESULT_OK, verdict.reason == WEBHOOK_GENUINE);
    webhook_destroy(webhook);
    return verdict.reason;
}

static enum webhook_reason check_token(const char *token)
{
    const char *secret = public_text;
    char authorization[SENDER_VALUE_BYTES];
    (void)snprintf(authorization, sizeof authorization, "Bearer %.10000s", token);
    return check_header(&secret, 1, authorization, now_ms);
}

static enum webhook_reason check_signed(const char *header, const char *claims)
{
    char token[3000];
    sender_token(key, NULL, header, claims, token, sizeof token);
    return check_token(token);
}

static void test_a_token_of_the_right_key_is_genuine(void **state)
{
    (void)state;
    assert_int_equal(check_signed(RS256, good_claims()), WEBHOOK_GENUINE);
    assert_int_equal(check_signed("{\"alg\":\"RS256\"}", good_claims()), WEBHOOK_GENUINE);
    char token[3000];
    sender_token(other_key, NULL, RS256, good_claims(), token, sizeof token);
    assert_int_equal(check_token(token), WEBHOOK_WRONG_SIGNATURE);
}

static void test_a_key_may_be_bare_or_in_armour_and_one_of_two(void **state)
{
    (void)state;
    char armoured[2048] = "-----BEGIN PUBLIC KEY-----\n";
    for (size_t i = 0; public_text[i] != '\0'; i += 64) {
        size_t length = strlen(armoured);
        (void)snprintf(armoured + length, sizeof armoured - length, "%.64s\r\n", public_text + i);
    }
    strncat(armoured, "-----END PUBLIC KEY-----\n", sizeof armoured - strlen(armoured) - 1);
    char authorization[SENDER_VALUE_BYTES] = "Bearer ", token[3000];
    sender_token(key, NULL, RS256, good_claims(), token, sizeof token);
    strncat(authorization, token, sizeof authorization - strlen(authorization) - 1);
    const char *rotation[] = {other_public_text, armoured};
    assert_int_equal(check_header(rotation, 2, authorization, now_ms), WEBHOOK_GENUINE);
    assert_int_equal(check_header(rotation, 1, authorization, now_ms), WEBHOOK_WRONG_SIGNATURE);
    assert_int_equal(check_header(rotation, 2, token, now_ms), WEBHOOK_MALFORMED_PROOF); /* no "Bearer" */
}

static void test_the_algorithm_is_not_the_senders_choice(void **state)
{
    (void)state;
    char token[3000];
    sender_token(NULL, NULL, "{\"alg\":\"none\"}", good_claims(), token, sizeof token);
    assert_int_equal(check_token(token), WEBHOOK_WRONG_ALGORITHM);
    sender_token(NULL, NULL, RS256, good_claims(), token, sizeof token);
    assert_int_equal(check_token(token), WEBHOOK_WRONG_SIGNATURE);
    sender_token(NULL, public_text, "{\"alg\":\"HS256\"}", good_claims(), token, sizeof token);
    assert_int_equal(check_token(token), WEBHOOK_WRONG_ALGORITHM);
    sender_token(NULL, public_text, RS256, good_claims(), token, sizeof token);
    assert_int_equal(check_token(token), WEBHOOK_WRONG_SIGNATURE);
    static const char *const headers[] = {"{\"alg\":\"rs256\"}", "{\"alg\":\"PS256\"}",
                                          "{\"alg\":\"RS512\"}", "{}",
                                          "{\"alg\":null}",      "{\"alg\":\"RS256\",\"crit\":[\"b64\"]}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_int_equal(check_signed(headers[i], good_claims()), WEBHOOK_WRONG_ALGORITHM);
    }
    assert_int_equal(check_signed("{\"alg\":\"none\",\"alg\":\"RS256\"}", good_claims()),
                     WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_signed("[]", good_claims()), WEBHOOK_MALFORMED_PROOF);
}

static void test_a_token_is_for_one_address_body_and_time(void **state)
{
    (void)state;
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY " ", "1700000060")), WEBHOOK_WRONG_CLAIM);
    assert_int_equal(check_signed(RS256, claims_of(URL "/", BODY, "1700000060")), WEBHOOK_WRONG_CLAIM);
    assert_int_equal(check_signed(RS256, claims_of("https://kpi.example/hooks/other", BODY, "1700000060")),
                     WEBHOOK_WRONG_CLAIM);
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY, "1700000001")), WEBHOOK_GENUINE);
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY, "1700000000")), WEBHOOK_TOO_OLD);
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY, "1600000000")), WEBHOOK_TOO_OLD);
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY, "\"1700000060\"")), WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_signed(RS256, claims_of(URL, BODY, "null")), WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_signed(RS256, "{\"exp\":1700000060}"), WEBHOOK_WRONG_CLAIM);
    assert_int_equal(check_signed(RS256, "{\"exp\":1700000060,\"webhook_url\":\"" URL "\"}"),
                     WEBHOOK_WRONG_CLAIM);
    assert_int_equal(check_signed(RS256, "{\"exp\":1,\"exp\":1700000060}"), WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_signed(RS256, "{\"exp\":[[[[[1]]]]]}"), WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_signed(RS256, "not JSON"), WEBHOOK_MALFORMED_PROOF);
}

static void test_no_bit_of_a_token_may_change(void **state)
{
    (void)state;
    char token[3000];
    sender_token(key, NULL, RS256, good_claims(), token, sizeof token);
    size_t bits = strlen(token) * 8;
    for (size_t bit = 0; bit < bits; bit += 5) { /* each letter, not each of its bits: an RSA check each */
        token[bit / 8] = (char)(token[bit / 8] ^ (1 << bit % 8));
        if (check_token(token) == WEBHOOK_GENUINE) {
            fail_msg("genuine with bit %zu flipped", bit);
        }
        token[bit / 8] = (char)(token[bit / 8] ^ (1 << bit % 8));
    }
    assert_int_equal(check_token(token), WEBHOOK_GENUINE);
}

static void test_a_token_has_three_parts_and_an_end(void **state)
{
    (void)state;
    char token[3000], longer[SENDER_VALUE_BYTES];
    sender_token(key, NULL, RS256, good_claims(), token, sizeof token);
    (void)snprintf(longer, sizeof longer, "%s.", token);
    assert_int_equal(check_token(longer), WEBHOOK_MALFORMED_PROOF);
    (void)snprintf(longer, sizeof longer, "%s=", token);
    assert_int_equal(check_token(longer), WEBHOOK_MALFORMED_PROOF);
    char *last = strrchr(token, '.');
    *last = '\0';
    assert_int_equal(check_token(token), WEBHOOK_MALFORMED_PROOF);
    *last = '.';
    last[1] = '\0'; /* an empty signature */
    assert_int_equal(check_token(token), WEBHOOK_WRONG_SIGNATURE);
    assert_int_equal(check_token("."), WEBHOOK_MALFORMED_PROOF);
    assert_int_equal(check_token(".."), WEBHOOK_MALFORMED_PROOF);
    memset(longer, 'a', sizeof longer); /* three parts, but more than a token may have */
    longer[100] = longer[200] = '.';
    longer[9000] = '\0';
    assert_int_equal(check_token(longer), WEBHOOK_MALFORMED_PROOF);
}

static void test_the_same_token_has_the_same_key(void **state)
{
    (void)state;
    const char *secret = public_text;
    struct webhook *webhook = open_with(&secret, 1);
    unsigned char keys[3][WEBHOOK_KEY_BYTES];
    static const char *const expiries[] = {"1700000060", "1700000060", "1700000061"};
    for (size_t i = 0; i < 3; i++) {
        struct sent_webhook sent;
        struct webhook_verdict verdict;
        char authorization[SENDER_VALUE_BYTES] = "Bearer ", token[3000];
        sender_token(key, NULL, RS256, claims_of(URL, BODY, expiries[i]), token, sizeof token);
        strncat(authorization, token, sizeof authorization - strlen(authorization) - 1);
        sender_begin(&sent, BODY);
        (void)sender_add(&sent, "authorization", authorization, true);
        const struct webhook_request request = sender_request(&sent);
        assert_int_equal(webhook_check(webhook, &request, now_ms, &verdict), RESULT_OK);
        assert_true(verdict.has_key);
        memcpy(keys[i], verdict.key, WEBHOOK_KEY_BYTES);
    }
    assert_memory_equal(keys[0], keys[1], WEBHOOK_KEY_BYTES);
    assert_memory_not_equal(keys[0], keys[2], WEBHOOK_KEY_BYTES);
    webhook_destroy(webhook);
}

static void assert_no_key(const char *text)
{
    const struct webhook_options options = {
        .provider = WEBHOOK_GONG, .secrets = &text, .secret_count = 1, .public_url = URL};
    const char *problem = NULL;
    if (webhook_create(&options, &problem)) {
        fail_msg("taken for a key: %s", text);
    }
    assert_string_equal(problem, "is not a public RSA key of 2048 bits or more, in base64 or PEM");
}

static void test_only_a_strong_rsa_key_is_a_key(void **state)
{
    (void)state;
    char text[1024];
    EVP_PKEY *weak = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-256");
    sender_public_key(weak, text, sizeof text);
    assert_no_key(text);
    sender_public_key(curve, text, sizeof text);
    assert_no_key(text);
    (void)snprintf(text, sizeof text, "%.900sAAAA", public_text); /* something behind it */
    assert_no_key(text);
    (void)snprintf(text, sizeof text, "%.100s", public_text);
    assert_no_key(text);
    assert_no_key("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n");
    assert_no_key("hello");
    EVP_PKEY_free(weak);
    EVP_PKEY_free(curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_of_the_right_key_is_genuine),
        cmocka_unit_test(test_a_key_may_be_bare_or_in_armour_and_one_of_two),
        cmocka_unit_test(test_the_algorithm_is_not_the_senders_choice),
        cmocka_unit_test(test_a_token_is_for_one_address_body_and_time),
        cmocka_unit_test(test_no_bit_of_a_token_may_change),
        cmocka_unit_test(test_a_token_has_three_parts_and_an_end),
        cmocka_unit_test(test_the_same_token_has_the_same_key),
        cmocka_unit_test(test_only_a_strong_rsa_key_is_a_key),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
