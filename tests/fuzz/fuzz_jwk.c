/* Any text as a set of keys: refused with a reason, or keys that verify nothing by chance. */
#include "access/jwk.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void read_as(const uint8_t *input, size_t size, enum jwk_purpose purpose)
{
    unsigned char nothing[64]; /* neither zeros, which some keys of Ed25519 take, nor a signature */
    memset(nothing, 0x5a, sizeof nothing);
    char problem[JWK_PROBLEM_BYTES] = "";
    struct jwk_set *set = jwk_set_read((const char *)input, size, purpose, problem);
    if (!set) {
        assert(problem[0] != '\0' && memchr(problem, '\0', sizeof problem));
        return;
    }
    assert(jwk_set_count(set) > 0 && jwk_set_count(set) <= JWK_SET_MAX_KEYS);
    for (size_t i = 0; i < jwk_set_count(set); i++) {
        const struct jwk *key = jwk_set_at(set, i);
        assert((unsigned)jwk_algorithm(key) < JWK_ALGORITHM_COUNT);
        assert(jwk_set_find(set, jwk_kid(key)));
        assert(!jwk_verify(key, "text", 4, nothing, sizeof nothing));
    }
    jwk_set_destroy(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    read_as(input, size, JWK_TO_VERIFY);
    read_as(input, size, JWK_TO_SIGN);
    return 0;
}
