/*
 * Sec-WebSocket-Extensions. What is answered must be an answer, and an offer that is accepted stays so in a longer list.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/deflate_offer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *header = malloc(length + 1); /* exact: a read past the end is seen */
    char *longer = malloc(2 * length + 3);
    if (!header || !longer) {
        abort();
    }
    memcpy(header, bytes, length);
    header[length] = '\0';
    const char *answer = deflate_offer_answer(header);
    if (answer) {
        if (strncmp(answer, DEFLATE_ANSWER, strlen(DEFLATE_ANSWER)) != 0 ||
            !strstr(header, "permessage-deflate")) {
            abort();
        }
        snprintf(longer, 2 * length + 3, "%s, %s", header, header);
        const char *again = deflate_offer_answer(longer);
        if (!again || strcmp(again, answer) != 0) {
            abort();
        }
    }
    free(header);
    free(longer);
    return 0;
}
