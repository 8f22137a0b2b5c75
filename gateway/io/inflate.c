/*
 * One raw stream of zlib, begun anew for each message, whatever became of the one before.
 *
 * A sender may end a block with BFINAL (RFC 7692, 7.2.3.4): zlib's stream ends there, and what follows is read as the
 * next one. The empty block whose last four bytes the sender has left out must end the message: if it does not, the
 * payload was cut short.
 */
#include "io/inflate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#define ZLIB_CONST /* next_in only reads */
#include <zlib.h>

#include "protocol/bytes.h"

enum { WINDOW_BITS = 15, PIECE_BYTES = 4096, AT_BLOCK_BOUNDARY = 128 /* in z_stream.data_type */ };

struct inflater {
    z_stream stream;
    struct bytes text;
};

struct inflater *inflater_create(void)
{
    struct inflater *inflater = calloc(1, sizeof *inflater);
    if (inflater && inflateInit2(&inflater->stream, -WINDOW_BITS) != Z_OK) {
        free(inflater);
        return NULL;
    }
    if (inflater) {
        bytes_init(&inflater->text, PIECE_BYTES);
    }
    return inflater;
}

void inflater_destroy(struct inflater *inflater)
{
    if (inflater) {
        (void)inflateEnd(&inflater->stream); /* it fails only for a stream that is none */
        bytes_finish(&inflater->text);
        free(inflater);
    }
}

/* zlib has stopped: nothing more to read, or no room. */
static enum result feed(struct inflater *inflater, const uint8_t *from, size_t length, bool *out_has_ended)
{
    z_stream *stream = &inflater->stream;
    uint8_t piece[PIECE_BYTES];
    int status;
    stream->next_in = from;
    stream->avail_in = (uInt)length;
    do {
        stream->next_out = piece;
        stream->avail_out = sizeof piece;
        status = inflate(stream, Z_SYNC_FLUSH);
        if (status == Z_MEM_ERROR) {
            return RESULT_NO_MEMORY;
        }
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
            return RESULT_MALFORMED;
        }
        size_t produced = sizeof piece - stream->avail_out;
        bool is_over_cap = produced > inflater->text.cap - inflater->text.length;
        bytes_append(&inflater->text, piece, produced);
        if (bytes_failed(&inflater->text)) {
            return is_over_cap ? RESULT_TOO_BIG : RESULT_NO_MEMORY;
        }
        if (status == Z_STREAM_END && stream->avail_in > 0 && inflateReset(stream) != Z_OK) {
            return RESULT_MALFORMED;
        }
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    *out_has_ended = status == Z_STREAM_END;
    return RESULT_OK;
}

enum result inflater_run(struct inflater *inflater, const char *from, size_t length, size_t max_bytes,
                         const char **out_text, size_t *out_length)
{
    static const uint8_t trailer[] = {0x00, 0x00, 0xff, 0xff};
    bool has_ended = false;
    if (length > UINT32_MAX) {
        return RESULT_TOO_BIG;
    }
    if (inflateReset(&inflater->stream) != Z_OK) {
        return RESULT_MALFORMED;
    }
    bytes_clear(&inflater->text);
    inflater->text.cap = max_bytes;
    enum result result = feed(inflater, (const uint8_t *)from, length, &has_ended);
    if (result == RESULT_OK && !has_ended) {
        result = feed(inflater, trailer, sizeof trailer, &has_ended);
        if (result == RESULT_OK && !(inflater->stream.data_type & AT_BLOCK_BOUNDARY)) {
            result = RESULT_MALFORMED;
        }
    }
    if (result != RESULT_OK) {
        return result;
    }
    *out_text = inflater->text.length > 0 ? inflater->text.at : "";
    *out_length = inflater->text.length;
    return RESULT_OK;
}
