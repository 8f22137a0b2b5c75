/*
 * The wire text of a value that is on a board already: read its head, or write
 * it again in another state. The texts are our own (catalog_admit), so the head
 * has a fixed form; the rare rewriting goes through the JSON library.
 */
#include "catalog/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

static const char as_of_head[] = "{\"as_of\":";
static const char state_head[] = ",\"state\":\"";

bool value_peek(const char *text, size_t length, int64_t *out_as_of_ms, enum value_state *out_state)
{
    size_t head = sizeof as_of_head - 1;
    if (length <= head || memcmp(text, as_of_head, head) != 0) {
        return false;
    }
    char *end = NULL;
    *out_as_of_ms = strtoll(text + head, &end, 10);
    *out_state = VALUE_OK;
    size_t left = length - (size_t)(end - text);
    size_t mark = sizeof state_head - 1;
    if (left <= mark || memcmp(end, state_head, mark) != 0) {
        return true;
    }
    for (int state = 0; state < VALUE_STATE_COUNT; state++) {
        const char *name = value_state_name((enum value_state)state);
        size_t name_length = strlen(name);
        if (left > mark + name_length && memcmp(end + mark, name, name_length) == 0 &&
            end[mark + name_length] == '"') {
            *out_state = (enum value_state)state;
        }
    }
    return true;
}

/* How many bytes from `at` on are of the set; text need not be terminated. */
static size_t span_of(const char *text, size_t length, size_t at, const char *set)
{
    size_t end = at;
    while (end < length && text[end] != '\0' && strchr(set, text[end])) {
        end++;
    }
    return end - at;
}

bool value_peek_amount(const char *text, size_t length, const char **out_token, size_t *out_length)
{
    static const char amount_head[] = ",\"v\":"; /* directly behind as_of: the state is ok then */
    size_t head = sizeof as_of_head - 1;
    if (length <= head || memcmp(text, as_of_head, head) != 0) {
        return false;
    }
    size_t at = head + span_of(text, length, head, "-0123456789");
    if (at + sizeof amount_head > length || memcmp(text + at, amount_head, sizeof amount_head - 1) != 0) {
        return false;
    }
    at += sizeof amount_head - 1;
    size_t quote = text[at] == '"' ? 1 : 0;
    size_t digits = span_of(text, length, at + quote, "-+.0123456789eE");
    size_t end = at + quote + digits;
    if (digits == 0 || (quote && (end >= length || text[end] != '"'))) {
        return false;
    }
    end += quote;
    *out_token = text + at;
    *out_length = end - at;
    return end < length && (text[end] == ',' || text[end] == '}');
}

static void write_mark(struct bytes *text, json_int_t as_of_ms, enum value_state state, const char *reason)
{
    bytes_append_text(text, as_of_head);
    bytes_append_i64(text, as_of_ms);
    bytes_append_text(text, state_head);
    bytes_append_text(text, value_state_name(state));
    bytes_append_text(text, "\",\"reason\":");
    size_t length = strlen(reason);
    bytes_append_json_string(text, reason, length < REASON_MAX_BYTES ? length : REASON_MAX_BYTES);
}

/* level goes: a value that is no longer the newest has none. */
static bool is_rewritten(const char *member)
{
    static const char *const members[] = {"as_of", "state", "reason", "level"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcmp(member, members[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum result value_mark(const char *text, size_t length, enum value_state state, const char *reason,
                       int64_t now_ms, struct bytes *out_text)
{
    if (!text) {
        write_mark(out_text, now_ms, state, reason);
        return RESULT_OK;
    }
    json_auto_t *value = json_loadb(text, length, 0, NULL);
    const json_t *as_of = json_object_get(value, "as_of");
    if (!json_is_integer(as_of)) {
        return RESULT_MALFORMED;
    }
    write_mark(out_text, json_integer_value(as_of), state, reason);
    const char *member;
    json_t *content;
    json_object_foreach(value, member, content) {
        if (is_rewritten(member)) {
            continue;
        }
        char *dumped = json_dumps(content, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        if (!dumped) {
            return RESULT_NO_MEMORY;
        }
        bytes_append_byte(out_text, ',');
        bytes_append_json_string(out_text, member, strlen(member));
        bytes_append_byte(out_text, ':');
        bytes_append_text(out_text, dumped);
        free(dumped);
    }
    return RESULT_OK;
}
