/* The table, and what the members of an entry are to each other. */
#include "config/forms.h"

#include <assert.h>
#include <string.h>

#include "cache/cache_class.h"
#include "protocol/limits.h"

enum {
    NAME_MAX_BYTES = 512,
    QUERY_MAX_BYTES = 8192,
    POSTGRES_NAME_MAX_BYTES = 63, /* NAMEDATALEN - 1: the server would cut a longer one */
};

static const char *complete_redis(void *entry)
{
    struct redis_mapping *mapping = entry;
    mapping->form = mapping->kpi ? REDIS_FORM_KPI : REDIS_FORM_ENVELOPE;
    return mapping->name ? NULL : "needs channel or pattern";
}

static bool is_double_redis(const void *left, const void *right)
{
    const struct redis_mapping *a = left;
    const struct redis_mapping *b = right;
    return a->kind == b->kind && a->name && b->name && strcmp(a->name, b->name) == 0;
}

#define IN_POSTGRES(member) offsetof(struct postgres_mapping, member)
#define IN_REDIS(member) offsetof(struct redis_mapping, member)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct member notification_members[] = {
    {.key = "channel",
     .offset = IN_POSTGRES(channel),
     .longest = POSTGRES_NAME_MAX_BYTES,
     .is_required = true},
    {.key = "relation", .offset = IN_POSTGRES(relation), .longest = 2 * POSTGRES_NAME_MAX_BYTES + 1},
    {.key = "field",
     .kind = MEMBER_FIELD,
     .offset = IN_POSTGRES(field),
     .longest = FIELD_MAX_BYTES,
     .is_required = true},
    {.key = "query", .kind = MEMBER_QUERY, .offset = IN_POSTGRES(query), .longest = QUERY_MAX_BYTES},
    {.key = "class",
     .kind = MEMBER_CLASS,
     .offset = IN_POSTGRES(cache_class),
     .longest = CACHE_CLASS_NAME_MAX_BYTES,
     .fallback = "default"},
};

static const struct member channel_members[] = {
    {.key = "channel",
     .offset = IN_REDIS(name),
     .longest = NAME_MAX_BYTES,
     .has_choice = true,
     .choice = REDIS_MAPPING_CHANNEL},
    {.key = "pattern",
     .offset = IN_REDIS(name),
     .longest = NAME_MAX_BYTES,
     .has_choice = true,
     .choice = REDIS_MAPPING_PATTERN},
    {.key = "kpi", .kind = MEMBER_FIELD, .offset = IN_REDIS(kpi), .longest = FIELD_MAX_BYTES},
    {.key = "reread_key", .offset = IN_REDIS(reread_key), .longest = NAME_MAX_BYTES},
};

static const char *const from_words[] =
    {[REDIS_FROM_NEWEST] = "newest", [REDIS_FROM_OLDEST] = "oldest", NULL};

static const struct member stream_members[] = {
    {.key = "stream",
     .offset = IN_REDIS(name),
     .longest = NAME_MAX_BYTES,
     .is_required = true,
     .has_choice = true,
     .choice = REDIS_MAPPING_STREAM},
    {.key = "kpi", .kind = MEMBER_FIELD, .offset = IN_REDIS(kpi), .longest = FIELD_MAX_BYTES},
    {.key = "from", .kind = MEMBER_WORD, .offset = IN_REDIS(stream_from), .words = from_words},
};

static const struct form forms[] = {
    {.option = "postgres.notifications",
     .size = sizeof(struct postgres_mapping),
     .members = notification_members,
     .member_count = COUNT(notification_members),
     .example = "  #notifications:\n"
                "  #  - channel: deals_changed\n"
                "  #    relation: crm.deals\n"
                "  #    field: exec.top_deals\n"
                "  #    query: select name, stage, amount, updated_at as as_of from crm.deals where id = $1\n"
                "  #    class: executive_kpis\n"},
    {.option = "redis.channels",
     .size = sizeof(struct redis_mapping),
     .members = channel_members,
     .member_count = COUNT(channel_members),
     .has_choice = true,
     .choice_offset = IN_REDIS(kind),
     .complete = complete_redis,
     .is_double = is_double_redis,
     .example = "  #channels:\n"
                "  #  - channel: kpi.revenue\n"
                "  #    kpi: exec.revenue_mtd\n"
                "  #    reread_key: kpi.revenue.latest\n"
                "  #  - pattern: changes.*\n"},
    {.option = "redis.streams",
     .size = sizeof(struct redis_mapping),
     .members = stream_members,
     .member_count = COUNT(stream_members),
     .has_choice = true,
     .choice_offset = IN_REDIS(kind),
     .complete = complete_redis,
     .is_double = is_double_redis,
     .example = "  #streams:\n"
                "  #  - stream: changes\n"
                "  #    from: oldest\n"},
};

const struct form *form_of(const struct option *option)
{
    size_t i = 0;
    while (strcmp(forms[i].option, option->name) != 0) {
        i++;
        assert(i < COUNT(forms)); /* an option of this kind has a form */
    }
    return &forms[i];
}
