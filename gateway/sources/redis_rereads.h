/**
 * What pub/sub may have lost is read again from keys that hold the newest message of a feed: a string (the message),
 * a hash (a message per entry, or the members of one) or a list (messages, newest first).
 *
 * A message that arrives while its key is being read is newer than the reading, or as new: a single value is then left alone,
 * and keys with rows are read again.
 */
#ifndef SOPHIA_SOURCES_REDIS_REREADS_H
#define SOPHIA_SOURCES_REDIS_REREADS_H

#include "sources/redis_calls.h"
#include "sources/redis_feeds.h"
#include "sources/redis_submissions.h"

struct redis_rereads {
    struct redis_link *commands;           /* borrowed */
    struct redis_submissions *submissions; /* borrowed */
    struct redis_feeds *feeds;             /* borrowed; see redis_rereads_forget() */
    struct redis_calls calls;
};

void redis_rereads_init(struct redis_rereads *rereads, struct redis_link *commands,
                        struct redis_submissions *submissions, struct redis_feeds *feeds);
void redis_rereads_finish(struct redis_rereads *rereads);

/** Every key of the feed, or of all (NULL), is due. */
void redis_rereads_want(struct redis_rereads *rereads, struct redis_feed *feed);
/** Ask for what is due, as far as the link takes it. To be called again and again. */
void redis_rereads_run(struct redis_rereads *rereads);
/** The feeds are about to change: what is under way is forgotten. */
void redis_rereads_forget(struct redis_rereads *rereads);

#endif
