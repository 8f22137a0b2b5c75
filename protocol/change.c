/*
 * Decode what a producer says. Everything that can be judged without the
 * catalogue is judged here: the members and their types, the field's syntax,
 * that the change says exactly one thing, and that every number can be kept
 * exactly by every reader. Clocks are not read: "too far in the future" is
 * the pipeline's question.
 *
 * Unlike readers of kpi.v1, this decoder refuses unknown members: a producer
 * that misspells `version` would lose its ordering without noticing.
 */
#include "protocol/change.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- states ---- */

static const char *const state_names[VALUE_STATE_COUNT] = {
    [VALUE_OK] = "ok",           [VALUE_PARTIAL] = "partial",         [VALUE_NO_DATA] = "nodata",
    [VALUE_INVALID] = "invalid", [VALUE_UNREACHABLE] = "unreachable",
};

const char *value_state_name(enum value_state state)
{
    assert((unsigned)state < VALUE_STATE_COUNT);
    return state_names[state];
}

enum result value_state_parse(const char *text, enum value_state *out_state)
{
    for (int state = 0; state < VALUE_STATE_COUNT; state++) {
        if (strcmp(text, state_names[state]) == 0) {
            *out_state = (enum value_state)state;
            return RESULT_OK;
        }
    }
    return RESULT_OUT_OF_RANGE;
}

/* ---- decimals ---- */

enum { SIGNIFICANT_DIGITS_MAX = 15 };

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/** A decimal as its text: which digits count, after leading and trailing zeros are set aside. */
struct decimal {
    bool is_negative;
    const char *whole; /* without leading zeros, maybe empty */
    size_t whole_length;
    const char *fraction; /* without trailing zeros, maybe empty */
    size_t fraction_length;
};

static enum result decimal_parse(const char *text, struct decimal *out_decimal)
{
    struct decimal decimal = {.is_negative = text[0] == '-'};
    const char *whole = text + (decimal.is_negative ? 1 : 0);
    size_t whole_length = count_digits(whole);
    const char *rest = whole + whole_length;
    if (whole_length == 0) {
        return RESULT_WRONG_TYPE;
    }
    decimal.fraction = rest;
    if (*rest == '.') {
        decimal.fraction = rest + 1;
        decimal.fraction_length = count_digits(decimal.fraction);
        rest = decimal.fraction + decimal.fraction_length;
        if (decimal.fraction_length == 0) {
            return RESULT_WRONG_TYPE;
        }
    }
    if (*rest != '\0') {
        return RESULT_WRONG_TYPE;
    }
    while (decimal.fraction_length > 0 && decimal.fraction[decimal.fraction_length - 1] == '0') {
        decimal.fraction_length--;
    }
    size_t zeros = strspn(whole, "0");
    decimal.whole = whole + zeros;
    decimal.whole_length = whole_length - zeros;
    *out_decimal = decimal;
    return RESULT_OK;
}

static size_t significant_digits(const struct decimal *decimal)
{
    if (decimal->whole_length > 0) {
        return decimal->whole_length + decimal->fraction_length;
    }
    size_t at = 0;
    while (at < decimal->fraction_length && decimal->fraction[at] == '0') {
        at++;
    }
    return decimal->fraction_length - at;
}

static enum result decimal_print(const struct decimal *decimal, size_t decimals, char *out_text,
                                 size_t out_size)
{
    bool is_zero = decimal->whole_length == 0 && decimal->fraction_length == 0;
    bool has_sign = decimal->is_negative && !is_zero;
    size_t whole_length = decimal->whole_length > 0 ? decimal->whole_length : 1;
    size_t length = (has_sign ? 1u : 0u) + whole_length + (decimals > 0 ? 1 + decimals : 0);
    if (length >= out_size) {
        return RESULT_TOO_BIG;
    }
    char *to = out_text;
    if (has_sign) {
        *to++ = '-';
    }
    memcpy(to, decimal->whole_length > 0 ? decimal->whole : "0", whole_length);
    to += whole_length;
    if (decimals > 0) {
        *to++ = '.';
        memcpy(to, decimal->fraction, decimal->fraction_length);
        memset(to + decimal->fraction_length, '0', decimals - decimal->fraction_length);
    }
    out_text[length] = '\0';
    return RESULT_OK;
}

enum {
    REAL_TEXT_BYTES = 64, /* sign, "0.", 46 decimals at most */
    REAL_EXPONENT_MIN = -32,
};

/** A real as plain decimal text, rounded to 15 significant digits; never with an exponent. */
static enum result real_print(double value, char out_text[REAL_TEXT_BYTES])
{
    char scientific[REAL_TEXT_BYTES];
    /* 23 bytes at most. */
    (void)snprintf(scientific, sizeof scientific, "%.*e", SIGNIFICANT_DIGITS_MAX - 1, value);
    const char *exponent_text = strchr(scientific, 'e');
    int exponent = 0;
    if (!isfinite(value) || exponent_text == NULL || sscanf(exponent_text + 1, "%d", &exponent) != 1) {
        return RESULT_OUT_OF_RANGE;
    }
    if (exponent >= SIGNIFICANT_DIGITS_MAX || exponent < REAL_EXPONENT_MIN) {
        return RESULT_OUT_OF_RANGE; /* too many digits, or not zero and below any definition's decimals */
    }
    (void)snprintf(out_text, REAL_TEXT_BYTES, "%.*f", SIGNIFICANT_DIGITS_MAX - 1 - exponent, value);
    return RESULT_OK;
}

enum result decimal_normalise(const json_t *value, int decimals, char *out_text, size_t out_size)
{
    assert(decimals >= 0);
    char number[REAL_TEXT_BYTES];
    const char *text = number;
    enum result result = RESULT_OK;
    if (json_is_string(value)) {
        text = json_string_value(value);
    } else if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        result = real_print(json_real_value(value), number);
    } else {
        result = RESULT_WRONG_TYPE;
    }
    struct decimal decimal = {0};
    if (result == RESULT_OK) {
        result = decimal_parse(text, &decimal);
    }
    if (result != RESULT_OK) {
        return result;
    }
    if (significant_digits(&decimal) > SIGNIFICANT_DIGITS_MAX || decimal.fraction_length > (size_t)decimals) {
        return RESULT_OUT_OF_RANGE;
    }
    return decimal_print(&decimal, (size_t)decimals, out_text, out_size);
}

/* ---- times ---- */

/** Reads exactly `digits` digits and moves *at behind them. */
static bool read_digits(const char **at, int digits, int *out_value)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *out_value = value;
    return true;
}

static bool read_one_of(const char **at, const char *allowed, char *out_found)
{
    char c = **at;
    if (c == '\0' || strchr(allowed, c) == NULL) {
        return false;
    }
    *out_found = c;
    (*at)++;
    return true;
}

struct date_time {
    int year, month, day, hour, minute, second, ms;
    int offset_minutes; /* east of UTC */
};

static bool read_date(const char **at, struct date_time *time)
{
    char mark;
    return read_digits(at, 4, &time->year) && read_one_of(at, "-", &mark) &&
           read_digits(at, 2, &time->month) && read_one_of(at, "-", &mark) && read_digits(at, 2, &time->day);
}

static bool read_time_of_day(const char **at, struct date_time *time)
{
    char mark;
    if (!(read_digits(at, 2, &time->hour) && read_one_of(at, ":", &mark) &&
          read_digits(at, 2, &time->minute) && read_one_of(at, ":", &mark) &&
          read_digits(at, 2, &time->second))) {
        return false;
    }
    if (**at != '.') {
        return true;
    }
    const char *fraction = *at + 1;
    size_t digits = count_digits(fraction);
    for (size_t i = 0; i < 3; i++) {
        time->ms = time->ms * 10 + (i < digits ? fraction[i] - '0' : 0);
    }
    *at = fraction + digits;
    return digits > 0;
}

static bool read_zone(const char **at, struct date_time *time)
{
    char mark;
    int hours, minutes;
    if (!read_one_of(at, "Zz+-", &mark)) {
        return false;
    }
    if (mark == 'Z' || mark == 'z') {
        return true;
    }
    char colon;
    if (!(read_digits(at, 2, &hours) && read_one_of(at, ":", &colon) && read_digits(at, 2, &minutes))) {
        return false;
    }
    if (hours > 23 || minutes > 59) {
        return false;
    }
    time->offset_minutes = (hours * 60 + minutes) * (mark == '-' ? -1 : 1);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/** Days since 1970-01-01; years are counted from March so that the leap day comes last. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

enum result time_parse(const char *text, int64_t *out_ms)
{
    struct date_time time = {0};
    const char *at = text;
    char mark;
    if (!read_date(&at, &time) || !read_one_of(&at, "Tt", &mark) || !read_time_of_day(&at, &time) ||
        !read_zone(&at, &time) || *at != '\0') {
        return RESULT_MALFORMED;
    }
    if (time.month < 1 || time.month > 12 || time.day < 1 ||
        time.day > days_in_month(time.year, time.month) || time.hour > 23 || time.minute > 59 ||
        time.second > 60) {
        return RESULT_OUT_OF_RANGE;
    }
    /* A leap second (:60) counts as the second after it, as in POSIX time. */
    int64_t minutes = (int64_t)time.hour * 60 + time.minute - time.offset_minutes;
    int64_t seconds = days_from_date(time.year, time.month, time.day) * 86400 + minutes * 60 + time.second;
    *out_ms = seconds * 1000 + time.ms;
    return RESULT_OK;
}

/* ---- fields ---- */

static size_t span_words(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

/** Length of the KPI id at the start of text: a word, then one or more of ".word". 0 when there is none. */
static size_t kpi_id_length(const char *text)
{
    if (text[0] < 'a' || text[0] > 'z') {
        return 0;
    }
    size_t length = span_words(text);
    size_t words = 1;
    while (text[length] == '.') {
        size_t word = span_words(text + length + 1);
        if (word == 0) {
            return 0;
        }
        length += 1 + word;
        words++;
    }
    return words >= 2 && length <= KPI_ID_MAX_BYTES ? length : 0;
}

/** jansson only hands out UTF-8, so control characters (C0, DEL, C1) are all that is left to refuse. */
static bool is_row_key(const char *text)
{
    size_t length = strnlen(text, ROW_KEY_MAX_BYTES + 1);
    if (length == 0 || length > ROW_KEY_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool is_c1 = byte == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if (byte < 0x20 || byte == 0x7f || is_c1) {
            return false;
        }
    }
    return true;
}

static bool is_field(const char *text)
{
    size_t length = kpi_id_length(text);
    if (length == 0) {
        return false;
    }
    return text[length] == '\0' || (text[length] == '#' && is_row_key(text + length + 1));
}

/* ---- members; each reader is given its member and never sees NULL ---- */

static bool is_exact_integer(json_int_t value)
{
    return value >= -INTEGER_MAX_EXACT && value <= INTEGER_MAX_EXACT;
}

/** Is every integer in it exact, and is it no deeper than an ingest body may be? */
static enum result check_numbers(const json_t *value, int depth)
{
    if (depth > INGEST_MAX_DEPTH) {
        return RESULT_TOO_DEEP;
    }
    if (json_is_integer(value) && !is_exact_integer(json_integer_value(value))) {
        return RESULT_OUT_OF_RANGE;
    }
    enum result result = RESULT_OK;
    size_t count = json_array_size(value);
    for (size_t i = 0; i < count && result == RESULT_OK; i++) {
        result = check_numbers(json_array_get(value, i), depth + 1);
    }
    const char *key;
    json_t *member;
    /* Only reads; the macro has no const form. */
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        if (result == RESULT_OK) {
            result = check_numbers(member, depth + 1);
        }
    }
    return result;
}

static enum result read_field(const json_t *member, struct change *change)
{
    if (!json_is_string(member)) {
        return RESULT_WRONG_TYPE;
    }
    const char *field = json_string_value(member);
    if (!is_field(field)) {
        return RESULT_OUT_OF_RANGE;
    }
    memcpy(change->field, field, strlen(field) + 1);
    return RESULT_OK;
}

static enum result read_value(const json_t *member, struct change *change)
{
    if (json_is_null(member)) {
        return RESULT_OK; /* settle_state() makes it "no data" */
    }
    if (!json_is_number(member) && !json_is_string(member) && !json_is_object(member)) {
        return RESULT_WRONG_TYPE;
    }
    enum result result = check_numbers(member, 1);
    if (result != RESULT_OK) {
        return result;
    }
    size_t size = json_dumpb(member, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (size > VALUE_MAX_BYTES) {
        return RESULT_TOO_BIG;
    }
    change->value = json_incref((json_t *)(uintptr_t)member); /* a reference; the content is never changed */
    return RESULT_OK;
}

static enum result check_number_or_decimal(const json_t *member)
{
    if (json_is_number(member)) {
        return check_numbers(member, 1);
    }
    struct decimal decimal;
    if (!json_is_string(member) || decimal_parse(json_string_value(member), &decimal) != RESULT_OK) {
        return RESULT_WRONG_TYPE;
    }
    return significant_digits(&decimal) <= SIGNIFICANT_DIGITS_MAX ? RESULT_OK : RESULT_OUT_OF_RANGE;
}

static enum result read_reference(const json_t *member, json_t **out_reference)
{
    enum result result = check_number_or_decimal(member);
    if (result == RESULT_OK) {
        *out_reference = json_incref((json_t *)(uintptr_t)member);
    }
    return result;
}

static enum result read_target(const json_t *member, struct change *change)
{
    return read_reference(member, &change->target);
}

static enum result read_base(const json_t *member, struct change *change)
{
    return read_reference(member, &change->base);
}

static enum result read_part(const json_t *member, double *out_part)
{
    if (!json_is_number(member)) {
        return RESULT_WRONG_TYPE;
    }
    *out_part = json_number_value(member);
    return check_numbers(member, 1);
}

static enum result read_numerator(const json_t *member, struct change *change)
{
    return read_part(member, &change->numerator);
}

static enum result read_denominator(const json_t *member, struct change *change)
{
    return read_part(member, &change->denominator);
}

static bool is_time_ms(json_int_t value)
{
    return value >= 0 && value <= INTEGER_MAX_EXACT;
}

static enum result read_as_of(const json_t *member, struct change *change)
{
    int64_t as_of_ms;
    if (json_is_integer(member)) {
        as_of_ms = json_integer_value(member);
    } else if (json_is_string(member)) {
        enum result result = time_parse(json_string_value(member), &as_of_ms);
        if (result != RESULT_OK) {
            return result == RESULT_MALFORMED ? RESULT_WRONG_TYPE
                                              : result; /* the envelope itself is well formed */
        }
    } else {
        return RESULT_WRONG_TYPE;
    }
    if (!is_time_ms(as_of_ms)) {
        return RESULT_OUT_OF_RANGE;
    }
    change->has_as_of = true;
    change->as_of_ms = as_of_ms;
    return RESULT_OK;
}

static enum result read_version(const json_t *member, struct change *change)
{
    if (!json_is_integer(member)) {
        return RESULT_WRONG_TYPE;
    }
    json_int_t version = json_integer_value(member);
    if (version < 1 || version > INTEGER_MAX_EXACT) {
        return RESULT_OUT_OF_RANGE;
    }
    change->has_version = true;
    change->version = (uint64_t)version;
    return RESULT_OK;
}

static enum result check_point(const json_t *point)
{
    const json_t *at = json_array_get(point, 0);
    if (json_array_size(point) != 2 || !json_is_integer(at)) {
        return RESULT_WRONG_TYPE;
    }
    if (!is_time_ms(json_integer_value(at))) {
        return RESULT_OUT_OF_RANGE;
    }
    return check_number_or_decimal(json_array_get(point, 1));
}

static enum result read_points(const json_t *member, struct change *change)
{
    if (!json_is_array(member)) {
        return RESULT_WRONG_TYPE;
    }
    size_t count = json_array_size(member);
    if (count > HISTORY_POINTS_MAX) {
        return RESULT_OUT_OF_RANGE;
    }
    for (size_t i = 0; i < count; i++) {
        enum result result = check_point(json_array_get(member, i));
        if (result != RESULT_OK) {
            return result;
        }
    }
    change->points = json_incref((json_t *)(uintptr_t)member);
    return RESULT_OK;
}

static enum result read_state(const json_t *member, struct change *change)
{
    return json_is_string(member) ? value_state_parse(json_string_value(member), &change->state)
                                  : RESULT_WRONG_TYPE;
}

static enum result read_reason(const json_t *member, struct change *change)
{
    if (!json_is_string(member)) {
        return RESULT_WRONG_TYPE;
    }
    if (json_string_length(member) > REASON_MAX_BYTES) {
        return RESULT_OUT_OF_RANGE;
    }
    memcpy(change->reason, json_string_value(member), json_string_length(member) + 1);
    return RESULT_OK;
}

static enum result read_delete(const json_t *member, struct change *change)
{
    change->is_delete = json_is_true(member);
    return change->is_delete ? RESULT_OK : RESULT_WRONG_TYPE;
}

/* ---- the envelope ---- */

static const struct {
    const char *name;
    enum result (*read)(const json_t *member, struct change *change);
} members[] = {
    {"field", read_field},   {"value", read_value},     {"num", read_numerator}, {"den", read_denominator},
    {"as_of", read_as_of},   {"version", read_version}, {"target", read_target}, {"base", read_base},
    {"points", read_points}, {"state", read_state},     {"reason", read_reason}, {"delete", read_delete},
};

enum { MEMBER_COUNT = sizeof members / sizeof members[0] };

static enum result read_members(const json_t *envelope, struct change *change, const char **problem)
{
    size_t known = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const json_t *member = json_object_get(envelope, members[i].name);
        if (member == NULL) {
            continue;
        }
        known++;
        enum result result = members[i].read(member, change);
        if (result != RESULT_OK) {
            *problem = members[i].name;
            return result;
        }
    }
    if (known < json_object_size(envelope)) {
        *problem = "unknown member";
        return RESULT_UNKNOWN_TYPE;
    }
    return RESULT_OK;
}

static bool has(const json_t *envelope, const char *member)
{
    return json_object_get(envelope, member) != NULL;
}

static enum result refuse(const char *member, enum result result, const char **problem)
{
    *problem = member;
    return result;
}

/** May the state stand without a value of its own? */
static bool stands_alone(enum value_state state)
{
    return state == VALUE_NO_DATA || state == VALUE_INVALID || state == VALUE_UNREACHABLE;
}

/** A change says one thing: a value, a ratio, a deletion, or that there is no value. */
static enum result settle_content(const json_t *envelope, struct change *change, const char **problem)
{
    bool has_numerator = has(envelope, "num");
    bool has_denominator = has(envelope, "den");
    if (has_numerator != has_denominator) {
        return refuse(has_numerator ? "den" : "num", RESULT_MISSING_FIELD, problem);
    }
    change->has_ratio = has_numerator;
    if (has(envelope, "value") && has_numerator) {
        return refuse("num", RESULT_MALFORMED, problem);
    }
    if (change->is_delete) {
        bool says_more = has(envelope, "value") || has_numerator || has(envelope, "state") ||
                         has(envelope, "points") || has(envelope, "target") || has(envelope, "base");
        return says_more ? refuse("delete", RESULT_MALFORMED, problem) : RESULT_OK;
    }
    if (!has(envelope, "value") && !has_numerator && !stands_alone(change->state)) {
        return refuse("value", RESULT_MISSING_FIELD, problem);
    }
    if ((change->value != NULL || has_numerator) && stands_alone(change->state)) {
        return refuse("state", RESULT_MALFORMED, problem);
    }
    return RESULT_OK;
}

static enum result settle_state(struct change *change, const char **problem)
{
    if (change->is_delete) {
        return RESULT_OK;
    }
    if (change->has_ratio) {
        bool is_nothing = fpclassify(change->denominator) == FP_ZERO;
        if (!is_nothing && !isfinite(change->numerator / change->denominator)) {
            return refuse("den", RESULT_OUT_OF_RANGE, problem);
        }
        change->state = is_nothing ? VALUE_NO_DATA : change->state;
    } else if (change->value == NULL && !stands_alone(change->state)) {
        change->state = VALUE_NO_DATA;
    }
    return RESULT_OK;
}

enum result change_decode(const json_t *envelope, struct change *out_change, const char **out_problem)
{
    *out_problem = NULL;
    if (!json_is_object(envelope)) {
        return RESULT_MALFORMED;
    }
    if (!has(envelope, "field")) {
        return refuse("field", RESULT_MISSING_FIELD, out_problem);
    }
    struct change change = {0};
    enum result result = read_members(envelope, &change, out_problem);
    if (result == RESULT_OK) {
        result = settle_content(envelope, &change, out_problem);
    }
    if (result == RESULT_OK) {
        result = settle_state(&change, out_problem);
    }
    if (result != RESULT_OK) {
        change_finish(&change);
        return result;
    }
    *out_change = change;
    return RESULT_OK;
}

void change_finish(struct change *change)
{
    if (change == NULL) {
        return;
    }
    json_decref(change->value);
    json_decref(change->target);
    json_decref(change->base);
    json_decref(change->points);
    *change = (struct change){0};
}
