/* What is kept while writes are held, with WebSockets of our own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "io/ws.h"
#include "support/small_gateway.h"
#include "transports/ws_transport.h"

enum { HELD_MAX = 128, DRAINS = 100 /* more frames than are kept at once */ };

/* ---- stands in for io/ws.c, with one connection ---- */

struct ws {
    bool can_write;
    bool stalls; /* the socket is full after the next release */
    struct {
        const char *at;
        size_t length;
    } held[HELD_MAX];
    size_t held_count;
    size_t written; /* frames */
};

static struct ws_route route;
static struct ws connection;
static bool is_holding;

void listener_add_ws(struct listener *listener, const struct ws_route *added)
{
    (void)listener;
    route = *added;
}

const char *ws_peer_address(const struct ws *ws)
{
    (void)ws;
    return "192.0.2.1";
}

bool ws_deflates(const struct ws *ws)
{
    (void)ws;
    return false;
}

bool ws_can_write(struct ws *ws)
{
    return ws->can_write;
}

enum result ws_write(struct ws *ws, const void *frame, size_t length)
{
    assert_true(ws->can_write); /* as ws.h demands */
    if (!is_holding) {
        ws->written++;
        return RESULT_OK;
    }
    assert_true(ws->held_count < HELD_MAX);
    ws->held[ws->held_count].at = frame;
    ws->held[ws->held_count++].length = length;
    return RESULT_OK;
}

void ws_hold(struct listener *listener)
{
    (void)listener;
    is_holding = true;
}

void ws_release(struct listener *listener)
{
    (void)listener;
    is_holding = false;
    for (size_t i = 0; i < connection.held_count; i++) {
        const char *payload = memchr(connection.held[i].at, '{', connection.held[i].length);
        assert_non_null(payload); /* it is still there */
        assert_memory_equal(payload, "{\"type\":\"moved\"", strlen("{\"type\":\"moved\""));
        connection.written++;
    }
    if (connection.held_count > 0 && connection.stalls) {
        connection.can_write = false;
    }
    connection.held_count = 0;
}

void ws_request_writable(struct ws *ws)
{
    (void)ws;
}

void ws_close(struct ws *ws, enum close_reason reason)
{
    (void)ws;
    fail_msg("closed: %s", close_reason_name(reason));
}

/* ---- tests ---- */

struct fixture {
    struct small_gateway gateway;
    struct access *access;
    struct loop *loop;
    struct ws_transport *transport;
    void *viewer;
};

static void fixture_open(struct fixture *f)
{
    const struct access_options access_options = {.keys.ingest = "i"};
    small_gateway_init(&f->gateway, NULL);
    f->access = access_create(&access_options);
    f->loop = loop_create();
    const struct ws_transport_options options = {.loop = f->loop,
                                                 .pipeline = f->gateway.pipeline,
                                                 .access = f->access,
                                                 .metrics = f->gateway.metrics,
                                                 .hello_timeout_ms = 60000};
    f->transport = ws_transport_create(&options);
    assert_true(f->access && f->loop && f->transport);
    connection = (struct ws){.can_write = true};
    f->viewer = route.on_open(route.context, &connection);
    assert_non_null(f->viewer);
}

static void fixture_close(struct fixture *f)
{
    route.on_closed(f->viewer);
    ws_transport_destroy(f->transport);
    small_gateway_finish(&f->gateway);
    access_destroy(f->access);
    loop_destroy(f->loop);
}

static void test_frames_outlive_their_owner_until_they_leave(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    ws_transport_hold(f.transport);
    hub_drain(f.gateway.hub, 0, NULL);
    hub_drain(f.gateway.hub, 0, NULL);
    assert_int_equal(connection.written, 0);
    ws_transport_release(f.transport);
    assert_int_equal(connection.written, 2);
    fixture_close(&f);
}

static void test_more_frames_than_are_kept_all_leave(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    ws_transport_hold(f.transport);
    for (int i = 0; i < DRAINS; i++) {
        hub_drain(f.gateway.hub, 0, NULL);
    }
    assert_in_range(connection.written, 1, DRAINS - 1);
    ws_transport_release(f.transport);
    assert_int_equal(connection.written, DRAINS);
    fixture_close(&f);
}

static void test_a_viewer_that_stalls_while_writes_are_held_is_not_written_to(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    connection.stalls = true;
    ws_transport_hold(f.transport);
    int drains = 0;
    for (; connection.can_write && drains < DRAINS; drains++) {
        hub_drain(f.gateway.hub, 0, NULL);
    }
    assert_false(connection.can_write); /* what was kept has left before the end of the hold */
    ws_transport_release(f.transport);
    assert_int_equal(connection.written, drains - 1);
    connection.can_write = true;
    route.on_writable(f.viewer);
    assert_int_equal(connection.written, drains);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_outlive_their_owner_until_they_leave),
        cmocka_unit_test(test_more_frames_than_are_kept_all_leave),
        cmocka_unit_test(test_a_viewer_that_stalls_while_writes_are_held_is_not_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
