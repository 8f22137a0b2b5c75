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

/*
 * By table: which range a digit lies in is a guess that a processor loses at every other one of a token's. 240 random digits took
 * 13.4 us by ranges and take 0.6 to 0.8 us by table and in fours; an HS256 token takes 3.5 us instead of 13.4 (loadtest/token_cost, a
 * virtual machine with two cores at 2.8 GHz, at commit cc8160c and with this).
 */
static const int8_t values[][128] = {
    [BASE64_STANDARD] =
        {
            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62,
            -1, -1, -1, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1, -1, 0,
            1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
            23, 24, 25, -1, -1, -1, -1, -1, -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
            39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
        },
    [BASE64_URL] =
        {
            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
            -1, 62, -1, -1, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1, -1, 0,
            1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
            23, 24, 25, -1, -1, -1, -1, 63, -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
            39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
        },
};

/** Negative for what is no digit. */
static int value_of(enum base64_alphabet alphabet, char digit)
{
    unsigned char at = (unsigned char)digit;
    return at < 128 ? values[alphabet][at] : -1;
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

/** Four digits at a time, as long as there are four and room for their three bytes. False at a character that is no digit. */
static bool decode_groups(enum base64_alphabet alphabet, const char *text, size_t length, unsigned char *out,
                          size_t size, size_t *taken)
{
    size_t at = 0;
    for (; length - at >= 4 && size - at / 4 * 3 >= 3; at += 4) {
        int first = value_of(alphabet, text[at]), second = value_of(alphabet, text[at + 1]);
        int third = value_of(alphabet, text[at + 2]), fourth = value_of(alphabet, text[at + 3]);
        if ((first | second | third | fourth) < 0) {
            return false;
        }
        unsigned group =
            (unsigned)first << 18 | (unsigned)second << 12 | (unsigned)third << 6 | (unsigned)fourth;
        *out++ = (unsigned char)(group >> 16);
        *out++ = (unsigned char)(group >> 8);
        *out++ = (unsigned char)group;
    }
    *taken = at;
    return true;
}

bool base64_decode(enum base64_alphabet alphabet, const char *text, size_t length, unsigned char *out,
                   size_t size, size_t *out_length)
{
    unsigned bits = 0, held = 0;
    size_t at = 0;
    if (!trim_padding(alphabet, text, &length) || !decode_groups(alphabet, text, length, out, size, &at)) {
        return false;
    }
    size_t count = at / 4 * 3;
    for (; at < length; at++) {
        int value = value_of(alphabet, text[at]);
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
