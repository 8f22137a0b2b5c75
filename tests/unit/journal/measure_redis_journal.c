/*
 * Not a test: the numbers of docs/redis.md, "Journal". Two nodes in one process and a private Redis on one
 * machine.
 *   ninja -C build tests/unit/journal/measure_redis_journal && build/tests/unit/journal/measure_redis_journal
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/real_redis.h"
#include "base/clock.h"
#include "base/log.h"
#include "journal_node.h"

enum { LANES_MAX = 256, LATENCIES_MAX = 400000, RUN_MS = 3000, IMAGE_FIELDS = 10000, IMAGE_RUNS = 10 };

static const char *const one_board[] = {"board", NULL};
static const char value_text[] =
    "{\"as_of\":1763719200123,\"v\":\"1284300.50\",\"target\":\"1500000.00\",\"base\":\"1190000.00\",\"level\":\"ok\","
    "\"unit\":\"USD\",\"note\":\"one hundred and eighty bytes in all, which is what a KPI takes\",\"n\":%llu}";

struct lane {
    struct measurement *measurement;
    struct journal_item item;
    char field[32], value[256];
    uint64_t since_us;
    bool is_idle;
};

struct measurement {
    struct node *node;
    struct lane lanes[LANES_MAX];
    size_t lane_count, idle;
    uint32_t *latencies_us;
    size_t count, refused;
    uint64_t until_us, sent;
};

static void on_done(void *context, struct journal_item *items, size_t count);

static void lane_submit(struct lane *lane)
{
    struct measurement *m = lane->measurement;
    lane->item = (struct journal_item){.field = lane->field, .value = lane->value, .rule = VERSION_NEXT};
    snprintf(lane->field, sizeof lane->field, "kpi.number_%zu", (size_t)(m->sent % 500));
    snprintf(lane->value, sizeof lane->value, value_text, (unsigned long long)m->sent++);
    lane->item.field_length = strlen(lane->field);
    lane->item.value_length = strlen(lane->value);
    lane->since_us = clock_monotonic_us();
    const struct journal_transaction transaction = {.board = "board", .items = &lane->item, .count = 1};
    journal_submit(m->node->journal, &transaction, on_done, lane);
}

static void on_done(void *context, struct journal_item *items, size_t count)
{
    struct lane *lane = context;
    struct measurement *m = lane->measurement;
    uint64_t now_us = clock_monotonic_us();
    (void)count;
    m->refused += items[0].outcome != RESULT_OK ? 1 : 0;
    if (m->count < LATENCIES_MAX) {
        m->latencies_us[m->count++] = (uint32_t)(now_us - lane->since_us);
    }
    if (now_us < m->until_us) {
        lane_submit(lane);
    } else {
        m->idle++;
    }
}

static bool all_idle(void *context)
{
    const struct measurement *m = context;
    return m->idle == m->lane_count;
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* Processor time, which others on the machine do not change much. */
static double cpu_of_redis(const struct real_redis *redis)
{
    const char *cpu = ASK(redis, "INFO", "cpu");
    const char *user = strstr(cpu, "used_cpu_user:"), *sys = strstr(cpu, "used_cpu_sys:");
    assert_true(user && sys);
    return strtod(strchr(user, ':') + 1, NULL) + strtod(strchr(sys, ':') + 1, NULL);
}

static void measure_submits(struct measurement *m, size_t lanes, const struct real_redis *redis)
{
    m->lane_count = lanes;
    m->idle = m->count = m->refused = 0;
    double redis_before = cpu_of_redis(redis);
    clock_t here_before = clock();
    uint64_t since_us = clock_monotonic_us();
    m->until_us = since_us + RUN_MS * 1000;
    for (size_t i = 0; i < lanes; i++) {
        m->lanes[i].measurement = m;
        lane_submit(&m->lanes[i]);
    }
    run_until(m->node->loop, all_idle, m, RUN_MS + 5000, "submits");
    double seconds = (double)(clock_monotonic_us() - since_us) / 1e6;
    double here_us = (double)(clock() - here_before) / CLOCKS_PER_SEC * 1e6;
    double redis_us = (cpu_of_redis(redis) - redis_before) * 1e6;
    qsort(m->latencies_us, m->count, sizeof *m->latencies_us, by_size);
    printf("%3zu at a time: %6.0f submits/s, to applied here p50 %u us, p99 %u us, max %u us, %zu not ok\n",
           lanes, (double)m->count / seconds, m->latencies_us[m->count / 2],
           m->latencies_us[m->count * 99 / 100], m->latencies_us[m->count - 1], m->refused);
    printf("    processor per submit: redis %.1f us, both nodes here %.1f us\n", redis_us / (double)m->count,
           here_us / (double)m->count);
}

/* ---- large ones ---- */

static void on_batch(void *context, struct journal_item *items, size_t count)
{
    (void)items;
    (void)count;
    *(bool *)context = true;
}

static bool is_true(void *context)
{
    return *(bool *)context;
}

static void measure_batch(struct node *node, size_t first, size_t count, bool is_told)
{
    struct journal_item *items = calloc(count, sizeof *items);
    char(*names)[32] = calloc(count, sizeof *names);
    char(*values)[256] = calloc(count, sizeof *values);
    assert_true(items && names && values);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "kpi.table#row%zu", first + i);
        snprintf(values[i], sizeof values[i], value_text, (unsigned long long)i);
        items[i] = (struct journal_item){.field = names[i],
                                         .field_length = strlen(names[i]),
                                         .value = values[i],
                                         .value_length = strlen(values[i])};
    }
    bool is_done = false;
    const struct journal_transaction transaction = {.board = "board", .items = items, .count = count};
    uint64_t since_us = clock_monotonic_us();
    journal_submit(node->journal, &transaction, on_batch, &is_done);
    run_until(node->loop, is_true, &is_done, 10000, "a large transaction");
    if (is_told) {
        printf("%zu items in one transaction: %.1f ms to applied here (looked at every 2 ms)\n", count,
               (double)(clock_monotonic_us() - since_us) / 1e3);
    }
    free(items);
    free(names);
    free(values);
}

static unsigned images_wanted;

static bool has_images(void *context)
{
    return ((struct node *)context)->boards[0].images >= images_wanted;
}

static void measure_images(struct node *node)
{
    uint64_t spent_us = 0;
    for (int i = 0; i < IMAGE_RUNS; i++) {
        struct position at;
        images_wanted = node->boards[0].images + 1;
        uint64_t since_us = clock_monotonic_us();
        assert_int_equal(journal_open(node->journal, "board", &at), RESULT_OK);
        node->boards[0].at = at;
        run_until(node->loop, has_images, node, 10000, "an image");
        spent_us += clock_monotonic_us() - since_us;
    }
    printf("image of %zu fields, %zu known positions: %.1f ms from open to on_image\n",
           node->boards[0].cells.count, node->boards[0].known_count, (double)spent_us / 1e3 / IMAGE_RUNS);
}

static bool is_attached(void *context)
{
    return ((struct node *)context)->is_attached;
}

static void measure(void **state)
{
    (void)state;
    struct real_redis redis;
    real_redis_start(&redis, NULL);
    const struct redis_server server = {.unix_path = redis.unix_path,
                                        .connect_timeout_ms = 2000,
                                        .ping_after_ms = 5000,
                                        .reply_timeout_ms = 5000,
                                        .reconnect_base_ms = 100,
                                        .reconnect_limit_ms = 2000};
    struct redis_journal_options options = redis_journal_defaults;
    options.server = &server;
    struct loop *loop = loop_create();
    struct node a = {0}, b = {0};
    node_start(&a, loop, &options, one_board);
    node_start(&b, loop, &options, one_board);
    run_until(loop, is_attached, &a, 5000, "attached");
    run_until(loop, is_attached, &b, 5000, "attached");
    struct measurement *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->node = &a;
    m->latencies_us = calloc(LATENCIES_MAX, sizeof *m->latencies_us);
    assert_non_null(m->latencies_us);
    for (size_t lanes = 1; lanes <= LANES_MAX; lanes *= 16) {
        measure_submits(m, lanes, &redis);
    }
    measure_batch(&a, 0, 1000, true);
    measure_batch(&a, 0, 1000, true);
    for (size_t i = 1; i < IMAGE_FIELDS / 1000; i++) {
        measure_batch(&a, i * 1000, 1000, false);
    }
    measure_images(&a);
    free(m->latencies_us);
    free(m);
    node_stop(&a);
    node_stop(&b);
    loop_destroy(loop);
    real_redis_stop(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};
    log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
