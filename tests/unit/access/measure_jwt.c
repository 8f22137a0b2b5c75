/*
 * What a token costs, beside the bare signature: build/tests/unit/access/measure_jwt
 *
 * Both take turns, round by round, so that a busy machine disturbs both alike; the medians of the rounds are printed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"
#include "access/jwt.h"
#include "base/clock.h"
#include "key_files.h"

enum { ROUNDS = 41, TOKENS = 500, NOW = 1800000000 };

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    return times[ROUNDS / 2];
}

static double us_each(uint64_t begun_us)
{
    return (double)(clock_monotonic_us() - begun_us) / TOKENS;
}

static void measure(const struct jwk_set *keys, const struct jwk *key, const char *token)
{
    static const struct jwt_rules rules = {
        .issuer = "https://login.example", .audience = "sophia", .leeway_s = 30};
    double bare[ROUNDS], whole[ROUNDS];
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t signature_length = 0, length = strlen(token);
    const char *dot = strrchr(token, '.');
    assert_true(
        base64_decode(BASE64_URL, dot + 1, strlen(dot + 1), signature, sizeof signature, &signature_length));
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun_us = clock_monotonic_us();
        for (int i = 0; i < TOKENS; i++) {
            assert_true(jwk_verify(key, token, (size_t)(dot - token), signature, signature_length));
        }
        bare[round] = us_each(begun_us);
        begun_us = clock_monotonic_us();
        for (int i = 0; i < TOKENS; i++) {
            struct jwt_claims claims;
            assert_int_equal(jwt_verify(token, length, keys, &rules, NOW, &claims), JWT_OK);
        }
        whole[round] = us_each(begun_us);
    }
    double of_bare = median(bare), of_whole = median(whole);
    printf("%-6s %4zu bytes  signature %7.2f us  token %7.2f us  %.2f\n",
           jwk_algorithm_name(jwk_algorithm(key)), length, of_bare, of_whole, of_whole / of_bare);
}

static void measure_all(void **context)
{
    (void)context;
    struct jwk_set *signing = key_file_load(JWK_TO_SIGN);
    struct jwk_set *verifying = key_file_load(JWK_TO_VERIFY);
    for (size_t i = 0; i < jwk_set_count(verifying); i++) {
        const struct jwk *key = jwk_set_at(verifying, i);
        char header[128];
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                       jwk_algorithm_name(jwk_algorithm(key)), jwk_kid(key));
        char *token =
            token_sign(signing, jwk_kid(key), header,
                       "{\"iss\":\"https://login.example\",\"aud\":\"sophia\",\"sub\":\"alice@example.com\","
                       "\"iat\":1799999000,\"exp\":1800000900,\"jti\":\"4e1c0fd2\"}");
        measure(verifying, key, token);
        free(token);
    }
    jwk_set_destroy(signing);
    jwk_set_destroy(verifying);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measure_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
