/* One allocation per value: the head and the bytes behind it. */
#include "cache/cache_value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct cache_value {
    size_t references;
    uint64_t version;
    int64_t as_of_ms;
    size_t length;
    char bytes[];
};

struct cache_value *cache_value_create(const char *bytes, size_t length, uint64_t version, int64_t as_of_ms)
{
    struct cache_value *value = length < SIZE_MAX / 2 ? malloc(sizeof *value + length + 1) : NULL;
    if (!value) {
        return NULL;
    }
    *value =
        (struct cache_value){.references = 1, .version = version, .as_of_ms = as_of_ms, .length = length};
    if (length > 0) {
        memcpy(value->bytes, bytes, length);
    }
    value->bytes[length] = '\0';
    return value;
}

struct cache_value *cache_value_ref(struct cache_value *value)
{
    if (value) {
        value->references++;
    }
    return value;
}

void cache_value_unref(struct cache_value *value)
{
    assert(!value || value->references > 0);
    if (value && --value->references == 0) {
        free(value);
    }
}

const char *cache_value_bytes(const struct cache_value *value, size_t *out_length)
{
    if (out_length) {
        *out_length = value->length;
    }
    return value->bytes;
}

uint64_t cache_value_version(const struct cache_value *value)
{
    return value->version;
}

int64_t cache_value_as_of_ms(const struct cache_value *value)
{
    return value->as_of_ms;
}
