/*
 * One pass, three states: outside a string, inside, behind a backslash.
 */
#include "protocol/json_depth.h"

bool json_is_deeper(const char *text, size_t length, int max_depth)
{
    int depth = 0;
    bool is_in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (is_in_string) {
            i += c == '\\' ? 1 : 0;
            is_in_string = c != '"';
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        } else {
            is_in_string = c == '"';
        }
    }
    return false;
}
