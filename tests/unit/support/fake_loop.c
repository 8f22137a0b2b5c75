/* See fake_loop.h. The wall clock keeps a fixed distance from the monotonic one. */
#include "fake_loop.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void wake_at(void *context, uint64_t monotonic_ms)
{
    struct fake_loop *loop = context;
    loop->wake_ms = monotonic_ms < loop->wake_ms ? monotonic_ms : loop->wake_ms;
}

static uint64_t now_us(void *context)
{
    struct fake_loop *loop = context;
    loop->looked_us += loop->us_per_look;
    return loop->now.monotonic_ms * 1000 + loop->looked_us;
}

void fake_loop_open(struct fake_loop *loop, uint32_t max_viewers, uint32_t heartbeat_ms)
{
    *loop = (struct fake_loop){
        .now = {.monotonic_ms = 1234567, .wall_ms = 1763719200000},
        .wake_ms = UINT64_MAX,
        .metrics = metrics_create(),
    };
    const struct hub_options options = {.max_viewers = max_viewers,
                                        .max_topics = FAKE_LOOP_TOPICS,
                                        .heartbeat_ms = heartbeat_ms,
                                        .deflate_min_bytes = FAKE_LOOP_DEFLATE_MIN_BYTES};
    const struct hub_host host = {.context = loop, .wake_at = wake_at, .now_us = now_us};
    loop->hub = hub_create(&options, &host, loop->metrics, loop->now);
    assert_non_null(loop->hub);
}

void fake_loop_close(struct fake_loop *loop)
{
    hub_destroy(loop->hub);
    metrics_destroy(loop->metrics);
}

bool fake_loop_slice(struct fake_loop *loop)
{
    if (loop->wake_ms > loop->now.monotonic_ms) {
        return false;
    }
    loop->wake_ms = UINT64_MAX;
    hub_run(loop->hub, loop->now);
    loop->runs++;
    return true;
}

void fake_loop_pass(struct fake_loop *loop, uint64_t ms)
{
    uint64_t until = loop->now.monotonic_ms + ms;
    unsigned runs_now = 0;
    while (loop->wake_ms <= until) {
        if (loop->wake_ms > loop->now.monotonic_ms) {
            loop->now.wall_ms += (int64_t)(loop->wake_ms - loop->now.monotonic_ms);
            loop->now.monotonic_ms = loop->wake_ms;
            runs_now = 0;
        }
        assert_true(++runs_now <
                    (loop->us_per_look ? 100 : 10)); /* asks again and again without doing anything */
        (void)fake_loop_slice(loop);
    }
    loop->now.wall_ms += (int64_t)(until - loop->now.monotonic_ms);
    loop->now.monotonic_ms = until;
}

void fake_loop_turn(struct fake_loop *loop)
{
    fake_loop_pass(loop, 0);
}

unsigned long fake_loop_metric(const struct fake_loop *loop, const char *name, const char *labels)
{
    return (unsigned long)metric_read(metrics_find(loop->metrics, name, labels));
}

struct board *fake_loop_board(const struct fake_loop *loop, const char *id)
{
    struct topic *topic = hub_topic(loop->hub, id);
    assert_non_null(topic);
    return topic_board(topic);
}

const char *fake_loop_value(const struct fake_loop *loop, const char *board, const char *field)
{
    size_t length = 0;
    const char *text = board_value(fake_loop_board(loop, board), field, strlen(field), &length);
    return text ? text : "(none)";
}
