/*
 * Text is cut into words and what lies between them; what lies between is copied. A word is looked at whole, so that
 * no part of it stays when the rest goes.
 */
#include "views/masking.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

enum { PHONE_DIGITS_MIN = 7 };

#define ALL_MASKED "***"

/** The code point at `at` and how long it is; bytes that are not UTF-8 count one by one, as U+FFFD. */
static uint32_t code_point(const char *at, const char *end, size_t *out_length)
{
    const unsigned char *byte = (const unsigned char *)at;
    size_t length = utf8_sequence(byte, (size_t)(end - at));
    *out_length = length > 0 ? length : 1;
    switch (length) {
    case 1:
        return byte[0];
    case 2:
        return (byte[0] & 0x1fU) << 6 | (byte[1] & 0x3fU);
    case 3:
        return (byte[0] & 0x0fU) << 12 | (byte[1] & 0x3fU) << 6 | (byte[2] & 0x3fU);
    case 4:
        return (byte[0] & 0x07U) << 18 | (byte[1] & 0x3fU) << 12 | (byte[2] & 0x3fU) << 6 | (byte[3] & 0x3fU);
    default:
        return 0xfffd;
    }
}

static bool is_digit(uint32_t point)
{
    return point >= '0' && point <= '9';
}

/** Lower-case letters of Latin, Greek and Cyrillic. What is left out is masked: an error to that side is harmless. */
static bool is_lower(uint32_t point)
{
    if (point < 0x80) {
        return point >= 'a' && point <= 'z';
    }
    if (point <= 0xff) {
        return point >= 0xdf && point != 0xf7;
    }
    if (point <= 0x17f) { /* pairs: capital first, from an even or from an odd number */
        bool is_odd_pair = (point >= 0x139 && point <= 0x148) || (point >= 0x179 && point <= 0x17e);
        return is_odd_pair ? point % 2 == 0 : point % 2 == 1 && point != 0x178;
    }
    return (point >= 0x3ac && point <= 0x3ce) || (point >= 0x430 && point <= 0x45f);
}

static bool is_upper(uint32_t point)
{
    if (point < 0x80) {
        return point >= 'A' && point <= 'Z';
    }
    if (point <= 0x17f) {
        return point >= 0xc0 && point != 0xd7 && !is_lower(point);
    }
    return (point >= 0x386 && point <= 0x3ab) || (point >= 0x400 && point <= 0x42f);
}

/** What stands between words. Everything beyond ASCII is part of a word, but for spaces and signs. */
static bool is_between(uint32_t point)
{
    if (point < 0x80) {
        bool is_letter = is_lower(point) || is_upper(point);
        return !is_letter && !is_digit(point) && point != '@' && point != '\'' && point != '-' &&
               point != '_';
    }
    return (point >= 0x80 && point <= 0xbf && point != 0xaa && point != 0xb5 && point != 0xba) ||
           (point >= 0x2000 && point <= 0x206f && point != 0x2019) || (point >= 0x3000 && point <= 0x303f);
}

/** May stand within a telephone number, between its digits. */
static bool is_phone_sign(char byte)
{
    return byte != '\0' && strchr(" .-/()+", byte) != NULL;
}

/** How long the number at `at` is that must not be seen; 0: there is none. */
static size_t phone_length(const char *at, const char *end)
{
    size_t digits = 0;
    const char *last = at;
    for (const char *next = at; next < end && (is_digit((unsigned char)*next) || is_phone_sign(*next));
         next++) {
        if (is_digit((unsigned char)*next)) {
            digits++;
            last = next + 1;
        }
    }
    return digits >= PHONE_DIGITS_MIN ? (size_t)(last - at) : 0;
}

struct word {
    size_t length;
    uint32_t first;
    bool has_at;       /* an e-mail address, or a name on some network */
    bool is_all_lower; /* letters, but for hyphens and apostrophes within */
    bool is_number;    /* digits only */
};

/** An address goes on over dots, which otherwise end a word. */
static bool is_dot_within(const char *at, const char *end)
{
    size_t length = 0;
    return (*at == '.' || *at == '+') && at + 1 < end && !is_between(code_point(at + 1, end, &length));
}

static struct word word_at(const char *at, const char *end)
{
    struct word word = {.is_all_lower = true, .is_number = true};
    for (const char *next = at; next < end;) {
        size_t length = 0;
        uint32_t point = code_point(next, end, &length);
        bool is_sign = point == '\'' || point == '-' || point == 0x2019;
        if (is_between(point) && !(next > at && is_dot_within(next, end))) {
            break;
        }
        word.first = next == at ? point : word.first;
        word.has_at = word.has_at || point == '@';
        word.is_all_lower = word.is_all_lower && (is_lower(point) || is_sign || point == '.');
        word.is_number = word.is_number && (is_digit(point) || point == '.');
        next += length;
        word.length += length;
    }
    return word;
}

static void append_initial(uint32_t first, const char *at, struct bytes *out)
{
    if (is_lower(first) || is_upper(first)) {
        bytes_append(out, at, utf8_sequence((const unsigned char *)at, 4)); /* it is one: it has a case */
    }
    bytes_append_byte(out, '*');
}

/** Returns how much of the text was dealt with. */
static size_t mask_word(bool keeps_small, const char *at, const char *end, struct bytes *out)
{
    const struct word word = word_at(at, end);
    if (word.has_at) {
        bytes_append_text(out, "*@*");
    } else if (keeps_small && (word.is_all_lower || word.is_number)) {
        bytes_append(out, at, word.length);
    } else {
        append_initial(word.first, at, out);
    }
    return word.length;
}

static void mask_words(bool keeps_small, const char *text, size_t length, struct bytes *out)
{
    const char *end = text + length;
    for (const char *at = text; at < end;) {
        size_t step = 0;
        size_t phone = is_digit((unsigned char)*at) || *at == '+' || *at == '(' ? phone_length(at, end) : 0;
        if (phone > 0) {
            bytes_append_byte(out, '*');
            step = phone;
        } else if (is_between(code_point(at, end, &step))) {
            bytes_append(out, at, step);
        } else {
            step = mask_word(keeps_small, at, end, out);
        }
        at += step;
    }
}

void mask_text(enum text_mask mask, const char *text, size_t length, struct bytes *out)
{
    if (mask == MASK_ALL) {
        bytes_append_text(out, ALL_MASKED);
    } else {
        mask_words(mask == MASK_PROSE, text, length, out);
    }
}

/* ---- values ---- */

/** NULL: memory ran out. */
static json_t *masked_string(enum text_mask mask, const json_t *text)
{
    struct bytes masked;
    bytes_init(&masked, 2 * json_string_length(text) + sizeof ALL_MASKED);
    mask_text(mask, json_string_value(text), json_string_length(text), &masked);
    json_t *string = bytes_failed(&masked) ? NULL : json_stringn(masked.at ? masked.at : "", masked.length);
    bytes_finish(&masked);
    return string;
}

/** The cells of a row that may be seen, each as it may be seen. NULL: memory ran out. */
static json_t *masked_row(const struct kpi *kpi, unsigned plain, const json_t *row)
{
    json_auto_t *seen = json_object();
    for (size_t i = 0; seen && i < kpi->column_count; i++) {
        const struct kpi_column *column = &kpi->columns[i];
        json_t *cell = json_object_get(row, column->key);
        bool is_plain = (plain >> column->privacy & 1U) != 0;
        if (!cell || (!is_plain && !(column->unit == UNIT_TEXT && json_is_string(cell)))) {
            continue;
        }
        json_t *shown = is_plain ? json_incref(cell) : masked_string(column->mask, cell);
        if (json_object_set_new(seen, column->key, shown) != 0) {
            return NULL;
        }
    }
    return TAKE(seen);
}

static json_t *masked_content(const struct kpi *kpi, unsigned plain, const json_t *content)
{
    return json_is_object(content) ? masked_row(kpi, plain, content) : masked_string(kpi->mask, content);
}

/** false: memory ran out. */
static bool copy_members(json_t *to, const json_t *from)
{
    static const char *const open_members[] = {"as_of", "state", "level", "ver", "demo"};
    for (size_t i = 0; i < sizeof open_members / sizeof *open_members; i++) {
        json_t *member = json_object_get(from, open_members[i]);
        bool is_single = member && !json_is_object(member) && !json_is_array(member);
        if (is_single && json_object_set(to, open_members[i], member) != 0) {
            return false;
        }
    }
    return !json_object_get(from, "reason") ||
           json_object_set_new(to, "reason", json_string(ALL_MASKED)) == 0;
}

bool mask_value(const struct kpi *kpi, unsigned plain, const char *value, size_t length, struct bytes *out)
{
    json_auto_t *given = json_loadb(value, length, 0, NULL);
    json_auto_t *shown = json_object();
    const json_t *content = json_object_get(given, "v");
    if (!json_is_object(given) || (content && !json_is_object(content) && !json_is_string(content))) {
        return false;
    }
    bool is_whole = shown && copy_members(shown, given);
    if (is_whole && content) {
        is_whole = json_object_set_new(shown, "v", masked_content(kpi, plain, content)) == 0;
    }
    char *text = is_whole ? json_dumps(shown, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    if (text) {
        bytes_append_text(out, text);
    } else {
        out->failed = true;
    }
    free(text);
    return text != NULL;
}
