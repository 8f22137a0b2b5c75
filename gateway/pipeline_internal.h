/**
 * What the pipeline_*.c files share. Nobody else includes this.
 */
#ifndef SOPHIA_PIPELINE_INTERNAL_H
#define SOPHIA_PIPELINE_INTERNAL_H

#include "base/map.h"
#include "pipeline.h"
#include "state/board.h"
#include "state/history.h"

/* What must be remembered per KPI beside its value. */
struct kpi_memory {
    struct threshold_memory threshold;
    int32_t new_rows; /* rows of a table that the submission being judged adds, less those it removes */
};

struct pipeline {
    struct pipeline_options options;
    struct hub *hub;
    struct journal *journal;
    struct catalog *catalog;
    struct history *history;
    struct map memories; /* KPI id -> struct kpi_memory */
    struct metric *changes[RESULT_COUNT];
    struct metric *marked_invalid;
    struct metric *damaged;
    struct metric *reloads;
};

/** The board to compare with: the first that shows the KPI; all hold the same. NULL when none does. */
struct board *pipeline_first_board(const struct pipeline *pipeline, const struct kpi *kpi);
/** Take a board off the hub, viewers told, and free it. */
void pipeline_retire_board(struct pipeline *pipeline, struct topic *topic);

#endif
