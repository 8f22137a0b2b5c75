/*
 * One timer, one demo second per firing, one transaction per second. A tick
 * that finds the last submission unanswered waits, so the story loses nothing. When
 * other definitions come into force everything is told again from where the
 * day is, because new boards start empty.
 */
#include "sources/demo_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sources/batch.h"
#include "sources/demo_story.h"

#define NAME "demo"

struct demo_source {
    struct source source;
    struct demo_source_options options;
    struct loop_timer *timer;
    uint64_t tick;
    char told_catalog[32]; /* hash of the definitions that were told everything */
    struct flight *flight;
    struct metric *told, *refused, *waited;
};

/* A submission on its way; outlives the source if it must. */
struct flight {
    struct demo_source *demo; /* NULL: the source is gone */
    struct batch *batch;
};

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct flight *flight = context;
    struct demo_source *demo = flight->demo;
    for (size_t i = 0; demo && i < count; i++) {
        bool is_good = items[i].outcome == RESULT_OK || items[i].outcome == RESULT_UNCHANGED;
        metric_add(is_good ? demo->told : demo->refused, 1);
    }
    if (demo) {
        demo->flight = NULL;
    }
    batch_destroy(flight->batch);
    free(flight);
}

/* A deployment's own definitions may lack what the demo tells of. */
static void drop_unknown_fields(const struct catalog *catalog, struct batch *batch)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (catalog_kpi_of_field(catalog, batch->items[i].change.field)) {
            if (kept != i) {
                batch->items[kept] = batch->items[i];
                batch->items[i].change = (struct change){0};
            }
            kept++;
        } else {
            change_finish(&batch->items[i].change);
        }
    }
    batch->count = kept;
}

static struct flight *flight_create(struct demo_source *demo)
{
    struct flight *flight = calloc(1, sizeof *flight);
    if (!flight) {
        return NULL;
    }
    flight->demo = demo;
    flight->batch = batch_create();
    if (!flight->batch) {
        free(flight);
        return NULL;
    }
    return flight;
}

void demo_source_step(struct source *source)
{
    struct demo_source *demo = (struct demo_source *)source;
    const struct catalog *catalog = pipeline_catalog(demo->options.pipeline);
    pipeline_report_source(demo->options.pipeline, NAME, true, NULL);
    struct flight *flight = catalog && !demo->flight ? flight_create(demo) : NULL;
    if (!flight) {
        metric_add(demo->waited, 1);
        return;
    }
    bool is_opening = strcmp(demo->told_catalog, catalog_hash(catalog)) != 0;
    /* 16 digits: they fit. */
    (void)snprintf(demo->told_catalog, sizeof demo->told_catalog, "%s", catalog_hash(catalog));
    demo_story_tell(demo->options.seed, demo->tick, is_opening, demo->options.now().wall_ms, flight->batch);
    drop_unknown_fields(catalog, flight->batch);
    demo->tick++;
    demo->flight = flight;
    pipeline_submit(demo->options.pipeline, flight->batch->items, flight->batch->count, on_submitted, flight);
}

static void on_due(void *context)
{
    struct demo_source *demo = context;
    loop_timer_arm(demo->timer, (uint64_t)(1000.0 / demo->options.speed));
    demo_source_step(&demo->source);
}

static enum result demo_start(struct source *source)
{
    struct demo_source *demo = (struct demo_source *)source;
    log_warn("demo data is on, every value is invented", LOG_REAL("speed", demo->options.speed),
             LOG_INT("seed", demo->options.seed));
    loop_timer_arm(demo->timer, 0);
    return RESULT_OK;
}

static void demo_stop(struct source *source)
{
    struct demo_source *demo = (struct demo_source *)source;
    loop_timer_disarm(demo->timer);
}

static void demo_destroy(struct source *source)
{
    struct demo_source *demo = (struct demo_source *)source;
    if (!demo) {
        return;
    }
    if (demo->flight) {
        demo->flight->demo = NULL;
    }
    loop_timer_destroy(demo->timer);
    free(demo);
}

static const struct source_ops demo_ops = {
    .name = NAME,
    .start = demo_start,
    .stop = demo_stop,
    .destroy = demo_destroy,
};

struct source *demo_source_create(const struct demo_source_options *options)
{
    static const char help[] = "Changes of the demo, by what became of them.";
    struct demo_source *demo = calloc(1, sizeof *demo);
    if (!demo) {
        return NULL;
    }
    demo->source.ops = &demo_ops;
    demo->options = *options;
    demo->options.speed = fmin(fmax(options->speed, DEMO_SPEED_MIN), DEMO_SPEED_MAX);
    demo->told = metrics_counter(options->metrics, "gw_demo_changes_total", "result=\"told\"", help);
    demo->refused = metrics_counter(options->metrics, "gw_demo_changes_total", "result=\"refused\"", help);
    demo->waited = metrics_counter(options->metrics, "gw_demo_waits_total", NULL,
                                   "Demo seconds put off because the one before was not answered yet.");
    demo->timer = loop_timer_create(options->loop, on_due, demo);
    if (!demo->timer) {
        demo_destroy(&demo->source);
        return NULL;
    }
    return &demo->source;
}
