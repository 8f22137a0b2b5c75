/* See live_board.h. Versions play no part here and are all 1. */
#include "live_board.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void saved_clear(struct live_saved *saved)
{
    for (size_t i = 0; i < saved->entries.count; i++) {
        free((char *)(uintptr_t)saved->entries.entries[i].field);
        free((char *)(uintptr_t)saved->entries.entries[i].value);
    }
    overlay_clear(&saved->entries);
    saved->known_count = 0;
}

void live_board_open(struct live_board *live, struct fake_loop *loop, const char *id,
                     const struct board_options *options, const struct row_limit *limits, size_t limit_count)
{
    memset(live, 0, sizeof *live);
    live->loop = loop;
    live->is_swept = options->max_tombstones < LIVE_DRAFT_MAX / 2;
    live->at = (struct position){.epoch = 0x1234, .offset = 0, .nonce = 99};
    live->board = board_create(id, options, live->at);
    assert_non_null(live->board);
    for (size_t i = 0; i < limit_count; i++) {
        assert_int_equal(board_set_rows(live->board, limits[i].kpi, limits[i].rule, limits[i].cap),
                         RESULT_OK);
    }
    live->topic = hub_add_topic(loop->hub, live->board);
    assert_non_null(live->topic);
    overlay_init(&live->draft);
    overlay_init(&live->saved.entries);
}

struct topic_view *live_board_view(const struct live_board *live)
{
    struct topic_view *view = NULL;
    assert_int_equal(topic_find_view(live->topic, NULL, &view), RESULT_OK);
    return view;
}

static void known_push(struct live_board *live)
{
    if (live->known_count > 0 && live->known[0].epoch != live->at.epoch) {
        live->known_count = 0;
    }
    if (live->known_count == LIVE_KNOWN_MAX - 1) {
        live->known_count--;
        memmove(live->known, live->known + 1, live->known_count * sizeof live->known[0]);
    }
    live->known[live->known_count++] = live->at;
}

void live_board_save(struct live_board *live)
{
    struct live_saved *saved = &live->saved;
    saved_clear(saved);
    const void *cursor = NULL;
    struct overlay_entry entry;
    while (board_next_change(live->board, &cursor, &entry)) {
        entry.field = strndup(entry.field, entry.field_length);
        entry.value = entry.value ? strndup(entry.value, entry.value_length) : NULL;
        assert_int_equal(overlay_add(&saved->entries, &entry), RESULT_OK);
    }
    if (live->known_count > 0 && live->known[0].epoch == live->at.epoch) {
        memcpy(saved->known, live->known, sizeof saved->known);
        saved->known_count = live->known_count;
    }
    saved->known[saved->known_count++] = live->at;
    saved->floor =
        live->is_swept ? live->at.offset : 0; /* which tombstones it has forgotten a board does not say */
}

bool live_board_fail_over(struct live_board *live)
{
    const struct live_saved *saved = &live->saved;
    if (saved->known_count == 0 || saved->known[0].epoch != live->at.epoch) {
        return false;
    }
    live->forks++;
    live->at.offset++;
    live->at.nonce = live->at.nonce * 31 + 7 + live->forks;
    uint64_t versions[LIVE_SAVED_MAX] = {0};
    assert_true(saved->entries.count <= LIVE_SAVED_MAX);
    const struct board_image image = {
        .at = live->at,
        .entries = saved->entries.entries,
        .versions = versions,
        .count = saved->entries.count,
        .known = saved->known,
        .known_count = saved->known_count,
        .floor = saved->floor,
    };
    bool has_common = false;
    uint64_t common = 0;
    assert_int_equal(board_reload(live->board, &image, live->loop->now.wall_ms, &has_common, &common),
                     RESULT_OK);
    size_t over = saved->known_count == LIVE_KNOWN_MAX ? 1 : 0; /* leaves room for the next */
    live->known_count = saved->known_count - over;
    memcpy(live->known, saved->known + over, live->known_count * sizeof live->known[0]);
    hub_board_rebased(live->loop->hub, live->topic, has_common, common, live->loop->now);
    return true;
}

void live_board_close(struct live_board *live)
{
    if (live->topic) {
        hub_remove_topic(live->loop->hub, live->topic);
    }
    board_destroy(live->board);
    overlay_finish(&live->draft);
    saved_clear(&live->saved);
    overlay_finish(&live->saved.entries);
}

void live_board_draft(struct live_board *live, const char *field, const char *value)
{
    size_t i = live->draft.count;
    assert_true(i < LIVE_DRAFT_MAX);
    for (size_t j = 0; j < i; j++) {
        if (strcmp(live->fields[j], field) == 0) {
            return;
        }
    }
    snprintf(live->fields[i], LIVE_TEXT_BYTES, "%s", field);
    snprintf(live->values[i], LIVE_TEXT_BYTES, "%s", value ? value : "");
    const struct overlay_entry entry = {
        .field = live->fields[i],
        .field_length = strlen(live->fields[i]),
        .value = value ? live->values[i] : NULL,
        .value_length = strlen(live->values[i]),
        .rev = live->at.offset + i + 1,
    };
    assert_int_equal(overlay_add(&live->draft, &entry), RESULT_OK);
}

void live_board_publish(struct live_board *live, uint32_t coalesce_ms)
{
    uint64_t versions[LIVE_DRAFT_MAX];
    for (size_t i = 0; i < live->draft.count; i++) {
        versions[i] = 1;
    }
    live->draft.from = live->at.offset;
    known_push(live);
    live->at.offset += live->draft.count;
    live->at.nonce = live->at.nonce * 31 + 7 + live->forks;
    live->draft.to = live->at;
    assert_int_equal(board_apply(live->board, &live->draft, versions, live->loop->now.wall_ms), RESULT_OK);
    overlay_clear(&live->draft);
    hub_board_changed(live->loop->hub, live->topic, coalesce_ms, live->loop->now);
}

void live_board_set(struct live_board *live, const char *field, const char *value, uint32_t coalesce_ms)
{
    live_board_draft(live, field, value);
    live_board_publish(live, coalesce_ms);
}
