/**
 * Recent points per KPI, for sparklines and the history endpoint.
 *
 * A KPI keeps its newest `points` buckets of `step_ms`, at most one point per
 * bucket: the last value observed in it (greatest as_of). A late value corrects its bucket.
 * Decoration, not state: it has no positions and is not resumed.
 *
 * Loop: loop thread; never calls back.
 */
#ifndef SOPHIA_STATE_HISTORY_H
#define SOPHIA_STATE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/result.h"

struct history;

/** max_kpis bounds the table; each KPI costs 40 bytes a point it keeps. */
struct history *history_create(size_t max_kpis);
void history_destroy(struct history *history);

/** Declare or redeclare a KPI; a smaller `points` drops the oldest, a new step starts afresh. 1 <= points <= HISTORY_POINTS_MAX. */
MUST_CHECK enum result history_define(struct history *history, const char *kpi, uint32_t points,
                                      uint64_t step_ms);
/** Forget a KPI. */
void history_drop(struct history *history, const char *kpi);

enum { HISTORY_TEXT_MAX = 24 };

/**
 * Record a value. text: a JSON number or string token of at most HISTORY_TEXT_MAX - 1 bytes.
 * Cost:   O(1) in order, O(points) for a late value.
 * Result: UNKNOWN_FIELD when the KPI keeps no points; OLDER when its bucket has left the window or holds a later
 *         value; TOO_BIG.
 */
enum result history_record(struct history *history, const char *kpi, int64_t as_of_ms, const char *text,
                           size_t length);

/** Appends [[as_of, v], ...], oldest first, the newest max_points. false when the KPI keeps no points (appends nothing). */
bool history_print(const struct history *history, const char *kpi, size_t max_points, struct bytes *out);
/** How many points it holds now. */
size_t history_count(const struct history *history, const char *kpi);
/** Step of a KPI in ms, or 0 when it keeps no points. */
uint64_t history_step_ms(const struct history *history, const char *kpi);

#endif
