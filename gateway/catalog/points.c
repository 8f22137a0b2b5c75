/*
 * Points go straight to the history ring, which keeps text tokens: printing
 * happens once here and never again when a snapshot is encoded.
 */
#include "catalog/points.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

size_t kpi_number_print(const struct kpi *kpi, double number, char out_text[POINT_TEXT_MAX])
{
    int length = kpi->unit == UNIT_MONEY
                     ? snprintf(out_text, POINT_TEXT_MAX, "\"%.*f\"", kpi->decimals, number)
                     : snprintf(out_text, POINT_TEXT_MAX, "%.15g", number);
    return length > 0 && length < POINT_TEXT_MAX ? (size_t)length : 0;
}

static bool point_read(const struct kpi *kpi, const json_t *point, int64_t *out_as_of_ms, double *out_number)
{
    const json_t *at = json_array_get(point, 0);
    const json_t *value = json_array_get(point, 1);
    if (json_array_size(point) != 2 || !json_is_integer(at)) {
        return false;
    }
    char decimal[POINT_TEXT_MAX];
    if (json_is_number(value)) {
        *out_number = json_number_value(value) * kpi->scale;
    } else if (decimal_normalise(value, kpi->decimals, decimal, sizeof decimal) == RESULT_OK) {
        *out_number = strtod(decimal, NULL) * kpi->scale;
    } else {
        return false;
    }
    *out_as_of_ms = json_integer_value(at);
    return isfinite(*out_number);
}

size_t kpi_points_each(const struct kpi *kpi, const struct change *change,
                       void (*visit)(void *context, int64_t as_of_ms, const char *text, size_t length),
                       void *context)
{
    size_t passed_over = 0;
    size_t index = 0;
    json_t *point = NULL;
    json_array_foreach(change->points, index, point) {
        char text[POINT_TEXT_MAX];
        int64_t as_of_ms = 0;
        double number = 0;
        size_t length = point_read(kpi, point, &as_of_ms, &number) ? kpi_number_print(kpi, number, text) : 0;
        if (length == 0) {
            passed_over++;
            continue;
        }
        visit(context, as_of_ms, text, length);
    }
    return passed_over;
}
