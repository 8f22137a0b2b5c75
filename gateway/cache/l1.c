/*
 * A map from key to entry; policy and timer are intrusive. Times are signed: a value of another process may have been
 * born before this machine's clock began.
 *
 * Invariants: every entry is in the map, in the policy and on the wheel; after any call the budget holds.
 */
#include "cache/l1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 1000,
    MAP_SLOT_BYTES = 64, /* a slot and its share of empty ones, and what the allocator adds */
    ENTRY_MIN_BYTES = 256,
};

const char *l1_reason_name(enum l1_reason reason)
{
    static const char *const names[L1_REASON_COUNT] = {
        [L1_ROOM] = "room", [L1_SHARE] = "share", [L1_EXPIRED] = "expired", [L1_CLEARED] = "cleared"};
    return names[reason];
}

enum result l1_init(struct l1 *l1, size_t budget_bytes, const struct cache_class *classes, size_t class_count,
                    uint64_t now_ms)
{
    assert(class_count >= 1 && class_count <= CACHE_CLASSES_MAX);
    *l1 = (struct l1){.classes = classes, .class_count = class_count, .is_trusted = true};
    size_t max_entries = budget_bytes / ENTRY_MIN_BYTES + 1;
    struct s3fifo_limits limits[CACHE_CLASSES_MAX];
    for (size_t i = 0; i < class_count; i++) {
        limits[i].min_bytes = (size_t)((double)budget_bytes * classes[i].min_share);
        limits[i].max_bytes = (size_t)((double)budget_bytes * classes[i].max_share);
    }
    map_init(&l1->entries, max_entries + 1);
    wheel_init(&l1->wheel, TICK_MS, now_ms);
    return s3fifo_init(&l1->policy, budget_bytes, max_entries, limits, class_count);
}

size_t l1_cost(size_t key_length, size_t value_length)
{
    size_t cost = sizeof(struct l1_entry) + 2 * (key_length + 1) + MAP_SLOT_BYTES + value_length;
    return cost > ENTRY_MIN_BYTES ? cost : ENTRY_MIN_BYTES;
}

static size_t cost_of(const struct l1_entry *entry)
{
    size_t length = 0;
    if (entry->value) {
        (void)cache_value_bytes(entry->value, &length);
    }
    return l1_cost(entry->key_length, length);
}

static void entry_free(struct l1_entry *entry)
{
    cache_value_unref(entry->value);
    free(entry);
}

void l1_finish(struct l1 *l1)
{
    size_t cursor = 0;
    void *entry = NULL;
    while (map_next(&l1->entries, &cursor, NULL, NULL, &entry)) {
        entry_free(entry);
    }
    map_finish(&l1->entries);
    s3fifo_finish(&l1->policy);
}

struct l1_entry *l1_find(const struct l1 *l1, const char *key)
{
    return map_get(&l1->entries, key, strlen(key));
}

void l1_touch(struct l1_entry *entry)
{
    entry->was_read = true;
    s3fifo_touch(&entry->policy);
}

/* ---- judging ---- */

uint64_t l1_age_ms(const struct l1_entry *entry, uint64_t now_ms)
{
    int64_t age_ms = (int64_t)now_ms - entry->born_ms;
    return age_ms > 0 ? (uint64_t)age_ms : 0;
}

/* Is a write by another process to this entry sure to be heard, or was it here for less than a second without? */
static bool is_trusted(const struct l1 *l1, const struct l1_entry *entry, uint64_t now_ms)
{
    if (l1->is_trusted || !l1->classes[entry->class].is_shared) {
        return true;
    }
    int64_t since_ms = entry->obtained_ms > l1->distrusted_ms ? entry->obtained_ms : l1->distrusted_ms;
    return (int64_t)now_ms - since_ms < L1_UNTRUSTED_MS;
}

enum l1_state l1_judge(const struct l1 *l1, const struct l1_entry *entry, uint64_t now_ms)
{
    const struct cache_class *class = &l1->classes[entry->class];
    uint64_t age_ms = l1_age_ms(entry, now_ms);
    bool is_current = !entry->is_changed;
    if (is_current && age_ms < entry->ttl_ms && is_trusted(l1, entry, now_ms)) {
        return L1_FRESH;
    }
    if (!entry->value) {
        return L1_OVER; /* "no such thing" has no stale life */
    }
    if (is_current && age_ms < entry->ttl_ms + class->stale_ms) {
        return L1_STALE;
    }
    return age_ms < entry->ttl_ms + class->stale_error_ms ? L1_STALE_ERROR : L1_OVER;
}

/* ---- putting ---- */

/* From here on it is no use at all. */
static uint64_t over_ms(const struct l1 *l1, const struct l1_entry *entry)
{
    const struct cache_class *class = &l1->classes[entry->class];
    uint64_t limit_ms = entry->value ? cache_class_hard_ms(class) : class->negative_ms;
    int64_t over = entry->born_ms + (int64_t)limit_ms;
    return over > 0 ? (uint64_t)over : 0;
}

static void arm(struct l1 *l1, struct l1_entry *entry)
{
    const struct cache_class *class = &l1->classes[entry->class];
    uint64_t due_ms = over_ms(l1, entry);
    int64_t refresh_ms = entry->born_ms + (int64_t)(entry->ttl_ms / 5 * 4);
    if (class->is_eager && entry->value && refresh_ms > entry->obtained_ms) {
        due_ms = (uint64_t)refresh_ms;
    }
    wheel_arm(&l1->wheel, &entry->timer, due_ms);
}

static void forget(struct l1 *l1, struct l1_entry *entry, enum l1_reason reason)
{
    l1->counts[entry->class].left[reason]++;
    wheel_disarm(&l1->wheel, &entry->timer);
    (void)map_remove(&l1->entries, entry->key, entry->key_length); /* it is there */
    entry_free(entry);
}

void l1_remove(struct l1 *l1, struct l1_entry *entry, enum l1_reason reason)
{
    s3fifo_remove(&l1->policy, &entry->policy);
    forget(l1, entry, reason);
}

static void make_room(struct l1 *l1)
{
    bool is_share = false;
    struct s3fifo_node *victim = NULL;
    while ((victim = s3fifo_evict(&l1->policy, &is_share)) != NULL) {
        forget(l1, LIST_ITEM(victim, struct l1_entry, policy), is_share ? L1_SHARE : L1_ROOM);
    }
}

static void entry_set(struct l1_entry *entry, struct cache_value *value, const struct cache_class *class,
                      const struct l1_facts *facts, uint64_t now_ms)
{
    struct cache_value *old = entry->value;
    entry->value = cache_value_ref(value);
    cache_value_unref(old);
    entry->source = facts->source ? facts->source : entry->source;
    entry->born_ms = (int64_t)now_ms - (int64_t)facts->age_ms;
    entry->obtained_ms = (int64_t)now_ms;
    entry->ttl_ms = value ? cache_class_jittered_ttl_ms(class, facts->random) : class->negative_ms;
    entry->load_ms = facts->load_ms;
    entry->is_changed = false;
    entry->was_read = false;
    entry->has_failed = false;
}

/* A new entry, in the map only; NULL when memory or the table ran out. */
static struct l1_entry *entry_create(struct l1 *l1, const char *key, size_t class)
{
    size_t length = strlen(key);
    struct l1_entry *entry = calloc(1, sizeof *entry + length + 1);
    if (!entry) {
        return NULL;
    }
    entry->class = class;
    entry->key_length = length;
    memcpy(entry->key, key, length);
    wheel_entry_init(&entry->timer);
    if (map_put(&l1->entries, key, length, entry) != RESULT_OK) {
        free(entry);
        return NULL;
    }
    return entry;
}

static bool holds_newer(const struct l1 *l1, const struct l1_entry *entry, const struct cache_value *value,
                        uint64_t now_ms)
{
    return entry->value && value && cache_value_version(entry->value) > cache_value_version(value) &&
           l1_judge(l1, entry, now_ms) == L1_FRESH;
}

enum result l1_put(struct l1 *l1, const char *key, size_t class, struct cache_value *value,
                   const struct l1_facts *facts, uint64_t now_ms)
{
    struct l1_entry *entry = l1_find(l1, key);
    size_t length = 0;
    if (entry && holds_newer(l1, entry, value, now_ms)) {
        return RESULT_OLDER;
    }
    if (value) {
        (void)cache_value_bytes(value, &length);
    }
    size_t cost = l1_cost(strlen(key), length);
    if (cost > l1->policy.groups[class].limits.max_bytes) {
        if (entry) {
            l1_remove(l1, entry, L1_SHARE);
        }
        return RESULT_TOO_BIG;
    }
    bool is_new = entry == NULL;
    entry = is_new ? entry_create(l1, key, class) : entry;
    if (!entry) {
        return RESULT_NO_MEMORY;
    }
    entry_set(entry, value, &l1->classes[class], facts, now_ms);
    arm(l1, entry);
    if (is_new) {
        s3fifo_insert(&l1->policy, &entry->policy, class, cost, (uint32_t)map_hash(key, entry->key_length));
    } else {
        s3fifo_resize(&l1->policy, &entry->policy, cost_of(entry));
    }
    make_room(l1);
    return RESULT_OK;
}

/* ---- what others changed ---- */

bool l1_mark_changed(struct l1 *l1, const char *key)
{
    struct l1_entry *entry = l1_find(l1, key);
    if (entry) {
        entry->is_changed = true;
    }
    return entry != NULL;
}

size_t l1_mark_shared_changed(struct l1 *l1)
{
    size_t count = 0;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&l1->entries, &cursor, NULL, NULL, &value)) {
        struct l1_entry *entry = value;
        if (l1->classes[entry->class].is_shared) {
            entry->is_changed = true;
            count++;
        }
    }
    return count;
}

void l1_distrust(struct l1 *l1, uint64_t now_ms)
{
    if (l1->is_trusted) {
        l1->is_trusted = false;
        l1->distrusted_ms = (int64_t)now_ms;
    }
}

void l1_trust(struct l1 *l1)
{
    if (!l1->is_trusted) {
        (void)l1_mark_shared_changed(l1); /* how many does not matter */
        l1->is_trusted = true;
    }
}

/* ---- clearing and time ---- */

size_t l1_clear_class(struct l1 *l1, size_t class)
{
    size_t count = 0;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&l1->entries, &cursor, NULL, NULL, &value)) {
        struct l1_entry *entry = value;
        if (entry->class == class) {
            l1_remove(l1, entry, L1_CLEARED);
            count++;
        }
    }
    return count;
}

struct run {
    struct l1 *l1;
    uint64_t now_ms;
    void (*on_refresh)(void *context, struct l1_entry *entry);
    void *context;
};

static void on_due(void *context, struct wheel_entry *timer)
{
    struct run *run = context;
    struct l1_entry *entry = LIST_ITEM(timer, struct l1_entry, timer);
    uint64_t over = over_ms(run->l1, entry);
    if (over <= run->now_ms) {
        l1_remove(run->l1, entry, L1_EXPIRED);
        return;
    }
    wheel_arm(&run->l1->wheel, &entry->timer, over);
    if (entry->was_read) {
        run->on_refresh(run->context, entry); /* last: the entry may be gone afterwards */
    }
}

void l1_run(struct l1 *l1, uint64_t now_ms, void (*on_refresh)(void *context, struct l1_entry *entry),
            void *context)
{
    struct run run = {.l1 = l1, .now_ms = now_ms, .on_refresh = on_refresh, .context = context};
    wheel_run(&l1->wheel, now_ms, on_due, &run);
}

uint64_t l1_next_due_ms(const struct l1 *l1)
{
    return wheel_next_due_ms(&l1->wheel);
}

size_t l1_bytes(const struct l1 *l1)
{
    return s3fifo_bytes(&l1->policy);
}

size_t l1_class_bytes(const struct l1 *l1, size_t class)
{
    const struct s3fifo_group *group = &l1->policy.groups[class];
    return group->bytes[S3FIFO_SMALL] + group->bytes[S3FIFO_MAIN];
}
