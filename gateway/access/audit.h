/**
 * Who came in, what they asked for, and whether they got it: one JSON object per line, for people who answer for it later. Not the log:
 * that is for whoever keeps the gateway running.
 *
 * Refusals, and what is done over and over (reads, ingest, webhooks), are written once; the same within a minute is counted, and the
 * count is a line of its own. Beyond a rate lines are withheld, each kind for itself, so that who is refused a thousand times a second
 * does not crowd out those who are let in; how many were withheld is a line of its own and a counter. Nothing is dropped silently.
 *
 * Personal: unless told otherwise, subjects are shown as the first 16 hex digits of their HMAC-SHA-256, and the addresses of those who were let in
 * as their network. Whoever is turned away is shown with the whole address.
 *
 * Loop: loop thread. What is written is in the kernel's hands when audit_note() returns.
 */
#ifndef SOPHIA_ACCESS_AUDIT_H
#define SOPHIA_ACCESS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "io/loop.h"

struct audit;

struct audit_options {
    struct loop *loop;
    const char *file; /* appended to, made with mode 0600; NULL: none. Outlives the audit, as do all texts */
    const char *syslog;   /* Unix datagram socket, such as /dev/log; NULL: none */
    const char *node;     /* in each line */
    const char *mask_key; /* of the HMAC; NULL: one of this process, forgotten with it */
    bool is_plain;        /* subjects and addresses as they are */
    uint32_t lines_per_s; /* of each kind */
    struct moment (*now)(void);
};

enum audit_action {
    AUDIT_CONNECT,     /* a viewer said hello, or began a stream */
    AUDIT_REFRESH,     /* showed another token */
    AUDIT_SUBSCRIBE,   /* target: a board */
    AUDIT_WITHDRAW,    /* lost a board, or the whole connection (target NULL), while it watched */
    AUDIT_READ,        /* target: a board or KPI, or the path of what was refused */
    AUDIT_INGEST,      /* a producer's request */
    AUDIT_WEBHOOK,     /* target: the hook */
    AUDIT_CLEAR_CACHE, /* target: the class or key */
    AUDIT_RELOAD,
    AUDIT_START,
    AUDIT_STOP,
    AUDIT_ACTION_COUNT
};

/** Texts are borrowed during the call, cut at 256 bytes and escaped; NULL leaves the member out. Never a secret. */
struct audit_event {
    enum audit_action action;
    const char *refusal; /* why not, a stable name; NULL: granted, or done */
    const char *by;      /* as what: "token", "viewer_key", "anybody", "ingest_key", "admin_key", ... */
    const char *subject; /* `sub` of a token that was found good */
    const char *address; /* of the peer */
    const char *over;    /* "ws", "sse", "http" */
    const char *target;  /* see enum audit_action */
};

/** NULL after logging why: memory, or the file cannot be opened. A syslog that is not there yet is waited for. */
struct audit *audit_create(const struct audit_options *options, struct metrics *metrics);
/** Writes what was counted and withheld. NULL is allowed. */
void audit_destroy(struct audit *audit);

/** Does nothing when audit is NULL. Never fails: what cannot be written counts as withheld, and is told when it can. */
void audit_note(struct audit *audit, const struct audit_event *event);

/** The file was moved away: begin a new one. False after logging why: the one before stays. */
bool audit_reopen(struct audit *audit);

#endif
