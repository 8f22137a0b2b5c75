/**
 * JSON Web Tokens: is this one good, and whose is it?
 *
 * Bytes, keys, rules and the time go in; claims or the reason for a refusal come out. Nothing is kept, logged or looked up
 * elsewhere. Compact serialization only. The key decides the algorithm; whatever a header says of other keys (jwk, jku,
 * x5u, x5c) is not read. Every size is bounded before it is looked into.
 *
 * Spec: RFC 7515, 7519, 7797 (refused), 8725.
 */
#ifndef SOPHIA_ACCESS_JWT_H
#define SOPHIA_ACCESS_JWT_H

#include <stddef.h>
#include <stdint.h>

#include "access/jwk.h"
#include "protocol/bytes.h"
#include "protocol/limits.h"

enum {
    JWT_HEADER_MAX_BYTES = 2048, /* in base64url */
    JWT_HEADER_MAX_DEPTH = 4,
    JWT_CLAIMS_MAX_DEPTH = 8,
    JWT_AUDIENCES_MAX = 16,
    JWT_SUBJECT_MAX_BYTES = 256,
    JWT_ID_MAX_BYTES = 128,
    JWT_ROLES_MAX = TOKEN_ROLES_MAX,
    JWT_ROLES_MAX_BYTES = TOKEN_ROLES_MAX_BYTES,
    JWT_LEEWAY_MAX_S = 300,
};

enum jwt_reason {
    JWT_OK,
    /* the envelope */
    JWT_TOO_BIG,    /* the token, or its header */
    JWT_MALFORMED,  /* not three parts */
    JWT_BAD_BASE64, /* padding, another alphabet, stray bits */
    JWT_BAD_JSON,   /* header or claims: no JSON object */
    JWT_NOT_UTF8,   /* likewise */
    JWT_DUPLICATE,  /* a member twice, in either */
    JWT_TOO_DEEP,   /* likewise nested */
    /* the header */
    JWT_WRONG_TYPE, /* typ names something else than a JWT */
    JWT_UNENCODED,  /* b64: false */
    JWT_CRITICAL,   /* crit: extensions nobody here understands */
    JWT_ALGORITHM_NONE,
    JWT_UNKNOWN_ALGORITHM,
    JWT_BAD_KID, /* of no key, and it looks like a probe: a path, control characters, too long */
    JWT_UNKNOWN_KID,
    JWT_MISSING_KID,        /* several keys have this algorithm */
    JWT_ALGORITHM_MISMATCH, /* the key is of another algorithm */
    JWT_BAD_SIGNATURE,
    /* the claims */
    JWT_MISSING_CLAIM, /* exp, sub; iss and aud when they are asked for */
    JWT_BAD_CLAIM,     /* of the wrong type or size */
    JWT_WRONG_ISSUER,
    JWT_WRONG_AUDIENCE,
    JWT_NOT_YET_VALID,    /* nbf */
    JWT_ISSUED_IN_FUTURE, /* iat */
    JWT_EXPIRED,          /* exp: the signature and all else is good */
    JWT_REVOKED,          /* all is good, but it is on a list of revocations; said by token_door.c */
    JWT_KEYS_COMING,      /* keys are being fetched, it may be good afterwards; said by token_door.c */
    JWT_NO_MEMORY,
    JWT_REASON_COUNT
};

/** Stable lower_snake_case name: metrics and logs use it. */
const char *jwt_reason_name(enum jwt_reason reason);

struct jwt_rules {
    const char *issuer;      /* NULL: any */
    const char *audience;    /* NULL: any */
    uint32_t leeway_s;       /* how far clocks may differ */
    const char *roles_claim; /* which claim lists roles; NULL: none is read */
};

struct jwt_claims {
    char subject[JWT_SUBJECT_MAX_BYTES + 1];
    char id[JWT_ID_MAX_BYTES + 1];       /* jti; "" when absent */
    char roles[JWT_ROLES_MAX_BYTES + 1]; /* names with a blank between two; "" when there are none */
    int64_t expires_s;                   /* exp, Unix seconds; good until leeway_s later */
    int64_t not_before_s;                /* nbf; 0 when absent */
    int64_t issued_s;                    /* iat; 0 when absent */
};

/**
 * The signature alone: whose key signed this, and what was signed. Claims are not judged: for jwt_verify() and tests.
 *
 * payload: JWT_OK appends the decoded payload, whatever it is.
 */
enum jwt_reason jwt_open(const char *token, size_t length, const struct jwk_set *keys, struct bytes *payload);

/**
 * Everything: signature first, then the claims.
 *
 * Cost:   that of the signature and some microseconds; no more for a token of TOKEN_MAX_BYTES.
 * Result: JWT_OK, or the first reason to refuse; out_claims is written with JWT_OK only.
 */
enum jwt_reason jwt_verify(const char *token, size_t length, const struct jwk_set *keys,
                           const struct jwt_rules *rules, int64_t now_s, struct jwt_claims *out_claims);

#endif
