/**
 * Names to addresses without blocking the loop (getaddrinfo on libuv's threads).
 *
 * Loop: loop thread; on_done is never called before resolve_start() has returned.
 */
#ifndef SOPHIA_IO_RESOLVE_H
#define SOPHIA_IO_RESOLVE_H

#include "io/loop.h"
#include "protocol/result.h"

struct resolution;

/** address: numeric text of the first address, or NULL with an error to print. */
typedef void resolve_fn(void *context, const char *address, const char *error);

/** A numeric host answers itself at the next turn. NULL when memory ran out. */
struct resolution *resolve_start(struct loop *loop, const char *host, resolve_fn *on_done, void *context);
/**
 * The same, but the address at `index` modulo their number: who counts its attempts tries all that a name
 * has (localhost is often ::1 first, where a server may not listen).
 */
struct resolution *resolve_start_at(struct loop *loop, const char *host, uint32_t index, resolve_fn *on_done,
                                    void *context);
/** on_done will not be called any more. Not after it was. NULL is allowed. */
void resolve_cancel(struct resolution *resolution);

#endif
