/* All are remembered for the same time, so the list is in the order in which they are due. */
#include "access/audit_repeats.h"

#include <stdlib.h>
#include <string.h>

void audit_repeats_init(struct audit_repeats *repeats)
{
    map_init(&repeats->bodies, AUDIT_REPEATS_MAX);
    list_init(&repeats->by_age);
}

void audit_repeats_finish(struct audit_repeats *repeats)
{
    struct audit_repeat *repeat;
    while ((repeat = audit_repeats_take(repeats, UINT64_MAX))) {
        free(repeat);
    }
    map_finish(&repeats->bodies);
}

bool audit_repeats_seen(struct audit_repeats *repeats, const char *body, size_t length)
{
    struct audit_repeat *repeat = map_get(&repeats->bodies, body, length);
    if (repeat) {
        repeat->times++;
    }
    return repeat != NULL;
}

bool audit_repeats_is_full(const struct audit_repeats *repeats)
{
    return repeats->bodies.count == AUDIT_REPEATS_MAX;
}

void audit_repeats_keep(struct audit_repeats *repeats, const char *body, size_t length, struct moment now)
{
    struct audit_repeat *repeat = calloc(1, sizeof *repeat + length);
    if (!repeat) {
        return;
    }
    repeat->due_ms = now.monotonic_ms + AUDIT_REPEAT_MS;
    repeat->since_ms = now.wall_ms;
    repeat->length = length;
    memcpy(repeat->body, body, length);
    list_init(&repeat->by_age);
    if (map_put(&repeats->bodies, body, length, repeat) != RESULT_OK) {
        free(repeat);
        return;
    }
    list_append(&repeats->by_age, &repeat->by_age);
}

struct audit_repeat *audit_repeats_take(struct audit_repeats *repeats, uint64_t now_ms)
{
    if (list_is_empty(&repeats->by_age)) {
        return NULL;
    }
    struct audit_repeat *oldest = LIST_ITEM(repeats->by_age.next, struct audit_repeat, by_age);
    if (oldest->due_ms > now_ms) {
        return NULL;
    }
    list_remove(&oldest->by_age);
    (void)map_remove(&repeats->bodies, oldest->body, oldest->length); /* it is this one */
    return oldest;
}

bool audit_repeats_is_empty(const struct audit_repeats *repeats)
{
    return list_is_empty(&repeats->by_age);
}
