/*
 * What is signed is described by a short form (webhook_scheme.h) and fed to the digest piece by piece, so a body is
 * never copied. Our own signature is printed and compared with the sent text as a whole, prefix included: another way to
 * write the same bytes (upper case, base64 with other padding) is not the same signature.
 *
 * Every secret and every signature of a list is tried, whichever fits first: how long a check takes says nothing of
 * which one it was.
 */
#include "access/webhook.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "access/base64.h"
#include "access/webhook_jwt.h"
#include "access/webhook_scheme.h"
#include "protocol/json_depth.h"
#include "protocol/json_pointer.h"

enum {
    PIECES_MAX = 8,
    SIGNATURES_MAX = 16, /* in one header */
    PREFIX_MAX_BYTES = 32,
    SIGNATURE_TEXT_BYTES = PREFIX_MAX_BYTES + 2 * EVP_MAX_MD_SIZE + 1,
    HEADER_NAME_MAX_BYTES = 64,
    URL_MAX_BYTES = 2048,
    BODY_DEPTH_MAX = 32,
    TIME_DIGITS_MAX = 15,
    OFFERED_MIN_BYTES = 16,
    OFFERED_MAX_BYTES = 256,
};

struct secret {
    unsigned char *bytes; /* owned, wiped */
    size_t length;
};

struct webhook {
    enum webhook_provider provider;
    struct webhook_scheme scheme; /* of the table, with what the options change */
    struct secret secrets[WEBHOOK_SECRETS_MAX];
    struct jwk *keys[WEBHOOK_SECRETS_MAX]; /* PROOF_JWT, instead of secrets */
    size_t secret_count;
    char *url;      /* as it is signed */
    char *texts[4]; /* owned: what the options changed in scheme */
    EVP_MAC *mac;   /* PROOF_HMAC */
    EVP_MD *digest; /* NULL: none */
    EVP_MD *sha256;
};

const char *webhook_reason_name(enum webhook_reason reason)
{
    static const char *const names[WEBHOOK_REASON_COUNT] = {
        [WEBHOOK_GENUINE] = "genuine",
        [WEBHOOK_MISSING_HEADER] = "missing_header",
        [WEBHOOK_REPEATED_HEADER] = "repeated_header",
        [WEBHOOK_MALFORMED_PROOF] = "malformed_proof",
        [WEBHOOK_MALFORMED_TIME] = "malformed_time",
        [WEBHOOK_WRONG_SIGNATURE] = "wrong_signature",
        [WEBHOOK_WRONG_ALGORITHM] = "wrong_algorithm",
        [WEBHOOK_WRONG_CLAIM] = "wrong_claim",
        [WEBHOOK_TOO_OLD] = "too_old",
        [WEBHOOK_TOO_NEW] = "too_new",
        [WEBHOOK_NO_SECRET] = "no_secret",
        [WEBHOOK_NO_MEMORY] = "no_memory",
    };
    return names[reason];
}

bool webhook_needs_url(enum webhook_provider provider)
{
    const struct webhook_scheme *scheme = &webhook_schemes[provider];
    return scheme->proof == PROOF_JWT || (scheme->signs && strstr(scheme->signs, "%u"));
}

/* ---- making one ---- */

static bool secret_set(struct secret *secret, const void *bytes, size_t length)
{
    secret->bytes = OPENSSL_memdup(bytes, length);
    secret->length = secret->bytes ? length : 0;
    return secret->bytes != NULL;
}

/** "whsec_" and base64. */
static const char *set_coded(struct secret *secret, const char *text)
{
    static const char prefix[] = "whsec_";
    unsigned char bytes[WEBHOOK_SECRET_MAX_BYTES];
    size_t length = 0;
    text += strncmp(text, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
    bool is_coded =
        base64_decode(BASE64_STANDARD, text, strlen(text), bytes, sizeof bytes, &length) && length > 0;
    bool is_set = is_coded && secret_set(secret, bytes, length);
    OPENSSL_cleanse(bytes, sizeof bytes);
    if (!is_coded) {
        return "is not a secret of this kind, \"whsec_\" and base64";
    }
    return is_set ? NULL : "memory ran out";
}

/** What is wrong with it, or NULL. */
static const char *add_secret(struct webhook *webhook, const char *text)
{
    size_t index = webhook->secret_count++;
    size_t length = strnlen(text, WEBHOOK_SECRET_MAX_BYTES + 1);
    if (length == 0 || length > WEBHOOK_SECRET_MAX_BYTES) {
        return length == 0 ? "is empty" : "is too long";
    }
    if (webhook->scheme.proof == PROOF_JWT) {
        webhook->keys[index] = webhook_jwt_key(text);
        return webhook->keys[index] ? NULL : "is not a public RSA key of 2048 bits or more, in base64 or PEM";
    }
    if (webhook->scheme.has_coded_secret) {
        return set_coded(&webhook->secrets[index], text);
    }
    return secret_set(&webhook->secrets[index], text, length) ? NULL : "memory ran out";
}

static const char *add_secrets(struct webhook *webhook, const struct webhook_options *options)
{
    bool may_have_none = options->provider == WEBHOOK_ASANA;
    if (options->secret_count > WEBHOOK_SECRETS_MAX || (options->secret_count == 0 && !may_have_none)) {
        return options->secret_count == 0 ? "has no secret" : "has too many secrets";
    }
    const char *problem = NULL;
    for (size_t i = 0; i < options->secret_count && !problem; i++) {
        problem = add_secret(webhook, options->secrets[i]);
    }
    return problem;
}

/** HubSpot signs the address with these written as themselves, and leaves all other escapes as they are. */
static void decode_url(char *url)
{
    static const char decoded[][4] = {"%3A", "%2F", "%3F", "%40", "%21", "%24",
                                      "%27", "%28", "%29", "%2A", "%2C", "%3B"};
    static const char letters[] = ":/?@!$'()*,;";
    char *to = url;
    for (const char *from = url; *from != '\0';) {
        size_t i = 0;
        while (i < sizeof decoded / sizeof *decoded && strncmp(from, decoded[i], 3) != 0) {
            i++;
        }
        bool is_decoded = i < sizeof decoded / sizeof *decoded;
        *to++ = is_decoded ? letters[i] : *from;
        from += is_decoded ? 3 : 1;
    }
    *to = '\0';
}

static const char *take_url(struct webhook *webhook, const struct webhook_options *options)
{
    if (!webhook_needs_url(options->provider)) {
        return NULL;
    }
    const char *url = options->public_url;
    if (!url || strlen(url) > URL_MAX_BYTES ||
        (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)) {
        return "needs public_url, the whole address that the provider calls";
    }
    webhook->url = strdup(url);
    if (webhook->url && webhook->scheme.decodes_url) {
        decode_url(webhook->url);
    }
    return webhook->url ? NULL : "memory ran out";
}

/** A copy of an option in place of what the table says; a header's in lower case. */
static const char *take_text(struct webhook *webhook, size_t index, const char *text, bool is_header,
                             const char **place)
{
    if (!text) {
        return NULL;
    }
    if (strlen(text) > (is_header ? HEADER_NAME_MAX_BYTES : PREFIX_MAX_BYTES) ||
        (is_header && text[0] == '\0')) {
        return is_header ? "names no header" : "has too long a prefix";
    }
    char *copy = strdup(text);
    webhook->texts[index] = copy;
    for (char *at = copy; is_header && at && *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
    }
    *place = copy;
    return copy ? NULL : "memory ran out";
}

static const char *take_form(struct webhook *webhook, const struct webhook_options *options)
{
    struct webhook_scheme *scheme = &webhook->scheme;
    if (options->provider != WEBHOOK_HMAC && options->provider != WEBHOOK_BEARER) {
        return NULL;
    }
    scheme->encoding = options->encoding;
    const char *problem = take_text(webhook, 0, options->signature_header, true, &scheme->signature_header);
    problem = problem ? problem : take_text(webhook, 1, options->id_header, true, &scheme->id_header);
    if (options->provider == WEBHOOK_HMAC) {
        problem =
            problem ? problem : take_text(webhook, 2, options->signature_prefix, false, &scheme->prefix);
        problem = problem ? problem : take_text(webhook, 3, options->time_header, true, &scheme->time_header);
    }
    if (scheme->time_header) {
        scheme->signs = "%t.%b";
        scheme->time_unit_ms = 1000;
        scheme->window_ms = 300000;
    }
    return problem;
}

static const char *fetch(struct webhook *webhook)
{
    const struct webhook_scheme *scheme = &webhook->scheme;
    webhook->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    webhook->digest = scheme->digest ? EVP_MD_fetch(NULL, scheme->digest, NULL) : NULL;
    webhook->mac = scheme->proof == PROOF_HMAC ? EVP_MAC_fetch(NULL, "HMAC", NULL) : NULL;
    bool has_all = webhook->sha256 && (webhook->digest || !scheme->digest) &&
                   (webhook->mac || scheme->proof != PROOF_HMAC);
    return has_all ? NULL : "needs a digest that OpenSSL does not offer here";
}

struct webhook *webhook_create(const struct webhook_options *options, const char **out_problem)
{
    struct webhook *webhook = calloc(1, sizeof *webhook);
    if (!webhook) {
        *out_problem = "memory ran out";
        return NULL;
    }
    webhook->provider = options->provider;
    webhook->scheme = webhook_schemes[options->provider];
    const char *problem = fetch(webhook);
    problem = problem ? problem : take_form(webhook, options);
    problem = problem ? problem : take_url(webhook, options);
    problem = problem ? problem : add_secrets(webhook, options);
    if (problem) {
        webhook_destroy(webhook);
        *out_problem = problem;
        return NULL;
    }
    return webhook;
}

void webhook_destroy(struct webhook *webhook)
{
    if (!webhook) {
        return;
    }
    for (size_t i = 0; i < WEBHOOK_SECRETS_MAX; i++) {
        OPENSSL_clear_free(webhook->secrets[i].bytes, webhook->secrets[i].length);
        jwk_destroy(webhook->keys[i]);
    }
    for (size_t i = 0; i < sizeof webhook->texts / sizeof *webhook->texts; i++) {
        free(webhook->texts[i]);
    }
    free(webhook->url);
    EVP_MAC_free(webhook->mac);
    EVP_MD_free(webhook->digest);
    EVP_MD_free(webhook->sha256);
    free(webhook);
}

/* ---- what is signed ---- */

struct piece {
    const void *at;
    size_t length;
};

/** What was sent, looked up. */
struct sent {
    const char *signature, *time, *id;
};

static struct piece text_piece(const char *text)
{
    return (struct piece){text, text ? strlen(text) : 0};
}

static struct piece piece_of(const struct webhook *webhook, const struct webhook_request *request,
                             const struct sent *sent, const struct secret *secret, char letter)
{
    switch (letter) {
    case 'b':
        return (struct piece){request->body, request->body_length};
    case 't':
        return text_piece(sent->time);
    case 'i':
        return text_piece(sent->id);
    case 'm':
        return text_piece(request->method);
    case 'u':
        return text_piece(webhook->url);
    default: /* 's' */
        return secret ? (struct piece){secret->bytes, secret->length} : (struct piece){NULL, 0};
    }
}

/** secret: NULL leaves it out. How many there are. */
static size_t pieces_of(const struct webhook *webhook, const struct webhook_request *request,
                        const struct sent *sent, const struct secret *secret, struct piece pieces[PIECES_MAX])
{
    size_t count = 0;
    const char *form = webhook->scheme.signs ? webhook->scheme.signs : "%b";
    while (*form != '\0' && count < PIECES_MAX) {
        if (*form == '%') {
            pieces[count++] = piece_of(webhook, request, sent, secret, form[1]);
            form += 2;
        } else {
            size_t length = strcspn(form, "%");
            pieces[count++] = (struct piece){form, length};
            form += length;
        }
    }
    return count;
}

static bool hash(EVP_MD *digest, const struct piece *pieces, size_t count, unsigned char *out,
                 unsigned *out_length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context && EVP_DigestInit_ex2(context, digest, NULL) == 1;
    for (size_t i = 0; i < count && is_good; i++) {
        is_good = EVP_DigestUpdate(context, pieces[i].at, pieces[i].length) == 1;
    }
    is_good = is_good && EVP_DigestFinal_ex(context, out, out_length) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

static bool sign(const struct webhook *webhook, const struct secret *secret, const struct piece *pieces,
                 size_t count, unsigned char *out, unsigned *out_length)
{
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(webhook->mac);
    char *name = (char *)(uintptr_t)webhook->scheme.digest; /* read only, as OSSL_PARAM documents it */
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                     OSSL_PARAM_construct_end()};
    bool is_good = context && EVP_MAC_init(context, secret->bytes, secret->length, parameters) == 1;
    for (size_t i = 0; i < count && is_good; i++) {
        is_good = EVP_MAC_update(context, pieces[i].at, pieces[i].length) == 1;
    }
    size_t length = 0;
    is_good = is_good && EVP_MAC_final(context, out, &length, EVP_MAX_MD_SIZE) == 1;
    EVP_MAC_CTX_free(context);
    *out_length = (unsigned)length;
    return is_good;
}

/* ---- signatures ---- */

static void print_signature(const struct webhook_scheme *scheme, const unsigned char *bytes, size_t length,
                            char out[SIGNATURE_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t used = strlen(scheme->prefix);
    memcpy(out, scheme->prefix, used);
    if (scheme->encoding == WEBHOOK_BASE64) {
        base64_encode(bytes, length, out + used);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        out[used++] = digits[bytes[i] >> 4];
        out[used++] = digits[bytes[i] & 15];
    }
    out[used] = '\0';
}

/** The length of a signature is no secret. */
static bool is_same_text(const char *left, const char *right, size_t right_length)
{
    return strlen(left) == right_length && CRYPTO_memcmp(left, right, right_length) == 0;
}

static bool is_among(const struct webhook_scheme *scheme, const char *text, const char *sent)
{
    if (!scheme->is_list) {
        return is_same_text(text, sent, strlen(sent));
    }
    bool is_found = false;
    for (unsigned i = 0; *sent != '\0' && i < SIGNATURES_MAX; i++) {
        size_t length = strcspn(sent, " ");
        is_found = is_same_text(text, sent, length) || is_found;
        sent += length;
        sent += strspn(sent, " ");
    }
    return is_found;
}

/** Does our signature with this secret stand in the header? */
static enum webhook_reason check_secret(const struct webhook *webhook, const struct webhook_request *request,
                                        const struct sent *sent, const struct secret *secret)
{
    struct piece pieces[PIECES_MAX];
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char text[SIGNATURE_TEXT_BYTES];
    unsigned length = 0;
    size_t count = pieces_of(webhook, request, sent, secret, pieces);
    bool is_signed = webhook->scheme.proof == PROOF_HMAC
                         ? sign(webhook, secret, pieces, count, bytes, &length)
                         : hash(webhook->digest, pieces, count, bytes, &length);
    if (!is_signed) {
        return WEBHOOK_NO_MEMORY;
    }
    print_signature(&webhook->scheme, bytes, length, text);
    bool is_found = is_among(&webhook->scheme, text, sent->signature);
    OPENSSL_cleanse(bytes, sizeof bytes); /* ours would do for whoever reads this memory */
    OPENSSL_cleanse(text, sizeof text);
    return is_found ? WEBHOOK_GENUINE : WEBHOOK_WRONG_SIGNATURE;
}

/** Tokens are compared by their hashes: neither their length nor a shared beginning shows. */
static enum webhook_reason check_token(const struct webhook *webhook, const struct secret *secret,
                                       const char *token)
{
    unsigned char sent[EVP_MAX_MD_SIZE], known[EVP_MAX_MD_SIZE];
    const struct piece pieces[] = {text_piece(token), {secret->bytes, secret->length}};
    unsigned length = 0;
    if (!hash(webhook->sha256, &pieces[0], 1, sent, &length) ||
        !hash(webhook->sha256, &pieces[1], 1, known, &length)) {
        return WEBHOOK_NO_MEMORY;
    }
    bool is_same = CRYPTO_memcmp(sent, known, length) == 0;
    OPENSSL_cleanse(known, sizeof known);
    return is_same ? WEBHOOK_GENUINE : WEBHOOK_WRONG_SIGNATURE;
}

/** token: of the sender; NULL: the header's signature is to be checked instead. */
static enum webhook_reason check_secrets(const struct webhook *webhook, const struct webhook_request *request,
                                         const struct sent *sent, const char *token)
{
    enum webhook_reason reason = webhook->secret_count > 0 ? WEBHOOK_WRONG_SIGNATURE : WEBHOOK_NO_SECRET;
    for (size_t i = 0; i < webhook->secret_count; i++) {
        const struct secret *secret = &webhook->secrets[i];
        enum webhook_reason each =
            token ? check_token(webhook, secret, token) : check_secret(webhook, request, sent, secret);
        if (each == WEBHOOK_GENUINE || (each == WEBHOOK_NO_MEMORY && reason != WEBHOOK_GENUINE)) {
            reason = each;
        }
    }
    return reason;
}

/** The token of a header that has the form "Bearer ...", if it is the one for that; NULL when it has not. */
static const char *token_of(const struct webhook_scheme *scheme, const char *header)
{
    static const char bearer[] = "bearer ";
    if (strcmp(scheme->signature_header, "authorization") != 0) {
        return header;
    }
    if (strncasecmp(header, bearer, sizeof bearer - 1) != 0) {
        return NULL;
    }
    header += sizeof bearer - 1;
    return header + strspn(header, " ");
}

/* ---- bodies that must be read for it ---- */

static json_t *read_body(const struct webhook_request *request)
{
    if (json_is_deeper(request->body, request->body_length, BODY_DEPTH_MAX)) {
        return NULL;
    }
    return json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, NULL);
}

static enum webhook_reason check_passcode(const struct webhook *webhook,
                                          const struct webhook_request *request)
{
    json_auto_t *body = read_body(request);
    const char *passcode = json_string_value(json_object_get(body, "passcode"));
    return passcode ? check_secrets(webhook, request, NULL, passcode) : WEBHOOK_MALFORMED_PROOF;
}

static enum webhook_reason check_jwt(const struct webhook *webhook, const struct webhook_request *request,
                                     const struct sent *sent, int64_t now_ms,
                                     struct webhook_verdict *out_verdict)
{
    const struct webhook_jwt_check check = {
        .keys = webhook->keys,
        .key_count = webhook->secret_count,
        .url = webhook->url,
        .body = request->body,
        .body_length = request->body_length,
        .now_ms = now_ms,
    };
    const char *token = token_of(&webhook->scheme, sent->signature);
    return token ? webhook_jwt_check(&check, token, out_verdict->key) : WEBHOOK_MALFORMED_PROOF;
}

/* ---- time ---- */

static bool read_time(const char *text, int64_t unit_ms, int64_t *out_ms)
{
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > TIME_DIGITS_MAX || text[length] != '\0') {
        return false;
    }
    *out_ms = (int64_t)strtoull(text, NULL, 10) * unit_ms;
    return true;
}

static bool read_body_time(const struct webhook *webhook, const struct webhook_request *request,
                           int64_t *out_ms)
{
    json_auto_t *body = read_body(request);
    const json_t *time = json_pointer_get(body, webhook->scheme.time_member);
    json_int_t value = json_is_integer(time) ? json_integer_value(time) : -1;
    if (value < 0 || value > 999999999999999) { /* as many digits as in a header */
        return false;
    }
    *out_ms = value * webhook->scheme.time_unit_ms;
    return true;
}

/** What is signed is genuine: is it of now? */
static enum webhook_reason check_time(const struct webhook *webhook, const struct webhook_request *request,
                                      const struct sent *sent, int64_t now_ms,
                                      struct webhook_verdict *out_verdict)
{
    const struct webhook_scheme *scheme = &webhook->scheme;
    int64_t time_ms = 0;
    if (!scheme->time_header && !scheme->time_member) {
        return WEBHOOK_GENUINE;
    }
    bool is_read = scheme->time_header ? read_time(sent->time, scheme->time_unit_ms, &time_ms)
                                       : read_body_time(webhook, request, &time_ms);
    if (!is_read) {
        return WEBHOOK_MALFORMED_TIME;
    }
    out_verdict->has_time = true;
    out_verdict->time_ms = time_ms;
    if (time_ms < now_ms - scheme->window_ms) {
        return WEBHOOK_TOO_OLD;
    }
    return time_ms > now_ms + scheme->window_ms ? WEBHOOK_TOO_NEW : WEBHOOK_GENUINE;
}

/* ---- the check ---- */

/** A header that the proof needs; name NULL: none is needed. */
static enum webhook_reason look_up(const struct webhook_request *request, const char *name, const char **out)
{
    unsigned count = 0;
    if (!name) {
        return WEBHOOK_GENUINE;
    }
    const char *value = request->header(request->context, name, &count);
    if (!value || value[0] == '\0') {
        return WEBHOOK_MISSING_HEADER;
    }
    *out = value;
    return count == 1 ? WEBHOOK_GENUINE : WEBHOOK_REPEATED_HEADER;
}

static enum webhook_reason look_up_all(const struct webhook *webhook, const struct webhook_request *request,
                                       struct sent *out_sent)
{
    const struct webhook_scheme *scheme = &webhook->scheme;
    bool signs_id = scheme->signs && strstr(scheme->signs, "%i");
    enum webhook_reason reason = look_up(request, scheme->signature_header, &out_sent->signature);
    reason = reason == WEBHOOK_GENUINE ? look_up(request, scheme->time_header, &out_sent->time) : reason;
    return reason == WEBHOOK_GENUINE ? look_up(request, signs_id ? scheme->id_header : NULL, &out_sent->id)
                                     : reason;
}

bool webhook_has_proof(const struct webhook *webhook, const struct webhook_request *request)
{
    struct sent sent = {0};
    return look_up_all(webhook, request, &sent) != WEBHOOK_MISSING_HEADER;
}

static enum webhook_reason check_proof(const struct webhook *webhook, const struct webhook_request *request,
                                       const struct sent *sent, int64_t now_ms,
                                       struct webhook_verdict *out_verdict)
{
    switch (webhook->scheme.proof) {
    case PROOF_HMAC:
    case PROOF_HASH:
        return check_secrets(webhook, request, sent, NULL);
    case PROOF_JWT:
        return check_jwt(webhook, request, sent, now_ms, out_verdict);
    case PROOF_PASSCODE:
        return check_passcode(webhook, request);
    case PROOF_TOKEN:
        break;
    }
    const char *token = token_of(&webhook->scheme, sent->signature);
    return token ? check_secrets(webhook, request, sent, token) : WEBHOOK_MALFORMED_PROOF;
}

/** Of all that is signed but the secret: the same delivery signed with another secret has the same key. */
static enum webhook_reason set_key(const struct webhook *webhook, const struct webhook_request *request,
                                   const struct sent *sent, struct webhook_verdict *out_verdict)
{
    struct piece pieces[PIECES_MAX];
    unsigned length = 0;
    out_verdict->has_key = webhook->scheme.proof != PROOF_TOKEN;
    if (!out_verdict->has_key || webhook->scheme.proof == PROOF_JWT) { /* which has set its own */
        return WEBHOOK_GENUINE;
    }
    size_t count = pieces_of(webhook, request, sent, NULL, pieces);
    return hash(webhook->sha256, pieces, count, out_verdict->key, &length) ? WEBHOOK_GENUINE
                                                                           : WEBHOOK_NO_MEMORY;
}

static enum result result_of(enum webhook_reason reason)
{
    switch (reason) {
    case WEBHOOK_GENUINE:
        return RESULT_OK;
    case WEBHOOK_MISSING_HEADER:
    case WEBHOOK_NO_SECRET:
        return RESULT_UNAUTHENTICATED;
    case WEBHOOK_NO_MEMORY:
        return RESULT_NO_MEMORY;
    default:
        return RESULT_FORBIDDEN;
    }
}

enum result webhook_check(const struct webhook *webhook, const struct webhook_request *request,
                          int64_t now_ms, struct webhook_verdict *out_verdict)
{
    struct sent sent = {0};
    *out_verdict = (struct webhook_verdict){0};
    enum webhook_reason reason = look_up_all(webhook, request, &sent);
    if (reason == WEBHOOK_GENUINE) {
        reason = check_proof(webhook, request, &sent, now_ms, out_verdict);
    }
    if (reason == WEBHOOK_GENUINE) {
        reason = check_time(webhook, request, &sent, now_ms, out_verdict);
    }
    if (reason == WEBHOOK_GENUINE) {
        reason = set_key(webhook, request, &sent, out_verdict);
    }
    out_verdict->reason = reason;
    return result_of(reason);
}

bool webhook_has_secret(const struct webhook *webhook)
{
    return webhook->secret_count > 0;
}

const struct webhook_scheme *webhook_scheme(const struct webhook *webhook)
{
    return &webhook->scheme;
}

enum webhook_provider webhook_provider(const struct webhook *webhook)
{
    return webhook->provider;
}

/* ---- Asana's handshake ---- */

const char *webhook_offered_secret(const struct webhook *webhook, const struct webhook_request *request)
{
    unsigned count = 0;
    if (webhook->provider != WEBHOOK_ASANA ||
        request->header(request->context, webhook->scheme.signature_header, &count)) {
        return NULL;
    }
    const char *secret = request->header(request->context, "x-hook-secret", &count);
    if (!secret || count != 1) {
        return NULL;
    }
    size_t length = strnlen(secret, OFFERED_MAX_BYTES + 1);
    for (size_t i = 0; i < length; i++) {
        if (secret[i] <= ' ' || secret[i] > '~') {
            return NULL;
        }
    }
    return length >= OFFERED_MIN_BYTES && length <= OFFERED_MAX_BYTES ? secret : NULL;
}
