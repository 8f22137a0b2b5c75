/*
 * A value becomes the change envelope of PROTOCOL.md and is read by its decoder, as at every other door. An event that
 * does not hold a value is passed over: a hook gets events of many kinds.
 */
#include "sources/webhooks_changes.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "protocol/json_pointer.h"
#include "protocol/limits.h"

/** Does the hook care for events of this kind? */
static bool is_wanted(const struct webhooks_reading *reading, size_t index)
{
    char **events = reading->hook->events;
    if (reading->is_known && reading->is_known[index]) {
        return false;
    }
    const char *type = webhook_event_type(reading->webhook, reading->delivery, index);
    for (size_t i = 0; events && type && events[i]; i++) {
        if (strcmp(events[i], type) == 0) {
            return true;
        }
    }
    return !events || !events[0];
}

/** Takes the value's reference, NULL included: memory ran out. */
static enum result add_change(const struct webhooks_reading *reading, const char *field, json_t *value,
                              struct batch *batch)
{
    json_auto_t *envelope = value ? json_pack("{s:s,s:o}", "field", field, "value", value) : NULL;
    if (!envelope || (reading->has_as_of &&
                      json_object_set_new(envelope, "as_of", json_integer(reading->as_of_ms)) != 0)) {
        return RESULT_NO_MEMORY;
    }
    if (batch->count >= INGEST_ITEMS_MAX) {
        return RESULT_TOO_MANY;
    }
    if (!batch_add(batch, "", 0)) {
        return RESULT_NO_MEMORY;
    }
    struct submission_item *item = &batch->items[batch->count - 1];
    const char *problem = NULL;
    struct change change;
    enum result result = change_decode(envelope, &change, &problem);
    if (result == RESULT_OK) {
        item->change = change;
        return RESULT_OK;
    }
    item->change.has_as_of = false;
    (void)snprintf(item->change.field, sizeof item->change.field, "%s", field); /* a field's name fits */
    (void)snprintf(item->detail, sizeof item->detail, "%s", problem ? problem : "this is no value");
    item->outcome = result;
    return RESULT_OK;
}

/** The values that one event holds. */
static enum result read_event(const struct webhooks_reading *reading, size_t index, struct batch *batch,
                              struct webhooks_read *read)
{
    const json_t *event = webhook_event(reading->delivery, index);
    enum result result = RESULT_OK;
    for (size_t i = 0; i < reading->hook->field_count && result == RESULT_OK; i++) {
        const struct webhooks_field *field = &reading->hook->fields[i];
        if (!field->pointer) {
            continue;
        }
        if (!event) {
            return RESULT_MALFORMED;
        }
        json_t *value = json_pointer_get(event, field->pointer);
        if (value) {
            result = add_change(reading, field->field, json_incref(value), batch);
        } else {
            read->absent++;
        }
    }
    return result;
}

static enum result add_counts(const struct webhooks_reading *reading, size_t events, struct batch *batch)
{
    enum result result = RESULT_OK;
    for (size_t i = 0; i < reading->hook->field_count && result == RESULT_OK; i++) {
        if (!reading->hook->fields[i].pointer) {
            json_t *count = json_integer((json_int_t)(*reading->counts[i] + events));
            result = add_change(reading, reading->hook->fields[i].field, count, batch);
        }
    }
    return result;
}

enum result webhooks_read_changes(const struct webhooks_reading *reading, struct batch *batch,
                                  struct webhooks_read *out_read)
{
    struct webhooks_read read = {0};
    enum result result = RESULT_OK;
    for (size_t i = 0; i < webhook_event_count(reading->delivery) && result == RESULT_OK; i++) {
        if (is_wanted(reading, i)) {
            read.events++;
            result = read_event(reading, i, batch, &read);
        }
    }
    if (result == RESULT_OK && read.events > 0) {
        result = add_counts(reading, read.events, batch);
    }
    *out_read = read;
    return result;
}
