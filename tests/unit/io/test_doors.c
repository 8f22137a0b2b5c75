/* Which names are ours, and which pages may speak to us. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "io/doors.h"

static const char *const two_names[] = {"dash.example", "other.example:8443", NULL};
static const char *const any[] = {"*", NULL};
static const char *const none[] = {NULL};
static const char *const origins[] = {"https://intranet.example", "http://127.0.0.1:3000", NULL};

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        bool is_known_by_list, is_known_locally;
    } cases[] = {
        {"dash.example", true, false},
        {"DASH.Example", true, false},
        {"dash.example.", true, false},
        {"dash.example:8080", true, false},
        {"other.example:8443", true, false},
        {"other.example", false, false}, /* on another port it is somebody else */
        {"other.example:443", false, false},
        {"evil.example", false, false},
        {"dash.example.evil.example", false, false},
        {"127.0.0.1.evil.example", false, false},
        {"evil.example:127.0.0.1", false, false},
        {"notlocalhost", false, false},
        {".localhost", false, false},
        {"", true, true}, /* an authority without a name */
        {"localhost", true, true},
        {"LOCALHOST:8080", true, true},
        {"localhost.:8080", true, true},
        {"sophia.localhost:1", true, true},
        {"127.0.0.1", true, true},
        {"127.0.0.1:8080", true, true},
        {"10.1.2.3:8080", true, true},
        {"[::1]:8080", true, true},
        {"[fd00::7]", true, true},
        {"127.1", false, false}, /* for a resolver an address, for a browser too: it writes it out */
        {":8080", false, false},
        {"[]:8080", false, false},
    };
    (void)state;
    const struct doors listed = {.hosts = two_names}, listed_locally = {.hosts = two_names, .is_local = true};
    const struct doors local = {.hosts = none, .is_local = true};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (doors_know_host(&listed, cases[i].host) != cases[i].is_known_by_list ||
            doors_know_host(&listed_locally, cases[i].host) != cases[i].is_known_by_list ||
            doors_know_host(&local, cases[i].host) != cases[i].is_known_locally) {
            fail_msg("%s", cases[i].host);
        }
    }
}

static void test_without_a_list_a_public_port_takes_any_name(void **state)
{
    (void)state;
    const struct doors unlisted = {.hosts = NULL}, empty = {.hosts = none};
    assert_true(doors_know_host(&unlisted, "whatever.example"));
    assert_true(doors_know_host(&empty, "whatever.example"));
    const struct doors open = {.hosts = any, .is_local = true};
    assert_true(doors_know_host(&open, "whatever.example"));
    assert_true(doors_know_host(&open, NULL));
}

static void test_a_name_that_is_too_long_is_nobodys(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const struct doors unlisted = {.hosts = NULL};
    assert_false(doors_know_host(&unlisted, name));
    name[253] = '\0';
    assert_true(doors_know_host(&unlisted, name));
}

static void test_origins(void **state)
{
    static const struct {
        const char *origin, *host;
        enum door_origin wanted;
    } cases[] = {
        {NULL, "dash.example", ORIGIN_OURS},
        {"https://dash.example", "dash.example", ORIGIN_OURS},
        {"http://dash.example:8080", "DASH.example:8080", ORIGIN_OURS},
        {"https://dash.example", "dash.example:8080", ORIGIN_FOREIGN},
        {"https://intranet.example", "dash.example", ORIGIN_LISTED},
        {"HTTPS://Intranet.Example", "dash.example", ORIGIN_LISTED},
        {"http://intranet.example", "dash.example", ORIGIN_FOREIGN},
        {"https://intranet.example.evil.example", "dash.example", ORIGIN_FOREIGN},
        {"http://127.0.0.1:3000", "127.0.0.1:8080", ORIGIN_LISTED},
        {"null", "dash.example", ORIGIN_FOREIGN},
        {"", "dash.example", ORIGIN_FOREIGN},
        {"https://", "", ORIGIN_FOREIGN}, /* no name is not our name */
        {"https://evil.example", NULL, ORIGIN_FOREIGN},
    };
    (void)state;
    const struct doors doors = {.origins = origins}, closed = {.origins = none}, open = {.origins = any};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (doors_judge_origin(&doors, cases[i].origin, cases[i].host) != cases[i].wanted) {
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
        }
        assert_int_not_equal(doors_judge_origin(&closed, cases[i].origin, cases[i].host), ORIGIN_LISTED);
        assert_int_not_equal(doors_judge_origin(&open, cases[i].origin, cases[i].host), ORIGIN_FOREIGN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_without_a_list_a_public_port_takes_any_name),
        cmocka_unit_test(test_a_name_that_is_too_long_is_nobodys),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
