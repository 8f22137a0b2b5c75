/**
 * Repeatable randomness for property tests (splitmix64). The seed is printed; TEST_SEED=<number> in the
 * environment repeats one run.
 */
#ifndef SOPHIA_TESTS_CHANCE_H
#define SOPHIA_TESTS_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

/** otherwise: the seed when the environment names none. */
struct chance chance_seeded(const char *test, uint64_t otherwise);
uint64_t chance_next(struct chance *chance);
/** 0 .. limit - 1 */
uint32_t chance_below(struct chance *chance, uint32_t limit);
bool chance_percent(struct chance *chance, uint32_t percent);

#endif
