/**
 * How options are described, read and found wrong. Internal to config/.
 */
#ifndef SOPHIA_CONFIG_OPTIONS_H
#define SOPHIA_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum option_kind {
    OPTION_BOOL,     /* bool */
    OPTION_PORT,     /* uint16_t */
    OPTION_INTEGER,  /* uint32_t */
    OPTION_REAL,     /* double */
    OPTION_TEXT,     /* char *, at most `high` bytes */
    OPTION_PATH,     /* char * */
    OPTION_SECRET,   /* char *, never printed */
    OPTION_WORD,     /* an enum: the index of one of `words` */
    OPTION_LIST,     /* char **, NULL-terminated */
    OPTION_MAPPINGS, /* struct config_ingest's mappings */
    OPTION_ENTRIES,  /* a list of maps: a pointer to entries, and after it a size_t, how many (entries.h) */
};

struct option {
    const char *name; /* "section.key", or one without a section; the key ends in its unit */
    enum option_kind kind;
    size_t offset;            /* of the member in struct config */
    const char *fallback;     /* as it would be written in the file; NULL: unset */
    double low, high;         /* numbers: the range; texts: high is the longest */
    const char *const *words; /* OPTION_WORD: ended by NULL */
    bool is_reloadable;
    const char *help; /* one sentence */
};

enum { OPTION_COUNT = 113, OPTION_NAME_BYTES = 64, TEXT_MAX_BYTES = 1024 };
extern const struct option config_options[OPTION_COUNT];

/** Where a value was written. */
struct origin {
    bool is_set;
    const char *variable; /* of the environment; NULL: the file, at line and column (from 1) */
    size_t line, column;
};

/** A configuration while it is being read. */
struct loading {
    struct config *config;
    struct config_report *report;
    const char *file; /* NULL: none */
    char *directory;  /* of the file, with the last '/', or "" */
    struct origin origins[OPTION_COUNT];
};

/** Add a finding: `place: name: message`. name may be NULL. */
void loading_say(const struct loading *loading, const struct origin *origin, const char *name,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
void loading_say_no_memory(const struct loading *loading);
/** The same for what the gateway can start with. */
void loading_warn(const struct loading *loading, const struct origin *origin, const char *name,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/** Where the option of this full name was set. */
const struct origin *loading_origin(const struct loading *loading, const char *name);

/** Rules between values, and of values that are more than a type and a range. */
void loading_check(const struct loading *loading);

/** Set an option that is one text (everything but lists and mappings); replaces what was set before. */
void loading_set_text(struct loading *loading, size_t index, const char *text, const struct origin *origin);
/** Set a list; texts is borrowed. */
void loading_set_list(struct loading *loading, size_t index, const char *const *texts, size_t count,
                      const struct origin *origin);

/** Read the YAML text of loading->file into loading->config. */
void loading_read_yaml(struct loading *loading, const char *text, size_t length);

/** The index of an option by its full name, or OPTION_COUNT. */
size_t option_find(const char *name);
const char *option_key(const struct option *option);
/** Writes the section's name: the words before the dot, "" for an option without one. */
void option_section(const struct option *option, char out_section[OPTION_NAME_BYTES]);
void *option_slot(const struct option *option, struct config *config);

#endif
