/**
 * Who comes in with a signed token: the keys in force, what tokens must say, and what became of those that were shown.
 *
 * Keys are read from a file, again at each reload, or fetched from their issuer (jwks_feed.h); what is wrong changes nothing. Two
 * keys are valid side by side, which is how one takes over from another.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_ACCESS_TOKEN_DOOR_H
#define SOPHIA_ACCESS_TOKEN_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "access/jwt.h"
#include "access/revocations.h"
#include "base/metrics.h"

struct token_door;

struct token_door_options {
    const char *jwk_file; /* outlives the door, as do all texts; NULL: jwks_url is given */
    const char *jwks_url; /* NULL: jwk_file is given */
    const char *ca_file;  /* of jwks_url; NULL: those of the system */
    uint32_t refresh_s;   /* of jwks_url */
    struct loop *loop;    /* of jwks_url; may be NULL without */
    struct jwt_rules rules;
    uint32_t max_cached;               /* good tokens to remember; 0: none */
    const struct revocations *revoked; /* NULL: nothing ever is; outlives the door */
};

/** Reads the keys, or begins to fetch them. NULL after logging why. */
struct token_door *token_door_create(const struct token_door_options *options, struct metrics *metrics);
/** NULL is allowed. */
void token_door_destroy(struct token_door *door);

/** Read the keys again. False: the ones before stay; logged and counted. Fetching has no outcome yet: true. */
bool token_door_reload(struct token_door *door);

/**
 * As jwt_verify(), counted by reason; REVOKED for what is good and revoked.
 * KEYS_COMING while the key that a token names may be on its way.
 * A token that was good before is not verified again until it ends or keys are read: gw_auth_token_cache_total says how
 * many were known.
 */
enum jwt_reason token_door_check(struct token_door *door, const char *token, size_t length, int64_t now_s,
                                 struct jwt_claims *out_claims);

/** Fetched keys: were there any yet? Has their issuer not confirmed them for long? For health; a file is always as it was read. */
bool token_door_has_keys(const struct token_door *door);
bool token_door_is_late(const struct token_door *door);

/** Bring the age of the keys up to date: before metrics are shown. */
void token_door_tick(struct token_door *door, int64_t now_s);

#endif
