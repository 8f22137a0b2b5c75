/*
 * RFC 6455, 9.1 (the header) and RFC 7692, 7.1 (the parameters).
 */
#include "io/deflate_offer.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum parameter {
    SERVER_NO_CONTEXT_TAKEOVER,
    CLIENT_NO_CONTEXT_TAKEOVER,
    SERVER_MAX_WINDOW_BITS,
    CLIENT_MAX_WINDOW_BITS,
    PARAMETER_COUNT
};

static const char *const parameter_names[PARAMETER_COUNT] = {
    [SERVER_NO_CONTEXT_TAKEOVER] = "server_no_context_takeover",
    [CLIENT_NO_CONTEXT_TAKEOVER] = "client_no_context_takeover",
    [SERVER_MAX_WINDOW_BITS] = "server_max_window_bits",
    [CLIENT_MAX_WINDOW_BITS] = "client_max_window_bits",
};

/* The longest value that means anything has two characters. */
enum { VALUE_MAX_CHARACTERS = 8 };

struct offer {
    bool is_ours; /* so far: permessage-deflate, and nothing in it that we must decline */
    bool seen[PARAMETER_COUNT];
};

struct slice {
    const char *at;
    size_t length;
};

static bool equals(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && memcmp(slice.at, text, slice.length) == 0;
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* RFC 9110, 5.6.2. */
static bool take_token(const char **at, struct slice *out_token)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789"
                                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    out_token->at = *at;
    out_token->length = strspn(*at, allowed);
    *at += out_token->length;
    return out_token->length > 0;
}

/* A token, or one in quotes, in which a backslash stands for the character behind it. A value too long to mean anything is cut. */
static bool take_value(const char **at, char out_value[VALUE_MAX_CHARACTERS + 1])
{
    size_t length = 0;
    if (**at != '"') {
        struct slice token;
        bool is_token = take_token(at, &token);
        length = token.length < VALUE_MAX_CHARACTERS ? token.length : VALUE_MAX_CHARACTERS;
        memcpy(out_value, token.at, length);
        out_value[length] = '\0';
        return is_token;
    }
    for ((*at)++; **at != '"'; (*at)++) {
        if (**at == '\\') {
            (*at)++;
        }
        if (**at == '\0') {
            return false;
        }
        if (length < VALUE_MAX_CHARACTERS) {
            out_value[length++] = **at;
        }
    }
    (*at)++;
    out_value[length] = '\0';
    return length > 0;
}

/* 8 to 15, without a leading zero; 0 for anything else. */
static int window_bits(const char *value)
{
    if ((value[0] == '8' || value[0] == '9') && value[1] == '\0') {
        return value[0] - '0';
    }
    return value[0] == '1' && value[1] >= '0' && value[1] <= '5' && value[2] == '\0' ? 10 + value[1] - '0'
                                                                                     : 0;
}

static bool is_good_value(enum parameter parameter, const char *value)
{
    switch (parameter) {
    case SERVER_MAX_WINDOW_BITS:
        return value && window_bits(value) >= DEFLATE_OFFER_WINDOW_BITS;
    case CLIENT_MAX_WINDOW_BITS:
        return !value || window_bits(value) > 0; /* we inflate any */
    case SERVER_NO_CONTEXT_TAKEOVER:
    case CLIENT_NO_CONTEXT_TAKEOVER:
    case PARAMETER_COUNT:
        break;
    }
    return !value;
}

static void note_parameter(struct offer *offer, struct slice name, const char *value)
{
    for (int i = 0; i < PARAMETER_COUNT; i++) {
        if (equals(name, parameter_names[i])) {
            offer->is_ours = offer->is_ours && !offer->seen[i] && is_good_value((enum parameter)i, value);
            offer->seen[i] = true;
            return;
        }
    }
    offer->is_ours = false;
}

/* One extension with its parameters, up to a comma or the end. False: the grammar is broken. */
static bool take_offer(const char **at, struct offer *out_offer)
{
    struct slice name;
    *out_offer = (struct offer){0};
    if (!take_token(at, &name)) {
        return false;
    }
    out_offer->is_ours = equals(name, "permessage-deflate");
    for (*at = skip_blanks(*at); **at == ';'; *at = skip_blanks(*at)) {
        char value[VALUE_MAX_CHARACTERS + 1];
        bool has_value = false;
        *at = skip_blanks(*at + 1);
        if (!take_token(at, &name)) {
            return false;
        }
        *at = skip_blanks(*at);
        if (**at == '=') {
            *at = skip_blanks(*at + 1);
            has_value = true;
            if (!take_value(at, value)) {
                return false;
            }
        }
        note_parameter(out_offer, name, has_value ? value : NULL);
    }
    return **at == ',' || **at == '\0';
}

const char *deflate_offer_answer(const char *header)
{
    const char *at = header + strspn(header, ", \t");
    while (*at != '\0') {
        struct offer offer;
        if (!take_offer(&at, &offer)) {
            return NULL;
        }
        if (offer.is_ours) {
            return offer.seen[SERVER_MAX_WINDOW_BITS] ? DEFLATE_ANSWER "; " DEFLATE_ANSWER_WINDOW
                                                      : DEFLATE_ANSWER;
        }
        at += strspn(at, ", \t");
    }
    return NULL;
}
