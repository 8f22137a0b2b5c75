/**
 * WebSocket frames from a client (RFC 6455, section 5): bytes in, events out, as they come. Pure.
 *
 * Payload is not gathered: a data frame arrives in as many pieces as its bytes did, unmasked in the caller's buffer.
 * Control frames arrive whole. What breaks a rule ends the reading: nothing behind it can be trusted.
 */
#ifndef SOPHIA_PROTOCOL_WS_READER_H
#define SOPHIA_PROTOCOL_WS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WS_CONTROL_MAX_BYTES = 125, WS_HEAD_MAX_BYTES = 14, WS_NO_CODE = 1005 };

enum ws_event_kind {
    WS_EVENT_NONE, /* every byte is used; more are needed */
    WS_EVENT_DATA,
    WS_EVENT_PING,
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* nothing may follow */
    WS_EVENT_FAULT, /* nor here */
};

enum ws_fault {
    WS_FAULT_UNMASKED,
    WS_FAULT_RESERVED_BIT,
    WS_FAULT_OPCODE,
    WS_FAULT_FRAGMENTED_CONTROL,
    WS_FAULT_LONG_CONTROL,
    WS_FAULT_NOTHING_TO_CONTINUE,
    WS_FAULT_INTERLEAVED, /* a new message inside another one */
    WS_FAULT_LENGTH,      /* not in its shortest form, or with the top bit */
    WS_FAULT_TOO_BIG,     /* one frame above the cap */
    WS_FAULT_CLOSE,       /* one byte of a code, a code that may not be sent, or a reason that is not UTF-8 */
    WS_FAULT_COUNT
};

struct ws_event {
    enum ws_event_kind kind;
    const char *at; /* payload; in the caller's bytes (DATA), or the reader's until the next call */
    size_t length;
    /* DATA */
    bool is_binary;          /* of the message */
    bool has_rsv1;           /* of the frame */
    bool is_last_of_frame;   /* the frame ends with this piece */
    bool is_last_of_message; /* and so does the message */
    uint16_t code;       /* CLOSE: what the client says, or WS_NO_CODE; the payload is the reason behind it */
    enum ws_fault fault; /* FAULT */
};

/** The fields are the reader's own. Zeroed, it is at the start of a connection. */
struct ws_reader {
    uint64_t left; /* of the payload */
    uint8_t head[WS_HEAD_MAX_BYTES];
    uint8_t head_length; /* bytes of the head so far */
    uint8_t mask_at;     /* next byte of the mask */
    bool in_payload;
    bool in_message; /* between the first and the final frame of a fragmented one */
    bool is_binary;
    bool has_ended;
    uint8_t control_length;
    char control[WS_CONTROL_MAX_BYTES];
};

/**
 * The next event of bytes[0..length), of which *out_used are used up; call again with the rest until WS_EVENT_NONE.
 * Payload is unmasked in place. frame_max_bytes: of one data frame. An empty data frame is an event too.
 */
void ws_reader_next(struct ws_reader *reader, char *bytes, size_t length, uint64_t frame_max_bytes,
                    size_t *out_used, struct ws_event *out_event);

/** A short name for people and close frames, never NULL. */
const char *ws_fault_name(enum ws_fault fault);
/** The close code that says it: 1002 or 1009. */
uint16_t ws_fault_code(enum ws_fault fault);

#endif
