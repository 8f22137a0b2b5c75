/*
 * Counts of connections, in a map keyed with the process's own random key: peers choose their addresses, within a
 * /64 or a rented range, and must not be able to choose colliding ones.
 */
#include "io/address_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct address {
    uint32_t connections;
    uint8_t key_length;
    char key[IP_ADDRESS_KEY_BYTES];
};

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
    char key[IP_ADDRESS_KEY_BYTES];
    uint8_t key_length = ip_address_key(from, key);
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
