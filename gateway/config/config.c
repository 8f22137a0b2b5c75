/*
 * How values get into struct config. Defaults, the file and the environment all go
 * through loading_set_text() and loading_set_list(), so there is one place that judges a value. A wrong value
 * leaves the one before in place and reading goes on, so that one run tells everything there is to mend.
 * Nothing is logged here: main prints the report.
 */
#include "config/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/one_line.h"
#include "catalog/nearest_word.h"
#include "config/entries.h"
#include "config/mappings.h"
#include "config/options.h"
#include "protocol/limits.h"

enum { REPORT_MAX_BYTES = 262144, FILE_MAX_BYTES = 262144 };

/* ---- findings ---- */

void config_report_init(struct config_report *report)
{
    bytes_init(&report->text, REPORT_MAX_BYTES);
    bytes_init(&report->warnings, REPORT_MAX_BYTES);
    report->count = 0;
    report->warning_count = 0;
}

void config_report_finish(struct config_report *report)
{
    if (report) {
        bytes_finish(&report->text);
        bytes_finish(&report->warnings);
    }
}

static void print_origin(struct bytes *out, const struct loading *loading, const struct origin *origin)
{
    if (origin && origin->variable) {
        int length = (int)strcspn(origin->variable, "="); /* never the value: it can be a secret */
        bytes_append_format(out, "environment: %.*s: ", length, origin->variable);
    } else if (loading->file && origin && origin->line > 0) {
        bytes_append_format(out, "%s:%zu:%zu: ", loading->file, origin->line, origin->column);
    } else {
        bytes_append_format(out, "%s: ", loading->file ? loading->file : "configuration");
    }
}

static void say_to(struct bytes *out, const struct loading *loading, const struct origin *origin,
                   const char *name, const char *format, va_list arguments)
    __attribute__((format(printf, 5, 0)));

static void say_to(struct bytes *out, const struct loading *loading, const struct origin *origin,
                   const char *name, const char *format, va_list arguments)
{
    char message[1024];
    (void)vsnprintf(message, sizeof message, format, arguments); /* a longer message is cut */
    make_one_line(message);
    print_origin(out, loading, origin);
    bytes_append_format(out, "%s%s%s\n", name ? name : "", name ? ": " : "", message);
}

void loading_say(const struct loading *loading, const struct origin *origin, const char *name,
                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_to(&loading->report->text, loading, origin, name, format, arguments);
    va_end(arguments);
    loading->report->count++;
}

void loading_warn(const struct loading *loading, const struct origin *origin, const char *name,
                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_to(&loading->report->warnings, loading, origin, name, format, arguments);
    va_end(arguments);
    loading->report->warning_count++;
}

void loading_say_no_memory(const struct loading *loading)
{
    loading_say(loading, NULL, NULL, "memory ran out");
}

const struct origin *loading_origin(const struct loading *loading, const char *name)
{
    return &loading->origins[option_find(name)];
}

/* ---- values ---- */

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

static void wipe_secret(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

/** Keeps the old text, and says so, when memory runs out. */
static void replace_text(const struct loading *loading, const struct option *option, const char *text)
{
    char **slot = option_slot(option, loading->config);
    char *copy = strdup(text);
    if (!copy) {
        loading_say_no_memory(loading);
    } else if (option->kind == OPTION_SECRET) {
        wipe_secret(*slot);
        *slot = copy;
    } else {
        free(*slot);
        *slot = copy;
    }
}

/** A path of the file is relative to the file; one of the environment to the working directory. */
static void set_path(const struct loading *loading, const struct option *option, const char *text,
                     const struct origin *origin)
{
    if (text[0] == '/' || origin->variable || !loading->file) {
        replace_text(loading, option, text);
        return;
    }
    AUTO_FREE char *joined = NULL;
    if (asprintf(&joined, "%s%s", loading->directory, text) < 0) {
        joined = NULL;
        loading_say_no_memory(loading);
        return;
    }
    replace_text(loading, option, joined);
}

static bool check_text(const struct loading *loading, const struct option *option, const char *text,
                       const struct origin *origin)
{
    bool is_secret = option->kind == OPTION_SECRET;
    if (text[0] == '\0') {
        loading_say(loading, origin, option->name, "must not be empty");
    } else if ((double)strlen(text) > option->high) {
        loading_say(loading, origin, option->name, "is longer than %.0f bytes", option->high);
    } else if (!is_clean_text(text)) {
        loading_say(loading, origin, option->name, "contains control characters");
    } else if (is_secret && strcmp(text, "***") == 0) {
        loading_say(loading, origin, option->name, "\"***\" is how secrets are printed, not a secret");
    } else {
        return true;
    }
    return false;
}

/** The text as a number in the option's range. Hexadecimal, infinity and the like are not numbers here. */
static bool read_number(const struct loading *loading, const struct option *option, const char *text,
                        const struct origin *origin, double *out_number)
{
    const char *letters = option->kind == OPTION_REAL ? "+-.0123456789eE" : "-0123456789";
    char *end = NULL;
    double number = strtod(text, &end);
    if (text[0] == '\0' || strspn(text, letters) != strlen(text) || *end != '\0' || !isfinite(number)) {
        loading_say(loading, origin, option->name, "\"%.64s\" is not a %snumber", text,
                    option->kind == OPTION_REAL ? "" : "whole ");
        return false;
    }
    if (number < option->low || number > option->high) {
        loading_say(loading, origin, option->name, "%.64s is out of range %.15g..%.15g", text, option->low,
                    option->high);
        return false;
    }
    *out_number = number;
    return true;
}

static void set_number(const struct loading *loading, const struct option *option, const char *text,
                       const struct origin *origin)
{
    double number = 0;
    void *slot = option_slot(option, loading->config);
    if (!read_number(loading, option, text, origin, &number)) {
        return;
    }
    if (option->kind == OPTION_PORT) {
        *(uint16_t *)slot = (uint16_t)number;
    } else if (option->kind == OPTION_INTEGER) {
        *(uint32_t *)slot = (uint32_t)number;
    } else {
        *(double *)slot = number;
    }
}

static void set_bool(const struct loading *loading, const struct option *option, const char *text,
                     const struct origin *origin)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        loading_say(loading, origin, option->name, "\"%.64s\" is neither true nor false", text);
        return;
    }
    *(bool *)option_slot(option, loading->config) = is_true;
}

static void print_words(const char *const *words, char *out, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; words[i] != NULL && length < size; i++) {
        length += (size_t)snprintf(out + length, size - length, "%s%s", i > 0 ? ", " : "", words[i]);
    }
}

static void set_word(const struct loading *loading, const struct option *option, const char *text,
                     const struct origin *origin)
{
    for (unsigned i = 0; option->words[i] != NULL; i++) {
        if (strcmp(option->words[i], text) == 0) {
            memcpy(option_slot(option, loading->config), &i, sizeof i); /* an enum without negative values */
            return;
        }
    }
    char possible[128] = "";
    print_words(option->words, possible, sizeof possible);
    loading_say(loading, origin, option->name, "\"%.64s\" is not one of: %s", text, possible);
}

void loading_set_text(struct loading *loading, size_t index, const char *text, const struct origin *origin)
{
    const struct option *option = &config_options[index];
    loading->origins[index] = *origin;
    switch (option->kind) {
    case OPTION_BOOL:
        set_bool(loading, option, text, origin);
        return;
    case OPTION_PORT:
    case OPTION_INTEGER:
    case OPTION_REAL:
        set_number(loading, option, text, origin);
        return;
    case OPTION_WORD:
        set_word(loading, option, text, origin);
        return;
    case OPTION_TEXT:
    case OPTION_SECRET:
        if (check_text(loading, option, text, origin)) {
            replace_text(loading, option, text);
        }
        return;
    case OPTION_PATH:
        if (check_text(loading, option, text, origin)) {
            set_path(loading, option, text, origin);
        }
        return;
    case OPTION_LIST:
        loading_say(loading, origin, option->name, "must be a list, such as [\"a\", \"b\"]");
        return;
    case OPTION_MAPPINGS:
        loading_say(loading, origin, option->name,
                    "must be a map of sources, and can only be set in the file");
        return;
    case OPTION_ENTRIES:
        loading_say(loading, origin, option->name, "must be a list of maps, and can only be set in the file");
        return;
    }
}

void loading_set_list(struct loading *loading, size_t index, const char *const *texts, size_t count,
                      const struct origin *origin)
{
    const struct option *option = &config_options[index];
    loading->origins[index] = *origin;
    char **list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        list[i] = strdup(texts[i]);
        if (!list[i]) {
            free_list(list);
            list = NULL;
        }
    }
    if (!list) {
        loading_say_no_memory(loading);
        return;
    }
    char ***slot = option_slot(option, loading->config);
    free_list(*slot);
    *slot = list;
}

static void set_defaults(struct loading *loading)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct origin built_in = {0};
        if (config_options[i].kind == OPTION_LIST) {
            const char *const *item = &config_options[i].fallback; /* one at most */
            loading_set_list(loading, i, item, *item ? 1 : 0, &built_in);
        } else if (config_options[i].fallback) {
            loading_set_text(loading, i, config_options[i].fallback, &built_in);
        }
    }
}

/* ---- files ---- */

static void close_file(FILE **file)
{
    if (*file) {
        (void)fclose(*file); /* only read: nothing can be lost */
    }
}

/** At most `most` bytes of a file, ended by a NUL, or NULL with *out_problem saying why. */
static char *read_whole(const char *path, size_t most, size_t *out_length, struct stat *out_stat,
                        const char **out_problem)
{
    __attribute__((cleanup(close_file))) FILE *file = fopen(path, "rbe");
    if (!file || fstat(fileno(file), out_stat) != 0) {
        *out_problem = strerror(errno);
        return NULL;
    }
    AUTO_FREE char *content = malloc(most + 2);
    if (!content) {
        *out_problem = "memory ran out";
        return NULL;
    }
    size_t length = fread(content, 1, most + 1, file);
    if (ferror(file)) {
        *out_problem = strerror(errno);
        return NULL;
    }
    if (length > most) {
        *out_problem = "it is too large";
        return NULL;
    }
    content[length] = '\0';
    *out_length = length;
    return TAKE(content);
}

static void read_file(struct loading *loading)
{
    size_t length = 0;
    struct stat status;
    const char *problem = NULL;
    AUTO_FREE char *content = read_whole(loading->file, FILE_MAX_BYTES, &length, &status, &problem);
    if (!content) {
        loading_say(loading, NULL, NULL, "cannot be read: %s", problem);
        return;
    }
    loading_read_yaml(loading, content, length);
}

/* ---- the environment ---- */

#define VARIABLE_PREFIX "SOPHIA_"

/** "listen.port" -> "SOPHIA_LISTEN_PORT" */
static void variable_of(const struct option *option, char out_variable[OPTION_NAME_BYTES])
{
    size_t length = (size_t)snprintf(out_variable, OPTION_NAME_BYTES, VARIABLE_PREFIX "%s", option->name);
    assert(length < OPTION_NAME_BYTES);
    for (size_t i = 0; i < length; i++) {
        char letter = out_variable[i];
        out_variable[i] = letter == '.' ? '_' : (char)toupper((unsigned char)letter);
    }
}

/**
 * SOPHIA_GATEWAY names the binary for the test suites, and an orchestrator that knows a service called
 * sophia-gateway puts its addresses into SOPHIA_GATEWAY_SERVICE_HOST and the like.
 */
static bool is_not_ours(const char *name)
{
    return strcmp(name, "SOPHIA_GATEWAY") == 0 || strncmp(name, "SOPHIA_GATEWAY_", 15) == 0;
}

static void say_unknown_variable(struct loading *loading, const struct origin *origin)
{
    struct nearest_word choice = {.word = origin->variable};
    char variables[OPTION_COUNT][OPTION_NAME_BYTES];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        variable_of(&config_options[i], variables[i]);
        nearest_word_offer(&choice, variables[i]);
    }
    if (choice.nearest) {
        loading_say(loading, origin, NULL, "no option has this name (did you mean \"%s\"?)", choice.nearest);
    } else {
        loading_say(loading, origin, NULL, "no option has this name");
    }
}

/** A list in the environment is separated by commas. */
static void set_list_from_variable(struct loading *loading, size_t index, const char *value,
                                   const struct origin *origin)
{
    enum { ITEMS_MAX = 64 };
    const char *items[ITEMS_MAX];
    size_t count = 0;
    AUTO_FREE char *copy = strdup(value);
    if (!copy) {
        loading_say_no_memory(loading);
        return;
    }
    char *rest = NULL;
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        if (count == ITEMS_MAX) {
            loading_say(loading, origin, config_options[index].name, "has more than %d items", ITEMS_MAX);
            return;
        }
        items[count++] = item + strspn(item, " ");
    }
    loading_set_list(loading, index, items, count, origin);
}

static void read_variable(struct loading *loading, const char *entry)
{
    const char *equals = strchr(entry, '=');
    if (!equals) {
        return;
    }
    AUTO_FREE char *name = strndup(entry, (size_t)(equals - entry));
    if (!name) {
        loading_say_no_memory(loading);
        return;
    }
    if (is_not_ours(name)) {
        return;
    }
    struct origin origin = {.is_set = true, .variable = name};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char variable[OPTION_NAME_BYTES];
        variable_of(&config_options[i], variable);
        if (strcmp(variable, name) != 0) {
            continue;
        }
        if (config_options[i].kind == OPTION_LIST) {
            set_list_from_variable(loading, i, equals + 1, &origin);
        } else {
            loading_set_text(loading, i, equals + 1, &origin);
        }
        loading->origins[i].variable = entry; /* outlives `name`; cut at '=' when it is told */
        return;
    }
    say_unknown_variable(loading, &origin);
}

static void read_environment(struct loading *loading, char *const *environment)
{
    for (size_t i = 0; environment && environment[i] != NULL; i++) {
        if (strncmp(environment[i], VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0) {
            read_variable(loading, environment[i]);
        }
    }
}

/* ---- secrets in files ---- */

/** The option after a secret names its file. */
static void read_secret_file(struct loading *loading, size_t key_index)
{
    size_t file_index = key_index + 1;
    const char *key_name = config_options[key_index].name;
    const char *file_name = config_options[file_index].name;
    char *path = *(char **)option_slot(&config_options[file_index], loading->config);
    const struct origin *origin = &loading->origins[file_index];
    if (!path) {
        return;
    }
    if (loading->origins[key_index].is_set) {
        loading_say(loading, origin, file_name, "%s is given too; one of the two must go", key_name);
        return;
    }
    size_t length = 0;
    struct stat status;
    const char *problem = NULL;
    char *content = read_whole(path, (size_t)config_options[key_index].high + 2, &length, &status, &problem);
    if (!content) {
        loading_say(loading, origin, file_name, "%s cannot be read: %s", path, problem);
        return;
    }
    if ((status.st_mode & S_IROTH) != 0) {
        loading_warn(loading, origin, file_name, "%s can be read by everybody on this machine", path);
    }
    while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r')) {
        content[--length] = '\0';
    }
    loading_set_text(loading, key_index, content, origin);
    explicit_bzero(content, length);
    free(content);
}

static void read_secret_files(struct loading *loading)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (config_options[i].kind == OPTION_SECRET) {
            read_secret_file(loading, i);
        }
    }
}

/* ---- loading ---- */

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
}

static bool loading_init(struct loading *loading, const char *path, struct config_report *report)
{
    *loading = (struct loading){.report = report, .file = path, .config = calloc(1, sizeof(struct config))};
    if (loading->config && path) {
        loading->directory = directory_of(path);
        loading->config->file = strdup(path);
    }
    if (!loading->config || (path && (!loading->directory || !loading->config->file))) {
        loading_say_no_memory(loading);
        return false;
    }
    return true;
}

struct config *config_load(const char *path, char *const *environment, struct config_report *report)
{
    size_t findings = report->count;
    struct loading loading;
    if (loading_init(&loading, path, report)) {
        set_defaults(&loading);
        if (path) {
            read_file(&loading);
        }
        read_environment(&loading, environment);
        read_secret_files(&loading);
        loading_check(&loading);
    }
    free(loading.directory);
    if (report->count != findings) {
        config_finish(loading.config);
        return NULL;
    }
    return loading.config;
}

static void finish_value(const struct option *option, struct config *config)
{
    void *slot = option_slot(option, config);
    switch (option->kind) {
    case OPTION_TEXT:
    case OPTION_PATH:
        free(*(char **)slot);
        return;
    case OPTION_SECRET:
        wipe_secret(*(char **)slot);
        return;
    case OPTION_LIST:
        free_list(*(char ***)slot);
        return;
    case OPTION_MAPPINGS:
        mappings_finish(&config->ingest);
        return;
    case OPTION_ENTRIES:
        entries_finish(option, config);
        return;
    case OPTION_BOOL:
    case OPTION_PORT:
    case OPTION_INTEGER:
    case OPTION_REAL:
    case OPTION_WORD:
        return; /* plain values */
    }
}

void config_finish(struct config *config)
{
    if (!config) {
        return;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        finish_value(&config_options[i], config);
    }
    free(config->file);
    free(config);
}
