/**
 * What we say: encode each message as one line of JSON text.
 *
 * Encoders append to a caller's buffer; a message that did not fit leaves
 * bytes_failed() set. They never allocate beyond that buffer.
 * Spec: PROTOCOL.md, "From the gateway". Schema: schema/gateway_message.json.
 */
#ifndef SOPHIA_PROTOCOL_GATEWAY_MESSAGE_H
#define SOPHIA_PROTOCOL_GATEWAY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/close_reason.h"
#include "protocol/overlay.h"
#include "protocol/position.h"

struct welcome_message {
    int64_t now_ms;
    const char *node;    /* name of this process */
    const char *build;   /* version */
    const char *catalog; /* hash of the definitions in force */
    uint32_t heartbeat_ms;
    bool is_demo;
    bool has_clock;
    int64_t clock_ms; /* echo of hello.clock */
};

enum resume_outcome {
    RESUME_SNAPSHOT, /* a snapshot follows */
    RESUME_UPDATE,   /* one update follows */
    RESUME_WHOLE,    /* nothing was missed, nothing follows */
};

struct subscribed_message {
    const char *board;
    enum resume_outcome resume;
    double max_rate; /* granted; 0 = no limit */
    bool is_hidden;  /* granted */
};

/** One source's health, as heartbeats tell it. */
struct source_health {
    const char *name; /* "demo", "http", "internal", "postgres", "redis" */
    bool is_up;
    const char *reason; /* NULL while up */
    int64_t heard_ms;   /* last time it gave a sign of life, Unix ms; 0 = never */
};

struct heartbeat_message {
    int64_t now_ms;
    const char *catalog;
    bool is_demo;
    const char *board; /* NULL: no board, then position is not sent */
    struct position position;
    const struct source_health *sources;
    size_t source_count;
};

void welcome_encode(const struct welcome_message *message, struct bytes *out);
void subscribed_encode(const struct subscribed_message *message, struct bytes *out);
void unsubscribed_encode(const char *board, struct bytes *out);
void refreshed_encode(struct bytes *out);
/** The viewer's token ends; the connection closes closes_in_ms from now unless it shows another. */
void expiring_encode(uint64_t expires_in_ms, uint64_t closes_in_ms, struct bytes *out);
void pong_encode(int64_t clock_ms, int64_t now_ms, struct bytes *out);

/**
 * snapshot or update, by overlay->is_snapshot. Entries with a NULL value go to "del".
 * changed_at_ms: when the oldest change carried was accepted (update), or now (snapshot).
 * history: for a snapshot, the text of a JSON object {kpi: [[as_of, value], ...]} or NULL.
 */
void overlay_encode(const char *board, const struct overlay *overlay, int64_t changed_at_ms, bool is_demo,
                    const char *history, struct bytes *out);
void heartbeat_encode(const struct heartbeat_message *message, struct bytes *out);
/** url may be NULL: the same address. */
void moved_encode(uint32_t reconnect_in_ms, const char *url, struct bytes *out);
/** board and detail may be NULL. detail is untrusted text and is cut to REASON_MAX_BYTES. */
void error_encode(enum close_reason reason, const char *board, const char *detail, struct bytes *out);

#endif
