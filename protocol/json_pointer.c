/*
 * One step at a time, unescaped into memory of the stack: a step is no longer than the pointer. An index has no
 * sign and no leading zero, and "-" (the place behind the last) is never there.
 */
#include "protocol/json_pointer.h"

#include <stdint.h>
#include <string.h>

bool json_pointer_is_valid(const char *pointer)
{
    size_t steps = 0;
    if (pointer[0] != '\0' && pointer[0] != '/') {
        return false;
    }
    for (const char *at = pointer; *at != '\0'; at++) {
        steps += *at == '/' ? 1 : 0;
        if (*at == '~' && at[1] != '0' && at[1] != '1') {
            return false;
        }
    }
    return strlen(pointer) <= JSON_POINTER_MAX_BYTES && steps <= JSON_POINTER_MAX_STEPS;
}

/** Unescapes the step that begins at `from`; what follows it. */
static const char *take_step(const char *from, char out_step[JSON_POINTER_MAX_BYTES + 1])
{
    while (*from != '\0' && *from != '/') {
        char letter = *from++;
        if (letter == '~') {
            letter = *from++ == '0' ? '~' : '/';
        }
        *out_step++ = letter;
    }
    *out_step = '\0';
    return from;
}

static json_t *element(const json_t *array, const char *step)
{
    size_t digits = strspn(step, "0123456789");
    if (digits == 0 || digits > 9 || step[digits] != '\0' || (step[0] == '0' && digits > 1)) {
        return NULL;
    }
    size_t index = 0;
    for (size_t i = 0; i < digits; i++) {
        index = index * 10 + (size_t)(step[i] - '0');
    }
    return json_array_get(array, index);
}

json_t *json_pointer_get(const json_t *document, const char *pointer)
{
    char step[JSON_POINTER_MAX_BYTES + 1];
    if (!json_pointer_is_valid(pointer)) {
        return NULL;
    }
    const json_t *value = document;
    while (value && *pointer == '/') {
        pointer = take_step(pointer + 1, step);
        value = json_is_array(value) ? element(value, step) : json_object_get(value, step);
    }
    return (json_t *)(uintptr_t)value; /* const for those who only read, as json_object_get() does it */
}
