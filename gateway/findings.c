/* Cuts a report into its lines. A longer line than the log shows is cut by the log. */
#include "findings.h"

#include <string.h>

void findings_log(enum log_level level, const char *message, const struct bytes *text)
{
    const char *at = text->at;
    const char *end = at ? at + text->length : NULL;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((line_end ? line_end : end) - at);
        char line[512];
        size_t kept = length < sizeof line - 1 ? length : sizeof line - 1;
        memcpy(line, at, kept);
        line[kept] = '\0';
        log_at(level, message, LOG_TEXT("finding", line));
        at += length + 1;
    }
}
