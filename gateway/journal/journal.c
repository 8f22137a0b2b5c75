/*
 * Dispatch to the implementation; nothing else lives here.
 */
#include "journal/journal.h"

#include <assert.h>

enum result journal_open(struct journal *journal, const char *board, struct position *out_position)
{
    return journal->ops->open(journal, board, out_position);
}

void journal_submit(struct journal *journal, const struct journal_transaction *transaction,
                    journal_done_fn *done, void *context)
{
    assert(transaction->count > 0);
    journal->ops->submit(journal, transaction, done, context);
}

void journal_restart(struct journal *journal, const struct journal_restart *restart,
                     journal_restarted_fn *done, void *context)
{
    journal->ops->restart(journal, restart, done, context);
}

void journal_close(struct journal *journal, const char *board)
{
    if (journal->ops->close) {
        journal->ops->close(journal, board);
    }
}

void journal_destroy(struct journal *journal)
{
    if (journal) {
        journal->ops->destroy(journal);
    }
}
