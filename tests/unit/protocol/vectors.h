/**
 * The vectors of protocol/vectors/, for tests. Any trouble reading them fails
 * the running test.
 */
#ifndef SOPHIA_TESTS_PROTOCOL_VECTORS_H
#define SOPHIA_TESTS_PROTOCOL_VECTORS_H

#include <jansson.h>
#include <stddef.h>

/** One message vector. */
struct vector {
    const char *file; /* its path, for messages */
    char *text;       /* the frame, NUL-terminated for convenience; may hold NULs */
    size_t length;
    const json_t *expect; /* the whole "expect" object */
    const char *result;   /* expect.result */
};

typedef void on_vector(const struct vector *vector, void *context);

/** Calls back once for each file in protocol/vectors/<kind>/; returns how many there were. */
size_t vectors_each(const char *kind, on_vector *callback, void *context);
/** The "cases" of protocol/vectors/<name>.json, an owned reference to the array. */
json_t *vectors_cases(const char *name);
/** A whole text file below the source tree, NUL-terminated, to be freed. */
char *source_file_read(const char *path);

/** Let `count` more allocations by protocol/ and the test succeed, all behind them fail; -1: none fails. */
void allocations_fail_after(int count);

#endif
