/*
 * Boards of a gateway, watched: connection, store and definitions put together for programs that are not the page.
 *
 * The connection keeps the values right and mends itself; what is added here is that definitions are read, read again
 * when they change, and asked for again, not too often, when they cannot be read.
 */
import { backoffMs, Connection } from './connection.js';
import { freshnessOf } from './freshness.js';
import { splitField } from './protocol.js';
import { Store } from './store.js';

/** @typedef {import('./protocol.js').Value} Value */
/** @typedef {import('./connection.js').LinkState} LinkState */
/** @typedef {import('./store.js').Definition} Definition */

/**
 * A value, and how far it can be trusted now; unknown until its definition has been read.
 * @typedef {Value & {freshness: 'unknown' | 'fresh' | 'ageing' | 'stale' | 'expired' | 'nodata' | 'invalid' | 'unreachable', age_ms: number | undefined}} JudgedValue
 */

/**
 * @typedef {object} Change
 * @property {string} board
 * @property {string[]} fields names of the fields that were set or removed
 * @property {boolean} isSnapshot everything was sent: these may be no changes at all
 */

/**
 * @typedef {object} WatchOptions
 * @property {string | URL} url of the gateway, `https://boards.example` or `wss://boards.example/ws`
 * @property {string[]} boards ids; more can be watched later
 * @property {(change: Change) => void} [onChange] after a message that changed something
 * @property {(link: LinkState) => void} [onLink] after each change of the link's state
 * @property {(problem: {board?: string, code: number, message: string}) => void} [onProblem] a board that is refused, a definition that cannot be read; code: that of the protocol or of HTTP, 0 when nothing answered
 * @property {string} [token] a key or a signed token
 * @property {() => Promise<string | undefined>} [renewToken] a new one, when the old one ends or was refused
 * @property {string} [client] name and version of your program, at most 64 bytes
 * @property {number} [maxRate] updates per second and board, merged; 0, the default: as they come
 * @property {import('./connection.js').WebSocketClass} [WebSocketClass] before Node 22: `WebSocket` of the package `ws`
 * @property {typeof globalThis.fetch} [fetch]
 * @property {{now: () => number, setTimeout: Function, clearTimeout: Function}} [clock] for tests
 * @property {() => number} [random] for tests
 */

/** @param {string | URL} url */
function addressesOf(url) {
    const base = String(url).replace(/\/ws\/?$/, '').replace(/\/$/, '');
    if (!/^(https?|wss?):\/\/[^/]/i.test(base)) {
        throw new TypeError(`not the address of a gateway: ${base}`);
    }
    return { http: base.replace(/^ws/i, 'http'), ws: `${base.replace(/^http/i, 'ws')}/ws` };
}

/** `Retry-After` in seconds, as the gateway sends it; 0 when there is none. */
function retryAfterMs(response) {
    const seconds = Number(response.headers.get('retry-after'));
    return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

/** 4xx but for "come back later": asking again changes nothing. */
const isFinal = (status) => status >= 400 && status < 500 && status !== 408 && status !== 429;

export class Watch {
    /** @param {WatchOptions} options */
    constructor(options) {
        const { http, ws } = addressesOf(options.url);
        this.options = options;
        this.http = http;
        this.clock = options.clock ?? {
            now: () => Date.now(), setTimeout: (callback, delay) => setTimeout(callback, delay), clearTimeout: (timer) => clearTimeout(timer),
        };
        /** @type {Map<string, {attempt: number, timer: any, isBusy: boolean, triedCatalog: string | null, triedView?: string}>} */
        this.readings = new Map();
        this.isClosed = false;
        this.store = new Store({
            now: this.clock.now,
            onFields: (board, fields, { type }) => options.onChange?.({ board, fields: [...fields], isSnapshot: type === 'snapshot' }),
        });
        this.connection = new Connection({
            url: ws,
            client: options.client,
            token: options.token,
            renewToken: options.renewToken,
            retryAfter: () => this.#retryAfter(),
            WebSocketClass: options.WebSocketClass,
            clock: options.clock,
            random: options.random,
            positionOf: (board) => this.store.positionOf(board),
            onState: (link) => this.#linked(link),
            onBoardError: (board, { code, message }) => options.onProblem?.({ board, code, message }),
            onMessage: (message) => {
                const answer = this.store.receive(message);
                this.#followCatalog();
                return answer;
            },
        });
        this.connection.setRate(options.maxRate ?? 0);
        options.boards.forEach((board) => this.watch(board));
        this.connection.start();
    }

    // ---- what is known ----

    /** How the link is: live, reconnecting, refused... */
    get link() {
        return this.connection.state;
    }

    /**
     * @param {string} board
     * @returns {Definition | null} null: not read yet
     */
    definition(board) {
        return this.store.board(board).definition;
    }

    /**
     * Names of the fields that are held, rows of tables, feeds and series included: `exec.top_deals#D001`.
     * @param {string} board
     * @returns {string[]}
     */
    fields(board) {
        return [...this.store.board(board).held.fields.keys()];
    }

    /**
     * @param {string} board
     * @param {string} field
     * @returns {JudgedValue | undefined} undefined: there is no such field, or nothing has come yet
     */
    value(board, field) {
        const { held, definition } = this.store.board(board);
        const value = held.fields.get(field);
        if (!value) {
            return undefined;
        }
        const now = this.store.now();
        const kpi = definition?.kpis[splitField(field).kpi];
        const freshness = kpi ? freshnessOf(value, definition.classes[kpi.class] ?? null, this.store.isSourceUp(kpi), now) : 'unknown';
        return { ...value, freshness, age_ms: value.as_of === undefined ? undefined : Math.max(0, now - value.as_of) };
    }

    // ---- what is asked for ----

    /** @param {string} board */
    watch(board) {
        this.connection.watch(board);
        this.readings.set(board, { attempt: 0, timer: null, isBusy: false, triedCatalog: null });
        this.#readDefinition(board);
    }

    /** @param {string} board */
    unwatch(board) {
        this.clock.clearTimeout(this.readings.get(board)?.timer);
        this.readings.delete(board);
        this.connection.unwatch(board);
    }

    /** @param {string} token */
    setToken(token) {
        this.connection.setToken(token);
        for (const board of this.readings.keys()) {
            this.#readDefinition(board);
        }
    }

    /** The end: nothing is heard and nothing is tried any more. */
    close() {
        this.isClosed = true;
        this.readings.forEach(({ timer }) => this.clock.clearTimeout(timer));
        this.readings.clear();
        this.connection.sleep();
    }

    async #retryAfter() {
        const response = await (this.options.fetch ?? globalThis.fetch)(`${this.http}/health/ready`);
        return response.ok ? 0 : retryAfterMs(response);
    }

    // ---- definitions ----

    /** @param {LinkState} link */
    #linked(link) {
        this.store.setLink(link);
        this.options.onLink?.(link);
        if (link.name === 'live') {
            this.#readMissing();
        }
    }

    /** What could not be read without the network, or with an older token. */
    #readMissing() {
        for (const [board, { timer }] of this.readings) {
            if (timer === null && !this.store.board(board).definition) {
                this.#readDefinition(board);
            }
        }
    }

    /** Definitions that are not those in force at the gateway, or are of other rights, as far as it said, are read again: once per change. */
    #followCatalog() {
        for (const [board, reading] of this.readings) {
            const { definition, view } = this.store.board(board);
            const { catalog } = this.store;
            const isOtherCatalog = catalog && definition?.catalog !== catalog && reading.triedCatalog !== catalog;
            const isOtherView = view && definition?.view !== view && reading.triedView !== view;
            if (definition && (isOtherCatalog || isOtherView)) {
                reading.triedCatalog = catalog;
                reading.triedView = view;
                this.#readDefinition(board);
            }
        }
    }

    /** @param {string} board */
    async #readDefinition(board) {
        const reading = this.readings.get(board);
        if (!reading || reading.isBusy) {
            return;
        }
        this.clock.clearTimeout(reading.timer);
        reading.timer = null;
        reading.isBusy = true;
        const { definition, problem, delayMs } = await this.#fetchDefinition(board, reading);
        reading.isBusy = false;
        if (this.isClosed || this.readings.get(board) !== reading) {
            return;
        }
        if (definition) {
            reading.attempt = 0;
            if (this.store.setDefinition(definition)) {
                this.connection.resync(board);
            }
            return;
        }
        this.options.onProblem?.({ board, ...problem });
        if (delayMs !== undefined) {
            reading.timer = this.clock.setTimeout(() => this.#readDefinition(board), delayMs);
        }
    }

    /** A definition; or what stands against it, and when to ask again: undefined for never. */
    async #fetchDefinition(board, reading) {
        const path = `${this.http}/api/v1/dashboards/${encodeURIComponent(board)}/definition`;
        const { token } = this.connection;
        const fetch = this.options.fetch ?? globalThis.fetch;
        const backoff = () => backoffMs(++reading.attempt, this.options.random ?? Math.random);
        try {
            const response = await fetch(path, { headers: { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) } });
            if (response.ok) {
                return { definition: await response.json() };
            }
            const told = await response.json().catch(() => ({}));
            const problem = { code: response.status, message: told.detail ?? told.title ?? `The gateway answered ${response.status}.` };
            return { problem, delayMs: isFinal(response.status) ? undefined : Math.max(retryAfterMs(response), backoff()) };
        } catch (error) {
            return { problem: { code: 0, message: String(error.message ?? error) }, delayMs: backoff() };
        }
    }
}

/**
 * Watch boards of a gateway until `close()`. Values are kept right over lost connections, restarts and moves.
 * @param {WatchOptions} options
 * @returns {Watch}
 */
export function watch(options) {
    return new Watch(options);
}
