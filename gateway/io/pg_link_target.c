/*
 * Connection strings. libpq parses them; what it would do by itself and block on (look up names, walk several
 * hosts) is done here one host per attempt. A string that cannot be used is described without quoting it.
 */
#include "io/pg_link_target.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMETERS 64

static const char *option(const struct pg_target *target, const char *keyword)
{
    for (const PQconninfoOption *at = target->options; at && at->keyword; at++) {
        if (strcmp(at->keyword, keyword) == 0) {
            return at->val && *at->val ? at->val : NULL;
        }
    }
    return NULL;
}

/*
 * PGHOST, PGUSER and their like count as given, so that the host is looked up here whoever named it. Not libpq's
 * own default for gssencmode: "prefer" asks the Kerberos library, which may block.
 */
static void add_environment(PQconninfoOption *given)
{
    PQconninfoOption *defaults = PQconndefaults();
    for (const PQconninfoOption *from = defaults; from && from->keyword; from++) {
        if (strcmp(from->keyword, "gssencmode") == 0 && !getenv("PGGSSENCMODE")) {
            continue;
        }
        for (PQconninfoOption *to = given; to->keyword; to++) {
            if (from->val && !to->val && strcmp(from->keyword, to->keyword) == 0) {
                to->val = strdup(from->val); /* NULL: libpq falls back to the same default */
            }
        }
    }
    PQconninfoFree(defaults);
}

static size_t list_length(const char *list)
{
    size_t count = 1;
    for (; list && *list; list++) {
        count += *list == ',';
    }
    return count;
}

/* Element `index` of a comma-separated list; false when it does not fit. */
static bool list_pick(const char *list, size_t index, char *out, size_t size)
{
    const char *start = list;
    for (; index > 0; index--) {
        start = strchr(start, ',') + 1;
    }
    size_t length = strcspn(start, ",");
    if (length >= size) {
        return false;
    }
    memcpy(out, start, length);
    out[length] = '\0';
    return true;
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool pick_host(struct pg_target *target, size_t attempt)
{
    const char *addresses = option(target, "hostaddr");
    const char *hosts = option(target, "host") ? option(target, "host") : addresses;
    size_t count = list_length(hosts);
    if ((hosts && !list_pick(hosts, attempt % count, target->host, sizeof target->host)) ||
        (addresses && (list_length(addresses) != count ||
                       !list_pick(addresses, attempt % count, target->address, sizeof target->address)))) {
        return false;
    }
    target->needs_lookup =
        !*target->address && *target->host && *target->host != '/' && !is_address(target->host);
    const char *ports = option(target, "port");
    size_t port_count = list_length(ports);
    return !ports || ((port_count == 1 || port_count == count) &&
                      list_pick(ports, attempt % port_count, target->port, sizeof target->port));
}

static bool is_port(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && strspn(text, "0123456789") == length && atoi(text) > 0 && atoi(text) <= UINT16_MAX;
}

bool pg_target_init(struct pg_target *target, const char *conninfo, size_t attempt,
                    char reason[PG_REASON_MAX_BYTES])
{
    *target = (struct pg_target){.port = "5432"};
    target->options = PQconninfoParse(conninfo, NULL);
    bool is_good = target->options != NULL;
    if (is_good) {
        add_environment(target->options);
        is_good = pick_host(target, attempt) && is_port(target->port) && !strchr(target->host, '@');
    }
    if (!is_good) {
        (void)snprintf(
            reason, PG_REASON_MAX_BYTES,
            "postgres.url is not a connection string: write postgres://user:password@host:port/database, "
            "special characters of the password as %%XX");
        pg_target_finish(target);
    }
    return is_good;
}

void pg_target_finish(struct pg_target *target)
{
    PQconninfoFree(target->options);
    target->options = NULL;
}

struct parameters {
    const char *keywords[MAX_PARAMETERS];
    const char *values[MAX_PARAMETERS];
    size_t count;
};

static void add(struct parameters *parameters, const char *keyword, const char *value)
{
    assert(parameters->count + 1 < MAX_PARAMETERS); /* libpq 15 knows 41 keywords, we add some twice */
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count] = value;
    parameters->count++;
}

/* Which host, and which server will do, are decided here, not by libpq. */
static bool is_ours(const char *keyword)
{
    static const char *const ours[] = {"host", "hostaddr", "port", "target_session_attrs", "replication"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(keyword, ours[i]) == 0) {
            return true;
        }
    }
    return false;
}

PGconn *pg_target_connect(const struct pg_target *target, const char *address, const char *link_name)
{
    char name[64];
    (void)snprintf(name, sizeof name, "sophia-gateway/%s", link_name);
    struct parameters parameters = {.count = 0};
    if (!option(target, "gssencmode")) {
        add(&parameters, "gssencmode", "disable");
    }
    for (const PQconninfoOption *at = target->options; at->keyword; at++) {
        if (at->val && !is_ours(at->keyword)) {
            add(&parameters, at->keyword, at->val);
        }
    }
    add(&parameters, "host", target->host);
    add(&parameters, "hostaddr", address ? address : *target->address ? target->address : NULL);
    add(&parameters, "port", target->port);
    add(&parameters, "application_name", name);
    add(&parameters, "client_encoding", "UTF8");
    /* The later one wins: these hold whatever the string says. docs/postgres.md has what was measured. */
    add(&parameters, "keepalives", "1");
    add(&parameters, "keepalives_idle", "5");
    add(&parameters, "keepalives_interval", "2");
    add(&parameters, "keepalives_count", "3");
    add(&parameters, "tcp_user_timeout", "4000");
    parameters.keywords[parameters.count] = NULL;
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

void pg_target_print(const struct pg_target *target, const PGconn *connection, char *out, size_t size)
{
    const char *user = connection ? PQuser(connection) : option(target, "user");
    const char *database = connection ? PQdb(connection) : option(target, "dbname");
    user = user && *user ? user : "?";
    database = database && *database ? database : user;
    const char *host = *target->host ? target->host : "local socket";
    (void)snprintf(out, size, "%s@%s:%s/%s", user, host, target->port, database); /* cut when too long */
}

void pg_first_line(const char *text, char *out, size_t size)
{
    size_t length = text ? strcspn(text, "\r\n") : 0;
    length = length < size - 1 ? length : size - 1;
    while (length > 0 && text[length] && ((unsigned char)text[length] & 0xC0) == 0x80) {
        length--; /* not through the middle of a character */
    }
    for (size_t i = 0; i < length; i++) {
        out[i] = text[i];
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f) {
            out[i] = ' ';
        }
    }
    out[length] = '\0';
}

void pg_reason_print(const struct pg_target *target, const PGconn *connection, const char *what,
                     const char *remedy, char out[PG_REASON_MAX_BYTES])
{
    char place[160];
    pg_target_print(target, connection, place, sizeof place);
    int length = snprintf(out, PG_REASON_MAX_BYTES, "%s [%s]%s%s", what, place, *remedy ? ": " : "", remedy);
    if (length >= PG_REASON_MAX_BYTES) {
        pg_first_line(out, out, PG_REASON_MAX_BYTES - 1); /* not through the middle of a character */
    }
}

/* "FATAL:  28P01: password authentication failed": the code, and what follows it. */
static bool find_sqlstate(const char *text, char out_state[6], const char **out_message)
{
    for (const char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *state = at + 3;
        if (strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && state[5] == ':') {
            memcpy(out_state, state, 5);
            out_state[5] = '\0';
            *out_message = state + 6 + strspn(state + 6, " ");
            return true;
        }
    }
    return false;
}

struct remedy {
    const char *sign; /* SQLSTATE, or part of libpq's own text */
    const char *what; /* NULL: the message itself */
    const char *remedy;
};

static const struct remedy by_sqlstate[] = {
    {"28P01", "wrong password", "correct postgres.url or postgres.url_file"},
    {"28000", NULL, "create the role, or add a line for it to pg_hba.conf and reload the server"},
    {"3D000", "no such database", "create it, or correct postgres.url"},
    {"53300", "too many connections",
     "raise max_connections or the role's limit, or lower postgres.pool_size"},
    {"57P03", "not accepting connections yet (starting, stopping or recovering)", "retrying"},
    {"42501", "may not connect to this database", "grant connect on the database to this role"},
};

static const struct remedy by_text[] = {
    {"Connection refused", "connection refused", "is PostgreSQL running and listening there?"},
    {"No such file or directory", "no server on this socket",
     "is PostgreSQL running, and is this its directory?"},
    {"no password supplied", "a password is needed", "add it to postgres.url or postgres.url_file"},
    {"timeout expired", "connecting took too long", "is a firewall dropping packets?"},
    {"Connection timed out", "connecting took too long", "is a firewall dropping packets?"},
    {"No route to host", "no route to host", "check the network and postgres.url"},
    {"Network is unreachable", "network is unreachable", "check the network and postgres.url"},
    {"does not support SSL", "the server does not offer TLS",
     "switch it on, or relax sslmode in postgres.url"},
    {"certificate", "TLS failed", "check sslmode, sslrootcert and the server's certificate"},
};

void pg_reason_of_failure(const struct pg_target *target, const PGconn *connection, const char *text,
                          char out[PG_REASON_MAX_BYTES])
{
    char state[6] = "", line[100];
    const char *message = text;
    bool has_state = find_sqlstate(text, state, &message);
    for (size_t i = 0; has_state && i < sizeof by_sqlstate / sizeof *by_sqlstate; i++) {
        if (strcmp(by_sqlstate[i].sign, state) == 0) {
            pg_first_line(message, line, sizeof line);
            pg_reason_print(target, connection, by_sqlstate[i].what ? by_sqlstate[i].what : line,
                            by_sqlstate[i].remedy, out);
            return;
        }
    }
    for (size_t i = 0; !has_state && i < sizeof by_text / sizeof *by_text; i++) {
        if (strstr(text, by_text[i].sign)) {
            pg_reason_print(target, connection, by_text[i].what, by_text[i].remedy, out);
            return;
        }
    }
    const char *own = has_state ? NULL : strstr(text, " failed: ");
    pg_first_line(own ? own + strlen(" failed: ") : message, line, sizeof line);
    pg_reason_print(target, connection, *line ? line : "connection lost", "", out);
}
