/*
 * The held journal stands before a memory journal: it forwards at once, or keeps what was
 * submitted until the test releases it, as a journal on a network would.
 */
#include "small_gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/memory_journal.h"

enum { HELD_MAX = 64 };

struct moment small_now = {.monotonic_ms = 1000000, .wall_ms = 1795258800000}; /* 2026-11-21 11:00 UTC */

struct moment small_gateway_now(void)
{
    return small_now;
}

/* ---- the held journal ---- */

struct held {
    struct journal_transaction transaction;
    journal_done_fn *done;
    void *context;
};

struct held_journal {
    struct journal journal;
    struct journal *inner;
};

static struct held held[HELD_MAX];
static size_t held_count;
static bool is_holding;
static struct journal *inner_journal;

static enum result held_open(struct journal *journal, const char *board, struct position *out_position)
{
    return journal_open(((struct held_journal *)journal)->inner, board, out_position);
}

static void held_submit(struct journal *journal, const struct journal_transaction *transaction,
                        journal_done_fn *done, void *context)
{
    if (!is_holding) {
        journal_submit(((struct held_journal *)journal)->inner, transaction, done, context);
        return;
    }
    assert_true(held_count < HELD_MAX);
    held[held_count++] = (struct held){.transaction = *transaction, .done = done, .context = context};
}

static void held_restart(struct journal *journal, const struct journal_restart *restart,
                         journal_restarted_fn *done, void *context)
{
    journal_restart(((struct held_journal *)journal)->inner, restart, done, context);
}

static void held_close(struct journal *journal, const char *board)
{
    journal_close(((struct held_journal *)journal)->inner, board);
}

static void held_destroy(struct journal *journal)
{
    assert_int_equal(held_count, 0);
    journal_destroy(((struct held_journal *)journal)->inner);
    free(journal);
}

static const struct journal_ops held_ops = {.open = held_open,
                                            .submit = held_submit,
                                            .restart = held_restart,
                                            .close = held_close,
                                            .destroy = held_destroy};

static struct journal *held_journal_create(const struct journal_host *host)
{
    struct held_journal *journal = calloc(1, sizeof *journal);
    assert_non_null(journal);
    journal->journal.ops = &held_ops;
    journal->inner = memory_journal_create(host, 16);
    assert_non_null(journal->inner);
    inner_journal = journal->inner;
    is_holding = false;
    held_count = 0;
    return &journal->journal;
}

void small_gateway_hold(void)
{
    is_holding = true;
}

void small_gateway_release(void)
{
    is_holding = false;
    size_t count = held_count;
    held_count = 0;
    for (size_t i = 0; i < count; i++) {
        journal_submit(inner_journal, &held[i].transaction, held[i].done, held[i].context);
    }
}

void small_gateway_cut_off(void)
{
    is_holding = false;
    size_t count = held_count;
    held_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct journal_transaction *transaction = &held[i].transaction;
        for (size_t j = 0; j < transaction->count; j++) {
            transaction->items[j].outcome = RESULT_UNAVAILABLE;
        }
        held[i].done(held[i].context, transaction->items, transaction->count);
    }
}

/* ---- the rest ---- */

static void no_wake(void *context, uint64_t monotonic_ms)
{
    (void)context;
    (void)monotonic_ms;
}

static uint64_t host_now_us(void *context)
{
    (void)context;
    return small_now.monotonic_ms * 1000;
}

static void put_definitions_in_force(struct small_gateway *gateway, const char *definitions)
{
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(definitions, &report);
    if (!catalog) {
        fail_msg("%.*s", (int)report.text.length, report.text.at);
    }
    catalog_report_finish(&report);
    assert_int_equal(pipeline_set_catalog(gateway->pipeline, catalog), RESULT_OK);
    catalog_unref(catalog);
}

static const char *const every_role[] = {"*", NULL};

void small_gateway_init(struct small_gateway *gateway, const char *definitions)
{
    const struct hub_options hub_options = {.max_viewers = 16, .max_topics = 16, .heartbeat_ms = 15000};
    const struct hub_host host = {.wake_at = no_wake, .now_us = host_now_us};
    const struct pipeline_options options = {
        .max_boards = 16,
        .max_kpis = 1000,
        .max_fields_per_board = 5000,
        .max_tombstones_per_board = 100,
        .max_positions_per_board = 1000,
        .audience = {.open_roles = every_role, .business_roles = every_role},
        .max_text_bytes_per_board = 1000000,
        .coalesce_ms = 250,
        .now = small_gateway_now,
    };
    gateway->metrics = metrics_create();
    assert_non_null(gateway->metrics);
    gateway->hub = hub_create(&hub_options, &host, gateway->metrics, small_now);
    assert_non_null(gateway->hub);
    gateway->pipeline = pipeline_create(&options, gateway->hub, gateway->metrics);
    assert_non_null(gateway->pipeline);
    const struct journal_host journal_host = pipeline_journal_host(gateway->pipeline);
    gateway->journal = held_journal_create(&journal_host);
    pipeline_set_journals(gateway->pipeline, gateway->journal, gateway->journal);
    if (definitions) {
        put_definitions_in_force(gateway, definitions);
    }
}

void small_gateway_finish(struct small_gateway *gateway)
{
    pipeline_destroy(gateway->pipeline);
    journal_destroy(gateway->journal);
    hub_destroy(gateway->hub);
    metrics_destroy(gateway->metrics);
}

const char *small_gateway_value(const struct small_gateway *gateway, const char *board, const char *field)
{
    static char text[VALUE_MAX_BYTES + 1];
    size_t length = 0;
    struct topic *topic = hub_topic(gateway->hub, board);
    assert_non_null(topic);
    const char *value = board_value(topic_board(topic), field, strlen(field), &length);
    if (!value) {
        return NULL;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)length, value);
    return text;
}
