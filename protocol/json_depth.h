/**
 * How deep is a JSON text nested? Asked before a parser recurses into it.
 */
#ifndef SOPHIA_PROTOCOL_JSON_DEPTH_H
#define SOPHIA_PROTOCOL_JSON_DEPTH_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Counts brackets outside strings; stops at the first that is too deep. Text that is
 * not JSON may be miscounted: the parser refuses it anyway.
 * Cost: O(length), no memory.
 */
bool json_is_deeper(const char *text, size_t length, int max_depth);

#endif
