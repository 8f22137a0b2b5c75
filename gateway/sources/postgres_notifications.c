/*
 * From a notification to a value: find the mapping, remember the key, read the row through the cache, submit it.
 *
 * Each key that was named is an entry: idle, queued, or being read. A key that is named again while it is being read
 * is read once more afterwards, so a burst costs two reads. Entries have a cap; the one named longest ago goes.
 */
#include "sources/postgres_notifications.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "sources/batch.h"
#include "sources/postgres_notification_payload.h"

enum {
    MAX_ENTRIES = 10000,
    MAX_READING = 16,
    MAX_TRIES = 3, /* of a read that fails; the next notification or reconnect begins anew */
    RETRY_MS = 1000,
    COMPLAIN_EVERY_MS = 10000, /* one line of log per kind of trouble */
};

/* The first row of a query beside the snapshot it was read with; one row of nulls when there is none. */
#define ROW_SQL                                                                                     \
    "select pg_catalog.pg_current_snapshot()::text as sophia_snapshot, q.* from (select 1) as one " \
    "left join (select true as sophia_row, r.* from (\n%s\n) as r limit 1) as q on true"

enum heard {
    HEARD_USED,
    HEARD_MALFORMED,
    HEARD_OVERSIZE,
    HEARD_UNKNOWN,
    HEARD_REFUSED,
    HEARD_FAILED,
    HEARD_COUNT
};

enum entry_state { ENTRY_IDLE, ENTRY_QUEUED, ENTRY_READING };

struct entry {
    struct list_node by_age; /* the one named last is last */
    struct list_node queue;
    struct postgres_notifications *owner;
    size_t mapping;
    enum entry_state state;
    bool is_named_again; /* while reading */
    bool was_forgotten;  /* by this read: what the cache says now is new */
    uint32_t tries;
    uint64_t revision; /* newest that was named; 0: none */
    char key[ROW_KEY_MAX_BYTES + 1];
    char cache_key[CACHE_KEY_MAX_BYTES];
};

struct postgres_notifications {
    struct postgres_notifications_options options;
    struct cache_source source;
    char **statements; /* owned, one per mapping; NULL without a query */
    struct map entries;
    struct list_node by_age, queue, flights;
    size_t reading; /* entries */
    size_t loads;   /* queries */
    bool is_active, is_stopped, is_pumping;
    bool is_destroyed; /* freed with the last answer of cache and pool */
    char lineage[96];
    struct loop_timer *timer;
    uint64_t complained_at_ms[HEARD_COUNT];
    struct metric *heard[HEARD_COUNT], *keys;
};

struct flight {
    struct list_node node;
    struct postgres_notifications *notifications; /* NULL: gone */
    struct batch *batch;
};

static const char *const heard_names[HEARD_COUNT] = {
    [HEARD_USED] = "used",       [HEARD_MALFORMED] = "malformed", [HEARD_OVERSIZE] = "oversize",
    [HEARD_UNKNOWN] = "unknown", [HEARD_REFUSED] = "refused",     [HEARD_FAILED] = "failed",
};

/* Counted every time, logged now and then. */
static void note(struct postgres_notifications *n, enum heard what, const char *object, const char *why)
{
    uint64_t now_ms = n->options.now().monotonic_ms;
    metric_add(n->heard[what], 1);
    uint64_t since_ms = now_ms - n->complained_at_ms[what];
    if (what != HEARD_USED && (n->complained_at_ms[what] == 0 || since_ms >= COMPLAIN_EVERY_MS)) {
        n->complained_at_ms[what] = now_ms;
        log_warn("postgres notification of no use", LOG_TEXT("kind", heard_names[what]),
                 LOG_TEXT("of", object), LOG_TEXT("reason", why));
    }
}

/* ---- telling ---- */

static void on_submitted(void *context, struct submission_item *items, size_t count)
{
    struct flight *flight = context;
    struct postgres_notifications *n = flight->notifications;
    bool is_other = false;
    for (size_t i = 0; n && i < count; i++) {
        enum result outcome = items[i].outcome;
        is_other = is_other || outcome == RESULT_OTHER_LINEAGE;
        if (!result_is_settled(outcome) && outcome != RESULT_OTHER_LINEAGE && outcome != RESULT_UNAVAILABLE) {
            note(n, HEARD_REFUSED, items[i].change.field,
                 *items[i].detail ? items[i].detail : result_name(outcome));
        }
    }
    if (n) {
        list_remove(&flight->node);
    }
    batch_destroy(flight->batch);
    free(flight);
    if (is_other) {
        n->options.on_other_lineage(n->options.context);
    }
}

/* Owns: takes the change. */
static void submit(struct postgres_notifications *n, struct change *change)
{
    struct flight *flight = calloc(1, sizeof *flight);
    struct batch *batch = flight ? batch_create() : NULL;
    struct change *slot = batch ? batch_add(batch, change->field, 0) : NULL;
    if (!slot) {
        note(n, HEARD_FAILED, change->field, result_name(RESULT_NO_MEMORY));
        change_finish(change);
        batch_destroy(batch);
        free(flight);
        return;
    }
    *slot = *change;
    flight->notifications = n;
    flight->batch = batch;
    list_append(&n->flights, &flight->node);
    pipeline_submit_from(n->options.pipeline, *n->lineage ? n->lineage : NULL, batch->items, batch->count,
                         on_submitted, flight);
}

static const struct kpi *find_kpi(const struct postgres_notifications *n, const char *field)
{
    const struct catalog *catalog = pipeline_catalog(n->options.pipeline);
    return catalog ? catalog_kpi(catalog, field, strlen(field)) : NULL;
}

static bool field_of(const struct postgres_mapping *mapping, const struct kpi *kpi, const char *key,
                     char out[FIELD_MAX_BYTES + 1])
{
    int length = kpi_has_rows(kpi) ? snprintf(out, FIELD_MAX_BYTES + 1, "%s#%s", mapping->field, key)
                                   : snprintf(out, FIELD_MAX_BYTES + 1, "%s", mapping->field);
    return length > 0 && length <= FIELD_MAX_BYTES;
}

/* The query found nothing: the row is gone. */
static void tell_gone(struct entry *entry, const struct kpi *kpi)
{
    struct postgres_notifications *n = entry->owner;
    struct change change = {.has_version = entry->revision != 0, .version = entry->revision};
    if (!field_of(&n->options.mappings[entry->mapping], kpi, entry->key, change.field)) {
        return;
    }
    change.is_delete = kpi_has_rows(kpi);
    if (!change.is_delete) {
        change.state = VALUE_NO_DATA;
        (void)snprintf(change.reason, sizeof change.reason, "its row is gone");
    }
    submit(n, &change);
}

static void tell_row(struct entry *entry, const struct kpi *kpi, const struct cache_value *value)
{
    struct postgres_notifications *n = entry->owner;
    char detail[REASON_MAX_BYTES + 1];
    struct change change;
    if (row_unpack(value, kpi, entry->key, &change, detail) == RESULT_OK) {
        submit(n, &change);
        return;
    }
    note(n, HEARD_REFUSED, entry->cache_key, detail);
    change_finish(&change);
    change = (struct change){.state = VALUE_INVALID};
    (void)snprintf(change.reason, sizeof change.reason, "%s", detail);
    if (field_of(&n->options.mappings[entry->mapping], kpi, entry->key, change.field)) {
        submit(n, &change);
    }
}

/* ---- reading ---- */

static void pump(struct postgres_notifications *n);

static void enqueue(struct entry *entry)
{
    struct postgres_notifications *n = entry->owner;
    if (entry->state == ENTRY_READING) {
        entry->is_named_again = true;
    } else if (entry->state == ENTRY_IDLE && n->is_active && n->options.mappings[entry->mapping].query) {
        entry->state = ENTRY_QUEUED;
        entry->tries = 0;
        list_append(&n->queue, &entry->queue);
    }
}

static void free_when_idle(struct postgres_notifications *n);

static void reading_end(struct entry *entry)
{
    struct postgres_notifications *n = entry->owner;
    n->reading--;
    entry->state = ENTRY_IDLE;
    if (entry->is_named_again) {
        entry->is_named_again = false;
        enqueue(entry);
    }
    pump(n);
    free_when_idle(n);
}

static void read_failed(struct entry *entry, const char *why)
{
    struct postgres_notifications *n = entry->owner;
    note(n, HEARD_FAILED, entry->cache_key, why);
    if (++entry->tries < MAX_TRIES && !n->is_stopped && n->is_active) {
        n->reading--;
        entry->state = ENTRY_QUEUED;
        list_append(&n->queue, &entry->queue);
        if (!loop_timer_is_armed(n->timer)) {
            loop_timer_arm(n->timer, RETRY_MS);
        }
        return;
    }
    reading_end(entry);
}

static void read_entry(struct entry *entry);

/* What the cache says after this was loaded after it. */
static void forget(struct entry *entry)
{
    bool was_held = false;
    enum result result = cache_forget(entry->owner->options.cache, entry->cache_key, &was_held);
    entry->was_forgotten = true;
    if (result != RESULT_OK) {
        /* It may be as old as its class allows. */
        note(entry->owner, HEARD_FAILED, entry->cache_key, result_name(result));
    }
}

static void on_cached(void *context, const struct cache_answer *answer)
{
    struct entry *entry = context;
    struct postgres_notifications *n = entry->owner;
    const struct kpi *kpi = n->is_stopped ? NULL : find_kpi(n, n->options.mappings[entry->mapping].field);
    if (!kpi || !n->is_active) {
        reading_end(entry);
        return;
    }
    if (answer->status == CACHE_FAILED) {
        read_failed(entry, result_name(answer->result));
        return;
    }
    bool is_older = answer->value && entry->revision > cache_value_version(answer->value);
    if ((is_older || answer->status != CACHE_FRESH) && !entry->was_forgotten) {
        forget(entry);
        read_entry(entry);
        return;
    }
    if (answer->value) {
        tell_row(entry, kpi, answer->value);
    } else {
        tell_gone(entry, kpi);
    }
    reading_end(entry);
}

/* A load on its way; the cache owns what it answers. */
struct load {
    struct postgres_notifications *notifications;
    cache_loaded_fn *loaded;
    void *cache_context;
    uint64_t revision; /* named before it began: what it reads is not older */
};

static void on_row(void *context, const struct pg_result *result, const struct pg_failure *failure)
{
    struct load *load = context;
    enum result outcome = failure ? failure->result : RESULT_OK;
    struct cache_value *value = NULL;
    if (failure) {
        note(load->notifications, HEARD_FAILED, "query", failure->message);
    } else {
        int mark = pg_column(result, "sophia_row");
        bool is_there = pg_row_count(result) > 0 && mark >= 0 && pg_text(result, 0, (size_t)mark, NULL);
        value =
            is_there ? row_pack(result, load->revision, load->notifications->options.now().wall_ms) : NULL;
        outcome = is_there && !value ? RESULT_NO_MEMORY : RESULT_OK;
    }
    struct postgres_notifications *n = load->notifications;
    load->loaded(load->cache_context, outcome, value);
    free(load);
    n->loads--;
    free_when_idle(n);
}

static void load_row(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context)
{
    struct postgres_notifications *n = context;
    struct entry *entry = map_get(&n->entries, key, strlen(key));
    struct load *load = entry && !n->is_stopped ? calloc(1, sizeof *load) : NULL;
    if (!load) {
        loaded(cache_context, RESULT_UNAVAILABLE, NULL); /* a refresh of what was forgotten, or no memory */
        return;
    }
    *load = (struct load){n, loaded, cache_context, entry->revision};
    const char *const parameters[] = {entry->key};
    const struct pg_query query = {
        .sql = n->statements[entry->mapping], .param_count = 1, .params = parameters};
    enum result result = pg_pool_query(n->options.pool, &query, on_row, load);
    if (result == RESULT_OK) {
        n->loads++;
    } else {
        free(load);
        loaded(cache_context, result, NULL);
    }
}

/* Without a cache: what a load answers goes straight to the entry. */
static void on_loaded(void *context, enum result result, struct cache_value *value)
{
    struct entry *entry = context;
    const struct cache_answer answer = {
        .status = result != RESULT_OK ? CACHE_FAILED
                  : value             ? CACHE_FRESH
                                      : CACHE_NOTHING,
        .result = result,
        .value = value,
        .tier = "l3",
    };
    entry->was_forgotten = true;
    on_cached(entry, &answer);
    cache_value_unref(value);
}

static void read_entry(struct entry *entry)
{
    struct postgres_notifications *n = entry->owner;
    if (!n->options.cache) {
        load_row(n, entry->cache_key, on_loaded, entry);
    } else {
        cache_get(n->options.cache, entry->cache_key, &n->source, on_cached, entry);
    }
}

static void pump(struct postgres_notifications *n)
{
    if (n->is_pumping) {
        return; /* answered at once: the loop below goes on */
    }
    n->is_pumping = true;
    while (!n->is_stopped && n->reading < MAX_READING && !list_is_empty(&n->queue) &&
           !loop_timer_is_armed(n->timer)) {
        struct entry *entry = LIST_ITEM(n->queue.next, struct entry, queue);
        list_remove(&entry->queue);
        entry->state = ENTRY_READING;
        entry->was_forgotten = false;
        n->reading++;
        if (entry->revision == 0 && n->options.cache) {
            forget(entry); /* nothing tells whether the cache is newer */
        }
        read_entry(entry);
    }
    n->is_pumping = false;
}

static void on_due(void *context)
{
    pump(context);
}

/* ---- keys ---- */

static void forget_oldest(struct postgres_notifications *n)
{
    LIST_EACH(node, &n->by_age) {
        struct entry *entry = LIST_ITEM(node, struct entry, by_age);
        if (entry->state == ENTRY_IDLE) {
            (void)map_remove(&n->entries, entry->cache_key, strlen(entry->cache_key));
            list_remove(&entry->by_age);
            free(entry);
            return;
        }
    }
}

static struct entry *find_entry(struct postgres_notifications *n, size_t mapping, const char *key)
{
    const struct postgres_mapping *of = &n->options.mappings[mapping];
    char cache_key[CACHE_KEY_MAX_BYTES];
    int length = snprintf(cache_key, sizeof cache_key, "%s:notify:%s:%s:%s", of->cache_class, of->channel,
                          of->field, key);
    if (length < 0 || (size_t)length >= sizeof cache_key) {
        return NULL;
    }
    struct entry *entry = map_get(&n->entries, cache_key, (size_t)length);
    if (entry) {
        list_remove(&entry->by_age);
        list_append(&n->by_age, &entry->by_age);
        return entry;
    }
    if (n->entries.count >= MAX_ENTRIES) {
        forget_oldest(n);
    }
    entry = calloc(1, sizeof *entry);
    if (!entry || map_put(&n->entries, cache_key, (size_t)length, entry) != RESULT_OK) {
        free(entry);
        return NULL;
    }
    entry->owner = n;
    entry->mapping = mapping;
    (void)snprintf(entry->key, sizeof entry->key, "%s", key);
    memcpy(entry->cache_key, cache_key, (size_t)length + 1);
    list_init(&entry->queue);
    list_append(&n->by_age, &entry->by_age);
    metric_set(n->keys, (double)n->entries.count);
    return entry;
}

/* ---- hearing ---- */

static void use_value(struct postgres_notifications *n, const struct kpi *kpi, size_t mapping,
                      const struct notification_payload *payload)
{
    char field[FIELD_MAX_BYTES + 1];
    struct change change;
    if (!n->is_active) {
        return; /* another process tells it */
    }
    enum result result = field_of(&n->options.mappings[mapping], kpi, payload->key, field)
                             ? payload_change(payload, field, &change)
                             : RESULT_TOO_BIG;
    if (result != RESULT_OK) {
        note(n, HEARD_MALFORMED, n->options.mappings[mapping].field, result_name(result));
        return;
    }
    note(n, HEARD_USED, NULL, NULL);
    submit(n, &change);
}

static void use(struct postgres_notifications *n, size_t mapping, const struct notification_payload *payload)
{
    const struct postgres_mapping *of = &n->options.mappings[mapping];
    const struct kpi *kpi = find_kpi(n, of->field);
    if (!kpi) {
        note(n, HEARD_UNKNOWN, of->field, "no KPI of the definitions in force has this id");
        return;
    }
    if (payload->value || payload->is_delete) {
        use_value(n, kpi, mapping, payload);
        return;
    }
    if (!of->query) {
        note(n, HEARD_MALFORMED, of->channel, "it carries no value, and its mapping has no query");
        return;
    }
    struct entry *entry = find_entry(n, mapping, payload->key);
    if (!entry) {
        note(n, HEARD_FAILED, of->field, "no room to remember its key");
        return;
    }
    entry->revision = payload->revision > entry->revision ? payload->revision : entry->revision;
    note(n, HEARD_USED, NULL, NULL);
    enqueue(entry);
    pump(n);
}

void postgres_notifications_hear(struct postgres_notifications *n, const char *channel, const char *text)
{
    struct notification_payload payload;
    if (n->is_stopped) {
        return;
    }
    enum result result = payload_decode(text, &payload);
    if (result != RESULT_OK) {
        note(n, result == RESULT_TOO_BIG ? HEARD_OVERSIZE : HEARD_MALFORMED, channel, result_name(result));
        return;
    }
    bool is_known = false;
    for (size_t i = 0; i < n->options.mapping_count; i++) {
        const struct postgres_mapping *mapping = &n->options.mappings[i];
        if (strcmp(mapping->channel, channel) == 0 &&
            (!mapping->relation || strcmp(mapping->relation, payload.relation) == 0)) {
            is_known = true;
            use(n, i, &payload);
        }
    }
    if (!is_known) {
        note(n, HEARD_UNKNOWN, channel, "no mapping names this relation");
    }
    payload_finish(&payload);
}

/* ---- reading again ---- */

struct shown {
    struct postgres_notifications *notifications;
    size_t mapping;
};

static void remember_shown(void *context, const char *field, size_t length)
{
    const struct shown *shown = context;
    const char *mark = memchr(field, '#', length);
    char key[ROW_KEY_MAX_BYTES + 1];
    size_t key_length = mark ? length - (size_t)(mark + 1 - field) : 0;
    if (key_length > 0 && key_length < sizeof key) {
        memcpy(key, mark + 1, key_length);
        key[key_length] = '\0';
        (void)find_entry(shown->notifications, shown->mapping, key); /* no room: read when it is named */
    }
}

void postgres_notifications_read_again(struct postgres_notifications *n)
{
    for (size_t i = 0; i < n->options.mapping_count; i++) {
        const struct postgres_mapping *mapping = &n->options.mappings[i];
        struct shown shown = {.notifications = n, .mapping = i};
        if (mapping->query && find_kpi(n, mapping->field)) {
            (void)pipeline_each_field(n->options.pipeline, mapping->field, remember_shown, &shown);
        }
    }
    LIST_EACH(node, &n->by_age) {
        struct entry *entry = LIST_ITEM(node, struct entry, by_age);
        entry->revision = 0; /* so that the cache is not believed */
        enqueue(entry);
    }
    pump(n);
}

void postgres_notifications_set_active(struct postgres_notifications *n, bool is_active, const char *lineage)
{
    bool is_new = is_active && (!n->is_active || strcmp(n->lineage, lineage) != 0);
    n->is_active = is_active;
    if (is_new) {
        (void)snprintf(n->lineage, sizeof n->lineage, "%s", lineage);
        postgres_notifications_read_again(n);
    }
}

bool postgres_notifications_feeds(const struct postgres_notifications *n, const struct kpi *kpi)
{
    for (size_t i = 0; i < n->options.mapping_count; i++) {
        if (strcmp(n->options.mappings[i].field, kpi->id) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

static void register_metrics(struct postgres_notifications *n)
{
    for (size_t i = 0; i < HEARD_COUNT; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "result=\"%s\"", heard_names[i]);
        n->heard[i] = metrics_counter(
            n->options.metrics, "gw_pg_notifications_total", labels,
            "Notifications of mapped channels, and reads they caused, by what became of them.");
    }
    n->keys = metrics_gauge(n->options.metrics, "gw_pg_notification_keys", NULL,
                            "Keys that were named and are read again when notifications may have been lost.");
}

static bool build_statements(struct postgres_notifications *n)
{
    n->statements = calloc(n->options.mapping_count + 1, sizeof *n->statements);
    for (size_t i = 0; n->statements && i < n->options.mapping_count; i++) {
        const char *query = n->options.mappings[i].query;
        if (query && asprintf(&n->statements[i], ROW_SQL, query) < 0) {
            n->statements[i] = NULL;
            return false;
        }
    }
    return n->statements != NULL;
}

struct postgres_notifications *postgres_notifications_create(
    const struct postgres_notifications_options *options)
{
    struct postgres_notifications *n = calloc(1, sizeof *n);
    if (!n) {
        return NULL;
    }
    n->options = *options;
    n->source = (struct cache_source){.load = load_row, .context = n};
    map_init(&n->entries, MAX_ENTRIES);
    list_init(&n->by_age);
    list_init(&n->queue);
    list_init(&n->flights);
    register_metrics(n);
    n->timer = loop_timer_create(options->loop, on_due, n);
    if (!n->timer || !build_statements(n)) {
        postgres_notifications_destroy(n);
        return NULL;
    }
    return n;
}

void postgres_notifications_stop(struct postgres_notifications *n)
{
    n->is_stopped = true;
    loop_timer_disarm(n->timer);
}

static void free_when_idle(struct postgres_notifications *n)
{
    if (!n->is_destroyed || n->reading > 0 || n->loads > 0) {
        return;
    }
    LIST_EACH_SAFE(node, &n->by_age) {
        free(LIST_ITEM(node, struct entry, by_age));
    }
    for (size_t i = 0; n->statements && i < n->options.mapping_count; i++) {
        free(n->statements[i]);
    }
    free(n->statements);
    map_finish(&n->entries);
    free(n);
}

void postgres_notifications_destroy(struct postgres_notifications *n)
{
    if (!n) {
        return;
    }
    n->is_stopped = true;
    n->is_destroyed = true;
    LIST_EACH(node, &n->flights) {
        LIST_ITEM(node, struct flight, node)->notifications = NULL;
    }
    loop_timer_destroy(n->timer);
    free_when_idle(n);
}
