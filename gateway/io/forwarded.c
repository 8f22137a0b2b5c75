/*
 * One pass from left to right: what an entry says is kept until an entry to its right overrules it. An untrusted address
 * overrules what is to its left, a trusted one only nothing; an entry without an address wipes. What is left at the end is
 * what reading from the right would have found.
 */
#include "io/forwarded.h"

#include <string.h>
#include <strings.h>

bool trusted_networks_contain(const struct trusted_networks *trusted, const struct ip_address *address)
{
    for (size_t i = 0; i < trusted->count; i++) {
        if (ip_network_contains(&trusted->networks[i], address)) {
            return true;
        }
    }
    return false;
}

static void add_entry(struct forwarded *forwarded, const struct ip_address *address,
                      const struct trusted_networks *trusted)
{
    forwarded->count += forwarded->count <= FORWARDED_ENTRIES_MAX ? 1 : 0;
    if (forwarded->count > FORWARDED_ENTRIES_MAX) {
        forwarded->client = (struct ip_address){0};
    } else if (address->version == 0 || forwarded->client.version == 0 ||
               !trusted_networks_contain(trusted, address)) {
        forwarded->client = *address;
    }
}

static bool is_port(const char *text, size_t length)
{
    size_t digits = 0;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    return digits == length && length >= 1 && length <= 5;
}

/** "192.0.2.1", "192.0.2.1:81", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:81"; anything else is not known. */
static struct ip_address read_node(const char *text, size_t length)
{
    struct ip_address address = {0};
    const char *colon = memchr(text, ':', length);
    const char *end = text + length;
    if (length > 0 && text[0] == '[') {
        const char *bracket = memchr(text, ']', length);
        bool is_closed =
            bracket &&
            (bracket + 1 == end || (bracket[1] == ':' && is_port(bracket + 2, (size_t)(end - bracket) - 2)));
        if (!is_closed || !memchr(text, ':', (size_t)(bracket - text)) ||
            !ip_address_parse(text + 1, (size_t)(bracket - text) - 1, &address)) {
            return (struct ip_address){0};
        }
        return address;
    }
    if (colon && !memchr(colon + 1, ':', (size_t)(end - colon) - 1)) {
        if (!is_port(colon + 1, (size_t)(end - colon) - 1)) {
            return (struct ip_address){0};
        }
        length = (size_t)(colon - text);
    }
    return ip_address_parse(text, length, &address) ? address : (struct ip_address){0};
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

static void add_list(struct forwarded *forwarded, const char *value, const struct trusted_networks *trusted)
{
    for (const char *at = value;; at++) {
        at = skip_blanks(at);
        size_t length = strcspn(at, ",");
        size_t used = length;
        while (used > 0 && (at[used - 1] == ' ' || at[used - 1] == '\t')) {
            used--;
        }
        struct ip_address address = read_node(at, used);
        add_entry(forwarded, &address, trusted);
        at += length;
        if (*at == '\0') {
            return;
        }
    }
}

/* Forwarded: for=192.0.2.60;proto=http, for="[2001:db8:cafe::17]:4711" */

enum { PAIR_VALUE_BYTES = 64 /* the longest address and port, and then some */ };

/** The value behind '=', unquoted; too long, or badly quoted: not known. Returns where it ends. */
static const char *read_value(const char *at, char out_value[PAIR_VALUE_BYTES], size_t *out_length,
                              bool *out_is_good)
{
    size_t length = 0;
    bool is_quoted = *at == '"';
    at += is_quoted ? 1 : 0;
    while (*at != '\0' && (is_quoted ? *at != '"' : strchr(",; \t", *at) == NULL)) {
        if (is_quoted && *at == '\\' && at[1] != '\0') {
            at++;
        }
        if (length < PAIR_VALUE_BYTES) {
            out_value[length] = *at;
        }
        length++;
        at++;
    }
    *out_is_good = length <= PAIR_VALUE_BYTES && (!is_quoted || *at == '"');
    *out_length = length < PAIR_VALUE_BYTES ? length : PAIR_VALUE_BYTES;
    return is_quoted && *at == '"' ? at + 1 : at;
}

/** One element, up to its comma or the end, which is returned. */
static const char *read_element(const char *at, struct ip_address *out_address)
{
    bool is_good = true, has_for = false;
    struct ip_address address = {0};
    while (*at != '\0' && *at != ',') {
        at = skip_blanks(at);
        size_t name = strcspn(at, "=,; \t");
        bool is_for = name == 3 && strncasecmp(at, "for", 3) == 0;
        const char *after = at + name;
        if (*after == '=') {
            char value[PAIR_VALUE_BYTES];
            size_t length = 0;
            bool is_whole = true;
            after = skip_blanks(read_value(after + 1, value, &length, &is_whole));
            is_good = is_good && is_whole && !(is_for && has_for);
            has_for = has_for || is_for;
            address = is_for && is_whole ? read_node(value, length) : address;
        } else {
            is_good = is_good && name == 0; /* an empty pair is allowed */
            after = skip_blanks(after);
        }
        if (*after != ';' && *after != ',' && *after != '\0') {
            is_good = false; /* something behind a value: to the next sign that parts pairs */
            after += strcspn(after, ";,");
        }
        at = *after == ';' ? after + 1 : after;
    }
    *out_address = is_good ? address : (struct ip_address){0};
    return at;
}

static void add_elements(struct forwarded *forwarded, const char *value,
                         const struct trusted_networks *trusted)
{
    for (const char *at = value;; at++) {
        struct ip_address address;
        at = read_element(at, &address);
        add_entry(forwarded, &address, trusted);
        if (*at == '\0') {
            return;
        }
    }
}

void forwarded_add(struct forwarded *forwarded, enum forwarded_form form, const char *value,
                   const struct trusted_networks *trusted)
{
    if (form == FORWARDED_X) {
        add_list(forwarded, value, trusted);
    } else {
        add_elements(forwarded, value, trusted);
    }
}
