/**
 * Streams by XREAD: loss-free, because the position of a stream moves only behind what the journal has taken.
 *
 * All streams share one connection; a round reads up to 100 entries of each, submits them in order and waits until all
 * are through. When the journal could not take one, the round ends before it and is read again from there. The
 * entry's id is the version of changes that say none, so what is read twice changes nothing.
 *
 * The position is kept in the key <prefix>stream-position:<stream> and only moves forward. With a journal
 * in memory a stream that is read from its oldest entry is read whole at each start instead: that is what restores the boards.
 */
#ifndef SOPHIA_SOURCES_REDIS_STREAMS_H
#define SOPHIA_SOURCES_REDIS_STREAMS_H

#include "io/loop.h"
#include "io/redis_link.h"
#include "sources/redis_submissions.h"

struct redis_streams;

struct redis_streams_options {
    struct loop *loop;
    struct metrics *metrics;
    struct pipeline *pipeline;
    const struct redis_server *server;
    struct redis_submissions *submissions;
    const char *prefix;
    const struct redis_mapping *mappings; /* streams; borrowed */
    size_t count;                         /* > 0 */
    bool is_shared;                       /* the journal keeps what it took when this process ends */
    loop_fn *on_health;                   /* redis_streams_problem() may say something else now */
    void *context;
};

/** Begins passive. NULL when memory ran out. */
struct redis_streams *redis_streams_create(const struct redis_streams_options *options);
/** NULL is allowed. */
void redis_streams_destroy(struct redis_streams *streams);
/** Is this the process that reads? */
void redis_streams_set_active(struct redis_streams *streams, bool is_active);
/** For operators: why streams are not read, naming the stream; NULL: all is well. */
const char *redis_streams_problem(const struct redis_streams *streams);
/** For who shows links. */
struct redis_link *redis_streams_link(const struct redis_streams *streams);

#endif
