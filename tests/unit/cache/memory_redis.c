/* One list of keys, one queue of what is to be delivered. Small numbers: everything is searched. */
#include "memory_redis.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "io/redis_link.h"

enum { LINKS_MAX = 16, COMMANDS_MAX = 32, NAME_MAX_BYTES = 600, CHILDREN_MAX = 64 };

struct redisReply {
    enum redis_reply_type type;
    int64_t integer;
    char *text;
    size_t length;
    struct redisReply *children[CHILDREN_MAX];
    size_t count;
};

struct stored {
    struct list_node in_store;
    char key[NAME_MAX_BYTES];
    char *text;
    size_t length;
    uint64_t ends_ms;
};

struct redis_link {
    char name[32];
    struct redis_link_events events;
    bool is_started, is_up, is_held_down, is_gone;
    uint64_t id;
    uint64_t redirect; /* tracking: told to this connection; 0: off */
    char prefix[NAME_MAX_BYTES];
    char channels[2][NAME_MAX_BYTES];
    size_t channel_count;
};

enum delivery_kind { DELIVER_REPLY, DELIVER_MESSAGE };

struct delivery {
    struct list_node in_queue;
    enum delivery_kind kind;
    struct redis_link *link;
    uint64_t id; /* of the connection it belongs to */
    redis_reply_fn *on_reply;
    void *context;
    struct redisReply *reply;
    char channel[NAME_MAX_BYTES];
    char *payload; /* NULL: nil */
};

static struct {
    uint64_t (*now_ms)(void);
    struct list_node store, queue;
    bool is_ready, is_stalled, is_hurried;
    struct redis_link *links[LINKS_MAX];
    size_t link_count;
    uint64_t next_id;
    struct {
        char name[16];
        unsigned count;
    } commands[COMMANDS_MAX];
} fake;

/* ---- replies ---- */

static struct redisReply *reply_new(enum redis_reply_type type, int64_t integer, const char *text,
                                    size_t length)
{
    struct redisReply *reply = calloc(1, sizeof *reply);
    assert(reply);
    reply->type = type;
    reply->integer = integer;
    if (text) {
        reply->text = malloc(length + 1);
        assert(reply->text);
        memcpy(reply->text, text, length);
        reply->text[length] = '\0';
        reply->length = length;
    }
    return reply;
}

static struct redisReply *reply_integer(int64_t integer)
{
    return reply_new(REDIS_INTEGER, integer, NULL, 0);
}

static struct redisReply *reply_ok(void)
{
    return reply_new(REDIS_STATUS, 0, "OK", 2);
}

static void reply_free(struct redisReply *reply)
{
    if (reply) {
        for (size_t i = 0; i < reply->count; i++) {
            reply_free(reply->children[i]);
        }
        free(reply->text);
        free(reply);
    }
}

enum redis_reply_type redis_reply_type(const struct redisReply *reply)
{
    return reply ? reply->type : REDIS_ERROR;
}

const char *redis_reply_text(const struct redisReply *reply, size_t *out_length)
{
    if (out_length && reply) {
        *out_length = reply->length;
    }
    return reply ? reply->text : NULL;
}

int64_t redis_reply_integer(const struct redisReply *reply)
{
    return reply ? reply->integer : 0;
}

size_t redis_reply_count(const struct redisReply *reply)
{
    return reply ? reply->count : 0;
}

const struct redisReply *redis_reply_at(const struct redisReply *reply, size_t index)
{
    return reply && index < reply->count ? reply->children[index] : NULL;
}

/* ---- the queue ---- */

static struct delivery *deliver(struct redis_link *link, enum delivery_kind kind)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    assert(delivery);
    delivery->kind = kind;
    delivery->link = link;
    delivery->id = link->id;
    list_append(&fake.queue, &delivery->in_queue);
    return delivery;
}

static void delivery_free(struct delivery *delivery)
{
    list_remove(&delivery->in_queue);
    reply_free(delivery->reply);
    free(delivery->payload);
    free(delivery);
}

static void message(struct redis_link *link, const char *channel, const char *payload)
{
    struct delivery *delivery = deliver(link, DELIVER_MESSAGE);
    (void)snprintf(delivery->channel, sizeof delivery->channel, "%s", channel);
    delivery->payload = payload ? strdup(payload) : NULL;
}

static struct redis_link *link_of_id(uint64_t id)
{
    for (size_t i = 0; i < fake.link_count; i++) {
        if (!fake.links[i]->is_gone && fake.links[i]->is_up && fake.links[i]->id == id) {
            return fake.links[i];
        }
    }
    return NULL;
}

/* key NULL: all of them. */
static void touched(const struct redis_link *writer, const char *key)
{
    for (size_t i = 0; i < fake.link_count; i++) {
        const struct redis_link *link = fake.links[i];
        struct redis_link *target = link->redirect ? link_of_id(link->redirect) : NULL;
        bool is_told = !link->is_gone && link->is_up && target && link != writer; /* NOLOOP */
        if (is_told && (!key || strncmp(key, link->prefix, strlen(link->prefix)) == 0)) {
            message(target, "__redis__:invalidate", key);
        }
    }
}

/* ---- the store ---- */

static void stored_free(struct stored *stored)
{
    list_remove(&stored->in_store);
    free(stored->text);
    free(stored);
}

static struct stored *find(const char *key)
{
    LIST_EACH(node, &fake.store) {
        struct stored *stored = LIST_ITEM(node, struct stored, in_store);
        if (strcmp(stored->key, key) == 0) {
            if (stored->ends_ms > fake.now_ms()) {
                return stored;
            }
            stored_free(stored);
            touched(NULL, key); /* it ended by itself */
            return NULL;
        }
    }
    return NULL;
}

static void set(const struct redis_link *writer, const char *key, const char *text, size_t length,
                uint64_t lifetime_ms)
{
    struct stored *stored = find(key);
    if (stored) {
        stored_free(stored);
    }
    stored = calloc(1, sizeof *stored);
    assert(stored);
    (void)snprintf(stored->key, sizeof stored->key, "%s", key);
    stored->text = malloc(length + 1);
    assert(stored->text);
    memcpy(stored->text, text, length);
    stored->text[length] = '\0';
    stored->length = length;
    stored->ends_ms = fake.now_ms() + lifetime_ms;
    list_append(&fake.store, &stored->in_store);
    touched(writer, key);
}

static bool unlink_key(const struct redis_link *writer, const char *key)
{
    struct stored *stored = find(key);
    if (stored) {
        stored_free(stored);
        touched(writer, key);
    }
    return stored != NULL;
}

/* ---- commands ---- */

static struct redisReply *run_read(const char *key)
{
    const struct stored *stored = find(key);
    struct redisReply *reply = reply_new(REDIS_ARRAY, 0, NULL, 0);
    reply->count = 2;
    reply->children[0] = reply_integer(stored ? (int64_t)(stored->ends_ms - fake.now_ms()) : -2);
    reply->children[1] =
        stored ? reply_new(REDIS_TEXT, 0, stored->text, stored->length) : reply_new(REDIS_NIL, 0, NULL, 0);
    return reply;
}

/* argv: EVAL script 1 key version ttl age left text */
static struct redisReply *run_write(const char *const *argv, const size_t *lengths)
{
    const struct stored *stored = find(argv[3]);
    char head[61] = "";
    if (stored && stored->length >= 60) {
        memcpy(head, stored->text, 60);
        uint64_t held_version = strtoull(head + 4, NULL, 10);
        uint64_t held_age_ms = strtoull(head + 25, NULL, 10) - (stored->ends_ms - fake.now_ms());
        uint64_t version = strtoull(argv[4], NULL, 10);
        bool is_newer = held_version > version && held_age_ms < strtoull(argv[5], NULL, 10);
        bool is_younger = held_version == version && held_age_ms < strtoull(argv[6], NULL, 10);
        if (is_newer || is_younger) {
            return reply_integer(0);
        }
    }
    /* Not even the writer is spared: to the server the script is another client. */
    set(NULL, argv[3], argv[8], lengths[8], strtoull(argv[7], NULL, 10));
    return reply_integer(1);
}

static struct redisReply *run_release(const struct redis_link *link, const char *key, const char *token)
{
    const struct stored *stored = find(key);
    bool is_ours = stored && stored->length == 16 && memcmp(stored->text, token, 16) == 0;
    return reply_integer(is_ours && unlink_key(link, key) ? 1 : 0);
}

static struct redisReply *run_eval(const struct redis_link *link, const char *const *argv,
                                   const size_t *lengths)
{
    if (strncmp(argv[1], "return {redis.call('PTTL'", 25) == 0) {
        return run_read(argv[3]);
    }
    if (strncmp(argv[1], "local head", 10) == 0) {
        return run_write(argv, lengths);
    }
    assert(strncmp(argv[1], "if redis.call('GET'", 19) == 0);
    return run_release(link, argv[3], argv[4]);
}

/* SET key text PX lifetime, or SET key token NX PX lifetime */
static struct redisReply *run_set(const struct redis_link *link, size_t argc, const char *const *argv,
                                  const size_t *lengths)
{
    assert(strcmp(argv[argc - 2], "PX") == 0);
    if (argc == 6 && find(argv[1])) {
        assert(strcmp(argv[3], "NX") == 0);
        return reply_new(REDIS_NIL, 0, NULL, 0);
    }
    set(link, argv[1], argv[2], lengths[2], strtoull(argv[argc - 1], NULL, 10));
    return reply_ok();
}

/* All at once; the pattern is a literal and a star. */
static struct redisReply *run_scan(const char *pattern)
{
    struct redisReply *reply = reply_new(REDIS_ARRAY, 0, NULL, 0);
    struct redisReply *keys = reply_new(REDIS_ARRAY, 0, NULL, 0);
    LIST_EACH(node, &fake.store) {
        struct stored *stored = LIST_ITEM(node, struct stored, in_store);
        if (strncmp(stored->key, pattern, strlen(pattern) - 1) == 0 && keys->count < CHILDREN_MAX) {
            keys->children[keys->count++] = reply_new(REDIS_TEXT, 0, stored->key, strlen(stored->key));
        }
    }
    reply->count = 2;
    reply->children[0] = reply_new(REDIS_TEXT, 0, "0", 1);
    reply->children[1] = keys;
    return reply;
}

static struct redisReply *run_publish(const char *channel, const char *payload)
{
    for (size_t i = 0; i < fake.link_count; i++) {
        struct redis_link *link = fake.links[i];
        for (size_t c = 0; link->is_up && !link->is_gone && c < link->channel_count; c++) {
            if (strcmp(link->channels[c], channel) == 0) {
                message(link, channel, payload);
            }
        }
    }
    return reply_integer(1);
}

/* CLIENT TRACKING OFF, or ON REDIRECT id BCAST PREFIX prefix NOLOOP */
static struct redisReply *run_tracking(struct redis_link *link, size_t argc, const char *const *argv)
{
    if (argc == 3) {
        link->redirect = 0;
        return reply_ok();
    }
    assert(argc == 9 && strcmp(argv[5], "BCAST") == 0 && strcmp(argv[8], "NOLOOP") == 0);
    if (link->redirect != 0) {
        return reply_new(REDIS_ERROR, 0, "ERR Prefix overlaps with an existing prefix", 43);
    }
    link->redirect = strtoull(argv[4], NULL, 10);
    (void)snprintf(link->prefix, sizeof link->prefix, "%s", argv[7]);
    return link_of_id(link->redirect) ? reply_ok() : reply_new(REDIS_ERROR, 0, "ERR no such client", 18);
}

static struct redisReply *run_unlink(const struct redis_link *link, size_t argc, const char *const *argv)
{
    int64_t removed = 0;
    for (size_t i = 1; i < argc; i++) {
        removed += unlink_key(link, argv[i]) ? 1 : 0;
    }
    return reply_integer(removed);
}

static struct redisReply *run(struct redis_link *link, size_t argc, const char *const *argv,
                              const size_t *lengths)
{
    if (strcmp(argv[0], "EVAL") == 0) {
        return run_eval(link, argv, lengths);
    }
    if (strcmp(argv[0], "SET") == 0) {
        return run_set(link, argc, argv, lengths);
    }
    if (strcmp(argv[0], "UNLINK") == 0) {
        return run_unlink(link, argc, argv);
    }
    if (strcmp(argv[0], "SCAN") == 0) {
        return run_scan(argv[3]);
    }
    if (strcmp(argv[0], "PUBLISH") == 0) {
        return run_publish(argv[1], argv[2]);
    }
    assert(strcmp(argv[0], "CLIENT") == 0);
    return run_tracking(link, argc, argv);
}

static void count_command(const char *name)
{
    size_t i = 0;
    while (fake.commands[i].count > 0 && strcmp(fake.commands[i].name, name) != 0) {
        i++;
    }
    assert(i < COMMANDS_MAX);
    (void)snprintf(fake.commands[i].name, sizeof fake.commands[i].name, "%s", name);
    fake.commands[i].count++;
}

unsigned memory_redis_count(const char *command)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        if (strcmp(fake.commands[i].name, command) == 0) {
            return fake.commands[i].count;
        }
    }
    return 0;
}

/* ---- io/redis_link.h ---- */

struct redis_link *redis_link_create(struct loop *loop, struct metrics *metrics,
                                     const struct redis_link_options *options,
                                     const struct redis_link_events *events)
{
    (void)loop;
    (void)metrics;
    struct redis_link *link = calloc(1, sizeof *link);
    if (link) {
        assert(fake.link_count < LINKS_MAX);
        (void)snprintf(link->name, sizeof link->name, "%s", options->name);
        link->events = *events;
        fake.links[fake.link_count++] = link;
    }
    return link;
}

void redis_link_start(struct redis_link *link)
{
    link->is_started = true;
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->is_up;
}

uint64_t redis_link_client_id(const struct redis_link *link)
{
    return link->is_up ? link->id : 0;
}

enum result redis_link_subscribe(struct redis_link *link, enum redis_subscription kind, const char *channel)
{
    assert(kind == REDIS_CHANNEL && link->channel_count < 2);
    (void)snprintf(link->channels[link->channel_count++], NAME_MAX_BYTES, "%s", channel);
    return RESULT_OK;
}

enum result redis_link_send(struct redis_link *link, redis_reply_fn *on_reply, void *context, size_t argc,
                            const char *const *argv, const size_t *lengths)
{
    size_t measured[CHILDREN_MAX + 1];
    if (!link->is_up) {
        return RESULT_UNAVAILABLE;
    }
    for (size_t i = 0; i < argc; i++) {
        measured[i] = lengths ? lengths[i] : strlen(argv[i]);
    }
    count_command(argv[0]);
    struct redisReply *reply = run(link, argc, argv, measured);
    struct delivery *delivery = deliver(link, DELIVER_REPLY);
    delivery->on_reply = on_reply;
    delivery->context = context;
    delivery->reply = reply;
    return RESULT_OK;
}

/* Its replies will not come; its messages neither. */
static void drop_deliveries(const struct redis_link *link)
{
    struct delivery *delivery = NULL;
    do {
        delivery = NULL;
        LIST_EACH(node, &fake.queue) {
            struct delivery *candidate = LIST_ITEM(node, struct delivery, in_queue);
            if (candidate->link == link) {
                delivery = candidate;
                break;
            }
        }
        if (delivery) {
            redis_reply_fn *on_reply = delivery->on_reply;
            void *context = delivery->context;
            delivery_free(delivery);
            if (on_reply) {
                on_reply(context, NULL);
            }
        }
    } while (delivery);
}

void redis_link_destroy(struct redis_link *link)
{
    if (link) {
        link->is_up = false;
        link->is_gone = true;
        drop_deliveries(link);
    }
}

/* ---- control ---- */

void memory_redis_reset(uint64_t (*now_ms)(void))
{
    for (size_t i = 0; i < fake.link_count; i++) {
        assert(fake.links[i]->is_gone);
        free(fake.links[i]);
    }
    while (fake.is_ready && !list_is_empty(&fake.store)) {
        stored_free(LIST_ITEM(fake.store.next, struct stored, in_store));
    }
    assert(!fake.is_ready || list_is_empty(&fake.queue));
    memset(&fake, 0, sizeof fake);
    list_init(&fake.store);
    list_init(&fake.queue);
    fake.now_ms = now_ms;
    fake.is_ready = true;
}

static bool bring_up(struct redis_link *link)
{
    if (link->is_gone || !link->is_started || link->is_up || link->is_held_down) {
        return false;
    }
    link->is_up = true;
    link->id = ++fake.next_id;
    link->redirect = 0;
    link->events.on_up(link->events.context);
    for (size_t i = 0; i < link->channel_count; i++) {
        link->events.on_subscribed(link->events.context, link->channels[i]);
    }
    return true;
}

static struct delivery *next_delivery(void)
{
    LIST_EACH(node, &fake.queue) {
        struct delivery *delivery = LIST_ITEM(node, struct delivery, in_queue);
        if (fake.is_hurried && delivery->kind == DELIVER_MESSAGE) {
            return delivery;
        }
    }
    return LIST_ITEM(fake.queue.next, struct delivery, in_queue);
}

static void deliver_first(void)
{
    struct delivery *delivery = next_delivery();
    struct redis_link *link = delivery->link;
    list_remove(&delivery->in_queue);
    if (delivery->kind == DELIVER_REPLY && delivery->on_reply) {
        delivery->on_reply(delivery->context, delivery->reply);
    } else if (delivery->kind == DELIVER_MESSAGE && link->events.on_message) {
        link->events.on_message(link->events.context, NULL, delivery->channel, strlen(delivery->channel),
                                delivery->payload, delivery->payload ? strlen(delivery->payload) : 0);
    }
    delivery_free(delivery);
}

void memory_redis_settle(void)
{
    bool is_done = false;
    while (!is_done) {
        is_done = true;
        for (size_t i = 0; i < fake.link_count; i++) {
            is_done = !bring_up(fake.links[i]) && is_done;
        }
        while (!fake.is_stalled && !list_is_empty(&fake.queue)) {
            is_done = false;
            deliver_first();
        }
    }
}

void memory_redis_cut(const char *name)
{
    for (size_t i = 0; i < fake.link_count; i++) {
        struct redis_link *link = fake.links[i];
        if (strcmp(link->name, name) == 0 && !link->is_gone && link->is_up) {
            link->is_up = false;
            link->is_held_down = true;
            link->redirect = 0;
            drop_deliveries(link);
            link->events.on_down(link->events.context, "cut by the test");
        }
    }
}

void memory_redis_mend(void)
{
    for (size_t i = 0; i < fake.link_count; i++) {
        fake.links[i]->is_held_down = false;
    }
}

void memory_redis_stall(bool is_stalled)
{
    fake.is_stalled = is_stalled;
}

void memory_redis_hurry_messages(bool is_hurried)
{
    fake.is_hurried = is_hurried;
}

void memory_redis_flush_all(void)
{
    while (!list_is_empty(&fake.store)) {
        stored_free(LIST_ITEM(fake.store.next, struct stored, in_store));
    }
    touched(NULL, NULL);
}

bool memory_redis_has(const char *key)
{
    return find(key) != NULL;
}

void memory_redis_set(const char *key, const char *text, uint64_t lifetime_ms)
{
    set(NULL, key, text, strlen(text), lifetime_ms);
}

unsigned memory_redis_pending(void)
{
    unsigned count = 0;
    LIST_EACH(node, &fake.queue) {
        count++;
    }
    return count;
}
