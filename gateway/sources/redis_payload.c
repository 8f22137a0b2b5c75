/*
 * Every form is turned into the change envelope of PROTOCOL.md and read by its decoder: one set of rules for
 * members, times and numbers, whatever door a change comes through.
 *
 * A channel may feed several KPIs with different columns, so a row takes the members that are its columns; what is a
 * column of none of them is reported as left over, not refused.
 */
#include "sources/redis_payload.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_depth.h"
#include "protocol/limits.h"

/* ---- names ---- */

static const char *const envelope_members[] = {"as_of", "version", "delete", "state", "reason"};
static const char *const own_members[] = {"key", "id", "at"};

static bool is_one_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(names, name) is_one_of((names), sizeof(names) / sizeof *(names), (name))

static bool is_column(const struct kpi *kpi, const char *name)
{
    for (size_t i = 0; i < kpi->column_count; i++) {
        if (strcmp(kpi->columns[i].key, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- one message, one KPI ---- */

/* The row's name: fixed by the mapping, said by the message, or the name of the entry. NULL: none. */
static const char *row_key(const struct redis_meaning *meaning, const char *fixed, const json_t *message,
                           char scratch[32])
{
    if (fixed) {
        return fixed;
    }
    const json_t *key = json_object_get(message, "key");
    if (!key) {
        key = json_object_get(message, "id");
    }
    if (json_is_integer(key)) {
        (void)snprintf(scratch, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(key));
        return scratch;
    }
    return key ? json_string_value(key) : meaning->name;
}

/* {"key": ..., column: ..., ...} */
static json_t *flat_row(const struct kpi *kpi, const json_t *message)
{
    json_t *envelope = json_object();
    json_t *value = json_object();
    bool is_whole = envelope && value;
    bool is_delete = json_is_true(json_object_get(message, "delete"));
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)message, name, member) { /* only reads */
        if (!is_whole) {
            break;
        }
        if (is_column(kpi, name)) {
            is_whole = json_object_set(value, name, member) == 0;
        } else if (IS_ONE_OF(envelope_members, name)) {
            is_whole = json_object_set(envelope, name, member) == 0;
        }
    }
    const json_t *at = json_object_get(message, "as_of");
    at = at ? at : json_object_get(message, "at");
    if (is_whole && at && !json_object_get(envelope, "as_of")) {
        is_whole = json_object_set(envelope, "as_of", (json_t *)(uintptr_t)at) == 0;
    }
    if (is_whole && !is_delete) {
        is_whole = json_object_set(envelope, "value", value) == 0;
    }
    json_decref(value);
    if (!is_whole) {
        json_decref(envelope);
        return NULL;
    }
    return envelope;
}

static json_t *row_envelope(const struct kpi *kpi, const json_t *message)
{
    if (!json_object_get(message, "value") || is_column(kpi, "value")) {
        return flat_row(kpi, message);
    }
    json_t *envelope = json_copy((json_t *)(uintptr_t)message);
    if (envelope) {
        (void)json_object_del(envelope, "key"); /* absent is as good */
        (void)json_object_del(envelope, "id");
    }
    return envelope;
}

/* A bare value, or an envelope without its field. */
static json_t *single_envelope(const struct kpi *kpi, const json_t *message)
{
    bool is_envelope =
        json_is_object(message) &&
        (kpi->type != KPI_MIX || json_object_get(message, "value") || json_object_get(message, "state"));
    if (is_envelope) {
        return json_copy((json_t *)(uintptr_t)message);
    }
    return json_pack("{s:O}", "value", message);
}

static struct submission_item *add_item(struct batch *batch, const char *field)
{
    if (batch->count >= INGEST_ITEMS_MAX || !batch_add(batch, "", 0)) {
        return NULL;
    }
    struct submission_item *item = &batch->items[batch->count - 1];
    item->change.has_as_of = false;
    (void)snprintf(item->change.field, sizeof item->change.field, "%s", field); /* for people, if it is cut */
    return item;
}

static void refuse(struct submission_item *item, enum result outcome, const char *detail)
{
    item->outcome = outcome;
    (void)snprintf(item->detail, sizeof item->detail, "%s", detail);
}

static bool take_envelope(const struct redis_meaning *meaning, const json_t *envelope, const char *field,
                          struct batch *batch)
{
    struct submission_item *item = add_item(batch, field);
    if (!item) {
        return false;
    }
    struct change change;
    const char *problem = NULL;
    enum result result = change_decode(envelope, &change, &problem);
    if (result != RESULT_OK) {
        refuse(item, result, problem ? problem : "a change is a JSON object");
        return true;
    }
    if (!change.has_version && meaning->version != 0) {
        change.has_version = true;
        change.version = meaning->version;
        change.is_version_hidden = true;
    }
    item->change = change;
    return true;
}

static bool take_refused(struct batch *batch, const char *field, enum result outcome, const char *detail)
{
    struct submission_item *item = add_item(batch, field);
    if (item) {
        refuse(item, outcome, detail);
    }
    return item != NULL;
}

/* The message as a change of this field; false: no memory or too many. */
static bool take_for(const struct redis_meaning *meaning, const char *field, const json_t *message,
                     struct batch *batch)
{
    const char *hash = strchr(field, '#');
    size_t id_length = hash ? (size_t)(hash - field) : strlen(field);
    const struct kpi *kpi = catalog_kpi(meaning->catalog, field, id_length);
    if (!kpi) {
        return take_refused(batch, field, RESULT_UNKNOWN_FIELD, "no definition has this KPI");
    }
    if (kpi_has_rows(kpi) && !json_is_object(message)) {
        return take_refused(batch, field, RESULT_WRONG_TYPE, "a row is an object");
    }
    char scratch[32];
    char name[FIELD_MAX_BYTES + 2]; /* one more than fits, so that one too long is refused, not cut */
    const char *key = kpi_has_rows(kpi) ? row_key(meaning, hash ? hash + 1 : NULL, message, scratch) : NULL;
    if (kpi_has_rows(kpi) && !key) {
        return take_refused(batch, field, RESULT_MISSING_FIELD, "key (or id) must name the row");
    }
    int length = snprintf(name, sizeof name, key ? "%s#%s" : "%s", kpi->id, key);
    json_auto_t *envelope = kpi_has_rows(kpi) ? row_envelope(kpi, message) : single_envelope(kpi, message);
    if (!envelope || length < 0) {
        return false;
    }
    const char *said = json_string_value(json_object_get(envelope, "field"));
    if (said && strcmp(said, name) != 0) {
        return take_refused(batch, field, RESULT_OUT_OF_RANGE, "field names another KPI than the channel");
    }
    if (!said && json_object_set_new(envelope, "field", json_string(name)) != 0) {
        return take_refused(batch, field, RESULT_OUT_OF_RANGE, "the row's key is not UTF-8");
    }
    return take_envelope(meaning, envelope, name, batch);
}

/* ---- what nobody takes ---- */

static bool is_taken(const struct redis_meaning *meaning, const json_t *message, const char *name)
{
    if (IS_ONE_OF(envelope_members, name) || IS_ONE_OF(own_members, name)) {
        return true;
    }
    for (size_t i = 0; i < meaning->field_count; i++) {
        const char *field = meaning->fields[i];
        const struct kpi *kpi = catalog_kpi(meaning->catalog, field, strcspn(field, "#"));
        /* Not a flat row: its decoder refuses what it does not know. */
        if (!kpi || !kpi_has_rows(kpi) || is_column(kpi, name) ||
            (json_object_get(message, "value") && !is_column(kpi, "value"))) {
            return true;
        }
    }
    return false;
}

static void note_leftover(const struct redis_meaning *meaning, const json_t *message,
                          struct redis_leftover *leftover)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)message, name, member) {
        if (!is_taken(meaning, message, name) && leftover->count++ == 0) {
            (void)snprintf(leftover->first, sizeof leftover->first, "%s", name);
        }
    }
}

/* ---- a whole message ---- */

/* The envelope of PROTOCOL.md; the entry of a hash may leave out its field. */
static bool take_whole_envelope(const struct redis_meaning *meaning, json_t *message, struct batch *batch)
{
    const char *field = json_string_value(json_object_get(message, "field"));
    if (!field && meaning->name && json_is_object(message)) {
        field = meaning->name;
        if (json_object_set_new(message, "field", json_string(field)) != 0) {
            return take_refused(batch, "", RESULT_OUT_OF_RANGE, "the entry's name is not UTF-8");
        }
    }
    return take_envelope(meaning, message, field ? field : "", batch);
}

static bool take_one(const struct redis_meaning *meaning, json_t *message, struct batch *batch,
                     struct redis_leftover *leftover)
{
    if (meaning->form == REDIS_FORM_ENVELOPE) {
        return take_whole_envelope(meaning, message, batch);
    }
    for (size_t i = 0; i < meaning->field_count; i++) {
        if (!take_for(meaning, meaning->fields[i], message, batch)) {
            return false;
        }
    }
    note_leftover(meaning, message, leftover);
    return true;
}

static enum result why_not_taken(const struct batch *batch)
{
    return batch->count >= INGEST_ITEMS_MAX ? RESULT_TOO_MANY : RESULT_NO_MEMORY;
}

enum result redis_payload_decode(const struct redis_meaning *meaning, const char *text, size_t length,
                                 struct batch *batch, struct redis_leftover *out_leftover)
{
    *out_leftover = (struct redis_leftover){0};
    if (length > INGEST_BODY_MAX_BYTES) {
        return RESULT_TOO_BIG;
    }
    if (json_is_deeper(text, length, INGEST_MAX_DEPTH)) {
        return RESULT_TOO_DEEP;
    }
    json_auto_t *message = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!message || (json_is_array(message) && json_array_size(message) == 0)) {
        return RESULT_MALFORMED;
    }
    if (!json_is_array(message)) {
        return take_one(meaning, message, batch, out_leftover) ? RESULT_OK : why_not_taken(batch);
    }
    if (json_array_size(message) > INGEST_ITEMS_MAX) {
        return RESULT_TOO_MANY;
    }
    for (size_t i = 0; i < json_array_size(message); i++) {
        if (!take_one(meaning, json_array_get(message, i), batch, out_leftover)) {
            return why_not_taken(batch);
        }
    }
    return RESULT_OK;
}

/* 41 bits of milliseconds (until 2039) and 12 of the sequence make a version that every JSON reader keeps exact. */
uint64_t redis_stream_version(const char *id)
{
    enum { SEQUENCE_BITS = 12 };
    char *rest = NULL;
    unsigned long long ms = strtoull(id, &rest, 10);
    unsigned long long sequence = *rest == '-' ? strtoull(rest + 1, NULL, 10) : 0;
    const unsigned long long sequence_max = (1U << SEQUENCE_BITS) - 1;
    if (rest == id || ms > ((unsigned long long)INTEGER_MAX_EXACT >> SEQUENCE_BITS)) {
        return 0;
    }
    uint64_t version = (uint64_t)(ms << SEQUENCE_BITS) | (sequence < sequence_max ? sequence : sequence_max);
    return version > 0 ? version : 0;
}
