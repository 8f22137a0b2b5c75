/*
 * Headers of proxies, and networks. Whatever a client writes, what a trusted proxy appends decides: with an address of a
 * client appended as X-Forwarded-For, that one is found; in a quote that was left open nobody is.
 */
#include "io/forwarded.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_appended(const char *value, const struct trusted_networks *trusted)
{
    struct forwarded forwarded = {0};
    struct ip_address expected;
    char *text = malloc(strlen(value) + sizeof ", 192.0.2.1, 10.0.0.1");
    if (!text || !ip_address_parse("192.0.2.1", 9, &expected)) {
        abort();
    }
    strcpy(text, value);
    strcat(text, ", 192.0.2.1, 10.0.0.1");
    forwarded_add(&forwarded, FORWARDED_X, text, trusted);
    free(text);
    bool is_theirs = memcmp(&forwarded.client, &expected, sizeof expected) == 0;
    if (is_theirs != (forwarded.count <= FORWARDED_ENTRIES_MAX)) {
        abort();
    }
}

static void check_element(const char *value, const struct trusted_networks *trusted)
{
    static const char *const appended[] = {", for=192.0.2.1", ", for=\"192.0.2.1:8\";proto=\"https\""};
    for (size_t i = 0; i < 2; i++) {
        struct forwarded forwarded = {0};
        struct ip_address expected;
        char *text = malloc(strlen(value) + 64);
        if (!text || !ip_address_parse("192.0.2.1", 9, &expected)) {
            abort();
        }
        strcpy(text, value);
        strcat(text, appended[i]);
        forwarded_add(&forwarded, FORWARDED_RFC7239, text, trusted);
        free(text);
        if (forwarded.client.version != 0 && memcmp(&forwarded.client, &expected, sizeof expected) != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct trusted_networks trusted = {.count = 1};
    struct ip_network network;
    char *value = malloc(length + 1);
    if (!value || !ip_network_parse("10.0.0.0/8", &trusted.networks[0])) {
        abort();
    }
    memcpy(value, bytes, length);
    value[length] = '\0';
    check_appended(value, &trusted);
    check_element(value, &trusted);
    if (ip_network_parse(value, &network) && !ip_network_contains(&network, &network.base)) {
        abort();
    }
    free(value);
    return 0;
}
