/*
 * libcurl's multi interface, driven by the one loop: it says which descriptors to watch and when to call it at the latest. Its
 * callbacks only take notes; what came of a request is looked at after libcurl has returned, so that whoever hears
 * of it may start the next one.
 */
#include "io/http_fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "protocol/bytes.h"

enum { SOCKETS_MAX = 4 }; /* IPv6 and IPv4 are tried at once; closed ones are told before new ones come */

struct watched {
    struct http_fetch *fetch;
    struct loop_watch *watch; /* NULL: free */
    curl_socket_t socket;
};

struct http_fetch {
    struct http_fetch_options options;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers; /* of the request under way */
    struct loop_timer *timer;
    struct watched sockets[SOCKETS_MAX];
    struct bytes body;
    char etag[HTTP_FETCH_ETAG_MAX_BYTES + 1];     /* of what was fetched last; "": none */
    char new_etag[HTTP_FETCH_ETAG_MAX_BYTES + 1]; /* of the answer under way */
    char words[CURL_ERROR_SIZE];
    bool is_busy;
};

/* ---- addresses ---- */

static bool is_loopback(const char *host)
{
    struct in_addr four;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

/** A part of the address; NULL when it has none. Freed by curl_free(). */
static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL;
}

bool http_fetch_may_use(const char *text)
{
    CURLU *url = strlen(text) <= HTTP_FETCH_URL_MAX_BYTES ? curl_url() : NULL;
    bool may_use = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
    char *scheme = may_use ? part_of(url, CURLUPART_SCHEME) : NULL;
    char *host = may_use ? part_of(url, CURLUPART_HOST) : NULL;
    char *user = may_use ? part_of(url, CURLUPART_USER) : NULL;
    char *password = may_use ? part_of(url, CURLUPART_PASSWORD) : NULL;
    char *fragment = may_use ? part_of(url, CURLUPART_FRAGMENT) : NULL;
    may_use = scheme && host && !user && !password && !fragment &&
              (strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && is_loopback(host)));
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_free(fragment);
    curl_url_cleanup(url);
    return may_use;
}

/* ---- the end of a request ---- */

static void take_answer(struct http_fetch *fetch, long status)
{
    char problem[HTTP_FETCH_PROBLEM_BYTES];
    if (status == 304 && fetch->etag[0] != '\0') {
        fetch->options.on_body(fetch->options.context, NULL, 0);
    } else if (status == 200) {
        memcpy(fetch->etag, fetch->new_etag, sizeof fetch->etag);
        fetch->options.on_body(fetch->options.context, fetch->body.at ? fetch->body.at : "",
                               fetch->body.length);
    } else {
        (void)snprintf(problem, sizeof problem, "the answer was %ld, not 200", status);
        fetch->options.on_failure(fetch->options.context, problem);
    }
}

static void end(struct http_fetch *fetch, CURLcode code)
{
    char problem[HTTP_FETCH_PROBLEM_BYTES];
    long status = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 when it fails */
    (void)curl_multi_remove_handle(fetch->multi, fetch->easy);             /* it is in there */
    curl_slist_free_all(fetch->headers);
    fetch->headers = NULL;
    fetch->is_busy = false;
    if (code == CURLE_OK) {
        take_answer(fetch, status);
        return;
    }
    const char *words = fetch->words[0] != '\0' ? fetch->words : curl_easy_strerror(code);
    if (bytes_failed(&fetch->body) || code == CURLE_FILESIZE_EXCEEDED) {
        (void)snprintf(problem, sizeof problem, "the answer is larger than %zu bytes",
                       fetch->options.max_bytes);
    } else {
        (void)snprintf(problem, sizeof problem, "%s", words); /* a longer one is cut */
    }
    fetch->options.on_failure(fetch->options.context, problem);
}

/** After each call that lets libcurl work. */
static void look_for_end(struct http_fetch *fetch)
{
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(fetch->multi, &left);
    if (message && message->msg == CURLMSG_DONE) {
        end(fetch, message->data.result);
    }
}

/* ---- the loop ---- */

static void on_ready(void *context, int events, bool failed)
{
    const struct watched *watched = context;
    struct http_fetch *fetch = watched->fetch;
    int running = 0;
    int mask = (events & LOOP_READABLE ? CURL_CSELECT_IN : 0) |
               (events & LOOP_WRITABLE ? CURL_CSELECT_OUT : 0) | (failed ? CURL_CSELECT_ERR : 0);
    (void)curl_multi_socket_action(fetch->multi, watched->socket, mask, &running); /* told by a message */
    look_for_end(fetch);
}

static void on_due(void *context)
{
    struct http_fetch *fetch = context;
    int running = 0;
    (void)curl_multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running); /* told by a message */
    look_for_end(fetch);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *context)
{
    struct http_fetch *fetch = context;
    (void)multi;
    if (timeout_ms < 0) {
        loop_timer_disarm(fetch->timer);
    } else {
        loop_update_now(fetch->options.loop); /* the timer counts from the loop's idea of now */
        loop_timer_arm(fetch->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static struct watched *free_place(struct http_fetch *fetch)
{
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (!fetch->sockets[i].watch) {
            return &fetch->sockets[i];
        }
    }
    return NULL;
}

/** Without a place or memory the descriptor is not watched, and the request ends by its time limit. */
static void watch_socket(struct http_fetch *fetch, curl_socket_t socket, int events)
{
    struct watched *watched = free_place(fetch);
    if (!watched) {
        return;
    }
    *watched = (struct watched){.fetch = fetch, .socket = socket};
    watched->watch = loop_watch_create(fetch->options.loop, socket, events, on_ready, watched);
    if (watched->watch) {
        (void)curl_multi_assign(fetch->multi, socket, watched); /* libcurl has just named this socket */
    }
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *of_socket)
{
    struct watched *watched = of_socket;
    int events = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? LOOP_READABLE : 0) |
                 (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? LOOP_WRITABLE : 0);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched) {
            loop_watch_destroy(watched->watch);
            watched->watch = NULL;
        }
    } else if (watched) {
        loop_watch_change(watched->watch, events);
    } else {
        watch_socket(context, socket, events);
    }
    return 0;
}

/* ---- what arrives ---- */

static size_t on_bytes(char *from, size_t size, size_t count, void *context)
{
    struct http_fetch *fetch = context;
    bytes_append(&fetch->body, from, size * count);
    return bytes_failed(&fetch->body) ? 0 : size * count; /* fewer: libcurl gives up */
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    static const char name[] = "etag:";
    struct http_fetch *fetch = context;
    size_t length = size * count;
    if (length < sizeof name || strncasecmp(line, name, sizeof name - 1) != 0) {
        return length;
    }
    const char *value = line + sizeof name - 1;
    size_t left = length - (sizeof name - 1);
    while (left > 0 && *value == ' ') {
        value++;
        left--;
    }
    while (left > 0 && (value[left - 1] == '\n' || value[left - 1] == '\r' || value[left - 1] == ' ')) {
        left--;
    }
    fetch->new_etag[0] = '\0';
    if (left <= HTTP_FETCH_ETAG_MAX_BYTES && !memchr(value, '\0', left)) { /* a longer one is not kept */
        memcpy(fetch->new_etag, value, left);
        fetch->new_etag[left] = '\0';
    }
    return length;
}

/* ---- requests ---- */

static bool set_up(struct http_fetch *fetch)
{
    const struct http_fetch_options *options = &fetch->options;
    CURL *easy = fetch->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, options->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* nor what the environment says */
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           (!options->ca_file || (curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK &&
                                  curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK)) &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* Or it would wait, at the end of the time limit, for the thread that still looks up a name. */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->max_bytes) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "sophia-gateway/" GATEWAY_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->words) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch) == CURLE_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETDATA, fetch) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_TIMERDATA, fetch) == CURLM_OK;
}

struct http_fetch *http_fetch_create(const struct http_fetch_options *options)
{
    struct http_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch) {
        return NULL;
    }
    fetch->options = *options;
    bytes_init(&fetch->body, options->max_bytes);
    fetch->timer = loop_timer_create(options->loop, on_due, fetch);
    if (!fetch->timer || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        loop_timer_destroy(fetch->timer);
        free(fetch);
        return NULL;
    }
    fetch->multi = curl_multi_init();
    fetch->easy = curl_easy_init();
    if (!fetch->multi || !fetch->easy || !set_up(fetch)) {
        http_fetch_destroy(fetch);
        return NULL;
    }
    return fetch;
}

void http_fetch_destroy(struct http_fetch *fetch)
{
    if (!fetch) {
        return;
    }
    if (fetch->is_busy) {
        (void)curl_multi_remove_handle(fetch->multi, fetch->easy); /* it is in there */
    }
    curl_easy_cleanup(fetch->easy);
    (void)curl_multi_cleanup(fetch->multi); /* lets go of its sockets by on_socket() */
    curl_slist_free_all(fetch->headers);
    loop_timer_destroy(fetch->timer);
    bytes_finish(&fetch->body);
    curl_global_cleanup();
    free(fetch);
}

/** The headers of the request; false when memory ran out. */
static bool set_headers(struct http_fetch *fetch)
{
    char line[HTTP_FETCH_ETAG_MAX_BYTES + 32];
    (void)snprintf(line, sizeof line, "If-None-Match: %s", fetch->etag); /* fits */
    fetch->headers = curl_slist_append(NULL, "Accept: application/jwk-set+json, application/json");
    struct curl_slist *whole =
        fetch->headers && fetch->etag[0] != '\0' ? curl_slist_append(fetch->headers, line) : fetch->headers;
    return whole && curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, whole) == CURLE_OK;
}

void http_fetch_start(struct http_fetch *fetch)
{
    if (fetch->is_busy) {
        return;
    }
    bytes_clear(&fetch->body);
    fetch->new_etag[0] = '\0';
    fetch->words[0] = '\0';
    if (!set_headers(fetch) || curl_multi_add_handle(fetch->multi, fetch->easy) != CURLM_OK) {
        curl_slist_free_all(fetch->headers);
        fetch->headers = NULL;
        fetch->options.on_failure(fetch->options.context, "memory ran out");
        return;
    }
    fetch->is_busy = true; /* on_timeout() has been asked to come at once */
}

bool http_fetch_is_busy(const struct http_fetch *fetch)
{
    return fetch->is_busy;
}

void http_fetch_forget(struct http_fetch *fetch)
{
    fetch->etag[0] = '\0';
}
