/**
 * A token that vouches for one delivery: RS256, with claims about the address and the body. For webhook.c.
 */
#ifndef SOPHIA_ACCESS_WEBHOOK_JWT_H
#define SOPHIA_ACCESS_WEBHOOK_JWT_H

#include <stddef.h>
#include <stdint.h>

#include "access/jwk.h"
#include "access/webhook.h"

/** RSA, 2048 to 8192 bits, as bare base64 of its SubjectPublicKeyInfo or as PEM. NULL when the text is none. */
struct jwk *webhook_jwt_key(const char *text);

struct webhook_jwt_check {
    struct jwk *const *keys; /* any of them */
    size_t key_count;
    const char *url; /* claim webhook_url */
    const void *body;
    size_t body_length; /* claim body_sha256 */
    int64_t now_ms;     /* before claim exp, by the second */
};

/** Sets out_key to the hash of what the token signs, when it is genuine. */
enum webhook_reason webhook_jwt_check(const struct webhook_jwt_check *check, const char *token,
                                      unsigned char out_key[WEBHOOK_KEY_BYTES]);

#endif
