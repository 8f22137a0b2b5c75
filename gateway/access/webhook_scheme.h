/**
 * How each provider signs, and how its deliveries are made: one row each. For webhook*.c.
 */
#ifndef SOPHIA_ACCESS_WEBHOOK_SCHEME_H
#define SOPHIA_ACCESS_WEBHOOK_SCHEME_H

#include <stdbool.h>
#include <stdint.h>

#include "access/webhook.h"

enum webhook_proof {
    PROOF_HMAC,     /* of `signs`, keyed with the secret */
    PROOF_HASH,     /* of `signs`, which holds the secret */
    PROOF_JWT,      /* RS256, claims about address and body */
    PROOF_TOKEN,    /* the secret itself, in a header */
    PROOF_PASSCODE, /* the secret itself, in the body */
};

enum { WEBHOOK_ID_MEMBERS_MAX = 4 };

struct webhook_scheme {
    enum webhook_proof proof;
    const char *digest;             /* OpenSSL's name; NULL: none */
    enum webhook_encoding encoding; /* of the signature; hexadecimal in lower case */
    const char *signature_header;   /* lower case, as all headers here; NULL: the proof is in the body */
    const char *prefix;             /* of each signature; "" for none */
    bool is_list;                   /* several signatures in the header, separated by blanks */
    bool has_coded_secret;          /* base64, with or without "whsec_" in front */
    /** What is signed: %b body, %t time as it was sent, %i id, %m method, %u address, %s secret; the rest is itself. */
    const char *signs;
    bool decodes_url; /* some percent-encoded letters of the address are signed decoded */

    const char *time_header; /* NULL: none */
    const char *time_member; /* JSON pointer into the signed body; NULL: none */
    int64_t time_unit_ms;    /* 1000 for seconds */
    int64_t window_ms;       /* how far the time may lie from ours, either way */

    /* A genuine delivery. */
    const char *id_header; /* names it; the same when it is sent again */
    const char *events;    /* JSON pointer to its array of events; NULL: the body is one */
    const char *id_members[WEBHOOK_ID_MEMBERS_MAX]; /* JSON pointers into an event that together name it */
    const char *type_header, *type_member;          /* what kind of event */
};

extern const struct webhook_scheme webhook_schemes[WEBHOOK_PROVIDER_COUNT];

/** The row of this webhook, with what its options change. */
const struct webhook_scheme *webhook_scheme(const struct webhook *webhook);
enum webhook_provider webhook_provider(const struct webhook *webhook);

#endif
