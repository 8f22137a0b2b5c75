/**
 * One table: why a connection ends or a message is refused; code, name, and
 * whether the viewer may come back. The range of the code says what to do
 * (PROTOCOL.md, "Codes"): 40xx fix the client, 41xx get a new token, 42xx this
 * request only, 43xx reconnect with backoff, 44xx reconnect when told.
 */
#ifndef SOPHIA_PROTOCOL_CLOSE_REASON_H
#define SOPHIA_PROTOCOL_CLOSE_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/result.h"

enum close_reason {
    CLOSE_NORMAL,                 /* 1000 */
    CLOSE_GOING_AWAY,             /* 1001 */
    CLOSE_PROTOCOL_ERROR,         /* 1002 frames against RFC 6455 */
    CLOSE_UNSUPPORTED_DATA,       /* 1003 binary frame */
    CLOSE_INVALID_TEXT,           /* 1007 not UTF-8 */
    CLOSE_TOO_BIG,                /* 1009 */
    CLOSE_MALFORMED,              /* 4000 not a JSON object */
    CLOSE_UNKNOWN_TYPE,           /* 4001 error only */
    CLOSE_INVALID_MESSAGE,        /* 4002 error only */
    CLOSE_TOO_DEEP,               /* 4003 */
    CLOSE_TOO_MANY_ERRORS,        /* 4004 */
    CLOSE_TOKEN_REQUIRED,         /* 4100 */
    CLOSE_TOKEN_INVALID,          /* 4101 */
    CLOSE_TOKEN_EXPIRED,          /* 4102 */
    CLOSE_FORBIDDEN,              /* 4103 error only */
    CLOSE_UNKNOWN_BOARD,          /* 4200 error only */
    CLOSE_NOT_SUBSCRIBED,         /* 4201 error only */
    CLOSE_TOO_MANY_SUBSCRIPTIONS, /* 4202 error only */
    CLOSE_OVERLOADED,             /* 4300 */
    CLOSE_RATE_LIMITED,           /* 4301 */
    CLOSE_TOO_SLOW,               /* 4302 does not read its own answers */
    CLOSE_HELLO_TIMEOUT,          /* 4303 */
    CLOSE_INTERNAL,               /* 4304 */
    CLOSE_MOVED,                  /* 4400 draining */
    CLOSE_REASON_COUNT
};

uint16_t close_reason_code(enum close_reason reason);
/** Stable lower_snake_case name: wire, logs and metrics use it. */
const char *close_reason_name(enum close_reason reason);
/** One sentence for a person. */
const char *close_reason_message(enum close_reason reason);
/** May the viewer repeat the connection unchanged? */
bool close_reason_may_retry(enum close_reason reason);
/** Does the viewer need another token, or more of a right than it has? */
bool close_reason_is_about_token(enum close_reason reason);
/** What a decoder's result means for the peer that sent the message. */
enum close_reason close_reason_of_result(enum result result);

#endif
