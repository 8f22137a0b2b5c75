/*
 * Any message of Redis in any form: refused by name, or changes that the decoder of envelopes would have taken. The first
 * byte chooses the form, what it feeds and whether it is the entry of a hash.
 */
#include "sources/redis_payload.h"

#include <assert.h>
#include <string.h>

#include "protocol/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct catalog *load_catalog(void)
{
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(DEFINITIONS, &report);
    catalog_report_finish(&report);
    assert(catalog);
    return catalog;
}

static void check_item(const struct submission_item *item, const struct redis_meaning *meaning)
{
    assert(memchr(item->change.field, '\0', sizeof item->change.field));
    assert(memchr(item->detail, '\0', sizeof item->detail));
    if (item->outcome != RESULT_OK) {
        assert(item->detail[0] != '\0');
        return;
    }
    const struct change *change = &item->change;
    assert((change->value != NULL) + change->has_ratio + change->is_delete <= 1);
    assert(change->has_version || meaning->version == 0);
    assert(change->version <= INTEGER_MAX_EXACT);
    if (meaning->form == REDIS_FORM_KPI) {
        assert(catalog_kpi_of_field(meaning->catalog, change->field));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct catalog *catalog;
    static const char *const fields[] = {"know.search_p95", "exec.customer_health_mix", "exec.insights",
                                         "know.insights",   "ops.platform#search",      "no.such"};
    if (!catalog) {
        catalog = load_catalog();
    }
    if (size == 0) {
        return 0;
    }
    const unsigned choice = input[0];
    const struct redis_meaning meaning = {
        .catalog = catalog,
        .form = choice & 1 ? REDIS_FORM_ENVELOPE : REDIS_FORM_KPI,
        .fields = fields + (choice >> 1) % 5,
        .field_count = 2,
        .name = choice & 64 ? "entry" : NULL,
        .version = choice & 128 ? 7 : 0,
    };
    struct batch *batch = batch_create();
    struct redis_leftover leftover;
    enum result result = redis_payload_decode(&meaning, (const char *)input + 1, size - 1, batch, &leftover);
    assert(result == RESULT_OK || result == RESULT_MALFORMED || result == RESULT_TOO_DEEP ||
           result == RESULT_TOO_MANY || result == RESULT_TOO_BIG);
    assert(batch->count <= INGEST_ITEMS_MAX);
    for (size_t i = 0; result == RESULT_OK && i < batch->count; i++) {
        check_item(&batch->items[i], &meaning);
    }
    batch_destroy(batch);
    return 0;
}
