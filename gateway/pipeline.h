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

struct pipeline;

struct pipeline_options {
    size_t max_boards;
    size_t max_kpis;
    size_t max_fields_per_board;
    size_t max_tombstones_per_board;
    size_t max_positions_per_board;
    size_t max_text_bytes_per_board; /* beyond it values may only shrink: a snapshot must stay encodable */
    uint32_t coalesce_ms;            /* for KPIs that define none */
    struct moment (*now)(void);      /* clock_moment; tests pass their own */
};

/** Owns: hub and metrics outlive the pipeline. NULL when memory ran out. */
struct pipeline *pipeline_create(const struct pipeline_options *options, struct hub *hub,
                                 struct metrics *metrics);
void pipeline_destroy(struct pipeline *pipeline);

/** What the journal calls; hand it to the journal's constructor. */
struct journal_host pipeline_journal_host(struct pipeline *pipeline);
/** Before the first catalogue. The journal stays the caller's and outlives the last submit. */
void pipeline_set_journal(struct pipeline *pipeline, struct journal *journal);
bool pipeline_is_durable(const struct pipeline *pipeline);

/**
 * Put definitions in force: the first ones, or others at a reload. Boards appear, change and go;
 * fields of KPIs that left are removed on every screen. Viewers hear of it by heartbeat.
 * Owns:   takes its own reference.
 * Result: NO_MEMORY or FULL: the definitions before stay in force.
 */
MUST_CHECK enum result pipeline_set_catalog(struct pipeline *pipeline, struct catalog *catalog);
/** Borrowed; NULL before the first. */
const struct catalog *pipeline_catalog(const struct pipeline *pipeline);

/** One item of a submission: a change, and what became of it. */
struct submission_item {
    struct change change;              /* the caller's; read only */
    enum result outcome;               /* OK, UNCHANGED, OLDER, or why it was refused */
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

/** Watch a board. Result: UNKNOWN_BOARD, and those of viewer_subscribe(). */
MUST_CHECK enum result pipeline_join(struct pipeline *pipeline, struct viewer *viewer, const char *board,
                                     const struct position *position, const struct viewer_quality *quality);

struct hub *pipeline_hub(struct pipeline *pipeline);
/** A source says how it is. See hub_report_source. */
void pipeline_report_source(struct pipeline *pipeline, const char *name, bool is_up, const char *reason);

/** For HTTP: the snapshot's JSON text and its position. Lives until the board changes or is asked for again. UNKNOWN_BOARD, NO_MEMORY, TOO_BIG. */
MUST_CHECK enum result pipeline_snapshot(struct pipeline *pipeline, const char *board, const char **out_text,
                                         size_t *out_length, struct position *out_position);
/** Recent points as history_print(). false when the KPI keeps none. */
bool pipeline_history(const struct pipeline *pipeline, const char *kpi, size_t max_points, struct bytes *out,
                      uint64_t *out_step_ms);

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
