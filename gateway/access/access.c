/*
 * Shared bearer keys, and the door for tokens beside them. Keys are kept and compared as SHA-256 digests: the comparison takes the same time
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
    struct token_door *tokens; /* NULL: none */
    struct audit *audit;       /* NULL: none */
    const char *cookie;        /* NULL: none */
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
    access->tokens = options->tokens;
    access->audit = options->audit;
    access->cookie = options->cookie;
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
    return access->viewer.is_set || access->tokens;
}

bool access_has_tokens(const struct access *access)
{
    return access->tokens != NULL;
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

static enum result result_of(enum jwt_reason reason)
{
    switch (reason) {
    case JWT_OK:
        return RESULT_OK;
    case JWT_EXPIRED:
        return RESULT_EXPIRED;
    case JWT_NO_MEMORY:
        return RESULT_NO_MEMORY;
    default:
        return RESULT_FORBIDDEN; /* which of them, the counter says */
    }
}

enum result access_admit(const struct access *access, const char *token, int64_t now_s,
                         struct access_grant *out_grant)
{
    enum result result = access_viewer_needs_token(access) ? RESULT_FORBIDDEN : RESULT_OK;
    if (access->viewer.is_set) {
        result = check_token(&access->viewer, token);
    }
    if (result == RESULT_OK) {
        out_grant->has_token = false;
        return RESULT_OK;
    }
    if (!token || token[0] == '\0') {
        return RESULT_UNAUTHENTICATED;
    }
    if (!access->tokens) {
        return result;
    }
    size_t length = strnlen(token, TOKEN_MAX_BYTES + 1);
    result = result_of(token_door_check(access->tokens, token, length, now_s, &out_grant->claims));
    if (result == RESULT_OK) {
        out_grant->has_token = true;
    }
    return result;
}

/** The value of our cookie in a Cookie header (RFC 6265 section 4.2); false when it is not there or too long. */
static bool cookie_value(const char *name, const char *header, char *to, size_t size)
{
    size_t name_length = strlen(name);
    for (const char *at = header; at && *at != '\0';) {
        at += strspn(at, "; ");
        size_t length = strcspn(at, ";");
        if (length > name_length && at[name_length] == '=' && memcmp(at, name, name_length) == 0) {
            size_t value_length = length - name_length - 1;
            if (value_length >= size) {
                return false;
            }
            memcpy(to, at + name_length + 1, value_length);
            to[value_length] = '\0';
            return true;
        }
        at += length;
    }
    return false;
}

enum result access_admit_request(const struct access *access, const char *authorization, const char *cookie,
                                 int64_t now_s, struct access_grant *out_grant)
{
    char value[TOKEN_MAX_BYTES + 1];
    const char *token = bearer_token(authorization);
    bool is_from_cookie =
        !authorization && access->cookie && cookie_value(access->cookie, cookie, value, sizeof value);
    enum result result = access_admit(access, is_from_cookie ? value : token, now_s, out_grant);
    if (is_from_cookie) {
        OPENSSL_cleanse(value, sizeof value);
    }
    return result;
}

struct audit *access_audit(const struct access *access)
{
    return access->audit;
}

const char *access_grant_name(const struct access *access, const struct access_grant *grant)
{
    return grant->has_token ? "token" : access->viewer.is_set ? "viewer_key" : "anybody";
}

void access_tick(const struct access *access, int64_t now_s)
{
    if (access->tokens) {
        token_door_tick(access->tokens, now_s);
    }
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
