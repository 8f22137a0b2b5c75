/**
 * Bytes with a reference count: the same memory goes to L1, to every waiter and to
 * whoever writes it out. It never changes once made.
 *
 * Loop: the count is the loop thread's.
 */
#ifndef SOPHIA_CACHE_CACHE_VALUE_H
#define SOPHIA_CACHE_CACHE_VALUE_H

#include <stddef.h>
#include <stdint.h>

struct cache_value;

/** version: of the source's own history, 0 when it has none. as_of_ms: what the value says of itself, 0 unknown. NULL: no memory. */
struct cache_value *cache_value_create(const char *bytes, size_t length, uint64_t version, int64_t as_of_ms);
/** value may be NULL. Returns it. */
struct cache_value *cache_value_ref(struct cache_value *value);
/** NULL is allowed. */
void cache_value_unref(struct cache_value *value);
/** NUL-terminated, but may hold NULs. out_length may be NULL. */
const char *cache_value_bytes(const struct cache_value *value, size_t *out_length);
uint64_t cache_value_version(const struct cache_value *value);
int64_t cache_value_as_of_ms(const struct cache_value *value);

#endif
