/* Counts allocations down; see allocations.h. */
#include "allocations.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int allowed = -1; /* -1: no failure is due */
static bool fails_for_good;
static bool has_failed;

void allocations_fail_one_after(int count)
{
    allowed = count;
    fails_for_good = false;
    has_failed = false;
}

void allocations_fail_all_after(int count)
{
    allowed = count;
    fails_for_good = true;
    has_failed = false;
}

bool allocations_recover(void)
{
    allowed = -1;
    return has_failed;
}

static bool may_allocate(void)
{
    if (allowed < 0) {
        return true;
    }
    if (allowed > 0) {
        allowed--;
        return true;
    }
    has_failed = true;
    allowed = fails_for_good ? 0 : -1;
    return false;
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
