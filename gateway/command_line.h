/**
 * What the command line asks for, and where the gateway's own files are.
 */
#ifndef SOPHIA_COMMAND_LINE_H
#define SOPHIA_COMMAND_LINE_H

#include <stdbool.h>

enum command {
    COMMAND_RUN = 0,
    COMMAND_CHECK_CONFIG,
    COMMAND_PRINT_CONFIG,
    COMMAND_PRINT_EXAMPLE,
    COMMAND_PRINT_OPTIONS, /* the table of docs/configuration.md */
    COMMAND_VERSION,
    COMMAND_HELP,
};

struct command_line {
    enum command command;
    const char *config_path; /* points into argv; NULL = no file */
};

/** False after telling standard error what is wrong. */
bool command_line_parse(int argc, char **argv, struct command_line *out_command_line);
/** The part of --help before the options. */
extern const char COMMAND_LINE_HELP[];

/**
 * A directory that comes with the gateway: `installed` below the prefix's share/sophia-gateway when
 * it is there, else `in_tree` below the source tree that the binary was built in.
 * Owns: the caller frees it. NULL when neither exists.
 */
char *shipped_directory(const char *installed, const char *in_tree);

#endif
