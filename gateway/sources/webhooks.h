/**
 * Changes by webhook: POST /hooks/NAME, for each entry of webhooks.hooks.
 *
 * A delivery is verified over its raw bytes, told from those that came before, and turned into changes as the hook says.
 * It is answered with 200 when the journal has them, and never twice applied while it is remembered: for 72 hours, up to
 * WEBHOOKS_REMEMBERED deliveries and as many events per hook, in this process.
 *
 * Metrics: gw_webhooks_total{hook,result}, gw_webhook_changes_total{result}, gw_webhook_values_absent_total,
 *          gw_webhook_remembered{hook}, gw_webhook_forgotten_early_total{hook}.
 * Loop:    loop thread. Format: docs/webhooks.md.
 */
#ifndef SOPHIA_SOURCES_WEBHOOKS_H
#define SOPHIA_SOURCES_WEBHOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/audit.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "io/listener.h"
#include "pipeline.h"
#include "sources/source.h"
#include "sources/webhooks_mapping.h"

struct webhooks_source_options {
    struct listener *listener;
    struct pipeline *pipeline;
    struct metrics *metrics;
    struct audit *audit;               /* NULL: none */
    const struct webhooks_hook *hooks; /* borrowed */
    size_t hook_count;
    uint32_t body_max_bytes;
    uint32_t rate_per_s;      /* of each hook: genuine deliveries; at most WEBHOOKS_RATE_MAX_PER_S */
    uint32_t max_outstanding; /* deliveries waiting for the journal; one more is answered 503 */
    struct moment (*now)(void);
};

/**
 * Reads the secrets and adds the route; until start and after stop it answers 503.
 * Owns:   everything in options outlives the source. Destroy it after the listener and before the pipeline's journal.
 * Errors: NULL after logging which hook cannot be served, or when memory ran out.
 */
struct source *webhooks_source_create(const struct webhooks_source_options *options);
/** The files that handshakes will make: those of hooks that wait for one now. NULL-terminated; borrowed from the hooks. */
void webhooks_files_to_come(const struct webhooks_hook *hooks, size_t hook_count,
                            const char *out_files[WEBHOOKS_MAX + 1]);
/** Reads the secrets again. A hook whose secrets cannot be read keeps those it has: logged, and false. */
bool webhooks_source_reload(struct source *source);

#endif
