/* splitmix64: any seed is a good seed. */
#include "chance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct chance chance_seeded(const char *test, uint64_t otherwise)
{
    const char *wish = getenv("TEST_SEED");
    uint64_t seed = wish ? strtoull(wish, NULL, 10) : otherwise;
    printf("%s: TEST_SEED=%" PRIu64 "\n", test, seed);
    return (struct chance){.state = seed};
}

uint64_t chance_next(struct chance *chance)
{
    uint64_t z = chance->state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

uint32_t chance_below(struct chance *chance, uint32_t limit)
{
    return (uint32_t)(chance_next(chance) % limit);
}

bool chance_percent(struct chance *chance, uint32_t percent)
{
    return chance_below(chance, 100) < percent;
}
