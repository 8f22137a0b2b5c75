/* Only answers with a Content-Length are understood, which is what the gateway gives. */
#include "loadtest/load/load_http.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_S = 10, REQUEST_HEAD_BYTES = 1024 };

void load_http_init(struct load_http *http, const struct load_address *address)
{
    *http = (struct load_http){.address = *address, .fd = -1};
    bytes_init(&http->answer, LOAD_HTTP_ANSWER_MAX_BYTES);
}

static void disconnect(struct load_http *http)
{
    if (http->fd >= 0) {
        (void)close(http->fd); /* nobody waits for what is in it */
        http->fd = -1;
    }
}

void load_http_finish(struct load_http *http)
{
    disconnect(http);
    bytes_finish(&http->answer);
}

static bool connect_now(struct load_http *http)
{
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    const int on = 1;
    http->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (http->fd < 0) {
        return false;
    }
    if (setsockopt(http->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(http->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(http->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        connect(http->fd, (const struct sockaddr *)&http->address.at, sizeof http->address.at) != 0) {
        disconnect(http);
        return false;
    }
    return true;
}

static bool send_whole(int fd, const char *at, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

bool load_http_send(struct load_http *http, const char *path, const char *key, const struct bytes *body)
{
    struct bytes request;
    bytes_init(&request, REQUEST_HEAD_BYTES + (body ? body->length : 0));
    bytes_append_format(&request, "%s %s HTTP/1.1\r\nHost: %s\r\n", body ? "POST" : "GET", path,
                        http->address.host);
    if (key) {
        bytes_append_format(&request, "Authorization: Bearer %s\r\n", key);
    }
    if (body) {
        bytes_append_format(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                            body->length);
    }
    bytes_append_text(&request, "\r\n");
    if (body) {
        bytes_append(&request, body->at, body->length);
    }
    bool is_sent = !bytes_failed(&request) && (http->fd >= 0 || connect_now(http)) &&
                   send_whole(http->fd, request.at, request.length);
    bytes_finish(&request);
    if (!is_sent) {
        disconnect(http);
    }
    return is_sent;
}

/** Once the head is there: what the whole answer is long; 0 until then. */
static size_t whole_length(struct load_http *http)
{
    const char *end = memmem(http->answer.at, http->answer.length, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    size_t head = (size_t)(end - http->answer.at) + 4;
    const char *length = strcasestr(http->answer.at, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + sizeof "\r\ncontent-length:" - 1, NULL, 10) : 0;
    const char *status = memchr(http->answer.at, ' ', head);
    http->status = status ? atoi(status + 1) : 0;
    http->body_length = body;
    return head + body;
}

bool load_http_receive(struct load_http *http)
{
    char piece[65536];
    bytes_clear(&http->answer);
    http->status = 0;
    for (size_t whole = 0; http->fd >= 0 && (whole == 0 || http->answer.length < whole);) {
        ssize_t got = recv(http->fd, piece, sizeof piece, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            disconnect(http);
            return false;
        }
        bytes_append(&http->answer, piece, (size_t)got);
        /* A text for strcasestr(), and at the end for whoever reads it. */
        bytes_append_byte(&http->answer, '\0');
        if (bytes_failed(&http->answer)) {
            disconnect(http);
            return false;
        }
        http->answer.length--;
        whole = whole_length(http);
    }
    http->body = http->fd >= 0 ? http->answer.at + http->answer.length - http->body_length : "";
    return http->fd >= 0;
}
