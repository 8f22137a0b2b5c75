/**
 * Messages on their way through the pipeline: decoded, counted, submitted, one at a time or many.
 *
 * A message that cannot be used is counted and told in one log line of every ten seconds; it is never fatal.
 * Metrics: gw_redis_messages_total{result}: per change what became of it; per message malformed, too_big, ...,
 *          dropped (no room to wait), and leftover (it had members that nothing takes).
 */
#ifndef SOPHIA_SOURCES_REDIS_SUBMISSIONS_H
#define SOPHIA_SOURCES_REDIS_SUBMISSIONS_H

#include "base/list.h"
#include "base/metrics.h"
#include "pipeline.h"
#include "sources/redis_payload.h"

struct redis_submissions {
    struct pipeline *pipeline;
    struct moment (*now)(void);
    struct metric *results[RESULT_COUNT];
    struct metric *dropped, *leftover;
    uint64_t told_at_ms; /* last log line; 0: none yet */
    uint64_t untold;     /* problems since */
    struct list_node outstanding;
};

/** OK: nothing is left to do with this message. UNAVAILABLE, NO_MEMORY: to be sent again, if it can be. */
typedef void redis_submitted_fn(void *context, void *subject, enum result outcome);

void redis_submissions_init(struct redis_submissions *submissions, struct pipeline *pipeline,
                            struct metrics *metrics, struct moment (*now)(void));
/** No callback from here on; the pipeline may still answer. */
void redis_submissions_finish(struct redis_submissions *submissions);

/** place: channel, stream or key, for the log. Calls: done exactly once, possibly before this returns. */
void redis_submissions_take(struct redis_submissions *submissions, const char *place,
                            const struct redis_meaning *meaning, const char *text, size_t length,
                            redis_submitted_fn *done, void *context, void *subject);
/** A message that had to go before it was read. */
void redis_submissions_drop(struct redis_submissions *submissions, const char *place);
/** A message of a form that is not known, said in a few words. */
void redis_submissions_refuse(struct redis_submissions *submissions, const char *place, enum result result,
                              const char *problem);

#endif
