/*
 * Compressed messages of viewers: one inflater for all of them, whatever it was fed before. The first byte chooses the
 * cap; what was accepted is deflated and inflated again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fanout/deflate.h"
#include "io/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { MAX_BYTES = 16384 };

static void check_round_trip(struct inflater *inflater, const char *text, size_t length)
{
    static struct deflater *deflater;
    static char copy[MAX_BYTES];
    static uint8_t payload[2 * MAX_BYTES];
    size_t payload_length = 0;
    deflater = deflater ? deflater : deflater_create();
    memcpy(copy, text, length); /* the next call takes the text back */
    if (!deflater_run(deflater, copy, length, payload, sizeof payload, &payload_length) ||
        inflater_run(inflater, (const char *)payload, payload_length, MAX_BYTES, &text, &payload_length) !=
            RESULT_OK ||
        payload_length != length || memcmp(text, copy, length) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct inflater *inflater;
    inflater = inflater ? inflater : inflater_create();
    if (length == 0) {
        return 0;
    }
    size_t cap = bytes[0] % 2 ? MAX_BYTES : 1 + bytes[0];
    const char *text = NULL;
    size_t text_length = 0;
    enum result result =
        inflater_run(inflater, (const char *)bytes + 1, length - 1, cap, &text, &text_length);
    if (result == RESULT_OK) {
        if (text_length > cap) {
            abort();
        }
        check_round_trip(inflater, text, text_length);
    } else if (result != RESULT_MALFORMED && result != RESULT_TOO_BIG) {
        abort();
    }
    return 0;
}
