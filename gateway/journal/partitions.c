/*
 * The same boards must meet in the same partition in every process and every release: nothing here may
 * change.
 */
#include "journal/partitions.h"

#include <stdio.h>
#include <string.h>

enum { SLOTS = 16384 };

uint16_t partition_slot(const char *text, size_t length)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < length; i++) {
        crc ^= (uint32_t)(unsigned char)text[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
        crc &= 0xffff;
    }
    return (uint16_t)(crc % SLOTS);
}

static size_t owner_of(const char *text, size_t length)
{
    return partition_slot(text, length) / (SLOTS / PARTITION_COUNT);
}

size_t partition_of(const char *board)
{
    return owner_of(board, strlen(board));
}

void partition_tags(char out_tags[PARTITION_COUNT][PARTITION_TAG_MAX_BYTES + 1])
{
    memset(out_tags, 0, PARTITION_COUNT * sizeof out_tags[0]);
    size_t found = 0;
    for (unsigned number = 0; found < PARTITION_COUNT; number++) {
        char text[PARTITION_TAG_MAX_BYTES + 1];
        int length = snprintf(text, sizeof text, "%u", number % 1000000);
        size_t owner = owner_of(text, (size_t)length);
        if (!out_tags[owner][0]) {
            memcpy(out_tags[owner], text, (size_t)length + 1);
            found++;
        }
    }
}
