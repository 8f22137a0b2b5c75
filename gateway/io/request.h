/**
 * The head of an HTTP/1.x request: text in, struct out. Pure.
 *
 * Strict where leniency is dangerous (RFC 9112): no bare line feeds, no folded
 * lines, no blanks before a colon, no control characters, no encoded slashes,
 * no dot segments.
 */
#ifndef SOPHIA_IO_REQUEST_H
#define SOPHIA_IO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_HEAD_MAX_BYTES = 16384,
    REQUEST_TARGET_MAX_BYTES = 8192,
    REQUEST_HEADERS_MAX = 64,
    REQUEST_PARAMETERS_MAX = 32,
};

struct request_pair {
    const char *name;
    const char *value;
};

struct request {
    const char *method;    /* as sent */
    const char *path;      /* percent-decoded, starts with "/" */
    uint8_t minor_version; /* of HTTP/1 */
    uint8_t header_count;
    uint8_t parameter_count;
    struct request_pair headers[REQUEST_HEADERS_MAX];
    struct request_pair parameters[REQUEST_PARAMETERS_MAX]; /* of the query, decoded */
    char text[];                                            /* what all of the above point into */
};

/**
 * Parse a whole head, the empty line included.
 *
 * Returns 0 and the request (free() it), or the HTTP status to refuse with.
 */
int request_parse(const char *head, size_t length, struct request **out_request);

/** First header of this name (any case), or NULL. */
const char *request_header(const struct request *request, const char *name);
unsigned request_header_count(const struct request *request, const char *name);
/** Is `token` (any case) in the comma-separated list that all headers of this name form? */
bool request_has_token(const struct request *request, const char *name, const char *token);
/** The same for names where case counts (subprotocols). */
bool request_has_exact_token(const struct request *request, const char *name, const char *token);
const char *request_parameter(const struct request *request, const char *name);

/** Content-Length: false when it is not one header of 1 to 15 plain digits. No header: 0, *out_present false. */
bool request_content_length(const struct request *request, uint64_t *out_length, bool *out_present);

#endif
