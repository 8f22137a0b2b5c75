/*
 * Dispatch to the implementation; nothing else lives here.
 */
#include "journal/journal.h"

enum result journal_open(struct journal *journal, const char *board, struct position *out_position)
{
    return journal->ops->open(journal, board, out_position);
}

void journal_submit(struct journal *journal, const char *board, struct journal_item *items, size_t count,
                    journal_done_fn *done, void *context)
{
    journal->ops->submit(journal, board, items, count, done, context);
}

void journal_destroy(struct journal *journal)
{
    if (journal) {
        journal->ops->destroy(journal);
    }
}
