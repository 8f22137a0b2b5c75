/* When viewers hear of the end of their token, and when they are closed. The loop's timers are pretended. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/allocations.h"
#include "support/fake_loop.h"
#include "support/fake_viewer.h"
#include "transports/token_sessions.h"

enum { LEEWAY_S = 30, WARNING_S = 60, GRACE_S = 20, TICK_S = 1, MAX_PER_SUBJECT = 2 };

/* ---- instead of io/loop.c ---- */

struct loop_timer {
    loop_fn *on_due;
    void *context;
    bool is_armed;
    uint64_t due_ms;
};
static struct fake_loop hub_loop;
static struct loop_timer timer;
static unsigned wake_ups;

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *on_due, void *context)
{
    (void)loop;
    timer = (struct loop_timer){.on_due = on_due, .context = context};
    return &timer;
}

void loop_timer_arm(struct loop_timer *armed, uint64_t delay_ms)
{
    armed->is_armed = true;
    armed->due_ms = hub_loop.now.monotonic_ms + delay_ms;
}

void loop_timer_disarm(struct loop_timer *armed)
{
    armed->is_armed = false;
}

void loop_timer_destroy(struct loop_timer *destroyed)
{
    destroyed->is_armed = false;
}

void loop_update_now(struct loop *loop)
{
    (void)loop;
}

/* ---- around the sessions ---- */

static struct token_sessions *sessions;
static struct fake_viewer fake;

static struct moment now(void)
{
    return hub_loop.now;
}

static int setup(void **context)
{
    (void)context;
    fake_loop_open(&hub_loop, 4, 600000);
    const struct token_sessions_options options = {.metrics = hub_loop.metrics,
                                                   .leeway_s = LEEWAY_S,
                                                   .warning_s = WARNING_S,
                                                   .grace_s = GRACE_S,
                                                   .max_per_subject = MAX_PER_SUBJECT,
                                                   .now = now};
    sessions = token_sessions_create(&options);
    fake_viewer_open(&fake, hub_loop.hub, WIRE_WS);
    wake_ups = 0;
    return sessions ? 0 : -1;
}

static int teardown(void **context)
{
    (void)context;
    fake_viewer_close(&fake);
    token_sessions_destroy(sessions);
    fake_loop_close(&hub_loop);
    return 0;
}

static void pass_s(int64_t seconds)
{
    uint64_t until_ms = hub_loop.now.monotonic_ms + (uint64_t)seconds * 1000;
    while (timer.is_armed && timer.due_ms <= until_ms) {
        uint64_t step_ms =
            timer.due_ms > hub_loop.now.monotonic_ms ? timer.due_ms - hub_loop.now.monotonic_ms : 0;
        hub_loop.now.monotonic_ms += step_ms;
        hub_loop.now.wall_ms += (int64_t)step_ms;
        timer.is_armed = false;
        wake_ups++;
        timer.on_due(timer.context);
    }
    hub_loop.now.wall_ms += (int64_t)(until_ms - hub_loop.now.monotonic_ms);
    hub_loop.now.monotonic_ms = until_ms;
}

/** A token with so many seconds left. */
static struct jwt_claims token_for(const char *subject, int64_t left_s)
{
    struct jwt_claims claims = {.expires_s = hub_loop.now.wall_ms / 1000 + left_s};
    (void)snprintf(claims.subject, sizeof claims.subject, "%s", subject);
    return claims;
}

static struct token_session *begin(const char *subject, int64_t left_s)
{
    const struct jwt_claims claims = token_for(subject, left_s);
    struct token_session *session = token_session_begin(sessions, fake.viewer, &claims);
    assert_non_null(session);
    return session;
}

static enum result renew(struct token_session *session, const char *subject, int64_t left_s)
{
    const struct jwt_claims claims = token_for(subject, left_s);
    return token_session_renew(session, &claims);
}

static unsigned long counted(const char *event)
{
    char label[64];
    (void)snprintf(label, sizeof label, "event=\"%s\"", event);
    return fake_loop_metric(&hub_loop, "gw_auth_session_events_total", label);
}

static size_t warnings(void)
{
    return fake_viewer_count_of(&fake, "expiring");
}

/* ---- tests ---- */

static void test_a_viewer_is_warned_and_then_closed(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 3600);
    assert_string_equal(token_session_subject(session), "alice");
    assert_int_equal(fake_loop_metric(&hub_loop, "gw_auth_sessions", NULL), 1);
    pass_s(3600 + LEEWAY_S - WARNING_S - 1);
    assert_int_equal(warnings(), 0);
    assert_in_range(wake_ups, 1, 10); /* once a turn of the wheel */
    pass_s(1 + TICK_S);
    assert_int_equal(warnings(), 1);
    const json_t *message = fake_viewer_message(&fake, -1);
    json_int_t expires_in_ms = json_integer_value(json_object_get(message, "expires_in_ms"));
    assert_in_range(expires_in_ms, (WARNING_S - TICK_S) * 1000, WARNING_S * 1000);
    assert_int_equal(json_integer_value(json_object_get(message, "closes_in_ms")),
                     expires_in_ms + GRACE_S * 1000);
    pass_s(WARNING_S + GRACE_S - TICK_S - 1);
    assert_false(fake.is_closed);
    pass_s(1 + 2 * TICK_S);
    assert_true(fake.is_closed);
    assert_int_equal(fake.reason, CLOSE_TOKEN_EXPIRED);
    assert_int_equal(warnings(), 1);
    assert_int_equal(counted("warned"), 1);
    assert_int_equal(counted("expired"), 1);
    token_session_end(session);
    assert_int_equal(fake_loop_metric(&hub_loop, "gw_auth_sessions", NULL), 0);
}

static void test_a_short_token_warns_at_half_of_what_is_left(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 10); /* and the leeway: 40 s */
    pass_s(19);
    assert_int_equal(warnings(), 0);
    pass_s(1 + TICK_S);
    assert_int_equal(warnings(), 1);
    token_session_end(session);
}

static void test_a_later_token_goes_on(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 100);
    pass_s(80);
    assert_int_equal(warnings(), 1);
    assert_int_equal(renew(session, "alice", 300), RESULT_OK);
    pass_s(260);
    assert_int_equal(warnings(), 1);
    assert_false(fake.is_closed);
    pass_s(10 + TICK_S);
    assert_int_equal(warnings(), 2);
    pass_s(WARNING_S + GRACE_S + TICK_S);
    assert_int_equal(fake.reason, CLOSE_TOKEN_EXPIRED);
    assert_int_equal(counted("renewed"), 1);
    token_session_end(session);
}

static void test_the_same_token_again_changes_nothing(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 100);
    pass_s(80);
    assert_int_equal(warnings(), 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(renew(session, "alice", 100 - 80 - i), RESULT_OK);
        pass_s(1);
    }
    assert_int_equal(warnings(), 1);
    assert_false(fake.is_closed);
    pass_s(100 - 85 + LEEWAY_S + GRACE_S + TICK_S);
    assert_true(fake.is_closed);
    token_session_end(session);
}

static void test_a_token_that_ends_sooner_counts(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 3600);
    assert_int_equal(renew(session, "alice", 90), RESULT_OK);
    pass_s(60 + TICK_S);
    assert_int_equal(warnings(), 1);
    pass_s(60 + GRACE_S);
    assert_true(fake.is_closed);
    token_session_end(session);
}

static void test_nobody_becomes_somebody_else(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 100);
    assert_int_equal(renew(session, "bob", 9000), RESULT_FORBIDDEN);
    assert_int_equal(renew(session, "alic", 9000), RESULT_FORBIDDEN);
    assert_string_equal(token_session_subject(session), "alice");
    assert_int_equal(counted("other_subject"), 2);
    assert_int_equal(counted("renewed"), 0);
    pass_s(100 + LEEWAY_S + GRACE_S + TICK_S);
    assert_true(fake.is_closed);
    token_session_end(session);
}

static void test_a_clock_set_back_closes_nobody_early(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 100);
    pass_s(100);
    assert_int_equal(warnings(), 1);
    hub_loop.now.wall_ms -= 500000;
    pass_s(LEEWAY_S + GRACE_S + TICK_S);
    assert_false(fake.is_closed);
    pass_s(500);
    assert_true(fake.is_closed);
    assert_int_equal(warnings(), 1);
    token_session_end(session);
}

static void test_who_left_is_not_told(void **context)
{
    (void)context;
    struct token_session *session = begin("alice", 100);
    struct token_session *other = begin("alice", 100);
    token_session_end(session);
    token_session_end(NULL);
    pass_s(80);
    assert_int_equal(warnings(), 1);
    token_session_end(other);
    pass_s(1000);
    assert_false(fake.is_closed);
    assert_false(timer.is_armed);
}

static void test_an_event_stream_is_told_why_it_ends(void **context)
{
    (void)context;
    struct fake_viewer stream;
    fake_viewer_open(&stream, hub_loop.hub, WIRE_SSE);
    const struct jwt_claims claims = token_for("alice", 100);
    struct token_session *session = token_session_begin(sessions, stream.viewer, &claims);
    assert_non_null(session);
    pass_s(100 + LEEWAY_S + GRACE_S + TICK_S);
    assert_true(stream.is_closed);
    assert_int_equal(json_array_size(stream.events), 2);
    assert_string_equal(json_string_value(json_array_get(stream.events, 0)), "expiring");
    assert_string_equal(json_string_value(json_array_get(stream.events, 1)), "error");
    assert_string_equal(message_text(fake_viewer_message(&stream, -1), "name"), "token_expired");
    token_session_end(session);
    fake_viewer_close(&stream);
}

static void judge(const char *list)
{
    char problem[REVOCATIONS_PROBLEM_BYTES];
    struct revocations revoked = {.lists = {revocation_list_read(list, strlen(list), problem)}};
    assert_non_null(revoked.lists[0]);
    token_sessions_judge(sessions, &revoked);
    revocations_finish(&revoked);
}

static void test_a_revoked_session_is_closed_at_once(void **context)
{
    (void)context;
    struct jwt_claims claims = token_for("alice", 3600);
    (void)snprintf(claims.id, sizeof claims.id, "a1");
    claims.issued_s = 1000;
    struct token_session *session = token_session_begin(sessions, fake.viewer, &claims);
    judge("jti:a2\nsub:bob\nsub:alice before 1000\n");
    assert_false(fake.is_closed);
    judge("jti:a1\n");
    assert_true(fake.is_closed);
    assert_int_equal(fake.reason, CLOSE_TOKEN_INVALID);
    judge("sub:alice\n"); /* its transport has not ended it yet: it counts once */
    assert_int_equal(counted("revoked"), 1);
    pass_s(4000);
    assert_int_equal(counted("warned"), 0);
    token_session_end(session);
}

static void test_the_token_shown_last_is_judged(void **context)
{
    (void)context;
    struct jwt_claims claims = token_for("alice", 3600);
    (void)snprintf(claims.id, sizeof claims.id, "a1");
    claims.issued_s = 1000;
    struct token_session *session = token_session_begin(sessions, fake.viewer, &claims);
    (void)snprintf(claims.id, sizeof claims.id, "a2");
    claims.issued_s = 2000;
    assert_int_equal(token_session_renew(session, &claims), RESULT_OK);
    judge("jti:a1\nsub:alice before 2000\n");
    assert_false(fake.is_closed);
    allocations_fail_all_after(0);
    enum result result = token_session_renew(session, &claims);
    assert_true(allocations_recover());
    assert_int_equal(result, RESULT_NO_MEMORY);
    judge("sub:alice before 2001\n");
    assert_true(fake.is_closed);
    token_session_end(session);
    judge("sub:alice\n");
    assert_int_equal(counted("revoked"), 1);
}

static void test_a_subject_has_so_many_viewers_and_no_more(void **context)
{
    (void)context;
    const struct jwt_claims alice = token_for("alice", 600);
    struct token_session *first = begin("alice", 600);
    struct token_session *second = begin("alice", 600);
    assert_null(token_session_begin(sessions, fake.viewer, &alice));
    assert_int_equal(counted("too_many"), 1);
    struct token_session *other = begin("bob", 600);
    token_session_end(first);
    first = begin("alice", 600);
    assert_null(token_session_begin(sessions, fake.viewer, &alice));
    assert_int_equal(counted("too_many"), 2);
    token_session_end(first);
    token_session_end(second);
    token_session_end(other);
}

static void test_without_memory_there_is_no_session(void **context)
{
    (void)context;
    const struct jwt_claims claims = token_for("alice", 100);
    const struct token_sessions_options options = {.metrics = hub_loop.metrics, .now = now};
    allocations_fail_all_after(0);
    struct token_session *session = token_session_begin(sessions, fake.viewer, &claims);
    struct token_sessions *others = token_sessions_create(&options);
    assert_true(allocations_recover());
    assert_null(session);
    assert_null(others);
    token_sessions_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_viewer_is_warned_and_then_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_short_token_warns_at_half_of_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_later_token_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_same_token_again_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_token_that_ends_sooner_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_becomes_somebody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_set_back_closes_nobody_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_left_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_event_stream_is_told_why_it_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_revoked_session_is_closed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_token_shown_last_is_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_subject_has_so_many_viewers_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory_there_is_no_session, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
