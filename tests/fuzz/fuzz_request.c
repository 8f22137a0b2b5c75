/*
 * The head of an HTTP request, and everything that is asked of a parsed one.
 */
#include <stdint.h>
#include <stdlib.h>

#include "io/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct request *request = NULL;
    if (request_parse((const char *)bytes, length, &request) != 0) {
        return 0;
    }
    uint64_t content_length = 0;
    bool is_present = false;
    (void)request_content_length(request, &content_length, &is_present);
    if (content_length > 999999999999999ULL || request->path[0] != '/') {
        abort(); /* the header promises 15 digits and an absolute path */
    }
    (void)request_has_token(request, "connection", "upgrade");
    (void)request_has_exact_token(request, "sec-websocket-protocol", "kpi.v1");
    (void)request_parameter(request, "position");
    (void)request_header_count(request, "host");
    free(request);
    return 0;
}
