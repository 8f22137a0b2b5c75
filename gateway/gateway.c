/*
 * Start:  loop, metrics -> hub, pipeline, data path -> listener and its routes -> sources -> accept, once a shared
 *         journal has brought its boards, or START_WAIT_MS have passed: who comes back with a position must
 *         not be told of a board that is still empty.
 * Drain:  not ready, listening socket closed, viewers told when to move -> stragglers closed -> loop stopped.
 * Stop:   sources -> journals (what is outstanding is answered) -> listener (closes what is left) -> transports ->
 *         pipeline -> data path -> hub -> loop.
 *
 * A drain ends when the last viewer has left and the last HTTP request is answered,
 * or at drain.grace_ms. Changes are still taken and delivered while it runs.
 */
#include "gateway.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/access.h"
#include "access/audit.h"
#include "access/revocation_feed.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "data_path.h"
#include "fanout/hub.h"
#include "health.h"
#include "history_reader.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/tls.h"
#include "pipeline.h"
#include "protocol/limits.h"
#include "reload.h"
#include "source_set.h"
#include "supervisor.h"
#include "transports/http_endpoints.h"
#include "transports/sse_transport.h"
#include "transports/static_files.h"
#include "transports/token_sessions.h"
#include "transports/ws_transport.h"
#include "upstream_links.h"

enum {
    START_WAIT_MS = 2000,
    START_LOOK_MS = 5,
    DRAIN_LOOK_MS = 50,       /* how often a drain looks whether everybody has left */
    DRAIN_STRAGGLER_MS = 500, /* after the window, for those whose turn was at its very end */
    HELLO_TIMEOUT_MS = 10000, /* PROTOCOL.md, "WebSocket" */
    NODE_NAME_MAX = 64,
    ADMIN_CONNECTIONS_MAX = 256, /* at listen.admin_port, whatever goes on at the other one */
};

struct gateway {
    struct config *config;
    char node[NODE_NAME_MAX + 1];
    struct loop *loop;
    struct metrics *metrics;
    struct hub *hub;
    struct loop_timer *hub_timer;
    struct pipeline *pipeline;
    struct data_path *data_path;
    struct audit *audit;                 /* NULL: none */
    struct revocation_feed *revocations; /* NULL: nobody is shut out before time */
    struct token_door *tokens;           /* NULL: none */
    struct access *access;
    struct tls *tls;       /* NULL: the port is plain */
    struct tls *admin_tls; /* NULL: plain, or the same */
    struct listener *listener;
    struct listener *admin_listener; /* NULL: all is on the other one */
    struct token_sessions *sessions;
    struct ws_transport *ws;
    struct sse_transport *sse;
    struct http_endpoints *endpoints;
    struct static_files *files;
    struct source_set *sources;
    struct history_reader *history; /* NULL: memory is all there is */
    struct health health;
    struct loop_signal *on_term, *on_int, *on_hup;
    struct loop_timer *door_timer;
    uint64_t started_ms;
    bool has_failed; /* the port could not be bound */
    struct loop_timer *drain_timer;
    uint64_t drain_began_ms;
    bool has_closed_stragglers;
    struct metric *reload_failures;
};

/* Sent with every answer: the page needs nothing from elsewhere and runs no inline script. */
static const char *const extra_headers[] = {
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cross-Origin-Resource-Policy: same-origin",
    NULL,
};

/* ---- the hub's clock ---- */

static void host_wake_at(void *context, uint64_t monotonic_ms)
{
    struct gateway *gateway = context;
    uint64_t now_ms = clock_monotonic_ms();
    loop_update_now(gateway->loop); /* the timer counts from the loop's idea of now */
    loop_timer_arm(gateway->hub_timer, monotonic_ms > now_ms ? monotonic_ms - now_ms : 0);
}

static uint64_t host_now_us(void *context)
{
    (void)context;
    return clock_monotonic_us();
}

static void host_hold_writes(void *context)
{
    const struct gateway *gateway = context;
    ws_transport_hold(gateway->ws);
}

static void host_release_writes(void *context)
{
    const struct gateway *gateway = context;
    ws_transport_release(gateway->ws);
}

static void on_hub_due(void *context)
{
    const struct gateway *gateway = context;
    hub_run(gateway->hub, clock_moment());
}

/* ---- drain ---- */

static uint32_t busy_count(const struct gateway *gateway)
{
    return listener_busy_count(gateway->listener) +
           (gateway->admin_listener ? listener_busy_count(gateway->admin_listener) : 0);
}

static void on_drain_look(void *context)
{
    struct gateway *gateway = context;
    const struct config_drain *drain = &gateway->config->drain;
    uint64_t elapsed_ms = clock_monotonic_ms() - gateway->drain_began_ms;
    if (hub_viewer_count(gateway->hub) == 0 && busy_count(gateway) == 0) {
        log_info("drained", LOG_INT("took_ms", elapsed_ms));
        loop_stop(gateway->loop);
        return;
    }
    if (elapsed_ms >= drain->grace_ms) {
        log_warn("drain grace is over, stopping", LOG_INT("viewers", hub_viewer_count(gateway->hub)),
                 LOG_INT("requests", busy_count(gateway)));
        loop_stop(gateway->loop);
        return;
    }
    if (!gateway->has_closed_stragglers && elapsed_ms >= (uint64_t)drain->window_ms + DRAIN_STRAGGLER_MS) {
        gateway->has_closed_stragglers = true;
        log_info("closing viewers that stayed", LOG_INT("viewers", hub_viewer_count(gateway->hub)));
        hub_close_all(gateway->hub, CLOSE_MOVED);
    }
    loop_timer_arm(gateway->drain_timer, DRAIN_LOOK_MS);
}

static void on_stop_signal(void *context)
{
    struct gateway *gateway = context;
    if (gateway->health.is_draining) {
        log_warn("stopped at once");
        loop_stop(gateway->loop);
        return;
    }
    if (!gateway->health.is_listening) {
        loop_stop(gateway->loop);
        return;
    }
    const struct config_drain *drain = &gateway->config->drain;
    log_info("draining", LOG_INT("viewers", hub_viewer_count(gateway->hub)),
             LOG_INT("window_ms", drain->window_ms));
    gateway->health.is_draining = true;
    gateway->drain_began_ms = clock_monotonic_ms();
    listener_stop_accepting(gateway->listener);
    if (gateway->admin_listener) {
        listener_stop_accepting(gateway->admin_listener);
    }
    hub_drain(gateway->hub, drain->window_ms, drain->moved_url);
    /* Not at once: what was just accepted is not read yet. */
    loop_timer_arm(gateway->drain_timer, DRAIN_LOOK_MS);
}

/* ---- reload ---- */

static void note(const struct gateway *gateway, enum audit_action action, const char *refusal)
{
    audit_note(gateway->audit, &(struct audit_event){.action = action, .refusal = refusal, .by = "signal"});
}

static struct access_keys keys_of(const struct config *config)
{
    return (struct access_keys){
        .viewer = config->viewer.key,
        .ingest = config->ingest.key,
        .admin = config->admin.key,
        .ingest_keys = {.at = config->ingest.keys, .count = config->ingest.key_count},
        .admin_keys = {.at = config->admin.keys, .count = config->admin.key_count},
    };
}

/** Those of the configuration in force, which may have changed. */
static void reload_keys(struct gateway *gateway)
{
    const struct access_keys keys = keys_of(gateway->config);
    if (!access_set_keys(gateway->access, &keys)) {
        log_error("keys refused, the ones before stay"); /* they were checked: memory */
        metric_add(gateway->reload_failures, 1);
    }
}

static void on_reload_signal(void *context)
{
    struct gateway *gateway = context;
    bool is_done = reload_options(gateway->config);
    is_done = (!gateway->audit || audit_reopen(gateway->audit)) && is_done;
    reload_keys(gateway);
    is_done = (!gateway->tls || tls_reload(gateway->tls)) && is_done;
    is_done = (!gateway->admin_tls || tls_reload(gateway->admin_tls)) && is_done;
    is_done = source_set_reload(gateway->sources) && is_done;
    is_done = (!gateway->tokens || token_door_reload(gateway->tokens)) && is_done;
    is_done = (!gateway->revocations || revocation_feed_reload(gateway->revocations)) && is_done;
    if (!reload_definitions(gateway->config, gateway->pipeline) || !is_done) {
        metric_add(gateway->reload_failures, 1);
        is_done = false;
    }
    note(gateway, AUDIT_RELOAD, is_done ? NULL : "invalid");
}

/* ---- opening the door ---- */

/* What the sources say of their own doors is theirs to say. */
static void warn_about_door(const struct gateway *gateway)
{
    if (worker_number() <= 1 && !access_viewer_needs_token(gateway->access) &&
        !listener_is_loopback(gateway->listener)) {
        log_warn(
            "neither viewer key nor tokens are configured: whoever reaches this address may read every board");
    }
}

/** First: who sees the other one listen may use this one. */
static bool open_admin_door(struct gateway *gateway)
{
    if (!gateway->admin_listener) {
        return true;
    }
    if (listener_start(gateway->admin_listener) != RESULT_OK) {
        return false;
    }
    log_info("listening for producers and operators", LOG_TEXT("host", gateway->config->listen.admin_host),
             LOG_INT("port", listener_port(gateway->admin_listener)));
    return true;
}

static void open_door(struct gateway *gateway)
{
    if (!open_admin_door(gateway) || listener_start(gateway->listener) != RESULT_OK) {
        gateway->has_failed = true;
        loop_stop(gateway->loop);
        return;
    }
    gateway->health.is_listening = true;
    note(gateway, AUDIT_START, NULL);
    warn_about_door(gateway);
    log_info(worker_number() == 0 ? "listening" : "worker listening",
             LOG_TEXT("host", gateway->config->listen.host),
             LOG_INT("port", listener_port(gateway->listener)), LOG_TEXT("node", gateway->node),
             LOG_TEXT("version", GATEWAY_VERSION),
             LOG_TEXT("catalog", catalog_hash(pipeline_catalog(gateway->pipeline))));
    worker_say_listening();
}

/* A shared journal that cannot be reached is no reason to stay away: it comes up degraded. */
static void on_door_look(void *context)
{
    struct gateway *gateway = context;
    bool is_ready = pipeline_generation(gateway->pipeline) != 0;
    if (is_ready || clock_monotonic_ms() - gateway->started_ms >= START_WAIT_MS) {
        open_door(gateway);
    } else {
        loop_timer_arm(gateway->door_timer, START_LOOK_MS);
    }
}

/* ---- building ---- */

static bool build_core(struct gateway *gateway, struct catalog *catalog)
{
    const struct config *config = gateway->config;
    const struct moment now = clock_moment();
    const struct hub_options hub_options = {
        .max_viewers = config->listen.max_connections,
        .max_topics = DATA_PATH_MAX_BOARDS,
        .heartbeat_ms = config->fanout.heartbeat_ms,
        .deflate_min_bytes = config->fanout.deflate_min_bytes,
    };
    const struct hub_host host = {
        .context = gateway,
        .wake_at = host_wake_at,
        .now_us = host_now_us,
        .hold_writes = host_hold_writes,
        .release_writes = host_release_writes,
    };
    const struct pipeline_options pipeline_options = {
        .max_boards = DATA_PATH_MAX_BOARDS,
        .max_kpis = DEFINITION_KPIS_MAX,
        .max_fields_per_board = config->limits.fields_per_board,
        .max_tombstones_per_board = config->limits.removed_rows_per_board,
        .max_positions_per_board = config->limits.positions_per_board,
        .max_text_bytes_per_board = BOARD_TEXT_MAX_BYTES,
        .coalesce_ms = config->fanout.flush_ms,
        .audience = {.open_roles = (const char *const *)config->auth.open_roles,
                     .business_roles = (const char *const *)config->auth.business_roles,
                     .personal_roles = (const char *const *)config->auth.personal_roles},
        .now = clock_moment,
    };
    gateway->hub_timer = loop_timer_create(gateway->loop, on_hub_due, gateway);
    gateway->hub = gateway->hub_timer ? hub_create(&hub_options, &host, gateway->metrics, now) : NULL;
    gateway->pipeline =
        gateway->hub ? pipeline_create(&pipeline_options, gateway->hub, gateway->metrics) : NULL;
    if (!gateway->pipeline) {
        return false;
    }
    const struct journal_host journal_host = pipeline_journal_host(gateway->pipeline);
    gateway->data_path = data_path_create(gateway->loop, gateway->metrics, config, &journal_host);
    if (!gateway->data_path) {
        return false;
    }
    gateway->health.upstreams = data_path_upstreams(gateway->data_path);
    pipeline_set_journals(gateway->pipeline, data_path_local_journal(gateway->data_path),
                          data_path_shared_journal(gateway->data_path));
    hub_set_identity(gateway->hub, gateway->node, GATEWAY_VERSION, config->demo.enabled);
    return pipeline_set_catalog(gateway->pipeline, catalog) == RESULT_OK;
}

/** Workers share the supervisor's secret: a session begun with one may be resumed with any. */
static bool build_tls(struct gateway *gateway)
{
    const struct config_tls *config = &gateway->config->tls;
    struct tls_options options = {
        .pair = {.certificate_file = config->certificate_file, .key_file = config->key_file},
        .more = config->certificates,
        .more_count = config->certificate_count,
        .min_version = config->min_version,
        .monotonic_ms = clock_monotonic_ms,
    };
    /* In any case: what is handed over must not stay in an open descriptor. */
    bool has_secret =
        worker_take_secret(&options.secret) || tls_secret_make(&options.secret, clock_monotonic_ms());
    if (config->certificate_file && has_secret) {
        gateway->tls = tls_create(&options, gateway->metrics);
    }
    options.client_ca_file = gateway->config->listen.admin_client_ca_file;
    if (gateway->tls && options.client_ca_file) {
        gateway->admin_tls = tls_create(&options, gateway->metrics);
    }
    explicit_bzero(&options.secret, sizeof options.secret);
    return (!config->certificate_file || gateway->tls) && (!options.client_ca_file || gateway->admin_tls);
}

static bool build_audit(struct gateway *gateway)
{
    const struct config_audit *config = &gateway->config->audit;
    const struct audit_options options = {
        .loop = gateway->loop,
        .file = config->file,
        .syslog = config->syslog,
        .node = gateway->node,
        .mask_key = config->mask_key,
        .is_plain = config->is_plain,
        .lines_per_s = config->lines_per_s,
        .now = clock_moment,
    };
    if (config->file || config->syslog) {
        gateway->audit = audit_create(&options, gateway->metrics);
        return gateway->audit != NULL;
    }
    return true;
}

static void on_revocations(void *context)
{
    const struct gateway *gateway = context;
    token_sessions_judge(gateway->sessions, revocation_feed_list(gateway->revocations));
}

static bool build_revocations(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    const struct revocation_feed_options options = {
        .loop = gateway->loop,
        .metrics = gateway->metrics,
        .file = config->auth.revoked_file,
        .redis = config->auth.revoked_redis ? data_path_redis(gateway->data_path) : NULL,
        .prefix = config->redis.prefix,
        .redis_key = config->auth.revoked_redis,
        .on_change = on_revocations,
        .context = gateway,
    };
    if (!options.file && !options.redis) {
        return true;
    }
    gateway->revocations = revocation_feed_create(&options);
    if (gateway->revocations && options.redis) {
        struct upstreams *upstreams = data_path_upstreams(gateway->data_path);
        upstreams_add_redis_link(upstreams, "revocations", revocation_feed_reader(gateway->revocations));
        upstreams_add_redis_link(upstreams, "revocation-news", revocation_feed_news(gateway->revocations));
    }
    return gateway->revocations != NULL;
}

static bool build_access(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    if (!build_revocations(gateway)) {
        return false;
    }
    const struct token_door_options door_options = {
        .jwk_file = config->auth.jwk_file,
        .jwks_url = config->auth.jwks_url,
        .ca_file = config->auth.jwks_ca_file,
        .refresh_s = config->auth.jwks_refresh_s,
        .loop = gateway->loop,
        .rules = {.issuer = config->auth.issuer,
                  .audience = config->auth.audience,
                  .leeway_s = config->auth.leeway_s,
                  .roles_claim = config->auth.roles_claim},
        .max_cached = config->auth.cached_tokens,
        .revoked = gateway->revocations ? revocation_feed_list(gateway->revocations) : NULL,
    };
    if (door_options.jwk_file || door_options.jwks_url) {
        gateway->tokens = token_door_create(&door_options, gateway->metrics);
        if (!gateway->tokens) {
            return false;
        }
    }
    gateway->health.tokens = gateway->tokens;
    const struct access_options options = {
        .keys = keys_of(config),
        .metrics = gateway->metrics,
        .tokens = gateway->tokens,
        .audit = gateway->audit,
        .cookie = config->auth.cookie,
    };
    gateway->access = access_create(&options);
    return gateway->access != NULL;
}

/** As the other one, but for who comes: few, known, directly, and never from another page. */
static bool build_admin_listener(struct gateway *gateway, const struct listener_options *like)
{
    struct listener_options options = *like;
    options.host = gateway->config->listen.admin_host;
    options.port = gateway->config->listen.admin_port;
    options.is_admin = true;
    options.max_connections = ADMIN_CONNECTIONS_MAX;
    options.other_connections = like->max_connections;
    options.max_connections_per_address = 0;
    options.requests_per_s_per_address = 0;
    options.tls = gateway->admin_tls ? gateway->admin_tls : gateway->tls;
    options.allowed_origins = NULL;
    options.trusted_proxies = NULL;
    options.takes_proxy_protocol = false;
    gateway->admin_listener = listener_create(gateway->loop, gateway->metrics, &options);
    return gateway->admin_listener != NULL;
}

static bool build_listener(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    const struct listener_options options = {
        .host = config->listen.host,
        .port = config->listen.port,
        .backlog = config->listen.backlog,
        .max_connections = config->listen.max_connections,
        .max_connections_per_address = config->listen.max_connections_per_address,
        .requests_per_s_per_address = config->listen.requests_per_s_per_address,
        .accepts_per_s = config->listen.accepts_per_s,
        .send_buffer_bytes = config->fanout.send_buffer_bytes,
        .accepts_deflate = config->fanout.deflate_min_bytes > 0,
        .uses_io_uring = config->fanout.io_uring,
        .ping_after_s = config->listen.ping_after_s,
        .hang_up_after_s = config->listen.hang_up_after_s,
        .request_timeout_s = config->listen.request_timeout_s,
        .tls = gateway->tls,
        .hsts_max_age_s = config->tls.hsts_max_age_s,
        .extra_headers = extra_headers,
        .allowed_origins = (const char *const *)config->listen.allowed_origins,
        .allowed_hosts = (const char *const *)config->listen.allowed_hosts,
        .trusted_proxies = (const char *const *)config->listen.trusted_proxies,
        .forwarded_form = config->listen.forwarded_header,
        .takes_proxy_protocol = config->listen.proxy_protocol,
        .other_connections = config->listen.admin_port != 0 ? ADMIN_CONNECTIONS_MAX : 0,
    };
    gateway->listener = listener_create(gateway->loop, gateway->metrics, &options);
    return gateway->listener && (config->listen.admin_port == 0 || build_admin_listener(gateway, &options));
}

static bool build_transports(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    const struct token_sessions_options sessions_options = {
        .loop = gateway->loop,
        .metrics = gateway->metrics,
        .leeway_s = config->auth.leeway_s,
        .warning_s = config->auth.expiry_warning_s,
        .grace_s = config->auth.expiry_grace_s,
        .max_per_subject = config->auth.max_viewers_per_subject,
        .now = clock_moment,
    };
    gateway->sessions = token_sessions_create(&sessions_options);
    if (!gateway->sessions) {
        return false;
    }
    const struct ws_transport_options ws_options = {
        .loop = gateway->loop,
        .listener = gateway->listener,
        .pipeline = gateway->pipeline,
        .access = gateway->access,
        .metrics = gateway->metrics,
        .sessions = gateway->sessions,
        .hello_timeout_ms = HELLO_TIMEOUT_MS,
    };
    const struct sse_transport_options sse_options = {
        .sessions = gateway->sessions,
        .listener = gateway->listener,
        .pipeline = gateway->pipeline,
        .access = gateway->access,
        .metrics = gateway->metrics,
    };
    const struct history_reader_options history_options = {
        .pipeline = gateway->pipeline,
        .cache = data_path_cache(gateway->data_path),
        .pool = data_path_pool(gateway->data_path),
    };
    if (history_options.cache && history_options.pool) {
        gateway->history = history_reader_create(&history_options);
        if (!gateway->history) {
            return false;
        }
    }
    const struct http_endpoints_options endpoints_options = {
        .listener = gateway->listener,
        .admin_listener = gateway->admin_listener,
        .pipeline = gateway->pipeline,
        .access = gateway->access,
        .metrics = gateway->metrics,
        .health = &gateway->health,
        .history = gateway->history,
        .cache = data_path_cache(gateway->data_path),
        .node = gateway->node,
        .build = GATEWAY_VERSION,
        .is_demo = config->demo.enabled,
        .max_viewers = config->listen.max_connections,
        .heartbeat_ms = config->fanout.heartbeat_ms,
        .now = clock_moment,
    };
    gateway->ws = ws_transport_create(&ws_options);
    gateway->sse = sse_transport_create(&sse_options);
    gateway->endpoints = http_endpoints_create(&endpoints_options);
    return gateway->ws && gateway->sse && gateway->endpoints;
}

/* A gateway without its page still serves viewers and the API. */
static void build_page(struct gateway *gateway, const char *directory)
{
    gateway->files = directory ? static_files_load(directory) : NULL;
    if (gateway->files) {
        static_files_add_routes(gateway->files, gateway->listener);
    } else {
        log_warn("no web page to serve, continuing", LOG_TEXT("dir", directory));
    }
}

static bool build_sources(struct gateway *gateway)
{
    const struct source_set_options options = {
        .config = gateway->config,
        .loop = gateway->loop,
        .listener = gateway->listener,
        .ingest_listener = gateway->admin_listener ? gateway->admin_listener : gateway->listener,
        .pipeline = gateway->pipeline,
        .access = gateway->access,
        .metrics = gateway->metrics,
        .health = &gateway->health,
        .data_path = gateway->data_path,
        .node = gateway->node,
    };
    gateway->sources = source_set_create(&options);
    return gateway->sources != NULL;
}

static bool build_signals(struct gateway *gateway)
{
    gateway->on_term = loop_signal_create(gateway->loop, SIGTERM, on_stop_signal, gateway);
    gateway->on_int = loop_signal_create(gateway->loop, SIGINT, on_stop_signal, gateway);
    gateway->on_hup = loop_signal_create(gateway->loop, SIGHUP, on_reload_signal, gateway);
    gateway->drain_timer = loop_timer_create(gateway->loop, on_drain_look, gateway);
    gateway->door_timer = loop_timer_create(gateway->loop, on_door_look, gateway);
    return gateway->on_term && gateway->on_int && gateway->on_hup && gateway->drain_timer &&
           gateway->door_timer;
}

static void name_node(struct gateway *gateway)
{
    if (gateway->config->node_name) {
        strncpy(gateway->node, gateway->config->node_name, NODE_NAME_MAX);
    } else if (gethostname(gateway->node, NODE_NAME_MAX) != 0) {
        strncpy(gateway->node, "gateway", NODE_NAME_MAX);
    }
}

static bool build(struct gateway *gateway, struct catalog *catalog)
{
    gateway->loop = loop_create();
    gateway->metrics = metrics_create();
    if (!gateway->loop || !gateway->metrics) {
        return false;
    }
    if (worker_number() != 0) { /* one address, several processes: a scraper must tell their counters apart */
        (void)metrics_label_all(gateway->metrics, "node", gateway->node);
    }
    gateway->reload_failures = metrics_counter(gateway->metrics, "gw_reload_failures_total", NULL,
                                               "Reloads that were refused whole.");
    return build_core(gateway, catalog) && build_tls(gateway) && build_audit(gateway) &&
           build_access(gateway) && build_listener(gateway) && build_transports(gateway) &&
           build_sources(gateway) && build_signals(gateway);
}

struct gateway *gateway_create(struct config *config, struct catalog *catalog)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (!gateway) {
        config_finish(config);
        return NULL;
    }
    gateway->config = config;
    name_node(gateway);
    if (!build(gateway, catalog)) {
        log_error("gateway could not be built");
        gateway_destroy(gateway);
        return NULL;
    }
    build_page(gateway, config->web_dir);
    return gateway;
}

/* ---- running ---- */

bool gateway_run(struct gateway *gateway)
{
    if (!source_set_start(gateway->sources)) {
        return false;
    }
    gateway->started_ms = clock_monotonic_ms();
    loop_timer_arm(gateway->door_timer, 0);
    loop_run(gateway->loop);
    log_info("stopping");
    note(gateway, AUDIT_STOP, NULL);
    return !gateway->has_failed;
}

void gateway_destroy(struct gateway *gateway)
{
    if (!gateway) {
        return;
    }
    source_set_stop(gateway->sources);
    if (gateway->data_path) {
        /* What is outstanding is answered while everybody who waits for it is still there. */
        pipeline_set_journals(gateway->pipeline, NULL, NULL);
        data_path_close_journals(gateway->data_path);
    }
    listener_destroy(gateway->listener);
    listener_destroy(gateway->admin_listener);
    source_set_destroy(gateway->sources);
    ws_transport_destroy(gateway->ws);
    sse_transport_destroy(gateway->sse);
    token_sessions_destroy(gateway->sessions);
    http_endpoints_destroy(gateway->endpoints);
    static_files_destroy(gateway->files);
    tls_destroy(gateway->tls);
    tls_destroy(gateway->admin_tls);
    access_destroy(gateway->access);
    token_door_destroy(gateway->tokens);
    revocation_feed_destroy(gateway->revocations);
    pipeline_destroy(gateway->pipeline);
    data_path_destroy(gateway->data_path);
    history_reader_destroy(gateway->history);
    hub_destroy(gateway->hub);
    loop_timer_destroy(gateway->hub_timer);
    loop_timer_destroy(gateway->drain_timer);
    loop_timer_destroy(gateway->door_timer);
    audit_destroy(gateway->audit);
    loop_signal_destroy(gateway->on_term);
    loop_signal_destroy(gateway->on_int);
    loop_signal_destroy(gateway->on_hup);
    if (gateway->loop) {
        loop_destroy(gateway->loop);
    }
    metrics_destroy(gateway->metrics);
    config_finish(gateway->config);
    free(gateway);
}
