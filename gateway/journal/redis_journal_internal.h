/**
 * What the redis_journal*.c files share. Nobody else includes this.
 *
 *   redis_journal.c         links, fitness of the server, attachment, the tick
 *   redis_journal_board.c   one board's position: messages, sync, images, waiting answers
 *   redis_journal_call.c    script calls: arguments, EVALSHA, what becomes of them when the script is gone
 *   redis_journal_submit.c  transactions and restarts
 *   redis_journal_sweep.c   fields that no board remembers leave Redis
 */
#ifndef SOPHIA_JOURNAL_REDIS_JOURNAL_INTERNAL_H
#define SOPHIA_JOURNAL_REDIS_JOURNAL_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "journal/partitions.h"
#include "journal/redis_journal.h"
#include "journal/redis_wire.h"
#include "protocol/bytes.h"

enum {
    KEY_MAX_BYTES = 160, /* prefix, tag, board, what */
    PREFIX_MAX_BYTES = 64,
    SHA_BYTES = 40,
    NUMBER_BYTES = 24, /* a uint64 as text */
    JOURNAL_REASON_BYTES = 256,
    TICK_MS = 200,
    RETRY_MS = 1000,
    UNFIT_RETRY_MS = 2000,
    SILENT_CHECKS_MAX =
        2, /* repairs in a row that only the position check asked for: the subscription is dead */
    KEYS_PER_CALL = 4,
};

/* The text of redis_journal.lua (meson writes redis_journal_script.c). */
extern const char redis_journal_script[];

struct redis_board;
struct redis_journal;

/* ---- script calls ---- */

struct arguments {
    const char **argv;
    size_t *lengths;
    size_t count, capacity;
    char (*numbers)[NUMBER_BYTES];
    size_t number_count, number_capacity;
};

/* Room for so many more arguments, of which so many are numbers. */
bool arguments_reserve(struct arguments *arguments, size_t count, size_t numbers);
void arguments_add(struct arguments *arguments, const char *text, size_t length);
void arguments_add_text(struct arguments *arguments, const char *text);
void arguments_add_number(struct arguments *arguments, uint64_t number);

struct call;
struct call_kind {
    const char *command;
    /* Adds what follows the fresh epoch and the word. false: out of memory. */
    bool (*build)(struct call *call, struct arguments *arguments);
    /* reply NULL: there is none. Ends in call_finish(). */
    void (*on_reply)(struct call *call, const struct redisReply *reply);
};

struct call {
    struct list_node node; /* in journal->sent, ->again or ->failed */
    struct redis_journal *journal;
    struct redis_board *board; /* kept alive by this call */
    const struct call_kind *kind;
    uint32_t word; /* the nonce it brings; never 0 */
};

/* The call is the first member of what it belongs to, made by calloc. NULL when memory ran out. */
void *call_create(size_t size, struct redis_board *board, const struct call_kind *kind);
/* Ends in on_reply, never before this returns. */
void call_send(struct call *call);
/* As call_send, for a call that must not reach Redis: on_reply(NULL) at the end of this turn. */
void call_refuse(struct call *call);
void call_finish(struct call *call);
/* Those that wait for the script hear that there will be no reply. */
void calls_fail_waiting(struct redis_journal *journal);

/* ---- boards ---- */

/* Something to tell when the board has reached a position. */
struct waiter {
    struct list_node node; /* in board->waiters */
    struct position at;
    uint64_t since_ms;
    void (*tell)(struct waiter *waiter);
};

struct buffered {
    struct list_node node;
    size_t length;
    char text[];
};

struct redis_board {
    struct list_node node;
    struct redis_journal *journal;
    char id[BOARD_ID_MAX_BYTES + 1];
    size_t partition;
    char meta_key[KEY_MAX_BYTES], state_key[KEY_MAX_BYTES], tail_key[KEY_MAX_BYTES];
    size_t users; /* calls and commands under way, plus one while open */
    bool is_open;
    bool has_position;      /* `at` is a position of the shared order */
    bool is_live;           /* messages continue `at` */
    bool is_asking;         /* a sync is under way */
    bool must_ask_again;    /* what is under way is no longer enough */
    bool is_asked_by_check; /* nobody but the position check noticed */
    bool was_gap;           /* what the sync brings was missed */
    struct position at;
    uint64_t ask_after_ms; /* 0 = no retry is due */
    uint64_t suspect;      /* offset that the check saw; 0 = none */
    struct list_node waiters;
    struct list_node buffer;
    size_t buffered_bytes;
    uint64_t sweep_due_ms;
    bool is_sweep_urgent;
    size_t fields_after_sweep; /* that Redis held when the newest sweep was through */
};

struct redis_board *board_find(struct redis_journal *journal, const char *id, size_t length);
void board_ref(struct redis_board *board);
void board_unref(struct redis_board *board);
/* Ask for what the board lacks; now, or as soon as both links allow. */
void board_sync(struct redis_board *board);
void board_take_message(struct redis_board *board, struct wire_message *message, const char *text,
                        size_t length);
/* Tell at once when the board is there already. */
void board_wait(struct redis_board *board, struct waiter *waiter);
/* What the position check answered; is_known false: Redis has nothing. */
void board_check(struct redis_board *board, bool is_known, const struct position *at);
void board_tick(struct redis_board *board);
/* A link went: nothing is heard, or nobody knows by whom. */
void board_lose(struct redis_board *board);
/* What was promised to those who wait is true, whatever the board has. */
void board_release_waiters(struct redis_board *board);
void board_retire(struct redis_board *board);

/* ---- the journal ---- */

enum server_phase {
    SERVER_DOWN,
    SERVER_ASKED, /* INFO or SCRIPT LOAD under way */
    SERVER_UNFIT, /* up, but not to be used; asked again every UNFIT_RETRY_MS */
    SERVER_READY,
};

struct partition {
    char channel[KEY_MAX_BYTES];
    size_t boards;
    bool is_wanted;    /* asked of the link */
    bool is_confirmed; /* by the server, in this connection */
    unsigned silent_checks;
};

struct redis_journal {
    struct journal base; /* first: the interface points here */
    struct journal_host host;
    struct redis_journal_options options;
    struct loop *loop;
    struct redis_link *commands, *subscriber;
    char prefix[PREFIX_MAX_BYTES + 1];
    char tags[PARTITION_COUNT][PARTITION_TAG_MAX_BYTES + 1];
    struct partition partitions[PARTITION_COUNT];
    struct map by_id;
    struct list_node boards;
    enum server_phase phase;
    bool is_subscriber_up;
    bool is_kind_known, is_sharded; /* sharded: SPUBLISH and SSUBSCRIBE */
    bool is_attached;
    bool is_destroying;
    char sha[SHA_BYTES + 1];
    char reason[JOURNAL_REASON_BYTES];        /* why detached, as last told */
    char server_reason[JOURNAL_REASON_BYTES]; /* why the command link or its server will not do */
    char subscriber_reason[JOURNAL_REASON_BYTES];
    struct loop_timer *tick;
    uint64_t check_due_ms, fitness_due_ms;
    /* Calls: at Redis; waiting for the script; to be told that there is no reply. */
    struct list_node sent, again, failed;
    struct loop_deferred tell_failed;
    struct arguments arguments;
    struct wire_message message;
    size_t outstanding, outstanding_bytes; /* submits and restarts */
    bool is_sweeping;
    uint64_t complained_ms, errored_ms; /* when garbage and an error were last logged */
    struct {
        struct metric *publications, *gaps_repaired, *gaps_reloaded, *images, *checks, *submit_seconds,
            *outstanding, *refused_detached, *refused_outstanding, *refused_too_big, *refused_error,
            *malformed, *swept, *attached;
    } metrics;
};

const char *publish_command(const struct redis_journal *journal);
/* Can scripts be sent and will their publications be heard? */
bool journal_can_sync(const struct redis_journal *journal, const struct redis_board *board);
/* The position in three elements of a reply. false: it is none. */
bool journal_read_position(const struct redisReply *reply, size_t at, struct position *out_position);
/* Attached or not may have changed: tell. */
void journal_update_attachment(struct redis_journal *journal);
/* Someone wrote what is not ours: counted, and logged at most once a minute. */
void journal_complain(struct redis_journal *journal, const char *key, const char *what);
/* An error from Redis for a call: counted; logged at most once a minute. */
void journal_log_error(struct redis_journal *journal, const char *command, const struct redisReply *reply);
bool partition_want(struct redis_journal *journal, size_t partition);
void partition_release(struct redis_journal *journal, size_t partition);

void redis_journal_submit(struct journal *base, const struct journal_transaction *transaction,
                          journal_done_fn *done, void *context);
void redis_journal_restart(struct journal *base, const struct journal_restart *restart,
                           journal_restarted_fn *done, void *context);

/* A transaction told how many fields Redis holds: rows that turn over fast cannot wait for the usual turn. */
void sweep_look(struct redis_board *board, size_t held);
/* Begin to sweep one board that is due, unless a sweep is under way. */
void sweep_tick(struct redis_journal *journal);

#endif
