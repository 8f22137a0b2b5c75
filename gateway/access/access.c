/*
 * Shared bearer keys. Keys are kept and compared as SHA-256 digests: the comparison takes the same time
 * whatever was sent, and neither the length of a key nor a common beginning can be measured. A token that is
 * too long is refused before it is hashed.
 */
#include "access/access.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/limits.h"

struct key {
    bool is_set;
    unsigned char digest[SHA256_DIGEST_LENGTH];
};

struct access {
    struct key viewer;
    struct key ingest;
    struct key admin;
};

/** False when the library could not hash (memory). */
static bool digest_of(const char *text, size_t length, unsigned char out_digest[SHA256_DIGEST_LENGTH])
{
    return SHA256((const unsigned char *)text, length, out_digest) != NULL;
}

static bool key_init(struct key *key, const char *text)
{
    if (!text) {
        return true;
    }
    assert(text[0] != '\0');
    key->is_set = true;
    return digest_of(text, strlen(text), key->digest);
}

struct access *access_create(const struct access_options *options)
{
    struct access *access = calloc(1, sizeof *access);
    if (!access) {
        return NULL;
    }
    if (!key_init(&access->viewer, options->viewer_key) || !key_init(&access->ingest, options->ingest_key) ||
        !key_init(&access->admin, options->admin_key)) {
        goto fail;
    }
    return access;

fail:
    access_destroy(access);
    return NULL;
}

void access_destroy(struct access *access)
{
    if (access) {
        OPENSSL_cleanse(access, sizeof *access);
        free(access);
    }
}

bool access_viewer_needs_token(const struct access *access)
{
    return access->viewer.is_set;
}

bool access_ingest_needs_key(const struct access *access)
{
    return access->ingest.is_set;
}

static enum result check_token(const struct key *key, const char *token)
{
    if (!token || token[0] == '\0') {
        return RESULT_UNAUTHENTICATED;
    }
    size_t length = strnlen(token, TOKEN_MAX_BYTES + 1);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (length > TOKEN_MAX_BYTES || !digest_of(token, length, digest)) {
        return RESULT_FORBIDDEN;
    }
    return CRYPTO_memcmp(digest, key->digest, sizeof digest) == 0 ? RESULT_OK : RESULT_FORBIDDEN;
}

/** The token of a "Bearer ..." header; NULL when it is of another scheme. The scheme's case does not matter. */
static const char *bearer_token(const char *authorization)
{
    static const char scheme[] = "bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return NULL;
    }
    const char *token = authorization + sizeof scheme - 1;
    return token + strspn(token, " ");
}

enum result access_check_viewer(const struct access *access, const char *token)
{
    return access->viewer.is_set ? check_token(&access->viewer, token) : RESULT_OK;
}

enum result access_check_viewer_header(const struct access *access, const char *authorization)
{
    return access_check_viewer(access, bearer_token(authorization));
}

enum result access_check_ingest(const struct access *access, const char *authorization, bool peer_is_loopback)
{
    if (access->ingest.is_set) {
        return check_token(&access->ingest, bearer_token(authorization));
    }
    return peer_is_loopback ? RESULT_OK : RESULT_FORBIDDEN;
}

enum result access_may_administrate(const struct access *access, const char *authorization)
{
    return access->admin.is_set ? check_token(&access->admin, bearer_token(authorization)) : RESULT_FORBIDDEN;
}
