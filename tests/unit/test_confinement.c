/* What a confined process can no longer do. Each test confines a child of its own: it cannot be taken back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confinement.h"

#define NEW_FILE "/tmp/sophia-confinement-test"

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* Runs `claim` in a child that was confined so; it ends with 0 when the claim holds, or the line that does not. */
static void expect_of(const struct confinement_options *options, int (*claim)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        confine_process(options);
        _exit(claim());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0) {
        fail_msg("claim %d does not hold", WEXITSTATUS(status));
    }
}

static const struct confinement_options confined = {.confines = true, .may_dump_memory = false};

static int writes_no_file(void)
{
    if (open(NEW_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES) {
        return 1;
    }
    if (open("/dev/null", O_WRONLY | O_CLOEXEC) >= 0 || errno != EACCES) {
        return 2;
    }
    if (mkdir(NEW_FILE, 0700) == 0 || errno != EACCES) {
        return 3;
    }
    return 0;
}

static void test_no_file_is_written(void **state)
{
    (void)state;
    if (!has_landlock()) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    expect_of(&confined, writes_no_file);
    assert_int_equal(access(NEW_FILE, F_OK), -1);
}

#define NEW_FOLDER "/tmp/sophia-confinement-folder"

static int writes_beside_new_files_only(void)
{
    int file = open(NEW_FOLDER "/draft", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "x", 1) != 1 || link(NEW_FOLDER "/draft", NEW_FOLDER "/secret") != 0 ||
        unlink(NEW_FOLDER "/draft") != 0) {
        return 1;
    }
    if (mkdir(NEW_FOLDER "/deeper", 0700) == 0 || errno != EACCES) {
        return 2;
    }
    if (link(NEW_FOLDER "/secret", NEW_FILE) == 0) {
        return 3;
    }
    return writes_no_file() == 0 ? 0 : 4;
}

static void test_where_a_file_is_still_to_come_files_are_made(void **state)
{
    (void)state;
    if (!has_landlock()) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    static const char *const new_files[] = {"/nonexistent/secret", NEW_FOLDER "/secret", NULL};
    assert_int_equal(mkdir(NEW_FOLDER, 0700), 0);
    expect_of(&(struct confinement_options){.confines = true, .new_files = new_files},
              writes_beside_new_files_only);
    assert_int_equal(unlink(NEW_FOLDER "/secret"), 0);
    assert_int_equal(rmdir(NEW_FOLDER), 0);
}

static int appends_and_removes_nothing(void)
{
    int file = open(NEW_FOLDER "/audit", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "x", 1) != 1) {
        return 1;
    }
    if (unlink(NEW_FOLDER "/audit") == 0 || errno != EACCES) {
        return 2;
    }
    if (rename(NEW_FOLDER "/audit", NEW_FOLDER "/other") == 0) {
        return 3;
    }
    bool may_refuse = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 3;
    if (may_refuse && open(NEW_FOLDER "/audit", O_WRONLY | O_TRUNC | O_CLOEXEC) >= 0) {
        return 4;
    }
    return writes_no_file() == 0 ? 0 : 5;
}

static void test_beside_an_appended_file_nothing_is_removed_or_cut_off(void **state)
{
    (void)state;
    if (!has_landlock()) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_int_equal(mkdir(NEW_FOLDER, 0700), 0);
    expect_of(&(struct confinement_options){.confines = true, .appended_file = NEW_FOLDER "/audit"},
              appends_and_removes_nothing);
    struct stat status;
    assert_int_equal(stat(NEW_FOLDER "/audit", &status), 0);
    assert_int_equal(status.st_size, 1);
    assert_int_equal(unlink(NEW_FOLDER "/audit"), 0);
    assert_int_equal(rmdir(NEW_FOLDER), 0);
}

static int reads_and_connects(void)
{
    char byte;
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    int ends[2];
    bool is_read = file >= 0 && read(file, &byte, 1) == 1;
    bool is_connected = socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && send(ends[0], "x", 1, 0) == 1;
    bool has_port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
    return !is_read ? 1 : !is_connected ? 2 : !has_port ? 3 : 0;
}

static void test_files_are_read_and_sockets_work(void **state)
{
    (void)state;
    expect_of(&confined, reads_and_connects);
}

static int starts_nothing(void)
{
    char *const words[] = {(char *)(uintptr_t) "/bin/true", NULL};
    (void)execve(words[0], words, NULL); /* returns only when it fails */
    if (errno != EPERM) {
        return 1;
    }
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 || errno != EPERM) {
        return 2;
    }
    if (mount("none", "/mnt", "tmpfs", 0, NULL) == 0 || errno != EPERM) {
        return 3;
    }
    if (syscall(SYS_bpf, 0, NULL, 0) == 0 || errno != EPERM) {
        return 4;
    }
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
}

static void test_no_program_is_started_and_no_call_of_power_works(void **state)
{
    (void)state;
    expect_of(&confined, starts_nothing);
}

static int is_not_dumped(void)
{
    struct rlimit limit = {.rlim_cur = 1};
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 1;
    }
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 0 : 2;
}

static void test_memory_is_not_dumped(void **state)
{
    (void)state;
    expect_of(&confined, is_not_dumped);
}

static int is_as_free_as_before(void)
{
    int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return file < 0                                  ? 1
           : prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1 ? 2
                                                     : prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static void test_nothing_is_given_up_when_nothing_is_asked_for(void **state)
{
    (void)state;
    expect_of(&(struct confinement_options){.confines = false, .may_dump_memory = true},
              is_as_free_as_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_file_is_written),
        cmocka_unit_test(test_where_a_file_is_still_to_come_files_are_made),
        cmocka_unit_test(test_beside_an_appended_file_nothing_is_removed_or_cut_off),
        cmocka_unit_test(test_files_are_read_and_sockets_work),
        cmocka_unit_test(test_no_program_is_started_and_no_call_of_power_works),
        cmocka_unit_test(test_memory_is_not_dumped),
        cmocka_unit_test(test_nothing_is_given_up_when_nothing_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
