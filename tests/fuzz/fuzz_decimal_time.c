/* Any text as a time and as a decimal, any eight bytes as a real: normalising twice changes nothing. */
#include "protocol/change.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void normalise(const json_t *value, int decimals)
{
    char once[64];
    char twice[64];
    if (decimal_normalise(value, decimals, once, sizeof once) != RESULT_OK) {
        return;
    }
    json_auto_t *again = json_string(once);
    assert(decimal_normalise(again, decimals, twice, sizeof twice) == RESULT_OK);
    assert(strcmp(once, twice) == 0);
}

static void normalise_real(const uint8_t *input)
{
    double real;
    memcpy(&real, input, sizeof real);
    json_auto_t *value = isfinite(real) ? json_real(real) : NULL;
    for (int decimals = 0; value != NULL && decimals <= 20; decimals += 4) {
        normalise(value, decimals);
    }
}

static void check_time(const char *text)
{
    int64_t ms;
    if (time_parse(text, &ms) == RESULT_OK) {
        /* years 0000 to 9999, a day of zone offset on either side */
        assert(ms >= -62167219200000 - 86400000 && ms <= 253402300800000 + 86400000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char *text = calloc(1, size + 1);
    assert(text != NULL);
    memcpy(text, input, size);
    check_time(text);
    json_auto_t *value = json_string(text);
    for (int decimals = 0; value != NULL && decimals <= 20; decimals += 4) {
        normalise(value, decimals);
    }
    if (size >= sizeof(double)) {
        normalise_real(input);
    }
    free(text);
    return 0;
}
