/* What the audit says, what it only counts, what it withholds and says so. The loop's timer and the clock are pretended. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "access/audit.h"
#include "access/audit_repeats.h"
#include "support/allocations.h"

enum { LINES_PER_S = 5, LINES_MAX = 4096 };

/* ---- instead of io/loop.c ---- */

struct loop_timer {
    loop_fn *on_due;
    void *context;
    bool is_armed;
    uint64_t due_ms;
};
static struct loop_timer timer;
static struct moment clock_now;

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *on_due, void *context)
{
    (void)loop;
    timer = (struct loop_timer){.on_due = on_due, .context = context};
    return &timer;
}

void loop_timer_arm(struct loop_timer *armed, uint64_t delay_ms)
{
    armed->is_armed = true;
    armed->due_ms = clock_now.monotonic_ms + delay_ms;
}

void loop_timer_destroy(struct loop_timer *destroyed)
{
    if (destroyed) {
        destroyed->is_armed = false;
    }
}

static struct moment now(void)
{
    return clock_now;
}

static void pass(uint64_t ms)
{
    const uint64_t end_ms = clock_now.monotonic_ms + ms;
    while (timer.is_armed && timer.due_ms <= end_ms) {
        clock_now.wall_ms += (int64_t)(timer.due_ms - clock_now.monotonic_ms);
        clock_now.monotonic_ms = timer.due_ms;
        timer.is_armed = false;
        timer.on_due(timer.context);
    }
    clock_now.wall_ms += (int64_t)(end_ms - clock_now.monotonic_ms);
    clock_now.monotonic_ms = end_ms;
}

/* ---- around the audit ---- */

static char folder[] = "/tmp/sophia-audit-XXXXXX";
static char file[64], moved[64], socket_path[64];
static struct metrics *metrics;
static struct audit *audit;
static struct audit_options options;
static json_t *lines;

static int setup(void **context)
{
    (void)context;
    strcpy(folder, "/tmp/sophia-audit-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/audit.log", folder);
    (void)snprintf(moved, sizeof moved, "%s/audit.log.1", folder);
    (void)snprintf(socket_path, sizeof socket_path, "%s/log", folder);
    (void)signal(SIGXFSZ, SIG_IGN);
    clock_now = (struct moment){.monotonic_ms = 1000, .wall_ms = 1790000000123};
    metrics = metrics_create();
    options = (struct audit_options){
        .file = file, .node = "n1", .mask_key = "secret", .lines_per_s = LINES_PER_S, .now = now};
    audit = audit_create(&options, metrics);
    lines = NULL;
    return audit ? 0 : -1;
}

static int teardown(void **context)
{
    (void)context;
    audit_destroy(audit);
    metrics_destroy(metrics);
    json_decref(lines);
    (void)unlink(file);
    (void)unlink(moved);
    (void)unlink(socket_path);
    return rmdir(folder);
}

/** Reads the file; every line must be one JSON object. */
static size_t read_lines(const char *path)
{
    char line[8192];
    FILE *from = fopen(path, "re");
    json_decref(lines);
    lines = json_array();
    assert_non_null(from);
    while (fgets(line, sizeof line, from)) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!object) {
            fail_msg("no JSON: %s", line);
        }
        assert_int_equal(json_array_append_new(lines, object), 0);
    }
    (void)fclose(from);
    return json_array_size(lines);
}

static const char *text_of(size_t line, const char *member)
{
    const char *text = json_string_value(json_object_get(json_array_get(lines, line), member));
    return text ? text : "(none)";
}

static json_int_t number_of(size_t line, const char *member)
{
    return json_integer_value(json_object_get(json_array_get(lines, line), member));
}

static double counted(const char *result)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "result=\"%s\"", result);
    const struct metric *metric = metrics_find(metrics, "gw_audit_lines_total", labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static const struct audit_event subscription = {.action = AUDIT_SUBSCRIBE,
                                                .by = "token",
                                                .subject = "alice@example.com",
                                                .address = "192.0.2.77",
                                                .over = "ws",
                                                .target = "exec"};

static struct audit_event refused(const char *address)
{
    return (struct audit_event){
        .action = AUDIT_CONNECT, .refusal = "token_invalid", .address = address, .over = "ws"};
}

/* ---- what a line says ---- */

static void test_line_says_who_what_from_where_and_with_what_result(void **context)
{
    (void)context;
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(file), 1);
    assert_string_equal(text_of(0, "time"), "2026-09-21T14:13:20.123Z");
    assert_string_equal(text_of(0, "node"), "n1");
    assert_string_equal(text_of(0, "action"), "subscribe");
    assert_string_equal(text_of(0, "result"), "granted");
    assert_string_equal(text_of(0, "reason"), "(none)");
    assert_string_equal(text_of(0, "by"), "token");
    assert_string_equal(text_of(0, "over"), "ws");
    assert_string_equal(text_of(0, "target"), "exec");
    /* printf %s alice@example.com | openssl dgst -sha256 -hmac secret */
    assert_string_equal(text_of(0, "subject"), "a398d49ce1980b36");
    assert_string_equal(text_of(0, "address"), "192.0.2.0/24");
    assert_int_equal((int)counted("written"), 1);
    struct stat status;
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_who_is_refused_is_shown_with_the_whole_address(void **context)
{
    (void)context;
    struct audit_event event = subscription;
    event.refusal = "forbidden";
    audit_note(audit, &event);
    assert_int_equal(read_lines(file), 1);
    assert_string_equal(text_of(0, "result"), "refused");
    assert_string_equal(text_of(0, "reason"), "forbidden");
    assert_string_equal(text_of(0, "address"), "192.0.2.77");
    assert_string_equal(text_of(0, "subject"), "a398d49ce1980b36");
}

static void test_networks_of_both_families(void **context)
{
    (void)context;
    static const char *const rows[][2] = {{"2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
                                          {"::1", "::1"},
                                          {"127.0.0.1", "127.0.0.1"},
                                          {"what", ""}};
    for (size_t i = 0; i < 4; i++) {
        struct audit_event event = subscription;
        event.address = rows[i][0];
        audit_note(audit, &event);
        assert_int_equal(read_lines(file), i + 1);
        assert_string_equal(text_of(i, "address"), rows[i][1]);
    }
}

static void test_plain_means_as_they_are(void **context)
{
    (void)context;
    audit_destroy(audit);
    options.is_plain = true;
    audit = audit_create(&options, metrics);
    assert_non_null(audit);
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(file), 1);
    assert_string_equal(text_of(0, "subject"), "alice@example.com");
    assert_string_equal(text_of(0, "address"), "192.0.2.77");
}

static void test_without_a_key_masks_are_those_of_the_process(void **context)
{
    (void)context;
    options.mask_key = NULL;
    for (size_t i = 0; i < 2; i++) {
        audit_destroy(audit);
        audit = audit_create(&options, metrics);
        assert_non_null(audit);
        audit_note(audit, &subscription);
        audit_note(audit, &subscription);
    }
    assert_int_equal(read_lines(file), 4);
    assert_string_equal(text_of(0, "subject"), text_of(1, "subject"));
    assert_string_not_equal(text_of(0, "subject"), text_of(2, "subject"));
    assert_int_equal(strlen(text_of(2, "subject")), 16);
}

static void test_text_of_peers_cannot_break_a_line(void **context)
{
    (void)context;
    char target[1000];
    memset(target, '\n', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    audit_destroy(audit);
    options.is_plain = true;
    audit = audit_create(&options, metrics);
    assert_non_null(audit);
    struct audit_event event = subscription;
    event.target = target;
    event.subject = "\x01\xff\"}\n{\"action\":\"start\"";
    audit_note(audit, &event);
    assert_int_equal(read_lines(file), 1);
    assert_int_equal(strlen(text_of(0, "target")), 256);
    assert_string_equal(text_of(0, "action"), "subscribe");
}

static void test_nothing_happens_without_an_audit(void **context)
{
    (void)context;
    audit_note(NULL, &subscription);
    assert_int_equal(read_lines(file), 0);
}

/* ---- repeats ---- */

static void test_what_is_refused_again_and_again_is_one_line_and_a_count(void **context)
{
    (void)context;
    const struct audit_event event = refused("192.0.2.1");
    for (int i = 0; i < 1000; i++) {
        audit_note(audit, &event);
    }
    assert_int_equal(read_lines(file), 1);
    assert_int_equal((int)counted("repeated"), 999);
    pass(AUDIT_REPEAT_MS + 2000);
    assert_int_equal(read_lines(file), 2);
    assert_int_equal(number_of(1, "times"), 999);
    assert_string_equal(text_of(1, "since"), text_of(0, "time"));
    assert_string_equal(text_of(1, "reason"), "token_invalid");
    assert_false(timer.is_armed);
    audit_note(audit, &event); /* forgotten: written again */
    assert_int_equal(read_lines(file), 3);
}

static void test_a_single_read_needs_no_count(void **context)
{
    (void)context;
    audit_note(audit, &(struct audit_event){.action = AUDIT_READ, .by = "anybody", .target = "exec"});
    pass(AUDIT_REPEAT_MS + 2000);
    assert_int_equal(read_lines(file), 1);
}

static void test_each_subscription_is_a_line(void **context)
{
    (void)context;
    audit_note(audit, &subscription);
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(file), 2);
}

static void test_counts_are_told_at_the_end(void **context)
{
    (void)context;
    const struct audit_event event = {.action = AUDIT_INGEST, .by = "ingest_key", .address = "::1"};
    audit_note(audit, &event);
    audit_note(audit, &event);
    audit_destroy(audit);
    audit = NULL;
    assert_int_equal(read_lines(file), 2);
    assert_int_equal(number_of(1, "times"), 1);
}

static void test_when_too_many_are_remembered_the_oldest_is_told_at_once(void **context)
{
    (void)context;
    char address[32];
    audit_destroy(audit);
    options.lines_per_s = 100000;
    audit = audit_create(&options, metrics);
    assert_non_null(audit);
    for (int i = 0; i < AUDIT_REPEATS_MAX; i++) {
        (void)snprintf(address, sizeof address, "10.1.%d.%d", i / 256, i % 256);
        const struct audit_event event = refused(address);
        audit_note(audit, &event);
        audit_note(audit, &event);
    }
    assert_int_equal(read_lines(file), AUDIT_REPEATS_MAX);
    const struct audit_event event = refused("10.2.0.0");
    audit_note(audit, &event);
    assert_int_equal(read_lines(file), AUDIT_REPEATS_MAX + 2);
    bool is_first_new = strcmp(text_of(AUDIT_REPEATS_MAX, "address"), "10.2.0.0") == 0;
    const size_t told = AUDIT_REPEATS_MAX + (is_first_new ? 1 : 0);
    assert_string_equal(text_of(told, "address"), "10.1.0.0");
    assert_int_equal(number_of(told, "times"), 1);
}

/* ---- what is withheld ---- */

static void test_beyond_the_rate_lines_are_withheld_and_that_is_told(void **context)
{
    (void)context;
    char address[32];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(address, sizeof address, "10.0.0.%d", i);
        const struct audit_event event = refused(address);
        audit_note(audit, &event);
    }
    assert_int_equal(read_lines(file), LINES_PER_S);
    assert_int_equal((int)counted("withheld"), 100 - LINES_PER_S);
    audit_note(audit, &subscription); /* who is let in has a rate of its own */
    audit_note(audit, &(struct audit_event){.action = AUDIT_RELOAD, .by = "signal"});
    assert_int_equal(read_lines(file), LINES_PER_S + 2);
    pass(1000);
    assert_int_equal(read_lines(file), LINES_PER_S + 3);
    assert_string_equal(text_of(LINES_PER_S + 2, "action"), "withheld");
    assert_int_equal(number_of(LINES_PER_S + 2, "refused"), 100 - LINES_PER_S);
    assert_int_equal(number_of(LINES_PER_S + 2, "granted"), 0);
    pass(5000);
    assert_int_equal(read_lines(file), LINES_PER_S + 3); /* told once */
}

/** Files may not grow beyond this: what a full disk does. */
static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_what_cannot_be_written_is_told_when_it_can(void **context)
{
    (void)context;
    audit_note(audit, &subscription);
    struct stat status;
    assert_int_equal(stat(file, &status), 0);
    limit_files((rlim_t)status.st_size + 10); /* ten bytes of the next line fit */
    audit_note(audit, &subscription);
    audit_note(audit, &subscription);
    assert_int_equal((int)counted("failed"), 2);
    pass(3000); /* still full: trying to tell fails as well */
    limit_files(RLIM_INFINITY);
    pass(1000);
    char text[4096] = "";
    FILE *from = fopen(file, "re");
    assert_non_null(from);
    size_t length = fread(text, 1, sizeof text - 1, from);
    (void)fclose(from);
    text[length] = '\0';
    const char *last = strrchr(text, '{');
    json_t *object = json_loads(last, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "action")), "withheld");
    assert_int_equal(json_integer_value(json_object_get(object, "granted")), 2);
    assert_true(last[-1] == '\n'); /* what was torn off is a line of its own */
    json_decref(object);
}

/* ---- files and sockets ---- */

static void test_a_file_that_was_moved_away_is_begun_anew(void **context)
{
    (void)context;
    audit_note(audit, &subscription);
    assert_int_equal(rename(file, moved), 0);
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(moved), 2);
    assert_true(audit_reopen(audit));
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(moved), 2);
    assert_int_equal(read_lines(file), 1);
}

static void test_a_file_that_cannot_be_opened_anew_leaves_the_one_before(void **context)
{
    (void)context;
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_false(audit_reopen(audit));
    audit_note(audit, &subscription);
    assert_int_equal(read_lines(moved), 1);
    assert_int_equal(rmdir(file), 0);
}

static void test_links_and_pipes_are_no_audit_files(void **context)
{
    (void)context;
    audit_destroy(audit);
    audit = NULL;
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("/dev/null", file), 0);
    assert_null(audit_create(&options, metrics));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_null(audit_create(&options, metrics));
}

static int listen_as_syslog(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, socket_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void expect_datagram(int fd, const char *word)
{
    char text[8192];
    ssize_t length = recv(fd, text, sizeof text - 1, 0);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(strncmp(text, "<86>", 4), 0);
    char *object = strstr(text, ": {");
    assert_non_null(object);
    assert_non_null(strstr(text, " sophia-gateway["));
    json_t *line = json_loads(object + 2, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "action")), word);
    json_decref(line);
}

static void test_syslog_gets_the_same_lines_and_may_come_late(void **context)
{
    (void)context;
    audit_destroy(audit);
    options.syslog = socket_path;
    options.file = NULL;
    audit = audit_create(&options, metrics);
    assert_non_null(audit);
    audit_note(audit, &subscription);
    assert_int_equal((int)counted("failed"), 1);
    int fd = listen_as_syslog();
    audit_note(audit, &subscription);
    expect_datagram(fd, "subscribe");
    pass(1000);
    expect_datagram(fd, "withheld");
    (void)close(fd); /* it is started anew */
    (void)unlink(socket_path);
    fd = listen_as_syslog();
    audit_note(audit, &subscription);
    expect_datagram(fd, "subscribe");
    (void)close(fd);
}

static void test_a_syslog_that_takes_nothing_is_not_waited_for(void **context)
{
    (void)context;
    int fd = listen_as_syslog();
    audit_destroy(audit);
    options.syslog = socket_path;
    options.lines_per_s = 100000;
    audit = audit_create(&options, metrics);
    assert_non_null(audit);
    for (int i = 0; i < LINES_MAX && counted("failed") < 1; i++) {
        audit_note(audit, &subscription);
    }
    assert_true(counted("failed") >= 1);
    (void)close(fd);
}

static void test_survives_every_failing_allocation(void **context)
{
    (void)context;
    audit_destroy(audit);
    audit = NULL;
    for (int count = 0;; count++) {
        allocations_fail_one_after(count);
        struct audit *made = audit_create(&options, metrics);
        const struct audit_event event = refused("192.0.2.1");
        audit_note(made, &event);
        audit_note(made, &event);
        bool has_failed = allocations_recover();
        audit_destroy(made);
        if (!has_failed) {
            break;
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_line_says_who_what_from_where_and_with_what_result),
        TEST(test_who_is_refused_is_shown_with_the_whole_address),
        TEST(test_networks_of_both_families),
        TEST(test_plain_means_as_they_are),
        TEST(test_without_a_key_masks_are_those_of_the_process),
        TEST(test_text_of_peers_cannot_break_a_line),
        TEST(test_nothing_happens_without_an_audit),
        TEST(test_what_is_refused_again_and_again_is_one_line_and_a_count),
        TEST(test_a_single_read_needs_no_count),
        TEST(test_each_subscription_is_a_line),
        TEST(test_counts_are_told_at_the_end),
        TEST(test_when_too_many_are_remembered_the_oldest_is_told_at_once),
        TEST(test_beyond_the_rate_lines_are_withheld_and_that_is_told),
        TEST(test_what_cannot_be_written_is_told_when_it_can),
        TEST(test_a_file_that_was_moved_away_is_begun_anew),
        TEST(test_a_file_that_cannot_be_opened_anew_leaves_the_one_before),
        TEST(test_links_and_pipes_are_no_audit_files),
        TEST(test_syslog_gets_the_same_lines_and_may_come_late),
        TEST(test_a_syslog_that_takes_nothing_is_not_waited_for),
        TEST(test_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
