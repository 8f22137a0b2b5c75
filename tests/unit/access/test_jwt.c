/* Every way to be refused has a reason of its own; what the RFCs sign is taken. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"
#include "access/jwt.h"
#include "key_files.h"
#include "support/allocations.h"

enum { NOW = 1800000000, LEEWAY = 30 };

#define HEADER "{\"alg\":\"HS256\",\"kid\":\"hs\"}"
#define CLAIMS(more) "{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":\"you\"" more "}"
#define GOOD CLAIMS(",\"exp\":1800000100")

static struct jwk_set *signing, *verifying;
static const struct jwt_rules rules = {.issuer = "me", .audience = "you", .leeway_s = LEEWAY};

static int load_keys(void **context)
{
    (void)context;
    signing = key_file_load(JWK_TO_SIGN);
    verifying = key_file_load(JWK_TO_VERIFY);
    return 0;
}

static int drop_keys(void **context)
{
    (void)context;
    jwk_set_destroy(signing);
    jwk_set_destroy(verifying);
    return 0;
}

static void assert_reason(const char *what, enum jwt_reason actual, enum jwt_reason expected)
{
    if (actual != expected) {
        fail_msg("%s: %s, not %s", what, jwt_reason_name(actual), jwt_reason_name(expected));
    }
}

static void assert_token(const char *token, enum jwt_reason expected)
{
    struct jwt_claims claims = {.subject = "untouched"};
    enum jwt_reason reason = jwt_verify(token, strlen(token), verifying, &rules, NOW, &claims);
    assert_reason(token, reason, expected);
    assert_string_equal(claims.subject, expected == JWT_OK ? "alice" : "untouched");
}

static void assert_signed(const char *header, const char *claims, enum jwt_reason expected)
{
    char *token = token_sign(signing, "hs", header, claims);
    assert_token(token, expected);
    free(token);
}

/* ---- vectors ---- */

static void test_vectors(void **context)
{
    (void)context;
    char *text = key_file_read("jws_vectors.json");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) >= 13);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *vector = json_array_get(cases, i);
        const char *name = json_string_value(json_object_get(vector, "name"));
        const char *token = json_string_value(json_object_get(vector, "token"));
        const char *payload = json_string_value(json_object_get(vector, "payload"));
        const char *reason = payload ? "ok" : json_string_value(json_object_get(vector, "reason"));
        char problem[JWK_PROBLEM_BYTES];
        json_t *set = json_pack("{s: O}", "keys", json_object_get(vector, "keys"));
        char *set_text = json_dumps(set, 0);
        struct jwk_set *keys = jwk_set_read(set_text, strlen(set_text), JWK_TO_VERIFY, problem);
        if (!keys) {
            fail_msg("%s: %s", name, problem);
        }
        struct bytes opened;
        bytes_init(&opened, TOKEN_MAX_BYTES);
        const char *actual = jwt_reason_name(jwt_open(token, strlen(token), keys, &opened));
        if (strcmp(actual, reason) != 0) {
            fail_msg("%s: %s, not %s", name, actual, reason);
        }
        assert_int_equal(opened.length, payload ? strlen(payload) : 0);
        if (payload) {
            assert_memory_equal(opened.at, payload, opened.length);
        }
        bytes_finish(&opened);
        jwk_set_destroy(keys);
        free(set_text);
        json_decref(set);
    }
    json_decref(root);
    free(text);
}

static void test_claims_of_rfc_7515(void **context)
{
    (void)context;
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char key[] =
        "{\"kty\": \"oct\", \"k\": "
        "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}";
    char problem[JWK_PROBLEM_BYTES];
    struct jwt_claims claims;
    struct jwk_set *keys = jwk_set_read(key, strlen(key), JWK_TO_VERIFY, problem);
    const struct jwt_rules of_joe = {.issuer = "joe"};
    assert_non_null(keys);
    /* Good, but nobody's: we want to know whose. */
    assert_reason("A.1", jwt_verify(token, strlen(token), keys, &of_joe, 1300819379, &claims),
                  JWT_MISSING_CLAIM);
    jwk_set_destroy(keys);
}

static void test_all_algorithms_are_taken(void **context)
{
    (void)context;
    for (int i = 0; i < JWK_ALGORITHM_COUNT; i++) {
        const struct jwk *key = jwk_set_at(signing, (size_t)i);
        char header[128];
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}",
                       jwk_algorithm_name(jwk_algorithm(key)), jwk_kid(key));
        char *token = token_sign(signing, jwk_kid(key), header, GOOD);
        assert_token(token, JWT_OK);
        free(token);
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", jwk_algorithm_name(jwk_algorithm(key)));
        token = token_sign(signing, jwk_kid(key), header, GOOD); /* the only key of its algorithm */
        assert_token(token, JWT_OK);
        free(token);
    }
}

/* ---- the envelope ---- */

static void test_shapes(void **context)
{
    (void)context;
    static const struct {
        const char *token;
        enum jwt_reason reason;
    } rows[] = {
        {"", JWT_MALFORMED},
        {"secret", JWT_MALFORMED},
        {"a.b", JWT_MALFORMED},
        {".b.c", JWT_MALFORMED},
        {"a.b.c.d", JWT_MALFORMED},
        {"a.b.c.d.e", JWT_MALFORMED},
        {"e30.e30.e30", JWT_UNKNOWN_ALGORITHM},
        {"e30=.e30.e30", JWT_BAD_BASE64},
        {"e3 0.e30.e30", JWT_BAD_BASE64},
        {"e31.e30.e30", JWT_BAD_BASE64}, /* stray bits */
        {"W10.e30.e30", JWT_BAD_JSON},   /* [] */
        {"MQ.e30.e30", JWT_BAD_JSON},    /* 1 */
        {"YWJj.e30.e30", JWT_BAD_JSON},  /* abc */
        {"eyJhIjoi_yJ9.e30.e30", JWT_NOT_UTF8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_token(rows[i].token, rows[i].reason);
    }
}

static void test_every_cut_is_refused(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, GOOD);
    for (size_t length = strlen(token); length-- > 0;) {
        struct jwt_claims claims;
        enum jwt_reason reason = jwt_verify(token, length, verifying, &rules, NOW, &claims);
        if (reason != JWT_MALFORMED && reason != JWT_BAD_SIGNATURE && reason != JWT_BAD_BASE64) {
            fail_msg("%zu bytes: %s", length, jwt_reason_name(reason));
        }
    }
    free(token);
}

static void test_every_flipped_bit_is_refused(void **context)
{
    (void)context;
    char *token = token_sign(signing, "ed", "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", GOOD);
    for (size_t i = 0; token[i] != '\0'; i++) {
        struct jwt_claims claims;
        token[i] ^= 1;
        enum jwt_reason reason = jwt_verify(token, strlen(token), verifying, &rules, NOW, &claims);
        if (reason == JWT_OK) {
            fail_msg("byte %zu is not looked at", i);
        }
        token[i] ^= 1;
    }
    assert_token(token, JWT_OK);
    free(token);
}

static void test_sizes(void **context)
{
    (void)context;
    static char endless[TOKEN_MAX_BYTES + 2];
    memset(endless, 'a', TOKEN_MAX_BYTES + 1);
    assert_token(endless, JWT_TOO_BIG);

    static char long_header[JWT_HEADER_MAX_BYTES + 16];
    memset(long_header, 'a', JWT_HEADER_MAX_BYTES + 1);
    (void)strcpy(long_header + JWT_HEADER_MAX_BYTES + 1, ".e30.e30");
    assert_token(long_header, JWT_TOO_BIG);

    /* The longest token there can be is still judged. */
    static char claims[TOKEN_MAX_BYTES];
    size_t filler = (TOKEN_MAX_BYTES - 43 - 2 - 36) / 4 * 3 - strlen(GOOD) - 8;
    (void)snprintf(claims, sizeof claims, "%.*s,\"x\":\"%0*d\"}", (int)strlen(GOOD) - 1, GOOD, (int)filler,
                   0);
    char *token = token_sign(signing, "hs", HEADER, claims);
    assert_in_range(strlen(token), TOKEN_MAX_BYTES - 8, TOKEN_MAX_BYTES);
    assert_token(token, JWT_OK);
    free(token);
}

static void test_depth(void **context)
{
    (void)context;
    assert_signed("{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":[[[1]]]}", GOOD, JWT_OK);
    assert_signed("{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":[[[[1]]]]}", GOOD, JWT_TOO_DEEP);
    assert_signed(HEADER, CLAIMS(",\"exp\":1800000100,\"x\":[[[[[[[1]]]]]]]"), JWT_OK);
    assert_signed(HEADER, CLAIMS(",\"exp\":1800000100,\"x\":[[[[[[[[1]]]]]]]]"), JWT_TOO_DEEP);
}

/* ---- the header ---- */

static void test_headers(void **context)
{
    (void)context;
    static const struct {
        const char *header;
        enum jwt_reason reason;
    } rows[] = {
        {HEADER, JWT_OK},
        {"{\"alg\":\"HS256\"}", JWT_OK},
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\"}", JWT_OK},
        {"{\"typ\":\"jwt\",\"alg\":\"HS256\"}", JWT_OK},
        {"{\"typ\":\"application/at+jwt\",\"alg\":\"HS256\"}", JWT_OK},
        {"{\"b64\":true,\"alg\":\"HS256\"}", JWT_OK},
        {"{\"alg\":\"HS256\",\"jku\":\"https://elsewhere.example/keys\",\"x5u\":\"file:///etc/passwd\"}",
         JWT_OK},
        {"{\"typ\":\"dpop+jwt\",\"alg\":\"HS256\"}", JWT_WRONG_TYPE},
        {"{\"typ\":7,\"alg\":\"HS256\"}", JWT_WRONG_TYPE},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", JWT_UNENCODED},
        {"{\"alg\":\"HS256\",\"b64\":0}", JWT_UNENCODED},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", JWT_CRITICAL},
        {"{\"alg\":\"HS256\",\"crit\":[]}", JWT_CRITICAL},
        {"{\"alg\":\"none\"}", JWT_ALGORITHM_NONE},
        {"{\"alg\":\"nOnE\",\"kid\":\"hs\"}", JWT_ALGORITHM_NONE},
        {"{\"alg\":\"HS512\"}", JWT_UNKNOWN_ALGORITHM},
        {"{\"alg\":\"hs256\"}", JWT_UNKNOWN_ALGORITHM},
        {"{\"alg\":[\"HS256\"]}", JWT_UNKNOWN_ALGORITHM},
        {"{\"kid\":\"hs\"}", JWT_UNKNOWN_ALGORITHM},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", JWT_DUPLICATE},
        {"{\"alg\":\"HS256\",\"kid\":\"hs\",\"kid\":\"rs\"}", JWT_DUPLICATE},
        /* confusion: the key says what it is */
        {"{\"alg\":\"HS256\",\"kid\":\"rs\"}", JWT_ALGORITHM_MISMATCH},
        {"{\"alg\":\"HS256\",\"kid\":\"es\"}", JWT_ALGORITHM_MISMATCH},
        {"{\"alg\":\"RS256\",\"kid\":\"hs\"}", JWT_ALGORITHM_MISMATCH},
        {"{\"alg\":\"RS256\",\"kid\":\"ps\"}", JWT_ALGORITHM_MISMATCH},
        {"{\"alg\":\"RS256\",\"kid\":\"rs\"}", JWT_BAD_SIGNATURE},
        {"{\"alg\":\"HS256\",\"kid\":\"gone-2025\"}", JWT_UNKNOWN_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":null}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":7}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"/etc/passwd\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"https://elsewhere.example/key\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"..\\\\..\\\\key\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'k\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"a\\nb\"}", JWT_BAD_KID},
        {"{\"alg\":\"HS256\",\"kid\":\"hs\\u0000\"}", JWT_BAD_JSON},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_signed(rows[i].header, GOOD, rows[i].reason);
    }
    char header[512];
    (void)snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%0*d\"}", JWK_KID_MAX_BYTES + 1, 0);
    assert_signed(header, GOOD, JWT_BAD_KID);
}

static void test_an_rsa_key_is_no_hmac_secret(void **context)
{
    (void)context;
    /* A set whose secret is the modulus of the RSA key, as a forger would use it. */
    char *text = key_file_read("verifying_keys.json");
    json_t *keys = json_loads(text, 0, NULL);
    free(text);
    const char *modulus =
        json_string_value(json_object_get(json_array_get(json_object_get(keys, "keys"), 1), "n"));
    char forger[1024], problem[JWK_PROBLEM_BYTES];
    (void)snprintf(forger, sizeof forger, "{\"kty\":\"oct\",\"kid\":\"rs\",\"k\":\"%s\"}", modulus);
    struct jwk_set *forging = jwk_set_read(forger, strlen(forger), JWK_TO_SIGN, problem);
    assert_non_null(forging);
    char *token = token_sign(forging, "rs", "{\"alg\":\"HS256\",\"kid\":\"rs\"}", GOOD);
    assert_token(token, JWT_ALGORITHM_MISMATCH);
    free(token);
    token = token_sign(forging, "rs", "{\"alg\":\"HS256\"}", GOOD);
    assert_token(token, JWT_BAD_SIGNATURE);
    free(token);
    jwk_set_destroy(forging);
    json_decref(keys);
}

static void test_two_keys_of_one_algorithm_need_a_name(void **context)
{
    (void)context;
    static const char two[] =
        "{\"keys\":["
        "{\"kty\":\"oct\",\"kid\":\"old\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
        "{\"kty\":\"oct\",\"kid\":\"new\",\"k\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}]}";
    static const struct {
        const char *signer, *header;
        enum jwt_reason reason;
    } rows[] = {
        {"old", "{\"alg\":\"HS256\",\"kid\":\"old\"}", JWT_OK},
        {"new", "{\"alg\":\"HS256\",\"kid\":\"new\"}", JWT_OK},
        {"old", "{\"alg\":\"HS256\",\"kid\":\"new\"}", JWT_BAD_SIGNATURE},
        {"old", "{\"alg\":\"HS256\"}", JWT_MISSING_KID},
        {"old", "{\"alg\":\"RS256\"}", JWT_ALGORITHM_MISMATCH},
    };
    char problem[JWK_PROBLEM_BYTES];
    struct jwk_set *keys = jwk_set_read(two, strlen(two), JWK_TO_VERIFY, problem);
    assert_non_null(keys);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct jwt_claims claims;
        char *token = token_sign(keys, rows[i].signer, rows[i].header, GOOD);
        assert_reason(rows[i].header, jwt_verify(token, strlen(token), keys, &rules, NOW, &claims),
                      rows[i].reason);
        free(token);
    }
    jwk_set_destroy(keys);
}

/* ---- the claims ---- */

static void test_claims(void **context)
{
    (void)context;
    static const struct {
        const char *claims;
        enum jwt_reason reason;
    } rows[] = {
        {GOOD, JWT_OK},
        /* exp, to the second: now, less the leeway */
        {CLAIMS(",\"exp\":1799999971"), JWT_OK},
        {CLAIMS(",\"exp\":1799999970"), JWT_EXPIRED},
        {CLAIMS(",\"exp\":1799999971.9"), JWT_OK},
        {CLAIMS(",\"exp\":0"), JWT_EXPIRED},
        {CLAIMS(""), JWT_MISSING_CLAIM},
        {CLAIMS(",\"exp\":\"1800000100\""), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":null"), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":-1"), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":1e300"), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":1e999"), JWT_BAD_JSON},
        {CLAIMS(",\"exp\":1800000100,\"nbf\":1800000030"), JWT_OK},
        {CLAIMS(",\"exp\":1800000100,\"nbf\":1800000031"), JWT_NOT_YET_VALID},
        {CLAIMS(",\"exp\":1800000100,\"nbf\":\"now\""), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":1800000100,\"iat\":1800000030"), JWT_OK},
        {CLAIMS(",\"exp\":1800000100,\"iat\":1800000031"), JWT_ISSUED_IN_FUTURE},
        {CLAIMS(",\"exp\":1800000100,\"iat\":{}"), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":1800000100,\"exp\":1900000000"), JWT_DUPLICATE},
        {CLAIMS(",\"exp\":1800000100,\"x\":{\"y\":1,\"y\":2}"), JWT_DUPLICATE},
        {CLAIMS(",\"exp\":1800000100,\"x\":\"\xff\""), JWT_NOT_UTF8},
        {CLAIMS(",\"exp\":1800000100,\"x\":\"\xed\xa0\x80\""), JWT_NOT_UTF8},
        {CLAIMS(",\"exp\":1800000100,\"jti\":\"7f-1\""), JWT_OK},
        {CLAIMS(",\"exp\":1800000100,\"jti\":7"), JWT_BAD_CLAIM},
        {CLAIMS(",\"exp\":1800000100,\"jti\":\"\""), JWT_BAD_CLAIM},
        {"{\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_MISSING_CLAIM},
        {"{\"sub\":\"\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":7,\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":\"a\\nb\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":\"a\\u007f\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":\"alice\",\"aud\":\"you\",\"exp\":1800000100}", JWT_MISSING_CLAIM},
        {"{\"sub\":\"alice\",\"iss\":\"Me\",\"aud\":\"you\",\"exp\":1800000100}", JWT_WRONG_ISSUER},
        {"{\"sub\":\"alice\",\"iss\":[\"me\"],\"aud\":\"you\",\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"exp\":1800000100}", JWT_MISSING_CLAIM},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":\"you.example\",\"exp\":1800000100}", JWT_WRONG_AUDIENCE},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":[\"them\",\"you\"],\"exp\":1800000100}", JWT_OK},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":[\"them\"],\"exp\":1800000100}", JWT_WRONG_AUDIENCE},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":[],\"exp\":1800000100}", JWT_WRONG_AUDIENCE},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":[\"you\",7],\"exp\":1800000100}", JWT_BAD_CLAIM},
        {"{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7],\"exp\":1800000100}",
         JWT_BAD_CLAIM},
        {"[]", JWT_BAD_JSON},
        {"\"alice\"", JWT_BAD_JSON},
        {"", JWT_BAD_JSON},
        {GOOD " ", JWT_OK},
        {GOOD "x", JWT_BAD_JSON},
        /* a token of another issuer is not "expired": a newer one would not do */
        {"{\"sub\":\"alice\",\"iss\":\"them\",\"aud\":\"you\",\"exp\":5}", JWT_WRONG_ISSUER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_signed(HEADER, rows[i].claims, rows[i].reason);
    }
}

static void test_texts_have_sizes(void **context)
{
    (void)context;
    char claims[1024];
    struct jwt_claims read;
    for (int over = 0; over <= 1; over++) {
        (void)snprintf(
            claims, sizeof claims,
            "{\"sub\":\"%0*d\",\"jti\":\"%0*d\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}",
            JWT_SUBJECT_MAX_BYTES + over, 0, JWT_ID_MAX_BYTES, 0);
        char *token = token_sign(signing, "hs", HEADER, claims);
        assert_reason("sub", jwt_verify(token, strlen(token), verifying, &rules, NOW, &read),
                      over ? JWT_BAD_CLAIM : JWT_OK);
        free(token);
    }
    assert_int_equal(strlen(read.subject), JWT_SUBJECT_MAX_BYTES);
    assert_int_equal(strlen(read.id), JWT_ID_MAX_BYTES);
    (void)snprintf(claims, sizeof claims, CLAIMS(",\"jti\":\"%0*d\",\"exp\":1800000100"),
                   JWT_ID_MAX_BYTES + 1, 0);
    assert_signed(HEADER, claims, JWT_BAD_CLAIM);
}

static void test_claims_come_out(void **context)
{
    (void)context;
    struct jwt_claims claims;
    const struct jwt_rules any = {.leeway_s = 0};
    char *token =
        token_sign(signing, "hs", HEADER,
                   "{\"sub\":\"zo\xc3\xab\",\"jti\":\"one\",\"nbf\":1799999000,\"exp\":1800000001}");
    assert_reason("any", jwt_verify(token, strlen(token), verifying, &any, NOW, &claims), JWT_OK);
    assert_string_equal(claims.subject, "zo\xc3\xab");
    assert_string_equal(claims.id, "one");
    assert_int_equal(claims.expires_s, 1800000001);
    assert_int_equal(claims.not_before_s, 1799999000);
    assert_reason("at its end", jwt_verify(token, strlen(token), verifying, &any, NOW + 1, &claims),
                  JWT_EXPIRED);
    free(token);
}

static void test_reasons_have_names(void **context)
{
    (void)context;
    for (int i = 0; i < JWT_REASON_COUNT; i++) {
        assert_non_null(jwt_reason_name((enum jwt_reason)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(jwt_reason_name((enum jwt_reason)i), jwt_reason_name((enum jwt_reason)j));
        }
    }
}

/** Issuers repeat their header, which is then not read again. That must decide nothing about signature and claims. */
static void test_a_header_that_is_known_opens_nothing(void **context)
{
    (void)context;
    static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"hs\",\"typ\":\"JWT\"}";
    char *good = token_sign(signing, "hs", header, GOOD);
    char *by_another = token_sign(signing, "ed", header, GOOD);
    size_t header_length = strcspn(good, ".");
    assert_null(jwk_set_find_header(verifying, good, header_length));
    assert_token(by_another, JWT_BAD_SIGNATURE);
    assert_null(jwk_set_find_header(verifying, good, header_length)); /* a forger leaves nothing behind */
    for (int i = 0; i < 3; i++) {
        assert_token(good, JWT_OK);
        assert_ptr_equal(jwk_set_find_header(verifying, good, header_length), jwk_set_find(verifying, "hs"));
        assert_token(by_another, JWT_BAD_SIGNATURE);
        assert_signed(header, CLAIMS(""), JWT_MISSING_CLAIM);
        assert_signed("{\"alg\":\"HS256\",\"kid\":\"hs\",\"crit\":[]}", GOOD, JWT_CRITICAL);
        assert_signed("{\"alg\":\"none\",\"kid\":\"hs\",\"typ\":\"JWT\"}", GOOD, JWT_ALGORITHM_NONE);
    }
    good[header_length - 1] ^= 1;
    assert_null(jwk_set_find_header(verifying, good, header_length));
    assert_null(jwk_set_find_header(verifying, good, header_length - 1));
    free(good);
    free(by_another);
}

static void test_a_long_header_is_read_each_time(void **context)
{
    (void)context;
    char header[512];
    (void)snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":\"%0*d\"}",
                   JWK_KEPT_HEADER_BYTES, 1);
    char *token = token_sign(signing, "hs", header, GOOD);
    assert_token(token, JWT_OK);
    assert_null(jwk_set_find_header(verifying, token, strcspn(token, ".")));
    assert_token(token, JWT_OK);
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_claims_of_rfc_7515),
        cmocka_unit_test(test_all_algorithms_are_taken),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_an_rsa_key_is_no_hmac_secret),
        cmocka_unit_test(test_two_keys_of_one_algorithm_need_a_name),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_texts_have_sizes),
        cmocka_unit_test(test_claims_come_out),
        cmocka_unit_test(test_reasons_have_names),
        cmocka_unit_test(test_a_header_that_is_known_opens_nothing),
        cmocka_unit_test(test_a_long_header_is_read_each_time),
    };
    return cmocka_run_group_tests(tests, load_keys, drop_keys);
}
