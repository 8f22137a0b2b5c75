/**
 * A day of the demo company, second by second.
 *
 * Pure: the same seed, tick and moment yield the same changes, whatever was asked before.
 * Values are told with as_of = now, except those of the CRM during its outage: they keep the
 * value from before it and grow old at demo speed, so that the screen turns stale within seconds.
 */
#ifndef SOPHIA_SOURCES_DEMO_STORY_H
#define SOPHIA_SOURCES_DEMO_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "sources/batch.h"
#include "sources/demo_data.h"

/**
 * Append what is told in this demo second. tick counts demo seconds since the start; day and time of
 * day follow from it. is_opening: tell everything there is, sparklines and past events included, as the
 * first tick does. Every change is_demo. A batch that ran out of memory is marked failed.
 */
void demo_story_tell(uint64_t seed, uint64_t tick, bool is_opening, int64_t now_ms, struct batch *out);

#endif
