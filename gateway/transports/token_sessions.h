/**
 * Viewers whose token ends: they are warned, may show another one, and are closed some time after the end.
 *
 *     GOOD -> WARNED -> closed with 4102        a token that ends later leads back to GOOD
 *     any -> REVOKED: closed with 4101
 *
 * One wheel and one timer for all. A viewer that came in without a token has no session and costs nothing; one with a token
 * costs its session and nothing per message.
 * Spec: PROTOCOL.md, "Tokens".
 */
#ifndef SOPHIA_TRANSPORTS_TOKEN_SESSIONS_H
#define SOPHIA_TRANSPORTS_TOKEN_SESSIONS_H

#include <stdint.h>

#include "access/access.h"
#include "access/revocations.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "fanout/viewer.h"
#include "io/loop.h"

struct token_sessions;
struct token_session;

struct token_sessions_options {
    struct loop *loop;
    struct metrics *metrics;
    uint32_t leeway_s;          /* a token counts for so long after its exp: as at the door */
    uint32_t warning_s;         /* before that end; less for a token that has less than twice as long */
    uint32_t grace_s;           /* after it */
    uint32_t max_per_subject;   /* connected at one time; 0: no limit */
    struct moment (*now)(void); /* clock_moment; tests pass their own */
};

/** NULL when memory ran out. */
struct token_sessions *token_sessions_create(const struct token_sessions_options *options);
/** After every session has ended. NULL is allowed. */
void token_sessions_destroy(struct token_sessions *sessions);

/**
 * This viewer came in with this token.
 *
 * Owns:  the caller calls token_session_end() before viewer is gone.
 * Calls: says to the viewer and closes it, later, from the loop.
 * Errors: NULL when memory ran out, or the subject has too many already, which is counted.
 */
struct token_session *token_session_begin(struct token_sessions *sessions, struct viewer *viewer,
                                          const struct jwt_claims *claims);
/** It showed another token. Result: FORBIDDEN when that is somebody else's, NO_MEMORY; then nothing has changed. */
MUST_CHECK enum result token_session_renew(struct token_session *session, const struct jwt_claims *claims);
/** Close with 4101 whoever came in with a token that is revoked by now. Cost: two look-ups a session. */
void token_sessions_judge(struct token_sessions *sessions, const struct revocations *revoked);
/** Who is watching: `sub` of the token. Lives as long as the session. */
const char *token_session_subject(const struct token_session *session);
/** NULL is allowed. */
void token_session_end(struct token_session *session);

#endif
