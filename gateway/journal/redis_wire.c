/*
 * Strict: what the script would not have written is refused whole. A publication is refused before any of it
 * is applied.
 */
#include "journal/redis_wire.h"

#include <stdlib.h>
#include <string.h>

#include "journal/json_object.h"
#include "protocol/limits.h"

struct cursor {
    const char *at, *end;
};

enum result wire_decode_number(const char *text, size_t length, uint64_t most, uint64_t *out_number)
{
    uint64_t number = 0;
    if (length == 0 || length > 20 || (text[0] == '0' && length > 1)) {
        return RESULT_MALFORMED;
    }
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return RESULT_MALFORMED;
        }
    }
    if (number > most) {
        return RESULT_MALFORMED;
    }
    *out_number = number;
    return RESULT_OK;
}

enum result wire_decode_epoch(const char *text, size_t length, uint64_t *out_epoch)
{
    uint64_t epoch = 0;
    if (length != EPOCH_TEXT_BYTES) {
        return RESULT_MALFORMED;
    }
    for (size_t i = 0; i < length; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        bool is_letter = text[i] >= 'a' && text[i] <= 'f';
        if (!is_digit && !is_letter) {
            return RESULT_MALFORMED;
        }
        epoch = epoch << 4 | (uint64_t)(is_digit ? text[i] - '0' : text[i] - 'a' + 10);
    }
    if (epoch == 0) {
        return RESULT_MALFORMED;
    }
    *out_epoch = epoch;
    return RESULT_OK;
}

enum result wire_decode_id(const char *text, size_t length, struct position *out_position)
{
    const char *dash = memchr(text, '-', length);
    uint64_t offset = 0, nonce = 0;
    if (!dash) {
        return RESULT_MALFORMED;
    }
    size_t head = (size_t)(dash - text);
    if (wire_decode_number(text, head, INTEGER_MAX_EXACT, &offset) != RESULT_OK ||
        wire_decode_number(dash + 1, length - head - 1, UINT32_MAX, &nonce) != RESULT_OK) {
        return RESULT_MALFORMED;
    }
    out_position->offset = offset;
    out_position->nonce = (uint32_t)nonce;
    return RESULT_OK;
}

bool wire_is_field(const char *text, size_t length)
{
    return length <= FIELD_MAX_BYTES && text_is_printable(text, length);
}

/* A word and the one byte that ends it. */
static bool word_take(struct cursor *cursor, char ending, const char **out_word, size_t *out_length)
{
    const char *end = memchr(cursor->at, ending, (size_t)(cursor->end - cursor->at));
    if (!end) {
        return false;
    }
    *out_word = cursor->at;
    *out_length = (size_t)(end - cursor->at);
    cursor->at = end + 1;
    return true;
}

static bool number_take(struct cursor *cursor, char ending, uint64_t most, uint64_t *out_number)
{
    const char *word = NULL;
    size_t length = 0;
    return word_take(cursor, ending, &word, &length) &&
           wire_decode_number(word, length, most, out_number) == RESULT_OK;
}

static bool epoch_take(struct cursor *cursor, char ending, uint64_t *out_epoch)
{
    const char *word = NULL;
    size_t length = 0;
    return word_take(cursor, ending, &word, &length) &&
           wire_decode_epoch(word, length, out_epoch) == RESULT_OK;
}

static bool text_take(struct cursor *cursor, uint64_t length, const char **out_text)
{
    if (length > (uint64_t)(cursor->end - cursor->at)) {
        return false;
    }
    *out_text = cursor->at;
    cursor->at += length;
    return true;
}

static bool value_length_take(struct cursor *cursor, bool *out_is_removed, uint64_t *out_length)
{
    const char *word = NULL;
    size_t length = 0;
    if (!word_take(cursor, '\n', &word, &length)) {
        return false;
    }
    *out_is_removed = length == 1 && word[0] == '-';
    *out_length = 0;
    return *out_is_removed || wire_decode_number(word, length, VALUE_MAX_BYTES, out_length) == RESULT_OK;
}

static enum result entry_decode(struct cursor *cursor, struct wire_message *message)
{
    struct overlay_entry entry = {.value = NULL};
    struct overlay *publication = &message->publication;
    uint64_t before =
        publication->count ? publication->entries[publication->count - 1].rev : publication->from;
    uint64_t version = 0, field_length = 0, value_length = 0;
    bool is_removed = false;
    if (!number_take(cursor, ' ', publication->to.offset, &entry.rev) || entry.rev <= before ||
        !number_take(cursor, ' ', UINT64_MAX, &version) ||
        !number_take(cursor, ' ', FIELD_MAX_BYTES, &field_length) ||
        !value_length_take(cursor, &is_removed, &value_length) ||
        !text_take(cursor, field_length, &entry.field) || !wire_is_field(entry.field, field_length)) {
        return RESULT_MALFORMED;
    }
    entry.field_length = field_length;
    entry.value_length = value_length;
    if (!is_removed && (!text_take(cursor, value_length, &entry.value) ||
                        !text_is_json_object(entry.value, entry.value_length))) {
        return RESULT_MALFORMED;
    }
    message->versions[publication->count] = version;
    return overlay_add(publication, &entry);
}

static enum result versions_reserve(struct wire_message *message, size_t count)
{
    if (count <= message->version_capacity) {
        return RESULT_OK;
    }
    uint64_t *grown = realloc(message->versions, count * sizeof *grown);
    if (!grown) {
        return RESULT_NO_MEMORY;
    }
    message->versions = grown;
    message->version_capacity = count;
    return RESULT_OK;
}

static enum result publication_decode(struct cursor *cursor, struct wire_message *message)
{
    struct overlay *publication = &message->publication;
    uint64_t nonce = 0, count = 0;
    if (!epoch_take(cursor, ' ', &publication->to.epoch) ||
        !number_take(cursor, ' ', INTEGER_MAX_EXACT, &publication->from) ||
        !number_take(cursor, ' ', INTEGER_MAX_EXACT, &publication->to.offset) ||
        !number_take(cursor, ' ', UINT32_MAX, &nonce) ||
        !number_take(cursor, '\n', publication->to.offset, &count) || count == 0 ||
        count > (uint64_t)(cursor->end - cursor->at) / 8 /* an entry's line alone is longer */) {
        return RESULT_MALFORMED;
    }
    publication->to.nonce = (uint32_t)nonce;
    enum result result = versions_reserve(message, count);
    for (uint64_t i = 0; i < count && result == RESULT_OK; i++) {
        result = entry_decode(cursor, message);
    }
    if (result != RESULT_OK) {
        return result;
    }
    bool is_whole = cursor->at == cursor->end &&
                    publication->entries[publication->count - 1].rev == publication->to.offset;
    return is_whole ? RESULT_OK : RESULT_MALFORMED;
}

void wire_message_init(struct wire_message *message)
{
    memset(message, 0, sizeof *message);
    overlay_init(&message->publication);
}

void wire_message_finish(struct wire_message *message)
{
    if (message) {
        overlay_finish(&message->publication);
        free(message->versions);
    }
}

enum result wire_decode_message(const char *text, size_t length, struct wire_message *message)
{
    struct cursor cursor = {.at = text, .end = text + length};
    overlay_clear(&message->publication);
    if (length < 4 || (memcmp(text, "1 P ", 4) != 0 && memcmp(text, "1 M ", 4) != 0)) {
        return RESULT_MALFORMED;
    }
    message->is_moved = text[2] == 'M';
    cursor.at += 4;
    if (!word_take(&cursor, ' ', &message->board, &message->board_length) ||
        message->board_length > BOARD_ID_MAX_BYTES ||
        !text_is_printable(message->board, message->board_length)) {
        return RESULT_MALFORMED;
    }
    if (message->is_moved) {
        bool is_whole = epoch_take(&cursor, '\n', &message->publication.to.epoch) && cursor.at == cursor.end;
        return is_whole ? RESULT_OK : RESULT_MALFORMED;
    }
    return publication_decode(&cursor, message);
}

enum result wire_decode_stored(const char *text, size_t length, struct wire_stored *out_stored)
{
    struct cursor cursor = {.at = text, .end = text + length};
    struct wire_stored stored = {.value = NULL};
    uint64_t published = 0;
    if (!number_take(&cursor, ' ', UINT64_MAX, &stored.version) ||
        !number_take(&cursor, ' ', UINT64_MAX, &published) ||
        !number_take(&cursor, ' ', INTEGER_MAX_EXACT, &stored.offset) || cursor.at == cursor.end) {
        return RESULT_MALFORMED;
    }
    size_t left = (size_t)(cursor.end - cursor.at) - 1;
    if (*cursor.at == 'v' && left <= VALUE_MAX_BYTES && text_is_json_object(cursor.at + 1, left)) {
        stored.value = cursor.at + 1;
        stored.value_length = left;
    } else if (*cursor.at != 'd' || left > 0) {
        return RESULT_MALFORMED;
    }
    *out_stored = stored;
    return RESULT_OK;
}
