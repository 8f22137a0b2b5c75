/* See tls_tickets.h. Everything is HMAC-SHA-256 of a label under the chain's present value. */
#include "io/tls_tickets.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

bool tls_secret_make(struct tls_secret *out_secret, uint64_t now_ms)
{
    unsigned char bytes[TLS_SECRET_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return false;
    }
    out_secret->began_ms = now_ms;
    memcpy(out_secret->bytes, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}

static bool derive(const unsigned char from[TLS_SECRET_BYTES], const char *label,
                   unsigned char out[TLS_SECRET_BYTES])
{
    unsigned length = 0;
    unsigned char made[EVP_MAX_MD_SIZE];
    bool is_made = HMAC(EVP_sha256(), from, TLS_SECRET_BYTES, (const unsigned char *)label, strlen(label),
                        made, &length) != NULL &&
                   length == TLS_SECRET_BYTES;
    if (is_made) {
        memcpy(out, made, TLS_SECRET_BYTES);
    }
    OPENSSL_cleanse(made, sizeof made);
    return is_made;
}

static bool make_key(const unsigned char chain[TLS_SECRET_BYTES], struct tls_ticket_key *out_key)
{
    unsigned char name[TLS_SECRET_BYTES];
    bool is_made = derive(chain, "name", name) && derive(chain, "cipher", out_key->cipher) &&
                   derive(chain, "mac", out_key->mac);
    if (is_made) {
        memcpy(out_key->name, name, sizeof out_key->name);
    }
    return is_made;
}

/** The next period: its key in front, the chain one further, the oldest key gone. */
static bool step(struct tls_tickets *tickets)
{
    struct tls_ticket_key key;
    unsigned char next[TLS_SECRET_BYTES];
    bool is_made = make_key(tickets->chain, &key) && derive(tickets->chain, "next", next);
    if (is_made) {
        memmove(tickets->keys + 1, tickets->keys, sizeof tickets->keys - sizeof tickets->keys[0]);
        tickets->keys[0] = key;
        tickets->key_count += tickets->key_count < TLS_TICKET_KEYS ? 1 : 0;
        memcpy(tickets->chain, next, sizeof next);
    }
    OPENSSL_cleanse(&key, sizeof key);
    OPENSSL_cleanse(next, sizeof next);
    return is_made;
}

bool tls_tickets_init(struct tls_tickets *tickets, const struct tls_secret *secret, uint64_t now_ms)
{
    *tickets = (struct tls_tickets){.began_ms = secret->began_ms};
    memcpy(tickets->chain, secret->bytes, sizeof tickets->chain);
    return step(tickets) && tls_tickets_turn(tickets, now_ms);
}

void tls_tickets_finish(struct tls_tickets *tickets)
{
    OPENSSL_cleanse(tickets, sizeof *tickets);
}

bool tls_tickets_turn(struct tls_tickets *tickets, uint64_t now_ms)
{
    uint64_t period = now_ms > tickets->began_ms ? (now_ms - tickets->began_ms) / TLS_TICKET_PERIOD_MS : 0;
    while (tickets->period < period) { /* a year is 8,760 steps, some 30 ms; workers start seldom */
        if (!step(tickets)) {
            return false;
        }
        tickets->period++;
    }
    return true;
}

const struct tls_ticket_key *tls_tickets_newest(const struct tls_tickets *tickets)
{
    assert(tickets->key_count > 0);
    return &tickets->keys[0];
}

const struct tls_ticket_key *tls_tickets_find(const struct tls_tickets *tickets,
                                              const unsigned char name[TLS_TICKET_NAME_BYTES])
{
    for (unsigned i = 0; i < tickets->key_count; i++) {
        if (CRYPTO_memcmp(tickets->keys[i].name, name, TLS_TICKET_NAME_BYTES) == 0) {
            return &tickets->keys[i];
        }
    }
    return NULL;
}
