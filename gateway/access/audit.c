/*
 * A line is a body, which says what happened and is the same whenever that happens again, and the time in front of it. Bodies are
 * what repeats are told by.
 *
 * One timer ticks while there is something that nobody may ever ask about again: a count of repeats, or of lines withheld.
 */
#include "access/audit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access/audit_repeats.h"
#include "access/audit_sink.h"
#include "base/log.h"
#include "base/token_bucket.h"
#include "protocol/bytes.h"

enum {
    SHOWN_MAX_BYTES = 256,
    BODY_MAX_BYTES = 7000, /* four texts of peers, each byte six when escaped, and our own words */
    LINE_MAX_BYTES = 7400,
    TICK_MS = 1000,
    MASK_BYTES = 8,
    MASK_TEXT_BYTES = 2 * MASK_BYTES + 1,
    KEY_BYTES = 32,
};

/** Lines that share a rate. */
enum kind { KIND_GRANTED, KIND_REFUSED, KIND_OPERATOR, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] =
    {[KIND_GRANTED] = "granted", [KIND_REFUSED] = "refused", [KIND_OPERATOR] = "operator"};

/** What became of an event. */
enum fate { FATE_WRITTEN, FATE_REPEATED, FATE_WITHHELD, FATE_FAILED, FATE_COUNT };

struct audit {
    struct audit_options options;
    struct audit_sink sink;
    struct audit_repeats repeats;
    struct token_bucket rates[KIND_COUNT];
    uint64_t withheld[KIND_COUNT]; /* since it was last told, those that could not be written included */
    bool is_failing;               /* the last line could not be written */
    bool is_ticking;
    struct loop_timer *timer;
    unsigned char key[KEY_BYTES]; /* when there is none in the options */
    struct metric *fates[FATE_COUNT];
};

static const char *action_name(enum audit_action action)
{
    static const char *const names[AUDIT_ACTION_COUNT] = {
        [AUDIT_CONNECT] = "connect",         [AUDIT_REFRESH] = "refresh", [AUDIT_SUBSCRIBE] = "subscribe",
        [AUDIT_WITHDRAW] = "withdraw",       [AUDIT_READ] = "read",       [AUDIT_INGEST] = "ingest",
        [AUDIT_WEBHOOK] = "webhook",         [AUDIT_RELOAD] = "reload",   [AUDIT_START] = "start",
        [AUDIT_CLEAR_CACHE] = "clear_cache", [AUDIT_STOP] = "stop",
    };
    return names[action];
}

static bool is_operators(enum audit_action action)
{
    return action == AUDIT_CLEAR_CACHE || action == AUDIT_RELOAD || action == AUDIT_START ||
           action == AUDIT_STOP;
}

static enum kind kind_of(const struct audit_event *event)
{
    return event->refusal ? KIND_REFUSED : is_operators(event->action) ? KIND_OPERATOR : KIND_GRANTED;
}

static bool may_repeat(const struct audit_event *event)
{
    return event->refusal || event->action == AUDIT_READ || event->action == AUDIT_INGEST ||
           event->action == AUDIT_WEBHOOK;
}

/* ---- personal data ---- */

static void mask_subject(const struct audit *audit, const char *subject, char out_text[MASK_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    const char *key = audit->options.mask_key;
    const void *key_bytes = key ? (const void *)key : audit->key;
    size_t key_length = key ? strlen(key) : sizeof audit->key;
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    /* Fails when memory runs out: the zeros are nobody's. */
    (void)HMAC(EVP_sha256(), key_bytes, (int)key_length, (const unsigned char *)subject, strlen(subject),
               hash, NULL);
    for (size_t i = 0; i < MASK_BYTES; i++) {
        out_text[2 * i] = digits[hash[i] >> 4];
        out_text[2 * i + 1] = digits[hash[i] & 15];
    }
    out_text[MASK_TEXT_BYTES - 1] = '\0';
}

/** Its network: /24, or /48 of IPv6. This machine is nobody in particular and stays. */
static void append_network(struct bytes *to, const char *address)
{
    unsigned char v4[4];
    unsigned char v6[16];
    char text[INET6_ADDRSTRLEN] = "";
    if (inet_pton(AF_INET, address, v4) == 1) {
        if (v4[0] == 127) {
            bytes_append_text(to, address);
            return;
        }
        v4[3] = 0;
        (void)inet_ntop(AF_INET, v4, text, sizeof text); /* fits */
        bytes_append_format(to, "%s/24", text);
    } else if (inet_pton(AF_INET6, address, v6) == 1) {
        if (strcmp(address, "::1") == 0) {
            bytes_append_text(to, address);
            return;
        }
        memset(v6 + 6, 0, sizeof v6 - 6);
        (void)inet_ntop(AF_INET6, v6, text, sizeof text); /* fits */
        bytes_append_format(to, "%s/48", text);
    }
}

/* ---- lines ---- */

static void append_member(struct bytes *body, const char *name, const char *text)
{
    if (text) {
        bytes_append_format(body, ",\"%s\":", name);
        bytes_append_json_string(body, text, strnlen(text, SHOWN_MAX_BYTES));
    }
}

static void append_person(const struct audit *audit, const struct audit_event *event, struct bytes *body)
{
    bool is_plain = audit->options.is_plain;
    char masked[MASK_TEXT_BYTES];
    if (event->subject && !is_plain) {
        mask_subject(audit, event->subject, masked);
    }
    append_member(body, "subject", event->subject && !is_plain ? masked : event->subject);
    if (event->address && !is_plain && !event->refusal) {
        bytes_append_text(body, ",\"address\":\"");
        append_network(body, event->address);
        bytes_append_byte(body, '"');
    } else {
        append_member(body, "address", event->address);
    }
}

static void append_body(const struct audit *audit, const struct audit_event *event, struct bytes *body)
{
    append_member(body, "node", audit->options.node);
    append_member(body, "action", action_name(event->action));
    append_member(body, "result", event->refusal ? "refused" : "granted");
    append_member(body, "reason", event->refusal);
    append_member(body, "by", event->by);
    append_person(audit, event, body);
    append_member(body, "over", event->over);
    append_member(body, "target", event->target);
}

static void append_time(struct bytes *line, const char *name, int64_t wall_ms)
{
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    char text[32];
    (void)gmtime_r(&seconds, &utc); /* NULL only for years beyond int */
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    bytes_append_format(line, "\"%s\":\"%.*s.%03dZ\"", name, (int)length, text, (int)(wall_ms % 1000));
}

static void tick_later(struct audit *audit)
{
    if (!audit->is_ticking) {
        audit->is_ticking = true;
        loop_timer_arm(audit->timer, TICK_MS);
    }
}

/** Says it in the log too, once for however many lines. */
static bool write_line(struct audit *audit, const struct bytes *line)
{
    bool is_written = audit_sink_write(&audit->sink, line->at, line->length);
    if (!is_written && !audit->is_failing) {
        log_error("audit cannot be written, lines are counted as withheld until it can",
                  LOG_TEXT("file", audit->options.file), LOG_TEXT("syslog", audit->options.syslog),
                  LOG_TEXT("err", strerror(errno)));
    } else if (is_written && audit->is_failing) {
        log_info("audit is written again");
    }
    audit->is_failing = !is_written;
    metric_add(audit->fates[is_written ? FATE_WRITTEN : FATE_FAILED], 1);
    return is_written;
}

/** repeat: what is told is that there were more like it; NULL: it happened. */
static bool write_body(struct audit *audit, const char *body, size_t length, struct moment now,
                       const struct audit_repeat *repeat)
{
    char memory[LINE_MAX_BYTES];
    /* Full capacity from the start: it never reallocates, so it may live on the stack. */
    struct bytes line = {.at = memory, .capacity = sizeof memory, .cap = sizeof memory};
    bytes_append_byte(&line, '{');
    append_time(&line, "time", now.wall_ms);
    bytes_append(&line, body, length);
    if (repeat) {
        bytes_append_format(&line, ",\"times\":%llu,", (unsigned long long)repeat->times);
        append_time(&line, "since", repeat->since_ms);
    }
    bytes_append_text(&line, "}\n");
    assert(!line.failed);
    return write_line(audit, &line);
}

/* ---- repeats and what was withheld ---- */

static void tell_repeat(struct audit *audit, struct audit_repeat *repeat, struct moment now)
{
    if (repeat->times > 0 && !write_body(audit, repeat->body, repeat->length, now, repeat)) {
        audit->withheld[KIND_GRANTED] += repeat->times;
        tick_later(audit);
    }
    free(repeat);
}

static void tell_withheld(struct audit *audit, struct moment now)
{
    char memory[LINE_MAX_BYTES];
    struct bytes body = {.at = memory, .capacity = sizeof memory, .cap = sizeof memory};
    uint64_t sum = 0;
    append_member(&body, "node", audit->options.node);
    append_member(&body, "action", "withheld");
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        bytes_append_format(&body, ",\"%s\":%llu", kind_names[kind],
                            (unsigned long long)audit->withheld[kind]);
        sum += audit->withheld[kind];
    }
    if (sum > 0 && write_body(audit, body.at, body.length, now, NULL)) {
        memset(audit->withheld, 0, sizeof audit->withheld);
    }
}

static bool has_withheld(const struct audit *audit)
{
    uint64_t sum = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        sum += audit->withheld[kind];
    }
    return sum > 0;
}

static void on_tick(void *context)
{
    struct audit *audit = context;
    const struct moment now = audit->options.now();
    struct audit_repeat *repeat;
    audit->is_ticking = false;
    while ((repeat = audit_repeats_take(&audit->repeats, now.monotonic_ms))) {
        tell_repeat(audit, repeat, now);
    }
    tell_withheld(audit, now);
    if (has_withheld(audit) || !audit_repeats_is_empty(&audit->repeats)) {
        tick_later(audit);
    }
}

static void remember(struct audit *audit, const struct bytes *body, struct moment now)
{
    if (audit_repeats_is_full(&audit->repeats)) {
        tell_repeat(audit, audit_repeats_take(&audit->repeats, UINT64_MAX), now);
    }
    audit_repeats_keep(&audit->repeats, body->at, body->length, now);
    tick_later(audit);
}

void audit_note(struct audit *audit, const struct audit_event *event)
{
    if (!audit) {
        return;
    }
    char memory[BODY_MAX_BYTES];
    struct bytes body = {.at = memory, .capacity = sizeof memory, .cap = sizeof memory};
    const struct moment now = audit->options.now();
    const enum kind kind = kind_of(event);
    append_body(audit, event, &body);
    assert(!body.failed);
    if (may_repeat(event) && audit_repeats_seen(&audit->repeats, body.at, body.length)) {
        metric_add(audit->fates[FATE_REPEATED], 1);
        return;
    }
    bool is_allowed = token_bucket_take(&audit->rates[kind], now.monotonic_ms * 1000);
    if (!is_allowed) {
        metric_add(audit->fates[FATE_WITHHELD], 1);
    }
    if (!is_allowed || !write_body(audit, body.at, body.length, now, NULL)) {
        audit->withheld[kind]++;
        tick_later(audit);
    } else if (may_repeat(event)) {
        remember(audit, &body, now);
    }
}

/* ---- life ---- */

static void register_metrics(struct audit *audit, struct metrics *metrics)
{
    static const char *const labels[FATE_COUNT] = {
        [FATE_WRITTEN] = "result=\"written\"",
        [FATE_REPEATED] = "result=\"repeated\"",
        [FATE_WITHHELD] = "result=\"withheld\"",
        [FATE_FAILED] = "result=\"failed\"",
    };
    for (int fate = 0; fate < FATE_COUNT; fate++) {
        audit->fates[fate] = metrics_counter(
            metrics, "gw_audit_lines_total", labels[fate],
            "Audit lines: written, only counted as repeats, withheld beyond the rate, or failed to be written.");
    }
}

struct audit *audit_create(const struct audit_options *options, struct metrics *metrics)
{
    const uint64_t now_us = options->now().monotonic_ms * 1000;
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit) {
        log_error("audit failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    audit->options = *options;
    audit_repeats_init(&audit->repeats);
    random_fill(audit->key, sizeof audit->key);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        token_bucket_init(&audit->rates[kind], options->lines_per_s, options->lines_per_s, now_us);
    }
    register_metrics(audit, metrics);
    bool is_open = audit_sink_open(&audit->sink, options->file, options->syslog);
    audit->timer = is_open ? loop_timer_create(options->loop, on_tick, audit) : NULL;
    if (!audit->timer) {
        if (is_open) {
            log_error("audit failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        }
        audit_destroy(audit);
        return NULL;
    }
    return audit;
}

void audit_destroy(struct audit *audit)
{
    if (!audit) {
        return;
    }
    const struct moment now = audit->options.now();
    struct audit_repeat *repeat;
    while (audit->timer && (repeat = audit_repeats_take(&audit->repeats, UINT64_MAX))) {
        tell_repeat(audit, repeat, now);
    }
    tell_withheld(audit, now);
    if (has_withheld(audit)) {
        log_error("audit lines are lost");
    }
    audit_repeats_finish(&audit->repeats);
    loop_timer_destroy(audit->timer);
    audit_sink_close(&audit->sink);
    OPENSSL_cleanse(audit, sizeof *audit);
    free(audit);
}

bool audit_reopen(struct audit *audit)
{
    return audit_sink_reopen(&audit->sink);
}
