/*
 * What a token costs beside its bare signature, and one that is known: per algorithm, with the keys that the tests have.
 *
 *   usage: token_cost
 *
 * "signature" is EVP with kept keys and contexts, and nothing else; "token" is jwt_verify(): sizes, base64, header, signature, claims and
 * rules; "known" is a digest and a look-up, as whoever comes back costs. All take turns, round by round, so that a busy machine disturbs
 * them alike; medians are printed. Ends with status 1 when a token costs more than 1.3 times its signature.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"
#include "access/jwk_file.h"
#include "access/jwt.h"
#include "access/token_cache.h"
#include "base/clock.h"

enum { ROUNDS = 41, TOKENS = 500, NOW = 1800000000, EXIT_BROKEN = 2 };

#define MOST 1.3
#define CLAIMS                                                                             \
    "{\"iss\":\"https://login.example\",\"aud\":\"sophia\",\"sub\":\"alice@example.com\"," \
    "\"iat\":1799999000,\"exp\":1800000900,\"jti\":\"4e1c0fd2\"}"

static const struct jwt_rules rules = {.issuer = "https://login.example",
                                       .audience = "sophia",
                                       .leeway_s = 30};

static void require(bool is_so, const char *what)
{
    if (!is_so) {
        fprintf(stderr, "token_cost: %s\n", what);
        exit(EXIT_BROKEN);
    }
}

static struct jwk_set *load(const char *name, enum jwk_purpose purpose)
{
    char path[512], problem[JWK_PROBLEM_BYTES] = "";
    struct jwk_file file;
    (void)snprintf(path, sizeof path, SOURCE_ROOT "/tests/unit/access/%s", name);
    struct jwk_set *keys = jwk_file_read(path, purpose, &file, problem);
    require(keys != NULL, problem);
    return keys;
}

/** NUL-terminated, to be freed. */
static char *sign(const struct jwk *key)
{
    struct bytes token;
    char header[128];
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t length = 0;
    int header_length = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                                 jwk_algorithm_name(jwk_algorithm(key)), jwk_kid(key));
    bytes_init(&token, TOKEN_MAX_BYTES);
    base64url_append(&token, header, (size_t)header_length);
    bytes_append_byte(&token, '.');
    base64url_append(&token, CLAIMS, strlen(CLAIMS));
    require(jwk_sign(key, token.at, token.length, signature, &length), "no signature");
    bytes_append_byte(&token, '.');
    base64url_append(&token, signature, length);
    bytes_append_byte(&token, '\0');
    require(!bytes_failed(&token), "no token");
    return bytes_take(&token, &length);
}

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

/* ---- what is measured ---- */

struct subject {
    const struct jwk_set *keys;
    const struct jwk *key;
    const char *token;
    size_t length, signed_length, signature_length;
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    struct token_cache *cache;
};

static bool verify_signature(const struct subject *subject)
{
    return jwk_verify(subject->key, subject->token, subject->signed_length, subject->signature,
                      subject->signature_length);
}

static bool verify_token(const struct subject *subject)
{
    struct jwt_claims claims;
    return jwt_verify(subject->token, subject->length, subject->keys, &rules, NOW, &claims) == JWT_OK;
}

static bool find_known(const struct subject *subject)
{
    struct jwt_claims claims;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    return token_digest(subject->token, subject->length, digest) &&
           token_cache_find(subject->cache, digest, &claims);
}

static double us_each(const struct subject *subject, bool (*act)(const struct subject *))
{
    uint64_t begun_us = clock_monotonic_us();
    for (int i = 0; i < TOKENS; i++) {
        require(act(subject), "a good token is refused");
    }
    return (double)(clock_monotonic_us() - begun_us) / TOKENS;
}

static void prepare(struct subject *subject)
{
    struct jwt_claims claims;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    const char *dot = strrchr(subject->token, '.');
    subject->length = strlen(subject->token);
    subject->signed_length = (size_t)(dot - subject->token);
    require(base64_decode(BASE64_URL, dot + 1, strlen(dot + 1), subject->signature, sizeof subject->signature,
                          &subject->signature_length),
            "no base64");
    require(jwt_verify(subject->token, subject->length, subject->keys, &rules, NOW, &claims) == JWT_OK &&
                token_digest(subject->token, subject->length, digest),
            "a good token is refused");
    (void)token_cache_keep(subject->cache, digest, &claims); /* there is room */
}

static bool measure(const struct subject *subject)
{
    double signature[ROUNDS], token[ROUNDS], known[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        signature[round] = us_each(subject, verify_signature);
        token[round] = us_each(subject, verify_token);
        known[round] = us_each(subject, find_known);
    }
    double of_signature = median(signature), of_token = median(token);
    printf("%-6s %4zu bytes  signature %7.2f us  token %7.2f us  ratio %5.2f  known %5.2f us  %s\n",
           jwk_algorithm_name(jwk_algorithm(subject->key)), subject->length, of_signature, of_token,
           of_token / of_signature, median(known), of_token <= MOST * of_signature ? "holds" : "missed");
    return of_token <= MOST * of_signature;
}

int main(void)
{
    struct jwk_set *signing = load("signing_keys.json", JWK_TO_SIGN);
    struct jwk_set *verifying = load("verifying_keys.json", JWK_TO_VERIFY);
    struct token_cache *cache = token_cache_create(JWK_SET_MAX_KEYS);
    bool holds = true;
    require(cache != NULL, "no memory");
    for (size_t i = 0; i < jwk_set_count(verifying); i++) {
        const struct jwk *key = jwk_set_at(verifying, i);
        const struct jwk *signer = jwk_set_find(signing, jwk_kid(key));
        require(signer != NULL, "no key to sign with");
        char *token = sign(signer);
        struct subject subject = {.keys = verifying, .key = key, .token = token, .cache = cache};
        prepare(&subject);
        holds = measure(&subject) && holds;
        free(token);
    }
    token_cache_destroy(cache);
    jwk_set_destroy(signing);
    jwk_set_destroy(verifying);
    return holds ? EXIT_SUCCESS : EXIT_FAILURE;
}
