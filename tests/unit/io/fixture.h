/**
 * A listener on a free loopback port, its routes, and raw socket clients that
 * live in the same thread: every wait runs turns of the loop under test.
 */
#ifndef SOPHIA_TESTS_IO_FIXTURE_H
#define SOPHIA_TESTS_IO_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/metrics.h"
#include "io/listener.h"
#include "io/loop.h"

enum { FIXTURE_WS_MAX = 16, HEARD_MAX = 8 << 20, MESSAGE_MAX = 1000, FRAGMENTS_MAX = 8 };

struct fixture {
    struct loop *loop;
    struct metrics *metrics;
    struct listener *listener;

    struct http_exchange *kept; /* of /kept, until answered or gone */
    unsigned gone;
    struct http_exchange *stream;
    unsigned stream_writable;
    unsigned stream_closed;

    struct ws *ws; /* last one opened */
    unsigned opened;
    unsigned closed;
    unsigned writable;
    unsigned messages;
    char message[MESSAGE_MAX + 1];
    size_t message_length;
    enum close_reason refused_reason; /* of the last message that became none */
    bool refuse_open;
    bool close_on_message;

    char *heard; /* of the last hear_*(), NUL-terminated */
    size_t heard_length;
};

void fixture_start(struct fixture *f, const struct listener_options *changes);
void fixture_stop(struct fixture *f);

int dial(struct fixture *f);
void say(int fd, const char *text);
void say_bytes(int fd, const void *bytes, size_t length);
/** Forget what was heard; then read until it contains `needle`. False at EOF or after timeout_ms. */
bool hear_until(struct fixture *f, int fd, const char *needle, int timeout_ms);
/** Read until `length` bytes were heard in all. */
bool hear_bytes(struct fixture *f, int fd, size_t length, int timeout_ms);
/** Read until the gateway closes. False when it does not in time. */
bool hear_end(struct fixture *f, int fd, int timeout_ms);
void forget(struct fixture *f);
/** Run turns for this long. */
void spend(struct fixture *f, int ms);
/** Run turns until *counter reaches `at_least`. */
bool await(struct fixture *f, const unsigned *counter, unsigned at_least, int timeout_ms);
double refused(const struct fixture *f, const char *reason);

#endif
