/*
 * Compares versions with the board's state, numbers what is accepted, publishes
 * once per transaction. It keeps no values: in one process the state room is
 * what is true, so only the position and the lineage of each board live here.
 */
#include "journal/memory_journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "protocol/limits.h"

/* One board's order. */
struct order {
    struct position at;
    char *lineage; /* owned; NULL until the board is told one */
};

struct memory_journal {
    struct journal base; /* first: the interface points here */
    struct journal_host host;
    struct map boards; /* id -> struct order, owned */
};

/* The item of this transaction that decides a field so far; later ones compare with it. */
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

static void order_destroy(struct order *order)
{
    if (order) {
        free(order->lineage);
        free(order);
    }
}

static struct position position_drawn(uint64_t offset)
{
    return (struct position){
        .epoch = random_u64() | 1 /* never 0 */, .offset = offset, .nonce = (uint32_t)random_u64()};
}

static enum result memory_open(struct journal *journal, const char *board, struct position *out_position)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    size_t length = strlen(board);
    struct order *order = map_get(&memory->boards, board, length);
    if (!order) {
        order = calloc(1, sizeof *order);
        if (!order) {
            return RESULT_NO_MEMORY;
        }
        enum result result = map_put(&memory->boards, board, length, order);
        if (result != RESULT_OK) {
            free(order);
            return result;
        }
    }
    /* Also when it was open before: the values went with the board, so its order starts afresh. */
    free(order->lineage);
    order->lineage = NULL;
    order->at = position_drawn(0);
    *out_position = order->at;
    return RESULT_OK;
}

static void memory_close(struct journal *journal, const char *board)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    order_destroy(map_remove(&memory->boards, board, strlen(board)));
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

/* The version that counts for this item: an earlier item's of this transaction, else the board's. false: none is known. */
static bool version_so_far(const struct memory_journal *memory, const char *board, const struct draft *draft,
                           const struct journal_item *item, uint64_t *out_version)
{
    const struct winner *winner = map_get(&draft->by_field, item->field, item->field_length);
    if (winner && winner->entry != SIZE_MAX) {
        *out_version = winner->version;
        return true;
    }
    return memory->host.known_version(memory->host.context, board, item->field, item->field_length,
                                      out_version);
}

static enum result decide(const struct memory_journal *memory, const char *board, const struct draft *draft,
                          const struct journal_item *item, uint64_t *out_version)
{
    uint64_t known = 0;
    bool is_known = version_so_far(memory, board, draft, item, &known);
    switch (item->rule) {
    case VERSION_NEXT:
        *out_version = is_known ? known + 1 : 1;
        return RESULT_OK;
    case VERSION_GIVEN:
        *out_version = item->version;
        return !is_known || item->version > known ? RESULT_OK
               : item->version == known           ? RESULT_UNCHANGED
                                                  : RESULT_OLDER;
    case VERSION_KEPT:
        *out_version = item->version;
        return (is_known ? known : 0) == item->version ? RESULT_OK : RESULT_OLDER;
    case VERSION_FORGOTTEN:
        *out_version = 0;
        return RESULT_OK;
    }
    return RESULT_UNAVAILABLE; /* not a rule */
}

/* The text that is there already is not told again, but its version counts. */
static bool is_same(const struct memory_journal *memory, const char *board, struct draft *draft,
                    const struct journal_item *item, uint64_t version)
{
    if (!item->value) {
        return false;
    }
    struct winner *winner = map_get(&draft->by_field, item->field, item->field_length);
    if (!winner || winner->entry == SIZE_MAX) {
        return memory->host.is_same(memory->host.context, board, item->field, item->field_length, item->value,
                                    item->value_length, version);
    }
    const struct overlay_entry *entry = &draft->publication.entries[winner->entry];
    if (!entry->value || entry->value_length != item->value_length ||
        memcmp(entry->value, item->value, item->value_length) != 0) {
        return false;
    }
    winner->version = version;
    draft->versions[winner->entry] = version;
    return true;
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

static void publish(struct memory_journal *memory, struct order *order,
                    const struct journal_transaction *transaction)
{
    struct draft draft;
    bool is_ready = draft_init(&draft, transaction->count);
    uint64_t offset = order->at.offset;
    for (size_t i = 0; i < transaction->count; i++) {
        struct journal_item *item = &transaction->items[i];
        uint64_t version = 0;
        item->outcome =
            is_ready ? decide(memory, transaction->board, &draft, item, &version) : RESULT_NO_MEMORY;
        if (item->outcome == RESULT_OK && is_same(memory, transaction->board, &draft, item, version)) {
            item->outcome = RESULT_UNCHANGED;
        } else if (item->outcome == RESULT_OK) {
            item->outcome = draft_put(&draft, item, version, offset + 1);
            offset += item->outcome == RESULT_OK ? 1 : 0;
        }
    }
    if (offset > order->at.offset) {
        draft_compact(&draft);
        draft.publication.from = order->at.offset;
        order->at.offset = offset;
        order->at.nonce = (uint32_t)random_u64();
        draft.publication.to = order->at;
        memory->host.on_publication(memory->host.context, transaction->board, &draft.publication,
                                    draft.versions);
    }
    draft_finish(&draft);
}

static enum result lineage_check(struct order *order, const char *lineage)
{
    if (!lineage) {
        return RESULT_OK;
    }
    if (!order->lineage) {
        order->lineage = strdup(lineage);
        return order->lineage ? RESULT_OK : RESULT_NO_MEMORY;
    }
    return strcmp(order->lineage, lineage) == 0 ? RESULT_OK : RESULT_OTHER_LINEAGE;
}

static void memory_submit(struct journal *journal, const struct journal_transaction *transaction,
                          journal_done_fn *done, void *context)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    struct order *order = map_get(&memory->boards, transaction->board, strlen(transaction->board));
    assert(order);
    enum result result = lineage_check(order, transaction->lineage);
    if (result == RESULT_OK) {
        publish(memory, order, transaction);
    }
    for (size_t i = 0; result != RESULT_OK && i < transaction->count; i++) {
        transaction->items[i].outcome = result;
    }
    done(context, transaction->items, transaction->count);
}

static void memory_restart(struct journal *journal, const struct journal_restart *restart,
                           journal_restarted_fn *done, void *context)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    struct order *order = map_get(&memory->boards, restart->board, strlen(restart->board));
    assert(order);
    if (order->lineage && strcmp(order->lineage, restart->lineage) == 0) {
        done(context, RESULT_UNCHANGED);
        return;
    }
    char *lineage = strdup(restart->lineage);
    if (!lineage) {
        done(context, RESULT_NO_MEMORY);
        return;
    }
    free(order->lineage);
    order->lineage = lineage;
    order->at = position_drawn(order->at.offset + 1);
    memory->host.on_restart(memory->host.context, &order->at, restart);
    done(context, RESULT_OK);
}

static void memory_destroy(struct journal *journal)
{
    struct memory_journal *memory = (struct memory_journal *)journal;
    size_t cursor = 0;
    void *order = NULL;
    while (map_next(&memory->boards, &cursor, NULL, NULL, &order)) {
        order_destroy(order);
    }
    map_finish(&memory->boards);
    free(memory);
}

static const struct journal_ops memory_ops = {
    .open = memory_open,
    .submit = memory_submit,
    .restart = memory_restart,
    .close = memory_close,
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
    memory->base.is_shared = false;
    memory->host = *host;
    map_init(&memory->boards, max_boards);
    return &memory->base;
}
