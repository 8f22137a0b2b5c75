/**
 * Who may read, who may publish.
 *
 * Viewers come in by a shared key or by a token of their own; producers and operators by a key, of which there may be several
 * with names. Keys are kept as digests and compared in constant time. With neither viewer key nor token door every viewer may read; with no ingest key producers
 * must come from loopback; with no admin key nobody may administrate.
 */
#ifndef SOPHIA_ACCESS_ACCESS_H
#define SOPHIA_ACCESS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/audit.h"
#include "access/token_door.h"
#include "base/metrics.h"
#include "protocol/result.h"

struct access;

enum { ACCESS_NAMED_KEYS_MAX = 16, ACCESS_KEY_DIGEST_BYTES = 32 };

/** One of several keys that open the same door, by what it hashes to. */
struct access_named_key {
    const char *name;   /* for metrics: lower-case letters, digits, "-" and "_" */
    const char *sha256; /* 64 hexadecimal digits */
};

struct access_named_keys {
    const struct access_named_key *at;
    size_t count;
};

/** Texts are not needed afterwards. A key is itself, or "sha256:" and 64 hexadecimal digits. */
struct access_keys {
    const char *viewer; /* NULL: viewers need none */
    const char *ingest; /* NULL, as is the list: producers need none, but must come from loopback */
    const char *admin;  /* NULL, as is the list: nobody may administrate */
    struct access_named_keys ingest_keys; /* besides ingest */
    struct access_named_keys admin_keys;
};

struct access_options {
    struct access_keys keys;
    struct metrics *metrics;   /* counts the uses of keys; NULL: nobody counts */
    struct token_door *tokens; /* NULL: none; outlives this */
    struct audit *audit;       /* NULL: none; outlives this */
    const char *cookie; /* that may hold a viewer's token in HTTP requests; NULL: none; outlives this */
};

/** As whom a viewer came in. */
struct access_grant {
    bool has_token;           /* false: with the shared key, or because nothing is asked for */
    struct jwt_claims claims; /* of the token */
};

/** The digest of a key as configured. False: it begins with "sha256:", and what follows is none. */
bool access_key_digest(const char *key, unsigned char out_digest[ACCESS_KEY_DIGEST_BYTES]);

struct access *access_create(const struct access_options *options);
void access_destroy(struct access *access);

/** Other keys from now on; connections that are open stay. False when one cannot be read: the ones before stay. */
MUST_CHECK bool access_set_keys(struct access *access, const struct access_keys *keys);

bool access_viewer_needs_token(const struct access *access);
/** Are there tokens besides the shared key? */
bool access_has_tokens(const struct access *access);
bool access_ingest_needs_key(const struct access *access);

/**
 * May this viewer come in? token: the shared key or a signed token; may be NULL.
 *
 * Result: UNAUTHENTICATED when it is missing, EXPIRED when only its time is over, FORBIDDEN when wrong, NO_MEMORY; UNAVAILABLE
 *         when the keys are being fetched: in a moment it can be told.
 *         out_grant is written with OK.
 */
MUST_CHECK enum result access_admit(const struct access *access, const char *token, int64_t now_s,
                                    struct access_grant *out_grant);
/** The same for a request. authorization and cookie: the headers' values, or NULL; the first wins. */
MUST_CHECK enum result access_admit_request(const struct access *access, const char *authorization,
                                            const char *cookie, int64_t now_s,
                                            struct access_grant *out_grant);
/** Result: UNAUTHENTICATED when missing, FORBIDDEN when wrong. authorization: the header's value ("Bearer ..."), or NULL. */
MUST_CHECK enum result access_check_ingest(const struct access *access, const char *authorization,
                                           bool peer_is_loopback);
/** May the peer change what others get, such as clear the cache? Result: as above; FORBIDDEN always without an admin key. */
MUST_CHECK enum result access_may_administrate(const struct access *access, const char *authorization);

/** Where whoever decides notes what was decided; NULL: nowhere. */
struct audit *access_audit(const struct access *access);
/** The word for `by` of an audit event: as what a viewer with this grant came in. */
const char *access_grant_name(const struct access *access, const struct access_grant *grant);

/** Bring what ages up to date: before metrics are shown. */
void access_tick(const struct access *access, int64_t now_s);

#endif
