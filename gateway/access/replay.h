/**
 * What came before: keys of the last hours, up to a cap.
 *
 * A key is new, under way (what it stands for is not decided yet), or done. One that is too old is forgotten; when the table
 * is full the oldest makes room, so nothing new is ever refused for that, and is counted.
 *
 * Cost: O(1) per call, now and then a doubling; 56 bytes a key, allocated as needed.
 */
#ifndef SOPHIA_ACCESS_REPLAY_H
#define SOPHIA_ACCESS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/result.h"

enum { REPLAY_KEY_BYTES = 32 };

struct replay;

enum replay_state { REPLAY_NEW, REPLAY_UNDER_WAY, REPLAY_DONE };

/** max_keys: a power of two, at least 2. NULL when memory ran out. */
struct replay *replay_create(size_t max_keys, uint64_t keep_ms);
void replay_destroy(struct replay *replay);

/** key: a hash, evenly distributed. */
enum replay_state replay_look(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES],
                              uint64_t now_ms);
/** From now on it is under way; nothing changes when it is known. Result: NO_MEMORY: it is not remembered. */
MUST_CHECK enum result replay_begin(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES],
                                    uint64_t now_ms);
/** It has been dealt with: it stays for keep_ms from when it began. Nothing happens when it is not under way. */
void replay_finish(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES]);
/** It came to nothing: the next one of this key is new. Nothing happens when it is not under way. */
void replay_abandon(struct replay *replay, const unsigned char key[REPLAY_KEY_BYTES]);

size_t replay_count(const struct replay *replay);
/** Keys that were forgotten before their time, since the beginning. */
uint64_t replay_dropped(const struct replay *replay);

#endif
