/*
 * The option table: every option exists once, here. A secret is followed by the option that names its file.
 */
#include "config/options.h"

#include <string.h>

#include "access/jwt.h"
#include "io/http_fetch.h"
#include "protocol/limits.h"
#include "sources/webhooks_mapping.h"

static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"json", "text", NULL};
static const char *const version_words[] = {"1.2", "1.3", NULL};
static const char *const forwarded_words[] =
    {[FORWARDED_X] = "x-forwarded-for", [FORWARDED_RFC7239] = "forwarded", NULL};
static const char *const journal_words[] = {"memory", "redis", NULL};

/* ---- the table ---- */

#define AT(member) offsetof(struct config, member)

const struct option config_options[OPTION_COUNT] = {
    {"listen.host", OPTION_TEXT, AT(listen.host), "127.0.0.1", 0, 64, NULL, false,
     "IP address to listen on; 0.0.0.0 or :: for all."},
    {"listen.port", OPTION_PORT, AT(listen.port), "8080", 0, 65535, NULL, false,
     "TCP port for pages, viewers and producers; 0 takes any free one."},
    {"listen.max_connections", OPTION_INTEGER, AT(listen.max_connections), "10000", 1, 1000000, NULL, false,
     "Connections of any kind at one time; one more is turned away."},
    {"listen.max_connections_per_address", OPTION_INTEGER, AT(listen.max_connections_per_address), "0", 0,
     1000000, NULL, false,
     "The same for one IPv4 address or one IPv6 /64; 0 is no limit, as behind a proxy, where all have its address."},
    {"listen.requests_per_s_per_address", OPTION_INTEGER, AT(listen.requests_per_s_per_address), "0", 0,
     100000, NULL, false,
     "New connections and requests a second from one IPv4 address or IPv6 /64, four times that at once, 16 KiB of a body counting as one "
     "more; beyond it 429 and Retry-After. 0 is no limit."},
    {"listen.accepts_per_s", OPTION_INTEGER, AT(listen.accepts_per_s), "5000", 0, 1000000, NULL, false,
     "New connections a second, a tenth of that at once; more wait in the backlog. 0 is no limit."},
    {"listen.backlog", OPTION_INTEGER, AT(listen.backlog), "4096", 1, 65535, NULL, false,
     "New connections the kernel keeps waiting; it allows net.core.somaxconn, and lets clients try again beyond it."},
    {"listen.allowed_origins", OPTION_LIST, AT(listen.allowed_origins), NULL, 0, 0, NULL, false,
     "Web origins besides our own whose pages may connect and read, such as https://intranet.example; \"*\" for any."},
    {"listen.allowed_hosts", OPTION_LIST, AT(listen.allowed_hosts), NULL, 0, 0, NULL, false,
     "Names we are reached by, such as dashboards.example or dashboards.example:8443; localhost and addresses always are. "
     "Empty: any name, but none on a loopback address; \"*\" for any."},
    {"listen.trusted_proxies", OPTION_LIST, AT(listen.trusted_proxies), NULL, 0, 0, NULL, false,
     "Networks and addresses of proxies, such as 10.0.0.0/8, that are believed when they name the client they serve."},
    {"listen.forwarded_header", OPTION_WORD, AT(listen.forwarded_header), "x-forwarded-for", 0, 0,
     forwarded_words, false,
     "Header in which they do: x-forwarded-for, or forwarded (RFC 7239). Only the one that your proxy writes itself."},
    {"listen.proxy_protocol", OPTION_BOOL, AT(listen.proxy_protocol), "false", 0, 0, NULL, false,
     "Connections come from listen.trusted_proxies only, and begin with a header of the PROXY protocol, version 1 or 2."},
    {"listen.ping_after_s", OPTION_INTEGER, AT(listen.ping_after_s), "25", 1, 3600, NULL, false,
     "A viewer that was silent for this long is pinged."},
    {"listen.hang_up_after_s", OPTION_INTEGER, AT(listen.hang_up_after_s), "75", 2, 7200, NULL, false,
     "A viewer that was silent for this long, pings included, is gone."},
    {"listen.request_timeout_s", OPTION_INTEGER, AT(listen.request_timeout_s), "10", 1, 600, NULL, false,
     "An HTTP request must be complete within this time."},
    {"listen.admin_port", OPTION_PORT, AT(listen.admin_port), "0", 0, 65535, NULL, false,
     "TCP port of its own for producers and operators: ingest, clearing the cache, metrics and detailed health are then only there; 0 is none."},
    {"listen.admin_host", OPTION_TEXT, AT(listen.admin_host), "127.0.0.1", 0, 64, NULL, false,
     "IP address for listen.admin_port."},
    {"listen.admin_client_ca_file", OPTION_PATH, AT(listen.admin_client_ca_file), NULL, 0, TEXT_MAX_BYTES,
     NULL, false,
     "PEM file: at listen.admin_port clients must show a certificate that leads to one of these; it needs TLS."},
    {"tls.certificate_file", OPTION_PATH, AT(tls.certificate_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "PEM file: our certificate, then those that lead to its root; with tls.key_file the port speaks TLS, and nothing else. "
     "Read again when they change, and at SIGHUP."},
    {"tls.key_file", OPTION_PATH, AT(tls.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "PEM file: the key of the certificate, without a passphrase."},
    {"tls.certificates", OPTION_ENTRIES, AT(tls.certificates), NULL, 0, 0, NULL, false,
     "More certificates, each with its key, for clients that ask for a name that one of these has (SNI)."},
    {"tls.min_version", OPTION_WORD, AT(tls.min_version), "1.2", 0, 0, version_words, false,
     "Oldest TLS version to speak: 1.2 or 1.3."},
    {"tls.hsts_max_age_s", OPTION_INTEGER, AT(tls.hsts_max_age_s), "0", 0, 63072000, NULL, false,
     "How long browsers are to use TLS only for this host, on every port; they cannot be told otherwise before. 0 tells them nothing."},
    {"limits.fields_per_board", OPTION_INTEGER, AT(limits.fields_per_board), "10000", 16, 1000000, NULL,
     false, "KPIs and rows one board can hold; a change that would add one more is refused."},
    {"limits.removed_rows_per_board", OPTION_INTEGER, AT(limits.removed_rows_per_board), "1000", 1, 1000000,
     NULL, false,
     "Removed rows a board remembers for viewers that lag behind; a viewer further behind gets a snapshot."},
    {"limits.positions_per_board", OPTION_INTEGER, AT(limits.positions_per_board), "4096", 16, 1000000, NULL,
     false,
     "Past positions a board recognises when a viewer comes back; an older one is answered with a snapshot."},
    {"definitions.dir", OPTION_PATH, AT(definitions_dir), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Directory of the KPI and board definitions; unset: the ones that came with the program."},
    {"web.dir", OPTION_PATH, AT(web_dir), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Directory of the web page; unset: the one that came with the program."},
    {"demo.enabled", OPTION_BOOL, AT(demo.enabled), "false", 0, 0, NULL, false,
     "Invent values, marked as such on every page and in every frame."},
    {"demo.speed", OPTION_REAL, AT(demo.speed), "1", 0.01, 1000, NULL, false,
     "How fast the invented day passes; 1 is one business day in ten minutes."},
    {"demo.seed", OPTION_INTEGER, AT(demo.seed), "1", 0, 4294967295.0, NULL, false,
     "Where the invented values start; the same number gives the same day."},
    {"ingest.key", OPTION_SECRET, AT(ingest.key), NULL, 1, TOKEN_MAX_BYTES, NULL, true,
     "Key that producers send as a bearer token; unset: producers need none but must come from this machine."},
    {"ingest.key_file", OPTION_PATH, AT(ingest.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, true,
     "File that holds ingest.key."},
    {"ingest.keys", OPTION_ENTRIES, AT(ingest.keys), NULL, 0, 0, NULL, true,
     "More keys of producers, each with a name, by which its uses are counted, and the SHA-256 of the key."},
    {"ingest.max_outstanding", OPTION_INTEGER, AT(ingest.max_outstanding), "256", 1, 65536, NULL, false,
     "Ingest requests being worked on at one time; one more is answered with 503."},
    {"ingest.mappings", OPTION_MAPPINGS, AT(ingest.mappings), NULL, 0, 0, NULL, false,
     "For bodies of the form {source_name, data}: per source, which member of data becomes which field."},
    {"webhooks.hooks", OPTION_ENTRIES, AT(webhooks.hooks), NULL, 0, 0, NULL, false,
     "Webhooks to take at /hooks/NAME: who sends them, the files of the secrets, and which values become which fields."},
    {"webhooks.body_max_bytes", OPTION_INTEGER, AT(webhooks.body_max_bytes), "1048576", 1024, 26214400, NULL,
     false, "A larger webhook is answered with 413 before it is read."},
    {"webhooks.rate_per_s", OPTION_INTEGER, AT(webhooks.rate_per_s), "20", 1, WEBHOOKS_RATE_MAX_PER_S, NULL,
     false,
     "Genuine webhooks a second, of each hook; more are answered with 429, and as many at once are allowed."},
    {"viewer.key", OPTION_SECRET, AT(viewer.key), NULL, 1, TOKEN_MAX_BYTES, NULL, true,
     "Key that viewers send; unset: whoever reaches the port may watch."},
    {"viewer.key_file", OPTION_PATH, AT(viewer.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, true,
     "File that holds viewer.key."},
    {"auth.jwk_file", OPTION_PATH, AT(auth.jwk_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "JSON file with the keys (a JWK set) that viewers' signed tokens (JWT) are checked with, besides viewer.key; SIGHUP reads it again. Unset: no tokens."},
    {"auth.jwks_url", OPTION_TEXT, AT(auth.jwks_url), NULL, 0, HTTP_FETCH_URL_MAX_BYTES, NULL, false,
     "In place of auth.jwk_file: where the issuer serves its keys (JWKS); https, or http on this machine. Fetched again and again."},
    {"auth.jwks_ca_file", OPTION_PATH, AT(auth.jwks_ca_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "PEM file with the certificates to trust at auth.jwks_url; unset: those of the system."},
    {"auth.jwks_refresh_s", OPTION_INTEGER, AT(auth.jwks_refresh_s), "300", 10, 86400, NULL, false,
     "How often the keys at auth.jwks_url are fetched; a token with an unknown key has them fetched at once, every 10 s at the most."},
    {"auth.issuer", OPTION_TEXT, AT(auth.issuer), NULL, 0, 255, NULL, false,
     "Whose tokens are good: their iss; unset: anybody's that are signed with one of the keys."},
    {"auth.audience", OPTION_TEXT, AT(auth.audience), NULL, 0, 255, NULL, false,
     "Whom tokens must be made for: in their aud; unset: whomever, other services of the issuer included."},
    {"auth.leeway_s", OPTION_INTEGER, AT(auth.leeway_s), "30", 0, JWT_LEEWAY_MAX_S, NULL, false,
     "How far the issuer's clock and ours may differ."},
    {"auth.expiry_warning_s", OPTION_INTEGER, AT(auth.expiry_warning_s), "60", 1, 3600, NULL, false,
     "How long before its token ends a connected viewer is told, so that it can show another."},
    {"auth.expiry_grace_s", OPTION_INTEGER, AT(auth.expiry_grace_s), "30", 0, 3600, NULL, false,
     "How long after its token has ended a connected viewer that showed no other is closed."},
    {"auth.max_viewers_per_subject", OPTION_INTEGER, AT(auth.max_viewers_per_subject), "0", 0, 1000000, NULL,
     false,
     "Viewers connected at one time with tokens of one subject, to one process; one more is closed with 4300. 0 is no limit."},
    {"auth.cached_tokens", OPTION_INTEGER, AT(auth.cached_tokens), "10000", 0, 1000000, NULL, false,
     "Good tokens to remember until they end, so that who comes back costs no signature check; 0 remembers none."},
    {"auth.cookie", OPTION_TEXT, AT(auth.cookie), NULL, 0, 64, NULL, false,
     "Cookie that may hold the token of event streams and other HTTP requests, which else comes in Authorization; unset: none."},
    {"auth.revoked_file", OPTION_PATH, AT(auth.revoked_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File of tokens and subjects that are shut out before their time: lines \"jti:...\" and \"sub:...\"; read again when it changes. Unset: none."},
    {"auth.revoked_redis", OPTION_TEXT, AT(auth.revoked_redis), NULL, 0, 64, NULL, false,
     "Set in Redis, behind redis.prefix, that holds such lines, and channel of the same name for news of them; unset: none."},
    {"admin.key", OPTION_SECRET, AT(admin.key), NULL, 1, TOKEN_MAX_BYTES, NULL, true,
     "Key for operators, such as those who clear the cache; unset: what needs it is refused."},
    {"admin.key_file", OPTION_PATH, AT(admin.key_file), NULL, 0, TEXT_MAX_BYTES, NULL, true,
     "File that holds admin.key."},
    {"admin.keys", OPTION_ENTRIES, AT(admin.keys), NULL, 0, 0, NULL, true,
     "More keys of operators, each with a name, by which its uses are counted, and the SHA-256 of the key."},
    {"audit.file", OPTION_PATH, AT(audit.file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File to append to who came in, what they asked for, and whether they got it; SIGHUP opens it anew. Unset: none."},
    {"audit.syslog", OPTION_PATH, AT(audit.syslog), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Unix socket of the syslog to send the same to, such as /dev/log; unset: none."},
    {"audit.plain", OPTION_BOOL, AT(audit.is_plain), "false", 0, 0, NULL, false,
     "Write the subjects of tokens and the addresses of those who are let in as they are, instead of masked."},
    {"audit.mask_key", OPTION_SECRET, AT(audit.mask_key), NULL, 1, TEXT_MAX_BYTES, NULL, false,
     "Key that subjects are masked with, so that who has it can look somebody up; unset: one that is forgotten when the process ends."},
    {"audit.mask_key_file", OPTION_PATH, AT(audit.mask_key_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File that holds audit.mask_key."},
    {"audit.lines_per_s", OPTION_INTEGER, AT(audit.lines_per_s), "100", 1, 100000, NULL, false,
     "Lines a second of each kind, granted, refused and done by operators, and as many at once; how many more there were is a line too."},
    {"postgres.url", OPTION_SECRET, AT(postgres.url), NULL, 1, TEXT_MAX_BYTES, NULL, false,
     "PostgreSQL server, as postgresql://user:password@host:5432/database; unset: no PostgreSQL."},
    {"postgres.url_file", OPTION_PATH, AT(postgres.url_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File that holds postgres.url."},
    {"postgres.pool_size", OPTION_INTEGER, AT(postgres.pool_size), "4", 1, 64, NULL, false,
     "Connections for queries; two more listen and follow what changes."},
    {"postgres.statement_timeout_ms", OPTION_INTEGER, AT(postgres.statement_timeout_ms), "5000", 100, 600000,
     NULL, false, "A query that takes longer is cancelled and counts as failed."},
    {"postgres.poll_min_ms", OPTION_INTEGER, AT(postgres.poll_min_ms), "5", 5, 60000, NULL, false,
     "How often to look for changed rows while there are any; notifications only make it sooner."},
    {"postgres.poll_max_ms", OPTION_INTEGER, AT(postgres.poll_max_ms), "250", 5, 60000, NULL, false,
     "How often to look for changed rows when nothing changes."},
    {"postgres.state_table", OPTION_TEXT, AT(postgres.state_table), "sophia.kpi_state", 0, 127, NULL, false,
     "Table of KPI values that deploy/sql creates, as schema.table."},
    {"postgres.rollups", OPTION_BOOL, AT(postgres.rollups), "true", 0, 0, NULL, false,
     "Read KPIs whose definition holds a query."},
    {"postgres.notifications", OPTION_ENTRIES, AT(postgres.notifications), NULL, 0, 0, NULL, false,
     "What a NOTIFY of other programs means: per channel and relation, the field and the query that reads it."},
    {"redis.host", OPTION_TEXT, AT(redis.host), NULL, 0, 255, NULL, false,
     "Host of the Redis server; unset, like redis.unix_path and redis.sentinels: no Redis."},
    {"redis.port", OPTION_PORT, AT(redis.port), "6379", 1, 65535, NULL, false, "TCP port of redis.host."},
    {"redis.unix_path", OPTION_PATH, AT(redis.unix_path), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "Unix socket of the Redis server, instead of redis.host."},
    {"redis.username", OPTION_TEXT, AT(redis.username), NULL, 0, 255, NULL, false,
     "User to authenticate as; unset: with the password alone."},
    {"redis.password", OPTION_SECRET, AT(redis.password), NULL, 1, TEXT_MAX_BYTES, NULL, false,
     "Password of the Redis server; unset: no authentication."},
    {"redis.password_file", OPTION_PATH, AT(redis.password_file), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "File that holds redis.password."},
    {"redis.database", OPTION_INTEGER, AT(redis.database), "0", 0, 65535, NULL, false,
     "Number of the database; it must not evict (maxmemory-policy noeviction)."},
    {"redis.sentinels", OPTION_LIST, AT(redis.sentinels), NULL, 0, 0, NULL, false,
     "Sentinels as host:port, instead of redis.host; they name the master."},
    {"redis.sentinel_master", OPTION_TEXT, AT(redis.sentinel_master), NULL, 0, 255, NULL, false,
     "Name of the master that the Sentinels watch."},
    {"redis.sentinel_password", OPTION_SECRET, AT(redis.sentinel_password), NULL, 1, TEXT_MAX_BYTES, NULL,
     false, "Password of the Sentinels; unset: no authentication."},
    {"redis.sentinel_password_file", OPTION_PATH, AT(redis.sentinel_password_file), NULL, 0, TEXT_MAX_BYTES,
     NULL, false, "File that holds redis.sentinel_password."},
    {"redis.prefix", OPTION_TEXT, AT(redis.prefix), "sophia:", 0, 64, NULL, false,
     "Start of every key and channel the gateways share; gateways with different ones do not know each other."},
    {"redis.channels", OPTION_ENTRIES, AT(redis.channels), NULL, 0, 0, NULL, false,
     "Channels and patterns to listen to, and what their messages are; a message nobody hears is lost."},
    {"redis.streams", OPTION_ENTRIES, AT(redis.streams), NULL, 0, 0, NULL, false,
     "Streams to read, and what their entries are; nothing is lost while the stream holds it."},
    {"cache.enabled", OPTION_BOOL, AT(cache.enabled), "true", 0, 0, NULL, false,
     "Keep what was read from PostgreSQL; without it look-ups go there each time, and history is what memory holds."},
    {"cache.l1_bytes", OPTION_INTEGER, AT(cache.l1_bytes), "67108864", 1048576, 4294967295.0, NULL, false,
     "Memory of this process for cached values, keys and bookkeeping included."},
    {"cache.max_value_bytes", OPTION_INTEGER, AT(cache.max_value_bytes), "1048576", 1024, 67108864, NULL,
     false, "A larger value is served but not kept."},
    {"cache.load_timeout_ms", OPTION_INTEGER, AT(cache.load_timeout_ms), "5000", 100, 600000, NULL, false,
     "Whoever waits for a value longer than this gets the stale one, or none."},
    {"breaker.failures", OPTION_INTEGER, AT(breaker.failures), "5", 1, 1000, NULL, false,
     "Failures in a row after which an upstream is left alone for a while."},
    {"breaker.open_s", OPTION_INTEGER, AT(breaker.open_s), "60", 1, 3600, NULL, false,
     "How long it is left alone before one request tries again."},
    {"breaker.probe_ms", OPTION_INTEGER, AT(breaker.probe_ms), "2000", 10, 600000, NULL, false,
     "The one request has failed when it has no answer after this time."},
    {"fanout.flush_ms", OPTION_INTEGER, AT(fanout.flush_ms), "100", 0, 60000, NULL, false,
     "How long changes gather before they are sent, for KPIs that set no coalesce_ms and are not critical."},
    {"fanout.heartbeat_ms", OPTION_INTEGER, AT(fanout.heartbeat_ms), "10000", 100, 600000, NULL, false,
     "How often viewers hear that nothing has changed."},
    {"fanout.send_buffer_bytes", OPTION_INTEGER, AT(fanout.send_buffer_bytes), "65536", 4096, 16777216, NULL,
     false, "Send buffer of each connection in the kernel."},
    {"fanout.deflate_min_bytes", OPTION_INTEGER, AT(fanout.deflate_min_bytes), "512", 0, 16777216, NULL,
     false,
     "Updates and snapshots from this size on are compressed, once for all viewers whose client can; 0 is never."},
    {"fanout.io_uring", OPTION_BOOL, AT(fanout.io_uring), "true", 0, 0, NULL, false,
     "Write to many viewers with one system call, where the kernel allows io_uring; else one call each."},
    {"drain.window_ms", OPTION_INTEGER, AT(drain.window_ms), "5000", 0, 3600000, NULL, false,
     "When stopping, viewers are asked to move at moments spread over this time."},
    {"drain.grace_ms", OPTION_INTEGER, AT(drain.grace_ms), "10000", 0, 3600000, NULL, false,
     "When stopping, the process ends after this time at the latest."},
    {"drain.moved_url", OPTION_TEXT, AT(drain.moved_url), NULL, 0, TEXT_MAX_BYTES, NULL, false,
     "ws: or wss: address that viewers move to; unset: they come back to the same one."},
    {"log.level", OPTION_WORD, AT(log.level), "info", 0, 0, level_words, true,
     "Least important messages to write: debug, info, warn or error."},
    {"log.format", OPTION_WORD, AT(log.format), "json", 0, 0, format_words, true,
     "json for machines, text for a person at a terminal."},
    {"node.name", OPTION_TEXT, AT(node_name), NULL, 0, 64, NULL, false,
     "Name of this gateway for viewers and logs; unset: the name of the host."},
    {"journal.kind", OPTION_WORD, AT(journal_kind), "memory", 0, 0, journal_words, false,
     "What decides the order of changes: memory is this process alone, and forgets when it ends; redis is shared."},
    {"process.confined", OPTION_BOOL, AT(process.is_confined), "true", 0, 0, NULL, false,
     "Give up writing files, starting programs and system calls that no server needs, where the kernel has Landlock and seccomp."},
    {"process.core_dumps", OPTION_BOOL, AT(process.may_dump_core), "false", 0, 0, NULL, false,
     "Let the process be dumped and debugged by its own user; its memory holds keys."},
    {"workers", OPTION_INTEGER, AT(workers), "1", 1, 64, NULL, false,
     "Processes that serve the port together; more than 1 needs journal.kind redis."},
};

size_t option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(config_options[i].name, name) == 0) {
            return i;
        }
    }
    return OPTION_COUNT;
}

const char *option_key(const struct option *option)
{
    const char *dot = strchr(option->name, '.');
    return dot ? dot + 1 : option->name;
}

void option_section(const struct option *option, char out_section[OPTION_NAME_BYTES])
{
    const char *dot = strchr(option->name, '.');
    size_t length = dot ? (size_t)(dot - option->name) : 0;
    memcpy(out_section, option->name, length);
    out_section[length] = '\0';
}

void *option_slot(const struct option *option, struct config *config)
{
    return (char *)config + option->offset;
}
