#include "key_files.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"

char *key_file_read(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, SOURCE_ROOT "/tests/unit/access/%s", name);
    FILE *file = fopen(path, "re");
    if (!file) {
        fail_msg("cannot read %s", path);
    }
    char *text = calloc(1, JWK_SET_MAX_BYTES);
    assert_non_null(text);
    size_t length = fread(text, 1, JWK_SET_MAX_BYTES - 1, file);
    assert_true(length > 0 && length < JWK_SET_MAX_BYTES - 1);
    assert_int_equal(fclose(file), 0);
    return text;
}

struct jwk_set *key_file_load(enum jwk_purpose purpose)
{
    char problem[JWK_PROBLEM_BYTES];
    char *text = key_file_read(purpose == JWK_TO_SIGN ? "signing_keys.json" : "verifying_keys.json");
    struct jwk_set *set = jwk_set_read(text, strlen(text), purpose, problem);
    if (!set) {
        fail_msg("refused: %s", problem);
    }
    assert_int_equal(jwk_set_count(set), JWK_ALGORITHM_COUNT);
    free(text);
    return set;
}

char *token_sign(const struct jwk_set *keys, const char *kid, const char *header, const char *claims)
{
    struct bytes token;
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t length = 0;
    const struct jwk *key = jwk_set_find(keys, kid);
    assert_non_null(key);
    bytes_init(&token, 65536);
    base64url_append(&token, header, strlen(header));
    bytes_append_byte(&token, '.');
    base64url_append(&token, claims, strlen(claims));
    assert_true(jwk_sign(key, token.at, token.length, signature, &length));
    bytes_append_byte(&token, '.');
    base64url_append(&token, signature, length);
    bytes_append_byte(&token, '\0');
    assert_false(bytes_failed(&token));
    return bytes_take(&token, &length);
}
