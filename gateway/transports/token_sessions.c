/*
 * Ends are wall-clock times, the wheel is monotonic: each end is counted from the moment it is set, and looked at
 * again before a viewer is closed, so that a clock that was set back closes nobody early.
 */
#include "transports/token_sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/wheel.h"
#include "protocol/gateway_message.h"
#include "protocol/limits.h"

enum {
    SUBJECTS_MAX = 1000000, /* each has a connection, of which there are no more */
    TICK_MS = 1000,         /* the wheel turns once in 512 s, and wakes the loop once a second at the most */
};

enum session_state { SESSION_GOOD, SESSION_WARNED, SESSION_REVOKED };

enum session_event {
    EVENT_WARNED,
    EVENT_RENEWED,
    EVENT_EXPIRED,
    EVENT_OTHER_SUBJECT,
    EVENT_REVOKED,
    EVENT_TOO_MANY,
    EVENT_COUNT
};

struct token_sessions {
    struct token_sessions_options options;
    struct loop_timer *timer;
    struct wheel wheel;
    struct list_node all;
    struct map subjects; /* struct subject; only of those who are connected, and only with a limit */
    uint64_t wakes_ms;   /* when the timer is armed for; UINT64_MAX: not armed */
    uint64_t count;
    struct metric *open;
    struct metric *events[EVENT_COUNT];
};

struct subject {
    uint32_t count; /* of its sessions */
};

struct token_session {
    struct token_sessions *sessions;
    struct subject *counted; /* NULL without a limit */
    struct viewer *viewer;
    struct list_node node;  /* of all */
    struct wheel_entry due; /* of the warning, then of the close */
    int64_t ends_ms;        /* Unix ms; the leeway is in it */
    int64_t issued_s;
    char *id; /* jti of its token, owned; "" when it has none */
    enum session_state state;
    char subject[]; /* NUL-terminated */
};

/* ---- the clock ---- */

static void wake_in_time(struct token_sessions *sessions, struct moment now)
{
    uint64_t next_ms = wheel_next_due_ms(&sessions->wheel);
    if (next_ms == sessions->wakes_ms) {
        return;
    }
    sessions->wakes_ms = next_ms;
    if (next_ms == UINT64_MAX) {
        loop_timer_disarm(sessions->timer);
        return;
    }
    loop_update_now(sessions->options.loop); /* the timer counts from the loop's idea of now */
    loop_timer_arm(sessions->timer, next_ms > now.monotonic_ms ? next_ms - now.monotonic_ms : 0);
}

static void arm(struct token_session *session, struct moment now, int64_t in_ms)
{
    wheel_arm(&session->sessions->wheel, &session->due, now.monotonic_ms + (uint64_t)(in_ms > 0 ? in_ms : 0));
}

static int64_t closes_in_ms(const struct token_session *session, struct moment now)
{
    return session->ends_ms - now.wall_ms + (int64_t)session->sessions->options.grace_s * 1000;
}

/** A short token is not warned of before half of what is left: its viewer would do nothing but renew. */
static void arm_warning(struct token_session *session, struct moment now)
{
    int64_t left_ms = session->ends_ms - now.wall_ms;
    int64_t warning_ms = (int64_t)session->sessions->options.warning_s * 1000;
    session->state = SESSION_GOOD;
    arm(session, now, left_ms - (warning_ms < left_ms / 2 ? warning_ms : left_ms / 2));
}

static void warn(struct token_session *session, struct moment now)
{
    struct bytes message;
    int64_t ends_in_ms = session->ends_ms - now.wall_ms;
    session->state = SESSION_WARNED;
    arm(session, now, closes_in_ms(session, now));
    metric_add(session->sessions->events[EVENT_WARNED], 1);
    bytes_init(&message, VIEWER_MESSAGE_MAX_BYTES);
    expiring_encode(ends_in_ms > 0 ? (uint64_t)ends_in_ms : 0, (uint64_t)closes_in_ms(session, now),
                    &message);
    viewer_say(session->viewer, "expiring", &message);
    bytes_finish(&message);
}

static void on_due(void *context, struct wheel_entry *entry)
{
    const struct moment *now = context;
    struct token_session *session = LIST_ITEM(entry, struct token_session, due);
    if (closes_in_ms(session, *now) <= 0) {
        metric_add(session->sessions->events[EVENT_EXPIRED], 1);
        viewer_close(session->viewer, CLOSE_TOKEN_EXPIRED); /* its transport ends the session */
    } else if (session->state == SESSION_GOOD) {
        warn(session, *now);
    } else {
        arm(session, *now, closes_in_ms(session, *now)); /* the clock was set back */
    }
}

static void on_timer(void *context)
{
    struct token_sessions *sessions = context;
    struct moment now = sessions->options.now();
    sessions->wakes_ms = UINT64_MAX;
    wheel_run(&sessions->wheel, now.monotonic_ms, on_due, &now);
    wake_in_time(sessions, now);
}

/* ---- sessions ---- */

static int64_t end_of(const struct token_sessions *sessions, const struct jwt_claims *claims)
{
    return (claims->expires_s + (int64_t)sessions->options.leeway_s) * 1000;
}

/** One more of this subject. False when it has too many, or memory ran out. */
static bool subject_enter(struct token_sessions *sessions, const char *name, struct subject **out_subject)
{
    size_t length = strlen(name);
    if (sessions->options.max_per_subject == 0) {
        return true;
    }
    struct subject *subject = map_get(&sessions->subjects, name, length);
    if (subject && subject->count >= sessions->options.max_per_subject) {
        metric_add(sessions->events[EVENT_TOO_MANY], 1);
        return false;
    }
    if (!subject) {
        subject = calloc(1, sizeof *subject);
        if (!subject || map_put(&sessions->subjects, name, length, subject) != RESULT_OK) {
            free(subject);
            return false;
        }
    }
    subject->count++;
    *out_subject = subject;
    return true;
}

static void subject_leave(struct token_sessions *sessions, const char *name, struct subject *subject)
{
    if (subject && --subject->count == 0) {
        (void)map_remove(&sessions->subjects, name, strlen(name)); /* it is this one */
        free(subject);
    }
}

struct token_session *token_session_begin(struct token_sessions *sessions, struct viewer *viewer,
                                          const struct jwt_claims *claims)
{
    size_t length = strlen(claims->subject);
    struct token_session *session = malloc(sizeof *session + length + 1);
    char *id = strdup(claims->id);
    struct subject *subject = NULL;
    if (!session || !id || !subject_enter(sessions, claims->subject, &subject)) {
        free(session);
        free(id);
        return NULL;
    }
    *session = (struct token_session){.sessions = sessions,
                                      .counted = subject,
                                      .viewer = viewer,
                                      .ends_ms = end_of(sessions, claims),
                                      .issued_s = claims->issued_s,
                                      .id = id};
    list_append(&sessions->all, &session->node);
    memcpy(session->subject, claims->subject, length + 1);
    wheel_entry_init(&session->due);
    metric_set(sessions->open, (double)++sessions->count);
    struct moment now = sessions->options.now();
    arm_warning(session, now);
    wake_in_time(sessions, now);
    return session;
}

enum result token_session_renew(struct token_session *session, const struct jwt_claims *claims)
{
    struct token_sessions *sessions = session->sessions;
    if (strcmp(session->subject, claims->subject) != 0) {
        metric_add(sessions->events[EVENT_OTHER_SUBJECT], 1);
        return RESULT_FORBIDDEN;
    }
    char *id = strdup(claims->id);
    if (!id) {
        return RESULT_NO_MEMORY;
    }
    free(session->id);
    session->id = id;
    session->issued_s = claims->issued_s;
    struct moment now = sessions->options.now();
    int64_t before_ms = session->ends_ms;
    session->ends_ms = end_of(sessions, claims);
    metric_add(sessions->events[EVENT_RENEWED], 1);
    if (session->ends_ms > before_ms || session->state == SESSION_GOOD) {
        arm_warning(session, now);
    } else { /* warned of an end that is no later now */
        arm(session, now, closes_in_ms(session, now));
    }
    wake_in_time(sessions, now);
    return RESULT_OK;
}

void token_sessions_judge(struct token_sessions *sessions, const struct revocations *revoked)
{
    LIST_EACH_SAFE(node, &sessions->all) {
        struct token_session *session = LIST_ITEM(node, struct token_session, node);
        if (session->state != SESSION_REVOKED &&
            revocations_cover(revoked, session->subject, session->id, session->issued_s)) {
            session->state = SESSION_REVOKED;
            wheel_disarm(&sessions->wheel, &session->due);
            metric_add(sessions->events[EVENT_REVOKED], 1);
            viewer_close(session->viewer, CLOSE_TOKEN_INVALID); /* its transport ends the session */
        }
    }
}

const char *token_session_subject(const struct token_session *session)
{
    return session->subject;
}

void token_session_end(struct token_session *session)
{
    if (session) {
        struct token_sessions *sessions = session->sessions;
        wheel_disarm(&sessions->wheel, &session->due);
        metric_set(sessions->open, (double)--sessions->count);
        list_remove(&session->node);
        subject_leave(sessions, session->subject, session->counted);
        free(session->id);
        free(session); /* the timer may come for nothing once */
    }
}

/* ---- life ---- */

struct token_sessions *token_sessions_create(const struct token_sessions_options *options)
{
    static const char *const events[EVENT_COUNT] = {
        [EVENT_WARNED] = "event=\"warned\"",   [EVENT_RENEWED] = "event=\"renewed\"",
        [EVENT_EXPIRED] = "event=\"expired\"", [EVENT_OTHER_SUBJECT] = "event=\"other_subject\"",
        [EVENT_REVOKED] = "event=\"revoked\"", [EVENT_TOO_MANY] = "event=\"too_many\"",
    };
    struct token_sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions) {
        return NULL;
    }
    sessions->options = *options;
    sessions->wakes_ms = UINT64_MAX;
    list_init(&sessions->all);
    map_init(&sessions->subjects, SUBJECTS_MAX);
    wheel_init(&sessions->wheel, TICK_MS, options->now().monotonic_ms);
    sessions->timer = loop_timer_create(options->loop, on_timer, sessions);
    if (!sessions->timer) {
        goto fail;
    }
    sessions->open = metrics_gauge(options->metrics, "gw_auth_sessions", NULL,
                                   "Connected viewers that came in with a signed token.");
    for (int event = 0; event < EVENT_COUNT; event++) {
        sessions->events[event] =
            metrics_counter(options->metrics, "gw_auth_session_events_total", events[event],
                            "What became of the tokens of connected viewers.");
    }
    return sessions;

fail:
    token_sessions_destroy(sessions);
    return NULL;
}

void token_sessions_destroy(struct token_sessions *sessions)
{
    if (sessions) {
        assert(sessions->count == 0);
        loop_timer_destroy(sessions->timer);
        map_finish(&sessions->subjects);
        free(sessions);
    }
}
