/**
 * Who decides the order.
 *
 * Items for one board go in; the journal compares versions, assigns offsets and
 * the nonce, and hands the accepted ones out as one publication. What it
 * publishes is applied as is by everyone, the submitting node included. Two
 * implementations: memory_journal (one process, no server) and, behind the same
 * interface, one in Redis for many processes (a shared journal).
 *
 * Loop: loop thread. done and the host's functions may be called before a submit or restart returns.
 */
#ifndef SOPHIA_JOURNAL_JOURNAL_H
#define SOPHIA_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/overlay.h"
#include "protocol/position.h"
#include "protocol/result.h"

/** What an item says about the field's version. */
enum version_rule {
    VERSION_NEXT,  /* none given: one more than what is known, so the last to arrive wins */
    VERSION_GIVEN, /* item.version; applied when it is higher than what is known, or none is known */
    VERSION_KEPT, /* the version stays; applied only while the known one is item.version (0 = none known), else OLDER: a
                      mark on a value */
    VERSION_FORGOTTEN /* applied whatever is known; afterwards any version is news (stored as 0) */
};

/** One field's wish to change. Text is borrowed until done. Items of one transaction see what earlier ones did. */
struct journal_item {
    const char *field;
    size_t field_length;
    const char *value; /* wire text without rev; NULL = remove */
    size_t value_length;
    enum version_rule rule;
    uint64_t version; /* GIVEN, KEPT */
    /* Set by the journal: OK, UNCHANGED (same version, or the same text: a higher version is recorded then too), OLDER,
     * OTHER_LINEAGE, UNAVAILABLE, FULL, TOO_BIG (the whole transaction, shared journals only), NO_MEMORY. */
    enum result outcome;
};

/** One transaction for one board: all accepted items leave in one publication. Borrowed until done, with all text. */
struct journal_transaction {
    const char *board;
    struct journal_item *items;
    size_t count; /* >= 1 */
    const char
        *lineage; /* which history of the source the versions belong to, e.g. "7312.../00000002"; NULL: none.
                            A board remembers the first it is told; another one makes every item OTHER_LINEAGE */
};

struct journal_field {
    const char *field;
    size_t field_length;
};

/** Start a board's order afresh (new epoch) because its source lost part of its history. Borrowed until done, with all text. */
struct journal_restart {
    const char *board;
    const char *lineage; /* the new one; equal to the board's: outcome UNCHANGED, nothing happens */
    const struct journal_field
        *removed; /* leave, with their versions and without a tombstone; so do fields of which the host
                                            knows nothing (knows_field) */
    size_t removed_count;
    const struct journal_field *forgotten; /* keep their value; any version is news */
    size_t forgotten_count;
};

/** A board's whole state as a shared journal holds it. Borrowed during the call. */
struct journal_image {
    struct position at;
    const struct overlay_entry *entries; /* rising rev; value NULL = tombstone */
    const uint64_t *versions;            /* of entries */
    size_t count;
    const struct position *known; /* older positions of this order, rising offset */
    size_t known_count;
    uint64_t
        floor; /* the newest rev of a tombstone that was swept from the store; 0 = none was. Who stands below may hold
                       fields of whose end the entries say nothing, and gets a snapshot */
};

/** What the journal needs from its owner, handed over at creation. on_attached and on_image may submit. */
struct journal_host {
    void *context;
    /** memory_journal only: the version that board state holds for a field; false when it knows none. */
    bool (*known_version)(void *context, const char *board, const char *field, size_t field_length,
                          uint64_t *out_version);
    /** memory_journal only: does the board show exactly this text? Then the field has this version from now on. */
    bool (*is_same)(void *context, const char *board, const char *field, size_t field_length,
                    const char *value, size_t value_length, uint64_t version);
    /** Accepted entries, rising rev, each field once; versions[i] belongs to entries[i]. */
    void (*on_publication)(void *context, const char *board, const struct overlay *publication,
                           const uint64_t *versions);
    /**
     * This board now is exactly the image: after attaching, a gap that could not be repaired, a failover, a restart.
     * Shared journals only. at.offset should not lie below what was published under this epoch: a store that lost
     * its tail is moved beyond it first, so that a viewer's offsets only rise.
     */
    void (*on_image)(void *context, const char *board, const struct journal_image *image);
    /** memory_journal only: the board goes to position `at` (new epoch, offset keeps rising), as `restart` says. */
    void (*on_restart)(void *context, const struct position *at, const struct journal_restart *restart);
    /** Can changes be ordered? Shared journals only: they begin detached and tell every change. reason: one line for people,
     *  "" when attached. */
    void (*on_attached)(void *context, bool is_attached, const char *reason);
    /**
     * Does the board know this field, live or as a tombstone? A shared journal asks to sweep its store of rows that
     * boards have trimmed and tombstones that they have forgotten. Only a board that is in step with the store may
     * be asked, and a field that has changed since must stay; the rev of a swept tombstone goes into image.floor.
     */
    bool (*knows_field)(void *context, const char *board, const char *field, size_t field_length);
};

typedef void journal_done_fn(void *context, struct journal_item *items, size_t count);
/** OK, UNCHANGED, UNAVAILABLE, NO_MEMORY */
typedef void journal_restarted_fn(void *context, enum result outcome);

struct journal;

struct journal_ops {
    enum result (*open)(struct journal *journal, const char *board, struct position *out_position);
    void (*submit)(struct journal *journal, const struct journal_transaction *transaction,
                   journal_done_fn *done, void *context);
    void (*restart)(struct journal *journal, const struct journal_restart *restart,
                    journal_restarted_fn *done, void *context);
    void (*close)(struct journal *journal, const char *board);
    void (*destroy)(struct journal *journal);
};

/** Base of every implementation. */
struct journal {
    const struct journal_ops *ops;
    bool is_durable; /* what was accepted survives this process */
    bool is_shared;  /* other processes submit too */
};

/**
 * Where a board's order stands: its position before anything further is published. Before the first submit, and
 * again when a board that went comes back empty: a journal that keeps no values then starts a new epoch. A shared journal
 * answers with a provisional position (a random epoch, offset 0) and calls on_image when it knows better.
 */
MUST_CHECK enum result journal_open(struct journal *journal, const char *board,
                                    struct position *out_position);
/**
 * One transaction for an open board. The struct itself is read before this returns; items and text are borrowed until done.
 * Calls: done exactly once, possibly before this returns; also when the board was closed meanwhile.
 */
void journal_submit(struct journal *journal, const struct journal_transaction *transaction,
                    journal_done_fn *done, void *context);
/** Start an open board's order afresh. Ownership and calls as journal_submit. */
void journal_restart(struct journal *journal, const struct journal_restart *restart,
                     journal_restarted_fn *done, void *context);
/** The board was retired: nothing is published for it until it is opened again. What is outstanding is still answered. */
void journal_close(struct journal *journal, const char *board);
/**
 * NULL is allowed. Answers all that is outstanding (UNAVAILABLE) and calls the host no more.
 * Order: pipeline_set_journals(NULL, NULL), journal_destroy(), the producers, pipeline_destroy().
 */
void journal_destroy(struct journal *journal);

#endif
