/**
 * What a genuine webhook holds: a challenge to answer, a ping, or events.
 *
 * Only after webhook_check(): here the body is parsed.
 */
#ifndef SOPHIA_ACCESS_WEBHOOK_DELIVERY_H
#define SOPHIA_ACCESS_WEBHOOK_DELIVERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "access/webhook.h"

enum { WEBHOOK_EVENTS_MAX = 1000, WEBHOOK_DEPTH_MAX = 32, WEBHOOK_CHALLENGE_MAX_BYTES = 1024 };

enum webhook_delivery_kind {
    WEBHOOK_EVENTS,
    WEBHOOK_CHALLENGE, /* Slack's url_verification: answer with `challenge` as plain text */
    WEBHOOK_PING,      /* GitHub's and Figma's greeting: answer 200, nothing has happened */
};

struct webhook_delivery {
    enum webhook_delivery_kind kind;
    json_t *body;          /* owned; NULL: the body is not JSON */
    const json_t *events;  /* the array of them, in body; NULL: the body is the one event */
    const char *challenge; /* in body; WEBHOOK_CHALLENGE only */
    const char *id;        /* of a header, borrowed from the request; NULL: none */
    const char *type;      /* likewise */
};

/**
 * Owns:   on OK the caller calls webhook_delivery_finish(); the request must live until then.
 * Result: OK, also for a body that is not JSON (the provider may send forms); TOO_DEEP, TOO_MANY (events), MALFORMED (a
 *         challenge that cannot be answered).
 */
MUST_CHECK enum result webhook_delivery_read(const struct webhook *webhook,
                                             const struct webhook_request *request,
                                             struct webhook_delivery *out_delivery);
/** Safe on a zeroed struct and on NULL. */
void webhook_delivery_finish(struct webhook_delivery *delivery);

size_t webhook_event_count(const struct webhook_delivery *delivery);
/** NULL: the body is not JSON. */
const json_t *webhook_event(const struct webhook_delivery *delivery, size_t index);
/** What kind of event, as the provider calls it; NULL when it says nothing. */
const char *webhook_event_type(const struct webhook *webhook, const struct webhook_delivery *delivery,
                               size_t index);
/** What names the event, hashed: the same when the provider sends it again. False: nothing does. */
bool webhook_event_key(const struct webhook *webhook, const struct webhook_delivery *delivery, size_t index,
                       unsigned char out_key[WEBHOOK_KEY_BYTES]);

#endif
