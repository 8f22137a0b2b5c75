/*
 * After "FIFO queues are all you need for cache eviction" (SOSP 2023). A group has its own pair of queues; stamps
 * make them one order, so that with groups between their limits the victims are exactly those of one pair of queues.
 *
 * Ghosts lie in sets of eight: a lookup reads one cache line, and an insertion replaces the oldest of its set. A ghost counts while
 * fewer fingerprints than there are live entries came after it.
 *
 * Invariants: a live node lies in the queue that node->group and node->queue name; the byte sums of groups and
 * policy are those of their nodes.
 */
#include "cache/s3fifo.h"

#include <assert.h>
#include <stdlib.h>

enum {
    READS_MAX = 3,
    READS_TO_MAIN = 2, /* reads in the small queue that make an entry worth keeping */
    SMALL_PART = 10,   /* small is one part of so many */
    GHOST_WAYS = 8,
};

struct s3fifo_ghost {
    uint32_t fingerprint;
    uint32_t stamp; /* ghost_clock at its insertion; 0: free */
};

enum result s3fifo_init(struct s3fifo *policy, size_t budget_bytes, size_t max_entries,
                        const struct s3fifo_limits *limits, size_t group_count)
{
    assert(budget_bytes > 0 && group_count >= 1 && group_count <= S3FIFO_GROUPS_MAX);
    *policy = (struct s3fifo){.budget_bytes = budget_bytes, .group_count = group_count, .ghost_sets = 1};
    size_t min_bytes = 0;
    for (size_t i = 0; i < group_count; i++) {
        policy->groups[i].limits = limits[i];
        list_init(&policy->groups[i].queues[S3FIFO_SMALL]);
        list_init(&policy->groups[i].queues[S3FIFO_MAIN]);
        min_bytes += limits[i].min_bytes;
    }
    assert(min_bytes <= budget_bytes);
    /* Twice the room, or unevenly filled sets would forget too early. */
    while (policy->ghost_sets * GHOST_WAYS < 2 * max_entries) {
        policy->ghost_sets *= 2;
    }
    policy->ghosts = calloc(policy->ghost_sets * GHOST_WAYS, sizeof *policy->ghosts);
    return policy->ghosts ? RESULT_OK : RESULT_NO_MEMORY;
}

void s3fifo_finish(struct s3fifo *policy)
{
    free(policy->ghosts);
    policy->ghosts = NULL;
}

size_t s3fifo_bytes(const struct s3fifo *policy)
{
    return policy->bytes[S3FIFO_SMALL] + policy->bytes[S3FIFO_MAIN];
}

/* ---- ghosts ---- */

static struct s3fifo_ghost *ghost_set(const struct s3fifo *policy, uint32_t fingerprint)
{
    return &policy->ghosts[(fingerprint & (policy->ghost_sets - 1)) * GHOST_WAYS];
}

static void ghost_remember(struct s3fifo *policy, uint32_t fingerprint)
{
    struct s3fifo_ghost *set = ghost_set(policy, fingerprint);
    struct s3fifo_ghost *oldest = &set[0];
    for (size_t i = 1; i < GHOST_WAYS && oldest->stamp != 0; i++) {
        /* Ages, not stamps: the clock may have turned over. */
        bool is_older =
            set[i].stamp == 0 || policy->ghost_clock - set[i].stamp > policy->ghost_clock - oldest->stamp;
        oldest = is_older ? &set[i] : oldest;
    }
    policy->ghost_clock = policy->ghost_clock == UINT32_MAX ? 1 : policy->ghost_clock + 1;
    *oldest = (struct s3fifo_ghost){.fingerprint = fingerprint, .stamp = policy->ghost_clock};
}

/* Was it remembered? It is not afterwards. */
static bool ghost_take(struct s3fifo *policy, uint32_t fingerprint)
{
    struct s3fifo_ghost *set = ghost_set(policy, fingerprint);
    for (size_t i = 0; i < GHOST_WAYS; i++) {
        if (set[i].stamp != 0 && set[i].fingerprint == fingerprint) {
            bool is_recent = policy->ghost_clock - set[i].stamp < policy->count;
            set[i].stamp = 0;
            return is_recent;
        }
    }
    return false;
}

/* ---- queues ---- */

static void queue_append(struct s3fifo *policy, struct s3fifo_node *node, enum s3fifo_queue queue)
{
    struct s3fifo_group *group = &policy->groups[node->group];
    node->queue = (uint8_t)queue;
    node->stamp = policy->next_stamp++;
    list_append(&group->queues[queue], &node->in_queue);
    group->bytes[queue] += node->bytes;
    policy->bytes[queue] += node->bytes;
    policy->count++;
}

static void queue_remove(struct s3fifo *policy, struct s3fifo_node *node)
{
    struct s3fifo_group *group = &policy->groups[node->group];
    list_remove(&node->in_queue);
    group->bytes[node->queue] -= node->bytes;
    policy->bytes[node->queue] -= node->bytes;
    policy->count--;
}

void s3fifo_insert(struct s3fifo *policy, struct s3fifo_node *node, size_t group, size_t bytes,
                   uint32_t fingerprint)
{
    assert(group < policy->group_count && bytes > 0);
    node->bytes = bytes;
    node->fingerprint = fingerprint;
    node->group = (uint8_t)group;
    node->reads = 0;
    queue_append(policy, node, ghost_take(policy, fingerprint) ? S3FIFO_MAIN : S3FIFO_SMALL);
}

void s3fifo_touch(struct s3fifo_node *node)
{
    if (node->reads < READS_MAX) {
        node->reads++;
    }
}

void s3fifo_resize(struct s3fifo *policy, struct s3fifo_node *node, size_t bytes)
{
    assert(bytes > 0);
    struct s3fifo_group *group = &policy->groups[node->group];
    group->bytes[node->queue] += bytes - node->bytes; /* modulo 2^64 on purpose: the sum stays right */
    policy->bytes[node->queue] += bytes - node->bytes;
    node->bytes = bytes;
}

void s3fifo_remove(struct s3fifo *policy, struct s3fifo_node *node)
{
    queue_remove(policy, node);
}

/* ---- eviction ---- */

/* The oldest of this queue over the groups whose bit is set; NULL when they have none. */
static struct s3fifo_node *oldest_of(const struct s3fifo *policy, enum s3fifo_queue queue, uint32_t groups)
{
    struct s3fifo_node *oldest = NULL;
    for (size_t i = 0; i < policy->group_count; i++) {
        const struct list_node *head = &policy->groups[i].queues[queue];
        if ((groups >> i & 1) == 0 || list_is_empty(head)) {
            continue;
        }
        struct s3fifo_node *node = LIST_ITEM(head->next, struct s3fifo_node, in_queue);
        oldest = !oldest || node->stamp < oldest->stamp ? node : oldest;
    }
    return oldest;
}

/* One step: the victim, or NULL after giving the oldest entry another place. */
static struct s3fifo_node *step(struct s3fifo *policy, uint32_t groups, bool is_small_first)
{
    struct s3fifo_node *node = oldest_of(policy, is_small_first ? S3FIFO_SMALL : S3FIFO_MAIN, groups);
    node = node ? node : oldest_of(policy, is_small_first ? S3FIFO_MAIN : S3FIFO_SMALL, groups);
    assert(node); /* the caller picked groups that have bytes */
    bool is_small = node->queue == S3FIFO_SMALL;
    queue_remove(policy, node);
    if (is_small && node->reads < READS_TO_MAIN) {
        ghost_remember(policy, node->fingerprint);
        return node;
    }
    if (!is_small && node->reads == 0) {
        return node;
    }
    node->reads = is_small ? 0 : (uint8_t)(node->reads - 1);
    queue_append(policy, node, S3FIFO_MAIN);
    return NULL;
}

static size_t group_bytes(const struct s3fifo_group *group)
{
    return group->bytes[S3FIFO_SMALL] + group->bytes[S3FIFO_MAIN];
}

/* The first group above its maximum; group_count when there is none. */
static size_t group_above_maximum(const struct s3fifo *policy)
{
    size_t i = 0;
    while (i < policy->group_count && group_bytes(&policy->groups[i]) <= policy->groups[i].limits.max_bytes) {
        i++;
    }
    return i;
}

/* Those above their minimum: one at least, as the minima fit the budget and the whole does not. */
static uint32_t groups_that_may_lose(const struct s3fifo *policy)
{
    uint32_t groups = 0;
    for (size_t i = 0; i < policy->group_count; i++) {
        groups |= group_bytes(&policy->groups[i]) > policy->groups[i].limits.min_bytes ? 1u << i : 0;
    }
    return groups;
}

struct s3fifo_node *s3fifo_evict(struct s3fifo *policy, bool *out_is_share)
{
    struct s3fifo_node *victim = NULL;
    size_t above = group_above_maximum(policy);
    bool is_share = above < policy->group_count;
    if (!is_share && s3fifo_bytes(policy) <= policy->budget_bytes) {
        return NULL;
    }
    const struct s3fifo_group *group = is_share ? &policy->groups[above] : NULL;
    const size_t *bytes = is_share ? group->bytes : policy->bytes;
    size_t whole = is_share ? group->limits.max_bytes : policy->budget_bytes;
    uint32_t groups = is_share ? 1u << above : groups_that_may_lose(policy);
    while (!victim) { /* ends: each pass over main takes one read from every entry */
        victim = step(policy, groups, bytes[S3FIFO_SMALL] > whole / SMALL_PART);
    }
    *out_is_share = is_share;
    return victim;
}
