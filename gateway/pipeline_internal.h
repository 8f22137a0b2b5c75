/**
 * What the pipeline_*.c files share. Nobody else includes this.
 */
#ifndef SOPHIA_PIPELINE_INTERNAL_H
#define SOPHIA_PIPELINE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "pipeline.h"
#include "state/board.h"
#include "state/history.h"

/* What must be remembered per KPI beside its value. */
struct kpi_memory {
    struct threshold_memory threshold;
    int32_t new_rows; /* rows of a table that the submission being judged adds, less those it removes */
};

/* A submission or a restart that the journal has not answered yet. */
struct pending {
    struct list_node node;
    /* The pipeline goes: answer now, and touch it no more; the memory is freed when the journal answers. */
    void (*abandon)(struct pending *pending);
};

struct pipeline {
    struct pipeline_options options;
    struct hub *hub;
    struct journal *local,
        *shared;         /* one pointer when there is one journal; NULL once they are about to go */
    struct map journals; /* board id -> the struct journal that orders it */
    struct list_node pendings;
    bool is_attached;       /* changes can be ordered by `shared` */
    bool has_been_attached; /* the shared journal said so at some time */
    uint64_t generation;
    uint64_t definitions; /* rises with each set put in force */
    struct catalog *catalog;
    struct history *history;
    struct map memories; /* KPI id -> struct kpi_memory */
    struct metric *changes[RESULT_COUNT];
    struct metric *marked_invalid;
    struct metric *damaged;
    struct metric *reloads;
    struct metric *denials;
};

/** The board to compare with: the first that shows the KPI, if possible of the shared journal. NULL when none does. */
struct board *pipeline_first_board(const struct pipeline *pipeline, const struct kpi *kpi);
/** NULL once the journals are about to go. */
struct journal *pipeline_journal_of(const struct pipeline *pipeline, const char *board);
/** Is one of the boards that show it ordered by a journal that others submit to as well? */
bool pipeline_is_shared(const struct pipeline *pipeline, const struct kpi *kpi);
/** Can changes for this board be ordered now? NULL when not. */
struct journal *pipeline_open_journal_of(const struct pipeline *pipeline, const char *board);
/** After a reload: remove the fields whose KPI is not shown where they are. board NULL: everywhere. */
void pipeline_prune(struct pipeline *pipeline, const char *board);
bool pipeline_shows(const struct kpi *kpi, const char *board);
/** Everybody who watches is judged by the definitions in force. */
void pipeline_rejudge_all(struct pipeline *pipeline);
/** Take a board off the hub, viewers told, and free it. */
void pipeline_retire_board(struct pipeline *pipeline, struct topic *topic);

#endif
