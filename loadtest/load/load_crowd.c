/*
 * Edge-triggered, one recv() per event: a viewer whose buffer was not emptied is read on. Slow viewers are not in the epoll set
 * once they have their snapshot; a timer reads what they are allowed to.
 */
#include "loadtest/load/load_crowd.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 512,
    WAIT_MS = 5,
    CONNECTING_MAX =
        512, /* of those who arrive: more would overflow queues and measure when SYN is sent again */
    SWEEP_US = 200000,
    SWEEP_AWAY_US = 10000, /* when somebody is to come back; a look at all of them is not free */
    SLOW_US = 50000,
    READY_WITHIN_US = 20000000,
    BACK_AFTER_US = 1000000, /* after an error */
    COPIES = 64,
};

/** Ratios for place_of(). */
static const double MIX_SLOW = 0.6180339887, MIX_SSE = 0.4142135624, MIX_STORM = 0.2360679775;

static const char *const error_names[LOAD_ERROR_COUNT] = {"connect", "refused", "timeout", "closed",
                                                          "reset",   "message", "wire",    "producer"};

const char *load_error_name(enum load_error error)
{
    return error_names[error];
}

static uint64_t draw(struct load_crowd *crowd) /* xorshift: the same run draws the same viewers */
{
    crowd->chance ^= crowd->chance << 13;
    crowd->chance ^= crowd->chance >> 7;
    crowd->chance ^= crowd->chance << 17;
    return crowd->chance;
}

/* ---- connections ---- */

static void watch(struct load_crowd *crowd, const struct load_viewer *viewer, int operation, uint32_t what)
{
    struct epoll_event event = {.events = what | EPOLLRDHUP | EPOLLET, .data.u32 = viewer->number};
    if (epoll_ctl(crowd->epoll, operation, viewer->stream.fd, &event) != 0) {
        crowd->has_no_memory = true; /* the only way to fail for a socket of ours */
    }
}

static void leave(struct load_crowd *crowd, struct load_viewer *viewer, uint64_t back_at_us)
{
    crowd->connecting -= viewer->state != LOAD_VIEWER_READY && viewer->state != LOAD_VIEWER_AWAY;
    crowd->ready -= viewer->state == LOAD_VIEWER_READY;
    load_viewer_close(viewer);
    viewer->back_at_us = back_at_us;
}

static void fail(struct load_crowd *crowd, struct load_viewer *viewer, enum load_error error, uint64_t now_us)
{
    crowd->tally.errors[error]++;
    crowd->tally.connect_errors += !viewer->was_ready;
    leave(crowd, viewer, now_us + BACK_AFTER_US);
}

static void enter(struct load_crowd *crowd, struct load_viewer *viewer, uint64_t now_us)
{
    crowd->tally.returned += viewer->was_ready;
    if (!load_viewer_open(&crowd->wire, viewer, now_us)) {
        fail(crowd, viewer, LOAD_ERROR_CONNECT, now_us);
        return;
    }
    crowd->connecting++;
    watch(crowd, viewer, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void become_ready(struct load_crowd *crowd, struct load_viewer *viewer, uint64_t now_us)
{
    if (viewer->state != LOAD_VIEWER_OPEN) {
        return;
    }
    viewer->state = LOAD_VIEWER_READY;
    crowd->connecting--;
    crowd->ready++;
    if (!viewer->was_ready) {
        histogram_record(&crowd->tally.connecting, now_us - viewer->since_us, 1);
    }
    viewer->was_ready = true;
    if (viewer->is_slow && !crowd->is_quiet) {
        watch(crowd, viewer, EPOLL_CTL_MOD, 0);
    }
    if (crowd->ready == crowd->scenario->viewers) {
        if (crowd->tally.all_ready_us == 0) {
            crowd->tally.all_ready_us = now_us;
        }
        if (crowd->tally.storm_us != 0 && crowd->tally.storm_over_us == 0) {
            crowd->tally.storm_over_us = now_us;
        }
    }
}

/* ---- messages ---- */

static uint64_t since(uint64_t due_us, uint64_t now_us)
{
    return now_us > due_us ? now_us - due_us : 0;
}

/* Until a viewer had it is until it was in its socket: a thousand viewers have more processors than the one that plays them here. */
static void measure(struct load_crowd *crowd, const struct load_frame *frame, uint64_t received_us,
                    uint64_t now_us)
{
    for (uint32_t i = 0; frame->moments > 0 && i < frame->count; i++) {
        uint64_t due_us = frame->entries[i].value_us;
        if (due_us >= crowd->window_from_us && due_us < crowd->window_to_us) {
            histogram_record(&crowd->tally.latency, since(due_us, received_us), 1);
            histogram_record(&crowd->tally.reading, since(due_us, now_us), 1);
        }
    }
}

static void resubscribe(struct load_crowd *crowd, struct load_viewer *viewer, bool with_position)
{
    crowd->tally.resyncs++;
    viewer->cursor.has_position = viewer->cursor.has_position && with_position;
    viewer->cursor.is_resuming = viewer->cursor.has_position;
    if (viewer->is_sse || !load_viewer_subscribe(&crowd->wire, viewer)) {
        viewer->must_go_back = true;
    }
}

static void take_overlay(struct load_crowd *crowd, struct load_viewer *viewer, const struct load_frame *frame,
                         size_t wire_bytes, uint64_t now_us)
{
    struct load_tally *tally = &crowd->tally;
    bool was_away = viewer->cursor.is_resuming;
    bool is_first = viewer->state != LOAD_VIEWER_READY && !viewer->was_ready;
    if (frame->board_index != viewer->board) {
        load_violation(crowd->verify, VIOLATION_FORMAT, "a viewer of %s got a message of %s",
                       crowd->scenario->boards[viewer->board].id, frame->board);
        return;
    }
    if (frame->type == FRAME_SNAPSHOT) {
        tally->snapshots++;
        tally->resyncs += !is_first;
    } else {
        tally->updates++;
        tally->merged += frame->to.offset - frame->from > crowd->scenario->batch;
        tally->deliveries += crowd->is_counting;
        tally->delivered_bytes += crowd->is_counting ? wire_bytes : 0;
    }
    switch (load_cursor_take(crowd->verify, &viewer->cursor, frame)) {
    case LOAD_TAKEN:
        if (frame->type == FRAME_UPDATE && !was_away && !viewer->is_slow) {
            measure(crowd, frame, crowd->wire.received_us, now_us);
        }
        if (viewer->copy && load_copy_take(crowd->verify, viewer->copy, frame) != RESULT_OK) {
            crowd->has_no_memory = true;
        }
        break;
    case LOAD_RESUME:
        resubscribe(crowd, viewer, true);
        break;
    case LOAD_RESTART:
        resubscribe(crowd, viewer, false);
        break;
    case LOAD_IGNORED:
        break;
    }
    become_ready(crowd, viewer, now_us);
}

static void take_subscribed(struct load_crowd *crowd, struct load_viewer *viewer,
                            const struct load_frame *frame, uint64_t now_us)
{
    if (viewer->cursor.is_resuming) {
        crowd->tally.resumed[frame->resume]++;
        if (frame->resume == RESUME_WHOLE) {
            become_ready(crowd, viewer, now_us);
        }
    }
}

static void take_heartbeat(struct load_crowd *crowd, struct load_viewer *viewer,
                           const struct load_frame *frame, uint64_t now_us)
{
    crowd->tally.heartbeats++;
    if (load_cursor_take(crowd->verify, &viewer->cursor, frame) == LOAD_RESTART) {
        resubscribe(crowd, viewer, false);
    } else if (viewer->is_sse && viewer->cursor.is_resuming) {
        become_ready(crowd, viewer, now_us); /* SSE says "whole" with a heartbeat */
    }
}

/** Server-Sent Events: the id is what a plain EventSource resumes from. */
static void check_id(struct load_crowd *crowd, const struct load_frame *frame,
                     const struct load_message *message)
{
    char text[POSITION_TEXT_MAX_BYTES + 1];
    size_t length = position_print(&frame->to, text);
    if (length != message->id_length || memcmp(text, message->id, length) != 0) {
        load_violation(crowd->verify, VIOLATION_FORMAT, "%s: the id of an event at %s is %.*s", frame->board,
                       text, (int)message->id_length, message->id);
    }
}

static void on_message(void *context, struct load_viewer *viewer, const struct load_message *message,
                       uint64_t now_us)
{
    struct load_crowd *crowd = context;
    bool is_new;
    struct load_frame *frame = load_memo_look(&crowd->memo, message->text, message->length, &is_new);
    if (!frame || (is_new && load_verify_frame(crowd->verify, frame) != RESULT_OK)) {
        crowd->has_no_memory = true;
        return;
    }
    switch (frame->type) {
    case FRAME_SNAPSHOT:
    case FRAME_UPDATE:
        if (viewer->is_sse) {
            check_id(crowd, frame, message);
        }
        take_overlay(crowd, viewer, frame, message->wire_bytes, now_us);
        break;
    case FRAME_SUBSCRIBED:
        take_subscribed(crowd, viewer, frame, now_us);
        break;
    case FRAME_HEARTBEAT:
        take_heartbeat(crowd, viewer, frame, now_us);
        break;
    case FRAME_MOVED:
        viewer->must_go_back = true;
        break;
    case FRAME_ERROR:
        crowd->tally.errors[LOAD_ERROR_MESSAGE]++;
        break;
    case FRAME_BROKEN: /* a violation by now */
    case FRAME_OTHER:
        break;
    }
}

/* ---- reading ---- */

static void read_on(struct load_crowd *crowd, struct load_viewer *viewer, size_t limit)
{
    uint64_t now_us = load_now_us();
    switch (load_viewer_read(&crowd->wire, viewer, limit)) {
    case LOAD_READING_ON:
    case LOAD_READING_LIMITED:
        if (viewer->must_go_back) {
            leave(crowd, viewer, now_us);
        }
        break;
    case LOAD_READING_CLOSED:
        fail(crowd, viewer, LOAD_ERROR_CLOSED, now_us);
        break;
    case LOAD_READING_RESET:
        fail(crowd, viewer, LOAD_ERROR_RESET, now_us);
        break;
    case LOAD_READING_REFUSED:
        fail(crowd, viewer, LOAD_ERROR_REFUSED, now_us);
        break;
    case LOAD_READING_BROKEN:
        fail(crowd, viewer, LOAD_ERROR_WIRE, now_us);
        break;
    case LOAD_READING_NO_MEMORY:
        crowd->has_no_memory = true;
        break;
    }
}

static void on_event(struct load_crowd *crowd, struct load_viewer *viewer, uint32_t events)
{
    if (viewer->state == LOAD_VIEWER_AWAY) {
        return; /* an event from before it left */
    }
    bool has_ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (viewer->state == LOAD_VIEWER_CONNECTING) {
        if ((events & EPOLLERR) != 0 || !load_viewer_greet(&crowd->wire, viewer)) {
            fail(crowd, viewer, LOAD_ERROR_CONNECT, load_now_us());
        } else {
            watch(crowd, viewer, EPOLL_CTL_MOD, EPOLLIN);
        }
        return;
    }
    read_on(crowd, viewer, SIZE_MAX);
    if (has_ended && viewer->state != LOAD_VIEWER_AWAY) {
        /* The end stands behind what was just read, and is no event of its own. */
        read_on(crowd, viewer, SIZE_MAX);
    }
}

static void read_slowly(struct load_crowd *crowd, uint64_t now_us)
{
    if (crowd->is_quiet || crowd->scenario->slow_share <= 0 || now_us - crowd->slow_us < SLOW_US) {
        return;
    }
    double allowed = crowd->scenario->slow_bytes_per_s * (double)(now_us - crowd->slow_us) / 1e6;
    if (allowed < 1) {
        return; /* it gathers until it is a byte */
    }
    crowd->slow_us = now_us;
    for (uint32_t i = 0; i < crowd->scenario->viewers; i++) {
        struct load_viewer *viewer = &crowd->viewers[i];
        if (viewer->is_slow && viewer->state == LOAD_VIEWER_READY) {
            read_on(crowd, viewer, (size_t)allowed);
        }
    }
}

/* ---- coming and going ---- */

static void let_in(struct load_crowd *crowd, uint64_t now_us)
{
    if (crowd->arrivals_us == 0) {
        return;
    }
    double due = (double)(now_us - crowd->arrivals_us) * crowd->scenario->connects_per_s / 1e6 + 1;
    while (crowd->arrived < crowd->scenario->viewers && crowd->arrived < due &&
           crowd->connecting < CONNECTING_MAX) {
        enter(crowd, &crowd->viewers[crowd->arrived++], now_us);
    }
}

static void churn(struct load_crowd *crowd, uint64_t now_us)
{
    double due = (double)(now_us - crowd->churn_us) * crowd->scenario->churn_per_s / 1e6;
    while (crowd->is_churning && (double)crowd->churned < due) {
        struct load_viewer *viewer = &crowd->viewers[draw(crowd) % crowd->scenario->viewers];
        crowd->churned++;
        if (viewer->state == LOAD_VIEWER_READY) {
            leave(crowd, viewer, now_us);
        }
    }
}

/** Who has to come back, and who has waited too long. */
static void sweep(struct load_crowd *crowd, uint64_t now_us)
{
    uint32_t away = crowd->arrived - crowd->connecting - crowd->ready;
    if (now_us - crowd->swept_us < (away > 0 ? SWEEP_AWAY_US : SWEEP_US)) {
        return;
    }
    crowd->swept_us = now_us;
    for (uint32_t i = 0; i < crowd->arrived; i++) {
        struct load_viewer *viewer = &crowd->viewers[i];
        if (viewer->state == LOAD_VIEWER_AWAY) {
            if (now_us >= viewer->back_at_us) { /* all at once, if so many want to: that is what a storm is */
                enter(crowd, viewer, now_us);
            }
        } else if (viewer->state != LOAD_VIEWER_READY && now_us - viewer->since_us > READY_WITHIN_US) {
            fail(crowd, viewer, LOAD_ERROR_TIMEOUT, now_us);
        }
    }
}

void load_crowd_turn(struct load_crowd *crowd)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(crowd->epoll, events, EVENTS, WAIT_MS);
    for (int i = 0; i < count; i++) {
        on_event(crowd, &crowd->viewers[events[i].data.u32], events[i].events);
    }
    uint64_t now_us = load_now_us();
    let_in(crowd, now_us);
    churn(crowd, now_us);
    read_slowly(crowd, now_us);
    sweep(crowd, now_us);
    if (count > 0 && count < EVENTS && crowd->scenario->rest_us > 0) {
        const struct timespec rest = {.tv_nsec = (long)crowd->scenario->rest_us * 1000};
        (void)nanosleep(&rest, NULL); /* woken early: it looks early */
    }
}

/* ---- life ---- */

static uint32_t divisor_of(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/**
 * A place for viewer `i` of `count`, each taken once: those in the first places are spread over all viewers. Different ratios
 * mix differently, so that being slow has nothing to do with the transport.
 */
static uint32_t place_of(uint32_t i, uint32_t count, double ratio)
{
    uint32_t step = (uint32_t)(count * ratio) + 1;
    while (divisor_of(step, count) != 1) {
        step++;
    }
    return (uint32_t)((uint64_t)i * step % count);
}

static bool is_among(uint32_t i, uint32_t count, double ratio, double share)
{
    return share > 0 && place_of(i, count, ratio) < share * count;
}

/** Who watches what and how: boards in blocks by their shares, the rest mixed. */
static void deal_out(struct load_crowd *crowd)
{
    const struct scenario *scenario = crowd->scenario;
    uint32_t count = scenario->viewers, board = 0;
    double sum = 0, taken = 0; /* of the shares: of all boards, and of those before this one */
    for (uint32_t i = 0; i < scenario->board_count; i++) {
        sum += scenario->boards[i].share;
    }
    uint32_t step = count / COPIES > 0 ? count / COPIES : 1;
    for (uint32_t i = 0; i < count; i++) {
        while (board + 1 < scenario->board_count &&
               (taken + scenario->boards[board].share) * count <= (double)i * sum) {
            taken += scenario->boards[board++].share;
        }
        crowd->viewers[i] = (struct load_viewer){
            .stream.fd = -1,
            .number = i,
            .board = board,
            .gateway = i % crowd->gateways,
            .is_slow = is_among(i, count, MIX_SLOW, scenario->slow_share),
            .is_sse = is_among(i, count, MIX_SSE, scenario->sse_share),
            .copy = i % step == 0 ? calloc(1, sizeof(struct load_copy)) : NULL,
        };
        crowd->has_no_memory = crowd->has_no_memory || (i % step == 0 && !crowd->viewers[i].copy);
        crowd->watching[board]++;
    }
}

struct load_crowd *load_crowd_create(const struct scenario *scenario, struct load_verify *verify,
                                     const struct load_address *addresses, uint32_t gateways)
{
    struct load_crowd *crowd = calloc(1, sizeof *crowd);
    if (!crowd) {
        return NULL;
    }
    crowd->scenario = scenario;
    crowd->verify = verify;
    crowd->gateways = gateways;
    crowd->chance = 0x9e3779b97f4a7c15u;
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd->viewers = calloc(scenario->viewers + 1, sizeof *crowd->viewers);
    crowd->watching = calloc(scenario->board_count, sizeof *crowd->watching);
    crowd->wire = (struct load_wire){
        .scenario = scenario, .addresses = addresses, .on_message = on_message, .context = crowd};
    if (crowd->viewers && crowd->watching) {
        deal_out(crowd);
    }
    if (crowd->epoll < 0 || !crowd->viewers || !crowd->watching || crowd->has_no_memory ||
        !load_wire_init(&crowd->wire)) {
        load_crowd_destroy(crowd);
        return NULL;
    }
    return crowd;
}

void load_crowd_destroy(struct load_crowd *crowd)
{
    if (!crowd) {
        return;
    }
    for (uint32_t i = 0; crowd->viewers && crowd->watching && i < crowd->scenario->viewers; i++) {
        struct load_viewer *viewer = &crowd->viewers[i];
        load_viewer_close(viewer);
        if (viewer->copy) {
            load_copy_finish(viewer->copy);
            free(viewer->copy);
        }
    }
    if (crowd->epoll >= 0) {
        (void)close(crowd->epoll); /* nothing is left in it */
    }
    load_memo_finish(&crowd->memo);
    load_wire_finish(&crowd->wire);
    free(crowd->viewers);
    free(crowd->watching);
    free(crowd);
}

void load_crowd_arrive(struct load_crowd *crowd)
{
    crowd->arrivals_us = crowd->tally.first_connect_us = crowd->slow_us = load_now_us();
}

void load_crowd_churn(struct load_crowd *crowd, bool is_on)
{
    crowd->is_churning = is_on && crowd->scenario->churn_per_s > 0 && crowd->scenario->viewers > 0;
    crowd->churn_us = load_now_us();
    crowd->churned = 0;
}

void load_crowd_storm(struct load_crowd *crowd)
{
    uint64_t now_us = load_now_us();
    crowd->tally.storm_us = now_us;
    uint32_t count = crowd->scenario->viewers;
    for (uint32_t i = 0; i < count; i++) {
        bool is_hit = place_of(i, count, MIX_STORM) < crowd->scenario->storm_viewers;
        if (is_hit && crowd->viewers[i].state != LOAD_VIEWER_AWAY) {
            leave(crowd, &crowd->viewers[i], now_us);
        }
    }
}

void load_crowd_quiet(struct load_crowd *crowd)
{
    crowd->is_quiet = true;
    load_crowd_churn(crowd, false);
    for (uint32_t i = 0; i < crowd->arrived; i++) {
        if (crowd->viewers[i].is_slow && crowd->viewers[i].state == LOAD_VIEWER_READY) {
            watch(crowd, &crowd->viewers[i], EPOLL_CTL_MOD, EPOLLIN);
        }
    }
}

/* ---- at the end ---- */

uint32_t load_crowd_behind(const struct load_crowd *crowd, const struct load_frame *heads)
{
    uint32_t behind = 0;
    for (uint32_t i = 0; i < crowd->scenario->viewers; i++) {
        const struct load_viewer *viewer = &crowd->viewers[i];
        behind += viewer->state != LOAD_VIEWER_READY || !viewer->cursor.has_position ||
                  !position_equal(&viewer->cursor.at, &heads[viewer->board].to);
    }
    return behind;
}

uint64_t load_crowd_lost(const struct load_crowd *crowd, const struct load_frame *heads)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < crowd->scenario->viewers; i++) {
        lost += load_cursor_lost(&crowd->viewers[i].cursor, &heads[crowd->viewers[i].board]);
    }
    return lost;
}

uint32_t load_crowd_check_copies(struct load_crowd *crowd, const struct load_frame *heads)
{
    uint32_t checked = 0;
    for (uint32_t i = 0; i < crowd->scenario->viewers; i++) {
        const struct load_viewer *viewer = &crowd->viewers[i];
        if (viewer->copy && viewer->cursor.has_position &&
            position_equal(&viewer->cursor.at, &heads[viewer->board].to)) {
            (void)load_copy_check(crowd->verify, viewer->copy, &heads[viewer->board]); /* counted there */
            checked++;
        }
    }
    return checked;
}
