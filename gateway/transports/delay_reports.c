/*
 * The caller keeps one number per connection: when its next report is due. A report may come a little before that, as
 * the network brings two messages closer together than they were sent.
 */
#include "transports/delay_reports.h"

#include <stddef.h>

enum { EARLY_MAX_MS = 1000 };

void delay_reports_init(struct delay_reports *reports, struct metrics *metrics)
{
    static const char help[] =
        "Reports of viewers about their delay, by whether they were counted or came too soon.";
    reports->delays =
        metrics_histogram(metrics, "gw_client_delay_seconds", NULL,
                          "From a change to the screen, as a sample of the viewers' updates says.",
                          METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    reports->counted = metrics_counter(metrics, "gw_client_reports_total", "result=\"counted\"", help);
    reports->ignored = metrics_counter(metrics, "gw_client_reports_total", "result=\"too_soon\"", help);
}

uint64_t delay_reports_first_due_ms(uint64_t now_ms)
{
    return now_ms + REPORT_EVERY_MS;
}

bool delay_reports_take(struct delay_reports *reports, const struct viewer_message *message, uint64_t now_ms,
                        uint64_t *due_ms)
{
    if (now_ms + EARLY_MAX_MS < *due_ms) {
        metric_add(reports->ignored, 1);
        return false;
    }
    *due_ms = now_ms + REPORT_EVERY_MS;
    metric_add(reports->counted, 1);
    for (uint32_t i = 0; i < message->delay_count; i++) {
        metric_observe(reports->delays, message->delays_ms[i] / 1000.0);
    }
    return true;
}
