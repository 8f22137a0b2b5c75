/*
 * The socket of an exchange, plain or under TLS: reading, writing, and the end of output are the same to callers.
 */
#include "io/exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static ssize_t read_tls(struct http_exchange *exchange, void *to, size_t size)
{
    size_t length = 0;
    exchange->tls_wants = 0;
    switch (tls_read(exchange->tls, to, size, &length)) {
    case TLS_DONE:
        return (ssize_t)length;
    case TLS_WANTS_WRITE: /* to answer the peer's new key: reading goes on after that */
        exchange->tls_wants = LOOP_WRITABLE;
        errno = EAGAIN;
        return -1;
    case TLS_WANTS_READ:
        errno = EAGAIN;
        return -1;
    case TLS_CLOSED:
        return 0;
    case TLS_FAILED:
        break;
    }
    errno = EPROTO;
    return -1;
}

ssize_t exchange_read(struct http_exchange *exchange, void *to, size_t size)
{
    /* What comes while lingering is dropped: no use to decrypt it. */
    if (exchange->tls != NULL && exchange->state != LINGERING) {
        return read_tls(exchange, to, size);
    }
    return recv(exchange->fd, to, size, MSG_DONTWAIT);
}

/** The pieces become one record, up to its size: a record costs a system call. */
static ssize_t write_tls(struct http_exchange *exchange, const struct msghdr *message)
{
    char record[TLS_RECORD_MAX_BYTES];
    size_t length = 0, taken = 0;
    for (size_t i = 0; i < message->msg_iovlen && length < sizeof record; i++) {
        size_t room = sizeof record - length;
        size_t piece = message->msg_iov[i].iov_len < room ? message->msg_iov[i].iov_len : room;
        if (piece > 0) { /* an empty one has no address */
            memcpy(record + length, message->msg_iov[i].iov_base, piece);
            length += piece;
        }
    }
    switch (tls_write(exchange->tls, record, length, &taken)) {
    case TLS_DONE:
        return (ssize_t)taken;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE:
        errno = EAGAIN;
        return taken > 0 ? (ssize_t)taken : -1;
    case TLS_CLOSED:
    case TLS_FAILED:
        break;
    }
    errno = EPIPE;
    return -1;
}

ssize_t exchange_write(struct http_exchange *exchange, const struct msghdr *message)
{
    return exchange->tls != NULL ? write_tls(exchange, message)
                                 : sendmsg(exchange->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool exchange_end_output(struct http_exchange *exchange)
{
    if (exchange->tls != NULL) {
        tls_say_goodbye(exchange->tls);
    }
    return shutdown(exchange->fd, SHUT_WR) == 0;
}
