#ifndef SOPHIA_LOADTEST_FLOOR_FLOOR_WAYS_H
#define SOPHIA_LOADTEST_FLOOR_FLOOR_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum floor_result {
    FLOOR_OK,
    FLOOR_UNAVAILABLE, /* this machine, or this build, cannot */
    FLOOR_FAILED,      /* said on stderr */
};

/**
 * One way to put the same bytes into many sockets, with nothing around it: what a gateway's own way is compared with.
 * open, join and round belong to the sending process, meet to the receiving one.
 */
struct floor_way {
    const char *name;
    /** Once, before the receivers are started; *out_state is handed to all others. */
    enum floor_result (*open)(size_t viewers, void **out_state);
    /** The sender's part of a new, still blocking connection. NULL: there is none. */
    bool (*join)(void *state, size_t viewer, int fd);
    /** The receiver's part of it; afterwards its bytes are only counted. NULL: there is none. */
    bool (*meet)(void *state, int fd);
    /**
     * One message to each viewer. A socket that takes only part of it, or nothing now, is counted in *partial and
     * waited for.
     *
     * Result: false when a connection broke or stayed shut; said on stderr.
     */
    bool (*round)(void *state, const int *fds, size_t viewers, const void *message, size_t length,
                  uint64_t *partial);
    /** How many bytes a message of this length is on the wire. */
    size_t (*wire_bytes)(size_t length);
    void (*close)(void *state);
};

extern const struct floor_way floor_send;
extern const struct floor_way floor_uring;
extern const struct floor_way floor_tls;

/** Sends the rest of a message, waiting as long as it takes, but not for a receiver that has stopped. */
bool floor_finish(int fd, const char *rest, size_t length);

/** Waits until a socket takes bytes again; false, said on stderr, when it does not. */
bool floor_wait_writable(int fd);

/** wire_bytes of a way that adds none. */
size_t floor_plain_bytes(size_t length);

/** What a TLS handshake costs the server, without any socket: medians. */
struct floor_handshakes {
    double full_us;    /* processor time of one that makes new keys from the certificate */
    double resumed_us; /* of one that resumes from a ticket */
};

/** Makes `rounds` >= 1 handshakes of each kind in memory, by turns; false, said on stderr, when one of them failed. */
bool floor_handshakes_measure(size_t rounds, struct floor_handshakes *out_handshakes);

#endif
