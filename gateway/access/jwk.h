/**
 * Keys that sign tokens: a JSON Web Key set read into keys that OpenSSL keeps prepared.
 *
 * A key has exactly one algorithm, its own: `alg` of the JWK, or what `kty` and `crv` imply (oct HS256, RSA RS256, P-256
 * ES256, Ed25519 EdDSA). What a token says about its algorithm is only ever compared with that.
 *
 * Loop: one thread; a key's prepared state is used by each jwk_verify().
 * Spec: RFC 7517, 7518, 8037.
 */
#ifndef SOPHIA_ACCESS_JWK_H
#define SOPHIA_ACCESS_JWK_H

#include <stdbool.h>
#include <stddef.h>

enum jwk_algorithm { JWK_HS256, JWK_RS256, JWK_PS256, JWK_ES256, JWK_EDDSA, JWK_ALGORITHM_COUNT };

enum {
    JWK_SET_MAX_BYTES = 65536,
    JWK_SET_MAX_KEYS = 16,
    JWK_KID_MAX_BYTES = 128,
    JWK_SECRET_MIN_BYTES = 32, /* RFC 7518 section 3.2: no shorter than the digest */
    JWK_SECRET_MAX_BYTES = 512,
    JWK_RSA_MIN_BITS = 2048,
    JWK_RSA_MAX_BITS = 4096,
    JWK_SIGNATURE_MAX_BYTES = JWK_RSA_MAX_BITS / 8,
    JWK_KEPT_HEADER_BYTES = 256, /* of a header that is remembered */
    JWK_PROBLEM_BYTES = 160,
};

/** What the keys are for. A gateway verifies, and refuses to be given private keys. */
enum jwk_purpose { JWK_TO_VERIFY, JWK_TO_SIGN };

struct jwk;
struct jwk_set;

/** "HS256" and so on. */
const char *jwk_algorithm_name(enum jwk_algorithm algorithm);
/** False for a name that is none of ours. */
bool jwk_algorithm_of_name(const char *name, enum jwk_algorithm *out_algorithm);

/**
 * Read {"keys": [...]} or a single key. Keys that are not ours to use (another kty, crv or alg, `use` other than "sig",
 * `key_ops` without ours) are passed over, as RFC 7517 section 5 asks; a key of ours that is wrong refuses the set.
 *
 * Owns:   text is not kept.
 * Errors: NULL with one sentence, without any key material, in out_problem.
 */
struct jwk_set *jwk_set_read(const char *text, size_t length, enum jwk_purpose purpose,
                             char out_problem[JWK_PROBLEM_BYTES]);
/** Wipes what is secret. NULL is allowed. */
void jwk_set_destroy(struct jwk_set *set);

size_t jwk_set_count(const struct jwk_set *set);
const struct jwk *jwk_set_at(const struct jwk_set *set, size_t index);
/** The key of this name, or NULL. Names in a set are distinct. */
const struct jwk *jwk_set_find(const struct jwk_set *set, const char *kid);

/**
 * The key that a good token with this header was signed with, or NULL. Issuers put the same header into every token: who finds
 * it here need not read it again. As it stands in the token; compared, never looked into.
 */
const struct jwk *jwk_set_find_header(const struct jwk_set *set, const char *header, size_t length);
/** A token with this header has been found to be signed with this key. The last one is remembered; one that is too long is not. */
void jwk_keep_header(const struct jwk *key, const char *header, size_t length);

/**
 * A key for RS256 by itself, from the DER of its SubjectPublicKeyInfo. NULL when it is none of JWK_RSA_MIN_BITS to max_bits.
 * Owns: jwk_destroy() it.
 */
struct jwk *jwk_of_rsa(const unsigned char *der, size_t length, int max_bits);
/** Of jwk_of_rsa(), not of a set. NULL is allowed. */
void jwk_destroy(struct jwk *key);

/** "" for a key without a name. */
const char *jwk_kid(const struct jwk *key);
enum jwk_algorithm jwk_algorithm(const struct jwk *key);

/** Is this the key's signature of the text? A signature is as JWS carries it: r and s side by side for ES256. */
bool jwk_verify(const struct jwk *key, const char *text, size_t length, const unsigned char *signature,
                size_t signature_length);
/** For sets read JWK_TO_SIGN. False when OpenSSL failed. */
bool jwk_sign(const struct jwk *key, const char *text, size_t length,
              unsigned char out_signature[JWK_SIGNATURE_MAX_BYTES], size_t *out_length);

#endif
