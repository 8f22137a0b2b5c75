/* Any text, masked in each way, and as a value: it grows no more than is promised, and what is to be left out is. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "views/masking.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

static void check_text(enum text_mask mask, const char *text, size_t length)
{
    struct bytes once, twice;
    bytes_init(&once, 2 * length + 4);
    bytes_init(&twice, 3 * length + 8);
    mask_text(mask, text, length, &once);
    assert(!bytes_failed(&once) && once.length <= length + length / 2 + 3);
    mask_text(mask, once.at ? once.at : "", once.length, &twice);
    assert(!bytes_failed(&twice));
    bytes_finish(&once);
    bytes_finish(&twice);
}

static void check_value(const char *text, size_t length)
{
    struct kpi_column columns[] = {
        {.key = (char[]){"who"}, .unit = UNIT_TEXT, .privacy = PRIVACY_PERSONAL, .mask = MASK_NAME},
        {.key = (char[]){"n"}, .unit = UNIT_NUMBER, .privacy = PRIVACY_BUSINESS},
    };
    const struct kpi kpi = {.type = KPI_TABLE, .columns = columns, .column_count = 2};
    struct bytes out;
    bytes_init(&out, 8 * length + 256);
    if (mask_value(&kpi, 1U << PRIVACY_PUBLIC, text, length, &out)) {
        assert(out.length >= 2 && out.at[0] == '{' && !memmem(out.at, out.length, "\"n\":", 4));
    } else {
        assert(out.length == 0);
    }
    bytes_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    const char *text = (const char *)input;
    check_text(MASK_ALL, text, length);
    check_text(MASK_NAME, text, length);
    check_text(MASK_PROSE, text, length);
    check_value(text, length);
    return 0;
}
