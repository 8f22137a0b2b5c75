/**
 * What listener.c, http*.c and ws*.c share: the listener's insides, and the
 * hand-over of a socket from one to the next. Nobody outside io/ includes it.
 *
 * A socket starts in http.c. A WebSocket handshake that passes every check
 * moves it to ws_plain.c or ws_tls.c; nothing comes back.
 */
#ifndef SOPHIA_IO_CONNECTION_H
#define SOPHIA_IO_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/metrics.h"
#include "base/token_bucket.h"
#include "base/wheel.h"
#include "io/address_table.h"
#include "io/doors.h"
#include "io/forwarded.h"
#include "io/http.h"
#include "io/ip_address.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/rate_table.h"
#include "io/tls.h"
#include "io/ws.h"

enum { LISTENER_ROUTES_MAX = 64, WS_ROUTES_MAX = 8 };

enum connection_kind { KIND_HTTP, KIND_WS, KIND_SSE, KIND_COUNT };

enum refusal {
    REFUSED_MAX_CONNECTIONS,
    REFUSED_MAX_PER_ADDRESS,
    REFUSED_RATE_PER_ADDRESS,
    REFUSED_UNTRUSTED_PROXY, /* only proxies we trust may connect, and this is none */
    REFUSED_PROXY_HEADER,    /* a proxy we trust said nothing of whom it serves */
    REFUSED_HOST,
    REFUSED_ORIGIN,
    REFUSED_HANDSHAKE,
    REFUSED_NOT_FOUND,
    REFUSED_METHOD,
    REFUSED_LENGTH_REQUIRED,
    REFUSED_TOO_BIG,
    REFUSED_MEDIA_TYPE,
    REFUSED_EXPECTATION,
    REFUSED_MALFORMED,
    REFUSED_TIMEOUT,
    REFUSED_OVERLOADED,
    REFUSED_BY_ROUTE, /* the route's own reasons: an unknown board, a wrong key */
    REFUSED_COUNT
};

/** Peers given up on, by what they failed to do. */
enum hang_up { HUNG_UP_UNREAD, HUNG_UP_SILENT, HUNG_UP_IDLE, HUNG_UP_COUNT };

/** Kept for HTTP peers. Each has a budget of its own: who leaves answers unread must not keep producers out. */
enum held { HELD_BODY, HELD_ANSWER, HELD_COUNT };

/** What became of compressed messages. */
enum inflate_result { INFLATED, INFLATE_MALFORMED, INFLATE_TOO_BIG, INFLATE_NO_MEMORY, INFLATE_RESULT_COUNT };

/** A deadline in the listener's wheel; its `on_due` gets the owner back. */
struct deadline {
    struct wheel_entry entry; /* first: the wheel hands this address out */
    loop_fn *on_due;
    void *owner;
};

struct ws_service;

struct listener {
    struct loop *loop;               /* borrowed */
    struct listener_options options; /* strings borrowed */

    int fd;                          /* listening socket, -1 when not accepting */
    int spare_fd;                    /* given up to accept and close when descriptors run out */
    struct loop_watch *watch;        /* of fd */
    struct sockaddr_storage address; /* bound */
    struct doors doors;              /* once bound */
    struct trusted_networks trusted; /* of proxies */
    uint32_t max_connections;        /* of the options, or fewer when there are no descriptors for so many */
    struct address_table addresses;  /* of open connections */
    struct rate_table rates;         /* of connections and requests, by address */
    struct loop_deferred accepting;  /* a slice of accepting, at the end of the turn */
    struct token_bucket accepts;     /* listen.accepts_per_s */
    struct loop_timer *accept_timer; /* ends a pause; armed while accepting waits for tokens */
    uint64_t paused_us;              /* since when it does */
    bool is_draining;                /* stop_accepting was called: answers say Connection: close */

    struct http_route routes[LISTENER_ROUTES_MAX];
    unsigned route_count;
    struct ws_route ws_routes[WS_ROUTES_MAX];
    unsigned ws_route_count;

    struct list_node exchanges;    /* every struct http_exchange */
    struct ws_service *ws_service; /* owned; NULL until started */
    uint32_t counts[KIND_COUNT];   /* open connections */
    size_t held_bytes[HELD_COUNT]; /* of all exchanges */
    uint64_t shaking_ms;           /* the turn in which TLS handshakes took shaken_us */
    uint64_t shaken_us;

    struct wheel wheel; /* deadlines of exchanges and WebSockets */
    struct loop_timer *wheel_timer;
    uint64_t wheel_wakes_ms;      /* when wheel_timer fires; UINT64_MAX when not armed */
    struct deadline tls_deadline; /* the next tls_tick(); armed while the port speaks TLS */

    char date[32]; /* Date header's value for date_second */
    int64_t date_second;

    struct metric *connections[KIND_COUNT];
    struct metric *accepted;
    struct metric *accept_waiting;
    struct metric *accept_pause_seconds;
    struct metric *address_count;
    struct metric *handshakes_put_off;
    struct metric *rate_count;
    struct metric *rates_forgotten;
    struct metric *merged_frames;
    struct metric *inflated[INFLATE_RESULT_COUNT];
    struct metric *uses_io_uring;
    struct metric *refused[REFUSED_COUNT];
    struct metric *hung_up[HUNG_UP_COUNT];
    struct metric *requests[5]; /* by first digit of the status */
    struct metric *seconds;
};

void deadline_init(struct deadline *deadline, loop_fn *on_due, void *owner);
void deadline_arm(struct listener *listener, struct deadline *deadline, uint64_t delay_ms);
void deadline_disarm(struct listener *listener, struct deadline *deadline);

void listener_count(struct listener *listener, enum connection_kind kind, int change);
void listener_refused(struct listener *listener, enum refusal refusal);
void listener_hung_up(struct listener *listener, enum hang_up why);

/**
 * One more connection of this client.
 *
 * Owns:   *out_address (NULL: not counted) goes back to listener_address_left().
 * Result: RESULT_TOO_MANY at the limit of the address; RESULT_FULL, RESULT_NO_MEMORY: nothing is left for anybody.
 */
MUST_CHECK enum result listener_address_came(struct listener *listener, const struct ip_address *client,
                                             struct address **out_address);
/** A connection from this address has ended. NULL is allowed. */
void listener_address_left(struct listener *listener, struct address *address);

/** Take tokens of this client's rate: 0, or how long until they are there. */
uint64_t listener_rate_wait_us(struct listener *listener, const struct ip_address *client, uint32_t tokens);

/** A connection that was let in. */
struct arrival {
    int fd;
    struct ip_address from;
    bool is_proxy;           /* from is a proxy we trust */
    struct address *address; /* where it is counted; NULL: not, or not yet */
};
/** Owns: takes fd and address in every case. */
void http_serve(struct listener *listener, const struct arrival *arrival);
void http_close_all(struct listener *listener);
uint32_t http_busy_count(const struct listener *listener);

/** Get what carries WebSockets ready; what was made goes with ws_service_stop(). False after logging why. */
bool ws_service_start(struct listener *listener);
/** A checked handshake. Text is borrowed. */
struct ws_handshake {
    const struct ws_route *route;
    int fd;
    struct tls_connection *tls; /* over fd; NULL: plain */
    struct address *address;    /* where it comes from; NULL: not counted */
    struct ip_address client;   /* the same, for those who ask */
    const char *key;            /* Sec-WebSocket-Key */
    const char *extension;      /* to answer Sec-WebSocket-Extensions with, or NULL */
    char *rest;                 /* what the client sent behind its request; may be changed */
    size_t rest_length;
};
/** Owns: takes fd, tls and address, in every case. */
void ws_adopt(struct listener *listener, const struct ws_handshake *handshake);
/** Closes what is left; runs the loop. */
void ws_service_stop(struct listener *listener);

#endif
