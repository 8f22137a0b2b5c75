/*
 * The server's own words are repeated in a reason, cut and without control characters, except after AUTH: some
 * servers repeat the arguments of a command they do not know, and one of those is the password.
 */
#include "io/redis_link_greeting.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_VERSION = 60200, WORDS_BYTES = 160 };

size_t redis_greeting_command(const struct redis_greeting *greeting, enum redis_greeting_step step,
                              const char *words[REDIS_GREETING_MAX_WORDS], char scratch[64])
{
    const struct redis_server *server = greeting->server;
    const char *password = greeting->is_sentinel ? server->sentinel_password : server->password;
    size_t count = 0;
    switch (step) {
    case REDIS_GREETING_AUTH:
        if (password != NULL) {
            words[count++] = "AUTH";
            if (!greeting->is_sentinel && server->username != NULL) {
                words[count++] = server->username;
            }
            words[count++] = password;
        }
        break;
    case REDIS_GREETING_NAME:
        (void)snprintf(scratch, 64, "sophia-gateway:%s", greeting->link_name);
        words[count++] = "CLIENT";
        words[count++] = "SETNAME";
        words[count++] = scratch;
        break;
    case REDIS_GREETING_ID:
        if (!greeting->is_sentinel) {
            words[count++] = "CLIENT";
            words[count++] = "ID";
        }
        break;
    case REDIS_GREETING_SELECT:
        if (!greeting->is_sentinel && server->database != 0) {
            (void)snprintf(scratch, 64, "%u", server->database);
            words[count++] = "SELECT";
            words[count++] = scratch;
        }
        break;
    case REDIS_GREETING_ROLE:
    case REDIS_GREETING_INFO:
        if (!greeting->is_sentinel) {
            words[count++] = step == REDIS_GREETING_ROLE ? "ROLE" : "INFO";
            if (step == REDIS_GREETING_INFO) {
                words[count++] = "server";
            }
        }
        break;
    case REDIS_GREETING_MASTER:
        if (greeting->is_sentinel) {
            words[count++] = "SENTINEL";
            words[count++] = "get-master-addr-by-name";
            words[count++] = server->sentinel_master;
        }
        break;
    case REDIS_GREETING_STEP_COUNT:
        break;
    }
    return count;
}

static bool refuse(const struct redis_greeting *greeting, char reason[REDIS_REASON_BYTES], const char *what)
{
    (void)snprintf(reason, REDIS_REASON_BYTES, "%s at %s %s", greeting->is_sentinel ? "sentinel" : "redis",
                   greeting->where, what);
    return false;
}

/* The server's error, safe to print. */
static void copy_words(const struct redisReply *reply, char out[WORDS_BYTES])
{
    const char *text = redis_reply_text(reply, NULL);
    (void)snprintf(out, WORDS_BYTES, "%s", text != NULL ? text : "");
    for (char *at = out; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at) || (unsigned char)*at >= 0x80) {
            *at = '?';
        }
    }
}

static bool begins_with(const struct redisReply *reply, const char *word)
{
    const char *text = redis_reply_text(reply, NULL);
    return text != NULL && strncmp(text, word, strlen(word)) == 0;
}

static bool refuse_auth(const struct redis_greeting *greeting, const struct redisReply *reply,
                        char reason[REDIS_REASON_BYTES])
{
    const char *text = redis_reply_text(reply, NULL);
    if (text != NULL && (strstr(text, "no password is set") || strstr(text, "without any password"))) {
        return refuse(greeting, reason,
                      greeting->is_sentinel
                          ? "has no password set: remove redis.sentinel_password"
                          : "has no password set: remove redis.password, or set one on the server");
    }
    if (greeting->is_sentinel) {
        return refuse(greeting, reason, "refused the password: check redis.sentinel_password");
    }
    return refuse(greeting, reason,
                  greeting->server->username != NULL
                      ? "refused the user name or password: check redis.username and redis.password"
                      : "refused the password: check redis.password (and redis.username, if it uses ACLs)");
}

static const char *command_of(enum redis_greeting_step step)
{
    static const char *const names[REDIS_GREETING_STEP_COUNT] = {[REDIS_GREETING_AUTH] = "AUTH",
                                                                 [REDIS_GREETING_NAME] = "CLIENT SETNAME",
                                                                 [REDIS_GREETING_ID] = "CLIENT ID",
                                                                 [REDIS_GREETING_SELECT] = "SELECT",
                                                                 [REDIS_GREETING_ROLE] = "ROLE",
                                                                 [REDIS_GREETING_INFO] = "INFO",
                                                                 [REDIS_GREETING_MASTER] =
                                                                     "SENTINEL get-master-addr-by-name"};
    return names[step];
}

static bool refuse_error(const struct redis_greeting *greeting, enum redis_greeting_step step,
                         const struct redisReply *reply, char reason[REDIS_REASON_BYTES])
{
    char what[WORDS_BYTES + 160];
    char words[WORDS_BYTES];
    copy_words(reply, words);
    if (begins_with(reply, "NOAUTH")) {
        return refuse(greeting, reason,
                      greeting->is_sentinel ? "wants a password: set redis.sentinel_password"
                                            : "wants a password: set redis.password or redis.password_file");
    }
    if (begins_with(reply, "DENIED")) {
        return refuse(greeting, reason,
                      "is in protected mode and refuses other machines: give it a password (requirepass)");
    }
    if (begins_with(reply, "LOADING")) {
        return refuse(greeting, reason, "is loading its data set: it will be tried again");
    }
    if (begins_with(reply, "NOPERM")) {
        const char *user = greeting->server->username != NULL ? greeting->server->username : "default";
        (void)snprintf(what, sizeof what, "forbids %s to user %.64s: allow it (ACL SETUSER %.64s %s)",
                       command_of(step), user, user,
                       step == REDIS_GREETING_ROLE     ? "+role"
                       : step == REDIS_GREETING_INFO   ? "+info"
                       : step == REDIS_GREETING_SELECT ? "+select"
                                                       : "+@connection");
        return refuse(greeting, reason, what);
    }
    if (step == REDIS_GREETING_SELECT) {
        (void)snprintf(what, sizeof what, "has no database %u: check redis.database (%s)",
                       greeting->server->database, words);
        return refuse(greeting, reason, what);
    }
    (void)snprintf(what, sizeof what, "refused %s: %s", command_of(step), words);
    return refuse(greeting, reason, what);
}

static bool accept_role(struct redis_greeting *greeting, const struct redisReply *reply,
                        char reason[REDIS_REASON_BYTES])
{
    const char *role = redis_reply_text(redis_reply_at(reply, 0), NULL);
    if (role != NULL && strcmp(role, "master") == 0) {
        return true;
    }
    if (role != NULL && strcmp(role, "slave") == 0) {
        char what[WORDS_BYTES + 160];
        const char *master = redis_reply_text(redis_reply_at(reply, 1), NULL);
        int64_t port = redis_reply_integer(redis_reply_at(reply, 2));
        (void)snprintf(what, sizeof what,
                       "is a replica of %.100s:%d: name its master, or its Sentinels in redis.sentinels",
                       master != NULL ? master : "?", (int)port);
        return refuse(greeting, reason, what);
    }
    if (role != NULL && strcmp(role, "sentinel") == 0) {
        return refuse(greeting, reason, "is a Sentinel: list it in redis.sentinels instead of redis.host");
    }
    return refuse(greeting, reason, "does not say which role it has: is it Redis?");
}

/* The number behind "name:" at the start of a line. */
static const char *info_value(const char *info, const char *name)
{
    const char *at = info;
    while ((at = strstr(at, name)) != NULL) {
        if (at == info || at[-1] == '\n') {
            return at + strlen(name);
        }
        at += strlen(name);
    }
    return NULL;
}

static bool accept_info(struct redis_greeting *greeting, const struct redisReply *reply,
                        char reason[REDIS_REASON_BYTES])
{
    const char *info = redis_reply_text(reply, NULL);
    const char *version = info != NULL ? info_value(info, "redis_version:") : NULL;
    unsigned major = 0, minor = 0, patch = 0;
    if (version == NULL || sscanf(version, "%3u.%2u.%2u", &major, &minor, &patch) < 2) {
        return refuse(greeting, reason, "does not tell its version (INFO server): is it Redis?");
    }
    greeting->version = major * 10000 + minor * 100 + patch;
    const char *mode = info_value(info, "redis_mode:");
    greeting->is_cluster = mode != NULL && strncmp(mode, "cluster", strlen("cluster")) == 0;
    if (greeting->version < LEAST_VERSION) {
        char what[WORDS_BYTES + 160];
        (void)snprintf(what, sizeof what, "is version %u.%u.%u: 6.2 or later is needed", major, minor, patch);
        return refuse(greeting, reason, what);
    }
    return true;
}

static bool accept_master(struct redis_greeting *greeting, const struct redisReply *reply,
                          char reason[REDIS_REASON_BYTES])
{
    const char *host = redis_reply_text(redis_reply_at(reply, 0), NULL);
    const char *port_text = redis_reply_text(redis_reply_at(reply, 1), NULL);
    if (host == NULL || port_text == NULL) {
        char what[WORDS_BYTES + 160];
        (void)snprintf(what, sizeof what, "knows no master named %.100s: check redis.sentinel_master",
                       greeting->server->sentinel_master);
        return refuse(greeting, reason, what);
    }
    char *end = NULL;
    unsigned long port = strtoul(port_text, &end, 10);
    if (*end != '\0' || port == 0 || port > UINT16_MAX || strlen(host) >= REDIS_HOST_BYTES) {
        return refuse(greeting, reason, "names a master that has no proper address");
    }
    strcpy(greeting->master_host, host);
    greeting->master_port = (uint16_t)port;
    return true;
}

bool redis_greeting_accept(struct redis_greeting *greeting, enum redis_greeting_step step,
                           const struct redisReply *reply, char out_reason[REDIS_REASON_BYTES])
{
    if (step == REDIS_GREETING_NAME && !begins_with(reply, "NOAUTH") && !begins_with(reply, "DENIED")) {
        return true;
    }
    if (step == REDIS_GREETING_ID) {
        greeting->client_id =
            redis_reply_type(reply) == REDIS_INTEGER ? (uint64_t)redis_reply_integer(reply) : 0;
        return true;
    }
    if (redis_reply_type(reply) == REDIS_ERROR) {
        bool is_about_password = step == REDIS_GREETING_AUTH && !begins_with(reply, "LOADING") &&
                                 !begins_with(reply, "DENIED") && !begins_with(reply, "ERR max number");
        return is_about_password ? refuse_auth(greeting, reply, out_reason)
                                 : refuse_error(greeting, step, reply, out_reason);
    }
    switch (step) {
    case REDIS_GREETING_ROLE:
        return accept_role(greeting, reply, out_reason);
    case REDIS_GREETING_INFO:
        return accept_info(greeting, reply, out_reason);
    case REDIS_GREETING_MASTER:
        return accept_master(greeting, reply, out_reason);
    default:
        return true;
    }
}

bool redis_split_place(const char *place, uint16_t default_port, char out_host[REDIS_HOST_BYTES],
                       uint16_t *out_port)
{
    const char *host = place;
    const char *end = place + strlen(place);
    const char *colon = strrchr(place, ':');
    if (*place == '[') {
        host = place + 1;
        end = strchr(place, ']');
        if (end == NULL) {
            return false;
        }
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (colon != NULL && strchr(place, ':') == colon) {
        end = colon;
    } else {
        colon = NULL; /* a bare IPv6 address */
    }
    unsigned long port = default_port;
    if (colon != NULL) {
        char *rest = NULL;
        port = strtoul(colon + 1, &rest, 10);
        if (rest == colon + 1 || *rest != '\0') {
            return false;
        }
    }
    size_t length = (size_t)(end - host);
    if (length == 0 || length >= REDIS_HOST_BYTES || port == 0 || port > UINT16_MAX) {
        return false;
    }
    memcpy(out_host, host, length);
    out_host[length] = '\0';
    *out_port = (uint16_t)port;
    return true;
}
