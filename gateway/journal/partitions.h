/**
 * Which partition a board belongs to, and the hash tag of a partition's keys.
 *
 * 64 partitions, each owning 256 of Redis Cluster's 16,384 slots. A board belongs to the partition that owns
 * the slot of its name; the partition's keys and its channel carry a tag whose slot lies in that range. So a
 * cluster of any size gets an even share, and one script may touch all keys of a board.
 */
#ifndef SOPHIA_JOURNAL_PARTITIONS_H
#define SOPHIA_JOURNAL_PARTITIONS_H

#include <stddef.h>
#include <stdint.h>

enum { PARTITION_COUNT = 64, PARTITION_TAG_MAX_BYTES = 7 };

/** The slot of a key or of a tag's inside (CRC16, XMODEM). Does not look for braces. */
uint16_t partition_slot(const char *text, size_t length);
size_t partition_of(const char *board);
/** The tag of every partition, without braces: the first of "0", "1", ... whose slot the partition owns. */
void partition_tags(char out_tags[PARTITION_COUNT][PARTITION_TAG_MAX_BYTES + 1]);

#endif
