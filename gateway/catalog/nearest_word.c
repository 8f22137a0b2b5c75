/*
 * Edit distance with neighbour swaps (optimal string alignment). A word is close enough when at most a third
 * of its letters, and at least one edit, separates it from the known one; ties go to the word offered first.
 */
#include "catalog/nearest_word.h"

#include <string.h>

enum { WORD_MAX_BYTES = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *left, size_t left_length, const char *right, size_t right_length)
{
    size_t rows[3][WORD_MAX_BYTES + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= right_length; j++) {
        above[j] = j;
        before[j] = j;
    }
    for (size_t i = 1; i <= left_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= right_length; j++) {
            size_t replaced = above[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[right_length];
}

void nearest_word_offer(struct nearest_word *choice, const char *known)
{
    size_t word_length = strlen(choice->word);
    size_t known_length = strlen(known);
    if (word_length == 0 || word_length > WORD_MAX_BYTES || known_length > WORD_MAX_BYTES) {
        return;
    }
    size_t distance = edit_distance(choice->word, word_length, known, known_length);
    size_t allowed = known_length / 3 > 1 ? known_length / 3 : 1;
    if (distance <= allowed && (!choice->nearest || distance < choice->distance)) {
        choice->nearest = known;
        choice->distance = distance;
    }
}
