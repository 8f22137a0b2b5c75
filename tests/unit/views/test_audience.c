/* What roles amount to: those of tokens, those of who comes in without one, and the options beside them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "catalog/definition_files.h"
#include "views/audience.h"

#define KPI(id, roles)                                                     \
    "{\"id\":\"" id "\",\"title\":\"T\",\"about\":\"A\",\"roles\":[" roles \
    "],\"privacy\":\"public\",\"type\":\"gauge\",\"unit\":\"integer\",\"source\":{\"kind\":\"http\"}}"

static const char *const star[] = {"*", NULL};
static const char *const nobody[] = {NULL};
static const char *const analysts[] = {"analyst", "support", NULL};
static struct catalog *catalog;

static int load(void **state)
{
    (void)state;
    catalog =
        definitions_must_load(KPI("s.a", "\"sales\",\"everybody\"") "," KPI("s.b", "\"analyst\""), "s.a");
    return 0;
}

static int unload(void **state)
{
    (void)state;
    catalog_unref(catalog);
    return 0;
}

static uint64_t bit(const char *role)
{
    return catalog_role(catalog, role, strlen(role));
}

static uint64_t roles_of(const char *const *open_roles, const char *words)
{
    const struct audience_rules rules = {.open_roles = open_roles};
    return audience_of(&rules, catalog, words).roles;
}

static void test_roles_are_those_that_definitions_name(void **state)
{
    (void)state;
    assert_int_equal(bit("everybody"), 1);
    assert_true(bit("sales") != 0 && bit("analyst") != 0 && bit("sales") != bit("analyst"));
    assert_int_equal(bit("nobody"), 0);
    assert_int_equal(bit("sale"), 0);
    assert_int_equal(roles_of(star, ""), 1); /* a token without roles: everybody, and no more */
    assert_int_equal(roles_of(star, "sales"), 1 | bit("sales"));
    assert_int_equal(roles_of(star, " analyst  sales nothing "), 1 | bit("sales") | bit("analyst"));
    assert_int_equal(roles_of(star, "Sales sales2 sale"), 1);
}

static void test_a_star_is_a_wildcard_in_options_only(void **state)
{
    (void)state;
    assert_int_equal(roles_of(star, "*"), 1);
    assert_true(roles_of(star, NULL) == UINT64_MAX);
    assert_int_equal(roles_of(nobody, NULL), 1);
    assert_int_equal(roles_of(NULL, NULL), 1);
    assert_int_equal(roles_of(analysts, NULL), 1 | bit("analyst"));
}

static unsigned plain_of(const char *const *open, const char *const *business, const char *const *personal,
                         const char *words)
{
    const struct audience_rules rules = {
        .open_roles = open, .business_roles = business, .personal_roles = personal};
    return audience_of(&rules, catalog, words).plain;
}

static void test_what_is_not_masked(void **state)
{
    (void)state;
    static const char *const everybody[] = {"everybody", NULL};
    enum { P = 1 << PRIVACY_PUBLIC, B = 1 << PRIVACY_BUSINESS, N = 1 << PRIVACY_PERSONAL };
    assert_int_equal(plain_of(star, NULL, NULL, NULL), P);
    assert_int_equal(plain_of(star, star, NULL, NULL), P | B);
    assert_int_equal(plain_of(star, star, nobody, "sales"), P | B);
    assert_int_equal(plain_of(star, star, analysts, NULL),
                     P | B); /* by name, not by the star of open_roles */
    assert_int_equal(plain_of(analysts, star, analysts, NULL), P | B | N);
    assert_int_equal(plain_of(star, nobody, analysts, "sales analyst"), P | N);
    assert_int_equal(plain_of(star, nobody, analysts, "support"), P | N); /* in no definition: still a name */
    assert_int_equal(plain_of(star, analysts, star, "sales"), P | N);
    assert_int_equal(plain_of(nobody, everybody, nobody, ""), P | B);
    assert_int_equal(plain_of(star, analysts, nobody, "*"), P);
}

static void test_names_of_roles_have_bounds(void **state)
{
    (void)state;
    char kpis[8192] = "", finding[256];
    assert_kpis_refused(KPI("s.a", "\"a b\""),
                        "s.a.roles: \"a b\" is not a role: 1 to 64 bytes without blanks");
    assert_kpis_refused(KPI("s.a", "\"*\""), "is not a role");
    for (int i = 0; i < 32; i++) {
        size_t used = strlen(kpis);
        (void)snprintf(kpis + used, sizeof kpis - used, "%s" KPI("s.k%d", "\"a%d\",\"b%d\""), i ? "," : "", i,
                       i, i);
    }
    (void)snprintf(finding, sizeof finding, "is one role more than the 64");
    assert_kpis_refused(kpis, finding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_are_those_that_definitions_name),
        cmocka_unit_test(test_a_star_is_a_wildcard_in_options_only),
        cmocka_unit_test(test_what_is_not_masked),
        cmocka_unit_test(test_names_of_roles_have_bounds),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
