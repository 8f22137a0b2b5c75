/**
 * What a link says first, and whether what it is answered is good enough. Used by redis_link.c alone.
 *
 * Loop: pure.
 */
#ifndef SOPHIA_IO_REDIS_LINK_GREETING_H
#define SOPHIA_IO_REDIS_LINK_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/redis_link.h"

enum redis_greeting_step {
    REDIS_GREETING_AUTH,
    REDIS_GREETING_NAME, /* CLIENT SETNAME, for people who look at CLIENT LIST; refusing it is fine */
    REDIS_GREETING_ID,   /* CLIENT ID, for tracking; refusing it is fine */
    REDIS_GREETING_SELECT,
    REDIS_GREETING_ROLE,
    REDIS_GREETING_INFO,
    REDIS_GREETING_MASTER, /* of a Sentinel: where is the master? */
    REDIS_GREETING_STEP_COUNT,
};

enum { REDIS_REASON_BYTES = 640, REDIS_HOST_BYTES = 256 };

struct redis_greeting {
    const struct redis_server *server;
    const char *link_name;
    bool is_sentinel;
    const char *where; /* for people: host:port or path */
    /* found out */
    uint32_t version; /* major * 10000 + minor * 100 + patch */
    bool is_cluster;
    uint64_t client_id;                 /* 0: the server did not say */
    char master_host[REDIS_HOST_BYTES]; /* a Sentinel's answer */
    uint16_t master_port;
};

enum { REDIS_GREETING_MAX_WORDS = 3 };
/** Words of the command for this step; 0: the step is not needed here. scratch: room for numbers and names. */
size_t redis_greeting_command(const struct redis_greeting *greeting, enum redis_greeting_step step,
                              const char *words[REDIS_GREETING_MAX_WORDS], char scratch[64]);
/** false: out_reason says where, what is wrong, and the remedy. Never a password. */
bool redis_greeting_accept(struct redis_greeting *greeting, enum redis_greeting_step step,
                           const struct redisReply *reply, char out_reason[REDIS_REASON_BYTES]);

/** Splits "host:port", "[v6]:port" or "host". false: neither. */
bool redis_split_place(const char *place, uint16_t default_port, char out_host[REDIS_HOST_BYTES],
                       uint16_t *out_port);

#endif
