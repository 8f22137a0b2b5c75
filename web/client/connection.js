/*
 * The link to a gateway: one WebSocket, the boards watched over it, and what to do when it fails.
 *
 * It knows no DOM and no board contents. Messages go to `onMessage`, whose answer ('applied', 'dropped', 'gap',
 * 'same', 'held', 'differs') decides whether a board is asked for again; positions come from `positionOf`.
 * Socket class, clock and random numbers are handed in, so every path runs in Node without a network.
 *
 * States, all driven by received frames and events, never by hope:
 *
 *     connecting -> catching_up -> live <-> delayed
 *         |              |          |         |
 *         +--------------+----+-----+---------+--> reconnecting -> connecting     (offline: the same, no network)
 *                             |-> moved -> connecting
 *                             |-> refused     waits for retry() or setToken()
 *     any -> asleep -> connecting             page hidden in the back/forward cache
 */
import { closeAction, closeText, decode, formatPosition } from './protocol.js';

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30000;
const RETRY_AFTER_MAX_MS = 300000;
const HANDSHAKE_MS = 10000;
/** A board's answer may be large and the network slow. */
const ANSWER_MS = 30000;
const TICK_MS = 1000;
const PING_MS = 10000;
/** PROTOCOL.md, "Reporting". */
const REPORT_MS = 10000;
const UNKNOWN_TYPE = 4001;
/** A connection that lasted this long was good: the next failure starts the back-off anew. */
const STABLE_MS = 10000;
/** Ticks this far apart mean that the page was frozen; frames may still be waiting to be read. */
const FROZEN_MS = 5000;
const DELAYED_BEATS = 1.5;
const DEAD_BEATS = 2.5;
const DEFAULT_HEARTBEAT_MS = 5000;
const ROUND_TRIPS_KEPT = 8;

const systemClock = {
    now: () => Date.now(),
    setTimeout: (callback, delay) => setTimeout(callback, delay),
    clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * Full jitter: anywhere between nothing and a ceiling that doubles from 0.5 s to 30 s.
 * @param {number} attempt from 1
 * @param {() => number} random
 * @returns {number} ms
 */
export function backoffMs(attempt, random) {
    return Math.floor(random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt - 1, 16)));
}

const isMoveTarget = (url, home) =>
    typeof url === 'string' && (home.startsWith('wss:') ? /^wss:\/\//i : /^wss?:\/\//i).test(url);

/** @typedef {import('./protocol.js').GatewayMessage} GatewayMessage */
/** @typedef {import('./protocol.js').ErrorMessage} ErrorMessage */
/** @typedef {import('./protocol.js').Position} Position */

/**
 * What everybody sees of the link.
 * @typedef {object} LinkState
 * @property {'connecting' | 'catching_up' | 'live' | 'delayed' | 'reconnecting' | 'offline' | 'moved' | 'refused' | 'asleep'} name
 * @property {number} since own clock, ms
 * @property {number} attempt failures in a row
 * @property {number} [retryAt] when the next attempt is made, own clock, ms
 * @property {number} [roundTripMs] the quickest of the last eight
 * @property {number} [code] refused, reconnecting: the close code
 * @property {'stop' | 'token'} [kind] refused: our software is wrong, or a new token is needed
 * @property {string} [text] refused: why, in words
 */

/**
 * A WebSocket class: the browser's, that of Node 22, or that of the package `ws`.
 * @typedef {new (url: string, protocol: string) => any} WebSocketClass
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url ws: or wss: address of the gateway
 * @property {string} [client] name and version, at most 64 bytes
 * @property {string} [token] sent in hello, never in the address
 * @property {() => Promise<string | undefined>} [renewToken] a token, for one that ends or was refused; none: the user is told
 * @property {(board: string) => Position | null} positionOf position held
 * @property {() => Promise<number>} [retryAfter] asked when a connection was not let in: for how many ms the gateway wants to be left alone, 0 for no wish
 * @property {(message: GatewayMessage) => any} onMessage what it did to the board; told everything but `moved`, `expiring` and `error`
 * @property {() => number[]} [takeDelays] delays to report, at most 8 in ms; asked every 10 s while somebody looks; none: no reports
 * @property {(state: LinkState) => void} [onState] after each change
 * @property {(board: string | undefined, error: ErrorMessage) => void} [onBoardError]
 * @property {WebSocketClass} [WebSocketClass] default: the global one
 * @property {{now: () => number, setTimeout: Function, clearTimeout: Function}} [clock] for tests
 * @property {() => number} [random] for tests
 */

export class Connection {
    /** @param {ConnectionOptions} options */
    constructor(options) {
        this.options = options;
        /** @type {{now: () => number, setTimeout: Function, clearTimeout: Function}} */
        this.clock = options.clock ?? systemClock;
        this.random = options.random ?? Math.random;
        this.WebSocketClass = options.WebSocketClass ?? globalThis.WebSocket;
        this.token = options.token;
        /** @type {Map<string, {phase: 'asked' | 'syncing' | 'whole' | 'refused', askedAt: number, isHeld: boolean, isResuming?: boolean}>} */
        this.boards = new Map();
        this.socket = null;
        this.isOnline = true;
        this.isHidden = false;
        this.maxRate = 0; // updates per second and board that this viewer wants at most; 0: all
        this.counts = { connections: 0, frames: 0, updates: 0, changes: 0, merged: 0, resyncs: 0 };
        this.isRenewing = false;
        this.hasRenewed = false; // since the last welcome: one refusal more is the user's to hear of
        this.attempt = 0;
        this.heartbeatMs = DEFAULT_HEARTBEAT_MS;
        this.retryTimer = null;
        this.tickTimer = null;
        this.roundTrips = [];
        /** @type {LinkState} */
        this.state = { name: 'connecting', since: this.clock.now(), attempt: 0 };
    }

    // ---- what the page asks for ----

    start() {
        this.home = this.options.url;
        this.#connect(this.home);
    }

    /** @param {string} board */
    watch(board) {
        if (!this.boards.has(board)) {
            this.boards.set(board, { phase: 'asked', askedAt: this.clock.now(), isHeld: false });
            this.#subscribe(board, true);
            this.#settle();
        }
    }

    /** @param {string} board */
    unwatch(board) {
        if (this.boards.delete(board)) {
            this.#send({ type: 'unsubscribe', board });
            this.#settle();
        }
    }

    /**
     * What is held of this board is of no use: ask for all of it. For definitions under which rows are kept differently.
     * @param {string} board
     */
    resync(board) {
        if (this.boards.has(board)) {
            this.counts.resyncs++;
            this.#subscribe(board, false);
            this.#settle();
        }
    }

    /**
     * Nobody looks, or somebody does again. Coming back, the link is checked before anything is believed.
     * @param {boolean} isHidden
     */
    setHidden(isHidden) {
        if (this.isHidden === isHidden) {
            return;
        }
        this.isHidden = isHidden;
        for (const [board, entry] of this.boards) {
            entry.askedAt = this.clock.now();
            if (entry.phase !== 'refused') {
                this.#send({ type: 'quality', board, hidden: isHidden });
            }
        }
        if (!isHidden && this.isWelcome) {
            this.#probe();
        }
    }

    /**
     * At most so many updates per second for each board, merged; 0 lifts the limit.
     * @param {number} maxRate
     */
    setRate(maxRate) {
        if (this.maxRate === maxRate) {
            return;
        }
        this.maxRate = maxRate;
        for (const [board, { phase }] of this.boards) {
            if (phase !== 'refused') {
                this.#send({ type: 'quality', board, max_rate: maxRate });
            }
        }
    }

    /**
     * The browser's own opinion. Trusted as a hint to try now, never as a reason to give up.
     * @param {boolean} isOnline
     */
    setOnline(isOnline) {
        this.isOnline = isOnline;
        if (isOnline && !this.socket && this.retryTimer) {
            this.retry();
        } else if (this.state.name === 'reconnecting' || this.state.name === 'offline') {
            this.#enter(isOnline ? 'reconnecting' : 'offline', this.state);
        }
    }

    /** Try now: the button in the bar, a network that is back, a refusal the user wants to question. */
    retry() {
        if (!this.socket) {
            this.#connect(this.home);
        }
    }

    /** @param {string} token */
    setToken(token) {
        this.token = token;
        if (this.isWelcome) {
            this.#send({ type: 'refresh', token });
        } else {
            this.retry();
        }
    }

    /** pagehide: a page kept in the back/forward cache must not hold a connection. */
    sleep() {
        this.#drop(1000);
        this.#stopTimers();
        this.#enter('asleep');
    }

    /** pageshow. */
    wake() {
        if (this.state.name === 'asleep') {
            this.attempt = 0;
            this.#connect(this.home);
        }
    }

    // ---- opening and closing ----

    #connect(url) {
        this.#stopTimers();
        this.#drop();
        this.hasOpened = false;
        const socket = this.#open(url);
        if (!socket) {
            this.#failed();
            return;
        }
        this.socket = socket;
        this.isWelcome = false;
        this.openedAt = this.clock.now();
        this.heardAt = this.openedAt;
        this.tickedAt = this.openedAt;
        this.probedAt = 0;
        const isMine = (action) => (event) => {
            if (this.socket === socket) {
                action(event);
            }
        };
        socket.onopen = isMine(() => this.#hello());
        socket.onmessage = isMine((event) => this.#receive(event.data));
        socket.onclose = isMine((event) => this.#closed(event.code));
        socket.onerror = () => {}; // the close that follows says it; the package `ws` throws where nobody listens
        this.#enter('connecting', { attempt: this.attempt });
        this.#tickLater();
    }

    #open(url) {
        try {
            return new this.WebSocketClass(url, 'kpi.v1');
        } catch {
            return null; // a bad address, or one the page's policy forbids: the back-off goes home with the next try
        }
    }

    /** Let go of the socket: whatever it still says is not heard. */
    #drop(code) {
        const { socket } = this;
        this.socket = null;
        this.isWelcome = false;
        if (!socket) {
            return;
        }
        socket.onopen = socket.onmessage = socket.onclose = null;
        try {
            socket.close(code);
        } catch {
            // Closing a socket that never opened may throw; it is gone either way.
        }
    }

    #closed(code) {
        this.socket = null;
        this.isWelcome = false;
        const action = closeAction(code);
        if (action === 'stop' || action === 'token') {
            this.#stopTimers();
            this.#enter('refused', { code, kind: action, text: closeText(code) });
            if (action === 'token' && !this.hasRenewed) {
                this.hasRenewed = true;
                this.#renewToken();
            }
        } else if (action === 'move') {
            this.#retryIn(Math.floor(this.random() * BACKOFF_FIRST_MS), this.moveTo ?? this.home);
        } else {
            this.#failed(code);
        }
    }

    #failed(code) {
        this.#drop();
        this.attempt++;
        this.#retryIn(backoffMs(this.attempt, this.random), this.home, code);
        if (!this.hasOpened && this.isOnline) {
            this.#askRetryAfter();
        }
    }

    /** A browser does not tell how a handshake was answered; an ordinary request to the same gateway does. */
    async #askRetryAfter() {
        const timer = this.retryTimer;
        const wanted = await this.options.retryAfter?.().catch(() => 0); // nobody answers: the back-off stands
        const delay = Math.min(wanted || 0, RETRY_AFTER_MAX_MS);
        if (delay > 0 && timer === this.retryTimer && timer !== null) {
            // Not all at the same moment, and never sooner than without being asked to wait.
            const spread = backoffMs(this.attempt, this.random);
            this.#retryIn(Math.max(delay + spread, this.state.retryAt - this.clock.now()), this.home);
        }
    }

    #retryIn(delay, url, code) {
        this.#stopTimers();
        this.moveTo = undefined;
        this.#enter(this.isOnline ? 'reconnecting' : 'offline', {
            attempt: this.attempt, retryAt: this.clock.now() + delay, code,
        });
        this.retryTimer = this.clock.setTimeout(() => this.#connect(url), delay);
    }

    #stopTimers() {
        this.clock.clearTimeout(this.retryTimer);
        this.clock.clearTimeout(this.tickTimer);
        this.retryTimer = this.tickTimer = null;
    }

    /** A token that the page can get is shown at once: in band while the link stands, else with a new one. */
    async #renewToken() {
        if (!this.options.renewToken || this.isRenewing) {
            return;
        }
        this.isRenewing = true;
        const token = await this.options.renewToken().catch(() => undefined); // the end of the old one says it all
        this.isRenewing = false;
        if (!token) {
            return;
        }
        this.token = token;
        if (this.isWelcome || this.state.name === 'refused') {
            this.setToken(token);
        }
    }

    // ---- talking ----

    #send(message) {
        if (this.socket?.readyState === 1) {
            this.socket.send(JSON.stringify(message));
        }
    }

    #hello() {
        this.hasOpened = true;
        this.#send({ type: 'hello', token: this.token, client: this.options.client, clock: this.clock.now() });
        for (const board of this.boards.keys()) {
            this.#subscribe(board, true);
        }
    }

    #subscribe(board, hasPosition) {
        const entry = this.boards.get(board);
        const position = hasPosition ? formatPosition(this.options.positionOf(board)) : undefined;
        entry.isResuming = position !== undefined;
        entry.phase = 'asked';
        entry.askedAt = this.clock.now();
        entry.isHeld = false;
        this.#send({
            type: 'subscribe',
            board,
            position,
            hidden: this.isHidden || undefined,
            max_rate: this.maxRate || undefined,
        });
    }

    #receive(text) {
        const now = this.clock.now();
        this.counts.frames++;
        this.heardAt = now;
        this.probedAt = 0;
        const { result, message } = typeof text === 'string' ? decode(text) : { result: 'malformed' };
        if (result === 'unknown_type') {
            return;
        }
        if (result !== 'ok') {
            this.#failed(); // what speaks there is not kpi.v1; nothing it says can be relied on
            return;
        }
        this.#handle(message, now);
        this.#settle();
    }

    #handle(message, now) {
        switch (message.type) {
        case 'welcome':
            this.#welcomed(message, now);
            break;
        case 'pong':
            this.#measure(message.clock, now);
            this.options.onMessage(message);
            break;
        case 'subscribed':
            this.#subscribed(message);
            break;
        case 'snapshot':
        case 'update':
            this.#content(message);
            break;
        case 'heartbeat':
            this.#heartbeat(message);
            break;
        case 'moved':
            this.#moved(message, now);
            break;
        case 'expiring':
            this.#renewToken();
            break;
        case 'error':
            this.#refusedBoard(message);
            break;
        default:
            break; // unsubscribed, refreshed: nothing hangs on them
        }
    }

    #welcomed(message, now) {
        this.isWelcome = true;
        this.hasRenewed = false;
        this.counts.connections++;
        this.reportedAt = now;
        this.mayReport = true;
        this.heartbeatMs = Math.max(250, message.heartbeat_ms || DEFAULT_HEARTBEAT_MS);
        this.#measure(message.clock, now);
        this.options.onMessage(message);
        this.#ping(now);
    }

    #measure(sentAt, now) {
        if (sentAt && now >= sentAt) {
            this.roundTrips = [...this.roundTrips.slice(1 - ROUND_TRIPS_KEPT), now - sentAt];
        }
    }

    #subscribed(message) {
        const entry = this.boards.get(message.board);
        if (entry?.phase === 'asked') {
            entry.phase = message.resume === 'whole' ? 'whole' : 'syncing';
        }
        this.options.onMessage(message);
    }

    /** What the previous subscription had in flight comes before `subscribed`, and is covered by the new one. */
    #content(message) {
        const entry = this.boards.get(message.board);
        if (!entry || entry.phase === 'asked' || entry.phase === 'refused') {
            return;
        }
        const action = this.options.onMessage(message);
        if (action !== 'gap') {
            this.#count(message, action, entry);
            entry.phase = 'whole';
            entry.isHeld = entry.isResuming = false;
            return;
        }
        this.counts.resyncs++;
        // A gap in the very answer to a position: the position is of no use, ask for everything.
        this.#subscribe(message.board, entry.phase === 'whole');
        entry.isResuming = false;
    }

    /** A resync: everything was sent to one who held a position, or something was missing. */
    #count(message, action, entry) {
        if (message.type === 'snapshot') {
            this.counts.resyncs += entry.isResuming ? 1 : 0;
        } else if (action === 'applied') {
            this.counts.updates++;
            this.counts.changes += message.to - message.from;
            this.counts.merged += message.to - message.from > 1 ? 1 : 0;
        }
    }

    #heartbeat(message) {
        const entry = this.boards.get(message.board);
        if (message.board !== undefined && entry?.phase !== 'whole') {
            this.options.onMessage({ ...message, board: undefined });
            return;
        }
        const verdict = this.options.onMessage(message);
        if (entry) {
            entry.isHeld = verdict === 'held';
            if (verdict === 'differs') {
                this.counts.resyncs++;
                this.#subscribe(message.board, false);
            }
        }
    }

    /** The old connection goes on serving until the moment given to this viewer. */
    #moved({ reconnect_in_ms: delay, url }, now) {
        this.moveTo = isMoveTarget(url, this.home) ? url : this.home;
        this.clock.clearTimeout(this.retryTimer);
        const target = this.moveTo;
        this.retryTimer = this.clock.setTimeout(() => this.#connect(target), delay);
        this.#enter('moved', { retryAt: now + delay });
    }

    #refusedBoard(error) {
        this.mayReport &&= error.code !== UNKNOWN_TYPE; // an older gateway: 32 refusals would end the connection
        const entry = this.boards.get(error.board);
        if (entry && error.code >= 4100) {
            entry.phase = 'refused';
        }
        this.options.onBoardError?.(error.board, error);
    }

    // ---- watching the link ----

    #tickLater() {
        this.tickTimer = this.clock.setTimeout(() => this.#tick(), TICK_MS);
    }

    #tick() {
        const now = this.clock.now();
        const wasFrozen = now - this.tickedAt > FROZEN_MS;
        this.tickedAt = now;
        this.heardAt = Math.min(this.heardAt, now); // the wall clock may have been set back
        if (this.#isDead(now, wasFrozen)) {
            this.#failed();
            return;
        }
        if (this.isWelcome && now - this.openedAt > STABLE_MS) {
            this.attempt = 0;
        }
        if (this.isWelcome && !this.isHidden && now - this.pingedAt >= PING_MS) {
            this.#ping(now);
        }
        this.#report(now);
        this.#settle();
        this.#tickLater();
    }

    /**
     * By wall clock, because a dead link may produce no close event at all. A page that was frozen has not read what
     * arrived meanwhile: it asks first, and gives the answer one heartbeat's time.
     */
    #isDead(now, wasFrozen) {
        if (!this.isWelcome) {
            return now - this.openedAt > HANDSHAKE_MS; // whatever else is heard: without a welcome there is no connection
        }
        if (now - this.heardAt <= DEAD_BEATS * this.heartbeatMs) {
            return !wasFrozen && this.#isStuck(now);
        }
        if (wasFrozen && !this.probedAt) {
            this.#probe();
            return false;
        }
        return !this.probedAt || now - this.probedAt > Math.min(this.heartbeatMs, FROZEN_MS);
    }

    /** A board that was asked for and never came, on a link that otherwise talks. A hidden page may well be kept waiting. */
    #isStuck(now) {
        return !this.isHidden && [...this.boards.values()].some(({ phase, askedAt }) =>
            (phase === 'asked' || phase === 'syncing') && now - askedAt > ANSWER_MS);
    }

    #report(now) {
        this.reportedAt = Math.min(this.reportedAt ?? now, now); // the wall clock may have been set back
        if (!this.isWelcome || this.isHidden || !this.mayReport || now - this.reportedAt < REPORT_MS) {
            return;
        }
        const delays = this.options.takeDelays?.() ?? [];
        if (delays.length > 0) {
            this.reportedAt = now;
            this.#send({ type: 'report', delay_ms: delays });
        }
    }

    #probe() {
        const now = this.clock.now();
        this.probedAt = now;
        this.tickedAt = now;
        this.#ping(now);
    }

    #ping(now) {
        this.pingedAt = now;
        this.#send({ type: 'ping', clock: now });
    }

    // ---- the state everybody sees ----

    /** Live, delayed or catching up: what the frames of an open connection amount to. */
    #settle() {
        if (!this.socket || this.state.name === 'moved' || !this.isWelcome) {
            return;
        }
        const entries = [...this.boards.values()].filter(({ phase }) => phase !== 'refused');
        const isSilent = this.clock.now() - this.heardAt > DELAYED_BEATS * this.heartbeatMs;
        const isHeldBack = this.maxRate === 0 && entries.some(({ isHeld }) => isHeld); // who asked for fewer updates waits by choice
        if (entries.some(({ phase }) => phase !== 'whole')) {
            this.#enter('catching_up');
        } else if (isSilent || isHeldBack) {
            this.#enter('delayed');
        } else {
            this.#enter('live');
        }
    }

    #enter(name, members = {}) {
        const roundTripMs = this.roundTrips.length > 0 ? Math.min(...this.roundTrips) : undefined;
        const isSame = this.state.name === name && this.state.retryAt === members.retryAt &&
            this.state.roundTripMs === roundTripMs && (this.state.attempt ?? 0) === (members.attempt ?? 0);
        if (isSame) {
            return;
        }
        const since = this.state.name === name ? this.state.since : this.clock.now();
        this.state = { attempt: 0, ...members, name, since, roundTripMs };
        this.options.onState?.(this.state);
    }
}

/**
 * Ask the browser's events for what the connection wants to know. Kept apart so that the class needs no browser.
 * @param {Connection} connection
 * @param {any} [page] the browser's window
 */
export function followPage(connection, page = globalThis) {
    const { document } = page;
    connection.isOnline = page.navigator.onLine !== false;
    connection.isHidden = document.visibilityState === 'hidden';
    page.addEventListener('online', () => connection.setOnline(true));
    page.addEventListener('offline', () => connection.setOnline(false));
    page.addEventListener('pagehide', () => connection.sleep());
    page.addEventListener('pageshow', () => connection.wake());
    document.addEventListener('visibilitychange', () =>
        connection.setHidden(document.visibilityState === 'hidden'));
}
