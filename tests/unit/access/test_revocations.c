/* What a list of revocations says, and what it refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/revocation_file.h"
#include "support/allocations.h"

static struct revocation_list *list_of(const char *text)
{
    char problem[REVOCATIONS_PROBLEM_BYTES] = "";
    struct revocation_list *list = revocation_list_read(text, strlen(text), problem);
    if (!list) {
        fail_msg("\"%s\": %s", text, problem);
    }
    return list;
}

static bool is_revoked(const char *text, const char *subject, const char *id, int64_t issued_s)
{
    struct revocations revocations = {.lists = {list_of(text)}};
    bool is_covered = revocations_cover(&revocations, subject, id, issued_s);
    revocations_finish(&revocations);
    return is_covered;
}

static void test_names_of_tokens_and_subjects(void **context)
{
    (void)context;
    static const char text[] = "# who has left\n\nsub:alice@example.com  \r\njti:4e1c\njti:with a blank\n";
    assert_true(is_revoked(text, "alice@example.com", "", 0));
    assert_true(is_revoked(text, "alice@example.com", "other", 1800000000));
    assert_true(is_revoked(text, "bob", "4e1c", 0));
    assert_true(is_revoked(text, "bob", "with a blank", 0));
    assert_false(is_revoked(text, "bob", "", 0));
    assert_false(is_revoked(text, "bob", "4e1", 0));
    assert_false(is_revoked(text, "4e1c", "alice@example.com", 0));
    assert_false(is_revoked("", "bob", "4e1c", 0));
    assert_false(is_revoked("# sub:bob\n", "bob", "", 0));
}

static void test_a_moment_spares_what_was_issued_since(void **context)
{
    (void)context;
    static const char text[] = "sub:alice before 1800000000\n";
    assert_true(is_revoked(text, "alice", "", 1799999999));
    assert_true(is_revoked(text, "alice", "", 0));
    assert_false(is_revoked(text, "alice", "", 1800000000));
    assert_false(is_revoked(text, "alice before 1800000000", "", 0));
    assert_true(is_revoked("sub:before 5\n", "before 5", "", 0));
    /* The wider of two entries. */
    static const char *const both[] = {"sub:a before 7\nsub:a before 9\n",
                                       "sub:a before 9\nsub:a before 7\n"};
    for (size_t i = 0; i < 2; i++) {
        assert_true(is_revoked(both[i], "a", "", 8));
        assert_false(is_revoked(both[i], "a", "", 9));
    }
    assert_true(is_revoked("sub:a\nsub:a before 7\n", "a", "", 1000));
}

static void test_what_is_no_entry_refuses_the_list(void **context)
{
    (void)context;
    static const struct {
        const char *text, *problem;
    } rows[] = {
        {"jti:a\nalice\n", "line 2 is neither"},   {"jti:\n", "line 1 is neither"},
        {"sub:\n", "line 1 is neither"},           {"sub: before 7\n", "line 1 is neither"},
        {"sub:a before 0\n", "line 1 is neither"}, {"sub:a before 1234567890123\n", "line 1 is neither"},
        {" jti:a\n", "line 1 is neither"},         {"JTI:a\n", "line 1 is neither"},
        {"sub:a\tb\n", "line 1 is neither"},       {"jti:a\njti:b", "line 2 has no end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char problem[REVOCATIONS_PROBLEM_BYTES] = "";
        assert_null(revocation_list_read(rows[i].text, strlen(rows[i].text), problem));
        if (!strstr(problem, rows[i].problem)) {
            fail_msg("\"%s\": %s", rows[i].text, problem);
        }
    }
    char problem[REVOCATIONS_PROBLEM_BYTES] = "";
    assert_null(revocation_list_read("jti:a\0b\n", 8, problem));
}

static void test_names_have_the_sizes_of_claims(void **context)
{
    (void)context;
    static const struct {
        const char *prefix;
        size_t most;
    } rows[] = {{"jti:", 128}, {"sub:", 256}};
    for (size_t i = 0; i < 2; i++) {
        char line[512];
        memset(line, 'x', sizeof line);
        memcpy(line, rows[i].prefix, 4);
        struct revocation_list *list = revocation_list_create();
        assert_non_null(list);
        assert_int_equal(revocation_list_add(list, line, 4 + rows[i].most), RESULT_OK);
        assert_int_equal(revocation_list_add(list, line, 5 + rows[i].most), RESULT_MALFORMED);
        assert_int_equal(revocation_list_count(list), 1);
        revocation_list_destroy(list);
    }
}

static void test_a_list_is_capped(void **context)
{
    (void)context;
    struct revocation_list *list = revocation_list_create();
    char line[64];
    assert_non_null(list);
    for (int i = 0; i < REVOCATIONS_MAX; i++) {
        int length = snprintf(line, sizeof line, "%s:%d", i % 2 ? "jti" : "sub", i);
        assert_int_equal(revocation_list_add(list, line, (size_t)length), RESULT_OK);
    }
    assert_int_equal(revocation_list_add(list, "jti:one more", 12), RESULT_FULL);
    assert_int_equal(revocation_list_add(list, "sub:one more", 12), RESULT_FULL);
    assert_int_equal(revocation_list_add(list, "sub:0", 5), RESULT_OK); /* known */
    assert_int_equal(revocation_list_count(list), REVOCATIONS_MAX);
    revocation_list_destroy(list);
    char *large = calloc(1, REVOCATIONS_MAX_BYTES + 1);
    char problem[REVOCATIONS_PROBLEM_BYTES];
    assert_non_null(large);
    memset(large, '\n', REVOCATIONS_MAX_BYTES + 1);
    assert_null(revocation_list_read(large, REVOCATIONS_MAX_BYTES + 1, problem));
    free(large);
}

static void test_lists_of_different_origins_add_up(void **context)
{
    (void)context;
    struct revocations revocations = {.lists = {NULL}};
    assert_false(revocations_cover(&revocations, "alice", "a", 0));
    revocations_set(&revocations, REVOKED_BY_FILE, list_of("sub:alice\n"));
    revocations_set(&revocations, REVOKED_BY_REDIS, list_of("jti:b\n"));
    assert_true(revocations_cover(&revocations, "alice", "a", 0));
    assert_true(revocations_cover(&revocations, "bob", "b", 0));
    revocations_set(&revocations, REVOKED_BY_FILE, list_of(""));
    assert_false(revocations_cover(&revocations, "alice", "a", 0));
    assert_true(revocations_cover(&revocations, "bob", "b", 0));
    revocations_finish(&revocations);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void test_a_file_that_changes_is_seen(void **context)
{
    (void)context;
    char path[] = "/tmp/sophia-revoked-XXXXXX", problem[REVOCATIONS_PROBLEM_BYTES];
    struct revocation_file file;
    assert_int_equal(close(mkstemp(path)), 0);
    write_file(path, "jti:a\n");
    struct revocation_list *list = revocation_file_read(path, &file, problem);
    assert_non_null(list);
    assert_int_equal(revocation_list_count(list), 1);
    revocation_list_destroy(list);
    assert_false(revocation_file_changed(path, &file));
    write_file(path, "jti:a\njti:\n");
    assert_true(revocation_file_changed(path, &file));
    assert_null(revocation_file_read(path, &file, problem));
    assert_false(revocation_file_changed(path, &file)); /* told once */
    assert_int_equal(unlink(path), 0);
    assert_true(revocation_file_changed(path, &file));
    assert_null(revocation_file_read(path, &file, problem));
    assert_non_null(strstr(problem, "cannot be read: No such file"));
    assert_false(revocation_file_changed(path, &file));
}

static void test_memory_may_run_out_anywhere(void **context)
{
    (void)context;
    static const char text[] = "jti:a\nsub:b\nsub:c before 9\n";
    char problem[REVOCATIONS_PROBLEM_BYTES];
    int step = 0;
    for (bool has_failed = true; has_failed; step++) {
        allocations_fail_one_after(step);
        struct revocation_list *list = revocation_list_read(text, strlen(text), problem);
        has_failed = allocations_recover();
        assert_true(has_failed == (list == NULL));
        assert_true(list || strstr(problem, "memory ran out"));
        revocation_list_destroy(list);
    }
    assert_true(step > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_tokens_and_subjects),
        cmocka_unit_test(test_a_moment_spares_what_was_issued_since),
        cmocka_unit_test(test_what_is_no_entry_refuses_the_list),
        cmocka_unit_test(test_names_have_the_sizes_of_claims),
        cmocka_unit_test(test_a_list_is_capped),
        cmocka_unit_test(test_lists_of_different_origins_add_up),
        cmocka_unit_test(test_a_file_that_changes_is_seen),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
