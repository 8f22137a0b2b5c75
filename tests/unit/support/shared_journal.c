/* See shared_journal.h. Arrays and linear searches: clarity before speed. */
#include "shared_journal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum {
    BOARDS_MAX = 8,
    FIELDS_MAX = 512,
    KNOWN_MAX = 512,
    JOURNALS_MAX = 4,
    WAITING_MAX = 256,
    TEXT_MAX = 256
};

struct stored_field {
    char field[TEXT_MAX];
    char value[TEXT_MAX];
    bool is_removed;
    uint64_t version;
    uint64_t rev;
};

struct stored_board {
    char id[64];
    struct position at;
    char lineage[64];
    uint64_t floor;
    struct stored_field fields[FIELDS_MAX]; /* rising rev */
    size_t field_count;
    struct position known[KNOWN_MAX];
    size_t known_count;
};

struct shared_store {
    struct stored_board boards[BOARDS_MAX];
    size_t board_count;
    struct stored_board saved[BOARDS_MAX];
    size_t saved_count;
    uint64_t draws; /* what epochs and nonces are made of */
    struct shared_journal *journals[JOURNALS_MAX];
};

enum call_kind { CALL_SUBMIT, CALL_RESTART, CALL_IMAGE };

struct call {
    enum call_kind kind;
    char board[64];
    struct journal_transaction transaction;
    struct journal_restart restart;
    journal_done_fn *done;
    journal_restarted_fn *restarted;
    void *context;
};

struct shared_journal {
    struct journal base; /* first: the interface points here */
    struct shared_store *store;
    struct journal_host host;
    bool is_attached, is_holding;
    char open[BOARDS_MAX][64];
    size_t open_count;
    struct call waiting[WAITING_MAX];
    size_t waiting_count;
};

static uint32_t draw(struct shared_store *store)
{
    return (uint32_t)(++store->draws * 2654435761u);
}

static struct stored_board *board_find(struct shared_store *store, const char *id)
{
    for (size_t i = 0; i < store->board_count; i++) {
        if (strcmp(store->boards[i].id, id) == 0) {
            return &store->boards[i];
        }
    }
    assert_true(store->board_count < BOARDS_MAX);
    struct stored_board *board = &store->boards[store->board_count++];
    memset(board, 0, sizeof *board);
    strcpy(board->id, id);
    board->at = (struct position){.epoch = draw(store), .nonce = draw(store)};
    return board;
}

static struct stored_field *field_find(struct stored_board *board, const char *field, size_t length)
{
    for (size_t i = 0; i < board->field_count; i++) {
        if (strlen(board->fields[i].field) == length && memcmp(board->fields[i].field, field, length) == 0) {
            return &board->fields[i];
        }
    }
    return NULL;
}

static void field_drop(struct stored_board *board, struct stored_field *field)
{
    size_t at = (size_t)(field - board->fields);
    memmove(field, field + 1, (board->field_count - at - 1) * sizeof *field);
    board->field_count--;
}

static bool is_open(const struct shared_journal *journal, const char *board)
{
    for (size_t i = 0; i < journal->open_count; i++) {
        if (strcmp(journal->open[i], board) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- telling the hosts ---- */

static void deliver_image(struct shared_journal *journal, const char *id)
{
    if (!journal->is_attached || !is_open(journal, id)) {
        return;
    }
    struct stored_board *board = board_find(journal->store, id);
    struct overlay_entry entries[FIELDS_MAX];
    uint64_t versions[FIELDS_MAX];
    for (size_t i = 0; i < board->field_count; i++) {
        const struct stored_field *field = &board->fields[i];
        entries[i] = (struct overlay_entry){.field = field->field,
                                            .field_length = strlen(field->field),
                                            .value = field->is_removed ? NULL : field->value,
                                            .value_length = field->is_removed ? 0 : strlen(field->value),
                                            .rev = field->rev};
        versions[i] = field->version;
    }
    const struct journal_image image = {
        .at = board->at,
        .entries = entries,
        .versions = versions,
        .count = board->field_count,
        .known = board->known,
        .known_count = board->known_count,
        .floor = board->floor,
    };
    journal->host.on_image(journal->host.context, id, &image);
}

static void deliver_images(struct shared_store *store, const char *id)
{
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        if (store->journals[i]) {
            deliver_image(store->journals[i], id);
        }
    }
}

static void publish(struct shared_store *store, const struct stored_board *board, uint64_t from)
{
    struct overlay publication;
    overlay_init(&publication);
    publication.from = from;
    publication.to = board->at;
    uint64_t versions[FIELDS_MAX];
    for (size_t i = 0; i < board->field_count; i++) {
        const struct stored_field *field = &board->fields[i];
        if (field->rev <= from) {
            continue;
        }
        versions[publication.count] = field->version;
        const struct overlay_entry entry = {.field = field->field,
                                            .field_length = strlen(field->field),
                                            .value = field->is_removed ? NULL : field->value,
                                            .value_length = field->is_removed ? 0 : strlen(field->value),
                                            .rev = field->rev};
        assert_int_equal(overlay_add(&publication, &entry), RESULT_OK);
    }
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        struct shared_journal *journal = store->journals[i];
        if (journal && journal->is_attached && is_open(journal, board->id)) {
            journal->host.on_publication(journal->host.context, board->id, &publication, versions);
        }
    }
    overlay_finish(&publication);
}

/* ---- deciding ---- */

static enum result judge(const struct stored_field *known, const struct journal_item *item,
                         uint64_t *out_version)
{
    uint64_t version = known ? known->version : 0;
    switch (item->rule) {
    case VERSION_NEXT:
        *out_version = version + 1;
        break;
    case VERSION_GIVEN:
        *out_version = item->version;
        if (known && item->version <= version) {
            return item->version == version ? RESULT_UNCHANGED : RESULT_OLDER;
        }
        break;
    case VERSION_KEPT:
        *out_version = version;
        if (item->version != version) {
            return RESULT_OLDER;
        }
        break;
    case VERSION_FORGOTTEN:
        *out_version = 0;
        break;
    }
    return RESULT_OK;
}

static bool is_same(const struct stored_field *known, const struct journal_item *item)
{
    if (!known || known->is_removed || !item->value) {
        return known && known->is_removed && !item->value;
    }
    return strlen(known->value) == item->value_length &&
           memcmp(known->value, item->value, item->value_length) == 0;
}

static void item_apply(struct stored_board *board, struct journal_item *item)
{
    struct stored_field *known = field_find(board, item->field, item->field_length);
    uint64_t version = 0;
    item->outcome = judge(known, item, &version);
    if (item->outcome != RESULT_OK) {
        return;
    }
    if (is_same(known, item)) {
        known->version = version;
        item->outcome = RESULT_UNCHANGED;
        return;
    }
    if (known) {
        field_drop(board, known);
    }
    assert_true(board->field_count < FIELDS_MAX && item->field_length < TEXT_MAX &&
                item->value_length < TEXT_MAX);
    struct stored_field *field = &board->fields[board->field_count++];
    memset(field, 0, sizeof *field);
    memcpy(field->field, item->field, item->field_length);
    if (item->value) {
        memcpy(field->value, item->value, item->value_length);
    }
    field->is_removed = !item->value;
    field->version = version;
    field->rev = ++board->at.offset;
}

static void known_push(struct stored_board *board)
{
    if (board->known_count == KNOWN_MAX) {
        memmove(board->known, board->known + 1, (KNOWN_MAX - 1) * sizeof board->known[0]);
        board->known_count--;
    }
    board->known[board->known_count++] = board->at;
}

static bool is_lineage(struct stored_board *board, const char *lineage)
{
    if (lineage && board->lineage[0] == '\0') {
        strcpy(board->lineage, lineage);
    }
    return !lineage || strcmp(board->lineage, lineage) == 0;
}

static void do_submit(struct shared_store *store, struct call *call)
{
    const struct journal_transaction *transaction = &call->transaction;
    struct stored_board *board = board_find(store, transaction->board);
    assert_string_equal(transaction->board, call->board); /* still whole */
    struct position before = board->at;
    bool is_ours = is_lineage(board, transaction->lineage);
    for (size_t i = 0; i < transaction->count; i++) {
        if (is_ours) {
            item_apply(board, &transaction->items[i]);
        } else {
            transaction->items[i].outcome = RESULT_OTHER_LINEAGE;
        }
    }
    if (board->at.offset > before.offset) {
        struct position after = board->at;
        board->at = before;
        known_push(board);
        board->at = after;
        board->at.nonce = draw(store);
        publish(store, board, before.offset);
    }
    call->done(call->context, transaction->items, transaction->count);
}

static void do_restart(struct shared_journal *journal, const struct call *call)
{
    const struct journal_restart *restart = &call->restart;
    struct shared_store *store = journal->store;
    struct stored_board *board = board_find(store, restart->board);
    if (strcmp(board->lineage, restart->lineage) == 0) {
        call->restarted(call->context, RESULT_UNCHANGED);
        return;
    }
    strcpy(board->lineage, restart->lineage);
    for (size_t i = 0; i < restart->removed_count; i++) {
        struct stored_field *field =
            field_find(board, restart->removed[i].field, restart->removed[i].field_length);
        if (field) {
            field_drop(board, field);
        }
    }
    for (size_t i = 0; i < restart->forgotten_count; i++) {
        struct stored_field *field =
            field_find(board, restart->forgotten[i].field, restart->forgotten[i].field_length);
        if (field) {
            field->version = 0;
        }
    }
    board->at = (struct position){.epoch = draw(store), .offset = board->at.offset + 1, .nonce = draw(store)};
    board->known_count = 0;
    deliver_images(store, board->id);
    call->restarted(call->context, RESULT_OK);
}

/* ---- the journal's interface ---- */

static struct call *call_add(struct shared_journal *journal, enum call_kind kind, const char *board)
{
    assert_true(journal->waiting_count < WAITING_MAX);
    struct call *call = &journal->waiting[journal->waiting_count++];
    memset(call, 0, sizeof *call);
    call->kind = kind;
    strcpy(call->board, board);
    return call;
}

static enum result shared_open(struct journal *base, const char *board, struct position *out_position)
{
    struct shared_journal *journal = (struct shared_journal *)base;
    assert_true(journal->open_count < BOARDS_MAX);
    assert_false(is_open(journal, board));
    strcpy(journal->open[journal->open_count++], board);
    *out_position = (struct position){.epoch = draw(journal->store), .nonce = draw(journal->store)};
    if (journal->is_attached) {
        (void)call_add(journal, CALL_IMAGE, board);
    }
    return RESULT_OK;
}

static void shared_close(struct journal *base, const char *board)
{
    struct shared_journal *journal = (struct shared_journal *)base;
    for (size_t i = 0; i < journal->open_count; i++) {
        if (strcmp(journal->open[i], board) == 0) {
            journal->open_count--;
            memmove(journal->open[i], journal->open[journal->open_count], sizeof journal->open[i]);
            return;
        }
    }
    fail_msg("%s is closed and was not open", board);
}

static void shared_submit(struct journal *base, const struct journal_transaction *transaction,
                          journal_done_fn *done, void *context)
{
    struct shared_journal *journal = (struct shared_journal *)base;
    assert_true(journal->is_attached && is_open(journal, transaction->board));
    struct call *call = call_add(journal, CALL_SUBMIT, transaction->board);
    call->transaction = *transaction;
    call->done = done;
    call->context = context;
    if (!journal->is_holding) {
        shared_journal_work(journal, journal->waiting_count - 1);
    }
}

static void shared_restart(struct journal *base, const struct journal_restart *restart,
                           journal_restarted_fn *done, void *context)
{
    struct shared_journal *journal = (struct shared_journal *)base;
    assert_true(journal->is_attached && is_open(journal, restart->board));
    struct call *call = call_add(journal, CALL_RESTART, restart->board);
    call->restart = *restart;
    call->restarted = done;
    call->context = context;
    if (!journal->is_holding) {
        shared_journal_work(journal, journal->waiting_count - 1);
    }
}

static void shared_destroy(struct journal *base)
{
    struct shared_journal *journal = (struct shared_journal *)base;
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        if (journal->store->journals[i] == journal) {
            journal->store->journals[i] = NULL;
        }
    }
    memset(&journal->host, 0, sizeof journal->host); /* calls the host no more */
    shared_journal_refuse_all(journal);
    free(journal);
}

static const struct journal_ops shared_ops = {
    .open = shared_open,
    .submit = shared_submit,
    .restart = shared_restart,
    .close = shared_close,
    .destroy = shared_destroy,
};

/* ---- what tests call ---- */

struct shared_store *shared_store_create(void)
{
    struct shared_store *store = calloc(1, sizeof *store);
    assert_non_null(store);
    return store;
}

void shared_store_destroy(struct shared_store *store)
{
    free(store);
}

void shared_store_save(struct shared_store *store)
{
    memcpy(store->saved, store->boards, sizeof store->saved);
    store->saved_count = store->board_count;
}

void shared_store_lose_tail(struct shared_store *store)
{
    for (size_t i = 0; i < store->board_count; i++) {
        struct stored_board *board = &store->boards[i];
        struct position lost = board->at;
        if (i < store->saved_count) {
            *board = store->saved[i]; /* boards only come, so they stand at the same place */
        } else {
            char id[sizeof board->id];
            strcpy(id, board->id);
            memset(board, 0, sizeof *board);
            strcpy(board->id, id);
            board->at = (struct position){.epoch = draw(store), .nonce = draw(store)};
        }
        if (board->at.epoch == lost.epoch && board->at.offset < lost.offset) {
            known_push(board);
            board->at.offset = lost.offset + 1;
            board->at.nonce = draw(store);
        }
    }
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        assert_true(!store->journals[i] || !store->journals[i]->is_attached);
    }
}

void shared_store_sweep(struct shared_store *store, struct shared_journal *journal)
{
    for (size_t i = 0; i < store->board_count; i++) {
        struct stored_board *board = &store->boards[i];
        for (size_t j = board->field_count; j-- > 0;) {
            struct stored_field *field = &board->fields[j];
            if (!journal->host.knows_field(journal->host.context, board->id, field->field,
                                           strlen(field->field))) {
                if (field->is_removed && field->rev > board->floor) {
                    board->floor = field->rev;
                }
                field_drop(board, field);
            }
        }
    }
}

size_t shared_store_field_count(const struct shared_store *store, const char *board)
{
    for (size_t i = 0; i < store->board_count; i++) {
        if (strcmp(store->boards[i].id, board) == 0) {
            return store->boards[i].field_count;
        }
    }
    return 0;
}

struct shared_journal *shared_journal_create(struct shared_store *store, const struct journal_host *host)
{
    struct shared_journal *journal = calloc(1, sizeof *journal);
    assert_non_null(journal);
    journal->base.ops = &shared_ops;
    journal->base.is_shared = true;
    journal->store = store;
    journal->host = *host;
    size_t at = 0;
    while (store->journals[at]) {
        at++;
        assert_true(at < JOURNALS_MAX);
    }
    store->journals[at] = journal;
    return journal;
}

struct journal *shared_journal_base(struct shared_journal *journal)
{
    return &journal->base;
}

void shared_journal_attach(struct shared_journal *journal)
{
    journal->is_attached = true;
    journal->host.on_attached(journal->host.context, true, "");
    for (size_t i = 0; i < journal->open_count; i++) {
        deliver_image(journal, journal->open[i]);
    }
}

void shared_journal_detach(struct shared_journal *journal, const char *reason)
{
    journal->is_attached = false;
    journal->host.on_attached(journal->host.context, false, reason);
}

void shared_journal_hold(struct shared_journal *journal, bool is_holding)
{
    journal->is_holding = is_holding;
}

size_t shared_journal_waiting(const struct shared_journal *journal)
{
    return journal->waiting_count;
}

static struct call call_take(struct shared_journal *journal, size_t index)
{
    assert_true(index < journal->waiting_count);
    struct call call = journal->waiting[index];
    journal->waiting_count--;
    memmove(&journal->waiting[index], &journal->waiting[index + 1],
            (journal->waiting_count - index) * sizeof call);
    return call;
}

void shared_journal_work(struct shared_journal *journal, size_t index)
{
    struct call call = call_take(journal, index);
    switch (call.kind) {
    case CALL_SUBMIT:
        do_submit(journal->store, &call);
        break;
    case CALL_RESTART:
        do_restart(journal, &call);
        break;
    case CALL_IMAGE:
        deliver_image(journal, call.board);
        break;
    }
}

void shared_journal_work_all(struct shared_journal *journal)
{
    while (journal->waiting_count > 0) {
        shared_journal_work(journal, 0);
    }
}

void shared_journal_refuse_all(struct shared_journal *journal)
{
    while (journal->waiting_count > 0) {
        struct call call = call_take(journal, 0);
        for (size_t i = 0; call.kind == CALL_SUBMIT && i < call.transaction.count; i++) {
            call.transaction.items[i].outcome = RESULT_UNAVAILABLE;
        }
        if (call.kind == CALL_SUBMIT) {
            call.done(call.context, call.transaction.items, call.transaction.count);
        } else if (call.kind == CALL_RESTART) {
            call.restarted(call.context, RESULT_UNAVAILABLE);
        }
    }
}
