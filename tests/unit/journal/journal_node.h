/**
 * One gateway as a journal sees it: the journal under test and a copy of every board that it is told about.
 * Checks with every call what a board relies on. Several nodes may share one loop.
 */
#ifndef SOPHIA_TESTS_JOURNAL_NODE_H
#define SOPHIA_TESTS_JOURNAL_NODE_H

#include <stdbool.h>

#include "../support/real_redis.h"
#include "base/map.h"
#include "base/metrics.h"
#include "journal/redis_journal.h"

enum { NODE_BOARDS = 4, CELLS_MAX = 200000 };

struct cell {
    char *text; /* owned; NULL = tombstone */
    uint64_t version, rev;
};

struct board_copy_of_node {
    char id[32];
    struct position at;
    bool has_image;
    struct map cells; /* field -> struct cell */
    unsigned images, publications;
    size_t known_count; /* of the newest image */
    uint64_t floor;
    uint64_t common;            /* of the newest image: the newest position that the copy had as well */
    struct position seen[8192]; /* newest publications, in a ring */
    size_t seen_count;
};

struct node {
    struct loop *loop;
    struct metrics *metrics;
    struct journal *journal;
    struct board_copy_of_node boards[NODE_BOARDS];
    size_t board_count;
    bool is_attached;
    char reason[256];
    unsigned attachments;
    const char *forgotten; /* fields that begin so are not known (knows_field) and not kept */
};

/** Opens the boards named, NULL-terminated. */
void node_start(struct node *node, struct loop *loop, const struct redis_journal_options *options,
                const char *const *boards);
void node_stop(struct node *node);
struct board_copy_of_node *node_board(struct node *node, const char *id);
/** NULL: not there or removed. */
const char *node_text(struct node *node, const char *board, const char *field);
uint64_t node_version(struct node *node, const char *board, const char *field);
bool copies_are_equal(const struct board_copy_of_node *a, const struct board_copy_of_node *b);
double node_metric(const struct node *node, const char *name, const char *labels);

/**
 * One command; the reply as text: nil as "(nil)", errors with their leading "-", elements of arrays one per
 * line. Lives until the next.
 */
const char *redis_text(const struct real_redis *redis, const char *const *words);
#define ASK(redis, ...) redis_text((redis), (const char *const[]){__VA_ARGS__, NULL})

/** Runs the loop until the condition holds; fails the test after deadline_ms. */
void run_until(struct loop *loop, bool (*condition)(void *context), void *context, unsigned deadline_ms,
               const char *what);
void run_for(struct loop *loop, unsigned ms);

#endif
