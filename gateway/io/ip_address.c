#include "io/ip_address.h"

#include <arpa/inet.h>
#include <string.h>

enum { V4_BYTES = 4, V6_NETWORK_BYTES = 8, V4_BITS = 32, V6_BITS = 128, MAPPED_PREFIX_BYTES = 12 };

struct ip_address ip_address_of_bytes(unsigned version, const void *bytes)
{
    struct ip_address address = {.version = (uint8_t)version};
    struct in6_addr in6;
    if (version == 4) {
        memcpy(address.bytes, bytes, V4_BYTES);
        return address;
    }
    memcpy(&in6, bytes, sizeof in6);
    if (IN6_IS_ADDR_V4MAPPED(&in6)) {
        return ip_address_of_bytes(4, in6.s6_addr + MAPPED_PREFIX_BYTES);
    }
    memcpy(address.bytes, &in6, sizeof in6);
    return address;
}

struct ip_address ip_address_of_socket(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        return ip_address_of_bytes(4, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
    }
    if (address->ss_family == AF_INET6) {
        return ip_address_of_bytes(6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    }
    return (struct ip_address){0};
}

bool ip_address_parse(const char *text, size_t length, struct ip_address *out_address)
{
    char copy[IP_ADDRESS_TEXT_BYTES];
    unsigned char bytes[IP_ADDRESS_BYTES];
    if (length == 0 || length >= sizeof copy || memchr(text, '\0', length)) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    bool is_v6 = memchr(text, ':', length) != NULL;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, copy, bytes) != 1) {
        return false;
    }
    *out_address = ip_address_of_bytes(is_v6 ? 6 : 4, bytes);
    return true;
}

void ip_address_print(const struct ip_address *address, char out_text[IP_ADDRESS_TEXT_BYTES])
{
    int family = address->version == 4 ? AF_INET : AF_INET6;
    if (address->version == 0 ||
        !inet_ntop(family, address->bytes, out_text, (socklen_t)IP_ADDRESS_TEXT_BYTES)) {
        out_text[0] = '\0';
    }
}

bool ip_address_is_loopback(const struct ip_address *address)
{
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
    return address->version == 4
               ? address->bytes[0] == 127
               : address->version == 6 && memcmp(address->bytes, &loopback, sizeof loopback) == 0;
}

uint8_t ip_address_key(const struct ip_address *address, char out_key[IP_ADDRESS_KEY_BYTES])
{
    size_t length = address->version == 4 ? V4_BYTES : address->version == 6 ? V6_NETWORK_BYTES : 0;
    out_key[0] = (char)('0' + address->version);
    memcpy(out_key + 1, address->bytes, length);
    return (uint8_t)(1 + length);
}

/** The byte's bits that a prefix covers. */
static uint8_t mask_of(unsigned prefix_bits, unsigned byte)
{
    unsigned before = byte * 8;
    unsigned covered = prefix_bits <= before ? 0 : prefix_bits - before;
    return (uint8_t)((0xff00U >> (covered < 8 ? covered : 8)) & 0xffU);
}

static bool has_bits_behind(const struct ip_network *network)
{
    for (unsigned i = 0; i < IP_ADDRESS_BYTES; i++) {
        if (network->base.bytes[i] & (uint8_t)~mask_of(network->prefix_bits, i)) {
            return true;
        }
    }
    return false;
}

/** One to three digits. False when it is none, or above most. */
static bool parse_prefix(const char *text, unsigned most, uint8_t *out_bits)
{
    unsigned bits = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 3 || text[length] != '\0' || (text[0] == '0' && length > 1)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bits = bits * 10 + (unsigned)(text[i] - '0');
    }
    if (bits > most) {
        return false;
    }
    *out_bits = (uint8_t)bits;
    return true;
}

bool ip_network_parse(const char *text, struct ip_network *out_network)
{
    struct ip_network network = {0};
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (!ip_address_parse(text, length, &network.base)) {
        return false;
    }
    /* A mapped address has become one of version 4, for which its prefix means nothing. */
    bool is_written_as_v6 = memchr(text, ':', length) != NULL;
    if (slash && is_written_as_v6 && network.base.version == 4) {
        return false;
    }
    unsigned most = network.base.version == 4 ? V4_BITS : V6_BITS;
    network.prefix_bits = (uint8_t)most;
    if ((slash && !parse_prefix(slash + 1, most, &network.prefix_bits)) || has_bits_behind(&network)) {
        return false;
    }
    *out_network = network;
    return true;
}

bool ip_network_contains(const struct ip_network *network, const struct ip_address *address)
{
    if (address->version == 0 || address->version != network->base.version) {
        return false;
    }
    unsigned bytes = address->version == 4 ? V4_BYTES : IP_ADDRESS_BYTES;
    for (unsigned i = 0; i < bytes; i++) {
        if ((address->bytes[i] & mask_of(network->prefix_bits, i)) != network->base.bytes[i]) {
            return false;
        }
    }
    return true;
}
