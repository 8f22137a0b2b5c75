/* Any bytes as a viewer's message: refused by name, or decoded within the limits. */
#include "protocol/viewer_message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct viewer_message message;
    const char *problem = NULL;
    enum result result = viewer_message_decode((const char *)input, size, &message, &problem);
    if (result != RESULT_OK) {
        bool is_about_a_member = result == RESULT_MISSING_FIELD || result == RESULT_WRONG_TYPE ||
                                 result == RESULT_OUT_OF_RANGE || result == RESULT_UNKNOWN_TYPE;
        assert(is_about_a_member == (problem != NULL));
        return 0;
    }
    assert(problem == NULL && size <= VIEWER_MESSAGE_MAX_BYTES);
    assert((unsigned)message.type < VIEWER_MESSAGE_TYPE_COUNT);
    assert(strnlen(message.board, sizeof message.board) < sizeof message.board);
    assert(strnlen(message.client, sizeof message.client) < sizeof message.client);
    assert(message.token == NULL || strlen(message.token) <= TOKEN_MAX_BYTES);
    assert(message.quality.max_rate >= 0.0 && message.quality.max_rate <= 100.0);
    assert(message.delay_count <= REPORT_DELAYS_MAX &&
           (message.delay_count > 0) == (message.type == VIEWER_REPORT));
    for (unsigned i = 0; i < message.delay_count; i++) {
        assert(message.delays_ms[i] >= 0.0 && message.delays_ms[i] <= REPORT_DELAY_MAX_MS);
    }
    viewer_message_finish(&message);
    return 0;
}
