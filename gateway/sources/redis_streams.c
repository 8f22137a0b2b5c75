/*
 * One round at a time:
 *
 *   PREPARING (type, stored position, newest id) -> READING (XREAD waits at the server up to a second)
 *       ^                                             |  ^
 *       '--- an error; another process took over ---- v  '--- all answered; the positions are stored
 *                                                 SUBMITTING
 *
 * Positions are stored without waiting for the answer: one that is lost means that some entries are read twice.
 */
#include "sources/redis_streams.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sources/redis_pairs.h"

#define ENTRIES_PER_STREAM "100"
#define WAIT_MS "1000" /* as .waits_ms below */

enum {
    ID_BYTES = 48,
    PROBLEM_BYTES = 320,
    RETRY_MS = 250,    /* the journal did not take something */
    RECHECK_MS = 5000, /* a stream that is none, a command that is forbidden */
};

enum phase { PHASE_IDLE, PHASE_PREPARING, PHASE_READING, PHASE_SUBMITTING };

/* Positions only move forward, whoever stores them: ids are compared as numbers, longer ones are larger. */
static const char *const store_script =
    "local function parts(id) local ms, seq = string.match(id, '^(%d+)-(%d+)$') return ms or '0', seq or '0' end "
    "local function less(a, b) if #a ~= #b then return #a < #b end return a < b end "
    "local old = redis.call('GET', KEYS[1]) "
    "if old then local a, b = parts(old) local c, d = parts(ARGV[1]) "
    "if less(c, a) or (c == a and not less(b, d)) then return 0 end end "
    "redis.call('SET', KEYS[1], ARGV[1]) return 1";

struct stream {
    struct redis_streams *streams;
    const struct redis_mapping *mapping;
    char *key;           /* of its position; owned */
    char done[ID_BYTES]; /* behind everything that was taken */
    char stored[ID_BYTES];
    bool has_position, is_usable;
};

/* An entry of the round. */
struct entry {
    struct stream *stream;
    char id[ID_BYTES];
    enum result outcome;
};

struct redis_streams {
    struct redis_streams_options options;
    struct redis_link *link; /* owned */
    struct loop_timer *timer;
    struct stream *streams;
    enum phase phase;
    bool is_active, is_submitting, is_destroyed;
    unsigned answers_left;  /* of the preparation */
    uint64_t recheck_at_ms; /* some stream cannot be used: look again then; 0: all can */
    struct entry *entries;  /* of the round; owned */
    size_t entry_count, unanswered;
    const char **words; /* of XREAD; room for all streams */
    char problem[PROBLEM_BYTES];
};

static void prepare(struct redis_streams *streams);
static void read_round(struct redis_streams *streams);

/* stream NULL: all of them. what NULL: all is well; more: the server's words, or NULL. */
static void set_problem(struct redis_streams *streams, const struct stream *stream, const char *what,
                        const char *more)
{
    char problem[PROBLEM_BYTES] = "";
    if (what) {
        (void)snprintf(problem, sizeof problem, "stream %.120s %s%s%.120s",
                       stream ? stream->mapping->name : "(any)", what, more ? ": " : "", more ? more : "");
    }
    if (strcmp(problem, streams->problem) == 0) {
        return;
    }
    memcpy(streams->problem, problem, sizeof problem);
    if (what) {
        log_warn("redis streams are not read well", LOG_TEXT("reason", problem));
    }
    streams->options.on_health(streams->options.context);
}

static void pause_for(struct redis_streams *streams, uint64_t ms)
{
    streams->phase = PHASE_IDLE;
    loop_timer_arm(streams->timer, ms);
}

/* ---- preparing ---- */

/* Is the position worth keeping? See redis_streams.h. */
static bool keeps_position(const struct stream *stream)
{
    return stream->streams->options.is_shared || stream->mapping->stream_from == REDIS_FROM_NEWEST;
}

static void set_id(char id[ID_BYTES], const char *text)
{
    (void)snprintf(id, ID_BYTES, "%s", text ? text : "0-0");
}

static bool are_all_usable(const struct redis_streams *streams)
{
    for (size_t i = 0; i < streams->options.count; i++) {
        if (!streams->streams[i].is_usable) {
            return false;
        }
    }
    return true;
}

static void on_prepared(struct redis_streams *streams)
{
    if (--streams->answers_left > 0) {
        return;
    }
    if (!redis_link_is_up(streams->link)) {
        streams->phase = PHASE_IDLE; /* on_up begins again */
        return;
    }
    streams->recheck_at_ms = are_all_usable(streams) ? 0 : loop_now_ms(streams->options.loop) + RECHECK_MS;
    read_round(streams);
}

static void send_for(struct stream *stream, redis_reply_fn *on_reply, size_t argc, const char *const *argv)
{
    struct redis_streams *streams = stream->streams;
    streams->answers_left++;
    if (redis_link_send(streams->link, on_reply, stream, argc, argv, NULL) != RESULT_OK) {
        streams->answers_left--; /* the link is going down */
    }
}

static void on_newest(void *context, const struct redisReply *reply)
{
    struct stream *stream = context;
    struct redis_streams *streams = stream->streams;
    if (redis_reply_type(reply) == REDIS_ARRAY) {
        set_id(stream->done, redis_reply_text(redis_reply_at(redis_reply_at(reply, 0), 0), NULL));
        stream->has_position = true;
    } else {
        stream->is_usable = false;
        if (reply) {
            set_problem(streams, stream, "cannot be read", redis_reply_text(reply, NULL));
        }
    }
    on_prepared(streams);
}

static void on_position(void *context, const struct redisReply *reply)
{
    struct stream *stream = context;
    struct redis_streams *streams = stream->streams;
    if (redis_reply_type(reply) == REDIS_TEXT && keeps_position(stream)) {
        set_id(stream->done, redis_reply_text(reply, NULL));
        stream->has_position = true;
    } else if (redis_reply_type(reply) == REDIS_ERROR) {
        stream->is_usable = false;
        if (reply) {
            set_problem(streams, stream, "has a position that cannot be read", redis_reply_text(reply, NULL));
        }
    } else if (!stream->has_position && stream->mapping->stream_from == REDIS_FROM_OLDEST) {
        set_id(stream->done, NULL);
        stream->has_position = true;
    } else if (!stream->has_position) {
        const char *const words[] = {"XREVRANGE", stream->mapping->name, "+", "-", "COUNT", "1"};
        send_for(stream, on_newest, 6, words);
    }
    on_prepared(streams);
}

static void on_type(void *context, const struct redisReply *reply)
{
    struct stream *stream = context;
    const char *type = redis_reply_text(reply, NULL);
    stream->is_usable = type && (strcmp(type, "stream") == 0 || strcmp(type, "none") == 0);
    if (reply && !stream->is_usable) {
        set_problem(stream->streams, stream,
                    redis_reply_type(reply) == REDIS_ERROR
                        ? "cannot be read"
                        : "is no stream: name streams in redis.streams; this key is a",
                    type);
    }
    on_prepared(stream->streams);
}

static void prepare(struct redis_streams *streams)
{
    if (!streams->is_active || !redis_link_is_up(streams->link) || streams->phase != PHASE_IDLE) {
        return;
    }
    streams->phase = PHASE_PREPARING;
    streams->answers_left = 1; /* ours: none is the last while there is more to ask */
    for (size_t i = 0; i < streams->options.count; i++) {
        struct stream *stream = &streams->streams[i];
        const char *const type[] = {"TYPE", stream->mapping->name};
        const char *const position[] = {"GET", stream->key};
        stream->is_usable = false;
        send_for(stream, on_type, 2, type);
        send_for(stream, on_position, 2, position);
    }
    on_prepared(streams);
}

/* ---- a round ---- */

static void on_stored(void *context, const struct redisReply *reply)
{
    struct stream *stream = context;
    if (redis_reply_type(reply) != REDIS_INTEGER) {
        stream->stored[0] = '\0';
        if (reply) {
            set_problem(stream->streams, stream, "is read, but its position is not stored",
                        redis_reply_text(reply, NULL));
        }
    }
}

static void store(struct stream *stream)
{
    if (!keeps_position(stream) || strcmp(stream->done, stream->stored) == 0) {
        return;
    }
    const char *const words[] = {"EVAL", store_script, "1", stream->key, stream->done};
    if (redis_link_send(stream->streams->link, on_stored, stream, 5, words, NULL) == RESULT_OK) {
        memcpy(stream->stored, stream->done, sizeof stream->stored);
    }
}

static void end_round(struct redis_streams *streams)
{
    bool is_whole = true;
    const struct stream *stopped = NULL;
    for (size_t i = 0; i < streams->entry_count; i++) { /* in the order of each stream */
        struct entry *entry = &streams->entries[i];
        if (entry->outcome != RESULT_OK) {
            stopped = entry->stream;
            is_whole = false;
        } else if (entry->stream != stopped) {
            memcpy(entry->stream->done, entry->id, sizeof entry->id);
        }
    }
    free(streams->entries);
    streams->entries = NULL;
    streams->entry_count = 0;
    for (size_t i = 0; i < streams->options.count; i++) {
        store(&streams->streams[i]);
    }
    if (is_whole) {
        read_round(streams);
    } else {
        pause_for(streams, RETRY_MS);
    }
}

static void on_submitted(void *context, void *subject, enum result outcome)
{
    struct redis_streams *streams = context;
    ((struct entry *)subject)->outcome = outcome;
    if (--streams->unanswered == 0 && !streams->is_submitting) {
        end_round(streams);
    }
}

static void submit(struct redis_streams *streams, struct entry *entry, const struct redisReply *pairs)
{
    const struct redis_mapping *mapping = entry->stream->mapping;
    size_t length = 0;
    char *printed = NULL;
    const char *text = redis_pairs_find(pairs, "payload", &length);
    if (!text) {
        text = printed = redis_pairs_print(pairs, &length);
    }
    const struct redis_meaning meaning = {
        .catalog = pipeline_catalog(streams->options.pipeline),
        .form = mapping->form,
        .fields = &mapping->kpi,
        .field_count = mapping->form == REDIS_FORM_KPI ? 1 : 0,
        .version = redis_stream_version(entry->id),
    };
    if (text) {
        redis_submissions_take(streams->options.submissions, mapping->name, &meaning, text, length,
                               on_submitted, streams, entry);
    } else {
        redis_submissions_refuse(streams->options.submissions, mapping->name, RESULT_MALFORMED,
                                 "the entry holds what is not UTF-8");
        on_submitted(streams, entry, RESULT_OK);
    }
    free(printed);
}

static struct stream *find_stream(struct redis_streams *streams, const char *name)
{
    for (size_t i = 0; name && i < streams->options.count; i++) {
        if (strcmp(streams->streams[i].mapping->name, name) == 0) {
            return &streams->streams[i];
        }
    }
    return NULL;
}

static size_t count_entries(const struct redisReply *reply)
{
    size_t count = 0;
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        count += redis_reply_count(redis_reply_at(redis_reply_at(reply, i), 1));
    }
    return count;
}

static void add_entry(struct redis_streams *streams, struct stream *stream, const struct redisReply *raw)
{
    struct entry *entry = &streams->entries[streams->entry_count++];
    entry->stream = stream;
    set_id(entry->id, redis_reply_text(redis_reply_at(raw, 0), NULL));
    streams->unanswered++;
    submit(streams, entry, redis_reply_at(raw, 1));
}

/* [[name, [[id, [name, value, ...]], ...]], ...] */
static void submit_round(struct redis_streams *streams, const struct redisReply *reply)
{
    size_t count = count_entries(reply);
    streams->phase = PHASE_SUBMITTING;
    streams->entries = calloc(count > 0 ? count : 1, sizeof *streams->entries);
    if (!streams->entries) {
        pause_for(streams, RETRY_MS);
        return;
    }
    streams->is_submitting = true;
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redisReply *of_stream = redis_reply_at(reply, i);
        const struct redisReply *raw = redis_reply_at(of_stream, 1);
        struct stream *stream = find_stream(streams, redis_reply_text(redis_reply_at(of_stream, 0), NULL));
        for (size_t k = 0; stream && k < redis_reply_count(raw); k++) {
            add_entry(streams, stream, redis_reply_at(raw, k));
        }
    }
    streams->is_submitting = false;
    if (streams->unanswered == 0) {
        end_round(streams);
    }
}

static void on_read(void *context, const struct redisReply *reply)
{
    struct redis_streams *streams = context;
    if (streams->is_destroyed) {
        return;
    }
    if (redis_reply_type(reply) != REDIS_ERROR && are_all_usable(streams)) {
        set_problem(streams, NULL, NULL, NULL);
    }
    switch (redis_reply_type(reply)) {
    case REDIS_ARRAY:
        submit_round(streams, reply);
        break;
    case REDIS_NIL:
        read_round(streams);
        break;
    default:
        streams->phase = PHASE_IDLE;
        if (reply) {
            set_problem(streams, NULL, "cannot be read (XREAD)", redis_reply_text(reply, NULL));
            pause_for(streams, RECHECK_MS);
        }
        break;
    }
}

static void read_round(struct redis_streams *streams)
{
    streams->phase = PHASE_IDLE;
    if (!streams->is_active || !redis_link_is_up(streams->link)) {
        return;
    }
    if (streams->recheck_at_ms != 0 && loop_now_ms(streams->options.loop) >= streams->recheck_at_ms) {
        prepare(streams);
        return;
    }
    if (pipeline_generation(streams->options.pipeline) == 0) {
        pause_for(streams, RETRY_MS); /* the journal takes nothing now */
        return;
    }
    const char **words = streams->words;
    size_t count = 0;
    static const char *const head[] = {"XREAD", "COUNT", ENTRIES_PER_STREAM, "BLOCK", WAIT_MS, "STREAMS"};
    const size_t head_count = sizeof head / sizeof *head;
    for (; count < head_count; count++) {
        words[count] = head[count];
    }
    for (int what = 0; what < 2; what++) {
        for (size_t i = 0; i < streams->options.count; i++) {
            const struct stream *stream = &streams->streams[i];
            if (stream->is_usable && stream->has_position) {
                words[count++] = what == 0 ? stream->mapping->name : stream->done;
            }
        }
    }
    if (count == head_count) {
        pause_for(streams, streams->recheck_at_ms != 0 ? RECHECK_MS : RETRY_MS); /* none can be read */
        return;
    }
    if (redis_link_send(streams->link, on_read, streams, count, words, NULL) == RESULT_OK) {
        streams->phase = PHASE_READING;
    } else {
        pause_for(streams, RETRY_MS);
    }
}

/* ---- life ---- */

static void on_timer(void *context)
{
    struct redis_streams *streams = context;
    if (streams->phase == PHASE_IDLE) {
        prepare(streams);
    }
}

static void on_up(void *context)
{
    prepare(context);
    struct redis_streams *streams = context;
    streams->options.on_health(streams->options.context);
}

static void on_down(void *context, const char *reason)
{
    struct redis_streams *streams = context;
    (void)reason; /* redis_streams_problem() asks the link */
    streams->options.on_health(streams->options.context);
}

void redis_streams_set_active(struct redis_streams *streams, bool is_active)
{
    if (streams->is_active == is_active) {
        return;
    }
    streams->is_active = is_active;
    if (is_active) {
        for (size_t i = 0; i < streams->options.count; i++) {
            /* Another process may have come further; what only this one knows it still knows. */
            streams->streams[i].has_position =
                streams->streams[i].has_position && !streams->options.is_shared;
        }
        prepare(streams);
    }
}

const char *redis_streams_problem(const struct redis_streams *streams)
{
    if (!redis_link_is_up(streams->link)) {
        return redis_link_reason(streams->link);
    }
    return streams->problem[0] != '\0' ? streams->problem : NULL;
}

struct redis_link *redis_streams_link(const struct redis_streams *streams)
{
    return streams->link;
}

static bool name_key(struct stream *stream, const char *prefix)
{
    size_t length = strlen(prefix) + strlen("stream-position:") + strlen(stream->mapping->name) + 1;
    stream->key = malloc(length);
    if (stream->key) {
        (void)snprintf(stream->key, length, "%sstream-position:%s", prefix, stream->mapping->name);
    }
    return stream->key != NULL;
}

static bool build(struct redis_streams *streams)
{
    const struct redis_streams_options *options = &streams->options;
    streams->streams = calloc(options->count, sizeof *streams->streams);
    streams->words = calloc(6 + 2 * options->count, sizeof *streams->words);
    streams->timer = loop_timer_create(options->loop, on_timer, streams);
    const struct redis_link_options link = {
        .name = "streams",
        .server = options->server,
        .max_outstanding = 4 * options->count + 4,
        .waits_ms = 1000,
    };
    const struct redis_link_events events = {.context = streams, .on_up = on_up, .on_down = on_down};
    streams->link = redis_link_create(options->loop, options->metrics, &link, &events);
    if (!streams->streams || !streams->words || !streams->timer || !streams->link) {
        return false;
    }
    for (size_t i = 0; i < options->count; i++) {
        streams->streams[i].streams = streams;
        streams->streams[i].mapping = &options->mappings[i];
        if (!name_key(&streams->streams[i], options->prefix)) {
            return false;
        }
    }
    return true;
}

struct redis_streams *redis_streams_create(const struct redis_streams_options *options)
{
    assert(options->count > 0);
    struct redis_streams *streams = calloc(1, sizeof *streams);
    if (!streams) {
        return NULL;
    }
    streams->options = *options;
    if (!build(streams)) {
        redis_streams_destroy(streams);
        return NULL;
    }
    redis_link_start(streams->link);
    return streams;
}

void redis_streams_destroy(struct redis_streams *streams)
{
    if (!streams) {
        return;
    }
    streams->is_destroyed = true;
    streams->is_active = false;
    redis_link_destroy(streams->link); /* answers what is under way: nobody acts on it any more */
    loop_timer_destroy(streams->timer);
    for (size_t i = 0; streams->streams && i < streams->options.count; i++) {
        free(streams->streams[i].key);
    }
    free(streams->streams);
    free(streams->entries);
    free((void *)streams->words);
    free(streams);
}
