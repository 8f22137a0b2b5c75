/*
 * The viewers' door: whose eyes a board is seen with, on every way out. Roles are looked up in the definitions in force each
 * time, so a reload only has to have everybody who watches judged again.
 */
#include <string.h>

#include "pipeline.h"
#include "pipeline_internal.h"

struct audience pipeline_audience(const struct pipeline *pipeline, const char *roles)
{
    return audience_of(&pipeline->options.audience, pipeline->catalog, roles);
}

static enum result rights_of(const struct pipeline *pipeline, const char *roles, const char *board,
                             struct rights *out_rights)
{
    const struct board_definition *definition =
        pipeline->catalog ? catalog_board(pipeline->catalog, board) : NULL;
    if (!definition) {
        return RESULT_UNKNOWN_BOARD;
    }
    struct audience audience = pipeline_audience(pipeline, roles);
    if (!view_is_permitted(definition, audience)) {
        metric_add(pipeline->denials, 1);
        return RESULT_FORBIDDEN;
    }
    *out_rights = (struct rights){.catalog = pipeline->catalog, .board = definition, .audience = audience};
    return RESULT_OK;
}

static enum result judge(void *context, const char *roles, struct topic *topic, struct topic_view **out_view)
{
    const struct pipeline *pipeline = context;
    struct rights rights;
    enum result result = rights_of(pipeline, roles, board_id(topic_board(topic)), &rights);
    return result == RESULT_OK ? topic_find_view(topic, &rights, out_view) : result;
}

static enum result find_view(struct pipeline *pipeline, const char *roles, const char *board,
                             struct topic_view **out_view)
{
    struct topic *topic = hub_topic(pipeline->hub, board);
    return topic ? judge(pipeline, roles, topic, out_view) : RESULT_UNKNOWN_BOARD;
}

enum result pipeline_may_watch(const struct pipeline *pipeline, const char *roles, const char *board)
{
    struct rights rights;
    return rights_of(pipeline, roles, board, &rights);
}

bool pipeline_may_see(const struct kpi *kpi, struct audience audience)
{
    bool is_shown = kpi->board_count == 0;
    for (size_t i = 0; i < kpi->board_count && !is_shown; i++) {
        is_shown = view_is_permitted(kpi->boards[i], audience);
    }
    return is_shown && view_sight(kpi, audience) != SIGHT_NONE;
}

enum result pipeline_join(struct pipeline *pipeline, struct viewer *viewer, const char *board,
                          const struct position *position, const struct viewer_quality *quality)
{
    struct topic_view *view = NULL;
    enum result result = find_view(pipeline, viewer_roles(viewer), board, &view);
    return result == RESULT_OK ? viewer_subscribe(viewer, view, position, quality, pipeline->options.now())
                               : result;
}

void pipeline_rejudge(struct pipeline *pipeline, struct viewer *viewer)
{
    viewer_rejudge(viewer, judge, pipeline, pipeline->options.now());
}

void pipeline_rejudge_all(struct pipeline *pipeline)
{
    hub_rejudge(pipeline->hub, judge, pipeline, pipeline->options.now());
}

enum result pipeline_snapshot(struct pipeline *pipeline, const char *roles, const char *board,
                              const char **out_text, size_t *out_length, struct position *out_position)
{
    struct topic_view *view = NULL;
    enum result result = find_view(pipeline, roles, board, &view);
    if (result != RESULT_OK) {
        return result;
    }
    const struct board *content = topic_board(hub_topic(pipeline->hub, board));
    result = encoder_snapshot_text(hub_encoder(pipeline->hub), topic_view_cache(view), content,
                                   pipeline->options.now().wall_ms, out_text, out_length);
    if (result == RESULT_OK) {
        *out_position = board_position(content);
        out_position->nonce ^= view_mark(topic_view_rules(view));
    }
    return result;
}

enum result pipeline_definition(struct pipeline *pipeline, const char *roles, const char *board,
                                const char **out_text, size_t *out_length, const char **out_view)
{
    struct topic_view *view = NULL;
    enum result result = find_view(pipeline, roles, board, &view);
    if (result != RESULT_OK) {
        return result;
    }
    size_t length = 0;
    const char *text = view_definition(topic_view_rules(view), &length);
    if (!text) {
        return RESULT_NO_MEMORY;
    }
    *out_text = text;
    *out_length = length;
    *out_view = view_text(topic_view_rules(view));
    return RESULT_OK;
}
