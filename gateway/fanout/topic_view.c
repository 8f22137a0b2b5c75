/*
 * The views of a topic: found by what they see, made when somebody comes who sees something else, judged again when rights change.
 *
 * A view is only freed here, when nobody watches it; so whoever got one from topic_find_view() may use it until the next call.
 */
#include <stdlib.h>

#include "fanout/hub.h"
#include "fanout/hub_internal.h"

void topic_views_init(struct topic *topic)
{
    list_init(&topic->views);
}

static void heartbeats_forget(struct topic_view *view)
{
    for (int form = 0; form < WIRE_FORM_COUNT; form++) {
        frame_unref(view->heartbeats[form]);
        view->heartbeats[form] = NULL;
    }
}

static void count_view(const struct topic *topic, int change)
{
    struct metric *views = topic->hub->metrics.views;
    metric_set(views, metric_read(views) + change);
}

static void topic_view_destroy(struct topic_view *view)
{
    view->topic->view_count--;
    count_view(view->topic, -1);
    list_remove(&view->in_topic);
    heartbeats_forget(view);
    encoder_cache_finish(&view->cache);
    view_destroy(view->rules);
    free(view);
}

void topic_views_finish(struct topic *topic)
{
    LIST_EACH_SAFE(node, &topic->views) {
        topic_view_destroy(LIST_ITEM(node, struct topic_view, in_topic));
    }
}

void topic_views_clear(const struct topic *topic)
{
    LIST_EACH(node, &topic->views) {
        encoder_cache_clear(&LIST_ITEM(node, struct topic_view, in_topic)->cache);
    }
}

void topic_views_forget_heartbeats(const struct topic *topic)
{
    LIST_EACH(node, &topic->views) {
        heartbeats_forget(LIST_ITEM(node, struct topic_view, in_topic));
    }
}

struct encoder_cache *topic_view_cache(struct topic_view *view)
{
    return &view->cache;
}

struct view *topic_view_rules(struct topic_view *view)
{
    return view->rules;
}

/* ---- finding ---- */

static uint64_t id_of(const struct view *rules)
{
    return rules ? view_id(rules) : 0;
}

static struct topic_view *find(const struct topic *topic, uint64_t id)
{
    LIST_EACH(node, &topic->views) {
        struct topic_view *view = LIST_ITEM(node, struct topic_view, in_topic);
        if (id_of(view->rules) == id) {
            return view;
        }
    }
    return NULL;
}

/* Those that nobody watches go, the longest unused first, until `kept` of them are left. */
static void sweep(const struct topic *topic, size_t kept)
{
    size_t idle = 0;
    LIST_EACH(node, &topic->views) {
        idle += LIST_ITEM(node, const struct topic_view, in_topic)->watchers == 0 ? 1 : 0;
    }
    LIST_EACH_SAFE(node, &topic->views) {
        struct topic_view *view = LIST_ITEM(node, struct topic_view, in_topic);
        if (idle > kept && view->watchers == 0) {
            topic_view_destroy(view);
            idle--;
        }
    }
}

static struct topic_view *topic_view_create(struct topic *topic, struct view *rules)
{
    struct topic_view *view = calloc(1, sizeof *view);
    if (view) {
        view->topic = topic;
        view->rules = rules;
        encoder_cache_init(&view->cache, rules);
        list_append(&topic->views, &view->in_topic);
        topic->view_count++;
        count_view(topic, 1);
    }
    return view;
}

/* Other definitions, the same sight: its viewers need not notice. */
static void renew(struct topic_view *view, struct view *rules)
{
    encoder_cache_finish(&view->cache);
    view_destroy(view->rules);
    view->rules = rules;
    view->is_outdated = false;
    encoder_cache_init(&view->cache, rules);
}

static enum result make(struct topic *topic, struct topic_view *outdated, const struct rights *rights,
                        struct topic_view **out_view)
{
    struct view *rules = rights ? view_create(rights->catalog, rights->board, rights->audience) : NULL;
    if (rights && !rules) {
        return RESULT_NO_MEMORY;
    }
    if (outdated) {
        renew(outdated, rules);
        *out_view = outdated;
        return RESULT_OK;
    }
    *out_view = topic_view_create(topic, rules);
    if (!*out_view) {
        view_destroy(rules);
        return RESULT_NO_MEMORY;
    }
    return RESULT_OK;
}

enum result topic_find_view(struct topic *topic, const struct rights *rights, struct topic_view **out_view)
{
    struct topic_view *view = find(topic, rights ? view_id_of(rights->board, rights->audience) : 0);
    if (view && !view->is_outdated) {
        list_remove(&view->in_topic);
        list_append(&topic->views, &view->in_topic);
        *out_view = view;
        return RESULT_OK;
    }
    if (!view) {
        sweep(topic, topic->view_count < TOPIC_VIEWS_MAX ? TOPIC_VIEWS_IDLE_MAX - 1 : 0);
    }
    if (!view && topic->view_count >= TOPIC_VIEWS_MAX) {
        metric_add(topic->hub->metrics.views_refused, 1);
        return RESULT_FULL;
    }
    return make(topic, view, rights, out_view);
}

/* ---- judging again ---- */

static void subscription_end(struct subscription *subscription, enum result result)
{
    struct viewer *viewer = subscription->viewer;
    const char *board = board_id(subscription->topic->board);
    subscription_destroy(subscription);
    metric_add(viewer->hub->metrics.views_ended, 1);
    if (result == RESULT_FORBIDDEN && viewer->ops->on_withdrawn) {
        viewer->ops->on_withdrawn(viewer->transport, board);
    }
    if (result != RESULT_FORBIDDEN) {
        viewer_close(viewer, result == RESULT_FULL ? CLOSE_OVERLOADED : CLOSE_INTERNAL);
    } else if (viewer->form == WIRE_SSE) {
        viewer_close(viewer, CLOSE_FORBIDDEN); /* it was for this board only */
    } else {
        viewer_say_error(viewer, CLOSE_FORBIDDEN, board, NULL);
    }
}

/* true: it is due a snapshot. What it missed so far is of the view before, whose position is worth nothing in this one. */
static bool subscription_rejudge(struct subscription *subscription, hub_judge_fn *judge, void *context)
{
    const struct viewer *viewer = subscription->viewer;
    struct topic_view *before = subscription->view;
    struct topic_view *view = NULL;
    enum result result = judge(context, viewer->roles, subscription->topic, &view);
    if (result != RESULT_OK) {
        subscription_end(subscription, result);
        return false;
    }
    if (view == before) {
        return false;
    }
    before->watchers--;
    view->watchers++;
    subscription->view = view;
    subscription->needs_snapshot = true;
    subscription->is_ahead = false;
    metric_add(viewer->hub->metrics.views_changed, 1);
    return true;
}

void viewer_rejudge(struct viewer *viewer, hub_judge_fn *judge, void *context, struct moment now)
{
    LIST_EACH_SAFE(node, &viewer->subscriptions) {
        struct subscription *subscription = LIST_ITEM(node, struct subscription, in_viewer);
        if (subscription_rejudge(subscription, judge, context)) {
            subscription_serve(subscription, now);
        }
    }
}

void hub_rejudge(struct hub *hub, hub_judge_fn *judge, void *context, struct moment now)
{
    LIST_EACH(node, &hub->topic_list) {
        LIST_EACH(item, &LIST_ITEM(node, struct topic, in_hub)->views) {
            LIST_ITEM(item, struct topic_view, in_topic)->is_outdated = true;
        }
    }
    LIST_EACH(node, &hub->topic_list) {
        struct topic *topic = LIST_ITEM(node, struct topic, in_hub);
        bool is_changed = false;
        LIST_EACH_SAFE(item, &topic->subscriptions) {
            struct subscription *subscription = LIST_ITEM(item, struct subscription, in_topic);
            is_changed = subscription_rejudge(subscription, judge, context) || is_changed;
        }
        sweep(topic, 0);
        if (is_changed) { /* in slices: there may be many */
            topic_make_urgent(hub, topic);
            hub_wake(hub, now.monotonic_ms);
        }
    }
}
