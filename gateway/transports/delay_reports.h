/**
 * How late viewers say that changes reach their screens: reports become one histogram.
 *
 * Viewers may say anything, so none weighs more than another: a connection is heard once per REPORT_EVERY_MS, with at most
 * REPORT_DELAYS_MAX delays, and for the first time that long after its hello, so that connecting anew gains nothing.
 * Spec: PROTOCOL.md, "Reporting".
 */
#ifndef SOPHIA_TRANSPORTS_DELAY_REPORTS_H
#define SOPHIA_TRANSPORTS_DELAY_REPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "protocol/viewer_message.h"

/** Metrics only; what is kept per connection is the caller's. */
struct delay_reports {
    struct metric *delays;            /* gw_client_delay_seconds */
    struct metric *counted, *ignored; /* gw_client_reports_total */
};

void delay_reports_init(struct delay_reports *reports, struct metrics *metrics);

/** When a connection that says hello now (monotonic) may report for the first time. */
uint64_t delay_reports_first_due_ms(uint64_t now_ms);

/**
 * Count a report, or ignore it because it comes too soon.
 *
 * due_ms: of this connection; moved on when the report counts.
 * False: it was ignored.
 */
bool delay_reports_take(struct delay_reports *reports, const struct viewer_message *message, uint64_t now_ms,
                        uint64_t *due_ms);

#endif
