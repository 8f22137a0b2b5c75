/*
 * The door: a decoded change meets its definition. What passes is written as the value's JSON text in the same
 * step, so nothing can be sent that was not checked. Numbers are written with 15 significant digits, money as
 * a decimal string of fixed scale that never was a double, rows in the order of their columns. The buffer is
 * left as it was when a change is refused.
 */
#include "catalog/catalog.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

enum {
    TEXT_MAX_BYTES = 1024,     /* text column or text value */
    STATE_WORD_MAX_BYTES = 64, /* state column */
    DECIMAL_TEXT_BYTES = 48,   /* 15 digits, sign, point, up to DECIMALS_MAX zeros */
    SHOWN_MAX_BYTES = 48,      /* of a producer's own words in a detail */
};

/** One change on its way through the door. */
struct admission {
    const struct kpi *kpi;
    const struct change *change;
    struct bytes *text;
    struct admitted_value *value;
    char *detail; /* REASON_MAX_BYTES + 1 */
};

static enum result refuse(struct admission *door, enum result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum result refuse(struct admission *door, enum result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(door->detail, REASON_MAX_BYTES + 1, format, arguments); /* a longer detail is cut */
    va_end(arguments);
    /* A cut can leave a torn character, and words of the producer can hold control characters. */
    for (char *at = door->detail; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) {
            *at = '?';
        }
    }
    return result;
}

static const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* ---- writing ---- */

static void write_name(struct bytes *text, const char *name)
{
    char last = text->length > 0 ? text->at[text->length - 1] : '{';
    if (last != '{') {
        bytes_append_byte(text, ',');
    }
    bytes_append_json_string(text, name, strlen(name));
    bytes_append_byte(text, ':');
}

static void write_text(struct bytes *text, const char *value)
{
    bytes_append_json_string(text, value, strlen(value));
}

/** Whole numbers up to 2^53 - 1 print exactly, which takes 16 digits; everything else has 15. */
static void write_number(struct bytes *text, double number)
{
    bool is_exact = fabs(number) <= (double)INTEGER_MAX_EXACT && number == nearbyint(number);
    bytes_append_format(text, is_exact ? "%.0f" : "%.15g", number == 0.0 ? 0.0 : number); /* no "-0" */
}

/* ---- single numbers ---- */

static enum result check_range(struct admission *door, const char *name, double number)
{
    const struct kpi *kpi = door->kpi;
    if (!isfinite(number)) {
        return refuse(door, RESULT_OUT_OF_RANGE, "%s is not a finite number", name);
    }
    if (kpi->has_range && number > kpi->range_high) {
        return refuse(door, RESULT_OUT_OF_RANGE, "%s %.15g is above %.15g", name, number, kpi->range_high);
    }
    if (kpi->has_range && number < kpi->range_low) {
        return refuse(door, RESULT_OUT_OF_RANGE, "%s %.15g is below %.15g", name, number, kpi->range_low);
    }
    return RESULT_OK;
}

static enum result check_whole(struct admission *door, const char *name, double number)
{
    if (!(fabs(number) <= (double)INTEGER_MAX_EXACT)) {
        return refuse(door, RESULT_OUT_OF_RANGE, "%s is beyond the integers that stay exact", name);
    }
    if (number != nearbyint(number)) {
        return refuse(door, RESULT_WRONG_TYPE, "%s %.15g must be a whole number", name, number);
    }
    return RESULT_OK;
}

/** A plain (not money) number of a KPI: scaled, not yet written. */
static enum result read_number(struct admission *door, const char *name, const json_t *json,
                               double *out_number)
{
    if (!json_is_number(json)) {
        return refuse(door, RESULT_WRONG_TYPE, "%s must be a number, not %s", name, json_kind(json));
    }
    double number = json_number_value(json) * door->kpi->scale;
    if (!isfinite(number)) {
        return refuse(door, RESULT_OUT_OF_RANGE, "%s is not a finite number", name);
    }
    *out_number = number;
    return RESULT_OK;
}

/** Money as text and, for thresholds and ranges only, as a double. */
static enum result read_money(struct admission *door, const char *name, const json_t *json, int decimals,
                              char out_text[DECIMAL_TEXT_BYTES], double *out_number)
{
    enum result result = decimal_normalise(json, decimals, out_text, DECIMAL_TEXT_BYTES);
    if (result == RESULT_WRONG_TYPE) {
        return refuse(door, result, "%s must be a decimal such as \"1284300.50\"", name);
    }
    if (result != RESULT_OK) {
        return refuse(door, result, "%s has more than 15 digits or more than %d decimals", name, decimals);
    }
    *out_number = strtod(out_text, NULL);
    return RESULT_OK;
}

/** `v`, `target` or `base` of a number: read, and written as a member. */
static enum result write_amount(struct admission *door, const char *member, const char *name,
                                const json_t *json, bool is_value, double *out_number)
{
    const struct kpi *kpi = door->kpi;
    char decimal[DECIMAL_TEXT_BYTES] = "";
    bool is_money = kpi->unit == UNIT_MONEY;
    double number = 0.0;
    enum result result = is_money ? read_money(door, name, json, kpi->decimals, decimal, &number)
                                  : read_number(door, name, json, &number);
    if (result == RESULT_OK && is_value && kpi->unit == UNIT_INTEGER) {
        result = check_whole(door, name, number);
    }
    if (result == RESULT_OK && is_value) {
        result = check_range(door, name, number);
    }
    if (result != RESULT_OK) {
        return result;
    }
    write_name(door->text, member);
    if (is_money) {
        write_text(door->text, decimal);
    } else {
        write_number(door->text, number);
    }
    *out_number = number;
    return RESULT_OK;
}

static enum result admit_text(struct admission *door)
{
    const char *text = json_string_value(door->change->value);
    if (!text) {
        return refuse(door, RESULT_WRONG_TYPE, "value must be a text, not %s",
                      json_kind(door->change->value));
    }
    if (strlen(text) > TEXT_MAX_BYTES) {
        return refuse(door, RESULT_TOO_BIG, "value is longer than %d bytes", TEXT_MAX_BYTES);
    }
    write_name(door->text, "v");
    write_text(door->text, text);
    return RESULT_OK;
}

static enum result admit_number(struct admission *door)
{
    if (door->kpi->unit == UNIT_TEXT) {
        return admit_text(door);
    }
    enum result result = write_amount(door, "v", "value", door->change->value, true, &door->value->number);
    door->value->has_number = result == RESULT_OK;
    return result;
}

static enum result admit_ratio(struct admission *door)
{
    const struct change *change = door->change;
    const struct kpi *kpi = door->kpi;
    bool takes_ratio = (kpi->type == KPI_GAUGE || kpi->type == KPI_COUNTER) && kpi->unit != UNIT_TEXT &&
                       kpi->unit != UNIT_MONEY && kpi->unit != UNIT_INTEGER;
    if (!takes_ratio) {
        return refuse(door, RESULT_WRONG_TYPE, "num and den are for ratios; this KPI takes a value");
    }
    if (change->denominator != 0.0) {
        double quotient = change->numerator / change->denominator;
        enum result result = check_range(door, "num / den", quotient);
        if (result != RESULT_OK) {
            return result;
        }
        write_name(door->text, "v");
        write_number(door->text, quotient);
        door->value->has_number = true;
        door->value->number = quotient;
    }
    write_name(door->text, "num");
    write_number(door->text, change->numerator);
    write_name(door->text, "den");
    write_number(door->text, change->denominator);
    return RESULT_OK;
}

/* ---- states and mixes ---- */

static enum result admit_state(struct admission *door)
{
    const struct kpi *kpi = door->kpi;
    const char *word = json_string_value(door->change->value);
    if (!word) {
        return refuse(door, RESULT_WRONG_TYPE, "value must be a state's name, not %s",
                      json_kind(door->change->value));
    }
    for (size_t i = 0; i < kpi->state_count; i++) {
        if (strcmp(kpi->states[i], word) == 0) {
            write_name(door->text, "v");
            write_text(door->text, word);
            door->value->has_number = true;
            door->value->number = (double)kpi->state_levels[i];
            return RESULT_OK;
        }
    }
    return refuse(door, RESULT_OUT_OF_RANGE, "\"%.*s\" is not a state of this KPI", SHOWN_MAX_BYTES, word);
}

static bool has_part(const struct kpi *kpi, const char *key)
{
    for (size_t i = 0; i < kpi->part_count; i++) {
        if (strcmp(kpi->parts[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static enum result refuse_unknown_parts(struct admission *door)
{
    const char *key;
    json_t *part;
    json_object_foreach(door->change->value, key, part) {
        if (!has_part(door->kpi, key)) {
            return refuse(door, RESULT_UNKNOWN_FIELD, "\"%.*s\" is not a part of this mix", SHOWN_MAX_BYTES,
                          key);
        }
    }
    return RESULT_OK;
}

/** Every part is required: a mix with a hole would show wrong shares. */
static enum result admit_mix(struct admission *door)
{
    const struct kpi *kpi = door->kpi;
    if (!json_is_object(door->change->value)) {
        return refuse(door, RESULT_WRONG_TYPE, "value must be an object of parts, not %s",
                      json_kind(door->change->value));
    }
    enum result result = refuse_unknown_parts(door);
    if (result != RESULT_OK) {
        return result;
    }
    write_name(door->text, "v");
    bytes_append_byte(door->text, '{');
    for (size_t i = 0; i < kpi->part_count; i++) {
        const json_t *part = json_object_get(door->change->value, kpi->parts[i]);
        if (!part) {
            return refuse(door, RESULT_MISSING_FIELD, "part \"%s\" is missing", kpi->parts[i]);
        }
        double number = 0.0;
        result = write_amount(door, kpi->parts[i], kpi->parts[i], part, true, &number);
        if (result != RESULT_OK) {
            return result;
        }
    }
    bytes_append_byte(door->text, '}');
    return RESULT_OK;
}

/* ---- rows ---- */

static enum result write_word(struct admission *door, const struct kpi_column *column, const json_t *json,
                              size_t most)
{
    const char *word = json_string_value(json);
    if (!word) {
        return refuse(door, RESULT_WRONG_TYPE, "column \"%s\" must be a text, not %s", column->key,
                      json_kind(json));
    }
    if (strlen(word) > most) {
        return refuse(door, RESULT_TOO_BIG, "column \"%s\" is longer than %zu bytes", column->key, most);
    }
    write_name(door->text, column->key);
    write_text(door->text, word);
    return RESULT_OK;
}

static enum result write_severity(struct admission *door, const struct kpi_column *column, const json_t *json)
{
    static const char *const severities[] = {"info", "warning", "critical"};
    const char *word = json_string_value(json);
    for (size_t i = 0; word && i < sizeof severities / sizeof *severities; i++) {
        if (strcmp(word, severities[i]) == 0) {
            return write_word(door, column, json, STATE_WORD_MAX_BYTES);
        }
    }
    return refuse(door, word ? RESULT_OUT_OF_RANGE : RESULT_WRONG_TYPE,
                  "column \"%s\" must be \"info\", \"warning\" or \"critical\"", column->key);
}

static enum result write_time(struct admission *door, const struct kpi_column *column, const json_t *json)
{
    int64_t time_ms = json_integer_value(json);
    if (json_is_string(json)) {
        if (time_parse(json_string_value(json), &time_ms) != RESULT_OK) {
            return refuse(door, RESULT_WRONG_TYPE, "column \"%s\" is not an RFC 3339 time", column->key);
        }
    } else if (!json_is_integer(json)) {
        return refuse(door, RESULT_WRONG_TYPE, "column \"%s\" must be Unix ms or an RFC 3339 time",
                      column->key);
    }
    if (time_ms < 0 || time_ms > INTEGER_MAX_EXACT) {
        return refuse(door, RESULT_OUT_OF_RANGE, "column \"%s\" is not a time", column->key);
    }
    write_name(door->text, column->key);
    bytes_append_i64(door->text, time_ms);
    return RESULT_OK;
}

static enum result write_money_cell(struct admission *door, const struct kpi_column *column,
                                    const json_t *json)
{
    char decimal[DECIMAL_TEXT_BYTES] = "";
    double number = 0.0;
    enum result result = read_money(door, column->key, json, column->decimals, decimal, &number);
    if (result == RESULT_OK) {
        write_name(door->text, column->key);
        write_text(door->text, decimal);
    }
    return result;
}

static enum result write_number_cell(struct admission *door, const struct kpi_column *column,
                                     const json_t *json)
{
    if (!json_is_number(json)) {
        return refuse(door, RESULT_WRONG_TYPE, "column \"%s\" must be a number, not %s", column->key,
                      json_kind(json));
    }
    double number = json_number_value(json);
    if (column->unit == UNIT_INTEGER) {
        enum result result = check_whole(door, column->key, number);
        if (result != RESULT_OK) {
            return result;
        }
    }
    write_name(door->text, column->key);
    write_number(door->text, number);
    return RESULT_OK;
}

static enum result write_cell(struct admission *door, const struct kpi_column *column, const json_t *json)
{
    switch (column->unit) {
    case UNIT_TEXT:
        return write_word(door, column, json, TEXT_MAX_BYTES);
    case UNIT_STATE:
        return write_word(door, column, json, STATE_WORD_MAX_BYTES);
    case UNIT_SEVERITY:
        return write_severity(door, column, json);
    case UNIT_TIME:
        return write_time(door, column, json);
    case UNIT_MONEY:
        return write_money_cell(door, column, json);
    case UNIT_NUMBER:
    case UNIT_INTEGER:
    case UNIT_PERCENT:
    case UNIT_SCORE:
    case UNIT_MS:
    case UNIT_S:
    case UNIT_BYTES:
    case UNIT_PER_SECOND:
    case UNIT_PER_MINUTE:
    case UNIT_DAYS:
    case UNIT_DURATION:
        return write_number_cell(door, column, json);
    case UNIT_NONE:
    case KPI_UNIT_COUNT:
        break;
    }
    return refuse(door, RESULT_WRONG_TYPE, "column \"%s\" has no unit", column->key);
}

static bool has_column(const struct kpi *kpi, const char *key)
{
    for (size_t i = 0; i < kpi->column_count; i++) {
        if (strcmp(kpi->columns[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static enum result refuse_unknown_columns(struct admission *door)
{
    const char *key;
    json_t *cell;
    json_object_foreach(door->change->value, key, cell) {
        if (!has_column(door->kpi, key)) {
            return refuse(door, RESULT_UNKNOWN_FIELD, "\"%.*s\" is not a column of this KPI", SHOWN_MAX_BYTES,
                          key);
        }
    }
    return RESULT_OK;
}

/** A null cell is an absent cell: there is no value. */
static enum result admit_row(struct admission *door)
{
    const struct kpi *kpi = door->kpi;
    if (!json_is_object(door->change->value)) {
        return refuse(door, RESULT_WRONG_TYPE, "a row must be an object of columns, not %s",
                      json_kind(door->change->value));
    }
    enum result result = refuse_unknown_columns(door);
    write_name(door->text, "v");
    bytes_append_byte(door->text, '{');
    for (size_t i = 0; i < kpi->column_count && result == RESULT_OK; i++) {
        const struct kpi_column *column = &kpi->columns[i];
        const json_t *cell = json_object_get(door->change->value, column->key);
        if (cell && !json_is_null(cell)) {
            result = write_cell(door, column, cell);
        } else if (column->is_required) {
            result = refuse(door, RESULT_MISSING_FIELD, "column \"%s\" is missing", column->key);
        }
    }
    bytes_append_byte(door->text, '}');
    return result;
}

/* ---- the whole value ---- */

static enum result admit_value(struct admission *door)
{
    switch (door->kpi->type) {
    case KPI_GAUGE:
    case KPI_COUNTER:
        return admit_number(door);
    case KPI_STATE:
        return admit_state(door);
    case KPI_MIX:
        return admit_mix(door);
    case KPI_TABLE:
    case KPI_FEED:
    case KPI_SERIES:
        return admit_row(door);
    case KPI_TYPE_COUNT:
        break;
    }
    return refuse(door, RESULT_WRONG_TYPE, "this KPI takes no value");
}

static enum result admit_content(struct admission *door)
{
    const struct change *change = door->change;
    if (change->has_ratio) {
        return admit_ratio(door);
    }
    if (change->value && change->state == VALUE_NO_DATA) {
        return refuse(door, RESULT_WRONG_TYPE, "\"nodata\" cannot come with a value");
    }
    return change->value ? admit_value(door) : RESULT_OK;
}

/** Nothing to show is no data, whatever the producer calls it. */
static enum value_state state_of(const struct change *change)
{
    bool has_value = change->has_ratio ? change->denominator != 0.0 : change->value != NULL;
    bool says_why = change->state == VALUE_INVALID || change->state == VALUE_UNREACHABLE;
    return has_value || says_why ? change->state : VALUE_NO_DATA;
}

static enum result admit_as_of(struct admission *door, int64_t now_ms)
{
    const struct change *change = door->change;
    int64_t as_of_ms = change->has_as_of ? change->as_of_ms : now_ms;
    if (as_of_ms > now_ms + FUTURE_AS_OF_MAX_MS) {
        return refuse(door, RESULT_FUTURE, "as_of is %lld s ahead of the gateway's clock",
                      (long long)((as_of_ms - now_ms) / 1000));
    }
    door->value->as_of_ms = as_of_ms;
    write_name(door->text, "as_of");
    bytes_append_i64(door->text, as_of_ms);
    return RESULT_OK;
}

static enum result admit_reference(struct admission *door, const char *member, const json_t *json,
                                   bool *out_is_there, double *out_number)
{
    const struct kpi *kpi = door->kpi;
    bool takes_reference = (kpi->type == KPI_GAUGE || kpi->type == KPI_COUNTER) && kpi->unit != UNIT_TEXT;
    if (!json) {
        return RESULT_OK;
    }
    if (!takes_reference) {
        return refuse(door, RESULT_WRONG_TYPE, "only a number has a %s", member);
    }
    enum result result = write_amount(door, member, member, json, false, out_number);
    *out_is_there = result == RESULT_OK;
    return result;
}

static void write_state(struct admission *door)
{
    const struct change *change = door->change;
    enum value_state state = door->value->state;
    if (state == VALUE_OK) {
        return;
    }
    const char *reason = change->reason;
    if (reason[0] == '\0' && state == VALUE_NO_DATA) {
        reason = change->has_ratio ? "the denominator is 0" : "the source has no value";
    }
    write_name(door->text, "state");
    write_text(door->text, value_state_name(state));
    if (reason[0] != '\0') {
        write_name(door->text, "reason");
        write_text(door->text, reason);
    }
}

static void write_origin(struct admission *door)
{
    const struct change *change = door->change;
    if (change->has_version && !change->is_version_hidden) {
        write_name(door->text, "ver");
        bytes_append_u64(door->text, change->version);
    }
    if (change->is_demo) {
        write_name(door->text, "demo");
        bytes_append_text(door->text, "true");
    }
}

static enum result admit(struct admission *door, int64_t now_ms)
{
    const struct change *change = door->change;
    struct admitted_value *value = door->value;
    bytes_append_byte(door->text, '{');
    value->state = state_of(change);
    enum result result = admit_as_of(door, now_ms); /* first, then the state: value_peek() relies on it */
    if (result == RESULT_OK) {
        write_state(door);
        result = admit_content(door);
    }
    if (result == RESULT_OK) {
        result = admit_reference(door, "target", change->target, &value->has_target, &value->target);
    }
    if (result == RESULT_OK) {
        result = admit_reference(door, "base", change->base, &value->has_base, &value->base);
    }
    if (result == RESULT_OK) {
        write_origin(door);
    }
    return result;
}

/** A deletion has no value to write; only rows of a table can go. */
static enum result admit_deletion(struct admission *door, int64_t now_ms)
{
    if (door->kpi->type != KPI_TABLE) {
        return refuse(door, RESULT_WRONG_TYPE, "only rows of a table can be deleted");
    }
    door->value->state = VALUE_NO_DATA;
    door->value->as_of_ms = door->change->has_as_of ? door->change->as_of_ms : now_ms;
    return RESULT_OK;
}

enum result catalog_admit(const struct kpi *kpi, const struct change *change, int64_t now_ms,
                          struct bytes *out_text, struct admitted_value *out_value,
                          char out_detail[REASON_MAX_BYTES + 1])
{
    size_t start = out_text->length;
    struct admitted_value value = {.state = change->state};
    struct admission door = {
        .kpi = kpi, .change = change, .text = out_text, .value = &value, .detail = out_detail};
    if (bytes_failed(out_text)) {
        return refuse(&door, RESULT_NO_MEMORY, "no room for the value");
    }
    enum result result = change->is_delete ? admit_deletion(&door, now_ms) : admit(&door, now_ms);
    if (result == RESULT_OK && bytes_failed(out_text)) {
        result = refuse(&door, RESULT_NO_MEMORY, "no room for the value");
    } else if (result == RESULT_OK && out_text->length - start > VALUE_MAX_BYTES) {
        result = refuse(&door, RESULT_TOO_BIG, "the value is larger than %d bytes", VALUE_MAX_BYTES);
    }
    if (result != RESULT_OK) {
        out_text->length = start;
        return result;
    }
    *out_value = value;
    return RESULT_OK;
}
