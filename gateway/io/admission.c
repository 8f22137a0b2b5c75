/*
 * What is let through to a route: framing, WebSocket handshakes, the route
 * table, expectations. Everything else is refused here with the right status, before
 * any of its body is read.
 */
#include "io/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/deflate_offer.h"

enum {
    METHOD_HEAD = 1 << 16, /* beside enum http_method */
    RATE_BODY_BYTES = 16384,
};

/* Routing. */

static int method_of(const char *text)
{
    static const struct {
        const char *name;
        int method;
    } table[] = {{"GET", HTTP_GET},
                 {"HEAD", HTTP_GET | METHOD_HEAD},
                 {"POST", HTTP_POST},
                 {"DELETE", HTTP_DELETE},
                 {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, text) == 0) {
            return table[i].method;
        }
    }
    return 0;
}

static bool is_wildcard(const struct http_route *route)
{
    return route->pattern[strlen(route->pattern) - 1] == '*';
}

/**
 * Does path match? Fills parts with slices of path when parts is not NULL.
 * Segments compare whole; {name} takes one that is not empty; a final "*" takes the rest, slashes included.
 */
static bool matches(const char *pattern, const char *path, const char *parts[PATH_PARTS_MAX],
                    size_t lengths[PATH_PARTS_MAX], unsigned *out_count)
{
    unsigned count = 0;
    while (*pattern != '\0') {
        bool is_rest = pattern[0] == '*' && pattern[1] == '\0';
        if (is_rest || *pattern == '{') {
            size_t length = is_rest ? strlen(path) : strcspn(path, "/");
            if ((!is_rest && length == 0) || count == PATH_PARTS_MAX) {
                return false;
            }
            parts[count] = path;
            lengths[count++] = length;
            path += length;
            pattern = is_rest ? pattern + 1 : strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    *out_count = count;
    return *path == '\0';
}

static bool take_parts(struct http_exchange *exchange, const char *const parts[], const size_t lengths[],
                       unsigned count)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        total += lengths[i] + 1;
    }
    char *to = malloc(total + 1);
    if (to == NULL) {
        return false;
    }
    exchange->parts_text = to;
    exchange->part_count = count;
    for (unsigned i = 0; i < count; i++) {
        memcpy(to, parts[i], lengths[i]);
        to[lengths[i]] = '\0';
        exchange->parts[i] = to;
        to += lengths[i] + 1;
    }
    return true;
}

static void refuse_method(struct http_exchange *exchange, int allowed)
{
    char allow[64] = "";
    size_t length = 0;
    static const struct {
        int method;
        const char *name;
    } table[] = {
        {HTTP_GET, "GET, HEAD"}, {HTTP_POST, "POST"}, {HTTP_DELETE, "DELETE"}, {HTTP_OPTIONS, "OPTIONS"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (allowed & table[i].method) {
            length += (size_t)snprintf(allow + length, sizeof allow - length, "%s%s", length > 0 ? ", " : "",
                                       table[i].name); /* all four fit */
        }
    }
    http_set_header(exchange, "Allow", allow);
    exchange_refuse(exchange, REFUSED_METHOD, 405, "method_not_allowed", NULL, exchange->body_expected > 0);
}

/** Routes with a wildcard count only when no other matches the path. */
static const struct http_route *find_route(struct http_exchange *exchange, int method, int *out_allowed)
{
    struct listener *listener = exchange->listener;
    *out_allowed = 0;
    for (int want_wildcard = 0; want_wildcard < 2 && *out_allowed == 0; want_wildcard++) {
        for (unsigned i = 0; i < listener->route_count; i++) {
            const struct http_route *route = &listener->routes[i];
            const char *parts[PATH_PARTS_MAX];
            size_t lengths[PATH_PARTS_MAX];
            unsigned count = 0;
            if (is_wildcard(route) != (want_wildcard == 1) ||
                !matches(route->pattern, exchange->request->path, parts, lengths, &count) ||
                (route->exists && !route->exists(route->context, exchange->request->path))) {
                continue;
            }
            if (route->methods & method) {
                return take_parts(exchange, parts, lengths, count) ? route : NULL;
            }
            *out_allowed |= route->methods;
        }
    }
    return NULL;
}

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (content_type == NULL || strncasecmp(content_type, json, sizeof json - 1) != 0) {
        return false;
    }
    char next = content_type[sizeof json - 1];
    return next == '\0' || next == ';' || next == ' ' || next == '\t';
}

/* Doors. */

static bool check_host(struct http_exchange *exchange)
{
    if (doors_know_host(&exchange->listener->doors, request_header(exchange->request, "host"))) {
        return true;
    }
    exchange_refuse(exchange, REFUSED_HOST, 421, "host_not_allowed",
                    "this name is not in listen.allowed_hosts", true);
    return false;
}

static enum door_origin judge_origin(const struct http_exchange *exchange)
{
    const struct request *request = exchange->request;
    return request_header_count(request, "origin") > 1
               ? ORIGIN_FOREIGN
               : doors_judge_origin(&exchange->listener->doors, request_header(request, "origin"),
                                    request_header(request, "host"));
}

/* Pages of listed origins may read what they are answered (Fetch standard, CORS protocol). */
static void tell_origin(struct http_exchange *exchange)
{
    const struct doors *doors = &exchange->listener->doors;
    if (doors->origins && *doors->origins) {
        http_set_header(exchange, "Vary", "Origin"); /* for every answer: a cache must not mix them */
    }
    if (judge_origin(exchange) == ORIGIN_LISTED) {
        http_set_header(exchange, "Access-Control-Allow-Origin", request_header(exchange->request, "origin"));
        http_set_header(exchange, "Access-Control-Expose-Headers", "ETag, Retry-After");
    }
}

/* A page of a listed origin asks before it sends a request with a token. It may read; to write, it needs a server of its own. */
static bool try_preflight(struct http_exchange *exchange)
{
    if (strcmp(exchange->request->method, "OPTIONS") != 0 || judge_origin(exchange) != ORIGIN_LISTED ||
        request_header(exchange->request, "access-control-request-method") == NULL) {
        return false;
    }
    http_set_header(exchange, "Access-Control-Allow-Methods", "GET, HEAD");
    http_set_header(exchange, "Access-Control-Allow-Headers", "Authorization, If-None-Match, Last-Event-ID");
    http_set_header(exchange, "Access-Control-Max-Age", "600");
    exchange->must_close = exchange->must_close || exchange->body_expected > 0;
    exchange->state = HANDLING;
    http_answer(exchange, 204, NULL, NULL, 0, true);
    return true;
}

/* WebSocket handshakes. */

static const struct ws_route *find_ws_route(const struct http_exchange *exchange)
{
    const struct listener *listener = exchange->listener;
    for (unsigned i = 0; i < listener->ws_route_count; i++) {
        if (strcmp(listener->ws_routes[i].path, exchange->request->path) == 0) {
            return &listener->ws_routes[i];
        }
    }
    return NULL;
}

/** 16 bytes in base64: 22 digits, the last with four zero bits, and two pads. */
static bool is_websocket_key(const char *key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key != NULL && strspn(key, digits) == 22 && strcmp(key + 22, "==") == 0 &&
           strchr("AQgw", key[21]) != NULL;
}

static void refuse_handshake(struct http_exchange *exchange, int status, const char *code, const char *detail)
{
    exchange_refuse(exchange, REFUSED_HANDSHAKE, status, code, detail, true);
}

static void refuse_version(struct http_exchange *exchange)
{
    http_set_header(exchange, "Sec-WebSocket-Version", "13");
    http_set_header(exchange, "Upgrade", "websocket");
    refuse_handshake(exchange, 426, "upgrade_required", "this is a WebSocket, version 13");
}

/** Everything RFC 6455, 4.2.1 asks for, since libwebsockets checks little of it. False: refused. */
static bool check_handshake(struct http_exchange *exchange, const struct ws_route *route)
{
    const struct request *request = exchange->request;
    const char *version = request_header(request, "sec-websocket-version");
    if (strcmp(request->method, "GET") != 0) {
        http_set_header(exchange, "Allow", "GET");
        exchange_refuse(exchange, REFUSED_METHOD, 405, "method_not_allowed", NULL, true);
    } else if (request->minor_version < 1 || exchange->body_expected > 0 ||
               !request_has_token(request, "connection", "upgrade")) {
        refuse_handshake(exchange, 400, "bad_handshake", "an upgrade is an HTTP/1.1 GET without a body");
    } else if (version == NULL || strcmp(version, "13") != 0) {
        refuse_version(exchange);
    } else if (request_header_count(request, "sec-websocket-key") != 1 ||
               !is_websocket_key(request_header(request, "sec-websocket-key"))) {
        refuse_handshake(exchange, 400, "bad_handshake", "Sec-WebSocket-Key is not 16 bytes in base64");
    } else if (!request_has_exact_token(request, "sec-websocket-protocol", route->subprotocol)) {
        refuse_handshake(exchange, 400, "subprotocol_required",
                         "Sec-WebSocket-Protocol must offer the subprotocol");
    } else if (judge_origin(exchange) == ORIGIN_FOREIGN) {
        exchange_refuse(exchange, REFUSED_ORIGIN, 403, "origin_not_allowed", NULL, true);
    } else {
        return true;
    }
    return false;
}

static const char *extensions_answer(const struct http_exchange *exchange)
{
    const struct request *request = exchange->request;
    for (unsigned i = 0; exchange->listener->options.accepts_deflate && i < request->header_count; i++) {
        const char *answer = strcasecmp(request->headers[i].name, "sec-websocket-extensions") == 0
                                 ? deflate_offer_answer(request->headers[i].value)
                                 : NULL;
        if (answer != NULL) {
            return answer;
        }
    }
    return NULL;
}

static void hand_over(struct http_exchange *exchange, const struct ws_route *route)
{
    struct ws_handshake handshake = {
        .route = route,
        .key = request_header(exchange->request, "sec-websocket-key"),
        .extension = extensions_answer(exchange),
        .rest = exchange->in.at,
        .rest_length = exchange->in.length,
    };
    exchange_release_socket(exchange, &handshake); /* libuv watches a descriptor once only */
    ws_adopt(exchange->listener, &handshake);
}

/** True when the request was a matter for a WebSocket route, whatever became of it. */
static bool try_upgrade(struct http_exchange *exchange)
{
    const struct ws_route *route = find_ws_route(exchange);
    /* Any other upgrade (h2c) is ignored, as RFC 9110, 7.8 allows: the answer is plain HTTP/1.1. */
    bool is_upgrade = request_has_token(exchange->request, "upgrade", "websocket");
    if (route == NULL) {
        if (is_upgrade) {
            exchange_refuse(exchange, REFUSED_NOT_FOUND, 404, "not_found", NULL, true);
        }
        return is_upgrade;
    }
    if (!is_upgrade) {
        refuse_version(exchange);
    } else if (check_handshake(exchange, route)) {
        hand_over(exchange, route);
    }
    return true;
}

/* Clients. */

/** Why a client may not go on; in words, unless they would cost a handshake. */
struct client_refusal {
    enum refusal refusal;
    int status;
    const char *code;
    const char *detail;
};

static void refuse_client(struct http_exchange *exchange, const struct client_refusal *why, uint64_t wait_us,
                          bool must_close)
{
    char seconds[16];
    if (exchange->state == SHAKING_HANDS) {
        listener_refused(exchange->listener, why->refusal);
        exchange_die(exchange);
        return;
    }
    (void)snprintf(seconds, sizeof seconds, "%u", (unsigned)(wait_us / 1000000 + 1)); /* not long: it fits */
    http_set_header(exchange, "Retry-After", seconds);
    exchange_refuse(exchange, why->refusal, why->status, why->code, why->detail,
                    must_close || exchange->body_expected > 0);
}

bool exchange_count_client(struct http_exchange *exchange)
{
    static const struct client_refusal too_many = {REFUSED_MAX_CONNECTIONS, 503, "unavailable",
                                                   "too many connections"};
    static const struct client_refusal too_many_from_there = {
        REFUSED_MAX_PER_ADDRESS, 429, "too_many_connections", "too many connections from this address"};
    enum { WAIT_US = 4999999 };
    enum result result = listener_address_came(exchange->listener, &exchange->client, &exchange->address);
    if (result != RESULT_OK) {
        /* A proxy's connection stays: others come over it. */
        refuse_client(exchange, result == RESULT_TOO_MANY ? &too_many_from_there : &too_many, WAIT_US,
                      !exchange->peer_is_proxy);
    }
    return result == RESULT_OK;
}

bool exchange_take_rate(struct http_exchange *exchange, uint32_t tokens, bool must_close)
{
    static const struct client_refusal too_fast = {REFUSED_RATE_PER_ADDRESS, 429, "rate_limited",
                                                   "too many requests from this address"};
    uint64_t wait_us = listener_rate_wait_us(exchange->listener, &exchange->client, tokens);
    if (wait_us > 0) {
        refuse_client(exchange, &too_fast, wait_us, must_close);
    }
    return wait_us == 0;
}

/** Whose request is it? False when that client has too many connections. */
static bool find_client(struct http_exchange *exchange)
{
    const struct listener *listener = exchange->listener;
    const struct request *request = exchange->request;
    const char *name =
        listener->options.forwarded_form == FORWARDED_RFC7239 ? "forwarded" : "x-forwarded-for";
    struct forwarded forwarded = {0};
    if (!exchange->peer_is_proxy) {
        return true;
    }
    for (unsigned i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            forwarded_add(&forwarded, listener->options.forwarded_form, request->headers[i].value,
                          &listener->trusted);
        }
    }
    exchange->client = forwarded.client.version != 0 ? forwarded.client : exchange->peer;
    exchange->client_text[0] = '\0';
    return exchange_count_client(exchange);
}

/** One for the request, and one for each RATE_BODY_BYTES of its body: bytes have their rate, too. */
static bool check_rate(struct http_exchange *exchange)
{
    size_t bodies = exchange->body_expected / RATE_BODY_BYTES;
    return exchange_take_rate(exchange, 1 + (uint32_t)(bodies < UINT16_MAX ? bodies : UINT16_MAX), false);
}

/* The checks in order. */

/** The request's framing: false when it was refused. */
static bool check_framing(struct http_exchange *exchange)
{
    uint64_t length = 0;
    bool is_present = false;
    if (request_header(exchange->request, "transfer-encoding") != NULL) {
        exchange_refuse(exchange, REFUSED_LENGTH_REQUIRED, 411, "length_required", "send a Content-Length",
                        true);
        return false;
    }
    if (!request_content_length(exchange->request, &length, &is_present)) {
        exchange_refuse(exchange, REFUSED_MALFORMED, 400, "malformed_length", NULL, true);
        return false;
    }
    exchange->body_expected = (size_t)length;
    if (!is_present && strcmp(exchange->request->method, "POST") == 0) {
        exchange_refuse(exchange, REFUSED_LENGTH_REQUIRED, 411, "length_required", "send a Content-Length",
                        true);
        return false;
    }
    return true;
}

/** The route and what it says about the body: false when the request was refused. */
static bool check_route(struct http_exchange *exchange)
{
    int method = method_of(exchange->request->method);
    int allowed = 0;
    bool has_body = exchange->body_expected > 0;
    exchange->is_head = (method & METHOD_HEAD) != 0;
    exchange->route = find_route(exchange, method, &allowed);
    if (exchange->route == NULL && allowed != 0) {
        refuse_method(exchange, allowed);
    } else if (exchange->route == NULL) {
        exchange_refuse(exchange, REFUSED_NOT_FOUND, 404, "not_found", NULL, has_body);
    } else if (exchange->route->is_not_for_pages && judge_origin(exchange) != ORIGIN_OURS) {
        exchange_refuse(exchange, REFUSED_ORIGIN, 403, "origin_not_allowed", NULL, has_body);
    } else if (exchange->route->needs_json && (method & HTTP_POST) &&
               !is_json(request_header(exchange->request, "content-type"))) {
        exchange_refuse(exchange, REFUSED_MEDIA_TYPE, 415, "json_required",
                        "Content-Type must be application/json", has_body);
    } else if (exchange->body_expected > exchange->route->body_max_bytes) {
        exchange_refuse(exchange, REFUSED_TOO_BIG, 413, "body_too_big", NULL, true);
    } else {
        return true;
    }
    return false;
}

/** Expect: 100-continue is answered at once, or curl waits a second. False when refused. */
static bool answer_expectation(struct http_exchange *exchange)
{
    const char *expect = request_header(exchange->request, "expect");
    if (expect == NULL || exchange->request->minor_version < 1) {
        return true;
    }
    if (strcasecmp(expect, "100-continue") != 0) {
        exchange_refuse(exchange, REFUSED_EXPECTATION, 417, "expectation_failed", NULL, true);
        return false;
    }
    if (exchange->body_expected > exchange->in.length) {
        bytes_init(&exchange->out, 64);
        bytes_append_text(&exchange->out, "HTTP/1.1 100 Continue\r\n\r\n");
        if (bytes_failed(&exchange->out)) {
            exchange_die(exchange);
            return false;
        }
        if (!exchange_flush(exchange)) {
            return false;
        }
    }
    return true;
}

/** What the route itself says to the head. False when it was refused. */
static bool ask_route(struct http_exchange *exchange)
{
    const struct http_route *route = exchange->route;
    if (route->on_head == NULL) {
        return true;
    }
    bool must_close = exchange->must_close;
    exchange->must_close = must_close || exchange->body_expected > 0; /* for the case that it answers */
    exchange->state = HANDLING;
    if (!route->on_head(route->context, exchange)) {
        return false;
    }
    exchange->state = READING_HEAD;
    exchange->must_close = must_close;
    return true;
}

bool exchange_admit(struct http_exchange *exchange)
{
    if (!check_framing(exchange) || !find_client(exchange) || !check_rate(exchange) ||
        !check_host(exchange)) {
        return false;
    }
    tell_origin(exchange);
    return !try_preflight(exchange) && !try_upgrade(exchange) && check_route(exchange) &&
           ask_route(exchange) && answer_expectation(exchange);
}
