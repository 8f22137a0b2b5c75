/**
 * One viewer: its connection, the words of WebSocket or of Server-Sent Events around messages, and where it is. What a message
 * means is the crowd's business.
 *
 * Thousands of them share one buffer to read into; a viewer keeps only the beginning of a message that is not whole yet.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_VIEWER_H
#define SOPHIA_LOADTEST_LOAD_LOAD_VIEWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loadtest/load/load_stream.h"
#include "loadtest/load/load_verify.h"

enum load_viewer_state {
    LOAD_VIEWER_AWAY,       /* no connection; comes (back) at back_at_us */
    LOAD_VIEWER_CONNECTING, /* no answer to SYN yet */
    LOAD_VIEWER_GREETING,   /* the handshake is not answered yet */
    LOAD_VIEWER_OPEN,       /* it has asked for its board */
    LOAD_VIEWER_READY,      /* it has it */
};

struct load_viewer {
    struct load_stream stream;
    enum load_viewer_state state;
    bool is_sse, is_slow;
    bool was_ready;    /* at any time */
    bool must_go_back; /* reconnect as soon as what was read is dealt with */
    uint32_t number, board, gateway;
    struct load_cursor cursor;
    struct load_copy *copy; /* owned; NULL for most */
    char *rest;             /* owned: a message that is not whole yet */
    size_t rest_length;
    uint64_t since_us;   /* when it began to connect */
    uint64_t back_at_us; /* UINT64_MAX: never */
};

enum load_reading {
    LOAD_READING_ON,      /* nothing is left to read now */
    LOAD_READING_LIMITED, /* as much as was allowed; more may be there */
    LOAD_READING_CLOSED,  /* the gateway ended it */
    LOAD_READING_RESET,
    LOAD_READING_REFUSED, /* the handshake */
    LOAD_READING_BROKEN,  /* not what WebSocket, HTTP or SSE allow */
    LOAD_READING_NO_MEMORY,
};

struct load_message {
    const char *text; /* borrowed from the buffer */
    size_t length;
    size_t wire_bytes; /* with what surrounds it */
    const char *id;    /* of an event; "" without one */
    size_t id_length;
};

/** What is the same for all of them. */
struct load_wire {
    const struct scenario *scenario;
    const struct load_address *addresses; /* by viewer->gateway */
    char *buffer;                         /* owned: what is being read */
    size_t capacity;
    uint64_t received_us; /* when what is being read was in the viewer's socket: load_stream_read() */
    /* One message. It must not close the viewer. */
    void (*on_message)(void *context, struct load_viewer *viewer, const struct load_message *message,
                       uint64_t now_us);
    void *context;
};

bool load_wire_init(struct load_wire *wire);
void load_wire_finish(struct load_wire *wire);

/** Begin to connect. False: errno. */
bool load_viewer_open(const struct load_wire *wire, struct load_viewer *viewer, uint64_t now_us);
/** The connection stands: say the handshake or request. False: it does not stand. */
bool load_viewer_greet(const struct load_wire *wire, struct load_viewer *viewer);
/** Read what is there, at most about `limit` bytes, and hand over every whole message. */
enum load_reading load_viewer_read(struct load_wire *wire, struct load_viewer *viewer, size_t limit);
/** WebSocket: ask for the board once more, from its position if it has one. False: it could not be sent. */
bool load_viewer_subscribe(const struct load_wire *wire, struct load_viewer *viewer);
void load_viewer_close(struct load_viewer *viewer);

#endif
