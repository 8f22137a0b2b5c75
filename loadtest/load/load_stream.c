/* Viewer i comes from 127.1.0.1 + i / 1000: a thousand connections per address leave room for those that come back. */
#include "loadtest/load/load_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VIEWERS_PER_ADDRESS = 1000, FIRST_SOURCE = 0x7f010001 };

bool load_address_parse(const char *url, size_t length, struct load_address *out_address)
{
    static const char scheme[] = "http://";
    struct load_address address = {0};
    if (length <= sizeof scheme - 1 || strncmp(url, scheme, sizeof scheme - 1) != 0 ||
        length - (sizeof scheme - 1) >= sizeof address.host) {
        return false;
    }
    snprintf(address.host, sizeof address.host, "%.*s", (int)(length - (sizeof scheme - 1)),
             url + sizeof scheme - 1);
    address.host[strcspn(address.host, "/")] = '\0';
    char name[sizeof address.host];
    snprintf(name, sizeof name, "%s", address.host);
    char *colon = strchr(name, ':');
    if (!colon) {
        return false;
    }
    *colon = '\0';
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, colon + 1, &hints, &found) != 0) {
        return false;
    }
    memcpy(&address.at, found->ai_addr, sizeof address.at);
    freeaddrinfo(found);
    *out_address = address;
    return true;
}

static bool is_loopback(const struct load_address *address)
{
    return ntohl(address->at.sin_addr.s_addr) >> 24 == 127;
}

static bool prepare(int fd, const struct load_address *address, uint32_t number, int receive_bytes)
{
    const int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
        (receive_bytes > 0 &&
         setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) != 0)) {
        return false;
    }
    if (!is_loopback(address)) {
        return true;
    }
    const struct sockaddr_in source = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(FIRST_SOURCE + number / VIEWERS_PER_ADDRESS)};
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)&source, sizeof source) == 0;
}

bool load_stream_open(struct load_stream *stream, const struct load_address *address, uint32_t number,
                      int receive_bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    if (!prepare(fd, address, number, receive_bytes) ||
        (connect(fd, (const struct sockaddr *)&address->at, sizeof address->at) != 0 &&
         errno != EINPROGRESS)) {
        int problem = errno;
        (void)close(fd); /* nothing was written */
        errno = problem;
        return false;
    }
    stream->fd = fd;
    return true;
}

/* The kernel's stamp, by the clock that load_now_us() began with. */
static uint64_t stamp_of(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(part), sizeof at);
            return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
        }
    }
    return 0;
}

ssize_t load_stream_read(struct load_stream *stream, void *into, size_t size, uint64_t *out_received_us)
{
    struct iovec bytes = {.iov_base = into, .iov_len = size};
    alignas(struct cmsghdr) char stamp[CMSG_SPACE(sizeof(struct timespec))];
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = stamp, .msg_controllen = sizeof stamp};
    ssize_t got = recvmsg(stream->fd, &message, MSG_DONTWAIT);
    *out_received_us = got > 0 ? stamp_of(&message) : 0;
    return got;
}

ssize_t load_stream_write(struct load_stream *stream, const void *from, size_t length)
{
    return send(stream->fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void load_stream_close(struct load_stream *stream)
{
    if (stream->fd >= 0) {
        (void)close(stream->fd); /* whoever closes does not care what is left in it */
        stream->fd = -1;
    }
}
