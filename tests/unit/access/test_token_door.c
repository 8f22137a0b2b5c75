/* Keys come from a file, again and again; who shows what is counted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access.h"
#include "access/jwk_file.h"
#include "key_files.h"
#include "support/allocations.h"

enum { NOW = 1800000000 };

#define HEADER "{\"alg\":\"HS256\",\"kid\":\"hs\"}"
#define CLAIMS "{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}"
#define OTHER_SET "{\"kty\":\"oct\",\"kid\":\"other\",\"k\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}"

static char path[64];
static struct metrics *metrics;
static struct jwk_set *signing;
static struct token_door *door;
static struct revocations revoked;

static void write_keys(const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int setup(void **context)
{
    (void)context;
    (void)snprintf(path, sizeof path, "/tmp/sophia-keys-XXXXXX");
    int fd = mkstemp(path);
    char *text = key_file_read("verifying_keys.json");
    const struct token_door_options options = {.jwk_file = path,
                                               .max_cached = 2,
                                               .revoked = &revoked,
                                               .rules = {.issuer = "me", .audience = "you", .leeway_s = 30}};
    write_keys(text);
    free(text);
    metrics = metrics_create();
    signing = key_file_load(JWK_TO_SIGN);
    door = token_door_create(&options, metrics);
    return fd >= 0 && close(fd) == 0 && door ? 0 : -1;
}

static int teardown(void **context)
{
    (void)context;
    token_door_destroy(door);
    revocations_finish(&revoked);
    jwk_set_destroy(signing);
    metrics_destroy(metrics);
    return unlink(path);
}

static double counted(const char *name, const char *labels)
{
    const struct metric *metric = metrics_find(metrics, name, labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static enum jwt_reason check(const char *token, int64_t now_s)
{
    struct jwt_claims claims;
    return token_door_check(door, token, strlen(token), now_s, &claims);
}

static void test_each_outcome_is_counted(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(check(token, NOW + 200), JWT_EXPIRED);
    assert_int_equal(check("a.b", NOW), JWT_MALFORMED);
    assert_int_equal(check("a.b", NOW), JWT_MALFORMED);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"ok\""), 1);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"expired\""), 1);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"malformed\""), 2);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"bad_signature\""), 0);
    free(token);
}

static void test_a_reload_takes_other_keys(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    write_keys(OTHER_SET);
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_true(token_door_reload(door));
    assert_int_equal(check(token, NOW), JWT_UNKNOWN_KID);
    assert_int_equal(counted("gw_auth_key_reloads_total", "result=\"ok\""), 1);
    free(token);
}

static void test_a_broken_file_changes_nothing(void **context)
{
    (void)context;
    static const char *const broken[] = {"", "{\"keys\":[", "{\"keys\":[]}",
                                         "{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}"};
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        write_keys(broken[i]);
        assert_false(token_door_reload(door));
        assert_int_equal(check(token, NOW), JWT_OK);
    }
    assert_int_equal(unlink(path), 0);
    assert_false(token_door_reload(door));
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(counted("gw_auth_key_reloads_total", "result=\"refused\""), 5);
    write_keys(OTHER_SET);
    free(token);
}

static void test_a_token_that_was_good_is_not_verified_again(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    struct jwt_claims claims = {.expires_s = 0};
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(counted("gw_auth_token_cache_total", "result=\"miss\""), 1);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(token_door_check(door, token, strlen(token), NOW + i, &claims), JWT_OK);
        assert_string_equal(claims.subject, "alice");
        assert_int_equal(claims.expires_s, 1800000100);
    }
    assert_int_equal(counted("gw_auth_token_cache_total", "result=\"miss\""), 1);
    assert_int_equal(counted("gw_auth_token_cache_total", "result=\"hit\""), 100);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"ok\""), 101);
    assert_int_equal(counted("gw_auth_token_cache_entries", NULL), 1);
    /* its end counts all the same, to the second */
    assert_int_equal(check(token, NOW + 129), JWT_OK);
    assert_int_equal(check(token, NOW + 130), JWT_EXPIRED);
    assert_int_equal(counted("gw_auth_token_cache_entries", NULL), 0);
    free(token);
}

static void shut_out(const char *list)
{
    char problem[REVOCATIONS_PROBLEM_BYTES];
    revocations_set(&revoked, REVOKED_BY_FILE, revocation_list_read(list, strlen(list), problem));
    assert_non_null(revoked.lists[REVOKED_BY_FILE]);
}

static void test_a_revoked_token_is_refused_however_well_it_is_known(void **context)
{
    (void)context;
    char *token = token_sign(
        signing, "hs", HEADER,
        "{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":\"you\",\"jti\":\"a1\",\"iat\":1799999000,\"exp\":1800000100}");
    static const char *const lists[] = {"jti:a1\n", "sub:alice\n", "sub:alice before 1799999001\n"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct jwt_claims claims = {.subject = "nobody"};
        assert_int_equal(check(token, NOW), JWT_OK);
        shut_out(lists[i]);
        assert_int_equal(token_door_check(door, token, strlen(token), NOW, &claims), JWT_REVOKED);
        assert_string_equal(claims.subject, "nobody");
        shut_out("jti:a2\nsub:bob\nsub:alice before 1799999000\n");
    }
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"revoked\""), 3);
    assert_int_equal(counted("gw_auth_token_cache_total", "result=\"miss\""), 1);
    shut_out("sub:alice\n");
    assert_int_equal(check(token, NOW + 130), JWT_EXPIRED); /* no more is told of it than before */
    free(token);
}

static void test_a_token_with_a_beginning_waits_for_it_again(void **context)
{
    (void)context;
    char *token = token_sign(
        signing, "hs", HEADER,
        "{\"sub\":\"alice\",\"iss\":\"me\",\"aud\":\"you\",\"nbf\":1800000000,\"exp\":1800000100}");
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(check(token, NOW - 31), JWT_NOT_YET_VALID); /* the clock was set back */
    assert_int_equal(check(token, NOW), JWT_OK);
    free(token);
}

static void test_bad_tokens_are_verified_each_time_and_never_kept(void **context)
{
    (void)context;
    char *good = token_sign(signing, "hs", HEADER, CLAIMS);
    char *bad = token_sign(signing, "hs", HEADER, "{\"sub\":\"alice\"}");
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(check(bad, NOW), JWT_MISSING_CLAIM);
        assert_int_equal(counted("gw_auth_token_cache_total", "result=\"miss\""), i);
    }
    assert_int_equal(counted("gw_auth_token_cache_entries", NULL), 0);
    assert_int_equal(check(good, NOW), JWT_OK);
    good[strlen(good) - 5] ^= 1;
    assert_int_equal(check(good, NOW), JWT_BAD_SIGNATURE);
    free(good);
    free(bad);
}

static void test_other_keys_forget_what_was_good(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    assert_int_equal(check(token, NOW), JWT_OK);
    write_keys("{");
    assert_false(token_door_reload(door));
    assert_int_equal(check(token, NOW), JWT_OK);
    assert_int_equal(counted("gw_auth_token_cache_total", "result=\"hit\""), 1);
    write_keys(OTHER_SET);
    assert_true(token_door_reload(door));
    assert_int_equal(counted("gw_auth_token_cache_entries", NULL), 0);
    assert_int_equal(check(token, NOW), JWT_UNKNOWN_KID);
    free(token);
}

static void test_only_so_many_are_remembered(void **context)
{
    (void)context;
    for (int i = 0; i < 5; i++) {
        char claims[128];
        (void)snprintf(claims, sizeof claims,
                       "{\"sub\":\"%d\",\"iss\":\"me\",\"aud\":\"you\",\"exp\":1800000100}", i);
        char *token = token_sign(signing, "hs", HEADER, claims);
        assert_int_equal(check(token, NOW), JWT_OK);
        free(token);
    }
    assert_int_equal(counted("gw_auth_token_cache_entries", NULL), 2);
    assert_int_equal(counted("gw_auth_token_cache_evictions_total", NULL), 3);
}

static void test_the_age_is_that_of_the_file(void **context)
{
    (void)context;
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    token_door_tick(door, status.st_mtim.tv_sec + 86400);
    assert_int_equal(counted("gw_auth_key_age_seconds", NULL), 86400);
}

static void test_a_file_says_what_it_is(void **context)
{
    (void)context;
    struct jwk_file file;
    char problem[JWK_PROBLEM_BYTES];
    assert_int_equal(chmod(path, 0640), 0);
    struct jwk_set *set = jwk_file_read(path, JWK_TO_VERIFY, &file, problem);
    assert_non_null(set);
    assert_true(file.has_secret);
    assert_false(file.is_world_readable);
    jwk_set_destroy(set);
    assert_int_equal(chmod(path, 0644), 0);
    write_keys("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}");
    set = jwk_file_read(path, JWK_TO_VERIFY, &file, problem);
    assert_non_null(set);
    assert_false(file.has_secret);
    assert_true(file.is_world_readable);
    jwk_set_destroy(set);
    assert_null(jwk_file_read("/nowhere/keys.json", JWK_TO_VERIFY, &file, problem));
    assert_string_equal(problem, "cannot be read: No such file or directory");
    assert_null(jwk_file_read("/tmp", JWK_TO_VERIFY, &file, problem));
    assert_string_equal(problem, "cannot be read: Is a directory");
}

static void test_without_keys_there_is_no_door(void **context)
{
    (void)context;
    const struct token_door_options options = {.jwk_file = "/nowhere/keys.json"};
    assert_null(token_door_create(&options, metrics));
    const struct token_door_options good = {.jwk_file = path};
    for (int i = 0; i < 3; i++) { /* the door, the text, the set */
        allocations_fail_one_after(i);
        struct token_door *other = token_door_create(&good, metrics);
        assert_true(allocations_recover());
        assert_null(other);
    }
    token_door_destroy(NULL);
}

/* ---- the door among the others ---- */

static void test_viewers_come_in_by_token(void **context)
{
    (void)context;
    const struct access_options options = {.tokens = door, .keys.ingest = "in", .keys.admin = "adm"};
    struct access *access = access_create(&options);
    struct access_grant grant = {.has_token = false};
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    assert_non_null(access);
    assert_true(access_viewer_needs_token(access));
    assert_true(access_has_tokens(access));
    assert_int_equal(access_admit(access, token, NOW, &grant), RESULT_OK);
    assert_true(grant.has_token);
    assert_string_equal(grant.claims.subject, "alice");
    assert_int_equal(grant.claims.expires_s, 1800000100);
    assert_int_equal(access_admit(access, token, NOW + 129, &grant), RESULT_OK);
    assert_int_equal(access_admit(access, token, NOW + 130, &grant), RESULT_EXPIRED);
    assert_int_equal(access_admit(access, NULL, NOW, &grant), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_admit(access, "", NOW, &grant), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_admit(access, "in", NOW, &grant), RESULT_FORBIDDEN);
    char header[1024];
    (void)snprintf(header, sizeof header, "Bearer %s", token);
    assert_int_equal(access_check_ingest(access, header, true), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, header), RESULT_FORBIDDEN);
    access_tick(access, NOW);
    access_destroy(access);
    free(token);
}

static void test_the_shared_key_stays_beside_tokens(void **context)
{
    (void)context;
    const struct access_options options = {.tokens = door, .keys.viewer = "watch-me"};
    struct access *access = access_create(&options);
    struct access_grant grant = {.has_token = true};
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    assert_non_null(access);
    assert_int_equal(access_admit(access, "watch-me", NOW, &grant), RESULT_OK);
    assert_false(grant.has_token);
    assert_int_equal(counted("gw_auth_tokens_total", "result=\"malformed\""), 0);
    assert_int_equal(access_admit(access, token, NOW, &grant), RESULT_OK);
    assert_true(grant.has_token);
    assert_int_equal(access_admit(access, "watch-m", NOW, &grant), RESULT_FORBIDDEN);
    access_destroy(access);
    free(token);
}

static void test_a_cookie_is_read_where_one_is_named(void **context)
{
    (void)context;
    char *token = token_sign(signing, "hs", HEADER, CLAIMS);
    const struct {
        const char *format;
        enum result result;
    } rows[] = {
        {"session=%s", RESULT_OK},
        {"a=b; session=%s; c=d", RESULT_OK},
        {"a=b;session=%s", RESULT_OK},
        {"session=; session=%s", RESULT_UNAUTHENTICATED}, /* the first counts */
        {"mysession=%s", RESULT_UNAUTHENTICATED},
        {"session2=%s", RESULT_UNAUTHENTICATED},
        {"Session=%s", RESULT_UNAUTHENTICATED},
        {"session %s", RESULT_UNAUTHENTICATED},
        {"session=x%s", RESULT_FORBIDDEN},
        {"", RESULT_UNAUTHENTICATED},
        {";;; ;", RESULT_UNAUTHENTICATED},
    };
    const struct access_options with = {.tokens = door, .cookie = "session"}, without = {.tokens = door};
    struct access *access = access_create(&with), *other = access_create(&without);
    assert_non_null(access);
    assert_non_null(other);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct access_grant grant;
        char cookies[1024] = "";
        const char *at = strstr(rows[i].format, "%s");
        if (at) {
            (void)snprintf(cookies, sizeof cookies, "%.*s%s%s", (int)(at - rows[i].format), rows[i].format,
                           token, at + 2);
        }
        enum result result = access_admit_request(access, NULL, cookies, NOW, &grant);
        if (result != rows[i].result) {
            fail_msg("%s: %s, not %s", rows[i].format, result_name(result), result_name(rows[i].result));
        }
        assert_int_equal(access_admit_request(access, "Bearer wrong", cookies, NOW, &grant),
                         RESULT_FORBIDDEN);
        assert_int_equal(access_admit_request(other, NULL, cookies, NOW, &grant), RESULT_UNAUTHENTICATED);
    }
    static char endless[TOKEN_MAX_BYTES + 16] = "session=";
    memset(endless + 8, 'a', TOKEN_MAX_BYTES + 1);
    struct access_grant grant;
    assert_int_equal(access_admit_request(access, NULL, endless, NOW, &grant), RESULT_UNAUTHENTICATED);
    access_destroy(access);
    access_destroy(other);
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_outcome_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reload_takes_other_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_file_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_token_that_was_good_is_not_verified_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_revoked_token_is_refused_however_well_it_is_known, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_token_with_a_beginning_waits_for_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_tokens_are_verified_each_time_and_never_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_other_keys_forget_what_was_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_so_many_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_age_is_that_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_says_what_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_keys_there_is_no_door, setup, teardown),
        cmocka_unit_test_setup_teardown(test_viewers_come_in_by_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_shared_key_stays_beside_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cookie_is_read_where_one_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
