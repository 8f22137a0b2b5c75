/**
 * Who may read, who may publish.
 *
 * This version knows shared bearer keys: one that lets viewers in, one that
 * lets producers in, one for operators. Keys are compared in constant time. With no viewer key every
 * viewer may read; with no ingest key producers must come from loopback; with no admin key nobody may administrate.
 */
#ifndef SOPHIA_ACCESS_ACCESS_H
#define SOPHIA_ACCESS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/result.h"

struct access;

struct access_options {
    const char *viewer_key; /* NULL: viewers need none */
    const char *ingest_key; /* NULL: producers need none, but must come from loopback */
    const char *admin_key;  /* NULL: nobody may administrate */
};

struct access *access_create(const struct access_options *options);
void access_destroy(struct access *access);

bool access_viewer_needs_token(const struct access *access);
bool access_ingest_needs_key(const struct access *access);

/** token may be NULL. Result: UNAUTHENTICATED when missing, FORBIDDEN when wrong. */
MUST_CHECK enum result access_check_viewer(const struct access *access, const char *token);
/** authorization: the header's value ("Bearer ..."), or NULL. */
MUST_CHECK enum result access_check_viewer_header(const struct access *access, const char *authorization);
MUST_CHECK enum result access_check_ingest(const struct access *access, const char *authorization,
                                           bool peer_is_loopback);
/** May the peer change what others get, such as clear the cache? Result: as above; FORBIDDEN always without an admin key. */
MUST_CHECK enum result access_may_administrate(const struct access *access, const char *authorization);

#endif
