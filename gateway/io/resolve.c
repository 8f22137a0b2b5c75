/*
 * getaddrinfo on libuv's threads. A look-up that is running cannot be stopped:
 * a cancelled one answers nobody and frees itself when its thread is done.
 */
#include "io/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct resolution {
    uv_getaddrinfo_t request; /* its callback gets this address: first */
    struct loop *loop;
    struct loop_deferred answer; /* of a numeric host */
    char *host;                  /* owned */
    uint32_t index;
    resolve_fn *on_done; /* NULL: cancelled */
    void *context;
    bool is_numeric;
};

static void resolution_free(struct resolution *resolution)
{
    free(resolution->host);
    free(resolution);
}

static void answer(struct resolution *resolution, const char *address, const char *error)
{
    if (resolution->on_done != NULL) {
        resolution->on_done(resolution->context, address, error);
    }
    resolution_free(resolution);
}

static void answer_numeric(void *context)
{
    struct resolution *resolution = context;
    answer(resolution, resolution->host, NULL);
}

static const struct addrinfo *address_at(const struct addrinfo *first, uint32_t index)
{
    uint32_t count = 0;
    for (const struct addrinfo *at = first; at != NULL; at = at->ai_next) {
        count++;
    }
    const struct addrinfo *chosen = first;
    for (uint32_t i = 0; i < index % count; i++) {
        chosen = chosen->ai_next;
    }
    return chosen;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct resolution *resolution = (struct resolution *)request;
    if (status != 0 || found == NULL) {
        answer(resolution, NULL, status != 0 ? uv_strerror(status) : "no address");
        return;
    }
    const struct addrinfo *chosen = address_at(found, resolution->index);
    char text[INET6_ADDRSTRLEN + 16]; /* a link-local address carries its interface */
    status = getnameinfo(chosen->ai_addr, chosen->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
    uv_freeaddrinfo(found);
    answer(resolution, status == 0 ? text : NULL, status == 0 ? NULL : "an address that cannot be printed");
}

static bool is_numeric(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool begin(struct resolution *resolution)
{
    if (resolution->is_numeric) {
        loop_defer(resolution->loop, &resolution->answer, answer_numeric, resolution);
        return true;
    }
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    return uv_getaddrinfo(loop_foreign(resolution->loop), &resolution->request, on_resolved, resolution->host,
                          NULL, &hints) == 0;
}

struct resolution *resolve_start_at(struct loop *loop, const char *host, uint32_t index, resolve_fn *on_done,
                                    void *context)
{
    struct resolution *resolution = calloc(1, sizeof *resolution);
    if (resolution == NULL) {
        return NULL;
    }
    resolution->loop = loop;
    resolution->host = strdup(host);
    resolution->index = index;
    resolution->on_done = on_done;
    resolution->context = context;
    resolution->is_numeric = is_numeric(host);
    if (resolution->host == NULL || !begin(resolution)) {
        resolution_free(resolution);
        return NULL;
    }
    return resolution;
}

struct resolution *resolve_start(struct loop *loop, const char *host, resolve_fn *on_done, void *context)
{
    return resolve_start_at(loop, host, 0, on_done, context);
}

void resolve_cancel(struct resolution *resolution)
{
    if (resolution == NULL) {
        return;
    }
    if (resolution->is_numeric) {
        loop_cancel_deferred(resolution->loop, &resolution->answer);
        resolution_free(resolution);
        return;
    }
    resolution->on_done = NULL;
    /* Refused when it runs already: on_resolved frees it. */
    (void)uv_cancel((uv_req_t *)&resolution->request);
}
