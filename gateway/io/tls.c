/*
 * OpenSSL 3 behind tls.h. What it says about failures is folded into a fixed list of reasons, which are labels of a
 * counter; its own words go to the debug log.
 *
 * A reload makes new SSL_CTXs: OpenSSL counts references, so an old one lives as long as its last connection. The ticket keys are
 * beside them and survive. There is one for each certificate, all alike but for that.
 */
#include "io/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

enum {
    SECURITY_LEVEL = 2,        /* 112 bits: RSA from 2048 on */
    TICKETS_PER_HANDSHAKE = 1, /* two by default; each costs the record, and the client keeps the last one */
    TICKET_LIFETIME_S = 7200,  /* what clients are told; the keys live that long at least */
    DAY_S = 86400,
    SETTLE_MS = 2000, /* files that have changed are left alone for that long */
};

/* ChaCha20 only for clients that put it first: those without AES in hardware (SSL_OP_PRIORITIZE_CHACHA). */
#define CIPHERS_1_2                                                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:" \
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define GROUPS "X25519:P-256:P-384"

enum tls_reason {
    REASON_HTTP_REQUEST,
    REASON_NOT_TLS,
    REASON_VERSION,
    REASON_NO_SHARED_CIPHER,
    REASON_NO_SHARED_PROTOCOL,
    REASON_CERTIFICATE_REFUSED,
    REASON_CLIENT_CERTIFICATE,
    REASON_ALERT,
    REASON_BAD_RECORD,
    REASON_TIMEOUT,
    REASON_CLOSED,
    REASON_NO_MEMORY,
    REASON_OTHER,
    REASON_COUNT
};

static const char *const reason_labels[REASON_COUNT] = {
    [REASON_HTTP_REQUEST] = "reason=\"http_request\"",
    [REASON_NOT_TLS] = "reason=\"not_tls\"",
    [REASON_VERSION] = "reason=\"version\"",
    [REASON_NO_SHARED_CIPHER] = "reason=\"no_shared_cipher\"",
    [REASON_NO_SHARED_PROTOCOL] = "reason=\"no_shared_protocol\"",
    [REASON_CERTIFICATE_REFUSED] = "reason=\"certificate_refused\"",
    [REASON_CLIENT_CERTIFICATE] = "reason=\"client_certificate\"",
    [REASON_ALERT] = "reason=\"alert\"",
    [REASON_BAD_RECORD] = "reason=\"bad_record\"",
    [REASON_TIMEOUT] = "reason=\"timeout\"",
    [REASON_CLOSED] = "reason=\"closed\"",
    [REASON_NO_MEMORY] = "reason=\"no_memory\"",
    [REASON_OTHER] = "reason=\"other\"",
};

/** A certificate in use. */
struct identity {
    SSL_CTX *context;
    int64_t expires_s; /* of its chain */
};

struct tls {
    struct tls_options options;
    unsigned count; /* of the next two */
    struct tls_pair pairs[TLS_PAIRS_MAX];
    struct identity identities[TLS_PAIRS_MAX];
    uint64_t read_stamp; /* of the files (stamp_of()) when they were read, whatever came of it */
    uint64_t seen_stamp; /* at the last tick, and since when it is that */
    uint64_t seen_ms;
    struct tls_tickets tickets;
    struct metric *handshakes[2]; /* full, resumed */
    struct metric *failures[REASON_COUNT];
    struct metric *reloads[2]; /* refused, done */
    struct metric *left;
};

struct tls_connection {
    struct tls *tls;
    SSL *ssl;
    bool is_established;
    bool has_failed; /* SSL_shutdown() and the like are out of the question */
    bool met_plain_http;
};

/* Certificate and key. */

/** An encrypted key would make OpenSSL ask at the terminal. */
static int no_passphrase(char *to, int size, int is_writing, void *context)
{
    (void)to;
    (void)size;
    (void)is_writing;
    *(bool *)context = true; /* was asked */
    return -1;
}

static const char *error_words(unsigned long error)
{
    const char *words = ERR_reason_error_string(error);
    return words ? words : "unknown error";
}

static void say_fault(struct tls_pair_check *check, enum tls_pair_fault fault, const char *path,
                      const char *words)
{
    check->fault = fault;
    /* A longer one is cut. */
    (void)snprintf(check->problem, sizeof check->problem, "%.120s %.120s", path, words);
}

/** Why OpenSSL did not take a file. Empties its error queue. */
static void say_not_taken(struct tls_pair_check *check, enum tls_pair_fault fault, const char *path,
                          bool is_locked)
{
    char words[128];
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    if (ERR_SYSTEM_ERROR(error)) {
        (void)snprintf(words, sizeof words, "cannot be read: %s", strerror(reason));
    } else if (is_locked) {
        (void)snprintf(words, sizeof words, "needs a passphrase: store the key without one");
    } else if (ERR_GET_LIB(error) == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) {
        (void)snprintf(words, sizeof words, "holds no such thing in PEM");
    } else {
        (void)snprintf(words, sizeof words, "cannot be used: %s", error_words(error));
    }
    ERR_clear_error();
    say_fault(check, fault, path, words);
}

static int64_t unix_time(const ASN1_TIME *time)
{
    struct tm utc;
    return ASN1_TIME_to_tm(time, &utc) == 1 ? (int64_t)timegm(&utc) : 0;
}

static void narrow_times(X509 *certificate, struct tls_pair_check *check)
{
    int64_t begins_s = unix_time(X509_get0_notBefore(certificate));
    int64_t expires_s = unix_time(X509_get0_notAfter(certificate));
    check->begins_s = begins_s > check->begins_s ? begins_s : check->begins_s;
    check->expires_s = expires_s < check->expires_s ? expires_s : check->expires_s;
}

static void read_times(SSL_CTX *context, struct tls_pair_check *check)
{
    STACK_OF(X509) *chain = NULL;
    check->begins_s = INT64_MIN;
    check->expires_s = INT64_MAX;
    narrow_times(SSL_CTX_get0_certificate(context), check);
    (void)SSL_CTX_get0_chain_certs(context, &chain); /* NULL when there is none */
    for (int i = 0; i < sk_X509_num(chain); i++) {
        narrow_times(sk_X509_value(chain, i), check);
    }
}

static bool load_pair(SSL_CTX *context, const struct tls_pair *pair, struct tls_pair_check *out_check)
{
    *out_check = (struct tls_pair_check){.fault = TLS_PAIR_OK};
    ERR_clear_error();
    bool is_locked = false;
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &is_locked); /* nothing is loaded after this function */
    if (SSL_CTX_use_certificate_chain_file(context, pair->certificate_file) != 1) {
        say_not_taken(out_check, TLS_PAIR_CERTIFICATE, pair->certificate_file, is_locked);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, pair->key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long error = ERR_peek_error();
        bool is_mismatch =
            ERR_GET_LIB(error) == ERR_LIB_X509 && (ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH ||
                                                   ERR_GET_REASON(error) == X509_R_KEY_TYPE_MISMATCH);
        say_not_taken(out_check, TLS_PAIR_KEY, pair->key_file, is_locked);
        if (is_mismatch) {
            say_fault(out_check, TLS_PAIR_MISMATCH, pair->key_file, "is not the key of the certificate");
        }
        return false;
    }
    read_times(context, out_check);
    return true;
}

static SSL_CTX *context_bare(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context) {
        SSL_CTX_set_security_level(context, SECURITY_LEVEL); /* before certificates: it judges them */
    }
    return context;
}

void tls_pair_check(const struct tls_pair *pair, struct tls_pair_check *out_check)
{
    SSL_CTX *context = context_bare();
    if (!context) {
        say_fault(out_check, TLS_PAIR_CERTIFICATE, pair->certificate_file,
                  "cannot be checked: memory ran out");
        return;
    }
    (void)load_pair(context, pair, out_check); /* the check says it */
    SSL_CTX_free(context);
}

/* Certificates of clients. */

/** An empty or broken file would let in nobody, or not be noticed. */
static bool load_client_ca(SSL_CTX *context, const char *path)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (!names || SSL_CTX_load_verify_file(context, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(context, names); /* takes them */
    return true;
}

bool tls_client_ca_check(const char *path, char out_problem[TLS_PROBLEM_BYTES])
{
    struct tls_pair_check check = {.fault = TLS_PAIR_OK};
    SSL_CTX *context = context_bare();
    ERR_clear_error();
    bool is_good = context && load_client_ca(context, path);
    if (!is_good) {
        say_not_taken(&check, TLS_PAIR_CERTIFICATE, path, false);
        memcpy(out_problem, check.problem, sizeof check.problem);
    }
    SSL_CTX_free(context);
    return is_good;
}

/* What a context is set to. */

/** "h2" first is what browsers offer: we take the one we speak, and refuse who does not. */
static int choose_protocol(SSL *ssl, const unsigned char **out_name, unsigned char *out_length,
                           const unsigned char *offered, unsigned length, void *context)
{
    static const char ours[] = "http/1.1";
    (void)ssl;
    (void)context;
    for (unsigned at = 0; at < length; at += 1 + offered[at]) {
        unsigned size = offered[at];
        if (size == sizeof ours - 1 && at + 1 + size <= length && memcmp(offered + at + 1, ours, size) == 0) {
            *out_name = offered + at + 1;
            *out_length = offered[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

enum ticket_answer { TICKET_ERROR = -1, TICKET_NONE = 0, TICKET_GOOD = 1, TICKET_OLD = 2 };

static bool set_ticket_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

static int seal_or_open_ticket(SSL *ssl, unsigned char name[TLS_TICKET_NAME_BYTES], unsigned char *vector,
                               EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!tls_tickets_turn(&tls->tickets, tls->options.monotonic_ms())) {
        return TICKET_NONE;
    }
    const struct tls_ticket_key *newest = tls_tickets_newest(&tls->tickets);
    const struct tls_ticket_key *key = is_sealing ? newest : tls_tickets_find(&tls->tickets, name);
    if (!key) {
        return TICKET_NONE; /* a whole handshake, then */
    }
    if (is_sealing) {
        memcpy(name, key->name, sizeof key->name);
        if (RAND_bytes(vector, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
            return TICKET_ERROR;
        }
    }
    if (!set_ticket_mac(mac, key) ||
        EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, vector, is_sealing) != 1) {
        return TICKET_ERROR;
    }
    return key == newest ? TICKET_GOOD : TICKET_OLD;
}

/** SNI: the first certificate that has the name among its own; the first of all for other names, and for none. */
static int choose_certificate(SSL *ssl, int *alert, void *context)
{
    const struct tls *tls = context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (unsigned i = 0; name && i < tls->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(tls->identities[i].context);
        if (X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1) {
            return SSL_set_SSL_CTX(ssl, tls->identities[i].context) ? SSL_TLSEXT_ERR_OK
                                                                    : SSL_TLSEXT_ERR_ALERT_FATAL;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/**
 * No session is resumed where clients show certificates: a ticket of another port has the same keys and would spare its holder the
 * proof, and one of ours would outlive the list of those who may come in.
 */
static bool ask_for_certificate(SSL_CTX *context, const char *client_ca_file)
{
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return SSL_CTX_set_num_tickets(context, 0) == 1 && load_client_ca(context, client_ca_file);
}

static bool set_tickets(SSL_CTX *context)
{
    return SSL_CTX_set_num_tickets(context, TICKETS_PER_HANDSHAKE) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, seal_or_open_ticket) == 1;
}

static bool set_up(SSL_CTX *context, struct tls *tls)
{
    static const unsigned char session_context[] = "sophia-gateway"; /* tickets outlive their SSL_CTX */
    const char *client_ca_file = tls->options.client_ca_file;
    int least = tls->options.min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX_set_app_data(context, tls);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF); /* lengths say what is whole */
    /* One record at a time: a peer with thousands of new keys in a row would keep us in one SSL_read() for as long. */
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, TICKET_LIFETIME_S);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context, tls);
    return SSL_CTX_set_min_proto_version(context, least) == 1 &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, CIPHERS_1_2) == 1 &&
           SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) == 1 &&
           SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
           SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1) == 1 &&
           (client_ca_file ? ask_for_certificate(context, client_ca_file) : set_tickets(context));
}

/** NULL with check->problem. */
static SSL_CTX *context_create(struct tls *tls, const struct tls_pair *pair, struct tls_pair_check *out_check)
{
    SSL_CTX *context = context_bare();
    if (context && load_pair(context, pair, out_check) && set_up(context, tls)) {
        return context;
    }
    if (!context || out_check->fault == TLS_PAIR_OK) {
        (void)snprintf(out_check->problem, sizeof out_check->problem, "OpenSSL: %s",
                       error_words(ERR_peek_error()));
        ERR_clear_error();
    }
    SSL_CTX_free(context);
    return NULL;
}

static void identities_free(struct identity *identities, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        SSL_CTX_free(identities[i].context);
    }
}

/** All or none. must_last: one that has expired is no good. False with a problem. */
static bool identities_load(struct tls *tls, bool must_last, struct identity out_identities[TLS_PAIRS_MAX],
                            struct tls_pair_check *out_check)
{
    struct identity identities[TLS_PAIRS_MAX] = {0};
    for (unsigned i = 0; i < tls->count; i++) {
        *out_check = (struct tls_pair_check){.fault = TLS_PAIR_OK};
        identities[i].context = context_create(tls, &tls->pairs[i], out_check);
        identities[i].expires_s = out_check->expires_s;
        if (identities[i].context && must_last && out_check->expires_s <= clock_wall_ms() / 1000) {
            say_fault(out_check, TLS_PAIR_CERTIFICATE, tls->pairs[i].certificate_file, "has expired");
        }
        if (!identities[i].context || out_check->fault != TLS_PAIR_OK) {
            identities_free(identities, i + 1);
            return false;
        }
    }
    memcpy(out_identities, identities, sizeof identities);
    return true;
}

/** What the files look like from outside: another one when any of them was written or replaced. */
static uint64_t stamp_of(const struct tls *tls)
{
    struct {
        uint64_t inode, size, seconds, nanoseconds;
    } looks[2 * TLS_PAIRS_MAX] = {0};
    for (unsigned i = 0; i < 2 * tls->count; i++) {
        const struct tls_pair *pair = &tls->pairs[i / 2];
        struct stat status;
        if (stat(i % 2 == 0 ? pair->certificate_file : pair->key_file, &status) == 0) {
            looks[i].inode = status.st_ino;
            looks[i].size = (uint64_t)status.st_size;
            looks[i].seconds = (uint64_t)status.st_mtim.tv_sec;
            looks[i].nanoseconds = (uint64_t)status.st_mtim.tv_nsec;
        }
    }
    return map_hash(looks, sizeof looks);
}

/* A port. */

static void register_metrics(struct tls *tls, struct metrics *metrics)
{
    static const char *const kinds[2] = {"kind=\"full\"", "kind=\"resumed\""};
    static const char *const results[2] = {"result=\"refused\"", "result=\"ok\""};
    for (unsigned i = 0; i < 2; i++) {
        tls->handshakes[i] =
            metrics_counter(metrics, "gw_tls_handshakes_total", kinds[i], "TLS handshakes that succeeded.");
    }
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        tls->failures[i] = metrics_counter(metrics, "gw_tls_failures_total", reason_labels[i],
                                           "TLS handshakes and connections that failed, by reason.");
    }
    for (unsigned i = 0; i < 2; i++) {
        tls->reloads[i] = metrics_counter(metrics, "gw_tls_reloads_total", results[i],
                                          "Times that certificate and key were read again.");
    }
    tls->left =
        metrics_gauge(metrics, "gw_tls_certificate_left_seconds", NULL,
                      "Until the first of the certificates and their chains expires; negative when it has.");
}

static int64_t expires_s(const struct tls *tls)
{
    int64_t first_s = tls->identities[0].expires_s;
    for (unsigned i = 1; i < tls->count; i++) {
        first_s = tls->identities[i].expires_s < first_s ? tls->identities[i].expires_s : first_s;
    }
    return first_s;
}

static void bring_up_to_date(struct tls *tls)
{
    if (!tls_tickets_turn(&tls->tickets, tls->options.monotonic_ms())) {
        log_warn("ticket keys not renewed, continuing", LOG_TEXT("err", error_words(ERR_get_error())));
    }
    metric_set(tls->left, (double)(expires_s(tls) - clock_wall_ms() / 1000));
}

/* Not at once: certificate and key are two files, and are not replaced in one step. */
void tls_tick(struct tls *tls)
{
    uint64_t stamp = stamp_of(tls);
    uint64_t now_ms = tls->options.monotonic_ms();
    if (stamp != tls->seen_stamp) {
        tls->seen_stamp = stamp;
        tls->seen_ms = now_ms;
    }
    if (stamp != tls->read_stamp && now_ms - tls->seen_ms >= SETTLE_MS) {
        (void)tls_reload(
            tls); /* it has said and counted what is wrong; it will be tried when they change again */
    } else {
        bring_up_to_date(tls);
    }
}

static void log_pairs(const char *message, const struct tls *tls)
{
    for (unsigned i = 0; i < tls->count; i++) {
        log_info(message, LOG_TEXT("certificate_file", tls->pairs[i].certificate_file),
                 LOG_INT("days", (tls->identities[i].expires_s - clock_wall_ms() / 1000) / DAY_S));
    }
}

static void take_pairs(struct tls *tls, const struct tls_options *options)
{
    assert(options->more_count < TLS_PAIRS_MAX);
    tls->pairs[tls->count++] = options->pair;
    for (size_t i = 0; i < options->more_count; i++) {
        tls->pairs[tls->count++] = options->more[i];
    }
}

struct tls *tls_create(const struct tls_options *options, struct metrics *metrics)
{
    struct tls_pair_check check = {.fault = TLS_PAIR_OK};
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        log_error("tls failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    tls->options = *options;
    OPENSSL_cleanse(&tls->options.secret, sizeof tls->options.secret);
    take_pairs(tls, options);
    if (!tls_tickets_init(&tls->tickets, &options->secret, options->monotonic_ms())) {
        log_error("tls failed", LOG_TEXT("err", "no ticket keys"));
        goto fail;
    }
    tls->read_stamp = tls->seen_stamp = stamp_of(tls);
    if (!identities_load(tls, false, tls->identities, &check)) {
        log_error("tls failed", LOG_TEXT("err", check.problem));
        goto fail;
    }
    register_metrics(tls, metrics);
    bring_up_to_date(tls);
    log_pairs("certificate loaded", tls);
    return tls;

fail:
    tls_destroy(tls);
    return NULL;
}

void tls_destroy(struct tls *tls)
{
    if (tls) {
        identities_free(tls->identities, tls->count);
        tls_tickets_finish(&tls->tickets);
        free(tls);
    }
}

bool tls_reload(struct tls *tls)
{
    struct tls_pair_check check = {.fault = TLS_PAIR_OK};
    struct identity fresh[TLS_PAIRS_MAX];
    tls->read_stamp = stamp_of(tls); /* before: what changes meanwhile is seen later */
    bool is_good = identities_load(tls, true, fresh, &check);
    metric_add(tls->reloads[is_good ? 1 : 0], 1);
    if (!is_good) {
        log_error("certificate refused, the one before stays", LOG_TEXT("err", check.problem));
        return false;
    }
    identities_free(tls->identities, tls->count);
    memcpy(tls->identities, fresh, sizeof fresh);
    bring_up_to_date(tls);
    log_pairs("certificate reloaded", tls);
    return true;
}

/* Failures. */

static enum tls_reason reason_of_ssl(int reason)
{
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return REASON_HTTP_REQUEST;
    case SSL_R_WRONG_VERSION_NUMBER: /* what the first bytes of anything else look like */
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_LENGTH_MISMATCH:
        return REASON_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return REASON_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
        return REASON_NO_SHARED_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return REASON_NO_SHARED_PROTOCOL;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return REASON_CERTIFICATE_REFUSED;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return REASON_CLIENT_CERTIFICATE;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
        return REASON_BAD_RECORD;
    default:
        return reason > SSL_AD_REASON_OFFSET ? REASON_ALERT : REASON_OTHER;
    }
}

static void count_failure(const struct tls_connection *connection, enum tls_reason reason)
{
    metric_add(connection->tls->failures[reason], 1);
}

/** Only the first one counts. Empties OpenSSL's queue. */
static void note_failure(struct tls_connection *connection)
{
    unsigned long error = ERR_peek_error();
    int code = ERR_GET_REASON(error);
    enum tls_reason reason = code == ERR_R_MALLOC_FAILURE        ? REASON_NO_MEMORY
                             : ERR_GET_LIB(error) == ERR_LIB_SSL ? reason_of_ssl(code)
                                                                 : REASON_OTHER;
    if (!connection->has_failed) {
        connection->has_failed = true;
        connection->met_plain_http = reason == REASON_HTTP_REQUEST && !connection->is_established;
        count_failure(connection, reason);
        log_debug("tls failed", LOG_TEXT("err", error_words(error)),
                  LOG_BOOL("established", connection->is_established));
    }
    ERR_clear_error();
}

/** What an OpenSSL call that did not succeed means. */
static enum tls_result result_of(struct tls_connection *connection, int status)
{
    switch (SSL_get_error(connection->ssl, status)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        connection->has_failed = true; /* reset, or hung up: as with any socket */
        ERR_clear_error();
        return TLS_CLOSED;
    default:
        note_failure(connection);
        return TLS_FAILED;
    }
}

/* A connection. */

struct tls_connection *tls_accept(struct tls *tls, int fd)
{
    struct tls_connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        return NULL;
    }
    connection->tls = tls;
    connection->ssl = SSL_new(tls->identities[0].context);
    if (!connection->ssl || SSL_set_fd(connection->ssl, fd) != 1) {
        count_failure(connection, REASON_NO_MEMORY);
        ERR_clear_error();
        tls_close(connection);
        return NULL;
    }
    SSL_set_accept_state(connection->ssl);
    return connection;
}

void tls_close(struct tls_connection *connection)
{
    if (connection) {
        SSL_free(connection->ssl);
        free(connection);
    }
}

enum tls_result tls_handshake(struct tls_connection *connection)
{
    assert(!connection->is_established && !connection->has_failed);
    ERR_clear_error();
    int status = SSL_do_handshake(connection->ssl);
    if (status == 1) {
        connection->is_established = true;
        metric_add(connection->tls->handshakes[SSL_session_reused(connection->ssl) ? 1 : 0], 1);
        return TLS_DONE;
    }
    enum tls_result result = result_of(connection, status);
    if (result == TLS_CLOSED) {
        count_failure(connection, REASON_CLOSED);
    }
    return result;
}

bool tls_met_plain_http(const struct tls_connection *connection)
{
    return connection->met_plain_http;
}

void tls_gave_up(struct tls_connection *connection)
{
    connection->has_failed = true;
    count_failure(connection, REASON_TIMEOUT);
}

enum tls_result tls_read(struct tls_connection *connection, void *to, size_t size, size_t *out_length)
{
    assert(connection->is_established);
    if (connection->has_failed) {
        return TLS_CLOSED;
    }
    ERR_clear_error();
    int status = SSL_read_ex(connection->ssl, to, size, out_length);
    return status == 1 ? TLS_DONE : result_of(connection, status);
}

bool tls_has_input(const struct tls_connection *connection)
{
    return SSL_pending(connection->ssl) > 0;
}

enum tls_result tls_write(struct tls_connection *connection, const void *from, size_t length,
                          size_t *out_taken)
{
    assert(connection->is_established && length > 0);
    *out_taken = 0;
    if (connection->has_failed) {
        return TLS_CLOSED;
    }
    while (*out_taken < length) {
        size_t taken = 0;
        ERR_clear_error();
        int status =
            SSL_write_ex(connection->ssl, (const char *)from + *out_taken, length - *out_taken, &taken);
        if (status != 1) {
            return result_of(connection, status);
        }
        *out_taken += taken;
    }
    return TLS_DONE;
}

void tls_say_goodbye(struct tls_connection *connection)
{
    if (connection->is_established && !connection->has_failed) {
        ERR_clear_error();
        (void)SSL_shutdown(connection->ssl); /* a courtesy: lengths and close frames said it already */
        ERR_clear_error();
        connection->has_failed = true; /* for writing there is no way back */
    }
}

bool tls_websocket_accept(const char *key, char out_accept[TLS_ACCEPT_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[128];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int length = snprintf(text, sizeof text, "%s%s", key, guid);
    if (length < 0 || (size_t)length >= sizeof text ||
        EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    return EVP_EncodeBlock((unsigned char *)out_accept, digest, sizeof digest) == TLS_ACCEPT_BYTES - 1;
}
