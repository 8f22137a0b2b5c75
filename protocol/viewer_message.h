/**
 * What a viewer says: decode and validate one message.
 * Spec: PROTOCOL.md, "From the viewer". Schema: schema/viewer_message.json.
 */
#ifndef SOPHIA_PROTOCOL_VIEWER_MESSAGE_H
#define SOPHIA_PROTOCOL_VIEWER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/limits.h"
#include "protocol/position.h"
#include "protocol/result.h"

enum viewer_message_type {
    VIEWER_HELLO,
    VIEWER_SUBSCRIBE,
    VIEWER_QUALITY,
    VIEWER_UNSUBSCRIBE,
    VIEWER_REFRESH,
    VIEWER_PING,
    VIEWER_REPORT,
    VIEWER_MESSAGE_TYPE_COUNT
};

/** What the viewer asks for; unset members keep what was granted before. */
struct viewer_quality {
    bool has_max_rate;
    double max_rate; /* updates per second; 0 lifts the limit; else 0.01 .. 100 */
    bool has_hidden;
    bool is_hidden; /* nobody looks at it: hold updates back */
};

struct viewer_message {
    enum viewer_message_type type;
    char board[BOARD_ID_MAX_BYTES + 1]; /* SUBSCRIBE, QUALITY, UNSUBSCRIBE */
    bool has_position;
    struct position position;               /* SUBSCRIBE */
    struct viewer_quality quality;          /* SUBSCRIBE, QUALITY */
    char *token;                            /* HELLO, REFRESH: owned, NULL when absent */
    char client[CLIENT_NAME_MAX_BYTES + 1]; /* HELLO */
    bool has_clock;
    int64_t clock_ms; /* HELLO, PING: the viewer's clock, echoed */
    uint32_t delay_count;
    double delays_ms
        [REPORT_DELAYS_MAX]; /* REPORT: from a change until it was on screen, 0 .. REPORT_DELAY_MAX_MS */
};

/**
 * Decode one text message.
 *
 * Owns:   on RESULT_OK the caller calls viewer_message_finish().
 * Result: INVALID_TEXT (not UTF-8), MALFORMED (not JSON, not an object, duplicate member), TOO_BIG, TOO_DEEP,
 *         UNKNOWN_TYPE, MISSING_FIELD, WRONG_TYPE, OUT_OF_RANGE, NO_MEMORY. A position that does
 *         not parse is not an error: has_position is false and the viewer gets a snapshot.
 *         out_problem points to static text naming the member at fault, or is NULL.
 */
MUST_CHECK enum result viewer_message_decode(const char *text, size_t length,
                                             struct viewer_message *out_message, const char **out_problem);
/** Wipes and frees the token. Safe on a zeroed struct and NULL. */
void viewer_message_finish(struct viewer_message *message);

#endif
