/**
 * Base64 (RFC 4648), strictly: one text per sequence of bytes, anything else is refused.
 */
#ifndef SOPHIA_ACCESS_BASE64_H
#define SOPHIA_ACCESS_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/bytes.h"

enum base64_alphabet {
    BASE64_STANDARD, /* "+/", padded */
    BASE64_URL,      /* "-_", not padded, as JSON Web Tokens have it */
};

/** Room that base64_encode() needs for so many bytes, the final NUL included. */
#define BASE64_TEXT_BYTES(length) (((length) + 2) / 3 * 4 + 1)

/** Standard alphabet; ends in NUL. out holds BASE64_TEXT_BYTES(length). */
void base64_encode(const unsigned char *bytes, size_t length, char *out);
/** False when the text is not canonical, or its bytes do not fit into size; out may hold a part of them then. */
bool base64_decode(enum base64_alphabet alphabet, const char *text, size_t length, unsigned char *out,
                   size_t size, size_t *out_length);

/** What `length` characters of the URL alphabet decode to at most. */
#define BASE64URL_DECODED_BYTES(length) ((length) / 4 * 3 + 2)
/** URL alphabet, not padded. */
void base64url_append(struct bytes *to, const void *from, size_t length);

#endif
