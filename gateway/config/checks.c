/* What one value says about another, and what is more than a type and a range. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "access/jwk_file.h"
#include "access/revocation_file.h"
#include "access/webhook_secrets.h"
#include "base/clock.h"
#include "base/one_line.h"
#include "config/entries.h"
#include "config/mappings.h"
#include "config/options.h"
#include "io/http_fetch.h"

enum { KEY_SHORT_BYTES = 16 };

#define SET_REDIS "set redis.host, redis.unix_path or redis.sentinels"

bool config_uses_redis(const struct config *config)
{
    const struct config_redis *redis = &config->redis;
    return redis->host || redis->unix_path || (redis->sentinels && redis->sentinels[0]);
}

bool config_uses_postgres(const struct config *config)
{
    return config->postgres.url != NULL;
}

/* ---- this gateway ---- */

static void check_secret(const struct loading *loading, const char *name, const char *secret)
{
    unsigned char digest[ACCESS_KEY_DIGEST_BYTES];
    if (secret && !access_key_digest(secret, digest)) {
        loading_say(loading, loading_origin(loading, name), name,
                    "begins with sha256:, but 64 hexadecimal digits do not follow");
    }
    if (secret && strlen(secret) < KEY_SHORT_BYTES) {
        loading_warn(loading, loading_origin(loading, name), name, "is shorter than %d characters",
                     KEY_SHORT_BYTES);
    }
}

static void check_host(const struct loading *loading, const char *name, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (host && inet_pton(AF_INET, host, address) != 1 && inet_pton(AF_INET6, host, address) != 1) {
        loading_say(loading, loading_origin(loading, name), name,
                    "\"%.64s\" is not an IP address, such as 127.0.0.1, 0.0.0.0 or ::", host);
    }
}

static void check_admin_port(const struct loading *loading)
{
    const struct config_listen *listen = &loading->config->listen;
    const char *ca_file = listen->admin_client_ca_file;
    const char name[] = "listen.admin_client_ca_file";
    char problem[TLS_PROBLEM_BYTES];
    if (listen->admin_port != 0 && listen->admin_port == listen->port) {
        loading_say(loading, loading_origin(loading, "listen.admin_port"), "listen.admin_port",
                    "%u is listen.port: it must be another one", listen->admin_port);
    }
    if (ca_file && (listen->admin_port == 0 || !loading->config->tls.certificate_file)) {
        loading_say(loading, loading_origin(loading, name), name,
                    "needs listen.admin_port and tls.certificate_file");
    } else if (ca_file && !tls_client_ca_check(ca_file, problem)) {
        loading_say(loading, loading_origin(loading, name), name, "%s", problem);
    }
}

static void check_origins(const struct loading *loading)
{
    char **origins = loading->config->listen.allowed_origins;
    for (size_t i = 0; origins && origins[i] != NULL; i++) {
        const char *text = origins[i];
        const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                           : strncmp(text, "http://", 7) == 0 ? text + 7
                                                              : "";
        if (strcmp(text, "*") != 0 && (host[0] == '\0' || strchr(host, '/') || !is_clean_text(host))) {
            loading_say(loading, loading_origin(loading, "listen.allowed_origins"), "listen.allowed_origins",
                        "\"%.128s\" is not an origin, such as https://intranet.example", text);
        }
    }
}

static void check_hosts(const struct loading *loading)
{
    char **hosts = loading->config->listen.allowed_hosts;
    for (size_t i = 0; hosts && hosts[i] != NULL; i++) {
        if (hosts[i][0] == '\0' || strpbrk(hosts[i], "/@ ") || !is_clean_text(hosts[i])) {
            loading_say(loading, loading_origin(loading, "listen.allowed_hosts"), "listen.allowed_hosts",
                        "\"%.128s\" is not a host, such as dashboards.example or dashboards.example:8443",
                        hosts[i]);
        }
    }
}

static void check_proxies(const struct loading *loading)
{
    const struct config_listen *listen = &loading->config->listen;
    const struct origin *origin = loading_origin(loading, "listen.trusted_proxies");
    size_t count = 0;
    struct ip_network network;
    for (; listen->trusted_proxies && listen->trusted_proxies[count]; count++) {
        if (!ip_network_parse(listen->trusted_proxies[count], &network)) {
            loading_say(loading, origin, "listen.trusted_proxies",
                        "\"%.64s\" is not a network, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32",
                        listen->trusted_proxies[count]);
        }
    }
    if (count > TRUSTED_NETWORKS_MAX) {
        loading_say(loading, origin, "listen.trusted_proxies", "has more than %d networks",
                    TRUSTED_NETWORKS_MAX);
    }
    if (listen->proxy_protocol && count == 0) {
        loading_say(loading, loading_origin(loading, "listen.proxy_protocol"), "listen.proxy_protocol",
                    "needs listen.trusted_proxies: who else would be believed?");
    }
}

static void check_moved_url(const struct loading *loading)
{
    const char *url = loading->config->drain.moved_url;
    if (url && strncmp(url, "ws://", 5) != 0 && strncmp(url, "wss://", 6) != 0) {
        loading_say(loading, loading_origin(loading, "drain.moved_url"), "drain.moved_url",
                    "must start with ws:// or wss://");
    }
}

static void check_times(const struct loading *loading)
{
    const struct config *config = loading->config;
    if (config->listen.hang_up_after_s <= config->listen.ping_after_s) {
        loading_say(loading, loading_origin(loading, "listen.hang_up_after_s"), "listen.hang_up_after_s",
                    "%u must be above listen.ping_after_s, which is %u", config->listen.hang_up_after_s,
                    config->listen.ping_after_s);
    }
    if (config->drain.window_ms > config->drain.grace_ms) {
        loading_say(loading, loading_origin(loading, "drain.window_ms"), "drain.window_ms",
                    "%u must not be above drain.grace_ms, which is %u", config->drain.window_ms,
                    config->drain.grace_ms);
    }
}

/* ---- webhooks ---- */

static bool counts_events(const struct webhooks_hook *hook)
{
    for (size_t i = 0; i < hook->field_count; i++) {
        if (!hook->fields[i].pointer) {
            return true;
        }
    }
    return false;
}

static void check_secret_files(const struct loading *loading, const struct origin *origin,
                               const struct webhooks_hook *hook)
{
    struct stat status;
    for (size_t i = 0; hook->secret_files[i]; i++) {
        if (stat(hook->secret_files[i], &status) == 0 && (status.st_mode & S_IROTH) != 0) {
            loading_warn(loading, origin, "webhooks.hooks", "%s can be read by everybody on this machine",
                         hook->secret_files[i]);
        }
    }
}

static void check_hook(const struct loading *loading, const struct webhooks_hook *hook)
{
    const struct origin *origin = loading_origin(loading, "webhooks.hooks");
    const struct webhook_options options = webhooks_options_of(hook);
    char problem[WEBHOOK_PROBLEM_BYTES];
    struct webhook *webhook = webhook_open(&options, (const char *const *)hook->secret_files, problem);
    if (!webhook) {
        loading_say(loading, origin, "webhooks.hooks", "\"%s\": %s", hook->name, problem);
    }
    webhook_destroy(webhook);
    check_secret_files(loading, origin, hook);
    if (counts_events(hook) && loading->config->journal_kind != JOURNAL_MEMORY) {
        loading_say(loading, origin, "webhooks.hooks",
                    "\"%s\": counts are kept by one process alone: they need journal.kind memory",
                    hook->name);
    }
}

/** Those that could not be read have been told of. */
static void check_webhooks(const struct loading *loading)
{
    const struct config_webhooks *webhooks = &loading->config->webhooks;
    for (size_t i = 0; loading->report->count == 0 && i < webhooks->hook_count; i++) {
        check_hook(loading, &webhooks->hooks[i]);
    }
}

/* ---- tokens ---- */

/** RFC 6265 section 4.1.1: a token of HTTP. */
static void check_cookie(const struct loading *loading)
{
    const char *cookie = loading->config->auth.cookie;
    if (cookie &&
        cookie[strspn(cookie, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")] != '\0') {
        loading_say(loading, loading_origin(loading, "auth.cookie"), "auth.cookie",
                    "\"%.64s\" is not letters, digits, _, - and .", cookie);
    }
}

static void check_needs_keys(const struct loading *loading, const char *name, const char *value)
{
    if (value && !loading->config->auth.jwk_file && !loading->config->auth.jwks_url) {
        loading_say(loading, loading_origin(loading, name), name,
                    "needs auth.jwk_file or auth.jwks_url, which are not set");
    }
}

static void check_jwks_url(const struct loading *loading)
{
    const struct config_auth *auth = &loading->config->auth;
    const struct origin *origin = loading_origin(loading, "auth.jwks_url");
    if (auth->jwks_ca_file && !auth->jwks_url) {
        loading_say(loading, loading_origin(loading, "auth.jwks_ca_file"), "auth.jwks_ca_file",
                    "needs auth.jwks_url, which is not set");
    }
    if (auth->jwks_ca_file && access(auth->jwks_ca_file, R_OK) != 0) {
        loading_say(loading, loading_origin(loading, "auth.jwks_ca_file"), "auth.jwks_ca_file",
                    "%s cannot be read: %s", auth->jwks_ca_file, strerror(errno));
    }
    if (auth->jwks_url && auth->jwk_file) {
        loading_say(loading, origin, "auth.jwks_url", "there are auth.jwk_file's keys already: one of them");
    }
    if (auth->jwks_url && !http_fetch_may_use(auth->jwks_url)) {
        loading_say(loading, origin, "auth.jwks_url",
                    "is not an address like https://login.example/keys.json (http on this machine only; "
                    "no user, password or fragment)");
    }
}

/** Whatever the keys come from. */
static void warn_of_audience(const struct loading *loading, const char *name)
{
    if (!loading->config->auth.audience) {
        loading_warn(loading, loading_origin(loading, name), name,
                     "without auth.audience a token made for another service opens this one too");
    }
}

static void check_revocations(const struct loading *loading)
{
    const struct config_auth *auth = &loading->config->auth;
    char problem[REVOCATIONS_PROBLEM_BYTES];
    struct revocation_file file;
    check_needs_keys(loading, "auth.revoked_file", auth->revoked_file);
    check_needs_keys(loading, "auth.revoked_redis", auth->revoked_redis);
    if (auth->revoked_redis && !config_uses_redis(loading->config)) {
        loading_say(loading, loading_origin(loading, "auth.revoked_redis"), "auth.revoked_redis",
                    "needs Redis: " SET_REDIS);
    }
    if (auth->revoked_file) {
        struct revocation_list *list = revocation_file_read(auth->revoked_file, &file, problem);
        if (!list) {
            loading_say(loading, loading_origin(loading, "auth.revoked_file"), "auth.revoked_file", "%s %s",
                        auth->revoked_file, problem);
        }
        revocation_list_destroy(list);
    }
}

static void check_auth(const struct loading *loading)
{
    const struct config_auth *auth = &loading->config->auth;
    const struct origin *origin = loading_origin(loading, "auth.jwk_file");
    check_needs_keys(loading, "auth.issuer", auth->issuer);
    check_needs_keys(loading, "auth.audience", auth->audience);
    check_needs_keys(loading, "auth.cookie", auth->cookie);
    check_cookie(loading);
    check_revocations(loading);
    check_jwks_url(loading);
    if (auth->jwks_url) {
        warn_of_audience(loading, "auth.jwks_url");
    }
    if (!auth->jwk_file) {
        return;
    }
    struct jwk_file file;
    char problem[JWK_PROBLEM_BYTES];
    struct jwk_set *keys = jwk_file_read(auth->jwk_file, JWK_TO_VERIFY, &file, problem);
    if (!keys) {
        loading_say(loading, origin, "auth.jwk_file", "%s %s", auth->jwk_file, problem);
        return;
    }
    jwk_set_destroy(keys);
    if (file.has_secret && file.is_world_readable) {
        loading_warn(loading, origin, "auth.jwk_file",
                     "%s holds a secret and can be read by everybody on this machine", auth->jwk_file);
    }
    warn_of_audience(loading, "auth.jwk_file");
}

/* ---- the audit ---- */

static void check_audit(const struct loading *loading)
{
    const struct config_audit *audit = &loading->config->audit;
    bool is_on = audit->file || audit->syslog;
    if (audit->syslog && strlen(audit->syslog) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        loading_say(loading, loading_origin(loading, "audit.syslog"), "audit.syslog",
                    "is longer than a socket's path can be, %zu bytes",
                    sizeof((struct sockaddr_un *)0)->sun_path - 1);
    }
    if (audit->mask_key && !is_on) {
        loading_say(loading, loading_origin(loading, "audit.mask_key"), "audit.mask_key",
                    "needs audit.file or audit.syslog");
    }
    bool has_tokens = loading->config->auth.jwk_file || loading->config->auth.jwks_url;
    if (is_on && has_tokens && !audit->mask_key && !audit->is_plain) {
        const char *name = audit->file ? "audit.file" : "audit.syslog";
        loading_warn(loading, loading_origin(loading, name), name,
                     "without audit.mask_key nobody can tell who somebody was once the process has ended");
    }
}

/* ---- TLS ---- */

enum { EXPIRY_NEAR_DAYS = 14 };

static void check_validity(const struct loading *loading, const char *name, const char *path,
                           const struct tls_pair_check *pair)
{
    const struct origin *origin = loading_origin(loading, name);
    int64_t now_s = clock_wall_ms() / 1000;
    int64_t days = (pair->expires_s - now_s) / 86400;
    if (pair->begins_s > now_s) {
        loading_warn(loading, origin, name, "%s is not valid yet: clients will refuse it", path);
    } else if (pair->expires_s <= now_s) {
        loading_warn(loading, origin, name, "%s has expired: clients will refuse it", path);
    } else if (days < EXPIRY_NEAR_DAYS) {
        loading_warn(loading, origin, name, "%s expires in %d days", path, (int)days);
    }
}

static void check_key_mode(const struct loading *loading, const char *name, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && (status.st_mode & S_IROTH) != 0) {
        loading_warn(loading, loading_origin(loading, name), name,
                     "%s can be read by everybody on this machine", path);
    }
}

/** Names: of the options to blame for either file. */
static void check_pair(const struct loading *loading, const struct tls_pair *pair,
                       const char *certificate_name, const char *key_name)
{
    struct tls_pair_check check;
    tls_pair_check(pair, &check);
    bool is_key = check.fault == TLS_PAIR_KEY || check.fault == TLS_PAIR_MISMATCH;
    const char *name = is_key ? key_name : certificate_name;
    if (check.fault != TLS_PAIR_OK) {
        loading_say(loading, loading_origin(loading, name), name, "%s", check.problem);
        return;
    }
    check_validity(loading, certificate_name, pair->certificate_file, &check);
    check_key_mode(loading, key_name, pair->key_file);
}

/** Those that could not be read have been told of. */
static void check_more_pairs(const struct loading *loading)
{
    const struct config_tls *tls = &loading->config->tls;
    if (tls->certificate_count > 0 && !tls->certificate_file) {
        loading_say(loading, loading_origin(loading, "tls.certificates"), "tls.certificates",
                    "needs tls.certificate_file, for clients that ask for none of their names");
    }
    for (size_t i = 0; loading->report->count == 0 && i < tls->certificate_count; i++) {
        check_pair(loading, &tls->certificates[i], "tls.certificates", "tls.certificates");
    }
}

static void check_tls(const struct loading *loading)
{
    const struct config_tls *tls = &loading->config->tls;
    if (!tls->certificate_file != !tls->key_file) {
        const char *given = tls->key_file ? "tls.key_file" : "tls.certificate_file";
        loading_say(loading, loading_origin(loading, given), given, "needs %s, which is not set",
                    tls->key_file ? "tls.certificate_file" : "tls.key_file");
    } else if (tls->certificate_file) {
        const struct tls_pair pair = {.certificate_file = tls->certificate_file, .key_file = tls->key_file};
        check_pair(loading, &pair, "tls.certificate_file", "tls.key_file");
    }
    check_more_pairs(loading);
}

/* ---- PostgreSQL ---- */

/** libpq judges the rest when it connects; what it says then may not be printed without care. */
static void check_url(const struct loading *loading)
{
    const char *url = loading->config->postgres.url;
    if (url && strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0 &&
        !strchr(url, '=')) {
        loading_say(loading, loading_origin(loading, "postgres.url"), "postgres.url",
                    "must be like postgresql://user:password@host:5432/database");
    }
}

/** A lower-case SQL name at *at; moves behind it. */
static bool skip_name(const char **at)
{
    const char *start = *at;
    size_t length = strspn(start, "abcdefghijklmnopqrstuvwxyz0123456789_");
    *at += length;
    return length > 0 && length <= 63 && !isdigit((unsigned char)start[0]);
}

/** It becomes part of statements, so it is nothing but names. */
static void check_state_table(const struct loading *loading)
{
    const char *table = loading->config->postgres.state_table;
    const char *at = table;
    if (table && !(skip_name(&at) && *at++ == '.' && skip_name(&at) && *at == '\0')) {
        loading_say(loading, loading_origin(loading, "postgres.state_table"), "postgres.state_table",
                    "\"%.127s\" is not schema.table in lower-case letters, digits and _", table);
    }
}

static void check_postgres(const struct loading *loading)
{
    const struct config_postgres *postgres = &loading->config->postgres;
    check_url(loading);
    check_state_table(loading);
    if (postgres->poll_min_ms > postgres->poll_max_ms) {
        loading_say(loading, loading_origin(loading, "postgres.poll_min_ms"), "postgres.poll_min_ms",
                    "%u must not be above postgres.poll_max_ms, which is %u", postgres->poll_min_ms,
                    postgres->poll_max_ms);
    }
    if (postgres->notification_count > 0 && !config_uses_postgres(loading->config)) {
        loading_say(loading, loading_origin(loading, "postgres.notifications"), "postgres.notifications",
                    "needs PostgreSQL: set postgres.url or postgres.url_file");
    }
}

/* ---- Redis ---- */

/** "host:port" or "[address]:port" */
static bool is_host_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !is_clean_text(text) || strchr(text, ' ')) {
        return false;
    }
    bool is_bracketed = text[0] == '[' && colon[-1] == ']' && colon - text > 2;
    if (!is_bracketed && memchr(text, ':', (size_t)(colon - text))) {
        return false; /* an IPv6 address needs brackets: where would its port begin? */
    }
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits > 0 && digits <= 5 ? strtol(colon + 1, NULL, 10) : 0;
    return colon[1 + digits] == '\0' && port > 0 && port <= 65535;
}

static void check_sentinels(const struct loading *loading)
{
    const struct config_redis *redis = &loading->config->redis;
    char **sentinels = redis->sentinels;
    bool has_sentinels = sentinels && sentinels[0];
    for (size_t i = 0; has_sentinels && sentinels[i]; i++) {
        if (!is_host_and_port(sentinels[i])) {
            loading_say(loading, loading_origin(loading, "redis.sentinels"), "redis.sentinels",
                        "\"%.128s\" is not host:port, such as sentinel-1:26379 or [::1]:26379", sentinels[i]);
        }
    }
    if (has_sentinels && !redis->sentinel_master) {
        loading_say(loading, loading_origin(loading, "redis.sentinels"), "redis.sentinels",
                    "needs redis.sentinel_master, the name of the master they watch");
    }
    if (!has_sentinels && redis->sentinel_master) {
        loading_say(loading, loading_origin(loading, "redis.sentinel_master"), "redis.sentinel_master",
                    "needs redis.sentinels, who can be asked for it");
    }
    if (!has_sentinels && redis->sentinel_password) {
        loading_say(loading, loading_origin(loading, "redis.sentinel_password"), "redis.sentinel_password",
                    "needs redis.sentinels, who would ask for it");
    }
}

static void check_redis_place(const struct loading *loading)
{
    const struct config_redis *redis = &loading->config->redis;
    bool has_sentinels = redis->sentinels && redis->sentinels[0];
    if (redis->host && redis->unix_path) {
        loading_say(loading, loading_origin(loading, "redis.unix_path"), "redis.unix_path",
                    "redis.host is given too; one of the two must go");
    }
    if (has_sentinels && (redis->host || redis->unix_path)) {
        const char *other = redis->host ? "redis.host" : "redis.unix_path";
        loading_say(loading, loading_origin(loading, other), other,
                    "redis.sentinels say where the server is; one of the two must go");
    }
    if (redis->unix_path && strlen(redis->unix_path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        loading_say(loading, loading_origin(loading, "redis.unix_path"), "redis.unix_path",
                    "is longer than a socket's path can be, %zu bytes",
                    sizeof((struct sockaddr_un *)0)->sun_path - 1);
    }
}

static void check_needs_redis(const struct loading *loading)
{
    const struct config *config = loading->config;
    if (config_uses_redis(config)) {
        return;
    }
    if (config->redis.channel_count > 0) {
        loading_say(loading, loading_origin(loading, "redis.channels"), "redis.channels",
                    "needs Redis: " SET_REDIS);
    }
    if (config->redis.stream_count > 0) {
        loading_say(loading, loading_origin(loading, "redis.streams"), "redis.streams",
                    "needs Redis: " SET_REDIS);
    }
    if (config->journal_kind == JOURNAL_REDIS) {
        loading_say(loading, loading_origin(loading, "journal.kind"), "journal.kind",
                    "\"redis\" needs Redis: " SET_REDIS);
    }
}

static void check_redis(const struct loading *loading)
{
    const struct config_redis *redis = &loading->config->redis;
    check_redis_place(loading);
    check_sentinels(loading);
    check_needs_redis(loading);
    if (redis->username && !redis->password) {
        loading_say(loading, loading_origin(loading, "redis.username"), "redis.username",
                    "needs redis.password or redis.password_file");
    }
    if (redis->prefix && strpbrk(redis->prefix, "{}*?[] ")) {
        loading_say(
            loading, loading_origin(loading, "redis.prefix"), "redis.prefix",
            "must not contain braces, brackets, spaces, * or ?, which mean something in keys and patterns");
    }
}

static void check_workers(const struct loading *loading)
{
    const struct config *config = loading->config;
    if (config->workers > 1 && config->journal_kind != JOURNAL_REDIS) {
        loading_say(loading, loading_origin(loading, "workers"), "workers",
                    "%u processes need one order: set journal.kind to redis, or workers to 1",
                    config->workers);
    }
}

void loading_check(const struct loading *loading)
{
    check_host(loading, "listen.host", loading->config->listen.host);
    check_host(loading, "listen.admin_host", loading->config->listen.admin_host);
    check_admin_port(loading);
    check_origins(loading);
    check_hosts(loading);
    check_proxies(loading);
    check_moved_url(loading);
    check_times(loading);
    check_tls(loading);
    check_webhooks(loading);
    check_auth(loading);
    check_audit(loading);
    check_postgres(loading);
    check_redis(loading);
    check_workers(loading);
    check_secret(loading, "ingest.key", loading->config->ingest.key);
    check_secret(loading, "viewer.key", loading->config->viewer.key);
    check_secret(loading, "admin.key", loading->config->admin.key);
    check_secret(loading, "audit.mask_key", loading->config->audit.mask_key);
}

/* ---- the catalogue ---- */

bool config_check_mappings(const struct config *config, const struct catalog *catalog,
                           struct config_report *report)
{
    size_t findings = report->count;
    /* const for those who only read: checking changes nothing */
    const struct loading loading = {
        .report = report, .file = config->file, .config = (struct config *)(uintptr_t)config};
    mappings_check(&loading, catalog);
    entries_check(&loading, catalog);
    return report->count == findings;
}
