/**
 * One message at a time, deflated from an empty window: the payload of a permessage-deflate frame (RFC 7692, 7.2.1).
 *
 * A payload that refers to nothing before it is right for every viewer that negotiated the extension, whatever else
 * it was sent, so one serves them all and no viewer has a state of its own.
 *
 * Pure: bytes in, bytes out. Loop thread.
 */
#ifndef SOPHIA_FANOUT_DEFLATE_H
#define SOPHIA_FANOUT_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DEFLATE_MAX_BYTES: larger messages are left as they are. One takes up to 2 ms, which the loop spends on nothing else.
 * DEFLATE_WINDOW_BITS: no payload refers further back than 2^12 bytes; the handshake promises it where it is asked to
 * (io/deflate_offer.h).
 */
enum { DEFLATE_MAX_BYTES = 128 * 1024, DEFLATE_WINDOW_BITS = 12 };

struct deflater;

/** NULL when memory ran out. */
struct deflater *deflater_create(void);
/** NULL is allowed. */
void deflater_destroy(struct deflater *deflater);

/** False: it does not fit into `capacity` bytes; nothing in `to` is of use then. length <= DEFLATE_MAX_BYTES. */
bool deflater_run(struct deflater *deflater, const char *from, size_t length, uint8_t *to, size_t capacity,
                  size_t *out_length);

#endif
