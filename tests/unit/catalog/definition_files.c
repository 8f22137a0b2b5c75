/* Definition directories below the system's temporary directory. */
#include "definition_files.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void definitions_write(const char *directory, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void make_directory(const char *directory, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

char *definitions_create(void)
{
    char *directory = strdup("/tmp/sophia-definitions-XXXXXX");
    assert_non_null(directory);
    assert_non_null(mkdtemp(directory));
    make_directory(directory, "kpis");
    make_directory(directory, "boards");
    definitions_write(directory, "classes.json",
                      "{\"classes\": {\"quick\": {\"fresh_s\": 10, \"stale_s\": 20, \"expired_s\": 30},"
                      "\"hourly\": {\"fresh_s\": 4320, \"stale_s\": 7200, \"expired_s\": 21600,"
                      "\"cadence_factors\": [1.2, 2, 6]}, \"event\": {\"never_ages\": true}}}");
    definitions_write(directory, "kpis/sales.json",
                      "{\"kpis\": [{\"id\": \"sales.total\", \"title\": \"Total\", \"about\": \"All of it.\","
                      "\"type\": \"gauge\", \"unit\": \"integer\", \"source\": {\"kind\": \"http\"},"
                      "\"class\": \"quick\", \"roles\": [\"sales\"], \"privacy\": \"public\"}]}");
    definitions_write(
        directory, "boards/sales.json",
        "{\"id\": \"sales\", \"title\": \"Sales\", \"question\": \"How much?\", \"roles\": [\"sales\"],"
        "\"layout\": [{\"row\": [{\"kpi\": \"sales.total\", \"span\": 12}]}]}");
    return directory;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

void definitions_remove(char *directory)
{
    assert_int_equal(nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(directory);
}

struct catalog *definitions_load_kpis(const char *kpis, const char *id, struct catalog_report *report)
{
    char *directory = definitions_create();
    char *text = NULL;
    assert_true(asprintf(&text, "{\"kpis\": [%s]}", kpis) > 0);
    definitions_write(directory, "kpis/sales.json", text);
    free(text);
    assert_true(
        asprintf(
            &text,
            "{\"id\": \"sales\", \"title\": \"Sales\", \"question\": \"How much?\", \"roles\": [\"sales\"],"
            "\"layout\": [{\"row\": [{\"kpi\": \"%s\", \"span\": 12}]}]}",
            id) > 0);
    definitions_write(directory, "boards/sales.json", text);
    free(text);
    struct catalog *catalog = catalog_load(directory, report);
    definitions_remove(directory);
    return catalog;
}

struct catalog *definitions_must_load(const char *kpis, const char *id)
{
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = definitions_load_kpis(kpis, id, &report);
    if (!catalog) {
        fail_msg("refused: %.*s", (int)report.text.length, report.text.at);
    }
    assert_int_equal(report.count, 0);
    catalog_report_finish(&report);
    return catalog;
}

static void assert_refused(struct catalog *catalog, struct catalog_report *report, const char *expected)
{
    bytes_append_byte(&report->text, '\0');
    assert_false(bytes_failed(&report->text));
    if (catalog || report->count == 0) {
        fail_msg("accepted; expected: %s", expected);
    }
    if (!strstr(report->text.at, expected)) {
        fail_msg("expected: %s\nfound: %s", expected, report->text.at);
    }
    catalog_report_finish(report);
}

void assert_kpis_refused(const char *kpis, const char *expected)
{
    struct catalog_report report;
    catalog_report_init(&report);
    assert_refused(definitions_load_kpis(kpis, "sales.total", &report), &report, expected);
}

void assert_directory_refused(const char *directory, const char *expected)
{
    struct catalog_report report;
    catalog_report_init(&report);
    assert_refused(catalog_load(directory, &report), &report, expected);
}
