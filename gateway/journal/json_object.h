/**
 * Is this text one JSON object? Asked of texts that come back from Redis before they are put into frames
 * unparsed.
 */
#ifndef SOPHIA_JOURNAL_JSON_OBJECT_H
#define SOPHIA_JOURNAL_JSON_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_OBJECT_MAX_DEPTH = 16 };

/**
 * Exactly one object, valid UTF-8, no space around it, nested at most JSON_OBJECT_MAX_DEPTH deep. Members
 * named twice pass.
 * Cost: O(length), no memory.
 */
bool text_is_json_object(const char *text, size_t length);
/** Valid UTF-8 without control characters, not empty. */
bool text_is_printable(const char *text, size_t length);

#endif
