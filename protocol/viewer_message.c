/*
 * Decode what a viewer says. The text is untrusted: size and nesting are
 * bounded before the JSON parser sees it, members are checked one by one, and
 * unknown members are ignored. Nothing is decided here about boards or tokens
 * beyond their syntax.
 */
#include "protocol/viewer_message.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_depth.h"

/* ---- members; each names itself in *problem when it refuses ---- */

static enum result refuse(const char *member, enum result result, const char **problem)
{
    *problem = member;
    return result;
}

static enum result read_string(const json_t *object, const char *member, size_t max_bytes,
                               const char **out_text, const char **problem)
{
    const json_t *value = json_object_get(object, member);
    if (value == NULL) {
        return refuse(member, RESULT_MISSING_FIELD, problem);
    }
    if (!json_is_string(value)) {
        return refuse(member, RESULT_WRONG_TYPE, problem);
    }
    if (json_string_length(value) > max_bytes) {
        return refuse(member, RESULT_OUT_OF_RANGE, problem);
    }
    *out_text = json_string_value(value);
    return RESULT_OK;
}

static bool is_board_id(const char *text)
{
    if (text[0] < 'a' || text[0] > 'z') {
        return false;
    }
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static enum result read_board(const json_t *object, struct viewer_message *message, const char **problem)
{
    const char *board = NULL;
    enum result result = read_string(object, "board", BOARD_ID_MAX_BYTES, &board, problem);
    if (result != RESULT_OK) {
        return result;
    }
    if (!is_board_id(board)) {
        return refuse("board", RESULT_OUT_OF_RANGE, problem);
    }
    memcpy(message->board, board, strlen(board) + 1);
    return RESULT_OK;
}

static enum result read_max_rate(const json_t *object, struct viewer_quality *quality, const char **problem)
{
    const json_t *value = json_object_get(object, "max_rate");
    if (value == NULL) {
        return RESULT_OK;
    }
    if (!json_is_number(value)) {
        return refuse("max_rate", RESULT_WRONG_TYPE, problem);
    }
    double rate = json_number_value(value);
    bool is_none = rate >= 0.0 && rate <= 0.0;
    if (!is_none && (rate < 0.01 || rate > 100.0)) {
        return refuse("max_rate", RESULT_OUT_OF_RANGE, problem);
    }
    quality->has_max_rate = true;
    quality->max_rate = is_none ? 0.0 : rate; /* -0 would print with its sign */
    return RESULT_OK;
}

static enum result read_quality(const json_t *object, struct viewer_quality *quality, const char **problem)
{
    const json_t *hidden = json_object_get(object, "hidden");
    if (hidden != NULL && !json_is_boolean(hidden)) {
        return refuse("hidden", RESULT_WRONG_TYPE, problem);
    }
    quality->has_hidden = hidden != NULL;
    quality->is_hidden = json_is_true(hidden);
    return read_max_rate(object, quality, problem);
}

static enum result read_position(const json_t *object, struct viewer_message *message, const char **problem)
{
    const json_t *value = json_object_get(object, "position");
    if (value == NULL) {
        return RESULT_OK;
    }
    if (!json_is_string(value)) {
        return refuse("position", RESULT_WRONG_TYPE, problem);
    }
    /* Text that is no position is a position nobody knows: the viewer gets a snapshot. */
    message->has_position =
        position_parse(json_string_value(value), json_string_length(value), &message->position) == RESULT_OK;
    return RESULT_OK;
}

static enum result read_clock(const json_t *object, struct viewer_message *message, const char **problem)
{
    const json_t *value = json_object_get(object, "clock");
    if (value == NULL) {
        return RESULT_OK;
    }
    if (!json_is_integer(value)) {
        return refuse("clock", RESULT_WRONG_TYPE, problem);
    }
    json_int_t clock = json_integer_value(value);
    if (clock < -INTEGER_MAX_EXACT || clock > INTEGER_MAX_EXACT) {
        return refuse("clock", RESULT_OUT_OF_RANGE, problem);
    }
    message->has_clock = true;
    message->clock_ms = clock;
    return RESULT_OK;
}

static enum result read_client(const json_t *object, struct viewer_message *message, const char **problem)
{
    if (json_object_get(object, "client") == NULL) {
        return RESULT_OK;
    }
    const char *client = NULL;
    enum result result = read_string(object, "client", CLIENT_NAME_MAX_BYTES, &client, problem);
    if (result == RESULT_OK) {
        memcpy(message->client, client, strlen(client) + 1);
    }
    return result;
}

static enum result read_delays(const json_t *object, struct viewer_message *message, const char **problem)
{
    const json_t *delays = json_object_get(object, "delay_ms");
    if (delays == NULL) {
        return refuse("delay_ms", RESULT_MISSING_FIELD, problem);
    }
    if (!json_is_array(delays)) {
        return refuse("delay_ms", RESULT_WRONG_TYPE, problem);
    }
    size_t count = json_array_size(delays);
    if (count < 1 || count > REPORT_DELAYS_MAX) {
        return refuse("delay_ms", RESULT_OUT_OF_RANGE, problem);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *delay = json_array_get(delays, i);
        if (!json_is_number(delay)) {
            return refuse("delay_ms", RESULT_WRONG_TYPE, problem);
        }
        double delay_ms = json_number_value(delay);
        if (delay_ms < 0.0 || delay_ms > REPORT_DELAY_MAX_MS) {
            return refuse("delay_ms", RESULT_OUT_OF_RANGE, problem);
        }
        message->delays_ms[i] = delay_ms;
    }
    message->delay_count = (uint32_t)count;
    return RESULT_OK;
}

/** Last of a message's members: after it nothing fails, so nobody has to free the token again. */
static enum result read_token(const json_t *object, struct viewer_message *message, const char **problem)
{
    const char *token = NULL;
    enum result result = read_string(object, "token", TOKEN_MAX_BYTES, &token, problem);
    if (result != RESULT_OK) {
        return result;
    }
    message->token = strdup(token);
    return message->token == NULL ? RESULT_NO_MEMORY : RESULT_OK;
}

/* ---- messages ---- */

static enum result decode_hello(const json_t *object, struct viewer_message *message, const char **problem)
{
    enum result result = read_client(object, message, problem);
    if (result == RESULT_OK) {
        result = read_clock(object, message, problem);
    }
    if (result == RESULT_OK && json_object_get(object, "token") != NULL) {
        result = read_token(object, message, problem);
    }
    return result;
}

static enum result decode_quality(const json_t *object, struct viewer_message *message, const char **problem)
{
    enum result result = read_board(object, message, problem);
    return result == RESULT_OK ? read_quality(object, &message->quality, problem) : result;
}

static enum result decode_subscribe(const json_t *object, struct viewer_message *message,
                                    const char **problem)
{
    enum result result = decode_quality(object, message, problem);
    return result == RESULT_OK ? read_position(object, message, problem) : result;
}

typedef enum result decode_function(const json_t *object, struct viewer_message *message,
                                    const char **problem);

static const struct {
    const char *name;
    decode_function *decode;
} types[VIEWER_MESSAGE_TYPE_COUNT] = {
    [VIEWER_HELLO] = {"hello", decode_hello},       [VIEWER_SUBSCRIBE] = {"subscribe", decode_subscribe},
    [VIEWER_QUALITY] = {"quality", decode_quality}, [VIEWER_UNSUBSCRIBE] = {"unsubscribe", read_board},
    [VIEWER_REFRESH] = {"refresh", read_token},     [VIEWER_PING] = {"ping", read_clock},
    [VIEWER_REPORT] = {"report", read_delays},
};

static enum result decode_object(const json_t *object, struct viewer_message *message, const char **problem)
{
    const char *name = NULL;
    enum result result = read_string(object, "type", SIZE_MAX, &name, problem);
    if (result != RESULT_OK) {
        return result;
    }
    for (int type = 0; type < VIEWER_MESSAGE_TYPE_COUNT; type++) {
        if (strcmp(name, types[type].name) == 0) {
            message->type = (enum viewer_message_type)type;
            return types[type].decode(object, message, problem);
        }
    }
    return refuse("type", RESULT_UNKNOWN_TYPE, problem);
}

/* ---- text ---- */

static enum result result_of_parse_error(const json_error_t *error, const char **problem)
{
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return RESULT_NO_MEMORY;
    case json_error_numeric_overflow:
        return refuse("number", RESULT_OUT_OF_RANGE, problem); /* good JSON, but no number of ours */
    case json_error_invalid_utf8:
        return RESULT_INVALID_TEXT;
    default:
        return RESULT_MALFORMED;
    }
}

enum result viewer_message_decode(const char *text, size_t length, struct viewer_message *out_message,
                                  const char **out_problem)
{
    *out_problem = NULL;
    if (length > VIEWER_MESSAGE_MAX_BYTES) {
        return RESULT_TOO_BIG;
    }
    if (json_is_deeper(text, length, VIEWER_MESSAGE_MAX_DEPTH)) {
        return RESULT_TOO_DEEP;
    }
    json_error_t error;
    json_auto_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        return result_of_parse_error(&error, out_problem);
    }
    if (!json_is_object(object)) {
        return RESULT_MALFORMED;
    }
    struct viewer_message message = {0};
    enum result result = decode_object(object, &message, out_problem);
    if (result == RESULT_OK) {
        *out_message = message;
    }
    return result;
}

void viewer_message_finish(struct viewer_message *message)
{
    if (message == NULL) {
        return;
    }
    if (message->token != NULL) {
        explicit_bzero(message->token, strlen(message->token));
        free(message->token);
    }
    *message = (struct viewer_message){0};
}
