/**
 * The insides of struct http_exchange, for http.c (its life, reading), admission.c (what is let through to a
 * route), http_answer.c (answers, streams) and http_socket.c (plain or TLS). Nobody else includes it.
 */
#ifndef SOPHIA_IO_EXCHANGE_H
#define SOPHIA_IO_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "io/connection.h"
#include "io/request.h"
#include "protocol/bytes.h"

enum {
    PATH_PARTS_MAX = 4,
    HELD_MAX_BYTES = 64 << 20, /* of each kind, of all peers; more is refused, except what is small */
    HELD_SMALL_BYTES = 16384,  /* never refused for that: the number of connections bounds it */
    LINGER_MS = 1000,
};

/*
 * READING_PROXY_HEADER -> SHAKING_HANDS | READING_HEAD | WRITING (too many connections) | DEAD
 * SHAKING_HANDS (TLS) -> READING_HEAD | HANDLING (plain HTTP instead, to be refused) | DEAD
 * READING_HEAD -> READING_BODY -> HANDLING -> WRITING -> READING_HEAD | LINGERING | DEAD
 *                                 HANDLING -> STREAMING -> WRITING | DEAD
 * HANDLING -> GONE (the peer left, nobody asked to be told; the answer will be dropped) -> DEAD
 */
enum exchange_state {
    READING_PROXY_HEADER,
    SHAKING_HANDS,
    READING_HEAD,
    READING_BODY,
    HANDLING,
    WRITING,
    STREAMING,
    LINGERING,
    GONE,
    DEAD
};

struct http_exchange {
    struct listener *listener;
    struct list_node node; /* in listener->exchanges */
    int fd;
    struct tls_connection *tls; /* owned, over fd; NULL: plain */
    int tls_wants;          /* set of enum loop_event that the TLS connection waits for to go on reading */
    struct ip_address peer; /* the other end of the connection, as a PROXY header names it if there is one */
    bool peer_is_proxy;     /* one we trust: its requests say whom they are for */
    struct ip_address client; /* of the request: whose limits, logs and loopback rules it goes by */
    struct address *address;  /* where that is counted; NULL: not */
    struct loop_watch *watch; /* NULL while the first input is taken */
    int watched;              /* set of enum loop_event */
    enum exchange_state state;
    enum connection_kind kind;
    struct deadline deadline;
    struct loop_deferred deferred;

    struct bytes in; /* read, not consumed */
    size_t scanned;  /* of in, without the end of a head */
    bool has_begun;  /* a request: perhaps only an empty line before it, but its time runs */
    bool has_eof;

    struct request *request;        /* owned; NULL between requests */
    const struct http_route *route; /* NULL when refused here */
    bool is_head;
    bool must_close;
    char *parts_text; /* owned; what part points into */
    const char *parts[PATH_PARTS_MAX];
    unsigned part_count;
    char *body; /* owned */
    size_t body_length;
    size_t body_expected;
    uint64_t complete_us; /* when the request was complete */
    struct bytes extra;   /* headers set by the handler */
    unsigned extra_count;
    char client_text[IP_ADDRESS_TEXT_BYTES]; /* filled on demand */

    struct bytes out; /* copied bytes to send */
    size_t out_sent;
    const char *borrowed; /* after out: a static body's rest */
    size_t borrowed_length;

    void (*on_gone)(void *owner);
    struct http_stream_events events;
    bool is_stream_told; /* on_closed was called or nobody is to be told */
    bool wants_writable;
    void *owner;
    size_t lingered;
    size_t held_bytes[HELD_COUNT]; /* counted in listener->held_bytes */
};

/* http.c */

/** The end, whatever the reason. Freed at the end of the turn; a stream's owner is told then. */
void exchange_die(struct http_exchange *exchange);
/** Give up the socket, for somebody else to own: sets fd, tls and address. The exchange ends with this turn. */
void exchange_release_socket(struct http_exchange *exchange, struct ws_handshake *out_handshake);
/** Look at the exchange again at the end of the turn. */
void exchange_later(struct http_exchange *exchange);
/** Count bytes that are kept for this peer until its answer is complete. */
void exchange_hold(struct http_exchange *exchange, enum held held, size_t bytes);
/** Watch the socket for what the state and the buffers want. */
void exchange_update_watch(struct http_exchange *exchange);
/** Replaces the deadline before. */
void exchange_arm(struct http_exchange *exchange, uint64_t delay_ms);
/** All of the answer is sent: on to the next request, or to the end of the connection. */
void exchange_finish_answer(struct http_exchange *exchange);

/* http_answer.c */

static inline bool exchange_has_output(const struct http_exchange *exchange)
{
    return exchange->out_sent < exchange->out.length || exchange->borrowed_length > 0;
}
/** Send what is pending. False when the connection died. */
bool exchange_flush(struct http_exchange *exchange);
/**
 * Refuse before a route has it. must_close: what follows on the connection cannot be trusted or
 * is not read.
 */
void exchange_refuse(struct http_exchange *exchange, enum refusal refusal, int status, const char *code,
                     const char *detail, bool must_close);
/** 503 with Retry-After: HELD_MAX_BYTES is reached. */
void exchange_refuse_overloaded(struct http_exchange *exchange, const char *detail);

/* http_socket.c */

/** As recv(): -1 with errno, 0 at the end. Sets tls_wants. */
ssize_t exchange_read(struct http_exchange *exchange, void *to, size_t size);
/** As sendmsg(). */
ssize_t exchange_write(struct http_exchange *exchange, const struct msghdr *message);
/** Nothing more will be sent. False when the connection is gone. */
bool exchange_end_output(struct http_exchange *exchange);

/* admission.c */

/** Count the connection for exchange->client, which is not counted yet. False: there are too many, it was refused. */
bool exchange_count_client(struct http_exchange *exchange);
/** Take tokens of the client's rate. False: there are none, it was refused. */
bool exchange_take_rate(struct http_exchange *exchange, uint32_t tokens, bool must_close);
/**
 * The head is parsed: check framing, upgrade, route and expectation.
 *
 * Returns true when the body should be read for exchange->route; false when it
 * was refused, became a WebSocket, or died.
 */
bool exchange_admit(struct http_exchange *exchange);

#endif
