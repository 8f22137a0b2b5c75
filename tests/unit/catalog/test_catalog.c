/* What the validator says about wrong definitions, and that a good set comes out whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "catalog/definition_reader.h"
#include "definition_files.h"
#include "support/allocations.h"

#define HEAD \
    "\"id\":\"sales.total\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"sales\"],\"privacy\":\"public\","
#define HTTP "\"source\":{\"kind\":\"http\"}"
/** A whole gauge but for its unit and what else the test is about. */
#define GAUGE HEAD "\"type\":\"gauge\"," HTTP ","
/** A gauge that is read from PostgreSQL: the rest of its source follows. */
#define PG HEAD "\"type\":\"gauge\",\"unit\":\"integer\",\"source\":{\"kind\":\"pg\","
#define TABLE HEAD "\"type\":\"table\",\"cap\":5," HTTP ","
#define COLUMNS "\"columns\":[{\"key\":\"name\",\"title\":\"Name\",\"unit\":\"text\"}]"

static bool sees_everything(const void *context, const struct kpi *kpi)
{
    return !context && kpi;
}

struct refused {
    const char *kpi;
    const char *finding;
};

static void test_members_of_a_kpi(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"{" GAUGE "\"unit\":\"mony\"}",
         "kpis/sales.json: sales.total.unit: unknown unit \"mony\" (did you mean \"money\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"treshold\":{}}",
         "sales.total.treshold: unknown member (did you mean \"threshold\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"banana\":1}", "sales.total.banana: unknown member\n"},
        {"{" GAUGE "\"unit\":5}", "sales.total.unit: must be a text"},
        {"{" GAUGE "\"unit\":\"integer\",\"compact\":1}", "sales.total.compact: must be true or false"},
        {"{\"id\":\"sales.total\",\"type\":\"gauge\",\"unit\":\"integer\"}", "sales.total.title: is missing"},
        {"{" GAUGE "\"unit\":\"integer\",\"range\":[10,1]}",
         "sales.total.range: the lowest (10) must be below"},
        {"{" GAUGE "\"unit\":\"integer\",\"range\":[1]}", "sales.total.range: must be two numbers"},
        {"{" GAUGE "\"unit\":\"money\",\"currency\":\"USD\",\"scale\":0.01}",
         "sales.total.scale: must be 1 for money"},
        {"{" GAUGE "\"unit\":\"money\"}", "sales.total.currency: is missing"},
        {"{" GAUGE "\"unit\":\"money\",\"currency\":\"usd\"}",
         "sales.total.currency: must be three capital letters"},
        {"{" GAUGE "\"unit\":\"integer\",\"currency\":\"USD\"}",
         "sales.total.currency: only money may have it"},
        {"{" GAUGE "\"unit\":\"integer\",\"scale\":0}", "sales.total.scale: must not be 0"},
        {"{" GAUGE "\"unit\":\"integer\",\"mask\":\"all\"}",
         "mask: is for text that is business or personal"},
        {"{" GAUGE "\"unit\":\"text\",\"mask\":\"nam\"}", "unknown mask \"nam\" (did you mean \"name\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"class\":\"quik\"}",
         "unknown class \"quik\" (did you mean \"quick\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"class\":\"hourly@60s\"}", "unknown class \"hourly@60s\""},
        {"{" GAUGE "\"unit\":\"integer\",\"cap\":5}",
         "sales.total.cap: only a table, feed or series may have it"},
        {"{" GAUGE "\"unit\":\"integer\",\"coalesce_ms\":99999}",
         "sales.total.coalesce_ms: 99999 is out of range 0..60000"},
        {"{" GAUGE "\"unit\":\"severity\"}", "\"severity\" is for columns only"},
        {"{" GAUGE "\"decimals\":1}", "sales.total.unit: is missing"},
        {"{" GAUGE "\"unit\":\"integer\",\"compare_label\":\"x\"}",
         "compare_label: has no meaning without compare"},
        {"{" GAUGE "\"unit\":\"integer\",\"compare\":\"prev_dya\"}", "(did you mean \"prev_day\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"drill\":{\"kind\":\"link\",\"link\":\"javascript:x\"}}",
         "sales.total.drill.link: must start with https:// or /"},
        {"{" HEAD "\"type\":\"gague\"," HTTP "}",
         "sales.total.type: unknown type \"gague\" (did you mean \"gauge\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"history\":{\"points\":121,\"step\":\"1d\"}}",
         "sales.total.history.points: 121 is out of range 2..120"},
        {"{" GAUGE "\"unit\":\"integer\",\"history\":{\"points\":12,\"step\":\"1w\"}}",
         "history.step: must be a whole number"},
        {"{" GAUGE "\"unit\":\"text\",\"history\":{\"points\":12,\"step\":\"1h\"}}",
         "history: only a number may have it"},
        {"{" HEAD "\"unit\":\"integer\",\"type\":\"gauge\",\"source\":{\"kind\":\"pgg\"}}",
         "source.kind: unknown kind \"pgg\""},
        {"{" HEAD "\"unit\":\"integer\",\"type\":\"gauge\",\"source\":{\"kind\":\"demo\"}}",
         "unknown kind \"demo\""},
        {"{" PG "\"relation\":\"a.b\"}}", "source.relation: unknown member (did you mean \"relations\"?)"},
        {"{" PG "\"relations\":[\"a.b\"]}}", "source.query: is missing"},
        {"{" PG "\"query\":\"select 1 as value\"}}", "source.relations: is missing"},
        {"{" PG "\"relations\":[\"deals\"],\"query\":\"select 1 as value\"}}",
         "source.relations[0]: must be schema.table"},
        {"{" PG "\"relations\":[\"a.b c\"],\"query\":\"select 1 as value\"}}",
         "source.relations[0]: must be schema.table"},
        {"{" PG "\"relations\":[17],\"query\":\"select 1 as value\"}}",
         "source.relations[0]: must be a text"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":17}}", "source.query: must be a text or a list of lines"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":[\"select\",17]}}", "source.query[1]: must be a text"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":\"\"}}", "source.query: must not be empty"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":[]}}", "source.query: must not be empty"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":\"select 1;\"}}", "source.query: is one statement"},
        {"{" PG "\"relations\":[\"a.b\"],\"query\":\"select\\u00011\"}}",
         "source.query: contains control characters"},
        {"{" GAUGE "\"unit\":\"integer\",\"history\":{\"points\":12,\"step\":\"1h\",\"query\":\"select;\"}}",
         "history.query: is one statement"},
        {"{" GAUGE "\"unit\":\"integer\",\"target\":{\"kind\":\"pace\",\"relation\":\"a.b\"}}",
         "target.relation: unknown member"},
        {"{\"id\":\"Sales Total\"}", "kpis[0].id: \"Sales Total\" is not a KPI id"},
        {"17", "kpis[0]: must be an object with an id"},
        {"{" HEAD "\"unit\":\"integer\",\"type\":\"gauge\"," HTTP ",\"privacy\":\"restricted\"}",
         "duplicate object key"},
        {"{\"id\":\"sales.total\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"x\"],\"privacy\":\"restricted\","
         "\"type\":\"gauge\",\"unit\":\"integer\"," HTTP "}",
         "restricted content never leaves the database"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_kpis_refused(cases[i].kpi, cases[i].finding);
    }
}

static void test_thresholds(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"{" GAUGE
         "\"unit\":\"integer\",\"good\":\"up\",\"threshold\":{\"basis\":\"value\",\"warn\":1,\"crit\":2}}",
         "sales.total.threshold.warn: must not be below crit when up is good"},
        {"{" GAUGE
         "\"unit\":\"integer\",\"good\":\"down\",\"threshold\":{\"basis\":\"value\",\"warn\":2,\"crit\":1}}",
         "sales.total.threshold.warn: must not be above crit when down is good"},
        {"{" GAUGE "\"unit\":\"integer\",\"threshold\":{\"basis\":\"value\",\"warn\":2}}",
         "sales.total.threshold.good: is missing"},
        {"{" GAUGE "\"unit\":\"integer\",\"good\":\"up\",\"threshold\":{\"basis\":\"value\"}}",
         "sales.total.threshold: needs warn, crit or both"},
        {"{" GAUGE "\"unit\":\"integer\",\"good\":\"up\",\"threshold\":{\"basis\":\"vs_target\",\"warn\":1}}",
         "sales.total.target: is missing"},
        {"{" GAUGE "\"unit\":\"integer\",\"good\":\"up\",\"threshold\":{\"basis\":\"vs_base\",\"warn\":1}}",
         "sales.total.compare: is missing"},
        {"{" GAUGE
         "\"unit\":\"integer\",\"good\":\"up\",\"threshold\":{\"basis\":\"value\",\"warn\":1,\"hysteresis\":-1}}",
         "threshold.hysteresis: must not be below 0"},
        {"{" TABLE COLUMNS ",\"good\":\"up\",\"threshold\":{\"basis\":\"value\",\"warn\":1}}",
         "sales.total.threshold: only a number"},
        {"{" GAUGE
         "\"unit\":\"number\",\"bands\":[{\"above\":1,\"word\":\"a\"},{\"above\":2,\"word\":\"b\"},{\"word\":\"c\"}]}",
         "bands[1].above: bands go from high to low"},
        {"{" GAUGE "\"unit\":\"number\",\"bands\":[{\"above\":1,\"word\":\"a\"}]}",
         "bands[0].above: must be absent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_kpis_refused(cases[i].kpi, cases[i].finding);
    }
}

static void test_rows_parts_and_states(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"{" TABLE "\"good\":\"none\"}", "sales.total.columns: is missing: table needs it"},
        {"{" HEAD "\"type\":\"feed\"," HTTP "," COLUMNS "}", "sales.total.cap: is missing"},
        {"{" HEAD "\"type\":\"feed\",\"cap\":1001," HTTP "," COLUMNS "}",
         "sales.total.cap: 1001 is out of range 1..1000"},
        {"{" HEAD "\"type\":\"feed\",\"cap\":0," HTTP "," COLUMNS "}", "sales.total.cap: 0 is out of range"},
        {"{" TABLE "\"columns\":[{\"key\":\"a\",\"title\":\"A\",\"unit\":\"txt\"}]}",
         "sales.total.columns[0].unit: unknown unit \"txt\" (did you mean \"text\"?)"},
        {"{" TABLE "\"columns\":[{\"key\":\"a b\",\"title\":\"A\",\"unit\":\"text\"}]}",
         "columns[0].key: is made of"},
        {"{" TABLE "\"columns\":[{\"key\":\"a\",\"title\":\"A\",\"unit\":\"text\"},"
         "{\"key\":\"a\",\"title\":\"A\",\"unit\":\"text\"}]}",
         "columns[1].key: \"a\" is already a column"},
        {"{" TABLE "\"columns\":[{\"key\":\"a\",\"title\":\"A\",\"unit\":\"money\"}]}",
         "sales.total.currency: is missing"},
        {"{" HEAD "\"type\":\"mix\",\"unit\":\"integer\"," HTTP "}", "sales.total.parts: is missing"},
        {"{" HEAD "\"type\":\"state\"," HTTP "}", "sales.total.states: is missing"},
        {"{" HEAD "\"type\":\"state\",\"states\":{\"up\":{\"title\":\"up\"}}," HTTP "}",
         "sales.total.states.up.level: is missing"},
        {"{" HEAD "\"type\":\"state\",\"states\":{\"up\":{\"title\":\"up\",\"level\":\"good\"}}," HTTP "}",
         "sales.total.states.up.level: unknown level \"good\""},
        {"{" HEAD "\"type\":\"state\",\"states\":{}," HTTP "}", "sales.total.states: has 0 states"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_kpis_refused(cases[i].kpi, cases[i].finding);
    }
}

#define NAMED(name, source)                                                                           \
    "{\"id\":\"" name                                                                                 \
    "\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"type\":\"gauge\"," \
    "\"unit\":\"integer\",\"source\":" source "}"
#define DERIVED(of) "{\"kind\":\"derived\",\"of\":\"" of "\"}"

static void test_what_a_source_is_told(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load(
        "{" PG
        "\"relations\":[\"a.b\",\"c.d\"],\"query\":[\"select value\",\"from a.b\"],\"channel\":\"kpi:total\"},"
        "\"history\":{\"points\":12,\"step\":\"1h\",\"query\":\"select as_of, value from a.history($1)\"}}",
        "sales.total");
    const struct kpi *kpi = catalog_kpi(catalog, "sales.total", strlen("sales.total"));
    assert_non_null(kpi);
    assert_string_equal(kpi->source_kind, "pg");
    assert_string_equal(kpi->source_query, "select value\nfrom a.b");
    assert_int_equal(kpi->source_relation_count, 2);
    assert_string_equal(kpi->source_relations[0], "a.b");
    assert_string_equal(kpi->source_relations[1], "c.d");
    assert_string_equal(kpi->source_channel, "kpi:total");
    assert_null(kpi->source_key);
    assert_string_equal(kpi->history_query, "select as_of, value from a.history($1)");
    char *served = json_dumps(kpi->definition, 0);
    assert_non_null(served);
    assert_null(strstr(served, "select")); /* viewers hear the kind only */
    assert_null(strstr(served, "a.b"));
    free(served);
    catalog_unref(catalog);
}

static void test_a_pg_kpi_without_a_query_is_fed_from_the_state_table(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load(
        "{" HEAD "\"type\":\"gauge\",\"unit\":\"integer\",\"source\":{\"kind\":\"pg\"}}", "sales.total");
    const struct kpi *kpi = catalog_kpi(catalog, "sales.total", strlen("sales.total"));
    assert_non_null(kpi);
    assert_null(kpi->source_query);
    assert_int_equal(kpi->source_relation_count, 0);
    catalog_unref(catalog);
}

static void test_a_query_has_a_limit(void **context)
{
    (void)context;
    static const char start[] = "{" PG "\"relations\":[\"a.b\"],\"query\":\"select ";
    static const char end[] = "\"}}";
    char kpi[sizeof start + sizeof end + DEFINITION_QUERY_MAX_BYTES];
    memcpy(kpi, start, sizeof start);
    size_t length = sizeof start - 1;
    size_t over = DEFINITION_QUERY_MAX_BYTES + 1 - strlen("select ");
    memset(kpi + length, 'x', over);
    memcpy(kpi + length + over, end, sizeof end);
    assert_kpis_refused(kpi, "source.query: is longer than 16384 bytes");
    memcpy(kpi + length + over - 1, end, sizeof end);
    catalog_unref(definitions_must_load(kpi, "sales.total"));
}

static void test_ties_between_kpis(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {NAMED("sales.total", DERIVED("sales.totl")) "," NAMED("sales.sum", "{\"kind\":\"http\"}"),
         "sales.total.source.of: unknown KPI"},
        {NAMED("sales.total", DERIVED("sales.total")),
         "sales.total.source.of: a KPI cannot be derived from itself"},
        {NAMED("sales.total", DERIVED("sales.sum")) "," NAMED("sales.sum", DERIVED("sales.total")),
         "is derived too, which may go round in a circle"},
        {"{" GAUGE "\"unit\":\"integer\",\"with\":[\"sales.totel\"]}",
         "sales.total.with[0]: unknown KPI \"sales.totel\" (did you mean \"sales.total\"?)"},
        {"{" GAUGE "\"unit\":\"integer\",\"with\":[\"sales.total\"]}", "with[0]: must be another KPI"},
        {NAMED("sales.total", "{\"kind\":\"http\"}") "," NAMED("sales.total", "{\"kind\":\"http\"}"),
         "sales.total: is defined twice"},
        {"{" GAUGE "\"unit\":\"percent\"}," NAMED("sales.copy", DERIVED("sales.total")),
         "differs in type, unit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_kpis_refused(cases[i].kpi, cases[i].finding);
    }
}

#define BOARD(rest) "{\"id\":\"sales\",\"title\":\"S\",\"question\":\"Q\",\"roles\":[\"s\"]," rest "}"

static void test_boards(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {BOARD("\"layout\":[{\"row\":[{\"kpi\":\"sales.totals\",\"span\":4}]}]"),
         "boards/sales.json: sales.layout[0].row[0].kpi: unknown KPI \"sales.totals\" (did you mean \"sales.total\"?)"},
        {BOARD("\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":13}]}]"),
         "row[0].span: 13 is out of range 1..12"},
        {BOARD(
             "\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":12},{\"kpi\":\"sales.total\",\"span\":1}]}]"),
         "sales.layout[0]: the spans add up to 13"},
        {BOARD(
             "\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":2},{\"kpi\":\"sales.total\",\"span\":1}]}]"),
         "\"sales.total\" has a tile already"},
        {BOARD("\"layout\":[]"), "sales.layout: has 0 items"},
        {BOARD("\"layuot\":[]"), "sales.layuot: unknown member (did you mean \"layout\"?)"},
        {BOARD("\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":4}]}],\"also\":[\"sales.other\"]"),
         "sales.also[0]: unknown KPI \"sales.other\""},
        {"{\"id\":\"Sales\"}", "id: \"Sales\" is not a board id"},
        {"{}", "id: is missing"},
        {"{", "boards/sales.json: line 1, column 1: "},
        {"{\"id\":\"sales\",\n\"id\":\"sales\"}",
         "boards/sales.json: line 2, column 4: duplicate object key"},
        {"[]", "must hold one JSON object"},
    };
    char *directory = definitions_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        definitions_write(directory, "boards/sales.json", cases[i].kpi);
        assert_directory_refused(directory, cases[i].finding);
    }
    definitions_remove(directory);
}

static void test_thirteen_headline_tiles_are_too_many(void **context)
{
    (void)context;
    char kpis[8192] = "{\"kpis\":[";
    char layout[2048] = "\"layout\":[";
    for (int i = 0; i < 13; i++) {
        char name[256];
        (void)snprintf(
            name, sizeof name,
            "%s{\"id\":\"sales.n%d\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],"
            "\"privacy\":\"public\",\"type\":\"gauge\",\"unit\":\"integer\",\"source\":{\"kind\":\"http\"}}",
            i ? "," : "", i);
        strcat(kpis, name);
        (void)snprintf(name, sizeof name, "%s{\"row\":[{\"kpi\":\"sales.n%d\",\"span\":4}]}", i ? "," : "",
                       i);
        strcat(layout, name);
    }
    strcat(kpis, "]}");
    strcat(layout, "]");
    char board[4096];
    (void)snprintf(board, sizeof board, BOARD("%s"), layout);
    char *directory = definitions_create();
    definitions_write(directory, "kpis/sales.json", kpis);
    definitions_write(directory, "boards/sales.json", board);
    assert_directory_refused(directory, "13 headline tiles; a board has at most 12");
    definitions_remove(directory);
}

static void test_a_thousand_boards_share_a_kpi(void **context)
{
    (void)context;
    enum { BOARDS = 1000 };
    char *directory = definitions_create();
    for (int i = 0; i < BOARDS; i++) {
        char name[64];
        char board[512];
        (void)snprintf(name, sizeof name, "boards/sales-%d.json", i);
        (void)snprintf(board, sizeof board,
                       "{\"id\":\"sales-%d\",\"title\":\"T\",\"question\":\"Q?\",\"roles\":[\"s\"],"
                       "\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":4}]}]}",
                       i);
        definitions_write(directory, name, board);
    }
    struct catalog_report report = {0};
    struct catalog *catalog = catalog_load(directory, &report);
    assert_non_null(catalog);
    const struct kpi *kpi = catalog_kpi(catalog, "sales.total", 11);
    assert_int_equal(kpi->board_count, BOARDS + 1); /* and the one that was there */
    for (size_t i = 0; i < kpi->board_count; i++) {
        assert_ptr_equal(catalog_board(catalog, kpi->boards[i]->id), kpi->boards[i]);
    }
    assert_null(catalog_board(catalog, "sales-1000"));
    catalog_unref(catalog);
    catalog_report_finish(&report);
    definitions_write(directory, "boards/zz.json",
                      BOARD("\"layout\":[{\"row\":[{\"kpi\":\"sales.total\",\"span\":4}]}]"));
    assert_directory_refused(directory, "sales: is defined twice (also in ");
    definitions_remove(directory);
}

static void test_classes(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"{\"classes\":{\"quick\":{\"fresh_s\":20,\"stale_s\":10,\"expired_s\":30}}}",
         "quick: limits must rise"},
        {"{\"classes\":{\"quick\":{\"fresh_s\":10,\"stale_s\":20}}}", "quick.expired_s: is missing"},
        {"{\"classes\":{\"quick\":{\"never_ages\":true,\"fresh_s\":20}}}", "quick.fresh_s: has no meaning"},
        {"{\"classes\":{\"quick\":{\"fresh_s\":1,\"stale_s\":2,\"expired_s\":3,\"cadence_factors\":[2,1,3]}}}",
         "quick.cadence_factors: must rise"},
        {"{\"classes\":{\"Quick\":{\"never_ages\":true}}}", "Quick: a class name is made of"},
        {"{\"klasses\":{}}", "klasses: unknown member (did you mean \"classes\"?)"},
    };
    char *directory = definitions_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        definitions_write(directory, "classes.json", cases[i].kpi);
        assert_directory_refused(directory, cases[i].finding);
    }
    definitions_remove(directory);
}

static void test_missing_files_and_directories(void **context)
{
    (void)context;
    assert_directory_refused("/nowhere/at/all",
                             "/nowhere/at/all/classes.json: cannot be opened: No such file");
    assert_directory_refused("/nowhere/at/all", "/nowhere/at/all/kpis: cannot be opened");
    char *directory = definitions_create();
    char path[512];
    (void)snprintf(path, sizeof path, "%s/boards/sales.json", directory);
    assert_int_equal(remove(path), 0);
    assert_directory_refused(directory, "no board is defined");
    definitions_remove(directory);
}

static void test_a_file_that_is_too_large_is_refused(void **context)
{
    (void)context;
    char *directory = definitions_create();
    char *large = malloc(DEFINITION_FILE_MAX_BYTES + 2);
    assert_non_null(large);
    memset(large, ' ', DEFINITION_FILE_MAX_BYTES + 1);
    large[DEFINITION_FILE_MAX_BYTES + 1] = '\0';
    definitions_write(directory, "kpis/sales.json", large);
    free(large);
    assert_directory_refused(directory, "kpis/sales.json: is larger than 1048576 bytes");
    definitions_remove(directory);
}

static void test_all_findings_are_told_up_to_a_number(void **context)
{
    (void)context;
    struct bytes text;
    bytes_init(&text, 1048576);
    for (int i = 0; i < 300; i++) {
        bytes_append_text(&text, i ? ",3" : "3");
    }
    bytes_append_byte(&text, '\0');
    struct catalog_report report;
    catalog_report_init(&report);
    assert_null(definitions_load_kpis(text.at, "sales.total", &report));
    assert_true(report.count >= 300);
    size_t lines = 0;
    for (size_t i = 0; i < report.text.length; i++) {
        lines += report.text.at[i] == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, DEFINITION_FINDINGS_MAX);
    catalog_report_finish(&report);
    bytes_finish(&text);
}

static void test_words_from_files_cannot_forge_findings(void **context)
{
    (void)context;
    struct catalog_report report;
    catalog_report_init(&report);
    assert_null(definitions_load_kpis("{" GAUGE "\"unit\":\"a\\nforged\"}", "sales.total", &report));
    bytes_append_byte(&report.text, '\0');
    assert_null(strstr(report.text.at, "\nforged"));
    catalog_report_finish(&report);
}

static void test_limits_follow_the_cadence(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load(
        "{" GAUGE "\"unit\":\"integer\",\"class\":\"hourly\",\"cadence_s\":600}", "sales.total");
    const struct freshness_class *limits = catalog_kpi_at(catalog, 0)->freshness;
    assert_string_equal(limits->name, "hourly@600s");
    assert_int_equal(limits->fresh_ms, 720000);
    assert_int_equal(limits->stale_ms, 1200000);
    assert_int_equal(limits->expired_ms, 3600000);
    char *served =
        catalog_serve_board(catalog, catalog_board_at(catalog, 0), "0a0b0c0d", sees_everything, NULL);
    assert_non_null(strstr(served, "\"hourly@600s\":{\"fresh_s\":720,"));
    assert_non_null(strstr(served, "\"view\":\"0a0b0c0d\""));
    free(served);
    catalog_unref(catalog);
    catalog = definitions_must_load("{" GAUGE "\"unit\":\"integer\",\"class\":\"hourly\",\"cadence_s\":3600}",
                                    "sales.total");
    assert_string_equal(catalog_kpi_at(catalog, 0)->freshness->name, "hourly");
    catalog_unref(catalog);
}

static void test_a_kpi_without_class_is_of_the_default_one(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load("{" GAUGE "\"unit\":\"integer\"}", "sales.total");
    assert_string_equal(catalog_kpi_at(catalog, 0)->freshness->name, "default");
    assert_int_equal(catalog_kpi_at(catalog, 0)->freshness->fresh_ms, 2160000);
    catalog_unref(catalog);
}

static void test_delivery_of_critical_and_normal_kpis(void **context)
{
    (void)context;
    static const struct {
        const char *members;
        uint32_t coalesce_ms;
    } cases[] = {{"\"priority\":\"critical\"", 0},
                 {"\"priority\":\"critical\",\"coalesce_ms\":40", 40},
                 {"\"priority\":\"normal\"", COALESCE_UNSET},
                 {"\"coalesce_ms\":500", 500}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char kpi[512];
        (void)snprintf(kpi, sizeof kpi, "{" GAUGE "\"unit\":\"integer\",%s}", cases[i].members);
        struct catalog *catalog = definitions_must_load(kpi, "sales.total");
        assert_int_equal(catalog_kpi_at(catalog, 0)->coalesce_ms, cases[i].coalesce_ms);
        catalog_unref(catalog);
    }
}

static void test_a_companion_is_on_the_board_of_its_kpi(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load(
        "{" GAUGE
        "\"unit\":\"integer\",\"with\":[\"sales.copy\"]}," NAMED("sales.copy", DERIVED("sales.total")),
        "sales.total");
    const struct kpi *copy = catalog_kpi(catalog, "sales.copy", 10);
    assert_non_null(copy);
    assert_int_equal(copy->board_count, 1);
    assert_string_equal(copy->boards[0]->id, "sales");
    assert_ptr_equal(copy->derived_of, catalog_kpi(catalog, "sales.total", 11));
    catalog_unref(catalog);
}

static void test_the_hash_changes_with_the_content_only(void **context)
{
    (void)context;
    struct catalog *first = definitions_must_load("{" GAUGE "\"unit\":\"integer\"}", "sales.total");
    struct catalog *moved = definitions_must_load(
        "{\n \"unit\": \"integer\", " HEAD "\"type\":\"gauge\"," HTTP "}", "sales.total");
    struct catalog *other = definitions_must_load("{" GAUGE "\"unit\":\"number\"}", "sales.total");
    assert_int_equal(strlen(catalog_hash(first)), 16);
    assert_string_equal(catalog_hash(first), catalog_hash(moved));
    assert_string_not_equal(catalog_hash(first), catalog_hash(other));
    catalog_unref(first);
    catalog_unref(moved);
    catalog_unref(other);
}

static void test_the_last_reference_frees(void **context)
{
    (void)context;
    struct catalog *catalog = definitions_must_load("{" GAUGE "\"unit\":\"integer\"}", "sales.total");
    assert_ptr_equal(catalog_ref(catalog), catalog);
    catalog_unref(catalog);
    assert_int_equal(catalog_kpi_count(catalog), 1);
    catalog_unref(catalog);
    catalog_unref(NULL);
}

/** Makes jansson's memory ours, so that it fails with the rest. */
static void *allocate(size_t size)
{
    return malloc(size);
}

/** Loads again and again, each time with a later allocation failing, until none does. */
static void load_with_failures(const char *directory, void (*fail_after)(int))
{
    bool has_failed = true;
    for (int count = 0; has_failed; count++) {
        struct catalog_report report;
        catalog_report_init(&report);
        fail_after(count);
        struct catalog *catalog = catalog_load(directory, &report);
        has_failed = allocations_recover();
        assert_true((catalog != NULL) == (report.count == 0));
        if (catalog) {
            assert_int_equal(catalog_kpi_count(catalog), 4);
            assert_int_equal(catalog_board_count(catalog), 1);
        }
        assert_true(catalog || has_failed);
        assert_true(has_failed || count > 100);
        catalog_unref(catalog);
        catalog_report_finish(&report);
    }
}

static void test_every_allocation_may_fail(void **context)
{
    (void)context;
    char *directory = definitions_create();
    definitions_write(
        directory, "kpis/sales.json",
        "{\"kpis\":[{" PG "\"relations\":[\"a.b\",\"a.c\"],\"query\":[\"select value\",\"from a.b\"]},"
        "\"history\":{\"points\":9,\"step\":\"1h\",\"query\":\"select as_of, value from a.c\"},"
        "\"class\":\"hourly\",\"cadence_s\":60,\"with\":[\"sales.mix\"]},"
        "{\"id\":\"sales.mix\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"type\":\"mix\","
        "\"unit\":\"integer\",\"parts\":[{\"key\":\"a\",\"title\":\"A\"}]," HTTP "},"
        "{\"id\":\"sales.rows\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"type\":\"table\","
        "\"cap\":5," COLUMNS "," HTTP "},"
        "{\"id\":\"sales.state\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"s\"],\"privacy\":\"public\",\"type\":\"state\","
        "\"states\":{\"up\":{\"title\":\"up\",\"level\":\"ok\"}}," HTTP "}]}");
    json_set_alloc_funcs(allocate, free);
    load_with_failures(directory, allocations_fail_all_after);
    load_with_failures(directory, allocations_fail_one_after);
    definitions_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_of_a_kpi),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_rows_parts_and_states),
        cmocka_unit_test(test_what_a_source_is_told),
        cmocka_unit_test(test_a_pg_kpi_without_a_query_is_fed_from_the_state_table),
        cmocka_unit_test(test_a_query_has_a_limit),
        cmocka_unit_test(test_ties_between_kpis),
        cmocka_unit_test(test_boards),
        cmocka_unit_test(test_thirteen_headline_tiles_are_too_many),
        cmocka_unit_test(test_a_thousand_boards_share_a_kpi),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_missing_files_and_directories),
        cmocka_unit_test(test_a_file_that_is_too_large_is_refused),
        cmocka_unit_test(test_all_findings_are_told_up_to_a_number),
        cmocka_unit_test(test_words_from_files_cannot_forge_findings),
        cmocka_unit_test(test_limits_follow_the_cadence),
        cmocka_unit_test(test_a_kpi_without_class_is_of_the_default_one),
        cmocka_unit_test(test_delivery_of_critical_and_normal_kpis),
        cmocka_unit_test(test_a_companion_is_on_the_board_of_its_kpi),
        cmocka_unit_test(test_the_hash_changes_with_the_content_only),
        cmocka_unit_test(test_the_last_reference_frees),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
