/* What was good stays known, up to a number of tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "access/token_cache.h"
#include "support/allocations.h"

enum { MAX = 8 };

static struct token_cache *cache;

static int setup(void **context)
{
    (void)context;
    cache = token_cache_create(MAX);
    return cache ? 0 : -1;
}

static int teardown(void **context)
{
    (void)context;
    token_cache_destroy(cache);
    return 0;
}

static void digest_of(int number, unsigned char out_digest[TOKEN_DIGEST_BYTES])
{
    char token[32];
    int length = snprintf(token, sizeof token, "token %d", number);
    assert_true(token_digest(token, (size_t)length, out_digest));
}

static bool keep(int number)
{
    unsigned char digest[TOKEN_DIGEST_BYTES];
    struct jwt_claims claims = {.expires_s = number, .not_before_s = -number};
    (void)snprintf(claims.subject, sizeof claims.subject, "subject %d", number);
    (void)snprintf(claims.id, sizeof claims.id, "%d", number);
    digest_of(number, digest);
    return token_cache_keep(cache, digest, &claims);
}

static bool is_known(int number)
{
    unsigned char digest[TOKEN_DIGEST_BYTES];
    struct jwt_claims claims;
    char subject[32], id[32];
    digest_of(number, digest);
    if (!token_cache_find(cache, digest, &claims)) {
        return false;
    }
    (void)snprintf(subject, sizeof subject, "subject %d", number);
    (void)snprintf(id, sizeof id, "%d", number);
    assert_string_equal(claims.subject, subject);
    assert_string_equal(claims.id, id);
    assert_int_equal(claims.expires_s, number);
    assert_int_equal(claims.not_before_s, -number);
    return true;
}

static void test_what_is_kept_is_found(void **context)
{
    (void)context;
    for (int i = 0; i < MAX; i++) {
        assert_false(is_known(i));
        assert_false(keep(i));
        assert_true(is_known(i));
    }
    assert_false(keep(3)); /* again: it is still one */
    assert_int_equal(token_cache_count(cache), MAX);
}

static void test_a_full_cache_lets_go_of_what_was_not_shown_for_longest(void **context)
{
    (void)context;
    for (int i = 0; i < MAX; i++) {
        assert_false(keep(i));
    }
    assert_true(is_known(0));
    assert_true(keep(MAX));
    assert_int_equal(token_cache_count(cache), MAX);
    assert_false(is_known(1));
    assert_true(is_known(0));
    for (int i = 100; i < 1000; i++) {
        assert_true(keep(i));
    }
    assert_int_equal(token_cache_count(cache), MAX);
    assert_true(is_known(999));
    assert_false(is_known(0));
}

static void test_what_is_dropped_or_cleared_is_gone(void **context)
{
    (void)context;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    (void)keep(1);
    (void)keep(2);
    digest_of(1, digest);
    token_cache_drop(cache, digest);
    token_cache_drop(cache, digest);
    assert_false(is_known(1));
    assert_true(is_known(2));
    token_cache_clear(cache);
    assert_false(is_known(2));
    assert_int_equal(token_cache_count(cache), 0);
    (void)keep(3);
    assert_true(is_known(3));
    token_cache_destroy(NULL);
}

static void test_the_longest_texts_fit(void **context)
{
    (void)context;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    struct jwt_claims claims = {.expires_s = 1}, found;
    memset(claims.subject, 's', JWT_SUBJECT_MAX_BYTES);
    memset(claims.id, 'i', JWT_ID_MAX_BYTES);
    digest_of(1, digest);
    (void)token_cache_keep(cache, digest, &claims);
    assert_true(token_cache_find(cache, digest, &found));
    assert_string_equal(found.subject, claims.subject);
    assert_string_equal(found.id, claims.id);
}

static void test_without_memory_nothing_is_kept(void **context)
{
    (void)context;
    (void)keep(1);
    for (int i = 0; i < 3; i++) {
        allocations_fail_all_after(i);
        (void)keep(2);
        if (!allocations_recover()) {
            assert_true(i > 0);
            break;
        }
        assert_false(is_known(2));
        assert_true(is_known(1));
    }
    allocations_fail_all_after(0);
    struct token_cache *other = token_cache_create(MAX);
    assert_true(allocations_recover());
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_kept_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_cache_lets_go_of_what_was_not_shown_for_longest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_dropped_or_cleared_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_texts_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory_nothing_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
