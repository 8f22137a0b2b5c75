/*
 * Frames of a client. The same bytes whole and in pieces (the first byte says of which size) must tell the same story, within
 * the cap, and payload must lie where the header says.
 */
#include "protocol/ws_reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { FRAME_MAX = 4096 };

struct story {
    uint64_t hash; /* of everything that was told, but not of how payload was cut */
    uint64_t frame_bytes;
};

static void mix(struct story *story, const void *from, size_t length)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < length; i++) {
        story->hash = (story->hash ^ at[i]) * 1099511628211ULL;
    }
}

static void tell(struct story *story, const struct ws_event *event)
{
    unsigned words[6] = {(unsigned)event->kind,     event->is_binary, event->has_rsv1,
                         event->is_last_of_message, event->code,      (unsigned)event->fault};
    mix(story, event->at, event->length);
    if (event->kind == WS_EVENT_DATA) {
        story->frame_bytes += event->length;
        if (story->frame_bytes > FRAME_MAX) {
            abort();
        }
        if (!event->is_last_of_frame) {
            return;
        }
        story->frame_bytes = 0;
    } else if (event->length > WS_CONTROL_MAX_BYTES) {
        abort();
    }
    mix(story, words, sizeof words);
}

static struct story read_all(const uint8_t *bytes, size_t length, size_t piece)
{
    struct ws_reader reader = {0};
    struct story story = {.hash = 14695981039346656037ULL};
    for (size_t at = 0; at < length; at += piece) {
        size_t left = length - at < piece ? length - at : piece;
        char *copy = malloc(left); /* of its own, so that a step beyond it is seen */
        char *from = copy;
        struct ws_event event;
        if (!copy) {
            abort();
        }
        memcpy(copy, bytes + at, left);
        do {
            size_t used = 0;
            ws_reader_next(&reader, from, left, FRAME_MAX, &used, &event);
            if (used > left) {
                abort();
            }
            if (event.kind != WS_EVENT_NONE) {
                tell(&story, &event);
            }
            from += used;
            left -= used;
        } while (event.kind != WS_EVENT_NONE);
        if (left != 0) {
            abort();
        }
        free(copy);
    }
    return story;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 2) {
        return 0;
    }
    struct story whole = read_all(bytes + 1, length - 1, length - 1);
    struct story cut = read_all(bytes + 1, length - 1, (size_t)bytes[0] + 1);
    if (whole.hash != cut.hash || whole.frame_bytes != cut.frame_bytes) {
        abort();
    }
    return 0;
}
