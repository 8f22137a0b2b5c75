/*
 * Driven by the table of webhook_scheme.c; the three greetings that are not events are told apart by hand, as each is of one
 * provider. An event's name is hashed as JSON text, so that a number and the same digits as text are two names.
 */
#include "access/webhook_delivery.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "access/webhook_scheme.h"
#include "protocol/bytes.h"
#include "protocol/json_depth.h"
#include "protocol/json_pointer.h"

enum { NAME_MAX_BYTES = 4096 };

static bool is_text(const json_t *value, const char *text)
{
    const char *own = json_string_value(value);
    return own && strcmp(own, text) == 0;
}

static const char *header_of(const struct webhook_request *request, const char *name)
{
    unsigned count = 0;
    return name ? request->header(request->context, name, &count) : NULL;
}

/* ---- greetings ---- */

static enum result read_slack(struct webhook_delivery *delivery)
{
    if (!is_text(json_object_get(delivery->body, "type"), "url_verification")) {
        return RESULT_OK;
    }
    delivery->kind = WEBHOOK_CHALLENGE;
    delivery->challenge = json_string_value(json_object_get(delivery->body, "challenge"));
    bool is_good = delivery->challenge && strlen(delivery->challenge) <= WEBHOOK_CHALLENGE_MAX_BYTES;
    return is_good ? RESULT_OK : RESULT_MALFORMED;
}

static enum result read_greeting(const struct webhook *webhook, struct webhook_delivery *delivery)
{
    switch (webhook_provider(webhook)) {
    case WEBHOOK_SLACK:
        return read_slack(delivery);
    case WEBHOOK_GITHUB:
        delivery->kind =
            delivery->type && strcmp(delivery->type, "ping") == 0 ? WEBHOOK_PING : WEBHOOK_EVENTS;
        return RESULT_OK;
    case WEBHOOK_FIGMA:
        delivery->kind =
            is_text(json_object_get(delivery->body, "event_type"), "PING") ? WEBHOOK_PING : WEBHOOK_EVENTS;
        return RESULT_OK;
    default:
        return RESULT_OK;
    }
}

/* ---- the whole ---- */

enum result webhook_delivery_read(const struct webhook *webhook, const struct webhook_request *request,
                                  struct webhook_delivery *out_delivery)
{
    const struct webhook_scheme *scheme = webhook_scheme(webhook);
    struct webhook_delivery delivery = {
        .id = header_of(request, scheme->id_header),
        .type = header_of(request, scheme->type_header),
    };
    if (json_is_deeper(request->body, request->body_length, WEBHOOK_DEPTH_MAX)) {
        return RESULT_TOO_DEEP;
    }
    delivery.body = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, NULL);
    const json_t *events = scheme->events ? json_pointer_get(delivery.body, scheme->events) : NULL;
    delivery.events = json_is_array(events) ? events : NULL;
    enum result result = json_array_size(delivery.events) > WEBHOOK_EVENTS_MAX
                             ? RESULT_TOO_MANY
                             : read_greeting(webhook, &delivery);
    if (result != RESULT_OK) {
        webhook_delivery_finish(&delivery);
        return result;
    }
    *out_delivery = delivery;
    return RESULT_OK;
}

void webhook_delivery_finish(struct webhook_delivery *delivery)
{
    if (delivery) {
        json_decref(delivery->body);
        *delivery = (struct webhook_delivery){0};
    }
}

/* ---- events ---- */

size_t webhook_event_count(const struct webhook_delivery *delivery)
{
    if (delivery->kind != WEBHOOK_EVENTS) {
        return 0;
    }
    return delivery->events ? json_array_size(delivery->events) : 1;
}

const json_t *webhook_event(const struct webhook_delivery *delivery, size_t index)
{
    return delivery->events ? json_array_get(delivery->events, index) : delivery->body;
}

const char *webhook_event_type(const struct webhook *webhook, const struct webhook_delivery *delivery,
                               size_t index)
{
    const struct webhook_scheme *scheme = webhook_scheme(webhook);
    if (scheme->type_header) {
        return delivery->type;
    }
    const json_t *event = webhook_event(delivery, index);
    return scheme->type_member ? json_string_value(json_pointer_get(event, scheme->type_member)) : NULL;
}

/** The members that name an event, a line each. False when the first is missing: then the others name nothing. */
static bool print_members(const struct webhook_scheme *scheme, const json_t *event, struct bytes *out)
{
    for (size_t i = 0; i < WEBHOOK_ID_MEMBERS_MAX && scheme->id_members[i]; i++) {
        const json_t *member = json_pointer_get(event, scheme->id_members[i]);
        char *text = member ? json_dumps(member, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        bytes_append_text(out, text ? text : "");
        bytes_append_byte(out, '\n');
        free(text);
        if (!text && i == 0) {
            return false;
        }
    }
    return out->length > 0 && !bytes_failed(out);
}

bool webhook_event_key(const struct webhook *webhook, const struct webhook_delivery *delivery, size_t index,
                       unsigned char out_key[WEBHOOK_KEY_BYTES])
{
    const struct webhook_scheme *scheme = webhook_scheme(webhook);
    struct bytes name;
    bytes_init(&name, NAME_MAX_BYTES);
    bool has_name = false;
    if (scheme->id_header) {
        bytes_append_format(&name, "%zu\n", delivery->events ? index : 0);
        bytes_append_text(&name, delivery->id ? delivery->id : "");
        has_name = delivery->id && delivery->id[0] != '\0' && !bytes_failed(&name);
    } else {
        has_name = print_members(scheme, webhook_event(delivery, index), &name);
    }
    bool is_set = has_name && EVP_Digest(name.at, name.length, out_key, NULL, EVP_sha256(), NULL) == 1;
    bytes_finish(&name);
    return is_set;
}
