/**
 * What a notification's payload says, and a row as the cache keeps it. Pure.
 * Only postgres_notifications.c includes this.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_NOTIFICATION_PAYLOAD_H
#define SOPHIA_SOURCES_POSTGRES_NOTIFICATION_PAYLOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "catalog/catalog.h"
#include "io/pg_link.h"
#include "protocol/change.h"
#include "protocol/result.h"

struct notification_payload {
    char relation[128];
    char key[ROW_KEY_MAX_BYTES + 1];
    bool has_revision;
    uint64_t revision;
    bool is_delete;
    json_t *value; /* owned; NULL: the row is to be read */
    json_t *as_of; /* owned; NULL: now */
};

/** Result: MALFORMED, MISSING_FIELD (no key), WRONG_TYPE, OUT_OF_RANGE (revision), TOO_BIG. The caller calls payload_finish() on OK. */
MUST_CHECK enum result payload_decode(const char *text, struct notification_payload *out_payload);
void payload_finish(struct notification_payload *payload);

/** The value that came along as a change. Result: as change_decode(). */
MUST_CHECK enum result payload_change(const struct notification_payload *payload, const char *field,
                                      struct change *out_change);

/** The first row as the cache keeps it; version: of the row when it has one, else what is passed. NULL: no memory, or no row. */
struct cache_value *row_pack(const struct pg_result *result, uint64_t version, int64_t now_ms);
/** The other way. key: the row's, when its columns have none. Result: as postgres_row_read(). */
MUST_CHECK enum result row_unpack(const struct cache_value *value, const struct kpi *kpi, const char *key,
                                  struct change *out_change, char out_detail[REASON_MAX_BYTES + 1]);

#endif
