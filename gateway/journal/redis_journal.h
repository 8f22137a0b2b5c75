/**
 * The journal that many processes share: order is decided by a script in Redis, one call per transaction.
 *
 * Every node submits there and hears every publication of its boards on the partition's channel, its own
 * included: that is the only way in, so all nodes apply the same publications in the same order. A node that
 * joins, reconnects, finds a gap or is found behind by the regular position check asks for what it lacks
 * since its own position; Redis answers with the publications in between when it knows exactly that position
 * (epoch, offset and nonce), else with the whole board, which the host hears as on_image. Redis is a
 * projection: losing it, or its tail in a failover, costs new epochs or images, and the sources fill in what
 * it lost.
 *
 * A submit that was cut off is answered UNAVAILABLE although it may have been carried out: submitted again
 * with its version it is found UNCHANGED. An outcome is told when this node's own board has
 * what it speaks of, or at once when the journal detaches or the board is closed.
 *
 * is_durable is false: Redis acknowledges before it writes.
 *
 * Metrics: gw_journal_publications_total, gw_journal_gaps_total{outcome}, gw_journal_images_total,
 * gw_journal_position_checks_total, gw_journal_submit_seconds, gw_journal_outstanding,
 * gw_journal_refused_total{reason}, gw_journal_malformed_total, gw_journal_swept_total, gw_journal_attached.
 * Keys and operation: docs/redis.md, "Journal".
 */
#ifndef SOPHIA_JOURNAL_REDIS_JOURNAL_H
#define SOPHIA_JOURNAL_REDIS_JOURNAL_H

#include "base/metrics.h"
#include "io/loop.h"
#include "io/redis_link.h"
#include "journal/journal.h"

struct redis_journal_options {
    const struct redis_server *server; /* borrowed; outlives the journal */
    const char *prefix;                /* of every key and channel, e.g. "sophia:"; no braces. Copied */
    size_t max_boards;
    size_t max_fields;            /* a board may hold in Redis, those not swept yet included; more is FULL */
    size_t max_outstanding;       /* submits and restarts without an answer; more is UNAVAILABLE */
    size_t max_outstanding_bytes; /* of their texts */
    size_t max_transaction_bytes; /* a larger one is TOO_BIG; Redis cuts subscribers at 32 MB of output */
    size_t max_buffered_bytes;    /* per board, while it is being read; beyond it is read again */
    size_t tail_offsets;          /* how far back Redis can repair and new nodes know positions */
    uint32_t check_ms;            /* how often positions and the eviction policy are compared */
    uint32_t sweep_ms;            /* how often a board's forgotten fields are looked for */
    uint32_t wait_ms;             /* an own publication not heard for this long is fetched */
    bool check_nonce; /* false only in the test that shows why: silent divergence after a failover */
};

/** Everything but server. */
extern const struct redis_journal_options redis_journal_defaults;

/**
 * Starts dialling at once; nothing is told before the loop runs. NULL when memory ran out.
 * Owns: loop, metrics and the server's texts outlive it.
 */
struct journal *redis_journal_create(struct loop *loop, struct metrics *metrics,
                                     const struct journal_host *host,
                                     const struct redis_journal_options *options);

#endif
