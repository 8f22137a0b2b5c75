/**
 * Webhooks whose secrets are in files: read, and for a provider that brings its own, written.
 *
 * A call blocks for as long as a small file takes: at the start, at SIGHUP, once for a handshake.
 */
#ifndef SOPHIA_ACCESS_WEBHOOK_SECRETS_H
#define SOPHIA_ACCESS_WEBHOOK_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "access/webhook.h"

enum { WEBHOOK_PROBLEM_BYTES = 512 };

/**
 * options: without secrets. files: newest first, NULL-terminated; one secret each, line ends at its end do not count. For
 * Asana the first may be missing: its handshake is still to come.
 * Errors: NULL, and what is wrong for whoever configured it; never a part of a secret.
 */
struct webhook *webhook_open(const struct webhook_options *options, const char *const *files,
                             char out_problem[WEBHOOK_PROBLEM_BYTES]);
/**
 * Keeps a secret that was offered, readable by us alone. Result: FULL when there is one already, which stays; IO, and
 * errno says why.
 */
MUST_CHECK enum result webhook_secret_store(const char *file, const char *secret);

#endif
