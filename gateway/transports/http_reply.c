/* Shared by the endpoints; nothing here knows what is read. */
#include "transports/http_reply.h"

#include "base/clock.h"
#include "protocol/close_reason.h"

void http_reply_body(struct http_exchange *exchange, int status, const char *type, struct bytes *body)
{
    if (bytes_failed(body)) {
        http_problem(exchange, 500, result_name(RESULT_NO_MEMORY), "the answer did not fit");
    } else {
        http_answer(exchange, status, type, body->at, body->length, false);
    }
    bytes_finish(body);
}

/** The word for a refusal: one shared key knows a single one, tokens those of kpi.v1 (PROTOCOL.md, "Tokens"). */
static const char *code_of(const struct access *access, enum result result)
{
    if (result == RESULT_NO_MEMORY || result == RESULT_UNAVAILABLE) {
        return result_name(result);
    }
    if (!access_has_tokens(access)) {
        return "unauthenticated";
    }
    return close_reason_name(result == RESULT_UNAUTHENTICATED ? CLOSE_TOKEN_REQUIRED
                             : result == RESULT_EXPIRED       ? CLOSE_TOKEN_EXPIRED
                                                              : CLOSE_TOKEN_INVALID);
}

static void refuse(const struct access *access, struct http_exchange *exchange, enum result result)
{
    const char *code = code_of(access, result);
    static const char realm[] = "Bearer realm=\"viewer\"";
    static const char invalid[] = "Bearer realm=\"viewer\", error=\"invalid_token\"";
    http_set_header(exchange, "Cache-Control", "no-store");
    if (result == RESULT_NO_MEMORY || result == RESULT_UNAVAILABLE) {
        http_set_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, code, NULL);
    } else if (!access_has_tokens(access)) {
        http_set_header(exchange, "WWW-Authenticate", realm);
        http_problem(exchange, 401, code, "the viewer key is missing or wrong");
    } else if (result == RESULT_UNAUTHENTICATED) {
        http_set_header(exchange, "WWW-Authenticate", realm);
        http_problem(exchange, 401, code, "a token is needed");
    } else {
        enum close_reason reason = result == RESULT_EXPIRED ? CLOSE_TOKEN_EXPIRED : CLOSE_TOKEN_INVALID;
        http_set_header(exchange, "WWW-Authenticate", invalid);
        http_problem(exchange, 401, code, close_reason_message(reason));
    }
}

bool http_reply_admit(const struct access *access, struct metric *unauthenticated,
                      struct http_exchange *exchange, struct access_grant *out_grant)
{
    enum result result =
        access_admit_request(access, http_header(exchange, "authorization"), http_header(exchange, "cookie"),
                             clock_wall_ms() / 1000, out_grant);
    if (result == RESULT_OK) {
        return true;
    }
    metric_add(unauthenticated, 1);
    audit_note(access_audit(access), &(struct audit_event){.action = AUDIT_READ,
                                                           .refusal = code_of(access, result),
                                                           .address = http_peer_address(exchange),
                                                           .over = "http",
                                                           .target = http_path(exchange)});
    refuse(access, exchange, result);
    return false;
}

void http_reply_note(const struct access *access, struct http_exchange *exchange,
                     const struct access_grant *grant, enum audit_action action, const char *over,
                     const char *target, const char *refusal)
{
    struct audit *audit = access_audit(access);
    if (audit) {
        audit_note(audit, &(struct audit_event){.action = action,
                                                .refusal = refusal,
                                                .by = access_grant_name(access, grant),
                                                .subject = grant->has_token ? grant->claims.subject : NULL,
                                                .address = http_peer_address(exchange),
                                                .over = over,
                                                .target = target});
    }
}

const char *http_reply_roles(const struct access_grant *grant)
{
    return grant->has_token ? grant->claims.roles : NULL;
}

void http_reply_no_board(const struct access *access, struct http_exchange *exchange,
                         const struct access_grant *grant, enum audit_action action, const char *over,
                         enum result result)
{
    http_reply_note(access, exchange, grant, action, over, http_path_part(exchange, 0), result_name(result));
    if (result == RESULT_UNKNOWN_BOARD) {
        http_problem(exchange, 404, result_name(result), "there is no such board");
    } else if (result == RESULT_FORBIDDEN) {
        http_problem(exchange, 403, close_reason_name(CLOSE_FORBIDDEN),
                     close_reason_message(CLOSE_FORBIDDEN));
    } else if (result == RESULT_FULL) {
        http_set_header(exchange, "Retry-After", "5");
        http_problem(exchange, 503, close_reason_name(CLOSE_OVERLOADED), "the board has too many views");
    } else {
        http_problem(exchange, 500, result_name(result), "the board could not be encoded");
    }
}

struct metric *http_reply_unauthenticated(struct metrics *metrics)
{
    return metrics_counter(metrics, "gw_http_unauthenticated_total", NULL,
                           "Reads refused for want of a good viewer key or token.");
}
