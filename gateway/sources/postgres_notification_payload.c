/*
 * Payloads are written by other people's triggers: members that are not known are passed over, what is known is
 * checked. A row travels through the cache as JSON: its columns with their types, and the order of its snapshot.
 */
#include "sources/postgres_notification_payload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/postgres_rollup_result.h"
#include "sources/postgres_row.h"

enum { MAX_COLUMNS = 64, OID_TEXT = 25 };

#define SNAPSHOT_COLUMN "sophia_snapshot"

static enum result copy_text(const json_t *member, char *out, size_t size)
{
    const char *text = json_string_value(member);
    if (!text || !*text) {
        return RESULT_WRONG_TYPE;
    }
    if (json_string_length(member) != strlen(text) || strlen(text) >= size) {
        return RESULT_TOO_BIG;
    }
    memcpy(out, text, strlen(text) + 1);
    return RESULT_OK;
}

static enum result read_key(const json_t *member, struct notification_payload *payload)
{
    if (!member) {
        return RESULT_MISSING_FIELD;
    }
    if (json_is_integer(member)) {
        (void)snprintf(payload->key, sizeof payload->key, "%" JSON_INTEGER_FORMAT,
                       json_integer_value(member));
        return RESULT_OK;
    }
    return copy_text(member, payload->key, sizeof payload->key);
}

static enum result read_revision(const json_t *member, struct notification_payload *payload)
{
    if (!member || json_is_null(member)) {
        return RESULT_OK;
    }
    if (!json_is_integer(member)) {
        return RESULT_WRONG_TYPE;
    }
    json_int_t revision = json_integer_value(member);
    if (revision < 1 || revision > INTEGER_MAX_EXACT) {
        return RESULT_OUT_OF_RANGE;
    }
    payload->has_revision = true;
    payload->revision = (uint64_t)revision;
    return RESULT_OK;
}

enum result payload_decode(const char *text, struct notification_payload *out_payload)
{
    struct notification_payload payload = {0};
    json_auto_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        return RESULT_MALFORMED;
    }
    const json_t *relation = json_object_get(root, "relation");
    enum result result =
        relation ? copy_text(relation, payload.relation, sizeof payload.relation) : RESULT_OK;
    result = result == RESULT_OK ? read_key(json_object_get(root, "key"), &payload) : result;
    result = result == RESULT_OK ? read_revision(json_object_get(root, "revision"), &payload) : result;
    if (result == RESULT_OK) {
        payload.is_delete = json_is_true(json_object_get(root, "delete"));
        payload.value = json_incref(json_object_get(root, "value"));
        payload.as_of = json_incref(json_object_get(root, "as_of"));
        *out_payload = payload;
    }
    return result;
}

void payload_finish(struct notification_payload *payload)
{
    json_decref(payload->value);
    json_decref(payload->as_of);
    payload->value = NULL;
    payload->as_of = NULL;
}

enum result payload_change(const struct notification_payload *payload, const char *field,
                           struct change *out_change)
{
    json_auto_t *envelope = json_pack("{s:s}", "field", field);
    int failed = envelope == NULL;
    if (payload->is_delete) {
        failed |= json_object_set_new(envelope, "delete", json_true());
    } else {
        failed |= json_object_set(envelope, "value", payload->value);
    }
    if (payload->has_revision) {
        failed |= json_object_set_new(envelope, "version", json_integer((json_int_t)payload->revision));
    }
    if (payload->as_of) {
        failed |= json_object_set(envelope, "as_of", payload->as_of);
    }
    const char *problem = NULL;
    return failed ? RESULT_NO_MEMORY : change_decode(envelope, out_change, &problem);
}

/* ---- rows in the cache ---- */

static json_t *pack_columns(const struct pg_result *result, uint64_t *version)
{
    json_t *columns = json_array();
    for (size_t i = 0; columns && i < pg_column_count(result); i++) {
        size_t length = 0;
        const char *name = pg_column_name(result, i);
        const char *text = pg_text(result, 0, i, &length);
        if (strcmp(name, SNAPSHOT_COLUMN) == 0) {
            continue;
        }
        if (strcmp(name, "version") == 0 && text) {
            *version = strtoull(text, NULL, 10);
        }
        json_t *column =
            text ? json_pack("[s,I,s%]", name, (json_int_t)pg_column_type(result, i), text, length)
                 : json_pack("[s,I,n]", name, (json_int_t)pg_column_type(result, i));
        if (json_array_append_new(columns, column) != 0) {
            json_decref(columns);
            return NULL;
        }
    }
    return columns;
}

struct cache_value *row_pack(const struct pg_result *result, uint64_t version, int64_t now_ms)
{
    int snapshot = pg_column(result, SNAPSHOT_COLUMN);
    uint64_t order = 0;
    if (pg_row_count(result) == 0 || snapshot < 0 ||
        !rollup_snapshot_order(pg_text(result, 0, (size_t)snapshot, NULL), &order)) {
        return NULL;
    }
    json_t *columns = pack_columns(result, &version);
    json_auto_t *root =
        columns ? json_pack("{s:I,s:o}", "order", (json_int_t)order, "columns", columns) : NULL;
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    struct cache_value *value = text ? cache_value_create(text, strlen(text), version, now_ms) : NULL;
    free(text);
    return value;
}

static size_t unpack_columns(const json_t *columns, struct postgres_cell *cells)
{
    size_t count = 0, i;
    json_t *column;
    json_array_foreach(columns, i, column) {
        const json_t *text = json_array_get(column, 2);
        const char *name = json_string_value(json_array_get(column, 0));
        if (name && count < MAX_COLUMNS) {
            cells[count++] = (struct postgres_cell){
                .name = name,
                .type = (uint32_t)json_integer_value(json_array_get(column, 1)),
                .text = json_string_value(text),
                .length = json_string_length(text),
            };
        }
    }
    return count;
}

static bool has_cell(const struct postgres_cell *cells, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cells[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

enum result row_unpack(const struct cache_value *value, const struct kpi *kpi, const char *key,
                       struct change *out_change, char out_detail[REASON_MAX_BYTES + 1])
{
    size_t length = 0;
    const char *text = cache_value_bytes(value, &length);
    json_auto_t *root = json_loadb(text, length, 0, NULL);
    if (!root) {
        (void)snprintf(out_detail, REASON_MAX_BYTES + 1, "what the cache holds is not a row");
        *out_change = (struct change){0};
        return RESULT_MALFORMED;
    }
    struct postgres_cell cells[MAX_COLUMNS + 1];
    size_t count = unpack_columns(json_object_get(root, "columns"), cells);
    if (kpi_has_rows(kpi) && !has_cell(cells, count, "key")) {
        cells[count++] =
            (struct postgres_cell){.name = "key", .type = OID_TEXT, .text = key, .length = strlen(key)};
    }
    enum result result = postgres_row_read(kpi, POSTGRES_ROW_OF_QUERY, cells, count, out_change, out_detail);
    if (result == RESULT_OK && !out_change->has_version) {
        uint64_t version = cache_value_version(value);
        out_change->has_version = true;
        out_change->is_version_hidden = version == 0;
        out_change->version =
            version ? version : (uint64_t)json_integer_value(json_object_get(root, "order"));
    }
    return result;
}
