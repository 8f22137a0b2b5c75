/**
 * The known word closest to a misspelt one, for "did you mean" hints.
 */
#ifndef SOPHIA_CATALOG_NEAREST_WORD_H
#define SOPHIA_CATALOG_NEAREST_WORD_H

#include <stddef.h>

/**
 * A running choice: start with {.word = the misspelt word}, offer every known
 * word, read `nearest` (borrowed; NULL when nothing is close enough to suggest).
 */
struct nearest_word {
    const char *word;
    const char *nearest;
    size_t distance; /* of `nearest`, in edits (insert, delete, replace, swap of neighbours) */
};

/** Cost: the product of the two lengths; words over 64 bytes are never suggested. */
void nearest_word_offer(struct nearest_word *choice, const char *known);

#endif
