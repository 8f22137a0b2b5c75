/*
 * Topics, the flush, heartbeats, drain. Deadlines live in two wheels (flush
 * windows, rate-limited viewers). What is due and visits many viewers, a flush or a heartbeat, is a walk; walks
 * queue, and hub_run() does as many visits as fit its slice. The host is asked for one wake-up at a time.
 *
 * A pass of a flush that is cut into slices gives each viewer the head as it is when its turn comes: what changes between
 * slices goes to the rest of the viewers merged, and to those told before by another pass.
 *
 * Nothing here is freed during a walk: a viewer that fails a write is marked
 * closing and its transport reports the end later.
 */
#include "fanout/hub.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "fanout/hub_internal.h"
#include "protocol/gateway_message.h"

enum {
    FLUSH_TICK_MS = 4,
    DUE_TICK_MS = 10,
    SCRATCH_MAX_BYTES = 65536,
    VISITS_PER_LOOK = 32, /* at the clock: about 2 % of a slice */
};

/* Each may be NULL but visit. */
struct walk_kind {
    void (*on_begin)(struct walk *walk);
    void (*on_slice)(struct walk *walk); /* it begins, or goes on after the loop had its turn */
    void (*visit)(struct walk *walk, const struct list_node *member, struct moment now);
    void (*on_end)(struct walk *walk);
};
static const struct walk_kind flush_kind, heartbeat_kind, idle_kind;

static void walk_init(struct walk *walk, const struct walk_kind *kind, struct list_node *head)
{
    list_init(&walk->queued);
    walk->kind = kind;
    walk->head = head;
    walk->next = NULL;
}

static bool hub_metrics_register(struct hub_metrics *m, struct metrics *metrics)
{
    static const char frames[] = "Frames handed to a transport, by kind.";
    static const char resyncs[] = "Snapshots sent instead of an update, by reason.";
    m->viewers[WIRE_WS] = metrics_gauge(metrics, "gw_viewers", "form=\"ws\"", "Connected viewers.");
    m->viewers[WIRE_SSE] = metrics_gauge(metrics, "gw_viewers", "form=\"sse\"", "Connected viewers.");
    m->viewers[WIRE_WS_DEFLATE] = m->viewers[WIRE_WS]; /* what they are: their transport's form */
    m->deflating = metrics_gauge(metrics, "gw_deflate_viewers", NULL,
                                 "Connected viewers that negotiated permessage-deflate.");
    m->subscriptions =
        metrics_gauge(metrics, "gw_subscriptions", NULL, "Boards watched, summed over viewers.");
    m->updates = metrics_counter(metrics, "gw_frames_total", "kind=\"update\"", frames);
    m->snapshots = metrics_counter(metrics, "gw_frames_total", "kind=\"snapshot\"", frames);
    m->heartbeats = metrics_counter(metrics, "gw_frames_total", "kind=\"heartbeat\"", frames);
    m->answers = metrics_counter(metrics, "gw_frames_total", "kind=\"answer\"", frames);
    m->bytes = metrics_counter(metrics, "gw_bytes_total", NULL, "Bytes of frames handed to transports.");
    m->coalesced = metrics_counter(
        metrics, "gw_coalesced_total", NULL,
        "Times a viewer was left behind its cursor at a flush, to get one merged update later.");
    m->slow = metrics_counter(metrics, "gw_slow_total", NULL,
                              "Times a viewer could not take bytes when it was due some.");
    m->flushes = metrics_counter(metrics, "gw_flushes_total", NULL, "Flushes of a board to its viewers.");
    m->push_seconds = metrics_histogram(
        metrics, "gw_push_seconds", NULL,
        "From the end of a flush window (for critical KPIs: from the change) to the last write of its flush.",
        METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    m->resync_first = metrics_counter(metrics, "gw_resync_total", "reason=\"first\"", resyncs);
    m->resync_unknown = metrics_counter(metrics, "gw_resync_total", "reason=\"unknown_position\"", resyncs);
    m->resync_reset = metrics_counter(metrics, "gw_resync_total", "reason=\"new_epoch\"", resyncs);
    m->resync_failover = metrics_counter(metrics, "gw_resync_total", "reason=\"failover\"", resyncs);
    m->resumed =
        metrics_counter(metrics, "gw_resumed_total", NULL, "Subscriptions resumed from a known position.");
    m->views = metrics_gauge(metrics, "gw_views", NULL,
                             "Views of boards that are kept: what is seen by one kind of viewer, or was.");
    m->views_refused = metrics_counter(metrics, "gw_views_refused_total", NULL,
                                       "Viewers refused because a board had too many views.");
    static const char rejudged[] =
        "Subscriptions whose rights changed with roles or definitions: another view, or none.";
    m->views_changed = metrics_counter(metrics, "gw_views_rejudged_total", "outcome=\"changed\"", rejudged);
    m->views_ended = metrics_counter(metrics, "gw_views_rejudged_total", "outcome=\"ended\"", rejudged);
    return m->push_seconds != NULL && m->views_ended != NULL;
}

struct hub *hub_create(const struct hub_options *options, const struct hub_host *host,
                       struct metrics *metrics, struct moment now)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) {
        return NULL;
    }
    hub->options = *options;
    hub->host = *host;
    map_init(&hub->topics, options->max_topics);
    list_init(&hub->topic_list);
    list_init(&hub->viewers);
    list_init(&hub->walks);
    list_init(&hub->flushed_now);
    walk_init(&hub->idle_walk, &idle_kind, &hub->viewers);
    wheel_init(&hub->flush_wheel, FLUSH_TICK_MS, now.monotonic_ms);
    wheel_init(&hub->due_wheel, DUE_TICK_MS, now.monotonic_ms);
    bytes_init(&hub->scratch, SCRATCH_MAX_BYTES);
    hub->wake_ms = UINT64_MAX;
    hub->next_heartbeat_ms = now.monotonic_ms + options->heartbeat_ms;
    hub->encoder = encoder_create(metrics, options->deflate_min_bytes);
    hub->node = strdup("");
    hub->build = strdup("");
    hub->catalog = strdup("");
    if (!hub->encoder || !hub->node || !hub->build || !hub->catalog ||
        !hub_metrics_register(&hub->metrics, metrics)) {
        goto fail;
    }
    hub_wake(hub, hub->next_heartbeat_ms);
    return hub;

fail:
    hub_destroy(hub);
    return NULL;
}

static void topic_destroy(struct topic *topic)
{
    wheel_disarm(&topic->hub->flush_wheel, &topic->flush);
    list_remove(&topic->in_hub);
    list_remove(&topic->flush_walk.queued);
    list_remove(&topic->heartbeat_walk.queued);
    list_remove(&topic->flushed_now);
    topic_views_finish(topic);
    free(topic);
}

void hub_destroy(struct hub *hub)
{
    if (!hub) {
        return;
    }
    assert(list_is_empty(&hub->viewers));
    LIST_EACH_SAFE(node, &hub->topic_list) {
        topic_destroy(LIST_ITEM(node, struct topic, in_hub));
    }
    map_finish(&hub->topics);
    for (size_t i = 0; i < hub->source_count; i++) {
        free((char *)(uintptr_t)hub->sources[i].name);
        free((char *)(uintptr_t)hub->sources[i].reason);
    }
    encoder_destroy(hub->encoder);
    bytes_finish(&hub->scratch);
    free(hub->node);
    free(hub->build);
    free(hub->catalog);
    free(hub);
}

struct encoder *hub_encoder(struct hub *hub)
{
    return hub->encoder;
}

static void text_replace(char **text, const char *with)
{
    char *copy = strdup(with);
    if (copy) { /* out of memory: the old text stays, which is only a label */
        free(*text);
        *text = copy;
    }
}

void hub_set_identity(struct hub *hub, const char *node, const char *build, bool is_demo)
{
    text_replace(&hub->node, node);
    text_replace(&hub->build, build);
    hub->is_demo = is_demo;
    encoder_set_demo(hub->encoder, is_demo);
    LIST_EACH(item, &hub->topic_list) {
        topic_views_clear(LIST_ITEM(item, const struct topic, in_hub));
    }
}

static void heartbeat_soon(struct hub *hub, struct moment now)
{
    hub->next_heartbeat_ms = now.monotonic_ms;
    hub_wake(hub, now.monotonic_ms);
}

void hub_set_catalog(struct hub *hub, const char *hash, struct moment now)
{
    text_replace(&hub->catalog, hash);
    heartbeat_soon(hub, now);
}

/* ---- topics ---- */

struct topic *hub_add_topic(struct hub *hub, struct board *board)
{
    struct topic *topic = calloc(1, sizeof *topic);
    if (!topic) {
        return NULL;
    }
    topic->hub = hub;
    topic->board = board;
    topic_views_init(topic);
    list_init(&topic->subscriptions);
    walk_init(&topic->flush_walk, &flush_kind, &topic->subscriptions);
    walk_init(&topic->heartbeat_walk, &heartbeat_kind, &topic->subscriptions);
    list_init(&topic->flushed_now);
    wheel_entry_init(&topic->flush);
    topic->flushed = board_position(board).offset;
    topic->flush_from = topic->flushed;
    topic->pass_flushed = topic->flushed;
    topic->epoch = board_position(board).epoch;
    if (map_put(&hub->topics, board_id(board), strlen(board_id(board)), topic) != RESULT_OK) {
        free(topic);
        return NULL;
    }
    list_append(&hub->topic_list, &topic->in_hub);
    return topic;
}

void hub_remove_topic(struct hub *hub, struct topic *topic)
{
    LIST_EACH_SAFE(node, &topic->subscriptions) {
        struct subscription *subscription = LIST_ITEM(node, struct subscription, in_topic);
        struct viewer *viewer = subscription->viewer;
        subscription_destroy(subscription);
        if (viewer->form == WIRE_SSE) {
            viewer_close(viewer, CLOSE_UNKNOWN_BOARD); /* it was for this board only */
        } else {
            viewer_say_error(viewer, CLOSE_UNKNOWN_BOARD, board_id(topic->board), "the board was removed");
        }
    }
    (void)map_remove(&hub->topics, board_id(topic->board), strlen(board_id(topic->board)));
    topic_destroy(topic);
}

struct topic *hub_topic(const struct hub *hub, const char *board)
{
    return map_get(&hub->topics, board, strlen(board));
}

void topic_set_may_lag(struct topic *topic, bool may_lag)
{
    topic->may_lag = may_lag;
}

struct board *topic_board(struct topic *topic)
{
    return topic->board;
}

uint32_t topic_viewer_count(const struct topic *topic)
{
    return topic->subscription_count;
}

uint32_t hub_viewer_count(const struct hub *hub)
{
    return hub->viewer_count;
}

/* ---- walks ---- */

static void walk_queue(struct hub *hub, struct walk *walk)
{
    if (list_is_empty(&walk->queued)) {
        list_append(&hub->walks, &walk->queued);
    }
}

static bool walk_is_under_way(const struct walk *walk)
{
    return walk->next != NULL;
}

static void walk_step_over(struct walk *walk, const struct list_node *member)
{
    if (walk->next == member) {
        walk->next = member->next;
    }
}

void topic_step_over(struct topic *topic, const struct subscription *subscription)
{
    walk_step_over(&topic->flush_walk, &subscription->in_topic);
    walk_step_over(&topic->heartbeat_walk, &subscription->in_topic);
}

void hub_step_over(struct hub *hub, const struct viewer *viewer)
{
    walk_step_over(&hub->idle_walk, &viewer->in_hub);
}

static bool slice_is_over(const struct hub *hub)
{
    return hub->host.now_us(hub->host.context) >= hub->slice_ends_us;
}

/* false: the slice ended first. */
static bool walk_go_on(struct hub *hub, struct walk *walk, struct moment now)
{
    const struct walk_kind *kind = walk->kind;
    if (!walk_is_under_way(walk)) {
        walk->next = walk->head->next;
        if (kind->on_begin) {
            kind->on_begin(walk);
        }
    }
    if (kind->on_slice) {
        kind->on_slice(walk);
    }
    for (unsigned visits = 1; walk->next != walk->head; visits++) {
        const struct list_node *member = walk->next;
        walk->next = member->next;
        kind->visit(walk, member, now);
        if (visits % VISITS_PER_LOOK == 0 && slice_is_over(hub)) {
            break;
        }
    }
    if (walk->next != walk->head) {
        return false;
    }
    walk->next = NULL;
    list_remove(&walk->queued);
    if (kind->on_end) {
        kind->on_end(walk);
    }
    return true;
}

/* ---- flush ---- */

void hub_wake(struct hub *hub, uint64_t monotonic_ms)
{
    if (monotonic_ms < hub->wake_ms) {
        hub->wake_ms = monotonic_ms;
        hub->host.wake_at(hub->host.context, monotonic_ms);
    }
}

void topic_make_urgent(struct hub *hub, struct topic *topic)
{
    wheel_disarm(&hub->flush_wheel, &topic->flush);
    topic->has_changed_since = walk_is_under_way(&topic->flush_walk);
    walk_queue(hub, &topic->flush_walk);
}

static bool topic_is_urgent(const struct topic *topic)
{
    return walk_is_under_way(&topic->flush_walk) ? topic->has_changed_since
                                                 : !list_is_empty(&topic->flush_walk.queued);
}

void hub_board_changed(struct hub *hub, struct topic *topic, uint32_t coalesce_ms, struct moment now)
{
    uint64_t promised_us = hub->host.now_us(hub->host.context) + (uint64_t)coalesce_ms * 1000;
    if (topic->promised_us == 0 || promised_us < topic->promised_us) {
        topic->promised_us = promised_us;
    }
    if (topic_is_urgent(topic)) {
        return;
    }
    if (coalesce_ms == 0) {
        topic_make_urgent(hub, topic);
        hub_wake(hub, now.monotonic_ms);
        return;
    }
    uint64_t due_ms = now.monotonic_ms + coalesce_ms;
    if (!wheel_entry_is_armed(&topic->flush) || due_ms < topic->flush.due_ms) {
        wheel_arm(&hub->flush_wheel, &topic->flush, due_ms);
        hub_wake(hub, due_ms);
    }
}

void hub_board_rebased(struct hub *hub, struct topic *topic, bool has_common, uint64_t common,
                       struct moment now)
{
    const struct position at = board_position(topic->board);
    struct metric *reason =
        at.epoch != topic->epoch ? hub->metrics.resync_reset : hub->metrics.resync_failover;
    LIST_EACH(node, &topic->subscriptions) {
        struct subscription *subscription = LIST_ITEM(node, struct subscription, in_topic);
        if (subscription->is_ahead) {
            if (at.epoch != topic->epoch || at.offset >= subscription->cursor) {
                subscription_judge_ahead(subscription);
            }
        } else if (!subscription->needs_snapshot && (!has_common || subscription->cursor > common)) {
            subscription->needs_snapshot = true;
            metric_add(reason, 1);
        }
    }
    /* Who stays is behind what the flush that follows reaches, and its shared frame begins where they may stand. */
    uint64_t shared = has_common ? common : at.offset;
    topic->flushed = topic->flushed < shared ? topic->flushed : shared;
    topic->flush_from = topic->flushed;
    topic->pass_flushed = topic->flushed;
    topic->epoch = at.epoch;
    topic_views_clear(topic);
    topic_make_urgent(hub, topic);
    hub_wake(hub, now.monotonic_ms);
}

void hub_set_cut_off(struct hub *hub, bool is_cut_off)
{
    hub->is_cut_off = is_cut_off;
}

void hub_board_reset(struct hub *hub, struct topic *topic, struct moment now)
{
    hub_board_rebased(hub, topic, false, 0, now);
}

static void flush_begin(struct walk *walk)
{
    struct topic *topic = LIST_ITEM(walk, struct topic, flush_walk);
    topic->flush_from = topic->pass_flushed; /* the pass before told its first viewers no more than this */
    topic->pass_flushed = board_position(topic->board).offset;
    /* Not 0: the pass before ended in this very slice, and its frames have not left yet. */
    if (topic->leaving_us == 0) {
        topic->leaving_us = topic->promised_us;
    }
    topic->promised_us = 0;
}

static void flush_slice(struct walk *walk)
{
    struct topic *topic = LIST_ITEM(walk, struct topic, flush_walk);
    topic->flushed = board_position(topic->board).offset;
}

static const struct list_node *ahead(const struct list_node *member, const struct list_node *head,
                                     unsigned steps)
{
    for (; steps > 0 && member != head; steps--) {
        member = member->next;
    }
    return member != head ? member : NULL;
}

/*
 * Of ten thousand viewers none is left in the processor's cache since the flush before. What the next visits will read is called
 * for a visit or more before it is needed, one pointer at a time: each leads to the next.
 */
static void approach(const struct list_node *member, const struct list_node *head)
{
    enum { VIEWERS_AHEAD = 2 };
    const struct list_node *near = ahead(member, head, VIEWERS_AHEAD);
    const struct list_node *next = near ? ahead(near, head, 1) : NULL;
    const struct list_node *far = next ? ahead(next, head, 1) : NULL;
    if (far) {
        __builtin_prefetch(far->next);
        __builtin_prefetch(LIST_ITEM(far, const struct subscription, in_topic)->viewer);
    }
    if (next) {
        __builtin_prefetch(LIST_ITEM(next, const struct subscription, in_topic)->viewer->transport);
    }
    if (near) {
        const struct viewer *viewer = LIST_ITEM(near, const struct subscription, in_topic)->viewer;
        if (viewer->ops->approach) {
            viewer->ops->approach(viewer->transport);
        }
    }
}

static void flush_visit(struct walk *walk, const struct list_node *member, struct moment now)
{
    const struct topic *topic = LIST_ITEM(walk, const struct topic, flush_walk);
    approach(member, walk->head);
    struct subscription *subscription = LIST_ITEM(member, struct subscription, in_topic);
    subscription_serve(subscription, now);
    if (subscription->cursor < topic->flushed) {
        metric_add(topic->hub->metrics.coalesced, 1);
    }
}

static void flush_end(struct walk *walk)
{
    struct topic *topic = LIST_ITEM(walk, struct topic, flush_walk);
    struct hub *hub = topic->hub;
    metric_add(hub->metrics.flushes, 1);
    list_remove(&topic->flushed_now); /* its second pass in this slice */
    list_append(&hub->flushed_now, &topic->flushed_now);
    if (topic->has_changed_since) {
        topic->has_changed_since = false;
        walk_queue(hub, walk);
    }
}

static const struct walk_kind flush_kind = {
    .on_begin = flush_begin,
    .on_slice = flush_slice,
    .visit = flush_visit,
    .on_end = flush_end,
};

/* The last frame of their flush has left. */
static void flushes_account(struct hub *hub)
{
    while (!list_is_empty(&hub->flushed_now)) {
        struct topic *topic = LIST_ITEM(hub->flushed_now.next, struct topic, flushed_now);
        list_remove(&topic->flushed_now);
        if (topic->leaving_us != 0) {
            uint64_t now_us = hub->host.now_us(hub->host.context);
            uint64_t late_us = now_us > topic->leaving_us ? now_us - topic->leaving_us : 0;
            metric_observe(hub->metrics.push_seconds, (double)late_us / 1e6);
            topic->leaving_us = 0;
        }
    }
}

static void on_flush_due(void *context, struct wheel_entry *entry)
{
    topic_make_urgent(context, LIST_ITEM(entry, struct topic, flush));
}

/* ---- heartbeats ---- */

/* view may be NULL: a heartbeat for viewers that watch nothing. */
static struct frame *heartbeat_frame(struct hub *hub, const struct topic_view *view, enum wire_form form,
                                     struct moment now)
{
    struct heartbeat_message message = {
        .now_ms = now.wall_ms,
        .catalog = hub->catalog,
        .is_demo = hub->is_demo,
        .sources = hub->sources,
        .source_count = hub->source_count,
    };
    if (view) {
        message.board = board_id(view->topic->board);
        message.position = board_position(view->topic->board);
        message.position.nonce ^= view_mark(view->rules);
    }
    bytes_clear(&hub->scratch);
    heartbeat_encode(&message, &hub->scratch);
    if (bytes_failed(&hub->scratch)) {
        return NULL;
    }
    return frame_create(form, "heartbeat", NULL, hub->scratch.at, hub->scratch.length);
}

void topic_heartbeat_one(const struct topic_view *view, struct viewer *viewer, struct moment now)
{
    struct frame *frame = heartbeat_frame(viewer->hub, view, (enum wire_form)viewer->form, now);
    viewer_say_frame(viewer, frame);
    frame_unref(frame);
}

/* A viewer that cannot take bytes gets no heartbeat: what it will read next is newer. */
static void heartbeat_write(struct viewer *viewer, struct topic_view *view, struct moment now)
{
    struct hub *hub = viewer->hub;
    /* Some 300 bytes every 10 s: not worth a frame of their own for those who could inflate it. */
    enum wire_form form = viewer->form == WIRE_SSE ? WIRE_SSE : WIRE_WS;
    struct frame **frame = view ? &view->heartbeats[form] : &hub->heartbeats[form];
    if (!*frame) {
        *frame = heartbeat_frame(hub, view, form, now);
    }
    if (*frame && viewer_can_write(viewer)) {
        (void)viewer_write(viewer, *frame, hub->metrics.heartbeats); /* a failure has marked it closing */
    }
}

/* The frames of one slice: the next says another time. */
static void heartbeats_forget(struct hub *hub)
{
    for (int form = 0; form < WIRE_FORM_COUNT; form++) {
        frame_unref(hub->heartbeats[form]);
        hub->heartbeats[form] = NULL;
    }
}

static void heartbeat_slice(struct walk *walk)
{
    topic_views_forget_heartbeats(LIST_ITEM(walk, const struct topic, heartbeat_walk));
}

static void heartbeat_visit(struct walk *walk, const struct list_node *member, struct moment now)
{
    (void)walk;
    const struct subscription *subscription = LIST_ITEM(member, const struct subscription, in_topic);
    /* To who is ahead, or waits for a snapshot, our position would look like another history. */
    if (!subscription->is_ahead && !subscription->needs_snapshot) {
        heartbeat_write(subscription->viewer, subscription->view, now);
    }
}

static const struct walk_kind heartbeat_kind = {.on_slice = heartbeat_slice,
                                                .visit = heartbeat_visit,
                                                .on_end = heartbeat_slice};

static void idle_slice(struct walk *walk)
{
    heartbeats_forget(LIST_ITEM(walk, struct hub, idle_walk));
}

static void idle_visit(struct walk *walk, const struct list_node *member, struct moment now)
{
    (void)walk;
    struct viewer *viewer = LIST_ITEM(member, struct viewer, in_hub);
    if (viewer->subscription_count == 0 && viewer->is_welcome) {
        heartbeat_write(viewer, NULL, now);
    }
}

static const struct walk_kind idle_kind = {.on_slice = idle_slice, .visit = idle_visit};

/*
 * A heartbeat of unflushed changes would name a position ahead of everyone;
 * that is allowed ("changes are being held back"), so it need not wait.
 */
static void heartbeats_queue(struct hub *hub, struct moment now)
{
    hub->next_heartbeat_ms = now.monotonic_ms + hub->options.heartbeat_ms;
    LIST_EACH(node, &hub->topic_list) {
        struct topic *topic = LIST_ITEM(node, struct topic, in_hub);
        if (topic->subscription_count > 0) {
            walk_queue(hub, &topic->heartbeat_walk);
        }
    }
    walk_queue(hub, &hub->idle_walk);
}

/* ---- a slice ---- */

static void walks_go_on(struct hub *hub, struct moment now)
{
    while (!list_is_empty(&hub->walks) &&
           walk_go_on(hub, LIST_ITEM(hub->walks.next, struct walk, queued), now) && !slice_is_over(hub)) {
    }
    heartbeats_forget(hub);
}

/* Viewers whose rate held them back. */
static void due_go_on(struct hub *hub, struct moment now)
{
    struct wheel_entry *entry = NULL;
    for (unsigned visits = 1; (entry = wheel_take(&hub->due_wheel)) != NULL; visits++) {
        subscription_serve(LIST_ITEM(entry, struct subscription, due), now);
        if (visits % VISITS_PER_LOOK == 0 && slice_is_over(hub)) {
            return;
        }
    }
}

static uint64_t next_slice_ms(const struct hub *hub, struct moment now)
{
    if (!list_is_empty(&hub->walks)) {
        return now.monotonic_ms;
    }
    uint64_t next = hub->next_heartbeat_ms;
    uint64_t flush = wheel_next_due_ms(&hub->flush_wheel);
    uint64_t served = wheel_next_due_ms(&hub->due_wheel);
    next = flush < next ? flush : next;
    return served < next ? served : next;
}

void hub_run(struct hub *hub, struct moment now)
{
    hub->wake_ms = UINT64_MAX;
    hub->slice_ends_us = hub->host.now_us(hub->host.context) + HUB_SLICE_US;
    wheel_run(&hub->flush_wheel, now.monotonic_ms, on_flush_due, hub);
    wheel_advance(&hub->due_wheel, now.monotonic_ms);
    if (now.monotonic_ms >= hub->next_heartbeat_ms) {
        heartbeats_queue(hub, now);
    }
    if (hub->host.hold_writes) {
        hub->host.hold_writes(hub->host.context);
    }
    /* In turns: neither may take every slice. */
    bool is_due_first = hub->is_due_late;
    hub->is_due_late = false;
    if (is_due_first) {
        due_go_on(hub, now);
    }
    walks_go_on(hub, now);
    if (!is_due_first && slice_is_over(hub)) {
        hub->is_due_late = true;
    } else if (!is_due_first) {
        due_go_on(hub, now);
    }
    if (hub->host.release_writes) {
        hub->host.release_writes(hub->host.context);
    }
    flushes_account(hub);
    hub_wake(hub, next_slice_ms(hub, now));
}

/* ---- sources, welcome, drain ---- */

static struct source_health *source_find_or_add(struct hub *hub, const char *name)
{
    for (size_t i = 0; i < hub->source_count; i++) {
        if (strcmp(hub->sources[i].name, name) == 0) {
            return &hub->sources[i];
        }
    }
    if (hub->source_count == HUB_SOURCES_MAX) {
        return NULL;
    }
    char *copy = strdup(name);
    if (!copy) {
        return NULL;
    }
    struct source_health *source = &hub->sources[hub->source_count++];
    *source = (struct source_health){.name = copy, .is_up = true};
    return source;
}

void hub_report_source(struct hub *hub, const char *name, bool is_up, const char *reason, struct moment now)
{
    struct source_health *source = source_find_or_add(hub, name);
    if (!source) {
        return;
    }
    bool has_turned = source->is_up != is_up;
    source->is_up = is_up;
    if (is_up) {
        source->heard_ms = now.wall_ms;
    }
    free((char *)(uintptr_t)source->reason);
    source->reason = !is_up && reason ? strdup(reason) : NULL;
    if (has_turned) {
        heartbeat_soon(hub, now);
    }
}

size_t hub_sources(const struct hub *hub, const struct source_health **out_sources)
{
    *out_sources = hub->sources;
    return hub->source_count;
}

void hub_welcome(struct hub *hub, struct viewer *viewer, const int64_t *clock_ms, struct moment now)
{
    const struct welcome_message message = {
        .now_ms = now.wall_ms,
        .node = hub->node,
        .build = hub->build,
        .catalog = hub->catalog,
        .heartbeat_ms = hub->options.heartbeat_ms,
        .is_demo = hub->is_demo,
        .has_clock = clock_ms != NULL,
        .clock_ms = clock_ms ? *clock_ms : 0,
    };
    bytes_clear(&hub->scratch);
    welcome_encode(&message, &hub->scratch);
    viewer->is_welcome = true;
    viewer_say(viewer, "welcome", &hub->scratch);
}

/* Even spacing with a random place inside each share: no bucket of time gets a crowd. */
void hub_drain(struct hub *hub, uint32_t window_ms, const char *url)
{
    uint64_t index = 0;
    uint64_t count = hub->viewer_count ? hub->viewer_count : 1;
    LIST_EACH(node, &hub->viewers) {
        struct viewer *viewer = LIST_ITEM(node, struct viewer, in_hub);
        uint64_t share = window_ms / count + 1;
        uint64_t delay = index * window_ms / count + random_u64() % share;
        bytes_clear(&hub->scratch);
        moved_encode((uint32_t)delay, url, &hub->scratch);
        viewer_say(viewer, "moved", &hub->scratch);
        index++;
    }
}

void hub_close_all(struct hub *hub, enum close_reason reason)
{
    LIST_EACH(node, &hub->viewers) {
        viewer_close(LIST_ITEM(node, struct viewer, in_hub), reason);
    }
}
