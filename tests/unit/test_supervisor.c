/*
 * A real supervisor with workers that only pretend: this program again, which finds itself to be a worker. What both
 * say on standard error is read through a pipe.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor.h"

enum { DEADLINE_MS = 10000, WORKERS = 3 };

/* ---- the worker ---- */

/** From the handler itself: a loop around pause() would miss what arrives just before it. */
static void on_hup(int signal)
{
    (void)signal;
    char said[] = "fake 0 reloads\n";
    said[5] = (char)('0' + worker_number());
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
}

static void on_term(int signal)
{
    (void)signal;
    _exit(EXIT_SUCCESS);
}

/** What it was given, and that there is nothing more to be had. */
static void say_secret(void)
{
    struct tls_secret secret, again;
    char hex[2 * TLS_SECRET_BYTES + 1];
    int fd = atoi(getenv("SOPHIA_GATEWAY_SECRET_FD"));
    bool has_secret = worker_take_secret(&secret);
    for (size_t i = 0; i < TLS_SECRET_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", has_secret ? secret.bytes[i] : 0);
    }
    bool is_over =
        !worker_take_secret(&again) && !getenv("SOPHIA_GATEWAY_SECRET_FD") && fcntl(fd, F_GETFD) < 0;
    fprintf(stderr, "secret %s of %llu, %s\n", hex, (unsigned long long)secret.began_ms,
            has_secret && is_over ? "once" : "or not");
}

/** What FAKE_WORKER says: serve, say its secret too, refuse to start, or start too late for its supervisor. */
static int act_as_worker(void)
{
    const char *role = getenv("FAKE_WORKER");
    if (strcmp(role, "refuse") == 0) {
        return 2;
    }
    if (!worker_join()) {
        return EXIT_FAILURE;
    }
    signal(SIGTERM, on_term);
    signal(SIGHUP, on_hup);
    const char *port = getenv("SOPHIA_LISTEN_PORT");
    if (strcmp(role, "secret") == 0) {
        say_secret();
    }
    fprintf(stderr, "fake %u named %s on %s\n", worker_number(), getenv("SOPHIA_NODE_NAME"),
            port ? port : "its own");
    worker_say_listening();
    for (;;) {
        pause();
    }
}

/* ---- the supervisor ---- */

struct run {
    pid_t pid;
    int log_fd;
    char log[65536];
    size_t length;
};

static char *const *own_argv;
static pid_t running; /* for the teardown of a test that failed: its workers follow it */

static int end_what_is_left(void **context)
{
    (void)context;
    if (running > 0) {
        (void)kill(running, SIGKILL);
        (void)waitpid(running, NULL, 0);
    }
    running = 0;
    return 0;
}

static void start(struct run *run, const char *role, uint16_t port)
{
    int pipe_fds[2];
    *run = (struct run){0};
    assert_int_equal(pipe(pipe_fds), 0);
    fflush(stdout);
    run->pid = fork();
    assert_true(run->pid >= 0);
    if (run->pid == 0) {
        (void)close(pipe_fds[0]);
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        (void)close(pipe_fds[1]);
        (void)setenv("FAKE_WORKER", role, 1);
        const struct supervisor_options options = {.argv = own_argv,
                                                   .workers = WORKERS,
                                                   .host = "127.0.0.1",
                                                   .port = port,
                                                   .node = "gate",
                                                   .grace_ms = 1000};
        _exit(supervisor_run(&options));
    }
    (void)close(pipe_fds[1]);
    run->log_fd = pipe_fds[0];
    running = run->pid;
}

/** One more piece of the log; false when time is over or all who could write have ended. */
static bool read_more(struct run *run, uint64_t until_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct pollfd poll_fd = {.fd = run->log_fd, .events = POLLIN};
    if (now_ms >= until_ms || poll(&poll_fd, 1, (int)(until_ms - now_ms)) <= 0) {
        return false;
    }
    ssize_t got = read(run->log_fd, run->log + run->length, sizeof run->log - 1 - run->length);
    if (got <= 0) {
        return false;
    }
    run->length += (size_t)got;
    run->log[run->length] = '\0';
    return true;
}

static size_t count_of(const struct run *run, const char *text)
{
    size_t count = 0;
    for (const char *at = strstr(run->log, text); at; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

static void await(struct run *run, const char *text, size_t count)
{
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (count_of(run, text) < count) {
        if (!read_more(run, until_ms)) {
            fail_msg("\"%s\" was said %zu times, not %zu, in:\n%s", text, count_of(run, text), count,
                     run->log);
        }
    }
}

/** The process id in the newest line that starts this worker. */
static pid_t pid_of(const struct run *run, unsigned worker)
{
    char text[64];
    const char *last = NULL;
    (void)snprintf(text, sizeof text, "\"worker started\",\"worker\":%u,\"pid\":", worker);
    for (const char *at = strstr(run->log, text); at; at = strstr(at + 1, text)) {
        last = at;
    }
    assert_non_null(last);
    return (pid_t)strtol(last + strlen(text), NULL, 10);
}

/** The end of the log is the end of everybody: each holds the pipe open. */
static int finish(struct run *run)
{
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    int status = 0;
    while (read_more(run, until_ms)) {
    }
    assert_true(clock_monotonic_ms() < until_ms);
    assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
    (void)close(run->log_fd);
    running = 0;
    return status;
}

static void assert_exit(struct run *run, int code)
{
    int status = finish(run);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code) {
        fail_msg("ended with %x, not with code %d:\n%s", (unsigned)status, code, run->log);
    }
}

/* ---- tests ---- */

static void test_workers_share_a_port_and_have_names_and_end_together(void **context)
{
    (void)context;
    struct run run;
    start(&run, "serve", 0);
    await(&run, "\"message\":\"listening\"", 1);
    const char *port = strstr(run.log, "\"port\":");
    assert_non_null(port);
    char said[64];
    for (unsigned i = 1; i <= WORKERS; i++) {
        (void)snprintf(said, sizeof said, "fake %u named gate-%u on %ld\n", i, i, strtol(port + 7, NULL, 10));
        await(&run, said, 1);
    }
    assert_int_equal(kill(run.pid, SIGTERM), 0);
    assert_exit(&run, 0);
    assert_int_equal(count_of(&run, "\"worker ended\""), WORKERS);
    assert_int_equal(count_of(&run, "\"worker started\""), WORKERS);
}

static void test_a_worker_that_dies_is_replaced(void **context)
{
    (void)context;
    struct run run;
    start(&run, "serve", 0);
    await(&run, "\"message\":\"listening\"", 1);
    pid_t before = pid_of(&run, 2);
    assert_int_equal(kill(before, SIGKILL), 0);
    await(&run, "fake 2 named", 2);
    assert_int_not_equal(pid_of(&run, 2), before);
    await(&run, "\"worker\":2,\"code\":1,\"signal\":9", 1);
    assert_int_equal(kill(pid_of(&run, 3), SIGTERM), 0); /* by hand: drained and replaced */
    await(&run, "fake 3 named", 2);
    assert_int_equal(kill(run.pid, SIGINT), 0);
    assert_exit(&run, 0);
    assert_int_equal(count_of(&run, "\"message\":\"listening\""), 1);
    assert_int_equal(count_of(&run, "\"worker ended\""), WORKERS + 2);
}

static void test_workers_have_one_secret_also_those_that_come_later(void **context)
{
    (void)context;
    struct run run;
    start(&run, "secret", 0);
    await(&run, "\"message\":\"listening\"", 1);
    assert_int_equal(kill(pid_of(&run, 2), SIGKILL), 0);
    await(&run, "fake 2 named", 2);
    const char *said = strstr(run.log, "secret ");
    assert_non_null(said);
    char line[128];
    size_t length = strcspn(said, "\n");
    assert_true(length < sizeof line);
    memcpy(line, said, length);
    line[length] = '\0';
    assert_non_null(strstr(line, ", once"));
    assert_null(strstr(line, "0000000000000000"));
    assert_int_equal(count_of(&run, line), WORKERS + 1);
    assert_int_equal(kill(run.pid, SIGTERM), 0);
    assert_exit(&run, 0);
    struct tls_secret secret;
    assert_false(worker_take_secret(&secret)); /* no worker */
}

static void test_a_reload_reaches_every_worker(void **context)
{
    (void)context;
    struct run run;
    start(&run, "serve", 0);
    await(&run, "\"message\":\"listening\"", 1);
    assert_int_equal(kill(run.pid, SIGHUP), 0);
    for (unsigned i = 1; i <= WORKERS; i++) {
        char said[32];
        (void)snprintf(said, sizeof said, "fake %u reloads\n", i);
        await(&run, said, 1);
    }
    assert_int_equal(kill(run.pid, SIGTERM), 0);
    assert_exit(&run, 0);
}

static void test_a_start_that_fails_fails_once(void **context)
{
    (void)context;
    struct run run;
    start(&run, "refuse", 0);
    assert_exit(&run, 2);
    assert_int_equal(count_of(&run, "giving up"), 1);
    assert_true(count_of(&run, "\"worker started\"") <= WORKERS);
}

static void test_a_port_that_is_taken_stops_the_start(void **context)
{
    (void)context;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    struct run run;
    start(&run, "serve", ntohs(address.sin_port));
    assert_exit(&run, 1);
    assert_int_equal(count_of(&run, "\"listen failed\""), 1);
    assert_int_equal(count_of(&run, "\"worker started\""), 0);
    (void)close(fd);
}

static void test_workers_end_when_their_supervisor_is_killed(void **context)
{
    (void)context;
    struct run run;
    start(&run, "serve", 0);
    await(&run, "\"message\":\"listening\"", 1);
    assert_int_equal(kill(run.pid, SIGKILL), 0);
    int status = finish(&run); /* only when the workers have let go of the pipe */
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_a_worker_of_somebody_else_does_not_start(void **context)
{
    (void)context;
    assert_int_equal(worker_number(), 0);
    assert_true(worker_join());
    static const char *const places[] = {"0:1", "65:1", "x", "1", ""};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_equal(setenv("SOPHIA_GATEWAY_WORKER", places[i], 1), 0);
        assert_int_equal(worker_number(), 0);
    }
    assert_int_equal(setenv("SOPHIA_GATEWAY_WORKER", "2:1", 1), 0);
    assert_int_equal(worker_number(), 2);
    if (getppid() != 1) {
        assert_false(worker_join());
    }
    assert_int_equal(prctl(PR_SET_PDEATHSIG, 0), 0);
    assert_int_equal(unsetenv("SOPHIA_GATEWAY_WORKER"), 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (worker_number() != 0 && getenv("FAKE_WORKER")) {
        return act_as_worker();
    }
    own_argv = argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_workers_share_a_port_and_have_names_and_end_together,
                                  end_what_is_left),
        cmocka_unit_test_teardown(test_a_worker_that_dies_is_replaced, end_what_is_left),
        cmocka_unit_test_teardown(test_workers_have_one_secret_also_those_that_come_later, end_what_is_left),
        cmocka_unit_test_teardown(test_a_reload_reaches_every_worker, end_what_is_left),
        cmocka_unit_test_teardown(test_a_start_that_fails_fails_once, end_what_is_left),
        cmocka_unit_test_teardown(test_a_port_that_is_taken_stops_the_start, end_what_is_left),
        cmocka_unit_test_teardown(test_workers_end_when_their_supervisor_is_killed, end_what_is_left),
        cmocka_unit_test_teardown(test_a_worker_of_somebody_else_does_not_start, end_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
