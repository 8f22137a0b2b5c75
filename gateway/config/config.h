/**
 * The configuration: defaults, a YAML file, the environment, in that order.
 *
 * Every option is one row of the table in options.c; `--help`, `--print-config`, the example
 * file and docs/configuration.md come from it. Modules receive the part that is theirs, or
 * an options struct made from it, never the whole.
 */
#ifndef SOPHIA_CONFIG_CONFIG_H
#define SOPHIA_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "access/access.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "io/forwarded.h"
#include "io/tls.h"
#include "protocol/bytes.h"
#include "sources/http_ingest.h"
#include "sources/postgres_mapping.h"
#include "sources/redis_mapping.h"
#include "sources/webhooks_mapping.h"

enum journal_kind { JOURNAL_MEMORY, JOURNAL_REDIS };

struct config_listen {
    char *host;    /* IP address */
    uint16_t port; /* 0 = any free port */
    uint32_t max_connections;
    uint32_t max_connections_per_address; /* 0: no limit */
    uint32_t requests_per_s_per_address;  /* 0: no limit */
    uint32_t accepts_per_s;               /* 0: no limit */
    uint32_t backlog;
    char **allowed_origins; /* NULL-terminated; never NULL itself */
    char **allowed_hosts;   /* likewise */
    char **trusted_proxies; /* likewise */
    enum forwarded_form forwarded_header;
    bool proxy_protocol;
    uint32_t ping_after_s;
    uint32_t hang_up_after_s;
    uint32_t request_timeout_s;
    char *admin_host;           /* IP address */
    uint16_t admin_port;        /* 0: what is for producers and operators is on the other port */
    char *admin_client_ca_file; /* NULL: no certificates of clients */
};

struct config_tls {
    char *certificate_file;        /* NULL: the port is plain */
    char *key_file;                /* NULL likewise */
    struct tls_pair *certificates; /* besides; owned with all texts; the count follows the list */
    size_t certificate_count;
    enum tls_version min_version;
    uint32_t hsts_max_age_s; /* 0: not sent */
};

struct config_limits {
    uint32_t fields_per_board;
    uint32_t removed_rows_per_board;
    uint32_t positions_per_board;
};

struct config_demo {
    bool enabled;
    double speed; /* 1 = one business day in ten minutes */
    uint32_t seed;
};

struct config_ingest {
    char *key;                     /* NULL: none. Read from key_file when that was given */
    char *key_file;                /* NULL: none */
    struct access_named_key *keys; /* owned with all texts; the count follows the list */
    size_t key_count;
    uint32_t max_outstanding;
    struct ingest_mapping *mappings; /* owned with all texts; NULL when there are none */
    size_t mapping_count;
};

struct config_webhooks {
    struct webhooks_hook *hooks; /* owned with all texts and lists; the count follows the list */
    size_t hook_count;
    uint32_t body_max_bytes;
    uint32_t rate_per_s;
};

struct config_viewer {
    char *key;
    char *key_file;
};

struct config_auth {
    char *jwk_file;     /* NULL: no tokens, unless there is the next */
    char *jwks_url;     /* NULL: none */
    char *jwks_ca_file; /* NULL: those of the system */
    char *issuer;       /* NULL: any, as is the next */
    char *audience;
    char *cookie; /* NULL: none, as are the next two */
    char *revoked_file;
    char *revoked_redis; /* key, behind redis.prefix */
    uint32_t jwks_refresh_s;
    char *roles_claim;
    char **open_roles; /* each ends with NULL */
    char **business_roles;
    char **personal_roles;
    uint32_t leeway_s;
    uint32_t expiry_warning_s;
    uint32_t expiry_grace_s;
    uint32_t max_viewers_per_subject; /* 0: no limit */
    uint32_t cached_tokens;
};

struct config_admin {
    char *key; /* NULL: none; without any, what needs one is refused */
    char *key_file;
    struct access_named_key *keys; /* as those of config_ingest */
    size_t key_count;
};

struct config_audit {
    char *file;     /* NULL: none */
    char *syslog;   /* Unix socket; NULL: none */
    bool is_plain;  /* of people: subjects and addresses as they are */
    char *mask_key; /* secret; NULL: one that lasts as long as the process */
    char *mask_key_file;
    uint32_t lines_per_s;
};

struct config_postgres {
    char *url;      /* secret; NULL: PostgreSQL is not in use. Read from url_file when that was given */
    char *url_file; /* NULL: none */
    uint32_t pool_size;
    uint32_t statement_timeout_ms;
    uint32_t poll_min_ms;
    uint32_t poll_max_ms;
    char *state_table;                      /* "schema.table", safe to put into SQL */
    bool rollups;                           /* read the queries of KPI definitions */
    struct postgres_mapping *notifications; /* owned with all texts; the count follows the list */
    size_t notification_count;
};

struct config_redis {
    char *host; /* NULL unless that is the way to the server */
    uint16_t port;
    char *unix_path; /* NULL likewise */
    char *username;  /* NULL: none */
    char *password;  /* secret; NULL: none */
    char *password_file;
    uint32_t database;
    char **sentinels; /* "host:port", NULL-terminated; never NULL itself */
    char *sentinel_master;
    char *sentinel_password; /* secret; NULL: none */
    char *sentinel_password_file;
    char *prefix;                   /* of every key and channel */
    struct redis_mapping *channels; /* owned with all texts; the count follows the list */
    size_t channel_count;
    struct redis_mapping *streams; /* likewise */
    size_t stream_count;
};

struct config_cache {
    bool enabled;
    uint32_t l1_bytes;
    uint32_t max_value_bytes;
    uint32_t load_timeout_ms;
};

struct config_breaker {
    uint32_t failures;
    uint32_t open_s;
    uint32_t probe_ms;
};

struct config_fanout {
    uint32_t flush_ms;
    uint32_t heartbeat_ms;
    uint32_t send_buffer_bytes;
    uint32_t deflate_min_bytes;
    bool io_uring;
};

struct config_drain {
    uint32_t window_ms;
    uint32_t grace_ms;
    char *moved_url; /* NULL: viewers come back to where they were */
};

struct config_process {
    bool is_confined;
    bool may_dump_core;
};

struct config_log {
    enum log_level level;
    enum log_format format;
};

struct config {
    struct config_listen listen;
    struct config_tls tls;
    struct config_limits limits;
    char *definitions_dir; /* NULL: beside the binary, or where it was installed */
    char *web_dir;         /* NULL: likewise */
    struct config_demo demo;
    struct config_ingest ingest;
    struct config_webhooks webhooks;
    struct config_viewer viewer;
    struct config_auth auth;
    struct config_admin admin;
    struct config_audit audit;
    struct config_postgres postgres;
    struct config_redis redis;
    struct config_cache cache;
    struct config_breaker breaker;
    struct config_fanout fanout;
    struct config_drain drain;
    struct config_log log;
    char *node_name; /* NULL: the host's name */
    enum journal_kind journal_kind;
    struct config_process process;
    uint32_t workers; /* processes; above 1 the first one supervises */
    char *file;       /* the file that was read, or NULL */
};

/** What a person should know, one finding per line: "sophia.yaml:3:9: listen.port: 70000 is out of range 0..65535". */
struct config_report {
    struct bytes text; /* reasons not to start */
    size_t count;
    struct bytes warnings; /* the rest */
    size_t warning_count;
};
void config_report_init(struct config_report *report);
void config_report_finish(struct config_report *report);

/**
 * Read and check everything. All findings are told, not only the first.
 *
 * path: the YAML file, or NULL for none; relative paths in it are relative to its directory.
 * environment: as `environ`. SOPHIA_LISTEN_PORT sets listen.port. A SOPHIA_ variable that is no
 *         option is a finding, except SOPHIA_GATEWAY and what begins with SOPHIA_GATEWAY_.
 * Errors: NULL with at least one finding.
 */
struct config *config_load(const char *path, char *const *environment, struct config_report *report);
/** NULL is allowed. Secrets are wiped. */
void config_finish(struct config *config);

/** Is Redis, is PostgreSQL configured? */
bool config_uses_redis(const struct config *config);
bool config_uses_postgres(const struct config *config);

/**
 * Does the catalogue hold the fields of ingest.mappings, webhooks.hooks, postgres.notifications, redis.channels and
 * redis.streams? False with findings when not.
 */
bool config_check_mappings(const struct config *config, const struct catalog *catalog,
                           struct config_report *report);

/**
 * At a reload: take over the reloadable options that differ; a difference in any other option
 * becomes a warning that it needs a restart.
 */
void config_reload(struct config *running, struct config *fresh, struct config_report *report);

/** The values in force as YAML that config_load() reads; secrets are "***". False when out could not be written. */
bool config_print(const struct config *config, FILE *out);
/** The file deploy/sophia-gateway.yaml: every option commented out with its default. */
bool config_print_example(FILE *out);
/** One line per option: for --help. */
bool config_print_help(FILE *out);
/** The table of docs/configuration.md. */
bool config_print_table(FILE *out);

#endif
