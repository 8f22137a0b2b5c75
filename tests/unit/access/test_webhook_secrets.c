/* Secrets in files: read, found wrong, and kept when a provider brings one. */
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

#include "access/webhook_secrets.h"
#include "webhook_sender.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/sophia-hooks-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory); /* our own name: no quoting needed */
    return system(command);
}

static const char *write_secret(const char *name, const char *text, size_t length)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static enum webhook_reason check_with(const char *const *files, const char *secret)
{
    const struct webhook_options options = {.provider = WEBHOOK_GITHUB};
    char problem[WEBHOOK_PROBLEM_BYTES] = "";
    struct webhook *webhook = webhook_open(&options, files, problem);
    if (!webhook) {
        fail_msg("%s", problem);
    }
    struct sent_webhook sent;
    struct webhook_verdict verdict;
    char signature[128] = "sha256=";
    sender_begin(&sent, "{}");
    sender_hmac("SHA256", secret, "{}", signature + 7, sizeof signature - 7);
    (void)sender_add(&sent, "x-hub-signature-256", signature, true);
    const struct webhook_request request = sender_request(&sent);
    enum result result = webhook_check(webhook, &request, 0, &verdict);
    assert_int_equal(result == RESULT_OK, verdict.reason == WEBHOOK_GENUINE);
    webhook_destroy(webhook);
    return verdict.reason;
}

static void test_a_file_holds_one_secret(void **state)
{
    (void)state;
    static const char *const contents[] = {"s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        const char *files[] = {write_secret("one", contents[i], strlen(contents[i])), NULL};
        assert_int_equal(check_with(files, "s3cret"), WEBHOOK_GENUINE);
        assert_int_equal(check_with(files, "s3cret\n"), WEBHOOK_WRONG_SIGNATURE);
    }
}

static void test_a_rotation_is_two_files(void **state)
{
    (void)state;
    const char *files[] = {write_secret("new", "newer\n", 6), write_secret("old", "older\n", 6), NULL};
    assert_int_equal(check_with(files, "newer"), WEBHOOK_GENUINE);
    assert_int_equal(check_with(files, "older"), WEBHOOK_GENUINE);
    assert_int_equal(check_with(files, "oldest"), WEBHOOK_WRONG_SIGNATURE);
}

static void assert_problem(const struct webhook_options *options, const char *const *files,
                           const char *expected)
{
    char problem[WEBHOOK_PROBLEM_BYTES] = "";
    assert_null(webhook_open(options, files, problem));
    if (!strstr(problem, expected)) {
        fail_msg("\"%s\" does not say \"%s\"", problem, expected);
    }
    assert_null(strstr(problem, "s3cret"));
}

static void test_what_is_wrong_with_a_file_is_said_without_its_content(void **state)
{
    (void)state;
    static char endless[WEBHOOK_SECRET_MAX_BYTES + 8];
    memset(endless, 'a', sizeof endless);
    const struct webhook_options github = {.provider = WEBHOOK_GITHUB};
    const struct webhook_options standard = {.provider = WEBHOOK_STANDARD};
    const char *missing[] = {"/nonexistent/secret", NULL};
    const char *folder[] = {directory, NULL};
    const char *empty[] = {write_secret("empty", "\n\n", 2), NULL};
    const char *binary[] = {write_secret("binary", "s3cret\0s3cret", 13), NULL};
    const char *large[] = {write_secret("large", endless, sizeof endless), NULL};
    const char *wrong[] = {write_secret("wrong", "s3cret s3cret", 13), NULL};
    const char *good = write_secret("good", "s3cret", 6);
    const char *second[] = {good, "/nonexistent/older", NULL};
    const char *many[] = {good, good, good, good, good, NULL};
    assert_problem(&github, missing, "/nonexistent/secret cannot be read: No such file");
    assert_problem(&github, second, "/nonexistent/older cannot be read: No such file");
    assert_problem(&github, folder, "cannot be read: Is a directory");
    assert_problem(&github, empty, "empty does not hold one secret");
    assert_problem(&github, binary, "binary does not hold one secret");
    assert_problem(&github, large, "large does not hold one secret");
    assert_problem(&github, many, "more than 4 files");
    assert_problem(&github, NULL, "has no secret");
    assert_problem(&standard, wrong, "is not a secret of this kind");
}

static void test_asana_may_come_without_and_brings_one(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/asana", directory);
    const char *files[] = {path, NULL};
    const struct webhook_options options = {.provider = WEBHOOK_ASANA};
    char problem[WEBHOOK_PROBLEM_BYTES];
    struct webhook *webhook = webhook_open(&options, files, problem);
    assert_non_null(webhook);
    assert_false(webhook_has_secret(webhook));
    webhook_destroy(webhook);

    assert_int_equal(webhook_secret_store(path, "b537207f20cbfa02"), RESULT_OK);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_nlink, 1); /* the draft is gone */
    webhook = webhook_open(&options, files, problem);
    assert_non_null(webhook);
    assert_true(webhook_has_secret(webhook));
    webhook_destroy(webhook);

    assert_int_equal(webhook_secret_store(path, "another-one-0000"), RESULT_FULL);
    FILE *file = fopen(path, "re");
    char line[64] = "";
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(fclose(file), 0);
    assert_string_equal(line, "b537207f20cbfa02");
    assert_int_equal(webhook_secret_store("/nonexistent/asana", "b537207f20cbfa02"), RESULT_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_holds_one_secret),
        cmocka_unit_test(test_a_rotation_is_two_files),
        cmocka_unit_test(test_what_is_wrong_with_a_file_is_said_without_its_content),
        cmocka_unit_test(test_asana_may_come_without_and_brings_one),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
