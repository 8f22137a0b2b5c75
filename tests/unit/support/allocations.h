/**
 * Stands in for the allocator, so that a test can make any allocation of the code under test fail. Link with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray,--wrap=strdup; libraries are not affected.
 */
#ifndef SOPHIA_TESTS_ALLOCATIONS_H
#define SOPHIA_TESTS_ALLOCATIONS_H

#include <stdbool.h>

/** Let `count` more allocations succeed, then fail one; all behind it succeed again. */
void allocations_fail_one_after(int count);
/** Let `count` more allocations succeed and fail all behind them. */
void allocations_fail_all_after(int count);
/** No allocation fails from now on. Did one fail since the last fail_*? */
bool allocations_recover(void);

#endif
