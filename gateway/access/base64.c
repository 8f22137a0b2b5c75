/*
 * Our own: OpenSSL's EVP_DecodeBlock() counts padding as bytes, passes over blanks, and takes texts whose unused
 * bits are set, so that one signature could be written in several ways.
 */
#include "access/base64.h"

#include <stdint.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const unsigned char *bytes, size_t length, char *out)
{
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0U) |
                         (left > 2 ? (unsigned)bytes[i + 2] : 0U);
        *out++ = standard[group >> 18];
        *out++ = standard[group >> 12 & 63];
        *out++ = left > 1 ? standard[group >> 6 & 63] : '=';
        *out++ = left > 2 ? standard[group & 63] : '=';
    }
    *out = '\0';
}

static int value_of(enum base64_alphabet alphabet, char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    if (digit == (alphabet == BASE64_URL ? '-' : '+')) {
        return 62;
    }
    return digit == (alphabet == BASE64_URL ? '_' : '/') ? 63 : -1;
}

/** The text's length without padding, or false when it is padded wrongly. */
static bool trim_padding(enum base64_alphabet alphabet, const char *text, size_t *length)
{
    if (alphabet == BASE64_URL) {
        return *length % 4 != 1;
    }
    if (*length % 4 != 0) {
        return false;
    }
    for (int i = 0; i < 2 && *length > 0 && text[*length - 1] == '='; i++) {
        --*length;
    }
    return true;
}

bool base64_decode(enum base64_alphabet alphabet, const char *text, size_t length, unsigned char *out,
                   size_t size, size_t *out_length)
{
    unsigned bits = 0, held = 0;
    size_t count = 0;
    if (!trim_padding(alphabet, text, &length)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        int value = value_of(alphabet, text[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (count == size) {
                return false;
            }
            out[count++] = (unsigned char)(bits >> held);
            bits &= (1U << held) - 1;
        }
    }
    if (bits != 0) { /* another text would give the same bytes */
        return false;
    }
    *out_length = count;
    return true;
}

void base64url_append(struct bytes *to, const void *from, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *at = from;
    uint32_t gathered = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < length; i++) {
        gathered = (gathered & 0xff) << 8 | at[i];
        for (bits += 8; bits >= 6;) {
            bits -= 6;
            bytes_append_byte(to, digits[gathered >> bits & 63]);
        }
    }
    if (bits > 0) {
        bytes_append_byte(to, digits[gathered << (6 - bits) & 63]);
    }
}
