/**
 * Every outcome the project can return, with one stable name each.
 *
 * The name (result_name) is what logs, metrics and the wire print, so an
 * operator can search for one word from the screen back to the code.
 */
#ifndef SOPHIA_PROTOCOL_RESULT_H
#define SOPHIA_PROTOCOL_RESULT_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum result {
    RESULT_OK = 0,
    /* our own limits */
    RESULT_NO_MEMORY,
    RESULT_TOO_BIG, /* a buffer, message or value is over its cap */
    RESULT_FULL,    /* a table or queue is at its cap */
    /* what a peer sent */
    RESULT_MALFORMED,    /* not JSON, not an object, duplicate members */
    RESULT_INVALID_TEXT, /* not UTF-8 */
    RESULT_TOO_DEEP,
    RESULT_UNKNOWN_TYPE,
    RESULT_MISSING_FIELD,
    RESULT_WRONG_TYPE,
    RESULT_OUT_OF_RANGE,
    RESULT_UNKNOWN_FIELD, /* no KPI of the catalogue owns this field */
    RESULT_UNKNOWN_BOARD,
    RESULT_UNKNOWN_POSITION, /* epoch or nonce not ours: send a snapshot */
    RESULT_FUTURE,           /* as_of lies too far in the future */
    RESULT_NOT_SUBSCRIBED,
    RESULT_TOO_MANY, /* subscriptions, items, columns */
    RESULT_FORBIDDEN,
    RESULT_UNAUTHENTICATED,
    RESULT_EXPIRED, /* a token whose time is over */
    /* what the journal decided */
    RESULT_UNCHANGED,     /* accepted, nothing to tell */
    RESULT_OLDER,         /* a newer version is known */
    RESULT_OTHER_LINEAGE, /* its versions belong to another history of the source than the board's */
    /* the world */
    RESULT_UNAVAILABLE, /* an upstream is down; try again */
    RESULT_CLOSED,      /* the peer or object is going away */
    RESULT_IO,          /* the operating system refused */
    RESULT_COUNT
};

/** Stable lower_snake_case name, never NULL. */
const char *result_name(enum result result);

/** The journal holds the change, or something that makes it superfluous: nothing is left to do about it. */
bool result_is_settled(enum result outcome);

#endif
