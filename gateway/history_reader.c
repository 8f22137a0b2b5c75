/*
 * The KPI's query is wrapped, so that the newest points are taken and times arrive as milliseconds whatever the
 * session's settings are. A load knows its KPI by name only: definitions may be exchanged while it runs.
 */
#include "history_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "catalog/points.h"
#include "protocol/bytes.h"
#include "protocol/limits.h"

#define MARK ":history:"

enum { TEXT_MAX_BYTES = HISTORY_READ_POINTS_MAX * 64, COLUMN_AS_OF = 0, COLUMN_VALUE = 1 };

struct history_reader {
    struct history_reader_options options;
    struct cache_source source;
};

struct history_load {
    struct history_reader *reader;
    cache_loaded_fn *loaded;
    void *cache_context;
    char *sql; /* owned: must live until it was sent */
    char kpi[KPI_ID_MAX_BYTES + 1];
};

static const struct kpi *find_kpi(const struct history_reader *reader, const char *id)
{
    const struct catalog *catalog = pipeline_catalog(reader->options.pipeline);
    return catalog ? catalog_kpi(catalog, id, strlen(id)) : NULL;
}

static void load_destroy(struct history_load *load)
{
    if (load) {
        free(load->sql);
        free(load);
    }
}

/* ---- the result ---- */

static bool print_point(const struct kpi *kpi, const struct pg_result *result, size_t row, bool is_first,
                        struct bytes *out)
{
    char text[POINT_TEXT_MAX];
    const char *as_of = pg_text(result, row, COLUMN_AS_OF, NULL);
    const char *value = pg_text(result, row, COLUMN_VALUE, NULL);
    char *as_of_end = NULL;
    char *value_end = NULL;
    long long as_of_ms = as_of ? strtoll(as_of, &as_of_end, 10) : 0;
    double number = value ? strtod(value, &value_end) * kpi->scale : (double)NAN;
    size_t length = isfinite(number) ? kpi_number_print(kpi, number, text) : 0;
    if (!as_of || *as_of_end != '\0' || length == 0 || *value_end != '\0') {
        return false; /* points are decoration: one that is no number is passed over */
    }
    bytes_append_text(out, is_first ? "[" : ",[");
    bytes_append_i64(out, as_of_ms);
    bytes_append_byte(out, ',');
    bytes_append(out, text, length);
    bytes_append_byte(out, ']');
    return true;
}

/* Rows come newest first. NULL when memory ran out. */
static struct cache_value *points_of(const struct kpi *kpi, const struct pg_result *result)
{
    struct bytes text;
    bool is_first = true;
    size_t count = pg_row_count(result);
    const char *newest = count > 0 ? pg_text(result, 0, COLUMN_AS_OF, NULL) : NULL;
    bytes_init(&text, TEXT_MAX_BYTES);
    bytes_append_byte(&text, '[');
    for (size_t row = count; row-- > 0;) {
        is_first = !print_point(kpi, result, row, is_first, &text) && is_first;
    }
    bytes_append_byte(&text, ']');
    struct cache_value *value =
        bytes_failed(&text)
            ? NULL
            : cache_value_create(text.at, text.length, 0, newest ? strtoll(newest, NULL, 10) : 0);
    bytes_finish(&text);
    return value;
}

static void on_result(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct history_load *load = context;
    enum result outcome = failure ? failure->result : RESULT_OK;
    struct cache_value *value = NULL;
    if (failure) {
        log_warn("history query failed", LOG_TEXT("kpi", load->kpi), LOG_TEXT("sqlstate", failure->sqlstate),
                 LOG_TEXT("err", failure->message));
    } else {
        const struct kpi *kpi = find_kpi(load->reader, load->kpi);
        value = kpi ? points_of(kpi, result) : NULL;
        outcome = kpi && !value ? RESULT_NO_MEMORY : RESULT_OK;
    }
    load->loaded(load->cache_context, outcome, value);
    load_destroy(load);
}

/* ---- asking ---- */

/* "class:history:kpi:points". points: the text behind the last colon. */
static bool take_apart(const char *key, char out_kpi[KPI_ID_MAX_BYTES + 1], const char **out_points)
{
    const char *mark = strstr(key, MARK);
    const char *colon = strrchr(key, ':');
    const char *kpi = mark ? mark + strlen(MARK) : NULL;
    if (!kpi || colon <= kpi || (size_t)(colon - kpi) > KPI_ID_MAX_BYTES) {
        return false;
    }
    memcpy(out_kpi, kpi, (size_t)(colon - kpi));
    out_kpi[colon - kpi] = '\0';
    *out_points = colon + 1;
    return true;
}

static char *wrap(const char *query)
{
    struct bytes sql;
    size_t length = 0;
    bytes_init(&sql, strlen(query) + 256);
    bytes_append_text(&sql, "select (extract(epoch from h.as_of) * 1000)::bigint, h.value::text from (");
    bytes_append_text(&sql, query);
    bytes_append_text(&sql, "\n) h where h.as_of is not null and h.value is not null"
                            " order by h.as_of desc limit $1::int");
    bytes_append_byte(&sql, '\0');
    char *text = bytes_failed(&sql) ? NULL : bytes_take(&sql, &length);
    bytes_finish(&sql);
    return text;
}

static void history_load(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context)
{
    struct history_reader *reader = context;
    const char *points = NULL;
    struct history_load *load = calloc(1, sizeof *load);
    const struct kpi *kpi = load && take_apart(key, load->kpi, &points) ? find_kpi(reader, load->kpi) : NULL;
    if (load && (!kpi || !kpi->history_query)) { /* gone since it was asked for */
        load_destroy(load);
        loaded(cache_context, RESULT_OK, NULL);
        return;
    }
    enum result result = RESULT_NO_MEMORY;
    if (load) {
        load->reader = reader;
        load->loaded = loaded;
        load->cache_context = cache_context;
        load->sql = wrap(kpi->history_query);
    }
    if (load && load->sql) {
        const char *const params[] = {points};
        const struct pg_query query = {.sql = load->sql, .param_count = 1, .params = params};
        result = pg_pool_query(reader->options.pool, &query, on_result, load);
    }
    if (result != RESULT_OK) {
        load_destroy(load);
        loaded(cache_context, result, NULL);
    }
}

struct history_reader *history_reader_create(const struct history_reader_options *options)
{
    struct history_reader *reader = calloc(1, sizeof *reader);
    if (reader) {
        reader->options = *options;
        reader->source = (struct cache_source){.load = history_load, .context = reader};
    }
    return reader;
}

void history_reader_destroy(struct history_reader *reader)
{
    free(reader);
}

void history_reader_get(struct history_reader *reader, const struct kpi *kpi, size_t points,
                        cache_answer_fn *answer, void *context)
{
    char key[CACHE_CLASS_NAME_MAX_BYTES + sizeof MARK + KPI_ID_MAX_BYTES + 32];
    const char *class = kpi->freshness->name;
    int printed =
        snprintf(key, sizeof key, "%.*s" MARK "%s:%zu", CACHE_CLASS_NAME_MAX_BYTES,
                 cache_has_class(reader->options.cache, class) ? class : "default", kpi->id, points);
    if (printed < 0 || (size_t)printed >= sizeof key) {
        answer(context, &(struct cache_answer){.status = CACHE_FAILED, .result = RESULT_TOO_BIG, .tier = ""});
        return;
    }
    cache_get(reader->options.cache, key, &reader->source, answer, context);
}
