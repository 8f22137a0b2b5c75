/* The list and the map hold the same entries; each entry is in both from its creation to its end. */
#include "io/rate_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/token_bucket.h"

struct rate {
    struct list_node node; /* in recent */
    struct token_bucket bucket;
    uint8_t key_length;
    char key[IP_ADDRESS_KEY_BYTES];
};

void rate_table_init(struct rate_table *table, size_t max_addresses, uint32_t per_s, uint32_t burst)
{
    *table = (struct rate_table){.max_addresses = max_addresses, .per_s = per_s, .burst = burst};
    map_init(&table->addresses, max_addresses);
    list_init(&table->recent);
}

static void forget(struct rate_table *table, struct rate *rate)
{
    (void)map_remove(&table->addresses, rate->key, rate->key_length); /* it is this one */
    list_remove(&rate->node);
    free(rate);
}

void rate_table_finish(struct rate_table *table)
{
    while (!list_is_empty(&table->recent)) {
        forget(table, LIST_ITEM(table->recent.next, struct rate, node));
    }
    map_finish(&table->addresses);
}

static struct rate *add(struct rate_table *table, const char *key, uint8_t key_length, uint64_t now_us)
{
    if (table->addresses.count == table->max_addresses) {
        forget(table, LIST_ITEM(table->recent.next, struct rate, node));
        table->forgotten++;
    }
    struct rate *rate = calloc(1, sizeof *rate);
    if (!rate) {
        return NULL;
    }
    memcpy(rate->key, key, key_length);
    rate->key_length = key_length;
    token_bucket_init(&rate->bucket, table->per_s, table->burst, now_us);
    if (map_put(&table->addresses, key, key_length, rate) != RESULT_OK) {
        free(rate);
        return NULL;
    }
    list_init(&rate->node);
    return rate;
}

uint64_t rate_table_take(struct rate_table *table, const struct ip_address *address, uint32_t tokens,
                         uint64_t now_us)
{
    char key[IP_ADDRESS_KEY_BYTES];
    if (table->per_s == 0) {
        return 0;
    }
    uint8_t key_length = ip_address_key(address, key);
    struct rate *rate = map_get(&table->addresses, key, key_length);
    rate = rate ? rate : add(table, key, key_length, now_us);
    if (!rate) {
        return 0;
    }
    list_remove(&rate->node);
    list_append(&table->recent, &rate->node);
    tokens = tokens < table->burst ? tokens : table->burst;
    uint64_t wait_us = token_bucket_wait_us(&rate->bucket, tokens, now_us);
    for (uint32_t i = 0; wait_us == 0 && i < tokens; i++) {
        (void)token_bucket_take(&rate->bucket, now_us); /* it was just seen to be there */
    }
    return wait_us;
}
