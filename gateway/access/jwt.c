/*
 * The order of checks is the order of trust: sizes, then the shape of the envelope, then the header, then the
 * signature; claims are parsed only after it, so a forger reaches no more of this file than the header.
 */
#include "access/jwt.h"

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "access/base64.h"
#include "protocol/json_depth.h"

static const char *const reason_names[JWT_REASON_COUNT] = {
    [JWT_OK] = "ok",
    [JWT_TOO_BIG] = "too_big",
    [JWT_MALFORMED] = "malformed",
    [JWT_BAD_BASE64] = "bad_base64",
    [JWT_BAD_JSON] = "bad_json",
    [JWT_NOT_UTF8] = "not_utf8",
    [JWT_DUPLICATE] = "duplicate_member",
    [JWT_TOO_DEEP] = "too_deep",
    [JWT_WRONG_TYPE] = "wrong_type",
    [JWT_UNENCODED] = "unencoded_payload",
    [JWT_CRITICAL] = "critical_header",
    [JWT_ALGORITHM_NONE] = "algorithm_none",
    [JWT_UNKNOWN_ALGORITHM] = "unknown_algorithm",
    [JWT_BAD_KID] = "bad_kid",
    [JWT_UNKNOWN_KID] = "unknown_kid",
    [JWT_MISSING_KID] = "missing_kid",
    [JWT_ALGORITHM_MISMATCH] = "algorithm_mismatch",
    [JWT_BAD_SIGNATURE] = "bad_signature",
    [JWT_MISSING_CLAIM] = "missing_claim",
    [JWT_BAD_CLAIM] = "bad_claim",
    [JWT_WRONG_ISSUER] = "wrong_issuer",
    [JWT_WRONG_AUDIENCE] = "wrong_audience",
    [JWT_NOT_YET_VALID] = "not_yet_valid",
    [JWT_ISSUED_IN_FUTURE] = "issued_in_future",
    [JWT_EXPIRED] = "expired",
    [JWT_REVOKED] = "revoked",
    [JWT_KEYS_COMING] = "keys_coming",
    [JWT_NO_MEMORY] = "no_memory",
};

const char *jwt_reason_name(enum jwt_reason reason)
{
    return reason_names[reason];
}

/** The compact form, cut at its dots. */
struct parts {
    const char *header, *payload, *signature;
    size_t header_length, payload_length, signature_length;
    size_t signed_length; /* header and payload with the dot between */
};

static enum jwt_reason cut(const char *token, size_t length, struct parts *out)
{
    if (length > TOKEN_MAX_BYTES) {
        return JWT_TOO_BIG;
    }
    const char *end = token + length;
    const char *first = memchr(token, '.', length);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)) || first == token) {
        return JWT_MALFORMED;
    }
    *out = (struct parts){
        .header = token,
        .header_length = (size_t)(first - token),
        .payload = first + 1,
        .payload_length = (size_t)(second - first - 1),
        .signature = second + 1,
        .signature_length = (size_t)(end - second - 1),
        .signed_length = (size_t)(second - token),
    };
    return out->header_length > JWT_HEADER_MAX_BYTES ? JWT_TOO_BIG : JWT_OK;
}

static enum jwt_reason parse_object(const char *text, size_t length, int max_depth, json_t **out_object)
{
    json_error_t error;
    if (json_is_deeper(text, length, max_depth)) {
        return JWT_TOO_DEEP;
    }
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        switch (json_error_code(&error)) {
        case json_error_duplicate_key:
            return JWT_DUPLICATE;
        case json_error_invalid_utf8:
            return JWT_NOT_UTF8;
        case json_error_out_of_memory:
            return JWT_NO_MEMORY;
        default:
            return JWT_BAD_JSON;
        }
    }
    if (!json_is_object(object)) {
        json_decref(object);
        return JWT_BAD_JSON;
    }
    *out_object = object;
    return JWT_OK;
}

/* ---- the header ---- */

/** typ is optional; an application may not be given a token made for something else (RFC 8725 section 3.11). */
static bool is_type_of_ours(const json_t *header)
{
    const json_t *member = json_object_get(header, "typ");
    const char *type = json_string_value(member);
    return !member || (type && (strcasecmp(type, "JWT") == 0 || strcasecmp(type, "at+jwt") == 0 ||
                                strcasecmp(type, "application/at+jwt") == 0));
}

static enum jwt_reason algorithm_of(const json_t *header, enum jwk_algorithm *out_algorithm)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    if (name && strcasecmp(name, "none") == 0) {
        return JWT_ALGORITHM_NONE;
    }
    return name && jwk_algorithm_of_name(name, out_algorithm) ? JWT_OK : JWT_UNKNOWN_ALGORITHM;
}

/** A kid is compared with those of the set and used for nothing else; this only tells a probe from a stale key. */
static bool is_probe(const char *kid)
{
    size_t length = strlen(kid);
    if (length == 0 || length > JWK_KID_MAX_BYTES) {
        return true;
    }
    for (const char *at = kid; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return true;
        }
    }
    return kid[0] == '/' || strstr(kid, "..") || strstr(kid, "./") || strstr(kid, "//") ||
           strchr(kid, '\\') || strchr(kid, '\'') || strchr(kid, '|');
}

static enum jwt_reason key_by_kid(const json_t *member, const struct jwk_set *keys,
                                  const struct jwk **out_key)
{
    const char *kid = json_string_value(member);
    if (!kid || kid[0] == '\0') {
        return JWT_BAD_KID;
    }
    *out_key = jwk_set_find(keys, kid);
    if (*out_key) {
        return JWT_OK;
    }
    return is_probe(kid) ? JWT_BAD_KID : JWT_UNKNOWN_KID;
}

/** Without a kid: the key of that algorithm, when there is only one. Trying several would multiply what a forgery costs. */
static enum jwt_reason key_by_algorithm(enum jwk_algorithm algorithm, const struct jwk_set *keys,
                                        const struct jwk **out_key)
{
    const struct jwk *found = NULL;
    for (size_t i = 0; i < jwk_set_count(keys); i++) {
        const struct jwk *key = jwk_set_at(keys, i);
        if (jwk_algorithm(key) == algorithm) {
            if (found) {
                return JWT_MISSING_KID;
            }
            found = key;
        }
    }
    *out_key = found;
    return found ? JWT_OK : JWT_ALGORITHM_MISMATCH;
}

static enum jwt_reason choose_key(const json_t *header, const struct jwk_set *keys,
                                  const struct jwk **out_key)
{
    enum jwk_algorithm algorithm = JWK_HS256;
    if (!is_type_of_ours(header)) {
        return JWT_WRONG_TYPE;
    }
    const json_t *is_encoded = json_object_get(header, "b64");
    if (is_encoded && !json_is_true(is_encoded)) {
        return JWT_UNENCODED;
    }
    if (json_object_get(header, "crit")) {
        return JWT_CRITICAL;
    }
    enum jwt_reason reason = algorithm_of(header, &algorithm);
    if (reason != JWT_OK) {
        return reason;
    }
    const json_t *kid = json_object_get(header, "kid");
    reason = kid ? key_by_kid(kid, keys, out_key) : key_by_algorithm(algorithm, keys, out_key);
    if (reason == JWT_OK && jwk_algorithm(*out_key) != algorithm) {
        return JWT_ALGORITHM_MISMATCH;
    }
    return reason;
}

static enum jwt_reason read_header(const struct parts *parts, const struct jwk_set *keys,
                                   const struct jwk **out_key)
{
    unsigned char text[BASE64URL_DECODED_BYTES(JWT_HEADER_MAX_BYTES)];
    size_t length = 0;
    json_auto_t *header = NULL;
    if (!base64_decode(BASE64_URL, parts->header, parts->header_length, text, sizeof text, &length)) {
        return JWT_BAD_BASE64;
    }
    enum jwt_reason reason = parse_object((const char *)text, length, JWT_HEADER_MAX_DEPTH, &header);
    return reason == JWT_OK ? choose_key(header, keys, out_key) : reason;
}

/* ---- the signature ---- */

enum { PAYLOAD_MAX_BYTES = BASE64URL_DECODED_BYTES(TOKEN_MAX_BYTES) };

static enum jwt_reason open_into(const char *token, size_t length, const struct jwk_set *keys,
                                 unsigned char to[PAYLOAD_MAX_BYTES], size_t *out_length)
{
    struct parts parts;
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t signature_length = 0;
    enum jwt_reason reason = cut(token, length, &parts);
    if (reason != JWT_OK) {
        return reason;
    }
    const struct jwk *key = jwk_set_find_header(keys, parts.header, parts.header_length);
    bool is_known = key != NULL;
    reason = is_known ? JWT_OK : read_header(&parts, keys, &key);
    if (reason != JWT_OK) {
        return reason;
    }
    if (parts.signature_length > (sizeof signature + 2) / 3 * 4) {
        return JWT_BAD_SIGNATURE;
    }
    if (!base64_decode(BASE64_URL, parts.signature, parts.signature_length, signature, sizeof signature,
                       &signature_length) ||
        !base64_decode(BASE64_URL, parts.payload, parts.payload_length, to, PAYLOAD_MAX_BYTES, out_length)) {
        return JWT_BAD_BASE64;
    }
    if (!jwk_verify(key, token, parts.signed_length, signature, signature_length)) {
        return JWT_BAD_SIGNATURE;
    }
    if (!is_known) { /* only now: a forger leaves nothing behind */
        jwk_keep_header(key, parts.header, parts.header_length);
    }
    return JWT_OK;
}

enum jwt_reason jwt_open(const char *token, size_t length, const struct jwk_set *keys, struct bytes *payload)
{
    unsigned char text[PAYLOAD_MAX_BYTES];
    size_t text_length = 0;
    enum jwt_reason reason = open_into(token, length, keys, text, &text_length);
    if (reason == JWT_OK) {
        bytes_append(payload, text, text_length);
    }
    return reason;
}

/* ---- the claims ---- */

static enum jwt_reason read_time(const json_t *claims, const char *name, int64_t *out_s)
{
    static const double latest_s = 253402300799.0; /* the end of the year 9999 */
    const json_t *member = json_object_get(claims, name);
    double seconds = json_number_value(member);
    if (!member) {
        return JWT_MISSING_CLAIM;
    }
    if (!json_is_number(member) || !isfinite(seconds) || seconds < 0 || seconds > latest_s) {
        return JWT_BAD_CLAIM;
    }
    *out_s = (int64_t)seconds;
    return JWT_OK;
}

/** Text that may be shown, logged and compared: no control characters. */
static enum jwt_reason read_text(const json_t *claims, const char *name, size_t max_bytes, char *out_text)
{
    const json_t *member = json_object_get(claims, name);
    const char *text = json_string_value(member);
    size_t length = json_string_length(member);
    if (!member) {
        return JWT_MISSING_CLAIM;
    }
    if (!text || length == 0 || length > max_bytes) {
        return JWT_BAD_CLAIM;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return JWT_BAD_CLAIM;
        }
    }
    memcpy(out_text, text, length + 1);
    return JWT_OK;
}

/** One name, or several with blanks between them. */
static enum jwt_reason add_roles(const json_t *names, bool may_be_several,
                                 char out_roles[JWT_ROLES_MAX_BYTES + 1])
{
    const char *text = json_string_value(names);
    size_t length = json_string_length(names);
    size_t before = strlen(out_roles);
    size_t blank = before > 0 ? 1 : 0;
    if (!text || before + blank + length > JWT_ROLES_MAX_BYTES || (!may_be_several && strchr(text, ' '))) {
        return JWT_BAD_CLAIM;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return JWT_BAD_CLAIM;
        }
    }
    memcpy(out_roles + before, " ", blank);
    memcpy(out_roles + before + blank, text, length + 1);
    return JWT_OK;
}

/** An array of names, or a text of several, as `scope` is. */
static enum jwt_reason read_roles(const json_t *claims, const char *name,
                                  char out_roles[JWT_ROLES_MAX_BYTES + 1])
{
    const json_t *member = name ? json_object_get(claims, name) : NULL;
    size_t count = json_array_size(member);
    enum jwt_reason reason = count > JWT_ROLES_MAX ? JWT_BAD_CLAIM : JWT_OK;
    out_roles[0] = '\0';
    if (!member) {
        return JWT_OK;
    }
    if (!json_is_array(member)) {
        return add_roles(member, true, out_roles);
    }
    for (size_t i = 0; i < count && reason == JWT_OK; i++) {
        reason = add_roles(json_array_get(member, i), false, out_roles);
    }
    return reason;
}

static enum jwt_reason check_issuer(const json_t *claims, const char *issuer)
{
    const json_t *member = json_object_get(claims, "iss");
    const char *text = json_string_value(member);
    if (member && !text) {
        return JWT_BAD_CLAIM;
    }
    if (!issuer) {
        return JWT_OK;
    }
    return !member ? JWT_MISSING_CLAIM : strcmp(text, issuer) == 0 ? JWT_OK : JWT_WRONG_ISSUER;
}

static enum jwt_reason check_audience(const json_t *claims, const char *audience)
{
    const json_t *member = json_object_get(claims, "aud");
    size_t count = json_is_array(member) ? json_array_size(member) : 1;
    bool is_ours = false;
    if (!member) {
        return audience ? JWT_MISSING_CLAIM : JWT_OK;
    }
    if (count > JWT_AUDIENCES_MAX) {
        return JWT_BAD_CLAIM;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_is_array(member) ? json_array_get(member, i) : member);
        if (!text) {
            return JWT_BAD_CLAIM;
        }
        is_ours = is_ours || (audience && strcmp(text, audience) == 0);
    }
    return is_ours || !audience ? JWT_OK : JWT_WRONG_AUDIENCE;
}

static enum jwt_reason check_times(const json_t *claims, int64_t leeway_s, int64_t now_s,
                                   struct jwt_claims *out_claims)
{
    enum jwt_reason reason = read_time(claims, "exp", &out_claims->expires_s);
    enum jwt_reason of_begin = read_time(claims, "nbf", &out_claims->not_before_s);
    enum jwt_reason of_issue = read_time(claims, "iat", &out_claims->issued_s);
    if (reason != JWT_OK) {
        return reason;
    }
    if (of_begin == JWT_BAD_CLAIM || of_issue == JWT_BAD_CLAIM) {
        return JWT_BAD_CLAIM;
    }
    if (now_s + leeway_s < out_claims->not_before_s) {
        return JWT_NOT_YET_VALID;
    }
    if (now_s + leeway_s < out_claims->issued_s) {
        return JWT_ISSUED_IN_FUTURE;
    }
    return now_s >= out_claims->expires_s + leeway_s ? JWT_EXPIRED : JWT_OK;
}

/** Times last: "expired" means that a newer one of the same would do. */
static enum jwt_reason judge(const json_t *claims, const struct jwt_rules *rules, int64_t now_s,
                             struct jwt_claims *out_claims)
{
    enum jwt_reason reason = read_text(claims, "sub", JWT_SUBJECT_MAX_BYTES, out_claims->subject);
    if (reason == JWT_OK) {
        reason = read_text(claims, "jti", JWT_ID_MAX_BYTES, out_claims->id);
        reason = reason == JWT_MISSING_CLAIM ? JWT_OK : reason;
    }
    if (reason == JWT_OK) {
        reason = read_roles(claims, rules->roles_claim, out_claims->roles);
    }
    if (reason == JWT_OK) {
        reason = check_issuer(claims, rules->issuer);
    }
    if (reason == JWT_OK) {
        reason = check_audience(claims, rules->audience);
    }
    return reason == JWT_OK ? check_times(claims, rules->leeway_s, now_s, out_claims) : reason;
}

enum jwt_reason jwt_verify(const char *token, size_t length, const struct jwk_set *keys,
                           const struct jwt_rules *rules, int64_t now_s, struct jwt_claims *out_claims)
{
    unsigned char text[PAYLOAD_MAX_BYTES];
    size_t text_length = 0;
    json_auto_t *object = NULL;
    struct jwt_claims claims = {.expires_s = 0};
    enum jwt_reason reason = open_into(token, length, keys, text, &text_length);
    if (reason == JWT_OK) {
        reason = parse_object((const char *)text, text_length, JWT_CLAIMS_MAX_DEPTH, &object);
    }
    if (reason == JWT_OK) {
        reason = judge(object, rules, now_s, &claims);
    }
    if (reason == JWT_OK) {
        *out_claims = claims;
    }
    return reason;
}
