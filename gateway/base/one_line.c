#include "base/one_line.h"

static bool is_control(char byte)
{
    return (unsigned char)byte < 0x20 || byte == 0x7f;
}

void make_one_line(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (is_control(*at)) {
            *at = '?';
        }
    }
}

bool is_clean_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (is_control(*at)) {
            return false;
        }
    }
    return true;
}
