/**
 * Who is behind a proxy, by what proxies write into requests: X-Forwarded-For, or Forwarded (RFC 7239).
 *
 * Each proxy appends whom it serves, so the list is only worth as much as those who wrote it: read from the end it is
 * believed as long as the writers are trusted, and the first address that is no trusted proxy's is the client. What a
 * client itself wrote is to the left of that and counts for nothing.
 *
 * Pure. Cost: O(length of the headers), and FORWARDED_ENTRIES_MAX times the number of networks.
 */
#ifndef SOPHIA_IO_FORWARDED_H
#define SOPHIA_IO_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "io/ip_address.h"

enum { FORWARDED_ENTRIES_MAX = 64, TRUSTED_NETWORKS_MAX = 64 };

enum forwarded_form { FORWARDED_X, FORWARDED_RFC7239 };

struct trusted_networks {
    size_t count;
    struct ip_network networks[TRUSTED_NETWORKS_MAX];
};

bool trusted_networks_contain(const struct trusted_networks *trusted, const struct ip_address *address);

/** A chain being read: headers in the order in which they came. Starts zeroed. */
struct forwarded {
    unsigned count;           /* of entries */
    struct ip_address client; /* so far; version 0: nobody to believe */
};

/**
 * Take one header's value. An entry that names no address ("unknown", "_hidden", nonsense) hides all to its left.
 * A chain of more than FORWARDED_ENTRIES_MAX entries names nobody.
 */
void forwarded_add(struct forwarded *forwarded, enum forwarded_form form, const char *value,
                   const struct trusted_networks *trusted);

#endif
