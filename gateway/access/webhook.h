/**
 * Is this webhook from whom it claims to be? Raw bytes in, a verdict out.
 *
 * One row of webhook_scheme.c says how a provider signs. A webhook is checked against every secret it was given, so
 * that secrets can be rotated: what is signed with any of them is genuine. Nothing is parsed before it is verified,
 * except where the proof itself stands in the body (Figma).
 *
 * Loop: loop thread; pure: no clock, no log, no file.
 */
#ifndef SOPHIA_ACCESS_WEBHOOK_H
#define SOPHIA_ACCESS_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/result.h"

enum webhook_provider {
    WEBHOOK_GITHUB,
    WEBHOOK_SLACK,
    WEBHOOK_HUBSPOT,    /* version 3 of its signatures */
    WEBHOOK_HUBSPOT_V2, /* without a time: can be replayed once it is forgotten */
    WEBHOOK_HUBSPOT_V1, /* likewise */
    WEBHOOK_LINEAR,
    WEBHOOK_GONG,
    WEBHOOK_ASANA,
    WEBHOOK_VERCEL,
    WEBHOOK_FIGMA,
    WEBHOOK_STANDARD, /* standardwebhooks.com */
    WEBHOOK_HMAC,     /* anybody who signs the body with HMAC-SHA256 */
    WEBHOOK_BEARER,   /* anybody who can only send a fixed token */
    WEBHOOK_PROVIDER_COUNT
};

/** By provider, and NULL at the end: the words of the configuration. */
extern const char *const webhook_provider_words[WEBHOOK_PROVIDER_COUNT + 1];

enum webhook_encoding { WEBHOOK_HEX, WEBHOOK_BASE64, WEBHOOK_ENCODING_COUNT };
extern const char *const webhook_encoding_words[WEBHOOK_ENCODING_COUNT + 1];

enum { WEBHOOK_SECRETS_MAX = 4, WEBHOOK_SECRET_MAX_BYTES = 8192, WEBHOOK_KEY_BYTES = 32 };

struct webhook_options {
    enum webhook_provider provider;
    const char *const *secrets; /* newest first; text as the provider shows it; Gong: the public key */
    size_t secret_count;        /* at least 1, for Asana also 0: it brings its own */
    const char *public_url;     /* as the sender calls us; NULL unless webhook_needs_url() */
    /* Only WEBHOOK_HMAC and WEBHOOK_BEARER; NULL takes what webhook_scheme.c says. */
    const char *signature_header;
    const char *signature_prefix;   /* HMAC: in front of the signature, such as "sha256=" */
    enum webhook_encoding encoding; /* HMAC */
    const char *time_header;        /* HMAC: Unix seconds; then "TIME.BODY" is signed */
    const char *id_header;          /* names a delivery, whoever sends it again */
};

/** What a peer sent. Everything is borrowed. */
struct webhook_request {
    const char *method;
    const void *body; /* the bytes as they came */
    size_t body_length;
    /** The first header of this lower-case name, or NULL; how many there are. */
    const char *(*header)(void *context, const char *name, unsigned *out_count);
    void *context;
};

enum webhook_reason {
    WEBHOOK_GENUINE,
    WEBHOOK_MISSING_HEADER,
    WEBHOOK_REPEATED_HEADER, /* which of the two would be meant? */
    WEBHOOK_MALFORMED_PROOF, /* a token or body without the form that the proof needs */
    WEBHOOK_MALFORMED_TIME,
    WEBHOOK_WRONG_SIGNATURE, /* token and passcode included */
    WEBHOOK_WRONG_ALGORITHM, /* Gong: not RS256 */
    WEBHOOK_WRONG_CLAIM,     /* Gong: of another address or another body */
    WEBHOOK_TOO_OLD,
    WEBHOOK_TOO_NEW,
    WEBHOOK_NO_SECRET, /* Asana, before its handshake */
    WEBHOOK_NO_MEMORY, /* or the library refused */
    WEBHOOK_REASON_COUNT
};

/** Stable lower_snake_case name. */
const char *webhook_reason_name(enum webhook_reason reason);

struct webhook_verdict {
    enum webhook_reason reason;
    /* The rest only when genuine. */
    bool has_time;
    int64_t time_ms; /* when it was signed, Unix milliseconds */
    bool has_key;    /* false for WEBHOOK_BEARER: nothing is signed, so nothing tells two alike apart */
    unsigned char
        key[WEBHOOK_KEY_BYTES]; /* of what was signed: the same again is a replay, whatever else changed */
};

struct webhook;

/**
 * Owns:   copies what it needs; secrets are wiped at the end. Free with webhook_destroy().
 * Errors: NULL with *out_problem, static text for the person who configured it.
 */
struct webhook *webhook_create(const struct webhook_options *options, const char **out_problem);
void webhook_destroy(struct webhook *webhook);

/** Does it know a secret, or is Asana's handshake still to come? */
bool webhook_has_secret(const struct webhook *webhook);
/** Does the provider sign the address too? */
bool webhook_needs_url(enum webhook_provider provider);
/** Are the headers there that webhook_check() will ask for? Lets a request be refused before its body is read. */
bool webhook_has_proof(const struct webhook *webhook, const struct webhook_request *request);

/**
 * Cost:   one HMAC per secret over the body, and one hash of it; Gong: one RSA verification per key.
 * Result: OK, UNAUTHENTICATED (nothing to check), FORBIDDEN (not genuine, or not of now), NO_MEMORY. The reason is for
 *         counters; a peer is not told.
 */
MUST_CHECK enum result webhook_check(const struct webhook *webhook, const struct webhook_request *request,
                                     int64_t now_ms, struct webhook_verdict *out_verdict);

/**
 * Asana begins by sending the secret it will sign with: that secret, or NULL when this is no such request. It proves
 * nothing; take it only while a handshake is expected, and send it back in the header of the same name.
 */
#define WEBHOOK_HANDSHAKE_HEADER "X-Hook-Secret"
const char *webhook_offered_secret(const struct webhook *webhook, const struct webhook_request *request);

#endif
