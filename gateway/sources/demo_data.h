/**
 * The demo company in tables: what its numbers are in the morning and in the
 * evening, who its customers and competitors are, and what happens when.
 *
 * A demo day has DEMO_DAY_S seconds and stands for eight hours of business. All names
 * are invented. Pure data; demo_story.c gives it life.
 */
#ifndef SOPHIA_SOURCES_DEMO_DATA_H
#define SOPHIA_SOURCES_DEMO_DATA_H

#include <stddef.h>
#include <stdint.h>

enum {
    DEMO_DAY_S = 600,
    DEMO_TIME_FACTOR = 48, /* 8 hours in 10 minutes */

    /* The incidents of every day, in seconds since its start. */
    DEMO_OUTAGE_FROM_S = 120,
    DEMO_OUTAGE_TO_S = 215,
    DEMO_BURST_FROM_S = 250,
    DEMO_BURST_TICKS = 5,
    DEMO_BURST_MENTIONS_PER_TICK = 100,
    DEMO_CORRECTION_S = 360,
    DEMO_BREACH_FROM_S = 420,
    DEMO_BREACH_TO_S = 500,
    DEMO_INVALID_S = 520,
    DEMO_INVALID_TO_S = 545,
};

/** The KPI that gets a value beyond its range at DEMO_INVALID_S, and none until DEMO_INVALID_TO_S. */
#define DEMO_INVALID_KPI "exec.team_productivity"
#define DEMO_INVALID_VALUE 132

/** Which of the company's systems a value comes from. The CRM is the one with the outage. */
enum demo_origin { DEMO_CRM, DEMO_CALLS, DEMO_WAREHOUSE, DEMO_WEB, DEMO_KNOWLEDGE };

enum demo_form { DEMO_INTEGER, DEMO_REAL, DEMO_MONEY };

/** A single number over the day. 0 for base_open or target: it has none. */
struct demo_gauge {
    const char *kpi;
    enum demo_origin origin;
    enum demo_form form;
    unsigned period_s;  /* refreshed this often, at a phase of its own */
    double open, close; /* value in the morning and in the evening */
    double wobble;      /* it strays this far from the line between them */
    double step;        /* and is rounded to this */
    double base_open, base_close;
    double target;
    double past;      /* where its sparkline begins */
    unsigned points;  /* of the sparkline */
    int64_t point_ms; /* their distance */
};
extern const struct demo_gauge demo_gauges[];
extern const size_t demo_gauge_count;

/** A ratio: both parts run from open to close. */
struct demo_ratio {
    const char *kpi;
    enum demo_origin origin;
    unsigned period_s;
    double num_open, num_close;
    double den_open, den_close;
    double base; /* 0: none */
    double past;
    unsigned points;
    int64_t point_ms;
};
extern const struct demo_ratio demo_ratios[];
extern const size_t demo_ratio_count;

/** Something that lifts or lowers a number for a while: from 0 at `from`, full from `full` to `fade`, 0 at `to`. */
struct demo_bump {
    const char *kpi;
    unsigned from_s, full_s, fade_s, to_s;
    double amount;
};
extern const struct demo_bump demo_bumps[];
extern const size_t demo_bump_count;

struct demo_deal {
    const char *key, *name, *amount, *stage;
    double probability;
    int closes_in_days;
    int idle_days;
};
extern const struct demo_deal demo_deals[];
extern const size_t demo_deal_count;

struct demo_competitor {
    const char *name;
    int mentions_7d, change, threat;
    double sentiment;
    const char *sources;
    int won, lost, open; /* calls of 90 days */
};
extern const struct demo_competitor demo_competitors[];
extern const size_t demo_competitor_count;

/** A system of the company, as the source strips show it. */
struct demo_system {
    const char *key;
    enum demo_origin origin;
    unsigned cadence_s;
    const char *checkpoint; /* NULL: only on the executive board */
};
extern const struct demo_system demo_systems[];
extern const size_t demo_system_count;

struct demo_talking_point {
    const char *key, *text;
    int uses;
    double won;
};
extern const struct demo_talking_point demo_talking_points[];
extern const size_t demo_talking_point_count;

struct demo_topic {
    const char *key, *text;
    int calls, change;
    double sentiment;
};
extern const struct demo_topic demo_topics[];
extern const size_t demo_topic_count;

struct demo_job {
    const char *key;
    unsigned every_s; /* demo seconds between runs */
    double duration_s;
    int rows;
};
extern const struct demo_job demo_jobs[];
extern const size_t demo_job_count;

/** What a mention says; %s is the competitor. */
struct demo_mention {
    const char *source;
    int threat;
    double sentiment;
    const char *text;
};
extern const struct demo_mention demo_mentions[];
extern const size_t demo_mention_count;

/** Feed entries. at_s below 0: happened before the day began; told at the opening of the first day only. */
struct demo_alert {
    int at_s;
    const char *key, *severity, *title, *kpi, *state;
    int since_s;
};
extern const struct demo_alert demo_alerts[];
extern const size_t demo_alert_count;

struct demo_insight {
    int at_s;
    const char *key, *type, *title, *body, *severity, *source, *status;
    double confidence;
};
extern const struct demo_insight demo_insights[];
extern const size_t demo_insight_count;

struct demo_decision {
    int at_s;
    const char *key, *title, *decision, *rationale, *alternatives, *owner_role, *seen;
    double confidence;
};
extern const struct demo_decision demo_decisions[];
extern const size_t demo_decision_count;

#endif
