#include "io/doors.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 253 }; /* of a host name */

/* The name of "name:port" or "[address]:port", without a final dot. False: too long, or no name. */
static bool take_name(const char *host, char out_name[NAME_MAX_BYTES + 1])
{
    bool is_bracketed = *host == '[';
    const char *from = is_bracketed ? host + 1 : host;
    size_t length = strcspn(from, is_bracketed ? "]" : ":");
    if (!is_bracketed && length > 1 && from[length - 1] == '.') {
        length--;
    }
    if (length == 0 || length > NAME_MAX_BYTES) {
        return false;
    }
    memcpy(out_name, from, length);
    out_name[length] = '\0';
    return true;
}

static bool is_address(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool is_localhost(const char *name)
{
    static const char suffix[] = ".localhost"; /* RFC 6761, section 6.3 */
    size_t length = strlen(name);
    return strcasecmp(name, suffix + 1) == 0 ||
           (length >= sizeof suffix && strcasecmp(name + length - (sizeof suffix - 1), suffix) == 0);
}

bool doors_know_host(const struct doors *doors, const char *host)
{
    char name[NAME_MAX_BYTES + 1];
    if (!host || *host == '\0') {
        return true;
    }
    if (!take_name(host, name)) {
        return false;
    }
    if (is_address(name) || is_localhost(name)) {
        return true;
    }
    if (!doors->hosts || !*doors->hosts) {
        return !doors->is_local;
    }
    for (const char *const *known = doors->hosts; *known; known++) {
        bool has_port = strchr(*known, ':') != NULL;
        if (strcmp(*known, "*") == 0 || strcasecmp(*known, has_port ? host : name) == 0) {
            return true;
        }
    }
    return false;
}

enum door_origin doors_judge_origin(const struct doors *doors, const char *origin, const char *host)
{
    if (!origin) {
        return ORIGIN_OURS;
    }
    const char *authority = strstr(origin, "://");
    if (authority && host && *host && strcasecmp(authority + 3, host) == 0) {
        return ORIGIN_OURS;
    }
    for (const char *const *listed = doors->origins; listed && *listed; listed++) {
        if (strcmp(*listed, "*") == 0 || strcasecmp(*listed, origin) == 0) {
            return ORIGIN_LISTED;
        }
    }
    return ORIGIN_FOREIGN;
}
