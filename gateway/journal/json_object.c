/*
 * RFC 8259 as a recursive descent that keeps nothing. A value that is not JSON would make the frame it is in
 * unreadable for every viewer; the texts are our own, but anybody can write into a Redis.
 */
#include "journal/json_object.h"

#include <stdint.h>
#include <string.h>

#include "protocol/bytes.h"

struct scan {
    const unsigned char *at, *end;
};

static bool value_scan(struct scan *scan, int depth);

static void space_skip(struct scan *scan)
{
    while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) && *scan->at) {
        scan->at++;
    }
}

static bool byte_take(struct scan *scan, char byte)
{
    if (scan->at < scan->end && *scan->at == (unsigned char)byte) {
        scan->at++;
        return true;
    }
    return false;
}

/* One character of UTF-8. */
static bool multibyte_take(struct scan *scan)
{
    size_t length = utf8_sequence(scan->at, (size_t)(scan->end - scan->at));
    scan->at += length;
    return length > 0;
}

static bool hex4_take(struct scan *scan)
{
    for (int i = 0; i < 4; i++, scan->at++) {
        if (scan->at == scan->end || !*scan->at || !strchr("0123456789abcdefABCDEF", *scan->at)) {
            return false;
        }
    }
    return true;
}

static bool escape_take(struct scan *scan)
{
    if (byte_take(scan, 'u')) {
        return hex4_take(scan);
    }
    if (scan->at == scan->end || !*scan->at || !strchr("\"\\/bfnrt", *scan->at)) {
        return false;
    }
    scan->at++;
    return true;
}

static bool string_scan(struct scan *scan)
{
    if (!byte_take(scan, '"')) {
        return false;
    }
    while (scan->at < scan->end) {
        unsigned char byte = *scan->at;
        if (byte < 0x20) {
            return false;
        }
        if (byte >= 0x80) {
            if (!multibyte_take(scan)) {
                return false;
            }
            continue;
        }
        scan->at++;
        if (byte == '"') {
            return true;
        }
        if (byte == '\\' && !escape_take(scan)) {
            return false;
        }
    }
    return false;
}

static size_t digits_skip(struct scan *scan)
{
    const unsigned char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return (size_t)(scan->at - from);
}

static bool number_scan(struct scan *scan)
{
    (void)byte_take(scan, '-'); /* optional */
    if (!byte_take(scan, '0') && digits_skip(scan) == 0) {
        return false;
    }
    if (byte_take(scan, '.') && digits_skip(scan) == 0) {
        return false;
    }
    if (byte_take(scan, 'e') || byte_take(scan, 'E')) {
        if (!byte_take(scan, '+')) {
            (void)byte_take(scan, '-'); /* optional */
        }
        return digits_skip(scan) > 0;
    }
    return true;
}

static bool word_take(struct scan *scan, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0) {
        return false;
    }
    scan->at += length;
    return true;
}

/* The inside of an object or array, its opening bracket taken. */
static bool members_scan(struct scan *scan, char closing, int depth)
{
    space_skip(scan);
    if (byte_take(scan, closing)) {
        return true;
    }
    do {
        space_skip(scan);
        if (closing == '}') {
            if (!string_scan(scan)) {
                return false;
            }
            space_skip(scan);
            if (!byte_take(scan, ':')) {
                return false;
            }
        }
        if (!value_scan(scan, depth)) {
            return false;
        }
    } while (byte_take(scan, ','));
    return byte_take(scan, closing);
}

/* With the space around it. */
static bool value_scan(struct scan *scan, int depth)
{
    space_skip(scan);
    bool is_good = false;
    if (byte_take(scan, '{')) {
        is_good = depth < JSON_OBJECT_MAX_DEPTH && members_scan(scan, '}', depth + 1);
    } else if (byte_take(scan, '[')) {
        is_good = depth < JSON_OBJECT_MAX_DEPTH && members_scan(scan, ']', depth + 1);
    } else if (scan->at < scan->end && *scan->at == '"') {
        is_good = string_scan(scan);
    } else {
        is_good = word_take(scan, "true") || word_take(scan, "false") || word_take(scan, "null") ||
                  number_scan(scan);
    }
    space_skip(scan);
    return is_good;
}

bool text_is_json_object(const char *text, size_t length)
{
    struct scan scan = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + length};
    return length >= 2 && text[0] == '{' && text[length - 1] == '}' && value_scan(&scan, 0) &&
           scan.at == scan.end;
}

bool text_is_printable(const char *text, size_t length)
{
    struct scan scan = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + length};
    while (scan.at < scan.end) {
        if (*scan.at < 0x20 || *scan.at == 0x7f) {
            return false;
        }
        if (*scan.at < 0x80) {
            scan.at++;
        } else if (!multibyte_take(&scan)) {
            return false;
        }
    }
    return length > 0;
}
