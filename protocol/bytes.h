/**
 * Growable byte buffer. It cannot be created without a cap: an append past
 * the cap changes nothing and marks the buffer failed, so a run of appends is
 * checked once at its end (bytes_failed).
 */
#ifndef SOPHIA_PROTOCOL_BYTES_H
#define SOPHIA_PROTOCOL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    char *at;        /* owned; NULL while empty and never grown */
    size_t length;   /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t cap;      /* never grows past this */
    bool failed;     /* an append did not fit or memory ran out */
};

/** Prepare an empty buffer in the caller's memory. Allocates nothing. 0 < cap < SIZE_MAX. */
void bytes_init(struct bytes *bytes, size_t cap);
/** Release the memory; the buffer may be init'ed again. NULL is allowed. */
void bytes_finish(struct bytes *bytes);
/** Forget the content and the failure mark, keep the memory for reuse. */
void bytes_clear(struct bytes *bytes);
bool bytes_failed(const struct bytes *bytes);

void bytes_append(struct bytes *bytes, const void *from, size_t length);
void bytes_append_text(struct bytes *bytes, const char *text);
void bytes_append_byte(struct bytes *bytes, char byte);
void bytes_append_u64(struct bytes *bytes, uint64_t value);
void bytes_append_i64(struct bytes *bytes, int64_t value);
void bytes_append_format(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Length of the well-formed UTF-8 sequence at text, 0 when there is none (RFC 3629, table in section 4). left >= 1. */
size_t utf8_sequence(const unsigned char *text, size_t left);
/** A JSON string: quotes, escapes, and U+FFFD for bytes that are not UTF-8. */
void bytes_append_json_string(struct bytes *bytes, const char *text, size_t length);

/** Hand the memory to the caller (free() it); the buffer is empty afterwards. */
char *bytes_take(struct bytes *bytes, size_t *out_length);

#endif
