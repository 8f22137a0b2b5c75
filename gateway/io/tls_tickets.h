/**
 * The keys that session tickets are sealed with: a new one each period, and the two before it still open what they sealed.
 *
 * All follow from one secret, so processes that share it (workers of one port) open each other's tickets. The chain only goes
 * forward: what a process holds does not tell the keys of periods that are over for it. Pure: the clock is an argument.
 */
#ifndef SOPHIA_IO_TLS_TICKETS_H
#define SOPHIA_IO_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TLS_SECRET_BYTES = 32,
    TLS_TICKET_NAME_BYTES = 16,
    TLS_TICKET_PERIOD_MS = 3600000,
    TLS_TICKET_KEYS = 3,
};

/** Where a chain begins. */
struct tls_secret {
    uint64_t began_ms; /* monotonic: one clock for all processes of the machine */
    unsigned char bytes[TLS_SECRET_BYTES];
};

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_BYTES]; /* sent in clear in front of what is sealed */
    unsigned char cipher[TLS_SECRET_BYTES];    /* AES-256-CBC */
    unsigned char mac[TLS_SECRET_BYTES];       /* HMAC-SHA-256 */
};

struct tls_tickets {
    uint64_t began_ms;
    uint64_t period;                             /* of keys[0] */
    unsigned char chain[TLS_SECRET_BYTES];       /* what the next period follows from */
    struct tls_ticket_key keys[TLS_TICKET_KEYS]; /* the newest first */
    unsigned key_count;                          /* fewer in the first periods of a chain */
};

/** A secret of this process's own. False: the system has no randomness to give. */
bool tls_secret_make(struct tls_secret *out_secret, uint64_t now_ms);

/** Copies from the secret; the caller wipes its own. False when the library failed: no ticket may be sealed. */
bool tls_tickets_init(struct tls_tickets *tickets, const struct tls_secret *secret, uint64_t now_ms);
/** Wipes everything. */
void tls_tickets_finish(struct tls_tickets *tickets);

/** Bring the keys up to now; wipes what is too old. The time may stand still but not go back. False as for init. */
bool tls_tickets_turn(struct tls_tickets *tickets, uint64_t now_ms);

/** The key to seal with. */
const struct tls_ticket_key *tls_tickets_newest(const struct tls_tickets *tickets);
/** The key of this name, or NULL: too old, or not ours. */
const struct tls_ticket_key *tls_tickets_find(const struct tls_tickets *tickets,
                                              const unsigned char name[TLS_TICKET_NAME_BYTES]);

#endif
