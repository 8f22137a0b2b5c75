/**
 * The journal of the embedded mode: order is decided in this process and dies
 * with it. A restart draws new epochs, so every viewer gets a snapshot then.
 * Not durable: answers to producers say so.
 */
#ifndef SOPHIA_JOURNAL_MEMORY_JOURNAL_H
#define SOPHIA_JOURNAL_MEMORY_JOURNAL_H

#include "journal/journal.h"

/** max_boards: more are refused by journal_open with RESULT_FULL. NULL when memory ran out. */
struct journal *memory_journal_create(const struct journal_host *host, size_t max_boards);

#endif
