/*
 * Reading, printing, comparing and freeing what forms.c describes. A wrong entry is told and stays half built; as there
 * is a finding then, the configuration is thrown away, and freeing takes NULL.
 */
#include "config/entries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/one_line.h"
#include "cache/cache_class.h"
#include "catalog/nearest_word.h"
#include "config/forms.h"
#include "config/mappings.h"
#include "protocol/json_pointer.h"

enum {
    ENTRIES_MAX = 256,
    LIST_MAX = 64, /* texts of a list, fields of a map */
};

/* ---- the array in struct config ---- */

struct list {
    char *at;
    size_t count;
};

/* A list in struct config is a pointer and a size_t after it; this struct is copied from and to there. */
#define IS_LIST(pointer, number)                                                             \
    static_assert(offsetof(struct config, number) ==                                         \
                          offsetof(struct config, pointer) + offsetof(struct list, count) && \
                      sizeof((struct config *)0)->pointer == sizeof((struct list *)0)->at,   \
                  "a list is a pointer and its count")
IS_LIST(tls.certificates, tls.certificate_count);
IS_LIST(ingest.keys, ingest.key_count);
IS_LIST(admin.keys, admin.key_count);
IS_LIST(webhooks.hooks, webhooks.hook_count);
IS_LIST(postgres.notifications, postgres.notification_count);
IS_LIST(redis.channels, redis.channel_count);
IS_LIST(redis.streams, redis.stream_count);

static struct list list_of(const struct option *option, const struct config *config)
{
    struct list list;
    memcpy(&list, (const char *)config + option->offset, sizeof list);
    return list;
}

static void list_store(const struct option *option, struct config *config, const struct list *list)
{
    memcpy((char *)config + option->offset, list, sizeof *list);
}

static const char **text_slot(char *entry, const struct member *member)
{
    return (const char **)(void *)(entry + member->offset);
}

static const char *text_at(const char *entry, const struct member *member)
{
    const char *text;
    memcpy(&text, entry + member->offset, sizeof text);
    return text;
}

static bool is_list(const struct member *member)
{
    return member->kind == MEMBER_TEXTS || member->kind == MEMBER_PATHS;
}

/** One const char *, and nothing else. */
static bool is_text(const struct member *member)
{
    return member->kind != MEMBER_WORD && member->kind != MEMBER_FIELDS && !is_list(member);
}

static char **texts_at(const char *entry, const struct member *member)
{
    char **texts;
    memcpy(&texts, entry + member->offset, sizeof texts);
    return texts;
}

/** The fields of an entry: a pointer and a size_t behind it. */
struct fields {
    struct webhooks_field *at;
    size_t count;
};
static_assert(offsetof(struct webhooks_hook, field_count) ==
                  offsetof(struct webhooks_hook, fields) + offsetof(struct fields, count),
              "fields are a pointer and their count");

static struct fields fields_at(const char *entry, const struct member *member)
{
    struct fields fields;
    memcpy(&fields, entry + member->offset, sizeof fields);
    return fields;
}

static unsigned word_at(const char *entry, size_t offset)
{
    unsigned word;
    memcpy(&word, entry + offset, sizeof word); /* an enum without negative values */
    return word;
}

/** Not all members of a form are members of each of its entries: a pattern has no channel. */
static bool is_member_of(const struct form *form, const struct member *member, const char *entry)
{
    return !member->has_choice || word_at(entry, form->choice_offset) == member->choice;
}

/* ---- reading ---- */

/** One entry being read. */
struct reading {
    const struct walk *walk;
    const struct form *form;
    size_t number; /* from 1 */
    char *entry;
};

static void say(const struct reading *reading, const yaml_node_t *node, const char *key, const char *message)
{
    struct origin origin = node_origin(node);
    loading_say(reading->walk->loading, &origin, reading->form->option, "entry %zu: %s%s%s", reading->number,
                key ? key : "", key ? ": " : "", message);
}

/** A copy of the text; of a path, relative to the file that names it. NULL when memory ran out. */
static char *copy_item(const struct reading *reading, const struct member *member, const char *text)
{
    const struct loading *loading = reading->walk->loading;
    bool is_path = member->kind == MEMBER_PATHS || member->kind == MEMBER_PATH;
    char *copy = NULL;
    if (!is_path || text[0] == '/' || !loading->file) {
        return strdup(text);
    }
    return asprintf(&copy, "%s%s", loading->directory, text) < 0 ? NULL : copy;
}

static void store_text(const struct reading *reading, const struct member *member, const char *text)
{
    *text_slot(reading->entry, member) = copy_item(reading, member, text);
    if (!*text_slot(reading->entry, member)) {
        loading_say_no_memory(reading->walk->loading);
    }
}

static void read_word(const struct reading *reading, const struct member *member, const yaml_node_t *node,
                      const char *text)
{
    for (unsigned i = 0; member->words[i] != NULL; i++) {
        if (strcmp(member->words[i], text) == 0) {
            memcpy(reading->entry + member->offset, &i, sizeof i);
            return;
        }
    }
    char message[256];
    size_t length = (size_t)snprintf(message, sizeof message, "\"%.64s\" is not one of:", text);
    for (size_t i = 0; member->words[i] != NULL && length < sizeof message; i++) {
        length += (size_t)snprintf(message + length, sizeof message - length, "%s %s", i > 0 ? "," : "",
                                   member->words[i]);
    }
    if (!member->words[2]) {
        (void)snprintf(message, sizeof message, "\"%.64s\" is neither %s nor %s", text, member->words[0],
                       member->words[1]);
    }
    say(reading, node, member->key, message);
}

/** Line ends and tabs are fine in a query. */
static bool is_clean_query(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (((unsigned char)*at < 0x20 && !strchr("\t\r\n", *at)) || *at == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_cache_class(const char *text)
{
    return cache_class_find(cache_default_classes, cache_default_class_count, text) <
           cache_default_class_count;
}

static bool is_slug(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(text);
}

static bool is_header_name(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == strlen(text);
}

/** What is wrong with the text for this member; NULL when nothing is. */
static const char *problem_of(const struct member *member, const char *text)
{
    bool is_query = member->kind == MEMBER_QUERY;
    if (text[0] == '\0') {
        return "must not be empty";
    }
    if (strlen(text) > member->longest) {
        return "is too long";
    }
    if (is_query ? !is_clean_query(text) : !is_clean_text(text)) {
        return "contains control characters";
    }
    if (is_query && !strstr(text, "$1")) {
        return "must use $1, which is the key that the notification names";
    }
    if (member->kind == MEMBER_FIELD && !is_field_name(text)) {
        return "is not a field, such as exec.revenue_mtd";
    }
    if (member->kind == MEMBER_SLUG && !is_slug(text)) {
        return "has other characters than a-z, 0-9, - and _";
    }
    if (member->kind == MEMBER_HEADER && !is_header_name(text)) {
        return "is no name of a header, such as X-Signature";
    }
    if (member->kind == MEMBER_CLASS && !is_cache_class(text)) {
        return "is no class of the cache, such as executive_kpis or default";
    }
    return NULL;
}

static void read_text(const struct reading *reading, const struct member *member, const yaml_node_t *node,
                      const char *text)
{
    const char *problem = problem_of(member, text);
    if (problem) {
        say(reading, node, member->key, problem);
    } else if (*text_slot(reading->entry, member)) { /* channel and pattern share their place */
        say(reading, node, member->key, "channel and pattern exclude each other; make two entries");
    } else {
        store_text(reading, member, text);
        if (member->has_choice) {
            memcpy(reading->entry + reading->form->choice_offset, &member->choice, sizeof member->choice);
        }
    }
}

/* ---- lists and maps in an entry ---- */

/** The text of a node of a list or map, or NULL with a finding. */
static const char *item_text(const struct reading *reading, const struct member *member,
                             const yaml_node_t *node)
{
    const char *text = node_text(node);
    const char *problem = text ? problem_of(member, text) : "must hold texts";
    if (text && node_is_cut(node)) {
        problem = "contains control characters";
    }
    if (problem) {
        say(reading, node, member->key, problem);
        return NULL;
    }
    return text;
}

static void read_texts(const struct reading *reading, const struct member *member, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        say(reading, node, member->key, "must be a list, such as [a, b]");
        return;
    }
    const yaml_node_item_t *items = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - items);
    if (count == 0 || count > LIST_MAX) {
        say(reading, node, member->key, count == 0 ? "must not be empty" : "has more than 64 items");
        return;
    }
    char **texts = calloc(count + 1, sizeof *texts);
    memcpy(reading->entry + member->offset, &texts, sizeof texts); /* freed with the entry, half filled too */
    for (size_t i = 0; texts && i < count; i++) {
        const char *text =
            item_text(reading, member, yaml_document_get_node(reading->walk->document, items[i]));
        texts[i] = text ? copy_item(reading, member, text) : NULL;
        if (text && !texts[i]) {
            loading_say_no_memory(reading->walk->loading);
        }
        if (!texts[i]) {
            return;
        }
    }
    if (!texts) {
        loading_say_no_memory(reading->walk->loading);
    }
}

#define COUNT_WORD "count"

/** One pair of a map of fields, into the next place. False with a finding. */
static bool read_field(const struct reading *reading, const struct member *member,
                       const yaml_node_pair_t *pair, struct fields *fields)
{
    const yaml_node_t *key_node = yaml_document_get_node(reading->walk->document, pair->key);
    const yaml_node_t *node = yaml_document_get_node(reading->walk->document, pair->value);
    const char *key = node_key(reading->walk, key_node);
    const char *text = key ? item_text(reading, member, node) : NULL;
    if (!text) {
        return false;
    }
    if (!is_field_name(key)) {
        say(reading, key_node, member->key, "is a map of fields, such as exec.revenue_mtd");
        return false;
    }
    for (size_t i = 0; i < fields->count; i++) {
        if (strcmp(fields->at[i].field, key) == 0) {
            say(reading, key_node, member->key, "names a field twice");
            return false;
        }
    }
    bool is_count = strcmp(text, COUNT_WORD) == 0;
    if (!is_count && (text[0] != '/' || !json_pointer_is_valid(text))) {
        say(reading, node, member->key,
            "must say \"count\", or where in the event the value is, such as /data/amount");
        return false;
    }
    struct webhooks_field *field = &fields->at[fields->count];
    field->field = strdup(key);
    field->pointer = is_count ? NULL : strdup(text);
    if (!field->field || (!is_count && !field->pointer)) {
        free((void *)(uintptr_t)field->field); /* const for those who only read */
        free((void *)(uintptr_t)field->pointer);
        loading_say_no_memory(reading->walk->loading);
        return false;
    }
    fields->count++;
    return true;
}

static void read_fields(const struct reading *reading, const struct member *member, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE) {
        say(reading, node, member->key, "must be a map of fields to where their values are");
        return;
    }
    struct pairs pairs = node_pairs(node);
    size_t count = (size_t)(pairs.end - pairs.at);
    if (count == 0 || count > LIST_MAX) {
        say(reading, node, member->key, count == 0 ? "must not be empty" : "has more than 64 fields");
        return;
    }
    struct fields fields = {.at = calloc(count, sizeof *fields.at)};
    if (!fields.at) {
        loading_say_no_memory(reading->walk->loading);
        return;
    }
    while (pairs.at < pairs.end && read_field(reading, member, pairs.at, &fields)) {
        pairs.at++;
    }
    memcpy(reading->entry + member->offset, &fields, sizeof fields);
}

/* ---- members and entries ---- */

static const struct member *member_find(const struct form *form, const char *key)
{
    for (size_t i = 0; i < form->member_count; i++) {
        if (strcmp(form->members[i].key, key) == 0) {
            return &form->members[i];
        }
    }
    return NULL;
}

static void say_unknown_member(const struct reading *reading, const yaml_node_t *node, const char *key)
{
    struct nearest_word choice = {.word = key};
    for (size_t i = 0; i < reading->form->member_count; i++) {
        nearest_word_offer(&choice, reading->form->members[i].key);
    }
    char message[256];
    (void)snprintf(message, sizeof message, "unknown member \"%.64s\"%s%s%s", key,
                   choice.nearest ? " (did you mean \"" : "", choice.nearest ? choice.nearest : "",
                   choice.nearest ? "\"?)" : "");
    say(reading, node, NULL, message);
}

static void read_member(const struct reading *reading, const yaml_node_pair_t *pair, bool *is_given)
{
    const yaml_node_t *key_node = yaml_document_get_node(reading->walk->document, pair->key);
    const yaml_node_t *node = yaml_document_get_node(reading->walk->document, pair->value);
    const char *key = node_key(reading->walk, key_node);
    const struct member *member = key ? member_find(reading->form, key) : NULL;
    if (!key) {
        return;
    }
    if (!member) {
        say_unknown_member(reading, key_node, key);
        return;
    }
    bool *is_again = &is_given[member - reading->form->members];
    const char *text = node_text(node);
    if (*is_again) {
        say(reading, key_node, key, "is given twice");
    } else if (is_list(member)) {
        read_texts(reading, member, node);
    } else if (member->kind == MEMBER_FIELDS) {
        read_fields(reading, member, node);
    } else if (!text) {
        say(reading, node, key, "must be a single value");
    } else if (node_is_cut(node)) {
        say(reading, node, key, "contains control characters");
    } else if (member->kind == MEMBER_WORD) {
        read_word(reading, member, node, text);
    } else {
        read_text(reading, member, node, text);
    }
    *is_again = true;
}

/** The rest of an entry: what was not given, and what its members are to each other. */
static void complete(const struct reading *reading, const yaml_node_t *node, const bool *is_given,
                     const struct list *before)
{
    const struct form *form = reading->form;
    const size_t findings = reading->walk->loading->report->count;
    for (size_t i = 0; i < form->member_count; i++) {
        const struct member *member = &form->members[i];
        if (!is_given[i] && member->is_required) {
            say(reading, node, member->key, "is missing");
        } else if (!is_given[i] && member->fallback) {
            store_text(reading, member, member->fallback);
        }
    }
    bool has_all = reading->walk->loading->report->count == findings;
    const char *problem = form->complete && has_all ? form->complete(reading->entry) : NULL;
    if (problem) {
        say(reading, node, NULL, problem);
    }
    for (size_t i = 0; form->is_double && i < before->count; i++) {
        if (form->is_double(before->at + i * form->size, reading->entry)) {
            say(reading, node, NULL, "is there already; give each one once");
        }
    }
}

static void read_entry(const struct reading *reading, const yaml_node_t *node, const struct list *before)
{
    enum { MEMBERS_MAX = 12 };
    bool is_given[MEMBERS_MAX] = {false};
    assert(reading->form->member_count <= MEMBERS_MAX);
    if (node->type != YAML_MAPPING_NODE) {
        say(reading, node, NULL, "must be a map");
        return;
    }
    size_t findings = reading->walk->loading->report->count;
    for (struct pairs pairs = node_pairs(node); pairs.at < pairs.end; pairs.at++) {
        read_member(reading, pairs.at, is_given);
    }
    if (reading->walk->loading->report->count == findings) {
        complete(reading, node, is_given, before);
    }
}

void entries_read(const struct walk *walk, const struct option *option, const yaml_node_t *node,
                  const struct origin *origin)
{
    const struct form *form = form_of(option);
    if (node->type != YAML_SEQUENCE_NODE) {
        loading_say(walk->loading, origin, option->name, "must be a list of maps, not %s", node_kind(node));
        return;
    }
    const yaml_node_item_t *items = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - items);
    const size_t most = form->most ? form->most : ENTRIES_MAX;
    if (count > most) {
        loading_say(walk->loading, origin, option->name, "has more than %zu entries", most);
        return;
    }
    struct list list = {.at = calloc(count + 1, form->size)};
    if (!list.at) {
        loading_say_no_memory(walk->loading);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct reading reading = {
            .walk = walk, .form = form, .number = i + 1, .entry = list.at + i * form->size};
        read_entry(&reading, yaml_document_get_node(walk->document, items[i]), &list);
        list.count++;
    }
    list_store(option, walk->loading->config, &list);
}

/* ---- the rest of their life ---- */

static void print_quoted(struct bytes *out, const char *text)
{
    bytes_append_json_string(out, text, strlen(text)); /* a JSON string is a YAML string */
}

static void print_texts(struct bytes *out, char **texts)
{
    for (size_t i = 0; texts[i] != NULL; i++) {
        bytes_append_text(out, i > 0 ? ", " : "[");
        print_quoted(out, texts[i]);
    }
    bytes_append_byte(out, ']');
}

static void print_fields(struct bytes *out, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        bytes_append_text(out, "\n        ");
        print_quoted(out, fields->at[i].field);
        bytes_append_text(out, ": ");
        print_quoted(out, fields->at[i].pointer ? fields->at[i].pointer : COUNT_WORD);
    }
}

/** The value of a member behind its key. */
static void print_member(struct bytes *out, const struct member *member, const char *entry)
{
    if (member->kind == MEMBER_WORD) {
        print_quoted(out, member->words[word_at(entry, member->offset)]);
    } else if (is_list(member)) {
        print_texts(out, texts_at(entry, member));
    } else if (member->kind == MEMBER_FIELDS) {
        struct fields fields = fields_at(entry, member);
        print_fields(out, &fields);
    } else {
        print_quoted(out, text_at(entry, member));
    }
}

/** "key: value" for each member that is set, the first after a dash. */
static void print_entry(struct bytes *out, const struct form *form, const char *entry)
{
    const char *lead = "\n    - ";
    for (size_t i = 0; i < form->member_count; i++) {
        const struct member *member = &form->members[i];
        /* Whatever else it is, it is a pointer. */
        bool is_set = member->kind == MEMBER_WORD || text_at(entry, member);
        if (is_set && is_member_of(form, member, entry)) {
            bytes_append_format(out, "%s%s: ", lead, member->key);
            print_member(out, member, entry);
            lead = "\n      ";
        }
    }
}

void entries_print(struct bytes *out, const struct option *option, const struct config *config)
{
    const struct form *form = form_of(option);
    struct list list = list_of(option, config);
    if (list.count == 0) {
        bytes_append_text(out, "[]");
    }
    for (size_t i = 0; i < list.count; i++) {
        print_entry(out, form, list.at + i * form->size);
    }
}

void entries_print_example(struct bytes *out, const struct option *option)
{
    bytes_append_text(out, form_of(option)->example);
}

void entries_swap(const struct option *option, struct config *left, struct config *right)
{
    struct list of_left = list_of(option, left);
    struct list of_right = list_of(option, right);
    list_store(option, left, &of_right);
    list_store(option, right, &of_left);
}

static bool same_text(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static bool same_texts(char **left, char **right)
{
    if (!left || !right) {
        return left == right;
    }
    size_t i = 0;
    while (left[i] && same_text(left[i], right[i])) {
        i++;
    }
    return left[i] == right[i]; /* both at their end */
}

static bool same_fields(const struct fields *left, const struct fields *right)
{
    bool is_same = left->count == right->count;
    for (size_t i = 0; is_same && i < left->count; i++) {
        is_same = same_text(left->at[i].field, right->at[i].field) &&
                  same_text(left->at[i].pointer, right->at[i].pointer);
    }
    return is_same;
}

static bool same_member(const struct member *member, const char *left, const char *right)
{
    if (member->kind == MEMBER_WORD) {
        return word_at(left, member->offset) == word_at(right, member->offset);
    }
    if (is_list(member)) {
        return same_texts(texts_at(left, member), texts_at(right, member));
    }
    if (member->kind == MEMBER_FIELDS) {
        struct fields a = fields_at(left, member), b = fields_at(right, member);
        return same_fields(&a, &b);
    }
    return same_text(text_at(left, member), text_at(right, member));
}

static bool same_entry(const struct form *form, const char *left, const char *right)
{
    if (form->has_choice && word_at(left, form->choice_offset) != word_at(right, form->choice_offset)) {
        return false;
    }
    for (size_t i = 0; i < form->member_count; i++) {
        if (!same_member(&form->members[i], left, right)) {
            return false;
        }
    }
    return true;
}

bool entries_are_same(const struct option *option, const struct config *left, const struct config *right)
{
    const struct form *form = form_of(option);
    struct list a = list_of(option, left);
    struct list b = list_of(option, right);
    bool is_same = a.count == b.count;
    for (size_t i = 0; is_same && i < a.count; i++) {
        is_same = same_entry(form, a.at + i * form->size, b.at + i * form->size);
    }
    return is_same;
}

/** A field, or a KPI of rows: then the message names the row. */
static bool is_known(const struct catalog *catalog, const char *field)
{
    return catalog_kpi_of_field(catalog, field) || catalog_kpi(catalog, field, strlen(field));
}

static void check_field(const struct loading *loading, const struct form *form, size_t index,
                        const struct member *member, const char *field, const struct catalog *catalog)
{
    if (field && !is_known(catalog, field)) {
        char place[96];
        (void)snprintf(place, sizeof place, "%s: entry %zu: %s", form->option, index + 1, member->key);
        say_unknown_field(loading, place, field, catalog);
    }
}

static void check_list(const struct loading *loading, const struct form *form, const struct list *list,
                       const struct catalog *catalog)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *entry = list->at + i * form->size;
        for (size_t j = 0; j < form->member_count; j++) {
            const struct member *member = &form->members[j];
            if (member->kind == MEMBER_FIELD) {
                check_field(loading, form, i, member, text_at(entry, member), catalog);
            } else if (member->kind == MEMBER_FIELDS) {
                struct fields fields = fields_at(entry, member);
                for (size_t k = 0; k < fields.count; k++) {
                    check_field(loading, form, i, member, fields.at[k].field, catalog);
                }
            }
        }
    }
}

void entries_check(const struct loading *loading, const struct catalog *catalog)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (config_options[i].kind == OPTION_ENTRIES) {
            struct list list = list_of(&config_options[i], loading->config);
            check_list(loading, form_of(&config_options[i]), &list, catalog);
        }
    }
}

static void finish_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i] != NULL; i++) {
        free(texts[i]);
    }
    free(texts);
}

static void finish_fields(const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        free((void *)(uintptr_t)fields->at[i].field); /* const for those who only read */
        free((void *)(uintptr_t)fields->at[i].pointer);
    }
    free(fields->at);
}

static void finish_member(const struct member *member, const char *entry)
{
    if (is_text(member)) {
        free((void *)(uintptr_t)text_at(entry, member)); /* const for those who only read */
    } else if (is_list(member)) {
        finish_texts(texts_at(entry, member));
    } else if (member->kind == MEMBER_FIELDS) {
        struct fields fields = fields_at(entry, member);
        finish_fields(&fields);
    }
}

void entries_finish(const struct option *option, struct config *config)
{
    const struct form *form = form_of(option);
    struct list list = list_of(option, config);
    for (size_t i = 0; i < list.count; i++) {
        for (size_t j = 0; j < form->member_count; j++) {
            const char *entry = list.at + i * form->size;
            if (is_member_of(form, &form->members[j], entry)) {
                finish_member(&form->members[j], entry);
            }
        }
    }
    free(list.at);
}
