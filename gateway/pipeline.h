/**
 * The two doors: changes come in here, viewers come in here.
 *
 *   pipeline_submit   producer -> validate -> journal -> board -> flush
 *   pipeline_join     viewer -> board -> cursor
 *
 * The pipeline owns the boards and their histories and holds the catalogue in
 * force. It knows neither where changes come from nor how viewers are connected.
 *
 * Loop: loop thread.
 */
#ifndef SOPHIA_PIPELINE_H
#define SOPHIA_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "fanout/hub.h"
#include "journal/journal.h"
#include "protocol/change.h"
#include "protocol/result.h"
#include "views/audience.h"

struct pipeline;

struct pipeline_options {
    size_t max_boards;
    size_t max_kpis;
    size_t max_fields_per_board;
    size_t max_tombstones_per_board;
    size_t max_positions_per_board;
    size_t max_text_bytes_per_board; /* beyond it values may only shrink: a snapshot must stay encodable */
    uint32_t coalesce_ms;            /* for KPIs that define none */
    struct audience_rules audience;  /* its lists outlive the pipeline */
    struct moment (*now)(void);      /* clock_moment; tests pass their own */
};

/** Owns: hub and metrics outlive the pipeline. NULL when memory ran out. */
struct pipeline *pipeline_create(const struct pipeline_options *options, struct hub *hub,
                                 struct metrics *metrics);
/** What is still outstanding is answered (UNAVAILABLE). Order: see journal_destroy(). NULL is allowed. */
void pipeline_destroy(struct pipeline *pipeline);

/** What the journals call; hand it to their constructors. */
struct journal_host pipeline_journal_host(struct pipeline *pipeline);
/**
 * Before the first catalogue. The journals stay the caller's.
 *
 * local:  boards that show a KPI of source.kind "internal": each process has its own.
 * shared: all others; the same pointer when there is one journal. One that is_shared is told of as source "journal".
 * Both NULL: they are about to be destroyed; whatever is submitted from now on is answered UNAVAILABLE.
 */
void pipeline_set_journals(struct pipeline *pipeline, struct journal *local, struct journal *shared);
bool pipeline_is_durable(const struct pipeline *pipeline);

/**
 * Put definitions in force: the first ones, or others at a reload. Boards appear, change and go;
 * fields of KPIs that left are removed on every screen. Viewers hear of it by heartbeat; those who see something else now, or
 * nothing, as hub_rejudge() says. Submissions may be outstanding: what they still bring for KPIs that left is removed again.
 * Owns:   takes its own reference.
 * Result: NO_MEMORY or FULL: the definitions before stay in force.
 */
MUST_CHECK enum result pipeline_set_catalog(struct pipeline *pipeline, struct catalog *catalog);
/** Borrowed; NULL before the first. */
const struct catalog *pipeline_catalog(const struct pipeline *pipeline);

/** One item of a submission: a change, and what became of it. */
struct submission_item {
    struct change change; /* the caller's; read only */
    enum result outcome;  /* OK, UNCHANGED, OLDER, or why it was refused; UNAVAILABLE: send it again */
    char detail[REASON_MAX_BYTES + 1]; /* "" or one sentence for the producer */
};

typedef void pipeline_done_fn(void *context, struct submission_item *items, size_t count);

/**
 * One transaction of a producer. Items are judged one by one; what is accepted for one
 * board leaves in one frame.
 *
 * Owns:  items stay the caller's and must live until done. An item whose outcome is already not OK
 *        (it could not be decoded) is passed over.
 * Calls: done exactly once, possibly before this returns.
 */
void pipeline_submit(struct pipeline *pipeline, struct submission_item *items, size_t count,
                     pipeline_done_fn *done, void *context);

/**
 * The same for a source with versions of its own history. lineage: which history, see journal_transaction; copied. Items may
 * come back OTHER_LINEAGE: then call pipeline_restart_source() and read everything again.
 */
void pipeline_submit_from(struct pipeline *pipeline, const char *lineage, struct submission_item *items,
                          size_t count, pipeline_done_fn *done, void *context);

typedef void pipeline_restarted_fn(void *context, enum result outcome);
/**
 * A source lost part of its history, or is another one: start the order of every board that shows KPIs of this source
 * kind (or copies of them) afresh; its viewers get a snapshot. Boards that have this lineage already are left alone.
 *
 * keeps: asked for every field of those KPIs before this returns. true: the value stays until the source says otherwise, its
 *        version is forgotten; false: it leaves.
 * Calls: done exactly once, possibly before this returns: OK, or the worst of UNAVAILABLE, NO_MEMORY.
 */
void pipeline_restart_source(struct pipeline *pipeline, const char *source_kind, const char *lineage,
                             bool (*keeps)(void *context, const char *field), pipeline_restarted_fn *done,
                             void *context);

/**
 * Rises whenever what was submitted before may be missing: the journal attached anew, a board was exchanged or
 * restarted, other definitions came into force. A source that sees another number than at its last full read
 * reads everything again. 0 while the shared journal is detached: nothing can be submitted.
 */
uint64_t pipeline_generation(const struct pipeline *pipeline);
/** Could changes be ordered at any time until now? Then the boards hold what was true then. */
bool pipeline_has_been_attached(const struct pipeline *pipeline);

/** Visits the fields that have a value now; they must not change meanwhile. false: no board shows this KPI. */
bool pipeline_each_field(const struct pipeline *pipeline, const char *kpi,
                         void (*visit)(void *context, const char *field, size_t length), void *context);

/** Watch a board, with the viewer's roles. Result: UNKNOWN_BOARD, FORBIDDEN, and those of topic_find_view() and viewer_subscribe(). */
MUST_CHECK enum result pipeline_join(struct pipeline *pipeline, struct viewer *viewer, const char *board,
                                     const struct position *position, const struct viewer_quality *quality);

/**
 * Its roles are others now (viewer_set_roles()): what it watches is judged anew, at once. See viewer_rejudge().
 */
void pipeline_rejudge(struct pipeline *pipeline, struct viewer *viewer);
/** What these roles amount to under the definitions in force. roles: as viewer_set_roles(). */
struct audience pipeline_audience(const struct pipeline *pipeline, const char *roles);
/** May somebody with these roles watch this board? UNKNOWN_BOARD, FORBIDDEN (counted). */
MUST_CHECK enum result pipeline_may_watch(const struct pipeline *pipeline, const char *roles,
                                          const char *board);
/** Does a board that this audience may watch show it this KPI? One that is on no board is seen by its roles alone. */
bool pipeline_may_see(const struct kpi *kpi, struct audience audience);

struct hub *pipeline_hub(struct pipeline *pipeline);
/** A source says how it is. See hub_report_source. */
void pipeline_report_source(struct pipeline *pipeline, const char *name, bool is_up, const char *reason);

/**
 * For HTTP: the snapshot's JSON text for these roles, and the position it tells. Lives until the board changes or anybody asks again.
 * Result: UNKNOWN_BOARD, FORBIDDEN, FULL, NO_MEMORY, TOO_BIG.
 */
MUST_CHECK enum result pipeline_snapshot(struct pipeline *pipeline, const char *roles, const char *board,
                                         const char **out_text, size_t *out_length,
                                         struct position *out_position);
/**
 * Likewise the board's definition. out_view names what is seen; both live until anybody asks again.
 * Result: UNKNOWN_BOARD, FORBIDDEN, FULL, NO_MEMORY.
 */
MUST_CHECK enum result pipeline_definition(struct pipeline *pipeline, const char *roles, const char *board,
                                           const char **out_text, size_t *out_length, const char **out_view);
/** Recent points as history_print(). false when the KPI keeps none. */
bool pipeline_history(const struct pipeline *pipeline, const char *kpi, size_t max_points, struct bytes *out,
                      uint64_t *out_step_ms);
/** How many points there are now, and their step; both 0 when the KPI keeps none. */
size_t pipeline_history_count(const struct pipeline *pipeline, const char *kpi, uint64_t *out_step_ms);

/** How old each value is now; for the operations board, health and the JSON views. */
struct kpi_age {
    const struct kpi *kpi;
    enum freshness freshness;
    int64_t as_of_ms; /* newest row for KPIs with rows; 0 when there is none */
};
/** Visits every KPI of the catalogue that is not fed from "internal". */
void pipeline_each_age(const struct pipeline *pipeline,
                       void (*visit)(void *context, const struct kpi_age *age), void *context);

#endif
