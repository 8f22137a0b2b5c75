/**
 * Tokens that were found good, by their digest, so that who comes back costs no signature check.
 *
 * Only good tokens get in, so nobody fills it with forgeries; when it is full, the one that was not shown for the longest
 * time leaves. What changes what "good" means (other keys) clears it.
 *
 * Cost: a SHA-256 of the token and a look-up; about 250 bytes a token.
 */
#ifndef SOPHIA_ACCESS_TOKEN_CACHE_H
#define SOPHIA_ACCESS_TOKEN_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "access/jwt.h"

enum { TOKEN_DIGEST_BYTES = 32 };

struct token_cache;

/** max_tokens: at least 1. NULL when memory ran out. */
struct token_cache *token_cache_create(size_t max_tokens);
/** NULL is allowed. */
void token_cache_destroy(struct token_cache *cache);
void token_cache_clear(struct token_cache *cache);

/** False when the library could not hash (memory). */
bool token_digest(const char *token, size_t length, unsigned char out_digest[TOKEN_DIGEST_BYTES]);

/** What was kept under this digest. Whether its time is over is the caller's to see. */
bool token_cache_find(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES],
                      struct jwt_claims *out_claims);
/** True when another had to leave for it. Without memory it is not kept. */
bool token_cache_keep(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES],
                      const struct jwt_claims *claims);
void token_cache_drop(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES]);
size_t token_cache_count(const struct token_cache *cache);

#endif
