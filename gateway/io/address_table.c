/*
 * Counts of connections, in a map keyed with the process's own random key: peers choose their addresses, within a
 * /64 or a rented range, and must not be able to choose colliding ones.
 */
#include "io/address_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { V4_BYTES = 4, NETWORK_BYTES = 8 /* of an IPv6 address: the /64 */, KEY_MAX_BYTES = 1 + NETWORK_BYTES };

struct address {
    uint32_t connections;
    uint8_t key_length;
    char key[KEY_MAX_BYTES]; /* the version and the network's bytes */
};

static uint8_t make_key(const struct ip_address *from, char out_key[KEY_MAX_BYTES])
{
    size_t length = from->version == 4 ? V4_BYTES : from->version == 6 ? NETWORK_BYTES : 0;
    out_key[0] = (char)('0' + from->version);
    memcpy(out_key + 1, from->bytes, length);
    return (uint8_t)(1 + length);
}

void address_table_init(struct address_table *table, size_t max_addresses, uint32_t max_per_address)
{
    map_init(&table->addresses, max_addresses);
    table->max_per_address = max_per_address;
}

void address_table_finish(struct address_table *table)
{
    assert(table->addresses.count == 0);
    map_finish(&table->addresses);
}

static enum result add(struct address_table *table, const char *key, uint8_t key_length,
                       struct address **out_address)
{
    struct address *address = calloc(1, sizeof *address);
    if (address == NULL) {
        return RESULT_NO_MEMORY;
    }
    address->key_length = key_length;
    memcpy(address->key, key, key_length);
    enum result result = map_put(&table->addresses, key, key_length, address);
    if (result != RESULT_OK) {
        free(address);
        return result;
    }
    *out_address = address;
    return RESULT_OK;
}

enum result address_table_enter(struct address_table *table, const struct ip_address *from,
                                struct address **out_address)
{
    if (table->max_per_address == 0) {
        *out_address = NULL;
        return RESULT_OK;
    }
    char key[KEY_MAX_BYTES];
    uint8_t key_length = make_key(from, key);
    struct address *address = map_get(&table->addresses, key, key_length);
    if (address == NULL) {
        enum result result = add(table, key, key_length, &address);
        if (result != RESULT_OK) {
            return result;
        }
    } else if (address->connections >= table->max_per_address) {
        return RESULT_TOO_MANY;
    }
    address->connections++;
    *out_address = address;
    return RESULT_OK;
}

void address_table_leave(struct address_table *table, struct address *address)
{
    if (address == NULL) {
        return;
    }
    assert(address->connections > 0);
    if (--address->connections == 0) {
        (void)map_remove(&table->addresses, address->key, address->key_length); /* it is this one */
        free(address);
    }
}
