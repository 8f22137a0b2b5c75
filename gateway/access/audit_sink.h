/**
 * Where audit lines go: to the end of a file, to a syslog socket, or both. Internal to audit.c.
 *
 * Never blocks on a socket: a syslog that takes nothing now does not get the line.
 */
#ifndef SOPHIA_ACCESS_AUDIT_SINK_H
#define SOPHIA_ACCESS_AUDIT_SINK_H

#include <stdbool.h>
#include <stddef.h>

struct audit_sink {
    const char *file;   /* borrowed; NULL: none */
    const char *syslog; /* likewise */
    int file_fd;        /* -1: none */
    int syslog_fd;      /* -1: not connected */
    bool is_torn;       /* the file ends within a line */
};

/** False after logging why. audit_sink_close() in either case. */
bool audit_sink_open(struct audit_sink *sink, const char *file, const char *syslog);
/** Open the file anew. False after logging why: the one before stays. */
bool audit_sink_reopen(struct audit_sink *sink);
/** One line, with its newline. False: at least one place does not have it. */
bool audit_sink_write(struct audit_sink *sink, const char *line, size_t length);
void audit_sink_close(struct audit_sink *sink);

#endif
