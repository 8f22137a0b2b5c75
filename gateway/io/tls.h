/**
 * TLS of a port, by OpenSSL: certificates, ticket keys, and one object per connection that shakes hands, reads and
 * writes on a non-blocking socket. Nobody else includes OpenSSL for that.
 *
 * TLS 1.2 and 1.3, AEAD ciphers with ephemeral keys only, HTTP/1.1 by ALPN, no compression, no renegotiation, no early data.
 * Sessions are resumed by stateless tickets (tls_tickets.h).
 *
 * Loop: loop thread. The process ignores SIGPIPE.
 */
#ifndef SOPHIA_IO_TLS_H
#define SOPHIA_IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "io/tls_tickets.h"
#include "protocol/result.h"

struct tls;
struct tls_connection;

enum { TLS_RECORD_MAX_BYTES = 16384, TLS_PROBLEM_BYTES = 256, TLS_PAIRS_MAX = 17 };

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* A certificate and its key, in files. */

struct tls_pair {
    const char *certificate_file; /* PEM: the certificate, then those that lead to a root */
    const char *key_file;         /* PEM, without a passphrase */
};

enum tls_pair_fault { TLS_PAIR_OK, TLS_PAIR_CERTIFICATE, TLS_PAIR_KEY, TLS_PAIR_MISMATCH };

struct tls_pair_check {
    enum tls_pair_fault fault;
    char problem[TLS_PROBLEM_BYTES]; /* of the fault: what is wrong, for a person; never what is in the key */
    int64_t begins_s, expires_s;     /* Unix time: when all of the chain is valid */
};

/** Are these usable? Reads the files. The times are told, not judged. */
void tls_pair_check(const struct tls_pair *pair, struct tls_pair_check *out_check);

/** Does the file hold certificates that those of clients can lead to? False: out_problem says what is wrong, for a person. */
bool tls_client_ca_check(const char *path, char out_problem[TLS_PROBLEM_BYTES]);

/* A port. */

struct tls_options {
    struct tls_pair pair; /* strings borrowed, as those of the next */
    const struct tls_pair
        *more;         /* for clients that ask for one of their DNS names (SNI); all others get `pair` */
    size_t more_count; /* less than TLS_PAIRS_MAX */
    enum tls_version min_version;
    const char *
        client_ca_file; /* PEM: clients must show a certificate that leads to one of these; NULL: none is asked for */
    struct tls_secret secret;       /* copied */
    uint64_t (*monotonic_ms)(void); /* the clock of the ticket keys */
};

/** Errors: NULL, after logging why. */
struct tls *tls_create(const struct tls_options *options, struct metrics *metrics);
/** Every connection must have been closed before. NULL is allowed. */
void tls_destroy(struct tls *tls);

/**
 * Read the files again: new connections get what they hold, those that are open go on with what they have.
 * Result: false when any of them cannot be used, or has expired: the ones before stay. Logged and counted.
 */
bool tls_reload(struct tls *tls);

/**
 * What time changes: ticket keys, and the days left. Files that have changed, and not again for two seconds, are read again: call it
 * every few seconds.
 */
void tls_tick(struct tls *tls);

/* A connection. */

enum tls_result {
    TLS_DONE,
    TLS_WANTS_READ,  /* call again when the socket is readable */
    TLS_WANTS_WRITE, /* call again when the socket is writable */
    TLS_CLOSED,      /* the peer is done, or gone */
    TLS_FAILED,      /* counted; nothing more can be read or written */
};

/** fd is the caller's, and stays it. NULL when memory ran out. */
struct tls_connection *tls_accept(struct tls *tls, int fd);
/** Frees; says nothing to the peer. NULL is allowed. */
void tls_close(struct tls_connection *connection);

/** Go on with the handshake. */
MUST_CHECK enum tls_result tls_handshake(struct tls_connection *connection);
/** The handshake failed because the client speaks HTTP without TLS: the socket is good for an answer. */
bool tls_met_plain_http(const struct tls_connection *connection);
/** It did not come to an end in time: counted. */
void tls_gave_up(struct tls_connection *connection);

/** At most one record. With size >= TLS_RECORD_MAX_BYTES nothing stays behind that the socket does not show. */
MUST_CHECK enum tls_result tls_read(struct tls_connection *connection, void *to, size_t size,
                                    size_t *out_length);
/** Bytes of a record that was read in part: they are there without the socket being readable. */
bool tls_has_input(const struct tls_connection *connection);

/**
 * Write until all is taken or the socket takes no more. length > 0.
 * Needs:  after anything but DONE, the next call begins with the same bytes from *out_taken on; it may have more.
 */
MUST_CHECK enum tls_result tls_write(struct tls_connection *connection, const void *from, size_t length,
                                     size_t *out_taken);

/** Tell the peer that no more comes, if the socket takes it now. Write nothing afterwards. */
void tls_say_goodbye(struct tls_connection *connection);

/** Sec-WebSocket-Accept of a Sec-WebSocket-Key (RFC 6455, 4.2.2); TLS_ACCEPT_BYTES with the NUL. False when the library failed. */
enum { TLS_ACCEPT_BYTES = 29 };
bool tls_websocket_accept(const char *key, char out_accept[TLS_ACCEPT_BYTES]);

#endif
