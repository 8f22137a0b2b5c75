/*
 * Each KPI has a fixed array of points sorted by time, oldest first. With at
 * most 120 points a memmove is cheaper than anything cleverer.
 */
#include "state/history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "protocol/limits.h"

struct point {
    int64_t as_of_ms;
    char text[HISTORY_TEXT_MAX];
};

struct kpi_history {
    uint64_t step_ms;
    uint32_t capacity;
    uint32_t count;
    struct point points[];
};

struct history {
    struct map kpis; /* KPI id -> struct kpi_history */
};

struct history *history_create(size_t max_kpis)
{
    struct history *history = calloc(1, sizeof *history);
    if (history) {
        map_init(&history->kpis, max_kpis);
    }
    return history;
}

void history_destroy(struct history *history)
{
    if (!history) {
        return;
    }
    size_t cursor = 0;
    void *kpi = NULL;
    while (map_next(&history->kpis, &cursor, NULL, NULL, &kpi)) {
        free(kpi);
    }
    map_finish(&history->kpis);
    free(history);
}

static struct kpi_history *find(const struct history *history, const char *kpi)
{
    return map_get(&history->kpis, kpi, strlen(kpi));
}

enum result history_define(struct history *history, const char *kpi, uint32_t points, uint64_t step_ms)
{
    assert(points >= 1 && points <= HISTORY_POINTS_MAX && step_ms > 0);
    struct kpi_history *old = find(history, kpi);
    if (old && old->capacity == points && old->step_ms == step_ms) {
        return RESULT_OK;
    }
    struct kpi_history *fresh = calloc(1, sizeof *fresh + points * sizeof fresh->points[0]);
    if (!fresh) {
        return RESULT_NO_MEMORY;
    }
    fresh->step_ms = step_ms;
    fresh->capacity = points;
    if (old && old->step_ms == step_ms) {
        fresh->count = old->count < points ? old->count : points;
        memcpy(fresh->points, old->points + (old->count - fresh->count),
               fresh->count * sizeof fresh->points[0]);
    }
    enum result result = map_put(&history->kpis, kpi, strlen(kpi), fresh);
    if (result != RESULT_OK) {
        free(fresh);
        return result;
    }
    free(old);
    return RESULT_OK;
}

void history_drop(struct history *history, const char *kpi)
{
    free(map_remove(&history->kpis, kpi, strlen(kpi)));
}

static int64_t bucket_of(const struct kpi_history *kpi, int64_t as_of_ms)
{
    int64_t step = (int64_t)kpi->step_ms;
    int64_t bucket = as_of_ms / step;
    return as_of_ms % step < 0 ? bucket - 1 : bucket;
}

static void point_set(struct point *point, int64_t as_of_ms, const char *text, size_t length)
{
    point->as_of_ms = as_of_ms;
    memcpy(point->text, text, length);
    point->text[length] = '\0';
}

enum result history_record(struct history *history, const char *kpi, int64_t as_of_ms, const char *text,
                           size_t length)
{
    struct kpi_history *found = find(history, kpi);
    if (!found) {
        return RESULT_UNKNOWN_FIELD;
    }
    if (length >= HISTORY_TEXT_MAX) {
        return RESULT_TOO_BIG;
    }
    int64_t bucket = bucket_of(found, as_of_ms);
    uint32_t at = found->count;
    while (at > 0 && bucket_of(found, found->points[at - 1].as_of_ms) > bucket) {
        at--;
    }
    if (at > 0 && bucket_of(found, found->points[at - 1].as_of_ms) == bucket) {
        if (as_of_ms < found->points[at - 1].as_of_ms) {
            return RESULT_OLDER;
        }
        point_set(&found->points[at - 1], as_of_ms, text, length);
        return RESULT_OK;
    }
    if (found->count == found->capacity) {
        if (at == 0) {
            return RESULT_OLDER;
        }
        memmove(&found->points[0], &found->points[1], (at - 1) * sizeof found->points[0]);
        at--;
    } else {
        memmove(&found->points[at + 1], &found->points[at], (found->count - at) * sizeof found->points[0]);
        found->count++;
    }
    point_set(&found->points[at], as_of_ms, text, length);
    return RESULT_OK;
}

bool history_print(const struct history *history, const char *kpi, size_t max_points, struct bytes *out)
{
    const struct kpi_history *found = find(history, kpi);
    if (!found) {
        return false;
    }
    uint32_t first = found->count > max_points ? found->count - (uint32_t)max_points : 0;
    bytes_append_byte(out, '[');
    for (uint32_t i = first; i < found->count; i++) {
        bytes_append_text(out, i > first ? ",[" : "[");
        bytes_append_i64(out, found->points[i].as_of_ms);
        bytes_append_byte(out, ',');
        bytes_append_text(out, found->points[i].text);
        bytes_append_byte(out, ']');
    }
    bytes_append_byte(out, ']');
    return true;
}

size_t history_count(const struct history *history, const char *kpi)
{
    const struct kpi_history *found = find(history, kpi);
    return found ? found->count : 0;
}

uint64_t history_step_ms(const struct history *history, const char *kpi)
{
    const struct kpi_history *found = find(history, kpi);
    return found ? found->step_ms : 0;
}
