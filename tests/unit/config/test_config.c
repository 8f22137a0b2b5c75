/* Where values come from, what is said about wrong ones, and that file, help and documentation are the table's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "../io/tls_client.h"
#include "../support/allocations.h"

static char directory[64];
static const char *no_environment[] = {NULL};

static int make_directory(void **context)
{
    (void)context;
    (void)snprintf(directory, sizeof directory, "/tmp/sophia-config-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **context)
{
    (void)context;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory); /* our own name: no quoting needed */
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(path_of(name), "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

/** config_load() only reads, but takes the type of `environ`. */
static struct config *load(const char *path, const char **environment, struct config_report *report)
{
    return config_load(path, (char *const *)(uintptr_t)environment, report);
}

static struct config *load_text(const char *yaml, const char **environment, struct config_report *report)
{
    config_report_init(report);
    write_file("gateway.yaml", yaml, 0600);
    struct config *config = load(path_of("gateway.yaml"), environment, report);
    bytes_append_byte(&report->text, '\0');
    bytes_append_byte(&report->warnings, '\0');
    return config;
}

static struct config *must_load(const char *yaml, const char **environment)
{
    struct config_report report;
    struct config *config = load_text(yaml, environment, &report);
    if (!config || report.count != 0) {
        fail_msg("refused: %s", report.text.at);
    }
    config_report_finish(&report);
    return config;
}

static void assert_refused(const char *yaml, const char **environment, const char *expected)
{
    struct config_report report;
    struct config *config = load_text(yaml, environment, &report);
    if (config || report.count == 0 || !strstr(report.text.at, expected)) {
        fail_msg("of:\n%s\nexpected: %s\nfound: %s", yaml, expected, report.text.at);
    }
    config_report_finish(&report);
}

static char *printed(bool (*print)(FILE *))
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    assert_non_null(stream);
    assert_true(print(stream));
    assert_int_equal(fclose(stream), 0);
    return text;
}

static char *printed_config(const struct config *config)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    assert_non_null(stream);
    assert_true(config_print(config, stream));
    assert_int_equal(fclose(stream), 0);
    return text;
}

static char *read_source(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, SOURCE_ROOT "/%s", name);
    FILE *file = fopen(path, "re");
    if (!file) {
        fail_msg("%s is missing", path);
    }
    char *text = calloc(1, 262144);
    assert_non_null(text);
    assert_true(fread(text, 1, 262143, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void test_defaults_without_file(void **context)
{
    (void)context;
    struct config_report report;
    config_report_init(&report);
    struct config *config = load(NULL, no_environment, &report);
    assert_non_null(config);
    assert_string_equal(config->listen.host, "127.0.0.1");
    assert_int_equal(config->listen.port, 8080);
    assert_null(config->listen.allowed_origins[0]);
    assert_null(config->definitions_dir);
    assert_null(config->ingest.key);
    assert_false(config->demo.enabled);
    assert_int_equal(config->fanout.heartbeat_ms, 10000);
    assert_int_equal(config->fanout.send_buffer_bytes, 65536);
    assert_int_equal(config->drain.window_ms, 5000);
    assert_int_equal(config->drain.grace_ms, 10000);
    assert_int_equal(config->listen.ping_after_s, 25);
    assert_int_equal(config->listen.hang_up_after_s, 75);
    assert_int_equal(config->log.level, LOG_LEVEL_INFO);
    assert_int_equal(report.warning_count, 0);
    config_finish(config);
    config_finish(NULL);
    config_report_finish(&report);
}

static void test_the_file_sets_every_kind_of_value(void **context)
{
    (void)context;
    struct config *config =
        must_load("listen:\n  port: 9001\n  allowed_origins: [\"https://a.example\", http://b:3000]\n"
                  "demo: {enabled: true, speed: 2.5, seed: 7}\n"
                  "definitions:\n  dir: defs\nweb:\n  dir: /srv/web\n"
                  "log:\n  level: warn\n  format: text\n"
                  "ingest:\n  mappings:\n    hubspot:\n      revenue: exec.revenue_mtd\n"
                  "      deal one: exec.top_deals#D001\n",
                  no_environment);
    assert_int_equal(config->listen.port, 9001);
    assert_string_equal(config->listen.allowed_origins[0], "https://a.example");
    assert_string_equal(config->listen.allowed_origins[1], "http://b:3000");
    assert_null(config->listen.allowed_origins[2]);
    assert_true(config->demo.enabled && config->demo.speed > 2.4 && config->demo.speed < 2.6);
    assert_int_equal(config->demo.seed, 7);
    assert_string_equal(config->definitions_dir, path_of("defs"));
    assert_string_equal(config->web_dir, "/srv/web");
    assert_int_equal(config->log.level, LOG_LEVEL_WARN);
    assert_int_equal(config->log.format, LOG_FORMAT_TEXT);
    assert_int_equal(config->ingest.mapping_count, 1);
    assert_string_equal(config->ingest.mappings[0].source_name, "hubspot");
    assert_int_equal(config->ingest.mappings[0].member_count, 2);
    assert_string_equal(config->ingest.mappings[0].members[1].member, "deal one");
    assert_string_equal(config->ingest.mappings[0].members[1].field, "exec.top_deals#D001");
    config_finish(config);
}

static void test_an_empty_file_is_the_defaults(void **context)
{
    (void)context;
    static const char *const files[] = {"", "# nothing\n", "listen:\n", "viewer:\n  key: null\n",
                                        "---\n...\n"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct config *config = must_load(files[i], no_environment);
        assert_int_equal(config->listen.port, 8080);
        config_finish(config);
    }
}

static void test_the_environment_wins(void **context)
{
    (void)context;
    const char *environment[] = {"PATH=/bin",
                                 "SOPHIA_LISTEN_PORT=9002",
                                 "SOPHIA_DEFINITIONS_DIR=here",
                                 "SOPHIA_GATEWAY=/x",
                                 "SOPHIA_GATEWAY_SERVICE_HOST=10.0.0.1",
                                 "SOPHIA_LISTEN_ALLOWED_ORIGINS=https://a.example, https://b.example",
                                 NULL};
    struct config *config = must_load("listen:\n  port: 9001\n", environment);
    assert_int_equal(config->listen.port, 9002);
    assert_string_equal(config->definitions_dir, "here");
    assert_string_equal(config->listen.allowed_origins[1], "https://b.example");
    config_finish(config);
}

struct refused {
    const char *yaml;
    const char *finding;
};

static void test_findings_name_line_column_and_option(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"listen:\n  port: 70000\n", "gateway.yaml:2:9: listen.port: 70000 is out of range 0..65535"},
        {"listen:\n  prot: 1\n",
         "gateway.yaml:2:3: listen: unknown option \"prot\" (did you mean \"port\"?)"},
        {"listne:\n  port: 1\n", "gateway.yaml:1:1: unknown section \"listne\" (did you mean \"listen\"?)"},
        {"banana: 1\n", "gateway.yaml:1:1: unknown section \"banana\"\n"},
        {"listen:\n  port: eighty\n", "2:9: listen.port: \"eighty\" is not a whole number"},
        {"listen:\n  port: 0x50\n", "listen.port: \"0x50\" is not a whole number"},
        {"listen:\n  port: 80.5\n", "listen.port: \"80.5\" is not a whole number"},
        {"listen:\n  port: -1\n", "listen.port: -1 is out of range"},
        {"listen:\n  port:\n", "listen.port: has no value; without the line it is 8080"},
        {"listen:\n  port: [1]\n", "listen.port: must be a single value, not a list"},
        {"listen:\n  port: 1\n  port: 2\n", "gateway.yaml:3:3: listen.port: is given twice, first in line 2"},
        {"listen: 8080\n", "gateway.yaml:1:9: listen: must be a map of options, not a single value"},
        {"listen:\n  host: localhost\n", "listen.host: \"localhost\" is not an IP address"},
        {"listen:\n  allowed_origins: https://a.example\n", "listen.allowed_origins: must be a list"},
        {"listen:\n  allowed_origins: [a.example]\n", "\"a.example\" is not an origin"},
        {"listen:\n  allowed_origins: [\"https://a.example/page\"]\n", "is not an origin"},
        {"listen:\n  allowed_hosts: [\"https://a.example\"]\n", "is not a host"},
        {"listen:\n  allowed_hosts: [\"a b\"]\n", "is not a host"},
        {"listen:\n  ping_after_s: 80\n",
         "listen.hang_up_after_s: 75 must be above listen.ping_after_s, which is 80"},
        {"drain:\n  window_ms: 20000\n",
         "gateway.yaml:2:14: drain.window_ms: 20000 must not be above drain.grace_ms"},
        {"drain:\n  moved_url: http://x\n", "drain.moved_url: must start with ws:// or wss://"},
        {"demo:\n  enabled: yes\n", "demo.enabled: \"yes\" is neither true nor false"},
        {"demo:\n  speed: inf\n", "demo.speed: \"inf\" is not a number"},
        {"demo:\n  speed: 0\n", "demo.speed: 0 is out of range 0.01..1000"},
        {"log:\n  level: loud\n", "log.level: \"loud\" is not one of: debug, info, warn, error"},
        {"journal:\n  kind: kafka\n", "journal.kind: \"kafka\" is not one of: memory, redis"},
        {"worker: 2\n", "gateway.yaml:1:1: unknown section \"worker\" (did you mean \"workers\"?)"},
        {"workers: 0\n", "gateway.yaml:1:10: workers: 0 is out of range 1..64"},
        {"workers:\n  n: 2\n", "workers: must be a single value, not a map"},
        {"workers: 1\nworkers: 2\n", "gateway.yaml:2:1: workers: is given twice, first in line 1"},
        {"viewer:\n  key: \"***\"\n", "viewer.key: \"***\" is how secrets are printed"},
        {"viewer:\n  key: \"\"\n", "viewer.key: must not be empty"},
        {"viewer:\n  key: \"a\\nb\"\n", "viewer.key: contains control characters"},
        {"viewer:\n  key: \"a\\0b\"\n", "viewer.key: contains control characters"},
        {"viewer:\n  key_file: nowhere\n", "viewer.key_file: "},
        {"ingest:\n  mappings: [a]\n", "ingest.mappings: must be a map of sources, not a list"},
        {"ingest:\n  mappings:\n    crm: x\n", "source \"crm\" must be a map"},
        {"ingest:\n  mappings:\n    crm:\n      a: Revenue\n",
         "gateway.yaml:4:10: ingest.mappings: member \"a\": \"Revenue\" is not a field"},
        {"ingest:\n  mappings:\n    crm:\n      a: x.y#\n", "\"x.y#\" is not a field"},
        {"ingest:\n  mappings:\n    crm:\n      a: x.y\n      a: x.z\n", "member \"a\" is given twice"},
        {"listen:\n\tport: 1\n", "this is not YAML"},
        {"listen: {\n", "gateway.yaml:2:1: this is not YAML"},
        {"- a\n", "gateway.yaml:1:1: must be a map of sections, not a list"},
        {"log:\n  level: info\n---\nlog:\n  level: warn\n", "a second document"},
        {"? [a]\n: b\n", "a key must be a word, not a list"},
        {"&a listen: *a\n", "must be a map of options"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(cases[i].yaml, no_environment, cases[i].finding);
    }
}

#define WITH_REDIS "redis:\n  host: localhost\n  "
#define WITH_POSTGRES "postgres:\n  url: postgresql:///x\n  notifications:\n    "

static void test_findings_about_upstreams_name_the_remedy(void **context)
{
    (void)context;
    static const struct refused cases[] = {
        {"journal:\n  kind: redis\n",
         "gateway.yaml:2:9: journal.kind: \"redis\" needs Redis: set redis.host, redis.unix_path or"},
        {"workers: 2\n",
         "gateway.yaml:1:10: workers: 2 processes need one order: set journal.kind to redis, or workers to 1"},
        {"redis:\n  host: a\n  unix_path: /b\n",
         "gateway.yaml:3:14: redis.unix_path: redis.host is given too"},
        {"redis:\n  host: a\n  sentinels: [\"b:1\"]\n  sentinel_master: m\n",
         "redis.host: redis.sentinels say where the server is"},
        {"redis:\n  unix_path: a\n  sentinels: [\"b:1\"]\n  sentinel_master: m\n",
         "redis.unix_path: redis.sentinels say where the server is"},
        {"redis:\n  sentinels: [\"b:1\"]\n", "redis.sentinels: needs redis.sentinel_master"},
        {"redis:\n  sentinel_master: m\n", "redis.sentinel_master: needs redis.sentinels"},
        {WITH_REDIS "sentinel_password: p\n", "redis.sentinel_password: needs redis.sentinels"},
        {"redis:\n  sentinels: [b]\n  sentinel_master: m\n", "\"b\" is not host:port"},
        {"redis:\n  sentinels: [\"::1:26379\"]\n  sentinel_master: m\n", "\"::1:26379\" is not host:port"},
        {"redis:\n  sentinels: [\"b:70000\"]\n  sentinel_master: m\n", "\"b:70000\" is not host:port"},
        {WITH_REDIS "username: u\n", "redis.username: needs redis.password"},
        {WITH_REDIS "port: 0\n", "redis.port: 0 is out of range 1..65535"},
        {WITH_REDIS "prefix: \"a{b}\"\n", "redis.prefix: must not contain braces"},
        {"redis:\n  unix_path: /0123456789012345678901234567890123456789012345678901234567890123456789"
         "012345678901234567890123456789012345678901\n",
         "redis.unix_path: is longer than a socket's path can be, 107 bytes"},
        {"redis:\n  channels:\n    - channel: a\n", "redis.channels: needs Redis: set redis.host"},
        {"redis:\n  streams:\n    - stream: a\n", "redis.streams: needs Redis: set redis.host"},
        {"postgres:\n  url: localhost\n", "postgres.url: must be like postgresql://"},
        {"postgres:\n  state_table: \"x; drop table y\"\n",
         "postgres.state_table: \"x; drop table y\" is not schema.table"},
        {"postgres:\n  state_table: kpi_state\n", "\"kpi_state\" is not schema.table"},
        {"postgres:\n  poll_min_ms: 300\n",
         "postgres.poll_min_ms: 300 must not be above postgres.poll_max_ms"},
        {"postgres:\n  notifications:\n    - {channel: a, field: x.y}\n",
         "gateway.yaml:3:5: postgres.notifications: needs PostgreSQL: set postgres.url"},
        {WITH_POSTGRES "- {chanel: a, field: x.y}\n",
         "gateway.yaml:4:8: postgres.notifications: entry 1: unknown member \"chanel\" (did you mean \"channel\"?)"},
        {WITH_POSTGRES "- {field: x.y}\n", "postgres.notifications: entry 1: channel: is missing"},
        {WITH_POSTGRES "- {channel: a}\n", "entry 1: field: is missing"},
        {WITH_POSTGRES "- {channel: a, field: X}\n", "entry 1: field: is not a field"},
        {WITH_POSTGRES "- {channel: a, field: x.y, query: select 1}\n", "entry 1: query: must use $1"},
        {WITH_POSTGRES "- {channel: a, field: x.y, query: \"$1 \\x01\"}\n", "contains control characters"},
        {WITH_POSTGRES "- {channel: \"a\\nb\", field: x.y}\n", "channel: contains control characters"},
        {WITH_POSTGRES "- {channel: \"a\\0b\", field: x.y}\n", "channel: contains control characters"},
        {WITH_POSTGRES "- {channel: a, field: x.y, class: exec}\n", "class: is no class of the cache"},
        {WITH_POSTGRES "- {channel: a, field: x.y, field: x.z}\n", "field: is given twice"},
        {WITH_POSTGRES "- {channel: [a], field: x.y}\n", "channel: must be a single value"},
        {WITH_POSTGRES "- a\n", "entry 1: must be a map"},
        {WITH_POSTGRES "channel: a\n", "postgres.notifications: must be a list of maps, not a map"},
        {WITH_POSTGRES "- {channel: \"\", field: x.y}\n", "channel: must not be empty"},
        {WITH_POSTGRES "- {channel: a123456789012345678901234567890123456789012345678901234567890123, "
                       "field: x.y}\n",
         "channel: is too long"},
        {WITH_REDIS "channels:\n    - {kpi: x.y}\n", "redis.channels: entry 1: needs channel or pattern"},
        {WITH_REDIS "channels:\n    - {channel: a, pattern: b}\n", "channel and pattern exclude each other"},
        {WITH_REDIS "channels:\n    - {channel: a}\n    - {pattern: a}\n    - {channel: a}\n",
         "redis.channels: entry 3: is there already"},
        {WITH_REDIS "streams:\n    - {kpi: x.y}\n", "redis.streams: entry 1: stream: is missing"},
        {WITH_REDIS "streams:\n    - {stream: a, from: start}\n", "\"start\" is neither newest nor oldest"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(cases[i].yaml, no_environment, cases[i].finding);
    }
    const char *environment[] = {"SOPHIA_REDIS_CHANNELS=a", NULL};
    assert_refused("", environment,
                   "redis.channels: must be a list of maps, and can only be set in the file");
}

static void test_lists_of_maps_are_read(void **context)
{
    (void)context;
    struct config *config = must_load(
        WITH_POSTGRES
        "- {channel: deals, field: exec.top_deals}\n"
        "    - channel: kpis\n      relation: crm.kpi\n      field: exec.revenue_mtd\n"
        "      query: |\n        select value\n        from crm.kpi where id = $1\n"
        "      class: executive_kpis\n" WITH_REDIS
        "channels:\n    - {channel: c, kpi: exec.revenue_mtd, reread_key: k}\n    - {pattern: p.*}\n"
        "  streams:\n    - {stream: s, from: oldest}\n    - {stream: t, kpi: exec.revenue_mtd}\n",
        no_environment);
    const struct config_postgres *postgres = &config->postgres;
    assert_int_equal(postgres->notification_count, 2);
    assert_string_equal(postgres->notifications[0].channel, "deals");
    assert_null(postgres->notifications[0].relation);
    assert_null(postgres->notifications[0].query);
    assert_string_equal(postgres->notifications[0].cache_class, "default");
    assert_string_equal(postgres->notifications[1].relation, "crm.kpi");
    assert_string_equal(postgres->notifications[1].query, "select value\nfrom crm.kpi where id = $1\n");
    assert_string_equal(postgres->notifications[1].cache_class, "executive_kpis");
    const struct config_redis *redis = &config->redis;
    assert_int_equal(redis->channel_count, 2);
    assert_int_equal(redis->channels[0].kind, REDIS_MAPPING_CHANNEL);
    assert_int_equal(redis->channels[0].form, REDIS_FORM_KPI);
    assert_string_equal(redis->channels[0].kpi, "exec.revenue_mtd");
    assert_string_equal(redis->channels[0].reread_key, "k");
    assert_int_equal(redis->channels[1].kind, REDIS_MAPPING_PATTERN);
    assert_int_equal(redis->channels[1].form, REDIS_FORM_ENVELOPE);
    assert_string_equal(redis->channels[1].name, "p.*");
    assert_null(redis->channels[1].kpi);
    assert_int_equal(redis->stream_count, 2);
    assert_int_equal(redis->streams[0].kind, REDIS_MAPPING_STREAM);
    assert_int_equal(redis->streams[0].stream_from, REDIS_FROM_OLDEST);
    assert_int_equal(redis->streams[1].stream_from, REDIS_FROM_NEWEST);
    assert_int_equal(redis->streams[1].form, REDIS_FORM_KPI);
    assert_true(config_uses_postgres(config) && config_uses_redis(config));
    config_finish(config);
}

#define WITH_HOOKS "webhooks:\n  hooks:\n    "
#define HOOK "name: a, provider: github, secret_files: [a.secret], "

static void test_webhooks_are_read(void **context)
{
    (void)context;
    char path[128];
    write_file("a.secret", "s3cret", 0600);
    write_file("b.secret", "s3cret", 0600);
    struct config *config = must_load(
        WITH_HOOKS "- name: sales\n      provider: hmac\n      secret_files: [a.secret, b.secret]\n"
                   "      signature_header: X-Sig\n      encoding: base64\n      events: [won, lost]\n"
                   "      fields:\n        x.y: /data/0/amount\n        x.z#row: count\n"
                   "    - {name: b-2, provider: asana, secret_files: [none], fields: {x.y: count}}\n",
        no_environment);
    assert_int_equal(config->webhooks.hook_count, 2);
    const struct webhooks_hook *hook = &config->webhooks.hooks[0];
    assert_string_equal(hook->name, "sales");
    assert_int_equal(hook->provider, WEBHOOK_HMAC);
    (void)snprintf(path, sizeof path, "%s/b.secret", directory);
    assert_string_equal(hook->secret_files[1], path);
    assert_null(hook->secret_files[2]);
    assert_string_equal(hook->signature_header, "X-Sig");
    assert_null(hook->time_header);
    assert_int_equal(hook->encoding, WEBHOOK_BASE64);
    assert_string_equal(hook->events[1], "lost");
    assert_null(hook->events[2]);
    assert_int_equal(hook->field_count, 2);
    assert_string_equal(hook->fields[0].field, "x.y");
    assert_string_equal(hook->fields[0].pointer, "/data/0/amount");
    assert_string_equal(hook->fields[1].field, "x.z#row");
    assert_null(hook->fields[1].pointer);
    assert_string_equal(config->webhooks.hooks[1].name, "b-2");
    assert_null(config->webhooks.hooks[1].events);
    config_finish(config);
}

static void test_findings_about_webhooks_name_the_remedy(void **context)
{
    (void)context;
    write_file("a.secret", "s3cret", 0600);
    write_file("empty.secret", "\n", 0600);
    static const struct refused cases[] = {
        {WITH_HOOKS "- {" HOOK "}\n", "gateway.yaml:3:7: webhooks.hooks: entry 1: fields: is missing"},
        {WITH_HOOKS "- {provider: github, secret_files: [a.secret], fields: {x.y: /a}}\n",
         "name: is missing"},
        {WITH_HOOKS "- {name: a, secret_files: [a.secret], fields: {x.y: /a}}\n", "provider: is missing"},
        {WITH_HOOKS "- {name: a, provider: github, fields: {x.y: /a}}\n", "secret_files: is missing"},
        {WITH_HOOKS "- {name: A/b, provider: github, secret_files: [a.secret], fields: {x.y: /a}}\n",
         "name: has other characters than a-z, 0-9, - and _"},
        {WITH_HOOKS "- {name: a, provider: gitlab, secret_files: [a.secret], fields: {x.y: /a}}\n",
         "provider: \"gitlab\" is not one of: github, slack, hubspot, hubspot_v2, hubspot_v1, linear, gong, asana, "
         "vercel, figma, standard, hmac, bearer"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: /a}}\n    - {" HOOK "fields: {x.y: /a}}\n",
         "webhooks.hooks: entry 2: is there already"},
        {WITH_HOOKS "- {" HOOK "fields: [x.y]}\n", "fields: must be a map of fields"},
        {WITH_HOOKS "- {" HOOK "fields: {}}\n", "fields: must not be empty"},
        {WITH_HOOKS "- {" HOOK "fields: {Revenue: /a}}\n", "fields: is a map of fields"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: a}}\n", "fields: must say \"count\", or where in the event"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: /a~}}\n", "fields: must say \"count\", or where in the event"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: [a]}}\n", "fields: must hold texts"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: /a, x.y: /b}}\n", "fields: names a field twice"},
        {WITH_HOOKS "- {" HOOK "events: push, fields: {x.y: /a}}\n", "events: must be a list"},
        {WITH_HOOKS "- {" HOOK "events: [], fields: {x.y: /a}}\n", "events: must not be empty"},
        {WITH_HOOKS "- {" HOOK "events: [[a]], fields: {x.y: /a}}\n", "events: must hold texts"},
        {WITH_HOOKS "- {" HOOK "events: [\"a\\0b\"], fields: {x.y: /a}}\n",
         "events: contains control characters"},
        {WITH_HOOKS "- {" HOOK "time_header: X-Time, fields: {x.y: /a}}\n",
         "entry 1: signature_header, signature_prefix, time_header and id_header are for the providers hmac"},
        {WITH_HOOKS "- {" HOOK "time_header: \"X Time\", fields: {x.y: /a}}\n",
         "time_header: is no name of a header"},
        {WITH_HOOKS
         "- {name: a, provider: bearer, secret_files: [a.secret], time_header: X, fields: {x.y: /a}}\n",
         "signature_prefix and time_header are for the provider hmac"},
        {WITH_HOOKS "- {name: a, provider: hubspot, secret_files: [a.secret], fields: {x.y: /a}}\n",
         "entry 1: needs public_url, the whole address that the provider calls, because it signs that too"},
        {WITH_HOOKS
         "- {name: a, provider: hubspot, public_url: kpi.example, secret_files: [a.secret], fields: {x.y: /a}}\n",
         "webhooks.hooks: \"a\": needs public_url"},
        {WITH_HOOKS "- {name: a, provider: github, secret_files: [nowhere], fields: {x.y: /a}}\n",
         "/nowhere cannot be read: No such file"},
        {WITH_HOOKS "- {name: a, provider: github, secret_files: [empty.secret], fields: {x.y: /a}}\n",
         "/empty.secret does not hold one secret"},
        {WITH_HOOKS
         "- {name: a, provider: gong, public_url: \"https://a\", secret_files: [a.secret], fields: {x.y: /a}}\n",
         "is not a public RSA key"},
        {WITH_HOOKS "- {" HOOK "fields: {x.y: count}}\njournal:\n  kind: redis\nredis:\n  host: localhost\n",
         "webhooks.hooks: \"a\": counts are kept by one process alone: they need journal.kind memory"},
        {"webhooks:\n  rate_per_s: 51\n", "webhooks.rate_per_s: 51 is out of range 1..50"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(cases[i].yaml, no_environment, cases[i].finding);
    }
}

static void test_secrets_of_webhooks_are_not_for_everybody(void **context)
{
    (void)context;
    struct config_report report;
    write_file("a.secret", "s3cret", 0644);
    struct config *config = load_text(WITH_HOOKS "- {" HOOK "fields: {x.y: /a}}\n", no_environment, &report);
    assert_non_null(config);
    assert_non_null(strstr(report.warnings.at, "/a.secret can be read by everybody on this machine"));
    char *text = printed_config(config);
    assert_null(strstr(text, "s3cret"));
    assert_null(strstr(report.warnings.at, "s3cret"));
    free(text);
    config_report_finish(&report);
    config_finish(config);
}

static void test_workers_need_a_shared_journal(void **context)
{
    (void)context;
    const char *environment[] = {"SOPHIA_WORKERS=3", NULL};
    struct config *config = must_load(WITH_REDIS "port: 7\njournal:\n  kind: redis\n", environment);
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->journal_kind, JOURNAL_REDIS);
    config_finish(config);
    assert_refused("", environment, "environment: SOPHIA_WORKERS: workers: 3 processes need one order");
    config = must_load("workers: 1\n", no_environment);
    assert_int_equal(config->workers, 1);
    config_finish(config);
}

static void test_an_alias_that_holds_itself_ends(void **context)
{
    (void)context;
    assert_refused("listen: &a\n  port: *a\n", no_environment,
                   "listen.port: must be a single value, not a map");
    assert_refused(WITH_REDIS "channels: &a [*a]\n", no_environment, "entry 1: must be a map");
    assert_refused(WITH_REDIS "channels: [&a {channel: *a}]\n", no_environment,
                   "entry 1: channel: must be a single value");
    assert_refused("&a listen: &b\n  allowed_origins: &c [*c]\n", no_environment, "must hold texts");
}

static void test_all_findings_are_told(void **context)
{
    (void)context;
    struct config_report report;
    assert_null(
        load_text("listen:\n  port: 70000\n  prot: 1\nlog:\n  level: loud\n", no_environment, &report));
    assert_int_equal(report.count, 3);
    config_report_finish(&report);
}

static void test_a_misspelt_variable_is_found(void **context)
{
    (void)context;
    const char *environment[] = {"SOPHIA_LISTEN_PROT=1", NULL};
    assert_refused(
        "", environment,
        "environment: SOPHIA_LISTEN_PROT: no option has this name (did you mean \"SOPHIA_LISTEN_PORT\"?)");
    const char *wrong[] = {"SOPHIA_LISTEN_PORT=x", NULL};
    assert_refused("", wrong, "environment: SOPHIA_LISTEN_PORT: listen.port: \"x\" is not a whole number");
}

static void test_a_missing_file_is_a_finding(void **context)
{
    (void)context;
    struct config_report report;
    config_report_init(&report);
    assert_null(load("/nowhere/sophia.yaml", no_environment, &report));
    bytes_append_byte(&report.text, '\0');
    assert_string_equal(report.text.at, "/nowhere/sophia.yaml: cannot be read: No such file or directory\n");
    config_report_finish(&report);
}

static void test_secrets_come_from_files(void **context)
{
    (void)context;
    write_file("viewer.key", "a-long-enough-viewer-key\r\n", 0600);
    struct config_report report;
    struct config *config = load_text("viewer:\n  key_file: viewer.key\n", no_environment, &report);
    assert_non_null(config);
    assert_string_equal(config->viewer.key, "a-long-enough-viewer-key");
    assert_int_equal(report.warning_count, 0);
    char *printed = printed_config(config);
    config_finish(config);
    config_report_finish(&report);
    assert_null(strstr(printed, "***")); /* a file with both would be refused */
    config = must_load(printed, no_environment);
    assert_string_equal(config->viewer.key, "a-long-enough-viewer-key");
    config_finish(config);
    free(printed);
}

static void test_secrets_that_everybody_can_read_or_guess_are_warned_about(void **context)
{
    (void)context;
    write_file("viewer.key", "short", 0644);
    struct config_report report;
    struct config *config = load_text("viewer:\n  key_file: viewer.key\n", no_environment, &report);
    assert_non_null(config);
    assert_int_equal(report.warning_count, 2);
    assert_non_null(strstr(report.warnings.at, "can be read by everybody on this machine"));
    assert_non_null(strstr(report.warnings.at, "viewer.key: is shorter than 16 characters"));
    config_finish(config);
    config_report_finish(&report);
}

static void test_a_secret_has_one_origin(void **context)
{
    (void)context;
    write_file("viewer.key", "a-long-enough-viewer-key", 0600);
    assert_refused("viewer:\n  key: x\n  key_file: viewer.key\n", no_environment,
                   "gateway.yaml:3:13: viewer.key_file: viewer.key is given too");
    write_file("empty.key", "\n", 0600);
    assert_refused("viewer:\n  key_file: empty.key\n", no_environment, "viewer.key: must not be empty");
}

static void test_secrets_of_upstreams_are_never_told(void **context)
{
    (void)context;
    write_file("url", "postgresql://u:topsecret@h/d\n", 0600);
    struct config *config = must_load(
        "postgres:\n  url_file: url\nredis:\n  sentinels: [\"h:1\"]\n  sentinel_master: m\n"
        "  password: topsecret\n  sentinel_password: topsecret\nadmin:\n  key: topsecret-topsecret\n",
        no_environment);
    assert_string_equal(config->postgres.url, "postgresql://u:topsecret@h/d");
    assert_string_equal(config->redis.password, "topsecret");
    char *text = printed_config(config);
    assert_null(strstr(text, "topsecret"));
    free(text);
    config_finish(config);
    static const char *const wrong[] = {"postgres:\n  url: topsecret\n", "postgres:\n  url: [topsecret]\n",
                                        "redis:\n  host: h\n  password: \"topsecret\\n\"\n",
                                        "admin:\n  key: \"topsecret\\x01\"\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config_report report;
        assert_null(load_text(wrong[i], no_environment, &report));
        assert_null(strstr(report.text.at, "topsecret"));
        config_report_finish(&report);
    }
}

static void test_secrets_are_never_told(void **context)
{
    (void)context;
    const char *environment[] = {"SOPHIA_INGEST_KEY=topsecret\x01topsecret", NULL};
    struct config_report report;
    assert_null(load_text("", environment, &report));
    assert_null(strstr(report.text.at, "topsecret"));
    config_report_finish(&report);
    const char *good[] = {"SOPHIA_INGEST_KEY=topsecret-topsecret", NULL};
    struct config *config = must_load("", good);
    char *text = printed_config(config);
    assert_null(strstr(text, "topsecret"));
    assert_non_null(strstr(text, "key: \"***\""));
    free(text);
    config_finish(config);
}

static void test_what_is_printed_can_be_read_again(void **context)
{
    (void)context;
    write_file("a.secret", "s3cret", 0600);
    struct config *config = must_load(
        WITH_HOOKS
        "- {" HOOK "events: [\"a: b\", c], fields: {x.y: count, \"x.z#a: b\": /a~1b}}\n"
        "listen:\n  port: 9001\n  allowed_origins: [\"https://a.example\"]\nnode:\n  name: \"a \\\"b\\\" #c\"\n"
        "demo:\n  speed: 0.25\ningest:\n  mappings:\n    crm:\n      \"a: b\": exec.revenue_mtd\n    none: {}\n" WITH_POSTGRES
        "- {channel: a, field: x.y, query: \"select\\n\\t$1\"}\n    - {channel: b, field: x.z}\n" WITH_REDIS
        "channels:\n    - {pattern: a*}\n    - {channel: a*, kpi: x.y}\n"
        "  streams:\n    - {stream: s, from: oldest}\n  sentinel_master: null\nworkers: 1\n",
        no_environment);
    char *first = printed_config(config);
    config_finish(config);
    char *masked = strstr(first, "url: \"***\""); /* its owner puts the secret back */
    assert_non_null(masked);
    memcpy(masked, "url: \"a=b\"", strlen("url: \"a=b\""));
    config = must_load(first, no_environment);
    masked = strstr(first, "url: \"a=b\"");
    memcpy(masked, "url: \"***\"", strlen("url: \"***\""));
    char *second = printed_config(config);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "port: 9001"));
    free(first);
    free(second);
    config_finish(config);
}

static void test_the_example_file_is_the_table(void **context)
{
    (void)context;
    char *expected = printed(config_print_example);
    char *found = read_source("deploy/sophia-gateway.yaml");
    assert_string_equal(found, expected);
    struct config *config = must_load(found, no_environment);
    config_finish(config);
    free(expected);
    free(found);
}

/** The file with every option brought into force: "  #port: 1", "#workers: 1" and "  #  hubspot:", but not "  # A sentence.". */
static char *without_comment_marks(const char *text)
{
    char *out = strdup(text);
    assert_non_null(out);
    for (char *line = out; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        bool is_sentence = strncmp(line, "  # ", 4) == 0 && line[4] != ' ';
        if (strncmp(line, "  #", 3) == 0 && !is_sentence) {
            memmove(line + 2, line + 3, strlen(line + 3) + 1);
        } else if (line[0] == '#' && line[1] != ' ') {
            memmove(line, line + 1, strlen(line + 1) + 1);
        }
    }
    return out;
}

static void test_every_line_of_the_example_can_be_brought_into_force(void **context)
{
    (void)context;
    char *example = printed(config_print_example);
    char *text = without_comment_marks(example);
    struct tls_files files;
    char certificate[128], key[128];
    tls_files_make(&files, -60, 86400 * 365, NULL);
    (void)snprintf(certificate, sizeof certificate, "SOPHIA_TLS_CERTIFICATE_FILE=%s", files.certificate);
    (void)snprintf(key, sizeof key, "SOPHIA_TLS_KEY_FILE=%s", files.key);
    const char *elsewhere[] = {"SOPHIA_REDIS_HOST=a", "SOPHIA_POSTGRES_URL=postgresql://a", certificate, key,
                               NULL};
    assert_int_equal(symlink(files.certificate, path_of("intranet.pem")), 0);
    assert_int_equal(symlink(files.key, path_of("intranet.key")), 0);
    write_file("sales.secret", "whsec_c2FsZXM=", 0600);
    write_file("sales.secret.old", "whsec_c2FsZXN0", 0600);
    struct config *config = must_load(text, elsewhere);
    assert_int_equal(config->tls.certificate_count, 1);
    assert_int_equal(config->ingest.key_count, 1);
    assert_int_equal(config->admin.key_count, 1);
    assert_int_equal(config->ingest.mapping_count, 1);
    assert_int_equal(config->webhooks.hook_count, 1);
    assert_int_equal(config->postgres.notification_count, 1);
    assert_int_equal(config->redis.channel_count, 2);
    assert_int_equal(config->redis.stream_count, 1);
    assert_int_equal(config->listen.port, 8080);
    config_finish(config);
    tls_files_remove(&files);
    free(text);
    free(example);
}

static void test_the_documentation_holds_the_table(void **context)
{
    (void)context;
    char *table = printed(config_print_table);
    char *page = read_source("docs/configuration.md");
    if (!strstr(page, table)) {
        fail_msg("docs/configuration.md must hold:\n%s", table);
    }
    free(table);
    free(page);
}

static void test_help_names_every_option(void **context)
{
    (void)context;
    char *help = printed(config_print_help);
    static const char *const names[] = {
        "listen.port (0..65535; default 8080)", "journal.kind (memory, redis; default memory)",
        "workers (1..64; default 1)",           "redis.streams (list of maps; default [])",
        "viewer.key (secret; default null)",    "demo.enabled (true, false; default false)"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_non_null(strstr(help, names[i]));
    }
    free(help);
}

static void test_a_mapping_to_an_unknown_kpi_is_found(void **context)
{
    (void)context;
    struct catalog_report definitions;
    catalog_report_init(&definitions);
    struct catalog *catalog = catalog_load(SOURCE_ROOT "/deploy/definitions", &definitions);
    assert_non_null(catalog);
    struct config *config =
        must_load("ingest:\n  mappings:\n    crm:\n      a: exec.revenue_mtt\n      b: exec.revenue_mtd\n"
                  "      c: exec.top_deals\n",
                  no_environment);
    struct config_report report;
    config_report_init(&report);
    assert_false(config_check_mappings(config, catalog, &report));
    bytes_append_byte(&report.text, '\0');
    assert_int_equal(report.count, 2);
    assert_non_null(strstr(
        report.text.at,
        "ingest.mappings.crm.a: no KPI has the field \"exec.revenue_mtt\" (did you mean \"exec.revenue_mtd\"?)"));
    config_report_finish(&report);
    config_finish(config);
    catalog_unref(catalog);
    catalog_report_finish(&definitions);
}

static void test_a_list_that_names_an_unknown_kpi_is_found(void **context)
{
    (void)context;
    struct catalog_report definitions;
    catalog_report_init(&definitions);
    struct catalog *catalog = catalog_load(SOURCE_ROOT "/deploy/definitions", &definitions);
    assert_non_null(catalog);
    write_file("a.secret", "s3cret", 0600);
    struct config *config = must_load(
        WITH_HOOKS
        "- {" HOOK "fields: {exec.revenue_mtd: /a, exec.revenue_mtt: count}}\n" WITH_POSTGRES
        "- {channel: a, field: exec.top_deals}\n    - {channel: b, field: exec.top_dealz}\n" WITH_REDIS
        "channels:\n    - {channel: a, kpi: exec.revenue_mtd}\n    - {channel: b}\n"
        "  streams:\n    - {stream: a, kpi: exec.nothing}\n",
        no_environment);
    struct config_report report;
    config_report_init(&report);
    assert_false(config_check_mappings(config, catalog, &report));
    bytes_append_byte(&report.text, '\0');
    assert_int_equal(report.count, 3);
    assert_non_null(strstr(report.text.at,
                           "webhooks.hooks: entry 1: fields: no KPI has the field \"exec.revenue_mtt\" "
                           "(did you mean \"exec.revenue_mtd\"?)"));
    assert_non_null(strstr(report.text.at,
                           "postgres.notifications: entry 2: field: no KPI has the field \"exec.top_dealz\" "
                           "(did you mean \"exec.top_deals\"?)"));
    assert_non_null(
        strstr(report.text.at, "redis.streams: entry 1: kpi: no KPI has the field \"exec.nothing\""));
    config_report_finish(&report);
    config_finish(config);
    catalog_unref(catalog);
    catalog_report_finish(&definitions);
}

static void test_a_reload_sees_a_changed_list(void **context)
{
    (void)context;
    static const char *const lists[] = {"channels:\n    - {channel: a}\n", "channels:\n    - {channel: b}\n",
                                        "channels:\n    - {pattern: a}\n",
                                        "channels:\n    - {channel: a, kpi: x.y}\n",
                                        "channels:\n    - {channel: a}\n    - {channel: b}\n"};
    enum { COUNT = sizeof lists / sizeof *lists };
    for (size_t i = 0; i < (size_t)COUNT * COUNT; i++) {
        char yaml[256];
        struct config_report report;
        config_report_init(&report);
        (void)snprintf(yaml, sizeof yaml, WITH_REDIS "%s", lists[i / COUNT]);
        struct config *running = must_load(yaml, no_environment);
        (void)snprintf(yaml, sizeof yaml, WITH_REDIS "%s", lists[i % COUNT]);
        struct config *fresh = must_load(yaml, no_environment);
        config_reload(running, fresh, &report);
        assert_int_equal(report.warning_count, i / COUNT != i % COUNT);
        config_report_finish(&report);
        config_finish(running);
        config_finish(fresh);
    }
}

static void test_a_reload_sees_a_changed_webhook(void **context)
{
    (void)context;
    write_file("a.secret", "s3cret", 0600);
    write_file("b.secret", "s3cret", 0600);
    static const char *const hooks[] = {
        "",
        WITH_HOOKS "- {" HOOK "fields: {x.y: /a}}\n",
        WITH_HOOKS "- {" HOOK "fields: {x.y: /b}}\n",
        WITH_HOOKS "- {" HOOK "fields: {x.y: count}}\n",
        WITH_HOOKS "- {" HOOK "fields: {x.z: /a}}\n",
        WITH_HOOKS "- {" HOOK "fields: {x.y: /a, x.z: /a}}\n",
        WITH_HOOKS "- {" HOOK "events: [a], fields: {x.y: /a}}\n",
        WITH_HOOKS "- {" HOOK "events: [a, b], fields: {x.y: /a}}\n",
        WITH_HOOKS "- {name: a, provider: github, secret_files: [b.secret], fields: {x.y: /a}}\n",
        WITH_HOOKS "- {name: a, provider: vercel, secret_files: [a.secret], fields: {x.y: /a}}\n",
    };
    enum { COUNT = sizeof hooks / sizeof *hooks };
    for (size_t i = 0; i < (size_t)COUNT * COUNT; i++) {
        struct config_report report;
        config_report_init(&report);
        struct config *running = must_load(hooks[i / COUNT], no_environment);
        struct config *fresh = must_load(hooks[i % COUNT], no_environment);
        config_reload(running, fresh, &report);
        assert_int_equal(report.warning_count, i / COUNT != i % COUNT);
        config_report_finish(&report);
        config_finish(running);
        config_finish(fresh);
    }
}

static void test_a_reload_takes_over_what_can_change(void **context)
{
    (void)context;
    struct config *running = must_load("log:\n  level: info\n", no_environment);
    struct config *fresh = must_load("log:\n  level: debug\nlisten:\n  port: 9009\n", no_environment);
    struct config_report report;
    config_report_init(&report);
    config_reload(running, fresh, &report);
    bytes_append_byte(&report.warnings, '\0');
    assert_int_equal(running->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(running->listen.port, 8080);
    assert_int_equal(report.warning_count, 1);
    assert_non_null(strstr(report.warnings.at, "listen.port: has changed; it takes a restart"));
    config_report_finish(&report);
    config_finish(running);
    config_finish(fresh);
}

#define DIGEST "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void test_a_reload_takes_over_keys_whole(void **context)
{
    (void)context;
    struct config *running = must_load(
        "ingest:\n  key: a-key-that-is-old\nadmin:\n  key: another-old-key-is-here\n", no_environment);
    struct config *fresh = must_load("ingest:\n  keys: [{name: warehouse, sha256: " DIGEST "}]\n"
                                     "admin:\n  key: a-key-that-is-newer\n",
                                     no_environment);
    struct config_report report;
    config_report_init(&report);
    config_reload(running, fresh, &report);
    config_finish(fresh);
    assert_int_equal(report.warning_count, 0);
    assert_null(running->ingest.key);
    assert_int_equal(running->ingest.key_count, 1);
    assert_string_equal(running->ingest.keys[0].name, "warehouse");
    assert_string_equal(running->ingest.keys[0].sha256, DIGEST);
    assert_string_equal(running->admin.key, "a-key-that-is-newer");
    assert_int_equal(running->admin.key_count, 0);
    config_report_finish(&report);
    config_finish(running);
}

/** Loads again and again, each time with a later allocation failing, until none does. */
static void load_with_failures(const char **environment, void (*fail_after)(int))
{
    bool has_failed = true;
    for (int count = 0; has_failed; count++) {
        struct config_report report;
        config_report_init(&report);
        fail_after(count);
        struct config *config = load(path_of("gateway.yaml"), environment, &report);
        has_failed = allocations_recover();
        assert_true((config != NULL) == (report.count == 0));
        assert_true(config || has_failed);
        assert_true(has_failed || count > 20);
        if (config) {
            assert_string_equal(config->viewer.key, "a-long-enough-viewer-key");
            assert_string_equal(config->listen.allowed_origins[0], "https://b.example");
            assert_string_equal(config->ingest.mappings[0].members[0].field, "x.y");
            assert_string_equal(config->redis.channels[0].kpi, "x.y");
            assert_string_equal(config->postgres.notifications[0].cache_class, "default");
            assert_string_equal(config->webhooks.hooks[0].fields[0].pointer, "/a");
            assert_string_equal(config->webhooks.hooks[0].events[0], "push");
        }
        config_finish(config);
        config_report_finish(&report);
    }
}

static void test_every_allocation_may_fail(void **context)
{
    (void)context;
    write_file("viewer.key", "a-long-enough-viewer-key", 0600);
    write_file("a.secret", "s3cret", 0600);
    write_file(
        "gateway.yaml",
        WITH_HOOKS
        "- {" HOOK "events: [push], fields: {x.y: /a, x.z: count}}\n"
        "listen:\n  host: 127.0.0.2\n  allowed_origins: [\"https://a.example\"]\ndefinitions:\n  dir: defs\n"
        "viewer:\n  key_file: viewer.key\ningest:\n  mappings:\n    crm:\n      a: x.y\n" WITH_POSTGRES
        "- {channel: a, field: x.y}\n" WITH_REDIS "channels:\n    - {channel: a, kpi: x.y}\n",
        0600);
    const char *environment[] = {"SOPHIA_WEB_DIR=web", "SOPHIA_LISTEN_ALLOWED_ORIGINS=https://b.example",
                                 NULL};
    load_with_failures(environment, allocations_fail_all_after);
    load_with_failures(environment, allocations_fail_one_after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_without_file),
        cmocka_unit_test(test_the_file_sets_every_kind_of_value),
        cmocka_unit_test(test_an_empty_file_is_the_defaults),
        cmocka_unit_test(test_the_environment_wins),
        cmocka_unit_test(test_findings_name_line_column_and_option),
        cmocka_unit_test(test_findings_about_upstreams_name_the_remedy),
        cmocka_unit_test(test_lists_of_maps_are_read),
        cmocka_unit_test(test_webhooks_are_read),
        cmocka_unit_test(test_findings_about_webhooks_name_the_remedy),
        cmocka_unit_test(test_secrets_of_webhooks_are_not_for_everybody),
        cmocka_unit_test(test_workers_need_a_shared_journal),
        cmocka_unit_test(test_an_alias_that_holds_itself_ends),
        cmocka_unit_test(test_all_findings_are_told),
        cmocka_unit_test(test_a_misspelt_variable_is_found),
        cmocka_unit_test(test_a_missing_file_is_a_finding),
        cmocka_unit_test(test_secrets_come_from_files),
        cmocka_unit_test(test_secrets_that_everybody_can_read_or_guess_are_warned_about),
        cmocka_unit_test(test_a_secret_has_one_origin),
        cmocka_unit_test(test_secrets_are_never_told),
        cmocka_unit_test(test_secrets_of_upstreams_are_never_told),
        cmocka_unit_test(test_what_is_printed_can_be_read_again),
        cmocka_unit_test(test_the_example_file_is_the_table),
        cmocka_unit_test(test_every_line_of_the_example_can_be_brought_into_force),
        cmocka_unit_test(test_the_documentation_holds_the_table),
        cmocka_unit_test(test_help_names_every_option),
        cmocka_unit_test(test_a_mapping_to_an_unknown_kpi_is_found),
        cmocka_unit_test(test_a_list_that_names_an_unknown_kpi_is_found),
        cmocka_unit_test(test_a_reload_sees_a_changed_list),
        cmocka_unit_test(test_a_reload_sees_a_changed_webhook),
        cmocka_unit_test(test_a_reload_takes_over_what_can_change),
        cmocka_unit_test(test_a_reload_takes_over_keys_whole),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
