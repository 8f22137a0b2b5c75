/*
 * Turns the tables of demo_data.c into changes. Every number is a function of
 * seed, day and second: a line from morning to evening, a smooth stray from it, and
 * the bumps of the day's incidents. Nothing is remembered between two ticks, so
 * a day that wraps starts again exactly as before.
 *
 * Randomness is a hash of what it is for; rand() and clocks are not used.
 */
#include "sources/demo_story.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/limits.h"

#define DAY_MS (86400LL * 1000)
#define HOUR_MS (3600LL * 1000)

enum {
    STRAY_S = 24, /* a number strays to another side about this often */
    SERIES_DAYS = 30,
    HEAT_DAYS = 14,
    SERIES_HOURS = 48,
    OPENING_MENTIONS = 24,
    MENTION_EVERY_S = 9,
    TARGET_OF_MONTH = 3000000,
    CORRECTION = 38400,
    CUSTOMERS_HEALTHY = 321,
    CUSTOMERS_ATTENTION = 62,
    CUSTOMERS_AT_RISK = 29,
    NAME_BYTES = 192,
    KEY_BYTES = 64,
};

/* The second being told, and where to. */
struct telling {
    uint64_t seed;
    uint64_t day;
    unsigned s; /* second of the demo day */
    bool is_opening;
    int64_t now_ms;
    struct batch *out;
};

/* ---- chance ---- */

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u; /* splitmix64 */
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash;
}

/* 0 to 1, always the same for the same seed, name and index. */
static double chance(uint64_t seed, const char *name, uint64_t index)
{
    return (double)(mix(mix(seed ^ hash_text(name)) ^ index) >> 11) / 9007199254740992.0;
}

/* -1 to 1, smooth in x. */
static double stray(uint64_t seed, const char *name, double x)
{
    double whole = floor(x);
    double part = x - whole;
    double eased = part * part * (3 - 2 * part);
    double from = chance(seed, name, (uint64_t)(int64_t)whole);
    double to = chance(seed, name, (uint64_t)(int64_t)whole + 1);
    return 2 * (from + (to - from) * eased) - 1;
}

/* ---- time ---- */

static bool is_out(const struct telling *telling, enum demo_origin origin)
{
    return origin == DEMO_CRM && telling->s >= DEMO_OUTAGE_FROM_S && telling->s < DEMO_OUTAGE_TO_S;
}

/* The second whose numbers are told: during the outage, that of its beginning. */
static unsigned second_of(const struct telling *telling, enum demo_origin origin)
{
    return is_out(telling, origin) ? DEMO_OUTAGE_FROM_S : telling->s;
}

static int64_t as_of(const struct telling *telling, enum demo_origin origin)
{
    if (!is_out(telling, origin)) {
        return telling->now_ms;
    }
    int64_t out_s = (int64_t)(telling->s - DEMO_OUTAGE_FROM_S) * DEMO_TIME_FACTOR;
    return telling->now_ms - out_s * 1000;
}

/* Everything has its own phase, so that only a few things move in any second. */
static bool is_due(const struct telling *telling, const char *name, unsigned period_s)
{
    return telling->is_opening || telling->s % period_s == hash_text(name) % period_s;
}

static struct tm date_of(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm date = {0};
    (void)gmtime_r(&seconds, &date); /* fails only beyond the year 2^31 */
    return date;
}

static void print_date(int64_t ms, char out[static 16])
{
    struct tm date = date_of(ms);
    (void)strftime(out, 16, "%Y-%m-%d", &date); /* always fits */
}

/* ---- changes ---- */

static struct change *put(struct telling *telling, const char *field, int64_t as_of_ms, json_t *value)
{
    struct change *change = batch_put(telling->out, field, as_of_ms, value);
    if (change) {
        change->is_demo = true;
    }
    return change;
}

static void put_row(struct telling *telling, const char *kpi, const char *key, int64_t as_of_ms, json_t *row)
{
    char field[FIELD_MAX_BYTES + 1];
    (void)snprintf(field, sizeof field, "%s#%s", kpi, key); /* our own short names */
    (void)put(telling, field, as_of_ms, row);               /* a failed batch says so itself */
}

static json_t *number(enum demo_form form, double value)
{
    char money[32];
    switch (form) {
    case DEMO_INTEGER:
        return json_integer((json_int_t)llround(value));
    case DEMO_REAL:
        return json_real(value);
    case DEMO_MONEY:
        (void)snprintf(money, sizeof money, "%.2f", value); /* below 10^15 */
        return json_string(money);
    }
    return NULL;
}

static double rounded(double value, double step)
{
    return round(value / step) * step;
}

static double line(double open, double close, unsigned s)
{
    return open + (close - open) * s / DEMO_DAY_S;
}

static double bump_at(const struct demo_bump *bump, unsigned s)
{
    if (s < bump->from_s || s >= bump->to_s) {
        return 0;
    }
    if (s < bump->full_s) {
        return bump->amount * (s - bump->from_s) / (bump->full_s - bump->from_s);
    }
    if (s < bump->fade_s) {
        return bump->amount;
    }
    return bump->amount * (bump->to_s - s) / (bump->to_s - bump->fade_s);
}

static double bumps_of(const char *kpi, unsigned s)
{
    double sum = 0;
    for (size_t i = 0; i < demo_bump_count; i++) {
        sum += strcmp(demo_bumps[i].kpi, kpi) == 0 ? bump_at(&demo_bumps[i], s) : 0;
    }
    return sum;
}

/* [[ms, value], ...] from `past` to `open`, straying as much as the value does; the newest a step before now. */
static json_t *sparkline(const struct telling *telling, const char *kpi, enum demo_form form, double past,
                         double open, double wobble, double step, unsigned points, int64_t point_ms)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < points; i++) {
        double value =
            past + (open - past) * i / points + wobble * stray(telling->seed, kpi, -100.0 - i * 0.7);
        json_t *point = json_pack("[I, o]", (json_int_t)(telling->now_ms - (int64_t)(points - i) * point_ms),
                                  number(form, rounded(value, step)));
        (void)json_array_append_new(list, point); /* a missing point is a gap */
    }
    return list;
}

/* ---- single numbers ---- */

static double gauge_at(const struct telling *telling, const struct demo_gauge *gauge)
{
    unsigned s = second_of(telling, gauge->origin);
    double value = line(gauge->open, gauge->close, s);
    value += gauge->wobble * stray(telling->seed, gauge->kpi, (double)s / STRAY_S);
    return rounded(value + bumps_of(gauge->kpi, s), gauge->step);
}

static bool is_silenced(const struct telling *telling, const char *kpi)
{
    return strcmp(kpi, DEMO_INVALID_KPI) == 0 && telling->s >= DEMO_INVALID_S &&
           telling->s < DEMO_INVALID_TO_S && !telling->is_opening;
}

static void tell_gauge(struct telling *telling, const struct demo_gauge *gauge)
{
    if (!is_due(telling, gauge->kpi, gauge->period_s) || is_silenced(telling, gauge->kpi)) {
        return;
    }
    struct change *change = put(telling, gauge->kpi, as_of(telling, gauge->origin),
                                number(gauge->form, gauge_at(telling, gauge)));
    if (!change) {
        return;
    }
    double base = line(gauge->base_open, gauge->base_close, second_of(telling, gauge->origin));
    if (base > 0) {
        change->base = number(gauge->form, rounded(base, gauge->step));
    }
    if (gauge->target > 0) {
        change->target = number(gauge->form, gauge->target);
    }
    if (telling->is_opening && gauge->points > 0) {
        double wobble = fmax(gauge->wobble, fabs(gauge->open - gauge->past) / 12);
        /* A count of today starts at nothing; its sparkline leads to yesterday's evening. */
        double end =
            gauge->form == DEMO_INTEGER && gauge->open * 2 < gauge->past ? gauge->base_close : gauge->open;
        change->points = sparkline(telling, gauge->kpi, gauge->form, gauge->past, end, wobble, gauge->step,
                                   gauge->points, gauge->point_ms);
    }
}

static void tell_ratio(struct telling *telling, const struct demo_ratio *ratio)
{
    unsigned s = second_of(telling, ratio->origin);
    if (!is_due(telling, ratio->kpi, ratio->period_s)) {
        return;
    }
    struct change *change = batch_add(telling->out, ratio->kpi, as_of(telling, ratio->origin));
    if (!change) {
        return;
    }
    change->is_demo = true;
    change->has_ratio = true;
    change->numerator = round(line(ratio->num_open, ratio->num_close, s));
    change->denominator = round(line(ratio->den_open, ratio->den_close, s));
    if (ratio->base > 0) {
        change->base = json_real(ratio->base);
    }
    if (telling->is_opening && ratio->points > 0) {
        double open = ratio->num_open / ratio->den_open;
        change->points = sparkline(telling, ratio->kpi, DEMO_REAL, ratio->past, open,
                                   fabs(open - ratio->past) / 3, 0.001, ratio->points, ratio->point_ms);
    }
}

static void tell_invalid(struct telling *telling)
{
    if (telling->s == DEMO_INVALID_S && !telling->is_opening) {
        (void)put(telling, DEMO_INVALID_KPI, telling->now_ms, json_integer(DEMO_INVALID_VALUE));
    }
}

/* ---- revenue ---- */

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month] + (month == 1 && is_leap ? 1 : 0);
}

/* Revenue and pace of a month up to and including a share (0 to 1) of its day. */
struct month {
    double revenue, pace;
};

static struct month month_at(uint64_t seed, int year, int month, int day, double share)
{
    int days = days_of_month(year, month);
    double of_day = (double)TARGET_OF_MONTH / days;
    struct month at = {.pace = of_day * (day - 1 + share)};
    for (int i = 1; i <= day && i <= days; i++) {
        uint64_t index = (uint64_t)(year * 400 + month * 32 + i);
        double earned = of_day * (0.93 + 0.18 * chance(seed, "revenue", index));
        at.revenue += earned * (i == day ? share : 1);
    }
    at.revenue = rounded(at.revenue, 50);
    at.pace = rounded(at.pace, 50);
    return at;
}

static struct month month_of(uint64_t seed, int64_t ms, double share)
{
    struct tm date = date_of(ms);
    return month_at(seed, date.tm_year + 1900, date.tm_mon, date.tm_mday, share);
}

static bool is_corrected(const struct telling *telling)
{
    return telling->s >= DEMO_CORRECTION_S && !telling->is_opening;
}

/* Today's month holds yesterday, unless today is the first. */
static double correction_of_today(const struct telling *telling)
{
    return is_corrected(telling) && date_of(telling->now_ms).tm_mday > 1 ? CORRECTION : 0;
}

static double share_of_day(const struct telling *telling)
{
    return (telling->s + 1.0) / DEMO_DAY_S;
}

static void tell_revenue(struct telling *telling)
{
    static const char kpi[] = "exec.revenue_mtd";
    bool is_corrected_now = telling->s == DEMO_CORRECTION_S && !telling->is_opening;
    if (!is_due(telling, kpi, 6) && !is_corrected_now) {
        return;
    }
    struct tm date = date_of(telling->now_ms);
    struct month now = month_of(telling->seed, telling->now_ms, share_of_day(telling));
    int month_before = (date.tm_mon + 11) % 12;
    int year_before = date.tm_year + 1900 - (date.tm_mon == 0 ? 1 : 0);
    struct month before =
        month_at(telling->seed, year_before, month_before, date.tm_mday, share_of_day(telling));
    struct change *change = put(telling, kpi, telling->now_ms,
                                number(DEMO_MONEY, fmax(now.revenue - correction_of_today(telling), 0)));
    if (!change) {
        return;
    }
    change->target = number(DEMO_MONEY, now.pace);
    change->base = number(DEMO_MONEY, before.revenue);
    unsigned points = telling->is_opening ? SERIES_DAYS - 1 : is_corrected_now ? 1 : 0;
    for (unsigned i = points; i > 0; i--) {
        int64_t at_ms = telling->now_ms - (int64_t)i * DAY_MS;
        double value = month_of(telling->seed, at_ms, 1).revenue - (is_corrected_now ? CORRECTION : 0);
        change->points = change->points ? change->points : json_array();
        (void)json_array_append_new(
            change->points, json_pack("[I, o]", (json_int_t)at_ms, number(DEMO_MONEY, fmax(value, 0))));
    }
}

static void tell_revenue_day(struct telling *telling, int days_ago)
{
    int64_t at_ms = telling->now_ms - days_ago * DAY_MS;
    struct month month = month_of(telling->seed, at_ms, days_ago == 0 ? share_of_day(telling) : 1);
    char key[16];
    bool has_mark = days_ago == 1 && is_corrected(telling);
    double value = month.revenue - (has_mark ? CORRECTION : days_ago == 0 ? correction_of_today(telling) : 0);
    json_t *row = json_pack("{s:o, s:o}", "value", number(DEMO_MONEY, fmax(value, 0)), "pace",
                            number(DEMO_MONEY, month.pace));
    if (row && has_mark) {
        char note[96];
        (void)snprintf(note, sizeof note, "corrected, was %.2f", month.revenue);
        (void)json_object_set_new(row, "note", json_string(note)); /* else: without its mark */
    }
    print_date(at_ms, key);
    put_row(telling, "exec.revenue_series", key, telling->now_ms, row);
}

static void tell_revenue_series(struct telling *telling)
{
    for (int days_ago = SERIES_DAYS - 1; telling->is_opening && days_ago > 1; days_ago--) {
        tell_revenue_day(telling, days_ago);
    }
    if (telling->is_opening || telling->s == 0 || telling->s == DEMO_CORRECTION_S) {
        tell_revenue_day(telling, 1);
    }
    if (is_due(telling, "exec.revenue_series", 15)) {
        tell_revenue_day(telling, 0);
    }
}

/* ---- tables and mixes ---- */

static void tell_health_mix(struct telling *telling)
{
    if (!is_due(telling, "exec.customer_health_mix", 28)) {
        return;
    }
    int moved = bumps_of("exec.customer_health", telling->s) < -1 ? 4 : 0;
    (void)put(telling, "exec.customer_health_mix", as_of(telling, DEMO_WAREHOUSE),
              json_pack("{s:i, s:i, s:i}", "healthy", CUSTOMERS_HEALTHY - moved, "attention",
                        CUSTOMERS_ATTENTION, "at_risk", CUSTOMERS_AT_RISK + moved));
}

static void tell_deals(struct telling *telling)
{
    for (size_t i = 0; i < demo_deal_count; i++) {
        const struct demo_deal *deal = &demo_deals[i];
        char closes[16];
        if (!is_due(telling, deal->name, 20)) {
            continue;
        }
        print_date(telling->now_ms + deal->closes_in_days * DAY_MS, closes);
        put_row(telling, "exec.top_deals", deal->key, as_of(telling, DEMO_CRM),
                json_pack("{s:s, s:s, s:s, s:f, s:s, s:i}", "name", deal->name, "amount", deal->amount,
                          "stage", deal->stage, "probability", deal->probability, "close_date", closes,
                          "idle_days", deal->idle_days));
    }
}

static void tell_system(struct telling *telling, const char *kpi, const struct demo_system *system,
                        bool has_checkpoint)
{
    bool is_down = is_out(telling, system->origin);
    int64_t heard_ms = as_of(telling, system->origin);
    json_t *row = json_pack("{s:s, s:I, s:i}", "status", is_down ? "down" : "ok", "last_sync",
                            (json_int_t)heard_ms, "cadence_s", (int)system->cadence_s);
    if (row && has_checkpoint) {
        /* Without memory: an empty cell. */
        (void)json_object_set_new(row, "checkpoint", json_string(system->checkpoint));
    }
    put_row(telling, kpi, system->key, telling->now_ms, row);
    if (is_down && telling->out->count > 0) {
        struct change *change = &telling->out->items[telling->out->count - 1].change;
        change->state = VALUE_UNREACHABLE;
        (void)snprintf(change->reason, sizeof change->reason, "connection refused by the CRM"); /* fits */
    }
}

static void tell_systems(struct telling *telling)
{
    bool changes_now = telling->s == DEMO_OUTAGE_FROM_S || telling->s == DEMO_OUTAGE_TO_S;
    for (size_t i = 0; i < demo_system_count; i++) {
        const struct demo_system *system = &demo_systems[i];
        if (!is_due(telling, system->key, 22) && !(changes_now && system->origin == DEMO_CRM)) {
            continue;
        }
        tell_system(telling, "exec.sources", system, false);
        if (system->checkpoint) {
            tell_system(telling, "know.sources", system, true);
        }
    }
}

static void tell_league(struct telling *telling)
{
    for (size_t i = 0; i < demo_competitor_count; i++) {
        const struct demo_competitor *competitor = &demo_competitors[i];
        bool is_loud = i == 0 && bumps_of("comp.mentions_24h", telling->s) > 0;
        bool is_dangerous = i == 1 && bumps_of("comp.threat_max", telling->s) > 0;
        if (!is_due(telling, competitor->name, 26)) {
            continue;
        }
        int grown = (int)(telling->s / 60) + (is_loud ? 500 : 0);
        int64_t seen_ms =
            telling->now_ms - (int64_t)(chance(telling->seed, competitor->name, telling->s) * 3.6e6);
        put_row(telling, "comp.league", competitor->name, telling->now_ms,
                json_pack("{s:i, s:i, s:i, s:f, s:I, s:s}", "mentions_7d", competitor->mentions_7d + grown,
                          "change", competitor->change + grown, "threat",
                          competitor->threat + (is_dangerous ? 1 : 0), "sentiment", competitor->sentiment,
                          "last_seen", (json_int_t)seen_ms, "sources", competitor->sources));
    }
}

static void tell_heat(struct telling *telling, const struct demo_competitor *competitor, int days_ago)
{
    char day[16], key[KEY_BYTES];
    int64_t at_ms = telling->now_ms - days_ago * DAY_MS;
    print_date(at_ms, day);
    (void)snprintf(key, sizeof key, "%s %s", day, competitor->name); /* our own short names */
    double draw = chance(telling->seed, competitor->name, (uint64_t)(at_ms / DAY_MS));
    int threat = days_ago == 0 ? competitor->threat : 1 + (int)(draw * (competitor->threat + 0.4));
    bool is_dangerous =
        days_ago == 0 && competitor == &demo_competitors[1] && bumps_of("comp.threat_max", telling->s) > 0;
    put_row(telling, "comp.threat_heat", key, telling->now_ms,
            json_pack("{s:s, s:s, s:i}", "day", day, "competitor", competitor->name, "threat",
                      threat + (is_dangerous ? 1 : 0)));
}

static void tell_heats(struct telling *telling)
{
    for (int days_ago = HEAT_DAYS - 1; days_ago >= 0; days_ago--) {
        for (size_t i = 0; i < demo_competitor_count; i++) {
            if (telling->is_opening || (days_ago == 0 && is_due(telling, demo_competitors[i].name, 90))) {
                tell_heat(telling, &demo_competitors[i], days_ago);
            }
        }
    }
}

static void tell_source_mix(struct telling *telling)
{
    if (!is_due(telling, "comp.source_mix", 27)) {
        return;
    }
    int grown = (int)(telling->s / 60);
    int burst = (int)bumps_of("comp.mentions_24h", telling->s);
    (void)put(telling, "comp.source_mix", telling->now_ms,
              json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "calls", 121 + grown, "crm", 64, "chat", 38, "news",
                        47 + burst, "web", 59 + grown, "other", 11));
}

static void tell_outcomes(struct telling *telling)
{
    static const char *const outcomes[] = {"won", "lost", "open"};
    for (size_t i = 0; i < demo_competitor_count; i++) {
        const struct demo_competitor *competitor = &demo_competitors[i];
        const int calls[] = {competitor->won, competitor->lost, competitor->open};
        if (!is_due(telling, competitor->name, 75)) {
            continue;
        }
        for (int j = 0; j < 3; j++) {
            char key[KEY_BYTES];
            (void)snprintf(key, sizeof key, "%s %s", competitor->name, outcomes[j]); /* our own short names */
            put_row(telling, "comp.outcomes", key, telling->now_ms,
                    json_pack("{s:s, s:s, s:i}", "competitor", competitor->name, "outcome", outcomes[j],
                              "calls", calls[j]));
        }
    }
}

static void tell_talking_points(struct telling *telling)
{
    for (size_t i = 0; i < demo_talking_point_count; i++) {
        const struct demo_talking_point *point = &demo_talking_points[i];
        if (is_due(telling, point->key, 65)) {
            put_row(telling, "comp.talking_points", point->key, telling->now_ms,
                    json_pack("{s:s, s:i, s:f}", "point", point->text, "uses",
                              point->uses + (int)(telling->s / 90), "won", point->won));
        }
    }
}

static void tell_topics(struct telling *telling)
{
    for (size_t i = 0; i < demo_topic_count; i++) {
        const struct demo_topic *topic = &demo_topics[i];
        if (is_due(telling, topic->key, 70)) {
            put_row(telling, "know.topics", topic->key, telling->now_ms,
                    json_pack("{s:s, s:i, s:i, s:f}", "topic", topic->text, "calls_7d",
                              topic->calls + (int)(telling->s / 80), "change", topic->change, "sentiment",
                              topic->sentiment));
        }
    }
}

/* The CRM's own job fails while the CRM is out. */
static void tell_jobs(struct telling *telling)
{
    for (size_t i = 0; i < demo_job_count; i++) {
        const struct demo_job *job = &demo_jobs[i];
        if (!is_due(telling, job->key, job->every_s)) {
            continue;
        }
        bool has_failed = i == 0 && is_out(telling, DEMO_CRM);
        double took_s =
            rounded(job->duration_s * (0.9 + 0.2 * chance(telling->seed, job->key, telling->s)), 0.1);
        json_t *row = json_pack("{s:I, s:f, s:i, s:s}", "last_run", (json_int_t)telling->now_ms, "duration_s",
                                has_failed ? 5.0 : took_s, "rows", has_failed ? 0 : job->rows, "status",
                                has_failed ? "failed" : "success");
        if (row && has_failed) {
            (void)json_object_set_new(row, "error",
                                      json_string("connection refused")); /* else: an empty cell */
        }
        put_row(telling, "know.etl_runs", job->key, telling->now_ms, row);
    }
}

static void tell_growth(struct telling *telling)
{
    int first = telling->is_opening ? SERIES_HOURS - 1 : 0;
    if (!is_due(telling, "know.ingest_series", 20)) {
        return;
    }
    for (int hours_ago = first; hours_ago >= 0; hours_ago--) {
        int64_t hour = telling->now_ms / HOUR_MS - hours_ago;
        struct tm date = date_of(hour * HOUR_MS);
        double busy = date.tm_hour >= 7 && date.tm_hour < 19 ? 1 : 0.3;
        double part = hours_ago == 0 ? share_of_day(telling) : 1;
        char key[32];
        (void)strftime(key, sizeof key, "%Y-%m-%dT%H:00Z", &date); /* always fits */
        put_row(
            telling, "know.ingest_series", key, telling->now_ms,
            json_pack("{s:i, s:i}", "documents",
                      (int)(part * busy * (8 + 9 * chance(telling->seed, "documents", (uint64_t)hour))),
                      "records",
                      (int)(part * busy * (240 + 160 * chance(telling->seed, "records", (uint64_t)hour)))));
    }
}

/* ---- feeds ---- */

static void tell_mention(struct telling *telling, const char *key, const struct demo_mention *mention,
                         const char *competitor, int64_t at_ms)
{
    char text[NAME_BYTES];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is a row of demo_data.c */
    (void)snprintf(text, sizeof text, mention->text, competitor);
#pragma GCC diagnostic pop
    put_row(telling, "comp.feed", key, at_ms,
            json_pack("{s:I, s:s, s:s, s:i, s:f, s:s}", "at", (json_int_t)at_ms, "competitor", competitor,
                      "source", mention->source, "threat", mention->threat, "sentiment", mention->sentiment,
                      "context", text));
}

static void tell_chance_mention(struct telling *telling, const char *key, uint64_t index, int64_t at_ms)
{
    double draw = chance(telling->seed, "mention", index);
    double who = chance(telling->seed, "competitor", index);
    tell_mention(telling, key, &demo_mentions[(size_t)(draw * (double)demo_mention_count)],
                 demo_competitors[(size_t)(who * who * (double)demo_competitor_count)].name, at_ms);
}

static void tell_mentions(struct telling *telling)
{
    static const struct demo_mention threat = {"news", 4, -1.0,
                                               "%s hires our former partner and courts two accounts."};
    static const struct demo_mention copy = {"news", 1, 0.0,
                                             "%s publishes a press release; this is one of its copies."};
    char key[KEY_BYTES];
    for (uint64_t i = 0; telling->is_opening && i < OPENING_MENTIONS; i++) {
        (void)snprintf(key, sizeof key, "opening-%02llu", (unsigned long long)i);
        tell_chance_mention(telling, key, 1000000 + i,
                            telling->now_ms - (int64_t)(OPENING_MENTIONS - i) * 900000);
    }
    if (telling->is_opening) {
        return;
    }
    unsigned long long day = telling->day;
    if (telling->s % MENTION_EVERY_S == 4) {
        (void)snprintf(key, sizeof key, "%llu-%03u", day, telling->s);
        tell_chance_mention(telling, key, telling->s, telling->now_ms);
    }
    if (telling->s == 60) {
        (void)snprintf(key, sizeof key, "%llu-threat", day);
        tell_mention(telling, key, &threat, demo_competitors[1].name, telling->now_ms);
    }
    bool is_burst = telling->s >= DEMO_BURST_FROM_S && telling->s < DEMO_BURST_FROM_S + DEMO_BURST_TICKS;
    for (unsigned i = 0; is_burst && i < DEMO_BURST_MENTIONS_PER_TICK; i++) {
        (void)snprintf(key, sizeof key, "%llu-burst-%u-%02u", day, telling->s, i);
        tell_mention(telling, key, &copy, demo_competitors[0].name, telling->now_ms);
    }
}

/* Is an entry of this second told now? What happened before the first morning is told at the opening. */
static bool happens(const struct telling *telling, int at_s)
{
    return telling->is_opening ? at_s < 0 : at_s == (int)telling->s;
}

/* When, for an entry that belongs to second `s` of the day being told. */
static int64_t moment_of(const struct telling *telling, int s)
{
    return telling->now_ms + ((int64_t)s - (telling->is_opening ? 0 : (int64_t)telling->s)) * 1000 *
                                 (s < 0 ? DEMO_TIME_FACTOR : 1);
}

static void entry_key(const struct telling *telling, const char *key, char out[static KEY_BYTES])
{
    /* Our own short names: they fit. */
    (void)snprintf(out, KEY_BYTES, "%llu-%s", (unsigned long long)telling->day, key);
}

static void tell_alerts(struct telling *telling)
{
    char key[KEY_BYTES];
    for (size_t i = 0; i < demo_alert_count; i++) {
        const struct demo_alert *alert = &demo_alerts[i];
        if (!happens(telling, alert->at_s)) {
            continue;
        }
        entry_key(telling, alert->key, key);
        put_row(telling, "exec.alerts", key, moment_of(telling, alert->at_s),
                json_pack("{s:s, s:s, s:s, s:I, s:s}", "severity", alert->severity, "title", alert->title,
                          "kpi", alert->kpi, "since", (json_int_t)moment_of(telling, alert->since_s), "state",
                          alert->state));
    }
}

static void tell_insights(struct telling *telling)
{
    char key[KEY_BYTES];
    for (size_t i = 0; i < demo_insight_count; i++) {
        const struct demo_insight *insight = &demo_insights[i];
        if (!happens(telling, insight->at_s)) {
            continue;
        }
        entry_key(telling, insight->key, key);
        /* Generated text ages by its class, so the opening's is no older than its screen. */
        put_row(telling, "exec.insights", key, telling->now_ms,
                json_pack("{s:s, s:s, s:s, s:f, s:s}", "title", insight->title, "body", insight->body,
                          "severity", insight->severity, "confidence", insight->confidence, "source",
                          insight->source));
        put_row(telling, "know.insights", key, telling->now_ms,
                json_pack("{s:s, s:s, s:f, s:s}", "type", insight->type, "title", insight->title,
                          "confidence", insight->confidence, "status", insight->status));
    }
}

static json_t *decision_row(const struct demo_decision *decision, int64_t at_ms)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:f, s:I}", "title", decision->title, "decision",
                     decision->decision, "rationale", decision->rationale, "alternatives",
                     decision->alternatives, "confidence", decision->confidence, "decided_at",
                     (json_int_t)at_ms);
}

static void tell_decisions(struct telling *telling)
{
    char key[KEY_BYTES];
    for (size_t i = 0; i < demo_decision_count; i++) {
        const struct demo_decision *decision = &demo_decisions[i];
        if (!happens(telling, decision->at_s)) {
            continue;
        }
        int64_t at_ms = moment_of(telling, decision->at_s);
        entry_key(telling, decision->key, key);
        put_row(telling, "exec.decisions", key, at_ms, decision_row(decision, at_ms));
        json_t *row = decision_row(decision, at_ms);
        if (row) {
            /* Without memory: empty cells. */
            (void)json_object_set_new(row, "owner_role", json_string(decision->owner_role));
            (void)json_object_set_new(row, "seen", json_string(decision->seen));
        }
        put_row(telling, "know.decisions", key, at_ms, row);
    }
}

/* ---- the second ---- */

void demo_story_tell(uint64_t seed, uint64_t tick, bool is_opening, int64_t now_ms, struct batch *out)
{
    struct telling telling = {
        .seed = seed,
        .day = tick / DEMO_DAY_S,
        .s = (unsigned)(tick % DEMO_DAY_S),
        .is_opening = is_opening,
        .now_ms = now_ms,
        .out = out,
    };
    for (size_t i = 0; i < demo_gauge_count; i++) {
        tell_gauge(&telling, &demo_gauges[i]);
    }
    for (size_t i = 0; i < demo_ratio_count; i++) {
        tell_ratio(&telling, &demo_ratios[i]);
    }
    tell_invalid(&telling);
    tell_revenue(&telling);
    tell_revenue_series(&telling);
    tell_health_mix(&telling);
    tell_deals(&telling);
    tell_systems(&telling);
    tell_league(&telling);
    tell_heats(&telling);
    tell_source_mix(&telling);
    tell_outcomes(&telling);
    tell_talking_points(&telling);
    tell_topics(&telling);
    tell_jobs(&telling);
    tell_growth(&telling);
    tell_mentions(&telling);
    tell_alerts(&telling);
    tell_insights(&telling);
    tell_decisions(&telling);
}
