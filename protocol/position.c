/*
 * Positions as text. Parsing accepts only what printing produces (lower case,
 * no leading zeros, no epoch 0), so text equality is position equality.
 */
#include "protocol/position.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NONCE_DIGITS = 8 };

static bool parse_hex(const char *text, size_t digits, uint64_t *out_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *out_value = value;
    return true;
}

static bool parse_offset(const char *text, size_t digits, uint64_t *out_value)
{
    if (digits == 0 || digits > 16 || (digits > 1 && text[0] == '0')) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out_value = value;
    return value <= INTEGER_MAX_EXACT;
}

enum result position_parse(const char *text, size_t length, struct position *out_position)
{
    size_t frame = EPOCH_TEXT_BYTES + 1 + 1 + NONCE_DIGITS;
    if (length <= frame || length > POSITION_TEXT_MAX_BYTES) {
        return RESULT_MALFORMED;
    }
    size_t offset_digits = length - frame;
    const char *offset_text = text + EPOCH_TEXT_BYTES + 1;
    const char *nonce_text = offset_text + offset_digits + 1;
    struct position position;
    uint64_t nonce;
    if (text[EPOCH_TEXT_BYTES] != '.' || offset_text[offset_digits] != '.' ||
        !parse_hex(text, EPOCH_TEXT_BYTES, &position.epoch) || position.epoch == 0 ||
        !parse_offset(offset_text, offset_digits, &position.offset) ||
        !parse_hex(nonce_text, NONCE_DIGITS, &nonce)) {
        return RESULT_MALFORMED;
    }
    position.nonce = (uint32_t)nonce;
    *out_position = position;
    return RESULT_OK;
}

size_t position_print(const struct position *position, char out_text[POSITION_TEXT_MAX_BYTES + 1])
{
    int length = snprintf(out_text, POSITION_TEXT_MAX_BYTES + 1, "%016" PRIx64 ".%" PRIu64 ".%08" PRIx32,
                          position->epoch, position->offset, position->nonce);
    if (length < 0 || length > POSITION_TEXT_MAX_BYTES) {
        out_text[0] = '\0'; /* only for an offset past INTEGER_MAX_EXACT by three digits: not a position */
        return 0;
    }
    return (size_t)length;
}

bool position_equal(const struct position *a, const struct position *b)
{
    return a->epoch == b->epoch && a->offset == b->offset && a->nonce == b->nonce;
}
