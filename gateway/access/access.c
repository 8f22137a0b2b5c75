/*
 * Shared bearer keys, and the door for tokens beside them. Keys are kept and compared as SHA-256 digests: the comparison takes the same time
 * whatever was sent, and neither the length of a key nor a common beginning can be measured. A token that is
 * too long is refused before it is hashed.
 */
#include "access/access.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/limits.h"

static_assert((int)ACCESS_KEY_DIGEST_BYTES == (int)SHA256_DIGEST_LENGTH, "digests are of SHA-256");

struct key {
    unsigned char digest[ACCESS_KEY_DIGEST_BYTES];
    struct metric *uses;
};

/** The keys of a door: any of them opens it. */
struct ring {
    unsigned count;
    struct key keys[ACCESS_NAMED_KEYS_MAX + 1];
};

struct rings {
    struct ring viewer, ingest, admin;
};

struct access {
    struct rings rings;
    struct metrics *metrics;   /* NULL: nobody counts */
    struct token_door *tokens; /* NULL: none */
    struct audit *audit;       /* NULL: none */
    const char *cookie;        /* NULL: none */
};

/** False when the library could not hash (memory). */
static bool digest_of(const char *text, size_t length, unsigned char out_digest[ACCESS_KEY_DIGEST_BYTES])
{
    return SHA256((const unsigned char *)text, length, out_digest) != NULL;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** Exactly 64 hexadecimal digits. */
static bool read_digest(const char *hex, unsigned char out_digest[ACCESS_KEY_DIGEST_BYTES])
{
    unsigned char digest[ACCESS_KEY_DIGEST_BYTES];
    for (size_t i = 0; i < sizeof digest; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = high >= 0 ? hex_digit(hex[2 * i + 1]) : -1;
        if (low < 0) {
            return false;
        }
        digest[i] = (unsigned char)(high << 4 | low);
    }
    if (hex[2 * sizeof digest] != '\0') {
        return false;
    }
    memcpy(out_digest, digest, sizeof digest);
    return true;
}

bool access_key_digest(const char *key, unsigned char out_digest[ACCESS_KEY_DIGEST_BYTES])
{
    static const char scheme[] = "sha256:";
    if (strncmp(key, scheme, sizeof scheme - 1) == 0) {
        return read_digest(key + sizeof scheme - 1, out_digest);
    }
    return digest_of(key, strlen(key), out_digest);
}

/* Names are slugs, so they need no escaping and end somewhere. */
static struct metric *uses_of(const struct access *access, const char *door, const char *name)
{
    char labels[128];
    int length = snprintf(labels, sizeof labels, "door=\"%s\",key=\"%s\"", door, name);
    if (!access->metrics || length < 0 || (size_t)length >= sizeof labels) {
        return NULL;
    }
    return metrics_counter(access->metrics, "gw_key_uses_total", labels,
                           "Times a key opened its door; the one without a name is called default.");
}

static bool ring_fill(const struct access *access, const char *door, const char *plain,
                      const struct access_named_keys *named, struct ring *out_ring)
{
    struct ring ring = {0};
    assert(named->count <= ACCESS_NAMED_KEYS_MAX);
    if (plain) {
        assert(plain[0] != '\0');
        ring.keys[0].uses = uses_of(access, door, "default");
        if (!access_key_digest(plain, ring.keys[ring.count++].digest)) {
            return false;
        }
    }
    for (size_t i = 0; i < named->count; i++) {
        ring.keys[ring.count].uses = uses_of(access, door, named->at[i].name);
        if (!read_digest(named->at[i].sha256, ring.keys[ring.count++].digest)) {
            return false;
        }
    }
    *out_ring = ring;
    return true;
}

bool access_set_keys(struct access *access, const struct access_keys *keys)
{
    static const struct access_named_keys none = {0};
    struct rings rings;
    if (!ring_fill(access, "viewer", keys->viewer, &none, &rings.viewer) ||
        !ring_fill(access, "ingest", keys->ingest, &keys->ingest_keys, &rings.ingest) ||
        !ring_fill(access, "admin", keys->admin, &keys->admin_keys, &rings.admin)) {
        return false;
    }
    access->rings = rings;
    return true;
}

struct access *access_create(const struct access_options *options)
{
    struct access *access = calloc(1, sizeof *access);
    if (!access) {
        return NULL;
    }
    access->metrics = options->metrics;
    access->tokens = options->tokens;
    access->audit = options->audit;
    access->cookie = options->cookie;
    if (!access_set_keys(access, &options->keys)) {
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
    return access->rings.viewer.count > 0 || access->tokens;
}

bool access_has_tokens(const struct access *access)
{
    return access->tokens != NULL;
}

bool access_ingest_needs_key(const struct access *access)
{
    return access->rings.ingest.count > 0;
}

/** All keys are compared, whichever it is: the time does not tell. */
static enum result check_token(const struct ring *ring, const char *token)
{
    if (!token || token[0] == '\0') {
        return RESULT_UNAUTHENTICATED;
    }
    size_t length = strnlen(token, TOKEN_MAX_BYTES + 1);
    unsigned char digest[ACCESS_KEY_DIGEST_BYTES];
    const struct key *found = NULL;
    if (length > TOKEN_MAX_BYTES || !digest_of(token, length, digest)) {
        return RESULT_FORBIDDEN;
    }
    for (unsigned i = 0; i < ring->count; i++) {
        found = CRYPTO_memcmp(digest, ring->keys[i].digest, sizeof digest) == 0 ? &ring->keys[i] : found;
    }
    if (found) {
        metric_add(found->uses, 1);
    }
    return found ? RESULT_OK : RESULT_FORBIDDEN;
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
    case JWT_KEYS_COMING:
        return RESULT_UNAVAILABLE;
    default:
        return RESULT_FORBIDDEN; /* which of them, the counter says */
    }
}

enum result access_admit(const struct access *access, const char *token, int64_t now_s,
                         struct access_grant *out_grant)
{
    enum result result = access_viewer_needs_token(access) ? RESULT_FORBIDDEN : RESULT_OK;
    if (access->rings.viewer.count > 0) {
        result = check_token(&access->rings.viewer, token);
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
    return grant->has_token ? "token" : access->rings.viewer.count > 0 ? "viewer_key" : "anybody";
}

void access_tick(const struct access *access, int64_t now_s)
{
    if (access->tokens) {
        token_door_tick(access->tokens, now_s);
    }
}

enum result access_check_ingest(const struct access *access, const char *authorization, bool peer_is_loopback)
{
    if (access->rings.ingest.count > 0) {
        return check_token(&access->rings.ingest, bearer_token(authorization));
    }
    return peer_is_loopback ? RESULT_OK : RESULT_FORBIDDEN;
}

enum result access_may_administrate(const struct access *access, const char *authorization)
{
    return access->rings.admin.count > 0 ? check_token(&access->rings.admin, bearer_token(authorization))
                                         : RESULT_FORBIDDEN;
}
