/* Any bytes as a publication, a stored field and a tail id: what decodes is fit for a board. */
#include "journal/redis_wire.h"

#include <assert.h>

#include "journal/json_object.h"
#include "protocol/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void message_check(const struct wire_message *message, const char *text, size_t size)
{
    const struct overlay *publication = &message->publication;
    assert(message->board >= text && message->board + message->board_length <= text + size);
    assert(publication->to.epoch != 0);
    if (message->is_moved) {
        return;
    }
    uint64_t rev = publication->from;
    for (size_t i = 0; i < publication->count; i++) {
        const struct overlay_entry *entry = &publication->entries[i];
        assert(entry->rev > rev);
        rev = entry->rev;
        assert(wire_is_field(entry->field, entry->field_length));
        assert(entry->field + entry->field_length <= text + size);
        assert(!entry->value || text_is_json_object(entry->value, entry->value_length));
    }
    assert(publication->count > 0 && rev == publication->to.offset && rev <= INTEGER_MAX_EXACT);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const char *text = (const char *)input;
    struct wire_message message;
    struct wire_stored stored;
    struct position position = {0};
    wire_message_init(&message);
    if (wire_decode_message(text, size, &message) == RESULT_OK) {
        message_check(&message, text, size);
    }
    wire_message_finish(&message);
    if (wire_decode_stored(text, size, &stored) == RESULT_OK) {
        assert(!stored.value || text_is_json_object(stored.value, stored.value_length));
    }
    if (wire_decode_id(text, size, &position) == RESULT_OK) {
        assert(position.offset <= INTEGER_MAX_EXACT);
    }
    return 0;
}
