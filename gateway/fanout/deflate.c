/*
 * One raw stream of zlib, begun anew for each message.
 *
 * Window and hash are small. On snapshots of the invented business day (24 kB), 2^12 bytes of window instead of 2^15 cost
 * less than 1 % of the size, and the whole state is 32 kB instead of 260. Level 3: level 1 saves a seventh of the time and makes
 * snapshots 6 % larger, level 6 takes twice the time for 10 % less. Messages below 1 kB take 6 to 9 us at any level.
 */
#include "fanout/deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST /* next_in only reads */
#include <zlib.h>

enum { LEVEL = 3, MEMORY_LEVEL = 5, TRAILER_BYTES = 4 };

struct deflater {
    z_stream stream;
};

struct deflater *deflater_create(void)
{
    struct deflater *deflater = calloc(1, sizeof *deflater);
    if (deflater && deflateInit2(&deflater->stream, LEVEL, Z_DEFLATED, -DEFLATE_WINDOW_BITS, MEMORY_LEVEL,
                                 Z_DEFAULT_STRATEGY) != Z_OK) {
        free(deflater);
        return NULL;
    }
    return deflater;
}

void deflater_destroy(struct deflater *deflater)
{
    if (deflater) {
        (void)deflateEnd(&deflater->stream); /* Z_DATA_ERROR: a message was given up half-way */
        free(deflater);
    }
}

bool deflater_run(struct deflater *deflater, const char *from, size_t length, uint8_t *to, size_t capacity,
                  size_t *out_length)
{
    static const uint8_t trailer[TRAILER_BYTES] = {0x00, 0x00, 0xff, 0xff};
    assert(length <= DEFLATE_MAX_BYTES);
    z_stream *stream = &deflater->stream;
    size_t room = capacity < 2 * DEFLATE_MAX_BYTES ? capacity : 2 * DEFLATE_MAX_BYTES;
    if (deflateReset(stream) != Z_OK) {
        return false;
    }
    stream->next_in = (const Bytef *)from;
    stream->avail_in = (uInt)length;
    stream->next_out = to;
    stream->avail_out = (uInt)room;
    /* A flush is complete when room is left behind it (zlib.h). */
    if (deflate(stream, Z_SYNC_FLUSH) != Z_OK || stream->avail_out == 0) {
        return false;
    }
    size_t used = room - stream->avail_out;
    assert(stream->avail_in == 0 && used > TRAILER_BYTES &&
           memcmp(to + used - TRAILER_BYTES, trailer, TRAILER_BYTES) == 0);
    *out_length = used - TRAILER_BYTES; /* the receiver puts it back */
    return true;
}
