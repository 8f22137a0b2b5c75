#include "webhook_sender.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sender_begin(struct sent_webhook *sent, const char *body)
{
    memset(sent, 0, sizeof *sent);
    sent->method = "POST";
    sent->body_length = strlen(body);
    assert(sent->body_length < sizeof sent->body);
    memcpy(sent->body, body, sent->body_length + 1);
}

struct sent_header *sender_add(struct sent_webhook *sent, const char *name, const char *value, bool is_signed)
{
    for (size_t i = 0; i < SENDER_HEADERS_MAX; i++) {
        struct sent_header *header = &sent->headers[i];
        if (!header->name) {
            header->name = name;
            header->count = 1;
            header->is_signed = is_signed;
            assert(strlen(value) < sizeof header->value);
            memcpy(header->value, value, strlen(value) + 1);
            return header;
        }
    }
    abort(); /* no room for a header */
}

struct sent_header *sender_find(struct sent_webhook *sent, const char *name)
{
    for (size_t i = 0; i < SENDER_HEADERS_MAX; i++) {
        if (sent->headers[i].name && strcmp(sent->headers[i].name, name) == 0) {
            return &sent->headers[i];
        }
    }
    return NULL;
}

static const char *look_up(void *context, const char *name, unsigned *out_count)
{
    const struct sent_header *header = sender_find(context, name);
    *out_count = header ? header->count : 0;
    return *out_count > 0 ? header->value : NULL;
}

struct webhook_request sender_request(const struct sent_webhook *sent)
{
    return (struct webhook_request){
        .method = sent->method,
        .body = sent->body,
        .body_length = sent->body_length,
        .header = look_up,
        .context = (void *)(uintptr_t)sent,
    };
}

/* ---- signatures ---- */

static void print_hex(const unsigned char *bytes, size_t length, char *out, size_t size)
{
    assert(size > 2 * length);
    for (size_t i = 0; i < length; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static size_t hmac(const char *digest, const char *secret, const char *text, unsigned char *out)
{
    size_t length = 0;
    unsigned char *done = EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, secret, strlen(secret),
                                    (const unsigned char *)text, strlen(text), out, EVP_MAX_MD_SIZE, &length);
    assert(done);
    return length;
}

void sender_hmac(const char *digest, const char *secret, const char *text, char *out, size_t size)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    size_t length = hmac(digest, secret, text, bytes);
    print_hex(bytes, length, out, size);
}

void sender_hmac_base64(const char *secret, const char *text, char *out, size_t size)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    size_t length = hmac("SHA256", secret, text, bytes);
    assert(size > length * 2);
    (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)length);
}

void sender_sha256(const char *text, char out[65])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int done = EVP_Digest(text, strlen(text), bytes, &length, EVP_sha256(), NULL);
    assert(done == 1);
    print_hex(bytes, length, out, 65);
}

/* ---- tokens ---- */

/** Appends base64 as tokens have it. */
static void append_coded(char *out, size_t size, const void *bytes, size_t length)
{
    char *to = out + strlen(out);
    assert((size_t)(to - out) + (length + 2) / 3 * 4 + 1 < size);
    (void)EVP_EncodeBlock((unsigned char *)to, bytes, (int)length);
    to[strcspn(to, "=")] = '\0';
    for (; *to != '\0'; to++) {
        *to = *to == '+' ? '-' : *to == '/' ? '_' : *to;
    }
}

static size_t sign_token(EVP_PKEY *key, const char *text, unsigned char *out, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int begun = EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL);
    int signed_ = EVP_DigestSign(context, out, &size, (const unsigned char *)text, strlen(text));
    assert(begun == 1 && signed_ == 1);
    EVP_MD_CTX_free(context);
    return size;
}

void sender_token(EVP_PKEY *key, const char *secret, const char *header, const char *claims, char *out,
                  size_t size)
{
    unsigned char signature[1024];
    size_t length = 0;
    out[0] = '\0';
    append_coded(out, size, header, strlen(header));
    strncat(out, ".", size - strlen(out) - 1);
    append_coded(out, size, claims, strlen(claims));
    if (key) {
        length = sign_token(key, out, signature, sizeof signature);
    } else if (secret) {
        length = hmac("SHA256", secret, out, signature);
    }
    strncat(out, ".", size - strlen(out) - 1);
    append_coded(out, size, signature, length);
}

void sender_public_key(EVP_PKEY *key, char *out, size_t size)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(key, &der);
    assert(length > 0 && (size_t)length * 2 < size);
    (void)EVP_EncodeBlock((unsigned char *)out, der, length);
    OPENSSL_free(der);
}
