/*
 * The definition reader and the door. The input is lines: a KPI definition, then change envelopes. Whatever the
 * definition says, what the door lets through must be one line of JSON that holds an as_of, and what it refuses
 * must leave the buffer alone and say why.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/class_table.h"
#include "catalog/kpi_definition.h"
#include "protocol/change.h"

#define NOW_MS 1763719200000LL

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

static void check_admitted(struct bytes *text)
{
    assert(memchr(text->at, '\n', text->length) == NULL);
    bytes_append_byte(text, '}');
    json_auto_t *value = json_loadb(text->at, text->length, JSON_REJECT_DUPLICATES, NULL);
    assert(value && json_is_integer(json_object_get(value, "as_of")));
}

static void admit(const struct kpi *kpi, const struct change *change)
{
    struct bytes text;
    struct admitted_value value;
    char detail[REASON_MAX_BYTES + 1] = "";
    bytes_init(&text, 65536);
    enum result result = catalog_admit(kpi, change, NOW_MS, &text, &value, detail);
    if (result == RESULT_OK && !change->is_delete) {
        check_admitted(&text);
    } else {
        assert(text.length == 0 && (result == RESULT_OK || detail[0] != '\0'));
    }
    bytes_finish(&text);
}

static void read_change(const struct kpi *kpi, const char *line, size_t length)
{
    json_auto_t *envelope = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    struct change change;
    const char *problem = NULL;
    if (envelope && change_decode(envelope, &change, &problem) == RESULT_OK) {
        admit(kpi, &change);
        change_finish(&change);
    }
}

static void read_changes(const struct kpi *kpi, const char *at, const char *end)
{
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        read_change(kpi, at, (size_t)(stop - at));
        at = stop + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    const char *text = (const char *)input;
    const char *end = text + length;
    const char *stop = length > 0 ? memchr(text, '\n', length) : NULL;
    json_auto_t *raw = json_loadb(text, (size_t)((stop ? stop : end) - text), JSON_REJECT_DUPLICATES, NULL);
    if (!raw) {
        return 0;
    }
    struct catalog_report report;
    struct class_table classes;
    struct role_table roles;
    catalog_report_init(&report);
    class_table_init(&classes);
    role_table_init(&roles);
    struct place place = place_of_file(&report, "fuzz");
    json_auto_t *no_classes = json_object();
    class_table_read(&classes, no_classes, &place);
    struct kpi *kpi = kpi_read(raw, 0, &classes, &roles, &place);
    assert(kpi || report.count > 0);
    if (kpi && report.count == 0 && stop) {
        read_changes(kpi, stop + 1, end);
    }
    kpi_destroy(kpi);
    class_table_finish(&classes);
    catalog_report_finish(&report);
    return 0;
}
