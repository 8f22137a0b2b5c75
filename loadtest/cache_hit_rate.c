/*
 * Hit rates of L1 under five workloads, next to plain LRU of the same size in the same run: 100,000 keys, 3,000,000 reads, entries of one size.
 * L1 is asked through its own interface, so its bookkeeping, groups and budget take part.
 *
 *   usage: cache_hit_rate [SEED]
 *
 * Ends with status 1 when L1 is more than two points below what S3-FIFO reached in the simulation the design is based on.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/l1.h"

enum { KEYS = 100000, READS = 3000000, SCAN_KEYS = READS, KEY_LENGTH = 16, VALUE_LENGTH = 100 };

struct workload {
    const char *name;
    double skew;
    size_t capacity;
    unsigned scan_percent; /* of the reads: keys that come once */
    size_t shift_every;    /* reads; 0: popularity stays */
    size_t loop_keys;      /* a tenth of the reads walks round so many keys; 0: none */
    double expected;       /* S3-FIFO in the design's simulation; 0: none known */
};

static const struct workload workloads[] = {
    {"Zipf 0.7", 0.7, 10000, 0, 0, 0, 0.439},
    {"Zipf 1.0", 1.0, 1000, 0, 0, 0, 0.599},
    {"Zipf 1.0, 25 % one-pass scans", 1.0, 1000, 25, 0, 0, 0.449},
    {"Zipf 1.0, popularity shifts every 300 k", 1.0, 10000, 0, 300000, 0, 0.746},
    {"Zipf 1.0, 10 % loop over 3,000 keys", 1.0, 1000, 0, 0, 3000, 0},
};
enum { WORKLOAD_COUNT = sizeof workloads / sizeof *workloads };

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* ---- which key is read ---- */

static double shares[KEYS]; /* cumulative */

static void zipf_init(double skew)
{
    double sum = 0;
    for (size_t i = 0; i < KEYS; i++) {
        sum += 1 / pow((double)(i + 1), skew);
        shares[i] = sum;
    }
    for (size_t i = 0; i < KEYS; i++) {
        shares[i] /= sum;
    }
}

static uint32_t zipf(void)
{
    double wanted = (double)(next_random() >> 11) / 9007199254740992.0;
    size_t low = 0, high = KEYS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shares[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (uint32_t)low;
}

/* Keys above KEYS come once (scans) or in turn (the loop). */
static void make_reads(const struct workload *load, uint32_t *reads)
{
    uint32_t shift = 0, scanned = 0, turn = 0;
    zipf_init(load->skew);
    for (size_t i = 0; i < READS; i++) {
        if (load->shift_every && i > 0 && i % load->shift_every == 0) {
            shift = (shift + KEYS / 3 + 7) % KEYS;
        }
        uint64_t dice = next_random() % 100;
        if (dice < load->scan_percent) {
            reads[i] = KEYS + scanned++;
        } else if (load->loop_keys && dice < 10) {
            reads[i] = KEYS + turn;
            turn = (turn + 1) % (uint32_t)load->loop_keys;
        } else {
            reads[i] = (zipf() + shift) % KEYS;
        }
    }
}

/* ---- the two caches ---- */

static double rate_of_l1(const struct workload *load, const uint32_t *reads, double *out_ns)
{
    static const struct cache_class class = {.name = "default", .ttl_ms = 1u << 30, .max_share = 1};
    static const char bytes[VALUE_LENGTH] = "";
    struct l1 l1;
    size_t hits = 0;
    struct cache_value *value = cache_value_create(bytes, sizeof bytes, 0, 0);
    if (!value ||
        l1_init(&l1, load->capacity * l1_cost(KEY_LENGTH, VALUE_LENGTH), &class, 1, 0) != RESULT_OK) {
        abort();
    }
    uint64_t began_us = clock_monotonic_us();
    for (size_t i = 0; i < READS; i++) {
        char key[KEY_LENGTH + 1];
        const struct l1_facts facts = {.age_ms = 0};
        (void)snprintf(key, sizeof key, "default:%08u", reads[i]); /* KEY_LENGTH of them */
        struct l1_entry *entry = l1_find(&l1, key);
        if (entry && l1_judge(&l1, entry, 0) == L1_FRESH) {
            l1_touch(entry);
            hits++;
        } else if (l1_put(&l1, key, 0, value, &facts, 0) != RESULT_OK) {
            abort();
        }
    }
    *out_ns = (double)(clock_monotonic_us() - began_us) * 1000 / READS;
    l1_finish(&l1);
    cache_value_unref(value);
    return (double)hits / READS;
}

struct lru_entry {
    struct list_node in_order; /* oldest first */
    bool is_held;
};

static double rate_of_lru(const struct workload *load, const uint32_t *reads)
{
    struct lru_entry *entries = calloc(KEYS + SCAN_KEYS, sizeof *entries);
    struct list_node order;
    size_t hits = 0, count = 0;
    if (!entries) {
        abort();
    }
    list_init(&order);
    for (size_t i = 0; i < READS; i++) {
        struct lru_entry *entry = &entries[reads[i]];
        if (entry->is_held) {
            hits++;
            list_remove(&entry->in_order);
        } else if (count == load->capacity) {
            struct lru_entry *oldest = LIST_ITEM(order.next, struct lru_entry, in_order);
            oldest->is_held = false;
            list_remove(&oldest->in_order);
        } else {
            count++;
        }
        entry->is_held = true;
        list_append(&order, &entry->in_order);
    }
    free(entries);
    return (double)hits / READS;
}

int main(int argc, char **argv)
{
    uint32_t *reads = malloc(READS * sizeof *reads);
    bool is_good = true;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (!reads) {
        return 1;
    }
    printf("%d keys, %d reads, seed %llu\n", KEYS, READS, (unsigned long long)seed);
    printf("%-42s %8s %8s %8s %8s %8s\n", "workload", "capacity", "LRU", "L1", "design", "ns/read");
    for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
        const struct workload *load = &workloads[i];
        double ns = 0;
        random_state = seed + i;
        make_reads(load, reads);
        double rate = rate_of_l1(load, reads, &ns);
        bool is_below = load->expected > 0 && rate < load->expected - 0.02;
        printf("%-42s %8zu %8.3f %8.3f ", load->name, load->capacity, rate_of_lru(load, reads), rate);
        char expected[16] = "-";
        if (load->expected > 0) {
            (void)snprintf(expected, sizeof expected, "%.3f", load->expected);
        }
        printf("%8s %8.0f%s\n", expected, ns, is_below ? "  BELOW" : "");
        is_good = is_good && !is_below;
    }
    free(reads);
    return is_good ? 0 : 1;
}
