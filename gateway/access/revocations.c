/* Per list two maps from names to the moment before which tokens are void, kept in the pointer itself. */
#include "access/revocations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/jwt.h"
#include "base/map.h"

enum { DIGITS_MAX = 12 }; /* beyond the year 9999 */

#define BEFORE " before "

_Static_assert(sizeof(void *) >= sizeof(int64_t), "a moment must fit into a pointer");

struct revocation_list {
    struct map tokens, subjects; /* name -> moment */
};

/** Every token, whenever it was issued. */
static const int64_t always = INT64_MAX;

static int64_t moment_of(const void *value)
{
    return (int64_t)(uintptr_t)value; /* 0: not on the list */
}

/* ---- lists ---- */

struct revocation_list *revocation_list_create(void)
{
    struct revocation_list *list = calloc(1, sizeof *list);
    if (list) {
        map_init(&list->tokens, REVOCATIONS_MAX);
        map_init(&list->subjects, REVOCATIONS_MAX);
    }
    return list;
}

void revocation_list_destroy(struct revocation_list *list)
{
    if (list) {
        map_finish(&list->tokens);
        map_finish(&list->subjects);
        free(list);
    }
}

size_t revocation_list_count(const struct revocation_list *list)
{
    return list->tokens.count + list->subjects.count;
}

/** As jwt.c takes them: no control characters, and not too long. */
static bool is_name(const char *text, size_t length, size_t max_bytes)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return false;
        }
    }
    return length > 0 && length <= max_bytes;
}

static enum result put(struct revocation_list *list, struct map *map, const char *name, size_t length,
                       int64_t before_s)
{
    int64_t known_s = moment_of(map_get(map, name, length));
    if (known_s >= before_s) {
        return RESULT_OK;
    }
    if (known_s == 0 && revocation_list_count(list) >= REVOCATIONS_MAX) {
        return RESULT_FULL;
    }
    return map_put(map, name, length, (void *)(uintptr_t)before_s);
}

/** Cuts " before DIGITS" off the end. False when the number is none that can be. */
static bool cut_moment(const char *text, size_t *length, int64_t *out_before_s)
{
    size_t digits = 0;
    while (digits < *length && text[*length - digits - 1] >= '0' && text[*length - digits - 1] <= '9') {
        digits++;
    }
    size_t suffix = digits + strlen(BEFORE);
    *out_before_s = always;
    if (digits == 0 || suffix > *length || memcmp(text + *length - suffix, BEFORE, strlen(BEFORE)) != 0) {
        return true;
    }
    if (digits > DIGITS_MAX) {
        return false;
    }
    *out_before_s = 0;
    for (size_t i = *length - digits; i < *length; i++) {
        *out_before_s = *out_before_s * 10 + (text[i] - '0');
    }
    *length -= suffix;
    return *out_before_s > 0;
}

enum result revocation_list_add(struct revocation_list *list, const char *line, size_t length)
{
    enum { PREFIX = 4 };
    int64_t before_s = always;
    if (length > PREFIX && memcmp(line, "jti:", PREFIX) == 0) {
        return is_name(line + PREFIX, length - PREFIX, JWT_ID_MAX_BYTES)
                   ? put(list, &list->tokens, line + PREFIX, length - PREFIX, always)
                   : RESULT_MALFORMED;
    }
    if (length <= PREFIX || memcmp(line, "sub:", PREFIX) != 0) {
        return RESULT_MALFORMED;
    }
    line += PREFIX;
    length -= PREFIX;
    bool is_good = cut_moment(line, &length, &before_s) && is_name(line, length, JWT_SUBJECT_MAX_BYTES);
    return is_good ? put(list, &list->subjects, line, length, before_s) : RESULT_MALFORMED;
}

static size_t without_blanks(const char *line, size_t length)
{
    while (length > 0 && strchr(" \t\r", line[length - 1]) && line[length - 1] != '\0') {
        length--;
    }
    return length;
}

static bool read_lines(struct revocation_list *list, const char *text, size_t length, char *problem)
{
    const char *end = text + length;
    size_t number = 1;
    for (const char *line = text; line < end; number++) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end) {
            (void)snprintf(problem, REVOCATIONS_PROBLEM_BYTES,
                           "line %zu has no end: is it being written still?", number);
            return false;
        }
        size_t line_length = without_blanks(line, (size_t)(line_end - line));
        enum result result =
            line_length == 0 || line[0] == '#' ? RESULT_OK : revocation_list_add(list, line, line_length);
        if (result != RESULT_OK) {
            (void)snprintf(problem, REVOCATIONS_PROBLEM_BYTES,
                           result == RESULT_MALFORMED ? "line %zu is neither \"jti:...\" nor \"sub:...\""
                           : result == RESULT_FULL    ? "line %zu is one more than the entries it may hold"
                                                      : "line %zu: memory ran out",
                           number);
            return false;
        }
        line = line_end + 1;
    }
    return true;
}

struct revocation_list *revocation_list_read(const char *text, size_t length,
                                             char out_problem[REVOCATIONS_PROBLEM_BYTES])
{
    if (length > REVOCATIONS_MAX_BYTES) {
        (void)snprintf(out_problem, REVOCATIONS_PROBLEM_BYTES, "is larger than %d bytes",
                       REVOCATIONS_MAX_BYTES);
        return NULL;
    }
    struct revocation_list *list = revocation_list_create();
    if (!list) {
        (void)snprintf(out_problem, REVOCATIONS_PROBLEM_BYTES, "memory ran out");
        return NULL;
    }
    if (!read_lines(list, text, length, out_problem)) {
        revocation_list_destroy(list);
        return NULL;
    }
    return list;
}

/* ---- in force ---- */

void revocations_finish(struct revocations *revocations)
{
    for (int origin = 0; origin < REVOCATION_ORIGIN_COUNT; origin++) {
        revocation_list_destroy(revocations->lists[origin]);
        revocations->lists[origin] = NULL;
    }
}

void revocations_set(struct revocations *revocations, enum revocation_origin origin,
                     struct revocation_list *list)
{
    revocation_list_destroy(revocations->lists[origin]);
    revocations->lists[origin] = list;
}

bool revocations_cover(const struct revocations *revocations, const char *subject, const char *id,
                       int64_t issued_s)
{
    for (int origin = 0; origin < REVOCATION_ORIGIN_COUNT; origin++) {
        const struct revocation_list *list = revocations->lists[origin];
        if (list && ((id[0] != '\0' && map_get(&list->tokens, id, strlen(id))) ||
                     moment_of(map_get(&list->subjects, subject, strlen(subject))) > issued_s)) {
            return true;
        }
    }
    return false;
}
