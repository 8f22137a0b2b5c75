/**
 * How often each address may do something: a token bucket per address, with a cap on their number.
 *
 * An IPv4 address counts by itself, an IPv6 address as its /64. When the table is full the address that was quiet for longest is
 * forgotten: its bucket has had the most time to fill up again.
 * Cost: O(1); one allocation for an address that is new.
 */
#ifndef SOPHIA_IO_RATE_TABLE_H
#define SOPHIA_IO_RATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "io/ip_address.h"

struct rate_table {
    struct map addresses;    /* struct rate of rate_table.c, by their key */
    struct list_node recent; /* the same, the longest quiet first */
    size_t max_addresses;
    uint32_t per_s; /* 0: no limit, nothing is kept */
    uint32_t burst;
    uint64_t forgotten; /* addresses, to make room */
};

void rate_table_init(struct rate_table *table, size_t max_addresses, uint32_t per_s, uint32_t burst);
void rate_table_finish(struct rate_table *table);

/**
 * Take so many tokens of this address; a burst's worth when more are asked for.
 *
 * Result: 0, or how long until they are there: then none was taken. Without memory for a new address it is let in.
 */
uint64_t rate_table_take(struct rate_table *table, const struct ip_address *address, uint32_t tokens,
                         uint64_t now_us);

#endif
