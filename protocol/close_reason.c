/*
 * The table of codes. PROTOCOL.md, "Codes", prints the same rows; the unit
 * test reads that table and compares. Whether a viewer may come back follows
 * from the code's range and is not stored.
 */
#include "protocol/close_reason.h"

#include <assert.h>

struct row {
    uint16_t code;
    const char *name;
    const char *message;
};

static const struct row rows[CLOSE_REASON_COUNT] = {
    [CLOSE_NORMAL] = {1000, "normal", "The connection was closed as asked."},
    [CLOSE_GOING_AWAY] = {1001, "going_away", "The gateway is stopping."},
    [CLOSE_PROTOCOL_ERROR] = {1002, "protocol_error", "The frames break the rules of WebSocket."},
    [CLOSE_UNSUPPORTED_DATA] = {1003, "unsupported_data", "Only text messages are understood."},
    [CLOSE_INVALID_TEXT] = {1007, "invalid_text", "The message is not UTF-8, or does not inflate."},
    [CLOSE_TOO_BIG] = {1009, "too_big", "The message is too big."},
    [CLOSE_MALFORMED] = {4000, "malformed", "The message is not one JSON object with distinct members."},
    [CLOSE_UNKNOWN_TYPE] = {4001, "unknown_type", "This type of message is not known."},
    [CLOSE_INVALID_MESSAGE] = {4002, "invalid_message",
                               "A member is missing, of the wrong type, or out of range."},
    [CLOSE_TOO_DEEP] = {4003, "too_deep", "The message is nested too deep."},
    [CLOSE_TOO_MANY_ERRORS] = {4004, "too_many_errors", "Too many messages were refused on this connection."},
    [CLOSE_TOKEN_REQUIRED] = {4100, "token_required", "A token is required."},
    [CLOSE_TOKEN_INVALID] = {4101, "token_invalid", "The token is not valid."},
    [CLOSE_TOKEN_EXPIRED] = {4102, "token_expired", "The token has expired."},
    [CLOSE_FORBIDDEN] = {4103, "forbidden", "The token does not cover this board."},
    [CLOSE_UNKNOWN_BOARD] = {4200, "unknown_board", "There is no such board."},
    [CLOSE_NOT_SUBSCRIBED] = {4201, "not_subscribed", "This board is not subscribed on this connection."},
    [CLOSE_TOO_MANY_SUBSCRIPTIONS] = {4202, "too_many_subscriptions", "Too many boards on one connection."},
    [CLOSE_OVERLOADED] = {4300, "overloaded", "The gateway has reached a limit; try again later."},
    [CLOSE_RATE_LIMITED] = {4301, "rate_limited", "Too many messages in too short a time."},
    [CLOSE_TOO_SLOW] = {4302, "too_slow", "Answers to this viewer's own messages pile up unread."},
    [CLOSE_HELLO_TIMEOUT] = {4303, "hello_timeout", "No hello arrived in time."},
    [CLOSE_INTERNAL] = {4304, "internal", "The gateway failed."},
    [CLOSE_MOVED] = {4400, "moved", "The gateway is draining; reconnect."},
};

static const struct row *row_of(enum close_reason reason)
{
    assert((unsigned)reason < CLOSE_REASON_COUNT);
    return &rows[reason];
}

uint16_t close_reason_code(enum close_reason reason)
{
    return row_of(reason)->code;
}

const char *close_reason_name(enum close_reason reason)
{
    return row_of(reason)->name;
}

const char *close_reason_message(enum close_reason reason)
{
    return row_of(reason)->message;
}

bool close_reason_may_retry(enum close_reason reason)
{
    uint16_t code = row_of(reason)->code;
    return (code >= 1000 && code <= 1002) || code >= 4300;
}

bool close_reason_is_about_token(enum close_reason reason)
{
    uint16_t code = row_of(reason)->code;
    return code >= 4100 && code < 4200;
}

enum close_reason close_reason_of_result(enum result result)
{
    switch (result) {
    case RESULT_OK:
        return CLOSE_NORMAL;
    case RESULT_TOO_BIG:
        return CLOSE_TOO_BIG;
    case RESULT_MALFORMED:
        return CLOSE_MALFORMED;
    case RESULT_INVALID_TEXT:
        return CLOSE_INVALID_TEXT;
    case RESULT_TOO_DEEP:
        return CLOSE_TOO_DEEP;
    case RESULT_UNKNOWN_TYPE:
        return CLOSE_UNKNOWN_TYPE;
    case RESULT_MISSING_FIELD:
    case RESULT_WRONG_TYPE:
    case RESULT_OUT_OF_RANGE:
        return CLOSE_INVALID_MESSAGE;
    case RESULT_UNKNOWN_BOARD:
        return CLOSE_UNKNOWN_BOARD;
    case RESULT_NOT_SUBSCRIBED:
        return CLOSE_NOT_SUBSCRIBED;
    case RESULT_TOO_MANY:
        return CLOSE_TOO_MANY_SUBSCRIPTIONS;
    case RESULT_FORBIDDEN:
        return CLOSE_FORBIDDEN;
    case RESULT_UNAUTHENTICATED:
        return CLOSE_TOKEN_INVALID;
    case RESULT_EXPIRED:
        return CLOSE_TOKEN_EXPIRED;
    case RESULT_FULL:
    case RESULT_NO_MEMORY:
    case RESULT_UNAVAILABLE:
        return CLOSE_OVERLOADED;
    case RESULT_CLOSED:
        return CLOSE_GOING_AWAY;
    default:
        return CLOSE_INTERNAL; /* not an outcome of anything a viewer sends */
    }
}
