/**
 * Structured log: one JSON object per line on standard error.
 *
 * A message is a fixed lower-case phrase; everything that varies is a
 * key=value pair. Values are escaped and cut at 256 bytes, so peer text is
 * safe. Never pass a secret.
 *
 *   log_warn("redis subscribe failed", LOG_TEXT("channel", name), LOG_INT("retry_in_ms", ms));
 */
#ifndef SOPHIA_BASE_LOG_H
#define SOPHIA_BASE_LOG_H

#include <stdint.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
};

enum log_format {
    LOG_FORMAT_JSON,
    LOG_FORMAT_TEXT, /* for a person at a terminal: time level message key=value */
};

enum log_value_kind { LOG_VALUE_END, LOG_VALUE_TEXT, LOG_VALUE_INT, LOG_VALUE_REAL, LOG_VALUE_BOOL };

struct log_pair {
    const char *key;
    enum log_value_kind kind;
    union {
        const char *text; /* NULL prints null */
        int64_t integer;
        double real;
    } value;
};

#define LOG_TEXT(name, v) ((struct log_pair){.key = (name), .kind = LOG_VALUE_TEXT, .value.text = (v)})
#define LOG_INT(name, v) \
    ((struct log_pair){.key = (name), .kind = LOG_VALUE_INT, .value.integer = (int64_t)(v)})
#define LOG_REAL(name, v) ((struct log_pair){.key = (name), .kind = LOG_VALUE_REAL, .value.real = (v)})
#define LOG_BOOL(name, v) \
    ((struct log_pair){.key = (name), .kind = LOG_VALUE_BOOL, .value.integer = (v) ? 1 : 0})
#define LOG_NOTHING ((struct log_pair){.kind = LOG_VALUE_END})

/** Process-wide; call before other threads exist. */
void log_configure(enum log_level least, enum log_format format);

/** pairs ends with LOG_NOTHING. */
void log_write(enum log_level level, const char *message, const struct log_pair *pairs);

#define log_at(level, message, ...) \
    log_write((level), (message), (const struct log_pair[]){__VA_ARGS__ __VA_OPT__(, ) LOG_NOTHING})
#define log_debug(message, ...) log_at(LOG_LEVEL_DEBUG, message __VA_OPT__(, ) __VA_ARGS__)
#define log_info(message, ...) log_at(LOG_LEVEL_INFO, message __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(message, ...) log_at(LOG_LEVEL_WARN, message __VA_OPT__(, ) __VA_ARGS__)
#define log_error(message, ...) log_at(LOG_LEVEL_ERROR, message __VA_OPT__(, ) __VA_ARGS__)

#endif
