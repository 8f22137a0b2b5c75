/* One reader for all members, which remembers the first that was wrong; a member nobody knows is wrong as well. */
#include "loadtest/load/load_scenario.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_FIELDS = 6,
    FIELDS_MAX = 1000,
    BOARDS_MAX = 100000,
    NAME_PARTS_MAX = 64,
};

static const char *const kind_names[PRODUCER_KIND_COUNT] = {"none", "ingest", "redis", "sql"};

const char *producer_kind_name(enum producer_kind kind)
{
    return kind_names[kind];
}

/* ---- reading members ---- */

struct reader {
    enum result result; /* RESULT_OK so far */
    char *problem;      /* SCENARIO_PROBLEM_BYTES */
};

static void __attribute__((format(printf, 3, 4)))
fail(struct reader *reader, enum result result, const char *format, ...)
{
    if (reader->result == RESULT_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(reader->problem, SCENARIO_PROBLEM_BYTES, format, args);
        va_end(args);
        reader->result = result;
    }
}

static double number_of(struct reader *reader, const json_t *object, const char *name, double least,
                        double most, double otherwise)
{
    const json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value)) {
        return otherwise;
    }
    if (!json_is_number(value)) {
        fail(reader, RESULT_WRONG_TYPE, "%s is not a number", name);
        return otherwise;
    }
    double number = json_number_value(value);
    if (number < least || number > most) {
        fail(reader, RESULT_OUT_OF_RANGE, "%s: %g is not within %g .. %g", name, number, least, most);
        return otherwise;
    }
    return number;
}

static uint32_t count_of(struct reader *reader, const json_t *object, const char *name, double least,
                         double most, uint32_t otherwise)
{
    double number = number_of(reader, object, name, least, most, otherwise);
    if (number != floor(number)) {
        fail(reader, RESULT_OUT_OF_RANGE, "%s: %g is not a whole number", name, number);
    }
    return (uint32_t)number;
}

/** A member that is an object; NULL when there is none. */
static const json_t *object_of(struct reader *reader, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_null(value) && !json_is_object(value)) {
        fail(reader, RESULT_WRONG_TYPE, "%s is not an object", name);
    }
    return json_is_object(value) ? value : NULL;
}

static void check_members(struct reader *reader, const json_t *object, const char *where,
                          const char *const *known)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        (void)value; /* the macro wants it */
        bool is_known = false;
        for (size_t i = 0; known[i]; i++) {
            is_known = is_known || strcmp(known[i], name) == 0;
        }
        if (!is_known) {
            fail(reader, RESULT_UNKNOWN_FIELD, "%s has no member %s", where, name);
        }
    }
}

/* ---- boards ---- */

/** load-1 -> load_1.g01, or load_1.rows#r001: the same rule as in load.mjs. */
static char *field_name(const char *board, uint32_t number, bool is_row)
{
    char kpi[BOARD_ID_MAX_BYTES + 1];
    char *name = NULL;
    snprintf(kpi, sizeof kpi, "%s", board);
    for (char *dash = kpi; (dash = strchr(dash, '-')) != NULL;) {
        *dash = '_';
    }
    int length =
        is_row ? asprintf(&name, "%s.rows#r%03u", kpi, number) : asprintf(&name, "%s.g%02u", kpi, number);
    return length < 0 ? NULL : name;
}

static void name_fields(struct reader *reader, struct scenario_board *board, uint32_t count, bool is_row)
{
    board->fields = calloc(count, sizeof *board->fields);
    for (uint32_t i = 0; board->fields && i < count; i++) {
        board->fields[i] = field_name(board->id, i + 1, is_row);
        if (!board->fields[i]) {
            break;
        }
        board->field_count = i + 1;
    }
    if (board->field_count < count) {
        fail(reader, RESULT_NO_MEMORY, "out of memory");
    }
}

static void take_fields(struct reader *reader, struct scenario_board *board, const json_t *names)
{
    size_t count = json_array_size(names);
    if (count < 1 || count > FIELDS_MAX) {
        fail(reader, RESULT_OUT_OF_RANGE, "fields of %s: not 1 .. %d", board->id, FIELDS_MAX);
        return;
    }
    board->fields = calloc(count, sizeof *board->fields);
    for (size_t i = 0; board->fields && i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || strlen(name) > FIELD_MAX_BYTES) {
            fail(reader, RESULT_WRONG_TYPE, "fields of %s: not all are names", board->id);
            return;
        }
        board->fields[i] = strdup(name);
        board->field_count += board->fields[i] != NULL;
    }
    if (board->field_count < count) {
        fail(reader, RESULT_NO_MEMORY, "out of memory");
    }
}

static void read_board(struct reader *reader, const json_t *json, uint32_t fields, bool is_row,
                       struct scenario_board *board)
{
    static const char *const known[] = {"board", "share", "changes", "fields", NULL};
    const char *id = json_string_value(json_object_get(json, "board"));
    if (!id || strlen(id) > BOARD_ID_MAX_BYTES) {
        fail(reader, RESULT_WRONG_TYPE, "boards: a board without its id");
        return;
    }
    check_members(reader, json, "a board", known);
    snprintf(board->id, sizeof board->id, "%s", id);
    board->share = number_of(reader, json, "share", 0, 1e9, 1);
    board->changes = number_of(reader, json, "changes", 0, 1e9, 1);
    const json_t *names = json_object_get(json, "fields");
    if (names) {
        take_fields(reader, board, names);
    } else {
        name_fields(reader, board, fields, is_row);
    }
}

static void read_many_boards(struct reader *reader, const json_t *json, uint32_t fields, bool is_row,
                             struct scenario *scenario)
{
    static const char *const known[] = {"count", "prefix", NULL};
    check_members(reader, json, "boards", known);
    const char *prefix = json_string_value(json_object_get(json, "prefix"));
    prefix = prefix ? prefix : "load-";
    uint32_t count = count_of(reader, json, "count", 1, BOARDS_MAX, 1);
    if (strlen(prefix) > 32) {
        fail(reader, RESULT_TOO_BIG, "boards: the prefix is longer than 32 bytes");
        return;
    }
    scenario->boards = calloc(count, sizeof *scenario->boards);
    scenario->board_count = scenario->boards ? count : 0;
    for (uint32_t i = 0; i < scenario->board_count; i++) {
        struct scenario_board *board = &scenario->boards[i];
        snprintf(board->id, sizeof board->id, "%.32s%u", prefix, i + 1);
        board->share = board->changes = 1;
        name_fields(reader, board, fields, is_row);
    }
}

static void read_boards(struct reader *reader, const json_t *json, struct scenario *scenario)
{
    const json_t *boards = json_object_get(json, "boards");
    uint32_t fields = count_of(reader, json, "fields", 1, FIELDS_MAX, DEFAULT_FIELDS);
    bool is_row = scenario->value_bytes > 0;
    if (json_is_object(boards)) {
        read_many_boards(reader, boards, fields, is_row, scenario);
    } else if (json_array_size(boards) > 0 && json_array_size(boards) <= BOARDS_MAX) {
        scenario->boards = calloc(json_array_size(boards), sizeof *scenario->boards);
        scenario->board_count = scenario->boards ? (uint32_t)json_array_size(boards) : 0;
        for (uint32_t i = 0; i < scenario->board_count; i++) {
            read_board(reader, json_array_get(boards, i), fields, is_row, &scenario->boards[i]);
        }
    } else {
        fail(reader, RESULT_MISSING_FIELD, "boards is missing or empty");
    }
    if (!scenario->boards) {
        fail(reader, RESULT_NO_MEMORY, "out of memory");
    }
}

/* ---- the rest ---- */

static double read_transport(struct reader *reader, const json_t *transport)
{
    static const char *const known[] = {"ws", "sse", NULL};
    const char *name = json_string_value(transport);
    if (!transport || (name && strcmp(name, "ws") == 0)) {
        return 0;
    }
    if (name && strcmp(name, "sse") == 0) {
        return 1;
    }
    if (!json_is_object(transport)) {
        fail(reader, RESULT_WRONG_TYPE, "transport is neither ws nor sse nor shares of both");
        return 0;
    }
    check_members(reader, transport, "transport", known);
    double ws = number_of(reader, transport, "ws", 0, 1e9, 0),
           sse = number_of(reader, transport, "sse", 0, 1e9, 0);
    if (ws + sse <= 0) {
        fail(reader, RESULT_OUT_OF_RANGE, "transport: nobody is left");
        return 0;
    }
    return sse / (ws + sse);
}

static void read_producer(struct reader *reader, const json_t *json, struct scenario *scenario)
{
    static const char *const known[] = {"kind", "rate", "outstanding", "batch", "value_bytes", NULL};
    const json_t *producer = object_of(reader, json, "producer");
    scenario->outstanding = scenario->batch = 1;
    if (!producer) {
        return;
    }
    check_members(reader, producer, "producer", known);
    const char *kind = json_string_value(json_object_get(producer, "kind"));
    bool is_known = false;
    for (int i = 0; kind && i < PRODUCER_KIND_COUNT; i++) {
        if (strcmp(kind, kind_names[i]) == 0) {
            scenario->producer = (enum producer_kind)i;
            is_known = true;
        }
    }
    if (!is_known) {
        fail(reader, RESULT_OUT_OF_RANGE, "producer.kind is not one of none, ingest, redis, sql");
    }
    scenario->rate = number_of(reader, producer, "rate", 0, 1e6, 100);
    scenario->outstanding = count_of(reader, producer, "outstanding", 1, 1000, 1);
    scenario->batch = count_of(reader, producer, "batch", 1, INGEST_ITEMS_MAX, 1);
    scenario->value_bytes = count_of(reader, producer, "value_bytes", 0, 7000, 0);
}

static void read_disturbances(struct reader *reader, const json_t *json, struct scenario *scenario)
{
    static const char *const of_slow[] = {"share", "read_bytes_per_s", NULL};
    static const char *const of_storm[] = {"at_s", "viewers", NULL};
    const json_t *slow = object_of(reader, json, "slow"), *storm = object_of(reader, json, "storm");
    if (slow) {
        check_members(reader, slow, "slow", of_slow);
        scenario->slow_share = number_of(reader, slow, "share", 0, 1, 0);
        scenario->slow_bytes_per_s = number_of(reader, slow, "read_bytes_per_s", 0, 1e9, 0);
    }
    if (storm) {
        check_members(reader, storm, "storm", of_storm);
        scenario->storm_at_s = number_of(reader, storm, "at_s", 0, 1e6, 0);
        scenario->storm_viewers = count_of(reader, storm, "viewers", 0, 1e6, 0);
    }
    scenario->churn_per_s = number_of(reader, json, "churn_per_s", 0, 1e6, 0);
}

enum result scenario_read(json_t *json, struct scenario *out_scenario,
                          char out_problem[SCENARIO_PROBLEM_BYTES])
{
    static const char *const known[] = {"name",     "about",     "viewers",     "connects_per_s", "seconds",
                                        "warmup_s", "transport", "boards",      "fields",         "max_rate",
                                        "producer", "slow",      "storm",       "quiet_s",        "rest_us",
                                        "gateway",  "kpis",      "churn_per_s", "expect",         NULL};
    struct reader reader = {.problem = out_problem};
    struct scenario scenario = {.json = json, .name = json_string_value(json_object_get(json, "name"))};
    check_members(&reader, json, "the scenario", known);
    if (!scenario.name) {
        fail(&reader, RESULT_MISSING_FIELD, "name is missing");
    }
    scenario.viewers = count_of(&reader, json, "viewers", 0, 1e6, 100);
    scenario.connects_per_s = number_of(&reader, json, "connects_per_s", 1, 1e6, 2000);
    scenario.seconds = number_of(&reader, json, "seconds", 0.1, 1e6, 10);
    scenario.warmup_s = number_of(&reader, json, "warmup_s", 0, 1e6, 1);
    scenario.quiet_s = number_of(&reader, json, "quiet_s", 0.1, 1e6, 15);
    scenario.rest_us = count_of(&reader, json, "rest_us", 0, 100000, 500);
    scenario.max_rate = number_of(&reader, json, "max_rate", 0, 100, 0);
    scenario.sse_share = read_transport(&reader, json_object_get(json, "transport"));
    read_producer(&reader, json, &scenario);
    read_disturbances(&reader, json, &scenario);
    read_boards(&reader, json, &scenario);
    scenario.expect = object_of(&reader, json, "expect");
    if (reader.result != RESULT_OK) {
        scenario_finish(&scenario);
        return reader.result;
    }
    *out_scenario = scenario;
    return RESULT_OK;
}

void scenario_finish(struct scenario *scenario)
{
    for (uint32_t i = 0; i < scenario->board_count; i++) {
        for (uint32_t j = 0; scenario->boards[i].fields && j < scenario->boards[i].field_count; j++) {
            free(scenario->boards[i].fields[j]);
        }
        free(scenario->boards[i].fields);
    }
    free(scenario->boards);
    json_decref(scenario->json);
    *scenario = (struct scenario){0};
}

enum result scenario_set(json_t *json, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    const char *at = assignment;
    if (!equals) {
        return RESULT_MALFORMED;
    }
    char part[NAME_PARTS_MAX];
    for (const char *dot; (dot = memchr(at, '.', (size_t)(equals - at))) != NULL; at = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - at), at);
        json_t *inner = json_object_get(json, part);
        if (!inner || json_is_null(inner)) {
            inner = json_object();
            if (json_object_set_new(json, part, inner) != 0) {
                return RESULT_NO_MEMORY;
            }
        }
        if (!json_is_object(inner)) {
            return RESULT_MALFORMED;
        }
        json = inner;
    }
    snprintf(part, sizeof part, "%.*s", (int)(equals - at), at);
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    return json_object_set_new(json, part, value ? value : json_string(equals + 1)) == 0 ? RESULT_OK
                                                                                         : RESULT_NO_MEMORY;
}
