/*
 * One scratch buffer, one scratch overlay, and per board a small cache of
 * ranges. Viewers at the head share range zero of a flush; laggards that fell
 * behind together share theirs.
 */
#include "fanout/encoder.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/gateway_message.h"
#include "protocol/overlay.h"

struct encoder {
    struct bytes scratch;
    struct bytes history;
    struct bytes masked; /* values of the overlay that are not as the board has them */
    struct overlay overlay;
    bool is_demo;
    encoder_history_fn *print_history;
    void *history_context;
    struct metric *updates;
    struct metric *snapshots;
    struct metric *shared;
    struct metric *masked_values;
    struct deflater *deflater; /* owned; NULL: nothing is deflated */
    uint32_t deflate_min_bytes;
    struct metric *deflate_before;
    struct metric *deflate_after;
};

struct encoder *encoder_create(struct metrics *metrics, uint32_t deflate_min_bytes)
{
    static const char deflate_help[] =
        "Bytes of messages that were deflated, and of the frames they became; once, however many viewers they are for.";
    static const char help[] = "Messages serialised, by kind; deliveries of the same bytes do not count.";
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) {
        return NULL;
    }
    bytes_init(&encoder->scratch, ENCODE_MAX_BYTES);
    bytes_init(&encoder->history, ENCODE_MAX_BYTES);
    bytes_init(&encoder->masked, ENCODE_MAX_BYTES);
    overlay_init(&encoder->overlay);
    encoder->updates = metrics_counter(metrics, "gw_encodes_total", "message=\"update\"", help);
    encoder->snapshots = metrics_counter(metrics, "gw_encodes_total", "message=\"snapshot\"", help);
    encoder->shared = metrics_counter(metrics, "gw_encodes_shared_total", NULL,
                                      "Times an already encoded message was used again.");
    encoder->masked_values = metrics_counter(
        metrics, "gw_masked_values_total", NULL,
        "Values masked before they were encoded; once per encoding, however many viewers it is for.");
    encoder->deflate_before =
        metrics_counter(metrics, "gw_deflate_bytes_total", "at=\"before\"", deflate_help);
    encoder->deflate_after = metrics_counter(metrics, "gw_deflate_bytes_total", "at=\"after\"", deflate_help);
    encoder->deflate_min_bytes = deflate_min_bytes;
    if (deflate_min_bytes > 0) {
        encoder->deflater = deflater_create();
        if (!encoder->deflater) {
            encoder_destroy(encoder);
            return NULL;
        }
    }
    return encoder;
}

void encoder_destroy(struct encoder *encoder)
{
    if (!encoder) {
        return;
    }
    bytes_finish(&encoder->scratch);
    bytes_finish(&encoder->history);
    bytes_finish(&encoder->masked);
    overlay_finish(&encoder->overlay);
    deflater_destroy(encoder->deflater);
    free(encoder);
}

void encoder_set_demo(struct encoder *encoder, bool is_demo)
{
    encoder->is_demo = is_demo;
}

void encoder_set_history(struct encoder *encoder, encoder_history_fn *print, void *context)
{
    encoder->print_history = print;
    encoder->history_context = context;
}

/* ---- the cache ---- */

void encoder_cache_init(struct encoder_cache *cache, const struct view *view)
{
    memset(cache, 0, sizeof *cache);
    cache->view = view;
}

static void range_clear(struct encoder_range *range)
{
    for (int form = 0; form < WIRE_FORM_COUNT; form++) {
        frame_unref(range->forms[form]);
    }
    free(range->message);
    memset(range, 0, sizeof *range);
}

void encoder_cache_clear(struct encoder_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        range_clear(&cache->ranges[i]);
    }
    cache->count = 0;
    cache->oldest = 0;
}

void encoder_cache_finish(struct encoder_cache *cache)
{
    encoder_cache_clear(cache);
}

static struct encoder_range *range_find(struct encoder_cache *cache, const struct board *board, uint64_t from,
                                        bool is_snapshot)
{
    const struct position head = board_position(board);
    if (!position_equal(&cache->head, &head)) {
        encoder_cache_clear(cache);
        cache->head = head;
        return NULL;
    }
    for (size_t i = 0; i < cache->count; i++) {
        struct encoder_range *range = &cache->ranges[i];
        if (range->is_snapshot == is_snapshot && range->from == from) {
            return range;
        }
    }
    return NULL;
}

static struct encoder_range *range_add(struct encoder_cache *cache)
{
    struct encoder_range *range = &cache->ranges[cache->oldest];
    if (cache->count < ENCODER_CACHE_RANGES) {
        range = &cache->ranges[cache->count++];
    } else {
        cache->oldest = (cache->oldest + 1) % ENCODER_CACHE_RANGES;
        range_clear(range);
    }
    return range;
}

/* ---- encoding ---- */

/* Stands in an entry for the next text of encoder->masked, which may still move. */
static const char masked_text[] = "{}";

/* false: it is not to be seen at all, or memory ran out, which encoder->masked tells. */
static bool entry_show(struct encoder *encoder, const struct view *view, struct overlay_entry *entry)
{
    const struct kpi *kpi = NULL;
    enum sight sight = view_of_field(view, entry->field, entry->field_length, &kpi);
    if (sight != SIGHT_MASKED || !entry->value) {
        return sight != SIGHT_NONE;
    }
    size_t before = encoder->masked.length;
    bool is_shown = view_mask_value(view, kpi, entry->value, entry->value_length, &encoder->masked);
    entry->value = masked_text;
    entry->value_length = encoder->masked.length - before;
    metric_add(encoder->masked_values, 1);
    return is_shown;
}

/* Leaves of the overlay what this view sees, as it sees it. */
static enum result overlay_show(struct encoder *encoder, const struct view *view)
{
    struct overlay *overlay = &encoder->overlay;
    size_t shown = 0;
    bytes_clear(&encoder->masked);
    for (size_t i = 0; i < overlay->count; i++) {
        if (entry_show(encoder, view, &overlay->entries[i])) {
            overlay->entries[shown++] = overlay->entries[i];
        }
    }
    overlay->count = shown;
    if (bytes_failed(&encoder->masked)) {
        return RESULT_NO_MEMORY;
    }
    const char *next = encoder->masked.at;
    for (size_t i = 0; i < shown; i++) {
        if (overlay->entries[i].value == masked_text) {
            overlay->entries[i].value = next;
            next += overlay->entries[i].value_length;
        }
    }
    overlay->to.nonce ^= view_mark(view);
    overlay->view = overlay->is_snapshot ? view_text(view) : NULL;
    return RESULT_OK;
}

static enum result encode(struct encoder *encoder, const struct encoder_cache *cache,
                          const struct board *board, uint64_t from, bool is_snapshot, int64_t now_ms)
{
    int64_t at_ms = now_ms;
    enum result result = is_snapshot ? board_snapshot(board, &encoder->overlay)
                                     : board_overlay_since(board, from, &encoder->overlay, &at_ms);
    if (result == RESULT_OK && cache->view) {
        result = overlay_show(encoder, cache->view);
    }
    if (result != RESULT_OK) {
        return result;
    }
    bytes_clear(&encoder->scratch);
    bytes_clear(&encoder->history);
    if (is_snapshot && encoder->print_history) {
        encoder->print_history(encoder->history_context, board_id(board), cache->view, &encoder->history);
    }
    bytes_append_byte(&encoder->history, '\0');
    if (bytes_failed(&encoder->history)) {
        return RESULT_TOO_BIG; /* the text has no end */
    }
    overlay_encode(board_id(board), &encoder->overlay, at_ms, encoder->is_demo,
                   encoder->history.length > 1 ? encoder->history.at : NULL, &encoder->scratch);
    metric_add(is_snapshot ? encoder->snapshots : encoder->updates, 1);
    return bytes_failed(&encoder->scratch) ? RESULT_TOO_BIG : RESULT_OK;
}

/* A snapshot says what time it is; whoever computes ages with that must not be told an old time. */
static bool is_out_of_date(const struct encoder_range *range, int64_t now_ms)
{
    return range->is_snapshot &&
           (now_ms < range->encoded_at_ms || now_ms - range->encoded_at_ms > ENCODER_SNAPSHOT_MAX_AGE_MS);
}

/* The range with its message text, from the cache or encoded now. */
static enum result range_get(struct encoder *encoder, struct encoder_cache *cache, const struct board *board,
                             uint64_t from, bool is_snapshot, int64_t now_ms,
                             struct encoder_range **out_range)
{
    struct encoder_range *range = range_find(cache, board, from, is_snapshot);
    if (range && !is_out_of_date(range, now_ms)) {
        metric_add(encoder->shared, 1);
        *out_range = range;
        return RESULT_OK;
    }
    enum result result = encode(encoder, cache, board, from, is_snapshot, now_ms);
    if (result != RESULT_OK) {
        return result;
    }
    char *message = malloc(encoder->scratch.length);
    if (!message) {
        return RESULT_NO_MEMORY;
    }
    memcpy(message, encoder->scratch.at, encoder->scratch.length);
    if (range) {
        range_clear(range);
    } else {
        range = range_add(cache);
    }
    range->from = from;
    range->is_snapshot = is_snapshot;
    range->encoded_at_ms = now_ms;
    range->message = message;
    range->message_length = encoder->scratch.length;
    *out_range = range;
    return RESULT_OK;
}

/* NULL: it goes out as it is. */
static struct frame *deflate(struct encoder *encoder, const struct encoder_range *range)
{
    if (!encoder->deflater || range->message_length < encoder->deflate_min_bytes) {
        return NULL;
    }
    struct frame *frame = frame_create_deflated(encoder->deflater, range->message, range->message_length);
    if (frame) {
        metric_add(encoder->deflate_before, range->message_length);
        metric_add(encoder->deflate_after, frame->length);
    }
    return frame;
}

static struct frame *range_wrap(struct encoder *encoder, struct encoder_range *range,
                                const struct position *head, enum wire_form form)
{
    struct frame **frame = &range->forms[form];
    if (!*frame && form == WIRE_WS_DEFLATE) {
        *frame = deflate(encoder, range);
        if (!*frame) { /* then it is the plain viewers' frame */
            struct frame *plain = range_wrap(encoder, range, head, WIRE_WS);
            *frame = plain ? frame_ref(plain) : NULL;
        }
    } else if (!*frame) {
        *frame = frame_create(form, range->is_snapshot ? "snapshot" : "update", head, range->message,
                              range->message_length);
    }
    return *frame;
}

static enum result range_frame(struct encoder *encoder, struct encoder_range *range,
                               const struct encoder_cache *cache, enum wire_form form,
                               struct frame **out_frame)
{
    struct position told = cache->head;
    told.nonce ^= view_mark(cache->view);
    *out_frame = range_wrap(encoder, range, &told, form);
    return *out_frame ? RESULT_OK : RESULT_NO_MEMORY;
}

enum result encoder_update(struct encoder *encoder, struct encoder_cache *cache, const struct board *board,
                           uint64_t from, enum wire_form form, struct frame **out_frame)
{
    struct encoder_range *range = NULL;
    enum result result = range_get(encoder, cache, board, from, false, 0, &range);
    return result == RESULT_OK ? range_frame(encoder, range, cache, form, out_frame) : result;
}

enum result encoder_snapshot(struct encoder *encoder, struct encoder_cache *cache, const struct board *board,
                             int64_t now_ms, enum wire_form form, struct frame **out_frame)
{
    struct encoder_range *range = NULL;
    enum result result = range_get(encoder, cache, board, 0, true, now_ms, &range);
    return result == RESULT_OK ? range_frame(encoder, range, cache, form, out_frame) : result;
}

enum result encoder_snapshot_text(struct encoder *encoder, struct encoder_cache *cache,
                                  const struct board *board, int64_t now_ms, const char **out_text,
                                  size_t *out_length)
{
    struct encoder_range *range = NULL;
    enum result result = range_get(encoder, cache, board, 0, true, now_ms, &range);
    if (result == RESULT_OK) {
        *out_text = range->message;
        *out_length = range->message_length;
    }
    return result;
}
