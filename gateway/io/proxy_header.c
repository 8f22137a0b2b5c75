#include "io/proxy_header.h"

#include <string.h>

enum {
    V1_MAX_BYTES = 107, /* the longest line of version 1, its CR LF included */
    V1_WORDS = 6,       /* PROXY, family, two addresses, two ports */
    V2_FIXED_BYTES = 16,
    V2_TCP4_BYTES = 12,
    V2_TCP6_BYTES = 36,
    PORT_MAX = 65535,
};

static const char v1_start[] = "PROXY ";
static const unsigned char v2_start[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                           0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Version 1: a line of text. */

struct word {
    const char *at;
    size_t length;
};

/** The words of a line between single blanks; at most V1_WORDS + 1 are counted. */
static unsigned split(const char *line, size_t length, struct word out_words[V1_WORDS])
{
    unsigned count = 0;
    for (size_t at = 0; at <= length && count <= V1_WORDS; count++) {
        const char *end = memchr(line + at, ' ', length - at);
        size_t size = end ? (size_t)(end - line) - at : length - at;
        if (count < V1_WORDS) {
            out_words[count] = (struct word){line + at, size};
        }
        at += size + 1;
    }
    return count;
}

static bool is_word(const struct word *word, const char *text)
{
    return word->length == strlen(text) && memcmp(word->at, text, word->length) == 0;
}

static bool is_port(const struct word *word)
{
    unsigned port = 0;
    if (word->length == 0 || word->length > 5 || (word->at[0] == '0' && word->length > 1)) {
        return false;
    }
    for (size_t i = 0; i < word->length; i++) {
        if (word->at[i] < '0' || word->at[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(word->at[i] - '0');
    }
    return port <= PORT_MAX;
}

/** Both addresses are of the family that the line names. */
static bool read_addresses(const struct word words[V1_WORDS], bool is_v6, struct ip_address *out_client)
{
    struct ip_address destination;
    for (unsigned i = 2; i < 4; i++) {
        if ((memchr(words[i].at, ':', words[i].length) != NULL) != is_v6) {
            return false;
        }
    }
    return ip_address_parse(words[2].at, words[2].length, out_client) &&
           ip_address_parse(words[3].at, words[3].length, &destination);
}

static bool read_line(const char *line, size_t length, struct proxy_header *header)
{
    struct word words[V1_WORDS];
    unsigned count = split(line, length, words);
    if (count >= 2 && is_word(&words[1], "UNKNOWN")) {
        return true; /* the rest of the line is to be ignored */
    }
    bool is_v6 = count == V1_WORDS && is_word(&words[1], "TCP6");
    return count == V1_WORDS && (is_v6 || is_word(&words[1], "TCP4")) &&
           read_addresses(words, is_v6, &header->client) && is_port(&words[4]) && is_port(&words[5]);
}

static enum proxy_header_state parse_v1(const char *text, size_t length, struct proxy_header *header)
{
    size_t looked = length < V1_MAX_BYTES ? length : V1_MAX_BYTES;
    const char *end = memchr(text, '\n', looked);
    if (!end) {
        return length < V1_MAX_BYTES ? PROXY_HEADER_PARTIAL : PROXY_HEADER_BAD;
    }
    size_t line = (size_t)(end - text);
    if (text[line - 1] != '\r' || !read_line(text, line - 1, header)) {
        return PROXY_HEADER_BAD;
    }
    header->length = line + 1;
    return PROXY_HEADER_WHOLE;
}

/* Version 2: binary. */

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_UNSPECIFIED = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };
enum { V2_UNIX_STREAM = 0x31 };

static bool read_family(const unsigned char *bytes, size_t room, struct proxy_header *header)
{
    switch (bytes[13]) {
    case V2_TCP4:
        header->client =
            room >= V2_TCP4_BYTES ? ip_address_of_bytes(4, bytes + V2_FIXED_BYTES) : (struct ip_address){0};
        return room >= V2_TCP4_BYTES;
    case V2_TCP6:
        header->client =
            room >= V2_TCP6_BYTES ? ip_address_of_bytes(6, bytes + V2_FIXED_BYTES) : (struct ip_address){0};
        return room >= V2_TCP6_BYTES;
    case V2_UNSPECIFIED:
    case V2_UNIX_STREAM:
        return true;
    default:
        return false; /* datagrams do not come here, and the rest is not defined */
    }
}

static enum proxy_header_state parse_v2(const unsigned char *bytes, size_t length,
                                        struct proxy_header *header)
{
    if (length < V2_FIXED_BYTES) {
        return PROXY_HEADER_PARTIAL;
    }
    size_t room = (size_t)bytes[14] << 8 | bytes[15];
    bool is_local = bytes[12] == V2_LOCAL;
    if ((!is_local && bytes[12] != V2_PROXY) || V2_FIXED_BYTES + room > PROXY_HEADER_MAX_BYTES) {
        return PROXY_HEADER_BAD;
    }
    if (length < V2_FIXED_BYTES + room) {
        return PROXY_HEADER_PARTIAL;
    }
    if (!is_local && !read_family(bytes, room, header)) {
        return PROXY_HEADER_BAD;
    }
    header->is_local = is_local;
    header->length = V2_FIXED_BYTES + room;
    return PROXY_HEADER_WHOLE;
}

/** How much of what is there is the same. */
static bool begins_with(const void *bytes, size_t length, const void *start, size_t start_length)
{
    return memcmp(bytes, start, length < start_length ? length : start_length) == 0;
}

enum proxy_header_state proxy_header_parse(const void *bytes, size_t length, struct proxy_header *out_header)
{
    struct proxy_header header = {0};
    enum proxy_header_state state = PROXY_HEADER_BAD;
    if (length == 0) {
        return PROXY_HEADER_PARTIAL;
    }
    if (begins_with(bytes, length, v1_start, sizeof v1_start - 1)) {
        state = parse_v1(bytes, length, &header);
    } else if (begins_with(bytes, length, v2_start, sizeof v2_start)) {
        state = parse_v2(bytes, length, &header);
    }
    if (state == PROXY_HEADER_WHOLE) {
        *out_header = header;
    }
    return state;
}
