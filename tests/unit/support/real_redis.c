/* See real_redis.h. */
#include "real_redis.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORDS = 40 };

static uint16_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static int dial(const struct real_redis *redis)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(redis->port)};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    const struct timeval limit = {.tv_sec = 5};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void launch(struct real_redis *redis, const char *const *extra)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", redis->port);
    const char *words[MAX_WORDS] = {
        "redis-server", "--port", port,           "--bind",         "127.0.0.1", "--save",        "",
        "--appendonly", "no",     "--unixsocket", redis->unix_path, "--dir",     redis->directory};
    size_t count = 13;
    for (size_t i = 0; extra != NULL && extra[i] != NULL; i++) {
        assert_true(count + 1 < MAX_WORDS);
        words[count++] = extra[i];
    }
    words[count] = NULL;
    redis->pid = fork();
    assert_true(redis->pid >= 0);
    if (redis->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left behind when the test dies */
        int quiet = open("/dev/null", O_WRONLY);
        (void)dup2(quiet, STDOUT_FILENO);
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        int fd = dial(redis);
        if (fd >= 0) {
            (void)close(fd);
            return;
        }
        const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    fail_msg("redis-server did not start");
}

void real_redis_start(struct real_redis *redis, const char *const *extra)
{
    (void)snprintf(redis->directory, sizeof redis->directory, "/tmp/sophia-redis-XXXXXX");
    assert_non_null(mkdtemp(redis->directory));
    (void)snprintf(redis->unix_path, sizeof redis->unix_path, "%s/redis.sock", redis->directory);
    redis->port = free_port();
    launch(redis, extra);
}

void real_redis_restart(struct real_redis *redis, const char *const *extra)
{
    launch(redis, extra);
}

void real_redis_kill(struct real_redis *redis)
{
    if (redis->pid > 0) {
        (void)kill(redis->pid, SIGCONT);
        (void)kill(redis->pid, SIGKILL);
        (void)waitpid(redis->pid, NULL, 0);
        redis->pid = 0;
    }
}

void real_redis_stop(struct real_redis *redis)
{
    real_redis_kill(redis);
    char dump[96];
    (void)snprintf(dump, sizeof dump, "%s/dump.rdb", redis->directory); /* a replica keeps what it was sent */
    (void)unlink(dump);
    (void)unlink(redis->unix_path);
    (void)rmdir(redis->directory);
}

const char *real_redis_ask(const struct real_redis *redis, const char *const *words)
{
    static char reply[65536];
    static char command[65536];
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    int length = snprintf(command, sizeof command, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        length += snprintf(command + length, sizeof command - (size_t)length, "$%zu\r\n%s\r\n",
                           strlen(words[i]), words[i]);
        assert_true((size_t)length < sizeof command);
    }
    int fd = dial(redis);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, command, (size_t)length, 0), length);
    ssize_t got = recv(fd, reply, sizeof reply - 1, 0); /* short replies arrive whole on loopback */
    assert_true(got > 0);
    reply[got] = '\0';
    (void)close(fd);
    return reply;
}
