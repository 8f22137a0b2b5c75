/**
 * What providers would send: requests whose headers a test can change, and signatures that the gateway's code has no part in.
 */
#ifndef SOPHIA_TESTS_WEBHOOK_SENDER_H
#define SOPHIA_TESTS_WEBHOOK_SENDER_H

#include <openssl/types.h>
#include <stddef.h>

#include "access/webhook.h"

enum { SENDER_HEADERS_MAX = 4, SENDER_VALUE_BYTES = 10240, SENDER_BODY_BYTES = 1024 };

struct sent_header {
    const char *name; /* NULL: none */
    char value[SENDER_VALUE_BYTES];
    unsigned count; /* how often it is there; 0: it was left out */
    bool is_signed; /* no bit of it may change */
};

struct sent_webhook {
    const char *method;
    char body[SENDER_BODY_BYTES];
    size_t body_length;
    struct sent_header headers[SENDER_HEADERS_MAX];
};

/** "POST" with this body and no headers. */
void sender_begin(struct sent_webhook *sent, const char *body);
struct sent_header *sender_add(struct sent_webhook *sent, const char *name, const char *value,
                               bool is_signed);
struct sent_header *sender_find(struct sent_webhook *sent, const char *name);
/** Borrows from `sent`. */
struct webhook_request sender_request(const struct sent_webhook *sent);

/** HMAC of the text, lower-case hexadecimal. */
void sender_hmac(const char *digest, const char *secret, const char *text, char *out, size_t size);
/** HMAC-SHA256 in base64. */
void sender_hmac_base64(const char *secret, const char *text, char *out, size_t size);
/** header "." claims "." signature; key NULL: signed with HMAC-SHA256 and `secret`, or not at all when that is NULL too. */
void sender_token(EVP_PKEY *key, const char *secret, const char *header, const char *claims, char *out,
                  size_t size);
/** SHA-256 of a text in lower-case hexadecimal. */
void sender_sha256(const char *text, char out[65]);
/** The public half as bare base64 of its SubjectPublicKeyInfo. */
void sender_public_key(EVP_PKEY *key, char *out, size_t size);

#endif
