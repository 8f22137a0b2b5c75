/* A copy of each board, and what a board would refuse. */
#include "journal_node.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "protocol/bytes.h"

static struct cell *cell_of(struct board_copy_of_node *copy, const char *field, size_t length)
{
    struct cell *cell = map_get(&copy->cells, field, length);
    if (!cell) {
        cell = calloc(1, sizeof *cell);
        assert_non_null(cell);
        assert_int_equal(map_put(&copy->cells, field, length, cell), RESULT_OK);
    }
    return cell;
}

static void cells_clear(struct board_copy_of_node *copy)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&copy->cells, &cursor, NULL, NULL, &value)) {
        free(((struct cell *)value)->text);
        free(value);
    }
    map_finish(&copy->cells);
    map_init(&copy->cells, CELLS_MAX);
}

static bool is_forgotten(const struct node *node, const char *field, size_t length)
{
    size_t head = node->forgotten ? strlen(node->forgotten) : 0;
    return head > 0 && length >= head && memcmp(field, node->forgotten, head) == 0;
}

static void entry_apply(struct node *node, struct board_copy_of_node *copy, const struct overlay_entry *entry,
                        uint64_t version)
{
    if (is_forgotten(node, entry->field, entry->field_length)) {
        return;
    }
    struct cell *cell = cell_of(copy, entry->field, entry->field_length);
    free(cell->text);
    cell->text = entry->value ? strndup(entry->value, entry->value_length) : NULL;
    cell->version = version;
    cell->rev = entry->rev;
}

static void seen_add(struct board_copy_of_node *copy)
{
    copy->seen[copy->seen_count++ % (sizeof copy->seen / sizeof *copy->seen)] = copy->at;
}

static void on_publication(void *context, const char *board, const struct overlay *publication,
                           const uint64_t *versions)
{
    struct node *node = context;
    struct board_copy_of_node *copy = node_board(node, board);
    assert_true(copy->has_image);
    assert_true(publication->to.epoch == copy->at.epoch);
    assert_int_equal(publication->from, copy->at.offset);
    assert_true(publication->to.offset > publication->from && publication->count > 0);
    uint64_t rev = publication->from;
    for (size_t i = 0; i < publication->count; i++) {
        assert_true(publication->entries[i].rev > rev);
        rev = publication->entries[i].rev;
        const struct overlay_entry *entry = &publication->entries[i];
        const struct cell *cell = map_get(&copy->cells, entry->field, entry->field_length);
        /* Nothing goes back but what was forgotten; "o." fields may have been within this transaction. */
        bool may_go_back = !cell || versions[i] == 0 || entry->field[0] == 'o';
        assert_true(may_go_back || versions[i] >= cell->version);
        entry_apply(node, copy, entry, versions[i]);
    }
    assert_int_equal(rev, publication->to.offset);
    copy->at = publication->to;
    copy->publications++;
    seen_add(copy);
}

static bool was_seen(const struct board_copy_of_node *copy, const struct position *position)
{
    for (size_t i = 0; i < copy->seen_count && i < sizeof copy->seen / sizeof *copy->seen; i++) {
        if (position_equal(&copy->seen[i], position)) {
            return true;
        }
    }
    return false;
}

static void on_image(void *context, const char *board, const struct journal_image *image)
{
    struct node *node = context;
    struct board_copy_of_node *copy = node_board(node, board);
    /* Within an epoch offsets only rise, whatever happened to Redis. */
    assert_true(image->at.epoch != copy->at.epoch || image->at.offset >= copy->at.offset);
    cells_clear(copy);
    copy->common = 0;
    uint64_t before = 0;
    for (size_t i = 0; i < image->known_count; i++) {
        assert_true(i == 0 || image->known[i].offset > before);
        assert_true(image->known[i].offset < image->at.offset);
        assert_true(image->known[i].epoch == image->at.epoch);
        before = image->known[i].offset;
        copy->common = was_seen(copy, &image->known[i]) ? before : copy->common;
    }
    uint64_t rev = 0;
    for (size_t i = 0; i < image->count; i++) {
        assert_true(image->entries[i].rev > rev);
        rev = image->entries[i].rev;
        entry_apply(node, copy, &image->entries[i], image->versions[i]);
    }
    assert_true(rev <= image->at.offset);
    copy->at = image->at;
    copy->known_count = image->known_count;
    copy->floor = image->floor;
    copy->has_image = true;
    copy->images++;
    seen_add(copy);
}

static void on_attached(void *context, bool is_attached, const char *reason)
{
    struct node *node = context;
    assert_true(is_attached == (reason[0] == '\0'));
    node->attachments += is_attached && !node->is_attached ? 1 : 0;
    node->is_attached = is_attached;
    snprintf(node->reason, sizeof node->reason, "%s", reason);
}

static bool knows_field(void *context, const char *board, const char *field, size_t field_length)
{
    struct node *node = context;
    return map_get(&node_board(node, board)->cells, field, field_length) != NULL;
}

void node_start(struct node *node, struct loop *loop, const struct redis_journal_options *options,
                const char *const *boards)
{
    const char *forgotten = node->forgotten;
    memset(node, 0, sizeof *node);
    node->forgotten = forgotten;
    node->loop = loop;
    node->metrics = metrics_create();
    const struct journal_host host = {
        .context = node,
        .on_publication = on_publication,
        .on_image = on_image,
        .on_attached = on_attached,
        .knows_field = knows_field,
    };
    node->journal = redis_journal_create(loop, node->metrics, &host, options);
    assert_non_null(node->journal);
    for (; *boards; boards++) {
        struct board_copy_of_node *copy = &node->boards[node->board_count++];
        snprintf(copy->id, sizeof copy->id, "%s", *boards);
        map_init(&copy->cells, CELLS_MAX);
        assert_int_equal(journal_open(node->journal, *boards, &copy->at), RESULT_OK);
        assert_int_equal(copy->at.offset, 0);
    }
}

void node_stop(struct node *node)
{
    journal_destroy(node->journal);
    for (size_t i = 0; i < node->board_count; i++) {
        cells_clear(&node->boards[i]);
        map_finish(&node->boards[i].cells);
    }
    metrics_destroy(node->metrics);
}

struct board_copy_of_node *node_board(struct node *node, const char *id)
{
    for (size_t i = 0; i < node->board_count; i++) {
        if (strcmp(node->boards[i].id, id) == 0) {
            return &node->boards[i];
        }
    }
    fail_msg("no board %s", id);
    return NULL;
}

const char *node_text(struct node *node, const char *board, const char *field)
{
    const struct cell *cell = map_get(&node_board(node, board)->cells, field, strlen(field));
    return cell ? cell->text : NULL;
}

uint64_t node_version(struct node *node, const char *board, const char *field)
{
    const struct cell *cell = map_get(&node_board(node, board)->cells, field, strlen(field));
    return cell ? cell->version : 0;
}

bool copies_are_equal(const struct board_copy_of_node *a, const struct board_copy_of_node *b)
{
    size_t cursor = 0, length = 0;
    const char *field = NULL;
    void *value = NULL;
    if (!position_equal(&a->at, &b->at) || a->cells.count != b->cells.count) {
        return false;
    }
    while (map_next(&a->cells, &cursor, &field, &length, &value)) {
        const struct cell *left = value, *right = map_get(&b->cells, field, length);
        bool is_same = right && left->rev == right->rev && !left->text == !right->text &&
                       (!left->text || strcmp(left->text, right->text) == 0);
        if (!is_same) {
            return false;
        }
    }
    return true;
}

double node_metric(const struct node *node, const char *name, const char *labels)
{
    return metric_read(metrics_find(node->metrics, name, labels));
}

/* ---- asking Redis ---- */

/* One element of RESP2 into out; returns what follows it. */
static const char *element_take(const char *at, struct bytes *out)
{
    const char *body = strstr(at, "\r\n");
    assert_non_null(body);
    long count = strtol(at + 1, NULL, 10);
    size_t head = (size_t)(body - at);
    body += 2;
    if ((*at == '$' || *at == '*') && count < 0) {
        bytes_append_text(out, "(nil)");
    } else if (*at == '$') {
        bytes_append(out, body, (size_t)count);
        body += count + 2;
    } else if (*at == '*') {
        for (long i = 0; i < count; i++) {
            bytes_append_text(out, i > 0 ? "\n" : "");
            body = element_take(body, out);
        }
    } else {
        bytes_append(out, *at == '-' ? at : at + 1, *at == '-' ? head : head - 1);
    }
    return body;
}

const char *redis_text(const struct real_redis *redis, const char *const *words)
{
    static char text[65536];
    struct bytes out;
    bytes_init(&out, sizeof text - 1);
    (void)element_take(real_redis_ask(redis, words), &out);
    assert_false(bytes_failed(&out));
    snprintf(text, sizeof text, "%.*s", (int)out.length, out.at ? out.at : "");
    bytes_finish(&out);
    return text;
}

/* ---- running ---- */

struct run {
    struct loop *loop;
    struct loop_timer *timer;
    bool (*condition)(void *context);
    void *context;
    uint64_t until_ms;
    bool is_met;
};

static void on_look(void *context)
{
    struct run *run = context;
    run->is_met = run->condition && run->condition(run->context);
    if (run->is_met || clock_monotonic_ms() >= run->until_ms) {
        loop_stop(run->loop);
    } else {
        loop_timer_arm(run->timer, 2);
    }
}

static bool run_loop(struct loop *loop, bool (*condition)(void *context), void *context, unsigned ms)
{
    struct run run = {.loop = loop, .condition = condition, .context = context};
    run.until_ms = clock_monotonic_ms() + ms;
    run.timer = loop_timer_create(loop, on_look, &run);
    assert_non_null(run.timer);
    loop_timer_arm(run.timer, 0);
    loop_run(loop);
    loop_timer_destroy(run.timer);
    return run.is_met;
}

void run_until(struct loop *loop, bool (*condition)(void *context), void *context, unsigned deadline_ms,
               const char *what)
{
    if (!run_loop(loop, condition, context, deadline_ms)) {
        fail_msg("not within %u ms: %s", deadline_ms, what);
    }
}

void run_for(struct loop *loop, unsigned ms)
{
    (void)run_loop(loop, NULL, NULL, ms);
}
