/* The definitions that ship: they load, and they are what the boards promise. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "catalog/catalog.h"

static struct catalog *catalog;

static int load(void **context)
{
    (void)context;
    struct catalog_report report;
    catalog_report_init(&report);
    catalog = catalog_load(SOURCE_ROOT "/deploy/definitions", &report);
    if (!catalog) {
        print_error("%.*s", (int)report.text.length, report.text.at);
    }
    catalog_report_finish(&report);
    return catalog ? 0 : -1;
}

static int unload(void **context)
{
    (void)context;
    catalog_unref(catalog);
    return 0;
}

static void test_four_boards_in_their_order(void **context)
{
    (void)context;
    static const char *const ids[] = {"executive", "competitive", "knowledge", "operations"};
    assert_int_equal(catalog_board_count(catalog), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(catalog_board_at(catalog, i)->id, ids[i]);
        assert_ptr_equal(catalog_board(catalog, ids[i]), catalog_board_at(catalog, i));
    }
    assert_null(catalog_board(catalog, "marketing"));
}

static void test_every_kpi_is_on_a_board(void **context)
{
    (void)context;
    for (size_t i = 0; i < catalog_kpi_count(catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        if (kpi->board_count == 0) {
            fail_msg("%s is on no board", kpi->id);
        }
    }
}

static void test_every_kpi_of_the_reference_is_there(void **context)
{
    (void)context;
    static const char *const ids[] = {
        "exec.revenue_mtd",
        "exec.pipeline_value",
        "exec.customer_health",
        "exec.win_rate",
        "exec.team_productivity",
        "exec.llm_cost_efficiency",
        "exec.calls_today",
        "exec.sentiment_avg",
        "exec.accounts_touched",
        "exec.deals_at_risk",
        "exec.revenue_series",
        "exec.customer_health_mix",
        "exec.top_deals",
        "exec.alerts",
        "exec.insights",
        "exec.decisions",
        "exec.sources",
        "comp.mentions_24h",
        "comp.high_threat_24h",
        "comp.threat_max",
        "comp.net_sentiment",
        "comp.win_rate",
        "comp.accounts_exposed",
        "comp.competitors_active",
        "comp.league",
        "comp.threat_heat",
        "comp.source_mix",
        "comp.talking_points",
        "comp.outcomes",
        "comp.feed",
        "know.documents",
        "know.memory_records",
        "know.embedding_coverage",
        "know.embedding_lag",
        "know.search_p95",
        "know.recall_p95",
        "know.store_p95",
        "know.pipeline_success",
        "know.call_processing_p95",
        "know.segment_processing_p95",
        "know.ingest_series",
        "know.topics",
        "know.etl_runs",
        "know.sources",
        "know.decisions",
        "know.insights",
        "ops.state",
        "ops.connections",
        "ops.handshakes",
        "ops.push_p99",
        "ops.client_delay_p95",
        "ops.http_p95",
        "ops.deltas",
        "ops.coalesced",
        "ops.slow_clients",
        "ops.resyncs",
        "ops.l1_hit",
        "ops.l1_bytes",
        "ops.redis",
        "ops.postgres",
        "ops.breakers",
        "ops.ingest",
        "ops.dead_letters",
        "ops.validation",
        "ops.loop_lag_p99",
        "ops.cpu",
        "ops.rss",
        "ops.error_ratio",
        "ops.availability_30d",
        "ops.auth",
        "ops.slack",
        "ops.cert_days",
        "ops.key_age",
        "ops.release",
        "ops.sources",
        "ops.freshness",
        "ops.alerts",
        "ops.platform",
        "ops.audit",
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (!catalog_kpi(catalog, ids[i], strlen(ids[i]))) {
            fail_msg("%s is missing", ids[i]);
        }
    }
}

static void test_operations_needs_no_other_source(void **context)
{
    (void)context;
    const struct board_definition *board = catalog_board(catalog, "operations");
    for (size_t i = 0; i < board->kpi_count; i++) {
        const struct kpi *kpi = board->kpis[i];
        if (strcmp(kpi->source_kind, "internal") != 0 && strcmp(kpi->id, "ops.platform") != 0) {
            fail_msg("%s comes from %s", kpi->id, kpi->source_kind);
        }
    }
}

static void test_the_win_rate_is_one_number_on_two_boards(void **context)
{
    (void)context;
    const struct kpi *kpi = catalog_kpi(catalog, "comp.win_rate", 13);
    assert_non_null(kpi);
    assert_ptr_equal(kpi->derived_of, catalog_kpi(catalog, "exec.win_rate", 13));
}

static bool sees_everything(const void *context, const struct kpi *kpi)
{
    return !context && kpi;
}

static char *serve(const struct board_definition *board)
{
    char *served = catalog_serve_board(catalog, board, "0a0b0c0d", sees_everything, NULL);
    assert_non_null(served);
    return served;
}

static void test_nothing_about_where_values_come_from_is_served(void **context)
{
    (void)context;
    static const char *const secrets[] = {
        "executive_intelligence", "kpi_rollups", "computed_at", "relation", "channel", "coalesce_ms",
        "hubspot_intelligence",   "\"of\""};
    for (size_t i = 0; i < catalog_board_count(catalog); i++) {
        const struct board_definition *board = catalog_board_at(catalog, i);
        char *served = serve(board);
        for (size_t j = 0; j < sizeof secrets / sizeof *secrets; j++) {
            if (strstr(served, secrets[j])) {
                fail_msg("%s tells %s", board->id, secrets[j]);
            }
        }
        free(served);
    }
}

static void test_what_is_served_is_whole(void **context)
{
    (void)context;
    const struct board_definition *board = catalog_board(catalog, "executive");
    char *text = serve(board);
    json_t *served = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_string_equal(json_string_value(json_object_get(served, "catalog")), catalog_hash(catalog));
    const json_t *kpis = json_object_get(served, "kpis");
    const json_t *classes = json_object_get(served, "classes");
    assert_int_equal(json_object_size(kpis), board->kpi_count);
    for (size_t i = 0; i < board->kpi_count; i++) {
        const json_t *kpi = json_object_get(kpis, board->kpis[i]->id);
        const char *class = json_string_value(json_object_get(kpi, "class"));
        assert_string_equal(json_string_value(json_object_get(kpi, "id")), board->kpis[i]->id);
        assert_non_null(json_object_get(json_object_get(kpi, "source"), "kind"));
        assert_non_null(json_object_get(kpi, "good"));
        assert_non_null(class);
        assert_non_null(json_object_get(classes, class));
    }
    const json_t *revenue = json_object_get(kpis, "exec.revenue_mtd");
    assert_int_equal(json_integer_value(json_object_get(revenue, "decimals")), 2);
    assert_string_equal(json_string_value(json_object_get(revenue, "compare_label")),
                        "vs same day last month");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(revenue, "history"), "step_s")),
                     86400);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(classes, "executive_kpis"), "expired_s")), 3600);
    assert_true(json_is_null(json_object_get(classes, "event")));
    json_decref(served);
}

static void test_fields_find_their_kpi(void **context)
{
    (void)context;
    assert_string_equal(catalog_kpi_of_field(catalog, "exec.top_deals#D001")->id, "exec.top_deals");
    assert_string_equal(catalog_kpi_of_field(catalog, "exec.revenue_mtd")->id, "exec.revenue_mtd");
    assert_null(catalog_kpi_of_field(catalog, "exec.top_deals"));
    assert_null(catalog_kpi_of_field(catalog, "exec.revenue_mtd#x"));
    assert_null(catalog_kpi_of_field(catalog, "exec.unknown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_boards_in_their_order),
        cmocka_unit_test(test_every_kpi_is_on_a_board),
        cmocka_unit_test(test_every_kpi_of_the_reference_is_there),
        cmocka_unit_test(test_operations_needs_no_other_source),
        cmocka_unit_test(test_the_win_rate_is_one_number_on_two_boards),
        cmocka_unit_test(test_nothing_about_where_values_come_from_is_served),
        cmocka_unit_test(test_what_is_served_is_whole),
        cmocka_unit_test(test_fields_find_their_kpi),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
