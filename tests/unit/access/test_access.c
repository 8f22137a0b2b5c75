/* Which key opens which door. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "access/access.h"
#include "protocol/limits.h"
#include "support/allocations.h"

static struct access *with_keys(const char *viewer_key, const char *ingest_key)
{
    const struct access_options options = {.keys.viewer = viewer_key, .keys.ingest = ingest_key};
    struct access *access = access_create(&options);
    assert_non_null(access);
    return access;
}

enum { NOW = 1800000000 };

/** Shared keys grant no token. */
static enum result access_check_viewer(const struct access *access, const char *token)
{
    struct access_grant grant = {.has_token = true};
    enum result result = access_admit(access, token, NOW, &grant);
    assert_int_equal(grant.has_token, result != RESULT_OK);
    return result;
}

static enum result access_check_viewer_header(const struct access *access, const char *authorization)
{
    struct access_grant grant = {.has_token = true};
    enum result result = access_admit_request(access, authorization, "key=watch-me", NOW, &grant);
    assert_int_equal(grant.has_token, result != RESULT_OK);
    return result;
}

static void test_without_a_viewer_key_everybody_may_watch(void **context)
{
    (void)context;
    struct access *access = with_keys(NULL, "in");
    assert_false(access_viewer_needs_token(access));
    assert_int_equal(access_check_viewer(access, NULL), RESULT_OK);
    assert_int_equal(access_check_viewer(access, "anything"), RESULT_OK);
    assert_int_equal(access_check_viewer_header(access, NULL), RESULT_OK);
    access_destroy(access);
}

static void test_a_viewer_key_is_asked_for_and_compared(void **context)
{
    (void)context;
    struct access *access = with_keys("watch-me", NULL);
    assert_true(access_viewer_needs_token(access));
    assert_int_equal(access_check_viewer(access, "watch-me"), RESULT_OK);
    assert_int_equal(access_check_viewer(access, NULL), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer(access, ""), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer(access, "watch-m"), RESULT_FORBIDDEN);
    assert_int_equal(access_check_viewer(access, "watch-me "), RESULT_FORBIDDEN);
    assert_int_equal(access_check_viewer(access, "Watch-me"), RESULT_FORBIDDEN);
    access_destroy(access);
}

static void test_only_the_admin_key_lets_administrate(void **context)
{
    (void)context;
    const struct access_options options = {.keys.viewer = "v", .keys.ingest = "i", .keys.admin = "a"};
    struct access *access = access_create(&options);
    assert_non_null(access);
    assert_int_equal(access_may_administrate(access, "Bearer a"), RESULT_OK);
    assert_int_equal(access_may_administrate(access, "Bearer v"), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "Bearer i"), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "Bearer aa"), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "a"), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_may_administrate(access, NULL), RESULT_UNAUTHENTICATED);
    access_destroy(access);
}

static void test_without_an_admin_key_nobody_may_administrate(void **context)
{
    (void)context;
    struct access *access = with_keys("v", "i");
    assert_int_equal(access_may_administrate(access, NULL), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "Bearer "), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "Bearer v"), RESULT_FORBIDDEN);
    access_destroy(access);
}

static void test_headers_are_of_the_bearer_scheme(void **context)
{
    (void)context;
    struct access *access = with_keys("watch-me", NULL);
    assert_int_equal(access_check_viewer_header(access, "Bearer watch-me"), RESULT_OK);
    assert_int_equal(access_check_viewer_header(access, "bearer  watch-me"), RESULT_OK);
    assert_int_equal(access_check_viewer_header(access, "Basic watch-me"), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer_header(access, "watch-me"), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer_header(access, "Bearer"), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer_header(access, "Bearer "), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_viewer_header(access, "Bearer other"), RESULT_FORBIDDEN);
    assert_int_equal(access_check_viewer_header(access, NULL), RESULT_UNAUTHENTICATED);
    access_destroy(access);
}

static void test_without_an_ingest_key_producers_are_on_this_machine(void **context)
{
    (void)context;
    struct access *access = with_keys("watch-me", NULL);
    assert_false(access_ingest_needs_key(access));
    assert_int_equal(access_check_ingest(access, NULL, true), RESULT_OK);
    assert_int_equal(access_check_ingest(access, NULL, false), RESULT_FORBIDDEN);
    assert_int_equal(access_check_ingest(access, "Bearer watch-me", false), RESULT_FORBIDDEN);
    access_destroy(access);
}

static void test_an_ingest_key_counts_from_everywhere(void **context)
{
    (void)context;
    struct access *access = with_keys("watch-me", "put-in");
    assert_true(access_ingest_needs_key(access));
    assert_int_equal(access_check_ingest(access, "Bearer put-in", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer put-in", true), RESULT_OK);
    assert_int_equal(access_check_ingest(access, NULL, true), RESULT_UNAUTHENTICATED);
    assert_int_equal(access_check_ingest(access, "Bearer watch-me", true), RESULT_FORBIDDEN);
    assert_int_equal(access_check_viewer(access, "put-in"), RESULT_FORBIDDEN);
    access_destroy(access);
}

#define PUT_IN "3dc7e306e67d7bb852c9b311ac75ec93f6f300148429a122e98865575c93b147"
#define NEWER "804f51f71254c4081e37e7c887073560f4a6fa6cdad202e9ac67e032c43ed1e1"

static void test_a_key_may_be_given_as_its_digest(void **context)
{
    (void)context;
    struct access *access = with_keys("sha256:" PUT_IN, "sha256:" NEWER);
    assert_int_equal(access_check_viewer(access, "put-in"), RESULT_OK);
    assert_int_equal(access_check_viewer(access, "sha256:" PUT_IN), RESULT_FORBIDDEN);
    assert_int_equal(access_check_viewer(access, PUT_IN), RESULT_FORBIDDEN);
    assert_int_equal(access_check_ingest(access, "Bearer newer", false), RESULT_OK);
    access_destroy(access);
    static const char *const bad[] = {"sha256:", "sha256:00", ("sha256:" PUT_IN "0"), ("sha256: " PUT_IN)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct access_options options = {.keys.viewer = bad[i]};
        assert_null(access_create(&options));
    }
}

static double uses(struct metrics *metrics, const char *labels)
{
    struct metric *metric = metrics_find(metrics, "gw_key_uses_total", labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static void test_several_keys_open_one_door_and_are_counted_apart(void **context)
{
    (void)context;
    static const struct access_named_key named[] = {{"warehouse", PUT_IN}, {"newer-one", NEWER}};
    struct metrics *metrics = metrics_create();
    struct access_options options = {
        .keys = {.ingest = "first", .ingest_keys = {named, 2}, .admin_keys = {named, 1}}, .metrics = metrics};
    struct access *access = access_create(&options);
    assert_non_null(access);
    assert_true(access_ingest_needs_key(access));
    assert_int_equal(access_check_ingest(access, "Bearer first", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer put-in", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer newer", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer newer", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer other", false), RESULT_FORBIDDEN);
    assert_int_equal(access_may_administrate(access, "Bearer put-in"), RESULT_OK);
    assert_int_equal(access_may_administrate(access, "Bearer newer"), RESULT_FORBIDDEN);
    assert_true(uses(metrics, "door=\"ingest\",key=\"default\"") == 1);
    assert_true(uses(metrics, "door=\"ingest\",key=\"warehouse\"") == 1);
    assert_true(uses(metrics, "door=\"ingest\",key=\"newer-one\"") == 2);
    assert_true(uses(metrics, "door=\"admin\",key=\"warehouse\"") == 1);
    access_destroy(access);
    metrics_destroy(metrics);
}

static void test_keys_change_while_the_doors_are_open(void **context)
{
    (void)context;
    static const struct access_named_key named[] = {{"old", PUT_IN}, {"new", NEWER}, {"broken", "12"}};
    struct access *access = with_keys(NULL, "first");
    assert_true(access_set_keys(access, &(struct access_keys){.ingest_keys = {named, 2}}));
    assert_int_equal(access_check_ingest(access, "Bearer put-in", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer newer", false), RESULT_OK);
    assert_int_equal(access_check_ingest(access, "Bearer first", false), RESULT_FORBIDDEN);
    assert_false(access_set_keys(access, &(struct access_keys){.ingest_keys = {named, 3}}));
    assert_int_equal(access_check_ingest(access, "Bearer put-in", false), RESULT_OK);
    assert_true(access_set_keys(access, &(struct access_keys){.ingest_keys = {named + 1, 1}, .viewer = "v"}));
    assert_int_equal(access_check_ingest(access, "Bearer put-in", false), RESULT_FORBIDDEN);
    assert_int_equal(access_check_ingest(access, "Bearer newer", false), RESULT_OK);
    assert_true(access_viewer_needs_token(access));
    access_destroy(access);
}

static void test_an_endless_token_is_refused(void **context)
{
    (void)context;
    static char endless[TOKEN_MAX_BYTES + 2];
    memset(endless, 'a', TOKEN_MAX_BYTES + 1);
    struct access *access = with_keys(endless, NULL);
    assert_int_equal(access_check_viewer(access, endless), RESULT_FORBIDDEN);
    access_destroy(access);
    access_destroy(NULL);
}

static void test_without_memory_there_is_no_access(void **context)
{
    (void)context;
    const struct access_options options = {.keys.viewer = "watch-me"};
    allocations_fail_all_after(0);
    struct access *access = access_create(&options);
    assert_true(allocations_recover());
    assert_null(access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_viewer_key_everybody_may_watch),
        cmocka_unit_test(test_a_viewer_key_is_asked_for_and_compared),
        cmocka_unit_test(test_only_the_admin_key_lets_administrate),
        cmocka_unit_test(test_without_an_admin_key_nobody_may_administrate),
        cmocka_unit_test(test_headers_are_of_the_bearer_scheme),
        cmocka_unit_test(test_without_an_ingest_key_producers_are_on_this_machine),
        cmocka_unit_test(test_an_ingest_key_counts_from_everywhere),
        cmocka_unit_test(test_a_key_may_be_given_as_its_digest),
        cmocka_unit_test(test_several_keys_open_one_door_and_are_counted_apart),
        cmocka_unit_test(test_keys_change_while_the_doors_are_open),
        cmocka_unit_test(test_an_endless_token_is_refused),
        cmocka_unit_test(test_without_memory_there_is_no_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
