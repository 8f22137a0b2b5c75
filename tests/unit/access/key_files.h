/**
 * The key sets beside these tests.
 */
#ifndef SOPHIA_TESTS_ACCESS_KEY_FILES_H
#define SOPHIA_TESTS_ACCESS_KEY_FILES_H

#include "access/jwk.h"

/** A file of tests/unit/access, NUL-terminated, to be freed. Fails the running test when it cannot be read. */
char *key_file_read(const char *name);
/** signing_keys.json or verifying_keys.json, or fails the running test. */
struct jwk_set *key_file_load(enum jwk_purpose purpose);
/** A whole token: header and claims signed with the key of this kid in keys. To be freed. */
char *token_sign(const struct jwk_set *keys, const char *kid, const char *header, const char *claims);

#endif
