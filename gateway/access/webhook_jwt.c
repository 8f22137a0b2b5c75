/*
 * Only what one provider sends: three parts, RS256, three claims. The algorithm is the key's, never the token's: any other
 * in the header is refused before a key is touched, so a public key cannot be taken for a shared secret.
 */
#include "access/webhook_jwt.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "access/base64.h"
#include "protocol/json_depth.h"
#include "protocol/limits.h"

enum {
    KEY_DER_MAX_BYTES = 2048, /* 8192 bits are 1,062 */
    RSA_BITS_MAX = 8192,
    PART_DEPTH_MAX = 4,
};

/* ---- keys ---- */

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"
#define PEM_END "-----END PUBLIC KEY-----"

/** Base64 without blanks and armour. False when it is too long, or the armour is of something else. */
static bool bare_text(const char *text, char *out, size_t size)
{
    text += strspn(text, " \t\r\n");
    if (strncmp(text, PEM_BEGIN, strlen(PEM_BEGIN)) == 0) {
        text += strlen(PEM_BEGIN);
    }
    size_t count = 0;
    for (; *text != '\0' && strncmp(text, PEM_END, strlen(PEM_END)) != 0; text++) {
        if (strchr(" \t\r\n", *text)) {
            continue;
        }
        if (count + 1 >= size) {
            return false;
        }
        out[count++] = *text;
    }
    out[count] = '\0';
    return true;
}

struct jwk *webhook_jwt_key(const char *text)
{
    char bare[BASE64_TEXT_BYTES(KEY_DER_MAX_BYTES)];
    unsigned char der[KEY_DER_MAX_BYTES];
    size_t length = 0;
    if (!bare_text(text, bare, sizeof bare) ||
        !base64_decode(BASE64_STANDARD, bare, strlen(bare), der, sizeof der, &length)) {
        return NULL;
    }
    return jwk_of_rsa(der, length, RSA_BITS_MAX);
}

/* ---- tokens ---- */

/** The three parts, as they stand in the token. */
struct parts {
    const char *header, *claims, *signature;
    size_t header_length, claims_length, signature_length;
    size_t signed_length; /* from the start: header, dot, claims */
};

static bool split(const char *token, struct parts *out_parts)
{
    const char *first = strchr(token, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;
    if (!second || strchr(second + 1, '.')) {
        return false;
    }
    *out_parts = (struct parts){
        .header = token,
        .header_length = (size_t)(first - token),
        .claims = first + 1,
        .claims_length = (size_t)(second - first - 1),
        .signature = second + 1,
        .signature_length = strlen(second + 1),
        .signed_length = (size_t)(second - token),
    };
    return true;
}

/** A part that is base64 of one JSON object, or NULL. */
static json_t *read_part(const char *text, size_t length)
{
    unsigned char bytes[TOKEN_MAX_BYTES];
    size_t count = 0;
    if (!base64_decode(BASE64_URL, text, length, bytes, sizeof bytes, &count) ||
        json_is_deeper((const char *)bytes, count, PART_DEPTH_MAX)) {
        return NULL;
    }
    json_t *part = json_loadb((const char *)bytes, count, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(part)) {
        json_decref(part);
        return NULL;
    }
    return part;
}

static enum webhook_reason check_header(const struct parts *parts)
{
    json_auto_t *header = read_part(parts->header, parts->header_length);
    if (!header) {
        return WEBHOOK_MALFORMED_PROOF;
    }
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    bool is_right = algorithm && strcmp(algorithm, "RS256") == 0 && !json_object_get(header, "crit");
    return is_right ? WEBHOOK_GENUINE : WEBHOOK_WRONG_ALGORITHM;
}

static enum webhook_reason check_signature(const struct webhook_jwt_check *check, const char *token,
                                           const struct parts *parts)
{
    unsigned char signature[RSA_BITS_MAX / 8];
    size_t length = 0;
    if (!base64_decode(BASE64_URL, parts->signature, parts->signature_length, signature, sizeof signature,
                       &length)) {
        return WEBHOOK_MALFORMED_PROOF;
    }
    for (size_t i = 0; i < check->key_count; i++) {
        if (jwk_verify(check->keys[i], token, parts->signed_length, signature, length)) {
            return WEBHOOK_GENUINE;
        }
    }
    return WEBHOOK_WRONG_SIGNATURE;
}

static enum webhook_reason check_body(const struct webhook_jwt_check *check, const json_t *claims)
{
    unsigned char digest[WEBHOOK_KEY_BYTES];
    char text[2 * WEBHOOK_KEY_BYTES + 1];
    if (EVP_Digest(check->body, check->body_length, digest, NULL, EVP_sha256(), NULL) != 1) {
        return WEBHOOK_NO_MEMORY;
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]); /* fits */
    }
    const char *said = json_string_value(json_object_get(claims, "body_sha256"));
    return said && strcmp(said, text) == 0 ? WEBHOOK_GENUINE : WEBHOOK_WRONG_CLAIM;
}

static enum webhook_reason check_claims(const struct webhook_jwt_check *check, const struct parts *parts)
{
    json_auto_t *claims = read_part(parts->claims, parts->claims_length);
    const json_t *expiry = json_object_get(claims, "exp");
    const char *url = json_string_value(json_object_get(claims, "webhook_url"));
    if (!claims || !json_is_number(expiry)) {
        return WEBHOOK_MALFORMED_PROOF;
    }
    if (json_number_value(expiry) <= (double)(check->now_ms / 1000)) {
        return WEBHOOK_TOO_OLD;
    }
    return url && strcmp(url, check->url) == 0 ? check_body(check, claims) : WEBHOOK_WRONG_CLAIM;
}

enum webhook_reason webhook_jwt_check(const struct webhook_jwt_check *check, const char *token,
                                      unsigned char out_key[WEBHOOK_KEY_BYTES])
{
    struct parts parts;
    if (strlen(token) > TOKEN_MAX_BYTES || !split(token, &parts)) {
        return WEBHOOK_MALFORMED_PROOF;
    }
    enum webhook_reason reason = check_header(&parts);
    reason = reason == WEBHOOK_GENUINE ? check_signature(check, token, &parts) : reason;
    reason = reason == WEBHOOK_GENUINE ? check_claims(check, &parts) : reason;
    if (reason == WEBHOOK_GENUINE &&
        EVP_Digest(token, parts.signed_length, out_key, NULL, EVP_sha256(), NULL) != 1) {
        return WEBHOOK_NO_MEMORY;
    }
    return reason;
}
