/*
 * Long options only; short forms would have to be remembered.
 */
#include "command_line.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

const char COMMAND_LINE_HELP[] =
    "Usage: sophia-gateway [--config FILE] [--workers N] [--check-config | --print-config | --print-example | --version | --help]\n"
    "       sophia-gateway token mint | token check   (token --help)\n"
    "\n"
    "  --config FILE    read the configuration from FILE (YAML)\n"
    "  --workers N      run N processes on one port; the same as SOPHIA_WORKERS=N\n"
    "  --check-config   check configuration and definitions, say what is wrong, and exit\n"
    "  --print-config   print the configuration in force, secrets masked, and exit\n"
    "  --print-example  print a commented configuration file with every option, and exit\n"
    "  --print-options  print the options as a Markdown table, and exit\n"
    "  --version        print the version and exit\n"
    "  --help           print this and exit\n"
    "\n"
    "Signals: SIGHUP reads definitions and reloadable options again, SIGTERM drains, a second SIGTERM stops at once.\n"
    "\n"
    "Options of the configuration file; the environment wins over the file (listen.port is SOPHIA_LISTEN_PORT):\n";

bool command_line_parse(int argc, char **argv, struct command_line *out_command_line)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'f'},
        {"workers", required_argument, NULL, 'w'},
        {"check-config", no_argument, NULL, COMMAND_CHECK_CONFIG},
        {"print-config", no_argument, NULL, COMMAND_PRINT_CONFIG},
        {"print-example", no_argument, NULL, COMMAND_PRINT_EXAMPLE},
        {"print-options", no_argument, NULL, COMMAND_PRINT_OPTIONS},
        {"version", no_argument, NULL, COMMAND_VERSION},
        {"help", no_argument, NULL, COMMAND_HELP},
        {NULL, 0, NULL, 0},
    };
    struct command_line line = {.command = COMMAND_RUN};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?') {
            fprintf(stderr, "Try --help.\n"); /* getopt has said what is wrong */
            return false;
        }
        if (option == 'f') {
            line.config_path = optarg;
        } else if (option == 'w') {
            if (setenv("SOPHIA_WORKERS", optarg, 1) != 0) { /* one way in: checked there, kept by a reload */
                fprintf(stderr, "%s: memory ran out\n", argv[0]);
                return false;
            }
        } else {
            line.command = (enum command)option;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\". Try --help.\n", argv[0], argv[optind]);
        return false;
    }
    *out_command_line = line;
    return true;
}

static char *directory_at(const char *base, const char *below)
{
    char *path = NULL;
    struct stat status;
    if (asprintf(&path, "%s/%s", base, below) < 0) {
        return NULL;
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        free(path);
        return NULL;
    }
    return path;
}

/* `installed` below the prefix, else `in_tree` below the source tree. The caller frees it; NULL when neither exists. */
static char *shipped_directory(const char *installed, const char *in_tree)
{
    char binary[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", binary, sizeof binary - 1);
    if (length <= 0) {
        return NULL;
    }
    binary[length] = '\0';
    char *slash = strrchr(binary, '/');
    if (!slash) {
        return NULL;
    }
    *slash = '\0';
    char below[PATH_MAX];
    snprintf(below, sizeof below, "../share/sophia-gateway/%s", installed);
    char *path = directory_at(binary, below);
    if (!path) {
        snprintf(below, sizeof below, "../../%s", in_tree); /* BUILD/gateway/sophia-gateway */
        path = directory_at(binary, below);
    }
    return path;
}

bool directories_fill_in(struct config *config)
{
    if (!config->definitions_dir) {
        config->definitions_dir = shipped_directory("definitions", "deploy/definitions");
    }
    if (!config->web_dir) {
        config->web_dir = shipped_directory("web", "web/dist");
    }
    return config->definitions_dir != NULL;
}
