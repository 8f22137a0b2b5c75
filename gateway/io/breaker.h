/**
 * A circuit breaker: after some failures in a row nothing is asked of an
 * upstream for a while, then one probe with a deadline decides.
 *
 *   closed -(failures in a row)-> open -(open_ms)-> half open -(success)-> closed
 *                                   ^------(failure, or no answer by the deadline)-'
 *
 * Failures are those of the upstream (unreachable, timed out, overloaded); what
 * was wrong with the request is a success here.
 *
 * Loop: pure; the caller's monotonic clock is passed in.
 */
#ifndef SOPHIA_IO_BREAKER_H
#define SOPHIA_IO_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN, BREAKER_STATE_COUNT };

struct breaker_options {
    uint32_t failures; /* in a row that open it */
    uint32_t open_ms;
    uint32_t probe_ms; /* a probe without an answer after this time has failed */
};

struct breaker {
    struct breaker_options options;
    enum breaker_state state;
    uint32_t failures;      /* in a row */
    uint64_t changed_at_ms; /* when it opened, or when the probe was let through */
    uint64_t opened_total;
};

void breaker_init(struct breaker *breaker, const struct breaker_options *options);
/** May a request go now? In half open: true for one caller, who must tell how it went. */
bool breaker_allow(struct breaker *breaker, uint64_t now_ms);
void breaker_succeed(struct breaker *breaker, uint64_t now_ms);
void breaker_fail(struct breaker *breaker, uint64_t now_ms);
/** As of now: an open one whose time is over is half open. */
enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ms);
/** Milliseconds until the next probe may go; 0 when closed or now. */
uint64_t breaker_next_probe_ms(const struct breaker *breaker, uint64_t now_ms);
/** "closed", "half_open", "open". */
const char *breaker_state_name(enum breaker_state state);

#endif
