/*
 * Any request in the name of any provider: never genuine without the secret, and whatever the body is, what is read of
 * it stays within its limits. The first byte chooses the provider; then come header values, a line each; the rest is the body.
 */
#include "access/webhook_delivery.h"

#include <assert.h>
#include <string.h>

#include "protocol/limits.h"
#include "sources/webhooks_changes.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* An RSA key that nobody has the other half of. */
static const char public_key[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArshwv6lqi6nUv5vpwTAU8k+NSU5UShXjXRQ6JjujWmwWGF0HdtdG+gDp"
    "Y3CVi1gTQkyHl1r8KBYJYGzUFaZ3NgHRqxrYWKcZj0P2NkJxLP4VCCJ1kvizxgJGI4fxakun15eyLjeJEUEWLP9F961o4UiM8qLs"
    "F7XmfF5fYG2L3y9LXLbQJggfdX8Kn5UfW0kevP64nHxcafE7UnSv06oSgCmOVinXlH0rbNYjmOuMhsbv7YRLcJiw7KCrKLeh3Snj"
    "B6f8fEumDpXu8PSBAo+OHsH9lYbkLGEEmFZ88v17s61sRKBIST+19IxlwwB3WKEOgacJrRanM+pq5J6GhGqtEwIDAQAB";

enum { LINES = 4, LINE_MAX_BYTES = 4096 };

struct lines {
    char text[LINES][LINE_MAX_BYTES];
    const char *names[LINES];
    size_t count;
};

/* Whatever it is asked for: the lines in turn. */
static const char *look_up(void *context, const char *name, unsigned *out_count)
{
    struct lines *lines = context;
    for (size_t i = 0; i < LINES; i++) {
        if (!lines->names[i]) {
            lines->names[i] = name;
        }
        if (strcmp(lines->names[i], name) == 0) {
            *out_count = i < lines->count ? 1 : 0;
            return *out_count > 0 ? lines->text[i] : NULL;
        }
    }
    *out_count = 0;
    return NULL;
}

static struct webhook *open_one(enum webhook_provider provider)
{
    const char *secrets[] = {provider == WEBHOOK_GONG ? public_key : "whsec_vqkzjwmxhbtrnpldgcfsyuoa"};
    const struct webhook_options options = {
        .provider = provider,
        .secrets = secrets,
        .secret_count = 1,
        .public_url = "https://kpi.example/hooks/a",
    };
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&options, &problem);
    assert(webhook);
    return webhook;
}

/* The same events as a hook would read them. */
static void read_changes(const struct webhook *webhook, const struct webhook_delivery *delivery)
{
    static char kind[] = "a";
    static char *kinds[] = {kind, NULL};
    static struct webhooks_field fields[] = {
        {"a.one", "/a"}, {"a.two#row", "/events/0/resource/gid"}, {"a.three", NULL}};
    uint64_t count = 7;
    uint64_t *counts[] = {NULL, NULL, &count};
    const struct webhooks_hook hook = {
        .events = delivery->type ? kinds : NULL, .fields = fields, .field_count = 3};
    const struct webhooks_reading reading = {
        .hook = &hook, .webhook = webhook, .delivery = delivery, .counts = counts};
    struct webhooks_read read;
    struct batch *batch = batch_create();
    enum result result = webhooks_read_changes(&reading, batch, &read);
    assert(result == RESULT_OK || result == RESULT_TOO_MANY || result == RESULT_MALFORMED);
    assert(batch->count <= INGEST_ITEMS_MAX && read.events <= webhook_event_count(delivery));
    for (size_t i = 0; i < batch->count; i++) {
        assert(strncmp(batch->items[i].change.field, "a.", 2) == 0);
        assert(batch->items[i].outcome == RESULT_OK || batch->items[i].detail[0] != '\0');
    }
    batch_destroy(batch);
}

static void read_events(const struct webhook *webhook, const struct webhook_request *request)
{
    struct webhook_delivery delivery;
    enum result result = webhook_delivery_read(webhook, request, &delivery);
    if (result != RESULT_OK) {
        assert(result == RESULT_TOO_DEEP || result == RESULT_TOO_MANY || result == RESULT_MALFORMED);
        return;
    }
    assert(webhook_event_count(&delivery) <= WEBHOOK_EVENTS_MAX);
    assert(delivery.kind != WEBHOOK_CHALLENGE || strlen(delivery.challenge) <= WEBHOOK_CHALLENGE_MAX_BYTES);
    for (size_t i = 0; i < webhook_event_count(&delivery); i++) {
        unsigned char key[WEBHOOK_KEY_BYTES];
        (void)webhook_event_type(webhook, &delivery, i); /* it may have none */
        (void)webhook_event_key(webhook, &delivery, i, key);
    }
    read_changes(webhook, &delivery);
    webhook_delivery_finish(&delivery);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct webhook *webhooks[WEBHOOK_PROVIDER_COUNT];
    static struct lines lines;
    if (size == 0) {
        return 0;
    }
    const enum webhook_provider provider = input[0] % WEBHOOK_PROVIDER_COUNT;
    if (!webhooks[provider]) {
        webhooks[provider] = open_one(provider);
    }
    const struct webhook *webhook = webhooks[provider];
    memset(&lines, 0, sizeof lines);
    const uint8_t *at = input + 1, *end = input + size;
    const uint8_t *line_end;
    while (lines.count < LINES && (line_end = memchr(at, '\n', (size_t)(end - at))) != NULL &&
           line_end - at < LINE_MAX_BYTES) {
        memcpy(lines.text[lines.count++], at, (size_t)(line_end - at));
        at = line_end + 1;
    }
    const struct webhook_request request = {
        .method = "POST",
        .body = at,
        .body_length = (size_t)(end - at),
        .header = look_up,
        .context = &lines,
    };
    struct webhook_verdict verdict;
    enum result result = webhook_check(webhook, &request, 1700000000000, &verdict);
    assert(result == RESULT_UNAUTHENTICATED || result == RESULT_FORBIDDEN);
    assert(verdict.reason != WEBHOOK_GENUINE && verdict.reason < WEBHOOK_REASON_COUNT);
    (void)webhook_has_proof(webhook, &request);
    (void)webhook_offered_secret(webhook, &request);
    read_events(webhook, &request);
    return 0;
}
