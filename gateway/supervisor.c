/*
 * One thread, no event loop: signals are blocked and taken one by one, with the next restart as the time-out. A
 * worker says that it listens by a real-time signal, which the kernel queues and stamps with the sender.
 *
 * The port is bound here first, without listening: an address that cannot be used is told once and
 * at once, port 0 becomes one number for all, and the number stays ours while workers are restarted.
 *
 * Workers have process groups of their own, so that Ctrl-C reaches them through the supervisor only: a second
 * SIGINT would stop a drain. For the same reason a service unit must signal the main process alone (KillMode=mixed).
 */
#include "supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/backoff.h"

#define WORKER_VARIABLE "SOPHIA_GATEWAY_WORKER"
#define NODE_VARIABLE "SOPHIA_NODE_NAME"
#define PORT_VARIABLE "SOPHIA_LISTEN_PORT"
#define SECRET_VARIABLE "SOPHIA_GATEWAY_SECRET_FD"

enum {
    RESTART_BASE_MS = 100,
    RESTART_LIMIT_MS = 10000,
    GOOD_LIFE_MS = 60000, /* a worker that lived this long starts afresh when it dies */
    KILL_AFTER_GRACE_MS = 5000,
    NODE_MAX_BYTES = 60, /* with "-64" still a node name */
    EXIT_NOT_EXECUTED = 127,
};

struct worker {
    unsigned number;
    pid_t pid; /* 0: not running */
    bool is_listening;
    uint64_t started_ms;
    uint64_t restart_at_ms; /* while not running */
    struct backoff backoff;
};

struct supervisor {
    struct supervisor_options options;
    char node[NODE_MAX_BYTES + 1];
    pid_t pid;
    int socket;
    uint16_t port;
    sigset_t signals; /* what is waited for */
    sigset_t before;  /* what workers start with */
    struct tls_secret secret;
    struct worker workers[SUPERVISOR_WORKERS_MAX];
    bool has_listened; /* all at one time: the start is over */
    bool is_stopping;
    uint64_t kill_at_ms; /* while stopping */
    int exit_code;
};

static int listening_signal(void)
{
    return SIGRTMIN;
}

/* ---- workers' side ---- */

/** "2:4711" -> 2 and the supervisor's process id; 0 when the variable is not there or not ours. */
static unsigned read_place(long *out_supervisor)
{
    const char *text = getenv(WORKER_VARIABLE);
    char *end = NULL;
    unsigned long number = text ? strtoul(text, &end, 10) : 0;
    if (number == 0 || number > SUPERVISOR_WORKERS_MAX || *end != ':') {
        return 0;
    }
    *out_supervisor = strtol(end + 1, NULL, 10);
    return (unsigned)number;
}

unsigned worker_number(void)
{
    long supervisor = 0;
    return read_place(&supervisor);
}

bool worker_join(void)
{
    long supervisor = 0;
    if (read_place(&supervisor) == 0) {
        return true;
    }
    /* Again: the kernel drops it when a file with capabilities is executed. It must come before the look. */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* fails for numbers that are no signals only */
    return supervisor == (long)getppid();
}

bool worker_take_secret(struct tls_secret *out_secret)
{
    struct tls_secret secret;
    long supervisor = 0;
    const char *text = getenv(SECRET_VARIABLE);
    char *end = NULL;
    long fd = text ? strtol(text, &end, 10) : 0;
    if (read_place(&supervisor) == 0 || fd <= STDERR_FILENO || fd > INT_MAX || *end != '\0') {
        return false;
    }
    (void)unsetenv(SECRET_VARIABLE);
    ssize_t got = read((int)fd, &secret, sizeof secret); /* all of it is in the pipe already */
    (void)close((int)fd);
    if (got == (ssize_t)sizeof secret) {
        *out_secret = secret;
    }
    explicit_bzero(&secret, sizeof secret);
    return got == (ssize_t)sizeof secret;
}

void worker_say_listening(void)
{
    long supervisor = 0;
    if (read_place(&supervisor) != 0 && supervisor == (long)getppid()) {
        (void)kill(getppid(), listening_signal()); /* if it is gone, we are about to hear */
    }
}

/* ---- the port ---- */

static int bind_only(const struct addrinfo *address)
{
    static const int yes = 1, no = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (address->ai_family == AF_INET6) { /* as the workers' */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    (void)getsockname(fd, (struct sockaddr *)&address, &length); /* a bound socket has a name */
    return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port)
                                         : ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

static bool reserve_port(struct supervisor *supervisor)
{
    const struct supervisor_options *options = &supervisor->options;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)options->port); /* at most 5 digits */
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(options->host, port, &hints, &found);
    supervisor->socket = status == 0 ? bind_only(found) : -1;
    const char *problem = status == 0 ? strerror(errno) : gai_strerror(status);
    if (supervisor->socket < 0) {
        log_error("listen failed", LOG_TEXT("host", options->host), LOG_INT("port", options->port),
                  LOG_TEXT("err", problem));
    } else {
        supervisor->port = bound_port(supervisor->socket);
    }
    if (found) {
        freeaddrinfo(found);
    }
    return supervisor->socket >= 0;
}

/* ---- starting a worker ---- */

/** In the child: a pipe that holds the secret and is open for reading only. A worker without it has a secret of its own. */
static void hand_over_secret(const struct supervisor *supervisor)
{
    int ends[2];
    char number[16];
    (void)unsetenv(SECRET_VARIABLE);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    bool is_written = write(ends[1], &supervisor->secret, sizeof supervisor->secret) ==
                      (ssize_t)sizeof supervisor->secret; /* an empty pipe takes it */
    (void)close(ends[1]);
    (void)snprintf(number, sizeof number, "%d", ends[0]);
    if (is_written && fcntl(ends[0], F_SETFD, 0) == 0) {
        (void)setenv(SECRET_VARIABLE, number, 1); /* without it the descriptor is merely useless */
    }
}

/** Our own environment with what makes a worker of the program. */
static bool set_environment(const struct supervisor *supervisor, unsigned number)
{
    char place[48], node[NODE_MAX_BYTES + 8], port[8];
    (void)snprintf(place, sizeof place, "%u:%ld", number, (long)supervisor->pid);
    (void)snprintf(node, sizeof node, "%s-%u", supervisor->node, number);
    (void)snprintf(port, sizeof port, "%u", (unsigned)supervisor->port);
    return setenv(WORKER_VARIABLE, place, 1) == 0 && setenv(NODE_VARIABLE, node, 1) == 0 &&
           (supervisor->options.port != 0 || setenv(PORT_VARIABLE, port, 1) == 0);
}

/** In the child. The same program file, even if another one has its name by now. */
static void become_worker(const struct supervisor *supervisor, unsigned number)
{
    (void)setpgid(0, 0); /* alone in a group, or a terminal's Ctrl-C comes twice: no harm but a hasty end */
    bool is_tied = prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == supervisor->pid;
    if (is_tied && set_environment(supervisor, number) &&
        sigprocmask(SIG_SETMASK, &supervisor->before, NULL) == 0) {
        hand_over_secret(supervisor);
        (void)execv("/proc/self/exe", supervisor->options.argv); /* returns only when it failed */
    }
    log_error("worker not executed", LOG_INT("worker", number), LOG_TEXT("err", strerror(errno)));
    _exit(EXIT_NOT_EXECUTED);
}

static void schedule_restart(struct worker *worker, uint64_t now_ms)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) {
        random = now_ms; /* without jitter: a shorter or longer wait, nothing else */
    }
    worker->restart_at_ms = now_ms + backoff_next_ms(&worker->backoff, random);
}

static void start_worker(const struct supervisor *supervisor, struct worker *worker)
{
    worker->started_ms = clock_monotonic_ms();
    worker->is_listening = false;
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(supervisor, worker->number);
    }
    if (pid < 0) {
        log_error("worker not started", LOG_INT("worker", worker->number), LOG_TEXT("err", strerror(errno)));
        schedule_restart(worker, worker->started_ms);
        return;
    }
    worker->pid = pid;
    log_info("worker started", LOG_INT("worker", worker->number), LOG_INT("pid", pid));
}

static void start_due(struct supervisor *supervisor, uint64_t now_ms)
{
    for (unsigned i = 0; i < supervisor->options.workers && !supervisor->is_stopping; i++) {
        struct worker *worker = &supervisor->workers[i];
        if (worker->pid == 0 && worker->restart_at_ms <= now_ms) {
            start_worker(supervisor, worker);
        }
    }
}

/* ---- what happens to them ---- */

static struct worker *worker_of(struct supervisor *supervisor, pid_t pid)
{
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        if (supervisor->workers[i].pid == pid) {
            return &supervisor->workers[i];
        }
    }
    return NULL;
}

static unsigned count_running(const struct supervisor *supervisor)
{
    unsigned count = 0;
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        count += supervisor->workers[i].pid != 0;
    }
    return count;
}

static void tell_all(const struct supervisor *supervisor, int signal)
{
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        if (supervisor->workers[i].pid != 0) {
            /* Not waited for yet, so the number is still its own. */
            (void)kill(supervisor->workers[i].pid, signal);
        }
    }
}

static void stop_all(struct supervisor *supervisor)
{
    supervisor->kill_at_ms = clock_monotonic_ms() + KILL_AFTER_GRACE_MS;
    if (supervisor->is_stopping) {
        log_warn("stopping workers at once", LOG_INT("workers", count_running(supervisor)));
    } else {
        log_info("draining workers", LOG_INT("workers", count_running(supervisor)));
        supervisor->kill_at_ms += supervisor->options.grace_ms;
    }
    supervisor->is_stopping = true;
    tell_all(supervisor, SIGTERM);
}

/** To those that serve: before that they read everything anyway, and do not handle the signal yet. */
static void reload_all(const struct supervisor *supervisor)
{
    log_info("reloading workers", LOG_INT("workers", count_running(supervisor)));
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        if (supervisor->workers[i].is_listening) {
            (void)kill(supervisor->workers[i].pid, SIGHUP);
        }
    }
}

static void on_listening(struct supervisor *supervisor, pid_t pid)
{
    struct worker *worker = worker_of(supervisor, pid);
    if (!worker) {
        return; /* somebody else's signal */
    }
    worker->is_listening = true;
    bool are_all = true;
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        are_all = are_all && supervisor->workers[i].is_listening;
    }
    if (are_all && !supervisor->has_listened) {
        supervisor->has_listened = true;
        log_info("listening", LOG_TEXT("host", supervisor->options.host), LOG_INT("port", supervisor->port),
                 LOG_TEXT("node", supervisor->node), LOG_TEXT("version", GATEWAY_VERSION),
                 LOG_INT("workers", supervisor->options.workers));
    }
}

/** A worker that cannot start will not by being started again: what is wrong was wrong for all of them. */
static void give_up(struct supervisor *supervisor, int code)
{
    log_error("a worker could not start, giving up", LOG_INT("code", code));
    supervisor->exit_code = code;
    if (!supervisor->is_stopping) {
        stop_all(supervisor);
    }
}

static void on_end(struct supervisor *supervisor, struct worker *worker, int status)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t lived_ms = now_ms - worker->started_ms;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    /* One that was told to stop before it could listen to signals did as it was told. */
    bool is_clean = code == EXIT_SUCCESS || signal == SIGTERM;
    worker->pid = 0;
    worker->is_listening = false;
    if (lived_ms >= GOOD_LIFE_MS) {
        backoff_reset(&worker->backoff);
    }
    schedule_restart(worker, now_ms);
    uint64_t restart_in_ms = supervisor->is_stopping ? 0 : worker->restart_at_ms - now_ms;
    const struct log_pair pairs[] = {LOG_INT("worker", worker->number),
                                     LOG_INT("code", code),
                                     LOG_INT("signal", signal),
                                     LOG_INT("lived_ms", lived_ms),
                                     LOG_INT("restart_in_ms", restart_in_ms),
                                     LOG_NOTHING};
    log_write(is_clean ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "worker ended", pairs);
    if (!is_clean && supervisor->exit_code == EXIT_SUCCESS && supervisor->is_stopping) {
        supervisor->exit_code = EXIT_FAILURE;
    }
    if (!is_clean && !supervisor->has_listened && supervisor->exit_code == EXIT_SUCCESS) {
        give_up(supervisor, code);
    }
}

static void reap(struct supervisor *supervisor)
{
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct worker *worker = worker_of(supervisor, pid);
        if (worker) { /* as process 1 of a container we also bury strangers */
            on_end(supervisor, worker, status);
        }
    }
}

/* ---- waiting ---- */

/** When something is to be done without a signal; UINT64_MAX: never. */
static uint64_t next_due_ms(const struct supervisor *supervisor)
{
    if (supervisor->is_stopping) {
        return supervisor->kill_at_ms;
    }
    uint64_t due_ms = UINT64_MAX;
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        const struct worker *worker = &supervisor->workers[i];
        if (worker->pid == 0 && worker->restart_at_ms < due_ms) {
            due_ms = worker->restart_at_ms;
        }
    }
    return due_ms;
}

/** The next signal, or 0 when the time is over. */
static int next_signal(const struct supervisor *supervisor, siginfo_t *out_info)
{
    uint64_t due_ms = next_due_ms(supervisor);
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    const struct timespec wait = {.tv_sec = (time_t)(wait_ms / 1000),
                                  .tv_nsec = (long)(wait_ms % 1000) * 1000000};
    int signal = due_ms == UINT64_MAX ? sigwaitinfo(&supervisor->signals, out_info)
                                      : sigtimedwait(&supervisor->signals, out_info, &wait);
    return signal > 0 ? signal : 0;
}

static void on_signal(struct supervisor *supervisor, int signal, const siginfo_t *info)
{
    if (signal == SIGCHLD) {
        reap(supervisor);
    } else if (signal == SIGTERM || signal == SIGINT) {
        stop_all(supervisor);
    } else if (signal == SIGHUP) {
        reload_all(supervisor);
    } else if (signal == listening_signal()) {
        on_listening(supervisor, info->si_pid);
    }
}

static void kill_stragglers(struct supervisor *supervisor, uint64_t now_ms)
{
    if (supervisor->is_stopping && now_ms >= supervisor->kill_at_ms) {
        log_error("workers did not end in time, killing them", LOG_INT("workers", count_running(supervisor)));
        tell_all(supervisor, SIGKILL);
        supervisor->kill_at_ms = now_ms + KILL_AFTER_GRACE_MS;
    }
}

/* ---- life ---- */

static void block_signals(struct supervisor *supervisor)
{
    const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, listening_signal()};
    (void)sigemptyset(&supervisor->signals); /* these fail for numbers that are no signals only */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        (void)sigaddset(&supervisor->signals, signals[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &supervisor->signals, &supervisor->before);
}

static void name_node(struct supervisor *supervisor)
{
    if (supervisor->options.node) {
        strncpy(supervisor->node, supervisor->options.node, NODE_MAX_BYTES);
    } else if (gethostname(supervisor->node, NODE_MAX_BYTES) != 0) {
        strncpy(supervisor->node, "gateway", NODE_MAX_BYTES);
    }
}

int supervisor_run(const struct supervisor_options *options)
{
    assert(options->workers >= 1 && options->workers <= SUPERVISOR_WORKERS_MAX);
    struct supervisor supervisor = {.options = *options, .pid = getpid(), .socket = -1};
    name_node(&supervisor);
    if (!tls_secret_make(&supervisor.secret, clock_monotonic_ms())) {
        log_error("no randomness for a secret", LOG_TEXT("err", strerror(errno)));
        return EXIT_FAILURE;
    }
    if (!reserve_port(&supervisor)) {
        return EXIT_FAILURE;
    }
    block_signals(&supervisor);
    for (unsigned i = 0; i < options->workers; i++) {
        supervisor.workers[i].number = i + 1;
        backoff_init(&supervisor.workers[i].backoff, RESTART_BASE_MS, RESTART_LIMIT_MS);
    }
    log_info("supervising", LOG_INT("workers", options->workers), LOG_TEXT("host", options->host),
             LOG_INT("port", supervisor.port), LOG_TEXT("node", supervisor.node));
    start_due(&supervisor, clock_monotonic_ms());
    while (!supervisor.is_stopping || count_running(&supervisor) > 0) {
        siginfo_t info;
        int signal = next_signal(&supervisor, &info);
        if (signal != 0) {
            on_signal(&supervisor, signal, &info);
        }
        uint64_t now_ms = clock_monotonic_ms();
        kill_stragglers(&supervisor, now_ms);
        start_due(&supervisor, now_ms);
    }
    (void)close(supervisor.socket); /* it never carried a byte */
    explicit_bzero(&supervisor.secret, sizeof supervisor.secret);
    log_info("all workers have ended", LOG_INT("code", supervisor.exit_code));
    return supervisor.exit_code;
}
