/*
 * Compares versions with the board's state, numbers what is accepted, publishes
 * once per submission. It keeps no values: in one process the state room is
 * what is true, so only the position of each board lives here.
 */
#include "journal/memory_journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "protocol/limits.h"

struct memory_journal {
    struct journal base; /* first: the interface points here */
    struct journal_host host;
    struct map boards; /* id -> struct position, owned */
};

/* The item of this submission that decides a field so far; later ones compare with it. */
struct winner {
    uint64_t version;
    size_t entry; /* index in the publication; SIZE_MAX = none yet */
};

struct draft {
    struct overlay publication;
    uint64_t *versions;     /* of publication.entries */
    struct winner *winners; /* one per item at most */
    struct map by_field;    /* field -> struct winner */
    size_t winner_count;
};

static enum result memory_open(struct journal *journal, const char *board, struct position *out_position)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    size_t length = strlen(board);
    struct position *position = map_get(&memory->boards, board, length);
    if (!position) {
        position = calloc(1, sizeof *position);
        if (!position) {
            return RESULT_NO_MEMORY;
        }
        enum result result = map_put(&memory->boards, board, length, position);
        if (result != RESULT_OK) {
            free(position);
            return result;
        }
    }
    /* Also when it was open before: the values went with the board, so its order starts afresh. */
    *position = (struct position){.epoch = random_u64() | 1 /* never 0 */, .nonce = (uint32_t)random_u64()};
    *out_position = *position;
    return RESULT_OK;
}

static void draft_finish(struct draft *draft)
{
    overlay_finish(&draft->publication);
    map_finish(&draft->by_field);
    free(draft->versions);
    free(draft->winners);
}

static bool draft_init(struct draft *draft, size_t count)
{
    overlay_init(&draft->publication);
    map_init(&draft->by_field, count);
    draft->versions = calloc(count, sizeof *draft->versions);
    draft->winners = calloc(count, sizeof *draft->winners);
    draft->winner_count = 0;
    return draft->versions && draft->winners;
}

/* Decide one item against what is known, earlier items of this submission included. */
static enum result decide(const struct memory_journal *memory, const char *board, const struct draft *draft,
                          const struct journal_item *item, uint64_t *out_version)
{
    const struct winner *winner = map_get(&draft->by_field, item->field, item->field_length);
    uint64_t known = 0;
    bool is_known = false;
    if (winner && winner->entry != SIZE_MAX) {
        known = winner->version;
        is_known = true;
    } else {
        is_known =
            memory->host.known_version(memory->host.context, board, item->field, item->field_length, &known);
    }
    if (!item->has_version) {
        *out_version = is_known ? known + 1 : 1;
        return RESULT_OK;
    }
    if (is_known && item->version <= known) {
        return item->version == known ? RESULT_UNCHANGED : RESULT_OLDER;
    }
    *out_version = item->version;
    return RESULT_OK;
}

static struct winner *winner_add(struct draft *draft, const struct journal_item *item)
{
    struct winner *winner = &draft->winners[draft->winner_count];
    winner->entry = SIZE_MAX;
    if (map_put(&draft->by_field, item->field, item->field_length, winner) != RESULT_OK) {
        return NULL;
    }
    draft->winner_count++;
    return winner;
}

/* A field that changes twice in one submission leaves once: its earlier entry is emptied. */
static enum result draft_put(struct draft *draft, const struct journal_item *item, uint64_t version,
                             uint64_t rev)
{
    const struct overlay_entry entry = {
        .field = item->field,
        .field_length = item->field_length,
        .value = item->value,
        .value_length = item->value_length,
        .rev = rev,
    };
    struct winner *winner = map_get(&draft->by_field, item->field, item->field_length);
    if (!winner) {
        winner = winner_add(draft, item);
    }
    if (!winner || overlay_add(&draft->publication, &entry) != RESULT_OK) {
        return RESULT_NO_MEMORY;
    }
    if (winner->entry != SIZE_MAX) {
        draft->publication.entries[winner->entry].field = NULL;
    }
    winner->version = version;
    winner->entry = draft->publication.count - 1;
    draft->versions[winner->entry] = version;
    return RESULT_OK;
}

/* Drop the emptied entries, keeping rising rev. */
static void draft_compact(struct draft *draft)
{
    size_t kept = 0;
    for (size_t i = 0; i < draft->publication.count; i++) {
        if (draft->publication.entries[i].field) {
            draft->publication.entries[kept] = draft->publication.entries[i];
            draft->versions[kept] = draft->versions[i];
            kept++;
        }
    }
    draft->publication.count = kept;
}

static void publish(struct memory_journal *memory, const char *board, struct position *position,
                    struct journal_item *items, size_t count)
{
    struct draft draft;
    bool is_ready = draft_init(&draft, count);
    uint64_t offset = position->offset;
    for (size_t i = 0; i < count; i++) {
        uint64_t version = 0;
        items[i].outcome = is_ready ? decide(memory, board, &draft, &items[i], &version) : RESULT_NO_MEMORY;
        if (items[i].outcome == RESULT_OK) {
            items[i].outcome = draft_put(&draft, &items[i], version, offset + 1);
            offset += items[i].outcome == RESULT_OK ? 1 : 0;
        }
    }
    if (offset > position->offset) {
        draft_compact(&draft);
        draft.publication.from = position->offset;
        position->offset = offset;
        position->nonce = (uint32_t)random_u64();
        draft.publication.to = *position;
        memory->host.on_publication(memory->host.context, board, &draft.publication, draft.versions);
    }
    draft_finish(&draft);
}

static void memory_submit(struct journal *journal, const char *board, struct journal_item *items,
                          size_t count, journal_done_fn *done, void *context)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    struct position *position = map_get(&memory->boards, board, strlen(board));
    assert(position && count > 0);
    publish(memory, board, position, items, count);
    done(context, items, count);
}

static void memory_destroy(struct journal *journal)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    size_t cursor = 0;
    void *position = NULL;
    while (map_next(&memory->boards, &cursor, NULL, NULL, &position)) {
        free(position);
    }
    map_finish(&memory->boards);
    free(memory);
}

static const struct journal_ops memory_ops = {
    .open = memory_open,
    .submit = memory_submit,
    .destroy = memory_destroy,
};

struct journal *memory_journal_create(const struct journal_host *host, size_t max_boards)
{
    struct memory_journal *memory = calloc(1, sizeof *memory);
    if (!memory) {
        return NULL;
    }
    memory->base.ops = &memory_ops;
    memory->base.is_durable = false;
    memory->host = *host;
    map_init(&memory->boards, max_boards);
    return &memory->base;
}
