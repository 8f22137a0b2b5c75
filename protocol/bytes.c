/*
 * Growable byte buffer. Growth doubles up to the cap. One byte more than
 * `capacity` is always allocated, so formatted printing may write its NUL.
 *
 * Invariants: length <= capacity <= cap; after a failed append nothing more is
 * appended until bytes_clear(), so the content never has a hole in it.
 */
#include "protocol/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void bytes_init(struct bytes *bytes, size_t cap)
{
    assert(cap > 0 && cap < SIZE_MAX);
    *bytes = (struct bytes){.cap = cap};
}

void bytes_finish(struct bytes *bytes)
{
    if (bytes == NULL) {
        return;
    }
    free(bytes->at);
    *bytes = (struct bytes){.cap = bytes->cap};
}

void bytes_clear(struct bytes *bytes)
{
    bytes->length = 0;
    bytes->failed = false;
}

bool bytes_failed(const struct bytes *bytes)
{
    return bytes->failed;
}

static bool grow(struct bytes *bytes, size_t needed)
{
    size_t capacity = bytes->capacity > 0 ? bytes->capacity : FIRST_CAPACITY;
    while (capacity < needed) {
        capacity = capacity > bytes->cap / 2 ? bytes->cap : capacity * 2;
    }
    if (capacity > bytes->cap) {
        capacity = bytes->cap;
    }
    char *at = realloc(bytes->at, capacity + 1);
    if (at == NULL) {
        return false;
    }
    bytes->at = at;
    bytes->capacity = capacity;
    return true;
}

/** Room for `extra` more bytes, or NULL with the buffer marked failed. */
static char *reserve(struct bytes *bytes, size_t extra)
{
    if (bytes->failed) {
        return NULL;
    }
    if (extra > bytes->cap - bytes->length) {
        bytes->failed = true;
        return NULL;
    }
    size_t needed = bytes->length + extra;
    if ((needed > bytes->capacity || bytes->at == NULL) && !grow(bytes, needed)) {
        bytes->failed = true;
        return NULL;
    }
    return bytes->at + bytes->length;
}

void bytes_append(struct bytes *bytes, const void *from, size_t length)
{
    if (length == 0) {
        return;
    }
    char *to = reserve(bytes, length);
    if (to != NULL) {
        memcpy(to, from, length);
        bytes->length += length;
    }
}

void bytes_append_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text));
}

void bytes_append_byte(struct bytes *bytes, char byte)
{
    bytes_append(bytes, &byte, 1);
}

void bytes_append_u64(struct bytes *bytes, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    bytes_append(bytes, digits + at, sizeof digits - at);
}

void bytes_append_i64(struct bytes *bytes, int64_t value)
{
    if (value >= 0) {
        bytes_append_u64(bytes, (uint64_t)value);
        return;
    }
    /* The sign and the digits go in together or not at all. */
    if (reserve(bytes, 2) != NULL) {
        size_t before = bytes->length;
        bytes_append_byte(bytes, '-');
        bytes_append_u64(bytes, 0 - (uint64_t)value);
        if (bytes->failed) {
            bytes->length = before;
        }
    }
}

void bytes_append_format(struct bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *to = length < 0 ? NULL : reserve(bytes, (size_t)length);
    if (to == NULL) {
        bytes->failed = true;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(to, (size_t)length + 1, format, arguments); /* measured above: it fits */
    va_end(arguments);
    bytes->length += (size_t)length;
}

size_t utf8_sequence(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length > left) {
        return 0;
    }
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

static void append_escape(struct bytes *bytes, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (byte == '"' || byte == '\\') {
        bytes_append(bytes, (char[]){'\\', (char)byte}, 2);
    } else if (letters[byte] != 0) {
        bytes_append(bytes, (char[]){'\\', letters[byte]}, 2);
    } else {
        bytes_append(bytes, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
    }
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void append_string_body(struct bytes *bytes, const unsigned char *text, size_t length)
{
    size_t start = 0; /* of the run not copied yet */
    size_t at = 0;
    while (at < length) {
        if (is_plain(text[at])) {
            at++;
            continue;
        }
        size_t sequence = utf8_sequence(text + at, length - at);
        if (sequence > 1) {
            at += sequence;
            continue;
        }
        bytes_append(bytes, text + start, at - start);
        if (sequence == 1) {
            append_escape(bytes, text[at]);
        } else {
            bytes_append_text(bytes, "\xef\xbf\xbd");
        }
        at++;
        start = at;
    }
    bytes_append(bytes, text + start, length - start);
}

void bytes_append_json_string(struct bytes *bytes, const char *text, size_t length)
{
    size_t before = bytes->length;
    bytes_append_byte(bytes, '"');
    append_string_body(bytes, (const unsigned char *)text, length);
    bytes_append_byte(bytes, '"');
    if (bytes->failed) {
        bytes->length = before;
    }
}

char *bytes_take(struct bytes *bytes, size_t *out_length)
{
    char *at = bytes->at;
    *out_length = bytes->length;
    *bytes = (struct bytes){.cap = bytes->cap};
    return at;
}
