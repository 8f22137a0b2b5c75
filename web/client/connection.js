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
const HANDSHAKE_MS = 10000;
/** A board's answer may be large and the network slow. */
const ANSWER_MS = 30000;
const TICK_MS = 1000;
const PING_MS = 10000;
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

/** Full jitter: anywhere between nothing and a ceiling that doubles from 0.5 s to 30 s. */
export function backoffMs(attempt, random) {
    return Math.floor(random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt - 1, 16)));
}

const isMoveTarget = (url, home) =>
    typeof url === 'string' && (home.startsWith('wss:') ? /^wss:\/\//i : /^wss?:\/\//i).test(url);

export class Connection {
    /**
     * @param options.url          ws: or wss: address of the gateway
     * @param options.client       name and version, at most 64 bytes
     * @param options.token        sent in hello, never in the address
     * @param options.renewToken   () => a promise of a token, for one that ends or was refused; none: the user is told
     * @param options.positionOf   (board) => position held, or null
     * @param options.onMessage    (message) => what it did to the board
     * @param options.onState      (state) => void, after each change
     * @param options.onBoardError (board, error) => void
     */
    constructor(options) {
        this.options = options;
        this.clock = options.clock ?? systemClock;
        this.random = options.random ?? Math.random;
        this.WebSocketClass = options.WebSocketClass ?? globalThis.WebSocket;
        this.token = options.token;
        this.boards = new Map(); // board -> {phase: 'asked'|'syncing'|'whole'|'refused', askedAt, isHeld}
        this.socket = null;
        this.isOnline = true;
        this.isHidden = false;
        this.isRenewing = false;
        this.hasRenewed = false; // since the last welcome: one refusal more is the user's to hear of
        this.attempt = 0;
        this.heartbeatMs = DEFAULT_HEARTBEAT_MS;
        this.retryTimer = null;
        this.tickTimer = null;
        this.roundTrips = [];
        this.state = { name: 'connecting', since: this.clock.now(), attempt: 0 };
    }

    // ---- what the page asks for ----

    start() {
        this.home = this.options.url;
        this.#connect(this.home);
    }

    watch(board) {
        if (!this.boards.has(board)) {
            this.boards.set(board, { phase: 'asked', askedAt: this.clock.now(), isHeld: false });
            this.#subscribe(board, true);
            this.#settle();
        }
    }

    unwatch(board) {
        if (this.boards.delete(board)) {
            this.#send({ type: 'unsubscribe', board });
            this.#settle();
        }
    }

    /** Nobody looks, or somebody does again. Coming back, the link is checked before anything is believed. */
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

    /** The browser's own opinion. Trusted as a hint to try now, never as a reason to give up. */
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
            this.#failed();
        }
    }

    #failed() {
        this.#drop();
        this.attempt++;
        this.#retryIn(backoffMs(this.attempt, this.random), this.home);
    }

    #retryIn(delay, url) {
        this.#stopTimers();
        this.moveTo = undefined;
        this.#enter(this.isOnline ? 'reconnecting' : 'offline', {
            attempt: this.attempt, retryAt: this.clock.now() + delay,
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
        this.#send({ type: 'hello', token: this.token, client: this.options.client, clock: this.clock.now() });
        for (const board of this.boards.keys()) {
            this.#subscribe(board, true);
        }
    }

    #subscribe(board, hasPosition) {
        const entry = this.boards.get(board);
        entry.phase = 'asked';
        entry.askedAt = this.clock.now();
        entry.isHeld = false;
        this.#send({
            type: 'subscribe',
            board,
            position: hasPosition ? formatPosition(this.options.positionOf(board)) : undefined,
            hidden: this.isHidden || undefined,
        });
    }

    #receive(text) {
        const now = this.clock.now();
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

    #subscribed({ board, resume }) {
        const entry = this.boards.get(board);
        if (entry?.phase === 'asked') {
            entry.phase = resume === 'whole' ? 'whole' : 'syncing';
        }
    }

    /** What the previous subscription had in flight comes before `subscribed`, and is covered by the new one. */
    #content(message) {
        const entry = this.boards.get(message.board);
        if (!entry || entry.phase === 'asked' || entry.phase === 'refused') {
            return;
        }
        if (this.options.onMessage(message) !== 'gap') {
            entry.phase = 'whole';
            entry.isHeld = false;
            return;
        }
        // A gap in the very answer to a position: the position is of no use, ask for everything.
        this.#subscribe(message.board, entry.phase === 'whole');
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
        if (entries.some(({ phase }) => phase !== 'whole')) {
            this.#enter('catching_up');
        } else if (isSilent || entries.some(({ isHeld }) => isHeld)) {
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

/** Ask the browser's events for what the connection wants to know. Kept apart so that the class needs no browser. */
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
