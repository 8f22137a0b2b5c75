/**
 * The bytes of one connection to Redis: a non-blocking socket, what waits to be
 * written, and replies out of what was read. Used by redis_link.c alone.
 *
 * Everything a server can make grow has a cap: REDIS_WIRE_REPLY_BYTES, _ELEMENTS. What it cannot take off
 * our hands stops at REDIS_WIRE_OUTPUT_BYTES.
 */
#ifndef SOPHIA_IO_REDIS_LINK_WIRE_H
#define SOPHIA_IO_REDIS_LINK_WIRE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/result.h"

enum {
    REDIS_WIRE_REPLY_BYTES = 64 << 20,
    REDIS_WIRE_REPLY_ELEMENTS = 1 << 20,
    REDIS_WIRE_OUTPUT_BYTES = 32 << 20,
};

struct redis_wire {
    int fd;              /* -1: none */
    redisReader *reader; /* owned */
    redisReplyObjectFunctions functions;
    bool has_too_many;  /* an array over the cap was announced */
    size_t reply_bytes; /* read since the last whole reply */
    struct bytes out;
    size_t written; /* of out */
};

/** Allocates nothing. */
void redis_wire_init(struct redis_wire *wire);
/** Closes the socket and forgets both directions; it may be dialled again. */
void redis_wire_close(struct redis_wire *wire);

/** Begin to connect; writable or failed tells the end. address: numeric. Result: IO with errno, NO_MEMORY. */
MUST_CHECK enum result redis_wire_dial(struct redis_wire *wire, const char *address, uint16_t port);
MUST_CHECK enum result redis_wire_dial_unix(struct redis_wire *wire, const char *path);
/** errno of the socket since it was last asked; 0: connected. */
int redis_wire_error(const struct redis_wire *wire);

/** Queue a command. lengths NULL: NUL-terminated. Result: FULL, NO_MEMORY; nothing is queued then. */
MUST_CHECK enum result redis_wire_append(struct redis_wire *wire, size_t argc, const char *const *argv,
                                         const size_t *lengths);
/** Write what the socket takes. false: broken, see errno. */
bool redis_wire_flush(struct redis_wire *wire);
bool redis_wire_has_output(const struct redis_wire *wire);

enum redis_wire_read { REDIS_WIRE_SOME, REDIS_WIRE_NOTHING, REDIS_WIRE_END, REDIS_WIRE_FAILED };
/** Read once. FAILED: see errno. */
enum redis_wire_read redis_wire_fill(struct redis_wire *wire);
/** The next whole reply, for freeReplyObject(); NULL: not yet. false: not Redis, or too big; says which. */
bool redis_wire_next(struct redis_wire *wire, redisReply **out_reply, const char **out_error);

#endif
