/* Each request is counted and logged with who asked and what went; the key is the operator's text and is escaped. */
#include "transports/cache_endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "access/audit.h"
#include "base/log.h"
#include "protocol/bytes.h"
#include "protocol/clear_request.h"
#include "transports/http_reply.h"

struct cache_endpoint {
    struct cache_endpoint_options options;
    struct metric *cleared[2]; /* key, class */
    struct metric *refused;
};

static void note(struct cache_endpoint *endpoint, struct http_exchange *exchange, const char *target,
                 const char *refusal)
{
    audit_note(access_audit(endpoint->options.access),
               &(struct audit_event){.action = AUDIT_CLEAR_CACHE,
                                     .refusal = refusal,
                                     .by = refusal ? NULL : "admin_key",
                                     .address = http_peer_address(exchange),
                                     .over = "http",
                                     .target = target});
}

/* May this peer administrate? If not, it has been answered. */
static bool on_head(void *context, struct http_exchange *exchange)
{
    struct cache_endpoint *endpoint = context;
    enum result result =
        access_may_administrate(endpoint->options.access, http_header(exchange, "authorization"));
    if (result == RESULT_OK) {
        return true;
    }
    metric_add(endpoint->refused, 1);
    log_warn("clearing the cache refused", LOG_TEXT("peer", http_peer_address(exchange)),
             LOG_TEXT("result", result_name(result)));
    note(endpoint, exchange, NULL, result_name(result));
    if (result == RESULT_UNAUTHENTICATED) {
        http_set_header(exchange, "WWW-Authenticate", "Bearer realm=\"admin\"");
        http_problem(exchange, 401, result_name(result), "the admin key is missing");
    } else {
        http_problem(exchange, 403, result_name(result),
                     "only the admin key, where one is configured, may do this");
    }
    return false;
}

static void answer_cleared(struct cache_endpoint *endpoint, struct http_exchange *exchange,
                           const struct clear_request *request, size_t count)
{
    struct bytes body;
    metric_add(endpoint->cleared[request->is_class ? 1 : 0], 1);
    log_info("cache cleared", LOG_TEXT(request->is_class ? "class" : "key", request->name),
             LOG_INT("entries", count), LOG_TEXT("peer", http_peer_address(exchange)));
    note(endpoint, exchange, request->name, NULL);
    bytes_init(&body, BODY_MAX_BYTES);
    bytes_append_text(&body, request->is_class ? "{\"class\":" : "{\"key\":");
    bytes_append_json_string(&body, request->name, strlen(request->name));
    bytes_append_format(&body, ",\"cleared\":%zu}", count);
    http_set_header(exchange, "Cache-Control", "no-store");
    http_reply_body(exchange, 200, JSON_TYPE, &body);
}

static void on_clear(void *context, struct http_exchange *exchange)
{
    struct cache_endpoint *endpoint = context;
    struct clear_request request;
    const char *problem = "";
    size_t length = 0;
    const char *text = http_body(exchange, &length);
    enum result result = clear_request_decode(text, length, &request, &problem);
    if (result != RESULT_OK) {
        http_problem(exchange, 400, result_name(result), problem);
        return;
    }
    if (!endpoint->options.cache) {
        http_problem(exchange, 404, result_name(RESULT_UNKNOWN_FIELD), "the cache is switched off");
        return;
    }
    size_t count = 0;
    bool was_held = false;
    result = request.is_class ? cache_clear_class(endpoint->options.cache, request.name, &count)
                              : cache_forget(endpoint->options.cache, request.name, &was_held);
    if (result != RESULT_OK) {
        http_problem(exchange, 404, result_name(result),
                     "there is no such class; a key begins with its class and a colon");
        return;
    }
    answer_cleared(endpoint, exchange, &request, request.is_class ? count : was_held ? 1 : 0);
}

struct cache_endpoint *cache_endpoint_create(const struct cache_endpoint_options *options)
{
    static const char help[] = "Times an operator cleared something from the cache.";
    struct cache_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (!endpoint) {
        return NULL;
    }
    endpoint->options = *options;
    endpoint->cleared[0] = metrics_counter(options->metrics, "gw_cache_clears_total", "what=\"key\"", help);
    endpoint->cleared[1] = metrics_counter(options->metrics, "gw_cache_clears_total", "what=\"class\"", help);
    endpoint->refused = metrics_counter(options->metrics, "gw_admin_refused_total", NULL,
                                        "Requests of operators refused for want of a good admin key.");
    listener_add_http(options->listener, &(struct http_route){
                                             .methods = HTTP_POST,
                                             .pattern = "/api/v1/data-flow/cache/clear",
                                             .body_max_bytes = CLEAR_BODY_MAX_BYTES,
                                             .needs_json = true,
                                             .is_not_for_pages = true,
                                             .context = endpoint,
                                             .on_head = on_head,
                                             .on_request = on_clear,
                                         });
    return endpoint;
}

void cache_endpoint_destroy(struct cache_endpoint *endpoint)
{
    free(endpoint);
}
