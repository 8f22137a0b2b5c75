/**
 * Reads one definition file and checks JSON objects against tables of member
 * rules, so that every finding names file, place and member, and a misspelt
 * word comes with the nearest known one. Knows JSON, not KPIs.
 */
#ifndef SOPHIA_CATALOG_DEFINITION_READER_H
#define SOPHIA_CATALOG_DEFINITION_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"

/** More ceilings beside those of catalog.h; docs/definitions.md prints them. */
enum {
    DEFINITION_FILE_MAX_BYTES = 1048576,
    DEFINITION_CLASSES_MAX = 64,
    DEFINITION_MEMBERS_MAX = 64, /* columns, parts, states, bands of one KPI; roles; tiles of a row */
    DEFINITION_TEXT_MAX_BYTES = 1024,
    DEFINITION_QUERY_MAX_BYTES = 16384,
    DEFINITION_FINDINGS_MAX = 200, /* told; more are only counted */
    DEFINITION_PLACE_MAX_BYTES = 320,
};

/** Where we are: `file: path.member`. Lives on the stack; file is borrowed. */
struct place {
    struct catalog_report *report;
    const char *file;
    char path[DEFINITION_PLACE_MAX_BYTES]; /* "exec.revenue_mtd.threshold"; empty at the top of the file */
};

struct place place_of_file(struct catalog_report *report, const char *file);
/** The place of a member below; a path that grows too long is cut. */
struct place place_enter(const struct place *place, const char *member);
struct place place_enter_index(const struct place *place, const char *member, size_t index);

/** Add a finding about this place, or about a member of it (member may be NULL). */
void place_say(const struct place *place, const char *member, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void place_say_no_memory(const struct place *place);

enum member_kind {
    MEMBER_TEXT,          /* not empty, no control characters, at most DEFINITION_TEXT_MAX_BYTES */
    MEMBER_OPTIONAL_TEXT, /* a text as above, or null */
    MEMBER_NUMBER,        /* integer or real */
    MEMBER_INTEGER,
    MEMBER_BOOL,
    MEMBER_OBJECT,
    MEMBER_ARRAY, /* not empty, at most DEFINITION_MEMBERS_MAX items */
    MEMBER_LIST,  /* an array of any length; whoever reads it checks the length */
    MEMBER_QUERY, /* SQL: a text, or its lines as a list of texts; place_copy_query() checks it */
};

struct member_rule {
    const char *name;
    enum member_kind kind;
    bool is_required;
};

/** Unknown, missing and mistyped members become findings. True when there were none. */
bool place_check_members(const struct place *place, const json_t *object, const struct member_rule *rules,
                         size_t count);

/**
 * The index of a text member among the known words (a NULL ends them), or -1.
 * An absent member is -1 without a finding; an unknown word is one, with a suggestion.
 */
int place_word(const struct place *place, const json_t *object, const char *member, const char *const *words);
/** A whole number within low..high; when absent or wrong (a finding), the fallback. */
int64_t place_integer(const struct place *place, const json_t *object, const char *member, int64_t low,
                      int64_t high, int64_t fallback);
/** Every item a text without control characters; a finding otherwise. */
bool place_check_texts(const struct place *place, const json_t *object, const char *member);

/** A copy to free(), or NULL when absent; memory running out is a finding. */
char *place_copy_text(const struct place *place, const json_t *object, const char *member);
/** A statement to free(), its lines joined, or NULL when absent or not well formed (a finding). */
char *place_copy_query(const struct place *place, const json_t *object, const char *member);

/** Is it a lower-case word of [a-z0-9_], starting with a letter, at most 64 bytes? */
bool is_member_key(const char *text);
bool is_kpi_id(const char *text);
bool is_board_id(const char *text);

/** Reads and parses a file: a JSON object, or NULL with a finding that gives line and column. */
json_t *definition_file_read(const char *path, const struct place *place);

#endif
