/**
 * The insides of struct ws, for ws.c (states, closing, liveness, messages, held writes) and for what carries
 * WebSockets: ws_plain.c (libwebsockets) and ws_tls.c (our own frames over TLS). Nobody else includes it.
 *
 * All WebSockets of a listener go over the same carrier.
 */
#ifndef SOPHIA_IO_WS_INTERNAL_H
#define SOPHIA_IO_WS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "io/connection.h"
#include "io/send_batch.h"
#include "protocol/bytes.h"

enum {
    WS_DRAIN_BEFORE_CLOSE_MS = 2000,
    WS_CLOSE_ANSWER_MS = 1500, /* how long the peer may take to answer our close frame */
};

/*
 * States: OPENING -> OPEN -> CLOSE_QUEUED -> (DRAINING ->) CLOSE_SENT -> gone; any -> KILLED -> gone;
 * OPEN -> PEER_CLOSING -> gone. ws_set_state() is the only place that changes it.
 */
enum ws_state {
    WS_OPENING,
    WS_OPEN,
    WS_PEER_CLOSING,
    WS_CLOSE_QUEUED,
    WS_DRAINING,
    WS_CLOSE_SENT,
    WS_KILLED
};

/** The first member of the carrier's own struct. What every write reads is in front, in one cache line. */
struct ws {
    struct listener *listener;
    struct send_item *held; /* of ws_service.held: what leaves at the release; NULL: nothing */
    int fd;                 /* the carrier's */
    uint8_t state;
    uint8_t reason; /* enum close_reason, once closing */
    bool deflates;  /* permessage-deflate was negotiated */
    bool in_message;
    bool is_compressed;  /* the message that is coming in */
    bool wants_writable; /* the owner does; carriers may call ws_drained() unasked */
    const struct ws_route *route;
    void *owner;                 /* NULL: nobody to tell */
    struct list_node close_node; /* in ws_service.closing while CLOSE_QUEUED or KILLED and not acted upon */
    struct deadline deadline;    /* OPEN: ping or hang-up; closing: patience */
    uint64_t last_seen_ms;       /* the peer's last message or pong, or bytes it took from a full socket */
    uint64_t acked_bytes;        /* at the last look (socket_progress.h) */
    struct bytes *message;       /* fragments so far; NULL between messages */
    struct address *address;     /* where it comes from; NULL: not counted */
    struct ip_address client;    /* the same */
    uint32_t fragments;
};

/** What WebSockets go over. */
struct ws_carrier {
    /** Sets ws_service.carrier_state. False after logging why; stop is called then, too. */
    bool (*start)(struct listener *listener);
    /** Ends what is left, as ws_closed(). */
    void (*stop)(struct listener *listener);
    void (*adopt)(struct listener *listener, const struct ws_handshake *handshake);
    /** Nothing that was written waits for the socket. */
    bool (*is_idle)(const struct ws *ws);
    /**
     * Write what the items of these WebSockets hold (item.owner is the struct ws). What the socket does not take is kept,
     * whole and in order; a connection that failed is ws_kill_later()'s.
     */
    void (*write)(struct listener *listener, struct send_item *items, size_t count);
    /** ws_drained() is to follow when the socket takes more. */
    void (*await_writable)(struct ws *ws);
    /** Called when idle, in state CLOSE_SENT. May free ws, after ws_closed(). */
    void (*send_close)(struct ws *ws, enum close_reason reason);
    /** Without a close frame, now. Frees ws, after ws_closed(). */
    void (*kill)(struct ws *ws);
};
extern const struct ws_carrier ws_plain_carrier;
extern const struct ws_carrier ws_tls_carrier;

struct ws_service {
    const struct ws_carrier *carrier;
    void *carrier_state; /* owned by it */
    struct inflater *inflater;
    struct list_node closing;
    struct loop_timer *close_timer;
    bool is_holding;
    size_t held_count;
    struct send_item held[SEND_BATCH_MAX];
};

/* What carriers call. */

void ws_init(struct ws *ws, struct listener *listener, const struct ws_handshake *handshake);
void ws_set_state(struct ws *ws, enum ws_state state);
/** The handshake is answered: in state OPENING. Asks the owner. */
void ws_opened(struct ws *ws);
/** It is gone: tells the owner. The caller frees it. */
void ws_closed(struct ws *ws);
/** Without a close frame; what is still kept is dropped. From a timer: safe anywhere. */
void ws_kill_later(struct ws *ws);
/** What was kept is written, or the socket takes more. */
void ws_drained(struct ws *ws);
/** A close frame came: in state OPEN. */
void ws_peer_closes(struct ws *ws);
/** A sign of life. */
void ws_seen(struct ws *ws);
/** The owner counts it; the connection is closed. */
void ws_refuse_message(struct ws *ws, enum close_reason reason);

/** A part of a data frame, in order. */
struct ws_piece {
    const char *at;
    size_t length;
    bool is_binary;
    bool has_rsv1; /* of the frame; only where permessage-deflate was negotiated */
    bool is_last_of_frame;
    bool is_last_of_message;
};
void ws_receive(struct ws *ws, const struct ws_piece *piece);

#endif
