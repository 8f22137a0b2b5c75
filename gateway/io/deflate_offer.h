/**
 * permessage-deflate in a handshake: may what the client offers be accepted, and with which words? Pure.
 *
 * Both sides begin every message with an empty window: that is what makes one compressed frame right for all viewers,
 * and a connection cost no memory. RFC 7692 lets a server answer the two parameters that say so unasked.
 */
#ifndef SOPHIA_IO_DEFLATE_OFFER_H
#define SOPHIA_IO_DEFLATE_OFFER_H

/** What we write refers back 2^12 bytes at most (fanout/deflate.h), so a client may ask for that window, or a larger one. */
#define DEFLATE_ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define DEFLATE_ANSWER_WINDOW "server_max_window_bits=12"
enum { DEFLATE_OFFER_WINDOW_BITS = 12 };

/**
 * The answer to one Sec-WebSocket-Extensions header: the first offer in it that can be accepted, or NULL.
 * An offer with a parameter that is unknown, repeated, or has no good value is none; so is everything from the first
 * breach of the header's grammar on.
 */
const char *deflate_offer_answer(const char *header);

#endif
