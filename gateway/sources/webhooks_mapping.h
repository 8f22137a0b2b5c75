/**
 * Where webhooks come from and what they mean: an entry of webhooks.hooks.
 */
#ifndef SOPHIA_SOURCES_WEBHOOKS_MAPPING_H
#define SOPHIA_SOURCES_WEBHOOKS_MAPPING_H

#include <stddef.h>

#include "access/webhook.h"

enum {
    /* At the highest rate that can be set, what is signed with a time is remembered for as long as it is valid (from
       5 minutes before to 5 after), so nothing of such a provider can be replayed by filling the table. */
    WEBHOOKS_RATE_MAX_PER_S = 50,
    WEBHOOKS_REMEMBERED = 32768,
    WEBHOOKS_MAX = 64, /* hooks */
};

_Static_assert((int)WEBHOOKS_RATE_MAX_PER_S * 2 * 300 <= (int)WEBHOOKS_REMEMBERED,
               "a delivery could be forgotten while its signature is valid");

struct webhooks_field {
    const char *field;   /* "exec.revenue_mtd" */
    const char *pointer; /* JSON pointer into an event; NULL: the field counts events */
};

struct webhooks_hook {
    const char *name; /* served at /hooks/NAME */
    enum webhook_provider provider;
    char **secret_files;    /* newest first; NULL-terminated, or NULL for none */
    const char *public_url; /* NULL unless the provider signs it */
    /* The rest of the proof, for WEBHOOK_HMAC and WEBHOOK_BEARER: see struct webhook_options. NULL: not set. */
    const char *signature_header;
    const char *signature_prefix;
    enum webhook_encoding encoding;
    const char *time_header;
    const char *id_header;
    char **events; /* the kinds of events that mean something; NULL-terminated; NULL: all */
    struct webhooks_field *fields;
    size_t field_count;
};

/** What webhook_open() needs of it; everything is borrowed. */
static inline struct webhook_options webhooks_options_of(const struct webhooks_hook *hook)
{
    return (struct webhook_options){
        .provider = hook->provider,
        .public_url = hook->public_url,
        .signature_header = hook->signature_header,
        .signature_prefix = hook->signature_prefix,
        .encoding = hook->encoding,
        .time_header = hook->time_header,
        .id_header = hook->id_header,
    };
}

#endif
