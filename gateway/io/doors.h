/**
 * Whom a port listens to, by what a request says of itself: the name it was sent to (Host), and the page it comes from (Origin).
 *
 * Host answers DNS rebinding: a page whose own name is made to lead to our address is, to its browser, the same origin as we are,
 * and only the name in Host gives it away. Names with an address in them, and "localhost", cannot be made to lead elsewhere.
 *
 * Pure. Cost: O(names).
 */
#ifndef SOPHIA_IO_DOORS_H
#define SOPHIA_IO_DOORS_H

#include <stdbool.h>

struct doors {
    const char *const *origins; /* NULL-terminated; NULL or empty: none but our own; "*": any */
    const char *const
        *hosts;    /* NULL-terminated names, with or without a port; NULL or empty: see is_local; "*": any */
    bool is_local; /* we are reached from this machine only: without a list no name but localhost is ours */
};

enum door_origin {
    ORIGIN_OURS,    /* none, so no browser, or that of the page we serve ourselves */
    ORIGIN_LISTED,  /* another one that may read our answers */
    ORIGIN_FOREIGN, /* may neither connect nor read */
};

/** host: the header's value, or NULL when there is none (HTTP/1.0). */
bool doors_know_host(const struct doors *doors, const char *host);
/** origin, host: the headers' values, NULL when absent. Same origin: RFC 6455 section 10.2, by authority, whatever the scheme. */
enum door_origin doors_judge_origin(const struct doors *doors, const char *origin, const char *host);

#endif
