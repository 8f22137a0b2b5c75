/**
 * The PROXY protocol, versions 1 and 2: what a proxy in front of us says of a connection before the connection's own
 * first byte. Bytes in, struct out. Pure.
 *
 * Strict: one spelling of each thing, and no more bytes than the longest header takes. Of what version 2 adds behind the
 * addresses (TLVs) nothing is read.
 * Spec: https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt, sections 2.1 and 2.2.
 */
#ifndef SOPHIA_IO_PROXY_HEADER_H
#define SOPHIA_IO_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "io/ip_address.h"

enum { PROXY_HEADER_MAX_BYTES = 1024 };

enum proxy_header_state {
    PROXY_HEADER_PARTIAL, /* all of these bytes are of the header, and more are to come */
    PROXY_HEADER_WHOLE,
    PROXY_HEADER_BAD,
};

struct proxy_header {
    size_t length;            /* of the header: what follows is the connection's */
    bool is_local;            /* the proxy speaks for itself, to see whether we are there */
    struct ip_address client; /* version 0: local, or the proxy does not know */
};

/** out_header is written with WHOLE. */
enum proxy_header_state proxy_header_parse(const void *bytes, size_t length, struct proxy_header *out_header);

#endif
