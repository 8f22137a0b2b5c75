/**
 * Who is connected from where: open connections per peer address, with a limit for each.
 *
 * An IPv4 address counts by itself; an IPv6 address counts as its /64, because
 * that is what one subscriber is given and may number freely.
 *
 * An address is in the table only while it has a connection, so the table is never larger than the
 * number of connections; its own cap is the backstop.
 * Cost: O(1), two allocations for the first connection of an address, none for those after it.
 */
#ifndef SOPHIA_IO_ADDRESS_TABLE_H
#define SOPHIA_IO_ADDRESS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "io/ip_address.h"
#include "protocol/result.h"

/** One address that has connections; what a connection holds on to. */
struct address;

struct address_table {
    struct map addresses;     /* struct address, by their key */
    uint32_t max_per_address; /* 0: nothing is counted */
};

void address_table_init(struct address_table *table, size_t max_addresses, uint32_t max_per_address);
/** Everybody must have left. */
void address_table_finish(struct address_table *table);

/**
 * One more connection from here. What is not known counts as one address.
 *
 * Owns:   *out_address (NULL when nothing is counted) goes back to address_table_leave().
 * Result: RESULT_TOO_MANY at the limit of the address, RESULT_FULL at the cap of the table, RESULT_NO_MEMORY.
 */
MUST_CHECK enum result address_table_enter(struct address_table *table, const struct ip_address *from,
                                           struct address **out_address);
/** One less. NULL is allowed. */
void address_table_leave(struct address_table *table, struct address *address);

#endif
