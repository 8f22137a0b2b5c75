/**
 * Every size and count that both ends rely on. PROTOCOL.md, "Limits", prints
 * the same numbers; tests compare the two.
 */
#ifndef SOPHIA_PROTOCOL_LIMITS_H
#define SOPHIA_PROTOCOL_LIMITS_H

#define PROTOCOL_NAME "kpi.v1"

enum {
    VIEWER_MESSAGE_MAX_BYTES = 16384, /* one message from a viewer */
    VIEWER_MESSAGE_MAX_DEPTH = 8,
    VIEWER_MESSAGE_MAX_FRAGMENTS = 64,
    TOKEN_MAX_BYTES = 8192,
    TOKEN_ROLES_MAX = 64,
    TOKEN_ROLES_MAX_BYTES = 1024, /* with a blank between two */
    CLIENT_NAME_MAX_BYTES = 64,
    SUBSCRIPTIONS_MAX = 16,          /* boards one viewer may watch */
    VIEWER_ERRORS_MAX = 32,          /* refused messages before the close */
    VIEWER_MESSAGES_PER_SECOND = 50, /* sustained; burst is twice that */

    REPORT_DELAYS_MAX = 8, /* in one report */
    REPORT_DELAY_MAX_MS = 60000,
    REPORT_EVERY_MS = 10000,

    BOARD_ID_MAX_BYTES = 64,
    KPI_ID_MAX_BYTES = 96,
    ROW_KEY_MAX_BYTES = 96,
    FIELD_MAX_BYTES = KPI_ID_MAX_BYTES + 1 + ROW_KEY_MAX_BYTES,
    VALUE_MAX_BYTES = 8192, /* one value as JSON text */
    REASON_MAX_BYTES = 160,
    TABLE_ROWS_MAX = 1000,          /* hard ceiling of a definition's cap */
    BOARD_VIEWS_MAX = 64,           /* watched at one time */
    BOARD_TEXT_MAX_BYTES = 8388608, /* names and values of one board; half of what a snapshot may be */
    HISTORY_POINTS_MAX = 120,
    HISTORY_READ_POINTS_MAX = 4000, /* of one answer that is read from the database */

    CLEAR_BODY_MAX_BYTES = 4096,
    CACHE_NAME_MAX_BYTES = 512, /* a key or class, when clearing the cache */

    INGEST_BODY_MAX_BYTES = 1048576,
    INGEST_ITEMS_MAX = 1000,
    INGEST_MAX_DEPTH = 16,

    EPOCH_TEXT_BYTES = 16, /* lower-case hex digits */
    POSITION_TEXT_MAX_BYTES = 16 + 1 + 16 + 1 + 8,
};

/** Largest integer every JSON reader keeps exact. */
#define INTEGER_MAX_EXACT 9007199254740991LL

/** A producer's clock may run ahead of ours by this much. */
#define FUTURE_AS_OF_MAX_MS 300000LL

#endif
