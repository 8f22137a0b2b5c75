/* A map from digests to entries, and the entries in a list: the one shown last at its end. */
#include "access/token_cache.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

_Static_assert((int)TOKEN_DIGEST_BYTES == (int)SHA256_DIGEST_LENGTH, "another digest");

struct entry {
    struct list_node node;
    unsigned char digest[TOKEN_DIGEST_BYTES];
    int64_t expires_s;
    int64_t not_before_s;
    int64_t issued_s;
    size_t id_at; /* in texts, as is the next */
    size_t roles_at;
    char texts[]; /* subject, id and roles, each NUL-terminated */
};

struct token_cache {
    struct map entries;
    struct list_node shown; /* struct entry.node, longest ago first */
};

static const char *key_of(const unsigned char digest[TOKEN_DIGEST_BYTES])
{
    return (const char *)digest;
}

struct token_cache *token_cache_create(size_t max_tokens)
{
    assert(max_tokens > 0);
    struct token_cache *cache = calloc(1, sizeof *cache);
    if (cache) {
        map_init(&cache->entries, max_tokens);
        list_init(&cache->shown);
    }
    return cache;
}

static void remove_entry(struct token_cache *cache, struct entry *entry)
{
    (void)map_remove(&cache->entries, key_of(entry->digest), TOKEN_DIGEST_BYTES); /* it is this entry */
    list_remove(&entry->node);
    free(entry);
}

void token_cache_clear(struct token_cache *cache)
{
    while (!list_is_empty(&cache->shown)) {
        remove_entry(cache, LIST_ITEM(cache->shown.next, struct entry, node));
    }
}

void token_cache_destroy(struct token_cache *cache)
{
    if (cache) {
        token_cache_clear(cache);
        map_finish(&cache->entries);
        free(cache);
    }
}

bool token_digest(const char *token, size_t length, unsigned char out_digest[TOKEN_DIGEST_BYTES])
{
    return SHA256((const unsigned char *)token, length, out_digest) != NULL;
}

bool token_cache_find(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES],
                      struct jwt_claims *out_claims)
{
    struct entry *entry = map_get(&cache->entries, key_of(digest), TOKEN_DIGEST_BYTES);
    if (!entry) {
        return false;
    }
    list_remove(&entry->node);
    list_append(&cache->shown, &entry->node);
    out_claims->expires_s = entry->expires_s;
    out_claims->not_before_s = entry->not_before_s;
    out_claims->issued_s = entry->issued_s;
    memcpy(out_claims->subject, entry->texts, entry->id_at);
    memcpy(out_claims->id, entry->texts + entry->id_at, strlen(entry->texts + entry->id_at) + 1);
    memcpy(out_claims->roles, entry->texts + entry->roles_at, strlen(entry->texts + entry->roles_at) + 1);
    return true;
}

static struct entry *entry_create(const unsigned char digest[TOKEN_DIGEST_BYTES],
                                  const struct jwt_claims *claims)
{
    size_t id_at = strlen(claims->subject) + 1;
    size_t roles_at = id_at + strlen(claims->id) + 1;
    size_t roles_size = strlen(claims->roles) + 1;
    struct entry *entry = malloc(sizeof *entry + roles_at + roles_size);
    if (entry) {
        entry->expires_s = claims->expires_s;
        entry->not_before_s = claims->not_before_s;
        entry->issued_s = claims->issued_s;
        entry->id_at = id_at;
        entry->roles_at = roles_at;
        memcpy(entry->digest, digest, sizeof entry->digest);
        memcpy(entry->texts, claims->subject, id_at);
        memcpy(entry->texts + id_at, claims->id, roles_at - id_at);
        memcpy(entry->texts + roles_at, claims->roles, roles_size);
    }
    return entry;
}

bool token_cache_keep(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES],
                      const struct jwt_claims *claims)
{
    token_cache_drop(cache, digest);
    bool must_leave = cache->entries.count == cache->entries.max_count;
    if (must_leave) {
        remove_entry(cache, LIST_ITEM(cache->shown.next, struct entry, node));
    }
    struct entry *entry = entry_create(digest, claims);
    if (entry && map_put(&cache->entries, key_of(digest), TOKEN_DIGEST_BYTES, entry) != RESULT_OK) {
        free(entry);
        entry = NULL;
    }
    if (entry) {
        list_append(&cache->shown, &entry->node);
    }
    return must_leave;
}

void token_cache_drop(struct token_cache *cache, const unsigned char digest[TOKEN_DIGEST_BYTES])
{
    struct entry *entry = map_get(&cache->entries, key_of(digest), TOKEN_DIGEST_BYTES);
    if (entry) {
        remove_entry(cache, entry);
    }
}

size_t token_cache_count(const struct token_cache *cache)
{
    return cache->entries.count;
}
