/*
 * Validates one KPI definition member by member, fills struct kpi, and builds the definition that viewers
 * get: where a value comes from (relations, columns, channels) stays in the process, only the kind of
 * source is told. Reading goes on after a finding, so that one run tells everything there is to mend.
 */
#include "catalog/kpi_definition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/kpi_source.h"
#include "catalog/privacy.h"
#include "protocol/limits.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum {
    MONEY_DECIMALS_DEFAULT = 2,
    DECIMALS_MAX = 6,
    CADENCE_MAX_S = 366 * 86400,
    COALESCE_MAX_MS = 60000,
    FOR_MAX_S = 86400,
};

static const char *const type_names[] = {
    [KPI_GAUGE] = "gauge", [KPI_COUNTER] = "counter", [KPI_STATE] = "state",   [KPI_MIX] = "mix",
    [KPI_TABLE] = "table", [KPI_FEED] = "feed",       [KPI_SERIES] = "series", [KPI_TYPE_COUNT] = NULL,
};

static const char *const unit_names[] = {
    [UNIT_NONE] = "none",
    [UNIT_TEXT] = "text",
    [UNIT_NUMBER] = "number",
    [UNIT_INTEGER] = "integer",
    [UNIT_MONEY] = "money",
    [UNIT_PERCENT] = "percent",
    [UNIT_SCORE] = "score",
    [UNIT_MS] = "ms",
    [UNIT_S] = "s",
    [UNIT_BYTES] = "bytes",
    [UNIT_PER_SECOND] = "per_second",
    [UNIT_PER_MINUTE] = "per_minute",
    [UNIT_DAYS] = "days",
    [UNIT_TIME] = "time",
    [UNIT_DURATION] = "duration",
    [UNIT_SEVERITY] = "severity",
    [UNIT_STATE] = "state",
    [KPI_UNIT_COUNT] = NULL,
};

static const char *const good_names[] = {"up", "down", "none", "band", NULL};
static const char *const priority_names[] = {"critical", "normal", NULL};
static const char *const basis_names[] = {"value", "vs_target", "vs_base", NULL};
static const char *const level_words[] = {"ok", "warn", "crit", NULL};
static const char *const display_names[] = {"strip", "heat", "timeline", "bars", "lines", NULL};
static const char *const sort_names[] = {"asc", "desc", NULL};
static const char *const drill_names[] = {"history", "rows", "link", NULL};
static const char *const target_names[] = {"pace", "plan", "limit", "usual", NULL};

/** What a value can be compared with, and how the tile says so. */
static const char *const compare_names[] = {
    "same_day_prev_month",
    "prev_day",
    "same_time_prev_day",
    "7_days_ago",
    "30_days_ago",
    "mean_7d",
    "prev_24h",
    "prev_7d",
    "prev_30d",
    NULL,
};
static const char *const compare_labels[] = {
    "vs same day last month", "vs previous day",    "vs same time yesterday",
    "vs 7 days ago",          "vs 30 days ago",     "vs 7-day mean",
    "vs previous 24 h",       "vs previous 7 days", "vs previous 30 days",
};

static const struct member_rule kpi_rules[] = {
    {"id", MEMBER_TEXT, true},           {"title", MEMBER_TEXT, true},
    {"about", MEMBER_TEXT, true},        {"type", MEMBER_TEXT, true},
    {"unit", MEMBER_TEXT, false},        {"currency", MEMBER_TEXT, false},
    {"decimals", MEMBER_INTEGER, false}, {"precision", MEMBER_INTEGER, false},
    {"compact", MEMBER_BOOL, false},     {"scale", MEMBER_NUMBER, false},
    {"range", MEMBER_ARRAY, false},      {"good", MEMBER_TEXT, false},
    {"compare", MEMBER_TEXT, false},     {"compare_label", MEMBER_TEXT, false},
    {"target", MEMBER_OBJECT, false},    {"threshold", MEMBER_OBJECT, false},
    {"bands", MEMBER_ARRAY, false},      {"source", MEMBER_OBJECT, true},
    {"class", MEMBER_TEXT, false},       {"cadence_s", MEMBER_INTEGER, false},
    {"history", MEMBER_OBJECT, false},   {"coalesce_ms", MEMBER_INTEGER, false},
    {"priority", MEMBER_TEXT, false},    {"cap", MEMBER_INTEGER, false},
    {"columns", MEMBER_ARRAY, false},    {"parts", MEMBER_ARRAY, false},
    {"states", MEMBER_OBJECT, false},    {"display", MEMBER_TEXT, false},
    {"with", MEMBER_ARRAY, false},       {"roles", MEMBER_ARRAY, true},
    {"privacy", MEMBER_TEXT, true},      {"mask", MEMBER_TEXT, false},
    {"drill", MEMBER_OBJECT, false},
};

bool kpi_has_rows(const struct kpi *kpi)
{
    return kpi->type == KPI_TABLE || kpi->type == KPI_FEED || kpi->type == KPI_SERIES;
}

static bool is_single_value(const struct kpi *kpi)
{
    return kpi->type == KPI_GAUGE || kpi->type == KPI_COUNTER;
}

static bool is_numeric(const struct kpi *kpi)
{
    return is_single_value(kpi) && kpi->unit != UNIT_TEXT;
}

static void refuse_member(const json_t *raw, const char *member, bool is_meant, const char *who,
                          const struct place *place)
{
    if (!is_meant && json_object_get(raw, member)) {
        place_say(place, member, "only %s may have it", who);
    }
}

static void require_member(const json_t *raw, const char *member, bool is_needed, const char *who,
                           const struct place *place)
{
    if (is_needed && !json_object_get(raw, member)) {
        place_say(place, member, "is missing: %s needs it", who);
    }
}

/* ---- number members ---- */

static void read_unit(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    int unit = place_word(place, raw, "unit", unit_names);
    kpi->unit = unit >= 0 ? (enum kpi_unit)unit : UNIT_NONE;
    require_member(raw, "unit", is_single_value(kpi) || kpi->type == KPI_MIX, type_names[kpi->type], place);
    if (unit >= UNIT_TIME) {
        place_say(place, "unit", "\"%s\" is for columns only", unit_names[unit]);
    } else if (unit == UNIT_NONE && (is_single_value(kpi) || kpi->type == KPI_MIX)) {
        place_say(place, "unit", "\"none\" is for states and rows only");
    } else if (unit == UNIT_TEXT && kpi->type == KPI_MIX) {
        place_say(place, "unit", "the parts of a mix are numbers");
    } else if (unit > UNIT_NONE && (kpi_has_rows(kpi) || kpi->type == KPI_STATE)) {
        place_say(place, "unit", "only a gauge, counter or mix has one");
    }
}

static bool has_money_column(const struct kpi *kpi)
{
    for (size_t i = 0; i < kpi->column_count; i++) {
        if (kpi->columns[i].unit == UNIT_MONEY) {
            return true;
        }
    }
    return false;
}

static void read_currency(const struct kpi *kpi, const json_t *raw, const struct place *place)
{
    bool is_money = kpi->unit == UNIT_MONEY || has_money_column(kpi);
    const char *currency = json_string_value(json_object_get(raw, "currency"));
    require_member(raw, "currency", is_money, "money", place);
    refuse_member(raw, "currency", is_money, "money", place);
    if (currency && (strlen(currency) != 3 || strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)) {
        place_say(place, "currency", "must be three capital letters, as in ISO 4217");
    }
}

static void read_scale(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *scale = json_object_get(raw, "scale");
    kpi->scale = 1.0;
    if (!json_is_number(scale)) {
        return;
    }
    kpi->scale = json_number_value(scale);
    if (kpi->scale == 0.0) {
        place_say(place, "scale", "must not be 0");
    } else if (kpi->unit == UNIT_MONEY && kpi->scale != 1.0) {
        place_say(place, "scale", "must be 1 for money, which is never multiplied");
    }
    refuse_member(raw, "scale", is_numeric(kpi), "a number", place);
}

static void read_range(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *range = json_object_get(raw, "range");
    if (!range) {
        return;
    }
    const json_t *low = json_array_get(range, 0);
    const json_t *high = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_number(low) || !json_is_number(high)) {
        place_say(place, "range", "must be two numbers, lowest and highest");
        return;
    }
    kpi->has_range = true;
    kpi->range_low = json_number_value(low);
    kpi->range_high = json_number_value(high);
    if (kpi->range_low >= kpi->range_high) {
        place_say(place, "range", "the lowest (%.15g) must be below the highest (%.15g)", kpi->range_low,
                  kpi->range_high);
    }
    refuse_member(raw, "range", is_numeric(kpi) || kpi->type == KPI_MIX, "a number", place);
}

static void read_decimals(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    int fallback = kpi->unit == UNIT_MONEY ? MONEY_DECIMALS_DEFAULT : 0;
    kpi->decimals = (int)place_integer(place, raw, "decimals", 0, DECIMALS_MAX, fallback);
    (void)place_integer(place, raw, "precision", 0, DECIMALS_MAX, 0); /* for viewers; only checked here */
}

/* ---- threshold ---- */

static const struct member_rule threshold_rules[] = {
    {"basis", MEMBER_TEXT, true},         {"warn", MEMBER_NUMBER, false},   {"crit", MEMBER_NUMBER, false},
    {"hysteresis", MEMBER_NUMBER, false}, {"for_s", MEMBER_INTEGER, false}, {"good", MEMBER_TEXT, false},
};

/** The threshold's own direction wins over the KPI's; "none" and "band" say nothing about limits. */
static void read_direction(struct threshold *threshold, const json_t *raw, const json_t *limits,
                           const struct place *at, const struct place *place)
{
    int own = place_word(at, limits, "good", good_names);
    const char *of_kpi = json_string_value(json_object_get(raw, "good"));
    if (own >= 2) {
        place_say(at, "good", "must be \"up\" or \"down\"");
    } else if (own >= 0) {
        threshold->direction = own == 0 ? GOOD_UP : GOOD_DOWN;
    } else if (of_kpi && strcmp(of_kpi, "up") == 0) {
        threshold->direction = GOOD_UP;
    } else if (of_kpi && strcmp(of_kpi, "down") == 0) {
        threshold->direction = GOOD_DOWN;
    } else {
        place_say(place, "threshold.good", "is missing: the KPI itself is neither \"up\" nor \"down\"");
    }
}

static void read_limits(struct threshold *threshold, const json_t *limits, const struct place *at)
{
    const json_t *warn = json_object_get(limits, "warn");
    const json_t *crit = json_object_get(limits, "crit");
    double never = threshold->direction == GOOD_UP ? -INFINITY : INFINITY;
    if (!warn && !crit) {
        place_say(at, NULL, "needs warn, crit or both");
    }
    threshold->crit = json_is_number(crit) ? json_number_value(crit) : never;
    threshold->warn = json_is_number(warn) ? json_number_value(warn) : threshold->crit;
    if (threshold->direction == GOOD_UP && threshold->warn < threshold->crit) {
        place_say(at, "warn", "must not be below crit when up is good");
    } else if (threshold->direction == GOOD_DOWN && threshold->warn > threshold->crit) {
        place_say(at, "warn", "must not be above crit when down is good");
    }
}

static void read_threshold(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *limits = json_object_get(raw, "threshold");
    struct place at = place_enter(place, "threshold");
    if (!limits || !place_check_members(&at, limits, threshold_rules, COUNT_OF(threshold_rules))) {
        return;
    }
    struct threshold *threshold = &kpi->threshold;
    int basis = place_word(&at, limits, "basis", basis_names);
    threshold->is_set = true;
    threshold->basis = basis >= 0 ? (enum threshold_basis)basis : BASIS_VALUE;
    threshold->for_ms = (uint32_t)place_integer(&at, limits, "for_s", 0, FOR_MAX_S, 0) * 1000;
    const json_t *hysteresis = json_object_get(limits, "hysteresis");
    threshold->hysteresis = json_is_number(hysteresis) ? json_number_value(hysteresis) : 0.0;
    if (threshold->hysteresis < 0.0) {
        place_say(&at, "hysteresis", "must not be below 0");
    }
    read_direction(threshold, raw, limits, &at, place);
    read_limits(threshold, limits, &at);
    refuse_member(raw, "threshold", is_numeric(kpi), "a number (a state has its levels in `states`)", place);
}

/* ---- bands, target, compare, drill ---- */

static const struct member_rule band_rules[] = {{"above", MEMBER_NUMBER, false}, {"word", MEMBER_TEXT, true}};

static void check_bands(const struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *bands = json_object_get(raw, "bands");
    double previous = INFINITY;
    for (size_t i = 0; i < json_array_size(bands); i++) {
        struct place at = place_enter_index(place, "bands", i);
        const json_t *band = json_array_get(bands, i);
        if (!place_check_members(&at, band, band_rules, COUNT_OF(band_rules))) {
            continue;
        }
        const json_t *above = json_object_get(band, "above");
        bool is_last = i + 1 == json_array_size(bands);
        if (is_last == (above != NULL)) {
            place_say(&at, "above",
                      is_last ? "must be absent: the last band takes what is left"
                              : "is missing: only the last band has none");
        } else if (above && json_number_value(above) >= previous) {
            place_say(&at, "above", "bands go from high to low");
        }
        previous = above ? json_number_value(above) : previous;
    }
    refuse_member(raw, "bands", is_numeric(kpi), "a number", place);
}

static const struct member_rule target_rules[] = {{"kind", MEMBER_TEXT, true}, {"label", MEMBER_TEXT, false}};

static void check_target(const struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *target = json_object_get(raw, "target");
    struct place at = place_enter(place, "target");
    if (target && place_check_members(&at, target, target_rules, COUNT_OF(target_rules))) {
        (void)place_word(&at, target, "kind", target_names); /* a finding is enough */
    }
    refuse_member(raw, "target", is_numeric(kpi), "a number", place);
    if (kpi->threshold.is_set && kpi->threshold.basis == BASIS_VS_TARGET && !target) {
        place_say(place, "target", "is missing: the threshold is measured against it");
    }
}

static int check_compare(const struct kpi *kpi, const json_t *raw, const struct place *place)
{
    int compare = place_word(place, raw, "compare", compare_names);
    refuse_member(raw, "compare", is_numeric(kpi), "a number", place);
    if (json_object_get(raw, "compare_label") && !json_object_get(raw, "compare")) {
        place_say(place, "compare_label", "has no meaning without compare");
    }
    if (kpi->threshold.is_set && kpi->threshold.basis == BASIS_VS_BASE && !json_object_get(raw, "compare")) {
        place_say(place, "compare", "is missing: the threshold is measured against it");
    }
    return compare;
}

static const struct member_rule drill_rules[] = {{"kind", MEMBER_TEXT, true},
                                                 {"link", MEMBER_OPTIONAL_TEXT, false}};

static void check_drill(const json_t *raw, const struct place *place)
{
    const json_t *drill = json_object_get(raw, "drill");
    struct place at = place_enter(place, "drill");
    if (!drill || !place_check_members(&at, drill, drill_rules, COUNT_OF(drill_rules))) {
        return;
    }
    int kind = place_word(&at, drill, "kind", drill_names);
    const char *link = json_string_value(json_object_get(drill, "link"));
    if (link && strncmp(link, "https://", 8) != 0 && strncmp(link, "/", 1) != 0) {
        place_say(&at, "link", "must start with https:// or /");
    } else if (!link && kind == 2) {
        place_say(&at, "link", "is missing");
    }
}

/* ---- history ---- */

static const struct member_rule history_rules[] = {{"points", MEMBER_INTEGER, true},
                                                   {"step", MEMBER_TEXT, true},
                                                   {"query", MEMBER_QUERY, false}};

/** "5m" -> 300; 0 when it is not a number of s, m, h or d within 1 s..31 d. */
static uint64_t step_seconds(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || strlen(text) != digits + 1) {
        return 0;
    }
    static const char letters[] = "smhd";
    static const uint64_t seconds[] = {1, 60, 3600, 86400};
    const char *letter = strchr(letters, text[digits]);
    uint64_t step = letter ? strtoul(text, NULL, 10) * seconds[letter - letters] : 0;
    return step <= 31 * 86400 ? step : 0;
}

static void read_history(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *history = json_object_get(raw, "history");
    struct place at = place_enter(place, "history");
    if (!history || !place_check_members(&at, history, history_rules, COUNT_OF(history_rules))) {
        return;
    }
    kpi->history_points = (uint32_t)place_integer(&at, history, "points", 2, HISTORY_POINTS_MAX, 0);
    uint64_t step_s = step_seconds(json_string_value(json_object_get(history, "step")));
    if (step_s == 0) {
        place_say(&at, "step", "must be a whole number of s, m, h or d, such as \"5m\", at most 31 days");
    }
    kpi->history_step_ms = step_s * 1000;
    kpi->history_query = place_copy_query(&at, history, "query");
    refuse_member(raw, "history", is_numeric(kpi), "a number", place);
}

/* ---- columns, parts, states ---- */

static const struct member_rule column_rules[] = {
    {"key", MEMBER_TEXT, true},          {"title", MEMBER_TEXT, true},     {"unit", MEMBER_TEXT, true},
    {"decimals", MEMBER_INTEGER, false}, {"required", MEMBER_BOOL, false}, {"sort", MEMBER_TEXT, false},
    {"privacy", MEMBER_TEXT, false},     {"mask", MEMBER_TEXT, false},
};
static const struct member_rule part_rules[] = {{"key", MEMBER_TEXT, true}, {"title", MEMBER_TEXT, true}};
static const struct member_rule state_rules[] = {{"title", MEMBER_TEXT, true}, {"level", MEMBER_TEXT, true}};

static bool check_key(const json_t *object, const struct place *at)
{
    if (!is_member_key(json_string_value(json_object_get(object, "key")))) {
        place_say(at, "key", "is made of a-z, 0-9 and _, starting with a letter");
        return false;
    }
    return true;
}

static bool has_column(const struct kpi *kpi, const char *key)
{
    for (size_t i = 0; i < kpi->column_count; i++) {
        if (strcmp(kpi->columns[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static void read_column(struct kpi *kpi, const json_t *raw, const struct place *at)
{
    if (!place_check_members(at, raw, column_rules, COUNT_OF(column_rules)) || !check_key(raw, at)) {
        return;
    }
    const char *key = json_string_value(json_object_get(raw, "key"));
    if (has_column(kpi, key)) {
        place_say(at, "key", "\"%s\" is already a column", key);
        return;
    }
    int unit = place_word(at, raw, "unit", unit_names);
    (void)place_word(at, raw, "sort", sort_names); /* for viewers; only checked here */
    enum privacy privacy = privacy_read(raw, kpi->privacy, at);
    if (unit == UNIT_NONE) {
        place_say(at, "unit", "a column needs a unit; \"text\" for words");
    }
    bool is_money = unit == UNIT_MONEY;
    struct kpi_column column = {
        .key = place_copy_text(at, raw, "key"),
        .title = place_copy_text(at, raw, "title"),
        .unit = unit >= 0 ? (enum kpi_unit)unit : UNIT_TEXT,
        .decimals =
            (int)place_integer(at, raw, "decimals", 0, DECIMALS_MAX, is_money ? MONEY_DECIMALS_DEFAULT : 0),
        .is_required = json_is_true(json_object_get(raw, "required")),
        .privacy = privacy,
        .mask = privacy_read_mask(raw, privacy, unit == UNIT_TEXT, at),
    };
    if (column.key && column.title) {
        kpi->columns[kpi->column_count++] = column;
        kpi->privacies |= 1U << privacy;
    } else {
        free(column.key);
        free(column.title);
    }
}

static void read_columns(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *columns = json_object_get(raw, "columns");
    require_member(raw, "columns", kpi_has_rows(kpi), type_names[kpi->type], place);
    refuse_member(raw, "columns", kpi_has_rows(kpi), "a table, feed or series", place);
    size_t count = json_array_size(columns);
    if (count == 0) {
        return;
    }
    kpi->columns = calloc(count, sizeof *kpi->columns);
    if (!kpi->columns) {
        place_say_no_memory(place);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct place at = place_enter_index(place, "columns", i);
        read_column(kpi, json_array_get(columns, i), &at);
    }
}

static bool has_word(char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static void read_part(struct kpi *kpi, const json_t *raw, const struct place *at)
{
    if (!place_check_members(at, raw, part_rules, COUNT_OF(part_rules)) || !check_key(raw, at)) {
        return;
    }
    const char *key = json_string_value(json_object_get(raw, "key"));
    if (has_word(kpi->parts, kpi->part_count, key)) {
        place_say(at, "key", "\"%s\" is already a part", key);
        return;
    }
    char *copy = place_copy_text(at, raw, "key");
    if (copy) {
        kpi->parts[kpi->part_count++] = copy;
    }
}

static void read_parts(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *parts = json_object_get(raw, "parts");
    require_member(raw, "parts", kpi->type == KPI_MIX, "mix", place);
    refuse_member(raw, "parts", kpi->type == KPI_MIX, "a mix", place);
    size_t count = json_array_size(parts);
    if (count == 0) {
        return;
    }
    kpi->parts = calloc(count, sizeof *kpi->parts);
    if (!kpi->parts) {
        place_say_no_memory(place);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct place at = place_enter_index(place, "parts", i);
        read_part(kpi, json_array_get(parts, i), &at);
    }
}

static void read_state(struct kpi *kpi, const char *key, const json_t *raw, const struct place *at)
{
    if (!is_member_key(key)) {
        place_say(at, NULL, "a state's key is made of a-z, 0-9 and _, starting with a letter");
        return;
    }
    if (!place_check_members(at, raw, state_rules, COUNT_OF(state_rules))) {
        return;
    }
    int level = place_word(at, raw, "level", level_words);
    char *copy = strdup(key);
    if (!copy) {
        place_say_no_memory(at);
        return;
    }
    kpi->state_levels[kpi->state_count] = level >= 0 ? (enum threshold_level)level : LEVEL_OK;
    kpi->states[kpi->state_count++] = copy;
}

/** A state's level is judged like a number, 0, 1 or 2: one mechanism for all levels. */
static void read_states(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    const json_t *states = json_object_get(raw, "states");
    require_member(raw, "states", kpi->type == KPI_STATE, "state", place);
    refuse_member(raw, "states", kpi->type == KPI_STATE, "a state", place);
    size_t count = json_object_size(states);
    struct place inner = place_enter(place, "states");
    if (count == 0 || count > DEFINITION_MEMBERS_MAX) {
        if (states) {
            place_say(&inner, NULL, "has %zu states; 1 to %d are possible", count, DEFINITION_MEMBERS_MAX);
        }
        return;
    }
    kpi->states = calloc(count, sizeof *kpi->states);
    kpi->state_levels = calloc(count, sizeof *kpi->state_levels);
    if (!kpi->states || !kpi->state_levels) {
        place_say_no_memory(place);
        return;
    }
    const char *key;
    json_t *state;
    /* Only reads; the macro has no const form. */
    json_object_foreach((json_t *)(uintptr_t)states, key, state) {
        struct place at = place_enter(&inner, key);
        read_state(kpi, key, state, &at);
    }
    if (kpi->type == KPI_STATE) {
        kpi->threshold = (struct threshold){.is_set = true,
                                            .basis = BASIS_VALUE,
                                            .direction = GOOD_DOWN,
                                            .warn = LEVEL_WARN,
                                            .crit = LEVEL_CRIT};
    }
}

static void read_cap(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    require_member(raw, "cap", kpi_has_rows(kpi), type_names[kpi->type], place);
    refuse_member(raw, "cap", kpi_has_rows(kpi), "a table, feed or series", place);
    kpi->cap = (uint32_t)place_integer(place, raw, "cap", 1, TABLE_ROWS_MAX, 1);
}

/* ---- delivery ---- */

static void read_delivery(struct kpi *kpi, const json_t *raw, const struct place *place)
{
    int priority = place_word(place, raw, "priority", priority_names);
    kpi->coalesce_ms = (uint32_t)place_integer(place, raw, "coalesce_ms", 0, COALESCE_MAX_MS,
                                               priority == 0 ? 0 : COALESCE_UNSET);
}

static void read_class(struct kpi *kpi, const json_t *raw, struct class_table *classes,
                       const struct place *place)
{
    int64_t cadence_s = place_integer(place, raw, "cadence_s", 1, CADENCE_MAX_S, 0);
    const char *name = json_string_value(json_object_get(raw, "class"));
    kpi->freshness = class_table_limits(classes, name, cadence_s, place);
}

/* ---- what viewers get ---- */

static const char *const served_members[] = {
    "id",     "title",   "about",   "type",      "unit",  "currency",  "decimals", "precision", "compact",
    "range",  "good",    "compare", "threshold", "bands", "cadence_s", "cap",      "columns",   "parts",
    "states", "display", "with",    "privacy",   "roles", "drill",     NULL,
};

static bool serve_new(json_t *served, const char *member, json_t *value)
{
    return json_object_set_new(served, member, value) == 0;
}

static bool serve_copies(json_t *served, const json_t *raw)
{
    for (size_t i = 0; served_members[i] != NULL; i++) {
        json_t *member = json_object_get(raw, served_members[i]);
        if (member && json_object_set(served, served_members[i], member) != 0) {
            return false;
        }
    }
    return true;
}

static bool serve_target(json_t *served, const json_t *raw)
{
    const json_t *target = json_object_get(raw, "target");
    if (!target) {
        return true;
    }
    const char *kind = json_string_value(json_object_get(target, "kind"));
    const char *label = json_string_value(json_object_get(target, "label"));
    return serve_new(served, "target", json_pack("{s:s, s:s*}", "kind", kind, "label", label));
}

static bool serve_history(json_t *served, const struct kpi *kpi)
{
    if (kpi->history_points == 0) {
        return true;
    }
    return serve_new(served, "history",
                     json_pack("{s:I, s:I}", "points", (json_int_t)kpi->history_points, "step_s",
                               (json_int_t)(kpi->history_step_ms / 1000)));
}

static bool serve(json_t *served, const struct kpi *kpi, const json_t *raw, int compare)
{
    const char *label = json_string_value(json_object_get(raw, "compare_label"));
    if (!label && compare >= 0) {
        label = compare_labels[compare];
    }
    return serve_copies(served, raw) && serve_new(served, "unit", json_string(unit_names[kpi->unit])) &&
           (json_object_get(raw, "good") || serve_new(served, "good", json_string("none"))) &&
           (kpi->unit != UNIT_MONEY || serve_new(served, "decimals", json_integer(kpi->decimals))) &&
           (!label || serve_new(served, "compare_label", json_string(label))) && serve_target(served, raw) &&
           serve_history(served, kpi) && serve_new(served, "class", json_string(kpi->freshness->name)) &&
           serve_new(served, "source", json_pack("{s:s}", "kind", kpi->source_kind));
}

static void build_definition(struct kpi *kpi, const json_t *raw, int compare, const struct place *place)
{
    kpi->definition = json_object();
    if (!kpi->definition || !serve(kpi->definition, kpi, raw, compare)) {
        place_say_no_memory(place);
    }
}

/* ---- who may see it ---- */

static void read_viewers(struct kpi *kpi, const json_t *raw, struct role_table *roles,
                         const struct place *place)
{
    kpi->roles = role_table_read(roles, raw, place);
    kpi->privacy = privacy_read(raw, PRIVACY_PERSONAL, place);
    kpi->mask = privacy_read_mask(raw, kpi->privacy, is_single_value(kpi) && kpi->unit == UNIT_TEXT, place);
    kpi->privacies = kpi_has_rows(kpi) ? 0 : 1U << kpi->privacy; /* columns add theirs */
}

/* ---- the whole ---- */

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(texts[i]);
    }
    free(texts);
}

void kpi_destroy(struct kpi *kpi)
{
    if (!kpi) {
        return;
    }
    for (size_t i = 0; i < kpi->column_count; i++) {
        free(kpi->columns[i].key);
        free(kpi->columns[i].title);
    }
    free(kpi->columns);
    free_texts(kpi->parts, kpi->part_count);
    free_texts(kpi->states, kpi->state_count);
    free(kpi->state_levels);
    kpi_source_finish(kpi);
    free(kpi->history_query);
    free(kpi->companions);
    free(kpi->derived);
    free(kpi->boards);
    free(kpi->id);
    json_decref(kpi->definition);
    free(kpi);
}

static void read_members(struct kpi *kpi, const json_t *raw, struct class_table *classes,
                         struct role_table *roles, const struct place *place)
{
    size_t findings = place->report->count;
    bool is_well_formed = place_check_members(place, raw, kpi_rules, COUNT_OF(kpi_rules));
    int type = place_word(place, raw, "type", type_names);
    if (type < 0) {
        return; /* nearly every rule depends on it */
    }
    kpi->type = (enum kpi_type)type;
    read_unit(kpi, raw, place);
    read_viewers(kpi, raw, roles, place);
    read_columns(kpi, raw, place);
    read_parts(kpi, raw, place);
    read_currency(kpi, raw, place);
    read_decimals(kpi, raw, place);
    read_scale(kpi, raw, place);
    read_range(kpi, raw, place);
    read_cap(kpi, raw, place);
    read_history(kpi, raw, place);
    read_threshold(kpi, raw, place);
    read_states(kpi, raw, place);
    check_bands(kpi, raw, place);
    check_target(kpi, raw, place);
    int compare = check_compare(kpi, raw, place);
    check_drill(raw, place);
    (void)place_word(place, raw, "good", good_names); /* for viewers; read_direction() reads it again */
    (void)place_word(place, raw, "display", display_names);
    (void)place_check_texts(place, raw, "with");
    kpi_source_read(kpi, raw, place);
    read_delivery(kpi, raw, place);
    read_class(kpi, raw, classes, place);
    if (is_well_formed && place->report->count == findings &&
        kpi->freshness) { /* NULL: no class could be read */
        build_definition(kpi, raw, compare, place);
    }
}

static void say_bad_id(const struct place *place, const char *id)
{
    if (id) {
        place_say(
            place, "id",
            "\"%.96s\" is not a KPI id: words of a-z, 0-9 and _ joined by dots, such as sales.new_deals", id);
    } else {
        place_say(place, NULL, "must be an object with an id");
    }
}

struct kpi *kpi_read(const json_t *raw, size_t index, struct class_table *classes, struct role_table *roles,
                     const struct place *place)
{
    const char *id = json_string_value(json_object_get(raw, "id"));
    if (!id || !is_kpi_id(id)) {
        struct place nameless = place_enter_index(place, "kpis", index);
        say_bad_id(&nameless, id);
        return NULL;
    }
    struct place at = place_enter(place, id);
    struct kpi *kpi = calloc(1, sizeof *kpi);
    if (!kpi || !(kpi->id = strdup(id))) {
        free(kpi);
        place_say_no_memory(&at);
        return NULL;
    }
    read_members(kpi, raw, classes, roles, &at);
    return kpi;
}
