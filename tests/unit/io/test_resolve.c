/* Names to addresses: numeric ones, names of this machine, names that do not exist, cancelling. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/loop.h"
#include "io/loop_handles.h"
#include "io/resolve.h"

struct heard {
    unsigned calls;
    char address[80];
    char error[200];
};

static void on_done(void *context, const char *address, const char *error)
{
    struct heard *heard = context;
    heard->calls++;
    snprintf(heard->address, sizeof heard->address, "%s", address != NULL ? address : "");
    snprintf(heard->error, sizeof heard->error, "%s", error != NULL ? error : "");
    assert_true((address == NULL) != (error == NULL));
}

static struct heard look_up(const char *host, uint32_t index)
{
    struct loop *loop = loop_create();
    assert_non_null(loop);
    struct heard heard = {0};
    assert_non_null(resolve_start_at(loop, host, index, on_done, &heard));
    assert_int_equal(heard.calls, 0);
    while (heard.calls == 0) {
        loop_run_once(loop, true);
    }
    loop_destroy(loop);
    assert_int_equal(heard.calls, 1);
    return heard;
}

static void test_numeric_hosts_answer_themselves(void **state)
{
    (void)state;
    assert_string_equal(look_up("127.0.0.1", 0).address, "127.0.0.1");
    assert_string_equal(look_up("::1", 3).address, "::1");
}

static void test_localhost_is_one_of_the_loopback_addresses(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct heard heard = look_up("localhost", i);
        assert_true(strcmp(heard.address, "127.0.0.1") == 0 || strcmp(heard.address, "::1") == 0);
    }
}

static void test_unknown_name_is_an_error(void **state)
{
    (void)state;
    struct heard heard = look_up("no-such-host.invalid", 0);
    assert_string_equal(heard.address, "");
    assert_true(strlen(heard.error) > 0);
}

static void test_cancelled_look_up_answers_nobody(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    assert_non_null(loop);
    struct heard heard = {0};
    resolve_cancel(resolve_start(loop, "127.0.0.1", on_done, &heard));
    resolve_cancel(resolve_start(loop, "localhost", on_done, &heard));
    struct resolution *running = resolve_start(loop, "localhost", on_done, &heard);
    loop_run_once(loop, false);
    if (heard.calls == 0) {
        resolve_cancel(running);
    }
    resolve_cancel(NULL);
    unsigned before = heard.calls;
    loop_destroy(loop); /* waits for the threads; the leak check sees what they left */
    assert_int_equal(heard.calls, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numeric_hosts_answer_themselves),
        cmocka_unit_test(test_localhost_is_one_of_the_loopback_addresses),
        cmocka_unit_test(test_unknown_name_is_an_error),
        cmocka_unit_test(test_cancelled_look_up_answers_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
