/*
 * SSL_write for each viewer over TLS 1.3, with a certificate made on the spot. Every viewer has keys of its own, so the
 * same message is encrypted once per viewer: that, not the handshake, is what a round costs more than with send().
 *
 * Tickets are not sent to viewers, so that every byte after the handshake belongs to a message and can be counted
 * without decrypting it.
 */
#include "loadtest/floor/floor_ways.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    RECORD_MAX = 16384, /* longest plain text of one record */
    RECORD_OVERHEAD =
        5 + 1 + 16, /* header, inner type, tag; the same for every cipher of TLS 1.3 but CCM_8 */
    VALID_S = 24 * 3600,
};

struct tls {
    SSL_CTX *server;
    SSL_CTX *client;
    SSL **viewers; /* the sender's end of each, in the order they joined */
    size_t count;
};

static bool complain(const char *what)
{
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
    fprintf(stderr, "floor: %s: %s\n", what, reason);
    return false;
}

/* ---- a certificate ---- */

static bool certificate_fill(X509 *certificate, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    return X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_S) != NULL &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_sign(certificate, key, EVP_sha256()) > 0;
}

static bool context_certify(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    bool is_certified = key && certificate && certificate_fill(certificate, key) &&
                        SSL_CTX_use_certificate(context, certificate) == 1 &&
                        SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return is_certified;
}

static SSL_CTX *context_create(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* ---- the way ---- */

static void tls_close(void *state)
{
    struct tls *tls = state;
    if (!tls) {
        return;
    }
    for (size_t i = 0; tls->viewers && i < tls->count; i++) {
        SSL_free(tls->viewers[i]);
    }
    free(tls->viewers);
    SSL_CTX_free(tls->server);
    SSL_CTX_free(tls->client);
    free(tls);
}

static enum floor_result tls_open(size_t viewers, void **out_state)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        return FLOOR_FAILED;
    }
    tls->count = viewers;
    tls->viewers = calloc(viewers, sizeof(SSL *));
    tls->server = context_create(TLS_server_method());
    tls->client = context_create(TLS_client_method());
    if (!tls->viewers || !tls->server || !tls->client || !context_certify(tls->server) ||
        SSL_CTX_set_num_tickets(tls->server, 0) != 1) {
        complain("context");
        tls_close(tls);
        return FLOOR_FAILED;
    }
    /* As a server with many idle connections does: record buffers go back when they are empty. */
    SSL_CTX_set_mode(tls->server, SSL_MODE_RELEASE_BUFFERS);
    *out_state = tls;
    return FLOOR_OK;
}

static bool tls_join(void *state, size_t viewer, int fd)
{
    struct tls *tls = state;
    tls->viewers[viewer] = SSL_new(tls->server);
    if (!tls->viewers[viewer] || SSL_set_fd(tls->viewers[viewer], fd) != 1 ||
        SSL_accept(tls->viewers[viewer]) != 1) {
        return complain("SSL_accept");
    }
    return true;
}

static bool tls_meet(void *state, int fd)
{
    const struct tls *tls = state;
    SSL *viewer = SSL_new(tls->client);
    bool is_met = viewer && SSL_set_fd(viewer, fd) == 1 && SSL_connect(viewer) == 1;
    if (!is_met) {
        complain("SSL_connect");
    }
    SSL_free(viewer); /* the descriptor stays open; what comes now is only counted */
    return is_met;
}

static bool tls_round(void *state, const int *fds, size_t viewers, const void *message, size_t length,
                      uint64_t *partial)
{
    const struct tls *tls = state;
    for (size_t i = 0; i < viewers; i++) {
        int written = SSL_write(tls->viewers[i], message, (int)length);
        *partial += written <= 0;
        while (written <= 0) {
            if (SSL_get_error(tls->viewers[i], written) != SSL_ERROR_WANT_WRITE) {
                return complain("SSL_write");
            }
            if (!floor_wait_writable(fds[i])) {
                return false;
            }
            written = SSL_write(tls->viewers[i], message, (int)length);
        }
    }
    return true;
}

static size_t tls_wire_bytes(size_t length)
{
    size_t records = (length + RECORD_MAX - 1) / RECORD_MAX;
    return length + records * RECORD_OVERHEAD;
}

const struct floor_way floor_tls = {
    .name = "tls",
    .open = tls_open,
    .join = tls_join,
    .meet = tls_meet,
    .round = tls_round,
    .wire_bytes = tls_wire_bytes,
    .close = tls_close,
};

/* ---- handshakes in memory ---- */

static double processor_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* The newest ticket the client was given; SSL_CTX_set_app_data() of the client's context points here. */
static int ticket_keep(SSL *client, SSL_SESSION *session)
{
    SSL_SESSION **newest = SSL_CTX_get_app_data(SSL_get_SSL_CTX(client));
    SSL_SESSION_free(*newest);
    *newest = session;
    return 1; /* it is ours now */
}

/* Joins two ends by memory: what one writes is there for the other to read. */
static bool ends_join(SSL *server, SSL *client)
{
    BIO *one = NULL, *other = NULL;
    if (!server || !client || BIO_new_bio_pair(&one, 0, &other, 0) != 1) {
        return false;
    }
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, other, other);
    return true;
}

/* Lets both ends talk until they are done; adds to *cpu_us what the server's end took. */
static bool ends_shake(SSL *server, SSL *client, double *cpu_us)
{
    bool is_served = false, is_done = false;
    for (int turn = 0; turn < 8 && !(is_served && is_done); turn++) {
        is_done = SSL_connect(client) == 1;
        double before = processor_us();
        is_served = SSL_accept(server) == 1;
        *cpu_us += processor_us() - before;
    }
    char byte;
    (void)SSL_read(client, &byte, 1); /* takes the ticket in; there is nothing else to read */
    /* Else SSL_free() takes the end for a broken connection, and makes the ticket useless. */
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return is_served && is_done;
}

/* One handshake: what the server's end cost, which includes making, ticketing and freeing it. Negative: it failed. */
static double handshake_us(const struct tls *tls, SSL_SESSION *resumed)
{
    double before = processor_us();
    SSL *server = SSL_new(tls->server);
    double cpu_us = processor_us() - before;
    SSL *client = SSL_new(tls->client);
    bool is_made = ends_join(server, client) && (!resumed || SSL_set_session(client, resumed) == 1) &&
                   ends_shake(server, client, &cpu_us) && SSL_session_reused(server) == (resumed != NULL);
    if (!is_made) {
        complain("handshake");
    }
    SSL_free(client);
    before = processor_us();
    SSL_free(server);
    cpu_us += processor_us() - before;
    return is_made ? cpu_us : -1;
}

static int by_size(const void *left, const void *right)
{
    const double *one = left, *other = right;
    return (*one > *other) - (*one < *other);
}

static double middle(double *times, size_t count)
{
    qsort(times, count, sizeof *times, by_size);
    return times[count / 2];
}

/* By turns, so that whatever disturbs one kind disturbs the other; the ticket of the full one is what the next resumes. */
static bool handshakes_time(const struct tls *tls, size_t rounds, SSL_SESSION **ticket, double *full,
                            double *resumed)
{
    for (size_t i = 0; i < rounds; i++) {
        full[i] = handshake_us(tls, NULL);
        SSL_SESSION *used = *ticket; /* a ticket of TLS 1.3 is used once */
        *ticket = NULL;
        resumed[i] = full[i] >= 0 && used ? handshake_us(tls, used) : -1;
        SSL_SESSION_free(used);
        if (resumed[i] < 0) {
            return false;
        }
    }
    return true;
}

bool floor_handshakes_measure(size_t rounds, struct floor_handshakes *out_handshakes)
{
    void *state = NULL;
    if (tls_open(1, &state) != FLOOR_OK) {
        return false;
    }
    struct tls *tls = state;
    SSL_SESSION *ticket = NULL;
    SSL_CTX_set_num_tickets(tls->server, 1);
    SSL_CTX_set_session_cache_mode(tls->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_set_app_data(tls->client, &ticket);
    SSL_CTX_sess_set_new_cb(tls->client, ticket_keep);
    double *full = calloc(rounds, sizeof *full), *resumed = calloc(rounds, sizeof *resumed);
    bool is_made = full && resumed && handshakes_time(tls, rounds, &ticket, full, resumed);
    if (is_made) {
        *out_handshakes =
            (struct floor_handshakes){.full_us = middle(full, rounds), .resumed_us = middle(resumed, rounds)};
    }
    free(full);
    free(resumed);
    SSL_SESSION_free(ticket);
    tls_close(tls);
    return is_made;
}
