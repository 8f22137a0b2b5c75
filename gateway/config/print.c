/*
 * The option table as text: the values in force, the example file, the lines of --help, the table of the
 * documentation. All four are made here so that they cannot drift from the table.
 */
#include <stdlib.h>
#include <string.h>

#include "config/entries.h"
#include "config/mappings.h"
#include "config/options.h"

enum { PRINT_MAX_BYTES = 1048576 };

static void print_quoted(struct bytes *out, const char *text)
{
    if (text) {
        bytes_append_json_string(out, text, strlen(text)); /* a JSON string is a YAML string */
    } else {
        bytes_append_text(out, "null");
    }
}

static void print_list(struct bytes *out, char *const *list)
{
    bytes_append_byte(out, '[');
    for (size_t i = 0; list[i] != NULL; i++) {
        bytes_append_text(out, i > 0 ? ", " : "");
        print_quoted(out, list[i]);
    }
    bytes_append_byte(out, ']');
}

/** One that was read from a file is told by the name of the file, the next option in the table: both would be refused. */
static void print_secret(struct bytes *out, const struct option *option, const struct config *config)
{
    const void *slot = (const char *)config + option->offset;
    const void *file_slot = (const char *)config + option[1].offset;
    const char *text = *(char *const *)slot;
    const char *file = *(char *const *)file_slot;
    print_quoted(out, text && !file ? "***" : NULL);
}

static void print_value(struct bytes *out, const struct option *option, const struct config *config)
{
    const void *slot = (const char *)config + option->offset;
    unsigned word;
    switch (option->kind) {
    case OPTION_BOOL:
        bytes_append_text(out, *(const bool *)slot ? "true" : "false");
        return;
    case OPTION_PORT:
        bytes_append_u64(out, *(const uint16_t *)slot);
        return;
    case OPTION_INTEGER:
        bytes_append_u64(out, *(const uint32_t *)slot);
        return;
    case OPTION_REAL:
        bytes_append_format(out, "%.15g", *(const double *)slot);
        return;
    case OPTION_WORD:
        memcpy(&word, slot, sizeof word);
        bytes_append_text(out, option->words[word]);
        return;
    case OPTION_TEXT:
    case OPTION_PATH:
        print_quoted(out, *(char *const *)slot);
        return;
    case OPTION_SECRET:
        print_secret(out, option, config);
        return;
    case OPTION_LIST:
        print_list(out, *(char **const *)slot);
        return;
    case OPTION_MAPPINGS:
        mappings_print(out, &config->ingest);
        return;
    case OPTION_ENTRIES:
        entries_print(out, option, config);
        return;
    }
}

/** As it would be written in the file; texts are quoted so that none is taken for a number. */
static void print_default(struct bytes *out, const struct option *option)
{
    if (option->kind == OPTION_LIST && option->fallback) {
        bytes_append_byte(out, '[');
        print_quoted(out, option->fallback);
        bytes_append_byte(out, ']');
    } else if (option->kind == OPTION_LIST || option->kind == OPTION_ENTRIES) {
        bytes_append_text(out, "[]");
    } else if (option->kind == OPTION_MAPPINGS) {
        bytes_append_text(out, "{}");
    } else if (option->kind == OPTION_TEXT || option->kind == OPTION_PATH || option->kind == OPTION_SECRET) {
        print_quoted(out, option->fallback);
    } else {
        bytes_append_text(out, option->fallback);
    }
}

/** What can be written: "1..3600", "debug, info, warn or error", ... */
static void print_possible(struct bytes *out, const struct option *option)
{
    switch (option->kind) {
    case OPTION_BOOL:
        bytes_append_text(out, "true, false");
        return;
    case OPTION_PORT:
    case OPTION_INTEGER:
    case OPTION_REAL:
        bytes_append_format(out, "%.15g..%.15g", option->low, option->high);
        return;
    case OPTION_WORD:
        for (size_t i = 0; option->words[i] != NULL; i++) {
            bytes_append_format(out, "%s%s", i > 0 ? ", " : "", option->words[i]);
        }
        return;
    case OPTION_TEXT:
        bytes_append_text(out, "text");
        return;
    case OPTION_PATH:
        bytes_append_text(out, "path");
        return;
    case OPTION_SECRET:
        bytes_append_text(out, "secret");
        return;
    case OPTION_LIST:
        bytes_append_text(out, "list of texts");
        return;
    case OPTION_MAPPINGS:
        bytes_append_text(out, "map");
        return;
    case OPTION_ENTRIES:
        bytes_append_text(out, "list of maps");
        return;
    }
}

/** Starts a new section of YAML where the option does. */
static void print_section(struct bytes *out, size_t index)
{
    char section[OPTION_NAME_BYTES];
    char before[OPTION_NAME_BYTES] = "";
    option_section(&config_options[index], section);
    if (index > 0) {
        option_section(&config_options[index - 1], before);
    }
    if (section[0] == '\0') {
        bytes_append_byte(out, '\n');
    } else if (strcmp(section, before) != 0) {
        bytes_append_format(out, "\n%s:\n", section);
    }
}

/** Options of a section stand below it. */
static const char *indent_of(const struct option *option)
{
    return strchr(option->name, '.') ? "  " : "";
}

static void print_comment(struct bytes *out, const struct option *option)
{
    bytes_append_format(out, "%s# %s (", indent_of(option), option->help);
    print_possible(out, option);
    bytes_append_text(out, "; default ");
    print_default(out, option);
    bytes_append_text(out, option->is_reloadable ? "; taken over at SIGHUP)\n" : ")\n");
}

static bool write_out(struct bytes *text, FILE *out)
{
    bool is_good =
        !bytes_failed(text) && fwrite(text->at, 1, text->length, out) == text->length && fflush(out) == 0;
    bytes_finish(text);
    return is_good;
}

bool config_print(const struct config *config, FILE *out)
{
    struct bytes text;
    bytes_init(&text, PRINT_MAX_BYTES);
    bytes_append_text(&text, "# The configuration in force. Secrets are masked.\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        print_section(&text, i);
        print_comment(&text, option);
        bytes_append_format(&text, "%s%s: ", indent_of(option), option_key(option));
        print_value(&text, option, config);
        bytes_append_byte(&text, '\n');
    }
    return write_out(&text, out);
}

bool config_print_example(FILE *out)
{
    struct bytes text;
    bytes_init(&text, PRINT_MAX_BYTES);
    bytes_append_text(
        &text,
        "# Sophia Gateway: every option with its default. Remove the # in front of a line to change it.\n"
        "# The environment wins over this file: SOPHIA_LISTEN_PORT=9000 sets listen.port.\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        print_section(&text, i);
        print_comment(&text, option);
        if (option->kind == OPTION_MAPPINGS) {
            bytes_append_text(&text, "  #mappings:\n  #  hubspot:\n  #    revenue: exec.revenue_mtd\n");
            continue;
        }
        if (option->kind == OPTION_ENTRIES) {
            entries_print_example(&text, option);
            continue;
        }
        bytes_append_format(&text, "%s#%s: ", indent_of(option), option_key(option));
        print_default(&text, option);
        bytes_append_byte(&text, '\n');
    }
    return write_out(&text, out);
}

bool config_print_help(FILE *out)
{
    struct bytes text;
    bytes_init(&text, PRINT_MAX_BYTES);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        bytes_append_format(&text, "  %s (", option->name);
        print_possible(&text, option);
        bytes_append_text(&text, "; default ");
        print_default(&text, option);
        bytes_append_format(&text, ")\n      %s\n", option->help);
    }
    return write_out(&text, out);
}

/** In a cell of a Markdown table, '|' and '<' would be taken for markup; the table has neither. */
bool config_print_table(FILE *out)
{
    struct bytes text;
    bytes_init(&text, PRINT_MAX_BYTES);
    bytes_append_text(&text,
                      "| option | possible | default | at SIGHUP | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        bytes_append_format(&text, "| `%s` | ", option->name);
        print_possible(&text, option);
        bytes_append_text(&text, " | `");
        print_default(&text, option);
        bytes_append_format(&text, "` | %s | %s |\n", option->is_reloadable ? "taken over" : "restart",
                            option->help);
    }
    return write_out(&text, out);
}
