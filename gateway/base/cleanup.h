/**
 * Self-releasing locals and ownership transfer (STYLE: a function that holds
 * library objects only while it runs returns early and never leaks).
 */
#ifndef SOPHIA_BASE_CLEANUP_H
#define SOPHIA_BASE_CLEANUP_H

#include <stdlib.h>

static inline void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

/** AUTO_FREE char *text = ...; freed when the scope ends unless taken. */
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))

/** The pointer's value; the variable is NULL afterwards, so its cleanup does nothing. */
#define TAKE(pointer)                           \
    __extension__({                             \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })

#endif
