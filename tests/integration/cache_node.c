/*
 * One process with a cache, told what to do line by line: a node of cache.test.mjs. Its source answers with the text it was given,
 * after a delay, and counts.
 *
 *   usage: cache_node REDIS_PORT PREFIX
 *   source TEXT DELAY_MS VERSION   TEXT "-": fails; "none": no such thing
 *   get ID KEY | burst ID KEY COUNT | put KEY VERSION TEXT | forget KEY | clear CLASS | tracking | loads | metric NAME | quit
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/cache.h"

enum { LINE_MAX_BYTES = 4096, WORDS_MAX = 5, TEXT_MAX = 256, BURST_MAX = 2000 };

static struct loop *loop;
static struct metrics *metrics;
static struct cache *cache;
static unsigned loads;
static char source_text[TEXT_MAX] = "nothing told";
static unsigned source_delay_ms;
static unsigned long long source_version;

/* ---- the source ---- */

struct load {
    struct loop_timer *timer;
    cache_loaded_fn *loaded;
    void *context;
    char text[TEXT_MAX];
    uint64_t version;
};

static void on_load_due(void *context)
{
    struct load *load = context;
    bool is_failure = strcmp(load->text, "-") == 0;
    bool is_nothing = strcmp(load->text, "none") == 0;
    struct cache_value *value = is_failure || is_nothing
                                    ? NULL
                                    : cache_value_create(load->text, strlen(load->text), load->version, 0);
    load->loaded(load->context, is_failure ? RESULT_UNAVAILABLE : RESULT_OK, value);
    loop_timer_destroy(load->timer);
    free(load);
}

static void source_load(void *context, const char *key, cache_loaded_fn *loaded, void *cache_context)
{
    (void)context;
    (void)key;
    struct load *load = calloc(1, sizeof *load);
    if (!load) {
        abort();
    }
    loads++;
    load->loaded = loaded;
    load->context = cache_context;
    load->version = source_version;
    memcpy(load->text, source_text, sizeof load->text);
    load->timer = loop_timer_create(loop, on_load_due, load);
    loop_timer_arm(load->timer, source_delay_ms);
}

static const struct cache_source source = {.load = source_load};

/* ---- reads ---- */

struct get {
    char id[32];
    unsigned left; /* answers to come */
    unsigned fresh;
};

static void on_answer(void *context, const struct cache_answer *answer)
{
    struct get *get = context;
    get->fresh += answer->status == CACHE_FRESH ? 1 : 0;
    if (--get->left == 0) {
        printf("%s %s %s %llu %s %u %s\n", get->id, cache_status_name(answer->status),
               answer->tier[0] ? answer->tier : "none", (unsigned long long)answer->age_ms,
               result_name(answer->result), get->fresh,
               answer->value ? cache_value_bytes(answer->value, NULL) : "");
        free(get);
    }
}

static void do_get(const char *id, const char *key, unsigned count)
{
    struct get *get = calloc(1, sizeof *get);
    if (!get) {
        abort();
    }
    (void)snprintf(get->id, sizeof get->id, "%s", id);
    get->left = count;
    for (unsigned i = 0; i < count; i++) {
        cache_get(cache, key, &source, on_answer, get);
    }
}

/* ---- commands ---- */

static void do_source(char *const *words)
{
    (void)snprintf(source_text, sizeof source_text, "%s", words[1]);
    source_delay_ms = (unsigned)atoi(words[2]);
    source_version = strtoull(words[3], NULL, 10);
    printf("ok\n");
}

static void do_put(char *const *words)
{
    enum result result = cache_put(
        cache, words[1], cache_value_create(words[3], strlen(words[3]), strtoull(words[2], NULL, 10), 0));
    printf("put %s\n", result_name(result));
}

static void do_clear(const char *class)
{
    size_t count = 0;
    enum result result = cache_clear_class(cache, class, &count);
    printf("clear %s %zu\n", result_name(result), count);
}

static void do_forget(const char *key)
{
    bool was_held = false;
    enum result result = cache_forget(cache, key, &was_held);
    printf("forget %s %d\n", result_name(result), was_held);
}

static void carry_out(size_t count, char *const *words)
{
    if (strcmp(words[0], "get") == 0 && count == 3) {
        do_get(words[1], words[2], 1);
    } else if (strcmp(words[0], "burst") == 0 && count == 4) {
        do_get(words[1], words[2], (unsigned)atoi(words[3]));
    } else if (strcmp(words[0], "source") == 0 && count == 4) {
        do_source(words);
    } else if (strcmp(words[0], "put") == 0 && count == 4) {
        do_put(words);
    } else if (strcmp(words[0], "forget") == 0 && count == 2) {
        do_forget(words[1]);
    } else if (strcmp(words[0], "clear") == 0 && count == 2) {
        do_clear(words[1]);
    } else if (strcmp(words[0], "tracking") == 0) {
        printf("tracking %d\n", cache_is_tracking(cache));
    } else if (strcmp(words[0], "loads") == 0) {
        printf("loads %u\n", loads);
    } else if (strcmp(words[0], "metric") == 0 && count == 2) {
        printf("metric %.3f\n", metrics_sum(metrics, words[1]));
    } else if (strcmp(words[0], "quit") == 0) {
        loop_stop(loop);
    } else {
        printf("what\n");
    }
}

static void on_line(char *line)
{
    char *words[WORDS_MAX];
    size_t count = 0;
    for (char *word = strtok(line, " "); word && count < WORDS_MAX; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    if (count > 0) {
        carry_out(count, words);
    }
}

static void on_input(void *context, int events, bool failed)
{
    static char line[LINE_MAX_BYTES];
    static size_t length;
    (void)context;
    (void)events;
    ssize_t got = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
    if (failed || got == 0) {
        loop_stop(loop);
        return;
    }
    length += got > 0 ? (size_t)got : 0;
    for (char *end = NULL; (end = memchr(line, '\n', length)) != NULL;) {
        size_t taken = (size_t)(end + 1 - line);
        *end = '\0';
        on_line(line);
        length -= taken;
        memmove(line, line + taken, length);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: cache_node REDIS_PORT PREFIX\n");
        return 2;
    }
    const struct redis_server server = {.host = "127.0.0.1",
                                        .port = (uint16_t)atoi(argv[1]),
                                        .connect_timeout_ms = 1000,
                                        .ping_after_ms = 1000,
                                        .reply_timeout_ms = 1000,
                                        .reconnect_base_ms = 20,
                                        .reconnect_limit_ms = 100};
    const struct cache_options options = {.budget_bytes = 1 << 20,
                                          .max_value_bytes = 1 << 16,
                                          .max_loads = 64,
                                          .max_waiters = BURST_MAX,
                                          .load_timeout_ms = 5000,
                                          .classes = cache_default_classes,
                                          .class_count = cache_default_class_count,
                                          .redis = &server,
                                          .prefix = argv[2],
                                          .breaker = {.failures = 5, .open_ms = 1000, .probe_ms = 500},
                                          .now_ms = clock_monotonic_ms};
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* or the test would wait, and fail */
    loop = loop_create();
    metrics = metrics_create();
    cache = loop && metrics ? cache_create(loop, metrics, &options) : NULL;
    struct loop_watch *input = NULL;
    if (cache && fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) == 0) {
        input = loop_watch_create(loop, STDIN_FILENO, LOOP_READABLE, on_input, NULL);
    }
    if (!input) {
        fprintf(stderr, "cache_node could not be built\n");
        return 1;
    }
    loop_run(loop);
    loop_watch_destroy(input);
    cache_destroy(cache);
    metrics_destroy(metrics);
    loop_destroy(loop);
    return 0;
}
