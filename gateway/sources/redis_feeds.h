/**
 * Which channels and patterns are listened to, and what they feed: the definitions in force and the configuration.
 *
 * A KPI whose definition names a channel is fed from it. An entry of the configuration adds its KPI to the channel; the
 * envelope form takes the whole channel, because its messages name their fields themselves.
 */
#ifndef SOPHIA_SOURCES_REDIS_FEEDS_H
#define SOPHIA_SOURCES_REDIS_FEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "catalog/catalog.h"
#include "protocol/result.h"
#include "sources/redis_mapping.h"

/** A key that holds the newest message of a feed. */
struct redis_reread {
    struct redis_feed *feed;
    char *key;     /* owned */
    char *field;   /* owned: the KPI it holds; NULL: all of the feed */
    bool is_due;   /* to be asked for */
    bool is_asked; /* a command is on its way */
    unsigned tries;
    uint64_t heard; /* of the feed when it was asked */
};

struct redis_feed {
    enum redis_mapping_kind kind; /* channel or pattern */
    char *name;                   /* owned */
    enum redis_mapping_form form;
    char **fields; /* owned; KPI form */
    size_t field_count;
    struct redis_reread *rereads;
    size_t reread_count;
    uint64_t heard; /* messages */
};

struct redis_feeds {
    struct redis_feed **at; /* owned */
    size_t count, capacity;
    struct map channels, patterns; /* name -> feed */
};

/** Nothing in it. */
void redis_feeds_init(struct redis_feeds *feeds);
/** mappings: channels and patterns. Result: NO_MEMORY, FULL. Finish it in any case. */
MUST_CHECK enum result redis_feeds_fill(struct redis_feeds *feeds, const struct catalog *catalog,
                                        const struct redis_mapping *mappings, size_t mapping_count);
void redis_feeds_finish(struct redis_feeds *feeds);
/** NULL when there is none. */
struct redis_feed *redis_feeds_find(const struct redis_feeds *feeds, enum redis_mapping_kind kind,
                                    const char *name, size_t length);

#endif
