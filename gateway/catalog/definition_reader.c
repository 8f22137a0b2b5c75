/*
 * The table-driven checks behind every definition file. Findings are collected, never logged: the one who
 * asked for the catalogue decides who hears them. Text taken from a file is cut and its control characters
 * are replaced before it is repeated in a finding.
 */
#include "catalog/definition_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/one_line.h"
#include "catalog/nearest_word.h"
#include "protocol/limits.h"

enum { REPORT_MAX_BYTES = 262144, SHOWN_MAX_BYTES = 96, MEMBER_KEY_MAX_BYTES = 64 };

/* ---- findings ---- */

void catalog_report_init(struct catalog_report *report)
{
    bytes_init(&report->text, REPORT_MAX_BYTES);
    report->count = 0;
}

void catalog_report_finish(struct catalog_report *report)
{
    if (report) {
        bytes_finish(&report->text);
    }
}

struct place place_of_file(struct catalog_report *report, const char *file)
{
    return (struct place){.report = report, .file = file};
}

struct place place_enter(const struct place *place, const char *member)
{
    struct place inner = *place;
    size_t length = strlen(inner.path);
    if (length > 0 && length + 2 < sizeof inner.path) {
        inner.path[length++] = '.';
        inner.path[length] = '\0';
    }
    (void)snprintf(inner.path + length, sizeof inner.path - length, "%.*s", SHOWN_MAX_BYTES, member);
    make_one_line(inner.path + length);
    return inner;
}

struct place place_enter_index(const struct place *place, const char *member, size_t index)
{
    char name[SHOWN_MAX_BYTES];
    (void)snprintf(name, sizeof name, "%s[%zu]", member, index); /* member is one of our own short names */
    return place_enter(place, name);
}

void place_say(const struct place *place, const char *member, const char *format, ...)
{
    struct catalog_report *report = place->report;
    report->count++;
    if (report->count > DEFINITION_FINDINGS_MAX) {
        return;
    }
    struct place at = member ? place_enter(place, member) : *place;
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments); /* a longer message is cut */
    va_end(arguments);
    make_one_line(message);
    bytes_append_format(&report->text, "%s: %s%s%s\n", at.file, at.path, at.path[0] != '\0' ? ": " : "",
                        message);
}

void place_say_no_memory(const struct place *place)
{
    place_say(place, NULL, "memory ran out");
}

static void offer_all(struct nearest_word *choice, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        nearest_word_offer(choice, words[i]);
    }
}

/* The nearest of the words to a misspelt one, as " (did you mean \"x\"?)", or "". */
struct hint {
    char text[128];
};

static struct hint hint_of(const struct nearest_word *choice)
{
    struct hint hint = {.text = ""};
    if (choice->nearest) {
        (void)snprintf(hint.text, sizeof hint.text, " (did you mean \"%s\"?)", choice->nearest);
    }
    return hint;
}

static struct hint hint_among(const char *word, const char *const *words)
{
    struct nearest_word choice = {.word = word};
    offer_all(&choice, words);
    return hint_of(&choice);
}

/* ---- members ---- */

static const char *const kind_names[] = {
    [MEMBER_TEXT] = "a text",
    [MEMBER_NUMBER] = "a number",
    [MEMBER_INTEGER] = "a whole number",
    [MEMBER_BOOL] = "true or false",
    [MEMBER_OBJECT] = "an object",
    [MEMBER_ARRAY] = "an array",
    [MEMBER_LIST] = "an array",
    [MEMBER_OPTIONAL_TEXT] = "a text or null",
    [MEMBER_QUERY] = "a text or a list of lines",
};

static bool has_kind(const json_t *member, enum member_kind kind)
{
    switch (kind) {
    case MEMBER_TEXT:
        return json_is_string(member);
    case MEMBER_OPTIONAL_TEXT:
        return json_is_string(member) || json_is_null(member);
    case MEMBER_NUMBER:
        return json_is_number(member);
    case MEMBER_INTEGER:
        return json_is_integer(member);
    case MEMBER_BOOL:
        return json_is_boolean(member);
    case MEMBER_OBJECT:
        return json_is_object(member);
    case MEMBER_ARRAY:
    case MEMBER_LIST:
        return json_is_array(member);
    case MEMBER_QUERY:
        return json_is_string(member) || json_is_array(member);
    }
    return false;
}

static bool check_text(const struct place *place, const char *name, const char *text)
{
    if (text[0] == '\0') {
        place_say(place, name, "must not be empty");
    } else if (strlen(text) > DEFINITION_TEXT_MAX_BYTES) {
        place_say(place, name, "is longer than %d bytes", DEFINITION_TEXT_MAX_BYTES);
    } else if (!is_clean_text(text)) {
        place_say(place, name, "contains control characters");
    } else {
        return true;
    }
    return false;
}

static bool check_member(const struct place *place, const json_t *member, const struct member_rule *rule)
{
    if (!has_kind(member, rule->kind)) {
        place_say(place, rule->name, "must be %s", kind_names[rule->kind]);
        return false;
    }
    if (json_is_string(member) && rule->kind != MEMBER_QUERY) {
        return check_text(place, rule->name, json_string_value(member));
    }
    size_t size = json_array_size(member);
    if (rule->kind == MEMBER_ARRAY && (size == 0 || size > DEFINITION_MEMBERS_MAX)) {
        place_say(place, rule->name, "has %zu items; 1 to %d are possible", size, DEFINITION_MEMBERS_MAX);
        return false;
    }
    return true;
}

static const struct member_rule *find_rule(const struct member_rule *rules, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

static void say_unknown_member(const struct place *place, const char *name, const struct member_rule *rules,
                               size_t count)
{
    struct nearest_word choice = {.word = name};
    for (size_t i = 0; i < count; i++) {
        nearest_word_offer(&choice, rules[i].name);
    }
    place_say(place, name, "unknown member%s", hint_of(&choice).text);
}

bool place_check_members(const struct place *place, const json_t *object, const struct member_rule *rules,
                         size_t count)
{
    if (!json_is_object(object)) {
        place_say(place, NULL, "must be an object");
        return false;
    }
    size_t findings = place->report->count;
    const char *name;
    json_t *member;
    /* Only reads; the macro has no const form. */
    json_object_foreach((json_t *)(uintptr_t)object, name, member) {
        const struct member_rule *rule = find_rule(rules, count, name);
        if (!rule) {
            say_unknown_member(place, name, rules, count);
        } else {
            (void)check_member(place, member, rule); /* what it found is counted in the report */
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (rules[i].is_required && !json_object_get(object, rules[i].name)) {
            place_say(place, rules[i].name, "is missing");
        }
    }
    return place->report->count == findings;
}

int place_word(const struct place *place, const json_t *object, const char *member, const char *const *words)
{
    const char *word = json_string_value(json_object_get(object, member));
    if (!word) {
        return -1;
    }
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    place_say(place, member, "unknown %s \"%.*s\"%s", member, SHOWN_MAX_BYTES, word,
              hint_among(word, words).text);
    return -1;
}

int64_t place_integer(const struct place *place, const json_t *object, const char *member, int64_t low,
                      int64_t high, int64_t fallback)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_integer(value)) {
        return fallback; /* absent, or place_check_members() has spoken */
    }
    int64_t number = json_integer_value(value);
    if (number < low || number > high) {
        place_say(place, member, "%lld is out of range %lld..%lld", (long long)number, (long long)low,
                  (long long)high);
        return fallback;
    }
    return number;
}

bool place_check_texts(const struct place *place, const json_t *object, const char *member)
{
    const json_t *list = json_object_get(object, member);
    bool is_good = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place at = place_enter_index(place, member, i);
        const char *text = json_string_value(json_array_get(list, i));
        if (!text) {
            place_say(&at, NULL, "must be a text");
            is_good = false;
        } else {
            is_good = check_text(&at, NULL, text) && is_good;
        }
    }
    return is_good;
}

char *place_copy_text(const struct place *place, const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    if (!text) {
        return NULL;
    }
    char *copy = strdup(text);
    if (!copy) {
        place_say_no_memory(place);
    }
    return copy;
}

/** One line, or the whole: text of one statement, so it ends without a semicolon. */
static bool query_line(const struct place *place, const char *member, const json_t *line, struct bytes *query)
{
    const char *text = json_string_value(line);
    if (!text || !is_clean_text(text)) {
        place_say(place, member, text ? "contains control characters" : "must be a text or a list of lines");
        return false;
    }
    if (query->length > 0) {
        bytes_append_byte(query, '\n');
    }
    bytes_append_text(query, text);
    return true;
}

static bool query_lines(const struct place *place, const json_t *value, const char *member,
                        struct bytes *query)
{
    if (json_is_string(value)) {
        return query_line(place, member, value, query);
    }
    bool is_good = true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place at = place_enter_index(place, member, i);
        is_good = query_line(&at, NULL, json_array_get(value, i), query) && is_good;
    }
    return is_good;
}

static bool query_check(const struct place *place, const char *member, const struct bytes *query)
{
    if (bytes_failed(query) || query->length > DEFINITION_QUERY_MAX_BYTES) {
        place_say(place, member, "is longer than %d bytes", DEFINITION_QUERY_MAX_BYTES);
    } else if (query->length == 0) {
        place_say(place, member, "must not be empty");
    } else if (query->at[query->length - 1] == ';') {
        place_say(place, member, "is one statement: without the ; at its end");
    } else {
        return true;
    }
    return false;
}

char *place_copy_query(const struct place *place, const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    char *copy = NULL;
    size_t length = 0;
    struct bytes query;
    bytes_init(&query, DEFINITION_QUERY_MAX_BYTES + 1);
    if (value && query_lines(place, value, member, &query) && query_check(place, member, &query)) {
        bytes_append_byte(&query, '\0');
        copy = bytes_failed(&query) ? NULL : bytes_take(&query, &length);
        if (!copy) {
            place_say_no_memory(place);
        }
    }
    bytes_finish(&query);
    return copy;
}

/* ---- names ---- */

static size_t span_word(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static bool starts_with_letter(const char *text)
{
    return text[0] >= 'a' && text[0] <= 'z';
}

bool is_member_key(const char *text)
{
    size_t length = span_word(text);
    return starts_with_letter(text) && text[length] == '\0' && length <= MEMBER_KEY_MAX_BYTES;
}

bool is_kpi_id(const char *text)
{
    size_t length = span_word(text);
    if (!starts_with_letter(text) || text[length] != '.') {
        return false;
    }
    while (text[length] == '.') {
        size_t word = span_word(text + length + 1);
        if (word == 0) {
            return false;
        }
        length += 1 + word;
    }
    return text[length] == '\0' && length <= KPI_ID_MAX_BYTES;
}

bool is_board_id(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return starts_with_letter(text) && text[length] == '\0' && length <= BOARD_ID_MAX_BYTES;
}

/* ---- files ---- */

static void close_file(FILE **file)
{
    if (*file) {
        (void)fclose(*file); /* only read: nothing can be lost */
    }
}

/** The content and its length, or NULL with a finding. */
static char *read_whole(const char *path, const struct place *place, size_t *out_length)
{
    __attribute__((cleanup(close_file))) FILE *file = fopen(path, "rbe");
    if (!file) {
        place_say(place, NULL, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    AUTO_FREE char *content = malloc(DEFINITION_FILE_MAX_BYTES + 1);
    if (!content) {
        place_say_no_memory(place);
        return NULL;
    }
    size_t length = fread(content, 1, DEFINITION_FILE_MAX_BYTES + 1, file);
    if (ferror(file)) {
        place_say(place, NULL, "cannot be read: %s", strerror(errno));
        return NULL;
    }
    if (length > DEFINITION_FILE_MAX_BYTES) {
        place_say(place, NULL, "is larger than %d bytes", DEFINITION_FILE_MAX_BYTES);
        return NULL;
    }
    *out_length = length;
    return TAKE(content);
}

json_t *definition_file_read(const char *path, const struct place *place)
{
    size_t length = 0;
    AUTO_FREE char *content = read_whole(path, place, &length);
    if (!content) {
        return NULL;
    }
    json_error_t error;
    json_t *document = json_loadb(content, length, JSON_REJECT_DUPLICATES, &error);
    if (!document) {
        place_say(place, NULL, "line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (!json_is_object(document)) {
        place_say(place, NULL, "must hold one JSON object");
        json_decref(document);
        return NULL;
    }
    return document;
}
