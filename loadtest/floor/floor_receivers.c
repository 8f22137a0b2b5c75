/*
 * The receiving end: one process, one epoll, one buffer for all, because what arrives is only counted.
 *
 * Real viewers are on other machines. Here they share the processors, and a receiver that is woken for every message
 * would have the sender pay for the wake-up: so it rests between two looks, as the load generator does.
 */
#include "loadtest/floor/floor_receivers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    BUFFER_BYTES = 65536,
    REST_NS = 500000,
    LOOK_MS = 20,
    VIEWERS_PER_ADDRESS =
        20000, /* the kernel gives out about 28,000 ports per address unless told otherwise */
    SILENCE_MS = 10000,
};

static void receiver_die(const char *what)
{
    fprintf(stderr, "floor: receiver: %s: %s\n", what, strerror(errno));
    _exit(EXIT_FAILURE);
}

static int receiver_connect(size_t viewer, const struct sockaddr_in *address)
{
    const int on = 1;
    const struct timeval deadline = {.tv_sec = SILENCE_MS / 1000};
    const struct sockaddr_in own = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(viewer / VIEWERS_PER_ADDRESS)),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The port is chosen by connect(), which knows the other end, and not by bind(), which would need one of its own. */
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) != 0 ||
        bind(fd, (const struct sockaddr *)&own, sizeof own) != 0 ||
        connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        receiver_die("connect");
    }
    return fd;
}

static void receiver_read(struct floor_received *received, size_t viewer, int fd)
{
    static char buffer[BUFFER_BYTES];
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
        received->each[viewer] += (uint64_t)got;
        atomic_fetch_add_explicit(&received->bytes, (uint64_t)got, memory_order_release);
    } else if (got == 0) {
        _exit(EXIT_SUCCESS); /* the sender is done */
    } else if (errno != EAGAIN) {
        receiver_die("recv");
    }
}

static _Noreturn void receiver_run(const struct floor_receivers *receivers, const struct floor_way *way,
                                   void *state, const struct sockaddr_in *address)
{
    int *fds = calloc(receivers->viewers, sizeof *fds);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!fds || epoll < 0) {
        receiver_die("start");
    }
    for (size_t i = 0; i < receivers->viewers; i++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = i};
        fds[i] = receiver_connect(i, address);
        if (way->meet && !way->meet(state, fds[i])) {
            _exit(EXIT_FAILURE);
        }
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &wanted) != 0) {
            receiver_die("epoll_ctl");
        }
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        const struct timespec rest = {.tv_nsec = REST_NS};
        int count = epoll_wait(epoll, events, EVENTS, LOOK_MS);
        for (int i = 0; i < count; i++) {
            receiver_read(receivers->received, events[i].data.u64, fds[events[i].data.u64]);
        }
        if (count < EVENTS) {
            nanosleep(&rest, NULL);
        }
    }
}

bool floor_receivers_init(struct floor_receivers *receivers, size_t viewers, const struct floor_way *way,
                          void *state, const struct sockaddr_in *address)
{
    size_t size = sizeof(struct floor_received) + viewers * sizeof(uint64_t);
    struct floor_received *received =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (received == MAP_FAILED) {
        fprintf(stderr, "floor: out of memory\n");
        return false;
    }
    *receivers = (struct floor_receivers){.viewers = viewers, .received = received};
    pid_t parent = getpid();
    receivers->pid = fork();
    if (receivers->pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
            _exit(EXIT_FAILURE);
        }
        receiver_run(receivers, way, state, address);
    }
    if (receivers->pid < 0) {
        fprintf(stderr, "floor: fork: %s\n", strerror(errno));
        munmap(received, size);
        return false;
    }
    return true;
}

bool floor_receivers_run(const struct floor_receivers *receivers)
{
    siginfo_t end = {0};
    return waitid(P_PID, (id_t)receivers->pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == 0;
}

bool floor_receivers_wait(const struct floor_receivers *receivers, uint64_t bytes)
{
    const struct timespec rest = {.tv_nsec = 1000000};
    uint64_t last = 0;
    for (int silent_ms = 0; silent_ms < SILENCE_MS; silent_ms++) {
        uint64_t got = atomic_load_explicit(&receivers->received->bytes, memory_order_acquire);
        if (got >= bytes) {
            return got == bytes;
        }
        if (!floor_receivers_run(receivers)) {
            return false;
        }
        silent_ms = got == last ? silent_ms : 0;
        last = got;
        nanosleep(&rest, NULL);
    }
    return false;
}

void floor_receivers_finish(struct floor_receivers *receivers)
{
    if (receivers->received) {
        (void)kill(receivers->pid, SIGKILL); /* it may have ended already; it is still ours to wait for */
        (void)waitpid(receivers->pid, NULL, 0);
        munmap(receivers->received, sizeof(struct floor_received) + receivers->viewers * sizeof(uint64_t));
        receivers->received = NULL;
    }
}
