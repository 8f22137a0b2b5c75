/**
 * Small definition sets and changes for tests of the pipeline: KPIs of board "s", put on boards by name.
 */
#ifndef SOPHIA_TESTS_DEFINITION_SET_H
#define SOPHIA_TESTS_DEFINITION_SET_H

#include "catalog/catalog.h"

enum { TABLE_CAP = 2, FEED_CAP = 3, SERIES_CAP = 3 };

/* clang-format off */
#define COMMON "\"title\": \"T\", \"about\": \"A.\", \"roles\": [\"sales\"], \"privacy\": \"public\""
#define HTTP_KPI COMMON ", \"source\": {\"kind\": \"http\"}, \"class\": \"quick\""
#define COLUMNS                                                                                                             \
    "\"columns\": [{\"key\": \"name\", \"title\": \"N\", \"unit\": \"text\", \"required\": true, \"privacy\": \"public\"}," \
    "{\"key\": \"n\", \"title\": \"C\", \"unit\": \"integer\"}]"
#define TOTAL                                                                                                     \
    "{\"id\": \"s.total\", \"type\": \"gauge\", \"unit\": \"integer\", \"range\": [0, 1000], \"good\": \"down\"," \
    "\"threshold\": {\"basis\": \"value\", \"warn\": 100, \"crit\": 200}, \"priority\": \"critical\","            \
    "\"history\": {\"points\": 3, \"step\": \"1s\"}, " HTTP_KPI "}"
#define COPY                                                                                                            \
    "{\"id\": \"s.copy\", \"type\": \"gauge\", \"unit\": \"integer\", \"range\": [0, 1000], \"good\": \"down\"," COMMON \
    ", \"source\": {\"kind\": \"derived\", \"of\": \"s.total\"}, \"class\": \"quick\"}"
#define SLOW \
    "{\"id\": \"s.slow\", \"type\": \"gauge\", \"unit\": \"number\", \"coalesce_ms\": 500, " HTTP_KPI "}"
#define USUAL "{\"id\": \"s.usual\", \"type\": \"gauge\", \"unit\": \"number\", " HTTP_KPI "}"
#define DEALS "{\"id\": \"s.deals\", \"type\": \"table\", \"cap\": 2, " COLUMNS ", " HTTP_KPI "}"
#define EVENTS "{\"id\": \"s.events\", \"type\": \"feed\", \"cap\": 3, " COLUMNS ", " HTTP_KPI "}"
#define LINE "{\"id\": \"s.line\", \"type\": \"series\", \"cap\": 3, " COLUMNS ", " HTTP_KPI "}"
#define ALL_KPIS TOTAL "," COPY "," SLOW "," USUAL "," DEALS "," EVENTS "," LINE
/* clang-format on */

/** A board of a definition set: its name, and its KPIs separated by blanks. An array of them ends with id NULL. */
struct board_text {
    const char *id;
    const char *kpis;
};

/** Fails the test when they are not valid. kpis: JSON objects separated by commas. */
struct catalog *catalog_of(const char *kpis, const struct board_text *boards);

/* as_of is given in most changes, so that texts are known. */
#define CHANGE(field, value) "{\"field\":\"" field "\",\"value\":" value ",\"as_of\":1000}"
#define CHANGE_V(field, value, version) \
    "{\"field\":\"" field "\",\"value\":" value ",\"as_of\":1000,\"version\":" version "}"
#define REMOVAL(field) "{\"field\":\"" field "\",\"delete\":true}"
#define REMOVAL_V(field, version) "{\"field\":\"" field "\",\"delete\":true,\"version\":" version "}"
#define ROW "{\"name\":\"x\"}"

#endif
