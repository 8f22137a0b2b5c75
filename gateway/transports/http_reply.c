/* Shared by the endpoints; nothing here knows what is read. */
#include "transports/http_reply.h"

void http_reply_body(struct http_exchange *exchange, int status, const char *type, struct bytes *body)
{
    if (bytes_failed(body)) {
        http_problem(exchange, 500, result_name(RESULT_NO_MEMORY), "the answer did not fit");
    } else {
        http_answer(exchange, status, type, body->at, body->length, false);
    }
    bytes_finish(body);
}

bool http_reply_may_read(const struct access *access, struct metric *unauthenticated,
                         struct http_exchange *exchange)
{
    if (!access_viewer_needs_token(access) ||
        access_check_viewer_header(access, http_header(exchange, "authorization")) == RESULT_OK) {
        return true;
    }
    metric_add(unauthenticated, 1);
    http_set_header(exchange, "WWW-Authenticate", "Bearer realm=\"viewer\"");
    http_set_header(exchange, "Cache-Control", "no-store");
    http_problem(exchange, 401, "unauthenticated", "the viewer key is missing or wrong");
    return false;
}

struct metric *http_reply_unauthenticated(struct metrics *metrics)
{
    return metrics_counter(metrics, "gw_http_unauthenticated_total", NULL,
                           "Reads refused for want of a good viewer key.");
}
