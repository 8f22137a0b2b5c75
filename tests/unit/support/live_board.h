/**
 * A board on a hub, and short words to change it: one call is one publication.
 */
#ifndef SOPHIA_TESTS_LIVE_BOARD_H
#define SOPHIA_TESTS_LIVE_BOARD_H

#include "board_copy.h"
#include "fake_loop.h"

enum { LIVE_DRAFT_MAX = 64, LIVE_TEXT_BYTES = 64, LIVE_SAVED_MAX = 512, LIVE_KNOWN_MAX = 64 };

/* The board as it was once; its newest positions, `at` the last of them. */
struct live_saved {
    struct overlay entries; /* rising rev, tombstones too; owns the texts */
    uint64_t floor;
    struct position known[LIVE_KNOWN_MAX];
    size_t known_count;
};

struct live_board {
    struct fake_loop *loop;
    struct board *board;
    struct topic *topic;
    struct position at;
    bool is_swept;  /* it may forget tombstones */
    uint32_t forks; /* how often the history went another way */
    struct live_saved saved;
    struct position known[LIVE_KNOWN_MAX]; /* newest last, without `at` */
    size_t known_count;
    struct overlay draft;
    char fields[LIVE_DRAFT_MAX][LIVE_TEXT_BYTES];
    char values[LIVE_DRAFT_MAX][LIVE_TEXT_BYTES];
};

void live_board_open(struct live_board *live, struct fake_loop *loop, const char *id,
                     const struct board_options *options, const struct row_limit *limits, size_t limit_count);
void live_board_close(struct live_board *live);
/** Everything on it, for those who subscribe. */
struct topic_view *live_board_view(const struct live_board *live);
/** Adds to the next publication; value NULL: the field goes. A field that is in it already is passed over. */
void live_board_draft(struct live_board *live, const char *field, const char *value);
void live_board_publish(struct live_board *live, uint32_t coalesce_ms);
/** Remember the board as it is now. */
void live_board_save(struct live_board *live);
/**
 * The journal lost everything since live_board_save() and goes on from there, at an offset beyond what was told. false: nothing
 * was saved in this epoch.
 */
bool live_board_fail_over(struct live_board *live);
/** draft and publish. */
void live_board_set(struct live_board *live, const char *field, const char *value, uint32_t coalesce_ms);

#endif
