/**
 * S3-FIFO: which entry leaves a cache that is full.
 *
 * New entries wait in a small queue (a tenth of the budget). Those read at least twice there move to the main queue, the others leave and are
 * remembered as a fingerprint (the ghost); one that comes back soon enters main at once. Main is a FIFO whose read entries
 * get another round. Nothing is moved when an entry is read.
 *
 * Entries belong to groups with a minimum and a maximum of bytes. The queues are one order over all
 * groups; a group at its minimum is passed over, one above its maximum loses its own entries.
 *
 * Intrusive and pure; only s3fifo_init allocates.
 */
#ifndef SOPHIA_CACHE_S3FIFO_H
#define SOPHIA_CACHE_S3FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "protocol/result.h"

enum { S3FIFO_GROUPS_MAX = 16 };

enum s3fifo_queue { S3FIFO_SMALL, S3FIFO_MAIN, S3FIFO_QUEUE_COUNT };

struct s3fifo_node {
    struct list_node in_queue;
    uint64_t stamp; /* order of arrival in its queue, over all groups */
    size_t bytes;
    uint32_t fingerprint;
    uint8_t group;
    uint8_t queue; /* enum s3fifo_queue */
    uint8_t reads; /* 0..3 */
};

struct s3fifo_limits {
    size_t min_bytes; /* never taken by other groups */
    size_t max_bytes;
};

struct s3fifo_group {
    struct s3fifo_limits limits;
    struct list_node queues[S3FIFO_QUEUE_COUNT]; /* oldest first */
    size_t bytes[S3FIFO_QUEUE_COUNT];
};

struct s3fifo_ghost;

struct s3fifo {
    size_t budget_bytes;
    size_t bytes[S3FIFO_QUEUE_COUNT];
    size_t count; /* live entries */
    struct s3fifo_group groups[S3FIFO_GROUPS_MAX];
    size_t group_count;
    uint64_t next_stamp;
    struct s3fifo_ghost *ghosts; /* owned */
    size_t ghost_sets;           /* power of two */
    uint32_t ghost_clock;        /* fingerprints remembered so far */
};

/**
 * max_entries: how many ghosts are worth room (8 bytes each, rounded up); they are forgotten in order once there are more
 * than live entries. The sum of the minima is at most the budget. Result: NO_MEMORY.
 */
MUST_CHECK enum result s3fifo_init(struct s3fifo *policy, size_t budget_bytes, size_t max_entries,
                                   const struct s3fifo_limits *limits, size_t group_count);
/** Frees the ghosts; entries are their owner's. */
void s3fifo_finish(struct s3fifo *policy);

/** bytes > 0. The caller then takes victims until there are none. */
void s3fifo_insert(struct s3fifo *policy, struct s3fifo_node *node, size_t group, size_t bytes,
                   uint32_t fingerprint);
/** It was read. */
void s3fifo_touch(struct s3fifo_node *node);
/** It has another size now; as after s3fifo_insert. */
void s3fifo_resize(struct s3fifo *policy, struct s3fifo_node *node, size_t bytes);
/** It left for another reason than room: not remembered. */
void s3fifo_remove(struct s3fifo *policy, struct s3fifo_node *node);
/**
 * The entry that has to leave, already removed and remembered; NULL when everything fits.
 * out_is_share: true when its own group's maximum is the reason.
 * Cost: the groups, and for entries of main that were read since their last round, their number.
 */
struct s3fifo_node *s3fifo_evict(struct s3fifo *policy, bool *out_is_share);
size_t s3fifo_bytes(const struct s3fifo *policy);

#endif
