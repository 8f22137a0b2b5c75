/*
 * Keys on OpenSSL's EVP, each prepared once: reading a key and looking up its algorithms costs several times what
 * verifying with it does. RSA and P-256 keep a verifying context that takes digest after digest, HMAC a context that
 * begins anew with the same key. Ed25519 hashes for itself and is begun for each token.
 */
#include "access/jwk.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/base64.h"
#include "protocol/json_depth.h"

enum {
    SET_MAX_DEPTH = 5,     /* {keys: [{x5c: [..]}]} and what others add */
    COORDINATE_BYTES = 32, /* of P-256; r and s have as many */
    ED25519_BYTES = 32,    /* a key, public or private */
    ED25519_SIGNATURE_BYTES = 64,
    NUMBER_MAX_BYTES = JWK_RSA_MAX_BITS / 8,
    EXPONENT_MAX_BYTES = 8, /* a longer one makes verifying as slow as signing */
    NUMBERS_MAX = 8,        /* of a private RSA key */
};

struct header {
    size_t length; /* 0: none yet */
    char text[JWK_KEPT_HEADER_BYTES];
};

struct jwk {
    char kid[JWK_KID_MAX_BYTES + 1];
    enum jwk_algorithm algorithm;
    EVP_PKEY *key;          /* NULL for HS256 */
    EVP_PKEY_CTX *verifier; /* RS256, PS256, ES256 */
    EVP_MAC_CTX *mac;       /* HS256 */
    struct header *header;  /* of the last good token; owned */
};

struct jwk_set {
    struct jwk keys[JWK_SET_MAX_KEYS];
    size_t count;
};

/* Reading: where we are, and what is said when something is wrong. */
struct reading {
    enum jwk_purpose purpose;
    const json_t *object; /* the key */
    size_t index;         /* its place in the set */
    char *problem;        /* JWK_PROBLEM_BYTES */
};

static const char *const algorithm_names[JWK_ALGORITHM_COUNT] = {
    [JWK_HS256] = "HS256", [JWK_RS256] = "RS256", [JWK_PS256] = "PS256",
    [JWK_ES256] = "ES256", [JWK_EDDSA] = "EdDSA",
};

const char *jwk_algorithm_name(enum jwk_algorithm algorithm)
{
    return algorithm_names[algorithm];
}

bool jwk_algorithm_of_name(const char *name, enum jwk_algorithm *out_algorithm)
{
    for (int i = 0; i < JWK_ALGORITHM_COUNT; i++) {
        if (strcmp(name, algorithm_names[i]) == 0) {
            *out_algorithm = (enum jwk_algorithm)i;
            return true;
        }
    }
    return false;
}

const char *jwk_kid(const struct jwk *key)
{
    return key->kid;
}

enum jwk_algorithm jwk_algorithm(const struct jwk *key)
{
    return key->algorithm;
}

static void jwk_finish(struct jwk *key)
{
    EVP_PKEY_CTX_free(key->verifier);
    EVP_MAC_CTX_free(key->mac);
    EVP_PKEY_free(key->key);
    free(key->header);
    *key = (struct jwk){.key = NULL};
}

/* ---- members ---- */

/** Always false, for `return complain(...)`. */
static bool complain(const struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool complain(const struct reading *reading, const char *format, ...)
{
    char words[JWK_PROBLEM_BYTES - 32];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments); /* a longer one is cut */
    va_end(arguments);
    (void)snprintf(reading->problem, JWK_PROBLEM_BYTES, "key %zu: %s", reading->index + 1, words);
    return false;
}

/** "" when absent or not a string. */
static const char *text_of(const struct reading *reading, const char *member)
{
    const char *text = json_string_value(json_object_get(reading->object, member));
    return text ? text : "";
}

static bool has_member(const struct reading *reading, const char *member)
{
    return json_object_get(reading->object, member) != NULL;
}

/** Decode a base64url member of least to most bytes. */
static bool read_bytes(const struct reading *reading, const char *member, unsigned char *to, size_t least,
                       size_t most, size_t *out_length)
{
    const char *text = text_of(reading, member);
    if (!has_member(reading, member)) {
        return complain(reading, "has no \"%s\"", member);
    }
    if (!base64_decode(BASE64_URL, text, strlen(text), to, most, out_length) || *out_length < least) {
        if (least == most) {
            return complain(reading, "\"%s\" is not %zu bytes in base64url", member, most);
        }
        return complain(reading, "\"%s\" is not %zu to %zu bytes in base64url", member, least, most);
    }
    return true;
}

static bool read_kid(const struct reading *reading, struct jwk *key)
{
    if (!has_member(reading, "kid")) {
        return true;
    }
    const char *kid = text_of(reading, "kid");
    size_t length = strlen(kid);
    if (length == 0 || length > JWK_KID_MAX_BYTES) {
        return complain(reading, "\"kid\" is not a text of 1 to %d bytes", JWK_KID_MAX_BYTES);
    }
    for (size_t i = 0; i < length; i++) {
        if (kid[i] <= ' ' || kid[i] > '~') {
            return complain(reading, "\"kid\" holds more than visible ASCII characters");
        }
    }
    memcpy(key->kid, kid, length + 1);
    return true;
}

/* ---- keys of OpenSSL ---- */

/** Numbers gathered for EVP_PKEY_fromdata(), which borrows them until it is done. */
struct numbers {
    OSSL_PARAM_BLD *builder;
    BIGNUM *at[NUMBERS_MAX];
    size_t count;
};

static bool numbers_add(struct numbers *numbers, const char *name, const unsigned char *bytes, size_t length)
{
    BIGNUM *number = BN_secure_new();
    if (!number || !BN_bin2bn(bytes, (int)length, number)) {
        BN_clear_free(number);
        return false;
    }
    numbers->at[numbers->count++] = number;
    return OSSL_PARAM_BLD_push_BN(numbers->builder, name, number) == 1;
}

static void numbers_finish(struct numbers *numbers)
{
    for (size_t i = 0; i < numbers->count; i++) {
        BN_clear_free(numbers->at[i]);
    }
    OSSL_PARAM_BLD_free(numbers->builder);
}

static EVP_PKEY *key_of_numbers(const char *type, enum jwk_purpose purpose, const struct numbers *numbers)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(numbers->builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    int selection = purpose == JWK_TO_SIGN ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    bool is_made = parameters && context && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, &key, selection, parameters) == 1;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return is_made ? key : NULL;
}

/** Is the point on the curve, is the modulus a product of large primes? Once per key, so cost does not matter. */
static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is_good = context && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    return is_good;
}

static const struct {
    const char *member, *name;
    bool is_private;
} rsa_numbers[NUMBERS_MAX] = {
    {"n", OSSL_PKEY_PARAM_RSA_N, false},         {"e", OSSL_PKEY_PARAM_RSA_E, false},
    {"d", OSSL_PKEY_PARAM_RSA_D, true},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1, true},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2, true},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1, true},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2, true}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, true},
};

static bool read_rsa_numbers(const struct reading *reading, struct numbers *numbers)
{
    for (size_t i = 0; i < NUMBERS_MAX; i++) {
        unsigned char bytes[NUMBER_MAX_BYTES];
        const char *member = rsa_numbers[i].member;
        size_t most = strcmp(member, "e") == 0 ? EXPONENT_MAX_BYTES : sizeof bytes;
        size_t length = 0;
        if (rsa_numbers[i].is_private && reading->purpose != JWK_TO_SIGN) {
            break;
        }
        if (!read_bytes(reading, member, bytes, 1, most, &length)) {
            return false;
        }
        bool is_added = numbers_add(numbers, rsa_numbers[i].name, bytes, length);
        OPENSSL_cleanse(bytes, sizeof bytes);
        if (!is_added) {
            return complain(reading, "memory ran out");
        }
    }
    return true;
}

static bool read_rsa(const struct reading *reading, struct jwk *key)
{
    struct numbers numbers = {.builder = OSSL_PARAM_BLD_new()};
    bool is_read = numbers.builder && read_rsa_numbers(reading, &numbers);
    key->key = is_read ? key_of_numbers("RSA", reading->purpose, &numbers) : NULL;
    numbers_finish(&numbers);
    if (!is_read) {
        return false;
    }
    int bits = key->key ? EVP_PKEY_get_bits(key->key) : 0;
    if (bits < JWK_RSA_MIN_BITS || bits > JWK_RSA_MAX_BITS) {
        return complain(reading, "is not an RSA key of %d to %d bits", JWK_RSA_MIN_BITS, JWK_RSA_MAX_BITS);
    }
    return is_sound(key->key) || complain(reading, "is not a sound RSA key");
}

static bool read_p256(const struct reading *reading, struct jwk *key)
{
    unsigned char point[1 + 2 * COORDINATE_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    unsigned char scalar[COORDINATE_BYTES];
    size_t length = 0;
    bool is_private = reading->purpose == JWK_TO_SIGN;
    if (!read_bytes(reading, "x", point + 1, COORDINATE_BYTES, COORDINATE_BYTES, &length) ||
        !read_bytes(reading, "y", point + 1 + COORDINATE_BYTES, COORDINATE_BYTES, COORDINATE_BYTES,
                    &length) ||
        (is_private && !read_bytes(reading, "d", scalar, COORDINATE_BYTES, COORDINATE_BYTES, &length))) {
        return false;
    }
    struct numbers numbers = {.builder = OSSL_PARAM_BLD_new()};
    bool is_built =
        numbers.builder &&
        OSSL_PARAM_BLD_push_utf8_string(numbers.builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(numbers.builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) ==
            1 &&
        (!is_private || numbers_add(&numbers, OSSL_PKEY_PARAM_PRIV_KEY, scalar, sizeof scalar));
    key->key = is_built ? key_of_numbers("EC", reading->purpose, &numbers) : NULL;
    numbers_finish(&numbers);
    OPENSSL_cleanse(scalar, sizeof scalar);
    return (key->key && is_sound(key->key)) || complain(reading, "is no point of P-256");
}

static bool read_ed25519(const struct reading *reading, struct jwk *key)
{
    unsigned char bytes[ED25519_BYTES];
    size_t length = 0;
    bool is_private = reading->purpose == JWK_TO_SIGN;
    if (!read_bytes(reading, is_private ? "d" : "x", bytes, sizeof bytes, sizeof bytes, &length)) {
        return false;
    }
    key->key = is_private ? EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, bytes, sizeof bytes)
                          : EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return key->key || complain(reading, "is not a key of Ed25519");
}

static bool read_secret(const struct reading *reading, struct jwk *key)
{
    unsigned char secret[JWK_SECRET_MAX_BYTES];
    size_t length = 0;
    if (!read_bytes(reading, "k", secret, JWK_SECRET_MIN_BYTES, sizeof secret, &length)) {
        OPENSSL_cleanse(secret, sizeof secret);
        return false;
    }
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    key->mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool is_ready = key->mac && EVP_MAC_init(key->mac, secret, length, parameters) == 1;
    EVP_MAC_free(mac);
    OPENSSL_cleanse(secret, sizeof secret);
    return is_ready || complain(reading, "OpenSSL did not take the secret");
}

/** What every RSA or P-256 token is verified with. */
static bool prepare_verifier(struct jwk *key)
{
    key->header = calloc(1, sizeof *key->header);
    if (!key->header) {
        return false;
    }
    if (key->algorithm == JWK_HS256 || key->algorithm == JWK_EDDSA) {
        return true;
    }
    EVP_PKEY_CTX *verifier = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
    key->verifier = verifier;
    bool is_ready = verifier && EVP_PKEY_verify_init(verifier) == 1;
    if (key->algorithm == JWK_RS256) {
        is_ready = is_ready && EVP_PKEY_CTX_set_rsa_padding(verifier, RSA_PKCS1_PADDING) == 1;
    } else if (key->algorithm == JWK_PS256) {
        is_ready = is_ready && EVP_PKEY_CTX_set_rsa_padding(verifier, RSA_PKCS1_PSS_PADDING) == 1 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(verifier, EVP_sha256()) == 1 &&
                   EVP_PKEY_CTX_set_rsa_pss_saltlen(verifier, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    return is_ready && EVP_PKEY_CTX_set_signature_md(verifier, EVP_sha256()) == 1;
}

/* ---- one key of a set ---- */

typedef bool read_key_function(const struct reading *reading, struct jwk *key);

/** By kty, crv and alg. The first row of a kty is what it means without alg. */
static const struct kind {
    const char *kty, *crv; /* crv NULL: the kind has none */
    enum jwk_algorithm algorithm;
    read_key_function *read;
} kinds[] = {
    {"oct", NULL, JWK_HS256, read_secret},       {"RSA", NULL, JWK_RS256, read_rsa},
    {"RSA", NULL, JWK_PS256, read_rsa},          {"EC", "P-256", JWK_ES256, read_p256},
    {"OKP", "Ed25519", JWK_EDDSA, read_ed25519},
};

static const struct kind *kind_of(const struct reading *reading)
{
    const char *alg = text_of(reading, "alg");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct kind *kind = &kinds[i];
        if (strcmp(text_of(reading, "kty"), kind->kty) == 0 &&
            (!kind->crv || strcmp(text_of(reading, "crv"), kind->crv) == 0) &&
            (!has_member(reading, "alg") || strcmp(alg, algorithm_names[kind->algorithm]) == 0)) {
            return kind;
        }
    }
    return NULL;
}

static bool is_for_us(const struct reading *reading)
{
    const json_t *operations = json_object_get(reading->object, "key_ops");
    const char *ours = reading->purpose == JWK_TO_SIGN ? "sign" : "verify";
    if (has_member(reading, "use") && strcmp(text_of(reading, "use"), "sig") != 0) {
        return false;
    }
    bool is_listed = operations == NULL;
    for (size_t i = 0; i < json_array_size(operations); i++) {
        const char *operation = json_string_value(json_array_get(operations, i));
        is_listed = is_listed || (operation && strcmp(operation, ours) == 0);
    }
    return is_listed;
}

static bool read_key(const struct reading *reading, const struct kind *kind, struct jwk *key)
{
    key->algorithm = kind->algorithm;
    if (reading->purpose == JWK_TO_VERIFY && key->algorithm != JWK_HS256 && has_member(reading, "d")) {
        return complain(reading, "is a private key: only its public part belongs here");
    }
    return read_kid(reading, key) && kind->read(reading, key) &&
           (prepare_verifier(key) || complain(reading, "OpenSSL did not take the key"));
}

static bool read_one(const struct reading *reading, struct jwk_set *set)
{
    if (!json_is_object(reading->object)) {
        return complain(reading, "is not a JSON object");
    }
    const struct kind *kind = kind_of(reading);
    if (!kind || !is_for_us(reading)) {
        return true; /* passed over */
    }
    if (set->count == JWK_SET_MAX_KEYS) {
        return complain(reading, "is one more than the %d a set may hold", JWK_SET_MAX_KEYS);
    }
    struct jwk *key = &set->keys[set->count++]; /* in the set already: what is wrong goes with it */
    if (!read_key(reading, kind, key)) {
        return false;
    }
    for (const struct jwk *other = set->keys; other < key; other++) {
        if (strcmp(other->kid, key->kid) == 0 && key->kid[0] != '\0') {
            return complain(reading, "has the \"kid\" of another key");
        }
    }
    return true;
}

/* ---- sets ---- */

static bool read_all(struct jwk_set *set, const json_t *root, enum jwk_purpose purpose, char *problem)
{
    struct reading reading = {.purpose = purpose, .object = root, .problem = problem};
    const json_t *keys = json_object_get(root, "keys");
    if (json_object_get(root, "kty")) {
        if (!read_one(&reading, set)) {
            return false;
        }
    } else if (!json_is_array(keys)) {
        (void)snprintf(problem, JWK_PROBLEM_BYTES, "is neither a JWK set ({\"keys\": [...]}) nor a JWK");
        return false;
    }
    for (reading.index = 0; reading.index < json_array_size(keys); reading.index++) {
        reading.object = json_array_get(keys, reading.index);
        if (!read_one(&reading, set)) {
            return false;
        }
    }
    if (set->count == 0) {
        (void)snprintf(problem, JWK_PROBLEM_BYTES,
                       "holds no key for HS256, RS256, PS256, ES256 or EdDSA that is for signatures");
    }
    return set->count > 0;
}

struct jwk_set *jwk_set_read(const char *text, size_t length, enum jwk_purpose purpose,
                             char out_problem[JWK_PROBLEM_BYTES])
{
    json_error_t error;
    (void)snprintf(out_problem, JWK_PROBLEM_BYTES,
                   "cannot be read: memory ran out"); /* unless something else is said */
    if (length > JWK_SET_MAX_BYTES || json_is_deeper(text, length, SET_MAX_DEPTH)) {
        (void)snprintf(out_problem, JWK_PROBLEM_BYTES, "is larger than %d bytes, or nested deeper than %d",
                       JWK_SET_MAX_BYTES, SET_MAX_DEPTH);
        return NULL;
    }
    json_auto_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!root) { /* jansson's words may quote the text */
        (void)snprintf(out_problem, JWK_PROBLEM_BYTES, "is not JSON with distinct members, line %d column %d",
                       error.line, error.column);
        return NULL;
    }
    struct jwk_set *set = calloc(1, sizeof *set);
    if (!set) {
        return NULL;
    }
    ERR_clear_error();
    bool is_read = read_all(set, root, purpose, out_problem);
    ERR_clear_error(); /* said in our own words */
    if (!is_read) {
        jwk_set_destroy(set);
        return NULL;
    }
    return set;
}

void jwk_set_destroy(struct jwk_set *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        jwk_finish(&set->keys[i]);
    }
    free(set);
}

size_t jwk_set_count(const struct jwk_set *set)
{
    return set->count;
}

const struct jwk *jwk_set_at(const struct jwk_set *set, size_t index)
{
    return &set->keys[index];
}

const struct jwk *jwk_set_find(const struct jwk_set *set, const char *kid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->keys[i].kid, kid) == 0) {
            return &set->keys[i];
        }
    }
    return NULL;
}

const struct jwk *jwk_set_find_header(const struct jwk_set *set, const char *header, size_t length)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct header *kept = set->keys[i].header;
        if (kept->length > 0 && kept->length == length && memcmp(kept->text, header, length) == 0) {
            return &set->keys[i];
        }
    }
    return NULL;
}

void jwk_keep_header(const struct jwk *key, const char *header, size_t length)
{
    if (length <= sizeof key->header->text) {
        memcpy(key->header->text, header, length);
        key->header->length = length;
    }
}

/* ---- a key by itself ---- */

struct jwk *jwk_of_rsa(const unsigned char *der, size_t length, int max_bits)
{
    const unsigned char *at = der;
    struct jwk *key = calloc(1, sizeof *key);
    if (key) {
        key->algorithm = JWK_RS256;
        key->key = d2i_PUBKEY(NULL, &at, (long)length);
    }
    if (!key || !key->key || at != der + length || !EVP_PKEY_is_a(key->key, "RSA") ||
        EVP_PKEY_get_bits(key->key) < JWK_RSA_MIN_BITS || EVP_PKEY_get_bits(key->key) > max_bits ||
        !prepare_verifier(key)) {
        jwk_destroy(key);
        key = NULL;
    }
    ERR_clear_error(); /* said by NULL */
    return key;
}

void jwk_destroy(struct jwk *key)
{
    if (key) {
        jwk_finish(key);
        free(key);
    }
}

/* ---- signatures ---- */

/** ES256: r and s side by side, as OpenSSL wants them: a DER sequence of two integers. Returns its length. */
enum { DER_MAX_BYTES = 2 + 2 * (2 + 1 + COORDINATE_BYTES) };
static size_t der_of(const unsigned char *signature, unsigned char out_der[DER_MAX_BYTES])
{
    unsigned char *at = out_der + 2;
    for (int i = 0; i < 2; i++) {
        const unsigned char *number = signature + (size_t)i * COORDINATE_BYTES;
        size_t length = COORDINATE_BYTES;
        while (length > 1 && *number == 0) {
            number++;
            length--;
        }
        size_t sign = *number >> 7; /* a leading bit would make it negative */
        *at++ = 0x02;
        *at++ = (unsigned char)(length + sign);
        *at = 0;
        at += sign;
        memcpy(at, number, length);
        at += length;
    }
    out_der[0] = 0x30;
    out_der[1] = (unsigned char)(at - out_der - 2);
    return (size_t)(at - out_der);
}

/** The other way; false for what is no such sequence. */
static bool der_into(const unsigned char *der, size_t length,
                     unsigned char out_signature[2 * COORDINATE_BYTES])
{
    const unsigned char *at = der + 2, *end = der + length;
    memset(out_signature, 0, 2 * COORDINATE_BYTES);
    for (int i = 0; i < 2; i++) {
        if (end - at < 2 || end - at - 2 < at[1]) {
            return false;
        }
        size_t size = at[1];
        const unsigned char *number = at + 2;
        at += 2 + size;
        for (; size > 0 && *number == 0; size--) {
            number++;
        }
        if (size > COORDINATE_BYTES) {
            return false;
        }
        memcpy(out_signature + (size_t)(i + 1) * COORDINATE_BYTES - size, number, size);
    }
    return true;
}

static bool hmac(EVP_MAC_CTX *mac, const char *text, size_t length, unsigned char out[SHA256_DIGEST_LENGTH])
{
    size_t written = 0;
    return EVP_MAC_init(mac, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(mac, (const unsigned char *)text, length) == 1 &&
           EVP_MAC_final(mac, out, &written, SHA256_DIGEST_LENGTH) == 1 && written == SHA256_DIGEST_LENGTH;
}

static bool verify_mac(const struct jwk *key, const char *text, size_t length, const unsigned char *signature,
                       size_t signature_length)
{
    unsigned char expected[SHA256_DIGEST_LENGTH];
    return signature_length == sizeof expected && hmac(key->mac, text, length, expected) &&
           CRYPTO_memcmp(expected, signature, sizeof expected) == 0;
}

static bool verify_eddsa(const struct jwk *key, const char *text, size_t length,
                         const unsigned char *signature, size_t signature_length)
{
    EVP_MD_CTX *context = signature_length == ED25519_SIGNATURE_BYTES ? EVP_MD_CTX_new() : NULL;
    bool is_good =
        context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
        EVP_DigestVerify(context, signature, signature_length, (const unsigned char *)text, length) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

static bool verify_digest(const struct jwk *key, const char *text, size_t length,
                          const unsigned char *signature, size_t signature_length)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    unsigned char der[DER_MAX_BYTES];
    size_t expected =
        key->algorithm == JWK_ES256 ? 2 * COORDINATE_BYTES : (size_t)EVP_PKEY_get_size(key->key);
    if (signature_length != expected || !SHA256((const unsigned char *)text, length, digest)) {
        return false;
    }
    if (key->algorithm == JWK_ES256) {
        signature_length = der_of(signature, der);
        signature = der;
    }
    return EVP_PKEY_verify(key->verifier, signature, signature_length, digest, sizeof digest) == 1;
}

bool jwk_verify(const struct jwk *key, const char *text, size_t length, const unsigned char *signature,
                size_t signature_length)
{
    bool is_good = key->algorithm == JWK_HS256 ? verify_mac(key, text, length, signature, signature_length)
                   : key->algorithm == JWK_EDDSA
                       ? verify_eddsa(key, text, length, signature, signature_length)
                       : verify_digest(key, text, length, signature, signature_length);
    if (!is_good) {
        ERR_clear_error(); /* a wrong signature may leave errors that others would read as theirs */
    }
    return is_good;
}

static bool sign_with_key(const struct jwk *key, const char *text, size_t length,
                          unsigned char *out_signature, size_t *out_length)
{
    EVP_PKEY_CTX *padding = NULL; /* belongs to context */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = key->algorithm == JWK_EDDSA ? NULL : EVP_sha256();
    bool is_good = context && EVP_DigestSignInit(context, &padding, digest, NULL, key->key) == 1;
    if (key->algorithm == JWK_PS256) {
        is_good = is_good && EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    *out_length = JWK_SIGNATURE_MAX_BYTES;
    is_good = is_good &&
              EVP_DigestSign(context, out_signature, out_length, (const unsigned char *)text, length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

bool jwk_sign(const struct jwk *key, const char *text, size_t length,
              unsigned char out_signature[JWK_SIGNATURE_MAX_BYTES], size_t *out_length)
{
    if (key->algorithm == JWK_HS256) {
        *out_length = SHA256_DIGEST_LENGTH;
        return hmac(key->mac, text, length, out_signature);
    }
    if (!sign_with_key(key, text, length, out_signature, out_length)) {
        return false;
    }
    if (key->algorithm == JWK_ES256) {
        unsigned char pair[2 * COORDINATE_BYTES];
        if (!der_into(out_signature, *out_length, pair)) {
            return false;
        }
        memcpy(out_signature, pair, sizeof pair);
        *out_length = sizeof pair;
    }
    return true;
}
