/**
 * From the events of a webhook to changes, as a hook's fields say.
 */
#ifndef SOPHIA_SOURCES_WEBHOOKS_CHANGES_H
#define SOPHIA_SOURCES_WEBHOOKS_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/webhook_delivery.h"
#include "protocol/result.h"
#include "sources/batch.h"
#include "sources/webhooks_mapping.h"

/** What the events are to be read with. */
struct webhooks_reading {
    const struct webhooks_hook *hook;
    const struct webhook *webhook;
    const struct webhook_delivery *delivery;
    const bool *is_known; /* by event: it came before, and means nothing now; NULL: none did */
    bool has_as_of;
    int64_t as_of_ms;
    uint64_t *const
        *counts; /* by field: how many events were counted until now; NULL where it does not count */
};

struct webhooks_read {
    size_t events; /* that mean something */
    size_t absent; /* values that the events do not hold */
};

/**
 * Appends to the batch: one change per event and field that has a pointer, and one per field that counts. Items that cannot
 * be a change carry their outcome and detail.
 * Result: TOO_MANY (changes), MALFORMED (the body is not JSON, and a field needs it), NO_MEMORY: nothing is to be used.
 */
MUST_CHECK enum result webhooks_read_changes(const struct webhooks_reading *reading, struct batch *batch,
                                             struct webhooks_read *out_read);

#endif
