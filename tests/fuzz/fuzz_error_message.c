/* Any text of a peer, echoed in an error: the message stays one JSON object whose members are ours. */
#include "protocol/gateway_message.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char *text = calloc(1, size + 1);
    assert(text != NULL);
    memcpy(text, input, size);
    struct bytes out;
    bytes_init(&out, 8192);
    error_encode(CLOSE_INVALID_MESSAGE, text, text, &out);
    assert(!bytes_failed(&out));
    json_auto_t *message = json_loadb(out.at, out.length, JSON_REJECT_DUPLICATES, NULL);
    assert(json_object_size(message) == 7);
    assert(json_is_string(json_object_get(message, "detail")));
    bytes_finish(&out);
    free(text);
    return 0;
}
