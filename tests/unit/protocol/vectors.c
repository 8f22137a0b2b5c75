/* Reads vectors, and stands in for the allocator (--wrap) so that tests can make it fail. */
#include "vectors.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *read_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    return json;
}

static char *text_of_hex(const char *hex, size_t *out_length)
{
    *out_length = strlen(hex) / 2;
    char *text = calloc(1, *out_length + 1);
    assert_non_null(text);
    for (size_t i = 0; i < *out_length; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        text[i] = (char)byte;
    }
    return text;
}

static void run_vector(const char *path, on_vector *callback, void *context)
{
    json_t *json = read_json(path);
    struct vector vector = {.file = path, .expect = json_object_get(json, "expect")};
    const char *text = json_string_value(json_object_get(json, "text"));
    const char *hex = json_string_value(json_object_get(json, "hex"));
    vector.result = json_string_value(json_object_get(vector.expect, "result"));
    if ((text == NULL) == (hex == NULL) || vector.result == NULL ||
        !json_is_string(json_object_get(json, "name"))) {
        fail_msg("%s: not a vector", path);
    }
    if (hex != NULL) {
        vector.text = text_of_hex(hex, &vector.length);
    } else {
        vector.text = strdup(text);
        vector.length = strlen(text);
    }
    callback(&vector, context);
    free(vector.text);
    json_decref(json);
}

size_t vectors_each(const char *kind, on_vector *callback, void *context)
{
    char folder[512];
    (void)snprintf(folder, sizeof folder, SOURCE_ROOT "/protocol/vectors/%s", kind);
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, NULL, alphasort);
    if (found < 0) {
        fail_msg("%s cannot be read", folder);
    }
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        if (strstr(entries[i]->d_name, ".json") != NULL) {
            char path[1024];
            (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            run_vector(path, callback, context);
            count++;
        }
        free(entries[i]);
    }
    free(entries);
    return count;
}

json_t *vectors_cases(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, SOURCE_ROOT "/protocol/vectors/%s.json", name);
    json_t *json = read_json(path);
    json_t *cases = json_incref(json_object_get(json, "cases"));
    assert_true(json_array_size(cases) > 0);
    json_decref(json);
    return cases;
}

char *source_file_read(const char *path)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, SOURCE_ROOT "/%s", path);
    FILE *file = fopen(whole, "rb");
    char *text = NULL;
    size_t capacity = 0;
    if (file == NULL || getdelim(&text, &capacity, '\0', file) <= 0) {
        fail_msg("%s cannot be read", whole);
    }
    (void)fclose(file); /* only read from */
    return text;
}

/* ---- the failing allocator ---- */

static int allocations_left = -1;

void allocations_fail_after(int count)
{
    allocations_left = count;
}

static bool may_allocate(void)
{
    if (allocations_left < 0) {
        return true;
    }
    if (allocations_left == 0) {
        return false;
    }
    allocations_left--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return may_allocate() ? __real_reallocarray(old, count, size) : NULL;
}

char *__wrap_strdup(const char *text)
{
    return may_allocate() ? __real_strdup(text) : NULL;
}
