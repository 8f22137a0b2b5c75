/**
 * What a plain NOTIFY means: an entry of postgres.notifications.
 *
 * The payload is a JSON object that names the relation and the key of the row that changed, and its
 * revision or a small value; docs/postgres.md, "Notifications". Who reads them is postgres_notifications.
 */
#ifndef SOPHIA_SOURCES_POSTGRES_MAPPING_H
#define SOPHIA_SOURCES_POSTGRES_MAPPING_H

struct postgres_mapping {
    const char *channel;  /* LISTEN; several entries may share one */
    const char *relation; /* the payload's "relation" must be this; NULL: whatever it says */
    const char *field;    /* "exec.revenue_mtd", or the KPI of rows: the payload's "key" names the row then */
    const char *query;    /* one statement, $1 = the payload's "key"; NULL: the payload carries the value */
    const char *cache_class; /* the class its answers are kept in; never NULL ("default") */
};

#endif
