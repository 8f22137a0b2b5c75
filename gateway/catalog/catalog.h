/**
 * The definitions in force: KPIs, boards, freshness classes.
 *
 * A catalogue is immutable once loaded and reference counted: a reload loads
 * a second one and swaps the pointer, so an invalid set changes nothing.
 * Format: docs/definitions.md. Files, below one directory: classes.json, and every .json in kpis/ and boards/.
 */
#ifndef SOPHIA_CATALOG_CATALOG_H
#define SOPHIA_CATALOG_CATALOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "catalog/freshness.h"
#include "catalog/threshold.h"
#include "protocol/bytes.h"
#include "protocol/change.h"
#include "protocol/result.h"

/** Ceilings of what one catalogue may hold. */
enum {
    DEFINITION_FILES_MAX = 16384, /* in kpis/, and again in boards/, where each is a board */
    DEFINITION_KPIS_MAX = 65536,
};

enum kpi_type {
    KPI_GAUGE,
    KPI_COUNTER,
    KPI_STATE,
    KPI_MIX,    /* parts of a whole: object of numbers */
    KPI_TABLE,  /* keyed rows, deleted by producers, refused beyond cap */
    KPI_FEED,   /* events: keeps the cap newest by rev */
    KPI_SERIES, /* points: keeps the cap greatest keys */
    KPI_TYPE_COUNT
};

enum kpi_unit {
    UNIT_NONE,
    UNIT_TEXT,
    UNIT_NUMBER,
    UNIT_INTEGER,
    UNIT_MONEY,
    UNIT_PERCENT,
    UNIT_SCORE,
    UNIT_MS,
    UNIT_S,
    UNIT_BYTES,
    UNIT_PER_SECOND,
    UNIT_PER_MINUTE,
    UNIT_DAYS,
    /* columns of rows only */
    UNIT_TIME,
    UNIT_DURATION,
    UNIT_SEVERITY,
    UNIT_STATE,
    KPI_UNIT_COUNT
};

/** Whom a value is about: the later, the fewer may see it plain. `restricted` content is in no definition. */
enum privacy { PRIVACY_PUBLIC, PRIVACY_BUSINESS, PRIVACY_PERSONAL, PRIVACY_COUNT };

/** How text is masked (views/masking.h). */
enum text_mask { MASK_ALL, MASK_NAME, MASK_PROSE };

/** kpi.coalesce_ms of a definition that sets none: larger than any window that can be set. */
#define COALESCE_UNSET UINT32_MAX

struct kpi_column {
    char *key;
    char *title;
    enum kpi_unit unit;
    int decimals;
    bool is_required;
    enum privacy privacy; /* the KPI's own unless it names one */
    enum text_mask mask;  /* text only */
};

struct kpi {
    char *id;
    enum kpi_type type;
    enum kpi_unit unit;
    int decimals; /* UNIT_MONEY: fixed scale on the wire */
    double scale; /* raw value x scale = value; 1 for money */
    bool has_range;
    double range_low, range_high;            /* after scaling, inclusive */
    const struct freshness_class *freshness; /* owned by the catalogue; never NULL */
    struct threshold threshold;
    uint32_t
        coalesce_ms; /* COALESCE_UNSET: as the configuration says; 0 for priority "critical" unless set */
    uint32_t cap;    /* rows of table, feed, series; 1 otherwise */
    struct kpi_column *columns;
    size_t column_count; /* rows */
    char **parts;
    size_t part_count; /* mix */
    char **states;
    size_t state_count;                 /* state */
    enum threshold_level *state_levels; /* state: one per state, what the threshold judges */
    uint32_t history_points;            /* 0 = none */
    uint64_t history_step_ms;
    char *history_query;     /* $1 = number of points; columns as_of, value; or NULL */
    char *source_kind;       /* "http", "pg", "redis", "internal", "derived" */
    char *source_query;      /* "pg": what reads it; NULL: it is fed from the state table */
    char **source_relations; /* "schema.table": the query is asked again when one of them changed */
    size_t source_relation_count;
    char *source_channel;   /* "redis", and "pg" that is told on a channel as well; or NULL */
    char *source_key;       /* "redis": holds the newest message; or NULL */
    struct kpi *derived_of; /* source.kind "derived": copies of this KPI's values, or NULL */
    struct kpi **companions;
    size_t companion_count; /* shown in the same tile: on every board that shows this KPI */
    struct kpi **derived;
    size_t derived_count; /* the other way: KPIs that copy this one */
    uint64_t roles;       /* who may see it, as bits of catalog_role() */
    enum privacy privacy;
    enum text_mask mask;  /* of a text without rows */
    unsigned privacies;   /* 1 << privacy of what its values hold: of each column, or its own */
    uint64_t fingerprint; /* over its id and what is masked in it: the same in every process */
    json_t *definition;   /* as served to viewers */
    struct board_definition **boards;
    size_t board_count; /* boards that show it */
};

struct board_definition {
    char *id;
    char *title;
    char *question;
    struct kpi **kpis;
    size_t kpi_count;
    uint64_t roles; /* who may watch it, as bits of catalog_role() */
    json_t *raw;    /* as it was read */
};

struct catalog;

/** One finding of the validator, as a person reads it: "boards/executive.json: exec.revenue_mtd.unit: ..." */
struct catalog_report {
    struct bytes text; /* one finding per line */
    size_t count;
};
void catalog_report_init(struct catalog_report *report);
void catalog_report_finish(struct catalog_report *report);

/**
 * Load and validate a directory. All findings are reported, not only the first; a
 * misspelt key comes with the nearest known one.
 * Errors: NULL with at least one finding in report.
 */
struct catalog *catalog_load(const char *directory, struct catalog_report *report);
struct catalog *catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog *catalog);

/** 16 hex digits over all definitions: changes when, and only when, they do. */
const char *catalog_hash(const struct catalog *catalog);
size_t catalog_board_count(const struct catalog *catalog);
const struct board_definition *catalog_board_at(const struct catalog *catalog, size_t index);
const struct board_definition *catalog_board(const struct catalog *catalog, const char *id);
size_t catalog_kpi_count(const struct catalog *catalog);
const struct kpi *catalog_kpi_at(const struct catalog *catalog, size_t index);
const struct kpi *catalog_kpi(const struct catalog *catalog, const char *id, size_t length);
/** The bit of a role in `roles` of KPIs and boards; 0 when no definition names it. `everybody` is 1. */
uint64_t catalog_role(const struct catalog *catalog, const char *name, size_t length);
/**
 * What GET /api/v1/dashboards/{id}/definition answers, for a viewer that sees these KPIs of the board: tiles of the others are
 * not told of. view: names what it sees.
 * Owns: free() it. NULL when memory ran out.
 */
char *catalog_serve_board(const struct catalog *catalog, const struct board_definition *board,
                          const char *view, bool (*sees)(const void *context, const struct kpi *kpi),
                          const void *context);
/** The KPI that owns a field: the part before '#', and '#' present exactly when the type has rows. NULL when none. */
const struct kpi *catalog_kpi_of_field(const struct catalog *catalog, const char *field);
bool kpi_has_rows(const struct kpi *kpi);

/** What catalog_admit learnt from the change, beside the text. */
struct admitted_value {
    bool has_number;
    double number; /* what thresholds and history use; from v, or the ratio */
    bool has_target, has_base;
    double target, base;
    enum value_state state;
    int64_t as_of_ms;
};

/**
 * Is this change acceptable for this KPI, and what is its value on the wire?
 *
 * Checks type, columns, parts, states, range, scale, decimals, as_of against now_ms.
 * On RESULT_OK appends the value's JSON object text to out_text, WITHOUT "rev" and WITHOUT "level" and WITHOUT the closing
 * brace (the pipeline adds level and closes), e.g. `{"as_of":1763719200123,"v":"1284300.50","ver":4`.
 * A deletion appends nothing. A state's number is its level (0, 1, 2), which kpi->threshold judges.
 * Result: WRONG_TYPE, OUT_OF_RANGE, FUTURE, MISSING_FIELD, UNKNOWN_FIELD (a column or part), TOO_BIG, NO_MEMORY; out_detail
 *         (REASON_MAX_BYTES + 1 bytes) then says what, e.g. "value 132 is above 100".
 */
MUST_CHECK enum result catalog_admit(const struct kpi *kpi, const struct change *change, int64_t now_ms,
                                     struct bytes *out_text, struct admitted_value *out_value,
                                     char out_detail[REASON_MAX_BYTES + 1]);

/** as_of and state of a board's value text, without parsing it: every value text begins with them. false when it does not. */
bool value_peek(const char *text, size_t length, int64_t *out_as_of_ms, enum value_state *out_state);

/** The amount of a board's value text in state ok, as it is written: a number or a quoted decimal. Borrowed. false: none. */
bool value_peek_amount(const char *text, size_t length, const char **out_token, size_t *out_length);

/**
 * The same value in another state: rewrites "state" and "reason" of a board's value text, keeps v and as_of.
 * text may be NULL (there is no last good value): then `{"as_of":now,"state":...,"reason":...`.
 * Appends like catalog_admit, without the closing brace. Result: RESULT_MALFORMED when text is not a value.
 */
MUST_CHECK enum result value_mark(const char *text, size_t length, enum value_state state, const char *reason,
                                  int64_t now_ms, struct bytes *out_text);

#endif
