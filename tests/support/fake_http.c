/*
 * Stands in for io/http*.c and what listener.c does for routes. One answer per
 * exchange is asserted, as http.h demands.
 */
#include "fake_http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/listener.h"

enum { ROUTES_MAX = 32 };

static struct http_route routes[ROUTES_MAX];
static size_t route_count;

void fake_http_reset(void)
{
    route_count = 0;
}

void listener_add_http(struct listener *listener, const struct http_route *route)
{
    (void)listener;
    assert(route_count < ROUTES_MAX);
    routes[route_count++] = *route;
}

uint32_t listener_connection_count(const struct listener *listener)
{
    (void)listener;
    return 3;
}

uint32_t listener_max_connections(const struct listener *listener)
{
    (void)listener;
    return 500;
}

const struct http_route *fake_http_route(const char *pattern)
{
    for (size_t i = 0; i < route_count; i++) {
        if (strcmp(routes[i].pattern, pattern) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

void fake_http_send(const char *pattern, struct http_exchange *exchange)
{
    const struct http_route *route = fake_http_route(pattern);
    assert(route);
    if (route->on_head && !route->on_head(route->context, exchange)) {
        return;
    }
    route->on_request(route->context, exchange);
}

void fake_http_finish(struct http_exchange *exchange)
{
    free(exchange->text);
    exchange->text = NULL;
}

void fake_http_leave(struct http_exchange *exchange)
{
    assert(exchange->on_gone);
    exchange->on_gone(exchange->gone_owner);
}

const char *fake_http_header(const struct http_exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->header_count; i++) {
        if (strcmp(exchange->headers[i].name, name) == 0) {
            return exchange->headers[i].value;
        }
    }
    return "";
}

const char *http_path(const struct http_exchange *exchange)
{
    (void)exchange;
    return "/path";
}

const char *http_path_part(const struct http_exchange *exchange, size_t index)
{
    return index == 0 && exchange->part ? exchange->part : "";
}

const char *http_query(const struct http_exchange *exchange, const char *name)
{
    return exchange->query_name && strcmp(exchange->query_name, name) == 0 ? exchange->query_value : NULL;
}

unsigned http_header_count(const struct http_exchange *exchange, const char *name)
{
    unsigned count = 0;
    for (size_t i = 0; i < exchange->sent_count; i++) {
        count += strcmp(exchange->sent[i].name, name) == 0;
    }
    return count > 0 || !http_header(exchange, name) ? count : 1;
}

const char *http_header(const struct http_exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->sent_count; i++) {
        if (strcmp(exchange->sent[i].name, name) == 0) {
            return exchange->sent[i].value;
        }
    }
    if (strcmp(name, "authorization") == 0) {
        return exchange->authorization;
    }
    if (exchange->extra_name && strcmp(name, exchange->extra_name) == 0) {
        return "anything";
    }
    return strcmp(name, "if-none-match") == 0 ? exchange->if_none_match : NULL;
}

const char *http_body(const struct http_exchange *exchange, size_t *out_length)
{
    *out_length = exchange->body_length ? exchange->body_length : exchange->body ? strlen(exchange->body) : 0;
    return exchange->body ? exchange->body : "";
}

const char *http_peer_address(const struct http_exchange *exchange)
{
    return exchange->is_remote ? "192.0.2.1" : "127.0.0.1";
}

bool http_is_admin(const struct http_exchange *exchange)
{
    (void)exchange;
    return false;
}

bool http_peer_is_loopback(const struct http_exchange *exchange)
{
    return !exchange->is_remote;
}

void http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
    assert(exchange->answers == 0 && exchange->header_count < FAKE_HEADERS_MAX);
    struct fake_header *header = &exchange->headers[exchange->header_count++];
    snprintf(header->name, sizeof header->name, "%s", name);
    snprintf(header->value, sizeof header->value, "%s", value);
}

void http_answer(struct http_exchange *exchange, int status, const char *content_type, const void *body,
                 size_t length, bool is_static)
{
    (void)is_static;
    assert(exchange->answers == 0);
    exchange->answers++;
    exchange->status = status;
    snprintf(exchange->type, sizeof exchange->type, "%s", content_type ? content_type : "");
    exchange->text = calloc(1, length + 1);
    assert(exchange->text);
    if (length > 0) {
        memcpy(exchange->text, body, length);
    }
    exchange->length = length;
}

void http_problem(struct http_exchange *exchange, int status, const char *code, const char *detail)
{
    snprintf(exchange->code, sizeof exchange->code, "%s", code);
    http_answer(exchange, status, "application/problem+json", detail ? detail : "",
                detail ? strlen(detail) : 0, false);
}

void http_on_gone(struct http_exchange *exchange, void (*on_gone)(void *owner), void *owner)
{
    exchange->on_gone = on_gone;
    exchange->gone_owner = owner;
}
