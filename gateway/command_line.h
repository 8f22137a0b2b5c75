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

/** False after telling standard error what is wrong. --workers goes into the environment, as SOPHIA_WORKERS. */
bool command_line_parse(int argc, char **argv, struct command_line *out_command_line);
/** The part of --help before the options. */
extern const char COMMAND_LINE_HELP[];

struct config;

/**
 * Directories that were not configured become the ones that came with the gateway: below the prefix's
 * share/sophia-gateway when they are there, else in the source tree that the binary was built in.
 * False when there are no definitions; no web page is no failure.
 */
bool directories_fill_in(struct config *config);

#endif
