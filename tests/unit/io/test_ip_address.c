/* Addresses and networks: how they are written, what is the same, what is inside. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "io/ip_address.h"

static void test_addresses_are_read_and_printed_one_way(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *printed; /* NULL: no address */
        bool is_loopback;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.255.0.9", "127.255.0.9", true},
        {"2001:DB8:0::1", "2001:db8::1", false},
        {"::1", "::1", true},
        {"::", "::", false},
        {"::ffff:192.0.2.1", "192.0.2.1", false},
        {"::ffff:7f00:1", "127.0.0.1", true},
        {"", NULL, false},
        {"192.0.2", NULL, false},
        {"192.0.2.1 ", NULL, false},
        {"192.0.2.256", NULL, false},
        {"0192.0.2.1", NULL, false},
        {"[::1]", NULL, false},
        {"fe80::1%eth0", NULL, false},
        {"1.2.3.4:80", NULL, false},
        {"localhost", NULL, false},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:0000", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ip_address address = {0};
        char text[IP_ADDRESS_TEXT_BYTES];
        bool is_read = ip_address_parse(cases[i].text, strlen(cases[i].text), &address);
        if (is_read != (cases[i].printed != NULL)) {
            fail_msg("\"%s\": %d", cases[i].text, is_read);
        }
        ip_address_print(&address, text);
        assert_string_equal(text, cases[i].printed ? cases[i].printed : "");
        assert_int_equal(ip_address_is_loopback(&address), cases[i].is_loopback);
    }
    struct ip_address address;
    assert_false(ip_address_parse("1.2.3.4\0000", 9, &address)); /* a NUL inside */
}

static void test_sockets_addresses_are_the_same_values(void **state)
{
    (void)state;
    struct sockaddr_storage storage = {.ss_family = AF_INET6};
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&storage;
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)&storage;
    struct ip_address expected;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6->sin6_addr), 1);
    assert_true(ip_address_parse("192.0.2.7", 9, &expected));
    struct ip_address address = ip_address_of_socket(&storage);
    assert_memory_equal(&address, &expected, sizeof address);
    memset(&storage, 0, sizeof storage);
    storage.ss_family = AF_INET;
    assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &in4->sin_addr), 1);
    address = ip_address_of_socket(&storage);
    assert_memory_equal(&address, &expected, sizeof address);
    storage.ss_family = AF_UNIX;
    assert_int_equal(ip_address_of_socket(&storage).version, 0);
}

static void test_networks_hold_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *network;
        const char *address;
        bool is_inside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "10.0.0.1", false},
        {"::1", "::1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ip_network network;
        struct ip_address address;
        assert_true(ip_network_parse(cases[i].network, &network));
        assert_true(ip_address_parse(cases[i].address, strlen(cases[i].address), &address));
        if (ip_network_contains(&network, &address) != cases[i].is_inside) {
            fail_msg("%s in %s", cases[i].address, cases[i].network);
        }
    }
    struct ip_network all;
    assert_true(ip_network_parse("::/0", &all));
    assert_false(ip_network_contains(&all, &(struct ip_address){0}));
}

static void test_what_is_no_network(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0.0/8 ",
        "10.0.0.1/8",
        "10.0.0.0/8/8",
        "2001:db8::/129",
        "2001:db8::1/64",
        "::ffff:10.0.0.0/104",
        "10.0.0.0/1000",
        "all",
        "[::1]/128",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ip_network network;
        if (ip_network_parse(cases[i], &network)) {
            fail_msg("\"%s\" was taken", cases[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read_and_printed_one_way),
        cmocka_unit_test(test_sockets_addresses_are_the_same_values),
        cmocka_unit_test(test_networks_hold_what_they_say),
        cmocka_unit_test(test_what_is_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
