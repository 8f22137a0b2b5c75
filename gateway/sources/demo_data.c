/*
 * The tables behind demo_data.h. Numbers were chosen so that on a plain day
 * every threshold is kept with some room, and each incident crosses exactly the limits it
 * is meant to show.
 */
#include "sources/demo_data.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { SPARK = 29 };
#define DAY_MS (86400LL * 1000)
#define HOUR_MS (3600LL * 1000)
#define FIVE_MIN_MS (300LL * 1000)

/* kpi, origin, form, period, open, close, wobble, step, base_open, base_close, target, past, points, point_ms */
const struct demo_gauge demo_gauges[] = {
    {"exec.pipeline_value", DEMO_CRM, DEMO_MONEY, 9, 4862000, 4931000, 21000, 50, 4875000, 4875000, 0,
     4390000, SPARK, DAY_MS},
    {"exec.customer_health", DEMO_CRM, DEMO_REAL, 17, 78.4, 79.2, 0.6, 0.1, 77.6, 77.6, 0, 75.9, SPARK,
     DAY_MS},
    {"exec.team_productivity", DEMO_WAREHOUSE, DEMO_REAL, 19, 81, 84.5, 1.2, 0.1, 80.2, 80.2, 0, 76.5, SPARK,
     DAY_MS},
    {"exec.llm_cost_efficiency", DEMO_WAREHOUSE, DEMO_REAL, 23, 76.5, 79, 1, 0.1, 74.8, 74.8, 0, 71, SPARK,
     DAY_MS},
    {"exec.calls_today", DEMO_CALLS, DEMO_INTEGER, 7, 3, 148, 0, 1, 4, 139, 0, 128, SPARK, DAY_MS},
    {"exec.sentiment_avg", DEMO_CALLS, DEMO_REAL, 8, 0.36, 0.39, 0.03, 0.01, 0.34, 0.34, 0, 0.31, SPARK,
     DAY_MS},
    {"exec.accounts_touched", DEMO_CALLS, DEMO_INTEGER, 13, 2, 87, 0, 1, 3, 81, 0, 74, SPARK, DAY_MS},
    {"exec.deals_at_risk", DEMO_CRM, DEMO_INTEGER, 11, 2, 2, 0, 1, 2, 2, 0, 3, SPARK, DAY_MS},
    {"exec.deals_at_risk_amount", DEMO_CRM, DEMO_MONEY, 11, 330000, 330000, 0, 50, 345000, 345000, 0, 0, 0,
     0},
    {"comp.mentions_24h", DEMO_WEB, DEMO_INTEGER, 8, 84, 92, 2, 1, 81, 81, 102, 79, SPARK, DAY_MS},
    {"comp.mentions_deviation", DEMO_WEB, DEMO_REAL, 8, 0, 0.9, 0.2, 0.1, 0, 0, 0, 0, 0, 0},
    {"comp.high_threat_24h", DEMO_WEB, DEMO_INTEGER, 14, 0, 0, 0, 1, 0, 0, 0, 1, SPARK, DAY_MS},
    {"comp.threat_max", DEMO_WEB, DEMO_INTEGER, 14, 3, 3, 0, 1, 0, 0, 0, 3, SPARK, DAY_MS},
    {"comp.accounts_exposed", DEMO_CALLS, DEMO_INTEGER, 31, 46, 48, 0, 1, 51, 51, 0, 57, SPARK, DAY_MS},
    {"comp.competitors_active", DEMO_WEB, DEMO_INTEGER, 37, 5, 5, 0, 1, 4, 4, 0, 4, SPARK, DAY_MS},
    {"know.documents", DEMO_KNOWLEDGE, DEMO_INTEGER, 12, 48210, 48296, 0, 1, 48094, 48094, 0, 47310, 47,
     HOUR_MS},
    {"know.documents_idle", DEMO_KNOWLEDGE, DEMO_INTEGER, 12, 210, 260, 140, 1, 0, 0, 0, 0, 0, 0},
    {"know.memory_records", DEMO_KNOWLEDGE, DEMO_INTEGER, 10, 1284300, 1286940, 0, 1, 1281120, 1281120, 0,
     1271800, 47, HOUR_MS},
    {"know.memory_idle", DEMO_KNOWLEDGE, DEMO_INTEGER, 10, 18, 22, 12, 1, 0, 0, 0, 0, 0, 0},
    {"know.embedding_lag", DEMO_KNOWLEDGE, DEMO_INTEGER, 16, 1260, 1480, 420, 1, 0, 0, 0, 1300, 47, HOUR_MS},
    {"know.search_p95", DEMO_KNOWLEDGE, DEMO_REAL, 9, 31, 34, 5, 0.5, 0, 0, 0, 30, 59, FIVE_MIN_MS},
    {"know.recall_p95", DEMO_KNOWLEDGE, DEMO_REAL, 11, 410, 455, 60, 1, 0, 0, 0, 420, 59, FIVE_MIN_MS},
    {"know.store_p95", DEMO_KNOWLEDGE, DEMO_REAL, 13, 905, 960, 110, 1, 0, 0, 0, 900, 59, FIVE_MIN_MS},
    {"know.call_processing_p95", DEMO_CALLS, DEMO_REAL, 15, 141, 149, 16, 1, 0, 0, 0, 138, 59, FIVE_MIN_MS},
    {"know.segment_processing_p95", DEMO_CALLS, DEMO_REAL, 15, 60, 64, 8, 0.5, 0, 0, 0, 58, 59, FIVE_MIN_MS},
};
const size_t demo_gauge_count = COUNT(demo_gauges);

/* kpi, origin, period, num_open, num_close, den_open, den_close, base, past, points, point_ms */
const struct demo_ratio demo_ratios[] = {
    {"exec.pipeline_coverage", DEMO_CRM, 9, 4862000, 4931000, 1450000, 1382000, 0, 0, 0, 0},
    {"exec.win_rate", DEMO_CRM, 21, 164, 171, 208, 215, 0.772, 0.772, SPARK, DAY_MS},
    {"comp.net_sentiment", DEMO_WEB, 18, 61, 74, 340, 352, 0.158, 0.12, SPARK, DAY_MS},
    {"know.embedding_coverage", DEMO_KNOWLEDGE, 16, 47836, 47940, 48210, 48296, 0, 0.9905, 47, HOUR_MS},
    {"know.pipeline_success", DEMO_KNOWLEDGE, 24, 285, 291, 286, 292, 0, 0.9955, 47, HOUR_MS},
};
const size_t demo_ratio_count = COUNT(demo_ratios);

const struct demo_bump demo_bumps[] = {
    {"comp.high_threat_24h", 60, 61, 570, 571, 1},
    {"comp.threat_max", 60, 61, 570, 571, 1},
    {"comp.mentions_24h", DEMO_BURST_FROM_S, DEMO_BURST_FROM_S + DEMO_BURST_TICKS, 330, 332, 500},
    {"comp.mentions_deviation", DEMO_BURST_FROM_S, DEMO_BURST_FROM_S + DEMO_BURST_TICKS, 330, 332, 55.5},
    {"exec.sentiment_avg", DEMO_BREACH_FROM_S, 440, 470, DEMO_BREACH_TO_S, -0.66},
    {"exec.deals_at_risk", DEMO_BREACH_FROM_S, 430, 480, DEMO_BREACH_TO_S, 2},
    {"exec.deals_at_risk_amount", DEMO_BREACH_FROM_S, 430, 480, DEMO_BREACH_TO_S, 412000},
    {"exec.customer_health", DEMO_BREACH_FROM_S, 440, 480, 530, -1.8},
};
const size_t demo_bump_count = COUNT(demo_bumps);

const struct demo_deal demo_deals[] = {
    {"D001", "Halden Freight, platform roll-out", "450000.00", "Negotiation", 0.85, 12, 1},
    {"D002", "Brightmoor Clinics, analytics", "380000.00", "Proposal", 0.70, 26, 3},
    {"D003", "Castellane Retail, expansion", "275000.00", "Discovery", 0.40, 54, 6},
    {"D004", "Osterby Instruments, renewal", "190000.00", "Proposal", 0.55, 33, 2},
    {"D005", "Pinegrave Energy, pilot", "140000.00", "Qualification", 0.25, 71, 9},
};
const size_t demo_deal_count = COUNT(demo_deals);

const struct demo_competitor demo_competitors[] = {
    {"Pelligant", 118, 14, 3, 0.12, "calls, crm, web", 31, 12, 9},
    {"Aldermarck", 87, -6, 3, -0.08, "calls, chat", 22, 10, 7},
    {"Corvenza", 64, 5, 2, 0.31, "crm, news", 19, 5, 6},
    {"Quillstead", 45, 2, 2, 0.20, "calls, web", 11, 3, 4},
    {"Vantrosa", 26, 9, 1, 0.05, "news, web", 6, 2, 3},
};
const size_t demo_competitor_count = COUNT(demo_competitors);

const struct demo_system demo_systems[] = {
    {"crm", DEMO_CRM, 60, NULL},
    {"calls", DEMO_CALLS, 300, "call 20 418"},
    {"warehouse", DEMO_WAREHOUSE, 300, NULL},
    {"press", DEMO_WEB, 900, NULL},
    {"wiki", DEMO_KNOWLEDGE, 600, "page 8 122"},
    {"tickets", DEMO_KNOWLEDGE, 300, "ticket 61 007"},
};
const size_t demo_system_count = COUNT(demo_systems);

const struct demo_talking_point demo_talking_points[] = {
    {"honest-age", "Every number shows its age", 64, 0.71},
    {"one-day-setup", "Running within a day", 52, 0.66},
    {"no-lock-in", "Your data stays in your database", 47, 0.62},
    {"price-per-board", "Priced per board, not per seat", 38, 0.58},
    {"audit", "Every correction leaves a trace", 21, 0.74},
};
const size_t demo_talking_point_count = COUNT(demo_talking_points);

const struct demo_topic demo_topics[] = {
    {"onboarding", "Onboarding", 96, 11, 0.42},    {"pricing", "Pricing", 83, -4, 0.08},
    {"integrations", "Integrations", 71, 9, 0.35}, {"renewal", "Renewal", 55, 3, 0.29},
    {"security", "Security review", 40, 6, 0.17},  {"reporting", "Reporting", 34, -2, 0.38},
};
const size_t demo_topic_count = COUNT(demo_topics);

const struct demo_job demo_jobs[] = {
    {"crm-sync", 40, 34.2, 1820},       {"calls-transcribe", 55, 211.5, 96},
    {"documents-embed", 45, 88.1, 412}, {"rollups-refresh", 35, 12.4, 30},
    {"press-scan", 70, 47.9, 640},
};
const size_t demo_job_count = COUNT(demo_jobs);

const struct demo_mention demo_mentions[] = {
    {"calls", 2, 0.0, "Customer compares our dashboards with %s and asks about export."},
    {"crm", 3, -1.0, "%s offered a discount in the second round."},
    {"chat", 1, 1.0, "Team praises a win against %s in the regional tender."},
    {"news", 2, 0.0, "%s announces a new office."},
    {"web", 1, 1.0, "Review site ranks us above %s for support."},
    {"calls", 3, -1.0, "Prospect already runs a pilot with %s."},
    {"web", 2, 0.0, "Forum thread asks how %s handles stale data."},
};
const size_t demo_mention_count = COUNT(demo_mentions);

const struct demo_alert demo_alerts[] = {
    {-500, "A0", "info", "Month-end roll-up finished", "exec.revenue_mtd", "resolved", -560},
    {-220, "A1", "warning", "Memory store was slow for six minutes", "know.store_p95", "resolved", -230},
    {60, "A2", "warning", "High-threat mention of Aldermarck", "comp.high_threat_24h", "firing", 60},
    {135, "A3", "critical", "CRM does not answer, its numbers are ageing", "exec.pipeline_value", "firing",
     DEMO_OUTAGE_FROM_S},
    {DEMO_OUTAGE_TO_S + 2, "A3", "critical", "CRM does not answer, its numbers are ageing",
     "exec.pipeline_value", "resolved", DEMO_OUTAGE_FROM_S},
    {254, "A4", "critical", "Mentions far above the usual amount", "comp.mentions_24h", "firing",
     DEMO_BURST_FROM_S},
    {333, "A4", "critical", "Mentions far above the usual amount", "comp.mentions_24h", "resolved",
     DEMO_BURST_FROM_S},
    {DEMO_CORRECTION_S, "A5", "info", "Revenue of yesterday was corrected", "exec.revenue_mtd", "resolved",
     DEMO_CORRECTION_S},
    {432, "A6", "warning", "Call sentiment below 0.2", "exec.sentiment_avg", "firing", 430},
    {444, "A6", "critical", "Call sentiment below -0.2", "exec.sentiment_avg", "firing", 430},
    {498, "A6", "warning", "Call sentiment below 0.2", "exec.sentiment_avg", "resolved", 430},
    {DEMO_INVALID_S + 2, "A7", "warning", "Team productivity was refused: above 100", DEMO_INVALID_KPI,
     "firing", DEMO_INVALID_S},
    {DEMO_INVALID_TO_S + 1, "A7", "warning", "Team productivity was refused: above 100", DEMO_INVALID_KPI,
     "resolved", DEMO_INVALID_S},
    {572, "A2", "warning", "High-threat mention of Aldermarck", "comp.high_threat_24h", "resolved", 60},
};
const size_t demo_alert_count = COUNT(demo_alerts);

const struct demo_insight demo_insights[] = {
    {-450, "I0", "pattern", "Deals with a security review close nine days later",
     "Across 61 deals of the last two quarters, those with a review in writing took nine days longer and closed more often.",
     "info", "deals", "confirmed", 0.82},
    {-160, "I1", "risk", "Castellane Retail has gone quiet",
     "No call for six days while the stage is Discovery; similar deals needed a call within five.", "warning",
     "calls", "open", 0.67},
    {90, "I2", "opportunity", "Onboarding is the most praised topic this week",
     "Mean sentiment 0.42 over 96 calls, the best of six topics.", "info", "calls", "open", 0.78},
    {240, "I3", "quality", "The CRM outage hid no change",
     "All 14 changes made during the outage arrived within a minute of recovery.", "info", "crm", "confirmed",
     0.93},
    {336, "I4", "quality", "500 mentions were copies of one press release",
     "They share one text; 498 were removed and the count is back to usual.", "info", "press", "confirmed",
     0.97},
    {DEMO_CORRECTION_S + 3, "I5", "correction", "Yesterday's revenue was too high by 38,400",
     "A refund was booked to the wrong day. The series shows the corrected value with a mark.", "warning",
     "warehouse", "confirmed", 0.99},
    {475, "I6", "risk", "Negative calls are about one topic",
     "41 of 52 calls below zero mention the login outage of this afternoon.", "warning", "calls", "open",
     0.88},
};
const size_t demo_insight_count = COUNT(demo_insights);

const struct demo_decision demo_decisions[] = {
    {-520, "C0", "Renewal terms for Osterby Instruments", "Offer two years at the current price",
     "Usage grew by a fifth and the account is healthy; a rise would risk the reference.",
     "Raise by 6 %; one year with an option", "sales lead",
     "exec.customer_health 78.1, exec.pipeline_value 4,870,000", 0.80},
    {-300, "C1", "Embed documents within 30 minutes", "Add a second embedding worker",
     "The oldest waiting row passed one hour twice last week.", "Embed at night only", "engineering",
     "know.embedding_lag 4,020 s", 0.74},
    {230, "C2", "Quote dates in the CRM after the outage", "Extend all quotes of today by one day",
     "Customers could not accept for over an hour.", "Handle requests one by one", "sales lead",
     "exec.pipeline_value 4,879,000", 0.86},
    {480, "C3", "Login outage: what we tell customers", "Call the 12 affected accounts today",
     "Sentiment fell below the limit within the hour and all calls name one cause.",
     "Status page only; wait for the report", "customer success",
     "exec.sentiment_avg -0.27, exec.deals_at_risk 4", 0.91},
};
const size_t demo_decision_count = COUNT(demo_decisions);
