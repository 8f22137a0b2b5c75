/*
 * Request head parser. It works in a private copy of the head: pieces are
 * NUL-terminated and percent-decoded in place, which never grows them.
 */
#include "io/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_token_byte(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool is_token(const char *text)
{
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (!is_token_byte((unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** Percent-decode in place. False for a bad escape or a control character. */
static bool decode(char *text, bool plus_is_space, bool slash_is_bad)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        char byte = *from;
        if (byte == '%') {
            int high = hex_digit(from[1]);
            int low = high >= 0 ? hex_digit(from[2]) : -1;
            if (low < 0) {
                return false;
            }
            byte = (char)(high << 4 | low);
            from += 2;
            if (byte == '/' && slash_is_bad) {
                return false;
            }
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        if ((unsigned char)byte < 0x20 || byte == 0x7f) {
            return false;
        }
        *to++ = byte;
    }
    *to = '\0';
    return true;
}

static bool has_dot_segment(const char *path)
{
    for (const char *segment = path; segment != NULL; segment = strchr(segment, '/')) {
        segment++;
        size_t length = strcspn(segment, "/");
        if ((length == 1 && segment[0] == '.') || (length == 2 && segment[0] == '.' && segment[1] == '.')) {
            return true;
        }
    }
    return false;
}

static int parse_query(struct request *request, char *query)
{
    for (char *next = query; next != NULL;) {
        char *name = strsep(&next, "&");
        char *value = strchr(name, '=');
        if (value != NULL) {
            *value++ = '\0';
        } else {
            value = name + strlen(name);
        }
        if (*name == '\0') {
            continue;
        }
        if (request->parameter_count == REQUEST_PARAMETERS_MAX || !decode(name, true, false) ||
            !decode(value, true, false)) {
            return 400;
        }
        request->parameters[request->parameter_count++] = (struct request_pair){.name = name, .value = value};
    }
    return 0;
}

static int parse_target(struct request *request, char *target)
{
    if (strlen(target) > REQUEST_TARGET_MAX_BYTES) {
        return 414;
    }
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        /* Absolute form, which a server must accept (RFC 9112, 3.2.2); the authority is not used. */
        target = strchr(strstr(target, "//") + 2, '/');
    }
    if (target == NULL || *target != '/' || strchr(target, '#') != NULL) {
        return 400;
    }
    char *query = strchr(target, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    if (!decode(target, false, true) || has_dot_segment(target)) {
        return 400;
    }
    request->path = target;
    return query != NULL ? parse_query(request, query) : 0;
}

static int parse_request_line(struct request *request, char *line)
{
    char *next = line;
    request->method = strsep(&next, " ");
    char *target = strsep(&next, " ");
    if (target == NULL || next == NULL || !is_token(request->method)) {
        return 400;
    }
    if (strncmp(next, "HTTP/", 5) != 0) {
        return 400;
    }
    if (strcmp(next, "HTTP/1.1") != 0 && strcmp(next, "HTTP/1.0") != 0) {
        return 505;
    }
    request->minor_version = next[7] == '1' ? 1 : 0;
    return parse_target(request, target);
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t')) {
        text[--length] = '\0';
    }
    return text;
}

static int parse_header(struct request *request, char *line)
{
    char *value = strchr(line, ':');
    if (value == NULL) {
        return 400;
    }
    *value++ = '\0';
    if (!is_token(line)) { /* also refuses folded lines and blanks before the colon */
        return 400;
    }
    for (const char *at = value; *at != '\0'; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f) {
            return 400;
        }
    }
    if (request->header_count == REQUEST_HEADERS_MAX) {
        return 431;
    }
    request->headers[request->header_count++] = (struct request_pair){.name = line, .value = trim(value)};
    return 0;
}

/** Cut the line at `text` at its CR LF; the next line, or NULL when the line does not end properly. */
static char *cut_line(char *text)
{
    size_t length = strcspn(text, "\r\n");
    if (text[length] != '\r' || text[length + 1] != '\n') {
        return NULL; /* a NUL byte, a bare CR or a bare LF */
    }
    text[length] = '\0';
    return text + length + 2;
}

static int parse_lines(struct request *request)
{
    char *line = request->text;
    char *next = cut_line(line);
    int status = next != NULL ? parse_request_line(request, line) : 400;
    while (status == 0) {
        line = next;
        next = cut_line(line);
        if (next == NULL) {
            return 400;
        }
        if (*line == '\0') {
            break;
        }
        status = parse_header(request, line);
    }
    if (status == 0 && request_header_count(request, "host") != 1 &&
        (request->minor_version == 1 || request_header(request, "host") != NULL)) {
        return 400; /* RFC 9112, 3.2 */
    }
    return status;
}

int request_parse(const char *head, size_t length, struct request **out_request)
{
    struct request *request = calloc(1, sizeof *request + length + 1);
    if (request == NULL) {
        return 503;
    }
    memcpy(request->text, head, length);
    int status = parse_lines(request);
    if (status != 0) {
        free(request);
        return status;
    }
    *out_request = request;
    return 0;
}

const char *request_header(const struct request *request, const char *name)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return NULL;
}

unsigned request_header_count(const struct request *request, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < request->header_count; i++) {
        count += strcasecmp(request->headers[i].name, name) == 0 ? 1 : 0;
    }
    return count;
}

typedef int compare_fn(const char *left, const char *right, size_t length);

static bool list_contains(const char *list, const char *token, compare_fn *compare)
{
    size_t token_length = strlen(token);
    while (*list != '\0') {
        list += strspn(list, ", \t");
        size_t length = strcspn(list, ",");
        size_t item = length;
        while (item > 0 && (list[item - 1] == ' ' || list[item - 1] == '\t')) {
            item--;
        }
        if (item == token_length && compare(list, token, item) == 0) {
            return true;
        }
        list += length;
    }
    return false;
}

static bool find_token(const struct request *request, const char *name, const char *token,
                       compare_fn *compare)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0 &&
            list_contains(request->headers[i].value, token, compare)) {
            return true;
        }
    }
    return false;
}

bool request_has_token(const struct request *request, const char *name, const char *token)
{
    return find_token(request, name, token, strncasecmp);
}

bool request_has_exact_token(const struct request *request, const char *name, const char *token)
{
    return find_token(request, name, token, strncmp);
}

const char *request_parameter(const struct request *request, const char *name)
{
    for (unsigned i = 0; i < request->parameter_count; i++) {
        if (strcmp(request->parameters[i].name, name) == 0) {
            return request->parameters[i].value;
        }
    }
    return NULL;
}

bool request_content_length(const struct request *request, uint64_t *out_length, bool *out_present)
{
    const char *text = request_header(request, "content-length");
    if (text == NULL) {
        *out_length = 0;
        *out_present = false;
        return true;
    }
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 15 || text[length] != '\0' ||
        request_header_count(request, "content-length") != 1) {
        return false;
    }
    *out_length = strtoull(text, NULL, 10);
    *out_present = true;
    return true;
}
