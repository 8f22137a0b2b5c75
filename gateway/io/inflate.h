/**
 * One compressed message at a time (permessage-deflate, RFC 7692): every message starts with an empty window, as the
 * handshake says, so one inflater serves all connections.
 */
#ifndef SOPHIA_IO_INFLATE_H
#define SOPHIA_IO_INFLATE_H

#include <stddef.h>

#include "protocol/result.h"

struct inflater;

/** NULL when memory ran out. */
struct inflater *inflater_create(void);
/** NULL is allowed. */
void inflater_destroy(struct inflater *inflater);

/**
 * The message that this payload stands for. max_bytes: of the message, > 0.
 * Owns:   the text is lent until the next call.
 * Cost:   proportional to `length` and at most max_bytes of output.
 * Result: TOO_BIG, MALFORMED (broken, or cut short), NO_MEMORY.
 */
MUST_CHECK enum result inflater_run(struct inflater *inflater, const char *from, size_t length,
                                    size_t max_bytes, const char **out_text, size_t *out_length);

#endif
