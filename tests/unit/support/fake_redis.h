/**
 * A scripted Redis in the test's own thread: it hears the bytes that a link sends and says what the test wants.
 * Every wait runs turns of the loop under test.
 */
#ifndef SOPHIA_TESTS_FAKE_REDIS_H
#define SOPHIA_TESTS_FAKE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"

enum { FAKE_REDIS_HEARD = 1 << 20 };

struct fake_redis {
    struct loop *loop;
    int listening; /* -1: refuses connections */
    int fd;        /* the connection; -1: none */
    uint16_t port;
    char heard[FAKE_REDIS_HEARD]; /* since fake_redis_forget() */
    size_t heard_length;
};

void fake_redis_open(struct fake_redis *fake, struct loop *loop);
void fake_redis_close(struct fake_redis *fake);
/** Waits for a connection; the one before is closed. */
bool fake_redis_accept(struct fake_redis *fake, int timeout_ms);
/** Waits until what was heard contains the text. */
bool fake_redis_hear(struct fake_redis *fake, const char *text, int timeout_ms);
void fake_redis_forget(struct fake_redis *fake);
void fake_redis_say(struct fake_redis *fake, const char *text);
void fake_redis_say_bytes(struct fake_redis *fake, const void *bytes, size_t length);
/** Ends the connection; reset: with RST. */
void fake_redis_hang_up(struct fake_redis *fake, bool reset);
/** Accepts, waits for the greeting without password and database, and answers as a master of 7.0.15. */
bool fake_redis_greet(struct fake_redis *fake, int timeout_ms);

/** Runs turns for a while, or until *flag is at least `wanted`. false: it was not in time. */
void spend(struct loop *loop, int ms);
bool await(struct loop *loop, const unsigned *counter, unsigned wanted, int timeout_ms);

#endif
