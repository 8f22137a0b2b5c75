/*
 * Structured log. A line is built in a stack buffer and leaves in one write,
 * so lines of several threads do not mix and logging works when memory is
 * gone. It does not rotate, buffer or filter by module.
 *
 * Invariants: every line is one valid JSON object (or one text line) ending in
 * one newline; pairs that do not fit are left out and "cut":true says so.
 */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "protocol/bytes.h"

enum { LINE_MAX_BYTES = 8192, VALUE_MAX_SHOWN = 256, TAIL_BYTES = 32 };

static enum log_level least_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_JSON;

void log_configure(enum log_level least, enum log_format format)
{
    least_level = least;
    line_format = format;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_ERROR:
        break;
    }
    return "error";
}

/** Bytes of text to show: at most VALUE_MAX_SHOWN, never half a UTF-8 sequence. */
static size_t shown_length(const char *text)
{
    size_t length = strnlen(text, VALUE_MAX_SHOWN + 1);
    if (length <= VALUE_MAX_SHOWN) {
        return length;
    }
    length = VALUE_MAX_SHOWN;
    while (length > VALUE_MAX_SHOWN - 4 && ((unsigned char)text[length] & 0xc0) == 0x80) {
        length--;
    }
    return length;
}

/** Does text need quotes in the text format to stay one readable word? */
static bool is_one_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte <= ' ' || byte == '"' || byte == '\\' || byte == '=' || byte >= 0x7f) {
            return false;
        }
    }
    return length > 0;
}

static void append_text_value(struct bytes *line, const char *text)
{
    if (text == NULL) {
        bytes_append_text(line, "null");
        return;
    }
    size_t length = shown_length(text);
    if (line_format == LOG_FORMAT_TEXT && is_one_word(text, length)) {
        bytes_append(line, text, length);
    } else {
        bytes_append_json_string(line, text, length);
    }
}

static void append_value(struct bytes *line, const struct log_pair *pair)
{
    switch (pair->kind) {
    case LOG_VALUE_TEXT:
        append_text_value(line, pair->value.text);
        break;
    case LOG_VALUE_INT:
        bytes_append_i64(line, pair->value.integer);
        break;
    case LOG_VALUE_REAL:
        if (isfinite(pair->value.real)) {
            bytes_append_format(line, "%.15g", pair->value.real);
        } else {
            bytes_append_text(line, "null"); /* JSON has no NaN */
        }
        break;
    case LOG_VALUE_BOOL:
        bytes_append_text(line, pair->value.integer != 0 ? "true" : "false");
        break;
    case LOG_VALUE_END:
        break;
    }
}

static void append_pair(struct bytes *line, const struct log_pair *pair)
{
    if (line_format == LOG_FORMAT_TEXT) {
        bytes_append_format(line, " %s=", pair->key);
    } else {
        bytes_append_byte(line, ',');
        bytes_append_json_string(line, pair->key, strlen(pair->key));
        bytes_append_byte(line, ':');
    }
    append_value(line, pair);
}

static void append_time(struct bytes *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc = {0};
    (void)gmtime_r(&seconds, &utc); /* NULL only for years beyond int */
    char text[32];
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    bytes_append(line, text, length);
    bytes_append_format(line, ".%03dZ", (int)(now_ms % 1000));
}

static void append_head(struct bytes *line, enum log_level level, const char *message)
{
    if (line_format == LOG_FORMAT_TEXT) {
        append_time(line);
        bytes_append_format(line, " %-5s %s", level_name(level), message);
        return;
    }
    bytes_append_text(line, "{\"time\":\"");
    append_time(line);
    bytes_append_format(line, "\",\"level\":\"%s\",\"message\":", level_name(level));
    bytes_append_json_string(line, message, shown_length(message));
}

static void write_line(const char *from, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, from, length);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* nowhere is left to say it */
        }
        from += written;
        length -= (size_t)written;
    }
}

void log_write(enum log_level level, const char *message, const struct log_pair *pairs)
{
    if (level < least_level) {
        return;
    }
    char memory[LINE_MAX_BYTES + 1];
    /* Full capacity from the start: the buffer never reallocates, so it may live on the stack. */
    struct bytes line = {
        .at = memory, .capacity = LINE_MAX_BYTES - TAIL_BYTES, .cap = LINE_MAX_BYTES - TAIL_BYTES};
    append_head(&line, level, message);
    bool cut = false;
    for (const struct log_pair *pair = pairs; pair->kind != LOG_VALUE_END && !cut; pair++) {
        size_t before = line.length;
        append_pair(&line, pair);
        if (line.failed) {
            line.length = before;
            line.failed = false;
            cut = true;
        }
    }
    line.capacity = LINE_MAX_BYTES; /* the tail always fits */
    line.cap = LINE_MAX_BYTES;
    if (cut) {
        append_pair(&line, &LOG_BOOL("cut", true));
    }
    bytes_append_text(&line, line_format == LOG_FORMAT_JSON ? "}\n" : "\n");
    write_line(line.at, line.length);
}
