/*
 * The links, whether the server is fit, and when all of it together counts as attached. What happens on one
 * board is in redis_journal_board.c.
 *
 * Attached means: both links are up, the server keeps what it is given, and every board stands where Redis
 * says. From then on boards may fall behind and catch up one by one without detaching the journal; only a
 * link or the server can.
 */
#include "journal/redis_journal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "journal/redis_journal_internal.h"

enum {
    COMPLAINT_MS = 60000,
    BYTES_MIB = 1024 * 1024,
    COMMANDS_PER_BOARD = 12 /* sync, read, check, sweep */
};

const struct redis_journal_options redis_journal_defaults = {
    .prefix = "sophia:",
    .max_boards = 1024,
    .max_fields = 20000,
    .max_outstanding = 1024,
    .max_outstanding_bytes = 64 * BYTES_MIB,
    .max_transaction_bytes = 16 * BYTES_MIB,
    .max_buffered_bytes = 16 * BYTES_MIB,
    .tail_offsets = 4096,
    .check_ms = 5000,
    .sweep_ms = 60000,
    .wait_ms = 1000,
    .check_nonce = true,
};

/* ---- what others ask ---- */

const char *publish_command(const struct redis_journal *journal)
{
    return journal->is_sharded ? "SPUBLISH" : "PUBLISH";
}

bool journal_can_sync(const struct redis_journal *journal, const struct redis_board *board)
{
    return journal->phase == SERVER_READY && journal->is_subscriber_up &&
           journal->partitions[board->partition].is_confirmed;
}

void journal_complain(struct redis_journal *journal, const char *key, const char *what)
{
    uint64_t now_ms = loop_now_ms(journal->loop);
    metric_add(journal->metrics.malformed, 1);
    if (journal->complained_ms == 0 || now_ms - journal->complained_ms > COMPLAINT_MS) {
        journal->complained_ms = now_ms;
        log_warn("journal found foreign content in redis, continuing", LOG_TEXT("key", key),
                 LOG_TEXT("what", what));
    }
}

void journal_log_error(struct redis_journal *journal, const char *command, const struct redisReply *reply)
{
    uint64_t now_ms = loop_now_ms(journal->loop);
    const char *text = redis_reply_type(reply) == REDIS_ERROR ? redis_reply_text(reply, NULL) : NULL;
    metric_add(journal->metrics.refused_error, 1);
    if (text && strstr(text, "READONLY")) {
        /* Before 7.0 it comes wrapped as an error of the script, which the link cannot know. */
        redis_link_reject(journal->commands, "redis has become a replica");
    }
    if (journal->errored_ms == 0 || now_ms - journal->errored_ms > COMPLAINT_MS) {
        journal->errored_ms = now_ms;
        log_error("journal refused by redis", LOG_TEXT("command", command),
                  LOG_TEXT("err", text ? text : "an answer of another form"));
    }
}

/* ---- attachment ---- */

static void boards_lose(struct redis_journal *journal)
{
    LIST_EACH(node, &journal->boards) {
        board_lose(LIST_ITEM(node, struct redis_board, node));
    }
}

static bool boards_are_live(const struct redis_journal *journal)
{
    LIST_EACH(node, &journal->boards) {
        if (!LIST_ITEM(node, struct redis_board, node)->is_live) {
            return false;
        }
    }
    return true;
}

static const char *reason_now(const struct redis_journal *journal)
{
    if (journal->phase != SERVER_READY && journal->server_reason[0]) {
        return journal->server_reason;
    }
    if (!journal->is_subscriber_up && journal->subscriber_reason[0]) {
        return journal->subscriber_reason;
    }
    return "catching up with redis";
}

/* The state changes here only. */
static void attachment_set(struct redis_journal *journal, bool is_attached, const char *reason)
{
    if (journal->is_attached == is_attached && strcmp(journal->reason, reason) == 0) {
        return;
    }
    if (journal->is_attached != is_attached) {
        log_info(is_attached ? "journal attached" : "journal detached", LOG_TEXT("reason", reason));
    }
    journal->is_attached = is_attached;
    snprintf(journal->reason, sizeof journal->reason, "%s", reason);
    metric_set(journal->metrics.attached, is_attached ? 1 : 0);
    journal->host.on_attached(journal->host.context, is_attached, journal->reason);
}

/* Telling may close any board, so the walk begins anew after each that had someone waiting. */
static void waiters_release(struct redis_journal *journal)
{
    struct list_node *node = journal->boards.next;
    while (node != &journal->boards) {
        struct redis_board *board = LIST_ITEM(node, struct redis_board, node);
        if (list_is_empty(&board->waiters)) {
            node = node->next;
            continue;
        }
        board_release_waiters(board);
        node = journal->boards.next;
    }
}

void journal_update_attachment(struct redis_journal *journal)
{
    if (journal->is_destroying) {
        return;
    }
    bool is_linked = journal->phase == SERVER_READY && journal->is_subscriber_up;
    if (is_linked && (journal->is_attached || boards_are_live(journal))) {
        attachment_set(journal, true, "");
        return;
    }
    attachment_set(journal, false, reason_now(journal));
    waiters_release(journal);
}

/* ---- is the server fit? ---- */

/* The value of "name:" in an INFO text. */
static void info_value(const char *info, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    size_t length = strlen(name);
    for (const char *line = info; line; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            snprintf(out, size, "%.*s", (int)strcspn(line + length + 1, "\r\n"), line + length + 1);
            return;
        }
    }
}

/* "" when it is; else what to do about it. */
static void fitness_judge(const char *info, char out_reason[JOURNAL_REASON_BYTES])
{
    char version[32], policy[32];
    int major = 0, minor = 0;
    info_value(info, "redis_version", version, sizeof version);
    info_value(info, "maxmemory_policy", policy, sizeof policy);
    out_reason[0] = '\0';
    if (sscanf(version, "%d.%d", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 2)) {
        snprintf(out_reason, JOURNAL_REASON_BYTES, "redis is version %s: the journal needs 6.2 or later",
                 version[0] ? version : "unknown");
    } else if (policy[0] && strcmp(policy, "noeviction") != 0) {
        snprintf(out_reason, JOURNAL_REASON_BYTES,
                 "redis may evict keys (maxmemory-policy %s): set maxmemory-policy noeviction", policy);
    }
}

static void server_refuse(struct redis_journal *journal, const char *reason)
{
    if (strcmp(journal->server_reason, reason) != 0) {
        log_error("journal cannot use this redis", LOG_TEXT("reason", reason));
        snprintf(journal->server_reason, sizeof journal->server_reason, "%s", reason);
    }
    journal->phase = SERVER_UNFIT;
    journal->fitness_due_ms = loop_now_ms(journal->loop) + UNFIT_RETRY_MS;
    calls_fail_waiting(journal);
    boards_lose(journal);
    journal_update_attachment(journal);
}

static void boards_sync(struct redis_journal *journal)
{
    LIST_EACH(node, &journal->boards) {
        board_sync(LIST_ITEM(node, struct redis_board, node));
    }
}

static void on_script_loaded(void *context, const struct redisReply *reply)
{
    struct redis_journal *journal = context;
    size_t length = 0;
    const char *sha = redis_reply_text(reply, &length);
    if (!reply || journal->is_destroying || journal->phase != SERVER_ASKED) {
        return; /* the link went; on_down says so */
    }
    if (redis_reply_type(reply) == REDIS_ERROR || !sha || length != SHA_BYTES) {
        char reason[JOURNAL_REASON_BYTES];
        snprintf(reason, sizeof reason, "redis does not load the journal's script: %.160s",
                 sha ? sha : "no answer");
        server_refuse(journal, reason);
        return;
    }
    memcpy(journal->sha, sha, SHA_BYTES);
    journal->phase = SERVER_READY;
    journal->server_reason[0] = '\0';
    journal->check_due_ms = loop_now_ms(journal->loop) + journal->options.check_ms;
    boards_sync(journal);
    journal_update_attachment(journal);
}

static enum redis_subscription channel_kind(const struct redis_journal *journal)
{
    return journal->is_sharded ? REDIS_SHARD_CHANNEL : REDIS_CHANNEL;
}

/* When memory runs out the channel is heard for nothing. */
static void partition_leave(struct redis_journal *journal, struct partition *partition)
{
    partition->is_wanted =
        redis_link_unsubscribe(journal->subscriber, channel_kind(journal), partition->channel) != RESULT_OK;
    partition->is_confirmed = partition->is_confirmed && partition->is_wanted;
}

static void partitions_subscribe(struct redis_journal *journal, bool is_sharded)
{
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        struct partition *partition = &journal->partitions[i];
        if (partition->is_wanted && journal->is_sharded != is_sharded) {
            /* Another kind of server: what was asked for before is not what its script publishes to. */
            partition_leave(journal, partition);
        }
    }
    journal->is_sharded = is_sharded;
    journal->is_kind_known = true;
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        if (journal->partitions[i].boards > 0) {
            (void)partition_want(journal, i); /* no memory: the next INFO tries again */
        }
    }
}

static void on_info(void *context, const struct redisReply *reply)
{
    struct redis_journal *journal = context;
    char reason[JOURNAL_REASON_BYTES], cluster[8], version[32];
    if (!reply || journal->is_destroying) {
        return;
    }
    const char *info = redis_reply_text(reply, NULL);
    if (redis_reply_type(reply) != REDIS_TEXT || !info) {
        snprintf(reason, sizeof reason, "redis does not answer INFO (allow it to this user): %.120s",
                 info ? info : "no text");
        server_refuse(journal, reason);
        return;
    }
    fitness_judge(info, reason);
    if (reason[0]) {
        server_refuse(journal, reason);
        return;
    }
    info_value(info, "cluster_enabled", cluster, sizeof cluster);
    info_value(info, "redis_version", version, sizeof version);
    partitions_subscribe(journal, strcmp(cluster, "1") == 0 && atoi(version) >= 7);
    if (journal->phase == SERVER_READY) {
        return; /* a regular look */
    }
    const char *const argv[] = {"SCRIPT", "LOAD", redis_journal_script};
    if (redis_link_send(journal->commands, on_script_loaded, journal, 3, argv, NULL) != RESULT_OK) {
        server_refuse(journal, "the journal's script could not be sent to redis");
    }
}

static void ask_fitness(struct redis_journal *journal)
{
    const char *const argv[] = {"INFO"};
    if (journal->phase != SERVER_READY) {
        journal->phase = SERVER_ASKED;
    }
    if (redis_link_send(journal->commands, on_info, journal, 1, argv, NULL) != RESULT_OK) {
        server_refuse(journal, "redis could not be asked for INFO");
    }
}

/* ---- links ---- */

static void on_commands_up(void *context)
{
    struct redis_journal *journal = context;
    ask_fitness(journal);
}

static void on_commands_down(void *context, const char *reason)
{
    struct redis_journal *journal = context;
    if (journal->is_destroying) {
        return;
    }
    snprintf(journal->server_reason, sizeof journal->server_reason, "%s", reason);
    journal->phase = SERVER_DOWN;
    calls_fail_waiting(journal);
    boards_lose(journal);
    journal_update_attachment(journal);
}

static void on_subscriber_up(void *context)
{
    struct redis_journal *journal = context;
    journal->is_subscriber_up = true;
    journal->subscriber_reason[0] = '\0';
    journal_update_attachment(journal);
}

static void on_subscriber_down(void *context, const char *reason)
{
    struct redis_journal *journal = context;
    if (journal->is_destroying) {
        return;
    }
    snprintf(journal->subscriber_reason, sizeof journal->subscriber_reason, "%s", reason);
    journal->is_subscriber_up = false;
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        journal->partitions[i].is_confirmed = false;
        journal->partitions[i].silent_checks = 0;
    }
    boards_lose(journal);
    journal_update_attachment(journal);
}

static struct partition *partition_of_channel(struct redis_journal *journal, const char *channel,
                                              size_t length)
{
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        struct partition *partition = &journal->partitions[i];
        if (strlen(partition->channel) == length && memcmp(partition->channel, channel, length) == 0) {
            return partition;
        }
    }
    return NULL;
}

static void on_subscribed(void *context, const char *channel)
{
    struct redis_journal *journal = context;
    struct partition *partition = partition_of_channel(journal, channel, strlen(channel));
    if (!partition) {
        return;
    }
    partition->is_confirmed = true;
    LIST_EACH(node, &journal->boards) {
        struct redis_board *board = LIST_ITEM(node, struct redis_board, node);
        if (&journal->partitions[board->partition] == partition) {
            board_sync(board);
        }
    }
}

static void on_message(void *context, const char *pattern, const char *channel, size_t channel_length,
                       const char *payload, size_t payload_length)
{
    struct redis_journal *journal = context;
    struct wire_message *message = &journal->message;
    (void)pattern;
    if (wire_decode_message(payload, payload_length, message) != RESULT_OK) {
        char name[KEY_MAX_BYTES];
        snprintf(name, sizeof name, "%.*s", (int)channel_length, channel);
        journal_complain(journal, name, "a message is no publication");
        uint64_t soon_ms = loop_now_ms(journal->loop) + RETRY_MS;
        journal->check_due_ms = soon_ms < journal->check_due_ms ? soon_ms : journal->check_due_ms;
        return;
    }
    struct redis_board *board = board_find(journal, message->board, message->board_length);
    if (board) { /* else another node's */
        journal->partitions[board->partition].silent_checks = 0;
        board_ref(board); /* whoever is told may close it */
        board_take_message(board, message, payload, payload_length);
        board_unref(board);
    }
}

bool partition_want(struct redis_journal *journal, size_t at)
{
    struct partition *partition = &journal->partitions[at];
    if (partition->is_wanted || !journal->is_kind_known) {
        return true;
    }
    partition->is_wanted =
        redis_link_subscribe(journal->subscriber, channel_kind(journal), partition->channel) == RESULT_OK;
    return partition->is_wanted;
}

void partition_release(struct redis_journal *journal, size_t at)
{
    struct partition *partition = &journal->partitions[at];
    if (--partition->boards > 0 || !partition->is_wanted || journal->is_destroying) {
        return;
    }
    partition_leave(journal, partition);
}

/* ---- the tick ---- */

static void on_position(void *context, const struct redisReply *reply)
{
    struct redis_board *board = context;
    struct position at = {0};
    if (redis_reply_type(reply) == REDIS_ARRAY && board->is_open && !board->journal->is_destroying) {
        metric_add(board->journal->metrics.checks, 1);
        bool is_known = journal_read_position(reply, 0, &at);
        board_check(board, is_known, &at);
    }
    board_unref(board);
}

/* One pipelined batch. */
static void positions_check(struct redis_journal *journal)
{
    LIST_EACH(node, &journal->boards) {
        struct redis_board *board = LIST_ITEM(node, struct redis_board, node);
        const char *const argv[] = {"HMGET", board->meta_key, "epoch", "offset", "nonce"};
        if (board->is_live &&
            redis_link_send(journal->commands, on_position, board, 5, argv, NULL) == RESULT_OK) {
            board_ref(board);
        }
    }
    ask_fitness(journal);
}

static void on_tick(void *context)
{
    struct redis_journal *journal = context;
    uint64_t now_ms = loop_now_ms(journal->loop);
    loop_timer_arm(journal->tick, TICK_MS);
    if (journal->phase == SERVER_UNFIT && now_ms >= journal->fitness_due_ms) {
        ask_fitness(journal);
    }
    if (journal->phase != SERVER_READY) {
        return;
    }
    LIST_EACH_SAFE(node, &journal->boards) {
        board_tick(LIST_ITEM(node, struct redis_board, node));
    }
    if (now_ms >= journal->check_due_ms) {
        journal->check_due_ms = now_ms + journal->options.check_ms;
        positions_check(journal);
    }
    sweep_tick(journal);
    metric_set(journal->metrics.outstanding, (double)journal->outstanding);
}

/* ---- boards come and go ---- */

static struct redis_board *board_create(struct redis_journal *journal, const char *id)
{
    struct redis_board *board = calloc(1, sizeof *board);
    if (!board) {
        return NULL;
    }
    size_t partition = partition_of(id);
    const char *tag = journal->tags[partition];
    board->journal = journal;
    board->partition = partition;
    board->is_open = true;
    board->users = 1;
    list_init(&board->node);
    list_init(&board->waiters);
    list_init(&board->buffer);
    snprintf(board->id, sizeof board->id, "%s", id);
    snprintf(board->meta_key, KEY_MAX_BYTES, "%s{%s}:%s:meta", journal->prefix, tag, id);
    snprintf(board->state_key, KEY_MAX_BYTES, "%s{%s}:%s:state", journal->prefix, tag, id);
    snprintf(board->tail_key, KEY_MAX_BYTES, "%s{%s}:%s:tail", journal->prefix, tag, id);
    board->sweep_due_ms =
        loop_now_ms(journal->loop) + journal->options.sweep_ms / 2 + random_u64() % journal->options.sweep_ms;
    return board;
}

static void redis_close(struct journal *base, const char *id)
{
    struct redis_journal *journal = (struct redis_journal *)base;
    struct redis_board *board = map_remove(&journal->by_id, id, strlen(id));
    if (board) {
        partition_release(journal, board->partition);
        board_retire(board);
        journal_update_attachment(journal);
    }
}

static enum result redis_open(struct journal *base, const char *id, struct position *out_position)
{
    struct redis_journal *journal = (struct redis_journal *)base;
    assert(strlen(id) <= BOARD_ID_MAX_BYTES);
    redis_close(base, id); /* opened again: its values are gone, so it is read again */
    struct redis_board *board = board_create(journal, id);
    if (!board) {
        return RESULT_NO_MEMORY;
    }
    enum result result = map_put(&journal->by_id, id, strlen(id), board);
    if (result != RESULT_OK) {
        free(board);
        return result;
    }
    list_append(&journal->boards, &board->node);
    journal->partitions[board->partition].boards++;
    if (!partition_want(journal, board->partition)) {
        redis_close(base, id);
        return RESULT_NO_MEMORY;
    }
    board_sync(board);
    *out_position = (struct position){.epoch = random_u64() | 1, .nonce = (uint32_t)random_u64()};
    return RESULT_OK;
}

/* ---- life ---- */

static void redis_destroy(struct journal *base)
{
    struct redis_journal *journal = (struct redis_journal *)base;
    journal->is_destroying = true;
    journal->phase = SERVER_DOWN;
    loop_timer_destroy(journal->tick);
    redis_link_destroy(journal->commands); /* what is outstanding is told so */
    redis_link_destroy(journal->subscriber);
    calls_fail_waiting(journal);
    while (!list_is_empty(&journal->boards)) {
        struct redis_board *board = LIST_ITEM(journal->boards.next, struct redis_board, node);
        redis_close(base, board->id);
    }
    calls_fail_waiting(journal); /* submitted while others were told */
    loop_cancel_deferred(journal->loop, &journal->tell_failed);
    map_finish(&journal->by_id);
    wire_message_finish(&journal->message);
    free(journal->arguments.argv);
    free(journal->arguments.lengths);
    free(journal->arguments.numbers);
    free(journal);
}

static const struct journal_ops redis_ops = {
    .open = redis_open,
    .submit = redis_journal_submit,
    .restart = redis_journal_restart,
    .close = redis_close,
    .destroy = redis_destroy,
};

static struct redis_link *link_create(struct redis_journal *journal, struct metrics *metrics,
                                      const char *name, const struct redis_link_events *events)
{
    const struct redis_link_options options = {
        .name = name,
        .server = journal->options.server,
        .max_outstanding =
            journal->options.max_outstanding + COMMANDS_PER_BOARD * journal->options.max_boards + 64,
    };
    return redis_link_create(journal->loop, metrics, &options, events);
}

static bool links_create(struct redis_journal *journal, struct metrics *metrics)
{
    const struct redis_link_events for_commands = {
        .context = journal,
        .on_up = on_commands_up,
        .on_down = on_commands_down,
    };
    const struct redis_link_events for_messages = {
        .context = journal,
        .on_up = on_subscriber_up,
        .on_down = on_subscriber_down,
        .on_message = on_message,
        .on_subscribed = on_subscribed,
    };
    journal->commands = link_create(journal, metrics, "journal", &for_commands);
    journal->subscriber = link_create(journal, metrics, "subscriber", &for_messages);
    return journal->commands && journal->subscriber;
}

static void register_metrics(struct redis_journal *journal, struct metrics *metrics)
{
    static const char gaps_help[] = "Times a board had missed publications, by what repaired it.";
    static const char refused_help[] = "Transactions that Redis did not decide, by reason.";
    journal->metrics.publications =
        metrics_counter(metrics, "gw_journal_publications_total", NULL, "Publications applied.");
    journal->metrics.gaps_repaired =
        metrics_counter(metrics, "gw_journal_gaps_total", "outcome=\"repaired\"", gaps_help);
    journal->metrics.gaps_reloaded =
        metrics_counter(metrics, "gw_journal_gaps_total", "outcome=\"reloaded\"", gaps_help);
    journal->metrics.images =
        metrics_counter(metrics, "gw_journal_images_total", NULL, "Boards read whole from Redis.");
    journal->metrics.checks =
        metrics_counter(metrics, "gw_journal_position_checks_total", NULL, "Positions compared with Redis.");
    journal->metrics.submit_seconds =
        metrics_histogram(metrics, "gw_journal_submit_seconds", NULL,
                          "From a transaction's submission to its publication on this node.",
                          METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    journal->metrics.outstanding =
        metrics_gauge(metrics, "gw_journal_outstanding", NULL, "Transactions without an answer.");
    journal->metrics.refused_detached =
        metrics_counter(metrics, "gw_journal_refused_total", "reason=\"detached\"", refused_help);
    journal->metrics.refused_outstanding =
        metrics_counter(metrics, "gw_journal_refused_total", "reason=\"outstanding\"", refused_help);
    journal->metrics.refused_too_big =
        metrics_counter(metrics, "gw_journal_refused_total", "reason=\"too_big\"", refused_help);
    journal->metrics.refused_error =
        metrics_counter(metrics, "gw_journal_refused_total", "reason=\"error\"", refused_help);
    journal->metrics.malformed = metrics_counter(metrics, "gw_journal_malformed_total", NULL,
                                                 "Messages and fields in Redis that are not ours.");
    journal->metrics.swept =
        metrics_counter(metrics, "gw_journal_swept_total", NULL, "Forgotten fields removed from Redis.");
    journal->metrics.attached =
        metrics_gauge(metrics, "gw_journal_attached", NULL, "1 while changes can be ordered, else 0.");
}

static void journal_init(struct redis_journal *journal, struct loop *loop, const struct journal_host *host,
                         const struct redis_journal_options *options)
{
    journal->base.ops = &redis_ops;
    journal->base.is_durable = false;
    journal->base.is_shared = true;
    journal->host = *host;
    journal->options = *options;
    journal->loop = loop;
    snprintf(journal->prefix, sizeof journal->prefix, "%s", options->prefix);
    journal->options.prefix = journal->prefix;
    map_init(&journal->by_id, options->max_boards);
    list_init(&journal->boards);
    list_init(&journal->sent);
    list_init(&journal->again);
    list_init(&journal->failed);
    wire_message_init(&journal->message);
    partition_tags(journal->tags);
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        snprintf(journal->partitions[i].channel, KEY_MAX_BYTES, "%s{%s}:publications", journal->prefix,
                 journal->tags[i]);
    }
}

struct journal *redis_journal_create(struct loop *loop, struct metrics *metrics,
                                     const struct journal_host *host,
                                     const struct redis_journal_options *options)
{
    assert(options->server && strlen(options->prefix) <= PREFIX_MAX_BYTES && !strpbrk(options->prefix, "{}"));
    struct redis_journal *journal = calloc(1, sizeof *journal);
    if (!journal) {
        return NULL;
    }
    journal_init(journal, loop, host, options);
    register_metrics(journal, metrics);
    journal->tick = loop_timer_create(loop, on_tick, journal);
    if (!journal->tick || !links_create(journal, metrics)) {
        redis_destroy(&journal->base);
        return NULL;
    }
    loop_timer_arm(journal->tick, TICK_MS);
    redis_link_start(journal->commands);
    redis_link_start(journal->subscriber);
    return &journal->base;
}
