/**
 * A private redis-server on a free loopback port and a unix socket, in a directory of its own.
 */
#ifndef SOPHIA_TESTS_REAL_REDIS_H
#define SOPHIA_TESTS_REAL_REDIS_H

#include <stdint.h>
#include <sys/types.h>

struct real_redis {
    pid_t pid;
    uint16_t port;
    char directory[64];
    char unix_path[80];
};

/** extra: more command line words, NULL-terminated, or NULL. Returns when it answers; fails the test otherwise. */
void real_redis_start(struct real_redis *redis, const char *const *extra);
/** On the same port again, after real_redis_kill(). */
void real_redis_restart(struct real_redis *redis, const char *const *extra);
void real_redis_kill(struct real_redis *redis);
void real_redis_stop(struct real_redis *redis);
/** A command of words, over a connection of its own; the reply's bytes (first 64 KiB) live until the next call. */
const char *real_redis_ask(const struct real_redis *redis, const char *const *words);
#define REDIS_ASK(redis, ...) real_redis_ask((redis), (const char *const[]){__VA_ARGS__, NULL})

#endif
