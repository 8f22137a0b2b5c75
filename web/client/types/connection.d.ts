/**
 * Full jitter: anywhere between nothing and a ceiling that doubles from 0.5 s to 30 s.
 * @param {number} attempt from 1
 * @param {() => number} random
 * @returns {number} ms
 */
export function backoffMs(attempt: number, random: () => number): number;
/**
 * Ask the browser's events for what the connection wants to know. Kept apart so that the class needs no browser.
 * @param {Connection} connection
 * @param {any} [page] the browser's window
 */
export function followPage(connection: Connection, page?: any): void;
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
    constructor(options: ConnectionOptions);
    options: ConnectionOptions;
    /** @type {{now: () => number, setTimeout: Function, clearTimeout: Function}} */
    clock: {
        now: () => number;
        setTimeout: Function;
        clearTimeout: Function;
    };
    random: () => number;
    WebSocketClass: WebSocketClass;
    token: string;
    /** @type {Map<string, {phase: 'asked' | 'syncing' | 'whole' | 'refused', askedAt: number, isHeld: boolean, isResuming?: boolean}>} */
    boards: Map<string, {
        phase: "asked" | "syncing" | "whole" | "refused";
        askedAt: number;
        isHeld: boolean;
        isResuming?: boolean;
    }>;
    socket: any;
    isOnline: boolean;
    isHidden: boolean;
    maxRate: number;
    counts: {
        connections: number;
        frames: number;
        updates: number;
        changes: number;
        merged: number;
        resyncs: number;
    };
    isRenewing: boolean;
    hasRenewed: boolean;
    attempt: number;
    heartbeatMs: number;
    retryTimer: any;
    tickTimer: any;
    roundTrips: any[];
    /** @type {LinkState} */
    state: LinkState;
    start(): void;
    home: string;
    /** @param {string} board */
    watch(board: string): void;
    /** @param {string} board */
    unwatch(board: string): void;
    /**
     * What is held of this board is of no use: ask for all of it. For definitions under which rows are kept differently.
     * @param {string} board
     */
    resync(board: string): void;
    /**
     * Nobody looks, or somebody does again. Coming back, the link is checked before anything is believed.
     * @param {boolean} isHidden
     */
    setHidden(isHidden: boolean): void;
    /**
     * At most so many updates per second for each board, merged; 0 lifts the limit.
     * @param {number} maxRate
     */
    setRate(maxRate: number): void;
    /**
     * The browser's own opinion. Trusted as a hint to try now, never as a reason to give up.
     * @param {boolean} isOnline
     */
    setOnline(isOnline: boolean): void;
    /** Try now: the button in the bar, a network that is back, a refusal the user wants to question. */
    retry(): void;
    /** @param {string} token */
    setToken(token: string): void;
    /** pagehide: a page kept in the back/forward cache must not hold a connection. */
    sleep(): void;
    /** pageshow. */
    wake(): void;
    hasOpened: boolean;
    isWelcome: boolean;
    openedAt: number;
    heardAt: any;
    tickedAt: number;
    probedAt: number;
    moveTo: any;
    reportedAt: any;
    mayReport: boolean;
    pingedAt: any;
    #private;
}
export type GatewayMessage = import("./protocol.js").GatewayMessage;
export type ErrorMessage = import("./protocol.js").ErrorMessage;
export type Position = import("./protocol.js").Position;
/**
 * What everybody sees of the link.
 */
export type LinkState = {
    name: "connecting" | "catching_up" | "live" | "delayed" | "reconnecting" | "offline" | "moved" | "refused" | "asleep";
    /**
     * own clock, ms
     */
    since: number;
    /**
     * failures in a row
     */
    attempt: number;
    /**
     * when the next attempt is made, own clock, ms
     */
    retryAt?: number;
    /**
     * the quickest of the last eight
     */
    roundTripMs?: number;
    /**
     * refused, reconnecting: the close code
     */
    code?: number;
    /**
     * refused: our software is wrong, or a new token is needed
     */
    kind?: "stop" | "token";
    /**
     * refused: why, in words
     */
    text?: string;
};
/**
 * A WebSocket class: the browser's, that of Node 22, or that of the package `ws`.
 */
export type WebSocketClass = new (url: string, protocol: string) => any;
export type ConnectionOptions = {
    /**
     * ws: or wss: address of the gateway
     */
    url: string;
    /**
     * name and version, at most 64 bytes
     */
    client?: string;
    /**
     * sent in hello, never in the address
     */
    token?: string;
    /**
     * a token, for one that ends or was refused; none: the user is told
     */
    renewToken?: () => Promise<string | undefined>;
    /**
     * position held
     */
    positionOf: (board: string) => Position | null;
    /**
     * asked when a connection was not let in: for how many ms the gateway wants to be left alone, 0 for no wish
     */
    retryAfter?: () => Promise<number>;
    /**
     * what it did to the board; told everything but `moved`, `expiring` and `error`
     */
    onMessage: (message: GatewayMessage) => any;
    /**
     * delays to report, at most 8 in ms; asked every 10 s while somebody looks; none: no reports
     */
    takeDelays?: () => number[];
    /**
     * after each change
     */
    onState?: (state: LinkState) => void;
    onBoardError?: (board: string | undefined, error: ErrorMessage) => void;
    /**
     * default: the global one
     */
    WebSocketClass?: WebSocketClass;
    /**
     * for tests
     */
    clock?: {
        now: () => number;
        setTimeout: Function;
        clearTimeout: Function;
    };
    /**
     * for tests
     */
    random?: () => number;
};
