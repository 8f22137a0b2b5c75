/**
 * How the links of io/ are seen as upstreams (upstreams.h). Apart from it, so that who reads upstreams
 * needs no client library.
 */
#ifndef SOPHIA_UPSTREAM_LINKS_H
#define SOPHIA_UPSTREAM_LINKS_H

#include "io/pg_link.h"
#include "io/pg_pool.h"
#include "io/redis_link.h"
#include "upstreams.h"

/** name is borrowed. */
void upstreams_add_redis_link(struct upstreams *upstreams, const char *name, const struct redis_link *link);
void upstreams_add_pg_link(struct upstreams *upstreams, const char *name, const struct pg_link *link);
/** The pool and its breaker. */
void upstreams_add_pg_pool(struct upstreams *upstreams, const struct pg_pool *pool);

#endif
