/**
 * What every source of changes has in common. A source turns what it hears
 * into submissions (pipeline_submit) and tells how it is
 * (pipeline_report_source); it never knows viewers.
 */
#ifndef SOPHIA_SOURCES_SOURCE_H
#define SOPHIA_SOURCES_SOURCE_H

#include "protocol/result.h"

struct source;

struct source_ops {
    const char *name; /* as heartbeats and metrics tell it */
    /** Begin. Must not block; an upstream that is down is reported, not an error. */
    enum result (*start)(struct source *source);
    /** No submission begins after this. */
    void (*stop)(struct source *source);
    /** After stop. */
    void (*destroy)(struct source *source);
};

/** First member of every source's own struct. */
struct source {
    const struct source_ops *ops;
};

#endif
