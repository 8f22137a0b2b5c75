/**
 * Audit lines that would say again what was said a short time ago: how often. Internal to audit.c.
 *
 * At most AUDIT_REPEATS_MAX are remembered, each for AUDIT_REPEAT_MS; when it is full the caller takes the oldest out first.
 */
#ifndef SOPHIA_ACCESS_AUDIT_REPEATS_H
#define SOPHIA_ACCESS_AUDIT_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

enum { AUDIT_REPEATS_MAX = 1024, AUDIT_REPEAT_MS = 60000 };

struct audit_repeat {
    struct list_node by_age;
    uint64_t due_ms;  /* monotonic */
    int64_t since_ms; /* Unix: when it was written */
    uint64_t times;   /* since then */
    size_t length;
    char body[]; /* without time and braces */
};

struct audit_repeats {
    struct map bodies;       /* -> struct audit_repeat, owned */
    struct list_node by_age; /* the same, oldest first */
};

void audit_repeats_init(struct audit_repeats *repeats);
void audit_repeats_finish(struct audit_repeats *repeats);

/** Is it remembered? Then it is counted. */
bool audit_repeats_seen(struct audit_repeats *repeats, const char *body, size_t length);
bool audit_repeats_is_full(const struct audit_repeats *repeats);
/** It was written at `now`. When memory runs out it is not remembered, and will be written again. */
void audit_repeats_keep(struct audit_repeats *repeats, const char *body, size_t length, struct moment now);
/** Take out the oldest, if it is due; UINT64_MAX: in any case. The caller frees it. NULL: none. */
struct audit_repeat *audit_repeats_take(struct audit_repeats *repeats, uint64_t now_ms);
bool audit_repeats_is_empty(const struct audit_repeats *repeats);

#endif
