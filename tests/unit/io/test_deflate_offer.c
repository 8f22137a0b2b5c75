/* Sec-WebSocket-Extensions as clients write it, and as nobody should. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "io/deflate_offer.h"

static const char *const plain = DEFLATE_ANSWER;
static const char *const with_window = DEFLATE_ANSWER "; " DEFLATE_ANSWER_WINDOW;

static void assert_answer(const char *header, const char *expected)
{
    const char *answer = deflate_offer_answer(header);
    if ((answer == NULL) != (expected == NULL)) {
        fail_msg("\"%s\": %s", header, answer ? answer : "(declined)");
    }
    if (expected) {
        assert_string_equal(answer, expected);
    }
}

static void test_good_offers_are_accepted(void **state)
{
    (void)state;
    static const char *const offers[] = {
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits", /* browsers */
        "permessage-deflate;client_max_window_bits=15",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=\"10\"",
        "permessage-deflate ; client_max_window_bits = \"\\1\\0\" ",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "\t permessage-deflate\t;\tclient_no_context_takeover\t",
        "x-webkit-deflate-frame, permessage-deflate",
        "foo; a=1; b=\"1,2;\\\"3\"; c, permessage-deflate; client_max_window_bits",
        ",, ,permessage-deflate,",
    };
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        assert_answer(offers[i], plain);
    }
}

static void test_the_window_we_write_with_is_promised_where_it_is_asked_for(void **state)
{
    (void)state;
    char offer[100];
    for (int bits = 0; bits <= 100; bits++) {
        snprintf(offer, sizeof offer, "permessage-deflate; server_max_window_bits=%d", bits);
        assert_answer(offer, bits >= DEFLATE_OFFER_WINDOW_BITS && bits <= 15 ? with_window : NULL);
        snprintf(offer, sizeof offer, "permessage-deflate; client_max_window_bits=\"%d\"", bits);
        assert_answer(offer, bits >= 8 && bits <= 15 ? plain : NULL);
    }
    assert_answer("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", with_window);
    assert_answer("permessage-deflate; server_max_window_bits=8, permessage-deflate",
                  plain); /* its second choice */
    assert_answer(
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=13",
        with_window);
}

static void test_offers_with_a_flaw_are_declined(void **state)
{
    (void)state;
    static const char *const offers[] = {
        "",
        " ",
        ",",
        "permessage-deflat",
        "permessage-deflate2",
        "Permessage-Deflate",
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover=\"\"",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=12.0",
        "permessage-deflate; server_max_window_bits=120000000000",
        "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
    };
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        assert_answer(offers[i], NULL);
    }
}

static void test_behind_a_breach_of_the_grammar_nothing_counts(void **state)
{
    (void)state;
    static const char *const breaches[] = {
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate foo",
        ";permessage-deflate",
        "permessage-deflate; client_max_window_bits=\"9",
        "foo; a=\"\\",
        "foo; a=\"b\"c",
        "foo=1",
        "\"permessage-deflate\"",
        "foo; a=\"\"",
        "permessage-deflate; client_max_window_bits=\"9\" 9",
        "permessage-deflate/deflate",
    };
    for (size_t i = 0; i < sizeof breaches / sizeof breaches[0]; i++) {
        char header[200];
        assert_answer(breaches[i], NULL);
        snprintf(header, sizeof header, "%s, permessage-deflate", breaches[i]);
        assert_answer(header, NULL);
        snprintf(header, sizeof header, "permessage-deflate, %s", breaches[i]);
        assert_answer(header, plain); /* it had been accepted by then */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_offers_are_accepted),
        cmocka_unit_test(test_the_window_we_write_with_is_promised_where_it_is_asked_for),
        cmocka_unit_test(test_offers_with_a_flaw_are_declined),
        cmocka_unit_test(test_behind_a_breach_of_the_grammar_nothing_counts),
    };
    return cmocka_run_group_tests_name("deflate_offer", tests, NULL, NULL);
}
