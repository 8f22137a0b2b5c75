/*
 * The option table, and how values get into struct config. Defaults, the file and the environment all go
 * through loading_set_text() and loading_set_list(), so there is one place that judges a value. A wrong value
 * leaves the one before in place and reading goes on, so that one run tells everything there is to mend.
 * Nothing is logged here: main prints the report.
 */
#include "config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "catalog/nearest_word.h"
#include "config_options.h"
#include "protocol/limits.h"

enum { REPORT_MAX_BYTES = 262144, FILE_MAX_BYTES = 262144, TEXT_MAX_BYTES = 1024, KEY_SHORT_BYTES = 16 };

static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"json", "text", NULL};
static const char *const journal_words[] = {"memory", NULL};

/* ---- the table ---- */

#define AT(member) offsetof(struct config, member)

const struct option config_options[OPTION_COUNT] = {
    {"listen.host", OPTION_TEXT, AT(listen.host), "127.0.0.1", 0, 64, NULL, false,
     "IP address to listen on; 0.0.0.0 or :: for all."},
    {"listen.port", OPTION_PORT, AT(listen.port), "8080", 0, 65535, NULL, false,
     "TCP port for pages, viewers and producers; 0 takes any free one."},
    {"listen.max_connections", OPTION_INTEGER, AT(listen.max_connections), "10000", 1, 1000000, NULL, false,
     "Connections of any kind at one time; one more is turned away."},
    {"listen.allowed_origins", OPTION_LIST, AT(listen.allowed_origins), NULL, 0, 0, NULL, false,
     "Web origins besides our own whose pages may connect, such as https://intranet.example; \"*\" for any."},
    {"listen.ping_after_s", OPTION_INTEGER, AT(listen.ping_after_s), "25", 1, 3600, NULL, false,
     "A viewer that was silent for this long is pinged."},
    {"listen.hang_up_after_s", OPTION_INTEGER, AT(listen.hang_up_after_s), "75", 2, 7200, NULL, false,
     "A viewer that was silent for this long, pings included, is gone."},
    {"listen.request_timeout_s", OPTION_INTEGER, AT(listen.request_timeout_s), "10", 1, 600, NULL, false,
     "An HTTP request must be complete within this time."},
    {"limits.fields_per_board", OPTION_INTEGER, AT(limits.fields_per_board), "10000", 16, 1000000, NULL,
     false, "KPIs and rows one board can hold; a change that would add one more is refused."},
    {"limits.removed_rows_per_board", OPTION_INTEGER, AT(limits.removed_rows_per_board), "1000", 1, 1000000,
     NULL, false,
     "Removed rows a board remembers for viewers that lag behind; a viewer further behind gets a snapshot."},
    {"limits.positions_per_board", OPTION_INTEGER, AT(limits.positions_per_board), "4096", 16, 1000000, NULL,
     false,
     "Past positions a board recognises when a viewer comes back; an older one is answered with a snapshot."},
    {"definitions.dir", OPTION_PATH, AT(definitions_dir), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Directory of the KPI and board definitions; unset: the ones that came with the program."},
    {"web.dir", OPTION_PATH, AT(web_dir), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Directory of the web page; unset: the one that came with the program."},
    {"demo.enabled", OPTION_BOOL, AT(demo.enabled), "false", 0, 0, NULL, false,
     "Invent values, marked as such on every page and in every frame."},
    {"demo.speed", OPTION_REAL, AT(demo.speed), "1", 0.01, 1000, NULL, false,
     "How fast the invented day passes; 1 is one business day in ten minutes."},
    {"demo.seed", OPTION_INTEGER, AT(demo.seed), "1", 0, 4294967295.0, NULL, false,
     "Where the invented values start; the same number gives the same day."},
    {"ingest.key", OPTION_SECRET, AT(ingest.key), NULL, 1, TOKEN_MAX_BYTES, NULL, false,
     "Key that producers send as a bearer token; unset: producers need none but must come from this machine."},
    {"ingest.key_file", OPTION_PATH, AT(ingest.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File that holds ingest.key."},
    {"ingest.max_outstanding", OPTION_INTEGER, AT(ingest.max_outstanding), "256", 1, 65536, NULL, false,
     "Ingest requests being worked on at one time; one more is answered with 503."},
    {"ingest.mappings", OPTION_MAPPINGS, AT(ingest.mappings), NULL, 0, 0, NULL, false,
     "For bodies of the form {source_name, data}: per source, which member of data becomes which field."},
    {"viewer.key", OPTION_SECRET, AT(viewer.key), NULL, 1, TOKEN_MAX_BYTES, NULL, false,
     "Key that viewers send; unset: whoever reaches the port may watch."},
    {"viewer.key_file", OPTION_PATH, AT(viewer.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File that holds viewer.key."},
    {"fanout.flush_ms", OPTION_INTEGER, AT(fanout.flush_ms), "100", 0, 60000, NULL, false,
     "How long changes gather before they are sent, for KPIs that set no coalesce_ms and are not critical."},
    {"fanout.heartbeat_ms", OPTION_INTEGER, AT(fanout.heartbeat_ms), "10000", 100, 600000, NULL, false,
     "How often viewers hear that nothing has changed."},
    {"fanout.send_buffer_bytes", OPTION_INTEGER, AT(fanout.send_buffer_bytes), "65536", 4096, 16777216, NULL,
     false, "Send buffer of each connection in the kernel."},
    {"drain.window_ms", OPTION_INTEGER, AT(drain.window_ms), "5000", 0, 3600000, NULL, false,
     "When stopping, viewers are asked to move at moments spread over this time."},
    {"drain.grace_ms", OPTION_INTEGER, AT(drain.grace_ms), "10000", 0, 3600000, NULL, false,
     "When stopping, the process ends after this time at the latest."},
    {"drain.moved_url", OPTION_TEXT, AT(drain.moved_url), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "ws: or wss: address that viewers move to; unset: they come back to the same one."},
    {"log.level", OPTION_WORD, AT(log.level), "info", 0, 0, level_words, true,
     "Least important messages to write: debug, info, warn or error."},
    {"log.format", OPTION_WORD, AT(log.format), "json", 0, 0, format_words, true,
     "json for machines, text for a person at a terminal."},
    {"node.name", OPTION_TEXT, AT(node_name), NULL, 0, 64, NULL, false,
     "Name of this gateway for viewers and logs; unset: the name of the host."},
    {"journal.kind", OPTION_WORD, AT(journal_kind), "memory", 0, 0, journal_words, false,
     "What decides the order of changes: memory is this process alone, and forgets when it ends."},
};

size_t option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(config_options[i].name, name) == 0) {
            return i;
        }
    }
    return OPTION_COUNT;
}

const char *option_key(const struct option *option)
{
    return strchr(option->name, '.') + 1;
}

void option_section(const struct option *option, char out_section[OPTION_NAME_BYTES])
{
    size_t length = strcspn(option->name, ".");
    memcpy(out_section, option->name, length);
    out_section[length] = '\0';
}

void *option_slot(const struct option *option, struct config *config)
{
    return (char *)config + option->offset;
}

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

/** A finding is one line: what a file says can hold anything. */
static void make_one_line(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
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

static void loading_warn(const struct loading *loading, const struct origin *origin, const char *name,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

static void loading_warn(const struct loading *loading, const struct origin *origin, const char *name,
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

static bool is_clean(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool check_text(const struct loading *loading, const struct option *option, const char *text,
                       const struct origin *origin)
{
    bool is_secret = option->kind == OPTION_SECRET;
    if (text[0] == '\0') {
        loading_say(loading, origin, option->name, "must not be empty");
    } else if ((double)strlen(text) > option->high) {
        loading_say(loading, origin, option->name, "is longer than %.0f bytes", option->high);
    } else if (!is_clean(text)) {
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
            loading_set_list(loading, i, NULL, 0, &built_in);
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

static void read_secret_file(struct loading *loading, const char *key_name, const char *file_name)
{
    size_t key_index = option_find(key_name);
    size_t file_index = option_find(file_name);
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
    char *content = read_whole(path, TOKEN_MAX_BYTES + 2, &length, &status, &problem);
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

static void check_secret(const struct loading *loading, const char *name, const char *secret)
{
    if (secret && strlen(secret) < KEY_SHORT_BYTES) {
        loading_warn(loading, &loading->origins[option_find(name)], name, "is shorter than %d characters",
                     KEY_SHORT_BYTES);
    }
}

/* ---- rules between values ---- */

static const struct origin *origin_of(const struct loading *loading, const char *name)
{
    return &loading->origins[option_find(name)];
}

static void check_host(const struct loading *loading)
{
    unsigned char address[sizeof(struct in6_addr)];
    const char *host = loading->config->listen.host;
    if (host && inet_pton(AF_INET, host, address) != 1 && inet_pton(AF_INET6, host, address) != 1) {
        loading_say(loading, origin_of(loading, "listen.host"), "listen.host",
                    "\"%.64s\" is not an IP address, such as 127.0.0.1, 0.0.0.0 or ::", host);
    }
}

static void check_origins(const struct loading *loading)
{
    char **origins = loading->config->listen.allowed_origins;
    for (size_t i = 0; origins && origins[i] != NULL; i++) {
        const char *text = origins[i];
        const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                           : strncmp(text, "http://", 7) == 0 ? text + 7
                                                              : "";
        if (strcmp(text, "*") != 0 && (host[0] == '\0' || strchr(host, '/') || !is_clean(host))) {
            loading_say(loading, origin_of(loading, "listen.allowed_origins"), "listen.allowed_origins",
                        "\"%.128s\" is not an origin, such as https://intranet.example", text);
        }
    }
}

static void check_moved_url(const struct loading *loading)
{
    const char *url = loading->config->drain.moved_url;
    if (url && strncmp(url, "ws://", 5) != 0 && strncmp(url, "wss://", 6) != 0) {
        loading_say(loading, origin_of(loading, "drain.moved_url"), "drain.moved_url",
                    "must start with ws:// or wss://");
    }
}

static void check_times(const struct loading *loading)
{
    const struct config *config = loading->config;
    if (config->listen.hang_up_after_s <= config->listen.ping_after_s) {
        loading_say(loading, origin_of(loading, "listen.hang_up_after_s"), "listen.hang_up_after_s",
                    "%u must be above listen.ping_after_s, which is %u", config->listen.hang_up_after_s,
                    config->listen.ping_after_s);
    }
    if (config->drain.window_ms > config->drain.grace_ms) {
        loading_say(loading, origin_of(loading, "drain.window_ms"), "drain.window_ms",
                    "%u must not be above drain.grace_ms, which is %u", config->drain.window_ms,
                    config->drain.grace_ms);
    }
}

static void check_all(struct loading *loading)
{
    check_host(loading);
    check_origins(loading);
    check_moved_url(loading);
    check_times(loading);
    check_secret(loading, "ingest.key", loading->config->ingest.key);
    check_secret(loading, "viewer.key", loading->config->viewer.key);
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
        read_secret_file(&loading, "ingest.key", "ingest.key_file");
        read_secret_file(&loading, "viewer.key", "viewer.key_file");
        check_all(&loading);
    }
    free(loading.directory);
    if (report->count != findings) {
        config_finish(loading.config);
        return NULL;
    }
    return loading.config;
}

static void finish_mappings(struct config_ingest *ingest)
{
    for (size_t i = 0; i < ingest->mapping_count; i++) {
        struct ingest_mapping *mapping = &ingest->mappings[i];
        for (size_t j = 0; j < mapping->member_count; j++) {
            /* const for those who only read; the texts are ours */
            free((void *)(uintptr_t)mapping->members[j].member);
            free((void *)(uintptr_t)mapping->members[j].field);
        }
        free((void *)(uintptr_t)mapping->members);
        free((void *)(uintptr_t)mapping->source_name);
    }
    free(ingest->mappings);
}

void config_finish(struct config *config)
{
    if (!config) {
        return;
    }
    free(config->listen.host);
    free_list(config->listen.allowed_origins);
    free(config->definitions_dir);
    free(config->web_dir);
    finish_mappings(&config->ingest);
    wipe_secret(config->ingest.key);
    free(config->ingest.key_file);
    wipe_secret(config->viewer.key);
    free(config->viewer.key_file);
    free(config->drain.moved_url);
    free(config->node_name);
    free(config->file);
    free(config);
}

/* ---- after loading ---- */

static void check_mapped_field(const struct loading *loading, const struct ingest_mapping *mapping,
                               const struct ingest_member *member, const struct catalog *catalog)
{
    if (catalog_kpi_of_field(catalog, member->field)) {
        return;
    }
    struct nearest_word choice = {.word = member->field};
    for (size_t i = 0; i < catalog_kpi_count(catalog); i++) {
        nearest_word_offer(&choice, catalog_kpi_at(catalog, i)->id);
    }
    char name[512];
    (void)snprintf(name, sizeof name, "ingest.mappings.%.96s.%.96s", mapping->source_name, member->member);
    make_one_line(name);
    const struct origin in_file = {0};
    if (choice.nearest) {
        loading_say(loading, &in_file, name, "no KPI has the field \"%.200s\" (did you mean \"%s\"?)",
                    member->field, choice.nearest);
    } else {
        loading_say(loading, &in_file, name, "no KPI has the field \"%.200s\"", member->field);
    }
}

bool config_check_mappings(const struct config *config, const struct catalog *catalog,
                           struct config_report *report)
{
    size_t findings = report->count;
    const struct loading loading = {.report = report, .file = config->file};
    for (size_t i = 0; i < config->ingest.mapping_count; i++) {
        const struct ingest_mapping *mapping = &config->ingest.mappings[i];
        for (size_t j = 0; j < mapping->member_count; j++) {
            check_mapped_field(&loading, mapping, &mapping->members[j], catalog);
        }
    }
    return report->count == findings;
}

static bool same_text(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static bool same_list(char **left, char **right)
{
    size_t i = 0;
    while (left[i] != NULL && right[i] != NULL && strcmp(left[i], right[i]) == 0) {
        i++;
    }
    return left[i] == NULL && right[i] == NULL;
}

static bool same_mapping(const struct ingest_mapping *left, const struct ingest_mapping *right)
{
    bool is_same =
        same_text(left->source_name, right->source_name) && left->member_count == right->member_count;
    for (size_t i = 0; is_same && i < left->member_count; i++) {
        is_same = same_text(left->members[i].member, right->members[i].member) &&
                  same_text(left->members[i].field, right->members[i].field);
    }
    return is_same;
}

static bool same_mappings(const struct config_ingest *left, const struct config_ingest *right)
{
    bool is_same = left->mapping_count == right->mapping_count;
    for (size_t i = 0; is_same && i < left->mapping_count; i++) {
        is_same = same_mapping(&left->mappings[i], &right->mappings[i]);
    }
    return is_same;
}

static bool same_value(const struct option *option, struct config *left, struct config *right)
{
    const void *a = option_slot(option, left);
    const void *b = option_slot(option, right);
    switch (option->kind) {
    case OPTION_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case OPTION_PORT:
        return *(const uint16_t *)a == *(const uint16_t *)b;
    case OPTION_INTEGER:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case OPTION_REAL:
        return *(const double *)a == *(const double *)b;
    case OPTION_WORD:
        return memcmp(a, b, sizeof(unsigned)) == 0;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_SECRET:
        return same_text(*(char *const *)a, *(char *const *)b);
    case OPTION_LIST:
        return same_list(*(char **const *)a, *(char **const *)b);
    case OPTION_MAPPINGS:
        return same_mappings(&left->ingest, &right->ingest);
    }
    return true;
}

void config_reload(struct config *running, struct config *fresh, struct config_report *report)
{
    const struct loading loading = {.report = report, .file = fresh->file};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        if (same_value(option, running, fresh)) {
            continue;
        }
        if (!option->is_reloadable) {
            loading_warn(&loading, NULL, option->name, "has changed; it takes a restart to come into force");
            continue;
        }
        assert(option->kind == OPTION_WORD); /* owning kinds would have to hand their memory over */
        memcpy(option_slot(option, running), option_slot(option, fresh), sizeof(unsigned));
    }
}
