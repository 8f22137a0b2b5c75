/*
 * The command line, the configuration, the definitions; then the gateway runs, or with workers the supervisor.
 *
 * Exit codes: 0 a clean stop, 1 could not start, 2 wrong command line, configuration or definitions.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "catalog/catalog.h"
#include "command_line.h"
#include "config/config.h"
#include "confinement.h"
#include "findings.h"
#include "gateway.h"
#include "sources/webhooks.h"
#include "supervisor.h"
#include "token_command.h"

enum { EXIT_WRONG_INPUT = 2 };

static void print_text(FILE *out, const struct bytes *text)
{
    if (text->length > 0) {
        fwrite(text->at, 1, text->length, out);
    }
}

/* What stops the start is for the person who starts; warnings of a gateway that runs are for its log. */
static void tell_findings(const struct command_line *line, const struct config *config,
                          const struct config_report *report)
{
    print_text(stderr, &report->text);
    if (!config || line->command != COMMAND_RUN) {
        print_text(stderr, &report->warnings);
    } else if (worker_number() == 0) { /* workers would only repeat it */
        findings_log(LOG_LEVEL_WARN, "configuration warning", &report->warnings);
    }
}

static struct config *configuration_load(const struct command_line *line)
{
    struct config_report report;
    config_report_init(&report);
    struct config *config = config_load(line->config_path, environ, &report);
    if (config) {
        log_configure(config->log.level, config->log.format);
    }
    tell_findings(line, config, &report);
    config_report_finish(&report);
    if (config && !directories_fill_in(config)) {
        fprintf(stderr, "definitions.dir: not set, and no definitions are beside the binary\n");
        config_finish(config);
        config = NULL;
    }
    return config;
}

static struct catalog *definitions_load(const struct config *config)
{
    struct catalog_report report;
    struct config_report findings;
    catalog_report_init(&report);
    config_report_init(&findings);
    struct catalog *catalog = catalog_load(config->definitions_dir, &report);
    print_text(stderr, &report.text);
    if (catalog && !config_check_mappings(config, catalog, &findings)) {
        print_text(stderr, &findings.text);
        catalog_unref(catalog);
        catalog = NULL;
    }
    catalog_report_finish(&report);
    config_report_finish(&findings);
    return catalog;
}

/* A webhook that waits for its handshake will store a secret. */
static void confine(const struct config *config)
{
    const char *new_files[WEBHOOKS_MAX + 1];
    webhooks_files_to_come(config->webhooks.hooks, config->webhooks.hook_count, new_files);
    confine_process(&(struct confinement_options){.confines = config->process.is_confined,
                                                  .new_files = new_files,
                                                  .appended_file = config->audit.file,
                                                  .may_dump_memory = config->process.may_dump_core});
}

static int run(struct config *config, struct catalog *catalog)
{
    signal(SIGPIPE, SIG_IGN); /* a peer that hangs up is an error code, not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow any more */
    confine(config);
    struct gateway *gateway = gateway_create(config, catalog);
    bool is_clean = gateway && gateway_run(gateway);
    gateway_destroy(gateway);
    return is_clean ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int supervise(char *const *argv, struct config *config)
{
    const struct supervisor_options options = {
        .argv = argv,
        .workers = config->workers,
        .host = config->listen.host,
        .port = config->listen.port,
        .node = config->node_name,
        .grace_ms = config->drain.grace_ms,
    };
    int code = supervisor_run(&options);
    config_finish(config);
    return code;
}

static int check_or_run(char *const *argv, const struct command_line *line)
{
    struct config *config = configuration_load(line);
    if (!config) {
        return EXIT_WRONG_INPUT;
    }
    if (line->command == COMMAND_PRINT_CONFIG) {
        bool is_printed = config_print(config, stdout);
        config_finish(config);
        return is_printed ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    struct catalog *catalog = definitions_load(config);
    if (!catalog) {
        config_finish(config);
        return EXIT_WRONG_INPUT;
    }
    int code = EXIT_SUCCESS;
    if (line->command == COMMAND_CHECK_CONFIG) {
        printf("ok: %zu boards, %zu KPIs, catalogue %s\n", catalog_board_count(catalog),
               catalog_kpi_count(catalog), catalog_hash(catalog));
        config_finish(config);
    } else if (config->workers > 1 && worker_number() == 0) {
        code = supervise(argv, config);
    } else if (!worker_join()) {
        log_error("the supervisor has ended, not starting");
        config_finish(config);
        code = EXIT_FAILURE;
    } else {
        code = run(config, catalog);
    }
    catalog_unref(catalog);
    return code;
}

int main(int argc, char **argv)
{
    struct command_line line;
    if (argc > 1 && strcmp(argv[1], "token") == 0) {
        return token_command(argc - 1, argv + 1);
    }
    if (!command_line_parse(argc, argv, &line)) {
        return EXIT_WRONG_INPUT;
    }
    bool is_printed = true;
    switch (line.command) {
    case COMMAND_VERSION:
        is_printed = printf("sophia-gateway %s\n", GATEWAY_VERSION) > 0;
        break;
    case COMMAND_HELP:
        is_printed = fputs(COMMAND_LINE_HELP, stdout) >= 0 && config_print_help(stdout);
        break;
    case COMMAND_PRINT_EXAMPLE:
        is_printed = config_print_example(stdout);
        break;
    case COMMAND_PRINT_OPTIONS:
        is_printed = config_print_table(stdout);
        break;
    case COMMAND_RUN:
    case COMMAND_CHECK_CONFIG:
    case COMMAND_PRINT_CONFIG:
        return check_or_run(argv, &line);
    }
    return is_printed ? EXIT_SUCCESS : EXIT_FAILURE;
}
