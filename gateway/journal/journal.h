/**
 * Who decides the order.
 *
 * Items for one board go in; the journal compares versions, assigns offsets and
 * the nonce, and hands the accepted ones out as one publication. What it
 * publishes is applied as is by everyone, the submitting node included. Two
 * implementations: memory_journal (one process, no server) and, behind the same
 * interface, one in Redis for many processes.
 *
 * Loop: loop thread. done and on_publication may be called before journal_submit returns.
 */
#ifndef SOPHIA_JOURNAL_JOURNAL_H
#define SOPHIA_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/overlay.h"
#include "protocol/position.h"
#include "protocol/result.h"

/** One field's wish to change. Text is borrowed until done. */
struct journal_item {
    const char *field;
    size_t field_length;
    const char *value; /* wire text without rev; NULL = remove */
    size_t value_length;
    bool has_version; /* without: one more than what is known, so the last to arrive wins */
    uint64_t version;
    enum result outcome; /* set by the journal: OK, UNCHANGED (same version), OLDER, UNAVAILABLE, NO_MEMORY */
};

/** What the journal needs from its owner, handed over at creation. */
struct journal_host {
    void *context;
    /** The version that board state holds for a field; false when it knows none. */
    bool (*known_version)(void *context, const char *board, const char *field, size_t field_length,
                          uint64_t *out_version);
    /** Accepted entries, rising rev, each field once; versions[i] belongs to entries[i]. */
    void (*on_publication)(void *context, const char *board, const struct overlay *publication,
                           const uint64_t *versions);
};

typedef void journal_done_fn(void *context, struct journal_item *items, size_t count);

struct journal;

struct journal_ops {
    enum result (*open)(struct journal *journal, const char *board, struct position *out_position);
    void (*submit)(struct journal *journal, const char *board, struct journal_item *items, size_t count,
                   journal_done_fn *done, void *context);
    void (*destroy)(struct journal *journal);
};

/** Base of every implementation. */
struct journal {
    const struct journal_ops *ops;
    bool is_durable; /* what was accepted survives this process */
};

/**
 * Where a board's order stands: its position before anything further is published. Before the first submit, and
 * again when a board that went comes back empty: a journal that keeps no values then starts a new epoch.
 */
MUST_CHECK enum result journal_open(struct journal *journal, const char *board,
                                    struct position *out_position);
/** One transaction: all accepted items leave in one publication. done is called exactly once. count >= 1. */
void journal_submit(struct journal *journal, const char *board, struct journal_item *items, size_t count,
                    journal_done_fn *done, void *context);
/** NULL is allowed. No submit may be outstanding. */
void journal_destroy(struct journal *journal);

#endif
