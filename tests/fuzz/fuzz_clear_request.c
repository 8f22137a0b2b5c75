/* Any text as what the cache should forget: refused with a reason, or one name within its limit. */
#include "protocol/clear_request.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct clear_request request;
    const char *problem = NULL;
    if (clear_request_decode((const char *)input, size, &request, &problem) == RESULT_OK) {
        size_t length = strlen(request.name);
        assert(length >= 1 && length <= CACHE_NAME_MAX_BYTES);
    } else {
        assert(problem != NULL);
    }
    return 0;
}
