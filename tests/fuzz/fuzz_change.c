/* Any JSON as a change, or as an array of changes: refused by name, or saying exactly one thing. */
#include "protocol/change.h"

#include <assert.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check_change(const struct change *change)
{
    assert(change->field[0] >= 'a' && change->field[0] <= 'z');
    assert((unsigned)change->state < VALUE_STATE_COUNT && !change->is_demo);
    assert((change->value != NULL) + change->has_ratio + change->is_delete <= 1);
    assert(change->value == NULL || change->state == VALUE_OK || change->state == VALUE_PARTIAL);
    if (change->has_ratio && change->state != VALUE_NO_DATA) {
        assert(isfinite(change->numerator / change->denominator));
    }
    assert(!change->has_version || (change->version >= 1 && change->version <= INTEGER_MAX_EXACT));
    assert(!change->has_as_of || (change->as_of_ms >= 0 && change->as_of_ms <= INTEGER_MAX_EXACT));
}

static void decode(const json_t *envelope)
{
    struct change change;
    const char *problem = NULL;
    enum result result = change_decode(envelope, &change, &problem);
    if (result != RESULT_OK) {
        assert(problem != NULL || result == RESULT_MALFORMED);
        return;
    }
    check_change(&change);
    char text[64];
    if (change.value != NULL && decimal_normalise(change.value, 2, text, sizeof text) == RESULT_OK) {
        assert(text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
    }
    change_finish(&change);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    json_auto_t *body = json_loadb((const char *)input, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (body == NULL) {
        return 0;
    }
    if (!json_is_array(body)) {
        decode(body);
    }
    for (size_t i = 0; i < json_array_size(body); i++) {
        decode(json_array_get(body, i));
    }
    return 0;
}
