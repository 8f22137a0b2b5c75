/* What one kind of viewer sees of a board, and what its view is called. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/definition_files.h"
#include "support/allocations.h"
#include "views/view.h"

#define KPI(id, roles, privacy, more)                                                                 \
    "{\"id\":\"" id "\",\"title\":\"T\",\"about\":\"A\",\"roles\":[" roles "],\"privacy\":\"" privacy \
    "\",\"source\":{\"kind\":\"http\"}," more "}"
#define NUMBER "\"type\":\"gauge\",\"unit\":\"integer\""
#define COLUMN(key, more) "{\"key\":\"" key "\",\"title\":\"C\",\"unit\":\"text\"" more "}"
#define TABLE(columns) "\"type\":\"table\",\"cap\":5,\"columns\":[" columns "]"
#define KPIS                                                                                                                   \
    KPI("s.all", "\"everybody\"", "public", NUMBER)                                                                            \
    "," KPI("s.sales", "\"sales\"", "business", NUMBER) "," KPI("s.lead", "\"lead\"", "public", NUMBER) "," KPI(               \
        "s.pay", "\"sales\"", "personal",                                                                                      \
        NUMBER) "," KPI("s.note", "\"sales\"", "personal",                                                                     \
                        "\"type\":\"gauge\",\"unit\":\"text\"") "," KPI("s.rows", "\"sales\"", "personal",                     \
                                                                        TABLE(COLUMN("who", "") "," COLUMN(                    \
                                                                            "what",                                            \
                                                                            ",\"privacy\":\"public\""))) "," KPI("s.open",     \
                                                                                                                 "\"sales\"",  \
                                                                                                                 "personal",   \
                                                                                                                 TABLE(COLUMN( \
                                                                                                                     "what",   \
                                                                                                                     ",\"privacy\":\"public\"")))
#define LAYOUT                                                                                                      \
    "[{\"row\":[{\"kpi\":\"s.all\",\"span\":4},{\"kpi\":\"s.sales\",\"span\":4},{\"kpi\":\"s.lead\",\"span\":4}]}," \
    "{\"row\":[{\"kpi\":\"s.pay\",\"span\":4}],\"section\":\"Money\"},"                                             \
    "{\"row\":[{\"kpi\":\"s.note\",\"span\":4},{\"kpi\":\"s.rows\",\"span\":4},{\"kpi\":\"s.open\",\"span\":4}]}]"

static const char *const star[] = {"*", NULL};
static const char *const support[] = {"support", NULL};
static const struct audience_rules rules = {.open_roles = star,
                                            .business_roles = star,
                                            .personal_roles = support};

/* more: KPIs beside KPIS. */
static struct catalog *load_with(const char *layout, const char *more)
{
    char *directory = definitions_create(), *text = NULL;
    assert_true(asprintf(&text, "{\"kpis\":[" KPIS "%s]}", more) > 0);
    definitions_write(directory, "kpis/sales.json", text);
    free(text);
    assert_true(
        asprintf(&text,
                 "{\"id\":\"sales\",\"title\":\"S\",\"question\":\"Q\",\"roles\":[\"sales\",\"lead\"],"
                 "\"layout\":%s}",
                 layout) > 0);
    definitions_write(directory, "boards/sales.json", text);
    free(text);
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

static struct catalog *load(void)
{
    return load_with(LAYOUT, "");
}

static struct view *view_of(struct catalog *catalog, const char *roles)
{
    struct view *view =
        view_create(catalog, catalog_board(catalog, "sales"), audience_of(&rules, catalog, roles));
    assert_non_null(view);
    return view;
}

static uint64_t id_of(struct catalog *catalog, const char *roles)
{
    return view_id_of(catalog_board(catalog, "sales"), audience_of(&rules, catalog, roles));
}

static void assert_sights(const char *roles, const char *expected)
{
    static const char *const fields[] = {"s.all",    "s.sales", "s.lead",   "s.pay",       "s.note",
                                         "s.rows#1", "s.rows",  "s.open#1", "s.elsewhere", "s.all#1"};
    static const char letters[] = {[SIGHT_NONE] = '-', [SIGHT_MASKED] = 'm', [SIGHT_PLAIN] = 'p'};
    struct catalog *catalog = load();
    struct view *view = view_of(catalog, roles);
    char found[sizeof fields / sizeof fields[0] + 1] = "";
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const struct kpi *kpi = NULL;
        found[i] = letters[view_of_field(view, fields[i], strlen(fields[i]), &kpi)];
        assert_int_equal(found[i] != '-', kpi != NULL);
    }
    assert_string_equal(found, expected);
    view_destroy(view);
    catalog_unref(catalog);
}

static void test_each_role_sees_what_is_meant_for_it(void **state)
{
    (void)state;
    assert_sights("", "p---------");
    assert_sights("lead", "p-p-------");
    assert_sights("sales", "pp--mm-p--"); /* a personal number cannot be masked: it is not seen */
    assert_sights("sales lead", "ppp-mm-p--");
    assert_sights("sales support", "pp-ppp-p--");
    assert_sights(NULL, "ppp-mm-p--");
    assert_sights("support", "p---------"); /* to see personal content opens nothing by itself */
}

static void test_boards_are_for_their_roles(void **state)
{
    (void)state;
    struct catalog *catalog = load();
    const struct board_definition *board = catalog_board(catalog, "sales");
    assert_true(view_is_permitted(board, audience_of(&rules, catalog, "sales")));
    assert_true(view_is_permitted(board, audience_of(&rules, catalog, "x lead")));
    assert_true(view_is_permitted(board, audience_of(&rules, catalog, NULL)));
    assert_false(view_is_permitted(board, audience_of(&rules, catalog, "")));
    assert_false(view_is_permitted(board, audience_of(&rules, catalog, "support sale *")));
    catalog_unref(catalog);
}

static void test_views_are_named_by_what_is_seen(void **state)
{
    (void)state;
    struct catalog *catalog = load();
    assert_true(id_of(catalog, "sales lead") == id_of(catalog, NULL));
    assert_true(id_of(catalog, "sales") == id_of(catalog, "other sales"));
    static const char *const different[] = {"",           "lead",          "sales",
                                            "sales lead", "sales support", "sales lead support"};
    for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(id_of(catalog, different[i]) != id_of(catalog, different[j]));
        }
    }
    struct view *view = view_of(catalog, "sales");
    assert_true(view_id(view) == id_of(catalog, "sales"));
    assert_true(view_mark(view) != 0);
    assert_int_equal(strtoul(view_text(view), NULL, 16), view_mark(view));
    assert_int_equal(strlen(view_text(view)), VIEW_TEXT_BYTES);
    assert_int_equal(view_mark(NULL), 0);
    assert_string_equal(view_text(NULL), "");
    view_destroy(view);
    catalog_unref(catalog);
}

/* Two gateways, or one after a reload. */
static void test_a_name_depends_on_nothing_else(void **state)
{
    (void)state;
    struct catalog *one = load();
    struct catalog *other =
        load_with("[{\"row\":[{\"kpi\":\"s.rows\",\"span\":3},{\"kpi\":\"s.note\",\"span\":3},"
                  "{\"kpi\":\"s.open\",\"span\":6}]},"
                  "{\"row\":[{\"kpi\":\"s.lead\",\"span\":2},{\"kpi\":\"s.all\",\"span\":2},"
                  "{\"kpi\":\"s.pay\",\"span\":2},{\"kpi\":\"s.sales\",\"span\":2}]}]",
                  "," KPI("s.more", "\"first\",\"lead\"", "public", NUMBER));
    assert_true(id_of(one, "sales") == id_of(other, "sales"));
    assert_true(id_of(one, "lead") == id_of(other, "lead"));
    struct catalog *fewer =
        load_with("[{\"row\":[{\"kpi\":\"s.all\",\"span\":3},{\"kpi\":\"s.rows\",\"span\":3}]}]", "");
    assert_true(id_of(one, "sales") != id_of(fewer, "sales"));
    assert_true(id_of(one, "") == id_of(fewer, ""));
    catalog_unref(one);
    catalog_unref(other);
    catalog_unref(fewer);
}

static void test_the_definition_tells_of_what_is_seen(void **state)
{
    (void)state;
    struct catalog *catalog = load();
    struct view *view = view_of(catalog, "sales");
    size_t length = 0;
    const char *text = view_definition(view, &length);
    assert_non_null(text);
    assert_int_equal(strlen(text), length);
    assert_null(strstr(text, "s.lead"));
    assert_null(strstr(text, "s.pay"));
    assert_null(strstr(text, "Money")); /* the heading of a row without tiles */
    json_t *served = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(served, "view")), view_text(view));
    assert_int_equal(json_object_size(json_object_get(served, "kpis")), 5);
    assert_int_equal(json_array_size(json_object_get(served, "layout")), 2);
    json_decref(served);
    assert_ptr_equal(view_definition(view, &length), text);
    view_destroy(view);
    catalog_unref(catalog);
}

static void test_a_view_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct catalog *catalog = load();
    const struct board_definition *board = catalog_board(catalog, "sales");
    const struct audience audience = audience_of(&rules, catalog, "sales");
    bool has_failed = true;
    for (int i = 0; has_failed; i++) {
        allocations_fail_one_after(i);
        struct view *view = view_create(catalog, board, audience);
        size_t length = 0;
        const char *text = view ? view_definition(view, &length) : NULL;
        has_failed = allocations_recover();
        assert_true(has_failed || text);
        assert_true(!view || view_definition(view, &length)); /* the next try is as good as any */
        view_destroy(view);
    }
    catalog_unref(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_role_sees_what_is_meant_for_it),
        cmocka_unit_test(test_boards_are_for_their_roles),
        cmocka_unit_test(test_views_are_named_by_what_is_seen),
        cmocka_unit_test(test_a_name_depends_on_nothing_else),
        cmocka_unit_test(test_the_definition_tells_of_what_is_seen),
        cmocka_unit_test(test_a_view_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
