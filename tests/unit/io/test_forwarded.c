/* Who is behind proxies: the right-most address that is no trusted proxy's, whatever a client writes to the left of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/forwarded.h"

static struct trusted_networks trusted;

static int read_networks(void **state)
{
    static const char *const texts[] = {"10.0.0.0/8", "2001:db8:ff::/48"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_true(ip_network_parse(texts[i], &trusted.networks[trusted.count++]));
    }
    return 0;
}

struct example {
    const char *headers[3];
    const char *client; /* "": nobody to believe */
};

static void judge(enum forwarded_form form, const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct forwarded forwarded = {0};
        char text[IP_ADDRESS_TEXT_BYTES];
        for (size_t j = 0; j < 3 && examples[i].headers[j] != NULL; j++) {
            forwarded_add(&forwarded, form, examples[i].headers[j], &trusted);
        }
        ip_address_print(&forwarded.client, text);
        if (strcmp(text, examples[i].client) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", examples[i].headers[0], text, examples[i].client);
        }
    }
}

static void test_x_forwarded_for(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {{"192.0.2.1"}, "192.0.2.1"},
        {{"  192.0.2.1\t"}, "192.0.2.1"},
        {{"203.0.113.66, 192.0.2.1"}, "192.0.2.1"}, /* the left one is the client's own word */
        {{"203.0.113.66,192.0.2.1, 10.1.2.3"}, "192.0.2.1"},
        {{"203.0.113.66", "192.0.2.1", "10.1.2.3,10.0.0.9"}, "192.0.2.1"},
        {{"10.1.2.3, 10.0.0.9"}, "10.1.2.3"}, /* the farthest of the trusted */
        {{"192.0.2.1, unknown"}, ""},
        {{"192.0.2.1, unknown, 10.0.0.9"}, "10.0.0.9"},
        {{"unknown, 192.0.2.1, 10.0.0.9"}, "192.0.2.1"},
        {{"192.0.2.1,"}, ""},
        {{""}, ""},
        {{"192.0.2.1:4711"}, "192.0.2.1"},
        {{"192.0.2.1:"}, ""},
        {{"192.0.2.1:x"}, ""},
        {{"192.0.2.1:471100"}, ""},
        {{"2001:db8::1"}, "2001:db8::1"},
        {{"[2001:db8::1]:4711"}, "2001:db8::1"},
        {{"[2001:db8::1]"}, "2001:db8::1"},
        {{"[2001:db8::1"}, ""},
        {{"[2001:db8::1]4711"}, ""},
        {{"[192.0.2.1]"}, ""},
        {{"192.0.2.1, 2001:db8:ff::8"}, "192.0.2.1"},
        {{"::ffff:192.0.2.1"}, "192.0.2.1"},
        {{"192.0.2.1, ::ffff:10.0.0.1"}, "192.0.2.1"},
        {{"<script>"}, ""},
    };
    judge(FORWARDED_X, examples, sizeof examples / sizeof examples[0]);
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {{"for=192.0.2.60;proto=http;by=203.0.113.43"}, "192.0.2.60"},
        {{"For=\"[2001:db8:cafe::17]:4711\""}, "2001:db8:cafe::17"},
        {{"for=192.0.2.43, for=198.51.100.17"}, "198.51.100.17"},
        {{"for=192.0.2.43", "for=10.0.0.2"}, "192.0.2.43"},
        {{"for=192.0.2.43, for=10.0.0.2;host=\"a,b;for=1.2.3.4\""}, "192.0.2.43"},
        {{"host=\"a\\\"b\" ; for=192.0.2.43 ;"}, "192.0.2.43"},
        {{"for=\"192.0.2.43:47011\""}, "192.0.2.43"},
        {{"for=unknown"}, ""},
        {{"for=192.0.2.43, for=_gazonk"}, ""},
        {{"for=192.0.2.43, by=10.0.0.1"}, ""}, /* whom it serves is not said */
        {{"for=192.0.2.43, for=_hidden, for=10.0.0.2"}, "10.0.0.2"},
        {{"for=1.1.1.1;for=2.2.2.2"}, ""},
        {{"for=\"192.0.2.43"}, ""},
        {{"for=\"x, for=192.0.2.43"}, ""}, /* a quote that a client left open names nobody */
        {{"for=1.1.1.1;x=\", for=\"192.0.2.43\""}, ""},
        {{"for=\"192.0.2.43\"junk"}, ""},
        {{"192.0.2.43"}, ""},
        {{"for"}, ""},
        {{"for="}, ""},
        {{"=192.0.2.43"}, ""},
        {{""}, ""},
        {{";;,;for=192.0.2.43;;"}, "192.0.2.43"},
        {{"for=\"1111111111111111111111111111111111111111111111111111111111111111111111\""}, ""},
    };
    judge(FORWARDED_RFC7239, examples, sizeof examples / sizeof examples[0]);
}

static void test_chain_without_end_names_nobody(void **state)
{
    (void)state;
    struct forwarded forwarded = {0};
    for (unsigned i = 1; i <= FORWARDED_ENTRIES_MAX; i++) {
        forwarded_add(&forwarded, FORWARDED_X, "192.0.2.1", &trusted);
        assert_int_equal(forwarded.client.version, 4);
    }
    forwarded_add(&forwarded, FORWARDED_X, "192.0.2.1", &trusted);
    assert_int_equal(forwarded.client.version, 0);
    forwarded_add(&forwarded, FORWARDED_X, "192.0.2.1, 192.0.2.2", &trusted);
    assert_int_equal(forwarded.client.version, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x_forwarded_for),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_chain_without_end_names_nobody),
    };
    return cmocka_run_group_tests(tests, read_networks, NULL);
}
