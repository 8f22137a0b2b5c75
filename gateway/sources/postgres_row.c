/*
 * A row becomes a change envelope, and the envelope goes through the same decoder as everybody else's (change_decode): what
 * is written here is only what PostgreSQL adds, the types of its columns. Numeric is never made a double on its way to
 * money. Types that cannot be read without a guess (a time without a zone, an interval, money in the server's locale)
 * are refused with the cast that mends it.
 */
#include "sources/postgres_row.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/json_depth.h"
#include "protocol/limits.h"

/** OIDs of pg_type.dat; they are part of PostgreSQL's wire protocol and never change. */
enum column_type {
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_OID = 26,
    TYPE_JSON = 114,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_MONEY = 790,
    TYPE_TEXT_ARRAY = 1009,
    TYPE_VARCHAR_ARRAY = 1015,
    TYPE_DATE = 1082,
    TYPE_TIMESTAMP = 1114,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_INTERVAL = 1186,
    TYPE_NUMERIC = 1700,
    TYPE_JSONB = 3802,
    TYPE_XID8 = 5069,
};

/** What the place a cell goes to wants. */
enum want { WANT_NUMBER, WANT_DECIMAL, WANT_TIME, WANT_TEXT };

static const char *const want_names[] = {[WANT_NUMBER] = "a number",
                                         [WANT_DECIMAL] = "a decimal",
                                         [WANT_TIME] = "a time",
                                         [WANT_TEXT] = "a text"};

/** One row on its way. */
struct reading {
    const struct kpi *kpi;
    enum postgres_row_form form;
    const struct postgres_cell *cells;
    size_t count;
    json_t *envelope; /* owned */
    json_t *row;      /* owned: columns or parts found so far; NULL: none */
    char *detail;     /* REASON_MAX_BYTES + 1 */
};

static enum result refuse(const struct reading *reading, const char *column, enum result result,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

static enum result refuse(const struct reading *reading, const char *column, enum result result,
                          const char *format, ...)
{
    char why[REASON_MAX_BYTES + 1];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments); /* a longer one is cut */
    va_end(arguments);
    (void)snprintf(reading->detail, REASON_MAX_BYTES + 1, "column \"%.63s\": %.86s", column, why);
    for (char *at = reading->detail; *at != '\0';
         at++) { /* a name is the database's own; it may hold anything */
        *at = (unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f ? '?' : *at;
    }
    return result;
}

static enum result refuse_memory(const struct reading *reading, const char *column)
{
    return refuse(reading, column, RESULT_NO_MEMORY, "no memory");
}

/* ---- times ---- */

enum {
    TIME_TEXT_MAX = 40,
    DATE_BYTES = 10, /* yyyy-mm-dd; a year beyond 9999 is no time of ours */
};

enum result postgres_time_parse(const char *text, int64_t *out_ms)
{
    size_t length = strlen(text);
    if (length < DATE_BYTES + 4 || length > TIME_TEXT_MAX || text[DATE_BYTES] != ' ') {
        return RESULT_WRONG_TYPE; /* infinity, "BC", another DateStyle */
    }
    char rfc3339[TIME_TEXT_MAX + 4];
    (void)memcpy(rfc3339, text, length + 1);
    rfc3339[DATE_BYTES] = 'T';
    bool has_whole_hours = rfc3339[length - 3] == '+' || rfc3339[length - 3] == '-';
    if (has_whole_hours) {
        (void)memcpy(rfc3339 + length, ":00", sizeof ":00");
    }
    return time_parse(rfc3339, out_ms) == RESULT_OK ? RESULT_OK : RESULT_WRONG_TYPE;
}

/* ---- cells as JSON ---- */

static enum want want_of(enum kpi_unit unit)
{
    switch (unit) {
    case UNIT_MONEY:
        return WANT_DECIMAL;
    case UNIT_TIME:
        return WANT_TIME;
    case UNIT_NONE: /* a state's word */
    case UNIT_TEXT:
    case UNIT_STATE:
    case UNIT_SEVERITY:
        return WANT_TEXT;
    default:
        return WANT_NUMBER;
    }
}

static enum result take(const struct reading *reading, const struct postgres_cell *cell, json_t *json,
                        json_t **out_json)
{
    *out_json = json;
    return json ? RESULT_OK : refuse_memory(reading, cell->name);
}

static enum result text_read(const struct reading *reading, const char *column, const char *text,
                             size_t length, json_t **out_json)
{
    *out_json = json_stringn(text, length);
    return *out_json ? RESULT_OK : refuse(reading, column, RESULT_INVALID_TEXT, "not valid UTF-8");
}

static enum result refuse_type(const struct reading *reading, const struct postgres_cell *cell,
                               enum want want, const char *remedy)
{
    return refuse(reading, cell->name, RESULT_WRONG_TYPE, "%s is wanted; %s", want_names[want], remedy);
}

static enum result integer_read(const struct reading *reading, const struct postgres_cell *cell,
                                json_t **out_json)
{
    char *end;
    double size = strtod(cell->text, &end);
    if (fabs(size) > (double)INTEGER_MAX_EXACT) {
        return refuse(reading, cell->name, RESULT_OUT_OF_RANGE,
                      "%.24s is beyond the integers that stay exact", cell->text);
    }
    return take(reading, cell, json_integer(strtoll(cell->text, NULL, 10)), out_json);
}

static bool is_finite_text(const char *text)
{
    return strpbrk(text, "NnIi") == NULL; /* "NaN", "Infinity", "-Infinity" */
}

static enum result number_read(const struct reading *reading, const struct postgres_cell *cell,
                               enum want want, json_t **out_json)
{
    if (!is_finite_text(cell->text)) {
        return refuse(reading, cell->name, RESULT_OUT_OF_RANGE, "%.10s is not a number that can be shown",
                      cell->text);
    }
    if (cell->type == TYPE_NUMERIC && want == WANT_DECIMAL) {
        return text_read(reading, cell->name, cell->text, cell->length, out_json);
    }
    if (strpbrk(cell->text, ".eE") == NULL) {
        return integer_read(reading, cell, out_json);
    }
    double number = strtod(cell->text, NULL);
    if (!isfinite(number)) {
        return refuse(reading, cell->name, RESULT_OUT_OF_RANGE, "it is too large");
    }
    return take(reading, cell, json_real(number), out_json);
}

static enum result any_number_read(const struct reading *reading, const struct postgres_cell *cell,
                                   enum want want, json_t **out_json)
{
    if (want == WANT_TEXT) {
        return text_read(reading, cell->name, cell->text, cell->length, out_json);
    }
    if (want == WANT_TIME && cell->type != TYPE_INT8) {
        return refuse_type(reading, cell, want, "send timestamptz, or Unix milliseconds as bigint");
    }
    return number_read(reading, cell, want, out_json);
}

static enum result bool_read(const struct reading *reading, const struct postgres_cell *cell, enum want want,
                             json_t **out_json)
{
    bool is_true = cell->text[0] == 't';
    if (want == WANT_TEXT) {
        return take(reading, cell, json_string(is_true ? "true" : "false"), out_json);
    }
    return want == WANT_NUMBER ? take(reading, cell, json_integer(is_true ? 1 : 0), out_json)
                               : refuse_type(reading, cell, want, "it is a boolean");
}

/** JSON null comes back as NULL with OK: no value. */
static enum result json_read(const struct reading *reading, const struct postgres_cell *cell,
                             json_t **out_json)
{
    if (json_is_deeper(cell->text, cell->length, INGEST_MAX_DEPTH)) {
        return refuse(reading, cell->name, RESULT_TOO_DEEP, "it is nested more than %d levels deep",
                      INGEST_MAX_DEPTH);
    }
    json_error_t error;
    json_t *json = json_loadb(cell->text, cell->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        return refuse(reading, cell->name, RESULT_MALFORMED, "not JSON that can be read: %.60s", error.text);
    }
    if (json_is_null(json)) {
        json_decref(json);
        json = NULL;
    }
    *out_json = json;
    return RESULT_OK;
}

/* One element of an array literal, unquoted into out. Returns what follows it, or NULL when it is not one. */
static const char *element_read(const char *at, struct bytes *out)
{
    if (*at != '"') {
        size_t length = strcspn(at, ",{}");
        bytes_append(out, at, length);
        return length > 0 ? at + length : NULL;
    }
    for (at++; *at != '"'; at++) {
        at += *at == '\\' ? 1 : 0;
        if (*at == '\0') {
            return NULL;
        }
        bytes_append_byte(out, *at);
    }
    return at + 1;
}

/** {"a b",c} -> "a b, c" */
static bool array_join(const char *at, struct bytes *out)
{
    if (*at++ != '{') {
        return false; /* bounds are told: not an ordinary array */
    }
    while (*at != '}') {
        at = element_read(at, out);
        if (!at || (*at != ',' && *at != '}')) {
            return false;
        }
        if (*at == ',') {
            bytes_append_text(out, ", ");
            at++;
        }
    }
    return at[1] == '\0' && !bytes_failed(out);
}

static enum result array_read(const struct reading *reading, const struct postgres_cell *cell, enum want want,
                              json_t **out_json)
{
    if (want != WANT_TEXT) {
        return refuse_type(reading, cell, want, "it is an array");
    }
    struct bytes joined;
    bytes_init(&joined, VALUE_MAX_BYTES);
    enum result result =
        array_join(cell->text, &joined)
            ? text_read(reading, cell->name, joined.at ? joined.at : "", joined.length, out_json)
            : refuse(reading, cell->name, RESULT_WRONG_TYPE, "not a plain list of at most %d bytes",
                     VALUE_MAX_BYTES);
    bytes_finish(&joined);
    return result;
}

static enum result time_read(const struct reading *reading, const struct postgres_cell *cell, enum want want,
                             json_t **out_json)
{
    int64_t time_ms = 0;
    if (want == WANT_TEXT) {
        return text_read(reading, cell->name, cell->text, cell->length, out_json);
    }
    if (want != WANT_TIME) {
        return refuse_type(reading, cell, want, "it is a time; use extract(epoch from ...)");
    }
    if (cell->type != TYPE_TIMESTAMPTZ) {
        return refuse(reading, cell->name, RESULT_WRONG_TYPE, "it has no time zone; cast it to timestamptz");
    }
    if (postgres_time_parse(cell->text, &time_ms) != RESULT_OK) {
        return refuse(reading, cell->name, RESULT_WRONG_TYPE, "\"%.40s\" is not a time", cell->text);
    }
    return take(reading, cell, json_integer(time_ms), out_json);
}

static enum result word_read(const struct reading *reading, const struct postgres_cell *cell, enum want want,
                             json_t **out_json)
{
    if (want == WANT_NUMBER) {
        return refuse_type(reading, cell, want, "cast it to numeric");
    }
    return text_read(reading, cell->name, cell->text, cell->length, out_json);
}

/** A cell that is not null. NULL with OK: it says null in another way. */
static enum result cell_read(const struct reading *reading, const struct postgres_cell *cell, enum want want,
                             json_t **out_json)
{
    switch ((enum column_type)cell->type) {
    case TYPE_INT8:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_OID:
    case TYPE_XID8:
    case TYPE_NUMERIC:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return any_number_read(reading, cell, want, out_json);
    case TYPE_BOOL:
        return bool_read(reading, cell, want, out_json);
    case TYPE_JSON:
    case TYPE_JSONB:
        return json_read(reading, cell, out_json);
    case TYPE_TEXT_ARRAY:
    case TYPE_VARCHAR_ARRAY:
        return array_read(reading, cell, want, out_json);
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        return time_read(reading, cell, want, out_json);
    case TYPE_INTERVAL:
        return want == WANT_TEXT ? word_read(reading, cell, want, out_json)
                                 : refuse_type(reading, cell, want, "use extract(epoch from ...)");
    case TYPE_MONEY:
        return refuse(reading, cell->name, RESULT_WRONG_TYPE,
                      "its text depends on the server; cast it to numeric");
    case TYPE_BYTEA:
        return refuse(reading, cell->name, RESULT_WRONG_TYPE, "bytes cannot be shown");
    }
    /* Text, varchar, enums, uuid and whatever else has a text. */
    return word_read(reading, cell, want, out_json);
}

/* ---- the members of the envelope ---- */

enum member {
    MEMBER_VALUE,
    MEMBER_NUM,
    MEMBER_DEN,
    MEMBER_AS_OF,
    MEMBER_TARGET,
    MEMBER_BASE,
    MEMBER_POINTS,
    MEMBER_STATE,
    MEMBER_REASON,
    MEMBER_VERSION,
    MEMBER_KEY,
    MEMBER_COUNT
};

static const char *const member_names[MEMBER_COUNT] = {
    [MEMBER_VALUE] = "value",     [MEMBER_NUM] = "num",       [MEMBER_DEN] = "den",
    [MEMBER_AS_OF] = "as_of",     [MEMBER_TARGET] = "target", [MEMBER_BASE] = "base",
    [MEMBER_POINTS] = "points",   [MEMBER_STATE] = "state",   [MEMBER_REASON] = "reason",
    [MEMBER_VERSION] = "version", [MEMBER_KEY] = "key",
};

static enum member member_of(const struct reading *reading, const char *name)
{
    if (reading->form == POSTGRES_ROW_OF_STATE && strcmp(name, "ver") == 0) {
        return MEMBER_VERSION;
    }
    enum member member = 0;
    while (member < MEMBER_COUNT && strcmp(member_names[member], name) != 0) {
        member++;
    }
    return member;
}

static enum result points_read(const struct reading *reading, const struct postgres_cell *cell,
                               json_t **out_json)
{
    if (cell->type != TYPE_JSON && cell->type != TYPE_JSONB) {
        return refuse(reading, cell->name, RESULT_WRONG_TYPE,
                      "points are json: [[milliseconds, number], ...]");
    }
    return json_read(reading, cell, out_json);
}

static enum result reason_read(const struct reading *reading, const struct postgres_cell *cell,
                               json_t **out_json)
{
    size_t length = cell->length;
    if (length > REASON_MAX_BYTES) {
        length = REASON_MAX_BYTES;
        while (length > 0 && ((unsigned char)cell->text[length] & 0xc0) == 0x80) {
            length--; /* not in the middle of a character */
        }
    }
    return text_read(reading, cell->name, cell->text, length, out_json);
}

static enum want value_want(const struct kpi *kpi)
{
    bool is_single = kpi->type == KPI_GAUGE || kpi->type == KPI_COUNTER;
    return is_single ? want_of(kpi->unit)
                     : WANT_TEXT; /* others are words or json, which catalog_admit() judges */
}

static enum result member_read(const struct reading *reading, enum member member,
                               const struct postgres_cell *cell, json_t **out_json)
{
    switch (member) {
    case MEMBER_VALUE:
    case MEMBER_TARGET:
    case MEMBER_BASE:
        return cell_read(reading, cell, value_want(reading->kpi), out_json);
    case MEMBER_NUM:
    case MEMBER_DEN:
    case MEMBER_VERSION:
        return cell_read(reading, cell, WANT_NUMBER, out_json);
    case MEMBER_AS_OF:
        return cell_read(reading, cell, WANT_TIME, out_json);
    case MEMBER_POINTS:
        return points_read(reading, cell, out_json);
    case MEMBER_REASON:
        return reason_read(reading, cell, out_json);
    case MEMBER_STATE:
        return cell_read(reading, cell, WANT_TEXT, out_json);
    case MEMBER_KEY: /* already in the field */
    case MEMBER_COUNT:
        break;
    }
    return RESULT_OK;
}

static enum result set(const struct reading *reading, json_t *object, const char *column, const char *name,
                       json_t *json)
{
    if (!json) {
        return RESULT_OK;
    }
    return json_object_set_new(object, name, json) == 0 ? RESULT_OK : refuse_memory(reading, column);
}

static bool is_callers(const struct reading *reading, const char *name)
{
    return reading->form == POSTGRES_ROW_OF_STATE || strcmp(name, "kpi_id") == 0 ||
           strncmp(name, "sophia_", strlen("sophia_")) == 0;
}

static enum result envelope_read(struct reading *reading, const struct postgres_cell *cell)
{
    enum member member = member_of(reading, cell->name);
    if (member == MEMBER_COUNT) {
        return is_callers(reading, cell->name) ? RESULT_OK
                                               : refuse(reading, cell->name, RESULT_UNKNOWN_FIELD,
                                                        "%s has no such column", reading->kpi->id);
    }
    json_t *json = NULL;
    enum result result = cell->text ? member_read(reading, member, cell, &json) : RESULT_OK;
    return result == RESULT_OK ? set(reading, reading->envelope, cell->name, member_names[member], json)
                               : result;
}

/* ---- columns of rows, parts of a mix ---- */

/** What a column of this name takes in the KPI's own value; false when it is none of it. */
static bool own_column(const struct reading *reading, const char *name, enum want *out_want)
{
    const struct kpi *kpi = reading->kpi;
    if (reading->form == POSTGRES_ROW_OF_STATE) {
        return false;
    }
    for (size_t i = 0; i < kpi->column_count; i++) {
        if (strcmp(kpi->columns[i].key, name) == 0) {
            *out_want = want_of(kpi->columns[i].unit);
            return true;
        }
    }
    for (size_t i = 0; i < kpi->part_count; i++) {
        if (strcmp(kpi->parts[i], name) == 0) {
            *out_want = want_of(kpi->unit);
            return true;
        }
    }
    return false;
}

static enum result column_read(struct reading *reading, const struct postgres_cell *cell, enum want want)
{
    if (!cell->text) {
        return RESULT_OK; /* a null cell is an absent cell */
    }
    json_t *json = NULL;
    enum result result = cell_read(reading, cell, want, &json);
    if (result == RESULT_OK && json && !reading->row && !(reading->row = json_object())) {
        json_decref(json);
        return refuse_memory(reading, cell->name);
    }
    return result == RESULT_OK ? set(reading, reading->row, cell->name, cell->name, json) : result;
}

static enum result cells_read(struct reading *reading)
{
    enum result result = RESULT_OK;
    for (size_t i = 0; i < reading->count && result == RESULT_OK; i++) {
        const struct postgres_cell *cell = &reading->cells[i];
        enum want want;
        result = own_column(reading, cell->name, &want) ? column_read(reading, cell, want)
                                                        : envelope_read(reading, cell);
    }
    return result;
}

/* ---- the whole row ---- */

static const struct postgres_cell *find_cell(const struct reading *reading, const char *name)
{
    for (size_t i = 0; i < reading->count; i++) {
        if (strcmp(reading->cells[i].name, name) == 0) {
            return &reading->cells[i];
        }
    }
    return NULL;
}

/** The field, first of all: what follows is about it. */
static enum result field_read(const struct reading *reading, char out_field[FIELD_MAX_BYTES + 1])
{
    const struct kpi *kpi = reading->kpi;
    bool is_state = reading->form == POSTGRES_ROW_OF_STATE;
    const char *name = is_state ? "field" : "key";
    const struct postgres_cell *cell = find_cell(reading, name);
    (void)snprintf(out_field, FIELD_MAX_BYTES + 1, "%s", kpi->id);
    if (!is_state && !kpi_has_rows(kpi)) {
        return cell ? refuse(reading, name, RESULT_UNKNOWN_FIELD, "only a table, feed or series has one")
                    : RESULT_OK;
    }
    if (!cell || !cell->text || cell->length == 0) {
        return refuse(reading, name, RESULT_MISSING_FIELD, cell ? "it is null or empty" : "it is missing");
    }
    char field[FIELD_MAX_BYTES + 1];
    int length = is_state ? snprintf(field, sizeof field, "%s", cell->text)
                          : snprintf(field, sizeof field, "%s#%s", kpi->id, cell->text);
    if (length < 0 || (size_t)length >= sizeof field) {
        return refuse(reading, name, RESULT_TOO_BIG, "it is longer than %d bytes", ROW_KEY_MAX_BYTES);
    }
    (void)memcpy(out_field, field, (size_t)length + 1);
    return RESULT_OK;
}

static bool envelope_has(const struct reading *reading, enum member member)
{
    return json_object_get(reading->envelope, member_names[member]) != NULL;
}

/** A ratio with a null part, and a value that is null, are no data; so is a row or mix of nothing but nulls. */
static enum result content_settle(struct reading *reading)
{
    if (reading->row) {
        json_t *row = reading->row;
        reading->row = NULL;
        return set(reading, reading->envelope, "value", "value", row);
    }
    bool has_ratio = envelope_has(reading, MEMBER_NUM) && envelope_has(reading, MEMBER_DEN);
    if (!has_ratio) {
        (void)json_object_del(reading->envelope, "num"); /* absent is fine */
        (void)json_object_del(reading->envelope, "den");
    }
    bool is_settled = has_ratio || envelope_has(reading, MEMBER_VALUE) || envelope_has(reading, MEMBER_STATE);
    return is_settled ? RESULT_OK : set(reading, reading->envelope, "state", "state", json_string("nodata"));
}

static enum result decode(const struct reading *reading, struct change *out_change)
{
    const char *problem = NULL;
    enum result result = change_decode(reading->envelope, out_change, &problem);
    if (result == RESULT_OK) {
        return RESULT_OK;
    }
    bool is_key = problem && strcmp(problem, "field") == 0 && reading->form == POSTGRES_ROW_OF_QUERY;
    return refuse(reading,
                  is_key    ? "key"
                  : problem ? problem
                            : "value",
                  result, "%s", is_key ? "it cannot name a row" : result_name(result));
}

static bool is_deleted(const struct reading *reading)
{
    const struct postgres_cell *cell = find_cell(reading, "deleted");
    return reading->form == POSTGRES_ROW_OF_STATE && cell && cell->text && cell->text[0] == 't';
}

static enum result deletion_read(struct reading *reading)
{
    enum result result = set(reading, reading->envelope, "deleted", "delete", json_true());
    for (size_t i = 0; i < reading->count && result == RESULT_OK; i++) {
        enum member member = member_of(reading, reading->cells[i].name);
        if (member == MEMBER_VERSION || member == MEMBER_AS_OF) {
            result = envelope_read(reading, &reading->cells[i]);
        }
    }
    return result;
}

static enum result content_read(struct reading *reading)
{
    if (is_deleted(reading)) {
        return deletion_read(reading);
    }
    enum result result = cells_read(reading);
    return result == RESULT_OK ? content_settle(reading) : result;
}

enum result postgres_row_read(const struct kpi *kpi, enum postgres_row_form form,
                              const struct postgres_cell *cells, size_t count, struct change *out_change,
                              char out_detail[REASON_MAX_BYTES + 1])
{
    struct reading reading = {.kpi = kpi, .form = form, .cells = cells, .count = count, .detail = out_detail};
    struct change change = {0};
    out_detail[0] = '\0';
    enum result result = field_read(&reading, change.field);
    if (result == RESULT_OK && !(reading.envelope = json_object())) {
        result = refuse_memory(&reading, "key");
    }
    if (result == RESULT_OK) {
        json_t *field = NULL;
        result = text_read(&reading, "key", change.field, strlen(change.field), &field);
        result = result == RESULT_OK ? set(&reading, reading.envelope, "key", "field", field) : result;
    }
    if (result == RESULT_OK) {
        result = content_read(&reading);
    }
    struct change decoded;
    if (result == RESULT_OK && (result = decode(&reading, &decoded)) == RESULT_OK) {
        change = decoded;
    }
    json_decref(reading.row);
    json_decref(reading.envelope);
    *out_change = change;
    return result;
}
