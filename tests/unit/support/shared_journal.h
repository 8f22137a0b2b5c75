/**
 * A pretended shared journal: one store that orders boards for several journals, as processes have them. Calls
 * are answered at once or wait until told, so that a test decides what happens meanwhile. Compares and numbers on
 * its own: shares no code with memory_journal and state/.
 */
#ifndef SOPHIA_TESTS_SHARED_JOURNAL_H
#define SOPHIA_TESTS_SHARED_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "journal/journal.h"

struct shared_store;
struct shared_journal;

struct shared_store *shared_store_create(void);
void shared_store_destroy(struct shared_store *store);
/**
 * Remember everything as it is now; and go back to that, as a failover does that loses what came after. Boards are moved beyond
 * what they had published. Detach every journal first.
 */
void shared_store_save(struct shared_store *store);
void shared_store_lose_tail(struct shared_store *store);
/** Forget removed fields that this journal's host does not know any more. */
void shared_store_sweep(struct shared_store *store, struct shared_journal *journal);
size_t shared_store_field_count(const struct shared_store *store, const char *board);

/** Begins detached. journal_destroy() through shared_journal_base(). */
struct shared_journal *shared_journal_create(struct shared_store *store, const struct journal_host *host);
struct journal *shared_journal_base(struct shared_journal *journal);
/** Tells the host, then delivers the image of every open board. */
void shared_journal_attach(struct shared_journal *journal);
void shared_journal_detach(struct shared_journal *journal, const char *reason);
/** From now on calls wait, images of newly opened boards too; false: they are answered at once, except images. */
void shared_journal_hold(struct shared_journal *journal, bool is_holding);
size_t shared_journal_waiting(const struct shared_journal *journal);
/** Do what waits at this place; journals of other nodes hear of it. */
void shared_journal_work(struct shared_journal *journal, size_t index);
void shared_journal_work_all(struct shared_journal *journal);
/** The connection broke: what waits is answered UNAVAILABLE. */
void shared_journal_refuse_all(struct shared_journal *journal);

#endif
