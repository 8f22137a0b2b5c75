/* Which texts are keys, what each key verifies, and what is said of those that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"
#include "access/jwk.h"
#include "key_files.h"
#include "support/allocations.h"

#define SECRET "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\""
#define X "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define Y "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define POINT "\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": " X ", \"y\": " Y
#define ED "\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static struct jwk_set *read_set(const char *text, char problem[JWK_PROBLEM_BYTES])
{
    return jwk_set_read(text, strlen(text), JWK_TO_VERIFY, problem);
}

static void assert_refused(const char *text, const char *expected)
{
    char problem[JWK_PROBLEM_BYTES] = "";
    struct jwk_set *set = read_set(text, problem);
    if (set || !strstr(problem, expected)) {
        fail_msg("%s: \"%s\", not \"%s\"", text, set ? "accepted" : problem, expected);
    }
    assert_int_equal(ERR_peek_error(), 0); /* others would take it for theirs */
}

static void test_signatures_are_of_their_key_and_text(void **context)
{
    (void)context;
    static const char text[] = "header.claims", other[] = "header.claimz";
    struct jwk_set *signing = key_file_load(JWK_TO_SIGN);
    struct jwk_set *verifying = key_file_load(JWK_TO_VERIFY);
    for (size_t i = 0; i < jwk_set_count(signing); i++) {
        const struct jwk *signer = jwk_set_at(signing, i);
        unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
        size_t length = 0;
        assert_true(jwk_sign(signer, text, strlen(text), signature, &length));
        for (size_t j = 0; j < jwk_set_count(verifying); j++) {
            const struct jwk *key = jwk_set_at(verifying, j);
            assert_int_equal(jwk_verify(key, text, strlen(text), signature, length), i == j);
            assert_int_equal(jwk_verify(key, text, strlen(text), signature, length), i == j); /* kept state */
            assert_false(jwk_verify(key, other, strlen(other), signature, length));
            assert_false(jwk_verify(key, text, strlen(text), signature, length - 1));
            assert_false(jwk_verify(key, text, strlen(text), signature, 0));
            assert_int_equal(ERR_peek_error(), 0);
        }
        for (size_t at = 0; at < length; at += 7) {
            signature[at] ^= 0x10;
            assert_false(jwk_verify(jwk_set_at(verifying, i), text, strlen(text), signature, length));
            signature[at] ^= 0x10;
        }
    }
    jwk_set_destroy(signing);
    jwk_set_destroy(verifying);
}

/* r and s whose leading bytes are zero or have their first bit set: DER writes those in other lengths. */
static void test_many_p256_signatures_survive_both_forms(void **context)
{
    (void)context;
    struct jwk_set *signing = key_file_load(JWK_TO_SIGN);
    struct jwk_set *verifying = key_file_load(JWK_TO_VERIFY);
    const struct jwk *key = jwk_set_find(verifying, "es");
    for (int i = 0; i < 2000; i++) {
        char text[16];
        unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
        size_t length = 0;
        int size = snprintf(text, sizeof text, "%d", i);
        assert_true(jwk_sign(jwk_set_find(signing, "es"), text, (size_t)size, signature, &length));
        assert_int_equal(length, 64);
        assert_true(jwk_verify(key, text, (size_t)size, signature, length));
    }
    static const unsigned char nothing[64];
    assert_false(jwk_verify(key, "x", 1, nothing, sizeof nothing));
    jwk_set_destroy(signing);
    jwk_set_destroy(verifying);
}

static void test_algorithm_follows_from_the_key(void **context)
{
    (void)context;
    static const struct {
        const char *text;
        enum jwk_algorithm algorithm;
    } rows[] = {
        {"{\"kty\": \"oct\", \"k\": " SECRET "}", JWK_HS256},
        {"{" POINT "}", JWK_ES256},
        {"{" POINT ", \"alg\": \"ES256\", \"use\": \"sig\", \"key_ops\": [\"verify\"]}", JWK_ES256},
        {"{" ED "}", JWK_EDDSA},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char problem[JWK_PROBLEM_BYTES];
        struct jwk_set *set = read_set(rows[i].text, problem);
        if (!set) {
            fail_msg("%s: %s", rows[i].text, problem);
        }
        assert_int_equal(jwk_set_count(set), 1);
        assert_int_equal(jwk_algorithm(jwk_set_at(set, 0)), rows[i].algorithm);
        assert_string_equal(jwk_kid(jwk_set_at(set, 0)), "");
        jwk_set_destroy(set);
    }
}

static void test_keys_that_are_not_ours_are_passed_over(void **context)
{
    (void)context;
    char problem[JWK_PROBLEM_BYTES];
    struct jwk_set *set =
        read_set("{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-521\"}, {\"kty\": \"AKP\"}, {" POINT
                 ", \"use\": \"enc\"}, {" POINT ", \"alg\": \"ECDH-ES\"}, {" POINT
                 ", \"key_ops\": [\"sign\"]}, {" ED ", \"kid\": \"ours\"}]}",
                 problem);
    assert_non_null(set);
    assert_int_equal(jwk_set_count(set), 1);
    assert_non_null(jwk_set_find(set, "ours"));
    assert_null(jwk_set_find(set, "theirs"));
    jwk_set_destroy(set);
    jwk_set_destroy(NULL);
}

static void test_wrong_keys_refuse_the_set(void **context)
{
    (void)context;
    assert_refused("", "is not JSON");
    assert_refused("{\"keys\": [", "is not JSON");
    assert_refused("{\"kty\": \"oct\", \"kty\": \"RSA\"}", "distinct members");
    assert_refused("[]", "neither a JWK set");
    assert_refused("{\"keys\": {}}", "neither a JWK set");
    assert_refused("{\"keys\": []}", "holds no key");
    assert_refused("{\"keys\": [{" POINT ", \"use\": \"enc\"}]}", "holds no key");
    assert_refused("{\"keys\": [1]}", "key 1: is not a JSON object");
    assert_refused("[[[[[[1]]]]]]", "nested deeper");
    assert_refused("{\"kty\": \"oct\"}", "key 1: has no \"k\"");
    assert_refused("{\"kty\": \"oct\", \"k\": \"c2hvcnQ\"}", "\"k\" is not 32 to 512 bytes");
    assert_refused("{\"kty\": \"oct\", \"k\": " SECRET ", \"kid\": \"\"}",
                   "\"kid\" is not a text of 1 to 128");
    assert_refused("{\"kty\": \"oct\", \"k\": " SECRET ", \"kid\": 7}", "\"kid\" is not a text");
    assert_refused("{\"kty\": \"oct\", \"k\": " SECRET ", \"kid\": \"a b\"}", "visible ASCII");
    assert_refused("{\"keys\": [{" ED ", \"kid\": \"a\"}, {" POINT ", \"kid\": \"a\"}]}",
                   "key 2: has the \"kid\" of another");
    assert_refused("{" POINT ", \"d\": \"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}", "is a private key");
    assert_refused("{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": " X ", \"y\": " X "}",
                   "is no point of P-256");
    assert_refused("{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": " X ", \"y\": \"AA\"}",
                   "\"y\" is not 32 bytes");
    assert_refused("{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"AA==\"}", "\"x\" is not 32 bytes");
    assert_refused("{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}",
                   "is not an RSA key of 2048 to 4096 bits");
    assert_refused("{\"kty\": \"RSA\", \"e\": \"AQAB\"}", "has no \"n\"");
}

static void test_an_even_modulus_is_no_rsa_key(void **context)
{
    (void)context;
    char text[512], problem[JWK_PROBLEM_BYTES] = "";
    char modulus[343];
    memset(modulus, 'g', sizeof modulus - 1); /* 256 bytes, the last one even */
    modulus[341] = 'A';
    modulus[342] = '\0';
    (void)snprintf(text, sizeof text, "{\"kty\": \"RSA\", \"n\": \"%s\", \"e\": \"AQAB\"}", modulus);
    assert_null(read_set(text, problem));
    assert_string_equal(problem, "key 1: is not a sound RSA key");
}

static void test_a_set_has_a_size(void **context)
{
    (void)context;
    char problem[JWK_PROBLEM_BYTES] = "";
    json_t *keys = json_array();
    for (int i = 0; i <= JWK_SET_MAX_KEYS; i++) {
        json_t *key = json_loads("{" ED "}", 0, NULL);
        assert_int_equal(json_object_set_new(key, "kid", json_sprintf("k%d", i)), 0);
        assert_int_equal(json_array_append_new(keys, key), 0);
    }
    json_t *root = json_pack("{s: O}", "keys", keys);
    char *text = json_dumps(root, 0);
    assert_null(read_set(text, problem));
    assert_string_equal(problem, "key 17: is one more than the 16 a set may hold");
    free(text);
    assert_int_equal(json_array_remove(keys, JWK_SET_MAX_KEYS), 0);
    text = json_dumps(root, 0);
    struct jwk_set *set = read_set(text, problem);
    assert_non_null(set);
    assert_int_equal(jwk_set_count(set), JWK_SET_MAX_KEYS);
    jwk_set_destroy(set);
    free(text);
    json_decref(keys);
    json_decref(root);

    static char large[JWK_SET_MAX_BYTES + 2];
    memset(large, ' ', sizeof large - 1);
    assert_null(read_set(large, problem));
    assert_non_null(strstr(problem, "larger than 65536 bytes"));
}

static void test_without_memory_there_is_no_set(void **context)
{
    (void)context;
    char problem[JWK_PROBLEM_BYTES] = "";
    allocations_fail_all_after(0);
    struct jwk_set *set = read_set("{" ED "}", problem);
    assert_true(allocations_recover());
    assert_null(set);
    assert_string_equal(problem, "cannot be read: memory ran out");
}

/* Project Wycheproof, rsa_pss_2048_sha256_mgf1_32, tests 3 and 5: no RFC signs with PS256. */
static void test_ps256_of_others(void **context)
{
    (void)context;
    static const char n[] =
        "orRRoH0KpfluRVZxUTVQUUqKW0YuvvcXCU-h_ugiJOY3-"
        "XRtP3yv0xh42AMltu9aFwD2WQO0aUKeidbqyIRQl7WrOTGJ25JRLtincRoSU_rNIPecFegkfz0-QuRuSMmOJUov6XZTE6A-"
        "_48X4aApOXofomqNzib0kO2BKZYV2YFMItphBCjgnH2WWFlCZvXAIdD87KCNlFoSvoLeTR7Oa0wDFFtdNJXU7VQR64eNrwX9"
        "evw-Ca2g8RJkIvWQl1oZaYFvSGmLy7obTZyuedRg2Pn4Xnl1AF2bwixOWsD3waRdElaaYoB9O5oC5aUw53MGb0U9H1tMLpz3"
        "ggKD90K51Q";
    static const struct {
        const char *text, *signature;
    } rows[] = {
        {"Test", "QB6wPNtHyogDPjAw9r3susj1yPwd1qE9I9N57ZorMJiR0T10_qnSHRWbnm2PN--"
                 "iSJli4kVV9W3UNP8dMc5Pn1q9PyLL6otpHWoR5E77g-K8oVXmoWQyXg_eKohlr9XJ9RFhqdYV9ir37C4xs-WrZJwWR"
                 "JDTHYjPrjW4Sup5JWkPkpoUS20vSOj7iUpS3uzRuaZJaZDE7PFYhpmkLKzRDFOvNQUU5CkeqaBY538QHjLBwM76Ydl"
                 "F97yTH4vRnnujFpNYpg5aiwEjvDGZuf3K_o5RnEG6Z1SRonuF5E7y13J3wQ_hByk8gpAYaRO8mpm2QNjaBBtk8x6rH"
                 "TWSCYX0pQ"},
        {"Message",
         "WZckrcG64x6E624Tmc2QzWf0i0MsY3GbYAQCOEquqbIe6GTNzyWQKRgId8hHoiORKwZH8GalmmXfbC06ZnWxRQ8LBR"
         "hc7khr-"
         "sVs_e0YK6vO_mBWimlU8CbLL1kAKi91XpvOSXk_KA2Jgiyb06BqetIgnD1sq3wfdMi79L83TnropTn8y4OnjP-WpPU"
         "4reughpZZ0OlkfZj5bLVdnLflhEDEydhbjp3GAukJ4p5F8rgt7UT0DpzrEpLaIAY5Z-"
         "OhFvSusgKGPOpSPyFbjsf8T2oizYZS7WYeM4A_P6G-lm-odUzHsPqJTO4PBF77oUxPSh18uDfOpp4wUiUmuKWHjw"},
    };
    char set_text[1024], problem[JWK_PROBLEM_BYTES] = "";
    (void)snprintf(set_text, sizeof set_text,
                   "{\"kty\":\"RSA\",\"alg\":\"PS256\",\"e\":\"AQAB\",\"n\":\"%s\"}", n);
    struct jwk_set *set = read_set(set_text, problem);
    assert_non_null(set);
    const struct jwk *key = jwk_set_at(set, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
        size_t length = 0;
        assert_true(base64_decode(BASE64_URL, rows[i].signature, strlen(rows[i].signature), signature,
                                  sizeof signature, &length));
        assert_true(jwk_verify(key, rows[i].text, strlen(rows[i].text), signature, length));
        assert_false(jwk_verify(key, rows[1 - i].text, strlen(rows[1 - i].text), signature, length));
        signature[length / 2] ^= 1;
        assert_false(jwk_verify(key, rows[i].text, strlen(rows[i].text), signature, length));
    }
    jwk_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_are_of_their_key_and_text),
        cmocka_unit_test(test_many_p256_signatures_survive_both_forms),
        cmocka_unit_test(test_algorithm_follows_from_the_key),
        cmocka_unit_test(test_keys_that_are_not_ours_are_passed_over),
        cmocka_unit_test(test_wrong_keys_refuse_the_set),
        cmocka_unit_test(test_an_even_modulus_is_no_rsa_key),
        cmocka_unit_test(test_a_set_has_a_size),
        cmocka_unit_test(test_without_memory_there_is_no_set),
        cmocka_unit_test(test_ps256_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
