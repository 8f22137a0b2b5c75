/* Any bytes as a position: what parses prints as itself. */
#include "protocol/position.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct position position;
    if (position_parse((const char *)input, size, &position) == RESULT_OK) {
        char text[POSITION_TEXT_MAX_BYTES + 1];
        assert(position.epoch != 0 && position.offset <= INTEGER_MAX_EXACT);
        assert(position_print(&position, text) == size);
        assert(memcmp(text, input, size) == 0);
    }
    return 0;
}
