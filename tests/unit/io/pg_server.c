/* See pg_server.h. */
#include "pg_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char hba[] = "host  all outsider 127.0.0.1/32 reject\n"
                          "host  all postgres 127.0.0.1/32 trust\n"
                          "local all postgres              trust\n"
                          "host  all all      127.0.0.1/32 scram-sha-256\n";

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* The child that will be a server: unprivileged, silent, and gone when the test is. */
static void become_server(const char *directory)
{
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
        _exit(126);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open("/dev/null", O_RDWR);
    (void)dup2(log, 0);
    (void)dup2(log, 1);
    (void)dup2(log, 2);
    if (chdir(directory) != 0) {
        _exit(126);
    }
    unsetenv("LD_PRELOAD");
}

static pid_t spawn(const char *directory, const char *const *arguments)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        become_server(directory);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    return pid;
}

static int run(const char *directory, const char *const *arguments)
{
    int status = -1;
    pid_t pid = spawn(directory, arguments);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Debian keeps the server's programs out of PATH. */
static const char *program(const char *name, char out[96])
{
    for (int version = 20; version >= 13; version--) {
        (void)snprintf(out, 96, "/usr/lib/postgresql/%d/bin/%s", version, name);
        if (access(out, X_OK) == 0) {
            return out;
        }
    }
    (void)snprintf(out, 96, "%s", name);
    return out;
}

static void write_file(const struct pg_server_process *server, const char *name, const char *mode,
                       const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data/%s", server->directory, name);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int psql(const struct pg_server_process *server, const char *sql)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", server->port);
    const char *const arguments[] = {"psql",     "-X", "-q",       "-h", server->directory, "-p", port, "-U",
                                     "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql,  NULL};
    return run("/", arguments);
}

static void wait_for_server(const struct pg_server_process *server)
{
    for (int i = 0; i < 150; i++) {
        if (psql(server, "select 1") == 0) {
            return;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    fail_msg("the private PostgreSQL did not come up");
}

static void launch(struct pg_server_process *server)
{
    char path[96];
    const char *const arguments[] = {program("postgres", path), "-D", "data", NULL};
    server->pid = spawn(server->directory, arguments);
    wait_for_server(server);
}

static void halt(struct pg_server_process *server)
{
    if (server->pid > 0) {
        (void)kill(server->pid, SIGINT);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

void pg_server_start(struct pg_server_process *server)
{
    char path[96], settings[512];
    *server = (struct pg_server_process){.directory = "/tmp/sophia-pg-XXXXXX", .port = free_port()};
    assert_non_null(mkdtemp(server->directory));
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    assert_true(!user || chown(server->directory, user->pw_uid, user->pw_gid) == 0);
    const char *const arguments[] = {
        program("initdb", path), "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
        "--locale=C.UTF-8",      NULL};
    assert_int_equal(run(server->directory, arguments), 0);
    (void)snprintf(settings, sizeof settings,
                   "port = %u\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\nfsync = off\n"
                   "shared_buffers = '8MB'\nmax_connections = 20\n",
                   server->port, server->directory);
    write_file(server, "postgresql.conf", "a", settings);
    write_file(server, "pg_hba.conf", "w", hba);
    launch(server);
}

void pg_server_restart(struct pg_server_process *server, bool as_standby)
{
    char path[128];
    halt(server);
    (void)snprintf(path, sizeof path, "%s/data/standby.signal", server->directory);
    if (as_standby) {
        write_file(server, "standby.signal", "w", "");
    } else {
        (void)unlink(path);
    }
    launch(server);
}

void pg_server_halt(struct pg_server_process *server)
{
    halt(server);
}

void pg_server_resume(struct pg_server_process *server)
{
    launch(server);
}

void pg_server_sql(const struct pg_server_process *server, const char *sql)
{
    assert_int_equal(psql(server, sql), 0);
}

void pg_server_remove(struct pg_server_process *server)
{
    halt(server);
    const char *const arguments[] = {"rm", "-rf", server->directory, NULL};
    assert_int_equal(run("/", arguments), 0);
    (void)rmdir(server->directory); /* its parent may be root's */
}

/* ---- the fake ---- */

static void *fake_serve(void *context)
{
    const struct fake_pg *fake = context;
    int held[32];
    size_t count = 0;
    for (;;) {
        int fd = accept(fake->listening, NULL, NULL);
        if (fd < 0 || count == sizeof held / sizeof *held) {
            break;
        }
        char packet[4096];
        if (read(fd, packet, sizeof packet) > 0) {
            (void)!write(fd, fake->answer, fake->length);
        }
        held[count++] = fd;
    }
    while (count > 0) {
        close(held[--count]);
    }
    return NULL;
}

void fake_pg_start(struct fake_pg *fake, const char *answer, size_t length)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *fake = (struct fake_pg){.answer = answer, .length = length};
    fake->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fake->listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listening, 16), 0);
    assert_int_equal(getsockname(fake->listening, (struct sockaddr *)&address, &size), 0);
    fake->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_serve, fake), 0);
}

void fake_pg_stop(struct fake_pg *fake)
{
    (void)shutdown(fake->listening, SHUT_RDWR); /* ends accept() */
    (void)pthread_join(fake->thread, NULL);
    close(fake->listening);
}
