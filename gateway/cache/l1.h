/**
 * L1: the values this process holds, within a budget of bytes.
 *
 * Says of an entry how it may be served at a moment; which one leaves is s3fifo.h's to say. Entries leave for room,
 * when they are past every limit of their class, and when they are cleared. An entry that changed elsewhere stays until it is
 * replaced: it is never fresh again, and only served while the loader fails.
 *
 * With other processes writing (shared classes), a value is fresh only while their writes are heard: after
 * l1_distrust() nothing is fresh for longer than a second.
 *
 * Pure: the clock is an argument and may be any monotonic one.
 */
#ifndef SOPHIA_CACHE_L1_H
#define SOPHIA_CACHE_L1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/wheel.h"
#include "cache/cache_class.h"
#include "cache/cache_value.h"
#include "cache/s3fifo.h"
#include "protocol/result.h"

enum { L1_UNTRUSTED_MS = 1000 };

struct cache_source;

struct l1_entry {
    struct s3fifo_node policy;
    struct wheel_entry timer;          /* the eager refresh, then the end */
    struct cache_value *value;         /* owned; NULL: there is no such thing */
    const struct cache_source *source; /* borrowed; of the last load, for refreshing; may be NULL */
    size_t class;
    int64_t born_ms;     /* when its age was 0; before the clock's own start for values of other processes */
    int64_t obtained_ms; /* when it came here */
    uint64_t ttl_ms;     /* jittered */
    uint32_t load_ms;    /* how long the load took */
    bool is_changed;     /* elsewhere: never fresh again */
    bool was_read;       /* since it was put */
    bool has_failed;     /* its refresh, at failed_ms */
    int64_t failed_ms;
    size_t key_length;
    char key[];
};

enum l1_state {
    L1_FRESH,
    L1_STALE,       /* may be served while it is refreshed */
    L1_STALE_ERROR, /* may be served when the loader fails */
    L1_OVER         /* may not be served */
};

/** Why entries left. */
enum l1_reason { L1_ROOM, L1_SHARE, L1_EXPIRED, L1_CLEARED, L1_REASON_COUNT };
const char *l1_reason_name(enum l1_reason reason);

struct l1_counts {
    uint64_t left[L1_REASON_COUNT];
};

struct l1 {
    struct map entries;
    struct s3fifo policy;
    struct wheel wheel;
    const struct cache_class *classes; /* borrowed */
    size_t class_count;
    bool is_trusted;
    int64_t distrusted_ms;
    struct l1_counts counts[CACHE_CLASSES_MAX];
};

/** What is told with a value. */
struct l1_facts {
    uint64_t age_ms;
    uint32_t load_ms;
    const struct cache_source *source;
    uint64_t random; /* for the jitter */
};

/** The shares of all classes fit the budget. Result: NO_MEMORY. */
MUST_CHECK enum result l1_init(struct l1 *l1, size_t budget_bytes, const struct cache_class *classes,
                               size_t class_count, uint64_t now_ms);
/** Also after a failed or no init of zeroed memory. */
void l1_finish(struct l1 *l1);

struct l1_entry *l1_find(const struct l1 *l1, const char *key);
/** It was read. */
void l1_touch(struct l1_entry *entry);
enum l1_state l1_judge(const struct l1 *l1, const struct l1_entry *entry, uint64_t now_ms);
uint64_t l1_age_ms(const struct l1_entry *entry, uint64_t now_ms);

/**
 * Keep a value (a reference is taken), or that there is none (value NULL). The key's class is `class`.
 * Result: OLDER when what is held is fresh and of a higher version; TOO_BIG when it is larger than its class may be (what was
 *         held has left); NO_MEMORY.
 */
enum result l1_put(struct l1 *l1, const char *key, size_t class, struct cache_value *value,
                   const struct l1_facts *facts, uint64_t now_ms);
/** Bytes that a value of this length counts for. */
size_t l1_cost(size_t key_length, size_t value_length);

/** Another process wrote it. False: it is not here. */
bool l1_mark_changed(struct l1 *l1, const char *key);
/** Anything of the shared classes may have been written. Returns how many are here. */
size_t l1_mark_shared_changed(struct l1 *l1);
/** Writes of others are heard no longer. */
void l1_distrust(struct l1 *l1, uint64_t now_ms);
/** They are heard from now on; what is here may be wrong already. */
void l1_trust(struct l1 *l1);

void l1_remove(struct l1 *l1, struct l1_entry *entry, enum l1_reason reason);
/** Returns how many left. */
size_t l1_clear_class(struct l1 *l1, size_t class);
/** Removes what is over; calls on_refresh for entries of eager classes that were read and are due. It may change L1. */
void l1_run(struct l1 *l1, uint64_t now_ms, void (*on_refresh)(void *context, struct l1_entry *entry),
            void *context);
/** When to call l1_run next; UINT64_MAX when nothing is held. */
uint64_t l1_next_due_ms(const struct l1 *l1);
size_t l1_bytes(const struct l1 *l1);
size_t l1_class_bytes(const struct l1 *l1, size_t class);

#endif
