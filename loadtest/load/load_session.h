/**
 * One run: fill the boards; let the viewers arrive; rest a second; changes flow; after the warm-up the window is measured;
 * changes stop; when all viewers are at the head, or quiet_s later, everything is compared.
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_SESSION_H
#define SOPHIA_LOADTEST_LOAD_LOAD_SESSION_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "loadtest/load/load_machine.h"
#include "loadtest/load/load_scenario.h"
#include "loadtest/load/load_stream.h"

enum { LOAD_GATEWAYS_MAX = 16 };

struct load_session_options {
    const struct scenario *scenario; /* borrowed */
    struct load_address gateways[LOAD_GATEWAYS_MAX];
    uint32_t gateway_count;
    struct load_servers servers;
    const char *ingest_key, *redis, *postgres; /* NULL: not given */
    bool tells_progress;                       /* every 5 s on stderr */
    const volatile sig_atomic_t *must_stop;
};

/**
 * NULL: it could not run; out_problem says why. Owns: the caller frees the report.
 * out_held: all expectations hold.
 */
json_t *load_session_run(const struct load_session_options *options, bool *out_held,
                         char out_problem[SCENARIO_PROBLEM_BYTES]);

#endif
