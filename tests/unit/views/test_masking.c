/* What is left of a text, and of a value, for who may not see it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "catalog/definition_files.h"
#include "views/masking.h"

struct text_case {
    const char *text, *name, *prose;
};

/* In the order in which a person would ask. */
static const struct text_case cases[] = {
    {"", "", ""},
    /* docs/definitions.md */
    {"Maria Müller of ACME asked about pricing, maria@acme.com, +49 30 1234567",
     "M* M* o* A* a* a* p*, *@*, *", "M* M* of A* asked about pricing, *@*, *"},
    {"Maria Müller", "M* M*", "M* M*"},
    {"maria von müller", "m* v* m*", "maria von müller"}, /* prose knows no names that are written small */
    {"ACME Corp.", "A* C*.", "A* C*."},
    {"O'Brien-Smith", "O*", "O*"},
    {"O\u2019Brien", "O*", "O*"},
    {"Asked about pricing", "A* a* p*", "A* about pricing"},
    {"they don't follow-up", "t* d* f*", "they don't follow-up"},
    {"Élodie Ávila, Ørsted", "É* Á*, Ø*", "É* Á*, Ø*"},
    {"élan über straße", "é* ü* s*", "élan über straße"},
    {"Łódź šálek Žižka", "Ł* š* Ž*", "Ł* šálek Ž*"},
    {"Ελένη και Νίκος", "Ε* κ* Ν*", "Ε* και Ν*"},
    {"Анна и Пётр", "А* и* П*", "А* и П*"},
    {"田中さん called", "* c*", "* called"},
    {"محمد called", "* c*", "* called"},
    {"E\u0301lodie e\u0301lan", "E* e*", "E* e*"}, /* combining marks: not recognised as small, so masked */
    {"\U0001F600 fine", "* f*", "* fine"},
    {"from Ada\u00a0Lovelace\u2026", "f* A*\u00a0L*\u2026", "from A*\u00a0L*\u2026"},
    /* addresses */
    {"maria.mueller@acme.com", "*@*", "*@*"},
    {"ask maria+crm@mail.acme-corp.co.uk, today", "a* *@*, t*", "ask *@*, today"},
    {"<maria@acme.com>", "<*@*>", "<*@*>"},
    {"mail: MARIA@ACME.COM.", "m*: *@*.", "mail: *@*."},
    {"zoë@münchen.example", "*@*", "*@*"},
    {"@handle and x@y", "*@* a* *@*", "*@* and *@*"},
    /* telephones */
    {"+49 30 1234567", "*", "*"},
    {"call (555) 123-4567 now", "c* * n*", "call * now"},
    {"555.123.4567", "*", "*"},
    {"0049-30-123 45 67 or 0171/1234567", "* o* *", "* or *"},
    {"tel:+15551234567", "t*:*", "tel:*"},
    {"1234567", "*", "*"},
    {"+1 (555) 123-4567 x12", "* x*", "* x*"},
    {"١٢٣٤٥٦٧", "*", "*"},
    /* numbers that are none */
    {"12 deals, 3.5 days", "* d*, * d*", "12 deals, 3.5 days"},
    {"win rate 62%", "w* r* *%", "win rate 62%"},
    {"D001 and abc123", "D* a* a*", "D* and a*"},
    {"1,250,000 left", "*,*,* l*", "1,250,000 left"},
    {"line\nTwo\tthree", "l*\nT*\tt*", "line\nT*\tthree"},
    {"\xff\xfe broken", "* b*", "* broken"},
};

static void mask(enum text_mask how, const char *text, char *out, size_t size)
{
    struct bytes masked;
    bytes_init(&masked, 4096);
    mask_text(how, text, strlen(text), &masked);
    assert_false(bytes_failed(&masked));
    assert_true(masked.length < size);
    assert_true(masked.length <= strlen(text) + strlen(text) / 2 + 3);
    memcpy(out, masked.at ? masked.at : "", masked.length);
    out[masked.length] = '\0';
    bytes_finish(&masked);
}

static void test_masks_of_texts(void **state)
{
    (void)state;
    char found[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mask(MASK_NAME, cases[i].text, found, sizeof found);
        assert_string_equal(found, cases[i].name);
        mask(MASK_PROSE, cases[i].text, found, sizeof found);
        assert_string_equal(found, cases[i].prose);
        mask(MASK_ALL, cases[i].text, found, sizeof found);
        assert_string_equal(found, "***");
    }
}

static void test_no_text_grows_beyond_what_is_promised(void **state)
{
    (void)state;
    char text[201], found[512];
    for (size_t i = 0; i < 200; i++) {
        text[i] = i % 2 ? ' ' : 'A';
    }
    text[200] = '\0';
    mask(MASK_NAME, text, found, sizeof found);
    assert_int_equal(strlen(found), 300);
}

#define ROWS                                                                                            \
    "{\"id\":\"s.rows\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"x\"],\"privacy\":\"personal\","    \
    "\"type\":\"table\",\"cap\":5,\"source\":{\"kind\":\"http\"},\"columns\":["                         \
    "{\"key\":\"who\",\"title\":\"W\",\"unit\":\"text\",\"mask\":\"name\"},"                            \
    "{\"key\":\"note\",\"title\":\"N\",\"unit\":\"text\",\"privacy\":\"business\",\"mask\":\"prose\"}," \
    "{\"key\":\"pay\",\"title\":\"P\",\"unit\":\"number\"},"                                            \
    "{\"key\":\"n\",\"title\":\"N\",\"unit\":\"number\",\"privacy\":\"public\"}]}"
#define TEXT                                                                                         \
    "{\"id\":\"s.text\",\"title\":\"T\",\"about\":\"A\",\"roles\":[\"x\"],\"privacy\":\"personal\"," \
    "\"type\":\"gauge\",\"unit\":\"text\",\"source\":{\"kind\":\"http\"}}"

enum { PUBLIC = 1 << PRIVACY_PUBLIC, BUSINESS = PUBLIC | 1 << PRIVACY_BUSINESS };

static void assert_masked(const char *kpi, unsigned plain, const char *value, const char *expected)
{
    struct catalog *catalog = definitions_must_load(ROWS "," TEXT, "s.rows");
    struct bytes out;
    bytes_init(&out, 4096);
    assert_int_equal(mask_value(catalog_kpi(catalog, kpi, strlen(kpi)), plain, value, strlen(value), &out),
                     expected != NULL);
    bytes_append_byte(&out, '\0');
    assert_string_equal(out.at, expected ? expected : "");
    bytes_finish(&out);
    catalog_unref(catalog);
}

static void test_masks_of_values(void **state)
{
    (void)state;
    static const char row[] = "{\"as_of\":5,\"v\":{\"who\":\"Ada L\",\"note\":\"Sent to Bob\",\"pay\":9,"
                              "\"n\":0.1,\"odd\":\"X\"},\"ver\":4,\"secret\":1}";
    assert_masked("s.rows", PUBLIC, row,
                  "{\"as_of\":5,\"ver\":4,\"v\":{\"who\":\"A* L*\",\"note\":\"S* to B*\",\"n\":0.1}}");
    assert_masked("s.rows", BUSINESS, row,
                  "{\"as_of\":5,\"ver\":4,\"v\":{\"who\":\"A* L*\",\"note\":\"Sent to Bob\",\"n\":0.1}}");
    assert_masked("s.text", BUSINESS, "{\"as_of\":5,\"v\":\"Ada\",\"demo\":true,\"level\":\"warn\"}",
                  "{\"as_of\":5,\"level\":\"warn\",\"demo\":true,\"v\":\"***\"}");
    assert_masked("s.text", PUBLIC, "{\"as_of\":5,\"state\":\"invalid\",\"reason\":\"Ada is no number\"}",
                  "{\"as_of\":5,\"state\":\"invalid\",\"reason\":\"***\"}");
    assert_masked("s.text", PUBLIC, "{\"as_of\":5,\"v\":12}", NULL); /* not what the definition says */
    assert_masked("s.rows", PUBLIC, "{\"as_of\":5,\"v\":{\"who\":7,\"n\":1}}",
                  "{\"as_of\":5,\"v\":{\"n\":1}}");
    assert_masked("s.rows", PUBLIC, "no value", NULL);
    assert_masked("s.rows", PUBLIC, "[1]", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_of_texts),
        cmocka_unit_test(test_no_text_grows_beyond_what_is_promised),
        cmocka_unit_test(test_masks_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
