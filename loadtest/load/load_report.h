/**
 * What a run found out, as JSON and as a table, and whether that is what the scenario expects.
 *
 * An expectation is the largest value a metric may have, or with "min_" before its name the smallest. A metric that could not be
 * measured holds no expectation. errors, lost, violations, behind: 0, and min_deliveries: 1 where there are viewers and changes, are
 * expected also where the scenario does not say so.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_REPORT_H
#define SOPHIA_LOADTEST_LOAD_LOAD_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/load_crowd.h"
#include "loadtest/load/load_machine.h"

struct load_run {
    const struct scenario *scenario;  /* borrowed */
    const struct load_tally *tally;   /* borrowed */
    const struct load_verify *verify; /* borrowed */
    double seconds;                   /* how long the window was */
    uint64_t changes, change_viewers; /* accepted within it; and times the viewers of each one's board */
    uint64_t late_us;                 /* of the producer, at most */
    uint64_t lost;
    uint32_t behind, copies; /* viewers not at the head; boards compared */
    uint64_t distinct_messages;
    struct load_cpu connecting, window;
    bool has_servers; /* their processor time and memory are known */
    uint64_t rss_empty_kib, rss_idle_kib, rss_end_kib;
    uint64_t sockets_empty_kib, sockets_idle_kib, sockets_end_kib;
};

/** Does an expectation of this name exist? */
bool load_report_knows(const char *expectation);
/** The whole result; NULL: out of memory. out_held: all expectations hold. */
json_t *load_report_make(const struct load_run *run, bool *out_held);
/** A table for people, and what was broken. */
void load_report_print(const json_t *report);

#endif
