/* See definition_set.h. */
#include "definition_set.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../catalog/definition_files.h"

struct catalog *catalog_of(const char *kpis, const struct board_text *boards)
{
    char *directory = definitions_create();
    char *text = NULL;
    assert_true(asprintf(&text, "{\"kpis\": [%s]}", kpis) > 0);
    definitions_write(directory, "kpis/sales.json", text);
    free(text);
    definitions_write(directory, "boards/sales.json", "");
    for (size_t i = 0; boards[i].id; i++) {
        char layout[1024] = "";
        char names[256];
        snprintf(names, sizeof names, "%s", boards[i].kpis);
        for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
            size_t used = strlen(layout);
            snprintf(layout + used, sizeof layout - used, "%s{\"row\": [{\"kpi\": \"%s\", \"span\": 12}]}",
                     used ? "," : "", name);
        }
        char file[64];
        snprintf(file, sizeof file, i == 0 ? "boards/sales.json" : "boards/b%zu.json", i);
        assert_true(
            asprintf(&text,
                     "{\"id\": \"%s\", \"title\": \"B\", \"question\": \"Q?\", \"roles\": [\"sales\"],"
                     "\"layout\": [%s]}",
                     boards[i].id, layout) > 0);
        definitions_write(directory, file, text);
        free(text);
    }
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(directory, &report);
    if (!catalog) {
        fail_msg("%.*s", (int)report.text.length, report.text.at);
    }
    catalog_report_finish(&report);
    definitions_remove(directory);
    return catalog;
}
