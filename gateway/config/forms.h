/**
 * What lists of maps consist of: which key of a map is which member of which struct. Internal to config/.
 */
#ifndef SOPHIA_CONFIG_FORMS_H
#define SOPHIA_CONFIG_FORMS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/options.h"

enum member_kind {
    MEMBER_NAME,   /* text in one line */
    MEMBER_QUERY,  /* text in any number of lines, with $1 */
    MEMBER_FIELD,  /* "exec.revenue_mtd" */
    MEMBER_CLASS,  /* a class of the cache */
    MEMBER_WORD,   /* an enum: the index of one of `words` */
    MEMBER_SLUG,   /* part of a path or a metric: lower-case letters, digits, "-" and "_" */
    MEMBER_HEADER, /* the name of an HTTP header */
    MEMBER_PATH,   /* relative to the file */
    MEMBER_TEXTS,  /* list of texts: a char **, NULL-terminated, NULL when not given */
    MEMBER_PATHS,  /* the same; paths, relative to the file */
    MEMBER_FIELDS, /* a map of fields to JSON pointers or "count": struct webhooks_field, and a size_t behind the pointer */
};

struct member {
    const char *key;
    enum member_kind kind;
    size_t offset; /* of a const char *; of an enum for MEMBER_WORD, of what a list's kind says */
    size_t longest;
    bool is_required;
    bool has_choice; /* giving it makes the entry this choice: "channel" or "pattern" */
    unsigned choice;
    const char *fallback;     /* NULL: unset */
    const char *const *words; /* MEMBER_WORD */
};

/** What a list of maps consists of. */
struct form {
    const char *option; /* its name */
    size_t size;        /* of an entry */
    size_t most;        /* entries; 0: ENTRIES_MAX */
    const struct member *members;
    size_t member_count;
    bool has_choice;
    size_t choice_offset; /* of an enum */
    const char *(*complete)(
        void *
            entry); /* sets what follows from the rest; what is wrong with it, or NULL. NULL: nothing to do */
    bool (*is_double)(const void *left, const void *right); /* NULL: any two may stand together */
    const char *example;
};

/** The form of an option of kind OPTION_ENTRIES; each has one. */
const struct form *form_of(const struct option *option);

#endif
