/* See live_board.h. Versions play no part here and are all 1. */
#include "live_board.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

void live_board_open(struct live_board *live, struct fake_loop *loop, const char *id,
                     const struct board_options *options, const struct row_limit *limits, size_t limit_count)
{
    memset(live, 0, sizeof *live);
    live->loop = loop;
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
}

void live_board_close(struct live_board *live)
{
    if (live->topic) {
        hub_remove_topic(live->loop->hub, live->topic);
    }
    board_destroy(live->board);
    overlay_finish(&live->draft);
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
    live->at.offset += live->draft.count;
    live->at.nonce = live->at.nonce * 31 + 7;
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
