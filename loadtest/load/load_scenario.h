/**
 * What a run of sophia-load does: a JSON file of loadtest/scenarios/, with members replaced from the command line.
 *
 *   name, about        what it is called, and what it shows
 *   viewers            how many watch                                             connects_per_s   how fast they arrive
 *   seconds, warmup_s  what is measured, and how long changes flow before that
 *   transport          "ws", "sse", or shares of both: {"ws": 0.9, "sse": 0.1}
 *   boards             [{"board": "load-1", "share": 1, "changes": 1, "fields": ["load_1.g01", ...]}], or
 *                      {"count": 1000, "prefix": "load-"}. share: of the viewers; changes: of the changes
 *   fields             per board where none are named: load-1 has the gauges load_1.g01, load_1.g02, ...; with
 *                      producer.value_bytes the rows load_1.rows#r001, ... of a table {sent, text1, text2, ...}
 *   max_rate           updates per second each viewer asks for; null: no limit
 *   producer           {"kind": "ingest", "redis", "sql" or "none", "rate": changes/s, "outstanding": requests that leave
 *                      at one moment, each on a connection of its own, "batch": changes of one request,
 *                      "value_bytes": text that each change carries}
 *   slow               {"share": of the viewers, "read_bytes_per_s"}: they read no faster until the end
 *   churn_per_s        viewers that go away and come back at once, with their position
 *   storm              {"at_s", "viewers"}: so many go away and come back, all at one moment
 *   quiet_s            how long viewers have at the end to reach the head
 *   rest_us            how long the reader rests between two looks: being woken for every frame would be paid by the
 *                      gateway on the same machine. No time counts until then: see load_stream_read()
 *   gateway            for loadtest/load.mjs: sections of the gateway's configuration
 *   kpis               for loadtest/load.mjs: members of every KPI's definition; {"priority": "normal"} lets changes gather
 *   expect             limits by name, see load_report.h
 */
#ifndef SOPHIA_LOADTEST_LOAD_LOAD_SCENARIO_H
#define SOPHIA_LOADTEST_LOAD_LOAD_SCENARIO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/limits.h"
#include "protocol/result.h"

enum producer_kind { PRODUCER_NONE, PRODUCER_INGEST, PRODUCER_REDIS, PRODUCER_SQL, PRODUCER_KIND_COUNT };

const char *producer_kind_name(enum producer_kind kind);

struct scenario_board {
    char id[BOARD_ID_MAX_BYTES + 1];
    double share;   /* of the viewers, relative to the others */
    double changes; /* of the changes, relative to the others */
    uint32_t field_count;
    char **fields; /* owned */
};

struct scenario {
    json_t *json; /* owned: the file with what replaced it */
    const char *name;
    uint32_t viewers;
    double connects_per_s, seconds, warmup_s, quiet_s;
    double sse_share;              /* 0 .. 1 */
    struct scenario_board *boards; /* owned */
    uint32_t board_count;
    double max_rate; /* 0: no limit */
    enum producer_kind producer;
    double rate;
    uint32_t outstanding, batch, value_bytes;
    double slow_share, slow_bytes_per_s;
    double churn_per_s;
    double storm_at_s;
    uint32_t storm_viewers;
    uint32_t rest_us;
    const json_t *expect; /* borrowed from json; NULL: nothing beyond what always holds */
};

enum { SCENARIO_PROBLEM_BYTES = 200 };

/**
 * Replaces one member: "viewers=10", "producer.rate=5", "transport=sse". The value is JSON, or else text.
 * Result: MALFORMED without a "=" or when a part of the name is no object.
 */
MUST_CHECK enum result scenario_set(json_t *json, const char *assignment);

/**
 * Owns:   takes the reference to `json` in every case; on RESULT_OK the caller calls scenario_finish().
 * Result: WRONG_TYPE, OUT_OF_RANGE, MISSING_FIELD, UNKNOWN_FIELD, NO_MEMORY; out_problem then says which member.
 */
MUST_CHECK enum result scenario_read(json_t *json, struct scenario *out_scenario,
                                     char out_problem[SCENARIO_PROBLEM_BYTES]);
void scenario_finish(struct scenario *scenario);

#endif
