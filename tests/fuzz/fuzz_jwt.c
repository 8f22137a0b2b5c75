/*
 * Any text as a token, before a set with a key of each algorithm. A forger has no key: nothing but the seeds' own
 * signatures is taken. The claims behind a signature are reached through a token that is signed here.
 */
#include "access/jwt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct jwk_set *keys;

static void load_keys(void)
{
    static char text[JWK_SET_MAX_BYTES];
    char problem[JWK_PROBLEM_BYTES];
    FILE *file = fopen(SOURCE_ROOT "/tests/unit/access/verifying_keys.json", "re");
    assert(file);
    size_t length = fread(text, 1, sizeof text, file);
    assert(fclose(file) == 0);
    keys = jwk_set_read(text, length, JWK_TO_VERIFY, problem);
    assert(keys);
}

static void check_claims(const struct jwt_claims *claims)
{
    assert(claims->subject[0] != '\0');
    assert(memchr(claims->subject, '\0', sizeof claims->subject));
    assert(memchr(claims->id, '\0', sizeof claims->id));
    assert(claims->expires_s > 0 && claims->not_before_s >= 0);
}

/** The input as claims, signed with the secret of the set. */
static void judge_claims(const uint8_t *input, size_t size)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    const struct jwt_rules rules = {.issuer = "issuer", .leeway_s = 30};
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t length = 0;
    struct bytes token;
    struct jwt_claims claims;
    bytes_init(&token, 4 * (size_t)TOKEN_MAX_BYTES);
    base64url_append(&token, header, sizeof header - 1);
    bytes_append_byte(&token, '.');
    base64url_append(&token, input, size);
    if (!bytes_failed(&token) &&
        jwk_sign(jwk_set_find(keys, "hs"), token.at, token.length, signature, &length)) {
        bytes_append_byte(&token, '.');
        base64url_append(&token, signature, length);
        enum jwt_reason reason = jwt_verify(token.at, token.length, keys, &rules, 1800000000, &claims);
        assert((unsigned)reason < JWT_REASON_COUNT && reason != JWT_BAD_SIGNATURE);
        if (reason == JWT_OK) {
            check_claims(&claims);
        }
    }
    bytes_finish(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const struct jwt_rules rules = {.leeway_s = 30};
    struct jwt_claims claims;
    if (!keys) {
        load_keys();
    }
    if (jwt_verify((const char *)input, size, keys, &rules, 1800000000, &claims) == JWT_OK) {
        check_claims(&claims);
    }
    judge_claims(input, size);
    return 0;
}
