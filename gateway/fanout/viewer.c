/*
 * A viewer never holds queued updates: subscription_serve() computes what its
 * cursor misses at the moment the transport can take it. `behind` is measured
 * against the newest flush, not against the board, so that changes which are still
 * gathering reach everyone with the flush.
 *
 * A viewer that comes from another node may be ahead of this one by what is still on its way here. It waits
 * for the board to get there, a moment, or for as long as the order cannot be heard here: a snapshot would take it back.
 */
#include "fanout/viewer.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fanout/hub_internal.h"

static void count_viewer(struct hub *hub, enum wire_form form, int change)
{
    struct metric *count = hub->metrics.viewers[form];
    metric_set(count, metric_read(count) + change);
    if (form == WIRE_WS_DEFLATE) {
        metric_set(hub->metrics.deflating, metric_read(hub->metrics.deflating) + change);
    }
}

struct viewer *viewer_create(struct hub *hub, enum wire_form form, const struct viewer_ops *ops,
                             void *transport)
{
    if (hub->viewer_count >= hub->options.max_viewers) {
        return NULL;
    }
    struct viewer *viewer = calloc(1, sizeof *viewer);
    if (!viewer) {
        return NULL;
    }
    viewer->hub = hub;
    viewer->ops = ops;
    viewer->transport = transport;
    viewer->form = (uint8_t)form;
    viewer->state = VIEWER_OPEN;
    viewer->answers_end = &viewer->answers;
    list_init(&viewer->subscriptions);
    list_append(&hub->viewers, &viewer->in_hub);
    hub->viewer_count++;
    count_viewer(hub, form, 1);
    return viewer;
}

static void answers_forget(struct viewer *viewer)
{
    while (viewer->answers) {
        struct answer *answer = viewer->answers;
        viewer->answers = answer->next;
        frame_unref(answer->frame);
        free(answer);
    }
    viewer->answers_end = &viewer->answers;
    viewer->answer_count = 0;
    viewer->answer_bytes = 0;
}

static void subscriptions_forget(struct viewer *viewer)
{
    LIST_EACH_SAFE(node, &viewer->subscriptions) {
        subscription_destroy(LIST_ITEM(node, struct subscription, in_viewer));
    }
}

void viewer_destroy(struct viewer *viewer)
{
    if (!viewer) {
        return;
    }
    subscriptions_forget(viewer);
    answers_forget(viewer);
    hub_step_over(viewer->hub, viewer);
    list_remove(&viewer->in_hub);
    viewer->hub->viewer_count--;
    count_viewer(viewer->hub, (enum wire_form)viewer->form, -1);
    free(viewer->roles);
    free(viewer);
}

bool viewer_is_closing(const struct viewer *viewer)
{
    return viewer->state == VIEWER_CLOSING;
}

bool viewer_set_roles(struct viewer *viewer, const char *roles)
{
    char *copy = roles ? strdup(roles) : NULL;
    if (roles && !copy) {
        return false;
    }
    free(viewer->roles);
    viewer->roles = copy;
    return true;
}

const char *viewer_roles(const struct viewer *viewer)
{
    return viewer->roles;
}

uint32_t viewer_subscription_count(const struct viewer *viewer)
{
    return viewer->subscription_count;
}

static void viewer_end(struct viewer *viewer, enum close_reason reason)
{
    viewer->state = VIEWER_CLOSING;
    answers_forget(viewer);
    viewer->ops->close(viewer->transport, reason);
}

/* Only if it can be said right now, and never through viewer_say(), which closes when it fails. false: the write failed. */
static bool viewer_say_last(struct viewer *viewer, enum close_reason reason)
{
    struct bytes message;
    bytes_init(&message, VIEWER_MESSAGE_MAX_BYTES);
    error_encode(reason, NULL, NULL, &message);
    struct frame *frame = NULL;
    if (!bytes_failed(&message) && viewer_can_write(viewer)) {
        frame = frame_create((enum wire_form)viewer->form, "error", NULL, message.at, message.length);
    }
    bool is_alive = !frame || viewer_write(viewer, frame, viewer->hub->metrics.answers);
    frame_unref(frame);
    bytes_finish(&message);
    return is_alive;
}

void viewer_close(struct viewer *viewer, enum close_reason reason)
{
    if (viewer->state == VIEWER_CLOSING) {
        return;
    }
    /* An event stream has no close code: say why before the end. */
    if (viewer->form == WIRE_SSE && reason != CLOSE_NORMAL && !viewer_say_last(viewer, reason)) {
        return;
    }
    viewer_end(viewer, reason);
}

/* Longer than it takes to find out that the shared order cannot be heard: 3 s without an answer. */
enum { AHEAD_WAIT_MS = 6000 };

/* ---- writing ---- */

bool viewer_can_write(struct viewer *viewer)
{
    return viewer->state == VIEWER_OPEN && !viewer->answers && viewer->ops->can_write(viewer->transport);
}

bool viewer_write(struct viewer *viewer, struct frame *frame, struct metric *count)
{
    if (viewer->ops->write(viewer->transport, frame) != RESULT_OK) {
        viewer->state = VIEWER_CLOSING; /* the transport's closed callback follows */
        return false;
    }
    metric_add(count, 1);
    metric_add(viewer->hub->metrics.bytes, frame->length);
    return true;
}

static void viewer_await_writable(struct viewer *viewer)
{
    if (!viewer->awaits_writable && viewer->state == VIEWER_OPEN) {
        viewer->awaits_writable = true;
        viewer->ops->request_writable(viewer->transport);
    }
}

static void answer_queue(struct viewer *viewer, struct frame *frame)
{
    if (viewer->answer_count >= VIEWER_ANSWERS_MAX ||
        viewer->answer_bytes + frame->length > VIEWER_ANSWERS_MAX_BYTES) {
        viewer_end(viewer, CLOSE_TOO_SLOW);
        return;
    }
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer) {
        viewer_end(viewer, CLOSE_INTERNAL);
        return;
    }
    answer->frame = frame_ref(frame);
    *viewer->answers_end = answer;
    viewer->answers_end = &answer->next;
    viewer->answer_count++;
    viewer->answer_bytes += frame->length;
    viewer_await_writable(viewer);
}

void viewer_say_frame(struct viewer *viewer, struct frame *frame)
{
    if (viewer->state == VIEWER_CLOSING) {
        return;
    }
    if (!frame) {
        viewer_close(viewer, CLOSE_INTERNAL); /* a lost answer would leave the viewer waiting for it */
    } else if (viewer_can_write(viewer)) {
        (void)viewer_write(viewer, frame, viewer->hub->metrics.answers); /* a failure has marked it closing */
    } else {
        answer_queue(viewer, frame);
    }
}

void viewer_say(struct viewer *viewer, const char *event, const struct bytes *message)
{
    struct frame *frame = NULL;
    if (!bytes_failed(message)) {
        frame = frame_create((enum wire_form)viewer->form, event, NULL, message->at, message->length);
    }
    viewer_say_frame(viewer, frame);
    frame_unref(frame);
}

void viewer_say_error(struct viewer *viewer, enum close_reason reason, const char *board, const char *detail)
{
    struct bytes message;
    bytes_init(&message, VIEWER_MESSAGE_MAX_BYTES);
    error_encode(reason, board, detail, &message);
    viewer_say(viewer, "error", &message);
    bytes_finish(&message);
}

/* Answers first and in order; false when some still wait. */
static bool answers_flush(struct viewer *viewer)
{
    while (viewer->answers && viewer->state == VIEWER_OPEN) {
        if (!viewer->ops->can_write(viewer->transport)) {
            viewer_await_writable(viewer);
            return false;
        }
        struct answer *answer = viewer->answers;
        viewer->answers = answer->next;
        if (!viewer->answers) {
            viewer->answers_end = &viewer->answers;
        }
        viewer->answer_count--;
        viewer->answer_bytes -= answer->frame->length;
        bool is_written = viewer_write(viewer, answer->frame, viewer->hub->metrics.answers);
        frame_unref(answer->frame);
        free(answer);
        if (!is_written) {
            return false;
        }
    }
    return viewer->state == VIEWER_OPEN;
}

void viewer_on_writable(struct viewer *viewer, struct moment now)
{
    viewer->awaits_writable = false;
    if (!answers_flush(viewer)) {
        return;
    }
    LIST_EACH(node, &viewer->subscriptions) {
        subscription_serve(LIST_ITEM(node, struct subscription, in_viewer), now);
    }
}

/* ---- serving one cursor ---- */

static bool is_behind(const struct subscription *subscription)
{
    return subscription->needs_snapshot || subscription->is_ahead ||
           subscription->cursor < subscription->topic->flushed;
}

/* The frame that takes this cursor to the board's head. */
static enum result frame_for(struct subscription *subscription, struct moment now, struct frame **out_frame)
{
    struct topic *topic = subscription->topic;
    struct encoder_cache *cache = &subscription->view->cache;
    struct encoder *encoder = topic->hub->encoder;
    enum wire_form form = (enum wire_form)subscription->viewer->form;
    if (!subscription->needs_snapshot) {
        /* A frame may begin before the cursor (PROTOCOL.md, "Overlays"): everyone near the head shares one. */
        uint64_t from = subscription->cursor > topic->flush_from ? topic->flush_from : subscription->cursor;
        enum result result = encoder_update(encoder, cache, topic->board, from, form, out_frame);
        if (result == RESULT_UNKNOWN_POSITION && from != subscription->cursor) {
            /* A tombstone was forgotten between the two: this cursor is beyond it. */
            result = encoder_update(encoder, cache, topic->board, subscription->cursor, form, out_frame);
        }
        if (result != RESULT_UNKNOWN_POSITION) {
            return result;
        }
        metric_add(topic->hub->metrics.resync_unknown, 1);
        subscription->needs_snapshot = true;
    }
    return encoder_snapshot(encoder, cache, topic->board, now.wall_ms, form, out_frame);
}

static void subscription_send(struct subscription *subscription, struct moment now)
{
    struct viewer *viewer = subscription->viewer;
    struct frame *frame = NULL;
    enum result result = frame_for(subscription, now, &frame);
    if (result != RESULT_OK) {
        viewer_close(viewer, CLOSE_INTERNAL);
        return;
    }
    const struct hub_metrics *metrics = &viewer->hub->metrics;
    if (viewer_write(viewer, frame, subscription->needs_snapshot ? metrics->snapshots : metrics->updates)) {
        subscription->cursor = board_position(subscription->topic->board).offset;
        subscription->needs_snapshot = false;
        subscription->next_send_ms = now.monotonic_ms + subscription->min_interval_ms;
    }
}

void subscription_judge_ahead(struct subscription *subscription)
{
    const struct topic *topic = subscription->topic;
    const struct position position = {.epoch = board_position(topic->board).epoch,
                                      .offset = subscription->cursor,
                                      .nonce = subscription->ahead_nonce};
    subscription->is_ahead = false;
    subscription->needs_snapshot = board_knows(topic->board, &position) != RESULT_OK;
    metric_add(
        subscription->needs_snapshot ? topic->hub->metrics.resync_unknown : topic->hub->metrics.resumed, 1);
}

/* true: the board has not got there yet. */
static bool must_wait(struct subscription *subscription, struct moment now)
{
    struct hub *hub = subscription->topic->hub;
    bool is_there = board_position(subscription->topic->board).offset >= subscription->cursor;
    /* What we have while we are cut off is old: the viewer stays with what it has. */
    if (subscription->is_ahead && hub->is_cut_off && now.monotonic_ms >= subscription->ahead_until_ms) {
        subscription->ahead_until_ms = now.monotonic_ms + AHEAD_WAIT_MS;
    }
    if (subscription->is_ahead && !is_there && now.monotonic_ms < subscription->ahead_until_ms) {
        wheel_arm(&hub->due_wheel, &subscription->due, subscription->ahead_until_ms);
        hub_wake(hub, subscription->ahead_until_ms);
        return true;
    }
    if (subscription->is_ahead) {
        subscription_judge_ahead(subscription);
    }
    return false;
}

void subscription_serve(struct subscription *subscription, struct moment now)
{
    struct viewer *viewer = subscription->viewer;
    if (!is_behind(subscription) || viewer->state == VIEWER_CLOSING || must_wait(subscription, now) ||
        !is_behind(subscription)) {
        return;
    }
    /* A first snapshot is never held back: the page would stay empty. */
    if (!subscription->needs_snapshot) {
        if (subscription->is_hidden) {
            return;
        }
        if (now.monotonic_ms < subscription->next_send_ms) {
            wheel_arm(&viewer->hub->due_wheel, &subscription->due, subscription->next_send_ms);
            hub_wake(viewer->hub, subscription->next_send_ms);
            return;
        }
    }
    if (!viewer_can_write(viewer)) {
        metric_add(viewer->hub->metrics.slow, viewer->awaits_writable ? 0 : 1);
        viewer_await_writable(viewer);
        return;
    }
    subscription_send(subscription, now);
}

/* ---- subscribing ---- */

static struct subscription *subscription_find(const struct viewer *viewer, const struct topic *topic)
{
    LIST_EACH(node, &viewer->subscriptions) {
        struct subscription *subscription = LIST_ITEM(node, struct subscription, in_viewer);
        if (subscription->topic == topic) {
            return subscription;
        }
    }
    return NULL;
}

static struct subscription *subscription_create(struct viewer *viewer, struct topic_view *view)
{
    struct topic *topic = view->topic;
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (!subscription) {
        return NULL;
    }
    subscription->viewer = viewer;
    subscription->topic = topic;
    subscription->view = view;
    view->watchers++;
    wheel_entry_init(&subscription->due);
    list_append(&viewer->subscriptions, &subscription->in_viewer);
    list_append(&topic->subscriptions, &subscription->in_topic);
    viewer->subscription_count++;
    topic->subscription_count++;
    metric_set(viewer->hub->metrics.subscriptions, ++viewer->hub->subscription_count);
    return subscription;
}

void subscription_destroy(struct subscription *subscription)
{
    struct hub *hub = subscription->viewer->hub;
    wheel_disarm(&hub->due_wheel, &subscription->due);
    topic_step_over(subscription->topic, subscription);
    subscription->view->watchers--;
    list_remove(&subscription->in_viewer);
    list_remove(&subscription->in_topic);
    subscription->viewer->subscription_count--;
    subscription->topic->subscription_count--;
    metric_set(hub->metrics.subscriptions, --hub->subscription_count);
    free(subscription);
}

static void quality_grant(struct subscription *subscription, const struct viewer_quality *quality)
{
    if (quality->has_max_rate) {
        subscription->max_rate = quality->max_rate;
        subscription->min_interval_ms =
            quality->max_rate > 0 ? (uint32_t)ceil(1000.0 / quality->max_rate) : 0;
        subscription->next_send_ms = 0;
        wheel_disarm(&subscription->viewer->hub->due_wheel, &subscription->due); /* serving arms it again */
    }
    if (quality->has_hidden) {
        subscription->is_hidden = quality->is_hidden;
    }
}

/* Where the viewer stands, and what that means for it. */
static enum resume_outcome cursor_place(struct subscription *subscription, const struct position *told,
                                        struct moment now)
{
    struct position unmarked;
    const struct position *position = told ? &unmarked : NULL;
    if (told) { /* of another view: then no board knows it */
        unmarked = *told;
        unmarked.nonce ^= view_mark(subscription->view->rules);
    }
    const struct topic *topic = subscription->topic;
    const struct hub_metrics *metrics = &topic->hub->metrics;
    const struct position at = board_position(topic->board);
    if (position && topic->may_lag && position->epoch == at.epoch && position->offset > at.offset) {
        subscription->is_ahead = true;
        subscription->cursor = position->offset;
        subscription->ahead_nonce = position->nonce;
        subscription->ahead_until_ms = now.monotonic_ms + AHEAD_WAIT_MS;
        return RESUME_WHOLE; /* as far as we know */
    }
    if (!position || board_knows(topic->board, position) != RESULT_OK) {
        metric_add(position ? metrics->resync_unknown : metrics->resync_first, 1);
        subscription->needs_snapshot = true;
        return RESUME_SNAPSHOT;
    }
    metric_add(metrics->resumed, 1);
    subscription->needs_snapshot = false;
    subscription->cursor = position->offset;
    return position->offset < topic->flushed ? RESUME_UPDATE : RESUME_WHOLE;
}

static void say_subscribed(const struct subscription *subscription, enum resume_outcome resume)
{
    const struct subscribed_message message = {
        .board = board_id(subscription->topic->board),
        .resume = resume,
        .max_rate = subscription->max_rate,
        .is_hidden = subscription->is_hidden,
    };
    struct bytes *scratch = &subscription->viewer->hub->scratch;
    bytes_clear(scratch);
    subscribed_encode(&message, scratch);
    viewer_say(subscription->viewer, "subscribed", scratch);
}

enum result viewer_subscribe(struct viewer *viewer, struct topic_view *view, const struct position *position,
                             const struct viewer_quality *quality, struct moment now)
{
    if (viewer->state == VIEWER_CLOSING) {
        return RESULT_CLOSED;
    }
    struct subscription *old = subscription_find(viewer, view->topic);
    if (old) {
        subscription_destroy(old);
    }
    if (viewer->subscription_count >= SUBSCRIPTIONS_MAX) {
        return RESULT_TOO_MANY;
    }
    struct subscription *subscription = subscription_create(viewer, view);
    if (!subscription) {
        return RESULT_NO_MEMORY;
    }
    quality_grant(subscription, quality);
    enum resume_outcome resume = cursor_place(subscription, position, now);
    if (viewer->form != WIRE_SSE) {
        say_subscribed(subscription, resume);
    } else if (resume == RESUME_WHOLE && !subscription->is_ahead) {
        topic_heartbeat_one(view, viewer, now);
    }
    subscription_serve(subscription, now);
    return RESULT_OK;
}

enum result viewer_set_quality(struct viewer *viewer, struct topic *topic,
                               const struct viewer_quality *quality, struct moment now)
{
    struct subscription *subscription = subscription_find(viewer, topic);
    if (!subscription) {
        return RESULT_NOT_SUBSCRIBED;
    }
    quality_grant(subscription, quality);
    enum resume_outcome resume = subscription->needs_snapshot                         ? RESUME_SNAPSHOT
                                 : is_behind(subscription) && !subscription->is_ahead ? RESUME_UPDATE
                                                                                      : RESUME_WHOLE;
    say_subscribed(subscription, resume);
    subscription_serve(subscription, now);
    return RESULT_OK;
}

enum result viewer_unsubscribe(struct viewer *viewer, struct topic *topic)
{
    struct subscription *subscription = subscription_find(viewer, topic);
    if (!subscription) {
        return RESULT_NOT_SUBSCRIBED;
    }
    subscription_destroy(subscription);
    struct bytes *scratch = &viewer->hub->scratch;
    bytes_clear(scratch);
    unsubscribed_encode(board_id(topic->board), scratch);
    viewer_say(viewer, "unsubscribed", scratch);
    return RESULT_OK;
}
