/**
 * IP addresses and networks as values: small, comparable, without a socket behind them. An IPv4 address that is
 * written as IPv6 (::ffff:192.0.2.1) is the IPv4 address, wherever it comes from.
 *
 * Pure.
 */
#ifndef SOPHIA_IO_IP_ADDRESS_H
#define SOPHIA_IO_IP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { IP_ADDRESS_TEXT_BYTES = INET6_ADDRSTRLEN, IP_ADDRESS_BYTES = 16, IP_ADDRESS_KEY_BYTES = 9 };

struct ip_address {
    uint8_t version;                 /* 4 or 6; 0: not known, or of another family */
    uint8_t bytes[IP_ADDRESS_BYTES]; /* the first 4 of version 4; the rest 0 */
};

struct ip_network {
    struct ip_address base; /* bits behind the prefix are 0 */
    uint8_t prefix_bits;
};

/** bytes: 4 of version 4, 16 of version 6. */
struct ip_address ip_address_of_bytes(unsigned version, const void *bytes);
struct ip_address ip_address_of_socket(const struct sockaddr_storage *address);
/** "192.0.2.1", "2001:db8::1"; no port, no brackets, no zone. False for anything else. */
bool ip_address_parse(const char *text, size_t length, struct ip_address *out_address);
/** "" when it is not known. */
void ip_address_print(const struct ip_address *address, char out_text[IP_ADDRESS_TEXT_BYTES]);
bool ip_address_is_loopback(const struct ip_address *address);

/**
 * What counts as one party, for limits: an IPv4 address, or the /64 of an IPv6 address, because that is what one subscriber is
 * given and may number freely. Returns the length; what is not known is one party, too.
 */
uint8_t ip_address_key(const struct ip_address *address, char out_key[IP_ADDRESS_KEY_BYTES]);

/** "10.0.0.0/8", "2001:db8::/32", or an address for itself. False for anything else, and for bits behind the prefix. */
bool ip_network_parse(const char *text, struct ip_network *out_network);
/** An address that is not known is in no network. */
bool ip_network_contains(const struct ip_network *network, const struct ip_address *address);

#endif
