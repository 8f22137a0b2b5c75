/**
 * One WebSocket connection, server side.
 *
 * Writing is direct: a frame built once is written from where the change
 * happened, when ws_can_write() says that nothing is pending (one system call,
 * about 8 us; the WRITEABLE idiom costs four calls and 16 us; between ws_hold() and
 * ws_release() many connections share one). If something is pending the caller keeps its cursor,
 * asks for on_writable, and computes what is needed then.
 */
#ifndef SOPHIA_IO_WS_H
#define SOPHIA_IO_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/close_reason.h"
#include "protocol/result.h"

struct listener;
struct ws;

struct ws_route {
    const char *path;         /* exact, as "/ws" */
    const char *subprotocol;  /* required; a handshake without it is refused with 400 */
    size_t message_max_bytes; /* larger: closed with 1009 */
    uint32_t fragments_max;
    void *context; /* handed to on_open */

    /**
     * A handshake succeeded. Returns the owner's object for this connection, handed to
     * the other callbacks, or NULL to refuse (closed with 4300).
     */
    void *(*on_open)(void *context, struct ws *ws);
    /** One whole text message; text is not NUL-terminated and lives during the call. */
    void (*on_message)(void *owner, const char *text, size_t length);
    /** What came cannot become a message (too big, binary); the connection is closed with this reason. NULL: nobody counts. */
    void (*on_refused)(void *owner, enum close_reason reason);
    /** Bytes may be written again; called only after ws_request_writable(). */
    void (*on_writable)(void *owner);
    /** The connection is gone; ws is invalid after this returns. Exactly once per on_open that returned an owner. */
    void (*on_closed)(void *owner);
};

/** permessage-deflate was negotiated: text frames whose payload is deflated from an empty window may be written. */
bool ws_deflates(const struct ws *ws);

/** Where it comes from, as http_peer_address() says it; "" when a proxy does not know. Lives until the next call. */
const char *ws_peer_address(const struct ws *ws);

/** Nothing is pending on this connection and it is not closing. It may write what is held. */
bool ws_can_write(struct ws *ws);

/**
 * Write pre-built wire bytes (WebSocket header included), whole.
 *
 * Needs:  ws_can_write(). What the kernel does not take now is copied and
 *         finished by the loop; ws_can_write() is false until then.
 * Result: RESULT_CLOSED when the connection failed; it is being closed then, on_closed follows later. While writes are
 *         held only on_closed tells.
 */
MUST_CHECK enum result ws_write(struct ws *ws, const void *frame, size_t length);

/**
 * From here to ws_release() what is written is held, and leaves together: one write per connection, many connections per
 * system call (io/send_batch.h).
 * Needs: the caller keeps the bytes until ws_release() returns, and returns to the loop only after it.
 */
void ws_hold(struct listener *listener);
void ws_release(struct listener *listener);

void ws_request_writable(struct ws *ws);

/**
 * Ask for a close with this code. Safe in any callback: the close frame is sent and
 * the connection torn down from a timer. Idempotent. on_closed follows.
 */
void ws_close(struct ws *ws, enum close_reason reason);

#endif
