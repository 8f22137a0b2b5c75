/*
 * The demo day against the definitions that ship with the gateway: whatever it
 * tells must be admitted, must fill the three boards, and must be the same each time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "catalog/catalog.h"
#include "catalog/points.h"
#include "catalog/threshold.h"
#include "sources/demo_story.h"

#define NOW_MS 1795258800000LL /* 2026-11-21 11:00 UTC */
#define SEED 7

static struct catalog *catalog;

static int load_definitions(void **state)
{
    (void)state;
    struct catalog_report report;
    catalog_report_init(&report);
    catalog = catalog_load(DEFINITIONS, &report);
    if (!catalog) {
        fprintf(stderr, "%.*s\n", (int)report.text.length, report.text.at);
    }
    catalog_report_finish(&report);
    return catalog ? 0 : -1;
}

static int unload_definitions(void **state)
{
    (void)state;
    catalog_unref(catalog);
    return 0;
}

static int64_t now_at(uint64_t tick)
{
    return NOW_MS + (int64_t)tick * 1000;
}

static struct batch *told(uint64_t seed, uint64_t tick, bool is_opening, int64_t now_ms)
{
    struct batch *batch = batch_create();
    assert_non_null(batch);
    demo_story_tell(seed, tick, is_opening, now_ms, batch);
    assert_false(batch->failed);
    return batch;
}

/* Visit every change of the ticks [from, to); tick 0 is the opening. */
static void each_change(uint64_t from, uint64_t to,
                        void (*visit)(uint64_t tick, const struct change *change, void *context),
                        void *context)
{
    for (uint64_t tick = from; tick < to; tick++) {
        struct batch *batch = told(SEED, tick, tick == 0, now_at(tick));
        for (size_t i = 0; i < batch->count; i++) {
            visit(tick, &batch->items[i].change, context);
        }
        batch_destroy(batch);
    }
}

static const struct kpi *kpi_of(const struct change *change)
{
    const struct kpi *kpi = catalog_kpi_of_field(catalog, change->field);
    if (!kpi) {
        fail_msg("no definition owns %s", change->field);
    }
    return kpi;
}

static enum result admit(const struct change *change, int64_t now_ms, struct admitted_value *out_value)
{
    char detail[REASON_MAX_BYTES + 1] = "";
    struct bytes text;
    bytes_init(&text, VALUE_MAX_BYTES * 2);
    enum result result = catalog_admit(kpi_of(change), change, now_ms, &text, out_value, detail);
    if (result == RESULT_OK) {
        bytes_append_byte(&text, '\0');
        assert_non_null(strstr(text.at, "\"demo\":true"));
    } else if (strcmp(change->field, DEMO_INVALID_KPI) != 0) {
        fail_msg("%s: %s: %s", change->field, result_name(result), detail);
    }
    bytes_finish(&text);
    return result;
}

struct refusals {
    size_t admitted, refused;
    uint64_t refused_at;
};

static void count_refusal(uint64_t tick, const struct change *change, void *context)
{
    struct refusals *refusals = context;
    struct admitted_value value;
    enum result result = admit(change, now_at(tick), &value);
    assert_true(change->is_demo);
    if (result == RESULT_OK) {
        refusals->admitted++;
        return;
    }
    assert_int_equal(result, RESULT_OUT_OF_RANGE);
    refusals->refused++;
    refusals->refused_at = tick % DEMO_DAY_S;
}

static void test_whole_day_is_admitted_but_for_the_planned_invalid_value(void **state)
{
    (void)state;
    struct refusals refusals = {0};
    each_change(0, DEMO_DAY_S, count_refusal, &refusals);
    assert_int_equal(refusals.refused, 1);
    assert_int_equal(refusals.refused_at, DEMO_INVALID_S);
    assert_true(refusals.admitted > 1000);
}

static bool is_demos(const struct kpi *kpi)
{
    return strcmp(kpi->source_kind, "internal") != 0 && !kpi->derived_of;
}

static void mark_kpi(uint64_t tick, const struct change *change, void *context)
{
    (void)tick;
    struct map *seen = context;
    const struct kpi *kpi = kpi_of(change);
    assert_int_equal(map_put(seen, kpi->id, strlen(kpi->id), seen), RESULT_OK);
}

static void test_opening_fills_every_kpi_of_the_three_boards(void **state)
{
    (void)state;
    static const char *const boards[] = {"executive", "competitive", "knowledge"};
    struct map seen;
    map_init(&seen, 1000);
    each_change(0, 1, mark_kpi, &seen);
    for (size_t i = 0; i < sizeof boards / sizeof *boards; i++) {
        const struct board_definition *board = catalog_board(catalog, boards[i]);
        assert_non_null(board);
        for (size_t j = 0; j < board->kpi_count; j++) {
            const char *id = board->kpis[j]->id;
            if (is_demos(board->kpis[j]) && !map_get(&seen, id, strlen(id))) {
                fail_msg("the demo says nothing about %s", id);
            }
        }
    }
    map_finish(&seen);
}

static void count_point(void *context, int64_t as_of_ms, const char *text, size_t length)
{
    (void)text;
    (void)length;
    assert_true(as_of_ms < NOW_MS);
    ++*(size_t *)context;
}

static void test_opening_brings_a_sparkline_to_every_kpi_that_keeps_points(void **state)
{
    (void)state;
    size_t with_points = 0;
    struct batch *batch = told(SEED, 0, true, NOW_MS);
    for (size_t i = 0; i < batch->count; i++) {
        const struct kpi *kpi = kpi_of(&batch->items[i].change);
        if (kpi->history_points == 0) {
            continue;
        }
        size_t points = 0;
        assert_int_equal(kpi_points_each(kpi, &batch->items[i].change, count_point, &points), 0);
        if (points < 29) {
            fail_msg("%s has %zu points", kpi->id, points);
        }
        with_points++;
    }
    assert_true(with_points >= 20);
    batch_destroy(batch);
}

static void test_sparklines_stay_in_the_range_of_their_kpi(void **state)
{
    (void)state;
    struct batch *batch = told(SEED, 0, true, NOW_MS);
    for (size_t i = 0; i < batch->count; i++) {
        const struct change *change = &batch->items[i].change;
        const struct kpi *kpi = kpi_of(change);
        for (size_t j = 0; j < json_array_size(change->points); j++) {
            const json_t *value = json_array_get(json_array_get(change->points, j), 1);
            double number =
                json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
            if (kpi->has_range && (number < kpi->range_low || number > kpi->range_high)) {
                fail_msg("%s: point %zu is %g", kpi->id, j, number);
            }
        }
    }
    batch_destroy(batch);
}

static char *printed(const struct batch *batch)
{
    json_t *all = json_array();
    for (size_t i = 0; i < batch->count; i++) {
        const struct change *change = &batch->items[i].change;
        json_t *one = json_pack("{s:s, s:I, s:i, s:O?, s:O?, s:O?, s:O?, s:f, s:f}", "field", change->field,
                                "as_of", (json_int_t)change->as_of_ms, "state", (int)change->state, "value",
                                change->value, "target", change->target, "base", change->base, "points",
                                change->points, "num", change->numerator, "den", change->denominator);
        assert_non_null(one);
        assert_int_equal(json_array_append_new(all, one), 0);
    }
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    assert_non_null(text);
    return text;
}

static void test_same_seed_tells_the_same_day(void **state)
{
    (void)state;
    for (uint64_t tick = 0; tick < DEMO_DAY_S; tick += 7) {
        struct batch *first = told(SEED, tick, tick == 0, now_at(tick));
        struct batch *second = told(SEED, tick, tick == 0, now_at(tick));
        char *first_text = printed(first);
        char *second_text = printed(second);
        assert_string_equal(first_text, second_text);
        free(first_text);
        free(second_text);
        batch_destroy(first);
        batch_destroy(second);
    }
}

static void test_another_seed_tells_other_numbers(void **state)
{
    (void)state;
    struct batch *first = told(SEED, 0, true, NOW_MS);
    struct batch *second = told(SEED + 1, 0, true, NOW_MS);
    char *first_text = printed(first);
    char *second_text = printed(second);
    assert_string_not_equal(first_text, second_text);
    free(first_text);
    free(second_text);
    batch_destroy(first);
    batch_destroy(second);
}

static void test_the_next_day_repeats_the_numbers_of_the_day_before(void **state)
{
    (void)state;
    for (uint64_t tick = 1; tick < DEMO_DAY_S; tick += 11) {
        struct batch *first = told(SEED, tick, false, NOW_MS);
        struct batch *second = told(SEED, tick + DEMO_DAY_S, false, NOW_MS);
        assert_int_equal(first->count, second->count);
        for (size_t i = 0; i < first->count; i++) {
            const struct change *a = &first->items[i].change, *b = &second->items[i].change;
            assert_true(kpi_of(a) == kpi_of(b));
            assert_true(a->value == b->value || json_equal(a->value, b->value));
        }
        batch_destroy(first);
        batch_destroy(second);
    }
}

/* The last change of a field in these ticks, or a failure. Owned by the caller. */
struct last_change {
    const char *field;
    bool is_found;
    int64_t now_ms, as_of_ms;
    enum value_state state;
    json_t *value;
};

static void keep_last(uint64_t tick, const struct change *change, void *context)
{
    struct last_change *last = context;
    if (strcmp(change->field, last->field) == 0) {
        json_decref(last->value);
        last->value = json_incref(change->value);
        last->is_found = true;
        last->now_ms = now_at(tick);
        last->as_of_ms = change->as_of_ms;
        last->state = change->state;
    }
}

static struct last_change last_of(const char *field, uint64_t from, uint64_t to)
{
    struct last_change last = {.field = field};
    each_change(from, to, keep_last, &last);
    if (!last.is_found) {
        fail_msg("nothing about %s from %llu to %llu", field, (unsigned long long)from,
                 (unsigned long long)to);
    }
    return last;
}

static void test_crm_values_expire_during_the_outage_and_recover(void **state)
{
    (void)state;
    const struct freshness_class *limits = catalog_kpi(catalog, "exec.pipeline_value", 19)->freshness;
    struct last_change before = last_of("exec.pipeline_value", 0, DEMO_OUTAGE_FROM_S);
    struct last_change stale = last_of("exec.pipeline_value", DEMO_OUTAGE_FROM_S, DEMO_OUTAGE_FROM_S + 30);
    struct last_change late = last_of("exec.pipeline_value", DEMO_OUTAGE_FROM_S, DEMO_OUTAGE_TO_S);
    struct last_change after = last_of("exec.pipeline_value", DEMO_OUTAGE_TO_S, DEMO_OUTAGE_TO_S + 10);
    assert_true(before.now_ms - before.as_of_ms == 0);
    assert_true(stale.now_ms - stale.as_of_ms > limits->stale_ms);
    assert_true(late.now_ms - late.as_of_ms > limits->expired_ms);
    assert_true(json_equal(stale.value, late.value));
    assert_true(after.now_ms - after.as_of_ms == 0);
    json_decref(before.value);
    json_decref(stale.value);
    json_decref(late.value);
    json_decref(after.value);
}

static void test_source_strip_says_down_and_why_during_the_outage(void **state)
{
    (void)state;
    struct last_change during = last_of("exec.sources#crm", DEMO_OUTAGE_FROM_S, DEMO_OUTAGE_TO_S);
    struct last_change after = last_of("exec.sources#crm", DEMO_OUTAGE_TO_S, DEMO_OUTAGE_TO_S + 1);
    assert_string_equal(json_string_value(json_object_get(during.value, "status")), "down");
    assert_int_equal(during.state, VALUE_UNREACHABLE);
    assert_string_equal(json_string_value(json_object_get(after.value, "status")), "ok");
    assert_int_equal(after.state, VALUE_OK);
    json_decref(during.value);
    json_decref(after.value);
}

static void count_mention(uint64_t tick, const struct change *change, void *context)
{
    (void)tick;
    *(size_t *)context += strncmp(change->field, "comp.feed#", 10) == 0;
}

static void test_burst_brings_500_mentions(void **state)
{
    (void)state;
    size_t mentions = 0;
    each_change(DEMO_BURST_FROM_S, DEMO_BURST_FROM_S + DEMO_BURST_TICKS, count_mention, &mentions);
    assert_true(mentions >= 500 && mentions <= 502);
}

static void test_yesterdays_revenue_is_corrected_with_a_mark(void **state)
{
    (void)state;
    struct last_change before = last_of("exec.revenue_series#2026-11-20", 0, DEMO_CORRECTION_S);
    struct last_change after = last_of("exec.revenue_series#2026-11-20", DEMO_CORRECTION_S, DEMO_DAY_S);
    assert_null(json_object_get(before.value, "note"));
    assert_non_null(strstr(json_string_value(json_object_get(after.value, "note")), "corrected"));
    double was = strtod(json_string_value(json_object_get(before.value, "value")), NULL);
    double is = strtod(json_string_value(json_object_get(after.value, "value")), NULL);
    assert_true(fabs(was - is - 38400) < 0.01);
    json_decref(before.value);
    json_decref(after.value);
}

/* Worst level of each KPI over the day. */
struct levels {
    struct map memories; /* KPI id -> struct level_memory */
};

struct level_memory {
    struct threshold_memory memory;
    enum threshold_level worst, last;
};

static void judge_level(uint64_t tick, const struct change *change, void *context)
{
    struct levels *levels = context;
    struct admitted_value value = {0};
    const struct kpi *kpi = kpi_of(change);
    if (!kpi->threshold.is_set || admit(change, now_at(tick), &value) != RESULT_OK) {
        return;
    }
    struct level_memory *memory = map_get(&levels->memories, kpi->id, strlen(kpi->id));
    if (!memory) {
        memory = calloc(1, sizeof *memory);
        assert_int_equal(map_put(&levels->memories, kpi->id, strlen(kpi->id), memory), RESULT_OK);
    }
    memory->last = threshold_evaluate(&kpi->threshold, &memory->memory, value.number,
                                      value.has_target ? value.target : NAN,
                                      value.has_base ? value.base : NAN, tick * 1000);
    memory->worst = memory->last > memory->worst ? memory->last : memory->worst;
}

static enum threshold_level planned_level(const char *kpi)
{
    static const struct {
        const char *kpi;
        enum threshold_level level;
    } planned[] = {
        {"exec.sentiment_avg", LEVEL_CRIT},   {"exec.deals_at_risk", LEVEL_WARN},
        {"comp.mentions_24h", LEVEL_WARN},    {"comp.mentions_deviation", LEVEL_CRIT},
        {"comp.high_threat_24h", LEVEL_WARN}, {"comp.threat_max", LEVEL_WARN},
    };
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++) {
        if (strcmp(planned[i].kpi, kpi) == 0) {
            return planned[i].level;
        }
    }
    return LEVEL_OK;
}

static void test_only_the_planned_limits_are_crossed_and_all_recover(void **state)
{
    (void)state;
    struct levels levels;
    map_init(&levels.memories, 1000);
    each_change(0, DEMO_DAY_S, judge_level, &levels);
    size_t cursor = 0;
    const char *kpi = NULL;
    size_t length = 0;
    void *value = NULL;
    while (map_next(&levels.memories, &cursor, &kpi, &length, &value)) {
        struct level_memory *memory = value;
        char id[KPI_ID_MAX_BYTES + 1];
        snprintf(id, sizeof id, "%.*s", (int)length, kpi);
        if (memory->worst != planned_level(id) || memory->last != LEVEL_OK) {
            fail_msg("%s: worst %s, in the evening %s", id, threshold_level_name(memory->worst),
                     threshold_level_name(memory->last));
        }
        free(memory);
    }
    assert_true(levels.memories.count >= 15);
    map_finish(&levels.memories);
}

static void test_updates_are_calm_but_alive(void **state)
{
    (void)state;
    uint64_t quiet = 0;
    for (uint64_t tick = 1; tick < DEMO_DAY_S; tick++) {
        struct batch *batch = told(SEED, tick, false, now_at(tick));
        bool is_burst = tick >= DEMO_BURST_FROM_S && tick < DEMO_BURST_FROM_S + DEMO_BURST_TICKS;
        quiet = batch->count > 0 ? 0 : quiet + 1;
        assert_true(quiet < 3);
        if (!is_burst && batch->count > 24) {
            fail_msg("%zu changes in second %llu", batch->count, (unsigned long long)tick);
        }
        batch_destroy(batch);
    }
}

static void count_row(uint64_t tick, const struct change *change, void *context)
{
    (void)tick;
    struct map *rows = context;
    if (kpi_of(change)->type == KPI_TABLE) {
        assert_int_equal(map_put(rows, change->field, strlen(change->field), rows), RESULT_OK);
    }
}

static void test_no_table_outgrows_its_cap(void **state)
{
    (void)state;
    struct map rows;
    map_init(&rows, 10000);
    each_change(0, DEMO_DAY_S, count_row, &rows);
    for (size_t i = 0; i < catalog_kpi_count(catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        size_t cursor = 0, count = 0, length = 0;
        const char *field = NULL;
        void *value = NULL;
        while (map_next(&rows, &cursor, &field, &length, &value)) {
            char name[FIELD_MAX_BYTES + 1];
            snprintf(name, sizeof name, "%.*s", (int)length, field);
            count += catalog_kpi_of_field(catalog, name) == kpi;
        }
        assert_true(kpi->type != KPI_TABLE || count <= kpi->cap);
    }
    map_finish(&rows);
}

/* Any day of the year, the first of a month and of a year among them. */
static void test_revenue_is_plausible_on_every_date(void **state)
{
    (void)state;
    for (int day = 0; day < 400; day += 3) {
        int64_t now_ms = NOW_MS + day * 86400000LL;
        struct batch *batch = told(SEED, 0, true, now_ms);
        size_t days = 0;
        for (size_t i = 0; i < batch->count; i++) {
            struct admitted_value value;
            const struct change *change = &batch->items[i].change;
            assert_int_equal(admit(change, now_ms, &value), RESULT_OK);
            days += strncmp(change->field, "exec.revenue_series#", 20) == 0;
        }
        assert_int_equal(days, 30);
        batch_destroy(batch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_day_is_admitted_but_for_the_planned_invalid_value),
        cmocka_unit_test(test_opening_fills_every_kpi_of_the_three_boards),
        cmocka_unit_test(test_opening_brings_a_sparkline_to_every_kpi_that_keeps_points),
        cmocka_unit_test(test_sparklines_stay_in_the_range_of_their_kpi),
        cmocka_unit_test(test_same_seed_tells_the_same_day),
        cmocka_unit_test(test_another_seed_tells_other_numbers),
        cmocka_unit_test(test_the_next_day_repeats_the_numbers_of_the_day_before),
        cmocka_unit_test(test_crm_values_expire_during_the_outage_and_recover),
        cmocka_unit_test(test_source_strip_says_down_and_why_during_the_outage),
        cmocka_unit_test(test_burst_brings_500_mentions),
        cmocka_unit_test(test_yesterdays_revenue_is_corrected_with_a_mark),
        cmocka_unit_test(test_only_the_planned_limits_are_crossed_and_all_recover),
        cmocka_unit_test(test_updates_are_calm_but_alive),
        cmocka_unit_test(test_no_table_outgrows_its_cap),
        cmocka_unit_test(test_revenue_is_plausible_on_every_date),
    };
    return cmocka_run_group_tests_name("demo_story", tests, load_definitions, unload_definitions);
}
