/* The table, and what the members of an entry are to each other. */
#include "config/forms.h"

#include <assert.h>
#include <string.h>

#include "cache/cache_class.h"
#include "protocol/json_pointer.h"
#include "protocol/limits.h"

enum {
    NAME_MAX_BYTES = 512,
    QUERY_MAX_BYTES = 8192,
    HOOK_NAME_MAX_BYTES = 64,
    HEADER_NAME_MAX_BYTES = 64,
    KEY_NAME_MAX_BYTES = 32,
    URL_MAX_BYTES = 2048,
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

/** The proof is the provider's own, but for those that have none. */
static const char *complete_hook(void *entry)
{
    const struct webhooks_hook *hook = entry;
    bool is_own = hook->provider == WEBHOOK_HMAC || hook->provider == WEBHOOK_BEARER;
    if (!is_own &&
        (hook->signature_header || hook->signature_prefix || hook->time_header || hook->id_header)) {
        return "signature_header, signature_prefix, time_header and id_header are for the providers hmac and bearer";
    }
    if (hook->provider == WEBHOOK_BEARER && (hook->signature_prefix || hook->time_header)) {
        return "signature_prefix and time_header are for the provider hmac";
    }
    if (webhook_needs_url(hook->provider) && !hook->public_url) {
        return "needs public_url, the whole address that the provider calls, because it signs that too";
    }
    return NULL;
}

static const char *complete_key(void *entry)
{
    const struct access_named_key *key = entry;
    size_t length = strlen(key->sha256);
    return length == 2 * ACCESS_KEY_DIGEST_BYTES && strspn(key->sha256, "0123456789abcdefABCDEF") == length
               ? NULL
               : "sha256: is not 64 hexadecimal digits, as printf %s KEY | sha256sum prints them";
}

static bool is_double_key(const void *left, const void *right)
{
    const struct access_named_key *a = left;
    const struct access_named_key *b = right;
    return a->name && b->name && strcmp(a->name, b->name) == 0;
}

static bool is_double_hook(const void *left, const void *right)
{
    const struct webhooks_hook *a = left;
    const struct webhooks_hook *b = right;
    return a->name && b->name && strcmp(a->name, b->name) == 0;
}

#define IN_HOOK(member) offsetof(struct webhooks_hook, member)
#define IN_KEY(member) offsetof(struct access_named_key, member)
#define IN_POSTGRES(member) offsetof(struct postgres_mapping, member)
#define IN_REDIS(member) offsetof(struct redis_mapping, member)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct member key_members[] = {
    {.key = "name",
     .kind = MEMBER_SLUG,
     .offset = IN_KEY(name),
     .longest = KEY_NAME_MAX_BYTES,
     .is_required = true},
    {.key = "sha256", .offset = IN_KEY(sha256), .longest = NAME_MAX_BYTES, .is_required = true},
};

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

static const struct member hook_members[] = {
    {.key = "name",
     .kind = MEMBER_SLUG,
     .offset = IN_HOOK(name),
     .longest = HOOK_NAME_MAX_BYTES,
     .is_required = true},
    {.key = "provider",
     .kind = MEMBER_WORD,
     .offset = IN_HOOK(provider),
     .is_required = true,
     .words = webhook_provider_words},
    {.key = "secret_files",
     .kind = MEMBER_PATHS,
     .offset = IN_HOOK(secret_files),
     .longest = TEXT_MAX_BYTES,
     .is_required = true},
    {.key = "public_url", .offset = IN_HOOK(public_url), .longest = URL_MAX_BYTES},
    {.key = "signature_header",
     .kind = MEMBER_HEADER,
     .offset = IN_HOOK(signature_header),
     .longest = HEADER_NAME_MAX_BYTES},
    {.key = "signature_prefix", .offset = IN_HOOK(signature_prefix), .longest = 32},
    {.key = "encoding", .kind = MEMBER_WORD, .offset = IN_HOOK(encoding), .words = webhook_encoding_words},
    {.key = "time_header",
     .kind = MEMBER_HEADER,
     .offset = IN_HOOK(time_header),
     .longest = HEADER_NAME_MAX_BYTES},
    {.key = "id_header",
     .kind = MEMBER_HEADER,
     .offset = IN_HOOK(id_header),
     .longest = HEADER_NAME_MAX_BYTES},
    {.key = "events", .kind = MEMBER_TEXTS, .offset = IN_HOOK(events), .longest = NAME_MAX_BYTES},
    {.key = "fields",
     .kind = MEMBER_FIELDS,
     .offset = IN_HOOK(fields),
     .longest = JSON_POINTER_MAX_BYTES,
     .is_required = true},
};

#define KEY_EXAMPLE            \
    "  #keys:\n"               \
    "  #  - name: warehouse\n" \
    "  #    sha256: 5c49bddcc53cab04c4ddd08c62f3e1c5538e441a8f375365af7642e2587f8b39\n"

#define IN_PAIR(member) offsetof(struct tls_pair, member)

static const struct member pair_members[] = {
    {.key = "certificate_file",
     .kind = MEMBER_PATH,
     .offset = IN_PAIR(certificate_file),
     .longest = TEXT_MAX_BYTES,
     .is_required = true},
    {.key = "key_file",
     .kind = MEMBER_PATH,
     .offset = IN_PAIR(key_file),
     .longest = TEXT_MAX_BYTES,
     .is_required = true},
};

static const struct form forms[] = {
    {.option = "tls.certificates",
     .size = sizeof(struct tls_pair),
     .most = TLS_PAIRS_MAX - 1,
     .members = pair_members,
     .member_count = COUNT(pair_members),
     .example = "  #certificates:\n"
                "  #  - certificate_file: intranet.pem\n"
                "  #    key_file: intranet.key\n"},
    {.option = "ingest.keys",
     .size = sizeof(struct access_named_key),
     .most = ACCESS_NAMED_KEYS_MAX,
     .members = key_members,
     .member_count = COUNT(key_members),
     .complete = complete_key,
     .is_double = is_double_key,
     .example = KEY_EXAMPLE},
    {.option = "admin.keys",
     .size = sizeof(struct access_named_key),
     .most = ACCESS_NAMED_KEYS_MAX,
     .members = key_members,
     .member_count = COUNT(key_members),
     .complete = complete_key,
     .is_double = is_double_key,
     .example = KEY_EXAMPLE},
    {.option = "webhooks.hooks",
     .size = sizeof(struct webhooks_hook),
     .most = WEBHOOKS_MAX,
     .members = hook_members,
     .member_count = COUNT(hook_members),
     .complete = complete_hook,
     .is_double = is_double_hook,
     .example = "  #hooks:\n"
                "  #  - name: sales\n"
                "  #    provider: standard\n"
                "  #    secret_files: [sales.secret, sales.secret.old]\n"
                "  #    events: [deal.won]\n"
                "  #    fields:\n"
                "  #      exec.revenue_mtd: /data/revenue_mtd\n"
                "  #      exec.calls_today: count\n"},
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
