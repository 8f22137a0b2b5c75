/*
 * Messages are masked with zeros, which RFC 6455 allows and which costs the gateway what any mask costs. Fragments are not
 * understood: the gateway sends none.
 */
#include "loadtest/load/load_viewer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_BYTES = 262144,
    BUFFER_MAX_BYTES = 64 * 1024 * 1024, /* a snapshot has at most 16 MiB */
    REQUEST_BYTES = 1024,
    SLOW_RECEIVE_BYTES = 4096,           /* a slow reader's window is full soon */
    CONTROL_MAX_BYTES = 125,             /* RFC 6455, 5.5 */
    STAMP_MAX_AGE_US = 60 * 1000 * 1000, /* else the clock was set: the time of reading counts */
};

bool load_wire_init(struct load_wire *wire)
{
    wire->capacity = BUFFER_BYTES;
    wire->buffer = malloc(wire->capacity);
    return wire->buffer != NULL;
}

void load_wire_finish(struct load_wire *wire)
{
    free(wire->buffer);
    wire->buffer = NULL;
}

bool load_viewer_open(const struct load_wire *wire, struct load_viewer *viewer, uint64_t now_us)
{
    viewer->since_us = now_us;
    viewer->must_go_back = false;
    viewer->cursor.is_resuming = viewer->cursor.has_position;
    if (!load_stream_open(&viewer->stream, &wire->addresses[viewer->gateway], viewer->number,
                          viewer->is_slow ? SLOW_RECEIVE_BYTES : 0)) {
        return false;
    }
    viewer->state = LOAD_VIEWER_CONNECTING;
    return true;
}

void load_viewer_close(struct load_viewer *viewer)
{
    load_stream_close(&viewer->stream);
    viewer->state = LOAD_VIEWER_AWAY;
    free(viewer->rest);
    viewer->rest = NULL;
    viewer->rest_length = 0;
}

/* ---- speaking ---- */

static bool say(struct load_viewer *viewer, const char *text, int length)
{
    return length > 0 && load_stream_write(&viewer->stream, text, (size_t)length) == (ssize_t)length;
}

/** Position as text, or "". */
static void print_position(const struct load_viewer *viewer, char out_text[POSITION_TEXT_MAX_BYTES + 1])
{
    out_text[0] = '\0';
    if (viewer->cursor.has_position) {
        (void)position_print(&viewer->cursor.at, out_text); /* it fits by its contract */
    }
}

bool load_viewer_greet(const struct load_wire *wire, struct load_viewer *viewer)
{
    const char *host = wire->addresses[viewer->gateway].host;
    const char *board = wire->scenario->boards[viewer->board].id;
    char text[REQUEST_BYTES], position[POSITION_TEXT_MAX_BYTES + 1], rate[40] = "", resume[80] = "";
    int length;
    viewer->state = LOAD_VIEWER_GREETING;
    if (viewer->is_sse) {
        print_position(viewer, position);
        if (wire->scenario->max_rate > 0) {
            snprintf(rate, sizeof rate, "?max_rate=%g", wire->scenario->max_rate);
        }
        if (position[0] != '\0') {
            snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", position);
        }
        length = snprintf(text, sizeof text,
                          "GET /api/v1/dashboards/%s/events%s HTTP/1.1\r\nHost: %s\r\n"
                          "Accept: text/event-stream\r\n%s\r\n",
                          board, rate, host, resume);
    } else {
        length = snprintf(text, sizeof text,
                          "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: " PROTOCOL_NAME "\r\n\r\n",
                          host);
    }
    return say(viewer, text, length);
}

/** Appends one masked text frame; its text is at most 65,535 bytes. */
static void append_frame(struct bytes *out, const char *text, size_t length)
{
    static const char mask[4] = {0};
    bytes_append_byte(out, (char)0x81);
    if (length < 126) {
        bytes_append_byte(out, (char)(0x80 | (int)length));
    } else {
        bytes_append_byte(out, (char)(0x80 | 126));
        bytes_append_byte(out, (char)(length >> 8));
        bytes_append_byte(out, (char)(length & 0xff));
    }
    bytes_append(out, mask, sizeof mask);
    bytes_append(out, text, length);
}

static bool say_frames(const struct load_wire *wire, struct load_viewer *viewer, bool is_first)
{
    static const char hello[] = "{\"type\":\"hello\",\"client\":\"sophia-load\"}";
    char text[REQUEST_BYTES], position[POSITION_TEXT_MAX_BYTES + 1], rate[40] = "", resume[80] = "";
    print_position(viewer, position);
    if (position[0] != '\0') {
        snprintf(resume, sizeof resume, ",\"position\":\"%s\"", position);
    }
    if (wire->scenario->max_rate > 0) {
        snprintf(rate, sizeof rate, ",\"max_rate\":%g", wire->scenario->max_rate);
    }
    int length = snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"board\":\"%s\"%s%s}",
                          wire->scenario->boards[viewer->board].id, resume, rate);
    struct bytes frames;
    bytes_init(&frames, REQUEST_BYTES);
    if (is_first) {
        append_frame(&frames, hello, sizeof hello - 1);
    }
    append_frame(&frames, text, (size_t)length);
    bool is_sent = !bytes_failed(&frames) && say(viewer, frames.at, (int)frames.length);
    bytes_finish(&frames);
    return is_sent;
}

bool load_viewer_subscribe(const struct load_wire *wire, struct load_viewer *viewer)
{
    return say_frames(wire, viewer, false);
}

/* ---- listening ---- */

/** The head of the answer; how many bytes it takes, 0 when it is not whole. */
static enum load_reading greeting_take(const struct load_wire *wire, struct load_viewer *viewer,
                                       const char *text, size_t length, size_t *out_taken)
{
    static const char ws[] = "HTTP/1.1 101", sse[] = "HTTP/1.1 200";
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    *out_taken = 0;
    if (!end) {
        return LOAD_READING_ON;
    }
    if (memcmp(text, viewer->is_sse ? sse : ws, sizeof ws - 1) != 0) {
        return LOAD_READING_REFUSED;
    }
    *out_taken = (size_t)(end + 4 - text);
    viewer->state = LOAD_VIEWER_OPEN;
    return viewer->is_sse || say_frames(wire, viewer, true) ? LOAD_READING_ON : LOAD_READING_RESET;
}

struct ws_header {
    unsigned opcode;
    size_t bytes, payload;
};

/** False: not whole. */
static bool ws_header_read(const unsigned char *at, size_t left, struct ws_header *out)
{
    if (left < 2) {
        return false;
    }
    *out = (struct ws_header){.opcode = at[0], .bytes = 2, .payload = at[1]};
    size_t more = at[1] == 126 ? 2 : at[1] == 127 ? 8 : 0;
    if (left < 2 + more) {
        return false;
    }
    if (more > 0) {
        out->payload = 0;
        for (size_t i = 0; i < more; i++) {
            out->payload = out->payload << 8 | at[2 + i];
        }
        out->bytes += more;
    }
    return true;
}

/** With what the ping carried: a gateway that is not told it again takes us for gone. */
static bool say_pong(struct load_viewer *viewer, const char *payload, size_t length)
{
    char pong[6 + CONTROL_MAX_BYTES] = {(char)0x8a, (char)(0x80 | (int)length)};
    memcpy(pong + 6, payload, length);
    return say(viewer, pong, (int)(6 + length));
}

static enum load_reading ws_control(struct load_viewer *viewer, unsigned opcode, const char *payload,
                                    size_t length)
{
    if (length > CONTROL_MAX_BYTES) {
        return LOAD_READING_BROKEN;
    }
    if (opcode == 0x89) {
        return say_pong(viewer, payload, length) ? LOAD_READING_ON : LOAD_READING_RESET;
    }
    return opcode == 0x88 ? LOAD_READING_CLOSED : opcode == 0x8a ? LOAD_READING_ON : LOAD_READING_BROKEN;
}

static enum load_reading ws_take(struct load_wire *wire, struct load_viewer *viewer, const char *text,
                                 size_t length, uint64_t now_us, size_t *out_taken)
{
    struct ws_header header;
    size_t at = 0;
    enum load_reading reading = LOAD_READING_ON;
    while (reading == LOAD_READING_ON &&
           ws_header_read((const unsigned char *)text + at, length - at, &header)) {
        if (header.payload > BUFFER_MAX_BYTES) {
            return LOAD_READING_BROKEN;
        }
        if (header.payload > length - at - header.bytes) {
            break;
        }
        if (header.opcode == 0x81) {
            const struct load_message message = {.text = text + at + header.bytes,
                                                 .length = header.payload,
                                                 .wire_bytes = header.bytes + header.payload,
                                                 .id = ""};
            wire->on_message(wire->context, viewer, &message, now_us);
        } else {
            reading = ws_control(viewer, header.opcode, text + at + header.bytes, header.payload);
        }
        at += header.bytes + header.payload;
    }
    *out_taken = at;
    return reading;
}

/** The rest of the line of an event that begins with `mark`; "" when there is none. */
static const char *sse_line(const char *event, size_t length, const char *mark, size_t *out_length)
{
    size_t mark_length = strlen(mark);
    for (const char *at = event, *end = event + length; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        if ((size_t)(line_end - at) >= mark_length && memcmp(at, mark, mark_length) == 0) {
            *out_length = (size_t)(line_end - at) - mark_length;
            return at + mark_length;
        }
        at = line_end + 1;
    }
    *out_length = 0;
    return "";
}

/** Only what the gateway writes: each event's message is one `data: ` line. */
static size_t sse_take(struct load_wire *wire, struct load_viewer *viewer, const char *text, size_t length,
                       uint64_t now_us)
{
    size_t at = 0;
    const char *end;
    while ((end = memmem(text + at, length - at, "\n\n", 2)) != NULL) {
        size_t event = (size_t)(end - text) - at;
        struct load_message message = {.wire_bytes = event + 2};
        message.text = sse_line(text + at, event, "data: ", &message.length);
        message.id = sse_line(text + at, event, "id: ", &message.id_length);
        if (message.length > 0) {
            wire->on_message(wire->context, viewer, &message, now_us);
        }
        at += event + 2;
    }
    return at;
}

static enum load_reading read_take(struct load_wire *wire, struct load_viewer *viewer, size_t length,
                                   uint64_t now_us, size_t *out_taken)
{
    enum load_reading reading = LOAD_READING_ON;
    size_t greeting = 0, messages = 0;
    *out_taken = 0;
    if (viewer->state == LOAD_VIEWER_GREETING) {
        reading = greeting_take(wire, viewer, wire->buffer, length, &greeting);
        if (reading != LOAD_READING_ON || greeting == 0) {
            return reading;
        }
    }
    if (viewer->is_sse) {
        messages = sse_take(wire, viewer, wire->buffer + greeting, length - greeting, now_us);
    } else {
        reading = ws_take(wire, viewer, wire->buffer + greeting, length - greeting, now_us, &messages);
    }
    *out_taken = greeting + messages;
    return reading;
}

/* The buffer holds what the viewer had before; room is left to read at least as much again. */
static bool rest_lay_out(struct load_wire *wire, const struct load_viewer *viewer)
{
    if (viewer->rest_length * 2 > wire->capacity) {
        size_t capacity = wire->capacity * 2;
        char *grown = capacity <= BUFFER_MAX_BYTES ? realloc(wire->buffer, capacity) : NULL;
        if (!grown) {
            return false;
        }
        wire->buffer = grown;
        wire->capacity = capacity;
    }
    if (viewer->rest_length > 0) {
        memcpy(wire->buffer, viewer->rest, viewer->rest_length);
    }
    return true;
}

static bool rest_keep(const struct load_wire *wire, struct load_viewer *viewer, size_t from, size_t length)
{
    if (length == 0) {
        free(viewer->rest);
        viewer->rest = NULL;
    } else {
        char *rest = realloc(viewer->rest, length);
        if (!rest) {
            return false;
        }
        memcpy(rest, wire->buffer + from, length);
        viewer->rest = rest;
    }
    viewer->rest_length = length;
    return true;
}

static enum load_reading failure_of(int problem)
{
    return problem == EAGAIN || problem == EINTR ? LOAD_READING_ON : LOAD_READING_RESET;
}

enum load_reading load_viewer_read(struct load_wire *wire, struct load_viewer *viewer, size_t limit)
{
    for (size_t left = limit; left > 0;) {
        if (!rest_lay_out(wire, viewer)) {
            return LOAD_READING_NO_MEMORY;
        }
        size_t room = wire->capacity - viewer->rest_length;
        size_t wanted = room < left ? room : left;
        uint64_t stamp_us;
        ssize_t got =
            load_stream_read(&viewer->stream, wire->buffer + viewer->rest_length, wanted, &stamp_us);
        if (got <= 0) {
            return got == 0 ? LOAD_READING_CLOSED : failure_of(errno);
        }
        size_t length = viewer->rest_length + (size_t)got, taken;
        uint64_t now_us = load_now_us();
        bool is_stamped = stamp_us != 0 && stamp_us <= now_us && now_us - stamp_us < STAMP_MAX_AGE_US;
        wire->received_us = is_stamped ? stamp_us : now_us;
        enum load_reading reading = read_take(wire, viewer, length, now_us, &taken);
        if (!rest_keep(wire, viewer, taken, length - taken)) {
            return LOAD_READING_NO_MEMORY;
        }
        if (reading != LOAD_READING_ON || viewer->must_go_back) {
            return reading;
        }
        if ((size_t)got < wanted) { /* the kernel's buffer was emptied: the next byte is a new event */
            return LOAD_READING_ON;
        }
        left -= (size_t)got;
    }
    return LOAD_READING_LIMITED;
}
