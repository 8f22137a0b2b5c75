/* PROXY headers. Cut anywhere they must be partial, and what follows a whole one must not change it. */
#include "io/proxy_header.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct proxy_header whole, cut;
    enum proxy_header_state state = proxy_header_parse(bytes, length, &whole);
    if (state == PROXY_HEADER_PARTIAL && length >= PROXY_HEADER_MAX_BYTES) {
        abort(); /* it would be waited for without end */
    }
    if (state != PROXY_HEADER_WHOLE) {
        return 0;
    }
    if (whole.length == 0 || whole.length > length || whole.length > PROXY_HEADER_MAX_BYTES ||
        (whole.is_local && whole.client.version != 0)) {
        abort();
    }
    char *copy = malloc(whole.length); /* of its own, so that a step beyond it is seen */
    if (!copy) {
        abort();
    }
    memcpy(copy, bytes, whole.length);
    for (size_t i = 0; i < whole.length; i++) {
        if (proxy_header_parse(copy, i, &cut) != PROXY_HEADER_PARTIAL) {
            abort();
        }
    }
    if (proxy_header_parse(copy, whole.length, &cut) != PROXY_HEADER_WHOLE ||
        memcmp(&cut.client, &whole.client, sizeof cut.client) != 0 || cut.length != whole.length) {
        abort();
    }
    free(copy);
    return 0;
}
