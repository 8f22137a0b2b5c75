/*
 * Small arrays grown one by one: there are as many entries as KPIs that name a channel, and they change with the
 * definitions only.
 */
#include "sources/redis_feeds.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FEEDS = 65536 };

void redis_feeds_init(struct redis_feeds *feeds)
{
    *feeds = (struct redis_feeds){0};
    map_init(&feeds->channels, MAX_FEEDS);
    map_init(&feeds->patterns, MAX_FEEDS);
}

static void feed_destroy(struct redis_feed *feed)
{
    for (size_t i = 0; i < feed->field_count; i++) {
        free(feed->fields[i]);
    }
    for (size_t i = 0; i < feed->reread_count; i++) {
        free(feed->rereads[i].key);
        free(feed->rereads[i].field);
    }
    free(feed->fields);
    free(feed->rereads);
    free(feed->name);
    free(feed);
}

void redis_feeds_finish(struct redis_feeds *feeds)
{
    for (size_t i = 0; i < feeds->count; i++) {
        feed_destroy(feeds->at[i]);
    }
    free(feeds->at);
    map_finish(&feeds->channels);
    map_finish(&feeds->patterns);
    redis_feeds_init(feeds);
}

struct redis_feed *redis_feeds_find(const struct redis_feeds *feeds, enum redis_mapping_kind kind,
                                    const char *name, size_t length)
{
    return map_get(kind == REDIS_MAPPING_PATTERN ? &feeds->patterns : &feeds->channels, name, length);
}

static struct redis_feed *add_feed(struct redis_feeds *feeds, enum redis_mapping_kind kind, const char *name)
{
    if (feeds->count == feeds->capacity) {
        size_t capacity = feeds->capacity ? feeds->capacity * 2 : 16;
        struct redis_feed **grown = realloc(feeds->at, capacity * sizeof(struct redis_feed *));
        if (!grown) {
            return NULL;
        }
        feeds->at = grown;
        feeds->capacity = capacity;
    }
    struct redis_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        return NULL;
    }
    feed->kind = kind;
    feed->form = REDIS_FORM_KPI;
    feed->name = strdup(name);
    struct map *map = kind == REDIS_MAPPING_PATTERN ? &feeds->patterns : &feeds->channels;
    if (!feed->name || map_put(map, name, strlen(name), feed) != RESULT_OK) {
        feed_destroy(feed);
        return NULL;
    }
    feeds->at[feeds->count++] = feed;
    return feed;
}

static struct redis_feed *find_or_add(struct redis_feeds *feeds, enum redis_mapping_kind kind,
                                      const char *name)
{
    struct redis_feed *feed = redis_feeds_find(feeds, kind, name, strlen(name));
    return feed ? feed : add_feed(feeds, kind, name);
}

static bool add_field(struct redis_feed *feed, const char *field)
{
    for (size_t i = 0; i < feed->field_count; i++) {
        if (strcmp(feed->fields[i], field) == 0) {
            return true;
        }
    }
    char **grown = realloc(feed->fields, (feed->field_count + 1) * sizeof *grown);
    if (!grown) {
        return false;
    }
    feed->fields = grown;
    feed->fields[feed->field_count] = strdup(field);
    return feed->fields[feed->field_count] && ++feed->field_count > 0;
}

static bool add_reread(struct redis_feed *feed, const char *key, const char *field)
{
    struct redis_reread *grown = realloc(feed->rereads, (feed->reread_count + 1) * sizeof *grown);
    if (!grown) {
        return false;
    }
    feed->rereads = grown;
    struct redis_reread *reread = &feed->rereads[feed->reread_count++];
    *reread = (struct redis_reread){.feed = feed, .key = strdup(key), .field = field ? strdup(field) : NULL};
    return reread->key && (!field || reread->field);
}

static bool add_mapping(struct redis_feeds *feeds, const struct redis_mapping *mapping)
{
    struct redis_feed *feed = find_or_add(feeds, mapping->kind, mapping->name);
    if (!feed) {
        return false;
    }
    feed->form = mapping->form;
    if (mapping->form == REDIS_FORM_KPI && !add_field(feed, mapping->kpi)) {
        return false;
    }
    return !mapping->reread_key || add_reread(feed, mapping->reread_key, mapping->kpi);
}

static bool add_kpi(struct redis_feeds *feeds, const struct kpi *kpi)
{
    struct redis_feed *feed = find_or_add(feeds, REDIS_MAPPING_CHANNEL, kpi->source_channel);
    if (!feed) {
        return false;
    }
    if (feed->form == REDIS_FORM_ENVELOPE) {
        return true; /* its messages name the KPI, or do not mean it */
    }
    return add_field(feed, kpi->id) && (!kpi->source_key || add_reread(feed, kpi->source_key, kpi->id));
}

enum result redis_feeds_fill(struct redis_feeds *feeds, const struct catalog *catalog,
                             const struct redis_mapping *mappings, size_t mapping_count)
{
    for (size_t i = 0; i < mapping_count; i++) {
        if (mappings[i].kind != REDIS_MAPPING_STREAM && !add_mapping(feeds, &mappings[i])) {
            return RESULT_NO_MEMORY;
        }
    }
    for (size_t i = 0; catalog && i < catalog_kpi_count(catalog); i++) {
        const struct kpi *kpi = catalog_kpi_at(catalog, i);
        if (kpi->source_channel && !add_kpi(feeds, kpi)) {
            return RESULT_NO_MEMORY;
        }
    }
    return RESULT_OK;
}
