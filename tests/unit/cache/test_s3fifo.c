/*
 * The policy against a second, naive one: arrays that are searched, one pair of queues, no groups. Victims must be the
 * same, one by one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cache/s3fifo.h"
#include "support/allocations.h"
#include "support/chance.h"

enum { KEYS = 600, OPERATIONS = 60000 };

/* ---- the naive one ---- */

struct naive_entry {
    uint32_t key;
    size_t bytes;
    int reads;
};

struct naive_queue {
    struct naive_entry entries[KEYS];
    size_t count;
};

struct naive {
    size_t budget;
    struct naive_queue queues[2]; /* small, main */
    struct {
        uint32_t key;
        uint64_t at;
    } ghosts[2 * OPERATIONS];
    size_t ghost_count;
    uint64_t ghost_clock;
};

static struct naive naive;

static size_t naive_bytes(const struct naive_queue *queue)
{
    size_t bytes = 0;
    for (size_t i = 0; i < queue->count; i++) {
        bytes += queue->entries[i].bytes;
    }
    return bytes;
}

static struct naive_entry *naive_find(uint32_t key, struct naive_queue **out_queue)
{
    for (int q = 0; q < 2; q++) {
        for (size_t i = 0; i < naive.queues[q].count; i++) {
            if (naive.queues[q].entries[i].key == key) {
                *out_queue = &naive.queues[q];
                return &naive.queues[q].entries[i];
            }
        }
    }
    return NULL;
}

static struct naive_entry naive_take(struct naive_queue *queue, size_t index)
{
    struct naive_entry entry = queue->entries[index];
    queue->count--;
    memmove(&queue->entries[index], &queue->entries[index + 1],
            (queue->count - index) * sizeof queue->entries[0]);
    return entry;
}

static void naive_push(struct naive_queue *queue, struct naive_entry entry)
{
    queue->entries[queue->count++] = entry;
}

static void naive_insert(uint32_t key, size_t bytes)
{
    bool is_known = false;
    for (size_t i = naive.ghost_count; i-- > 0 && !is_known;) {
        if (naive.ghosts[i].key == key) {
            is_known = naive.ghost_clock - naive.ghosts[i].at < naive.queues[0].count + naive.queues[1].count;
            naive.ghosts[i].key = UINT32_MAX;
            break;
        }
    }
    naive_push(&naive.queues[is_known ? 1 : 0], (struct naive_entry){.key = key, .bytes = bytes});
}

/* UINT32_MAX: it fits. */
static uint32_t naive_evict(void)
{
    if (naive_bytes(&naive.queues[0]) + naive_bytes(&naive.queues[1]) <= naive.budget) {
        return UINT32_MAX;
    }
    for (;;) {
        bool is_small = naive_bytes(&naive.queues[0]) > naive.budget / 10;
        if (naive.queues[is_small ? 0 : 1].count == 0) {
            is_small = !is_small;
        }
        struct naive_entry oldest = naive_take(&naive.queues[is_small ? 0 : 1], 0);
        if (is_small && oldest.reads >= 2) {
            oldest.reads = 0;
            naive_push(&naive.queues[1], oldest);
        } else if (!is_small && oldest.reads > 0) {
            oldest.reads--;
            naive_push(&naive.queues[1], oldest);
        } else {
            if (is_small) {
                naive.ghost_clock++;
                naive.ghosts[naive.ghost_count].key = oldest.key;
                naive.ghosts[naive.ghost_count++].at = naive.ghost_clock;
            }
            return oldest.key;
        }
    }
}

/* ---- the real one ---- */

struct item {
    struct s3fifo_node node;
    bool is_live;
};

static struct item items[KEYS];
static struct s3fifo policy;

static uint32_t key_of(const struct s3fifo_node *node)
{
    return (uint32_t)(LIST_ITEM(node, struct item, node) - items);
}

static void open_policy(size_t budget, const struct s3fifo_limits *limits, size_t groups)
{
    memset(items, 0, sizeof items);
    assert_int_equal(s3fifo_init(&policy, budget, KEYS, limits, groups), RESULT_OK);
}

static uint32_t evict(void)
{
    bool is_share = false;
    struct s3fifo_node *victim = s3fifo_evict(&policy, &is_share);
    if (!victim) {
        return UINT32_MAX;
    }
    items[key_of(victim)].is_live = false;
    return key_of(victim);
}

static void compare_victims(void)
{
    uint32_t key = 0;
    do {
        key = evict();
        assert_int_equal(key, naive_evict());
    } while (key != UINT32_MAX);
}

static void compare_run(struct chance *chance, size_t groups, uint32_t max_bytes)
{
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t key = chance_below(chance, 1 + chance_below(chance, KEYS)); /* low keys are popular */
        struct naive_queue *queue = NULL;
        struct naive_entry *twin = naive_find(key, &queue);
        assert_int_equal(items[key].is_live, twin != NULL);
        if (!twin) {
            size_t bytes = 1 + chance_below(chance, max_bytes);
            items[key].is_live = true;
            s3fifo_insert(&policy, &items[key].node, key % groups, bytes, key);
            naive_insert(key, bytes);
        } else if (chance_percent(chance, 3)) {
            s3fifo_remove(&policy, &items[key].node);
            items[key].is_live = false;
            (void)naive_take(queue, (size_t)(twin - queue->entries));
        } else if (chance_percent(chance, 3)) {
            twin->bytes = 1 + chance_below(chance, max_bytes);
            s3fifo_resize(&policy, &items[key].node, twin->bytes);
        } else {
            s3fifo_touch(&items[key].node);
            twin->reads += twin->reads < 3 ? 1 : 0;
        }
        compare_victims();
        assert_int_equal(s3fifo_bytes(&policy),
                         naive_bytes(&naive.queues[0]) + naive_bytes(&naive.queues[1]));
    }
}

static void compare(uint64_t seed, size_t groups, uint32_t max_bytes, size_t budget)
{
    static const struct s3fifo_limits none[3] = {{0, SIZE_MAX}, {0, SIZE_MAX}, {0, SIZE_MAX}};
    struct chance chance = chance_seeded("s3fifo", seed);
    memset(&naive, 0, sizeof naive);
    naive.budget = budget;
    open_policy(budget, none, groups);
    compare_run(&chance, groups, max_bytes);
    s3fifo_finish(&policy);
}

static void test_victims_are_those_of_a_naive_policy(void **state)
{
    (void)state;
    compare(1, 1, 1, 50);
    compare(2, 1, 20, 500);
}

static void test_groups_without_limits_change_nothing(void **state)
{
    (void)state;
    compare(3, 3, 1, 50);
    compare(4, 3, 20, 500);
}

static void test_one_that_is_read_twice_outlives_a_scan(void **state)
{
    (void)state;
    const struct s3fifo_limits limits = {0, SIZE_MAX};
    open_policy(100, &limits, 1);
    s3fifo_insert(&policy, &items[0].node, 0, 1, 0);
    s3fifo_touch(&items[0].node);
    s3fifo_touch(&items[0].node);
    items[0].is_live = true;
    for (uint32_t key = 1; key < KEYS; key++) {
        s3fifo_insert(&policy, &items[key].node, 0, 1, key);
        items[key].is_live = true;
        (void)evict();
    }
    assert_true(items[0].is_live);
    assert_false(items[1].is_live);
    s3fifo_finish(&policy);
}

static void test_one_that_comes_back_soon_enters_main(void **state)
{
    (void)state;
    const struct s3fifo_limits limits = {0, SIZE_MAX};
    open_policy(10, &limits, 1);
    for (uint32_t key = 0; key < 12; key++) {
        s3fifo_insert(&policy, &items[key].node, 0, 1, key);
        (void)evict();
    }
    s3fifo_insert(&policy, &items[1].node, 0, 1, 1);
    assert_int_equal(items[1].node.queue, S3FIFO_MAIN);
    (void)evict();
    s3fifo_insert(&policy, &items[100].node, 0, 1, 100);
    assert_int_equal(items[100].node.queue, S3FIFO_SMALL);
    s3fifo_finish(&policy);
}

/* One group floods the cache; another keeps what is its minimum, a third never gets more than its maximum. */
static void test_groups_keep_their_minimum_and_stay_below_their_maximum(void **state)
{
    (void)state;
    const struct s3fifo_limits limits[3] = {{0, 1000}, {300, 1000}, {0, 100}};
    struct chance chance = chance_seeded("s3fifo groups", 5);
    size_t protected_bytes = 0;
    open_policy(1000, limits, 3);
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t key = chance_below(&chance, KEYS);
        size_t group = key < 40 ? 1 : key % 2 == 0 ? 0 : 2;
        if (items[key].is_live) {
            continue;
        }
        items[key].is_live = true;
        s3fifo_insert(&policy, &items[key].node, group, 10, key);
        while (evict() != UINT32_MAX) {
        }
        size_t bytes[3];
        for (int g = 0; g < 3; g++) {
            bytes[g] = policy.groups[g].bytes[S3FIFO_SMALL] + policy.groups[g].bytes[S3FIFO_MAIN];
            assert_true(bytes[g] <= limits[g].max_bytes);
        }
        assert_true(bytes[0] + bytes[1] + bytes[2] <= 1000);
        assert_true(bytes[1] >= (protected_bytes < 300 ? protected_bytes : 300));
        protected_bytes = bytes[1];
    }
    assert_true(protected_bytes >= 300);
    s3fifo_finish(&policy);
}

static void test_no_memory_is_told(void **state)
{
    (void)state;
    const struct s3fifo_limits limits = {0, SIZE_MAX};
    allocations_fail_all_after(0);
    enum result result = s3fifo_init(&policy, 10, 10, &limits, 1);
    assert_true(allocations_recover());
    assert_int_equal(result, RESULT_NO_MEMORY);
    s3fifo_finish(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_victims_are_those_of_a_naive_policy),
        cmocka_unit_test(test_groups_without_limits_change_nothing),
        cmocka_unit_test(test_one_that_is_read_twice_outlives_a_scan),
        cmocka_unit_test(test_one_that_comes_back_soon_enters_main),
        cmocka_unit_test(test_groups_keep_their_minimum_and_stay_below_their_maximum),
        cmocka_unit_test(test_no_memory_is_told),
    };
    return cmocka_run_group_tests_name("s3fifo", tests, NULL, NULL);
}
