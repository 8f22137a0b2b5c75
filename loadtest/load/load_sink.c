/*
 * Ingest with several requests at one moment sends versions, because connections may overtake each other; the others are one
 * connection each, which keeps the order.
 */
#include "loadtest/load/load_sink.h"

#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "loadtest/load/load_http.h"
#include "protocol/bytes.h"

enum { TEXT_COLUMN_BYTES = 1000, TEXT_COLUMNS = 7, ANSWER_WITHIN_S = 10 };

struct load_sink {
    struct load_sink_options options;
    struct load_http *connections; /* owned: ingest, one per slot */
    redisContext *redis;
    PGconn *postgres;
    struct bytes text;
    char padding[TEXT_COLUMNS * (TEXT_COLUMN_BYTES + 20)]; /* ,"text1":"...","text2":"..." */
    struct slot {
        uint32_t count, accepted;
        bool is_sent;
    } * slots; /* owned */
};

/* ---- what is written ---- */

static void make_padding(struct load_sink *sink)
{
    size_t at = 0;
    uint32_t left = sink->options.value_bytes;
    for (int column = 1; left > 0 && column <= TEXT_COLUMNS; column++) {
        uint32_t length = left < TEXT_COLUMN_BYTES ? left : TEXT_COLUMN_BYTES;
        at += (size_t)snprintf(sink->padding + at, sizeof sink->padding - at, ",\"text%d\":\"", column);
        for (uint32_t i = 0; i < length; i++) {
            sink->padding[at++] = "abcdefgh "[i % 9];
        }
        sink->padding[at++] = '"';
        left -= length;
    }
    sink->padding[at] = '\0';
}

static void append_value(struct load_sink *sink, uint64_t value_us)
{
    if (sink->options.value_bytes == 0) {
        bytes_append_u64(&sink->text, value_us);
    } else {
        bytes_append_text(&sink->text, "{\"sent\":");
        bytes_append_u64(&sink->text, value_us);
        bytes_append_text(&sink->text, sink->padding);
        bytes_append_byte(&sink->text, '}');
    }
}

static void append_changes(struct load_sink *sink, const struct load_write *writes, uint32_t count,
                           bool with_version)
{
    bytes_clear(&sink->text);
    for (uint32_t i = 0; i < count; i++) {
        bytes_append_text(&sink->text, i > 0 ? "," : count > 1 ? "[" : "");
        bytes_append_text(&sink->text, "{\"field\":\"");
        bytes_append_text(&sink->text, writes[i].field);
        bytes_append_text(&sink->text, "\",\"value\":");
        append_value(sink, writes[i].value_us);
        if (with_version) {
            bytes_append_text(&sink->text, ",\"version\":");
            bytes_append_u64(&sink->text, writes[i].value_us);
        }
        bytes_append_byte(&sink->text, '}');
    }
    bytes_append_text(&sink->text, count > 1 ? "]" : "");
}

/* ---- ingest ---- */

static bool ingest_begin(struct load_sink *sink, uint32_t slot, const struct load_write *writes,
                         uint32_t count)
{
    append_changes(sink, writes, count, sink->options.slots > 1);
    return !bytes_failed(&sink->text) && load_http_send(&sink->connections[slot], "/api/v1/data-flow/ingest",
                                                        sink->options.ingest_key, &sink->text);
}

static uint32_t count_in(const char *body, const char *mark)
{
    const char *at = strstr(body, mark);
    return at ? (uint32_t)strtoul(at + strlen(mark), NULL, 10) : 0;
}

static bool ingest_finish(struct load_sink *sink, uint32_t slot, uint32_t *out_accepted)
{
    struct load_http *http = &sink->connections[slot];
    if (!load_http_receive(http) || http->status != 200) {
        return false;
    }
    *out_accepted = count_in(http->body, "\"accepted\":");
    return *out_accepted + count_in(http->body, "\"unchanged\":") + count_in(http->body, "\"older\":") ==
           sink->slots[slot].count;
}

/* ---- Redis ---- */

static bool redis_begin(struct load_sink *sink, const struct load_write *writes, uint32_t count)
{
    append_changes(sink, writes, count, false);
    return !bytes_failed(&sink->text) && redisAppendCommand(sink->redis, "PUBLISH " LOAD_REDIS_CHANNEL " %b",
                                                            sink->text.at, sink->text.length) == REDIS_OK;
}

static bool redis_finish(struct load_sink *sink, const struct slot *slot, uint32_t *out_accepted)
{
    void *answer = NULL;
    if (redisGetReply(sink->redis, &answer) != REDIS_OK) {
        return false;
    }
    const redisReply *reply = answer;
    bool is_heard = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0; /* 0: nobody listens */
    freeReplyObject(answer);
    *out_accepted = is_heard ? slot->count : 0;
    return is_heard;
}

static bool redis_open(struct load_sink *sink, char *out_problem)
{
    char host[80];
    const char *colon = sink->options.redis ? strrchr(sink->options.redis, ':') : NULL;
    if (!colon) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "--redis HOST:PORT is missing");
        return false;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - sink->options.redis), sink->options.redis);
    const struct timeval limit = {.tv_sec = ANSWER_WITHIN_S};
    sink->redis = redisConnectWithTimeout(host, atoi(colon + 1), limit);
    if (!sink->redis || sink->redis->err || redisSetTimeout(sink->redis, limit) != REDIS_OK) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "Redis: %s",
                 sink->redis ? sink->redis->errstr : "out of memory");
        return false;
    }
    return true;
}

/* ---- PostgreSQL ---- */

static bool did(PGresult *result)
{
    bool is_done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return is_done;
}

static bool sql_begin(struct load_sink *sink, const struct load_write *writes, uint32_t count)
{
    bool is_done = count == 1 || did(PQexec(sink->postgres, "begin"));
    for (uint32_t i = 0; is_done && i < count; i++) {
        bytes_clear(&sink->text);
        append_value(sink, writes[i].value_us);
        bytes_append_byte(&sink->text, '\0');
        const char *const params[] = {writes[i].field, sink->text.at};
        is_done = !bytes_failed(&sink->text) &&
                  did(PQexecPrepared(sink->postgres, "put", 2, params, NULL, NULL, 0));
    }
    return count == 1 ? is_done : did(PQexec(sink->postgres, is_done ? "commit" : "rollback")) && is_done;
}

static bool sql_open(struct load_sink *sink, char *out_problem)
{
    static const char put[] =
        "insert into sophia.kpi_state (field, value) values ($1, $2::jsonb) "
        "on conflict (field) do update set value = excluded.value, as_of = now(), deleted = false";
    if (!sink->options.postgres) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "--postgres URL is missing");
        return false;
    }
    sink->postgres = PQconnectdb(sink->options.postgres);
    if (PQstatus(sink->postgres) != CONNECTION_OK || !did(PQprepare(sink->postgres, "put", put, 2, NULL))) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "PostgreSQL: %s", PQerrorMessage(sink->postgres));
        return false;
    }
    return true;
}

/* ---- all ---- */

static bool ingest_open(struct load_sink *sink, char *out_problem)
{
    sink->connections = calloc(sink->options.slots, sizeof *sink->connections);
    for (uint32_t i = 0; sink->connections && i < sink->options.slots; i++) {
        load_http_init(&sink->connections[i], sink->options.ingest);
    }
    if (!sink->connections) {
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "out of memory");
    }
    return sink->connections != NULL;
}

struct load_sink *load_sink_open(const struct load_sink_options *options,
                                 char out_problem[SCENARIO_PROBLEM_BYTES])
{
    struct load_sink *sink = calloc(1, sizeof *sink);
    struct slot *slots = calloc(options->slots, sizeof *slots);
    if (!sink || !slots) {
        free(sink);
        free(slots);
        snprintf(out_problem, SCENARIO_PROBLEM_BYTES, "out of memory");
        return NULL;
    }
    sink->options = *options;
    sink->slots = slots;
    bytes_init(&sink->text, INGEST_BODY_MAX_BYTES);
    make_padding(sink);
    bool is_open = options->kind == PRODUCER_INGEST  ? ingest_open(sink, out_problem)
                   : options->kind == PRODUCER_REDIS ? redis_open(sink, out_problem)
                                                     : sql_open(sink, out_problem);
    if (!is_open) {
        load_sink_close(sink);
        return NULL;
    }
    return sink;
}

void load_sink_close(struct load_sink *sink)
{
    if (!sink) {
        return;
    }
    for (uint32_t i = 0; sink->connections && i < sink->options.slots; i++) {
        load_http_finish(&sink->connections[i]);
    }
    free(sink->connections);
    if (sink->redis) {
        redisFree(sink->redis);
    }
    PQfinish(sink->postgres);
    bytes_finish(&sink->text);
    free(sink->slots);
    free(sink);
}

void load_sink_begin(struct load_sink *sink, uint32_t slot, const struct load_write *writes, uint32_t count)
{
    bool is_sent = sink->options.kind == PRODUCER_INGEST  ? ingest_begin(sink, slot, writes, count)
                   : sink->options.kind == PRODUCER_REDIS ? redis_begin(sink, writes, count)
                                                          : sql_begin(sink, writes, count);
    sink->slots[slot] = (struct slot){.count = count, .is_sent = is_sent};
}

bool load_sink_finish(struct load_sink *sink, uint32_t slot, uint32_t *out_accepted)
{
    *out_accepted = 0;
    if (!sink->slots[slot].is_sent) {
        return false;
    }
    switch (sink->options.kind) {
    case PRODUCER_INGEST:
        return ingest_finish(sink, slot, out_accepted);
    case PRODUCER_REDIS:
        return redis_finish(sink, &sink->slots[slot], out_accepted);
    case PRODUCER_SQL: /* it is done already */
        *out_accepted = sink->slots[slot].count;
        return true;
    case PRODUCER_NONE:
    case PRODUCER_KIND_COUNT:
        break;
    }
    return false;
}
