/**
 * What the GET routes have in common: who may read, and how a body leaves.
 */
#ifndef SOPHIA_TRANSPORTS_HTTP_REPLY_H
#define SOPHIA_TRANSPORTS_HTTP_REPLY_H

#include <stdbool.h>

#include "access/access.h"
#include "access/audit.h"
#include "base/metrics.h"
#include "io/http.h"
#include "protocol/bytes.h"

#define JSON_TYPE "application/json"

enum { BODY_MAX_BYTES = 16 * 1024 * 1024 };

/** Answers with the body, or 500 when it did not fit; finishes it. */
void http_reply_body(struct http_exchange *exchange, int status, const char *type, struct bytes *body);
/** May this peer read, and as whom? If not, it has been answered and counted. */
bool http_reply_admit(const struct access *access, struct metric *unauthenticated,
                      struct http_exchange *exchange, struct access_grant *out_grant);
/**
 * For the audit: what this peer asked for. refusal: NULL, or why not. Who is not admitted has been noted.
 * over: "http" or "sse".
 */
void http_reply_note(const struct access *access, struct http_exchange *exchange,
                     const struct access_grant *grant, enum audit_action action, const char *over,
                     const char *target, const char *refusal);
/** The roles of who was admitted, as viewer_set_roles(). Lives as long as the grant. */
const char *http_reply_roles(const struct access_grant *grant);
/**
 * Answers, and notes as http_reply_note() does, why there is no board for this peer: RESULT_UNKNOWN_BOARD, FORBIDDEN, or what went
 * wrong here.
 */
void http_reply_no_board(const struct access *access, struct http_exchange *exchange,
                         const struct access_grant *grant, enum audit_action action, const char *over,
                         enum result result);
/** gw_http_unauthenticated_total. */
struct metric *http_reply_unauthenticated(struct metrics *metrics);

#endif
