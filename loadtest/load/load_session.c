/* The phases, one function each; a phase ends early when it cannot go on, with a reason. */
#include "loadtest/load/load_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "loadtest/load/load_crowd.h"
#include "loadtest/load/load_http.h"
#include "loadtest/load/load_producer.h"
#include "loadtest/load/load_report.h"

enum {
    ARRIVE_WITHIN_US = 60000000, /* beyond what connects_per_s takes */
    FILLED_WITHIN_US = 15000000,
    REST_US = 1000000,
    PROGRESS_US = 5000000,
    HEADS_US = 250000,
};

struct session {
    const struct load_session_options *options;
    const struct scenario *scenario;
    struct load_schedule schedule;
    struct load_verify verify;
    struct load_crowd *crowd;
    struct load_producer producer;
    struct load_http http;
    struct load_frame *heads; /* owned: by board, once they were read */
    struct load_run run;
    bool has_schedule, has_verify, has_producer, has_heads;
    uint64_t told_us;
    char *problem; /* SCENARIO_PROBLEM_BYTES */
};

static bool __attribute__((format(printf, 2, 3))) stop_with(struct session *session, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(session->problem, SCENARIO_PROBLEM_BYTES, format, args);
    va_end(args);
    return false;
}

/* ---- time passes ---- */

static void tell(struct session *session, const char *phase)
{
    const struct load_tally *tally = &session->crowd->tally;
    uint64_t now_us = load_now_us();
    if (!session->options->tells_progress || now_us - session->told_us < PROGRESS_US) {
        return;
    }
    session->told_us = now_us;
    uint64_t errors = 0;
    for (size_t i = 0; i < LOAD_ERROR_COUNT; i++) {
        errors += tally->errors[i];
    }
    fprintf(stderr, "%-10s ready %u  updates %llu  p99 %.1f ms  errors %llu  violations %llu\n", phase,
            session->crowd->ready, (unsigned long long)tally->updates,
            (double)histogram_quantile_us(&tally->latency, 0.99) / 1e3, (unsigned long long)errors,
            (unsigned long long)load_verify_violations(&session->verify));
}

/** One turn; false: the run is over. */
static bool turn(struct session *session, const char *phase)
{
    load_crowd_turn(session->crowd);
    tell(session, phase);
    if (*session->options->must_stop) {
        return stop_with(session, "interrupted while %s", phase);
    }
    return !session->crowd->has_no_memory || stop_with(session, "out of memory while %s", phase);
}

static bool turn_until(struct session *session, uint64_t until_us, const char *phase)
{
    while (load_now_us() < until_us) {
        if (!turn(session, phase)) {
            return false;
        }
    }
    return true;
}

/* ---- heads ---- */

static bool head_read(struct session *session, uint32_t board)
{
    char path[BOARD_ID_MAX_BYTES + 40];
    struct load_http *http = &session->http;
    struct load_frame *head = &session->heads[board];
    snprintf(path, sizeof path, "/api/v1/dashboards/%s", session->scenario->boards[board].id);
    bool is_read = load_http_send(http, path, NULL, NULL) && load_http_receive(http);
    if (!is_read) { /* a connection that had been idle for long: once more on a new one */
        is_read = load_http_send(http, path, NULL, NULL) && load_http_receive(http);
    }
    if (!is_read || http->status != 200) {
        return stop_with(session, "GET %s: status %d", path, http->status);
    }
    load_frame_finish(head);
    if (load_frame_decode(http->body, http->body_length, head) != RESULT_OK ||
        load_verify_frame(&session->verify, head) != RESULT_OK) {
        return stop_with(session, "out of memory");
    }
    return (head->type == FRAME_SNAPSHOT && head->board_index == board) ||
           stop_with(session, "GET %s is not the snapshot", path);
}

static bool heads_read(struct session *session)
{
    for (uint32_t i = 0; i < session->scenario->board_count; i++) {
        if (!head_read(session, i)) {
            return false;
        }
    }
    session->has_heads = true;
    return true;
}

/** Viewers whose board lacks the last value that was accepted for a field; one for a board that nobody watches. */
static uint64_t lost_on_the_way(const struct session *session)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; session->has_producer && i < session->scenario->board_count; i++) {
        const struct load_frame *head = &session->heads[i];
        uint32_t named = 0, wrong = 0;
        for (uint32_t j = 0; j < head->count; j++) {
            named += head->entries[j].index < session->scenario->boards[i].field_count;
            wrong += !load_producer_agrees(&session->producer, i, &head->entries[j]);
        }
        wrong += session->scenario->boards[i].field_count - named; /* all were filled */
        lost += (uint64_t)wrong * (session->crowd->watching[i] > 0 ? session->crowd->watching[i] : 1);
    }
    return lost;
}

/* ---- phases ---- */

static bool prepare(struct session *session)
{
    const struct load_session_options *options = session->options;
    const struct scenario *scenario = session->scenario;
    session->has_schedule = load_schedule_init(&session->schedule, scenario);
    session->has_verify =
        session->has_schedule &&
        load_verify_init(&session->verify, scenario,
                         scenario->producer == PRODUCER_NONE ? NULL : &session->schedule) == RESULT_OK;
    session->crowd = session->has_verify ? load_crowd_create(scenario, &session->verify, options->gateways,
                                                             options->gateway_count)
                                         : NULL;
    session->heads = calloc(scenario->board_count, sizeof *session->heads);
    if (!session->crowd || !session->heads) {
        return stop_with(session, "out of memory");
    }
    session->run = (struct load_run){.scenario = scenario,
                                     .tally = &session->crowd->tally,
                                     .verify = &session->verify,
                                     .has_servers = options->servers.count > 0};
    if (scenario->producer == PRODUCER_NONE) {
        return true;
    }
    const struct load_sink_options where = {.kind = scenario->producer,
                                            .slots = scenario->outstanding,
                                            .value_bytes = scenario->value_bytes,
                                            .ingest = &options->gateways[0],
                                            .ingest_key = options->ingest_key,
                                            .redis = options->redis,
                                            .postgres = options->postgres};
    session->has_producer =
        load_producer_init(&session->producer, scenario, &session->schedule, &where, session->problem);
    return session->has_producer;
}

/** Every field gets a first value, and the boards show it. */
static bool fill(struct session *session)
{
    if (!session->has_producer) {
        return true;
    }
    if (!load_producer_fill(&session->producer)) {
        return stop_with(session, "the first values were not accepted");
    }
    uint64_t until_us = load_now_us() + FILLED_WITHIN_US;
    do {
        if (!heads_read(session) || !turn_until(session, load_now_us() + HEADS_US / 10, "filling")) {
            return false;
        }
    } while (lost_on_the_way(session) > 0 && load_now_us() < until_us);
    return lost_on_the_way(session) == 0 ||
           stop_with(session, "the first values do not appear on the boards");
}

static bool cpu_now(struct session *session, struct load_cpu *out_cpu)
{
    return load_cpu_read(&session->options->servers, out_cpu) ||
           stop_with(session, "a process of --pid is gone");
}

static bool arrive(struct session *session)
{
    const struct scenario *scenario = session->scenario;
    struct load_cpu before, after;
    session->run.rss_empty_kib = load_rss_kib(&session->options->servers);
    session->run.sockets_empty_kib = load_socket_kib();
    if (!cpu_now(session, &before)) {
        return false;
    }
    load_crowd_arrive(session->crowd);
    uint64_t until_us =
        load_now_us() + ARRIVE_WITHIN_US + (uint64_t)(scenario->viewers / scenario->connects_per_s * 1e6);
    while (session->crowd->ready < scenario->viewers && load_now_us() < until_us) {
        if (!turn(session, "arriving")) {
            return false;
        }
    }
    if (session->crowd->ready == 0 &&
        scenario->viewers > 0) { /* some are enough for a result, which tells of the others */
        return stop_with(session, "no viewer got a snapshot");
    }
    if (!cpu_now(session, &after) || !turn_until(session, load_now_us() + REST_US, "resting")) {
        return false;
    }
    session->run.connecting = load_cpu_between(&before, &after);
    session->run.rss_idle_kib = load_rss_kib(&session->options->servers);
    session->run.sockets_idle_kib = load_socket_kib();
    return true;
}

static uint64_t change_viewers(const struct session *session)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; session->has_producer && i < session->scenario->board_count; i++) {
        sum += atomic_load(&session->producer.by_board[i]) * session->crowd->watching[i];
    }
    return sum;
}

static uint64_t accepted(const struct session *session)
{
    return session->has_producer ? atomic_load(&session->producer.accepted) : 0;
}

static bool measure_window(struct session *session, uint64_t from_us, uint64_t to_us)
{
    struct load_crowd *crowd = session->crowd;
    struct load_run *run = &session->run;
    struct load_cpu before, after;
    uint64_t storm_us = from_us + (uint64_t)(session->scenario->storm_at_s * 1e6);
    if (!cpu_now(session, &before)) {
        return false;
    }
    uint64_t began_us = load_now_us(), changes = accepted(session), by_viewers = change_viewers(session);
    crowd->is_counting = true;
    if (session->scenario->storm_viewers > 0 && storm_us < to_us) {
        if (!turn_until(session, storm_us, "measuring")) {
            return false;
        }
        load_crowd_storm(crowd);
    }
    if (!turn_until(session, to_us, "measuring") || !cpu_now(session, &after)) {
        return false;
    }
    crowd->is_counting = false;
    run->seconds = (double)(load_now_us() - began_us) / 1e6;
    run->changes = accepted(session) - changes;
    run->change_viewers = change_viewers(session) - by_viewers;
    run->window = load_cpu_between(&before, &after);
    run->rss_end_kib = load_rss_kib(&session->options->servers);
    run->sockets_end_kib = load_socket_kib();
    return true;
}

static bool flow(struct session *session)
{
    const struct scenario *scenario = session->scenario;
    uint64_t start_us = load_now_us() + 1000;
    uint64_t from_us = start_us + (uint64_t)(scenario->warmup_s * 1e6);
    uint64_t to_us = from_us + (uint64_t)(scenario->seconds * 1e6);
    session->schedule.start_us = start_us;
    session->crowd->window_from_us = from_us;
    session->crowd->window_to_us = to_us;
    if (session->has_producer && !load_producer_start(&session->producer, to_us)) {
        return stop_with(session, "no thread for the producer");
    }
    load_crowd_churn(session->crowd, true);
    return turn_until(session, from_us, "warming up") && measure_window(session, from_us, to_us);
}

static bool settle(struct session *session)
{
    uint64_t until_us = load_now_us() + (uint64_t)(session->scenario->quiet_s * 1e6);
    while (session->has_producer && !atomic_load(&session->producer.is_done) && load_now_us() < until_us) {
        if (!turn(session, "settling")) { /* it was late: what was due in the window still counts */
            return false;
        }
    }
    if (session->has_producer) {
        load_producer_stop(&session->producer);
        session->run.late_us = atomic_load(&session->producer.late_us);
        session->crowd->tally.errors[LOAD_ERROR_PRODUCER] = atomic_load(&session->producer.failed);
    }
    load_crowd_quiet(session->crowd);
    until_us = load_now_us() + (uint64_t)(session->scenario->quiet_s * 1e6);
    do {
        if (!turn_until(session, load_now_us() + HEADS_US, "settling") || !heads_read(session)) {
            return false;
        }
        session->run.behind = load_crowd_behind(session->crowd, session->heads);
        session->run.lost = lost_on_the_way(session) + load_crowd_lost(session->crowd, session->heads);
    } while (session->run.behind + session->run.lost > 0 && load_now_us() < until_us);
    session->run.copies = load_crowd_check_copies(session->crowd, session->heads);
    session->run.distinct_messages = session->crowd->memo.parsed;
    return true;
}

json_t *load_session_run(const struct load_session_options *options, bool *out_held,
                         char out_problem[SCENARIO_PROBLEM_BYTES])
{
    struct session *session = calloc(1, sizeof *session);
    json_t *report = NULL;
    if (!session) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "out of memory");
        return NULL;
    }
    session->options = options;
    session->scenario = options->scenario;
    session->problem = out_problem;
    session->told_us = load_now_us();
    load_http_init(&session->http, &options->gateways[0]);
    if (prepare(session) && fill(session) && arrive(session) && flow(session) && settle(session)) {
        report = load_report_make(&session->run, out_held);
        if (!report) {
            (void)stop_with(session, "out of memory");
        }
    }
    if (session->has_producer) {
        load_producer_finish(&session->producer);
    }
    for (uint32_t i = 0; session->heads && i < session->scenario->board_count; i++) {
        load_frame_finish(&session->heads[i]);
    }
    free(session->heads);
    load_crowd_destroy(session->crowd);
    if (session->has_verify) {
        load_verify_finish(&session->verify);
    }
    if (session->has_schedule) {
        load_schedule_finish(&session->schedule);
    }
    load_http_finish(&session->http);
    free(session);
    return report;
}
